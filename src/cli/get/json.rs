//! `cutover/v1`: the JSON of `cutover get -o json`. A format of its own, so that the wire between
//! console and host can change without breaking scripts.

use crate::model::{
    back::How,
    gate::GateState,
    ratio::Ratio,
    rollout::{Hold, Rollout},
    signal::{Reading, Signal, Unit},
    version::{Artifact, Track},
};
use serde_json::{Map, Value, json};

/// Says which format it is.
pub const SCHEMA: &str = "cutover/v1";

/// The whole document.
#[must_use]
pub fn document(rollouts: &[Rollout]) -> Value {
    json!({ "schema": SCHEMA, "rollouts": rollouts.iter().map(rollout).collect::<Vec<_>>() })
}

/// One rollout.
#[must_use]
pub fn rollout(r: &Rollout) -> Value {
    json!({
        "target": r.key.target,
        "scope": r.key.scope,
        "service": r.key.service,
        "run": r.run,
        "strategy": r.strategy,
        "phase": r.phase.word(),
        "reason": r.reason,
        "started": r.started,
        "holds": r.holds.iter().map(hold).collect::<Vec<_>>(),
        "attention": r.attention,
        "step": r.at.map(|at| json!({
            "index": at.index,
            "count": r.steps.len(),
            "kind": r.steps.get(at.index).map(|s| s.spec.kind()),
            "ends_at": at.ends,
        })),
        "tracks": r.tracks.iter().map(track).collect::<Vec<_>>(),
        "gates": r.gates.iter().map(gate).collect::<Vec<_>>(),
        "verdict": r.verdict,
        "next": r.next,
        "back": {
            "how": how(&r.back.how),
            "to": r.back.to.as_ref().map(|v| &v.label),
            "ready": r.back.is_ready(),
            "reasons": r.back.checks.iter().map(|c| json!({ "name": c.name, "state": c.state, "detail": c.detail })).collect::<Vec<_>>(),
            "estimate_ms": r.back.measured.map(|m| m.worst.as_millis().min(u128::from(u64::MAX)) as u64),
        },
        "proof": r.proof,
        "findings": r.findings,
        "last": r.last,
    })
}

fn hold(hold: &Hold) -> Value {
    let (by, reason) = match hold {
        Hold::Manual { by, .. } => (Some(by.to_string()), None),
        Hold::Step { until, .. } => {
            (None, Some(until.map_or_else(|| "until a person steps".to_owned(), |t| format!("until {}", t.to_rfc3339()))))
        }
        Hold::Gate { gate, reason, .. } => (None, Some(format!("{}: {reason}", gate.text()))),
        Hold::Freeze { by, reason, .. } => (Some(by.to_string()), Some(reason.to_string())),
        Hold::Stopped { reason, .. } | Hold::Inconclusive { reason, .. } | Hold::Backend { reason, .. } => (None, Some(reason.to_string())),
    };
    json!({ "kind": hold.kind(), "since": hold.since(), "by": by, "reason": reason })
}

fn track(track: &Track) -> Value {
    let pools = &track.pools;
    let signals: Map<String, Value> = track.signals.iter().map(|(id, s)| (id.word().to_owned(), signal(s))).collect();
    json!({
        "role": track.role,
        "slot": track.slot,
        "version": {
            "id": track.version.id,
            "label": track.version.label,
            "revision": track.version.revision,
            "artifacts": track.version.parts.iter().map(|p| match &p.declared {
                Artifact::Digest(digest) => json!({ "name": p.container, "digest": digest }),
                Artifact::Tag(tag) | Artifact::Opaque(tag) => json!({ "name": p.container, "tag": tag }),
            }).collect::<Vec<_>>(),
        },
        "weight": percent(track.share.declared),
        "programmed": percent(track.share.programmed),
        "seen": percent(track.share.seen),
        "basis": track.share.basis,
        "instances": {
            "desired": pools.iter().map(|p| p.desired).sum::<u32>(),
            "ready": pools.iter().map(|p| p.ready).sum::<u32>(),
            "restarts": pools.iter().map(|p| p.restarts).sum::<u32>(),
        },
        "signals": signals,
    })
}

/// Percent with two decimals, or null.
fn percent(ratio: Option<Ratio>) -> Option<f64> {
    ratio?.percent().map(|p| (p * 100.0).round() / 100.0)
}

fn signal(signal: &Signal) -> Value {
    let (sample, age) = match &signal.reading {
        Reading::Fresh(sample) => (Some(*sample), 0),
        Reading::Stale { last, age } => (Some(*last), u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        Reading::Absent | Reading::ZeroTraffic | Reading::Contradictory(..) => (None, 0),
    };
    let unit = match signal.unit {
        Unit::PerSecond => "per_second",
        Unit::Ratio => "ratio",
        Unit::Millis => "ms",
        Unit::Count => "count",
        Unit::Cores => "cores",
        Unit::Bytes => "bytes",
    };
    json!({
        "value": sample.and_then(|s| s.value()),
        "unit": unit,
        "samples": sample.map_or(0, |s| s.samples()),
        "age_ms": age,
        "state": signal.reading.word(),
    })
}

fn gate(gate: &GateState) -> Value {
    json!({ "name": gate.id, "verdict": gate.verdict.word().to_lowercase(), "reason": gate.verdict.reason() })
}

fn how(how: &How) -> Value {
    match how {
        How::Switch => json!("switch"),
        How::Redeploy { .. } => json!("redeploy"),
        How::Already { .. } => json!("already"),
        How::None { .. } => Value::Null,
    }
}
