//! A TCP stream that remembers whether it was heard, and can be closed in a way the peer notices.

use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What a [`Wire`] and its user tell each other.
#[derive(Debug, Default)]
pub struct Tap {
    /// Whether a byte was read since this was last set to false.
    pub heard: AtomicBool,
    /// Whether to reset the connection instead of closing it: the only way to say "cut" to a client
    /// for whom the end of the connection is the end of the body.
    pub reset: AtomicBool,
}

/// A TCP stream with a [`Tap`].
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    tap: Arc<Tap>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> (TokioIo<Self>, Arc<Tap>) {
        // Small answers must not wait for acknowledgements. If it cannot be set they do; nothing else.
        let _ = stream.set_nodelay(true);
        let tap = Arc::new(Tap::default());
        (TokioIo::new(Self { stream, tap: Arc::clone(&tap) }), tap)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.tap.reset.load(Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.tap.heard.store(true, Relaxed);
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
