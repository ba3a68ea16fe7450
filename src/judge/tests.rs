use super::{Arms, Counts, FirstGate, Judge, rule_text, state, summary, waiting_cost, words};
use crate::model::{
    gate::{Arm, Verdict},
    spec::{GateSpec, OnFail},
    time::Time,
};
use proptest::prelude::*;

fn gate(toml: &str) -> GateSpec {
    toml::from_str(&format!("name = \"g\"\nsignal = \"errors\"\n{toml}")).unwrap()
}

fn arms(candidate: (u64, u64), stable: (u64, u64)) -> Arms {
    let counts = |(errors, requests)| Some(Counts { requests, errors, slow: 0 });
    Arms { candidate: counts(candidate), stable: counts(stable), threshold_known: true, since: Time::UNIX_EPOCH, fresh: true, rate: 10.0 }
}

fn say(gate: &GateSpec, arms: &Arms) -> String {
    let (verdict, _) = FirstGate.judge(gate, arms, Time::UNIX_EPOCH);
    let who = match &verdict {
        Verdict::Fail { who, .. } => format!(" {who:?}"),
        _ => String::new(),
    };
    format!("{}{who}: {}", verdict.word(), verdict.reason())
}

/// margin 1, limit 5, 200 requests: the defaults.
#[test]
fn each_word_has_its_reason() {
    let g = gate("");
    let blind = |change: fn(&mut Arms)| {
        let mut arms = arms((0, 1000), (0, 1000));
        change(&mut arms);
        say(&g, &arms)
    };
    assert_eq!(blind(|a| a.fresh = false), "BLIND: counters are stale");
    assert_eq!(blind(|a| a.candidate = None), "BLIND: canary is not measured");
    assert_eq!(blind(|a| a.stable = None), "BLIND: stable is not measured");
    for (candidate, stable, said) in [
        ((0, 0), (0, 1000), "WAIT: 200 more requests, no traffic yet"),
        ((0, 30), (0, 1000), "WAIT: 170 more requests"),
        ((30, 30), (0, 1000), "WAIT: 170 more requests"),
        ((0, 1204), (0, 1000), "pass: 0.00<=1.00 % (n 1,204)"),
        ((0, 1204), (60, 1000), "pass: 0.00<=5.00 % (n 1,204)"),
        ((12, 1200), (0, 1000), "pass: 1.00<=1.00 % (n 1,200)"),
        ((123, 1000), (2, 1000), "FAIL Candidate: 12.30>5.00 % (n 1,000), over the limit"),
        ((31, 1000), (2, 1000), "FAIL Candidate: 3.10>1.20 % (n 1,000), worse than stable"),
        ((421, 1000), (402, 1000), "FAIL Both: both 42.10/40.20>5.00 % (n 1,000)"),
        ((500, 1000), (60, 1000), "FAIL Candidate: 50.00>7.00 % (n 1,000), stable over the limit too"),
        ((40, 1000), (500, 1000), "pass: 4.00<=5.00 % (n 1,000)"),
        // Stable has too few to compare with: the limit alone can fail, nothing can pass.
        ((123, 1000), (0, 3), "FAIL Candidate: 12.30>5.00 % (n 1,000), over the limit"),
        ((31, 1000), (0, 3), "WAIT: 197 more stable requests"),
        ((500, 1000), (3, 3), "FAIL Both: both 50.00/100.00>5.00 % (n 1,000)"),
        // It has no traffic at all: only the limit counts.
        ((31, 1000), (0, 0), "pass: 3.10<=5.00 % (n 1,000), stable has no traffic"),
        ((123, 1000), (0, 0), "FAIL Candidate: 12.30>5.00 % (n 1,000), over the limit"),
    ] {
        assert_eq!(say(&g, &arms(candidate, stable)), said, "{candidate:?} {stable:?}");
    }
}

#[test]
fn slow_requests_need_a_threshold() {
    let mut g = gate("");
    g.signal = crate::model::spec::GateSignal::Slow;
    let mut a = arms((1000, 1000), (0, 1000));
    assert_eq!(say(&g, &a), "pass: 0.00<=1.00 % (n 1,000)", "errors are not looked at");
    a.candidate = Some(Counts { requests: 1000, errors: 0, slow: 100 });
    assert_eq!(say(&g, &a), "FAIL Candidate: 10.00>5.00 % (n 1,000), over the limit");
    a.threshold_known = false;
    assert_eq!(say(&g, &a), "BLIND: stable's p99 is unknown");
}

#[test]
fn the_time_to_enough_requests_comes_from_the_rate() {
    let eta = |rate| {
        let a = Arms { rate, ..arms((0, 30), (0, 1000)) };
        match FirstGate.judge(&gate(""), &a, Time::UNIX_EPOCH).0 {
            Verdict::Wait { eta, .. } => eta.map(|d| d.as_secs()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(eta(10.0), Some(17));
    assert_eq!(eta(0.0), None);
    assert_eq!(eta(f64::NAN), None);
    assert_eq!(eta(1e-300), None);
}

#[test]
fn nothing_is_rounded_across_a_limit_or_to_zero() {
    assert_eq!(words::beside(1.004, 1.0), ("1.004".into(), "1.000".into()));
    assert_eq!(words::beside(0.999_96, 1.0), ("0.99996".into(), "1.00000".into()));
    assert_eq!(words::beside(0.0004, 5.0), ("0.0004".into(), "5.0000".into()));
    assert_eq!(words::beside(5.0, 5.0), ("5.00".into(), "5.00".into()));
    assert_eq!(
        say(&gate("limit = 1.0"), &arms((10_041, 1_000_000), (1, 1000))),
        "FAIL Candidate: 1.004>1.000 % (n 1,000,000), over the limit"
    );
    assert_eq!(words::count(36_130_140), "36,130,140");
    assert_eq!(words::count(999), "999");
}

#[test]
fn rules_and_sums_in_words() {
    assert_eq!(rule_text(&gate("margin = 0.5")).as_str(), "at most stable + 0.5 pp, at most 5 %");
    assert!((waiting_cost(100.0, 0.5, 0.1) - 40.0).abs() < 1e-9);
    for nothing in [waiting_cost(100.0, 0.1, 0.5), waiting_cost(f64::NAN, 0.5, 0.1)] {
        assert!(nothing.abs() < f64::EPSILON);
    }

    let judged = |arms: &Arms, before| state(&FirstGate, &gate("on_fail = \"revert\""), arms, before, Time::UNIX_EPOCH);
    let good = judged(&arms((0, 1000), (0, 1000)), None);
    let bad = judged(&arms((500, 1000), (0, 1000)), None);
    let waits = judged(&arms((0, 100), (0, 1000)), None);
    assert_eq!(bad.on_fail, OnFail::Revert);
    assert_eq!(summary(&[]), None);
    let say = |gates: &[_]| summary(gates).map(|s| format!("{}: {}", s.word, s.sentence)).unwrap();
    assert_eq!(say(&[good.clone(), good.clone()]), "pass: all 2 gates pass");
    assert_eq!(say(&[good.clone(), waits.clone(), waits]), "wait: g 100 more requests +1 more");
    assert_eq!(say(&[good, bad]), "fail: g 50.00>5.00 % (n 1,000), over the limit");
}

#[test]
fn a_state_is_as_old_as_its_word() {
    let later = Time::UNIX_EPOCH + chrono::Duration::seconds(5);
    let first = state(&FirstGate, &gate(""), &arms((500, 1000), (0, 1000)), None, Time::UNIX_EPOCH);
    let worse = state(&FirstGate, &gate(""), &arms((600, 1000), (0, 1000)), Some(&first), later);
    assert_eq!((worse.since, worse.verdict == first.verdict), (Time::UNIX_EPOCH, false));
    let good = state(&FirstGate, &gate(""), &arms((0, 1000), (0, 1000)), Some(&worse), later);
    assert_eq!(good.since, later);
}

proptest! {
    /// Two arms that draw from the same sick source are not told apart by chance, so nothing goes back by itself.
    #[test]
    fn chance_blames_nobody(p in 0.1..0.9_f64, seed in any::<u64>()) {
        let g = gate("");
        // A small deterministic generator: the property is over its seed.
        let mut x = seed | 1;
        let mut draw = |n: u64| (0..n).filter(|_| {
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            ((x >> 11) as f64 / (1_u64 << 53) as f64) < p
        }).count() as u64;
        let (c, s) = (draw(2000), draw(2000));
        prop_assume!((c as f64 - s as f64).abs() < 3.0 * (2.0 * 2000.0 * p * (1.0 - p)).sqrt() * 0.95);
        let verdict = FirstGate.judge(&g, &arms((c, 2000), (s, 2000)), Time::UNIX_EPOCH).0;
        let both = matches!(verdict, Verdict::Fail { who: Arm::Both, .. });
        prop_assert!(both, "{verdict:?}");
    }

    /// Any counts give a verdict whose essential part fits a column of 25.
    #[test]
    fn any_counts_are_judged(c in any::<(u64, u64)>(), s in any::<(u64, u64)>(), limit in 0.0..100.0_f64, margin in 0.0..100.0_f64, rate in any::<f64>()) {
        let g = GateSpec { limit, margin, ..gate("") };
        let a = Arms { rate, ..arms(c, s) };
        let (verdict, evidence) = FirstGate.judge(&g, &a, Time::UNIX_EPOCH);
        prop_assert!(evidence.is_some());
        prop_assert!(!verdict.reason().is_empty());
        let enough = c.1 >= g.min_requests;
        prop_assert_eq!(matches!(verdict, Verdict::Wait { .. }) || enough, true);
        if verdict.passed() {
            let ratio = |(hits, of): (u64, u64)| hits.min(of) as f64 * 100.0 / of as f64;
            prop_assert!(ratio(c) <= limit);
            prop_assert!(s.1 == 0 || ratio(c) <= ratio(s) + margin);
        }
    }
}
