//! What instances use, in the picture: of each of them, and of each version together.

use crate::{
    host::usage::Accounts,
    model::{
        instance::Usage,
        rollout::Rollout,
        signal::{Reading, Sample, Signal, SignalId, Unit},
        version::Track,
    },
};

/// Enters what was read last into a rollout's instances and signals.
pub(super) fn enter(rollout: &mut Rollout, accounts: &Accounts) {
    for track in &mut rollout.tracks {
        for instance in track.pools.iter_mut().flat_map(|p| &mut p.instances) {
            // Failed probes are counted where probes are made.
            let counted = instance.usage.as_ref().and_then(|u| u.probe_failures);
            // The host makes them all: where none was counted, none failed.
            let probe_failures = Some(counted.unwrap_or_default());
            instance.usage = accounts.of(&instance.id).map(|usage| Usage { probe_failures, ..usage }).or(instance.usage.take());
        }
        enter_signals(track);
    }
}

fn enter_signals(track: &mut Track) {
    let used = || track.pools.iter().flat_map(|p| &p.instances).filter_map(|i| i.usage.as_ref());
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    let memory = gauge(used().filter_map(|u| u.memory).map(|bytes| bytes as f64));
    let cpu = gauge(used().filter_map(|u| u.cpu));
    let restarts = f64::from(track.pools.iter().map(|p| p.restarts).sum::<u32>());
    let instances = track.pools.iter().map(|p| p.instances.len() as u64).sum();
    let restarts = Reading::Fresh(Sample::Gauge { value: restarts, n: instances });
    for (id, unit, reading) in
        [(SignalId::Cpu, Unit::Cores, cpu), (SignalId::Memory, Unit::Bytes, memory), (SignalId::Restarts, Unit::Count, restarts)]
    {
        track.signals.insert(id, Signal { unit, window: crate::host::usage::EVERY, reading });
    }
}

/// The sum of what is known; of nothing, nothing.
fn gauge(known: impl Iterator<Item = f64>) -> Reading {
    let (value, n) = known.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { Reading::Absent } else { Reading::Fresh(Sample::Gauge { value, n }) }
}
