//! The host's state on a filesystem that is really full.

use crate::support::{Tmpfs, fill};
use cutover::host::slots::{Saver, Slots};
use std::time::Duration;

#[tokio::test]
async fn a_full_filesystem_still_takes_every_state() {
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
