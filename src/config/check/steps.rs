//! The plan of a service: steps that fit their strategy and each other.

use super::Check;
use crate::model::{
    ratio::Weight,
    spec::{ServiceSpec, Strategy},
    step::{CheckSpec, Gates, Pause, StepSpec, WarmSpec},
};
use std::time::Duration;

/// Most requests of one warm-up.
const MOST_REQUESTS: u32 = 1_000_000;
/// How long one check may take.
const LONGEST_CHECK: Duration = Duration::from_secs(3_600);

impl Check<'_> {
    pub(super) fn steps(&mut self, at: &str, service: &ServiceSpec) {
        self.batches(at, service);
        let at = format!("{at}.steps");
        if service.steps.is_empty() && service.strategy == Strategy::Canary {
            if self.places.has(&at) {
                self.say(&at, "the plan has no steps: write for example [{ weight = 5 }, { gate = \"all\" }, { weight = 50 }]");
            } else {
                let what = "`steps` is missing: add for example steps = [{ weight = 5 }, { gate = \"all\" }, { pause = \"10m\" }, { weight = 50 }]";
                self.missing(at.trim_end_matches(".steps"), what);
            }
        }
        let mut last = Weight::ZERO;
        for (i, step) in service.steps.iter().enumerate() {
            let path = format!("{at}.{i}");
            // Where a gate needs traffic, the switch comes before it.
            let traffic = match service.strategy {
                Strategy::Canary => last > Weight::ZERO,
                _ => service.steps.iter().take(i).any(|s| matches!(s, StepSpec::Gate(_))),
            };
            match step {
                StepSpec::Weight(_) if service.strategy != Strategy::Canary => self.no_weight(&path, service.strategy),
                StepSpec::Weight(weight) if *weight <= last => {
                    let before = if last == Weight::ZERO { "0 %".into() } else { format!("the {last} before it") };
                    self.say(&path, &format!("weight {weight} does not rise above {before}: weights of a plan grow from step to step"));
                }
                StepSpec::Weight(weight) => last = *weight,
                StepSpec::Pause(Pause::For(span)) => self.span(&path, "pause", *span),
                StepSpec::Pause(Pause::Manual) => {}
                StepSpec::Gate(gates) => self.gate_step(&path, gates, service, last),
                StepSpec::Check(_) | StepSpec::Warm(_) if traffic => {
                    let (kind, first) = (step.kind(), if service.strategy == Strategy::Canary { "weight" } else { "gate" });
                    self.say(&path, &format!("`{kind}` is for a candidate without traffic: move it before the first {first}"));
                }
                StepSpec::Check(check) => self.check_step(&path, check),
                StepSpec::Warm(warm) => self.warm_step(&path, warm),
                StepSpec::Scale(_) if service.strategy == Strategy::Rolling => {
                    self.say(&path, "a rolling replacement counts its instances itself: use `rolling.surge` and `rolling.unavailable`");
                }
                StepSpec::Scale(_) if service.strategy != Strategy::Canary && traffic => {
                    self.say(&path, "after the switch the candidate has all its instances: move `scale` before the first gate");
                }
                StepSpec::Scale(instances) => self.range(&path, "scale", f64::from(*instances), 1.0, 100.0),
                StepSpec::Native(_) => self.say(&path, "the host has no `native` step: it only shows those of other runtimes"),
            }
        }
    }

    fn no_weight(&mut self, path: &str, strategy: Strategy) {
        let why = match strategy {
            Strategy::Canary => return,
            Strategy::BlueGreen => "blue-green switches all traffic at once, before the first gate or after the last step",
            Strategy::Rolling => "the share of a rolling replacement follows its instances",
            Strategy::Recreate => "recreate runs one version at a time, so there is nothing to share",
        };
        self.say(path, &format!("{why}: remove `weight`, or use strategy = \"canary\""));
    }

    fn batches(&mut self, at: &str, service: &ServiceSpec) {
        let rolling = service.rolling;
        self.range(&format!("{at}.rolling.surge"), "surge", f64::from(rolling.surge), 0.0, 100.0);
        self.range(&format!("{at}.rolling.unavailable"), "unavailable", f64::from(rolling.unavailable), 0.0, 100.0);
        if rolling.surge == 0 && rolling.unavailable == 0 {
            self.say(
                &format!("{at}.rolling"),
                "`surge` and `unavailable` are both 0, so no instance could ever be replaced: raise one of them",
            );
        }
    }

    fn check_step(&mut self, path: &str, check: &CheckSpec) {
        match (&check.http, check.command.as_slice()) {
            (Some(http), []) => self.url_path(&format!("{path}.check.http"), "http", http),
            (None, [program, ..]) => {
                let at = format!("{path}.check.command");
                if program.is_empty() {
                    self.say(&at, "`command` is empty: write for example [\"./check\", \"--port\", \"{port}\"]");
                }
                if let Some(i) = check.command.iter().position(|argument| argument.contains('\0')) {
                    self.say(&format!("{at}.{i}"), "an argument cannot contain a zero character");
                }
            }
            (None, []) => self.say(path, "this check does nothing: give it a `command` or an `http` path"),
            (Some(_), [_, ..]) => self.say(path, "a check has a `command` or an `http` path, not both: write two steps"),
        }
        let at = format!("{path}.check.timeout");
        self.span(&at, "timeout", check.timeout);
        if check.timeout > LONGEST_CHECK {
            let longest = humantime::format_duration(LONGEST_CHECK);
            self.say(&at, &format!("the `timeout` of a check is at most {longest}: a check that hangs holds the plan for so long"));
        }
    }

    fn warm_step(&mut self, path: &str, warm: &WarmSpec) {
        self.range(&format!("{path}.warm.requests"), "requests", f64::from(warm.requests), 1.0, f64::from(MOST_REQUESTS));
        self.url_path(&format!("{path}.warm.path"), "path", &warm.path);
    }

    fn gate_step(&mut self, path: &str, gates: &Gates, service: &ServiceSpec, weight: Weight) {
        let known: Vec<&str> = service.gates.iter().map(|g| g.name.as_str()).collect();
        match gates {
            Gates::All if known.is_empty() => {
                self.say(path, "this step waits for all gates, but the service has none: add a [[service.gate]] or remove the step");
            }
            Gates::Named(names) if names.is_empty() => self.say(path, "this step names no gate: write their names, or \"all\""),
            Gates::Named(names) => {
                for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
                    let near = |other: &&&str| strsim::damerau_levenshtein(name.as_str(), other);
                    let hint = match known.iter().min_by_key(near) {
                        Some(best) if near(&best) <= 3 => format!("did you mean `{best}`?"),
                        Some(_) => format!("the service has {}", known.join(", ")),
                        None => "the service has none".into(),
                    };
                    self.say(path, &format!("unknown gate `{}`: {hint}", name.text()));
                }
            }
            Gates::All => {}
        }
        if weight == Weight::ZERO && service.strategy == Strategy::Canary {
            self.say(path, "this gate comes before any weight and would wait for ever: gates judge the candidate's traffic");
        }
    }
}
