//! Answers as real servers gave them (Prometheus 2.42, VictoriaMetrics 1.79), and ruined ones.

use super::{Head, Notes, ahead, alerts, query, retry_after};
use crate::{
    metrics::{Labels, Native, Series, Trouble, Value},
    model::{text::Text, time::Time},
};
use chrono::DateTime;
use proptest::prelude::*;
use std::time::Duration;

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/prometheus/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn head(status: u16, media: &str) -> Head {
    Head { status, media: media.into(), after: None, elsewhere: None }
}

fn place() -> Text {
    "http://prom:9090".into()
}

fn answer(status: u16, body: &[u8]) -> Result<(Vec<Series>, Notes), Trouble> {
    query(&place(), &head(status, "application/json"), body)
}

fn recorded(name: &str) -> Vec<Series> {
    let (series, notes) = answer(200, &bytes(name)).unwrap();
    assert_eq!(notes.warnings, [], "{name}");
    series
}

fn trouble(status: u16, name: &str) -> Trouble {
    answer(status, &bytes(name)).unwrap_err()
}

fn at(ms: i64) -> Time {
    DateTime::from_timestamp_millis(ms).unwrap()
}

fn numbers(series: &Series) -> Vec<f64> {
    let number = |value: &Value| if let Value::Number(n) = value { *n } else { panic!("a histogram") };
    series.points.iter().map(|p| number(&p.value)).collect()
}

#[test]
fn vectors_and_matrices() {
    let vector = recorded("vector.json");
    assert_eq!(vector.len(), 2);
    assert_eq!(vector[0].labels.get("__name__"), Some("requests_total"));
    assert_eq!(vector[0].labels.get("version"), Some("v2"));
    assert_eq!((numbers(&vector[0]), vector[0].points[0].at), (vec![250.0], at(1_795_971_574_297)));
    let matrix = recorded("matrix.json");
    assert_eq!(matrix.len(), 1);
    assert_eq!(numbers(&matrix[0]), [210.0, 220.0, 230.0, 240.0, 250.0]);
    assert_eq!(matrix[0].points[0].at, at(1_795_971_569_602));
    assert_eq!(recorded("empty.json"), []);
    let hollow = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[]}]}}"#;
    assert_eq!(answer(200, hollow).unwrap().0, []);
    let scalar = recorded("scalar.json");
    assert_eq!((scalar.len(), &scalar[0].labels, numbers(&scalar[0])), (1, &Labels::default(), vec![2.0]));
    assert_eq!(trouble(200, "string.json").to_string(), "the query fails: it is a text and not a number");
}

#[test]
fn numbers_that_are_none_stay_so() {
    let odd = recorded("odd.json");
    let of = |kind: &str| numbers(odd.iter().find(|s| s.labels.get("kind") == Some(kind)).unwrap())[0];
    assert!(of("nan").is_nan());
    assert_eq!((of("inf"), of("neg")), (f64::INFINITY, f64::NEG_INFINITY));
}

#[test]
fn native_histograms() {
    let whole =
        Native { count: 100.0, sum: 37.5, buckets: vec![(-1.0, -0.5, 25.0), (-0.001, 0.001, 25.0), (0.5, 1.0, 25.0), (1.0, 2.0, 25.0)] };
    assert_eq!(recorded("native.json")[0].points[0].value, Value::Histogram(whole));
    let many = recorded("natives.json");
    let counts: Vec<f64> =
        many[0].points.iter().map(|p| if let Value::Histogram(n) = &p.value { n.count } else { panic!("a number") }).collect();
    assert_eq!(counts, [88.0, 92.0, 96.0, 100.0]);
    // Both in one answer.
    let range = recorded("range.json");
    assert!(range.iter().any(|s| matches!(s.points[0].value, Value::Histogram(_))));
    assert!(range.iter().any(|s| matches!(s.points[0].value, Value::Number(_))));
    // And in one series, oldest first.
    let mixed = br#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[3,"1"],[1,"2"]],"histograms":[[2,{"count":"1","sum":"1"}]]}]}}"#;
    let times: Vec<i64> = answer(200, mixed).unwrap().0[0].points.iter().map(|p| p.at.timestamp()).collect();
    assert_eq!(times, [1, 2, 3]);
}

#[test]
fn warnings_are_kept() {
    let (series, Notes { warnings, infos }) = answer(200, &bytes("warning.json")).unwrap();
    assert_eq!((series.len(), warnings.len(), infos.len()), (1, 1, 0));
    assert!(warnings[0].as_str().starts_with("remote_read: error sending request"), "{warnings:?}");
    let said = br#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["PromQL info: metric might not be a counter"]}"#;
    let (_, notes) = answer(200, said).unwrap();
    assert_eq!((notes.warnings.len(), notes.infos[0].as_str()), (0, "PromQL info: metric might not be a counter"));
}

#[test]
fn what_servers_say_no_to() {
    assert_eq!(
        trouble(400, "parse.json").to_string(),
        "not a query: invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"
    );
    assert!(matches!(trouble(400, "resolution.json"), Trouble::Query { why } if why.as_str().contains("maximum resolution")));
    let failed = trouble(422, "execution.json");
    assert!(failed.to_string().starts_with("the query fails: found duplicate series for the match group"), "{failed}");
    assert!(failed.to_string().chars().count() < 340 && failed.to_string().ends_with('…'), "{failed}");
    assert!(matches!(trouble(422, "samples.json"), Trouble::Failed { .. }));
    assert!(matches!(trouble(422, "victoria-parse.json"), Trouble::Failed { why } if why.as_str().contains("unexpected token")));
    let lost = query(&place(), &head(404, "text/plain"), &bytes("lost.txt")).unwrap_err();
    assert_eq!(lost.to_string(), "http://prom:9090 answers something else: 404: 404 page not found: is the path of `url` right?");
}

#[test]
fn a_status_is_what_it_means() {
    let said = |status: u16, media: &str, body: &str| query(&place(), &head(status, media), body.as_bytes()).unwrap_err();
    let json = |kind: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"because"}}"#);
    for (status, kind) in [(503, "timeout"), (503, "unavailable"), (499, "canceled"), (429, "too_many_requests"), (500, "internal")] {
        let busy = said(status, "application/json", &json(kind));
        assert_eq!(busy.to_string(), format!("http://prom:9090 is busy: {status}: because"));
        assert!(busy.passes());
    }
    for status in [401, 403] {
        assert!(
            matches!(said(status, "text/plain", "Unauthorized"), Trouble::Denied { why, .. } if why.as_str() == format!("{status}: Unauthorized"))
        );
    }
    let after = Head { after: Some(Duration::from_secs(7)), ..head(429, "text/html") };
    let busy = query(&place(), &after, b"<h1>slow down</h1>").unwrap_err();
    assert!(matches!(busy, Trouble::Busy { after: Some(after), .. } if after == Duration::from_secs(7)));
    // A page of a proxy.
    let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>\u{1b}[2J<h1>Welcome</h1></body>";
    assert_eq!(said(200, "text/html", page).to_string(), "http://prom:9090 answers something else: text/html: Sign in Welcome");
    assert_eq!(said(200, "", "").to_string(), "http://prom:9090 answers something else: nothing (no content type)");
    assert!(matches!(said(403, "application/problem+json", "{\"title\":\"no\"}"), Trouble::Denied { .. }));
    assert!(query(&place(), &head(200, "application/stream+json"), &bytes("matrix.json")).is_ok());
    assert!(matches!(said(400, "text/html", page), Trouble::Protocol { .. }));
    assert!(matches!(said(502, "text/html", page), Trouble::Busy { .. }));
    let sent = Head { elsewhere: Some("https://login.example.org/".into()), ..head(302, "text/html") };
    assert_eq!(
        query(&place(), &sent, b"").unwrap_err().to_string(),
        "http://prom:9090 answers something else: 302: it sends us to https://login.example.org/, and nobody follows: correct `url`"
    );
    // A success that is none, and JSON of somebody else.
    assert!(matches!(said(200, "application/json", &json("execution")), Trouble::Failed { .. }));
    assert!(matches!(said(200, "application/json", "{\"status\":\"success\"}"), Trouble::Protocol { .. }));
    assert!(matches!(said(200, "application/json", "[]"), Trouble::Protocol { .. }));
    assert!(matches!(said(403, "application/json", "{\"message\":\"no\"}"), Trouble::Denied { .. }));
}

#[test]
fn what_is_not_understood_is_no_number() {
    let result = |kind: &str, result: &str| {
        let body = format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#);
        answer(200, body.as_bytes()).unwrap_err().to_string()
    };
    for (kind, body, said) in [
        ("vector", r#"[{"metric":{}}]"#, "a series without samples"),
        ("vector", r#"[{"metric":{},"value":[1,"x"]}]"#, "expected a number as text"),
        ("vector", r#"[{"metric":{},"value":[1e300,"1"]}]"#, "a time that is none"),
        ("vector", r#"[{"metric":{},"value":[1]}]"#, "JSON that is not understood"),
        (
            "vector",
            r#"[{"metric":{"a":"b"},"value":[1,"1"]},{"metric":{"a":"b"},"value":[1,"2"]}]"#,
            "two series with the same labels {a=\"b\"}",
        ),
        ("vector", r#"[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[[0,"NaN","1","1"]]}]}]"#, "no number"),
        ("streams", "[]", "a result of the unknown type `streams`"),
    ] {
        let error = result(kind, body);
        assert!(error.contains(said), "{body}: {error}");
    }
}

#[test]
fn only_alerts_that_fire() {
    let head = head(200, "application/json");
    let firing = alerts(&place(), &head, &bytes("alerts.json")).unwrap();
    assert_eq!(firing.len(), 1);
    assert_eq!(firing[0].labels.get("alertname"), Some("TooMany"));
    assert_eq!(firing[0].annotations.get("summary"), Some("too many for v2"));
    assert_eq!(firing[0].since.to_rfc3339(), "2026-11-29T16:59:09.730914610+00:00");
    assert_eq!(alerts(&place(), &head, &bytes("victoria-alerts.json")).unwrap(), []);
}

#[test]
fn clocks() {
    let now = at(1_795_971_574_500);
    let date = |s: i64| at((1_795_971_574 + s) * 1000).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
    assert_eq!(retry_after(&date(10), now), Some(Duration::from_millis(9_500)));
    assert_eq!(retry_after(&date(-10), now), Some(Duration::ZERO));
    assert_eq!(retry_after("99999999999999", now), Some(Duration::from_secs(3600)));
    assert_eq!(retry_after("soon", now), None);
    let later = at(1_795_971_574_600);
    assert_eq!(ahead(&date(0), now, later), Some(chrono::Duration::zero()));
    assert_eq!(ahead(&date(60), now, later).unwrap().num_seconds(), 59);
    assert_eq!(ahead(&date(-60), now, later).unwrap().num_seconds(), -60);
    assert_eq!(ahead("now", now, later), None);
}

fn any_recording() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec!["vector.json", "matrix.json", "range.json", "natives.json", "warning.json", "execution.json", "alerts.json"])
        .prop_map(bytes)
}

proptest! {
    /// Whatever comes: an answer or a trouble, and a trouble is one line.
    #[test]
    fn ruined_bytes_are_a_trouble(
        mut body in any_recording(), cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        status in prop::sample::select(vec![200_u16, 302, 400, 401, 404, 422, 503]), json in any::<bool>(), whole in any::<bool>(),
    ) {
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if !whole {
            body.truncate(cut.index(body.len()));
        }
        let head = head(status, if json { "application/json" } else { "text/html" });
        let troubles = [query(&place(), &head, &body).err(), alerts(&place(), &head, &body).err()];
        for trouble in troubles.into_iter().flatten() {
            let said = trouble.to_string();
            prop_assert!(said.chars().all(|c| !c.is_control()) && said.chars().count() < 500, "{said:?}");
        }
        if status != 200 || !json {
            prop_assert!(query(&place(), &head, &body).is_err());
        }
    }

    #[test]
    fn random_bytes_are_a_trouble(body in prop::collection::vec(any::<u8>(), 0..300), status in 100_u16..600) {
        prop_assert!(query(&place(), &head(status, "application/json"), &body).is_err());
    }
}
