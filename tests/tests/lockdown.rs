//! What the locked-in server cannot do any more, and what it still can. Each attempt runs in a process of its own, once free
//! and once locked in: only an attempt that succeeds free says something about the lock.
//!
//! No test harness: the lock needs a process with one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use garantd::{
    budget::SERVER_USER,
    lockdown::{self, Needs},
};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        ptrace,
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socket},
    },
    unistd::{execv, getppid, getuid, setuid},
};
use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
};

type Attempt = fn(&World) -> Result<(), Box<dyn std::error::Error>>;

/// What the attempts find: the scratch folder's parts, and two ports where somebody listens.
struct World {
    readable: PathBuf,
    writable: PathBuf,
    elsewhere: PathBuf,
    allowed_port: u16,
    other_port: u16,
    bound: Option<TcpListener>,
}

/// Attempts that the lock refuses.
const REFUSED: &[(&str, Attempt)] = &[
    ("a locked server starts no program", |_| expect(Command::new("/bin/true").status()?.success())),
    ("a locked server does not become another program", |_| match execv(c"/bin/true", &[c"true"])? {}),
    ("a locked server traces nobody", |_| tried(ptrace::traceme())),
    ("a locked server reads no file that is not listed", |world| tried(fs::read(&world.elsewhere))),
    ("a locked server does not read the password file", |_| tried(fs::read("/etc/shadow"))),
    ("a locked server writes no file outside its folder", |world| tried(fs::write(&world.elsewhere, "x"))),
    ("a locked server does not write what it may read", |world| tried(fs::write(&world.readable, "x"))),
    ("a locked server makes no folder", |world| tried(fs::create_dir(world.writable.join("folder")))),
    ("a locked server opens no netlink socket", |_| open_socket(AddressFamily::Netlink)),
    ("a locked server opens no packet socket", |_| open_socket(AddressFamily::Packet)),
    ("a locked server opens no Unix socket", |_| open_socket(AddressFamily::Unix)),
    ("a locked server listens at no new port", |_| tried(TcpListener::bind("127.0.0.1:0"))),
    ("a locked server connects to no port that is not listed", |world| connect(world.other_port)),
    ("a locked server mounts nothing", |world| {
        tried(mount(Some("tmpfs"), &world.writable, Some("tmpfs"), MsFlags::empty(), None::<&str>))
    }),
    ("a locked server signals nobody", |_| tried(kill(getppid(), Signal::SIGCONT))),
    ("a locked server does not become root again", |_| tried(setuid(0.into()))),
    ("a locked server is not root", |_| expect(getuid().as_raw() != SERVER_USER)),
    ("nobody looks into a locked server", |_| tried(fs::read("/proc/self/environ"))),
];

/// Attempts that the server needs.
const ALLOWED: &[(&str, Attempt)] = &[
    ("a locked server starts threads", |_| thread::spawn(|| ()).join().map_err(|_| "no thread".into())),
    ("a locked server reads a listed file", |world| tried(fs::read(&world.readable))),
    ("a locked server writes, renames and removes in its folder", |world| {
        let (new, old) = (world.writable.join("new"), world.writable.join("old"));
        fs::File::create(&new)?.sync_all()?;
        fs::rename(&new, &old)?;
        tried(fs::remove_file(old))
    }),
    ("a locked server connects to a listed port", |world| connect(world.allowed_port)),
    ("a locked server makes keys", |_| {
        let key = Ed25519KeyPair::generate().map_err(|_| "no random numbers")?;
        expect(key.sign(b"statement").as_ref().len() == 64 && key.public_key().as_ref().len() == 32)
    }),
    ("a locked server answers at a socket that it opened before", answer_on_tokio),
    ("a locked server looks host names up", |_| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let found =
            runtime.block_on(async { Ok::<_, std::io::Error>(tokio::net::lookup_host("localhost:80").await?.count()) });
        expect(found? > 0)
    }),
];

fn tried<T, E: Into<Box<dyn std::error::Error>>>(attempt: Result<T, E>) -> Result<(), Box<dyn std::error::Error>> {
    attempt.map(drop).map_err(Into::into)
}

fn open_socket(family: AddressFamily) -> Result<(), Box<dyn std::error::Error>> {
    tried(socket(family, SockType::Datagram, SockFlag::empty(), None))
}

fn connect(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    tried(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))))
}

fn expect(holds: bool) -> Result<(), Box<dyn std::error::Error>> {
    if holds { Ok(()) } else { Err("it does not hold".into()) }
}

fn answer_on_tokio(world: &World) -> Result<(), Box<dyn std::error::Error>> {
    let listener = world.bound.as_ref().unwrap().try_clone()?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let asking = thread::spawn(move || {
        let mut byte = [0];
        TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).and_then(|mut peer| peer.read_exact(&mut byte))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (peer, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
        peer.writable().await?;
        peer.try_write(b"x")
    })?;
    tried(asking.join().map_err(|_| "no asker")?)
}

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("attempt") => attempt(),
        Some("--list") => ExitCode::SUCCESS,
        _ => check_all(),
    }
}

/// In the child: `attempt free|locked NAME FOLDER ALLOWED_PORT OTHER_PORT`; 0 succeeded, 1 refused.
fn attempt() -> ExitCode {
    let words: Vec<String> = env::args().skip(2).collect();
    let [lock, name, folder, allowed_port, other_port] = &words[..] else { panic!("{words:?}") };
    let folder = Path::new(folder);
    let mut world = World {
        readable: folder.join("readable"),
        writable: folder.join("writable"),
        elsewhere: folder.join("elsewhere"),
        allowed_port: allowed_port.parse().unwrap(),
        other_port: other_port.parse().unwrap(),
        bound: Some(TcpListener::bind("127.0.0.1:0").unwrap()),
    };
    if lock == "locked" {
        let mut read: Vec<PathBuf> =
            ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"].map(PathBuf::from).to_vec();
        read.push(world.readable.clone());
        let ports = vec![world.allowed_port, world.bound.as_ref().unwrap().local_addr().unwrap().port()];
        lockdown::lock(&Needs { read, write: Some(world.writable.clone()), connect: ports }).unwrap();
    }
    let (_, attempt) = REFUSED.iter().chain(ALLOWED).find(|(known, _)| known == name).unwrap();
    let done = attempt(&world);
    world.bound = None;
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check_all() -> ExitCode {
    if !getuid().is_root() {
        eprintln!("SKIPPED: lockdown: only root has what the lock takes away");
        return ExitCode::SUCCESS;
    }
    let wanted = env::args().nth(1).filter(|word| !word.starts_with('-')).unwrap_or_default();
    let folder = tempfile::tempdir().unwrap();
    // The unprivileged user must be able to reach it, so that only Landlock stands between.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("writable")).unwrap();
    for name in ["readable", "elsewhere"] {
        fs::write(folder.path().join(name), "content").unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    let (one, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = [&one, &other].map(|listener| listener.local_addr().unwrap().port().to_string());
    let mut failed = 0u32;
    let cases = REFUSED.iter().map(|case| (case, false)).chain(ALLOWED.iter().map(|case| (case, true)));
    for ((name, _), expected) in cases.filter(|((name, _), _)| name.contains(&wanted)) {
        let free = succeeds("free", name, folder.path(), &ports);
        let locked = succeeds("locked", name, folder.path(), &ports);
        let holds = free && locked == expected;
        println!("test {name} ... {}", if holds { "ok" } else { "FAILED" });
        if !holds {
            println!("  free: succeeds {free}; locked: succeeds {locked}");
            failed = failed.saturating_add(1);
        }
        let _ = fs::remove_dir(folder.path().join("writable/folder"));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A child that is killed for its attempt has not succeeded.
fn succeeds(lock: &str, name: &str, folder: &Path, ports: &[String; 2]) -> bool {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["attempt", lock, name]).arg(folder).args(ports).stdin(Stdio::null());
    if lock == "free" {
        // In a mount name space of its own, so that a mount that succeeds stays there.
        child = in_own_name_space(child);
    }
    let output = child.output().unwrap();
    if env::var_os("SHOW").is_some() {
        std::io::stderr().write_all(&output.stderr).unwrap();
    }
    output.status.success()
}

fn in_own_name_space(child: Command) -> Command {
    let mut unshared = Command::new("unshare");
    unshared.arg("--mount").arg(child.get_program()).args(child.get_args()).stdin(Stdio::null());
    unshared
}
