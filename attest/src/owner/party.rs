//! Who a party is, as a statement says, and where a rule's territory puts it: inside, outside, or neither is proven.

use super::share::Share;
use crate::cbor::MapField;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

crate::int_map! {
    /// Facts about one party.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Party {
        /// Under which it is known in all statements: `lei:…`, `euid:…`, or a name of the signer's own choice.
        1 => id: String,
        /// For people.
        2 => name: String,
        /// What it is.
        3 => kind: PartyKind,
        /// Of a legal entity: its registered seat.
        4 => seat: Option<Country>,
        /// Of a legal entity: its central administration, headquarters.
        5 => central_administration: Option<Country>,
        /// Of a legal entity: its principal establishment.
        6 => principal_establishment: Option<Country>,
        /// Of a natural person: all nationalities.
        7 => nationalities: Option<Nationalities>,
        /// Of a natural person: where it lives.
        8 => residence: Option<Country>,
        /// Of a state, trust, foundation or fund: whose persons are behind it, all of them.
        9 => classification: Option<Country>,
        /// Of a listed company: who holds less than this may stay undeclared, and whoever holds as much stands among the
        /// direct holders of this statement.
        10 => declaration_threshold: Option<Share>,
    }
}

/// Nationalities of a person.
pub type Nationalities = heapless::Vec<Country, NATIONALITIES>;

/// What a party is: BODS' entity and person types, as far as they matter to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartyKind {
    /// A company or another entity that others hold.
    RegisteredEntity,
    /// A human being.
    Person,
    /// A state or a body of one.
    State,
    /// A trust or another arrangement without personality.
    Trust,
    /// A foundation: nobody holds it, somebody directs it.
    Foundation,
    /// An investment fund.
    Fund,
    /// Holds for somebody else.
    Nominee,
    /// Known to be there, and nothing else.
    Unknown,
}

/// ISO 3166-1 alpha-2, upper case, or with a part of the country behind a hyphen, such as [`Country::NORTHERN_CYPRUS`].
/// The code alone means the country as its registers mean it; a territory with a code of its own (BL, BQ) has that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country(String);

impl Country {
    /// Where the acquis is suspended (Protocol 10 of 2003); the code is ours, ISO has none.
    pub const NORTHERN_CYPRUS: &str = "CY-NORTH";

    /// The code.
    pub fn code(&self) -> &str {
        &self.0
    }

    /// The country of a part; `None` for a whole country.
    fn whole(&self) -> Option<&str> {
        self.0.split_once('-').map(|(whole, _)| whole)
    }
}

impl FromStr for Country {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Country, UnknownForm> {
        let (country, part) = text.split_once('-').unwrap_or((text, "X"));
        let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let is_part = !part.is_empty() && part.len() <= PART_LETTERS && part.bytes().all(is_upper);
        if is_country && is_part { Ok(Country(text.to_string())) } else { Err(UnknownForm) }
    }
}

/// A text that is no code of a country; its author is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownForm;

impl fmt::Display for UnknownForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a country as two capital letters, or a part of one such as CY-NORTH")
    }
}

impl core::error::Error for UnknownForm {}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl MapField for PartyKind {
    fn is_present(&self) -> bool {
        true
    }
    fn or_absent(read: Option<Self>) -> Option<Self> {
        read
    }
}

/// The territory of a rule: what is neither named as inside nor as undecided is outside.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Territory {
    /// For people: `the European Union`.
    pub name: String,
    /// Codes inside.
    pub inside: Vec<Country>,
    /// Codes of which the rule's text does not say whether they are inside.
    #[serde(default)]
    pub undecided: Vec<Country>,
}

/// Where something stands to a territory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Stated, and inside.
    Inside,
    /// Stated, and outside.
    Outside,
    /// Stated, and the territory's author left it open.
    Undecided,
    /// Not stated in full.
    Unstated,
}

impl Territory {
    /// Where a country stands. A part of a country that is not named itself is undecided where the whole is inside.
    pub fn standing(&self, country: &Country) -> Standing {
        let names = |list: &[Country], code: &str| list.iter().any(|known| known.code() == code);
        let whole = country.whole().unwrap_or_default();
        if names(&self.undecided, country.code()) {
            Standing::Undecided
        } else if names(&self.inside, country.code()) {
            Standing::Inside
        } else if names(&self.inside, whole) || names(&self.undecided, whole) {
            Standing::Undecided
        } else {
            Standing::Outside
        }
    }

    /// Where a party stands, by one statement. An entity is inside with all three of its places and outside with one
    /// (SecNumCloud 3.2 §19.6 a and b); a person with all nationalities and its home, outside only with all of them.
    pub fn party_standing(&self, party: &Party) -> Standing {
        let at =
            |country: &Option<Country>| country.as_ref().map_or(Standing::Unstated, |country| self.standing(country));
        match party.kind {
            PartyKind::RegisteredEntity => {
                let places = [&party.seat, &party.central_administration, &party.principal_establishment].map(at);
                if places.contains(&Standing::Outside) { Standing::Outside } else { agreed(places) }
            }
            PartyKind::Person => {
                let nationalities = party.nationalities.iter().flatten().map(|country| self.standing(country));
                let has_some = party.nationalities.as_ref().is_some_and(|list| !list.is_empty());
                let unstated = (!has_some).then_some(Standing::Unstated);
                agreed(nationalities.chain(unstated).chain([at(&party.residence)]))
            }
            PartyKind::State | PartyKind::Trust | PartyKind::Foundation | PartyKind::Fund => at(&party.classification),
            PartyKind::Nominee | PartyKind::Unknown => Standing::Unstated,
        }
    }
}

/// The standing that all have; what is undecided or mixed is undecided, and else what is missing is missing.
fn agreed(standings: impl IntoIterator<Item = Standing> + Clone) -> Standing {
    let has = |standing: Standing| standings.clone().into_iter().any(|found| found == standing);
    let is_mixed = has(Standing::Inside) && has(Standing::Outside);
    if has(Standing::Undecided) || is_mixed {
        Standing::Undecided
    } else if has(Standing::Unstated) {
        Standing::Unstated
    } else if has(Standing::Outside) {
        Standing::Outside
    } else {
        Standing::Inside
    }
}

/// Nationalities of one person.
const NATIONALITIES: usize = 8;
/// ISO 3166-2 has at most three; ours has five.
const PART_LETTERS: usize = 8;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn country(code: &str) -> Country {
        code.parse().unwrap()
    }

    pub(crate) fn europe() -> Territory {
        let inside = ["FR", "DE", "CY", "RE"].map(country).to_vec();
        Territory { name: "the Union".into(), inside, undecided: ["CY-NORTH", "NO", "BL"].map(country).to_vec() }
    }

    pub(crate) fn party(id: &str, kind: PartyKind) -> Party {
        Party {
            id: id.into(),
            name: id.to_uppercase(),
            kind,
            seat: None,
            central_administration: None,
            principal_establishment: None,
            nationalities: None,
            residence: None,
            classification: None,
            declaration_threshold: None,
        }
    }

    pub(crate) fn entity(id: &str, code: &str) -> Party {
        let at = Some(country(code));
        Party {
            seat: at.clone(),
            central_administration: at.clone(),
            principal_establishment: at,
            ..party(id, PartyKind::RegisteredEntity)
        }
    }

    pub(crate) fn person(id: &str, nationality: &str, residence: &str) -> Party {
        let nationalities = Some(core::iter::once(country(nationality)).collect());
        Party { nationalities, residence: Some(country(residence)), ..party(id, PartyKind::Person) }
    }

    #[test]
    fn an_entity_is_inside_with_all_three_places_and_outside_with_one() {
        let standing = |party: &Party| europe().party_standing(party);
        assert_eq!(standing(&entity("a", "FR")), Standing::Inside);
        let one_abroad = |change: fn(&mut Party)| {
            let mut party = entity("a", "FR");
            change(&mut party);
            standing(&party)
        };
        assert_eq!(one_abroad(|p| p.seat = Some(country("US"))), Standing::Outside);
        assert_eq!(one_abroad(|p| p.central_administration = Some(country("US"))), Standing::Outside);
        assert_eq!(one_abroad(|p| p.principal_establishment = Some(country("US"))), Standing::Outside);
        assert_eq!(one_abroad(|p| p.seat = None), Standing::Unstated);
        assert_eq!(one_abroad(|p| p.central_administration = None), Standing::Unstated);
        assert_eq!(one_abroad(|p| p.principal_establishment = None), Standing::Unstated);
    }

    #[test]
    fn northern_cyprus_an_oct_and_an_eea_only_state_are_neither_inside_nor_outside() {
        for code in ["CY-NORTH", "BL", "NO"] {
            assert_eq!(europe().party_standing(&entity("a", code)), Standing::Undecided, "{code}");
        }
        assert_eq!(europe().standing(&country("CY")), Standing::Inside);
        assert_eq!(europe().standing(&country("FR-BL")), Standing::Undecided);
        assert_eq!(europe().standing(&country("US-DE")), Standing::Outside);
    }

    #[test]
    fn a_person_needs_every_nationality_and_its_home() {
        let standing = |nationality, residence| europe().party_standing(&person("p", nationality, residence));
        assert_eq!(standing("FR", "DE"), Standing::Inside);
        assert_eq!(standing("US", "US"), Standing::Outside);
        assert_eq!(standing("FR", "US"), Standing::Undecided);
        assert_eq!(standing("US", "FR"), Standing::Undecided);
        let mut stateless = person("p", "FR", "FR");
        stateless.nationalities = Some(heapless::Vec::new());
        assert_eq!(europe().party_standing(&stateless), Standing::Unstated);
        stateless.nationalities = None;
        assert_eq!(europe().party_standing(&stateless), Standing::Unstated);
        let homeless = Party { residence: None, ..person("p", "FR", "FR") };
        assert_eq!(europe().party_standing(&homeless), Standing::Unstated);
    }

    #[test]
    fn a_state_trust_foundation_or_fund_without_classification_is_unstated() {
        for kind in [PartyKind::State, PartyKind::Trust, PartyKind::Foundation, PartyKind::Fund] {
            let mut holder = party("h", kind);
            holder.seat = Some(country("FR"));
            assert_eq!(europe().party_standing(&holder), Standing::Unstated);
            holder.classification = Some(country("FR"));
            assert_eq!(europe().party_standing(&holder), Standing::Inside);
        }
        for kind in [PartyKind::Nominee, PartyKind::Unknown] {
            let holder = Party { kind, classification: Some(country("FR")), ..entity("h", "FR") };
            assert_eq!(europe().party_standing(&holder), Standing::Unstated);
        }
    }

    #[test]
    fn a_country_is_two_capital_letters_and_perhaps_a_part() {
        for good in ["FR", "CY-NORTH", "PT-20"] {
            assert!(good.parse::<Country>().is_ok(), "{good}");
        }
        for bad in ["", "fr", "FRA", "F", "FR-", "FR-north", "FR-NORTHERNMOST", "F1", "ÉU", "FR-A-B"] {
            assert!(bad.parse::<Country>().is_err(), "{bad}");
        }
    }
}
