//! VMs of a real node: a guest of a few instructions, an image store, and requests over the node's Unix socket.

use crate::garantd::Garantd;
use garant_attest::{
    cbor,
    engine::sha256,
    ledger::{Act, Content, SentEntry},
    wire::{Entries, LedgerAsk},
};
use garant_channel::engine::FastEngine;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A store with one kernel, which says `up` on its serial port and then beats.
pub struct Images {
    folder: TempDir,
    /// The kernel's digest, as specs have it.
    pub kernel: String,
}

impl Images {
    /// Builds the kernel; says so and gives nothing where there is no assembler.
    pub fn build() -> Option<Images> {
        let folder = tempfile::Builder::new().prefix("images").tempdir().unwrap();
        // What runs QEMU is another user than this one.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("sha256")).unwrap();
        let mut images = Images { folder, kernel: String::new() };
        images.kernel = images.assemble(GUEST)?;
        Some(images)
    }

    /// Adds a kernel of these instructions; its digest. Says so and gives nothing where there is no assembler.
    pub fn assemble(&self, instructions: &str) -> Option<String> {
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("guest.s"), format!("{PVH}{instructions}")).unwrap();
        let assembled = run("as", &["--64", "-o", text(&at("guest.o")), text(&at("guest.s"))]);
        if !assembled || !run("ld", &["-Ttext=0x100000", "-o", text(&at("guest")), text(&at("guest.o"))]) {
            println!("SKIPPED: no assembler and linker for x86-64 here: apt install binutils");
            return None;
        }
        Some(self.add(&fs::read(at("guest")).unwrap()))
    }

    /// Options of a node that runs VMs from this store.
    pub fn options(&self) -> String {
        self.options_for(256, 16)
    }

    /// The same for so much memory and so many VMs.
    pub fn options_for(&self, memory_mib: usize, count: usize) -> String {
        let images = self.folder.path().display();
        format!("[vms]\nimages = '{images}'\naccelerators = ['tcg']\nmemory_mib = {memory_mib}\ncount = {count}\n")
    }

    /// Adds an image; its digest.
    pub fn add(&self, bytes: &[u8]) -> String {
        add(self.folder.path(), bytes)
    }

    /// The file of an image.
    pub fn file(&self, digest: &str) -> std::path::PathBuf {
        self.folder.path().join(digest.replace(':', "/"))
    }

    /// A spec with this kernel.
    pub fn spec(&self) -> Value {
        let kernel = json!({ "image": self.kernel, "command_line": "console=ttyS0" });
        json!({ "machine": "microvm", "vcpus": 1, "memory_mib": 64, "kernel": kernel })
    }
}

fn add(folder: &Path, bytes: &[u8]) -> String {
    let digest: String = sha256(&FastEngine, &[bytes]).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(folder.join("sha256").join(&digest), bytes).unwrap();
    format!("sha256:{digest}")
}

fn run(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).status().is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// One request over the node's socket: status and body.
pub fn ask(node: &Garantd, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    try_ask(&node.socket(), method, path, body).expect("no HTTP answer")
}

/// The same for a server that may die over it.
pub fn try_ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // A server that refuses a body closes before it has read all of it.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    Some((status, answer.split_off(end + 4)))
}

/// One connection to a node, for one request after the other.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Over its socket.
    pub fn dial(node: &Garantd) -> Client {
        let stream = UnixStream::connect(node.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// One request: status and body.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            match line.trim_end().split_once(' ') {
                Some(("HTTP/1.1", code)) => status = code[..3].parse().unwrap(),
                Some(("content-length:", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).unwrap();
        (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }
}

/// The same with JSON.
pub fn ask_json(node: &Garantd, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, answer) = ask(node, method, path, body.to_string().as_bytes());
    (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

/// Ensures a VM of this spec, in generation 1.
pub fn ensure(node: &Garantd, id: &str, spec: &Value) -> (u16, Value) {
    ask_json(node, "PUT", &format!("/v1/vms/{id}"), &json!({ "generation": 1, "spec": spec }))
}

/// Has a VM do something, in generation 1.
pub fn act(node: &Garantd, id: &str, verb: &str) -> (u16, Value) {
    ask_json(node, "POST", &format!("/v1/vms/{id}/{verb}"), &json!({ "generation": 1 }))
}

/// Its state, and why.
pub fn state(node: &Garantd, id: &str) -> (String, String) {
    let (_, vm) = ask_json(node, "GET", &format!("/v1/vms/{id}"), &Value::Null);
    let word = |field: &str| vm[field].as_str().unwrap_or_default().to_owned();
    (word("state"), word("reason"))
}

/// What its console showed, once it has these words.
pub fn console_with(node: &Garantd, id: &str, words: &str) -> String {
    let started = Instant::now();
    loop {
        let (_, shown) = ask(node, "GET", &format!("/v1/vms/{id}/console"), b"");
        let shown = String::from_utf8_lossy(&shown).into_owned();
        if shown.contains(words) || started.elapsed() > PATIENCE {
            return shown;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// All acts that the TPM has of the ledger, once so many are extended.
pub fn acts(node: &Garantd, count: usize) -> Vec<Act> {
    let started = Instant::now();
    loop {
        let (status, body) = ask(node, "POST", "/v1/ledger", &cbor::encode(&LedgerAsk::new(1)).unwrap());
        assert_eq!(status, 200);
        let sent = Entries::decode(&body).unwrap();
        if sent.2.len() >= count || started.elapsed() > PATIENCE {
            let act = |entry: &SentEntry<'_>| match &entry.content {
                Content::Open { body, .. } => Act::decode(entry.kind, body).unwrap(),
                Content::Hidden(_) => panic!("the local socket sees bodies"),
            };
            return sent.2.iter().map(act).collect();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What kinds of acts these are.
pub fn kinds(acts: &[Act]) -> Vec<String> {
    acts.iter().map(|act| act.kind().to_string()).collect()
}

/// The VMM processes below a node's keeper.
pub fn vmms(node: &Garantd) -> Vec<u32> {
    let keeper = node.keeper_pid();
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
    // One that has ended has no program any more, although its parent may not have looked yet.
    let program = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let is_vmm = |pid: &u32| program(pid).ends_with("qemu-system-x86_64");
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(is_vmm).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);
/// PVH (the note says where to begin): 32 bits, no paging.
const PVH: &str = r#"
.section .note.pvh, "a", @note
    .long 4, 8, 18
    .asciz "Xen"
    .quad _start
.section .text, "ax"
.code32
.globl _start
_start:
"#;
/// `up`, and then a line again and again.
const GUEST: &str = r"
    mov $0x3f8, %dx
    mov $'u', %al
    outb %al, %dx
    mov $'p', %al
    outb %al, %dx
beat:
    mov $0x0a, %al
    outb %al, %dx
    mov $'b', %al
    outb %al, %dx
    mov $4000000, %ecx
wait:
    loop wait
    jmp beat
";
/// For a microvm: says of each disk, the last transport first, how many sectors it has and what its first eight bytes are,
/// writes its second sector where it may and says `w` where that was done; then `done`. Legacy virtio-mmio (virtio 1.2, 4.2.4), one
/// request at a time, polled.
pub const READER: &str = r"
    mov $0x200000, %esp
    mov $0xfeb03000, %ebx
next:
    sub $0x200, %ebx
    cmp $0xfeb00000, %ebx
    jb done
    cmpl $2, 8(%ebx)
    jne next
    movl $3, 0x70(%ebx)
    movl $0, 0x20(%ebx)
    movl $4096, 0x28(%ebx)
    movl $0, 0x30(%ebx)
    movl $8, 0x38(%ebx)
    movl $4096, 0x3c(%ebx)
    mov $0x300000, %edi
    mov $0x2000, %ecx
    xor %eax, %eax
    rep stosb
    movl $0x300, 0x40(%ebx)
    movl $7, 0x70(%ebx)
    mov 0x100(%ebx), %eax
    call number
    xor %esi, %esi
    mov $3, %ebp
    mov $0, %edx
    call request
    mov $0x320000, %esi
    mov $8, %ecx
letter:
    lodsb
    call put
    dec %ecx
    jnz letter
    testl $32, 0x10(%ebx)
    jnz line
    mov $1, %esi
    mov $1, %ebp
    mov $1, %edx
    call request
    cmpb $0, 0x330000
    jne line
    mov $'w', %al
    call put
line:
    mov $10, %al
    call put
    movl $0, 0x70(%ebx)
    jmp next
done:
    mov $'d', %al
    call put
    mov $'o', %al
    call put
    mov $'n', %al
    call put
    mov $'e', %al
    call put
    mov $10, %al
    call put
halt:
    jmp halt

/* One request: sector in esi, flags of the data in ebp, kind in edx. */
request:
    movl %edx, 0x310000
    movl $0, 0x310004
    movl %esi, 0x310008
    movl $0, 0x31000c
    movb $0xff, 0x330000
    movl $0x310000, 0x300000
    movl $16, 0x300008
    movl $0x00010001, 0x30000c
    movl $0x320000, 0x300010
    movl $512, 0x300018
    movw %bp, 0x30001c
    movw $2, 0x30001e
    movl $0x330000, 0x300020
    movl $1, 0x300028
    movl $2, 0x30002c
    incw 0x300082
    movl $0, 0x50(%ebx)
poll:
    movw 0x300082, %ax
    cmpw %ax, 0x301002
    jne poll
    ret

/* eax in hexadecimal, and a space. */
number:
    mov %eax, %esi
    mov $8, %ecx
digit:
    rol $4, %esi
    mov %esi, %eax
    and $15, %eax
    cmp $10, %eax
    jb small
    add $39, %eax
small:
    add $48, %eax
    call put
    dec %ecx
    jnz digit
    mov $' ', %al
put:
    push %edx
    mov $0x3f8, %edx
    outb %al, %dx
    pop %edx
    ret
";
