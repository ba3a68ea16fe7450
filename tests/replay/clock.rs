//! Where in the recording the server stands: it plays, or stands still until it is moved.

use std::{sync::Mutex, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Seconds since the start of the recording.
pub struct Clock {
    head: Mutex<Head>,
    /// Moves when somebody moves the head.
    moved: watch::Sender<u64>,
}

#[derive(Clone, Copy)]
struct Head {
    at: f64,
    speed: f64,
    since: Instant,
}

impl Clock {
    /// Stands at `at`, and plays from there; a speed of 0 stands still.
    pub fn new(at: f64, speed: f64) -> Self {
        Self { head: Mutex::new(Head { at, speed, since: Instant::now() }), moved: watch::Sender::new(0) }
    }

    /// Where it is now.
    pub fn now(&self) -> f64 {
        let head = *self.head.lock().unwrap();
        head.at + head.since.elapsed().as_secs_f64() * head.speed
    }

    /// How long until it is at `t`; `None` if it stands still.
    pub fn until(&self, t: f64) -> Option<Duration> {
        let speed = self.head.lock().unwrap().speed;
        (speed > 0.0).then(|| Duration::from_secs_f64(((t - self.now()) / speed).clamp(0.0, 86_400.0)))
    }

    /// Moves it, and lets it stand (speed 0) or play.
    pub fn seek(&self, at: f64, speed: f64) {
        *self.head.lock().unwrap() = Head { at, speed, since: Instant::now() };
        self.tell();
    }

    /// Wakes everybody who waits for the recording to go on.
    pub fn tell(&self) {
        self.moved.send_modify(|n| *n += 1);
    }

    /// Is told when the head or the recording was moved.
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }
}
