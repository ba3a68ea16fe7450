//! What judging costs: 10,000 signals re-judged, goal 10 ms on one core, fed and decided alone, and as a
//! host asks for them, with evidence and words; and one update after a million intervals beside one after
//! a thousand, goal the same.
//!
//! `cargo bench --bench judge`
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench is a test")]

use cutover::{
    judge::{GateRun, Ledger, Look, decide::lines, dispersion::Dispersion},
    model::{
        gate::Arm,
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

const SIGNALS: usize = 10_000;
const ROUNDS: usize = 60;

fn at(secs: u64) -> Time {
    after(Time::UNIX_EPOCH, Duration::from_secs(secs))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The k-th interval of the i-th signal: some errors here and there.
fn interval(k: usize, i: usize) -> Interval {
    let hits = |m: usize| f64::from(u8::try_from((k * 7 + i * 13) % m).unwrap() / u8::try_from(m - 1).unwrap());
    let (start, end) = (at(k as u64 * 10), at(k as u64 * 10 + 10));
    Interval::new(start, end, Count::new(hits(11), 50.0), Count::new(hits(5), 450.0))
}

/// What a host asks: all gates of a ledger, in words, with all that they rest on. A look is a second and
/// an interval ten, so that a tenth of the gates has something new at each look.
fn told(gate: &GateSpec) {
    let gates: Vec<GateSpec> = (0..SIGNALS).map(|i| GateSpec { name: GateId::new(format!("g{i}")), ..gate.clone() }).collect();
    let sensors = [Sensor { name: "requests".into(), arm: Arm::Both, state: SensorState::Fresh, age: None, required: true }];
    let look = |_: &GateSpec| Look { sensors: sensors.to_vec(), queries: Vec::new(), alerts: Vec::new() };
    let mut ledger = Ledger::default();
    ledger.follow(Some(&RunId::new("1")), Some(at(0)), &gates);
    let (mut said, mut looks) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for k in 0..ROUNDS {
        for (place, part) in [(0, 1), (1, 10), (2, SIGNALS + 1)] {
            for (i, gate) in gates.iter().enumerate().filter(|(i, _)| i % part == k % part && part <= SIGNALS) {
                ledger.feed(gate, &interval(k, i));
            }
            let start = Instant::now();
            let now = ledger.judge(&gates, look, &said, at(k as u64 * 10 + 10));
            looks[place].push(start.elapsed());
            said = black_box(now);
        }
    }
    for (what, times) in ["all", "a tenth", "none"].into_iter().zip(looks) {
        let goal = if what == "none" { " (goal 10 ms)" } else { "" };
        println!("{SIGNALS} gates told with words and evidence, {what} of them fed since: median {:?}{goal}", median(times));
    }
}

fn main() {
    let gate: GateSpec = toml::from_str("name = \"errors\"\nsignal = \"errors\"\non_fail = \"revert\"").unwrap();
    let sensors = [Sensor { name: "requests".into(), arm: Arm::Both, state: SensorState::Fresh, age: None, required: true }];
    let lines = lines(&gate, 1);
    let mut signals: Vec<(GateRun, Dispersion)> = (0..SIGNALS).map(|_| Default::default()).collect();
    let times = (0..ROUNDS)
        .map(|k| {
            let intervals: Vec<Interval> = (0..SIGNALS).map(|i| interval(k, i)).collect();
            let start = Instant::now();
            for ((run, errors), interval) in signals.iter_mut().zip(&intervals) {
                run.feed(&gate, interval, errors.phi());
                errors.add(10.0, interval.stable, &interval.instances);
                black_box(run.decide(&gate, &lines, &sensors));
            }
            start.elapsed()
        })
        .collect();
    println!("{SIGNALS} signals fed an interval and re-judged: median {:?} of {ROUNDS} rounds (goal 10 ms)", median(times));

    told(&gate);

    let look = |_: &GateSpec| Look { sensors: sensors.to_vec(), queries: Vec::new(), alerts: Vec::new() };
    let gates = [gate.clone()];
    let mut ledger = Ledger::default();
    ledger.follow(Some(&RunId::new("1")), Some(at(0)), &gates);
    let mut at_size = Vec::new();
    for k in 0..1_000_000_usize {
        let interval = interval(k, 0);
        ledger.feed(&gate, &interval);
        if k == 1_000 || k == 999_000 {
            let mut copy = ledger.clone();
            let times = (0..2_000)
                .map(|_| {
                    let start = Instant::now();
                    copy.feed(&gate, &interval);
                    black_box(copy.gate(&GateId::new("errors")).map(|run| run.decide(&gate, &lines, &sensors)));
                    start.elapsed()
                })
                .collect();
            // Something is fed each time, or it would be what was worked out before.
            let told = (0..200)
                .map(|_| {
                    copy.feed(&gate, &interval);
                    let start = Instant::now();
                    black_box(copy.judge(&gates, look, &[], interval.end));
                    start.elapsed()
                })
                .collect();
            at_size.push((k, median(times), median(told), serde_json::to_vec(&ledger).unwrap().len()));
        }
    }
    for (k, update, told, bytes) in at_size {
        println!("after {k} intervals: one update {update:?}, with all its evidence in words {told:?}, {bytes} bytes (goal: the same)");
    }
}
