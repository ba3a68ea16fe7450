//! Unpacked copies: what they are, and how a change of one is seen.

use super::{digest_of, put, sealed, small, snapshot, stocked};
use cutover::artifact::{Change, Store, UnpackError};
use std::{
    fs::{self, File, FileTimes, Permissions},
    io::Write,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

#[test]
fn the_unpacked_copy_is_the_sealed_tree_and_read_only() {
    let (dir, source, layout, sealed) = sealed(small);
    let store = Store::open(&dir.path().join("store")).unwrap();
    store.import(&layout, &sealed.digest).unwrap();
    let copy = store.unpack(&sealed.digest).unwrap();
    assert_eq!(copy.digest(), &sealed.digest);
    assert_eq!(copy.root(), dir.path().join("store/unpacked").join(sealed.digest.hex()));
    assert_eq!(snapshot(copy.root()), snapshot(&source));
    assert_eq!(digest_of(copy.root()), sealed.digest);
    for (path, mode) in [("", 0o555), ("bin", 0o555), ("bin/server", 0o555), ("etc/empty", 0o444), ("var/empty", 0o555)] {
        assert_eq!(fs::metadata(copy.root().join(path)).unwrap().mode() & 0o7777, mode, "{path}");
    }
    copy.verify_stat().unwrap();
    let mut read = 0;
    copy.verify_bytes(&mut |bytes| read += bytes).unwrap();
    assert_eq!(read, sealed.bytes);
    let stopped = copy.verify_bytes_until(&mut |_| ControlFlow::Break(())).unwrap();
    assert!(stopped.is_break());

    // Again, as after a restart, and without the sealed layer.
    store.layout().remove(&sealed.digest).unwrap();
    store.unpack(&sealed.digest).unwrap().verify_stat().unwrap();
    copy.verify_stat().unwrap();
    store.remove(&sealed.digest).unwrap();
    assert!(!copy.root().exists());
    assert_eq!(copy.verify_stat().expect_err("gone").change.to_string().split(':').next(), Some("cannot be read"));
    let error = store.unpack(&sealed.digest).expect_err("gone").to_string();
    assert!(error.contains("seal it again"), "{error}");
}

#[test]
fn leftovers_of_a_killed_unpacking_are_removed_and_never_used() {
    let (dir, store, digest) = stocked();
    let unpacked = dir.path().join("store/unpacked");
    let half = unpacked.join(".cutover-half");
    put(&half, "bin/server", "half", 0o444);
    for path in ["bin", ""] {
        fs::set_permissions(half.join(path), Permissions::from_mode(0o555)).unwrap();
    }
    store.unpack(&digest).unwrap();
    let mut names: Vec<_> = fs::read_dir(&unpacked).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected = [digest.hex(), "lock".to_owned()];
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn unpacking_at_the_same_time_makes_one_copy() {
    let (_dir, store, digest) = stocked();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.unpack(&digest).unwrap().verify_stat().unwrap());
        }
    });
}

/// Makes a change to a copy as somebody would who may.
fn tamper(root: &Path, dirs: &[&str], change: impl FnOnce(&Path)) {
    let modes: Vec<_> = dirs.iter().map(|d| (root.join(d), fs::metadata(root.join(d)).unwrap())).collect();
    for (dir, _) in &modes {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
    change(root);
    for (dir, was) in &modes {
        fs::set_permissions(dir, was.permissions()).unwrap();
        File::open(dir).unwrap().set_times(FileTimes::new().set_modified(was.modified().unwrap())).unwrap();
    }
}

/// Other bytes, with size, mode and mtime as before.
fn rewrite(path: &Path, bytes: &str) {
    let was = fs::metadata(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(bytes.as_bytes()).unwrap();
    file.set_times(FileTimes::new().set_modified(was.modified().unwrap())).unwrap();
    fs::set_permissions(path, was.permissions()).unwrap();
}

#[test]
fn every_kind_of_drift_is_seen_also_after_a_restart() {
    type Case<'a> = (&'a str, &'a [&'a str], &'a dyn Fn(&Path), &'a str, Option<&'a str>);
    let replace = |path: &Path| {
        // Beside it first: a file that is made after the old one is gone may get its inode.
        let new = path.with_extension("new");
        fs::copy(path, &new).unwrap();
        fs::rename(&new, path).unwrap();
    };
    let cases: [Case<'_>; 10] = [
        // What changes, by the stat (ctime says it even where mtime does not), by the bytes.
        (
            "bytes",
            &[],
            &|r| rewrite(&r.join("etc/settings.toml"), "port = 8081\n"),
            "`etc/settings.toml` was written to or changed since it was verified",
            Some("`etc/settings.toml` has other bytes than were sealed"),
        ),
        (
            "touch",
            &[],
            &|r| File::open(r.join("bin/server")).unwrap().set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap(),
            "`bin/server` was written to or changed since it was verified",
            None,
        ),
        (
            "longer",
            &[],
            &|r| rewrite(&r.join("etc/empty"), "x"),
            "`etc/empty` has 1 bytes, sealed were 0",
            Some("`etc/empty` has 1 bytes, sealed were 0"),
        ),
        ("replaced", &["etc"], &|r| replace(&r.join("etc/settings.toml")), "`etc/settings.toml` was replaced by another file", None),
        ("added", &["etc"], &|r| put(r, "etc/new", "x", 0o444), "`etc/new` was added", Some("`etc/new` was added")),
        (
            "added directory",
            &["var/empty"],
            &|r| {
                fs::create_dir(r.join("var/empty/d")).unwrap();
                fs::set_permissions(r.join("var/empty/d"), Permissions::from_mode(0o555)).unwrap();
            },
            "`var/empty/d` was added",
            Some("`var/empty/d` was added"),
        ),
        ("removed", &["etc"], &|r| fs::remove_file(r.join("etc/empty")).unwrap(), "`etc/empty` is missing", Some("`etc/empty` is missing")),
        (
            "mode",
            &[],
            &|r| fs::set_permissions(r.join("etc/empty"), Permissions::from_mode(0o555)).unwrap(),
            "`etc/empty` has mode 0555, unpacked was 0444",
            Some("`etc/empty` has mode 0555, unpacked was 0444"),
        ),
        (
            "set-user",
            &[],
            &|r| fs::set_permissions(r.join("bin/server"), Permissions::from_mode(0o4555)).unwrap(),
            "`bin/server` has mode 4555, unpacked was 0555",
            Some("`bin/server` has mode 4555, unpacked was 0555"),
        ),
        (
            "link",
            &[""],
            &|r| {
                fs::remove_file(r.join("run")).unwrap();
                symlink("etc/empty", r.join("run")).unwrap();
            },
            "`run` points elsewhere than was sealed",
            Some("`run` points elsewhere than was sealed"),
        ),
    ];
    for (name, dirs, change, by_stat, by_bytes) in cases {
        let (_dir, store, digest) = stocked();
        let copy = store.unpack(&digest).unwrap();
        // Not within the clock tick in which the baseline was taken.
        std::thread::sleep(Duration::from_millis(20));
        tamper(copy.root(), dirs, change);
        assert_eq!(copy.verify_stat().map_err(|d| d.to_string()), Err(by_stat.to_owned()), "{name}");
        let bytes = copy.verify_bytes(&mut |_| ()).map_err(|d| d.to_string());
        assert_eq!(bytes.err().as_deref(), by_bytes, "{name}");
        // As after a restart: nothing is remembered but the digest.
        match (store.unpack(&digest), by_bytes) {
            (Ok(again), None) => again.verify_stat().unwrap(),
            (Err(UnpackError::Drift { drift, .. }), Some(by_bytes)) => assert_eq!(drift.to_string(), by_bytes, "{name}"),
            (other, _) => panic!("{name}: {other:?}"),
        }
        // Even when whoever changed the copy also removed what was sealed.
        if by_bytes.is_some() {
            store.layout().remove(&digest).unwrap();
            let drift = match store.unpack(&digest) {
                Err(UnpackError::Drift { drift, .. }) => drift,
                other => panic!("{name}: {other:?}"),
            };
            assert!(!drift.to_string().contains(char::is_control));
        }
    }
}

#[test]
fn drift_is_healed_only_by_a_fresh_copy() {
    let (_dir, store, digest) = stocked();
    let copy = store.unpack(&digest).unwrap();
    rewrite(&copy.root().join("etc/settings.toml"), "port = 8081\n");
    assert!(matches!(store.unpack(&digest), Err(UnpackError::Drift { drift, .. }) if drift.change == Change::Bytes));
    store.discard(&digest).unwrap();
    let fresh = store.unpack(&digest).unwrap();
    assert_eq!(fs::read_to_string(fresh.root().join("etc/settings.toml")).unwrap(), "port = 8080\n");
    fresh.verify_stat().unwrap();
}
