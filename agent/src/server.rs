//! The server: opens what it needs, is locked down, and then answers. One thread, and one more for the TPM.
//!
//! Left out: who is let in (`listen`), what is answered (`routes`), and everything that the keeper does.

use crate::{
    budget::{MEASURED_FIRST, SESSION_KEY_RENEWAL},
    config::{ConfigError, Configuration},
    evidence::Fixed,
    inherited::{Inherited, KeeperLink, LinkError},
    landmarks::Surveyor,
    ledger::{Ledger, LedgerError, Recovered},
    listen::Listeners,
    lockdown::{self, LockdownError, Needs},
    machine::Machine,
    push,
    quoting::Quoting,
    routes::Node,
    session::{Session, SessionError},
    sources::Sources,
    statements::Carried,
    timing::{self, Responder},
    tpm_chip::{Chip, ChipError},
    tpm_device::TpmDevice,
    tpm_task,
    vm::{
        accelerators::{self, Accelerators, Proof},
        actor::Host,
        answers::Vms,
        board::Board,
        checks::Found,
        clients::Clients,
        images::Store,
        link::VmLink,
        pool, recovery, tsc,
    },
};
use garant_api::spec::Accelerator;
use garant_attest::{
    cbor::CborError,
    evidence::{Location, NodeClaims, PROFILE},
    ledger::{Act, Program},
};
use garant_channel::key::SigningKey;
use garant_hw::tpm::TpmError;
use nix::sys::signal::SigSet;
use std::{fmt, fs::File, io, net::UdpSocket, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
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
    /// What this boot did cannot be written down, or not extended.
    Ledger(LedgerError),
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
            ServerError::Ledger(_) => f.write_str("the ledger cannot go on"),
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
            ServerError::Ledger(source) => Some(source),
            ServerError::System { source, .. } => Some(source),
        }
    }
}

/// Runs until the TPM or the keeper is gone.
pub fn run(inherited: Inherited) -> Result<(), ServerError> {
    // The keeper waits for its signals by a descriptor and blocks them, which its child inherits.
    SigSet::empty().thread_set_mask().map_err(|errno| system("unblock signals")(errno.into()))?;
    let mut server = Server::open(inherited)?;
    let landlocked = lockdown::lock(&Needs::of(&server.configuration)).map_err(ServerError::Lockdown)?;
    server.found.add_lockdown(landlocked);
    log::log!(landlocked.level(), "server locked in landlock={landlocked:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(system("start the runtime"))?.block_on(server.serve(SESSION_KEY_RENEWAL))
}

/// A server that has open what it will ever open, and has read no byte from outside yet.
pub struct Server {
    configuration: Configuration,
    sources: Sources,
    listeners: Listeners,
    /// For landmarks, where there are any.
    timing: Option<UdpSocket>,
    entry_zero: Vec<u8>,
    ledger_pcr: u8,
    tpm: TpmDevice,
    keeper: KeeperLink,
    vmms: VmLink,
    journal: File,
    /// What VMs are made of, where the node runs any.
    images: Option<Store>,
    tsc_khz: Option<u64>,
    kvm_proof: Proof,
    found: Found,
}

impl Server {
    /// Reads the configuration, opens what it names and binds its sockets.
    pub fn open(inherited: Inherited) -> Result<Server, ServerError> {
        let configuration = Configuration::parse(&inherited.configuration).map_err(ServerError::Configuration)?;
        let sources = Sources::open(&configuration);
        let listeners = Listeners::bind(&configuration)?;
        let timing = (!configuration.landmark.is_empty()).then(|| timing::bind(configuration.timing_listen));
        let timing = timing.transpose().map_err(system("open a UDP port for landmarks"))?;
        let images = configuration.vms.as_ref().map(|vms| Store::open(&vms.images.join("sha256"))).transpose();
        let networks = configuration.vms.as_ref().map(|vms| vms.network.clone()).unwrap_or_default();
        let kinds = networks.iter().map(|network| network.kind.clone()).collect();
        let images = images.map_err(|error| system("open the folder of images")(io::Error::other(error)))?;
        let tsc_khz = tsc::host_khz();
        let (kvm_proof, found) = (Proof::prepare(), Found::look(&configuration));
        let Inherited { entry_zero, ledger_pcr, tpm, keeper, vmms, journal, .. } = inherited;
        // Now that nothing from outside has been read: the keeper believes no server later.
        let told = vmms.networks(kinds);
        told.map_err(|error| system("tell the keeper of networks")(io::Error::other(error)))?;
        Ok(Server {
            configuration,
            sources,
            listeners,
            timing,
            entry_zero,
            ledger_pcr,
            tpm,
            keeper,
            vmms,
            journal,
            images,
            tsc_khz,
            kvm_proof,
            found,
        })
    }

    /// Answers, with a new session key after each `renewal`, until the TPM or the keeper is gone.
    pub async fn serve(self, renewal: Duration) -> Result<(), ServerError> {
        let Sources { boot_log, ima, machine, ek_certificates, missing } = self.sources;
        let mut chip = Chip::take(self.tpm, self.ledger_pcr).map_err(ServerError::Tpm)?.lend(ek_certificates);
        let value = chip.ledger_value().map_err(ServerError::Tpm)?;
        let (ledger, recovered) = Ledger::open(self.journal, &self.entry_zero, &value).map_err(ServerError::Ledger)?;
        let ak_public = chip.ak_public().to_vec();
        let missing = (!missing.is_empty()).then(|| missing.join("; "));
        let location = self.configuration.location.map(Location::from);
        let claims = claims(self.ledger_pcr, location, &machine, missing.as_deref());
        let fixed = Fixed::new(&ak_public, &claims, &self.entry_zero, boot_log).map_err(ServerError::Encoding)?;
        let (tpm, tpm_end) = tpm_task::start(chip).map_err(system("start the TPM's thread"))?;
        let session = Session::new(&self.keeper).map_err(ServerError::Session)?;
        let keys = watch::Sender::new(session.key().clone());
        let quoting = Quoting::new(tpm.clone(), fixed, ledger.clone(), ima, session);
        let carried = Arc::new(Carried::new(self.configuration.statements.folder.clone()));
        carried.files(); // so that the log says at once what is left out
        let vms = match (&self.configuration.vms, self.images) {
            (Some(options), Some(images)) => {
                let asked = self.vmms.abilities();
                let abilities = asked.map_err(|error| system("ask the keeper for itself")(io::Error::other(error)))?;
                let host = Host {
                    board: Board::new(options),
                    clients: Clients::new(&options.client),
                    pool: pool::Pool::new(options.pool.clone(), None, told(&recovered)),
                    link: self.vmms,
                    ledger: ledger.clone(),
                    images,
                    layers: self.configuration.state_dir.clone(),
                    accelerators: Accelerators::new(options.accelerators.clone()),
                    networks: options.network.clone(),
                    tsc_khz: self.tsc_khz,
                    found: self.found.with(abilities, missing.as_deref()),
                };
                Some(vms(Arc::new(host), recovered, self.kvm_proof).await?)
            }
            _ => None,
        };
        let node = Arc::new(Node::new(self.configuration, tpm, quoting, ak_public, missing, carried, vms));
        self.listeners.accept(&node).map_err(system("listen"))?;
        for verifier in node.configuration.push.clone() {
            tokio::spawn(push::report(node.clone(), verifier));
        }
        if let Some(socket) = self.timing {
            survey(&node, socket, &keys).map_err(system("start the thread for landmarks"))?;
        }
        self.keeper.ready().map_err(ServerError::Keeper)?;
        tokio::select! {
            renewing = renew(&node, &self.keeper, &keys, renewal) => renewing,
            error = ledger.run(&node.tpm) => {
                sleep(LAST_WORDS).await;
                Err(ServerError::Ledger(error))
            }
            gone = tpm_end => {
                // Whoever waits is told so before the server ends.
                sleep(LAST_WORDS).await;
                Err(ServerError::TpmGone(gone.ok()))
            }
        }
    }
}

/// The VMs, as the last server of this boot left them.
async fn vms(host: Arc<Host>, recovered: Recovered, kvm_proof: Proof) -> Result<Vms, ServerError> {
    let running = host.link.list().map_err(|error| system("ask the keeper for VMMs")(io::Error::other(error)))?;
    let tasks = recovery::recover(&host, recovered, running).await.map_err(ServerError::Ledger)?;
    if host.accelerators.allows(Accelerator::Kvm) {
        tokio::spawn(accelerators::prove(host.clone(), kvm_proof));
    }
    tokio::spawn(pool::fill(host.clone()));
    Ok(Vms::new(host, tasks))
}

/// What this boot said to be ready, by the numbers of the entries.
fn told(recovered: &Recovered) -> Vec<(u64, Program)> {
    let ready = |(number, act): (u64, &Act)| match act {
        Act::Ready(program) => Some((number, program.clone())),
        _ => None,
    };
    (1..).zip(&recovered.acts).filter_map(ready).collect()
}

fn claims<'a>(
    ledger_pcr: u8,
    location: Option<Location>,
    machine: &'a Machine,
    missing: Option<&'a str>,
) -> NodeClaims<'a> {
    NodeClaims {
        untrusted_location: location,
        profile: PROFILE,
        ledger_pcr: ledger_pcr.into(),
        untrusted_version: env!("CARGO_PKG_VERSION"),
        untrusted_manufacturer: machine.untrusted_manufacturer.as_deref(),
        untrusted_product: machine.untrusted_product.as_deref(),
        untrusted_serial: machine.untrusted_serial.as_deref(),
        untrusted_chassis_serial: machine.untrusted_chassis_serial.as_deref(),
        untrusted_missing: missing,
    }
}

/// Has every landmark of the configuration measure F, which comes through `keys`.
fn survey(node: &Arc<Node>, socket: UdpSocket, keys: &watch::Sender<SigningKey>) -> io::Result<()> {
    let responder = Arc::new(Responder::new(socket));
    responder.start()?;
    for landmark in node.configuration.landmark.clone() {
        let (responder, carried) = (responder.clone(), node.carried.clone());
        tokio::spawn(Surveyor { responder, carried, keys: keys.subscribe() }.survey(landmark));
    }
    Ok(())
}

/// Renews F again and again; ends when there is none. Landmarks measure the new F before it takes the place of the old.
async fn renew(
    node: &Node,
    keeper: &KeeperLink,
    keys: &watch::Sender<SigningKey>,
    renewal: Duration,
) -> Result<(), ServerError> {
    let mut due = interval(renewal);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    due.tick().await;
    loop {
        due.tick().await;
        let next = Session::new(keeper).map_err(ServerError::Session)?;
        keys.send_replace(next.key().clone());
        let last = node.quoting.with_sessions(|sessions| sessions.current().key().public());
        // One that does not come in time comes later.
        let _ = timeout(MEASURED_FIRST, node.carried.as_many(&next.key().public(), &last)).await;
        node.quoting.renew(next);
        log::info!("session key renewed");
    }
}

fn system(doing: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::System { doing: doing.to_owned(), source }
}

/// How long answers may still leave when the TPM is gone.
const LAST_WORDS: Duration = Duration::from_millis(200);
