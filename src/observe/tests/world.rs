//! A cluster that says what it is told to say, and a backend that keeps what two versions would have been
//! scraped.

use crate::{
    metrics::{Alert, Answer, Labels, Metrics, Point, Series, Trouble, Value},
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        ident::ActionId,
        rollout::Rollout,
        text::Text,
        time::Time,
        wire::ActionRecord,
    },
    runtime::{Ask, Fault, Runtime},
};
use chrono::DateTime;
use futures::{Stream, StreamExt, stream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

pub fn start() -> Time {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

/// Two versions that are scraped every 15 s: 90 and 10 requests a second, with so many errors in a thousand.
#[derive(Clone)]
pub struct Store {
    pub errors: [f64; 2],
    pub down: bool,
    /// What it says of every query instead.
    pub wrong: Option<Trouble>,
    /// By how many seconds its clock is ahead.
    pub ahead: i64,
    pub fires: Vec<Alert>,
    pub asked: Arc<AtomicUsize>,
    /// Answers that were waited for to the end.
    pub answered: Arc<AtomicUsize>,
    pub slow: Duration,
}

impl Store {
    pub fn new(stable: f64, candidate: f64) -> Self {
        let none = || Arc::new(AtomicUsize::new(0));
        Self {
            errors: [stable, candidate],
            down: false,
            wrong: None,
            ahead: 0,
            fires: Vec::new(),
            asked: none(),
            answered: none(),
            slow: Duration::from_millis(5),
        }
    }

    fn answer(&self, query: &str, at: Time) -> Answer {
        let which = usize::from(query.contains("\"v2\""));
        let (rate, errors) = ([90.0, 10.0][which], self.errors[which] / 1_000.0);
        let version = ["v1", "v2"][which];
        if query.starts_with("count(") {
            return one(Labels::default(), vec![(at, 2.0)]);
        }
        let Some((_, window)) = query.rsplit_once('[') else { return Answer::default() };
        let (name, all): (&str, [(&str, &str, f64); 2]) = match query {
            _ if query.starts_with("req") => ("req", [("code", "200", 1.0 - errors), ("code", "500", errors)]),
            _ if query.starts_with("lat") => ("lat", [("le", "0.5", 0.985), ("le", "+Inf", 1.0)]),
            _ => return Answer::default(),
        };
        let window: i64 = window.trim_end_matches("s]").parse().unwrap();
        let times = |from: Time| {
            let first = from.timestamp().div_euclid(15) * 15;
            (0..).map(move |n| DateTime::from_timestamp(first + 15 * n, 0).unwrap()).skip_while(move |t| *t < from)
        };
        let from = at - chrono::Duration::seconds(window);
        let series = all.map(|(label, value, share)| {
            let labels = [("__name__", name), ("job", "mesh"), ("instance", version), ("v", version), (label, value)];
            // It runs since long before anything here.
            let since = |t: Time| (t - start()).num_seconds() as f64 + 100_000.0;
            let points =
                times(from).take_while(|t| *t <= at).map(|t| Point { at: t, value: Value::Number((since(t) * rate * share).floor()) });
            Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points: points.collect() }
        });
        let failed = query.contains("code=~\"5..\"");
        let series = series.into_iter().filter(|one| !failed || one.labels.get("code") == Some("500"));
        Answer { series: series.collect(), ..Answer::default() }
    }
}

fn one(labels: Labels, points: Vec<(Time, f64)>) -> Answer {
    let points = points.into_iter().map(|(at, n)| Point { at, value: Value::Number(n) }).collect();
    Answer { series: vec![Series { labels, points }], ..Answer::default() }
}

impl Metrics for Store {
    async fn instant(&self, query: &str, at: Time) -> Result<Answer, Trouble> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(self.slow).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let skew = chrono::Duration::seconds(self.ahead);
        if self.ahead != 0 {
            return Ok(Answer { ahead: Some(skew), ..self.answer(query, at) });
        }
        if self.down { Err(Trouble::Unreachable { place: "prom".into(), why: "refused".into() }) } else { Ok(self.answer(query, at)) }
    }

    async fn range(&self, _: &str, _: Time, _: Time, _: Duration) -> Result<Answer, Trouble> {
        Ok(Answer::default())
    }

    async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
        if self.down { Err(Trouble::Unreachable { place: "prom".into(), why: "refused".into() }) } else { Ok(self.fires.clone()) }
    }

    fn place(&self) -> &Text {
        static PLACE: std::sync::LazyLock<Text> = std::sync::LazyLock::new(|| "prom".into());
        &PLACE
    }
}

/// A cluster that says what it is told to say, at these seconds, and nothing else.
pub struct Cluster(pub Vec<(u64, Delta)>);

impl Runtime for Cluster {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let began = Instant::now();
        stream::iter(self.0.clone())
            .then(move |(second, delta)| async move {
                tokio::time::sleep_until(began + Duration::from_secs(second)).await;
                Ok(delta)
            })
            .chain(stream::pending())
    }

    fn plan(&self, _: &Rollout, _: &Ask) -> Result<Plan, Refusal> {
        Err(Refusal::ReadOnly)
    }

    async fn apply(&self, _: &Plan) -> Outcome {
        Outcome::Refused { refusal: Refusal::ReadOnly }
    }

    async fn resolve(&self, _: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        Ok(None)
    }

    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Pending { missing: "nothing is sent".into() }
    }

    fn policy(&self) -> crate::runtime::supervise::Policy {
        crate::runtime::supervise::Policy { stale: Duration::from_secs(120), ..Default::default() }
    }
}
