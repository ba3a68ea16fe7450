//! What every gate of a plan says, kept from one look to the next. Verdicts are asked for at every look, and
//! change only when something was fed; bounds, power, other tools' rules and words cost a hundred times what
//! a decision costs. So a gate is decided anew only when it was fed, told anew only when it was fed or
//! decides something else, and what neither was is not looked at: 10,000 gates lie in memory that is far away.
//!
//! It is no part of what is known: it is not written down, a copy starts with nothing said, and any two are equal.

use super::{
    decide::{Decision, Held, blind, lines},
    ledger::{Known, Look, SPLIT},
    say::rule_text,
    split::Seen,
    words,
};
use crate::model::{
    gate::{Arm, Evidence, GateState, Verdict},
    ident::GateId,
    interval::SensorState,
    signal::{Sample, SignalId},
    spec::{GateSignal, GateSpec, OnFail},
    text::Text,
    time::Time,
};

/// Which gates are put into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Words {
    /// Every gate that changed.
    All,
    /// Those that decide something else than before, those that fail, and the one that speaks for all.
    Fewest,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Said {
    /// In the order of the plan.
    gates: Vec<Gate>,
    /// One for each of them, and the split's behind them.
    states: Vec<GateState>,
}

/// A gate of the plan, and what was said of it last.
#[derive(Debug)]
struct Gate {
    spec: GateSpec,
    held: Held,
    /// Whether it was fed, or begun anew, since it was decided by what was counted.
    undecided: bool,
    /// The same since its evidence was told.
    untold: bool,
    /// The same since its verdict was put into words.
    unspoken: bool,
    /// By what was counted, whatever sensors say.
    counted: Decision,
    /// Since when its weight is what it is.
    began: Option<Time>,
    /// What a plan goes by; `None` before anything was said.
    ruling: Option<Ruling>,
    /// Of the verdict: see [`Verdict::rank`].
    rank: u8,
    /// Whether it has evidence, by whatever rule.
    told: bool,
}

/// What a gate decides, and since when its weight is what it is: what a plan goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Ruling {
    decision: Decision,
    began: Option<Time>,
}

impl Clone for Said {
    fn clone(&self) -> Self {
        let gates = self.gates.iter().map(|gate| Gate::new(gate.spec.clone(), gate.held)).collect();
        Self { gates, states: self.gates.iter().map(|gate| unsaid(&gate.spec)).collect() }
    }
}

impl PartialEq for Said {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Said {
    /// What every gate says; nothing before all of them were asked.
    pub fn states(&self) -> &[GateState] {
        if self.gates.iter().all(|gate| gate.told) { &self.states } else { &[] }
    }

    /// How many gates the plan has.
    pub const fn planned(&self) -> usize {
        self.gates.len()
    }

    /// Takes over a plan. What was said of a gate that stays is said on.
    pub fn plan(&mut self, specs: &[GateSpec]) {
        if self.gates.len() == specs.len() && self.gates.iter().zip(specs).all(|(gate, spec)| gate.spec == *spec) {
            return;
        }
        let reverting = specs.iter().filter(|g| g.on_fail() == OnFail::Revert && g.signal != GateSignal::Alerts).count();
        let split = self.states.split_off(self.gates.len());
        let mut before: Vec<(Gate, GateState)> = std::mem::take(&mut self.gates).into_iter().zip(self.states.drain(..)).collect();
        for spec in specs {
            let held = Held::new(lines(spec, reverting));
            let place = before.iter().position(|(gate, _)| gate.spec.name == spec.name);
            let (gate, state) = match place.map(|place| before.swap_remove(place)) {
                Some((gate, state)) if gate.spec == *spec && gate.held == held => (gate, state),
                // It says the same word since when it did, by whatever rule.
                Some((_, GateState { verdict, since, evidence, .. })) => {
                    let gate = Gate { told: evidence.is_some(), ..Gate::new(spec.clone(), held) };
                    (gate, GateState { verdict, since, evidence, ..unsaid(spec) })
                }
                None => (Gate::new(spec.clone(), held), unsaid(spec)),
            };
            self.gates.push(gate);
            self.states.push(state);
        }
        self.states.extend(split);
    }

    /// Notes that more is known of a gate.
    pub fn touch(&mut self, place: usize) {
        if let Some(gate) = self.gates.get_mut(place) {
            (gate.undecided, gate.untold, gate.unspoken) = (true, true, true);
        }
    }

    /// Asks a gate.
    pub fn look(&mut self, place: usize, known: &Known, look: impl Fn(&GateSpec) -> Look, now: Time, words: Words) {
        if let (Some(gate), Some(state)) = (self.gates.get_mut(place), self.states.get_mut(place)) {
            gate.look(state, known, look(&gate.spec), now, words);
        }
    }

    /// Puts the gate that speaks for all into words of now.
    pub fn speak(&mut self, known: &[Known], now: Time) {
        let worst = self.gates.iter_mut().enumerate().min_by_key(|(_, gate)| gate.rank);
        let Some((place, gate)) = worst else { return };
        if let (Some(known), Some(state)) = (known.get(place), self.states.get_mut(place)) {
            gate.speak(state, known, now);
        }
    }

    /// The split's state, behind the gates; `None` takes it away.
    pub fn split(&mut self, seen: Option<&Seen>, now: Time) {
        let before = self.states.drain(self.gates.len()..).next();
        self.states.extend(seen.map(|seen| split_state(seen, before, now)));
    }
}

impl Gate {
    const fn new(spec: GateSpec, held: Held) -> Self {
        Self {
            spec,
            held,
            undecided: true,
            untold: true,
            unspoken: true,
            counted: Decision::Open,
            began: None,
            ruling: None,
            rank: 0,
            told: false,
        }
    }

    fn look(&mut self, state: &mut GateState, known: &Known, look: Look, now: Time, words: Words) {
        if self.spec.signal == GateSignal::Alerts {
            return self.hear(state, look, now);
        }
        let Known { run, burnt, .. } = known;
        if self.undecided {
            self.undecided = false;
            self.counted = run.decision(&self.spec, &self.held);
            self.began = run.began();
        }
        let decision = blind(&look.sensors).unwrap_or(self.counted);
        let ruling = Some(Ruling { decision, began: self.began });
        let (same, all) = (self.ruling == ruling, words == Words::All);
        // How old a sensor is belongs to the words of a blind gate; what was never fed has times of its own.
        if same && !all && !decision.is_blind() && self.began.is_some() {
            if decision.fails() {
                self.speak(state, known, now);
            }
            return;
        }
        let Look { sensors, queries, .. } = look;
        let anew = !same || self.untold && all;
        if anew || decision.is_blind() {
            say(state, run.verdict(&self.spec, &self.held.lines, decision, &sensors), now);
        }
        if anew {
            state.evidence = Some(run.evidence(&self.spec, &self.held.lines, decision, burnt.as_ref(), now));
            (self.untold, self.unspoken, self.ruling, self.rank, self.told) = (false, false, ruling, state.verdict.rank(), true);
        }
        if let Some(evidence) = &mut state.evidence {
            run.date(evidence, now);
            (evidence.sensors, evidence.queries) = (sensors, queries);
        }
    }

    /// Puts its verdict into words of now, if it was fed since it was: its evidence stays as it is.
    fn speak(&mut self, state: &mut GateState, known: &Known, now: Time) {
        if let Some(Ruling { decision, .. }) = self.ruling.filter(|ruling| self.unspoken && !ruling.decision.is_blind()) {
            self.unspoken = false;
            say(state, known.run.verdict(&self.spec, &self.held.lines, decision, &[]), now);
        }
    }

    /// A gate over alerts: no statistics, somebody else has decided that what fires is bad.
    fn hear(&mut self, state: &mut GateState, look: Look, now: Time) {
        let lacks = look.sensors.iter().find(|s| s.required && s.state != SensorState::Fresh);
        let verdict = match (look.sensors.is_empty(), lacks, look.alerts.as_slice()) {
            (true, ..) => Verdict::Blind { why: "nobody tells which alerts fire".into() },
            (_, Some(sensor), _) => Verdict::Blind { why: format!("{} {}", sensor.name, sensor.state.word()).into() },
            (_, None, []) => Verdict::Pass { why: "no alert fires that began after the run did".into() },
            (_, None, [only]) => Verdict::Fail { who: Arm::Candidate, why: only.clone() },
            (_, None, [first, more @ ..]) => Verdict::Fail { who: Arm::Candidate, why: format!("{first} +{} more", more.len()).into() },
        };
        say(state, verdict, now);
        (self.rank, self.told) = (state.verdict.rank(), true);
        let evidence = Evidence { since: now, run_since: now, sensors: look.sensors, queries: look.queries, ..Evidence::default() };
        state.evidence = Some(evidence);
    }
}

/// A gate says the same word since when it said it first.
fn say(state: &mut GateState, verdict: Verdict, now: Time) {
    if state.evidence.is_none() || state.verdict.word() != verdict.word() {
        state.since = now;
    }
    state.verdict = verdict;
}

/// A gate that has said nothing yet.
fn unsaid(gate: &GateSpec) -> GateState {
    GateState {
        id: gate.name.clone(),
        signal: gate.signal.measured(),
        rule: rule_text(gate),
        on_fail: gate.on_fail(),
        verdict: Verdict::Blind { why: Text::default() },
        since: Time::UNIX_EPOCH,
        evidence: None,
    }
}

/// A bad split stops what gives the candidate more, and never goes back by itself: it may be the router's fault.
fn split_state(seen: &Seen, before: Option<GateState>, now: Time) -> GateState {
    let share = seen.requests.ratio().unwrap_or_default() * 100.0;
    let (share, declared) = words::beside(share, seen.declared.percent());
    let n = words::sum(seen.requests.of);
    let verdict = if seen.bad {
        let why = format!("{share} % of requests, {declared} declared (n {n}), {}", words::odds(seen.ln_odds));
        Verdict::Fail { who: Arm::Candidate, why: why.into() }
    } else if seen.off {
        Verdict::Wait { missing: format!("{share} % of requests, {declared} declared").into(), eta: None }
    } else if seen.missing > 0.0 {
        Verdict::Wait { missing: format!("{} more requests to know the share", words::sum(seen.missing)).into(), eta: None }
    } else {
        Verdict::Pass { why: format!("{share} % of requests (n {n})").into() }
    };
    let counts = |hits: f64| Sample::Counts { hits, of: seen.requests.of };
    GateState {
        id: GateId::new(SPLIT),
        signal: SignalId::Requests,
        rule: "the share that is declared, give or take 1 pp or a tenth".into(),
        on_fail: OnFail::Hold,
        since: before.filter(|b| b.verdict.word() == verdict.word()).map_or(now, |b| b.since),
        verdict,
        evidence: Some(Evidence {
            candidate: counts(seen.requests.hits),
            stable: counts(seen.requests.of - seen.requests.hits),
            since: seen.since,
            run_since: seen.since,
            odds: seen.ln_odds.exp().min(Evidence::MOST),
            ..Evidence::default()
        }),
    }
}
