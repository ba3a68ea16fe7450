//! Kayenta's judge `NetflixACAJudge-v1.0`, exactly: what it makes of a control and an experiment, metric
//! by metric, and of all metrics together. With its flaws, since it is what people have: missing data
//! that is replaced passes, a baseline of zero with errors now and then passes, samples that follow each
//! other in time are taken as independent, and nothing is paid for looking at many metrics or often.

use super::{
    effect,
    mann_whitney::{Samples, Shift},
};
use statrs::distribution::{ContinuousCDF, Normal};

/// How sure the interval of the shift is.
pub const CONFIDENCE: f64 = 0.98;
/// How wide the band around "no shift" is, in parts of the *shift*, not of the baseline: it does not
/// mean that a quarter worse is tolerated.
pub const TOLERANCE: f64 = 0.25;
/// Scores that Kayenta's documentation proposes: below the first it fails, from the second on it passes.
pub const MARGINAL: f64 = 75.0;
/// See [`MARGINAL`].
pub const PASS: f64 = 95.0;

/// What is done with times that have no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nan {
    /// They are left out.
    #[default]
    Remove,
    /// They are 0.
    Replace,
}

/// In which direction a shift is bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Upwards.
    Increase,
    /// Downwards.
    Decrease,
    /// Both.
    Either,
}

/// By what the size of an effect is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// The experiment's mean to the control's.
    MeanRatio,
    /// The chance that a value of the experiment is above one of the control.
    Cles,
}

/// How large an effect must be to count; 1 for a ratio and 0.5 for a chance is any.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Effect {
    /// Its measure.
    pub measure: Measure,
    /// From here on an increase is High.
    pub allowed_increase: f64,
    /// Down to here a decrease is Low.
    pub allowed_decrease: f64,
    /// From here on an increase of a critical metric is critical.
    pub critical_increase: f64,
    /// Down to here a decrease is.
    pub critical_decrease: f64,
}

impl Effect {
    /// Any effect counts.
    #[must_use]
    pub const fn any(measure: Measure) -> Self {
        let none = match measure {
            Measure::MeanRatio => 1.0,
            Measure::Cles => 0.5,
        };
        Self { measure, allowed_increase: none, allowed_decrease: none, critical_increase: none, critical_decrease: none }
    }
}

/// How a metric is judged.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Metric {
    /// In which direction it is bad.
    pub direction: Direction,
    /// What is done with gaps.
    pub nan: Nan,
    /// By how many interquartile ranges an outlier is beyond the quartiles; `None` keeps them all.
    pub outliers: Option<f64>,
    /// How large an effect must be.
    pub effect: Effect,
    /// Whether it alone fails the canary.
    pub critical: bool,
    /// Whether missing data fail it.
    pub must_have_data: bool,
    /// See [`CONFIDENCE`].
    pub confidence: f64,
    /// See [`TOLERANCE`].
    pub tolerance: f64,
}

impl Metric {
    /// How many interquartile ranges it takes when none are configured.
    pub const OUTLIERS: f64 = 3.0;

    /// With everything else as it is when nothing is configured.
    #[must_use]
    pub const fn new(direction: Direction) -> Self {
        Self {
            direction,
            nan: Nan::Remove,
            outliers: None,
            effect: Effect::any(Measure::MeanRatio),
            critical: false,
            must_have_data: false,
            confidence: CONFIDENCE,
            tolerance: TOLERANCE,
        }
    }
}

/// What a metric is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// No shift that counts.
    Pass,
    /// The experiment is above.
    High,
    /// The experiment is below.
    Low,
    /// Nothing was measured: it does not count.
    Nodata,
    /// Nothing was measured, and should have been: it counts as failed.
    NodataFailMetric,
    /// It could not be judged: it does not count.
    Error,
}

/// A metric that was judged.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judged {
    /// What it is said to be.
    pub label: Label,
    /// The experiment's mean to the control's; no number if either is 0.
    pub ratio: f64,
    /// Whether it fails the canary alone unless it passes.
    pub critical: bool,
    /// The shift, where it came to that.
    pub shift: Option<Shift>,
}

/// Judges one metric; NaN is a gap.
#[must_use]
pub fn judge(metric: &Metric, control: &[f64], experiment: &[f64]) -> Judged {
    let ready = |values: &[f64]| {
        let values = without_gaps(values, metric.nan);
        metric.outliers.map_or_else(|| values.clone(), |factor| without_outliers(&values, factor))
    };
    let (control, experiment) = (ready(control), ready(experiment));
    let plain = |label, ratio, critical| Judged { label, ratio, critical, shift: None };
    if control.is_empty() || experiment.is_empty() {
        return match metric.nan {
            Nan::Replace => plain(Label::Pass, f64::NAN, false),
            Nan::Remove if metric.must_have_data && !metric.critical => plain(Label::NodataFailMetric, f64::NAN, false),
            Nan::Remove => plain(Label::Nodata, f64::NAN, metric.critical),
        };
    }
    // Equal samples, and with them two that have one and the same value each.
    if sorted(&control) == sorted(&experiment) || distinct(&[&control, &experiment]) == 1 {
        return plain(Label::Pass, 1.0, false);
    }
    let flat = distinct(&[&control]) == 1 && distinct(&[&experiment]) == 1;
    let (control, experiment) = if flat { (blurred(&control), blurred(&experiment)) } else { (control, experiment) };
    let ratio = effect::mean_ratio(&experiment, &control);
    let Some(shift) = Samples::new(&experiment, &control).shift(metric.confidence) else {
        return plain(Label::Error, ratio, metric.critical);
    };
    let effect = &metric.effect;
    let size = match effect.measure {
        Measure::MeanRatio => ratio,
        Measure::Cles => effect::cles(&experiment, &control),
    };
    let band = metric.tolerance * shift.estimate.abs();
    let (up, down) = match metric.direction {
        Direction::Increase => (true, false),
        Direction::Decrease => (false, true),
        Direction::Either => (true, true),
    };
    let at_least = |bar: f64| size.is_nan() || size >= bar;
    let at_most = |bar: f64| size.is_nan() || size <= bar;
    let (label, critical) = if up && shift.low > band && at_least(effect.allowed_increase) {
        (Label::High, at_least(effect.critical_increase))
    } else if down && shift.high < -band && at_most(effect.allowed_decrease) {
        (Label::Low, at_most(effect.critical_decrease))
    } else {
        (Label::Pass, false)
    };
    Judged { label, ratio, critical: metric.critical && critical, shift: Some(shift) }
}

fn without_gaps(values: &[f64], nan: Nan) -> Vec<f64> {
    match nan {
        Nan::Remove => values.iter().copied().filter(|v| !v.is_nan()).collect(),
        Nan::Replace => values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect(),
    }
}

/// Without what is beyond the fences: so many interquartile ranges from the quartiles, and never within
/// the first and the last percentile.
fn without_outliers(values: &[f64], factor: f64) -> Vec<f64> {
    let all = sorted(values);
    let at = |p: f64| percentile(&all, p);
    let (Some(p1), Some(q1), Some(q3), Some(p99)) = (at(1.0), at(25.0), at(75.0), at(99.0)) else { return Vec::new() };
    let reach = factor * (q3 - q1);
    let (low, high) = (p1.min(q1 - reach), p99.max(q3 + reach));
    values.iter().copied().filter(|v| (low..=high).contains(v)).collect()
}

/// A percentile, 0 to 100, of sorted values, as R's type 7 interpolates it. `None` of nothing.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
pub fn percentile(sorted: &[f64], p: f64) -> Option<f64> {
    let place = (sorted.len().checked_sub(1)?) as f64 * p / 100.0;
    let low = *sorted.get(place.floor() as usize)?;
    let high = *sorted.get(place.ceil() as usize)?;
    Some(low + (place - place.floor()) * (high - low))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut all = values.to_vec();
    all.sort_by(f64::total_cmp);
    all
}

#[expect(clippy::float_cmp, reason = "values that are exactly equal")]
fn distinct(samples: &[&[f64]]) -> usize {
    let mut all = sorted(&samples.concat());
    all.dedup_by(|a, b| *a == *b);
    all.len()
}

/// Values that are all the same, spread by a hundred-thousandth so that they can be ranked. Kayenta
/// draws this noise from a normal distribution; here it is that distribution's own quantiles, which are
/// the same each time.
#[expect(clippy::cast_precision_loss, reason = "a place in a list")]
fn blurred(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let score = |i: usize| Normal::standard().inverse_cdf((i as f64 + 0.5) / n);
    values.iter().enumerate().map(|(i, v)| v + 1e-5 * v.abs() * score(i)).collect()
}

/// Metrics that are scored together.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Percent of the score; groups without share what is left.
    pub weight: Option<f64>,
    /// Its metrics, without those that are muted.
    pub metrics: Vec<Judged>,
}

/// What a canary is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// It is good.
    Pass,
    /// It goes on, and would not be good enough at the end.
    Marginal,
    /// It ends.
    Fail,
}

/// The score of a canary, 0 to 100, with two decimals.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of metrics and groups")]
pub fn score(groups: &[Group]) -> f64 {
    let all = || groups.iter().flat_map(|group| &group.metrics);
    if all().any(|m| m.critical && m.label != Label::Pass) {
        return 0.0;
    }
    let missing = all().filter(|m| m.label == Label::Nodata).count();
    if missing > 0 && missing * 2 >= all().count() {
        return 0.0;
    }
    let given: f64 = groups.iter().filter_map(|group| group.weight).sum();
    let others = groups.iter().filter(|group| group.weight.is_none()).count() as f64;
    let sum: f64 = groups.iter().map(|group| of_group(group) * group.weight.unwrap_or((100.0 - given) / others) / 100.0).sum();
    (sum * 100.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "numbers of metrics")]
fn of_group(group: &Group) -> f64 {
    let count = |label: Label| group.metrics.iter().filter(|m| m.label == label).count() as f64;
    let pass = count(Label::Pass);
    let counted = pass + count(Label::High) + count(Label::Low) + count(Label::NodataFailMetric);
    if counted > 0.0 { 100.0 * pass / counted } else { 100.0 }
}

/// What a score means; both lines belong to the better side.
#[must_use]
pub fn word(score: f64, marginal: f64, pass: f64) -> Word {
    if score >= pass {
        Word::Pass
    } else if score >= marginal {
        Word::Marginal
    } else {
        Word::Fail
    }
}

#[cfg(test)]
mod tests;
