//! Requests that reached no instance, as whoever sent them counts them.

use super::*;

/// What a gateway counts of a version, every 15 s at other moments than pods are scraped: from `born` on so much a
/// second with this status. Its target was seen before, by what it counted of stable.
fn sent(name: &str, version: &str, code: &str, born: i64, rate: f64) -> Series {
    let labels = [("__name__", name), ("job", "mesh"), ("instance", "gateway"), ("pod", "gateway"), ("v", version), ("code", code)];
    let times = (born..=900).filter(|t| t.rem_euclid(15) == 11);
    let points = times.map(|t| Raw { at: at(t), value: Value::Number((t.max(0) as f64) * rate) }).collect();
    Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points }
}

fn queries() -> Queries {
    let written = r#"
        requests = 'req{v="{{version}}"}'
        unreached = 'lost{v="{{version}}"}'
        unserved = { stable = 'none{v="{{stable_service}}"}', canary = 'none{v="{{canary_service}}"}' }
        timeouts = 'overdue{v="{{version}}"}'
        code_label = "code"
        grpc_label = ""
        instance_label = "pod"
    "#;
    Queries::of("istio", &toml::from_str(written).unwrap()).unwrap()
}

/// With services of these names.
fn following(gates: &[GateSpec], services: Option<(&str, &str)>) -> Feed {
    let mut subject = subject();
    for values in [Some(&mut subject.stable), subject.candidate.as_mut()].into_iter().flatten() {
        let named = services.into_iter().flat_map(|(stable, canary)| [("stable_service", stable), ("canary_service", canary)]);
        values.extend(named.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
    Feed::new(queries(), gates, PACE, &subject, at(0)).unwrap()
}

/// All that is counted up to 900 s.
fn counted(feed: &mut Feed, store: &Store) -> Vec<(GateId, Interval)> {
    counted_until(feed, store, 900)
}

fn counted_until(feed: &mut Feed, store: &Store, until: i64) -> Vec<(GateId, Interval)> {
    let mut all = Vec::new();
    for now in (0..=until).step_by(15) {
        round(feed, store, now, &mut |_| None);
        all.extend(feed.intervals());
    }
    all
}

/// Both are scraped; stable has 90 requests a second, of the candidate nothing arrives.
fn refusing() -> Store {
    let mut store = Store::new(900, &|_| 0.0);
    store.series.retain(|s| s.labels.get("v") == Some("v1"));
    store.series.push(sent("lost", "v1", "503", -900, 0.1));
    store.series.push(sent("lost", "v2", "503", 60, 6.0));
    store
}

#[test]
fn a_candidate_that_nothing_reaches_fails_all_of_it() {
    let gates = [gate("errors"), gate("timeouts")];
    let mut feed = following(&gates, None).counting_requests();
    let (store, mut split) = (refusing(), Count::default());
    let all = counted(&mut feed, &store);
    let (candidate, stable) = sum(&all, "errors");
    // The first sample counts, as its target was scraped before, and so does the last one, at 896 s.
    let wanted = 896.0 * 6.0;
    assert_eq!((candidate.hits, candidate.of), (wanted, wanted));
    assert!((80.0..100.0).contains(&stable.hits) && stable.of > 70_000.0, "{stable:?}");
    assert_eq!(sum(&all, "timeouts").0, Count::new(0.0, wanted), "none of it was late");
    assert!(all.iter().all(|(_, i)| i.instances.is_empty()), "a gateway is no instance");
    feed.requests().iter().for_each(|i| split += i.candidate);
    assert_eq!(split.of, wanted, "a share of the traffic it has");
    let (sensors, asked) = feed.look(&gates[0], at(900));
    assert!(sensors.iter().all(|s| s.state == SensorState::Fresh), "{sensors:#?}");
    assert_eq!(sensors[0].name.as_str(), "requests of canary (none reached an instance)");
    assert!(asked.iter().any(|q| q.name.as_str() == "unreached of canary" && q.text.as_str().starts_with("lost{v=\"v2\"}[")), "{asked:#?}");
    let signals = feed.signals(Arm::Candidate, at(900));
    assert!(matches!(signals[&SignalId::Errors].reading.fresh(), Some(crate::model::signal::Sample::Counts { hits, of }) if hits == of));
}

#[test]
fn stable_is_not_judged_by_what_did_not_reach_it_alone() {
    let mut store = refusing();
    store.series.retain(|s| s.labels.get("__name__") == Some("lost"));
    let mut feed = following(&[gate("errors")], None);
    assert!(counted(&mut feed, &store).is_empty());
    let (sensors, _) = feed.look(&gate("errors"), at(900));
    assert_eq!(sensors.iter().map(|s| (s.arm, s.state)).collect::<Vec<_>>()[1], (Arm::Stable, SensorState::Absent), "{sensors:#?}");
}

#[test]
fn it_is_counted_beside_what_arrives_and_its_time_outs_too() {
    let mut store = Store::new(900, &|t| t as f64);
    store.series.extend([
        sent("lost", "v2", "504", -900, 2.0),
        sent("none", "web-canary", "503", -900, 1.0),
        sent("none", "web", "503", -900, 4.0),
    ]);
    let gates = [gate("errors"), gate("timeouts")];
    let ratios = |services| {
        let all = counted(&mut following(&gates, services), &store);
        ["errors", "timeouts"].map(|gate| {
            let (candidate, stable) = sum(&all, gate);
            [candidate, stable].map(|count| (count.ratio().unwrap() * 100.0).round())
        })
    };
    // Ten a second arrive and one of them fails, two are not answered in time, one finds nobody; of 90 four.
    assert_eq!(ratios(Some(("web", "web-canary"))), [[31.0, 4.0], [16.0, 0.0]]);
    // Of one service it is not known which version was meant.
    assert_eq!(ratios(Some(("web", "web"))), [[25.0, 0.0], [17.0, 0.0]]);
    assert_eq!(ratios(None), ratios(Some(("web", "web"))));
}

#[test]
fn what_is_counted_beside_hides_no_sample_that_is_missing() {
    // The candidate's pods are scraped every 15 s and stop at 300 s; the gateway goes on.
    let mut store = Store::new(900, &|_| 0.0);
    store.series.push(sent("lost", "v2", "503", -900, 0.2));
    for series in store.series.iter_mut().filter(|s| s.labels.get("pod") == Some("v2")) {
        series.points.retain(|p| p.at <= at(300));
    }
    let mut feed = following(&[gate("errors")], None);
    let all = counted_until(&mut feed, &store, 840);
    assert!(all.iter().all(|(_, i)| i.end <= at(300)), "what it lacks is waited for: {:?}", all.last());
    assert_eq!(feed.look(&gate("errors"), at(840)).0[0].state, SensorState::Stale);
}

#[test]
fn one_that_is_not_answered_is_said() {
    let store = refusing();
    let mut feed = following(&[gate("errors")], None);
    for now in (0..=90).step_by(15) {
        for question in feed.due(at(now)) {
            let answer = if question.name() == "unreached" { Err(trouble()) } else { Ok(store.answer(&question)) };
            feed.take(&question, answer);
        }
    }
    assert!(feed.intervals().is_empty(), "half of it would look healthy");
    let (sensors, _) = feed.look(&gate("errors"), at(90));
    let said = |name: &str| sensors.iter().any(|s| s.name.as_str().starts_with(name) && s.state == SensorState::Absent && s.required);
    assert!(said("unreached of canary (") && said("unreached of stable ("), "{sensors:#?}");
}

#[test]
fn whoever_counts_other_requests_says_what_is_beside_them() {
    let of = |written: &str| Queries::of("istio", &toml::from_str(written).unwrap()).unwrap();
    let has = |queries: &Queries| What::BESIDE.map(|beside| queries.get(beside).is_some());
    assert_eq!(has(&of("")), [true; 2]);
    assert_eq!(has(&of("latency = 'lat{v=\"{{version}}\"}'")), [true; 2]);
    assert_eq!(has(&of("requests = 'req{v=\"{{version}}\"}'")), [false; 2]);
    assert_eq!(has(&queries()), [true; 2]);
}
