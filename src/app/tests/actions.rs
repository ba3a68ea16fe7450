//! From keys to overlays, panels and effects; what is followed after it was sent.

use super::*;
use crate::{
    app::{
        docs,
        state::{Confirm, Focus},
    },
    model::{
        action::{Action, Observation, Refusal},
        back::How,
        rollout::{Hold, LastAction, Phase},
    },
    runtime::Fault,
};
use std::collections::BTreeMap;

fn refused(console: &Console) -> String {
    match &console.state.overlay {
        Overlay::Refused { refusal, .. } => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn r_always_opens_something() {
    let mut console = Console::blank();
    console.keys("R");
    assert_eq!(refused(&console), "no target is configured: nothing is known, so there is nowhere to go");
    let fault = Fault::Unreachable { place: "/run/x.sock".into(), why: "no such file".into() };
    console.msg(Msg::Link(target(), Link::Connecting { attempt: 3, next_at: t0(), last: Some(fault) }));
    console.keys("R");
    assert_eq!(refused(&console), "nothing is known yet: connecting to demo, attempt 3: cannot reach /run/x.sock: no such file");
    // From every place a key can be pressed, except while text is typed.
    for place in ["", "tab", "l", "?", "C", "enter", "enter down", "w", "w 1 2", "g", "R +1s esc +200ms", "s +1s esc +200ms"] {
        let mut console = Console::typed(place);
        console.keys("+300ms R");
        assert!(matches!(console.preview().map(|p| &p.plan.action), Some(Action::Back { .. })), "{place}");
    }
    let mut console = Console::new();
    console.change(|r| r.back.how = How::None { why: "v40 and v39 could be deployed".into() });
    console.keys("R");
    assert_eq!(refused(&console), "v40 and v39 could be deployed");
    console.change(|r| r.back.how = How::Already { since: t0() });
    console.keys("+300ms R");
    assert_eq!(refused(&console), "already back on v41 since 03:12:09");
    // Nothing is left to do but to call off what follows.
    console.change(|r| r.back.then = Some("v43".into()));
    console.keys("+300ms esc +200ms R");
    assert!(matches!(console.preview().map(|p| &p.plan.action), Some(Action::Back { .. })));
}

#[test]
fn without_a_connection_only_the_way_back_is_planned() {
    let mut console = Console::new();
    let since = console.now();
    console.msg(Msg::Link(target(), Link::Stale { since }));
    console.keys("+41s s");
    assert_eq!(refused(&console), "the view is stale: last heard 41 s ago");
    console.keys("esc +200ms R");
    assert_eq!(console.preview().unwrap().plan.warns[0].as_str(), "last heard 41 s ago");
    console.keys("+3s");
    let warns: Vec<_> = console.preview().unwrap().plan.warns.iter().map(|w| w.as_str()).collect();
    assert!(matches!(warns[..], ["last heard 43 s ago" | "last heard 44 s ago"]), "{warns:?}");
    console.keys("R +200ms");
    assert_eq!(console.verbs(), ["revert"]);
    // Lost while a preview of something else is read: nothing is sent.
    let mut console = Console::typed("s +300ms");
    console.msg(Msg::Link(target(), Link::Stale { since }));
    console.keys("enter");
    assert!(console.sent().is_empty());
    assert!(console.preview().unwrap().withdrawn.as_ref().unwrap().as_str().starts_with("the view is stale"));
}

#[test]
fn read_only_acts_on_nothing() {
    let mut console = Console::new();
    console.state.read_only = true;
    for key in ["s", "p", "P", "w", "t", "c"] {
        console.keys(&format!("{key} +300ms enter +300ms"));
        assert!(console.sent().is_empty() && console.preview().is_none(), "{key}");
    }
    console.keys("s");
    assert_eq!(refused(&console), "this target is read-only");
    // Verbs without a key are not offered; who writes one is told why, whatever words follow.
    for line in ["u n d o", "u n d o space v 4 1", "f r e e z e space x", "t h a w", "t a i n t", "w e i g h t space 3 0"] {
        console.keys(&format!("+300ms esc +300ms : {line} +300ms enter"));
        assert_eq!(refused(&console), "this target is read-only", "{line}");
        assert!(console.sent().is_empty());
    }
    // The way back is shown, with everything that would be done, and nothing sends it.
    for confirms in ["R", "enter", "x"] {
        console.keys("+300ms esc +300ms R");
        let preview = console.preview().unwrap();
        assert_eq!(preview.confirm, Confirm::Never);
        assert!(!preview.plan.calls.is_empty());
        assert!(preview.plan.warns.iter().any(|w| w.as_str() == "this target is read-only: nothing is sent"));
        console.keys(&format!("+300ms {confirms} +300ms"));
        assert!(console.sent().is_empty() && console.preview().is_none(), "{confirms}");
    }
}

#[test]
fn there_are_no_toggles_and_what_is_so_already_is_said() {
    let console = Console::typed("c");
    assert_eq!((console.notice(), console.preview()), ("nothing paused by hand; s skips the gate", None));
    let mut console = Console::new();
    console.change(|r| r.holds.push(Hold::Manual { by: "ana".into(), since: t0(), weight: None }));
    console.keys("p");
    assert_eq!(console.notice(), "already paused by ana 02:14");
    console.keys("+200ms s");
    assert_eq!(refused(&console), "paused by ben, c resumes");
    console.keys("+200ms esc +200ms c +300ms enter");
    assert_eq!(console.verbs(), ["resume"]);
}

#[test]
fn while_a_panel_has_the_focus_only_r_acts() {
    for panel in ["l", "v", "i", "f", "o", "tab"] {
        let mut console = Console::typed(panel);
        assert_eq!(console.state.focus, Focus::Panel);
        console.keys("+200ms s +200ms enter +200ms p +200ms P +200ms w +200ms c +200ms enter");
        assert!(console.preview().is_none() && console.sent().is_empty() && console.state.overlay == Overlay::None, "{panel}");
        console.keys("R +300ms R +200ms");
        assert_eq!(console.verbs(), ["revert"]);
    }
}

#[test]
fn typing_error_into_a_filter_is_text() {
    let mut console = Console::typed("l / E +300ms R +300ms R +300ms O +300ms R +300ms q +300ms");
    assert!(console.preview().is_none() && console.sent().is_empty());
    assert_eq!(console.state.panels[console.state.panel].title(&console.state.shared), "logs · following · filter: ERRORq_");
    console.keys("ctrl-l ctrl-c +200ms");
    assert_eq!(console.fx.last(), Some(&Effect::Redraw));
    assert!(!console.state.is_typing() && console.state.focus == Focus::Panel);
    console.keys("R");
    assert!(console.preview().is_some());
}

#[test]
fn tab_goes_round_and_q_closes_the_innermost_thing() {
    let mut console = Console::new();
    let n = console.state.panels.len();
    for i in 0..n {
        console.keys("tab");
        assert_eq!((console.state.focus, console.state.panel), (Focus::Panel, i));
    }
    console.keys("tab");
    assert_eq!(console.state.focus, Focus::Rollout);
    console.keys("backtab");
    assert_eq!((console.state.focus, console.state.panel), (Focus::Panel, n - 1));
    console.keys("? +200ms q");
    assert_eq!((&console.state.overlay, console.state.focus), (&Overlay::None, Focus::Panel));
    console.keys("+200ms ctrl-c");
    assert_eq!(console.state.focus, Focus::Rollout);
    assert!(!console.fx.contains(&Effect::Quit));
    console.keys("+200ms q");
    assert!(console.fx.contains(&Effect::Quit));
    let console = Console::typed("ctrl-z ctrl-l r");
    assert_eq!(console.fx, [Effect::Suspend, Effect::Redraw, Effect::Redraw]);
}

#[test]
fn logs_are_watched_only_while_they_are_looked_at() {
    let mut console = Console::typed("l");
    assert_eq!(console.fx, [Effect::WatchLogs(Some(fixture::key("checkout")))]);
    console.keys("tab");
    assert_eq!(console.fx.last(), Some(&Effect::WatchLogs(None)));
}

#[test]
fn the_list_of_actions_works_with_arrows_and_enter_alone() {
    let mut console = Console::typed("enter +200ms enter");
    assert!(console.state.overlay == Overlay::None && console.fx.is_empty(), "the first row is no action");
    console.keys("+200ms enter +200ms down down down down down down down down down down down down down down");
    assert_eq!(console.state.overlay, Overlay::Actions(11));
    console.keys("+200ms up up up up up +200ms enter +300ms enter +200ms");
    assert_eq!(console.verbs(), ["revert"]);
    let names: Vec<_> = console.state.offers().iter().map(|o| o.command).collect();
    assert_eq!(names, ["step", "pause", "resume", "weight", "promote", "revert", "retry", "undo", "freeze", "thaw", "taint"]);
    let off = console.state.offers()[2].off.clone();
    assert!(matches!(off, Some(Refusal::AlreadySo { .. })));
}

#[test]
fn a_weight_is_typed_and_then_previewed() {
    let console = Console::typed("w 3 3 . 3 3 enter +300ms enter +300ms");
    assert!(matches!(console.sent()[0].action, Action::SetWeight { weight } if weight.bp() == 3_333));
    let mut console = Console::typed("w 1 0 1 enter");
    assert_eq!(
        (console.notice(), &console.state.overlay),
        ("`101` is more than all of the traffic: 0 to 100", &Overlay::Weight("101".into()))
    );
    assert!(Console::typed("w 3 3 . 3 3 3 enter").notice().contains("more than two decimals"));
    assert!(Console::typed("w enter").notice().contains("write a weight"));
    console.keys("+200ms backspace +200ms enter");
    assert!(console.preview().is_some());
    assert_eq!(Console::typed("w s p esc").notice(), "NOTHING SENT");
}

#[test]
fn copying_takes_the_candidates_digest() {
    let console = Console::typed("y");
    let digest = crate::model::digest::Digest::of(b"v42").to_string();
    assert_eq!(console.fx, [Effect::Copy(digest.clone())]);
    assert_eq!(console.notice(), format!("copied {digest}"));
    let mut console = Console::typed("i y");
    assert_eq!(console.fx, [Effect::Copy("v41-0".into())]);
    console.keys("+4s");
    assert_eq!(console.notice(), "", "it fades by itself");
}

#[test]
fn somebody_else_who_acted_is_named() {
    let by = |by: &str, action, at| Some(LastAction { by: by.into(), action, at, effect: "step 3 → 4".into() });
    let mut console = Console::typed("j");
    let at = console.now();
    console.change(|r| r.last = by("ben", Action::Resume, at));
    console.keys("+8s R");
    assert_eq!(console.preview().unwrap().meanwhile.as_ref().unwrap().as_str(), "ben resumed 8 s ago; step 3 → 4");
    console.keys("+3s");
    let said = console.preview().unwrap().meanwhile.clone().unwrap();
    assert!(said.as_str().contains("10 s ago") || said.as_str().contains("11 s ago"), "{said}");
    // Known since the last key: not said again.
    console.keys("esc +200ms R");
    assert_eq!(console.preview().unwrap().meanwhile, None);
    // While a preview is open.
    let at = console.now();
    console.change(|r| r.last = by("ben", Action::Pause, at));
    assert!(console.preview().unwrap().meanwhile.as_ref().unwrap().as_str().starts_with("ben paused 0 s ago"));

    // One's own action is no news; that somebody undid it is.
    let mut console = Console::typed("p +300ms enter");
    let at = console.now();
    console.answer(Outcome::Accepted { changed: true, at });
    console.change(|r| {
        r.last = by("ana", Action::Pause, at);
        r.holds.push(Hold::Manual { by: "ana".into(), since: at, weight: None });
    });
    console.keys("+1s R");
    assert_eq!(console.preview().unwrap().meanwhile, None);
    console.keys("esc +200ms");
    let at = console.now();
    console.change(|r| {
        r.last = by("ben", Action::Resume, at);
        r.holds.clear();
    });
    console.keys("R");
    assert!(console.preview().unwrap().meanwhile.as_ref().unwrap().as_str().starts_with("ben resumed your pause"));
}

#[test]
fn the_intent_is_written_with_the_sending_and_done_needs_an_observation() {
    let mut console = Console::typed("R +300ms enter");
    let [Effect::Send { after_intent: false, plan, .. }, Effect::Journal(intent)] = &console.fx[..] else { panic!("{:?}", console.fx) };
    assert!(matches!(&**intent, Record::Intent { plan: p, .. } if p.id == plan.id));
    let line = |c: &Console| c.state.following[0].line(c.now()).1.to_string();
    assert_eq!(line(&console), "revert sent 0 s ago, no answer yet");
    let at = console.now();
    console.answer(Outcome::Accepted { changed: true, at });
    assert!(matches!(&console.fx[2], Effect::Journal(r) if matches!(&**r, Record::Outcome { .. })));
    assert_eq!(line(&console), "revert accepted");
    console.change(|_| {});
    assert_eq!(line(&console), "revert accepted; not yet: traffic");
    console.change(|r| r.phase = Phase::Reverted);
    assert_eq!((line(&console).as_str(), &console.state.following[0].seen), ("revert done", &Some(Observation::Confirmed)));
    console.keys("+59s");
    assert_eq!(console.state.following.len(), 1);
    console.keys("+3s");
    assert!(console.state.following.is_empty());
    let Effect::Send { after_intent: true, .. } = &Console::typed("p +300ms enter").fx[1] else { panic!() };
}

#[test]
fn a_lost_answer_is_asked_for_and_never_sent_again() {
    let unknown = || Outcome::Unknown { sent: t0(), why: "connection reset".into() };
    let resolves = |c: &Console| c.fx.iter().filter(|e| matches!(e, Effect::Resolve { .. })).count();
    let mut console = Console::typed("p +300ms enter");
    console.answer(unknown());
    assert_eq!(resolves(&console), 1);
    console.answer(unknown());
    console.keys("+4s");
    assert_eq!(resolves(&console), 1);
    console.keys("+3s");
    assert_eq!(resolves(&console), 2);
    console.msg(Msg::Link(target(), Link::Stale { since: t0() }));
    console.keys("+60s");
    assert_eq!(resolves(&console), 2, "not while nobody can answer");
    console.msg(Msg::Link(target(), Link::Live { since: t0() }));
    assert_eq!(resolves(&console), 3);
    assert_eq!(console.sent().len(), 1);
    // Seen to have taken effect: known again, and written down.
    console.change(|r| r.holds.push(Hold::Manual { by: "ana".into(), since: t0(), weight: None }));
    assert!(matches!(console.fx.last(), Some(Effect::Journal(r)) if matches!(&**r, Record::Observed { .. })));
    // Or never arrived.
    let mut console = Console::typed("p +300ms enter");
    console.answer(unknown());
    let id = console.state.following[0].id.clone();
    console.msg(Msg::Resolved(id, None));
    assert_eq!(console.notice(), "pause: nothing was done: it never arrived");
    assert_eq!(console.sent().len(), 1);
    // From a console that ended before.
    let mut old = Console::typed("p +300ms enter").state.following;
    old[0].outcome = None;
    let mut console = Console::new();
    console.msg(Msg::Recalled(old));
    assert_eq!((resolves(&console), console.sent().len()), (1, 0));
}

#[test]
fn footer_and_help_follow_the_state_and_the_keymap() {
    let text = |c: &Console| docs::footer(&c.state).iter().map(|h| format!("{} {}", h.key, h.label)).collect::<Vec<_>>().join(" · ");
    let mut console = Console::new();
    assert_eq!(text(&console), "R back to v41 · p pause · s step · P promote · w weight · t retry · enter actions · tab panel · :  · ? ");
    let hints = docs::footer(&console.state);
    assert_eq!(hints[0].drop, 0);
    let mut last: Vec<_> = hints.iter().map(|h| (h.drop, h.key.as_str())).collect();
    last.sort();
    assert_eq!(last.iter().rev().take(3).map(|(_, k)| *k).collect::<Vec<_>>(), ["?", ":", "tab"]);
    console.change(|r| {
        r.at.as_mut().unwrap().index = 2;
        r.gates = vec![fixture::gate(crate::model::gate::Verdict::Fail { who: crate::model::gate::Arm::Candidate, why: "".into() })];
    });
    assert!(text(&console).starts_with("R back to v41 · p pause · s P off: gate failed"));
    let help = docs::help(&console.state);
    assert!(help.iter().any(|l| l.0 == "R" && l.1 == "the fastest way back"));
    assert!(help.iter().any(|l| l.0 == "g g, home"));

    let changed = BTreeMap::from([("revert".to_owned(), vec!["f9".to_owned()])]);
    console.state.desk.keymap = Keymap::new(&panel::tables(&panel::all()), &changed).unwrap();
    console.keys("j");
    assert!(text(&console).starts_with("f9 back to v41"));
    console.keys("f9 +300ms f9 +50ms");
    assert!(console.sent().is_empty());
    console.keys("+100ms");
    assert_eq!(console.verbs(), ["revert"], "whatever key it is, the rules are the same");
}

#[test]
fn the_documents_name_every_command_and_the_example_parses() {
    let tables = panel::tables(&panel::all());
    let (table, example) = (docs::readme_table(&tables), docs::example(&tables));
    let bare: String = example.lines().map(|l| format!("{}\n", l.trim_start_matches('#'))).collect();
    let read: BTreeMap<String, BTreeMap<String, Vec<String>>> = toml::from_str(&bare).unwrap();
    for c in crate::app::commands::COMMANDS.iter().chain(tables.iter().flat_map(|(_, c)| *c)) {
        assert!(table.contains(&format!("`{}`", c.name)));
        assert_eq!(read["keys"][c.name], c.keys, "{}", c.name);
    }
    assert_eq!(Keymap::new(&tables, &read["keys"]), Keymap::new(&tables, &BTreeMap::new()), "the example is the default");
}
