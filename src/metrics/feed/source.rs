//! One query of one version: what is asked next, and what came of the answers.

use super::{
    CANDIDATE, Pace, before,
    gates::{Birth, is_edge},
    span, who,
};
use crate::{
    metrics::{
        Answer, Series, Trouble, Value,
        counting::{Counter, Coverage, Increment, Reads, Targets, class_of},
        preset::{Asked, Queries, What},
        selector,
        template::{Template, Variables, window_text},
    },
    model::{
        interval::Query,
        text::Text,
        time::{Time, after, elapsed},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// With more series than this the backend adds up.
pub const MOST_SERIES: f64 = 2_000.0;

/// The longest that is asked for at once: older samples are read in pieces.
const LONGEST: Duration = Duration::from_secs(600);

/// How often series are counted again.
const RECOUNT: chrono::Duration = chrono::Duration::minutes(10);

/// So long it is remembered that something began to serve.
const REMEMBERED: chrono::Duration = chrono::Duration::hours(24);

/// How a question is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// How many series there are.
    Size,
    /// Raw samples from here on.
    Samples { from: Time },
    /// What came since, as the backend computes it.
    Increase { from: Time },
    /// When the newest sample was taken.
    Newest,
    /// How many targets appeared since, where the backend adds up.
    Born { from: Time },
    /// A value of now.
    Now,
    /// How many series it has in common with the other version's query.
    Common,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Source {
    what: What,
    template: Template,
    values: Variables,
    reads: Reads,
    /// Whether latencies are not judged while what they came from warms up: those of the candidate.
    warms: bool,
    /// A plain selector can be counted sample by sample.
    plain: bool,
    counter: Counter,
    /// Series, when they were counted last.
    size: Option<(f64, Time)>,
    /// Everything up to here was read.
    reached: Time,
    answered: bool,
    /// Up to when it was to be read.
    wanted: Option<Time>,
    /// Up to here it was counted in the other way.
    counted: Option<Time>,
    /// The newest sample that the backend knows, where it adds up or computes a value of now.
    newest: Option<Time>,
    /// Whether the last answer had a series.
    there: bool,
    /// Whether a sample said what became of a request.
    coded: bool,
    /// The edges of the buckets that were seen, by their bits.
    edges: BTreeSet<u64>,
    value: Option<(Time, f64)>,
    /// When something began to serve, as far as the counter does not know it.
    births: Vec<Birth>,
    /// With the values, with their age, with births: an answer to the one says nothing of the others.
    troubles: [Option<Text>; 3],
    /// It measures both versions together.
    together: bool,
    /// What counts the series that it shares with the other version's query, where they are added up elsewhere.
    common: Option<String>,
    asked: Option<Query>,
}

impl Source {
    /// Nothing was asked yet; samples are wanted from `from` on.
    ///
    /// # Errors
    /// In one line, with the name of the query: a name in it that has no value.
    pub fn new(queries: &Queries, (what, asked): (What, &Asked), arm: usize, values: &Variables, from: Time) -> Result<Self, String> {
        let (template, plain) = (if arm == CANDIDATE { &asked.canary } else { &asked.stable }, asked.metric.is_some());
        template.fill(values, LONGEST).map_err(|why| format!("query `{}`: {why}", what.name()))?;
        let codes = what == What::Requests || what.is_beside();
        let reads = Reads {
            code_label: queries.code_label.clone().filter(|_| codes),
            code_values: queries.code_values,
            grpc_label: queries.grpc_label.clone().filter(|_| codes),
            // Whoever sent them is no instance of the version.
            instance_label: queries.instance_label.clone().filter(|_| !what.is_beside()),
            changing_label: queries.changing_label.clone(),
            to_millis: (what == What::Latency).then_some(queries.to_millis),
            level: what == What::Ready,
        };
        Ok(Self {
            what,
            template: template.clone(),
            values: values.clone(),
            counter: Counter::new(reads.clone()),
            reads,
            warms: arm == CANDIDATE && what == What::Latency,
            plain,
            size: None,
            reached: from,
            answered: false,
            wanted: None,
            counted: None,
            newest: None,
            there: false,
            coded: false,
            edges: BTreeSet::new(),
            value: None,
            births: Vec::new(),
            troubles: [None, None, None],
            together: false,
            common: None,
            asked: None,
        })
    }

    /// What to ask now, and for which time.
    pub fn due(&mut self, at: Time, now: Time, pace: Pace) -> Vec<(Kind, String, Time)> {
        if self.together {
            return Vec::new();
        }
        let before_that = self.wanted.replace(at);
        if self.what.is_now() {
            // While older samples of others are read, this is asked no more often than otherwise.
            if before_that.is_some_and(|then| then <= at && at - then < span(pace.every) / 2) {
                self.wanted = before_that;
                return Vec::new();
            }
            let Some(text) = self.filled(pace.window()) else { return Vec::new() };
            let newest = self.newest_text(pace.window()).map(|text| (Kind::Newest, text, at));
            return newest.into_iter().chain([(Kind::Now, text, at)]).collect();
        }
        if self.answered && self.reached >= at {
            return Vec::new();
        }
        let Some(selector) = self.filled(pace.window()) else { return Vec::new() };
        // Counted before anything else: ten minutes of too many series are too much.
        let counted = |(_, then): (f64, Time)| now - then <= RECOUNT;
        if self.plain && !self.size.is_some_and(counted) {
            return vec![(Kind::Size, format!("count({selector})"), at)];
        }
        // Samples may have come late, so every window overlaps the one before.
        let overlap = pace.window();
        let step = LONGEST.saturating_sub(overlap).max(overlap);
        let end = at.min(after(self.reached, step));
        if self.is_extrapolated() {
            // How old it is is asked every time: between two windows it would look stale.
            let newest = self.newest_text(pace.window()).map(|text| (Kind::Newest, text, end));
            let length = elapsed(end, self.reached);
            let whole = if length < pace.window() { None } else { self.increase(length) };
            let whole = whole.map(|text| (Kind::Increase { from: self.reached }, text, end));
            let born = whole.as_ref().and_then(|_| self.born_text(length)).map(|text| (Kind::Born { from: self.reached }, text, end));
            let common = whole.as_ref().and(self.common.clone()).map(|text| (Kind::Common, text, end));
            return common.into_iter().chain(newest).chain(born).chain(whole).collect();
        }
        let from = before(self.reached.min(end), overlap);
        // Whole seconds, rounded up: it reaches at least that far.
        let window = Duration::from_secs(elapsed(end, from).as_secs() + 1);
        vec![(Kind::Samples { from }, format!("{selector}[{}]", window_text(window)), end)]
    }

    /// Whether there is more to ask at once: it answers, and what was wanted was not all read.
    pub fn is_behind(&self, pace: Pace) -> bool {
        !self.together
            && self.trouble().is_none()
            && !self.what.is_now()
            && self.wanted.is_some_and(|wanted| wanted - self.reached >= self.least(pace))
    }

    /// Whether what came before `first` is still being read, up to `at`; what cannot be read is not waited for.
    pub fn is_before(&self, first: Time, at: Time, pace: Pace) -> bool {
        !self.together && !self.what.is_now() && self.trouble().is_none() && self.reached < first && at - self.reached >= self.least(pace)
    }

    /// The least that is asked for.
    fn least(&self, pace: Pace) -> chrono::Duration {
        if self.is_extrapolated() { span(pace.window()) } else { chrono::Duration::milliseconds(1) }
    }

    /// Takes in an answer. A partial one counts for nothing: it is asked again, and nothing is lost.
    pub fn take(
        &mut self,
        (kind, text, at): (&Kind, &str, Time),
        answer: Result<Answer, Trouble>,
        pace: Pace,
        targets: &mut Targets,
    ) -> Vec<Increment> {
        if *kind == Kind::Common {
            // What is asked beside the counts takes nothing away from them.
            let common = answer.ok().and_then(|answer| one(&answer).ok().flatten());
            self.together |= common.is_some_and(|(_, series)| series > 0.0);
            return Vec::new();
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(trouble) => {
                self.fail(kind, at, Text::from(trouble.to_string()));
                return Vec::new();
            }
        };
        if !matches!(kind, Kind::Size | Kind::Newest | Kind::Born { .. }) {
            let name = self.what.name().into();
            self.asked = Some(Query { name, text: text.into(), at, warnings: answer.warnings.clone(), infos: answer.infos.clone() });
        }
        if let Some(warning) = answer.warnings.first() {
            self.fail(kind, at, format!("partial answer: {warning}").into());
            return Vec::new();
        }
        let came = match kind {
            Kind::Size => one(&answer).map(|size| {
                self.resize(size.map_or(0.0, |(_, n)| n), at);
                Vec::new()
            }),
            Kind::Newest => one(&answer).map(|newest| {
                let seen = newest.and_then(|(_, seconds)| instant(seconds)).map(|newest| newest.min(at));
                // Samples that are there and cannot be added up say nothing: what was added up is as old as it is.
                let known = after(self.reached, pace.window() + pace.every);
                let seen = seen.map(|newest| if self.what.is_now() { newest } else { newest.min(known) });
                self.newest = self.newest.max(seen);
                Vec::new()
            }),
            Kind::Born { from } => one(&answer).map(|born| {
                if born.is_some_and(|(_, n)| n > 0.0) {
                    self.note_birth(*from, at);
                }
                Vec::new()
            }),
            Kind::Now => one(&answer).map(|value| {
                self.there = value.is_some();
                self.value = value;
                Vec::new()
            }),
            Kind::Samples { from } => Ok(self.samples(&answer.series, (*from, at), pace, targets)),
            Kind::Increase { from } => self.increases(&answer.series, *from, at),
            Kind::Common => Ok(Vec::new()),
        };
        match came {
            Ok(came) => {
                if let Some(trouble) = self.troubles.get_mut(slot(kind)) {
                    *trouble = None;
                }
                self.edges.extend(came.iter().filter_map(|i| i.class.edge.map(f64::to_bits)));
                self.coded |= came.iter().any(|i| i.class.outcome.is_some() || i.class.grpc.is_some());
                came
            }
            Err(why) => {
                self.fail(kind, at, why);
                Vec::new()
            }
        }
    }

    fn fail(&mut self, kind: &Kind, at: Time, why: Text) {
        if let Kind::Born { from } = kind {
            // What cannot be known to be warm is not.
            self.note_birth(*from, at);
        }
        if let Some(trouble) = self.troubles.get_mut(slot(kind)) {
            *trouble = Some(why);
        }
    }

    fn note_birth(&mut self, earliest: Time, latest: Time) {
        self.births.retain(|birth| latest - birth.latest < REMEMBERED);
        let birth = Birth { earliest, latest };
        if !self.births.contains(&birth) {
            self.births.push(birth);
        }
    }

    /// Another number of series. When the way of counting changes, what was counted stays counted.
    fn resize(&mut self, size: f64, at: Time) {
        let before = self.is_extrapolated();
        self.size = Some((size, at));
        if before != self.is_extrapolated() {
            self.births = self.appeared();
            self.counter = Counter::new(self.reads.clone());
            self.counted = self.answered.then_some(self.reached);
        }
    }

    fn samples(&mut self, series: &[Series], (from, at): (Time, Time), pace: Pace, targets: &mut Targets) -> Vec<Increment> {
        let mut came = self.counter.take(series, from, span(pace.every), targets);
        came.retain(|i| self.counted.is_none_or(|counted| i.at > counted));
        self.there = series.iter().any(|s| !s.points.is_empty());
        self.reached = self.reached.max(at);
        self.answered = true;
        came
    }

    /// What series began with, of those that are known by now to have begun at zero.
    pub fn births(&mut self, targets: &Targets) -> Vec<Increment> {
        let mut came = self.counter.births(targets);
        came.retain(|i| self.counted.is_none_or(|counted| i.at > counted));
        came
    }

    /// Increases that the backend computed. Its windows touch each other; one that was taken already
    /// counts no second time.
    fn increases(&mut self, series: &[Series], from: Time, at: Time) -> Result<Vec<Increment>, Text> {
        if from != self.reached || at <= from {
            return Ok(Vec::new());
        }
        let mut came: Vec<Increment> = Vec::new();
        for one in series {
            let Some(point) = one.points.last() else { continue };
            let Value::Number(amount) = point.value else { return Err("it answers histograms: sum its buckets by (le)".into()) };
            let class = class_of(&self.reads, &one.labels);
            if came.iter().any(|before| *before.class == class) {
                return Err(format!("several series for one version, such as {}: sum them", one.labels).into());
            }
            if amount < 0.0 {
                return Err(format!("negative increase of {}", one.labels).into());
            }
            if amount.is_finite() {
                came.push(Increment { at, amount, class: Arc::new(class) });
            }
        }
        // What answered nothing and does now is new; what answers from the first is as old as one likes.
        if self.warms && self.answered && !self.there && !series.is_empty() {
            self.note_birth(from, at);
        }
        self.there = !series.is_empty();
        self.reached = at;
        self.answered = true;
        Ok(came)
    }

    /// Neither is asked any more where both versions have the same query, or the same series: it would measure
    /// both together, and each would look as good as the other. True when that is so.
    pub fn are_one(&mut self, other: &mut Self) -> bool {
        let is_one = self.together
            || other.together
            || match (self.answered, self.filled(LONGEST), other.filled(LONGEST)) {
                (false, Some(text), Some(theirs)) => text == theirs,
                _ => self.counter.has_grown() && self.counter.shares_series(&other.counter),
            };
        if is_one {
            self.together = true;
            other.together = true;
        }
        is_one
    }

    /// Says what the other version's query is, so that what both have in common can be asked for.
    pub fn beside(&mut self, other: &mut Self) {
        let both = self.filled(LONGEST).zip(other.filled(LONGEST)).filter(|_| !self.what.is_now());
        self.common = both.and_then(|(one, other)| selector::common(&one, &other));
    }

    /// Whether it measures both versions together, so that it says nothing of either.
    pub const fn is_together(&self) -> bool {
        self.together
    }

    fn filled(&mut self, window: Duration) -> Option<String> {
        self.template.fill(&self.values, window).map_err(|why| self.fail(&Kind::Now, self.reached, why.into())).ok()
    }

    /// The expression for what came in so long.
    fn increase(&mut self, length: Duration) -> Option<String> {
        let text = self.filled(length)?;
        if !self.plain {
            return Some(text);
        }
        let window = window_text(length);
        if self.reads.level {
            return Some(format!("sum(avg_over_time({text}[{window}])) * {}", length.as_secs_f64()));
        }
        let le = self.reads.to_millis.map(|_| "le");
        let labels = [self.reads.code_label.as_deref(), self.reads.grpc_label.as_deref(), le];
        let by: Vec<&str> = labels.into_iter().flatten().collect();
        Some(format!("sum by ({}) (increase({text}[{window}]))", by.join(", ")))
    }

    /// The expression for when what is added up, or a value of now, was measured.
    fn newest_text(&mut self, length: Duration) -> Option<String> {
        let text = self.filled(length)?;
        if self.what.is_now() {
            // An instance that is gone lingers for minutes in what exporters stamp themselves: it ages nothing.
            return Some(format!("max(timestamp({}))", selector::first(&text)?));
        }
        let of = if self.plain { text.as_str() } else { selector::ranged(&text)? };
        // Of what is alive: `VictoriaMetrics` knows the time of a series for minutes after its instance is gone.
        Some(format!("min(timestamp({of}) and {of})"))
    }

    /// The expression for how many targets there are that were not there so long ago. What an expression joins
    /// may be of both versions: there only the first of it is seen to appear.
    fn born_text(&mut self, length: Duration) -> Option<String> {
        if !self.warms || !self.plain {
            return None;
        }
        let text = self.filled(length)?;
        let labels = ["job", "instance"].into_iter().chain(self.reads.instance_label.as_deref());
        let by = format!("count by ({})", labels.collect::<Vec<_>>().join(", "));
        Some(format!("count({by} ({text}) unless {by} ({text} offset {}))", window_text(length)))
    }

    /// When something of it began to serve: targets that appeared, or, where the backend adds up, between
    /// which two windows that was.
    pub fn appeared(&self) -> Vec<Birth> {
        self.births.iter().copied().chain(self.counter.appeared().map(Birth::from)).collect()
    }

    /// Whether the backend adds up, which scales what it counts.
    pub fn is_extrapolated(&self) -> bool {
        !self.what.is_now() && (!self.plain || self.size.is_some_and(|(size, _)| size > MOST_SERIES))
    }

    /// What counts its samples; `None` of a value of now.
    pub fn counter(&self) -> Option<&Counter> {
        (!self.what.is_now()).then_some(&self.counter)
    }

    /// Until when everything was read; `None` before the first answer.
    pub fn reached(&self) -> Option<Time> {
        self.answered.then_some(self.reached)
    }

    /// When its newest sample was taken.
    pub fn newest(&self) -> Option<Time> {
        if self.what.is_now() || self.is_extrapolated() { self.newest } else { self.counter.newest() }
    }

    /// How many of its targets are heard, where their samples are counted one by one.
    pub fn coverage(&self, pace: Pace) -> Option<Coverage> {
        let counts = !self.what.is_now() && !self.is_extrapolated();
        self.counter.coverage(span(pace.every), span(pace.stale_after())).filter(|_| counts)
    }

    /// As old as this is what it says: where most of its targets are silent, older than its newest sample.
    pub fn sampled(&self, pace: Pace) -> Option<Time> {
        self.coverage(pace).map(|coverage| coverage.sampled).or_else(|| self.newest())
    }

    /// Whether there is such a series, or was one lately.
    pub fn is_there(&self) -> bool {
        self.there || self.counter.series() > 0
    }

    /// Whether it was asked for and only ever failed: how old its samples are is known, and nothing that they say.
    pub const fn never_answered(&self) -> bool {
        let [values, ..] = &self.troubles;
        !self.answered && !self.there && values.is_some()
    }

    /// Whether it was answered, with nothing, and never with a series.
    pub fn finds_nothing(&self) -> bool {
        self.answered && !self.is_there() && self.newest().is_none() && self.trouble().is_none()
    }

    /// Whether what became of a request can be told; without, none would look failed.
    pub const fn is_coded(&self) -> bool {
        self.coded
    }

    /// Whether none of its buckets ends where slow begins, though it has some: how many are slow is not known.
    pub fn cannot_tell_slow(&self, slow: f64) -> bool {
        !self.edges.is_empty() && !self.edges.iter().any(|bits| is_edge(f64::from_bits(*bits), slow))
    }

    /// The value of now, with when the newest sample that it is computed from was taken.
    pub fn value(&self) -> Option<(Time, f64)> {
        self.newest.zip(self.value.map(|(_, value)| value))
    }

    /// What is wrong with the last answer.
    pub fn trouble(&self) -> Option<&Text> {
        self.troubles.iter().flatten().next()
    }

    /// What was asked last.
    pub fn evidence(&self, arm: usize, what: What) -> Option<Query> {
        let asked = self.asked.clone()?;
        Some(Query { name: format!("{} of {}", what.name(), who(arm)).into(), ..asked })
    }
}

/// What a question is for: values, their age, births, series of both versions.
pub const fn slot(kind: &Kind) -> usize {
    match kind {
        Kind::Newest => 1,
        Kind::Born { .. } => 2,
        Kind::Common => 3,
        Kind::Size | Kind::Samples { .. } | Kind::Increase { .. } | Kind::Now => 0,
    }
}

/// The only value of an answer; `None` of nothing.
fn one(answer: &Answer) -> Result<Option<(Time, f64)>, Text> {
    let mut found: BTreeMap<String, (Time, f64)> = BTreeMap::new();
    for series in &answer.series {
        let Some(point) = series.points.last() else { continue };
        match point.value {
            Value::Number(n) if n.is_finite() => found.insert(series.labels.to_string(), (point.at, n)),
            Value::Number(_) => None,
            Value::Histogram(_) => return Err("a number is needed, and it answers histograms".into()),
        };
    }
    match (found.len(), found.into_iter().next()) {
        (0 | 1, only) => Ok(only.map(|(_, value)| value)),
        (_, first) => Err(format!("several series for one version, such as {}: sum them", first.unwrap_or_default().0).into()),
    }
}

fn instant(seconds: f64) -> Option<Time> {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and is out of range then")]
    Time::from_timestamp_millis((seconds * 1_000.0) as i64)
}
