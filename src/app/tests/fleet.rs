//! All rollouts: order, cursor, filter, marks, several targets, commands by name.

use super::*;
use crate::{
    app::{
        docs,
        fleet::room,
        state::{Place, View},
    },
    model::{
        action::{Action, Refusal},
        ident::{Key, TargetId},
        rollout::{Freeze, Hold, Known, MeasuredBy, Phase, Standing},
        text::Raw,
        urgency::Urgent,
    },
};

fn named(service: &str, change: impl FnOnce(&mut Rollout)) -> Rollout {
    let mut r = rollout();
    r.key = fixture::key(service);
    r.phase = Phase::Progressing;
    r.holds.clear();
    change(&mut r);
    r
}

/// `b` waits for a person, `c` is stuck, `a`, `d` and `e` run.
fn several() -> Console {
    let mut console = Console::blank();
    console.msg(Msg::Link(target(), Link::Live { since: t0() }));
    console.delta(Delta::Init { version: 1, epoch: 1, server_time: t0() });
    let waits = |r: &mut Rollout| {
        r.phase = Phase::Held;
        r.holds = vec![Hold::Manual { by: "ben".into(), since: t0(), weight: None }];
    };
    let stuck = |r: &mut Rollout| {
        r.phase = Phase::Held;
        r.holds = vec![Hold::Backend { since: t0(), reason: "1/2 ready".into() }];
    };
    let all = [named("a", |_| {}), named("b", waits), named("c", stuck), named("d", |_| {}), named("e", |_| {})];
    for r in all {
        console.delta(Delta::Apply { rollout: Box::new(r) });
    }
    console.delta(Delta::InitDone { rev: Rev(1) });
    console.fx.clear();
    console
}

fn rows(console: &Console) -> String {
    console.state.fleet.rows().iter().map(|k| k.service.as_str()).collect::<Vec<_>>().join(" ")
}

fn cursor(console: &Console) -> Option<&str> {
    console.state.shared.open.as_ref().map(|k| k.service.as_str())
}

/// Another picture of a service.
fn send(console: &mut Console, service: &str, change: impl FnOnce(&mut Rollout)) {
    let mut r = console.state.shared.rollouts[&fixture::key(service)].rollout.clone();
    r.seen.rev.0 += 1;
    change(&mut r);
    console.delta(Delta::Apply { rollout: Box::new(r) });
}

fn fails(r: &mut Rollout) {
    r.phase = Phase::Failed;
    r.holds.clear();
}

#[test]
fn the_most_urgent_goes_first_and_nothing_is_chosen() {
    let mut console = several();
    assert_eq!((console.state.view, cursor(&console), rows(&console).as_str()), (View::Fleet, None, "b c a d e"));
    assert_eq!((console.state.fleet.count(Urgent::Waiting), console.state.fleet.count(Urgent::Running)), (1, 3));
    send(&mut console, "e", fails);
    assert_eq!(rows(&console), "b e c a d", "nobody has pressed a key: it moves at once");
    // Without a row an acting key chooses one and says so; nothing is opened.
    console.keys("R");
    assert_eq!((cursor(&console), console.preview()), (Some("b"), None));
    assert!(console.notice().starts_with("nothing was chosen for revert"), "{}", console.notice());
    console.keys("+300ms R");
    assert_eq!(console.preview().unwrap().key, fixture::key("b"));
}

#[test]
fn no_row_moves_under_the_cursor() {
    let mut console = several();
    console.keys("j j");
    assert_eq!(cursor(&console), Some("c"));
    send(&mut console, "e", fails);
    send(&mut console, "c", |r| r.phase = Phase::Completed);
    assert_eq!(rows(&console), "b c a d e", "frozen for 2 s after a key");
    console.delta(Delta::Apply { rollout: Box::new(named("new", fails)) });
    assert_eq!(rows(&console), "b c a d e new", "what is new goes to the end meanwhile");
    console.wait(Duration::from_millis(1_900));
    assert_eq!(rows(&console), "b c a d e new");
    console.wait(Duration::from_millis(1_200));
    assert_eq!((rows(&console).as_str(), cursor(&console)), ("b e new a d c", Some("c")), "the loop woke for it");
    // While something lies over the screen, a filter is typed or a mark is set, nothing moves either.
    for (keys, end) in [("R", "esc"), ("/", "esc"), ("space", "esc"), (":", "esc")] {
        let mut console = several();
        console.keys("j");
        console.keys(keys);
        send(&mut console, "e", fails);
        console.wait(Duration::from_secs(30));
        assert_eq!(rows(&console), "b c a d e", "{keys}");
        console.keys(end);
        console.wait(Duration::from_secs(4));
        assert_eq!(rows(&console), "b e c a d", "{keys}");
    }
}

#[test]
fn what_is_gone_stays_a_row_until_rows_may_move() {
    let mut console = several();
    console.keys("j j");
    console.delta(Delta::Delete { key: fixture::key("c") });
    assert_eq!(rows(&console), "b c a d e");
    console.keys("+200ms s");
    assert!(matches!(&console.state.overlay, Overlay::Refused { refusal: Refusal::NotNow { why }, .. } if why.as_str().contains("gone")));
    console.keys("esc +200ms j");
    console.wait(Duration::from_secs(4));
    assert_eq!((rows(&console).as_str(), cursor(&console)), ("b a d e", Some("a")));
    assert!(!console.state.shared.rollouts.contains_key(&fixture::key("c")));
}

#[test]
fn enter_opens_and_esc_leads_back() {
    let mut console = several();
    console.keys("enter");
    assert_eq!((console.state.view, cursor(&console)), (View::Fleet, Some("b")), "the first enter only chooses");
    console.keys("+200ms enter");
    assert_eq!((console.state.view, cursor(&console)), (View::Rollout, Some("b")));
    console.keys("+200ms enter");
    assert_eq!(console.state.overlay, Overlay::Actions(0));
    console.keys("esc +200ms l");
    assert!(console.fx.contains(&Effect::WatchLogs(Some(fixture::key("b")))));
    console.keys("esc +200ms esc +200ms");
    assert_eq!((console.state.view, cursor(&console)), (View::Fleet, Some("b")));
    assert_eq!(console.fx.last(), Some(&Effect::WatchLogs(None)), "what cannot be seen is not watched");
    // `q` in a rollout leads back here, then out.
    console.keys("+200ms enter +200ms q");
    assert_eq!(console.state.view, View::Fleet);
    assert!(!console.fx.contains(&Effect::Quit));
    console.keys("+200ms q");
    assert!(console.fx.contains(&Effect::Quit));
}

#[test]
fn the_only_rollout_opens_itself_and_the_fleet_can_be_reached() {
    let mut console = Console::new();
    assert_eq!(console.state.view, View::Rollout);
    // Another one shortly afterwards, before any key: nobody has read anything yet.
    console.delta(Delta::Apply { rollout: Box::new(named("cart", |_| {})) });
    assert_eq!((console.state.view, cursor(&console)), (View::Fleet, None));
    // Later the screen is not taken away.
    let mut console = Console::new();
    console.wait(Duration::from_secs(3));
    console.delta(Delta::Apply { rollout: Box::new(named("cart", |_| {})) });
    assert_eq!((console.state.view, cursor(&console)), (View::Rollout, Some("checkout")));
    console.keys("esc");
    assert_eq!((console.state.view, rows(&console).split(' ').count()), (View::Fleet, 2));
    // While another target is connecting for the first time, it is not known that there is only one.
    let mut console = Console::blank();
    console.msg(Msg::Link(TargetId::new("far"), Link::Connecting { attempt: 1, next_at: t0(), last: None }));
    console.delta(Delta::Apply { rollout: Box::new(rollout()) });
    assert_eq!(console.state.view, View::Fleet);
}

#[test]
fn a_filter_narrows_and_moves_only_among_what_is_shown() {
    let mut console = several();
    console.keys("/ s t u c k");
    assert_eq!((rows(&console).as_str(), cursor(&console)), ("c", None));
    console.keys("R +300ms R");
    assert!(console.preview().is_none() && console.sent().is_empty(), "letters are text");
    console.keys("backspace backspace enter n");
    assert_eq!(cursor(&console), Some("c"));
    console.keys("esc");
    assert_eq!(rows(&console), "b c a d e");
    assert_eq!(cursor(&console), Some("c"));
    console.keys("+200ms / b enter");
    assert_eq!((rows(&console).as_str(), cursor(&console)), ("b", None), "what is hidden is not chosen");
}

#[test]
fn acting_keys_act_on_the_row_of_the_cursor_and_never_on_marks() {
    let mut console = several();
    console.keys("j space space G");
    assert_eq!(console.state.fleet.marks().len(), 2);
    assert_eq!(cursor(&console), Some("e"));
    console.keys("+300ms p +300ms enter +300ms");
    let plans = console.sent();
    assert_eq!((plans.len(), plans[0].belief.key.clone()), (1, fixture::key("e")));
}

#[test]
fn a_verb_on_everything_marked_lists_each_and_is_confirmed_once() {
    let mut console = several();
    console.keys("j space space space : p a u s e space m a r k e d enter");
    let preview = console.preview().unwrap();
    // `b` is paused already: it stays out and says why.
    assert_eq!(preview.also.len(), 2);
    let refused: Vec<_> = preview.also.iter().filter(|a| a.plan.is_err()).map(|a| a.key.service.as_str()).collect();
    assert_eq!(refused, ["b"]);
    console.keys("+300ms enter +300ms");
    let to: Vec<_> = console.sent().iter().map(|p| p.belief.key.service.as_str().to_owned()).collect();
    assert_eq!((console.verbs(), to), (vec!["pause", "pause"], vec!["c".to_owned(), "a".to_owned()]));
    assert!(console.state.fleet.marks().is_empty());
    let intents = console.fx.iter().filter(|e| matches!(e, Effect::Journal(r) if matches!(&**r, Record::Intent { .. }))).count();
    assert_eq!(intents, 2);
    // A fact that moves on one of them withdraws all.
    let mut console = several();
    console.keys("j j j space space : s t e p space m a r k e d enter +300ms");
    assert_eq!(console.preview().unwrap().also.len(), 1);
    send(&mut console, "d", |r| r.at.as_mut().unwrap().index = 2);
    assert_eq!(console.preview().unwrap().withdrawn.as_ref().unwrap().as_str(), "d: step 2 → 3");
    console.keys("enter +1s");
    assert!(console.sent().is_empty());
    // Promotion is typed here too; the way back takes its second letter.
    let mut console = several();
    console.keys("j j j space space : p r o m o t e space m a r k e d enter +300ms enter +300ms");
    assert!(console.sent().is_empty() && console.hint().starts_with("type "));
    let mut console = several();
    console.keys("j space space : r e v e r t space m a r k e d enter +300ms R +300ms");
    assert_eq!(console.verbs(), ["revert", "revert"]);
    let mut console = several();
    console.keys(": s t e p space m a r k e d enter");
    assert!(matches!(&console.state.overlay, Overlay::Palette(p) if p.said.as_ref().unwrap().as_str().starts_with("nothing is marked")));
}

fn said(console: &Console) -> &str {
    if let Overlay::Palette(p) = &console.state.overlay { p.said.as_ref().map_or("", |s| s.as_str()) } else { "" }
}

#[test]
fn verbs_that_act_are_written_in_full() {
    for (line, why) in [
        (": w enter", "`w` is no order, write it in full: weight"),
        (": r e enter", "`re` is no order, write it in full: redraw, resume, revert, retry"),
        (": s t e enter", "`ste` is no order, write it in full: step"),
        (": x y z z y enter", "there is no command `xyzzy`"),
        (": l o g s space x enter", "`logs` stands alone"),
        (": w e i g h t space 1 5 0 enter", "`150` is more than all of the traffic: 0 to 100"),
        (": f r e e z e enter", "write `:freeze [TIME] REASON`"),
        (": f r e e z e space 2 x space y enter", "`2x` is no time: write 30m, 2h or 1d"),
        (": u n d o space v 9 enter", "no version `v9`; none is remembered"),
        (": t a i n t space v 4 1 enter", "no version `v41`; none is remembered"),
    ] {
        let mut console = Console::typed(line);
        assert_eq!(said(&console), why, "{line}");
        assert!(console.preview().is_none());
        console.keys("+300ms esc");
        assert_eq!(console.state.overlay, Overlay::None);
    }
    // Looking may be cut short where it is certain what is meant; tab writes the rest.
    assert_eq!(Console::typed(": c o n n enter").state.overlay, Overlay::Connections);
    let console = Console::typed(": p r o tab enter");
    assert!(matches!(console.preview().unwrap().plan.action, Action::Promote));
    let console = Console::typed(": w e i g h t space 2 5 . 5 enter +300ms enter +300ms");
    assert!(matches!(console.sent()[0].action, Action::SetWeight { weight } if weight.bp() == 2_550));
    assert!(Console::typed(": q enter").fx.contains(&Effect::Quit));
    // A line is taken back as in a shell.
    assert!(Console::typed(": f r e e z e space x ctrl-u q enter").fx.contains(&Effect::Quit));
    let console = Console::typed(": f r e e z e space 2 h space s t o c k ctrl-w d r i l l enter +300ms enter +300ms");
    assert_eq!(console.sent()[0].calls[0].body["reason"], "drill");
}

fn known(label: &str, standing: Standing, available: bool) -> Known {
    Known { version: fixture::version(label), standing, proven: Duration::from_secs(90_000), error_ratio: None, until: None, available }
}

#[test]
fn undo_freeze_thaw_and_taint_are_written_out_and_confirmed() {
    let mut console = Console::new();
    console.change(|r| {
        r.versions = vec![known("v42", Standing::Unproven, true), known("v41", Standing::Good, true), known("v40", Standing::Good, true)];
    });
    console.keys(": u n d o space");
    let Overlay::Palette(palette) = &console.state.overlay else { panic!("a palette") };
    let offered: Vec<_> = crate::app::palette::suggestions(&console.state, palette).into_iter().map(|s| s.line).collect();
    assert_eq!(offered, ["undo v40"], "neither what is stable nor what is on its way");
    console.keys("v 4 0 enter +300ms enter +300ms");
    assert_eq!(console.sent()[0].action, Action::Undo { to: fixture::version("v40").id });

    console.keys(": f r e e z e space 2 h space s t o c k enter +300ms enter +300ms");
    let Action::Freeze { until: Some(until) } = console.sent()[1].action else { panic!("a freeze") };
    assert!((until - console.now()).num_seconds() > 7_100);
    assert_eq!(console.sent()[1].calls[0].body["reason"], "stock");
    let intents = console.fx.iter().rev().find_map(|e| if let Effect::Journal(r) = e { Some(&**r) } else { None });
    assert!(matches!(intents, Some(Record::Intent { reason: Some(reason), .. }) if reason.as_str() == "stock"));

    console.keys(": t a i n t space v 4 0 space l e a k s enter +300ms enter +300ms : t h a w enter +300ms enter +300ms");
    assert_eq!(console.sent()[2].action, Action::Taint { version: fixture::version("v40").id });
    assert_eq!(console.sent()[3].action, Action::Thaw);
    // From the list of actions, a verb that needs words is written further.
    console.keys("+200ms enter down down down down down down down down down +200ms enter");
    assert!(matches!(&console.state.overlay, Overlay::Palette(p) if p.text == "freeze "), "{:?}", console.state.overlay);
}

#[test]
fn what_somebody_else_did_withdraws_the_preview_of_every_verb_and_names_them() {
    for opens in [
        "s",
        "p",
        "P",
        ": u n d o space v 4 0 enter",
        ": f r e e z e space x enter",
        ": t h a w enter",
        ": t a i n t space v 4 0 space x enter",
    ] {
        let mut console = Console::new();
        console.change(|r| r.versions = vec![known("v40", Standing::Good, true)]);
        console.keys(opens);
        assert!(console.preview().is_some(), "{opens}");
        console.change(|r| {
            r.run = Some(crate::model::ident::RunId::new("8b00"));
            let (by, at) = ("ben".into(), t0());
            r.last = Some(crate::model::rollout::LastAction { by, action: Action::Freeze { until: None }, at, effect: "".into() });
            r.frozen = Some(Freeze { by: "ben".into(), reason: "stop".into(), since: t0(), until: None });
        });
        let why = console.preview().unwrap().withdrawn.clone().unwrap();
        assert!(why.as_str().contains("ben stopped the line"), "{opens}: {why}");
        console.keys("enter +300ms R +300ms v +300ms q +300ms 7");
        assert!(console.sent().is_empty() && console.preview().is_some(), "{opens}");
    }
}

fn at(target: &str, service: &str) -> Rollout {
    named(service, |r| r.key = Key { target: TargetId::new(target), scope: Vec::new(), service: Raw::new(service), uid: None })
}

#[test]
fn a_silent_target_makes_its_rows_stale_and_no_others() {
    let mut console = Console::blank();
    for name in ["prod", "stage"] {
        let id = TargetId::new(name);
        console.msg(Msg::Link(id.clone(), Link::Live { since: t0() }));
        console.msg(Msg::Delta(id.clone(), Delta::Init { version: 1, epoch: 1, server_time: t0() }));
        console.msg(Msg::Delta(id.clone(), Delta::Apply { rollout: Box::new(at(name, "web")) }));
        console.msg(Msg::Delta(id, Delta::InitDone { rev: Rev(1) }));
    }
    assert_eq!(console.state.fleet.count(Urgent::Stale), 0);
    console.msg(Msg::Link(TargetId::new("stage"), Link::Stale { since: console.now() }));
    assert_eq!((console.state.fleet.count(Urgent::Stale), console.state.fleet.rows()[0].target.as_str()), (1, "stage"));
    // The one that is read-only acts on nothing, the other does.
    console.state.targets.insert(TargetId::new("prod"), Place { read_only: true, ..Place::default() });
    console.keys("G");
    assert_eq!(console.state.shared.open.as_ref().unwrap().target.as_str(), "prod");
    console.keys("p");
    assert!(matches!(console.state.overlay, Overlay::Refused { refusal: Refusal::ReadOnly, .. }));
}

#[test]
fn the_cursor_stays_on_the_screen_of_a_long_list() {
    let mut console = several();
    console.msg(Msg::Resize(80, 9));
    for (keys, wanted) in [("G", "e"), ("k", "d"), ("g g", "b"), ("j j", "a"), ("pagedown", "e"), ("pageup", "b")] {
        console.keys(keys);
        assert_eq!(cursor(&console), Some(wanted), "{keys}");
        let shown: Vec<_> = console.state.fleet.rows().iter().take(room(9)).map(|k| k.service.as_str()).collect();
        assert!(shown.contains(&wanted), "{keys}: {shown:?}");
    }
}

#[test]
fn what_is_not_on_the_screen_wants_no_frame() {
    let mut console = several();
    console.msg(Msg::Resize(80, 7));
    console.state.desk.unseen = false;
    console.stalled = true;
    let same = |r: &mut Rollout| r.reason = Some("another word".into());
    send(&mut console, "e", same);
    assert!(!console.state.wants_frame(), "the last row is below the screen");
    send(&mut console, "b", same);
    assert!(console.state.wants_frame());
    console.state.desk.unseen = false;
    send(&mut console, "e", fails);
    assert!(console.state.wants_frame(), "it moves up");
}

#[test]
fn a_second_question_mark_explains_the_figures() {
    let mut console = Console::typed("? +300ms ?");
    assert_eq!(console.state.overlay, Overlay::Figures(0));
    assert!(docs::figures(&console.state).iter().any(|(name, line)| name == "errors" && line.contains("5xx")));
    console.keys("+300ms ?");
    assert_eq!(console.state.overlay, Overlay::None);
    let mut console = Console::typed("i +300ms ?");
    assert_eq!(console.state.overlay, Overlay::Figures(0));
    assert_eq!(docs::figures(&console.state)[0].1, "Panel instances");
    // Who measures stands above all of it, what is asked below.
    let open = console.state.shared.open.clone().unwrap();
    let measured = MeasuredBy { queries: [("requests".into(), "req{a=\"b\"}".into())].into(), ..MeasuredBy::by_the_host() };
    console.state.shared.rollouts.get_mut(&open).unwrap().rollout.measured = Some(measured);
    let told = docs::figures(&console.state);
    assert_eq!(told[1], ("signals".into(), "counters of the host's own proxy".into()));
    assert_eq!(told.last().unwrap(), &("requests".into(), "req{a=\"b\"}".into()));
    let console = Console { state: Console::typed("esc ? +300ms ?").state, ..Console::blank() };
    assert_eq!(docs::figures(&console.state)[0].1, "All rollouts");
}
