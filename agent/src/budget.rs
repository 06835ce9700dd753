//! Every limit on what comes from outside, with its unit and source.

use std::time::Duration;

/// How long one TPM command may take: the kernel's own limit for making a key (TPM2_DURATION_LONG_LONG,
/// drivers/char/tpm/tpm.h).
pub const TPM_COMMAND: Duration = Duration::from_secs(300);

/// The longest pause before a TPM command is sent again. With twelve resends, doubling from 5 ms, three seconds in all.
pub const TPM_RESEND_PAUSE: Duration = Duration::from_millis(500);

/// Extends that wait for the TPM: a second of VM starts at 1 ms each, below which callers are slowed, not refused.
pub const TPM_EXTENDS_WAITING: usize = 1024;

/// Quotes that wait for the TPM. One serves all waiting challenges, so two would do: one that runs, one that waits.
pub const TPM_QUOTES_WAITING: usize = 8;

/// Credential challenges that wait for the TPM, for strangers and for known verifiers each. The last of three strangers
/// waits 30 s, as long as its challenge lives.
pub const TPM_CREDENTIALS_WAITING: usize = 3;

/// Strangers' credential challenges together: one in this time. An RSA EK decrypts in 70 to 540 ms (chips' data sheets).
pub const STRANGER_CREDENTIAL_INTERVAL: Duration = Duration::from_secs(10);

/// How often values are read again after a quote whose pcrDigest they do not give, before the answer is `busy`.
pub const QUOTE_TRIES: u32 = 3;

/// Bytes of an EK certificate in NV: the largest found are below 2 KiB; 4 KiB leave room for RSA-4096 and long names.
pub const EK_CERTIFICATE_BYTES: usize = 4096;

/// Bytes of all certificates between EK and root in NV (0x01c00100 to 0x01c001ff).
pub const EK_CHAIN_BYTES: usize = 16 * 1024;

/// Bytes of the configuration file, which the keeper hashes whole.
pub const CONFIGURATION_BYTES: usize = 64 * 1024;

/// Bytes of entry 0: two digests, a key, a random string and a tag are 151.
pub const ENTRY_ZERO_BYTES: usize = 256;

/// How long the server waits for its keeper, which signs in 20 µs when it runs at all.
pub const KEEPER_ANSWER: Duration = Duration::from_secs(10);

/// Keys in `allow` and `[[push]]` together; more do not fit into a configuration of 64 KiB anyway once each has a comment.
pub const LISTED_KEYS: usize = 512;

/// Challenges that wait for one quote: twice the connections, since who asked may go away and come back.
pub const CHALLENGES_WAITING: usize = 8192;

/// How long a challenge lives; an answer after that is worth nothing to whoever asked.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(30);

/// Connections at one time, over all TLS listeners. One that is idle takes about 20 KiB (measured on x86-64).
pub const CONNECTIONS: usize = 4096;

/// Connections at one time from one address: half of all, so that nobody alone keeps the others out.
pub const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;

/// Connections at one time over the Unix socket, which no crowd on the network may take away.
pub const LOCAL_CONNECTIONS: usize = 64;

/// Descriptors beside TLS connections: local and pushed ones, listeners, log, TPM, timers.
pub const OTHER_DESCRIPTORS: u64 = 256;

/// F is renewed after this time, so that its life with its last quote stays below 600 s.
pub const SESSION_KEY_RENEWAL: Duration = Duration::from_secs(540);

/// The shortest pause after a push that failed; it doubles up to the verifier's interval.
pub const PUSH_PAUSE_SHORTEST: Duration = Duration::from_secs(1);
/// The shortest and the longest pause before a server that ended is started again.
pub const RESTART_PAUSE_SHORTEST: Duration = Duration::from_millis(100);
/// See [`RESTART_PAUSE_SHORTEST`].
pub const RESTART_PAUSE_LONGEST: Duration = Duration::from_secs(30);

/// A server that ran so long has settled: its end is an accident, not a habit.
pub const SERVER_SETTLED: Duration = Duration::from_secs(60);

/// How long a server may take to end.
pub const SERVER_STOP: Duration = Duration::from_secs(5);

/// B vouches for one session key in this time, the longest pause between two servers; F lives up to 600 s.
pub const VOUCH_INTERVAL: Duration = Duration::from_secs(30);

/// Vouches that may be saved up: a server that dies at each start needs ten before its pauses are long.
pub const VOUCHES_SAVED: u32 = 16;

/// User and group of the locked-in server: in systemd's range for dynamic users (61184 to 65519, systemd's UIDS-GIDS), where
/// no distribution puts anybody.
pub const SERVER_USER: u32 = 64_846;

/// Bytes of the node image's list of modules, a path a line.
pub const MODULE_LIST_BYTES: u64 = 64 * 1024;

/// How long PID 1 waits for a driver to show its device: QEMU's firmware TPM takes 0.3 s, discrete chips up to 2 s.
pub const DEVICE_WAIT: Duration = Duration::from_secs(10);

/// How long PID 1 lets the console be read before it boots again.
pub const REBOOT_PAUSE: Duration = Duration::from_secs(10);

/// Landmarks in the configuration: two operators in each of 22 metros, and room for statements of others beside theirs.
pub const LANDMARKS: usize = 48;

/// Timed conversations at a time (design, Place).
pub const TIMED_SESSIONS: usize = 64;

/// Questions that are answered in one conversation; a landmark asks as many at most.
pub const TIMED_ROUNDS: u32 = 64;

/// Cookies that are sent back in one conversation: one for each hello.
pub const TIMED_COOKIES: u32 = 32;

/// Between two hellos to a landmark that has not answered yet.
pub const HELLO_PAUSE: Duration = Duration::from_millis(300);

/// How long one measurement may take, from the first packet to the statement: as long as a landmark takes at most.
pub const MEASURED_WITHIN: Duration = Duration::from_secs(30);

/// Between two measurements of one F: a statement lives 600 s, so one that fails is tried again many times before.
pub const MEASURE_INTERVAL: Duration = Duration::from_secs(240);

/// How long a new F waits for the statements of landmarks before it is the node's without them. F lives 600 s in all:
/// this, the time to the next renewal, and the last quote's.
pub const MEASURED_FIRST: Duration = Duration::from_secs(10);

/// How long a landmark's statement is carried, from when it came (design, Place).
pub const LANDMARK_WORD_LIFE: Duration = Duration::from_secs(600);

/// Addresses that are tried of one name.
pub const RESOLVED_ADDRESSES: usize = 4;

/// Names that are looked at in the folder of statements.
pub const FOLDER_ENTRIES: usize = 1024;

/// How often that folder is read at most: whoever asks in a loop costs no more than 1 MiB a second.
pub const FOLDER_READ_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of one line from QEMU: the longest answer that we ask for (`query-blockstats` of eight disks, `query-cpus-fast` of 64
/// vCPUs) has 10.2 KiB with QEMU 7.2 (measured).
pub const QMP_LINE_BYTES: usize = 64 * 1024;

/// Bytes of a line that is an event; QEMU's own have below 1 KiB. With [`QMP_EVENTS_WAITING`] it bounds what waits of one VM:
/// 256 KiB of text, and 16 times that once parsed.
pub const QMP_EVENT_BYTES: usize = 4096;

/// Events of one VM that wait to be taken. A start, stop and end together have fewer than ten.
pub const QMP_EVENTS_WAITING: usize = 64;

/// Commands that wait for one VM's answers, given up ones too. QEMU itself takes eight at a time (`QMP_REQ_QUEUE_LEN_MAX`,
/// monitor/monitor-internal.h).
pub const QMP_COMMANDS_WAITING: usize = 32;

/// Characters of QEMU's reason for a refusal that are kept.
pub const QMP_REFUSAL_CHARACTERS: usize = 512;

/// Networks of a configuration: the keeper keeps each, and names it by one byte.
pub const NETWORKS: usize = 16;

/// How long an address that a VM gave back goes to nobody else: the pause after which Linux asks again for a neighbour that
/// does not answer, three times a second (`mcast_solicit`, `retrans_time_ms`; Documentation/networking/ip-sysctl.rst).
pub const ADDRESS_QUARANTINE: Duration = Duration::from_secs(3);

/// Addresses of which it is remembered that they were given back: four for each VM that is forgotten but known.
pub const ADDRESSES_RESTING: usize = 4 * VMS_FORGOTTEN;

/// Images of which it is remembered that they were checked: more than a node has in use, at 100 bytes each.
pub const IMAGES_REMEMBERED: usize = 1024;

/// Bytes of a disk that can be written to: what one cluster of L1 entries maps (8,192 of 512 MiB each).
pub const OVERLAID_BYTES: u64 = 4 << 40;

/// Arguments of one VMM: QEMU takes about four for each of at most 8 disks, and 60 others.
pub const VMM_ARGUMENTS: usize = 256;

/// Bytes of one argument of a VMM: a command line is the longest, 2 KiB.
pub const VMM_ARGUMENT_BYTES: usize = 4096;

/// Bytes of one request to the keeper about VMMs; Linux carries messages of up to 208 KiB (net.core.wmem_default).
pub const VMM_MESSAGE_BYTES: usize = 64 * 1024;

/// VMMs of one node, each with a user of its own: what systemd's range of dynamic users has left above [`SERVER_USER`].
pub const VMMS: u32 = 512;

/// User and group of the first VMM; each that runs has another.
pub const FIRST_VMM_USER: u32 = SERVER_USER + 1;

/// Bytes of one record of the journal: a spec at all its limits, as JSON, is 6 KB.
pub const JOURNAL_RECORD_BYTES: usize = 64 * 1024;

/// Commits of one boot, 48 bytes each: what evidence carries of them is 4 MiB, and a reader keeps half of that.
pub const LEDGER_COMMITS: usize = 40_000;

/// Events of VMs that are kept for whoever reads them late: a minute of a hundred starts a second.
pub const VM_EVENTS: usize = 16_384;

/// VMs that are gone and still known, 1 KiB each.
pub const VMS_FORGOTTEN: usize = 1024;

/// Requests that wait for one VM.
pub const VM_ORDERS_WAITING: usize = 16;

/// How long a VMM may take to build its machine and answer: 40 ms alone, seconds on a node that starts hundreds.
pub const VMM_READY: Duration = Duration::from_secs(30);

/// How long a VMM may take for one command.
pub const QMP_ANSWER: Duration = Duration::from_secs(2);

/// After this time without an answer a VM is called degraded: a command takes 0.3 ms, 12 ms on a busy node (measured).
pub const QMP_ANSWER_SOON: Duration = Duration::from_millis(250);

/// How often a VMM is asked whether it still answers.
pub const VMM_LOOKS: Duration = Duration::from_secs(5);

/// How long a killed VMM may take to be gone: 32 ms with its memory and network (measured), more under load.
pub const VMM_END: Duration = Duration::from_secs(10);

/// What is kept of a VMM's own words.
pub const VMM_LOG_BYTES: usize = 1024;

/// How long a guest is given to stop where nobody says.
pub const STOP_GRACE_USUAL: Duration = Duration::from_secs(30);

/// How long a question for events waits for one.
pub const EVENTS_WAIT: Duration = Duration::from_secs(25);

/// Clients that may ask for VMs: a configuration of 64 KiB has room for as many with all options.
pub const VM_CLIENTS: usize = 256;

/// How long a stream of events lasts: no longer than the session key under which it began is new. Its reader comes back.
pub const EVENTS_STREAM: Duration = SESSION_KEY_RENEWAL;

/// Events that are put into one piece of a stream: 64 KiB at the longest reasons, and what waits for a slow reader.
pub const EVENTS_AT_ONCE: usize = 64;

/// VMs that a configuration may allow.
pub const VMS: usize = 2048;

/// Bytes of a VMM's root, which holds folders and empty files to mount on: a page for each of 24.
pub const VMM_ROOT_BYTES: u32 = 24 * 4096;

/// Files and folders in it: 20 are made.
pub const VMM_ROOT_FILES: u32 = 32;

/// Descriptors of one VMM: two for each of 64 vCPUs, eight disks with their events, and what a guest's queues need.
pub const VMM_DESCRIPTORS: u64 = 1024;

/// Threads of a VMM beside its vCPUs: QEMU keeps up to 64 for files (util/thread-pool.c, 7.2), and its own few.
pub const VMM_THREADS: u32 = 96;

/// MiB that a VMM needs beside its guest's memory: its program, tables and buffers. 45 were seen.
pub const VMM_OVERHEAD_MIB: u64 = 192;

/// MiB of translated code under TCG (`DEFAULT_CODE_GEN_BUFFER_SIZE_1`, accel/tcg/translate-all.c, 7.2).
pub const TCG_CODE_MIB: u64 = 1024;

/// How long a guest of a few instructions may take under KVM: 0.1 s where it works (measured), more on a busy node.
pub const KVM_PROOF: Duration = Duration::from_secs(10);

/// How often it is looked at.
pub const KVM_PROOF_AGAIN: Duration = Duration::from_millis(5);

/// Bytes of what the keeper says about itself.
pub const ABILITIES_BYTES: usize = 8 * 1024;

/// How long the VMMs of an ended keeper may take to be gone when the next one begins.
pub const LEFTOVER_END: Duration = Duration::from_secs(2);

/// Shapes of the pool.
pub const POOL_SHAPES: usize = 32;

/// Members that all shapes together may have waiting: half of the VMMs that a node may have.
pub const POOL_MEMBERS: usize = 256;

/// Images that a shape's disks may have, all of which its one `ready` entry names (`garant_attest::budget::ENTRY_DISKS`).
pub const POOL_IMAGES: usize = 16;

/// The pool starts at most one VMM in this time: each takes 35 ms of one core (measured, QEMU 7.2).
pub const POOL_FILL_PAUSE: Duration = Duration::from_millis(50);

/// How long a shape waits after its first member that did not come up, or died; each further one doubles it.
pub const POOL_RETRY_SHORTEST: Duration = Duration::from_secs(1);

/// See [`POOL_RETRY_SHORTEST`].
pub const POOL_RETRY_LONGEST: Duration = Duration::from_secs(300);

/// How long a member may take for one command of its claim, before the start goes on without it.
pub const POOL_ANSWER: Duration = Duration::from_millis(500);
