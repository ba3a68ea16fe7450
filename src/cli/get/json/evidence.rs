//! What a gate's verdict rests on: the same numbers that the evidence panel draws.

use super::{At, ms};
use crate::model::{
    gate,
    interval::{Query as Asked, Sensor as Sensed, SensorState},
    signal::Sample,
};
use schemars::JsonSchema;
use serde::Serialize;

/// What a verdict rests on. Odds are parts to one: 38 means 38:1.
#[derive(Serialize, JsonSchema)]
pub struct Evidence {
    /// The candidate's, since this weight converged.
    candidate: Counted,
    /// Stable's, since this weight converged.
    stable: Counted,
    /// Since when those two are counted.
    since: At,
    /// The candidate's, of the whole run.
    run_candidate: Counted,
    /// Stable's, of the whole run.
    run_stable: Counted,
    /// Since when the run is judged.
    run_since: At,
    /// Percent between which the candidate's share lies, at all times at once in 95 of 100 runs.
    between: Option<[f64; 2]>,
    /// What the candidate must stay under: percent; restarts per instance and hour; milliseconds.
    limit: Option<f64>,
    /// Milliseconds from which on a request is slow; only for gates over slow requests.
    slow_over: Option<f64>,
    /// As how many times stable's ratio the candidate must be shown not to be.
    r_max: f64,
    /// Odds that the candidate is worse, of the whole run.
    odds: f64,
    /// The same of this weight alone.
    step_odds: f64,
    /// How far the change detector is.
    change: f64,
    /// Odds that the candidate is not `r_max` times as bad as stable.
    safe: f64,
    /// The same of the whole run: from `lines.pass` on, `odds` over their line do not fail.
    safe_run: f64,
    /// The same since the change that the detector sees.
    safe_since: f64,
    /// Odds that the candidate is over the limit.
    over: f64,
    /// Odds that stable is over the limit.
    stable_over: f64,
    /// The candidate over the limit by the change detector.
    over_change: f64,
    /// Stable over the limit by the change detector.
    stable_over_change: f64,
    /// Odds that the candidate is under the limit.
    under: f64,
    /// Dispersion of stable's errors, by which all evidence is divided: 1 is independent errors.
    phi: f64,
    /// The same for what is held to the limit.
    phi_limit: f64,
    /// The candidate's while an instance warmed up: not judged; `null` where nothing was.
    warming: Option<Counted>,
    /// How long after an instance got ready that is.
    warmup_ms: u64,
    /// What the odds are held to.
    lines: Lines,
    /// Which of them makes the verdict or holds the plan: `worse` are `odds`, `late` is `over_change`, `budget`
    /// is the burn's `above`, the others have their own names. `null` where none has reached its line.
    #[schemars(extend("enum" = ["worse", "change", "over", "late", "budget", "safe", "under", null]))]
    decided_by: Option<&'static str>,
    /// Intervals judged in this run.
    intervals: u64,
    /// Age of the newest sample that was judged; a sensor says that of its query.
    age_ms: u64,
    /// Whether the plan must not go on by itself although nothing has failed.
    holds: bool,
    /// Candidate requests missing to a decision.
    missing: Option<u64>,
    /// When they will be there at this traffic.
    eta_ms: Option<u64>,
    /// What could be seen with this traffic.
    power: Option<Power>,
    /// How fast the error budget burns.
    burn: Option<Burn>,
    /// The quantile of the latency, of gates over one.
    quantile: Option<Quantile>,
    /// How far its series can be trusted.
    sensors: Vec<Sensor>,
    /// What was asked of a metrics backend; empty where the host counts itself.
    queries: Vec<Query>,
    /// What other tools' rules would say of the same numbers; they decide nothing.
    peers: Vec<Peer>,
}

/// What was counted or measured of a version.
#[derive(Serialize, JsonSchema)]
struct Counted {
    /// Those that count; `null` for a quantile.
    hits: Option<f64>,
    /// All of them: requests, instance-seconds, latencies.
    of: f64,
    /// The quantile in milliseconds; `null` for counts, and where only `at_least` is known.
    value: Option<f64>,
    /// What a quantile in the last bucket is no less than, in milliseconds.
    at_least: Option<f64>,
}

/// What odds are held to.
#[derive(Serialize, JsonSchema)]
struct Lines {
    /// `odds`, `over` and `stable_over` fail from here on.
    fail: f64,
    /// `change` fails from here on.
    change: f64,
    /// `odds` hold the plan from here on.
    worse: f64,
    /// `safe` and `under` pass from here on.
    pass: f64,
}

/// What the judge could see, and when it could see more.
#[derive(Serialize, JsonSchema)]
struct Power {
    /// The smallest ratio to stable that would have been seen by now: held where it is shown to be within `r_max`,
    /// failed otherwise.
    sees: Option<f64>,
    /// The smallest that would have failed the gate: from `sees` up to here it is held.
    fails: Option<f64>,
    /// A smaller one that would be seen later.
    soon: Option<Soon>,
    /// The smallest weight at which a healthy candidate would pass in a given time.
    decides: Option<Decides>,
    /// In one line.
    text: String,
}

/// A ratio and when it would be seen.
#[derive(Serialize, JsonSchema)]
struct Soon {
    /// Candidate to stable.
    ratio: f64,
    /// From now, at this traffic.
    within_ms: u64,
}

/// A weight and how soon it would decide.
#[derive(Serialize, JsonSchema)]
struct Decides {
    /// Percent.
    weight: f64,
    /// From its convergence.
    within_ms: u64,
}

/// How fast the error budget is spent: 1 spends it in exactly its 30 days.
#[derive(Serialize, JsonSchema)]
struct Burn {
    /// Percent of requests that must be good.
    slo: f64,
    /// Burn rate of the candidate over the last hour.
    candidate: Option<f64>,
    /// Of stable.
    stable: Option<f64>,
    /// What the candidate's part of the traffic burns of the whole service's budget.
    blast: Option<f64>,
    /// Alerts that the candidate's own requests would raise.
    alerts: Vec<String>,
    /// Alerts that stable's own requests raise, with what came before the run.
    stable_alerts: Vec<String>,
    /// Percent of the 30 days' budget that this run has spent.
    spent: Option<f64>,
    /// Odds that this is more than chance gives; below the line `worse` a spent budget stops nothing.
    above: f64,
    /// Percent that one run may spend.
    budget: f64,
}

/// A quantile of both versions.
#[derive(Serialize, JsonSchema)]
struct Quantile {
    /// Which: 0.5, 0.95, 0.99.
    q: f64,
    /// The candidate's.
    candidate: Bounds,
    /// Stable's.
    stable: Bounds,
    /// Sequential p-value of the two being equal.
    p: f64,
}

/// Between which milliseconds a quantile lies.
#[derive(Serialize, JsonSchema)]
struct Bounds {
    /// At least this.
    low: f64,
    /// At most this; `null` in the last bucket.
    high: Option<f64>,
    /// Latencies it rests on.
    n: f64,
}

/// How far a series can be trusted.
#[derive(Serialize, JsonSchema)]
struct Sensor {
    /// What is measured, and where.
    name: String,
    /// Of which version.
    #[schemars(extend("enum" = ["candidate", "stable", "both"]))]
    arm: &'static str,
    /// Its state.
    #[schemars(extend("enum" = ["fresh", "stale", "absent", "zero_traffic", "contradictory"]))]
    state: &'static str,
    /// How old its newest sample is.
    age_ms: Option<u64>,
    /// Whether the gate cannot be judged without it.
    required: bool,
}

/// A question that was asked of a metrics backend.
#[derive(Serialize, JsonSchema)]
struct Query {
    /// What it asks for.
    name: String,
    /// As it was sent.
    text: String,
    /// The time it was evaluated for.
    at: At,
    /// What the backend warned of: the answer is partial.
    warnings: Vec<String>,
    /// What the backend remarked of the query; the answer is whole.
    infos: Vec<String>,
}

/// What another tool's rule would say.
#[derive(Serialize, JsonSchema)]
struct Peer {
    /// Which tool.
    name: String,
    /// What it would do.
    word: String,
    /// Why, and which settings are assumed, in one line.
    why: String,
}

impl Evidence {
    /// Of a version that has all the traffic: it is judged in the candidate's place, and is stable.
    pub fn of_stable(e: &gate::Evidence) -> Self {
        let other = gate::Evidence::default();
        let burn =
            e.burn.clone().map(|b| gate::Burn { candidate: None, stable: b.candidate, alerts: Vec::new(), stable_alerts: b.alerts, ..b });
        let of = |arm| if arm == gate::Arm::Candidate { gate::Arm::Stable } else { arm };
        Self::from(&gate::Evidence {
            candidate: other.candidate,
            stable: e.candidate,
            run_candidate: other.run_candidate,
            run_stable: e.run_candidate,
            over: other.over,
            stable_over: e.over,
            over_change: other.over_change,
            stable_over_change: e.over_change,
            burn,
            quantile: e.quantile.clone().map(|q| gate::Quantile { candidate: gate::Bounds::default(), stable: q.candidate, ..q }),
            sensors: e.sensors.iter().map(|s| Sensed { arm: of(s.arm), ..s.clone() }).collect(),
            ..e.clone()
        })
    }
}

impl From<&gate::Evidence> for Evidence {
    fn from(e: &gate::Evidence) -> Self {
        let lines = e.lines;
        Self {
            candidate: Counted::from(&e.candidate),
            stable: Counted::from(&e.stable),
            since: At(e.since),
            run_candidate: Counted::from(&e.run_candidate),
            run_stable: Counted::from(&e.run_stable),
            run_since: At(e.run_since),
            between: e.between,
            limit: e.limit,
            slow_over: e.slow_over,
            r_max: e.r_max,
            odds: e.odds,
            step_odds: e.step_odds,
            change: e.change,
            safe: e.safe,
            safe_run: e.safe_run,
            safe_since: e.safe_since,
            over: e.over,
            stable_over: e.stable_over,
            over_change: e.over_change,
            stable_over_change: e.stable_over_change,
            under: e.under,
            phi: e.phi,
            phi_limit: e.phi_limit,
            warming: e.warming.as_ref().map(Counted::from),
            warmup_ms: ms(e.warmup),
            lines: Lines { fail: lines.fail, change: lines.change, worse: lines.worse, pass: lines.pass },
            decided_by: e.decided_by.map(gate::Decider::word),
            intervals: e.intervals,
            age_ms: ms(e.age),
            holds: e.holds,
            missing: e.missing,
            eta_ms: e.eta.map(ms),
            power: e.power.as_ref().map(Power::from),
            burn: e.burn.as_ref().map(Burn::from),
            quantile: e.quantile.as_ref().map(Quantile::from),
            sensors: e.sensors.iter().map(Sensor::from).collect(),
            queries: e.queries.iter().map(Query::from).collect(),
            peers: e.peers.iter().map(Peer::from).collect(),
        }
    }
}

impl From<&Sample> for Counted {
    fn from(sample: &Sample) -> Self {
        match *sample {
            Sample::Counts { hits, of } => Self { hits: Some(hits), of, value: None, at_least: None },
            #[expect(clippy::cast_precision_loss, reason = "a number of latencies")]
            Sample::Gauge { n, .. } | Sample::Floor { n, .. } => {
                Self { hits: None, of: n as f64, value: sample.value(), at_least: sample.at_least() }
            }
        }
    }
}

impl From<&gate::Power> for Power {
    fn from(p: &gate::Power) -> Self {
        Self {
            sees: p.sees,
            fails: p.fails,
            soon: p.soon.map(|s| Soon { ratio: s.ratio, within_ms: ms(s.within) }),
            decides: p.decides.map(|d| Decides { weight: d.weight, within_ms: ms(d.within) }),
            text: p.text.to_string(),
        }
    }
}

impl From<&gate::Burn> for Burn {
    fn from(b: &gate::Burn) -> Self {
        Self {
            slo: b.slo,
            candidate: b.candidate,
            stable: b.stable,
            blast: b.blast,
            alerts: b.alerts.iter().map(ToString::to_string).collect(),
            stable_alerts: b.stable_alerts.iter().map(ToString::to_string).collect(),
            spent: b.spent,
            above: b.above,
            budget: b.budget,
        }
    }
}

impl From<&gate::Quantile> for Quantile {
    fn from(q: &gate::Quantile) -> Self {
        let bounds = |b: gate::Bounds| Bounds { low: b.low, high: b.high, n: b.n };
        Self { q: q.q, candidate: bounds(q.candidate), stable: bounds(q.stable), p: q.p }
    }
}

impl From<&Sensed> for Sensor {
    fn from(s: &Sensed) -> Self {
        let arm = match s.arm {
            gate::Arm::Candidate => "candidate",
            gate::Arm::Stable => "stable",
            gate::Arm::Both => "both",
        };
        let state = match s.state {
            SensorState::Fresh => "fresh",
            SensorState::Stale => "stale",
            SensorState::Absent => "absent",
            SensorState::ZeroTraffic => "zero_traffic",
            SensorState::Contradictory => "contradictory",
        };
        Self { name: s.name.to_string(), arm, state, age_ms: s.age.map(ms), required: s.required }
    }
}

impl From<&Asked> for Query {
    fn from(q: &Asked) -> Self {
        let all = |said: &[crate::model::text::Text]| said.iter().map(ToString::to_string).collect();
        Self { name: q.name.to_string(), text: q.text.to_string(), at: At(q.at), warnings: all(&q.warnings), infos: all(&q.infos) }
    }
}

impl From<&gate::Peer> for Peer {
    fn from(p: &gate::Peer) -> Self {
        Self { name: p.name.to_string(), word: p.word.to_string(), why: p.why.to_string() }
    }
}
