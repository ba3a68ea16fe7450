//! Every state of every recording, against lines that were read by a person.

use super::{Play, data, scenarios, summary::summary};
use cutover::{model::time::Time, runtime::argo::watch::Name};
use std::{collections::BTreeMap, fmt::Write, fs};

#[test]
fn every_state_of_every_recording_is_as_it_was_read() {
    let write = std::env::var_os("CUTOVER_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for dir in scenarios().into_iter().filter(|dir| dir.starts_with(data())) {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let golden = data().join(format!("golden/{name}.txt"));
        let lines = lines(Play::new(&dir));
        if write {
            fs::write(&golden, lines).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if let Some((at, (is, was))) =
            lines.lines().zip(expected.lines().chain(std::iter::repeat(""))).enumerate().find(|(_, (a, b))| a != b)
        {
            wrong.push(format!("{name}:{}\n  is  {is}\n  was {was}", at + 1));
        } else if lines.lines().count() != expected.lines().count() {
            wrong.push(format!("{name}: {} lines, not {}", lines.lines().count(), expected.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A line for each rollout whose state another one is than before, with when that was.
pub fn lines(mut play: Play) -> String {
    let start = play.time(0.0);
    let (mut out, mut before) = (String::new(), BTreeMap::new());
    for at in 0..play.changes.len() {
        let t = play.play(at);
        let next = play.changes.get(at + 1).map_or(f64::INFINITY, |next| next.t);
        // What is of one moment is seen as one; what has settled is looked at once more.
        for t in [t, t + SETTLED].into_iter().filter(|t| *t < next) {
            look(&play, t, start, &mut before, &mut out);
        }
    }
    out
}

/// So long after the last change it is looked at once more.
const SETTLED: f64 = 4.0;

fn look(play: &Play, t: f64, start: Time, before: &mut BTreeMap<Name, String>, out: &mut String) {
    let names = play.names();
    for name in &names {
        let line = summary(&play.project(name, t), start);
        if before.get(name) != Some(&line) {
            writeln!(out, "{t:.3} {} {line}", name.name).unwrap();
            before.insert(name.clone(), line);
        }
    }
    let gone: Vec<_> = before.keys().filter(|name| !names.contains(name)).cloned().collect();
    for name in gone {
        writeln!(out, "{t:.3} {} gone", name.name).unwrap();
        before.remove(&name);
    }
}
