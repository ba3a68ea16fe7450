//! One target that two jobs scrape: each of its requests comes twice, and is counted twice.

use crate::{
    metrics::{Labels, Series, Value},
    model::time::Time,
};
use std::collections::BTreeMap;

/// What is said where series differ in their job alone and count the same; `None` where none do.
pub fn told(series: &[Series]) -> Option<String> {
    let mut alike: BTreeMap<Labels, Vec<&Series>> = BTreeMap::new();
    for one in series.iter().filter(|s| s.labels.get("job").is_some()) {
        alike.entry(one.labels.without(&["job"])).or_default().push(one);
    }
    let pairs = alike.values().flat_map(|all| all.iter().zip(all.iter().skip(1)));
    let same: Vec<_> = pairs.filter(|(one, other)| is_one(one, other)).collect();
    let (one, other) = same.first()?;
    let [one, other] = [one, other].map(|s| s.labels.get("job").unwrap_or_default().escape_debug().to_string());
    let what = "what they count is counted twice; name one job in the query";
    Some(format!("{} series of job `{one}` come again from job `{other}`, of the same target: {what}", same.len()))
}

/// Whether both are the samples of one counter: put together by time, it goes down only where each of them does.
fn is_one(one: &Series, other: &Series) -> bool {
    let number = |value: &Value| match value {
        Value::Number(n) => *n,
        Value::Histogram(native) => native.count,
    };
    let points = |of: &Series| of.points.iter().map(|p| (p.at, number(&p.value))).filter(|(_, n)| n.is_finite()).collect::<Vec<_>>();
    let (ones, others) = (points(one), points(other));
    let span = |all: &[(Time, f64)]| all.first().zip(all.last()).map(|(first, last)| (first.0, last.0));
    let overlap = span(&ones).zip(span(&others)).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1);
    // Each sample with whether it is less than the one before it in its own series.
    let resets = |all: Vec<(Time, f64)>| {
        let mut before = 0.0;
        all.into_iter().map(move |(at, n)| (at, n, n < std::mem::replace(&mut before, n))).collect::<Vec<_>>()
    };
    let mut all: Vec<(Time, f64, bool)> = [ones, others].map(resets).concat();
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    // Nothing that was counted says nothing of who counted it.
    let counted = all.last().is_some_and(|(_, n, _)| *n > 0.0);
    overlap && counted && all.iter().zip(all.iter().skip(1)).all(|(before, after)| before.1 <= after.1 || after.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Point;

    fn series(job: &str, begin: i64, value: &dyn Fn(i64) -> f64) -> Series {
        let labels = [("job", job), ("instance", "10.0.0.7:8080"), ("code", "2xx")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let at = |second| Time::UNIX_EPOCH + chrono::Duration::seconds(second);
        let points = (0..4).map(|n| begin + 15 * n).map(|t| Point { at: at(t), value: Value::Number(value(t)) });
        Series { labels: Labels::new(labels), points: points.collect() }
    }

    #[test]
    fn one_counter_that_two_jobs_scrape_is_told_from_two() {
        let rising = |t: i64| t as f64 * 2.0;
        let twice = [series("shop", 0, &rising), series("pods", 4, &rising)];
        let text = "1 series of job `shop` come again from job `pods`, of the same target: what they count is counted twice; name one job in the query";
        assert_eq!(told(&twice).as_deref(), Some(text));
        assert_eq!(told(&[series("shop", 0, &|_| 7.0), series("pods", 4, &|_| 7.0)]).as_deref(), Some(text), "nothing comes now");
        let restarted = |t: i64| if t < 20 { 900.0 + t as f64 } else { t as f64 };
        assert_eq!(told(&[series("shop", 0, &restarted), series("pods", 4, &restarted)]).as_deref(), Some(text));
        // Another process behind the same address, none that counted, one that came after the other.
        assert_eq!(told(&[series("shop", 0, &rising), series("pods", 4, &|t| 500.0 + t as f64)]), None);
        assert_eq!(told(&[series("shop", 0, &|_| 0.0), series("pods", 4, &|_| 0.0)]), None);
        assert_eq!(told(&[series("shop", 0, &rising), series("pods", 300, &rising)]), None);
        assert_eq!(told(&[series("shop", 0, &rising)]), None);
    }
}
