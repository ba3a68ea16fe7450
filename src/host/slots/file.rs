//! The few things slots ask of a file, and the real one.

use rustix::fs::{FallocateFlags, fallocate};
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// A file of a fixed size. What is written is on disk only after [`FilePort::sync`].
pub trait FilePort: Send + 'static {
    /// Everything in it.
    ///
    /// # Errors
    /// What the system says.
    fn read_all(&mut self) -> io::Result<Vec<u8>>;

    /// Overwrites bytes in place; never asked to go beyond the file's size.
    ///
    /// # Errors
    /// What the system says; any part may have been written then.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written is on disk.
    ///
    /// # Errors
    /// What the system says; nothing is known about the bytes written since the last sync then.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file on disk, 0600.
pub struct RealFile(File);

impl RealFile {
    /// Opens the file, or creates it with `size` zeros; one that is shorter grows, none shrinks.
    ///
    /// # Errors
    /// What the system says; a file that could not be made whole is not left under its name.
    pub fn open(path: &Path, size: usize) -> io::Result<Self> {
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let mut file = match options.open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let new = path.with_extension("new");
                let mut file = options.clone().create(true).truncate(true).open(&new)?;
                fill(&mut file, size)?;
                std::fs::rename(&new, path)?;
                if let Some(dir) = path.parent() {
                    File::open(dir)?.sync_all()?;
                }
                file
            }
            Err(e) => return Err(e),
        };
        fill(&mut file, size)?;
        Ok(Self(file))
    }
}

/// Zeros from the end to `size`, on disk. `fallocate` alone would leave extents that are not written
/// yet, and the first write to those may need a block for the filesystem's own tree.
fn fill(file: &mut File, size: u64) -> io::Result<()> {
    let len = file.metadata()?.len();
    if len >= size {
        return Ok(());
    }
    match fallocate(&*file, FallocateFlags::KEEP_SIZE, len, size - len) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        Err(e) => return Err(e.into()),
    }
    file.seek(SeekFrom::Start(len))?;
    io::copy(&mut io::Read::take(io::repeat(0), size - len), file)?;
    file.flush()?;
    file.sync_all()
}

impl FilePort for RealFile {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        let len = usize::try_from(self.0.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
