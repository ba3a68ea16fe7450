//! How often each tool's rule sends a healthy release back and a sick one, beside the judge: the same
//! seeded releases as in the simulation, and the limits that suit a service with 1 % errors. That is
//! the point of the table: they do not travel. Kayenta looks when a step ends. At 5 % the candidate has
//! fifty requests a minute: one error is exactly the limit, which passes Flagger and fails Argo's `<`.

use super::{
    simulation::{RPM, errors, stepped},
    *,
};
use crate::judge::{decide::Decision, peers::kayenta::Label};
use rand::{SeedableRng, rngs::StdRng};

const RUNS: usize = 600;
const NAMES: [&str; 4] = ["cutover", "Kayenta", "Flagger", "Argo Rollouts"];
const STEP: usize = 10;

/// The minute in which each would have sent it back.
fn release(rng: &mut StdRng, stable: f64, candidate: f64) -> [Option<usize>; 4] {
    // The judge's own limit has tests of its own: here only its comparison may decide.
    let gates = [
        gate("name = \"own\"\ninterval = \"1m\"\nlimit = 100\non_fail = \"revert\""),
        gate("name = \"rules\"\ninterval = \"1m\"\nlimit = 2"),
    ];
    let held = Held::new(lines(&gates[0], 1));
    let mut ledger = Ledger::default();
    let feed = |ledger: &mut Ledger, minute: u64, c: Count, s: Count| {
        let interval = Interval::new(at(minute * 60), at(minute * 60 + 60), c, s);
        gates.iter().for_each(|gate| assert_ne!(ledger.feed(gate, &interval), Fed::Refused));
    };
    for minute in 0..60 {
        feed(&mut ledger, minute, Count::default(), Count::new(errors(rng, RPM * stable, 1.0), RPM));
    }
    let mut sent = [None; 4];
    for (k, (weight, ratio)) in stepped(candidate).into_iter().enumerate() {
        let minute = 60 + k as u64;
        if k % STEP == 0 {
            ledger.follow(Some(&RunId::new("2")), Some(at(minute * 60)), &gates);
        }
        let (c, s) = (RPM * weight, RPM * (1.0 - weight));
        let (x, y) = (errors(rng, c * ratio, 1.0).min(c), errors(rng, s * stable, 1.0));
        feed(&mut ledger, minute, Count::new(x, c), Count::new(y, s));
        let decision = ledger.gate(&gates[0].name).unwrap().decision(&gates[0], &held);
        let rules = &ledger.gate(&gates[1].name).unwrap().peers;
        let said = rules.say(&gates[1]);
        let word = |name: &str| said.iter().any(|p| p.name.as_str() == name && p.word.as_str() == "would revert");
        let judged = matches!(decision, Decision::Worse | Decision::Changed | Decision::Within);
        let kayenta = k % STEP == STEP - 1 && rules.judged().label == Label::High;
        for (sent, now) in sent.iter_mut().zip([judged, kayenta, word("Flagger"), word("Argo Rollouts")]) {
            *sent = sent.or(now.then_some(k + 1));
        }
    }
    sent
}

/// Percent that each sends back.
fn table(stable: f64, candidate: f64) -> [f64; 4] {
    let mut rng = StdRng::seed_from_u64(19);
    let runs: Vec<_> = (0..RUNS).map(|_| release(&mut rng, stable, candidate)).collect();
    println!("{} % against {} %", candidate * 100.0, stable * 100.0);
    let mut percent = [0.0; 4];
    for (i, (name, percent)) in NAMES.iter().zip(&mut percent).enumerate() {
        let mut minutes: Vec<usize> = runs.iter().filter_map(|sent| sent[i]).collect();
        minutes.sort_unstable();
        *percent = minutes.len() as f64 * 100.0 / RUNS as f64;
        println!("    {name:14} {percent:5.1} %, median minute {:?}", minutes.get(minutes.len() / 2));
    }
    percent
}

#[test]
fn healthy_releases_and_innocent_ones() {
    // Figures that were published for Flagger's rule: 7.0 %, 0 and 100.
    let [own, kayenta, flagger, argo] = table(0.01, 0.01);
    assert!(own <= 1.5 && kayenta <= 2.0 && (3.0..=12.0).contains(&flagger) && argo >= flagger, "{own} {kayenta} {flagger} {argo}");
    let [own, _, flagger, argo] = table(0.001, 0.001);
    assert!(own <= 1.5 && flagger <= 1.0 && argo <= 3.0, "{own} {flagger} {argo}");
    let [own, _, flagger, argo] = table(0.025, 0.025);
    assert!(own <= 1.5 && flagger >= 99.0 && argo >= 99.0, "both are sick, and the candidate is sent back: {own} {flagger} {argo}");
}

#[test]
fn sick_releases() {
    // 82.7 %, 100, 100 and 100; and of five times the errors 0.03 %.
    for (stable, candidate, least) in [(0.01, 0.015, 70.0), (0.01, 0.02, 98.0), (0.01, 0.05, 99.0), (0.025, 0.05, 99.0)] {
        let [_, _, flagger, argo] = table(stable, candidate);
        assert!(flagger >= least && argo >= flagger, "{flagger} {argo}");
    }
    let [own, kayenta, flagger, _] = table(0.001, 0.005);
    assert!(own >= 97.0 && kayenta <= 15.0 && flagger <= 1.0, "errors now and then: {own} {kayenta} {flagger}");
}
