//! Accepting clients.

use super::{forward::Client, router::Router, wire::Wire};
use crate::model::text::Text;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may take for a request's head, and keep a connection idle: longer than the 60 s
/// for which balancers in front commonly keep theirs, so that we never close one they are about to use.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// The pause after an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often connections that are idle for too long are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// Connections that the system keeps until they are accepted: a burst must not wait for a second SYN.
const BACKLOG: u32 = 4_096;

/// Listens there.
///
/// # Errors
/// When that is not possible; the message is complete.
pub fn open(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let open = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        socket.listen(BACKLOG)
    };
    socket.and_then(open).map_err(|e| io::Error::new(e.kind(), not_listening(listen, &e)))
}

/// Why an address cannot be listened on, in words.
pub fn not_listening(listen: SocketAddr, e: &io::Error) -> String {
    let why = match e.kind() {
        io::ErrorKind::AddrInUse => "port taken: another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no such address on this machine".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE".to_owned(),
        _ => e.to_string(),
    };
    format!("cannot listen on {listen}: {why}")
}

/// The loop that accepts.
pub struct Accept {
    pub service: Text,
    pub router: Arc<Router>,
    pub closing: CancellationToken,
    pub killed: CancellationToken,
    pub connections: TaskTracker,
}

impl Accept {
    pub async fn run(self, listener: TcpListener) {
        let mut sweep = tokio::time::interval(SWEEP);
        let mut failing = false;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        failing = false;
                        self.connections.spawn(self.connection(stream, peer));
                    }
                    // The client was gone before it was accepted.
                    Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
                    Err(e) => {
                        if !failing {
                            tracing::warn!(service = %self.service, "cannot accept connections, trying on: {e}");
                        }
                        failing = true;
                        tokio::time::sleep(BACK_OFF).await;
                    }
                },
                _ = sweep.tick() => self.router.sweep(),
                () = self.closing.cancelled() => return,
            }
        }
    }

    fn connection(&self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + 'static {
        let (closing, killed) = (self.closing.clone(), self.killed.clone());
        let (io, tap) = Wire::new(stream);
        let client = Client { router: Arc::clone(&self.router), peer: peer.ip().to_canonical(), tap, tasks: self.connections.clone() };
        async move {
            let client = Arc::new(client);
            let service = service_fn(move |request: Request<Incoming>| {
                let client = Arc::clone(&client);
                async move { Ok::<_, Infallible>(client.serve(request).await) }
            });
            let mut connection = pin!(
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(io, service)
                    .with_upgrades()
            );
            let mut asked = false;
            loop {
                tokio::select! {
                    // An error is the client's, or was told to it.
                    _ = connection.as_mut() => return,
                    () = closing.cancelled(), if !asked => {
                        asked = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = killed.cancelled() => return,
                }
            }
        }
    }
}
