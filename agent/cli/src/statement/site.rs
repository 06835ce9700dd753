//! `garant statement site sign`: an auditor's word on where a machine stands.

use super::{Written, key_id, node, of_example, seal, signer::SignerArgs, unlike_example, write};
use crate::{
    failure::Failure,
    output::{Answer, Output, Text},
    public_key, time,
};
use clap::ArgGroup;
use garant_attest::{cbor::Bytes32, place::site::Site};
use garant_channel::engine::FastEngine;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Sign a site statement from a TOML file that says where a machine or a landmark stands and what you inspected.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["site", "example"]).required(true))]
pub(crate) struct Args {
    /// The site, TOML; --example explains every line.
    #[arg(requires_all = ["who", "out"])]
    site: Option<PathBuf>,
    /// Print an example site with every line explained.
    #[arg(long)]
    example: bool,
    #[command(flatten)]
    signer: SignerArgs,
    /// File for the statement; an existing one is never touched.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Signs and writes it.
pub(super) fn run(args: &Args, output: &Output) -> Result<Answer, Failure> {
    let (Some(path), Some(out)) = (&args.site, &args.out) else {
        output.show(&Text { text: EXAMPLE })?;
        return Ok(Answer::Yes);
    };
    let site = read(path)?;
    let signer = args.signer.signer()?;
    write(out, &seal(&site, &signer)?)?;
    output.show(&Written {
        kind: "site",
        file: out.clone(),
        signed_by: key_id(&signer.public()),
        expires: Some(time::print(site.expires)),
    })?;
    Ok(Answer::Yes)
}

/// A site as an auditor writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    name: String,
    address: String,
    country: String,
    latitude: f64,
    longitude: f64,
    radius_m: u64,
    operator: String,
    node: Option<String>,
    anchor: Option<String>,
    chassis: Option<String>,
    rack: Option<String>,
    inspected: String,
    valid_from: Option<toml::Value>,
    valid_until: toml::Value,
}

/// Files that the site names are relative to its folder.
fn read(path: &Path) -> Result<Site, Failure> {
    let file: SiteFile = of_example(path)?;
    let beside = |name: &String| {
        let beside = path.parent().unwrap_or(Path::new("")).join(name);
        if beside.exists() { beside.display().to_string() } else { name.clone() }
    };
    let issued = time::now();
    let from = file.valid_from.as_ref().map(|value| point(value).and_then(|text| time::parse(&text))).transpose()?;
    let anchor = file.anchor.as_ref().map(|key| public_key::read(&beside(key))).transpose()?;
    let place =
        |degrees, what| udeg(degrees).ok_or_else(|| unlike_example(format!("{what} is no number of degrees"), path));
    Ok(Site {
        expires: point(&file.valid_until).and_then(|text| time::parse(&text))?,
        not_before: from.unwrap_or(issued),
        issued,
        node_id: file.node.as_ref().map(|text| node(&beside(text))).transpose()?.map(|node| Bytes32::new(node.id)),
        name: file.name,
        address: file.address,
        country: file.country,
        latitude_udeg: place(file.latitude, "latitude")?,
        longitude_udeg: place(file.longitude, "longitude")?,
        radius_m: file.radius_m,
        operator: file.operator,
        anchor: anchor.and_then(|anchor| anchor.key.id(&FastEngine)).map(Bytes32::new),
        inspected: file.inspected,
        rack: file.rack,
        chassis: file.chassis,
    })
}

/// A date with or without quotes.
fn point(value: &toml::Value) -> Result<String, Failure> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Datetime(date) => Ok(date.to_string()),
        other => Err(Failure::new("is no point of time", format!("{other:?}"), "write 2027-01-31")),
    }
}

/// Degrees as millionths of a degree, through their digits, since no cast of a float says what it lost.
fn udeg(degrees: f64) -> Option<i64> {
    format!("{degrees:.6}").replace('.', "").parse().ok()
}

/// What `show` prints of a site.
pub(super) fn lines(site: &Site) -> Vec<(&'static str, String)> {
    let degrees = |udeg: i64| {
        let (whole, rest) = (udeg.unsigned_abs() / UDEG, udeg.unsigned_abs() % UDEG);
        format!("{}{whole}.{rest:06}", if udeg < 0 { "-" } else { "" })
    };
    let hex = |bytes: &Bytes32| crate::event_words::hex(&**bytes);
    let mut lines = vec![
        ("site", site.name.clone()),
        ("address", site.address.clone()),
        ("country", site.country.clone()),
        ("latitude", degrees(site.latitude_udeg)),
        ("longitude", degrees(site.longitude_udeg)),
        ("radius", format!("{} m", site.radius_m)),
        ("operator", site.operator.clone()),
    ];
    lines.extend(site.node_id.as_ref().map(|id| ("node id", hex(id))));
    lines.extend(site.anchor.as_ref().map(|id| ("landmark in the building", hex(id))));
    lines.extend(site.chassis.clone().map(|chassis| ("chassis", chassis)));
    lines.extend(site.rack.clone().map(|rack| ("rack", rack)));
    lines.extend([
        ("inspected", site.inspected.clone()),
        ("issued", time::print(site.issued)),
        ("valid from", time::print(site.not_before)),
        ("expires", time::print(site.expires)),
    ]);
    lines
}

/// Millionths in a degree.
const UDEG: u64 = 1_000_000;
const EXAMPLES: &str = "\
Examples:
  garant statement site sign --example > site.toml
  garant statement site sign site.toml --key auditor.key --out site.statement
  garant statement site show site.statement --by auditor.pub";
const EXAMPLE: &str = r#"# A site, as an auditor saw it. Everything here is signed, and your key stands for it until it expires.
name = "FRA 1"
address = "Example Street 1, 60311 Frankfurt am Main"
country = "DE"              # ISO 3166-1 alpha-2
latitude = 50.110900        # degrees, WGS 84
longitude = 8.682100
radius_m = 200              # the whole site lies within so many metres of that point
operator = "Example Colocation GmbH"

# Of what you speak: the landmark in the building (its public key), one node (its enrolment record or node id), or both.
# A landmark is the better one: it measures, at every verification, that the node still stands beside it. Where other land is
# within 20 km (light goes 15 and back in the 100 µs that count), name both.
anchor = "0000000000000000000000000000000000000000000000000000000000000000"
#node = "node.record"
#chassis = "S4711"          # serial number of the chassis; counts only where a verifier can show it
#rack = "hall 3, B 17, U 12"

inspected = "Walked to the rack, read the serial numbers, saw landmark and node on one switch."
#valid_from = 2026-12-01    # left out: from now on
valid_until = 2027-02-28
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_keep_their_sign_and_six_digits() {
        assert_eq!(udeg(50.1109), Some(50_110_900));
        assert_eq!(udeg(-0.5), Some(-500_000));
        assert_eq!(udeg(-0.000_000_1), Some(0));
        assert_eq!(udeg(f64::NAN), None);
        assert_eq!(udeg(f64::INFINITY), None);
        assert_eq!(udeg(1e300), None);
    }

    #[test]
    fn the_example_is_a_site() {
        let file: SiteFile = toml::from_str(EXAMPLE).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!((file.country.as_str(), udeg(file.latitude)), ("DE", Some(50_110_900)));
        assert_eq!(point(&file.valid_until).and_then(|text| time::parse(&text)), time::parse("2027-02-28"));
    }
}
