//! A warm-up: so many requests, spread over the instances, at a bounded rate. What they are answered with
//! is told; it fails when the instances do not answer, or none of the answers is good.

use super::{Outcome, Place, ask::Asker, count};
use crate::model::{step::WarmSpec, text::Text, tried::Answer};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

/// Requests of each instance at once.
const AT_ONCE: u32 = 4;
/// Requests of each instance in a second, at most: a warm-up is no load test.
const RATE: u32 = 500;
/// How long one may take: the first requests of a cold version are slow.
const TIMEOUT: Duration = Duration::from_secs(60);
/// After so many requests in a row without an answer it is given up.
const SILENT: u32 = 20;

#[derive(Default)]
struct Count {
    answers: BTreeMap<u16, u32>,
    unanswered: u32,
    /// In a row.
    silent: u32,
    last_failure: Option<Text>,
    slowest: Duration,
    last: Duration,
}

impl Count {
    fn sent(&self) -> u32 {
        self.answers.values().sum::<u32>() + self.unanswered
    }

    fn good(&self) -> u32 {
        self.answers.range(200..400).map(|(_, n)| n).sum()
    }

    /// `198 × HTTP 200, 2 × HTTP 503, 1 without an answer`
    fn line(&self) -> String {
        let mut parts: Vec<String> = self.answers.iter().map(|(status, n)| format!("{n} × HTTP {status}")).collect();
        if self.unanswered > 0 {
            parts.push(format!("{} without an answer", self.unanswered));
        }
        parts.join(", ")
    }
}

pub async fn attempt(warm: WarmSpec, place: Place) -> Outcome {
    let counted = Arc::new(Mutex::new(Count::default()));
    let instances = u32::try_from(place.ready.len()).unwrap_or(u32::MAX).max(1);
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for (n, (_, at)) in (0..instances).zip(&place.ready) {
        // What does not divide evenly goes to the first ones.
        let share = warm.requests / instances + u32::from(n < warm.requests % instances);
        for worker in 0..AT_ONCE.min(share) {
            workers.spawn(work(*at, warm.path.clone(), worker, share, began, Arc::clone(&counted)));
        }
    }
    loop {
        tokio::select! {
            ended = workers.join_next() => if ended.is_none() { break },
            () = time::sleep(Duration::from_millis(250)) => {}
            // With the workers go their connections.
            () = place.cancel.cancelled() => return Outcome::failed("it was not wanted any more", Vec::new()),
        }
        place.told.progress(format!("{} of {} requests", lock(&counted).sent(), warm.requests));
    }
    let count = lock(&counted);
    let took = Duration::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    let path = warm.path.split('?').next().unwrap_or_default();
    let on = super::count(instances as usize, "instance");
    let mut lines: Vec<Text> = vec![
        format!("GET {path} on {on} in {}: {}", humantime::format_duration(took), count.line()).into(),
        format!("slowest answer {} ms, last {} ms", count.slowest.as_millis(), count.last.as_millis()).into(),
    ];
    lines.extend(count.last_failure.clone().map(|why| Text::from(format!("last failure: {why}"))));
    let answers = |passed| vec![Answer { instance: None, passed, result: count.line().into(), took, lines: lines.clone() }];
    if count.silent >= SILENT {
        let why = count.last_failure.clone().unwrap_or_default();
        return Outcome::failed(format!("{} in a row got no answer, the last: {why}", requests(count.silent)), answers(false));
    }
    if count.good() == 0 {
        let why = format!("none of {} was answered with 200 to 399: {}", requests(warm.requests), count.line());
        return Outcome::failed(why, answers(false));
    }
    Outcome::done(format!("{}: {}", requests(warm.requests), count.line()), answers(true))
}

fn requests(n: u32) -> String {
    count(n as usize, "request")
}

/// Every `AT_ONCE`th of an instance's requests, each not before its time.
async fn work(at: SocketAddr, path: String, worker: u32, share: u32, began: Instant, counted: Arc<Mutex<Count>>) {
    let mut asker = Asker::new(at, "cutover-warm");
    for n in (worker..share).step_by(AT_ONCE as usize) {
        time::sleep_until(began + Duration::from_secs(1) * n / RATE).await;
        let asked = Instant::now();
        let answer = asker.get(&path, TIMEOUT).await;
        let mut count = lock(&counted);
        match answer {
            Ok(answer) => {
                *count.answers.entry(answer.status).or_default() += 1;
                count.silent = 0;
                count.last = asked.elapsed();
                count.slowest = count.slowest.max(count.last);
                if !answer.is_good() {
                    count.last_failure = Some(format!("HTTP {}", answer.status).into());
                }
            }
            Err(why) => {
                count.unanswered += 1;
                count.silent += 1;
                count.last_failure = Some(why);
            }
        }
        if count.silent >= SILENT {
            return;
        }
    }
}

fn lock(counted: &Mutex<Count>) -> MutexGuard<'_, Count> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
