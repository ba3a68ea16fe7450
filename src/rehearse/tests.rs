use super::{
    aa::{Setup, play},
    backtest::{Label, Played, report},
    plan::Leg,
    *,
};
use crate::metrics::{Answer, Labels, Point, Series, Value, feed::Pace, feed::history::Reader, template::Variables};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// Between two scrapes.
const EVERY: i64 = 15;

fn at(second: i64) -> Time {
    Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
}

fn queries(instances: &str) -> Queries {
    let written =
        format!("requests = 'req{{v=\"{{{{version}}}}\"}}'\ncode_label = \"code\"\ngrpc_label = \"\"\ninstance_label = \"{instances}\"");
    Queries::of("istio", &toml::from_str(&written).unwrap()).unwrap()
}

fn gate(on_fail: &str) -> GateSpec {
    toml::from_str(&format!("name = \"errors\"\nsignal = \"errors\"\ninterval = \"30s\"\non_fail = \"{on_fail}\"")).unwrap()
}

/// Instances that answer so many requests a second each, from one second to another.
struct Load {
    instances: usize,
    rate: f64,
    /// Share of requests that fail, by when.
    errors: fn(i64) -> f64,
    /// How many errors come together on average.
    burst: f64,
    /// By what the errors of the first instance are multiplied.
    sick: f64,
    times: (i64, i64),
}

impl Load {
    /// Errors in bursts of a geometric length, each on one instance.
    fn history(&self, seed: u64, instance_label: &str) -> History {
        let mut random = StdRng::seed_from_u64(seed);
        let mut series = Vec::new();
        for n in 0..self.instances {
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            let (mut all, mut failed) = (0.0, 0.0);
            for second in (self.times.0..=self.times.1).step_by(EVERY as usize) {
                let at = at(second + n as i64 % EVERY);
                let requests = self.rate * EVERY as f64;
                // So many bursts are expected; one more or less at random.
                let bursts = requests * (self.errors)(second) / self.burst * if n == 0 { self.sick } else { 1.0 };
                let mut errors = 0.0;
                for _ in 0..poisson(bursts, &mut random) {
                    errors += 1.0;
                    while random.random::<f64>() > 1.0 / self.burst {
                        errors += 1.0;
                    }
                }
                all += requests;
                failed += f64::min(errors, requests);
                good.push(Point { at, value: Value::Number(all - failed) });
                bad.push(Point { at, value: Value::Number(failed) });
            }
            for (code, points) in [("200", good), ("503", bad)] {
                let labels = [("job", "mesh"), ("instance", &*format!("i{n}")), ("pod", &*format!("p{n}")), ("code", code)];
                series.push(Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points });
            }
        }
        let values = Variables::from([("version".to_owned(), "v".to_owned())]);
        let pace = Pace { every: Duration::from_secs(EVERY as u64), delay: Duration::ZERO };
        let span = (at(self.times.0), at(self.times.1 + EVERY));
        let mut reader = Reader::new(&queries(instance_label), &[gate("revert")], pace, &values, false, span).unwrap();
        loop {
            let questions = reader.due();
            if questions.is_empty() {
                return reader.history();
            }
            for question in questions {
                let answer = answer(&series, &question.text, question.at);
                reader.take(&question, answer).unwrap();
            }
        }
    }
}

fn poisson(mean: f64, random: &mut StdRng) -> usize {
    let (mut n, mut left) = (0, random.random::<f64>());
    let floor = (-mean).exp();
    while left > floor {
        left *= random.random::<f64>();
        n += 1;
    }
    n
}

fn answer(series: &[Series], text: &str, at: Time) -> Answer {
    if text.starts_with("count(") {
        let one = Point { at, value: Value::Number(series.len() as f64) };
        return Answer { series: vec![Series { labels: Labels::default(), points: vec![one] }], ..Answer::default() };
    }
    let window: i64 = text.rsplit_once('[').unwrap().1.trim_end_matches("s]").parse().unwrap();
    let from = at - chrono::Duration::seconds(window);
    let inside = |s: &Series| s.points.iter().filter(|p| p.at >= from && p.at <= at).cloned().collect::<Vec<_>>();
    let some = series.iter().map(|s| Series { labels: s.labels.clone(), points: inside(s) }).filter(|s| !s.points.is_empty());
    Answer { series: some.collect(), ..Answer::default() }
}

const STALE: Duration = Duration::from_secs(45);

const LEGS: [Leg; 2] = [Leg { share: 0.25, lasts: Duration::from_secs(600) }, Leg { share: 0.5, lasts: Duration::from_secs(600) }];

fn setup(runs: usize, seed: u64) -> Setup<'static> {
    Setup { legs: &LEGS, runs, seed, window: (at(3_600), at(6 * 3_600)) }
}

fn healthy(burst: f64) -> Load {
    Load { instances: 8, rate: 10.0, errors: |_| 0.01, burst, sick: 1.0, times: (0, 6 * 3_600) }
}

/// Pasts that are independent, since runs of one past overlap.
#[test]
fn a_healthy_service_is_not_reverted() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::from_secs(3_600), stale_after: STALE };
    for burst in [1.0, 1.2, 2.0, 5.0, 10.0] {
        let (mut reverted, mut played) = (0, 0);
        for seed in 0..8 {
            let mut told = 0;
            let report = play(&stage, &setup(15, seed), &healthy(burst).history(1_000 + seed, "pod"), |n| told = n).unwrap();
            assert_eq!((report.runs, report.instances, report.side_by_side, told), (15, 8, 15, 15));
            assert_eq!(report.gates[0].fails.n, report.together.reverted.n);
            assert!(report.gates[0].passed.n > 0 && report.gates[0].seconds_to_pass.is_some(), "{report:?}");
            // A quarter of 8 instances for ten minutes and a half for ten more.
            assert!((report.gates[0].samples / 36_000.0 - 1.0).abs() < 0.05, "{report:?}");
            assert!(report.shares.iter().all(|s| !s.off && (s.asked - s.played).abs() < 1.0), "{report:?}");
            reverted += report.together.reverted.n;
            played += report.runs;
        }
        assert!(reverted * 100 <= played, "bursts of {burst}: {reverted} of {played}");
    }
}

#[test]
fn one_seed_plays_the_same_runs() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::ZERO, stale_after: STALE };
    let history = healthy(5.0).history(4, "pod");
    let once = |seed| play(&stage, &setup(5, seed), &history, |_| {}).unwrap();
    assert_eq!(once(7), once(7));
    assert_ne!(once(7).gates[0].samples, once(8).gates[0].samples);
}

/// The first instance fails much more often: stable is not one thing, and that is what is told.
#[test]
fn sick_instances_make_the_gates_cry_wolf() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::ZERO, stale_after: STALE };
    let sick = Load { sick: 20.0, instances: 4, ..healthy(1.0) };
    let report = play(&stage, &setup(20, 1), &sick.history(1, "pod"), |_| {}).unwrap();
    assert!(report.together.reverted.n >= 5, "{report:?}");
}

#[test]
fn shares_that_instances_do_not_allow_are_said() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::ZERO, stale_after: STALE };
    let legs = [0.05, 0.5].map(|share| Leg { share, lasts: Duration::from_secs(300) });
    let setup = Setup { legs: &legs, ..setup(3, 1) };
    let history = Load { instances: 3, ..healthy(1.0) }.history(1, "pod");
    let report = play(&stage, &setup, &history, |_| {}).unwrap();
    assert!(report.shares[0].off && (report.shares[0].played - 33.3).abs() < 0.5, "{report:?}");
}

#[test]
fn what_cannot_be_split_is_refused() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::ZERO, stale_after: STALE };
    let refused = |load: &Load, label: &str, setup: &Setup<'_>| play(&stage, setup, &load.history(1, label), |_| {}).unwrap_err();
    assert!(refused(&healthy(1.0), "", &setup(3, 1)).contains("cannot be told apart"));
    let one = Load { instances: 1, ..healthy(1.0) };
    assert!(refused(&one, "pod", &setup(3, 1)).contains("one instance"));
    let short = Setup { window: (at(0), at(600)), ..setup(3, 1) };
    assert!(refused(&healthy(1.0), "pod", &short).contains("10m are not enough for a plan of 20m"));
}

fn past(label: Label, bad_from: i64, errors: fn(i64) -> f64, gates: &[GateSpec], seed: u64) -> Played {
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates, look_back: Duration::from_secs(3_600), stale_after: STALE };
    let stable = healthy(2.0).history(seed, "pod");
    let candidate = Load { instances: 2, errors, burst: 2.0, times: (3_600, 7_200), ..healthy(2.0) }.history(seed + 1, "pod");
    let since = at(3_600);
    let run = Run { since, until: at(7_200), course: &[(since, Some(0.2))], before: &stable, stable: &stable, candidate: &candidate };
    Played { name: format!("{seed}"), label, bad_from: at(bad_from), since, said: stage.play(&run) }
}

#[test]
fn bad_releases_are_caught_and_good_ones_are_not() {
    let gates = [gate("revert")];
    let played = [
        past(Label::Good, 3_600, |_| 0.01, &gates, 10),
        past(Label::Bad, 3_600, |_| 0.05, &gates, 20),
        past(Label::Bad, 5_400, |t| if t < 5_400 { 0.01 } else { 0.05 }, &gates, 30),
        // Called bad, and nothing of it shows.
        past(Label::Bad, 3_600, |_| 0.01, &gates, 40),
    ];
    let report = report(&gates, &played);
    let (ours, together) = (&report.gates[0], &report.together);
    assert_eq!((ours.caught.n, ours.caught.of, ours.missed, ours.falsely.n), (2, 3, 1, 0), "{report:?}");
    assert_eq!((together.caught, together.worst_seconds), (ours.caught, ours.worst_seconds));
    assert!(ours.worst_seconds.unwrap() <= 900 && ours.seconds_to_catch <= ours.worst_seconds, "{report:?}");
    assert_eq!(report.runs.iter().map(|r| r.outcome).collect::<Vec<_>>(), ["passed", "caught", "caught", "missed"]);
    assert_eq!(report.runs[1].by.as_deref(), Some("errors"));
    assert_eq!(report.peers.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["Argo Rollouts", "Flagger", "Kayenta"]);
}

#[test]
fn what_could_not_be_seen_is_added_up() {
    let gates = [gate("revert")];
    let queries = queries("pod");
    let stage = Stage { queries: &queries, gates: &gates, look_back: Duration::ZERO, stale_after: STALE };
    let stable = healthy(1.0).history(1, "pod");
    // The candidate is silent from the middle of the run on, and stable for a part of that time.
    let candidate = Load { times: (3_600, 5_400), ..healthy(1.0) }.history(2, "pod");
    let blind = |stable: &History, candidate: &History| {
        let since = at(3_600);
        let run = Run { since, until: at(7_200), course: &[(since, Some(0.5))], before: stable, stable, candidate };
        stage.play(&run)[&gates[0].name].blind.as_secs()
    };
    assert_eq!(blind(&stable, &stable), 0);
    let half = blind(&stable, &candidate);
    assert!((1_800 - 60..=1_800 - 30).contains(&half), "{half}");
    // Neither twice where both are silent.
    assert_eq!(blind(&candidate, &candidate), half);
    assert_eq!(blind(&History::default(), &candidate), 3_600 - STALE.as_secs());
}

#[test]
fn other_gates_say_something_else() {
    let strict: GateSpec =
        toml::from_str("name = \"errors\"\nsignal = \"errors\"\ninterval = \"30s\"\nlimit = 0.5\non_fail = \"hold\"").unwrap();
    let mild = [gate("advise")];
    let good = |gates: &[GateSpec]| report(gates, &[past(Label::Good, 3_600, |_| 0.01, gates, 50)]);
    assert_eq!(good(&mild).runs[0].outcome, "passed");
    // Both versions are over it: that holds, and never goes back.
    let held = good(&[strict]);
    assert_eq!((held.runs[0].outcome, held.together.falsely.n), ("false", 1), "{held:?}");
    let bad = report(&mild, &[past(Label::Bad, 3_600, |_| 0.08, &mild, 60)]);
    assert_eq!(bad.together.caught.n, 1, "where no gate acts, those that advise count: {bad:?}");
}

#[test]
fn what_stops_a_bad_run_before_it_is_bad_is_false() {
    let gates = [gate("revert")];
    let said = Said { fails: vec![(at(10), OnFail::Revert), (at(90), OnFail::Revert)], ..Said::default() };
    let played = Played {
        name: "x".into(),
        label: Label::Bad,
        bad_from: at(60),
        since: at(0),
        said: BTreeMap::from([(gates[0].name.clone(), said)]),
    };
    let report = report(&gates, &[played]);
    assert_eq!((report.runs[0].outcome, report.together.caught.n, report.together.falsely.n), ("false", 0, 1));
}

#[test]
fn an_instance_that_goes_over_takes_its_samples_with_it() {
    let history = healthy(1.0).history(1, "pod");
    let name: Arc<str> = "p3".into();
    let (all, part) = (history.traffic(at(600), at(1_200)), history.part(at(600), at(1_200), |i| i.class.instance.as_ref() != Some(&name)));
    let rest = part.traffic(at(0), at(6 * 3_600));
    assert_eq!((all.len(), rest.len(), rest.get(&name)), (8, 7, None));
    assert_eq!(all["p1"], rest["p1"]);
}
