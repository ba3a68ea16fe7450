//! A disk that forgets what was not synced and fails for good at one of its operations.

use crate::engine::rig::clock;
use cutover::host::{
    slots::{FilePort, Slots},
    state::HostState,
};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

const SIZE: usize = 128 << 10;

/// Both slots, as they are on the disk and as the system still has them in memory.
#[derive(Clone, Default)]
pub struct Forgetful {
    disk: [Vec<u8>; 2],
    memory: [Vec<u8>; 2],
    /// Where and how much of it, since the last sync.
    unsynced: Vec<(usize, usize, usize)>,
    /// Writes and syncs so far.
    pub operations: usize,
    cut: Option<usize>,
}

struct Port(Arc<Mutex<Forgetful>>, usize);

impl Forgetful {
    /// Fails from its operation `cut` on.
    pub fn blank(cut: Option<usize>) -> Arc<Mutex<Self>> {
        let files = || [vec![0; SIZE], vec![0; SIZE]];
        Arc::new(Mutex::new(Self { disk: files(), memory: files(), cut, ..Self::default() }))
    }

    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.cut.is_some_and(|cut| self.operations >= cut) { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    /// After the cut: of what was not synced, this share reached the disk.
    pub fn found(&self, eighths: usize, cut: Option<usize>) -> Arc<Mutex<Self>> {
        let mut next = Self { operations: 0, cut, unsynced: Vec::new(), ..self.clone() };
        for &(file, from, len) in &self.unsynced {
            let reached = from..from + len * eighths / 8;
            next.disk[file][reached.clone()].copy_from_slice(&self.memory[file][reached]);
        }
        next.memory = next.disk.clone();
        Arc::new(Mutex::new(next))
    }
}

impl FilePort for Port {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().memory[self.1].clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        disk.memory[self.1][from..from + bytes.len()].copy_from_slice(bytes);
        disk.unsynced.push((self.1, from, bytes.len()));
        disk.operation()
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.operation()?;
        let (file, memory) = (self.1, disk.memory[self.1].clone());
        disk.disk[file] = memory;
        disk.unsynced.retain(|(other, ..)| *other != file);
        Ok(())
    }
}

/// As a host that starts: the slots, and what it finds in them.
pub fn open(disk: &Arc<Mutex<Forgetful>>) -> (Slots<HostState>, Option<HostState>) {
    let ports: [Box<dyn FilePort>; 2] = [Box::new(Port(Arc::clone(disk), 0)), Box::new(Port(Arc::clone(disk), 1))];
    let (slots, loaded) = Slots::with_ports(ports, SIZE, clock(), Path::new("/state")).unwrap();
    (slots, loaded.state)
}
