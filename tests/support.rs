//! What several tests need.

pub mod host;
pub mod http;
pub mod picture;
#[allow(dead_code, reason = "not every set of tests needs all of it")]
pub mod prometheus;
pub mod pty;
pub mod tls;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::Path,
};

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
    // Straight to standard error: the test harness keeps what is printed by tests that pass.
    let _ = writeln!(std::io::stderr(), "LEFT OUT {test}: {why}");
    false
}

/// A tmpfs of its own, gone with the value.
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where it cannot be mounted: without root, or in a container.
    pub fn new(size: &str) -> Option<Self> {
        if !need_root() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(Self(dir)),
            Err(e) => {
                leave_out(&format!("a tmpfs cannot be mounted: {e}"));
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// Takes every block that is left.
pub fn fill(dir: &Path) {
    let mut file = File::create(dir.join("filler")).unwrap();
    let mut piece = vec![7_u8; 64 << 10];
    loop {
        match file.write(&piece) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::StorageFull && piece.len() > 1 => piece.truncate(piece.len() / 2),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::StorageFull);
                return;
            }
        }
    }
}
