//! The columns of the instances. Which there are follows from what the runtime knows of its instances: a process has
//! a pid and a port, a pod an age and the digest of its image.

use super::{glyph, memory, said};
use crate::{
    app::state::Shared,
    model::{
        instance::Instance,
        time::{elapsed, span},
        version::Track,
    },
    panel::{failed::track, rows::Cell},
    ui::{
        look::{Look, Tone},
        text::cut_middle,
    },
};
use ratatui::style::Style;

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Track,
    Name,
    State,
    Since,
    Age,
    Restarts,
    Pid,
    Port,
    Open,
    Digest,
    Cpu,
    Memory,
    Descriptors,
    Node,
    /// Why it is not ready, and whatever has no column of its own. The last one, as wide as there is room.
    Said,
}

/// A column: what stands in it, its head, how wide it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub what: What,
    pub head: &'static str,
    pub width: usize,
}

impl Column {
    /// What stands in it for one instance, or at its head.
    pub(super) const fn made<'a>(&self, text: &'a str, style: Style) -> Cell<'a> {
        if self.right() { Cell::right(text, self.width, style) } else { Cell::left(text, self.width, style) }
    }

    /// Numbers stand at the right.
    const fn right(&self) -> bool {
        !matches!(self.what, What::Track | What::Name | What::State | What::Digest | What::Memory | What::Node | What::Said)
    }
}

/// The columns for instances in an area of so many columns.
pub(super) fn columns<'a>(all: impl Iterator<Item = (&'a Track, &'a Instance)> + Clone, width: u16) -> Vec<Column> {
    let any = |known: fn(&Instance) -> bool| all.clone().any(|(_, i)| known(i));
    let wide = width >= 100;
    let process = any(|i| i.pid.is_some() || i.port.is_some());
    let aged = any(|i| i.created.is_some());
    // What they use has columns of its own where there is room; else it stands with the reason.
    let used = width >= 118 && any(|i| i.usage.is_some());
    let digits = all.clone().filter_map(|(_, i)| digest(i)).map(|digest| digest.len()).max().unwrap_or(0);
    let node = width >= 150 && any(|i| i.node.is_some());
    let name = match (process, width) {
        (true, ..100) => 12,
        (true, _) => 20,
        (false, ..100) => 16,
        (false, ..150) => 24,
        (false, _) => 40,
    };
    let restarts = if wide { "restarts" } else { "rst" };
    let all = [
        (true, What::Track, "track", 9),
        (true, What::Name, "instance", name),
        (true, What::State, "state", 11),
        // For how long it has been in its state says less than its age.
        (wide || !aged, What::Since, "since", 6),
        (aged, What::Age, "age", 5),
        (true, What::Restarts, restarts, restarts.len()),
        (process, What::Pid, "pid", 7),
        // The reason is what is looked for where room is short.
        (process && wide, What::Port, "port", 5),
        (process, What::Open, "open", 4),
        (used, What::Cpu, "cpu", 5),
        (used, What::Memory, "memory", 20),
        (used, What::Descriptors, "fds", 5),
        (wide && !process && digits > 0, What::Digest, "runs", digits),
        (node, What::Node, "node", 24),
        (true, What::Said, "reason", 0),
    ];
    all.into_iter().filter(|(shown, ..)| *shown).map(|(_, what, head, width)| Column { what, head, width }).collect()
}

/// The digest that an instance was seen to run: the first container's, and how many others there are.
fn digest(instance: &Instance) -> Option<String> {
    let mut parts = instance.parts.iter();
    let digest = parts.next()?.running.as_ref()?.short();
    let more = parts.len();
    Some(if more == 0 { digest } else { format!("{digest} +{more}") })
}

/// What stands in a column for an instance, and how it is meant.
pub(super) fn cell(shared: &Shared, look: &Look, columns: &[Column], column: Column, (of, i): (&Track, &Instance)) -> (String, Style) {
    let (plain, dim) = (look.style(Tone::Plain), look.style(Tone::Dim));
    let none = || look.glyphs().unknown.to_owned();
    let number = |n: Option<u64>| n.map_or_else(none, |n| n.to_string());
    let age = |at| span(elapsed(shared.there_now(), at));
    let usage = i.usage.as_ref();
    match column.what {
        What::Track => track(Some(of.role), look),
        // Pods of one version begin alike, and end otherwise.
        What::Name => (cut_middle(&look.plain(i.id.text().as_str()), column.width, look).into_owned(), plain),
        What::State => {
            let (sign, tone) = glyph(i.state, look.ascii);
            (format!("{sign} {}", i.state.word()), look.style(tone))
        }
        What::Since => (age(i.since), plain),
        What::Age => (i.created.map_or_else(none, age), dim),
        What::Restarts => (i.restarts.to_string(), if i.restarts > 0 { look.style(Tone::Warn) } else { dim }),
        What::Pid => (number(i.pid.map(u64::from)), dim),
        What::Port => (number(i.port.map(u64::from)), dim),
        What::Open => (i.in_flight.to_string(), plain),
        What::Cpu => (usage.and_then(|u| u.cpu).map_or_else(none, |cpu| format!("{cpu:.2}")), plain),
        What::Memory => (usage.and_then(memory).unwrap_or_else(none), plain),
        What::Descriptors => (number(usage.and_then(|u| u.descriptors).map(u64::from)), plain),
        What::Digest => {
            let differs = i.parts.iter().any(|p| p.differs);
            (digest(i).unwrap_or_else(none), look.style(if differs { Tone::Bad } else { Tone::Dim }))
        }
        What::Node => (i.node.as_ref().map_or_else(none, |node| look.plain(node.as_str()).into_owned()), plain),
        What::Said => (look.plain(&said(i, columns)).into_owned(), look.style(if i.sick.is_some() { Tone::Bad } else { Tone::Plain })),
    }
}
