//! The configuration, as the locked-down server reads it. The keeper hashes the same bytes unread: entry 0 covers them, so
//! whoever verifies the node knows every option, and none names a program.

mod clients;
pub mod network;

pub use clients::{Quota, VmClient};

use self::network::Network;
use crate::{
    budget::{CONFIGURATION_BYTES, LANDMARKS, LISTED_KEYS, VM_CLIENTS, VMS},
    vm::shape::{self, Shape},
};
use garant_api::spec::Accelerator;
use garant_attest::evidence::{Degrees, Location};
use garant_hw::tpm::templates::EK_TEMPLATES;
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// All options; each has a default, and what comes in tables may be left out. An unknown one is an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// TCP addresses that answer verifiers over TLS.
    pub listen: Vec<SocketAddr>,
    /// Unix socket for local use.
    pub socket: Option<PathBuf>,
    /// Keys of the verifiers that are answered. Left out: everybody is; empty: nobody is, and the node only pushes.
    pub allow: Option<Vec<VerifierKey>>,
    /// Folder for what outlives a boot. Left out: nothing does.
    pub state_dir: Option<PathBuf>,
    /// The boot log of the firmware.
    pub boot_log: PathBuf,
    /// The kernel's IMA list.
    pub ima_list: PathBuf,
    /// The firmware's SMBIOS tables.
    pub smbios: PathBuf,
    /// EK certificates for a chip that holds none.
    pub ek_certificate: Vec<EkCertificate>,
    /// Verifiers that the node dials by itself.
    pub push: Vec<Push>,
    /// Landmarks that measure the node.
    pub landmark: Vec<Landmark>,
    /// UDP address at which landmarks ask. Left out: any port of every address.
    pub timing_listen: Option<SocketAddr>,
    /// What others say of the node.
    pub statements: StatementFiles,
    /// Where the node is to say that it is.
    pub location: Option<ClaimedLocation>,
    /// What VMs the node runs. Left out: none.
    pub vms: Option<VmOptions>,
}

/// What VMs a node runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmOptions {
    /// The store of images, which `garant image add` fills: files named by their SHA-256 below `sha256`.
    pub images: PathBuf,
    /// What may run vCPUs, the first where a VM does not say: `kvm`, `tcg` (software, slow).
    pub accelerators: Vec<Accelerator>,
    /// Memory of all VMs together.
    pub memory_mib: u64,
    /// VMs that may be defined.
    #[serde(default = "VmOptions::usual_count")]
    pub count: usize,
    /// Who may ask for VMs over TLS. Left out: nobody.
    #[serde(default)]
    pub client: Vec<VmClient>,
    /// What waits for starts, so that they are quick. Left out: nothing.
    #[serde(default)]
    pub pool: Vec<Shape>,
    /// Networks on which they may have interfaces.
    #[serde(default)]
    pub network: Vec<Network>,
}

impl VmOptions {
    fn usual_count() -> usize {
        256
    }
}

/// A landmark.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landmark {
    /// Host and port.
    pub address: Endpoint,
    /// Its key; nobody else is answered there.
    pub key: VerifierKey,
}

/// A place that the node claims; nothing follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimedLocation {
    /// Degrees, WGS 84.
    pub latitude: Degrees,
    /// Degrees, WGS 84.
    pub longitude: Degrees,
    /// Metres around it.
    pub accuracy_m: Option<u64>,
}

impl From<ClaimedLocation> for Location {
    fn from(ClaimedLocation { latitude, longitude, accuracy_m }: ClaimedLocation) -> Location {
        Location { latitude, longitude, accuracy_m }
    }
}

/// Where statements lie that the node carries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatementFiles {
    /// A folder of signed statements, each a file. Left out: none.
    pub folder: Option<PathBuf>,
}

/// An EK certificate in a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EkCertificate {
    /// NV index where the TCG EK Credential Profile would have it.
    pub index: EkIndex,
    /// The file, DER.
    pub file: PathBuf,
}

/// An NV index that the TCG EK Credential Profile has for certificates (2.6, 2.2.1.4 and 2.2.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct EkIndex(pub u32);

/// A verifier that the node dials at boot and again and again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Host and port.
    pub address: Endpoint,
    /// The verifier's key; nobody else is told anything there.
    pub key: VerifierKey,
    /// Seconds between two reports.
    #[serde(default = "Interval::usual")]
    pub interval_s: Interval,
}

/// An Ed25519 public key, as 64 hexadecimal digits. Holding one proves nothing about who has the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VerifierKey(pub [u8; 32]);

/// `host:port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// Seconds between two reports, from 10 s to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct Interval(Duration);

/// What is wrong with a configuration, where, and what to do; its author is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// Longer than what the keeper hashes.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
    },
    /// Not UTF-8 from this byte on.
    NotText {
        /// Where.
        offset_bytes: usize,
    },
    /// Not TOML, or not the options of this version.
    Option {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// More landmarks than are gone to.
    TooManyLandmarks {
        /// Landmarks found.
        found: usize,
    },
    /// VMs that nothing could run, or more than are kept.
    Vms,
    /// Two clients that cannot be told apart, or more than are kept.
    Clients,
    /// A pool that nothing could fill.
    Pool {
        /// What it may be.
        what: String,
    },
    /// Networks that cannot be those of one node.
    Networks {
        /// Why.
        what: &'static str,
    },
    /// More keys than are kept.
    TooManyKeys {
        /// Keys found.
        found: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::TooLong { found_bytes } => {
                write!(f, "{found_bytes} bytes long, at most {CONFIGURATION_BYTES} are read: shorten it")
            }
            ConfigError::NotText { offset_bytes } => {
                write!(f, "byte {offset_bytes} is not UTF-8: save the file as UTF-8 text")
            }
            ConfigError::Option { line, what } => {
                write!(f, "line {line}: {what}; docs/garantd.example.toml explains every option")
            }
            ConfigError::TooManyLandmarks { found } => {
                write!(f, "{found} landmarks, at most {LANDMARKS} are gone to: name the nearest")
            }
            ConfigError::Vms => {
                write!(f, "[vms]: name at least one of kvm and tcg as accelerators, and a count of at most {VMS}")
            }
            ConfigError::Clients => {
                write!(f, "[[vms.client]]: at most {VM_CLIENTS}, each with a key and a name of its own")
            }
            ConfigError::Pool { what } => write!(f, "[[vms.pool]]: {what}"),
            ConfigError::Networks { what } => write!(f, "[[vms.network]]: {what}"),
            ConfigError::TooManyKeys { found } => {
                write!(
                    f,
                    "{found} keys in allow and push, at most {LISTED_KEYS} are kept: let verifiers share a `garant serve`"
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Configuration {
    /// Reads the bytes that entry 0 covers.
    pub fn parse(bytes: &[u8]) -> Result<Configuration, ConfigError> {
        if bytes.len() > CONFIGURATION_BYTES {
            return Err(ConfigError::TooLong { found_bytes: bytes.len() });
        }
        let not_text = |error: std::str::Utf8Error| ConfigError::NotText { offset_bytes: error.valid_up_to() };
        let text = std::str::from_utf8(bytes).map_err(not_text)?;
        let configuration: Configuration = toml::from_str(text).map_err(|error| ConfigError::Option {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            what: error.message().to_owned(),
        })?;
        let found = configuration.landmark.len();
        if found > LANDMARKS {
            return Err(ConfigError::TooManyLandmarks { found });
        }
        if let Some(vms) = &configuration.vms
            && (vms.accelerators.is_empty() || vms.count > VMS)
        {
            return Err(ConfigError::Vms);
        }
        if configuration.vms.as_ref().is_some_and(|vms| !clients::are_apart(&vms.client)) {
            return Err(ConfigError::Clients);
        }
        if let Some(what) = configuration.vms.as_ref().and_then(|vms| shape::refuse(&vms.pool, &vms.accelerators)) {
            return Err(ConfigError::Pool { what });
        }
        let networks = configuration.vms.as_ref().map_or(&[][..], |vms| &vms.network);
        Network::check(networks).map_err(|what| ConfigError::Networks { what })?;
        let found = configuration.known_keys().count();
        if found > LISTED_KEYS { Err(ConfigError::TooManyKeys { found }) } else { Ok(configuration) }
    }

    /// Whether the holder of this TLS key is answered.
    pub fn answers(&self, key: &[u8; 32]) -> bool {
        self.allow.as_ref().is_none_or(|allowed| allowed.contains(&VerifierKey(*key)))
    }

    /// Whether this key is one that the configuration names; its credential challenges are not those of a stranger.
    pub fn names(&self, key: &[u8; 32]) -> bool {
        self.known_keys().any(|known| known.0 == *key)
    }

    fn known_keys(&self) -> impl Iterator<Item = VerifierKey> {
        self.allow.iter().flatten().copied().chain(self.push.iter().map(|push| push.key))
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Configuration {
            listen: vec![SocketAddr::from(([0u16; 8], DEFAULT_PORT))],
            socket: None,
            allow: None,
            state_dir: None,
            boot_log: "/sys/kernel/security/tpm0/binary_bios_measurements".into(),
            ima_list: "/sys/kernel/security/ima/binary_runtime_measurements".into(),
            smbios: "/sys/firmware/dmi/tables/DMI".into(),
            ek_certificate: Vec::new(),
            push: Vec::new(),
            landmark: Vec::new(),
            timing_listen: None,
            statements: StatementFiles::default(),
            location: None,
            vms: None,
        }
    }
}

impl TryFrom<u32> for EkIndex {
    type Error = &'static str;

    fn try_from(index: u32) -> Result<EkIndex, &'static str> {
        let is_known = EK_TEMPLATES.iter().any(|template| template.certificate_index == index);
        if is_known { Ok(EkIndex(index)) } else { Err(NOT_AN_EK_INDEX) }
    }
}

impl TryFrom<String> for VerifierKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<VerifierKey, &'static str> {
        let digits = text.as_bytes();
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(NOT_A_KEY) };
        let bytes = pairs.iter().map(|pair| {
            let is_hexadecimal = pair.iter().all(u8::is_ascii_hexdigit);
            let text = std::str::from_utf8(pair).ok().filter(|_| is_hexadecimal)?;
            u8::from_str_radix(text, 16).ok()
        });
        let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or(NOT_A_KEY)?;
        Ok(VerifierKey(bytes.try_into().map_err(|_| NOT_A_KEY)?))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Endpoint, &'static str> {
        let (host, port) = text.rsplit_once(':').ok_or(NOT_AN_ENDPOINT)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
        if host.is_empty() || !is_port || (host.contains(':') && !is_bracketed) {
            return Err(NOT_AN_ENDPOINT);
        }
        Ok(Endpoint(text))
    }
}

impl Endpoint {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }
}

impl Interval {
    fn usual() -> Interval {
        Interval(Duration::from_secs(300))
    }

    /// The time between two reports.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<u64> for Interval {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Interval, &'static str> {
        match seconds {
            10..=86_400 => Ok(Interval(Duration::from_secs(seconds))),
            _ => Err("interval_s is from 10 to 86400 seconds"),
        }
    }
}

fn line_of(text: &str, offset_bytes: usize) -> usize {
    let before = text.bytes().take(offset_bytes);
    before.filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// Port of garantd. Not registered: in IANA's user range, unassigned in 2026.
const DEFAULT_PORT: u16 = 8460;
const NOT_AN_EK_INDEX: &str = "expected the NV index of an EK certificate: 0x01c00002 (RSA-2048), 0x01c0000a (P-256) or one of 0x01c00012 to 0x01c0001e";
const NOT_A_KEY: &str = "a key is 64 hexadecimal digits, as `garant keygen` prints it";
const NOT_AN_ENDPOINT: &str = "an address is host:port, an IPv6 address in brackets";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/garantd.example.toml");
    const KEY: &str = "a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1";

    fn parse(text: &str) -> Result<Configuration, ConfigError> {
        Configuration::parse(text.as_bytes())
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_parses_and_explains_every_option() {
        let example = parse(EXAMPLE).unwrap();
        assert_eq!((example.push.len(), example.ek_certificate.len(), example.landmark.len()), (1, 1, 1));
        // The names of all fields, from the struct itself.
        let unknown = |table: &str| refused(&format!("{table}nonsense = 1"));
        let mut checked = 0;
        let tables = [
            "",
            "[[push]]\n",
            "[[ek_certificate]]\n",
            "[[landmark]]\n",
            "[statements]\n",
            "[location]\n",
            "[vms]\n",
            "[[vms.client]]\n",
            "[[vms.pool]]\n",
            "[[vms.pool]]\n[[vms.pool.disks]]\n",
            "[[vms.network]]\n",
        ];
        for message in tables.map(unknown) {
            let names = message.split('`').skip(3).step_by(2);
            for name in names {
                let is_explained = EXAMPLE.lines().any(|line| {
                    line.trim_start_matches('#').trim_start().starts_with(&format!("{name} = "))
                        || line.starts_with('[') && line.trim_matches(['[', ']']).rsplit('.').next() == Some(name)
                });
                assert!(is_explained, "{name} is not in the example");
                checked += 1;
            }
        }
        assert_eq!(checked, 57, "the message no longer lists the options");
    }

    #[test]
    fn two_networks_of_one_name_are_refused() {
        let network = "[[vms.network]]\nname = 'lan'\nkind = 'user'\n";
        let of = |networks: &str| format!("[vms]\nimages = '/i'\naccelerators = ['tcg']\nmemory_mib = 1\n{networks}");
        assert!(parse(&of(network)).is_ok());
        let said = refused(&of(&network.repeat(2)));
        assert!(said.contains("two networks of one name"), "{said}");
    }

    #[test]
    fn an_ek_certificate_at_an_index_that_the_profile_does_not_have_is_refused() {
        let at = |index: &str| parse(&format!("[[ek_certificate]]\nindex = {index}\nfile = \"/ek.der\""));
        assert!(at("0x01c0000a").is_ok());
        assert!(at("0x01c00003").is_err());
        assert!(at("-1").is_err());
    }

    #[test]
    fn an_empty_configuration_answers_everybody_on_the_default_port() {
        let configuration = parse("").unwrap();
        assert_eq!(configuration.listen, ["[::]:8460".parse().unwrap()]);
        assert!(configuration.answers(&[1; 32]) && !configuration.names(&[1; 32]));
    }

    #[test]
    fn who_is_not_in_allow_is_not_answered() {
        let listed = parse(&format!("allow = ['{KEY}']")).unwrap();
        let nobody = parse("allow = []").unwrap();
        let key = listed.allow.as_ref().unwrap().first().unwrap().0;
        assert!(listed.answers(&key) && listed.names(&key));
        assert!(!listed.answers(&[1; 32]) && !nobody.answers(&key));
    }

    #[test]
    fn an_unknown_option_names_its_line() {
        let message = refused("socket = '/run/garantd.sock'\n\nlisen = []\n");
        assert!(message.contains("line 3") && message.contains("lisen"), "{message}");
    }

    #[test]
    fn a_bad_value_says_what_is_expected() {
        for (text, expected) in [
            ("allow = ['12']", "64 hexadecimal digits"),
            ("allow = ['+4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1a4b1']", "64 hexadecimal digits"),
            (&format!("[[push]]\naddress = 'verifier'\nkey = '{KEY}'"), "host:port"),
            (&format!("[[push]]\naddress = 'fe80::1:8461'\nkey = '{KEY}'"), "brackets"),
            (&format!("[[push]]\naddress = 'v:0'\nkey = '{KEY}'"), "host:port"),
            (&format!("[[push]]\naddress = 'v:1'\nkey = '{KEY}'\ninterval_s = 9"), "from 10"),
            ("[[push]]\naddress = 'v:1'", "key"),
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_configuration_that_is_too_long_or_no_text_is_refused() {
        let long = "#".repeat(CONFIGURATION_BYTES + 1);
        assert!(matches!(parse(&long), Err(ConfigError::TooLong { .. })));
        let error = Configuration::parse(b"# \xff").unwrap_err();
        assert_eq!(error, ConfigError::NotText { offset_bytes: 2 });
    }

    #[test]
    fn more_landmarks_than_are_gone_to_are_refused_and_a_landmark_is_no_verifier() {
        let landmark = format!("[[landmark]]\naddress = 'l:1'\nkey = '{KEY}'\n");
        let most = parse(&landmark.repeat(LANDMARKS)).unwrap();
        let key = most.landmark.first().unwrap().key.0;
        assert!(!most.names(&key));
        assert_eq!(parse(&landmark.repeat(49)), Err(ConfigError::TooManyLandmarks { found: 49 }));
    }

    #[test]
    fn more_keys_than_are_kept_are_refused() {
        let keys = format!("'{KEY}',").repeat(LISTED_KEYS + 1);
        assert!(matches!(parse(&format!("allow = [{keys}]")), Err(ConfigError::TooManyKeys { .. })));
    }
}
