//! What a policy says of workloads: what VMs may be given to run.

use crate::{budget, ledger::Program, policy_values::Hex, workload::Sha256Text};
use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString},
    vec::Vec,
};
use serde::{Deserialize, Deserializer};

/// What may run. A list that is left out is not looked at, and the verdict says so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadPolicy {
    kernels: Vec<Accepted>,
    initrds: Option<Vec<AcceptedInitrd>>,
    command_lines: Option<Vec<Accepted>>,
    disks: Option<Vec<Accepted>>,
}

impl WorkloadPolicy {
    /// What of a program the policy does not accept, in words.
    pub fn refuses(&self, program: &Program) -> Option<String> {
        let Program { kernel, initrd, command_line, disks } = program;
        let other = |what: &str, digest: &[u8; 32]| format!("{what} {} {NOT_IN_POLICY}", Sha256Text(digest));
        if !has(&self.kernels, kernel) {
            return Some(other("kernel", kernel));
        }
        if self.initrds.as_ref().is_some_and(|known| known.binary_search(&AcceptedInitrd(*initrd)).is_err()) {
            return Some(initrd.map_or_else(|| "it has no initrd".to_string(), |digest| other("initrd", &digest)));
        }
        if self.command_lines.as_ref().is_some_and(|known| !has(known, command_line)) {
            return Some(other("command line", command_line));
        }
        let known = self.disks.as_ref()?;
        disks.iter().find(|disk| !has(known, disk)).map(|disk| other("disk", disk))
    }

    /// What the policy does not look at, in words.
    pub fn unchecked(&self) -> impl Iterator<Item = &'static str> {
        let initrds = self.initrds.is_none().then_some("initrds of VMs");
        let command_lines = self.command_lines.is_none().then_some("command lines of VMs");
        let disks = self.disks.is_none().then_some("disks of VMs");
        [initrds, command_lines, disks].into_iter().flatten()
    }

    /// Whether its lists are within their limits; the text says which is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let length = |list: &Option<Vec<Accepted>>| list.as_ref().map_or(0, Vec::len);
        for (name, found) in [
            ("kernels", self.kernels.len()),
            ("initrds", self.initrds.as_ref().map_or(0, Vec::len)),
            ("command_lines", length(&self.command_lines)),
            ("disks", length(&self.disks)),
        ] {
            if found > budget::WORKLOAD_DIGESTS {
                return Err(format!("{found} {name} where at most {} are read", budget::WORKLOAD_DIGESTS));
            }
        }
        Ok(())
    }

    /// The node chooses how many VMs are looked up.
    pub(crate) fn sort(&mut self) {
        self.kernels.sort_unstable();
        self.initrds.iter_mut().for_each(|list| list.sort_unstable());
        self.command_lines.iter_mut().chain(&mut self.disks).for_each(|list| list.sort_unstable());
    }
}

fn has(sorted: &[Accepted], digest: &[u8; 32]) -> bool {
    sorted.binary_search(&Accepted(*digest)).is_ok()
}

/// 64 hexadecimal digits, `sha256:` before them or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Accepted([u8; 32]);

impl<'de> Deserialize<'de> for Accepted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        Hex::<32>::deserialize(serde::de::value::StrDeserializer::new(digits)).map(|hex| Accepted(hex.0))
    }
}

/// The same, or `none` for a VM without an initrd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct AcceptedInitrd(Option<[u8; 32]>);

impl<'de> Deserialize<'de> for AcceptedInitrd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        if text == "none" {
            return Ok(AcceptedInitrd(None));
        }
        let digest = Accepted::deserialize(serde::de::value::CowStrDeserializer::new(text))?;
        Ok(AcceptedInitrd(Some(digest.0)))
    }
}

const NOT_IN_POLICY: &str = "is not in the policy";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use alloc::vec;

    fn parse(text: &str) -> Result<WorkloadPolicy, String> {
        let mut policy: WorkloadPolicy = toml::from_str(text).map_err(|error| error.to_string())?;
        policy.check()?;
        policy.sort();
        Ok(policy)
    }

    fn list(name: &str, bytes: &[u8]) -> String {
        let digests: Vec<String> = bytes.iter().map(|byte| format!("\"{}\"", hex(*byte))).collect();
        format!("{name} = [{}]\n", digests.join(", "))
    }

    fn hex(byte: u8) -> String {
        format!("{byte:02x}").repeat(32)
    }

    fn program() -> Program {
        Program { kernel: [1; 32], initrd: Some([2; 32]), command_line: [3; 32], disks: vec![[4; 32], [5; 32]] }
    }

    #[test]
    fn each_list_refuses_what_is_not_in_it_and_one_that_is_left_out_nothing() {
        let kernels = list("kernels", &[9, 1, 5]);
        let refused = |more: &str| parse(&format!("{kernels}{more}")).unwrap().refuses(&program());
        assert_eq!(refused(""), None);
        for (name, good, bad, what) in [
            ("initrds", &[7, 2][..], &[1][..], "initrd sha256:0202"),
            ("command_lines", &[3], &[], "command line sha256:0303"),
            ("disks", &[5, 4], &[4], "disk sha256:0505"),
        ] {
            assert_eq!(refused(&list(name, good)), None);
            assert!(refused(&list(name, bad)).unwrap().starts_with(what), "{name}");
        }
        assert!(parse(&list("kernels", &[])).unwrap().refuses(&program()).unwrap().starts_with("kernel sha256:0101"));
    }

    #[test]
    fn a_vm_without_an_initrd_is_accepted_only_by_name_where_initrds_are_asked_for() {
        let bare = Program { initrd: None, disks: vec![], ..program() };
        let policy = |initrds: &str| parse(&format!("{}initrds = [{initrds}]", list("kernels", &[1]))).unwrap();
        assert_eq!(policy("\"none\"").refuses(&bare), None);
        assert!(policy("\"none\"").refuses(&program()).unwrap().starts_with("initrd"));
        assert_eq!(policy(&format!("\"sha256:{}\"", hex(2))).refuses(&bare).unwrap(), "it has no initrd");
        assert_eq!(policy(&format!("\"none\", \"sha256:{}\"", hex(2))).refuses(&program()), None);
    }

    #[test]
    fn what_the_policy_does_not_look_at_is_named() {
        let unchecked = |text: &str| parse(text).unwrap().unchecked().count();
        assert_eq!(unchecked("kernels = []"), 3);
        assert_eq!(unchecked("kernels = []\ninitrds = []\ncommand_lines = []\ndisks = []"), 0);
    }

    #[test]
    fn a_section_without_kernels_with_other_keys_or_digests_or_too_long_is_an_error() {
        for (text, what) in [
            (String::new(), "missing field `kernels`"),
            ("kernels = []\nkernel = []".into(), "unknown field `kernel`"),
            ("kernels = [\"sha384:00\"]".into(), "hexadecimal"),
            ("kernels = [\"00\"]".into(), "1 bytes where 32 are expected"),
            ("kernels = [\"none\"]".into(), "hexadecimal"),
            ("kernels = []\ninitrds = [\"None\"]".into(), "hexadecimal"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
        let most = vec![1; budget::WORKLOAD_DIGESTS];
        for name in ["kernels", "initrds", "command_lines", "disks"] {
            let other = if name == "kernels" { "" } else { "kernels = []\n" };
            assert!(parse(&format!("{other}{}", list(name, &most))).is_ok());
            assert!(parse(&format!("{other}{}", list(name, &[&most[..], &[1]].concat()))).unwrap_err().contains(name));
        }
    }
}
