//! The host's state on a filesystem that is really full.

use crate::support::need_root;
use cutover::host::slots::{Saver, Slots};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    fs::File,
    io::{ErrorKind, Write},
    path::Path,
    time::Duration,
};

/// A tmpfs of its own, gone with the value.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// `None` where mounting is not allowed, as in a container.
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), options.as_c_str()) {
            Ok(()) => Some(Self(dir)),
            Err(e) => {
                assert!(std::env::var_os("CUTOVER_REQUIRE_ALL").is_none(), "cannot mount: {e}");
                eprintln!("LEFT OUT a full tmpfs: cannot mount: {e}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// Takes every block that is left.
fn fill(dir: &Path) {
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

#[tokio::test]
async fn a_full_filesystem_still_takes_every_state() {
    if !need_root() {
        return;
    }
    let Some(disk) = Tmpfs::new("2m") else { return };
    let state = disk.path().join("state");
    let (slots, _) = Slots::<Vec<u64>>::open(&state, 512 << 10).unwrap();
    fill(disk.path());
    let saver = Saver::start(slots).unwrap();
    for n in 0..20 {
        saver.save(vec![n; 100_000]).wait(Duration::from_secs(20)).await.unwrap();
    }
    assert_eq!(*saver.trouble().borrow(), None);
    saver.close(Duration::from_secs(20)).await.unwrap();
    let (slots, loaded) = Slots::<Vec<u64>>::open(&state, 512 << 10).unwrap();
    assert_eq!(loaded.state, Some(vec![19; 100_000]));

    // A second host finds no place for its own, says so, and leaves nothing behind under a slot's name.
    let other = disk.path().join("other");
    let error = Slots::<Vec<u64>>::open(&other, 512 << 10).err().unwrap().to_string();
    assert!(error.ends_with("no space left on device"), "{error}");
    assert!(!other.join("slot-a").exists());
    drop(slots);
}
