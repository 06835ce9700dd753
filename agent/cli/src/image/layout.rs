//! Reads an OCI image layout (image-spec 1.1, image-layout.md): a folder whose files are named by their digests, as `oras`,
//! `skopeo` and `crane` write them. Each digest and size is checked on the way from index to manifest to image.
//!
//! Left out: registries, layers that are archives or compressed (a VM boots none of them), and indices below the index.

use super::{Image, Store};
use crate::{failure::Failure, input};
use aws_lc_rs::digest::{SHA256, digest};
use garant_api::spec::ImageDigest;
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A folder that says that it is a layout.
pub(super) struct Layout {
    folder: PathBuf,
    index: Index,
}

/// An image of a layout, now in the store.
pub(super) struct Imported {
    /// What the layout calls it, as it stands there.
    pub(super) untrusted_title: Option<String>,
    /// The image.
    pub(super) image: Image,
}

impl Layout {
    /// Reads the index.
    pub(super) fn open(folder: &Path) -> Result<Layout, Failure> {
        let mark: Mark = parse(&folder.join("oci-layout"), &input::read(&folder.join("oci-layout"), JSON_BYTES)?)?;
        if !mark.version.starts_with("1.") {
            let what = format!("is an OCI layout of version {:?}", mark.version);
            return Err(Failure::new(what, folder.display(), "write it anew in version 1.0.0"));
        }
        let place = folder.join("index.json");
        let index = parse(&place, &input::read(&place, JSON_BYTES)?)?;
        Ok(Layout { folder: folder.to_owned(), index })
    }

    /// Copies the images of one manifest into the store: of the one with this name, or of the only one.
    pub(super) fn import(&self, name: Option<&str>, store: &Store) -> Result<Vec<Imported>, Failure> {
        let chosen = self.choose(name)?;
        let place = self.blob(&chosen.digest);
        let bytes = input::read(&place, JSON_BYTES)?;
        chosen.check(&place, &sha256(&bytes), u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        let manifest: Manifest = parse(&place, &bytes)?;
        if manifest.layers.is_empty() || manifest.layers.len() > LAYERS {
            let what = format!("has {} layers, and 1 to {LAYERS} are read", manifest.layers.len());
            return Err(Failure::new(what, place.display(), "make an artifact of a kernel, an initrd and disks"));
        }
        manifest.layers.iter().try_for_each(|layer| layer.bootable(&place))?;
        manifest.layers.iter().map(|layer| self.take(layer, store)).collect()
    }

    fn choose(&self, name: Option<&str>) -> Result<&Descriptor, Failure> {
        let manifests = &self.index.manifests;
        let is_meant =
            |one: &&Descriptor| name.is_none_or(|name| one.annotations.get(NAME).is_some_and(|its| its == name));
        let mut meant = manifests.iter().filter(is_meant);
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(one),
            (found, _) => {
                let names: Vec<&str> =
                    manifests.iter().filter_map(|one| Some(one.annotations.get(NAME)?.as_str())).collect();
                let what = if found.is_some() { "more than one manifest is meant" } else { "no such manifest" };
                let next = format!("name one with --name; there are: {}", names.join(", "));
                Err(Failure::new(what, self.folder.join("index.json").display(), next))
            }
        }
    }

    fn take(&self, layer: &Descriptor, store: &Store) -> Result<Imported, Failure> {
        let place = self.blob(&layer.digest);
        let image = store.add_if(&place, |image| layer.check(&place, &image.digest, image.size_bytes))?;
        Ok(Imported { untrusted_title: layer.annotations.get(TITLE).cloned(), image })
    }

    fn blob(&self, digest: &ImageDigest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.file_name())
    }
}

/// `oci-layout`.
#[derive(Deserialize)]
struct Mark {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// What one file has to be (descriptor.md). Other digests than SHA-256 are none that a spec could name.
#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: ImageDigest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn check(&self, place: &Path, found: &ImageDigest, found_bytes: u64) -> Result<(), Failure> {
        if *found == self.digest && found_bytes == self.size {
            return Ok(());
        }
        let what = format!("is {found} with {found_bytes} bytes, and should be {} with {}", self.digest, self.size);
        Err(Failure::new(what, place.display(), "copy the layout anew: its files are not those that it names"))
    }

    fn bootable(&self, manifest: &Path) -> Result<(), Failure> {
        let is_archive = ["tar", "gzip", "zstd"].iter().any(|word| self.media_type.contains(word));
        if !is_archive {
            return Ok(());
        }
        let what = format!("layer {} is {}: no VM boots or reads that", self.digest, self.media_type);
        let next = "push raw files: oras push --oci-layout DIR:NAME vmlinuz:application/octet-stream …";
        Err(Failure::new(what, manifest.display(), next))
    }
}

fn parse<T: DeserializeOwned>(place: &Path, bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(
            format!("is not what an OCI layout has there: {error}"),
            place.display(),
            "name a folder with oci-layout and index.json",
        )
    })
}

fn sha256(bytes: &[u8]) -> ImageDigest {
    ImageDigest::from_bytes(digest(&SHA256, bytes).as_ref().first_chunk().copied().unwrap_or_default())
}

/// Pre-defined annotation keys (annotations.md): the tag of a manifest, the file name of a layer.
const NAME: &str = "org.opencontainers.image.ref.name";
/// See [`NAME`].
const TITLE: &str = "org.opencontainers.image.title";
/// Bytes of an index or a manifest: registries take 4 MiB at most (distribution-spec 1.1, pushing manifests).
const JSON_BYTES: usize = 4 * 1024 * 1024;
/// Images of one manifest: a kernel, an initrd and all disks that a VM may have, twice.
const LAYERS: usize = 20;
