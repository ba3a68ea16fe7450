//! Whose gates are told: of the run that moves, of a run as it was when its traffic was decided, of the version
//! that serves now.

use crate::{
    app::state::{Shared, Watched},
    model::{
        decided::{Decided, Decision},
        failed::Failed,
        gate::GateState,
        rollout::{Phase, Rollout},
        text::Text,
        time::Time,
    },
    ui::{
        figure::clock,
        look::{Look, Tone},
        row::Row,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::time::Duration;

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Part {
    /// As they stand.
    Now,
    /// As they stood when the traffic went back.
    Back,
    /// As they stood when it was promoted.
    Promotion,
}

/// Those that have anything, what is asked for first: after a way back why, after a promotion how it does.
pub(super) fn all(r: &Rollout) -> Vec<Part> {
    let now = r.alone.is_none() || r.phase == Phase::Completed;
    let order = if now { [Part::Now, Part::Back, Part::Promotion] } else { [Part::Back, Part::Promotion, Part::Now] };
    order.into_iter().filter(|part| !part.gates(r).is_empty()).collect()
}

impl Part {
    fn decided(self, r: &Rollout) -> Option<&Decided> {
        let what = match self {
            Self::Now => return None,
            Self::Back => Decision::WentBack,
            Self::Promotion => Decision::Promoted,
        };
        r.decided.iter().find(|d| d.what == what)
    }

    pub(super) fn gates(self, r: &Rollout) -> &[GateState] {
        match self {
            Self::Now => &r.gates,
            _ => self.decided(r).map(|d| d.gates.as_slice()).unwrap_or_default(),
        }
    }

    /// Where the run stands: whether a gate failed, has not passed since, and says something else by now.
    pub(super) fn failed_before<'r>(self, r: &'r Rollout, gate: &GateState) -> Option<&'r Failed> {
        r.failed_before(gate).filter(|_| self == Self::Now)
    }

    /// The gate that speaks for all of them.
    pub(super) fn worst_gate(self, r: &Rollout) -> Option<&GateState> {
        match self {
            Self::Now => r.worst_gate(),
            _ => self.decided(r)?.worst_gate(),
        }
    }

    /// Whether it needs a heading: where anything but the run that moves is told.
    pub(super) fn is_named(self, r: &Rollout) -> bool {
        self != Self::Now || r.alone.is_some() || !r.decided.is_empty()
    }

    /// The version that stands alone, where it does.
    pub(super) fn alone(self, r: &Rollout) -> Option<&Text> {
        match self {
            Self::Now => r.alone.as_ref().map(|alone| &alone.version),
            _ => self.decided(r).filter(|d| d.beside.is_none()).map(|d| &d.version),
        }
    }

    /// The moment it is told of, and how long its source was silent then.
    pub(super) fn seen(self, shared: &Shared, w: &Watched) -> (Time, Duration) {
        self.decided(&w.rollout).map_or_else(|| (shared.now, shared.silent(w).unwrap_or_default()), |d| (d.at, Duration::ZERO))
    }

    /// What the panel's title says of it before its counts.
    pub(super) fn title(self, r: &Rollout) -> Option<String> {
        let run = |d: &Decided| format!("run {} as of {}Z: ", d.run.text(), clock(d.at));
        self.decided(r).map(run).or_else(|| r.alone.as_ref().map(|alone| format!("{} alone: ", alone.version)))
    }

    /// `run 3 as of 02:46:21Z, when it went back: v3 beside v2`
    fn heading(self, r: &Rollout) -> String {
        let Some(d) = self.decided(r) else {
            let since = |at: Time| format!("has all the traffic since {}Z, nothing beside it", clock(at));
            return r.alone.as_ref().map(|alone| format!("now: {} {}", alone.version, since(alone.since))).unwrap_or_default();
        };
        let who = d.beside.as_ref().map_or_else(|| format!("{} alone", d.version), |beside| format!("{} beside {beside}", d.version));
        let dropped = if d.dropped > 0 { format!("; {} more gates are not kept", d.dropped) } else { String::new() };
        format!("run {} as of {}Z, {}: {who}{dropped}", d.run.text(), clock(d.at), d.what.when())
    }

    pub(super) fn draw(self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let Some(w) = shared.watched() else { return };
        let heading = look.plain(&self.heading(&w.rollout)).into_owned();
        Row::new(*look).add(Tone::Dim, heading).cut(usize::from(area.width)).draw(area, buf);
    }
}
