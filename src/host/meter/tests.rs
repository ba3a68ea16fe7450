use super::{Head, MOST_PARTS, Meter, PART_KEPT, Part};
use crate::model::{event::FailedRequest, time::Time};
use chrono::DateTime;
use std::time::Duration;

fn at(seconds: i64) -> Time {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn answer(meter: &Meter, status: u16, millis: u64) {
    meter.start(at(0));
    meter.head(Head::Answer { status, latency: Duration::from_millis(millis) }, None);
    meter.end(false);
}

#[test]
fn a_window_is_the_last_60_seconds_and_its_percentiles_are_exact_to_a_thousandth() {
    let meter = Meter::new();
    meter.tick(at(0));
    for second in 1..=90 {
        for i in 0..100 {
            answer(&meter, 200, second * 100 + i);
        }
        let point = meter.tick(at(second.try_into().unwrap()));
        assert_eq!((point.requests, point.errors, point.secs), (100, 0, 1));
    }
    let window = meter.window();
    assert_eq!((window.requests, window.n), (6_000, 6_000));
    assert!((window.secs - 60.0).abs() < 1e-9, "{}", window.secs);
    // Seconds 31 to 90 hold 3,100 to 9,099 ms, one request each.
    for (got, exact) in [(window.p50, 6_099.0), (window.p95, 8_799.0), (window.p99, 9_039.0)] {
        let got = got.unwrap();
        assert!((got - exact).abs() <= exact / 1_000.0, "{got} for {exact}");
    }
}

#[test]
fn without_requests_there_are_no_percentiles() {
    let meter = Meter::new();
    let point = meter.tick(at(1));
    assert_eq!((point.requests, point.p50, point.p99), (0, None, None));
    let window = meter.window();
    assert_eq!((window.n, window.p50, window.p95, window.p99), (0, None, None, None));
    assert!((window.secs - 1.0).abs() < 1e-9);
}

#[test]
fn a_clock_that_is_set_back_keeps_nothing_from_the_future() {
    let meter = Meter::new();
    meter.tick(at(500));
    answer(&meter, 200, 1);
    meter.tick(at(501));
    answer(&meter, 200, 1);
    meter.tick(at(100));
    assert_eq!(meter.window().requests, 1);
}

#[test]
fn errors_are_5xx_and_no_answer_and_nothing_else() {
    let meter = Meter::new();
    for status in [200, 301, 404, 500, 599] {
        answer(&meter, status, 1);
    }
    meter.start(at(0));
    meter.head(Head::Substitute { status: 502, waited: None }, None);
    meter.end(false);
    meter.start(at(0));
    meter.abort();
    meter.end(false);
    meter.start(at(7));
    meter.head(Head::Upgrade, None);
    let totals = meter.totals();
    assert_eq!((totals.started, totals.requests, totals.errors, totals.aborted), (8, 7, 3, 1));
    assert_eq!(totals.class, [1, 1, 1, 1, 3]);
    assert_eq!((totals.in_flight, totals.upgraded, totals.last_start), (0, 1, Some(at(7))));
    assert_eq!(meter.latencies().count(), 5, "neither the upgrade nor what no instance answered");
    meter.end(true);
    assert_eq!(meter.totals().upgraded, 0);
}

#[test]
fn slow_is_counted_from_the_moment_the_threshold_is_frozen() {
    let meter = Meter::new();
    answer(&meter, 200, 500);
    meter.freeze_threshold(Duration::from_millis(100));
    for millis in [99, 100, 101] {
        answer(&meter, 200, millis);
    }
    assert_eq!(meter.totals().slow, 1);
    assert_eq!(meter.tick(at(1)).slow, 1);
    assert_eq!(meter.window().slow, 1);
}

#[test]
fn buckets_are_cumulative_and_exact_at_their_bounds() {
    let meter = Meter::new();
    for millis in [1, 5, 5, 6, 70_000] {
        answer(&meter, 200, millis);
    }
    let latencies = meter.latencies();
    let below = |millis| latencies.cumulative().find(|(bound, _)| *bound == Duration::from_millis(millis)).unwrap().1;
    assert_eq!((below(1), below(5), below(10), below(60_000), latencies.count()), (1, 3, 4, 4, 5));
    assert_eq!(latencies.sum(), Duration::from_millis(70_017));
}

#[test]
fn the_last_50_failed_requests_are_kept() {
    let meter = Meter::new();
    for i in 0..60 {
        meter.keep(FailedRequest { at: at(i), method: "GET".into(), path: "/".into(), status: Some(500), instance: None, error: None });
    }
    let failed = meter.failed();
    assert_eq!((failed.len(), failed[0].at, failed[49].at, meter.failed_revision()), (50, at(10), at(59), 60));
}

#[test]
fn errors_are_what_the_gate_takes_for_errors() {
    use crate::model::code::Code;
    let meter = Meter::new();
    let errors = |statuses: &[u16]| {
        let before = meter.totals().errors;
        statuses.iter().for_each(|s| answer(&meter, *s, 1));
        meter.totals().errors - before
    };
    assert_eq!(errors(&[200, 399, 400, 429, 499, 500, 503, 599]), 3);
    meter.count_as_errors(&[Code::Class(5), Code::Status(429), Code::Status(464)]);
    assert_eq!(errors(&[200, 400, 429, 463, 464, 465, 500, 599]), 4);
    meter.count_as_errors(&[Code::Status(404)]);
    assert_eq!(errors(&[404, 500]), 1);
    assert_eq!(meter.totals().class[4], 6, "the class is what it is");
}

#[test]
fn each_instance_has_its_part_by_the_same_definitions() {
    use crate::model::ident::InstanceId;
    let meter = Meter::new();
    meter.freeze_threshold(Duration::from_millis(50));
    let (one, other) = (meter.part(&InstanceId::new("v1-1")), meter.part(&InstanceId::new("v1-2")));
    for (status, millis, part) in [(200, 1, &one), (503, 1, &one), (200, 80, &other), (404, 1, &other)] {
        meter.head(Head::Answer { status, latency: Duration::from_millis(millis) }, Some(part));
    }
    // Nobody was there to answer, or it was we who cut it: that is the version's, and no instance's.
    meter.head(Head::Substitute { status: 503, waited: None }, None);
    let counted: Vec<_> = meter.parts().into_iter().map(|(id, c)| (id.text().to_string(), c.requests, c.errors, c.slow)).collect();
    assert_eq!(counted, [("v1-1".into(), 2, 1, 0), ("v1-2".into(), 2, 0, 1)]);
    let totals = meter.totals();
    assert_eq!((totals.requests, totals.errors, totals.slow), (5, 2, 1));
    let nowhere = meter.nowhere();
    assert_eq!((nowhere.requests, nowhere.class, nowhere.errors), (1, [0, 0, 0, 0, 1], 1));
    let mut class = nowhere.class;
    meter.parts().iter().for_each(|(_, c)| class.iter_mut().zip(c.class).for_each(|(all, n)| *all += n));
    assert_eq!(class, totals.class, "parts are the whole");
}

#[test]
fn a_part_stays_for_five_minutes_after_nobody_counts_for_it() {
    use crate::model::ident::InstanceId;
    let (meter, at) = (Meter::new(), Time::UNIX_EPOCH);
    let requests = |meter: &Meter| meter.parts().iter().map(|(_, counted)| counted.requests).collect::<Vec<_>>();
    let seconds = |meter: &Meter, n: u32| {
        for _ in 0..n {
            meter.tick(at);
        }
    };
    let part = |meter: &Meter, n: usize| meter.part(&InstanceId::new(format!("v1-{n:03}")));
    let count = |meter: &Meter, part: &Part| meter.head(Head::Answer { status: 200, latency: Duration::from_millis(1) }, Some(part));
    count(&meter, &part(&meter, 1));
    seconds(&meter, PART_KEPT);
    assert_eq!(requests(&meter), [1], "whoever scrapes sees the last of it");
    // One that returns goes on.
    let back = part(&meter, 1);
    seconds(&meter, PART_KEPT + 1);
    count(&meter, &back);
    assert_eq!(requests(&meter), [2]);
    drop(back);
    seconds(&meter, PART_KEPT + 1);
    assert_eq!(requests(&meter), [0; 0]);
    assert_eq!(part(&meter, 1).requests.load(std::sync::atomic::Ordering::Relaxed), 0, "it begins anew");
    // Of many that are gone those go first that are gone longest; none goes that is there.
    let here: Vec<_> = (100..200).map(|n| part(&meter, n)).collect();
    seconds(&meter, 1);
    drop((300..400).map(|n| part(&meter, n)).collect::<Vec<_>>());
    seconds(&meter, 1);
    let ids: Vec<_> = meter.parts().into_iter().map(|(id, _)| id.text().to_string()).collect();
    assert_eq!((ids.len(), here.len()), (MOST_PARTS, 100));
    assert!(ids[..100].iter().eq((100..200).map(|n| format!("v1-{n:03}")).collect::<Vec<_>>().iter()), "{ids:?}");
}
