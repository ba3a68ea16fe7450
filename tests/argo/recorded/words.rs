//! What Argo's own command line printed, word for word.

use super::{Play, scenarios};
use cutover::runtime::argo::{project::controller::Words, watch::Name};
use serde_json::Value;
use std::{collections::BTreeMap, fs, io::Read, path::Path};

/// What is printed, by the word before its colon.
type Fields = BTreeMap<String, String>;

/// A screen that somebody had printed between two moments.
struct Screen {
    t: f64,
    end: f64,
    fields: Fields,
}

fn screens(dir: &Path) -> Vec<Screen> {
    let mut text = String::new();
    match fs::read(dir.join("screens.jsonl.gz")) {
        Ok(bytes) => drop(flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).unwrap()),
        Err(_) => text = fs::read_to_string(dir.join("screens.jsonl")).unwrap_or_default(),
    }
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let screens = all.map(|screen| {
        let head = screen["get"].as_str().unwrap_or_default().split("\n\n").next().unwrap_or_default().to_owned();
        let fields = head.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect();
        Screen { t: screen["t"].as_f64().unwrap(), end: screen["t_end"].as_f64().unwrap(), fields }
    });
    screens.filter(|screen| screen.fields.contains_key("Status")).collect()
}

/// As the command line prints it.
fn printed(name: &Name, words: &Words) -> Fields {
    let mut fields = Fields::new();
    let mut put = |key: &str, value: Option<String>| drop(value.map(|v| fields.insert(key.into(), v)));
    put("Name", Some(name.name.clone()));
    put("Namespace", Some(name.namespace.clone()));
    put("Status", Some(words.status.clone()));
    put("Message", Some(words.message.clone()).filter(|m| !m.is_empty()));
    put("Strategy", Some(words.strategy.into()));
    put("Step", words.step.map(|(at, of)| format!("{at}/{of}")));
    put("SetWeight", words.set_weight.map(|w| w.to_string()));
    put("ActualWeight", words.actual_weight.map(|w| w.to_string()));
    for (key, n) in ["Desired", "Current", "Updated", "Ready", "Available"].into_iter().zip(words.replicas) {
        put(key, Some(n.to_string()));
    }
    fields
}

#[test]
fn argos_own_words_are_ours() {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for dir in scenarios() {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let mut play = Play::new(&dir);
        let mut states: Vec<(f64, BTreeMap<String, Fields>)> = Vec::new();
        for at in 0..play.changes.len() {
            let t = play.play(at);
            states.push((t, play.names().iter().map(|n| (n.name.clone(), printed(n, &play.words(n, t)))).collect()));
        }
        for Screen { t, end, mut fields } in screens(&dir) {
            if let Some(status) = fields.get_mut("Status") {
                *status = status.split_whitespace().last().unwrap_or_default().to_owned();
            }
            fields.retain(|key, value| KEYS.contains(&key.as_str()) && !value.is_empty());
            let who = fields["Name"].clone();
            let before = states.iter().rposition(|(at, _)| *at <= t).unwrap_or(0);
            let meanwhile: Vec<_> = states[before..].iter().take_while(|(at, _)| *at <= end).filter_map(|(_, all)| all.get(&who)).collect();
            compared += 1;
            if !meanwhile.contains(&&fields) {
                wrong.push(format!("{name} at {t}: printed {fields:?}\n  ours {:?}", meanwhile.last()));
            }
        }
    }
    println!("{compared} screens");
    assert!(wrong.is_empty() && compared > 60, "{} of {compared}\n{}", wrong.len(), wrong.join("\n"));
}

const KEYS: [&str; 13] = [
    "Name",
    "Namespace",
    "Status",
    "Message",
    "Strategy",
    "Step",
    "SetWeight",
    "ActualWeight",
    "Desired",
    "Current",
    "Updated",
    "Ready",
    "Available",
];
