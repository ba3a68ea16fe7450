//! What fires: asked once for all services of a place, and told to each what is about it.

use super::{
    Alert, Labels, Metrics, Trouble,
    feed::Pace,
    template::{Variables, window_text},
};
use crate::model::{
    gate::Arm,
    interval::{Query, Sensor, SensorState},
    text::Text,
    time::{Time, after, elapsed},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;

/// By what an alert is a service's. One server often knows several clusters, each with services of the same
/// names: what fires about another `web` must stop nobody's release.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// One of these labels has the service's name.
    pub labels: Vec<String>,
    /// Labels that it has besides, each with exactly this value.
    pub matchers: BTreeMap<String, String>,
}

/// The namespace that an alert is about. Where the scraper put its own into `namespace`, the one that the
/// series came with is called `exported_namespace`.
const NAMESPACES: [&str; 2] = ["exported_namespace", "namespace"];

/// About whom alerts are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whom<'a> {
    /// What it is called.
    pub service: &'a str,
    /// Where it is; `None` where there are no namespaces, and of an alert that names none nothing is compared.
    pub namespace: Option<&'a str>,
}

impl<'a> Whom<'a> {
    /// A service and what is filled into its queries.
    #[must_use]
    pub fn of(service: &'a str, values: &'a Variables) -> Self {
        Self { service, namespace: values.get("namespace").map(String::as_str) }
    }
}

impl Rule {
    fn is_about(&self, whom: Whom<'_>, alert: &Labels) -> bool {
        let named = self.labels.iter().any(|label| alert.get(label) == Some(whom.service));
        let there = NAMESPACES.into_iter().find_map(|label| alert.get(label)).filter(|there| !there.is_empty());
        let elsewhere = whom.namespace.zip(there).is_some_and(|(own, there)| own != there);
        named && !elsewhere && self.matchers.iter().all(|(label, value)| alert.get(label) == Some(value))
    }

    /// The same in words: `service="web" or job="web", of namespace shop, with cluster="eu-1"`.
    fn text(&self, Whom { service, namespace }: Whom<'_>) -> String {
        let named: Vec<String> = self.labels.iter().map(|label| format!("{label}={service:?}")).collect();
        let there = namespace.map(|namespace| format!(", of namespace {namespace:?} or none")).unwrap_or_default();
        let with: String = self.matchers.iter().map(|(label, value)| format!(", with {label}={value:?}")).collect();
        named.join(" or ") + &there + &with
    }
}

/// The list of what fires, as long as it is new.
pub struct Board {
    rule: Rule,
    /// When it was asked, by the uptime, and what was said.
    last: Mutex<Option<(Duration, Said)>>,
}

/// What was said of all that fires.
pub type Said = Result<Arc<[Alert]>, Trouble>;

impl Board {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self { rule, last: Mutex::new(None) }
    }

    /// What fires; asked again when the last answer is older than `fresh_for`, by the uptime. Whoever
    /// comes while somebody asks waits for that answer.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn firing<M: Metrics>(&self, backend: &M, uptime: Duration, fresh_for: Duration) -> Said {
        let mut last = self.last.lock().await;
        if let Some((then, answer)) = &*last
            && uptime.saturating_sub(*then) < fresh_for
        {
            return answer.clone();
        }
        let answer = backend.alerts().await.map(Arc::from);
        *last = Some((uptime, answer.clone()));
        answer
    }

    /// Those about a service that began at `since` or later, the oldest first: a line each.
    #[must_use]
    pub fn about(&self, whom: Whom<'_>, since: Time, firing: &[Alert]) -> Vec<Text> {
        self.those(whom, since, firing).into_iter().map(line).collect()
    }

    /// When the first of them began.
    #[must_use]
    pub fn first(&self, whom: Whom<'_>, since: Time, fired: &[Alert]) -> Option<Time> {
        self.those(whom, since, fired).first().map(|alert| alert.since)
    }

    /// What was asked at `at`, and which of the answer is told: the list of a server, or the series that its
    /// rules write where it has none.
    #[must_use]
    pub fn query(&self, whom: Whom<'_>, since: Time, at: Time) -> Query {
        let text = format!(
            "/api/v1/alerts, else {FIRED}: those with {} that began at {} or later",
            self.rule.text(whom),
            since.format("%Y-%m-%dT%H:%M:%SZ")
        );
        Query { name: "alerts".into(), text: text.into(), at, warnings: Vec::new(), infos: Vec::new() }
    }

    fn those<'a>(&self, whom: Whom<'_>, since: Time, firing: &'a [Alert]) -> Vec<&'a Alert> {
        let is = |alert: &&Alert| alert.since >= since && self.rule.is_about(whom, &alert.labels);
        let mut about: Vec<&Alert> = firing.iter().filter(is).collect();
        about.sort_by(|a, b| (a.since, &a.labels).cmp(&(b.since, &b.labels)));
        about
    }
}

/// What a backend keeps of alerts that fired.
pub const FIRED: &str = "ALERTS{alertstate=\"firing\"}";

/// So much of a past is read at once.
const PIECE: Duration = Duration::from_secs(3_600);

/// Without a sample for so long an alert was over, as a backend takes it.
const OVER: chrono::Duration = chrono::Duration::minutes(5);

/// Every time that an alert began to fire after `since`, up to `until`, as the rules were evaluated then. What
/// fired before is not told. The text of an alert is not kept.
///
/// # Errors
/// What the backend says; a partial answer.
pub async fn past<M: Metrics>(backend: &M, since: Time, until: Time) -> Result<Vec<Alert>, Trouble> {
    let mut seen: BTreeMap<Labels, BTreeSet<Time>> = BTreeMap::new();
    let mut from = since - OVER;
    while from < until {
        let to = after(from, PIECE).min(until);
        // Whole seconds, rounded up: it reaches at least that far.
        let window = Duration::from_secs(elapsed(to, from).as_secs() + 1);
        let answer = backend.instant(&format!("{FIRED}[{}]", window_text(window)), to).await?;
        if let Some(warning) = answer.warnings.first() {
            return Err(Trouble::Failed { why: format!("a partial answer: {warning}").into() });
        }
        for series in answer.series {
            let times = seen.entry(series.labels.without(&["__name__", "alertstate"])).or_default();
            times.extend(series.points.iter().map(|point| point.at));
        }
        from = to;
    }
    let mut all = Vec::new();
    for (labels, times) in seen {
        let mut last: Option<Time> = None;
        for at in times {
            if at > since && last.is_none_or(|last| at - last > OVER) {
                all.push(Alert { labels: labels.clone(), annotations: Labels::default(), since: at });
            }
            last = Some(at);
        }
    }
    Ok(all)
}

/// How far a list of what fires can be trusted: `age` is that of the last one, `None` before the first.
#[must_use]
pub fn sensor(name: Text, age: Option<Duration>, pace: Pace) -> Sensor {
    let state = match age {
        Some(age) if age <= pace.stale_after() => SensorState::Fresh,
        Some(_) => SensorState::Stale,
        None => SensorState::Absent,
    };
    Sensor { name, arm: Arm::Candidate, state, age, required: true }
}

/// `alert HighErrorRate fires since 03:12: too many errors`
fn line(alert: &Alert) -> Text {
    let name = alert.labels.get("alertname").unwrap_or("without a name");
    let says =
        ["summary", "description", "message"].into_iter().find_map(|key| alert.annotations.get(key)).filter(|s| !s.trim().is_empty());
    let says = says.map(|says| format!(": {}", says.trim())).unwrap_or_default();
    format!("alert {name} fires since {}{says}", alert.since.format("%H:%M")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Labels;

    fn alert(name: &str, labels: &[(&str, &str)], second: i64) -> Alert {
        let named = [("alertname", name)];
        let all = labels.iter().chain(&named).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let annotations = Labels::new([("summary".to_owned(), format!("{name} it is"))]);
        Alert { labels: Labels::new(all), annotations, since: Time::from_timestamp(second, 0).unwrap() }
    }

    const WEB: Whom<'_> = Whom { service: "web", namespace: None };

    fn board(matchers: &[(&str, &str)]) -> Board {
        let matchers = matchers.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        Board::new(Rule { labels: vec!["service".into(), "job".into()], matchers })
    }

    #[test]
    fn an_alert_of_another_namespace_is_not_about_it() {
        let here = Whom { namespace: Some("shop"), ..WEB };
        let is = |board: &Board, whom: Whom<'_>, labels: &[(&str, &str)]| {
            let labels: Vec<_> = labels.iter().copied().chain([("service", "web")]).collect();
            !board.about(whom, Time::UNIX_EPOCH, &[alert("A", &labels, 1)]).is_empty()
        };
        let all = board(&[]);
        // An alert, and a rollout, without a namespace is compared by its name.
        for labels in [&[][..], &[("namespace", "shop")], &[("namespace", "")], &[("exported_namespace", "shop"), ("namespace", "ingress")]]
        {
            assert!(is(&all, here, labels) && is(&all, WEB, labels), "{labels:?}");
        }
        for labels in [&[("namespace", "other")][..], &[("exported_namespace", "other"), ("namespace", "shop")]] {
            assert!(!is(&all, here, labels) && is(&all, WEB, labels), "{labels:?}");
        }
    }

    #[test]
    fn an_alert_has_every_label_that_the_configuration_names() {
        let one = board(&[("cluster", "eu"), ("tier", "live")]);
        let is = |labels: &[(&str, &str)]| {
            let labels: Vec<_> = labels.iter().copied().chain([("job", "web")]).collect();
            one.first(WEB, Time::UNIX_EPOCH, &[alert("A", &labels, 1)]).is_some()
        };
        assert!(is(&[("cluster", "eu"), ("tier", "live"), ("more", "x")]));
        assert!(!is(&[("cluster", "us"), ("tier", "live")]) && !is(&[("cluster", "eu")]) && !is(&[]));
    }

    #[test]
    fn an_alert_is_about_a_service_by_its_labels_and_counts_from_the_run_on() {
        let board = board(&[]);
        let firing = [
            alert("Late", &[("job", "web")], 7_200),
            alert("Early", &[("service", "web")], 3_599),
            alert("First", &[("service", "web")], 3_600),
            alert("Other", &[("service", "web2"), ("app", "web")], 7_200),
        ];
        let about = board.about(WEB, Time::from_timestamp(3_600, 0).unwrap(), &firing);
        let about: Vec<&str> = about.iter().map(Text::as_str).collect();
        assert_eq!(about, ["alert First fires since 01:00: First it is", "alert Late fires since 02:00: Late it is"]);
        let [since, at] = [3_600, 7_300].map(|second| Time::from_timestamp(second, 0).unwrap());
        let query = board.query(WEB, since, at);
        let said = "/api/v1/alerts, else ALERTS{alertstate=\"firing\"}: those with service=\"web\" or job=\"web\" that began at 1970-01-01T01:00:00Z or later";
        assert_eq!((query.name.as_str(), query.text.as_str(), query.at), ("alerts", said, at));
    }
}
