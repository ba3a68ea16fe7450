//! One rollout: what a backend is asked of it, what the judge knows of it, what is said of it.
//!
//! When its run, its versions or how often it is measured change, all of it begins anew from the
//! backend's history: what was counted belongs to one pair of versions.

use super::{
    How,
    compared::{Compared, is_moving},
};
use crate::{
    clock::Clock,
    judge::{Ledger, Look, summary},
    metrics::{
        Answer, Metrics, Trouble,
        alerts::{self, Board, Said},
        feed::{Course, Feed, Pace, Question, drive},
    },
    model::{
        gate::{Arm, GateState},
        history::Point,
        ident::{Role, VersionId},
        ratio::Ratio,
        rollout::{Finding, Rollout},
        signal::SignalId,
        spec::{GateSignal, GateSpec},
        text::Text,
        time::{Time, elapsed},
        version::Track,
    },
};

/// Rollouts that nobody has opened are measured so many times as seldom.
const SELDOM: u32 = 4;

/// See the [module](self).
pub struct Judged {
    compared: Option<Compared>,
    pace: Pace,
    feed: Option<Feed>,
    /// Why nothing is asked.
    trouble: Option<(Text, Time)>,
    ledger: Ledger,
    gates: Vec<GateState>,
    course: Course,
    place: Place,
    fired: Option<Fired>,
}

/// What fires about the rollout, and when that was told; why it was not told the last time.
#[derive(Clone, Debug)]
struct Fired {
    at: Option<Time>,
    lines: Vec<Text>,
    trouble: Option<Text>,
}

/// The candidate's declared share, and since when the router or the pods do it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Place {
    declared: Option<Ratio>,
    converged: Option<Time>,
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
        let goes_on = match (&self.compared, &compared) {
            (Some(before), Some(after)) => before.goes_on(after) && self.pace == pace,
            (None, None) => true,
            _ => false,
        };
        if !goes_on {
            *self = Self::of(compared, pace);
            self.begin(how, now);
        }
        self.follow_share(rollout, how, now);
        !goes_on
    }

    fn of(compared: Option<Compared>, pace: Pace) -> Self {
        Self {
            compared,
            pace,
            feed: None,
            trouble: None,
            ledger: Ledger::default(),
            gates: Vec::new(),
            course: Course::new(),
            place: Place::default(),
            fired: None,
        }
    }

    fn begin(&mut self, how: &How, now: Time) {
        let Some(compared) = &self.compared else { return };
        let counted: Vec<GateSpec> = how.gates.iter().filter(|g| g.signal != GateSignal::Alerts).cloned().collect();
        match Feed::new(how.queries.clone(), &counted, self.pace, &compared.subject(now), now) {
            Ok(feed) => self.feed = Some(feed),
            Err(why) => self.trouble = Some((format!("not judged: {why}").into(), now)),
        }
        self.ledger.stable_is(compared.stable.as_str());
    }

    /// The plan moves: an interval ends where another share begins, and what belongs to a weight starts
    /// anew when it has converged.
    fn follow_share(&mut self, rollout: &Rollout, how: &How, now: Time) {
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
            self.place = Place { declared, converged: None };
            if let Some(feed) = &mut self.feed {
                feed.follow(self.course.clone());
            }
        }
        if self.place.converged.is_none() && candidate.is_some_and(has_converged) {
            let since = self.course.last().map(|(since, _)| *since).filter(|_| self.course.len() == 1);
            self.place.converged = Some(since.unwrap_or(now));
        }
        self.ledger.follow(compared.run.as_ref(), self.place.converged, &how.gates);
    }

    /// What must be asked now.
    pub fn due(&mut self, now: Time) -> Vec<Question> {
        self.feed.as_mut().map(|feed| feed.due(now)).unwrap_or_default()
    }

    /// When there is something to ask again; `None` for never.
    pub fn next(&self, now: Time) -> Option<Time> {
        self.feed.as_ref().map(|feed| feed.next().unwrap_or(now))
    }

    /// Takes in an answer.
    pub fn take(&mut self, question: &Question, answer: Result<Answer, Trouble>) {
        if let Some(feed) = &mut self.feed {
            feed.take(question, answer);
        }
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
            Ok(firing) => Fired { at: Some(now), lines: board.about(compared.service(), since, firing), trouble: None },
            Err(trouble) => {
                let (at, lines) = before.map_or((None, Vec::new()), |before| (before.at, before.lines));
                Fired { at, lines, trouble: Some(trouble.to_string().into()) }
            }
        });
    }

    /// Whether older samples are still being read: what could be said now would not be of now.
    pub fn is_behind(&self, now: Time) -> bool {
        self.next(now).is_some_and(|next| next <= now)
    }

    /// Asks until nothing older is left to be read.
    pub async fn catch_up<M: Metrics>(&mut self, backend: &M, clock: &dyn Clock) {
        while let Some(feed) = &mut self.feed {
            drive(feed, backend, clock.now()).await;
            if feed.next().is_some_and(|next| next > clock.now()) {
                return;
            }
        }
    }

    /// Feeds the judge with what is over, and asks it: for all evidence in words, or for what a line in a list
    /// of rollouts says.
    pub fn judge(&mut self, how: &How, in_words: bool, now: Time) {
        let (Some(compared), Some(feed)) = (&self.compared, &mut self.feed) else { return };
        for (id, interval) in feed.intervals() {
            let Some(gate) = how.gates.iter().find(|g| g.name == id) else { continue };
            self.ledger.feed_measured(gate, &interval);
        }
        if compared.run.is_none() {
            self.gates.clear();
            return;
        }
        let fired = self.fired.as_ref();
        let look = |gate: &GateSpec| {
            if gate.signal == GateSignal::Alerts {
                return look_at_alerts(fired, self.pace, now);
            }
            let (sensors, queries) = feed.look(gate, now);
            Look { sensors, queries, alerts: Vec::new() }
        };
        let said = if in_words { self.ledger.judge(&how.gates, look, now) } else { self.ledger.decide(&how.gates, look, now) };
        self.gates = said.to_vec();
    }

    /// What was measured of each version since the last time, second by second.
    pub fn points(&mut self) -> Vec<(VersionId, Vec<Point>)> {
        let (Some(compared), Some(feed)) = (&self.compared, &mut self.feed) else { return Vec::new() };
        let versions = [(Arm::Stable, Some(&compared.stable)), (Arm::Candidate, compared.candidate.as_ref())];
        let points = versions.into_iter().filter_map(|(arm, version)| {
            let points: Vec<Point> = feed.points(arm).iter().flat_map(super::past::seconds).collect();
            version.filter(|_| !points.is_empty()).map(|version| (version.clone(), points))
        });
        points.collect()
    }

    /// The same rollout with what is known of it.
    pub fn decorate(&self, mut rollout: Rollout, now: Time) -> Rollout {
        if let Some((what, since)) = &self.trouble {
            rollout.findings.push(Finding { kind: "metrics".into(), what: what.clone(), since: *since });
        }
        let alerts = self.fired.iter().flat_map(|fired| fired.lines.iter().map(move |what| (what, fired.at)));
        rollout.findings.extend(alerts.map(|(what, at)| Finding { kind: "alerts".into(), what: what.clone(), since: at.unwrap_or(now) }));
        let (Some(compared), Some(feed)) = (&self.compared, &self.feed) else { return rollout };
        for track in &mut rollout.tracks {
            let arm = match &track.version.id {
                id if *id == compared.stable => Arm::Stable,
                id if Some(id) == compared.candidate.as_ref() => Arm::Candidate,
                _ => continue,
            };
            track.signals.extend(feed.signals(arm, now));
        }
        see_shares(&mut rollout.tracks);
        rollout.gates.clone_from(&self.gates);
        rollout.verdict = summary(&self.gates);
        rollout
    }
}

/// What a gate over alerts rests on: as old as the last list of what fires.
fn look_at_alerts(fired: Option<&Fired>, pace: Pace, now: Time) -> Look {
    let age = fired.and_then(|fired| fired.at).map(|at| elapsed(now, at));
    let why = fired.and_then(|fired| fired.trouble.as_ref()).map(|why| format!(" ({why})")).unwrap_or_default();
    let sensor = alerts::sensor(format!("alerts{why}").into(), age, pace);
    Look { sensors: vec![sensor], queries: Vec::new(), alerts: fired.map(|fired| fired.lines.clone()).unwrap_or_default() }
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

/// What was seen of the shares, counted in requests, where both versions' are measured now.
fn see_shares(tracks: &mut [Track]) {
    let main = |t: &Track| matches!(t.role, Role::Stable | Role::Candidate);
    let counted = |t: &Track| Some(t.signals.get(&SignalId::Requests)?.reading.fresh()?.samples());
    let counts: Option<Vec<u64>> = tracks.iter().filter(|t| main(t)).map(counted).collect();
    let Some(whole) = counts.filter(|all| all.len() > 1).map(|all| all.iter().sum()).filter(|whole| *whole > 0) else { return };
    for track in tracks.iter_mut().filter(|t| main(t)) {
        if let Some(parts) = counted(track) {
            track.share.seen = Some(Ratio { parts, whole });
            track.share.basis = "requests".into();
        }
    }
}
