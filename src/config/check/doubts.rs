//! What can be used and is probably not meant: said by `config check`, `doctor`, `deploy` and a host that starts,
//! and in the way of nothing.

use super::{Config, Doubt, Finding, Places};
use crate::config::MetricsConfig;
use crate::model::{
    ratio::Weight,
    routing::Routing,
    spec::{GateSignal, GateSpec, OnFail, ServiceSpec, Strategy},
    step::{Gates, Pause, StepSpec},
};

/// Every doubt, in the order of the file.
pub fn doubts(config: &Config, places: &Places<'_>) -> Vec<Doubt> {
    let mut all: Vec<Doubt> = Vec::new();
    for (i, service) in config.services.iter().enumerate() {
        let mut doubts = Doubts { places, found: Vec::new() };
        let at = format!("service.{i}");
        doubts.bake(&at, service);
        doubts.batches(&at, service);
        doubts.preview(&at, service);
        doubts.alone(&at, service);
        doubts.steps(&format!("{at}.steps"), service);
        doubts.alerts(&at, service, &config.metrics);
        doubts.limits(&at, service);
        doubts.restarts(&at, service);
        all.extend(doubts.found.into_iter().map(|found| Doubt { service: service.name.clone(), found }));
    }
    all.sort_by_key(|d| (d.found.line, d.found.column));
    all
}

/// So many restarts must have been allowed before none of them passes a gate: 3.65, ten times over while nothing is
/// known of how they come.
const RESTARTS: f64 = 36.5;

struct Doubts<'a> {
    places: &'a Places<'a>,
    found: Vec<Finding>,
}

impl Doubts<'_> {
    fn say(&mut self, path: &str, what: &str) {
        self.found.push(self.places.finding(path, what));
    }

    /// A bake that is over before a gate was judged once proves nothing.
    fn bake(&mut self, at: &str, service: &ServiceSpec) {
        let slowest = service.gates.iter().filter(|g| g.on_fail() != OnFail::Advise).max_by_key(|g| g.interval);
        if let Some(gate) = slowest.filter(|g| !service.bake.is_zero() && service.bake < g.interval) {
            let (bake, every) = (humantime::format_duration(service.bake), humantime::format_duration(gate.interval));
            let what = format!(
                "a version is good after {bake}, before gate `{}` is judged once (every {every}): make `bake` longer, or 0s to mean at once",
                gate.name.text()
            );
            self.say(&format!("{at}.bake"), &what);
        }
    }

    /// An alert about somebody of the same name would send a good release back.
    fn alerts(&mut self, at: &str, service: &ServiceSpec, metrics: &MetricsConfig) {
        if !metrics.alert_matchers.is_empty() || metrics.variables.contains_key("namespace") {
            return;
        }
        for (i, _) in service.gates.iter().enumerate().filter(|(_, g)| g.signal == GateSignal::Alerts && g.on_fail() == OnFail::Revert) {
            let what = format!(
                "an alert about any other `{}` that this server knows sends this one back too: name its labels in metrics.alert_matchers",
                service.name.escape_debug()
            );
            self.say(&format!("{at}.gate.{i}.on_fail"), &what);
        }
    }

    /// A limit that is written as a part of one.
    fn limits(&mut self, at: &str, service: &ServiceSpec) {
        let share = |g: &GateSpec| matches!(g.signal, GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts);
        for (i, gate) in service.gates.iter().enumerate().filter(|(_, g)| share(g)) {
            if let Some(limit) = gate.limit.filter(|limit| *limit > 0.0 && *limit < 0.1) {
                let what = format!(
                    "`limit` is in percent: {limit} is {} of a million requests; for {1} % write {1}",
                    (limit * 1e4).round(),
                    super::percent_of(limit)
                );
                self.say(&format!("{at}.gate.{i}.limit"), &what);
            }
        }
    }

    /// Restarts are rare: it takes long until their absence shows something.
    fn restarts(&mut self, at: &str, service: &ServiceSpec) {
        let waited = |g: &GateSpec| service.steps.iter().any(|s| matches!(s, StepSpec::Gate(gates) if gates.includes(&g.name)));
        let blocks = |g: &GateSpec| g.signal == GateSignal::Restarts && g.on_fail() != OnFail::Advise && waited(g);
        for (i, gate) in service.gates.iter().enumerate().filter(|(_, g)| blocks(g)) {
            let Some(limit) = gate.limit().filter(|limit| *limit > 0.0) else { continue };
            let hours = RESTARTS / limit / f64::from(service.instances.max(1));
            if hours >= 1.0 {
                let what = format!(
                    "a version that never restarts passes gate `{}` after about {} h at {} instances: leave it out of the plan's gate steps, where it brakes all the same, or use on_fail = \"advise\"",
                    gate.name.text(),
                    hours.ceil(),
                    service.instances.max(1)
                );
                self.say(&format!("{at}.gate.{i}.signal"), &what);
            }
        }
    }

    fn batches(&mut self, at: &str, service: &ServiceSpec) {
        let all = service.rolling.unavailable >= service.instances && service.rolling.surge == 0;
        if service.strategy == Strategy::Rolling && all {
            let what = format!("all of {} may be away at once, so nothing serves in between: raise `surge` instead", service.instances);
            self.say(&format!("{at}.rolling.unavailable"), &what);
        }
    }

    /// A preview that nobody has time to look at.
    fn preview(&mut self, at: &str, service: &ServiceSpec) {
        let waits = |step: &StepSpec| matches!(step, StepSpec::Pause(_) | StepSpec::Check(_) | StepSpec::Warm(_));
        let before = service.steps.iter().take_while(|s| !gives_traffic(s, service.strategy));
        if service.preview_listen.is_some() && !before.into_iter().any(waits) {
            let first = if service.strategy == Strategy::Canary { "weight" } else { "gate" };
            let what = format!(
                "a candidate is shown there only until it is ready: put a pause before the first {first}, such as {{ pause = \"manual\" }}"
            );
            self.say(&format!("{at}.preview_listen"), &what);
        }
    }

    /// Where one version runs at a time, clients cannot be told apart.
    fn alone(&mut self, at: &str, service: &ServiceSpec) {
        if service.strategy == Strategy::Recreate && service.routing.sticky != Routing::default().sticky {
            self.say(&format!("{at}.routing.sticky"), "recreate runs one version at a time: there is nothing for clients to stay on");
        }
    }

    fn steps(&mut self, at: &str, service: &ServiceSpec) {
        let mut weight = Weight::ZERO;
        for (i, step) in service.steps.iter().enumerate() {
            let path = format!("{at}.{i}");
            match step {
                StepSpec::Weight(w) => {
                    weight = *w;
                    if *w > Weight::ZERO && w.percent() < 1.0 {
                        let what = format!("a weight is in percent: for {} % write {0}", super::percent_of(w.percent()));
                        self.say(&path, &what);
                    }
                }
                StepSpec::Pause(pause) if weight == Weight::FULL => {
                    let waits = if *pause == Pause::Manual { "a person" } else { "time" };
                    let what = format!(
                        "this waits for {waits} after 100 %: the candidate has all the traffic and stable none; to watch it use `bake` and `keep_warm`"
                    );
                    self.say(&path, &what);
                }
                StepSpec::Gate(gates) => self.gate(&path, gates, &service.gates),
                StepSpec::Scale(n) if *n > service.instances => {
                    let what = format!(
                        "{n} instances are more than the {} it has at 100 %: it shrinks when it gets all the traffic",
                        service.instances
                    );
                    self.say(&path, &what);
                }
                _ => {}
            }
        }
    }

    /// A step that waits for gates that decide nothing waits for nothing.
    fn gate(&mut self, path: &str, gates: &Gates, all: &[GateSpec]) {
        let named = || all.iter().filter(|g| gates.includes(&g.name));
        if named().next().is_some() && named().all(|g| g.on_fail() == OnFail::Advise) {
            let names: Vec<String> = named().map(|g| g.name.text().to_string()).collect();
            let what = format!("this step waits for nothing: {} only advises; to wait for it use on_fail = \"hold\"", names.join(", "));
            self.say(path, &what);
        }
    }
}

/// Whether a step comes with traffic on the candidate.
const fn gives_traffic(step: &StepSpec, strategy: Strategy) -> bool {
    match strategy {
        Strategy::Canary => matches!(step, StepSpec::Weight(_)),
        Strategy::BlueGreen | Strategy::Rolling | Strategy::Recreate => matches!(step, StepSpec::Gate(_)),
    }
}
