//! What the panels show, and where one is in them.

use super::{
    Panel, analyses::Analyses, events::Events, failed::Failed, findings::Findings, instances::Instances, logs::Logs, ownlog::OwnLog,
};
use crate::{
    app::{
        state::{Code, Input, KeyPress, Shared, Watched},
        tests::fixture::{key, rollout, t0},
    },
    model::{
        event::{Event, FailedRequest, Level, LogLine, LogStream},
        ident::{InstanceId, Role, VersionId},
        rollout::{Analysis, Experiment, ExperimentRun, Finding, Metric, MetricCounts},
        time::{Time, after},
    },
    ui::look::Look,
};
use ratatui::{buffer::Buffer, layout::Rect, style::Modifier};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

fn at(seconds: u64) -> Time {
    after(t0(), Duration::from_secs(seconds))
}

fn request(seconds: u64, path: &str, status: Option<u16>) -> FailedRequest {
    let error = status.is_none().then(|| "no answer within 30s".into());
    FailedRequest { at: at(seconds), method: "GET".into(), path: path.into(), status, instance: Some(InstanceId::new("v42-0")), error }
}

fn log(seq: u64, role: Role, stream: LogStream, line: &str) -> LogLine {
    let (service, version, instance) = ("checkout".into(), "v42".into(), InstanceId::new("v42-0"));
    LogLine { seq, at: at(seq), service, role, version, instance, stream, line: line.into(), lost: 0, nth: 0 }
}

fn shared() -> Shared {
    let mut rollout = rollout();
    rollout.tracks[1].pools[0].instances[1].reason = Some("exit code 1".into());
    rollout.tracks[1].pools[0].instances[1].state = crate::model::instance::InstanceState::BackOff;
    rollout.tracks[1].pools[0].instances[1].restarts = 3;
    let event = |seq, level, what: &str| Event { seq, at: at(seq), run: None, level, by: "plan".into(), what: what.into() };
    let failed = BTreeMap::from([
        (VersionId::new("v41"), vec![request(3, "/cart", Some(500))]),
        (VersionId::new("v42"), vec![request(1, "/pay", Some(503)), request(1, "/pay", Some(502)), request(9, "/pay", None)]),
        (VersionId::new("v40"), vec![request(2, "/old", Some(500))]),
    ]);
    let events =
        VecDeque::from([event(1, Level::Info, "25 % programmed"), event(2, Level::Warn, "restarted"), event(3, Level::Bad, "gate errors")]);
    let watched = Watched { rollout, heard: at(0), history: BTreeMap::new(), events, failed };
    Shared {
        now: at(20),
        uptime: Duration::ZERO,
        links: BTreeMap::new(),
        skews: BTreeMap::new(),
        rollouts: BTreeMap::from([(key("checkout"), watched)]),
        open: Some(key("checkout")),
        logs: VecDeque::from([
            log(1, Role::Stable, LogStream::Out, "listening"),
            log(2, Role::Candidate, LogStream::Err, "panic: Error in handler"),
            log(3, Role::Candidate, LogStream::End, "exit code 1"),
            log(4, Role::Stable, LogStream::Out, "GET /"),
        ]),
        logs_dropped: 0,
    }
}

fn lines(panel: &dyn Panel, shared: &Shared, look: Look, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    panel.draw(shared, &look, area, &mut buf);
    let row = |y| {
        let mark = buf[(0, y)].modifier.contains(Modifier::REVERSED);
        let text: String = (0..width).map(|x| buf[(x, y)].symbol()).collect();
        format!("{}{}", if mark { "> " } else { "" }, text.trim_end())
    };
    (0..height).map(row).filter(|l| !l.is_empty()).collect()
}

fn show(panel: &dyn Panel, shared: &Shared) -> Vec<String> {
    lines(panel, shared, Look::FULL, 79, 8)
}

fn type_text(panel: &mut dyn Panel, shared: &Shared, text: &str) {
    for c in text.chars() {
        panel.input(&Input::Key(KeyPress { code: Code::Char(c), ctrl: false, alt: false }), shared);
    }
}

#[test]
fn failed_requests_of_both_versions_newest_first() {
    let (mut panel, shared) = (Failed::default(), shared());
    assert_eq!(
        show(&panel, &shared),
        [
            "08:00:09 candidate GET    /pay                 no answer within 30s v42-0",
            "08:00:03 stable    GET    /cart                500                  v42-0",
            "08:00:02 gone      GET    /old                 500                  v42-0",
            "08:00:01 candidate GET    /pay                 502                  v42-0",
            "08:00:01 candidate GET    /pay                 503                  v42-0",
        ]
    );
    // Two of one second are two, and the mark stays with its request.
    for _ in 0..3 {
        panel.run("down", &shared);
    }
    assert!(show(&panel, &shared)[3].starts_with("> 08:00:01"));
    assert!(panel.copy(&shared).unwrap().ends_with("GET /pay 502 v42-0"));
    let mut more = shared.clone();
    more.rollouts.get_mut(&key("checkout")).unwrap().failed.get_mut(&VersionId::new("v42")).unwrap().push(request(15, "/new", Some(500)));
    assert!(show(&panel, &more)[4].starts_with("> 08:00:01"));
    panel.run("track", &shared);
    panel.run("track", &shared);
    assert_eq!(show(&panel, &shared).len(), 3);
    assert_eq!(panel.title(&shared), "failed requests · last 5 · candidate only");
    panel.run("filter", &shared);
    type_text(&mut panel, &shared, "NO ANS");
    assert_eq!(show(&panel, &shared).len(), 1);
}

#[test]
fn instances_with_state_in_glyph_and_word() {
    let (mut panel, shared) = (Instances::default(), shared());
    assert_eq!(
        show(&panel, &shared),
        [
            "track     instance     state        since rst     pid open reason",
            "stable    v41-0        ✓ ready       20 s   0     100    1",
            "stable    v41-1        ✓ ready       20 s   0     101    1",
            "candidate v42-0        ✓ ready       20 s   0     100    1",
            "candidate v42-1        ✗ back-off    20 s   3     101    1 exit code 1",
        ]
    );
    let ascii = lines(&panel, &shared, Look { ascii: true, color: false }, 120, 8);
    assert!(ascii.iter().all(|l| l.is_ascii()), "{ascii:?}");
    assert_eq!(panel.title(&shared), "instances · 3 of 4 ready · 3 restarts");
    panel.run("bottom", &shared);
    assert_eq!(panel.copy(&shared).unwrap(), "v42-1");
    assert!(lines(&panel, &shared, Look::FULL, 79, 2)[1].starts_with("> candidate v42-1"), "the marked one is drawn");
    let mut fewer = shared.clone();
    fewer.rollouts.get_mut(&key("checkout")).unwrap().rollout.tracks.truncate(1);
    panel.changed(&fewer);
    assert!(show(&panel, &fewer).iter().all(|l| !l.starts_with('>')), "another one does not get the mark");
}

#[test]
fn logs_follow_until_one_moves_up() {
    let (mut panel, mut shared) = (Logs::default(), shared());
    assert!(panel.wants_logs());
    assert_eq!(
        show(&panel, &shared),
        [
            "08:00:01 stable    v42-0      listening",
            "08:00:02 candidate v42-0      err panic: Error in handler",
            "08:00:03 candidate v42-0      end exit code 1",
            "08:00:04 stable    v42-0      GET /",
        ]
    );
    // What did not come is missing at a place.
    for (lost, says) in [(1, "[1 line missing before this] err panic"), (1_204, "[1,204 lines missing before this] err panic")] {
        shared.logs[1].lost = lost;
        assert!(show(&panel, &shared)[1].starts_with(&format!("08:00:02 candidate v42-0      {says}")), "{:?}", show(&panel, &shared));
    }
    shared.logs[1].lost = 0;
    panel.run("down", &shared);
    assert_eq!(panel.title(&shared), "logs · following");
    panel.run("up", &shared);
    assert_eq!(panel.title(&shared), "logs · stopped, f follows");
    for n in 5..40 {
        shared.logs.push_back(log(n, Role::Stable, LogStream::Out, "more"));
    }
    assert!(show(&panel, &shared)[2].starts_with("> 08:00:03"), "new lines move nothing");
    panel.run("track", &shared);
    panel.run("track", &shared);
    assert_eq!(show(&panel, &shared).len(), 2);
    panel.run("filter", &shared);
    assert!(panel.typing());
    type_text(&mut panel, &shared, "error");
    shared.logs_dropped = 12;
    assert_eq!(panel.title(&shared), "logs · stopped, f follows · candidate only · filter: error_ · 12 dropped");
    assert_eq!(show(&panel, &shared).len(), 1);
    panel.run("previous-match", &shared);
    assert!(panel.copy(&shared).unwrap().ends_with("panic: Error in handler"));
    // What was marked is dropped: the mark is at the oldest line that is left.
    shared.logs.drain(..10);
    assert!(panel.copy(&shared).unwrap().ends_with("more"));
    panel.run("follow", &shared);
    assert!(panel.title(&shared).starts_with("logs · following"));
}

#[test]
fn events_with_level_in_glyph_and_word() {
    let (mut panel, shared) = (Events::default(), shared());
    assert_eq!(
        show(&panel, &shared),
        [
            "08:00:01 · info plan           25 % programmed",
            "08:00:02 ! WARN plan           restarted",
            "08:00:03 ✗ BAD  plan           gate errors",
        ]
    );
    assert_eq!(lines(&panel, &shared, Look::FULL, 79, 2)[1], "08:00:03 ✗ BAD  plan           gate errors", "it follows");
    panel.run("up", &shared);
    panel.run("up", &shared);
    assert_eq!(lines(&panel, &shared, Look::FULL, 79, 1), ["> 08:00:01 · info plan           25 % programmed"]);
    panel.run("filter", &shared);
    type_text(&mut panel, &shared, "bad");
    assert_eq!(show(&panel, &shared).len(), 1);
    assert!(lines(&panel, &shared, Look { ascii: true, color: false }, 79, 8).iter().all(|l| l.is_ascii()));
}

#[test]
fn the_own_log_shows_what_was_moved_and_cleans_it() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let (panel, shared) = (OwnLog::default(), shared());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tui_logger::TuiTracingSubscriberLayer), || {
        tracing::warn!(target: "test", "lost \u{1b}[31mthe connection");
    });
    tui_logger::move_events();
    let shown = show(&panel, &shared);
    assert!(shown.iter().any(|l| l.ends_with("WARN test lost the connection")), "{shown:?}");
    assert!(lines(&panel, &shared, Look::FULL, 3, 2).is_empty() && lines(&panel, &shared, Look::FULL, 0, 0).is_empty());
}

#[test]
fn nothing_known_is_said_in_words() {
    let mut empty = shared();
    (empty.open, empty.logs) = (None, VecDeque::new());
    for panel in [&Failed::default() as &dyn Panel, &Instances::default(), &Logs::default(), &Events::default()] {
        assert_eq!(show(panel, &empty).len(), 1, "{}", panel.id());
        assert_eq!(panel.copy(&empty), None);
    }
}

#[test]
fn the_marked_event_has_all_of_its_text() {
    let mut shared = shared();
    let open = shared.open.clone().unwrap();
    let what = "check ./smoke failed: exit code 3, it printed: expected 200 from /pay, got 502 bad gateway after 3 tries";
    shared.rollouts.get_mut(&open).unwrap().events[1].what = what.into();
    let mut panel = Events::default();
    let area = Rect::new(0, 0, 60, 8);
    let text = |panel: &Events| {
        let mut buf = Buffer::empty(area);
        panel.draw(&shared, &Look::FULL, area, &mut buf);
        buf.content.iter().map(|c| c.symbol()).collect::<String>()
    };
    assert!(!text(&panel).contains("3 tries"));
    panel.run("up", &shared);
    assert!(text(&panel).contains("3 tries") && text(&panel).contains("gate errors"), "{}", text(&panel));
}

#[test]
fn the_marked_line_of_a_log_and_the_marked_request_have_all_of_their_text() {
    let (line, cause) = ("ERROR GET /cart: payment provider: connection refused", "no instance is ready to take it");
    let mut shared = shared();
    shared.logs = VecDeque::from([log(1, Role::Stable, LogStream::Out, line)]);
    let mut panel = Logs::default();
    assert!(!lines(&panel, &shared, Look::FULL, 60, 8).concat().contains("refused"), "its end is cut");
    panel.run("up", &shared);
    let shown = lines(&panel, &shared, Look::FULL, 60, 8);
    assert!(shown[0].starts_with("> 08:00:01 stable") && shown[1].contains("connection refused"), "{shown:?}");

    let open = shared.open.clone().unwrap();
    let mut failed = request(20, "/pay", Some(503));
    failed.error = Some(cause.into());
    shared.rollouts.get_mut(&open).unwrap().failed = BTreeMap::from([(VersionId::new("v42"), vec![failed])]);
    let mut panel = Failed::default();
    assert!(!show(&panel, &shared).concat().contains(cause));
    panel.run("down", &shared);
    let shown = show(&panel, &shared);
    assert!(shown[0].starts_with("> 08:00:20") && shown[1].contains(cause), "{shown:?}");
}

#[test]
fn findings_are_shown_in_full_and_what_may_not_be_seen_is_not_none() {
    let mut shared = shared();
    assert_eq!(show(&Findings::default(), &shared), ["nothing was found beside what stands above"]);
    let finding = |kind: &str, what: &str| Finding { kind: kind.into(), what: what.into(), since: at(8) };
    let long = "promote sent 12 s ago by ana: not noticed by the controller; any other change of the object wakes it";
    let rollout = &mut shared.rollouts.get_mut(&key("checkout")).unwrap().rollout;
    rollout.findings = vec![finding("lost", long), finding("access", "pods are not seen: pods is forbidden")];
    for track in &mut rollout.tracks {
        track.pools.iter_mut().for_each(|pool| pool.instances.clear());
    }
    let shown = show(&Findings::default(), &shared);
    assert!(shown[0].starts_with("lost             12 s promote sent") && shown[1].trim_start().starts_with("controller;"), "{shown:?}");
    let all = shown.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    assert!(all.contains("wakes it access") && all.ends_with("pods are not seen: pods is forbidden"), "{all}");
    assert_eq!(show(&Instances::default(), &shared), ["pods are not seen: pods is forbidden"]);
    // Three minutes ahead over there: its own clock tells how long ago it was.
    shared.skews.insert(key("checkout").target, chrono::TimeDelta::minutes(3));
    assert!(show(&Findings::default(), &shared)[0].starts_with("lost            3 min "), "{:?}", show(&Findings::default(), &shared));
}

#[test]
fn an_analysis_shows_its_values_its_condition_and_what_ends_it() {
    let mut shared = shared();
    assert!(show(&Analyses::default(), &shared)[0].starts_with("no analysis"));
    let metric = Metric {
        name: "errors".into(),
        phase: "Running".into(),
        values: ["0.01", "0.4", "0.02"].map(Into::into).to_vec(),
        condition: "result <= 0.05".into(),
        counts: MetricCounts {
            successful: 2,
            failed: 1,
            error: 1,
            failure_limit: Some(1),
            error_limit: Some(4),
            errors_in_a_row: 1,
            success_limit: Some(5),
            count: Some(10),
            ..MetricCounts::default()
        },
        dry_run: false,
        measured: Some(at(13)),
        next: Some(at(62)),
        message: Some("no route to host".into()),
        asked: None,
        ours: Some("gate errors".into()),
    };
    let dry = Metric { name: "extra".into(), dry_run: true, values: Vec::new(), next: None, message: None, ours: None, ..metric.clone() };
    let analysis = Analysis {
        name: "web-2".into(),
        place: "step".into(),
        phase: "Running".into(),
        message: None,
        started: Some(at(10)),
        metrics: vec![metric, dry],
    };
    shared.rollouts.get_mut(&key("checkout")).unwrap().rollout.analyses = vec![analysis];
    let shown = lines(&Analyses::default(), &shared, Look::FULL, 170, 8);
    assert_eq!(shown[0], "step         Running, begun 10 s ago  web-2");
    assert_eq!(shown[1], "  errors     Running  0.02  must be result <= 0.05");
    let counted = "4 of 10 measured: 2 ok (0 in a row, 5 are enough), 1 failed (2 end it), 1 errors, 1 in a row (5 in a row end it)";
    assert_eq!(shown[2].trim(), format!("{counted}, next in 42 s  before: 0.4 0.01"));
    assert_eq!(shown[3].trim(), "no route to host");
    assert_eq!(shown[4].trim(), "ours: gate errors");
    assert!(shown[5].ends_with("dry run: without consequences") && shown[6].ends_with(", last 7 s ago"), "{shown:?}");
    let mut panel = Analyses::default();
    panel.run("down", &shared);
    assert!(lines(&panel, &shared, Look::FULL, 110, 8)[1].starts_with("> "));
    shared.rollouts.get_mut(&key("checkout")).unwrap().rollout.analyses.clear();
    panel.changed(&shared);
    assert_eq!(panel.copy(&shared), None);
}

#[test]
fn an_experiment_shows_how_long_it_lasts_and_verdicts_whose_measurements_are_not_seen() {
    let mut shared = shared();
    let run = |name: &str, phase: &str| ExperimentRun { what: "compare".into(), name: name.into(), phase: phase.into(), message: None };
    let experiment = Experiment {
        name: "web-2-1".into(),
        phase: "Running".into(),
        message: None,
        since: Some(at(8)),
        ends: Some(at(42)),
        runs: vec![run("web-2-1-compare", "Failed")],
    };
    let rollout = |shared: &mut Shared| shared.rollouts.get_mut(&key("checkout")).unwrap().rollout.experiments = vec![experiment.clone()];
    rollout(&mut shared);
    let shown = lines(&Analyses::default(), &shared, Look::FULL, 110, 8);
    assert_eq!(shown[0], "experiment   Running, 22 s left  web-2-1");
    assert_eq!(shown[1], "  compare    Failed  web-2-1-compare");
    assert!(Analyses::default().title(&shared).contains("0 of the runtime's own, 1 experiment,"));
}
