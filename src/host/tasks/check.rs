//! A check: a command beside each instance, or a request to each. All must pass.

use super::{Outcome, Place, ask::Asker, count};
use crate::{
    host::instances::Beside,
    model::{ident::InstanceId, step::CheckSpec, text::Text},
};
use futures::{StreamExt as _, stream};
use std::net::SocketAddr;

/// Instances that are checked at once.
const AT_ONCE: usize = 4;

/// What a check says of one instance.
struct Said {
    instance: InstanceId,
    result: Result<(), Text>,
    lines: Vec<Text>,
}

pub async fn attempt(check: CheckSpec, place: Place) -> Outcome {
    let all = place.ready.len();
    let mut said: Vec<Said> = Vec::new();
    let mut running = stream::iter(place.ready.clone()).map(|(instance, at)| one(&check, &place, instance, at)).buffer_unordered(AT_ONCE);
    while let Some(next) = running.next().await {
        said.push(next);
        place.told.progress(format!("{} of {}", said.len(), count(all, "instance")));
    }
    // Those that failed come last: the last lines are kept.
    said.sort_by_key(|s| (s.result.is_err(), s.instance.clone()));
    let failed: Vec<&Said> = said.iter().filter(|s| s.result.is_err()).collect();
    let room = (super::EVIDENCE / failed.len().max(1)).max(3) - 1;
    let evidence = said.iter().flat_map(|s| {
        let head = match &s.result {
            Ok(()) => format!("{}: passed", s.instance.text()),
            Err(why) => format!("{}: {why}", s.instance.text()),
        };
        let skipped = s.lines.len().saturating_sub(room);
        [Text::from(head)].into_iter().chain(s.lines.iter().skip(skipped).cloned())
    });
    let evidence = evidence.collect();
    match failed.first() {
        None => Outcome::done(format!("{} passed", count(all, "instance")), evidence),
        Some(Said { instance, result: Err(why), .. }) if failed.len() == 1 => {
            Outcome::failed(format!("{}: {why}", instance.text()), evidence)
        }
        Some(first) => {
            let why = first.result.as_ref().err().cloned().unwrap_or_default();
            Outcome::failed(format!("{} of {} failed; {}: {why}", failed.len(), count(all, "instance"), first.instance.text()), evidence)
        }
    }
}

async fn one(check: &CheckSpec, place: &Place, instance: InstanceId, at: SocketAddr) -> Said {
    if let Some(path) = &check.http {
        let mut asker = Asker::new(at, "cutover-check");
        let answer = tokio::select! {
            answer = asker.get(path, check.timeout) => answer,
            () = place.cancel.cancelled() => Err("it was not wanted any more".into()),
        };
        return match answer {
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                let lines = [format!("GET {path}: HTTP {}", answer.status)];
                let lines = lines.iter().map(String::as_str).chain(body.lines().take(5)).map(Text::clean).filter(|l| !l.is_empty());
                let result = if answer.is_good() { Ok(()) } else { Err(format!("HTTP {}", answer.status).into()) };
                Said { instance, result, lines: lines.collect() }
            }
            Err(why) => Said { instance, result: Err(why), lines: Vec::new() },
        };
    }
    let beside = Beside { command: check.command.clone(), port: at.port() };
    let ran = place.instances.run_once(&place.pool, beside, check.timeout, place.cancel.clone()).await;
    Said { instance, result: ran.result, lines: ran.lines }
}
