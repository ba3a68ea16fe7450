//! What a console hears when it joins a story near its end, for whole-screen snapshots of every story:
//! `CUTOVER_STORIES=$PWD/tests/data/stories cargo test stories_are_recorded`, of one story only with
//! `CUTOVER_STORY=leak` beside it.

use super::{
    Person,
    demo::{demo, shows_within},
};
use cutover::{
    clock::SystemClock,
    model::ident::TargetId,
    runtime::{Runtime, host::HostRuntime},
};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// Each story, how much faster it is told, and the second of it that is kept.
const MOMENTS: [(&str, &str, u64); 18] = [
    ("fleet", "2", 55),
    ("errors", "2", 40),
    ("healthy", "1", 28),
    ("both-sick", "1", 45),
    ("p99", "1", 45),
    ("crash-loop", "2", 22),
    ("blue-green", "1", 20),
    ("rolling", "1", 14),
    ("recreate", "1", 12),
    ("leak", "2", 52),
    ("sick-instance", "2", 45),
    ("never-ready", "2", 22),
    ("delayed-crash", "3", 50),
    ("flaky", "2", 20),
    ("cold-start", "1", 20),
    ("unsafe-migration", "2", 20),
    ("rush-hour", "1", 22),
    ("auto-revert", "2", 30),
];

#[test]
fn the_stories_are_recorded_when_asked_for() {
    let Some(place) = std::env::var_os("CUTOVER_STORIES").map(PathBuf::from) else { return };
    let only = std::env::var("CUTOVER_STORY").ok();
    let left = MOMENTS.into_iter().filter(|(name, ..)| only.as_ref().is_none_or(|only| only == name));
    let left = Mutex::new(left.collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                loop {
                    let Some((name, speed, seconds)) = left.lock().unwrap().pop() else { return };
                    record(name, speed, Duration::from_secs(seconds), &place);
                }
            });
        }
    });
}

fn record(name: &str, speed: &str, moment: Duration, place: &Path) {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut pty = demo(dir.path(), &["--scenario", name, "--speed", speed], 80, 24);
    shows_within(&mut pty, "live", Duration::from_secs(30));
    pty.waits(moment);
    let own = fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.path()).find(|p| p.join("host.sock").exists()).unwrap();
    let mut out = GzEncoder::new(File::create(place.join(format!("{name}.jsonl.gz"))).unwrap(), Compression::best());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = HostRuntime::new(TargetId::new("demo"), own.join("host.sock"), Arc::new(SystemClock::start())).unwrap();
        let mut deltas = Box::pin(client.watch());
        let end = tokio::time::Instant::now() + Duration::from_millis(2_500);
        while let Ok(Some(delta)) = tokio::time::timeout_at(end, deltas.next()).await {
            let line = serde_json::to_string(&delta.unwrap()).unwrap().replace(own.to_str().unwrap(), "/tmp/cutover-demo");
            writeln!(out, "{line}").unwrap();
        }
    });
    out.finish().unwrap();
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
    println!("{name} is recorded");
}
