#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]
use super::*;
use crate::vm::{
    overlay,
    qmp::{Notice, Qmp, RunState},
    real_qemu::{RealQemu, spec},
    tsc,
};
use proptest::prelude::*;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Linux boots in 2.5 s of processor time in software; a busy host may take long to give them.
const PATIENCE: Duration = Duration::from_secs(180);

fn null() -> File {
    File::options().read(true).write(true).open("/dev/null").unwrap()
}

/// Files for a spec that nobody reads.
fn files_of(spec: &Spec) -> Files {
    let disks = spec.disks.iter().map(|disk| match disk.access {
        garant_api::spec::Access::ReadOnly => DiskFile::ReadOnly { image: null() },
        garant_api::spec::Access::Overlay => DiskFile::Overlay { image: null(), overlay: null() },
    });
    Files { kernel: null(), initrd: spec.kernel.initrd.map(|_| null()), disks: disks.collect() }
}

fn arguments(spec: &Spec) -> Vec<String> {
    plan(spec, files_of(spec), None).arguments
}

/// An option and its value, one to a line, after those that every VM has.
fn own_lines(arguments: &[String]) -> Vec<String> {
    assert_eq!(arguments[..BASE.len()], BASE);
    arguments[BASE.len()..].chunks(2).map(|pair| pair.join(" ")).collect()
}

fn with_initrd(spec: Spec) -> Spec {
    let initrd = Some(spec.kernel.image);
    Spec { kernel: garant_api::spec::Kernel { initrd, ..spec.kernel }, ..spec }
}

#[test]
fn every_vm_starts_paused_with_nothing_but_what_is_named_and_cannot_start_a_program() {
    let expected = "-nodefaults -no-user-config -display none -vga none -S -no-reboot \
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
        -chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control \
        -chardev socket,id=console,fd=4 -serial chardev:console";
    assert_eq!(BASE.join(" "), expected);
    assert_eq!((QMP, CONSOLE, FIRST_FILE), (3, 4, 5));
}

#[test]
fn a_microvm_in_software_with_an_initrd_a_disk_to_read_and_a_disk_to_write() {
    let spec = with_initrd(spec("microvm", "console=ttyS0", &["read_only", "overlay"]));
    assert_eq!(
        own_lines(&plan(&spec, files_of(&spec), Some(2_596_136)).arguments),
        [
            "-machine microvm,x-option-roms=off,rtc=on",
            "-accel tcg",
            "-cpu max",
            "-m 128M",
            "-smp 1",
            "-kernel /proc/self/fd/5",
            "-initrd /proc/self/fd/6",
            "-append tsc_early_khz=2596136 console=ttyS0",
            r#"-device {"driver":"virtio-rng-device"}"#,
            r#"-device {"driver":"pvpanic"}"#,
            "-add-fd fd=7,set=7",
            r#"-blockdev {"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/7","locking":"off","read-only":true},"node-name":"disk0","read-only":true}"#,
            r#"-device {"drive":"disk0","driver":"virtio-blk-device","id":"device0","rerror":"stop","serial":"disk0","werror":"stop"}"#,
            "-add-fd fd=8,set=8",
            r#"-blockdev {"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/8","locking":"off","read-only":true},"node-name":"image1","read-only":true}"#,
            "-add-fd fd=9,set=9",
            r#"-blockdev {"backing":"image1","driver":"qcow2","file":{"driver":"file","filename":"/dev/fdset/9"},"node-name":"disk1"}"#,
            r#"-device {"drive":"disk1","driver":"virtio-blk-device","id":"device1","rerror":"stop","serial":"disk1","werror":"stop"}"#,
        ]
    );
}

#[test]
fn a_q35_in_software_with_a_disk_to_read() {
    let spec = spec("q35", "", &["read_only"]);
    assert_eq!(
        own_lines(&arguments(&spec)),
        [
            "-machine q35,usb=off,vmport=off,smbus=off,sata=off",
            "-accel tcg",
            "-cpu max",
            "-m 128M",
            "-smp 1",
            "-kernel /proc/self/fd/5",
            "-append ",
            r#"-device {"driver":"virtio-rng-pci"}"#,
            r#"-device {"driver":"pvpanic"}"#,
            "-add-fd fd=6,set=6",
            r#"-blockdev {"driver":"raw","file":{"driver":"file","filename":"/dev/fdset/6","locking":"off","read-only":true},"node-name":"disk0","read-only":true}"#,
            r#"-device {"drive":"disk0","driver":"virtio-blk-pci","id":"device0","rerror":"stop","serial":"disk0","werror":"stop"}"#,
        ]
    );
}

#[test]
fn with_kvm_a_microvm_has_neither_a_pcs_timer_nor_its_interrupts() {
    let kvm = |machine| Spec { accelerator: Some(Accelerator::Kvm), ..spec(machine, "", &[]) };
    let lines = own_lines(&arguments(&kvm("microvm")));
    assert_eq!(lines[..3], ["-machine microvm,x-option-roms=off,rtc=on,pit=off,pic=off", "-accel kvm", "-cpu host"]);
    let lines = own_lines(&arguments(&kvm("q35")));
    assert_eq!(lines[..3], ["-machine q35,usb=off,vmport=off,smbus=off,sata=off", "-accel kvm", "-cpu host"]);
}

#[test]
fn an_accelerator_that_is_left_out_is_software() {
    let chosen = spec("microvm", "", &[]);
    let open = Spec { accelerator: None, ..chosen.clone() };
    assert_eq!(arguments(&open), arguments(&chosen));
}

#[test]
fn shape_and_memory_are_those_of_the_spec() {
    let spec = spec("q35", "", &[]);
    let large = Spec { vcpus: 64.try_into().unwrap(), memory_mib: 1_048_576.try_into().unwrap(), ..spec };
    assert_eq!(own_lines(&arguments(&large))[3..5], ["-m 1048576M", "-smp 64"]);
}

#[test]
fn files_come_in_the_order_of_their_numbers() {
    let file = |_| tempfile::tempfile().unwrap();
    let files: Vec<File> = (0..5).map(file).collect();
    let inodes: Vec<u64> = files.iter().map(|file| file.metadata().unwrap().ino()).collect();
    let [kernel, initrd, image, lower, overlay] = <[File; 5]>::try_from(files).unwrap();
    let disks = vec![DiskFile::ReadOnly { image }, DiskFile::Overlay { image: lower, overlay }];
    let spec = with_initrd(spec("microvm", "", &["read_only", "overlay"]));
    let plan = plan(&spec, Files { kernel, initrd: Some(initrd), disks }, None);
    let inherited = plan.descriptors.into_iter().map(|file| File::from(file).metadata().unwrap().ino());
    assert_eq!(inherited.collect::<Vec<_>>(), inodes);
}

#[test]
fn a_kernel_in_software_is_told_the_speed_of_the_counter_unless_it_is_told_already() {
    let told = |line: &str, khz| command_line(&spec("microvm", line, &[]), khz);
    assert_eq!(told("quiet", Some(7)), "tsc_early_khz=7 quiet");
    assert_eq!(told("a -- init", Some(7)), "tsc_early_khz=7 a -- init");
    assert_eq!(told("quiet", None), "quiet");
    assert_eq!(told("a tsc_early_khz=9 b", Some(7)), "a tsc_early_khz=9 b");
    assert_eq!(told("x.tsc_early_khz=9", Some(7)), "tsc_early_khz=7 x.tsc_early_khz=9");
}

#[test]
fn a_kernel_on_kvm_is_told_what_the_caller_says_and_nothing_else() {
    let kvm = Spec { accelerator: Some(Accelerator::Kvm), ..spec("microvm", "quiet", &[]) };
    assert_eq!(command_line(&kvm, Some(7)), "quiet");
}

proptest! {
    /// The command line is the one text of a caller's choice.
    #[test]
    fn no_text_of_a_caller_makes_or_changes_another_option(line in "[ -~]{0,100}", q35: bool, disks in 0_usize..9) {
        let machine = if q35 { "q35" } else { "microvm" };
        let disks = vec!["overlay"; disks];
        let mut expected = arguments(&spec(machine, "", &disks));
        let at = expected.iter().position(|argument| argument == "-append").unwrap() + 1;
        expected[at].clone_from(&line);
        prop_assert_eq!(arguments(&spec(machine, &line, &disks)), expected);
    }
}

/// Waits until the console has said all of this, and gives what it said.
async fn hear(qemu: &RealQemu, text: &str) -> String {
    qemu.console.set_nonblocking(true).unwrap();
    let (mut heard, mut buffer, started) = (String::new(), [0; 4096], Instant::now());
    while !heard.contains(text) {
        match (&qemu.console).read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => heard.push_str(&String::from_utf8_lossy(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            Err(error) => panic!("{error}"),
        }
        assert!(started.elapsed() < PATIENCE, "{text:?} is not in {heard:?}; {}", qemu.log());
    }
    heard
}

/// A VM that was started as planned; it is paused.
async fn start(spec: &Spec, files: Files) -> Option<(RealQemu, Qmp, mpsc::Receiver<Notice>)> {
    let plan = plan(spec, files, tsc::host_khz());
    let qemu = RealQemu::spawn(&plan.arguments, &plan.descriptors)?;
    match Qmp::greet(qemu.qmp(), PATIENCE).await {
        Ok((qmp, notices)) => Some((qemu, qmp, notices)),
        Err(error) => panic!("{error}: {}", qemu.log()),
    }
}

/// Runs a tool of the build in this folder; says so and gives nothing where it is missing.
fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Option<()> {
    match Command::new(tool).args(arguments).current_dir(folder).output() {
        Ok(output) => assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("SKIPPED: no {tool} here: {error}");
            return None;
        }
    }
    Some(())
}

/// A kernel that says `up` and nothing more.
fn tiny_kernel(folder: &Path) -> Option<File> {
    fs::write(folder.join("guest.S"), include_str!("guest.S")).unwrap();
    fs::write(folder.join("guest.ld"), include_str!("guest.ld")).unwrap();
    run(folder, "as", &["--64", "-o", "guest.o", "guest.S"])?;
    run(folder, "ld", &["-T", "guest.ld", "-o", "guest", "guest.o"])?;
    Some(File::open(folder.join("guest")).unwrap())
}

#[tokio::test]
async fn a_guest_speaks_on_its_console_only_once_it_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    for machine in ["microvm", "q35"] {
        let Some(kernel) = tiny_kernel(folder.path()) else { return };
        let files = Files { kernel, initrd: None, disks: Vec::new() };
        let Some((qemu, qmp, _notices)) = start(&spec(machine, "", &[]), files).await else { return };
        assert_eq!(qmp.status(PATIENCE).await.unwrap(), RunState::Prelaunch);
        tokio::time::sleep(Duration::from_millis(50)).await;
        qemu.console.set_nonblocking(true).unwrap();
        assert!((&qemu.console).read(&mut [0; 1]).is_err(), "it is paused");
        qmp.execute("cont", Value::Null, PATIENCE).await.unwrap();
        hear(&qemu, "up\n").await;
    }
}

#[tokio::test]
async fn a_machine_has_room_for_all_disks_and_names_them_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    for machine in ["microvm", "q35"] {
        let Some(kernel) = tiny_kernel(folder.path()) else { return };
        let disks = (0..garant_api::budget::DISKS).map(|_| {
            let overlay = tempfile::tempfile().unwrap();
            overlay::format(&overlay, 1 << 20).unwrap();
            DiskFile::Overlay { image: File::open(&image).unwrap(), overlay }
        });
        let files = Files { kernel, initrd: None, disks: disks.collect() };
        let Some((_qemu, qmp, _notices)) = start(&spec(machine, "", &["overlay"; 8]), files).await else { return };
        let answer = qmp.execute("query-block", Value::Null, PATIENCE).await.unwrap();
        let nodes: Vec<&str> =
            answer.as_array().unwrap().iter().map(|disk| disk["inserted"]["node-name"].as_str().unwrap()).collect();
        assert_eq!(nodes, (0..8).map(|number| format!("disk{number}")).collect::<Vec<_>>());
    }
}

/// A Linux kernel for VMs with its drivers, and an initrd whose first process is `init.c`.
struct Linux {
    _folder: TempDir,
    kernel: File,
    initrd: File,
}

/// Debian's cloud kernel; says so and gives nothing where it, or what builds the initrd, is missing.
fn linux() -> Option<Linux> {
    let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let releases = fs::read_dir("/boot").ok()?.filter_map(name);
    let release = releases
        .filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_owned))
        .filter(|release| release.ends_with("-cloud-amd64"))
        .max();
    let Some(release) = release else {
        eprintln!("SKIPPED: no cloud kernel in /boot");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("init.c"), include_str!("init.c")).unwrap();
    run(folder.path(), "gcc", &["-static", "-Os", "-o", "init", "init.c"])?;
    let drivers = PathBuf::from(format!("/lib/modules/{release}/kernel/drivers"));
    let mut initrd = cpio("init", &fs::read(folder.path().join("init")).unwrap());
    for driver in DRIVERS {
        let (_, name) = driver.split_once('/').unwrap();
        initrd.extend(cpio(name, &fs::read(drivers.join(driver)).unwrap()));
    }
    initrd.extend(cpio("TRAILER!!!", b""));
    fs::write(folder.path().join("initrd"), initrd).unwrap();
    let kernel = File::open(format!("/boot/vmlinuz-{release}")).unwrap();
    let initrd = File::open(folder.path().join("initrd")).unwrap();
    Some(Linux { _folder: folder, kernel, initrd })
}

/// What Debian's kernel has as modules; `init.c` loads them in its order.
const DRIVERS: [&str; 7] = [
    "virtio/virtio_ring.ko",
    "virtio/virtio.ko",
    "virtio/virtio_mmio.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci.ko",
    "block/virtio_blk.ko",
];

/// One file of an initrd (Documentation/driver-api/early-userspace/buffer-format.rst of Linux), executable.
fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
    let fields = [1, 0o100_755, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
    let mut entry = b"070701".to_vec();
    fields.iter().for_each(|field| entry.extend(format!("{field:08x}").bytes()));
    entry.extend(name.bytes().chain([0]));
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

#[tokio::test]
async fn linux_in_a_microvm_has_its_own_command_line_its_disks_in_order_and_writes_only_to_its_overlay() {
    boot_linux("microvm").await;
}

#[tokio::test]
async fn linux_in_a_q35_has_its_own_command_line_its_disks_in_order_and_writes_only_to_its_overlay() {
    boot_linux("q35").await;
}

async fn boot_linux(machine: &str) {
    let Some(linux) = linux() else { return };
    let image = |content: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content.repeat(64 * 1024)).unwrap();
        file
    };
    let (first, second) = (image("disk one"), image("disk two"));
    let overlay = tempfile::NamedTempFile::new().unwrap();
    overlay::format(overlay.as_file(), 512 * 1024).unwrap();
    let open = |file: &tempfile::NamedTempFile| File::open(file.path()).unwrap();
    let disks = vec![
        DiskFile::ReadOnly { image: open(&first) },
        DiskFile::Overlay { image: open(&second), overlay: overlay.reopen().unwrap() },
    ];
    let files = Files { kernel: linux.kernel, initrd: Some(linux.initrd), disks };
    let hostile = "console=ttyS0 quiet no_timer_check reboot=t x=a,initrd=/etc/passwd \"y= -S\" -device,file={} --qmp";
    let spec = with_initrd(spec(machine, hostile, &["read_only", "overlay"]));
    let Some((mut qemu, qmp, mut notices)) = start(&spec, files).await else { return };

    qmp.execute("cont", Value::Null, PATIENCE).await.unwrap();
    let heard = hear(&qemu, "/dev/vdb: disk two, written").await;
    assert!(heard.contains(&command_line(&spec, tsc::host_khz())), "{heard}");
    assert!(heard.contains("/dev/vda: disk one, not written"), "{heard}");
    assert!(fs::read(second.path()).unwrap().starts_with(b"disk two"), "the image is as it was");
    let written = fs::read(overlay.path()).unwrap();
    assert!(written.windows(8).any(|bytes| bytes == b"guesttwo"), "the write is in the overlay");

    while let Some(Notice::Event(event)) = notices.recv().await {
        if event.name == "SHUTDOWN" {
            assert_eq!(event.data, json!({ "guest": true, "reason": "guest-reset" }));
            assert!(qemu.wait().success());
            return;
        }
    }
    panic!("it did not say how it ended");
}
