//! Metrics backends: do they answer, have they what gates need, do their clocks agree, who may read what
//! opens them.

use super::{Facts, Line};
use crate::{
    cli::exit,
    clock::SystemClock,
    config::{AuthConfig, HeaderConfig, MetricsConfig, MetricsKind},
    host::measured,
    metrics::{
        Metrics, Trouble,
        check::{self, Grade},
        prometheus::Prometheus,
    },
    model::{rollout::Rollout, spec::SecretSource, time::Time},
    tls,
};
use std::{os::unix::fs::MetadataExt, sync::Arc};

/// Series are looked at for so many services; what the others lack is the same.
const SERVICES: usize = 3;

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let config = &facts.loaded.config;
    let of_targets = config.targets.iter().filter_map(|t| Some((t.name.as_str(), t.metrics.as_ref()?)));
    let all: Vec<(&str, &MetricsConfig)> = [("the host", &config.metrics)].into_iter().chain(of_targets).collect();
    let mut lines: Vec<Line> =
        all.iter().filter(|(_, m)| m.kind == MetricsKind::Prometheus).flat_map(|(of, m)| backend(facts, of, m)).collect();
    if lines.is_empty() {
        lines.push(Line::ok("gates are judged by the host's own counters"));
    }
    lines
}

fn backend(facts: &Facts<'_>, of: &str, config: &MetricsConfig) -> Vec<Line> {
    let mut lines = open_secrets(config);
    let (Some(settings), Ok(queries)) = (config.prometheus(), config.queries()) else { return lines };
    tls::ready();
    let client = Prometheus::new(settings, Arc::new(SystemClock::start()));
    // Where a cluster's series are is another story than which version this host's service runs.
    let rollouts: Vec<&Rollout> = if of == "the host" { served(facts).collect() } else { Vec::new() };
    let asked = exit::block_on(async {
        let first = answers(&client, of, facts.now).await;
        let mut lines = match first {
            Ok(lines) => lines,
            Err(line) => return vec![line],
        };
        for rollout in rollouts.iter().take(SERVICES) {
            let (Some(stable), name) = (rollout.stable(), rollout.key.service.as_str()) else { continue };
            let values = measured::values(name, (stable.version.id.as_str(), stable.version.label.as_str()), &config.variables);
            let found = check::check(&client, &queries, &values, config.every, facts.now).await;
            lines.extend(found.into_iter().map(|finding| told(name, &finding)));
        }
        lines
    });
    match asked {
        Ok(asked) => lines.extend(asked),
        Err(exit) => lines.push(Line::bad(exit.line().unwrap_or_default(), "ask again")),
    }
    if rollouts.len() > SERVICES {
        lines.push(Line::ok(format!("{} more services are asked for in the same way", rollouts.len() - SERVICES)));
    }
    lines
}

/// Rollouts that have a version whose series there should be.
fn served<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = &'a Rollout> {
    let own = facts.targets.iter().filter(|(target, _)| target.socket() == Some(&*facts.loaded.paths.socket));
    own.filter_map(|(_, answer)| answer.as_ref().ok()).flatten().filter(|r| r.stable().is_some())
}

/// The simplest question.
async fn answers(client: &Prometheus, of: &str, now: Time) -> Result<Vec<Line>, Line> {
    let place = client.place();
    let answer = client.instant("vector(1)", now).await.map_err(|trouble| Line::bad(&trouble, hint(&trouble)))?;
    let mut lines = vec![Line::ok(format!("{place} answers, for {of}"))];
    let apart = answer.clock_is_apart(place);
    lines.extend(apart.map(|apart| Line::bad(apart, "let a time service keep both: samples are put at steps by their time")));
    Ok(lines)
}

const fn hint(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Unreachable { .. } | Trouble::Slow { .. } | Trouble::Busy { .. } => {
            "gates are blind until it answers; look at metrics.url and the server"
        }
        Trouble::Denied { .. } | Trouble::NoCredential { .. } => "look at metrics.auth and metrics.headers",
        Trouble::Query { .. } | Trouble::Failed { .. } | Trouble::TooLarge { .. } | Trouble::Protocol { .. } => {
            "metrics.url must end where /api/v1 begins"
        }
    }
}

fn told(service: &str, finding: &check::Finding) -> Line {
    let what = format!("{service}: {}", finding.text);
    match finding.grade {
        Grade::Ok => Line::ok(what),
        Grade::Warn => Line::warn(what, "gates over it may be blind, or coarse"),
        Grade::Bad => Line::bad(what, "gates over it stay blind: mend the scrape, metrics.preset or metrics.query"),
    }
}

/// Files with secrets that others may read. One that cannot be read is said by the question itself.
fn open_secrets(config: &MetricsConfig) -> Vec<Line> {
    let auth = match &config.auth {
        Some(AuthConfig::Basic { password: source, .. } | AuthConfig::Bearer(source)) => Some(source),
        _ => None,
    };
    let headers = config.headers.values().filter_map(|value| if let HeaderConfig::Secret(source) = value { Some(source) } else { None });
    let files = auth.into_iter().chain(headers).filter_map(|s| if let SecretSource::File(file) = s { Some(file) } else { None });
    let open = files.filter_map(|file| Some((file, file.metadata().ok()?.mode() & 0o777))).filter(|(_, mode)| mode & 0o077 != 0);
    let line = |(file, mode): (&std::path::PathBuf, u32)| {
        let shown = file.display();
        Line::warn(format!("secret {shown} may be read by others (mode {mode:03o})"), format!("chmod 600 {shown}"))
    };
    open.map(line).collect()
}
