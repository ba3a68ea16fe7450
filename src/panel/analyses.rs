//! What the runtime measures by itself, beside our own judge: each metric with its values, its condition, how often
//! it was measured and how often it may fail. Owns which line is marked.

use super::{
    Panel,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        rollout::{Analysis, Experiment, Metric, MetricCounts},
        text::Text,
        time::{elapsed, span, until},
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
    let Some(rollout) = shared.watched().map(|w| &w.rollout) else { return Vec::new() };
    let analyses = &rollout.analyses;
    let mut all: Vec<Line> = rollout.experiments.iter().rev().flat_map(|e| of_experiment(shared, e, analyses)).collect();
    for analysis in analyses.iter().rev() {
        all.push(head(shared, analysis));
        for metric in &analysis.metrics {
            all.extend(of_metric(shared, analysis, metric));
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

/// `Running, 12s left  demo-578cf9bbd-2-1: …`, and its analyses where their measurements are not shown below.
fn of_experiment(shared: &Shared, experiment: &Experiment, analyses: &[Analysis]) -> Vec<Line> {
    let now = shared.there_now();
    let left = match (experiment.ends, experiment.since) {
        (Some(at), _) => format!(", {} left", span(until(now, at))),
        (None, Some(at)) => format!(", all there for {}", span(elapsed(now, at))),
        (None, None) => String::new(),
    };
    let said = experiment.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
    let mut lines = vec![Line {
        id: (experiment.name.clone(), None, 1),
        head: "experiment".into(),
        text: format!("{}{left}  {}{said}", experiment.phase, experiment.name),
        tone: tone(&experiment.phase, false),
    }];
    for run in experiment.runs.iter().filter(|run| analyses.iter().all(|a| a.name != run.name)) {
        let said = run.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
        lines.push(Line {
            id: (experiment.name.clone(), Some(run.what.clone()), 1),
            head: format!("  {}", run.what),
            text: format!("{}  {}{said}", run.phase, run.name),
            tone: tone(&run.phase, false),
        });
    }
    lines
}

fn of_metric(shared: &Shared, analysis: &Analysis, metric: &Metric) -> Vec<Line> {
    let id = |n: u8| (analysis.name.clone(), Some(metric.name.clone()), n);
    let tone = tone(&metric.phase, metric.dry_run);
    let newest = metric.values.last().map(|v| format!("  {v}")).unwrap_or_default();
    let condition = if metric.condition.is_empty() { String::new() } else { format!("  must be {}", metric.condition) };
    let dry = if metric.dry_run { "  dry run: without consequences" } else { "" };
    let mut lines =
        vec![Line { id: id(0), head: format!("  {}", metric.name), text: format!("{}{newest}{condition}{dry}", metric.phase), tone }];
    let before: Vec<String> = metric.values.iter().rev().skip(1).take(VALUES).map(ToString::to_string).collect();
    let before = if before.is_empty() { String::new() } else { format!("  before: {}", before.join(" ")) };
    let due = match metric.next {
        Some(at) if at > shared.there_now() => format!(", next in {}", span(until(shared.there_now(), at))),
        Some(_) => ", next now".to_owned(),
        None => metric.measured.map(|at| format!(", last {} ago", span(elapsed(shared.there_now(), at)))).unwrap_or_default(),
    };
    lines.push(Line { id: id(1), head: String::new(), text: format!("{}{due}{before}", counted(&metric.counts)), tone: Tone::Dim });
    if let Some(message) = &metric.message {
        lines.push(Line { id: id(2), head: String::new(), text: message.to_string(), tone: Tone::Warn });
    }
    // Beside Argo's own word: the evidence panel has what ours says.
    lines.extend(metric.ours.as_ref().map(|ours| Line { id: id(3), head: String::new(), text: format!("ours: {ours}"), tone: Tone::Dim }));
    lines
}

/// `5 of 10 measured: 4 ok (3 in a row, 5 are enough), 1 failed (2 end it), 1 unclear (1 ends it), 3 errors (2 in a
/// row, 5 in a row end it)`.
fn counted(c: &MetricCounts) -> String {
    let sum = u64::from(c.successful) + u64::from(c.failed) + u64::from(c.inconclusive) + u64::from(c.error);
    let of = c.count.map(|n| format!(" of {n}")).unwrap_or_default();
    let ends = |limit: Option<u32>, how: &str| match limit.map(|l| l.saturating_add(1)) {
        Some(1) => format!(" (1{how} ends it)"),
        Some(n) => format!(" ({n}{how} end it)"),
        None => String::new(),
    };
    let enough = c.success_limit.map(|l| format!(" ({} in a row, {l} are enough)", c.successes_in_a_row)).unwrap_or_default();
    let mut parts = vec![format!("{} ok{enough}", c.successful), format!("{} failed{}", c.failed, ends(c.failure_limit, ""))];
    if c.inconclusive > 0 {
        parts.push(format!("{} unclear{}", c.inconclusive, ends(c.inconclusive_limit, "")));
    }
    if c.error > 0 {
        // How many in a row they are matters before they end it.
        let row = if c.errors_in_a_row > 0 { format!(", {} in a row", c.errors_in_a_row) } else { String::new() };
        parts.push(format!("{} errors{row}{}", c.error, ends(c.error_limit, " in a row")));
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
        let (analyses, experiments) = shared.watched().map_or((0, 0), |w| (w.rollout.analyses.len(), w.rollout.experiments.len()));
        let beside = match experiments {
            0 => String::new(),
            1 => ", 1 experiment".to_owned(),
            n => format!(", {n} experiments"),
        };
        format!("analyses · {analyses} of the runtime's own{beside}, the newest first")
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
