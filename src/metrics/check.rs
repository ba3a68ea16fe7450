//! Whether a backend has what the queries ask for: for `cutover doctor`.

use super::{
    Metrics, Value,
    preset::{Queries, What},
    template::{Variables, window_text},
};
use crate::model::{text::Text, time::Time};
use std::{collections::BTreeSet, time::Duration};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grade {
    /// As it must be.
    Ok,
    /// It works, and not well.
    Warn,
    /// It does not.
    Bad,
}

/// One thing that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// What, in a line.
    pub text: Text,
}

/// How far back samples are looked at.
const SEEN: Duration = Duration::from_secs(300);

/// Scrapes that a window must hold.
const SCRAPES: u32 = 4;

/// Labels with more values than this are no versions.
const VERSIONS: usize = 20;

/// Asks each query for stable, and looks at what comes: is there such a series, does it carry the labels
/// that are read, how many versions do its labels tell apart, how often is it scraped. `every` is how
/// often the backend is going to be asked; `values` are a running version's.
pub async fn check<M: Metrics>(backend: &M, queries: &Queries, values: &Variables, every: Duration, now: Time) -> Vec<Finding> {
    let mut found = Vec::new();
    for (what, asked) in queries.all() {
        let say = |grade, text: String| Finding { grade, text: format!("{}: {text}", what.name()).into() };
        let text = match asked.stable.fill(values, every * SCRAPES) {
            Ok(text) => text,
            Err(why) => {
                found.push(say(Grade::Bad, why));
                continue;
            }
        };
        let raw = asked.metric.is_some() && !what.is_now();
        let sent = if raw { format!("{text}[{}]", window_text(SEEN)) } else { text };
        let answer = match backend.instant(&sent, now).await {
            Ok(answer) => answer,
            Err(trouble) => {
                found.push(say(Grade::Bad, format!("{trouble}, asked {sent}")));
                continue;
            }
        };
        found.extend(answer.warnings.iter().map(|warning| say(Grade::Warn, format!("partial answer: {warning}"))));
        found.extend(answer.infos.iter().map(|info| say(Grade::Warn, info.to_string())));
        if answer.series.is_empty() {
            let grade = if queries.may_be_zero(what) && what != What::Requests { Grade::Ok } else { Grade::Bad };
            found.push(say(grade, format!("no series in {} s for {sent}", SEEN.as_secs())));
            continue;
        }
        let n = answer.series.len();
        found.push(say(Grade::Ok, format!("{n} series")));
        let labels = [
            (queries.code_label.as_deref().filter(|_| what == What::Requests), "what became of a request", Grade::Bad),
            (queries.instance_label.as_deref().filter(|_| raw), "its instance", Grade::Warn),
            (Some("le").filter(|_| what == What::Latency && !has_native(&answer.series)), "its bucket", Grade::Bad),
        ];
        for (label, means, grade) in labels {
            let missing = label.filter(|label| answer.series.iter().all(|s| s.labels.get(label).is_none()));
            found.extend(missing.map(|label| say(grade, format!("no label `{label}`, which says {means}"))));
        }
        found.extend(scraped(&answer.series, every, raw).map(|(grade, text)| say(grade, text)));
        if let (true, Some(label)) = (raw, version_label(asked.stable.text())) {
            let metric = asked.metric.as_deref().filter(|m| !m.is_empty());
            if let Some(metric) = metric {
                found.extend(versions(backend, metric, &label, now).await.map(|(grade, text)| say(grade, text)));
            }
        }
    }
    found
}

fn has_native(series: &[super::Series]) -> bool {
    series.iter().flat_map(|s| &s.points).any(|p| matches!(p.value, Value::Histogram(_)))
}

/// How often it is scraped, from the usual distance between samples.
fn scraped(series: &[super::Series], every: Duration, raw: bool) -> Option<(Grade, String)> {
    let mut apart: Vec<Duration> = series
        .iter()
        .flat_map(|s| s.points.iter().zip(s.points.iter().skip(1)))
        .filter_map(|(a, b)| (b.at - a.at).to_std().ok())
        .filter(|d| !d.is_zero())
        .collect();
    apart.sort_unstable();
    let Some(usual) = apart.get(apart.len() / 2).copied() else {
        return raw.then(|| (Grade::Warn, format!("no two samples in {} s: how often it is scraped is not known", SEEN.as_secs())));
    };
    let shown = format!("scraped every {:.0} s", usual.as_secs_f64());
    // A scrape is a little early or late.
    if usual > every.mul_f64(1.25) {
        let wanted = usual.as_secs_f64().ceil();
        return Some((
            Grade::Bad,
            format!("{shown}: a window of {SCRAPES} x every has fewer than {SCRAPES} scrapes; set every = \"{wanted:.0}s\""),
        ));
    }
    Some((Grade::Ok, shown))
}

/// The label that `{{version}}` or `{{pod_hash}}` is compared with.
fn version_label(text: &str) -> Option<String> {
    let at = ["{{version}}", "{{pod_hash}}"].into_iter().find_map(|hole| text.find(hole))?;
    let matcher = text.get(..at)?.rsplit([',', '{']).next()?;
    let name: String = matcher.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

async fn versions<M: Metrics>(backend: &M, metric: &str, label: &str, now: Time) -> Option<(Grade, String)> {
    let answer = backend.instant(&format!("count by ({label}) ({metric})"), now).await.ok()?;
    let values: BTreeSet<&str> = answer.series.iter().filter_map(|s| s.labels.get(label)).filter(|v| !v.is_empty()).collect();
    Some(match values.len() {
        0 => (Grade::Bad, format!("no label `{label}`: versions cannot be told apart")),
        n @ 1..=VERSIONS => (Grade::Ok, format!("label `{label}` has {n} values")),
        n => (Grade::Warn, format!("label `{label}` has {n} values, for all services: is it a version?")),
    })
}
