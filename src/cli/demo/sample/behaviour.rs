//! How a version of the sample service behaves: part of its artifact, so that a version is its faults.
//! What is random comes from one seed; what happens at a time happens at that time after the start.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A curve as points `[seconds, value]`, linear between them and flat outside.
pub type Curve = Vec<[f64; 2]>;

/// How a version behaves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Median time to answer, in milliseconds.
    pub median_ms: f64,
    /// Spread of the time to answer: sigma of the logarithm.
    pub spread: f64,
    /// Percent of requests answered with 500, over seconds since the first request.
    pub errors: Curve,
    /// Percent of requests that take ten times as long, likewise.
    pub slow: Curve,
    /// Errors that come several in a row, beside those of `errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bursts: Option<Bursts>,
    /// A cold start: answers take longer at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cold: Option<Cold>,
    /// Seconds before it listens at all.
    pub startup: f64,
    /// It answers its probe with 503, for ever.
    pub never_ready: bool,
    /// Its process ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
    /// Megabytes of memory it takes each second and never gives back.
    pub leak: f64,
    /// A fault that one instance has and its siblings have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sick: Option<Sick>,
    /// Seeds what is random; the instance's port is mixed in.
    pub seed: u64,
}

/// Errors in bursts.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// Percent of requests that fail in bursts, in the long run.
    pub percent: f64,
    /// Requests that a burst has on average; how many is geometric.
    pub length: f64,
}

/// A fault of one instance.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sick {
    /// Its number: a service's instances are numbered from 1, in the order they are first started.
    pub instance: u64,
    /// Percent of its requests answered with 500, beside those of `errors`.
    pub percent: f64,
    /// From so many seconds after its first request on.
    #[serde(default)]
    pub after: f64,
}

/// A cold start.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cold {
    /// How many times as long the first answers take.
    pub times: f64,
    /// Seconds until answers take as long as ever; linear in between.
    pub seconds: f64,
}

/// The end of a process.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Crash {
    /// So many seconds after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
    /// With this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// When it has leaked so many megabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub megabytes: Option<f64>,
    /// Its exit code.
    pub code: u8,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            median_ms: 8.0,
            spread: 0.35,
            errors: Curve::new(),
            slow: Curve::new(),
            bursts: None,
            cold: None,
            startup: 0.0,
            never_ready: false,
            crash: None,
            leak: 0.0,
            sick: None,
            seed: 1,
        }
    }
}

impl Behaviour {
    /// The same, with everything that happens at a time happening so many times sooner.
    #[must_use]
    pub fn faster(mut self, speed: f64) -> Self {
        for [at, _] in self.errors.iter_mut().chain(&mut self.slow) {
            *at /= speed;
        }
        if let Some(cold) = &mut self.cold {
            cold.seconds /= speed;
        }
        if let Some(after) = self.crash.as_mut().and_then(|c| c.after.as_mut()) {
            *after /= speed;
        }
        if let Some(sick) = &mut self.sick {
            sick.after /= speed;
        }
        self.startup /= speed;
        self.leak *= speed;
        self
    }
}

impl Behaviour {
    /// The same as this instance has it: the fault of another one is not its own.
    #[must_use]
    pub fn of(mut self, instance: Option<u64>) -> Self {
        self.sick = self.sick.filter(|sick| Some(sick.instance) == instance);
        self
    }
}

/// The value of a curve; 0 without points.
#[must_use]
pub fn at(points: &[[f64; 2]], at: f64) -> f64 {
    let mut before: Option<[f64; 2]> = None;
    for &[t, value] in points {
        if at < t {
            return match before {
                Some([t0, v0]) if t > t0 => v0 + (value - v0) * (at - t0) / (t - t0),
                _ => value,
            };
        }
        before = Some([t, value]);
    }
    before.map_or(0.0, |[_, value]| value)
}

/// What becomes of requests, one after another.
pub struct Dice {
    behaviour: Behaviour,
    random: StdRng,
    /// Whether a burst goes on.
    burst: bool,
}

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fate {
    /// It is answered after this.
    pub wait: Duration,
    /// With an error.
    pub fails: bool,
}

impl Dice {
    /// Dice for an instance.
    #[must_use]
    pub fn new(behaviour: Behaviour, instance: u16) -> Self {
        let random = StdRng::seed_from_u64(behaviour.seed ^ u64::from(instance));
        Self { behaviour, random, burst: false }
    }

    /// The next request: so many seconds after the first one, and after the start.
    pub fn next(&mut self, since_first: f64, since_start: f64) -> Fate {
        let b = &self.behaviour;
        let mut wait = LogNormal::new(b.median_ms.max(0.1).ln(), b.spread).map_or(b.median_ms, |d| d.sample(&mut self.random));
        let mut happens = |percent: f64| self.random.random::<f64>() * 100.0 < percent;
        if happens(at(&b.slow, since_first)) {
            wait *= 10.0;
        }
        if let Some(cold) = b.cold {
            wait *= at(&[[0.0, cold.times], [cold.seconds, 1.0]], since_start);
        }
        let mut fails = happens(at(&b.errors, since_first));
        if let Some(sick) = b.sick.filter(|sick| since_first >= sick.after) {
            fails |= happens(sick.percent);
        }
        if let Some(bursts) = b.bursts {
            // Two states: a burst ends with 1 in `length`, and begins so often that `percent` is what it makes.
            let (length, part) = (bursts.length.max(1.0), bursts.percent / 100.0);
            let begins = part / (length * (1.0 - part));
            self.burst = happens(100.0 * if self.burst { 1.0 - 1.0 / length } else { begins });
            fails |= self.burst;
        }
        Fate { wait: Duration::from_secs_f64(wait / 1_000.0), fails }
    }
}

#[cfg(test)]
mod tests {
    use super::{Behaviour, Bursts, Cold, Dice, Sick, at};

    #[test]
    fn curves_are_linear_between_points_and_flat_outside() {
        let points = [[10.0, 0.0], [20.0, 4.0]];
        for (t, value) in [(0.0, 0.0), (10.0, 0.0), (15.0, 2.0), (20.0, 4.0), (99.0, 4.0)] {
            assert!((at(&points, t) - value).abs() < 1e-9, "{t}");
        }
        assert!(at(&[], 5.0).abs() < 1e-9);
    }

    fn fates(behaviour: &Behaviour, n: usize) -> Vec<bool> {
        let mut dice = Dice::new(behaviour.clone(), 4_000);
        (0..n).map(|_| dice.next(0.0, 0.0).fails).collect()
    }

    #[test]
    fn the_seed_decides() {
        let one = Behaviour { errors: vec![[0.0, 20.0]], ..Behaviour::default() };
        assert_eq!(fates(&one, 500), fates(&one, 500));
        assert_ne!(fates(&one, 500), fates(&Behaviour { seed: 2, ..one.clone() }, 500));
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    fn bursts_have_their_share_and_their_length() {
        let bursty = Behaviour { bursts: Some(Bursts { percent: 2.0, length: 8.0 }), ..Behaviour::default() };
        let fates = fates(&bursty, 200_000);
        let failed = fates.iter().filter(|f| **f).count() as f64;
        let bursts = fates.windows(2).filter(|w| !w[0] && w[1]).count() as f64;
        assert!((failed / 200_000.0 - 0.02).abs() < 0.004, "{failed}");
        assert!((failed / bursts - 8.0).abs() < 1.0, "{failed} in {bursts}");
    }

    #[test]
    fn a_fault_of_one_instance_is_only_its_own() {
        let sick = Behaviour { sick: Some(Sick { instance: 5, percent: 30.0, after: 0.0 }), ..Behaviour::default() };
        let failed = |instance| fates(&sick.clone().of(instance), 1_000).iter().filter(|fails| **fails).count();
        assert_eq!((failed(Some(4)), failed(None)), (0, 0));
        assert!((250..350).contains(&failed(Some(5))), "{}", failed(Some(5)));
    }

    #[test]
    fn a_cold_start_wears_off() {
        let cold = Behaviour { spread: 0.0, cold: Some(Cold { times: 21.0, seconds: 10.0 }), ..Behaviour::default() };
        let mut dice = Dice::new(cold.clone().faster(2.0), 1);
        let mut ms = |t: f64| dice.next(t, t).wait.as_secs_f64() * 1_000.0;
        for (t, expected) in [(0.0, 168.0), (2.5, 88.0), (5.0, 8.0), (60.0, 8.0)] {
            assert!((ms(t) - expected).abs() < 0.01, "{t}: {}", ms(t));
        }
    }
}
