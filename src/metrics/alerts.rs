//! What fires: asked once for all services of a place, and told to each what is about it.

use super::{Alert, Metrics, Trouble, feed::Pace};
use crate::model::{
    gate::Arm,
    interval::{Sensor, SensorState},
    text::Text,
    time::Time,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// The list of what fires, as long as it is new.
pub struct Board {
    /// An alert is a service's when one of these has its name.
    labels: Vec<String>,
    /// When it was asked, by the uptime, and what was said.
    last: Mutex<Option<(Duration, Said)>>,
}

/// What was said of all that fires.
pub type Said = Result<Arc<[Alert]>, Trouble>;

impl Board {
    /// Nothing was asked yet. An alert is about a service when one of these labels has its name.
    #[must_use]
    pub fn new(labels: Vec<String>) -> Self {
        Self { labels, last: Mutex::new(None) }
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
    pub fn about(&self, service: &str, since: Time, firing: &[Alert]) -> Vec<Text> {
        let is = |alert: &&Alert| alert.since >= since && self.labels.iter().any(|label| alert.labels.get(label) == Some(service));
        let mut about: Vec<&Alert> = firing.iter().filter(is).collect();
        about.sort_by(|a, b| (a.since, &a.labels).cmp(&(b.since, &b.labels)));
        about.into_iter().map(line).collect()
    }
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

    #[test]
    fn an_alert_is_about_a_service_by_its_labels_and_counts_from_the_run_on() {
        let board = Board::new(vec!["service".into(), "job".into()]);
        let firing = [
            alert("Late", &[("job", "web")], 7_200),
            alert("Early", &[("service", "web")], 3_599),
            alert("First", &[("service", "web")], 3_600),
            alert("Other", &[("service", "web2"), ("app", "web")], 7_200),
        ];
        let about = board.about("web", Time::from_timestamp(3_600, 0).unwrap(), &firing);
        let about: Vec<&str> = about.iter().map(Text::as_str).collect();
        assert_eq!(about, ["alert First fires since 01:00: First it is", "alert Late fires since 02:00: Late it is"]);
    }
}
