//! The only mutator: one message in, effects out. Synchronous and total.

use super::{
    msg::{Effect, Msg, Planner},
    state::{Notice, Overlay, State, View},
};
use crate::{
    model::{
        delta::Delta,
        ident::Key,
        time::{Time, until},
    },
    runtime::Link,
};
use std::time::Duration;

/// How long after the full second the clock is drawn: a host on this machine says what the second
/// brought just after its end, and both are one frame.
const AFTER_SECOND: Duration = Duration::from_millis(20);

/// How many followed actions are kept at most.
const FOLLOWING: usize = 50;

/// Takes in one message. `now` is wall time, `uptime` monotonic time since the start.
pub fn update(state: &mut State, msg: Msg, now: Time, uptime: Duration, runtimes: &dyn Planner) -> Vec<Effect> {
    let mut fx = Vec::new();
    state.shared.now = now;
    state.shared.uptime = state.shared.uptime.max(uptime);
    state.desk.unseen |= !matches!(msg, Msg::Delta(..) | Msg::Painted(_) | Msg::Frame);
    match msg {
        Msg::Input { batch } => {
            state.company(&batch, &mut fx);
            for stroke in &batch {
                state.stroke(stroke, runtimes, &mut fx);
            }
            state.refresh_offers(runtimes);
        }
        Msg::Delta(target, delta) => {
            // Signals and events move no fact: nothing that was planned or sent depends on them.
            let facts = matches!(delta, Delta::Apply { .. } | Delta::Delete { .. } | Delta::InitDone { .. });
            let point = matches!(delta, Delta::Point { .. } | Delta::History { .. } | Delta::Events { .. } | Delta::Failed { .. });
            let (view, open) = (state.view, state.shared.open.clone());
            let touched = state.take(&target, delta);
            let moved = facts && state.place(&touched);
            let changed = (view, &open) != (state.view, &state.shared.open);
            state.desk.unseen |= changed || state.is_seen(&touched, moved, point);
            if facts {
                state.facts_moved(&touched, runtimes, &mut fx);
            }
            if state.shared.open.as_ref().is_some_and(|open| touched.contains(open)) {
                state.tell_panels();
            }
        }
        Msg::Link(target, link) => {
            let was_live = matches!(state.shared.links.get(&target), Some(Link::Live { .. }));
            let is_live = matches!(link, Link::Live { .. });
            state.shared.links.insert(target.clone(), link);
            if is_live && !was_live {
                state.ask_again(Some(&target), &mut fx);
            }
            if is_live != was_live {
                state.refresh_preview(runtimes);
                state.place_all();
            }
            state.refresh_offers(runtimes);
        }
        Msg::Logs(lines, dropped) => {
            state.take_logs(lines, dropped);
            state.tell_panels();
        }
        Msg::Outcome(id, outcome) => state.answered(&id, outcome, &mut fx),
        Msg::Resolved(id, found) => state.resolved(&id, found, &mut fx),
        Msg::Recalled(recalled) => state.recall(recalled, &mut fx),
        Msg::Say { text, bad } => state.notice = Some(Notice { text, bad, fades: None }),
        Msg::Tick => state.tick(runtimes, &mut fx),
        Msg::Resize(columns, rows) => {
            state.size = (columns, rows);
            state.keep_in_view();
        }
        Msg::Frame => {
            state.arrange();
            state.desk.unseen = false;
        }
        Msg::Painted(at) => state.painted(at),
        Msg::Resumed => {
            state.desk.keyboard.resume(uptime);
            state.unpaint();
            fx.push(Effect::Redraw);
        }
    }
    state.age_preview();
    state.cap_following();
    state.watch_logs(&mut fx);
    fx
}

/// When the state wants a [`Msg::Tick`], as time since the start; `None` when nothing depends on time.
#[must_use]
pub fn next_wake(state: &State) -> Option<Duration> {
    let shared = &state.shared;
    // Ages and countdowns move with the clock in the header: at each full second.
    let second = || AFTER_SECOND + Duration::from_nanos(1_000_000_000 - u64::from(shared.now.timestamp_subsec_nanos() % 1_000_000_000));
    let connecting = shared.links.values().any(|l| !matches!(l, Link::Live { .. }));
    let ticking = !shared.rollouts.is_empty() || connecting || !state.following.is_empty();
    let fades = state.notice.as_ref().and_then(|n| n.fades).map(|at| until(shared.now, at));
    let by_the_clock = [ticking.then(second), fades].into_iter().flatten().map(|span| shared.uptime + span);
    by_the_clock.chain(state.ripens_at()).chain(state.thaws_at()).min()
}

impl State {
    fn facts_moved(&mut self, touched: &[Key], planner: &dyn Planner, fx: &mut Vec<Effect>) {
        self.observe(touched, planner, fx);
        if let Overlay::Preview(p) = &self.overlay
            && (touched.contains(&p.key) || p.also.iter().any(|a| touched.contains(&a.key)))
        {
            self.refresh_preview(planner);
        }
        if self.shared.open.as_ref().is_none_or(|open| touched.contains(open)) && !touched.is_empty() {
            self.refresh_offers(planner);
        }
    }

    /// Whether a change of these rollouts changes the screen. What the fleet shows of a rollout are facts.
    fn is_seen(&self, touched: &[Key], moved: bool, point: bool) -> bool {
        let open = self.shared.open.as_ref().is_some_and(|open| touched.contains(open));
        match self.view {
            View::Rollout => {
                let preview = matches!(&self.overlay, Overlay::Preview(p) if touched.contains(&p.key));
                open || preview || (self.shared.watched().is_none() && !touched.is_empty())
            }
            View::Fleet => {
                let followed = || self.following.iter().any(|f| touched.contains(&f.key));
                let over = || !matches!(self.overlay, Overlay::None);
                moved || (!point && (self.is_on_screen(touched) || followed() || (over() && !touched.is_empty())))
            }
        }
    }

    /// Whether what is on the screen changed since the last [`Msg::Frame`].
    #[must_use]
    pub const fn wants_frame(&self) -> bool {
        self.desk.unseen
    }

    pub(super) fn tell_panels(&mut self) {
        for panel in &mut self.panels {
            panel.changed(&self.shared);
        }
    }

    fn tick(&mut self, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        self.ripen(fx);
        let now = self.shared.now;
        if self.notice.as_ref().and_then(|n| n.fades).is_some_and(|at| at <= now) {
            self.notice = None;
        }
        // Nothing arrives from a silent target: how long it has been silent is said anew.
        if let Overlay::Preview(p) = &self.overlay
            && self.silence(&p.key).is_some()
        {
            self.refresh_preview(planner);
        }
        self.ask_again(None, fx);
        self.forget_settled();
        if self.view == View::Fleet {
            self.place_all();
        }
    }

    /// A frame was written: from now on the preview can be read.
    fn painted(&mut self, at: Duration) {
        let since = self.desk.draft.as_ref().map(|d| d.since);
        if let Overlay::Preview(p) = &mut self.overlay
            && p.painted.is_none()
            && since.is_some_and(|since| at >= since)
        {
            p.painted = Some(at);
        }
    }

    /// Nobody knows what the terminal shows: what was to be read must be written again.
    fn unpaint(&mut self) {
        self.forget_waiting();
        if let Overlay::Preview(p) = &mut self.overlay {
            p.painted = None;
        }
        if let Some(draft) = &mut self.desk.draft {
            draft.since = self.shared.uptime;
        }
    }

    fn cap_following(&mut self) {
        while self.following.len() > FOLLOWING {
            let oldest = self.following.iter().position(super::state::Following::is_settled).unwrap_or(0);
            self.following.remove(oldest);
        }
    }

    /// Has the loop watch the logs that are looked at, and no others.
    fn watch_logs(&mut self, fx: &mut Vec<Effect>) {
        let wants = self.panels.get(self.panel).is_some_and(|p| p.wants_logs());
        let wanted = self.shared.open.clone().filter(|_| wants && self.view == View::Rollout);
        if wanted == self.desk.watching {
            return;
        }
        if wanted.is_some() && wanted != self.desk.logs_of {
            self.shared.logs.clear();
            self.shared.logs_dropped = 0;
            self.desk.logs_of.clone_from(&wanted);
        }
        self.desk.watching.clone_from(&wanted);
        fx.push(Effect::WatchLogs(wanted));
    }
}
