//! What happens after a promotion, and before a switch: the way back when nothing is warm any more, a
//! preview, a switch by the plan.

use super::rig::{deploy, sample, until, version};
use crate::support::host::{Host, PATIENCE};
use cutover::model::{
    back::How,
    rollout::{Phase, Rollout, Standing},
};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

const PLAN: &str = "[{ weight = 50 }, { pause = \"manual\" }]";

fn standing(rollout: &Rollout, label: &str) -> Option<Standing> {
    rollout.versions.iter().find(|k| k.version.label.as_str() == label).map(|k| k.standing.clone())
}

fn promote(host: &Host) {
    host.ok(&["promote", "web", "--yes"]);
    host.until("completed", |r| r.phase == Phase::Completed);
}

#[test]
fn when_nothing_is_warm_any_more_the_way_back_is_one_deploy_with_its_steps_skipped() {
    for (strategy, steps) in [("canary", PLAN), ("blue-green", "[{ pause = \"manual\" }]")] {
        let more = format!("strategy = \"{strategy}\"\nkeep_warm = \"200ms\"");
        let host = Host::start(&sample("web", &more).replace(PLAN, steps));
        deploy(&host, "web", &version(&host, "v1", ""), "completed");
        deploy(&host, "web", &version(&host, "v2", ""), "paused");
        assert_eq!(host.rollout().back.how, How::Switch, "{strategy}");
        promote(&host);
        let cold = host.until("cold", |r| matches!(r.back.how, How::Redeploy { .. }));
        assert_eq!(cold.back.to.as_ref().unwrap().label.as_str(), "v1", "{strategy}");
        // Whoever wants the fast way only is told that there is none, and nothing moves.
        let done = host.verb(&["revert", "web", "--switch-only"]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!((done.status.code(), said.lines().count()), (Some(4), 1), "{strategy}: {said}");
        assert!(said.contains("no switch back, only a re-deploy"), "{strategy}: {said}");
        assert_eq!((host.rollout().phase, host.rollout().run), (Phase::Completed, cold.run.clone()), "{strategy}");
        let plan = host.ok(&["revert", "web", "--plan"]);
        assert!(plan.contains("BACK by re-deploy") && plan.contains("skipped") && plan.contains("v2 keeps serving"), "{strategy}: {plan}");
        // Every request is answered while v1 is started again, one action from the key to the proof.
        host.ok(&["revert", "web"]);
        let back = until("back", || {
            assert_eq!(host.get("/").0, 200, "{strategy}");
            let rollout = host.rollout();
            (rollout.phase == Phase::Reverted).then_some(rollout)
        });
        let stable = back.stable().unwrap();
        assert_eq!((stable.version.label.as_str(), stable.share.programmed.unwrap().percent()), ("v1", Some(100.0)), "{strategy}");
        assert_eq!(back.last.unwrap().action.verb(), "revert", "{strategy}");
        assert_eq!(host.until("a proof", |r| r.proof.is_some()).proof.unwrap().left.label.as_str(), "v2", "{strategy}");
        assert!(matches!(standing(&host.rollout(), "v2"), Some(Standing::Left { .. })), "{strategy}");
    }
}

/// What a request to an address is answered with, if it is.
fn status(address: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_preview_is_reached_before_the_switch_and_not_after_it() {
    let preview = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let more = format!("strategy = \"blue-green\"\npreview_listen = \"{preview}\"");
    let host = Host::start(&sample("web", &more).replace(PLAN, "[{ pause = \"manual\" }]"));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    assert_ne!(status(&preview), Some(200), "there is nothing to preview");
    // The candidate is told by what it answers.
    deploy(&host, "web", &version(&host, "v2", "errors = [[0.0, 100.0]]"), "paused");
    until("previewed", || (status(&preview) == Some(500)).then_some(()));
    for _ in 0..5 {
        assert_eq!((status(&preview), host.get("/").0), (Some(500), 200), "the public has v1");
    }
    promote(&host);
    until("switched", || (host.get("/").0 == 500).then_some(()));
    until("no preview", || status(&preview).is_none_or(|s| s == 503).then_some(()));
    host.ok(&["revert", "web"]);
    until("back", || (host.get("/").0 == 200).then_some(()));
}

#[test]
fn a_switch_that_waits_for_nobody_is_made_by_the_plan() {
    let more = "strategy = \"blue-green\"";
    let host = Host::start(&sample("web", more).replace(PLAN, "[{ pause = \"300ms\" }]"));
    for label in ["v1", "v2"] {
        deploy(&host, "web", &version(&host, label, ""), "completed");
    }
    let done = host.rollout();
    assert_eq!((done.stable().unwrap().version.label.as_str(), &done.back.how), ("v2", &How::Switch), "v1 is kept warm");
    assert!(done.last.is_none_or(|l| l.action.verb() != "promote"), "nobody promoted it");
}
