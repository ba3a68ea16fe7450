//! Samples in a file: what a backend answered is kept as it came, and asked again without it.
//!
//! One JSON document a line. The first says what it is and whose samples they are; every other one is the
//! answer to one selector over some time:
//!
//! ```text
//! {"format":"cutover samples","version":1,"service":"shop","values":{"service":"shop","version":"1.4"}}
//! {"query":"http_requests_total{v=\"1.4\"}","series":[{"labels":{"pod":"a","code":"200"},"points":[[1767225600.0,"12"]]}]}
//! ```
//!
//! Times are seconds since 1970. Values are texts, as some are no JSON numbers (`NaN`, `inf`); a native
//! histogram is `{"count":"3","sum":"0.4","buckets":[["0.1","0.2","3"]]}`. Samples may be repeated and in
//! any order; several files put one after the other are one, and what `values` says last counts.

use super::{Alert, Answer, Labels, Metrics, Native, Point, Series, Trouble, Value, template::Variables};
use crate::model::{text::Text, time::Time};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What the first line says.
const FORMAT: &str = "cutover samples";

/// The version that is written and read.
const VERSION: u32 = 1;

/// A longer line is none of ours: answers are bounded by `body_limit`.
const LONGEST_LINE: u64 = 256 << 20;

/// More samples than this are not read: about 1 GB.
const MOST: usize = 20_000_000;

/// How old the last sample of a series may be that still counts as one.
const ALIVE: chrono::Duration = chrono::Duration::minutes(5);

/// Whose samples they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    format: String,
    version: u32,
    /// The service.
    pub service: String,
    /// What was filled in for its stable version.
    pub values: Variables,
}

impl Head {
    /// Of a service.
    #[must_use]
    pub fn new(service: &str, values: Variables) -> Self {
        Self { format: FORMAT.into(), version: VERSION, service: service.to_owned(), values }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    query: String,
    series: Vec<One>,
}

#[derive(Serialize, Deserialize)]
struct One {
    labels: BTreeMap<String, String>,
    points: Vec<(f64, Written)>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(String),
    Histogram { count: String, sum: String, buckets: Vec<(String, String, String)> },
}

impl Written {
    fn of(value: &Value) -> Self {
        match value {
            Value::Number(n) => Self::Number(n.to_string()),
            Value::Histogram(Native { count, sum, buckets }) => Self::Histogram {
                count: count.to_string(),
                sum: sum.to_string(),
                buckets: buckets.iter().map(|(low, high, n)| (low.to_string(), high.to_string(), n.to_string())).collect(),
            },
        }
    }

    fn read(&self) -> Option<Value> {
        Some(match self {
            Self::Number(n) => Value::Number(n.parse().ok()?),
            Self::Histogram { count, sum, buckets } => Value::Histogram(Native {
                count: count.parse().ok()?,
                sum: sum.parse().ok()?,
                buckets: buckets
                    .iter()
                    .map(|(l, h, n)| Some((l.parse().ok()?, h.parse().ok()?, n.parse().ok()?)))
                    .collect::<Option<_>>()?,
            }),
        })
    }
}

/// The selector of `selector[600s]`, and how far it looks back.
fn ranged(query: &str) -> Option<(&str, chrono::Duration)> {
    let (selector, window) = query.strip_suffix(']')?.rsplit_once('[')?;
    let millis: i64 = match window.strip_suffix("ms") {
        Some(millis) => millis.parse().ok()?,
        None => window.strip_suffix('s')?.parse::<i64>().ok()?.checked_mul(1_000)?,
    };
    Some((selector, chrono::Duration::try_milliseconds(millis)?))
}

/// A backend whose raw samples are written down as they come.
pub struct Recorder<M, W> {
    inner: M,
    out: Mutex<(W, Option<io::Error>)>,
}

impl<M, W: Write> Recorder<M, W> {
    /// Begins with whose samples they are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(inner: M, mut out: W, head: &Head) -> io::Result<Self> {
        line(&mut out, head)?;
        Ok(Self { inner, out: Mutex::new((out, None)) })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When anything could not be written.
    pub fn finish(self) -> io::Result<()> {
        let (mut out, failed) = self.out.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or_else(|| out.flush(), Err)
    }

    fn keep(&self, query: &str, answer: &Answer) {
        let Some((selector, _)) = ranged(query).filter(|_| answer.warnings.is_empty()) else { return };
        let series = answer.series.iter().map(|one| One {
            labels: one.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            points: one.points.iter().map(|p| (seconds(p.at), Written::of(&p.value))).collect(),
        });
        let kept = Line { query: selector.to_owned(), series: series.collect() };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.1.is_none()
            && let Err(e) = line(&mut out.0, &kept)
        {
            out.1 = Some(e);
        }
    }
}

fn line(out: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, what)?;
    out.write_all(b"\n")
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(at: Time) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

impl<M: Metrics, W: Write + Send + 'static> Metrics for Recorder<M, W> {
    async fn instant(&self, query: &str, at: Time) -> Result<Answer, Trouble> {
        let answer = self.inner.instant(query, at).await?;
        self.keep(query, &answer);
        Ok(answer)
    }

    async fn range(&self, query: &str, from: Time, to: Time, step: Duration) -> Result<Answer, Trouble> {
        self.inner.range(query, from, to, step).await
    }

    async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
        self.inner.alerts().await
    }

    fn place(&self) -> &Text {
        self.inner.place()
    }
}

/// Samples that were read from a file, asked like the backend that they are of.
#[derive(Debug)]
pub struct Recorded {
    place: Text,
    head: Option<Head>,
    series: BTreeMap<String, BTreeMap<Labels, BTreeMap<Time, Value>>>,
}

impl Recorded {
    /// Reads them; `place` is where from, for messages.
    ///
    /// # Errors
    /// In one line, with the line of the file.
    pub fn read(place: &str, mut input: impl BufRead) -> Result<Self, String> {
        let mut read = Self { place: place.into(), head: None, series: BTreeMap::new() };
        let (mut number, mut kept) = (0, 0);
        loop {
            let mut text = String::new();
            number += 1;
            let wrong = |why: &str| format!("{place}:{number}: {why}");
            let length = io::Read::take(&mut input, LONGEST_LINE).read_line(&mut text).map_err(|e| wrong(&e.to_string()))?;
            if length == 0 {
                break;
            }
            if length as u64 == LONGEST_LINE {
                return Err(wrong("a line of more than 256 MiB"));
            }
            if text.trim().is_empty() {
                continue;
            }
            if let Ok(head) = serde_json::from_str::<Head>(&text) {
                if head.format != FORMAT || head.version != VERSION {
                    return Err(wrong("not samples of a version that this program knows"));
                }
                read.head = Some(head);
                continue;
            }
            if read.head.is_none() {
                return Err(wrong(&format!("it does not begin with {{\"format\":\"{FORMAT}\",…}}: record it with --record")));
            }
            let line: Line = serde_json::from_str(&text).map_err(|e| wrong(&e.to_string()))?;
            kept += line.series.iter().map(|one| one.points.len()).sum::<usize>();
            if kept > MOST {
                return Err(wrong(&format!("more than {MOST} samples")));
            }
            read.add(line).ok_or_else(|| wrong("a sample whose time or value is no number"))?;
        }
        if read.head.is_none() { Err(format!("{place} is empty")) } else { Ok(read) }
    }

    fn add(&mut self, line: Line) -> Option<()> {
        let all = self.series.entry(line.query).or_default();
        for one in line.series {
            let samples = all.entry(Labels::new(one.labels)).or_default();
            for (at, value) in one.points {
                #[expect(clippy::cast_possible_truncation, reason = "saturates, and is out of range then")]
                let at = Time::from_timestamp_millis((at * 1_000.0).round() as i64)?;
                samples.insert(at, value.read()?);
            }
        }
        Some(())
    }

    /// Whose they are.
    #[must_use]
    pub const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// When the first and the last of them were taken.
    #[must_use]
    pub fn span(&self) -> Option<(Time, Time)> {
        let all = || self.series.values().flat_map(BTreeMap::values);
        let first = all().filter_map(|s| Some(*s.first_key_value()?.0)).min()?;
        let last = all().filter_map(|s| Some(*s.last_key_value()?.0)).max()?;
        Some((first, last))
    }

    fn between(&self, selector: &str, from: Time, to: Time) -> Result<Vec<Series>, Trouble> {
        let all = self
            .series
            .get(selector)
            .ok_or_else(|| Trouble::Failed { why: format!("{} has no samples of {selector}", self.place).into() })?;
        let points = |samples: &BTreeMap<Time, Value>| -> Vec<Point> {
            samples.range(from..=to).map(|(at, value)| Point { at: *at, value: value.clone() }).collect()
        };
        let found = all.iter().map(|(labels, samples)| Series { labels: labels.clone(), points: points(samples) });
        Ok(found.filter(|one| !one.points.is_empty()).collect())
    }
}

impl Metrics for Recorded {
    /// Samples of a selector, or how many series it has; nothing else was kept.
    async fn instant(&self, query: &str, at: Time) -> Result<Answer, Trouble> {
        if let Some(selector) = query.strip_prefix("count(").and_then(|rest| rest.strip_suffix(')')) {
            #[expect(clippy::cast_precision_loss, reason = "a count of series")]
            let count = self.between(selector, at - ALIVE, at)?.len() as f64;
            let one = Series { labels: Labels::default(), points: vec![Point { at, value: Value::Number(count) }] };
            return Ok(Answer { series: vec![one], ..Answer::default() });
        }
        let Some((selector, window)) = ranged(query) else {
            return Err(Trouble::Failed { why: "recorded samples can only be read, not computed with".into() });
        };
        Ok(Answer { series: self.between(selector, at - window, at)?, ..Answer::default() })
    }

    async fn range(&self, _: &str, _: Time, _: Time, _: Duration) -> Result<Answer, Trouble> {
        Err(Trouble::Failed { why: "recorded samples can only be read, not computed with".into() })
    }

    async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
        Ok(Vec::new())
    }

    fn place(&self) -> &Text {
        &self.place
    }

    fn keeps(&self, selector: &str) -> bool {
        self.series.contains_key(selector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
    }

    /// Answers one series with a number, one that is none, and a histogram.
    struct Fixed(Text);

    impl Metrics for Fixed {
        async fn instant(&self, _: &str, at: Time) -> Result<Answer, Trouble> {
            let native = Native { count: 3.0, sum: 0.4, buckets: vec![(0.1, f64::INFINITY, 3.0)] };
            let values = [Value::Number(1.5), Value::Number(f64::INFINITY), Value::Histogram(native)];
            let points = values.into_iter().enumerate().map(|(n, value)| Point { at: at - chrono::Duration::seconds(2 - n as i64), value });
            let labels = Labels::new([("pod".to_owned(), "a\n\"b".to_owned())]);
            Ok(Answer { series: vec![Series { labels, points: points.collect() }], ..Answer::default() })
        }
        async fn range(&self, _: &str, _: Time, _: Time, _: Duration) -> Result<Answer, Trouble> {
            Ok(Answer::default())
        }
        async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
            Ok(Vec::new())
        }
        fn place(&self) -> &Text {
            &self.0
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_answered_again() {
        let head = Head::new("shop", Variables::from([("version".into(), "1".into())]));
        let recorder = Recorder::new(Fixed("x".into()), io::Cursor::new(Vec::new()), &head).unwrap();
        let live = recorder.instant("m{a=\"[1]\"}[10s]", at(10)).await.unwrap();
        recorder.instant("m{a=\"[1]\"}[10s]", at(11)).await.unwrap();
        let file = recorder.out.into_inner().unwrap().0.into_inner();
        let read = Recorded::read("file", &*file).unwrap();
        assert_eq!(read.head(), Some(&head));
        assert_eq!(read.instant("m{a=\"[1]\"}[10s]", at(10)).await.unwrap().series[0].labels, live.series[0].labels);
        assert_eq!(read.instant("m{a=\"[1]\"}[1s]", at(9)).await.unwrap().series[0].points[0], live.series[0].points[0]);
        let count = read.instant("count(m{a=\"[1]\"})", at(12)).await.unwrap();
        assert_eq!(count.series[0].points[0].value, Value::Number(1.0));
        assert_eq!(read.span(), Some((at(8), at(11))));
        assert!(read.instant("other[10s]", at(10)).await.unwrap_err().to_string().contains("no samples of other"));
        assert!(read.instant("sum(m)", at(10)).await.is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let read = |text: &str| Recorded::read("f", text.as_bytes()).unwrap_err();
        let head = serde_json::to_string(&Head::new("shop", Variables::new())).unwrap();
        assert!(read("").contains("empty"));
        assert!(read("{\"query\":\"a\",\"series\":[]}").starts_with("f:1: it does not begin"));
        assert!(read(&head.replace("\"version\":1", "\"version\":2")).contains("version"));
        assert!(read(&format!("{head}\n\n{{\"query\":1}}")).starts_with("f:3: "));
        let line = "{\"query\":\"a\",\"series\":[{\"labels\":{},\"points\":[[1.0,\"x\"]]}]}";
        assert!(read(&format!("{head}\n{line}")).contains("no number"));
    }
}
