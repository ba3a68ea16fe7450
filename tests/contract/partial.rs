//! What only several load balancers have: one that does not follow.

use super::{
    memory::Proxies,
    seat::Seat,
    suite::{Weather, World, ask, look, share},
    worlds::Cloudy,
};
use cutover::{
    model::{
        action::{Action, Observation, Outcome, Refusal},
        ratio::Weight,
    },
    runtime::Runtime,
};

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn shares(proxies: &Proxies) -> Vec<f64> {
    proxies.shares().into_iter().map(Weight::percent).collect()
}

#[tokio::test]
async fn the_way_back_on_some_of_them_is_partial_until_all_agree() {
    let cloudy = Cloudy::start();
    let mut seat = Seat::taken(&cloudy.target(), cloudy.runtime()).await;
    cloudy.0.answers("lb-2", false);
    seat.keys(&["R", "enter"]);
    seat.until("partial", |s| s.line().contains("do not agree")).await;
    assert!(matches!(seat.outcome(), Some(Outcome::Partial { done: 1, .. })), "{:?}", seat.outcome());
    assert_eq!(shares(&cloudy.0), [0.0, 50.0, 50.0], "every prefix of the calls is what it says");
    let line = seat.line();
    assert!(line.contains("PARTIAL: 1 of 3 done, then lb-2 does not answer"), "{line}");
    assert!(line.contains("lb-1 0 %, lb-2 50 %, lb-3 50 %"), "{line}");
    assert_eq!(share(seat.rollout()), None, "no share is claimed of what does not agree");
    // The same again is offered from what is there, and what it does twice is no more than once.
    cloudy.0.answers("lb-2", true);
    seat.keys(&["R", "enter"]);
    seat.until("all of them", |s| s.line().contains("done")).await;
    assert_eq!(shares(&cloudy.0), [0.0, 0.0, 0.0]);
    assert!(seat.state.following.iter().all(|f| f.seen == Some(Observation::Confirmed)), "{:?}", seat.state.following);
    assert_eq!(seat.sent.len(), 2);
}

#[tokio::test]
async fn one_that_was_changed_by_hand_stops_everything_but_the_way_back() {
    let cloudy = Cloudy::start();
    let runtime = cloudy.runtime();
    let before = look(&cloudy).await;
    let forward = runtime.plan(&before, &ask("forward", Action::SetWeight { weight: percent(60.0) })).unwrap();
    let back = runtime.plan(&before, &ask("back", Action::Back { to: before.back.to.clone().unwrap().id })).unwrap();
    cloudy.0.by_hand("lb-3", percent(5.0));
    match runtime.apply(&forward).await {
        Outcome::Refused { refusal: Refusal::Moved { what } } => assert_eq!(what.as_str(), "lb-3 is at 5 % now, not at 50 %"),
        other => panic!("{other:?}"),
    }
    assert_eq!((shares(&cloudy.0), cloudy.acted()), (vec![50.0, 50.0, 5.0], 0), "read first, nothing sent");
    assert!(matches!(runtime.apply(&back).await, Outcome::Accepted { .. }));
    assert_eq!(runtime.confirm(&back, &look(&cloudy).await), Observation::Confirmed);
}

#[tokio::test]
async fn a_lost_answer_of_one_that_was_sent_in_part_is_not_taken_for_done() {
    let cloudy = Cloudy::start();
    let mut seat = Seat::taken(&cloudy.target(), cloudy.runtime()).await;
    cloudy.weather(Weather::Swallowed);
    seat.until("live", |s| s.is_live() && !s.is_silent()).await;
    seat.keys(&["R", "enter"]);
    seat.until("unknown", |s| s.line().contains("not yet")).await;
    // One of them is where it should be, by somebody's hand: that is not all of them.
    cloudy.0.by_hand("lb-1", Weight::ZERO);
    seat.until("seen", |s| s.line().contains("lb-1 0 %, lb-2 50 %")).await;
    assert!(matches!(seat.outcome(), Some(Outcome::Unknown { .. })));
    for name in ["lb-2", "lb-3"] {
        cloudy.0.by_hand(name, Weight::ZERO);
    }
    seat.until("seen to be so", |s| matches!(s.followed().and_then(|f| f.seen.as_ref()), Some(Observation::Confirmed))).await;
    assert_eq!(cloudy.acted(), 1, "and nothing was sent again");
}
