//! A disk that forgets what was not synced, cut at every write and torn at every place.

use super::{FilePort, SaveError, Saver, Slots, SlotsError, format::HEADER};
use crate::clock::ManualClock;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::Path,
    slice,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

const CAPACITY: usize = 2048;
const SECTOR: usize = 512;
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct State {
    n: u64,
    all: Vec<u64>,
}

impl State {
    /// Long enough for several sectors, of different lengths, and every part says which state it is.
    fn new(n: u64) -> Self {
        Self { n, all: vec![n; 200 + usize::try_from(n).unwrap() % 7 * 40] }
    }

    fn checked(self) -> u64 {
        assert!(self.all.iter().all(|&n| n == self.n), "mixed: {self:?}");
        self.n
    }
}

/// What happens at one operation of a disk's life.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Trouble {
    /// The power goes, before the operation has any effect on the disk.
    PowerCut(usize),
    /// A sync fails, and the pages are forgotten: in memory they look written for ever.
    SyncForgets(usize),
}

#[derive(Clone, Default)]
struct File {
    disk: Vec<u8>,
    memory: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Default)]
struct Disk {
    files: [File; 2],
    operations: usize,
    trouble: Option<Trouble>,
    off: bool,
}

#[derive(Clone)]
struct Port(Arc<Mutex<Disk>>, usize);

impl Disk {
    fn blank() -> Self {
        let file = || File { disk: vec![0; CAPACITY], memory: vec![0; CAPACITY], unsynced: Vec::new() };
        Self { files: [file(), file()], ..Self::default() }
    }

    /// Every way in which what was not synced may be on disk: each prefix of its bytes, each set of
    /// its sectors.
    fn after_power_cut(&self) -> Vec<Self> {
        let longest = self.files.iter().flat_map(|f| &f.unsynced).map(|(_, b)| b.len()).max().unwrap_or(0);
        let all = std::iter::once(self.torn(slice::from_ref(&(0..longest))));
        let sectors = (0..1_u32 << longest.div_ceil(SECTOR)).map(|set| {
            let reached: Vec<_> = (0..8).filter(|i| set & (1 << i) != 0).map(|i| i * SECTOR..(i + 1) * SECTOR).collect();
            self.torn(&reached)
        });
        let prefixes = (0..longest).map(|cut| self.torn(slice::from_ref(&(0..cut))));
        all.chain(sectors).chain(prefixes).collect()
    }

    /// Of what was not synced, only these bytes of each write have reached the disk.
    fn torn(&self, reached: &[Range<usize>]) -> Self {
        let mut disk = self.after_kill();
        for file in &mut disk.files {
            for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                for piece in reached {
                    let piece = piece.start.min(bytes.len())..piece.end.min(bytes.len());
                    file.disk[offset + piece.start..offset + piece.end].copy_from_slice(&bytes[piece]);
                }
            }
            file.memory.clone_from(&file.disk);
        }
        disk
    }

    /// The process died and the machine did not: what is in memory stays readable.
    fn after_kill(&self) -> Self {
        Self { operations: 0, trouble: None, off: false, ..self.clone() }
    }

    fn is_torn(&self) -> bool {
        self.files.iter().any(|f| !f.unsynced.is_empty())
    }
}

impl Port {
    fn operation(&self) -> io::Result<(std::sync::MutexGuard<'_, Disk>, bool)> {
        let mut disk = self.0.lock().unwrap();
        disk.operations += 1;
        let (now, trouble) = (disk.operations, disk.trouble);
        if trouble == Some(Trouble::PowerCut(now)) {
            disk.off = true;
        }
        if disk.off {
            return Err(io::Error::other("no power"));
        }
        Ok((disk, trouble == Some(Trouble::SyncForgets(now))))
    }
}

impl FilePort for Port {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().files[self.1].memory.clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // The write is in memory before the power goes: that is when it can be torn.
        let offset = usize::try_from(offset).unwrap();
        {
            let file = &mut self.0.lock().unwrap().files[self.1];
            file.memory[offset..offset + bytes.len()].copy_from_slice(bytes);
            file.unsynced.push((offset, bytes.to_vec()));
        }
        self.operation().map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut disk, forgets) = self.operation()?;
        let file = &mut disk.files[self.1];
        let unsynced = std::mem::take(&mut file.unsynced);
        if forgets {
            return Err(io::Error::from_raw_os_error(5));
        }
        for (offset, bytes) in unsynced {
            file.disk[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}

/// What one process saw of its life.
#[derive(Clone, Debug)]
struct Lived {
    /// What the process began with, and every state whose write succeeded since: newest last.
    sure: Option<u64>,
    /// Every state that may be on disk beside it.
    maybe: BTreeSet<u64>,
}

/// The slots, what they held, and what they said about it.
type Opened = (Slots<State>, Option<State>, Vec<String>);

fn open(disk: &Arc<Mutex<Disk>>) -> Result<Opened, SlotsError> {
    let clock = Arc::new(ManualClock::new(chrono::DateTime::from_timestamp(1_786_000_329, 0).unwrap()));
    let ports: [Box<dyn FilePort>; 2] = [Box::new(Port(Arc::clone(disk), 0)), Box::new(Port(Arc::clone(disk), 1))];
    let (slots, loaded) = Slots::with_ports(ports, CAPACITY, clock, Path::new("/state"))?;
    Ok((slots, loaded.state, loaded.found.iter().map(ToString::to_string).collect()))
}

/// Opens the disk, checks what is there against `before`, and writes `states` until the power goes.
/// A write that fails is followed by the next state, as the saver does.
fn live(start: Disk, trouble: Option<Trouble>, before: &Lived, states: &[u64]) -> (Disk, Lived) {
    let disk = Arc::new(Mutex::new(Disk { trouble, ..start }));
    let (mut slots, found, said) = open(&disk).unwrap();
    let found = found.map(State::checked);
    assert!(found == before.sure || found.is_some_and(|n| before.maybe.contains(&n)), "found {found:?} ({said:?}), may be {before:?}");
    // Until the first sync of this process, what it found may be in memory only.
    let confirmed = disk.lock().unwrap().files.iter().all(|f| f.unsynced.is_empty()) && !disk.lock().unwrap().off;
    let mut lived = if confirmed { Lived { sure: found, maybe: BTreeSet::new() } } else { before.clone() };
    for &n in states {
        if disk.lock().unwrap().off {
            break;
        }
        lived.maybe.insert(n);
        if slots.write(&State::new(n)).is_ok() {
            lived = Lived { sure: Some(n), maybe: BTreeSet::new() };
        }
    }
    let disk = disk.lock().unwrap().clone();
    (disk, lived)
}

fn nothing() -> Lived {
    Lived { sure: None, maybe: BTreeSet::new() }
}

#[test]
fn the_power_goes_at_every_write_and_tears_it_everywhere() {
    let script: Vec<u64> = (1..=6).collect();
    let (whole, _) = live(Disk::blank(), None, &nothing(), &script);
    assert_eq!(whole.operations, 12, "one write and one sync for each state");
    let mut torn = 0;
    for cut in 1..=whole.operations {
        let (disk, lived) = live(Disk::blank(), Some(Trouble::PowerCut(cut)), &nothing(), &script);
        assert!(disk.is_torn());
        for (i, after) in disk.after_power_cut().into_iter().enumerate() {
            torn += 1;
            live(after.clone(), None, &lived, &[]);
            // For the sets of sectors: the next process lives on, and the power goes again.
            for cut in (1..=6).filter(|_| i <= 8) {
                let (disk, lived) = live(after.clone(), Some(Trouble::PowerCut(cut)), &lived_of(&after), &[20, 21]);
                for after in disk.after_power_cut().into_iter().take(9) {
                    live(after, None, &lived, &[30]);
                }
            }
        }
    }
    assert!(torn > 10_000, "{torn} tears");
}

/// What a disk whose power came back holds: that, and nothing else, must be found from now on.
fn lived_of(disk: &Disk) -> Lived {
    let (_, found, _) = open(&Arc::new(Mutex::new(disk.clone()))).unwrap();
    Lived { sure: found.map(State::checked), maybe: BTreeSet::new() }
}

#[test]
fn a_killed_process_leaves_a_state_in_memory_only_and_then_the_power_goes() {
    for kill in 1..=8 {
        let (disk, lived) = live(Disk::blank(), Some(Trouble::PowerCut(kill)), &nothing(), &[1, 2, 3, 4]);
        for cut in 1..=6 {
            let (disk, lived) = live(disk.after_kill(), Some(Trouble::PowerCut(cut)), &lived, &[10, 11]);
            for after in disk.after_power_cut().into_iter().step_by(3) {
                live(after, None, &lived, &[]);
            }
        }
    }
}

#[test]
fn a_sync_that_fails_and_forgets_loses_nothing_that_was_acknowledged() {
    for failing in [2, 4, 6, 8] {
        for states in 1..=5 {
            let script: Vec<u64> = (1..=states).collect();
            let (disk, lived) = live(Disk::blank(), Some(Trouble::SyncForgets(failing)), &nothing(), &script);
            for cut in 1..=6 {
                let (disk, lived) = live(disk.after_kill(), Some(Trouble::PowerCut(cut)), &lived, &[10, 11]);
                for after in disk.after_power_cut().into_iter().take(30) {
                    live(after, None, &lived, &[]);
                }
            }
        }
    }
}

#[test]
fn it_says_what_it_found() {
    let shared = |disk: &Disk| Arc::new(Mutex::new(disk.clone()));
    let said = |disk: &Disk| open(&shared(disk)).map(|(_, _, said)| said.join(" | ")).map_err(|e| e.to_string());
    let blank = Disk::blank();
    assert_eq!(said(&blank), Ok("no state yet: nothing was deployed before".into()));

    let (mut disk, _) = live(blank, None, &nothing(), &[1, 2]);
    assert_eq!(said(&disk), Ok("took slot b from 2026-08-06 07:12:09Z, state 2".into()));
    disk.files[1].memory[HEADER + 3] ^= 1;
    assert_eq!(said(&disk), Ok("slot b was torn in mid-write, took slot a from 2026-08-06 07:12:09Z, state 1".into()));
    disk.files[0].memory[HEADER + 3] ^= 1;
    assert_eq!(
        said(&disk),
        Err("no slot in /state is whole: restore it, or move the slots away to start without any deployed version".into())
    );
}

#[test]
fn what_is_whole_and_not_ours_is_never_taken_for_nothing() {
    let disk = Disk::blank();
    let mut newer = disk.clone();
    let mut bytes = super::format::write(7, chrono::DateTime::UNIX_EPOCH, b"{}");
    newer.files[0].memory[..bytes.len()].copy_from_slice(&bytes);
    let error = open(&Arc::new(Mutex::new(newer.clone()))).err().unwrap().to_string();
    assert!(error.starts_with("slot a in /state is whole but cannot be understood: missing field `n`"), "{error}");

    bytes[8] = 2;
    let mut hashed = bytes[..40].to_vec();
    hashed.extend(b"{}");
    bytes[40..72].copy_from_slice(crate::model::digest::Digest::of(&hashed).as_array());
    newer.files[0].memory[..bytes.len()].copy_from_slice(&bytes);
    let error = open(&Arc::new(Mutex::new(newer))).err().unwrap().to_string();
    assert_eq!(error, "slot a in /state has format 2, this cutover knows 1: upgrade cutover");
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_the_last_one_stays() {
    let disk = Arc::new(Mutex::new(Disk::blank()));
    let (mut slots, _, _) = open(&disk).unwrap();
    slots.write(&State::new(1)).unwrap();
    let error = slots.write(&State { n: 2, all: vec![2; 4000] }).unwrap_err().to_string();
    assert_eq!(error, "the state has 8015 bytes, a slot holds 1536: remove services that are not used any more");
    assert_eq!(lived_of(&disk.lock().unwrap()).sure, Some(1));
    assert_eq!(slots.write(&State::new(3)).unwrap(), 2);
}

#[test]
fn real_files_are_read_back_private_locked_and_never_grow() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    let (mut slots, loaded) = Slots::<State>::open(&dir, CAPACITY).unwrap();
    assert_eq!((loaded.state, loaded.seq), (None, 0));
    for n in 1..=5 {
        assert_eq!(slots.write(&State::new(n)).unwrap(), n);
    }
    let busy = Slots::<State>::open(&dir, CAPACITY).err().unwrap();
    assert_eq!(
        busy.to_string(),
        format!("state directory {} is used by another host: stop that one, or set host.state to another directory", dir.display())
    );
    drop(slots);
    let (mut slots, loaded) = Slots::<State>::open(&dir, 2 * CAPACITY).unwrap();
    assert_eq!((loaded.state, loaded.seq), (Some(State::new(5)), 5));
    slots.write(&State { n: 6, all: vec![6; 1500] }).unwrap();
    for name in ["slot-a", "slot-b"] {
        let seen = std::fs::metadata(dir.join(name)).unwrap();
        assert_eq!((seen.len(), seen.permissions().mode() & 0o777), (2 * CAPACITY as u64, 0o600));
    }
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

/// A disk that hangs in sync for as long as `hangs`, and fails while `fails`.
#[derive(Clone, Default)]
struct Stuck(Arc<(Mutex<Mood>, Condvar)>);

#[derive(Default)]
struct Mood {
    hangs: bool,
    fails: bool,
    inside: bool,
    syncs: u32,
}

impl Stuck {
    fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }
}

impl FilePort for Stuck {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(vec![0; CAPACITY])
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut mood = self.0.0.lock().unwrap();
        mood.inside = true;
        self.0.1.notify_all();
        let mut mood = self.0.1.wait_while(mood, |m| m.hangs).unwrap();
        mood.inside = false;
        mood.syncs += 1;
        if mood.fails { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }
}

fn saver(disk: &Stuck) -> Saver<State> {
    let ports: [Box<dyn FilePort>; 2] = [Box::new(disk.clone()), Box::new(disk.clone())];
    let clock = Arc::new(crate::clock::SystemClock::start());
    Saver::start(Slots::with_ports(ports, CAPACITY, clock, Path::new("/state")).unwrap().0).unwrap()
}

#[tokio::test]
async fn a_disk_that_hangs_blocks_nobody_and_is_written_later() {
    let disk = Stuck::default();
    let saver = saver(&disk);
    let mut banner = saver.trouble();
    saver.save(State::new(1)).await.unwrap();
    assert_eq!(*banner.borrow(), None);

    disk.set(|m| m.hangs = true);
    let started = std::time::Instant::now();
    let ticket = saver.save(State::new(2));
    let slow = ticket.clone().wait(Duration::from_millis(20)).await;
    assert_eq!(slow.unwrap_err().to_string(), "the disk has not answered within 20 ms");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let up = tokio::time::timeout(LIMIT, banner.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
    assert!(up.as_str().starts_with("state not on disk") && up.as_str().ends_with(": the disk does not answer"), "{up}");

    // Nothing is written twice for states that were replaced while the disk hung.
    let tickets: Vec<_> = (3..100).map(|n| saver.save(State::new(n))).collect();
    let before = disk.0.0.lock().unwrap().syncs;
    disk.set(|m| m.hangs = false);
    tokio::time::timeout(LIMIT, ticket).await.unwrap().unwrap();
    for ticket in tickets {
        tokio::time::timeout(LIMIT, ticket).await.unwrap().unwrap();
    }
    assert_eq!(disk.0.0.lock().unwrap().syncs - before, 2, "the one that hung, and the newest");
    tokio::time::timeout(LIMIT, banner.wait_for(Option::is_none)).await.unwrap().unwrap();
    saver.close(LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_and_tried_again_until_it_works() {
    let disk = Stuck::default();
    disk.set(|m| m.fails = true);
    let saver = saver(&disk);
    let mut banner = saver.trouble();
    let failed = tokio::time::timeout(LIMIT, saver.save(State::new(1))).await.unwrap();
    assert_eq!(failed, Err(SaveError::Failed("cannot write slot a: no space left on device".into())));
    let up = tokio::time::timeout(LIMIT, banner.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
    assert!(up.as_str().starts_with("state not on disk") && up.as_str().ends_with(": no space left on device"), "{up}");
    let ticking = |t: &Option<crate::model::text::Text>| t.as_ref().is_some_and(|t| t.as_str().contains(" s: no space"));
    tokio::time::timeout(LIMIT, banner.wait_for(ticking)).await.unwrap().unwrap();
    disk.set(|m| m.fails = false);
    tokio::time::timeout(LIMIT, banner.wait_for(Option::is_none)).await.unwrap().unwrap();
    saver.close(LIMIT).await.unwrap();
}

#[tokio::test]
async fn closing_waits_for_a_disk_that_hangs_no_longer_than_it_is_told() {
    let disk = Stuck::default();
    disk.set(|m| m.hangs = true);
    let saver = saver(&disk);
    let ticket = saver.save(State::new(1));
    assert_eq!(saver.close(Duration::from_millis(20)).await, Err(SaveError::Slow(Duration::from_millis(20))));
    disk.set(|m| (m.hangs, m.fails) = (false, true));
    let last = tokio::time::timeout(LIMIT, ticket).await.unwrap();
    assert!(matches!(last, Err(SaveError::Failed(_) | SaveError::Ended)), "{last:?}");
}
