//! A decision in words, and the evidence beside it. Made only for what is told; deciding needs none of it.

use super::{
    burn,
    decide::Decision,
    mixture, power,
    quantile::measured,
    run::{GateRun, per_one},
    words,
};
use crate::model::{
    gate::{Arm, Burn, Decider, Decides, Evidence, Lines, Power, Soon, Verdict},
    interval::{Count, Sensor},
    signal::Sample,
    spec::{GateSignal, GateSpec},
    text::Text,
    time::{Time, elapsed},
};
use std::time::Duration;

/// A weight is proposed that decides within this.
const WITHIN: Duration = Duration::from_secs(600);

/// From these odds on, parts to one, it is said that a candidate looks worse: of good ones at most a third ever do.
const LEANS: f64 = 3.0;

/// Of requests that are shown and no evidence.
const UNJUDGED: &str = "not judged while instances warm up";

/// What a healthy candidate lacks to pass.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Missing {
    /// Requests of the candidate.
    requests: Option<f64>,
    /// Seconds.
    secs: Option<f64>,
}

/// A wait of which nobody knows how long it takes.
fn hold(missing: String) -> Verdict {
    Verdict::Wait { missing: missing.into(), eta: None }
}

/// A gate's rule in words: `not 3x stable, or under 5 %`.
#[must_use]
pub fn rule_text(gate: &GateSpec) -> Text {
    if gate.signal == GateSignal::Alerts {
        return "no alert that began after the run".into();
    }
    let limit = gate.limit().map(|limit| format!("{}{}", words::plain(limit), unit(gate)));
    if gate.signal.quantile().is_some() {
        let limit = limit.map(|limit| format!(", under {limit}")).unwrap_or_default();
        return format!("not above stable{limit}").into();
    }
    let limit = limit.map(|limit| format!(", or under {limit}")).unwrap_or_default();
    format!("not {}x stable{limit}", words::plain(gate.r_max)).into()
}

impl GateRun {
    /// The verdict's words.
    pub(super) fn verdict(&self, gate: &GateSpec, lines: &Lines, decision: Decision, sensors: &[Sensor]) -> Verdict {
        let fail = |who, why: String| Verdict::Fail { who, why: why.into() };
        let n = words::sum(self.candidate.of);
        match decision {
            Decision::Blind(place) => Verdict::Blind { why: blind(place.and_then(|i| sensors.get(i))) },
            Decision::Refused => {
                Verdict::Blind { why: "the last counts cannot be: more hits than requests, or none that are numbers".into() }
            }
            Decision::Silent => Verdict::Blind { why: "no requests reach the canary".into() },
            Decision::Worse => {
                fail(Arm::Candidate, format!("{} (n {n}), worse {}", self.apart(gate, false), words::odds(self.odds.ln_odds())))
            }
            Decision::Changed => {
                fail(Arm::Candidate, format!("{} of late, change {}", self.apart(gate, true), words::odds(self.change.ln_odds())))
            }
            Decision::Both if gate.signal.quantile().is_some() => fail(Arm::Both, format!("both over {}", limit_text(gate))),
            Decision::Both => fail(Arm::Both, format!("both {} (n {n})", self.over_limit(gate, true))),
            Decision::Limit if gate.signal.quantile().is_some() => fail(Arm::Candidate, format!("over {}", limit_text(gate))),
            Decision::Limit => {
                let over = self.over_odds(self.over.ln_odds() >= lines.fail.ln());
                fail(Arm::Candidate, format!("{} (n {n}), {over}", self.over_limit(gate, false)))
            }
            Decision::Budget => {
                let (spent, budget) = words::beside(self.spent(gate).unwrap_or_default() * 100.0, gate.budget);
                fail(Arm::Candidate, format!("{spent} % of the month's budget spent, {budget} allowed"))
            }
            Decision::Suspect => hold(format!("worse {}, fails at {}:1", words::odds(self.odds.ln_odds()), words::plain(lines.fail))),
            Decision::Within => {
                let by = self.decided_by(lines, decision);
                let odds = if by == Some(Decider::Change) { self.change.ln_odds() } else { self.odds.ln_odds() };
                let safe = if self.is_within(lines) { self.ln_safe } else { self.change.ln_since() };
                let word = by.map(Decider::word).unwrap_or_default();
                hold(format!("{word} {}, but within {}x ({})", words::odds(odds), words::plain(gate.r_max), words::odds(safe)))
            }
            Decision::Safe => {
                pass(format!("not {}x stable, {} (n {})", words::plain(gate.r_max), words::odds(self.step.ln_safe), self.step_n()))
            }
            Decision::Under => pass(
                format!("under {}, {} (n {})", limit_text(gate), words::odds(self.step.under.ln_odds()), self.step_n())
                    + self.beside_nothing(),
            ),
            Decision::Slower => fail(Arm::Candidate, self.quantile_text(gate)),
            Decision::Alike => pass(self.quantile_text(gate)),
            Decision::Open => self.open(gate, lines),
        }
    }

    /// Which odds make a decision what it is.
    fn decided_by(&self, lines: &Lines, decision: Decision) -> Option<Decider> {
        let run = |over: &super::limit::Over| over.ln_odds() >= lines.fail.ln();
        let over = |by_run: bool| if by_run { Decider::Over } else { Decider::Late };
        match decision {
            Decision::Worse | Decision::Suspect => Some(Decider::Worse),
            Decision::Changed => Some(Decider::Change),
            Decision::Within => Some(if self.odds.ln_odds() >= lines.fail.ln() { Decider::Worse } else { Decider::Change }),
            Decision::Limit => Some(over(run(&self.over))),
            Decision::Both => Some(over(run(&self.over) && run(&self.stable_over))),
            Decision::Budget => Some(Decider::Budget),
            Decision::Safe => Some(Decider::Safe),
            Decision::Under => Some(Decider::Under),
            Decision::Blind(_) | Decision::Refused | Decision::Silent | Decision::Slower | Decision::Alike | Decision::Open => None,
        }
    }

    /// Whether the run looks worse and has shown to be within `r_max`: that excuses a change too.
    fn is_within(&self, lines: &Lines) -> bool {
        self.odds.ln_odds() >= lines.worse.ln() && self.ln_safe >= lines.pass.ln()
    }

    /// The odds that it is over the limit, of the run or of late, each by its own name.
    fn over_odds(&self, by_run: bool) -> String {
        if by_run {
            format!("over the limit {}", words::odds(self.over.ln_odds()))
        } else {
            format!("over the limit of late {}", words::odds(self.over.ln_change()))
        }
    }

    /// What a line ends with while a version bakes.
    const fn beside_nothing(&self) -> &'static str {
        if self.is_alone() { ", alone: no stable beside it" } else { "" }
    }

    /// Whether all that came at this weight went to instances that were warming up, and the last of it too.
    fn is_warming(&self) -> bool {
        self.warms && self.step.candidate.of <= 0.0
    }

    fn step_n(&self) -> String {
        words::sum(self.step.candidate.of)
    }

    /// What is still missing, in words.
    fn open(&self, gate: &GateSpec, lines: &Lines) -> Verdict {
        let missing = self.missing(gate, lines);
        let text = match missing.requests {
            _ if gate.signal.quantile().is_some() && self.is_warming() => format!("latencies {UNJUDGED}"),
            _ if gate.signal.quantile().is_some() => self.quantile_text(gate),
            None if self.is_warming() => format!("requests {UNJUDGED}"),
            Some(more) if self.is_warming() => format!("{} more requests, {UNJUDGED}", words::sum(more.ceil())),
            Some(_) | None if self.step.candidate.of <= 0.0 && missing.requests.is_none() => "no traffic yet".into(),
            Some(more) if gate.signal == GateSignal::Restarts => format!("{} more instance-minutes", words::sum((more / 60.0).ceil())),
            Some(more) if self.step.candidate.of <= 0.0 => format!("{} more requests, none counted yet", words::sum(more.ceil())),
            Some(more) => format!("{} more requests", words::sum(more.ceil())),
            None if self.is_alone() => format!(
                "{}{}: neither shown under nor over {}",
                words::plain((figure(gate, self.step.candidate) * 100.0).round() / 100.0),
                unit(gate),
                limit_text(gate)
            ),
            None => format!("{}: neither shown good nor bad", self.apart(gate, false)),
        };
        let eta = missing.secs.and_then(power::span);
        if gate.signal.quantile().is_some() {
            return Verdict::Wait { missing: text.into(), eta };
        }
        let text = text + self.beside_nothing();
        // What a good version lacks is no promise for one that looks bad.
        match self.leans(gate, lines) {
            // What a good version needs is there, and what speaks against it stands in the way.
            Some(bad) if self.has_enough(lines) => hold(bad),
            Some(bad) if missing.requests.is_some() => hold(format!("{bad}; a good one would need {text}")),
            Some(bad) => hold(format!("{bad}; {text}")),
            None => Verdict::Wait { missing: text.into(), eta },
        }
    }

    /// Whether it has what a pass needs; what speaks against it may stand in the way.
    fn has_enough(&self, lines: &Lines) -> bool {
        self.step.ln_safe.max(self.step.under.ln_odds()) >= lines.pass.ln()
    }

    /// What speaks against the candidate so far and decides nothing yet: `worse 7:1 so far`, `15.20>5.00 % so far`.
    fn leans(&self, gate: &GateSpec, lines: &Lines) -> Option<String> {
        let odds = self.odds.ln_odds();
        if odds >= LEANS.ln() {
            return Some(format!("worse {} so far, fails at {}:1", words::odds(odds), words::plain(lines.fail)));
        }
        let limit = gate.limit()?;
        let (run, late) = (self.over.ln_odds(), self.over.ln_change());
        if figure(gate, self.candidate) <= limit && late < lines.worse.ln() || run.max(late) <= 0.0 {
            return None;
        }
        let by_run = run >= LEANS.ln();
        let line = words::sum(if by_run { lines.fail } else { lines.change });
        // Odds near one say nothing beside the share.
        let odds = if run.max(late) >= LEANS.ln() { format!(", {}, fails at {line}:1", self.over_odds(by_run)) } else { String::new() };
        Some(format!("{} so far{odds}", self.over_limit(gate, false)))
    }

    /// The candidate's ratio beside stable's: `1.20/0.40 %`.
    fn apart(&self, gate: &GateSpec, recently: bool) -> String {
        let (own, other) = if recently { (self.recent.candidate, self.recent.stable) } else { (self.candidate, self.stable) };
        let (own, other) = words::beside(figure(gate, own), figure(gate, other));
        format!("{own}/{other}{}", unit(gate))
    }

    /// `12.30>5.00 %`; for both `42.10/40.20>5.00 %`. A version may be shown to be over the limit of late
    /// and not over the whole run: then that is what is told.
    fn over_limit(&self, gate: &GateSpec, both: bool) -> String {
        let limit = gate.limit().unwrap_or_default();
        let figures = |c, s| (figure(gate, c), figure(gate, s));
        let whole = figures(self.candidate, self.stable);
        let late = figures(self.recent.candidate, self.recent.stable);
        let (own, other) = if whole.0 > limit && (!both || whole.1 > limit) { whole } else { late };
        let (shown, bar) = words::beside(own, limit);
        let other = if both { format!("/{}", words::beside(other, limit).0) } else { String::new() };
        let sign = if own > limit { ">" } else { " beside " };
        format!("{shown}{other}{sign}{bar}{}", unit(gate))
    }

    /// `p99 25 to 50 ms, stable 10 to 25 ms`.
    fn quantile_text(&self, gate: &GateSpec) -> String {
        let Some(seen) = self.quantile(gate) else { return "no latencies yet".into() };
        let range = |b: crate::model::gate::Bounds| match b.high {
            Some(high) => format!("{} to {} ms", words::plain(b.low), words::plain(high)),
            None if b.low > 0.0 => format!("at least {} ms", words::plain(b.low)),
            None => "not known yet".into(),
        };
        format!("{} {}, stable {}", gate.signal.word(), range(seen.candidate), range(seen.stable))
    }

    /// Stable's ratio and the candidate's, as far as they can be guessed: each is drawn towards what is
    /// known better.
    fn guess(&self) -> (f64, f64) {
        let stable = self.alone.unwrap_or(self.stable);
        let p = if stable.hits > 0.0 { stable.hits / stable.of } else { 0.5 / (stable.of + 100.0) };
        let own = (self.step.candidate.hits + 5.0) / (self.step.candidate.of + 5.0 / p);
        (p, own)
    }

    pub(super) fn missing(&self, gate: &GateSpec, lines: &Lines) -> Missing {
        let (rates, line) = (self.recent.rates(), lines.pass.ln());
        if self.has_enough(lines) {
            return Missing::default();
        }
        let (p, own) = self.guess();
        let grows = power::safety_per_second(rates, own, p, gate.r_max, self.phi.pair);
        let by_ratio = (grows > 0.0).then(|| (line - self.step.ln_safe) / grows).filter(|secs| *secs <= power::FOREVER);
        let by_limit = per_one(gate).and_then(|limit| Some(self.step.under.until(line, own / limit)? * self.phi.alone / limit));
        let by_ratio = by_ratio.map(|secs| (secs * rates.0, secs));
        let by_limit = by_limit.map(|requests| (requests, requests / rates.0));
        let nearer = match (by_ratio, by_limit) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
        Missing { requests: nearer.map(|n| n.0), secs: nearer.map(|n| n.1).filter(|secs| secs.is_finite()) }
    }

    /// `missing` is what it waits for; `None` of one that does not wait.
    fn power(&self, gate: &GateSpec, lines: &Lines, missing: Option<&Missing>) -> Option<Power> {
        if gate.signal.quantile().is_some() || self.candidate.of <= 0.0 || self.is_alone() {
            return None;
        }
        let ((candidate, stable), (p, _), line) = (self.recent.rates(), self.guess(), lines.fail.ln());
        let what = gate.signal.word();
        let second = power::Exposure::second(candidate, stable, self.phi.pair);
        let sees = self.exposure.sees(p, line);
        let excused = self.exposure.excused(p, gate.r_max.ln(), lines.pass.ln());
        let fails = sees.map(|sees| sees.max(excused));
        let soon = self.exposure.soon(sees, &second, p, line);
        let soon = soon.and_then(|(ratio, secs)| Some(Soon { ratio, within: power::span(secs)? }));
        // Only one that waits for requests has another weight to look for.
        let late = missing.is_some_and(|m| m.secs.is_none_or(|secs| secs > WITHIN.as_secs_f64()));
        let weight =
            || power::weight_within(WITHIN.as_secs_f64(), candidate + stable, p, gate.r_max, per_one(gate), self.phi, lines.pass.ln());
        let decides = late.then(weight).flatten().map(|weight| Decides { weight: f64::from(weight), within: WITHIN });
        // Ten times next to nothing is next to nothing: a candidate may be far above both.
        let share = |p: f64| match gate.signal {
            GateSignal::Restarts => format!("{}/h", words::plain((p * 3_600.0 * 100.0).ceil() / 100.0)),
            _ => words::percent(p),
        };
        let whole = if gate.signal == GateSignal::Restarts { f64::INFINITY } else { 1.0 };
        let least = self.exposure.least(p, line).map(|ratio| ratio * p).filter(|least| *least < whole);
        let mut text = match (sees, least) {
            // Rounded up: what is promised is seen.
            (Some(sees), _) => format!("can see >= {}x {what} now", words::plain((sees * 10.0).ceil() / 10.0)),
            (None, Some(least)) => format!("can see {what} from {} on now", share(least)),
            (None, None) => format!("cannot see any {what} yet"),
        };
        // Rounded down: what is below is held.
        let held = fails.map(|fails| (fails * 10.0).floor() / 10.0);
        if let Some(held) = held.filter(|held| sees.is_some_and(|sees| *held > (sees * 10.0).ceil() / 10.0)) {
            text += &format!(" (below {}x held, not failed)", words::plain(held));
        }
        let of = if sees.is_none() { format!(" of {}", share(p)) } else { String::new() };
        match soon {
            Some(Soon { ratio, within }) => {
                text += &format!("; {}x{of} in {} at this traffic", words::plain(ratio), words::within(within));
            }
            None if candidate <= 0.0 => text += "; no traffic now",
            None => {}
        }
        if let Some(Decides { weight, within }) = decides {
            text += &format!("; at {} % a good one passes in {}", words::plain(weight), words::within(within));
        }
        Some(Power { sees, fails, soon, decides, text: text.into() })
    }

    /// `stable` is what stable burnt, also before the run; of a version that bakes it is its own.
    fn burn(&self, gate: &GateSpec, stable: Option<&burn::Windows>) -> Option<Burn> {
        let percent = gate.slo?;
        let slo = percent / 100.0;
        let (own, other) = (self.burnt.as_ref(), stable.filter(|_| !self.is_alone()));
        if own.is_none() && other.is_none() {
            return None;
        }
        let hour = |w: &burn::Windows| w.last(3_600.0).0.ratio().map(|ratio| burn::rate(ratio, slo));
        let alerts = |w: Option<&burn::Windows>| w.iter().flat_map(|w| w.alerts(slo)).map(Text::from).collect();
        let all = self.recent.candidate.of + self.recent.stable.of;
        let candidate = own.and_then(hour);
        Some(Burn {
            slo: percent,
            candidate,
            stable: other.and_then(hour),
            blast: candidate.filter(|_| all > 0.0).map(|rate| rate * self.recent.candidate.of / all),
            alerts: alerts(own),
            stable_alerts: alerts(other),
            spent: self.spent(gate).map(|part| part * 100.0),
            above: finite(self.ln_above()),
            budget: gate.budget,
        })
    }

    /// What changes with time alone.
    pub(super) fn date(&self, evidence: &mut Evidence, now: Time) {
        evidence.age = self.last.map(|last| elapsed(now, last)).unwrap_or_default();
        // What was never fed has times of its own.
        evidence.since = self.began().unwrap_or(now);
        evidence.run_since = self.since.unwrap_or(now);
    }

    /// Everything that the verdict rests on, but for the sensors; `burnt` is what stable burnt.
    pub(super) fn evidence(
        &self,
        gate: &GateSpec,
        lines: &Lines,
        decision: Decision,
        burnt: Option<&burn::Windows>,
        now: Time,
    ) -> Evidence {
        let odds = self.odds();
        let missing = if decision == Decision::Open { self.missing(gate, lines) } else { Missing::default() };
        let quantile = self.quantile(gate);
        let counted = |count: Count| Sample::Counts { hits: count.hits, of: count.of };
        let (candidate, stable) = match (&quantile, self.step.latency.as_deref()) {
            (Some(seen), Some([own, other])) => (measured(seen.q, own), measured(seen.q, other)),
            _ => (counted(self.step.candidate), counted(self.step.stable)),
        };
        let mut evidence = Evidence {
            candidate,
            stable,
            run_candidate: counted(self.candidate),
            run_stable: counted(self.stable),
            between: self.between(gate),
            limit: gate.limit(),
            r_max: gate.r_max,
            odds: finite(odds.run),
            step_odds: finite(odds.step),
            change: finite(odds.change),
            safe: finite(odds.safe),
            safe_run: finite(odds.safe_run),
            safe_since: finite(odds.safe_since),
            over: finite(odds.over.run),
            stable_over: finite(odds.stable_over.run),
            over_change: finite(odds.over.change),
            stable_over_change: finite(odds.stable_over.change),
            under: finite(odds.under),
            phi: self.phi.pair,
            phi_limit: self.phi.alone,
            warming: Some(self.step.warming).filter(|w| w.of > 0.0).map(counted),
            warmup: gate.warmup,
            lines: *lines,
            decided_by: self.decided_by(lines, decision).filter(|_| quantile.is_none()),
            intervals: self.intervals,
            holds: matches!(decision, Decision::Suspect | Decision::Within),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
            missing: missing.requests.map(|n| n.ceil() as u64),
            eta: missing.secs.and_then(power::span),
            power: self.power(gate, lines, Some(&missing).filter(|_| decision == Decision::Open)),
            burn: self.burn(gate, burnt),
            quantile,
            peers: self.peers.say(gate),
            ..Evidence::default()
        };
        self.date(&mut evidence, now);
        evidence
    }

    /// Where the candidate's share of this step lies, whatever happens next: bursts are discounted.
    fn between(&self, gate: &GateSpec) -> Option<[f64; 2]> {
        let share = matches!(gate.signal, GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts);
        let (hits, of) = (self.step.candidate.hits / self.phi.alone, self.step.candidate.of / self.phi.alone);
        (share && of >= 1.0).then(|| mixture::share(hits, of, 0.05, 1_000.0)).map(|(low, high)| [low * 100.0, high * 100.0])
    }
}

fn pass(why: String) -> Verdict {
    Verdict::Pass { why: why.into() }
}

fn blind(sensor: Option<&Sensor>) -> Text {
    match sensor {
        None => "nothing measures it".into(),
        Some(Sensor { name, state, age: Some(age), .. }) => format!("{name} {}, {} old", state.word(), words::age(*age)).into(),
        Some(Sensor { name, state, age: None, .. }) => format!("{name} {}", state.word()).into(),
    }
}

/// In the unit of the limit: percent, or restarts per instance and hour.
fn figure(gate: &GateSpec, count: Count) -> f64 {
    let factor = if gate.signal == GateSignal::Restarts { 3_600.0 } else { 100.0 };
    count.ratio().unwrap_or_default() * factor
}

const fn unit(gate: &GateSpec) -> &'static str {
    match gate.signal {
        GateSignal::Restarts => "/h",
        GateSignal::P50 | GateSignal::P95 | GateSignal::P99 => " ms",
        GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts => " %",
        GateSignal::Alerts => "",
    }
}

fn limit_text(gate: &GateSpec) -> String {
    gate.limit().map(|limit| format!("{}{}", words::plain(limit), unit(gate))).unwrap_or_default()
}

/// Odds as they can be written.
fn finite(ln: f64) -> f64 {
    if ln.is_nan() { 1.0 } else { ln.exp().min(Evidence::MOST) }
}
