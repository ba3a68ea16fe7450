//! The console's own log, kept and drawn by `tui-logger`. Its records are moved into view by the loop
//! (`tui_logger::move_events`) before a frame, never by the thread that wakes every 10 ms.

use super::Panel;
use crate::{
    app::state::{Command, Input, Shared},
    model::text::Text,
    ui::look::{Look, Tone},
};
use ratatui::{buffer::Buffer, layout::Rect, text::Line, widgets::Widget};
use tui_logger::{ExtLogRecord, LogFormatter, TuiLoggerWidget, TuiWidgetEvent, TuiWidgetState};

const COMMANDS: &[Command] = &[Command { name: "follow", doc: "stay with the newest line; moving up stops it", keys: &["f"], acts: false }];

/// The own log.
#[derive(Default)]
pub struct OwnLog {
    state: TuiWidgetState,
}

/// One record in one line, cleaned: its text may quote what came from outside.
struct Format(Look);

impl LogFormatter for Format {
    fn min_width(&self) -> u16 {
        4
    }

    fn format(&self, width: usize, record: &ExtLogRecord) -> Vec<Line<'_>> {
        let (word, tone) = match record.level.as_str() {
            "ERROR" => ("BAD ", Tone::Bad),
            "WARN" => ("WARN", Tone::Warn),
            "INFO" => ("info", Tone::Plain),
            _ => ("more", Tone::Dim),
        };
        let seconds = record.timestamp.timestamp().as_second();
        let time = chrono::DateTime::from_timestamp(seconds, 0).map(super::rows::clock).unwrap_or_default();
        let text = Text::clean(&format!("{time} {word} {} {}", record.target(), record.msg().trim()));
        vec![Line::styled(super::rows::cut(text.as_str(), width, self.0.ascii), self.0.style(tone))]
    }
}

impl Panel for OwnLog {
    fn id(&self) -> &'static str {
        "own-log"
    }

    fn title(&self, _shared: &Shared) -> String {
        "own log of this console".to_owned()
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn run(&mut self, command: &str, _shared: &Shared) {
        let event = match command {
            "up" | "page-up" => TuiWidgetEvent::PrevPageKey,
            "down" | "page-down" => TuiWidgetEvent::NextPageKey,
            "follow" | "bottom" => TuiWidgetEvent::EscapeKey,
            _ => return,
        };
        self.state.transition(event);
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, _shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        TuiLoggerWidget::default().formatter(Box::new(Format(*look))).state(&self.state).render(area.intersection(buf.area), buf);
    }
}
