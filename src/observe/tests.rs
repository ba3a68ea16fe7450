//! Rollouts of a cluster as they are told, judged from what a backend keeps.

mod world;

use super::{How, Observed};
use crate::{
    clock::PausedClock,
    judge::SPLIT,
    metrics::{Alert, Labels, Origin, Trouble, feed::Pace, preset::Queries, template::Variables},
    model::{
        decided::Decision,
        delta::Delta,
        gate::{Arm, Evidence, Verdict},
        ident::{Key, Rev},
        ratio::Ratio,
        rollout::{MetricCounts, Phase, Rollout, Seen},
        signal::SignalId,
        spec::{GateSpec, OnFail},
    },
    runtime::Runtime,
};
use futures::StreamExt;
use serde_json::json;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use world::{Cluster, Store, start};

/// `shop/web`: v1 to v2, at 10 % since it began so many seconds ago; only stable without a candidate.
fn rollout(ago: i64, candidate: bool) -> Rollout {
    let began = start() - chrono::Duration::seconds(ago);
    let track = |role: &str, version: &str, parts: u64| {
        json!({
            "role": role,
            "version": { "id": version, "label": version, "parts": [] },
            "pools": [{ "name": "", "desired": 2, "ready": 2, "restarts": 0, "instances": [] }],
            "share": { "declared": { "parts": parts, "whole": 100 }, "programmed": { "parts": parts, "whole": 100 } },
        })
    };
    let mut tracks = vec![track("stable", "v1", 90)];
    tracks.extend(candidate.then(|| track("candidate", "v2", 10)));
    let mut rollout: Rollout = serde_json::from_value(json!({
        "key": { "target": "prod", "scope": ["shop"], "service": "web", "uid": null },
        "run": "2", "strategy": "canary", "phase": if candidate { "held" } else { "completed" },
        "started": { "by": "ana", "at": began },
        "holds": [], "tracks": tracks, "steps": [],
        "next": { "what": "", "at": null, "by": "" }, "gates": [],
        "back": { "to": null, "how": { "kind": "switch" }, "checks": [], "measured": null },
        "seen": { "epoch": 1, "rev": 1, "server_time": start(), "fresh_for": 60_000 },
    }))
    .unwrap_or_else(|e| panic!("{e}"));
    rollout.seen = Seen { epoch: 1, rev: Rev(1), server_time: start(), fresh_for: Duration::from_secs(60) };
    rollout
}

fn how() -> How {
    let written = "requests = 'req{v=\"{{version}}\"}'\ncode_label = \"code\"\ngrpc_label = \"\"\ninstance_label = \"\"";
    let queries = Queries::of("istio", &toml::from_str(written).unwrap()).unwrap();
    let mut gates = How::usual_gates(&queries);
    gates.retain(|g| g.name.as_str() == "errors");
    How {
        gates,
        queries,
        pace: Pace { every: Duration::from_secs(15), delay: Duration::ZERO },
        variables: Variables::default(),
        alerts: crate::metrics::alerts::Rule { labels: vec!["service".into()], ..Default::default() },
        analyses: false,
        origin: Origin { preset: "istio".into(), lines: [("requests".to_owned(), 7)].into() },
    }
}

#[test]
fn without_configured_gates_each_stack_is_judged_by_what_it_has() {
    let of = |preset: &str| {
        let gates = How::usual_gates(&Queries::of(preset, &Default::default()).unwrap());
        gates.iter().map(|g| g.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("istio"), ["errors", "slow"]);
    assert_eq!(of("haproxy"), ["errors"]);
    assert_eq!(of("kube-state-metrics"), ["restarts"]);
}

fn observed(store: &Store, said: Vec<(u64, Delta)>) -> Observed<Cluster, Store> {
    Observed::new(Cluster(said), store.clone(), how(), Arc::new(PausedClock::new(start())))
}

fn apply(rollout: &Rollout) -> Delta {
    Delta::Apply { rollout: Box::new(rollout.clone()) }
}

/// Everything that is told within so many seconds of paused time.
async fn told(observed: &Observed<Cluster, Store>, seconds: u64) -> Vec<(f64, Delta)> {
    let (began, mut all) = (Instant::now(), Vec::new());
    let mut deltas = Box::pin(observed.watch());
    let end = began + Duration::from_secs(seconds);
    while let Ok(Some(delta)) = timeout(end.saturating_duration_since(Instant::now()), deltas.next()).await {
        all.push((began.elapsed().as_secs_f64(), delta.unwrap()));
    }
    all
}

fn pictures(told: &[(f64, Delta)]) -> Vec<(f64, Rollout)> {
    let apply = |(at, delta): &(f64, Delta)| if let Delta::Apply { rollout } = delta { Some((*at, (**rollout).clone())) } else { None };
    told.iter().filter_map(apply).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_began_an_hour_ago_is_judged_at_once_and_goes_on() {
    let store = Store::new(1.0, 50.0);
    let watch = observed(&store, vec![(0, apply(&rollout(3_600, true)))]);
    watch.focus(Some(&rollout(3_600, true).key));
    let all = told(&watch, 60).await;
    let pictures = pictures(&all);
    assert!(pictures[0].1.gates.is_empty() && pictures[0].0 < 0.1, "what the cluster says waits for nothing");
    let (at, first) = &pictures[1];
    assert!(*at < 2.0, "{at}");
    let gate = &first.gates[0];
    assert!(matches!(gate.verdict, Verdict::Fail { who: Arm::Candidate, .. }), "{:?}", gate.verdict);
    let evidence = gate.evidence.as_ref().unwrap();
    assert!(evidence.run_candidate.samples() > 35_000 && evidence.run_stable.samples() > 315_000, "{evidence:?}");
    assert!(!evidence.queries.is_empty() && evidence.sensors.iter().all(|s| s.required));
    assert_eq!(first.verdict.as_ref().unwrap().word.as_str(), "fail");
    // Every scrape brings another picture and its seconds, no more.
    assert!((4..=6).contains(&pictures.len()), "{}", pictures.len());
    let last = &pictures.last().unwrap().1;
    let rate = last.tracks[1].signals[&SignalId::Requests].reading.fresh().and_then(|s| s.value()).unwrap();
    assert!((rate - 10.0).abs() < 0.5, "{rate}");
    let seen = last.tracks[1].share.seen.and_then(|s| s.percent()).unwrap();
    assert!((seen - 10.0).abs() < 0.5 && last.tracks[1].share.basis.as_str() == "requests", "{seen}");
    let points = all.iter().filter(|(_, d)| matches!(d, Delta::Point { version, .. } if version.as_str() == "v2")).count();
    assert!(points > 3_000, "the past of a version that runs for an hour: {points}");
}

#[tokio::test(start_paused = true)]
async fn how_errors_of_stable_came_in_the_hour_before_is_known_when_a_run_begins() {
    let store = Store::new(1.0, 1.0);
    let seen = observed(&store, Vec::new()).judge(vec![rollout(60, true)]).await.remove(0);
    let evidence = seen.gates[0].evidence.clone().unwrap();
    // Nine errors or so in the run; 320 before it, and without bursts.
    assert!(evidence.phi < 1.3, "{}", evidence.phi);
    assert!(evidence.run_stable.samples() < 90 * 76, "the hour is of no run: {:?}", evidence.run_stable);
    let asked = store.asked.load(Ordering::Relaxed);
    assert!(asked < 60, "asked {asked} times");
    // Where nothing is compared it is nobody's business.
    let idle = Store::new(1.0, 1.0);
    let watch = observed(&idle, vec![(0, apply(&rollout(60, false)))]);
    watch.focus(Some(&rollout(60, false).key));
    told(&watch, 10).await;
    let asked = idle.asked.load(Ordering::Relaxed);
    assert!((1..20).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn whoever_prints_every_rollout_is_told_evidence_of_now() {
    let store = Store::new(1.0, 1.0);
    let began = rollout(3_600, true);
    let said: Vec<(u64, Delta)> = (0..10).map(|minute| (minute * 60, apply(&began))).collect();
    // Both ask as seldom, as nobody opened it.
    let mut asked = Vec::new();
    let mut evidence = Vec::new();
    for tells_all in [true, false] {
        let watch = observed(&store, said.clone());
        let watch = if tells_all { watch.telling_all() } else { watch };
        let before = store.asked.load(Ordering::Relaxed);
        let pictures = pictures(&told(&watch, 590).await);
        asked.push(store.asked.load(Ordering::Relaxed) - before);
        let all = pictures.into_iter().filter_map(|(at, rollout)| Some((at, rollout.gates.first()?.evidence.clone()?)));
        evidence.push(all.collect::<Vec<_>>());
    }
    assert_eq!(asked[0], asked[1]);
    let [all, list] = [&evidence[0], &evidence[1]].map(|of| {
        let ((first, before), (last, after)) = (of.first().unwrap(), of.last().unwrap());
        (after.run_candidate.samples() - before.run_candidate.samples(), last - first, after.queries[0].at - before.queries[0].at)
    });
    assert!(all.1 > 400.0 && all.0 as f64 > 10.0 * (all.1 - 60.0), "10 a second in {all:?}");
    assert!(all.2.as_seconds_f64() > all.1 - 60.0, "{all:?}");
    // A list has the words that were first said: nobody reads its evidence.
    assert_eq!(list.0, 0, "{list:?}");
}

#[tokio::test(start_paused = true)]
async fn latencies_of_pods_that_just_got_ready_are_shown_and_not_judged() {
    let written = "requests = 'req{v=\"{{version}}\"}'\nlatency = 'lat{v=\"{{version}}\"}'\ncode_label = \"code\"\ngrpc_label = \"\"\ninstance_label = \"pod\"\nlatency_unit = \"s\"";
    let queries = Queries::of("istio", &toml::from_str(written).unwrap()).unwrap();
    let gates = How::usual_gates(&queries);
    let how = How { gates, queries, ..how() };
    let judge = |ready: &[i64]| {
        let mut rollout = rollout(600, true);
        let pod = |ago: &i64| {
            let since = start() - chrono::Duration::seconds(*ago);
            serde_json::from_value(json!({ "id": format!("web-{ago}"), "state": "ready", "since": since })).unwrap()
        };
        rollout.tracks[1].pools[0].instances = ready.iter().map(pod).collect();
        let observed = Observed::new(Cluster(Vec::new()), Store::new(1.0, 1.0), how.clone(), Arc::new(PausedClock::new(start())));
        async move {
            let gates = observed.judge(vec![rollout]).await.remove(0).gates;
            ["errors", "slow"].map(|name| gates.iter().find(|g| g.id.as_str() == name).unwrap().evidence.clone().unwrap())
        }
    };
    let ([errors, slow], [none, judged]) = (judge(&[5_000, 300]).await, judge(&[5_000]).await);
    let warmed = slow.warming.unwrap().samples();
    // 30 s at 10 a second, in whole intervals of 15 s.
    assert!((300..=750).contains(&warmed), "{warmed}");
    assert_eq!(slow.run_candidate.samples() + warmed, judged.run_candidate.samples());
    assert_eq!((judged.warming, errors.warming), (None, None));
    assert_eq!(errors.run_candidate, none.run_candidate, "errors count from the first");
}

/// The router says that it sends every second request to v2, and sends every tenth.
#[tokio::test(start_paused = true)]
async fn a_router_that_does_something_else_is_told_where_a_router_makes_the_share() {
    let share = |programmed: Option<u64>, sticky: bool| {
        let mut rollout = rollout(3_600, true);
        for track in &mut rollout.tracks {
            track.share.declared = Some(Ratio { parts: 50, whole: 100 });
            track.share.programmed = programmed.map(|parts| Ratio { parts, whole: 100 });
            track.share.sticky = sticky;
        }
        rollout
    };
    let split = |seen: &[Rollout]| seen[0].gates.iter().find(|g| g.id.as_str() == SPLIT).cloned();
    let store = Store::new(1.0, 1.0);
    let seen = observed(&store, Vec::new()).judge(vec![share(Some(50), false)]).await;
    let gate = split(&seen).unwrap();
    assert!(matches!(gate.verdict, Verdict::Fail { who: Arm::Candidate, .. }) && gate.on_fail == OnFail::Advise, "{:?}", gate.verdict);
    assert!(gate.verdict.reason().as_str().starts_with("10.00 % of requests, 50.00 declared (n "), "{}", gate.verdict.reason());
    assert!(seen[0].verdict.as_ref().unwrap().sentence.as_str().starts_with("split 10.00 %"), "{:?}", seen[0].verdict);
    // Whatever is judged: another signal, or nothing at all.
    for gates in [vec![toml::from_str("name = \"late\"\nsignal = \"timeouts\"").unwrap()], Vec::new()] {
        let how = How { gates, ..how() };
        let observed = Observed::new(Cluster(Vec::new()), store.clone(), how, Arc::new(PausedClock::new(start())));
        let gate = split(&observed.judge(vec![share(Some(50), false)]).await).unwrap();
        assert!(matches!(gate.verdict, Verdict::Fail { .. }), "{:?}", gate.verdict);
    }
    // Pods make the share; clients stick; the router is not there yet; it does what it says.
    for other in [share(None, false), share(Some(50), true), share(Some(10), false), rollout(3_600, true)] {
        let seen = observed(&store, Vec::new()).judge(vec![other]).await;
        assert_eq!((split(&seen), seen[0].gates.len()), (None, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_known_stays_after_the_way_back_until_the_run_goes_on() {
    let store = Store::new(1.0, 50.0);
    let in_phase = |phase: Phase| Rollout { phase, ..rollout(3_600, true) };
    // A deadline that passes on the way there and a moment in which nothing is known take nothing away.
    let unknown = || Phase::Unknown("Elsewhere".into());
    let there = [(0, Phase::Held), (15, Phase::Failed), (20, Phase::Reverting), (40, Phase::Reverted)];
    let phases = there.into_iter().chain([(45, unknown()), (50, Phase::Reverted), (60, Phase::Progressing)]);
    let watch = observed(&store, phases.map(|(at, phase)| (at, apply(&in_phase(phase)))).collect());
    watch.focus(Some(&rollout(3_600, true).key));
    let pictures = pictures(&told(&watch, 90).await);
    let last = |phase: Phase| pictures.iter().rev().find(|(_, r)| r.phase == phase).map(|(_, r)| r.clone()).unwrap();
    assert!(last(Phase::Held).decided.is_empty() && !last(Phase::Held).gates.is_empty());
    for phase in [Phase::Reverting, unknown(), Phase::Reverted] {
        let r = last(phase.clone());
        let [decided] = r.decided.as_slice() else { panic!("{phase:?}: {:?}", r.decided) };
        assert_eq!((decided.what, decided.version.as_str(), decided.beside.as_ref().unwrap().as_str()), (Decision::WentBack, "v2", "v1"));
        let gate = &decided.gates[0];
        assert!(matches!(gate.verdict, Verdict::Fail { .. }), "{:?}", gate.verdict);
        assert!(gate.evidence.as_ref().is_some_and(|e| !e.queries.is_empty() && e.run_candidate.samples() > 35_000));
        assert!(r.gates.is_empty() && std::ptr::eq(r.run_gates(), decided.gates.as_slice()), "nothing of now in its place");
    }
    assert!(last(Phase::Progressing).decided.is_empty(), "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn the_command_line_sees_the_same_as_the_console() {
    let store = Store::new(1.0, 1.0);
    let seen = observed(&store, Vec::new()).judge(vec![rollout(3_600, true), rollout(3_600, false)]).await;
    assert!(matches!(seen[0].gates[0].verdict, Verdict::Pass { .. }), "{:?}", seen[0].gates[0].verdict);
    assert!(seen[1].gates.is_empty() && seen[1].verdict.is_none(), "nothing is compared where nothing is rolled out");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_makes_gates_blind_and_keeps_nothing_from_being_told() {
    let store = Store { down: true, ..Store::new(1.0, 1.0) };
    let watch = observed(&store, vec![(0, apply(&rollout(60, true))), (30, apply(&rollout(60, true)))]);
    let pictures = pictures(&told(&watch, 70).await);
    let last = &pictures.last().unwrap().1;
    assert!(matches!(last.gates[0].verdict, Verdict::Blind { .. }), "{:?}", last.gates[0].verdict);
    assert!(pictures.iter().any(|(at, _)| (29.9..30.1).contains(at)));
    let asked = store.asked.load(Ordering::Relaxed);
    assert!(asked < 30, "asked {asked} times in a minute");
    let once = watch.judge(vec![rollout(60, true)]).await;
    assert!(matches!(once[0].gates[0].verdict, Verdict::Blind { .. }), "{:?}", once[0].gates[0].verdict);
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_at_no_more_is_asked_no_more() {
    let store = Store { slow: Duration::from_secs(3), ..Store::new(1.0, 1.0) };
    let key = rollout(60, true).key;
    let said = vec![(0, apply(&rollout(60, true))), (1, Delta::Delete { key })];
    told(&observed(&store, said), 120).await;
    let (asked, answered) = (store.asked.load(Ordering::Relaxed), store.answered.load(Ordering::Relaxed));
    assert!(asked > 0 && answered == 0, "{answered} of {asked} were answered to nobody");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_when_a_rollout_is_opened_and_closed() {
    let store = Store::new(1.0, 50.0);
    let began = rollout(20_000, true);
    let watch = Arc::new(observed(&store, (0..7).map(|minute| (minute * 60, apply(&began))).collect()));
    let key = began.key.clone();
    let person = {
        let (watch, key, store) = (Arc::clone(&watch), key.clone(), store.clone());
        async move {
            sleep(Duration::from_secs(95)).await;
            let before = store.asked.load(Ordering::Relaxed);
            watch.focus(Some(&key));
            sleep(Duration::from_secs(5)).await;
            let opened = store.asked.load(Ordering::Relaxed);
            sleep(Duration::from_secs(60)).await;
            watch.focus(None);
            (before, opened)
        }
    };
    let (all, (before, opened)) = tokio::join!(told(&watch, 400), person);
    assert!(opened > before && opened - before <= 10, "{before} {opened}: no history is read again");
    let pictures = pictures(&all);
    let first = pictures.iter().position(|(_, r)| !r.gates.is_empty()).unwrap();
    assert!(pictures[first].0 < 10.0, "{}", pictures[first].0);
    let mut least = 0;
    for (at, picture) in &pictures[first..] {
        let gate = picture.gates.first().unwrap_or_else(|| panic!("nothing is said at {at}"));
        let evidence = gate.evidence.as_ref().unwrap();
        assert!(gate.verdict.word() == "FAIL" && evidence.run_candidate.samples() >= least, "at {at}: {:?}", gate.verdict);
        least = evidence.run_candidate.samples();
    }
    // All that was fed is told when it is opened, and asked more often from then on.
    let opened: Vec<f64> = pictures.iter().map(|(at, _)| *at).filter(|at| (95.0..155.0).contains(at)).collect();
    assert!(opened[0] < 95.1 && opened.len() >= 5, "{opened:?}");
    assert!(least > 200_000 && pictures.last().unwrap().0 > 300.0, "{least}");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_which_the_beginning_is_not_read_says_so() {
    let store = Store::new(1.0, 1.0);
    let watch = observed(&store, Vec::new());
    let short = watch.judge(vec![rollout(3_600, true)]).await;
    let long = watch.judge(vec![rollout(30_000, true)]).await;
    assert!(short[0].findings.is_empty(), "{:?}", short[0].findings);
    let said: Vec<&str> = long[0].findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(said, ["evidence is since 2025-12-31 18:00 UTC: the run began at 2025-12-31 15:40, and no more than 6 h are read"]);
    let evidence = long[0].gates[0].evidence.as_ref().unwrap();
    let read = (start() - evidence.run_since).as_seconds_f64();
    assert!((6.0 * 3_600.0 - read).abs() < 5.0, "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_completed_rollout_is_measured_only_while_it_is_open() {
    let store = Store::new(1.0, 1.0);
    let watch = observed(&store, vec![(0, apply(&rollout(60, false)))]);
    told(&watch, 120).await;
    assert_eq!(store.asked.load(Ordering::Relaxed), 0);
    let key: Key = rollout(60, false).key;
    watch.focus(Some(&key));
    let pictures = pictures(&told(&watch, 120).await);
    let last = &pictures.last().unwrap().1;
    assert!(last.tracks[0].signals.contains_key(&SignalId::Requests) && last.gates.is_empty());
}

#[tokio::test(start_paused = true)]
async fn metrics_do_not_make_a_silent_cluster_look_alive() {
    let store = Store::new(1.0, 1.0);
    let watch = observed(&store, vec![(0, apply(&rollout(60, true)))]);
    watch.focus(Some(&rollout(60, true).key));
    let all = told(&watch, 600).await;
    let last = all.last().unwrap().0;
    assert!((100.0..=120.0).contains(&last), "{last}");
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_value_is_a_finding() {
    let store = Store::new(1.0, 1.0);
    let mut how = how();
    how.queries = Queries::of("traefik", &Default::default()).unwrap();
    let observed = Observed::new(Cluster(Vec::new()), store, how, Arc::new(PausedClock::new(start())));
    let seen = observed.judge(vec![rollout(60, true)]).await;
    let finding = seen[0].findings[0].what.to_string();
    assert!(finding.contains("not judged") && finding.contains("_service}}` has no value here"), "{finding}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_wrong_and_a_clock_that_is_apart_are_findings() {
    let judge = |store: Store| async move { observed(&store, Vec::new()).judge(vec![rollout(3_600, true)]).await.remove(0) };
    let wrong = Some(Trouble::Query { why: "1:7: parse error: unexpected <EOF>".into() });
    let seen = judge(Store { wrong, ..Store::new(1.0, 1.0) }).await;
    let said: Vec<&str> = seen.findings.iter().map(|f| f.what.as_str()).collect();
    // As it stands in the configuration, or else in the preset.
    assert!(said.contains(&"query `requests` at line 7: not a query: 1:7: parse error: unexpected <EOF>"), "{said:?}");
    assert!(said.iter().any(|what| what.starts_with("query `latency` of the preset `istio`: not a query")), "{said:?}");
    assert!(matches!(seen.gates[0].verdict, Verdict::Blind { .. }), "{:?}", seen.gates[0].verdict);
    let seen = judge(Store { ahead: 90, ..Store::new(1.0, 1.0) }).await;
    let said: Vec<&str> = seen.findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(said, ["the clock of prom is 90 s ahead of this one"]);
}

#[tokio::test(start_paused = true)]
async fn what_fires_about_it_since_its_run_began_is_found_and_can_be_a_gate() {
    let alert = |name: &str, service: &str, ago: i64| {
        let labels = [("alertname", name), ("service", service)].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Alert { labels: Labels::new(labels), annotations: Labels::default(), since: start() - chrono::Duration::seconds(ago) }
    };
    let mut how = how();
    how.gates.push(toml::from_str("name = \"pages\"\nsignal = \"alerts\"").unwrap());
    let mut store = Store::new(1.0, 1.0);
    store.fires = vec![alert("Burning", "web", 30), alert("Older", "web", 300), alert("Elsewhere", "mail", 30)];
    let judge = |store: &Store| {
        let observed = Observed::new(Cluster(Vec::new()), store.clone(), how.clone(), Arc::new(PausedClock::new(start())));
        async move { observed.judge(vec![rollout(60, true)]).await.remove(0) }
    };
    let seen = judge(&store).await;
    let found: Vec<&str> = seen.findings.iter().filter(|f| f.kind.as_str() == "alerts").map(|f| f.what.as_str()).collect();
    assert!(found.len() == 1 && found[0].contains("Burning"), "{found:?}");
    assert!(matches!(&seen.gates[1].verdict, Verdict::Fail { why, .. } if why.as_str().contains("Burning")), "{:?}", seen.gates[1].verdict);
    store.fires.clear();
    let quiet = judge(&store).await;
    assert!(quiet.gates[1].verdict.passed());
    // That no alert fires is told from that none is its own: whose were asked for stands beside it.
    for gate in [&seen.gates[1], &quiet.gates[1]] {
        let asked = &gate.evidence.as_ref().unwrap().queries;
        assert!(asked.len() == 1 && asked[0].name.as_str() == "alerts" && asked[0].at >= start(), "{asked:?}");
        let began = (start() - chrono::Duration::seconds(60)).format("%FT%TZ");
        let whose = format!(": those with service=\"web\", of namespace \"shop\" or none that began at {began} or later");
        assert!(asked[0].text.as_str().ends_with(&whose), "{}", asked[0].text);
    }
    store.down = true;
    assert!(matches!(judge(&store).await.gates[1].verdict, Verdict::Blind { .. }));
}

/// The same rollout with an analysis of its own: a share of bad requests, a quantile.
fn analysed(ago: i64) -> Rollout {
    let every = Some(Duration::from_secs(60));
    let counts = MetricCounts { failure_limit: Some(2), error_limit: Some(4), every, ..MetricCounts::default() };
    let counts = serde_json::to_value(counts).unwrap();
    let metric = |name: &str, query: &str| json!({ "name": name, "phase": "Running", "values": [], "counts": counts, "asked": { "query": query, "success": "result[0] < 0.02", "failure": "" } });
    let share = "sum(rate(req{v=\"v2\",code=~\"5..\"}[5m])) / sum(rate(req{v=\"v2\"}[5m]))";
    let metrics = [metric("errors", share), metric("p99", "histogram_quantile(0.99, sum(rate(b{v=\"v2\"}[1m])))")];
    let mut rollout = rollout(ago, true);
    rollout.analyses =
        vec![serde_json::from_value(json!({ "name": "web-2", "place": "step", "phase": "Running", "metrics": metrics })).unwrap()];
    rollout
}

fn lending() -> How {
    How { analyses: true, ..how() }
}

#[tokio::test(start_paused = true)]
async fn what_its_own_analysis_asks_is_judged_beside_it() {
    let store = Store::new(1.0, 50.0);
    let observed = |how: How| Observed::new(Cluster(Vec::new()), store.clone(), how, Arc::new(PausedClock::new(start())));
    let seen = observed(lending()).judge(vec![analysed(3_600)]).await.remove(0);
    let words: Vec<_> = seen.gates.iter().map(|g| (g.id.as_str(), g.verdict.word())).collect();
    assert_eq!(words, [("errors", "FAIL"), ("argo errors", "FAIL")]);
    let [own, lent] = [0, 1].map(|n| seen.gates[n].evidence.clone().unwrap());
    assert_eq!((own.run_candidate, own.run_stable), (lent.run_candidate, lent.run_stable), "the same requests");
    assert_eq!(lent.limit, Some(2.0));
    // Its rule would do what its settings make it; a gate held to another limit is told beside the usual ones.
    let argo = |evidence: &Evidence| evidence.peers.iter().find(|p| p.name.as_str() == "Argo Rollouts").unwrap().why.to_string();
    assert!(argo(&lent).ends_with("in 3 of 3 measurements; its analysis: one every 60 s, failureLimit 2"), "{}", argo(&lent));
    assert!(argo(&own).ends_with("; usual: one every 10 s, failureLimit 3"), "{}", argo(&own));
    let asks_the_same = How { gates: vec![GateSpec { limit: Some(2.0), ..how().gates[0].clone() }], ..lending() };
    let seen = observed(asks_the_same).judge(vec![analysed(3_600)]).await.remove(0);
    let said = argo(seen.gates[0].evidence.as_ref().unwrap());
    assert!(seen.gates[0].id.as_str() == "errors" && said.ends_with("; its analysis: one every 60 s, failureLimit 2"), "{said}");
    assert!(
        lent.queries.iter().any(|q| q.name.as_str() == "errors of stable" && q.text.as_str().starts_with("req{v=\"v1\",code=~\"5..\"}["))
    );
    let ours: Vec<&str> = seen.analyses[0].metrics.iter().map(|m| m.ours.as_ref().unwrap().as_str()).collect();
    assert_eq!(ours[0], "gate argo errors");
    assert!(ours[1].starts_with("none: a quantile is no count"), "{ours:?}");
    // Only where that was asked for.
    let seen = observed(how()).judge(vec![analysed(3_600)]).await.remove(0);
    assert!(seen.gates.len() == 1 && seen.analyses[0].metrics.iter().all(|m| m.ours.is_none()));
    // Alone, where the stack has no queries of ours.
    let alone = How { queries: Queries::none(), gates: Vec::new(), ..lending() };
    let seen = observed(alone).judge(vec![analysed(3_600)]).await.remove(0);
    assert_eq!(seen.gates.iter().map(|g| (g.id.as_str(), g.verdict.word())).collect::<Vec<_>>(), [("errors", "FAIL")]);
    assert!(seen.tracks[1].signals[&SignalId::Errors].reading.fresh().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_stays_when_its_analysis_is_gone_and_goes_with_the_run() {
    let store = Store::new(1.0, 50.0);
    let mut other = rollout(10, true);
    other.run = Some(crate::model::ident::RunId::new("3"));
    let said =
        vec![(0, apply(&rollout(3_600, true))), (20, apply(&analysed(3_600))), (40, apply(&rollout(3_600, true))), (60, apply(&other))];
    let watch = Observed::new(Cluster(said), store, lending(), Arc::new(PausedClock::new(start())));
    watch.focus(Some(&other.key));
    let pictures = pictures(&told(&watch, 100).await);
    let at = |second: f64| pictures.iter().rfind(|(at, _)| *at < second).unwrap().1.clone();
    let names = |rollout: &Rollout| rollout.gates.iter().map(|g| g.id.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&at(19.0)), ["errors"]);
    // It came late and knows the whole run.
    let later = at(39.0);
    assert_eq!(names(&later), ["errors", "argo errors"]);
    assert!(later.gates[1].evidence.as_ref().unwrap().run_candidate.samples() > 35_000);
    assert_eq!(names(&at(59.0)), ["errors", "argo errors"]);
    assert_eq!(names(&at(99.0)), ["errors"]);
}
