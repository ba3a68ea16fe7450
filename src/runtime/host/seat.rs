//! A console's seat at a host: the name it is known by while it watches, and what it has open.
//!
//! The host forgets a console with its last watch, so nothing has to be repeated to stay there: it is
//! said once when a watch begins, and again when something else is opened. A console that is killed is
//! gone when the kernel closes its connection.

use super::client::Client;
use crate::model::{
    delta::Delta,
    text::{Raw, Text},
    wire::LookRequest,
};
use crate::runtime::Fault;
use futures::{Stream, StreamExt, future, stream};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Who watches.
#[derive(Clone)]
pub struct Seat {
    console: Raw,
    name: Option<Text>,
    open: Arc<watch::Sender<Option<Raw>>>,
}

impl Seat {
    /// Of the console of this name, which no other may have; `name` is what the person calls themselves.
    #[must_use]
    pub fn new(console: Raw, name: Option<Text>) -> Self {
        Self { console, name, open: Arc::new(watch::Sender::new(None)) }
    }

    /// The service that is open now, if one of this host is.
    pub fn opens(&self, service: Option<&Raw>) {
        self.open.send_if_modified(|open| {
            let other = open.as_ref() != service;
            *open = service.cloned();
            other
        });
    }

    /// How the watch names its console.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("console", self.console.as_str().to_owned())];
        query.extend(self.name.as_ref().map(|name| ("name", name.as_str().to_owned())));
        query
    }

    /// The watch of this console: says what is open for as long as it lasts, and leaves the console
    /// itself out of those who are there.
    pub(super) fn watch(
        self,
        client: Client,
        deltas: impl Stream<Item = Result<Delta, Fault>> + Send + 'static,
    ) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let begun = Arc::new(Notify::new());
        let own = self.console.text();
        let says = stream::once(self.says(client, Arc::clone(&begun)));
        let deltas = deltas.map(move |delta| match delta {
            Ok(Delta::Apply { mut rollout }) => {
                rollout.present.retain(|p| p.console != own);
                Ok(Delta::Apply { rollout })
            }
            Ok(Delta::Init { .. }) => {
                begun.notify_one();
                delta
            }
            other => other,
        });
        // What is said ends with the watch; it never ends it.
        let ended = stream::once(future::ready(None));
        stream::select(deltas.map(Some).chain(ended), says).take_while(|delta| future::ready(delta.is_some())).filter_map(future::ready)
    }

    /// Nobody is known who does not watch: it is said when the first line is there. That a host did not
    /// hear it harms nobody, and the watch tells when it is gone.
    async fn says(self, client: Client, begun: Arc<Notify>) -> Option<Result<Delta, Fault>> {
        let mut open = self.open.subscribe();
        begun.notified().await;
        loop {
            let service = open.borrow_and_update().clone();
            let look = LookRequest { console: self.console.clone(), service };
            if let Err(fault) = client.look(&look).await {
                tracing::debug!("what is open here was not said: {fault}");
            }
            if open.changed().await.is_err() {
                return future::pending().await;
            }
        }
    }
}
