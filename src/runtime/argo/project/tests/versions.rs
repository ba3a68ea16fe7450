//! What versions are called.

use super::{Cluster, set};
use crate::{model::text::Raw, runtime::argo::kind::Kind};
use serde_json::{Value, json};

#[test]
fn series_call_a_version_as_its_pods_are_labelled() {
    let labelled = |labels: Value, image: &str| {
        let mut one = Cluster::open();
        let mut old = set("aaa", 1, 4, image);
        old["spec"]["template"]["metadata"] = json!({ "labels": labels });
        one.take(Kind::ReplicaSets, &old);
        one.look(0).tracks[0].version.measured_as.as_ref().map(|name| name.as_str().to_owned())
    };
    let both = json!({ "app": "web", "app.kubernetes.io/version": "chart-7", "version": "1.4.1" });
    assert_eq!(labelled(both, "shop:v1").as_deref(), Some("1.4.1"));
    assert_eq!(labelled(json!({ "app.kubernetes.io/version": "1.4", "version": "" }), "shop:v1").as_deref(), Some("1.4"));
    // A number for a text; as it is, however it would be drawn.
    assert_eq!(labelled(json!({ "version": 7 }), "shop:v1").as_deref(), Some("7"));
    assert_eq!(labelled(json!({ "version": "a\u{1b}b" }), "shop:v1").as_deref(), Some("a\u{1b}b"));
    for none in [json!({}), json!(null), json!([]), json!({ "version": null })] {
        assert_eq!(labelled(none, "registry:5000/shop:v1").as_deref(), Some("v1"));
    }
    // Two revisions of one tag: people tell them apart, series do not.
    let mut same = Cluster::open();
    same.take(Kind::ReplicaSets, &set("aaa", 1, 4, "shop:v2"));
    same.take(Kind::ReplicaSets, &set("bbb", 2, 1, "shop:v2"));
    let versions: Vec<_> = same.look(0).tracks.into_iter().map(|t| (t.version.label.to_string(), t.version.measured_as)).collect();
    assert_eq!(versions, [("v2 r1".into(), Some(Raw::new("v2"))), ("v2 r2".into(), Some(Raw::new("v2")))]);
    // Before anything but the rollout is seen, its own template says it of the candidate, and nobody of stable.
    let mut closed = Cluster::new();
    closed.put(|r| r["spec"]["template"]["metadata"] = json!({ "labels": { "version": "1.4.2" } }));
    let known: Vec<_> = closed.look(0).tracks.into_iter().map(|t| t.version.measured_as).collect();
    assert_eq!(known, [None, Some(Raw::new("1.4.2"))]);
}
