//! Every running copy of both versions. Owns where one is.

mod columns;

use self::columns::{Column, What, cell, columns};
use super::{
    Panel,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        figure::{self, Figure},
        ident::InstanceId,
        instance::{Instance, InstanceState, Usage, size},
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
/// What has a column of its own is left out.
fn said(instance: &Instance, columns: &[Column]) -> String {
    let shown = |what| columns.iter().any(|c| c.what == what);
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
        if !shown(What::Memory) {
            let (cpu, fds) = (usage.cpu.map(|cpu| format!("cpu {cpu:.2}")), usage.descriptors.map(|n| format!("{n} fds")));
            let known: Vec<String> = [cpu, memory(usage), fds].into_iter().flatten().collect();
            words.extend((!known.is_empty()).then(|| known.join(", ")));
        }
    }
    words.extend(instance.node.as_ref().filter(|_| !shown(What::Node)).map(|node| format!("on {node}")));
    words.join("; ")
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
        let plural = if restarts == 1 { "" } else { "s" };
        format!("instances · {ready} of {} ready · {restarts} restart{plural}{sick}", all(shared).count())
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
        let columns = columns(all(shared), area.width);
        let head: Vec<Cell<'_>> = columns.iter().map(|c| c.made(c.head, look.style(Tone::Dim))).collect();
        rows::row(buf, rows::line(area, 0), &head, false, look);
        // All that there is to say of the marked one stands below the others.
        let at = self.at(shared);
        let whole = all(shared).nth(at).filter(|_| self.mark.is_some()).map(|(_, i)| said(i, &columns)).unwrap_or_default();
        let before: usize = columns.iter().filter(|c| c.what != What::Said).map(|c| c.width + 1).sum();
        let area = rows::whole(buf, area, look, &whole, usize::from(area.width).saturating_sub(before));
        let room = usize::from(area.height).saturating_sub(1);
        let first = rows::first_line(at, len, room, false);
        for (n, one) in all(shared).enumerate().skip(first).take(room) {
            let texts: Vec<_> = columns.iter().map(|c| (c, cell(shared, look, &columns, *c, one))).collect();
            let cells: Vec<Cell<'_>> = texts.iter().map(|(c, (text, style))| c.made(text, *style)).collect();
            rows::row(buf, rows::line(area, n - first + 1), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        all(shared).nth(self.at(shared)).map(|(_, i)| i.id.text().to_string())
    }
}
