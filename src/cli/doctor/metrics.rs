//! Metrics backends: do they answer, have they what gates need, do their clocks agree, who may read what
//! opens them.

use super::{Facts, Line};
use crate::{
    cli::{connect, exit},
    config::{AuthConfig, HeaderConfig, MetricsConfig, MetricsKind},
    host::measured,
    metrics::{
        Metrics, Trouble,
        check::{self, Grade},
        prometheus::Prometheus,
        template::Variables,
    },
    model::{rollout::Rollout, spec::SecretSource, text::Text, time::Time, version::Track},
    observe, tls,
};
use std::{collections::BTreeSet, os::unix::fs::MetadataExt};

/// Of so many services everything is said; of others what is wrong.
const TOLD: usize = 3;
/// Series are looked at for so many services: each is several questions.
const ASKED: usize = 20;

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let config = &facts.loaded.config;
    let of_targets = config.targets.iter().filter_map(|t| Some((Some(t.name.as_str()), t.metrics.as_ref()?)));
    let all: Vec<(Option<&str>, &MetricsConfig)> = [(None, &config.metrics)].into_iter().chain(of_targets).collect();
    let mut lines: Vec<Line> =
        all.iter().filter(|(_, m)| m.kind == MetricsKind::Prometheus).flat_map(|(of, m)| backend(facts, *of, m)).collect();
    if lines.is_empty() {
        let clusters = !facts.targets.is_empty() && facts.targets.iter().all(|(target, _)| target.socket().is_none());
        lines.push(Line::ok(if clusters {
            "no [target.metrics]: the cluster's rollouts have no gates, only its own analyses"
        } else {
            "gates are judged by the host's own counters"
        }));
    }
    lines
}

/// A backend of this target, or of the host.
fn backend(facts: &Facts<'_>, of: Option<&str>, config: &MetricsConfig) -> Vec<Line> {
    let mut lines = open_secrets(config);
    let (Some(settings), Ok(queries)) = (config.prometheus(), config.queries()) else { return lines };
    tls::ready();
    let client = Prometheus::new(settings, facts.servers);
    let n = of.and_then(|name| facts.loaded.config.targets.iter().position(|target| target.name == name));
    let origin = facts.loaded.queries_at(&n.map_or_else(|| "metrics".to_owned(), |n| format!("target.{n}.metrics")), config);
    let rollouts: Vec<(&Rollout, &Track)> = served(facts, of).filter_map(|r| Some((r, r.stable()?))).collect();
    let asked = exit::block_on(async {
        let first = answers(&client, of.unwrap_or("the host"), facts.now).await;
        let mut lines = match first {
            Ok(lines) => lines,
            Err(line) => return vec![line],
        };
        for (n, (rollout, stable)) in rollouts.iter().take(ASKED).enumerate() {
            let (stable, canary) =
                (values(rollout, stable, of, config), rollout.candidate().map(|candidate| values(rollout, candidate, of, config)));
            let found = check::check(&client, (&queries, &origin), (&stable, canary.as_ref()), config.every, facts.now).await;
            let name = name(rollout);
            let found = found.iter().filter(|finding| n < TOLD || finding.grade != Grade::Ok);
            lines.extend(found.map(|finding| told(&name, finding)));
            lines.extend(lent(rollout, &name));
        }
        lines
    });
    match asked {
        Ok(asked) => lines.extend(asked),
        Err(exit) => lines.push(Line::bad(exit.line().unwrap_or_default(), "ask again")),
    }
    if rollouts.len() > ASKED {
        lines.push(Line::ok(format!("{} more services are asked for in the same way", rollouts.len() - ASKED)));
    }
    lines
}

/// What is filled into the queries of a version, as a host or a console does.
fn values(rollout: &Rollout, track: &Track, of: Option<&str>, config: &MetricsConfig) -> Variables {
    match of {
        Some(_) => observe::values(rollout, track, &config.variables),
        None => {
            let version = (track.version.id.as_str(), track.version.label.as_str());
            measured::values(rollout.key.service.as_str(), version, &config.variables)
        }
    }
}

/// `shop/web`; of a host, which has no namespaces, `web`.
fn name(rollout: &Rollout) -> String {
    let (scope, service) = (connect::scope(rollout), rollout.key.service.text());
    if scope.is_empty() { service.to_string() } else { format!("{scope}/{service}") }
}

/// What its own analyses ask that is not judged by us, where that was asked for.
fn lent(rollout: &Rollout, name: &str) -> Vec<Line> {
    let metrics = rollout.analyses.iter().flat_map(|analysis| &analysis.metrics);
    let said: BTreeSet<(&Text, &Text)> = metrics.filter_map(|m| Some((&m.name, m.ours.as_ref()?))).collect();
    let line = |(metric, ours): (&Text, &Text)| match ours.as_str().strip_prefix("none: ") {
        Some(why) => Line::warn(format!("{name}: analysis {metric} is not judged here: {why}"), "it stays Argo's alone"),
        None => Line::ok(format!("{name}: analysis {metric} is judged here too: {ours}")),
    };
    said.into_iter().map(line).collect()
}

/// Rollouts of this target, or of the host.
fn served<'a>(facts: &'a Facts<'_>, of: Option<&'a str>) -> impl Iterator<Item = &'a Rollout> {
    let is_meant = move |target: &connect::Target| match of {
        Some(name) => target.id.as_str() == name,
        None => target.socket() == Some(&*facts.loaded.paths.socket),
    };
    facts.targets.iter().filter(move |(target, _)| is_meant(target)).filter_map(|(_, answer)| answer.as_ref().ok()).flatten()
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
    if trouble.passes() {
        return "gates are blind until it answers; look at metrics.url and the server";
    }
    match trouble {
        Trouble::Denied { .. } => "look at metrics.auth and metrics.headers",
        Trouble::NoCredential { .. } => "look at the files and variables that metrics.auth, metrics.headers and metrics.tls name",
        Trouble::Query { .. } | Trouble::Failed { .. } => "it refuses the simplest query, `vector(1)`: is it a Prometheus-like server?",
        _ => "metrics.url must end where /api/v1 begins, and lead past a page to log in: see metrics.auth",
    }
}

fn told(service: &str, finding: &check::Finding) -> Line {
    let what = format!("{service}: {}", finding.text);
    match finding.grade {
        Grade::Ok => Line::ok(what),
        Grade::Warn => Line::warn(what, "gates over it may be blind, coarse, or count too much"),
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
