//! The server: opens what it needs, is locked down, and then answers. One thread, and one more for the TPM.
//!
//! Left out: what is answered (`routes`), and everything that the keeper does.

use crate::{
    budget::{CONNECTIONS, OTHER_DESCRIPTORS, SESSION_KEY_RENEWAL},
    config::{ConfigError, Configuration},
    evidence::Fixed,
    inherited::{Inherited, KeeperLink, LinkError},
    lockdown::{self, LockdownError, Needs},
    push,
    quoting::Quoting,
    routes::{Channel, Node},
    session::{Session, SessionError},
    sources::Sources,
    tpm_chip::{Chip, ChipError},
    tpm_device::TpmDevice,
    tpm_task,
};
use garant_attest::{
    budget::CREDENTIAL_BYTES,
    cbor::CborError,
    evidence::{NodeClaims, PROFILE},
    wire::Kind,
};
use garant_channel::{
    binder::{NO_BINDER, binder},
    error::ChannelError,
    http, tls,
};
use garant_hw::tpm::TpmError;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener as BoundTcp},
    os::unix::{fs::PermissionsExt, net::UnixListener as BoundUnix},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

/// Why a server ends; the keeper starts the next one.
#[derive(Debug)]
pub enum ServerError {
    /// The configuration is not one.
    Configuration(ConfigError),
    /// No session key.
    Session(SessionError),
    /// The keeper is gone.
    Keeper(LinkError),
    /// Not locked in.
    Lockdown(LockdownError),
    /// The TPM did not do what a start needs.
    Tpm(ChipError),
    /// The TPM went away.
    TpmGone(Option<TpmError>),
    /// Evidence of ours cannot be encoded.
    Encoding(CborError),
    /// The system refuses something.
    System {
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Configuration(_) => f.write_str("the configuration cannot be used"),
            ServerError::Session(_) => f.write_str("no session key"),
            ServerError::Keeper(_) => f.write_str("the keeper is gone"),
            ServerError::Lockdown(_) => f.write_str("the server cannot lock itself in"),
            ServerError::Tpm(_) => f.write_str("the TPM cannot be taken over"),
            ServerError::TpmGone(_) => f.write_str("the TPM is gone"),
            ServerError::Encoding(_) => f.write_str("evidence of ours cannot be encoded"),
            ServerError::System { doing, .. } => write!(f, "cannot {doing}"),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServerError::Configuration(source) => Some(source),
            ServerError::Session(source) => Some(source),
            ServerError::Keeper(source) => Some(source),
            ServerError::Lockdown(source) => Some(source),
            ServerError::Tpm(source) => Some(source),
            ServerError::TpmGone(source) => {
                source.as_ref().map(|source| -> &(dyn std::error::Error + 'static) { source })
            }
            ServerError::Encoding(source) => Some(source),
            ServerError::System { source, .. } => Some(source),
        }
    }
}

/// Runs until the TPM or the keeper is gone.
pub fn run(inherited: Inherited) -> Result<(), ServerError> {
    let configuration = Configuration::parse(&inherited.configuration).map_err(ServerError::Configuration)?;
    let sources = Sources::open(&configuration);
    let listeners = Listeners::bind(&configuration)?;
    allow_connections();
    let landlocked = lockdown::lock(&Needs::of(&configuration)).map_err(ServerError::Lockdown)?;
    log::info!("server locked in landlock={landlocked:?}");
    let Inherited { entry_zero, ledger_pcr, tpm, keeper, .. } = inherited;
    let start = Start { configuration, sources, entry_zero, ledger_pcr, tpm, keeper: keeper.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system("start the runtime"))?.block_on(async {
        let (node, tpm_end) = start.node()?;
        serve(node, listeners, keeper, tpm_end).await
    })
}

/// What a node is made from.
struct Start {
    configuration: Configuration,
    sources: Sources,
    entry_zero: Vec<u8>,
    ledger_pcr: u8,
    tpm: TpmDevice,
    keeper: KeeperLink,
}

impl Start {
    /// Takes the TPM over and makes the first session key.
    fn node(self) -> Result<(Arc<Node>, oneshot::Receiver<TpmError>), ServerError> {
        let chip = Chip::take(self.tpm, self.ledger_pcr).map_err(ServerError::Tpm)?;
        let ak_public = chip.ak_public().to_vec();
        let Sources { boot_log, ima, missing } = self.sources;
        let missing = (!missing.is_empty()).then(|| missing.join("; "));
        let claims = claims(self.ledger_pcr, missing.as_deref());
        let fixed = Fixed::new(&ak_public, &claims, &self.entry_zero, boot_log).map_err(ServerError::Encoding)?;
        let (tpm, tpm_end) = tpm_task::start(chip).map_err(system("start the TPM's thread"))?;
        let session = Session::new(&self.keeper).map_err(ServerError::Session)?;
        let quoting = Quoting::new(tpm.clone(), fixed, ima, session);
        Ok((Arc::new(Node::new(self.configuration, tpm, quoting, ak_public, missing)), tpm_end))
    }
}

fn claims(ledger_pcr: u8, missing: Option<&str>) -> NodeClaims<'_> {
    NodeClaims {
        profile: PROFILE,
        ledger_pcr: ledger_pcr.into(),
        untrusted_version: env!("CARGO_PKG_VERSION"),
        untrusted_manufacturer: None,
        untrusted_product: None,
        untrusted_serial: None,
        untrusted_chassis_serial: None,
        untrusted_missing: missing,
    }
}

async fn serve(
    node: Arc<Node>,
    listeners: Listeners,
    keeper: KeeperLink,
    tpm_end: oneshot::Receiver<TpmError>,
) -> Result<(), ServerError> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    for listener in listeners.tcp {
        let listener = TcpListener::from_std(listener).map_err(system("listen"))?;
        tokio::spawn(accept_tls(listener, node.clone(), room.clone()));
    }
    if let Some(listener) = listeners.unix {
        let listener = UnixListener::from_std(listener).map_err(system("listen"))?;
        tokio::spawn(accept_local(listener, node.clone(), room.clone()));
    }
    for target in node.configuration.push.clone() {
        tokio::spawn(push::report(node.clone(), target));
    }
    keeper.ready().map_err(ServerError::Keeper)?;
    tokio::select! {
        renewing = renew(&node.quoting, &keeper) => renewing,
        gone = tpm_end => {
            // Whoever waits is told so before the server ends.
            sleep(LAST_WORDS).await;
            Err(ServerError::TpmGone(gone.ok()))
        }
    }
}

/// Renews F again and again; ends when there is none.
async fn renew(quoting: &Quoting, keeper: &KeeperLink) -> Result<(), ServerError> {
    let mut due = interval(SESSION_KEY_RENEWAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due.tick().await;
    loop {
        due.tick().await;
        quoting.renew(Session::new(keeper).map_err(ServerError::Session)?);
        log::info!("session key renewed");
    }
}

/// Sockets that were bound before lockdown.
struct Listeners {
    tcp: Vec<BoundTcp>,
    unix: Option<BoundUnix>,
}

impl Listeners {
    fn bind(configuration: &Configuration) -> Result<Listeners, ServerError> {
        let tcp = configuration.listen.iter().map(|address| {
            bind_tcp(*address).map_err(|source| ServerError::System { doing: format!("listen at {address}"), source })
        });
        let unix = configuration.socket.as_deref().map(|path| {
            let doing = format!("listen at {}", path.display());
            bind_unix(path).map_err(|source| ServerError::System { doing, source })
        });
        Ok(Listeners { tcp: tcp.collect::<Result<_, _>>()?, unix: unix.transpose()? })
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<BoundTcp> {
    let listener = BoundTcp::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A socket that a killed server left behind is taken away; who may connect, owner and group of its file say.
fn bind_unix(path: &Path) -> io::Result<BoundUnix> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = BoundUnix::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Raises the number of descriptors as far as connections need; where the system refuses, accepting fails later.
fn allow_connections() {
    let wanted = u64::try_from(CONNECTIONS).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).map(|()| hard));
    if !raised.is_ok_and(|hard| hard >= wanted) {
        log::warn!("fewer than {CONNECTIONS} connections at a time: the limit of open files is below {wanted}");
    }
}

async fn accept_tls(listener: TcpListener, node: Arc<Node>, room: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without room the connection is closed at once: a handshake would cost more than the refusal.
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    tokio::spawn(serve_tls(stream, node.clone(), permit));
                }
            }
            Err(error) => pause_accepting(&error).await,
        }
    }
}

async fn accept_local(listener: UnixListener, node: Arc<Node>, room: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    tokio::spawn(serve_local(stream, node.clone(), permit));
                }
            }
            Err(error) => pause_accepting(&error).await,
        }
    }
}

async fn pause_accepting(error: &io::Error) {
    log::warn!("connection not accepted: {error}");
    sleep(ACCEPT_PAUSE).await;
}

async fn serve_tls(stream: TcpStream, node: Arc<Node>, _permit: OwnedSemaphorePermit) {
    let (config, session) = node.quoting.with_sessions(|sessions| {
        let current = sessions.current();
        (current.tls().clone(), current.vouched().clone())
    });
    let served = async {
        let stream = tls::accept(config, stream).await?;
        let connection = stream.get_ref().1;
        let binder = binder(connection, Kind::TlsServer)?;
        let channel = Channel::new(Kind::TlsServer, binder, tls::peer_key(connection), Some(session));
        serve_channel(&node, &channel, stream).await
    };
    note(served.await);
}

async fn serve_local(stream: UnixStream, node: Arc<Node>, _permit: OwnedSemaphorePermit) {
    let channel = Channel::new(Kind::None, NO_BINDER, None, None);
    note(serve_channel(&node, &channel, stream).await);
}

/// Answers on one connection until it ends, whoever dialled.
pub(crate) async fn serve_channel<S>(node: &Node, channel: &Channel, stream: S) -> Result<(), ChannelError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    http::serve(stream, CREDENTIAL_BYTES, |request| node.answer(channel, request)).await
}

/// Strangers' broken connections are their own affair; they are counted by whoever wants to, at level debug.
fn note(served: Result<(), ChannelError>) {
    if let Err(error) = served {
        log::debug!("connection ended: {error}");
    }
}

fn system(doing: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::System { doing: doing.to_owned(), source }
}

/// After an error of accept, which is a want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers may still leave when the TPM is gone.
const LAST_WORDS: Duration = Duration::from_millis(200);
