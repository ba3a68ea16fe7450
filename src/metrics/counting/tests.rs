use super::*;
use crate::metrics::{Native, Point};
use proptest::prelude::*;

fn at(second: i64) -> Time {
    Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
}

fn reads() -> Reads {
    Reads {
        code_label: Some("code".into()),
        code_values: Values::Status,
        grpc_label: None,
        instance_label: Some("pod".into()),
        changing_label: None,
        to_millis: None,
        level: false,
    }
}

fn series(pod: &str, code: &str, points: &[(i64, f64)]) -> Series {
    let labels = [("job", "shop"), ("instance", pod), ("pod", pod), ("code", code)];
    let points = points.iter().map(|(second, n)| Point { at: at(*second), value: Value::Number(*n) }).collect();
    Series { labels: Labels::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned()))), points }
}

/// A query that is the only one; samples are wanted from `from` on.
struct Alone {
    counter: Counter,
    targets: Targets,
    from: Time,
}

impl Alone {
    fn new(reads: Reads, from: i64) -> Self {
        Self { counter: Counter::new(reads), targets: Targets::default(), from: at(from) }
    }

    fn take(&mut self, series: &[Series]) -> Vec<Increment> {
        let mut came = self.counter.take(series, self.from, chrono::Duration::seconds(15), &mut self.targets);
        came.extend(self.counter.births(&self.targets));
        came
    }
}

fn total(came: &[Increment]) -> f64 {
    came.iter().map(|i| i.amount).sum()
}

#[test]
fn resets_births_and_what_is_no_number() {
    let mut counter = Alone::new(reads(), 0);
    let came = counter.take(&[series("a", "200", &[(0, 100.0), (15, 110.0), (30, 4.0), (45, f64::NAN), (60, 9.0)])]);
    assert_eq!(total(&came), 10.0 + 4.0 + 5.0);
    let came = counter.take(&[series("a", "200", &[(60, 9.0), (75, 9.0)]), series("a", "503", &[(75, 3.0)])]);
    assert_eq!(total(&came), 3.0, "the first error of a target that was scraped before");
    let came = counter.take(&[series("b", "200", &[(90, 5_000.0), (105, 5_001.0)])]);
    assert_eq!(total(&came), 1.0, "a target that nobody saw may be old");
    assert_eq!((counter.counter.born("a"), counter.counter.born("b"), counter.counter.newest()), (None, Some(at(90)), Some(at(105))));
    for ruin in [f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert_eq!(total(&counter.take(&[series("b", "200", &[(120, ruin)])])), 0.0);
    }
}

#[test]
fn what_another_query_saw_of_a_target_tells_how_a_series_began() {
    let scrape = chrono::Duration::seconds(15);
    let requests = |pod: &str, from: i64| series(pod, "200", &[(from, 900.0), (from + 15, 910.0), (from + 30, 920.0)]);
    let errors = |pod: &str, at: i64| series(pod, "503", &[(at, 1_500.0), (at + 15, 1_501.0)]);
    for errors_first in [false, true] {
        let (mut of_requests, mut of_errors) = (Counter::new(reads()), Counter::new(reads()));
        let mut targets = Targets::default();
        // The error counter of `a` is born under its eyes; `b` is seen with all it ever counted; the third
        // was there when one began to look.
        let (all, bad) = ([requests("a", 0), requests("b", 60)], [errors("a", 30), errors("b", 60), errors("c", 0)]);
        if errors_first {
            assert_eq!(total(&of_errors.take(&bad, at(0), scrape, &mut targets)), 3.0);
            assert_eq!(of_errors.births(&targets), []);
        }
        of_requests.take(&all, at(0), scrape, &mut targets);
        assert_eq!(of_requests.births(&targets), []);
        if !errors_first {
            assert_eq!(total(&of_errors.take(&bad, at(0), scrape, &mut targets)), 3.0);
        }
        let born = of_errors.births(&targets);
        assert_eq!(born.iter().map(|i| (i.at, i.amount)).collect::<Vec<_>>(), [(at(30), 1_500.0)], "{errors_first}");
        assert_eq!(of_errors.births(&targets), [], "once");
        // Samples that come late move its beginning, and not the sum.
        let late = of_errors.take(&[series("a", "503", &[(15, 1_400.0)])], at(0), scrape, &mut targets);
        assert_eq!(total(&late), 0.0);
        // Whoever begins to look later does not take for new what it had not asked for.
        let mut later = Counter::new(reads());
        later.take(&[errors("a", 60)], at(50), scrape, &mut targets);
        assert_eq!(later.births(&targets), []);
    }
}

#[test]
fn a_target_that_was_away_comes_back_with_what_it_counted_meanwhile() {
    let mut counter = Alone::new(reads(), 0);
    counter.take(&[series("a", "200", &[(0, 100.0)]), series("b", "200", &[(0, 100.0)])]);
    counter.take(&[series("b", "200", &[(1_200, 200.0)])]);
    let came = counter.take(&[series("a", "200", &[(1_800, 150.0)])]);
    assert_eq!(total(&came), 50.0, "and not its whole life");
}

#[test]
fn most_targets_must_be_heard_and_those_that_left_are_not_waited_for() {
    let (scrape, stale) = (chrono::Duration::seconds(15), chrono::Duration::seconds(45));
    let of = |counter: &Alone| counter.counter.coverage(scrape, stale).unwrap();
    let names: Vec<String> = (0..10).map(|n| format!("pod-{n}")).collect();
    for stay in 1..=10 {
        let mut counter = Alone::new(reads(), 0);
        assert_eq!(counter.counter.coverage(scrape, stale), None);
        let scrape = |from: usize, t: i64| names[from..].iter().map(|pod| series(pod, "200", &[(t, t as f64)])).collect::<Vec<_>>();
        counter.take(&scrape(0, 0));
        assert_eq!(of(&counter), Coverage { fresh: 10, all: 10, sampled: at(0) });
        counter.take(&scrape(10 - stay, 60));
        let sampled = if stay >= 5 { at(60) } else { at(0) };
        assert_eq!(of(&counter), Coverage { fresh: stay, all: 10, sampled });
        // A scale-down blinds nobody for longer than ten minutes.
        counter.take(&scrape(10 - stay, 600));
        assert_eq!(of(&counter).all, 10);
        counter.take(&scrape(10 - stay, 615));
        assert_eq!(of(&counter), Coverage { fresh: stay, all: stay, sampled: at(615) });
    }
    // Of two instances one may go.
    let mut counter = Alone::new(reads(), 0);
    counter.take(&[series("a", "200", &[(0, 1.0)]), series("b", "200", &[(0, 1.0), (300, 1.0)])]);
    assert_eq!(of(&counter), Coverage { fresh: 1, all: 2, sampled: at(300) });
}

#[test]
fn a_series_whose_role_changes_goes_on() {
    let mut counter = Alone::new(Reads { changing_label: Some("role".into()), ..reads() }, 0);
    let with = |role: &str, points: &[(i64, f64)]| {
        let plain = series("a", "200", points);
        let labels = plain.labels.iter().chain([("role", role)]).map(|(k, v)| (k.to_owned(), v.to_owned()));
        Series { labels: Labels::new(labels), points: plain.points }
    };
    let came = counter.take(&[with("candidate", &[(0, 900.0), (15, 910.0)]), with("stable", &[(30, 915.0)])]);
    assert_eq!(total(&came), 15.0);
    // Who counts it too counts the same; a version in another role at the same place is another one.
    for (role, is_same) in [("stable", true), ("candidate", false)] {
        let mut other = Alone::new(Reads { changing_label: Some("role".into()), ..reads() }, 0);
        other.take(&[with(role, &[(30, 915.0)])]);
        assert_eq!((other.counter.shares_series(&counter.counter), counter.counter.shares_series(&other.counter)), (is_same, is_same));
    }
    // It is seen as soon as the role is the same, though no series is new.
    counter.take(&[with("stable", &[(45, 920.0)])]);
    assert!(!counter.counter.has_grown());
    counter.take(&[with("candidate", &[(60, 925.0)])]);
    assert!(counter.counter.has_grown());
}

#[test]
fn a_gauge_counts_its_value_times_seconds() {
    let mut counter = Alone::new(Reads { level: true, ..reads() }, 0);
    let came = counter.take(&[series("a", "", &[(0, 2.0), (10, 3.0), (20, 0.0), (30, 1.0)])]);
    assert_eq!(total(&came), 20.0 + 30.0);
}

fn native(second: i64, count: f64, buckets: Vec<(f64, f64, f64)>) -> Point {
    Point { at: at(second), value: Value::Histogram(Native { count, sum: 1.0, buckets }) }
}

#[test]
fn native_histograms_that_get_coarser_are_not_reset() {
    let mut counter = Alone::new(Reads { to_millis: Some(1_000.0), instance_label: None, ..reads() }, 0);
    // Schema 2, then 1.
    let root = 2.0_f64.powf(0.25);
    let fine = native(0, 10.0, vec![(0.25, 0.25 * root, 6.0), (0.25 * root, 0.25 * root * root, 4.0)]);
    let coarse = native(15, 12.0, vec![(0.25, 0.25 * root * root, 12.0)]);
    let one = Series { points: vec![fine, coarse], ..series("a", "", &[]) };
    let came = counter.take(&[one]);
    let of = |edge: f64| came.iter().filter(|i| i.class.edge.is_some_and(|e| (e - edge).abs() < 1e-6)).map(|i| i.amount).sum::<f64>();
    let all = came.iter().filter(|i| i.class.edge == Some(f64::INFINITY)).map(|i| i.amount).sum::<f64>();
    assert_eq!((all, of(250.0), of(250.0 * root * root), of(500.0)), (2.0, 0.0, 2.0, 2.0));
}

#[test]
fn another_edge_of_a_histogram_that_was_there_is_nothing_new() {
    let mut counter = Alone::new(Reads { to_millis: Some(1_000.0), instance_label: None, ..reads() }, 0);
    // Its first bucket looks like a power; its second one does not.
    let looks = native(60, 10.0, vec![(0.5, 1.0, 10.0)]);
    let custom = native(75, 12.0, vec![(0.5, 1.0, 11.0), (1.0, 2.5, 1.0)]);
    let other = native(45, 5.0, vec![(0.5, 1.0, 5.0)]);
    counter.take(&[Series { points: vec![other], ..series("a", "200", &[]) }]);
    for point in [looks, custom] {
        let came = counter.take(&[Series { points: vec![point], ..series("a", "503", &[]) }]);
        let all = came.iter().filter(|i| i.class.edge == Some(f64::INFINITY)).map(|i| i.amount).sum::<f64>();
        assert!(came.iter().all(|i| i.amount <= all), "{came:?}");
    }
}

#[test]
fn increase_over_windows_that_touch_loses_what_this_counts() {
    // One request a second, scraped every 15 s; windows of a minute that end between scrapes.
    let samples: Vec<(i64, f64)> = (0..=80).map(|i| (i * 15, (i * 15) as f64)).collect();
    let mut counter = Alone::new(reads(), 0);
    let (mut counted, mut inside) = (0.0, 0.0);
    for end in (67..1_200).step_by(60) {
        let window: Vec<_> = samples.iter().copied().filter(|(t, _)| *t > end - 60 && *t <= end).collect();
        inside += window.last().unwrap().1 - window.first().unwrap().1;
        let from = if end == 67 { 0 } else { end - 75 };
        let longer: Vec<_> = samples.iter().copied().filter(|(t, _)| *t >= from && *t <= end).collect();
        counted += total(&counter.take(&[series("a", "200", &longer)]));
    }
    let truth = counter.counter.newest().map(|newest| (newest - at(0)).as_seconds_f64()).unwrap();
    assert_eq!(counted, truth);
    assert!(inside < truth * 0.8, "{inside} of {truth}");
}

/// A pod that serves, is reset, and dies.
#[derive(Clone, Debug)]
struct Life {
    born: i64,
    phase: i64,
    steps: Vec<(u8, u8, bool)>,
}

fn life() -> impl Strategy<Value = Life> {
    let step = (0..50_u8, 0..5_u8, prop::bool::weighted(0.1));
    (0..20_i64, 0..15_i64, prop::collection::vec(step, 2..30)).prop_map(|(born, phase, steps)| Life { born, phase, steps })
}

/// Its samples, and what came after its first one of all.
fn truth(name: &str, life: &Life) -> (Vec<Series>, f64) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let (mut sum, mut ok, mut failed) = (0.0, 7.0, 0.0);
    for (i, (more, fails, reset)) in life.steps.iter().enumerate() {
        let second = (life.born + i as i64) * 15 + life.phase;
        if *reset {
            (ok, failed) = (0.0, 0.0);
        }
        let first = i == 0;
        ok += f64::from(*more);
        // A reset that counts further than before within one scrape cannot be seen by anybody.
        let seen = good.last().is_none_or(|(_, before)| !*reset || ok < *before);
        if *reset && !seen {
            ok = 0.0;
        }
        if !first {
            sum += if *reset { ok } else { f64::from(*more) };
            // The series of errors is born with the first one, and lives on after a reset as zero.
            failed += f64::from(*fails);
            let before = bad.last().map_or(0.0, |(_, n): &(i64, f64)| *n);
            if *reset && failed >= before {
                failed = 0.0;
            }
            sum += if *reset { failed } else { f64::from(*fails) };
            if failed > 0.0 || !bad.is_empty() {
                bad.push((second, failed));
            }
        }
        good.push((second, ok));
    }
    (vec![series(name, "200", &good), series(name, "503", &bad)], sum)
}

proptest! {
    #[test]
    fn each_increment_is_counted_once_in_any_order_late_and_twice(
        lives in prop::collection::vec(life(), 1..4),
        order in prop::collection::vec((0..40_i64, 1..40_i64), 0..12),
        lost in prop::collection::vec(any::<bool>(), 12),
    ) {
        let mut all = Vec::new();
        let mut want = 0.0;
        for (i, life) in lives.iter().enumerate() {
            let (series, sum) = truth(&format!("pod-{i}"), life);
            all.extend(series);
            want += sum;
        }
        let cut = |from: i64, to: i64| -> Vec<Series> {
            let inside = |s: &Series| s.points.iter().filter(|p| p.at >= at(from) && p.at <= at(to)).cloned().collect();
            all.iter().map(|s| Series { labels: s.labels.clone(), points: inside(s) }).collect()
        };
        let mut counter = Alone::new(reads(), -30);
        // The beginning is known, so that it is known who was scraped when.
        let mut got = total(&counter.take(&cut(0, 0)));
        let births: std::collections::BTreeSet<i64> = lives.iter().map(|l| l.born * 15 + l.phase).collect();
        for life in births {
            got += total(&counter.take(&cut(life, life)));
        }
        for ((from, length), lost) in order.iter().zip(lost) {
            if !lost {
                // At most ten minutes, and never the oldest after the newest is kept too long.
                got += total(&counter.take(&cut(from * 15, (from + length) * 15)));
            }
        }
        got += total(&counter.take(&cut(0, 60 * 15)));
        prop_assert!((got - want).abs() < 1e-6, "{} of {}", got, want);
        prop_assert_eq!(total(&counter.take(&cut(0, 60 * 15))), 0.0);
    }

    #[test]
    fn nothing_makes_it_panic_or_count_less_than_nothing(
        points in prop::collection::vec((any::<i32>(), prop::num::f64::ANY), 0..30),
        le in "[0-9.+-]{0,4}|Inf|NaN",
        buckets in any::<bool>(),
    ) {
        let mut counter = Alone::new(Reads { to_millis: buckets.then_some(1.0), ..reads() }, -30);
        for half in points.chunks(7) {
            let mut one = series("a", "200", &[]);
            one.labels = Labels::new([("le".to_owned(), le.clone())]);
            one.points = half.iter().map(|(t, n)| Point { at: at(i64::from(*t)), value: Value::Number(*n) }).collect();
            let came = counter.take(&[one]);
            prop_assert!(came.iter().all(|i| i.amount >= 0.0 || i.amount.is_nan()));
        }
    }
}
