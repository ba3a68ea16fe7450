//! From a directory to a digest, or to one clear line.

use super::{digest_of, put, refused, sealed, small, snapshot};
use cutover::artifact::{Layout, SealError, SealOptions, Sealed, SecretKind, prepare, seal};
use std::{
    fs::{self, File, FileTimes, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

/// What [`small()`] seals to. If this changes, every digest that was ever printed is wrong.
const GOLDEN: &str = "sha256:81c7595fc0c27db111d6f69dc5c5312a8dc87caf4a983d2d4e179902b44e6544";

#[test]
fn the_same_content_has_the_golden_digest() {
    let (_dir, _, layout, sealed) = sealed(small);
    assert_eq!(sealed.digest.to_string(), GOLDEN);
    assert_eq!((sealed.files, sealed.bytes, sealed.already), (5, 56, false));
    assert!(layout.contains(&sealed.digest));
}

#[test]
fn times_owners_umask_and_hard_links_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("elsewhere/b"));
    fs::create_dir_all(&b).unwrap();
    fs::create_dir(&a).unwrap();
    small(&a);
    small(&b);
    fs::remove_file(b.join("etc/empty")).unwrap();
    File::create(dir.path().join("other")).unwrap();
    fs::hard_link(dir.path().join("other"), b.join("etc/empty")).unwrap();
    for (path, mode) in [("bin", 0o700), ("bin/server", 0o700), ("etc/settings.toml", 0o600), ("var/empty", 0o777), ("etc/empty", 0o606)] {
        fs::set_permissions(b.join(path), Permissions::from_mode(mode)).unwrap();
    }
    let old = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    for path in ["bin", "bin/server", "etc/settings.toml"] {
        File::open(b.join(path)).unwrap().set_times(old).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(b.join("bin/server"), Some(1000), Some(1000)).unwrap();
        std::os::unix::fs::lchown(b.join("run"), Some(1000), Some(1000)).unwrap();
    }
    assert_eq!(digest_of(&a), digest_of(&b));
    assert_eq!(digest_of(&a).to_string(), GOLDEN);
}

#[test]
fn sealing_again_changes_nothing_but_annotations() {
    let (_dir, source, layout, first) = sealed(small);
    let before = snapshot(layout.dir());
    let again = seal(&source, &layout, &SealOptions::default()).unwrap();
    assert_eq!(again, Sealed { already: true, ..first.clone() });
    assert_eq!(snapshot(layout.dir()), before);

    let named = SealOptions {
        version: Some("v42".into()),
        revision: Some("9f2c41a".into()),
        created: Some("2026-08-14T03:12:09Z".parse().unwrap()),
        source: Some("https://example.org/checkout".into()),
        revert_unsafe: Some("migration 0042".into()),
        allow_secrets: false,
    };
    assert!(seal(&source, &layout, &named).unwrap().already);
    seal(&source, &layout, &SealOptions { version: Some("v42.1".into()), ..SealOptions::default() }).unwrap();
    let described = layout.describe(&first.digest).unwrap();
    assert!(layout.list().unwrap().iter().eq([&described]));
    assert_eq!(described.back_unsafe.as_ref().unwrap().as_str(), "migration 0042");
    assert_eq!(described.annotations.len(), 5);
    assert_eq!(described.annotations[&"cutover.revert".into()].as_str(), "unsafe: migration 0042");
    assert!(described.stored.is_some());
    let texts = [described.version, described.revision, described.created, described.source].map(|t| t.unwrap().to_string());
    assert_eq!(texts, ["v42.1", "9f2c41a", "2026-08-14T03:12:09Z", "https://example.org/checkout"]);

    for version in ["", "a\nb", &"x".repeat(257)] {
        let error =
            seal(&source, &layout, &SealOptions { version: Some(version.into()), ..SealOptions::default() }).expect_err("annotation");
        assert!(matches!(error, SealError::Annotation { name: "version", .. }));
    }
}

#[test]
fn what_cannot_be_sealed_is_refused_in_one_line() {
    fn with(words: &str, build: impl FnOnce(&Path)) {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "dir/file", "x", 0o644);
        build(dir.path());
        refused(dir.path(), words);
    }
    with("`dir/link`: dangling link to `nothing`", |d| symlink("nothing", d.join("dir/link")).unwrap());
    with("`link`: link to `../outside` leaves the directory", |d| symlink("../outside", d.join("link")).unwrap());
    with("`link`: link to `/etc/passwd` leaves the directory", |d| symlink("/etc/passwd", d.join("link")).unwrap());
    with("goes in circles", |d| symlink("link", d.join("link")).unwrap());
    with("`dir/s`: socket (only files", |d| drop(std::os::unix::net::UnixListener::bind(d.join("dir/s")).unwrap()));
    with("named pipe", |d| {
        rustix::fs::mknodat(rustix::fs::CWD, d.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    });
    with("name with a control character", |d| put(d, "a\x1b[2Jb", "x", 0o644));
    with("name with a control character", |d| put(d, "line\nend", "x", 0o644));
    with("name that is not UTF-8", |d| {
        fs::write(d.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe")), "x").unwrap();
    });
    with("more than 2147483648 bytes", |d| File::create(d.join("big")).unwrap().set_len((2 << 30) + 1).unwrap());

    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), "the directory is empty");
    refused(&dir.path().join("nowhere"), "no such directory");
    fs::write(dir.path().join("file"), "x").unwrap();
    refused(&dir.path().join("file"), "not a directory");
}

#[test]
fn a_directory_that_is_written_to_is_not_sealed() {
    for (change, named) in [
        (&(|d: &Path| fs::write(d.join("etc/settings.toml"), "port = 80800\n").unwrap()) as &dyn Fn(&Path), "etc/settings.toml"),
        (&|d| fs::write(d.join("etc/settings.toml"), "port = 9090\n").unwrap(), "etc/settings.toml"),
        (&|d| fs::write(d.join("etc/new"), "").unwrap(), "etc/new"),
        (&|d| fs::remove_file(d.join("etc/empty")).unwrap(), "etc/empty"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        small(&source);
        let layout = Layout::create(&dir.path().join("layout")).unwrap();
        let prepared = prepare(&source, &SealOptions::default()).unwrap();
        // Not within the clock tick in which the files were made.
        std::thread::sleep(Duration::from_millis(20));
        change(&source);
        match prepared.write(&layout).expect_err(named) {
            SealError::Changed { path } => assert_eq!(path.as_str(), named),
            SealError::Read { path, .. } => assert!(path.as_str().ends_with(named), "{path}"),
            other => panic!("{other}"),
        }
        assert_eq!(layout.list().unwrap(), []);
        assert_eq!(fs::read_dir(layout.dir().join("blobs/sha256")).unwrap().count(), 0);
    }
}

#[test]
fn secrets_are_named_by_place_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = format!("AKIA{}", "Q".repeat(16));
    put(dir.path(), "app.py", &format!("\n\nkey = '{key}'\n"), 0o644);
    put(dir.path(), "conf/.env", "A=b\n", 0o644);
    put(dir.path(), "tls/server.pem", "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n", 0o600);
    put(dir.path(), "z.txt", &format!("{key} {key}"), 0o644);
    let error = refused(dir.path(), "4 possible secrets");
    let line = error.to_string();
    assert!(line.contains("app.py:3: AWS access key, conf/.env: environment file, tls/server.pem:1: private key, 1 more"), "{line}");
    assert!(line.ends_with("remove them, or pass --allow-secrets"));
    assert!(!format!("{line} {error:?}").contains(&key) && !line.contains("MIIEvQ"));

    let into = tempfile::tempdir().unwrap();
    let layout = Layout::create(into.path()).unwrap();
    let sealed = seal(dir.path(), &layout, &SealOptions { allow_secrets: true, ..SealOptions::default() }).unwrap();
    let kinds: Vec<_> = sealed.warnings.iter().map(|w| w.kind).collect();
    assert_eq!(kinds, [SecretKind::AwsAccessKey, SecretKind::EnvFile, SecretKind::PrivateKey, SecretKind::AwsAccessKey]);
}
