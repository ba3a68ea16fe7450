//! What several tests need.

/// Whether a program is installed. Without it the test is left out and says so; where everything is
/// required (`CUTOVER_REQUIRE_ALL=1`), its absence is a failure.
#[allow(dead_code, reason = "not every set of tests needs a program")]
pub fn need(program: &str) -> bool {
    let there = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    there || leave_out(&format!("{program} is not installed"))
}

/// Whether the tests run as root; otherwise like [`need`].
pub fn need_root() -> bool {
    rustix::process::geteuid().is_root() || leave_out("root is needed")
}

/// Says that the current test is left out and why. Always false.
fn leave_out(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CUTOVER_REQUIRE_ALL").is_none_or(|v| v != "1"), "{test}: {why}");
    eprintln!("LEFT OUT {test}: {why}");
    false
}
