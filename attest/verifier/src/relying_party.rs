//! What relying parties are answered: the latest result on each known machine, signed anew as `unknown` where the
//! machine is silent, and nothing at all about strangers.

use crate::{
    assess::nothing_proven,
    board::Standing,
    budget::{RELYING_PARTY, REQUEST_BYTES},
    clock::unix_time,
    error::VerifierError,
    report::{Report, hex},
    serve::{Machine, Service, next},
    sources::read_certificates,
};
use garant_attest::{cose::ClaimedStatement, ear::Ear, node_id::NodeId, wire::Kind};
use garant_channel::{
    gate::Gate,
    http::{self, Answer, Request},
    tls::{self, Accept},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};

/// X.509 where the configuration has it, else our raw key.
pub(crate) fn tls_config(service: &Service) -> Result<Arc<ServerConfig>, VerifierError> {
    let configuration = &service.configuration;
    let ours = |source| VerifierError::Channel { peer: "relying parties".to_owned(), source };
    let (Some(chain), Some(key)) = (&configuration.certificate, &configuration.certificate_key) else {
        return tls::server(service.sealer.key(), Accept::Anyone).map_err(ours);
    };
    let chain = read_certificates(chain)?.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| VerifierError::KeyFile { path: key.clone(), what: error.to_string() })?;
    tls::x509_server(chain, private).map_err(ours)
}

/// Answers for ever.
pub(crate) async fn accept(
    service: Arc<Service>,
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> Result<(), VerifierError> {
    let gate = Gate::new(service.configuration.connections, service.configuration.connections_per_address);
    loop {
        let Some((stream, peer)) = next(&listener).await else { continue };
        let Some(place) = gate.enter(peer.ip()) else { continue };
        let (service, config) = (Arc::clone(&service), Arc::clone(&config));
        tokio::spawn(async move {
            let _place = place;
            let served = async {
                let stream = tls::accept(config, stream).await?;
                http::serve(stream, REQUEST_BYTES, async |request| answer(&service, &request)).await
            };
            // A relying party that is slow, or breaks off, is its own affair.
            let _ = timeout(RELYING_PARTY, served).await;
        });
    }
}

fn answer(service: &Service, request: &Request) -> Answer {
    if request.method != "GET" {
        return refusal(405, "results are read by GET");
    }
    let mut path = request.path.trim_start_matches('/').split('/');
    let (version, what, id, form) = (path.next(), path.next(), path.next(), path.next());
    let found = match (version, what, id, form, path.next()) {
        (Some("v1"), Some("health"), None, None, None) => health(service),
        (Some("v1"), Some("nodes"), None, None, None) => nodes(service),
        (Some("v1"), Some("nodes"), Some(id), Some(form @ ("ear" | "ear.json")), None) => ear(service, id, form),
        _ => Ok(refusal(404, "the paths are /v1/nodes, /v1/nodes/<node id>/ear, .../ear.json and /v1/health")),
    };
    found.unwrap_or_else(|error| {
        log::error!("no answer path={} error={error}", request.path.escape_debug());
        refusal(500, "the verifier failed; its log says why")
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    machines: usize,
    enrolled: u64,
    heard: usize,
}

fn health(service: &Service) -> Result<Answer, VerifierError> {
    let (machines, enrolled) = (service.machines()?.len(), service.store.records()?);
    Ok(json(&Health { status: "ok", machines, enrolled, heard: service.board.len() }))
}

#[derive(Serialize)]
struct Listed {
    name: String,
    node: Option<String>,
    chassis: Option<String>,
    boot: String,
    why: Option<String>,
}

fn nodes(service: &Service) -> Result<Answer, VerifierError> {
    let listed: Result<Vec<Listed>, VerifierError> =
        service.machines()?.into_iter().map(|machine| list(service, machine)).collect();
    Ok(json(&listed?))
}

fn list(service: &Service, Machine { asset, id }: Machine) -> Result<Listed, VerifierError> {
    let standing = match id {
        Some(id) => standing(service, &id)?,
        None => Standing::Unknown("the node has never answered".to_owned()),
    };
    let (boot, why) = match standing {
        Standing::Heard(heard) => (heard.boot, None),
        Standing::Unknown(why) => ("unknown".to_owned(), Some(why)),
    };
    Ok(Listed { name: asset.name, node: id.map(|id| hex(&id)), chassis: asset.chassis, boot, why })
}

fn ear(service: &Service, id: &str, form: &str) -> Result<Answer, VerifierError> {
    let Ok(id) = id.parse::<NodeId>().map(|id| *id.as_bytes()) else {
        return Ok(refusal(404, "a node id is 64 hexadecimal digits"));
    };
    if !service.machines()?.iter().any(|known| known.id == Some(id)) {
        return Ok(refusal(404, "no known machine has this node id"));
    }
    let signed = match standing(service, &id)? {
        Standing::Heard(heard) => heard.ear,
        Standing::Unknown(why) => unknown(service, id, &why)?,
    };
    Ok(match form {
        "ear" => Answer::new(200, EAR, signed),
        _ => json(&Report::of(&claims(&signed)?)),
    })
}

fn standing(service: &Service, id: &[u8; 32]) -> Result<Standing, VerifierError> {
    let (now, calendar) = service.now()?;
    Ok(service.board.standing(id, &now, service.configuration.silence(), calendar))
}

/// A result that says that nothing is known, signed now.
fn unknown(service: &Service, id: [u8; 32], why: &str) -> Result<Vec<u8>, VerifierError> {
    let ak_name = service.store.memory(id)?.ak_name.unwrap_or_default();
    let judgement = nothing_proven(&service.rules, Some((id, &ak_name)), Kind::None, why);
    service.sealer.ear(&judgement.ear(unix_time(), service.configuration.audience.as_deref(), UNKNOWN_LIFETIME))
}

/// The claims of a result that we signed ourselves.
fn claims(signed: &[u8]) -> Result<Ear, VerifierError> {
    let statement = ClaimedStatement::decode(signed).map_err(VerifierError::Record)?;
    Ear::decode_untrusted(statement.untrusted_payload()).map_err(VerifierError::Encoding)
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(text) => Answer::new(200, "application/json", text),
        Err(_) => refusal(500, "the answer cannot be written as JSON"),
    }
}

fn refusal(status: u16, what: &'static str) -> Answer {
    Answer::new(status, "text/plain; charset=utf-8", what)
}

/// Media type of an EAR as COSE (draft-ietf-rats-ear §6).
const EAR: &str = "application/eat+cwt";
/// An `unknown` lives a minute: the node may answer any time.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(60);
