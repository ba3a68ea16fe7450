//! The order of verdicts, against a plain list of what holds.

use super::*;
use crate::judge::{
    GateRun,
    decide::{Decision, Odds, Reach, blind as unheard},
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

/// What holds, in the order in which it decides; `None` where only the detector's own account of a change
/// can tell whether that is excused.
fn first_that_holds(run: &GateRun, gate: &GateSpec, odds: &Odds, sensors: &[Sensor]) -> Option<Decision> {
    let lines = lines(gate, 1);
    let (fail, change, pass) = (lines.fail.ln(), lines.change.ln(), lines.pass.ln());
    let over = |reach: Reach| reach.run >= fail || reach.change >= change;
    let (worse, changed) = (odds.run >= fail, odds.change >= change);
    let spent = run.spent(gate).is_some_and(|spent| spent >= gate.budget / 100.0);
    let order = [
        (Some(sensors.iter().any(|s| s.state != SensorState::Fresh)), Decision::Blind(Some(0))),
        (Some(worse && odds.safe_run < pass), Decision::Worse),
        (if changed { None } else { Some(false) }, Decision::Changed),
        (Some(over(odds.over) && over(odds.stable_over)), Decision::Both),
        (Some(over(odds.over)), Decision::Limit),
        (Some(spent && run.ln_above() >= lines.worse.ln()), Decision::Budget),
        (Some(worse), Decision::Within),
        (Some(odds.run >= lines.worse.ln()), Decision::Suspect),
        (Some(odds.safe >= pass), Decision::Safe),
        (Some(odds.under >= pass), Decision::Under),
        (Some(true), Decision::Open),
    ];
    let (known, first) = order.into_iter().find(|(holds, _)| *holds != Some(false))?;
    known.map(|_| first)
}

#[test]
fn the_first_that_holds_decides() {
    let mut runner = TestRunner::deterministic();
    let ratios = prop_oneof![0.0..6.0_f64, 1.5..2.2_f64];
    let steps = prop::collection::vec((10.0..2_000.0_f64, ratios, 1..40_u8), 1..5);
    let rules = (prop::sample::select(vec![0.5, 2.0, 20.0]), prop::sample::select(vec![1.2, 3.0]), prop::sample::select(vec![0.01, 50.0]));
    let worlds = (steps, 0.0005..0.04_f64, rules, 0..8_u8);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..120 {
        let tree = worlds.new_tree(&mut runner).unwrap();
        let (steps, p, (limit, r_max, budget), blind) = tree.current();
        let g = gate(&format!("interval = \"1m\"\nlimit = {limit}\nr_max = {r_max}\nslo = 99\nbudget = {budget}"));
        let stable = Count::new((900.0 * p).round(), 900.0);
        let mut w = World::new(std::slice::from_ref(&g), (stable.hits, stable.of));
        let state = if blind == 0 { SensorState::Stale } else { SensorState::Fresh };
        let sensors = [sensor(state, true)];
        for (n, ratio, minutes) in steps {
            for _ in 0..minutes {
                let candidate = Count::new((n * p * ratio).round().min(n), n);
                w.ledger.feed(&g, &Interval::new(at(w.secs), at(w.secs + 60), candidate, stable));
                w.secs += 60;
                let run = w.ledger.gate(&g.name).unwrap();
                let (decision, odds) = (unheard(&sensors).unwrap_or_else(|| run.decision(&g, &Held::new(lines(&g, 1)))), run.odds());
                if let Some(want) = first_that_holds(run, &g, &odds, &sensors) {
                    assert_eq!(decision, want, "{odds:?}");
                }
                *seen.entry(format!("{decision:?}")).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(seen.len(), 11, "every one of them decides now and then: {seen:?}");
}
