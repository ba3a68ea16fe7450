use super::{Label::*, *};

const UP: Metric = Metric::new(Direction::Increase);
const EITHER: Metric = Metric::new(Direction::Either);

fn label(metric: &Metric, experiment: &[f64], control: &[f64]) -> Label {
    judge(metric, control, experiment).label
}

fn near(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{got} is not {want}");
}

#[test]
fn percentiles_are_those_of_r() {
    let all = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5];
    assert_eq!([5.0, 50.0, 100.0].map(|p| (percentile(&all, p).unwrap() * 1e9).round() / 1e9), [0.175, 1.75, 3.5]);
    let nist = sorted(&[95.1772, 95.1567, 95.1937, 95.1959, 95.1442, 95.0610, 95.1591, 95.1195, 95.1772, 95.0925, 95.1990, 95.1682]);
    near(percentile(&nist, 90.0).unwrap(), 95.195_68, 1e-9);
    assert_eq!(percentile(&[], 50.0), None);
}

#[test]
fn outliers_are_beyond_the_fences() {
    let values = [21.0, 23.0, 24.0, 25.0, 50.0, 29.0, 23.0, 21.0];
    assert_eq!(without_outliers(&values, 1.5), [21.0, 23.0, 24.0, 25.0, 29.0, 23.0, 21.0]);
    assert_eq!(without_outliers(&[], 1.5), [0.0; 0]);
    // The one that makes it High is one.
    let (control, experiment) = ([1.0; 8], [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 90.0]);
    let strict = Metric { outliers: Some(Metric::OUTLIERS), effect: Effect { allowed_increase: 5.0, ..UP.effect }, ..UP };
    assert_eq!(label(&Metric { outliers: None, ..strict }, &experiment, &control), High);
    assert_eq!(label(&strict, &experiment, &control), Pass, "without it the mean is three times the control's");
}

#[test]
fn degenerate_samples() {
    let zeros = [0.0; 5];
    let ones = [1.0; 5];
    assert_eq!(label(&EITHER, &[1.0; 3], &[1.0; 2]), Pass, "one value");
    assert_eq!(label(&EITHER, &[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 4.0, 3.0, 2.0, 1.0]), Pass, "the same in another order");
    assert_eq!(label(&EITHER, &[1.0, 1.0, 1.0, 1.0, 10.0], &ones), Pass);
    assert_eq!(label(&EITHER, &[10.0; 5], &ones), High);
    assert_eq!(label(&EITHER, &[10.0; 5], &zeros), High);
    let some = [54.9, 54.5, 55.1, 55.6, 57.4];
    let high = judge(&EITHER, &zeros, &some);
    assert!(high.label == High && high.ratio.is_nan());
    assert_eq!(label(&EITHER, &zeros, &some), Low);
    assert_eq!(judge(&EITHER, &ones, &ones).ratio, 1.0);
    assert_eq!(label(&EITHER, &[3.0], &[1.0]), Error, "one each cannot be ranked");
}

#[test]
fn only_the_direction_that_is_bad_counts() {
    let (low, high) = ([1.0; 5], [10.0; 5]);
    let down = Metric::new(Direction::Decrease);
    assert_eq!([&UP, &down, &EITHER].map(|m| label(m, &high, &low)), [High, Pass, High]);
    assert_eq!([&UP, &down, &EITHER].map(|m| label(m, &low, &high)), [Pass, Low, Low]);
}

#[test]
fn missing_data_in_the_order_of_its_rules() {
    let some = [1.0, 2.0, 3.0];
    let critical = Metric { critical: true, ..UP };
    let nodata = |m: &Metric| {
        let judged = judge(m, &some, &[]);
        (judged.label, judged.critical)
    };
    assert_eq!(nodata(&UP), (Nodata, false));
    assert_eq!(nodata(&critical), (Nodata, true), "the critical flag is kept");
    assert_eq!(nodata(&Metric { must_have_data: true, ..UP }), (NodataFailMetric, false));
    assert_eq!(nodata(&Metric { must_have_data: true, ..critical }), (Nodata, true));
    let replace = Metric { nan: Nan::Replace, must_have_data: true, ..critical };
    assert_eq!(nodata(&replace), (Pass, false), "replaced and empty passes, even a critical one");
    assert_eq!(label(&UP, &[f64::NAN; 9], &some), Nodata, "gaps are removed");
    assert_eq!(label(&Metric { nan: Nan::Replace, ..UP }, &[f64::NAN; 9], &[0.0; 3]), Pass, "gaps are zeros");
}

#[test]
fn the_famous_miss_is_missed() {
    // A baseline of zero and errors now and then: spinnaker #5622.
    let experiment = [0.0, 0.048, 0.0, 0.18, 0.089, 0.0, 0.098, 0.035, 0.0, 0.0];
    let judged = judge(&UP, &[0.0; 10], &experiment);
    assert_eq!(judged.label, Pass);
    let shift = judged.shift.unwrap();
    assert_eq!(shift.low, 0.0);
    near(shift.high, 0.089_010_5, 1e-6);
    near(shift.estimate, 0.021_553_2, 1e-6);
}

#[test]
fn the_other_famous_miss_is_missed_too_unless_its_gaps_are_left_out() {
    // Kayenta #799: five values of 25, the others replaced by zeros.
    let mut experiment = [0.0; 25];
    for (place, value) in [(1, 1.0), (6, 2.0), (11, 1.0), (16, 2.0), (21, 1.0)] {
        experiment[place] = value;
    }
    let judged = judge(&UP, &[0.0; 25], &experiment);
    assert_eq!(judged.label, Pass);
    let shift = judged.shift.unwrap();
    assert_eq!((shift.low, shift.estimate), (0.0, 0.0));
    near(shift.high, 6.566e-5, 1e-8);
    let judged = judge(&UP, &[0.0; 5], &[1.0, 4.0, 2.0, 3.0, 1.0]);
    assert_eq!(judged.label, High);
    let shift = judged.shift.unwrap();
    assert_eq!((shift.low, shift.high), (1.0, 4.0));
    near(shift.estimate, 2.0, 1e-4);
}

#[test]
fn an_effect_must_be_as_large_as_is_allowed() {
    let (control, experiment) = ([10.0, 11.0, 12.0, 10.5, 11.5], [15.0, 16.0, 17.0, 15.5, 16.5]);
    let allows = |allowed_increase: f64| Metric { effect: Effect { allowed_increase, ..UP.effect }, ..UP };
    assert_eq!([1.0, 1.4, 1.5].map(|r| label(&allows(r), &experiment, &control)), [High, High, Pass], "1.45 times");
    let allows = |allowed_decrease: f64| Metric { effect: Effect { allowed_decrease, ..UP.effect }, ..EITHER };
    assert_eq!([1.0, 0.7, 0.6].map(|r| label(&allows(r), &control, &experiment)), [Low, Low, Pass], "0.69 times");
    let chance = Effect::any(Measure::Cles);
    assert_eq!(label(&Metric { effect: chance, ..UP }, &experiment, &control), High, "each above each");
    let never = Effect { allowed_increase: 1.01, ..chance };
    assert_eq!(label(&Metric { effect: never, ..UP }, &experiment, &control), Pass, "no chance is above 1");
}

#[test]
fn critical_metrics_are_critical_from_their_own_effect_on() {
    let (control, experiment) = ([10.0, 11.0, 12.0, 10.5, 11.5], [15.0, 16.0, 17.0, 15.5, 16.5]);
    let from = |critical_increase: f64| Metric { critical: true, effect: Effect { critical_increase, ..UP.effect }, ..UP };
    let judged = |metric: Metric| judge(&metric, &control, &experiment);
    assert!(judged(from(1.4)).critical && !judged(from(1.5)).critical);
    assert_eq!(judged(from(1.5)).label, High);
    assert!(!judged(UP).critical, "one that is not critical never is");
    assert!(!judge(&from(1.0), &control, &control).critical, "nor one that passes");
    assert!(judge(&from(1.0), &[0.0; 5], &experiment).critical, "an effect without a number is as large as can be");
}

fn judged(label: Label, critical: bool) -> Judged {
    Judged { label, ratio: 1.0, critical, shift: None }
}

fn group(weight: Option<f64>, labels: &[Label]) -> Group {
    Group { weight, metrics: labels.iter().map(|l| judged(*l, false)).collect() }
}

#[test]
fn published_scores() {
    assert_eq!(score(&[group(Some(50.0), &[Pass, High]), group(Some(50.0), &[High])]), 25.0);
    assert_eq!(score(&[group(None, &[Pass, Nodata]), group(None, &[High])]), 50.0);
    let critical = |label, other| [Group { weight: None, metrics: vec![judged(other, false), judged(label, true)] }];
    assert_eq!(score(&critical(High, Pass)), 0.0);
    assert_eq!(score(&critical(Pass, Low)), 50.0);
    assert_eq!(score(&[group(Some(15.0), &[High, Low, Pass]), group(Some(85.0), &[High])]), 5.0);
}

#[test]
fn what_is_missing_or_broken_does_not_count_until_it_is_half() {
    assert_eq!(score(&[group(None, &[Pass, Pass, Nodata])]), 100.0);
    assert_eq!(score(&[group(None, &[Pass, Nodata])]), 0.0, "half is too much");
    assert_eq!(score(&[group(None, &[Pass, Error])]), 100.0);
    assert_eq!(score(&[group(None, &[Pass, NodataFailMetric])]), 50.0);
    assert_eq!(score(&[group(None, &[Nodata]), group(None, &[Pass, Pass])]), 100.0, "a group without data is full");
    assert_eq!(score(&[Group { weight: None, metrics: vec![judged(Nodata, true), judged(Pass, false), judged(Pass, false)] }]), 0.0);
    assert_eq!(score(&[group(Some(40.0), &[High]), group(None, &[Pass]), group(None, &[Pass, Pass, High])]), 50.0);
}

#[test]
fn scores_in_words() {
    let at = |score: f64| word(score, MARGINAL, PASS);
    assert_eq!([74.99, 75.0, 94.99, 95.0].map(at), [Word::Fail, Word::Marginal, Word::Marginal, Word::Pass]);
}
