//! Writes that the controller never looked at: all of those that were recorded, and no others.

use super::{Play, data};
use std::collections::BTreeSet;

/// How often it is looked at while nothing happens.
const LOOK: f64 = 0.5;

/// Each write that was said to be lost: what, and since when in tenths of a second.
pub fn lost(mut play: Play) -> BTreeSet<(String, i64)> {
    let start = play.time(0.0);
    let mut all = BTreeSet::new();
    for at in 0..play.changes.len() {
        let mut t = play.play(at);
        let next = play.changes.get(at + 1).map_or(t + 5.0, |next| next.t);
        while t < next {
            for name in play.names() {
                let findings = play.project(&name, t).findings;
                let found = findings.iter().filter(|f| f.kind.as_str() == "lost");
                all.extend(found.map(|f| {
                    let what = f.what.as_str().split(' ').next().unwrap().to_owned();
                    (what, (f.since - start).num_milliseconds() / 100)
                }));
            }
            t += LOOK;
        }
    }
    all
}

#[test]
fn every_lost_write_is_found_and_nothing_else() {
    let mut said = Vec::new();
    for dir in super::scenarios().into_iter().filter(|dir| dir.starts_with(data())) {
        let scenario = dir.file_name().unwrap().to_string_lossy().into_owned();
        let lost = lost(Play::new(&dir));
        if !lost.is_empty() {
            let kinds: BTreeSet<&str> = lost.iter().map(|(what, _)| what.as_str()).collect();
            said.push(format!("{scenario} {} {}", lost.len(), kinds.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    assert_eq!(said, EXPECTED);
}

/// Scenario, number, kinds of writes. In 12 a spec is invalid, and the controller really looks every 10 s only.
const EXPECTED: [&str; 5] = [
    "12-invalid-spec 2 abort,spec",
    "23-race-lost-promote 1 promote",
    "26-race-lost-undo-bluegreen 1 spec",
    "h-race 9 promote",
    "h-race2 20 abort,full,promote,spec",
];
