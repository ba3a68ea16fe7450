//! What real exporters write, scraped by a real Prometheus as each stack's scrapes are set up, and read with the
//! queries of its preset: every count that is in there comes, and nothing of anybody else.

use super::rig::{client, now};
use crate::support::{
    host::PATIENCE,
    http::{Fake, reply},
    prometheus::Server,
};
use cutover::{
    metrics::{
        Metrics, Origin, Value,
        check::{Grade, check},
        feed::{Feed, Pace, Subject},
        preset::{Queries, What, Written},
        prometheus::Prometheus,
        template::Variables,
    },
    model::{
        gate::Arm,
        interval::{Buckets, SensorState},
        signal::{Sample, SignalId},
        spec::GateSpec,
        time::Time,
    },
};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// Who is scraped: the file that is exposed, whether its labels go before the scrape's, and those of the scrape.
const TARGETS: [(&str, bool, &str); 16] = [
    ("istio-stable", false, "namespace: shop, pod: checkout-5d8f6c7b9d-abcde"),
    ("istio-canary", false, "namespace: shop, pod: checkout-7c9d4b5f6c-fghij"),
    ("istio-other", false, "namespace: other, pod: checkout-7c9d4b5f6c-klmno"),
    ("istio-gateway", false, "namespace: istio-system, pod: istio-ingressgateway-6b7f8c9d5-qrstu"),
    ("istio-waypoint", false, "namespace: shop, pod: waypoint-58c6d7f9b4-vwxyz"),
    ("envoy", false, "namespace: projectcontour, pod: envoy-1"),
    ("contour", false, "namespace: projectcontour, pod: envoy-2"),
    // What the exporter calls namespace and service becomes exported_namespace and exported_service.
    ("ingress-nginx", false, "namespace: ingress-nginx, service: ingress-nginx-controller-metrics"),
    ("ingress-nginx", true, "namespace: ingress-nginx, service: ingress-nginx-controller-metrics"),
    ("traefik", false, "namespace: traefik"),
    ("haproxy", false, "namespace: haproxy"),
    // As Linkerd's own scrape copies the labels of pods: those of a Rollout, and of a Deployment.
    ("linkerd-stable", false, "namespace: shop, pod: checkout-5d8f6c7b9d-abcde, rollouts_pod_template_hash: 5d8f6c7b9d"),
    ("linkerd-canary", false, "namespace: shop, pod: checkout-7c9d4b5f6c-fghij, pod_template_hash: 7c9d4b5f6c"),
    ("otel", true, "namespace: opentelemetry"),
    ("kube-state-metrics", true, "namespace: kube-system"),
    ("cadvisor", true, "node: node-1"),
];

/// What an exporter of this stack writes; counters are twice as high when `later`.
fn exposition(name: &str, later: bool) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/expositions").join(format!("{name}.prom"));
    let (mut text, mut counts) = (String::new(), false);
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').nth(1)) {
            counts = matches!(kind, "counter" | "histogram");
        }
        match line.rsplit_once(' ').filter(|_| counts && later && !line.starts_with('#')) {
            Some((series, value)) => writeln!(text, "{series} {}", 2.0 * value.parse::<f64>().unwrap()).unwrap(),
            None => writeln!(text, "{line}").unwrap(),
        }
    }
    text
}

/// Everything of one version.
#[derive(Clone, PartialEq, Debug, Default)]
struct Counted {
    errors: Option<(f64, f64)>,
    timeouts: Option<(f64, f64)>,
    restarts: Option<f64>,
    /// Requests by the upper edge of their bucket in milliseconds.
    latency: BTreeMap<String, f64>,
}

fn counted(errors: (f64, f64), timeouts: Option<f64>, latency: &[(&str, f64)]) -> Counted {
    Counted {
        errors: Some(errors),
        timeouts: timeouts.map(|n| (n, errors.1)),
        restarts: None,
        latency: latency.iter().map(|(edge, n)| ((*edge).to_owned(), *n)).collect(),
    }
}

/// A stack as it is configured, and what is counted of stable and the candidate.
struct Case {
    preset: &'static str,
    overrides: String,
    service: &'static str,
    namespace: &'static str,
    codes: &'static str,
    stable: Counted,
    canary: Counted,
}

impl Case {
    fn of(preset: &'static str, stable: Counted, canary: Counted) -> Self {
        Self { preset, overrides: String::new(), service: "checkout", namespace: "shop", codes: "\"5xx\"", stable, canary }
    }

    fn queries(&self) -> Queries {
        Queries::of(self.preset, &toml::from_str::<BTreeMap<String, Written>>(&self.overrides).unwrap()).unwrap()
    }

    fn values(&self, version: &str, hash: &str) -> Variables {
        let canary = format!("{}-canary", self.service);
        let all = [
            ("service", self.service),
            ("stable_service", self.service),
            ("canary_service", &canary),
            ("ingress", self.service),
            ("namespace", self.namespace),
            ("version", version),
            ("pod_hash", hash),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn gates(&self) -> Vec<GateSpec> {
        let queries = self.queries();
        let all = [("errors", What::Requests), ("timeouts", What::Timeouts), ("restarts", What::Restarts), ("p99", What::Latency)];
        let has = all.into_iter().filter(|(_, what)| queries.get(*what).is_some());
        let gate = |(signal, _): (&str, What)| {
            let codes = if signal == "errors" { format!("errors = [{}]\n", self.codes) } else { String::new() };
            toml::from_str(&format!("name = \"{signal}\"\nsignal = \"{signal}\"\ninterval = \"1s\"\nwarmup = \"0s\"\n{codes}")).unwrap()
        };
        has.map(gate).collect()
    }
}

fn cases() -> Vec<Case> {
    let at_proxy = |timeouts: Option<f64>, edges: [&str; 3]| {
        let stable = counted((13.0, 913.0), timeouts.map(|_| 4.0), &[(edges[0], 800.0), (edges[1], 109.0), (edges[2], 4.0)]);
        let canary = counted((14.0, 104.0), timeouts.map(|_| 3.0), &[(edges[0], 80.0), (edges[1], 21.0), (edges[2], 3.0)]);
        (stable, canary)
    };
    let (nginx, nginx_canary) = at_proxy(Some(0.0), ["25", "250", "inf"]);
    let (traefik, traefik_canary) = at_proxy(Some(0.0), ["100", "300", "inf"]);
    let example = include_str!("../../README.md").lines().find(|line| line.starts_with("service_errors = ")).unwrap();
    vec![
        Case {
            overrides: example.to_owned(),
            codes: "\"5xx\", \"grpc:14\"",
            ..Case::of(
                "istio",
                // Four that never reached a pod, and sixteen: time was up for two of them.
                counted((24.0, 1_004.0), Some(4.0), &[("25", 700.0), ("100", 280.0), ("500", 20.0)]),
                counted((36.0, 126.0), Some(5.0), &[("25", 60.0), ("100", 30.0), ("500", 20.0)]),
            )
        },
        Case::of(
            "istio-ambient",
            counted((2.0, 302.0), Some(0.0), &[("25", 200.0), ("100", 102.0)]),
            counted((13.0, 53.0), Some(3.0), &[("25", 30.0), ("500", 19.0)]),
        ),
        Case::of(
            "envoy",
            counted((13.0, 973.0), Some(4.0), &[("25", 800.0), ("250", 173.0)]),
            counted((14.0, 104.0), Some(3.0), &[("25", 80.0), ("250", 24.0)]),
        ),
        // Clusters that are called like their services.
        Case {
            service: "cart",
            ..Case::of("envoy", counted((2.0, 302.0), Some(1.0), &[("5", 302.0)]), counted((5.0, 35.0), Some(2.0), &[("10", 35.0)]))
        },
        // With more behind their port.
        Case {
            namespace: "mall",
            ..Case::of("envoy", counted((1.0, 201.0), Some(1.0), &[("5", 201.0)]), counted((8.0, 28.0), Some(2.0), &[("10", 28.0)]))
        },
        Case::of("ingress-nginx", nginx.clone(), nginx_canary.clone()),
        Case { overrides: "namespace_label = \"namespace\"".to_owned(), ..Case::of("ingress-nginx", nginx, nginx_canary) },
        Case::of("traefik", traefik, traefik_canary),
        Case::of("haproxy", counted((9.0, 929.0), None, &[]), counted((11.0, 101.0), None, &[])),
        Case::of(
            "linkerd",
            counted((9.0, 909.0), None, &[("20", 800.0), ("200", 109.0)]),
            counted((11.0, 101.0), None, &[("20", 80.0), ("200", 21.0)]),
        ),
        Case::of(
            "otel-http",
            counted((13.0, 913.0), Some(4.0), &[("25", 800.0), ("250", 109.0), ("inf", 4.0)]),
            counted((0.0, 90.0), Some(0.0), &[("25", 80.0), ("250", 10.0)]),
        ),
        Case::of(
            "kube-state-metrics",
            Counted { restarts: Some(3.0), ..Counted::default() },
            Counted { restarts: Some(6.0), ..Counted::default() },
        ),
    ]
}

/// Everybody is scraped by one server; each target is told apart by its path.
struct Scene {
    client: Prometheus,
    later: Arc<AtomicBool>,
    /// How often each was scraped since its counters rose.
    scraped: Arc<Vec<AtomicUsize>>,
    _exporters: Fake,
    _server: Server,
}

impl Scene {
    fn set() -> Option<Self> {
        let later = Arc::new(AtomicBool::new(false));
        let scraped: Arc<Vec<AtomicUsize>> = Arc::new(TARGETS.iter().map(|_| AtomicUsize::new(0)).collect());
        let (is_later, count) = (Arc::clone(&later), Arc::clone(&scraped));
        let exporters = Fake::new(move |asked, client| {
            let n: usize = asked.target.trim_start_matches('/').parse().map_err(std::io::Error::other)?;
            let later = is_later.load(SeqCst);
            let text = exposition(TARGETS[n].0, later);
            reply(client, 200, "content-type: text/plain; version=0.0.4\r\n", text.as_bytes())?;
            count[n].fetch_add(usize::from(later), SeqCst);
            Ok(())
        });
        let mut config = "global: { scrape_interval: 1s }\nscrape_configs:\n".to_owned();
        for (n, (name, honors, labels)) in TARGETS.iter().enumerate() {
            let labels = format!("instance: \"10.1.0.{n}:9090\", {labels}");
            writeln!(config, "- job_name: {name}-{n}\n  metrics_path: /{n}\n  honor_labels: {honors}").unwrap();
            writeln!(config, "  static_configs: [{{ targets: [\"127.0.0.1:{}\"], labels: {{ {labels} }} }}]", exporters.port).unwrap();
        }
        let server = Server::prometheus(&config, "")?;
        Some(Self { client: client(&server.url, |_| ()), later, scraped, _exporters: exporters, _server: server })
    }

    /// Everybody's counters rise by what is written in the files, after the moment that is handed out.
    async fn rise(&self) -> Time {
        let began = Instant::now();
        let all = |n: f64| n >= TARGETS.len() as f64;
        loop {
            let answer = self.client.instant("count(up == 1)", now()).await.unwrap();
            if answer.series.iter().flat_map(|s| &s.points).any(|p| matches!(p.value, Value::Number(n) if all(n))) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "not all are scraped: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let since = now();
        self.later.store(true, SeqCst);
        while self.scraped.iter().any(|n| n.load(SeqCst) < 2) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.scraped);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        since
    }
}

fn add_buckets(latency: &mut BTreeMap<String, f64>, buckets: &Buckets) {
    let edges = buckets.edges.iter().copied().chain([f64::INFINITY]);
    for (edge, n) in edges.zip(&buckets.counts).filter(|(_, n)| **n > 0.0) {
        *latency.entry(edge.to_string()).or_default() += n;
    }
}

/// Reads what came of a stack, up to now or later, as it is judged; and when that was.
async fn read(scene: &Scene, case: &Case, since: Time) -> (Feed, [Counted; 2], Time) {
    let (stable, canary) = (case.values("1.4.2", "5d8f6c7b9d"), case.values("1.5.0", "7c9d4b5f6c"));
    let subject = Subject { since, stable, candidate: Some(canary), slow_from: None, judged: BTreeMap::new(), look_back: Duration::ZERO };
    let pace = Pace { every: Duration::from_secs(1), delay: Duration::ZERO };
    let gates = case.gates();
    let mut feed = Feed::new(case.queries(), &gates, pace, &subject, now()).unwrap();
    let (began, enough) = (Instant::now(), now());
    let mut sums = [Counted::default(), Counted::default()];
    let mut ends: BTreeMap<String, Time> = gates.iter().map(|gate| (gate.name.text().to_string(), since)).collect();
    while ends.values().any(|end| *end <= enough) {
        for question in feed.due(now()) {
            let answer = scene.client.instant(&question.text, question.at).await;
            feed.take(&question, Ok(answer.unwrap_or_else(|e| panic!("{}: {e}, asked {}", case.preset, question.text))));
        }
        for (gate, interval) in feed.intervals() {
            let latency = interval.latency.as_ref().map(|l| [&l.stable, &l.candidate]);
            for (n, (sum, count)) in sums.iter_mut().zip([interval.stable, interval.candidate]).enumerate() {
                let add =
                    |before: Option<(f64, f64)>| before.map_or((count.hits, count.of), |(hits, of)| (hits + count.hits, of + count.of));
                match gate.as_str() {
                    "errors" => sum.errors = Some(add(sum.errors)),
                    "timeouts" => sum.timeouts = Some(add(sum.timeouts)),
                    "restarts" => sum.restarts = Some(sum.restarts.unwrap_or_default() + count.hits),
                    _ => add_buckets(&mut sum.latency, latency.unwrap()[n]),
                }
            }
            ends.insert(gate.text().to_string(), interval.end);
        }
        assert!(began.elapsed() < PATIENCE, "{}: {ends:?} {sums:#?}", case.preset);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (feed, sums, now())
}

#[tokio::test]
async fn every_preset_counts_what_its_exporters_say() {
    let Some(scene) = Scene::set() else { return };
    let since = scene.rise().await;
    let cases = cases();
    let all = futures::future::join_all(cases.iter().map(|case| read(&scene, case, since))).await;
    for (case, (feed, sums, at)) in cases.iter().zip(all) {
        let about = format!("{} of {}/{} {}", case.preset, case.namespace, case.service, case.overrides);
        assert_eq!(sums, [case.stable.clone(), case.canary.clone()], "{about}");
        if case.preset == "kube-state-metrics" {
            for (arm, bytes) in [(Arm::Stable, 220e6), (Arm::Candidate, 300e6)] {
                let signals = feed.signals(arm, at);
                assert!(
                    matches!(signals[&SignalId::Memory].reading.fresh(), Some(Sample::Gauge { value, .. }) if value == bytes),
                    "{signals:#?}"
                );
                assert!(signals[&SignalId::Cpu].reading.fresh().is_some(), "{signals:#?}");
            }
        }
        // The proxies saw the candidate fail, and it counted none of that itself.
        if !case.overrides.is_empty() && case.preset == "istio" {
            let (sensors, _) = feed.look(&case.gates()[0], at);
            let state = |who: &str| sensors.iter().find(|s| s.name.as_str().starts_with(&format!("errors of {who}"))).map(|s| s.state);
            assert_eq!((state("canary"), state("stable")), (Some(SensorState::Contradictory), Some(SensorState::Fresh)), "{sensors:#?}");
        }
        let (stable, canary) = (case.values("1.4.2", "5d8f6c7b9d"), case.values("1.5.0", "7c9d4b5f6c"));
        let found =
            check(&scene.client, (&case.queries(), &Origin::default()), (&stable, Some(&canary)), Duration::from_secs(1), now()).await;
        assert!(!found.is_empty() && found.iter().all(|finding| finding.grade == Grade::Ok), "{about}: {found:#?}");
    }
}
