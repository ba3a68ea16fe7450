use super::*;
use crate::metrics::{Alert, Labels, Point, Trouble};
use std::{collections::BTreeMap, sync::Mutex};

/// A backend with answers by the beginning of what is asked; it keeps what that was.
struct Fake {
    said: Vec<(&'static str, Vec<Series>)>,
    asked: Mutex<Vec<String>>,
    place: Text,
}

impl Metrics for Fake {
    async fn instant(&self, query: &str, _: Time) -> Result<Answer, Trouble> {
        self.asked.lock().unwrap().push(query.to_owned());
        if query.contains("=~\"(\"") {
            return Err(Trouble::Query { why: "missing closing )".into() });
        }
        let said = self.said.iter().find(|(begin, _)| query.starts_with(begin));
        Ok(Answer { series: said.map(|(_, series)| series.clone()).unwrap_or_default(), ..Answer::default() })
    }

    async fn range(&self, query: &str, _: Time, to: Time, _: Duration) -> Result<Answer, Trouble> {
        self.instant(query, to).await
    }

    async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
        Ok(Vec::new())
    }

    fn place(&self) -> &Text {
        &self.place
    }
}

fn series(labels: &[(&str, &str)]) -> Series {
    let points = (0..4).map(|n| Point { at: Time::UNIX_EPOCH + chrono::Duration::seconds(15 * n), value: Value::Number(1.0) });
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Series { labels: Labels::new(labels), points: points.collect() }
}

fn variables(of: &[(&str, &str)]) -> Variables {
    of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// What is said of one query for requests, and what was asked.
fn told(requests: &str, said: Vec<(&'static str, Vec<Series>)>, canary: Option<&Variables>) -> (Vec<(Grade, String)>, Vec<String>) {
    let written: BTreeMap<String, super::super::preset::Written> =
        toml::from_str(&format!("requests = {requests}\ncode_label = \"code\"")).unwrap();
    let mut queries = Queries::of("haproxy", &written).unwrap();
    queries.instance_label = None;
    let stable = variables(&[("service", "web"), ("version", "1"), ("stable_service", "web"), ("canary_service", "web-canary")]);
    let origin = Origin { preset: "haproxy".into(), lines: [("requests".to_owned(), 38)].into() };
    let fake = Fake { said, asked: Mutex::default(), place: "prom".into() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(check(&fake, (&queries, &origin), (&stable, canary), Duration::from_secs(15), Time::UNIX_EPOCH));
    (found.into_iter().map(|f| (f.grade, f.text.to_string())).collect(), fake.asked.into_inner().unwrap())
}

const PAIR: &str = "{ stable = 'r{s=\"{{stable_service}}\"}', canary = 'r{s=\"{{canary_service}}\"}' }";

fn stable_alone() -> Vec<(&'static str, Vec<Series>)> {
    vec![("r{s=\"web\"}[", vec![series(&[("s", "web"), ("code", "2xx")])])]
}

#[test]
fn a_candidate_of_which_nothing_came_yet_is_asked_for_and_is_no_trouble() {
    let (found, asked) = told(PAIR, stable_alone(), None);
    assert_eq!(asked, ["r{s=\"web\"}[300s]", "r{s=\"web-canary\"}[300s]"]);
    let ok = |text: &str| (Grade::Ok, text.to_owned());
    let all = ["requests: 1 series", "requests: scraped every 15 s", "requests: canary: no series yet for r{s=\"web-canary\"}[300s]"];
    assert_eq!(found, all.map(ok));
}

#[test]
fn a_query_of_the_candidate_that_is_none_is_said() {
    let (found, _) = told(&PAIR.replace("s=\"{{canary_service}}\"", "s=~\"(\""), stable_alone(), None);
    let (grade, text) = found.last().unwrap();
    assert!(*grade == Grade::Bad && text.starts_with("requests: canary: at line 38: ") && text.contains("not a query"), "{found:?}");
}

#[test]
fn series_that_are_of_both_versions_tell_nothing() {
    let same = vec![("r{", vec![series(&[("s", "web"), ("code", "2xx")])])];
    let (found, _) = told(PAIR, same, None);
    let (grade, text) = found.last().unwrap();
    assert!(*grade == Grade::Bad && text.contains("it counts both versions together"), "{found:?}");
}

#[test]
fn versions_are_those_of_the_service_and_a_candidate_that_runs_is_asked_for() {
    let one = "'r{service=\"{{service}}\", version = \"{{ version }}\"}'";
    let of = |version: &str| series(&[("version", version), ("code", "2xx")]);
    let said = vec![("r{service=\"web\", version = \"1\"}[", vec![of("1")]), ("count by (version)", vec![of("1"), of("2")])];
    let (found, asked) = told(one, said.clone(), None);
    let both = "count(r{service=\"web\", version = \"1\",service=\"web\", version = \"no_such_version\"})";
    assert_eq!(asked, ["r{service=\"web\", version = \"1\"}[300s]", "count by (version) (r{service=\"web\", version!=\"\"})", both]);
    assert_eq!(found.last().unwrap().1, "requests: label `version` has 2 values");
    let candidate = variables(&[("service", "web"), ("version", "2")]);
    let (found, asked) = told(one, said, Some(&candidate));
    assert_eq!(asked.last().unwrap(), "r{service=\"web\", version = \"2\"}[300s]");
    assert!(found.last().unwrap().1.starts_with("requests: canary: no series yet"), "{found:?}");
}

/// A number, as `count` answers it.
fn number(n: f64) -> Vec<Series> {
    let points = vec![Point { at: Time::UNIX_EPOCH, value: Value::Number(n) }];
    vec![Series { labels: Labels::default(), points }]
}

#[test]
fn a_query_that_finds_stable_whatever_the_version_is_said_before_there_is_a_candidate() {
    let wide = "r{v=~\"1|.+\"}[";
    let said = |common| vec![(wide, vec![series(&[("v", "1"), ("code", "2xx")])]), ("count(r{v=~", common)];
    let together = "requests: it counts both versions together: tell them apart by {{version}}, {{pod_hash}} or another label";
    let (found, asked) = told("'r{v=~\"{{version}}|.+\"}'", said(number(1.0)), None);
    assert_eq!(asked.last().unwrap(), "count(r{v=~\"1|.+\",v=~\"no_such_version|.+\"})");
    assert_eq!(found.last().unwrap(), &(Grade::Bad, format!("{together}, asked r{{v=~\"{{{{version}}}}|.+\"}}")));
    let (found, _) = told("'r{v=~\"{{version}}|.+\"}'", said(Vec::new()), None);
    assert!(found.iter().all(|(grade, _)| *grade == Grade::Ok), "{found:?}");
    // What is added up elsewhere has no series to compare, so they are counted there.
    let sums = "'sum by (code) (increase(r{v=~\"{{version}}|.+\"}[{{window}}]))'";
    let said = vec![("sum by", vec![series(&[("code", "2xx")])]), ("count(r{v=~\"1|.+\",v=~\"2|.+\"})", number(3.0))];
    let (found, _) = told(sums, said, Some(&variables(&[("service", "web"), ("version", "2")])));
    let (grade, text) = found.last().unwrap();
    assert!(*grade == Grade::Bad && text.starts_with("requests: canary: it counts both versions together"), "{found:?}");
}

#[test]
fn a_label_without_any_value_is_not_well() {
    let said = vec![("r{v=\"1\"}[", vec![series(&[("v", "1"), ("code", "2xx")])])];
    let (found, _) = told("'r{v=\"{{version}}\"}'", said, None);
    let (grade, text) = found.last().unwrap();
    assert!(*grade == Grade::Warn && text.contains("label `v` has no value now"), "{found:?}");
}

#[test]
fn a_version_that_is_a_part_of_a_label_is_not_counted() {
    let any = |text: &str| any_version(text).map(|(label, text)| format!("{label} of {text}"));
    assert_eq!(any("x{pod=~\".+-{{pod_hash}}-.+\"}"), None);
    assert_eq!(any("x{a=\"b\",v!=\"{{version}}\"}"), None);
    assert_eq!(any("x{v='{{version}}',a=\"b\"}").as_deref(), Some("v of x{v!=\"\",a=\"b\"}"));
    assert_eq!(any("{__name__=\"x\",v=~\"{{ pod_hash }}\"}").as_deref(), Some("v of {__name__=\"x\",v!=\"\"}"));
}
