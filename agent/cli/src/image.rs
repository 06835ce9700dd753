//! `garant image`: what VMs boot and read, kept under the digest of its bytes.

mod layout;
mod store;

use crate::{
    failure::Failure,
    output::{Answer, Output, printable},
};
use clap::Subcommand;
use garant_api::spec::ImageDigest;
use layout::Layout;
use serde::Serialize;
use std::{fmt, path::PathBuf};
use store::Store;

/// Keep images for VMs on this node. An image is named by its digest: a spec that names it can get no other bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder of the store.
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/garant/images")]
    store: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy a kernel, an initrd or a raw disk into the store, and print its digest.
    ///
    /// The image is there whole or not at all, whatever happens meanwhile. Adding it again changes nothing, but mends an
    /// image whose bytes are no longer those of its digest.
    Add {
        /// The file; `-` is standard input.
        file: PathBuf,
    },
    /// Copy the images of an OCI image layout into the store, and print their digests.
    ///
    /// An image's digest is that of its blob, so that who names it in a registry and who names it in a spec mean the same
    /// bytes. Layers are raw kernels, initrds and disks: not archives, and not compressed.
    Import {
        /// Folder with `oci-layout`, `index.json` and `blobs`.
        layout: PathBuf,
        /// Which manifest, where there are several: its `org.opencontainers.image.ref.name`.
        #[arg(long)]
        name: Option<String>,
    },
    /// List the digests of all images, with their sizes.
    List,
}

/// Adds or lists.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let store = Store::at(&args.store);
    match &args.command {
        Command::Add { file } => output.show(&store.add(file)?)?,
        Command::Import { layout, name } => {
            let imported = Layout::open(layout)?.import(name.as_deref(), &store)?;
            output.show(&Imports { images: imported.into_iter().map(Imported::from).collect() })?;
        }
        Command::List => output.show(&Images { store: args.store.clone(), images: store.list()? })?,
    }
    Ok(Answer::Yes)
}

/// An image of the store.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Image {
    digest: ImageDigest,
    size_bytes: u64,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.digest)
    }
}

/// What came out of a layout.
#[derive(Debug, Serialize)]
struct Imports {
    images: Vec<Imported>,
}

#[derive(Debug, Serialize)]
struct Imported {
    title: Option<String>,
    #[serde(flatten)]
    image: Image,
}

impl From<layout::Imported> for Imported {
    fn from(imported: layout::Imported) -> Imported {
        Imported { title: imported.untrusted_title, image: imported.image }
    }
}

impl fmt::Display for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.images.iter().try_for_each(|Imported { title, image }| {
            writeln!(f, "{}  {}", image.digest, printable(title.as_deref().unwrap_or("(no title)")))
        })
    }
}

/// All of them.
#[derive(Debug, Serialize)]
struct Images {
    store: PathBuf,
    images: Vec<Image>,
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.images.is_empty() {
            return write!(f, "no images in {}", self.store.display());
        }
        self.images.iter().try_for_each(|image| writeln!(f, "{}  {:>14} bytes", image.digest, image.size_bytes))
    }
}

const EXAMPLES: &str = "\
Examples:
  garant image add /boot/vmlinuz-6.1.0-44-cloud-amd64
  oras copy registry.example/debian-vm:12 --to-oci-layout vm:12 && garant image import vm
  zcat disk.raw.gz | garant image add -
  garant image list --json | jq -r .images[].digest
  sha256sum /boot/vmlinuz-6.1.0-44-cloud-amd64           the same digest, by another tool";
