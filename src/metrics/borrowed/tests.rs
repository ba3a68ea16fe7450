use super::{Borrowed, Names, read};
use crate::{
    metrics::{preset::What, template::Variables},
    model::{rollout::Asked, text::Raw},
};
use std::time::Duration;

fn names() -> Names {
    Names {
        hashes: Some(["bbb222".into(), "aaa111".into()]),
        services: Some(["web-canary".into(), "web".into()]),
        versions: vec![["v2".into(), "v1".into()]],
    }
}

fn asked(query: &str, success: &str, failure: &str) -> Asked {
    Asked { query: Raw::new(query), success: Raw::new(success), failure: Raw::new(failure) }
}

fn of(query: &str, success: &str) -> Result<Borrowed, String> {
    read("success-rate", &asked(query, success, ""), &names())
}

/// The limit, then errors and requests of the candidate and of stable.
fn counts(borrowed: &Borrowed) -> (f64, [String; 4]) {
    let text = |what: What, canary: bool| {
        let query = borrowed.queries.get(what).unwrap();
        assert!(query.metric.is_some(), "its samples are counted one by one");
        let template = if canary { &query.canary } else { &query.stable };
        template.fill(&Variables::new(), Duration::from_secs(60)).unwrap()
    };
    let all = [(What::Errors, true), (What::Requests, true), (What::Errors, false), (What::Requests, false)];
    (borrowed.gate.limit.unwrap(), all.map(|(what, canary)| text(what, canary)))
}

/// As Argo's documentation has it.
const ISTIO: &str = "sum(irate(\n  istio_requests_total{reporter=\"source\",destination_service=~\"web-canary.shop.svc.cluster.local\",response_code!~\"5.*\"}[5m]\n)) /\nsum(irate(\n  istio_requests_total{reporter=\"source\",destination_service=~\"web-canary.shop.svc.cluster.local\"}[5m]\n))";

#[test]
fn a_share_of_good_requests_is_read_as_failed_ones_of_both_versions() {
    let (limit, [errors, requests, stable_errors, stable]) = counts(&of(ISTIO, "result[0] >= 0.95").unwrap());
    assert!((limit - 5.0).abs() < 1e-9);
    let all = "istio_requests_total{reporter=\"source\",destination_service=~\"web-canary.shop.svc.cluster.local\"";
    assert_eq!(requests, format!("{all}}}"));
    assert_eq!(errors, format!("{all},response_code=~\"5.*\"}}"));
    assert_eq!(stable, requests.replace("web-canary", "web"));
    assert_eq!(stable_errors, errors.replace("web-canary", "web"));
    // Where nothing failed there is no series of failures, and that is none of them.
    assert!(of(ISTIO, "result[0] >= 0.95").unwrap().queries.may_be_zero(What::Errors));
}

#[test]
fn other_ways_to_write_the_same() {
    let bad = "sum(rate(req{code=~\"5..\",pod=~\"web-bbb222-.*\"}[1m]))";
    let good = "sum(rate(req{code!~\"5..\",pod=~\"web-bbb222-.*\"}[1m]))";
    let all = "sum(rate(req{pod=~\"web-bbb222-.*\"}[1m]))";
    let same = counts(&of(&format!("{bad} / {all}"), "result[0] <= 0.02").unwrap());
    assert_eq!(same.1[3], "req{pod=~\"web-aaa111-.*\"}");
    assert!((same.0 - 2.0).abs() < 1e-9);
    for (query, success, failure) in [
        (format!("1 - {bad} / {all}"), "result[0] >= 0.98", ""),
        (format!("({all} - {bad}) / {all}"), "result[0] > 0.98", ""),
        (format!("100 * ({bad} / {all})"), "result[0] < 2", ""),
        (format!("100 - {bad} / {all} * 100"), "98 <= result[0]", ""),
        (format!("({bad} or vector(0)) / {all} or on() vector(0)"), "result[0] < 0.02", ""),
        (format!("scalar({bad} / {all})"), "result < 0.02", ""),
        (format!("{good} / {all}"), "isNaN(result[0]) || result[0] >= 0.98", ""),
        (format!("{good} / {all}"), "", "result[0] < 0.98"),
        (format!("{bad} / {all}"), "len(result) == 0 || asFloat(result[0]) <= 0.02", "result[0] > 0.5"),
    ] {
        let read = read("x", &asked(&query, success, failure), &names()).unwrap_or_else(|why| panic!("{query}: {why}"));
        let (limit, queries) = counts(&read);
        assert!((limit - 2.0).abs() < 1e-9, "{query}: {limit}");
        let sorted = |query: &String| query.split(['{', ',', '}']).map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(queries.each_ref().map(sorted), same.1.each_ref().map(sorted), "{query}");
    }
}

#[test]
fn what_is_no_counts_says_why() {
    let all = "sum(rate(req{svc=\"web-canary\"}[1m]))";
    for (query, success, says) in [
        (all, "result[0] < 5", "without how many requests"),
        ("histogram_quantile(0.99, sum(rate(b{svc=\"web-canary\"}[1m])))", "result[0] < 1", "a quantile is no count"),
        ("sum(rate(bad[1m])) / sum(rate(req[1m]))", "result[0] < 0.1", "all versions together"),
        ("sum(rate(bad{app=\"web-canary-2\"}[1m])) / sum(rate(req{app=\"web-canary-2\"}[1m]))", "result[0] < 0.1", "all versions together"),
        ("sum(rate(bad{v=\"v1\"}[1m])) / sum(rate(req{v=\"v1\"}[1m]))", "result[0] < 0.1", "looks at stable alone"),
        ("sum(rate(bad{v!=\"v2\"}[1m])) / sum(rate(req{v!=\"v2\"}[1m]))", "result[0] < 0.1", "every version but the new one"),
        (&format!("sum(rate(good{{svc=\"web-canary\"}}[1m])) / {all}"), "result[0] > 0.9", "which requests failed cannot be told"),
        (&format!("sum by (code) (rate(req[1m])) / {all}"), "result[0] < 0.1", "several series"),
        (&format!("rate(bad[1m]) / {all}"), "result[0] < 0.1", "without `sum`"),
        (&format!("{all} / {all} / {all}"), "result[0] < 0.1", "put together with `/`"),
        (&format!("{all} > 5"), "result[0] < 0.1", "put together with `>`"),
        ("sum(up{svc=\"web-canary\"}) / 4", "result[0] < 0.1", "values of now"),
        ("bad{svc=\"{{args.secret}}\"}", "result[0] < 0.1", "`args.secret` in its query has no value"),
        ("sum(rate(", "result[0] < 0.1", "ends too early"),
    ] {
        let why = of(query, success).unwrap_err();
        assert!(why.contains(says), "{query}: {why}");
    }
    let share = format!("{} / {all}", all.replace('}', ",code=\"500\"}"));
    for (success, says) in [
        ("", "no condition"),
        ("result[0] <= 0.1 && result[0] >= 0.01", "no single bound"),
        ("result[0] <= {{args.limit}}", "no single bound"),
        ("result[1] < 0.1", "no single bound"),
        ("result[0] < 7", "no limit of a share"),
        ("all(result, # < 0.1)", "no single bound"),
    ] {
        let why = of(&share, success).unwrap_err();
        assert!(why.contains(says), "{success}: {why}");
    }
    assert!(of(&share, "result[0] <= 0.1").is_ok());
}
