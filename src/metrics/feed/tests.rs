//! What is counted of two versions, and when; a small store of samples that answers.

mod beside;
mod sensors;
mod warming;

use super::*;
use crate::metrics::preset::Written;
use crate::metrics::{Labels, Point as Raw, Series, Value};
use crate::model::interval::{Count, SensorState};
use crate::model::signal::Reading;
use proptest::prelude::*;

fn at(second: i64) -> Time {
    Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
}

fn gate(signal: &str) -> GateSpec {
    toml::from_str(&format!("name = \"{signal}\"\nsignal = \"{signal}\"\ninterval = \"30s\"\nwarmup = \"60s\"")).unwrap()
}

/// A backend that keeps what a stack of two versions would have been scraped, every 15 s from -900 s on.
struct Store {
    series: Vec<Series>,
}

impl Store {
    fn new(until: i64, errors: &dyn Fn(i64) -> f64) -> Self {
        let mut series = Vec::new();
        for (version, rate, born, bad) in [("v1", 90.0, -900, false), ("v2", 10.0, 0, true)] {
            let times: Vec<i64> = (born..=until).filter(|t| t.rem_euclid(15) == if bad { 7 } else { 3 }).collect();
            let mut add = |name: &str, label: (&str, &str), value: &dyn Fn(i64) -> f64| {
                let labels = [("__name__", name), ("job", "mesh"), ("instance", version), ("pod", version), ("v", version), label];
                let points = times.iter().map(|t| Raw { at: at(*t), value: Value::Number(value(*t)) }).collect();
                series.push(Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points });
            };
            let since = move |t: i64| (t - born) as f64;
            add("req", ("code", "200"), &|t| since(t) * rate - if bad { errors(t) } else { 0.0 });
            add("req", ("code", "503"), &|t| if bad { errors(t) } else { 0.0 });
            for (le, share) in [("0.1", 0.5), ("0.5", 0.985), ("1", 1.0), ("+Inf", 1.0)] {
                add("lat", ("le", le), &|t| since(t) * rate * share);
            }
        }
        Self { series }
    }

    fn answer(&self, question: &Question) -> Answer {
        let text = &question.text;
        if text.starts_with("count(") {
            let point = Raw { at: question.at, value: Value::Number(6.0) };
            return Answer { series: vec![Series { labels: Labels::default(), points: vec![point] }], ..Answer::default() };
        }
        let window: i64 = text.rsplit_once('[').unwrap().1.trim_end_matches("s]").parse().unwrap();
        let from = question.at - chrono::Duration::seconds(window);
        let series = self.series.iter().filter(|s| {
            let of = |name| s.labels.get(name).unwrap();
            text.starts_with(of("__name__")) && text.contains(&format!("\"{}\"", of("v")))
        });
        let inside = |s: &Series| s.points.iter().filter(|p| p.at >= from && p.at <= question.at).cloned().collect::<Vec<_>>();
        let some = series.map(|s| Series { labels: s.labels.clone(), points: inside(s) }).filter(|s| !s.points.is_empty());
        Answer { series: some.collect(), ..Answer::default() }
    }
}

fn queries() -> Queries {
    queries_and("")
}

/// With this label for the name of an instance.
fn queries_by(label: Option<&str>) -> Queries {
    let mut queries = queries();
    queries.instance_label = label.map(str::to_owned);
    queries
}

/// With `more` of what is written.
fn queries_and(more: &str) -> Queries {
    queries_with_requests(&format!("'req{{v=\"{{{{version}}}}\"}}'\n{more}"))
}

/// With requests written so.
fn queries_with_requests(requests: &str) -> Queries {
    let written = r#"
        latency = 'lat{v="{{version}}"}'
        code_label = "code"
        grpc_label = ""
        instance_label = "pod"
        latency_unit = "s"
    "#;
    let mut queries: BTreeMap<String, Written> = toml::from_str(written).unwrap();
    queries.extend(toml::from_str::<BTreeMap<String, Written>>(&format!("requests = {requests}")).unwrap());
    Queries::of("istio", &queries).unwrap()
}

fn values(version: &str) -> Variables {
    ["service", "namespace"]
        .into_iter()
        .map(|n| (n, "shop"))
        .chain([("version", version)])
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn subject() -> Subject {
    Subject {
        since: at(0),
        stable: values("v1"),
        candidate: Some(values("v2")),
        slow_from: None,
        judged: BTreeMap::new(),
        look_back: Duration::ZERO,
    }
}

const PACE: Pace = Pace { every: Duration::from_secs(15), delay: Duration::ZERO };

fn feed(gates: &[GateSpec], now: i64) -> Feed {
    let mut feed = Feed::new(queries(), gates, PACE, &subject(), at(now)).unwrap();
    feed.follow(vec![(at(0), Some(0.1)), (at(1_000), Some(0.25))]);
    feed
}

/// Asks until nothing is behind.
fn round(feed: &mut Feed, store: &Store, now: i64, answers: &mut dyn FnMut(&Question) -> Option<Answer>) {
    for _ in 0..100 {
        let questions = feed.due(at(now));
        if questions.is_empty() {
            return;
        }
        for question in &questions {
            let answer = answers(question).unwrap_or_else(|| store.answer(question));
            feed.take(question, Ok(answer));
        }
    }
    panic!("it never comes to an end");
}

/// One series of an answer for one time.
fn vector(labels: &[(&str, &str)], at: Time, n: f64) -> Series {
    let labels = Labels::new(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Series { labels, points: vec![Raw { at, value: Value::Number(n) }] }
}

fn trouble() -> Trouble {
    Trouble::Unreachable { place: "prom".into(), why: "refused".into() }
}

fn sum(all: &[(GateId, Interval)], gate: &str) -> (Count, Count) {
    let mut sums = (Count::default(), Count::default());
    for (_, i) in all.iter().filter(|(id, _)| id.as_str() == gate) {
        sums.0 += i.candidate;
        sums.1 += i.stable;
    }
    sums
}

#[test]
fn a_run_is_judged_from_its_beginning_however_late_one_looks() {
    let store = Store::new(2_000, &|t| (t / 100) as f64);
    let gates = [gate("errors"), gate("slow"), gate("p99")];
    let mut live = feed(&gates, 0);
    let mut seen = Vec::new();
    for now in (0..=1_800).step_by(15) {
        round(&mut live, &store, now, &mut |_| None);
        seen.extend(live.intervals());
    }
    let mut late = feed(&gates, 1_800);
    round(&mut late, &store, 1_800, &mut |_| None);
    let read = late.intervals();
    for gate in &gates {
        let of = |all: &[(GateId, Interval)]| all.iter().filter(|(id, _)| *id == gate.name).map(|(_, i)| i.clone()).collect::<Vec<_>>();
        assert!(of(&seen).len() > 50, "{:?} {}", gate.name, of(&seen).len());
        assert_eq!(of(&seen), of(&read), "{:?}", gate.name);
        assert!(of(&seen).iter().zip(of(&seen).iter().skip(1)).all(|(a, b)| a.end == b.start), "nothing between them");
    }
    assert_eq!(live.slow_from(), Some(Duration::from_millis(500)), "nearer to stable's p99 than 1 s");
    assert_eq!(live.slow_from(), late.slow_from());
    let (candidate, stable) = sum(&seen, "errors");
    let counted = seen.iter().rev().find(|(id, _)| id.as_str() == "errors").unwrap().1.end;
    assert_eq!((candidate.hits, stable.hits), (17.0, 0.0));
    assert!((stable.of / 90.0 - (counted - at(0)).as_seconds_f64()).abs() < 16.0, "{stable:?}");
    let errors: Vec<_> = seen.iter().filter(|(id, _)| id.as_str() == "errors").collect();
    assert!(errors.iter().any(|(_, i)| i.share == Some(0.1)) && errors.iter().any(|(_, i)| i.share == Some(0.25)));
    let (slow, _) = sum(&seen, "slow");
    assert!((slow.ratio().unwrap() - 0.015).abs() < 1e-6);
}

/// A proxy in front of both versions, and an error counter of its own: neither the candidate's requests nor
/// its errors have a series before the first one.
#[test]
fn a_series_that_is_born_on_a_target_that_another_query_knows_began_at_zero() {
    let line = |name: &str, version: &str, born: i64, value: &dyn Fn(i64) -> f64| {
        let labels = [("__name__", name), ("job", "proxy"), ("instance", "proxy"), ("v", version)];
        let points = (-900..=600).filter(|t: &i64| t.rem_euclid(15) == 3 && *t >= born);
        let points = points.map(|t| Raw { at: at(t), value: Value::Number(value(t)) }).collect();
        Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points }
    };
    let store = Store {
        series: vec![
            line("req", "v1", -900, &|t| 1e6 + (t + 900) as f64 * 90.0),
            line("bad", "v1", -900, &|_| 70.0),
            line("req", "v2", 63, &|t| 6_000.0 + (t - 63) as f64 * 10.0),
            line("bad", "v2", 123, &|_| 1_500.0),
        ],
    };
    let queries = queries_and("errors = 'bad{v=\"{{version}}\"}'");
    let errors = gate("errors");
    let new = |now: i64| Feed::new(queries.clone(), std::slice::from_ref(&errors), PACE, &subject(), at(now)).unwrap();
    let mut sums = Vec::new();
    let (mut live, mut seen) = (new(0), Vec::new());
    for now in (0..=600).step_by(15) {
        round(&mut live, &store, now, &mut |_| None);
        seen.extend(live.intervals());
    }
    sums.push(sum(&seen, "errors"));
    // Read afterwards, whichever query is answered first.
    for backwards in [false, true] {
        let mut late = new(600);
        for _ in 0..20 {
            let mut questions = late.due(at(600));
            questions.sort_by_key(|q| (q.what, q.arm));
            if backwards {
                questions.reverse();
            }
            for question in questions {
                late.take(&question, Ok(store.answer(&question)));
            }
        }
        let read = late.intervals();
        assert_eq!(read, seen, "{backwards}");
        sums.push(sum(&read, "errors"));
    }
    for (candidate, stable) in sums {
        assert_eq!((candidate.hits, stable.hits), (1_500.0, 0.0));
        assert!((11_000.0..11_400.0).contains(&candidate.of), "{candidate:?}");
    }
}

#[test]
fn what_stable_did_before_the_run_is_read_and_belongs_to_no_run() {
    let store = Store::new(900, &|t| (t / 100) as f64);
    let gates = [gate("errors"), gate("slow"), gate("p99")];
    let back = Subject { look_back: Duration::from_secs(3_600), ..subject() };
    let read = |subject: &Subject| {
        let mut feed = Feed::new(queries(), &gates, PACE, subject, at(600)).unwrap();
        let (mut asked, mut rounds) = (Vec::new(), 0);
        loop {
            let questions = feed.due(at(600));
            if questions.is_empty() {
                return (feed.before(), feed.intervals(), asked, rounds);
            }
            rounds += 1;
            for question in &questions {
                asked.push((question.arm, question.what, question.kind));
                feed.take(question, Ok(store.answer(question)));
            }
        }
    };
    let (none, run, few, _) = read(&subject());
    let (before, same, more, rounds) = read(&back);
    assert_eq!((none, &run), (Vec::new(), &same), "the run is what it is");
    assert!(more.len() - few.len() <= 2 * 7 && rounds <= 15, "{} {} {rounds}", more.len(), few.len());
    // Its samples begin a quarter of an hour before the run.
    for (id, misses) in [("errors", 0.0), ("slow", 0.015)] {
        let of: Vec<&Interval> = before.iter().filter(|(gate, _)| gate.as_str() == id).map(|(_, i)| i).collect();
        assert!(of.iter().zip(of.iter().skip(1)).all(|(a, b)| a.end == b.start) && of.len() > 25, "{id} {}", of.len());
        assert!(of.iter().all(|i| i.candidate == Count::default() && i.end <= at(0)), "{of:?}");
        let stable = sum(&before, id).1;
        assert!((stable.of - 90.0 * 870.0).abs() < 90.0 * 31.0 && (stable.ratio().unwrap() - misses).abs() < 1e-6, "{id} {stable:?}");
    }
    assert!(!before.iter().any(|(gate, _)| gate.as_str() == "p99"));
    // A query that is never answered holds up nothing.
    let mut feed = Feed::new(queries(), &gates, PACE, &back, at(600)).unwrap();
    for _ in 0..30 {
        for question in feed.due(at(600)) {
            let wrong = question.what == What::Latency && question.arm == STABLE;
            feed.take(&question, if wrong { Err(trouble()) } else { Ok(store.answer(&question)) });
        }
    }
    assert!(feed.before().iter().any(|(gate, _)| gate.as_str() == "errors"));
    assert_eq!(sum(&feed.intervals(), "errors"), sum(&run, "errors"));
}

#[test]
fn a_past_that_was_read_makes_the_same_intervals() {
    let store = Store::new(2_000, &|t| (t / 100) as f64);
    let gates = [gate("errors"), gate("slow"), gate("p99")];
    let course = [(at(0), Some(0.1)), (at(1_000), Some(0.25))];
    // A label that the scrape has, and one that it lacks.
    for label in ["pod", "zone"] {
        let queries = || queries_by(Some(label));
        let mut live = Feed::new(queries(), &gates, PACE, &subject(), at(1_800)).unwrap();
        live.follow(course.to_vec());
        round(&mut live, &store, 1_800, &mut |_| None);
        let fed = live.intervals();
        let read = |version: &str, is_candidate: bool| {
            let mut reader = history::Reader::new(&queries(), &gates, PACE, &values(version), is_candidate, (at(0), at(1_800))).unwrap();
            for _ in 0..100 {
                for question in reader.due() {
                    reader.take(&question, store.answer(&question)).unwrap();
                }
            }
            assert!(reader.due().is_empty() && reader.progress() == 1.0);
            reader.history()
        };
        let (stable, candidate) = (read("v1", false), read("v2", true));
        let again = history::intervals(&queries(), &gates, &course, (at(0), at(1_800)), (Some(&candidate), &stable));
        for gate in &gates {
            let of = |all: &[(GateId, Interval)]| all.iter().filter(|(id, _)| *id == gate.name).map(|(_, i)| i.clone()).collect::<Vec<_>>();
            assert!(of(&again).len() > 50, "{:?}", gate.name);
            assert_eq!(of(&fed), of(&again), "{:?}", gate.name);
        }
        let warm = fed.iter().filter(|(_, i)| i.warming).map(|(id, _)| id.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(warm, if label == "pod" { BTreeSet::new() } else { BTreeSet::from(["p99", "slow"]) });
        if label == "zone" {
            continue;
        }
        let traffic = stable.traffic(at(0), at(1_500));
        assert_eq!(traffic.keys().map(|name| &**name).collect::<Vec<_>>(), ["v1"]);
        assert!((traffic["v1"] - 90.0 * 1_500.0).abs() < 1_500.0, "{traffic:?}");
    }
}

#[test]
fn what_is_partial_or_too_much_is_no_past() {
    let mut reader = history::Reader::new(&queries(), &[gate("errors")], PACE, &values("v1"), false, (at(0), at(900))).unwrap();
    let question = reader.due().remove(0);
    let partial = Answer { warnings: vec!["a store is down".into()], ..Answer::default() };
    assert!(reader.take(&question, partial).unwrap_err().contains("partial"));
    let many = |at: Time| Answer { series: vec![vector(&[], at, 2_001.0)], ..Answer::default() };
    assert!(reader.take(&question, many(question.at)).unwrap_err().contains("more than 2000 series"));
}

#[test]
fn a_gate_whose_samples_cannot_be_counted_is_left_out_of_a_past_and_the_others_are_read() {
    let store = Store::new(900, &|t| (t / 10) as f64);
    let gates = [gate("errors"), gate("slow"), gate("p99")];
    let read = |queries: &Queries, gates: &[GateSpec]| -> Result<history::History, String> {
        let mut reader = history::Reader::new(queries, gates, PACE, &values("v2"), true, (at(0), at(900)))?;
        for _ in 0..100 {
            for question in reader.due() {
                let is_large = question.kind == source::Kind::Size && question.what == What::Latency;
                let series = vec![vector(&[], question.at, 9_000.0)];
                reader.take(&question, if is_large { Answer { series, ..Answer::default() } } else { store.answer(&question) })?;
            }
        }
        assert!(reader.due().is_empty() && reader.progress() == 1.0);
        Ok(reader.history())
    };
    let names = |past: &history::History| past.left_out().keys().map(|gate| gate.as_str().to_owned()).collect::<Vec<_>>();
    let join = "latency = 'sum by (le) (increase(lat[{{window}}]) * on (instance) group_left () info{v=\"{{version}}\"})'";
    for (queries, why) in [(queries(), "more than 2000 series"), (queries_and(join), "is an expression")] {
        let past = read(&queries, &gates).unwrap();
        assert_eq!(names(&past), ["p99", "slow"]);
        assert!(past.left_out().values().all(|said| said.contains(why)), "{:?}", past.left_out());
        let counted: Vec<Time> = past.sampled(What::Requests, at(0), at(900)).collect();
        assert!(counted.len() > 50 && past.sampled(What::Latency, at(0), at(900)).next().is_none(), "{counted:?}");
        // Nothing is left.
        assert!(read(&queries, &gates[1..]).unwrap_err().contains(why));
    }
}

#[test]
fn partial_answers_count_for_nothing_and_lose_nothing() {
    let store = Store::new(1_000, &|t| (t / 10) as f64);
    let gates = [gate("errors")];
    let mut whole = feed(&gates, 0);
    let mut torn = feed(&gates, 0);
    let (mut all, mut some) = (Vec::new(), Vec::new());
    for now in (0..=900).step_by(15) {
        round(&mut whole, &store, now, &mut |_| None);
        all.extend(whole.intervals());
        let partial = Answer { warnings: vec!["a store is down".into()], ..Answer::default() };
        round(&mut torn, &store, now, &mut |_| (now % 45 != 0).then(|| partial.clone()));
        some.extend(torn.intervals());
    }
    assert_eq!(sum(&all, "errors"), sum(&some, "errors"));
    assert!(!all.is_empty());
}

#[test]
fn who_is_too_busy_is_asked_when_it_says_and_not_after_an_hour() {
    let busy = |secs| Trouble::Busy { place: "prom".into(), why: "429".into(), after: Some(Duration::from_secs(secs)) };
    for (wait, again) in [(5, 15), (40, 40), (3_600, 60)] {
        let mut one = feed(&[gate("errors")], 0);
        for question in one.due(at(0)) {
            one.take(&question, Err(busy(wait)));
        }
        assert_eq!(one.next(), Some(at(again)), "{wait}");
        assert!(one.due(at(again - 1)).is_empty() && !one.due(at(again)).is_empty(), "{wait}");
    }
}

#[test]
fn with_many_series_the_backend_adds_up() {
    let errors = gate("errors");
    let mut one = feed(std::slice::from_ref(&errors), 0);
    let mut windows: Vec<(Time, Time)> = Vec::new();
    for now in (0..=525).step_by(15) {
        for _ in 0..3 {
            for question in one.due(at(now)) {
                let series = if question.kind == source::Kind::Common {
                    Vec::new()
                } else if question.text.starts_with("count(") {
                    vec![vector(&[], question.at, 9_000.0)]
                } else if question.text.starts_with("min(timestamp(") {
                    let (_, of) = question.text.split_once("(timestamp(").unwrap();
                    let (timed, alive) = of.split_once(") and ").unwrap();
                    assert_eq!(format!("{timed})"), alive, "of no series that is gone");
                    vec![vector(&[], question.at, question.at.timestamp() as f64 - 3.0)]
                } else {
                    if let source::Kind::Increase { from } = question.kind
                        && (question.arm, question.what) == (STABLE, What::Requests)
                    {
                        windows.push((from, question.at));
                        assert!(question.text.starts_with("sum by (code) (increase(req{"), "{}", question.text);
                    }
                    vec![vector(&[("code", "200")], question.at, 90.0), vector(&[("code", "503")], question.at, 1.0)]
                };
                one.take(&question, Ok(Answer { series, ..Answer::default() }));
            }
        }
    }
    assert!(windows.len() > 5 && windows.iter().zip(windows.iter().skip(1)).all(|(a, b)| a.1 == b.0), "{windows:?}");
    let all = one.intervals();
    assert!(!all.is_empty() && all.iter().all(|(_, i)| i.least_phi == 2.0 && i.stable.hits >= 1.0));
    assert_eq!(one.look(&errors, at(525)).0[1].age, Some(Duration::from_secs(3)), "of the sample, not of the answer");
    // What cannot be is refused.
    let question = (526..=600)
        .map(|s| one.due(at(s)))
        .find(|q| q.iter().any(|q| q.what == What::Requests && matches!(q.kind, source::Kind::Increase { .. })))
        .unwrap();
    let question = question.into_iter().find(|q| q.what == What::Requests && matches!(q.kind, source::Kind::Increase { .. })).unwrap();
    let twice = vec![vector(&[("code", "200"), ("a", "1")], question.at, 1.0), vector(&[("code", "200"), ("a", "2")], question.at, 1.0)];
    one.take(&question, Ok(Answer { series: twice, ..Answer::default() }));
    assert!(one.look(&errors, at(700)).0.iter().any(|s| s.name.as_str().contains("several series for one version")));
    one.take(&question, Ok(Answer { series: vec![vector(&[("code", "200")], question.at, -5.0)], ..Answer::default() }));
    assert!(one.look(&errors, at(700)).0.iter().any(|s| s.name.as_str().contains("negative increase")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Polls that fail, come late or twice, against a run that is read afterwards.
    #[test]
    fn live_and_read_afterwards_are_the_same_sums(polls in prop::collection::vec((any::<bool>(), any::<bool>(), 0..40_i64), 20..60)) {
        let store = Store::new(3_000, &|t| (t / 7) as f64);
        let gates = [gate("errors"), gate("p99")];
        let mut live = feed(&gates, 0);
        let (mut seen, mut now) = (Vec::new(), 0);
        for (fails, twice, later) in polls {
            now += 10 + later;
            for question in live.due(at(now)) {
                let answer = || if fails { Err(trouble()) } else { Ok(store.answer(&question)) };
                live.take(&question, answer());
                if twice {
                    live.take(&question, answer());
                }
            }
            seen.extend(live.intervals());
        }
        round(&mut live, &store, now + 60, &mut |_| None);
        seen.extend(live.intervals());
        let mut late = feed(&gates, now + 60);
        round(&mut late, &store, now + 60, &mut |_| None);
        let read = late.intervals();
        let of = |all: &[(GateId, Interval)], id: &str| all.iter().filter(|(g, _)| g.as_str() == id).map(|(_, i)| i.clone()).collect::<Vec<_>>();
        for id in ["errors", "p99"] {
            prop_assert_eq!(of(&seen, id), of(&read, id));
        }
    }

    #[test]
    fn ruined_answers_never_panic(values in prop::collection::vec((any::<i16>(), prop::num::f64::ANY), 1..40)) {
        let mut one = feed(&[gate("errors"), gate("slow"), gate("p99")], 100);
        for (n, chunk) in values.chunks(5).enumerate() {
            let now = 100 + 20 * i64::try_from(n).unwrap();
            for question in one.due(at(now)) {
                let points = chunk.iter().map(|(t, n)| Raw { at: at(i64::from(*t)), value: Value::Number(*n) }).collect();
                let labels = Labels::new([("le".to_owned(), "0.5".to_owned()), ("code".to_owned(), "503".to_owned())]);
                one.take(&question, Ok(Answer { series: vec![Series { labels, points }], ..Answer::default() }));
            }
            for arm in [Arm::Candidate, Arm::Stable] {
                let _ = (one.signals(arm, at(now)), one.points(arm), one.look(&gate("slow"), at(now)));
            }
        }
        prop_assert!(one.intervals().iter().all(|(_, i)| i.start < i.end));
    }
}
