//! Who is let in: TLS on TCP ports, a Unix socket for this machine, and how many at a time.

use crate::{
    budget::{CONNECTIONS, CONNECTIONS_OF_ONE, LOCAL_CONNECTIONS, OTHER_DESCRIPTORS},
    config::Configuration,
    routes::{Channel, Node},
    server::ServerError,
};
use garant_attest::wire::Kind;
use garant_channel::{
    binder::{NO_BINDER, binder},
    error::ChannelError,
    gate::{Gate, Place},
    http, tls,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    io,
    net::{SocketAddr, TcpListener as BoundTcp},
    os::unix::{fs::PermissionsExt, net::UnixListener as BoundUnix},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// Sockets that were bound before lockdown.
pub struct Listeners {
    tcp: Vec<BoundTcp>,
    unix: Option<BoundUnix>,
}

impl Listeners {
    /// Binds what the configuration names, and makes room for as many connections as may come.
    pub fn bind(configuration: &Configuration) -> Result<Listeners, ServerError> {
        let tcp = configuration.listen.iter().map(|address| {
            bind_tcp(*address).map_err(|source| ServerError::System { doing: format!("listen at {address}"), source })
        });
        let unix = configuration.socket.as_deref().map(|path| {
            let doing = format!("listen at {}", path.display());
            bind_unix(path).map_err(|source| ServerError::System { doing, source })
        });
        let listeners = Listeners { tcp: tcp.collect::<Result<_, _>>()?, unix: unix.transpose()? };
        allow_connections();
        Ok(listeners)
    }

    /// Lets in who comes, on tasks of the running tokio.
    pub fn accept(self, node: &Arc<Node>) -> io::Result<()> {
        let gate = gate();
        for listener in self.tcp {
            tokio::spawn(accept_tls(TcpListener::from_std(listener)?, node.clone(), gate.clone()));
        }
        if let Some(listener) = self.unix {
            tokio::spawn(accept_local(UnixListener::from_std(listener)?, node.clone()));
        }
        Ok(())
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

fn gate() -> Arc<Gate> {
    Gate::new(CONNECTIONS, CONNECTIONS_OF_ONE)
}

async fn accept_tls(listener: TcpListener, node: Arc<Node>, gate: Arc<Gate>) {
    loop {
        let (stream, place) = next(&listener, &gate).await;
        tokio::spawn(serve_tls(stream, node.clone(), place));
    }
}

/// The next connection for which there is a place. Without one it is closed at once: a handshake would cost more than the
/// refusal.
async fn next(listener: &TcpListener, gate: &Arc<Gate>) -> (TcpStream, Place) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(place) = gate.enter(peer.ip()) {
                    return (stream, place);
                }
            }
            Err(error) => pause_accepting(&error).await,
        }
    }
}

async fn accept_local(listener: UnixListener, node: Arc<Node>) {
    let room = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
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

async fn serve_tls(stream: TcpStream, node: Arc<Node>, _place: Place) {
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
    http::serve(stream, node.body_bytes(channel), |request| node.answer(channel, request)).await
}

/// Strangers' broken connections are their own affair; they are counted by whoever wants to, at level debug.
fn note(served: Result<(), ChannelError>) {
    if let Err(error) = served {
        log::debug!("connection ended: {error}");
    }
}

/// After an error of accept, which is a want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use tokio::{io::AsyncReadExt, net::TcpSocket, time::timeout};

    #[test]
    fn one_address_cannot_take_every_place_of_a_node() {
        let gate = gate();
        let address = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
        let all = |last| std::iter::from_fn(|| gate.enter(address(last))).collect::<Vec<Place>>();
        let (one, other) = (all(1), all(2));
        assert_eq!((one.len(), other.len()), (CONNECTIONS / 2, CONNECTIONS / 2));
        assert!(all(3).is_empty(), "no more than there are in all");
    }

    #[tokio::test]
    async fn a_connection_for_which_there_is_no_place_is_closed_and_the_next_comes_in() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let dial = async |last| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
            socket.connect(target).await.unwrap()
        };
        let gate = Gate::new(8, 1);
        let comes_in = async || timeout(Duration::from_secs(5), next(&listener, &gate)).await.unwrap();
        let from = |accepted: &(TcpStream, Place)| accepted.0.peer_addr().unwrap().ip();
        let _first = dial(1).await;
        let first = comes_in().await;
        let (mut refused, _other) = (dial(1).await, dial(2).await);
        assert_eq!(from(&comes_in().await), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(refused.read(&mut [0; 1]).await.unwrap(), 0, "closed");
        drop(first);
        let _again = dial(1).await;
        assert_eq!(from(&comes_in().await), Ipv4Addr::LOCALHOST, "its place is free again");
    }
}
