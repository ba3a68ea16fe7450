//! What one gate has learned in one run: sums, whose size does not grow with the run. Feeding an
//! interval costs the same after a minute and after a week.

use super::{
    burn::{Above, Windows},
    dispersion::Phi,
    limit::{Over, Under},
    odds::{self, Change, Product},
    peers::Peers,
    power::Exposure,
    quantile,
};
use crate::model::{
    interval::{Buckets, Count, Interval},
    spec::{GateSignal, GateSpec},
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};

/// Over how many seconds what is recent fades to a third.
const RECENT: f64 = 60.0;

/// One gate in one run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct GateRun {
    /// When the first interval began.
    pub(super) since: Option<Time>,
    /// When the last one ended.
    pub(super) last: Option<Time>,
    /// Seconds that were counted.
    pub(super) secs: f64,
    /// Intervals that were judged.
    pub(super) intervals: u64,
    /// Counts of the whole run.
    pub(super) candidate: Count,
    pub(super) stable: Count,
    /// Odds of the whole run: never restarted.
    pub(super) odds: Product,
    /// `ln S` of the whole run, likewise: see [`super::decide`].
    #[serde(default)]
    pub(super) ln_safe: f64,
    pub(super) change: Change,
    pub(super) over: Over,
    pub(super) stable_over: Over,
    /// Candidate errors above stable's ratio.
    pub(super) excess: f64,
    /// The odds that it is more than chance gives; only with an `slo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) above: Option<Above>,
    pub(super) exposure: Exposure,
    pub(super) recent: Recent,
    /// Requests that should have reached the candidate since one did.
    pub(super) silence: f64,
    /// Whether the last interval could not be counted.
    #[serde(default)]
    pub(super) refused: bool,
    /// Whether what came last went to instances that were warming up, some of it at least.
    #[serde(default)]
    pub(super) warms: bool,
    /// While the version bakes: stable's counts of the run before, which say what is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alone: Option<Count>,
    /// By what the last interval was divided.
    pub(super) phi: Phi,
    pub(super) step: Step,
    /// What other tools would have seen.
    #[serde(default)]
    pub(super) peers: Peers,
    /// What it burnt of the error budget; only with an `slo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) burnt: Option<Windows>,
}

/// The same since the weight converged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Step {
    pub since: Option<Time>,
    pub candidate: Count,
    pub stable: Count,
    pub odds: Product,
    /// `ln S`: against `r_max`.
    pub ln_safe: f64,
    /// The candidate's while an instance warmed up: shown and not judged.
    #[serde(default)]
    pub warming: Count,
    pub under: Under,
    /// Only for quantiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Box<[Buckets; 2]>>,
}

/// Counts that fade.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    pub candidate: Count,
    pub stable: Count,
    pub secs: f64,
}

impl Recent {
    fn add(&mut self, candidate: Count, stable: Count, secs: f64) {
        let keep = (-secs / RECENT).exp();
        let fade = |old: Count, new: Count| Count::new(old.hits * keep + new.hits, old.of * keep + new.of);
        self.candidate = fade(self.candidate, candidate);
        self.stable = fade(self.stable, stable);
        self.secs = self.secs * keep + secs;
    }

    /// Of candidate and stable, per second.
    pub fn rates(&self) -> (f64, f64) {
        if self.secs > 0.0 { (self.candidate.of / self.secs, self.stable.of / self.secs) } else { (0.0, 0.0) }
    }
}

/// What became of an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fed {
    /// It was judged.
    Judged,
    /// It is counted and shown, and not judged: an instance was warming up.
    Shown,
    /// It cannot be: counts that fell, that are no numbers, or more hits than there were requests.
    Refused,
}

impl GateRun {
    /// Starts counting anew what belongs to one weight: `since` is when it converged.
    pub fn begin_step(&mut self, since: Time) {
        self.step = Step { since: Some(since), ..Step::default() };
    }

    /// Since when what belongs to this weight is counted; `None` before anything was.
    pub(super) fn began(&self) -> Option<Time> {
        self.step.since.or(self.since)
    }

    /// Whether what belongs to one weight began then.
    #[must_use]
    pub fn is_at(&self, since: Time) -> bool {
        self.step.since == Some(since)
    }

    /// From now on the version has all the traffic and nothing beside it. What was compared is settled, by
    /// the judge or by a person, and must not speak for or against it any more: everything starts anew.
    pub fn stand_alone(&mut self) {
        let usual = self.alone.unwrap_or(self.stable);
        let since = self.step.since;
        *self = Self { alone: Some(usual), phi: self.phi, ..Self::default() };
        self.step.since = since;
    }

    /// When the last interval ended: whoever measures goes on from there.
    #[must_use]
    pub const fn last(&self) -> Option<Time> {
        self.last
    }

    /// Takes in an interval that began before the weight converged: it belongs to the run, and says
    /// nothing of this weight.
    pub(super) fn feed_late(&mut self, gate: &GateSpec, interval: &Interval, secs: f64, phi: Phi) -> Fed {
        let step = std::mem::take(&mut self.step);
        let fed = self.feed(gate, interval, secs, phi);
        self.step = step;
        fed
    }

    /// Since when what belongs to this weight is counted.
    #[must_use]
    pub const fn step_since(&self) -> Option<Time> {
        self.step.since
    }

    /// Whether the version has nothing beside it.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Takes in an interval of so many seconds; `phi` is what was known before it.
    pub(super) fn feed(&mut self, gate: &GateSpec, interval: &Interval, secs: f64, phi: Phi) -> Fed {
        let Interval { candidate: c, stable: s, .. } = *interval;
        self.refused = ![c, s].into_iter().all(|count| whole(count, gate.signal));
        if self.refused {
            return Fed::Refused;
        }
        self.since = self.since.or(Some(interval.start));
        self.step.since = self.step.since.or(Some(interval.start));
        let before = self.last.replace(interval.end);
        self.hear(gate.signal, interval);
        if interval.warming && gate.signal.is_latency() {
            self.step.warming += c;
            self.warms = c.of > 0.0;
            return Fed::Shown;
        }
        self.step.warming += interval.warmed;
        self.warms = interval.warmed.of > 0.0;
        let phi = phi.at_least(interval.least_phi);
        self.phi = phi;
        self.intervals += 1;
        self.secs += secs;
        self.candidate += c;
        self.stable += s;
        self.recent.add(c, s, secs);
        self.peers.feed(gate, interval, secs);
        let step = &mut self.step;
        step.candidate += c;
        step.stable += s;
        if let Some(w) = odds::share(c, s) {
            let prices = odds::prices(w);
            let ln = odds::ln_likelihoods(c.hits, s.hits, &prices);
            self.odds.add(&ln, phi.pair);
            let safe = -odds::ln_likelihood(c.hits, s.hits, w, gate.r_max);
            self.change.add(&ln, safe, phi.pair);
            step.odds.add(&ln, phi.pair);
            step.ln_safe += safe / phi.pair;
            self.ln_safe += safe / phi.pair;
            self.exposure.add(c.of, s.of, &prices, phi.pair);
            self.exposure.excuse(c.of, s.of, odds::price(w, gate.r_max), phi.pair);
            self.excess += c.hits - c.of * s.hits / s.of;
            if gate.slo.is_some() {
                self.above.get_or_insert_default().add(c.hits, s.hits, w, &ln, phi.pair);
            }
        } else if let Some((usual, ratio)) = self.alone.and_then(|usual| Some((usual, usual.ratio()?))) {
            self.excess += c.hits - c.of * ratio;
            if gate.slo.is_some() {
                self.above.get_or_insert_default().add_alone(c, usual, phi.alone);
            }
        }
        if let Some(limit) = per_one(gate) {
            self.over.add(c.hits, c.of * limit, phi.alone);
            self.stable_over.add(s.hits, s.of * limit, phi.alone);
            step.under.add(c.hits, c.of * limit, phi.alone);
        }
        if gate.slo.is_some() {
            let gap = before.map_or(0.0, |last| elapsed(interval.start, last).as_secs_f64());
            self.burnt.get_or_insert_default().add(gap, secs, c);
        }
        if let (Some(_), Some(latency)) = (gate.signal.quantile(), &interval.latency) {
            let [own, other] = step.latency.get_or_insert_default().as_mut();
            quantile::merge(own, &latency.candidate);
            quantile::merge(other, &latency.stable);
        }
        Fed::Judged
    }

    /// Notes how many requests should have reached the candidate while none did.
    fn hear(&mut self, signal: GateSignal, interval: &Interval) {
        // Instance-seconds are no requests: an instance that never gets ready restarts and is heard.
        if signal == GateSignal::Restarts || interval.candidate.of + interval.warmed.of > 0.0 {
            self.silence = 0.0;
        } else if let Some(share) = interval.share.filter(|share| (0.0..1.0).contains(share)) {
            self.silence += interval.stable.of * share / (1.0 - share);
        }
    }
}

/// What the limit allows per request or per instance-second.
#[must_use]
pub(super) fn per_one(gate: &GateSpec) -> Option<f64> {
    let limit = gate.limit()?;
    match gate.signal {
        GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts => Some(limit / 100.0),
        GateSignal::Restarts => Some(limit / 3_600.0),
        GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Alerts => None,
    }
}

fn whole(count: Count, signal: GateSignal) -> bool {
    let number = |n: f64| n.is_finite() && (0.0..1e15).contains(&n);
    // A rounding error of a backend that computes differences is no lie.
    let fits = signal == GateSignal::Restarts || count.hits <= count.of * (1.0 + 1e-9);
    number(count.hits) && number(count.of) && fits
}
