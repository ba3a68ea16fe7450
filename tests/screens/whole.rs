//! Screens as the program itself draws them: keys, reasons and actions follow from the rollout, by the real planner.

use super::{HUGE, NARROW, keep, rows};
use crate::{
    fixtures::{self as fx, ago, now, state},
    fleets::known,
};
use cutover::{
    app::{
        desk::Desk,
        keymap::Keymap,
        msg::{Msg, Planner, Stroke},
        state::{Input, State},
        update::update,
    },
    clock::SystemClock,
    console,
    model::{
        action::{Observation, Plan, Refusal},
        back::How,
        ident::TargetId,
        rollout::{Finding, Freeze, Hold, Next, Phase, Rollout, Standing},
    },
    panel,
    runtime::{Ask, Runtime, host::HostRuntime},
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::{sync::Arc, time::Duration};

/// A host's own rules; there is none to talk to.
struct Host(HostRuntime);

impl Planner for Host {
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        Runtime::plan(&self.0, rollout, ask)
    }
    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        Runtime::confirm(&self.0, plan, rollout)
    }
}

fn host() -> Host {
    Host(HostRuntime::new(TargetId::new("demo"), "/nowhere/host.sock".into(), Arc::new(SystemClock::start())).unwrap())
}

/// A console that looks at a rollout, after these keys.
fn after(change: impl FnOnce(&mut Rollout), fixture: (Rollout, fx::Pasts), keys: &str) -> State {
    let (mut rollout, pasts) = fixture;
    change(&mut rollout);
    let host = host();
    let mut state = state((rollout, pasts));
    state.panels = panel::all();
    state.desk = Desk::new(Keymap::default(), Some("ana".into()), "t");
    let tell = |state: &mut State, msg: Msg| drop(update(state, msg, now(), state.shared.uptime, &host));
    tell(&mut state, Msg::Frame);
    for key in keys.split_whitespace() {
        state.shared.uptime += Duration::from_millis(300);
        let stroke = Stroke { input: Input::Key(key.parse().unwrap()), repeat: false, read_at: state.shared.uptime };
        tell(&mut state, Msg::Input { batch: vec![stroke] });
        tell(&mut state, Msg::Frame);
    }
    state
}

/// As the console draws it.
pub(super) fn paint(state: &State, (width, height): (u16, u16)) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    console::draw(state, area, &mut buf);
    buf
}

fn text(state: &State) -> String {
    rows(&paint(state, NARROW)).join("\n")
}

fn shoot(name: &str, state: &State) {
    for size in [NARROW, HUGE] {
        keep(&format!("whole_{name}"), &paint(state, size));
    }
}

fn freeze(r: &mut Rollout) {
    let (by, reason, since, until) = ("ana".into(), "stock-taking until the warehouse has counted".into(), ago(3_600), Some(ago(-7_200)));
    r.frozen = Some(Freeze { by, reason, since, until });
    r.holds = vec![Hold::Freeze { by: "ana".into(), since, until, reason: "stock-taking until the warehouse has counted".into() }];
    r.phase = Phase::Held;
    r.next = Next { what: "the freeze by ana ends: nothing moves forward before".into(), at: until, by: "plan".into() };
}

#[test]
fn each_action_is_listed_with_all_of_its_reason() {
    let frozen = after(freeze, fx::healthy(), "enter");
    shoot("frozen_actions", &frozen);
    let text = text(&frozen);
    for part in ["off: frozen by ana", "the warehouse has", "off: nothing paused by hand", "lift a freeze", "back to v41"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.lines().any(|l| l.contains("off:") && l.ends_with('…')), "no reason is cut\n{text}");
    shoot("idle_actions", &after(|_| {}, fx::idle(), "enter"));
    shoot("completed_actions", &after(|_| {}, fx::completed(), "enter"));
    // In a screen of few lines the chosen one's reason is whole, and it is in view.
    let few = rows(&paint(&after(freeze, fx::healthy(), "enter G k k k k k"), (80, 12))).join("\n");
    assert!(few.contains("▶ R") || few.contains("▶ t"), "{few}");
}

#[test]
fn stopped_done_never_begun_and_never_gone_back_to() {
    shoot("frozen", &after(freeze, fx::healthy(), "k"));
    shoot("completed", &after(|_| {}, fx::completed(), "k"));
    shoot("idle", &after(|_| {}, fx::idle(), "k"));
    let taint = |r: &mut Rollout| {
        let by = || ("ben".into(), "the new logo is wrong, and marketing has a date that nobody can move".into());
        let (who, reason) = by();
        r.versions = vec![
            known("v42", "77ab04c1d203", Standing::Good, 30, Some(0.000_4)),
            known("v41", "9f2c41aa0b11", Standing::Tainted { by: who, reason }, 168, Some(0.000_3)),
        ];
        r.back.to = None;
        r.back.how = How::None { why: "v41 is tainted by ben, and no other version is remembered".into() };
        r.findings = vec![Finding { kind: "taint".into(), what: "v41 was tainted by ben: the new logo is wrong".into(), since: ago(40) }];
    };
    let tainted = after(taint, fx::completed(), "V j");
    shoot("tainted", &tainted);
    let text = text(&tainted);
    for part in ["NOWHERE: v41 is tainted by ben", "TAINTED", "that nobody can move"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
