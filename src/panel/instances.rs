//! Every running copy of both versions. Owns where one is.

use super::{
    Panel,
    failed::track,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        ident::InstanceId,
        instance::{Instance, InstanceState},
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

/// Without the port (the seventh) where room is short: the reason is what is looked for.
fn kept(wide: bool, cells: [Cell<'_>; 9]) -> Vec<Cell<'_>> {
    cells.into_iter().enumerate().filter(|(n, _)| wide || *n != 6).map(|(_, cell)| cell).collect()
}

impl Panel for Instances {
    fn id(&self) -> &'static str {
        "instances"
    }

    fn title(&self, shared: &Shared) -> String {
        let ready = all(shared).filter(|(_, i)| i.state == InstanceState::Ready).count();
        let restarts: u32 = all(shared).map(|(_, i)| i.restarts).fold(0, u32::saturating_add);
        format!("instances · {ready} of {} ready · {restarts} restarts", all(shared).count())
    }

    fn commands(&self) -> &'static [Command] {
        &[]
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
            return rows::empty(buf, area, look, "no instance runs");
        }
        let (plain, dim) = (look.style(Tone::Plain), look.style(Tone::Dim));
        let wide = area.width >= 100;
        let (id_width, restarts_head) = if wide { (20, "restarts") } else { (12, "rst") };
        let head = kept(
            wide,
            [
                Cell::left("track", 9, dim),
                Cell::left("instance", id_width, dim),
                Cell::left("state", 11, dim),
                Cell::right("since", 6, dim),
                Cell::right(restarts_head, restarts_head.len(), dim),
                Cell::right("pid", 7, dim),
                Cell::right("port", 5, dim),
                Cell::right("open", 4, dim),
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
            let (id, state) = (i.id.text().to_string(), format!("{sign} {}", i.state.word()));
            let since = span(elapsed(shared.now, i.since));
            let (restarts, open) = (i.restarts.to_string(), i.in_flight.to_string());
            let (pid, port) = (number(i.pid.map(u64::from)), number(i.port.map(u64::from)));
            let cells = kept(
                wide,
                [
                    Cell::left(&word, 9, style),
                    Cell::left(&id, id_width, plain),
                    Cell::left(&state, 11, look.style(tone)),
                    Cell::right(&since, 6, plain),
                    Cell::right(&restarts, restarts_head.len(), if i.restarts > 0 { look.style(Tone::Warn) } else { dim }),
                    Cell::right(&pid, 7, dim),
                    Cell::right(&port, 5, dim),
                    Cell::right(&open, 4, plain),
                    Cell::left(i.reason.as_ref().map_or("", |r| r.as_str()), 0, plain),
                ],
            );
            rows::row(buf, rows::line(area, n - first + 1), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        all(shared).nth(self.at(shared)).map(|(_, i)| i.id.text().to_string())
    }
}
