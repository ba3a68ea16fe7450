//! Many rollouts of several targets, as a console hears of them.

use crate::fixtures::{self as fx, ago, empty, key, now, version};
use cutover::{
    app::{
        msg::{Msg, Planner, Stroke},
        state::{Input, Place, State},
        update::update,
    },
    model::{
        action::{Observation, Plan, Refusal},
        delta::Delta,
        ident::{Rev, TargetId},
        rollout::{Attention, Freeze, Hold, Known, Phase, Rollout, Standing},
        spec::Strategy,
        text::Raw,
    },
    runtime::{Ask, Link},
    ui::look::Paint,
};
use std::time::Duration;

/// Plans nothing.
struct Nobody;

impl Planner for Nobody {
    fn plan(&self, _: &Rollout, _: &Ask) -> Result<Plan, Refusal> {
        Err(Refusal::NotNow { why: "nobody plans here".into() })
    }
    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Pending { missing: "everything".into() }
    }
}

/// One message to a state.
pub fn tell(state: &mut State, msg: Msg) {
    let uptime = state.shared.uptime;
    update(state, msg, now(), uptime, &Nobody);
}

/// A remembered version.
pub fn known(label: &str, short: &str, standing: Standing, hours: u64, errors: Option<f64>) -> Known {
    Known {
        version: version(label, short, 1),
        standing,
        proven: Duration::from_secs(hours * 3_600),
        error_ratio: errors,
        until: Some(ago(86_400)),
        available: true,
    }
}

fn named(target: &str, service: &str, (mut r, _): (Rollout, fx::Pasts), change: impl FnOnce(&mut Rollout)) -> Rollout {
    r.key = key(target, &[], service);
    change(&mut r);
    r
}

/// Seven rollouts, one of each urgency.
pub fn seven() -> Vec<Rollout> {
    vec![
        named("prod", "checkout", fx::rising(), |r| r.attention = Some(Attention { kind: "failing".into(), since: ago(485) })),
        named("prod", "cart", fx::paused(), |r| r.strategy = Strategy::BlueGreen),
        named("prod", "search", fx::starting(), |r| r.attention = Some(Attention { kind: "stuck".into(), since: ago(190) })),
        named("prod", "catalogue-and-recommendation-service-api-2", fx::healthy(), |r| {
            r.frozen = Some(Freeze { by: "ana".into(), reason: "stock-taking".into(), since: ago(3_600), until: Some(ago(-7_200)) });
            r.holds.push(Hold::Freeze { by: "ana".into(), since: ago(3_600), until: Some(ago(-7_200)), reason: "stock-taking".into() });
        }),
        named("prod", "mail", fx::completed(), |r| {
            r.strategy = Strategy::Recreate;
            let mut baking = known("v42", "77ab04c1d203", Standing::Baking { until: ago(-7_000) }, 1, Some(0.0));
            baking.version = r.tracks[0].version.clone();
            r.versions = vec![baking];
        }),
        named("prod", "images", fx::completed(), |r| r.strategy = Strategy::Rolling),
        named("stage", "checkout", fx::healthy(), |_| {}),
    ]
}

/// What a console shows that has heard of these rollouts: `stage` fell silent 41 s ago.
pub fn fleet(rollouts: &[Rollout]) -> State {
    let mut state = empty();
    for (name, paint) in [("prod", Paint::Red), ("stage", Paint::Green)] {
        let target = TargetId::new(name);
        state.targets.insert(target.clone(), Place { paint: Some(paint), read_only: false });
        tell(&mut state, Msg::Link(target.clone(), Link::Live { since: ago(3_600) }));
        tell(&mut state, Msg::Delta(target.clone(), Delta::Init { version: 1, epoch: 1, server_time: now() }));
        for r in rollouts.iter().filter(|r| r.key.target == target) {
            tell(&mut state, Msg::Delta(target.clone(), Delta::Apply { rollout: Box::new(r.clone()) }));
        }
        tell(&mut state, Msg::Delta(target, Delta::InitDone { rev: Rev(1) }));
    }
    for w in state.shared.rollouts.values_mut().filter(|w| w.rollout.key.target.as_str() == "stage") {
        w.heard = ago(41);
    }
    tell(&mut state, Msg::Link(TargetId::new("stage"), Link::Stale { since: ago(41) }));
    tell(&mut state, Msg::Frame);
    state
}

/// So many rollouts, the conditions in turn.
pub fn many(n: usize) -> State {
    let seven = seven();
    let one = |i: usize| {
        let mut r = seven[i % seven.len()].clone();
        r.key.service = Raw::new(format!("service-{i:05}"));
        if r.phase == Phase::Held {
            r.at.as_mut().unwrap().since = ago(i as i64 % 9_000);
        }
        r
    };
    fleet(&(0..n).map(one).collect::<Vec<_>>())
}

/// The cursor on the last row.
#[allow(dead_code, reason = "only the bench moves it")]
pub fn choose_last(state: &mut State) {
    state.desk = cutover::app::desk::Desk::new(cutover::app::keymap::Keymap::default(), None, "t");
    let stroke = Stroke { input: Input::Key("G".parse().unwrap()), repeat: false, read_at: state.shared.uptime };
    tell(state, Msg::Input { batch: vec![stroke] });
    tell(state, Msg::Frame);
}
