//! The course of a figure in a few cells. Two courses beside each other share one scale; where
//! nothing is known there is a gap.

use super::look::Look;
use crate::model::{
    history::{History, Point, Span},
    signal::SignalId,
    time::Time,
};

/// The last `cells` intervals of a figure, oldest first, up to the one that `now` is in. `None`
/// where nothing was measured.
#[must_use]
pub fn course(history: &History, signal: SignalId, now: Time, cells: usize) -> Vec<Option<f64>> {
    let span = if cells <= Span::HalfHour.points() { Span::HalfHour } else { Span::Day };
    over(history, signal, now, span, 1, cells)
}

/// The same in one of the resolutions that are kept, so many points to a cell.
#[must_use]
pub fn over(history: &History, signal: SignalId, now: Time, span: Span, points: u32, cells: usize) -> Vec<Option<f64>> {
    let step = i64::from(span.interval()) * i64::from(points.max(1));
    let current = now.timestamp().div_euclid(step);
    let mut sums: Vec<Sum> = vec![Sum::default(); cells];
    let place = |point: &Point| {
        // A point's time is its end, so a point that ends on a border belongs to what is before it.
        let interval = (point.at.timestamp() - 1).div_euclid(step);
        usize::try_from(current - interval).ok().and_then(|back| cells.checked_sub(back + 1))
    };
    // Finer points fill what no full interval covers: the current one, and those before a first full one.
    for finer in Span::ALL.into_iter().rev().filter(|s| *s <= span) {
        for point in history.of(finer).iter().rev() {
            match place(point).and_then(|cell| sums.get_mut(cell)) {
                Some(sum) if sum.from.is_none_or(|from| from == finer) => {
                    sum.from = Some(finer);
                    sum.add(point);
                }
                Some(_) => {}
                None if point.at > now => {}
                None => break,
            }
        }
    }
    sums.iter().map(|sum| sum.value(signal)).collect()
}

/// What was counted in one cell's interval.
#[derive(Clone, Default)]
struct Sum {
    /// In which resolution.
    from: Option<Span>,
    secs: u64,
    requests: u64,
    errors: u64,
    slow: u64,
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Sum {
    fn add(&mut self, point: &Point) {
        self.secs += u64::from(point.secs);
        self.requests = self.requests.saturating_add(point.requests);
        self.errors = self.errors.saturating_add(point.errors);
        self.slow = self.slow.saturating_add(point.slow);
        let larger = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        self.p50 = larger(self.p50, point.p50);
        self.p99 = larger(self.p99, point.p99);
    }

    #[expect(clippy::cast_precision_loss, reason = "drawn in seven levels")]
    fn value(&self, signal: SignalId) -> Option<f64> {
        let share = |part: u64| (self.requests > 0).then(|| part as f64 / self.requests as f64);
        match signal {
            SignalId::Requests => (self.secs > 0).then(|| self.requests as f64 / self.secs as f64),
            SignalId::Errors => share(self.errors),
            SignalId::Slow => share(self.slow),
            SignalId::P50 => self.p50,
            SignalId::P99 => self.p99,
            SignalId::P95
            | SignalId::Unavailable
            | SignalId::Timeouts
            | SignalId::Restarts
            | SignalId::Cpu
            | SignalId::Memory
            | SignalId::Alerts => None,
        }
    }
}

/// The value of the highest level for these courses: the next 1, 2 or 5 times a power of ten, so
/// that the scale does not move with every new highest value. 0 if there is nothing but zeros.
#[must_use]
pub fn scale<'a>(courses: impl IntoIterator<Item = &'a [Option<f64>]>) -> f64 {
    let top = courses.into_iter().flatten().flatten().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    if top <= 0.0 {
        return 0.0;
    }
    let ten = 10_f64.powf(top.log10().floor());
    // A hair of tolerance: 1.0 must not become 2.0 by a rounding error of the logarithm.
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * ten).find(|n| top <= n * (1.0 + 1e-9)).unwrap_or(top)
}

/// A course in glyphs, one column each.
#[must_use]
pub fn draw(course: &[Option<f64>], scale: f64, look: &Look) -> String {
    let ladder = &look.glyphs().ladder;
    course
        .iter()
        .map(|value| match value {
            Some(value) if value.is_finite() => {
                let share = if scale > 0.0 { (value / scale).clamp(0.0, 1.0) } else { 0.0 };
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the length of the ladder")]
                let level = ((share * ladder.len() as f64).ceil() as usize).saturating_sub(1);
                ladder.get(level).copied().unwrap_or(" ")
            }
            _ => " ",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{course, draw, scale};
    use crate::{
        model::{
            history::{History, Point},
            signal::SignalId,
            time::Time,
        },
        ui::look::Look,
    };
    use chrono::DateTime;
    use proptest::prelude::*;

    fn at(s: i64) -> Time {
        DateTime::from_timestamp(s, 0).unwrap()
    }

    fn second(s: i64, requests: u64, errors: u64) -> Point {
        Point { at: at(s), secs: 1, requests, errors, slow: 0, p50: None, p99: (requests > 0).then_some(9.0) }
    }

    #[test]
    fn a_gap_is_a_gap_and_no_traffic_is_no_ratio() {
        let mut history = History::default();
        for s in 1..=100 {
            match s {
                31..=50 => {}
                61..=70 => history.push(second(s, 0, 0)),
                s => history.push(second(s, 10, 5)),
            }
        }
        let rates = course(&history, SignalId::Requests, at(103), 12);
        let expected =
            [None, Some(10.0), Some(10.0), Some(10.0), None, None, Some(10.0), Some(0.0), Some(10.0), Some(10.0), Some(10.0), None];
        assert_eq!(rates, expected);
        let errors = course(&history, SignalId::Errors, at(103), 6);
        assert_eq!(errors, [Some(0.5), None, Some(0.5), Some(0.5), Some(0.5), None]);
        assert_eq!(draw(&errors, scale([errors.as_slice()]), &Look::FULL), "▇ ▇▇▇ ");
    }

    #[test]
    fn the_current_interval_comes_from_seconds() {
        let mut history = History::default();
        for s in 1..=23 {
            history.push(second(s, if s > 20 { 40 } else { 10 }, 0));
        }
        assert_eq!(course(&history, SignalId::Requests, at(23), 3), [Some(10.0), Some(10.0), Some(40.0)]);
    }

    #[test]
    fn two_courses_share_a_scale_that_stands_still() {
        let (a, b) = ([Some(1_204_339.0)], [Some(602_169.0)]);
        let top = scale([a.as_slice(), b.as_slice()]);
        assert!((top - 2_000_000.0).abs() < 1.0);
        assert_eq!((draw(&a, top, &Look::FULL), draw(&b, top, &Look::FULL)), ("▅".into(), "▃".into()));
        assert!((scale([[Some(1.0)].as_slice()]) - 1.0).abs() < 1e-9);
        assert_eq!(draw(&[Some(0.0), None], 0.0, &Look::FULL), "▁ ");
    }

    proptest! {
        #[test]
        fn as_many_cells_as_asked(cells in 0_usize..400, now in -1_000_000_i64..4_000_000_000, values in prop::collection::vec(any::<u32>(), 0..40)) {
            let mut history = History::default();
            for (i, v) in values.iter().enumerate() {
                history.push(second(now - 20 + i as i64, u64::from(*v), u64::from(v / 2)));
            }
            let course = course(&history, SignalId::Errors, at(now), cells);
            prop_assert_eq!(course.len(), cells);
            prop_assert_eq!(draw(&course, scale([course.as_slice()]), &Look::FULL).chars().count(), cells);
        }
    }
}
