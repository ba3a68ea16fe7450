//! Widgets and looks. No state of the application in here: what is drawn comes in as arguments.

pub mod chart;
pub mod figure;
pub mod footer;
pub mod gauge;
pub mod grid;
pub mod look;
pub mod row;
pub mod spark;
pub mod text;
