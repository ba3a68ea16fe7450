//! A disk that hangs: the way back does not wait for it, everything else does and is refused.

use super::rig::{Inner, back, paused, programmed, request, sample};
use crate::support::host::PATIENCE;
use cutover::{
    conductor::life::RunState,
    model::{
        action::{Action, Outcome, Refusal},
        ident::ActionId,
        ratio::Weight,
        rollout::{Hold, Phase, Rollout},
    },
};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(50);

fn disk_banner(rollout: &Rollout) -> bool {
    rollout.findings.iter().any(|f| f.kind.as_str() == "disk" && f.what.as_str().contains("the disk does not answer"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_does_not_wait_for_a_disk_that_hangs_nor_for_what_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = Inner::start(dir.path(), &sample("web", ""));
    let mut seen = host.canary("").await;
    let mut took = Vec::new();
    // Another thread of a busy machine may hold us up for longer than what is measured.
    for round in 0..5 {
        host.disk.hang(true);
        let mut pause = host.act(request(&format!("pause {round}"), Action::Pause, &seen)).await;
        host.until("stuck", |_| host.disk.is_stuck()).await;
        let asked = Instant::now();
        let answer = host.act(back(&format!("back {round}"), &seen)).await.await.unwrap().unwrap();
        took.push(asked.elapsed());
        assert!(matches!(answer.outcome, Outcome::Accepted { changed: true, .. }), "{answer:?}");
        let went = host.rollout().await;
        assert_eq!(programmed(&went), Some(0.0));
        // What waited is decided on what is so now: there is nothing to pause any more.
        let paused_too = (&mut pause).await.unwrap();
        assert!(paused_too.is_err_and(|e| e.status == 409 && e.error.refusal.is_some()));
        // That the router did it is told without the disk, too.
        host.until("reverted", |r| r.phase == Phase::Reverted && r.proof.is_some()).await;
        if took.last().is_some_and(|t| *t <= SOON) && round > 0 {
            break;
        }
        host.disk.hang(false);
        host.until("written", |_| matches!(host.disk.state().services["web"].life.run.as_ref().unwrap().state, RunState::Reverted { .. }))
            .await;
        let reverted = host.rollout().await;
        host.act(request(&format!("retry {round}"), Action::Retry, &reverted)).await.await.unwrap().unwrap();
        seen = host.until("paused", paused).await;
    }
    assert!(took.iter().any(|t| *t <= SOON), "{took:?}");
    host.until("a banner", disk_banner).await;
    // As a crash would find it, an older state is there: the candidate at its weight, to be held.
    let old = host.disk.state().services["web"].life.clone();
    assert_eq!(old.run.unwrap().state, RunState::Stepping);
    host.disk.hang(false);
    host.until("no banner", |r| !disk_banner(r)).await;
    host.until("written", |_| matches!(host.disk.state().services["web"].life.run.as_ref().unwrap().state, RunState::Reverted { .. }))
        .await;
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_is_refused_and_not_done_when_the_disk_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let host = Inner::start(dir.path(), &sample("web", ""));
    let seen = host.canary("").await;
    host.disk.hang(true);
    let asked = Instant::now();
    let pause = host.act(request("pause", Action::Pause, &seen)).await;
    let queued = host.act(request("weight", Action::SetWeight { weight: Weight::from_percent(1.0).unwrap() }, &seen)).await;
    let refused = pause.await.unwrap().unwrap_err();
    assert!(asked.elapsed() >= Duration::from_secs(4));
    let line = refused.error.message.as_str();
    assert!(line.starts_with("not written to disk, so nothing was done: ") && !line.contains('\n'), "{line}");
    assert!(matches!(refused.error.refusal, Some(Refusal::NotNow { .. })) && refused.error.rollout.is_some());
    // What queued behind it had the same time, not another one.
    let refused = tokio::time::timeout(Duration::from_secs(3), queued).await.unwrap().unwrap().unwrap_err();
    assert!(refused.error.message.as_str().starts_with("not written to disk"), "{refused:?}");
    let still = host.until("a banner", disk_banner).await;
    assert!(!still.holds.iter().any(|h| matches!(h, Hold::Manual { .. })) && programmed(&still) == Some(50.0));
    host.disk.hang(false);
    host.until("no banner", |r| !disk_banner(r)).await;
    let state = host.disk.state();
    assert!(state.services["web"].life.run.as_ref().unwrap().manual.is_none(), "it must not be done later either");
    assert!(state.answered(&ActionId::new("pause")).is_none());
    // And the same name may be used again now.
    host.act(request("pause", Action::Pause, &host.rollout().await)).await.await.unwrap().unwrap();
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_goes_back_by_itself_while_the_disk_hangs() {
    let gate = "[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\non_fail = \"revert\"";
    let dir = tempfile::tempdir().unwrap();
    let host = Inner::start(dir.path(), &sample("web", gate));
    let seen = host.canary("errors = [[0.0, 100.0]]").await;
    host.disk.hang(true);
    let _pause = host.act(request("pause", Action::Pause, &seen)).await;
    host.until("stuck", |_| host.disk.is_stuck()).await;
    cutover::tls::ready();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (url, asked) = (format!("http://{}/", host.host.address), Instant::now());
    while programmed(&host.rollout().await) != Some(0.0) {
        let _ = client.get(&url).send().await;
        assert!(asked.elapsed() < PATIENCE);
    }
    assert!(host.disk.is_stuck());
    assert!(asked.elapsed() < Duration::from_millis(4_500), "it waited for what waited for the disk: {:?}", asked.elapsed());
    host.disk.hang(false);
    let back = host.until("back", |r| r.phase == Phase::Reverted).await;
    assert_eq!(back.last.unwrap().by.as_str(), "gate errors");
    host.end().await;
}
