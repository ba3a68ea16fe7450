//! Bodies on their way through: streamed with back-pressure, counted, and never ended better than they were.

use super::{pool::Conn, router::Ticket, wire::Tap};
use crate::{host::meter::Meter, model::event::FailedRequest};
use futures::task::AtomicWaker;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

/// How long a client that asked for `100 Continue` waits for a version that does not know of it.
const CONTINUE_ANYWAY: Duration = Duration::from_secs(1);

/// A request's body, from the client to an instance.
pub struct RequestBody(Option<Streamed>);

struct Streamed {
    inner: Incoming,
    upload: Arc<Upload>,
    /// The client waits for `100 Continue`: nothing is read of it before the instance asks for it.
    held: Option<Pin<Box<Sleep>>>,
}

/// What is known of a request's body while it is on its way.
pub struct Upload {
    meter: Arc<Meter>,
    /// All of it was sent.
    complete: AtomicBool,
    /// The client stopped sending in the middle of it.
    broken: AtomicBool,
    /// The instance asked for it.
    asked: AtomicBool,
    waker: AtomicWaker,
}

impl Upload {
    pub fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    fn is_complete(&self) -> bool {
        self.complete.load(Relaxed)
    }

    /// The instance wants the body.
    pub fn ask(&self) {
        self.asked.store(true, Relaxed);
        self.waker.wake();
    }
}

impl RequestBody {
    /// No body at all.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// What the client sends; with `held` not before the instance asks for it.
    pub fn streamed(inner: Incoming, meter: Arc<Meter>, held: bool) -> (Self, Arc<Upload>) {
        let upload = Arc::new(Upload {
            meter,
            complete: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let held = held.then(|| Box::pin(tokio::time::sleep(CONTINUE_ANYWAY)));
        (Self(Some(Streamed { inner, upload: Arc::clone(&upload), held })), upload)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        if let Some(timer) = &mut body.held {
            body.upload.waker.register(cx.waker());
            if !body.upload.asked.load(Relaxed) {
                ready!(timer.as_mut().poll(cx));
            }
            body.held = None;
        }
        let frame = ready!(Pin::new(&mut body.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => body.upload.meter.take_in(frame.data_ref().map_or(0, Bytes::len)),
            Some(Err(_)) => body.upload.broken.store(true, Relaxed),
            None => {}
        }
        if frame.is_none() || body.inner.is_end_stream() {
            body.upload.complete.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|b| b.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |b| b.inner.size_hint())
    }
}

/// A response's body, from an instance or from the proxy itself to the client.
pub enum ResponseBody {
    /// The proxy's own words.
    Own(Option<Bytes>),
    /// An instance's.
    Passed(Box<Passed>),
}

/// An instance's body with what must live as long as it.
pub struct Passed {
    inner: Incoming,
    /// `None` once the body is over.
    life: Option<Life>,
    /// Why it is cut: told to the server one poll later, so that it first sends what it has.
    cut: Option<Cut>,
}

/// What must live until the end of a body.
pub struct Life {
    pub ticket: Ticket,
    pub conn: Conn,
    pub upload: Option<Arc<Upload>>,
    /// The client's connection, if its end is all that says where the body ends.
    pub ends_by_close: Option<Arc<Tap>>,
    /// The status that went down.
    pub status: u16,
}

/// The body ended before its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Cut {
    /// The instance closed or broke it.
    #[error("the instance ended the body early")]
    ByInstance,
    /// Somebody decided not to wait for it any longer.
    #[error("cut while draining")]
    ByUs,
}

impl ResponseBody {
    pub fn own(text: &str) -> Self {
        Self::Own(Some(Bytes::copy_from_slice(text.as_bytes())))
    }

    pub fn passed(inner: Incoming, life: Life) -> Self {
        let mut passed = Box::new(Passed { inner, life: Some(life), cut: None });
        passed.end_if_complete();
        Self::Passed(passed)
    }
}

impl Passed {
    /// Everything was passed on: the connection is kept for the next request.
    fn end_if_complete(&mut self) {
        if self.inner.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(Life { ticket, conn, upload, .. }) = self.life.take() {
            if upload.is_none_or(|u| u.is_complete()) {
                ticket.instance.idle.keep(conn);
            }
            ticket.done();
        }
    }

    fn break_off(&mut self, why: Cut) {
        if let Some(Life { ticket, ends_by_close, status, .. }) = self.life.take() {
            if let Some(tap) = ends_by_close {
                tap.reset.store(true, Relaxed);
            }
            if matches!(why, Cut::ByInstance) {
                ticket.meter.upstream_failed();
            }
            let error = Some(why.to_string().into());
            ticket.meter.keep(FailedRequest {
                at: ticket.active.since,
                method: ticket.active.method(),
                path: ticket.active.path(),
                status: Some(status),
                instance: Some(ticket.instance.upstream.instance.clone()),
                error,
            });
            ticket.done();
        }
        self.cut = Some(why);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(why) = self.cut {
            return Poll::Ready(Some(Err(why)));
        }
        let Some(life) = &self.life else { return Poll::Ready(None) };
        let why = if life.ticket.active.poll_cut(cx).is_ready() {
            Cut::ByUs
        } else {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    life.ticket.meter.give_out(frame.data_ref().map_or(0, Bytes::len));
                    self.end_if_complete();
                    return Poll::Ready(Some(Ok(frame)));
                }
                None => {
                    self.end();
                    return Poll::Ready(None);
                }
                Some(Err(_)) => Cut::ByInstance,
            }
        };
        self.break_off(why);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Own(text) => Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Self::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Passed(passed) => passed.cut.is_none() && passed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Self::Passed(passed) => passed.inner.size_hint(),
        }
    }
}
