//! Alerts where a server has no list of them.

use super::rig::{client, recorded};
use crate::support::http::{Asked, Fake, json, reply};
use cutover::metrics::{Alert, Metrics};
use std::{io, net::TcpStream};

/// A server whose list is `list`; it knows the beginnings if `since`.
fn server(list: &'static str, since: bool) -> Fake {
    Fake::new(move |asked: &Asked, client: &mut TcpStream| -> io::Result<()> {
        if asked.target.ends_with("/alerts") {
            return match list {
                "" => reply(client, 404, "content-type: text/plain\r\n", b"404 page not found\n"),
                list => json(client, 200, &recorded(list)),
            };
        }
        if asked.target.ends_with("/query_range") {
            // It fired an hour ago, and again for the last four minutes.
            let at = |ago: i64| 1_795_971_574 - ago;
            let values: Vec<String> = [3600, 3480, 240, 120, 0].iter().map(|ago| format!("[{},\"1\"]", at(*ago))).collect();
            let whole = String::from_utf8(recorded("alerts-series.json")).unwrap().replace("vector", "matrix");
            let (before, _) = whole.split_once("\"value\"").unwrap();
            return json(client, 200, format!("{before}\"values\":[{}]}}]}}}}", values.join(",")).as_bytes());
        }
        let name = match (asked.body.contains("ALERTS_FOR_STATE"), since) {
            (true, true) => "alerts-for.json",
            (true, false) => "empty.json",
            (false, _) => "alerts-series.json",
        };
        json(client, 200, &recorded(name))
    })
}

async fn only(server: &Fake) -> Alert {
    let alerts = client(&server.url, |_| ()).alerts().await.unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    alerts.into_iter().next().unwrap()
}

#[tokio::test]
async fn the_series_of_alerts_stand_in_for_the_list() {
    // No list at all, and one that is always empty.
    for list in ["", "victoria-alerts.json"] {
        let server = server(list, true);
        let alert = only(&server).await;
        assert_eq!(alert.labels.get("alertname"), Some("TooMany"));
        assert_eq!((alert.labels.get("__name__"), alert.labels.get("alertstate")), (None, None));
        assert_eq!(alert.since.timestamp(), 1_795_971_549);
        assert_eq!(server.asked().len(), 3);
    }
}

#[tokio::test]
async fn without_its_beginning_an_alert_began_where_its_samples_do() {
    let alert = only(&server("", false)).await;
    assert_eq!(alert.since.timestamp(), 1_795_971_574 - 240);
}

#[tokio::test]
async fn what_fires_is_not_told_from_a_partial_answer() {
    let list = String::from_utf8(recorded("alerts.json")).unwrap().replacen('{', "{\"warnings\":[\"ruler 2 is away\"],", 1);
    let partial = Fake::new(move |_, client| json(client, 200, list.as_bytes()));
    let said = client(&partial.url, |_| ()).alerts().await.unwrap_err().to_string();
    assert!(said.contains("a partial answer: ruler 2 is away"), "{said}");
    // Nothing fires, as far as half of the stores know.
    let none = String::from_utf8(recorded("empty.json")).unwrap().replacen('{', "{\"warnings\":[\"store 3 is away\"],", 1);
    let partial = Fake::new(move |asked: &Asked, client| match asked.target.ends_with("/alerts") {
        true => reply(client, 404, "content-type: text/plain\r\n", b"404 page not found\n"),
        false => json(client, 200, none.as_bytes()),
    });
    let said = client(&partial.url, |_| ()).alerts().await.unwrap_err().to_string();
    assert!(said.contains("a partial answer: store 3 is away"), "{said}");
}

#[tokio::test]
async fn a_list_is_believed() {
    let server = server("alerts.json", true);
    let alert = only(&server).await;
    assert_eq!(alert.annotations.get("summary"), Some("too many for v2"));
    assert_eq!(server.asked().len(), 1);
}
