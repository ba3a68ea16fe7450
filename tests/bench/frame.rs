//! How long one frame takes: the rollout, and the fleet of many rollouts; two states in turn. Goal: 1 ms.
//! And what a change of one rollout among many costs.
//!
//! `cargo bench --bench frame`
#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench is a test")]

#[path = "../fixtures.rs"]
mod fixtures;
#[path = "../fleets.rs"]
mod fleets;

use cutover::{
    app::{msg::Msg, state::State},
    model::{delta::Delta, rollout::Phase},
    screen::{Extras, draw},
    ui::footer::Hint,
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::{hint::black_box, time::Instant};

const FRAMES: usize = 2_000;

fn main() {
    let rollout = [fixtures::state(fixtures::drawn()), fixtures::state(fixtures::rising())];
    frames("rollout", &rollout, FRAMES);
    for n in [7, 1_000, 50_000] {
        let mut fleet = [fleets::many(n), fleets::many(n)];
        fleets::choose_last(&mut fleet[1]);
        frames(&format!("fleet of {n}"), &fleet, FRAMES / 4);
        changes(n, &mut fleet[0]);
    }
}

fn frames(what: &str, states: &[State; 2], frames: usize) {
    let footer = [Hint { key: "R".into(), label: "back to v41".into(), off: false, drop: 0 }];
    let extras = Extras { footer: &footer, help: &[], figures: &[], actions: &[], back_key: "R" };
    for (width, height) in [(80, 24), (120, 36), (200, 60)] {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        let mut times: Vec<_> = (0..frames)
            .map(|i| {
                let start = Instant::now();
                draw(black_box(&states[i % 2]), &extras, area, &mut buf);
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!(
            "{what} {width}x{height}: median {:?}, p99 {:?} of {frames} frames (goal 1 ms)",
            times[frames / 2],
            times[frames * 99 / 100]
        );
    }
}

/// One rollout says something new and moves in the order, then the frame is prepared.
fn changes(n: usize, state: &mut State) {
    let mut rollout = state.shared.rollouts.values().next().unwrap().rollout.clone();
    let mut times: Vec<_> = (0..200_u64)
        .map(|i| {
            rollout.seen.rev.0 += 1;
            rollout.phase = if i % 2 == 0 { Phase::Failed } else { Phase::Completed };
            rollout.attention = None;
            let delta = Delta::Apply { rollout: Box::new(rollout.clone()) };
            let start = Instant::now();
            fleets::tell(state, Msg::Delta(rollout.key.target.clone(), delta));
            fleets::tell(state, Msg::Frame);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("fleet of {n}: a change that moves a row: median {:?}, p99 {:?}", times[100], times[198]);
}
