//! What a feed remembers between watches, and which lines are news.

use super::{
    super::query::{Line, Listed},
    News,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use tokio::time::Instant;

/// What a feed remembers between watches.
pub struct Memory {
    /// The newest revision seen.
    pub rev: String,
    /// The revision of each object, also of those that are gone: what is older comes out of order.
    objects: HashMap<Box<str>, u64>,
    /// When the list came.
    pub listed: Instant,
    /// When anything came last, from whichever watch.
    pub heard: Instant,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    resource_version: String,
}

impl Memory {
    pub fn of(listed: &Listed) -> Self {
        let now = Instant::now();
        let objects = listed.objects.iter().filter_map(|object| identity(object)).collect();
        Self { rev: listed.rev.clone(), objects, listed: now, heard: now }
    }

    /// What a line says that is news.
    pub fn take(&mut self, line: Line) -> Option<News> {
        let Line { change, object } = line;
        let meta = serde_json::from_str::<Object>(object.get()).map(|o| o.metadata).unwrap_or_default();
        let number: Option<u64> = meta.resource_version.parse().ok();
        // What comes late must not set the watch back.
        if number >= self.rev.parse().ok() && !meta.resource_version.is_empty() {
            self.rev.clone_from(&meta.resource_version);
        }
        if change == "BOOKMARK" {
            return Some(News::Heard);
        }
        if meta.name.is_empty() {
            return None;
        }
        if let Some(number) = number {
            let known = self.objects.entry(key(&meta)).or_default();
            if number <= *known {
                return Some(News::Heard); // again, or overtaken
            }
            *known = number;
        }
        match change.as_str() {
            "ADDED" | "MODIFIED" => Some(News::Changed(object)),
            "DELETED" => Some(News::Gone(object)),
            _ => None,
        }
    }
}

fn key(meta: &Meta) -> Box<str> {
    format!("{}/{}", meta.namespace, meta.name).into()
}

fn identity(object: &RawValue) -> Option<(Box<str>, u64)> {
    let meta = serde_json::from_str::<Object>(object.get()).ok()?.metadata;
    Some((key(&meta), meta.resource_version.parse().ok()?))
}
