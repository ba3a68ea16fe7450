//! Whether a scenario can end as it says, before anything is started: where not, one line each.

use super::{
    Demo, Part,
    expect::{End, Word},
};
use crate::{
    cli::demo::sample::behaviour::Behaviour,
    config::{Config, Finding, Places, nearest},
    model::{
        spec::{OnFail, ServiceSpec, Strategy},
        step::{Gates, Pause, StepSpec},
    },
};
use std::{collections::BTreeSet, time::Duration};

/// Requests per second that one laptop can be asked for.
const MOST: f64 = 2_000.0;

/// Everything that is wrong, in the order of the file.
pub fn check(config: &Config, demo: &Demo, places: &Places<'_>, speed: f64) -> Vec<Finding> {
    let mut check = Check { places, found: Vec::new(), speed };
    let named: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
    for (name, part) in &demo.service {
        let at = format!("demo.service.{name}");
        match config.services.iter().find(|s| s.name == *name) {
            Some(spec) => check.part(&at, part, spec),
            None => check.say(&at, &nearest("service", name, &named)),
        }
    }
    for (i, spec) in config.services.iter().enumerate().filter(|(_, s)| !demo.service.contains_key(&s.name)) {
        check.say(&format!("service.{i}.name"), &format!("this service has no version: add [demo.service.{}]", spec.name));
    }
    if config.services.is_empty() {
        check.say("demo", "a scenario needs a service: add a [[service]] and its [demo.service.NAME]");
    }
    check.found.sort_by_key(|f| (f.line, f.column));
    check.found
}

struct Check<'a> {
    places: &'a Places<'a>,
    found: Vec<Finding>,
    speed: f64,
}

impl Check<'_> {
    fn say(&mut self, path: &str, what: &str) {
        self.found.push(self.places.finding(path, what));
    }

    fn part(&mut self, at: &str, part: &Part, spec: &ServiceSpec) {
        self.load(at, part);
        self.versions(at, part);
        self.end(at, part, spec);
        self.time(at, part, spec);
    }

    fn load(&mut self, at: &str, part: &Part) {
        let Some(load) = part.load else { return };
        let rate = |rate: f64| rate > 0.0 && rate <= MOST;
        if !rate(load.rate) {
            self.say(
                &format!("{at}.load.rate"),
                &format!("`rate` must be above 0 and at most {MOST} requests per second; without any leave `load` away"),
            );
        }
        if let Some(rush) = load.bursts
            && !(rush.every > 0.0 && rush.lasts > 0.0 && rush.lasts < rush.every && rush.times > 0.0 && rate(load.rate * rush.times))
        {
            self.say(
                &format!("{at}.load.bursts"),
                &format!("`every` and `lasts` are seconds, `lasts` the shorter one, and `rate` times `times` is at most {MOST}"),
            );
        }
    }

    fn versions(&mut self, at: &str, part: &Part) {
        if part.versions.is_empty() {
            self.say(&format!("{at}.version"), "there is no version to deploy: add { label = \"v41\" }");
        }
        let mut labels = BTreeSet::new();
        let mut last = None;
        for (i, release) in part.versions.iter().enumerate() {
            let path = format!("{at}.version.{i}");
            if release.label.is_empty() || release.label.len() > 60 || release.label.chars().any(|c| c.is_control() || c == '/') {
                self.say(&format!("{path}.label"), "a label has 1 to 60 characters and no `/`");
            }
            if !labels.insert(&release.label) {
                self.say(&format!("{path}.label"), &format!("version `{}` is there already: choose another label", release.label));
            }
            match (i, release.at) {
                (0, Some(_)) => self.say(&format!("{path}.at"), "the first version is stable from the start: remove `at`"),
                (0, None) => {}
                _ if last.is_some_and(|last| release.at() <= last) => {
                    self.say(&path, "versions are deployed in the order of the file: give this one a later `at`");
                }
                _ => last = Some(release.at()),
            }
            self.behaviour(&format!("{path}.behaves"), &release.behaves);
        }
    }

    fn behaviour(&mut self, at: &str, b: &Behaviour) {
        for (name, curve) in [("errors", &b.errors), ("slow", &b.slow)] {
            let percent = curve.iter().all(|[t, v]| *t >= 0.0 && (0.0..=100.0).contains(v));
            if !percent || curve.windows(2).any(|w| matches!(w, [a, b] if a[0] >= b[0])) {
                self.say(&format!("{at}.{name}"), &format!("`{name}` is points [seconds, percent], seconds growing, percent 0 to 100"));
            }
        }
        let range = [
            ("median_ms", b.median_ms, 0.1, 60_000.0),
            ("spread", b.spread, 0.0, 3.0),
            ("startup", b.startup, 0.0, 3_600.0),
            ("leak", b.leak, 0.0, 500.0),
            ("bursts.percent", b.bursts.map_or(0.0, |b| b.percent), 0.0, 50.0),
            ("bursts.length", b.bursts.map_or(1.0, |b| b.length), 1.0, 1_000.0),
            ("cold.times", b.cold.map_or(1.0, |c| c.times), 1.0, 1_000.0),
            ("cold.seconds", b.cold.map_or(1.0, |c| c.seconds), 0.1, 3_600.0),
            ("sick.percent", b.sick.map_or(0.0, |s| s.percent), 0.0, 100.0),
            ("sick.after", b.sick.map_or(0.0, |s| s.after), 0.0, 36_000.0),
            ("crash.after", b.crash.and_then(|c| c.after).unwrap_or(1.0), 0.1, 36_000.0),
            ("crash.megabytes", b.crash.and_then(|c| c.megabytes).unwrap_or(1.0), 1.0, 2_000.0),
        ];
        for (name, value, low, high) in range {
            if !(low..=high).contains(&value) {
                self.say(&format!("{at}.{name}"), &format!("`{name}` must be {low} to {high}"));
            }
        }
        if b.crash.is_some_and(|c| c.after.is_none() && c.requests.is_none() && c.megabytes.is_none()) {
            self.say(&format!("{at}.crash"), "this crash never comes: give it `after` (seconds), `requests` or `megabytes`");
        }
        if b.crash.is_some_and(|c| c.megabytes.is_some()) && b.leak <= 0.0 {
            self.say(&format!("{at}.crash.megabytes"), "nothing leaks, so this crash never comes: give the version a `leak`");
        }
    }

    /// Whether the plan can get where it is expected.
    fn end(&mut self, at: &str, part: &Part, spec: &ServiceSpec) {
        let phase = format!("{at}.expect.phase");
        let expect = &part.expect;
        let steps = &spec.steps;
        if expect.phase == End::Completed && steps.iter().any(|s| matches!(s, StepSpec::Pause(Pause::Manual))) {
            self.say(
                &phase,
                "this can never be `completed`: the plan has `pause = \"manual\"`, where it waits for a person; expect `held`",
            );
        }
        let tries = spec.deadline.on_fail == OnFail::Revert
            || spec.gates.iter().any(|g| g.on_fail() == OnFail::Revert)
            || steps.iter().any(|s| matches!(s, StepSpec::Check(c) if c.on_fail == OnFail::Revert));
        if expect.phase == End::Reverted && !tries {
            self.say(&phase, "this can never be `reverted`: nothing has `on_fail = \"revert\"`, and nobody presses R; expect `held`");
        }
        if part.versions.len() < 2 && !matches!(expect.phase, End::Completed | End::Failed) {
            self.say(&phase, "a service with one version is `completed` or `failed`: add the version to roll out");
        }
        if spec.gates.is_empty() && expect.verdict.is_some() {
            self.say(&format!("{at}.expect.verdict"), "this service has no gate, so there is no verdict: add a [[service.gate]]");
        }
        if expect.verdict == Some(Word::Fail) && !matches!(expect.phase, End::Held | End::Completed | End::Progressing) {
            self.say(
                &format!("{at}.expect.verdict"),
                "gates are judged no more once it is back: leave `verdict` away and say why with `says`",
            );
        }
        // Restarts are counted without requests.
        let needs =
            |gates: &Gates| spec.gates.iter().any(|g| gates.includes(&g.name) && g.signal != crate::model::spec::GateSignal::Restarts);
        let waits = steps.iter().any(|s| matches!(s, StepSpec::Gate(gates) if needs(gates)));
        if waits && part.load.is_none() {
            self.say(at, "the plan has a gate, which nothing can ever pass without requests: add load = { rate = 40 }");
        }
    }

    /// Whether there is time for it.
    fn time(&mut self, at: &str, part: &Part, spec: &ServiceSpec) {
        let pauses: Duration = spec.steps.iter().filter_map(|s| if let StepSpec::Pause(Pause::For(d)) = s { Some(*d) } else { None }).sum();
        let ready = if part.expect.phase == End::Completed && spec.strategy == Strategy::Canary { pauses } else { Duration::ZERO };
        let needed = ready.div_f64(self.speed);
        let within = part.expect.within.div_f64(self.speed.min(1.0));
        if within < needed {
            let (within, needed) = (humantime::format_duration(within), humantime::format_duration(super::whole(needed)));
            self.say(&format!("{at}.expect.within"), &format!("{within} are too short: the plan's pauses alone are {needed}"));
        }
    }
}
