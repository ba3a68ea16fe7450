//! Whole screens with their styles, and what must hold of every screen.

mod argo;
mod failing;
mod fleet;
mod panels;
mod stories;
mod whole;

use crate::fixtures::{self as fx, ago, empty, key, now, state};
use cutover::{
    app::state::{Confirm, Focus, Following, Notice, Overlay, Preview, State},
    model::{
        action::{Action, Belief, Call, Fact, Guard, Observation, Outcome, Plan, Refusal, Shift},
        ident::{ActionId, Rev, RunId, TargetId, VersionId},
        ratio::Weight,
        text::Raw,
    },
    runtime::{Fault, Link},
    screen::{Extras, draw},
    ui::{
        footer::{ActionRow, Hint},
        look::Look,
        text,
    },
};
use proptest::prelude::*;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};
use std::{fmt::Write as _, time::Duration};

const ASCII: Look = Look { ascii: true, color: true };
const MONO: Look = Look { ascii: false, color: false };

fn hints(state: &State, width: u16) -> Vec<Hint> {
    let to = state.shared.watched().and_then(|w| w.rollout.back.to.as_ref());
    let back = to.map_or("back: nowhere".to_owned(), |v| format!("back to {}", v.label));
    let wide = width >= 120;
    // As it is offered: where both versions are sick a reason is enough.
    let both = state.shared.watched().is_some_and(|w| w.rollout.gates.iter().any(|g| g.verdict.fails_both()));
    let forward = |does| if both { does } else { "off: gate failed" };
    let hints = [
        ("R", back.as_str(), 0),
        ("p", "pause", 1),
        ("s", forward("step"), 2),
        ("P", forward("promote"), 3),
        ("enter", "actions", 7),
        ("tab", "panel", 8),
        (":", "", 9),
        ("?", "", 10),
    ];
    let hint = |(key, label, drop): (&str, &str, u8)| Hint { key: key.into(), label: label.into(), off: label.starts_with("off"), drop };
    hints.into_iter().filter(|(key, ..)| wide || !["P", ":"].contains(key)).map(hint).collect()
}

fn paint(state: &State, width: u16, height: u16) -> Buffer {
    let hints = hints(state, width);
    let help: Vec<(String, String)> = (1..=30).map(|i| (format!("k{i}"), format!("what key {i} does"))).collect();
    let row = |label: &str, key: &str, off: Option<&str>| ActionRow {
        label: label.into(),
        doc: "what it does",
        key: key.into(),
        off: off.map(Into::into),
    };
    let actions = [
        row("back to v41", "R", None),
        row("pause", "p", None),
        row("step", "s", Some("gate errors failed")),
        row("promote", "P", Some("gate errors failed")),
    ];
    let extras = Extras { footer: &hints, help: &help, actions: &actions, figures: &help, back_key: "R" };
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    draw(state, &extras, area, &mut buf);
    buf
}

/// The text of every row.
fn rows(buf: &Buffer) -> Vec<String> {
    let area = buf.area;
    (area.top()..area.bottom())
        .map(|y| {
            let mut line = String::new();
            let mut x = area.left();
            while x < area.right() {
                let symbol = buf[(x, y)].symbol();
                line.push_str(symbol);
                x += (text::width(symbol) as u16).max(1);
            }
            line.trim_end_matches(' ').to_owned()
        })
        .collect()
}

fn name(style: Style) -> String {
    let mut words = Vec::new();
    if let Some(color) = style.fg.filter(|c| *c != Color::Reset) {
        words.push(format!("{color:?}").to_lowercase());
    }
    if let Some(color) = style.bg.filter(|c| *c != Color::Reset) {
        words.push(format!("on {color:?}").to_lowercase());
    }
    for (modifier, word) in
        [(Modifier::BOLD, "bold"), (Modifier::DIM, "dim"), (Modifier::REVERSED, "reversed"), (Modifier::UNDERLINED, "underlined")]
    {
        if style.add_modifier.contains(modifier) {
            words.push(word.into());
        }
    }
    words.join(" ")
}

/// The grid of text, then every run of cells that is styled: `row: first-last style`.
fn picture(buf: &Buffer) -> String {
    let area = buf.area;
    let mut out = format!("{}x{}\n", area.width, area.height);
    for row in rows(buf) {
        let _ = writeln!(out, "|{row}");
    }
    for y in area.top()..area.bottom() {
        let mut runs: Vec<(u16, u16, String)> = Vec::new();
        for x in area.left()..area.right() {
            let style = name(buf[(x, y)].style());
            match runs.last_mut() {
                Some((_, last, same)) if *same == style && *last + 1 == x => *last = x,
                _ => runs.push((x, x, style)),
            }
        }
        let runs: Vec<String> = runs.iter().filter(|(_, _, s)| !s.is_empty()).map(|(a, b, s)| format!("{a}-{b} {s}")).collect();
        if !runs.is_empty() {
            let _ = writeln!(out, "{y:>2}: {}", runs.join(", "));
        }
    }
    out
}

fn shoot(name: &str, state: &State, (width, height): (u16, u16)) {
    keep(name, &paint(state, width, height));
}

fn keep(name: &str, buf: &Buffer) {
    insta::assert_snapshot!(format!("{name}_{}x{}", buf.area.width, buf.area.height), picture(buf));
}

const NARROW: (u16, u16) = (80, 24);
const ROOMY: (u16, u16) = (120, 36);
const HUGE: (u16, u16) = (200, 60);

/// Every fixture, with what makes it special.
fn all() -> Vec<(&'static str, State)> {
    let mut stale = state(fx::rising());
    stale.shared.rollouts.values_mut().for_each(|w| w.heard = ago(41));
    stale.shared.links.values_mut().for_each(|l| *l = Link::Stale { since: ago(41) });
    let mut safe = state(fx::safe());
    let k = safe.shared.open.clone().unwrap();
    safe.following.push(Following {
        id: ActionId::new("a1"),
        key: k,
        plan: back_plan(&safe),
        sent: ago(50),
        outcome: Some(Outcome::Accepted { changed: true, at: ago(50) }),
        seen: Some(Observation::Confirmed),
    });
    vec![
        ("drawn", state(fx::drawn())),
        ("drawn_narrow", state(fx::drawn_narrow())),
        ("healthy", state(fx::healthy())),
        ("rising", state(fx::rising())),
        ("paused", state(fx::paused())),
        ("both_sick", state(fx::both_sick())),
        ("stable_sick", state(fx::stable_sick())),
        ("blind", state(fx::blind())),
        ("starting", state(fx::starting())),
        ("stale", stale),
        ("first_deploy", state(fx::first_deploy())),
        ("idle", state(fx::idle())),
        ("reverting", state(fx::reverting())),
        ("proving", state(fx::proving())),
        ("safe", safe),
        ("unproved", state(fx::unproved())),
        ("completed", state(fx::completed())),
        ("failed", state(fx::failed())),
        ("no_data", state(fx::no_data())),
        ("awkward_names", state(fx::awkward_names())),
    ]
}

#[test]
fn every_condition_at_80x24() {
    for (name, state) in all() {
        shoot(name, &state, NARROW);
    }
}

#[test]
fn the_main_ones_at_120x36_and_200x60() {
    for (name, state) in all() {
        if ["drawn", "healthy", "rising", "proving", "awkward_names", "first_deploy", "completed", "stale"].contains(&name) {
            shoot(name, &state, ROOMY);
        }
        if ["drawn", "rising"].contains(&name) {
            shoot(name, &state, HUGE);
        }
    }
}

#[test]
fn ascii_and_no_color() {
    for (name, mut state) in all() {
        if ["drawn", "proving", "awkward_names"].contains(&name) {
            state.look = ASCII;
            shoot(&format!("{name}_ascii"), &state, NARROW);
            shoot(&format!("{name}_ascii"), &state, ROOMY);
            state.look = MONO;
            shoot(&format!("{name}_no_color"), &state, NARROW);
        }
    }
}

/// The drawing of 80 columns, cell by cell, but for whose pause it was.
#[test]
fn the_drawing_of_80_columns() {
    let rows = rows(&paint(&state(fx::drawn_narrow()), 80, 24));
    let drawing = [
        " prod-eu-west-1/…/checkout-order-orchestration-service-api      live 03:12:09Z",
        " CANARY step 5/9 at 33.33 % for 14m   HELD gate http-5xx-rat…by-route +2 more",
        "          stable 2026…otfix.3   canary 2026…1-rc.11",
        "          9f2c41aa0b11          77ab04c1d203 cfg≠     started by ana 02:41Z",
        " traffic   66.67 % seen 66.67    33.33 % seen 33.33   by requests",
        " ready    1188/1200             412/600               128 restarts OOMKilled 2m",
        " requests 1,204,339/s ▃▃▃▄▄▄▅▅    602,169/s ▂▂▃▃▃▃▃▃",
        " errors        0.21 % ▁▁▁▁▁▁▁▁     100.00 % ▁▁▂▃▅▆▇▇  WORSE, certain (n 36.1M)",
        " p99        18,204 ms ▂▂▂▃▂▂▂▂    24,510 ms ▂▃▃▃▄▄▄▄  +35 % WAIT 2m",
        " plan   ✓ 4 done [33.33 %] gate(3) 50 % pause → 100 %",
        " next   held by gate http-5xx-ratio-by-route: nothing moves by itself",
        " gates  ✗ FAIL http-5xx-rat…by-route 100.00>1.00 %  1 BLIND  1 WAIT 2m  3 pass",
        " BAD    8 min, 288M failed. canary 100.00 % stable 0.21 %. Waiting: ~600,904/s",
        " BACK   READY ~1 s (worst 2 of 37) 1188/1200 ok 20 s ago  UNSAFE migration 0042",
    ];
    for (row, drawn) in rows.iter().zip(drawing) {
        assert_eq!(row, drawn);
    }
    assert_eq!(rows[14], format!(" ─ failed requests {}", "─".repeat(60)));
    assert_eq!(rows[21], " row 7 of 7, 78 wide");
    assert_eq!(rows[22], " last   ben resumed 8 s ago · 2 other consoles: ben, ops@bastion-3");
    assert_eq!(rows[23], " R back to 2026…otfix.3 · p pause · s off: gate failed · enter · tab · ?");
}

/// The drawing of 120 columns, likewise.
#[test]
fn the_drawing_of_120_columns() {
    let rows = rows(&paint(&state(fx::drawn()), 120, 36));
    let drawing = [
        " prod-eu-west-1/payments-platform/checkout-order-orchestration-service-api                               live 03:12:09Z",
        " CANARY step 5 of 9 at 33.33 % for 14m   HELD gate http-5xx-ratio-by-route +2 more       run 7f3a, started by ana 02:41Z",
        " ┌ stable  2026.08.14-hotfix.3 9f2c41aa0b11 ────── 66.67 % ┐┌ canary  2026.08.21-rc.11 77ab04c1d203 cfg≠ ──── 33.33 % ┐",
        " │ seen         66.67 %                 requests, 1 min    ││ seen         33.33 %                 requests, 1 min    │",
        " │ ready      1188/1200                 12 restarts        ││ ready        412/600                 128 rst OOMKilled  │",
        " │ requests 1,204,339/s ▁▂▂▃▃▃▃▄▄▄▄▄▅▅  n 72,260,340       ││ requests   602,169/s ▁▁▂▂▃▃▃▃▃▃▃▃▃▃  n 36,130,140       │",
        " │ errors        0.21 % ▁▁▁▁▁▁▁▁▁▁▁▁▁▁                     ││ errors      100.00 % ▁▁▁▂▃▅▆▇▇▇▇▇▇▇  WORSE, certain     │",
        " │ p50        12,041 ms ▅▅▅▅▅▅▅▅▅▅▅▅▅▅                     ││ p50        12,043 ms ▅▅▅▅▅▅▅▅▅▅▅▅▅▅  same               │",
        " │ p99        18,204 ms ▂▂▂▃▂▂▂▂▂▂▃▂▂▂                     ││ p99        24,510 ms ▂▂▃▃▃▃▄▄▄▄▄▄▄▄  +35 % WAIT 2m      │",
        " └─────────────────────────────────────────────────────────┘└─────────────────────────────────────────────────────────┘",
        " plan   ✓ 3 done ─ ✓ gate(3) ─ ▶ 33.33 % ─ gate(3) ─ 50 % ─ pause ─ 100 %",
        " next   held by gate http-5xx-ratio-by-route (the first of 3 holds): nothing moves by itself",
        " gates  ✗ FAIL http-5xx-ratio-by-route 100.00 % > 1.00 %   ? BLIND saturation-cpu-and-memory   ~ WAIT p99 2m   ✓ 3 pass",
        " BAD    8 min, 288 M requests failed.  canary 100.00 %, stable 0.21 %.  Waiting costs about 600,904 failed requests/s.",
        " BACK   READY about 1 s (worst 2 s of 37)   1188 of 1200 warm, 9f2c41aa0b11 verified 20 s ago   UNSAFE migration 0042",
    ];
    for (row, drawn) in rows.iter().zip(drawing) {
        assert_eq!(row, drawn);
    }
    assert_eq!(
        rows[35],
        " R back to 2026.08.14-hotfix.3 · p pause · s off: gate failed · P off: gate failed · enter actions · tab panel · : · ?"
    );
}

#[test]
fn column_80_stays_empty_and_drawing_twice_is_the_same() {
    for (name, state) in all() {
        let buf = paint(&state, 80, 24);
        for y in 0..24 {
            assert_eq!(buf[(79, y)].symbol(), " ", "{name} row {y}");
        }
        assert_eq!(buf, paint(&state, 80, 24), "{name}");
    }
}

#[test]
fn ascii_is_ascii() {
    for (name, mut state) in all() {
        state.look = ASCII;
        for overlay in overlays(&state) {
            state.overlay = overlay;
            for (width, height) in [NARROW, ROOMY, (40, 8), (62, 12)] {
                for row in rows(&paint(&state, width, height)) {
                    assert!(row.is_ascii(), "{name}: {row}");
                }
            }
        }
    }
}

#[test]
fn without_colour_there_is_none() {
    for (name, mut state) in all() {
        state.look = MONO;
        let buf = paint(&state, 80, 24);
        assert!(buf.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset), "{name}");
        assert!(buf.content.iter().any(|c| c.modifier.contains(Modifier::BOLD)), "{name}");
    }
}

/// What must be readable down to 40x8: who, the hold, the errors, the way back, the key.
#[test]
fn what_matters_stays_on_small_screens() {
    for (width, height) in [(80, 20), (80, 12), (79, 24), (62, 10), (50, 9), (40, 8)] {
        let state = state(fx::rising());
        let rows = rows(&paint(&state, width, height));
        let all = rows.join("\n");
        for needed in ["checkout", "HELD", "23.08 %", "BACK", "R back to v41"] {
            assert!(all.contains(needed), "{needed} at {width}x{height}:\n{all}");
        }
        shoot("rising", &state, (width, height));
    }
    let tiny = rows(&paint(&state(fx::rising()), 39, 24));
    assert_eq!(tiny[0], "too small R back to v41 · p pause");
    assert!(tiny[1..].iter().all(String::is_empty));
}

fn back_plan(state: &State) -> Plan {
    let watched = state.shared.watched().unwrap();
    let to = VersionId::new("v41");
    Plan {
        action: Action::Back { to: to.clone() },
        id: ActionId::new("0198c0de"),
        belief: Belief {
            key: watched.rollout.key.clone(),
            run: Some(RunId::new("7f3a")),
            rev: Rev(42),
            at: Some(1),
            stable: Some(to),
            candidate: None,
        },
        title: "BACK by switch, about 1 s".into(),
        calls: vec![Call {
            verb: "POST".into(),
            path: Raw::new("/v1/actions"),
            body: serde_json::json!({"action": {"verb": "revert", "to": "9f2c41aa0b11-1"}, "id": "0198c0de"}),
            guard: Guard::Facts(vec![
                Fact { name: "run".into(), is: Raw::new("7f3a") },
                Fact { name: "to".into(), is: Raw::new("9f2c41aa0b11-1") },
            ]),
            repeatable: true,
        }],
        weights: vec![
            Shift { version: "v41".into(), before: Weight::from_percent(90.0).unwrap(), after: Weight::FULL },
            Shift { version: "v42".into(), before: Weight::from_percent(10.0).unwrap(), after: Weight::ZERO },
        ],
        notes: vec!["2 instances of v42 drain for at most 30 s, then they are stopped".into()],
        warns: vec!["stable fails 4.1 % too: going back will not help".into()],
        takes: Some(Duration::from_millis(40)),
        needs_reason: false,
    }
}

fn preview(state: &State, confirm: Confirm) -> Preview {
    let key = state.shared.open.clone().unwrap_or_else(|| key("demo", &[], "checkout"));
    let plan =
        Plan { belief: Belief { key: key.clone(), run: None, rev: Rev(1), at: None, stable: None, candidate: None }, ..back_plan(state) };
    Preview { key, plan, also: Vec::new(), confirm, withdrawn: None, meanwhile: None, painted: None, hint: None }
}

fn overlays(state: &State) -> Vec<Overlay> {
    if state.shared.open.is_none() {
        return vec![Overlay::None, Overlay::Help(0), Overlay::Connections];
    }
    let key = || Confirm::Key { letter: true, pending: None };
    let said = Preview {
        meanwhile: Some("ben resumed your pause 8 s ago; step 3 → 4".into()),
        hint: Some("too fast: press R once".into()),
        ..preview(state, key())
    };
    let withdrawn = Preview { withdrawn: Some("step 3 → 4 by ben 2 s ago".into()), ..preview(state, key()) };
    let reason = Confirm::Reason {
        ready: vec!["known noise".into(), "accepted risk".into()],
        chosen: 1,
        typed: "because".into(),
        then_typed: Some(("77ab".into(), "7".into())),
    };
    vec![
        Overlay::None,
        Overlay::Preview(Box::new(said)),
        Overlay::Preview(Box::new(withdrawn)),
        Overlay::Preview(Box::new(preview(state, Confirm::Typed { expected: "77ab".into(), typed: "77".into() }))),
        Overlay::Preview(Box::new(preview(state, reason))),
        Overlay::Actions(3),
        Overlay::Help(4),
        Overlay::Connections,
        Overlay::Weight("12.5".into()),
        Overlay::Refused { action: Action::Resume, refusal: Refusal::NotNow { why: "nothing paused by hand; s skips the gate".into() } },
        Overlay::Refused {
            action: Action::Back { to: VersionId::new("v41") },
            refusal: Refusal::AlreadySo { what: "already back on v41 since 03:12:09".into() },
        },
    ]
}

#[test]
fn what_lies_over_the_screen() {
    let names = ["none", "preview", "withdrawn", "typed", "reason", "actions", "help", "connections", "weight", "refused", "already"];
    let mut state = state(fx::rising());
    for (name, overlay) in names.into_iter().zip(overlays(&state)).skip(1) {
        state.overlay = overlay;
        shoot(&format!("over_{name}"), &state, NARROW);
    }
}

#[test]
fn previews_wrap_and_lose_nothing() {
    let mut state = state(fx::awkward_names());
    let Overlay::Preview(mut p) = overlays(&state).swap_remove(1) else { panic!("a preview") };
    p.plan.notes = vec!["@".repeat(170).as_str().into(), "one two three ".repeat(12).as_str().into()];
    state.overlay = Overlay::Preview(p);
    for width in [40, 57, 80, 120] {
        let all: String = rows(&paint(&state, width, 70)).concat();
        assert_eq!((all.matches('@').count(), all.matches("three").count()), (170, 12), "{width}");
        assert!(all.contains("verb") && all.contains("too fast"), "{width}");
    }
    shoot("over_preview_awkward", &state, NARROW);
}

#[test]
fn the_line_above_the_footer() {
    let base = || state(fx::rising());
    let follow = |outcome, seen| {
        let mut state = base();
        let key = state.shared.open.clone().unwrap();
        let plan = back_plan(&state);
        state.following.push(Following { id: ActionId::new("a"), key, plan, sent: ago(2), outcome, seen });
        rows(&paint(&state, 80, 24))[22].clone()
    };
    let accepted = || Some(Outcome::Accepted { changed: true, at: ago(1) });
    assert_eq!(follow(None, None), " → sent BACK by switch, about 1 s 2 s ago, no answer yet");
    assert_eq!(follow(accepted(), None), " ~ accepted BACK by switch, about 1 s 2 s ago, not yet seen");
    let pending = Observation::Pending { missing: "router not confirmed".into() };
    assert_eq!(follow(accepted(), Some(pending)), " ~ accepted BACK by switch, about 1 s, not yet: router not confirmed");
    assert_eq!(follow(accepted(), Some(Observation::Confirmed)), " ✓ confirmed BACK by switch, about 1 s");
    let contradicted = Observation::Contradicted { by: "ben".into() };
    assert_eq!(follow(accepted(), Some(contradicted)), " ✗ CONTRADICTED BACK by switch, about 1 s by ben");
    let unknown = Outcome::Unknown { sent: ago(2), why: "connection reset".into() };
    assert_eq!(follow(Some(unknown), None), " ? UNKNOWN BACK by switch, about 1 s: connection reset; looking, not sent again");
    let mut state = base();
    state.notice = Some(Notice { text: "NOTHING SENT".into(), bad: false, fades: None });
    assert_eq!(rows(&paint(&state, 80, 24))[22], " · NOTHING SENT");
}

#[test]
fn nothing_is_configured_or_open() {
    let mut state = empty();
    shoot("empty_nothing", &state, NARROW);
    let link = |last| Link::Connecting { attempt: 3, next_at: ago(-4), last };
    let fault = Fault::Unreachable { place: "/run/user/1000/cutover/host.sock".into(), why: "no such file".into() };
    state.shared.links.insert(TargetId::new("demo"), link(Some(fault)));
    state.shared.links.insert(TargetId::new("far"), Link::Denied { what: "uid 1001 is not 1000".into(), since: now() });
    state.shared.links.insert(TargetId::new("near"), Link::Live { since: now() });
    shoot("empty_links", &state, NARROW);
    state.overlay = Overlay::Connections;
    shoot("empty_connections", &state, NARROW);
}

#[test]
fn a_focused_panel_says_so() {
    let mut state = state(fx::healthy());
    state.focus = Focus::Panel;
    state.read_only = true;
    shoot("focus", &state, NARROW);
}

#[test]
fn twelve_hundred_instances() {
    let (mut rollout, pasts) = fx::healthy();
    let pool = &mut rollout.tracks[1].pools[0];
    let one = fx::starting().0.tracks[1].pools[0].instances[0].clone();
    pool.instances = vec![one; 1_200];
    (pool.desired, pool.ready, pool.restarts) = (1_200, 999, 4_211);
    let rows = rows(&paint(&state((rollout, pasts)), 80, 24));
    assert_eq!(rows[5], " ready    2/2                   999/1200              4,211 rst exit code 1 12s");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_size_panics(width in 0_u16..=500, height in 0_u16..=200, which in 0_usize..18, over in 0_usize..11, looks in 0_usize..3) {
        let (_, mut state) = all().swap_remove(which);
        state.look = [Look::FULL, ASCII, MONO][looks];
        let mut overlays = overlays(&state);
        state.overlay = overlays.swap_remove(over.min(overlays.len() - 1));
        paint(&state, width, height);
    }

    #[test]
    fn an_area_inside_a_buffer_is_not_left(x in 0_u16..60, y in 0_u16..30, width in 0_u16..140, height in 0_u16..50, which in 0_usize..18) {
        let (_, state) = all().swap_remove(which);
        let whole = Rect::new(0, 0, 130, 40);
        let area = Rect::new(x, y, width, height);
        let mut buf = Buffer::empty(whole);
        for cell in &mut buf.content {
            cell.set_symbol("#");
        }
        let extras = Extras { footer: &[], help: &[], figures: &[], actions: &[], back_key: "R" };
        draw(&state, &extras, area, &mut buf);
        for position in whole.positions().filter(|p| !area.contains(*p)) {
            prop_assert_eq!(buf[position].symbol(), "#");
        }
    }
}

#[test]
fn every_small_size_of_every_screen() {
    for (_, mut state) in all() {
        let mut overlays = overlays(&state);
        for overlay in overlays.drain(..).step_by(3) {
            state.overlay = overlay;
            for width in (0..130).step_by(7) {
                for height in (0..40).step_by(3) {
                    paint(&state, width, height);
                }
            }
        }
    }
}

/// Below the least size nothing can be read, so nothing says how to confirm.
#[test]
fn a_preview_that_cannot_be_read_is_not_offered() {
    let mut state = state(fx::rising());
    state.overlay = overlays(&state).swap_remove(1);
    assert_eq!(rows(&paint(&state, 39, 24))[0], "too small (needs 40x8)");
    state.overlay = Overlay::None;
    assert_eq!(rows(&paint(&state, 16, 2))[0], "R back to v41");
}
