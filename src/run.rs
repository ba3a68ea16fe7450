//! The loop: the only place where the console waits, and the owner of the program's state while it runs.
//!
//! Order of a turn: signals, the end of a frame, keys (everything that can be read, then drawn at
//! once), answers to actions, changes (at most 512 or 4 ms), whatever is due. The next wake-up is
//! computed, there is no ticker. Nothing is waited for inside a turn.
//!
//! Frames: one is under way at most ([`term::output`]). After a change the next is drawn 16 ms after
//! the last at the earliest, later if writing takes long.

mod followed;
pub mod mailbox;
pub mod port;
pub mod tasks;

use crate::{
    app::state::{Code, Input, KeyPress},
    clock::Clock,
    model::{
        action::{Outcome, Plan},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, TargetId},
        time::Time,
    },
    runtime::Link,
    term::{
        self, Unusable,
        ability::{Environment, Sync},
        canvas::Canvas,
        clipboard,
        decode::InputBatch,
        input::{Keyboard, Read},
        output::{Output, Written},
        session::{self, Session},
        signal::{Caught, Signals},
    },
};
use futures::FutureExt;
use mailbox::{Letter, Mailbox};
use port::Place;
use ratatui::{buffer::Buffer, layout::Rect};
use std::{pin::Pin, sync::Arc, time::Duration};
use tasks::{Answer, Tasks};
use tokio::time::{Sleep, sleep};

/// What the loop runs: synchronous, total, the only mutator of its state.
///
/// [`Program::tick`] is called before anything else is, so that it always knows the time.
pub trait Program {
    /// Keys that were read together at `at` ([`Clock::uptime`]).
    fn input(&mut self, batch: &InputBatch, at: Duration);
    /// Something changed at a target.
    fn delta(&mut self, target: &TargetId, delta: Delta);
    /// A target is connected otherwise than before.
    fn link(&mut self, target: &TargetId, link: Link);
    /// Log lines of the stream that [`Effect::WatchLogs`] asked for, and how many before them were dropped.
    fn logs(&mut self, lines: Vec<LogLine>, dropped: u64);
    /// What was answered to an action.
    fn outcome(&mut self, id: &ActionId, outcome: Outcome);
    /// What [`Effect::Resolve`] found; `None` when the target has never heard of the action.
    fn resolved(&mut self, id: &ActionId, outcome: Option<Outcome>);
    /// Back from a stop or a stalled write: what was typed before is thrown away, and what was on the
    /// screen may not be any more.
    fn resumed(&mut self);
    /// The time that [`Program::next_wake`] named has come, and nothing that was typed waits.
    fn due(&mut self);
    /// The time.
    fn tick(&mut self, now: Time, uptime: Duration);
    /// The size of the terminal.
    fn resize(&mut self, cols: u16, rows: u16);
    /// What it wants done since it was asked last.
    fn take_effects(&mut self) -> Vec<Effect>;
    /// Whether the screen no longer shows its state.
    fn dirty(&self) -> bool;
    /// When something on the screen changes by itself ([`Clock::uptime`]); `None` if nothing does.
    fn next_wake(&self) -> Option<Duration>;
    /// Draws its state. It is not dirty from then on, until something changes.
    fn draw(&mut self, area: Rect, buf: &mut Buffer);
    /// The terminal has taken everything that keys have changed so far, at `at` ([`Clock::uptime`]).
    /// Not called for a frame that was drawn before a key changed something: another one follows it.
    fn painted(&mut self, at: Duration);
}

/// What a program wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send an action; [`Program::outcome`] follows.
    Send {
        /// Where.
        target: TargetId,
        /// What.
        plan: Box<Plan>,
    },
    /// Ask what became of an action whose answer was lost; [`Program::resolved`] follows if the target answers.
    Resolve {
        /// Where.
        target: TargetId,
        /// Which.
        id: ActionId,
    },
    /// Follow the logs of this rollout and of no other.
    WatchLogs(Option<(TargetId, Key)>),
    /// Copy a text through the terminal; longer than [`clipboard::COPY_LIMIT`] it is not copied.
    Copy(String),
    /// Give the terminal back and stop, as ctrl-z does in the shell. (Ctrl-z itself never reaches the program.)
    Suspend,
    /// Paint everything again.
    Redraw,
    /// End.
    Quit,
}

/// What the loop is made of.
pub struct Wiring<'a, P> {
    /// What it runs.
    pub program: &'a mut P,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// What it watches.
    pub places: Vec<Place>,
    /// Where it runs.
    pub environment: Environment,
    /// Whether frames are wrapped in synchronised updates.
    pub sync: Sync,
    /// For the pauses between attempts to connect.
    pub seed: u64,
}

/// Why the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The program wanted it.
    Quit,
    /// A signal.
    Signal(Caught),
    /// The terminal is gone.
    Closed,
    /// A thread or task panicked; the message is on the terminal.
    Panicked,
}

impl End {
    /// The exit code of the process: 0, 128 and the signal's number (a closed terminal counts as
    /// SIGHUP), or 101 after a panic.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Quit => 0,
            Self::Signal(caught) => caught.exit_code().unwrap_or(0),
            Self::Closed => 129,
            Self::Panicked => 101,
        }
    }
}

/// Never reaches the program: it stops the process as in any other program of a shell.
const CTRL_Z: KeyPress = KeyPress { code: Code::Char('z'), ctrl: true, alt: false };
/// Between two frames at least, when keys do not ask for one.
const FRAME: Duration = Duration::from_millis(16);
/// A write that takes longer than this says that the link is slow.
const SLOW_WRITE: Duration = Duration::from_millis(20);
/// Keys that come while a frame has been under way for longer than this wait for its end: nobody
/// has seen what they answer.
const HOLD_KEYS: Duration = Duration::from_millis(100);
/// A write that takes as long as this was a stall: what was typed meanwhile is thrown away.
const STALL: Duration = Duration::from_secs(2);
/// After a stall or a stop, keys that come as late as this are still old.
const SETTLE: Duration = Duration::from_millis(100);
/// Batches of keys that wait for the end of a frame at most.
const HELD: usize = 64;
/// Changes taken at once at most.
const DELTAS: usize = 512;
/// From the first change to when it is looked at: what a source says at once arrives in pieces, and
/// is one frame.
const GATHER: Duration = Duration::from_millis(3);
/// Time spent on changes at once at most.
const DRAIN: Duration = Duration::from_millis(4);

/// Runs a program in the terminal until it ends. Sources are connected after the first frame.
///
/// Meant for a `current_thread` runtime on the main thread: it costs the fewest wake-ups, and only there
/// it is certain that keys typed while the process was stopped are thrown away.
///
/// # Errors
/// When there is no usable terminal; nothing was changed then.
pub async fn run<P: Program>(wiring: Wiring<'_, P>) -> Result<End, Unusable> {
    let Wiring { program, clock, places, environment, sync, seed } = wiring;
    environment.check()?;
    let signals = Signals::listen().map_err(|source| Unusable::Io { what: "listen to signals beside", source })?;
    term::signal::watchdog().map_err(|source| Unusable::Io { what: "watch over", source })?;
    let session = Session::claim()?;
    let mailbox = Arc::new(Mailbox::default());
    let (cols, rows) = session::size();
    let mut canvas = Canvas::new(cols, rows);
    canvas.synchronise(sync == Sync::On);
    let mut this = Loop {
        program,
        signals,
        keyboard: Keyboard::new().map_err(|source| Unusable::Io { what: "read from", source })?,
        output: Output::terminal(Arc::clone(&clock)).map_err(|source| Unusable::Io { what: "write to", source })?,
        canvas,
        tasks: Tasks::new(places, Arc::clone(&clock), Arc::clone(&mailbox)),
        clock,
        mailbox,
        session,
        sync,
        tmux: environment.tmux,
        timer: Box::pin(sleep(Duration::ZERO)),
        stopped: false,
        resized: false,
        outdated: false,
        control: Vec::new(),
        read: None,
        held: Vec::new(),
        deaf_until: Duration::ZERO,
        frame_at: Duration::ZERO,
        interval: FRAME,
        mail: false,
        mail_at: Duration::ZERO,
        turn: 0,
        end: None,
    };
    this.tick();
    this.program.resize(cols, rows);
    this.paint(true);
    this.tasks.watch(seed);
    let end = this.go().await;
    drop(this.keyboard);
    drop(this.session);
    term::signal::loop_ended();
    this.tasks.finish().await;
    Ok(end)
}

/// What the loop woke up for.
enum Woken {
    Panicked,
    Signal(Caught),
    Written(Written),
    Typed(Read),
    Answered(Answer),
    Mail,
    Due,
}

struct Loop<'a, P> {
    program: &'a mut P,
    clock: Arc<dyn Clock>,
    session: Session,
    signals: Signals,
    keyboard: Keyboard,
    output: Output,
    canvas: Canvas,
    mailbox: Arc<Mailbox>,
    tasks: Tasks,
    sync: Sync,
    tmux: bool,
    timer: Pin<Box<Sleep>>,
    /// Waiting for SIGCONT.
    stopped: bool,
    /// The size must be read again.
    resized: bool,
    /// A key has changed something since the frame under way was drawn.
    outdated: bool,
    /// Bytes that go out with the next frame.
    control: Vec<u8>,
    /// What was read before a signal that goes first.
    read: Option<Read>,
    /// Keys that wait for the end of the frame under way.
    held: Vec<(InputBatch, Duration)>,
    /// Keys read before this are thrown away.
    deaf_until: Duration,
    frame_at: Duration,
    interval: Duration,
    /// Something waits in the mailbox, and when it is looked at.
    mail: bool,
    mail_at: Duration,
    turn: usize,
    end: Option<End>,
}

impl<P: Program> Loop<'_, P> {
    async fn go(&mut self) -> End {
        loop {
            if let Some(end) = self.end {
                return end;
            }
            let mut at_once = false;
            self.arm();
            let woken = self.next().await;
            self.tick();
            match woken {
                Woken::Panicked => return End::Panicked,
                Woken::Signal(caught) => self.signal(caught),
                Woken::Written(written) => self.written(&written),
                Woken::Typed(Read::Closed) => return End::Closed,
                Woken::Typed(Read::Batch(batch, at)) => at_once = self.typed(batch, at),
                Woken::Answered(Answer::Outcome(id, outcome)) => self.program.outcome(&id, outcome),
                Woken::Answered(Answer::Resolved(id, outcome)) => self.program.resolved(&id, outcome),
                Woken::Mail => {
                    self.mail = true;
                    self.mail_at = self.mail_at.max(self.clock.uptime() + GATHER);
                }
                Woken::Due => self.program.due(),
            }
            self.effects();
            self.drain();
            self.effects();
            if self.end.is_none() {
                self.paint(at_once);
            }
        }
    }

    async fn next(&mut self) -> Woken {
        if let Some(read) = self.read.take() {
            return Woken::Typed(read);
        }
        let Self { signals, output, keyboard, tasks, mailbox, timer, clock, stopped, mail, .. } = self;
        let woken = tokio::select! {
            biased;
            () = session::panicked() => Woken::Panicked,
            caught = signals.next() => Woken::Signal(caught),
            written = output.written() => Woken::Written(written),
            read = keyboard.read(&**clock), if !*stopped => Woken::Typed(read),
            answer = tasks.answer() => Woken::Answered(answer),
            () = mailbox.arrived(), if !*mail => Woken::Mail,
            () = timer => Woken::Due,
        };
        let Woken::Typed(read) = woken else { return woken };
        // Keys may have been noticed before the SIGCONT that came with them: look once more.
        tokio::task::yield_now().await;
        match signals.next().now_or_never() {
            None => Woken::Typed(read),
            Some(caught) => {
                self.read = (caught != Caught::Continue).then_some(read);
                Woken::Signal(caught)
            }
        }
    }

    fn tick(&mut self) {
        let (now, uptime) = self.tasks.now();
        self.program.tick(now, uptime);
    }

    /// Sets the timer to whatever is due first.
    fn arm(&mut self) {
        let now = self.clock.uptime();
        let frame = (self.wants_frame() && self.can_paint()).then_some(self.frame_at);
        let mail = self.mail.then_some(self.mail_at);
        // A program that asks for the past is asked again soon, not at once.
        let wake = self.program.next_wake().map(|at| at.max(now + Duration::from_millis(5)));
        let due = [frame, mail, wake].into_iter().flatten().min();
        let wait = due.map_or(Duration::from_secs(86_400), |at| at.saturating_sub(now));
        self.timer.set(sleep(wait));
    }

    fn signal(&mut self, caught: Caught) {
        match caught {
            Caught::Terminate | Caught::Hangup | Caught::Interrupt => self.end = Some(End::Signal(caught)),
            Caught::Resize => self.resized = true,
            Caught::Stop => self.stop(),
            Caught::Continue => self.resume(),
        }
    }

    fn stop(&mut self) {
        // Set first: SIGSTOP takes effect any time from now on, and SIGCONT is what ends it.
        self.stopped = true;
        self.stopped = self.session.stop();
    }

    fn resume(&mut self) {
        if self.session.reclaim().is_err() {
            return self.stop(); // continued in the background
        }
        self.stopped = false;
        self.resized = true;
        self.canvas.repaint();
        self.forget_keys();
    }

    /// What was typed so far was typed at something else than the screen.
    fn forget_keys(&mut self) {
        self.held.clear();
        self.read = None;
        self.keyboard.discard();
        self.deaf_until = self.clock.uptime() + SETTLE;
        self.program.resumed();
    }

    fn written(&mut self, written: &Written) {
        if written.result.is_err() {
            self.end = Some(End::Closed);
            return;
        }
        let took = written.ended.saturating_sub(written.began);
        self.interval = interval(took);
        self.frame_at = self.frame_at.max(written.began + self.interval);
        if !std::mem::take(&mut self.outdated) {
            self.program.painted(written.ended);
        }
        if took >= STALL {
            tracing::warn!(seconds = took.as_secs(), "the terminal took nothing; what was typed meanwhile is thrown away");
            self.forget_keys();
        }
        for (batch, at) in std::mem::take(&mut self.held) {
            self.deliver(batch, at);
        }
    }

    /// True when the screen should follow at once.
    fn typed(&mut self, batch: InputBatch, at: Duration) -> bool {
        if let Some(known) = batch.synchronised
            && self.sync == Sync::Auto
        {
            self.canvas.synchronise(known);
        }
        if batch.typed.is_empty() && batch.dropped == 0 {
            return false;
        }
        if at < self.deaf_until {
            return false;
        }
        if self.output.under_way().is_some_and(|since| at.saturating_sub(since) > HOLD_KEYS) {
            if self.held.len() < HELD {
                self.held.push((batch, at));
            }
            return false;
        }
        self.deliver(batch, at);
        true
    }

    fn deliver(&mut self, mut batch: InputBatch, at: Duration) {
        let typed = batch.typed.len();
        batch.typed.retain(|t| t.input != Input::Key(CTRL_Z));
        if batch.typed.len() < typed {
            self.stop();
            if self.stopped {
                return; // what was typed with it was not meant for what will be on the screen
            }
        }
        let batch = &batch;
        self.program.input(batch, at);
        self.outdated |= self.output.under_way().is_some() && self.program.dirty();
    }

    fn effects(&mut self) {
        for effect in self.program.take_effects() {
            match effect {
                Effect::Send { target, plan } => self.tasks.send(&target, *plan),
                Effect::Resolve { target, id } => self.tasks.resolve(&target, id),
                Effect::WatchLogs(of) => self.tasks.logs(of),
                Effect::Copy(text) => match clipboard::copy(&text, self.tmux) {
                    Some(bytes) => self.control.extend(bytes),
                    None => tracing::warn!(bytes = text.len(), "too long to copy through the terminal"),
                },
                Effect::Suspend => self.stop(),
                Effect::Redraw => {
                    self.resized = true;
                    self.canvas.repaint();
                }
                Effect::Quit => self.end = Some(End::Quit),
            }
        }
    }

    /// Takes what waits in the mailbox, not more often than frames are drawn.
    fn drain(&mut self) {
        let began = self.clock.uptime();
        if !self.mail || began < self.mail_at {
            return;
        }
        self.mail_at = began + self.interval;
        // What arrived up to here is taken now: it is no reason to look again.
        let _ = self.mailbox.arrived().now_or_never();
        for _ in 0..DELTAS {
            self.turn = self.turn.wrapping_add(1);
            match self.mailbox.take(self.turn) {
                Some(Letter::Link(target, link)) => self.program.link(&target, link),
                Some(Letter::Delta(target, delta)) => self.program.delta(&target, delta),
                Some(Letter::Logs(lines, dropped)) => self.program.logs(lines, dropped),
                None => {
                    self.mail = false;
                    return;
                }
            }
            if self.clock.uptime().saturating_sub(began) > DRAIN {
                return;
            }
        }
    }

    fn can_paint(&self) -> bool {
        !self.stopped && self.output.under_way().is_none()
    }

    fn wants_frame(&self) -> bool {
        self.program.dirty() || self.canvas.wants_repaint() || self.resized || !self.control.is_empty()
    }

    fn paint(&mut self, at_once: bool) {
        let now = self.clock.uptime();
        if !self.can_paint() || !self.wants_frame() || (now < self.frame_at && !at_once) {
            return;
        }
        if std::mem::take(&mut self.resized) {
            let (cols, rows) = session::size();
            if self.canvas.resize(cols, rows) {
                self.program.resize(cols, rows);
            }
        }
        let mut frame = self.output.buffer();
        let program = &mut *self.program;
        if self.canvas.frame(&mut frame, |area, buf| program.draw(area, buf)).is_err() {
            frame.clear(); // memory takes every write
        }
        frame.append(&mut self.control);
        self.outdated = false;
        self.frame_at = now + self.interval;
        if frame.is_empty() {
            self.program.painted(now);
        }
        if let Some(written) = self.output.send(frame) {
            self.written(&written);
        }
    }
}

/// Between two frames on a link that took so long for the last one.
fn interval(took: Duration) -> Duration {
    if took > SLOW_WRITE { (took * 2).min(Duration::from_secs(1)) } else { FRAME }
}

#[cfg(test)]
mod tests {
    use super::{FRAME, interval};
    use std::time::Duration;

    #[test]
    fn a_slow_link_gets_fewer_frames() {
        for (took, every) in [(0, 16), (20, 16), (21, 42), (300, 600), (5_000, 1_000)] {
            assert_eq!(interval(Duration::from_millis(took)).as_millis(), every, "{took} ms");
        }
        assert_eq!(interval(Duration::ZERO), FRAME);
    }
}
