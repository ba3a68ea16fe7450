use super::{Fault, Heard, Link, Policy, supervise};
use crate::{
    clock::PausedClock,
    model::{delta::Delta, ident::Rev, text::Text, time::Time},
};
use chrono::DateTime;
use futures::{Stream, StreamExt, stream};
use rand::{SeedableRng, rngs::StdRng};
use std::{cell::RefCell, pin::Pin, time::Duration};
use tokio::time::{Instant, sleep, timeout};

type Source = Pin<Box<dyn Stream<Item = Result<Delta, Fault>>>>;

fn start() -> Time {
    DateTime::from_timestamp(1_000, 0).unwrap()
}

fn beat() -> Result<Delta, Fault> {
    Ok(Delta::Heartbeat { server_time: start(), rev: Rev(1) })
}

fn refused() -> Fault {
    Fault::Unreachable { place: "sock".into(), why: "no such file".into() }
}

fn denied() -> Fault {
    Fault::Denied { place: "sock".into(), what: "not your socket".into() }
}

fn ends(fault: Fault) -> Source {
    Box::pin(stream::once(async { Err(fault) }))
}

fn beats(every: Duration, n: usize) -> Source {
    Box::pin(stream::iter(0..n).then(move |_| async move {
        sleep(every).await;
        beat()
    }))
}

fn silent() -> Source {
    Box::pin(stream::pending())
}

/// What was told, with the seconds since the start, over a span of paused time.
async fn told(span: Duration, open: impl Fn(usize) -> Source) -> Vec<(f64, String)> {
    let (began, clock) = (Instant::now(), PausedClock::new(start()));
    let (told, opened) = (RefCell::new(Vec::new()), RefCell::new(0));
    let place = Text::from("sock");
    let life = supervise(
        &place,
        Policy::default(),
        &clock,
        StdRng::seed_from_u64(7),
        || {
            *opened.borrow_mut() += 1;
            open(*opened.borrow())
        },
        |heard| {
            let word = match heard {
                Heard::Delta(_) => "delta".into(),
                Heard::Link(Link::Connecting { attempt, last, .. }) => {
                    format!("connecting {attempt}{}", last.map_or(String::new(), |f| format!(": {f}")))
                }
                Heard::Link(Link::Live { .. }) => "live".into(),
                Heard::Link(Link::Stale { .. }) => "stale".into(),
                Heard::Link(Link::Denied { what, .. }) => format!("denied: {what}"),
            };
            told.borrow_mut().push((began.elapsed().as_secs_f64(), word));
        },
    );
    let _ = timeout(span, life).await;
    told.into_inner()
}

fn words(told: &[(f64, String)]) -> Vec<&str> {
    told.iter().map(|(_, w)| w.as_str()).collect()
}

#[test]
fn pauses_double_up_to_the_longest() {
    let pauses: Vec<u128> = (1..=9).map(|n| Policy::default().pause(n).as_millis()).collect();
    assert_eq!(pauses, [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000]);
    assert_eq!(Policy::default().pause(u32::MAX).as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn attempts_follow_the_pauses_give_or_take_a_fifth() {
    let told = told(Duration::from_secs(300), |_| ends(refused())).await;
    assert_eq!(told[0], (0.0, "connecting 1".into()));
    assert_eq!(told[1].1, "connecting 2: cannot reach sock: no such file");
    let at: Vec<f64> = told[1..].iter().map(|(t, _)| *t).collect();
    assert!(at.len() > 10, "it goes on for ever: {at:?}");
    for (n, pair) in at.windows(2).enumerate() {
        let (pause, want) = (pair[1] - pair[0], Policy::default().pause(n as u32 + 1).as_secs_f64());
        assert!(pause >= want * 0.79 && pause <= (want * 1.21).min(30.1), "pause {n}: {pause} of {want}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_live_for_two_minutes_begins_again() {
    let told = told(Duration::from_secs(200), |n| match n {
        1..=4 => ends(refused()),
        5 => beats(Duration::from_secs(1), 125),
        _ => silent(),
    })
    .await;
    assert!(words(&told).contains(&"connecting 5: cannot reach sock: no such file"));
    assert!(words(&told).contains(&"connecting 2: sock closed the connection"), "{:?}", words(&told));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_live_for_less_does_not() {
    let told = told(Duration::from_secs(120), |n| if n < 4 { ends(refused()) } else { beats(Duration::from_secs(1), 5) }).await;
    assert!(words(&told).contains(&"connecting 5: sock closed the connection"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_first_stale_then_a_fault() {
    let told =
        told(Duration::from_secs(12), |n| if n == 1 { Box::pin(stream::iter([beat()]).chain(stream::pending())) } else { silent() }).await;
    assert_eq!(words(&told), ["connecting 1", "live", "delta", "stale", "connecting 2: sock has been silent for 10 s"]);
    assert!((told[3].0 - 3.0).abs() < 0.01 && (told[4].0 - 10.0).abs() < 0.01, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_delta_makes_it_live_again() {
    let told = told(Duration::from_secs(14), |_| beats(Duration::from_secs(4), 3)).await;
    assert_eq!(words(&told)[..9], ["connecting 1", "live", "delta", "stale", "live", "delta", "stale", "live", "delta"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_says_anything_is_given_up() {
    let told = told(Duration::from_secs(11), |_| silent()).await;
    assert_eq!(words(&told), ["connecting 1", "connecting 2: sock has been silent for 10 s"]);
}

#[tokio::test(start_paused = true)]
async fn denied_is_said_and_tried_again() {
    let told = told(Duration::from_secs(4), |n| if n < 3 { ends(denied()) } else { silent() }).await;
    assert_eq!(words(&told), ["connecting 1", "denied: not your socket", "denied: not your socket"]);
}
