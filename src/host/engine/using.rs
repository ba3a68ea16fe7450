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
            let probe_failures = instance.usage.as_ref().map_or(0, |u| u.probe_failures);
            instance.usage = accounts.of(&instance.id).map(|usage| Usage { probe_failures, ..usage }).or(instance.usage.take());
        }
        enter_signals(track);
    }
}

fn enter_signals(track: &mut Track) {
    let used: Vec<&Usage> =
        track.pools.iter().flat_map(|p| &p.instances).filter_map(|i| i.usage.as_ref()).filter(|u| u.memory > 0).collect();
    let n = used.len() as u64;
    let gauge = |value: f64| if n == 0 { Reading::Absent } else { Reading::Fresh(Sample::Gauge { value, n }) };
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    let memory = used.iter().map(|u| u.memory).sum::<u64>() as f64;
    let (cpu, memory) = (gauge(used.iter().map(|u| u.cpu).sum()), gauge(memory));
    let restarts = f64::from(track.pools.iter().map(|p| p.restarts).sum::<u32>());
    let instances = track.pools.iter().map(|p| p.instances.len() as u64).sum();
    let restarts = Reading::Fresh(Sample::Gauge { value: restarts, n: instances });
    for (id, unit, reading) in
        [(SignalId::Cpu, Unit::Cores, cpu), (SignalId::Memory, Unit::Bytes, memory), (SignalId::Restarts, Unit::Count, restarts)]
    {
        track.signals.insert(id, Signal { unit, window: crate::host::usage::EVERY, reading });
    }
}
