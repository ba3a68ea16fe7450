//! `cutover freeze` and `cutover thaw`: stop the line, and let it go on.

use super::{
    Context,
    act::{Chosen, HowArgs, Wanted},
    connect::{self, Named},
    exit::Exit,
};
use crate::model::{
    action::Action,
    time::{Time, after},
};
use chrono::{Days, NaiveTime, SubsecRound};
use std::{io::Write, time::Duration};

/// What is frozen or thawed.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Option<Named>,
    /// Every rollout of every target.
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `cutover freeze`.
#[derive(clap::Args, Debug)]
pub struct FreezeArgs {
    /// See there.
    #[command(flatten)]
    pub which: WhichArgs,
    /// For how long, such as 2h or 90m [default: until it is lifted].
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "until")]
    pub span: Option<Duration>,
    /// Until when: 2026-08-14T06:00:00Z, or 06:00 for the next time it is that late (UTC, as everywhere).
    #[arg(long, value_name = "TIME", value_parser = end)]
    pub until: Option<End>,
    /// Lift it, as `thaw` does.
    #[arg(long, conflicts_with_all = ["span", "until"])]
    pub lift: bool,
    /// See there.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Arguments of `cutover thaw`.
#[derive(clap::Args, Debug)]
pub struct ThawArgs {
    /// See there.
    #[command(flatten)]
    pub which: WhichArgs,
    /// See there.
    #[command(flatten)]
    pub how: HowArgs,
}

/// The end of a freeze, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// An instant.
    At(Time),
    /// The next time of day.
    Next(NaiveTime),
}

fn end(text: &str) -> Result<End, String> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(End::At(at.into()));
    }
    let day = text.trim_end_matches('Z');
    NaiveTime::parse_from_str(day, "%H:%M").map(End::Next).map_err(|_| "expected a time such as 06:00 or 2026-08-14T06:00:00Z".into())
}

impl End {
    /// The instant, seen from now.
    fn from(self, now: Time) -> Time {
        match self {
            Self::At(at) => at,
            Self::Next(time) => {
                let today = now.date_naive().and_time(time).and_utc();
                if today > now { today } else { today.checked_add_days(Days::new(1)).unwrap_or(today) }
            }
        }
    }
}

/// `cutover freeze`.
///
/// # Errors
/// See [`exit`](super::exit).
pub fn freeze(args: &FreezeArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    if args.lift {
        return on(&args.which, &args.how, &Action::Thaw, cx, out);
    }
    // Whole seconds: what people read is what is sent.
    let now = connect::now().trunc_subsecs(0);
    let until = args.until.map(|end| end.from(now)).or_else(|| args.span.map(|span| after(now, span)));
    on(&args.which, &args.how, &Action::Freeze { until }, cx, out)
}

/// `cutover thaw`.
///
/// # Errors
/// See [`exit`](super::exit).
pub fn thaw(args: &ThawArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    on(&args.which, &args.how, &Action::Thaw, cx, out)
}

fn on(which: &WhichArgs, how: &HowArgs, action: &Action, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let wanted = Wanted { how, switch_only: false };
    match &which.rollout {
        Some(named) => wanted.carry_out(&Chosen::one(cx, named)?, action.clone(), cx, out),
        None => wanted.carry_out_all(&Chosen::all(cx)?, action, cx, out),
    }
}

#[cfg(test)]
mod tests {
    use super::{End, end};
    use crate::model::time::Time;

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let now: Time = "2026-08-14T05:30:00Z".parse().unwrap();
        let from = |text: &str| end(text).unwrap().from(now).to_rfc3339();
        assert_eq!(from("06:00"), "2026-08-14T06:00:00+00:00");
        assert_eq!(from("05:30Z"), "2026-08-15T05:30:00+00:00");
        assert_eq!(from("2026-08-14T08:00:00+02:00"), "2026-08-14T06:00:00+00:00");
        assert_eq!(end("2020-01-01T00:00:00Z").map(|e| matches!(e, End::At(_))), Ok(true), "that it is past is for the plan to say");
        for bad in ["", "6", "25:00", "tomorrow"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
