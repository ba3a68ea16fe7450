//! Whoever is judged by scrapes of this page is judged as by the host's own counters.

use super::super::{ServiceMetrics, VersionMetrics, render};
use crate::{
    conductor::life::PoolId,
    host::{
        meter::{Head, Meter, Part},
        tally::{Side, Tally},
    },
    judge::dispersion::Dispersion,
    metrics::{
        Answer, Labels, Point, Series, Value,
        feed::{Feed, Pace, Question, Subject},
        preset::Queries,
        template::Variables,
    },
    model::{
        ident::{InstanceId, Role, VersionId},
        interval::Interval,
        rollout::Phase,
        spec::GateSpec,
        time::{Time, after},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const SECONDS: u64 = 500;

fn at(second: u64) -> Time {
    after(Time::UNIX_EPOCH, Duration::from_secs(100_000 + second))
}

/// Every sample of all scrapes.
#[derive(Default)]
struct Store(BTreeMap<String, Series>);

impl Store {
    fn scrape(&mut self, page: &str, at: Time) {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let series = self.0.entry(name.to_owned()).or_insert_with(|| {
                let (metric, rest) = name.split_once('{').unwrap();
                let pairs = rest.trim_end_matches("\"}").split("\",").map(|pair| pair.split_once("=\"").unwrap());
                let scrape = [("__name__", metric), ("job", "host"), ("instance", "127.0.0.1:9464")];
                let labels = Labels::new(scrape.into_iter().chain(pairs).map(|(k, v)| (k.to_owned(), v.to_owned())));
                Series { labels, points: Vec::new() }
            });
            series.points.push(Point { at, value: Value::Number(value.parse().unwrap()) });
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let text = &question.text;
        let found = self.0.iter().filter(|(name, series)| {
            let (metric, version) = (series.labels.get("__name__").unwrap(), series.labels.get("version_id").unwrap_or_default());
            name.contains("version_id") && text.contains(&format!("{metric}{{")) && text.contains(&format!("version_id=\"{version}\""))
        });
        if text.starts_with("count(") {
            let point = Point { at: question.at, value: Value::Number(found.count() as f64) };
            return Answer { series: vec![Series { labels: Labels::default(), points: vec![point] }], ..Answer::default() };
        }
        let window: i64 = text.rsplit_once('[').unwrap().1.trim_end_matches("s]").parse().unwrap();
        let from = question.at - chrono::Duration::seconds(window);
        let inside = |s: &Series| s.points.iter().filter(|p| p.at >= from && p.at <= question.at).cloned().collect::<Vec<_>>();
        let some = found.map(|(_, s)| Series { labels: s.labels.clone(), points: inside(s) }).filter(|s| !s.points.is_empty());
        Answer { series: some.collect(), ..Answer::default() }
    }
}

fn page(versions: [(Role, &str, &Meter); 2]) -> String {
    let version = |(role, id, meter): (Role, &str, &Meter)| VersionMetrics {
        role,
        label: id.into(),
        id: VersionId::new(id),
        totals: meter.totals(),
        tested: 0,
        parts: meter.parts(),
        nowhere: meter.nowhere(),
        declared: None,
        programmed: None,
        ready: 2,
        desired: 2,
        restarts: Vec::new(),
    };
    render(&[ServiceMetrics {
        service: "web".into(),
        phase: Phase::Progressing,
        holds: Vec::new(),
        frozen: false,
        findings: Vec::new(),
        gates: Vec::new(),
        unrouted: 0,
        outlived: 0,
        versions: versions.map(version).into(),
    }])
}

/// A second of one instance: bursts of errors, some slow ones, a time-out now and then.
fn second(meter: &Meter, part: Option<&Part>, random: &mut StdRng) {
    let bad = if random.random_range(0..8) == 0 { 6 } else { 0 };
    for n in 0..20 {
        let (status, millis) = (if n < bad { 503 } else { 200 }, if n % 7 == 0 { 80 } else { 3 });
        meter.head(Head::Answer { status, latency: Duration::from_millis(millis) }, part);
    }
    if bad > 0 {
        meter.head(Head::Substitute { status: 504, waited: Some(Duration::from_secs(30)) }, part);
    }
}

fn values(version: &str) -> Variables {
    [("service", "web"), ("version", version)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// What is compared: ends, counts, and those of stable's instances. What has no latency is not in a histogram.
fn told(interval: &Interval) -> String {
    let instances: Vec<_> = interval.instances.iter().filter(|count| count.of > 0.0).collect();
    let counts = interval.latency.as_ref().map_or_else(
        || format!("{:?} {:?}", interval.candidate, interval.stable),
        |latency| format!("{:?} {:?}", latency.candidate.counts, latency.stable.counts),
    );
    format!("{} {counts} {instances:?}", interval.end)
}

#[test]
fn a_scrape_counts_what_the_host_counts_instance_by_instance_though_some_come_and_go() {
    let gates = ["errors", "timeouts", "p99"].map(|signal| -> GateSpec {
        toml::from_str(&format!("name = \"{signal}\"\nsignal = \"{signal}\"\ninterval = \"10s\"\nwarmup = \"0s\"")).unwrap()
    });
    let [stable, candidate] = [Meter::new(), Meter::new()];
    let pool = |version: &str| PoolId { version: VersionId::new(version), generation: 1 };
    let side = |version: &str, meter| Side { pool: pool(version), meter, status: None };
    let (mut own, mut store, mut random) = (Tally::default(), Store::default(), StdRng::seed_from_u64(9));
    let mut counted: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
    let take = |meter: &Meter, name: &str| Some(meter.part(&InstanceId::new(name)));
    let mut here: [Option<Arc<Part>>; 4] = [take(&stable, "a-1-1"), take(&stable, "a-1-2"), None, None];
    let new = take(&candidate, "b-1-3");
    for n in 0..=SECONDS {
        // One comes, one goes right after it had something, and returns when its series was gone for long.
        match n {
            30 => here[2] = take(&stable, "a-1-4"),
            44 => here[0] = None,
            400 => here[3] = take(&stable, "a-1-1"),
            _ => {}
        }
        if n > 0 {
            here.iter().flatten().for_each(|part| second(&stable, Some(part), &mut random));
            second(&candidate, new.as_deref(), &mut random);
            if n % 9 == 0 {
                stable.head(Head::Substitute { status: 503, waited: None }, None);
            }
        }
        stable.tick(at(n));
        candidate.tick(at(n));
        store.scrape(&page([(Role::Stable, "aaa", &stable), (Role::Candidate, "bbb", &candidate)]), at(n));
        if n % 10 == 0 {
            let (candidate, stable) = (side("bbb", &candidate), side("aaa", &stable));
            for gate in &gates {
                let closed = own.close(gate, [Some(&candidate), Some(&stable)], None, None, (at(n), Duration::from_secs(n)));
                counted.entry(gate.name.text().to_string()).or_default().extend(closed.map(|closed| closed.judged));
            }
        }
    }
    let subject = Subject { since: at(0), stable: values("aaa"), candidate: Some(values("bbb")), ..Subject::default() };
    let pace = Pace { every: Duration::from_secs(1), delay: Duration::ZERO };
    let mut feed = Feed::new(Queries::of("host", &BTreeMap::new()).unwrap(), &gates, pace, &subject, at(0)).unwrap();
    let mut heard: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
    for n in (5..=SECONDS).step_by(5) {
        loop {
            let questions = feed.due(at(n));
            if questions.is_empty() {
                break;
            }
            questions.iter().for_each(|question| feed.take(question, Ok(store.answer(question))));
        }
        feed.intervals().into_iter().for_each(|(gate, interval)| heard.entry(gate.text().to_string()).or_default().push(interval));
    }
    let phi = |all: &[Interval]| {
        let mut dispersion = Dispersion::default();
        all.iter().for_each(|interval| dispersion.add(10.0, interval.stable, &interval.instances));
        dispersion.phi()
    };
    for (gate, counted) in &counted {
        let heard = &heard[gate];
        assert_eq!((heard.len(), counted.len()), (50, 50), "{gate}");
        heard.iter().zip(counted).for_each(|(heard, counted)| assert_eq!(told(heard), told(counted), "{gate}"));
        assert!(gate == "p99" || phi(heard) == phi(counted), "{gate}");
    }
    let errors = &counted["errors"];
    assert_eq!(errors[10].instances.len(), 2, "stable's are told apart");
    assert!(
        phi(errors).alone > 1.5
            && phi(errors) != phi(&errors.iter().map(|i| Interval { instances: Vec::new(), ..i.clone() }).collect::<Vec<_>>())
    );
    // What is gone is on no page, some minutes later.
    let gone = "slot=\"a-1-1\"";
    let of = |from: u64, to: u64| {
        store.0.iter().any(|(name, s)| name.contains(gone) && s.points.iter().any(|p| p.at > at(from) && p.at < at(to)))
    };
    assert!(of(200, 300) && !of(350, 400) && of(400, SECONDS));
}
