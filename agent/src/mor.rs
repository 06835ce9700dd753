//! The memory-overwrite-request bit (TCG PC Client Platform Reset Attack Mitigation 1.10): the firmware wipes memory at the
//! next reset, so that B and F do not survive into another system.

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Sets the bit where the firmware has one; says so where it cannot.
pub fn request_wipe() {
    match set(Path::new(VARIABLE)) {
        Ok(()) => log::info!("memory overwrite requested"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            log::warn!("no memory overwrite request: the firmware has no such variable, or efivarfs is not mounted");
        }
        Err(error) => log::warn!("no memory overwrite request: {error}"),
    }
}

/// Writes an existing variable; the kernel protects it from accidents by the immutable flag.
fn set(variable: &Path) -> io::Result<()> {
    let reading = File::open(variable)?;
    let flags = ioctl_getflags(&reading)?;
    if flags.contains(IFlags::IMMUTABLE) {
        ioctl_setflags(&reading, flags.difference(IFlags::IMMUTABLE))?;
    }
    // Variables are written whole, in one call.
    let written = OpenOptions::new().write(true).open(variable).and_then(|mut file| file.write_all(&WIPE));
    if flags.contains(IFlags::IMMUTABLE) {
        ioctl_setflags(&reading, flags)?;
    }
    written
}

/// MemoryOverwriteRequestControl (section 5).
const VARIABLE: &str = "/sys/firmware/efi/efivars/MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829";
/// Attributes non-volatile, boot service, runtime, little endian; then bit 0: clear memory.
const WIPE: [u8; 5] = [7, 0, 0, 0, 1];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_variable_gets_its_attributes_and_the_bit_and_is_not_made_where_it_is_missing() {
        let folder = std::env::temp_dir().join(format!("garant-mor-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let variable = folder.join("variable");
        assert_eq!(set(&variable).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&variable, [7, 0, 0, 0, 0]).unwrap();
        let done = set(&variable);
        let content = std::fs::read(&variable).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        match done {
            Ok(()) => assert_eq!(content, WIPE),
            // File systems without flags (tmpfs of old kernels) cannot show it.
            Err(error) => eprintln!("SKIPPED: no file flags here: {error}"),
        }
    }
}
