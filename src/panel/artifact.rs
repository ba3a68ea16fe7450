//! What each version is made of and who runs it: the digest in full, what is known of the artifact, for how
//! long it is proven. Owns which line one is on.

use super::{
    Panel,
    rows::{self, Cell},
};
use crate::{
    app::{
        palette::standing,
        state::{Command, Input, Shared},
    },
    model::{
        figure::{self, Figure},
        ident::Role,
        instance::{Fate, size},
        rollout::{Known, Standing},
        text::Text,
        time::{Time, elapsed},
        version::{Artifact as Sealed, Part, Track},
    },
    ui::{
        figure::{long, percent},
        look::{Look, Tone},
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Where the text of a line begins.
const LABEL: usize = 11;

/// The artifacts.
#[derive(Default)]
pub struct Artifact {
    /// The marked line, by its version and label.
    mark: Option<Mark>,
}

/// A line by what it says of what; several of one name are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    version: Text,
    label: String,
    nth: usize,
}

/// A line: of which version, what, how it is meant.
struct Line {
    mark: Mark,
    text: String,
    tone: Tone,
    head: bool,
}

fn lines(shared: &Shared) -> Vec<Line> {
    let Some(w) = shared.watched() else { return Vec::new() };
    let mut all: Vec<Line> = Vec::new();
    // The template is that of the candidate, and without one of stable.
    let of_role = |role: &Role| w.rollout.tracks.iter().find(|t| t.role == *role).map(|t| &t.version.id);
    let newest = of_role(&Role::Candidate).or_else(|| of_role(&Role::Stable));
    for track in &w.rollout.tracks {
        let known = w.rollout.versions.iter().find(|k| k.version.id == track.version.id);
        let version = track.version.id.text();
        let mut say = |head: bool, label: &str, text: String, tone: Tone| {
            let nth = all.iter().filter(|l| l.mark.version == version && l.mark.label == label).count();
            all.push(Line { mark: Mark { version: version.clone(), label: label.to_owned(), nth }, text, tone, head });
        };
        let role = if track.role == Role::Candidate { Tone::Candidate } else { Tone::Stable };
        let slot = track.slot.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
        say(true, &format!("{}{slot}", track.role), track.version.label.to_string(), role);
        about(track, known, rows::unseen(shared, "pods"), shared.there_now(), &mut say);
        if let Some(template) = w.rollout.template.as_ref().filter(|_| newest == Some(&track.version.id)) {
            say(false, "template", format!("from {template}"), Tone::Plain);
        }
    }
    all
}

fn about(track: &Track, known: Option<&Known>, unseen: Option<&str>, now: Time, say: &mut dyn FnMut(bool, &str, String, Tone)) {
    if let Some(why) = &track.version.back_unsafe {
        say(false, "UNSAFE", format!("going back from it: {why}"), Tone::Warn);
    }
    if let Some(Known { standing: Standing::Tainted { by, reason }, .. }) = known {
        say(false, "TAINTED", format!("by {by}: {reason}"), Tone::Bad);
    }
    for part in &track.version.parts {
        let name = if part.container.is_empty() { "digest".to_owned() } else { part.container.to_string() };
        say(false, &name, sealed(&part.declared), if matches!(part.declared, Sealed::Digest(_)) { Tone::Plain } else { Tone::Warn });
        if let Some((text, tone)) = running(part, now) {
            say(false, "running", text, tone);
        }
    }
    if let Some(config) = &track.version.config {
        say(false, "config", config.to_string(), Tone::Plain);
    }
    if let Some(revision) = &track.version.revision {
        say(false, "revision", revision.to_string(), Tone::Plain);
    }
    if let Some(about) = &track.about {
        if let Some(bytes) = about.size {
            say(false, "size", size(bytes), Tone::Plain);
        }
        if let Some(at) = about.sealed {
            say(false, "sealed", at.format("%Y-%m-%d %H:%M:%SZ").to_string(), Tone::Plain);
        }
        if let Some(store) = &about.store {
            say(false, "store", store.to_string(), Tone::Plain);
        }
    }
    // Stable has all the traffic: where nothing more is known of it, it is not "never".
    let silent = |k: &&Known| track.role == Role::Stable && k.standing == Standing::Unproven && k.proven.is_zero();
    if let Some(k) = known.filter(|k| !silent(k)) {
        let errors = k.error_ratio.map(|e| format!(", {} of its requests failed", percent(e))).unwrap_or_default();
        let tone = if k.standing == Standing::Good { Tone::Good } else { Tone::Plain };
        say(false, "proven", format!("{}{errors}", standing(k)), tone);
    }
    let instances: Vec<_> = track.pools.iter().flat_map(|p| &p.instances).collect();
    let mut nodes: Vec<String> = instances.iter().filter_map(|i| i.node.as_ref()).map(ToString::to_string).collect();
    nodes.sort();
    nodes.dedup();
    let on = if nodes.is_empty() { String::new() } else { format!(" on {}", nodes.join(", ")) };
    let names: Vec<String> = instances.iter().map(|i| i.id.text().to_string()).collect();
    match names.len() {
        0 => say(false, "runs", unseen.unwrap_or("no instance").to_owned(), Tone::Dim),
        1 => say(false, "runs", format!("1 instance{on}: {}", names.concat()), Tone::Plain),
        n => say(false, "runs", format!("{n} instances{on}: {}", names.join(" ")), Tone::Plain),
    }
    for fate in track.pools.iter().filter_map(|p| p.fate.as_ref()) {
        say(false, "stays", stays(fate), Tone::Warn);
    }
    for (key, value) in track.about.iter().flat_map(|a| &a.annotations) {
        say(false, "note", format!("{key} = {value}"), Tone::Dim);
    }
}

/// For how long instances that are not wanted any more are there.
pub(super) fn stays(fate: &Fate) -> String {
    match fate {
        Fate::Stopped { at } => format!("until {}Z: then its instances are stopped", rows::clock(*at)),
        Fate::Kept { why } => format!("until somebody stops its instances ({why})"),
    }
}

fn sealed(artifact: &Sealed) -> String {
    match artifact {
        Sealed::Digest(digest) => digest.to_string(),
        Sealed::Tag(tag) => format!("{tag}  NOT SEALED: a tag can move"),
        Sealed::Opaque(name) => format!("{name}  (no digest)"),
    }
}

/// What was seen to run, where that says more than what was asked for.
fn running(part: &Part, now: Time) -> Option<(String, Tone)> {
    if let Some(wrong) = &part.wrong {
        return Some((format!("NOT AS SEALED: {wrong}"), Tone::Bad));
    }
    let when = part.checked.map(|at| format!(", read {} ago", long(elapsed(now, at)))).unwrap_or_default();
    match (&part.declared, &part.running) {
        _ if part.differs => Some(("instances DIFFER: not all of them run the same digest".into(), Tone::Bad)),
        (Sealed::Digest(wanted), Some(runs)) if wanted == runs => Some((format!("verified: exactly this{when}"), Tone::Good)),
        (Sealed::Digest(_), Some(runs)) => Some((format!("{runs}, which is ANOTHER one"), Tone::Bad)),
        // Of a tag nobody knows what was meant: this is what it was when the instances were started.
        (_, Some(runs)) => Some((format!("{runs}"), Tone::Plain)),
        (_, None) => None,
    }
}

impl Artifact {
    fn at(&self, lines: &[Line]) -> usize {
        self.mark.as_ref().and_then(|m| lines.iter().position(|l| l.mark == *m)).unwrap_or(0)
    }
}

impl Panel for Artifact {
    fn id(&self) -> &'static str {
        "artifact"
    }

    fn title(&self, shared: &Shared) -> String {
        let tracks = shared.watched().map_or(0, |w| w.rollout.tracks.len());
        format!("artifact · {tracks} version{}", if tracks == 1 { "" } else { "s" })
    }

    fn commands(&self) -> &'static [Command] {
        &[]
    }

    fn figures(&self) -> &'static [Figure] {
        figure::VERSIONS
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let lines = lines(shared);
        let to = rows::moved(command, self.at(&lines), lines.len());
        self.mark = to.and_then(|n| lines.get(n)).map(|l| l.mark.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let lines = lines(shared);
        if lines.is_empty() {
            return rows::empty(buf, area, look, "no version runs");
        }
        let (at, height) = (self.at(&lines), usize::from(area.height));
        let first = rows::first_line(at, lines.len(), height, false);
        let room = usize::from(area.width).saturating_sub(LABEL + 1);
        for (n, line) in lines.iter().enumerate().skip(first).take(height) {
            let label = if line.head { line.mark.label.clone() } else { format!("  {}", line.mark.label) };
            let label_style = look.style(if line.head { line.tone } else { Tone::Dim });
            // A heading takes the room it needs; nothing stands below it.
            let wide = if line.head { LABEL.max(text::width(&label)).min(room) } else { LABEL };
            let label = text::cut_end(&look.plain(&label), wide, look).into_owned();
            // The beginning of a digest and its end tell it apart.
            let text = text::cut_middle(&look.plain(&line.text), (room + LABEL).saturating_sub(wide), look).into_owned();
            let cells =
                [Cell::left(&label, wide, label_style), Cell::left(&text, 0, look.style(if line.head { Tone::Strong } else { line.tone }))];
            rows::row(buf, rows::line(area, n - first), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        self.mark.as_ref()?;
        let lines = lines(shared);
        lines.get(self.at(&lines)).map(|l| l.text.clone())
    }
}
