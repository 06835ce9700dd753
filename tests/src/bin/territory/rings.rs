//! Joins arcs to rings, and cuts what crosses the antimeridian.

use crate::{
    lines::Units,
    topology::{Topology, place},
};
use garant_attest::place::territory::{Polygon, Position, UNIT_E6};

/// The polygons of one polygon of the source: more than one where it crosses the antimeridian.
pub fn assemble(polygon: &[Vec<i64>], arcs: &[Vec<Units>], topology: &Topology) -> Vec<Polygon> {
    let rings: Vec<Vec<Units>> = polygon.iter().map(|ring| closed(join(ring, arcs), ring, topology)).collect();
    [-TURN, 0, TURN]
        .into_iter()
        .filter_map(|shift| {
            let parts = rings.iter().map(|ring| clip(ring, shift));
            let rings: Vec<_> =
                parts.filter(|ring| ring.len() > 2).map(|ring| ring.into_iter().map(position).collect()).collect();
            (!rings.is_empty()).then_some(Polygon { rings })
        })
        .collect()
}

/// The ring without repetitions, its longitudes running on, and over the pole if it does not come back.
fn join(ring: &[i64], arcs: &[Vec<Units>]) -> Vec<Units> {
    let mut joined: Vec<Units> = Vec::new();
    for &index in ring {
        let arc = &arcs[place(index)];
        let mut points: Vec<Units> = arc.clone();
        if index < 0 {
            points.reverse();
        }
        for [lat, lon] in points {
            let turns = joined.last().map_or(0, |last| ((last[1] - lon) as f64 / TURN as f64).round() as i64);
            joined.push([lat, lon + turns * TURN]);
        }
    }
    joined.dedup();
    let (first, last) = (joined[0], joined[joined.len() - 1]);
    if first == last {
        joined.pop();
    } else {
        assert!(first[0] < -60_000 && last[1] != first[1], "only Antarctica lies around a pole");
        joined.extend([[-QUARTER, last[1]], [-QUARTER, first[1]]]);
    }
    joined
}

/// The ring, or for one that simplification made a line its bounding box, so that no island is lost.
fn closed(joined: Vec<Units>, ring: &[i64], topology: &Topology) -> Vec<Units> {
    if joined.len() > 2 {
        return joined;
    }
    let points = || ring.iter().flat_map(|&index| &topology.arcs[place(index)]);
    let side =
        |axis: usize, pick: fn(f64, f64) -> f64| points().map(|at| at[axis] * 1000.0).reduce(pick).expect("a ring");
    let (south, west) = (side(0, f64::min).floor() as i64, side(1, f64::min).floor() as i64);
    let (north, east) = (side(0, f64::max).ceil() as i64, side(1, f64::max).ceil() as i64);
    let (north, east) = (north.max(south + 1), east.max(west + 1));
    vec![[south, west], [south, east], [north, east], [north, west]]
}

/// What lies between -180 and 180 degrees of the ring moved by `shift`, after Sutherland and Hodgman.
fn clip(ring: &[Units], shift: i64) -> Vec<Units> {
    let moved: Vec<Units> = ring.iter().map(|&[lat, lon]| [lat, lon + shift]).collect();
    half(&half(&moved, 1), -1)
}

/// What lies below 180 degrees (sign 1), or above -180 (sign -1).
fn half(ring: &[Units], sign: i64) -> Vec<Units> {
    let beyond = |at: Units| at[1] * sign - TURN / 2;
    let mut kept = Vec::new();
    for (at, &to) in ring.iter().enumerate() {
        let from = ring[(at + ring.len() - 1) % ring.len()];
        let (out_from, out_to) = (beyond(from), beyond(to));
        if (out_from > 0) != (out_to > 0) && out_from != 0 && out_to != 0 {
            let lat = from[0] + (to[0] - from[0]) * out_from / (out_from - out_to);
            kept.push([lat, sign * TURN / 2]);
        }
        if out_to <= 0 {
            kept.push(to);
        }
    }
    // What only touches the cut is no area.
    if kept.iter().all(|&at| beyond(at) == 0) { vec![] } else { kept }
}

fn position([lat, lon]: Units) -> Position {
    let e6 = |units: i64| i32::try_from(units * UNIT_E6).expect("degrees");
    Position::new(e6(lat), e6(lon)).expect("a position on Earth")
}

const TURN: i64 = 360_000;
const QUARTER: i64 = 90_000;
