//! Makes a layer above a disk's image that a VM may write: an empty qcow2 image (docs/interop/qcow2.txt of QEMU,
//! version 3), in process.
//!
//! It names no file below it: which image that is stands in the VMM's arguments alone.

use crate::budget::OVERLAID_BYTES;
use std::{fmt, fs::File, io, os::unix::fs::FileExt};

/// Why there is no overlay.
#[derive(Debug)]
pub enum OverlayError {
    /// The caller's fault: a disk of this size is too large to be written above.
    TooLarge {
        /// The disk.
        found_bytes: u64,
    },
    /// Ours: the file that was to become one holds something already.
    NotEmpty,
    /// The node's: its disk is full or fails.
    Write(io::Error),
}

/// Makes an empty file, open for writing, an overlay of a disk of this size. It is sparse, with three blocks of
/// content, and not synchronised: it holds nothing yet.
pub fn format(file: &File, disk_bytes: u64) -> Result<(), OverlayError> {
    if disk_bytes > OVERLAID_BYTES {
        return Err(OverlayError::TooLarge { found_bytes: disk_bytes });
    }
    if file.metadata()?.len() != 0 {
        return Err(OverlayError::NotEmpty);
    }
    file.write_all_at(&REFCOUNT_BLOCK.to_be_bytes(), REFCOUNT_TABLE)?;
    file.write_all_at(&1_u16.to_be_bytes().repeat(CLUSTERS), REFCOUNT_BLOCK)?;
    file.set_len(END)?; // the L1 table before it is all zero: every cluster is the disk's
    file.write_all_at(&header(disk_bytes), 0)?; // last: until now it is no qcow2 image
    Ok(())
}

/// All numbers are big-endian. After it, zeros are the end of header extensions.
fn header(disk_bytes: u64) -> [u8; 104] {
    let size = disk_bytes.next_multiple_of(SECTOR_BYTES);
    let l1_entries = u32::try_from(size.div_ceil(L2_TABLE_MAPS_BYTES)).unwrap_or(u32::MAX);
    let fields: [(usize, &[u8]); 10] = [
        (0, b"QFI\xfb"),
        (4, &3_u32.to_be_bytes()), // version
        // 8 to 19: a backing file's name, which there is not
        (20, &CLUSTER_BITS.to_be_bytes()),
        (24, &size.to_be_bytes()),
        // 32: no encryption
        (36, &l1_entries.to_be_bytes()),
        (40, &L1_TABLE.to_be_bytes()),
        (48, &REFCOUNT_TABLE.to_be_bytes()),
        (56, &1_u32.to_be_bytes()), // clusters of the refcount table
        // 60 to 95: no snapshots, no features
        (96, &4_u32.to_be_bytes()),    // a refcount has 2 to the 4 bits
        (100, &104_u32.to_be_bytes()), // this header's length
    ];
    let mut header = [0; 104];
    for (at, field) in fields {
        header.iter_mut().skip(at).zip(field).for_each(|(byte, value)| *byte = *value);
    }
    header
}

impl From<io::Error> for OverlayError {
    fn from(error: io::Error) -> OverlayError {
        OverlayError::Write(error)
    }
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OverlayError::TooLarge { found_bytes } => {
                write!(f, "a disk of {found_bytes} bytes cannot be written to; the limit is {OVERLAID_BYTES}")
            }
            OverlayError::NotEmpty => f.write_str("the overlay's file is not empty"),
            OverlayError::Write(_) => f.write_str("the overlay cannot be written"),
        }
    }
}

impl std::error::Error for OverlayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OverlayError::Write(source) => Some(source),
            OverlayError::TooLarge { .. } | OverlayError::NotEmpty => None,
        }
    }
}

/// Two to this many bytes: QEMU's own choice for new images.
const CLUSTER_BITS: u32 = 16;
const SECTOR_BYTES: u64 = 512;
/// An L2 table is one cluster of 8-byte entries, each of one cluster.
const L2_TABLE_MAPS_BYTES: u64 = 8192 << CLUSTER_BITS;

// What the file consists of, one cluster each; the header is first.
const REFCOUNT_TABLE: u64 = 1 << CLUSTER_BITS;
const REFCOUNT_BLOCK: u64 = 2 << CLUSTER_BITS;
const L1_TABLE: u64 = 3 << CLUSTER_BITS;
const END: u64 = 4 << CLUSTER_BITS;
const CLUSTERS: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::arithmetic_side_effects)]
    use super::*;
    use crate::vm::{
        plan::{DiskFile, Files, plan},
        qmp::Qmp,
        real_qemu::{RealQemu, spec},
    };
    use serde_json::json;
    use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

    fn formatted(disk_bytes: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        format(&file, disk_bytes).unwrap();
        file
    }

    #[test]
    fn it_has_the_disks_size_in_whole_sectors_and_an_entry_for_each_half_gib_of_it() {
        let half_gib = 512 << 20;
        for (disk, size, l1_entries) in [
            (0, 0, 0),
            (1, 512, 1),
            (512, 512, 1),
            (half_gib, half_gib, 1),
            (half_gib + 1, half_gib + 512, 2),
            (OVERLAID_BYTES, OVERLAID_BYTES, 8192),
        ] {
            let header = header(disk);
            assert_eq!(u64::from_be_bytes(*header[24..].first_chunk().unwrap()), size);
            assert_eq!(u32::from_be_bytes(*header[36..].first_chunk().unwrap()), l1_entries);
        }
    }

    #[test]
    fn it_names_no_file_below_it() {
        let mut start = [0; 32];
        formatted(1 << 20).read_exact_at(&mut start, 0).unwrap();
        assert_eq!(start[..8], *b"QFI\xfb\0\0\0\x03");
        assert_eq!(start[8..20], [0; 12]);
    }

    #[test]
    fn it_takes_the_room_of_its_tables_whatever_the_size_of_the_disk() {
        let file = formatted(OVERLAID_BYTES).metadata().unwrap();
        assert_eq!(file.len(), 4 << 16);
        assert!(file.blocks() * 512 <= 4 << 16, "{} blocks", file.blocks());
    }

    #[test]
    fn a_disk_that_its_tables_cannot_map_is_refused_and_the_file_stays_empty() {
        let file = tempfile::tempfile().unwrap();
        let error = format(&file, OVERLAID_BYTES + 1).unwrap_err();
        assert!(matches!(error, OverlayError::TooLarge { found_bytes } if found_bytes == OVERLAID_BYTES + 1));
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_file_that_holds_something_is_not_overwritten() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"x", 0).unwrap();
        assert!(matches!(format(&file, 512), Err(OverlayError::NotEmpty)));
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A VMM with one disk, an overlay of `image`, and nothing to boot.
    fn vmm(image: &Path, overlay: &Path) -> Option<RealQemu> {
        let disk = DiskFile::Overlay {
            image: File::open(image).unwrap(),
            overlay: File::options().read(true).write(true).open(overlay).unwrap(),
        };
        let files = Files { kernel: File::open("/dev/null").unwrap(), initrd: None, disks: vec![disk] };
        let mut plan = plan(&spec("microvm", "", &["overlay"]), files, None);
        let kernel = plan.arguments.iter().position(|argument| argument == "-kernel").unwrap();
        plan.arguments.drain(kernel..kernel + 4); // and its command line
        RealQemu::spawn(&plan.arguments, &plan.descriptors)
    }

    /// Runs commands of QEMU's block tester on the disk and gives what it printed.
    async fn run(image: &Path, overlay: &Path, commands: &[&str]) -> Option<String> {
        let mut qemu = vmm(image, overlay)?;
        let (qmp, _notices) = match Qmp::greet(qemu.qmp(), PATIENCE).await {
            Ok(greeted) => greeted,
            Err(error) => panic!("{error}: {}", qemu.log()),
        };
        for command in commands {
            let line = json!({ "command-line": format!("qemu-io -d device0 \"{command}\"") });
            assert_eq!(qmp.execute("human-monitor-command", line, PATIENCE).await.unwrap(), json!(""));
        }
        qmp.execute("quit", json!(null), PATIENCE).await.unwrap();
        assert!(qemu.wait().success());
        Some(qemu.log())
    }

    #[tokio::test]
    async fn a_real_qemu_reads_the_image_writes_to_the_overlay_and_finds_it_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let (image, overlay) = (folder.path().join("image"), folder.path().join("overlay"));
        let image_content = vec![0xaa; 300_000]; // neither whole sectors nor whole clusters
        fs::write(&image, &image_content).unwrap();
        format(&File::create(&overlay).unwrap(), 300_000).unwrap();

        let commands = ["read -P 0xaa 0 299520", "write -P 0x55 65000 2000", "read -P 0x55 65000 2000", "flush"];
        let Some(log) = run(&image, &overlay, &commands).await else { return };
        let counts = ["read 299520/299520", "wrote 2000/2000", "read 2000/2000"];
        assert!(counts.iter().all(|count| log.contains(count)) && !log.contains("failed"), "{log}");
        assert!(fs::read(&image).unwrap() == image_content, "the image is as it was");

        let commands = ["read -P 0xaa 0 65000", "read -P 0x55 65000 2000", "read -P 0xaa 67000 200000"];
        let log = run(&image, &overlay, &commands).await.unwrap();
        let counts = ["read 65000/65000", "read 2000/2000", "read 200000/200000"];
        assert!(counts.iter().all(|count| log.contains(count)) && !log.contains("failed"), "{log}");
        assert!(run(&image, &overlay, &["read -P 0xaa 65000 2000"]).await.unwrap().contains("failed"));
    }

    #[tokio::test]
    async fn a_real_qemu_writes_to_the_last_sector_of_the_largest_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (image, overlay) = (folder.path().join("image"), folder.path().join("overlay"));
        File::create(&image).unwrap().set_len(OVERLAID_BYTES).unwrap();
        format(&File::create(&overlay).unwrap(), OVERLAID_BYTES).unwrap();
        let last = OVERLAID_BYTES - 512;
        let commands = [format!("write -P 0x55 {last} 512"), format!("write -P 0x55 {OVERLAID_BYTES} 512")];
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let Some(log) = run(&image, &overlay, &commands).await else { return };
        assert!(log.contains("wrote 512/512"), "{log}");
        assert_eq!(log.matches("wrote").count(), 1, "nothing lies beyond: {log}");
    }

    #[tokio::test]
    async fn two_vmms_cannot_have_one_overlay_but_can_have_one_image() {
        let folder = tempfile::tempdir().unwrap();
        let [image, first, second] = ["image", "first", "second"].map(|name| folder.path().join(name));
        fs::write(&image, [0; 512]).unwrap();
        for overlay in [&first, &second] {
            format(&File::create(overlay).unwrap(), 512).unwrap();
        }
        let Some(holder) = vmm(&image, &first) else { return };
        let _held = Qmp::greet(holder.qmp(), PATIENCE).await.unwrap();
        let other = vmm(&image, &second).unwrap();
        assert!(Qmp::greet(other.qmp(), PATIENCE).await.is_ok(), "{}", other.log());
        let same = vmm(&image, &first).unwrap();
        assert!(Qmp::greet(same.qmp(), PATIENCE).await.is_err());
        assert!(same.log().contains("lock"), "{}", same.log());
    }
}
