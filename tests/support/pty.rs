//! A program in a real PTY, and what a terminal would show of it.

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{Read, Write},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Every wait ends after this: two busy cores are slow, a hang is longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A program that runs in a PTY.
pub struct Pty {
    pub parser: vt100::Parser,
    /// Everything that came out so far.
    pub bytes: Vec<u8>,
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    output: Receiver<Vec<u8>>,
    reading: Arc<(Mutex<Reading>, Condvar)>,
    modes_before: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Reading {
    Go,
    Pause,
    Stop,
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

impl Pty {
    /// Starts a program as the leader of a new session on a new terminal.
    pub fn spawn(command: CommandBuilder, cols: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(size(cols, rows)).unwrap();
        let modes_before = format!("{:?}", pair.master.get_termios().unwrap());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let (tx, output) = channel();
        let reading = Arc::new((Mutex::new(Reading::Go), Condvar::new()));
        let gate = Arc::clone(&reading);
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            loop {
                let state = gate.1.wait_while(gate.0.lock().unwrap(), |r| *r == Reading::Pause).unwrap();
                if *state == Reading::Stop {
                    break;
                }
                drop(state);
                match reader.read(&mut buffer) {
                    Ok(n) if n > 0 && tx.send(buffer[..n].to_vec()).is_ok() => {}
                    _ => break,
                }
            }
        });
        let parser = vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0);
        Self { parser, bytes: Vec::new(), child, master: Some(pair.master), writer: Some(writer), output, reading, modes_before }
    }

    /// Takes what has come out, for at most `wait` if nothing has.
    pub fn pump(&mut self, wait: Duration) -> bool {
        let Ok(first) = self.output.recv_timeout(wait) else { return false };
        for bytes in std::iter::once(first).chain(self.output.try_iter()) {
            self.parser.process(&bytes);
            self.bytes.extend(bytes);
        }
        true
    }

    /// Waits until something is true; says what is on the screen when it never is.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut f: impl FnMut(&mut Self) -> bool) -> Duration {
        let began = Instant::now();
        while !f(self) {
            assert!(began.elapsed() < PATIENCE, "never: {what}\nthe screen is\n{}", self.screen());
            if !self.pump(Duration::from_millis(20)) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        began.elapsed()
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> Duration {
        self.until(&format!("{text:?} is shown"), |p| p.screen().contains(text))
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        self.parser.screen().contents()
    }

    /// Whether these bytes have come out since `from`.
    pub fn wrote(&self, from: usize, text: &str) -> bool {
        self.bytes[from..].windows(text.len()).any(|w| w == text.as_bytes())
    }

    /// Types, in one write.
    pub fn keys(&mut self, keys: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(keys.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.master.as_ref().unwrap().resize(size(cols, rows)).unwrap();
        self.parser.screen_mut().set_size(rows.try_into().unwrap(), cols.try_into().unwrap());
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap().cast_signed()).unwrap()
    }

    /// Signals the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let mut status = None;
        self.until("the process ends", |p| {
            status = p.child.try_wait().unwrap();
            status.is_some()
        });
        // The reader ends when nobody holds the terminal any more and everything was read.
        let began = Instant::now();
        while Arc::strong_count(&self.reading) > 1 && began.elapsed() < PATIENCE {
            self.pump(Duration::from_millis(5));
        }
        while self.pump(Duration::ZERO) {}
        status.unwrap()
    }

    /// The terminal's modes: those it had before the program, and those it has now.
    pub fn modes(&self) -> (String, String) {
        (self.modes_before.clone(), format!("{:?}", self.master.as_ref().unwrap().get_termios().unwrap()))
    }

    /// Asserts that nothing of the program is left on the terminal.
    #[track_caller]
    pub fn assert_restored(&self) {
        let (before, now) = self.modes();
        assert_eq!(now, before, "modes");
        assert!(!self.parser.screen().alternate_screen() && !self.parser.screen().hide_cursor(), "screen and cursor");
        assert!(!self.parser.screen().bracketed_paste(), "bracketed paste");
        for leave in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l"] {
            assert!(self.wrote(0, leave), "{leave:?} was never written");
        }
    }

    /// Lets the terminal take nothing, or again everything.
    pub fn stall(&mut self, stalled: bool) {
        self.set(if stalled { Reading::Pause } else { Reading::Go });
    }

    /// Closes the terminal, as when its window is closed. `provoke` must make the program write.
    pub fn close(&mut self, provoke: &str) {
        self.set(Reading::Stop);
        self.keys(provoke);
        // The reader holds the terminal open until it has read that.
        let began = Instant::now();
        while Arc::strong_count(&self.reading) > 1 {
            assert!(began.elapsed() < PATIENCE, "the reader never stopped");
            thread::sleep(Duration::from_millis(1));
        }
        (self.writer, self.master) = (None, None);
    }

    fn set(&self, reading: Reading) {
        *self.reading.0.lock().unwrap() = reading;
        self.reading.1.notify_all();
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.set(Reading::Stop);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of CPU that a process has used, all threads together.
pub fn cpu(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// How often the threads of a process went to sleep by themselves.
pub fn wakeups(pid: Pid) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    tasks
        .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("status")).ok())
        .filter_map(|s| s.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()))
        .sum()
}

/// Resident megabytes.
pub fn resident(pid: Pid) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.as_raw_nonzero())).unwrap_or_default();
    let kb = rollup.lines().find_map(|l| l.strip_prefix("Rss:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}
