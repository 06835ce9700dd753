//! A verdict for people and for web tools: text, and one JSON object. Both say the same, taken from the EAR's claims.

use garant_attest::ear::{Appraisal, Ear};
use serde::Serialize;
use std::fmt;

/// A verdict as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Node id; `null` where the node is not enrolled.
    pub node: Option<String>,
    /// Name of the attestation key.
    pub ak_name: String,
    /// SHA-256 of entry 0.
    pub boot_id: Option<String>,
    /// The node's session key.
    pub session_key: Option<String>,
    /// SHA-256 of the policy.
    pub policy: Option<String>,
    /// For whom it was issued.
    pub audience: Option<String>,
    /// Seconds since 1970.
    pub issued: u64,
    /// Seconds since 1970; from then on everything is unknown.
    pub expires: u64,
    /// How the verifier asked.
    pub channel: String,
    /// Whether the image is closed.
    pub closed: String,
    /// boot, place, owner, workload.
    pub parts: Parts,
    /// What stays to be trusted.
    pub residual_trust: Vec<String>,
}

/// The four parts.
#[derive(Debug, Clone, Serialize)]
pub struct Parts {
    /// What booted.
    pub boot: Part,
    /// Where it is.
    pub place: Part,
    /// Whose it is.
    pub owner: Part,
    /// What it runs.
    pub workload: Part,
}

/// One part.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// yes, no or unknown.
    pub answer: String,
    /// The weakest link.
    pub basis: Option<String>,
    /// EAR tier.
    pub tier: u64,
    /// Why.
    pub reasons: Vec<String>,
    /// All links.
    pub links: Vec<Link>,
    /// Of place: what it was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub geographic: Option<GeographicResult>,
}

/// Where a machine can be.
#[derive(Debug, Clone, Serialize)]
pub struct GeographicResult {
    /// Where all its land is in one country.
    pub country: Option<String>,
    /// What was asked for.
    pub territory: String,
    /// Version of the map.
    pub map: String,
    /// Codes of all land that it can be on.
    pub touched: Vec<String>,
    /// Operators of landmarks that count.
    pub operators: Vec<String>,
    /// How many of them may lie.
    pub may_lie: Option<u64>,
    /// Who is trusted alone.
    pub alone: Option<String>,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What was checked.
    pub what: String,
    /// What that rests on.
    pub basis: String,
}

impl Report {
    /// The claims of an EAR, whoever signed it.
    pub fn of(ear: &Ear) -> Report {
        Report {
            node: (*ear.node_id != [0; 32]).then(|| hex(&*ear.node_id)),
            ak_name: hex(&ear.ak_name),
            boot_id: ear.boot_id.as_ref().map(|id| hex(&id[..])),
            session_key: ear.session_key.as_ref().map(|key| hex(&key[..])),
            policy: ear.policy_digest.as_ref().map(|digest| hex(&digest[..])),
            audience: ear.audience.clone(),
            issued: ear.issued,
            expires: ear.expires,
            channel: ear.channel.clone(),
            closed: ear.closed.clone(),
            parts: Parts {
                boot: part(&ear.parts.boot),
                place: part(&ear.parts.place),
                owner: part(&ear.parts.owner),
                workload: part(&ear.parts.workload),
            },
            residual_trust: ear.residual_trust.iter().cloned().collect(),
        }
    }
}

fn part(appraisal: &Appraisal) -> Part {
    let links = appraisal.links.iter().map(|(what, basis)| Link { what: what.clone(), basis: basis.clone() });
    Part {
        answer: appraisal.answer.clone(),
        basis: appraisal.basis.clone(),
        tier: appraisal.status,
        reasons: appraisal.reasons.iter().cloned().collect(),
        links: links.collect(),
        geographic: appraisal.geographic.as_ref().map(|result| GeographicResult {
            country: result.country.clone(),
            territory: result.territory.clone(),
            map: result.map.clone(),
            touched: result.touched.to_vec(),
            operators: result.operators.to_vec(),
            may_lie: result.may_lie,
            alone: result.alone.clone(),
        }),
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { boot, place, owner, workload } = &self.parts;
        for (name, part) in [("boot", boot), ("place", place), ("owner", owner), ("workload", workload)] {
            writeln!(f, "{name:<9} {part}")?;
        }
        writeln!(f, "closed    {}", self.closed)?;
        writeln!(f, "node      {}", self.node.as_deref().unwrap_or("not enrolled"))?;
        if let Some(boot_id) = &self.boot_id {
            writeln!(f, "boot id   {boot_id}")?;
        }
        writeln!(f, "channel   {}", self.channel)?;
        writeln!(f, "policy    {}", self.policy.as_deref().unwrap_or("none given"))?;
        writeln!(f, "expires   {} (in {} s)", utc(self.expires), self.expires.saturating_sub(self.issued))?;
        for (name, part) in [("boot", boot), ("place", place), ("owner", owner), ("workload", workload)] {
            // The parts that rest on the boot begin with its links.
            let own =
                part.links.strip_prefix(boot.links.as_slice()).filter(|_| name != "boot" && !boot.links.is_empty());
            if own.is_some() {
                writeln!(f, "link      {name}: all {} links of boot", boot.links.len())?;
            }
            for link in own.unwrap_or(&part.links) {
                writeln!(f, "link      {name}: {} ({})", link.what, link.basis)?;
            }
        }
        self.residual_trust.iter().try_for_each(|what| writeln!(f, "trusts    {what}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.basis {
            Some(basis) if self.answer != "unknown" => write!(f, "{} ({basis})", self.answer)?,
            _ => f.write_str(&self.answer)?,
        }
        self.reasons.iter().try_for_each(|reason| write!(f, "\n          - {reason}"))
    }
}

/// A time of the calendar, in UTC (RFC 3339), for people.
pub fn utc(seconds: u64) -> String {
    let date = der::DateTime::from_unix_duration(std::time::Duration::from_secs(seconds));
    date.map_or_else(|_| "never".to_owned(), |date| date.to_string())
}
