//! Simplifies arcs after Douglas and Peucker, within a stated distance.
//!
//! Why the bound holds for areas: each vertex that is left out lies within the tolerance of the edge that replaces it, so
//! the old line can be moved onto the new one with no point going further than that, and whatever is further than that
//! from the old line keeps its winding number. Neighbours share arcs and so stay neighbours.

use crate::{plan::Simplify, topology::Degrees};
use std::collections::BTreeSet;

/// A position in the unit of the file, 10⁻³ degrees: latitude, longitude.
pub type Units = [i64; 2];

/// Where the sets' lands are, in whole degrees.
pub struct Nearness {
    cells: Vec<[i64; 2]>,
    near_deg: f64,
}

impl Nearness {
    /// What is near these lines.
    pub fn new<'a>(lines: impl Iterator<Item = &'a [Degrees]>, near_deg: f64) -> Nearness {
        let cells: BTreeSet<[i64; 2]> = lines.flatten().map(cell).collect();
        Nearness { cells: cells.into_iter().collect(), near_deg }
    }

    fn holds(&self, [lat, lon]: [i64; 2]) -> bool {
        let within = |degrees: i64| degrees as f64 <= self.near_deg + 1.0;
        self.cells.iter().any(|&[cell_lat, cell_lon]| {
            let east = (lon - cell_lon).rem_euclid(360);
            let east = east.min(360 - east) as f64 * cosine(lat.abs().min(cell_lat.abs()) as f64);
            within((lat - cell_lat).abs()) && east <= self.near_deg + 1.0
        })
    }
}

fn cell(at: &Degrees) -> [i64; 2] {
    at.map(|degrees| degrees.floor() as i64)
}

/// The arc with its ends, and what it needs between them, rounded to the unit.
pub fn simplify(arc: &[Degrees], near: &Nearness, how: &Simplify) -> Vec<Units> {
    let mut known = std::collections::BTreeMap::new();
    let is_near: Vec<bool> =
        arc.iter().map(|at| *known.entry(cell(at)).or_insert_with_key(|cell| near.holds(*cell))).collect();
    let mut kept = vec![0];
    let mut start = 0;
    while start + 1 < arc.len() {
        let run = is_near[start..].iter().take_while(|&&is| is == is_near[start]).count();
        let end = (start + run).min(arc.len() - 1);
        keep(arc, start, end, if is_near[start] { how.near_m } else { how.far_m }, &mut kept);
        start = end;
    }
    kept.into_iter().map(|at| arc[at].map(|degrees| (degrees * 1000.0).round() as i64)).collect()
}

/// Appends what is kept after `start` up to and with `end`.
fn keep(arc: &[Degrees], start: usize, end: usize, tolerance_m: f64, kept: &mut Vec<usize>) {
    let mut open = vec![(start, end)];
    while let Some((from, to)) = open.pop() {
        let distance = |at: usize| distance_m(arc[at], arc[from], arc[to]);
        match (from + 1..to).max_by(|&a, &b| distance(a).total_cmp(&distance(b))) {
            Some(farthest) if distance(farthest) > tolerance_m => open.extend([(farthest, to), (from, farthest)]),
            _ => kept.push(to),
        }
    }
}

/// Distance of a point to an edge, or a little more: the widest of the three parallels stands for all.
fn distance_m(at: Degrees, from: Degrees, to: Degrees) -> f64 {
    let narrowing = cosine(at[0].abs().min(from[0].abs()).min(to[0].abs()));
    let flat = |point: Degrees| [point[0] - from[0], (point[1] - from[1]) * narrowing];
    let (point, edge) = (flat(at), flat(to));
    let length = edge[0] * edge[0] + edge[1] * edge[1];
    let along = if length > 0.0 { ((point[0] * edge[0] + point[1] * edge[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
    let off = [point[0] - along * edge[0], point[1] - along * edge[1]];
    (off[0] * off[0] + off[1] * off[1]).sqrt() * DEGREE_M
}

/// Cosine of degrees from 0 to 90, at most 3 · 10⁻⁵ above the true one and never below: the same on every machine.
pub fn cosine(degrees: f64) -> f64 {
    let square = (degrees / 180.0 * std::f64::consts::PI) * (degrees / 180.0 * std::f64::consts::PI);
    1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0 * (1.0 - square / 56.0)))
}

/// The longest degree on WGS-84, that of latitude at the poles.
pub const DEGREE_M: f64 = 111_695.0;
