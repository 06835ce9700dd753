//! Makes the built-in map, `attest/data/territory.bin`, from Natural Earth 1:10m as TopoJSON and from
//! `territory.toml` and `islands.toml` beside it; `make territory` calls it. The same inputs give the same bytes on every machine: all
//! floating-point arithmetic here is `+ - * /`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

mod file;
mod lines;
mod plan;
mod rings;
mod topology;

use garant_attest::place::territory::{Land, Territory};
use lines::Nearness;
use plan::Plan;
use std::{collections::BTreeMap, fs};
use topology::Topology;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [atlas, plan, islands, out] = &arguments[..] else {
        eprintln!("usage: territory COUNTRIES.json PLAN.toml ISLANDS.toml OUT.bin");
        std::process::exit(2);
    };
    let text = |file: &String| fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let topology = Topology::parse(text(atlas).as_bytes());
    let plan = Plan::parse(&text(plan), &text(islands));
    let lands = plan.apply(lands(&topology, &plan));
    let bytes = file::encode(&plan.version, plan.simplify.errors_m(), &lands, &plan.sets(&lands));
    let territory = Territory::decode(&bytes).expect("what is written can be read");
    fs::write(out, &bytes).expect("the map can be written");
    let positions: usize = lands.iter().flat_map(|land| &land.polygons).flat_map(|one| &one.rings).map(Vec::len).sum();
    println!("{out}: {} bytes, {} lands, {positions} positions", bytes.len(), territory.lands().len());
}

/// All countries of the source under their codes, simplified.
fn lands(topology: &Topology, plan: &Plan) -> Vec<Land> {
    let members = plan.member_codes();
    let is_member = |name: &str| members.contains(plan.code(name));
    let near = Nearness::new(topology.arcs_of(is_member), plan.simplify.near_deg);
    let arcs: Vec<_> = topology.arcs.iter().map(|arc| lines::simplify(arc, &near, &plan.simplify)).collect();
    let mut lands = BTreeMap::<&str, Land>::new();
    for country in &topology.countries {
        let code = plan.code(&country.name);
        let land = lands.entry(code).or_insert_with(|| Land { code: code.to_owned(), polygons: vec![] });
        land.polygons.extend(country.polygons.iter().flat_map(|polygon| rings::assemble(polygon, &arcs, topology)));
    }
    lands.into_values().collect()
}
