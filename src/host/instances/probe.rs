//! HTTP probes of one instance: one after the other, never two at once.

use crate::model::{spec::Probe, text::Text};
use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, sync::mpsc, time};

/// Which question a probe asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// May it get traffic?
    Readiness,
    /// Must it be replaced?
    Liveness,
}

/// One answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// To which question.
    pub kind: Kind,
    /// Why it is no.
    pub result: Result<(), Text>,
}

/// Asks for ever, each question once per its interval, until nobody wants the answers.
pub async fn run(readiness: Probe, liveness: Option<Probe>, at: SocketAddr, answers: mpsc::Sender<Answer>) {
    let start = time::Instant::now();
    let mut ready_at = start;
    let mut live_at = start;
    loop {
        let (kind, probe, due) = match &liveness {
            Some(live) if live_at < ready_at => (Kind::Liveness, live, &mut live_at),
            _ => (Kind::Readiness, &readiness, &mut ready_at),
        };
        time::sleep_until(*due).await;
        // From start to start; a probe that took longer than its interval skips, it does not pile up.
        let interval = probe.interval.max(Duration::from_millis(10));
        *due = time::Instant::now() + interval;
        let result = ask(probe, at).await;
        if answers.send(Answer { kind, result }).await.is_err() {
            return;
        }
    }
}

/// Asks once. Anything from 200 to 399 is yes.
///
/// # Errors
/// Why it is no: `HTTP 503`, `timeout after 1s`, `connection refused`.
pub async fn ask(probe: &Probe, at: SocketAddr) -> Result<(), Text> {
    match time::timeout(probe.timeout, exchange(probe, at)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("timeout after {}", humantime::format_duration(probe.timeout)).into()),
    }
}

async fn exchange(probe: &Probe, at: SocketAddr) -> Result<(), Text> {
    let stream = TcpStream::connect(at).await.map_err(|e| refused(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    let request = Request::get(probe.path.as_str())
        .header("host", at.to_string())
        .header("user-agent", "cutover-probe")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| Text::from(format!("probe path {}: {e}", probe.path)))?;
    let answer = async { sender.send_request(request).await.map_err(|e| broken(&e)) };
    // Both in this task: when the probe is over or dropped, so is its connection.
    tokio::pin!(connection, answer);
    let response = tokio::select! {
        biased;
        response = &mut answer => response?,
        end = &mut connection => match end {
            Ok(()) => answer.await?,
            Err(error) => return Err(broken(&error)),
        },
    };
    match response.status().as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("HTTP {status}").into()),
    }
}

fn refused(error: &io::Error) -> Text {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => error.to_string().into(),
    }
}

fn broken(error: &hyper::Error) -> Text {
    if error.is_parse() { "the answer is not HTTP".into() } else { "connection closed before an answer".into() }
}

#[cfg(test)]
mod tests {
    use super::{Kind, ask, run};
    use crate::model::spec::Probe;
    use std::{net::SocketAddr, time::Duration};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::mpsc,
    };

    fn probe(timeout: u64) -> Probe {
        let (interval, timeout) = (Duration::from_millis(20), Duration::from_millis(timeout));
        Probe { path: "/ready?x=1".into(), interval, timeout, successes: 1, failures: 3 }
    }

    /// Answers every connection with these bytes after its request; never, if there are none.
    async fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let n = stream.read(&mut request).await.unwrap();
                assert!(request[..n].starts_with(b"GET /ready?x=1 HTTP/1.1\r\nhost: 127.0.0.1:"));
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.is_empty() {
                    kept.push(stream);
                }
            }
        });
        at
    }

    #[tokio::test]
    async fn every_kind_of_no_is_said_in_words() {
        for (answer, expected) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", None),
            ("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Some("HTTP 503")),
            ("HTTP/1.1 404 Not Found\r\ncontent-length: 99\r\n\r\n", Some("HTTP 404")),
            ("SSH-2.0-OpenSSH\r\n", Some("the answer is not HTTP")),
        ] {
            let said = ask(&probe(2_000), server(answer).await).await.err();
            assert_eq!(said.as_ref().map(|t| t.as_str()), expected, "{answer}");
        }
        let at = server("").await;
        assert_eq!(ask(&probe(100), at).await.unwrap_err().as_str(), "timeout after 100ms");
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(ask(&probe(2_000), free).await.unwrap_err().as_str(), "connection refused");
    }

    #[tokio::test]
    async fn both_questions_are_asked_in_turn() {
        let at = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let (tx, mut rx) = mpsc::channel(1);
        let task = tokio::spawn(run(probe(2_000), Some(probe(2_000)), at, tx));
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(rx.recv().await.unwrap().kind);
        }
        assert!(seen.contains(&Kind::Readiness) && seen.contains(&Kind::Liveness), "{seen:?}");
        drop(rx);
        task.await.unwrap();
    }
}
