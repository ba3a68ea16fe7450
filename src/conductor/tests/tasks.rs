//! Steps that try a candidate before it has traffic, and how many instances it has.

use super::*;

const CHECKED: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 4
bake = "0s"
steps = [{ scale = 1 }, { check = { http = "/selftest" } }, { warm = { requests = 200 } }, { weight = 5 }, { scale = 2 }, { pause = "manual" }, { weight = 50 }]
"#;

fn checked(plan: &str) -> World {
    let mut w = World::stable(plan, 4);
    w.deploy("v42").unwrap();
    w.ready("v42", 4);
    w.notes.clear();
    w
}

fn ends(w: &mut World, state: TaskState, evidence: &[&str]) {
    w.task = Some((w.run().step, state, evidence.iter().map(|line| (*line).into()).collect()));
    w.settle();
    w.task = None;
}

#[test]
fn what_is_tried_is_tried_on_a_candidate_without_traffic() {
    let mut w = checked(CHECKED);
    let task = w.life.wanted().task.unwrap();
    assert_eq!((w.place(), task.step, task.what.kind(), task.pool), (("stepping", 2, 0.0), 1, "check", w.run().candidate.pool()));
    assert_eq!(w.counts().last().unwrap().1, 1, "scale comes first");
    assert_eq!(w.next(), "warm 200 when the check works [plan]");
    ends(&mut w, TaskState::Running("1 of 2 instances".into()), &[]);
    assert_eq!((w.place().1, w.next()), (2, "warm 200 when the check works: 1 of 2 instances [plan]".into()));
    assert_eq!(w.act(Action::Step), Err("not_now: check runs: 1 of 2 instances; to skip it give a reason".into()));
    ends(&mut w, TaskState::Done("200 in 3 ms".into()), &["GET /selftest 200"]);
    assert_eq!((w.place(), w.life.wanted().task.unwrap().what.kind()), (("stepping", 3, 0.0), "warm"));
    ends(&mut w, TaskState::Done("200 requests".into()), &[]);
    assert_eq!((w.place(), w.life.wanted().task), (("stepping", 6, 5.0), None));
    assert_eq!(
        w.said(),
        [
            "plan: step 2 of 7 done: check: 200 in 3 ms",
            "check: GET /selftest 200",
            "plan: step 3 of 7 done: warm 200; 0 % → 5 %: 200 requests",
            "plan: step 4 of 7 done: 5 %",
            "plan: step 5 of 7 done: scale 2",
        ]
    );
}

#[test]
fn at_all_the_traffic_the_candidate_has_all_its_instances() {
    let mut w = checked(&CHECKED.replace("{ check = { http = \"/selftest\" } }, { warm = { requests = 200 } }, ", ""));
    assert_eq!((w.place(), w.counts()), (("stepping", 4, 5.0), vec![("v41".into(), 4), ("v42".into(), 2)]));
    w.weight(100.0).unwrap_err();
    w.ready("v42", 3);
    w.act(Action::Step).unwrap();
    assert_eq!((w.place(), w.counts().last().unwrap().1), (("stepping", 6, 50.0), 4), "they are there before the traffic is");
    assert_eq!(w.view().attention, None, "instances that start are no loss");
    w.ready("v42", 4);
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn instances_that_a_scale_cannot_start_are_told_when_their_time_is_over() {
    let mut w = World::stable(&CHECKED.replace("{ check = { http = \"/selftest\" } }, { warm = { requests = 200 } }, ", ""), 4);
    w.deploy("v42").unwrap();
    w.ready("v42", 1);
    w.pass(100);
    assert_eq!((w.place(), w.view().phase, w.view().attention), (("stepping", 3, 5.0), crate::model::rollout::Phase::Progressing, None));
    w.pass(30);
    let view = w.view();
    assert_eq!((view.phase, view.attention.unwrap().kind.as_str()), (crate::model::rollout::Phase::Held, "stuck"));
    assert_eq!(w.next(), "held: canary 1/2 ready [plan]");
    w.ready("v42", 2);
    assert_eq!((w.place().1, w.view().attention.unwrap().kind.as_str()), (4, "waiting"), "and it goes on by itself");
}

#[test]
fn a_failed_check_stops_the_run_until_a_person_says_why() {
    let mut w = checked(CHECKED);
    ends(&mut w, TaskState::Failed("exit code 1".into()), &["schema 7 is missing"]);
    w.pass(3600);
    assert_eq!((w.place(), w.life.wanted().task), (("stepping", 2, 0.0), None));
    assert_eq!(w.said(), ["check: held: check failed: exit code 1", "check: schema 7 is missing"]);
    let view = w.view();
    assert_eq!((view.reason.unwrap().as_str(), view.attention.unwrap().kind.as_str()), ("check failed: exit code 1", "failing"));
    assert_eq!(w.next(), "held: the check failed; t starts over, s leaves it with a reason [a person]");
    let off = "not_now: check failed: exit code 1; t starts over, to leave it give a reason";
    assert_eq!(w.act(Action::Step), Err(off.into()));
    assert_eq!(w.act(Action::Promote), Err("not_now: the check of step 2 has not worked yet; to go over it give a reason".into()));
    assert_eq!(w.weight(5.0), Err("not_now: the check of step 2 has not worked yet; to go over it give a reason".into()));

    ends(&mut w, TaskState::Failed("exit code 1".into()), &[]);
    w.said();
    w.because(Action::Step, false).unwrap();
    assert_eq!((w.place().1, w.said()[0].as_str()), (3, "ben: step 2 of 7 skipped: check: seen it before"));
    w.because(Action::SkipGate, false).unwrap();
    assert_eq!(w.place(), ("stepping", 6, 5.0), "a warm-up that runs is skipped likewise");
}

/// One plan of each strategy, with a check and a warm-up before the traffic.
fn each_strategy() -> impl Iterator<Item = (&'static str, String)> {
    let (head, _) = CHECKED.split_once("steps").unwrap();
    let plans = [
        ("canary", "{ scale = 1 }, { check = { http = \"/\" } }, { warm = { requests = 9 } }, { weight = 5 }"),
        ("blue-green", "{ check = { http = \"/\" } }, { warm = { requests = 9 } }, { pause = \"manual\" }"),
        ("rolling", "{ check = { http = \"/\" } }, { warm = { requests = 9 } }, { pause = \"manual\" }"),
        ("recreate", "{ check = { http = \"/\" } }, { warm = { requests = 9 } }, { pause = \"manual\" }"),
    ];
    plans.into_iter().map(move |(strategy, steps)| (strategy, format!("{head}strategy = \"{strategy}\"\nsteps = [{steps}]")))
}

#[test]
fn a_retry_of_a_failed_check_or_warm_up_starts_over_with_fresh_instances() {
    for (strategy, plan) in each_strategy() {
        for fails in ["check", "warm"] {
            let mut w = checked(&plan);
            if fails == "warm" {
                ends(&mut w, TaskState::Done("200".into()), &[]);
            }
            ends(&mut w, TaskState::Failed("500".into()), &[]);
            let (failed, step) = (w.run().clone(), w.run().step);
            assert_eq!((failed.current().unwrap().kind(), w.place().2), (fails, 0.0), "{strategy}");
            w.lingers = true;
            w.notes.clear();
            w.act(Action::Retry).unwrap();
            let (run, old) = (w.run().clone(), failed.candidate.pool());
            let fresh = run.candidate.pool();
            assert_eq!((&run.candidate.id, run.weight, run.tried.len()), (&failed.candidate.id, Weight::ZERO, 0), "{strategy} {fails}");
            assert_ne!((&run.id, &fresh), (&failed.id, &old), "{strategy} {fails}");
            assert!(w.said()[0].starts_with(&format!("ben: run {} tries v42 again", run.id.text())));
            let wanted = w.life.wanted();
            assert!(wanted.pools.iter().all(|d| d.pool() != old), "{strategy}: nothing of the failed try is used again");
            if strategy == "recreate" {
                assert_eq!(w.place().0, "starting", "one version ends before the next starts, also where it is the same one");
                assert!(wanted.pools.is_empty());
                w.lingers = false;
                w.seen.pools.clear();
                w.settle();
            }
            // It dies before anything of it was tried: what was begun is still so.
            let again = w.run().clone();
            w.crash();
            assert_eq!((&w.run().id, w.run().candidate.pool(), w.run().step <= step), (&again.id, fresh, true), "{strategy} {fails}");
            if w.run().stopped.is_some() {
                w.act(Action::Step).unwrap();
            }
            let task = w.life.wanted().task.unwrap();
            assert_eq!((task.run, task.what.kind(), task.pool), (again.id, "check", w.run().candidate.pool()), "{strategy} {fails}");
            // And back from there, as from any start.
            w.back("v41").unwrap();
            w.ready("v41", 4);
            assert_eq!((w.run().word(), w.serving()), ("reverted", Some("v41")), "{strategy} {fails}");
        }
    }
}

#[test]
fn what_never_had_traffic_and_was_not_ready_in_time_starts_over_too() {
    let plan = CHECKED.replace("bake =", "deadline = { ready = \"1m\" }\nbake =");
    let (head, _) = plan.split_once("steps").unwrap();
    let mut w = World::stable(&format!("{head}strategy = \"rolling\""), 4);
    w.deploy("v42").unwrap();
    w.ready("v42", 1);
    // Its second batch is missing while the first one serves: whoever wants to try again goes back first.
    w.pass(120);
    assert!(w.place().2 > 0.0, "{:?}", w.place());
    assert_eq!(w.next(), "held: canary 1/2 ready after 1m; R goes back [a person]");
    assert_eq!(w.act(Action::Retry), Err("not_now: run r2 is in progress: R goes back first".into()));
    w.back("v41").unwrap();
    w.ready("v42", 0);
    w.act(Action::Retry).unwrap();
    assert_eq!(w.place(), ("starting", 1, 0.0));

    let mut w = World::stable(&plan, 4);
    w.deploy("v42").unwrap();
    w.pass(120);
    assert_eq!(w.next(), "held: canary 0/1 ready after 1m; t retries [a person]");
    w.act(Action::Pause).unwrap();
    assert_eq!(w.act(Action::Retry), Err("not_now: paused by ben 03:12, c resumes".into()));
    w.act(Action::Resume).unwrap();
    w.act(Action::Retry).unwrap();
    assert_eq!((w.place(), w.run().candidate.generation), (("starting", 1, 0.0), 3));
}

#[test]
fn the_first_version_of_all_starts_over_as_well() {
    let mut w = World::new(CHECKED);
    w.deploy("v41").unwrap();
    w.ready("v41", 4);
    // A first deploy goes to all the traffic without its steps; what it cannot is get ready.
    assert_eq!(w.serving(), Some("v41"));
    let mut w = World::new(CHECKED);
    w.deploy("v41").unwrap();
    w.pass(700);
    assert_eq!(w.place().0, "failed");
    w.act(Action::Retry).unwrap();
    assert_eq!((w.place().0, w.run().candidate.generation), ("starting", 2));
}

#[test]
fn a_check_does_what_its_owner_wants_when_it_fails() {
    let plan = |what: &str| CHECKED.replace("\"/selftest\"", &format!("\"/selftest\", on_fail = \"{what}\""));
    let mut w = checked(&plan("revert"));
    ends(&mut w, TaskState::Failed("404".into()), &[]);
    assert_eq!((w.place(), w.view().reason.unwrap().as_str()), (("reverted", 2, 0.0), "back on v41: check failed: 404"));
    let mut w = checked(&plan("advise"));
    ends(&mut w, TaskState::Failed("404".into()), &["GET /selftest 404"]);
    assert_eq!(w.place().1, 3);
    assert_eq!(w.said()[..2], ["check: step 2 of 7 left: check: check failed: 404", "check: GET /selftest 404"]);
}

#[test]
fn a_result_of_another_try_says_nothing() {
    let mut w = checked(CHECKED);
    let task = w.life.wanted().task.unwrap();
    let other = |run: &str, step, since| TaskSeen {
        run: RunId::new(run),
        step,
        since,
        state: TaskState::Done("".into()),
        took: Duration::ZERO,
        answers: vec![],
    };
    w.seen.tasks = vec![other("r1", 1, task.since), other("r2", 2, task.since), other("r2", 1, task.since - chrono::Duration::seconds(1))];
    w.settle();
    assert_eq!(w.place().1, 2);
}

#[test]
fn what_was_tried_is_kept_with_the_run_and_stays_small() {
    let mut w = checked(CHECKED);
    let long: Vec<String> = (0..300).map(|n| format!("{n} {}", "x".repeat(390))).collect();
    let lines: Vec<&str> = long.iter().map(String::as_str).collect();
    ends(&mut w, TaskState::Running("1 of 2 instances".into()), &[]);
    assert!(w.run().tried.is_empty(), "it has not ended");
    ends(&mut w, TaskState::Done("2 instances passed".into()), &lines);
    ends(&mut w, TaskState::Failed("none was answered".into()), &["slowest answer 9 ms"]);
    let said = |w: &World| {
        let tried = w.run().tried.iter();
        tried
            .map(|t| (t.step, t.kind.to_string(), t.what.to_string(), t.passed, t.took.as_millis(), t.answers[0].lines.len()))
            .collect::<Vec<_>>()
    };
    let kept =
        [(1, "check".to_owned(), "GET /selftest".to_owned(), true, 1_200, 20), (2, "warm".to_owned(), "GET /".to_owned(), false, 1_200, 1)];
    assert_eq!(said(&w), kept, "what is newest is kept whole, of what is older its end");
    assert_eq!(w.run().tried[0].dropped, 280, "and it is said that something is missing");
    w.crash();
    assert_eq!(said(&w), kept, "it is on disk");
    w.because(Action::Step, false).unwrap();
    w.pass(1);
    w.because(Action::Step, false).unwrap();
    let life = serde_json::to_string(&w.life.run).unwrap();
    assert!(life.len() < 16 << 10, "{} bytes", life.len());
    // A run that is back keeps what was seen of it; the next one has its own.
    w.back("v41").unwrap();
    assert_eq!(said(&w), kept);
    w.act(Action::Retry).unwrap();
    assert!(w.run().tried.is_empty());
}

#[test]
fn a_crash_tries_again() {
    let mut w = checked(CHECKED);
    let task = w.life.wanted().task.unwrap();
    w.crash();
    assert_eq!((w.place().1, w.life.wanted().task), (2, None), "nothing is tried before a person lets it go on");
    w.act(Action::Step).unwrap();
    assert_eq!(w.life.wanted().task, Some(task));
}
