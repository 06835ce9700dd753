//! Shares: answers beside an exact oracle, and the time for a large graph.

use garant_attest::owner::{
    graph::Testimony,
    holdings::{Exclusion, Holdings, Interest, InterestKind, List, Way},
    party::{Party, PartyKind},
    rules::{self, Facts},
    share::Share,
};
use garant_tests::{
    agent_bench::Figure,
    share_contest::{Found, compare, rule_set, signed},
    share_oracle::Random,
};
use std::time::Instant;

/// `owner.contradictions` and `owner.time`.
pub fn owner() -> Vec<Figure> {
    let found = (1..=THREADS).map(|seed| std::thread::spawn(move || compare(seed, GRAPHS / THREADS as u32)));
    let found: Vec<_> = found.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
    let sum = |of: fn(&Found) -> u32| f64::from(found.iter().map(of).sum::<u32>());
    let mut figures = vec![
        figure("owner.contradictions", sum(|found| found.contradictions), "count", 1.0),
        figure("owner.decided", sum(|found| found.decided), "count", sum(|found| found.decidable)),
    ];
    figures.push(figure("owner.time", time(Shape::Pyramid), "ms", 100.0));
    figures.push(figure("owner.time.cycles", time(Shape::Cycles), "ms", 100.0));
    figures
}

fn figure(name: &'static str, value: f64, unit: &'static str, reference: f64) -> Figure {
    Figure { name, value, unit, reference }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Each company is held by later ones.
    Pyramid,
    /// Anybody holds anybody: one large component.
    Cycles,
}

/// 10,000 companies and 50,000 holdings, one in 200 outside; the median of evaluating them, decoded and opened before.
fn time(shape: Shape) -> f64 {
    let set = rule_set();
    let statements: Vec<_> = (0..COMPANIES).step_by(CHUNK).map(|from| signed(&chunk(shape, from))).collect();
    let testimony: Vec<_> = statements.iter().map(|holdings| Testimony { holdings, who: "register" }).collect();
    let mut times: Vec<f64> = (0..11)
        .map(|_| {
            let start = Instant::now();
            rules::evaluate(&set, &testimony, "c0", &Facts::default(), 150).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn chunk(shape: Shape, from: usize) -> Holdings {
    let mut random = Random(1 + from as u64);
    let own = from..(from + CHUNK).min(COMPANIES);
    let mut interests: Vec<Interest> = Vec::new();
    for subject in own.clone() {
        let mut holders: Vec<usize> = Vec::new();
        let next = subject + 1..(subject + 400).min(COMPANIES);
        while holders.len() < 5 && (shape == Shape::Cycles || next.len() > holders.len()) {
            let holder = match shape {
                Shape::Pyramid => next.start + random.below(next.len() as u32) as usize,
                Shape::Cycles => random.below(COMPANIES as u32) as usize,
            };
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        let kind = if subject % 2 == 0 { InterestKind::Shareholding } else { InterestKind::VotingRights };
        interests.extend(holders.into_iter().map(|holder| interest(subject, holder, kind)));
    }
    let exclusions = own.clone().flat_map(|at| {
        [InterestKind::Shareholding, InterestKind::VotingRights]
            .map(|kind| Exclusion { subject: format!("c{at}"), kind })
    });
    Holdings {
        expires: 200,
        issued: 100,
        as_of: 100,
        parties: List::new(own.clone().map(company).collect()).unwrap(),
        interests: List::new(interests).unwrap(),
        exclusions: List::new(exclusions.collect()).unwrap(),
        parents: List::new(Vec::new()).unwrap(),
        opinions: List::new(Vec::new()).unwrap(),
    }
}

fn interest(subject: usize, holder: usize, kind: InterestKind) -> Interest {
    let share = |percent: u64| Share::from_billionths(percent * 10_000_000);
    Interest {
        subject: format!("c{subject}"),
        holder: format!("c{holder}"),
        kind,
        way: Way::Direct,
        exact: None,
        minimum: share(15),
        maximum: share(25),
        exclusive_minimum: None,
        exclusive_maximum: None,
        start: None,
        end: None,
    }
}

fn company(at: usize) -> Party {
    let place = Some(if at % 200 == 199 { "US" } else { "FR" }.parse().unwrap());
    Party {
        id: format!("c{at}"),
        name: format!("Company {at}"),
        kind: PartyKind::RegisteredEntity,
        seat: place.clone(),
        central_administration: place.clone(),
        principal_establishment: place,
        nationalities: None,
        residence: None,
        classification: None,
        declaration_threshold: None,
    }
}

const COMPANIES: usize = 10_000;
/// Companies of one statement.
const CHUNK: usize = 100;
const GRAPHS: u32 = 1_000_000;
const THREADS: u64 = 2;
