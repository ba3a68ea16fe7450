//! The alerts that fire: from the list that the server has, or from the series that rules write.

use super::{Prometheus, answer};
use crate::{
    metrics::{Alert, Answer, Labels, Point, Series, Trouble, Value},
    model::time::Time,
};
use chrono::DateTime;
use std::{collections::BTreeMap, time::Duration};

const FIRING: &str = "ALERTS{alertstate=\"firing\"}";
/// When an alert's condition began to hold, in seconds since 1970; the labels are those of the alert.
const SINCE: &str = "ALERTS_FOR_STATE";
/// Where [`SINCE`] lacks, the past is looked at so far and in such steps.
const BACK: Duration = Duration::from_secs(24 * 3600);
const STEP: Duration = Duration::from_secs(120);
/// Labels that the alert itself does not have.
const ADDED: [&str; 2] = ["__name__", "alertstate"];

/// The alerts that fire now.
///
/// A server without alerts of its own may lack the list, or answer with one that is always empty
/// (`VictoriaMetrics`), while somebody else's rules write the series into it. So an empty list is believed
/// only when there are no series either.
pub async fn firing(server: &Prometheus) -> Result<Vec<Alert>, Trouble> {
    let received = server.list("alerts").await?;
    match answer::alerts(&server.0.place, &received.head, &received.body) {
        Ok(list) if !list.is_empty() => return Ok(list),
        Ok(_) | Err(Trouble::Protocol { .. }) => {}
        Err(trouble) => return Err(trouble),
    }
    let firing = server.now(FIRING).await?;
    answer::whole(&firing.warnings)?;
    if firing.series.is_empty() {
        return Ok(Vec::new());
    }
    let began = beginnings(&server.now(SINCE).await?);
    let mut alerts = Vec::with_capacity(firing.series.len());
    let mut unknown = false;
    for series in &firing.series {
        let labels = series.labels.without(&ADDED);
        let since = began.get(&labels).copied();
        unknown |= since.is_none();
        alerts.push((labels, since));
    }
    let past = if unknown { oldest(server, &firing).await? } else { BTreeMap::new() };
    let known = alerts.into_iter().filter_map(|(labels, since)| {
        let since = since.or_else(|| past.get(&labels).copied())?;
        Some(Alert { labels, annotations: Labels::default(), since })
    });
    Ok(known.collect())
}

fn beginnings(answer: &Answer) -> BTreeMap<Labels, Time> {
    let began = |series: &Series| match series.points.last()?.value {
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and what is out of range is no date")]
        Value::Number(seconds) => DateTime::from_timestamp(seconds as i64, 0),
        Value::Histogram(_) => None,
    };
    answer.series.iter().filter_map(|series| Some((series.labels.without(&ADDED), began(series)?))).collect()
}

/// Since when each fires without a gap, as far as the past is looked at.
async fn oldest(server: &Prometheus, now: &Answer) -> Result<BTreeMap<Labels, Time>, Trouble> {
    let at = now.series.iter().filter_map(|series| Some(series.points.last()?.at)).max().unwrap_or_else(|| server.0.clock.now());
    let range = server.between(FIRING, at - BACK, at, STEP).await?;
    let mut past: BTreeMap<Labels, Time> = BTreeMap::new();
    for series in range.series.iter().chain(&now.series) {
        if let Some(since) = unbroken(&series.points) {
            let labels = series.labels.without(&ADDED);
            past.entry(labels).and_modify(|known| *known = since.min(*known)).or_insert(since);
        }
    }
    Ok(past)
}

/// The first of the last points that follow each other without a gap.
fn unbroken(points: &[Point]) -> Option<Time> {
    let mut since = points.last()?.at;
    for point in points.iter().rev() {
        if since - point.at > chrono::Duration::from_std(STEP).unwrap_or_default() {
            break;
        }
        since = point.at;
    }
    Some(since)
}
