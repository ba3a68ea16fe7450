//! What is said, when, and why.

use super::*;
use proptest::prelude::*;

/// Independent errors at 1 %, once a minute.
fn minute(toml: &str) -> World {
    World::new(&[gate(&format!("interval = \"1m\"\n{toml}"))], (9.0, 900.0))
}

#[test]
fn before_anything_is_measured_a_gate_is_blind_or_waits() {
    let gates = [gate("")];
    let mut ledger = Ledger::default();
    ledger.follow(None, None, &gates);
    let judge = |ledger: &mut Ledger, look: fn(&GateSpec) -> Look| say(&ledger.judge(look, at(0))[0]);
    assert_eq!(judge(&mut ledger, |_| Look::default()), "BLIND: nothing measures it");
    // 3.65 x 10 / 5 %: nothing is known of bursts.
    assert_eq!(judge(&mut ledger, fresh), "WAIT: 730 more requests, none counted yet");
    ledger.follow(Some(&RunId::new("1")), None, &gates);
    assert_eq!(judge(&mut ledger, fresh), "WAIT: 730 more requests, none counted yet");
}

#[test]
fn what_looks_worse_is_said_before_what_a_good_one_would_lack() {
    let mut w = minute("limit = 2.0");
    w.feed((1.0, 100.0), (9.0, 900.0));
    assert!(w.say().starts_with("WAIT: ") && w.say().ends_with(" more requests"), "{}", w.say());
    // Twice as bad, and not over the limit.
    while w.evidence().odds < 3.0 {
        w.feed((2.0, 100.0), (9.0, 900.0));
    }
    let said = w.say();
    assert!(said.starts_with("WAIT: worse 3") && said.contains(":1 so far, fails at 100:1; "), "{said}");
    let Verdict::Wait { eta, .. } = w.said[0].verdict else { panic!("{said}") };
    assert_eq!(eta, None, "nobody promises a time to what looks bad");
}

#[test]
fn a_limit_is_told_in_its_own_unit() {
    let gates = [gate("signal = \"restarts\"\nlimit = 6.0")];
    let mut w = World::new(&gates, (0.0, 0.0));
    w.ledger.bakes(true);
    // 12 restarts per hour of one instance: too few to tell, and not to pass either.
    w.feed((2.0, 600.0), (0.0, 0.0));
    assert!(w.say().contains("/h") && !w.say().contains('%'), "{}", w.say());
}

#[test]
fn a_required_sensor_that_is_not_fresh_blinds_whatever_was_seen() {
    let mut w = minute("limit = 2.0");
    w.until("FAIL", (20.0, 100.0), (9.0, 900.0));
    for (state, said) in [
        (SensorState::Stale, "BLIND: requests of canary stale, 41 s old"),
        (SensorState::Absent, "BLIND: requests of canary absent, 41 s old"),
        (SensorState::ZeroTraffic, "BLIND: requests of canary no traffic, 41 s old"),
        (SensorState::Contradictory, "BLIND: requests of canary contradictory, 41 s old"),
    ] {
        let look = |_: &GateSpec| Look { sensors: vec![sensor(state, true)], queries: Vec::new(), alerts: Vec::new() };
        assert_eq!(say(&w.ledger.judge(look, at(w.secs))[0]), said);
        let idle = |_: &GateSpec| Look { sensors: vec![sensor(state, false)], queries: Vec::new(), alerts: Vec::new() };
        assert_eq!(w.ledger.judge(idle, at(w.secs))[0].verdict.word(), "FAIL");
    }
}

#[test]
fn a_candidate_that_nothing_reaches_is_not_healthy_and_a_quiet_service_is() {
    let gates = [gate("")];
    let quiet = |share, stable: f64| {
        let mut w = World::new(&gates, (1.0, 100.0));
        for i in 0..20 {
            let interval = Interval { share, ..Interval::new(at(w.secs), at(w.secs + 10), Count::default(), Count::new(0.0, stable)) };
            w.ledger.feed(&gates[0], &interval);
            w.secs += 10;
            w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
            if w.said[0].verdict.word() == "BLIND" {
                return (i + 1, w.say());
            }
        }
        (0, w.say())
    };
    // 10 %: 45 requests of stable are five of the candidate.
    assert_eq!(quiet(Some(0.1), 15.0), (3, "BLIND: no requests reach the canary".into()));
    assert_eq!(quiet(Some(0.1), 0.0).0, 0);
    assert_eq!(quiet(None, 15.0).0, 0, "nobody knows whether any should");
}

#[test]
fn worse_is_said_before_it_fails_and_holds_the_plan() {
    let mut w = minute("limit = 50");
    let mut said = Vec::new();
    while w.said.last().is_none_or(|s| s.verdict.word() != "FAIL") {
        w.feed((2.6, 100.0), (9.0, 900.0));
        said.push((w.say(), w.evidence().holds, w.evidence().odds));
    }
    let suspects: Vec<_> = said.iter().filter(|(_, holds, _)| *holds).collect();
    assert!(!suspects.is_empty(), "{said:#?}");
    for (text, _, odds) in suspects {
        assert!((20.0..100.0).contains(odds) && text.starts_with("WAIT: worse ") && text.ends_with(", fails at 100:1"), "{text}");
    }
    let (last, _, odds) = said.last().unwrap();
    assert!(*odds >= 100.0 && last.starts_with("FAIL Candidate: 2.60/1.00 % (n "), "{last}");
    assert!(w.evidence().certain() && w.evidence().decided_by == Some(Decider::Worse));
    assert!(last.ends_with(&format!(", worse {}", words::odds(odds.ln()))), "{last}");
}

#[test]
fn a_candidate_that_is_worse_but_within_what_is_allowed_is_held_and_not_failed() {
    // 1.5 times as bad, a million requests a minute.
    let mut w = World::new(&[gate("interval = \"1m\"\nlimit = 50")], (9_000.0, 900_000.0));
    w.feed((1_500.0, 100_000.0), (9_000.0, 900_000.0));
    assert!(w.say().starts_with("WAIT: worse >1e9:1, but within 3x (>1e9:1)"), "{}", w.say());
    assert!(w.evidence().holds && w.evidence().decided_by == Some(Decider::Worse));
    // Odds of the run below their line: it is the change that is within what is allowed, and that is what is said.
    let mut late = World::new(&[gate("interval = \"1m\"\nlimit = 50")], (9_000.0, 900_000.0));
    (0..600).for_each(|_| late.feed((950.0, 100_000.0), (9_000.0, 900_000.0)));
    while !late.evidence().holds {
        late.feed((1_300.0, 100_000.0), (9_000.0, 900_000.0));
    }
    let e = late.evidence();
    assert!(e.odds < 20.0 && e.change >= e.lines.change && e.decided_by == Some(Decider::Change), "{e:#?}");
    assert!(late.say().starts_with(&format!("WAIT: change {}, but within 3x (", words::odds(e.change.ln()))), "{}", late.say());
    // The same against a gate that allows less: it fails.
    let mut w = World::new(&[gate("interval = \"1m\"\nlimit = 50\nr_max = 1.2")], (9_000.0, 900_000.0));
    w.feed((1_500.0, 100_000.0), (9_000.0, 900_000.0));
    assert_eq!(w.said[0].verdict.word(), "FAIL");
}

#[test]
fn what_is_within_r_max_does_not_fail_at_the_next_weight() {
    let mut w = World::new(&[gate("interval = \"10s\"\nlimit = 50\non_fail = \"revert\"")], (9_000.0, 900_000.0));
    (0..40).for_each(|_| w.feed((1_500.0, 100_000.0), (9_000.0, 900_000.0)));
    assert!(w.say().starts_with("WAIT: worse >1e9:1, but within 3x"), "{}", w.say());
    // A person lets it go on. The odds are the run's; what is held against a fail must be too.
    w.ledger.follow(Some(&RunId::new("2")), Some(at(w.secs)), &w.gates);
    w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
    assert!(w.say().starts_with("WAIT: worse >1e9:1, but within 3x (>1e9:1)"), "{}", w.say());
    assert!(w.evidence().holds && w.evidence().safe == 1.0 && w.evidence().safe_run > 20.0);
    // All of the traffic: nothing is compared any more, and nothing is shown that was not.
    w.ledger.follow(Some(&RunId::new("2")), Some(at(w.secs + 1)), &w.gates);
    for _ in 0..50 {
        w.feed((15_000.0, 1_000_000.0), (0.0, 0.0));
        assert_eq!(w.said[0].verdict.word(), "WAIT", "{}", w.say());
    }
    // What gets much worse fails all the same.
    w.ledger.follow(Some(&RunId::new("2")), Some(at(w.secs)), &w.gates);
    assert!(w.until("FAIL", (10_000.0, 100_000.0), (9_000.0, 900_000.0)) <= 2, "{}", w.say());
    assert!(w.say().contains(" of late, change "), "{}", w.say());
}

#[test]
fn a_version_that_bakes_is_judged_by_its_limits_alone() {
    // Promoted by a person although it was shown to be worse, and although the budget was spent.
    let mut w = minute("limit = 5\non_fail = \"revert\"\nslo = 99\nbudget = 0.02");
    w.until("FAIL", (40.0, 1_000.0), (9.0, 900.0));
    assert!(w.say().contains(", worse "), "{}", w.say());
    (0..60).for_each(|_| w.feed((40.0, 1_000.0), (9.0, 900.0)));
    let since = at(w.secs);
    let bake = |w: &mut World| {
        w.ledger.stable_is("v42");
        w.ledger.follow(Some(&RunId::new("2")), Some(since), &w.gates);
        w.ledger.bakes(true);
        w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
    };
    let mut good = World { ledger: w.ledger.clone(), gates: w.gates.clone(), secs: w.secs, said: Vec::new() };
    bake(&mut good);
    assert!(
        good.say().starts_with("WAIT: ") && good.say().ends_with(" more requests, none counted yet, alone: no stable beside it"),
        "{}",
        good.say()
    );
    good.until("pass", (10.0, 1_000.0), (0.0, 0.0));
    assert!(good.say().starts_with("pass: under 5 %, ") && good.say().ends_with(", alone: no stable beside it"), "{}", good.say());
    assert!(good.evidence().run_since >= at(w.secs) && good.evidence().odds <= 1.0);
    // Asked again after a restart, or at every look: it goes on where it was.
    let intervals = good.evidence().intervals;
    good.ledger = serde_json::from_str(&serde_json::to_string(&good.ledger).unwrap()).unwrap();
    bake(&mut good);
    good.feed((10.0, 1_000.0), (0.0, 0.0));
    assert_eq!(good.evidence().intervals, intervals + 1);
    // Its errors are stable's now: the next run knows how they come.
    (0..30).for_each(|_| good.feed((10.0, 1_000.0), (0.0, 0.0)));
    good.ledger.stable_is("v42");
    good.ledger.follow(Some(&RunId::new("3")), Some(at(good.secs)), &good.gates);
    good.ledger.bakes(false);
    good.feed((1.0, 100.0), (9.0, 900.0));
    assert_eq!(good.evidence().phi, 1.0, "{}", good.say());
    // Over the limit it fails, and it alone is to blame.
    let mut sick = World {
        ledger: w.ledger.clone(),
        gates: vec![gate("interval = \"1m\"\nlimit = 5\non_fail = \"revert\"")],
        secs: w.secs,
        said: Vec::new(),
    };
    bake(&mut sick);
    sick.until("FAIL", (120.0, 1_000.0), (0.0, 0.0));
    assert!(sick.say().starts_with("FAIL Candidate: 12.00>5.00 % "), "{}", sick.say());
    // What was usual for stable is no loss; what is above it is.
    let mut spends = World { ledger: w.ledger, gates: w.gates, secs: w.secs, said: Vec::new() };
    bake(&mut spends);
    spends.until("FAIL", (45.0, 1_000.0), (0.0, 0.0));
    assert!(spends.say().contains("of the month's budget spent"), "{}", spends.say());
}

#[test]
fn a_candidate_that_never_gets_ready_is_seen_by_its_restarts() {
    let g = gate("signal = \"restarts\"\ninterval = \"10s\"\nlimit = 6");
    let mut w = World::new(std::slice::from_ref(&g), (0.0, 0.0));
    // No instance is ever ready: no instance-seconds, and a tenth of the requests should come.
    while w.said.last().is_none_or(|s| s.verdict.word() != "FAIL") {
        let counts = (Count::new(1.0, 0.0), Count::new(0.0, 20.0));
        let interval = Interval { share: Some(0.1), ..Interval::new(at(w.secs), at(w.secs + 10), counts.0, counts.1) };
        assert_eq!(w.ledger.feed(&g, &interval), Fed::Judged);
        w.secs += 10;
        w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
        assert!(w.said[0].verdict.word() == "WAIT" && w.secs < 3_600 || w.said[0].verdict.word() == "FAIL", "{}", w.say());
    }
}

#[test]
fn both_over_the_limit_is_nobodys_fault_and_one_over_it_is() {
    let mut both = minute("limit = 5\non_fail = \"revert\"");
    both.until("FAIL", (42.0, 100.0), (378.0, 900.0));
    assert!(both.say().starts_with("FAIL Both: both 42.00/42.00>5.00 % (n "), "{}", both.say());
    let power = both.evidence().power.clone().unwrap();
    assert!(power.decides.is_none() && !power.text.as_str().contains("a good one"), "nothing is waited for: {}", power.text);
    // Stable alone: no gate fails, and it is known all the same.
    let mut stable = minute("limit = 2");
    (0..60).for_each(|_| stable.feed((1.0, 100.0), (54.0, 900.0)));
    assert!(stable.said[0].verdict.word() != "FAIL" && stable.said[0].stable_is_sick(), "{}", stable.say());
    // Stable at 6 %, the candidate at 7 %: over the limit both, and not worse.
    let mut close = minute("limit = 2");
    close.until("FAIL", (7.0, 100.0), (54.0, 900.0));
    assert!(close.say().starts_with("FAIL Both:"), "{}", close.say());
    // A candidate far beyond a sick stable is worse.
    let mut worse = minute("limit = 2");
    worse.until("FAIL", (60.0, 100.0), (54.0, 900.0));
    assert!(worse.say().starts_with("FAIL Candidate: 60.00/6.00 %"), "{}", worse.say());
    // Only a little worse than a stable that is just under the limit.
    let mut limit = World::new(&[gate("interval = \"1m\"\nlimit = 5")], (44_000.0, 900_000.0));
    limit.until("FAIL", (6_000.0, 100_000.0), (44_000.0, 900_000.0));
    assert!(limit.say().starts_with("FAIL Candidate: 6.00>5.00 % (n 100,000), over the limit "), "{}", limit.say());
    assert_eq!(limit.evidence().decided_by, Some(Decider::Over));
    // After good hours by the detector, whose odds have another line and so another name.
    let mut late = World::new(&[gate("interval = \"1m\"\nlimit = 5")], (20_000.0, 900_000.0));
    (0..120).for_each(|_| late.feed((2_200.0, 100_000.0), (20_000.0, 900_000.0)));
    late.until("FAIL", (6_000.0, 100_000.0), (54_000.0, 900_000.0));
    assert!(late.evidence().over < 1.0, "{}", late.say());
    let late = (late.say(), late.evidence().decided_by);
    assert!(late.0.starts_with("FAIL ") && late.1 == Some(Decider::Late), "{late:?}");
}

#[test]
fn two_versions_that_break_together_do_not_pass_for_being_alike() {
    // Each with bursts, so that it takes a while until both are shown to be over the limit.
    let mut w = World::new(&[gate("interval = \"1m\"\nlimit = 5\nr_max = 1.5")], (0.0, 900.0));
    (0..20).for_each(|_| w.feed((1.0, 450.0), (1.0, 450.0)));
    let mut said = Vec::new();
    while w.said[0].verdict.word() != "FAIL" {
        w.feed((40.0, 450.0), (42.0, 450.0));
        said.push(w.say());
    }
    assert!(w.say().starts_with("FAIL Both:"), "{said:#?}");
    let later: Vec<&String> = said.iter().skip_while(|line| line.starts_with("pass: under 5 %")).collect();
    assert!(later.len() > 10 && later.iter().all(|line| !line.starts_with("pass")), "{said:#?}");
    assert!(
        later[0].starts_with("WAIT: 8.89>5.00 % so far, over the limit of late 2") && later[0].ends_with(":1, fails at 10,000:1"),
        "{said:#?}"
    );
}

#[test]
fn a_limit_that_nobody_set_is_no_more_than_what_pages() {
    for (rules, want) in [("", 5.0), ("slo = 99.9", 1.44), ("slo = 99", 5.0), ("slo = 99.99", 0.144), ("slo = 99.9\nlimit = 5", 5.0)] {
        assert_eq!(gate(rules).limit(), Some(want), "{rules}");
    }
}

#[test]
fn a_limit_is_not_broken_by_a_point_estimate() {
    let mut w = World::new(&[gate("interval = \"1m\"\nlimit = 1")], (9.0, 900.0));
    w.feed((2.0, 100.0), (9.0, 900.0));
    assert_eq!(w.said[0].verdict.word(), "WAIT", "2 % of 100 requests are two requests: {}", w.say());
}

#[test]
fn a_run_that_spends_its_part_of_the_budget_stops() {
    // 99 %: 100,000 requests a minute have 43.2 M errors a month; a thousandth of a percent is 432.
    let mut w = World::new(&[gate("interval = \"1m\"\nslo = 99\nbudget = 0.01\nr_max = 3\nlimit = 50")], (900.0, 90_000.0));
    let n = w.until("FAIL", (120.0, 10_000.0), (900.0, 90_000.0));
    let burn = w.evidence().burn.clone().unwrap();
    assert_eq!(w.say(), "FAIL Candidate: 0.01005 % of the month's budget spent, 0.01000 allowed");
    assert!((burn.candidate.unwrap() - 1.2).abs() < 0.01 && (burn.stable.unwrap() - 1.0).abs() < 0.01, "{burn:?}");
    assert!((burn.blast.unwrap() - 0.12).abs() < 0.01 && n > 1);
    // Errors that stable has too cost nothing.
    let mut same = World::new(&[gate("interval = \"1m\"\nslo = 99\nbudget = 0.01\nlimit = 50")], (900.0, 90_000.0));
    for _ in 0..60 {
        same.feed((100.0, 10_000.0), (900.0, 90_000.0));
    }
    assert_eq!(same.said[0].verdict.word(), "pass");
    assert_eq!(same.evidence().burn.as_ref().unwrap().spent, Some(0.0));
}

#[test]
fn a_pass_names_its_rule() {
    let mut ratio = minute("limit = 1");
    ratio.until("pass", (1.0, 100.0), (9.0, 900.0));
    assert!(ratio.say().starts_with("pass: not 3x stable, ") && ratio.say().ends_with(":1 (n 500)"), "{}", ratio.say());
    // Without any error on either side only the limit can say it.
    let mut quiet = World::new(&[gate("interval = \"1m\"")], (0.0, 900.0));
    let n = quiet.until("pass", (0.0, 100.0), (0.0, 900.0));
    assert_eq!(n, 8, "3.65 x 10 / 5 % are 730 requests");
    assert!(quiet.say().starts_with("pass: under 5 %, 2"), "{}", quiet.say());
}

#[test]
fn a_pass_belongs_to_a_weight_and_the_odds_belong_to_the_run() {
    let mut w = minute("limit = 1");
    w.until("pass", (1.0, 100.0), (9.0, 900.0));
    let before = w.evidence().clone();
    w.ledger.follow(Some(&RunId::new("2")), Some(at(w.secs)), &w.gates);
    w.feed((2.5, 250.0), (7.5, 750.0));
    let now = w.evidence();
    assert_eq!(w.said[0].verdict.word(), "WAIT", "{}", w.say());
    assert!(now.since > before.since && now.run_since == before.run_since && now.intervals == before.intervals + 1);
    assert!(now.safe < 20.0 && now.run_candidate.samples() > now.candidate.samples());
    // Another run knows nothing of this one.
    w.ledger.follow(Some(&RunId::new("3")), Some(at(w.secs)), &w.gates);
    w.feed((1.0, 100.0), (9.0, 900.0));
    assert_eq!(w.evidence().intervals, 1);
}

#[test]
fn what_is_missing_and_when_is_what_it_takes() {
    let mut w = minute("limit = 0.5");
    w.feed((1.0, 100.0), (9.0, 900.0));
    let (missing, eta) = (w.evidence().missing.unwrap() as f64, w.evidence().eta.unwrap().as_secs_f64() / 60.0);
    let n = f64::from(w.until("pass", (1.0, 100.0), (9.0, 900.0)));
    assert!((eta / n - 1.0).abs() < 0.35 && (missing / 100.0 / n - 1.0).abs() < 0.35, "{missing} requests, {eta} min; it took {n}");
    // A candidate that cannot pass is not promised to.
    let mut sick = minute("limit = 0.5");
    sick.feed((3.0, 100.0), (9.0, 900.0));
    sick.feed((3.0, 100.0), (9.0, 900.0));
    assert!(sick.evidence().eta.is_none_or(|eta| eta > Duration::from_secs(1_200)), "{}", sick.say());
}

#[test]
fn the_power_line_says_what_could_be_seen() {
    let mut w = minute("limit = 0.5\nr_max = 2");
    (0..10).for_each(|_| w.feed((0.5, 50.0), (9.5, 950.0)));
    let power = w.evidence().power.clone().unwrap();
    assert!(power.sees.is_some_and(|sees| (2.0..5.0).contains(&sees)), "{power:?}");
    assert!(power.text.as_str().starts_with("can see >= ") && power.text.as_str().contains("x errors now; "), "{}", power.text);
    assert!(power.text.as_str().contains(" at this traffic"), "{}", power.text);
    let decides = power.decides.unwrap();
    assert!(decides.weight > 5.0, "more weight decides sooner: {decides:?}");
    assert!(power.text.as_str().ends_with(&format!("; at {:.0} % a good one passes in 10 min", decides.weight)), "{}", power.text);
    // Bursts of which nothing is known see less.
    let mut unknown = World::new(&w.gates, (0.0, 0.0));
    unknown.feed((0.0, 50.0), (1.0, 950.0));
    let text = |w: &World| w.evidence().power.as_ref().unwrap().text.to_string();
    let said = text(&unknown);
    assert!(said.starts_with("can see errors from ") && said.contains("; 10x of 0.1 % in "), "what is ten times next to nothing: {said}");
    // Beside odds that are nearly over the line it never sounds as if nothing could be seen.
    let mut w = World::new(&w.gates, (0.0, 0.0));
    while w.said.first().is_none_or(|s| s.evidence.as_ref().unwrap().odds < 60.0) {
        w.feed((8.0, 50.0), (0.0, 950.0));
    }
    let said = text(&w);
    assert!(w.evidence().odds < 1_000.0 && said.starts_with("can see errors from ") && !said.contains("cannot"), "{said}");
}

#[test]
fn what_could_be_seen_is_not_all_of_it_failed() {
    let (candidate, stable) = ((1_000.0, 100_000.0), (9_000.0, 900_000.0));
    let world = || World::new(&[gate("interval = \"1m\"\nlimit = 50")], stable);
    let mut w = world();
    w.feed(candidate, stable);
    let power = w.evidence().power.clone().unwrap();
    let (sees, fails) = (power.sees.unwrap(), power.fails.unwrap());
    assert!((1.05..1.3).contains(&sees) && (1.6..1.9).contains(&fails), "{power:?}");
    let (seen, held) = ((sees * 10.0).ceil() / 10.0, (fails * 10.0).floor() / 10.0);
    assert!(power.text.as_str().starts_with(&format!("can see >= {seen}x errors now (below {held}x held, not failed)")), "{}", power.text);
    // As it is with candidates that are so much worse.
    for (ratio, said) in [(sees * 0.98, "pass: "), (sees * 1.02, "WAIT: worse "), (fails * 0.98, "WAIT: worse "), (fails * 1.02, "FAIL ")] {
        let mut w = world();
        w.feed((candidate.0 * ratio, candidate.1), stable);
        let is_held = said.starts_with("WAIT");
        let suspect = ratio < sees && w.evidence().holds;
        assert!((w.say().starts_with(said) || suspect) && (!is_held || w.say().contains("within 3x")), "{ratio}: {}", w.say());
    }
    // With few requests what is seen fails.
    let mut few = minute("limit = 50");
    (0..20).for_each(|_| few.feed((1.0, 100.0), (9.0, 900.0)));
    let power = few.evidence().power.clone().unwrap();
    assert!(power.fails == power.sees && !power.text.as_str().contains("held"), "{power:?}");
}

#[test]
fn lines_grow_with_the_number_of_gates_that_revert() {
    let revert = gate("name = \"a\"\non_fail = \"revert\"\ninterval = \"10s\"");
    let hold = gate("name = \"b\"\ninterval = \"10s\"");
    assert_eq!((lines(&revert, 3).fail, lines(&revert, 3).change), (300.0, 180_000.0));
    assert_eq!((lines(&hold, 3).fail, lines(&hold, 3).change), (100.0, 60_000.0));
    let advice = gate("name = \"c\"\nsignal = \"p99\"");
    assert_eq!(advice.on_fail(), OnFail::Advise);
    let gates = [revert.clone(), hold, advice];
    let mut w = World::new(&gates, (9.0, 900.0));
    let fail: Vec<f64> = w.ledger.judge(fresh, at(0)).iter().map(|g| g.evidence.as_ref().unwrap().lines.fail).collect();
    assert_eq!(fail, [100.0; 3], "one gate that reverts spends what one may");
    let two = [revert.clone(), GateSpec { name: crate::model::ident::GateId::new("z"), ..revert }];
    let mut w = World::new(&two, (9.0, 900.0));
    assert!(w.ledger.judge(fresh, at(0)).iter().all(|g| g.evidence.as_ref().unwrap().lines.fail == 200.0));
}

#[test]
fn warmup_hides_latency_and_never_errors() {
    for (signal, fed) in [("slow", Fed::Shown), ("p99", Fed::Shown), ("errors", Fed::Judged), ("timeouts", Fed::Judged)] {
        let g = gate(&format!("signal = \"{signal}\""));
        let mut w = World::new(std::slice::from_ref(&g), (9.0, 900.0));
        let warming = Interval { warming: true, ..Interval::new(at(0), at(10), Count::new(90.0, 100.0), Count::new(9.0, 900.0)) };
        assert_eq!(w.ledger.feed(&g, &warming), fed, "{signal}");
        let evidence = w.ledger.judge(fresh, at(10))[0].evidence.clone().unwrap();
        assert_eq!(evidence.intervals, u64::from(fed == Fed::Judged));
        let shown = (fed == Fed::Shown).then_some(crate::model::signal::Sample::Counts { hits: 90.0, of: 100.0 });
        assert_eq!(evidence.warming, shown, "{signal}");
    }
}

#[test]
fn what_warms_up_is_said_to_and_is_no_silence() {
    let counts = (Count::new(12.0, 340.0), Count::new(30.0, 3_060.0));
    let interval = |w: &World, part: bool| {
        let share = Some(0.1);
        let new = |candidate| Interval { share, ..Interval::new(at(w.secs), at(w.secs + 10), candidate, counts.1) };
        if part { Interval { warmed: counts.0, ..new(Count::default()) } } else { Interval { warming: true, ..new(counts.0) } }
    };
    // As a whole, and where the instances can be told from the others.
    for part in [false, true] {
        for (signal, said) in
            [("slow", "more requests, not judged while instances warm up"), ("p99", "latencies not judged while instances warm up")]
        {
            let g = gate(&format!("signal = \"{signal}\""));
            let mut w = World::new(std::slice::from_ref(&g), (0.0, 0.0));
            for _ in 0..3 {
                let interval = interval(&w, part);
                w.ledger.feed(&g, &interval);
                w.secs += 10;
                w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
                assert!(w.say().starts_with("WAIT: ") && w.say().ends_with(said), "{signal} {part}: {}", w.say());
            }
            let e = w.evidence();
            let all = Some(crate::model::signal::Sample::Counts { hits: 36.0, of: 1_020.0 });
            assert_eq!((e.warming, e.warmup, e.candidate.samples()), (all, Duration::from_secs(30), 0), "{signal} {part}");
            // What is judged then is what counts, and what no longer comes is missed.
            w.feed((1.0, 340.0), counts_of(counts.1));
            assert!(!w.say().contains("warm"), "{signal} {part}: {}", w.say());
        }
        let g = gate("signal = \"slow\"");
        let mut w = World::new(std::slice::from_ref(&g), (0.0, 0.0));
        let warm = interval(&w, part);
        w.ledger.feed(&g, &warm);
        w.secs += 10;
        w.feed((0.0, 0.0), (0.0, 0.0));
        assert!(w.say().ends_with(" more requests, none counted yet"), "nothing warms up any more: {}", w.say());
    }
}

const fn counts_of(count: Count) -> (f64, f64) {
    (count.hits, count.of)
}

#[test]
fn restarts_are_judged_by_instance_and_time() {
    let mut w = World::new(&[gate("signal = \"restarts\"\nlimit = 6\ninterval = \"1m\"")], (0.0, 0.0));
    // Two instances each; the candidate's restart once a minute.
    w.until("FAIL", (1.0, 120.0), (0.0, 120.0));
    assert!(w.say().starts_with("FAIL Candidate: 30.00"), "{}", w.say());
    assert!(w.say().contains("/h"), "{}", w.say());
    let mut quiet = World::new(&[gate("signal = \"restarts\"\ninterval = \"1m\"")], (0.0, 0.0));
    quiet.feed((0.0, 120.0), (0.0, 120.0));
    assert!(quiet.say().starts_with("WAIT: ") && quiet.say().ends_with("more instance-minutes"), "{}", quiet.say());
    quiet.until("pass", (0.0, 120.0), (0.0, 120.0));
    assert!(quiet.say().starts_with("pass: under 6/h"), "{}", quiet.say());
}

#[test]
fn quantiles_advise_with_the_edges_around_them() {
    use crate::model::interval::{Buckets, Latency};
    let g = gate("signal = \"p99\"\nlimit = 400");
    let edges = vec![10.0, 25.0, 50.0, 100.0, 250.0, 500.0];
    let buckets = |counts: [f64; 7]| Buckets { edges: edges.clone(), counts: counts.to_vec() };
    let run = |candidate: [f64; 7]| {
        let mut w = World::new(std::slice::from_ref(&g), (0.0, 0.0));
        let latency = Some(Latency { candidate: buckets(candidate), stable: buckets([9_000.0, 800.0, 150.0, 40.0, 10.0, 0.0, 0.0]) });
        let interval = Interval { latency, ..Interval::new(at(0), at(10), Count::new(0.0, 10_000.0), Count::new(0.0, 10_000.0)) };
        w.ledger.feed(&g, &interval);
        w.said = w.ledger.judge(fresh, at(10)).to_vec();
        w
    };
    assert_eq!(run([9_000.0, 800.0, 150.0, 40.0, 10.0, 0.0, 0.0]).say(), "pass: p99 25 to 50 ms, stable 25 to 50 ms");
    let slow = run([9_000.0, 300.0, 100.0, 100.0, 500.0, 0.0, 0.0]);
    assert_eq!(slow.say(), "FAIL Candidate: p99 100 to 250 ms, stable 25 to 50 ms");
    assert_eq!(slow.said[0].on_fail, OnFail::Advise);
    assert_eq!(run([5_000.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5_000.0]).say(), "FAIL Candidate: over 400 ms");
    assert_eq!(run([0.0; 7]).say(), "WAIT: p99 not known yet, stable 25 to 50 ms");
}

#[test]
fn what_cannot_be_is_refused_and_never_counted() {
    let g = gate("");
    let mut w = World::new(std::slice::from_ref(&g), (9.0, 900.0));
    for (c, s) in [
        ((-1.0, 10.0), (0.0, 10.0)),
        ((0.0, -10.0), (0.0, 10.0)),
        ((f64::NAN, 10.0), (0.0, 10.0)),
        ((0.0, 10.0), (0.0, f64::INFINITY)),
        ((11.0, 10.0), (0.0, 10.0)),
        ((0.0, 10.0), (20.0, 10.0)),
        ((0.0, 1e18), (0.0, 10.0)),
    ] {
        let interval = Interval::new(at(0), at(10), Count::new(c.0, c.1), Count::new(s.0, s.1));
        assert_eq!(w.ledger.feed(&g, &interval), Fed::Refused, "{c:?} {s:?}");
        w.said = w.ledger.judge(fresh, at(w.secs)).to_vec();
        assert!(w.say().starts_with("BLIND: the last counts cannot be: "), "{}", w.say());
    }
    assert_eq!(w.ledger.gate(&g.name).unwrap().odds(), super::super::decide::Odds::default());
    w.feed((0.0, 100.0), (9.0, 900.0));
    assert_eq!(w.said[0].verdict.word(), "pass", "what can be counted again is: {}", w.say());
}

#[test]
fn a_split_that_is_off_is_told_and_never_goes_back() {
    let weight = Some((crate::model::ratio::Weight::from_percent(10.0).unwrap(), at(0)));
    let mut ledger = Ledger::default();
    ledger.follow(Some(&RunId::new("1")), Some(at(0)), &[]);
    for second in 0..50 {
        ledger.routed(weight, 30.0, 70.0, at(second));
        assert!(ledger.judge(fresh, at(second)).is_empty(), "not before it was bad");
    }
    assert_eq!(ledger.judge(fresh, at(50)).first().map(|g| g.on_fail), None);
    for second in 50..100 {
        ledger.routed(weight, 30.0, 70.0, at(second));
    }
    let said = ledger.judge(fresh, at(100)).to_vec();
    assert_eq!((said[0].id.as_str(), said[0].on_fail), ("split", OnFail::Hold));
    assert!(say(&said[0]).starts_with("FAIL Candidate: 30.00 % of requests, 10.00 declared (n 9,900), >1e9:1"), "{}", say(&said[0]));
    // It stays on the screen when it is right again, so that what it stopped can go on.
    let new = Some((crate::model::ratio::Weight::from_percent(30.0).unwrap(), at(100)));
    for second in 100..102 {
        ledger.routed(new, 30.0, 70.0, at(second));
    }
    // A router that was found out is not trusted after a hundred requests.
    let waits = say(&ledger.judge(fresh, at(102))[0]);
    assert!(waits.starts_with("WAIT: ") && waits.ends_with(" more requests to know the share"), "{waits}");
    for second in 102..140 {
        ledger.routed(new, 30.0, 70.0, at(second));
    }
    assert_eq!(say(&ledger.judge(fresh, at(140))[0]), "pass: 30.00 % of requests (n 3,900)");
}

#[test]
fn rules_and_sums_in_words() {
    assert_eq!(rule_text(&gate("")).as_str(), "not 3x stable, or under 5 %");
    assert_eq!(rule_text(&gate("limit = 0.5\nr_max = 1.5")).as_str(), "not 1.5x stable, or under 0.5 %");
    assert_eq!(rule_text(&gate("signal = \"restarts\"")).as_str(), "not 3x stable, or under 6/h");
    assert_eq!(rule_text(&gate("signal = \"p99\"")).as_str(), "not above stable");
    assert!((waiting_cost(100.0, 0.5, 0.1) - 40.0).abs() < 1e-9);
    for nothing in [waiting_cost(100.0, 0.1, 0.5), waiting_cost(f64::NAN, 0.5, 0.1)] {
        assert!(nothing.abs() < f64::EPSILON);
    }
    for (ln, text) in [(100.0_f64.ln(), "100:1"), (99.99_f64.ln(), "99:1"), (1.99_f64.ln(), "1.9:1"), (-9.0, "0:1"), (800.0, ">1e9:1")] {
        assert_eq!(words::odds(ln + 1e-12), text);
    }
    assert_eq!(words::beside(1.004, 1.0), ("1.004".into(), "1.000".into()));
    assert_eq!(words::beside(0.999_96, 1.0), ("0.99996".into(), "1.00000".into()));
    assert_eq!(words::beside(0.0004, 5.0), ("0.0004".into(), "5.0000".into()));
    assert_eq!(words::count(36_130_140), "36,130,140");
    assert_eq!([words::within(Duration::from_millis(39_100)), words::within(Duration::from_secs(601))], ["40 s", "11 min"]);
}

#[test]
fn the_worst_gate_speaks_for_all() {
    let state = |id: &str, verdict: Verdict| GateState {
        id: crate::model::ident::GateId::new(id),
        signal: crate::model::signal::SignalId::Errors,
        rule: "".into(),
        on_fail: OnFail::Hold,
        verdict,
        since: at(0),
        evidence: None,
    };
    let pass = || state("a", Verdict::Pass { why: "under 5 %".into() });
    let wait = || state("b", Verdict::Wait { missing: "340 more requests".into(), eta: None });
    let fail = || state("c", Verdict::Fail { who: Arm::Candidate, why: "9.00/0.20 %".into() });
    let both = state("c", Verdict::Fail { who: Arm::Both, why: "both 9.00/8.00>5.00 %".into() });
    let mut sick = state("a", Verdict::Pass { why: "fine".into() });
    sick.evidence = Some(crate::model::gate::Evidence { limit: Some(5.0), stable_over: 400.0, ..Default::default() });
    let say = |gates: &[GateState]| summary(gates).map(|s| format!("{}: {}", s.word, s.sentence)).unwrap();
    assert_eq!(summary(&[]), None);
    assert_eq!(say(&[pass()]), "pass: a under 5 %");
    assert_eq!(say(&[pass(), pass()]), "pass: all 2 gates pass");
    assert_eq!(say(&[pass(), wait()]), "wait: b 340 more requests");
    assert_eq!(say(&[wait(), fail(), fail()]), "fail: c 9.00/0.20 % +1 more");
    assert_eq!(say(&[both]), "fail: c both 9.00/8.00>5.00 %; stable is sick too: going back does not help");
    assert_eq!(say(&[sick, wait()]), "wait: b 340 more requests; stable is over the limit of gate a: going back does not help");
}

proptest! {
    /// Whatever is fed in whatever order: verdicts are said, evidence is finite and survives the wire and
    /// the disk, and a candidate with fewer errors than its share is never blamed.
    #[test]
    fn any_counts_give_verdicts_that_can_be_written_down(
        steps in prop::collection::vec((0.0..400.0_f64, 0.0..1.0_f64, 0.0..4_000.0_f64, 0.0..1.0_f64, 0..30_u8), 1..60),
        reverts in any::<bool>(),
    ) {
        let on_fail = if reverts { "revert" } else { "hold" };
        let g = gate(&format!("on_fail = \"{on_fail}\"\nslo = 99.5"));
        let mut w = World::new(std::slice::from_ref(&g), (0.0, 0.0));
        let mut excess = 0.0_f64;
        for (n, x, m, y, step) in steps {
            if step == 0 {
                w.ledger.follow(Some(&RunId::new("2")), Some(at(w.secs)), &w.gates);
            }
            w.feed((n * x, n), (m * y, m));
            let share = if n + m > 0.0 { n / (n + m) } else { 0.0 };
            if share > 0.0 && share < 1.0 {
                excess += (n * x - share * (n * x + m * y)) / w.evidence().phi;
            }
            let evidence = w.evidence();
            for odds in [evidence.odds, evidence.step_odds, evidence.change, evidence.safe, evidence.over, evidence.under, evidence.phi] {
                prop_assert!(odds.is_finite() && odds >= 0.0);
            }
            let wire = serde_json::to_string(&w.said[0]).unwrap();
            let read: GateState = serde_json::from_str(&wire).unwrap();
            prop_assert_eq!((&read.verdict, read.since), (&w.said[0].verdict, w.said[0].since));
            let read = read.evidence.unwrap();
            prop_assert!((read.odds / evidence.odds - 1.0).abs() < 1e-9 && read.eta == evidence.eta && read.power.is_some() == evidence.power.is_some());
        }
        if excess <= 0.0 {
            prop_assert!(w.evidence().odds <= 1.0 + 1e-9, "{} {excess}", w.evidence().odds);
        }
        let disk = serde_json::to_string(&w.ledger).unwrap();
        let read: Ledger = serde_json::from_str(&disk).unwrap();
        let (read, kept) = (read.gate(&g.name).unwrap().odds(), w.ledger.gate(&g.name).unwrap().odds());
        prop_assert!((read.run - kept.run).abs() < 1e-6 && (read.safe - kept.safe).abs() < 1e-6 && (read.change - kept.change).abs() < 1e-6);
        prop_assert!(disk.len() < 20_000, "{}", disk.len());
    }
}

#[test]
fn harm_after_healthy_hours_fails_although_the_hours_were_fine() {
    let mut w = minute("limit = 100\non_fail = \"revert\"");
    (0..360).for_each(|_| w.feed((9.0, 900.0), (9.0, 900.0)));
    assert!(w.say().starts_with("pass: not 3x stable, >1e9:1"), "{}", w.say());
    let n = w.until("FAIL", (45.0, 900.0), (9.0, 900.0));
    assert!(n <= 3, "{n} minutes at five times");
    assert!(w.say().starts_with("FAIL Candidate: ") && w.say().contains(" of late, change "), "{}", w.say());
    let e = w.evidence();
    assert!(e.safe > 20.0 && e.odds < 20.0 && e.change >= e.lines.change && e.decided_by == Some(Decider::Change));
    assert!(w.say().ends_with(&words::odds(e.change.ln())), "the detector's odds by its own name: {}", w.say());
}

#[test]
fn a_gate_over_alerts_fails_while_one_fires_and_spends_nothing() {
    let gates: Vec<GateSpec> = ["errors", "alerts"]
        .map(|signal| toml::from_str(&format!("name = \"{signal}\"\nsignal = \"{signal}\"\non_fail = \"revert\"")).unwrap())
        .to_vec();
    let now = Time::UNIX_EPOCH;
    let words = |state, alerts: &[&str]| {
        let look = |_: &GateSpec| Look {
            sensors: vec![sensor(state, true)],
            queries: Vec::new(),
            alerts: alerts.iter().map(|a| (*a).into()).collect(),
        };
        let mut ledger = Ledger::default();
        ledger.follow(None, None, &gates);
        let states = ledger.judge(look, now);
        assert_eq!(states[0].evidence.as_ref().unwrap().lines.fail, 100.0, "one gate of odds reverts");
        (states[1].verdict.word(), states[1].verdict.reason().to_string())
    };
    assert_eq!(words(SensorState::Fresh, &[]).0, "pass");
    assert_eq!(words(SensorState::Fresh, &["alert A fires", "alert B fires"]), ("FAIL", "alert A fires +1 more".into()));
    assert_eq!(words(SensorState::Stale, &["alert A fires"]).0, "BLIND");
}
