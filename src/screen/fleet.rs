//! Every rollout of every target, one line each, most urgent first. Only the rows on the screen are built.
//!
//! ```text
//!  cutover  7 rollouts  1 waiting 1 failing                   stage STALE 41s  prod live  03:12:09Z
//!     target/service           how    step  weight gates state                             1-7 of 7
//!  ▶  prod/checkout            canary 2/5  33.33 % FAIL  ✗ failing since 03:04Z (8m): gate errors
//!   * prod/cart                b/g    3/4     0 %  pass  ~ waiting for you since 02:40Z (32m): pause
//!  last line: what must be known now, or what became of an action
//! ```

mod state;

use super::header;
use crate::{
    app::{
        fleet::room,
        state::{Place, State, View, Watched},
    },
    model::{ident::Key, rollout::Phase, spec::Strategy, urgency::Urgent},
    runtime::Link,
    ui::{
        figure::{self, grouped, short},
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Where the name begins: behind the margin, the cursor and the mark.
const NAME: usize = 4;

/// How wide the columns are; 0 leaves one out.
#[derive(Clone, Copy)]
struct Columns {
    name: usize,
    how: usize,
    step: usize,
    weight: usize,
    gates: usize,
    /// What is left for the state.
    state: usize,
}

impl Columns {
    const fn of(width: usize) -> Self {
        let (name, how, step, weight, gates) = match width {
            160.. => (48, 10, 5, 8, 5),
            120.. => (36, 10, 5, 8, 5),
            100.. => (28, 6, 5, 7, 5),
            // What holds it says more than the strategy.
            79.. => (23, 0, 5, 7, 5),
            60.. => (18, 0, 5, 7, 5),
            50.. => (18, 0, 0, 7, 0),
            _ => (16, 0, 0, 0, 0),
        };
        let used = NAME + name + gap(how) + gap(step) + gap(weight) + gap(gates) + 1;
        Self { name, how, step, weight, gates, state: width.saturating_sub(used) }
    }
}

/// A column with the space before it.
const fn gap(width: usize) -> usize {
    if width == 0 { 0 } else { width + 1 }
}

/// Draws it into an area that ends above the footer.
pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let width = usize::from(if area.width >= 120 { area.width } else { area.width.saturating_sub(1) });
    let line = |y: u16| Rect { y: area.y.saturating_add(y), height: u16::from(y < area.height), ..area };
    head(state, width).draw(line(0), buf);
    let columns = Columns::of(width);
    titles(state, columns, width).draw(line(1), buf);
    let rows = state.fleet.rows();
    // The line above the footer has its place below the rows.
    let shown = room(area.height.saturating_add(1)).min(rows.len());
    for (key, y) in rows.iter().take(shown).zip(2_u16..) {
        let here = state.shared.open.as_ref() == Some(&**key);
        row(state, key, columns, here).draw(line(y), buf);
        if here {
            let wide = Rect { width: u16::try_from(width).unwrap_or(area.width).min(area.width), ..line(y) };
            buf.set_style(wide.intersection(buf.area), state.look.style(Tone::Alert));
        }
    }
    if rows.is_empty() {
        let why = if state.fleet.filter().0.is_empty() { "no rollout yet" } else { "no rollout that fits; esc drops the filter" };
        Row::new(state.look).plain("    ").add(Tone::Dim, why).cut(width).draw(line(2), buf);
    }
    if area.height > 3 {
        last(state, width).draw(line(area.height - 1), buf);
    }
}

/// How many there are, how many need somebody, how each target is connected.
fn head(state: &State, width: usize) -> Row {
    let look = state.look;
    let row = || Row::new(look);
    let n = state.shared.rollouts.len();
    let plural = if n == 1 { "rollout" } else { "rollouts" };
    let name = row().plain(" ").add(Tone::Strong, "cutover").plain(format!("  {} {plural}", grouped(u64::try_from(n).unwrap_or(u64::MAX))));
    let urgent = Urgent::ALL.into_iter().filter(|u| *u <= Urgent::Baking);
    let counted = urgent.filter_map(|u| Some((u, state.fleet.count(u))).filter(|(_, n)| *n > 0));
    let said = |most: usize| {
        let piece =
            |row: Row, (u, n): (Urgent, usize)| row.plain("  ").add(state::tone(u), format!("{} {n} {}", state::glyph(&look, u), u.word()));
        counted.clone().take(most).fold(row(), piece)
    };
    let counts = said(usize::MAX);
    let clock = row().plain(format!("  {}Z", figure::clock(state.shared.now)));
    let sources = links(state);
    let only_bad = sources.iter().filter(|(rank, _)| *rank > 0).fold(row(), |row, (_, link)| row.plain("  ").join(link.clone()));
    let live = sources.iter().filter(|(rank, _)| *rank == 0).count();
    // `1 live` beside `1 stuck` would be a rollout.
    let word = match (sources.len(), live) {
        (1, _) => "live".to_owned(),
        (_, 1) => "1 target live".to_owned(),
        _ => format!("{live} targets live"),
    };
    let live_counted = if live > 0 { only_bad.clone().plain("  ").add(Tone::Good, word) } else { only_bad.clone() };
    let all = sources.iter().fold(row(), |row, (_, link)| row.plain("  ").join(link.clone()));
    let read_only = if state.read_only { row().plain("  ").add(Tone::Warn, "read-only") } else { row() };
    // What is wrong with a source stays longest; then what needs somebody most.
    let forms = [
        (&counts, &all),
        (&counts, &live_counted),
        (&counts, &only_bad),
        (&said(2), &only_bad),
        (&said(1), &only_bad),
        (&row(), &only_bad),
        (&counts, &row()),
    ];
    let ends = forms.map(|(counts, links)| (name.clone().join(counts.clone()), read_only.clone().join(links.clone()).join(clock.clone())));
    for (start, end) in &ends {
        if start.width() + end.width() < width {
            return start.clone().pad(width - end.width() - usize::from(width < 120)).join(end.clone());
        }
    }
    name.join(clock).cut(width)
}

/// Each target with its connection, worst first; the number is how bad it is.
fn links(state: &State) -> Vec<(u8, Row)> {
    let mut all: Vec<(u8, Row)> = Vec::new();
    for (target, link) in &state.shared.links {
        let now = state.shared.now;
        let since = |at| short(crate::model::time::elapsed(now, at));
        let (rank, tone, word) = match link {
            Link::Denied { .. } => (3, Tone::Bad, "DENIED".to_owned()),
            Link::Stale { since: at } => (2, Tone::Bad, format!("STALE {}", since(*at))),
            Link::Connecting { attempt: 0 | 1, .. } => (1, Tone::Warn, "connecting".to_owned()),
            Link::Connecting { attempt, .. } => (2, Tone::Bad, format!("DOWN, attempt {attempt}")),
            Link::Live { .. } => (0, Tone::Good, "live".to_owned()),
        };
        let place = state.targets.get(target).copied().unwrap_or_default();
        let name = header::painted(Row::new(state.look), place, target.text().as_str(), 16, false);
        all.push((rank, name.plain(" ").add(tone, word)));
    }
    all.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    all
}

/// What the columns are; what is filtered and marked; which part of the list this is.
fn titles(state: &State, columns: Columns, width: usize) -> Row {
    let row = || Row::new(state.look);
    let (text, typing) = state.fleet.filter();
    let (len, above) = state.fleet.extent();
    let room = room(state.size.1);
    let marks = state.fleet.marks().len();
    let mut end = row();
    if marks > 0 {
        end = end.add(Tone::Strong, format!("{marks} marked")).plain("  ");
    }
    if typing || !text.is_empty() {
        end = end
            .add(Tone::Strong, format!("/{text}{}", if typing { "_" } else { "" }))
            .plain(format!("  {len} of {}", state.shared.rollouts.len()));
    } else if len > room {
        end = end.add(Tone::Dim, format!("{}-{} of {len}", above + 1, (above + room).min(len)));
    }
    let titled = |row: Row, title: &str, wide: usize, right: bool| match wide {
        0 => row,
        _ if right => row.plain(" ").add(Tone::Dim, format!("{title:>wide$}")),
        _ => row.plain(" ").add(Tone::Dim, format!("{title:<wide$}")),
    };
    let start = row().plain("    ").add(Tone::Dim, format!("{:<1$}", "target/service", columns.name)).cut(NAME + columns.name);
    let start = titled(start, "how", columns.how, false);
    let start = titled(start, "step", columns.step, false);
    let start = titled(start, "weight", columns.weight, true);
    let start = titled(start, "gates", columns.gates, false).plain(" ").add(Tone::Dim, "state");
    let room = width.saturating_sub(end.width() + 1 + usize::from(width < 120));
    if start.width() <= room { start.pad(room + 1).join(end) } else { start.cut(room.saturating_sub(1)).pad(room + 1).join(end) }
}

/// One rollout.
fn row(state: &State, key: &Key, columns: Columns, here: bool) -> Row {
    let look = state.look;
    let glyphs = look.glyphs();
    let place = state.targets.get(&key.target).copied().unwrap_or_default();
    let mark = if state.fleet.marks().contains(key) { "*" } else { " " };
    let start = Row::new(look).plain(" ").add(Tone::Strong, if here { glyphs.here } else { " " }).add(Tone::Strong, mark).plain(" ");
    let start = named(start, key, columns.name, place, &look).pad(NAME + columns.name);
    let Some(watched) = state.shared.rollouts.get(key) else {
        return start.plain(" ").add(Tone::Dim, "gone");
    };
    let silent = state.shared.silent(watched).is_some();
    let dim = |tone: Tone| if silent { Tone::Dim } else { tone };
    let rollout = &watched.rollout;
    let mut row = start;
    if columns.how > 0 {
        row = row.plain(" ").add(Tone::Plain, how(rollout.strategy, columns.how >= 10)).pad(NAME + columns.name + gap(columns.how));
    }
    let mut at = NAME + columns.name + gap(columns.how);
    if columns.step > 0 {
        at += gap(columns.step);
        row = row.plain(" ").add(dim(Tone::Plain), step(watched)).cut(at).pad(at);
    }
    if columns.weight > 0 {
        at += gap(columns.weight);
        let weight = if moving(watched) { super::scene::share_short(declared(watched)) } else { String::new() };
        row = row.plain(" ").add(dim(Tone::Plain), format!("{weight:>0$}", columns.weight)).pad(at);
    }
    if columns.gates > 0 {
        at += gap(columns.gates);
        let worst = rollout.worst_gate().filter(|_| moving(watched));
        let (tone, word) = match worst {
            Some(gate) if rollout.failed_before(gate).is_some() => (Tone::Bad, "FAILED"),
            Some(gate) => (Tone::of(&gate.verdict), gate.verdict.word()),
            None => (Tone::Dim, ""),
        };
        row = row.plain(" ").add(dim(tone), word).pad(at);
    }
    row.plain(" ").join(state::row(state, watched, columns.state))
}

/// `prod/checkout`, the target in its own colour.
fn named(row: Row, key: &Key, max: usize, place: Place, look: &Look) -> Row {
    let name = header::identity(key, max, look);
    // What is before the first slash is the target, also when it was cut.
    match name.split_once('/') {
        Some((target, rest)) => header::painted(row, place, target, max, false).add(Tone::Dim, "/").add(Tone::Strong, rest),
        None => row.add(Tone::Strong, text::cut_end(&name, max, look)),
    }
}

const fn how(strategy: Strategy, wide: bool) -> &'static str {
    match (strategy, wide) {
        (Strategy::Canary, _) => "canary",
        (Strategy::BlueGreen, true) => "blue/green",
        (Strategy::BlueGreen, false) => "b/g",
        (Strategy::Rolling, true) => "rolling",
        (Strategy::Rolling, false) => "roll",
        (Strategy::Recreate, true) => "recreate",
        (Strategy::Recreate, false) => "recr",
    }
}

/// Whether a candidate is on its way.
const fn moving(watched: &Watched) -> bool {
    matches!(watched.rollout.phase, Phase::Progressing | Phase::Held | Phase::Reverting | Phase::Failed)
}

fn declared(watched: &Watched) -> Option<crate::model::ratio::Ratio> {
    watched.rollout.candidate().and_then(|t| t.share.declared)
}

/// `2/5`.
fn step(watched: &Watched) -> String {
    let count = watched.rollout.steps.len();
    match watched.rollout.at {
        Some(at) if moving(watched) && count > 0 => format!("{}/{count}", (at.index + 1).min(count)),
        _ => String::new(),
    }
}

/// What the person must know now; else what became of the newest action, on whatever rollout.
fn last(state: &State, width: usize) -> Row {
    let look = state.look;
    let row = Row::new(look).plain(" ");
    if let Some(notice) = &state.notice {
        let (sign, tone) = if notice.bad { (look.glyphs().fail, Tone::Bad) } else { (look.glyphs().dot, Tone::Strong) };
        return row.add(tone, format!("{sign} {}", notice.text)).cut(width);
    }
    debug_assert!(state.view == View::Fleet, "only the fleet has this line");
    // A name that several have is told with where it is.
    let named = |row: Row, key: &Key| {
        let same = state.shared.rollouts.keys().filter(|k| k.service == key.service).count();
        let name = if same > 1 { header::identity(key, 40, &look) } else { look.plain(key.service.text().as_str()).into_owned() };
        row.name(Tone::Strong, &name, 40)
    };
    match (state.following.last(), state.shared.watched()) {
        (Some(newest), _) => {
            // Of what was sent at once the worst is told: a refusal must not stand behind another one's success.
            let rank = |tone: Tone| match tone {
                Tone::Bad => 2,
                Tone::Warn => 1,
                _ => 0,
            };
            let at_once = state.following.iter().filter(|f| f.sent == newest.sent);
            let f = at_once.clone().max_by_key(|f| rank(f.line(state.shared.now).0)).unwrap_or(newest);
            let (tone, line) = f.line(state.shared.now);
            let n = at_once.count();
            if n > 1 && rank(tone) == 0 {
                return row.add(tone, format!("{line}, on all {n}")).cut(width);
            }
            named(row, &f.key).plain(": ").add(tone, line.as_str()).cut(width)
        }
        // The whole of what the row of the cursor had no room for.
        (None, Some(w)) => {
            let row = named(row, &w.rollout.key).plain(" ");
            let room = width.saturating_sub(row.width());
            row.join(state::row(state, w, room))
        }
        // Before anything is chosen: the first row in full, if it needs somebody.
        (None, None) => match most_urgent(state) {
            Some(w) => {
                let row = named(row.add(Tone::Dim, "first: "), &w.rollout.key).plain(" ");
                let room = width.saturating_sub(row.width());
                row.join(state::row(state, w, room))
            }
            None => row,
        },
    }
}

/// The rollout of the first row, if it waits for somebody.
fn most_urgent(state: &State) -> Option<&Watched> {
    let key = state.fleet.rows().first()?;
    let urgent = state.fleet.rank(key).is_some_and(|rank| rank.how <= Urgent::Stuck);
    state.shared.rollouts.get(&**key).filter(|_| urgent)
}
