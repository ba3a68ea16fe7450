//! Widgets and looks. No state of the application in here: what is drawn comes in as arguments.

pub mod look;
