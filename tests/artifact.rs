//! Sealing, layouts, unpacking and drift on a real file system, with real readers.

mod copies;
mod layouts;
mod sealing;
mod trees;

use cutover::{
    artifact::{Layout, SealError, SealOptions, Sealed, Store, prepare, seal},
    model::digest::Digest,
};
use std::{
    collections::BTreeMap,
    fs,
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn put(root: &Path, path: &str, bytes: &str, mode: u32) {
    let full = root.join(path);
    fs::create_dir_all(full.parent().unwrap()).unwrap();
    fs::write(&full, bytes).unwrap();
    fs::set_permissions(&full, Permissions::from_mode(mode)).unwrap();
}

fn long(prefix: &str) -> String {
    format!("{prefix}/{}/{}", "d".repeat(90), "f".repeat(90))
}

/// A tree with everything that a digest covers.
fn small(root: &Path) {
    put(root, "bin/server", "#!/bin/sh\nexec sleep 1000\n", 0o755);
    put(root, "etc/settings.toml", "port = 8080\n", 0o644);
    put(root, "etc/empty", "", 0o644);
    put(root, "grün/日本 🚀.txt", "unicode", 0o644);
    put(root, &long("long"), "a long path", 0o644);
    fs::create_dir_all(root.join("var/empty")).unwrap();
    symlink("bin/server", root.join("run")).unwrap();
    symlink("../bin/../etc", root.join("var/etc")).unwrap();
    symlink(long("long"), root.join("far")).unwrap();
}

fn sealed(build: impl FnOnce(&Path)) -> (TempDir, PathBuf, Layout, Sealed) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    build(&source);
    let layout = Layout::create(&dir.path().join("layout")).unwrap();
    let sealed = seal(&source, &layout, &SealOptions::default()).unwrap();
    (dir, source, layout, sealed)
}

fn digest_of(source: &Path) -> Digest {
    *prepare(source, &SealOptions::default()).unwrap().digest()
}

/// A store with the small tree in it, and its source.
fn stocked() -> (TempDir, Store, Digest) {
    let (dir, _, layout, sealed) = sealed(small);
    let store = Store::open(&dir.path().join("store")).unwrap();
    store.import(&layout, &sealed.digest).unwrap();
    (dir, store, sealed.digest)
}

/// Paths with kind, executable bit, bytes and link targets: all that must survive.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for item in fs::read_dir(&dir).unwrap() {
            let path = item.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_dir() {
                dirs.push(path.clone());
                ("dir".to_owned(), Vec::new())
            } else if meta.is_symlink() {
                (format!("link {}", fs::read_link(&path).unwrap().display()), Vec::new())
            } else {
                (format!("file {}", meta.mode() & 0o100 != 0), fs::read(&path).unwrap())
            };
            all.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    all
}

/// Refused with one clear line that contains `words`, and nothing is in the layout.
fn refused(source: &Path, words: &str) -> SealError {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::create(dir.path()).unwrap();
    let error = seal(source, &layout, &SealOptions::default()).expect_err(words);
    let line = error.to_string();
    assert!(line.contains(words), "{line:?} should contain {words:?}");
    assert!(!line.contains(char::is_control), "{line:?}");
    assert_eq!(layout.list().unwrap(), []);
    assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 0, "nothing half-done");
    error
}
