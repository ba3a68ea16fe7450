//! `cutover/v1`, the JSON that scripts rely on.

use crate::fixtures;
use crate::support::host::Host;
use cutover::{
    cli::get::json::{document, schema},
    model::{
        gate::{Arm, Bounds, Burn, Decides, Evidence, Peer, Power, Quantile, Soon},
        interval::{Query, Sensor, SensorState},
        rollout::{Known, Presence, Rollout},
        signal::Sample,
        time::Time,
    },
};
use serde_json::{Value, json};
use std::{process::Command, time::Duration};

/// What is promised of one rollout.
const PROMISED: [&str; 79] = [
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
    "/gates/0/failed_at",
    "/gates/0/failed_why",
    "/decided",
    "/serving",
    "/gates/0/evidence/candidate/hits",
    "/gates/0/evidence/odds",
    "/gates/0/evidence/lines/fail",
    "/gates/0/evidence/peers",
    "/marks",
    "/verdict",
    "/tried",
    "/tracks/0/preview",
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
    "/urgency/state",
    "/frozen",
    "/steps/0/kind",
    "/step/since",
    "/holds/0/until",
    "/tracks/0/instances/each",
    "/tracks/0/version/back_unsafe",
    "/back/version",
    "/back/skips",
    "/back/then",
    "/versions",
    "/analyses",
    "/present",
    "/owner",
    "/template",
    "/bad",
    "/seen/server_time",
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

/// A rollout of which nothing is missing.
fn crowded() -> Rollout {
    let (mut r, _) = fixtures::drawn();
    r.tracks[1].preview = Some("127.0.0.1:8081".into());
    r.tried = fixtures::tried();
    let version = |label: &str| fixtures::version(label, "9f2c41aa0b11", 1);
    let at = fixtures::ago(60);
    r.frozen = serde_json::from_value(json!({ "by": "ana", "reason": "peak hour", "since": at, "until": null })).unwrap();
    r.holds
        .push(serde_json::from_value(json!({ "kind": "freeze", "by": "ana", "reason": "peak hour", "since": at, "until": at })).unwrap());
    r.holds.push(serde_json::from_value(json!({ "kind": "manual", "by": "ana", "since": at, "weight": 12.5 })).unwrap());
    let standings = [
        json!({ "is": "good" }),
        json!({ "is": "baking", "until": at }),
        json!({ "is": "unproven" }),
        json!({ "is": "left", "reason": "errors" }),
        json!({ "is": "tainted", "by": "ana", "reason": "leaks" }),
    ];
    let known = |standing: Value| -> Known {
        serde_json::from_value(
            json!({ "version": version("v40"), "standing": standing, "proven": 93_600_000, "error_ratio": 0.0002, "available": false }),
        )
        .unwrap()
    };
    r.versions = standings.into_iter().map(known).collect();
    r.present = vec![Presence { who: "ben".into(), since: at, console: "c-1".into() }];
    let metric = json!({
        "name": "success", "phase": "Failed", "values": ["0.91"], "condition": "result[0] >= 0.95", "dry_run": true, "message": "0.91 < 0.95",
        "counts": { "successful": 5, "failed": 1, "inconclusive": 0, "error": 0 },
    });
    let analysis = json!({ "name": "canary", "place": "step", "phase": "Running", "message": null, "started": at, "metrics": [metric] });
    r.analyses = vec![serde_json::from_value(analysis).unwrap()];
    r.owner = Some("Argo CD application shop".into());
    r.template = Some("Deployment/shop".into());
    r.attention = Some(serde_json::from_value(json!({ "kind": "failing", "since": at })).unwrap());
    let usage = json!({ "cpu": 0.4, "memory": 612_000_000, "memory_slope": 161_700_000.0, "memory_over": 11_400_000, "descriptors": 61, "probe_failures": 7 });
    let instance = json!({
        "id": "v42-1", "state": "not_ready", "since": at, "reason": "probe", "node": "node-1", "sick": "slower than the others", "usage": usage,
    });
    r.tracks[0].pools[0].instances = vec![serde_json::from_value(instance).unwrap()];
    r.tracks[0].version.back_unsafe = Some("migration 0042".into());
    r.gates[0].evidence = Some(evidence(at));
    r.marks = serde_json::from_value(json!([{ "at": at, "weight": 12.5 }])).unwrap();
    r
}

/// Evidence of which nothing is missing.
fn evidence(at: Time) -> Evidence {
    let bounds = |low: f64, high| Bounds { low, high, n: 1_204.0 };
    let sensor = |arm, state| Sensor { name: "requests".into(), arm, state, age: Some(Duration::from_secs(41)), required: true };
    Evidence {
        run_candidate: Sample::Gauge { value: 25.0, n: 1_204 },
        between: Some([0.1, 2.5]),
        limit: Some(5.0),
        slow_over: Some(89.0),
        missing: Some(73),
        eta: Some(Duration::from_secs(40)),
        power: Some(Power {
            sees: Some(1.8),
            fails: Some(1.9),
            soon: Some(Soon { ratio: 1.3, within: Duration::from_secs(660) }),
            decides: Some(Decides { weight: 25.0, within: Duration::from_secs(600) }),
            text: "can see >= 1.8x errors now".into(),
        }),
        burn: Some(Burn {
            slo: 99.9,
            candidate: Some(14.5),
            stable: None,
            blast: Some(0.7),
            alerts: vec!["page 1h/5m".into()],
            stable_alerts: vec!["page 6h/30m".into()],
            spent: Some(0.2),
            above: 3.0,
            budget: 1.0,
        }),
        quantile: Some(Quantile { q: 0.99, candidate: bounds(1_000.0, None), stable: bounds(10.0, Some(25.0)), p: 0.01 }),
        sensors: vec![
            sensor(Arm::Candidate, SensorState::Fresh),
            sensor(Arm::Stable, SensorState::ZeroTraffic),
            sensor(Arm::Both, SensorState::Contradictory),
        ],
        queries: vec![Query {
            name: "errors".into(),
            text: "requests_total[1m]".into(),
            at,
            warnings: vec!["partial".into()],
            infos: vec!["not a counter".into()],
        }],
        peers: vec![Peer { name: "Flagger".into(), word: "would revert".into(), why: "errors over 1 % in 5 checks since 02:41".into() }],
        ..Evidence::default()
    }
}

#[test]
fn what_instances_use_is_told_and_how_their_memory_went() {
    let all = document(&[crowded()]);
    let track = &all["rollouts"][0]["tracks"][0];
    let grown = json!({ "bytes": 512_050_000_u64, "over_ms": 11_400_000 });
    assert_eq!(track["memory_growth"], grown);
    assert_eq!(all["rollouts"][0]["tracks"][1]["memory_growth"], Value::Null);
    let instance = &track["instances"]["each"][0];
    assert_eq!(instance["sick"], "slower than the others");
    assert_eq!(
        instance["usage"],
        json!({ "cpu": 0.4, "memory": 612_000_000, "memory_per_hour": 161_700_000.0, "memory_growth": grown, "descriptors": 61, "probe_failures": 7 })
    );
}

#[test]
fn evidence_is_told_as_it_is() {
    let all = document(&[crowded()]);
    let told = &all["rollouts"][0]["gates"][0]["evidence"];
    for (pointer, value) in [
        ("/candidate", json!({ "hits": 0.0, "of": 0.0, "value": null, "at_least": null })),
        ("/run_candidate", json!({ "hits": null, "of": 1_204.0, "value": 25.0, "at_least": null })),
        ("/between", json!([0.1, 2.5])),
        ("/lines", json!({ "fail": 100.0, "change": 10_000.0, "worse": 20.0, "pass": 20.0 })),
        ("/eta_ms", 40_000.into()),
        ("/power/soon/within_ms", 660_000.into()),
        ("/power/decides/weight", 25.0.into()),
        ("/burn/alerts/0", "page 1h/5m".into()),
        ("/quantile/candidate/high", Value::Null),
        ("/quantile/stable/high", 25.0.into()),
        ("/sensors/1/state", "zero_traffic".into()),
        ("/sensors/2/arm", "both".into()),
        ("/queries/0/warnings/0", "partial".into()),
        ("/peers/0", json!({ "name": "Flagger", "word": "would revert", "why": "errors over 1 % in 5 checks since 02:41" })),
    ] {
        assert_eq!(told.pointer(pointer), Some(&value), "{pointer} of {told:#}");
    }
    // Whatever the model knows of it is told, under its own name; spans say their unit.
    let model = serde_json::to_value(evidence(fixtures::ago(60))).unwrap();
    let missing: Vec<&String> = model
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| told.get(key.as_str()).is_none() && told.get(format!("{key}_ms")).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap()
}

/// What the schema says against a document.
fn wrong(document: &Value) -> Vec<String> {
    validator().iter_errors(document).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn the_schema_takes_every_rollout_that_is_drawn() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    let all = [fixtures::drawn().0, crowded()];
    let document = document(&all);
    assert_eq!(wrong(&document), Vec::<String>::new(), "{document:#}");
    assert!(schema()["title"].as_str().unwrap().contains("cutover/v1"));
}

#[test]
fn the_schema_refuses_what_is_not_so() {
    let whole = document(&[crowded()]);
    assert!(wrong(&whole).is_empty());
    let broken = |pointer: &str, value: Value| {
        let mut document = whole.clone();
        *document.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        !wrong(&document).is_empty()
    };
    for (pointer, value) in [
        ("/schema", "cutover/v2".into()),
        ("/rollouts", Value::Null),
        ("/rollouts/0/phase", "sleeping".into()),
        ("/rollouts/0/run", 7.into()),
        ("/rollouts/0/urgency/state", "bored".into()),
        ("/rollouts/0/urgency/since", "yesterday".into()),
        ("/rollouts/0/holds/0/kind", "mood".into()),
        ("/rollouts/0/holds/0/since", Value::Null),
        ("/rollouts/0/step/index", (-1).into()),
        ("/rollouts/0/tracks/0/weight", "66.67 %".into()),
        ("/rollouts/0/tracks/0/version/artifacts/0/digest", "v42".into()),
        ("/rollouts/0/tracks/0/instances/each/0/state", "sleepy".into()),
        ("/rollouts/0/tracks/0/signals/errors/state", "ok".into()),
        ("/rollouts/0/gates/0/verdict", "PASS".into()),
        ("/rollouts/0/marks/0/weight", "10 %".into()),
        ("/rollouts/0/gates/0/evidence/odds", "38:1".into()),
        ("/rollouts/0/gates/0/evidence/sensors/0/state", "fine".into()),
        ("/rollouts/0/gates/0/evidence/peers/0/word", Value::Null),
        ("/rollouts/0/back/how", "luck".into()),
        ("/rollouts/0/back/reasons/0/state", "fine".into()),
        ("/rollouts/0/versions/0/standing", "famous".into()),
        ("/rollouts/0/versions/1/proven_ms", (-1).into()),
        ("/rollouts/0/frozen/until", 5.into()),
        ("/rollouts/0/analyses/0/metrics/0/successful", "many".into()),
        ("/rollouts/0/present/0/who", Value::Null),
        ("/rollouts/0/tracks/1/preview", 8081.into()),
        ("/rollouts/0/tried/0/kind", "guess".into()),
        ("/rollouts/0/tried/0/passed", "yes".into()),
        ("/rollouts/0/tried/0/answers/0/took_ms", (-1).into()),
        ("/rollouts/0/tried/0/answers/0/lines", Value::Null),
    ] {
        assert!(broken(pointer, value), "{pointer}");
    }
    // A key that is promised is never left out, also where it is null.
    let rollout = whole["rollouts"][0].as_object().unwrap();
    for key in rollout.keys() {
        let mut document = whole.clone();
        document["rollouts"][0].as_object_mut().unwrap().remove(key);
        assert!(!wrong(&document).is_empty(), "{key}");
    }
}

#[test]
fn what_is_printed_follows_the_schema_that_is_printed() {
    let Some(mut host) = sample() else { return };
    let schema: Value = serde_json::from_str(&host.ok(&["schema"])).unwrap();
    let printed = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let follows = |goal: &str| {
        let document: Value = serde_json::from_str(&host.ok(&["get", "-o", "json"])).unwrap();
        let wrong: Vec<String> = printed.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(wrong, Vec::<String>::new(), "{goal}: {document:#}");
        document
    };
    assert_eq!(follows("idle")["rollouts"][0]["urgency"]["state"], "idle");
    let v1 = host.seal("v1", &[("behaviour.toml", "median_ms = 1.0\n")]);
    assert_eq!(host.ok(&["deploy", "web", &v1["sha256:".len()..][..12]]), "web@1", "the beginning of a digest is enough");
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    follows("completed");
    let otherwise = host.verb(&["wait", "web", "--for", "safe", "--timeout", "30s"]);
    assert_eq!(otherwise.status.code(), Some(1), "nothing went back: {otherwise:?}");
    let v2 = host.seal("v2", &[("behaviour.toml", "median_ms = 2.0\n")]);
    host.ok(&["deploy", "web", &v2]);
    host.ok(&["wait", "web", "--for", "paused", "--timeout", "60s"]);
    let paused = follows("paused");
    assert_eq!(paused["rollouts"][0]["urgency"]["state"], "waiting", "{paused:#}");
    assert_eq!(paused["rollouts"][0]["tracks"][1]["instances"]["each"][0]["restarts"], 0);
    host.ok(&["weight", "web", "10", "--yes"]);
    assert_eq!(follows("held")["rollouts"][0]["holds"][0]["weight"], 10.0);
    host.ok(&["revert", "web"]);
    assert_eq!(follows("reverted")["rollouts"][0]["proof"]["state"], "waiting");
    let silent = host.verb(&["wait", "web", "--for", "safe", "--timeout", "1s"]);
    let said = String::from_utf8_lossy(&silent.stderr).into_owned();
    assert_eq!((silent.status.code(), said.lines().count()), (Some(5), 1), "{said}");
    assert!(said.contains("web was not safe within 1s: no traffic since the switch: silence proves nothing"), "{said}");

    // The table says first what waits for whom. Without a single request the way back is not proven, however
    // long it lasts, and it is not healthy; with the first one it is.
    host.until("unproved", |r| r.proof.as_ref().is_some_and(|p| p.unproved_since.is_some()));
    let silent = follows("unproved")["rollouts"][0].clone();
    assert_eq!((&silent["proof"]["state"], &silent["urgency"]["state"]), (&"unproved".into(), &"unproved".into()), "{silent:#}");
    assert_eq!(silent["next"]["what"], "nothing by itself; t retries v2; proved by the first request");
    assert!(host.ok(&["get"]).lines().nth(1).is_some_and(|l| l.starts_with("unproved since ")), "{}", host.ok(&["get"]));
    assert_eq!(host.get("/").0, 200);
    assert_eq!(host.ok(&["wait", "web", "--for", "safe", "--timeout", "30s"]), "web is safe");
    assert_eq!(follows("safe")["rollouts"][0]["proof"]["state"], "safe");
    let table = host.ok(&["get"]);
    assert!(table.starts_with("STATE") && table.lines().nth(1).is_some_and(|l| l.starts_with("healthy since ")), "{table}");
    let unknown = host.verb(&["get", "web@9"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("the nearest is `web@2`"), "{said}");

    // It has been proved, whatever becomes of the host. What it finds out it writes within a second.
    let proved = host.rollout();
    host.until("written", |r| (r.seen.server_time - proved.seen.server_time).num_seconds() > 2);
    host.kill();
    host.run();
    let again = host.until("told", |r| r.proof.is_some()).proof.unwrap();
    assert_eq!((again.safe_since, again.missing.len()), (proved.proof.unwrap().safe_since, 0));
}

/// A host with the sample service, on which nothing was deployed yet.
fn sample() -> Option<Host> {
    let cutover = crate::support::host::CUTOVER;
    // The schema is printed without any configuration.
    let bare = Command::new(cutover).arg("schema").env_clear().output().unwrap();
    assert!(bare.status.success());
    Some(Host::start(&format!(
        r#"
[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["{cutover}", "sample", "--port", "{{port}}", "--behaviour", "behaviour.toml"]
readiness = {{ path = "/healthz", interval = "100ms" }}
steps = [{{ weight = 25 }}, {{ pause = "manual" }}]
drain = "2s"
"#
    )))
}
