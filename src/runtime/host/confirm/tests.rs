use super::confirm;
use crate::{
    model::{
        action::{Action, Observation},
        back::How,
        ident::Rev,
        ident::{RunId, VersionId},
        ratio::{Ratio, Weight},
        rollout::{Hold, LastAction, Phase, Rollout, Standing, Started},
    },
    runtime::host::plan::{
        plan,
        tests::{ask, at, freeze, rollout, versions},
    },
};

/// What is seen after an action that was planned on `before`.
fn seen(action: Action, before: impl FnOnce(&mut Rollout), after: impl FnOnce(&mut Rollout)) -> String {
    let mut rollout = rollout();
    before(&mut rollout);
    let plan = plan(&rollout, &ask(action)).unwrap();
    after(&mut rollout);
    match confirm(&plan, &rollout) {
        Observation::Confirmed => "confirmed".into(),
        Observation::Pending { missing } => format!("pending: {missing}"),
        Observation::Contradicted { by } => format!("contradicted: {by}"),
    }
}

const NOTHING: fn(&mut Rollout) = |_| {};

fn programmed(rollout: &mut Rollout, stable: u64, candidate: u64) {
    for (track, parts) in rollout.tracks.iter_mut().zip([stable, candidate]) {
        track.share.programmed = Some(Ratio { parts, whole: 10_000 });
    }
}

fn back() -> Action {
    Action::Back { to: VersionId::new("id-v41") }
}

fn manual(r: &mut Rollout) {
    r.holds = vec![Hold::Manual { by: "ben".into(), since: at("02:14:00"), weight: None }];
}

fn other_run(r: &mut Rollout) {
    r.run = Some(RunId::new("r2"));
    r.started = Some(Started { by: "eve".into(), at: at("03:13:00") });
}

fn gone_back(r: &mut Rollout) {
    r.phase = Phase::Reverting;
    r.last = Some(LastAction { by: "eve".into(), action: back(), at: at("03:13:00"), effect: "".into() });
}

#[test]
fn the_way_back_is_confirmed_by_the_router_and_the_host() {
    assert_eq!(seen(back(), NOTHING, NOTHING), "pending: v42 still has 33.33 % programmed");
    assert_eq!(seen(back(), NOTHING, |r| programmed(r, 9_999, 1)), "pending: v42 still has 0.01 % programmed");
    assert_eq!(seen(back(), NOTHING, |r| programmed(r, 10_000, 0)), "pending: the host has not confirmed it");
    let done = |r: &mut Rollout| {
        programmed(r, 10_000, 0);
        r.phase = Phase::Reverted;
        r.back.how = How::Already { since: at("03:12:10") };
    };
    assert_eq!(seen(back(), NOTHING, done), "confirmed");
    let follows = |r: &mut Rollout| {
        done(r);
        r.back.then = Some("v43".into());
    };
    assert_eq!(seen(back(), NOTHING, follows), "pending: v43 still follows");
    let starting = |r: &mut Rollout| {
        programmed(r, 0, 0);
        r.tracks[0].pools[0].ready = 1;
    };
    assert_eq!(seen(back(), NOTHING, starting), "pending: v41 has no traffic yet, 1/4 ready");
    assert_eq!(seen(back(), NOTHING, other_run), "contradicted: eve started run r2");
    assert_eq!(seen(back(), NOTHING, |r| r.tracks.clear()), "pending: id-v41 is not there yet");
}

#[test]
fn pause_and_resume() {
    assert_eq!(seen(Action::Pause, NOTHING, NOTHING), "pending: it is not paused yet");
    assert_eq!(seen(Action::Pause, NOTHING, manual), "confirmed");
    assert_eq!(seen(Action::Pause, NOTHING, gone_back), "contradicted: eve went back");
    assert_eq!(seen(Action::Resume, manual, NOTHING), "pending: still paused by ben");
    assert_eq!(seen(Action::Resume, manual, |r| r.holds.clear()), "confirmed");
}

#[test]
fn forwards() {
    assert_eq!(seen(Action::Step, NOTHING, NOTHING), "pending: still at step 3");
    assert_eq!(seen(Action::Step, NOTHING, |r| r.at.as_mut().unwrap().index = 3), "confirmed");
    assert_eq!(seen(Action::Step, NOTHING, |r| r.phase = Phase::Completed), "confirmed");
    assert_eq!(seen(Action::Step, NOTHING, other_run), "contradicted: eve started run r2");
    assert_eq!(seen(Action::Promote, NOTHING, |r| programmed(r, 5_000, 5_000)), "pending: 50 % of 100 % programmed");
    assert_eq!(seen(Action::Promote, NOTHING, |r| r.phase = Phase::Completed), "confirmed");
    assert_eq!(seen(Action::Promote, NOTHING, gone_back), "contradicted: eve went back");
    let half = Action::SetWeight { weight: Weight::from_bp(5_000).unwrap() };
    assert_eq!(seen(half.clone(), NOTHING, NOTHING), "pending: 33.33 % programmed, 50 % wanted");
    assert_eq!(seen(half, NOTHING, |r| programmed(r, 5_000, 5_000)), "confirmed");
}

#[test]
fn retry() {
    let reverted = |r: &mut Rollout| r.phase = Phase::Reverted;
    assert_eq!(seen(Action::Retry, reverted, NOTHING), "pending: no new run has begun");
    assert_eq!(seen(Action::Retry, reverted, other_run), "confirmed");
    // A step that left the failed check is no retry of it.
    let failed = |r: &mut Rollout| {
        r.phase = Phase::Held;
        r.holds = vec![Hold::Stopped { since: at("03:00:00"), reason: "check: 500".into() }];
        r.steps[2].spec = serde_json::from_str(r#"{ "warm": { "requests": 10 } }"#).unwrap();
        r.tracks[1].share.declared = Some(Weight::ZERO.into());
    };
    assert_eq!(seen(Action::Retry, failed, |r| r.holds.clear()), "pending: no new run has begun");
    assert_eq!(seen(Action::Retry, failed, other_run), "confirmed");
}

#[test]
fn undo() {
    let undo = || Action::Undo { to: VersionId::new("id-v37") };
    let over = |r: &mut Rollout| {
        r.phase = Phase::Reverted;
        r.versions = versions();
    };
    assert_eq!(seen(undo(), over, NOTHING), "pending: no new run has begun");
    assert_eq!(seen(undo(), over, other_run), "contradicted: eve started run r2");
    let begun = |r: &mut Rollout| {
        other_run(r);
        r.tracks[1].version.id = VersionId::new("id-v37");
        r.phase = Phase::Progressing;
    };
    assert_eq!(seen(undo(), over, begun), "confirmed");
}

#[test]
fn freeze_thaw_and_taint() {
    let freezing = || Action::Freeze { until: Some(at("06:00:00")) };
    assert_eq!(seen(freezing(), NOTHING, NOTHING), "pending: it is not frozen yet");
    assert_eq!(seen(freezing(), NOTHING, |r| r.frozen = Some(freeze())), "confirmed");
    assert_eq!(seen(freezing(), NOTHING, |r| r.seen.server_time = at("06:00:00")), "confirmed", "it was short");
    let longer = Action::Freeze { until: Some(at("08:00:00")) };
    let frozen = |r: &mut Rollout| r.frozen = Some(freeze());
    assert_eq!(seen(longer.clone(), frozen, NOTHING), "pending: the freeze before it is still in force");
    let by_eve = |action: Action| {
        move |r: &mut Rollout| {
            r.last = Some(LastAction { by: "eve".into(), action, at: at("03:13:00"), effect: "".into() });
            r.seen.rev = Rev(10);
        }
    };
    assert_eq!(seen(longer, frozen, by_eve(Action::Freeze { until: None })), "contradicted: eve stopped the line");
    assert_eq!(seen(freezing(), NOTHING, by_eve(Action::Thaw)), "contradicted: eve lifted the freeze");
    assert_eq!(seen(Action::Thaw, frozen, NOTHING), "pending: still frozen by ana");
    assert_eq!(seen(Action::Thaw, frozen, |r| r.frozen = None), "confirmed");
    assert_eq!(seen(Action::Thaw, frozen, by_eve(freezing())), "contradicted: eve stopped the line");

    let taint = || Action::Taint { version: VersionId::new("id-v41") };
    let known = |r: &mut Rollout| r.versions = versions();
    assert_eq!(seen(taint(), known, NOTHING), "pending: it is still called good");
    let tainted = Standing::Tainted { by: "eve".into(), reason: "x".into() };
    assert_eq!(seen(taint(), known, |r| r.versions[1].standing = tainted), "confirmed");
}
