//! A world of places far from each other: network namespaces that reach nobody, and relays between them that pass on what
//! comes after a real time. A relay may stand in a third place, as an accomplice's does.
//!
//! A namespace has loopback alone. Whom its inhabitants can dial has his address there too, and behind it listens a relay,
//! which has another socket where the other one lives. So both ends see each other under their own addresses.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use nix::sched::{CloneFlags, setns};

/// All places, and what lies between them; it is gone when dropped.
pub struct World {
    number: u32,
    is_over: Arc<AtomicBool>,
    places: std::sync::Mutex<Vec<String>>,
}

/// Where somebody lives.
#[derive(Clone)]
pub struct Place {
    /// His address, wherever he is reached.
    pub ip: IpAddr,
    namespace: String,
}

impl World {
    /// An empty world; `None`, said loudly, where this machine permits no network namespaces.
    pub fn open() -> Option<World> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() * 100 + NUMBER.fetch_add(1, Ordering::Relaxed);
        let world = World { number, is_over: Arc::default(), places: Default::default() };
        match world.add_namespace() {
            Ok(_) => Some(world),
            Err(why) => {
                eprintln!("SKIPPED: no network namespaces here: {why}");
                None
            }
        }
    }

    /// A place whose inhabitant has this address.
    pub fn place(&self, ip: [u8; 4]) -> Place {
        let namespace = self.add_namespace().expect("one was made before");
        let place = Place { ip: Ipv4Addr::from(ip).into(), namespace };
        place.is_reachable_at(place.ip);
        place
    }

    /// Lets who lives at `from` dial `target`, and passes on to `to` what he sends, after this time each way: with TCP and
    /// with UDP. Who lives at `to`, or has a path onwards from there, sees the address of `from`.
    pub fn path(&self, from: &Place, to: &Place, target: SocketAddr, one_way: Duration) {
        from.is_reachable_at(target.ip());
        to.is_reachable_at(from.ip);
        let way = Way { to: Some(to.clone()), source: from.ip, target, one_way, is_over: Arc::clone(&self.is_over) };
        let (tcp, udp) = from.run(|| (TcpListener::bind(target), UdpSocket::bind(target)));
        let (tcp, udp) = (tcp.expect("nobody else has this address"), udp.expect("nobody else has this address"));
        let streams = way.clone();
        thread::spawn(move || streams.pass_streams_on(&tcp));
        thread::spawn(move || way.pass_datagrams_on(udp));
    }

    fn add_namespace(&self) -> Result<String, String> {
        let mut places = self.places.lock().expect("nobody panics in here");
        let name = format!("garant-{}-{}", self.number, places.len());
        ip(&["netns", "add", &name])?;
        places.push(name.clone());
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        Ok(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for name in self.places.get_mut().expect("nobody panics in here") {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() || said.contains("File exists") { Ok(()) } else { Err(said) }
}

impl Place {
    /// Does something here. Threads that it starts stay here, and sockets that it opens lead from here.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).expect("the place is there");
        let here = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).expect("root may");
            work()
        };
        thread::scope(|scope| scope.spawn(here).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Runs `ip` here, with these words.
    pub fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.namespace], words].concat()).expect("root may");
    }

    /// Lays a cable from an interface here to one there.
    pub fn cable(&self, here: &str, there: &Place, name: &str) {
        self.ip(&["link", "add", here, "type", "veth", "peer", "name", name, "netns", &there.namespace]);
    }

    /// Whether there is such an interface here.
    pub fn has_interface(&self, name: &str) -> bool {
        ip(&["-n", &self.namespace, "link", "show", "dev", name]).is_ok()
    }

    /// What a bridge here knows of addresses.
    pub fn bridge_entries(&self) -> String {
        let output = Command::new("bridge").args(["-n", &self.namespace, "fdb", "show"]).output().expect("iproute2");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Words before a program that is to run here.
    pub fn words(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.namespace]
    }

    fn is_reachable_at(&self, address: IpAddr) {
        ip(&["-n", &self.namespace, "address", "replace", &format!("{address}/32"), "dev", "lo"]).expect("root may");
    }
}

/// Passes on, after this time each way, what comes to `near` to `far`: a distance without namespaces, between two
/// addresses of this machine. It ends when dropped.
pub struct Relay(Arc<AtomicBool>);

impl Relay {
    /// Starts it, for TCP and for UDP.
    pub fn start(near: SocketAddr, far: SocketAddr, one_way: Duration) -> io::Result<Relay> {
        let is_over = Arc::new(AtomicBool::new(false));
        let way = Way { to: None, source: near.ip(), target: far, one_way, is_over: Arc::clone(&is_over) };
        let (streams, datagrams) = (TcpListener::bind(near)?, UdpSocket::bind(near)?);
        let of_streams = way.clone();
        thread::spawn(move || of_streams.pass_streams_on(&streams));
        thread::spawn(move || way.pass_datagrams_on(datagrams));
        Ok(Relay(is_over))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        // Its threads look up now and then; the next one at this address finds it free.
        thread::sleep(2 * LOOK_UP);
    }
}

/// A command whose program runs behind these words.
pub fn behind(words: &[&str], command: &Command) -> Command {
    let mut all = words.iter().map(std::ffi::OsStr::new).chain([command.get_program()]).chain(command.get_args());
    let mut behind = Command::new(all.next().expect("a program"));
    behind.args(all);
    behind
}

/// Takes bytes and when they came; they are delivered later.
type Late = mpsc::Sender<(Instant, Vec<u8>)>;

/// From a socket that was dialled to one at the other end.
#[derive(Clone)]
struct Way {
    /// Where the other end is; `None`: here.
    to: Option<Place>,
    source: IpAddr,
    target: SocketAddr,
    one_way: Duration,
    is_over: Arc<AtomicBool>,
}

impl Way {
    fn there<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.to {
            Some(place) => place.run(work),
            None => work(),
        }
    }

    fn pass_streams_on(&self, listener: &TcpListener) {
        listener.set_nonblocking(true).expect("a socket of ours");
        while !self.is_over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((near, _)) => {
                    // Nobody listens there: whoever dialled sees the end of his stream.
                    let Ok(far) = self.dial() else { continue };
                    self.pass_bytes_on(&near, &far);
                    self.pass_bytes_on(&far, &near);
                }
                Err(_) => thread::sleep(LOOK_UP / 20),
            }
        }
    }

    /// A stream from the source's address at the other end.
    fn dial(&self) -> io::Result<TcpStream> {
        self.there(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stream = runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.bind((self.source, 0).into())?;
                socket.connect(self.target).await
            })?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    fn pass_bytes_on(&self, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().expect("descriptors"), to.try_clone().expect("descriptors"));
        from.set_nonblocking(false).expect("a socket of ours");
        let late = self.after_a_while(move |bytes: Vec<u8>| {
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                let _ = to.shutdown(Shutdown::Both);
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(length) = from.read(&mut buffer) {
                if late.send((Instant::now(), buffer[..length].to_vec())).is_err() || length == 0 {
                    return;
                }
            }
            let _ = late.send((Instant::now(), Vec::new()));
        });
    }

    /// Datagrams of each sender leave from a port of its own.
    fn pass_datagrams_on(&self, near: UdpSocket) {
        near.set_read_timeout(Some(LOOK_UP)).expect("a socket of ours");
        let near = Arc::new(near);
        let mut known: Vec<(SocketAddr, Late)> = Vec::new();
        let mut buffer = [0; 2048];
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((length, from)) = near.recv_from(&mut buffer) else { continue };
            let came = Instant::now();
            let outward = match known.iter().find(|(sender, _)| *sender == from) {
                Some((_, outward)) => outward,
                None => {
                    known.push((from, self.answer_to(Arc::clone(&near), from)));
                    &known.last().expect("just pushed").1
                }
            };
            let _ = outward.send((came, buffer[..length].to_vec()));
        }
    }

    /// Opens a port at the other end for this sender, whose answers find back to him; returns the way there.
    fn answer_to(&self, near: Arc<UdpSocket>, sender: SocketAddr) -> Late {
        let far = self.there(|| UdpSocket::bind((self.source, 0))).expect("its address is there");
        far.set_read_timeout(Some(LOOK_UP)).expect("a socket of ours");
        let (far, target) = (Arc::new(far), self.target);
        let back = self.after_a_while(move |bytes: Vec<u8>| drop(near.send_to(&bytes, sender)));
        let (answers, is_over) = (Arc::clone(&far), Arc::clone(&self.is_over));
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !is_over.load(Ordering::Relaxed) {
                match answers.recv_from(&mut buffer) {
                    Ok((length, from)) if from == target => {
                        drop(back.send((Instant::now(), buffer[..length].to_vec())))
                    }
                    Err(error) if error.kind() != ErrorKind::WouldBlock => thread::sleep(LOOK_UP / 20),
                    _ => {}
                }
            }
        });
        self.after_a_while(move |bytes: Vec<u8>| drop(far.send_to(&bytes, target)))
    }

    /// What is sent here is delivered this way's time after it came, and never before.
    fn after_a_while(&self, mut deliver: impl FnMut(Vec<u8>) + Send + 'static) -> Late {
        let (sender, waiting) = mpsc::channel::<(Instant, Vec<u8>)>();
        let one_way = self.one_way;
        thread::spawn(move || {
            for (came, bytes) in waiting {
                thread::sleep((came + one_way).saturating_duration_since(Instant::now()));
                deliver(bytes);
            }
        });
        sender
    }
}

/// How often threads look whether the world still stands.
const LOOK_UP: Duration = Duration::from_millis(200);
