//! One watch: the lines that come, when they come, and what goes wrong with them.

use super::{
    answers::{bookmark, line, status},
    fault::{DRIP, What, inflate},
    recording::{Event, name},
    selector::matches,
    server::Shared,
};
use axum::body::Bytes;
use serde_json::Value;
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until},
};

/// A watch that was asked for.
pub struct Watching {
    pub shared: Arc<Shared>,
    /// Which recording.
    pub index: usize,
    /// `rollouts`.
    pub plural: String,
    /// `None` from the present state on.
    pub rev: Option<u64>,
    /// Whether bookmarks were asked for.
    pub bookmarks: bool,
    /// Whether the present state comes first, and a bookmark that says so.
    pub initial: bool,
    pub labels: String,
    pub fields: String,
    /// Nothing, if the namespace is not the recorded one.
    pub empty: bool,
    pub timeout: Duration,
    pub wrong: Vec<(What, Option<usize>)>,
}

type Out = Sender<io::Result<Bytes>>;

/// The reader went away, or the watch is over.
struct Over;

struct Lines<'a> {
    watching: &'a Watching,
    out: &'a Out,
    sent: usize,
    /// An event that changes places with the next one.
    kept: Option<String>,
    /// What the reader has of what it asked for.
    known: BTreeSet<(String, String)>,
}

impl Watching {
    /// Sends until it is over.
    pub async fn run(self, out: Out) {
        let mut lines = Lines { watching: &self, out: &out, sent: 0, kept: None, known: BTreeSet::new() };
        tokio::select! {
            _ = self.all(&mut lines) => {}
            () = out.closed() => {}
            () = sleep(self.timeout) => {}
        }
    }

    fn says(&self, what: &What) -> bool {
        self.wrong.iter().any(|(w, _)| w == what)
    }

    async fn all(&self, lines: &mut Lines<'_>) -> Result<(), Over> {
        lines.trouble().await?;
        let mut moved = self.shared.clock.listen();
        let mut at = self.begin(lines).await?;
        if self.rev.is_some_and(|rev| rev > self.newest()) || self.says(&What::Silent) {
            // From the future: connected, and silent for ever.
            std::future::pending::<()>().await;
        }
        let mut next_bookmark = Instant::now() + self.shared.options.bookmarks;
        loop {
            moved.borrow_and_update();
            let (due, next, newest) = self.due(&mut at);
            for event in due {
                lines.event(&event).await?;
            }
            lines.flush().await?;
            let wake = next.and_then(|t| self.shared.clock.until(t)).unwrap_or(Duration::from_secs(86_400));
            tokio::select! {
                _ = moved.changed() => {}
                () = sleep(wake) => {}
                () = sleep_until(next_bookmark) => {
                    next_bookmark = Instant::now() + self.shared.options.bookmarks;
                    // Events are the one kind that never gets them.
                    if self.bookmarks && self.plural != "events" && !self.says(&What::NoBookmarks) {
                        let stub = self.shared.with(self.index, &self.plural, |t| bookmark(t, newest, false));
                        lines.line(line("BOOKMARK", &stub.unwrap_or_default())).await?;
                    }
                }
            }
        }
    }

    /// Where to go on from; what is there already is sent first if it was asked for.
    async fn begin(&self, lines: &mut Lines<'_>) -> Result<usize, Over> {
        let now = self.shared.clock.now();
        let (state, passed, rev) = self
            .shared
            .with(self.index, &self.plural, |t| {
                let passed = t.passed(now);
                (t.state(passed), passed, t.rev(passed))
            })
            .unwrap_or_default();
        let fits = |object: &&Value| !self.empty && matches(object, &self.labels, &self.fields);
        if let (false, Some(rev)) = (self.initial, self.rev) {
            let at = self.shared.with(self.index, &self.plural, |t| t.position(rev)).unwrap_or_default();
            let then = self.shared.with(self.index, &self.plural, |t| t.state(at)).unwrap_or_default();
            lines.known = then.values().filter(fits).map(name).collect();
            return Ok(at);
        }
        for object in state.values().filter(fits) {
            lines.event(&Event { t: 0.0, change: "ADDED".into(), object: object.clone(), rev }).await?;
        }
        lines.flush().await?;
        if self.initial {
            let end = self.shared.with(self.index, &self.plural, |t| bookmark(t, rev, true)).unwrap_or_default();
            lines.line(line("BOOKMARK", &end)).await?;
        }
        Ok(passed)
    }

    fn newest(&self) -> u64 {
        let now = self.shared.clock.now();
        self.shared.with(self.index, &self.plural, |t| t.rev(t.passed(now))).unwrap_or_default()
    }

    /// What has happened since `at`, and when the next thing happens.
    fn due(&self, at: &mut usize) -> (Vec<Event>, Option<f64>, u64) {
        let now = self.shared.clock.now();
        let found = self.shared.with(self.index, &self.plural, |t| {
            let passed = t.passed(now);
            let due = (*at..passed).filter_map(|i| t.event(i).cloned()).collect();
            (due, passed, t.event(passed).map(|event| event.t), t.rev(passed))
        });
        let (due, passed, next, rev) = found.unwrap_or_default();
        *at = passed.max(*at);
        (due, next, rev)
    }
}

impl Lines<'_> {
    async fn event(&mut self, event: &Event) -> Result<(), Over> {
        let w = self.watching;
        if event.change == "BOOKMARK" {
            return if w.bookmarks && !w.says(&What::NoBookmarks) { self.line(line("BOOKMARK", &event.object)).await } else { Ok(()) };
        }
        let key = name(&event.object);
        let fits = !w.empty && matches(&event.object, &w.labels, &w.fields);
        let (change, had) = (event.change.as_str(), self.known.contains(&key));
        // An object that no longer matches is gone for whoever asked for those that do.
        let change = match (fits, had, change) {
            (false, false, _) => return Ok(()),
            (false, true, _) | (_, _, "DELETED") => "DELETED",
            (true, false, _) => "ADDED",
            (true, true, _) => "MODIFIED",
        };
        if change == "DELETED" {
            self.known.remove(&key)
        } else {
            self.known.insert(key)
        };
        let mut object = event.object.clone();
        if let Some((What::Big(bytes), _)) = w.wrong.iter().find(|(what, _)| matches!(what, What::Big(_))) {
            inflate(&mut object, *bytes);
        }
        let text = line(change, &object);
        if w.says(&What::Swap) {
            let Some(first) = self.kept.replace(text) else { return Ok(()) };
            let second = self.kept.take().unwrap_or_default();
            self.line(second).await?;
            return self.line(first).await;
        }
        if w.says(&What::Twice) {
            self.line(text.clone()).await?;
        }
        self.line(text).await
    }

    async fn flush(&mut self) -> Result<(), Over> {
        match self.kept.take() {
            Some(text) => self.line(text).await,
            None => Ok(()),
        }
    }

    async fn line(&mut self, text: String) -> Result<(), Over> {
        let drip = self.watching.wrong.iter().find_map(|(what, _)| if let What::Drip(bytes) = what { Some(*bytes) } else { None });
        match drip {
            None => self.bytes(text.into_bytes()).await?,
            Some(bytes) => {
                for piece in text.as_bytes().chunks(bytes) {
                    self.bytes(piece.to_vec()).await?;
                    sleep(DRIP).await;
                }
            }
        }
        self.sent += 1;
        self.trouble().await
    }

    async fn bytes(&self, bytes: Vec<u8>) -> Result<(), Over> {
        self.out.send(Ok(Bytes::from(bytes))).await.map_err(|_| Over)
    }

    /// What goes wrong after the lines that were sent.
    async fn trouble(&self) -> Result<(), Over> {
        for (what, after) in &self.watching.wrong {
            if after.unwrap_or(0) != self.sent {
                continue;
            }
            match what {
                What::Stall => std::future::pending::<()>().await,
                What::Cut => {
                    self.bytes(br#"{"type":"MODIFIED","object":{"metad"#.to_vec()).await?;
                    let _ = self.out.send(Err(io::Error::other("cut"))).await;
                    return Err(Over);
                }
                What::Close => return Err(Over),
                What::Garbage => self.bytes(b"<html>a proxy has something to say</html>\n".to_vec()).await?,
                What::Status(code) => {
                    let message = if *code == 410 { "too old resource version: 1 (24073)" } else { "the server says no" };
                    self.bytes(line("ERROR", &status(*code, message)).into_bytes()).await?;
                    return Err(Over);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
