//! Alerts that fire as a gate, and queries that are none.

use super::rig::{Scene, free_port, is_blind};
use crate::support::prometheus::{Server, scraping};
use cutover::model::gate::Verdict;

#[test]
fn an_alert_that_began_after_the_run_fails_its_gate_and_is_said() {
    // Another cluster has a service of the same name, and its alert fires first.
    let alert = |name: &str, cluster: &str| {
        format!(
            "  - alert: {name}\n    expr: sum by (service) (cutover_requests_total{{class=\"5xx\",role=\"candidate\"}}) > 20\n    \
             labels: {{ cluster: {cluster} }}\n    annotations: {{ summary: too many errors }}\n"
        )
    };
    let rules = format!("groups:\n- name: g\n  interval: 1s\n  rules:\n{}{}", alert("Elsewhere", "us"), alert("HighErrorRate", "eu"));
    let port = free_port();
    let Some(mut server) = Server::prometheus(&format!("{}rule_files: [rules.yml]\n", scraping(port)), &rules) else { return };
    let metrics = format!(
        "[metrics]\nkind = \"prometheus\"\nurl = \"{}\"\nevery = \"1s\"\nalert_matchers = {{ cluster = \"eu\" }}\n[metrics.query]\nlatency = 'increase(version=\"{{{{version}}}}\"[{{{{window}}}}]'\n",
        server.url
    );
    let gate = "[[service.gate]]\nname = \"alerts\"\nsignal = \"alerts\"\n";
    let scene = Scene::set(port, &metrics, gate, &[("quiet", "", ""), ("web", "", "errors = [[0.0, 50.0]]")]);
    let (failed, _) = scene.until("web", "failed", |g| matches!(g.verdict, Verdict::Fail { .. }));
    let why = failed.verdict.reason().as_str();
    assert!(why.starts_with("alert HighErrorRate fires since ") && why.ends_with(": too many errors"), "{why}");
    let rollout = scene.rollout("web");
    assert!(rollout.findings.iter().any(|f| f.kind.as_str() == "alerts" && f.what.as_str() == why), "{:#?}", rollout.findings);
    assert_eq!(rollout.findings.iter().filter(|f| f.kind.as_str() == "alerts").count(), 1, "{:#?}", rollout.findings);
    // Somebody else's alert is nobody's here.
    scene.until("quiet", "passing", |g| g.verdict.passed());
    // A query that the server cannot read is said with its place.
    let metrics = rollout.findings.iter().find(|f| f.kind.as_str() == "metrics").unwrap();
    let line = std::fs::read_to_string(scene.host.config()).unwrap().lines().position(|l| l.starts_with("latency")).unwrap() + 1;
    let said = format!("query `latency` at line {line}: not a query: ");
    assert!(metrics.what.as_str().starts_with(&said), "{}", metrics.what);
    assert!(scene.host.log().contains(&said), "{}", scene.host.log());
    server.stop();
    scene.until("web", "blind", is_blind);
}
