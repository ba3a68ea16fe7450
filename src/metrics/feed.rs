//! From a metrics backend's answers to what the judge takes: intervals of counts of both versions, how far
//! each series can be trusted, and the queries they came from.
//!
//! ```text
//! due ─► questions ─► (backend) ─► take ─► Source: samples ─► increments ─┬─► Open: intervals of each gate
//!                                                                         └─► Recent: signals, points
//! ```
//!
//! Of stable the hour before the run is read too, where whoever asks does not know it: how its errors come must
//! be known when the run begins.
//!
//! Ends of intervals are multiples of the gate's interval on the clock, and moments at which the shares
//! change. Which samples an interval holds is decided by when they were taken, never by when they were
//! asked for, so a run that is read from history is judged as it would have been live.
//! Pure: whoever owns it asks the questions.

mod gates;
pub mod history;
mod recent;
mod sensors;
mod source;

use super::{
    Answer, SPARED, Trouble,
    counting::{Increment, Targets},
    preset::{Queries, What},
    template::Variables,
};
use crate::model::{
    gate::Arm,
    history::Point,
    ident::GateId,
    interval::{Interval, Query, Sensor},
    signal::{Signal, SignalId},
    spec::{GateSignal, GateSpec},
    text::Text,
    time::{Time, after, elapsed},
};
use gates::{Birth, Open};
use recent::{Failed, Recent};
use source::Source;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A run that began longer ago is read from here on: 40 times as much as is asked for at once, of every query.
pub const BACKFILL: Duration = Duration::from_secs(6 * 3_600);

/// Instances that got ready of which that is kept: those of a long run that often fail.
const READY: usize = 1_000;

/// Notes when instances got ready; the newest are kept.
pub fn note_ready(kept: &mut BTreeSet<Time>, at: impl IntoIterator<Item = Time>) {
    kept.extend(at);
    while kept.len() > READY {
        kept.pop_first();
    }
}

/// Read before the run: what is slow, and the zero points of counters.
const BEFORE: Duration = Duration::from_secs(600);

/// How a backend is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often; at least how often it scrapes.
    pub every: Duration,
    /// How late its samples arrive.
    pub delay: Duration,
}

impl Question {
    /// The name of its query, as in `[metrics.query]`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.what.name()
    }

    /// Which of all questions it is, whenever it is asked: the place of its version, the name of its query, its form.
    #[must_use]
    pub const fn key(&self) -> (usize, &'static str, usize) {
        (self.arm, self.name(), source::slot(&self.kind))
    }

    const fn place(&self) -> (usize, What, usize) {
        (self.arm, self.what, source::slot(&self.kind))
    }
}

impl Pace {
    /// How old the newest sample may be before nothing can be said: three scrapes, and at least 5 s.
    #[must_use]
    pub fn stale_after(self) -> Duration {
        (3 * self.every).max(Duration::from_secs(5)) + self.delay
    }

    /// How long after a share began nothing follows from a version that has no requests: its series appear with the
    /// first scrape, and grow with the second.
    #[must_use]
    pub fn settles(self) -> Duration {
        2 * self.every + self.delay
    }

    /// The least a query looks back.
    const fn window(self) -> Duration {
        self.every.saturating_mul(4)
    }
}

/// What is followed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Subject {
    /// Intervals begin here: when the run began, or when the last one that was judged ended.
    pub since: Time,
    /// What is filled in for stable.
    pub stable: Variables,
    /// For the candidate; `None` while there is none.
    pub candidate: Option<Variables>,
    /// What is slow, if it was frozen already.
    pub slow_from: Option<Duration>,
    /// Where a gate goes on: when its last interval that was judged ended, where that is later.
    pub judged: BTreeMap<GateId, Time>,
    /// How long before `since` stable is read, so that it is known how its errors come when the run begins;
    /// zero for whoever knows that already.
    pub look_back: Duration,
}

/// From when on the candidate should have which share of the requests, parts of one.
pub type Course = Vec<(Time, Option<f64>)>;

/// One question to the backend; hand it back with its answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Question {
    /// As it is sent.
    pub text: String,
    /// For when.
    pub at: Time,
    arm: usize,
    what: What,
    kind: source::Kind,
}

/// One rollout as a backend measures it.
#[derive(Debug)]
pub struct Feed {
    queries: Queries,
    since: Time,
    gates: Vec<Open>,
    /// Of stable alone, up to `since`.
    before: Vec<Open>,
    pace: Pace,
    course: Course,
    /// When instances of the version that is judged got ready, where whoever runs them tells.
    ready_at: BTreeSet<Time>,
    /// The candidate's first, then stable's.
    sources: [BTreeMap<What, Source>; 2],
    /// Who was scraped when, by any query of either version.
    targets: Targets,
    recent: [Recent; 2],
    slow: gates::Slow,
    /// Questions of this round that were not answered yet.
    open: BTreeSet<(usize, What, usize)>,
    /// How far the backend's clock is ahead.
    ahead: chrono::Duration,
    next: Option<Time>,
    /// When it was asked last.
    asked: Option<Time>,
    /// It is too busy to be asked before this.
    spared: Option<Time>,
    ready: Vec<(GateId, Interval)>,
    ready_before: Vec<(GateId, Interval)>,
    /// Requests of both versions, whatever is judged, and those intervals of it that are over.
    traffic: Option<(Open, Vec<Interval>)>,
}

impl Feed {
    /// Follows a subject from its beginning, which may be long ago.
    ///
    /// # Errors
    /// In one line: a gate that this stack cannot tell, a name that has no value.
    pub fn new(queries: Queries, gates: &[GateSpec], pace: Pace, subject: &Subject, now: Time) -> Result<Self, String> {
        for gate in gates {
            queries.can_judge(gate).map_err(|why| format!("gate {}: {why}", gate.name.text()))?;
        }
        let since = subject.since.max(before(now, BACKFILL));
        let begins = before(since, subject.look_back);
        // Quantiles are not divided by how errors come.
        let counts: Vec<&GateSpec> = gates.iter().filter(|gate| begins < since && gate.signal.quantile().is_none()).collect();
        let early = counts.iter().map(|gate| queries.needs(gate)).flat_map(<[What; 2]>::from);
        let early: BTreeSet<What> = early.chain(counts.iter().flat_map(|gate| queries.beside(gate)).copied()).collect();
        let of = |arm: usize, values: &Variables| {
            let from = |what: What| before(since, BEFORE).min(if arm == STABLE && early.contains(&what) { begins } else { since });
            // Beside requests only what tells these versions apart.
            let all = queries.all().filter(|(what, asked)| !what.is_beside() || asked.is_of_each(values));
            let all = all.map(|query| Ok((query.0, Source::new(&queries, query, arm, values, from(query.0))?)));
            all.collect::<Result<BTreeMap<_, _>, String>>()
        };
        let candidate = subject.candidate.as_ref().map(|values| of(CANDIDATE, values)).transpose()?.unwrap_or_default();
        let mut sources = [candidate, of(STABLE, &subject.stable)?];
        let [candidate, stable] = &mut sources;
        for (what, source) in candidate {
            if let Some(other) = stable.get_mut(what) {
                source.are_one(other);
                source.beside(other);
            }
        }
        let has = subject.candidate.is_some();
        let from = |gate: &GateSpec| subject.judged.get(&gate.name).map_or(since, |judged| since.max(*judged));
        let failed = Failed::of(&queries, gates);
        Ok(Self {
            gates: gates.iter().map(|gate| Open::new(gate.clone(), from(gate), has)).collect(),
            before: counts.into_iter().map(|gate| Open::new(gate.clone(), begins, false)).collect(),
            since,
            queries,
            pace,
            course: Course::new(),
            ready_at: BTreeSet::new(),
            sources,
            targets: Targets::default(),
            open: BTreeSet::new(),
            recent: [Recent::new(since, failed.clone()).of_candidate(), Recent::new(since, failed)],
            slow: gates::Slow::new(subject.slow_from, since),
            ahead: chrono::Duration::zero(),
            next: None,
            asked: None,
            spared: None,
            ready: Vec::new(),
            ready_before: Vec::new(),
            traffic: None,
        })
    }

    /// The same, and it counts the requests of both versions without any gate: what shows their shares.
    #[must_use]
    pub fn counting_requests(mut self) -> Self {
        let has_both = self.sources.iter().all(|sources| sources.contains_key(&What::Requests));
        let usual = GateSpec::new(GateId::new(What::Requests.name()), GateSignal::Errors);
        let interval = self.gates.iter().map(|open| open.gate.interval).min().unwrap_or(usual.interval);
        self.traffic = has_both.then(|| (Open::new(GateSpec { interval, ..usual }, self.since, true), Vec::new()));
        self
    }

    /// Asks as often as this from now on. Which samples there are does not depend on that, so all that was
    /// counted goes on.
    pub fn set_pace(&mut self, pace: Pace) {
        if pace.every < self.pace.every {
            self.next = None;
        }
        self.pace = pace;
    }

    /// From when on it counts: later than the subject began where that is long ago.
    #[must_use]
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Says the shares, sorted by when they began. An interval ends where one begins.
    pub fn follow(&mut self, course: Course) {
        self.course = course;
    }

    /// Says when instances of the version that is judged got ready. What is counted without the name of its
    /// instance is not judged for latency until the warm-up of each is over.
    pub fn got_ready(&mut self, at: impl IntoIterator<Item = Time>) {
        note_ready(&mut self.ready_at, at);
    }

    /// What must be asked now; empty until the next time. Answer all of it before asking again. While older
    /// samples are read there is always more.
    pub fn due(&mut self, now: Time) -> Vec<Question> {
        // A clock that was set back must not silence it.
        let early = |next: Time| now < next && next - now <= span(self.pace.every);
        let spared = |until: Time| now < until && until - now <= span(SPARED);
        if self.next.is_some_and(early) || self.spared.is_some_and(spared) {
            return Vec::new();
        }
        self.spared = None;
        self.asked = Some(now);
        let at = before(now + self.ahead, self.pace.delay);
        let mut all = Vec::new();
        // What stable did before is read first: then all queries are read side by side, and what one says of
        // a target is known when another needs it.
        let first = before(self.since, BEFORE).min(at);
        let pace = self.pace;
        let is_before = |source: &Source| source.is_before(first, at, pace);
        let looks_back = self.sources.iter().flat_map(BTreeMap::values).any(is_before);
        for (arm, sources) in self.sources.iter_mut().enumerate() {
            for (what, source) in sources.iter_mut().filter(|(_, source)| !looks_back || is_before(source)) {
                let asked = source.due(at, now, self.pace);
                all.extend(asked.into_iter().map(|(kind, text, at)| Question { text, at, arm, what: *what, kind }));
            }
        }
        // What is behind and asks nothing is not waited for: nobody must ask again and again.
        self.next = (!looks_back || all.is_empty()).then(|| after(now, self.pace.every));
        self.open = all.iter().map(Question::place).collect();
        all
    }

    /// When [`Self::due`] has something to ask again; `None` for at once.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.next.max(self.spared)
    }

    /// Takes in an answer.
    pub fn take(&mut self, question: &Question, answer: Result<Answer, Trouble>) {
        if let Err(Trouble::Busy { after: Some(wait), .. }) = &answer {
            self.spared = self.spared.max(self.asked.map(|asked| after(asked, (*wait).min(SPARED))));
        }
        if let Ok(Answer { ahead: Some(ahead), .. }) = &answer {
            // Whole seconds on the wire: one of them means nothing.
            self.ahead = if ahead.abs() > chrono::Duration::seconds(1) { *ahead } else { chrono::Duration::zero() };
        }
        let Some(source) = self.sources.get_mut(question.arm).and_then(|arm| arm.get_mut(&question.what)) else { return };
        let asked = (&question.kind, question.text.as_str(), question.at);
        let came = source.take(asked, answer, self.pace, &mut self.targets);
        if source.is_behind(self.pace) {
            self.next = None;
        }
        let [candidate, stable] = &mut self.sources;
        let both = candidate.get_mut(&question.what).zip(stable.get_mut(&question.what));
        if !both.is_some_and(|(one, other)| if question.arm == CANDIDATE { one.are_one(other) } else { other.are_one(one) }) {
            self.count(question.arm, question.what, &came);
        }
        self.open.remove(&question.place());
        // What one query says of a target decides how the series of others began.
        if self.open.is_empty() {
            self.count_births();
            self.close();
        }
    }

    fn count_births(&mut self) {
        let (targets, sources) = (&self.targets, self.sources.iter_mut().enumerate());
        let births: Vec<_> = sources
            .flat_map(|(arm, sources)| sources.iter_mut().map(move |(what, source)| (arm, *what, source)))
            .filter(|(.., source)| !source.is_together())
            .map(|(arm, what, source)| (arm, what, source.births(targets)))
            .filter(|(.., born)| !born.is_empty())
            .collect();
        for (arm, what, born) in births {
            self.count(arm, what, &born);
        }
        self.targets.forget();
    }

    fn count(&mut self, arm: usize, what: What, came: &[Increment]) {
        if let Some(recent) = self.recent.get_mut(arm) {
            recent.add(what, came);
        }
        if arm == STABLE && what == What::Latency {
            self.slow.add(came);
        }
        if let Some((open, _)) = &mut self.traffic {
            match what {
                What::Requests => open.add(arm, (false, true), came, |_| false),
                beside if beside.is_beside() => open.add_beside(arm, came),
                _ => {}
            }
        }
        let counter = self.sources.get(arm).and_then(|s| s.get(&what)).and_then(Source::counter);
        let before = self.before.iter_mut().filter(|_| arm == STABLE);
        for open in self.gates.iter_mut().chain(before) {
            let (hits, of) = self.queries.needs(&open.gate);
            if what == hits || what == of {
                let warmup = after(Time::UNIX_EPOCH, open.gate.warmup) - Time::UNIX_EPOCH;
                let is_warming = |i: &Increment| {
                    let born = i.class.instance.as_deref().and_then(|name| counter?.born(name));
                    born.is_some_and(|born| i.at - born < warmup)
                };
                open.add(arm, (what == hits, what == of), came, is_warming);
            } else if self.queries.beside(&open.gate).contains(&what) {
                open.add_beside(arm, came);
            }
        }
    }

    /// Closes what is over: every needed query was answered for later.
    fn close(&mut self) {
        let slow_until = self.reached([What::Latency, What::Latency], &[STABLE]);
        self.slow.settle(slow_until);
        self.close_before();
        if let Some((open, over)) = &mut self.traffic
            && let Some(until) = reached(&self.sources, [What::Requests; 2], &[CANDIDATE, STABLE])
        {
            over.extend(open.close(
                until,
                &gates::Closing { course: &self.course, slow: &self.slow, births: &[], settles: self.pace.settles() },
                1.0,
            ));
        }
        let births = self.births();
        for open in &mut self.gates {
            let (hits, of) = self.queries.needs(&open.gate);
            let arms: &[usize] = if open.has_candidate { &[CANDIDATE, STABLE] } else { &[STABLE] };
            let mut until = reached(&self.sources, [hits, of], arms);
            if open.gate.signal == GateSignal::Slow {
                until = until.min(self.slow.settled());
            }
            let closing = gates::Closing { course: &self.course, slow: &self.slow, births: &births, settles: self.pace.settles() };
            let least_phi = if arms.iter().any(|arm| extrapolated(&self.sources, *arm, [hits, of])) { 2.0 } else { 1.0 };
            if let Some(until) = until {
                let closed = open.close(until, &closing, least_phi);
                self.ready.extend(closed.into_iter().map(|interval| (open.gate.name.clone(), interval)));
            }
        }
        let slow_from = self.slow.millis();
        for (arm, recent) in self.recent.iter_mut().enumerate() {
            let until = self.sources.get(arm).and_then(|s| s.values().filter(|s| s.counter().is_some()).filter_map(Source::reached).min());
            recent.settle(until, slow_from, self.pace.every);
        }
    }

    /// The same for what stable did before. It ends where the run begins, and is over then.
    fn close_before(&mut self) {
        let (since, course, sources, slow) = (self.since, [(self.since, None)], &self.sources, &self.slow);
        let (queries, ready) = (&self.queries, &mut self.ready_before);
        self.before.retain_mut(|open| {
            let (hits, of) = queries.needs(&open.gate);
            // What is slow is not known before all of it was read.
            let is_known = open.gate.signal != GateSignal::Slow || slow.settled() >= Some(since);
            let Some(until) = reached(sources, [hits, of], &[STABLE]).filter(|_| is_known) else { return true };
            let closing = gates::Closing { course: &course, slow, births: &[], settles: Duration::ZERO };
            let least_phi = if extrapolated(sources, STABLE, [hits, of]) { 2.0 } else { 1.0 };
            let closed = open.close(until.min(since), &closing, least_phi);
            ready.extend(closed.into_iter().map(|interval| (open.gate.name.clone(), interval)));
            until < since
        });
    }

    /// When something of the version that is judged began to serve: as whoever runs it says, and as its series
    /// show it, whose first sample comes later.
    fn births(&self) -> Vec<Birth> {
        let seen = self.sources.first().and_then(|candidate| candidate.get(&What::Latency)).map(Source::appeared);
        self.ready_at.iter().copied().map(Birth::from).chain(seen.into_iter().flatten()).collect()
    }

    fn reached(&self, what: [What; 2], arms: &[usize]) -> Option<Time> {
        reached(&self.sources, what, arms)
    }

    /// Intervals that are over, each gate's in the order of time. They are handed out once.
    pub fn intervals(&mut self) -> Vec<(GateId, Interval)> {
        std::mem::take(&mut self.ready)
    }

    /// How many requests both versions had, likewise; nothing without [`Self::counting_requests`].
    pub fn requests(&mut self) -> Vec<Interval> {
        self.traffic.as_mut().map(|(_, over)| std::mem::take(over)).unwrap_or_default()
    }

    /// What stable did before the run, likewise: intervals without a candidate, as far back as the subject says.
    pub fn before(&mut self) -> Vec<(GateId, Interval)> {
        std::mem::take(&mut self.ready_before)
    }

    /// What a gate rests on at this moment: its sensors, and what was asked.
    #[must_use]
    pub fn look(&self, gate: &GateSpec, now: Time) -> (Vec<Sensor>, Vec<Query>) {
        let now = now + self.ahead;
        let (hits, of) = self.queries.needs(gate);
        let view = self.view(now);
        let mut all = Vec::new();
        let mut asked = Vec::new();
        for (arm, sources) in self.sources.iter().enumerate() {
            if arm == CANDIDATE && sources.is_empty() {
                continue;
            }
            all.extend(view.of_gate(gate, arm, now));
            let mut wanted = vec![hits];
            wanted.extend((of != hits).then_some(of));
            wanted.extend(self.queries.beside(gate));
            asked.extend(wanted.into_iter().filter_map(|what| sources.get(&what)?.evidence(arm, what)));
        }
        if gate.signal == GateSignal::Slow {
            all.push(sensors::threshold(self.slow.from().is_some()));
        }
        (all, asked)
    }

    /// The first query that gates need and that finds no series, in a line, though there should be some by now.
    #[must_use]
    pub fn unfound(&self, gates: &[GateSpec], now: Time) -> Option<Text> {
        let now = now + self.ahead;
        let view = self.view(now);
        let needed = gates.iter().filter(|gate| gate.signal != GateSignal::Alerts).map(|gate| self.queries.needs(gate));
        let mut places = needed.flat_map(|(hits, of)| [of, hits]).flat_map(|what| [(what, STABLE), (what, CANDIDATE)]);
        places.find_map(|(what, arm)| view.unfound(what, arm))
    }

    fn view(&self, now: Time) -> sensors::View<'_> {
        let settled = |from: Time| elapsed(now, from) >= self.pace.settles();
        let course = self.course.iter().rev().find(|(from, _)| *from <= now);
        let serves = course.is_none_or(|(from, share)| settled(*from) && share.is_none_or(|share| share > 0.0));
        sensors::View {
            queries: &self.queries,
            sources: &self.sources,
            recent: &self.recent,
            pace: self.pace,
            share: course.filter(|(from, _)| settled(*from)).and_then(|(_, share)| *share),
            expected: [serves, true].map(|expected| expected && settled(self.since)),
            slow: self.slow.millis(),
        }
    }

    /// A version's signals now. What cannot be measured is absent, what is old says so.
    #[must_use]
    pub fn signals(&self, arm: Arm, now: Time) -> BTreeMap<SignalId, Signal> {
        let now = now + self.ahead;
        let index = index(arm);
        match (self.sources.get(index), self.recent.get(index)) {
            (Some(sources), Some(recent)) => recent.signals(sources, &self.queries, self.slow.millis(), self.pace, now),
            _ => BTreeMap::new(),
        }
    }

    /// Points of a version that are over, oldest first; each is `every` long. They are handed out once.
    pub fn points(&mut self, arm: Arm) -> Vec<Point> {
        self.recent.get_mut(index(arm)).map(Recent::points).unwrap_or_default()
    }

    /// From where on a request is slow: the edge of a bucket, frozen. Keep it for the next [`Subject`].
    #[must_use]
    pub const fn slow_from(&self) -> Option<Duration> {
        self.slow.from()
    }
}

const CANDIDATE: usize = 0;
const STABLE: usize = 1;

const fn index(arm: Arm) -> usize {
    match arm {
        Arm::Candidate => CANDIDATE,
        Arm::Stable | Arm::Both => STABLE,
    }
}

const fn arm_of(index: usize) -> Arm {
    if index == CANDIDATE { Arm::Candidate } else { Arm::Stable }
}

/// `canary` and `stable`, as people call them.
const fn who(index: usize) -> &'static str {
    if index == CANDIDATE { "canary" } else { "stable" }
}

/// Until when all of these were answered; `None` if one was never, or cannot be asked.
fn reached(sources: &[BTreeMap<What, Source>; 2], what: [What; 2], arms: &[usize]) -> Option<Time> {
    let mut least: Option<Time> = None;
    for arm in arms {
        let sources = sources.get(*arm)?;
        let counts = |what: &What| sources.get(what).is_some_and(|source| !source.is_together());
        let beside = What::BESIDE.into_iter().filter(|beside| what.contains(&What::Requests) && counts(beside));
        for what in what.into_iter().chain(beside) {
            let at = sources.get(&what)?.reached()?;
            least = Some(least.map_or(at, |least| least.min(at)));
        }
    }
    least
}

fn extrapolated(sources: &[BTreeMap<What, Source>; 2], arm: usize, what: [What; 2]) -> bool {
    let beside = What::BESIDE.iter().filter(|_| what.contains(&What::Requests));
    what.iter().chain(beside).any(|what| sources.get(arm).and_then(|s| s.get(what)).is_some_and(Source::is_extrapolated))
}

fn before(then: Time, by: Duration) -> Time {
    then.checked_sub_signed(span(by)).unwrap_or(then)
}

fn span(d: Duration) -> chrono::Duration {
    chrono::Duration::from_std(d).unwrap_or(chrono::Duration::MAX)
}

/// What is said of a source beside its name.
fn noted(name: &str, why: Option<&Text>) -> Text {
    why.map_or_else(|| name.into(), |why| format!("{name} ({why})").into())
}

#[cfg(test)]
mod tests;
