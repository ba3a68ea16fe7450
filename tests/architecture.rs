//! The rooms of the house: who may use whom, where time and environment are read, how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a room may `use` of the crate, besides itself. Rooms that are not named may use everything.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("helper", &["model"]),
    ("cause", &[]),
    ("judge", &["model"]),
    ("conductor", &["model", "judge"]),
    ("ui", &["model"]),
    ("journal", &["model", "clock", "watchdog"]),
    ("artifact", &["model"]),
    ("runtime", &["model", "clock", "tls", "helper", "cause"]),
    ("metrics", &["model", "clock", "tls", "helper", "cause"]),
    ("rehearse", &["model", "judge", "metrics"]),
    ("observe", &["model", "judge", "metrics", "runtime", "clock"]),
    ("app", &["model", "judge", "journal", "runtime", "panel", "ui"]),
    ("panel", &["app", "model", "ui"]),
    ("screen", &["app", "panel", "ui", "model", "runtime"]),
    ("host", &["model", "judge", "conductor", "artifact", "journal", "metrics", "clock", "watchdog"]),
];

/// Rooms that decide: no I/O, no runtime, no terminal, no clock.
const PURE: [&str; 8] = ["model", "judge", "conductor", "rehearse", "app", "panel", "screen", "ui"];
const IMPURE: [&str; 9] =
    ["tokio::", "reqwest::", "hyper::", "axum::", "crossterm::", "std::fs", "std::net::Tcp", "std::process", "std::thread"];

/// Where time and environment are read.
const READS_THE_WORLD: [&str; 3] = ["clock", "config", "term"];
const WORLD: [&str; 3] = ["SystemTime::now", "Utc::now", "env::var"];

const LONGEST: usize = 700;

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
    all.sort();
    all
}

struct File {
    room: String,
    name: String,
    /// Without tests and comments.
    code: Vec<String>,
    lines: usize,
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let room = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let tests_only = name.ends_with("tests.rs") || name.contains("/tests/");
        let code = text.lines().take_while(|l| l.trim() != "#[cfg(test)]" && !tests_only);
        let code = code.filter(|l| !l.trim_start().starts_with("//")).map(str::to_owned).collect();
        File { room, name, code, lines: text.lines().count() }
    };
    sources(&root).into_iter().map(read).collect()
}

/// The rooms that a line of code names, also inside a `use crate::{ … }` over several lines.
fn rooms_used(code: &[String]) -> Vec<String> {
    let text = code.join("\n");
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if c.is_whitespace() => {}
                    _ if depth == 0 && start => {
                        used.push(word(&list[i..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            used.push(word(rest));
        }
    }
    used
}

#[test]
fn rooms_use_only_what_they_may() {
    let mut wrong = Vec::new();
    for file in files() {
        let Some((_, may)) = MAY_USE.iter().find(|(room, _)| *room == file.room) else { continue };
        for used in rooms_used(&file.code) {
            if used != file.room && !may.contains(&used.as_str()) {
                wrong.push(format!("src/{} uses {used}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_decides_is_pure() {
    let mut wrong = Vec::new();
    for file in files().into_iter().filter(|f| PURE.contains(&f.room.as_str())) {
        for line in &file.code {
            if let Some(impure) = IMPURE.iter().find(|i| line.contains(**i)) {
                wrong.push(format!("src/{}: {impure} in `{}`", file.name, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn time_and_environment_are_read_in_few_places() {
    let mut wrong = Vec::new();
    for file in files().into_iter().filter(|f| !READS_THE_WORLD.contains(&f.room.as_str())) {
        for line in &file.code {
            if let Some(world) = WORLD.iter().find(|w| line.contains(**w)) {
                wrong.push(format!("src/{}: {world} in `{}`", file.name, line.trim()));
            }
        }
        // The runtime's own instants are for time-outs, and tests can pause them.
        let uses = file.code.join(" ");
        if uses.split(';').any(|statement| statement.trim_start().starts_with("use std::") && statement.contains("Instant")) {
            wrong.push(format!("src/{} uses the system's Instant", file.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = files().iter().filter(|f| f.lines > LONGEST).map(|f| format!("src/{}: {} lines", f.name, f.lines)).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nobody_but_the_demo_knows_that_there_is_a_demo() {
    let mut wrong = Vec::new();
    for file in files().into_iter().filter(|f| !f.name.starts_with("cli/demo") && f.name != "cli.rs") {
        for line in &file.code {
            // What may be said to a person is how to start it.
            let rest = line.replace("`cutover demo`", "").replace("cutover demo", "");
            if rest.to_lowercase().contains("demo") {
                wrong.push(format!("src/{}: `{}`", file.name, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
