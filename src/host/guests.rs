//! Who looks at what: consoles that watch, and the rollout each has open.
//!
//! A console is there as long as its watch is; what it has open it says in a request of its own. It is
//! told to others only, by the name the kernel knows it by; nothing is decided by it.

use crate::model::{
    rollout::Presence,
    text::{Raw, Text},
    time::Time,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// More consoles than this are not told apart; a loop that opens watches cannot fill memory.
const MOST: usize = 256;

/// The consoles that are there.
#[derive(Clone, Default)]
pub struct Guests(Arc<Mutex<BTreeMap<Raw, Guest>>>);

struct Guest {
    who: Text,
    since: Time,
    /// Watches of this console: while it connects again there may be two.
    watches: usize,
    open: Option<(Raw, Time)>,
}

impl Guests {
    /// A console that watches, until what is returned is dropped.
    #[must_use]
    pub fn enter(&self, console: Raw, who: Text, now: Time) -> Stay {
        let mut guests = self.lock();
        if guests.len() < MOST || guests.contains_key(&console) {
            guests.entry(console.clone()).or_insert(Guest { who, since: now, watches: 0, open: None }).watches += 1;
        }
        Stay { guests: self.clone(), console }
    }

    /// What a console has open now; one that does not watch is not known.
    pub fn look(&self, console: &Raw, service: Option<Raw>, now: Time) {
        if let Some(guest) = self.lock().get_mut(console) {
            guest.open = service.map(|service| (service, now));
        }
    }

    /// Everyone who has this service open, the longest first.
    #[must_use]
    pub fn at(&self, service: &str) -> Vec<Presence> {
        let guests = self.lock();
        let here = guests.iter().filter_map(|(console, guest)| match &guest.open {
            Some((open, since)) if open.as_str() == service => {
                Some(Presence { who: guest.who.clone(), since: (*since).max(guest.since), console: console.text() })
            }
            _ => None,
        });
        let mut here: Vec<Presence> = here.collect();
        here.sort_by_key(|p| p.since);
        here
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Raw, Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A console's watch; it is gone with its last one.
pub struct Stay {
    guests: Guests,
    console: Raw,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut guests = self.guests.lock();
        if let Some(guest) = guests.get_mut(&self.console) {
            guest.watches = guest.watches.saturating_sub(1);
            if guest.watches == 0 {
                guests.remove(&self.console);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Guests, MOST, Raw, Time};

    fn at(second: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_console_is_there_while_it_watches_and_where_it_looks() {
        let guests = Guests::default();
        let who = |service| guests.at(service).into_iter().map(|p| p.who.to_string()).collect::<Vec<_>>();
        let ana = guests.enter(Raw::new("a"), "ana".into(), at(0));
        let _ben = guests.enter(Raw::new("b"), "ben".into(), at(1));
        assert!(who("shop").is_empty(), "nothing is open yet");
        guests.look(&Raw::new("b"), Some(Raw::new("shop")), at(2));
        guests.look(&Raw::new("a"), Some(Raw::new("shop")), at(3));
        assert_eq!(who("shop"), ["ben", "ana"]);
        guests.look(&Raw::new("b"), Some(Raw::new("search")), at(4));
        assert_eq!((who("shop"), who("search")), (vec!["ana".into()], vec!["ben".into()]));
        let again = guests.enter(Raw::new("a"), "ana".into(), at(5));
        drop(ana);
        assert_eq!(who("shop"), ["ana"], "it has connected again");
        drop(again);
        assert!(who("shop").is_empty());
    }

    #[test]
    fn strangers_are_bounded_and_unknown_ones_ignored() {
        let guests = Guests::default();
        let stays: Vec<_> = (0..MOST + 10).map(|n| guests.enter(Raw::new(n.to_string()), "x".into(), at(0))).collect();
        assert_eq!(guests.lock().len(), MOST);
        guests.look(&Raw::new("nobody"), Some(Raw::new("shop")), at(1));
        assert!(guests.at("shop").is_empty());
        drop(stays);
        assert_eq!(guests.lock().len(), 0);
    }
}
