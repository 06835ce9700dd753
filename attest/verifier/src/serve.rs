//! `garant serve`: dials the nodes that it is told to, is dialled by those that push, and keeps a verdict on each known
//! machine. What relying parties are answered stands in [`crate::relying_party`].
//!
//! A node proves who it is before anything of it is kept: chain, asset list, then activation. An answer that fails a
//! check proves nothing about a machine, so it changes no verdict: else whoever knows an EK certificate could.

use crate::{
    assess::{Judgement, Rulebook, Said, Witness, judge},
    board::{Board, Heard},
    budget::{ROUND, STATEMENT_FILES},
    clock::{Clock, Moment, unix_time},
    config::{Asset, AssetIdentity, Configuration},
    dial::{Address, Link},
    enrol::{CertifiedNode, certify},
    error::VerifierError,
    known::{Alias, sent_log},
    ledger::HeldLedgers,
    relying_party,
    report::hex,
    seal::{Sealer, read_key},
    session::Session,
    sources::read_file,
    statements::Collected,
    store::Store,
};
use garant_attest::{
    budget::STATEMENT_BYTES,
    engine::{PublicKey, sha256},
    verdict::Answer,
    wire::Mode,
};
use garant_channel::{
    engine::FastEngine,
    error::ChannelError,
    gate::Gate,
    key::SigningKey,
    tls::{self, Accept},
};
use rustls::ServerConfig;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// A running verifier, shared by its tasks.
pub struct Service {
    /// Its configuration.
    pub(crate) configuration: Configuration,
    /// What it believes.
    pub(crate) rules: Rulebook,
    /// Its key.
    pub(crate) sealer: Sealer,
    /// Its clock.
    pub(crate) clock: Clock,
    /// What it knows now.
    pub(crate) board: Board,
    /// What it remembers.
    pub(crate) store: Store,
    ledgers: HeldLedgers,
    assets: Vec<(Asset, AssetIdentity)>,
    witnesses: Vec<Witness>,
}

/// A known machine, and its node id as far as it has been seen.
pub(crate) struct Machine {
    pub(crate) asset: Asset,
    pub(crate) id: Option<[u8; 32]>,
}

/// Addresses on which a verifier listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// For relying parties.
    pub relying_parties: SocketAddr,
    /// For nodes that push.
    pub nodes: Option<SocketAddr>,
}

impl Service {
    /// Reads everything that the configuration names and opens the store.
    pub fn open(path: &Path) -> Result<Service, VerifierError> {
        let configuration = Configuration::read(path)?;
        let rules = configuration.sources().read()?;
        let key = read_key(&configuration.key)?;
        let witnesses = witnesses(&key, &rules);
        let policy = rules.policy().map(garant_attest::policy::Policy::digest);
        let sealer = Sealer::new(key, policy.into_iter().collect());
        let fault = |what| VerifierError::Configuration { path: path.to_owned(), what };
        let identified = configuration.assets.iter().map(|asset| Ok((asset.clone(), asset.identity()?)));
        let assets = identified.collect::<Result<_, String>>().map_err(fault)?;
        let clock = Clock::of_this_boot().map_err(VerifierError::Clock)?;
        let store = Store::open(&configuration.store)?;
        let service = Service {
            configuration,
            rules,
            sealer,
            clock,
            board: Board::default(),
            store,
            ledgers: HeldLedgers::default(),
            assets,
            witnesses,
        };
        service.reenrol()?;
        Ok(service)
    }

    /// Serves until the task is dropped; `ready` is told where.
    pub async fn run(self, ready: impl FnOnce(Listening)) -> Result<(), VerifierError> {
        let service = Arc::new(self);
        let configuration = &service.configuration;
        let relying = relying_party::tls_config(&service)?;
        let listener = bind(configuration.listen).await?;
        let pushed = match configuration.listen_nodes {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        ready(Listening { relying_parties: local(&listener)?, nodes: pushed.as_ref().map(local).transpose()? });
        for (asset, _) in &service.assets {
            if let Ok(Some(address)) = asset.address() {
                tokio::spawn(poll(Arc::clone(&service), asset.name.clone(), address));
            }
        }
        if let Some(listener) = pushed {
            let config = tls::server(service.sealer.key(), Accept::AnyKey).map_err(|source| ours("push", source))?;
            tokio::spawn(accept_pushes(Arc::clone(&service), listener, config));
        }
        relying_party::accept(service, listener, relying).await
    }

    /// The known machines with their node ids, as far as they have been seen.
    pub(crate) fn machines(&self) -> Result<Vec<Machine>, VerifierError> {
        let id = |identity: &AssetIdentity| match (identity.node_id, identity.ek_certificate) {
            (Some(id), _) => Ok(Some(id)),
            (None, Some(digest)) => self.store.find(&Alias::Certificate(digest)),
            (None, None) => Ok(None),
        };
        let machine =
            |(asset, identity): &(Asset, AssetIdentity)| Ok(Machine { asset: asset.clone(), id: id(identity)? });
        self.assets.iter().map(machine).collect()
    }

    /// The asset that a certified node is.
    fn asset(&self, node: &CertifiedNode) -> Option<&Asset> {
        let digests: Vec<[u8; 32]> = node.eks().map(|ek| sha256(&FastEngine, &[ek.certificate()])).collect();
        let is_node = |identity: &AssetIdentity| {
            identity.node_id.is_none_or(|id| id == *node.id().as_bytes())
                && identity.ek_certificate.is_none_or(|digest| digests.contains(&digest))
        };
        self.assets.iter().find(|(_, identity)| is_node(identity)).map(|(asset, _)| asset)
    }

    /// Takes the records of re-enrolment keys that lie in the configured folder; old ones change nothing.
    fn reenrol(&self) -> Result<(), VerifierError> {
        let Some(folder) = &self.configuration.reenrolments else { return Ok(()) };
        let fault = |source| VerifierError::File { path: folder.clone(), source };
        let entries = fs::read_dir(folder).map_err(fault)?.take(STATEMENT_FILES);
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(fault)?;
        paths.sort();
        for path in paths {
            let statement = read_file(&path, STATEMENT_BYTES)?;
            let kept = self.rules.open(&statement, &self.witnesses).and_then(|record| {
                let chassis = self.chassis(record.id().as_bytes());
                record.keep(&self.rules, &self.store, &statement, chassis)
            });
            match kept {
                Ok(()) => log::info!("re-enrolment record={}", path.display()),
                Err(error) => log::warn!("re-enrolment refused record={} error={error}", path.display()),
            }
        }
        Ok(())
    }

    fn chassis(&self, id: &[u8; 32]) -> Option<&str> {
        let found = self.assets.iter().find(|(_, identity)| identity.node_id == Some(*id));
        found.and_then(|(asset, _)| asset.chassis.as_deref())
    }

    /// One round: identity, enrolment where there is none, evidence, verdict. What is acknowledged is kept first.
    pub async fn round(&self, link: Link) -> Result<[u8; 32], VerifierError> {
        let mut session = Session::new(link, self.clock.clone());
        let identity = session.identity().await?;
        let node = certify(&self.rules, &identity)?;
        let id = *node.id().as_bytes();
        let asset = self.asset(&node).ok_or(VerifierError::Stranger)?;
        let chassis = asset.chassis.clone();
        let statement = match self.store.record(id)? {
            Some(statement) => statement,
            None => self.enrol(node, &mut session, chassis).await?,
        };
        let record = self.rules.open(&statement, &self.witnesses)?;
        let memory = self.store.memory(id)?;
        let (sent, answer) = session.ask(Mode::Fresh, &memory).await?;
        let at = sent.at().clone();
        let held: Vec<_> = memory.held().into_iter().collect();
        let answered = sent.spend(&FastEngine, &answer, &memory, &held, &session.now()?)?;
        let (said, fault) = self.said(&mut session).await;
        let boot = answered.verified.identity().map_or([0; 32], |identity| identity.boot_id.0);
        let ledger = self.ledgers.take(&id, &boot).go_on(&mut session, &answered.verified).await;
        let (carried, entries) = (said.carried(), ledger.entries());
        let fault = fault.as_deref();
        let said = Said { carried: &carried, fault, ledger: ledger.sent(&entries), now: unix_time() };
        let judgement = judge(&self.rules, &answered, Some(&record), said);
        // Entries that do not fit their commits are asked for anew.
        if judgement.verdict.workload.answer != Answer::Unknown {
            self.ledgers.put(id, boot, ledger);
        }
        let seen = answered.verified.quote().clock_info();
        self.store.learn(id, seen, answered.sighting, sent_log(&answer))?;
        self.publish(id, at, &judgement)?;
        Ok(id)
    }

    /// What others say of the node, where the policy asks; and why what it carries is missing.
    async fn said(&self, session: &mut Session) -> (Collected, Option<String>) {
        if !self.rules.asks_for_statements() {
            return (Collected::default(), None);
        }
        let own = Collected::read(&self.configuration.statements);
        let (mut said, mut fault) = own.map_or_else(|e| (Collected::default(), Some(e.to_string())), |own| (own, None));
        if let Err(error) = said.ask(session).await {
            fault = Some(error.to_string());
        }
        (said, fault)
    }

    async fn enrol(
        &self,
        node: CertifiedNode,
        session: &mut Session,
        chassis: Option<String>,
    ) -> Result<Vec<u8>, VerifierError> {
        let id = *node.id().as_bytes();
        let statement = node.activate(session).await?.sign(&self.sealer)?;
        self.rules.open(&statement, &self.witnesses)?.keep(&self.rules, &self.store, &statement, chassis.as_deref())?;
        log::info!("enrolled node={}", hex(&id));
        // Another enrolment may have won: the record that is kept counts.
        Ok(self.store.record(id)?.unwrap_or(statement))
    }

    /// Signs a verdict, keeps it, then shows it.
    fn publish(&self, id: [u8; 32], at: Moment, judgement: &Judgement) -> Result<(), VerifierError> {
        let ear = judgement.ear(unix_time(), self.configuration.audience.as_deref(), self.configuration.lifetime());
        let signed = self.sealer.ear(&ear)?;
        self.store.keep_ear(id, &signed)?;
        log::info!("verdict node={} boot={}", hex(&id), judgement.verdict.boot);
        let boot = judgement.verdict.boot.answer.to_string();
        let age = self.now()?.0.since(&at).unwrap_or_default();
        let life = age.saturating_add(Duration::from_secs(ear.expires.saturating_sub(ear.issued)));
        self.board.put(id, Heard { at, expires: ear.expires, life, boot, ear: signed });
        Ok(())
    }

    /// Now, and on the calendar.
    pub(crate) fn now(&self) -> Result<(Moment, u64), VerifierError> {
        Ok((self.clock.now().map_err(VerifierError::Clock)?, unix_time()))
    }
}

/// Our own key, and those that the policy lets re-enrol.
pub fn witnesses(key: &SigningKey, rules: &Rulebook) -> Vec<Witness> {
    let own = Witness { key: PublicKey::Ed25519(key.public()), name: None };
    let others = rules.policy().into_iter().flat_map(|policy| policy.reenrolment_keys());
    let named = others.filter(|other| *other != key.public()).map(|other| Witness {
        key: PublicKey::Ed25519(other),
        name: Some(format!("re-enrolment key {}", hex(&other))),
    });
    std::iter::once(own).chain(named).collect()
}

/// Asks one node again and again.
async fn poll(service: Arc<Service>, name: String, address: Address) {
    loop {
        let asked =
            timeout(ROUND, async { service.round(Link::dial(&address, Some(service.sealer.key())).await?).await });
        match asked.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::warn!("no verdict asset={name:?} error={error}"),
            Err(_) => log::warn!("no verdict asset={name:?} error=slower than {} s", ROUND.as_secs()),
        }
        sleep(service.configuration.interval()).await;
    }
}

async fn accept_pushes(service: Arc<Service>, listener: TcpListener, config: Arc<ServerConfig>) {
    let gate = Gate::new(service.configuration.connections, service.configuration.connections_per_address);
    loop {
        let Some((stream, peer)) = next(&listener).await else { continue };
        let Some(place) = gate.enter(peer.ip()) else { continue };
        let (service, config) = (Arc::clone(&service), Arc::clone(&config));
        tokio::spawn(async move {
            let _place = place;
            match timeout(ROUND, take_push(&service, stream, config, peer)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::warn!("push without verdict peer={peer} error={error}"),
                Err(_) => log::warn!("push without verdict peer={peer} error=slower than {} s", ROUND.as_secs()),
            }
        });
    }
}

async fn take_push(
    service: &Service,
    stream: TcpStream,
    config: Arc<ServerConfig>,
    peer: SocketAddr,
) -> Result<(), VerifierError> {
    let accepted = tls::accept(config, stream).await;
    let stream = accepted.map_err(|source| VerifierError::Channel { peer: peer.to_string(), source })?;
    service.round(Link::adopt(stream, peer.to_string()).await?).await.map(|_| ())
}

/// The next connection; after a failure (no more descriptors) a pause.
pub(crate) async fn next(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            log::warn!("accept failed error={error}");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, VerifierError> {
    TcpListener::bind(address).await.map_err(|source| ours(&address.to_string(), source.into()))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, VerifierError> {
    listener.local_addr().map_err(|source| ours("listener", source.into()))
}

fn ours(what: &str, source: ChannelError) -> VerifierError {
    VerifierError::Channel { peer: what.to_owned(), source }
}

/// After a failed accept; long enough for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
