//! What every gate says, kept from one look to the next. Verdicts are asked for at every look, and change
//! only when something was fed; bounds, power, other tools' rules and words cost a hundred times what a
//! decision costs. So each gate is told anew only when it changed since it was told (by its revision), or
//! when it decides something else.
//!
//! It is no part of what is known: it is not written down, not copied, and equal to any other.

use super::{
    burn::Windows,
    decide::{Decision, Odds},
    run::GateRun,
    say::rule_text,
    split::Seen,
    words,
};
use crate::model::{
    gate::{Arm, Evidence, GateState, Lines, Verdict},
    ident::GateId,
    interval::SensorState,
    signal::{Sample, SignalId},
    spec::{GateSpec, OnFail},
    text::Text,
    time::Time,
};

use super::ledger::{Look, SPLIT};

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
    states: Vec<GateState>,
    /// One for each of them.
    told: Vec<Option<Told>>,
}

/// Of what a gate was told.
#[derive(Debug)]
struct Told {
    gate: GateSpec,
    lines: Lines,
    ruling: Ruling,
    /// The run's when that was decided.
    decided: u64,
    /// The run's when all of it was told.
    told: u64,
}

/// What a gate decides, and since when its weight is what it is: what a plan goes by.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Ruling {
    decision: Decision,
    began: Option<Time>,
}

/// A gate that is looked at.
pub(super) struct Asked<'a> {
    pub gate: &'a GateSpec,
    pub lines: Lines,
    pub look: Look,
    pub run: &'a GateRun,
    /// What stable burnt.
    pub burnt: Option<&'a Windows>,
    pub now: Time,
}

impl Clone for Said {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Said {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Said {
    /// What every gate says.
    pub fn states(&self) -> &[GateState] {
        &self.states
    }

    /// Makes room for these gates, in their order. What is known of one that has moved moves with it.
    pub fn arrange(&mut self, gates: &[GateSpec]) {
        let fits = self.told.len() == gates.len() && self.states.iter().zip(gates).all(|(state, gate)| state.id == gate.name);
        if fits {
            return;
        }
        let mut known: Vec<(GateState, Option<Told>)> = Vec::new();
        let told = std::mem::take(&mut self.told).into_iter().chain(std::iter::repeat_with(|| None));
        known.extend(std::mem::take(&mut self.states).into_iter().zip(told));
        for gate in gates {
            let place = known.iter().position(|(state, _)| state.id == gate.name);
            let (state, told) = place.map_or_else(|| (unsaid(gate), None), |place| known.swap_remove(place));
            self.states.push(state);
            self.told.push(told);
        }
        // What is left is the split's, or of gates that are gone.
        self.states.extend(known.into_iter().map(|(state, _)| state).find(|state| state.id.as_str() == SPLIT));
    }

    /// Looks at the gate in a place; [`Self::arrange`] has made room for it.
    pub fn look(&mut self, place: usize, asked: Asked<'_>, words: Words) {
        let (Some(state), Some(told)) = (self.states.get_mut(place), self.told.get_mut(place)) else { return };
        let Asked { gate, lines, look, run, burnt, now } = asked;
        let same = told.as_mut().filter(|t| t.lines == lines && t.gate == *gate);
        let decided = same.as_ref().filter(|t| t.decided == run.revision.0).map(|t| t.ruling.decision).filter(|d| !d.is_blind());
        let decision = run.blind(&look.sensors).or(decided).unwrap_or_else(|| run.decision(gate, &lines));
        let ruling = Ruling { decision, began: run.began() };
        match same {
            Some(same) if same.ruling == ruling && (same.told == run.revision.0 || words == Words::Fewest && !decision.fails()) => {
                same.decided = run.revision.0;
                if decision.is_blind() {
                    // How old a sensor is belongs to its words.
                    say(state, run.verdict(gate, &lines, (decision, &Odds::default()), &look.sensors), now);
                }
            }
            _ => {
                let odds = run.odds();
                (state.rule, state.on_fail, state.signal) = (rule_text(gate), gate.on_fail(), gate.signal.measured());
                say(state, run.verdict(gate, &lines, (decision, &odds), &look.sensors), now);
                state.evidence = Some(run.evidence(gate, &lines, (decision, &odds), burnt, now));
                *told = Some(Told { gate: gate.clone(), lines, ruling, decided: run.revision.0, told: run.revision.0 });
            }
        }
        if let Some(evidence) = &mut state.evidence {
            run.date(evidence, now);
            evidence.sensors = look.sensors;
            evidence.queries = look.queries;
        }
    }

    /// Puts the gate that speaks for all into words, if what it rests on changed since it was told.
    pub fn speak<'a>(&mut self, runs: impl Fn(&GateId) -> Option<&'a GateRun>, now: Time) {
        let worst = self.states.iter().zip(&self.told).enumerate().min_by_key(|(_, (state, _))| state.verdict.rank());
        let Some((place, (_, Some(told)))) = worst else { return };
        let Some(run) = runs(&told.gate.name).filter(|run| run.revision.0 != told.told) else { return };
        let odds = run.odds();
        if let Some(state) = self.states.get_mut(place)
            && let Some(told) = self.told.get(place).and_then(Option::as_ref)
            && !told.ruling.decision.is_blind()
        {
            say(state, run.verdict(&told.gate, &told.lines, (told.ruling.decision, &odds), &[]), now);
        }
    }

    /// A gate over alerts: no statistics, somebody else has decided that what fires is bad.
    pub fn hear(&mut self, place: usize, gate: &GateSpec, look: Look, now: Time) {
        let Some(state) = self.states.get_mut(place) else { return };
        let lacks = look.sensors.iter().find(|s| s.required && s.state != SensorState::Fresh);
        let verdict = match (look.sensors.is_empty(), lacks, look.alerts.as_slice()) {
            (true, ..) => Verdict::Blind { why: "nobody tells which alerts fire".into() },
            (_, Some(sensor), _) => Verdict::Blind { why: format!("{} {}", sensor.name, sensor.state.word()).into() },
            (_, None, []) => Verdict::Pass { why: "no alert fires that began after the run did".into() },
            (_, None, [only]) => Verdict::Fail { who: Arm::Candidate, why: only.clone() },
            (_, None, [first, more @ ..]) => Verdict::Fail { who: Arm::Candidate, why: format!("{first} +{} more", more.len()).into() },
        };
        state.on_fail = gate.on_fail();
        say(state, verdict, now);
        let evidence = Evidence { since: now, run_since: now, sensors: look.sensors, queries: look.queries, ..Evidence::default() };
        state.evidence = Some(evidence);
    }

    /// The split's state, behind the gates; `None` takes it away.
    pub fn split(&mut self, seen: Option<&Seen>, now: Time) {
        let before = self.states.drain(self.told.len()..).next();
        self.states.extend(seen.map(|seen| split_state(seen, before, now)));
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
