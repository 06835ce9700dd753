//! An area of the user's own, in which a machine is to be: GeoJSON (RFC 7946), read strictly.
//!
//! A `Polygon`, a `MultiPolygon`, a `Feature` of one or a `FeatureCollection` of these, in WGS-84; anything else is an
//! error that says where it stands. Members that RFC 7946 does not define are ignored, but for `crs`: whoever writes one
//! means other coordinates. Not checked: that rings do not cross. What an odd number of a polygon's rings winds around is
//! inside, as on the map.

use super::territory::{Polygon, Position, divided, winds_around};
use crate::{budget, num};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;
use serde_json::{Map, Value};

/// Reads an area; what at least one of the polygons contains is inside. An edge is straight in latitude and longitude.
pub fn read_geojson(text: &[u8]) -> Result<Vec<Polygon>, AreaError> {
    let limit_bytes = budget::AREA_BYTES;
    if text.len() > limit_bytes {
        return Err(AreaError::TooLong { found_bytes: text.len(), limit_bytes });
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| AreaError::Json { message: error.to_string() })?;
    let mut area = Area { polygons: Vec::new(), positions_left: budget::AREA_POSITIONS };
    area.add_object(object(&value)?)?;
    if area.polygons.is_empty() { Err(wrong("no polygon")) } else { Ok(area.polygons) }
}

/// A text that is no area; whoever wrote it is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AreaError {
    /// Longer than [`budget::AREA_BYTES`].
    TooLong {
        /// Bytes found.
        found_bytes: usize,
        /// Bytes allowed.
        limit_bytes: usize,
    },
    /// Not JSON; the message names line and column.
    Json {
        /// From the JSON reader.
        message: String,
    },
    /// JSON that is no area.
    Wrong {
        /// Where, as `features[2].geometry.coordinates[0][7]`; empty for the whole.
        at: String,
        /// What is wrong there.
        what: String,
    },
}

impl AreaError {
    /// The same, seen from outside of `part`.
    fn within(self, part: &str) -> AreaError {
        match self {
            AreaError::Wrong { at, what } => {
                let joint = if at.is_empty() || at.starts_with('[') { "" } else { "." };
                AreaError::Wrong { at: format!("{part}{joint}{at}"), what }
            }
            other => other,
        }
    }
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AreaError::TooLong { found_bytes, limit_bytes } => {
                write!(f, "an area of {found_bytes} bytes where at most {limit_bytes} are read")
            }
            AreaError::Json { message } => write!(f, "{message}"),
            AreaError::Wrong { at, what } if at.is_empty() => write!(f, "{what}"),
            AreaError::Wrong { at, what } => write!(f, "{at}: {what}"),
        }
    }
}

impl core::error::Error for AreaError {}

struct Area {
    polygons: Vec<Polygon>,
    positions_left: usize,
}

impl Area {
    fn add_object(&mut self, object: &Map<String, Value>) -> Result<(), AreaError> {
        match kind(object)? {
            "FeatureCollection" => {
                let features = array(member(object, "features")?).map_err(|error| error.within("features"))?;
                each(features, |feature| self.add_feature(feature)).map_err(|error| error.within("features"))
            }
            "Feature" => self.add_geometry(member(object, "geometry")?).map_err(|error| error.within("geometry")),
            _ => self.add_shape(object),
        }
    }

    fn add_feature(&mut self, feature: &Value) -> Result<(), AreaError> {
        let feature = object(feature)?;
        match kind(feature)? {
            "Feature" => self.add_object(feature),
            other => Err(wrong(&format!("a {other:?} where a \"Feature\" must stand"))),
        }
    }

    fn add_geometry(&mut self, geometry: &Value) -> Result<(), AreaError> {
        self.add_shape(object(geometry)?)
    }

    fn add_shape(&mut self, object: &Map<String, Value>) -> Result<(), AreaError> {
        let shape = kind(object)?;
        let coordinates = || array(member(object, "coordinates")?);
        let added = match shape {
            "Polygon" => coordinates().and_then(|rings| self.add_polygon(rings)),
            "MultiPolygon" => {
                coordinates().and_then(|polygons| each(polygons, |rings| self.add_polygon(array(rings)?)))
            }
            other => return Err(wrong(&format!("a {other:?}, which has no inside that can be tested"))),
        };
        added.map_err(|error| error.within("coordinates"))
    }

    fn add_polygon(&mut self, written: &[Value]) -> Result<(), AreaError> {
        let mut rings: Vec<Vec<Position>> = Vec::new();
        each(written, |ring| {
            rings.push(self.ring(array(ring)?)?);
            Ok(())
        })?;
        let (outer, holes) = rings.split_first().ok_or_else(|| wrong("a polygon without rings"))?;
        let outside = |hole: &Vec<Position>| hole.first().is_none_or(|first| !winds_around(outer, *first));
        if let Some(at) = holes.iter().position(outside) {
            return Err(wrong("a hole that is not in its polygon").within(&format!("[{}]", at.saturating_add(1))));
        }
        self.polygons.push(Polygon { rings });
        Ok(())
    }

    fn ring(&mut self, written: &[Value]) -> Result<Vec<Position>, AreaError> {
        let mut corners: Vec<Position> = Vec::new();
        each(written, |corner| {
            let corner = position(array(corner)?)?;
            if corners.last().is_some_and(|last| last.lon_e6.abs_diff(corner.lon_e6) > HALF_TURN_E6) {
                return Err(wrong("an edge of more than 180 degrees: cut it at the antimeridian (RFC 7946, 3.1.9)"));
            }
            corners.push(corner);
            Ok(())
        })?;
        if corners.len() < 4 || corners.first() != corners.last() {
            return Err(wrong("a ring must have four positions or more, and end where it begins"));
        }
        corners.dedup();
        corners.pop();
        if corners.len() < 3 {
            return Err(wrong("a ring without an inside"));
        }
        divided(&corners, &mut self.positions_left)
            .ok_or_else(|| wrong(&format!("more than {} positions", budget::AREA_POSITIONS)))
    }
}

fn position(coordinates: &[Value]) -> Result<Position, AreaError> {
    let number = |at: usize| coordinates.get(at).and_then(Value::as_f64);
    let (2..=3, Some(lon), Some(lat)) = (coordinates.len(), number(0), number(1)) else {
        return Err(wrong("a position is [longitude, latitude] in degrees, with or without a height"));
    };
    let e6 = |degrees: f64| num::nearest_i32(degrees * 1e6);
    Position::new(e6(lat), e6(lon))
        .ok_or_else(|| wrong(&format!("longitude {lon}, latitude {lat} is not on Earth; longitude stands first")))
}

/// Does the same with each item; an error names the item.
fn each(items: &[Value], mut act: impl FnMut(&Value) -> Result<(), AreaError>) -> Result<(), AreaError> {
    let named = |(at, item)| act(item).map_err(|error| error.within(&format!("[{at}]")));
    items.iter().enumerate().try_for_each(named)
}

/// The type of an object that has no coordinates of its own system.
fn kind(object: &Map<String, Value>) -> Result<&str, AreaError> {
    match (object.get("crs"), member(object, "type")?) {
        (Some(_), _) => Err(wrong("coordinates are in WGS-84 (RFC 7946, 4)").within("crs")),
        (None, Value::String(kind)) => Ok(kind),
        (None, _) => Err(wrong("must be a text").within("type")),
    }
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, AreaError> {
    object.get(name).ok_or_else(|| wrong(&format!("has no {name:?}")))
}

fn object(value: &Value) -> Result<&Map<String, Value>, AreaError> {
    value.as_object().ok_or_else(|| wrong("must be an object"))
}

fn array(value: &Value) -> Result<&[Value], AreaError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong("must be a list"))
}

fn wrong(what: &str) -> AreaError {
    AreaError::Wrong { at: String::new(), what: String::from(what) }
}

const HALF_TURN_E6: u32 = 180_000_000;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    const SQUARE: &str = "[[8,50],[9,50],[9,51],[8,51],[8,50]]";

    fn read(text: &str) -> Result<Vec<Polygon>, AreaError> {
        read_geojson(text.as_bytes())
    }

    fn error(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    fn polygon(rings: &str) -> String {
        format!(r#"{{"type":"Polygon","coordinates":[{rings}]}}"#)
    }

    fn holds(area: &[Polygon], lat: i32, lon: i32) -> bool {
        let at = Position::new(lat, lon).unwrap();
        area.iter().any(|polygon| polygon.contains(at))
    }

    #[test]
    fn each_kind_of_area_is_read_with_longitude_first() {
        let one = polygon(SQUARE);
        let many = format!(r#"{{"type":"MultiPolygon","coordinates":[[{SQUARE}],[[[1,1],[2,1],[2,2],[1,1]]]]}}"#);
        let feature = format!(r#"{{"type":"Feature","properties":{{"name":"a"}},"geometry":{one}}}"#);
        let features = format!(r#"{{"type":"FeatureCollection","features":[{feature},{feature}]}}"#);
        for (text, polygons) in [(&one, 1), (&many, 2), (&feature, 1), (&features, 2)] {
            let area = read(text).unwrap();
            assert_eq!(area.len(), polygons);
            assert!(holds(&area, 50_500_000, 8_500_000) && !holds(&area, 8_500_000, 50_500_000), "{text}");
        }
    }

    #[test]
    fn a_hole_is_outside_and_its_long_edges_are_divided() {
        let area = read(&polygon(&format!("{SQUARE},[[8.2,50.2],[8.2,50.8],[8.8,50.8],[8.2,50.2]]"))).unwrap();
        assert!(!holds(&area, 50_600_000, 8_300_000) && holds(&area, 50_300_000, 8_700_000));
        assert_eq!((area[0].rings[0].len(), area[0].rings[1].len()), (8, 6));
    }

    #[test]
    fn what_is_no_area_is_refused_with_its_place() {
        let feature = |geometry: &str| format!(r#"{{"type":"Feature","geometry":{geometry}}}"#);
        let features = |one: &str| format!(r#"{{"type":"FeatureCollection","features":[{one}]}}"#);
        let far = polygon("[[8,50],[9,91],[9,51],[8,50]]");
        let cases = [
            (String::from("{"), "EOF while parsing an object at line 1 column 1"),
            (String::from("[]"), "must be an object"),
            (String::from("{}"), r#"has no "type""#),
            (String::from(r#"{"type":7}"#), "type: must be a text"),
            (String::from(r#"{"type":"Point","coordinates":[8,50]}"#), r#"a "Point", which has no inside"#),
            (String::from(r#"{"type":"GeometryCollection","geometries":[]}"#), "which has no inside"),
            (String::from(r#"{"type":"Polygon"}"#), r#"has no "coordinates""#),
            (String::from(r#"{"type":"Polygon","coordinates":[]}"#), "coordinates: a polygon without rings"),
            (String::from(r#"{"type":"MultiPolygon","coordinates":[]}"#), "no polygon"),
            (String::from(r#"{"type":"FeatureCollection","features":[]}"#), "no polygon"),
            (String::from(r#"{"type":"Polygon","crs":null,"coordinates":[]}"#), "crs: coordinates are in WGS-84"),
            (feature("null"), "geometry: must be an object"),
            (feature(&feature(&polygon(SQUARE))), r#"geometry: a "Feature", which has no inside"#),
            (features(&polygon(SQUARE)), r#"features[0]: a "Polygon" where a "Feature" must stand"#),
            (
                features(&feature(&far)),
                "features[0].geometry.coordinates[0][1]: longitude 9, latitude 91 is not on Earth",
            ),
            (polygon("[[8,50],[181,50],[9,51],[8,50]]"), "coordinates[0][1]: longitude 181"),
            (polygon("[[8,50],[9],[9,51],[8,50]]"), "coordinates[0][1]: a position is [longitude, latitude]"),
            (polygon("[[8,50],[9,50,1,1],[9,51],[8,50]]"), "coordinates[0][1]: a position is"),
            (polygon(r#"[[8,50],["9",50],[9,51],[8,50]]"#), "coordinates[0][1]: a position is"),
            (polygon("[[8,50],[9,50],[9,51],[8,51]]"), "coordinates[0]: a ring must have four positions"),
            (polygon("[[8,50],[9,50],[8,50]]"), "coordinates[0]: a ring must have four positions"),
            (polygon("[[8,50],[8,50],[9,50],[8,50]]"), "coordinates[0]: a ring without an inside"),
            (polygon("[[-100,50],[100,50],[100,51],[-100,50]]"), "coordinates[0][1]: an edge of more than 180 degrees"),
            (polygon(&format!("{SQUARE},[[1,1],[2,1],[2,2],[1,1]]")), "coordinates[1]: a hole that is not in"),
        ];
        for (text, what) in cases {
            assert!(error(&text).contains(what), "{text}: {} instead of {what}", error(&text));
        }
    }

    #[test]
    fn an_area_over_its_limits_is_refused_before_it_grows() {
        let long = " ".repeat(budget::AREA_BYTES + 1);
        assert_eq!(
            error(&long),
            format!("an area of {} bytes where at most {} are read", long.len(), budget::AREA_BYTES)
        );
        let wide = "[[-90,0],[90,0],[90,1],[-90,0]],".repeat(budget::AREA_POSITIONS / 700);
        assert!(error(&polygon(wide.trim_end_matches(','))).contains("more than 131072 positions"));
        let deep = "[".repeat(100_000);
        assert!(error(&deep).contains("recursion limit exceeded"));
    }
}
