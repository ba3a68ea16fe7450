//! A rollout in one line.

use cutover::model::{
    back::How,
    instance::Fate,
    ratio::Ratio,
    rollout::{Hold, Rollout},
    time::Time,
    version::Track,
};
use std::fmt::Write;

/// Everything that matters of a rollout, in one line that can be read.
pub fn summary(r: &Rollout, start: Time) -> String {
    let ago = |t: Time| format!("{:.1}", (t - start).num_milliseconds() as f64 / 1e3);
    let mut out = r.phase.word().to_string();
    if let Some(reason) = &r.reason {
        write!(out, " \"{}\"", cut(reason.as_str(), 70)).unwrap();
    }
    if let Some(run) = &r.run {
        write!(out, " run {}", run.text()).unwrap();
    }
    if let Some(at) = r.at {
        let label = r.steps.get(at.index).map_or("done", |s| s.label.as_str());
        write!(out, " | step {}/{} {label}", at.index, r.steps.len()).unwrap();
        if let Some(ends) = at.ends {
            write!(out, " ends {}", ago(ends)).unwrap();
        }
    }
    for hold in &r.holds {
        let more = match hold {
            Hold::Step { until: Some(until), .. } => format!(" until {}", ago(*until)),
            Hold::Inconclusive { reason, .. } | Hold::Backend { reason, .. } => format!(" ({})", cut(reason.as_str(), 60)),
            _ => String::new(),
        };
        write!(out, " | hold {} since {}{more}", hold.kind(), ago(hold.since())).unwrap();
    }
    for track in &r.tracks {
        write!(out, " | {}{}", one(track), fate(track, start)).unwrap();
    }
    for analysis in &r.analyses {
        write!(out, " | analysis {} {} {}", analysis.place, analysis.name, analysis.phase).unwrap();
        for m in &analysis.metrics {
            let (c, dry) = (&m.counts, if m.dry_run { " dry" } else { "" });
            let limit = c.failure_limit.map_or("-".into(), |l| l.to_string());
            let of = c.count.map_or("-".into(), |l| l.to_string());
            let values: Vec<&str> = m.values.iter().map(|v| v.as_str()).collect();
            write!(
                out,
                " {} {}{dry} {}+{}-{}?{}! of {of} limit {limit} [{}]",
                m.name,
                m.phase,
                c.successful,
                c.failed,
                c.inconclusive,
                c.error,
                values.join(",")
            )
            .unwrap();
        }
    }
    for e in &r.experiments {
        let ends = e.ends.map(|at| format!(" ends {}", ago(at))).unwrap_or_default();
        let runs: Vec<String> = e.runs.iter().map(|r| format!("{} {}", r.what, r.phase)).collect();
        write!(out, " | beside {} {}{ends} [{}]", e.name, e.phase, runs.join(", ")).unwrap();
    }
    write!(out, " | next {}", r.next.what).unwrap();
    if let Some(at) = r.next.at {
        write!(out, " at {}", ago(at)).unwrap();
    }
    write!(out, " by {}", r.next.by).unwrap();
    if let Some(a) = &r.attention {
        write!(out, " | {} since {}", a.kind, ago(a.since)).unwrap();
    }
    let to = r.back.to.as_ref().map(|v| format!(" to {} {}", v.label, v.id.text())).unwrap_or_default();
    let checks: Vec<String> = r.back.checks.iter().map(|c| format!("{} {:?} {}", c.name, c.state, c.detail)).collect();
    let how = match &r.back.how {
        How::Switch => "switch".into(),
        How::Redeploy { steps } => format!("redeploy({steps})"),
        How::Already { since } => format!("already since {}", ago(*since)),
        How::None { why } => format!("none: {why}"),
    };
    write!(out, " | back {how}{to} {checks:?}").unwrap();
    for f in &r.findings {
        write!(out, " | FOUND {}: {} (since {})", f.kind, steady(f.what.as_str()), ago(f.since)).unwrap();
    }
    if let Some(owner) = &r.owner {
        write!(out, " | owner {owner}").unwrap();
    }
    out
}

/// Without how long ago it was, which changes with every look.
fn steady(what: &str) -> String {
    let words: Vec<&str> = what.split(' ').collect();
    let ago = words.windows(3).position(|w| w[2].starts_with("ago") && w[0].parse::<u64>().is_ok());
    match ago {
        Some(at) => [&words[..at], &words[at + 3..]].concat().join(" "),
        None => what.to_owned(),
    }
}

/// What becomes of its pods by themselves.
fn fate(track: &Track, start: Time) -> String {
    let one = |fate: &Fate| match fate {
        Fate::Stopped { at } => format!(" stops {:.1}", (*at - start).num_milliseconds() as f64 / 1e3),
        Fate::Kept { why } => format!(" kept ({why})"),
    };
    track.pools.iter().filter_map(|p| p.fate.as_ref()).map(one).collect()
}

fn one(track: &Track) -> String {
    let percent = |r: Option<Ratio>| r.and_then(Ratio::percent).map_or("-".into(), |p| format!("{}", (p * 100.0).round() / 100.0));
    let mut out = format!("{} {} {}", track.role, track.version.label, track.version.id.text());
    if let Some(slot) = &track.slot {
        write!(out, " {slot}").unwrap();
    }
    let share = &track.share;
    write!(out, " {}/{}/{} %", percent(share.declared), percent(share.programmed), percent(share.seen)).unwrap();
    for pool in &track.pools {
        write!(out, " {}/{}", pool.ready, pool.desired).unwrap();
        if pool.restarts > 0 {
            write!(out, " {} restarts", pool.restarts).unwrap();
        }
        let mut odd: Vec<&str> = pool.instances.iter().filter_map(|i| i.reason.as_ref()).map(|r| r.as_str()).collect();
        odd.dedup();
        if !odd.is_empty() {
            write!(out, " ({})", odd.join(", ")).unwrap();
        }
    }
    let sealed: Vec<String> = track.version.parts.iter().map(|p| p.running.map_or("?".into(), |d| d.short()[..4].to_owned())).collect();
    write!(out, " {}", sealed.join(",")).unwrap();
    if track.version.parts.iter().any(|p| p.differs) {
        out.push_str(" DIFFERS");
    }
    out
}

fn cut(text: &str, to: usize) -> String {
    if text.chars().count() <= to { text.to_owned() } else { format!("{}~", text.chars().take(to).collect::<String>()) }
}
