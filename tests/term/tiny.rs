//! The smallest programs and sources that the loop can run.

use chrono::DateTime;
use cutover::{
    app::state::{Code, Input},
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        history::Point,
        ident::{ActionId, Key, TargetId, VersionId},
        rollout::Rollout,
        text::Raw,
        time::Time,
        wire::ActionRecord,
    },
    run::{Effect, Program},
    runtime::{Ask, Fault, Link, Runtime},
    term::decode::InputBatch,
    ui::look::{Look, Tone},
};
use futures::{Stream, StreamExt, stream};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color as Paint, Style},
};
use std::{thread, time::Duration};

/// Draws what it was told. Keys that start with a capital do something.
pub struct Tiny {
    look: Look,
    keys: String,
    size: (u16, u16),
    frames: u32,
    deltas: u32,
    link: String,
    dirty: bool,
    /// Changes by itself every second.
    ticking: bool,
    /// Changes all the time, everywhere.
    flooding: bool,
    now: Duration,
    effects: Vec<Effect>,
}

impl Tiny {
    pub fn new(look: Look, ticking: bool) -> Self {
        Self {
            look,
            keys: String::new(),
            size: (0, 0),
            frames: 0,
            deltas: 0,
            link: String::new(),
            dirty: true,
            ticking,
            flooding: false,
            now: Duration::ZERO,
            effects: Vec::new(),
        }
    }
}

impl Program for Tiny {
    fn input(&mut self, batch: &InputBatch, _at: Duration) {
        self.dirty = true;
        for typed in &batch.typed {
            match &typed.input {
                Input::Paste(text) => self.keys.push_str(&format!("<{text}>")),
                Input::Key(k) => match k.code {
                    Code::Char('q') => self.effects.push(Effect::Quit),
                    Code::Char('l') if k.ctrl => self.effects.push(Effect::Redraw),
                    Code::Char('P') => panic!("boom in the loop"),
                    Code::Char('T') => drop(tokio::spawn(async { panic!("boom in a task") })),
                    Code::Char('H') => {
                        rustix::io::write(rustix::stdio::stdout(), b"\x07").unwrap();
                        loop {
                            thread::sleep(Duration::from_secs(1));
                        }
                    }
                    Code::Char('E') => eprintln!("a library says something"),
                    Code::Char('F') => self.flooding = !self.flooding,
                    Code::Char('Y') => self.effects.push(Effect::Copy("hi".into())),
                    Code::Char('Z') => self.effects.push(Effect::Suspend),
                    Code::Char(c) => self.keys.push(c),
                    Code::F(n) => self.keys.push_str(&format!("F{n}")),
                    other => self.keys.push_str(&format!("{other:?}")),
                },
            }
        }
    }

    fn delta(&mut self, _: &TargetId, _: Delta) {
        self.deltas += 1;
        self.dirty = true;
    }

    fn link(&mut self, _: &TargetId, link: Link) {
        self.link = format!("{link:?}").split_whitespace().next().unwrap_or_default().to_owned();
        self.dirty = true;
    }

    fn logs(&mut self, _: Vec<LogLine>, _: u64) {}
    fn outcome(&mut self, _: &ActionId, _: Outcome) {}
    fn resolved(&mut self, _: &ActionId, _: Option<Outcome>) {}
    fn resumed(&mut self) {}
    fn due(&mut self) {}

    fn tick(&mut self, _: Time, uptime: Duration) {
        self.dirty |= self.ticking && uptime.as_secs() != self.now.as_secs();
        self.now = uptime;
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        self.size = (cols, rows);
        self.dirty = true;
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn dirty(&self) -> bool {
        self.dirty || self.flooding
    }

    fn next_wake(&self) -> Option<Duration> {
        self.ticking.then(|| Duration::from_secs(self.now.as_secs() + 1))
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer) {
        self.dirty = false;
        self.frames += 1;
        if self.flooding {
            for y in 3..area.height {
                let line: String = (0..area.width).map(|x| char::from(b'a' + ((u32::from(x + y) + self.frames) % 26) as u8)).collect();
                buf.set_string(0, y, line, Style::new());
            }
        }
        let line = format!("size {}x{} keys [{}]", self.size.0, self.size.1, self.keys);
        buf.set_stringn(0, 0, line, area.width.into(), Style::new());
        if area.height > 1 {
            let second = if self.ticking { format!("second {}", self.now.as_secs()) } else { String::new() };
            buf.set_stringn(0, 1, format!("alert {second}"), area.width.into(), self.look.style(Tone::Alert));
        }
        if area.height > 2 {
            let style = if self.look.color { Style::new().fg(Paint::Red) } else { Style::new() };
            buf.set_stringn(
                0,
                2,
                format!("red {} {} deltas", self.link, self.deltas),
                area.width.into(),
                self.look.style(Tone::Bad).patch(style),
            );
        }
    }

    fn painted(&mut self, _: Duration) {}
}

/// 10,000 points a second of one version, and nothing else.
pub struct Flood;

impl Runtime for Flood {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let key = Key { target: TargetId::new("flood"), scope: vec![], service: Raw::new("a"), uid: None };
        let at = DateTime::from_timestamp(0, 0).unwrap();
        let point = Point { at, secs: 1, requests: 1, errors: 0, slow: 0, p50: None, p99: None };
        let delta = Delta::Point { key, version: VersionId::new("v"), point };
        stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some(((), ()))
        })
        .flat_map(move |()| stream::iter(vec![Ok(delta.clone()); 100]))
    }

    fn plan(&self, _: &Rollout, _: &Ask) -> Result<Plan, Refusal> {
        Err(Refusal::ReadOnly)
    }

    async fn apply(&self, _: &Plan) -> Outcome {
        Outcome::Refused { refusal: Refusal::ReadOnly }
    }

    async fn resolve(&self, _: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        Ok(None)
    }

    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Confirmed
    }
}
