//! An upgraded connection: bytes in both directions until one side or somebody ends it.

use super::{pool::Conn, router::Ticket};
use crate::host::meter::Meter;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Carries it until it ends. It outlives a switch; a cut ends it at once.
pub async fn carry(client: OnUpgrade, instance: OnUpgrade, conn: Conn, ticket: Ticket) {
    let meter = Arc::clone(&ticket.meter);
    let mut copied = pin!(async {
        if let Ok((client, instance)) = futures::future::try_join(client, instance).await {
            let mut client = Counted { inner: TokioIo::new(client), meter };
            // Whoever breaks it off, it is over for both.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut TokioIo::new(instance)).await;
        }
    });
    poll_fn(|cx| if ticket.active.poll_cut(cx).is_ready() { Poll::Ready(()) } else { copied.as_mut().poll(cx) }).await;
    drop(conn);
    ticket.done();
}

/// The client's side, whose bytes are counted.
struct Counted<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.meter.take_in(buf.filled().len() - before);
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = result {
            self.meter.give_out(written);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
