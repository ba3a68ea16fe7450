//! The picture of the README, taken from a real run: `CUTOVER_PICTURE=assets/console.svg cargo test picture`.

use super::{
    Person,
    demo::{demo, shows_within},
};
use crate::support::picture::svg;
use std::{fs, time::Duration};

#[test]
fn the_picture_of_the_readme_is_taken_when_asked_for() {
    let Some(place) = std::env::var_os("CUTOVER_PICTURE") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut pty = demo(dir.path(), &["--scenario", "errors"], 100, 30);
    shows_within(&mut pty, "FAIL errors", Duration::from_secs(120));
    // Long enough for the curves to show it.
    pty.waits(Duration::from_secs(25));
    // The notice of the start goes with the first key.
    pty.presses("r");
    pty.until("the notice is gone", |p| !p.screen().contains("join from"));
    fs::write(place, svg(pty.parser.screen(), "The console on a canary whose errors rise")).unwrap();
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
}
