//! Which keys confirm, and which never do.

use super::*;
use crate::app::state::Confirm;

#[test]
fn two_r_300_ms_apart_and_r_enter_are_sent() {
    for script in ["R +300ms R +130ms", "R +300ms enter", "R +150ms R +200ms", "j R +1s R +1s"] {
        let console = Console::typed(script);
        assert_eq!(console.verbs(), ["revert"], "{script}");
        assert!(console.preview().is_none());
    }
}

#[test]
fn a_letter_is_accepted_120_ms_after_it_was_pressed_and_not_before() {
    let mut console = Console::typed("R +300ms R");
    let pressed = console.uptime - FRAME;
    console.stalled = true;
    assert_eq!(next_wake(&console.state).unwrap(), pressed + Duration::from_millis(120));
    console.uptime = pressed + Duration::from_millis(119);
    console.msg(Msg::Tick);
    assert!(console.sent().is_empty());
    console.uptime = pressed + Duration::from_millis(120);
    console.msg(Msg::Tick);
    assert!(console.sent().is_empty(), "what waited to be read comes first");
    console.uptime = next_wake(&console.state).unwrap();
    assert_eq!(console.uptime, pressed + Duration::from_millis(122));
    console.msg(Msg::Tick);
    assert_eq!(console.verbs(), ["revert"]);
}

#[test]
fn a_held_key_that_a_late_loop_reads_late_confirms_nothing() {
    // The first repeat came after 500 ms; then the loop stood still, and the next ones were read late.
    let mut console = Console::typed("R +500ms R");
    console.stalled = true;
    console.uptime += Duration::from_millis(400);
    console.msg(Msg::Tick);
    console.keys("[R R R] +1s");
    assert!(console.sent().is_empty());
    assert_eq!(console.hint(), "too fast: press R once");
}

#[test]
fn a_later_key_finds_the_letter_accepted() {
    // The tick was late: the next key must not undo what was confirmed long before it.
    let mut console = Console::typed("R +300ms R");
    console.uptime += Duration::from_millis(200);
    console.keys("j");
    assert_eq!(console.verbs(), ["revert"]);
}

#[test]
fn a_held_r_never_confirms() {
    for prefix in ["", "~"] {
        let mut console = Console::typed("R +500ms");
        for _ in 0..40 {
            console.keys(&format!("{prefix}R +28ms"));
        }
        console.keys("+1s");
        assert!(console.sent().is_empty());
        assert_eq!(console.hint(), "too fast: press R once");
        // And what was open is still good for a key pressed once.
        console.keys("R +200ms");
        assert_eq!(console.verbs(), ["revert"]);
    }
}

#[test]
fn a_burst_a_replayed_stall_and_quick_taps_never_confirm() {
    for script in [
        "[R R] +1s",
        "[R R R R] +1s",
        "stall R +3s [R R R] paint +1s",
        "R +3s [R R R] +1s",
        "stall R +3s R paint +1s",
        "R +115ms R +115ms R +115ms R +115ms R +1s",
        "[R enter] +1s",
        "R +10ms enter +1s",
        "R +300ms [R R] +1s",
        "R +300ms R +100ms R +1s",
    ] {
        let console = Console::typed(script);
        assert!(console.sent().is_empty(), "{script}");
        assert!(console.hint().starts_with("too fast: press "), "{script}: {:?}", console.hint());
    }
}

#[test]
fn paste_never_confirms() {
    let console = Console::typed("paste:RR +1s");
    assert!(console.sent().is_empty() && console.preview().is_none());
    let console = Console::typed("R +300ms paste:RR +1s");
    assert!(console.sent().is_empty() && console.preview().is_none());
    assert_eq!(console.notice(), "NOTHING SENT");
}

#[test]
fn f3_never_confirms_whole_or_torn() {
    for script in ["f3 f3 +1s", "esc [O R] +1s", "[esc O R] [esc O R] +1s", "esc +50ms O +20ms R +1s"] {
        let console = Console::typed(script);
        assert!(console.sent().is_empty() && console.preview().is_none(), "{script}");
    }
    for script in ["R +300ms f3 +1s", "R +300ms esc [O R] +1s", "R +300ms [esc O R] +1s", "R +300ms esc [[ 1 ; 2 R] +1s"] {
        let console = Console::typed(script);
        assert!(console.sent().is_empty() && console.preview().is_none(), "{script}");
        assert_eq!(console.notice(), "NOTHING SENT", "{script}");
    }
}

#[test]
fn any_other_key_closes_and_is_swallowed() {
    for key in ["x", "s", "P", "q", "ctrl-c", "esc", "f5", "ctrl-r", "alt-R", "ctrl-z", "?", "tab", "alt-enter", "down"] {
        let mut console = Console::typed(&format!("R +300ms {key}"));
        assert!(console.fx.is_empty(), "{key}: {:?}", console.fx);
        assert_eq!((&console.state.overlay, console.notice()), (&Overlay::None, "NOTHING SENT"), "{key}");
        console.keys("+10s");
        assert_eq!(console.notice(), "NOTHING SENT", "it stays until the next key");
        console.keys("j");
        assert_eq!(console.notice(), "");
    }
}

#[test]
fn the_other_actions_are_confirmed_by_enter_only() {
    assert_eq!(Console::typed("p +300ms enter +1s").verbs(), ["pause"]);
    assert_eq!(Console::typed("s +300ms enter +1s").verbs(), ["step"]);
    assert_eq!(Console::typed("t +300ms enter +1s").verbs(), ["retry"]);
    for script in ["p +300ms p +1s", "s +300ms s +1s", "s +300ms R +1s", "P +300ms P +1s", "P +300ms enter +1s"] {
        assert!(Console::typed(script).sent().is_empty(), "{script}");
    }
}

#[test]
fn an_enter_that_is_held_from_the_list_of_actions_never_confirms() {
    let mut console = Console::typed("enter +200ms down +200ms down +200ms enter +500ms");
    assert!(console.preview().is_some());
    for _ in 0..20 {
        console.keys("enter +28ms");
    }
    console.keys("+1s");
    assert!(console.sent().is_empty());
    assert_eq!(console.hint(), "too fast: press enter once");
    console.keys("enter +200ms");
    assert_eq!(console.verbs(), ["pause"]);
}

#[test]
fn promote_wants_four_characters_and_enter() {
    let expected = fixture::version("v42").short_digest().as_str()[..4].to_owned();
    let typed: String = expected.chars().map(|c| format!("+50ms {c} ")).collect();
    let console = Console::typed(&format!("P +300ms {typed} +200ms enter"));
    assert_eq!(console.verbs(), ["promote"]);
    // Too early, too short, wrong, and with the first letter in the same batch as `P`.
    let console = Console::typed(&format!("P +300ms {typed} enter +10ms enter"));
    assert_eq!(console.verbs(), ["promote"], "the text is not too fast, 150 ms after the frame are over");
    let console = Console::typed(&format!("[P {}] +1s", expected.chars().map(|c| format!("{c} ")).collect::<String>() + "enter"));
    assert!(console.sent().is_empty());
    let mut console = Console::typed("P +300ms 0 +300ms enter");
    assert!(console.sent().is_empty());
    assert_eq!(console.hint(), format!("type {expected}, then enter"));
    console.keys("+200ms backspace +200ms G");
    assert_eq!((console.preview(), console.notice()), (None, "NOTHING SENT"));
}

#[test]
fn a_withdrawn_preview_swallows_everything_but_esc() {
    let mut console = Console::typed("s +300ms");
    console.change(|r| r.at.as_mut().unwrap().index = 2);
    assert_eq!(console.preview().unwrap().withdrawn.as_ref().unwrap().as_str(), "step 2 → 3");
    console.keys("enter +300ms R +300ms q +300ms ctrl-c +300ms 7 +300ms paste:x +300ms enter");
    assert!(console.preview().is_some() && console.fx.is_empty());
    console.keys("esc");
    assert_eq!((console.preview(), console.notice()), (None, "NOTHING SENT"));
}

#[test]
fn each_guarded_fact_withdraws_and_a_signal_does_not() {
    for change in [
        |r: &mut Rollout| r.run = Some(crate::model::ident::RunId::new("8a00")),
        |r: &mut Rollout| r.at.as_mut().unwrap().index = 3,
        |r: &mut Rollout| r.tracks[0].version = fixture::version("v40"),
        |r: &mut Rollout| r.tracks[1].version = fixture::version("v43"),
    ] {
        let mut console = Console::typed("s +300ms");
        console.change(change);
        assert!(console.preview().unwrap().withdrawn.is_some());
        console.keys("enter +1s");
        assert!(console.sent().is_empty());
    }
    let mut console = Console::typed("s +300ms");
    console.change(|r| r.tracks[1].pools[0].ready = 1);
    console.keys("enter");
    assert_eq!(console.verbs(), ["step"]);
}

#[test]
fn the_way_back_is_withdrawn_only_when_the_run_or_its_version_moves() {
    let mut console = Console::typed("R +300ms");
    console.change(|r| {
        r.at.as_mut().unwrap().index = 3;
        r.tracks[1].version = fixture::version("v43");
        r.tracks[1].share.programmed = Some(crate::model::ratio::Weight::from_bp(5_000).unwrap().into());
    });
    assert_eq!(console.preview().unwrap().plan.weights[0].before.bp(), 5_000, "it shows what is so now");
    console.keys("R +200ms");
    assert_eq!(console.verbs(), ["revert"]);
    for change in [|r: &mut Rollout| r.run = None, |r: &mut Rollout| r.back.to = Some(fixture::version("v40"))] {
        let mut console = Console::typed("R +300ms R");
        console.change(change);
        console.keys("+1s R +1s");
        assert!(console.preview().unwrap().withdrawn.is_some() && console.sent().is_empty());
    }
}

#[test]
fn a_plan_that_changes_must_be_read_again() {
    let mut console = Console::typed("s +300ms");
    console.stalled = true;
    console.change(|r| r.tracks[1].share.programmed = Some(crate::model::ratio::Weight::from_bp(3_000).unwrap().into()));
    console.keys("enter");
    assert!(console.sent().is_empty());
    console.keys("paint +200ms enter");
    assert_eq!(console.verbs(), ["step"]);
}

#[test]
fn input_from_before_a_resume_is_discarded() {
    let mut console = Console::typed("R +300ms");
    let stroke = |c: &Console| Stroke { input: Input::Key("R".parse().unwrap()), repeat: false, read_at: c.uptime };
    let old = stroke(&console);
    console.uptime += Duration::from_secs(5);
    console.stalled = true;
    console.keys("resumed");
    assert!(console.fx.contains(&Effect::Redraw));
    console.msg(Msg::Input { batch: vec![old.clone(), old] });
    console.wait(Duration::from_secs(1));
    assert!(console.sent().is_empty() && console.preview().is_some());
    // The preview counts as unread until it was written again.
    console.keys("R");
    assert_eq!(console.hint(), "too fast: press R once");
    console.keys("paint +300ms R +300ms");
    assert_eq!(console.verbs(), ["revert"]);
    // A letter that waited when the console was stopped does not count.
    let console = Console::typed("R +300ms R resumed +1s");
    assert!(console.sent().is_empty());
}

#[test]
fn a_gate_is_skipped_only_with_a_reason_and_promoted_over_with_both() {
    use crate::model::gate::Verdict;
    let waiting = |r: &mut Rollout| {
        r.at.as_mut().unwrap().index = 2;
        r.gates = vec![fixture::gate(Verdict::Wait { missing: "340 requests".into(), eta: None })];
    };
    let mut console = Console::new();
    console.change(waiting);
    console.keys("s +300ms");
    let plan = &console.preview().unwrap().plan;
    assert!(plan.title.as_str().starts_with("SKIP GATE"));
    assert_eq!(plan.notes[0].as_str(), "gate errors WAIT: 340 requests");
    console.keys("enter");
    assert!(console.sent().is_empty() && console.hint().starts_with("a reason is needed"));
    console.keys("+200ms down +200ms enter");
    assert_eq!(console.sent()[0].action, crate::model::action::Action::SkipGate);
    assert!(console.sent()[0].calls[0].body["reason"].is_string(), "the plan that is sent carries it");
    let intent = console.fx.iter().find_map(|e| if let Effect::Journal(r) = e { Some(&**r) } else { None });
    assert!(matches!(intent, Some(Record::Intent { reason: Some(_), .. })));

    let mut console = Console::new();
    console.change(waiting);
    console.keys("P +300ms R u s h space o k +200ms enter");
    let Some(Confirm::Typed { expected, .. }) = console.preview().map(|p| p.confirm.clone()) else { panic!("{:?}", console.state.overlay) };
    assert!(console.preview().unwrap().plan.notes.iter().any(|n| n.as_str() == "reason: Rush ok"));
    console.keys(&expected.chars().map(|c| format!("+20ms {c} ")).collect::<String>());
    console.keys("+200ms enter");
    assert_eq!(console.verbs(), ["promote"]);

    // A failed gate is not skipped from here at all.
    let mut console = Console::new();
    console.change(|r| {
        waiting(r);
        r.gates = vec![fixture::gate(Verdict::Fail { who: crate::model::gate::Arm::Candidate, why: "9 %".into() })];
    });
    console.keys("s");
    assert!(matches!(&console.state.overlay, Overlay::Refused { .. }));
}
