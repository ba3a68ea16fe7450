//! A check: a command beside each instance, or a request to each. All must pass.

use super::{Outcome, Place, ask::Asker, count};
use crate::{
    host::instances::Beside,
    model::{ident::InstanceId, step::CheckSpec, text::Text, tried::Answer},
};
use futures::{StreamExt as _, stream};
use std::net::SocketAddr;
use tokio::time::Instant;

/// Instances that are checked at once.
const AT_ONCE: usize = 4;
/// Lines of an answer's body that are kept.
const BODY: usize = 5;

pub async fn attempt(check: CheckSpec, place: Place) -> Outcome {
    let all = place.ready.len();
    let mut answers: Vec<Answer> = Vec::new();
    let mut running = stream::iter(place.ready.clone()).map(|(instance, at)| one(&check, &place, instance, at)).buffer_unordered(AT_ONCE);
    while let Some(next) = running.next().await {
        answers.push(next);
        place.told.progress(format!("{} of {}", answers.len(), count(all, "instance")));
    }
    // Those that failed come last: the last lines are kept.
    answers.sort_by_key(|a| (!a.passed, a.instance.clone()));
    let mut failed = answers.iter().filter(|a| !a.passed);
    let Some(first) = failed.next() else { return Outcome::done(format!("{} passed", count(all, "instance")), answers) };
    let name = first.instance.as_ref().map(InstanceId::text).unwrap_or_default();
    let why = format!("{name}: {}", first.result);
    let why = match failed.count() + 1 {
        1 => why,
        n => format!("{n} of {} failed; {why}", count(all, "instance")),
    };
    Outcome::failed(why, answers)
}

async fn one(check: &CheckSpec, place: &Place, instance: InstanceId, at: SocketAddr) -> Answer {
    let began = Instant::now();
    let (passed, result, lines) = match &check.http {
        Some(path) => asked(check, place, path, at).await,
        None => ran(check, place, at).await,
    };
    Answer { instance: Some(instance), passed, result, took: began.elapsed(), lines }
}

/// By a request. Its query may be secret, as its path is not.
async fn asked(check: &CheckSpec, place: &Place, path: &str, at: SocketAddr) -> (bool, Text, Vec<Text>) {
    let mut asker = Asker::new(at, "cutover-check");
    let answer = tokio::select! {
        answer = asker.get(path, check.timeout) => answer,
        () = place.cancel.cancelled() => Err("it was not wanted any more".into()),
    };
    match answer {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            let lines = body.lines().take(BODY).map(Text::clean).filter(|line| !line.is_empty()).collect();
            (answer.is_good(), format!("HTTP {}", answer.status).into(), lines)
        }
        Err(why) => (false, why, Vec::new()),
    }
}

/// By a command.
async fn ran(check: &CheckSpec, place: &Place, at: SocketAddr) -> (bool, Text, Vec<Text>) {
    let beside = Beside { command: check.command.clone(), port: at.port() };
    let ran = place.instances.run_once(&place.pool, beside, check.timeout, place.cancel.clone()).await;
    match ran.result {
        Ok(()) => (true, "exit code 0".into(), ran.lines),
        Err(why) => (false, why, ran.lines),
    }
}
