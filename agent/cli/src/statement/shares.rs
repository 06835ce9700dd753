//! `garant statement shares sign`: a named key's word on who holds what in whom.

use super::{Written, key_id, of_example, seal, signer::SignerArgs, unlike_example, write};
use crate::{
    failure::Failure,
    output::{Answer, Output, Text},
    time,
};
use clap::ArgGroup;
use garant_attest::owner::{
    holdings::{Exception, Exclusion, Holdings, Interest, InterestKind, List, Opinion, OpinionAnswer, Parent, Way},
    party::{Country, Nationalities, Party, PartyKind},
    share::Share,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Sign a statement on shares, votes and rights from a TOML file: who holds what in whom, and where everybody is at home.
///
/// What you leave out is unknown, and never "nobody": say with [[exclusion]] that a list is whole.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").args(["shares", "example"]).required(true))]
pub(crate) struct Args {
    /// The shares, TOML; --example explains every line.
    #[arg(requires_all = ["who", "out"])]
    shares: Option<PathBuf>,
    /// Print an example with every line explained.
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
    let (Some(path), Some(out)) = (&args.shares, &args.out) else {
        output.show(&Text { text: EXAMPLE })?;
        return Ok(Answer::Yes);
    };
    let holdings = read(path)?;
    let signer = args.signer.signer()?;
    write(out, &seal(&holdings, &signer)?)?;
    output.show(&Written {
        kind: "shares",
        file: out.clone(),
        signed_by: key_id(&signer.public()),
        expires: Some(time::print(holdings.expires)),
    })?;
    Ok(Answer::Yes)
}

fn read(path: &Path) -> Result<Holdings, Failure> {
    of_example::<File>(path)?.holdings(time::now()).map_err(|what| unlike_example(what, path))
}

/// Shares as an auditor writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    as_of: Point,
    valid_until: Point,
    #[serde(default)]
    party: Vec<PartyText>,
    #[serde(default)]
    interest: Vec<InterestText>,
    #[serde(default)]
    exclusion: Vec<ExclusionText>,
    #[serde(default)]
    parent: Vec<ParentText>,
    #[serde(default)]
    opinion: Vec<OpinionText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyText {
    id: String,
    name: String,
    kind: PartyKind,
    seat: Option<Country>,
    central_administration: Option<Country>,
    principal_establishment: Option<Country>,
    nationalities: Option<Nationalities>,
    residence: Option<Country>,
    classification: Option<Country>,
    declaration_threshold: Option<Percent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InterestText {
    subject: String,
    holder: String,
    kind: InterestKind,
    #[serde(default = "direct")]
    way: Way,
    exact: Option<Percent>,
    minimum: Option<Percent>,
    maximum: Option<Percent>,
    exclusive_minimum: Option<Percent>,
    exclusive_maximum: Option<Percent>,
    start: Option<Point>,
    end: Option<Point>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExclusionText {
    subject: String,
    kind: InterestKind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParentText {
    subject: String,
    parent: Option<String>,
    exception: Option<Exception>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpinionText {
    subject: String,
    rule_set: String,
    rule: String,
    answer: OpinionAnswer,
}

fn direct() -> Way {
    Way::Direct
}

/// Percent, in quotes so that no digit is lost.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Percent(Share);

impl TryFrom<String> for Percent {
    type Error = String;
    fn try_from(text: String) -> Result<Percent, String> {
        let fault = || format!("{text:?} is no share: write percent in quotes, such as \"24\" or \"33.3\"");
        Share::from_percent(&text).map(Percent).ok_or_else(fault)
    }
}

/// A date, with or without quotes.
#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
struct Point(u64);

impl TryFrom<toml::Value> for Point {
    type Error = String;
    fn try_from(value: toml::Value) -> Result<Point, String> {
        let text = match &value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Datetime(date) => date.to_string(),
            other => return Err(format!("{other:?} is no point of time: write 2027-01-31")),
        };
        time::parse(&text).map(Point).map_err(|_| format!("{text} is no point of time: write 2027-01-31"))
    }
}

impl File {
    fn holdings(self, issued: u64) -> Result<Holdings, String> {
        let parties = self.party.into_iter().map(PartyText::party).collect();
        let interests = self.interest.into_iter().map(InterestText::interest).collect();
        let exclusion = |one: ExclusionText| Exclusion { subject: one.subject, kind: one.kind };
        let parent = |one: ParentText| Parent { subject: one.subject, parent: one.parent, exception: one.exception };
        let opinion = |one: OpinionText| Opinion {
            subject: one.subject,
            rule_set: one.rule_set,
            rule: one.rule,
            answer: one.answer,
        };
        Ok(Holdings {
            expires: self.valid_until.0,
            issued,
            as_of: self.as_of.0,
            parties: list(parties)?,
            interests: list(interests)?,
            exclusions: list(self.exclusion.into_iter().map(exclusion).collect())?,
            parents: list(self.parent.into_iter().map(parent).collect())?,
            opinions: list(self.opinion.into_iter().map(opinion).collect())?,
        })
    }
}

impl PartyText {
    fn party(self) -> Party {
        Party {
            id: self.id,
            name: self.name,
            kind: self.kind,
            seat: self.seat,
            central_administration: self.central_administration,
            principal_establishment: self.principal_establishment,
            nationalities: self.nationalities,
            residence: self.residence,
            classification: self.classification,
            declaration_threshold: self.declaration_threshold.map(|percent| percent.0),
        }
    }
}

impl InterestText {
    fn interest(self) -> Interest {
        let share = |percent: Option<Percent>| percent.map(|percent| percent.0);
        let point = |point: Option<Point>| point.map(|point| point.0);
        Interest {
            subject: self.subject,
            holder: self.holder,
            kind: self.kind,
            way: self.way,
            exact: share(self.exact),
            minimum: share(self.minimum),
            maximum: share(self.maximum),
            exclusive_minimum: share(self.exclusive_minimum),
            exclusive_maximum: share(self.exclusive_maximum),
            start: point(self.start),
            end: point(self.end),
        }
    }
}

fn list<T, const N: usize>(items: Vec<T>) -> Result<List<T, N>, String> {
    let found = items.len();
    List::new(items).ok_or_else(|| format!("{found} entries of a kind, of which {N} are read"))
}

/// What `show` prints of shares.
pub(super) fn lines(holdings: &Holdings) -> Vec<(String, String)> {
    let mut lines = vec![("as of".to_owned(), time::print(holdings.as_of))];
    for party in holdings.parties.iter() {
        lines.push(("party".to_owned(), words_of_party(party)));
    }
    for one in holdings.interests.iter() {
        let share = words_of_share(one);
        let what = format!("{} in {}: {}{share}", one.holder, one.subject, word(&one.kind));
        let way = if one.way == Way::Direct { String::new() } else { format!(", {}", word(&one.way)) };
        lines.push(("holds".to_owned(), what + &way));
    }
    for one in holdings.exclusions.iter() {
        lines.push(("nobody else".to_owned(), format!("{} in {}", word(&one.kind), one.subject)));
    }
    for one in holdings.parents.iter() {
        let parent = one.parent.clone().or(one.exception.map(|exception| format!("not named, {}", word(&exception))));
        lines.push(("consolidated by".to_owned(), format!("{}: {}", one.subject, parent.unwrap_or_default())));
    }
    for one in holdings.opinions.iter() {
        let what = format!("{} {} on {}: {}", one.rule_set, one.rule, one.subject, word(&one.answer));
        lines.push(("opinion".to_owned(), what));
    }
    lines.push(("issued".to_owned(), time::print(holdings.issued)));
    lines.push(("expires".to_owned(), time::print(holdings.expires)));
    lines
}

fn words_of_party(party: &Party) -> String {
    let places = [
        ("seat", &party.seat),
        ("central administration", &party.central_administration),
        ("principal establishment", &party.principal_establishment),
        ("residence", &party.residence),
        ("persons behind it", &party.classification),
    ];
    let places = places.into_iter().filter_map(|(name, place)| Some(format!(", {name} {}", place.as_ref()?)));
    let nationalities = party.nationalities.iter().flatten().map(|country| format!(", national of {country}"));
    let listed = party.declaration_threshold.map(|share| format!(", listed, declared from {share} on"));
    format!(
        "{} ({}), {}{}",
        party.name,
        party.id,
        word(&party.kind),
        places.chain(nationalities).chain(listed).collect::<String>()
    )
}

fn words_of_share(interest: &Interest) -> String {
    let bound = |words: &str, share: Option<Share>| share.map(|share| format!(" {words}{share}"));
    let bounds = [
        bound("", interest.exact),
        bound("at least ", interest.minimum),
        bound("more than ", interest.exclusive_minimum),
        bound("at most ", interest.maximum),
        bound("less than ", interest.exclusive_maximum),
    ];
    bounds.into_iter().flatten().collect()
}

/// The word that the statement has for a value.
fn word(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().trim_matches('"').to_owned()
}

const EXAMPLES: &str = "\
Examples:
  garant statement shares sign --example > shares.toml
  garant statement shares sign shares.toml --key auditor.key --out operator.shares
  garant statement shares show operator.shares --by auditor.pub";
const EXAMPLE: &str = include_str!("shares.example.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use garant_attest::statement::Claims;

    #[test]
    fn the_example_is_a_statement_that_can_be_meant() {
        let file: File = toml::from_str(EXAMPLE).unwrap_or_else(|error| unreachable!("{error}"));
        let holdings = file.holdings(1_800_000_000).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(holdings.check(), Ok(()));
        assert_eq!((holdings.parties.len(), holdings.interests.len()), (4, 5));
    }

    #[test]
    fn a_share_that_is_no_percentage_and_an_unknown_key_are_errors() {
        for (from, to) in [("\"60\"", "\"60,5\""), ("\"60\"", "60"), ("exact =", "exactly =")] {
            assert!(toml::from_str::<File>(&EXAMPLE.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
