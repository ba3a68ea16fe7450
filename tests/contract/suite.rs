//! The contract itself. The checks follow each other on one world: what they leave behind is said.

use super::seat::{PATIENCE, Seat};
use cutover::{
    app::state::Overlay,
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        delta::Delta,
        ident::{ActionId, RunId, TargetId, VersionId},
        ratio::Weight,
        rollout::{Phase, Rollout},
        text::Raw,
    },
    runtime::{Ask, Fault, Link, Runtime},
};
use futures::StreamExt;
use std::sync::atomic::Ordering;
use tokio::time::timeout;

/// What happens between the console and a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// A watch ends in the middle of its list.
    HalfFrames,
    /// It comes in small pieces.
    Drip,
    /// Nobody is let in.
    Denied,
    /// The target's clock is a year ahead.
    Skewed,
    /// Connections end at once.
    Away,
    /// An action is carried out, and nobody hears of it.
    AnswerLost,
    /// An action is sent whole, and lost before it arrives.
    Swallowed,
    /// An action is carried out, and the answer does not come.
    Hanging,
}

/// A target with v1 stable and v2 a canary at half of the traffic, and the weather before it.
pub trait World {
    type Runtime: Runtime + Clone;

    fn target(&self) -> TargetId;
    fn runtime(&self) -> Self::Runtime;
    fn weather(&self, weather: Weather);
    /// Ends every connection that is open.
    fn cut(&self);
    /// Actions that were sent whole so far.
    fn acted(&self) -> usize;
    /// Of those in bad weather, how many were carried out.
    fn taken(&self) -> usize;
    /// Whether the target knows what became of an action by its name.
    fn remembers(&self) -> bool;
    /// Somebody else moves it on, so that what was believed before is not so any more.
    fn moves(&self) -> impl Future<Output = ()>;
}

/// All of it.
pub async fn whole<W: World>(w: &W) {
    a_full_list_comes_first(w).await;
    a_list_cut_in_half_shows_nothing_of_it(w).await;
    a_slow_drip_is_as_good(w).await;
    it_comes_back_by_itself_and_nothing_blinks(w).await;
    what_comes_twice_or_late_changes_nothing(w).await;
    who_is_not_let_in_keeps_what_was_known(w).await;
    another_clock_is_not_silence(w).await;
    plans_are_pure_and_refusals_have_reasons(w).await;
    nothing_is_sent_from_a_view_that_is_stale(w).await;
    what_moved_is_refused(w).await;
    a_lost_answer_is_found_out_and_nothing_is_sent_again(w).await;
    what_never_arrived_is_not_sent_again(w).await;
    one_that_is_given_up_was_sent_once(w).await;
    the_way_back_believes_in_its_run_and_its_version_only(w).await;
}

/// The one rollout, freshly listed.
pub async fn look<W: World>(w: &W) -> Rollout {
    let list = list(w).await;
    let rollout = list.into_iter().find_map(|d| if let Delta::Apply { rollout } = d { Some(*rollout) } else { None });
    rollout.expect("a rollout")
}

/// Everything up to the end of the first list.
async fn list<W: World>(w: &W) -> Vec<Delta> {
    let mut deltas = std::pin::pin!(w.runtime().watch());
    let mut list = Vec::new();
    loop {
        let delta = timeout(PATIENCE, deltas.next()).await.expect("a list").expect("a whole list").unwrap();
        let done = matches!(delta, Delta::InitDone { .. });
        list.push(delta);
        if done {
            return list;
        }
    }
}

async fn seen<W: World>(w: &W, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let rollout = look(w).await;
        if is(&rollout) {
            return rollout;
        }
        assert!(tokio::time::Instant::now() < end, "never {what}: {rollout:#?}");
    }
}

pub fn ask(id: &str, action: Action) -> Ask {
    Ask { action, id: ActionId::new(id), name: Some("ana".into()), reason: None, force: false, switch_only: false }
}

fn percent(percent: u16) -> Weight {
    Weight::from_bp(percent * 100).unwrap()
}

fn give(share: u16) -> Action {
    Action::SetWeight { weight: percent(share) }
}

/// What the router gives the candidate.
pub fn share(rollout: &Rollout) -> Option<Weight> {
    rollout.candidate()?.share.programmed?.percent().and_then(Weight::from_percent)
}

fn plan<W: World>(w: &W, rollout: &Rollout, id: &str, action: Action) -> Plan {
    w.runtime().plan(rollout, &ask(id, action)).unwrap_or_else(|e| panic!("{id}: {e}"))
}

async fn a_full_list_comes_first<W: World>(w: &W) {
    let first = list(w).await;
    assert!(matches!(first[0], Delta::Init { version: 1, .. }), "{first:#?}");
    let named = |d: &Delta| if let Delta::Apply { rollout } = d { Some(rollout.key.clone()) } else { None };
    let keys: Vec<_> = first.iter().filter_map(named).collect();
    assert_eq!(keys.len(), 1, "each once");
    assert_eq!(keys[0].target, w.target(), "by our name, whatever it calls itself");
    // Every connection begins so; one that is cut ends with a fault and does not hang.
    let mut deltas = std::pin::pin!(w.runtime().watch());
    while !matches!(timeout(PATIENCE, deltas.next()).await.unwrap().unwrap().unwrap(), Delta::InitDone { .. }) {}
    w.cut();
    let ended = timeout(PATIENCE, async {
        loop {
            match deltas.next().await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    });
    assert!(matches!(ended.await.expect("it ends"), None | Some(Err(Fault::Closed { .. } | Fault::Unreachable { .. }))));
    assert_eq!(list(w).await.iter().filter_map(named).collect::<Vec<_>>(), keys, "the same again");
}

async fn a_list_cut_in_half_shows_nothing_of_it<W: World>(w: &W) {
    w.weather(Weather::HalfFrames);
    let mut seat = Seat::at(&w.target(), w.runtime());
    let opened = |s: &Seat<W::Runtime>, n: usize| s.opened.load(Ordering::SeqCst) >= n;
    seat.until("tried several times", |s| opened(s, 4)).await;
    assert!(seat.picture().is_empty(), "half a list is no list");
    w.weather(Weather::Fair);
    seat.until("whole", |s| s.is_live() && s.picture().len() == 1).await;
    // Once it was seen, half a list takes nothing away either.
    w.weather(Weather::HalfFrames);
    let before = seat.opened.load(Ordering::SeqCst);
    seat.until("tried several times", |s| opened(s, before + 3)).await;
    assert_eq!(seat.picture().len(), 1);
    w.weather(Weather::Fair);
}

async fn a_slow_drip_is_as_good<W: World>(w: &W) {
    w.weather(Weather::Drip);
    let seat = Seat::taken(&w.target(), w.runtime()).await;
    assert_eq!(share(seat.rollout()), Some(percent(50)));
    w.weather(Weather::Fair);
}

async fn it_comes_back_by_itself_and_nothing_blinks<W: World>(w: &W) {
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    for _ in 0..3 {
        let before = seat.opened.load(Ordering::SeqCst);
        w.cut();
        seat.until("said to be off", |s| matches!(s.link(), Some(Link::Connecting { last: Some(_), .. }))).await;
        assert_eq!(seat.picture().len(), 1, "what was known stays");
        assert!(seat.is_silent(), "and is said to be old");
        seat.until("live again", |s| s.is_live() && s.opened.load(Ordering::SeqCst) > before && !s.is_silent()).await;
        assert_eq!(seat.picture().len(), 1);
    }
}

async fn what_comes_twice_or_late_changes_nothing<W: World>(w: &W) {
    let list = list(w).await;
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    list.iter().for_each(|d| seat.delta(d.clone()));
    let is = seat.picture();
    assert_eq!(is.len(), 1);
    // Every line twice, and the whole list again.
    list.iter().flat_map(|d| [d, d]).for_each(|d| seat.delta(d.clone()));
    assert_eq!(seat.picture(), is);
    // A picture that is newer, and then the one before it, late.
    let mut newer = is[0].1.clone();
    newer.seen.rev.0 += 7;
    newer.reason = Some("newer".into());
    seat.delta(Delta::Apply { rollout: Box::new(newer) });
    list.iter().filter(|d| matches!(d, Delta::Apply { .. })).for_each(|d| seat.delta(d.clone()));
    assert_eq!(seat.rollout().reason.as_ref().map(|r| r.as_str()), Some("newer"), "older over newer");
    // A list of its own decides whatever was before.
    list.iter().for_each(|d| seat.delta(d.clone()));
    assert_eq!(seat.picture().len(), 1);
}

async fn who_is_not_let_in_keeps_what_was_known<W: World>(w: &W) {
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    let rollout = look(w).await;
    let plan = plan(w, &rollout, "denied", give(45));
    w.weather(Weather::Denied);
    seat.until("denied", |s| matches!(s.link(), Some(Link::Denied { what, .. }) if !what.as_str().is_empty())).await;
    assert_eq!(seat.picture().len(), 1);
    match w.runtime().apply(&plan).await {
        Outcome::Refused { refusal: Refusal::Denied { what } } => assert!(!what.as_str().is_empty()),
        other => panic!("{other:?}"),
    }
    w.weather(Weather::Fair);
    seat.until("let in again", |s| s.is_live() && !s.is_silent()).await;
    assert_eq!(share(&look(w).await), Some(percent(50)), "nothing was done");
}

async fn another_clock_is_not_silence<W: World>(w: &W) {
    w.weather(Weather::Skewed);
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    let ahead = |s: &Seat<W::Runtime>| s.rollout().seen.server_time > s.state.shared.now + chrono::Duration::days(300);
    seat.until("by the other clock", |s| ahead(s)).await;
    assert!(!seat.is_silent(), "heard just now, by our clock");
    w.weather(Weather::Fair);
    seat.until("by one clock", |s| s.is_live() && !ahead(s)).await;
    assert!(!seat.is_silent());
}

async fn plans_are_pure_and_refusals_have_reasons<W: World>(w: &W) {
    let (rollout, before) = (look(w).await, w.acted());
    let (back, runtime) = (rollout.back.to.clone().unwrap().id, w.runtime());
    let actions = [
        give(40),
        give(50),
        Action::Step,
        Action::SkipGate,
        Action::Pause,
        Action::Resume,
        Action::Promote,
        Action::Retry,
        Action::Thaw,
        Action::Freeze { until: None },
        Action::Back { to: back.clone() },
        Action::Back { to: VersionId::new("nobody knows it") },
        Action::Undo { to: VersionId::new("nobody knows it") },
        Action::Taint { version: VersionId::new("nobody knows it") },
    ];
    let mut refused = 0;
    for action in actions {
        let asked = ask("pure", action);
        let once = runtime.plan(&rollout, &asked);
        assert_eq!(once, runtime.plan(&rollout, &asked), "{asked:?}");
        match once {
            Ok(plan) => {
                assert!(!plan.calls.is_empty() && !plan.title.as_str().is_empty(), "{plan:?}");
                assert_eq!((&plan.belief.key, &plan.belief.run, plan.belief.rev), (&rollout.key, &rollout.run, rollout.seen.rev));
            }
            Err(refusal) => {
                refused += 1;
                assert!(refusal.to_string().len() > 5, "{asked:?}: {refusal}");
            }
        }
    }
    assert!(refused >= 5, "{refused}");
    let elsewhere = runtime.plan(&rollout, &ask("to", Action::Back { to: VersionId::new("nobody knows it") }));
    assert!(matches!(elsewhere, Err(Refusal::Moved { .. })), "{elsewhere:?}");
    assert_eq!(w.acted(), before, "nothing was sent");
    // What a plan will do is not true before it was done.
    let plan = plan(w, &rollout, "not yet", give(40));
    assert!(matches!(runtime.confirm(&plan, &rollout), Observation::Pending { missing } if !missing.as_str().is_empty()));
}

async fn nothing_is_sent_from_a_view_that_is_stale<W: World>(w: &W) {
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    w.weather(Weather::Away);
    seat.until("off", |s| matches!(s.link(), Some(Link::Connecting { attempt: 3.., .. }))).await;
    seat.keys(&["w", "4", "0", "enter", "enter"]);
    assert!(seat.sent.is_empty(), "{:?}", seat.sent);
    seat.keys(&["esc", "esc"]);
    // One that was open when the line went down is not sent either.
    w.weather(Weather::Fair);
    seat.until("live", |s| s.is_live() && !s.is_silent()).await;
    seat.keys(&["w", "4", "0", "enter"]);
    assert!(matches!(seat.state.overlay, Overlay::Preview(_)), "{:?}", seat.state.overlay);
    w.weather(Weather::Away);
    seat.until("off", |s| matches!(s.link(), Some(Link::Connecting { attempt: 3.., .. }))).await;
    seat.keys(&["enter", "enter"]);
    assert!(seat.sent.is_empty(), "{:?}", seat.sent);
    w.weather(Weather::Fair);
}

/// Leaves it a step further.
async fn what_moved_is_refused<W: World>(w: &W) {
    let old = look(w).await;
    let planned = plan(w, &old, "old", give(40));
    w.moves().await;
    let now = look(w).await;
    match w.runtime().apply(&planned).await {
        Outcome::Refused { refusal: Refusal::Moved { what } } => assert!(!what.as_str().is_empty()),
        other => panic!("{other:?}"),
    }
    let after = look(w).await;
    assert_eq!((share(&after), &after.run), (share(&now), &now.run), "nothing was done");
    // Nor does a plan reach a run that is not the one it was made for, not even the way back.
    let other = Rollout { run: Some(RunId::new("never")), ..now.clone() };
    let back = plan(w, &other, "elsewhere", Action::Back { to: now.back.to.clone().unwrap().id });
    let outcome = w.runtime().apply(&back).await;
    assert!(matches!(outcome, Outcome::Refused { refusal: Refusal::Moved { .. } }), "{outcome:?}");
    assert_eq!(share(&look(w).await), share(&now));
}

/// Leaves it at 30 %.
async fn a_lost_answer_is_found_out_and_nothing_is_sent_again<W: World>(w: &W) {
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    let (acted, taken) = (w.acted(), w.taken());
    w.weather(Weather::AnswerLost);
    seat.until("live", |s| s.is_live() && !s.is_silent()).await;
    seat.keys(&["w", "3", "0", "enter", "enter"]);
    seat.until("done", |s| matches!(s.followed().and_then(|f| f.seen.as_ref()), Some(Observation::Confirmed))).await;
    seat.until("answered to nobody", |_| w.taken() > taken).await;
    assert_eq!((seat.sent.len(), w.acted() - acted, w.taken() - taken), (1, 1, 1), "sent once, carried out once");
    // It goes on asking as it likes: never by sending.
    let before = seat.opened.load(Ordering::SeqCst);
    w.cut();
    seat.until("live again", |s| s.is_live() && s.opened.load(Ordering::SeqCst) > before).await;
    assert_eq!(w.acted() - acted, 1);
    assert_eq!(share(seat.rollout()), Some(percent(30)));
    assert!(seat.line().contains("done"), "{}", seat.line());
    w.weather(Weather::Fair);
    let found = w.runtime().resolve(&seat.sent[0].id).await;
    assert_eq!(matches!(found, Ok(Some(ref record)) if matches!(record.outcome, Outcome::Accepted { .. })), w.remembers(), "{found:?}");
}

/// Leaves it at 30 %.
async fn what_never_arrived_is_not_sent_again<W: World>(w: &W) {
    let mut seat = Seat::taken(&w.target(), w.runtime()).await;
    let acted = w.acted();
    w.weather(Weather::Swallowed);
    seat.until("live", |s| s.is_live() && !s.is_silent()).await;
    seat.keys(&["w", "2", "0", "enter", "enter"]);
    if w.remembers() {
        seat.until("found out", |s| matches!(s.outcome(), Some(Outcome::Refused { .. }))).await;
        assert!(seat.line().contains("never arrived"), "{}", seat.line());
    } else {
        // Nobody can say: it stays unknown, and what is missing is said.
        seat.until("unknown", |s| matches!(s.outcome(), Some(Outcome::Unknown { .. })) && s.line().contains("not yet")).await;
        assert!(seat.line().contains("not sent again"), "{}", seat.line());
    }
    let before = seat.opened.load(Ordering::SeqCst);
    w.cut();
    seat.until("live again", |s| s.is_live() && s.opened.load(Ordering::SeqCst) > before).await;
    assert_eq!((w.acted() - acted, seat.sent.len()), (1, 1));
    assert_eq!(share(seat.rollout()), Some(percent(30)), "nothing was done");
    w.weather(Weather::Fair);
}

/// Leaves it at 25 %.
async fn one_that_is_given_up_was_sent_once<W: World>(w: &W) {
    let (rollout, runtime) = (look(w).await, w.runtime());
    let planned = plan(w, &rollout, "given up", give(25));
    let (acted, taken) = (w.acted(), w.taken());
    w.weather(Weather::Hanging);
    {
        // Dropped when it has been carried out and nobody has heard of it.
        let sending = std::pin::pin!(runtime.apply(&planned));
        let arrived = async {
            while w.taken() == taken {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            outcome = sending => panic!("it must hang: {outcome:?}"),
            arrived = timeout(PATIENCE, arrived) => arrived.expect("it arrives"),
        }
    }
    w.weather(Weather::Fair);
    let now = seen(w, "carried out", |r| share(r) == Some(percent(25))).await;
    assert_eq!(runtime.confirm(&planned, &now), Observation::Confirmed);
    assert_eq!((w.acted() - acted, w.taken() - taken), (1, 1));
}

/// Leaves it at v1.
async fn the_way_back_believes_in_its_run_and_its_version_only<W: World>(w: &W) {
    let (old, runtime) = (look(w).await, w.runtime());
    let back = plan(w, &old, "back", Action::Back { to: old.back.to.clone().unwrap().id });
    let forward = plan(w, &old, "forward", give(35));
    w.moves().await;
    let now = look(w).await;
    assert!(now.seen.rev > old.seen.rev);
    assert!(matches!(runtime.confirm(&back, &now), Observation::Pending { .. }));
    let outcome = runtime.apply(&back).await;
    assert!(matches!(outcome, Outcome::Accepted { changed: true, .. }), "{outcome:?}");
    let there = seen(w, "back", |r| r.phase == Phase::Reverted && runtime.confirm(&back, r) == Observation::Confirmed).await;
    assert_eq!(there.stable().unwrap().version.label.as_str(), "v1");
    // Whoever still waits for something else hears that it will not come, and why.
    assert!(matches!(runtime.confirm(&forward, &there), Observation::Contradicted { by } if !by.as_str().is_empty()));
    let again = runtime.plan(&there, &ask("again", Action::Back { to: VersionId(Raw::new(old.back.to.unwrap().id.as_str())) }));
    assert!(matches!(again, Err(Refusal::AlreadySo { .. })), "{again:?}");
}
