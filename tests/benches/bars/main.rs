//! Every bar, measured beside its floor in one run, written to `target/bench.tsv`: name, figure, unit, reference, ratio.
//!
//! `make bench` runs all; arguments are prefixes of the names to run. Names and units are read by machine.

mod floor;
mod owner;
mod place;
mod timing;
mod verify;
mod vm;

use garant_tests::{
    agent_bench::{self, Figure},
    floors::Floors,
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Benches of one idea, with the prefixes of their names.
type Group = (&'static [&'static str], fn() -> Vec<Figure>);

const GROUPS: [Group; 12] = [
    (&["log."], verify::log),
    (&["verify."], verify::verify),
    (&["place.answer"], timing::answer),
    (&["place.false_yes"], place::false_yes),
    (&["place.proven", "place.no"], place::shares),
    (&["place.time"], place::time),
    (&["owner."], owner::owner),
    (&["vm.create_start.pool", "vm.create_start.cold", "vm.pause", "vm.resume", "vm.delete"], vm::lives),
    (&["vm.create_start.busy_tpm"], vm::busy_tpm),
    (&["vm.rate", "vm.list", "agent.rss.100vm"], vm::many),
    (&["ledger.slow_tpm"], vm::slow_ledger),
    (&["quote.", "agent.start", "agent.binary", "agent.crates", "agent.rss_idle"], || {
        Floors::find().map(|floors| agent_bench::figures(&floors)).unwrap_or_default()
    }),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |prefixes: &[&str]| {
        wanted.is_empty() || prefixes.iter().any(|prefix| wanted.iter().any(|name| name.starts_with(prefix)))
    };
    let mut table = String::from("name\tfigure\tunit\treference\tratio\n");
    for (_, measure) in GROUPS.into_iter().filter(|(prefixes, _)| is_wanted(prefixes)) {
        for Figure { name, value, unit, reference } in measure() {
            table.push_str(&format!("{name}\t{value:.3}\t{unit}\t{reference:.3}\t{:.3}\n", value / reference));
        }
    }
    print!("{table}");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/bench.tsv");
    fs::write(&target, table).unwrap();
}

/// Median time of one run of each, taken in turn so that both see the same machine.
pub fn side_by_side(mut ours: impl FnMut(), mut floor: impl FnMut()) -> (Duration, Duration) {
    let (mut our_times, mut floor_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(time(&mut ours));
        floor_times.push(time(&mut floor));
    }
    (median(our_times), median(floor_times))
}

fn time(run: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..RUNS {
        run();
    }
    start.elapsed() / RUNS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

const ROUNDS: usize = 21;
const RUNS: u32 = 100;
