//! How long one frame takes: the rollout at 200x60, two states in turn. Goal: 1 ms.
//!
//! `cargo bench --bench frame`
#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench is a test")]

#[path = "../fixtures.rs"]
mod fixtures;

use cutover::{
    screen::{Extras, draw},
    ui::footer::Hint,
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::{hint::black_box, time::Instant};

const FRAMES: usize = 2_000;

fn main() {
    let states = [fixtures::state(fixtures::drawn()), fixtures::state(fixtures::rising())];
    let footer = [Hint { key: "R".into(), label: "back to v41".into(), off: false, drop: 0 }];
    let extras = Extras { footer: &footer, help: &[], figures: &[], actions: &[], back_key: "R" };
    for (width, height) in [(80, 24), (120, 36), (200, 60)] {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        let mut times: Vec<_> = (0..FRAMES)
            .map(|i| {
                let start = Instant::now();
                draw(black_box(&states[i % 2]), &extras, area, &mut buf);
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{width}x{height}: median {:?}, p99 {:?} of {FRAMES} frames (goal 1 ms)", times[FRAMES / 2], times[FRAMES * 99 / 100]);
    }
}
