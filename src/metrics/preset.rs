//! What the series of a stack are called, as data: one file per stack in `assets/presets`, written as a
//! person writes the overrides in `[metrics.query]`. What a stack lacks is absent, never zero.
//!
//! A query is one string, asked for each version with its own `{{version}}` and `{{pod_hash}}`, or a
//! pair `{ stable = "…", canary = "…" }` where the stack names services and no versions. It is a plain
//! selector of raw series, whose samples are counted one by one, or an expression that gives the increase
//! over `{{window}}`, summed by what is looked at. `cpu` and `memory` are expressions of what is used now.

use super::{
    counts,
    outcome::Values,
    selector,
    template::{Template, Variables, WINDOW, nearest},
};
use crate::model::{
    code::Code,
    spec::{GateSignal, GateSpec},
    text::Text,
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// The stacks that are known. A new one is a file and a line.
const PRESETS: [(&str, &str); 10] = [
    ("host", include_str!("../../assets/presets/host.toml")),
    ("istio", include_str!("../../assets/presets/istio.toml")),
    ("istio-ambient", include_str!("../../assets/presets/istio-ambient.toml")),
    ("envoy", include_str!("../../assets/presets/envoy.toml")),
    ("ingress-nginx", include_str!("../../assets/presets/ingress-nginx.toml")),
    ("traefik", include_str!("../../assets/presets/traefik.toml")),
    ("haproxy", include_str!("../../assets/presets/haproxy.toml")),
    ("linkerd", include_str!("../../assets/presets/linkerd.toml")),
    ("otel-http", include_str!("../../assets/presets/otel-http.toml")),
    ("kube-state-metrics", include_str!("../../assets/presets/kube-state-metrics.toml")),
];

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum What {
    /// Requests, with what became of them.
    Requests,
    /// Failed requests, where they have a series of their own.
    Errors,
    /// A histogram of the time to the answer.
    Latency,
    /// Requests that were not answered in time.
    Timeouts,
    /// Restarts of instances.
    Restarts,
    /// Instances that are ready, now.
    Ready,
    /// Cores in use, now.
    Cpu,
    /// Resident bytes, now.
    Memory,
    /// Failed requests as a second source counts them: the service beside its proxy.
    ServiceErrors,
    /// Requests that got no answer from the instance they were sent to, by whoever sent them: `Requests`, which
    /// are counted where they arrive, lack them.
    Unreached,
    /// Those for which there was no instance to send them to: only the service that they were for tells the
    /// version. Nothing is asked where both versions have one service.
    Unserved,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Requests,
        Self::Errors,
        Self::Latency,
        Self::Timeouts,
        Self::Restarts,
        Self::Ready,
        Self::Cpu,
        Self::Memory,
        Self::ServiceErrors,
        Self::Unreached,
        Self::Unserved,
    ];

    /// What is counted beside requests, as requests that have no instance.
    pub const BESIDE: [Self; 2] = [Self::Unreached, Self::Unserved];

    /// Its name in a preset and in `[metrics.query]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Timeouts => "timeouts",
            Self::Restarts => "restarts",
            Self::Ready => "ready",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::ServiceErrors => "service_errors",
            Self::Unreached => "unreached",
            Self::Unserved => "unserved",
        }
    }

    /// Whether it is counted beside requests.
    #[must_use]
    pub fn is_beside(self) -> bool {
        Self::BESIDE.contains(&self)
    }

    /// Whether it is read as it is now, and not counted.
    #[must_use]
    pub const fn is_now(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory)
    }
}

/// A query as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Written {
    /// One for both versions, which are told apart by what is filled in.
    One(String),
    /// One for each.
    Pair {
        /// Of stable.
        stable: String,
        /// Of the candidate.
        canary: String,
    },
}

/// A query that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Stable's.
    pub stable: Template,
    /// The candidate's.
    pub canary: Template,
    /// The metric of a plain selector; `None` of an expression.
    pub metric: Option<String>,
}

/// All queries of a stack with the overrides, and how their labels are read.
#[derive(Clone, PartialEq, Debug)]
pub struct Queries {
    asked: BTreeMap<What, Asked>,
    /// The label of requests that says what became of them.
    pub code_label: Option<String>,
    /// What its values are.
    pub code_values: Values,
    /// A label that says the gRPC code beside it.
    pub grpc_label: Option<String>,
    /// The label that names an instance.
    pub instance_label: Option<String>,
    /// A label whose value changes while a series goes on, such as the role of a version.
    pub changing_label: Option<String>,
    /// By what a latency is multiplied to be in milliseconds.
    pub to_millis: f64,
    /// The label that says the namespace, where scrapes differ in it.
    pub namespace_label: Option<String>,
}

/// The names that tell versions apart.
const TELLING: [&str; 2] = ["version", "pod_hash"];

/// What stands for the name of that label in queries.
const NAMESPACE_LABEL: &str = "{{namespace_label}}";

/// Settings that stand among the queries.
const SETTINGS: [&str; 7] =
    ["namespace_label", "code_label", "code_values", "grpc_label", "instance_label", "changing_label", "latency_unit"];

/// The names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

impl Queries {
    /// Those of a preset, with overrides by name.
    ///
    /// # Errors
    /// In one line, with the nearest name where there is one: no such preset, no such query, a query that
    /// does not tell versions apart, or one that cannot be filled in.
    pub fn of(preset: &str, overrides: &BTreeMap<String, Written>) -> Result<Self, String> {
        let Some((_, text)) = PRESETS.iter().find(|(name, _)| *name == preset) else {
            return Err(format!("no preset `{}`{}", preset.escape_debug(), nearest(preset, names())));
        };
        let mut written: BTreeMap<String, Written> = toml::from_str(text).map_err(|e| format!("preset `{preset}`: {}", e.message()))?;
        // What is counted beside requests is of their metric: whoever counts others says what is beside them.
        if overrides.contains_key(What::Requests.name()) {
            written.retain(|name, _| !What::BESIDE.iter().any(|beside| beside.name() == name));
        }
        written.extend(overrides.clone());
        let mut queries = Self { namespace_label: name_namespaces(&mut written)?, ..Self::none() };
        for (name, query) in written {
            queries.set(&name, query).map_err(|why| format!("query `{}`: {why}", name.escape_debug()))?;
        }
        Ok(queries)
    }

    /// None at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            asked: BTreeMap::new(),
            code_label: None,
            code_values: Values::Status,
            grpc_label: None,
            instance_label: None,
            changing_label: None,
            to_millis: 1_000.0,
            namespace_label: None,
        }
    }

    /// Requests, and those of them that failed, with series of their own.
    ///
    /// # Errors
    /// In one line: a query that does not tell versions apart, or one that cannot be filled in.
    pub fn of_counts(requests: Written, errors: Written) -> Result<Self, String> {
        let asked = [(What::Requests, requests), (What::Errors, errors)];
        let asked = asked.into_iter().map(|(what, written)| Ok((what, Asked::check(what, written)?)));
        Ok(Self { asked: asked.collect::<Result<_, String>>()?, ..Self::none() })
    }

    fn set(&mut self, name: &str, query: Written) -> Result<(), String> {
        if let Some(what) = What::ALL.into_iter().find(|what| what.name() == name) {
            self.asked.insert(what, Asked::check(what, query)?);
            return Ok(());
        }
        let Written::One(value) = query else {
            let all = What::ALL.into_iter().map(What::name).chain(SETTINGS);
            return Err(if SETTINGS.contains(&name) {
                "one text is needed".into()
            } else {
                format!("no such query{}", nearest(name, all))
            });
        };
        if name.ends_with("_label") {
            check_label(&value)?;
        }
        // An empty label takes away what the preset has.
        let label = Some(value.clone()).filter(|v| !v.is_empty());
        match name {
            "code_label" => self.code_label = label,
            "grpc_label" => self.grpc_label = label,
            "changing_label" => self.changing_label = label,
            "instance_label" => self.instance_label = label,
            "code_values" => {
                self.code_values = match value.as_str() {
                    "status" => Values::Status,
                    "class" => Values::Class,
                    "grpc" => Values::Grpc,
                    "failure" => Values::Failure,
                    _ => return Err("it is status, class, grpc or failure".into()),
                }
            }
            "latency_unit" => {
                self.to_millis = match value.as_str() {
                    "s" => 1_000.0,
                    "ms" => 1.0,
                    _ => return Err("it is s or ms".into()),
                }
            }
            _ => return Err(format!("no such query{}", nearest(name, What::ALL.into_iter().map(What::name).chain(SETTINGS)))),
        }
        Ok(())
    }

    /// A query; `None` where the stack has none.
    #[must_use]
    pub fn get(&self, what: What) -> Option<&Asked> {
        self.asked.get(&what)
    }

    /// What can be asked for.
    pub fn all(&self) -> impl Iterator<Item = (What, &Asked)> {
        self.asked.iter().map(|(what, asked)| (*what, asked))
    }

    /// What is asked, by name, as it is written; of two different ones both.
    #[must_use]
    pub fn written(&self) -> BTreeMap<Text, Text> {
        let text = |asked: &Asked| match (asked.stable.text(), asked.canary.text()) {
            (one, other) if one == other => one.into(),
            (stable, canary) => Text::from(format!("stable {stable}; canary {canary}")),
        };
        self.all().map(|(what, asked)| (what.name().into(), text(asked))).collect()
    }

    /// Whether nothing of it means zero: it is the same metric as the requests with other label values,
    /// or is made of their labels.
    #[must_use]
    pub fn may_be_zero(&self, what: What) -> bool {
        let metric = |what: What| self.get(what).and_then(|a| a.metric.as_deref()).filter(|m| !m.is_empty());
        metric(what).is_some() && metric(what) == metric(What::Requests)
    }

    /// What a gate is counted from: what counts, and of what.
    #[must_use]
    pub fn needs(&self, gate: &GateSpec) -> (What, What) {
        match gate.signal {
            GateSignal::Errors if self.get(What::Errors).is_some() => (What::Errors, What::Requests),
            // Alerts are counted from nothing.
            GateSignal::Errors | GateSignal::Alerts => (What::Requests, What::Requests),
            GateSignal::Timeouts => (What::Timeouts, What::Requests),
            GateSignal::Restarts => (What::Restarts, What::Ready),
            GateSignal::Slow | GateSignal::P50 | GateSignal::P95 | GateSignal::P99 => (What::Latency, What::Latency),
        }
    }

    /// What is counted beside them: requests that have no instance.
    #[must_use]
    pub fn beside(&self, gate: &GateSpec) -> &'static [What] {
        match gate.signal {
            GateSignal::Errors | GateSignal::Timeouts => &What::BESIDE,
            _ => &[],
        }
    }

    /// Whether this stack can tell what a gate counts.
    ///
    /// # Errors
    /// In one line, when it cannot.
    pub fn can_judge(&self, gate: &GateSpec) -> Result<(), String> {
        if gate.signal != GateSignal::Errors {
            return Ok(());
        }
        if self.get(What::Errors).is_some() {
            let usual = gate.errors == Code::usual();
            return if usual {
                Ok(())
            } else {
                Err("which errors count is said by the query `errors`: remove `errors` from the gate".into())
            };
        }
        if self.get(What::Requests).is_some() && self.code_label.is_none() && self.grpc_label.is_none() {
            return Err("no label says what became of a request: set `code_label` or a query `errors`".into());
        }
        let of_statuses = |code: &&Code| !matches!(code, Code::Grpc(_));
        if let (None, Some(code)) = (&self.code_label, gate.errors.iter().find(of_statuses)) {
            return Err(format!("errors `{code}` cannot be told: there is no `code_label`, and `grpc_label` says gRPC codes"));
        }
        self.code_values.can_tell(&gate.errors, self.grpc_label.is_some())
    }
}

/// Puts the name of the label that says the namespace where queries have a hole for it.
fn name_namespaces(written: &mut BTreeMap<String, Written>) -> Result<Option<String>, String> {
    let wrong = |why: String| format!("query `namespace_label`: {why}");
    let label = match written.remove("namespace_label") {
        None => return Ok(None),
        Some(Written::One(label)) => label,
        Some(Written::Pair { .. }) => return Err(wrong("one text is needed".into())),
    };
    check_label(&label).map_err(wrong)?;
    let texts = written.values_mut().flat_map(|query| match query {
        Written::One(one) => [Some(one), None],
        Written::Pair { stable, canary } => [Some(stable), Some(canary)],
    });
    let holes: Vec<&mut String> = texts.flatten().filter(|text| text.contains(NAMESPACE_LABEL)).collect();
    if holes.is_empty() || label.is_empty() {
        return Err(wrong(if label.is_empty() { "it is empty".into() } else { format!("no query has {NAMESPACE_LABEL}") }));
    }
    for text in holes {
        *text = text.replace(NAMESPACE_LABEL, &label);
    }
    Ok(Some(label))
}

/// Labels have names of letters, digits and `_`.
fn check_label(name: &str) -> Result<(), String> {
    let is_label = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_label { Ok(()) } else { Err(format!("`{}` is no name of a label", name.escape_debug())) }
}

impl Asked {
    /// Whether it tells versions apart with these values, where it is written for each of them; not where a name in
    /// it has no value.
    #[must_use]
    pub fn is_of_each(&self, values: &Variables) -> bool {
        let window = Duration::from_secs(60);
        let filled = |template: &Template| template.fill(values, window).ok();
        match (filled(&self.stable), filled(&self.canary)) {
            (Some(stable), Some(canary)) => self.stable == self.canary || stable != canary,
            _ => false,
        }
    }

    fn check(what: What, written: Written) -> Result<Self, String> {
        let (stable, canary) = match &written {
            Written::One(text) => (text, text),
            Written::Pair { stable, canary } => (stable, canary),
        };
        let (stable, canary) = (Template::parse(stable)?, Template::parse(canary)?);
        if stable == canary && !TELLING.into_iter().any(|name| stable.has(name)) {
            let slip = stable.holes().find_map(|hole| Some(nearest(hole, TELLING.into_iter())).filter(|meant| !meant.is_empty()));
            return Err(format!(
                "it does not tell versions apart: use {{{{version}}}} or {{{{pod_hash}}}}, or write {{ stable = \"…\", canary = \"…\" }}{}",
                slip.unwrap_or_default()
            ));
        }
        let metric = selector::plain(stable.text()).and_then(|metric| selector::plain(canary.text()).map(|_| metric.to_owned()));
        let expression = metric.is_none() && !what.is_now();
        if expression && ![&stable, &canary].into_iter().all(|t| t.has(WINDOW)) {
            return Err("an expression must give the increase over [{{window}}]; or write a plain selector".into());
        }
        // Instances that are ready are a level: over a window they are instance-seconds, however that is written.
        let none = || [&stable, &canary].into_iter().find_map(|t| counts::why_none(t.text()));
        if let Some(why) = (expression && what != What::Ready).then(none).flatten() {
            return Err(why);
        }
        let aged = |t: &Template| selector::first(&t.text().replace("{{", "").replace("}}", "")).is_some();
        if what.is_now() && ![&stable, &canary].into_iter().all(aged) {
            return Err("its age cannot be told: name the series with its labels, as in memory{version=\"{{version}}\"}".into());
        }
        Ok(Self { stable, canary, metric })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(name: &str, text: &str) -> Result<Queries, String> {
        Queries::of("istio", &BTreeMap::from([(name.to_owned(), Written::One(text.to_owned()))]))
    }

    #[test]
    fn every_preset_is_read_and_tells_what_it_has() {
        for name in names() {
            let queries = Queries::of(name, &BTreeMap::new()).unwrap();
            assert!(queries.all().count() > 0, "{name}");
        }
        let haproxy = Queries::of("haproxy", &BTreeMap::new()).unwrap();
        assert!(haproxy.get(What::Latency).is_none() && haproxy.get(What::Timeouts).is_none());
        assert!(Queries::of("kube-state-metrics", &BTreeMap::new()).unwrap().get(What::Requests).is_none());
    }

    #[test]
    fn overrides_are_checked_in_a_line() {
        assert!(over("requests", "x{v=\"{{version}}\"}").is_ok());
        assert!(over("requests", "x{v=\"1\"}").unwrap_err().contains("does not tell versions apart"));
        assert!(over("request", "x{v=\"{{version}}\"}").unwrap_err().contains("did you mean `requests`"));
        assert!(over("requests", "sum(x{v=\"{{version}}\"})").unwrap_err().contains("increase over [{{window}}]"));
        assert!(over("requests", "x{v=\"{{verison}}\"}").unwrap_err().ends_with(" }; did you mean `version`?"));
        assert!(over("requests", "x{v=\"{{tenant}}\"}").unwrap_err().ends_with(" }"));
        let rate = "sum(rate(x{v=\"{{version}}\"}[{{window}}]))";
        let why = "`rate` gives no counts, and counts are wanted: write increase(…[{{window}}])";
        for (name, refused) in
            [("requests", true), ("errors", true), ("latency", true), ("restarts", true), ("ready", false), ("cpu", false)]
        {
            let said = over(name, rate).map(|_| ()).map_err(|e| e.strip_prefix(&format!("query `{name}`: ")).map(str::to_owned));
            assert_eq!(said, if refused { Err(Some(why.to_owned())) } else { Ok(()) }, "{name}");
        }
        assert!(over("cpu", "sum(used_{{version}})").unwrap_err().contains("its age cannot be told"));
        assert!(over("cpu", "sum(used{v=\"{{version}}\"})").is_ok());
        assert!(over("latency_unit", "us").unwrap_err().contains("s or ms"));
        assert_eq!(over("code_label", "a b").unwrap_err(), "query `code_label`: `a b` is no name of a label");
        for label in ["code_label", "instance_label", "changing_label", "grpc_label"] {
            let without = over(label, "").unwrap();
            let [all, one] = [&without.code_label, &without.instance_label].map(Option::is_some);
            assert_eq!((all, one), (label != "code_label", label != "instance_label"), "{label} is taken away");
        }
        assert!(Queries::of("istoi", &BTreeMap::new()).unwrap_err().contains("did you mean `istio`"));
        let pair = Written::Pair { stable: "x{s=\"a\"}".into(), canary: "x{s=\"b\"}".into() };
        assert!(Queries::of("istio", &BTreeMap::from([("requests".to_owned(), pair)])).is_ok());
    }

    #[test]
    fn the_label_of_namespaces_is_named_where_scrapes_differ() {
        let of = |preset: &str, label: &str| Queries::of(preset, &[("namespace_label".to_owned(), Written::One(label.to_owned()))].into());
        let text = |queries: &Queries| queries.get(What::Requests).unwrap().stable.text().to_owned();
        let usual = Queries::of("ingress-nginx", &BTreeMap::new()).unwrap();
        assert!(text(&usual).starts_with("nginx_ingress_controller_requests{exported_namespace=\"{{namespace}}\","), "{}", text(&usual));
        let honored = of("ingress-nginx", "namespace").unwrap();
        assert!(text(&honored).starts_with("nginx_ingress_controller_requests{namespace=\"{{namespace}}\","), "{}", text(&honored));
        assert_eq!(honored.all().filter(|(_, asked)| asked.canary.text().contains("exported_namespace")).count(), 0);
        for (preset, label, why) in [
            ("istio", "namespace", "query `namespace_label`: no query has {{namespace_label}}"),
            ("ingress-nginx", "a b", "query `namespace_label`: `a b` is no name of a label"),
            ("ingress-nginx", "", "query `namespace_label`: it is empty"),
        ] {
            assert_eq!(of(preset, label).unwrap_err(), why);
        }
    }

    #[test]
    fn nothing_means_zero_only_in_the_same_metric() {
        let queries = |name: &str| Queries::of(name, &BTreeMap::new()).unwrap();
        assert!(queries("istio").may_be_zero(What::Timeouts));
        assert!(!queries("envoy").may_be_zero(What::Timeouts) && !queries("envoy").may_be_zero(What::Latency));
    }

    #[test]
    fn a_gate_that_cannot_be_told_is_refused() {
        let gate: GateSpec = toml::from_str("name = \"g\"\nsignal = \"errors\"\nerrors = [\"429\"]").unwrap();
        let can = |name: &str| Queries::of(name, &BTreeMap::new()).unwrap().can_judge(&gate);
        assert!(can("istio").is_ok() && can("haproxy").unwrap_err().contains("`429`"));
        // Statuses are in no label that says gRPC codes.
        let without = over("code_label", "").unwrap();
        let judge =
            |errors: &str| without.can_judge(&toml::from_str(&format!("name = \"g\"\nsignal = \"errors\"\nerrors = [{errors}]")).unwrap());
        assert!(judge("\"grpc:14\"").is_ok());
        assert_eq!(
            judge("\"grpc:14\", \"5xx\"").unwrap_err(),
            "errors `5xx` cannot be told: there is no `code_label`, and `grpc_label` says gRPC codes"
        );
    }
}
