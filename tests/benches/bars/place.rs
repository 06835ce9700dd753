//! `place.false_yes`, `place.proven`, `place.no`, `place.time`: where a machine is said to be, against where it is.

use garant_attest::{
    place::{
        geometry::{Ball, Direction},
        region::{Disc, Region, Trust},
        territory::{Polygon, Position, Standing, edges},
    },
    verdict::Answer,
};
use garant_tests::{
    agent_bench::Figure,
    place_world::{METROS, Random, Town, World, moved, place, point, straight_km, towns, usual_round_trip_ns},
};
use std::{
    hint::black_box,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

/// Yes for machines on land outside the EU: of a million anywhere, and of a hundred thousand at borders and in traps.
pub fn false_yes() -> Vec<Figure> {
    let world = World::new();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let each = (RANDOM + ADVERSARIAL).div_ceil(threads);
    let found: usize = thread::scope(|scope| {
        let run = |seed: usize| {
            let world = &world;
            scope.spawn(move || {
                world.false_yes(&mut Random(seed as u64), each, |index| index % (RANDOM / ADVERSARIAL + 1) == 0)
            })
        };
        let running: Vec<_> = (0..threads).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let cases = (each * threads) as f64;
    vec![Figure { name: "place.false_yes", value: found as f64, unit: "count", reference: cases }]
}

/// Share of the towns in the EU that are proven, beside what a fine grid finds to be provable; likewise of those outside.
pub fn shares() -> Vec<Figure> {
    let world = World::new();
    let (inside, outside) = towns();
    let share = |towns: &[Town], near_km: &[f64], answer: Answer| {
        let regions: Vec<Region> = towns.iter().map(|town| region(town.at, near_km)).collect();
        let ours = regions.iter().filter(|region| world.ask(region).answer == answer).count();
        let best = regions.iter().filter(|region| is_provable(&world, region, answer)).count();
        (100.0 * ours as f64 / towns.len() as f64, 100.0 * best as f64 / towns.len() as f64)
    };
    let (proven, provable) = share(&inside, &[], Answer::Yes);
    let (no, no_possible) = share(&outside, &[10.0, 15.0], Answer::No);
    vec![
        Figure { name: "place.proven", value: proven, unit: "percent", reference: provable },
        Figure { name: "place.no", value: no, unit: "percent", reference: no_possible },
    ]
}

/// From 44 round trips to the answer.
pub fn time() -> Vec<Figure> {
    let world = World::new();
    let mut times: Vec<Duration> = towns().0.iter().map(|town| median_time(&world, town)).collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    vec![
        Figure { name: "place.time", value: ms(times[times.len() / 2]), unit: "ms", reference: 1.0 },
        Figure { name: "place.time.max", value: ms(times[times.len() - 1]), unit: "ms", reference: 5.0 },
    ]
}

fn median_time(world: &World, town: &Town) -> Duration {
    let discs = discs(town.at, &[]);
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let discs = discs.clone();
            let start = Instant::now();
            let region = Region::new(&OPERATORS, discs, &one_liar()).unwrap();
            black_box(world.ask(&region));
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

/// What two operators' landmarks in all metros measure, and at these distances from the machine.
fn region(machine: Position, near_km: &[f64]) -> Region {
    Region::new(&OPERATORS, discs(machine, near_km), &one_liar()).unwrap()
}

fn discs(machine: Position, near_km: &[f64]) -> Vec<Disc> {
    let metros = METROS.iter().map(|(lat, lon)| place(*lat, *lon));
    // The second operator's landmark stands across the town.
    let pairs = metros.map(|at| [at, moved(at, 8.0, 1.0)]).chain(near_km.iter().map(|km| {
        let at = moved(machine, *km, *km);
        [at, moved(at, 8.0, 1.0)]
    }));
    let answer = |(operator, landmark): (&&str, Position)| {
        let km = straight_km(point(landmark, 0.0), point(machine, 0.0));
        Disc::of_round_trip(operator, landmark, 100, usual_round_trip_ns(km, DETOUR, PROCESSING_MS))
    };
    pairs.flat_map(|pair| OPERATORS.iter().zip(pair)).map(answer).collect()
}

fn one_liar() -> Trust {
    Trust::AllBut(NonZeroUsize::MIN)
}

/// Whether no point of a fine grid is in the region and within 5 km of land that forbids the answer. What lies between the
/// points may forbid it too, so this is never less than the best possible.
fn is_provable(world: &World, region: &Region, answer: Answer) -> bool {
    // With two operators and one liar the region is all that one of them leaves.
    OPERATORS.iter().all(|operator| {
        let own: Vec<&Disc> = region.discs().iter().filter(|disc| disc.operator == *operator).collect();
        let least = own.iter().min_by(|a, b| a.radius_km.total_cmp(&b.radius_km)).unwrap();
        // The same error model: discs with their margins. Land, its 5 km and the search are done anew.
        let balls: Vec<Ball> = own.iter().map(|disc| disc.ball()).collect();
        let grid = Grid::around(least);
        let is_left = |at| balls.iter().all(|ball| ball.holds(Direction::of(at)));
        !grid.points(world, answer).into_iter().any(is_left)
    })
}

/// Points around a disc, 0.5 km apart or 1/500 of its radius.
struct Grid {
    south: f64,
    west: f64,
    /// Degrees of latitude and of longitude.
    steps: (f64, f64),
    rows: usize,
    step_km: f64,
}

impl Grid {
    fn around(disc: &Disc) -> Grid {
        let (lat, lon) = (f64::from(disc.center.lat_e6) / 1e6, f64::from(disc.center.lon_e6) / 1e6);
        let reach_km = disc.radius_km + 6.0;
        let step_km = (reach_km / 500.0).max(0.5);
        let widest = (lat.abs() + reach_km / 110.0).min(88.0).to_radians().cos();
        let steps = (step_km / 111.2, step_km / 111.2 / widest.max(0.05));
        let rows = (2.0 * reach_km / step_km).ceil() as usize;
        let half = rows as f64 / 2.0;
        Grid { south: lat - half * steps.0, west: lon - half * steps.1, steps, rows, step_km }
    }

    /// Those on, or within 5 km of, land that forbids the answer.
    fn points(&self, world: &World, answer: Answer) -> Vec<Position> {
        let eu = world.eu();
        let is_allowed = |standing| match answer {
            Answer::Yes => standing == Standing::Inside,
            _ => standing == Standing::Outside,
        };
        let mut marked = vec![false; self.rows * self.rows];
        for land in world.territory.lands().iter().filter(|land| !is_allowed(eu.standing(&land.code))) {
            for polygon in &land.polygons {
                self.fill(&mut marked, polygon);
                let all = polygon.rings.iter().flat_map(|ring| edges(ring));
                all.for_each(|(from, to)| self.widen(&mut marked, from, to));
            }
        }
        let at = |index: usize| {
            let (row, column) = (index / self.rows, index % self.rows);
            place(self.south + row as f64 * self.steps.0, self.west + column as f64 * self.steps.1)
        };
        marked.iter().enumerate().filter(|(_, is_marked)| **is_marked).map(|(index, _)| at(index)).collect()
    }

    /// Marks what lies in a polygon, line by line.
    fn fill(&self, marked: &mut [bool], polygon: &Polygon) {
        let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); self.rows];
        for (from, to) in polygon.rings.iter().flat_map(|ring| edges(ring)) {
            let ((a, b), (c, d)) = (self.cell(from), self.cell(to));
            let (low, high) = (a.min(c).ceil().max(0.0), a.max(c).ceil().min(self.rows as f64));
            let mut row = low;
            while row < high {
                crossings[row as usize].push(b + (d - b) * (row - a) / (c - a));
                row += 1.0;
            }
        }
        for (row, mut columns) in crossings.into_iter().enumerate() {
            columns.sort_by(f64::total_cmp);
            for pair in columns.chunks_exact(2) {
                let (first, end) = (pair[0].ceil().max(0.0) as usize, pair[1].ceil().max(0.0) as usize);
                for column in first..end.min(self.rows) {
                    marked[row * self.rows + column] = true;
                }
            }
        }
    }

    /// Marks what lies within 5 km of an edge.
    fn widen(&self, marked: &mut [bool], from: Position, to: Position) {
        let ((a, b), (c, d)) = (self.cell(from), self.cell(to));
        let reach = 5.0 / self.step_km;
        let (margin, end) = (2.0 * reach, self.rows as f64);
        if a.max(c) < -margin || a.min(c) > end + margin || b.max(d) < -margin || b.min(d) > end + margin {
            return;
        }
        let samples = ((a - c).hypot(b - d) * 2.0).ceil().max(1.0);
        for index in 0..samples as usize {
            let share = index as f64 / samples;
            self.stamp(marked, a + (c - a) * share, b + (d - b) * share, reach);
        }
    }

    fn stamp(&self, marked: &mut [bool], row: f64, column: f64, reach: f64) {
        let narrow =
            (self.south + row * self.steps.0).clamp(-89.0, 89.0).to_radians().cos() * self.steps.1 / self.steps.0;
        for north in -reach.ceil() as i64..=reach.ceil() as i64 {
            let near = row.round() + north as f64;
            let wide = (reach * reach - (near - row).powi(2)).max(0.0).sqrt() / narrow;
            if near < 0.0 || near >= self.rows as f64 || (near - row).abs() > reach {
                continue;
            }
            let (first, last) = ((column - wide).ceil().max(0.0), (column + wide).floor().min(self.rows as f64 - 1.0));
            let mut east = first;
            while east <= last {
                marked[near as usize * self.rows + east as usize] = true;
                east += 1.0;
            }
        }
    }

    fn cell(&self, at: Position) -> (f64, f64) {
        let (lat, lon) = (f64::from(at.lat_e6) / 1e6, f64::from(at.lon_e6) / 1e6);
        ((lat - self.south) / self.steps.0, (lon - self.west) / self.steps.1)
    }
}

const OPERATORS: [&str; 2] = ["first", "second"];
const DETOUR: f64 = 1.5;
const PROCESSING_MS: f64 = 0.2;
const RANDOM: usize = 1_000_000;
const ADVERSARIAL: usize = 100_000;
