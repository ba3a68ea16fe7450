//! A real host that is judged by what a real Prometheus says of it: the same verdicts as by its own
//! counters, blindness when nothing new is said, and a way back that needs none of it.

mod alerts;
mod beside;
mod rig;
mod verdicts;
