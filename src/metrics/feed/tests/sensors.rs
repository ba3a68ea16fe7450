//! How far each series can be trusted, and what says nothing though it answers.

use super::*;
use crate::metrics::TOGETHER;

/// A backend with so many series that it adds up; where it `fails` it cannot, though the samples are there.
fn adding_up(feed: &mut Feed, now: i64, fails: bool, age_last: bool) {
    for _ in 0..3 {
        let mut questions = feed.due(at(now));
        questions.sort_by_key(|q| (q.kind == source::Kind::Newest) == age_last);
        for question in questions {
            let answer = match question.kind {
                source::Kind::Size => Ok(vector(&[], question.at, 9_000.0)),
                source::Kind::Common => Ok(vector(&[], question.at, 0.0)),
                source::Kind::Newest => Ok(vector(&[], question.at, question.at.timestamp() as f64 - 3.0)),
                _ if fails => Err(Trouble::Failed { why: "many-to-many matching".into() }),
                _ => Ok(vector(&[("code", "200")], question.at, 90.0)),
            };
            feed.take(&question, answer.map(|one| Answer { series: vec![one], ..Answer::default() }));
        }
    }
}

#[test]
fn sensors_say_what_is_wrong() {
    let store = Store::new(300, &|_| 0.0);
    let errors = gate("errors");
    let mut one = feed(std::slice::from_ref(&errors), 300);
    let states = |feed: &Feed, now: i64| feed.look(&errors, at(now)).0.iter().map(|s| s.state).collect::<Vec<_>>();
    assert_eq!(states(&one, 300), [SensorState::Absent; 2]);
    round(&mut one, &store, 300, &mut |_| None);
    assert_eq!(states(&one, 300), [SensorState::Fresh; 2]);
    assert!(matches!(one.signals(Arm::Candidate, at(300))[&SignalId::Errors].reading, Reading::Fresh(_)));
    let (_, asked) = one.look(&errors, at(300));
    assert!(asked[0].text.as_str().starts_with("req{v=\"v2\"}[") && asked[0].name.as_str() == "requests of canary");
    // It keeps answering the same old samples.
    round(&mut one, &store, 340, &mut |_| None);
    round(&mut one, &store, 360, &mut |_| None);
    assert_eq!(states(&one, 360), [SensorState::Stale; 2]);
    assert!(matches!(one.signals(Arm::Stable, at(360))[&SignalId::Requests].reading, Reading::Stale { .. }));
    // It does not answer at all: what it said last is shown, and not as new.
    let mut other = feed(std::slice::from_ref(&errors), 300);
    round(&mut other, &store, 300, &mut |_| None);
    for question in other.due(at(315)) {
        other.take(&question, Err(trouble()));
    }
    assert_eq!(states(&other, 315), [SensorState::Fresh; 2]);
    assert!(other.look(&errors, at(315)).0[0].name.as_str().contains("refused"));
    assert!(matches!(other.signals(Arm::Stable, at(315))[&SignalId::Errors].reading, Reading::Stale { .. }));
    assert_eq!(states(&other, 350), [SensorState::Stale; 2]);
}

#[test]
fn a_candidate_without_traffic_is_said() {
    let mut store = Store::new(300, &|_| 0.0);
    for series in store.series.iter_mut().filter(|s| s.labels.get("v") == Some("v2")) {
        series.points.iter_mut().for_each(|p| p.value = Value::Number(0.0));
    }
    let errors = gate("errors");
    let mut one = feed(std::slice::from_ref(&errors), 300);
    round(&mut one, &store, 300, &mut |_| None);
    assert_eq!(one.look(&errors, at(300)).0[0].state, SensorState::ZeroTraffic);
    assert_eq!(one.signals(Arm::Candidate, at(300))[&SignalId::Errors].reading, Reading::ZeroTraffic);
}

#[test]
fn requests_that_do_not_say_what_became_of_them_blind_the_gate() {
    let mut store = Store::new(300, &|_| 0.0);
    store.series.iter_mut().for_each(|s| s.labels = s.labels.without(&["code"]));
    store.series.dedup_by(|a, b| a.labels == b.labels);
    let errors = gate("errors");
    let mut one = feed(std::slice::from_ref(&errors), 300);
    round(&mut one, &store, 300, &mut |_| None);
    let (sensors, _) = one.look(&errors, at(300));
    let absent: Vec<_> = sensors.iter().filter(|s| s.state == SensorState::Absent).collect();
    assert_eq!(absent.len(), 2, "{sensors:?}");
    assert!(absent[0].name.as_str().contains("no readable label code"));
}

#[test]
fn what_cannot_be_added_up_is_not_fresh_because_its_samples_are() {
    let errors = gate("errors");
    for age_last in [false, true] {
        let mut one = feed(std::slice::from_ref(&errors), 0);
        for now in (0..=600).step_by(15) {
            adding_up(&mut one, now, false, age_last);
            let all = one.look(&errors, at(now + 14)).0;
            assert!(now < 60 || all.iter().all(|s| s.state == SensorState::Fresh), "at {now}, between two windows: {all:?}");
        }
        for now in (615..=900).step_by(15) {
            adding_up(&mut one, now, true, age_last);
        }
        let (sensors, _) = one.look(&errors, at(900));
        assert!(sensors.iter().all(|s| s.state == SensorState::Stale && s.age > Some(Duration::from_secs(180))), "{sensors:?}");
        assert!(sensors[0].name.as_str().contains("many-to-many matching"), "{sensors:?}");
        // What came meanwhile is not lost.
        for now in (915..=990).step_by(15) {
            adding_up(&mut one, now, false, age_last);
        }
        assert!(one.look(&errors, at(990)).0.iter().all(|s| s.state == SensorState::Fresh));
    }
}

#[test]
fn a_query_that_was_never_answered_is_absent_however_old_its_samples_are() {
    let errors = gate("errors");
    let mut one = feed(std::slice::from_ref(&errors), 0);
    for now in (0..=600).step_by(15) {
        adding_up(&mut one, now, true, true);
        let (sensors, _) = one.look(&errors, at(now));
        let absent = |s: &Sensor| (s.state, s.age) == (SensorState::Absent, None) && s.name.as_str().contains("many-to-many matching");
        assert!(now < 60 || sensors.iter().all(absent), "at {now}: {sensors:?}");
        assert_eq!(one.unfound(std::slice::from_ref(&errors), at(now)), None, "it is not known what it finds");
    }
    assert!(one.signals(Arm::Stable, at(600)).values().all(|signal| signal.reading == Reading::Absent));
}

#[test]
fn a_query_that_finds_nothing_says_so_and_what_to_do() {
    let (mut store, errors) = (Store::new(300, &|_| 0.0), gate("errors"));
    let gates = std::slice::from_ref(&errors);
    store.series.retain(|s| s.labels.get("v") == Some("v1"));
    let names = |feed: &Feed, now| feed.look(&errors, at(now)).0.iter().map(|s| s.name.to_string()).collect::<Vec<_>>();
    let mut one = feed(gates, 0);
    for now in (0..=45).step_by(15) {
        round(&mut one, &store, now, &mut |_| None);
    }
    // Its first series come with a scrape, and grow with the next one.
    assert_eq!((names(&one, 29)[0].as_str(), one.unfound(gates, at(29))), ("requests of canary", None));
    let why = "no series, cutover doctor says why";
    assert_eq!(names(&one, 45), [format!("requests of canary (query `requests`: {why})"), "requests of stable".into()]);
    assert_eq!(one.unfound(gates, at(45)).unwrap().as_str(), format!("query `requests` of canary: {why}"));
    // While it has no traffic it needs none.
    one.follow(vec![(at(0), Some(0.0))]);
    assert_eq!((names(&one, 45)[0].as_str(), one.unfound(gates, at(45))), ("requests of canary", None));
    one.follow(vec![(at(0), Some(0.1))]);
    let mut whole = feed(gates, 300);
    round(&mut whole, &Store::new(300, &|_| 0.0), 300, &mut |_| None);
    assert_eq!(whole.unfound(gates, at(300)), None);
}

#[test]
fn a_value_of_now_is_as_old_as_its_samples() {
    let queries = Queries::of("kube-state-metrics", &BTreeMap::new()).unwrap();
    let mut values = values("v1");
    values.insert("pod_hash".into(), "5f7c".into());
    let subject = Subject { stable: values, candidate: None, ..subject() };
    let mut one = Feed::new(queries, &[], PACE, &subject, at(0)).unwrap();
    let mut asked = Vec::new();
    for now in [300, 360] {
        for question in one.due(at(now)) {
            // The same old sample for both.
            let value = if question.kind == source::Kind::Newest { at(297).timestamp() as f64 } else { 512.0 };
            asked.push(question.text.clone());
            one.take(&question, Ok(Answer { series: vec![vector(&[], question.at, value)], ..Answer::default() }));
        }
        let memory = one.signals(Arm::Stable, at(now)).remove(&SignalId::Memory).unwrap().reading;
        let last = crate::model::signal::Sample::Gauge { value: 512.0, n: 1 };
        let old = Reading::Stale { last, age: Duration::from_secs(63) };
        assert_eq!(memory, if now == 300 { Reading::Fresh(last) } else { old });
    }
    let of = "container_memory_working_set_bytes{namespace=\"shop\",pod=~\".+-5f7c-.+\",container!=\"\"}";
    assert!(asked.contains(&format!("max(timestamp({of}))")) && asked.contains(&format!("sum({of})")), "{asked:?}");
}

#[test]
fn a_second_source_that_is_silent_contradicts_nothing_and_is_not_fresh() {
    let store = Store::new(300, &|t| t as f64);
    let queries = queries_and("service_errors = 'own{v=\"{{version}}\"}'");
    let errors = gate("errors");
    let mut one = Feed::new(queries, std::slice::from_ref(&errors), PACE, &subject(), at(300)).unwrap();
    let mut own = |question: &Question| {
        (question.what == What::ServiceErrors && question.kind != source::Kind::Size).then(|| {
            let labels = Labels::new([("__name__".to_owned(), "own".to_owned()), ("instance".to_owned(), "a".to_owned())]);
            let points = [(200, 0.0), (290, 0.0)].map(|(second, n)| Raw { at: at(second), value: Value::Number(n) }).to_vec();
            Answer { series: vec![Series { labels, points }], ..Answer::default() }
        })
    };
    round(&mut one, &store, 300, &mut own);
    let state = |feed: &Feed, now: i64| {
        let (sensors, _) = feed.look(&errors, at(now));
        let second = sensors.into_iter().find(|s| s.name.as_str().starts_with("errors of canary")).unwrap();
        (second.state, second.required)
    };
    assert_eq!(state(&one, 300), (SensorState::Contradictory, true), "the proxy saw hundreds of errors, the service none");
    assert_eq!(state(&one, 340), (SensorState::Stale, false));
}

#[test]
fn a_candidate_with_other_buckets_is_not_slow() {
    let mut store = Store::new(600, &|_| 0.0);
    // Its histogram was given another bucket in place of 0.5 s.
    for series in store.series.iter_mut().filter(|s| s.labels.get("v") == Some("v2") && s.labels.get("le") == Some("0.5")) {
        let rest = series.labels.without(&["le"]);
        let all = rest.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        series.labels = Labels::new(all.chain([("le".to_owned(), "0.6".to_owned())]));
    }
    let slow = gate("slow");
    let mut one = feed(std::slice::from_ref(&slow), 600);
    round(&mut one, &store, 600, &mut |_| None);
    assert_eq!(one.slow_from(), Some(Duration::from_millis(500)));
    let judged: Vec<_> = one.intervals().into_iter().filter(|(_, i)| i.candidate.of > 0.0).collect();
    assert_eq!(judged, [], "all of its requests would be slower");
    let (sensors, _) = one.look(&slow, at(600));
    let absent: Vec<_> = sensors.iter().filter(|s| s.state == SensorState::Absent).map(|s| s.name.as_str()).collect();
    assert_eq!(absent, ["buckets of canary (none of its buckets ends at 500 ms, stable's p99: how many are slower is not known)"]);
    assert_eq!(one.signals(Arm::Candidate, at(600))[&SignalId::Slow].reading, Reading::Absent);
}

#[test]
fn what_measures_both_versions_together_says_nothing_of_either() {
    let hashed = |values: Variables, hash: &str| values.into_iter().chain([("pod_hash".to_owned(), hash.to_owned())]).collect();
    let versions = |new: &str| Subject { stable: hashed(values("v1"), "aaa"), candidate: Some(hashed(values(new), "bbb")), ..subject() };
    let with_restarts = "restarts = 'restarts{pod=\"{{pod_hash}}\"}'\nready = 'ready{pod=\"{{pod_hash}}\"}'";
    // The same query; and others that find the same series all the same.
    let other = "{ stable = 'req{v=\"v1\"}', canary = 'req{v=\"v1\",x!=\"{{pod_hash}}\"}' }";
    let changing = format!("{other}\nchanging_label = \"job\"");
    for (queries, subject, most) in [
        (queries_and(with_restarts), versions("v1"), 0),
        (queries_with_requests(other), versions("v2"), 2),
        (queries_with_requests(&changing), versions("v2"), 2),
    ] {
        let mut feed = Feed::new(queries, &[gate("errors")], PACE, &subject, at(600)).unwrap();
        let store = Store::new(900, &|_| 0.0);
        let mut asked = 0;
        for now in (600..900).step_by(15) {
            for question in feed.due(at(now)) {
                asked += usize::from(question.name() == "requests" && !question.text.starts_with("count("));
                if !matches!(question.name(), "restarts" | "ready") {
                    feed.take(&question, Ok(store.answer(&question)));
                }
            }
        }
        assert_eq!(asked, most);
        assert!(feed.intervals().is_empty());
        let (sensors, _) = feed.look(&gate("errors"), at(900));
        assert!(sensors.iter().all(|s| s.state == SensorState::Absent && s.required), "{sensors:?}");
        assert_eq!(sensors[0].name.as_str(), format!("requests of canary ({TOGETHER})"));
        assert_eq!(feed.signals(Arm::Stable, at(900))[&SignalId::Requests].reading, Reading::Absent);
    }
    // What tells them apart is asked still.
    let mut feed = Feed::new(queries_and(with_restarts), &[gate("errors")], PACE, &versions("v1"), at(600)).unwrap();
    assert!(feed.due(at(600)).iter().all(|q| matches!(q.name(), "restarts" | "ready")));
    // Nor is what came before waited for, since nothing more is asked of it.
    let back = Subject { look_back: Duration::from_secs(3_600), ..versions("v1") };
    let mut feed = Feed::new(queries(), &[gate("errors")], PACE, &back, at(600)).unwrap();
    assert!(feed.due(at(600)).is_empty() && feed.next() == Some(at(615)), "{:?}", feed.next());
    // Alone there is nobody to be taken for.
    let alone = Subject { candidate: None, ..subject() };
    assert!(!Feed::new(queries(), &[gate("errors")], PACE, &alone, at(600)).unwrap().due(at(600)).is_empty());
}

#[test]
fn sums_of_both_versions_are_seen_by_the_series_that_both_have() {
    let errors = gate("errors");
    let queries = queries_with_requests("'sum by (code) (increase(req{v=~\"{{version}}|.+\"}[{{window}}]))'");
    for common in [0.0, 3.0] {
        let mut one = Feed::new(queries.clone(), std::slice::from_ref(&errors), PACE, &subject(), at(0)).unwrap();
        let mut asked = BTreeSet::new();
        for now in (0..=180).step_by(15) {
            for question in one.due(at(now)) {
                let answer = match question.kind {
                    source::Kind::Common => {
                        asked.insert(question.text.clone());
                        vector(&[], question.at, common)
                    }
                    source::Kind::Newest => vector(&[], question.at, question.at.timestamp() as f64),
                    _ => vector(&[("code", "200")], question.at, 90.0),
                };
                one.take(&question, Ok(Answer { series: vec![answer], ..Answer::default() }));
            }
        }
        assert_eq!(asked.into_iter().collect::<Vec<_>>(), ["count(req{v=~\"v2|.+\",v=~\"v1|.+\"})"]);
        let (sensors, _) = one.look(&errors, at(180));
        let blind = sensors.iter().all(|s| s.state == SensorState::Absent && s.name.as_str().contains(TOGETHER));
        assert_eq!((blind, one.intervals().is_empty()), (common > 0.0, common > 0.0), "{sensors:?}");
    }
}

/// What the candidate's errors are when a second source counts `own` of them: the signal, what points sum up
/// to, and whether both sources agree.
fn errors_of(store: &Store, gates: &[GateSpec], own: f64) -> (Reading, u64, SensorState) {
    let queries = queries_and("grpc_label = \"grpc\"\nservice_errors = 'own{v=\"{{version}}\"}'");
    let mut one = Feed::new(queries, gates, PACE, &subject(), at(300)).unwrap();
    let mut second = |question: &Question| {
        (question.what == What::ServiceErrors && question.kind != source::Kind::Size).then(|| {
            let version = if question.arm == CANDIDATE { "v2" } else { "v1" };
            let labels = [("__name__", "own"), ("instance", "a"), ("v", version)].map(|(k, v)| (k.to_owned(), v.to_owned()));
            let labels = Labels::new(labels);
            let points = [(200, 0.0), (290, own)].map(|(second, n)| Raw { at: at(second), value: Value::Number(n) }).to_vec();
            Answer { series: vec![Series { labels, points }], ..Answer::default() }
        })
    };
    round(&mut one, store, 300, &mut second);
    let (sensors, _) = one.look(&gates[0], at(300));
    let sensor = sensors.iter().find(|s| s.name.as_str().starts_with("errors of canary")).unwrap();
    let reading = one.signals(Arm::Candidate, at(300)).remove(&SignalId::Errors).unwrap().reading;
    (reading, one.points(Arm::Candidate).iter().map(|p| p.errors).sum(), sensor.state)
}

#[test]
fn signals_points_and_both_sources_count_what_the_first_gate_over_errors_counts() {
    let mut store = Store::new(300, &|t| t as f64);
    // Calls that fail over gRPC are answered with 200.
    for series in store.series.iter_mut().filter(|s| s.labels.get("code") == Some("503")) {
        let labels = series.labels.without(&["code"]);
        let coded = labels.iter().chain([("code", "200"), ("grpc", "14")]).map(|(k, v)| (k.to_owned(), v.to_owned()));
        series.labels = Labels::new(coded);
    }
    let counting = |name: &str, codes: &str| -> GateSpec {
        toml::from_str(&format!("name = \"{name}\"\nsignal = \"errors\"\nerrors = [{codes}]\ninterval = \"30s\"")).unwrap()
    };
    let (grpc, statuses) = (counting("calls", "\"grpc:14\""), counting("answers", "\"5xx\""));
    let hits = |reading: &Reading| match reading {
        Reading::Fresh(crate::model::signal::Sample::Counts { hits, .. }) => Some(*hits),
        _ => None,
    };
    let (reading, points, state) = errors_of(&store, &[grpc.clone(), statuses.clone()], 60.0);
    assert!(hits(&reading).is_some_and(|n| n > 10.0) && points > 100 && state == SensorState::Fresh, "{reading:?} {points} {state:?}");
    // The service itself saw none of them.
    let (reading, points, state) = errors_of(&store, &[grpc.clone(), statuses.clone()], 0.0);
    assert!(matches!(reading, Reading::Contradictory(..)) && points > 100 && state == SensorState::Contradictory, "{reading:?} {state:?}");
    // Where statuses count no request failed, so a service without errors says the same.
    for gates in [[statuses, grpc], [gate("errors"), gate("slow")]] {
        let (reading, points, state) = errors_of(&store, &gates, 0.0);
        assert_eq!((hits(&reading), points, state), (Some(0.0), 0, SensorState::Fresh));
    }
}

#[test]
fn errors_with_series_of_their_own_are_counted_once() {
    let store = Store::new(300, &|t| t as f64);
    let queries = queries_and("errors = 'req{v=\"{{version}}\",code=\"503\"}'");
    let mut one = Feed::new(queries, &[gate("errors")], PACE, &subject(), at(300)).unwrap();
    let mut failed = |question: &Question| {
        (question.what == What::Errors && question.kind != source::Kind::Size).then(|| {
            let all = store.answer(question);
            Answer { series: all.series.into_iter().filter(|s| s.labels.get("code") == Some("503")).collect(), ..Answer::default() }
        })
    };
    round(&mut one, &store, 300, &mut failed);
    let points: u64 = one.points(Arm::Candidate).iter().map(|p| p.errors).sum();
    assert!((200..=300).contains(&points), "{points}");
}

#[test]
fn a_version_most_of_whose_targets_are_gone_does_not_look_fresh() {
    let errors = gate("errors");
    // Of ten instances of v1 so many are scraped after second 200.
    let look = |stay: usize, now: i64| {
        let mut store = Store::new(1_500, &|_| 0.0);
        let one = store.series.iter().find(|s| s.labels.get("__name__") == Some("req") && s.labels.get("v") == Some("v1")).unwrap().clone();
        store.series.retain(|s| s.labels.get("v") != Some("v1"));
        for n in 0..10 {
            let labels = one.labels.without(&["instance", "pod"]);
            let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            let labels = Labels::new(labels.chain([("instance".to_owned(), format!("10.0.0.{n}")), ("pod".to_owned(), format!("v1-{n}"))]));
            let points = one.points.iter().filter(|p| n < stay || p.at <= at(200)).cloned().collect();
            store.series.push(Series { labels, points });
        }
        let mut feed = feed(std::slice::from_ref(&errors), now);
        round(&mut feed, &store, now, &mut |_| None);
        let sensor = feed.look(&errors, at(now)).0.into_iter().find(|s| s.arm == Arm::Stable).unwrap();
        let is_fresh = feed.signals(Arm::Stable, at(now))[&SignalId::Requests].reading.fresh().is_some();
        assert_eq!(is_fresh, sensor.state == SensorState::Fresh);
        (sensor.name.to_string(), sensor.state)
    };
    let name = "requests of stable";
    assert_eq!(look(10, 300), (name.into(), SensorState::Fresh));
    assert_eq!(look(7, 300), (format!("{name} (7 of 10 targets)"), SensorState::Fresh));
    assert_eq!(look(1, 300), (format!("{name} (1 of 10 targets)"), SensorState::Stale));
    assert_eq!(look(1, 900), (name.into(), SensorState::Fresh), "nine were scaled away");
}
