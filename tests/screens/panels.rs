//! The panels of evidence and health over a rollout, with their styles.

use super::{ASCII, HUGE, MONO, NARROW, ROOMY, all, paint, rows, shoot};
use crate::fixtures::{self as fx, ago, fail, gate, pass, state, wait};
use cutover::{
    app::state::{Focus, Shared, State},
    model::{
        gate::{Arm, Bounds, Burn, Decider, Decides, Evidence, GateState, Lines, Peer, Power, Quantile, Soon, Verdict},
        ident::VersionId,
        interval::{Query, Sensor, SensorState},
        ratio::Weight,
        signal::{Reading, Sample, Signal, SignalId, Unit},
        spec::OnFail,
        step::Mark,
    },
    panel,
    ui::look::Look,
};
use proptest::prelude::*;
use std::time::Duration;

fn counts(hits: f64, of: f64) -> Sample {
    Sample::Counts { hits, of }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn sensor(name: &str, arm: Arm, state: SensorState, age: Option<u64>) -> Sensor {
    Sensor { name: name.into(), arm, state, age: age.map(Duration::from_millis), required: true }
}

fn fresh() -> Vec<Sensor> {
    vec![
        sensor("requests of canary", Arm::Candidate, SensorState::Fresh, Some(400)),
        sensor("requests of stable", Arm::Stable, SensorState::Fresh, Some(400)),
    ]
}

/// What stands behind a gate over errors ten minutes after its weight converged.
fn evidence() -> Evidence {
    Evidence {
        candidate: counts(0.0, 1_204.0),
        stable: counts(3.0, 10_836.0),
        since: ago(600),
        run_candidate: counts(1.0, 1_804.0),
        run_stable: counts(9.0, 40_836.0),
        run_since: ago(1_500),
        between: Some([0.0, 0.61]),
        limit: Some(5.0),
        r_max: 3.0,
        odds: 0.4,
        step_odds: 0.2,
        change: 1.7,
        safe: 6.4,
        over: 0.0,
        stable_over: 0.0,
        under: 31.0,
        phi: 1.0,
        intervals: 44,
        age: Duration::from_millis(900),
        sensors: fresh(),
        ..Evidence::default()
    }
}

/// What a gate is held to that goes back by itself, one of so many.
fn reverts(of: usize) -> Lines {
    let gate = toml::from_str("name = \"errors\"\nsignal = \"errors\"\non_fail = \"revert\"").unwrap();
    cutover::judge::decide::lines(&gate, of)
}

fn judged(name: &str, signal: SignalId, verdict: Verdict, evidence: Evidence) -> GateState {
    GateState { evidence: Some(evidence), ..gate(name, signal, verdict) }
}

fn power() -> Power {
    Power {
        sees: Some(1.31),
        fails: Some(1.75),
        soon: Some(Soon { ratio: 1.2, within: secs(660) }),
        decides: Some(Decides { weight: 25.0, within: secs(600) }),
        text:
            "can see >= 1.4x errors now (below 1.7x held, not failed); 1.2x in 11 min at this traffic; at 25 % a good one passes in 10 min"
                .into(),
    }
}

fn waiting() -> GateState {
    let e = Evidence {
        safe: 2.1,
        under: 4.2,
        missing: Some(340),
        eta: Some(secs(120)),
        power: Some(power()),
        phi: 2.4,
        phi_limit: 3.1,
        ..evidence()
    };
    judged("errors", SignalId::Errors, wait("340 more requests", Some(120)), e)
}

fn passing() -> GateState {
    // A healthy candidate's detector wanders: that is no headline.
    let e = Evidence { change: 300.0, decided_by: Some(Decider::Under), lines: reverts(1), ..evidence() };
    judged("errors", SignalId::Errors, pass("under 5 %, 31:1 (n 1,204)"), e)
}

/// Harm that began after healthy hours, which the odds of the run do not see yet.
fn changed() -> GateState {
    let e = Evidence {
        candidate: counts(41.0, 1_204.0),
        run_candidate: counts(60.0, 61_804.0),
        run_stable: counts(90.0, 540_836.0),
        odds: 2.4,
        step_odds: 3.1,
        change: 71_000.0,
        safe: 0.0,
        safe_run: 900.0,
        safe_since: 0.1,
        under: 0.3,
        between: Some([2.3, 4.9]),
        decided_by: Some(Decider::Change),
        lines: reverts(1),
        ..evidence()
    };
    let verdict = fail(Arm::Candidate, "3.41/0.03 % of late, change 71,000:1");
    GateState { since: ago(41), ..judged("errors", SignalId::Errors, verdict, e) }
}

fn failing() -> GateState {
    let burn = Burn {
        slo: 99.9,
        candidate: Some(231.0),
        stable: Some(0.3),
        blast: Some(23.4),
        alerts: vec!["page 1h/5m".into()],
        stable_alerts: Vec::new(),
        spent: Some(3.2),
        above: 5_000.0,
        budget: 10.0,
    };
    let e = Evidence {
        candidate: counts(278.0, 1_204.0),
        run_candidate: counts(281.0, 1_804.0),
        between: Some([20.1, 26.3]),
        odds: 1e12,
        step_odds: 3e11,
        change: 4e7,
        safe: 0.0,
        over: 8e9,
        under: 0.0,
        burn: Some(burn),
        decided_by: Some(Decider::Worse),
        lines: reverts(2),
        ..evidence()
    };
    let verdict = fail(Arm::Candidate, "23.09/0.03 % (n 1,804), worse >1e9:1");
    GateState { on_fail: OnFail::Revert, since: ago(41), ..judged("errors", SignalId::Errors, verdict, e) }
}

fn suspect() -> GateState {
    let e = Evidence {
        candidate: counts(9.0, 1_204.0),
        odds: 38.4,
        step_odds: 12.0,
        holds: true,
        decided_by: Some(Decider::Worse),
        phi: 10.0,
        phi_limit: 10.0,
        ..evidence()
    };
    judged("errors", SignalId::Errors, wait("worse 38:1, fails at 100:1", None), e)
}

fn both() -> GateState {
    let e = Evidence {
        candidate: counts(278.0, 1_204.0),
        stable: counts(2_276.0, 10_836.0),
        run_candidate: counts(478.0, 2_204.0),
        run_stable: counts(4_276.0, 20_836.0),
        over: 4e8,
        stable_over: 7e8,
        decided_by: Some(Decider::Over),
        between: Some([20.1, 26.3]),
        ..evidence()
    };
    judged("errors", SignalId::Errors, fail(Arm::Both, "both 21.68/20.52>5.00 % (n 2,204)"), e)
}

fn blind() -> GateState {
    let sensors = vec![
        sensor("errors of canary", Arm::Candidate, SensorState::Absent, None),
        sensor("requests of canary", Arm::Candidate, SensorState::Stale, Some(41_000)),
        sensor("requests of stable", Arm::Stable, SensorState::Fresh, Some(900)),
    ];
    let verdict = Verdict::Blind { why: "errors of canary absent".into() };
    judged("errors", SignalId::Errors, verdict, Evidence { sensors, age: secs(43), ..evidence() })
}

fn limit() -> GateState {
    let e = Evidence {
        candidate: counts(74.0, 1_204.0),
        run_candidate: counts(110.0, 1_804.0),
        over: 140.0,
        under: 0.0,
        decided_by: Some(Decider::Over),
        between: Some([4.4, 8.2]),
        ..evidence()
    };
    let verdict = fail(Arm::Candidate, "6.10>5.00 % (n 1,804), over the limit 140:1");
    judged("errors", SignalId::Errors, verdict, e)
}

/// Over the limit by the change detector alone: the odds of the run are nowhere near their line.
fn limit_late() -> GateState {
    let e = Evidence {
        candidate: counts(74.0, 1_204.0),
        run_candidate: counts(92.0, 61_804.0),
        run_stable: counts(90.0, 540_836.0),
        over: 0.2,
        over_change: 240_000.0,
        decided_by: Some(Decider::Late),
        stable_over_change: 1.4,
        under: 0.0,
        phi: 1.0,
        phi_limit: 2.4,
        between: Some([4.4, 8.2]),
        ..evidence()
    };
    let verdict = fail(Arm::Candidate, "6.15>5.00 % (n 1,804), over the limit of late 240,000:1");
    judged("errors", SignalId::Errors, verdict, e)
}

/// Worse, and shown to be within what is allowed.
fn within() -> GateState {
    let e = Evidence {
        candidate: counts(9.0, 1_204.0),
        run_candidate: counts(15.0, 2_204.0),
        odds: 140.0,
        change: 90.0,
        safe_run: 25.0,
        safe_since: 4.0,
        holds: true,
        decided_by: Some(Decider::Worse),
        ..evidence()
    };
    judged("errors", SignalId::Errors, wait("worse 140:1, but within 3x (25:1)", None), e)
}

fn split() -> GateState {
    let e = Evidence {
        candidate: counts(2_431.0, 12_040.0),
        stable: counts(9_609.0, 12_040.0),
        since: ago(240),
        run_since: ago(240),
        odds: 1e300,
        ..Evidence::default()
    };
    let verdict = fail(Arm::Candidate, "20.19 % of requests, 10.00 declared (n 12,040), >1e9:1");
    GateState { rule: "the share that is declared, give or take 1 pp or a tenth".into(), ..judged("split", SignalId::Requests, verdict, e) }
}

fn quantile() -> GateState {
    let quantile = Quantile {
        q: 0.99,
        candidate: Bounds { low: 5_000.0, high: None, n: 1_204.0 },
        stable: Bounds { low: 10.0, high: Some(25.0), n: 10_836.0 },
        p: 0.000_004,
    };
    let gauge = |value, n| Sample::Gauge { value, n };
    let e = Evidence {
        candidate: gauge(5_000.0, 1_204),
        stable: gauge(18.0, 10_836),
        run_candidate: gauge(5_000.0, 1_204),
        run_stable: gauge(18.0, 10_836),
        between: None,
        limit: None,
        quantile: Some(quantile),
        ..evidence()
    };
    let verdict = fail(Arm::Candidate, "p99 over 5000 ms, stable 10 to 25 ms");
    GateState { on_fail: OnFail::Advise, rule: "not above stable".into(), ..judged("latency", SignalId::P99, verdict, e) }
}

fn asked() -> GateState {
    let text = |role: &str, class: &str| {
        format!(
            "sum by (version) (increase(istio_requests_total{{reporter=\"destination\", destination_workload_namespace=\"payments-platform\", destination_service_name=\"checkout-{role}\"{class}}}[1m]))"
        )
    };
    let query = |name: &str, text: String, warnings: &[&str]| Query {
        name: name.into(),
        text: text.as_str().into(),
        at: ago(3),
        warnings: warnings.iter().map(|w| (*w).into()).collect(),
        infos: Vec::new(),
    };
    let peer = |name: &str, word: &str, why: &str| Peer { name: name.into(), word: word.into(), why: why.into() };
    let e = Evidence {
        queries: vec![
            query("errors of canary", text("canary", ", response_code=~\"5..\""), &["partial response: store gateway 3 timed out"]),
            query("requests of canary", text("canary", ""), &[]),
        ],
        peers: vec![
            peer("Kayenta", "would hold", "score 74: errors High, the mean is 1.2 times the baseline's"),
            peer("Flagger", "would go on", "99.97 % success rate, 99 % asked for"),
            peer("Argo Rollouts", "cannot say", "3 of 5 measurements, 0 failed of at most 2"),
        ],
        power: Some(power()),
        decided_by: Some(Decider::Under),
        ..evidence()
    };
    judged("errors", SignalId::Errors, pass("under 5 %, 31:1 (n 1,204)"), e)
}

fn open(id: &str, mut state: State) -> State {
    state.panels = panel::all();
    state.panel = state.panels.iter().position(|p| p.id() == id).unwrap();
    state
}

/// The evidence panel over these gates.
fn over(gates: Vec<GateState>) -> State {
    let (mut rollout, pasts) = fx::healthy();
    rollout.gates = gates;
    open("evidence", state((rollout, pasts)))
}

fn slow() -> GateState {
    judged(
        "slow",
        SignalId::Slow,
        pass("not 3x stable, 24:1 (n 1,204)"),
        Evidence { limit: None, safe: 24.0, decided_by: Some(Decider::Safe), ..evidence() },
    )
}

/// All of its instances got ready just now.
fn warming() -> GateState {
    let e = Evidence {
        candidate: counts(0.0, 0.0),
        run_candidate: counts(0.0, 0.0),
        between: None,
        limit: None,
        odds: 1.0,
        step_odds: 1.0,
        change: 1.0,
        safe: 1.0,
        warming: Some(counts(12.0, 340.0)),
        warmup: secs(30),
        missing: Some(730),
        ..evidence()
    };
    judged("slow", SignalId::Slow, wait("730 more requests, not judged while instances warm up", None), e)
}

fn every_gate() -> Vec<(&'static str, State)> {
    vec![
        ("wait", over(vec![waiting(), slow()])),
        ("pass", over(vec![passing(), slow()])),
        ("fail", over(vec![slow(), failing()])),
        ("suspect", over(vec![suspect(), slow()])),
        ("both", over(vec![both(), slow()])),
        ("blind", over(vec![blind(), slow()])),
        ("limit", over(vec![limit(), slow()])),
        ("limit_late", over(vec![limit_late(), slow()])),
        ("changed", over(vec![changed(), slow()])),
        ("warming", over(vec![warming()])),
        ("within", over(vec![within(), slow()])),
        ("split", over(vec![passing(), split()])),
        ("quantile", over(vec![passing(), quantile()])),
        ("asked", over(vec![asked(), slow()])),
        ("nothing", over(Vec::new())),
        ("no_evidence", over(vec![gate("錯誤率-錯誤率-錯誤率-錯誤率", SignalId::Errors, wait("candidate traffic", None))])),
    ]
}

fn run(state: &mut State, commands: &[&str]) {
    let shared = state.shared.clone();
    for command in commands {
        state.panels[state.panel].run(command, &shared);
    }
}

/// A word has one number and one line, wherever it stands: on the gate's own line, in its reason, below it.
#[test]
fn a_gates_own_line_is_the_odds_of_the_run_and_a_detectors_only_by_its_name() {
    let shown = |gate: GateState| {
        let rows = rows(&paint(&over(vec![gate]), HUGE.0, HUGE.1));
        let own = rows.iter().find(|row| row.contains(" % / ") && row.contains(" for ")).unwrap().clone();
        let below = |label: &str| rows.iter().find(|row| row.starts_with(&format!("   {label} "))).cloned().unwrap_or_default();
        (own, below("worse"), below("change"))
    };
    let (own, worse, change) = shown(passing());
    assert!(own.contains(" worse ") && own.contains(" 0.4:1") && !own.contains("300:1"), "{own}");
    assert!(worse.contains(" 0.4:1, fails at 100:1, "), "{worse}");
    assert!(change.contains(" 300:1, fails at 60,000:1: "), "{change}");
    let (own, worse, change) = shown(changed());
    assert!(own.contains(" change ") && own.contains(" 71,000:1") && !own.contains("worse"), "{own}");
    assert!(worse.contains(" 2.4:1, fails at 100:1, ") && change.contains(" 71,000:1, fails at 60,000:1: "), "{worse}\n{change}");
}

#[test]
fn what_warms_up_is_shown_and_not_said_never_to_come() {
    let all = rows(&paint(&over(vec![warming()]), NARROW.0, NARROW.1)).join("\n");
    assert!(all.contains("   warming    12 of 340 slow, not judged: instances younger than 30 s"), "{all}");
    assert!(!all.contains("never at this traffic"), "{all}");
}

#[test]
fn evidence_of_every_verdict() {
    for (name, state) in every_gate() {
        shoot(&format!("evidence_{name}"), &state, NARROW);
        if ["wait", "fail", "asked"].contains(&name) {
            shoot(&format!("evidence_{name}"), &state, ROOMY);
            shoot(&format!("evidence_{name}"), &state, HUGE);
        }
    }
    let mut ascii = over(vec![slow(), failing()]);
    ascii.look = ASCII;
    shoot("evidence_fail_ascii", &ascii, NARROW);
}

#[test]
fn a_gate_over_alerts_counts_nothing() {
    let why = "alert ShopBurning fires since 02:59";
    let mut alerts = gate("alerts", SignalId::Alerts, fail(Arm::Candidate, why));
    let asked = Query { name: "alerts".into(), text: "/api/v1/alerts".into(), at: ago(3), warnings: Vec::new(), infos: Vec::new() };
    alerts.evidence = Some(Evidence { sensors: fresh(), queries: vec![asked], ..Evidence::default() });
    let text = rows(&paint(&over(vec![alerts]), 80, 60))[14..].join("\n");
    assert!(text.contains(why) && text.contains("/api/v1/alerts") && text.contains("requests of stable fresh"), "{text}");
    assert!(["1:1", "off  ", "this step", "nothing yet"].iter().all(|odds| !text.contains(odds)), "{text}");
}

/// The evidence panel over checks and a warm-up of a candidate that has no traffic yet.
fn tried(upto: usize, gates: Vec<GateState>) -> State {
    let (mut rollout, pasts) = fx::starting();
    rollout.gates = gates;
    rollout.tried = fx::tried();
    rollout.tried.truncate(upto);
    open("evidence", state((rollout, pasts)))
}

#[test]
fn evidence_of_what_was_tried() {
    let mut failed = tried(2, vec![waiting()]);
    shoot("evidence_tried", &failed, NARROW);
    shoot("evidence_tried", &failed, HUGE);
    let text = |state: &State| rows(&paint(state, 80, 60))[15..].join("\n");
    assert!(text(&failed).contains("schema 7 is missing: run the migration first"), "what failed last is unfolded:\n{}", text(&failed));
    assert!(!text(&failed).contains('\u{1b}') && !text(&failed).contains("this step"));
    run(&mut failed, &["top", "unfold", "bottom", "unfold"]);
    assert!(text(&failed).contains("slowest answer 41 ms, last 3 ms") && !text(&failed).contains("schema 7"), "{}", text(&failed));
    assert!(failed.panels[failed.panel].copy(&failed.shared).unwrap().starts_with("warm, step 1 pass: 200 requests"));
    run(&mut failed, &["previous-gate", "previous-gate", "unfold", "bottom", "up", "up", "up", "up", "up", "up"]);
    let copied = failed.panels[failed.panel].copy(&failed.shared);
    assert!(copied.as_ref().is_some_and(|c| c.contains("step 2") || c.starts_with("errors")), "{copied:?}");
    // A run without gates has evidence too, and one that passed does not push the gates away.
    let passed = tried(1, Vec::new());
    assert!(text(&passed).contains("slowest answer"), "{}", text(&passed));
    let beside = tried(1, vec![failing()]);
    let lines = rows(&paint(&beside, 80, 60))[14..].join("\n");
    assert!(lines.find("FAIL").unwrap() < lines.find("warm, step 1").unwrap(), "{lines}");
    assert!(paint_title(&beside).contains("1 FAIL, warm pass"), "{}", paint_title(&beside));
}

fn paint_title(state: &State) -> String {
    state.panels[state.panel].title(&state.shared)
}

#[test]
fn a_preview_is_where_one_looks_for_it() {
    let (mut rollout, pasts) = fx::starting();
    rollout.strategy = cutover::model::spec::Strategy::BlueGreen;
    rollout.tracks[1].slot = Some("preview".into());
    rollout.tracks[1].preview = Some("127.0.0.1:18081".into());
    rollout.next = cutover::model::rollout::Next { what: "paused by the plan: s goes on to 100 %".into(), at: None, by: "a person".into() };
    let state = state((rollout, pasts));
    for (width, height, what) in
        [(80, 24, "see 127.0.0.1:18081"), (120, 36, "preview at 127.0.0.1:18081"), (200, 60, "preview at 127.0.0.1:18081")]
    {
        let text = rows(&paint(&state, width, height)).join("\n");
        assert_eq!(text.matches(what).count(), 1, "{width}x{height}:\n{text}");
    }
}

/// Everything that is known can be read at 80x24, line by line.
#[test]
fn all_of_the_evidence_can_be_reached_and_copied() {
    let mut state = over(vec![asked(), slow()]);
    state.focus = Focus::Panel;
    let mut seen = String::new();
    let mut copied = Vec::new();
    run(&mut state, &["top"]);
    for _ in 0..40 {
        seen += &rows(&paint(&state, 80, 24))[14..22].join("\n");
        copied.extend(state.panels[state.panel].copy(&state.shared));
        run(&mut state, &["down"]);
    }
    // However it is wrapped.
    let seen = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    for needed in [
        "store gateway 3 timed out",
        "Kayenta would hold",
        "99 % asked for",
        "0 failed of at most 2",
        "1.2x in 11 min at this traffic",
        "44 intervals judged",
        "1.0, independent errors",
        "candidate 1/1,804 0.06 %",
        "requests of canary fresh, 400 ms old",
        "31:1, passes at 20:1: under 5 %",
    ] {
        assert!(seen.contains(needed), "{needed}:\n{seen}");
    }
    // A query is wrapped, and copied whole.
    assert!(copied.iter().any(|c| c.contains("response_code=~\"5..\"}[1m]))")), "{copied:#?}");
    assert!(seen.contains("[1m]))"), "{seen}");
}

#[test]
fn a_gate_unfolds_and_the_mark_stays_with_it() {
    let mut other = passing();
    other.id = cutover::model::ident::GateId::new("time-outs");
    let mut state = over(vec![other, failing(), slow()]);
    let text = |state: &State| rows(&paint(state, 80, 60))[15..].join("\n");
    assert_eq!(text(&state).matches("this step").count(), 1, "the worst one is unfolded");
    assert!(rows(&paint(&state, 80, 24))[14].contains("FAIL"), "and stands first where there is little room");
    run(&mut state, &["top", "unfold"]);
    assert_eq!(text(&state).matches("this step").count(), 2);
    run(&mut state, &["next-gate", "unfold"]);
    assert_eq!(text(&state).matches("this step").count(), 1);
    assert!(state.panels[state.panel].copy(&state.shared).unwrap().starts_with("errors FAIL: 23.09"));
    // What is worst now unfolds nothing any more.
    let key = state.shared.open.clone().unwrap();
    state.shared.rollouts.get_mut(&key).unwrap().rollout.gates[2].verdict = fail(Arm::Both, "both");
    assert_eq!(text(&state).matches("this step").count(), 1);
}

/// Errors that rise after the second step, for half an hour.
fn ill() -> State {
    let (mut rollout, pasts) = fx::rising();
    let mark = |seconds, percent| Mark { at: ago(seconds), weight: Weight::from_percent(percent).unwrap() };
    rollout.marks = vec![mark(590, 1.0), mark(420, 5.0), mark(220, 10.0)];
    rollout.gates = vec![failing(), slow()];
    rollout.tracks.iter_mut().for_each(|t| {
        let slow = Reading::Fresh(counts(12.0, 1_204.0));
        t.signals.insert(SignalId::Slow, Signal { unit: Unit::Ratio, window: secs(60), reading: slow });
        let cpu = Reading::Fresh(Sample::Gauge { value: 0.253, n: 2 });
        t.signals.insert(SignalId::Cpu, Signal { unit: Unit::Cores, window: secs(10), reading: cpu });
    });
    let mut state = open("health", state((rollout, pasts)));
    // A gap of a minute in what is known of stable.
    let key = state.shared.open.clone().unwrap();
    let past = &mut state.shared.rollouts.get_mut(&key).unwrap().history;
    past.get_mut(&VersionId::new("9f2c41aa0b11-1")).unwrap().tens.retain(|p| p.at < ago(400) || p.at > ago(340));
    state
}

#[test]
fn health_of_both_versions() {
    let mut sick = ill();
    for size in [NARROW, ROOMY, HUGE, (80, 60)] {
        shoot("health", &sick, size);
    }
    sick.look = ASCII;
    shoot("health_ascii", &sick, NARROW);
    sick.look = MONO;
    shoot("health_no_color", &sick, NARROW);
    sick.look = Look::FULL;
    run(&mut sick, &["down", "down", "shorter"]);
    shoot("health_2_min", &sick, NARROW);
    run(&mut sick, &["bottom", "longer", "longer"]);
    shoot("health_cpu", &sick, NARROW);
    for (name, state) in all() {
        if ["blind", "starting", "no_data", "completed", "stale", "idle"].contains(&name) {
            shoot(&format!("health_{name}"), &open("health", state), NARROW);
        }
    }
}

#[test]
fn a_gap_is_a_gap_and_the_versions_are_told_apart_without_colour() {
    let mut state = ill();
    state.look = MONO;
    let drawn = rows(&paint(&state, 80, 24))[15..22].join("\n");
    assert!(drawn.contains("⠒⠒ stable 0.00 %") && drawn.contains("██ candidate 23.08 %"), "{drawn}");
    // Alone, stable's dots have a hole of six intervals: two cells of thirty seconds.
    let key = state.shared.open.clone().unwrap();
    state.shared.rollouts.get_mut(&key).unwrap().history.remove(&VersionId::new("77ab04c1d203-1"));
    let lines = rows(&paint(&state, 80, 24));
    let dots = lines[15..22].iter().find(|l| l.contains("0 % ⣀") || l.contains("⣀⣀⣀")).unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(dots.contains("⣀ ⣀") || dots.contains("⣀  ⣀"), "{dots}");
}

/// A panel that everybody has is asked for nothing that depends on the rest of the screen.
#[test]
fn drawn_twice_it_is_the_same_and_ascii_is_ascii() {
    for (name, mut state) in every_gate().into_iter().chain([("health", ill())]) {
        for (width, height) in [NARROW, ROOMY, HUGE, (62, 20)] {
            state.look = ASCII;
            for row in rows(&paint(&state, width, height)) {
                assert!(row.is_ascii(), "{name}: {row}");
            }
            state.look = Look::FULL;
            let buf = paint(&state, width, height);
            assert_eq!(buf, paint(&state, width, height), "{name}");
            if width == 80 {
                assert!((0..height).all(|y| buf[(79, y)].symbol() == " "), "{name}");
            }
        }
    }
}

const COMMANDS: [&str; 12] =
    ["down", "up", "page-down", "page-up", "top", "bottom", "unfold", "next-gate", "previous-gate", "shorter", "longer", "copy"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_size_no_rollout_and_no_command_panics(
        width in 0_u16..=500, height in 0_u16..=200, which in 0_usize..31, panel in 0_usize..9, look in 0_usize..3,
        commands in prop::collection::vec((0_usize..12, 0_usize..31), 0..12),
    ) {
        let mut states = every_gate();
        states.push(("ill", ill()));
        states.extend(all());
        let others: Vec<Shared> = states.iter().map(|(_, s)| s.shared.clone()).collect();
        let (_, mut state) = states.swap_remove(which.min(states.len() - 1));
        state.look = [Look::FULL, ASCII, MONO][look];
        state.panels = panel::all();
        state.panel = panel.min(state.panels.len() - 1);
        for (command, other) in commands {
            // The panel stays when another rollout is opened.
            let shared = others[other.min(others.len() - 1)].clone();
            state.panels[state.panel].changed(&shared);
            state.panels[state.panel].run(COMMANDS[command], &shared);
            state.panels[state.panel].copy(&shared);
            state.shared = shared;
            paint(&state, width, height);
        }
        paint(&state, width, height);
    }
}
