use super::*;
use crate::{
    clock::ManualClock,
    metrics::alerts::Rule,
    metrics::prometheus::{Servers, Settings, Tls, access::Auth},
};

fn at(second: i64) -> Time {
    Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
}

fn gates() -> Vec<GateSpec> {
    ["errors", "alerts"].map(|signal| toml::from_str(&format!("name = \"{signal}\"\nsignal = \"{signal}\"")).unwrap()).to_vec()
}

/// Nobody listens there.
fn away() -> Arc<Backend> {
    crate::tls::ready();
    let settings = Settings {
        url: "http://127.0.0.1:1".parse().unwrap(),
        timeout: Duration::from_secs(1),
        concurrency: 4,
        body_limit: 1 << 20,
        proxy: None,
        auth: Auth::None,
        headers: BTreeMap::new(),
        tls: Tls::default(),
        parameters: BTreeMap::new(),
        launcher: Vec::new(),
        lookup: |_| None,
    };
    Arc::new(Backend {
        client: Prometheus::new(settings, &Servers::new(Arc::new(ManualClock::new(at(0))))),
        queries: Queries::of("host", &BTreeMap::new()).unwrap(),
        origin: Origin { preset: "host".into(), lines: BTreeMap::new() },
        pace: Pace { every: Duration::from_secs(1), delay: Duration::ZERO },
        variables: Variables::from([("ingress".to_owned(), "front".to_owned())]),
        board: Board::new(Rule { labels: vec!["service".into()], ..Rule::default() }),
    })
}

fn key(run: &str, stable: Option<&str>) -> Key {
    let named = |id: &str| (id.to_owned(), Text::from(id));
    Key { run: Some(run.into()), candidate: Some(named("v2")), stable: stable.map(named), gates: gates() }
}

fn begin(judged: &[(&str, i64)]) -> Begin {
    let judged = judged.iter().map(|(gate, second)| (GateId::new(*gate), at(*second))).collect();
    Begin { since: at(0), judged, slow_from: None, run_since: Some(at(0)) }
}

fn measured() -> Measured {
    Measured::start(away(), "web", Arc::new(ManualClock::new(at(0))))
}

fn put(measured: &Measured, number: u64, mail: Mail) {
    *lock(&measured.mail) = Mail { number, ..mail };
}

fn interval(start: i64, end: i64) -> Interval {
    use crate::model::interval::Count;
    Interval::new(at(start), at(end), Count::new(1.0, 10.0), Count::new(2.0, 90.0))
}

#[tokio::test]
async fn a_backend_that_is_away_blinds_and_says_why() {
    let mut measured = measured();
    measured.follow(key("1", Some("v1")), || begin(&[]));
    while measured.trouble().is_none() {
        tokio::task::yield_now().await;
    }
    let trouble = measured.trouble().unwrap();
    assert!(trouble.as_str().contains("cannot reach http://127.0.0.1:1"), "{trouble}");
    let met = measured.backend.told().backend.unwrap();
    assert!(met.answers.is_none() && met.trouble.is_some_and(|silent| silent.why == trouble));
    for gate in gates() {
        let look = measured.look(&gate, at(1));
        assert!(!look.sensors.is_empty() && look.sensors.iter().all(|s| s.required && s.state == SensorState::Absent), "{look:?}");
    }
}

#[tokio::test]
async fn what_was_fresh_grows_old_when_nothing_more_comes() {
    let mut measured = measured();
    measured.follow(key("1", Some("v1")), || begin(&[]));
    let sensor = Sensor {
        name: "requests of canary".into(),
        arm: Arm::Candidate,
        state: SensorState::Fresh,
        age: Some(Duration::from_secs(1)),
        required: true,
    };
    let query = measured.backend.board.query(crate::metrics::alerts::Whom { service: "web", namespace: None }, at(0), at(10));
    let alerts = Some(Alerts { at: at(10), query: query.clone(), firing: vec!["alert A fires".into()] });
    let looks = BTreeMap::from([(GateId::new("errors"), (vec![sensor], Vec::new()))]);
    put(&measured, 1, Mail { at: Some(at(10)), looks, alerts, ..Mail::default() });
    let [errors, alerts] = gates().try_into().unwrap();
    let state = |gate: &GateSpec, second| measured.look(gate, at(second)).sensors[0].state;
    assert_eq!([14, 15].map(|s| state(&errors, s)), [SensorState::Fresh, SensorState::Stale]);
    assert_eq!([15, 16].map(|s| state(&alerts, s)), [SensorState::Fresh, SensorState::Stale]);
    assert_eq!(measured.look(&alerts, at(11)).alerts.len(), 1);
    assert_eq!(measured.look(&alerts, at(11)).queries, [query]);
    // Another run: what was said of the one before says nothing.
    measured.follow(key("2", Some("v1")), || begin(&[]));
    assert_eq!(measured.look(&errors, at(11)).sensors[0].state, SensorState::Absent);
    assert!(measured.firing().is_empty());
}

#[tokio::test]
async fn an_interval_is_taken_once_and_the_next_subject_goes_on_after_it() {
    let mut measured = measured();
    measured.follow(key("1", Some("v1")), || begin(&[("errors", 20)]));
    assert_eq!(measured.following.borrow().subject.judged, BTreeMap::from([(GateId::new("errors"), at(20))]));
    put(&measured, 1, Mail { intervals: VecDeque::from([(GateId::new("errors"), interval(20, 30))]), ..Mail::default() });
    assert_eq!(measured.intervals(), [(GateId::new("errors"), interval(20, 30))]);
    assert_eq!(measured.intervals(), []);
    // Alone: measured as stable is, judged as a candidate is.
    measured.follow(key("1", None), || begin(&[("errors", 20)]));
    let following = measured.following.borrow().clone();
    assert_eq!(following.subject.judged, BTreeMap::from([(GateId::new("errors"), at(30))]));
    assert_eq!((following.subject.stable["version"].as_str(), following.subject.candidate), ("v2", None));
    assert_eq!((following.subject.stable["ingress"].as_str(), following.subject.stable["service"].as_str()), ("front", "web"));
    assert_eq!(following.gates.len(), 1, "alerts are not counted");
    put(&measured, 1, Mail { intervals: VecDeque::from([(GateId::new("errors"), interval(20, 30))]), ..Mail::default() });
    assert_eq!(measured.intervals(), [], "of another subject");
    put(&measured, 2, Mail { intervals: VecDeque::from([(GateId::new("errors"), interval(30, 40))]), ..Mail::default() });
    let (_, turned) = measured.intervals().remove(0);
    assert_eq!((turned.candidate.of, turned.stable.of), (90.0, 10.0));
}

#[tokio::test]
async fn what_got_ready_is_known_until_another_subject_is_followed() {
    let mut measured = measured();
    measured.follow(key("1", Some("v1")), || begin(&[]));
    // As often as one likes; one that is gone had to warm up all the same.
    for ready in [&[10, 20][..], &[10, 20], &[20], &[25]] {
        measured.got_ready(ready.iter().map(|second| at(*second)));
    }
    assert_eq!(measured.following.borrow().ready_at, BTreeSet::from([at(10), at(20), at(25)]));
    measured.got_ready((0..5_000).map(at));
    assert_eq!(measured.following.borrow().ready_at, (4_000..5_000).map(at).collect::<BTreeSet<_>>());
    measured.follow(key("2", Some("v1")), || begin(&[]));
    assert_eq!(measured.following.borrow().ready_at, BTreeSet::new());
}

#[tokio::test]
async fn intervals_end_where_a_weight_converged() {
    let mut measured = measured();
    measured.follow(key("1", Some("v1")), || begin(&[]));
    measured.moved(Some(0.05), None, at(10));
    measured.moved(Some(0.05), Some(at(11)), at(12));
    measured.moved(Some(0.05), Some(at(11)), at(13));
    measured.moved(Some(0.5), None, at(20));
    measured.moved(Some(0.5), Some(at(20)), at(21));
    let course = measured.following.borrow().course.clone();
    assert_eq!(course, [(at(10), Some(0.05)), (at(11), Some(0.05)), (at(20), Some(0.5))]);
}
