//! System calls for which nix, rustix and std have no safe function. One operation to a block, each with its reason.

use rustix::{
    fs::{Mode, OFlags, open},
    ioctl::{Opcode, Updater, ioctl, opcode},
};
use std::{io, os::fd::OwnedFd};

/// A new Ethernet interface of this name, whose other end is the descriptor; it is gone when the last copy of that is closed.
/// Frames have a header of offloads (`struct virtio_net_hdr`) before them, of 10 bytes unless somebody asks for more.
pub(crate) fn tap(name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.len() >= NAME_BYTES || name.contains(['\0', '%']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of an interface"));
    }
    let device = open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let flags = TAP | NO_PACKET_INFORMATION | VIRTIO_HEADER;
    let mut request = InterfaceRequest { name: [0; NAME_BYTES], flags, rest: [0; 22] };
    request.name.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
    // SAFETY: `Updater::new` asks that the operation reads and writes one `InterfaceRequest` behind the pointer. TUNSETIFF
    // copies a `struct ifreq` in and out (`__tun_chr_ioctl`, drivers/net/tun.c), whose 40 bytes on 64-bit Linux
    // `InterfaceRequest` has; all of them are initialized, and any bytes that come back are a valid one.
    let attach = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
    // SAFETY: `ioctl` asks that the operation be one of this descriptor's driver. It was opened as /dev/net/tun above; any
    // other driver knows no operation of type 'T' and number 202, and refuses it.
    unsafe { ioctl(&device, attach) }?;
    Ok(device)
}

/// `struct ifreq` (linux/if.h): a name and a union, of which the flags come first.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    flags: u16,
    rest: [u8; 22],
}

// linux/if.h, linux/if_tun.h
const NAME_BYTES: usize = 16;
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const TAP: u16 = 0x2;
const NO_PACKET_INFORMATION: u16 = 0x1000;
const VIRTIO_HEADER: u16 = 0x4000;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_and_we_agree_on_the_size_of_a_request() {
        assert_eq!(size_of::<InterfaceRequest>(), 40);
        assert_eq!(size_of::<InterfaceRequest>(), size_of::<libc::ifreq>());
        assert_eq!(TUNSETIFF, Opcode::try_from(libc::TUNSETIFF).unwrap());
    }

    #[test]
    fn a_name_that_is_none_or_too_long_makes_no_interface() {
        for name in ["", "a%d", "a\0", "abcdefghijklmnop"] {
            assert_eq!(tap(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
