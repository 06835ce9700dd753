//! The node's images: a folder of files, each named by the SHA-256 of its content.
//!
//! Left out: how an image comes there, and who else may write the folder. Who may, can change a file after it was
//! checked; the check finds what was damaged, or exchanged, before.

use crate::budget::IMAGES_REMEMBERED;
use aws_lc_rs::digest;
use garant_api::spec::ImageDigest;
use rustix::fs::{Mode, OFlags};
use std::{
    collections::HashMap,
    fmt,
    fs::{File, Metadata},
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A folder of images. A file's content is read once and then known by the file's identity, for as long as that is the
/// same.
#[derive(Debug)]
pub struct Store {
    folder: File,
    checked: Mutex<HashMap<ImageDigest, Identity>>,
}

/// Why there is no image.
#[derive(Debug)]
pub enum ImageError {
    /// The caller's fault, or whoever fills the store: it holds no such image.
    Unknown(ImageDigest),
    /// The node's: what has this name is no regular file.
    NotAFile(ImageDigest),
    /// The node's: the file's content is not what its name says.
    OtherContent {
        /// Its name.
        expected: ImageDigest,
        /// What it contains.
        found: ImageDigest,
    },
    /// The node's: somebody writes to the file.
    Changing(ImageDigest),
    /// The node's: the store cannot be read.
    Read(io::Error),
}

impl Store {
    /// Opens the folder; nothing in it is read yet.
    pub fn open(folder: &Path) -> Result<Store, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(io::Error::from)?;
        Ok(Store { folder: folder.into(), checked: Mutex::default() })
    }

    /// An image, open for reading, with the content that its name says. The first time it is read whole, at the speed
    /// of SHA-256 and the disk, and the caller waits: not on a thread that has other work.
    pub fn open_image(&self, digest: &ImageDigest) -> Result<File, ImageError> {
        self.open_image_at(digest, SystemTime::now())
    }

    fn open_image_at(&self, digest: &ImageDigest, now: SystemTime) -> Result<File, ImageError> {
        let file = self.open_file(digest)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ImageError::NotAFile(*digest));
        }
        let identity = Identity::of(&metadata);
        if self.checked().get(digest) != Some(&identity) {
            let is_settled = is_settled(&metadata, now);
            check(&file, digest, &identity)?;
            if is_settled {
                self.remember(*digest, identity);
            }
        }
        Ok(file)
    }

    /// Neither follows a link out of the store nor waits for the other end of a pipe.
    fn open_file(&self, digest: &ImageDigest) -> Result<File, ImageError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, digest.file_name(), flags, Mode::empty()) {
            Ok(file) => Ok(file.into()),
            Err(rustix::io::Errno::NOENT) => Err(ImageError::Unknown(*digest)),
            Err(rustix::io::Errno::LOOP) => Err(ImageError::NotAFile(*digest)),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn checked(&self) -> MutexGuard<'_, HashMap<ImageDigest, Identity>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A full table starts anew: an image that is read twice is slow, not wrong.
    fn remember(&self, digest: ImageDigest, identity: Identity) {
        let mut checked = self.checked();
        if checked.len() >= IMAGES_REMEMBERED && !checked.contains_key(&digest) {
            checked.clear();
        }
        checked.insert(digest, identity);
    }
}

/// What changes when a file's content does: Linux sets ctime at every write, and nobody but a clock's owner sets it
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether a write from now on would give the file another ctime than it has: time stamps move in steps.
fn is_settled(metadata: &Metadata, now: SystemTime) -> bool {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    let changed = UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
    changed.and_then(|changed| now.duration_since(changed).ok()).is_some_and(|age| age > TIME_STAMP_STEP)
}

/// Reads the file whole and compares; then looks whether it is still the file it was.
fn check(mut file: &File, expected: &ImageDigest, identity: &Identity) -> Result<(), ImageError> {
    let found = sha256(file)?;
    if Identity::of(&file.metadata()?) != *identity {
        return Err(ImageError::Changing(*expected));
    }
    if found != *expected {
        return Err(ImageError::OtherContent { expected: *expected, found });
    }
    Ok(file.rewind()?)
}

fn sha256(mut file: &File) -> io::Result<ImageDigest> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hash.update(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ImageDigest::from_bytes(hash.finish().as_ref().first_chunk().copied().unwrap_or_default()))
}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> ImageError {
        ImageError::Read(error)
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Unknown(digest) => write!(f, "the store has no image {digest}"),
            ImageError::NotAFile(digest) => write!(f, "image {digest} of the store is no regular file"),
            ImageError::OtherContent { expected, found } => write!(f, "image {expected} of the store contains {found}"),
            ImageError::Changing(digest) => write!(f, "image {digest} of the store was written to while it was read"),
            ImageError::Read(_) => f.write_str("the store cannot be read"),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImageError::Read(source) => Some(source),
            _ => None,
        }
    }
}

/// Longer than the steps of time stamps: a tick of the kernel, 10 ms at most (CONFIG_HZ), and the 2 s of FAT are the
/// longest.
const TIME_STAMP_STEP: Duration = Duration::from_secs(3);

/// Bytes that are read at a time: below the size of a second-level cache.
const READ_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]
    use super::*;
    use std::{
        fs::{self, FileTimes},
        os::unix::fs::symlink,
        path::PathBuf,
        thread,
    };
    use tempfile::TempDir;

    fn digest(content: &[u8]) -> ImageDigest {
        ImageDigest::from_bytes(*digest::digest(&digest::SHA256, content).as_ref().first_chunk().unwrap())
    }

    /// A store with nothing in it.
    struct Scene {
        folder: TempDir,
        store: Store,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path()).unwrap();
            Scene { folder, store }
        }

        fn path(&self, digest: &ImageDigest) -> PathBuf {
            self.folder.path().join(digest.file_name())
        }

        fn put(&self, content: &[u8]) -> ImageDigest {
            let digest = digest(content);
            fs::write(self.path(&digest), content).unwrap();
            digest
        }

        /// Opens it at a time when every file's time stamp is old.
        fn open_later(&self, digest: &ImageDigest) -> Result<File, ImageError> {
            self.store.open_image_at(digest, SystemTime::now() + Duration::from_secs(60))
        }
    }

    #[test]
    fn an_image_is_opened_at_its_start_by_its_digest() {
        let scene = Scene::new();
        let content = b"content".repeat(100_000);
        let image = scene.put(&content);
        for _ in 0..2 {
            let mut read = Vec::new();
            scene.open_later(&image).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == content);
        }
    }

    #[test]
    fn an_image_cannot_be_written_through_what_is_opened() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        let mut file = scene.store.open_image(&image).unwrap();
        assert!(io::Write::write(&mut file, b"x").is_err());
    }

    #[test]
    fn a_store_that_is_no_folder_does_not_open() {
        assert!(matches!(Store::open(Path::new("/dev/null")), Err(ImageError::Read(_))));
        assert!(matches!(Store::open(Path::new("/nowhere")), Err(ImageError::Read(_))));
    }

    #[test]
    fn an_image_that_is_not_there_is_unknown() {
        let scene = Scene::new();
        let absent = digest(b"absent");
        assert!(matches!(scene.store.open_image(&absent), Err(ImageError::Unknown(named)) if named == absent));
    }

    #[test]
    fn other_content_under_the_name_of_an_image_is_refused_and_named() {
        let scene = Scene::new();
        let image = digest(b"image");
        for other in [&b"Image"[..], b"", b"image "] {
            fs::write(scene.path(&image), other).unwrap();
            let error = scene.open_later(&image).unwrap_err();
            let ImageError::OtherContent { expected, found } = error else { panic!("{error}") };
            assert_eq!((expected, found), (image, digest(other)));
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        let [link, folder, pipe] = [b"link", b"dir_", b"pipe"].map(|name| digest(name));
        symlink(scene.path(&image), scene.path(&link)).unwrap();
        fs::create_dir(scene.path(&folder)).unwrap();
        nix::unistd::mkfifo(&scene.path(&pipe), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in [link, folder, pipe] {
            assert!(matches!(scene.store.open_image(&name), Err(ImageError::NotAFile(named)) if named == name));
        }
    }

    #[test]
    fn an_image_that_was_checked_is_not_read_again() {
        let scene = Scene::new();
        let image = digest(b"image");
        fs::write(scene.path(&image), b"other").unwrap();
        let identity = Identity::of(&fs::metadata(scene.path(&image)).unwrap());
        scene.store.remember(image, identity);
        assert!(scene.open_later(&image).is_ok(), "whoever reads it finds other content");
    }

    #[test]
    fn a_checked_image_that_was_written_to_is_found_though_its_size_and_its_time_of_writing_are_as_before() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        scene.open_later(&image).unwrap();
        assert!(scene.store.checked().contains_key(&image));
        let before = fs::metadata(scene.path(&image)).unwrap().modified().unwrap();
        thread::sleep(Duration::from_millis(20)); // longer than a tick, as the time stamps of this test are not old
        let file = File::options().write(true).open(scene.path(&image)).unwrap();
        io::Write::write_all(&mut &file, b"Content").unwrap();
        file.set_times(FileTimes::new().set_modified(before)).unwrap();
        assert!(matches!(scene.open_later(&image), Err(ImageError::OtherContent { .. })));
    }

    #[test]
    fn an_image_that_has_just_been_written_is_not_remembered() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        scene.store.open_image(&image).unwrap();
        assert!(scene.store.checked().is_empty(), "a write in the same tick would not be seen");
        scene.store.open_image_at(&image, SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert!(scene.store.checked().is_empty(), "nor where the clock was set back");
    }

    #[test]
    fn an_image_that_is_written_while_it_is_read_is_refused() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        let file = scene.store.open_file(&image).unwrap();
        let before = Identity { bytes: 6, ..Identity::of(&file.metadata().unwrap()) };
        assert!(matches!(check(&file, &image, &before), Err(ImageError::Changing(named)) if named == image));
    }

    #[test]
    fn a_full_memory_starts_anew_and_stays_within_its_limit() {
        let scene = Scene::new();
        let image = scene.put(b"content");
        let identity = Identity::of(&fs::metadata(scene.path(&image)).unwrap());
        for number in 0..IMAGES_REMEMBERED {
            scene.store.remember(digest(&number.to_be_bytes()), identity);
        }
        scene.store.remember(digest(&0_usize.to_be_bytes()), identity);
        assert_eq!(scene.store.checked().len(), IMAGES_REMEMBERED, "what is known takes no room");
        scene.open_later(&image).unwrap();
        assert_eq!(scene.store.checked().len(), 1);
    }
}
