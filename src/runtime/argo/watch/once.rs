//! Everything at once, for the command line.

use super::{
    FRESH, Name, Objects,
    needs::{self, Needs},
    query::{No, Query},
    scope::{fatal, patiently, scope},
    tell::{access, unseen},
};
use crate::{
    model::{
        ident::{Key, Rev},
        rollout::{Rollout, Seen},
    },
    runtime::{
        Fault,
        argo::{
            connect::Session,
            kind::{Cover, Coverage, Kind},
        },
    },
};
use futures::future::join_all;
use std::{collections::BTreeMap, time::Duration};

/// After so long a write that the controller has not looked at was overlooked.
const OVERLOOKED: Duration = Duration::from_millis(3_100);

/// Every rollout as it is now, with everything that belongs to it, in one list for each kind and namespace.
///
/// # Errors
/// When rollouts cannot be listed.
pub async fn once<O: Objects>(session: &Session) -> Result<Vec<Rollout>, Fault> {
    let resolved = session.resolve().await?;
    let (scope, lists) = scope(session, &resolved).await?;
    let mut objects = O::default();
    objects.at(session.now());
    // What may not be seen in one namespace may be seen in another.
    let mut coverages: BTreeMap<Option<String>, Coverage> = BTreeMap::new();
    let mut names: BTreeMap<Name, Needs> = BTreeMap::new();
    for (namespace, listed) in &lists {
        objects.swap(Kind::Rollouts, namespace.as_deref(), &listed.objects);
        names.extend(listed.objects.iter().filter_map(|object| Needs::of(object)));
    }
    let queries: Vec<Query> = if names.is_empty() { Vec::new() } else { needs::everything(&scope.namespaces, names.values()) };
    let answers = join_all(queries.iter().map(|query| patiently(session, query))).await;
    for (query, answer) in queries.iter().zip(answers) {
        let cover = match answer {
            Ok(listed) => {
                objects.swap(query.kind, query.namespace.as_deref(), &listed.objects);
                Cover::Whole
            }
            Err(No::Denied(what)) => Cover::Denied(what),
            Err(No::Absent) => Cover::Denied(format!("{} is not installed there", query.kind).into()),
            Err(no) => Cover::Denied(fatal(session, no).await.to_string().into()),
        };
        coverages.entry(query.namespace.clone()).or_default().set(query.kind, cover);
    }
    let nothing = Coverage::default();
    let coverage = |name: &Name| {
        let own = coverages.get(&Some(name.namespace.clone())).or_else(|| coverages.get(&None));
        own.unwrap_or(&nothing)
    };
    let mut now = session.now();
    let found = |name: &Name, objects: &O| {
        let findings = objects.project(name, now, coverage(name)).map(|r| r.findings).unwrap_or_default();
        findings.iter().any(|f| f.kind.as_str() == "lost")
    };
    if names.keys().any(|name| objects.is_waiting(name) && !found(name, &objects)) {
        // Whether a write is under way or was overlooked only time tells.
        tokio::time::sleep(OVERLOOKED).await;
        now = session.now().max(now + OVERLOOKED);
        objects.at(now);
        for (namespace, listed) in &self::scope(session, &resolved).await?.1 {
            objects.swap(Kind::Rollouts, namespace.as_deref(), &listed.objects);
        }
    }
    let seen = Seen { epoch: 0, rev: Rev(0), server_time: now, fresh_for: FRESH };
    let target = &session.settings().target;
    let shown = names.keys().filter_map(|name| Some((name, objects.project(name, now, coverage(name))?))).map(|(name, mut rollout)| {
        rollout.key = Key { target: target.clone(), ..rollout.key };
        rollout.seen = seen;
        rollout.findings.extend(scope.notes.iter().map(|note| access(note.clone(), now)));
        rollout.findings.extend(coverage(name).gaps().map(|(kind, why)| unseen(kind, why, now)));
        rollout
    });
    Ok(shown.collect())
}
