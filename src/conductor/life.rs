//! What the conductor remembers of one service. The host writes it to disk before it takes effect.

use crate::model::{
    digest::Digest,
    ident::{GateId, RunId, VersionId},
    ratio::Weight,
    rollout::{Freeze, LastAction, Started},
    spec::ServiceSpec,
    step::{Mark, StepSpec},
    text::Text,
    time::Time,
    tried::{Answer, Tried},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

pub use super::{rolling::Batch, standing::Record};

/// One service's whole life.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Life {
    /// The version that gets all traffic which is not the candidate's.
    pub stable: Option<Deployed>,
    /// The current or last run.
    pub run: Option<Run>,
    /// The version that was stable before the last promotion, while its instances are kept.
    pub warm: Option<Warm>,
    /// Versions that were stable before, newest first, as long as their artifacts are kept.
    #[serde(default)]
    pub past: Vec<Deployed>,
    /// Versions that were left before they were stable for good, newest first: the way back never goes to
    /// them and their artifacts need not be kept, but they have a name and somebody may have more to say of them.
    #[serde(default)]
    pub left: Vec<Deployed>,
    /// What is thought of versions, and why.
    #[serde(default)]
    pub records: BTreeMap<VersionId, Record>,
    /// Why nothing may move forward, if so.
    #[serde(default)]
    pub frozen: Option<Freeze>,
    /// The last action of anyone.
    #[serde(default)]
    pub last: Option<LastAction>,
    /// Moves with every fact, never with a signal.
    #[serde(default)]
    pub rev: u64,
    /// [`Life::rev`] at the last transition: an action decided on an older picture is refused. Other
    /// facts (an instance that restarts) move `rev` and not this, so they withdraw nobody's preview.
    #[serde(default)]
    pub moved: u64,
    /// How often anything was started here; the next [`Deployed::generation`] is above it.
    #[serde(default)]
    pub starts: u32,
}

/// A version as it was deployed: with the configuration frozen at that moment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Deployed {
    /// Hash of artifact and runtime configuration.
    pub id: VersionId,
    /// Counts the starts of this service, so that no two starts share a pool: a retry never reuses
    /// instances, not even those that still drain. Given by the conductor.
    pub generation: u32,
    /// What it is made of.
    pub artifact: Digest,
    /// What people call it.
    pub label: Text,
    /// Its source revision.
    #[serde(default)]
    pub revision: Option<Text>,
    /// The configuration as it was.
    pub spec: ServiceSpec,
    /// When it was deployed.
    pub at: Time,
}

/// Names the instances of one start of one version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PoolId {
    /// Which version.
    pub version: VersionId,
    /// Which start of it.
    pub generation: u32,
}

impl Deployed {
    /// The pool of this start.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        PoolId { version: self.id.clone(), generation: self.generation }
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version.text(), self.generation)
    }
}

/// A version kept after it was replaced, so that the way back is a switch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Warm {
    /// Which.
    pub deployed: Deployed,
    /// Until when.
    pub until: Time,
}

/// One replacement of stable by a candidate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// What replaces stable. After a completed run it is also [`Life::stable`].
    pub candidate: Deployed,
    /// What it replaces; `None` for a first deploy.
    pub from: Option<VersionId>,
    /// Who started it, and when.
    pub started: Started,
    /// Where it is in its life.
    pub state: RunState,
    /// The current step, from 0; equal to the number of steps when all are done.
    pub step: usize,
    /// When the current step was entered.
    pub step_since: Time,
    /// The candidate's declared share.
    pub weight: Weight,
    /// When the declared share changed, oldest first, the newest 64.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// Since when the router does what is declared; evidence is counted from here.
    pub converged: Option<Time>,
    /// Since when the candidate has been given traffic in this run; gates count from here.
    #[serde(default)]
    pub traffic: Option<Time>,
    /// Since when an instance of the candidate or the router has been lagging behind what is declared.
    #[serde(default)]
    pub short: Option<Time>,
    /// A person's hold.
    #[serde(default)]
    pub manual: Option<Manual>,
    /// A hold that came by itself (a failed gate, a missed deadline, a host that crashed) and stays
    /// until a person acts.
    #[serde(default)]
    pub stopped: Option<Stopped>,
    /// Since when a gate has failed without having recovered.
    #[serde(default)]
    pub bad_since: Option<Time>,
    /// The gates that failed and have not passed since.
    #[serde(default)]
    pub bad: Vec<GateId>,
    /// When and why each of them failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<GateId, Failure>,
    /// When a person went on over failed gates. A failure that stood then does not stop the run again;
    /// one that comes after does.
    #[serde(default)]
    pub overruled: Option<Time>,
    /// Whether each of those gates said that stable is sick too: one that blames the candidate alone is
    /// another failure then.
    #[serde(default)]
    pub overruled_both: bool,
    /// How far a rolling replacement is.
    #[serde(default)]
    pub batch: Option<Batch>,
    /// Where the old version ends before the new one starts: what of it has not ended yet.
    #[serde(default)]
    pub ending: Vec<PoolId>,
    /// What came of its checks and warm-ups, oldest first: bounded by [`tried::keep`](crate::model::tried::keep).
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// The version that is started again for the way back, until it has all the traffic.
    #[serde(default)]
    pub returning: Option<Returning>,
    /// What starts when this run is back: a deploy that replaces it.
    #[serde(default)]
    pub then: Option<Box<Queued>>,
}

/// A version that is started again because there is no other way back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Returning {
    /// Which; with a generation of its own.
    pub to: Deployed,
    /// Since when it is started.
    pub since: Time,
    /// Whether everything else must have ended before it starts.
    #[serde(default)]
    pub alone: bool,
    /// What of that has not ended yet.
    #[serde(default)]
    pub ending: Vec<PoolId>,
    /// Whether it was ready and is to have all the traffic.
    #[serde(default)]
    pub serves: bool,
    /// Whether it missed its deadline; it is tried on until a person goes elsewhere.
    #[serde(default)]
    pub missed: bool,
}

/// A deploy that waits for a way back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Queued {
    /// The name of its run.
    pub id: RunId,
    /// What it deploys.
    pub candidate: Deployed,
    /// Who wants it.
    pub by: Text,
}

/// Where a run is in its life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum RunState {
    /// Instances of the candidate are started; no traffic yet.
    Starting,
    /// The plan's steps are taken.
    Stepping,
    /// Traffic is on its way back; the router has not confirmed it.
    Reverting {
        /// When it was asked for.
        asked: Time,
        /// By whom.
        by: Text,
    },
    /// All traffic is back.
    Reverted {
        /// When the way back was asked for.
        asked: Time,
        /// When the router confirmed it.
        at: Time,
        /// By whom.
        by: Text,
        /// The version that was left: the candidate, or after a completed run the promoted one.
        left: VersionId,
        /// Whether the version that serves now had to be started again for it.
        #[serde(default)]
        redeployed: bool,
    },
    /// The candidate is stable now.
    Completed {
        /// Since when.
        at: Time,
    },
    /// The first version ever could not be started: there is nothing to go back to.
    Failed {
        /// Why.
        why: Text,
    },
}

/// A hold by a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manual {
    /// Who.
    pub by: Text,
    /// Since when.
    pub since: Time,
    /// The share they set, if they did.
    #[serde(default)]
    pub weight: Option<Weight>,
}

/// A hold that came by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// Why.
    pub why: Text,
    /// Since when.
    pub since: Time,
    /// The gate that failed, if one did.
    #[serde(default)]
    pub gate: Option<GateId>,
    /// What made it stop.
    #[serde(default)]
    pub cause: Cause,
}

/// When a gate failed, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Time,
    /// Its line of reason then.
    pub why: Text,
}

/// What stops a run by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A gate failed. A person's step leaves the current step.
    Gate,
    /// The candidate was not ready in time. A person's step goes on once it is.
    Deadline,
    /// A check or a warm-up failed. A person's step leaves it with a reason, a retry starts over.
    Check,
    /// The host ended without finishing the run. A person's step goes on where it was, skipping nothing.
    #[default]
    Restart,
}

/// What the machine should be like, derived from a [`Life`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Wanted {
    /// Versions whose instances should run.
    pub pools: Vec<Deployed>,
    /// Whose instances get what is not the candidate's; `None` where nothing may serve beside it.
    pub stable: Option<PoolId>,
    /// Whose instances get the share: the candidate's, or those of a version that comes back.
    pub candidate: Option<PoolId>,
    /// The share of the candidate's place.
    pub weight: Weight,
    /// How many instances a pool should have, where that is not what its version says; none at all is
    /// possible. Of a pool that shrinks, instances that are not ready end first.
    pub instances: BTreeMap<PoolId, u32>,
    /// Whose instances get what arrives at the preview listener.
    pub preview: Option<PoolId>,
    /// What is to be tried on the candidate now.
    pub task: Option<Task>,
}

/// Something that the host tries on a candidate without traffic, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Of which run.
    pub run: RunId,
    /// At which step: with `run` its name. A step that is entered again is tried again: see `since`.
    pub step: usize,
    /// When the step was entered.
    pub since: Time,
    /// On whose instances.
    pub pool: PoolId,
    /// What: a [`StepSpec::Check`] or [`StepSpec::Warm`].
    pub what: StepSpec,
}

/// How a task stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskSeen {
    /// Of which run.
    pub run: RunId,
    /// At which step.
    pub step: usize,
    /// When the step was entered.
    pub since: Time,
    /// Whether it has ended, and how.
    pub state: TaskState,
    /// How long it has taken, by the clock that nobody sets.
    pub took: Duration,
    /// What is kept as evidence: each instance's answer; empty until it has ended.
    pub answers: Vec<Answer>,
}

/// Whether a task has ended, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Not yet: `120 of 200 requests`.
    Running(Text),
    /// It worked: in few words.
    Done(Text),
    /// It did not: why.
    Failed(Text),
}

/// What the host sees of the machine.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Observed {
    /// Each pool that exists: until none of its processes is left.
    pub pools: Vec<PoolSeen>,
    /// What the router does: the pool that has the candidate's place and its share, exactly as in the
    /// last [`Wanted`] that it confirmed. `None` until it confirmed one.
    pub programmed: Option<(Option<PoolId>, Weight)>,
    /// Tasks that were started and whose run is still there.
    pub tasks: Vec<TaskSeen>,
    /// Artifacts of versions that are remembered and cannot be started any more: they are not in the store.
    pub gone: BTreeSet<Digest>,
}

/// What the host sees of one pool.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolSeen {
    /// Which.
    pub pool: PoolId,
    /// How many instances there should be.
    pub desired: u32,
    /// How many may get traffic.
    pub ready: u32,
    /// Why it is not whole, if something is known.
    pub trouble: Option<Text>,
}
