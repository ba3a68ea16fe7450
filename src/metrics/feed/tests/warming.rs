//! What warms up is shown and not judged for latency, and never for anything else.

use super::*;

fn of<'a>(all: &'a [(GateId, Interval)], gate: &str) -> Vec<&'a Interval> {
    all.iter().filter(|(id, _)| id.as_str() == gate).map(|(_, i)| i).collect()
}

#[test]
fn what_warms_up_is_not_judged_for_latency() {
    let store = Store::new(600, &|_| 0.0);
    let mut feed = feed(&[gate("errors"), gate("slow")], 600);
    round(&mut feed, &store, 600, &mut |_| None);
    let all = feed.intervals();
    let (errors, _) = sum(&all, "errors");
    let (slow, _) = sum(&all, "slow");
    assert!((errors.of - slow.of - 450.0).abs() < 1.0, "{errors:?} {slow:?}: 45 s of increments, until the sample at 60 s");
    let warmed = |id: &str| of(&all, id).iter().map(|i| i.warmed.of).sum::<f64>();
    assert!((warmed("slow") - 450.0).abs() < 1.0 && warmed("errors") == 0.0, "what is not judged is shown: {}", warmed("slow"));
}

#[test]
fn without_instance_labels_whole_intervals_warm_up() {
    // None is configured, or one that the scrape does not have.
    for label in [None, Some("zone")] {
        let store = Store::new(600, &|_| 0.0);
        let unlabelled = queries_by(label);
        let mut one = Feed::new(unlabelled, &[gate("errors"), gate("slow")], PACE, &subject(), at(600)).unwrap();
        round(&mut one, &store, 600, &mut |_| None);
        let all = one.intervals();
        let slow = of(&all, "slow");
        // Its first sample is that of second 7.
        assert!(slow.iter().all(|i| i.warming == (i.start < at(67))), "{slow:?}");
        assert!(slow.iter().filter(|i| i.warming).count() >= 2 && slow.iter().filter(|i| !i.warming).count() >= 15, "{slow:?}");
        let (errors, _) = sum(&all, "errors");
        let (counted, _) = sum(&all, "slow");
        assert!((errors.of - counted.of).abs() < 1.0, "they are counted, to be shown: {errors:?} {counted:?}");
    }
}

#[test]
fn whoever_runs_the_instances_says_when_they_got_ready() {
    let store = Store::new(600, &|t| (t / 100) as f64);
    let read = |queries: Queries, ready: &[i64]| {
        let mut one = Feed::new(queries, &[gate("errors"), gate("slow"), gate("p99")], PACE, &subject(), at(600)).unwrap();
        one.got_ready(ready.iter().map(|second| at(*second)));
        round(&mut one, &store, 600, &mut |_| None);
        one.intervals()
    };
    let unlabelled = || queries_by(None);
    let (told, untold) = (read(unlabelled(), &[300]), read(unlabelled(), &[]));
    for latency in ["slow", "p99"] {
        let late: Vec<&Interval> = of(&told, latency).into_iter().filter(|i| i.warming && i.start >= at(67)).collect();
        assert!(late.iter().all(|i| i.end >= at(300) && i.start < at(360)) && late.len() >= 2, "{late:?}");
        assert_eq!(of(&told, latency).len(), of(&untold, latency).len());
    }
    // Another instance of the same target began to fail: that is seen whatever warms up.
    assert_eq!(of(&told, "errors"), of(&untold, "errors"));
    assert!(of(&told, "errors").iter().all(|i| !i.warming) && sum(&told, "errors").0.hits >= 5.0);
    // Where samples have the name of their instance, the others are judged.
    assert_eq!(read(queries(), &[300]), read(queries(), &[]));
}

/// What a backend that adds up answers: a candidate that appears at `born`, and gets instances at `more`.
fn adds_up(question: &Question, born: i64, more: &[i64]) -> Answer {
    let text = &question.text;
    let number = |n: f64| vec![vector(&[], question.at, n)];
    let inside = |from: Time, second: i64| at(second) > from && at(second) <= question.at;
    let series = match question.kind {
        source::Kind::Size => number(9_000.0),
        source::Kind::Newest => number(question.at.timestamp() as f64 - 3.0),
        source::Kind::Common => Vec::new(),
        source::Kind::Born { from } => {
            assert!(text.starts_with("count(count by (job, instance, pod) (lat{v=\"v2\"}) unless count by"), "{text}");
            let window = text.rsplit_once(" offset ").unwrap().1.trim_end_matches("s))");
            assert_eq!(window.parse::<i64>().unwrap(), (question.at - from).num_seconds(), "{text}");
            let new = more.iter().filter(|second| inside(from, **second)).count();
            if new > 0 { number(new as f64) } else { Vec::new() }
        }
        source::Kind::Increase { .. } if question.arm == CANDIDATE && question.at < at(born) => Vec::new(),
        source::Kind::Increase { from } => {
            let secs = (question.at - from).as_seconds_f64();
            let labels: &[(&str, &str, f64)] = match question.what {
                What::Latency => &[("le", "0.1", 0.5), ("le", "0.5", 0.985), ("le", "1", 1.0), ("le", "+Inf", 1.0)],
                _ => &[("code", "200", 0.9), ("code", "503", 0.1)],
            };
            labels.iter().map(|(name, value, share)| vector(&[(name, value)], question.at, secs * 90.0 * share)).collect()
        }
        _ => panic!("{question:?}"),
    };
    Answer { series, ..Answer::default() }
}

/// Live, from 0 to 900 s.
fn added_up(queries: Queries, born: i64, more: &[i64], ready: &[i64]) -> Vec<(GateId, Interval)> {
    let mut one = Feed::new(queries, &[gate("errors"), gate("slow")], PACE, &subject(), at(0)).unwrap();
    let mut all = Vec::new();
    for now in (0..=900).step_by(15) {
        one.got_ready(ready.iter().copied().filter(|second| *second <= now).map(at));
        for _ in 0..3 {
            for question in one.due(at(now)) {
                one.take(&question, Ok(adds_up(&question, born, more)));
            }
        }
        all.extend(one.intervals());
    }
    all
}

/// The intervals of `slow` that are not judged lie about these moments and nowhere else, and there are some of
/// each; all of `errors` are judged.
fn warms_about(all: &[(GateId, Interval)], moments: &[i64]) {
    let slow = of(all, "slow");
    let warm: Vec<&Interval> = slow.iter().copied().filter(|i| i.warming).collect();
    // As exact as the windows: a minute.
    let is_about = |i: &Interval, moment: i64| i.end >= at(moment) && i.start < at(moment + 60 + 60);
    assert!(warm.iter().all(|i| moments.iter().any(|moment| is_about(i, *moment))), "{moments:?} {warm:?}");
    for moment in moments {
        let first = slow.iter().filter(|i| i.end >= at(*moment) && i.candidate.of > 0.0).find(|i| i.start < at(moment + 60));
        assert!(first.is_some_and(|i| i.warming), "{moment} {slow:?}");
    }
    assert!(slow.len() > warm.len() + 3, "{slow:?}");
    let errors = of(all, "errors");
    assert!(errors.iter().all(|i| !i.warming) && errors.iter().any(|i| i.candidate.hits > 0.0), "{errors:?}");
}

#[test]
fn with_many_series_targets_that_appear_warm_up() {
    // There from the first: it may be as old as one likes.
    warms_about(&added_up(queries(), -900, &[], &[]), &[]);
    warms_about(&added_up(queries(), -900, &[400], &[]), &[400]);
    warms_about(&added_up(queries(), 200, &[], &[]), &[200]);
    warms_about(&added_up(queries(), -900, &[], &[300, 700]), &[300, 700]);
}

#[test]
fn what_cannot_be_asked_about_births_is_not_taken_for_warm() {
    let mut one = Feed::new(queries(), &[gate("slow")], PACE, &subject(), at(0)).unwrap();
    let mut all = Vec::new();
    for now in (0..=600).step_by(15) {
        for _ in 0..3 {
            for question in one.due(at(now)) {
                let fails = matches!(question.kind, source::Kind::Born { .. }) && (300..360).contains(&now);
                one.take(&question, if fails { Err(trouble()) } else { Ok(adds_up(&question, -900, &[])) });
            }
        }
        all.extend(one.intervals());
    }
    let warm: Vec<&Interval> = of(&all, "slow").into_iter().filter(|i| i.warming).collect();
    assert!(!warm.is_empty() && warm.iter().all(|i| i.end > at(240) && i.start < at(420)), "{warm:?}");
}

#[test]
fn of_a_join_the_first_that_appears_and_what_got_ready_warm_up() {
    let join = "latency = 'sum by (le) (increase(lat[{{window}}]) * on (instance) group_left () info{v=\"{{version}}\"})'";
    let joined = || queries_and(join);
    warms_about(&added_up(joined(), -900, &[], &[]), &[]);
    warms_about(&added_up(joined(), 200, &[], &[]), &[200]);
    warms_about(&added_up(joined(), -900, &[], &[600]), &[600]);
}
