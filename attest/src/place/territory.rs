//! Which land is whose: a map of all land with its borders, and the sets of lands that a policy names, as data.
//!
//! The built-in map is `attest/data/territory.bin`; `make territory` makes it, byte for byte, from Natural Earth 1:10m
//! and, beside it, `territory.toml`, where each cut and each set stands with its reason, and `islands.toml` with what
//! Natural Earth lacks. Where it was measured, within 6° of the lands of all sets, each land is within 4.0 km of what the
//! map has under its code; that is part of the 5 km for which a border counts. The map may have land too much, at sea
//! or on both sides of a border, where no answer can be wrong by it. Whatever lies in no polygon is no land.

use crate::budget;
use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

/// A map. Holding one proves that it has the shape below, not that its borders are true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Territory {
    version: String,
    errors_m: [u32; 2],
    lands: Vec<Land>,
    sets: Vec<Set>,
}

/// All land under one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Land {
    /// ISO 3166-1 alpha-2, also where only reserved (`IC`, `EA`), ISO 3166-2 (`PT-20`), or one of ours (`CY-N`):
    /// 2 to 6 of `A-Z`, `0-9` and `-`.
    pub code: String,
    /// Apart from each other, but for the error of the map.
    pub polygons: Vec<Polygon>,
}

/// An area: what an odd number of its rings winds around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polygon {
    /// The outer ring, then holes; each at least three positions, the first not repeated at the end. An edge is straight
    /// in latitude and longitude and at most [`EDGE_E6`] long in either, so it never crosses the antimeridian.
    pub rings: Vec<Vec<Position>>,
}

/// A point in WGS-84.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Degrees north × 10⁶, within ±90 × 10⁶.
    pub lat_e6: i32,
    /// Degrees east × 10⁶, within ±180 × 10⁶.
    pub lon_e6: i32,
}

/// Lands that a policy asks for by one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// `EU`, `EEA`, or a member state's ISO 3166-1 alpha-2.
    pub name: String,
    /// Codes of its lands, sorted.
    pub inside: Vec<String>,
    /// Codes of lands of which the map's author says neither, sorted: where a region has some, there is no yes and no no.
    pub disputed: Vec<String>,
}

/// What a land is to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// One of its lands.
    Inside,
    /// Neither inside nor outside.
    Disputed,
    /// Any other land.
    Outside,
}

impl Territory {
    /// The map that came with this release.
    pub fn builtin() -> Result<Territory, TerritoryError> {
        Territory::decode(BUILTIN)
    }

    /// Reads a map. What it allocates is bounded by [`budget::TERRITORY_BYTES`] and [`budget::TERRITORY_POSITIONS`].
    pub fn decode(bytes: &[u8]) -> Result<Territory, TerritoryError> {
        let limit_bytes = budget::TERRITORY_BYTES;
        if bytes.len() > limit_bytes {
            return Err(TerritoryError::TooLong { found_bytes: bytes.len(), limit_bytes });
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(TerritoryError::NotAMap)?;
        let mut reader = Reader { rest, whole_bytes: bytes.len(), positions_left: budget::TERRITORY_POSITIONS };
        let version = reader.text()?;
        let errors_m = [reader.metres()?, reader.metres()?];
        let lands = reader.many(Reader::land)?;
        if !lands.is_sorted_by(|a, b| a.code < b.code) {
            return Err(reader.fault("lands out of order"));
        }
        let sets = reader.many(|reader| reader.set(&lands))?;
        if !sets.is_sorted_by(|a, b| a.name < b.name) {
            return Err(reader.fault("sets out of order"));
        }
        match reader.rest {
            [] => Ok(Territory { version, errors_m, lands, sets }),
            _ => Err(reader.fault("bytes behind the end")),
        }
    }

    /// Source and date of the map, for verdicts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How far the map's lines may lie from those of its source, by simplification and rounding: in metres, near the lands
    /// of its sets (for the built-in map within 6°), and far from them. That an edge is taken as a great circle instead of
    /// straight in latitude and longitude adds at most [`GREAT_CIRCLE_ERROR_M`].
    pub fn errors_m(&self) -> [u32; 2] {
        self.errors_m
    }

    /// All lands, sorted by code.
    pub fn lands(&self) -> &[Land] {
        &self.lands
    }

    /// All sets, sorted by name.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }

    /// The set of that name; that there is none is an error, and never an empty set.
    pub fn set(&self, name: &str) -> Result<&Set, TerritoryError> {
        let unknown = || TerritoryError::UnknownSet { name: name.to_owned() };
        self.sets.iter().find(|set| set.name == name).ok_or_else(unknown)
    }

    /// Codes of the lands that contain a point: none at sea, more than one only within the error of a border.
    pub fn position_codes(&self, at: Position) -> Vec<&str> {
        self.lands.iter().filter(|land| land.contains(at)).map(|land| land.code.as_str()).collect()
    }
}

impl Land {
    /// Whether a point lies in one of its polygons.
    pub fn contains(&self, at: Position) -> bool {
        self.polygons.iter().any(|polygon| polygon.contains(at))
    }
}

impl Polygon {
    /// Whether an odd number of rings winds around a point; on a ring itself the answer is either.
    pub fn contains(&self, at: Position) -> bool {
        self.rings.iter().flat_map(|ring| edges(ring)).filter(|(from, to)| is_crossed_north_of(at, *from, *to)).count()
            % 2
            == 1
    }
}

impl Position {
    /// A point, if it lies within ±90° and ±180°.
    pub fn new(lat_e6: i32, lon_e6: i32) -> Option<Position> {
        let is_on_earth = lat_e6.unsigned_abs() <= LAT_MAX_E6 && lon_e6.unsigned_abs() <= LON_MAX_E6;
        is_on_earth.then_some(Position { lat_e6, lon_e6 })
    }
}

impl Set {
    /// What the land of that code is to this set.
    pub fn standing(&self, code: &str) -> Standing {
        let names = |codes: &[String]| codes.iter().any(|known| known == code);
        match (names(&self.inside), names(&self.disputed)) {
            (_, true) => Standing::Disputed,
            (true, false) => Standing::Inside,
            (false, false) => Standing::Outside,
        }
    }
}

/// Edges of a ring, the closing one last.
pub fn edges(ring: &[Position]) -> impl Iterator<Item = (Position, Position)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// Whether a ring winds an odd number of times around a point.
pub(super) fn winds_around(ring: &[Position], at: Position) -> bool {
    edges(ring).filter(|(from, to)| is_crossed_north_of(at, *from, *to)).count() % 2 == 1
}

/// Whether an edge passes over a point on the point's meridian. Exact: products stay below 2⁵⁷.
fn is_crossed_north_of(at: Position, from: Position, to: Position) -> bool {
    if (from.lon_e6 > at.lon_e6) == (to.lon_e6 > at.lon_e6) {
        return false;
    }
    let difference = |a: i32, b: i32| i64::from(a).saturating_sub(i64::from(b));
    let (east, north) = (difference(to.lon_e6, from.lon_e6), difference(to.lat_e6, from.lat_e6));
    let at_edge = difference(at.lon_e6, from.lon_e6).saturating_mul(north);
    let at_point = difference(at.lat_e6, from.lat_e6).saturating_mul(east);
    if east > 0 { at_point < at_edge } else { at_point > at_edge }
}

/// A map that cannot be used; who supplied it is at fault, or for an unknown set the author of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerritoryError {
    /// Longer than its budget.
    TooLong {
        /// Bytes found.
        found_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// Does not begin as a map of this format's version does.
    NotAMap,
    /// Breaks the format.
    Malformed {
        /// Where, in bytes.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The map has no set of that name.
    UnknownSet {
        /// What was asked for.
        name: String,
    },
}

impl fmt::Display for TerritoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TerritoryError::TooLong { found_bytes, limit_bytes } => {
                write!(f, "a map of {found_bytes} bytes where at most {limit_bytes} are read")
            }
            TerritoryError::NotAMap => write!(f, "not a map of format 1"),
            TerritoryError::Malformed { offset, what } => write!(f, "{what}, at byte {offset} of the map"),
            TerritoryError::UnknownSet { name } => write!(f, "the map has no set {name:?}"),
        }
    }
}

impl core::error::Error for TerritoryError {}

/// The format: [`MAGIC`]; version (text); errors near and far (numbers, m); lands; sets. A list is its length and its items, a text
/// its length in bytes and UTF-8, a number little-endian base 128 without superfluous zero groups, a signed one zigzag.
/// A land is code and polygons, a polygon a list of rings, a ring a list of positions, each its difference to the one
/// before it (the first to 0, 0) in latitude and longitude, in units of 10⁻³ degrees. A set is its name and two lists of
/// indices of lands, rising. Long edges are divided while reading, so that the file need not hold what a division gives.
struct Reader<'a> {
    rest: &'a [u8],
    whole_bytes: usize,
    positions_left: usize,
}

impl Reader<'_> {
    fn metres(&mut self) -> Result<u32, TerritoryError> {
        u32::try_from(self.number()?).map_err(|_| self.fault("an error beyond all bounds"))
    }

    fn land(&mut self) -> Result<Land, TerritoryError> {
        let code = self.text()?;
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
        if !(2..=6).contains(&code.len()) || !code.bytes().all(is_code) {
            return Err(self.fault("a land without a code"));
        }
        Ok(Land { code, polygons: self.many(Reader::polygon)? })
    }

    fn polygon(&mut self) -> Result<Polygon, TerritoryError> {
        let rings = self.many(Reader::ring)?;
        if rings.is_empty() { Err(self.fault("a polygon without rings")) } else { Ok(Polygon { rings }) }
    }

    fn ring(&mut self) -> Result<Vec<Position>, TerritoryError> {
        let (mut lat, mut lon) = (0i64, 0i64);
        let corners = self.many(|reader| {
            (lat, lon) = (lat.saturating_add(reader.signed()?), lon.saturating_add(reader.signed()?));
            position(lat, lon).ok_or_else(|| reader.fault("a position off the Earth"))
        })?;
        if corners.len() < 3 {
            return Err(self.fault("a ring of less than three positions"));
        }
        divided(&corners, &mut self.positions_left).ok_or_else(|| self.fault("more positions than are read"))
    }

    fn set(&mut self, lands: &[Land]) -> Result<Set, TerritoryError> {
        let name = self.text()?;
        let inside = self.codes(lands)?;
        let disputed = self.codes(lands)?;
        if inside.is_empty() || inside.iter().any(|code| disputed.contains(code)) {
            return Err(self.fault("a set that is empty or contradicts itself"));
        }
        Ok(Set { name, inside, disputed })
    }

    fn codes(&mut self, lands: &[Land]) -> Result<Vec<String>, TerritoryError> {
        let codes = self.many(|reader| {
            let index = usize::try_from(reader.number()?).ok();
            let land = index.and_then(|index| lands.get(index));
            land.map(|land| land.code.clone()).ok_or_else(|| reader.fault("a set with an unknown land"))
        })?;
        if codes.is_sorted_by(|a, b| a < b) { Ok(codes) } else { Err(self.fault("a set out of order")) }
    }

    /// A list; its items take a byte or more each, so a claimed length never allocates.
    fn many<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, TerritoryError>,
    ) -> Result<Vec<T>, TerritoryError> {
        let count = self.number()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn text(&mut self) -> Result<String, TerritoryError> {
        let length = usize::try_from(self.number()?).ok();
        let (text, rest) =
            length.and_then(|length| self.rest.split_at_checked(length)).ok_or_else(|| self.fault("a cut text"))?;
        let text = core::str::from_utf8(text).map_err(|_| self.fault("a text that is not UTF-8"))?;
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn signed(&mut self) -> Result<i64, TerritoryError> {
        let number = self.number()?;
        let half = i64::try_from(number >> 1).unwrap_or(i64::MAX);
        Ok(if number & 1 == 0 { half } else { !half })
    }

    fn number(&mut self) -> Result<u64, TerritoryError> {
        let mut number = 0;
        for shift in (0..NUMBER_BITS).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(|| self.fault("a cut number"))?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            match byte {
                0 if shift > 0 => return Err(self.fault("a number with superfluous zeros")),
                0..0x80 => return Ok(number),
                _ => (),
            }
        }
        Err(self.fault("a number of more than 35 bits"))
    }

    fn fault(&self, what: &'static str) -> TerritoryError {
        TerritoryError::Malformed { offset: self.whole_bytes.saturating_sub(self.rest.len()), what }
    }
}

fn position(lat_units: i64, lon_units: i64) -> Option<Position> {
    let e6 = |units: i64| i32::try_from(units.saturating_mul(UNIT_E6)).ok();
    Position::new(e6(lat_units)?, e6(lon_units)?)
}

/// The ring with its long edges divided; `None`, before anything is allocated, where there are not as many positions left.
pub(super) fn divided(corners: &[Position], positions_left: &mut usize) -> Option<Vec<Position>> {
    let count = edges(corners).fold(0usize, |sum, (from, to)| sum.saturating_add(pieces(from, to)));
    *positions_left = positions_left.checked_sub(count)?;
    Some(edges(corners).flat_map(|(from, to)| divide(from, to)).collect())
}

/// In how many pieces an edge is divided.
fn pieces(from: Position, to: Position) -> usize {
    let longest = from.lat_e6.abs_diff(to.lat_e6).max(from.lon_e6.abs_diff(to.lon_e6));
    usize::try_from(longest.div_ceil(EDGE_E6).max(1)).unwrap_or(usize::MAX)
}

/// The start of each piece, in order.
fn divide(from: Position, to: Position) -> impl Iterator<Item = Position> {
    let count = i64::try_from(pieces(from, to)).unwrap_or(i64::MAX);
    let between = move |from: i32, to: i32, at: i64| {
        let way = i64::from(to).saturating_sub(i64::from(from)).saturating_mul(at).checked_div(count).unwrap_or(0);
        i32::try_from(i64::from(from).saturating_add(way)).unwrap_or(from)
    };
    (0..count).map(move |at| Position {
        lat_e6: between(from.lat_e6, to.lat_e6, at),
        lon_e6: between(from.lon_e6, to.lon_e6, at),
    })
}

static BUILTIN: &[u8] = include_bytes!("../../data/territory.bin");
/// Begins every file of format 1.
pub const MAGIC: &[u8] = b"garant/territory/1\0";
/// The unit of a file in 10⁻⁶ degrees: 111 m, so rounding moves a position by at most 79 m.
pub const UNIT_E6: i64 = 1000;
/// The longest edge in latitude and in longitude, 10⁻⁶ degrees.
pub const EDGE_E6: u32 = 500_000;
/// How far an edge as a great circle is from the same edge straight in latitude and longitude. For Δφ, Δλ ≤ 0.5° it is at
/// most R/8 · √((sin φ cos φ Δλ²)² + (2 sin φ Δφ Δλ)²) ≤ 6371 km/8 · 2.1 · 0.00873² = 127 m.
pub const GREAT_CIRCLE_ERROR_M: u32 = 130;
const LAT_MAX_E6: u32 = 90_000_000;
const LON_MAX_E6: u32 = 180_000_000;
const NUMBER_BITS: u32 = 35;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec};

    /// A map by hand: one land `AA`, a square of two degrees with a square hole, and one set of it.
    fn sample() -> Vec<u8> {
        let square = |at: [u8; 4], size: [u8; 2], back: [u8; 2]| {
            let [lat_low, lat_high, lon_low, lon_high] = at;
            [&[4, lat_low, lat_high, lon_low, lon_high, 0][..], &size, &size, &[0, 0], &back].concat()
        };
        // 1000 units north are [0xd0, 0x0f], 1000 back [0xcf, 0x0f].
        let outer = square([0xd0, 0x0f, 0xd0, 0x0f], [0xa0, 0x1f], [0x9f, 0x1f]);
        let hole = square([0xb8, 0x17, 0xb8, 0x17], [0xd0, 0x0f], [0xcf, 0x0f]);
        [MAGIC, b"\x01v\x05\x06\x01\x02AA\x01\x02", &outer, &hole, b"\x01\x03SET\x01\x00\x00"].concat()
    }

    fn fault(bytes: &[u8]) -> String {
        Territory::decode(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_map_by_hand_is_read_and_its_hole_is_no_land() {
        let map = Territory::decode(&sample()).unwrap();
        assert_eq!((map.version(), map.errors_m(), map.lands().len()), ("v", [5, 6], 1));
        let codes = |lat_e6, lon_e6| map.position_codes(Position::new(lat_e6, lon_e6).unwrap());
        assert_eq!(codes(1_200_000, 1_200_000), ["AA"]);
        assert_eq!(codes(2_000_000, 2_000_000), [""; 0]);
        assert_eq!(codes(500_000, 1_500_000), [""; 0]);
        assert_eq!(map.set("SET").unwrap().inside, ["AA"]);
        assert_eq!(map.set("SET").unwrap().standing("AA"), Standing::Inside);
        assert_eq!(map.set("SET").unwrap().standing("BB"), Standing::Outside);
    }

    #[test]
    fn a_long_edge_is_divided_into_equal_pieces() {
        let map = Territory::decode(&sample()).unwrap();
        let ring = &map.lands()[0].polygons[0].rings[0];
        assert_eq!(ring.len(), 16);
        assert!(
            edges(ring).all(|(from, to)| from.lat_e6.abs_diff(to.lat_e6) + from.lon_e6.abs_diff(to.lon_e6) == EDGE_E6)
        );
    }

    /// A map of these lands and sets, each list with its length.
    fn map(lands: &[u8], sets: &[u8]) -> Vec<u8> {
        [MAGIC, b"\x01v\x05\x06", lands, sets].concat()
    }

    #[test]
    fn every_break_of_the_format_is_refused_with_its_reason() {
        let ring = b"\x03\x02\x02\x02\x02\x00\x02"; // (1, 1), (2, 2), (2, 3) in units
        let land = |code: &[u8]| [code, b"\x01\x01", ring].concat();
        let (one, none) = ([b"\x01", &land(b"\x02AA")[..]].concat(), b"\x00");
        let two = |first: &[u8], second: &[u8]| [b"\x02", &land(first)[..], &land(second)].concat();
        assert!(Territory::decode(&map(&one, b"\x01\x01S\x01\x00\x00")).is_ok());
        let lone_ring = |ring: &[u8]| map(&[b"\x01\x02AA\x01\x01", ring].concat(), none);
        // Four edges of 90 degrees: 720 positions in each of 1,457 rings.
        let wide = b"\x04\x00\xbf\xfd\x0a\x00\xc0\xfd\x0a\x00\xbf\xfd\x0a\x00\xc0\xfd\x0a".repeat(1457);
        let cases = [
            (map(b"\x01\x01A\x00", none), "a land without a code"),
            (map(b"\x01\x07ABCDEFG\x00", none), "a land without a code"),
            (map(b"\x01\x02aa\x00", none), "a land without a code"),
            (map(b"\x01\x02\xff\xff\x00", none), "a text that is not UTF-8"),
            (map(b"\x01\x7fAA", none), "a cut text"),
            (map(&two(b"\x02AA", b"\x02AA"), none), "lands out of order"),
            (map(&two(b"\x02BB", b"\x02AA"), none), "lands out of order"),
            (map(b"\x01\x02AA\x01\x00", none), "a polygon without rings"),
            (lone_ring(b"\x02\x02\x02\x02\x02"), "a ring of less than three positions"),
            (lone_ring(b"\x03\xa2\xfe\x0a\x00\x02\x02\x00\x02"), "a position off the Earth"),
            (lone_ring(b"\x03\x00\xc2\xfc\x15\x02\x02\x00\x02"), "a position off the Earth"),
            (lone_ring(b"\x03\x82\x00\x02\x02\x02\x00\x02"), "a number with superfluous zeros"),
            (lone_ring(b"\x03\xff\xff\xff\xff\xff\x01"), "a number of more than 35 bits"),
            (map(&[b"\x01\x02AA\x01\xb1\x0b", &wide[..]].concat(), none), "more positions than are read"),
            (map(&one, b"\x01\x01S\x00\x00"), "a set that is empty or contradicts itself"),
            (map(&one, b"\x01\x01S\x01\x00\x01\x00"), "a set that is empty or contradicts itself"),
            (map(&one, b"\x01\x01S\x01\x01\x00"), "a set with an unknown land"),
            (map(&one, b"\x01\x01S\x02\x00\x00\x00"), "a set out of order"),
            (map(&one, b"\x02\x01S\x01\x00\x00\x01S\x01\x00\x00"), "sets out of order"),
            ([MAGIC, b"\x01v\xff\xff\xff\xff\x7f\x00\x00\x00"].concat(), "an error beyond all bounds"),
        ];
        for (bytes, what) in cases {
            assert!(fault(&bytes).contains(what), "{} instead of {what}", fault(&bytes));
        }
    }

    #[test]
    fn a_position_is_on_earth_or_none() {
        assert!(Position::new(90_000_000, -180_000_000).is_some());
        for (lat, lon) in [(90_000_001, 0), (-90_000_001, 0), (0, 180_000_001), (0, -180_000_001), (i32::MIN, i32::MIN)]
        {
            assert_eq!(Position::new(lat, lon), None);
        }
    }

    #[test]
    fn what_is_disputed_is_not_inside_as_well() {
        let set = Set { name: "S".into(), inside: vec!["AA".into()], disputed: vec!["AA".into(), "BB".into()] };
        assert_eq!([set.standing("AA"), set.standing("BB")], [Standing::Disputed; 2]);
    }

    #[test]
    fn every_cut_and_every_superfluous_byte_is_refused() {
        let whole = sample();
        assert!((0..whole.len()).all(|length| Territory::decode(&whole[..length]).is_err()));
        assert!(fault(&[&whole[..], &[0]].concat()).contains("bytes behind the end"));
        assert!(Territory::decode(&vec![0; budget::TERRITORY_BYTES + 1]).unwrap_err().to_string().contains("1048577"));
        assert!(fault(b"garant/territory/2\0").contains("not a map"));
    }

    #[test]
    fn an_unknown_set_is_an_error() {
        let map = Territory::decode(&sample()).unwrap();
        assert_eq!(map.set("EUR"), Err(TerritoryError::UnknownSet { name: "EUR".into() }));
        assert!(map.set("").is_err() && map.set("set").is_err());
    }
}
