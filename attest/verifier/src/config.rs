//! The configuration of `garant serve`: a TOML that is read once, whole, and refused for any key that it does not know.

use crate::{
    budget::CONFIGURATION_BYTES,
    dial::Address,
    error::VerifierError,
    sources::{Sources, read_file},
};
use garant_attest::node_id::NodeId;
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// An example with every option explained; `garant serve --example` prints it.
pub const EXAMPLE: &str = include_str!("../serve.example.toml");

/// A configuration as read; paths are relative to its folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The verifier's private key.
    pub key: PathBuf,
    /// The one policy for which that key signs.
    pub policy: PathBuf,
    /// The store's file.
    pub store: PathBuf,
    /// Where nodes push to.
    pub listen_nodes: Option<SocketAddr>,
    /// Where relying parties ask.
    pub listen: SocketAddr,
    /// Certificate chain of the relying parties' server, PEM; left out, it shows its raw key.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub certificate_key: Option<PathBuf>,
    /// A list of roots instead of the makers'.
    pub roots: Option<PathBuf>,
    /// Test roots, and authorities that nodes do not send.
    #[serde(default)]
    pub ca: Vec<PathBuf>,
    /// Revocation lists.
    #[serde(default)]
    pub revocations: Vec<PathBuf>,
    /// What is known against chips, instead of the table that comes with this release.
    pub endorsement: Option<PathBuf>,
    /// Files of statements, and folders of them, beside those that nodes carry; read at each round.
    #[serde(default)]
    pub statements: Vec<PathBuf>,
    /// Folder of records by re-enrolment keys of the policy.
    pub reenrolments: Option<PathBuf>,
    /// aud of every result.
    pub audience: Option<String>,
    /// Seconds between two questions to a node that we dial.
    #[serde(default = "default_interval")]
    interval_s: u64,
    /// Seconds of silence after which a node is unknown.
    #[serde(default = "default_silence")]
    silence_s: u64,
    /// Seconds that a result lives at most.
    #[serde(default = "default_lifetime")]
    lifetime_s: u64,
    /// Connections at a time, of nodes and of relying parties each.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Connections at a time from one address.
    #[serde(default = "default_per_peer")]
    pub connections_per_address: usize,
    /// The known machines.
    #[serde(default, rename = "asset")]
    pub assets: Vec<Asset>,
}

/// A known machine. Machines that no asset names are strangers: nothing of them is kept or shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// For the print.
    pub name: String,
    /// Node id, 64 hexadecimal digits.
    #[serde(default)]
    node_id: Option<String>,
    /// SHA-256 of an EK certificate, 64 hexadecimal digits.
    #[serde(default)]
    ek_certificate: Option<String>,
    /// The chassis in which it sits, as the operator says.
    pub chassis: Option<String>,
    /// Where to ask it; left out, it pushes.
    address: Option<String>,
}

impl Configuration {
    /// Reads and checks a configuration; the files that it names are not opened.
    pub fn read(path: &Path) -> Result<Configuration, VerifierError> {
        let fault = |what: String| VerifierError::Configuration { path: path.to_owned(), what };
        let bytes = read_file(path, CONFIGURATION_BYTES)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| fault("is not UTF-8 text".to_owned()))?;
        let mut read = Configuration::parse(text).map_err(fault)?;
        read.anchor(path.parent().unwrap_or(Path::new("")));
        Ok(read)
    }

    fn parse(text: &str) -> Result<Configuration, String> {
        let read: Configuration = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        read.check().map(|()| read)
    }

    fn check(&self) -> Result<(), String> {
        if self.certificate.is_some() != self.certificate_key.is_some() {
            return Err("certificate and certificate_key go together".to_owned());
        }
        if self.interval_s == 0 || self.connections == 0 || self.connections_per_address == 0 {
            return Err("interval_s, connections and connections_per_address are at least 1".to_owned());
        }
        if self.silence_s <= self.interval_s {
            return Err(format!("silence_s must be above interval_s, {} s", self.interval_s));
        }
        for (number, asset) in self.assets.iter().enumerate() {
            let fault = |what: &str| format!("asset \"{}\": {what}", asset.name);
            asset.identity().map_err(|what| fault(&what))?;
            asset.address().map_err(|what| fault(&what))?;
            if self.assets.iter().skip(number.saturating_add(1)).any(|other| other.name == asset.name) {
                return Err(fault("stands twice"));
            }
            if asset.address.is_none() && self.listen_nodes.is_none() {
                return Err(fault("has no address, and without listen_nodes it cannot push"));
            }
        }
        Ok(())
    }

    fn anchor(&mut self, folder: &Path) {
        let required = [&mut self.key, &mut self.policy, &mut self.store];
        let optional = [
            &mut self.certificate,
            &mut self.certificate_key,
            &mut self.roots,
            &mut self.endorsement,
            &mut self.reenrolments,
        ];
        let lists = self.ca.iter_mut().chain(&mut self.revocations).chain(&mut self.statements);
        for path in required.into_iter().chain(optional.into_iter().flatten()).chain(lists) {
            *path = folder.join(&*path);
        }
    }

    /// What the verifier believes.
    pub fn sources(&self) -> Sources {
        Sources {
            roots: self.roots.clone(),
            authorities: self.ca.clone(),
            revocations: self.revocations.clone(),
            endorsement: self.endorsement.clone(),
            policy: Some(self.policy.clone()),
        }
    }

    /// Between two questions.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_s)
    }

    /// Until a silent node is unknown.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.silence_s)
    }

    /// Of a result, at most.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime_s)
    }
}

/// How an asset is recognised; each that is given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetIdentity {
    /// Node id.
    pub node_id: Option<[u8; 32]>,
    /// SHA-256 of an EK certificate.
    pub ek_certificate: Option<[u8; 32]>,
}

impl Asset {
    /// By what it is recognised.
    pub fn identity(&self) -> Result<AssetIdentity, String> {
        let digest = |text: &Option<String>, what: &str| -> Result<Option<[u8; 32]>, String> {
            let read = text.as_deref().map(str::parse::<NodeId>).transpose();
            read.map(|id| id.map(|id| *id.as_bytes())).map_err(|_| format!("{what} is not 64 hexadecimal digits"))
        };
        let node_id = digest(&self.node_id, "node_id")?;
        let ek_certificate = digest(&self.ek_certificate, "ek_certificate")?;
        if node_id.is_none() && ek_certificate.is_none() {
            return Err("needs node_id or ek_certificate: what a node says of its chassis is not proven".to_owned());
        }
        Ok(AssetIdentity { node_id, ek_certificate })
    }

    /// Where to ask it.
    pub fn address(&self) -> Result<Option<Address>, String> {
        self.address
            .as_deref()
            .map(|text| text.parse().map_err(|e: crate::dial::NotAnAddress| e.to_string()))
            .transpose()
    }
}

fn default_interval() -> u64 {
    60
}
fn default_silence() -> u64 {
    900
}
fn default_lifetime() -> u64 {
    900
}
fn default_connections() -> usize {
    256
}
fn default_per_peer() -> usize {
    16
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_configuration_with_every_option() {
        let read = Configuration::parse(EXAMPLE).unwrap();
        assert_eq!(read.assets.len(), 2);
        let commented: String =
            EXAMPLE.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let all = Configuration::parse(&commented).unwrap();
        assert!(
            all.certificate.is_some()
                && all.roots.is_some()
                && all.sources().endorsement.is_some()
                && all.reenrolments.is_some()
                && all.audience.is_some()
        );
    }

    #[test]
    fn an_unknown_option_is_refused_with_its_line() {
        let text = EXAMPLE.replacen("silence_s", "silence", 1);
        assert!(Configuration::parse(&text).unwrap_err().contains("line"));
    }

    #[test]
    fn an_asset_that_only_claims_a_chassis_or_stands_twice_is_refused() {
        let base = "key='k'\npolicy='p'\nstore='s'\nlisten='127.0.0.1:1'\nlisten_nodes='127.0.0.1:2'\n";
        let asset = |body: &str| format!("[[asset]]\nname='a'\n{body}\n");
        let id = format!("node_id='{}'", "0a".repeat(32));
        assert!(Configuration::parse(&format!("{base}{}", asset(&id))).is_ok());
        assert!(
            Configuration::parse(&format!("{base}{}", asset("chassis='c'"))).unwrap_err().contains("needs node_id")
        );
        assert!(Configuration::parse(&format!("{base}{}{}", asset(&id), asset(&id))).unwrap_err().contains("twice"));
        assert!(Configuration::parse(&format!("{base}{}", asset("node_id='0a'"))).unwrap_err().contains("64"));
    }

    #[test]
    fn silence_shorter_than_the_interval_is_refused() {
        let text = "key='k'\npolicy='p'\nstore='s'\nlisten='127.0.0.1:1'\ninterval_s=60\nsilence_s=60\n";
        assert!(Configuration::parse(text).unwrap_err().contains("silence_s"));
    }
}
