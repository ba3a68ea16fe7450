//! The demo's directory: made private, removed whatever happened to whoever made it.

use crate::clock::{Clock, SystemClock};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// What the names of such directories start with. Nothing of another name is ever removed.
pub const PREFIX: &str = "cutover-demo-";

/// The host's control socket in it: somebody listens as long as the host is there.
pub const SOCKET: &str = "host.sock";

/// How long the host may take to end its instances.
const PATIENCE: Duration = Duration::from_secs(60);

/// For so long nothing may have come back: a host that was only being started makes its directories yet.
const GONE: Duration = Duration::from_secs(2);

/// A directory that was a demo's when this value was made.
pub struct Dir {
    path: PathBuf,
    /// Device and inode: another directory of the same name is not ours.
    id: (u64, u64),
}

impl Dir {
    /// The demo's directory at this place.
    ///
    /// # Errors
    /// When it cannot be one: another name, no directory, somebody else's.
    pub fn new(path: &Path) -> io::Result<Self> {
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        let seen = fs::symlink_metadata(path)?;
        let own = seen.uid() == rustix::process::geteuid().as_raw();
        if !(named && seen.is_dir() && own && path.is_absolute()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no directory of a demo", path.display())));
        }
        Ok(Self { path: path.to_owned(), id: (seen.dev(), seen.ino()) })
    }

    /// Waits until the host is gone and removes what is left; at once when nothing is. `may_come`: a host that was
    /// only being started may make its directories yet, so they are looked for a while longer.
    pub fn remove_when_left(&self, may_come: bool) {
        let watch = if may_come { GONE } else { Duration::ZERO };
        let clock = SystemClock::start();
        let mut gone: Option<Duration> = None;
        while self.is_there(gone.is_some()) || gone.is_some_and(|since| clock.uptime() - since < watch) {
            // A socket that was left over, because something else could not be removed, is nobody's.
            let host = UnixStream::connect(self.path.join(SOCKET)).is_ok() && clock.uptime() < PATIENCE;
            if !host && self.is_there(gone.is_some()) && remove(&self.path).is_ok() {
                gone = Some(clock.uptime());
            }
            if clock.uptime() > PATIENCE * 2 {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// `again`: it was removed already, and a host that came late may have made it anew.
    fn is_there(&self, again: bool) -> bool {
        let own = rustix::process::geteuid().as_raw();
        fs::symlink_metadata(&self.path)
            .is_ok_and(|seen| seen.is_dir() && seen.uid() == own && (again || (seen.dev(), seen.ino()) == self.id))
    }
}

/// Removes a directory with everything in it. Artifacts are unpacked read-only: their directories are opened first.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(dir: &Path) -> io::Result<()> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        for item in fs::read_dir(&dir)?.flatten().filter(|item| item.file_type().is_ok_and(|t| t.is_dir())) {
            dirs.push(item.path());
        }
    }
    fs::remove_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use super::{Dir, PREFIX, SOCKET, remove};
    use std::{fs, os::unix::fs::PermissionsExt, thread};

    #[test]
    fn only_a_demos_directory_is_removed() {
        let around = tempfile::tempdir().unwrap();
        let demo = around.path().join(format!("{PREFIX}x"));
        let other = around.path().join("photos");
        let link = around.path().join(format!("{PREFIX}link"));
        for dir in [&demo, &other] {
            fs::create_dir(dir).unwrap();
        }
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(Dir::new(&other).is_err() && Dir::new(&link).is_err() && Dir::new(&around.path().join("no")).is_err());
        let ours = Dir::new(&demo).unwrap();
        fs::create_dir(demo.join("copy")).unwrap();
        fs::write(demo.join("copy/file"), "x").unwrap();
        std::os::unix::fs::symlink(&other, demo.join("out")).unwrap();
        fs::set_permissions(demo.join("copy"), fs::Permissions::from_mode(0o555)).unwrap();
        // A host that is gone may have left its socket.
        drop(std::os::unix::net::UnixListener::bind(demo.join(SOCKET)).unwrap());
        ours.remove_when_left(false);
        assert!(!demo.exists() && other.exists());
        // What comes late goes as well.
        fs::create_dir(&demo).unwrap();
        let ours = Dir::new(&demo).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| ours.remove_when_left(true));
            while demo.exists() {
                thread::yield_now();
            }
            fs::create_dir(&demo).unwrap();
        });
        assert!(!demo.exists());
        assert!(remove(&demo).is_err());
    }
}
