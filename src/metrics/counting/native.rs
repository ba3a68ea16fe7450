//! Native histograms as if they were classic ones: what lies at or below edges that do not change.
//!
//! Buckets of an exponential histogram have a schema s: bucket i ends at 2^(i / 2^s). Schemas nest: two
//! buckets of schema s are one of schema s - 1, and bucket i is part of bucket ceil(i / 2). A client makes
//! its buckets coarser while it runs, and two versions may well have different ones; on the edges of a
//! schema that is as coarse as the coarsest, all of them tell exactly the same. That one is fixed, with two
//! edges for each doubling: what clients keep (160 buckets or so for all latencies there are) is finer. A
//! histogram that is coarser still is laid on the edges that it has and says nothing of those between them.
//!
//! Buckets that are no powers (custom ones) are laid on a ladder: what lies at or below each rung for certain.

use crate::{
    metrics::{Native, Series, Value},
    model::time::Time,
};

/// The schema on whose edges histograms are laid.
const SCHEMA: i32 = 1;

/// From where to where edges are of use, in milliseconds.
const FROM: f64 = 0.1;
const TO: f64 = 70_000.0;

/// Edges for buckets that are no powers, in milliseconds.
const LADDER: [f64; 28] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1_000.0, 1_500.0,
    2_000.0, 3_000.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0,
];

/// What ends the buckets of a histogram.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Edges {
    /// Powers, of this schema.
    Schema(i32),
    /// Something else.
    Custom,
    /// Nothing but zero, or nothing at all, was observed: any edge will do.
    Any,
}

/// One edge with what lies at or below it, oldest first; the last one is infinite and has all of them.
type Line = (f64, Vec<(Time, f64)>);

/// The lines of a series; none where it is no native histogram. `scale` makes milliseconds of its unit.
pub fn lines(series: &Series, scale: f64) -> Vec<Line> {
    let fine = |h: &Native| h.count.is_finite() && h.count >= 0.0 && h.buckets.iter().all(|(_, _, n)| n.is_finite() && *n >= 0.0);
    let mut points: Vec<(Time, &Native, Edges)> = series
        .points
        .iter()
        .filter_map(|p| match &p.value {
            Value::Histogram(h) if fine(h) => Some((p.at, h, Edges::of(h))),
            _ => None,
        })
        .collect();
    if points.is_empty() {
        return Vec::new();
    }
    points.sort_by_key(|(at, ..)| *at);
    let some = |wanted: fn(Edges) -> bool| points.iter().any(|(_, _, edges)| wanted(*edges));
    let mut all: Vec<(f64, i32)> = Vec::new();
    if some(|edges| edges != Edges::Custom) {
        all.extend(powers(scale));
    }
    if some(|edges| edges == Edges::Custom) {
        all.extend(LADDER.map(|edge| (edge, i32::MAX)));
    }
    all.push((f64::INFINITY, i32::MIN));
    let line = |(edge, schema): (f64, i32)| (edge, line(&points, edge, schema, scale));
    all.into_iter().map(line).filter(|(_, points)| !points.is_empty()).collect()
}

/// What lies at or below an edge that schemas from this one on have. Where an edge of a bucket around zero
/// moves while nothing was reset, no line may fall, or that would be counted as a reset.
fn line(points: &[(Time, &Native, Edges)], edge: f64, schema: i32, scale: f64) -> Vec<(Time, f64)> {
    let mut last: Option<(f64, f64)> = None;
    let told = points.iter().filter(|(.., edges)| edges.tell(edge, schema));
    let lifted = told.map(|(at, h, _)| {
        let reset = last.is_some_and(|(count, _)| h.count < count);
        let value = below(h, edge, scale);
        let value = last.filter(|_| !reset).map_or(value, |(_, before)| value.max(before));
        last = Some((h.count, value));
        (*at, value)
    });
    lifted.collect()
}

fn below(h: &Native, edge: f64, scale: f64) -> f64 {
    match edge.is_finite() {
        true => h.buckets.iter().filter(|(_, high, _)| high * scale <= edge * (1.0 + 1e-9)).map(|(_, _, n)| n).sum::<f64>(),
        false => h.count,
    }
}

/// The edges of [`SCHEMA`] in milliseconds, each with the coarsest schema that has it.
fn powers(scale: f64) -> impl Iterator<Item = (f64, i32)> {
    let per_doubling = f64::from(1 << SCHEMA);
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
    let index = |millis: f64| ((millis / scale).log2() * per_doubling) as i32;
    let edge = move |i: i32| (f64::from(i) / per_doubling).exp2() * scale;
    // 2^(i / 2^s) is an edge of schema s - 1 where i is even; 1 is one of all.
    let coarsest = |i: i32| i32::try_from(i.trailing_zeros()).map_or(i32::MIN, |halved| if i == 0 { i32::MIN } else { SCHEMA - halved });
    (index(FROM)..=index(TO)).map(move |i| (edge(i), coarsest(i)))
}

impl Edges {
    fn of(h: &Native) -> Self {
        let mut found = Self::Any;
        for (low, high, _) in h.buckets.iter().filter(|(low, high, n)| *n > 0.0 && *low > 0.0 && high.is_finite()) {
            let one = schema(*low, *high);
            match (found, one) {
                (_, None) => return Self::Custom,
                (Self::Any, Some(schema)) => found = Self::Schema(schema),
                (Self::Schema(before), Some(schema)) if before != schema => return Self::Custom,
                _ => {}
            }
        }
        // A histogram of powers has no other bucket that ends at infinity.
        if h.buckets.iter().any(|(_, high, n)| *n > 0.0 && high.is_infinite()) { Self::Custom } else { found }
    }

    /// Whether such a histogram tells what lies at or below an edge that schemas from `schema` on have.
    fn tell(self, edge: f64, schema: i32) -> bool {
        match self {
            Self::Any => true,
            _ if edge.is_infinite() => true,
            Self::Schema(own) => schema != i32::MAX && own >= schema,
            Self::Custom => schema == i32::MAX,
        }
    }
}

/// The schema of a bucket; `None` of one that is between no two powers.
#[expect(clippy::cast_possible_truncation, reason = "between -4 and 8")]
fn schema(low: f64, high: f64) -> Option<i32> {
    let doublings = (high / low).log2();
    let schema = -doublings.log2();
    let index = high.log2() / doublings;
    let whole = |n: f64| (n - n.round()).abs() < 1e-6 * n.abs().max(1.0);
    let found = whole(schema) && whole(index) && (-4.0..=8.0).contains(&schema.round());
    found.then_some(schema.round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Labels, Point};
    use proptest::prelude::*;

    fn at(second: i64) -> Time {
        Time::from_timestamp(1_767_225_600 + second, 0).unwrap()
    }

    /// What a client of this schema keeps of latencies in seconds.
    fn histogram(schema: i32, seen: &[f64]) -> Native {
        let mut counts = std::collections::BTreeMap::<i32, f64>::new();
        let zero = seen.iter().filter(|s| **s == 0.0).count() as f64;
        let edge = |i: i32| (f64::from(i) * (-f64::from(schema)).exp2()).exp2();
        for s in seen.iter().filter(|s| **s > 0.0) {
            let mut i = (s.log2() * f64::from(schema).exp2()).ceil() as i32;
            // Logarithms round; buckets end at what the formula says.
            i += i32::from(*s > edge(i)) - i32::from(*s <= edge(i - 1));
            *counts.entry(i).or_default() += 1.0;
        }
        let zero = (zero > 0.0).then_some((-1e-38, 1e-38, zero));
        let buckets = zero.into_iter().chain(counts.into_iter().map(|(i, n)| (edge(i - 1), edge(i), n))).collect();
        Native { count: seen.len() as f64, sum: seen.iter().sum(), buckets }
    }

    fn series(all: Vec<Native>) -> Series {
        let point = |(n, h): (i64, Native)| Point { at: at(15 * n), value: Value::Histogram(h) };
        Series { labels: Labels::default(), points: (0_i64..).zip(all).map(point).collect() }
    }

    fn seen(most: usize) -> impl Strategy<Value = Vec<f64>> {
        // From 20 us to 200 s, on edges too, and zero.
        let any = (-15.6..7.6_f64).prop_map(f64::exp2);
        let on = (-12..6_i32, 1..=8_u32).prop_map(|(i, s)| (f64::from(i) * (-f64::from(s)).exp2()).exp2());
        prop::collection::vec(prop_oneof![8 => any, 2 => on, 1 => Just(0.0)], 0..most)
    }

    proptest! {
        #[test]
        fn every_schema_tells_exactly_the_same(schemas in prop::collection::vec(1..=8_i32, 1..6), seen in seen(60)) {
            for schema in schemas {
                for (edge, points) in lines(&series(vec![histogram(schema, &seen)]), 1_000.0) {
                    let truth = seen.iter().filter(|s| **s * 1_000.0 <= edge * (1.0 + 1e-9)).count() as f64;
                    prop_assert_eq!(&points, &vec![(at(0), truth)], "schema {} at {}", schema, edge);
                }
            }
        }

        #[test]
        fn what_gets_coarser_is_never_reset_and_loses_nothing(
            parts in prop::collection::vec((seen(20), any::<bool>()), 1..12),
        ) {
            let (mut schema, mut all, mut told) = (8, Vec::new(), Vec::new());
            for (part, coarser) in parts {
                all.extend(part);
                schema -= i32::from(coarser && schema > 1);
                told.push(histogram(schema, &all));
            }
            let last = at(15 * (told.len() as i64 - 1));
            for (edge, points) in lines(&series(told.clone()), 1_000.0) {
                prop_assert!(points.windows(2).all(|pair| pair[0].1 <= pair[1].1) && points.len() == told.len(), "{}", edge);
                let truth = all.iter().filter(|s| **s * 1_000.0 <= edge * (1.0 + 1e-9)).count() as f64;
                prop_assert_eq!(points.last(), Some(&(last, truth)));
            }
        }

        #[test]
        fn a_coarser_one_than_all_tells_what_it_knows(schema in -4..=0_i32, seen in seen(40)) {
            let own = lines(&series(vec![histogram(schema, &seen)]), 1_000.0);
            let any = seen.iter().any(|s| *s > 0.0);
            prop_assert!(!any || own.len() < 30, "{:?}", own);
            for (edge, points) in own {
                let truth = seen.iter().filter(|s| **s * 1_000.0 <= edge * (1.0 + 1e-9)).count() as f64;
                prop_assert_eq!(&points, &vec![(at(0), truth)], "schema {} at {}", schema, edge);
            }
        }
    }

    #[test]
    fn edges_are_two_for_each_doubling_in_the_unit_of_the_series() {
        let edges: Vec<f64> = lines(&series(vec![histogram(3, &[0.01])]), 1_000.0).into_iter().map(|(edge, _)| edge).collect();
        assert_eq!((edges.len(), edges.last()), (40, Some(&f64::INFINITY)));
        for edge in [125.0, 250.0, 1_000.0 * 0.5_f64.sqrt(), 1_000.0, 64_000.0] {
            assert!(edges.iter().any(|e| (e - edge).abs() < 1e-9), "{edge}: {edges:?}");
        }
        let millis = lines(&series(vec![histogram(3, &[10.0])]), 1.0);
        assert!(millis.iter().any(|(edge, _)| *edge == 128.0) && millis.len() > 35);
    }

    #[test]
    fn buckets_of_ones_own_are_laid_on_a_ladder() {
        let own = Native { count: 12.0, sum: 1.0, buckets: vec![(0.0, 0.005, 6.0), (0.005, 0.01, 4.0), (0.01, f64::INFINITY, 2.0)] };
        let lines = lines(&series(vec![own]), 1_000.0);
        let at_edge = |edge: f64| lines.iter().find(|(e, _)| *e == edge).unwrap().1[0].1;
        assert_eq!((at_edge(5.0), at_edge(7.5), at_edge(10.0), at_edge(f64::INFINITY)), (6.0, 6.0, 10.0, 12.0));
        assert_eq!(lines.len(), LADDER.len() + 1);
    }
}
