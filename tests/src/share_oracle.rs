//! An independent oracle for shares: small random graphs, all vertices of what their statements allow, exact fractions.
//!
//! The quantity, in one world (each direct share a number; the rest of each company either with insiders, or with the one
//! holder in question): for a holder P, the larger of the *product*, which is the probability that a walk from the subject
//! upwards, choosing each holder by its share, ever meets P (least solution, so cycles count as often as they are walked),
//! and of the *control chain*, the subject's direct shares of P and of what P controls, where a company is controlled if
//! P and what it controls already have more than half. For all together the walk meets any third party, and what each
//! controls alone (for no) or what they control jointly (for yes) is theirs. All grow with each share, with the rest and
//! with each unknown party, so a yes must hold where all that is open is outside, and a no where it is inside, at each
//! vertex of {lo ≤ x ≤ hi, Σ ≤ 100 %}.

use crate::share_contest::signed;
use garant_attest::{
    owner::{
        graph::Testimony,
        holdings::{Exclusion, Holdings, Interest, InterestKind, List, Way},
        party::{Country, Party, PartyKind},
        rule_set::RuleSet,
        rules::{self, Facts},
        share::Share,
    },
    statement::Signed,
    verdict::Answer,
};

/// What a party of the random graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A company inside.
    Inside,
    /// A company outside.
    Outside,
    /// A company of which nothing is stated but that it is one.
    Unstated,
    /// A person inside.
    Citizen,
    /// A person outside.
    Foreigner,
    /// A nominee.
    Nominee,
}

/// One stated holding, in percent.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub holder: usize,
    pub subject: usize,
    pub is_votes: bool,
    pub lo: u32,
    pub hi: u32,
}

/// Party 0 is the subject.
#[derive(Debug, Clone)]
pub struct World {
    pub kinds: Vec<Kind>,
    pub edges: Vec<Edge>,
    /// (subject, votes): nobody else holds any.
    pub complete: Vec<(usize, bool)>,
}

/// xorshift64*: seeds are printed, so that a finding can be run again.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % u64::from(limit)) as u32
    }
}

/// A random graph of at most 6 parties and 5 intervals; shares cluster where rules decide.
pub fn random(random: &mut Random) -> World {
    use Kind::*;
    let count = 2 + random.below(5) as usize;
    let mut kinds = vec![Inside];
    kinds.extend(
        (1..count).map(|_| {
            [Inside, Inside, Outside, Unstated, Citizen, Citizen, Foreigner, Nominee][random.below(8) as usize]
        }),
    );
    let mut edges: Vec<Edge> = Vec::new();
    let is_votes_only = random.below(2) == 0;
    for _ in 0..1 + random.below(5) {
        let subject = if random.below(2) == 0 { 0 } else { random.below(count as u32) as usize };
        let holder = random.below(count as u32) as usize;
        let is_votes = !is_votes_only || random.below(4) == 0;
        let is_there = |e: &Edge| (e.holder, e.subject, e.is_votes) == (holder, subject, is_votes);
        if matches!(kinds[subject], Citizen | Foreigner | Nominee) || edges.iter().any(is_there) {
            continue;
        }
        let percent = |random: &mut Random| match random.below(3) {
            0 => [0, 10, 24, 25, 39, 40, 50, 51, 60, 76, 100][random.below(11) as usize],
            _ => random.below(101),
        };
        let (a, b) = (percent(random), percent(random));
        let b = if random.below(2) == 0 { a } else { b };
        edges.push(Edge { holder, subject, is_votes, lo: a.min(b), hi: a.max(b) });
    }
    // Most registers are whole: without it nearly all would be unknown.
    let complete = (0..count).flat_map(|at| [(at, false), (at, true)]).filter(|_| random.below(4) > 0).collect();
    World { kinds, edges, complete }
}

impl World {
    fn is_company(&self, at: usize) -> bool {
        matches!(self.kinds[at], Kind::Inside | Kind::Outside | Kind::Unstated)
    }

    fn is_complete(&self, at: usize, is_votes: bool) -> bool {
        self.complete.contains(&(at, is_votes))
    }

    /// For one measure, every vertex: a share for each edge of it.
    fn vertices(&self, is_votes: bool) -> Vec<Vec<[u32; 3]>> {
        let mut worlds: Vec<Vec<[u32; 3]>> = vec![Vec::new()];
        for subject in 0..self.kinds.len() {
            let own: Vec<&Edge> =
                self.edges.iter().filter(|e| e.subject == subject && e.is_votes == is_votes).collect();
            let options = polytope(&own, self.is_complete(subject, is_votes));
            let joined = |world: &Vec<[u32; 3]>, shares: &Vec<u32>| {
                let more = own.iter().zip(shares).map(|(e, share)| [e.subject as u32, e.holder as u32, *share]);
                world.iter().copied().chain(more).collect()
            };
            worlds = worlds.iter().flat_map(|world| options.iter().map(move |shares| joined(world, shares))).collect();
        }
        worlds
    }

    /// Without what contradicts itself: such a register counts as not stated.
    fn consistent(&self) -> World {
        let mut world = self.clone();
        for (subject, is_votes) in (0..self.kinds.len()).flat_map(|at| [(at, false), (at, true)]) {
            let own: Vec<&Edge> =
                self.edges.iter().filter(|e| (e.subject, e.is_votes) == (subject, is_votes)).collect();
            if polytope(&own, self.is_complete(subject, is_votes)).is_empty() {
                world.edges.retain(|e| (e.subject, e.is_votes) != (subject, is_votes));
                world.complete.retain(|register| *register != (subject, is_votes));
            }
        }
        world
    }

    /// Whether some world keeps, and whether some world breaks, "one at most 24 %, all at most 39 %".
    pub fn truth(&self) -> (bool, bool) {
        self.consistent().truth_of_all()
    }

    fn truth_of_all(&self) -> (bool, bool) {
        let (mut may_keep, mut may_break) = (true, false);
        for is_votes in [false, true] {
            let vertices = self.vertices(is_votes);
            let breaks = |is_open_outside: bool| {
                move |shares: &Vec<[u32; 3]>| Fixed { world: self, shares, is_votes, is_open_outside }.breaks()
            };
            may_break |= vertices.iter().any(breaks(true));
            may_keep &= vertices.iter().any(|shares| !breaks(false)(shares));
        }
        (may_keep, may_break)
    }

    /// What the project says.
    pub fn answer(&self, set: &RuleSet) -> Answer {
        let holdings = self.statement();
        let testimony = [Testimony { holdings: &holdings, who: "register" }];
        rules::evaluate(set, &testimony, "p0", &Facts::default(), 150).unwrap().answer
    }

    /// Its one statement.
    pub fn statement(&self) -> Signed<Holdings> {
        let id = |at: usize| format!("p{at}");
        let parties = (0..self.kinds.len()).map(|at| self.party(at)).collect();
        let interests = self.edges.iter().map(|e| Interest {
            subject: id(e.subject),
            holder: id(e.holder),
            kind: if e.is_votes { InterestKind::VotingRights } else { InterestKind::Shareholding },
            way: Way::Direct,
            exact: None,
            minimum: Share::from_billionths(u64::from(e.lo) * 10_000_000),
            maximum: Share::from_billionths(u64::from(e.hi) * 10_000_000),
            exclusive_minimum: None,
            exclusive_maximum: None,
            start: None,
            end: None,
        });
        let exclusions = self.complete.iter().map(|(at, is_votes)| Exclusion {
            subject: id(*at),
            kind: if *is_votes { InterestKind::VotingRights } else { InterestKind::Shareholding },
        });
        signed(&Holdings {
            expires: 200,
            issued: 100,
            as_of: 100,
            parties: List::new(parties).unwrap(),
            interests: List::new(interests.collect()).unwrap(),
            exclusions: List::new(exclusions.collect()).unwrap(),
            parents: List::new(Vec::new()).unwrap(),
            opinions: List::new(Vec::new()).unwrap(),
        })
    }

    fn party(&self, at: usize) -> Party {
        let kind = match self.kinds[at] {
            Kind::Inside | Kind::Outside | Kind::Unstated => PartyKind::RegisteredEntity,
            Kind::Citizen | Kind::Foreigner => PartyKind::Person,
            Kind::Nominee => PartyKind::Nominee,
        };
        let country: Option<Country> = match self.kinds[at] {
            Kind::Inside | Kind::Citizen => Some("FR".parse().unwrap()),
            Kind::Outside | Kind::Foreigner => Some("US".parse().unwrap()),
            Kind::Unstated | Kind::Nominee => None,
        };
        let of = |wanted: PartyKind| country.clone().filter(|_| kind == wanted);
        Party {
            id: format!("p{at}"),
            name: format!("Party {at}"),
            kind,
            seat: of(PartyKind::RegisteredEntity),
            central_administration: of(PartyKind::RegisteredEntity),
            principal_establishment: of(PartyKind::RegisteredEntity),
            nationalities: of(PartyKind::Person).map(|country| core::iter::once(country).collect()),
            residence: of(PartyKind::Person),
            classification: None,
            declaration_threshold: None,
        }
    }
}

/// The vertices of {lo ≤ x ≤ hi, Σ ≤ 100} or {…, Σ = 100}: all coordinates at a bound but at most one, which fills up.
fn polytope(edges: &[&Edge], is_whole: bool) -> Vec<Vec<u32>> {
    let mut found: Vec<Vec<u32>> = Vec::new();
    for mask in 0..1u32 << edges.len() {
        let corner: Vec<u32> =
            edges.iter().enumerate().map(|(at, e)| if mask & (1 << at) == 0 { e.lo } else { e.hi }).collect();
        let sum: u32 = corner.iter().sum();
        if sum == 100 || (sum < 100 && !is_whole) {
            found.push(corner.clone());
        }
        for (at, e) in edges.iter().enumerate() {
            let fill = 100i64 - i64::from(sum - corner[at]);
            if (i64::from(e.lo)..=i64::from(e.hi)).contains(&fill) {
                let mut filled = corner.clone();
                filled[at] = fill as u32;
                found.push(filled);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// One world of one measure.
struct Fixed<'w> {
    world: &'w World,
    /// Subject, holder, percent.
    shares: &'w [[u32; 3]],
    is_votes: bool,
    /// Whether all that is open is outside, and the holder's in question.
    is_open_outside: bool,
}

impl Fixed<'_> {
    fn breaks(&self) -> bool {
        let count = self.world.kinds.len();
        let thirds: Vec<usize> = (1..count).filter(|at| self.is_third(*at)).collect();
        let single = thirds.iter().map(|at| vec![*at]).chain(self.is_open_outside.then(Vec::new));
        let mut led = vec![false; count];
        for who in single {
            let controlled = self.controlled(&who);
            if self.product_exceeds(&who, 24) || self.direct(&controlled) > 24 {
                return true;
            }
            led.iter_mut().zip(&controlled).for_each(|(led, more)| *led |= more);
        }
        let together = if self.is_open_outside { self.controlled(&thirds) } else { led };
        self.product_exceeds(&thirds, 39) || self.direct(&together) > 39
    }

    fn is_third(&self, at: usize) -> bool {
        match self.world.kinds[at] {
            Kind::Outside | Kind::Foreigner => true,
            Kind::Unstated | Kind::Nominee => self.is_open_outside,
            Kind::Inside | Kind::Citizen => false,
        }
    }

    /// Percent of `at` that nobody is stated to hold, if that is the holder's in question.
    fn open(&self, at: usize) -> u32 {
        let is_open = self.is_open_outside && self.world.is_company(at) && !self.world.is_complete(at, self.is_votes);
        let stated: u32 =
            self.shares.iter().filter(|[subject, ..]| *subject as usize == at).map(|[.., share]| share).sum();
        // Where no holding is stated and none is excluded all is open; a register that is whole and empty holds nothing.
        if is_open { 100 - stated } else { 0 }
    }

    fn is_member(&self, who: &[usize], at: usize) -> bool {
        who.contains(&at) || (self.is_open_outside && self.world.kinds[at] == Kind::Nominee)
    }

    fn group(&self, members: &[bool], at: usize) -> u32 {
        let own =
            self.shares.iter().filter(|[subject, holder, _]| *subject as usize == at && members[*holder as usize]);
        own.map(|[.., share]| share).sum::<u32>() + self.open(at)
    }

    fn controlled(&self, who: &[usize]) -> Vec<bool> {
        let mut members: Vec<bool> = (0..self.world.kinds.len()).map(|at| self.is_member(who, at)).collect();
        loop {
            let more = (0..members.len()).find(|at| !members[*at] && self.group(&members, *at) > 50);
            match more {
                Some(at) => members[at] = true,
                None => return members,
            }
        }
    }

    fn direct(&self, members: &[bool]) -> u32 {
        self.group(members, 0)
    }

    /// Whether the walk from the subject meets `who` with more than `limit` percent.
    fn product_exceeds(&self, who: &[usize], limit: i128) -> bool {
        let count = self.world.kinds.len();
        let is_end = |at: usize| at != 0 && self.is_member(who, at);
        // b: percent that meet it in one step; only parties that can meet it at all are unknowns.
        let direct: Vec<i128> = (0..count)
            .map(|at| {
                let own = self.shares.iter().filter(|[s, h, _]| *s as usize == at && is_end(*h as usize));
                own.map(|[.., share]| i128::from(*share)).sum::<i128>() + i128::from(self.open(at))
            })
            .collect();
        let mut reaches: Vec<bool> = (0..count).map(|at| !is_end(at) && direct[at] > 0).collect();
        for _ in 0..count {
            for [subject, holder, share] in self.shares {
                if *share > 0 && reaches[*holder as usize] && !is_end(*subject as usize) {
                    reaches[*subject as usize] = true;
                }
            }
        }
        let unknowns: Vec<usize> = (0..count).filter(|at| reaches[*at]).collect();
        if !reaches[0] {
            return false;
        }
        let place = |at: usize| unknowns.iter().position(|unknown| *unknown == at);
        let mut matrix = vec![vec![0i128; unknowns.len()]; unknowns.len()];
        for (row, at) in unknowns.iter().enumerate() {
            matrix[row][row] += 100;
            for [subject, holder, share] in self.shares {
                if let Some(column) = place(*holder as usize).filter(|_| *subject as usize == *at) {
                    matrix[row][column] -= i128::from(*share);
                }
            }
        }
        let determinant = bareiss(matrix.clone());
        unknowns.iter().enumerate().for_each(|(row, at)| matrix[row][0] = direct[*at]);
        let numerator = bareiss(matrix);
        assert!(determinant > 0, "every unknown meets the holder");
        numerator * 100 > limit * determinant
    }
}

/// The determinant, exactly (fraction-free elimination).
fn bareiss(mut m: Vec<Vec<i128>>) -> i128 {
    let (mut sign, mut last) = (1, 1);
    for k in 0..m.len() {
        let Some(pivot) = (k..m.len()).find(|row| m[*row][k] != 0) else { return 0 };
        if pivot != k {
            m.swap(pivot, k);
            sign = -sign;
        }
        for row in k + 1..m.len() {
            for column in k + 1..m.len() {
                m[row][column] = (m[row][column] * m[k][k] - m[row][k] * m[k][column]) / last;
            }
        }
        last = m[k][k];
    }
    sign * last
}
