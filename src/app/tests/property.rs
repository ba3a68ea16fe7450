//! Any order of changes and keys: no panic, what is open stays valid, and nothing is ever sent without
//! a preview that was written to the terminal before.

use super::*;
use crate::model::{
    back::How,
    gate::{Arm, Verdict},
    ident::RunId,
    rollout::{Hold, Phase},
};
use proptest::{prelude::*, test_runner::RngSeed};
use ratatui::{buffer::Buffer, layout::Rect};

const KEYS: &[&str] = &[
    "R",
    "R",
    "R",
    "enter",
    "enter",
    "esc",
    "j",
    "k",
    "g",
    "G",
    "tab",
    "backtab",
    "s",
    "p",
    "c",
    "w",
    "P",
    "t",
    "l",
    "v",
    "i",
    "f",
    "o",
    "y",
    "/",
    "n",
    "N",
    "?",
    "q",
    "C",
    "5",
    "0",
    ".",
    "a",
    "7",
    "backspace",
    "up",
    "down",
    "pageup",
    "ctrl-l",
    "ctrl-z",
    "f3",
    "O",
    "space",
    "space",
    ":",
    "V",
    "u",
    "e",
    "m",
    "r",
    "k",
    "d",
    "x",
];

#[derive(Clone, Debug)]
enum Doing {
    Keys(Vec<usize>, bool),
    Paste,
    Wait(u64),
    Frame,
    Change(u8),
    Delta(u8),
    Link(bool),
    Answer(u8),
    Resumed,
    /// A whole line at the palette.
    Line(usize),
}

/// Lines of the palette.
const LINES: &[&str] = &[
    ": s t e p space m a r k e d enter",
    ": r e v e r t space m a r k e d enter",
    ": p r o m o t e space m a r k e d enter",
    ": u n d o space v 4 0 enter",
    ": f r e e z e space 2 h space x enter",
    ": t h a w enter",
    ": f l e e t enter",
    ": w e i g h t space 5 0 enter",
];

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        8 => (prop::collection::vec(0..KEYS.len(), 1..4), prop::bool::weighted(0.1)).prop_map(|(k, r)| Doing::Keys(k, r)),
        1 => Just(Doing::Paste),
        6 => (0..400_u64).prop_map(Doing::Wait),
        5 => Just(Doing::Frame),
        3 => any::<u8>().prop_map(Doing::Change),
        2 => any::<u8>().prop_map(Doing::Delta),
        1 => any::<bool>().prop_map(Doing::Link),
        1 => any::<u8>().prop_map(Doing::Answer),
        1 => Just(Doing::Resumed),
        2 => (0..LINES.len()).prop_map(Doing::Line),
    ]
}

fn change(r: &mut Rollout, n: u8) {
    match n % 9 {
        0 => r.at.as_mut().unwrap().index = usize::from(n) % 5,
        1 => r.run = Some(RunId::new(format!("{}", n / 128))),
        2 => r.holds = vec![Hold::Manual { by: "ben".into(), since: t0(), weight: None }],
        3 => r.holds.clear(),
        4 => r.gates = vec![fixture::gate(Verdict::Wait { missing: "more".into(), eta: None })],
        5 => r.gates = vec![fixture::gate(Verdict::Fail { who: Arm::Candidate, why: "9 %".into() })],
        6 => r.phase = if n > 128 { Phase::Reverted } else { Phase::Held },
        7 => r.back.how = if n > 128 { How::Switch } else { How::None { why: "nothing".into() } },
        _ => r.tracks.truncate(usize::from(n) % 3),
    }
}

fn run(script: &[Doing]) {
    let mut console = Console::new();
    console.stalled = true;
    // The plan that the last written frame shows, and when it was first written since the last resume.
    let mut shown: Option<(String, Duration)> = None;
    for doing in script {
        let before = console.sent().len();
        match doing {
            Doing::Keys(keys, repeat) => {
                let stroke = |k: &usize| Stroke { input: Input::Key(KEYS[*k].parse().unwrap()), repeat: *repeat, read_at: console.uptime };
                let batch = keys.iter().map(stroke).collect();
                console.msg(Msg::Input { batch });
            }
            Doing::Paste => console.keys("paste:RR"),
            Doing::Wait(ms) => console.wait(Duration::from_millis(*ms)),
            Doing::Frame => {
                console.uptime += FRAME;
                console.msg(Msg::Painted(console.uptime));
                let id = console.preview().filter(|p| p.withdrawn.is_none()).map(|p| p.plan.id.as_str().to_owned());
                let known = shown.take().filter(|(known, _)| Some(known) == id.as_ref());
                shown = known.or_else(|| id.map(|id| (id, console.uptime)));
                draw(&console);
            }
            Doing::Change(n) if console.state.shared.watched().is_some() => console.change(|r| change(r, *n)),
            Doing::Change(_) => {}
            Doing::Delta(n) => {
                let mut other = rollout();
                other.key = fixture::key(["checkout", "cart", "shop", "web"][usize::from(n / 5) % 4]);
                other.seen.epoch = u64::from(n % 3);
                console.delta(match n % 5 {
                    0 => Delta::Init { version: 1, epoch: u64::from(n % 3), server_time: t0() },
                    1 => Delta::InitDone { rev: Rev(u64::from(*n)) },
                    2 => Delta::Delete { key: other.key },
                    3 => Delta::Heartbeat { server_time: t0(), rev: Rev(1) },
                    _ => Delta::Apply { rollout: Box::new(other) },
                });
            }
            Doing::Link(live) => {
                let link = if *live { Link::Live { since: t0() } } else { Link::Stale { since: t0() } };
                console.msg(Msg::Link(target(), link));
            }
            Doing::Answer(n) if !console.state.following.is_empty() => {
                let at = console.now();
                console.answer(match n % 3 {
                    0 => Outcome::Accepted { changed: true, at },
                    1 => Outcome::Unknown { sent: at, why: "reset".into() },
                    _ => Outcome::Partial { done: 0, then: "reset".into() },
                });
            }
            Doing::Answer(_) => {}
            Doing::Line(n) => console.keys(LINES[*n]),
            Doing::Resumed => {
                console.keys("resumed");
                shown = None;
            }
        }
        let sent = console.sent();
        // One confirmation sends one action, or one for each rollout that is marked.
        let new = &sent[before.min(sent.len())..];
        let keys: std::collections::BTreeSet<_> = new.iter().map(|p| &p.belief.key).collect();
        assert_eq!(keys.len(), new.len(), "one action on each");
        assert!(new.iter().all(|p| p.action.verb() == new[0].action.verb()), "of one verb");
        if let Some(plan) = sent.get(before) {
            let (id, at) = shown.take().expect("nothing is sent without a preview that was written");
            assert_eq!(id, plan.id.as_str());
            assert!(console.uptime >= at + Duration::from_millis(150));
        }
        let (intents, sends) = (
            console.fx.iter().filter(|e| matches!(e, Effect::Journal(r) if matches!(&**r, Record::Intent { .. }))).count(),
            console.sent().len(),
        );
        assert_eq!(intents, sends);
        let state = &console.state;
        let rows = state.fleet.rows();
        assert!(rows.iter().collect::<std::collections::BTreeSet<_>>().len() == rows.len(), "no row twice");
        assert!(state.panel < state.panels.len());
        assert!(state.shared.open.as_ref().is_none_or(|open| state.shared.rollouts.contains_key(open)));
        if let Overlay::Actions(row) = state.overlay {
            assert!(row <= state.offers().len());
        }
    }
    let mut ids: Vec<_> = console.sent().iter().map(|p| p.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), console.sent().len(), "no action is sent twice");
}

fn draw(console: &Console) {
    for (w, h) in [(0, 0), (40, 8), (80, 24)] {
        let area = Rect::new(0, 0, w, h);
        let (mut a, mut b) = (Buffer::empty(area), Buffer::empty(area));
        let extras = crate::screen::Extras { footer: &[], help: &[], figures: &[], actions: &[], back_key: "R" };
        crate::screen::draw(&console.state, &extras, area, &mut a);
        crate::screen::draw(&console.state, &extras, area, &mut b);
        assert_eq!(a, b, "{:?}", console.state.overlay);
    }
    for (w, h) in [(79, 8), (120, 19), (1, 1), (0, 0), (3, 2)] {
        let area = Rect::new(0, 0, w, h);
        for panel in &console.state.panels {
            let (mut a, mut b) = (Buffer::empty(area), Buffer::empty(area));
            panel.draw(&console.state.shared, &console.state.look, area, &mut a);
            panel.draw(&console.state.shared, &console.state.look, area, &mut b);
            assert_eq!(a, b);
        }
    }
    assert!(crate::app::docs::footer(&console.state).iter().all(|h| !h.key.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(41), ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_sent_that_was_not_read(script in prop::collection::vec(doing(), 1..60)) {
        run(&script);
    }
}

/// The property above can fail and can succeed: some of its scripts send something.
#[test]
fn the_property_reaches_the_sending() {
    let r = KEYS.iter().position(|k| *k == "R").unwrap();
    let script = [Doing::Keys(vec![r], false), Doing::Frame, Doing::Wait(300), Doing::Keys(vec![r], false), Doing::Wait(300)];
    run(&script);
    let mut console = Console::new();
    console.keys("R +300ms R +300ms");
    assert_eq!(console.sent().len(), 1);
}
