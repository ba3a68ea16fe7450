mod scraped;

use super::{ServiceMetrics, VersionMetrics, render};
use crate::{
    host::meter::{Head, Meter},
    model::{
        gate::{Arm, Verdict},
        ident::{GateId, InstanceId, Role, VersionId},
        ratio::Weight,
        rollout::{Hold, Phase},
    },
};
use chrono::DateTime;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

fn page() -> String {
    let meter = Meter::new();
    let at = DateTime::from_timestamp_micros(1_700_000_000_250_000).unwrap();
    let part = meter.part(&InstanceId::new("9f2c-1-7"));
    for (status, millis) in [(200, 4), (200, 40), (503, 70_000)] {
        meter.start(at);
        meter.head(Head::Answer { status, latency: Duration::from_millis(millis) }, Some(&part));
        meter.end(false);
    }
    meter.head(Head::Substitute { status: 503, waited: Some(Duration::from_secs(9)) }, None);
    let version = |role, label: &str, weight: Option<Weight>| VersionMetrics {
        role,
        label: label.into(),
        id: VersionId::new("9f2c"),
        totals: meter.totals(),
        tested: 7,
        parts: meter.parts(),
        nowhere: meter.nowhere(),
        declared: weight,
        programmed: weight,
        ready: 2,
        desired: 3,
        restarts: vec![("a".into(), 2)],
    };
    render(&[ServiceMetrics {
        service: "shop".into(),
        phase: Phase::Held,
        holds: vec![Hold::Manual { by: "ana".into(), since: at, weight: None }, Hold::Manual { by: "ben".into(), since: at, weight: None }],
        frozen: true,
        findings: vec!["sick".into(), "drift".into(), "sick".into()],
        gates: vec![(GateId::new("errors"), Verdict::Fail { who: Arm::Candidate, why: "5 > 1".into() })],
        unrouted: 4,
        outlived: 2,
        versions: vec![version(Role::Stable, "awk\"ward\\1.0", Weight::from_bp(9_999)), version(Role::Candidate, "1.1", None)],
    }])
}

/// Every sample by its whole name; fails on a line that is none, or that is not under its family.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut helped) = (String::new(), String::new(), String::new());
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(!text.is_empty() && families.insert(name.to_owned()), "{line}");
            helped = name.to_owned();
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, what) = of.split_once(' ').unwrap();
            assert_eq!(name, helped);
            (family, kind) = (name.to_owned(), what.to_owned());
            assert!(name.starts_with("cutover_"));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let base = name.split('{').next().unwrap();
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|s| base == format!("{family}{s}")), "{line} under {family}");
            let labels = name.strip_prefix(base).unwrap();
            assert!(labels.starts_with('{') && labels.ends_with("\"}"), "{line}");
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    samples
}

#[test]
fn every_line_is_one_sample_of_its_family() {
    let page = page();
    assert!(page.ends_with('\n'));
    let samples = samples(&page);
    let stable = r#"service="shop",role="stable",version="awk\"ward\\1.0",version_id="9f2c""#;
    let slot = format!("{stable},slot=\"9f2c-1-7\"");
    for (name, value) in [
        (r#"cutover_phase{service="shop",phase="held"}"#.to_owned(), 1.0),
        (r#"cutover_phase{service="shop",phase="idle"}"#.to_owned(), 0.0),
        (r#"cutover_holds{service="shop",kind="manual"}"#.to_owned(), 2.0),
        (r#"cutover_holds{service="shop",kind="gate"}"#.to_owned(), 0.0),
        (r#"cutover_gate_verdict{service="shop",gate="errors",verdict="fail"}"#.to_owned(), 1.0),
        (r#"cutover_gate_verdict{service="shop",gate="errors",verdict="pass"}"#.to_owned(), 0.0),
        (r#"cutover_frozen{service="shop"}"#.to_owned(), 1.0),
        (r#"cutover_findings{service="shop",kind="drift"}"#.to_owned(), 1.0),
        (r#"cutover_findings{service="shop",kind="sick"}"#.to_owned(), 2.0),
        (r#"cutover_unrouted_requests_total{service="shop"}"#.to_owned(), 4.0),
        (r#"cutover_outlived_requests_total{service="shop"}"#.to_owned(), 2.0),
        (format!("cutover_requests_total{{{slot},class=\"2xx\"}}"), 2.0),
        (format!("cutover_requests_total{{{slot},class=\"5xx\"}}"), 1.0),
        (format!("cutover_requests_total{{{stable},class=\"2xx\"}}"), 0.0),
        (format!("cutover_requests_total{{{stable},class=\"5xx\"}}"), 1.0),
        (format!("cutover_tester_requests_total{{{stable}}}"), 7.0),
        (format!("cutover_request_errors_total{{{stable}}}"), 2.0),
        (format!("cutover_instance_restarts_total{{{stable},slot=\"a\"}}"), 2.0),
        (format!("cutover_timed_out_requests_total{{{slot}}}"), 0.0),
        (format!("cutover_timed_out_requests_total{{{stable}}}"), 1.0),
        (format!("cutover_last_request_timestamp_seconds{{{stable}}}"), 1_700_000_000.25),
        (format!("cutover_programmed_weight_ratio{{{stable}}}"), 0.9999),
        (format!("cutover_instances_ready{{{stable}}}"), 2.0),
        (format!("cutover_request_duration_seconds_bucket{{{slot},le=\"0.005\"}}"), 1.0),
        (format!("cutover_request_duration_seconds_bucket{{{slot},le=\"60\"}}"), 2.0),
        (format!("cutover_request_duration_seconds_bucket{{{slot},le=\"+Inf\"}}"), 3.0),
        (format!("cutover_request_duration_seconds_bucket{{{stable},le=\"+Inf\"}}"), 1.0),
        (format!("cutover_request_duration_seconds_count{{{slot}}}"), 3.0),
        (format!("cutover_request_duration_seconds_sum{{{slot}}}"), 70.044),
    ] {
        assert!(samples.get(&name).is_some_and(|v| (v - value).abs() < 1e-9), "{name}: {:?}", samples.get(&name));
    }
    assert!(!samples.keys().any(|k| k.contains("weight_ratio") && k.contains("candidate")), "what is not known is absent");
}

#[test]
fn without_services_it_is_still_a_page() {
    assert!(samples(&render(&[])).is_empty());
}

/// Prometheus' own opinion, where its tool is installed.
#[test]
fn promtool_has_nothing_to_say() {
    let tool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut tool) = tool else {
        println!("left out: promtool is not installed");
        return;
    };
    tool.stdin.take().unwrap().write_all(page().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
