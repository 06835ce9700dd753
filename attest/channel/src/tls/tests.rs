#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::binder::binder;
use garant_attest::wire::Kind;
use rustls::{ClientConnection, HandshakeKind, ServerConnection, client::ClientSessionMemoryCache};
use std::sync::atomic::{AtomicUsize, Ordering};

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

fn connections(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (ClientConnection, ServerConnection) {
    let nobody = ServerName::try_from("node.invalid").unwrap();
    (ClientConnection::new(client.clone(), nobody).unwrap(), ServerConnection::new(server.clone()).unwrap())
}

/// Moves records until both ends are done, or one refuses.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    while client.wants_write() || server.wants_write() {
        let mut records = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut records).unwrap();
        }
        let mut rest = &records[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        records.clear();
        while server.wants_write() {
            server.write_tls(&mut records).unwrap();
        }
        let mut rest = &records[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

fn connected(
    client_key: Option<&SigningKey>,
    servers: Accept,
    server_key: &SigningKey,
    clients: Accept,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let (mut there, mut here) =
        connections(&client(client_key, servers).unwrap(), &server(server_key, clients).unwrap());
    shake(&mut there, &mut here).map(|()| (there, here))
}

#[test]
fn each_end_learns_the_key_that_the_other_has() {
    let (node, verifier) = (key(), key());
    let (there, here) = connected(Some(&verifier), Accept::AnyKey, &node, Accept::Anyone).unwrap();
    assert_eq!(peer_key(&there), Some(node.public()));
    assert_eq!(peer_key(&here), Some(verifier.public()));
}

#[test]
fn a_stranger_without_a_key_may_ask_where_anyone_may() {
    let (_, here) = connected(None, Accept::AnyKey, &key(), Accept::Anyone).unwrap();
    assert_eq!(peer_key(&here), None);
}

#[test]
fn a_stranger_without_a_key_is_refused_where_a_key_is_asked_for() {
    assert!(connected(Some(&key()), Accept::AnyKey, &key(), Accept::AnyKey).is_ok());
    assert!(connected(None, Accept::AnyKey, &key(), Accept::AnyKey).is_err());
}

#[test]
fn a_server_with_another_key_than_the_pinned_one_is_refused() {
    let node = key();
    assert!(connected(None, Accept::Only(node.public()), &node, Accept::Anyone).is_ok());
    assert!(connected(None, Accept::Only(key().public()), &node, Accept::Anyone).is_err());
}

#[test]
fn a_client_with_another_key_than_the_pinned_one_is_refused() {
    let verifier = key();
    assert!(connected(Some(&verifier), Accept::AnyKey, &key(), Accept::Only(verifier.public())).is_ok());
    assert!(connected(Some(&key()), Accept::AnyKey, &key(), Accept::Only(verifier.public())).is_err());
}

#[test]
fn a_server_that_shows_a_key_which_it_does_not_have_is_refused() {
    let node = key();
    let thief = key().posing_as(node.public());
    assert!(connected(None, Accept::Only(node.public()), &thief, Accept::Anyone).is_err());
}

#[test]
fn a_client_that_shows_a_key_which_it_does_not_have_is_refused() {
    let thief = key().posing_as(key().public());
    assert!(connected(Some(&thief), Accept::AnyKey, &key(), Accept::Anyone).is_err());
}

#[test]
fn an_x509_certificate_is_no_raw_key() {
    let (chain, private) = certificate();
    let (mut there, mut here) =
        connections(&client(None, Accept::AnyKey).unwrap(), &x509_server(chain, private).unwrap());
    assert!(shake(&mut there, &mut here).is_err());
}

#[test]
fn both_ends_compute_one_binder_and_no_other_connection_or_kind_has_it() {
    let (node, verifier) = (key(), key());
    let connect = || connected(Some(&verifier), Accept::AnyKey, &node, Accept::Anyone).unwrap();
    let ((there, here), (_, other)) = (connect(), connect());
    let of = |kind| binder(&here, kind).unwrap();
    assert_eq!(binder(&there, Kind::TlsServer).unwrap(), of(Kind::TlsServer));
    assert_ne!(binder(&other, Kind::TlsServer).unwrap(), of(Kind::TlsServer));
    assert_ne!(of(Kind::TlsClient), of(Kind::TlsServer));
    assert_ne!(of(Kind::Vm), of(Kind::TlsServer));
    assert_ne!(of(Kind::Vm), of(Kind::TlsClient));
}

#[test]
fn there_is_no_binder_before_the_handshake_is_over() {
    let (there, here) = connections(&client(None, Accept::AnyKey).unwrap(), &server(&key(), Accept::Anyone).unwrap());
    assert!(matches!(binder(&there, Kind::TlsServer), Err(ChannelError::NoBinder)));
    assert!(matches!(binder(&here, Kind::TlsServer), Err(ChannelError::NoBinder)));
}

/// A client that would resume and send early data, as rustls does by default.
fn eager_client(seen: &Arc<Tickets>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&client(Some(&key()), Accept::AnyKey).unwrap());
    config.resumption = Resumption::store(seen.clone());
    config.enable_early_data = true;
    Arc::new(config)
}

#[derive(Debug)]
struct Tickets {
    kept: ClientSessionMemoryCache,
    count: AtomicUsize,
}

impl Tickets {
    fn none() -> Arc<Tickets> {
        Arc::new(Tickets { kept: ClientSessionMemoryCache::new(32), count: AtomicUsize::new(0) })
    }
}

impl rustls::client::ClientSessionStore for Tickets {
    fn set_tls12_session(&self, _: ServerName<'static>, _: rustls::client::Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn set_kx_hint(&self, server: ServerName<'static>, group: rustls::NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }
    fn kx_hint(&self, server: &ServerName<'_>) -> Option<rustls::NamedGroup> {
        self.kept.kx_hint(server)
    }
    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: rustls::client::Tls13ClientSessionValue) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.kept.insert_tls13_ticket(server, ticket);
    }
    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server)
    }
}

#[test]
fn no_session_ticket_is_sent() {
    let tickets = Tickets::none();
    let (mut there, mut here) = connections(&eager_client(&tickets), &server(&key(), Accept::Anyone).unwrap());
    shake(&mut there, &mut here).unwrap();
    assert_eq!(tickets.count.load(Ordering::Relaxed), 0);
}

#[test]
fn relying_parties_get_no_ticket_and_are_not_resumed() {
    let (chain, private) = certificate();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let tickets = Tickets::none();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let mut eager =
        builder.with_protocol_versions(&[&TLS13]).unwrap().with_root_certificates(roots).with_no_client_auth();
    eager.resumption = Resumption::store(tickets.clone());
    let (eager, server) = (Arc::new(eager), x509_server(chain, private).unwrap());
    for _ in 0..2 {
        let nobody = ServerName::try_from("verifier.example").unwrap();
        let mut there = ClientConnection::new(eager.clone(), nobody).unwrap();
        let mut here = ServerConnection::new(server.clone()).unwrap();
        shake(&mut there, &mut here).unwrap();
        assert_eq!(tickets.count.load(Ordering::Relaxed), 0);
        assert_eq!(here.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn no_session_is_resumed_even_where_tickets_are_sent() {
    let tickets = Tickets::none();
    let eager = eager_client(&tickets);
    let mut config = ServerConfig::clone(&server(&key(), Accept::Anyone).unwrap());
    config.send_tls13_tickets = 2;
    let config = Arc::new(config);
    for _ in 0..2 {
        let (mut there, mut here) = connections(&eager, &config);
        shake(&mut there, &mut here).unwrap();
        assert_eq!(here.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn no_early_data_is_taken_even_where_sessions_are_resumed() {
    let tickets = Tickets::none();
    let eager = eager_client(&tickets);
    let mut config = ServerConfig::clone(&server(&key(), Accept::Anyone).unwrap());
    config.send_tls13_tickets = 2;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(32);
    let config = Arc::new(config);
    let (mut there, mut here) = connections(&eager, &config);
    shake(&mut there, &mut here).unwrap();
    let (mut there, mut here) = connections(&eager, &config);
    assert!(there.early_data().is_none());
    shake(&mut there, &mut here).unwrap();
    assert_eq!(here.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_client_neither_resumes_nor_sends_early_data() {
    let mut config = ServerConfig::clone(&server(&key(), Accept::Anyone).unwrap());
    config.send_tls13_tickets = 2;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(32);
    config.max_early_data_size = 1024;
    let (config, client) = (Arc::new(config), client(None, Accept::AnyKey).unwrap());
    for _ in 0..2 {
        let (mut there, mut here) = connections(&client, &config);
        assert!(there.early_data().is_none());
        shake(&mut there, &mut here).unwrap();
        assert_eq!(here.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn a_hello_of_tls_1_2_is_refused() {
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]); // no session, ECDHE-ECDSA with AES-128-GCM, no compression
    let mut here = ServerConnection::new(server(&key(), Accept::Anyone).unwrap()).unwrap();
    here.read_tls(&mut &hello[..]).unwrap();
    assert!(matches!(here.process_new_packets(), Err(Error::PeerIncompatible(_))));
}

fn certificate() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["verifier.example".to_owned()]).unwrap();
    (vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
}
