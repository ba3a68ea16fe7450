//! Whether a backend has what the queries ask for: for `cutover doctor`.

mod twice;

use super::{
    Answer, Labels, Metrics, Origin, Series, TOGETHER, Trouble, Value,
    preset::{Asked, Queries, What},
    selector,
    template::{LABEL, Template, Variables, window_text},
};
use crate::model::{text::Text, time::Time};
use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

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

/// What is filled in for a version of which nothing runs.
const NOBODY: &str = "no_such_version";

/// Labels with more values than this are no versions.
const VERSIONS: usize = 20;

/// Asks each query for stable, and looks at what comes: is there such a series, does it carry the labels
/// that are read, how many versions of the service do its labels tell apart, how often is it scraped. The
/// candidate's is asked too where it is another one or one runs: none has come of it yet, but it must be a
/// query, and of other series; where none runs, a version that nobody has must not find stable's. `every` is
/// how often the backend is going to be asked; `stable` are a running version's values, `canary` those of the
/// candidate if there is one; `origin` is where the queries are written.
pub async fn check<M: Metrics>(
    backend: &M,
    (queries, origin): (&Queries, &Origin),
    (stable, canary): (&Variables, Option<&Variables>),
    every: Duration,
    now: Time,
) -> Vec<Finding> {
    let look = Look { backend, queries, origin, every, now };
    let mut found = Vec::new();
    for (what, asked) in queries.all().filter(|(what, asked)| !what.is_beside() || asked.is_of_each(stable)) {
        let mut say = |grade, text: String| found.push(Finding { grade, text: format!("{}: {text}", what.name()).into() });
        let raw = asked.metric.is_some() && !what.is_now();
        let of_stable = match look.ask(what, &asked.stable, stable, raw).await {
            Ok(of_stable) => look.stable(what, &of_stable, raw, &mut say),
            Err((grade, why)) => {
                say(grade, why);
                Vec::new()
            }
        };
        if raw && !of_stable.is_empty() {
            look.versions(&asked.stable, stable).await.into_iter().for_each(|(grade, text)| say(grade, text));
        }
        if let Some(values) = canary.or((asked.stable != asked.canary).then_some(stable)) {
            let (grade, text) = match look.ask(what, &asked.canary, values, raw).await {
                Ok((sent, _)) if !raw && look.is_of_both(what, asked, (stable, values)).await => together(&sent),
                Ok((sent, answer)) => of_canary(&answer.series, &sent, if raw { &of_stable } else { &[] }),
                Err(told) => told,
            };
            say(grade, format!("canary: {text}"));
        } else if look.is_of_both(what, asked, (stable, &nobody(stable))).await {
            let (grade, text) = together(asked.stable.text());
            say(grade, text);
        }
    }
    found
}

/// Who is asked, and what for.
struct Look<'a, M> {
    backend: &'a M,
    queries: &'a Queries,
    origin: &'a Origin,
    every: Duration,
    now: Time,
}

impl<M: Metrics> Look<'_, M> {
    /// What was sent, and the answer; or why there is none.
    async fn ask(&self, what: What, template: &Template, values: &Variables, raw: bool) -> Result<(String, Answer), (Grade, String)> {
        let text = template.fill(values, self.every * SCRAPES).map_err(|why| (Grade::Bad, why))?;
        let sent = if raw { format!("{text}[{}]", window_text(SEEN)) } else { text };
        match self.backend.instant(&sent, self.now).await {
            Ok(answer) => Ok((sent, answer)),
            Err(trouble) => Err((Grade::Bad, self.placed(what, &trouble, &sent))),
        }
    }

    /// Why there is no answer, with the line to mend.
    fn placed(&self, what: What, trouble: &Trouble, sent: &str) -> String {
        match self.origin.lines.get(what.name()).filter(|_| trouble.is_about_the_query()) {
            Some(line) => format!("at line {line}: {trouble}, asked {sent}"),
            None => format!("{trouble}, asked {sent}"),
        }
    }

    /// Whether the queries of these two versions find series that are the same.
    async fn is_of_both(&self, what: What, asked: &Asked, (stable, canary): (&Variables, &Variables)) -> bool {
        let filled = |template: &Template, values| template.fill(values, self.every * SCRAPES).ok();
        let Some((one, other)) = filled(&asked.stable, stable).zip(filled(&asked.canary, canary)) else { return false };
        let Some(common) = selector::common(&one, &other).filter(|_| !what.is_now()) else { return false };
        let answer = self.backend.instant(&common, self.now).await.unwrap_or_default();
        answer.series.iter().flat_map(|s| &s.points).any(|p| matches!(p.value, Value::Number(n) if n > 0.0))
    }

    /// Says what stable's series are, and hands them out.
    fn stable(&self, what: What, (sent, answer): &(String, Answer), raw: bool, say: &mut impl FnMut(Grade, String)) -> Vec<Series> {
        answer.warnings.iter().for_each(|warning| say(Grade::Warn, format!("partial answer: {warning}")));
        answer.infos.iter().for_each(|info| say(Grade::Warn, info.to_string()));
        if answer.series.is_empty() {
            // Nobody failed, or was late.
            let may = self.queries.may_be_zero(what) && what != What::Requests || what == What::ServiceErrors;
            let grade = if may { Grade::Ok } else { Grade::Bad };
            let honors = self.queries.namespace_label.as_deref() == Some("exported_namespace");
            let hint = if honors { "; scraped with honor_labels? set metrics.query.namespace_label = \"namespace\"" } else { "" };
            say(grade, format!("no series in {} s for {sent}{hint}", SEEN.as_secs()));
            return Vec::new();
        }
        say(Grade::Ok, format!("{} series", answer.series.len()));
        let coded = what == What::Requests || what.is_beside();
        // How many are ready may be said of a whole version; requests tell its instances apart.
        let is_whole = what == What::Ready && self.queries.get(What::Requests).is_some();
        let apart = raw && what != What::ServiceErrors && !what.is_beside() && !is_whole;
        let labels = [
            (self.queries.code_label.as_deref().filter(|_| coded), "what became of a request", Grade::Bad),
            (self.queries.instance_label.as_deref().filter(|_| apart), "its instance", Grade::Warn),
            (Some("le").filter(|_| what == What::Latency && !has_native(&answer.series)), "its bucket", Grade::Bad),
        ];
        for (label, means, grade) in labels {
            let missing = label.filter(|label| answer.series.iter().all(|s| s.labels.get(label).is_none()));
            missing.into_iter().for_each(|label| say(grade, format!("no label `{label}`, which says {means}")));
        }
        let counts = raw && what != What::Ready;
        twice::told(&answer.series).filter(|_| counts).into_iter().for_each(|text| say(Grade::Warn, text));
        scraped(&answer.series, self.every, raw).into_iter().for_each(|(grade, text)| say(grade, text));
        answer.series.clone()
    }

    /// How many versions of this service there are by the label that tells them apart.
    async fn versions(&self, stable: &Template, values: &Variables) -> Option<(Grade, String)> {
        let (label, any) = any_version(stable.text())?;
        let selector = Template::parse(&any).ok()?.fill(values, SEEN).ok()?;
        let answer = self.backend.instant(&format!("count by ({label}) ({selector})"), self.now).await.ok()?;
        let values: BTreeSet<&str> = answer.series.iter().filter_map(|s| s.labels.get(&label)).filter(|v| !v.is_empty()).collect();
        Some(match values.len() {
            0 => (Grade::Warn, format!("label `{label}` has no value now, though there are samples: they may come late, ask again")),
            n @ 1..=VERSIONS => (Grade::Ok, format!("label `{label}` has {n} values")),
            n => (Grade::Warn, format!("label `{label}` has {n} values of this service: is it a version?")),
        })
    }
}

/// What the candidate's series are; `others` are stable's, where series are counted one by one.
fn of_canary(series: &[Series], sent: &str, others: &[Series]) -> (Grade, String) {
    let others: HashSet<&Labels> = others.iter().map(|s| &s.labels).collect();
    if series.iter().any(|s| others.contains(&s.labels)) {
        return together(sent);
    }
    match series.len() {
        0 => (Grade::Ok, format!("no series yet for {sent}")),
        n => (Grade::Ok, format!("{n} series")),
    }
}

/// Said in the words of a blind gate.
fn together(sent: &str) -> (Grade, String) {
    (Grade::Bad, format!("{TOGETHER}, asked {sent}"))
}

/// The values of a version of which nothing runs.
fn nobody(stable: &Variables) -> Variables {
    let is_told = |name: &str| ["version", "pod_hash", LABEL].contains(&name);
    stable.iter().map(|(name, value)| (name.clone(), if is_told(name) { NOBODY.to_owned() } else { value.clone() })).collect()
}

fn has_native(series: &[Series]) -> bool {
    series.iter().flat_map(|s| &s.points).any(|p| matches!(p.value, Value::Histogram(_)))
}

/// How often it is scraped, from the usual distance between samples.
fn scraped(series: &[Series], every: Duration, raw: bool) -> Option<(Grade, String)> {
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

/// The label that is compared with `{{version}}` or `{{pod_hash}}` alone, and the selector of every version of
/// the service. `None` where the version is only a part of the label's value, such as of a pod's name.
fn any_version(text: &str) -> Option<(String, String)> {
    let holes = text.match_indices("{{").filter_map(|(at, _)| {
        let (name, after) = text.get(at + 2..)?.split_once("}}")?;
        ["version", "pod_hash"].contains(&name.trim()).then_some((text.get(..at)?, after))
    });
    let alone = |(before, after): (&str, &str)| {
        let quote = before.chars().next_back().filter(|c| matches!(c, '"' | '\''))?;
        let before = before.strip_suffix(quote)?.trim_end();
        let before = before.strip_suffix("=~").or_else(|| before.strip_suffix('=').filter(|b| !b.ends_with('!')))?.trim_end();
        let label = before.get(before.rfind(|c: char| !selector::is_name(c)).map_or(0, |at| at + 1)..)?;
        let after = after.strip_prefix(quote)?;
        (!label.is_empty()).then(|| (label.to_owned(), format!("{before}!=\"\"{after}")))
    };
    holes.filter_map(alone).next()
}

#[cfg(test)]
mod tests;
