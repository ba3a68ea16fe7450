//! Quantiles of latencies that were counted in buckets, with bounds that hold however often they are
//! looked at. Advice: on buckets a quantile is known only up to the edges around it, and in the last
//! bucket only a floor is known.
//!
//! The share of requests below a fixed latency is a Bernoulli mean, so a latency is excluded as the
//! q-quantile when that share is too far from q ([`BetaBinomial`]). Two versions are compared as by
//! Howard and Ramdas, "Sequential estimation of quantiles": the least evidence, over all latencies, that
//! this one is *not* the quantile of one version or the other. Where a bucket hides which share it is,
//! the one that speaks least against equality is taken.

use super::mixture::{BetaBinomial, Mixture};
use crate::model::{gate::Bounds, interval::Buckets, signal::Sample};

/// A chance of at most this of ever being wrong, for each bound.
pub const ALPHA: f64 = 0.05;
/// The number of requests the bounds are sharpest at.
const SHARPEST: f64 = 1_000.0;

/// What is asked of a quantile.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    q: f64,
    mixture: BetaBinomial,
}

impl Asked {
    /// Of a quantile, 0 to 1 exclusive.
    #[must_use]
    pub fn new(q: f64) -> Self {
        Self::sharpest_at(q, SHARPEST)
    }

    /// The same with bounds that are sharpest at so many requests.
    #[must_use]
    pub fn sharpest_at(q: f64, requests: f64) -> Self {
        Self { q, mixture: BetaBinomial::new(requests * q * (1.0 - q), ALPHA, q, 1.0 - q) }
    }

    /// Evidence, as the logarithm of an e-value, that a latency with this share of n requests below it
    /// is not the quantile.
    fn against(&self, share: f64, n: f64) -> f64 {
        self.mixture.ln_value((share - self.q) * n, self.q * (1.0 - self.q) * n)
    }

    /// The share with the least evidence against it, close to q.
    fn easiest(&self, n: f64) -> f64 {
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let span = (high - low) * golden;
            let (left, right) = (high - span, low + span);
            if self.against(left, n) < self.against(right, n) { high = right } else { low = left }
        }
        f64::midpoint(low, high)
    }

    /// Where the quantile lies.
    #[must_use]
    pub fn bounds(&self, buckets: &Buckets) -> Bounds {
        let n: f64 = buckets.counts.iter().sum();
        if n <= 0.0 {
            return Bounds::default();
        }
        let line = -ALPHA.ln();
        let mut bounds = Bounds { low: 0.0, high: None, n };
        let mut below = 0.0;
        for (edge, count) in buckets.edges.iter().zip(&buckets.counts) {
            below += count;
            let share = below / n;
            if self.against(share, n) >= line {
                if share < self.q {
                    bounds.low = *edge;
                } else {
                    bounds.high = Some(*edge);
                    break;
                }
            }
        }
        bounds
    }

    /// Sequential p-value of the quantile being the same in both; 1 where they cannot be compared.
    #[must_use]
    pub fn p_value(&self, one: &Buckets, other: &Buckets) -> f64 {
        let (n, m) = (one.counts.iter().sum::<f64>(), other.counts.iter().sum::<f64>());
        if n <= 0.0 || m <= 0.0 || one.edges != other.edges {
            return 1.0;
        }
        let (easiest_one, easiest_other) = (self.easiest(n), self.easiest(m));
        let (mut a, mut b) = (0.0, 0.0);
        let mut least = f64::INFINITY;
        for (x, y) in one.counts.iter().zip(&other.counts) {
            let (from, to) = (a / n, b / m);
            a += x;
            b += y;
            let against = self.against(easiest_one.clamp(from, a / n), n) + self.against(easiest_other.clamp(to, b / m), m);
            least = least.min(against);
        }
        (-least).exp().min(1.0)
    }
}

/// The quantile as it was measured: the upper edge of its bucket; above the last edge, that as a floor.
/// Of no latency at all it is a value of nothing.
#[must_use]
pub fn measured(q: f64, buckets: &Buckets) -> Sample {
    let all: f64 = buckets.counts.iter().sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
    let n = all as u64;
    let mut below = 0.0;
    let found = buckets.edges.iter().zip(&buckets.counts).find(|(_, count)| {
        below += **count;
        below >= q * all
    });
    match (found, buckets.edges.last()) {
        (Some((edge, _)), _) if all > 0.0 => Sample::Gauge { value: *edge, n },
        (None, Some(edge)) if all > 0.0 => Sample::Floor { at_least: *edge, n },
        _ => Sample::Counts { hits: 0.0, of: 0.0 },
    }
}

/// Adds counts; other edges start anew.
pub fn merge(into: &mut Buckets, more: &Buckets) {
    /// More buckets than any source has.
    const MOST: usize = 512;
    if more.edges.len() > MOST || more.counts.len() != more.edges.len() + 1 {
        return;
    }
    if into.edges == more.edges && into.counts.len() == more.counts.len() {
        into.counts.iter_mut().zip(&more.counts).for_each(|(sum, count)| *sum += count.max(0.0));
    } else {
        into.clone_from(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 to 1000, each in a bucket of its own, moved by some.
    fn thousand(offset: u32) -> Buckets {
        let edges: Vec<f64> = (1..=1_200).map(f64::from).collect();
        let counts = (1..=1_201).map(|i| f64::from(u8::from(i > offset && i <= offset + 1_000))).collect();
        Buckets { edges, counts }
    }

    #[test]
    fn published_vectors_of_comparisons() {
        for (q, shift, want) in [(0.5, 70, 0.814_704), (0.5, 85, 0.083_805_5), (0.5, 100, 0.005_494_7), (0.9, 55, 0.034_046_3)] {
            let asked = Asked::sharpest_at(q, 100.0);
            for p in [asked.p_value(&thousand(0), &thousand(shift)), asked.p_value(&thousand(shift), &thousand(0))] {
                assert!((p - want).abs() < 1e-5, "{q} {shift}: {p}");
            }
        }
    }

    #[test]
    fn buckets_hide_and_never_invent_a_difference() {
        let coarse = |fine: &Buckets| {
            let counts: Vec<f64> = fine.counts[..1_200].chunks(100).map(|c| c.iter().sum()).chain([fine.counts[1_200]]).collect();
            Buckets { edges: (1..=12).map(|i| f64::from(i) * 100.0).collect(), counts }
        };
        for shift in [0, 20, 50, 100, 150] {
            for q in [0.5, 0.95, 0.99] {
                let asked = Asked::new(q);
                let (a, b) = (thousand(0), thousand(shift));
                assert!(asked.p_value(&coarse(&a), &coarse(&b)) >= asked.p_value(&a, &b) - 1e-12, "{shift} {q}");
            }
        }
    }

    #[test]
    fn bounds_are_edges_and_the_last_bucket_is_a_floor() {
        let asked = Asked::new(0.99);
        let edges = vec![10.0, 100.0, 1_000.0];
        let known = Buckets { edges: edges.clone(), counts: vec![9_000.0, 980.0, 20.0, 0.0] };
        let bounds = asked.bounds(&known);
        assert_eq!((bounds.low, bounds.high, bounds.n), (10.0, Some(100.0), 10_000.0));
        assert_eq!(measured(0.99, &known), Sample::Gauge { value: 100.0, n: 10_000 });
        let slow = Buckets { edges: edges.clone(), counts: vec![5_000.0, 3_000.0, 1_000.0, 1_000.0] };
        let bounds = asked.bounds(&slow);
        assert_eq!((bounds.low, bounds.high), (1_000.0, None), "a floor, no number");
        assert_eq!(measured(0.99, &slow), Sample::Floor { at_least: 1_000.0, n: 10_000 });
        assert_eq!(measured(0.99, &slow).value(), None);
        assert_eq!(measured(0.99, &Buckets::default()).value(), None);
        let few = asked.bounds(&Buckets { edges, counts: vec![9.0, 1.0, 0.0, 0.0] });
        assert_eq!((few.low, few.high), (0.0, None), "ten requests tell nothing");
        assert_eq!(asked.bounds(&Buckets::default()), Bounds::default());
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut sum = Buckets::default();
        merge(&mut sum, &thousand(0));
        assert_eq!(sum, Buckets::default(), "more buckets than are kept");
        let two = Buckets { edges: vec![1.0, 2.0], counts: vec![500.0, 400.0, 100.0] };
        merge(&mut sum, &two);
        merge(&mut sum, &two);
        assert_eq!(sum.counts.iter().sum::<f64>(), 2_000.0);
        merge(&mut sum, &Buckets { edges: vec![1.0], counts: vec![1.0] });
        assert_eq!(sum.counts.iter().sum::<f64>(), 2_000.0);
        merge(&mut sum, &Buckets { edges: vec![1.0], counts: vec![1.0, 2.0] });
        assert_eq!(sum.edges, [1.0]);
    }
}
