//! The way back when the old instances are gone, undo, and a deploy that replaces another.

use super::*;
use crate::model::{back::How, rollout::Phase};

const LONG: &str = "keep = 5\nbake = \"1h\"";

fn plan() -> String {
    PLAN.replace("keep = 3", LONG).replace("bake = \"0s\"\n", "")
}

/// v43 is stable and cold; v42 and v41 were before, and served for some time.
fn three(served: &[(&str, u64)]) -> World {
    let mut w = World::canary(&plan());
    let serve = |w: &mut World, label: &str| {
        let minutes = served.iter().find(|(l, _)| *l == label).map_or(0, |(_, m)| *m);
        let time = Duration::from_secs(minutes * 60);
        w.life.served(&version(label), (100, 1), time, time, w.now);
        w.settle();
    };
    w.back("v41").unwrap();
    serve(&mut w, "v41");
    for label in ["v42", "v43"] {
        w.deploy(label).unwrap();
        w.ready(label, 2);
        w.because(Action::Promote, false).unwrap();
        w.pass(600);
        serve(&mut w, label);
    }
    for label in ["v41", "v42"] {
        w.ready(label, 0);
    }
    assert_eq!((w.serving(), w.pools().len()), (Some("v43"), 1));
    w.notes.clear();
    w
}

#[test]
fn the_last_good_version_is_started_again_while_the_bad_one_serves() {
    let mut w = three(&[("v41", 60), ("v42", 59)]);
    assert_eq!((w.view().how, w.view().to.unwrap().label.as_str()), (How::Redeploy { steps: 7 }, "v41"));
    assert_eq!(w.back("v42"), Err("moved: the way back goes to v41 now".into()));
    let old = w.order(Action::Back { to: version("v41") });
    w.because(Action::Back { to: version("v41") }, false).unwrap();
    let wanted = w.life.wanted();
    assert_eq!((w.place().0, w.pools(), wanted.weight), ("reverting", vec!["v43.4".into(), "v41.5".into()], Weight::ZERO));
    assert_eq!(wanted.stable, Some(w.life.stable.as_ref().unwrap().pool()), "v43 serves on");
    assert_eq!(w.next(), "all traffic to v41 when it is ready: 0/2 ready; v43 keeps serving [plan]");
    assert_eq!(w.view().phase, Phase::Reverting);
    assert!(w.give(&old).unwrap_err().starts_with("already_so: already going back to v41: ben "));
    assert_eq!(w.deploy("v44").unwrap_err().to_string(), "run r6 is going back: deploy when it is there");
    w.ready("v41", 1);
    assert_eq!(w.life.wanted().weight, Weight::ZERO);
    w.routed = false;
    w.ready("v41", 2);
    assert_eq!((w.place().0, w.life.wanted().weight, w.serving()), ("reverting", Weight::FULL, Some("v43")));
    assert_eq!(w.next(), "the router gives v41 all the traffic [plan]");
    w.routed = true;
    w.pass(3);
    assert_eq!((w.place().0, w.serving(), w.pools()), ("reverted", Some("v41"), vec!["v41.5".into()]));
    assert!(matches!(&w.run().state, RunState::Reverted { left, redeployed: true, .. } if *left == version("v43")));
    assert_eq!(w.view().reason.unwrap().as_str(), "back on v41 by re-deploy: seen it before");
    assert!(w.back("v41").unwrap_err().starts_with("already_so: already back on v41"), "never one version further");
    assert_eq!(
        w.said(),
        [
            "ben: back on v41 by re-deploy: seen it before",
            "plan: v41 2/2 ready: it gets all the traffic",
            "host: the router confirms v41 at 100 %, 3 s after it was asked",
        ]
    );
    assert_eq!(w.life.past.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["v42"]);
}

#[test]
fn without_a_good_version_the_newest_is_taken_and_it_is_said() {
    let mut w = three(&[]);
    w.back("v42").unwrap();
    assert_eq!(w.said()[0], "ben: back on v42 by re-deploy, never proven");
    w.ready("v42", 2);
    assert_eq!((w.place().0, w.serving()), ("reverted", Some("v42")));
}

#[test]
fn what_is_tainted_or_gone_is_not_gone_back_to() {
    let mut w = three(&[("v41", 60), ("v42", 60)]);
    assert_eq!(w.view().to.unwrap().label.as_str(), "v42");
    w.because(Action::Taint { version: version("v42") }, false).unwrap();
    assert_eq!(w.view().to.unwrap().label.as_str(), "v41");
    w.seen.gone = [Digest::of(b"v41")].into();
    assert_eq!(w.back("v41"), Err("not_now: v42 was tainted by ben; could be deployed: v42".into()));
    assert_eq!(w.view().how, How::None { why: "v42 was tainted by ben; could be deployed: v42".into() });
    w.seen.gone.insert(Digest::of(b"v42"));
    assert_eq!(w.back("v42"), Err("not_now: v42 is not in the store any more".into()));
}

#[test]
fn a_warm_version_that_is_tainted_is_left_out() {
    let mut w = three(&[("v42", 60)]);
    w.deploy("v44").unwrap();
    w.ready("v44", 2);
    w.because(Action::Promote, false).unwrap();
    assert_eq!((w.view().how, w.view().to.unwrap().label.as_str()), (How::Switch, "v43"));
    w.because(Action::Taint { version: version("v43") }, false).unwrap();
    assert_eq!((w.view().how, w.view().to.unwrap().label.as_str()), (How::Redeploy { steps: 7 }, "v42"));
    w.back("v42").unwrap();
    w.ready("v42", 2);
    assert_eq!((w.serving(), w.pools().len()), (Some("v42"), 1));
}

#[test]
fn a_re_deploy_that_does_not_get_ready_is_tried_on_and_another_may_be_taken() {
    let mut w = three(&[("v42", 60)]);
    w.back("v42").unwrap();
    w.pass(120);
    assert_eq!(w.view().attention.map(|a| a.kind.to_string()).unwrap(), "stuck");
    assert_eq!(w.next(), "held: v42 0/2 ready, v43 keeps serving; R goes to v41 [a person]");
    assert!(w.back("v42").unwrap_err().starts_with("already_so: already going back to v42"));
    w.back("v41").unwrap();
    assert_eq!(w.pools(), ["v43.4", "v41.6"]);
    w.ready("v41", 2);
    assert_eq!((w.place().0, w.serving()), ("reverted", Some("v41")));

    let mut w = three(&[("v42", 60)]);
    w.back("v42").unwrap();
    w.pass(120);
    let mut other = World { life: w.life.clone(), now: w.now, runs: w.runs, ready: w.ready.clone(), ..World::new(&plan()) };
    other.deploy("v44").unwrap();
    assert_eq!(other.pools(), ["v43.4", "v44.6"], "or something else is deployed");
    w.ready("v42", 2);
    assert_eq!(w.serving(), Some("v42"), "it gets ready after all");
}

#[test]
fn a_crash_on_the_slow_way_back_goes_on() {
    let mut w = three(&[("v42", 60)]);
    w.back("v42").unwrap();
    w.pass(100);
    w.said();
    w.crash();
    assert_eq!(w.said(), ["host: after a restart of the host: found v43 stable, going back from v43 goes on: v42 is started"]);
    w.pass(100);
    assert_eq!((w.place().0, w.run().returning.as_ref().unwrap().missed), ("reverting", false), "the deadline counts anew");
    w.ready("v42", 2);
    assert_eq!(w.serving(), Some("v42"));
    w.crash();
    assert_eq!((w.place().0, w.serving()), ("reverted", Some("v42")));
}

#[test]
fn an_undo_goes_through_the_plan() {
    let mut w = three(&[]);
    let unknown = "not_now: no such version is remembered: there are v42, v41";
    assert_eq!(w.act(Action::Undo { to: version("v9") }), Err(unknown.into()));
    assert_eq!(w.act(Action::Undo { to: version("v43") }), Err("already_so: v43 is stable already".into()));
    w.seen.gone = [Digest::of(b"v42")].into();
    let gone = "not_now: the artifact of v42 is not in the store any more: deploy it from where it is";
    assert_eq!(w.act(Action::Undo { to: version("v42") }), Err(gone.into()));
    w.because(Action::Taint { version: version("v41") }, false).unwrap();
    let tainted = "not_now: v41 was tainted by ben: seen it before; to deploy it all the same give a reason";
    assert_eq!(w.act(Action::Undo { to: version("v41") }), Err(tainted.into()));
    w.because(Action::Undo { to: version("v41") }, false).unwrap();
    assert_eq!((w.place(), w.pools()), (("starting", 1, 0.0), vec!["v43.4".into(), "v41.5".into()]));
    w.ready("v41", 2);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    assert!(w.act(Action::Undo { to: version("v42") }).unwrap_err().ends_with("is in progress: revert or promote it first"));
    w.back("v43").unwrap();
    assert_eq!(w.serving(), Some("v43"));
}

#[test]
fn a_deploy_may_replace_the_rollout_in_progress() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.routed = false;
    w.said();
    w.replace("v43").unwrap();
    assert_eq!((w.place().0, w.next()), ("reverting", "the router takes the canary to 0 %, then v43 starts; R calls it off [plan]".into()));
    assert_eq!(w.replace("v43").unwrap_err().to_string(), "run r3 of v43 starts when the traffic is back");
    w.crash();
    w.routed = true;
    w.settle();
    assert_eq!((w.place(), w.run().id.text().as_str(), w.pools()), (("starting", 1, 0.0), "r3", vec!["v41.1".into(), "v43.3".into()]));
    assert_eq!(w.life.record(&version("v42")).left.unwrap().as_str(), "replaced by v43");

    // Whoever wants to be back does not want what was to follow.
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.routed = false;
    w.replace("v43").unwrap();
    assert_eq!(w.view().then.unwrap().as_str(), "v43");
    w.back("v41").unwrap();
    assert_eq!((w.view().then, w.next()), (None, "the router takes the canary to 0 % [plan]".into()));
    assert_eq!(w.back("v41").unwrap_err().split(':').next(), Some("already_so"), "once");
    w.routed = true;
    w.settle();
    assert_eq!((w.place().0, w.pools()), ("reverted", vec!["v41.1".into()]));
    assert_eq!(w.view().reason.unwrap().as_str(), "back on v41; v43 is not started");

    // While it is frozen meanwhile, it waits.
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.routed = false;
    w.replace("v43").unwrap();
    w.because(Action::Freeze { until: None }, false).unwrap();
    w.routed = true;
    w.settle();
    assert_eq!(w.place().0, "reverted");
    assert!(w.next().starts_with("v43 when the freeze is over, R calls it off: by ben "));
    let mut other = World { life: w.life.clone(), ..World::canary(PLAN) };
    w.act(Action::Thaw).unwrap();
    assert_eq!(w.run().candidate.label.as_str(), "v43");
    // No freeze is in the way of calling it off, also when it is back already.
    other.back("v41").unwrap();
    other.act(Action::Thaw).unwrap();
    other.settle();
    assert_eq!((other.place().0, other.view().then), ("reverted", None));

    // Of a first deploy there is nothing to go back to.
    let mut w = World::new(PLAN);
    w.deploy("v41").unwrap();
    w.replace("v42").unwrap();
    assert_eq!(w.pools(), ["v42.2"]);
    assert_eq!(w.replace("v42").unwrap_err().word(), "already_so");
}
