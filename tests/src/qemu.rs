//! Boots a unified kernel image as a machine does: OVMF, a boot entry, a TPM, a disk with an ESP, a network; all of it in QEMU's
//! own emulation (TCG), so that it runs where KVM does not.
//!
//! Everything a machine leaves behind lies in one scratch folder and goes with it. What answers at the machine's port is not checked
//! here.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

use crate::{swtpm::Swtpm, uefi_variables};

/// How to boot.
pub struct BootSpec<'a> {
    /// The image.
    pub uki: &'a Path,
    /// The boot entry's options. Without Secure Boot systemd's stub takes them in place of the image's command line.
    pub options: Option<&'a str>,
    /// The TCP port inside the machine that [`Node::address`] leads to.
    pub port: u16,
    /// The machine is up when a line of its serial console contains this.
    pub up_when: &'a str,
}

/// A booted machine; dropping it cuts its power.
pub struct Node {
    qemu: Child,
    folder: TempDir,
    /// Leads to the machine's port.
    pub address: SocketAddr,
    /// From power-on to the line that said the machine is up.
    pub boot_time: Duration,
}

impl Node {
    /// Powers on a machine with this TPM and waits until it is up. An error carries the end of what the machine and QEMU said.
    pub fn boot(spec: &BootSpec<'_>, tpm: &mut Swtpm) -> io::Result<Node> {
        let folder = tempfile::Builder::new().prefix("garant-qemu").tempdir()?;
        write_firmware_variables(folder.path(), spec.options)?;
        write_boot_disk(folder.path(), spec.uki)?;
        tpm.stop();
        tpm.start_for_vmm();
        let address = free_address()?;
        let started = Instant::now();
        let qemu = start_qemu(folder.path(), &tpm.control_socket(), address, spec)?;
        let mut node = Node { qemu, folder, address, boot_time: Duration::ZERO };
        node.wait_for_line(spec.up_when, BOOT_DEADLINE)?;
        node.boot_time = started.elapsed();
        Ok(node)
    }

    /// What the machine wrote to its serial console so far.
    pub fn console(&self) -> String {
        read_lossy(&self.folder.path().join(CONSOLE))
    }

    /// Waits until a line of the console contains `text`.
    pub fn wait_for_line(&mut self, text: &str, patience: Duration) -> io::Result<()> {
        let started = Instant::now();
        while !self.console().contains(text) {
            if let Some(status) = self.qemu.try_wait()? {
                return Err(self.failure(&format!("the machine ended ({status}) before it said {text:?}")));
            }
            if started.elapsed() > patience {
                return Err(self.failure(&format!("the machine did not say {text:?} within {patience:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> io::Error {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(ERROR_LINES)..).unwrap_or_default().join("\n");
        let qemu = read_lossy(&self.folder.path().join(QEMU_ERRORS));
        io::Error::other(format!("{what}\n--- end of its console\n{tail}\n--- QEMU\n{qemu}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn write_firmware_variables(folder: &Path, options: Option<&str>) -> io::Result<()> {
    let store = uefi_variables::with_boot_entry(&fs::read(EMPTY_VARIABLES)?, UKI_PATH, options)?;
    fs::write(folder.join(VARIABLES), store)
}

/// A FAT file system with the image where the boot entry looks for it.
fn write_boot_disk(folder: &Path, uki: &Path) -> io::Result<()> {
    let disk = folder.join(DISK);
    let on_disk = format!("::{}", UKI_PATH.replace('\\', "/"));
    let sectors = (fs::metadata(uki)?.len() / SECTOR_BYTES + SPARE_SECTORS).to_string();
    run(Command::new("mformat").args(["-C", "-T", &sectors, "-i"]).arg(&disk).arg("::"))?;
    run(Command::new("mmd").arg("-i").arg(&disk).args(["::/EFI", "::/EFI/garant"]))?;
    run(Command::new("mcopy").arg("-i").arg(&disk).arg(uki).arg(on_disk))
}

fn start_qemu(folder: &Path, tpm_control: &Path, address: SocketAddr, spec: &BootSpec<'_>) -> io::Result<Child> {
    let guest_port = spec.port;
    let file = |name: &str| folder.join(name).display().to_string();
    Command::new("qemu-system-x86_64")
        .args(["-machine", "q35,smm=off", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-device", "intel-iommu"]) // what the node image forces on is there
        .args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}")])
        .args(["-drive", &format!("if=pflash,format=raw,file={}", file(VARIABLES))])
        .args(["-drive", &format!("if=none,id=disk,format=raw,file={}", file(DISK))])
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .args(["-chardev", &format!("socket,id=tpm,path={}", tpm_control.display())])
        .args(["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"])
        .args(["-netdev", &format!("user,id=net0,hostfwd=tcp:{address}-:{guest_port}")])
        .args(["-device", "virtio-net-pci,netdev=net0,romfile="])
        .args(["-serial", &format!("file:{}", file(CONSOLE))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join(QEMU_ERRORS))?)
        .spawn()
        .map_err(|error| io::Error::other(format!("qemu-system-x86_64 does not start: {error}")))
}

/// An address that nobody listens at now; QEMU says so if somebody took it in between.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr))))
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Where `make image` puts the node image.
pub fn node_image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image/node.efi")
}

/// Debian's package ovmf.
/// How a booted machine knows the one that runs QEMU, whose loopback it reaches there.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const EMPTY_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const UKI_PATH: &str = "\\EFI\\garant\\node.efi";
const VARIABLES: &str = "variables.fd";
const DISK: &str = "disk.img";
const CONSOLE: &str = "console.log";
const QEMU_ERRORS: &str = "qemu.log";
/// What a node of this size needs: the image twice (ESP copy and unpacked), and room.
const MEMORY: &str = "512M";
const SECTOR_BYTES: u64 = 512;
/// Room on the disk for the file system itself: 16 MiB.
const SPARE_SECTORS: u64 = 32_768;
const ERROR_LINES: usize = 30;
/// Measured: 11 s on two idle cores; ten times that on a machine that does other things.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);
