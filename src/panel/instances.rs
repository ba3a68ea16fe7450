//! Every running copy of both versions. Owns where one is.

use super::{
    Panel,
    failed::track,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        figure::{self, Figure},
        ident::InstanceId,
        instance::{Instance, InstanceState, Usage, size},
        time::{elapsed, span},
        version::Track,
    },
    ui::look::{Look, Tone},
};
use ratatui::{buffer::Buffer, layout::Rect};

/// The instances.
#[derive(Default)]
pub struct Instances {
    /// The marked one.
    mark: Option<InstanceId>,
}

/// Stable's first, each pool's oldest first, as the rollout has them.
fn all(shared: &Shared) -> impl Iterator<Item = (&Track, &Instance)> + Clone {
    let tracks = shared.watched().map(|w| w.rollout.tracks.as_slice()).unwrap_or_default();
    tracks.iter().flat_map(|t| t.pools.iter().flat_map(|p| p.instances.iter()).map(move |i| (t, i)))
}

impl Instances {
    fn at(&self, shared: &Shared) -> usize {
        self.mark.as_ref().and_then(|id| all(shared).position(|(_, i)| i.id == *id)).unwrap_or(0)
    }
}

/// Glyph and tone of a state; its word is [`InstanceState::word`].
const fn glyph(state: InstanceState, ascii: bool) -> (&'static str, Tone) {
    match (state, ascii) {
        (InstanceState::Ready, false) => ("✓", Tone::Good),
        (InstanceState::Ready, true) => ("+", Tone::Good),
        (InstanceState::Starting, _) => ("~", Tone::Warn),
        (InstanceState::NotReady, _) => ("!", Tone::Warn),
        (InstanceState::BackOff, false) => ("✗", Tone::Bad),
        (InstanceState::BackOff, true) => ("x", Tone::Bad),
        (InstanceState::Draining, false) => ("↓", Tone::Dim),
        (InstanceState::Draining, true) => ("v", Tone::Dim),
        (InstanceState::Ended, _) => ("-", Tone::Dim),
    }
}

/// What memory does, in words: `512 MB, +40 MB/h`, `512 MB, stable flat`; the slope is left out until it
/// can be said.
fn memory(usage: &Usage) -> Option<String> {
    let bytes = usage.memory?;
    let now = size(bytes);
    let Some(slope) = usage.memory_slope.filter(|s| s.is_finite()) else { return Some(now) };
    // A hundredth of it in an hour is noise.
    #[expect(clippy::cast_precision_loss, reason = "compared, not shown")]
    let flat = slope.abs() < bytes as f64 / 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let by = size(slope.abs() as u64);
    Some(match (flat, slope > 0.0) {
        (true, _) => format!("{now}, stable flat"),
        (false, true) => format!("{now}, +{by}/h"),
        (false, false) => format!("{now}, -{by}/h"),
    })
}

/// Memory that it took and did not give back, as the product says it: `grew 512 MB in 3 h 10 m`.
fn grew(usage: &Usage) -> Option<String> {
    usage.leaks().then(|| usage.growth()).flatten().map(|growth| format!("grew {}", growth.text()))
}

/// What is to be said of an instance: that it is the sick one, why it is not ready, what it uses.
fn said(instance: &Instance, cells: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(instance.sick.as_ref().map(|why| format!("SICK: {why}")));
    words.extend(instance.reason.as_ref().map(ToString::to_string));
    if instance.parts.iter().any(|p| p.differs) {
        words.push("runs another digest".into());
    }
    words.extend(instance.parts.iter().filter_map(|p| Some(format!("NOT AS SEALED: {}", p.wrong.as_ref()?))));
    if let Some(usage) = &instance.usage {
        words.extend(grew(usage));
        if let Some(failed) = usage.probe_failures.filter(|n| *n > 0) {
            let plural = if failed == 1 { "" } else { "s" };
            words.push(format!("{failed} probe{plural} failed"));
        }
        if !cells {
            let (cpu, fds) = (usage.cpu.map(|cpu| format!("cpu {cpu:.2}")), usage.descriptors.map(|n| format!("{n} fds")));
            let known: Vec<String> = [cpu, memory(usage), fds].into_iter().flatten().collect();
            words.extend((!known.is_empty()).then(|| known.join(", ")));
        }
    }
    words.extend(instance.node.as_ref().map(|node| format!("on {node}")));
    words.join("; ")
}

/// Without the port (the seventh) where room is short: the reason is what is looked for.
fn kept(wide: bool, used: bool, cells: [Cell<'_>; 12]) -> Vec<Cell<'_>> {
    let shown = |n: usize| (wide || n != 6) && (used || !(8..=10).contains(&n));
    cells.into_iter().enumerate().filter(|(n, _)| shown(*n)).map(|(_, cell)| cell).collect()
}

impl Panel for Instances {
    fn id(&self) -> &'static str {
        "instances"
    }

    fn title(&self, shared: &Shared) -> String {
        let ready = all(shared).filter(|(_, i)| i.state == InstanceState::Ready).count();
        let restarts: u32 = all(shared).map(|(_, i)| i.restarts).fold(0, u32::saturating_add);
        let mut sick = all(shared).filter_map(|(_, i)| Some((i.id.text(), i.sick.as_ref()?)));
        let sick = sick.next().map(|(id, why)| format!(" · SICK {id}: {why}")).unwrap_or_default();
        format!("instances · {ready} of {} ready · {restarts} restarts{sick}", all(shared).count())
    }

    fn commands(&self) -> &'static [Command] {
        &[]
    }

    fn figures(&self) -> &'static [Figure] {
        figure::INSTANCES
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let to = rows::moved(command, self.at(shared), all(shared).count());
        self.mark = to.and_then(|n| all(shared).nth(n)).map(|(_, i)| i.id.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, shared: &Shared) {
        // An instance that is gone gives the mark back: another one must not get it by its place.
        if self.mark.as_ref().is_some_and(|id| !all(shared).any(|(_, i)| i.id == *id)) {
            self.mark = None;
        }
    }

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let (len, height) = (all(shared).count(), usize::from(area.height));
        if len == 0 || height == 0 {
            return rows::empty(buf, area, look, rows::unseen(shared, "pods").unwrap_or("no instance runs"));
        }
        let (plain, dim) = (look.style(Tone::Plain), look.style(Tone::Dim));
        let wide = area.width >= 100;
        // Usage has columns of its own where there is room; else it stands with the reason.
        let used = area.width >= 118 && all(shared).any(|(_, i)| i.usage.is_some());
        let (id_width, restarts_head) = if wide { (20, "restarts") } else { (12, "rst") };
        let head = kept(
            wide,
            used,
            [
                Cell::left("track", 9, dim),
                Cell::left("instance", id_width, dim),
                Cell::left("state", 11, dim),
                Cell::right("since", 6, dim),
                Cell::right(restarts_head, restarts_head.len(), dim),
                Cell::right("pid", 7, dim),
                Cell::right("port", 5, dim),
                Cell::right("open", 4, dim),
                Cell::right("cpu", 5, dim),
                Cell::left("memory", 20, dim),
                Cell::right("fds", 5, dim),
                Cell::left("reason", 0, dim),
            ],
        );
        rows::row(buf, rows::line(area, 0), &head, false, look);
        let (at, room) = (self.at(shared), height - 1);
        let first = rows::first_line(at, len, room, false);
        for (n, (t, i)) in all(shared).enumerate().skip(first).take(room) {
            let (sign, tone) = glyph(i.state, look.ascii);
            let (word, style) = track(Some(t.role), look);
            let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
            // Pods of one version begin alike, and end otherwise.
            let id = crate::ui::text::cut_middle(&look.plain(i.id.text().as_str()), id_width, look).into_owned();
            let (id, state) = (id, format!("{sign} {}", i.state.word()));
            let since = span(elapsed(shared.there_now(), i.since));
            let (restarts, open) = (i.restarts.to_string(), i.in_flight.to_string());
            let (pid, port) = (number(i.pid.map(u64::from)), number(i.port.map(u64::from)));
            let usage = i.usage.as_ref();
            let none = || look.glyphs().unknown.to_owned();
            let (cpu, mem) =
                (usage.and_then(|u| u.cpu).map_or_else(none, |cpu| format!("{cpu:.2}")), usage.and_then(memory).unwrap_or_else(none));
            let fds = usage.and_then(|u| u.descriptors).map_or_else(none, |n| n.to_string());
            let said = said(i, used);
            let said = look.plain(&said);
            let said_tone = if i.sick.is_some() { Tone::Bad } else { Tone::Plain };
            let cells = kept(
                wide,
                used,
                [
                    Cell::left(&word, 9, style),
                    Cell::left(&id, id_width, plain),
                    Cell::left(&state, 11, look.style(tone)),
                    Cell::right(&since, 6, plain),
                    Cell::right(&restarts, restarts_head.len(), if i.restarts > 0 { look.style(Tone::Warn) } else { dim }),
                    Cell::right(&pid, 7, dim),
                    Cell::right(&port, 5, dim),
                    Cell::right(&open, 4, plain),
                    Cell::right(&cpu, 5, plain),
                    Cell::left(&mem, 20, plain),
                    Cell::right(&fds, 5, plain),
                    Cell::left(&said, 0, look.style(said_tone)),
                ],
            );
            rows::row(buf, rows::line(area, n - first + 1), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        all(shared).nth(self.at(shared)).map(|(_, i)| i.id.text().to_string())
    }
}
