//! One rollout: what a backend is asked of it, what the judge knows of it, what is said of it.
//!
//! When its run or its versions change, all of it begins anew from the backend's history: what was counted
//! belongs to one pair of versions. How often it is measured changes nothing of what is known.

use super::{
    How,
    compared::{Compared, is_moving},
    lent::Lent,
};
use crate::{
    clock::Clock,
    judge::{Ledger, Look, summary},
    metrics::{
        Answer, Metrics, Trouble,
        alerts::{self, Board, Said},
        borrowed::Borrowed,
        feed::{BACKFILL, Course, Feed, Pace, Question, note_ready},
        preset::Queries,
    },
    model::{
        decided::{Decided, Decision},
        gate::{Arm, GateState},
        history::Point,
        ident::{Role, VersionId},
        instance::InstanceState,
        interval::Query,
        ratio::{Ratio, Weight},
        rollout::{Finding, MeasuredBy, Rollout},
        signal::SignalId,
        spec::{GateSignal, GateSpec, OnFail},
        text::Text,
        time::{Time, elapsed},
        version::Track,
    },
};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Rollouts that nobody has opened are measured so many times as seldom.
const SELDOM: u32 = 4;

/// See the [module](self).
pub struct Judged {
    compared: Option<Compared>,
    pace: Pace,
    /// What is asked: by the configuration, then by what the rollout's own analyses ask.
    lanes: Vec<Lane>,
    /// The gates that are judged.
    specs: Vec<GateSpec>,
    lent: Lent,
    /// Why nothing is asked.
    trouble: Option<(Text, Time)>,
    /// What a person has to know about the last answer to each query, and since when.
    remarks: BTreeMap<(usize, &'static str), (Text, Time)>,
    ledger: Ledger,
    /// Whether the ledger follows the run; before that it learns how stable's errors came.
    opened: bool,
    course: Course,
    /// When instances of the candidate got ready.
    ready_at: BTreeSet<Time>,
    place: Place,
    fired: Option<Fired>,
}

/// Gates that are counted from the same queries.
struct Lane {
    feed: Feed,
    gates: Vec<GateSpec>,
}

/// What fires about the rollout, and when that was told; why it was not told the last time.
#[derive(Clone, Debug, Default)]
struct Fired {
    at: Option<Time>,
    lines: Vec<Text>,
    /// What was asked then, and whose alerts are meant.
    query: Option<Query>,
    trouble: Option<Text>,
}

/// The candidate's declared share, and since when the router or the pods do it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Place {
    declared: Option<Ratio>,
    converged: Option<Time>,
    /// What the router says it does, where what is seen of the requests can be held against that: not
    /// where pods make the share, nor where clients stick to theirs, nor while the candidate has none ready.
    routed: Option<Weight>,
}

/// How often a rollout is measured; `None` where nothing of it is looked at.
pub fn pace(rollout: &Rollout, is_open: bool, usual: Pace) -> Option<Pace> {
    let candidate = rollout.tracks.iter().any(|t| t.role == Role::Candidate);
    match (is_open, is_moving(rollout) && candidate) {
        (true, _) => Some(usual),
        (false, true) => Some(Pace { every: usual.every.saturating_mul(SELDOM), ..usual }),
        (false, false) => None,
    }
}

impl Judged {
    /// Nothing was asked yet.
    pub fn new(rollout: &Rollout, pace: Pace, how: &How, now: Time) -> Self {
        let mut judged = Self::of(None, pace);
        judged.follow(rollout, pace, how, now);
        judged
    }

    /// The rollout is so now. True when everything begins anew: answers to older questions are nobody's.
    pub fn follow(&mut self, rollout: &Rollout, pace: Pace, how: &How, now: Time) -> bool {
        let compared = Compared::of(rollout, &how.variables);
        let same = match (&self.compared, &compared) {
            (Some(before), Some(after)) => before.goes_on(after),
            (None, None) => true,
            _ => false,
        };
        if same {
            self.pace = pace;
            self.lanes.iter_mut().for_each(|lane| lane.feed.set_pace(pace));
        } else {
            *self = Self::of(compared, pace);
            self.begin(how, now);
        }
        if how.analyses {
            self.borrow(rollout, now);
        }
        self.follow_share(rollout, now);
        self.follow_instances(rollout);
        !same
    }

    fn of(compared: Option<Compared>, pace: Pace) -> Self {
        Self {
            compared,
            pace,
            lanes: Vec::new(),
            specs: Vec::new(),
            lent: Lent::default(),
            trouble: None,
            remarks: BTreeMap::new(),
            ledger: Ledger::default(),
            opened: false,
            course: Course::new(),
            ready_at: BTreeSet::new(),
            place: Place::default(),
            fired: None,
        }
    }

    fn begin(&mut self, how: &How, now: Time) {
        let Some(compared) = &self.compared else { return };
        self.ledger.stable_is(compared.stable.as_str());
        let (alerts, counted): (Vec<GateSpec>, Vec<GateSpec>) = how.gates.iter().cloned().partition(|g| g.signal == GateSignal::Alerts);
        if how.queries.all().next().is_none() {
            self.specs = alerts;
            return;
        }
        if self.open(how.queries.clone(), counted, now) {
            self.specs.clone_from(&how.gates);
        }
    }

    /// Asks these queries too. False, with the trouble, where they cannot be asked.
    fn open(&mut self, queries: Queries, gates: Vec<GateSpec>, now: Time) -> bool {
        let Some(compared) = &self.compared else { return false };
        let mut subject = compared.subject(now);
        if self.opened {
            // It would come too late: a ledger learns of stable alone only while it follows no run.
            subject.look_back = Duration::ZERO;
        }
        match Feed::new(queries, &gates, self.pace, &subject, now) {
            Ok(feed) => {
                // Every lane counts the same requests, or, borrowed, some of them.
                let mut feed = if self.lanes.is_empty() { feed.counting_requests() } else { feed };
                feed.follow(self.course.clone());
                self.lanes.push(Lane { feed, gates });
                true
            }
            Err(why) => {
                self.trouble = Some((format!("not judged: {why}").into(), now));
                false
            }
        }
    }

    /// What the rollout's own analyses ask, where a candidate is compared.
    fn borrow(&mut self, rollout: &Rollout, now: Time) {
        let Some(compared) = self.compared.as_ref().filter(|c| c.candidate.is_some()) else { return };
        let new = self.lent.follow(rollout, compared.values(), &self.specs);
        self.lend(new, now);
    }

    fn lend(&mut self, new: Vec<Borrowed>, now: Time) {
        for Borrowed { gate, queries } in new {
            if self.open(queries, vec![gate.clone()], now) {
                self.specs.push(gate);
            }
        }
        // What is configured and asks the same is told beside the same rule.
        let gates = self.specs.iter_mut().chain(self.lanes.iter_mut().flat_map(|lane| &mut lane.gates));
        for gate in gates.filter(|gate| gate.rules.is_none_or(|rules| rules.analysis.is_none())) {
            if let Some(analysis) = self.lent.rules_of(gate) {
                gate.rules.get_or_insert_default().analysis = Some(analysis);
            }
        }
    }

    /// The plan moves: an interval ends where another share begins, and what belongs to a weight starts
    /// anew when it has converged.
    fn follow_share(&mut self, rollout: &Rollout, now: Time) {
        let Some(compared) = &self.compared else { return };
        let candidate = rollout.tracks.iter().find(|t| Some(&t.version.id) == compared.candidate.as_ref());
        let declared = candidate.and_then(|t| t.share.declared);
        if declared != self.place.declared {
            // Seen for the first time it may have been so for long: since the plan is where it is, or,
            // without a plan, since the run began.
            let first = self.course.is_empty();
            let known = rollout.at.map_or_else(|| compared.since(now), |at| at.since);
            let since = if first { known.min(now) } else { now };
            self.course.push((since, declared.and_then(Ratio::percent).map(|percent| percent / 100.0)));
            self.place = Place { declared, ..Place::default() };
            for lane in &mut self.lanes {
                lane.feed.follow(self.course.clone());
            }
        }
        if self.place.converged.is_none() && candidate.is_some_and(has_converged) {
            let since = self.course.last().map(|(since, _)| *since).filter(|_| self.course.len() == 1);
            self.place.converged = Some(since.unwrap_or(now));
        }
        self.place.routed = candidate.filter(|_| share_all(&rollout.tracks)).and_then(routed);
        self.follow_run();
    }

    /// Its instances that are ready, and since when: latencies are not judged while one warms up. One that is
    /// gone warmed up all the same.
    fn follow_instances(&mut self, rollout: &Rollout) {
        let Some(candidate) = self.compared.as_ref().and_then(|c| c.candidate.as_ref()) else { return };
        let tracks = rollout.tracks.iter().filter(|t| t.version.id == *candidate);
        let instances = tracks.flat_map(|t| &t.pools).flat_map(|pool| &pool.instances);
        note_ready(&mut self.ready_at, instances.filter(|i| i.state == InstanceState::Ready).map(|i| i.since));
        for lane in &mut self.lanes {
            lane.feed.got_ready(self.ready_at.iter().copied());
        }
    }

    fn follow_run(&mut self) {
        if let Some(compared) = self.compared.as_ref().filter(|_| self.opened) {
            self.ledger.follow(compared.run.as_ref(), self.place.converged, &self.specs);
        }
    }

    /// What stable did before the run is learnt first.
    fn open_run(&mut self) {
        for lane in &mut self.lanes {
            for (id, interval) in lane.feed.before() {
                if let Some(gate) = lane.gates.iter().find(|g| g.name == id).filter(|_| !self.opened) {
                    self.ledger.feed(gate, &interval);
                }
            }
        }
        if !self.opened {
            self.opened = true;
            self.follow_run();
        }
    }

    /// What must be asked now, each with whom its answer is for.
    pub fn due(&mut self, now: Time) -> Vec<(usize, Question)> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.flat_map(|(n, lane)| lane.feed.due(now).into_iter().map(move |question| (n, question))).collect()
    }

    /// When there is something to ask again; `None` for never.
    pub fn next(&self, now: Time) -> Option<Time> {
        self.lanes.iter().map(|lane| lane.feed.next().unwrap_or(now)).min()
    }

    /// Takes in what `place` answered.
    pub fn take(&mut self, (n, question): &(usize, Question), answer: Result<Answer, Trouble>, how: &How, place: &Text) {
        let about = (*n, question.name());
        // Whoever is away is said by the sensors of every gate; a query that is wrong is wrong for ever.
        let wrong = answer.as_ref().err().is_none_or(Trouble::is_about_the_query);
        match how.origin.remark(question.name(), place, &answer).filter(|_| wrong) {
            Some(remark) => {
                let before = self.remarks.get(&about).filter(|(said, _)| *said == remark);
                let since = before.map_or(question.at, |(_, since)| *since);
                self.remarks.insert(about, (remark, since));
            }
            None => drop(self.remarks.remove(&about)),
        }
        if let Some(lane) = self.lanes.get_mut(*n) {
            lane.feed.take(question, answer);
        }
    }

    /// Whether anything was said yet.
    pub fn has_said(&self) -> bool {
        !self.gates().is_empty()
    }

    /// How often it is measured.
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes in what fires: what is about this rollout and began after its run did.
    pub fn take_alerts(&mut self, said: &Said, board: &Board, now: Time) {
        let Some(compared) = &self.compared else { return };
        let (before, since) = (self.fired.take(), compared.since(now));
        self.fired = Some(match said {
            Ok(firing) => Fired {
                at: Some(now),
                lines: board.about(compared.whom(), since, firing),
                query: Some(board.query(compared.whom(), since, now)),
                trouble: None,
            },
            Err(trouble) => {
                let before = before.unwrap_or_default();
                Fired { trouble: Some(trouble.to_string().into()), ..before }
            }
        });
    }

    /// Whether older samples are still being read: what could be said now would not be of now.
    pub fn is_behind(&self, now: Time) -> bool {
        self.next(now).is_some_and(|next| next <= now)
    }

    /// Asks until nothing older is left to be read.
    pub async fn catch_up<M: Metrics>(&mut self, backend: &M, how: &How, clock: &dyn Clock) {
        while self.is_behind(clock.now()) {
            let questions = self.due(clock.now());
            let answers = join_all(questions.iter().map(|(_, question)| backend.instant(&question.text, question.at))).await;
            for (question, answer) in questions.iter().zip(answers) {
                self.take(question, answer, how, backend.place());
            }
        }
    }

    /// Feeds the judge with what is over, and asks it: for all evidence in words, or for what a line in a list
    /// of rollouts says.
    pub fn judge(&mut self, in_words: bool, now: Time) {
        self.open_run();
        let Some(compared) = self.compared.as_ref().filter(|_| !self.specs.is_empty() || !self.lanes.is_empty()) else { return };
        let weight = self.place.routed.zip(self.place.converged);
        for lane in &mut self.lanes {
            for (id, interval) in lane.feed.intervals() {
                if let Some(gate) = lane.gates.iter().find(|g| g.name == id) {
                    self.ledger.feed_measured(gate, &interval);
                }
            }
            let requests = lane.feed.requests().into_iter();
            for interval in requests.filter(|interval| weight.is_none_or(|(_, since)| interval.start >= since)) {
                self.ledger.routed(weight, interval.candidate.of, interval.stable.of, interval.end);
            }
        }
        if compared.run.is_none() {
            return;
        }
        let (fired, lanes) = (self.fired.as_ref(), &self.lanes);
        let look = |gate: &GateSpec| {
            if gate.signal == GateSignal::Alerts {
                return look_at_alerts(fired, self.pace, now);
            }
            let lane = lanes.iter().find(|lane| lane.gates.iter().any(|g| g.name == gate.name));
            let (sensors, queries) = lane.map(|lane| lane.feed.look(gate, now)).unwrap_or_default();
            Look { sensors, queries, alerts: Vec::new() }
        };
        if in_words {
            self.ledger.judge(look, now);
        } else {
            self.ledger.decide(look, now);
        }
    }

    /// What was measured of each version since the last time, second by second.
    pub fn points(&mut self) -> Vec<(VersionId, Vec<Point>)> {
        let (Some(compared), Some(lane)) = (&self.compared, self.lanes.first_mut()) else { return Vec::new() };
        let versions = [(Arm::Stable, Some(&compared.stable)), (Arm::Candidate, compared.candidate.as_ref())];
        let points = versions.into_iter().filter_map(|(arm, version)| {
            let points: Vec<Point> = lane.feed.points(arm).iter().flat_map(super::past::seconds).collect();
            version.filter(|_| !points.is_empty()).map(|version| (version.clone(), points))
        });
        points.collect()
    }

    /// The same rollout with what is known of it.
    pub fn decorate(&self, mut rollout: Rollout, told: MeasuredBy, now: Time) -> Rollout {
        rollout.measured = Some(told);
        // Several queries of one server say the same of its clock.
        let remarks: BTreeMap<&Text, Time> = self.remarks.values().rev().map(|(what, since)| (what, *since)).collect();
        let troubles = self.trouble.iter().map(|(what, since)| (what, *since)).chain(remarks);
        rollout.findings.extend(troubles.map(|(what, since)| Finding { kind: "metrics".into(), what: what.clone(), since }));
        // It never found anything.
        let unfound = |lane: &Lane| Some((lane.feed.unfound(&lane.gates, now)?, lane.feed.since()));
        let unfound = self.lanes.iter().find_map(unfound);
        rollout.findings.extend(unfound.map(|(what, since)| Finding { kind: "metrics".into(), what, since }));
        rollout.findings.extend(self.partly_read(now));
        let alerts = self.fired.iter().flat_map(|fired| fired.lines.iter().map(move |what| (what, fired.at)));
        rollout.findings.extend(alerts.map(|(what, at)| Finding { kind: "alerts".into(), what: what.clone(), since: at.unwrap_or(now) }));
        self.lent.say(&mut rollout);
        let (Some(compared), Some(lane)) = (&self.compared, self.lanes.first()) else { return rollout };
        for track in &mut rollout.tracks {
            let arm = match &track.version.id {
                id if *id == compared.stable => Arm::Stable,
                id if Some(id) == compared.candidate.as_ref() => Arm::Candidate,
                _ => continue,
            };
            track.signals.extend(lane.feed.signals(arm, now));
        }
        see_shares(&mut rollout.tracks);
        rollout.gates = self.gates().iter().cloned().map(advising).collect();
        rollout.verdict = summary(&rollout.gates);
        rollout
    }

    /// What is known of the run now, which is to be kept: `rollout` as it was while it moved.
    pub fn decided(&mut self, rollout: &Rollout, what: Decision, now: Time) -> Option<Decided> {
        let run = self.compared.as_ref()?.run.clone()?;
        if !self.has_said() {
            return None;
        }
        self.judge(true, now);
        let label = |role| rollout.track(role).map(|t| t.version.label.clone());
        let gates = self.gates().iter().cloned().map(advising).collect();
        let (version, beside) = (label(Role::Candidate).unwrap_or_default(), label(Role::Stable));
        Some(Decided { run, at: now, what, version, beside, gates, dropped: 0 })
    }

    /// That the beginning of a run is in no gate, because it is too long ago to be read.
    fn partly_read(&self, now: Time) -> Option<Finding> {
        let compared = self.compared.as_ref().filter(|c| c.run.is_some())?;
        let (began, since) = (compared.since(now), self.lanes.first()?.feed.since());
        let hours = BACKFILL.as_secs() / 3_600;
        let what = format!(
            "evidence is since {} UTC: the run began at {}, and no more than {hours} h are read",
            since.format("%F %H:%M"),
            began.format("%F %H:%M"),
        );
        (since > began).then(|| Finding { kind: "metrics".into(), what: what.into(), since })
    }

    /// What was said last; nothing where no run is judged.
    fn gates(&self) -> &[GateState] {
        if self.compared.as_ref().is_some_and(|c| c.run.is_some()) { self.ledger.said() } else { &[] }
    }
}

/// Nothing here acts by itself, and the split is nobody's configured gate.
fn advising(gate: GateState) -> GateState {
    GateState { on_fail: OnFail::Advise, ..gate }
}

/// What a gate over alerts rests on: as old as the last list of what fires.
fn look_at_alerts(fired: Option<&Fired>, pace: Pace, now: Time) -> Look {
    let age = fired.and_then(|fired| fired.at).map(|at| elapsed(now, at));
    let why = fired.and_then(|fired| fired.trouble.as_ref()).map(|why| format!(" ({why})")).unwrap_or_default();
    let sensor = alerts::sensor(format!("alerts{why}").into(), age, pace);
    let queries = fired.and_then(|fired| fired.query.clone()).into_iter().collect();
    Look { sensors: vec![sensor], queries, alerts: fired.map(|fired| fired.lines.clone()).unwrap_or_default() }
}

/// Whether its share is what was declared: by the router's word, and where replicas make the share, when
/// all of its pods are ready.
fn has_converged(track: &Track) -> bool {
    let all_ready = || track.pools.iter().all(|pool| pool.ready >= pool.desired) && track.pools.iter().any(|pool| pool.desired > 0);
    match (track.share.programmed, track.share.declared) {
        (Some(programmed), Some(declared)) => programmed.percent() == declared.percent(),
        _ => all_ready(),
    }
}

/// Whether the two versions that are compared have all the traffic: an experiment's requests are not counted.
fn share_all(tracks: &[Track]) -> bool {
    let declared = tracks.iter().filter(|t| is_main(t)).filter_map(|t| t.share.declared?.percent());
    (declared.sum::<f64>() - 100.0).abs() < 0.01
}

const fn is_main(track: &Track) -> bool {
    matches!(track.role, Role::Stable | Role::Candidate)
}

/// The share that a router says it gives the candidate, where requests can show that it does.
fn routed(candidate: &Track) -> Option<Weight> {
    let share = &candidate.share;
    let serves = !share.sticky && candidate.pools.iter().any(|pool| pool.ready > 0);
    let programmed = share.programmed.filter(|_| serves && share.programmed == share.declared)?;
    Weight::from_percent(programmed.percent()?).filter(|weight| *weight > Weight::ZERO)
}

/// What was seen of the shares, counted in requests, where both versions' are measured now.
fn see_shares(tracks: &mut [Track]) {
    let counted = |t: &Track| Some(t.signals.get(&SignalId::Requests)?.reading.fresh()?.samples());
    let counts: Option<Vec<u64>> = tracks.iter().filter(|t| is_main(t)).map(counted).collect();
    let Some(whole) = counts.filter(|all| all.len() > 1).map(|all| all.iter().sum()).filter(|whole| *whole > 0) else { return };
    for track in tracks.iter_mut().filter(|t| is_main(t)) {
        if let Some(parts) = counted(track) {
            track.share.seen = Some(Ratio { parts, whole });
            track.share.basis = "requests".into();
        }
    }
}
