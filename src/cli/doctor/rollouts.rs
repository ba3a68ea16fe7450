//! What runs: are its artifacts there, is the way back ready.

use super::{Facts, Line};
use crate::model::{
    back::{Check, CheckState, How},
    rollout::{Phase, Rollout},
};

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    facts.rollouts().filter(|r| r.phase != Phase::Idle).flat_map(one).collect()
}

fn one(r: &Rollout) -> Vec<Line> {
    let name = r.key.service.text();
    let mut lines = vec![back(r)];
    let gone: Vec<&str> = r.versions.iter().filter(|k| !k.available).map(|k| k.version.label.as_str()).collect();
    if !gone.is_empty() {
        lines.push(Line::warn(
            format!("{name}: the artifacts of {} are not in the store any more", gone.join(", ")),
            "seal them again if they may be needed",
        ));
    }
    for finding in &r.findings {
        lines.push(Line::warn(format!("{name}: {}: {}", finding.kind, finding.what), "see `cutover get` and the events"));
    }
    if let Some(freeze) = &r.frozen {
        lines.push(Line::warn(format!("{name}: frozen by {}: {}", freeze.by, freeze.reason), "`cutover thaw` lifts it"));
    }
    lines
}

fn back(r: &Rollout) -> Line {
    let name = r.key.service.text();
    let to = r.back.to.as_ref().map(|v| format!(" to {}", v.label)).unwrap_or_default();
    match &r.back.how {
        How::None { why } => Line::warn(format!("{name}: no way back: {why}"), "it comes with the next version that is promoted"),
        How::Already { .. } => {
            let then = r.back.then.as_ref().map(|v| format!("; then {v} starts, revert calls it off")).unwrap_or_default();
            Line::ok(format!("{name}: is back{to}{then}"))
        }
        How::Switch | How::Redeploy { .. } => {
            let by = if matches!(r.back.how, How::Switch) { "switch" } else { "re-deploy" };
            let open = |c: &&Check| matches!(c.state, CheckState::Bad | CheckState::Unknown);
            let wrong: Vec<String> = r.back.checks.iter().filter(open).map(|c| format!("{}: {}", c.name, c.detail)).collect();
            let unsure = r.back.checks.iter().all(|c| c.state != CheckState::Bad);
            match (wrong.is_empty(), unsure) {
                (true, _) => Line::ok(format!("{name}: the way back{to} by {by} is ready")),
                (_, true) => {
                    Line::warn(format!("{name}: the way back{to} is not checked yet: {}", wrong.join("; ")), "look again in a minute")
                }
                _ => {
                    Line::bad(format!("{name}: the way back{to} by {by} is not ready: {}", wrong.join("; ")), "mend it before it is needed")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::look;
    use crate::{
        cli::{
            connect::Target,
            doctor::{Facts, State},
        },
        clock::ManualClock,
        config::{Config, Env, Loaded, Origins, Paths},
        metrics::prometheus::Servers,
        model::{
            back::{Check, CheckState, How},
            ident::TargetId,
            rollout::{Finding, Freeze, Rollout},
            time::Time,
        },
        runtime::host::plan::tests::{rollout, versions},
    };
    use std::sync::Arc;

    fn lines(change: impl FnOnce(&mut Rollout)) -> Vec<(State, String)> {
        let mut r = rollout();
        change(&mut r);
        let env = Env::default();
        let config = Config::default();
        let loaded = Loaded { paths: Paths::new(&config, &env), config, path: None, origins: Origins::default(), doubts: Vec::new() };
        let target = Target::of_host(TargetId::new("t"), "/nowhere".into(), false);
        let servers = Servers::new(Arc::new(ManualClock::new(Time::UNIX_EPOCH)));
        let facts = Facts { env: &env, servers: &servers, loaded: &loaded, targets: vec![(target, Ok(vec![r]))], now: Time::UNIX_EPOCH };
        look(&facts).into_iter().map(|l| (l.state, l.what)).collect()
    }

    #[test]
    fn the_way_back_and_what_it_needs() {
        assert_eq!(lines(|_| {}), [(State::Ok, "checkout: the way back to v41 by switch is ready".into())]);
        let check = |state| {
            move |r: &mut Rollout| r.back.checks = vec![Check { name: "disk".into(), state, detail: "full".into(), at: Time::UNIX_EPOCH }]
        };
        assert_eq!(
            lines(check(CheckState::Bad)),
            [(State::Bad, "checkout: the way back to v41 by switch is not ready: disk: full".into())]
        );
        assert_eq!(lines(check(CheckState::Unknown))[0].0, State::Warn);
        assert_eq!(lines(|r| r.back.how = How::None { why: "first version".into() })[0].0, State::Warn);
        let all = lines(|r| {
            r.versions = versions();
            r.findings = vec![Finding { kind: "drift".into(), what: "v41 changed".into(), since: Time::UNIX_EPOCH }];
            r.frozen = Some(Freeze { by: "ana".into(), reason: "peak".into(), since: Time::UNIX_EPOCH, until: None });
        });
        let said: Vec<&str> = all.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(
            said[1..],
            [
                "checkout: the artifacts of v38 are not in the store any more",
                "checkout: drift: v41 changed",
                "checkout: frozen by ana: peak"
            ]
        );
    }
}
