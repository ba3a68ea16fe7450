//! Which namespaces are looked at, and the first lists of rollouts there.

use super::query::{Listed, No, Query};
use crate::{
    model::text::{Raw, Text},
    runtime::{
        Fault,
        argo::{
            connect::{Session, kubeconfig::Resolved},
            kind::Kind,
        },
    },
};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::sleep;

/// How often a busy server is asked for the first list.
const TRIES: usize = 4;
/// The longest pause between two of these.
const BUSY: Duration = Duration::from_secs(5);

/// Which namespaces are looked at, and what is to be said about that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// `None` is all of them.
    pub namespaces: Vec<Option<String>>,
    /// What is not seen.
    pub notes: Vec<Text>,
}

/// The first lists of rollouts. Where all namespaces together may not be listed, the context's own is.
pub async fn scope(session: &Session, resolved: &Resolved) -> Result<(Scope, Vec<(Option<String>, Listed)>), Fault> {
    let wanted = &session.settings().namespaces;
    let mut notes = Vec::new();
    let mut namespaces: Vec<Option<String>> = wanted.iter().cloned().map(Some).collect();
    if namespaces.is_empty() {
        match patiently(session, &Query::all(Kind::Rollouts, None)).await {
            Ok(listed) => return Ok((Scope { namespaces: vec![None], notes }, vec![(None, listed)])),
            Err(No::Denied(_)) => {
                let own = resolved.namespace.clone().unwrap_or_else(|| "default".into());
                notes.push(format!("only namespace {} is seen: listing all of them is not allowed", Text::clean(&own)).into());
                namespaces.push(Some(own));
            }
            Err(no) => return Err(fatal(session, no).await),
        }
    }
    let ask = |namespace: &Option<String>| {
        let query = Query::all(Kind::Rollouts, namespace.as_deref());
        async move { patiently(session, &query).await }
    };
    let answers = join_all(namespaces.iter().map(ask)).await;
    let (mut lists, mut denied) = (Vec::new(), None);
    for (namespace, answer) in namespaces.into_iter().zip(answers) {
        match answer {
            Ok(listed) => lists.push((namespace, listed)),
            Err(No::Denied(what)) => {
                let name = Raw::new(namespace.unwrap_or_default()).text();
                notes.push(format!("namespace {name} is not seen: {what}").into());
                denied = Some(No::Denied(what));
            }
            Err(no) => return Err(fatal(session, no).await),
        }
    }
    match (lists.is_empty(), denied) {
        (true, Some(no)) => Err(fatal(session, no).await),
        _ => Ok((Scope { namespaces: lists.iter().map(|(namespace, _)| namespace.clone()).collect(), notes }, lists)),
    }
}

/// A server that is busy, or whose list was too old at its second page, is asked again.
pub async fn patiently(session: &Session, query: &Query) -> Result<Listed, No> {
    for _ in 1..TRIES {
        match query.list(session).await {
            Err(No::Busy(after)) => sleep(after.min(BUSY)).await,
            Err(No::Gone) => {}
            other => return other,
        }
    }
    query.list(session).await
}

pub async fn fatal(session: &Session, no: No) -> Fault {
    let place = session.place().await;
    match no {
        No::Fault(fault) => fault,
        No::Denied(what) => Fault::Denied { place, what },
        No::Absent => Query::all(Kind::Rollouts, None).lacks(session).await,
        No::Gone => Fault::Unreachable { place, why: "its lists are too old before they are read".into() },
        No::Busy(after) => Fault::Unreachable { place, why: format!("it is too busy (429), for {} s more", after.as_secs()).into() },
    }
}
