//! How often a healthy instance is named and how soon a sick one, and what must hold whatever is fed.

use super::{RECENT, Seen, Siblings};
use crate::model::{ident::InstanceId, signal::SignalId};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Instances whose failures come in bursts, each with its own share of failures.
struct Pool {
    random: StdRng,
    seen: Vec<Seen>,
    burst: f64,
    bursting: Vec<bool>,
    siblings: Siblings,
    second: u64,
}

fn id(n: usize) -> InstanceId {
    InstanceId::new(format!("v42-{n}"))
}

impl Pool {
    fn new(instances: usize, burst: f64, seed: u64) -> Self {
        let seen = |n| Seen { instance: id(n), restarts: 0, warm: true, requests: 0, errors: 0, slow: 0 };
        let seen = (0..instances).map(seen).collect();
        let random = StdRng::seed_from_u64(seed);
        Self { random, seen, burst, bursting: vec![false; instances], siblings: Siblings::default(), second: 0 }
    }

    /// A second of so many requests to each, of which `share(n)` fail in the long run.
    fn second(&mut self, requests: u64, share: impl Fn(usize) -> f64) {
        for (n, (seen, bursting)) in self.seen.iter_mut().zip(&mut self.bursting).enumerate() {
            for _ in 0..requests {
                let part: f64 = share(n);
                let begins = part / (self.burst * (1.0 - part).max(1e-9));
                *bursting = self.random.random::<f64>() < if *bursting { 1.0 - 1.0 / self.burst } else { begins };
                seen.requests += 1;
                seen.errors += u64::from(*bursting);
            }
        }
        self.second += 1;
        self.siblings.feed(Duration::from_secs(self.second), self.seen.clone());
    }

    fn named(&self) -> Vec<String> {
        self.siblings.all_sick().map(|(id, sick)| format!("{}: {}", id.text(), sick.why())).collect()
    }
}

#[test]
fn a_sick_instance_is_named_within_a_minute_and_until_it_is_like_the_others_again() {
    for (instances, requests, within) in [(2, 30, 40), (3, 30, 30), (3, 10, 60), (10, 30, 20)] {
        let mut pool = Pool::new(instances, 1.0, 7);
        let share = |n: usize| if n == 1 { 0.18 } else { 0.004 };
        // It was well for an hour before.
        (0..3_600).for_each(|_| pool.second(requests, |_| 0.004));
        assert!(pool.named().is_empty(), "{:?}", pool.named());
        let took = (1..=within).find(|_| {
            pool.second(requests, share);
            !pool.named().is_empty()
        });
        assert!(took.is_some(), "{instances} instances at {requests}/s: not within {within} s");
        (0..2 * RECENT).for_each(|_| pool.second(requests, share));
        let sick = pool.siblings.sick(&id(1)).unwrap();
        assert_eq!(pool.siblings.all_sick().count(), 1);
        assert!(sick.signal == SignalId::Errors && (sick.own - 0.18).abs() < 0.06 && sick.siblings < 0.02, "{sick:?}");
        assert!(sick.why().contains(" % errors, its siblings "), "{}", sick.why());
        let healed = (1..=120).find(|_| {
            pool.second(requests, |_| 0.004);
            pool.named().is_empty()
        });
        assert!(healed.is_some_and(|s| s > 5), "{healed:?}");
    }
}

#[test]
fn one_that_answers_nothing_is_named_also_where_all_fail_now_and_then() {
    let mut pool = Pool::new(2, 1.0, 3);
    (0..60).for_each(|_| pool.second(30, |n| if n == 0 { 1.0 } else { 0.05 }));
    assert_eq!(pool.siblings.all_sick().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id(0)]);
}

#[test]
fn instances_that_are_alike_are_not_named_however_their_failures_come() {
    let hours = 1;
    for (instances, requests, share, burst) in
        [(2, 30, 0.01, 1.0), (2, 30, 0.02, 10.0), (3, 30, 0.05, 15.0), (5, 10, 0.2, 5.0), (2, 5, 0.02, 8.0), (4, 30, 0.6, 3.0)]
    {
        for seed in 0..2 {
            let mut pool = Pool::new(instances, burst, seed);
            for second in 0..hours * 3_600 {
                pool.second(requests, |_| share);
                assert!(
                    pool.named().is_empty(),
                    "{instances} instances, {share} in bursts of {burst}, second {second}: {:?}",
                    pool.named()
                );
            }
        }
    }
}

#[test]
fn one_burst_names_nobody_and_a_version_that_is_all_sick_has_no_sick_instance() {
    let mut pool = Pool::new(3, 1.0, 1);
    (0..60).for_each(|_| pool.second(30, |_| 0.0));
    (0..4).for_each(|_| pool.second(30, |n| if n == 0 { 1.0 } else { 0.0 }));
    assert!(pool.named().is_empty(), "four seconds of nothing but failures are four events");
    (0..600).for_each(|_| pool.second(30, |_| 0.9));
    assert!(pool.named().is_empty(), "{:?}", pool.named());
}

#[test]
fn a_process_that_was_started_again_and_one_that_is_left_alone_are_not_named() {
    let share = |n: usize| if n == 1 { 0.5 } else { 0.0 };
    let mut pool = Pool::new(2, 1.0, 1);
    (0..60).for_each(|_| pool.second(30, share));
    assert_eq!(pool.named().len(), 1);
    pool.seen[1] = Seen { restarts: 1, requests: 0, errors: 0, ..pool.seen[1].clone() };
    pool.second(30, share);
    assert!(pool.named().is_empty());
    (0..60).for_each(|_| pool.second(30, share));
    assert_eq!(pool.named().len(), 1);
    pool.seen.remove(0);
    pool.bursting.remove(0);
    pool.second(30, |_| 0.5);
    assert!(pool.named().is_empty());
}

#[test]
fn latencies_are_compared_once_an_instance_is_warm() {
    let mut pool = Pool::new(2, 1.0, 1);
    for second in 0..120 {
        pool.seen[1].warm = second >= 60;
        pool.seen[1].slow += 9;
        pool.second(30, |_| 0.0);
        assert!(second >= 60 || pool.named().is_empty());
    }
    assert_eq!(pool.named(), ["v42-1: 30 % slow, its siblings 0 %"]);
}

fn any_seen() -> impl Strategy<Value = Vec<Seen>> {
    let one = (0..4_usize, 0..3_u32, any::<bool>(), 0..2_000_u64, 0..2_000_u64, 0..2_000_u64);
    prop::collection::vec(one, 0..5).prop_map(|all| {
        let seen = |(n, restarts, warm, requests, errors, slow)| Seen { instance: id(n), restarts, warm, requests, errors, slow };
        all.into_iter().map(seen).collect()
    })
}

proptest! {
    /// Counters that jump to and fro, instances that come, go and appear twice.
    #[test]
    fn whatever_is_fed_a_share_is_a_share(steps in prop::collection::vec((0..90_u64, any_seen()), 1..60)) {
        let mut siblings = Siblings::default();
        let mut now = 0;
        for (pause, seen) in steps {
            now += pause;
            siblings.feed(Duration::from_secs(now), seen);
            for (_, sick) in siblings.all_sick() {
                prop_assert!((0.0..=1.0).contains(&sick.own) && (0.0..=1.0).contains(&sick.siblings) && sick.own > sick.siblings);
            }
        }
    }

    /// Whoever fails no more than its siblings do is never named, whatever the traffic does.
    #[test]
    fn the_better_one_is_never_named(
        seconds in prop::collection::vec((20..400_u64, 20..400_u64, 0.0..1.0_f64), 1..200),
    ) {
        let seen = |n, requests, errors| Seen { instance: id(n), restarts: 0, warm: true, requests, errors, slow: 0 };
        let (mut siblings, mut sums) = (Siblings::default(), [(0, 0); 2]);
        for (second, (one, other, share)) in seconds.into_iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "requests")]
            let errors = [(one as f64 * share).floor() as u64, (other as f64 * share).ceil() as u64];
            for (sum, (requests, errors)) in sums.iter_mut().zip([(one, errors[0]), (other, errors[1])]) {
                *sum = (sum.0 + requests, sum.1 + errors);
            }
            let [a, b] = sums;
            siblings.feed(Duration::from_secs(second as u64 + 1), vec![seen(0, a.0, a.1), seen(1, b.0, b.1)]);
            prop_assert_eq!(siblings.sick(&id(0)), None);
        }
    }
}
