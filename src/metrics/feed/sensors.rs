//! How far each series can be trusted now.

use super::{
    CANDIDATE, Pace, STABLE, arm_of, noted,
    recent::{Recent, disagree},
    source::Source,
    who,
};
use crate::{
    metrics::{
        TOGETHER,
        preset::{Queries, What},
    },
    model::{
        gate::Arm,
        interval::{Sensor, SensorState},
        spec::{GateSignal, GateSpec},
        text::Text,
        time::{Time, elapsed},
    },
};
use std::collections::BTreeMap;

/// With fewer requests expected, none says nothing.
const EXPECTED: f64 = 10.0;

/// What is said of a query without series, and what to do.
const NOTHING: &str = "no series, cutover doctor says why";

/// What sensors are told from.
pub struct View<'a> {
    pub queries: &'a Queries,
    pub sources: &'a [BTreeMap<What, Source>; 2],
    pub recent: &'a [Recent; 2],
    pub pace: Pace,
    /// What the candidate should have, parts of one.
    pub share: Option<f64>,
    /// Whether each of them should have series by now.
    pub expected: [bool; 2],
    /// From where on a request is slow, in milliseconds, once that is frozen.
    pub slow: Option<f64>,
}

impl View<'_> {
    /// The sensors that a gate needs of one version.
    pub fn of_gate(&self, gate: &GateSpec, arm: usize, now: Time) -> Vec<Sensor> {
        let (hits, of) = self.queries.needs(gate);
        let mut all = vec![self.of_query(of, arm, now)];
        if hits != of {
            all.push(self.of_query(hits, arm, now));
        }
        if gate.signal == GateSignal::Errors
            && hits == of
            && let Some(source) = self.source(of, arm)
            && source.is_there()
            && !source.is_coded()
        {
            let name = format!("status of {}", who(arm));
            let label = self.queries.code_label.as_deref().or(self.queries.grpc_label.as_deref()).unwrap_or_default();
            let why = format!("requests have no readable label {label}").into();
            all.push(Sensor { name: noted(&name, Some(&why)), arm: arm_of(arm), state: SensorState::Absent, age: None, required: true });
        }
        if gate.signal == GateSignal::Slow
            && let Some(slow) = self.slow
            && self.source(What::Latency, arm).is_some_and(|source| source.cannot_tell_slow(slow))
        {
            let why = format!("none of its buckets ends at {slow} ms, stable's p99: how many are slower is not known").into();
            let name = noted(&format!("buckets of {}", who(arm)), Some(&why));
            all.push(Sensor { name, arm: arm_of(arm), state: SensorState::Absent, age: None, required: true });
        }
        all.extend(self.queries.beside(gate).iter().filter_map(|beside| self.beside(*beside, arm, now)));
        if gate.signal == GateSignal::Errors && self.source(What::ServiceErrors, arm).is_some_and(Source::is_there) {
            all.push(self.second(arm, now));
        }
        all
    }

    fn source(&self, what: What, arm: usize) -> Option<&Source> {
        self.sources.get(arm)?.get(&what)
    }

    fn of_query(&self, what: What, arm: usize, now: Time) -> Sensor {
        let name = format!("{} of {}", what.name(), who(arm));
        let sensor = |state, age, why| Sensor { name: noted(&name, why), arm: arm_of(arm), state, age, required: true };
        let Some(source) = self.source(what, arm) else { return sensor(SensorState::Absent, None, None) };
        if source.is_together() {
            let why = TOGETHER.into();
            return sensor(SensorState::Absent, None, Some(&why));
        }
        let partly = source.coverage(self.pace).filter(|c| c.fresh < c.all).map(|c| format!("{} of {} targets", c.fresh, c.all));
        let why = match (partly, source.trouble()) {
            (Some(partly), Some(trouble)) => Some(format!("{partly}; {trouble}").into()),
            (partly, trouble) => partly.map(Into::into).or_else(|| trouble.cloned()),
        };
        let why = why.as_ref();
        let never = source.newest().is_none() || source.never_answered();
        if source.is_there() || !never {
            let age = source.sampled(self.pace).map(|sampled| elapsed(now, sampled));
            return match age {
                Some(age) if age > self.pace.stale_after() => sensor(SensorState::Stale, Some(age), why),
                Some(_) if what == What::Requests && arm == CANDIDATE && self.is_passed_by(now) => {
                    sensor(SensorState::ZeroTraffic, age, why)
                }
                Some(_) => sensor(SensorState::Fresh, age, why),
                None => sensor(SensorState::Stale, None, why),
            };
        }
        // All that was sent to a candidate may have failed to reach it. Stable, which is seen already, is blind then.
        if what == What::Requests && arm == CANDIDATE {
            let beside = What::BESIDE.into_iter().filter_map(|beside| self.source(beside, arm)).filter(|s| s.is_there());
            if let Some(age) = beside.filter_map(|s| s.sampled(self.pace)).max().map(|sampled| elapsed(now, sampled)) {
                let state = if age > self.pace.stale_after() { SensorState::Stale } else { SensorState::Fresh };
                return sensor(state, Some(age), why.or(Some(&"none reached an instance".into())));
            }
        }
        // No series of the same metric with that label value: none was counted.
        if self.queries.may_be_zero(what) && what != What::Requests {
            let requests = self.of_query(What::Requests, arm, now);
            return Sensor { name: noted(&name, why), ..requests };
        }
        let nothing = self.finds_nothing(what, arm).then(|| format!("query `{}`: {NOTHING}", what.name()).into());
        sensor(SensorState::Absent, None, why.or(nothing.as_ref()))
    }

    /// That a query that is needed finds no series, in a line; `None` where it does, or where nothing means zero.
    pub fn unfound(&self, what: What, arm: usize) -> Option<Text> {
        let is_needed = what == What::Requests || !self.queries.may_be_zero(what);
        let name = what.name();
        (is_needed && self.finds_nothing(what, arm)).then(|| format!("query `{name}` of {}: {NOTHING}", who(arm)).into())
    }

    /// Whether a query was answered, and there was never a series though there should be by now.
    fn finds_nothing(&self, what: What, arm: usize) -> bool {
        let expected = self.expected.get(arm).copied().unwrap_or_default();
        expected && self.source(what, arm).is_some_and(|source| !source.is_together() && source.finds_nothing())
    }

    /// What is counted beside requests: none is as good as any, but it must be answered.
    fn beside(&self, what: What, arm: usize, now: Time) -> Option<Sensor> {
        let source = self.source(what, arm).filter(|source| !source.is_together())?;
        let trouble = source.trouble()?;
        let name = format!("{} of {}", what.name(), who(arm));
        let age = source.reached().map(|reached| elapsed(now, reached));
        let state = match age {
            None => SensorState::Absent,
            Some(age) if age > self.pace.stale_after() => SensorState::Stale,
            Some(_) => SensorState::Fresh,
        };
        Some(Sensor { name: noted(&name, Some(trouble)), arm: arm_of(arm), state, age, required: true })
    }

    /// Whether the candidate should have had requests, and had none.
    fn is_passed_by(&self, now: Time) -> bool {
        let Some(share) = self.share.filter(|share| (0.0..1.0).contains(share)) else { return false };
        let [own, other] = [CANDIDATE, STABLE].map(|arm| {
            let newest = self.source(What::Requests, arm).and_then(Source::newest).filter(|newest| *newest <= now);
            newest.zip(self.recent.get(arm)).map(|(newest, recent)| recent.sum(newest, self.pace).0.requests)
        });
        own.is_some_and(|own| own <= 0.0) && other.is_some_and(|other| other * share / (1.0 - share) >= EXPECTED)
    }

    /// The service beside its proxy.
    fn second(&self, arm: usize, now: Time) -> Sensor {
        let newest = self.source(What::ServiceErrors, arm).and_then(Source::newest);
        let sum = newest.zip(self.recent.get(arm)).map(|(newest, recent)| recent.sum(newest, self.pace).0).unwrap_or_default();
        let seen = sum.errors;
        let age = newest.map(|at| elapsed(now, at));
        let state = match age {
            // What it said once contradicts nothing: the gate goes on without it, and it is said.
            None => SensorState::Absent,
            Some(age) if age > self.pace.stale_after() => SensorState::Stale,
            Some(_) if disagree(seen, sum.service_errors) => SensorState::Contradictory,
            Some(_) => SensorState::Fresh,
        };
        let required = matches!(state, SensorState::Fresh | SensorState::Contradictory);
        let why = format!("proxy {seen:.0}, service {:.0}", sum.service_errors);
        let said = (state == SensorState::Contradictory).then(|| why.into());
        let name = format!("errors of {}", if required { who(arm).to_owned() } else { format!("{} as its service counts", who(arm)) });
        Sensor { name: noted(&name, said.as_ref()), arm: arm_of(arm), state, age, required }
    }
}

/// What is slow has to be known first.
pub fn threshold(known: bool) -> Sensor {
    let state = if known { SensorState::Fresh } else { SensorState::Absent };
    Sensor { name: "stable's p99".into(), arm: Arm::Stable, state, age: None, required: true }
}
