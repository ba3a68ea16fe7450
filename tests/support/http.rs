//! An HTTP server on a loopback port that answers as a test says, also in ways that no server should.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The server. Its connections end with their clients.
pub struct Fake {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    closed: Arc<AtomicUsize>,
}

impl Fake {
    /// `answer` writes what it likes; an error ends the connection.
    pub fn new(answer: impl Fn(&Asked, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, closed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (answer, heard, ended) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&closed));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answer, heard, ended) = (Arc::clone(&answer), Arc::clone(&heard), Arc::clone(&ended));
                thread::spawn(move || {
                    let _ = serve(client, &heard, &*answer);
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), port, asked, closed }
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections have ended.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }
}

fn serve(mut client: TcpStream, heard: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked, &mut TcpStream) -> io::Result<()>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut asked = Asked { method: words.next().unwrap_or_default(), target: words.next().unwrap_or_default(), ..Asked::default() };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            asked.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        asked.body = String::from_utf8(body).unwrap();
        heard.lock().unwrap().push(asked.clone());
        answer(&asked, &mut client)?;
    }
}

/// A whole answer; `head` are header lines, each with its line end.
pub fn reply(client: &mut TcpStream, status: u16, head: &str, body: &[u8]) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status} Because\r\ncontent-length: {}\r\n{head}\r\n", body.len())?;
    client.write_all(body)
}

/// A whole answer in JSON.
pub fn json(client: &mut TcpStream, status: u16, body: &[u8]) -> io::Result<()> {
    reply(client, status, "content-type: application/json\r\n", body)
}

/// Waits until the other side closes, or says more.
pub fn silence(client: &mut TcpStream) -> io::Result<()> {
    let read = client.read(&mut [0])?;
    Err(io::Error::other(format!("read {read}")))
}
