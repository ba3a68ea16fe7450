//! What other tools' rules are fed and say.

use super::*;
use crate::model::{gate::Peer, rules::Measuring};
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn peers(w: &World) -> &[Peer] {
    &w.evidence().peers
}

/// The word and the reason of one of them.
fn of<'a>(w: &'a World, name: &str) -> (&'a str, &'a str) {
    let peer = peers(w).iter().find(|p| p.name.as_str() == name).unwrap();
    (peer.word.as_str(), peer.why.as_str())
}

fn world(toml: &str) -> World {
    World::new(&[gate(toml)], (9.0, 900.0))
}

#[test]
fn nothing_is_said_before_the_first_request_and_of_gates_without_shares() {
    let mut w = world("interval = \"1m\"");
    w.feed((0.0, 0.0), (9.0, 900.0));
    assert!(peers(&w).is_empty());
    w.feed((1.0, 100.0), (9.0, 900.0));
    let names: Vec<&str> = peers(&w).iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["Kayenta", "Flagger", "Argo Rollouts"]);
    for other in ["restarts", "p99"] {
        let mut w = world(&format!("interval = \"1m\"\nsignal = \"{other}\""));
        w.feed((0.0, 100.0), (0.0, 900.0));
        assert!(peers(&w).is_empty(), "{other}");
    }
}

#[test]
fn flagger_rolls_back_at_the_fifth_bad_minute_and_forgets_none() {
    let mut w = world("limit = 1");
    let mut minute = |bad: f64| {
        // The burst is in one of the minute's six intervals.
        w.feed((bad, 100.0), (0.0, 900.0));
        (0..5).for_each(|_| w.feed((0.0, 100.0), (0.0, 900.0)));
        let (word, why) = of(&w, "Flagger");
        format!("{word}: {why}")
    };
    assert_eq!(minute(6.0), "would go on: 0 of 1 checks failed; usual: a check a minute, threshold 5", "6 of 600 are not over 1 %");
    for failed in 1..5 {
        assert_eq!(minute(7.0), format!("would go on: {failed} of {} checks failed; usual: a check a minute, threshold 5", 2 * failed));
        minute(0.0);
    }
    // The history is ten minutes of ten seconds, the first failed check ended two minutes later.
    let said = minute(7.0);
    assert_eq!(said, "would revert: errors over 1 % in 5 checks since 00:12; usual: a check a minute, threshold 5");
    assert_eq!(minute(0.0), said);
}

#[test]
fn a_minute_without_requests_is_a_failed_check_and_a_measurement_without_a_value() {
    let mut w = world("interval = \"1m\"\nlimit = 1");
    w.feed((0.0, 100.0), (0.0, 900.0));
    w.feed((0.0, 0.0), (0.0, 900.0));
    assert_eq!(of(&w, "Flagger").1, "1 of 2 checks failed; usual: a check a minute, threshold 5");
    assert_eq!(of(&w, "Argo Rollouts").1, "0 of 2 measurements failed; usual: one every 60 s, failureLimit 3");
    // It is tried again every ten seconds: more than four in a row are too many.
    w.feed((0.0, 0.0), (0.0, 900.0));
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", "no value 5 times in a row; usual: consecutiveErrorLimit 4"));
    for _ in 0..3 {
        w.feed((0.0, 0.0), (0.0, 900.0));
    }
    assert_eq!(of(&w, "Flagger"), ("would revert", "no requests in 5 checks since 01:02; usual: a check a minute, threshold 5"));
    assert_eq!(of(&w, "Kayenta").0, "would go on", "it has one minute of the candidate, which is like stable's");
}

#[test]
fn a_candidate_that_should_have_no_requests_is_not_missed() {
    let g = gate("interval = \"1m\"");
    let mut w = world("interval = \"1m\"");
    w.feed((0.0, 100.0), (0.0, 900.0));
    let before = peers(&w).to_vec();
    for (share, candidate, stable) in [(Some(0.0), 0.0, 900.0), (None, 900.0, 0.0)] {
        for _ in 0..9 {
            let (candidate, stable) = (Count::new(0.0, candidate), Count::new(0.0, stable));
            let interval = Interval { share, ..Interval::new(at(w.secs), at(w.secs + 60), candidate, stable) };
            w.ledger.feed(&g, &interval);
            w.secs += 60;
        }
        let said = w.ledger.judge(fresh, at(w.secs));
        assert_eq!(said[0].evidence.as_ref().unwrap().peers, before, "{share:?}");
    }
}

#[test]
fn argo_fails_with_the_fourth_measurement_that_is_not_under_the_limit() {
    let mut w = world("limit = 1");
    for failed in 1..=3 {
        w.feed((1.0, 100.0), (0.0, 900.0));
        w.feed((0.0, 100.0), (0.0, 900.0));
        let said = format!("{failed} of {} measurements failed; usual: one every 10 s, failureLimit 3", 2 * failed);
        assert_eq!(of(&w, "Argo Rollouts"), ("would go on", said.as_str()), "exactly the limit is not under it");
    }
    w.feed((1.0, 100.0), (0.0, 900.0));
    let said = "errors not under 1 % in 4 of 7 measurements; usual: one every 10 s, failureLimit 3";
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", said));
    w.feed((0.0, 100.0), (0.0, 900.0));
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", said), "it has ended");
}

/// By the configuration, by the rollout's own analysis, by both.
#[test]
fn rules_are_those_that_are_in_force_and_say_whose_they_are() {
    let mut w = world("limit = 1\nrules = { flagger_threshold = 2, argo_failure_limit = 1, every = \"30s\" }");
    let minute = |w: &mut World| {
        // Of each half a minute two intervals are good, and it is bad by the third.
        for bad in [0.0, 0.0, 6.0, 0.0, 0.0, 6.0] {
            w.feed((bad, 100.0), (0.0, 900.0));
        }
    };
    minute(&mut w);
    assert_eq!(of(&w, "Flagger").0, "would revert");
    assert!(of(&w, "Flagger").1.ends_with(" in 2 checks since 00:10; yours: a check every 30 s, threshold 2"), "{}", of(&w, "Flagger").1);
    let said = "errors not under 1 % in 2 of 2 measurements; yours: one every 30 s, failureLimit 1";
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", said));

    let analysis = |rules: &str| {
        let mut gate = gate(&format!("limit = 1\n{rules}"));
        let every = Some(Duration::from_secs(60));
        let says = Measuring { every, failure_limit: Some(2), error_limit: Some(1), success_limit: None, count: Some(10) };
        gate.rules.get_or_insert_default().analysis = Some(says);
        World::new(&[gate], (9.0, 900.0))
    };
    let mut w = analysis("");
    (0..3).for_each(|_| minute(&mut w));
    let said = "errors not under 1 % in 3 of 3 measurements; its analysis: one every 60 s, failureLimit 2, count 10";
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", said));
    assert!(of(&w, "Flagger").1.ends_with("; usual: a check a minute, threshold 5"), "an analysis of Argo's says nothing of Flagger");
    let mut w = analysis("");
    (0..60).for_each(|_| w.feed((0.0, 100.0), (0.0, 900.0)));
    (0..30).for_each(|_| minute(&mut w));
    assert_eq!(of(&w, "Argo Rollouts").0, "would go on", "its ten measurements were good");
    let mut w = analysis("");
    (0..6).for_each(|_| w.feed((0.0, 100.0), (0.0, 900.0)));
    (0..8).for_each(|_| w.feed((0.0, 0.0), (0.0, 900.0)));
    assert_eq!(of(&w, "Argo Rollouts"), ("would revert", "no value 2 times in a row; its analysis: consecutiveErrorLimit 1"));
    // What is written in the configuration goes before what was found.
    let mut w = analysis("rules = { argo_failure_limit = -1 }");
    (0..9).for_each(|_| minute(&mut w));
    let said = "9 of 9 measurements failed; yours: failureLimit -1; its analysis: one every 60 s, count 10";
    assert_eq!(of(&w, "Argo Rollouts"), ("would go on", said));
}

#[test]
fn kayenta_ranks_minutes_and_misses_errors_now_and_then() {
    let mut w = world("interval = \"1m\"");
    for k in 0..10 {
        w.feed((if k % 2 == 0 { 0.0 } else { 9.0 }, 1_000.0), (0.0, 9_000.0));
    }
    let (word, why) = of(&w, "Kayenta");
    assert_eq!(word, "would go on", "{why}");
    assert_eq!(why, "score 100, from 95 on it passes: shift 0 to 0.9 points in 10 minutes");
    let mut w = world("interval = \"1m\"");
    for k in 0..10 {
        w.feed((50.0 + f64::from(k), 1_000.0), (90.0 + f64::from(k), 9_000.0));
    }
    let (word, why) = of(&w, "Kayenta");
    assert_eq!(word, "would revert", "{why}");
    assert!(why.starts_with("score 0, below 75: shift 4.") && why.ends_with(" points in 10 minutes"), "{why}");
}

#[test]
fn kayenta_forgets_what_is_older_than_an_hour() {
    let mut w = world("interval = \"1m\"");
    for k in 0..60 {
        w.feed((f64::from(200 + k), 1_000.0), (f64::from(90 + k), 9_000.0));
    }
    assert_eq!(of(&w, "Kayenta").0, "would revert");
    for _ in 0..60 {
        w.feed((0.0, 1_000.0), (0.0, 9_000.0));
    }
    assert_eq!(of(&w, "Kayenta"), ("would go on", "score 100, from 95 on it passes: no shift in 60 minutes"));
}

/// The same verdicts, odds and all, whether others are listened to or not; and what was kept without
/// them is read.
#[test]
fn they_decide_nothing() {
    let mut rng = StdRng::seed_from_u64(5);
    for (seed, ratio) in [0.0, 0.005, 0.01, 0.03, 0.2].into_iter().enumerate() {
        let mut w = World::new(&[gate("limit = 1\nslo = 99\non_fail = \"revert\"")], (1.0, 100.0));
        let mut deaf = w.ledger.clone();
        for k in 0..200 {
            let of = f64::from(rng.random_range(0..30_u32));
            let hits = (0..of as u32).filter(|_| rng.random_bool(ratio)).count() as f64;
            w.feed((hits, of), (f64::from(u8::from(k % 4 == 0)), 100.0));
            let interval =
                Interval::new(at(w.secs - 10), at(w.secs), Count::new(hits, of), Count::new(f64::from(u8::from(k % 4 == 0)), 100.0));
            deaf = without_peers(&deaf);
            deaf.feed(&w.gates[0], &interval);
            let mut read = without_peers(&deaf);
            read.follow(Some(&RunId::new("2")), None, &w.gates);
            let said = read.judge(fresh, at(w.secs)).to_vec();
            assert_eq!(said[0].verdict, w.said[0].verdict, "{seed} {k}");
            let same = Evidence { peers: Vec::new(), ..w.evidence().clone() };
            assert_eq!(said[0].evidence.as_ref().unwrap(), &same);
        }
        assert!(!peers(&w).is_empty());
    }
}

/// As a host kept it that knew nothing of others.
fn without_peers(ledger: &Ledger) -> Ledger {
    let mut kept = serde_json::to_value(ledger).unwrap();
    for gate in kept["gates"].as_object_mut().unwrap().values_mut() {
        gate.as_object_mut().unwrap().remove("peers");
    }
    serde_json::from_value(kept).unwrap()
}
