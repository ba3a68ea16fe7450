//! A client that sees every byte: it tells a body that ended from one that was cut.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Client {
    pub stream: TcpStream,
    /// Read and not used yet.
    pub rest: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The part of a chunked body after the last chunk.
    pub trailers: String,
    /// The body ended where it said it would.
    pub complete: bool,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub async fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, rest: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        self.answer(false).await.unwrap()
    }

    /// The next answer; `None` if the connection ends before a head.
    pub async fn answer(&mut self, to_head: bool) -> Option<Answer> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1)?.parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), trailers: String::new(), complete: true };
        let length = answer.field("content-length").map(|v| v.parse::<usize>().unwrap());
        if to_head || matches!(status, 101 | 100 | 204 | 304) {
        } else if answer.field("transfer-encoding").is_some() {
            answer.complete = self.chunked(&mut answer).await.is_some();
        } else if let Some(length) = length {
            answer.complete = self.fill(length).await;
            answer.body = self.rest.drain(..length.min(self.rest.len())).collect();
        } else {
            answer.complete = loop {
                match self.stream.read_buf(&mut self.rest).await {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            };
            answer.body = std::mem::take(&mut self.rest);
        }
        Some(answer)
    }

    /// A head alone.
    pub async fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").await
    }

    async fn chunked(&mut self, answer: &mut Answer) -> Option<()> {
        while let Some(chunk) = self.chunk().await? {
            answer.body.extend(chunk);
        }
        loop {
            let line = self.until(b"\r\n").await?;
            if line == "\r\n" {
                return Some(());
            }
            answer.trailers += &line;
        }
    }

    /// One chunk; `Some(None)` is the last one, `None` a cut.
    pub async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let size = self.until(b"\r\n").await?;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        if size == 0 {
            return Some(None);
        }
        if !self.fill(size + 2).await {
            answer_partly(&mut self.rest);
            return None;
        }
        let mut chunk: Vec<u8> = self.rest.drain(..size + 2).collect();
        chunk.truncate(size);
        Some(Some(chunk))
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|w| w == end) {
                return Some(String::from_utf8(self.rest.drain(..at + end.len()).collect()).unwrap());
            }
            if !matches!(self.stream.read_buf(&mut self.rest).await, Ok(n) if n > 0) {
                return None;
            }
        }
    }

    /// Whether that many bytes came.
    pub async fn fill(&mut self, bytes: usize) -> bool {
        while self.rest.len() < bytes {
            if !matches!(self.stream.read_buf(&mut self.rest).await, Ok(n) if n > 0) {
                return false;
            }
        }
        true
    }

    /// Whether the peer has closed and sent nothing more.
    pub async fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && matches!(self.stream.read_buf(&mut self.rest).await, Ok(0) | Err(_))
    }
}

/// What is left of a cut chunk is of no use.
fn answer_partly(rest: &mut Vec<u8>) {
    rest.clear();
}
