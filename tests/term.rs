//! The terminal's life: claimed, painted, resized, stopped, closed, given back on every way out.
//!
//! The program under test is this test binary itself: [`the_program`] runs the loop with a tiny
//! program when it is started with [`PLAY`] in its environment.

mod tiny;

use crate::support::pty::{PATIENCE, Pty, cpu, wakeups};
use cutover::{
    clock::{Clock, SystemClock},
    model::ident::TargetId,
    run::{Wiring, port::Place, run},
    term::ability::{Color, Environment, Sync},
};
use portable_pty::CommandBuilder;
use rustix::process::Signal;
use std::{
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tiny::{Flood, Tiny};

/// Set in the environment of the program under test; its value is how it plays.
const PLAY: &str = "CUTOVER_TEST_PLAY";

#[test]
fn the_program() {
    let Ok(play) = std::env::var(PLAY) else { return };
    if play.contains("deaf to hup") {
        let mut hup = nix::sys::signal::SigSet::empty();
        hup.add(nix::sys::signal::Signal::SIGHUP);
        hup.thread_block().unwrap();
    }
    let environment = Environment::read();
    let mut program = Tiny::new(environment.look(Color::Auto, None), play.contains("ticking"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let places = if play.contains("flooded") {
        vec![Place { target: TargetId::new("flood"), name: "flood".into(), port: Arc::new(Flood) }]
    } else {
        Vec::new()
    };
    let wiring = Wiring { program: &mut program, clock, places, environment, sync: Sync::Auto, seed: 1 };
    let code = match runtime.block_on(run(wiring)) {
        Ok(end) => end.exit_code(),
        Err(e) => {
            eprintln!("{e}");
            2
        }
    };
    std::process::exit(code.into());
}

fn command(play: &str) -> CommandBuilder {
    let exe = std::fs::read_link("/proc/self/exe").unwrap();
    let mut command = CommandBuilder::new(exe);
    command.args(["--exact", "term::the_program", "--nocapture", "--test-threads=1", "--quiet"]);
    command.env_clear();
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("RUST_BACKTRACE", "0"), (PLAY, play)]
    {
        command.env(name, value);
    }
    command
}

fn start() -> Pty {
    started(command("plain"))
}

fn started(command: CommandBuilder) -> Pty {
    let mut pty = Pty::spawn(command, 80, 24);
    pty.shows("keys []");
    pty
}

#[test]
fn first_paint_and_quit() {
    let began = Instant::now();
    let mut pty = start();
    println!("first paint {:?} after spawn (test binary, debug build)", began.elapsed());
    let screen = pty.parser.screen();
    assert!(screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste());
    assert_ne!(pty.modes().0, pty.modes().1, "raw");
    assert!(pty.screen().starts_with("size 80x24"));
    assert!(!pty.wrote(0, "\x1b[6n") && !pty.wrote(0, "\x1b[?1000h") && !pty.wrote(0, "\x1b[?1004h"), "no cursor query, mouse or focus");
    pty.keys("q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn keys_are_painted_at_once() {
    key_to_paint("plain");
}

#[test]
fn keys_are_painted_at_once_while_changes_pour_in() {
    key_to_paint("flooded");
}

fn key_to_paint(play: &str) {
    let mut pty = started(command(play));
    if play == "flooded" {
        pty.shows("Live");
    }
    let mut took: Vec<Duration> = (1..=40)
        .map(|n| {
            pty.keys("x");
            let took = pty.shows(&format!("[{}]", "x".repeat(n)));
            thread::sleep(Duration::from_millis(5 + (n as u64 * 7) % 23)); // another phase of any ticker
            took
        })
        .collect();
    took.sort();
    println!("{play}: key to paint: median {:?}, p95 {:?} (40 keys, debug build, polled at 1 ms)", took[20], took[38]);
    assert!(took[20] < Duration::from_millis(500), "keys starve");
    if play == "flooded" {
        let deltas = |p: &Pty| p.screen().split_whitespace().rev().nth(1).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        pty.until("changes are taken too", |p| deltas(p) > 5_000);
    }
}

#[test]
fn signals_end_it_and_give_the_terminal_back() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let mut pty = start();
        pty.signal(signal);
        assert_eq!(pty.ends().exit_code(), code, "{signal:?}");
        pty.assert_restored();
    }
}

#[test]
fn a_loop_that_hangs_is_ended_all_the_same() {
    let hung = || {
        let mut pty = start();
        pty.keys("H");
        pty.until("it hangs", |p| p.wrote(0, "\x07"));
        pty
    };
    let mut pty = hung();
    pty.signal(Signal::TERM);
    assert_eq!(pty.ends().exit_code(), 143, "after the grace");
    pty.assert_restored();
    let mut pty = hung();
    pty.signal(Signal::INT);
    let tasks = format!("/proc/{}/task", pty.pid().as_raw_nonzero());
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    // Two equal signals at once are one.
    pty.until("the first is taken", |_| std::fs::read_dir(&tasks).unwrap().filter_map(name).any(|n| n.trim() == "grace"));
    let began = Instant::now();
    pty.signal(Signal::INT);
    assert_eq!(pty.ends().exit_code(), 130);
    assert!(began.elapsed() < Duration::from_millis(2_500), "the second one is hard, not the grace: {:?}", began.elapsed());
    pty.assert_restored();
}

#[test]
fn a_panic_gives_the_terminal_back_and_prints_its_message() {
    for (key, message) in [("P", "boom in the loop"), ("T", "boom in a task")] {
        let mut pty = start();
        pty.keys(key);
        assert_eq!(pty.ends().exit_code(), 101);
        assert!(pty.screen().contains(message), "{}", pty.screen());
        pty.assert_restored();
    }
}

#[test]
fn nothing_on_standard_error_tears_the_screen() {
    let mut pty = start();
    pty.keys("Ex");
    pty.shows("[x]");
    assert!(!pty.wrote(0, "a library says"));
    pty.keys("q");
    pty.ends();
}

#[test]
fn a_storm_of_sizes_ends_at_the_last_one() {
    let mut pty = start();
    for n in 0..50 {
        pty.resize(40 + n, 5 + n / 2);
    }
    pty.resize(100, 30);
    pty.shows("size 100x30");
    pty.keys("x");
    pty.shows("[x]");
    for (cols, rows) in [(1, 1), (2, 1), (300, 100), (80, 24)] {
        pty.resize(cols, rows);
        thread::sleep(Duration::from_millis(30));
    }
    pty.shows("size 80x24 keys [x]");
    pty.keys("q");
    assert_eq!(pty.ends().exit_code(), 0);
}

#[test]
fn a_redraw_asks_nothing_and_takes_no_time() {
    let mut pty = start();
    for _ in 0..3 {
        let from = pty.bytes.len();
        pty.keys("\x0c");
        let took = pty.until("everything is painted again", |p| p.wrote(from, "\x1b[2J") && p.wrote(from, "80x24"));
        println!("redraw after {took:?}");
        assert!(took < Duration::from_millis(1_500), "a cursor query stalls for 2 s: {took:?}");
    }
    assert!(!pty.wrote(0, "\x1b[6n"));
}

#[test]
fn no_color_keeps_attributes() {
    let mut plain = command("plain");
    plain.env("NO_COLOR", "1");
    for (command, color) in [(plain, false), (command("plain"), true)] {
        let pty = started(command);
        let cell = |row, col| pty.parser.screen().cell(row, col).unwrap().clone();
        assert!(cell(1, 0).inverse() && cell(1, 0).bold(), "the alert is reversed and bold");
        assert!(cell(2, 0).bold());
        assert_eq!(cell(2, 0).fgcolor() == vt100::Color::Default, !color);
        assert!(!pty.wrote(0, "\x1b[;m"));
    }
}

#[test]
fn without_a_usable_terminal_it_says_so() {
    let exe = std::fs::read_link("/proc/self/exe").unwrap();
    let output = Command::new(exe)
        .args(["--exact", "term::the_program", "--nocapture", "--test-threads=1", "--quiet"])
        .env(PLAY, "plain")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no terminal: standard input is not one"), "{said}");
    let mut dumb = command("plain");
    dumb.env("TERM", "dumb");
    let mut pty = Pty::spawn(dumb, 80, 24);
    assert_eq!(pty.ends().exit_code(), 2);
    assert!(pty.screen().contains("TERM is dumb"), "{}", pty.screen());
    assert!(!pty.wrote(0, "\x1b["), "nothing is drawn on it");
}

#[test]
fn ctrl_z_stops_it_and_fg_brings_it_back() {
    let mut shell = command("plain");
    let argv: Vec<String> = shell.get_argv().iter().map(|a| a.to_string_lossy().into_owned()).collect();
    *shell.get_argv_mut() = ["/bin/sh", "-i"].into_iter().map(Into::into).collect();
    shell.env("PS1", "shell> ");
    for stop in ["\x1a", "Z"] {
        let mut pty = Pty::spawn(shell.clone(), 80, 24);
        pty.shows("shell> ");
        pty.keys(&format!("{}\n", argv.join(" ")));
        pty.shows("keys []");
        pty.keys("abc");
        pty.shows("[abc]");
        pty.keys(stop);
        pty.until("it is stopped", |p| p.screen().to_lowercase().contains("stopped"));
        assert!(!pty.parser.screen().alternate_screen() && !pty.parser.screen().hide_cursor());
        pty.keys("echo $((6*7))\n");
        pty.shows("42");
        pty.keys("fg\nRRR"); // typed before it is there again
        pty.until("it is painted again", |p| p.parser.screen().alternate_screen() && p.screen().contains("keys [abc]"));
        assert!(pty.parser.screen().hide_cursor());
        thread::sleep(Duration::from_millis(200)); // what is typed within 100 ms is thrown away
        pty.keys("d");
        pty.shows("[abcd]");
        pty.keys("q");
        pty.until("the shell is back", |p| !p.parser.screen().alternate_screen());
        pty.keys("exit\n");
        pty.ends();
    }
}

#[test]
fn without_a_shell_above_ctrl_z_does_nothing() {
    let mut pty = start();
    pty.keys("\x1a");
    pty.keys("x");
    pty.shows("[x]");
    pty.signal(Signal::TSTP);
    pty.keys("y");
    pty.shows("[xy]");
    assert!(pty.parser.screen().alternate_screen());
}

#[test]
fn stopped_and_continued_from_outside_it_paints_everything_again() {
    let mut pty = start();
    pty.keys("abc");
    pty.shows("[abc]");
    pty.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", pty.pid().as_raw_nonzero());
    pty.until("it is stopped", |_| std::fs::read_to_string(&stat).unwrap().contains(") T "));
    let from = pty.bytes.len();
    pty.signal(Signal::CONT);
    // That keys typed meanwhile are thrown away is certain on the main thread only; here it is another.
    pty.until("it is painted again", |p| p.wrote(from, "\x1b[?1049h") && p.wrote(from, "[abc"));
    thread::sleep(Duration::from_millis(200));
    pty.keys("d");
    pty.shows("[abcd]");
}

#[test]
fn a_closed_terminal_ends_it_without_spinning() {
    for play in ["plain", "deaf to hup"] {
        let mut pty = started(command(play));
        let (pid, before) = (pty.pid(), cpu(pty.pid()));
        pty.close("x");
        let began = Instant::now();
        let mut used = before;
        let status = loop {
            if let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
                if stat.contains(") Z ") {
                    break pty.ends();
                }
                used = used.max(cpu(pid));
            }
            assert!(began.elapsed() < PATIENCE, "{play}: it lives on");
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.exit_code(), 129, "{play}");
        println!("{play}: ended after {:?}, {:?} of CPU", began.elapsed(), used.saturating_sub(before));
        assert!(used.saturating_sub(before) < Duration::from_millis(500), "{play}: it spins");
    }
}

#[test]
fn idle_costs_nothing() {
    for (play, limit) in [("plain", 1.0), ("ticking", 3.5)] {
        let mut pty = started(command(play));
        while pty.pump(Duration::from_millis(200)) && play == "plain" {}
        let (pid, bytes) = (pty.pid(), pty.bytes.len());
        let (woken, used, began) = (wakeups(pid), cpu(pid), Instant::now());
        while began.elapsed() < Duration::from_secs(5) {
            pty.pump(Duration::from_millis(100));
        }
        let seconds = began.elapsed().as_secs_f64();
        let (woken, used, bytes) = ((wakeups(pid) - woken) as f64 / seconds, cpu(pid) - used, pty.bytes.len() - bytes);
        println!("{play}: {woken:.2} wake-ups/s, {used:?} of CPU in {seconds:.1} s, {bytes} bytes");
        assert!(woken <= limit, "{play}: {woken} wake-ups/s");
        assert!(used <= Duration::from_millis(100), "{play}: {used:?} of CPU");
        assert!(play != "plain" || bytes == 0, "{bytes} bytes while nothing changes");
    }
}

#[test]
fn synchronised_updates_only_when_the_terminal_knows_them() {
    let mut pty = start();
    assert!(pty.wrote(0, "\x1b[?2026$p"), "it asks");
    pty.keys("x");
    pty.shows("[x]");
    assert!(!pty.wrote(0, "\x1b[?2026h"), "and waits for no answer");
    pty.keys("\x1b[?2026;2$y");
    let from = pty.bytes.len();
    pty.keys("y");
    pty.shows("[xy]");
    pty.until("the update is closed", |p| p.wrote(from, "\x1b[?2026l"));
    let text = String::from_utf8_lossy(&pty.bytes[from..]).into_owned();
    assert!(text.starts_with("\x1b[?2026h") && text.ends_with("\x1b[?2026l"), "{text:?}");
}

#[test]
fn torn_keys_and_pastes() {
    let mut pty = start();
    pty.keys("\x1b");
    pty.shows("[Esc]");
    pty.keys("OR");
    thread::sleep(Duration::from_millis(150));
    pty.keys("\x1bO");
    thread::sleep(Duration::from_millis(150));
    pty.keys("R\x1b[200~RR\rq\x1b[201~x");
    pty.shows("x]");
    assert!(pty.screen().contains("[EscF3<RR"), "{}", pty.screen());
}

#[test]
fn a_copy_goes_through_the_terminal() {
    let mut pty = start();
    pty.keys("Y");
    pty.until("it is copied", |p| p.wrote(0, "\x1b]52;c;aGk=\x1b\\"));
}

#[test]
fn a_terminal_that_takes_nothing_neither_hangs_it_nor_keeps_old_keys() {
    let mut pty = Pty::spawn(command("plain"), 300, 100);
    pty.shows("keys []");
    pty.stall(true);
    pty.keys("F"); // from now on every frame is 30 kB
    thread::sleep(Duration::from_millis(1_000));
    pty.keys("RRR");
    thread::sleep(Duration::from_millis(2_000));
    pty.stall(false);
    thread::sleep(Duration::from_millis(500));
    pty.keys("F");
    pty.keys("x");
    pty.shows("[x]");
    // The same once more, and this time it must end.
    pty.stall(true);
    pty.keys("F");
    thread::sleep(Duration::from_millis(1_000));
    let began = Instant::now();
    pty.signal(Signal::TERM);
    let stat = format!("/proc/{}/stat", pty.pid().as_raw_nonzero());
    while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z ")) {
        assert!(began.elapsed() < PATIENCE, "it hangs in a write");
        thread::sleep(Duration::from_millis(10));
    }
    println!("ended {:?} after SIGTERM, with a terminal that takes nothing", began.elapsed());
    let (before, now) = pty.modes();
    assert_eq!(now, before);
    pty.stall(false);
    assert_eq!(pty.ends().exit_code(), 143);
}
