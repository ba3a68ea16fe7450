//! What the runtime measures by itself, beside our own judge: each metric with its values, its condition, how often
//! it was measured and how often it may fail. Owns which line is marked.

use super::{
    Panel,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        rollout::{Analysis, Metric, MetricCounts},
        text::Text,
        time::{elapsed, span},
    },
    ui::look::{Look, Tone},
};
use ratatui::{buffer::Buffer, layout::Rect};

/// How many values a line has room for.
const VALUES: usize = 8;

/// The analyses.
#[derive(Default)]
pub struct Analyses {
    /// The marked line: of which analysis, of which metric, which of its lines.
    mark: Option<Id>,
}

type Id = (Text, Option<Text>, u8);

/// A line: whose it is, its beginning, its text.
struct Line {
    id: Id,
    head: String,
    text: String,
    tone: Tone,
}

/// Newest first: what runs now is what somebody looks for.
fn lines(shared: &Shared) -> Vec<Line> {
    let analyses = shared.watched().map(|w| w.rollout.analyses.as_slice()).unwrap_or_default();
    let mut all = Vec::new();
    for analysis in analyses.iter().rev() {
        all.push(head(shared, analysis));
        for metric in &analysis.metrics {
            all.extend(of_metric(analysis, metric));
        }
    }
    all
}

/// `Running for 12s  demo-578cf9bbd-2-pre: …`.
fn head(shared: &Shared, analysis: &Analysis) -> Line {
    let age = analysis.started.map(|at| format!(", begun {} ago", span(elapsed(shared.there_now(), at)))).unwrap_or_default();
    let said = analysis.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
    Line {
        id: (analysis.name.clone(), None, 0),
        head: analysis.place.to_string(),
        text: format!("{}{age}  {}{said}", analysis.phase, analysis.name),
        tone: tone(&analysis.phase, false),
    }
}

fn of_metric(analysis: &Analysis, metric: &Metric) -> Vec<Line> {
    let id = |n: u8| (analysis.name.clone(), Some(metric.name.clone()), n);
    let tone = tone(&metric.phase, metric.dry_run);
    let newest = metric.values.last().map(|v| format!("  {v}")).unwrap_or_default();
    let condition = if metric.condition.is_empty() { String::new() } else { format!("  must be {}", metric.condition) };
    let dry = if metric.dry_run { "  dry run: without consequences" } else { "" };
    let mut lines =
        vec![Line { id: id(0), head: format!("  {}", metric.name), text: format!("{}{newest}{condition}{dry}", metric.phase), tone }];
    let before: Vec<String> = metric.values.iter().rev().skip(1).take(VALUES).map(ToString::to_string).collect();
    let before = if before.is_empty() { String::new() } else { format!("  before: {}", before.join(" ")) };
    lines.push(Line { id: id(1), head: String::new(), text: format!("{}{before}", counted(&metric.counts)), tone: Tone::Dim });
    if let Some(message) = &metric.message {
        lines.push(Line { id: id(2), head: String::new(), text: message.to_string(), tone: Tone::Warn });
    }
    lines
}

/// `5 of 10 measured: 4 ok, 1 failed (2 end it), 0 unclear (1 ends it), 0 errors (5 in a row end it)`.
fn counted(c: &MetricCounts) -> String {
    let sum = u64::from(c.successful) + u64::from(c.failed) + u64::from(c.inconclusive) + u64::from(c.error);
    let of = c.count.map(|n| format!(" of {n}")).unwrap_or_default();
    let ends = |limit: Option<u32>, how: &str| match limit.map(|l| l.saturating_add(1)) {
        Some(1) => format!(" (1{how} ends it)"),
        Some(n) => format!(" ({n}{how} end it)"),
        None => String::new(),
    };
    let mut parts = vec![format!("{} ok", c.successful), format!("{} failed{}", c.failed, ends(c.failure_limit, ""))];
    if c.inconclusive > 0 {
        parts.push(format!("{} unclear{}", c.inconclusive, ends(c.inconclusive_limit, "")));
    }
    if c.error > 0 {
        parts.push(format!("{} errors{}", c.error, ends(c.error_limit, " in a row")));
    }
    format!("{sum}{of} measured: {}", parts.join(", "))
}

fn tone(phase: &Text, dry: bool) -> Tone {
    match phase.as_str() {
        _ if dry => Tone::Dim,
        "Successful" => Tone::Good,
        "Failed" | "Error" => Tone::Bad,
        "Inconclusive" => Tone::Warn,
        _ => Tone::Plain,
    }
}

impl Analyses {
    fn at(&self, lines: &[Line]) -> usize {
        self.mark.as_ref().and_then(|id| lines.iter().position(|l| l.id == *id)).unwrap_or(0)
    }
}

impl Panel for Analyses {
    fn id(&self) -> &'static str {
        "analyses"
    }

    fn title(&self, shared: &Shared) -> String {
        let analyses = shared.watched().map_or(0, |w| w.rollout.analyses.len());
        format!("analyses · {analyses} of the runtime's own, the newest first")
    }

    fn commands(&self) -> &'static [Command] {
        &[]
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let lines = lines(shared);
        let to = rows::moved(command, self.at(&lines), lines.len());
        self.mark = to.and_then(|n| lines.get(n)).map(|l| l.id.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, shared: &Shared) {
        if self.mark.as_ref().is_some_and(|id| !lines(shared).iter().any(|l| l.id == *id)) {
            self.mark = None;
        }
    }

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let lines = lines(shared);
        if lines.is_empty() {
            let why = rows::unseen(shared, "analysisruns").unwrap_or("no analysis of the runtime's own runs or ran in this update");
            return rows::empty(buf, area, look, why);
        }
        let widest = lines.iter().map(|l| crate::ui::text::width(&l.head)).max().unwrap_or(0);
        let label = widest.clamp(12, if area.width >= 100 { 40 } else { 20 });
        let (at, height) = (self.at(&lines), usize::from(area.height));
        let first = rows::first_line(at, lines.len(), height, false);
        for (n, line) in lines.iter().enumerate().skip(first).take(height) {
            let (head, text) = (look.plain(&line.head), look.plain(&line.text));
            let bold = look.style(if line.id.1.is_none() { Tone::Strong } else { Tone::Plain });
            let cells = [Cell::left(&head, label, bold), Cell::left(&text, 0, look.style(line.tone))];
            rows::row(buf, rows::line(area, n - first), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let lines = lines(shared);
        lines.get(self.at(&lines)).map(|l| format!("{} {}", l.head.trim(), l.text).trim().to_owned())
    }
}
