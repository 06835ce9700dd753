//! TLS 1.3 and nothing older: raw public keys (RFC 7250, Ed25519) for nodes and verifiers, X.509 for those who ask
//! `garant serve`. No tickets, no resumption, no early data: a binder belongs to one handshake.
//!
//! A handshake proves who has a key, not whose it is. A node's key is judged afterwards, by evidence: B of the quoted
//! boot must have signed it.

use crate::{
    budget::HANDSHAKE,
    engine::FastEngine,
    error::ChannelError,
    key::{SigningKey, ed25519_of_spki},
};
use garant_attest::engine::{Engine, PublicKey, SignatureScheme as Scheme};
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Which raw public keys of the peer are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Any that the peer proves to have, or none where it dials us: a stranger. Somebody judges the key later.
    Anyone,
    /// Any that the peer proves to have, and it must show one.
    AnyKey,
    /// This one.
    Only([u8; 32]),
}

/// For whoever is dialled: a node by verifiers, a verifier by nodes that push.
pub fn server(key: &SigningKey, clients: Accept) -> Result<Arc<ServerConfig>, ChannelError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let mut config = builder
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(RawKeys(clients)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key.raw_public_key())));
    forget_sessions(&mut config);
    Ok(Arc::new(config))
}

/// For whoever dials. Without a key of its own it is a stranger to the other end.
pub fn client(key: Option<&SigningKey>, server: Accept) -> Result<Arc<ClientConfig>, ChannelError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let own: Arc<dyn ResolvesClientCert> = match key {
        Some(key) => Arc::new(AlwaysResolvesClientRawPublicKeys::new(key.raw_public_key())),
        None => Arc::new(Stranger),
    };
    let mut config = builder
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(RawKeys(server)))
        .with_client_cert_resolver(own);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// For relying parties, who know certificates: the server's chain, its own first, and its private key.
pub fn x509_server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, ChannelError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let mut config = builder.with_protocol_versions(&[&TLS13])?.with_no_client_auth().with_single_cert(chain, key)?;
    forget_sessions(&mut config);
    Ok(Arc::new(config))
}

/// The handshake with whoever dialled us.
pub async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> Result<server::TlsStream<TcpStream>, ChannelError> {
    stream.set_nodelay(true)?;
    let handshake = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await;
    Ok(handshake.map_err(|_| TOO_SLOW)??)
}

/// Dials a raw-key server, which is named by its key alone.
pub async fn dial(
    config: Arc<ClientConfig>,
    address: SocketAddr,
) -> Result<client::TlsStream<TcpStream>, ChannelError> {
    let dialled = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // The name is not sent and not compared.
        let nobody = ServerName::IpAddress(address.ip().into());
        TlsConnector::from(config).connect(nobody, stream).await
    };
    Ok(timeout(HANDSHAKE, dialled).await.map_err(|_| TOO_SLOW)??)
}

/// The raw public key that the peer proved to have in the handshake; `None` for a stranger.
pub fn peer_key(connection: &CommonState) -> Option<[u8; 32]> {
    match connection.peer_certificates() {
        Some([only]) => ed25519_of_spki(only),
        _ => None,
    }
}

/// rustls sends two tickets and keeps 256 sessions unless told otherwise.
fn forget_sessions(config: &mut ServerConfig) {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
}

const TOO_SLOW: ChannelError = ChannelError::TimedOut { awaited: "handshake" };

/// Checks raw public keys: Ed25519 alone, proven by CertificateVerify.
#[derive(Debug)]
struct RawKeys(Accept);

impl RawKeys {
    fn admit(&self, certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = ed25519_of_spki(certificate).filter(|_| others.is_empty());
        match (self.0, key) {
            (Accept::Anyone | Accept::AnyKey, Some(_)) => Ok(()),
            (Accept::Only(pinned), Some(key)) if key == pinned => Ok(()),
            (_, None) => Err(CertificateError::BadEncoding.into()),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_proof(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = ed25519_of_spki(certificate).filter(|_| proof.scheme == SignatureScheme::ED25519);
        let key = PublicKey::Ed25519(key.ok_or(CertificateError::BadEncoding)?);
        let verified = FastEngine.verify_signature(&key, Scheme::Ed25519, message, proof.signature());
        verified.map_err(|_| CertificateError::BadSignature)?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for RawKeys {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.admit(certificate, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        RawKeys::verify_proof(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeys {
    fn client_auth_mandatory(&self) -> bool {
        self.0 != Accept::Anyone
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.admit(certificate, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        RawKeys::verify_proof(message, certificate, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A client without a key: it offers to show a raw public key, as such servers demand, and then shows none.
#[derive(Debug)]
struct Stranger;

impl ResolvesClientCert for Stranger {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
