//! What a journal line says.

use crate::model::{
    action::{Action, Belief, Call, Observation, Outcome, Plan, Shift},
    digest::Digest,
    ident::{ActionId, RunId, TargetId},
    text::{Raw, Text},
    time::Time,
};
use serde::{Deserialize, Serialize};

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Something is about to be sent or done.
    Intent,
    /// What was answered.
    Outcome,
    /// What was seen of it afterwards.
    Observation,
    /// A remark.
    Note,
    /// Written by the journal itself: a torn line was kept aside.
    Repair,
    /// Written by a newer cutover.
    #[serde(other)]
    Other,
}

/// What somebody did, or what became of it. Only what is known is written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the clock of whoever writes it.
    pub at: Time,
    /// What the line is about.
    pub kind: Kind,
    /// Who: a person, or `gate errors`.
    pub actor: Text,
    /// On which target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
    /// On which service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Raw>,
    /// On which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The action that intent, outcome and observation belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ActionId>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Why, in the actor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// What was to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Planned>,
    /// What the actor saw when they decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief: Option<Belief>,
    /// The line of each verdict at that moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Text>,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What was seen afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
    /// Anything else, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Text>,
}

/// The part of a [`Plan`] that shows what was to happen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// Its title.
    pub title: Text,
    /// The exact calls.
    pub calls: Vec<Call>,
    /// Weights before and after.
    pub weights: Vec<Shift>,
}

/// An entry in its place.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Counted from 1 without gaps.
    pub seq: u64,
    /// The SHA-256 of the line before without its line end; none in the first line.
    pub prev: Option<Digest>,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

impl Entry {
    /// A line that says only who, when and what it is about.
    #[must_use]
    pub const fn new(kind: Kind, at: Time, actor: Text) -> Self {
        Self {
            at,
            kind,
            actor,
            target: None,
            service: None,
            run: None,
            id: None,
            action: None,
            reason: None,
            plan: None,
            belief: None,
            evidence: Vec::new(),
            outcome: None,
            observation: None,
            note: None,
        }
    }

    /// The intent to carry out a plan.
    #[must_use]
    pub fn intent(plan: &Plan, at: Time, actor: Text, reason: Option<Text>, evidence: Vec<Text>) -> Self {
        let key = &plan.belief.key;
        Self {
            target: Some(key.target.clone()),
            service: Some(key.service.clone()),
            run: plan.belief.run.clone(),
            id: Some(plan.id.clone()),
            action: Some(plan.action.clone()),
            reason,
            plan: Some(Planned { title: plan.title.clone(), calls: plan.calls.clone(), weights: plan.weights.clone() }),
            belief: Some(plan.belief.clone()),
            evidence,
            ..Self::new(Kind::Intent, at, actor)
        }
    }

    /// What was answered to this intent.
    #[must_use]
    pub fn answered(&self, at: Time, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self.follow_up(Kind::Outcome, at) }
    }

    /// What was seen after this intent.
    #[must_use]
    pub fn observed(&self, at: Time, observation: Observation) -> Self {
        Self { observation: Some(observation), ..self.follow_up(Kind::Observation, at) }
    }

    fn follow_up(&self, kind: Kind, at: Time) -> Self {
        Self {
            target: self.target.clone(),
            service: self.service.clone(),
            run: self.run.clone(),
            id: self.id.clone(),
            action: self.action.clone(),
            ..Self::new(kind, at, self.actor.clone())
        }
    }
}
