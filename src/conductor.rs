//! The pure state machine that runs a plan. It owns nothing and does nothing: time, observations and
//! verdicts are arguments, and what comes out is a new [`Life`] and the [`Wanted`] state of the
//! machine, which the host makes true. Because `Wanted` is derived from `Life` alone, a host that
//! crashed anywhere goes on from the `Life` it finds on disk.

pub mod life;
