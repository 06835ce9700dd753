//! What may wait in the pool: a shape of the configuration, and which specs are of it. Pure.
//!
//! Left out: shapes with whatever else a spec may have. A spec with more than a shape says is none of it.

use crate::budget::{POOL_IMAGES, POOL_MEMBERS, POOL_SHAPES};
use garant_api::{
    budget::DISKS,
    spec::{Accelerator, Access, Disks, ImageDigest, Kernel, Machine, MemoryMib, Nics, Spec, Vcpus},
};
use garant_attest::ledger::Program;
use serde::Deserialize;
use std::collections::BTreeSet;

/// A shape, and how many VMMs of it wait.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// So many wait.
    pub ready: usize,
    /// The machine; a microvm where left out.
    #[serde(default)]
    pub machine: Machine,
    /// What runs the vCPUs; the node's first where left out.
    pub accelerator: Option<Accelerator>,
    /// Virtual CPUs.
    pub vcpus: Vcpus,
    /// Memory in MiB.
    pub memory_mib: MemoryMib,
    /// What is booted.
    pub kernel: Kernel,
    /// The disks, in this order.
    #[serde(default)]
    pub disks: Vec<ShapeDisk>,
}

/// A disk of a shape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeDisk {
    /// What the guest may do with it.
    pub access: Access,
    /// What it may contain at first. One alone is there from the beginning, which is quicker; of several, one takes its
    /// place when a start asks for it.
    pub images: Vec<ImageDigest>,
}

impl Shape {
    /// A spec of this shape with these disks, on a node that uses `first` where none is named.
    pub fn spec(&self, disks: Disks, first: Option<Accelerator>) -> Spec {
        Spec {
            machine: self.machine,
            accelerator: self.accelerator.or(first),
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            kernel: self.kernel.clone(),
            disks,
            nics: Nics::default(),
            limits: None,
        }
    }

    /// Whether a spec, with its accelerator, is of this shape.
    pub fn fits(&self, spec: &Spec, first: Option<Accelerator>) -> bool {
        let is_listed = |(own, disk): (&ShapeDisk, &garant_api::spec::Disk)| {
            own.access == disk.access && own.images.contains(&disk.image)
        };
        self.spec(spec.disks.clone(), first) == *spec
            && self.disks.len() == spec.disks.iter().count()
            && self.disks.iter().zip(&spec.disks).all(is_listed)
    }

    /// What a VMM of this shape may become, for its `ready` entry; `of` says what a spec is given to run.
    pub fn program(&self, first: Option<Accelerator>, of: impl FnOnce(&Spec) -> Program) -> Program {
        let disks = self.images().map(|image| *image.as_bytes()).collect();
        Program { disks, ..of(&self.spec(Disks::default(), first)) }
    }

    /// All images that its disks may have, each once.
    pub fn images(&self) -> impl Iterator<Item = &ImageDigest> {
        self.disks.iter().flat_map(|disk| &disk.images).collect::<BTreeSet<_>>().into_iter()
    }
}

/// What is wrong with the shapes of a configuration, in words.
pub fn refuse(shapes: &[Shape], accelerators: &[Accelerator]) -> Option<String> {
    let members = shapes.iter().fold(0usize, |sum, shape| sum.saturating_add(shape.ready));
    if shapes.len() > POOL_SHAPES || members > POOL_MEMBERS {
        return Some(format!("at most {POOL_SHAPES} shapes with {POOL_MEMBERS} VMMs ready in all"));
    }
    shapes.iter().find_map(|shape| {
        if shape.accelerator.is_some_and(|wanted| !accelerators.contains(&wanted)) {
            return Some("an accelerator that [vms] does not list".to_owned());
        }
        if shape.disks.iter().any(|disk| disk.images.is_empty()) {
            return Some("a disk without an image".to_owned());
        }
        let is_large = shape.disks.len() > DISKS || shape.images().count() > POOL_IMAGES;
        is_large.then(|| format!("at most {DISKS} disks with {POOL_IMAGES} images in all"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn digest(byte: u8) -> String {
        format!("sha256:{}", format!("{byte:02x}").repeat(32))
    }

    fn shape(disks: &str) -> Shape {
        let kernel = format!("kernel = {{ image = '{}', command_line = 'quiet' }}", digest(1));
        toml::from_str(&format!("ready = 2\nvcpus = 1\nmemory_mib = 64\n{kernel}\ndisks = [{disks}]")).unwrap()
    }

    fn disk(access: &str, images: &[u8]) -> String {
        let images: Vec<String> = images.iter().map(|byte| format!("'{}'", digest(*byte))).collect();
        format!("{{ access = '{access}', images = [{}] }}", images.join(", "))
    }

    fn spec(more: &str) -> Spec {
        let kernel = format!(r#"{{"image":"{}","command_line":"quiet"}}"#, digest(1));
        let json = format!(r#"{{"accelerator":"tcg","vcpus":1,"memory_mib":64,"kernel":{kernel}{more}}}"#);
        Spec::from_json(json.as_bytes()).unwrap()
    }

    fn disks(list: &[(&str, u8)]) -> String {
        let one = |(access, image): &(&str, u8)| format!(r#"{{"image":"{}","access":"{access}"}}"#, digest(*image));
        format!(r#","disks":[{}]"#, list.iter().map(one).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn a_spec_is_of_a_shape_only_where_everything_is_the_same_and_each_image_is_listed() {
        let first = Some(Accelerator::Tcg);
        let shape = shape(&format!("{}, {}", disk("overlay", &[2, 3]), disk("read_only", &[4])));
        let fits = |spec: &Spec| shape.fits(spec, first);
        let good = [("overlay", 3), ("read_only", 4)];
        assert!(fits(&spec(&disks(&good))));
        for other in [
            &[("overlay", 4), ("read_only", 4)][..],
            &[("read_only", 3), ("read_only", 4)],
            &[("read_only", 4), ("overlay", 3)],
            &[("overlay", 3)],
            &[],
            &[("overlay", 3), ("read_only", 4), ("read_only", 4)],
        ] {
            assert!(!fits(&spec(&disks(other))), "{other:?}");
        }
        let changes: [fn(&mut Spec); 6] = [
            |spec| spec.nics = serde_json::from_str(r#"[{"network":"lan"}]"#).unwrap(),
            |spec| spec.machine = Machine::Q35,
            |spec| spec.accelerator = Some(Accelerator::Kvm),
            |spec| spec.vcpus = 2.try_into().unwrap(),
            |spec| spec.memory_mib = 65.try_into().unwrap(),
            |spec| spec.kernel.initrd = Some(spec.kernel.image),
        ];
        for change in changes {
            let mut spec = spec(&disks(&good));
            change(&mut spec);
            assert!(!fits(&spec), "{spec:?}");
        }
        assert!(!shape.fits(&spec(&disks(&good)), Some(Accelerator::Kvm)), "the node's own choice is another");
    }

    #[test]
    fn what_is_ready_names_every_image_once() {
        let shape = shape(&format!("{}, {}", disk("overlay", &[3, 2]), disk("read_only", &[2])));
        let of = |spec: &Spec| {
            assert!(spec.disks.is_empty());
            Program { kernel: [1; 32], initrd: None, command_line: [7; 32], disks: vec![] }
        };
        assert_eq!(shape.program(None, of).disks, [[2; 32], [3; 32]]);
    }

    #[test]
    fn shapes_that_nothing_could_fill_are_refused() {
        let tcg = [Accelerator::Tcg];
        let one = shape(&disk("overlay", &[2]));
        assert_eq!(refuse(&vec![one.clone(); 2], &tcg), None);
        let images: Vec<u8> = (0..17).collect();
        for (what, shapes) in [
            ("shapes", vec![Shape { ready: 0, ..one.clone() }; POOL_SHAPES + 1]),
            ("VMMs", vec![Shape { ready: POOL_MEMBERS, ..one.clone() }, Shape { ready: 1, ..one.clone() }]),
            ("accelerator", vec![Shape { accelerator: Some(Accelerator::Kvm), ..one.clone() }]),
            ("without an image", vec![shape(&disk("overlay", &[]))]),
            ("images", vec![shape(&disk("read_only", &images))]),
            ("disks", vec![shape(&vec![disk("read_only", &[2]); DISKS + 1].join(", "))]),
        ] {
            assert!(refuse(&shapes, &tcg).is_some_and(|words| words.contains(what)), "{what}");
        }
    }
}
