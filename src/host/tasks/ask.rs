//! Plain requests to one instance, one after the other on one connection while that is open.

use crate::model::text::Text;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, task::JoinHandle, time};

/// Bytes of a body that are kept.
const KEPT: usize = 2 * 1024;
/// Bytes of a body that are read, so that the connection can be used again.
const READ: usize = 1 << 20;

/// Somebody who asks one instance.
pub struct Asker {
    at: SocketAddr,
    agent: &'static str,
    conn: Option<Conn>,
}

struct Conn {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The first bytes of its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 to 399.
    pub const fn is_good(&self) -> bool {
        matches!(self.status, 200..=399)
    }
}

impl Asker {
    pub const fn new(at: SocketAddr, agent: &'static str) -> Self {
        Self { at, agent, conn: None }
    }

    /// Asks once; on a fresh connection if the one that is there was closed meanwhile.
    ///
    /// # Errors
    /// Why there is no answer: `connection refused`, `no answer within 30s`.
    pub async fn get(&mut self, path: &str, timeout: Duration) -> Result<Answer, Text> {
        match time::timeout(timeout, self.exchange(path)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.conn = None;
                Err(format!("no answer within {}", humantime::format_duration(timeout)).into())
            }
        }
    }

    async fn exchange(&mut self, path: &str) -> Result<Answer, Text> {
        if let Some(conn) = self.conn.take().filter(|c| !c.sender.is_closed())
            && let Ok(answer) = self.on(conn, path).await
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(self.at).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::ConnectionRefused => Text::from("connection refused"),
            _ => e.to_string().into(),
        })?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| Text::from(e.to_string()))?;
        let driver = tokio::spawn(async move {
            // Whoever asked on it learns of an error there.
            let _ = connection.await;
        });
        self.on(Conn { sender, driver }, path).await
    }

    async fn on(&mut self, mut conn: Conn, path: &str) -> Result<Answer, Text> {
        let request = Request::get(path)
            .header("host", self.at.to_string())
            .header("user-agent", self.agent)
            .body(Empty::<Bytes>::new())
            .map_err(|e| Text::from(format!("path {path}: {e}")))?;
        conn.sender.ready().await.map_err(|e| broken(&e))?;
        let mut response = conn.sender.send_request(request).await.map_err(|e| broken(&e))?;
        let (mut body, mut read) = (Vec::new(), 0);
        while let Some(frame) = response.body_mut().frame().await {
            let frame = frame.map_err(|_| Text::from("the answer ended early"))?;
            let data = frame.data_ref().map(AsRef::as_ref).unwrap_or_default();
            body.extend(data.iter().take(KEPT.saturating_sub(body.len())));
            read += data.len();
            if read > READ {
                return Ok(Answer { status: response.status().as_u16(), body });
            }
        }
        let answer = Answer { status: response.status().as_u16(), body };
        self.conn = Some(conn);
        Ok(answer)
    }
}

fn broken(error: &hyper::Error) -> Text {
    if error.is_parse() { "the answer is not HTTP".into() } else { "connection closed before an answer".into() }
}
