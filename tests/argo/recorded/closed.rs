//! A rollout that is not open is seen by its own object only: what that says is the same, and what it does not say is
//! not known.

use super::{Play, scenarios};
use cutover::{
    model::rollout::Phase,
    runtime::argo::{kind::Coverage, project::project},
};

#[test]
fn a_rollout_alone_says_less_and_nothing_else() {
    let (mut looks, mut way_back) = (0, 0);
    for dir in scenarios() {
        let mut play = Play::new(&dir);
        for at in 0..play.changes.len() {
            let t = play.play(at);
            for name in play.names() {
                let open = play.project(&name, t);
                let closed = project(&play.store, &name, play.time(t), &Coverage::default()).unwrap();
                let place = format!("{} at {t}", dir.display());
                // Whether all pods are back is counted by others, a moment apart.
                let back = |phase: &Phase| matches!(phase, Phase::Reverting | Phase::Reverted);
                assert!(open.phase == closed.phase || (back(&open.phase) && back(&closed.phase)), "{place}");
                way_back += usize::from(open.phase == Phase::Reverted && closed.phase == Phase::Reverted);
                assert_eq!((&open.reason, &open.steps, open.strategy), (&closed.reason, &closed.steps, closed.strategy), "{place}");
                assert_eq!(open.at.map(|at| at.index), closed.at.map(|at| at.index), "{place}");
                let shares = |r: &cutover::model::rollout::Rollout| {
                    let all = r.tracks.iter().map(|t| (t.role, t.version.id.clone(), t.slot.clone(), t.share.declared, t.share.programmed));
                    all.take(2).filter(|(role, ..)| format!("{role}") == "stable" || format!("{role}") == "candidate").collect::<Vec<_>>()
                };
                assert_eq!(shares(&open), shares(&closed), "{place}");
                assert!(closed.tracks.iter().all(|t| t.pools.iter().all(|p| p.instances.is_empty())), "{place}");
                assert!(closed.versions.is_empty() && closed.analyses.iter().all(|a| a.metrics.is_empty()), "{place}");
                let others = ["pods", "digests", "experiments", "workload"];
                assert!(closed.findings.iter().all(|f| !others.contains(&f.kind.as_str())), "{place}: {:?}", closed.findings);
                looks += 1;
            }
        }
    }
    assert!(looks > 5_000 && way_back > 50, "{looks}, {way_back}");
}
