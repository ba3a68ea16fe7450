//! An interval instance by instance: how stable's instances differ from each other, and which part of the
//! candidate's requests went to instances that were still warming up.

use super::Side;
use crate::{
    host::meter::Counted,
    judge::quantile,
    model::{
        ident::InstanceId,
        instance::InstanceState,
        interval::{Buckets, Count, Interval, Latency},
        spec::{GateSignal, GateSpec},
        time::{Time, elapsed},
    },
};
use std::time::Duration;

/// What each instance of a version had so far.
pub(super) type Parts = Vec<(InstanceId, Counted)>;

/// What one instance had of an interval.
pub(super) struct Had {
    instance: InstanceId,
    count: Count,
    latencies: Option<Buckets>,
}

/// What each instance had so far of a gate's signal; `None` where they are not told apart for it: nobody
/// counts the time of each for restarts, and errors are told apart by one definition only.
pub(super) fn of(gate: &GateSpec, side: &Side<'_>) -> Option<Parts> {
    let told = match gate.signal {
        GateSignal::Errors => side.meter.counts_as_errors(&gate.errors),
        GateSignal::Slow | GateSignal::Timeouts | GateSignal::P50 | GateSignal::P95 | GateSignal::P99 => true,
        GateSignal::Restarts | GateSignal::Alerts => false,
    };
    told.then(|| side.meter.parts())
}

/// What came between two looks.
pub(super) fn between(gate: &GateSpec, then: &Parts, now: &Parts) -> Vec<Had> {
    let zero = Counted::default();
    let had = |(instance, now): &(InstanceId, Counted)| {
        let then = then.iter().find(|(id, _)| id == instance).map_or(&zero, |(_, then)| then);
        // One that left the table and returned begins anew.
        let then = if now.requests < then.requests { &zero } else { then };
        let of = float(now.requests.saturating_sub(then.requests));
        let hits = float(hits(gate.signal, now).saturating_sub(hits(gate.signal, then)));
        let latencies = gate.signal.quantile().map(|_| now.latencies.since(&then.latencies));
        Had { instance: instance.clone(), count: Count::new(hits.min(of), of), latencies }
    };
    now.iter().map(had).collect()
}

fn hits(signal: GateSignal, counted: &Counted) -> u64 {
    match signal {
        GateSignal::Errors => counted.errors,
        GateSignal::Slow => counted.slow,
        GateSignal::Timeouts => counted.timeouts,
        GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Restarts | GateSignal::Alerts => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53 requests nothing is lost")]
const fn float(n: u64) -> f64 {
    n as f64
}

/// The counts alone.
pub(super) fn counts(parts: Option<Vec<Had>>) -> Vec<Count> {
    parts.into_iter().flatten().map(|had| had.count).filter(|count| count.of > 0.0).collect()
}

/// The instances that were still warming up when an interval began: got ready too short a time before for
/// their latencies to say anything. One that got ready within the interval is.
pub(super) fn warming<'a>(side: &Side<'a>, warmup: Duration, start: Time) -> Vec<&'a InstanceId> {
    let instances = side.status.map(|s| s.instances.as_slice()).unwrap_or_default();
    let warms = instances.iter().filter(|i| i.state == InstanceState::Ready && elapsed(start, i.since) < warmup);
    warms.map(|i| &i.id).collect()
}

/// Takes what went to those instances out of an interval. What is left is judged, and what was taken is
/// shown; `None` where there is nothing to take, or nothing would be left: it is shown as a whole then.
pub(super) fn take_out(interval: &mut Interval, parts: &[Had], warming: &[&InstanceId]) -> Option<Interval> {
    let (mut count, mut latencies) = (Count::default(), Buckets::default());
    for had in parts.iter().filter(|had| warming.contains(&&had.instance)) {
        count += had.count;
        had.latencies.iter().for_each(|more| quantile::merge(&mut latencies, more));
    }
    let left = interval.candidate.of - count.of;
    if left <= 0.0 {
        return None;
    }
    interval.warming = false;
    interval.candidate = Count::new((interval.candidate.hits - count.hits).clamp(0.0, left), left);
    if let Some(Latency { candidate, .. }) = &mut interval.latency {
        candidate.counts.iter_mut().zip(&latencies.counts).for_each(|(all, taken)| *all = (*all - taken).max(0.0));
    }
    let shown = Interval { warming: true, ..Interval::new(interval.start, interval.end, count, Count::default()) };
    (count.of > 0.0).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::super::{Closed, Tally};
    use super::*;
    use crate::{
        conductor::life::PoolId,
        host::{
            instances::PoolStatus,
            meter::{Head, Meter},
        },
        judge::{Fed, Ledger},
        model::{ident::RunId, ident::VersionId, time::after},
    };

    fn gate(signal: &str) -> GateSpec {
        toml::from_str(&format!("name = \"g\"\nsignal = \"{signal}\"\nwarmup = \"30s\"")).unwrap()
    }

    fn pool(version: &str) -> PoolId {
        PoolId { version: VersionId::new(version), generation: 1 }
    }

    fn at(second: u64) -> (Time, Duration) {
        let span = Duration::from_secs(second);
        (after(Time::UNIX_EPOCH, span), span)
    }

    /// Instances `1` and on, by when they got ready.
    fn status(ready: &[u64]) -> PoolStatus {
        let one = |(n, ready): (usize, &u64)| {
            let value = serde_json::json!({ "id": (n + 1).to_string(), "state": InstanceState::Ready, "since": at(*ready).0 });
            serde_json::from_value(value).unwrap()
        };
        PoolStatus {
            id: pool("v42"),
            service: "web".into(),
            desired: 2,
            instances: ready.iter().enumerate().map(one).collect(),
            ready: Vec::new(),
            leaving: Vec::new(),
            trouble: None,
            secrets: None,
        }
    }

    fn answers(meter: &Meter, instance: &str, status: u16, millis: u64, n: u64) {
        let part = meter.part(&InstanceId::new(instance));
        (0..n).for_each(|_| meter.head(Head::Answer { status, latency: Duration::from_millis(millis) }, Some(&part)));
    }

    #[test]
    fn stables_instances_are_told_apart() {
        let (own, other) = (Meter::new(), Meter::new());
        let [candidate, stable] =
            [("v42", &own), ("v41", &other)].map(|(version, meter)| Side { pool: pool(version), meter, status: None });
        let (mut tally, slow) = (Tally::default(), Duration::from_millis(20));
        other.freeze_threshold(slow);
        let mut close = |gate: &GateSpec, second| tally.close(gate, [Some(&candidate), Some(&stable)], Some(slow), None, at(second));
        let gates = ["errors", "slow", "timeouts", "p99", "restarts"]
            .map(|signal| GateSpec { name: crate::model::ident::GateId::new(signal), ..gate(signal) });
        let odd = GateSpec { errors: vec!["418".parse().unwrap()], name: crate::model::ident::GateId::new("odd"), ..gate("errors") };
        answers(&other, "1", 500, 5, 9);
        gates.iter().chain([&odd]).for_each(|gate| assert!(close(gate, 0).is_none()));
        answers(&other, "1", 200, 5, 10);
        answers(&other, "2", 500, 5, 2);
        answers(&other, "2", 200, 30, 3);
        let mut instances = |gate: &GateSpec| close(gate, 10).unwrap().judged.instances;
        let count = |hits, of| Count::new(hits, of);
        assert_eq!(instances(&gates[0]), [count(0.0, 10.0), count(2.0, 5.0)]);
        assert_eq!(instances(&gates[1]), [count(0.0, 10.0), count(3.0, 5.0)]);
        assert_eq!(instances(&gates[2]), [count(0.0, 10.0), count(0.0, 5.0)]);
        assert_eq!(instances(&gates[3]), [count(0.0, 10.0), count(0.0, 5.0)]);
        assert_eq!(instances(&gates[4]), [], "nobody counts the time of each");
        assert_eq!(instances(&odd), [], "its errors are others than those that are counted of each");
        // One whose part was forgotten begins anew.
        for _ in 0..=300 {
            other.tick(at(0).0);
        }
        answers(&other, "2", 200, 5, 4);
        assert_eq!(close(&gates[0], 20).unwrap().judged.instances, [count(0.0, 4.0)]);
    }

    #[test]
    fn only_what_warms_up_is_left_out_of_latencies() {
        let meter = Meter::new();
        let slow = Duration::from_millis(20);
        meter.freeze_threshold(slow);
        let run = |gate: &GateSpec, status: &PoolStatus, warm: u64, cold: u64| -> Closed {
            let side = Side { pool: pool("v42"), meter: &meter, status: Some(status) };
            let mut tally = Tally::default();
            assert!(tally.close(gate, [Some(&side), None], Some(slow), None, at(100)).is_none());
            answers(&meter, "1", 200, 30, cold);
            answers(&meter, "2", 200, 5, warm);
            tally.close(gate, [Some(&side), None], Some(slow), None, at(110)).unwrap()
        };
        // The first got ready ten seconds before, the second long ago.
        let one = status(&[90, 0]);
        let Closed { judged, shown } = run(&gate("slow"), &one, 8, 3);
        assert_eq!((judged.candidate, judged.warming), (Count::new(0.0, 8.0), false));
        assert_eq!(shown.map(|s| (s.candidate, s.stable, s.warming)), Some((Count::new(3.0, 3.0), Count::default(), true)));
        let Closed { judged, shown } = run(&gate("p99"), &one, 8, 3);
        assert_eq!(judged.latency.unwrap().candidate.counts.iter().sum::<f64>(), 8.0);
        assert_eq!((judged.candidate.of, shown.unwrap().candidate.of), (8.0, 3.0));
        // Errors are never masked, and what went to none of them leaves nothing out.
        assert_eq!(run(&gate("errors"), &one, 8, 3).judged.candidate.of, 11.0);
        assert_eq!(run(&gate("slow"), &one, 8, 0).shown, None);
        // With nothing else there is nothing to be judged: silence would be no answer.
        let Closed { judged, shown } = run(&gate("slow"), &one, 0, 3);
        assert_eq!((judged.candidate.of, judged.warming, shown), (3.0, true, None));
        assert!(run(&gate("slow"), &status(&[90, 95]), 8, 3).judged.warming, "all of them warm up");
    }

    #[test]
    fn both_parts_are_fed_and_only_one_is_judged() {
        let interval =
            |of: f64, warming| Interval { warming, ..Interval::new(at(0).0, at(10).0, Count::new(0.0, of), Count::new(0.0, 90.0)) };
        let (mut ledger, g) = (Ledger::default(), gate("slow"));
        ledger.follow(Some(&RunId::new("r")), Some(at(0).0), std::slice::from_ref(&g));
        assert_eq!(ledger.feed(&g, &interval(8.0, false)), Fed::Judged);
        let shown = Interval { stable: Count::default(), ..interval(3.0, true) };
        assert_eq!(ledger.feed(&g, &shown), Fed::Shown);
        assert_eq!(ledger.gate(&g.name).and_then(crate::judge::GateRun::last), Some(at(10).0));
    }
}
