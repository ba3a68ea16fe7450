//! What goes wrong, for whom and how often.

use serde_json::{Value, json};
use std::{str::FromStr, sync::Mutex, time::Duration};

/// Something that goes wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// No answer, and no end: `stall`.
    Stall,
    /// The connection is closed in the middle of a line, or of a list: `cut`.
    Cut,
    /// The body ends as if everything had been said: `close`.
    Close,
    /// This HTTP status; after some lines of a watch it is an `ERROR` event instead: `status=410`.
    Status(u16),
    /// 429 with `Retry-After`: `busy=SECONDS`.
    Busy(u64),
    /// `404 page not found` in plain text, as for a resource that is not installed: `missing`.
    Missing,
    /// Every event twice: `twice`.
    Twice,
    /// Neighbouring events change places: `swap`.
    Swap,
    /// Every object is as large as this: `big=BYTES`.
    Big(usize),
    /// A watch in which nothing ever comes, no bookmark either, as from a resource version of the future: `silent`.
    Silent,
    /// So many bytes every 20 ms: `drip=BYTES`.
    Drip(usize),
    /// Something that is no JSON: `garbage`.
    Garbage,
    /// No bookmarks: `no-bookmarks`.
    NoBookmarks,
    /// The answer comes this late: `late=MILLISECONDS`.
    Late(u64),
}

/// What goes wrong with which requests.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// What.
    pub what: What,
    /// Only for this kind: `rollouts`.
    pub kind: Option<String>,
    /// Only for this verb: `list`, `watch`, `get`.
    pub verb: Option<String>,
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// In a watch, so many lines go right first.
    pub after: Option<usize>,
    /// So many requests go right first.
    pub skip: usize,
    /// So many requests go wrong; `None` is all.
    pub times: Option<usize>,
}

impl Rule {
    /// Goes wrong always and for everybody.
    pub const fn new(what: What) -> Self {
        Self { what, kind: None, verb: None, namespace: None, after: None, skip: 0, times: None }
    }

    /// Only for requests with this verb for this kind.
    #[must_use]
    pub fn only(mut self, verb: &str, kind: &str) -> Self {
        (self.verb, self.kind) = (Some(verb.into()), Some(kind.into()));
        self
    }

    /// Only in this namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only for the first so many requests.
    #[must_use]
    pub const fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// In a watch, only after so many lines.
    #[must_use]
    pub const fn after(mut self, lines: usize) -> Self {
        self.after = Some(lines);
        self
    }

    /// So many requests go right first.
    #[must_use]
    pub const fn skip(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }
}

impl FromStr for Rule {
    type Err = String;

    /// `status=410,kind=rollouts,verb=watch,after=3,skip=1,times=2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(|part| part.split_once('=').unwrap_or((part, "")));
        let (word, value) = parts.next().unwrap_or_default();
        let number = |name: &str, value: &str| value.parse::<u64>().map_err(|_| format!("`{name}` needs a number: {name}=N"));
        let size = |name: &str, value: &str| number(name, value).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let mut rule = Self::new(match word {
            "stall" => What::Stall,
            "cut" => What::Cut,
            "close" => What::Close,
            "status" => What::Status(u16::try_from(number("status", value)?).map_err(|_| "no such HTTP status")?),
            "busy" => What::Busy(number("busy", value)?),
            "missing" => What::Missing,
            "twice" => What::Twice,
            "swap" => What::Swap,
            "big" => What::Big(size("big", value)?),
            "silent" => What::Silent,
            "drip" => What::Drip(size("drip", value)?.max(1)),
            "garbage" => What::Garbage,
            "no-bookmarks" => What::NoBookmarks,
            "late" => What::Late(number("late", value)?),
            other => return Err(format!("no fault `{other}`")),
        });
        for (name, value) in parts {
            match name {
                "kind" => rule.kind = Some(value.into()),
                "verb" => rule.verb = Some(value.into()),
                "namespace" => rule.namespace = Some(value.into()),
                "after" => rule.after = Some(size(name, value)?),
                "skip" => rule.skip = size(name, value)?,
                "times" => rule.times = Some(size(name, value)?),
                other => return Err(format!("a fault has no `{other}`: kind, verb, namespace, after, skip, times")),
            }
        }
        Ok(rule)
    }
}

/// What goes wrong from now on.
#[derive(Default)]
pub struct Faults(Mutex<Vec<Rule>>);

impl Faults {
    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        self.0.lock().unwrap().push(rule);
    }

    /// Everything goes right again.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What goes wrong with this request; it is counted.
    pub fn of(&self, verb: &str, kind: &str, namespace: Option<&str>) -> Vec<(What, Option<usize>)> {
        let mut wrong = Vec::new();
        for rule in self.0.lock().unwrap().iter_mut() {
            let meant = rule.kind.as_deref().is_none_or(|k| k == kind) && rule.verb.as_deref().is_none_or(|v| v == verb);
            let meant = meant && (rule.namespace.is_none() || rule.namespace.as_deref() == namespace);
            if !meant || rule.times == Some(0) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times = rule.times.map(|n| n - 1);
            wrong.push((rule.what.clone(), rule.after));
        }
        wrong
    }
}

/// How long between two pieces of a slow answer.
pub const DRIP: Duration = Duration::from_millis(20);

/// Makes an object as large as this.
pub fn inflate(object: &mut Value, bytes: usize) {
    object["metadata"]["annotations"]["example.org/padding"] = json!("x".repeat(bytes));
}
