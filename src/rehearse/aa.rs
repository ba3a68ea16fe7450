//! Stable beside itself: its instances are divided at random into one group that plays the candidate and
//! one that stays stable, and the plan is played with them. Whatever fails is a false alarm.
//!
//! A share is made of whole instances, the nearest that they allow: what was asked for and what was
//! played stand beside each other. Groups grow with the plan, as a candidate does. Runs begin at random
//! times of the past; where they overlap they are not independent, so it is said how many fit side by side.

use super::{
    Run, Said, Stage,
    figures::{Part, median, seconds},
    plan::{Leg, length},
};
use crate::{
    metrics::{counting::Increment, feed::history::History},
    model::{
        ident::GateId,
        spec::OnFail,
        time::{Time, after, elapsed},
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What is played how often.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The plan.
    pub legs: &'a [Leg],
    /// How many runs.
    pub runs: usize,
    /// Of what is random.
    pub seed: u64,
    /// What of the past may be played.
    pub window: (Time, Time),
}

/// How often a healthy release would have been stopped.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Runs that were played; others had fewer than two instances with traffic.
    pub runs: usize,
    /// How many runs fit into what is there without overlap: the figures rest on no more than that.
    pub side_by_side: usize,
    /// How many instances there were in a run, in the middle.
    pub instances: usize,
    /// Shares as asked for, and as played.
    pub shares: Vec<Share>,
    /// One gate each.
    pub gates: Vec<Gate>,
    /// All of them together.
    pub together: Together,
}

/// A share in percent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Share {
    /// As in the plan.
    pub asked: f64,
    /// The middle one that instances allowed.
    pub played: f64,
    /// Whether it is off by more than a fifth: this share was not played.
    pub off: bool,
}

/// What one gate did to a healthy release.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// What its failure does.
    pub on_fail: OnFail,
    /// Runs in which it said fail.
    pub fails: Part,
    /// Runs in which it only held because the candidate looked worse.
    pub worse: Part,
    /// Shares of all runs that passed before they were over.
    pub passed: Part,
    /// Seconds until one did, in the middle.
    pub seconds_to_pass: Option<u64>,
    /// The candidate's requests of a run, in the middle.
    pub samples: f64,
    /// Dispersion of errors, in the middle.
    pub phi: Option<f64>,
}

/// What all gates did.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Together {
    /// Runs that would have gone back.
    pub reverted: Part,
    /// Runs that would have been held and not gone back: by a failure, or because it looked worse.
    pub held: Part,
    /// Runs in which a gate that only advises said fail.
    pub advised: Part,
}

/// Plays all runs, telling after each how many are done.
///
/// # Errors
/// In one line: too little past, or instances that cannot be told apart.
pub fn play(stage: &Stage<'_>, setup: &Setup<'_>, stable: &History, mut done: impl FnMut(usize)) -> Result<Report, String> {
    let span = length(setup.legs);
    let (from, until) = setup.window;
    let room = elapsed(until, from).checked_sub(span).ok_or_else(|| {
        let there = humantime::format_duration(Duration::from_secs(elapsed(until, from).as_secs()));
        format!("samples of {there} are not enough for a plan of {}: give a shorter one with --plan", humantime::format_duration(span))
    })?;
    match stable.traffic(from, until).len() {
        0 => return Err("its instances cannot be told apart: set `instance_label` in [metrics.query]".into()),
        1 => return Err("it has one instance with traffic: two are needed to put stable beside itself".into()),
        _ => {}
    }
    let mut random = StdRng::seed_from_u64(setup.seed);
    let mut all = Vec::new();
    for n in 0..setup.runs {
        let millis = u64::try_from(room.as_millis()).unwrap_or(u64::MAX);
        let since = after(from, Duration::from_millis(random.random_range(0..=millis)));
        if let Some(groups) = Groups::draw(setup.legs, stable, since, &mut random) {
            let said = groups.play(stage, stable, since);
            all.push((groups, said));
        }
        done(n + 1);
    }
    if all.is_empty() {
        return Err("never two instances had traffic through a whole run: two are needed to put stable beside itself".into());
    }
    let side_by_side = elapsed(until, from).as_secs() / span.as_secs().max(1);
    Ok(report(stage, setup.legs, &all, usize::try_from(side_by_side).unwrap_or(usize::MAX)))
}

/// Which instances play the candidate, and from when on.
struct Groups {
    /// When each instance goes over; those that are not here stay.
    over: BTreeMap<Arc<str>, Time>,
    course: Vec<(Time, Option<f64>)>,
    until: Time,
    instances: usize,
}

impl Groups {
    /// `None` where fewer than two instances had traffic all the time.
    fn draw(legs: &[Leg], stable: &History, since: Time, random: &mut StdRng) -> Option<Self> {
        let until = after(since, length(legs));
        // By their traffic at this share: it may move from one to another in the course of a day.
        let mut times: Vec<(Time, Time, f64)> = Vec::new();
        let mut start = since;
        for leg in legs {
            let end = after(start, leg.lasts);
            times.push((start, end, leg.share));
            start = end;
        }
        let traffic: Vec<BTreeMap<Arc<str>, f64>> = times.iter().map(|(from, to, _)| stable.traffic(*from, *to)).collect();
        let mut order: Vec<Arc<str>> =
            traffic.first()?.keys().filter(|name| traffic.iter().all(|t| t.contains_key(*name))).cloned().collect();
        if order.len() < 2 {
            return None;
        }
        order.shuffle(random);
        let mut groups = Self { over: BTreeMap::new(), course: Vec::new(), until, instances: order.len() };
        let mut taken = 0;
        for ((from, _, share), traffic) in times.iter().zip(&traffic) {
            let whole: f64 = traffic.values().sum();
            let of = |n: usize| order.iter().take(n).filter_map(|name| traffic.get(name)).sum::<f64>() / whole;
            let far = |n: &usize| (of(*n) - share).abs();
            let n = (taken.max(1)..order.len()).min_by(|a, b| far(a).total_cmp(&far(b)))?;
            for name in order.iter().take(n).skip(taken) {
                groups.over.insert(name.clone(), *from);
            }
            taken = n;
            groups.course.push((*from, Some(of(n))));
        }
        Some(groups)
    }

    fn play(&self, stage: &Stage<'_>, all: &History, since: Time) -> BTreeMap<GateId, Said> {
        // Until it goes over an instance is stable's, as all are before the run; no sample is lost.
        let is_over = |i: &Increment| i.class.instance.as_ref().and_then(|name| self.over.get(name)).is_some_and(|over| i.at > *over);
        let early = since - chrono::Duration::minutes(10);
        let candidate = all.part(since, self.until, is_over);
        let stable = all.part(early, self.until, |i| !is_over(i));
        stage.play(&Run { since, until: self.until, course: &self.course, before: all, stable: &stable, candidate: &candidate })
    }
}

fn report(stage: &Stage<'_>, legs: &[Leg], all: &[(Groups, BTreeMap<GateId, Said>)], side_by_side: usize) -> Report {
    let shares = legs.iter().enumerate().map(|(n, leg)| {
        let played = all.iter().filter_map(|(groups, _)| groups.course.get(n)?.1).collect();
        let played = median(played).unwrap_or_default();
        Share { asked: leg.share * 100.0, played: played * 100.0, off: (played - leg.share).abs() > leg.share / 5.0 }
    });
    let gates = stage.gates.iter().map(|spec| {
        let said: Vec<&Said> = all.iter().filter_map(|(_, said)| said.get(&spec.name)).collect();
        let count = |is: &dyn Fn(&Said) -> bool| Part::new(said.iter().filter(|s| is(s)).count(), said.len());
        let passes: Vec<Option<Duration>> = said.iter().flat_map(|s| s.passes.iter().copied()).collect();
        Gate {
            name: spec.name.text().to_string(),
            on_fail: spec.on_fail(),
            fails: count(&|s| !s.fails.is_empty()),
            worse: count(&|s| s.fails.is_empty() && s.worse.is_some()),
            passed: Part::new(passes.iter().flatten().count(), passes.len()),
            seconds_to_pass: seconds(median(passes.into_iter().flatten().collect())),
            samples: median(said.iter().map(|s| s.samples).collect()).unwrap_or_default(),
            phi: median(said.iter().filter_map(|s| s.phi).collect()),
        }
    });
    let any = |is: &dyn Fn(&Said) -> bool| all.iter().map(|(_, said)| said.values().any(is)).collect::<Vec<bool>>();
    let failed = |does: OnFail| any(&|s: &Said| s.fails.iter().any(|(_, what)| *what == does));
    let (reverted, held, worse, advised) =
        (failed(OnFail::Revert), failed(OnFail::Hold), any(&|s: &Said| s.worse.is_some()), failed(OnFail::Advise));
    let part = |all: Vec<bool>| Part::new(all.iter().filter(|yes| **yes).count(), all.len());
    let held = reverted.iter().zip(held).zip(worse).map(|((reverted, held), worse)| !reverted && (held || worse)).collect();
    Report {
        runs: all.len(),
        side_by_side,
        instances: median(all.iter().map(|(groups, _)| groups.instances).collect()).unwrap_or_default(),
        shares: shares.collect(),
        gates: gates.collect(),
        together: Together { reverted: part(reverted), held: part(held), advised: part(advised) },
    }
}
