//! Every version that is remembered, newest first: where an older one can be deployed from. Owns where one is.

use super::{
    Panel,
    artifact::stays,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        figure::{self, Figure},
        ident::{Role, VersionId},
        rollout::{Known, Standing},
        time::{elapsed, span, until},
        version::Track,
    },
    ui::{
        figure::percent,
        look::{Look, Tone},
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// The versions.
#[derive(Default)]
pub struct Versions {
    /// The marked one.
    mark: Option<VersionId>,
}

fn all(shared: &Shared) -> &[Known] {
    shared.watched().map(|w| w.rollout.versions.as_slice()).unwrap_or_default()
}

impl Versions {
    fn at(&self, all: &[Known]) -> usize {
        self.mark.as_ref().and_then(|id| all.iter().position(|k| k.version.id == *id)).unwrap_or(0)
    }
}

/// Sign, word and tone of what is thought of a version.
fn standing(known: &Known, shared: &Shared, ascii: bool) -> (String, Tone) {
    let (good, bad) = if ascii { ("+", "x") } else { ("✓", "✗") };
    match &known.standing {
        Standing::Good => (format!("{good} good"), Tone::Good),
        Standing::Baking { until: end } => (format!("~ baking {}", span(until(shared.there_now(), *end))), Tone::Plain),
        Standing::Unproven => ("? unproven".into(), Tone::Dim),
        Standing::Left { .. } => (format!("{bad} left"), Tone::Warn),
        Standing::Tainted { .. } => (format!("{bad} TAINTED"), Tone::Bad),
    }
}

/// What else is to be known of it, the worst first.
fn notes(known: &Known, track: Option<&Track>) -> String {
    let mut notes = Vec::new();
    notes.extend(track.iter().flat_map(|t| &t.pools).filter_map(|p| p.fate.as_ref()).map(|fate| format!("kept {}", stays(fate))));
    if !known.available {
        notes.push("its artifact is GONE".to_owned());
    }
    match &known.standing {
        Standing::Tainted { by, reason } => notes.push(format!("by {by}: {reason}")),
        Standing::Left { reason } => notes.push(reason.to_string()),
        _ => {}
    }
    notes.extend(known.version.back_unsafe.as_ref().map(|why| format!("UNSAFE to leave: {why}")));
    notes.join("; ")
}

impl Panel for Versions {
    fn id(&self) -> &'static str {
        "versions"
    }

    fn title(&self, shared: &Shared) -> String {
        let all = all(shared);
        let there = all.iter().filter(|k| k.available).count();
        format!("versions · {} remembered, {there} could be deployed · :undo VERSION", all.len())
    }

    fn commands(&self) -> &'static [Command] {
        &[]
    }

    fn figures(&self) -> &'static [Figure] {
        figure::VERSIONS
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let all = all(shared);
        let to = rows::moved(command, self.at(all), all.len());
        self.mark = to.and_then(|n| all.get(n)).map(|k| k.version.id.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, shared: &Shared) {
        if self.mark.as_ref().is_some_and(|id| !all(shared).iter().any(|k| k.version.id == *id)) {
            self.mark = None;
        }
    }

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let all = all(shared);
        let height = usize::from(area.height);
        if all.is_empty() || height == 0 {
            let why = rows::unseen(shared, "replicasets").unwrap_or("this target remembers no versions");
            return rows::empty(buf, area, look, why);
        }
        let wide = area.width >= 100;
        let (label, now) = (if wide { 28 } else { 14 }, 9);
        let (plain, dim) = (look.style(Tone::Plain), look.style(Tone::Dim));
        let digits = if wide { 12 } else { 0 };
        let head = [
            Cell::left("version", label, dim),
            Cell::left("is", now, dim),
            Cell::left(if wide { "digest" } else { "" }, digits, dim),
            Cell::left("standing", 15, dim),
            Cell::right("proven", 7, dim),
            Cell::right("errors", 8, dim),
            Cell::left("", 0, dim),
        ];
        rows::row(buf, rows::line(area, 0), &head, false, look);
        // What there is to say of the marked one stands in full below the others.
        let at = self.at(all);
        let of_version = |k: &Known| shared.watched().and_then(|w| w.rollout.tracks.iter().find(|t| t.version.id == k.version.id));
        let whole = all.get(at).filter(|_| self.mark.is_some()).map(|k| notes(k, of_version(k))).unwrap_or_default();
        let before: usize = [label, now, digits, 15, 7, 8].iter().map(|width| width + 1).sum();
        let area = rows::whole(buf, area, look, &whole, usize::from(area.width).saturating_sub(before));
        let room = usize::from(area.height).saturating_sub(1);
        let first = rows::first_line(at, all.len(), room, false);
        for (n, k) in all.iter().enumerate().skip(first).take(room) {
            let track = of_version(k);
            let (role, tone) = match track.map(|t| t.role) {
                Some(Role::Stable) => ("stable".to_owned(), Tone::Stable),
                Some(Role::Candidate) => ("candidate".to_owned(), Tone::Candidate),
                Some(_) => ("warm".to_owned(), Tone::Plain),
                None => (k.until.map(|at| format!("{} ago", span(elapsed(shared.there_now(), at)))).unwrap_or_default(), Tone::Dim),
            };
            let (standing, standing_tone) = standing(k, shared, look.ascii);
            let (proven, errors) = (span(k.proven), k.error_ratio.map_or_else(|| look.glyphs().unknown.to_owned(), percent));
            let (name, digest, notes) = (look.plain(k.version.label.as_str()), k.version.short_id(), notes(k, track));
            let (digest, notes) = (look.plain(if wide { digest.as_str() } else { "" }), look.plain(&notes));
            let name = crate::ui::text::cut_middle(&name, label, look);
            let cells = [
                Cell::left(&name, label, look.style(if k.available { Tone::Strong } else { Tone::Dim })),
                Cell::left(&role, now, look.style(tone)),
                Cell::left(&digest, digits, plain),
                Cell::left(&standing, 15, look.style(standing_tone)),
                Cell::right(&proven, 7, plain),
                Cell::right(&errors, 8, plain),
                Cell::left(&notes, 0, look.style(Tone::Warn)),
            ];
            rows::row(buf, rows::line(area, n - first + 1), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let all = all(shared);
        all.get(self.at(all)).map(|k| k.version.label.to_string())
    }
}
