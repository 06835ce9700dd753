//! `garant image`: what VMs boot and read, kept under the digest of its bytes.

mod store;

use crate::{
    failure::Failure,
    output::{Answer, Output},
};
use clap::Subcommand;
use garant_api::spec::ImageDigest;
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
    /// List the digests of all images, with their sizes.
    List,
}

/// Adds or lists.
pub(crate) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let store = Store::at(&args.store);
    match &args.command {
        Command::Add { file } => output.show(&store.add(file)?)?,
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
  zcat disk.raw.gz | garant image add -
  garant image list --json | jq -r .images[].digest
  sha256sum /boot/vmlinuz-6.1.0-44-cloud-amd64           the same digest, by another tool";
