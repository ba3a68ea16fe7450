//! Past rollouts, found in which versions had traffic when. One version had all of it; another came beside it,
//! and in the end either of them was left: the new one went through, or it went back.
//!
//! That is all that traffic tells. Whether who went back did so for a reason is known to people.

use crate::{metrics::traffic::Traffic, model::time::Time};
use std::time::Duration;

/// A version without traffic is gone when the other one had some for so long, or for so many intervals, and this
/// one should have had so many requests: a small share of a quiet service may be nothing for a while.
const ALONE: Duration = Duration::from_secs(600);
const SILENT: u32 = 3;
const MISSED: f64 = 5.0;
/// Intervals in which both versions had traffic; fewer are a switch and not a rollout.
const LEAST: usize = 2;
/// A share that moved by fewer percent points did not move.
const MOVED: f64 = 2.0;

/// A rollout that is over.
#[derive(Clone, PartialEq, Debug)]
pub struct Past {
    /// What was to be replaced, as series call it.
    pub stable: String,
    /// What was to replace it.
    pub candidate: String,
    /// When the candidate first had traffic.
    pub since: Time,
    /// When both had traffic for the last time.
    pub until: Time,
    /// What became of it.
    pub end: End,
    /// The candidate's share from then on, in percent, as it was seen.
    pub shares: Vec<(Time, f64)>,
}

/// What became of a rollout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The candidate had all the traffic.
    Through,
    /// So it did, and then stable was taken again, at this time, before anything else came.
    TakenBack(Time),
    /// Stable had all the traffic again.
    Back,
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Oldest first.
    pub runs: Vec<Past>,
    /// What else there was, a line each: it is nobody's sample.
    pub left_out: Vec<String>,
}

/// Two versions side by side.
struct Open {
    candidate: String,
    since: Time,
    /// When both were seen last.
    until: Time,
    /// Intervals with both, and the requests of stable and of the candidate in them.
    both: usize,
    counts: [f64; 2],
    /// For how long the other one has been alone, and how many requests it missed since: stable, the candidate.
    missing: [(Duration, f64); 2],
    shares: Vec<(Time, f64)>,
    /// Where the share may have moved to, and since when.
    moving: Option<(Time, f64)>,
}

/// Finds them in intervals of `step`.
#[must_use]
pub fn find(traffic: &Traffic, step: Duration) -> Found {
    let mut search = Search { step, stable: None, open: None, found: Found::default() };
    for (at, counts) in traffic {
        let mut alive: Vec<(&str, f64)> = counts.iter().filter(|(_, n)| **n > 0.0).map(|(v, n)| (v.as_str(), *n)).collect();
        alive.sort_by(|a, b| b.1.total_cmp(&a.1));
        search.see(*at, &alive);
    }
    search.end()
}

struct Search {
    step: Duration,
    stable: Option<String>,
    open: Option<Open>,
    found: Found,
}

impl Search {
    /// The versions that had traffic in the interval that ended then, the busiest first.
    fn see(&mut self, at: Time, alive: &[(&str, f64)]) {
        let Some(stable) = self.stable.clone() else {
            // Of several at the beginning nobody says which one was there first.
            if let [(only, _)] = alive {
                self.stable = Some((*only).to_owned());
            }
            return;
        };
        let of = |version: &str| alive.iter().find(|(v, _)| *v == version).map(|(_, n)| *n);
        let Some(open) = &mut self.open else {
            if let Some((new, _)) = alive.iter().find(|(v, _)| *v != stable) {
                match of(&stable) {
                    Some(_) => self.open(at, new, alive, &stable),
                    None => self.switched(at, new),
                }
            }
            return;
        };
        let (old, new) = (of(&stable), of(&open.candidate));
        let gone = open.take(at, self.step, old.unwrap_or_default(), new.unwrap_or_default());
        let third = alive.iter().find(|(v, _)| *v != stable && *v != open.candidate).map(|(v, _)| (*v).to_owned());
        if let (Some(third), None) = (&third, new) {
            self.close(None);
            self.see_anew(at, third, alive, &stable);
        } else if gone == Some(End::Through) {
            let (candidate, at) = (open.candidate.clone(), open.until);
            self.replaced(at, &candidate);
            self.close(gone);
            self.stable = Some(candidate);
        } else if gone.is_some() {
            self.close(gone);
        }
    }

    fn see_anew(&mut self, at: Time, new: &str, alive: &[(&str, f64)], stable: &str) {
        if alive.iter().any(|(v, _)| *v == stable) { self.open(at, new, alive, stable) } else { self.switched(at, new) }
    }

    fn open(&mut self, at: Time, new: &str, alive: &[(&str, f64)], stable: &str) {
        let of = |version: &str| alive.iter().find(|(v, _)| *v == version).map_or(0.0, |(_, n)| *n);
        let mut open = Open {
            candidate: new.to_owned(),
            since: before(at, self.step),
            until: at,
            both: 0,
            counts: [0.0; 2],
            missing: Default::default(),
            shares: Vec::new(),
            moving: None,
        };
        open.take(at, self.step, of(stable), of(new));
        self.open = Some(open);
    }

    /// Another version has all the traffic now: was what it replaces a candidate that had replaced it?
    fn replaced(&mut self, at: Time, new: &str) {
        if let (Some(last), Some(stable)) = (self.found.runs.last_mut(), &self.stable)
            && last.end == End::Through
            && last.stable == new
            && last.candidate == *stable
        {
            last.end = End::TakenBack(at);
        }
    }

    /// Another version has all the traffic at once.
    fn switched(&mut self, at: Time, new: &str) {
        self.replaced(at, new);
        self.stable = Some(new.to_owned());
    }

    /// The two are not side by side any more; without an `end` another version came between.
    fn close(&mut self, end: Option<End>) {
        let (Some(open), Some(stable)) = (self.open.take(), self.stable.clone()) else { return };
        let Open { candidate, since, until, both, shares, .. } = open;
        let since_text = since.format("%F %T UTC");
        match end {
            None => self.found.left_out.push(format!("{candidate} of {since_text}: another version came before it was over")),
            Some(_) if both < LEAST => self.found.left_out.push(format!("{candidate} of {since_text}: a switch, with nothing to compare")),
            Some(end) => self.found.runs.push(Past { stable, candidate, since, until, end, shares }),
        }
    }

    fn end(mut self) -> Found {
        if let Some(open) = self.open.take() {
            let since = open.since.format("%F %T UTC");
            self.found.left_out.push(format!("{} of {since}: it is not over", open.candidate));
        }
        self.found
    }
}

impl Open {
    /// So many requests of stable and of the candidate in the interval that ended then. Says what became of the
    /// two, when one of them is gone.
    fn take(&mut self, at: Time, step: Duration, old: f64, new: f64) -> Option<End> {
        if old > 0.0 && new > 0.0 {
            self.until = at;
            self.both += 1;
            self.counts = [self.counts[0] + old, self.counts[1] + new];
            self.missing = Default::default();
            self.share(before(at, step), old, new);
            return None;
        }
        let [stable, candidate] = self.counts;
        let is_stable = old > 0.0;
        let [without_stable, without_candidate] = &mut self.missing;
        let (missing, expected) =
            if is_stable { (without_candidate, old * candidate / stable) } else { (without_stable, new * stable / candidate) };
        missing.0 += step;
        missing.1 += expected;
        let is_gone = missing.0 >= ALONE.max(step.saturating_mul(SILENT)) && missing.1 >= MISSED;
        is_gone.then_some(if is_stable { End::Back } else { End::Through })
    }

    /// A share moves where two intervals say so: one in which it moves is of neither.
    fn share(&mut self, from: Time, old: f64, new: f64) {
        let (n, percent) = (old + new, 100.0 * new / (old + new));
        let is_off = |known: f64| {
            let p = (known / 100.0).clamp(0.01, 0.99);
            (percent - known).abs() > (400.0 * (p * (1.0 - p) / n).sqrt()).max(MOVED)
        };
        match (self.shares.last(), self.moving) {
            (Some((_, known)), _) if !is_off(*known) => self.moving = None,
            (last, Some((since, to))) if !is_off(to) => {
                let since = if last.is_none() { self.since } else { since };
                self.shares.push((since, (percent * 10.0).round() / 10.0));
                self.moving = None;
            }
            _ => self.moving = Some((from, percent)),
        }
    }
}

fn before(at: Time, step: Duration) -> Time {
    chrono::Duration::from_std(step).ok().and_then(|step| at.checked_sub_signed(step)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::after;
    use std::collections::BTreeMap;

    const STEP: Duration = Duration::from_secs(60);

    fn at(minute: u64) -> Time {
        after(Time::from_timestamp(1_767_225_600, 0).unwrap(), STEP * u32::try_from(minute).unwrap())
    }

    /// Minutes of traffic, by version.
    fn traffic(parts: &[(u64, &[(&str, f64)])]) -> Traffic {
        let mut all = Traffic::new();
        let mut minute = 0;
        for (minutes, counts) in parts {
            for _ in 0..*minutes {
                minute += 1;
                let counts: BTreeMap<String, f64> = counts.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect();
                all.insert(at(minute), counts);
            }
        }
        all
    }

    fn ends(found: &Found) -> Vec<(&str, &str, End)> {
        found.runs.iter().map(|r| (r.stable.as_str(), r.candidate.as_str(), r.end)).collect()
    }

    #[test]
    fn one_goes_through_the_next_goes_back() {
        let found = find(
            &traffic(&[
                (30, &[("v1", 600.0)]),
                (10, &[("v1", 570.0), ("v2", 30.0)]),
                // It moves in the middle of a minute.
                (1, &[("v1", 500.0), ("v2", 100.0)]),
                (9, &[("v1", 452.0), ("v2", 148.0)]),
                (30, &[("v2", 600.0)]),
                (5, &[("v2", 540.0), ("v3", 60.0)]),
                (20, &[("v2", 600.0)]),
            ]),
            STEP,
        );
        assert_eq!(ends(&found), [("v1", "v2", End::Through), ("v2", "v3", End::Back)]);
        assert_eq!((found.runs[0].since, found.runs[0].until), (at(30), at(50)));
        assert_eq!(found.runs[0].shares, [(at(30), 5.0), (at(41), 24.7)]);
        assert_eq!((found.runs[1].since, found.runs[1].until), (at(80), at(85)));
        assert_eq!(found.left_out, Vec::<String>::new());
    }

    #[test]
    fn what_went_through_and_was_taken_back_was_bad() {
        let through: &[(u64, &[(&str, f64)])] = &[(5, &[("v1", 600.0)]), (5, &[("v1", 300.0), ("v2", 300.0)]), (20, &[("v2", 600.0)])];
        let back = |more: &[(u64, &[(&str, f64)])]| find(&traffic(&[through, more].concat()), STEP).runs[0].end;
        assert_eq!(back(&[]), End::Through);
        assert_eq!(back(&[(5, &[("v1", 600.0)])]), End::TakenBack(at(31)));
        // Also step by step; and not where another one came between.
        let slowly: &[(u64, &[(&str, f64)])] = &[(5, &[("v1", 300.0), ("v2", 300.0)]), (20, &[("v1", 600.0)])];
        assert_eq!(back(slowly), End::TakenBack(at(35)));
        assert_eq!(back(&[(5, &[("v3", 600.0)]), (5, &[("v1", 600.0)])]), End::Through);
    }

    #[test]
    fn what_is_no_sample_is_left_out_and_said() {
        let found = find(
            &traffic(&[
                // Who was there first?
                (5, &[("v0", 9.0), ("v1", 600.0)]),
                (5, &[("v1", 600.0)]),
                // A switch.
                (1, &[("v1", 300.0), ("v2", 300.0)]),
                (20, &[("v2", 600.0)]),
                // Replaced by another candidate.
                (5, &[("v2", 500.0), ("v3", 100.0)]),
                (5, &[("v2", 500.0), ("v4", 100.0)]),
                // Nobody asks at night; a small share is nothing for a while.
                (200, &[]),
                (5, &[("v2", 5.0)]),
                (5, &[("v2", 500.0), ("v4", 100.0)]),
                (20, &[("v4", 600.0)]),
                (5, &[("v4", 600.0), ("v5", 9.0)]),
            ]),
            STEP,
        );
        assert_eq!(ends(&found), [("v2", "v4", End::Through)]);
        let said: Vec<&str> = found.left_out.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
        assert_eq!(said, ["a switch, with nothing to compare", "another version came before it was over", "it is not over"]);
        assert_eq!(find(&Traffic::new(), STEP), Found::default());
    }
}
