//! A Unix socket before another one, on which everything goes wrong that can: it knows where a request
//! and its body end, and no more of HTTP.

use super::Weather;
use chrono::{Datelike, Utc};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// So many bytes of an answer come before it is cut: within a line.
const HALF: usize = 700;
/// So many bytes at a time.
const DROPS: usize = 23;

/// See the module. Ends with the value.
pub struct Faulty {
    pub socket: PathBuf,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    upstream: PathBuf,
    weather: Mutex<Weather>,
    cuts: watch::Sender<u64>,
    acted: AtomicUsize,
    taken: AtomicUsize,
}

impl Faulty {
    pub fn before(upstream: &Path) -> Self {
        let socket = upstream.with_file_name("faulty.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            weather: Mutex::new(Weather::Fair),
            cuts: watch::Sender::new(0),
            acted: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        });
        let serve = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = Arc::clone(&serve);
                tokio::spawn(async move { serve.one(stream).await });
            }
        });
        Self { socket, shared, task }
    }

    pub fn weather(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
        self.cut();
    }

    /// Ends every connection that is open.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|n| *n += 1);
    }

    /// Actions whose whole request came here.
    pub fn acted(&self) -> usize {
        self.shared.acted.load(Ordering::SeqCst)
    }

    /// Actions that the target has answered.
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Shared {
    async fn one(&self, mut stream: UnixStream) {
        let mut cuts = self.cuts.subscribe();
        tokio::select! {
            _ = cuts.changed() => {}
            _ = self.exchange(&mut stream) => {}
        }
    }

    /// One request and its answer. `None` when the other side is gone.
    async fn exchange(&self, stream: &mut UnixStream) -> Option<()> {
        let request = request(stream).await?;
        let weather = *self.weather.lock().unwrap();
        let acts = request.starts_with(b"POST /v1/actions ");
        self.acted.fetch_add(usize::from(acts), Ordering::SeqCst);
        match weather {
            Weather::Away => return None,
            Weather::Swallowed if acts => return None,
            Weather::Denied => {
                let body = r#"{"message":"you are not known here"}"#;
                let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                return stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
            }
            _ => {}
        }
        let mut target = UnixStream::connect(&self.upstream).await.ok()?;
        target.write_all(&request).await.ok()?;
        if acts && matches!(weather, Weather::AnswerLost | Weather::Hanging) {
            target.read_to_end(&mut Vec::new()).await.ok()?;
            self.taken.fetch_add(1, Ordering::SeqCst);
            if weather == Weather::Hanging {
                // Until the weather changes, or whoever asked has gone.
                let _ = stream.read(&mut [0]).await;
            }
            return None;
        }
        let (mut piece, mut sent) = (vec![0; 64 << 10], 0);
        loop {
            let n = target.read(&mut piece).await.ok().filter(|n| *n > 0)?;
            let mut piece = piece[..n].to_vec();
            match weather {
                Weather::HalfFrames => piece.truncate(HALF.saturating_sub(sent)),
                Weather::Skewed => skew(&mut piece),
                _ => {}
            }
            let size = if weather == Weather::Drip { DROPS } else { piece.len().max(1) };
            for drop in piece.chunks(size) {
                stream.write_all(drop).await.ok()?;
                tokio::task::yield_now().await;
            }
            sent += piece.len();
            if weather == Weather::HalfFrames && sent >= HALF {
                return None;
            }
        }
    }
}

/// A whole request, which is the last one of its connection.
async fn request(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let line = bytes.windows(2).position(|w| w == b"\r\n")?;
                bytes.splice(line..line, b"\r\nconnection: close".iter().copied());
                return Some(bytes);
            }
        }
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..n]);
    }
}

/// The target's clock is a year ahead: the same number of bytes.
fn skew(piece: &mut [u8]) {
    let year = Utc::now().year();
    let (is, becomes) = (format!("\"server_time\":\"{year}-"), format!("\"server_time\":\"{}-", year + 1));
    let found: Vec<usize> = (0..piece.len()).filter(|at| piece[*at..].starts_with(is.as_bytes())).collect();
    for at in found {
        piece[at..at + becomes.len()].copy_from_slice(becomes.as_bytes());
    }
}
