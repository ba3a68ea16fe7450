//! Where things are kept: there, writable, with room.

use super::{Facts, Line};
use crate::watchdog::plain;
use std::path::{Path, PathBuf};

/// Below this much free space nothing can be deployed safely: an artifact is unpacked beside its layer.
const LITTLE: u64 = 200 << 20;
/// Below this much, somebody should look soon.
const SCARCE: u64 = 2 << 30;

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let paths = &facts.loaded.paths;
    let journal = paths.journal.parent().unwrap_or(&paths.journal);
    let all = [("state", paths.state.as_path()), ("store", &paths.store), ("run", &paths.run), ("journal", journal)];
    let mut lines: Vec<Line> = all.iter().map(|(name, dir)| one(name, dir)).collect();
    if let Err(e) = std::fs::OpenOptions::new().append(true).open(&paths.journal)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        lines.push(Line::bad(
            format!("journal {} cannot be written: {}", paths.journal.display(), plain(&e)),
            "give it to the user who acts, or set [journal] path",
        ));
    }
    lines
}

fn one(name: &str, dir: &Path) -> Line {
    let Some(there) = nearest(dir) else {
        return Line::bad(format!("{name} {}: no directory above it is there", dir.display()), "make it");
    };
    let missing = if there == dir { "" } else { " will be made" };
    // Writing is the only proof: permissions say nothing of a disk that is read-only or full.
    let probe = tempfile::Builder::new().prefix(".cutover-doctor-").tempfile_in(&there);
    if let Err(e) = probe {
        let hint = format!("run as the user who owns it, or set another [host] {name}");
        return Line::bad(format!("{name} {}{missing}: {} cannot be written: {}", dir.display(), there.display(), plain(&e)), hint);
    }
    match free(&there) {
        None => Line::warn(format!("{name} {}{missing}: free space is not known", dir.display()), "look with df"),
        Some(free) if free < LITTLE => Line::bad(format!("{name} {}{missing}: {} free", dir.display(), size(free)), "make room there"),
        Some(free) if free < SCARCE => Line::warn(format!("{name} {}{missing}: {} free", dir.display(), size(free)), "make room there"),
        Some(free) => Line::ok(format!("{name} {}{missing}: writable, {} free", dir.display(), size(free))),
    }
}

/// The directory, or the first above it that is there.
fn nearest(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|d| d.is_dir()).map(Path::to_owned)
}

/// Bytes that we may use.
fn free(dir: &Path) -> Option<u64> {
    let fs = rustix::fs::statvfs(dir).ok()?;
    fs.f_bavail.checked_mul(fs.f_frsize)
}

/// `1.5 GiB`, `310 MiB`; rounded down.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{}.{} GiB", b >> 30, ((b & ((1 << 30) - 1)) * 10) >> 30),
        b => format!("{} MiB", b >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::{one, size};
    use crate::cli::doctor::State;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn a_directory_is_tried_and_nothing_is_left_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        assert!(one("state", dir.path()).what.contains("writable") || one("state", dir.path()).state != State::Ok);
        assert!(one("state", &below).what.contains("will be made"), "{:?}", one("state", &below));
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(one("state", &dir.path().join("file")).what.contains("will be made"), "the directory above it");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        if !rustix::process::geteuid().is_root() {
            let line = one("store", &below);
            assert_eq!(line.state, State::Bad);
            assert!(line.what.contains("cannot be written") && line.hint.unwrap().contains("[host] store"));
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(
            [0, (1 << 30) - 1, 1 << 30, (3 << 30) / 2, 2_147_483_647].map(size),
            ["0 MiB", "1023 MiB", "1.0 GiB", "1.5 GiB", "1.9 GiB"]
        );
    }
}
