//! Changes that come late, twice or in another order, and lists in between: the picture is that of the
//! newest state of every object.

use super::{Change, KINDS, Play, cases, data};
use cutover::{model::rollout::Rollout, runtime::argo::store::Store};
use proptest::prelude::*;

/// Some of each sort: steps, a switch, experiments, a rollout that comes back under its name.
const SCENARIOS: [&str; 5] =
    ["02-canary-abort-retry", "05-bluegreen-manual", "14-experiment-step", "20-deleted-while-watching", "21-trafficRouting"];

/// At which second of the recording everything is heard and looked at.
const T: f64 = 100.0;

fn hear(play: &mut Play, changes: &[usize]) {
    play.store.at(play.time(T));
    for at in changes {
        let Change { kind, gone, json, .. } = &play.changes[*at];
        if *gone {
            play.store.drop_object(*kind, json.as_bytes());
        } else {
            play.store.take(*kind, json.as_bytes());
        }
    }
}

/// Everything there is, without what depends on when it was heard: since when a step is, and what follows.
fn picture(play: &Play) -> Vec<Rollout> {
    let mut all: Vec<Rollout> = play.names().iter().map(|name| play.project(name, T)).collect();
    for r in &mut all {
        if let Some(at) = &mut r.at {
            at.since = play.time(0.0);
        }
        for finding in r.findings.iter_mut().filter(|f| f.kind.as_str() == "promotion") {
            finding.since = play.time(0.0);
        }
    }
    all
}

fn in_order(scenario: &str, upto: usize) -> Vec<Rollout> {
    let mut play = Play::new(&data().join(scenario));
    let all: Vec<usize> = (0..upto.min(play.changes.len())).collect();
    hear(&mut play, &all);
    picture(&play)
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn any_order_with_duplicates_ends_in_the_same_picture(
        scenario in prop::sample::select(&SCENARIOS[..]),
        upto in 1_usize..400,
        seed in prop::collection::vec(any::<u32>(), 400),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut play = Play::new(&data().join(scenario));
        let upto = upto.min(play.changes.len());
        let mut order: Vec<usize> = (0..upto).collect();
        order.extend(again.iter().map(|i| i.index(upto)));
        let len = order.len();
        for (i, random) in seed.iter().enumerate().take(len) {
            order.swap(i, *random as usize % len);
        }
        hear(&mut play, &order);
        prop_assert_eq!(picture(&play), in_order(scenario, upto));
    }

    #[test]
    fn a_list_in_between_changes_nothing(scenario in prop::sample::select(&SCENARIOS[..]), upto in 1_usize..400, lists in any::<[bool; 7]>()) {
        let mut play = Play::new(&data().join(scenario));
        let upto = upto.min(play.changes.len());
        let all: Vec<usize> = (0..upto).collect();
        hear(&mut play, &all);
        for kind in KINDS.into_iter().zip(lists).filter_map(|(kind, listed)| listed.then_some(kind)) {
            let state = state(&play.changes[..upto], kind);
            play.store.replace(kind, None, state.iter().map(String::as_bytes));
        }
        prop_assert_eq!(picture(&play), in_order(scenario, upto));
    }
}

/// The objects of a kind after these changes.
fn state(changes: &[Change], kind: cutover::runtime::argo::kind::Kind) -> Vec<String> {
    let mut state: Vec<(String, String)> = Vec::new();
    for change in changes.iter().filter(|c| c.kind == kind) {
        let uid = serde_json::from_str::<serde_json::Value>(&change.json).unwrap()["metadata"]["uid"].to_string();
        state.retain(|(other, _)| *other != uid);
        if !change.gone {
            state.push((uid, change.json.clone()));
        }
    }
    state.into_iter().map(|(_, json)| json).collect()
}

#[test]
fn an_empty_list_forgets_everything_and_nothing_of_another_namespace() {
    let mut play = Play::new(&data().join("21-trafficRouting"));
    let all: Vec<usize> = (0..play.changes.len()).collect();
    hear(&mut play, &all);
    let before = picture(&play);
    for kind in KINDS {
        play.store.replace(kind, Some("elsewhere"), std::iter::empty());
    }
    assert_eq!(picture(&play), before);
    for kind in KINDS {
        play.store.replace(kind, None, std::iter::empty());
    }
    assert_eq!(play.names(), []);
    assert!(format!("{:?}", play.store).len() < format!("{:?}", Store::default()).len() + 200, "{:?}", play.store);
}
