//! A gate that goes back by itself, from the first failing request to the journal's last line.

use super::rig::{canary, deploy, sample, until, version};
use crate::support::host::Host;
use cutover::{
    journal::{self, Kind, Line},
    model::{
        action::{Action, Observation, Outcome},
        gate::Evidence,
        rollout::{Phase, Rollout},
        signal::Sample,
    },
};
use std::fs;

#[test]
fn a_failing_gate_goes_back_by_itself_and_everything_says_so() {
    let gate = "[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nlimit = 50\non_fail = \"revert\"";
    let host = canary(gate);
    // v2 is sound: with traffic the gate passes and nothing moves. Nothing is known of bursts, so it
    // takes 3.65 x 10 / 50 % requests of the half that it gets.
    until("passing", || {
        assert_eq!(host.requests(20), [200; 20]);
        host.rollout().gates.iter().all(|g| g.verdict.passed()).then_some(())
    });
    host.ok(&["revert", "web"]);
    deploy(&host, "web", &version(&host, "v3", "errors = [[0.0, 100.0]]"), "paused");
    let mut failed = 0;
    let back = until("back by itself", || {
        failed += host.requests(5).iter().filter(|status| **status == 500).count();
        let rollout = host.rollout();
        (rollout.phase == Phase::Reverted).then_some(rollout)
    });
    assert!((50..400).contains(&failed), "{failed} failed");
    assert_eq!(back.last.as_ref().unwrap().by.as_str(), "gate errors");
    assert!(back.reason.as_ref().unwrap().as_str().contains("gate errors failed"), "{back:#?}");
    let proof = host.until("a proof", |r| r.proof.is_some()).proof.unwrap();
    assert_eq!((proof.left.label.as_str(), proof.requests_after), ("v3", 0));
    assert!(proof.safe_at.is_some() && proof.safe_since.is_none());
    for _ in 0..20 {
        assert_eq!(host.get("/").0, 200);
    }
    // What failed stays readable after the teardown.
    let torn_down = host.until("torn down", |r| r.candidate().is_some_and(|t| t.pools.is_empty()));
    assert!(torn_down.candidate().unwrap().signals.contains_key(&cutover::model::signal::SignalId::Errors));

    let place = host.dir.join("journal.jsonl");
    let own = until("three lines", || {
        let text = fs::read_to_string(&place).unwrap();
        let lines = text.lines().map(|l| serde_json::from_str::<Line>(l).unwrap().entry);
        let own: Vec<_> = lines.filter(|e| e.actor.as_str() == "gate errors").collect();
        (own.len() == 3).then_some(own)
    });
    journal::verify(&place).unwrap();
    assert_eq!(own.iter().map(|e| e.kind).collect::<Vec<_>>(), [Kind::Intent, Kind::Outcome, Kind::Observation]);
    assert!(own.iter().all(|e| e.id == own[0].id && e.run == own[0].run && matches!(e.action, Some(Action::Back { .. }))), "{own:#?}");
    assert!(own[0].evidence.iter().any(|line| line.as_str().contains("FAIL")), "{own:#?}");
    assert!(matches!(own[1].outcome, Some(Outcome::Accepted { changed: true, .. })));
    assert_eq!(own[2].observation, Some(Observation::Confirmed));
}

/// Seals a version that answers in about so many milliseconds.
fn paced(host: &Host, label: &str, median_ms: f64) -> String {
    host.seal(label, &[("behaviour.toml", &format!("# {label}\nmedian_ms = {median_ms:?}\nspread = 0.05\n"))])
}

/// The words of a gate and what they rest on.
fn says(rollout: &Rollout, gate: &str) -> Option<(&'static str, String, Evidence)> {
    let state = rollout.gates.iter().find(|g| g.id.as_str() == gate)?;
    Some((state.verdict.word(), state.verdict.reason().to_string(), state.evidence.clone()?))
}

/// Sends requests until a gate says a word.
fn until_it_says(host: &Host, gate: &str, word: &str) -> (String, Evidence) {
    until(&format!("{gate} {word}"), || {
        host.requests(20);
        says(&host.rollout(), gate).filter(|(said, ..)| *said == word).map(|(_, why, evidence)| (why, evidence))
    })
}

#[test]
fn slow_answers_and_those_that_never_come_fail_and_quick_ones_pass() {
    let gate = |name: &str, limit: f64| {
        format!("[[service.gate]]\nname = \"{name}\"\nsignal = \"{name}\"\ninterval = \"1s\"\nwarmup = \"0s\"\nlimit = {limit:?}\n")
    };
    let proxy = "proxy = { timeout = \"2s\", try_timeout = \"100ms\" }\n";
    let host = Host::start(&sample("web", &format!("{proxy}{}{}", gate("slow", 40.0), gate("timeouts", 40.0))));
    deploy(&host, "web", &paced(&host, "v1", 1.0), "completed");
    // What is slow is stable's p99, which takes a hundred requests to know.
    assert_eq!(host.requests(150), [200; 150]);
    deploy(&host, "web", &paced(&host, "v2", 1.0), "paused");
    let (why, evidence) = until_it_says(&host, "timeouts", "pass");
    assert!(why.starts_with("under 40 %, "), "{why}");
    assert!(evidence.sensors.iter().all(|s| s.age.is_some_and(|age| age.as_secs() < 5)), "{evidence:#?}");
    until_it_says(&host, "slow", "pass");
    host.ok(&["revert", "web"]);
    // 150 ms are slow and no answer within the 100 ms of a try.
    deploy(&host, "web", &paced(&host, "v3", 150.0), "paused");
    for name in ["timeouts", "slow"] {
        let (why, evidence) = until_it_says(&host, name, "FAIL");
        // One may have ended otherwise: the machine has other things to do, too.
        assert!(evidence.run_candidate.value().is_some_and(|share| share >= 0.9), "{name}: {why}");
        assert!(evidence.run_candidate.samples() > 20, "{evidence:#?}");
    }
}

#[test]
fn slow_answers_of_a_young_instance_are_shown_and_not_judged() {
    let gate = "[[service.gate]]\nname = \"slow\"\nsignal = \"slow\"\ninterval = \"1s\"\nwarmup = \"10m\"\n";
    let host = Host::start(&sample("web", gate));
    deploy(&host, "web", &paced(&host, "v1", 1.0), "completed");
    assert_eq!(host.requests(150), [200; 150]);
    deploy(&host, "web", &paced(&host, "v2", 40.0), "paused");
    let evidence = until("shown", || {
        host.get("/");
        says(&host.rollout(), "slow")
            .and_then(|(_, _, evidence)| evidence.warming.as_ref().is_some_and(|w| w.samples() >= 5).then_some(evidence))
    });
    assert_eq!((evidence.intervals, evidence.candidate.samples()), (0, 0), "{evidence:#?}");
}

#[test]
fn restarts_are_counted_by_instance_and_time() {
    let gate = "[[service.gate]]\nname = \"restarts\"\nsignal = \"restarts\"\ninterval = \"1s\"\nlimit = 50000\n";
    let host = canary(gate);
    // 3.65 x 10 / 50,000 an hour: under three seconds of one instance.
    let (why, _) = until_it_says(&host, "restarts", "pass");
    assert!(why.starts_with("under 50000/h, "), "{why}");
    let pid = until("a process", || {
        let rollout = host.rollout();
        rollout.candidate()?.pools.iter().flat_map(|p| &p.instances).find_map(|i| i.pid)
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("counted", || {
        let (_, _, evidence) = says(&host.rollout(), "restarts")?;
        matches!(evidence.run_candidate, Sample::Counts { hits, .. } if hits >= 1.0).then_some(())
    });
}

/// Nothing is known of how stable's restarts come, so that each counts for a tenth: 28 of them show it.
#[test]
fn instances_that_end_again_and_again_fail_the_gate_and_go_back() {
    let gate = "[[service.gate]]\nname = \"restarts\"\nsignal = \"restarts\"\ninterval = \"1s\"\non_fail = \"revert\"\n";
    let host = canary(&format!("instances = 4\nrestart = {{ min = \"50ms\", max = \"50ms\" }}\n{gate}"));
    let mut ended = std::collections::BTreeSet::new();
    let back = until("back by itself", || {
        let rollout = host.rollout();
        let pids = rollout.candidate().into_iter().flat_map(|t| &t.pools).flat_map(|p| &p.instances).filter_map(|i| i.pid);
        for pid in pids.filter(|_| rollout.phase == Phase::Held) {
            if ended.insert(pid) {
                // It may have ended by itself.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), nix::sys::signal::Signal::SIGKILL);
            }
        }
        (rollout.phase == Phase::Reverted).then_some(rollout)
    });
    assert_eq!(back.last.as_ref().unwrap().by.as_str(), "gate restarts");
    let reason = back.reason.as_ref().unwrap().as_str().to_owned();
    assert!(reason.contains("gate restarts failed") && ended.len() >= 28, "{reason}: {} ended", ended.len());
}

#[test]
fn a_version_that_was_promoted_over_its_gate_is_judged_anew_and_alone() {
    let gate = "bake = \"10m\"\n[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nlimit = 60\n";
    let host = Host::start(&sample("web", gate));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    // A third fails: worse than stable, under the limit.
    deploy(&host, "web", &version(&host, "v2", "errors = [[0.0, 33.0]]"), "paused");
    let (why, _) = until_it_says(&host, "errors", "FAIL");
    assert!(why.contains(", worse "), "{why}");
    host.ok(&["promote", "web", "--yes", "--force", "--reason", "the third is a test"]);
    host.until("all of it", |r| r.phase == Phase::Completed);
    let (why, evidence) = until_it_says(&host, "errors", "pass");
    assert!(why.starts_with("under 60 %, ") && why.ends_with(", alone: no stable beside it"), "{why}");
    assert!((evidence.odds - 1.0).abs() < 1e-9 && evidence.stable.samples() == 0, "{evidence:#?}");
    assert!(evidence.sensors.iter().all(|s| s.name.as_str() == "requests of stable"), "{evidence:#?}");
    // How its errors come is known when the next run begins: it is stable.
    deploy(&host, "web", &version(&host, "v3", "errors = [[0.0, 33.0]]"), "paused");
    until("more is known than nothing", || {
        host.requests(5);
        says(&host.rollout(), "errors").filter(|(_, _, e)| e.intervals > 0 && e.phi < 10.0).map(drop)
    });
}
