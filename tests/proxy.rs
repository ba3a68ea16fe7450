//! The weighted proxy, from outside: raw TCP on both sides.

mod bodies;
mod client;
mod known;
mod load;
mod rig;
mod routing;
mod scarce;
mod trying;
mod upgrades;
