//! The store of images: `sha256/<64 hexadecimal digits>` in its folder, each file whole and synced before it has its name.

use super::Image;
use crate::failure::Failure;
use aws_lc_rs::digest::{Context, SHA256};
use garant_api::spec::ImageDigest;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

/// The folder, which need not be there yet.
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Below this folder.
    pub(super) fn at(folder: &Path) -> Store {
        Store { folder: folder.join("sha256") }
    }

    /// Copies a file into the store.
    pub(super) fn add(&self, path: &Path) -> Result<Image, Failure> {
        self.add_if(path, |_| Ok(()))
    }

    /// Copies a file into the store where it is what it should be.
    pub(super) fn add_if(
        &self,
        path: &Path,
        check: impl FnOnce(&Image) -> Result<(), Failure>,
    ) -> Result<Image, Failure> {
        let unread = |e: io::Error| Failure::new(format!("cannot be read: {e}"), path.display(), "check the path");
        let mut source: Box<dyn Read> = match path.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(path).map_err(unread)?),
        };
        let mut copy = Copy::new(&self.folder).map_err(|e| self.unwritten(&e))?;
        let image = copy.fill(&mut *source).map_err(|fault| match fault {
            Fault::Source(error) => unread(error),
            Fault::Store(error) => self.unwritten(&error),
        })?;
        check(&image)?;
        self.keep(&copy, &image).map_err(|e| self.unwritten(&e))?;
        Ok(image)
    }

    /// Gives the copy its name, unless the image is there and sound: a file that VMs may have open is replaced only where
    /// it is broken.
    fn keep(&self, copy: &Copy, image: &Image) -> io::Result<()> {
        let place = self.folder.join(image.digest.file_name());
        let there = File::open(&place).map_err(Fault::Source).and_then(|mut file| read(&mut file, |_, _| Ok(())));
        if there.is_ok_and(|(digest, _)| digest == image.digest) {
            return Ok(());
        }
        copy.file.set_permissions(Permissions::from_mode(0o444))?;
        copy.file.sync_all()?;
        fs::rename(&copy.path, &place)?;
        // The folder's own name may be new too.
        self.folder.ancestors().take(2).try_for_each(|folder| File::open(folder)?.sync_all())
    }

    /// All images by digest. What has no digest's name is none.
    pub(super) fn list(&self) -> Result<Vec<Image>, Failure> {
        let unread =
            |e: io::Error| Failure::new(format!("cannot be read: {e}"), self.folder.display(), "name a store: --store");
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unread)?,
        };
        let mut images = Vec::new();
        for entry in entries {
            let entry = entry.map_err(unread)?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| format!("sha256:{name}").parse().ok());
            if let Some(digest) = digest {
                images.push(Image { digest, size_bytes: entry.metadata().map_err(unread)?.len() });
            }
        }
        images.sort();
        Ok(images)
    }

    fn unwritten(&self, error: &io::Error) -> Failure {
        let next = match error.kind() {
            io::ErrorKind::PermissionDenied => "run this as a user who may write there, or with sudo",
            io::ErrorKind::StorageFull => "make room there, or name another store with --store",
            _ => "check the store, or name another with --store",
        };
        Failure::new(format!("the store cannot be written: {error}"), self.folder.display(), next)
    }
}

/// Who is at fault.
enum Fault {
    /// The file that is read.
    Source(io::Error),
    /// The store.
    Store(io::Error),
}

/// An image that has no name yet; dropped without one, it is gone.
struct Copy {
    path: PathBuf,
    file: File,
}

impl Copy {
    fn new(folder: &Path) -> io::Result<Copy> {
        fs::create_dir_all(folder)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = folder.join(format!(".new-{}-{}", process::id(), since.as_nanos()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Copy { path, file })
    }

    /// Copies what the source has. Blocks of zeros stay holes: a disk of 10 GB with 1 GB of content takes 1 GB.
    fn fill(&mut self, source: &mut dyn Read) -> Result<Image, Fault> {
        let (digest, size_bytes) = read(source, |block, at| {
            if block.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(block))
        })?;
        self.file.set_len(size_bytes).map_err(Fault::Store)?;
        Ok(Image { digest, size_bytes })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // After the rename there is nothing of this name, and nobody else's file ever has it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads to the end, hands out each block with its offset, and says digest and size.
fn read(
    source: &mut dyn Read,
    mut each: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> Result<(ImageDigest, u64), Fault> {
    let mut hash = Context::new(&SHA256);
    let mut block = vec![0; BLOCK_BYTES];
    let mut size_bytes: u64 = 0;
    loop {
        let found = match source.read(&mut block) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            found => block.get(..found.map_err(Fault::Source)?).unwrap_or_default(),
        };
        if found.is_empty() {
            break;
        }
        hash.update(found);
        each(found, size_bytes).map_err(Fault::Store)?;
        size_bytes = size_bytes.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
    }
    let digest = hash.finish();
    // SHA-256 has 32 bytes.
    let bytes = digest.as_ref().first_chunk().copied().unwrap_or_default();
    Ok((ImageDigest::from_bytes(bytes), size_bytes))
}

/// Bytes that are read at a time.
const BLOCK_BYTES: usize = 64 * 1024;
