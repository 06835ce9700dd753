//! Every limit on what a client sends, or may be sent, with its unit and source; checked before anything is allocated.

use core::time::Duration;

/// Bytes of a request's body: a spec at all its limits, with every character of its command line escaped, is 6 KB.
pub const BODY_BYTES: usize = 64 * 1024;

/// Bytes of an answer but for the console: 2,048 VMs with specs at all their limits.
pub const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a console that are kept and answered, the last ones: 800 full lines of 80 characters.
pub const CONSOLE_BYTES: usize = 64 * 1024;

/// Bytes of a VM's id: a DNS label (RFC 1035, 2.3.4), so that it can be a host name.
pub const VM_ID_BYTES: usize = 63;

/// Bytes of a client's name: as many as of a VM's id, so that both fit into one line.
pub const CLIENT_NAME_BYTES: usize = 63;

/// Bytes of a command line. An x86 kernel reads 2,047 (COMMAND_LINE_SIZE of 2,048 with its NUL,
/// arch/x86/include/asm/setup.h) and cuts the rest off without a word. 511 are left for what is added: under TCG
/// `tsc_early_khz=` by the node (22 bytes), in a microvm `virtio_mmio.device=` by QEMU (about 40 bytes for each device).
pub const COMMAND_LINE_BYTES: usize = 2_047 - 511;

/// vCPUs of one VM: above 64, QEMU's machines need options that a spec does not have.
pub const VCPUS: u64 = 64;

/// Processor time of one VM in per cent of one processor: all that [`VCPUS`] can take.
pub const CPU_PERCENT: u64 = VCPUS * 100;

/// MiB that a VM has at least: below, no Linux kernel unpacks itself.
pub const MEMORY_MIB_MIN: u64 = 16;

/// MiB that a VM has at most: 1 TiB, the guest addresses that every KVM host has (40 bits).
pub const MEMORY_MIB_MAX: u64 = 1024 * 1024;

/// Disks of one VM: each takes one of the 24 virtio transports of a microvm, beside network, console and random source
/// (measured, QEMU 7.2: `info qtree`).
pub const DISKS: usize = 8;

/// Network interfaces of one VM, which take transports of a microvm beside its disks.
pub const NICS: usize = 4;

/// Bytes of a network's name: those of a Linux interface (IFNAMSIZ of 16 with its NUL).
pub const NETWORK_NAME_BYTES: usize = 15;

/// Seconds that a guest may take to stop by itself: an operator who waits longer waits by asking again.
pub const GRACE_S: u64 = 600;

/// Bytes of a problem's detail, and of what is repeated in it of a request: it goes to terminals and logs.
pub const DETAIL_BYTES: usize = 1024;

/// Bytes of a refused value that are repeated to whoever sent it: longer than any that is accepted but a command line.
pub const REPEATED_BYTES: usize = 80;

/// How long a node keeps a question for events open where there are none: half of what it lets an idle connection be.
pub const EVENTS_WAIT: Duration = Duration::from_secs(30);
