//! What every region of the rollout screen starts from: the rollout that is open, which of its
//! versions stands left and right, how old the picture is, how much room there is.

use crate::{
    app::state::{State, Watched},
    model::{
        gate::GateState,
        ident::Role,
        instance::Pool,
        ratio::Ratio,
        rollout::{Phase, Rollout},
        spec::Strategy,
        text::Text,
        time::{Time, elapsed},
        version::{Track, Version},
    },
    runtime::Link,
    ui::{
        figure,
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use std::time::Duration;

/// Where the text of a line begins that is no row of figures.
pub(super) const CONTENT: usize = 8;

/// One rollout, ready to be drawn.
pub(super) struct Scene<'a> {
    pub state: &'a State,
    pub look: Look,
    /// By the clock of the target.
    pub now: Time,
    pub watched: &'a Watched,
    pub rollout: &'a Rollout,
    /// The stable version.
    pub left: Option<&'a Track>,
    /// The candidate, else the version that was replaced.
    pub right: Option<&'a Track>,
    /// Every other track.
    pub others: Vec<&'a Track>,
    /// How old the picture is, if it is too old to be believed.
    pub stale: Option<Duration>,
    /// The layout of 120 columns; else that of 80.
    pub roomy: bool,
    /// Columns that may be used, margin included.
    pub width: usize,
}

impl<'a> Scene<'a> {
    pub fn new(state: &'a State, watched: &'a Watched, columns: u16) -> Self {
        let rollout = &watched.rollout;
        let left = rollout.stable();
        let right = rollout.candidate().or_else(|| rollout.track(Role::Superseded));
        let same = |a: &Track, b: Option<&Track>| b.is_some_and(|b| std::ptr::eq(a, b));
        let others = rollout.tracks.iter().filter(|t| !same(t, left) && !same(t, right)).collect();
        let roomy = columns >= 120;
        Self {
            state,
            look: state.look,
            now: state.shared.there(&rollout.key.target),
            watched,
            rollout,
            left,
            right,
            others,
            stale: state.shared.silent(watched),
            roomy,
            width: usize::from(if roomy { columns } else { columns.saturating_sub(1) }),
        }
    }

    /// How the target is connected.
    pub fn link(&self) -> Option<&'a Link> {
        self.state.shared.links.get(&self.rollout.key.target)
    }

    /// The age beyond which a picture of this source is stale.
    pub fn patience(&self) -> Duration {
        self.watched.patience()
    }

    /// How long ago something of the rollout was.
    pub fn age(&self, then: Time) -> Duration {
        elapsed(self.now, then)
    }

    pub const fn row(&self) -> Row {
        Row::new(self.look)
    }

    /// A line that begins with its label.
    pub fn line(&self, label: &str) -> Row {
        self.labelled(Tone::Dim, label)
    }

    /// A line that begins with a label that must be seen.
    pub fn labelled(&self, tone: Tone, label: &str) -> Row {
        self.row().plain(" ").add(tone, label).pad(CONTENT)
    }

    /// The first of some forms that fits the screen.
    pub fn fit(&self, forms: impl IntoIterator<Item = Row>) -> Row {
        Row::fit(self.look, self.width, forms)
    }

    /// `roomy` where there is room, else `narrow`.
    pub const fn pick<'s>(&self, roomy: &'s str, narrow: &'s str) -> &'s str {
        if self.roomy { roomy } else { narrow }
    }

    /// A version's label: 12 columns in the narrow layout, as a digest.
    pub fn label(&self, version: &Version) -> String {
        self.cut(&version.label, if self.roomy { 32 } else { 12 })
    }

    /// A gate's name.
    pub fn gate_name(&self, gate: &GateState) -> String {
        self.cut(&gate.id.text(), if self.roomy { 40 } else { 21 })
    }

    /// Outside text in at most `max` columns, cut in its middle.
    pub fn cut(&self, name: &Text, max: usize) -> String {
        text::cut_middle(&self.look.plain(name.as_str()), max, &self.look).into_owned()
    }

    /// What a track is called here.
    pub fn role(&self, track: &Track) -> &'static str {
        match (track.role, self.rollout.strategy) {
            (Role::Stable, _) => "stable",
            (Role::Candidate, Strategy::Canary) => "canary",
            (Role::Candidate, Strategy::BlueGreen) => "green",
            (Role::Candidate, Strategy::Rolling | Strategy::Recreate) => "new",
            (Role::Superseded, _) if instances(track).is_some_and(|i| i.ready > 0) => "warm",
            (Role::Superseded, _) => "old",
            (Role::Experiment, _) => "trial",
        }
    }

    /// The same with where it is attached, which says it better where the strategy attaches: `active`,
    /// `preview`; with room `stable (active)`.
    pub fn place(&self, track: &Track) -> String {
        match &track.slot {
            Some(slot) if self.roomy => format!("{} ({})", self.role(track), self.cut(slot, 12)),
            Some(slot) => self.cut(slot, 8),
            None => self.role(track).to_owned(),
        }
    }

    pub const fn tone(track: &Track) -> Tone {
        match track.role {
            Role::Stable => Tone::Stable,
            Role::Candidate => Tone::Candidate,
            Role::Superseded | Role::Experiment => Tone::Strong,
        }
    }

    /// The track that this version is on.
    pub fn track_of(&self, version: &Version) -> Option<&'a Track> {
        self.rollout.tracks.iter().find(|t| t.version.id == version.id)
    }

    /// The gate that says stable is sick, if one does: rather one that says both versions are.
    pub fn stable_sick(&self) -> Option<&'a GateState> {
        let gates = || self.rollout.gates.iter();
        gates().find(|g| g.verdict.fails_both()).or_else(|| gates().find(|g| g.stable_is_sick()))
    }

    /// Whether the gates look at what stands on the right: before and after a run they do not.
    pub const fn judged(&self) -> bool {
        !matches!(self.rollout.phase, Phase::Idle | Phase::Completed | Phase::Reverting | Phase::Reverted)
    }

    /// Whether the version that has all the traffic fails a gate while it is not good yet.
    pub fn fails_baking(&self) -> bool {
        self.rollout.phase == Phase::Completed && self.rollout.attention.as_ref().is_some_and(|a| a.kind.as_str() == "failing")
    }

    /// Whether nobody measures it, and nothing of it is known to have been measured.
    pub fn unmeasured(&self) -> bool {
        let sides = || [self.left, self.right].into_iter().flatten();
        let seen = |t: &Track| !t.signals.is_empty() || self.watched.history.contains_key(&t.version.id);
        self.rollout.measured.is_none() && self.rollout.gates.is_empty() && !sides().any(seen)
    }

    /// Whether this is the first version ever.
    pub fn first(&self) -> bool {
        self.left.is_none() && self.right.is_some()
    }

    /// Whether the two versions on the screen run with different configurations.
    pub fn other_config(&self) -> bool {
        let config = |t: Option<&'a Track>| t.and_then(|t| t.version.config.as_ref());
        matches!((config(self.left), config(self.right)), (Some(a), Some(b)) if a != b)
    }
}

/// A track's instances, all pools together.
#[derive(Clone, Copy)]
pub(super) struct Instances {
    pub desired: u32,
    pub ready: u32,
    pub restarts: u32,
}

impl Instances {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            desired: self.desired.saturating_add(other.desired),
            ready: self.ready.saturating_add(other.ready),
            restarts: self.restarts.saturating_add(other.restarts),
        }
    }
}

/// `None` if nothing is known of them.
pub(super) fn instances(track: &Track) -> Option<Instances> {
    let of = |pool: &Pool| Instances { desired: pool.desired, ready: pool.ready, restarts: pool.restarts };
    track.pools.iter().map(of).reduce(Instances::plus)
}

/// A share with two decimals: `66.67 %`; `–` if it is not known.
pub(super) fn share_percent(ratio: Option<Ratio>) -> String {
    ratio.and_then(Ratio::percent).map_or_else(|| figure::UNKNOWN.into(), |percent| figure::percent(percent / 100.0))
}

/// The same without its sign, where there is no room for it.
pub(super) fn share(ratio: Option<Ratio>) -> String {
    share_percent(ratio).trim_end_matches(" %").into()
}

/// The same in a sentence, without needless decimals: `10 %`, `33.33 %`.
pub(super) fn share_short(ratio: Option<Ratio>) -> String {
    match share_percent(ratio).strip_suffix(" %") {
        Some(number) if number.contains('.') => format!("{} %", number.trim_end_matches('0').trim_end_matches('.')),
        Some(number) => format!("{number} %"),
        None => figure::UNKNOWN.into(),
    }
}
