//! Bytes that are not what they should be: cut, with parts of other types, with words nobody knows.

use super::{KINDS, Play, cases, data, summary::summary};
use cutover::runtime::argo::{kind::Coverage, store::Store, watch::Name};
use proptest::prelude::*;
use serde_json::{Value, json};

const SCENARIO: [&str; 4] =
    ["04-canary-manual-pause-resume", "10-background-analysis", "14-experiment-step", "26-race-lost-undo-bluegreen"];

/// Values that stand where others should.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!([null, 1, "x", {}, []])),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(|b| json!(b)),
        "\\PC{0,20}".prop_map(|s| json!(s)),
        Just(json!("\u{1b}]52;c;QUFB\u{7}\u{1b}[2J\u{202e}")),
        Just(json!("99999999999999999999h")),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("-9999-01-01T00:00:00Z")),
    ]
}

/// Puts a value somewhere into another one.
fn ruin(into: &mut Value, path: &[prop::sample::Index], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *into = value;
        return;
    };
    match into {
        Value::Object(map) if !map.is_empty() => {
            let key = map.keys().nth(first.index(map.len())).unwrap().clone();
            ruin(map.get_mut(&key).unwrap(), rest, value);
        }
        Value::Array(list) if !list.is_empty() => {
            let at = first.index(list.len());
            ruin(&mut list[at], rest, value);
        }
        _ => *into = value,
    }
}

/// Everything that can be asked of what is known.
fn look(play: &Play, t: f64) {
    for name in play.names() {
        let shown = play.project(&name, t);
        let line = summary(&shown, play.time(0.0));
        assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line}");
        let _ = (play.words(&name, t), serde_json::to_string(&shown).unwrap());
        let closed = play.store.project_closed(&name, play.time(t));
        assert!(closed.is_some());
    }
}

/// A rollout that is not open.
trait Closed {
    fn project_closed(&self, name: &Name, now: cutover::model::time::Time) -> Option<cutover::model::rollout::Rollout>;
}

impl Closed for Store {
    fn project_closed(&self, name: &Name, now: cutover::model::time::Time) -> Option<cutover::model::rollout::Rollout> {
        cutover::runtime::argo::project::project(self, name, now, &Coverage::default())
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn fields_of_any_other_type_are_survived(
        scenario in prop::sample::select(&SCENARIO[..]),
        ruins in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<prop::sample::Index>(), 1..9), odd()), 1..60),
    ) {
        let mut play = Play::new(&data().join(scenario));
        for (which, path, value) in ruins {
            let at = which.index(play.changes.len());
            let mut object: Value = serde_json::from_str(&play.changes[at].json).unwrap();
            ruin(&mut object, &path, value);
            play.changes[at].json = object.to_string();
        }
        for at in 0..play.changes.len() {
            let t = play.play(at);
            if at % 7 == 0 {
                look(&play, t);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(
        scenario in prop::sample::select(&SCENARIO[..]),
        which in any::<prop::sample::Index>(),
        kind in prop::sample::select(&KINDS[..]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut play = Play::new(&data().join(scenario));
        for at in 0..play.changes.len() / 2 {
            play.play(at);
        }
        let mut bytes = play.changes[which.index(play.changes.len())].json.clone().into_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        play.store.take(kind, &bytes);
        look(&play, 50.0);
        play.store.drop_object(kind, &bytes);
        look(&play, 50.0);
    }
}

/// What API servers really send in bookmarks, and what stands in objects that are just made.
#[test]
fn stubs_and_bookmarks_are_nobody() {
    let mut store = Store::default();
    for (kind, stub) in KINDS.into_iter().flat_map(|kind| {
        let typed = json!({ "kind": "X", "metadata": { "resourceVersion": "12", "creationTimestamp": null },
            "spec": { "selector": null, "containers": null, "template": { "metadata": { "creationTimestamp": null }, "spec": { "containers": null } } },
            "status": { "replicas": 0 } });
        [(kind, typed), (kind, json!({ "kind": "X", "metadata": { "resourceVersion": "12" } })), (kind, json!({})), (kind, json!([1]))]
    }) {
        assert_eq!(store.take(kind, stub.to_string().as_bytes()).len(), 0);
    }
    assert_eq!(store.names().count(), 0);
}
