//! Rollouts as lines of a table.

use crate::{
    cli::connect,
    model::{
        rollout::{Phase, Rollout},
        time::Time,
        urgency::{sentence, urgency},
        version::Track,
    },
};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

const HEAD: [&str; 9] = ["STATE", "TARGET", "SERVICE", "PHASE", "STEP", "STABLE", "CANDIDATE", "WEIGHT", "WHY"];

/// The cells of one line.
pub type Row = [String; HEAD.len()];

/// A heading and the rows below it, in columns; no line is wider than `width` columns.
pub fn lines(rows: impl Iterator<Item = Row>, width: usize) -> Vec<String> {
    let rows: Vec<Row> = std::iter::once(HEAD.map(String::from)).chain(rows).collect();
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &Row| {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        cut(line.trim_end(), width)
    };
    rows.iter().map(line).collect()
}

fn cut(line: &str, most: usize) -> String {
    if line.width() <= most {
        return line.to_owned();
    }
    let mut used = 1; // of the mark that something is missing
    let kept = line.graphemes(true).take_while(|g| {
        used += g.width();
        used <= most
    });
    kept.chain(["…"]).collect()
}

/// One rollout; `stale` says that its target has been silent for too long.
pub fn row(r: &Rollout, stale: bool, now: Time) -> Row {
    let dash = || "-".to_owned();
    let label = |track: Option<&Track>| track.map_or_else(dash, |t| t.version.label.to_string());
    let weight = r.candidate().and_then(|t| t.share.declared?.percent());
    [
        sentence(&urgency(r, stale.then_some(r.seen.server_time)), now),
        r.key.target.text().to_string(),
        service(r),
        r.phase.word().to_owned(),
        r.at.map_or_else(dash, |at| format!("{}/{}", (at.index + 1).min(r.steps.len()), r.steps.len())),
        label(r.stable()),
        label(r.candidate()),
        weight.map_or_else(dash, |w| format!("{w:.2} %")),
        why(r).unwrap_or_else(dash),
    ]
}

/// `shop/checkout@2`: with its namespace, where there are any.
fn service(r: &Rollout) -> String {
    let scope = if r.key.scope.is_empty() { String::new() } else { format!("{}/", connect::scope(r)) };
    let run = r.run.as_ref().map_or_else(String::new, |run| format!("@{}", run.text()));
    format!("{scope}{}{run}", r.key.service.text())
}

fn why(r: &Rollout) -> Option<String> {
    let said = match (&r.verdict, &r.reason) {
        // Beside the other columns `by ana` alone says nothing.
        (_, Some(reason)) if r.phase == Phase::Reverted && reason.as_str().starts_with("by ") => Some(format!("reverted {reason}")),
        (_, Some(reason)) => Some(reason.to_string()),
        (Some(v), None) => {
            let who = r.alone.as_ref().map(|alone| format!("{} alone: ", alone.version)).unwrap_or_default();
            Some(format!("{who}{} {}", v.word, v.sentence))
        }
        (None, None) => None,
    };
    let frozen = r.frozen.as_ref().map(|f| {
        let until = f.until.map_or_else(String::new, |t| format!(" until {}", t.format("%m-%d %H:%M")));
        format!("FROZEN by {}{until}: {}", f.by, f.reason)
    });
    // What a person must know before anything is let go on: a write that nobody looked at, instances that do not run.
    let found = r.findings.iter().filter(|f| ["lost", "pods"].contains(&f.kind.as_str())).map(|f| f.what.to_string());
    let owner = r.owner.as_ref().map(|owner| format!("written by {owner}"));
    let parts: Vec<String> = frozen.into_iter().chain(found).chain(said).chain(owner).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{HEAD, Row, lines};

    #[test]
    fn columns_line_up_and_nothing_is_wider_than_the_terminal() {
        let row = |service: &str, why: &str| -> Row {
            let mut row = HEAD.map(|_| "x".to_owned());
            row[2] = service.into();
            row[8] = why.into();
            row
        };
        let wide = lines([row("日本", "a"), row("web@12", "b")].into_iter(), usize::MAX);
        assert_eq!(wide[0], "STATE  TARGET  SERVICE  PHASE  STEP  STABLE  CANDIDATE  WEIGHT  WHY");
        assert_eq!(wide[1], "x      x       日本     x      x     x       x          x       a");
        let narrow = lines([row("日本日本", "b")].into_iter(), 20);
        assert_eq!(narrow[1], "x      x       日本…", "19 columns: a wide character does not fit in half");
        assert_eq!(narrow[0], "STATE  TARGET  SERV…");
    }
}
