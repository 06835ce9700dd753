//! Reads TopoJSON: arcs that neighbours share, and countries made of them.

use serde::Deserialize;

/// Latitude and longitude in degrees; longitudes of one arc run on beyond ±180.
pub type Degrees = [f64; 2];

/// Arcs, and countries as lists of them.
pub struct Topology {
    /// Each from one junction to another, or closed.
    pub arcs: Vec<Vec<Degrees>>,
    /// In the order of the source.
    pub countries: Vec<Country>,
}

/// A feature of the source.
pub struct Country {
    /// As Natural Earth writes it.
    pub name: String,
    /// Polygons of rings of arcs: an index, or its complement for an arc in reverse.
    pub polygons: Vec<Vec<Vec<i64>>>,
}

impl Topology {
    /// Reads `countries-10m.json`.
    pub fn parse(json: &[u8]) -> Topology {
        let text: Text = serde_json::from_slice(json).expect("TopoJSON with an object `countries`");
        let arcs = text.arcs.iter().map(|arc| absolute(arc, &text.transform)).collect();
        let countries = text.objects.countries.geometries.into_iter().map(Country::from).collect();
        Topology { arcs, countries }
    }

    /// Arcs of the countries whose names are accepted.
    pub fn arcs_of(&self, accept: impl Fn(&str) -> bool) -> impl Iterator<Item = &[Degrees]> {
        let accepted = self.countries.iter().filter(move |country| accept(&country.name));
        accepted
            .flat_map(|country| country.polygons.iter().flatten().flatten())
            .map(|&index| &self.arcs[place(index)][..])
    }
}

/// Where the arc of an index, or of its complement, stands.
pub fn place(index: i64) -> usize {
    usize::try_from(if index < 0 { !index } else { index }).expect("arcs can be counted")
}

/// Undoes the differences and the quantization.
fn absolute(arc: &[[i64; 2]], transform: &Transform) -> Vec<Degrees> {
    let mut sum = [0, 0];
    let mut degrees: Vec<Degrees> = Vec::with_capacity(arc.len());
    for step in arc {
        sum = [sum[0] + step[0], sum[1] + step[1]];
        let [lon, lat] = [0, 1].map(|axis| sum[axis] as f64 * transform.scale[axis] + transform.translate[axis]);
        let before = degrees.last().map_or(lon, |last| last[1]);
        degrees.push([lat, lon + 360.0 * turns(before, lon)]);
    }
    degrees
}

/// Whole turns to add to a longitude so that it lies within half a turn of the one before.
fn turns(before: f64, lon: f64) -> f64 {
    ((before - lon) / 360.0).round()
}

impl From<Geometry> for Country {
    fn from(geometry: Geometry) -> Country {
        match geometry {
            Geometry::Polygon { arcs, properties } => Country { name: properties.name, polygons: vec![arcs] },
            Geometry::MultiPolygon { arcs, properties } => Country { name: properties.name, polygons: arcs },
        }
    }
}

#[derive(Deserialize)]
struct Text {
    transform: Transform,
    arcs: Vec<Vec<[i64; 2]>>,
    objects: Objects,
}

/// Longitude first.
#[derive(Deserialize)]
struct Transform {
    scale: [f64; 2],
    translate: [f64; 2],
}

#[derive(Deserialize)]
struct Objects {
    countries: Countries,
}

#[derive(Deserialize)]
struct Countries {
    geometries: Vec<Geometry>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Geometry {
    Polygon { arcs: Vec<Vec<i64>>, properties: Properties },
    MultiPolygon { arcs: Vec<Vec<Vec<i64>>>, properties: Properties },
}

#[derive(Deserialize)]
struct Properties {
    name: String,
}
