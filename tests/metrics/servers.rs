//! The real servers.

use super::rig::{client, now};
use crate::support::{
    host::PATIENCE,
    http::{Fake, reply},
    prometheus::{Server, scraping},
};
use cutover::metrics::{Answer, Metrics, Series, Trouble, Value, prometheus::Prometheus};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What is scraped: a counter that grows by 10 with every scrape, and an alert that somebody else computed.
fn exporter() -> Fake {
    let scrapes = AtomicU64::new(0);
    Fake::new(move |_, client| {
        let n = scrapes.fetch_add(1, Ordering::SeqCst) + 1;
        let text = format!(
            "shop_requests_total{{version=\"v1\"}} {}\nshop_requests_total{{version=\"v2\"}} 0\nshop_odd NaN\n\
             shop_latency_bucket{{le=\"0.1\"}} {n}\nshop_latency_bucket{{le=\"+Inf\"}} {n}\nshop_latency_sum 1\nshop_latency_count {n}\n\
             ALERTS{{alertname=\"Elsewhere\",alertstate=\"firing\"}} 1\nALERTS_FOR_STATE{{alertname=\"Elsewhere\"}} 1700000000\n",
            n * 10
        );
        reply(client, 200, "content-type: text/plain; version=0.0.4\r\n", text.as_bytes())
    })
}

fn number(series: &Series) -> f64 {
    match series.points.last().map(|p| &p.value) {
        Some(Value::Number(n)) => *n,
        other => panic!("{other:?}"),
    }
}

/// Asks until the answer is as it should be.
async fn until(client: &Prometheus, query: &str, holds: impl Fn(&Answer) -> bool) -> Answer {
    let began = Instant::now();
    loop {
        let answer = client.instant(query, now()).await.unwrap();
        if holds(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{query} stays {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What any server of this kind can do.
async fn answers(client: &Prometheus, ranges_are_of_now: bool) {
    // Raw samples: as they were scraped, with their times.
    let query = "shop_requests_total{version=\"v1\"}[1m]";
    let raw = until(client, query, |a| a.series.first().is_some_and(|s| s.points.len() >= 3)).await;
    assert!(raw.ahead.is_none_or(|ahead| ahead.abs() <= chrono::Duration::seconds(2)), "{:?}", raw.ahead);
    let points = &raw.series[0].points;
    for pair in points.windows(2) {
        let (Value::Number(a), Value::Number(b)) = (&pair[0].value, &pair[1].value) else { panic!("{points:?}") };
        assert!(b - a >= 10.0 && (b - a) % 10.0 == 0.0, "{points:?}");
        let apart = (pair[1].at - pair[0].at).num_milliseconds();
        assert!((1..20_000).contains(&apart), "{points:?}");
    }
    assert_eq!(raw.series[0].labels.get("__name__"), Some("shop_requests_total"));
    assert_eq!(raw.series[0].labels.get("job"), Some("shop"));
    // One point of every series; nothing where there is none.
    let both = client.instant("sum by (version) (shop_requests_total)", now()).await.unwrap();
    let of = |version: &str| both.series.iter().find(|s| s.labels.get("version") == Some(version)).map(number);
    assert!(of("v1").unwrap() >= 30.0 && of("v2") == Some(0.0), "{both:?}");
    assert_eq!(both.warnings, []);
    assert_eq!(client.instant("shop_nothing", now()).await.unwrap().series, []);
    // What is computed is of now, and so is how old it is: not as of half a minute ago.
    let newest = client.instant("min(timestamp(shop_requests_total))", now()).await.unwrap();
    let age = now().timestamp_millis() as f64 / 1_000.0 - number(&newest.series[0]);
    assert!((0.0..15.0).contains(&age), "{age} s old");
    // A query is data, whatever stands in it.
    let odd = client.instant("shop_requests_total{version=\"a\\\"b&c=d+é%\"}", now()).await.unwrap();
    assert_eq!(odd.series, []);
    // A range.
    let range = client.range("shop_requests_total{version=\"v1\"}", now() - chrono::Duration::seconds(60), now(), Duration::from_secs(1));
    let range = range.await.unwrap();
    if !ranges_are_of_now {
        return;
    }
    assert!(range.series[0].points.windows(2).all(|pair| pair[1].at - pair[0].at >= chrono::Duration::seconds(1)));
    assert!(range.series[0].points.len() >= 2);
}

#[tokio::test]
async fn prometheus() {
    let exporter = exporter();
    let rules = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: TooMany\n    expr: shop_requests_total{version=\"v1\"} > 5\n    annotations: { summary: too many }\n";
    let config = format!("{}rule_files: [rules.yml]\n", scraping(exporter.port));
    let Some(mut server) = Server::prometheus(&config, rules) else { return };
    let asking = client(&server.url, |_| ());
    answers(&asking, true).await;
    let odd = asking.instant("shop_odd", now()).await.unwrap();
    assert!(number(&odd.series[0]).is_nan());
    // What does not parse, what cannot be computed, what is too much.
    let parse = asking.instant("sum(", now()).await.unwrap_err();
    assert!(matches!(&parse, Trouble::Query { why } if why.as_str().contains("parse error")), "{parse}");
    let failed = asking.instant("shop_requests_total * on (job) shop_requests_total", now()).await.unwrap_err();
    assert!(matches!(&failed, Trouble::Failed { why } if why.as_str().contains("many-to-many")), "{failed}");
    let small = client(&server.url, |s| s.body_limit = 300);
    assert!(matches!(small.instant("{job=\"shop\"}", now()).await, Err(Trouble::TooLarge { limit: 300, .. })));
    let astray = client(&format!("{}/elsewhere", server.url), |_| ()).instant("up", now()).await.unwrap_err();
    assert!(matches!(&astray, Trouble::Protocol { what, .. } if what.as_str().contains("404 page not found")), "{astray}");
    // Its own alerts; those that were only scraped are somebody else's.
    let began = Instant::now();
    let alerts = loop {
        let alerts = asking.alerts().await.unwrap();
        if alerts.iter().any(|a| a.labels.get("alertname") == Some("TooMany")) {
            break alerts;
        }
        assert!(began.elapsed() < PATIENCE, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((alerts.len(), alerts[0].annotations.get("summary")), (1, Some("too many")));
    assert!((now() - alerts[0].since).num_seconds() < 120);
    // It ends under us.
    server.stop();
    assert!(matches!(asking.instant("up", now()).await, Err(Trouble::Unreachable { .. })));
}

#[tokio::test]
async fn victoria_metrics() {
    let exporter = exporter();
    let Some(server) = Server::victoria(&scraping(exporter.port)) else { return };
    let asking = client(&format!("{}/prometheus", server.url), |_| ());
    // Ranges are of now since 1.85.2; Debian has an older one, and only what is past is asked for.
    answers(&asking, false).await;
    let wrong = asking.instant("sum(", now()).await.unwrap_err();
    assert!(matches!(&wrong, Trouble::Failed { why } if why.as_str().contains("unexpected")), "{wrong}");
    // Its list of alerts is always empty, so the series speak.
    let alerts = asking.alerts().await.unwrap();
    assert_eq!((alerts.len(), alerts[0].labels.get("alertname")), (1, Some("Elsewhere")));
    assert_eq!(alerts[0].since.timestamp(), 1_700_000_000);
}
