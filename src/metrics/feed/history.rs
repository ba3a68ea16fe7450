//! One version's past, counted sample by sample, and the intervals that a feed would have made of two.
//!
//! A [`Reader`] asks for it in the same pieces as a feed asks for a run that began long ago. What came is
//! kept as increments, so one past can be divided among instances and judged many times.

use super::{
    BEFORE, CANDIDATE, Pace, Question, STABLE, before,
    gates::{Birth, Closing, Open, Slow},
    source::{Kind, Source},
};
use crate::{
    metrics::{
        Answer, Metrics,
        counting::{Increment, Targets},
        preset::{Queries, What},
        template::Variables,
    },
    model::{
        ident::GateId,
        interval::Interval,
        spec::{GateSignal, GateSpec},
        time::{Time, after},
    },
};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// More increments than this are not kept: about 200 MB.
const MOST: usize = 4_000_000;

/// So long a part of a past is handed to the gates at once.
const PIECE: Duration = Duration::from_secs(300);

/// What came of one query.
#[derive(Clone, Debug, Default)]
struct Counted {
    /// Oldest first.
    came: Vec<Increment>,
    /// When instances appeared while it was read.
    born: BTreeMap<Arc<str>, Time>,
    /// When targets appeared while it was read.
    appeared: Vec<Time>,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct History {
    counts: BTreeMap<What, Counted>,
    /// Gates that rest on a query whose samples cannot be counted, and why.
    left_out: BTreeMap<GateId, String>,
    /// See [`Pace::settles`].
    settles: Duration,
}

impl History {
    /// Gates of which it says nothing, and why in one line: they rest on a query whose samples cannot be counted
    /// one by one.
    #[must_use]
    pub const fn left_out(&self) -> &BTreeMap<GateId, String> {
        &self.left_out
    }

    /// When the first sample counted; `None` of nothing.
    #[must_use]
    pub fn begins(&self) -> Option<Time> {
        self.counts.values().filter_map(|c| Some(c.came.first()?.at)).min()
    }

    /// When the last sample counted; `None` of nothing.
    #[must_use]
    pub fn ends(&self) -> Option<Time> {
        self.counts.values().filter_map(|c| Some(c.came.last()?.at)).max()
    }

    /// When samples of a query were taken after `from`, up to `until`, each as often as series had one.
    pub fn sampled(&self, what: What, from: Time, until: Time) -> impl Iterator<Item = Time> {
        self.counts.get(&what).into_iter().flat_map(move |c| within(&c.came, from, until)).map(|i| i.at)
    }

    /// How many requests each instance had after `from`, up to `until`; ready seconds where requests are
    /// not counted. Those that cannot be told apart are in none.
    #[must_use]
    pub fn traffic(&self, from: Time, until: Time) -> BTreeMap<Arc<str>, f64> {
        let mut sums = BTreeMap::new();
        let counted = [What::Requests, What::Latency, What::Ready].into_iter().find_map(|what| self.counts.get(&what));
        for i in counted.iter().flat_map(|c| within(&c.came, from, until)) {
            if let Some(name) = i.class.instance.as_ref().filter(|_| i.class.edge.is_none_or(f64::is_infinite)) {
                *sums.entry(name.clone()).or_default() += i.amount;
            }
        }
        sums.retain(|_, n| *n > 0.0);
        sums
    }

    /// What came after `from`, up to `until`, of those that are wanted.
    #[must_use]
    pub fn part(&self, from: Time, until: Time, wanted: impl Fn(&Increment) -> bool) -> Self {
        let part =
            |c: &Counted| Counted { came: within(&c.came, from, until).iter().filter(|i| wanted(i)).cloned().collect(), ..c.clone() };
        Self { counts: self.counts.iter().map(|(what, counted)| (*what, part(counted))).collect(), ..self.without_counts() }
    }

    /// The same of which nothing was counted.
    fn without_counts(&self) -> Self {
        Self { counts: BTreeMap::new(), left_out: self.left_out.clone(), settles: self.settles }
    }
}

/// Those after `from`, up to `until`, of increments in the order of time.
fn within(came: &[Increment], from: Time, until: Time) -> &[Increment] {
    let (start, end) = (came.partition_point(|i| i.at <= from), came.partition_point(|i| i.at <= until));
    came.get(start..end).unwrap_or_default()
}

/// The intervals that a [`Feed`](super::Feed) would have made of two pasts, each gate's in the order of time. Without a
/// candidate they are stable's alone. `course` says the candidate's shares, sorted by when they began.
#[must_use]
pub fn intervals(
    queries: &Queries,
    gates: &[GateSpec],
    course: &[(Time, Option<f64>)],
    (since, until): (Time, Time),
    (candidate, stable): (Option<&History>, &History),
) -> Vec<(GateId, Interval)> {
    let mut slow = Slow::new(None, since);
    if let Some(latency) = stable.counts.get(&What::Latency) {
        slow.add(within(&latency.came, before(since, BEFORE), until));
    }
    slow.settle(Some(until));
    let appeared = candidate.and_then(|c| c.counts.get(&What::Latency)).map(|c| c.appeared.as_slice()).unwrap_or_default();
    let births: Vec<Birth> = appeared.iter().copied().map(Birth::from).collect();
    let mut all = Vec::new();
    for gate in gates {
        let (hits, of) = queries.needs(gate);
        let mut open = Open::new(gate.clone(), since, candidate.is_some());
        let mut from = since;
        while from < until {
            let to = after(from, PIECE).min(until);
            for (arm, history) in [candidate, Some(stable)].into_iter().enumerate().filter_map(|(arm, h)| Some((arm, h?))) {
                for what in BTreeSet::from([hits, of]) {
                    let Some(counted) = history.counts.get(&what) else { continue };
                    let is_warming = |i: &Increment| {
                        let born = i.class.instance.as_ref().and_then(|name| counted.born.get(name));
                        born.is_some_and(|born| i.at - *born < super::span(gate.warmup))
                    };
                    open.add(arm, (what == hits, what == of), within(&counted.came, from, to), is_warming);
                }
                for beside in queries.beside(gate).iter().filter_map(|what| history.counts.get(what)) {
                    open.add_beside(arm, within(&beside.came, from, to));
                }
            }
            let closing = Closing { course, slow: &slow, births: &births, settles: stable.settles };
            let late = gate.signal == GateSignal::Slow && slow.from().is_none();
            let closed = if late { Vec::new() } else { open.close(to, &closing, 1.0) };
            all.extend(closed.into_iter().map(|interval| (gate.name.clone(), interval)));
            from = to;
        }
    }
    all
}

/// Reads one version's past.
#[derive(Debug)]
pub struct Reader {
    /// What is read, and what each gate needs of it.
    gates: BTreeMap<GateId, BTreeSet<What>>,
    left_out: BTreeMap<GateId, String>,
    sources: BTreeMap<What, Source>,
    counts: BTreeMap<What, Counted>,
    targets: Targets,
    pace: Pace,
    from: Time,
    until: Time,
    kept: usize,
}

impl Reader {
    /// What these gates need, from ten minutes before `since` on, which tell what is slow, up to `until`. A gate
    /// whose query is no plain selector is left out, as its samples cannot be counted.
    ///
    /// # Errors
    /// In one line: a gate that this stack cannot tell, a name that has no value, every gate left out.
    pub fn new(
        queries: &Queries,
        gates: &[GateSpec],
        pace: Pace,
        values: &Variables,
        is_candidate: bool,
        (since, until): (Time, Time),
    ) -> Result<Self, String> {
        let (from, arm) = (before(since, BEFORE), if is_candidate { CANDIDATE } else { STABLE });
        let mut reader = Self {
            gates: BTreeMap::new(),
            left_out: BTreeMap::new(),
            sources: BTreeMap::new(),
            counts: BTreeMap::new(),
            targets: Targets::default(),
            pace,
            from,
            until,
            kept: 0,
        };
        let mut expressions = BTreeMap::new();
        for gate in gates {
            queries.can_judge(gate).map_err(|why| format!("gate {}: {why}", gate.name.text()))?;
            let mut needs = BTreeSet::from(<[What; 2]>::from(queries.needs(gate)));
            for what in &needs {
                let what = *what;
                let asked = queries.get(what).ok_or_else(|| format!("gate {}: there is no query `{}`", gate.name.text(), what.name()))?;
                if asked.metric.is_none() {
                    let why = format!("query `{}` is an expression: only the samples of a plain selector can be counted", what.name());
                    expressions.insert(what, why);
                }
                reader.sources.insert(what, Source::new(queries, (what, asked), arm, values, from)?);
            }
            for what in queries.beside(gate) {
                if let Some(asked) = queries.get(*what).filter(|asked| asked.metric.is_some() && asked.is_of_each(values)) {
                    reader.sources.insert(*what, Source::new(queries, (*what, asked), arm, values, from)?);
                    needs.insert(*what);
                }
            }
            reader.gates.insert(gate.name.clone(), needs);
        }
        for (what, why) in expressions {
            reader.leave_out(what, &why)?;
        }
        Ok(reader)
    }

    /// Goes on without the gates that rest on a query.
    ///
    /// # Errors
    /// With `why`, when no gate remains.
    fn leave_out(&mut self, what: What, why: &str) -> Result<(), String> {
        let without: Vec<GateId> = self.gates.iter().filter(|(_, needs)| needs.contains(&what)).map(|(gate, _)| gate.clone()).collect();
        for gate in without {
            self.gates.remove(&gate);
            self.left_out.insert(gate, why.to_owned());
        }
        if self.gates.is_empty() {
            return Err(why.to_owned());
        }
        let gates = &self.gates;
        let is_needed = |what: &What| gates.values().any(|needs| needs.contains(what));
        self.sources.retain(|what, _| is_needed(what));
        self.counts.retain(|what, _| is_needed(what));
        Ok(())
    }

    /// Goes on without what is counted beside requests.
    fn without(&mut self, beside: What) {
        self.gates.values_mut().for_each(|needs| _ = needs.remove(&beside));
        self.sources.remove(&beside);
        self.counts.remove(&beside);
    }

    /// What must be asked next; nothing when all is read.
    pub fn due(&mut self) -> Vec<Question> {
        let (until, pace) = (self.until, self.pace);
        let asked = self.sources.iter_mut().flat_map(|(what, source)| {
            let due = source.due(until, until, pace);
            due.into_iter().map(|(kind, text, at)| Question { text, at, arm: STABLE, what: *what, kind })
        });
        asked.collect()
    }

    /// Takes in an answer. Gates whose query has too many series are left out.
    ///
    /// # Errors
    /// In one line: an answer that is partial, too many samples, every gate left out.
    pub fn take(&mut self, question: &Question, answer: Answer) -> Result<(), String> {
        let name = question.what.name();
        if let Some(warning) = answer.warnings.first() {
            return Err(format!("query `{name}`: a partial answer: {warning}"));
        }
        let Some(source) = self.sources.get_mut(&question.what) else { return Ok(()) };
        let asked = (&question.kind, question.text.as_str(), question.at);
        let came = source.take(asked, Ok(answer), self.pace, &mut self.targets);
        if let Some(trouble) = source.trouble() {
            return Err(format!("query `{name}`: {trouble}"));
        }
        if source.is_extrapolated() {
            let most = super::source::MOST_SERIES;
            let why = format!("query `{name}` has more than {most} series: their samples are not counted one by one; narrow it");
            return self.leave_out(question.what, &why);
        }
        self.kept += came.len();
        if self.kept > MOST {
            return Err(format!("more than {MOST} samples: ask for less time with --since"));
        }
        let counted = self.counts.entry(question.what).or_default();
        if let (Kind::Samples { .. }, Some(counter)) = (question.kind, source.counter()) {
            let names: BTreeSet<&Arc<str>> = came.iter().filter_map(|i| i.class.instance.as_ref()).collect();
            counted.born.extend(names.into_iter().filter_map(|name| Some((name.clone(), counter.born(name)?))));
            counted.appeared = counter.appeared().collect();
        }
        counted.came.extend(came);
        // This answer may tell of another query's series that they began at zero.
        for (what, source) in &mut self.sources {
            let born = source.births(&self.targets);
            self.kept += born.len();
            self.counts.entry(*what).or_default().came.extend(born);
        }
        self.targets.forget();
        Ok(())
    }

    /// How much was read, parts of one.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let whole = (self.until - self.from).as_seconds_f64().max(1.0);
        let reached = self.sources.values().map(|s| s.reached().unwrap_or(self.from)).min().unwrap_or(self.until);
        ((reached - self.from).as_seconds_f64() / whole).clamp(0.0, 1.0)
    }

    /// What was read.
    #[must_use]
    pub fn history(mut self) -> History {
        for counted in self.counts.values_mut() {
            counted.came.sort_by_key(|i| i.at);
        }
        History { counts: self.counts, left_out: self.left_out, settles: self.pace.settles() }
    }
}

/// Reads all of it, telling after every round how much is read. Of recorded samples, gates whose query was not
/// recorded are left out.
///
/// # Errors
/// In one line: what the backend says instead of an answer, and as [`Reader::take`] says.
pub async fn read<M: Metrics>(mut reader: Reader, backend: &M, mut progress: impl FnMut(f64)) -> Result<History, String> {
    loop {
        let mut questions = reader.due();
        for question in std::mem::take(&mut questions) {
            let selector = question.text.strip_prefix("count(").and_then(|rest| rest.strip_suffix(')'));
            match selector.filter(|selector| question.kind == Kind::Size && !backend.keeps(selector)) {
                // It is recorded only where the stack has it.
                Some(_) if What::BESIDE.contains(&question.what) => reader.without(question.what),
                Some(selector) => reader.leave_out(question.what, &format!("{} has no samples of {selector}", backend.place()))?,
                None => questions.push(question),
            }
        }
        questions.retain(|question| reader.sources.contains_key(&question.what));
        if questions.is_empty() {
            return Ok(reader.history());
        }
        let answers = join_all(questions.iter().map(|question| backend.instant(&question.text, question.at))).await;
        for (question, answer) in questions.iter().zip(answers) {
            reader.take(question, answer.map_err(|trouble| trouble.to_string())?)?;
        }
        progress(reader.progress());
    }
}
