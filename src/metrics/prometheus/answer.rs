//! From the bytes of an answer to series, or to why there are none.

use super::wire::{Alerts, Data, Element, Envelope, Number};
use crate::{
    metrics::{Alert, Labels, Point, Series, Trouble, Value},
    model::{
        text::Text,
        time::{Time, elapsed},
    },
};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeSet, time::Duration};

/// Of what is not understood, so many characters are shown.
const SHOWN: usize = 300;
/// Of that, so many bytes are looked at.
const LOOKED_AT: usize = 4096;

/// Nobody who wants to be asked again later than this is believed.
const LATEST: Duration = Duration::from_secs(3600);

/// The head of an answer, as far as it matters.
#[derive(Clone, Debug)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Its media type, without parameters, in lower case.
    pub media: String,
    /// When it wants to be asked again.
    pub after: Option<Duration>,
    /// Where it sends us instead; nobody goes there.
    pub elsewhere: Option<Text>,
}

impl Head {
    /// Also in other words: `VictoriaMetrics` sends raw samples as `application/stream+json`.
    fn is_json(&self) -> bool {
        let kind = self.media.strip_prefix("application/").unwrap_or_default();
        kind == "json" || kind.ends_with("+json")
    }
}

/// What a server says beside its data.
#[derive(Debug, Default)]
pub struct Notes {
    /// The answer is partial.
    pub warnings: Vec<Text>,
    /// It is whole, and may not be what was meant.
    pub infos: Vec<Text>,
}

/// The series of a query, and what was said beside them.
///
/// # Errors
/// What the server says instead, or that it says something else.
pub fn query(place: &Text, head: &Head, body: &[u8]) -> Result<(Vec<Series>, Notes), Trouble> {
    let protocol = |what: String| Trouble::Protocol { place: place.clone(), what: short(&what) };
    let (data, notes) = success(place, head, body)?;
    let data: Data<'_> = read(data).map_err(&protocol)?;
    let series = match data.result_type.as_str() {
        "vector" | "matrix" => {
            let mut elements: Vec<Element> = read(data.result).map_err(&protocol)?;
            // Of a range there may be nothing; at one time there must be something.
            if data.result_type == "matrix" {
                elements.retain(|e| !(e.values.is_empty() && e.histograms.is_empty()));
            }
            elements.into_iter().map(series).collect::<Result<Vec<_>, _>>().map_err(&protocol)?
        }
        "scalar" => {
            let point = number(read(data.result).map_err(&protocol)?).map_err(&protocol)?;
            vec![Series { labels: Labels::default(), points: vec![point] }]
        }
        "string" => return Err(Trouble::Failed { why: "it is a text and not a number".into() }),
        other => return Err(protocol(format!("a result of the unknown type `{other}`"))),
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = series.iter().find(|s| !seen.insert(&s.labels)) {
        return Err(protocol(format!("two series with the same labels {}", twice.labels)));
    }
    Ok((series, notes))
}

/// The alerts that fire.
///
/// # Errors
/// As of [`query`].
pub fn alerts(place: &Text, head: &Head, body: &[u8]) -> Result<Vec<Alert>, Trouble> {
    let (data, notes) = success(place, head, body)?;
    whole(&notes.warnings)?;
    let found: Alerts = read(data).map_err(|what| Trouble::Protocol { place: place.clone(), what: short(&what) })?;
    let firing = found.alerts.into_iter().filter(|alert| alert.state == "firing");
    Ok(firing.map(|a| Alert { labels: a.labels.0, annotations: a.annotations.0, since: a.active_at }).collect())
}

/// That an answer is not partial: what fires and is missing from it would look as if it did not.
///
/// # Errors
/// What was warned of.
pub fn whole(warnings: &[Text]) -> Result<(), Trouble> {
    warnings.first().map_or(Ok(()), |warning| Err(Trouble::Failed { why: format!("a partial answer: {warning}").into() }))
}

/// The data inside what surrounds every answer.
fn success<'a>(place: &Text, head: &Head, body: &'a [u8]) -> Result<(&'a RawValue, Notes), Trouble> {
    if !head.is_json() {
        return Err(refused(place, head, "", &other_than_json(head, body)));
    }
    let envelope: Envelope<'_> = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // A proxy may say no in a JSON of its own.
        Err(_) if !(200..300).contains(&head.status) => return Err(refused(place, head, "", &first_words(body))),
        Err(e) => return Err(Trouble::Protocol { place: place.clone(), what: short(&format!("JSON that is not understood: {e}")) }),
    };
    let all = |said: Option<Vec<String>>| said.unwrap_or_default().iter().map(|one| short(one)).collect();
    let notes = Notes { warnings: all(envelope.warnings), infos: all(envelope.infos) };
    match envelope.data {
        Some(data) if envelope.status == "success" && (200..300).contains(&head.status) => Ok((data, notes)),
        _ => Err(refused(place, head, &envelope.error_type.unwrap_or_default(), &envelope.error.unwrap_or_default())),
    }
}

/// What a status and the server's own word for it mean.
fn refused(place: &Text, head: &Head, kind: &str, said: &str) -> Trouble {
    let why = |what: &str| -> Text { if said.is_empty() { what.into() } else { short(said) } };
    let status = || -> Text { short(&if said.is_empty() { head.status.to_string() } else { format!("{}: {said}", head.status) }) };
    let place = place.clone();
    match (head.status, kind) {
        (400, _) if head.is_json() => Trouble::Query { why: why("it says no more") },
        // Some servers answer both with 422.
        (422, "bad_data") => Trouble::Query { why: why("it says no more") },
        (422, _) => Trouble::Failed { why: why("it says no more") },
        (401 | 403 | 407, _) => Trouble::Denied { place, why: status() },
        (429 | 499 | 500.., _) => Trouble::Busy { place, why: status(), after: head.after },
        (200..300, "bad_data") => Trouble::Query { why: why("it says no more") },
        (200..300, "execution") => Trouble::Failed { why: why("it says no more") },
        (200..300, "timeout" | "canceled" | "unavailable" | "internal" | "too_many_requests") => {
            Trouble::Busy { place, why: why(kind), after: head.after }
        }
        (200..300, _) => Trouble::Protocol { place, what: why("an answer without data") },
        (300..400, _) => {
            let to = head.elsewhere.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
            Trouble::Protocol { place, what: short(&format!("{}: it sends us{to}, and nobody follows: correct `url`", head.status)) }
        }
        (404, _) => Trouble::Protocol { place, what: short(&format!("404: {said}: is the path of `url` right?")) },
        _ => Trouble::Protocol { place, what: status() },
    }
}

fn other_than_json(head: &Head, body: &[u8]) -> String {
    let media = if head.media.is_empty() { "no content type" } else { &head.media };
    match first_words(body) {
        nothing if nothing.is_empty() => format!("nothing ({media})"),
        words if head.media == "text/plain" => words,
        words => format!("{media}: {words}"),
    }
}

/// The first words of a page, without its tags.
fn first_words(body: &[u8]) -> String {
    let page = Text::from_bytes(body.get(..LOOKED_AT).unwrap_or(body));
    let (mut words, mut tag) = (String::new(), false);
    for c in page.as_str().chars() {
        match c {
            '<' => tag = true,
            '>' if tag => {
                tag = false;
                words.push(' ');
            }
            c if !tag => words.push(c),
            _ => {}
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn short(text: &str) -> Text {
    let clean = Text::clean(text);
    match clean.as_str().char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", clean.as_str().get(..end).unwrap_or_default()).into(),
        None => clean,
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(json.get()).map_err(|e| format!("JSON that is not understood: {e}"))
}

fn series(element: Element) -> Result<Series, String> {
    let mut points = Vec::with_capacity(element.values.len() + element.histograms.len() + 1);
    for value in element.value.into_iter().chain(element.values) {
        points.push(number(value)?);
    }
    for (at, histogram) in element.histogram.into_iter().chain(element.histograms) {
        let native = histogram.native().ok_or("a histogram with an edge or a count that is no number")?;
        points.push(Point { at: time(at)?, value: Value::Histogram(native) });
    }
    if points.is_empty() {
        return Err("a series without samples".into());
    }
    // Numbers and histograms of one series come in two lists.
    points.sort_by_key(|point| point.at);
    Ok(Series { labels: element.metric.0, points })
}

fn number((at, value): Number) -> Result<Point, String> {
    Ok(Point { at: time(at)?, value: Value::Number(value.0) })
}

/// From seconds since 1970; the server keeps milliseconds.
fn time(seconds: f64) -> Result<Time, String> {
    let millis = (seconds * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and what is out of range is no date")]
    let time = DateTime::from_timestamp_millis(millis as i64);
    time.ok_or_else(|| format!("a time that is none: {seconds}"))
}

/// From `Retry-After`: seconds, or a date. An hour at most.
#[must_use]
pub fn retry_after(value: &str, now: Time) -> Option<Duration> {
    let after = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => elapsed(DateTime::parse_from_rfc2822(value.trim()).ok()?.to_utc(), now),
    };
    Some(after.min(LATEST))
}

/// How far a clock is ahead that wrote this date between two times of ours: half a second sharp, and zero
/// where both clocks may agree.
#[must_use]
pub fn ahead(date: &str, sent: Time, received: Time) -> Option<chrono::Duration> {
    let date = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    // It was written in the second that it names, after sending and before receiving.
    let (least, most) = (date - received, date - sent + chrono::Duration::seconds(1));
    let zero = chrono::Duration::zero();
    Some(if least > zero || most < zero { (least + most) / 2 } else { zero })
}

#[cfg(test)]
mod tests;
