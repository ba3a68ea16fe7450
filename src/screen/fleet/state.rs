//! What a rollout waits for, in the words of one cell.

use crate::{
    app::state::{State, Watched},
    model::{
        rollout::{Hold, Phase, Rollout, Standing},
        time::{Time, elapsed, until},
        urgency::Urgent,
    },
    ui::{
        figure::{self, left, short},
        look::{Look, Tone},
        row::Row,
        text,
    },
};

/// The sign of an urgency; it never stands without its word.
pub(super) const fn glyph(look: &Look, urgent: Urgent) -> &'static str {
    let glyphs = look.glyphs();
    match urgent {
        Urgent::Waiting | Urgent::Baking | Urgent::Unproved => glyphs.wait,
        Urgent::Failing => glyphs.fail,
        Urgent::Stuck => "!",
        Urgent::Stale => glyphs.blind,
        Urgent::Running => glyphs.dot,
        Urgent::Healthy => glyphs.pass,
        Urgent::Idle => glyphs.unknown,
    }
}

/// Its colour.
pub(super) const fn tone(urgent: Urgent) -> Tone {
    match urgent {
        Urgent::Waiting | Urgent::Stuck | Urgent::Stale => Tone::Warn,
        Urgent::Failing => Tone::Bad,
        Urgent::Baking | Urgent::Running | Urgent::Unproved => Tone::Plain,
        Urgent::Healthy => Tone::Good,
        Urgent::Idle => Tone::Dim,
    }
}

/// The cell: `~ waiting for you since 14:02Z (32m): paused by ben`.
pub(super) fn row(state: &State, watched: &Watched, max: usize) -> Row {
    let start = || Row::new(state.look);
    let r = &watched.rollout;
    let (look, now) = (state.look, state.shared.there(&r.key.target));
    if let Some(gone) = state.gone_since(&r.key) {
        return start()
            .add(Tone::Bad, format!("{} gone", look.glyphs().fail))
            .plain(format!(" for {}", short(elapsed(state.shared.now, gone))))
            .cut(max);
    }
    let Some(rank) = state.fleet.rank(&r.key) else { return start() };
    // Where nothing runs, nothing is healthy either.
    if rank.how == Urgent::Idle {
        let idle = start().add(Tone::Dim, format!("{} idle", look.glyphs().unknown));
        return Row::fit(look, max, [idle.clone().add(Tone::Dim, ": nothing was ever deployed"), idle]);
    }
    let urgent = rank.how;
    // When it was heard last is known by our own clock.
    let now = if urgent == Urgent::Stale { state.shared.now } else { now };
    let tone = tone(urgent);
    let age = rank.since.map(|at| short(elapsed(now, at)));
    let since = rank.since.map(|at| figure::since(now, at));
    let frozen = |until: bool| match &r.frozen {
        Some(f) => start().add(Tone::Warn, frozen(now, f.until, until)).plain(" "),
        None => start(),
    };
    let what = what(r, urgent, now);
    let stale = state
        .shared
        .silent(watched)
        .filter(|_| urgent != Urgent::Stale)
        .map(|age| format!("STALE {}, was ", short(age)))
        .unwrap_or_default();
    let sign = format!("{} {stale}", glyph(&look, urgent));
    let word = |long: bool| match urgent {
        Urgent::Waiting if long => "waiting for you",
        Urgent::Waiting => "waiting",
        Urgent::Failing => "FAILING",
        Urgent::Stuck => "STUCK",
        Urgent::Stale => "STALE",
        other => other.word(),
    };
    let long = match (&since, &age) {
        (Some(since), Some(age)) => format!("{sign}{} since {since} ({age})", word(true)),
        _ => format!("{sign}{}", word(true)),
    };
    let mid = age.as_ref().map_or_else(|| format!("{sign}{}", word(true)), |age| format!("{sign}{} {age}", word(true)));
    let brief = age.as_ref().map_or_else(|| format!("{sign}{}", word(false)), |age| format!("{sign}{} {age}", word(false)));
    let with = |row: Row| if what.is_empty() { row } else { row.plain(": ").plain(&what) };
    let acts = urgent <= Urgent::Stale;
    // On a line of its own since when goes before all of the reason.
    let alone = (max >= 60 && acts && since.is_some() && !what.is_empty()).then(|| {
        let start = frozen(false).add(tone, &long).plain(": ");
        let room = max.saturating_sub(start.width());
        let what = look.plain(&what).into_owned();
        start.plain(text::cut_end(&what, room, &look))
    });
    let mut forms = Vec::new();
    if acts {
        forms.push(with(frozen(true).add(tone, &long)));
    }
    forms.extend(alone);
    forms.push(with(frozen(true).add(tone, &mid)));
    forms.push(with(frozen(false).add(tone, &brief)));
    let cut = frozen(false).add(tone, &brief);
    let room = max.saturating_sub(cut.width() + 2);
    if room >= 8 && !what.is_empty() {
        let what = look.plain(&what).into_owned();
        forms.push(cut.clone().plain(": ").plain(text::cut_end(&what, room, &look)));
    }
    forms.extend([cut, start().add(tone, &brief)]);
    Row::fit(look, max, forms)
}

/// `FROZEN until 16:00Z`.
fn frozen(now: Time, end: Option<Time>, long: bool) -> String {
    match end.filter(|_| long) {
        Some(at) => format!("FROZEN until {}", figure::since(now, at)),
        None => "FROZEN".into(),
    }
}

/// What it waits for, or what comes next.
fn what(r: &Rollout, urgent: Urgent, now: Time) -> String {
    let reason = || r.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    match urgent {
        // What was stopped goes on only when it is thawed.
        Urgent::Waiting if r.frozen.is_some() => r.frozen.as_ref().map(|f| format!("{} ({})", f.reason, f.by)).unwrap_or_default(),
        Urgent::Waiting => {
            let hold = r.holds.iter().filter_map(person).next().unwrap_or_else(|| r.next.what.to_string());
            // Whoever lets it go on must know that its instances do not run.
            match r.findings.iter().find(|f| f.kind.as_str() == "pods") {
                Some(pods) => format!("{hold}, but {}", pods.what),
                None => hold,
            }
        }
        Urgent::Failing => {
            let failed = r.gates.iter().find(|g| g.verdict.fails());
            let before = || r.gates.iter().find_map(|g| Some((g, r.failure(g)?)));
            match failed {
                None if let Some((gate, failed)) = before().filter(|_| r.phase != Phase::Failed) => {
                    format!("gate {} {}", gate.id.text(), failed.text(Some(gate)))
                }
                Some(gate) if r.phase != Phase::Failed => format!("gate {}, {}", gate.id.text(), gate.verdict.reason()),
                _ => reason(),
            }
        }
        Urgent::Stuck if lost(r).is_some() => lost(r).unwrap_or_default(),
        Urgent::Stuck => r.holds.iter().filter_map(machine).next().unwrap_or_else(|| r.next.what.to_string()),
        Urgent::Stale => format!("was {}", r.phase.word()),
        Urgent::Baking => {
            // While nobody could see it fail it does not get good.
            if let Some(gate) = r.gates.iter().find(|g| g.is_blind_to_candidate()) {
                return format!("gate {} BLIND, {}", gate.id.text(), gate.verdict.reason());
            }
            let stable = r.stable().map(|t| &t.version);
            let known = r.versions.iter().find(|k| Some(&k.version.id) == stable.map(|v| &v.id));
            match known.map(|k| &k.standing) {
                Some(Standing::Baking { until: end }) => {
                    format!("{} is good in {}", stable.map(|v| v.label.to_string()).unwrap_or_default(), short(left(until(now, *end))))
                }
                _ => String::new(),
            }
        }
        Urgent::Unproved => "back, no traffic since".into(),
        Urgent::Running | Urgent::Healthy | Urgent::Idle => match &r.phase {
            Phase::Reverting => "going back".into(),
            Phase::Reverted if urgent == Urgent::Running => "back, not SAFE yet".into(),
            Phase::Reverted => format!("reverted {}", reason()).trim_end().to_owned(),
            Phase::Completed => finding(r).unwrap_or_else(|| r.stable().map(|t| t.version.label.to_string()).unwrap_or_default()),
            _ => match r.next.at.filter(|at| *at > now) {
                Some(at) => format!("{} in {}", r.next.what, short(left(until(now, at)))),
                None => r.next.what.to_string(),
            },
        },
    }
}

/// A write that nobody has looked at: `promote sent 12 s ago by ana: not noticed by the controller`.
fn lost(r: &Rollout) -> Option<String> {
    let lost = r.findings.iter().find(|f| f.kind.as_str() == "lost")?;
    Some(lost.what.as_str().split(';').next().unwrap_or_default().to_owned())
}

fn finding(r: &Rollout) -> Option<String> {
    r.findings.first().map(|f| format!("found {}: {}", f.kind, f.what))
}

/// A hold that a person ends.
fn person(hold: &Hold) -> Option<String> {
    match hold {
        Hold::Manual { by, .. } => Some(format!("paused by {by}")),
        Hold::Step { until: None, .. } => Some("at a pause".into()),
        Hold::Stopped { reason, .. } => Some(format!("held after {reason}")),
        Hold::Inconclusive { reason, .. } => Some(format!("inconclusive, {reason}")),
        _ => None,
    }
}

/// A hold of the machine.
fn machine(hold: &Hold) -> Option<String> {
    match hold {
        Hold::Backend { reason, .. } => Some(reason.to_string()),
        Hold::Gate { gate, reason, .. } => Some(format!("gate {}, {reason}", gate.text())),
        Hold::Stopped { reason, .. } => Some(format!("held after {reason}")),
        _ => None,
    }
}
