//! The shares of a plan, and how long each lasts.

use crate::model::{
    ratio::Weight,
    step::{Pause, StepSpec},
};
use std::time::Duration;

/// One share, and how long the candidate has it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Leg {
    /// Parts of one, above 0 and below 1.
    pub share: f64,
    /// How long.
    pub lasts: Duration,
}

/// How long a share lasts whose end is a person's or a gate's.
pub const DWELL: Duration = Duration::from_secs(600);

/// The shares of a plan's steps. One that ends by itself lasts as long as its pauses; one that waits for a
/// person or a gate at least [`DWELL`]. Nothing is compared at 0 and at 100 %.
#[must_use]
pub fn legs<'a>(steps: impl IntoIterator<Item = &'a StepSpec>) -> Vec<Leg> {
    // The share, its pauses together, whether something else ends it.
    let mut all: Vec<(f64, Duration, bool)> = Vec::new();
    for step in steps {
        match (step, all.last_mut()) {
            (StepSpec::Weight(weight), _) => all.push((weight.percent() / 100.0, Duration::ZERO, false)),
            (StepSpec::Pause(Pause::For(time)), Some((_, lasts, _))) => *lasts += *time,
            (StepSpec::Pause(Pause::Manual) | StepSpec::Gate(_), Some((_, _, waits))) => *waits = true,
            _ => {}
        }
    }
    let lasts = |time: Duration, waits: bool| if waits || time.is_zero() { time.max(DWELL) } else { time };
    all.retain(|(share, ..)| *share > 0.0 && *share < 1.0);
    all.into_iter().map(|(share, time, waits)| Leg { share, lasts: lasts(time, waits) }).collect()
}

/// Ten minutes each at 5, 10, 25 and 50 %: what is played where no plan is known.
#[must_use]
pub fn usual() -> Vec<Leg> {
    [0.05, 0.1, 0.25, 0.5].map(|share| Leg { share, lasts: DWELL }).into()
}

/// Reads a plan such as `5:10m,25:1h`: percent, and how long.
///
/// # Errors
/// In one line.
pub fn parse(text: &str) -> Result<Vec<Leg>, String> {
    let leg = |part: &str| {
        let wrong = || format!("`{}` is no share and time: write 5:10m,25:10m", part.escape_debug());
        let (percent, time) = part.trim().split_once(':').ok_or_else(wrong)?;
        let percent = percent.trim().trim_end_matches('%').trim().parse().ok().and_then(Weight::from_percent).ok_or_else(wrong)?;
        let lasts = humantime::parse_duration(time.trim()).map_err(|_| wrong())?;
        match percent.percent() / 100.0 {
            share if share > 0.0 && share < 1.0 && !lasts.is_zero() => Ok(Leg { share, lasts }),
            _ => Err(wrong()),
        }
    };
    text.split(',').map(leg).collect()
}

/// How long all of it lasts.
#[must_use]
pub fn length(legs: &[Leg]) -> Duration {
    legs.iter().map(|leg| leg.lasts).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::Gates;

    #[test]
    fn a_share_lasts_until_what_ends_it() {
        let weight = |percent| StepSpec::Weight(Weight::from_percent(percent).unwrap());
        let pause = |secs| StepSpec::Pause(Pause::For(Duration::from_secs(secs)));
        let steps = [
            weight(0.0),
            pause(9),
            weight(5.0),
            pause(60),
            pause(30),
            weight(25.0),
            StepSpec::Gate(Gates::All),
            weight(50.0),
            weight(100.0),
        ];
        let all: Vec<(f64, u64)> = legs(&steps).iter().map(|leg| (leg.share, leg.lasts.as_secs())).collect();
        assert_eq!(all, [(0.05, 90), (0.25, 600), (0.5, 600)]);
    }

    #[test]
    fn a_plan_is_written_in_a_line() {
        assert_eq!(
            parse("5:10m, 25%:1h").unwrap().iter().map(|l| (l.share, l.lasts.as_secs())).collect::<Vec<_>>(),
            [(0.05, 600), (0.25, 3_600)]
        );
        for wrong in ["", "5", "0:1m", "100:1m", "5:0s", "x:1m", "5:1m,"] {
            assert!(parse(wrong).unwrap_err().contains("write 5:10m"), "{wrong}");
        }
    }
}
