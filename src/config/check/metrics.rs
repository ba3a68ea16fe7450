//! Where signals come from.

use super::Check;
use crate::{
    config::{AuthConfig, HeaderConfig, MetricsConfig, MetricsKind, TargetConfig, TargetKind, TlsConfig, nearest},
    metrics::{
        preset::{self, Queries},
        template::{self, LABEL, NAMES},
    },
    model::spec::{GateSignal, GateSpec, OnFail, ServiceSpec},
};
use reqwest::{Url, header::HeaderName};
use std::{collections::BTreeSet, time::Duration};

/// The shortest time between two looks.
const OFTEN: Duration = Duration::from_secs(1);
/// Longer nobody waits for an answer.
const PATIENT: Duration = Duration::from_secs(300);
/// Headers that requests have anyway.
const OURS: [&str; 8] = ["host", "content-type", "content-length", "transfer-encoding", "connection", "accept", "accept-encoding", "te"];
/// Parameters that questions have anyway.
const ASKED: [&str; 6] = ["query", "time", "start", "end", "step", "timeout"];

const OUR_ENVIRONMENT: &str = "the environment of whoever asks";

impl Check<'_> {
    /// `at` is the table, `metrics` or `target.N.metrics`.
    pub(super) fn metrics(&mut self, at: &str, metrics: &MetricsConfig) {
        if metrics.kind == MetricsKind::Host {
            if let Some(key) = self.places.keys(at).find(|key| *key != "kind").map(str::to_owned) {
                self.say(&format!("{at}.{key}"), &format!("`kind = \"prometheus\"` is missing: `{key}` belongs to it"));
            }
            return;
        }
        match &metrics.url {
            None => self.missing(at, "`url` is missing: add for example url = \"http://127.0.0.1:9090\""),
            Some(url) => self.address(&format!("{at}.url"), "url", url, true),
        }
        if let Some(proxy) = &metrics.proxy {
            self.address(&format!("{at}.proxy"), "proxy", proxy, false);
        }
        let presets: Vec<&str> = preset::names().collect();
        if presets.contains(&metrics.preset.as_str()) {
            self.queries(at, metrics);
        } else {
            self.say(&format!("{at}.preset"), &nearest("preset", &metrics.preset, &presets));
        }
        self.span(&format!("{at}.every"), "every", metrics.every);
        if metrics.every < OFTEN && !metrics.every.is_zero() {
            self.say(&format!("{at}.every"), "`every` must be at least 1s: no server scrapes more often");
        }
        if !metrics.delay.is_zero() {
            self.span(&format!("{at}.delay"), "delay", metrics.delay);
        }
        self.span(&format!("{at}.timeout"), "timeout", metrics.timeout);
        if metrics.timeout > PATIENT {
            self.say(&format!("{at}.timeout"), "`timeout` must not be longer than 5m");
        }
        for (key, value, from, to) in [("concurrency", metrics.concurrency, 1, 64), ("body_limit", metrics.body_limit, 1 << 10, 1 << 30)] {
            if !(from..=to).contains(&value) {
                self.say(&format!("{at}.{key}"), &format!("`{key}` is {value} and must be {from} to {to}"));
            }
        }
        if metrics.analysis && at == "metrics" {
            self.say(&format!("{at}.analysis"), "`analysis` belongs to [target.metrics]: only clusters have analyses of their own");
        }
        self.headers(at, metrics);
        if let Some(auth) = &metrics.auth {
            self.auth(&format!("{at}.auth"), auth);
        }
        if let Some(tls) = &metrics.tls {
            self.tls(&format!("{at}.tls"), tls, metrics);
        }
        for name in metrics.parameters.keys() {
            if name.is_empty() || ASKED.contains(&name.as_str()) {
                self.say(&format!("{at}.parameters.{name}"), &format!("`{}` is set by every question itself", name.escape_debug()));
            }
        }
        for name in metrics.variables.keys() {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.say(
                    &format!("{at}.variables.{name}"),
                    &format!("`{}` is no variable: letters, digits and `_`, as {{{{name}}}} in a query", name.escape_debug()),
                );
            }
        }
        let labels = metrics.alert_labels.iter().enumerate().map(|(i, label)| (format!("{at}.alert_labels.{i}"), label));
        let matchers = metrics.alert_matchers.keys().map(|label| (format!("{at}.alert_matchers.{label}"), label));
        for (path, label) in labels.chain(matchers) {
            if label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                self.say(&path, &format!("`{}` is no name of a label", label.escape_debug()));
            }
        }
    }

    /// Each query by itself, where it stands; then those of the preset that are asked too.
    fn queries(&mut self, at: &str, metrics: &MetricsConfig) {
        let mut sound = true;
        for (name, query) in &metrics.query {
            let path = format!("{at}.query.{name}");
            let empty = query.texts().find(|(_, text)| text.trim().is_empty() && !name.ends_with("_label"));
            if let Some((key, _)) = empty {
                let path = key.map_or_else(|| path.clone(), |key| format!("{path}.{key}"));
                self.say(&path, &format!("the query `{}` is empty", name.escape_debug()));
                sound = false;
            } else if let Err(why) = Queries::of(&metrics.preset, &[(name.clone(), query.into())].into()) {
                self.say(&path, &why);
                sound = false;
            }
        }
        if !sound {
            return;
        }
        match metrics.queries() {
            Ok(queries) => self.holes(at, metrics, &queries),
            Err(why) => self.say(&format!("{at}.query"), &why),
        }
    }

    /// Names in queries that nobody gives a value.
    fn holes(&mut self, at: &str, metrics: &MetricsConfig, queries: &Queries) {
        let of_host = at == "metrics";
        // The host has services and no namespaces.
        let given = |name: &str| {
            metrics.variables.contains_key(name) || NAMES.contains(&name) && !(of_host && name == "namespace") || of_host && name == LABEL
        };
        let mut lacking = BTreeSet::new();
        for (what, asked) in queries.all() {
            let Some(hole) = asked.stable.holes().chain(asked.canary.holes()).find(|hole| !given(hole)) else { continue };
            let own = metrics.query.contains_key(what.name());
            let path = if own { format!("{at}.query.{}", what.name()) } else { format!("{at}.preset") };
            let hole = hole.escape_debug().to_string();
            if own || lacking.insert(hole.clone()) {
                let whose = if own { format!("the query `{}`", what.name()) } else { format!("the preset `{}`", metrics.preset) };
                let known = NAMES.into_iter().filter(|name| given(name)).chain(metrics.variables.keys().map(String::as_str));
                let meant = template::nearest(&hole, known);
                self.say(&path, &format!("{whose} needs {{{{{hole}}}}}: add for example variables = {{ {hole} = \"…\" }}{meant}"));
            }
        }
    }

    /// Gates that nothing could ever judge: they would be blind in the night of a release.
    pub(super) fn judged(&mut self, metrics: &MetricsConfig, services: &[ServiceSpec]) {
        let queries = metrics.queries().ok();
        let measured = (metrics.kind == MetricsKind::Prometheus).then_some(queries.as_ref()).flatten();
        for (i, service) in services.iter().enumerate() {
            for (j, gate) in service.gates.iter().enumerate() {
                let path = format!("service.{i}.gate.{j}");
                if metrics.kind == MetricsKind::Host {
                    if gate.signal == GateSignal::Alerts {
                        self.say(
                            &format!("{path}.signal"),
                            "the host has no alerts of its own: they need [metrics] with kind = \"prometheus\"",
                        );
                    }
                } else if let Some(queries) = measured {
                    self.measured(&path, gate, &metrics.preset, queries);
                }
            }
        }
    }

    fn measured(&mut self, path: &str, gate: &GateSpec, preset: &str, queries: &Queries) {
        if gate.signal == GateSignal::Alerts {
            return;
        }
        let (hits, of) = queries.needs(gate);
        if let Some(lacks) = [of, hits].into_iter().find(|what| queries.get(*what).is_none()) {
            let name = lacks.name();
            self.say(
                &format!("{path}.signal"),
                &format!(
                    "the preset `{preset}` has no `{name}`, so nothing could judge this gate: add metrics.query.{name}, or remove the gate"
                ),
            );
        } else if let Err(why) = queries.can_judge(gate) {
            let key = if self.places.has(&format!("{path}.errors")) { "errors" } else { "signal" };
            self.say(&format!("{path}.{key}"), &why);
        }
    }

    /// What of a target's metrics does not fit the target.
    pub(super) fn target_metrics(&mut self, at: &str, is_host: bool, metrics: &MetricsConfig) {
        if is_host {
            self.say(at, "`metrics` of a target belong to `kind = \"argo\"`: the host itself is fed by [metrics]");
        } else if metrics.kind == MetricsKind::Host && self.places.keys(at).all(|key| key == "kind") {
            self.say(at, "a cluster has no counters of its own: add kind = \"prometheus\" and its `url`");
        } else {
            self.metrics(at, metrics);
        }
    }

    /// Gates over a target's metrics: they only advise.
    pub(super) fn target_gates(&mut self, at: &str, target: &TargetConfig) {
        if target.gates.is_empty() {
            return;
        }
        self.gates(at, &target.gates);
        if target.kind == TargetKind::Host {
            return self.say(&format!("{at}.gate.0"), "gates of a host's services stand below each [[service]]");
        }
        for (i, _) in target.gates.iter().enumerate().filter(|(_, gate)| gate.on_fail == OnFail::Revert) {
            self.say(&format!("{at}.gate.{i}.on_fail"), "nothing goes back by itself on a cluster: leave `on_fail` out, its gates advise");
        }
        let Some(metrics) = &target.metrics else { return };
        // What is wrong with the queries is said where they stand.
        let Ok(queries) = metrics.queries() else { return };
        for (i, gate) in target.gates.iter().enumerate() {
            self.measured(&format!("{at}.gate.{i}"), gate, &metrics.preset, &queries);
        }
    }

    fn address(&mut self, path: &str, key: &str, value: &str, is_server: bool) {
        let example = if is_server { "https://prom.example.org" } else { "http://proxy.example.org:3128" };
        let url = match Url::parse(value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            Ok(_) => return self.say(path, &format!("`{key}` must begin with http:// or https://, such as \"{example}\"")),
            // What stands there may be a password.
            Err(e) => return self.say(path, &format!("`{key}` is no address: {e}; write for example \"{example}\"")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            let instead = if is_server {
                "write auth = { basic = { user = \"…\", password = { file = \"…\" } } }"
            } else {
                "use a proxy that wants none"
            };
            self.say(path, &format!("`{key}` holds a user or a password, and addresses are shown: {instead}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            let instead = if is_server { ": write parameters = { … }" } else { "" };
            self.say(path, &format!("`{key}` must end before `?` and `#`{instead}"));
        }
        let below = url.path().trim_end_matches('/').rsplit_once("/api/v1").map(|(_, below)| below);
        // A cluster's own proxy has such a path too, and goes on behind it.
        if is_server
            && below.is_some_and(|below| ["", "/query", "/query_range", "/series", "/labels", "/alerts", "/rules"].contains(&below))
        {
            self.say(path, "`url` ends where `/api/v1` begins: leave that out, and what follows it");
        }
        if !is_server && !matches!(url.path(), "" | "/") {
            self.say(path, "`proxy` has no path");
        }
    }

    fn headers(&mut self, at: &str, metrics: &MetricsConfig) {
        for (name, value) in &metrics.headers {
            let path = format!("{at}.headers.{name}");
            let shown = name.escape_debug();
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => self.say(&path, &format!("`{shown}` is no name of a header")),
                Ok(known) if OURS.contains(&known.as_str()) => self.say(&path, &format!("`{shown}` is set by every request itself")),
                Ok(known) if known == reqwest::header::AUTHORIZATION => {
                    if metrics.auth.is_some() {
                        self.say(&path, "`auth` sets this header already: leave one of them out");
                    } else if matches!(value, HeaderConfig::Plain(_)) {
                        self.say(&path, "its value is a secret: write { file = \"…\" } or { env = \"…\" }");
                    }
                }
                Ok(_) => {}
            }
            match value {
                HeaderConfig::Plain(value) if !value.chars().all(|c| c == ' ' || c.is_ascii_graphic()) => {
                    self.say(&path, &format!("the value of `{shown}` has characters that no header has"));
                }
                HeaderConfig::Plain(_) => {}
                HeaderConfig::Secret(source) => self.secret_source(&path, source, OUR_ENVIRONMENT),
            }
        }
    }

    fn auth(&mut self, at: &str, auth: &AuthConfig) {
        match auth {
            AuthConfig::Basic { user, password } => {
                if user.contains(':') || user.chars().any(char::is_control) {
                    self.say(&format!("{at}.basic.user"), "a user's name has no `:` and no control characters");
                }
                self.secret_source(&format!("{at}.basic.password"), password, OUR_ENVIRONMENT);
            }
            AuthConfig::Bearer(source) => self.secret_source(&format!("{at}.bearer"), source, OUR_ENVIRONMENT),
            AuthConfig::BearerCommand(command) => {
                let path = format!("{at}.bearer_command");
                let program = command.first().map_or("", String::as_str);
                if program.is_empty() {
                    self.say(&path, "`bearer_command` is empty: write for example [\"gcloud\", \"auth\", \"print-access-token\"]");
                } else if program.contains('/') && !program.starts_with('/') {
                    self.say(&path, "a program is a name that is looked for in $PATH, or a path from `/`");
                }
                if let Some(i) = command.iter().position(|word| word.contains('\0')) {
                    self.say(&format!("{path}.{i}"), "an argument cannot contain a zero character");
                }
            }
        }
    }

    fn tls(&mut self, at: &str, tls: &TlsConfig, metrics: &MetricsConfig) {
        if metrics.url.as_ref().is_some_and(|url| url.starts_with("http://")) {
            self.say(at, "`tls` needs a `url` that begins with https://");
        }
        for (key, file) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
            self.absolute(&format!("{at}.{key}"), file.as_deref());
        }
        for (there, here, lacks) in [("cert", &tls.cert, ("key", &tls.key)), ("key", &tls.key, ("cert", &tls.cert))] {
            if here.is_some() && lacks.1.is_none() {
                self.say(&format!("{at}.{there}"), &format!("`{}` is missing: a certificate and its key belong together", lacks.0));
            }
        }
        if let Some(name) = &tls.server_name {
            let path = format!("{at}.server_name");
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if name.is_empty() || !name.chars().all(fits) || name.parse::<std::net::Ipv4Addr>().is_ok() {
                self.say(&path, "`server_name` must be a name, such as \"prom.internal\"");
            } else if metrics.proxy.is_some() {
                self.say(&path, "`server_name` cannot be had through a `proxy`");
            }
        }
    }
}
