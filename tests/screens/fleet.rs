//! The fleet, what belongs to it, and what several strategies and versions look like in one rollout.

use super::{ASCII, HUGE, MONO, NARROW, ROOMY, back_plan, paint, preview, rows, shoot};
use crate::{
    fixtures::{self as fx, ago, key, state, version},
    fleets::{choose_last, fleet, known, many, seven, tell},
};
use cutover::{
    app::{
        keymap::Keymap,
        msg::{Msg, Stroke},
        palette::Palette,
        state::{Also, Confirm, Focus, Input, Overlay, Place, State, View},
    },
    model::{
        action::{Action, Refusal},
        back::How,
        backend::{Backend, Silent},
        ident::{ActionId, TargetId},
        instance::{Instance, Usage},
        ratio::Weight,
        rollout::{Finding, Freeze, Hold, MeasuredBy, Presence, Rollout, Standing},
        spec::{OnFail, Strategy},
        step::{CheckSpec, Step, StepSpec, WarmSpec},
        version::About,
    },
    panel::{self, Panel},
    runtime::Link,
    ui::look::Paint,
};
use std::{collections::BTreeMap, time::Duration};

/// Keys, one after the other, each in a frame of its own.
fn press(state: &mut State, keys: &str) {
    for key in keys.split(' ') {
        state.shared.uptime += Duration::from_millis(300);
        let stroke = Stroke { input: Input::Key(key.parse().unwrap()), repeat: false, read_at: state.shared.uptime };
        tell(state, Msg::Input { batch: vec![stroke] });
        tell(state, Msg::Frame);
    }
}

fn chosen() -> State {
    let mut state = fleet(&seven());
    state.desk = cutover::app::desk::Desk::new(Keymap::default(), None, "t");
    let open = state.shared.rollouts.keys().find(|k| k.service.as_str() == "search").cloned();
    state.shared.open = open;
    state
}

#[test]
fn every_rollout_most_urgent_first() {
    let state = fleet(&seven());
    for size in [NARROW, ROOMY, HUGE, (60, 12), (40, 8)] {
        shoot("fleet", &state, size);
    }
    let lines = rows(&paint(&state, 80, 24));
    let order = ["prod/cart ", "prod/checkout ", "prod/search ", "stage/checkout ", "prod/mail ", "prod/cat", "prod/images "];
    for (line, name) in lines[2..9].iter().zip(order) {
        assert!(line.contains(name), "{name}: {line}");
    }
}

#[test]
fn the_cursor_marks_a_filter_and_what_became_of_an_action() {
    let mut state = chosen();
    press(&mut state, "space space");
    shoot("fleet_marked", &state, NARROW);
    press(&mut state, "esc / c h e c k");
    shoot("fleet_filter", &state, NARROW);
    let mut state = many(1_000);
    choose_last(&mut state);
    shoot("fleet_long", &state, NARROW);
    // What went is still a row while nothing may move.
    let mut state = chosen();
    press(&mut state, "j k");
    let gone = state.shared.open.clone().unwrap();
    tell(&mut state, Msg::Delta(gone.target.clone(), cutover::model::delta::Delta::Delete { key: gone }));
    assert!(rows(&paint(&state, 80, 24)).iter().any(|l| l.contains("prod/search") && l.contains("gone")));
}

#[test]
fn fleets_in_ascii_and_without_colour() {
    let mut state = chosen();
    state.look = ASCII;
    shoot("fleet_ascii", &state, NARROW);
    for line in rows(&paint(&state, 120, 36)) {
        assert!(line.is_ascii(), "{line}");
    }
    state.look = MONO;
    shoot("fleet_no_color", &state, NARROW);
}

#[test]
fn each_target_says_how_it_is_connected() {
    let mut state = fleet(&seven());
    state.shared.links.insert(TargetId::new("far"), Link::Denied { what: "uid 1001 is not 1000".into(), since: ago(9) });
    state.shared.links.insert(TargetId::new("new"), Link::Connecting { attempt: 1, next_at: ago(-1), last: None });
    let head = |state: &State, width| rows(&paint(state, width, 24)).swap_remove(0);
    assert_eq!(
        head(&state, 160).split_whitespace().collect::<Vec<_>>().join(" "),
        "cutover 7 rollouts ~ 1 waiting ✗ 1 failing ! 1 stuck ? 1 stale ~ 1 baking far DENIED stage STALE 41s new connecting prod live 03:12:09Z"
    );
    // What is wrong stays when there is no room for what is not.
    assert!(head(&state, 80).contains("far DENIED  stage STALE 41s"), "{}", head(&state, 80));
    state.overlay = Overlay::Connections;
    shoot("fleet_connections", &state, NARROW);
    // The whole way down: no line is wider than the screen, and column 80 stays empty.
    for width in 40..=130 {
        let buf = paint(&state, width, 24);
        assert!(width != 80 || (0..24).all(|y| buf[(79, y)].symbol() == " "), "{width}");
    }
}

#[test]
fn each_target_says_how_its_metrics_backend_is() {
    let mut state = fleet(&seven());
    let silent = Silent { why: "cannot reach http://127.0.0.1:9090: connection refused".into(), since: ago(60) };
    let of = |place: &str, answers, trouble, ahead| Backend {
        place: place.into(),
        limits: "4 questions at once, 10 s each, 16384 KiB".into(),
        answers,
        trouble,
        ahead,
    };
    let (away, near) =
        (of("http://127.0.0.1:9090", None, Some(silent), None), of("https://prom.example.org", Some(ago(300)), None, Some(-7)));
    for watched in state.shared.rollouts.values_mut() {
        let backend = if watched.rollout.key.target.as_str() == "prod" { &away } else { &near };
        watched.rollout.measured = Some(MeasuredBy { backend: Some(backend.clone()), ..MeasuredBy::by_the_host() });
    }
    state.overlay = Overlay::Connections;
    let shown = rows(&paint(&state, 160, 24));
    let has = |line: &str| shown.iter().any(|row| row.trim() == line);
    assert!(
        has(
            "✗ metrics http://127.0.0.1:9090 no answer for 60 s: cannot reach http://127.0.0.1:9090: connection refused (4 questions at once, 10 s each, 16384 KiB)"
        ),
        "{shown:#?}"
    );
    assert!(
        has(
            "✓ metrics https://prom.example.org answers for 5 min; its clock is 7 s behind its asker's (4 questions at once, 10 s each, 16384 KiB)"
        ),
        "{shown:#?}"
    );
    assert_eq!(shown.iter().filter(|row| row.contains("metrics http")).count(), 2, "once for each target: {shown:#?}");
    for watched in state.shared.rollouts.values_mut() {
        watched.rollout.measured = None;
    }
    assert!(!rows(&paint(&state, 160, 24)).iter().any(|row| row.contains("metrics http")));
}

#[test]
fn a_coloured_target_is_coloured_in_its_rollout_too() {
    let mut state = state(fx::healthy());
    state.targets.insert(TargetId::new("demo"), Place { paint: Some(Paint::Red), read_only: true });
    let buf = paint(&state, 80, 24);
    assert_eq!(buf[(1, 0)].fg, ratatui::style::Color::Red);
    assert!(rows(&buf)[0].contains("read-only live"), "{}", rows(&buf)[0]);
}

/// Before a key is pressed the first row says it in full, and what was found of a rollout stands in its row.
#[test]
fn who_waits_and_what_was_found_stands_in_the_fleet() {
    let found = |r: &mut Rollout, kind: &str, what: &str| {
        r.findings.push(Finding { kind: kind.into(), what: what.into(), since: ago(12) });
    };
    let mut all = seven();
    found(&mut all[2], "lost", "promote sent 12 s ago by ana: not noticed by the controller; any other change heals it");
    found(&mut all[5], "drift", "images-1 runs another digest");
    let text = |state: &State, width| rows(&paint(state, width, 24)).join("\n");
    let state = fleet(&all);
    let narrow = rows(&paint(&state, 80, 24));
    assert!(narrow[22].starts_with(" first: cart ~ waiting for you since 02:14Z (58m): paused by ben"), "{}", narrow[22]);
    let line = |width, name: &str| text(&state, width).lines().find(|l| l.contains(name)).unwrap().to_owned();
    assert!(line(120, "prod/search").contains("STUCK 3m: promote sent 12 s ago by ana: not"), "{}", line(120, "prod/search"));
    assert!(line(200, "prod/search").contains("promote sent 12 s ago by ana: not noticed by the controller"));
    assert!(line(80, "prod/images").contains("found drift"), "{}", line(80, "prod/images"));
    assert!(line(200, "prod/images").contains("found drift: images-1 runs another digest"), "{}", line(200, "prod/images"));
    // Where nobody is needed, nobody is called.
    let calm = fleet(&[all[6].clone()]);
    assert!(!text(&calm, 80).contains("first:"), "{}", text(&calm, 80));
}

/// Who else writes a rollout would write it back: the header names it, shorter where there is less room.
#[test]
fn what_manages_a_rollout_from_git_is_named() {
    let head = |owner: &str, service: &str, width| {
        let mut state = changed(|r| r.owner = Some(owner.into()));
        let (_, mut watched) = state.shared.rollouts.pop_first().unwrap();
        watched.rollout.key = key("prod", &["shop"], service);
        let key = watched.rollout.key.clone();
        state.shared.open = Some(key.clone());
        state.shared.rollouts.insert(key, watched);
        rows(&paint(&state, width, 36)).swap_remove(0)
    };
    assert!(head("Argo CD application shop", "web", 120).starts_with(" prod/shop/web  by Argo CD application shop "));
    assert!(head("Argo CD application shop", "web", 80).starts_with(" prod/shop/web  by Argo CD application shop "));
    let long = "checkout-orchestration-service-api-2";
    assert!(head("Argo CD application shop", long, 80).contains("  by Argo CD  "), "{}", head("Argo CD application shop", long, 80));
    assert!(head("Flux Kustomization apps/shop", "web", 80).contains("  by Flux Kustomization apps/shop "));
    // The name and whether it may be believed go before.
    let narrow = head("Argo CD application shop", long, 60);
    assert!(narrow.contains("live 03:12:09Z") && !narrow.contains("Argo"), "{narrow}");
}

#[test]
fn verbs_on_marks_list_every_service() {
    let mut state = fleet(&seven());
    let mut p = preview(&self::state(fx::rising()), Confirm::Key { letter: true, pending: None });
    p.key = key("prod", &[], "checkout");
    p.plan = cutover::model::action::Plan { warns: Vec::new(), ..back_plan(&self::state(fx::rising())) };
    let other = |service: &str, plan| Also { key: key("prod", &[], service), action: p.plan.action.clone(), id: ActionId::new("b"), plan };
    let unsafe_one = cutover::model::action::Plan { warns: vec!["UNSAFE to leave v42: migration 0042".into()], ..p.plan.clone() };
    p.also = vec![other("cart", Ok(unsafe_one)), other("search", Err(Refusal::NotNow { why: "nothing was ever deployed".into() }))];
    state.overlay = Overlay::Preview(Box::new(p));
    shoot("fleet_bulk", &state, NARROW);
    let Overlay::Preview(p) = &mut state.overlay else { unreachable!() };
    p.withdrawn = Some("cart: step 3 → 4 (last: ben stepped)".into());
    assert!(rows(&paint(&state, 80, 24)).iter().any(|l| l.contains("WITHDRAWN: cart: step 3")));
}

#[test]
fn commands_by_name() {
    let mut state = with_versions();
    state.panels = panel::all();
    for (name, text, chosen, said) in [
        ("palette", "", None, None),
        ("palette_re", "re", Some(1), Some("`re` is no order, write it in full: redraw, resume, revert, retry")),
        ("palette_undo", "undo ", None, None),
    ] {
        state.overlay = Overlay::Palette(Palette { text: text.into(), chosen, said: said.map(Into::into) });
        shoot(name, &state, NARROW);
    }
}

/// A rollout that remembers versions of every standing.
fn with_versions() -> State {
    let (mut r, pasts) = fx::healthy();
    let mut gone = known("v37", "37aa37aa37aa", Standing::Good, 400, Some(0.0004));
    gone.available = false;
    let mut candidate = known("v42", "77ab04c1d203", Standing::Unproven, 0, None);
    candidate.version = r.tracks[1].version.clone();
    candidate.until = None;
    let mut stable = known("v41", "9f2c41aa0b11", Standing::Good, 190, Some(0.0003));
    stable.version = r.tracks[0].version.clone();
    stable.until = None;
    let mut old = known("v40", "00aa00aa00aa", Standing::Good, 700, Some(0.0021));
    old.version.back_unsafe = Some("migration 0040".into());
    r.versions = vec![
        candidate,
        stable,
        old,
        known("v39", "39aa39aa39aa", Standing::Tainted { by: "ben".into(), reason: "leaks connections".into() }, 3, Some(0.1)),
        known("v38", "38aa38aa38aa", Standing::Left { reason: "gate errors: 23.10 % > 5.00 %".into() }, 0, Some(0.231)),
        gone,
    ];
    r.tracks[1].version.revision = Some("3f2a91c".into());
    r.tracks[1].version.back_unsafe = Some("migration 0042".into());
    r.tracks[1].about = Some(About {
        annotations: BTreeMap::from([("org.opencontainers.image.source".into(), "https://example.org/shop.git".into())]),
        size: Some(48_312_004),
        store: Some("/var/lib/cutover/store".into()),
        sealed: Some(ago(9_000)),
    });
    r.tracks[0].version.parts[0].differs = true;
    r.tracks[1].pools[0].instances = instances();
    state((r, pasts))
}

fn instances() -> Vec<Instance> {
    let one = fx::starting().0.tracks[1].pools[0].instances[0].clone();
    let usage = |memory, slope, probes| {
        Some(Usage {
            cpu: Some(0.42),
            memory: Some(memory),
            memory_slope: slope,
            memory_over: Some(std::time::Duration::from_secs(11_400)),
            descriptors: Some(61),
            probe_failures: Some(probes),
        })
    };
    let ready = |id: &str, usage| Instance {
        id: cutover::model::ident::InstanceId::new(id),
        state: cutover::model::instance::InstanceState::Ready,
        since: ago(11_400),
        restarts: 0,
        reason: None,
        node: Some("node-a".into()),
        usage,
        ..one.clone()
    };
    let mut sick = ready("v42-2", usage(612_000_000, Some(162_000_000.0), 7));
    sick.sick = Some("9.1 % of its requests fail, its siblings 0.2 %".into());
    vec![ready("v42-0", usage(99_000_000, Some(12_000.0), 0)), ready("v42-1", usage(98_000_000, None, 0)), sick]
}

/// A panel of the rollout with the keyboard.
fn looking_at(mut state: State, panel: Box<dyn Panel>) -> State {
    state.panels = vec![panel];
    state.focus = Focus::Panel;
    state
}

#[test]
fn artifacts_versions_and_instances() {
    for size in [NARROW, ROOMY] {
        shoot("artifact", &looking_at(with_versions(), Box::new(panel::artifact::Artifact::default())), size);
        shoot("versions", &looking_at(with_versions(), Box::new(panel::versions::Versions::default())), size);
    }
    let instances = || Box::new(panel::instances::Instances::default());
    shoot("usage", &looking_at(with_versions(), instances()), (140, 36));
    let narrow = rows(&paint(&looking_at(with_versions(), instances()), 80, 24)).join("\n");
    assert!(narrow.contains("SICK v42-2: 9.1 %"), "{narrow}");
}

fn changed(change: impl FnOnce(&mut Rollout)) -> State {
    let (mut r, pasts) = fx::healthy();
    change(&mut r);
    state((r, pasts))
}

#[test]
fn a_stopped_line_is_said_everywhere() {
    let state = changed(|r| {
        let (by, reason) = ("ana", "stock-taking until the warehouse has counted");
        r.frozen = Some(Freeze { by: by.into(), reason: reason.into(), since: ago(3_600), until: Some(ago(-7_200)) });
        r.holds = vec![Hold::Freeze { by: by.into(), since: ago(3_600), until: Some(ago(-7_200)), reason: reason.into() }];
        r.phase = cutover::model::rollout::Phase::Held;
        r.present = vec![
            Presence { who: "ben".into(), since: ago(60), console: "c-1".into() },
            Presence { who: "ops@bastion-3".into(), since: ago(6), console: "c-2".into() },
        ];
    });
    for size in [NARROW, ROOMY] {
        shoot("frozen", &state, size);
    }
    assert_eq!(rows(&paint(&state, 80, 24))[22], " last   ana stepped 34 s ago; step 1 → 2 · 2 other consoles: ben, ops@bastion-3");
}

#[test]
fn slots_instances_and_steps_of_the_other_strategies() {
    let blue_green = changed(|r| {
        r.strategy = Strategy::BlueGreen;
        r.tracks[0].slot = Some("active".into());
        r.tracks[1].slot = Some("preview".into());
        for (track, weight) in r.tracks.iter_mut().zip([Weight::FULL, Weight::ZERO]) {
            track.share.declared = Some(weight.into());
            track.share.programmed = Some(weight.into());
            track.share.seen = Some(weight.into());
        }
        let warm = WarmSpec { requests: 200, path: "/".into() };
        let check = CheckSpec { command: vec!["./smoke".into()], http: None, timeout: Duration::from_secs(30), on_fail: OnFail::Hold };
        let specs = [StepSpec::Check(check), StepSpec::Warm(warm), StepSpec::Scale(4), StepSpec::Weight(Weight::FULL)];
        r.steps = specs.into_iter().map(|spec| Step { label: spec.label(2), spec }).collect();
        r.at.as_mut().unwrap().index = 1;
    });
    let rolling = changed(|r| {
        r.strategy = Strategy::Rolling;
        r.tracks[1].pools[0].ready = 1;
        r.tracks[1].pools[0].desired = 4;
        r.steps.clear();
        r.tracks.iter_mut().for_each(|t| t.share.basis = "instances".into());
    });
    for size in [NARROW, ROOMY] {
        shoot("blue_green", &blue_green, size);
        shoot("rolling", &rolling, size);
    }
}

#[test]
fn the_lamp_of_a_slow_and_unsafe_way_back() {
    let lamp = |state: &State, width| rows(&paint(state, width, 24)).into_iter().find(|l| l.starts_with(" BACK")).unwrap();
    let mut state = changed(|r| {
        r.back.how = How::Redeploy { steps: 8 };
        r.back.measured =
            Some(cutover::model::back::Measured { usual: Some(Duration::from_secs(40)), worst: Duration::from_secs(52), n: 3 });
        r.tracks[1].version.back_unsafe = Some("migration 0042 drops a column".into());
    });
    shoot("redeploy", &state, NARROW);
    shoot("redeploy", &state, ROOMY);
    for width in 40..140 {
        assert!(lamp(&state, width).contains("UNSAFE"), "{width}: {}", lamp(&state, width));
    }
    // Nothing is unsafe where nothing would be left.
    let r = &mut state.shared.rollouts.values_mut().next().unwrap().rollout;
    r.back.how = How::Already { since: ago(9) };
    assert!(!lamp(&state, 80).contains("UNSAFE"));
}

/// The plan's own pause is no hold beside others.
#[test]
fn only_what_holds_is_counted() {
    let held = |holds: Vec<Hold>| {
        let state = changed(|r| {
            r.phase = cutover::model::rollout::Phase::Held;
            r.holds = holds;
        });
        rows(&paint(&state, 80, 24)).swap_remove(1)
    };
    let pause = || Hold::Step { since: ago(4), until: None };
    let gate = || Hold::Gate { gate: cutover::model::ident::GateId::new("errors"), since: ago(4), reason: "x".into() };
    assert!(held(vec![pause(), gate()]).ends_with("HELD gate errors"));
    assert!(held(vec![pause()]).ends_with("HELD pause until a person steps"));
    assert!(held(vec![pause(), gate(), Hold::Manual { by: "ben".into(), since: ago(4), weight: None }]).ends_with("+1 more"));
}

#[test]
fn an_undo_names_both_digests() {
    let mut state = with_versions();
    let mut p = preview(&state, Confirm::Key { letter: false, pending: None });
    let to = version("v40", "00aa00aa00aa", 1).id;
    p.plan.action = Action::Undo { to };
    p.plan.title = "UNDO to v40, through the plan".into();
    state.overlay = Overlay::Preview(Box::new(p));
    assert!(rows(&paint(&state, 80, 24)).iter().any(|l| l.contains("9f2c41aa0b11 → 00aa00aa00aa")));
    assert_eq!(state.view, View::Rollout);
}
