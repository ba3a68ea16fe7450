//! The same with every field that the server sends: who wrote what, and when, in whole seconds.

use super::{Play, full, golden, lost};
use std::collections::BTreeSet;

#[test]
fn who_wrote_what_changes_no_state() {
    for dir in full() {
        let (slim, full) = (golden::lines(Play::new(&dir)), golden::lines(Play::of(&dir, true)));
        let other: Vec<_> = slim.lines().zip(full.lines()).filter(|(a, b)| a != b).take(3).collect();
        assert!(other.is_empty() && slim.lines().count() == full.lines().count(), "{}: {other:#?}", dir.display());
    }
}

/// Nothing was lost in any of these.
#[test]
fn no_write_is_said_to_be_lost() {
    let all = full();
    assert!(all.len() >= 4, "{all:?}");
    for dir in all {
        assert_eq!(lost::lost(Play::of(&dir, true)), BTreeSet::new(), "{}", dir.display());
    }
}

/// Who made it, who paused it and who started it: by the names that programs write under, never the controller's.
#[test]
fn who_acted_is_named() {
    let mut names = BTreeSet::new();
    for dir in full() {
        let mut play = Play::of(&dir, true);
        for at in 0..play.changes.len() {
            let t = play.play(at);
            for name in play.names() {
                let rollout = play.project(&name, t);
                names.extend(rollout.started.map(|s| format!("started by {}", s.by)));
                names.extend(rollout.holds.iter().filter_map(|hold| match hold {
                    cutover::model::rollout::Hold::Manual { by, .. } => Some(format!("paused by {by}")),
                    _ => None,
                }));
            }
        }
    }
    let said: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(said, ["paused by kubectl-argo-rollouts", "started by kubectl-argo-rollouts", "started by recorder"]);
}
