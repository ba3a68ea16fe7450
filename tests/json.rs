//! `cutover/v1`, the JSON that scripts rely on.

use crate::fixtures;
use cutover::cli::get::json::document;

/// What is promised of one rollout.
const PROMISED: [&str; 51] = [
    "/target",
    "/scope",
    "/service",
    "/run",
    "/strategy",
    "/phase",
    "/holds/0/kind",
    "/holds/0/since",
    "/holds/0/by",
    "/holds/0/reason",
    "/attention",
    "/step/index",
    "/step/count",
    "/step/kind",
    "/step/ends_at",
    "/tracks/0/role",
    "/tracks/0/slot",
    "/tracks/0/version/id",
    "/tracks/0/version/label",
    "/tracks/0/version/revision",
    "/tracks/0/version/artifacts/0/name",
    "/tracks/0/version/artifacts/0/digest",
    "/tracks/0/weight",
    "/tracks/0/seen",
    "/tracks/0/basis",
    "/tracks/0/instances/desired",
    "/tracks/0/instances/ready",
    "/tracks/0/instances/restarts",
    "/tracks/0/signals/errors/value",
    "/tracks/0/signals/errors/unit",
    "/tracks/0/signals/errors/samples",
    "/tracks/0/signals/errors/age_ms",
    "/tracks/0/signals/errors/state",
    "/gates/0/name",
    "/gates/0/verdict",
    "/gates/0/reason",
    "/verdict",
    "/next/what",
    "/next/at",
    "/next/by",
    "/back/how",
    "/back/ready",
    "/back/reasons",
    "/back/estimate_ms",
    "/proof",
    "/findings",
    "/last",
    "/reason",
    "/started",
    "/tracks/1/role",
    "/tracks/1/programmed",
];

#[test]
fn everything_promised_is_there() {
    let (rollout, _) = fixtures::drawn();
    let all = document(&[rollout]);
    assert_eq!(all["schema"], "cutover/v1");
    let rollout = &all["rollouts"][0];
    let missing: Vec<&str> = PROMISED.into_iter().filter(|path| rollout.pointer(path).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} in {rollout:#}");
    let exact: Vec<f64> = rollout["tracks"].as_array().unwrap().iter().map(|t| t["weight"].as_f64().unwrap()).collect();
    assert_eq!(exact, [66.67, 33.33]);
}
