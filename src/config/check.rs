//! What serde cannot know: values that do not fit each other or the world.

mod doubts;
mod metrics;
mod routing;
mod steps;

use super::{Config, Doubt, Finding, MetricsKind, TargetConfig, TargetKind, parse::Places};
use crate::model::{
    code::Code,
    rules::Rules,
    spec::{GateSignal, GateSpec, OnFail, Probe, SecretSource, ServiceSpec},
};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

/// Longer than anything that makes sense, and short enough to be added to any date.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of a Unix socket's path, without the final zero.
const SOCKET_PATH: usize = 107;

/// Everything that is wrong, in the order of the file.
pub fn check(config: &Config, places: &Places<'_>) -> Vec<Finding> {
    let mut check = Check { places, found: Vec::new() };
    check.host(config);
    check.ports(config);
    check.names("service", config.services.iter().map(|s| s.name.as_str()));
    for (i, service) in config.services.iter().enumerate() {
        check.service(&format!("service.{i}"), service);
    }
    if config.metrics.kind == MetricsKind::Host {
        check.codes(&config.services);
    }
    check.names("target", config.targets.iter().map(|t| t.name.as_str()));
    for (i, target) in config.targets.iter().enumerate() {
        check.target(&format!("target.{i}"), target);
    }
    check.metrics("metrics", &config.metrics);
    check.judged(&config.metrics, &config.services);
    for (command, keys) in &config.keys {
        for key in keys.iter().filter(|key| key.is_empty() || key.chars().any(char::is_control)) {
            check.say(&format!("keys.{command}"), &format!("{key:?} is no key: write for example \"R\", \"ctrl-l\" or \"g g\""));
        }
    }
    check.found.sort_by_key(|f| (f.line, f.column));
    check.found
}

pub use doubts::doubts;

struct Check<'a> {
    places: &'a Places<'a>,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn say(&mut self, path: &str, what: &str) {
        self.found.push(self.places.finding(path, what));
    }

    /// About a key that is not there, where the table around it begins.
    fn missing(&mut self, table: &str, what: &str) {
        self.found.push(self.places.missing(table, what));
    }

    fn host(&mut self, config: &Config) {
        let host = &config.host;
        if config.version == 0 {
            self.say("version", "the version of the format starts at 1");
        }
        self.socket("host.socket", host.socket.as_deref());
        for (path, value) in
            [("host.state", &host.state), ("host.store", &host.store), ("host.run", &host.run), ("journal.path", &config.journal.path)]
        {
            self.absolute(path, value.as_deref());
        }
        if host.metrics_listen.is_some_and(|a| !a.ip().is_loopback()) {
            self.say("host.metrics_listen", "metrics are answered on a loopback address only: write for example \"127.0.0.1:9464\"");
        }
        if host.verify_rate == 0 {
            self.say("host.verify_rate", "`verify_rate` must be at least 1 byte per second, so that drift is found at all");
        }
    }

    /// No two things may listen on one port.
    fn ports(&mut self, config: &Config) {
        let services = config.services.iter().enumerate();
        let mut taken: Vec<(String, &str, SocketAddr)> =
            config.host.metrics_listen.map(|a| ("host.metrics_listen".into(), "metrics", a)).into_iter().collect();
        let listening = services.flat_map(|(i, s)| {
            let preview = s.preview_listen.map(|a| (format!("service.{i}.preview_listen"), s.name.as_str(), a));
            [(format!("service.{i}.listen"), s.name.as_str(), s.listen)].into_iter().chain(preview)
        });
        for (path, name, address) in listening {
            // Port 0 is chosen by the system, differently each time.
            let clash = taken.iter().find(|(_, _, other)| {
                let everywhere = address.ip().is_unspecified() || other.ip().is_unspecified();
                address.port() != 0 && address.port() == other.port() && (everywhere || address.ip() == other.ip())
            });
            if let Some((first, other, _)) = clash {
                let line = self.places.line(first);
                self.say(&path, &format!("port {} is taken by `{other}` in line {line}: choose another one", address.port()));
            }
            taken.push((path, name, address));
        }
    }

    fn names<'n>(&mut self, kind: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (i, name) in names.enumerate() {
            let path = format!("{kind}.{i}.name");
            self.name(&path, name);
            if let Some(first) = seen.get(name) {
                let line = self.places.line(first);
                self.say(&path, &format!("{kind} `{name}` is in line {line} already: choose another name"));
            }
            seen.entry(name).or_insert(path);
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if name.len() > 63 || !name.chars().all(fits) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let shown: String = name.chars().take(70).flat_map(char::escape_debug).collect();
            self.say(
                path,
                &format!("`{shown}` is no name: 1 to 63 lower-case letters, digits, `-`, `_`, `.`, beginning with a letter or digit"),
            );
        }
    }

    fn service(&mut self, at: &str, service: &ServiceSpec) {
        self.command(at, &service.command);
        self.environment(at, service);
        if service.user.as_ref().is_some_and(|u| u.is_empty() || u.contains(['\0', ':', '/', '\n'])) {
            self.say(&format!("{at}.user"), "`user` must be the name of a system user");
        }
        self.range(&format!("{at}.instances"), "instances", f64::from(service.instances), 1.0, 100.0);
        self.probe(&format!("{at}.readiness"), &service.readiness);
        if let Some(liveness) = &service.liveness {
            self.probe(&format!("{at}.liveness"), liveness);
        }
        if service.restart.max < service.restart.min {
            self.say(&format!("{at}.restart"), "`restart.max` must not be shorter than `restart.min`");
        }
        for (key, span) in [
            ("restart.min", service.restart.min),
            ("restart.max", service.restart.max),
            ("proxy.timeout", service.proxy.timeout),
            ("proxy.try_timeout", service.proxy.try_timeout),
            ("deadline.ready", service.deadline.ready),
        ] {
            self.span(&format!("{at}.{key}"), key, span);
        }
        for (key, span) in [("drain", service.drain), ("keep_warm", service.keep_warm), ("warmup", service.warmup)] {
            if !span.is_zero() {
                self.span(&format!("{at}.{key}"), key, span);
            }
        }
        if service.proxy.try_timeout > service.proxy.timeout {
            self.say(&format!("{at}.proxy"), "`proxy.try_timeout` must not be longer than `proxy.timeout`, which covers all tries");
        }
        if !service.bake.is_zero() {
            self.span(&format!("{at}.bake"), "bake", service.bake);
        }
        if service.keep < 2 {
            self.say(&format!("{at}.keep"), "`keep` must be at least 2: the version that runs and the one to go back to");
        }
        self.routing(at, service);
        self.in_time(at, service);
        self.gates(at, &service.gates);
        self.steps(at, service);
    }

    /// A candidate that cannot be ready before its deadline ends every run.
    fn in_time(&mut self, at: &str, service: &ServiceSpec) {
        let probes = service.readiness.interval.saturating_mul(service.readiness.successes.saturating_sub(1));
        let ready = service.deadline.ready;
        if !ready.is_zero() && ready <= probes {
            let (ready, probes) = (humantime::format_duration(ready), humantime::format_duration(probes));
            let what = format!("no instance can be ready in {ready}: `readiness` alone needs {probes}; make `deadline.ready` longer");
            self.say(&format!("{at}.deadline.ready"), &what);
        }
    }

    fn command(&mut self, at: &str, command: &[String]) {
        let path = format!("{at}.command");
        if command.first().is_none_or(String::is_empty) {
            self.say(&path, "`command` is empty: write for example [\"./serve\", \"--port\", \"{port}\"]");
        }
        if let Some(i) = command.iter().position(|argument| argument.contains('\0')) {
            self.say(&format!("{path}.{i}"), "an argument cannot contain a zero character");
        }
    }

    fn environment(&mut self, at: &str, service: &ServiceSpec) {
        let declared = service.environment.keys().map(|n| ("environment", n)).chain(service.secrets.keys().map(|n| ("secrets", n)));
        for (table, name) in declared {
            let path = format!("{at}.{table}.{name}");
            let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            if !name.starts_with(letter) || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
                self.say(&path, &format!("`{shown}` is no name of an environment variable: letters, digits and `_`"));
            } else if matches!(name.as_str(), "HOME" | "TMPDIR" | "PORT") {
                self.say(&path, &format!("`{shown}` is set by the host for each instance: remove it"));
            } else if table == "secrets" && service.environment.contains_key(name) {
                self.say(&path, &format!("`{shown}` is in `environment` too: keep one of the two"));
            }
        }
        for (name, value) in &service.environment {
            if value.contains('\0') {
                self.say(&format!("{at}.environment.{name}"), "a value cannot contain a zero character");
            }
        }
        for (name, source) in &service.secrets {
            self.secret_source(&format!("{at}.secrets.{name}"), source, "the host's environment");
        }
    }

    fn probe(&mut self, at: &str, probe: &Probe) {
        self.url_path(&format!("{at}.path"), "path", &probe.path);
        self.span(&format!("{at}.interval"), "interval", probe.interval);
        self.span(&format!("{at}.timeout"), "timeout", probe.timeout);
        self.range(&format!("{at}.successes"), "successes", f64::from(probe.successes), 1.0, 100.0);
        self.range(&format!("{at}.failures"), "failures", f64::from(probe.failures), 1.0, 100.0);
    }

    fn url_path(&mut self, path: &str, name: &str, value: &str) {
        let bad = |c: char| c.is_control() || c.is_whitespace() || c == '#' || !c.is_ascii();
        if !value.starts_with('/') || value.contains(bad) {
            self.say(path, &format!("`{name}` must start with `/` and be written as in a URL, such as \"/healthz\""));
        }
    }

    fn gates(&mut self, at: &str, gates: &[GateSpec]) {
        let mut seen = BTreeMap::new();
        for (i, gate) in gates.iter().enumerate() {
            let path = format!("{at}.gate.{i}");
            self.name(&format!("{path}.name"), gate.name.as_str());
            if let Some(line) = seen.get(&gate.name) {
                self.say(&format!("{path}.name"), &format!("gate `{}` is in line {line} already: choose another name", gate.name.text()));
            }
            seen.entry(&gate.name).or_insert_with(|| self.places.line(&format!("{path}.name")));
            self.gate(&path, gate);
        }
    }

    /// What the host's own proxy cannot count, it must not be asked for: the gate would pass seeing nothing.
    fn codes(&mut self, services: &[ServiceSpec]) {
        for (i, service) in services.iter().enumerate() {
            for (j, gate) in service.gates.iter().enumerate() {
                if let Some(code) = gate.errors.iter().find(|c| matches!(c, Code::Grpc(_))) {
                    let what = format!(
                        "`{code}` is not seen by the host's proxy, which counts HTTP statuses: gRPC codes need another `metrics.kind`"
                    );
                    self.say(&format!("service.{i}.gate.{j}.errors"), &what);
                }
            }
        }
    }

    fn gate(&mut self, path: &str, gate: &GateSpec) {
        let share = matches!(gate.signal, GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts);
        if gate.signal == GateSignal::Alerts && gate.limit.is_some() {
            self.say(&format!("{path}.limit"), "alerts have no limit: the gate fails while one fires");
        }
        if let Some(limit) = gate.limit {
            self.range(&format!("{path}.limit"), "limit", limit, 0.01, if share { 100.0 } else { 1_000_000.0 });
        }
        self.range(&format!("{path}.r_max"), "r_max", gate.r_max, 1.1, 100.0);
        if let Some(slo) = gate.slo {
            if slo > 0.0 && slo < 1.0 {
                self.say(&format!("{path}.slo"), &format!("`slo` is in percent: write {} for {slo}", percent_of(slo)));
            } else {
                self.range(&format!("{path}.slo"), "slo", slo, 1.0, 99.999_9);
            }
            if !share {
                self.say(&format!("{path}.slo"), &format!("an `slo` is a share of good requests: `{}` has none", gate.signal.word()));
            }
        }
        self.range(&format!("{path}.budget"), "budget", gate.budget, 0.01, 100.0);
        if gate.errors.is_empty() {
            self.say(&format!("{path}.errors"), "`errors` is empty, so nothing would count: write for example [\"5xx\"]");
        }
        if gate.interval < Duration::from_secs(1) || gate.interval > Duration::from_secs(600) {
            self.say(&format!("{path}.interval"), "`interval` must be 1s to 10m");
        }
        if !gate.warmup.is_zero() {
            self.span(&format!("{path}.warmup"), "warmup", gate.warmup);
        }
        if gate.on_fail == OnFail::Revert && gate.signal.quantile().is_some() {
            self.say(&format!("{path}.on_fail"), "quantiles only advise: to go back by latency use signal = \"slow\"");
        }
        if let Some(rules) = &gate.rules {
            self.rules(&format!("{path}.rules"), rules, gate.signal);
        }
        for (old, set, new) in [
            ("margin", gate.retired_margin.is_some(), "`r_max` says how many times stable's ratio is too much"),
            ("min_requests", gate.retired_min_requests.is_some(), "the judge itself knows how many requests it needs"),
        ] {
            if set {
                self.say(&format!("{path}.{old}"), &format!("`{old}` is no more: {new}"));
            }
        }
    }

    /// How other tools are set: what they would refuse themselves, or never end with.
    fn rules(&mut self, path: &str, rules: &Rules, signal: GateSignal) {
        if !matches!(signal, GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts) {
            self.say(path, &format!("rules of other tools are told beside shares of requests: `{}` is none", signal.word()));
        }
        if let Some(threshold) = rules.flagger_threshold {
            self.range(&format!("{path}.flagger_threshold"), "flagger_threshold", f64::from(threshold), 1.0, 1_000.0);
        }
        if let Some(limit) = rules.argo_failure_limit {
            self.range(&format!("{path}.argo_failure_limit"), "argo_failure_limit", f64::from(limit), -1.0, 1_000.0);
        }
        if rules.every.is_some_and(|every| every < Duration::from_secs(1) || every > Duration::from_secs(3_600)) {
            self.say(&format!("{path}.every"), "`every` must be 1s to 1h");
        }
    }

    fn target(&mut self, at: &str, target: &TargetConfig) {
        self.socket(&format!("{at}.socket"), target.socket.as_deref());
        self.absolute(&format!("{at}.kubeconfig"), target.kubeconfig.as_deref());
        let set = [
            ("context", target.context.is_some()),
            ("namespace", !target.namespace.is_empty()),
            ("kubeconfig", target.kubeconfig.is_some()),
            ("as", target.acts_as.is_some()),
        ];
        if target.kind == TargetKind::Host
            && let Some((key, _)) = set.iter().find(|(_, set)| *set)
        {
            self.say(&format!("{at}.{key}"), &format!("`kind = \"argo\"` is missing: `{key}` belongs to a cluster with Argo Rollouts"));
        }
        if target.kind == TargetKind::Argo && target.socket.is_some() {
            self.say(&format!("{at}.socket"), "`socket` belongs to `kind = \"host\"`: a cluster is found by its `context`");
        }
        if let Some(metrics) = &target.metrics {
            self.target_metrics(&format!("{at}.metrics"), target.kind == TargetKind::Host, metrics);
        }
        self.target_gates(at, target);
        let names = [("context", &target.context), ("as", &target.acts_as)];
        let names = names.into_iter().filter_map(|(key, name)| Some((key.to_owned(), name.as_deref()?)));
        let namespaces = target.namespace.iter().enumerate().map(|(i, name)| (format!("namespace.{i}"), name.as_str()));
        for (key, name) in names.chain(namespaces) {
            if name.is_empty() || name.chars().any(char::is_control) {
                self.say(&format!("{at}.{key}"), "a name is empty, or has characters that no name has");
            }
        }
    }

    fn socket(&mut self, path: &str, socket: Option<&Path>) {
        self.absolute(path, socket);
        if let Some(bytes) = socket.map(|s| s.as_os_str().len()).filter(|bytes| *bytes > SOCKET_PATH) {
            self.say(path, &format!("the path of a socket has at most {SOCKET_PATH} bytes, this one has {bytes}"));
        }
    }

    /// `whose` is the environment that is meant.
    fn secret_source(&mut self, path: &str, source: &SecretSource, whose: &str) {
        match source {
            SecretSource::File(file) => self.absolute(path, Some(file)),
            SecretSource::Env(variable) if variable.is_empty() || variable.contains(['=', '\0']) => {
                self.say(path, &format!("`env` must name a variable of {whose}"));
            }
            SecretSource::Env(_) => {}
        }
    }

    /// The working directory never matters.
    fn absolute(&mut self, path: &str, value: Option<&Path>) {
        if value.is_some_and(|value| !value.is_absolute()) {
            self.say(path, "a path must be absolute, from `/`");
        } else if value.is_some_and(|value| value.as_os_str().as_encoded_bytes().contains(&0)) {
            self.say(path, "a path cannot contain a zero character");
        }
    }

    fn span(&mut self, path: &str, name: &str, span: Duration) {
        if span.is_zero() {
            self.say(path, &format!("`{name}` must be longer than 0s"));
        } else if span > LONGEST {
            self.say(path, &format!("`{name}` must not be longer than 30days"));
        }
    }

    fn range(&mut self, path: &str, name: &str, value: f64, from: f64, to: f64) {
        // Also refuses what is no number.
        if !(from..=to).contains(&value) {
            self.say(path, &format!("`{name}` is {value} and must be {from} to {to}"));
        }
    }
}

/// A part of one in percent, as a person would write it: 99.9 for 0.999.
fn percent_of(part: f64) -> f64 {
    (part * 1e8).round() / 1e6
}
