//! Plans of every strategy, of older versions, and of a line that is stopped.

use super::{
    super::plan, Action, Duration, How, Measured, Phase, Plan, Refusal, Rollout, Step, StepSpec, Strategy, VersionId, Weight, ask, at,
    back, by_hand, changed, freeze, planned, rollout, said, versions, w, weights,
};
use crate::model::{
    action::Guard,
    digest::Digest,
    rollout::{Attention, Hold, Standing},
    step::WarmSpec,
};

/// v42 was promoted and v41 is gone: the way back is a new deploy of it.
fn completed(r: &mut Rollout) {
    let v41 = r.tracks.remove(0).version;
    r.tracks[0].role = crate::model::ident::Role::Stable;
    r.tracks[0].share.declared = Some(Weight::FULL.into());
    r.tracks[0].version.config = Some(Digest::of(b"config"));
    r.phase = Phase::Completed;
    r.at = None;
    r.versions = versions();
    r.back.to = Some(v41);
    r.back.how = How::Redeploy { steps: 8 };
}

fn all(texts: &[crate::model::text::Text]) -> Vec<&str> {
    texts.iter().map(crate::model::text::Text::as_str).collect()
}

fn undo(label: &str) -> Action {
    Action::Undo { to: VersionId::new(format!("id-{label}")) }
}

fn facts(plan: &Plan) -> Vec<String> {
    match &plan.calls[0].guard {
        Guard::Facts(facts) => facts.iter().map(|f| format!("{}={}", f.name, f.is.as_str())).collect(),
        Guard::ReadBack => panic!("nothing is guarded"),
    }
}

#[test]
fn a_redeploy_says_what_it_takes_and_what_serves_meanwhile() {
    let plan = planned(back(), |r| {
        completed(r);
        r.back.measured = Some(Measured { usual: Some(Duration::from_secs(40)), worst: Duration::from_secs(52), n: 3 });
    });
    assert_eq!((plan.title.as_str(), plan.takes), ("BACK by re-deploy, about 40 s, 8 steps skipped", Some(Duration::from_secs(52))));
    assert_eq!(all(&plan.notes), ["v42 keeps serving until all of v41 is ready", "4 instances of v42 finish their requests and end"]);
    assert_eq!(weights(&plan), ["v42 100 % → 0 %", "v41 0 % → 100 %"]);
    assert!(plan.warns.is_empty(), "{:?}", plan.warns);
    // Never measured: no estimate.
    let plan = planned(back(), completed);
    assert_eq!((plan.title.as_str(), plan.takes), ("BACK by re-deploy, 8 steps skipped", None));
    let recreate = planned(back(), |r| {
        completed(r);
        r.strategy = Strategy::Recreate;
    });
    assert_eq!(all(&recreate.warns), ["nothing serves in between: v42 ends before v41 starts"]);
    let switch_only = crate::runtime::Ask { switch_only: true, ..ask(back()) };
    let refused = super::plan(&changed(completed), &switch_only);
    assert!(matches!(refused, Err(Refusal::NotNow { why }) if why.as_str().starts_with("there is no switch back")));
}

#[test]
fn the_way_back_says_what_speaks_against_its_end_and_against_leaving() {
    let plan = planned(back(), |r| {
        r.tracks[1].version.back_unsafe = Some("migration 0042".into());
        r.tracks[0].version.back_unsafe = Some("of no interest: it is where we go".into());
        r.versions = versions();
        r.versions[1].standing = Standing::Tainted { by: "ana".into(), reason: "leaks".into() };
    });
    assert_eq!(all(&plan.warns), ["UNSAFE to leave v42: migration 0042", "v41 was tainted by ana: leaks"]);
    assert!(!plan.needs_reason, "it is shown and blocks nothing");
}

#[test]
fn an_undo_names_version_standing_and_steps() {
    let plan = planned(undo("v41"), completed);
    assert_eq!(
        plan.title.as_str(),
        "UNDO v42 → v41, through 5 %, gate(2), 33.33 %, gate(1), pause, 50 %, pause 30s, then 100 %",
        "the same configuration: the steps are known"
    );
    assert_eq!(
        all(&plan.notes),
        ["v41 is good: 26 h with all the traffic, 0.02 % of it failed", "fresh instances; no traffic before they are ready"]
    );
    assert_eq!(weights(&plan), ["v42 100 % → 100 %", "v41 0 % → 0 %"]);
    assert_eq!(facts(&plan), ["run=r1", "stable=id-v42", "to=id-v41"]);
    assert!(!plan.needs_reason && plan.warns.is_empty());
    let other = planned(undo("v41"), |r| {
        completed(r);
        r.versions[1].version.config = Some(Digest::of(b"another"));
        r.tracks[0].version.back_unsafe = Some("migration 0042".into());
    });
    assert_eq!(other.title.as_str(), "UNDO v42 → v41, through the steps it was deployed with");
    assert_eq!(all(&other.warns), ["UNSAFE to leave v42: migration 0042"]);
    let tainted = planned(undo("v40"), completed);
    assert_eq!((all(&tainted.warns), tainted.needs_reason), (vec!["v40 was tainted by ana: leaks memory"], true));
    assert_eq!(all(&planned(undo("v39"), completed).warns), ["v39 was left because it was bad: errors FAIL"]);
}

#[test]
fn a_way_back_that_does_not_get_there_may_be_left_for_another() {
    let stuck = |r: &mut Rollout| {
        completed(r);
        r.phase = Phase::Reverting;
        r.back.to = Some(r.versions[5].version.clone());
    };
    let other = Action::Back { to: VersionId::new("id-v37") };
    assert_eq!(said(other, stuck), "BACK by re-deploy, 8 steps skipped");
    assert!(said(undo("v37"), stuck).starts_with("UNDO v42 → v37"));
    let going = |r: &mut Rollout| {
        r.phase = Phase::Reverting;
        r.back.how = How::Already { since: at("03:12:09") };
    };
    assert_eq!(said(back(), going), "already_so: already on the way back to v41");
}

#[test]
fn an_undo_that_cannot_be_says_what_could() {
    assert_eq!(said(undo("v42"), completed), "already_so: v42 has all the traffic already");
    assert_eq!(
        said(undo("v38"), completed),
        "not_now: the artifact of v38 is not in the store any more; could be deployed: v41 (good), v37 (good)"
    );
    assert_eq!(said(undo("v1"), completed), "not_now: no version id-v1 is known here; known: v42, v41, v40, v39, v38, v37");
    assert_eq!(said(undo("v1"), |_| {}), "not_now: no version id-v1 is known here; none is");
    assert_eq!(said(undo("v37"), |r| r.versions = versions()), "not_now: a run is in progress; revert goes back first");
}

#[test]
fn a_freeze_stops_what_moves_forward_and_nothing_else() {
    let stopped = |r: &mut Rollout| {
        r.frozen = Some(freeze());
        r.versions = versions();
    };
    let why = "frozen: frozen by ana 02:14 until 06:00: peak hour";
    for action in [Action::Step, Action::SkipGate, Action::Promote, Action::SetWeight { weight: w(5000) }] {
        assert_eq!(said(action.clone(), stopped), why, "{action:?}");
    }
    for (action, phase) in [(undo("v37"), Phase::Completed), (undo("v37"), Phase::Reverted), (Action::Retry, Phase::Reverted)] {
        let over = |r: &mut Rollout| {
            stopped(r);
            r.phase = phase;
        };
        assert_eq!(said(action, over), why);
    }
    let both = |r: &mut Rollout| {
        stopped(r);
        r.holds = vec![by_hand(None)];
    };
    assert_eq!(said(back(), stopped), "BACK by switch");
    assert_eq!(said(Action::Pause, stopped), "PAUSE at 33.33 %, step 3 of 7");
    assert_eq!(said(Action::SetWeight { weight: w(100) }, stopped), "WEIGHT: 33.33 → 1 % and hold there");
    assert_eq!(all(&planned(Action::Resume, both).warns), ["it stays frozen by ana 02:14 until 06:00: peak hour"]);
    let taint = Action::Taint { version: VersionId::new("id-v41") };
    assert_eq!(said(taint, stopped), "TAINT v41");
    // It ends by itself.
    let over = |r: &mut Rollout| {
        stopped(r);
        r.seen.server_time = at("06:00:00");
    };
    assert_eq!(said(Action::Step, over), "STEP: stays at 33.33 %");
    assert_eq!(said(Action::Thaw, over), "already_so: checkout is not frozen");
}

#[test]
fn freeze_and_thaw() {
    let until = |time: &str| Action::Freeze { until: Some(at(time)) };
    let plan = planned(until("06:00:00"), |_| {});
    assert_eq!(plan.title.as_str(), "FREEZE checkout until 06:00");
    assert!(plan.needs_reason && facts(&plan).is_empty());
    assert_eq!(plan.notes[2].as_str(), "the run stays at 33.33 %, step 3 of 7");
    assert_eq!(weights(&plan), ["v41 66.67 % → 66.67 %", "v42 33.33 % → 33.33 %"]);
    assert_eq!(said(Action::Freeze { until: None }, |_| {}), "FREEZE checkout until it is lifted");
    let tomorrow = Action::Freeze { until: Some(at("03:00:00") + chrono::Duration::days(1)) };
    assert_eq!(said(tomorrow, |_| {}), "FREEZE checkout until 01-02 03:00");
    assert_eq!(said(until("03:12:09"), |_| {}), "not_now: 03:12 has passed already (it is 03:12 there)");
    let stopped = |r: &mut Rollout| r.frozen = Some(freeze());
    let why = "already_so: already frozen by ana 02:14 until 06:00: peak hour";
    assert_eq!(said(until("06:00:00"), stopped), why);
    assert_eq!(all(&planned(until("08:00:00"), stopped).warns), ["it replaces the freeze by ana 02:14 until 06:00: peak hour"]);
    let thaw = planned(Action::Thaw, stopped);
    assert_eq!(thaw.title.as_str(), "THAW checkout, frozen by ana 02:14 until 06:00: peak hour");
    assert_eq!(thaw.notes[0].as_str(), "the plan goes on at 33.33 %, step 3 of 7, unless something else holds it");
    assert_eq!(said(Action::Thaw, |_| {}), "already_so: checkout is not frozen");
}

#[test]
fn a_taint_moves_no_traffic_and_says_what_is_left() {
    let taint = |label: &str| Action::Taint { version: VersionId::new(format!("id-{label}")) };
    let plan = planned(taint("v41"), |r| r.versions = versions());
    assert_eq!((plan.title.as_str(), plan.needs_reason, facts(&plan)), ("TAINT v41", true, vec!["version=id-v41".to_owned()]));
    assert_eq!(all(&plan.warns), ["v41 has traffic now and keeps it"]);
    assert!(planned(taint("v37"), |r| r.versions = versions()).warns.is_empty());
    let last = planned(taint("v37"), |r| {
        completed(r);
        r.versions.remove(1);
    });
    assert_eq!(all(&last.warns), ["no other version is left that could be gone back to"]);
    assert_eq!(said(taint("v40"), |r| r.versions = versions()), "already_so: v40 is tainted already by ana: leaks memory");
    assert!(said(taint("v1"), |r| r.versions = versions()).starts_with("not_now: no version id-v1 is known"));
}

fn with_step(spec: StepSpec) -> impl Fn(&mut Rollout) {
    move |r: &mut Rollout| r.steps[2] = Step { label: spec.label(2), spec: spec.clone() }
}

fn check() -> StepSpec {
    serde_json::from_str(r#"{ "check": { "http": "/selftest" } }"#).unwrap()
}

#[test]
fn a_check_that_has_not_passed_is_left_with_a_reason_only() {
    let plan = planned(Action::Step, with_step(check()));
    assert_eq!((plan.title.as_str(), plan.needs_reason), ("SKIP CHECK: 33.33 → 5 %", true), "the weight before it");
    assert_eq!(plan.notes[1].as_str(), "the check has not ended yet");
    let failed = |kind: &'static str| {
        move |r: &mut Rollout| {
            with_step(check())(r);
            r.holds = vec![Hold::Stopped { since: at("03:00:00"), reason: "check /selftest: 500".into() }];
            r.attention = Some(Attention { kind: kind.into(), since: at("03:00:00") });
        }
    };
    let plan = planned(Action::Step, failed("failing"));
    assert_eq!((plan.title.as_str(), plan.needs_reason, plan.action.clone()), ("SKIP CHECK: 33.33 → 5 %", true, Action::SkipGate));
    assert_eq!(all(&plan.notes), ["step 3 → 4 of 7 (gate(1))", "check /selftest: 500"]);
    // After a restart it is tried again, and nothing is skipped, whatever reason is given.
    for action in [Action::Step, Action::SkipGate] {
        let plan = planned(action, failed("waiting"));
        assert_eq!((plan.title.as_str(), plan.needs_reason, plan.action), ("STEP goes on at 33.33 %, step 3 of 7", false, Action::Step));
    }
    // Or all of it is tried again, with instances that nothing was tried on.
    let untouched = |r: &mut Rollout| {
        r.phase = Phase::Held;
        r.tracks[1].share.declared = Some(Weight::ZERO.into());
        r.tracks[1].share.programmed = Some(Weight::ZERO.into());
        r.tracks[0].share.declared = Some(Weight::FULL.into());
    };
    let held = |kind| {
        move |r: &mut Rollout| {
            failed(kind)(r);
            untouched(r);
        }
    };
    let retry = planned(Action::Retry, held("failing"));
    assert_eq!(retry.title.as_str(), "RETRY v42 from step 1");
    assert_eq!(all(&retry.notes), ["check /selftest: 500", "fresh instances; no traffic before they are ready"]);
    assert_eq!(weights(&retry), ["v41 100 % → 100 %", "v42 0 % → 0 %"]);
    assert_eq!(
        said(Action::Retry, |r| {
            held("failing")(r);
            r.holds.push(by_hand(None));
        }),
        "not_now: paused by ben 02:14; resume lifts it"
    );
    let recreated = planned(Action::Retry, |r| {
        held("failing")(r);
        r.strategy = Strategy::Recreate;
    });
    assert_eq!(all(&recreated.warns), ["nothing serves in between: v42 ends before the new instances start"]);
    assert_eq!(said(Action::Retry, held("waiting")), "not_now: the run goes on; revert goes back first");
    assert_eq!(
        said(Action::Retry, |r| {
            held("failing")(r);
            r.frozen = Some(freeze());
        }),
        "frozen: frozen by ana 02:14 until 06:00: peak hour"
    );
    let late = |r: &mut Rollout| {
        r.phase = Phase::Held;
        r.holds = vec![Hold::Stopped { since: at("03:00:00"), reason: "not ready in 2 min".into() }];
        r.attention = Some(Attention { kind: "stuck".into(), since: at("03:00:00") });
    };
    assert_eq!(said(Action::Retry, late), "not_now: the run goes on; revert goes back first", "it has traffic");
    let late = |r: &mut Rollout| {
        late(r);
        untouched(r);
    };
    assert_eq!(said(Action::Retry, late), "RETRY v42 from step 1");
    // Whoever goes over one says why, too.
    let ahead = |r: &mut Rollout| r.steps[4] = Step { label: "check".into(), spec: check() };
    for action in [Action::Promote, Action::SetWeight { weight: w(5000) }] {
        let plan = planned(action, ahead);
        assert!(plan.needs_reason && all(&plan.notes).contains(&"the check of step 5 has not succeeded"), "{:?}", plan.notes);
    }
    assert!(!planned(Action::SetWeight { weight: w(100) }, ahead).needs_reason);
    let warm = StepSpec::Warm(WarmSpec { requests: 100, path: "/".into() });
    assert!(said(Action::Step, with_step(warm)).starts_with("SKIP WARM-UP"));
    let scale = |ready| {
        move |r: &mut Rollout| {
            with_step(StepSpec::Scale(4))(r);
            r.tracks[1].pools[0].ready = ready;
        }
    };
    assert_eq!(said(Action::Step, scale(2)), "not_now: canary 2/4 ready");
    assert!(said(Action::Step, scale(4)).starts_with("STEP"));
}

#[test]
fn each_strategy_has_its_own_switch() {
    // Check, gate, pause: the traffic is there from the gate on.
    let blue_green = |index: usize, strategy: Strategy| {
        move |r: &mut Rollout| {
            r.strategy = strategy;
            r.steps.truncate(5);
            r.steps.drain(..2);
            r.steps[0] = Step { label: "pause".into(), spec: StepSpec::Pause(crate::model::step::Pause::Manual) };
            r.at.as_mut().unwrap().index = index;
            let share = if index == 0 { Weight::ZERO } else { Weight::FULL };
            r.tracks[1].share.declared = Some(share.into());
            r.tracks[1].share.programmed = Some(share.into());
            r.tracks[0].share.declared = Some(share.rest().into());
        }
    };
    let step = planned(Action::Step, blue_green(0, Strategy::BlueGreen));
    assert_eq!(step.title.as_str(), "STEP: 0 → 100 %");
    assert_eq!(all(&step.notes), ["step 1 → 2 of 3 (gate(1))", "all traffic switches at once"]);
    assert_eq!(weights(&step), ["v41 100 % → 0 %", "v42 0 % → 100 %"]);
    assert_eq!(said(Action::Step, blue_green(1, Strategy::BlueGreen)), "STEP: stays at 100 %");
    let promote = planned(Action::Promote, blue_green(0, Strategy::BlueGreen));
    assert_eq!(promote.title.as_str(), "PROMOTE v42 by switch: 0 → 100 %");
    assert_eq!(promote.notes[1].as_str(), "4 instances of v41 stay warm for the way back");
    let rolling = planned(Action::Promote, |r| r.strategy = Strategy::Rolling);
    assert_eq!(
        all(&rolling.notes[1..]),
        ["the remaining instances are replaced batch by batch", "nothing of v41 stays warm: the way back is a re-deploy then"]
    );
    assert_eq!(said(Action::Step, |r| r.strategy = Strategy::Rolling), "STEP: stays at 33.33 %", "the share follows the instances");
    let half = Action::SetWeight { weight: w(5000) };
    for strategy in [Strategy::BlueGreen, Strategy::Rolling, Strategy::Recreate] {
        assert!(said(half.clone(), |r| r.strategy = strategy).starts_with("not_now: "), "{strategy:?}");
    }
    for share in [Weight::ZERO, Weight::FULL] {
        assert!(said(Action::SetWeight { weight: share }, |r| r.strategy = Strategy::BlueGreen).starts_with("WEIGHT"), "{share}");
    }
    assert_eq!(said(Action::Promote, blue_green(2, Strategy::Recreate)), "PROMOTE v42: stays at 100 %");
    let retry = planned(Action::Retry, |r| {
        r.strategy = Strategy::Recreate;
        r.phase = Phase::Reverted;
    });
    assert_eq!(all(&retry.warns), ["nothing serves in between: v41 ends before the new instances start"]);
}

#[test]
fn less_traffic_for_an_unsafe_version_is_said() {
    let less = Action::SetWeight { weight: w(100) };
    let plan = planned(less, |r| r.tracks[1].version.back_unsafe = Some("migration 0042".into()));
    assert_eq!(all(&plan.warns), ["UNSAFE to leave v42: migration 0042"]);
    let more = Action::SetWeight { weight: w(5000) };
    assert!(planned(more, |r| r.tracks[1].version.back_unsafe = Some("migration 0042".into())).warns.is_empty());
}

#[test]
fn no_sentence_names_a_key() {
    // Keys can be bound anew, and the command line has none.
    let mut texts = Vec::new();
    let mut all: Vec<(Rollout, Action)> = Vec::new();
    let verbs = [
        back(),
        Action::Pause,
        Action::Resume,
        Action::Step,
        Action::SkipGate,
        Action::Promote,
        Action::Retry,
        Action::Thaw,
        Action::SetWeight { weight: w(5000) },
        Action::Freeze { until: None },
        undo("v41"),
        undo("v40"),
    ];
    for phase in [Phase::Idle, Phase::Held, Phase::Reverting, Phase::Reverted, Phase::Completed, Phase::Failed] {
        for index in 0..7 {
            for hold in [None, Some(by_hand(None)), Some(Hold::Stopped { since: at("03:00:00"), reason: "a restart".into() })] {
                for verb in &verbs {
                    let mut r = rollout();
                    r.phase = phase.clone();
                    r.at.as_mut().unwrap().index = index;
                    r.holds = hold.clone().into_iter().collect();
                    r.versions = versions();
                    all.push((r, verb.clone()));
                }
            }
        }
    }
    for (r, verb) in all {
        match plan(&r, &ask(verb)) {
            Ok(plan) => texts.extend([vec![plan.title], plan.notes, plan.warns].concat().iter().map(ToString::to_string)),
            Err(refusal) => texts.push(refusal.to_string()),
        }
    }
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 30, "{texts:?}");
    for text in &texts {
        let keys = text
            .split(|c: char| !c.is_alphanumeric() && c != '-' && c != '→')
            .any(|word| ["s", "c", "R", "t", "p", "P", "w"].contains(&word));
        let unit = ["26 h", " s ", "30s"].iter().any(|u| text.contains(u));
        assert!(!keys || unit, "{text}");
    }
}
