//! What judging costs, on one core: 10,000 signals of 1,000 services that are all fed an interval and judged
//! again, with every word that is drawn meanwhile (goal 10 ms); what each part of it costs; and one update
//! after a million intervals beside one after a thousand (goal: the same).
//!
//! `cargo bench --bench judge`
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench is a test")]

use cutover::{
    judge::{Ledger, Look},
    model::{
        gate::{Arm, GateState},
        ident::{GateId, RunId},
        interval::{Count, Interval, Sensor, SensorState},
        spec::GateSpec,
        time::{Time, after},
    },
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const SERVICES: usize = 1_000;
const GATES: usize = 10;
const ROUNDS: usize = 60;

fn at(secs: u64) -> Time {
    after(Time::UNIX_EPOCH, Duration::from_secs(secs))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The k-th interval of the i-th signal: some errors here and there, one of 50 candidates ten times as bad.
fn interval(k: usize, i: usize) -> Interval {
    let hits = |m: usize| f64::from(u8::from((k * 7 + i * 13).is_multiple_of(m)));
    let (start, end) = (at(k as u64 * 10), at(k as u64 * 10 + 10));
    Interval::new(start, end, Count::new(hits(if i.is_multiple_of(50) { 2 } else { 20 }), 50.0), Count::new(hits(3), 450.0))
}

fn look(_: &GateSpec) -> Look {
    let requests = Sensor { name: "requests".into(), arm: Arm::Both, state: SensorState::Fresh, age: None, required: true };
    Look { sensors: vec![requests], queries: Vec::new(), alerts: Vec::new() }
}

/// What a round took.
#[derive(Clone, Copy, Default)]
struct Took {
    feeding: Duration,
    judging: Duration,
}

/// How long each round took, on the median: `part` of the signals are fed, one of so many, and every service is
/// judged, one after the other as a host does it; the first with all its evidence, as one that is open, the
/// others as lines of a list.
fn rounds(gates: &[GateSpec], part: Option<usize>) -> (Took, Vec<Ledger>) {
    let mut services: Vec<Ledger> = (0..SERVICES).map(|_| Ledger::default()).collect();
    services.iter_mut().for_each(|s| s.follow(Some(&RunId::new("1")), Some(at(0)), gates));
    let mut took = Vec::new();
    // Before the first rounds nothing is known: they are not those that a console is in for hours.
    for k in 0..ROUNDS * 2 {
        let due = |i: usize| part.map_or(k < ROUNDS, |part| k < ROUNDS || i % part == k % part);
        let intervals: Vec<Vec<Option<Interval>>> =
            (0..SERVICES).map(|s| (0..GATES).map(|g| due(s * GATES + g).then(|| interval(k, s * GATES + g))).collect()).collect();
        let mut round = Took::default();
        let now = at(k as u64 * 10 + 10);
        for (n, (ledger, intervals)) in services.iter_mut().zip(&intervals).enumerate() {
            let start = Instant::now();
            for (gate, interval) in gates.iter().zip(intervals) {
                interval.iter().for_each(|interval| _ = ledger.feed(gate, interval));
            }
            let fed = Instant::now();
            black_box(if n == 0 { ledger.judge(look, now) } else { ledger.decide(look, now) });
            round.feeding += fed - start;
            round.judging += fed.elapsed();
        }
        took.extend((k >= ROUNDS).then_some(round));
    }
    let of = |what: fn(&Took) -> Duration| median(took.iter().map(what).collect());
    (Took { feeding: of(|t| t.feeding), judging: of(|t| t.judging) }, services)
}

fn main() {
    let gate: GateSpec = toml::from_str("name = \"errors\"\nsignal = \"errors\"\non_fail = \"revert\"\nslo = 99.9").unwrap();
    let gates: Vec<GateSpec> = (0..GATES).map(|i| GateSpec { name: GateId::new(format!("g{i}")), ..gate.clone() }).collect();
    let signals = SERVICES * GATES;
    let mut warm = None;
    for (what, part) in [("all", Some(1)), ("a tenth", Some(10)), ("none", None)] {
        let (Took { feeding, judging }, services) = rounds(&gates, part);
        println!(
            "{signals} signals of {SERVICES} services judged, {what} of them fed: {:?} (goal 10 ms): feeding {feeding:?}, judging {judging:?}",
            feeding + judging
        );
        warm.get_or_insert(services);
    }
    let mut services = warm.unwrap();
    let start = Instant::now();
    let copies: Vec<Vec<GateState>> = services.iter().map(|ledger| ledger.said().to_vec()).collect();
    println!("what they say, copied: {:?}", start.elapsed());
    drop(copies);
    let words = |said: &[GateState]| said.iter().map(|s| s.verdict.word()).collect::<Vec<_>>().len();
    let start = Instant::now();
    let said: usize = services.iter_mut().map(|ledger| words(ledger.judge(look, at(9_999)))).sum();
    println!("all evidence of {said} signals in words, as if every service were open: {:?}", start.elapsed());

    let gates = [gate.clone()];
    let mut ledger = Ledger::default();
    ledger.follow(Some(&RunId::new("1")), Some(at(0)), &gates);
    println!("one update of a signal that is fed every 10 s (goal: the same however long the rollout has run)");
    let after = [("1 min", 6), ("1 h", 360), ("24 h", 8_640), ("12 days", 100_000)];
    for k in 0..=100_000_usize {
        let fed = interval(k, 1);
        ledger.feed(&gate, &fed);
        let Some((age, _)) = after.iter().find(|(_, at)| *at == k) else { continue };
        let (mut copy, mut now) = (ledger.clone(), k);
        let mut timed = |in_words: bool| {
            let times = (0..2_000).map(|_| {
                now += 1;
                let next = interval(now, 1);
                let start = Instant::now();
                copy.feed(&gate, &next);
                black_box(if in_words { copy.judge(look, next.end) } else { copy.decide(look, next.end) });
                start.elapsed()
            });
            median(times.collect())
        };
        let (update, told) = (timed(false), timed(true));
        let bytes = serde_json::to_vec(&ledger).unwrap().len();
        println!("  after {age:7} of it: {update:?}, with all its evidence in words {told:?}, {bytes} bytes kept");
    }
}
