//! What a rollout's own analyses ask of a Prometheus, as gates of ours: which of it can be counted, and why
//! the rest cannot.
//!
//! An analysis is removed some time after it is over; what was read of it stays as long as the same two
//! versions are compared.

use crate::{
    metrics::{
        borrowed::{self, Borrowed, Names},
        template::{LABEL, Variables},
    },
    model::{
        ident::GateId,
        rollout::{Asked, MetricCounts, Rollout},
        rules::{Measuring, Rules},
        spec::GateSpec,
        text::Text,
    },
};

/// So many are taken: each is asked for both versions.
const MOST: usize = 8;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Lent {
    found: Vec<Found>,
}

/// A metric of an analysis.
#[derive(Clone, Debug)]
struct Found {
    name: Text,
    asked: Asked,
    /// As what it is judged, or why not.
    read: Result<Borrowed, Text>,
}

impl Lent {
    /// Takes in what is asked now: what of it is new and can be counted. `taken` has the gates there are.
    pub fn follow(&mut self, rollout: &Rollout, [stable, candidate]: &[Variables; 2], taken: &[GateSpec]) -> Vec<Borrowed> {
        let names = names(stable, candidate);
        let mut new = Vec::new();
        for metric in rollout.analyses.iter().flat_map(|analysis| &analysis.metrics) {
            let Some(asked) = metric.asked.as_ref().filter(|asked| !self.knows(&metric.name, asked)) else { continue };
            let used: Vec<&GateId> = taken.iter().map(|gate| &gate.name).chain(self.gates()).collect();
            let read = match borrowed::read(&free(metric.name.as_str(), &used), asked, &names) {
                Ok(_) if self.gates().count() >= MOST => Err(format!("{MOST} others are judged already").into()),
                Ok(mut borrowed) => {
                    // What is measured without consequences would revert nothing.
                    borrowed.gate.rules = (!metric.dry_run).then(|| measuring(&metric.counts));
                    new.push(borrowed.clone());
                    Ok(borrowed)
                }
                Err(why) => Err(why.into()),
            };
            self.found.push(Found { name: metric.name.clone(), asked: asked.clone(), read });
        }
        new
    }

    fn knows(&self, name: &Text, asked: &Asked) -> bool {
        self.found.iter().any(|f| f.name == *name && f.asked == *asked)
    }

    fn gates(&self) -> impl Iterator<Item = &GateId> {
        self.found.iter().filter_map(|f| f.read.as_ref().ok()).map(|borrowed| &borrowed.gate.name)
    }

    /// How the metric is measured that asks what a gate asks: the same share, held to the same limit.
    pub fn rules_of(&self, gate: &GateSpec) -> Option<Measuring> {
        let same = |other: &GateSpec| {
            let limits = gate.limit().zip(other.limit());
            other.signal == gate.signal && limits.is_some_and(|(one, other)| (one - other).abs() < 1e-6)
        };
        self.found.iter().filter_map(|f| f.read.as_ref().ok()).find(|b| same(&b.gate)).and_then(|b| b.gate.rules?.analysis)
    }

    /// Says of each metric as what it is judged by us, or why it is not.
    pub fn say(&self, rollout: &mut Rollout) {
        for metric in rollout.analyses.iter_mut().flat_map(|analysis| &mut analysis.metrics) {
            let Some(asked) = &metric.asked else { continue };
            let found = self.found.iter().find(|f| f.name == metric.name && f.asked == *asked);
            metric.ours = found.map(|found| match &found.read {
                Ok(borrowed) => format!("gate {}", borrowed.gate.name.text()).into(),
                Err(why) => format!("none: {why}").into(),
            });
        }
    }
}

/// How a metric is measured, for what its rule would say.
fn measuring(counts: &MetricCounts) -> Rules {
    let MetricCounts { failure_limit, error_limit, success_limit, count, every, .. } = *counts;
    Rules { analysis: Some(Measuring { every, failure_limit, error_limit, success_limit, count }), ..Rules::default() }
}

/// How both versions are called in queries.
fn names(stable: &Variables, candidate: &Variables) -> Names {
    let pair = |new: Option<&String>, old: Option<&String>| Some([new?.clone(), old?.clone()]);
    Names {
        hashes: pair(candidate.get("pod_hash"), stable.get("pod_hash")),
        services: pair(candidate.get("canary_service"), candidate.get("stable_service")),
        versions: ["version", LABEL].into_iter().filter_map(|name| pair(candidate.get(name), stable.get(name))).collect(),
    }
}

/// A name that no other gate has: the runtime may call its own as we call ours.
fn free(name: &str, used: &[&GateId]) -> String {
    let tries = [name.to_owned(), format!("argo {name}")].into_iter().chain((2..).map(|n| format!("argo {name} {n}")));
    let is_free = |name: &String| used.iter().all(|gate| gate.as_str() != name);
    tries.take(used.len() + 2).find(is_free).unwrap_or_default()
}
