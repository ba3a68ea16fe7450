//! Layouts and stores: what is kept, copied, removed and read by other tools.

use super::{put, sealed, small, snapshot};
use crate::support::{need, need_root};
use cutover::{
    artifact::{ArtifactRef, Layout, SealError, SealOptions, Store, UnpackError, prepare, seal},
    model::digest::Digest,
};
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

#[test]
fn a_damaged_or_missing_blob_is_told_and_sealing_again_heals_it() {
    let (_dir, source, layout, sealed) = sealed(small);
    for blob in fs::read_dir(layout.dir().join("blobs/sha256")).unwrap().map(|b| b.unwrap().path()).collect::<Vec<_>>() {
        let bytes = fs::read(&blob).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damage in [None, Some(&flipped[..]), Some(&bytes[..bytes.len() - 1]), Some(&[&bytes[..], b"x"].concat()[..])] {
            match damage {
                None => fs::remove_file(&blob).unwrap(),
                Some(damage) => fs::write(&blob, damage).unwrap(),
            }
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let error = store.import(&layout, &sealed.digest).expect_err("damaged").to_string();
            assert!(error.contains("is damaged") && error.contains("seal it again"), "{error}");
            assert_eq!(store.layout().list().unwrap(), [], "nothing half-done");
            assert!(matches!(store.unpack(&sealed.digest), Err(UnpackError::Layout(_))));
            let again = seal(&source, &layout, &SealOptions::default()).unwrap();
            assert_eq!((again.digest, again.already), (sealed.digest, false));
            assert_eq!(fs::read(&blob).unwrap(), bytes);
        }
    }
}

#[test]
fn a_layout_is_not_put_where_it_does_not_belong() {
    let dir = tempfile::tempdir().unwrap();
    small(&dir.path().join("source"));
    let line = |result: Result<Layout, _>| -> String {
        let error: cutover::artifact::LayoutError = result.expect_err("no layout");
        error.to_string()
    };
    assert!(line(Layout::open(&dir.path().join("nowhere"))).contains("no such directory"));
    assert!(line(Layout::open(&dir.path().join("source"))).contains("no file `oci-layout`"));
    assert!(line(Layout::create(&dir.path().join("source"))).contains("it is not empty"));
    assert!(!dir.path().join("source/blobs").exists());
    assert_eq!(Layout::create(&dir.path().join("l")).unwrap(), Layout::create(&dir.path().join("l")).unwrap());

    let prepared = prepare(&dir.path().join("source"), &SealOptions::default()).unwrap();
    let inside = dir.path().join("source/to/be/made");
    assert!(matches!(prepared.ensure_outside(&inside), Err(SealError::Inside { .. })));
    prepared.ensure_outside(&dir.path().join("source-2/layout")).unwrap();

    // What a creation that was killed leaves is finished.
    let half = dir.path().join("half");
    fs::create_dir_all(half.join("blobs/sha256")).unwrap();
    fs::write(half.join(".cutover-x1"), "").unwrap();
    assert_eq!(Layout::create(&half).unwrap().list().unwrap(), []);
}

#[test]
fn seals_into_one_layout_at_the_same_time_all_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (source, layout) = (dir.path().join(format!("source-{n}")), layout.clone());
            scope.spawn(move || {
                // Two of each content, so that equal blobs meet as well.
                put(&source, "file", &format!("content {}", n / 2), 0o644);
                seal(&source, &Layout::create(&layout).unwrap(), &SealOptions::default()).unwrap();
            });
        }
    });
    let layout = Layout::open(&layout).unwrap();
    let list = layout.list().unwrap();
    assert_eq!(list.len(), 4);
    assert!(list.iter().all(|d| layout.contains(&d.digest)));
}

#[test]
fn removal_leaves_what_others_use() {
    let (dir, _, layout, sealed) = sealed(small);
    let other = dir.path().join("other");
    put(&other, "file", "x", 0o644);
    let other = seal(&other, &layout, &SealOptions::default()).unwrap();

    // Another tool's image that has the same layer.
    let index_path = layout.dir().join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&index_path).unwrap()).unwrap();
    let blob = |digest: &str| layout.dir().join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(blob(&sealed.digest.to_string())).unwrap()).unwrap();
    let layer = blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let config = blob(manifest["config"]["digest"].as_str().unwrap());
    manifest["annotations"] = serde_json::json!({ "made": "elsewhere" });
    manifest["config"] =
        serde_json::json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}").to_string(), "size": 2 });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let foreign = Digest::of(&bytes);
    fs::write(blob(&foreign.to_string()), &bytes).unwrap();
    index["manifests"].as_array_mut().unwrap().push(serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": foreign.to_string(), "size": bytes.len(),
    }));
    fs::write(&index_path, serde_json::to_vec(&index).unwrap()).unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let error = store.import(&layout, &foreign).expect_err("foreign").to_string();
    assert!(error.contains("was not sealed by cutover"), "{error}");

    layout.remove(&sealed.digest).unwrap();
    assert!(layer.exists() && !config.exists() && !blob(&sealed.digest.to_string()).exists());
    assert!(!layout.contains(&sealed.digest) && layout.contains(&other.digest));
    let error = layout.describe(&sealed.digest).expect_err("gone").to_string();
    assert!(error.starts_with(&format!("no artifact {} in", sealed.digest)), "{error}");
    layout.remove(&foreign).unwrap();
    assert!(!layer.exists());
    layout.remove(&foreign).unwrap();
    assert_eq!(layout.list().unwrap().len(), 1);
    layout.remove(&other.digest).unwrap();
    assert_eq!(fs::read_dir(layout.dir().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn a_store_takes_what_a_reference_names() {
    let (dir, _, layout, sealed) = sealed(small);
    let store = Store::open(&dir.path().join("store")).unwrap();
    let here = ArtifactRef::Store(sealed.digest);
    assert!(store.fetch(&here).expect_err("not there").to_string().starts_with("no artifact"));
    let there = ArtifactRef::Layout { dir: layout.dir().to_owned(), digest: sealed.digest };
    assert_eq!(store.fetch(&there).unwrap(), sealed.digest);
    assert_eq!(store.fetch(&there).unwrap(), sealed.digest);
    assert_eq!(store.fetch(&here).unwrap(), sealed.digest);
    let nowhere = ArtifactRef::Layout { dir: dir.path().join("nowhere"), digest: sealed.digest };
    assert!(store.fetch(&nowhere).expect_err("no layout").to_string().contains("not an OCI image layout"));
}

#[test]
fn skopeo_reads_the_layout() {
    if !need("skopeo") {
        return;
    }
    let (dir, source, layout, sealed) = sealed(small);
    let skopeo = |args: &[&str]| {
        let out = Command::new("skopeo").args(args).output().unwrap();
        assert!(out.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    // One image: by the directory alone, without naming it.
    let whole = format!("oci:{}", layout.dir().display());
    skopeo(&["--insecure-policy", "copy", "-q", &whole, &format!("dir:{}", dir.path().join("one").display())]);
    // Several: by digest.
    put(&source, "more", "x", 0o644);
    let other = seal(&source, &layout, &SealOptions { version: Some("v2".into()), ..SealOptions::default() }).unwrap();
    for digest in [sealed.digest, other.digest] {
        let name = format!("{whole}:{digest}");
        let to = dir.path().join(digest.hex());
        skopeo(&["--insecure-policy", "copy", "-q", &name, &format!("dir:{}", to.display())]);
        let manifest = fs::read(to.join("manifest.json")).unwrap();
        assert_eq!(Digest::of(&manifest), digest);
        let seen: serde_json::Value = serde_json::from_slice(&skopeo(&["inspect", &name])).unwrap();
        assert_eq!(seen["Digest"], digest.to_string());
        assert_eq!((&seen["Os"], &seen["Architecture"]), (&"linux".into(), &"amd64".into()));
        assert_eq!(seen["Layers"].as_array().unwrap().len(), 1);
    }
    // What skopeo copies from layout to layout without compressing is still the artifact.
    let copied = dir.path().join("copied");
    let to = format!("oci:{}:{}", copied.display(), sealed.digest);
    skopeo(&["--insecure-policy", "copy", "-q", "--preserve-digests", &format!("{whole}:{}", sealed.digest), &to]);
    let store = Store::open(&dir.path().join("store")).unwrap();
    store.import(&Layout::open(&copied).unwrap(), &sealed.digest).unwrap();
    store.unpack(&sealed.digest).unwrap();
}

#[test]
fn tar_reads_the_layer() {
    if !need("tar") {
        return;
    }
    let (dir, source, layout, sealed) = sealed(small);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.dir().join("blobs/sha256").join(sealed.digest.hex())).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let to = dir.path().join("extracted");
    fs::create_dir(&to).unwrap();
    let status = Command::new("tar").arg("-xpf").arg(layout.dir().join("blobs/sha256").join(layer)).arg("-C").arg(&to).status().unwrap();
    assert!(status.success());
    assert_eq!(snapshot(&to), snapshot(&source));
    assert_eq!(fs::metadata(to.join("bin/server")).unwrap().mode() & 0o7777, 0o755);
}

/// A file system of this size that is full soon, unmounted when dropped.
struct Small(TempDir);

impl Small {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path()).status().unwrap();
        assert!(status.success(), "mount");
        Self(dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_the_layout_as_it_was() {
    if !need_root() {
        return;
    }
    let disk = Small::mount("1m");
    let dir = tempfile::tempdir().unwrap();
    let (fits, big) = (dir.path().join("fits"), dir.path().join("big"));
    small(&fits);
    put(&big, "file", &"0123456789abcdef".repeat(128 << 10), 0o644);
    let store = Store::open(disk.0.path()).unwrap();
    let first = seal(&fits, store.layout(), &SealOptions::default()).unwrap();
    let before = snapshot(disk.0.path());
    let error = seal(&big, store.layout(), &SealOptions::default()).expect_err("full").to_string();
    assert!(error.contains("No space left on device") && error.starts_with("cannot write") && !error.contains('\n'), "{error}");
    assert_eq!(snapshot(disk.0.path()), before);

    // To the last block: sealing what is there needs none, unpacking and labelling do and fail.
    let mut filler = File::create(disk.0.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let before = snapshot(disk.0.path());
    assert!(seal(&fits, store.layout(), &SealOptions::default()).unwrap().already);
    let label = SealOptions { version: Some("v1".into()), ..SealOptions::default() };
    assert!(seal(&fits, store.layout(), &label).expect_err("full").to_string().contains("No space left on device"));
    assert!(store.unpack(&first.digest).expect_err("full").to_string().contains("No space left on device"));
    assert_eq!(snapshot(disk.0.path()), before);
    drop(filler);
    fs::remove_file(disk.0.path().join("filler")).unwrap();
    store.unpack(&first.digest).unwrap();
}

/// Not a test of its own: the process that [`a_killed_seal_leaves_a_valid_layout`] kills.
#[test]
fn child_that_seals_until_it_is_killed() {
    let Some(dir) = std::env::var_os("CUTOVER_TEST_SEAL_INTO").map(PathBuf::from) else { return };
    let source = dir.join("source");
    let layout = Layout::create(&dir.join("layout")).unwrap();
    // An end, in case nobody is left to kill it.
    for n in 0..5_000 {
        put(&source, "file", &format!("{n} ").repeat(50_000), 0o644);
        let sealed = seal(&source, &layout, &SealOptions { version: Some(n.to_string()), ..SealOptions::default() }).unwrap();
        if n % 3 == 2 {
            layout.remove(&sealed.digest).unwrap();
        }
    }
}

#[test]
fn a_killed_seal_leaves_a_valid_layout() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealed = 0;
    let index = dir.path().join("layout/index.json");
    for round in 0..12_u64 {
        let before = fs::read(&index).unwrap_or_default();
        let mut child = Command::new("/proc/self/exe")
            .args(["--exact", "artifact::layouts::child_that_seals_until_it_is_killed"])
            .env("CUTOVER_TEST_SEAL_INTO", dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while fs::read(&index).unwrap_or_default() == before && started.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // At work now: any moment will do, spread over several seals.
        std::thread::sleep(Duration::from_millis(round * 17 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        // A creation that was killed is completed by the next one.
        let layout = Layout::create(&dir.path().join("layout")).unwrap();
        let list = layout.list().unwrap();
        sealed = sealed.max(list.len());
        let store = Store::open(&dir.path().join(format!("store-{round}"))).unwrap();
        for described in &list {
            store.import(&layout, &described.digest).unwrap();
        }
    }
    assert!(sealed > 1, "kills came too early to prove anything");
    // What was left unfinished goes with the next seal.
    let other = dir.path().join("other");
    put(&other, "file", "x", 0o644);
    let layout = Layout::create(&dir.path().join("layout")).unwrap();
    seal(&other, &layout, &SealOptions::default()).unwrap();
    for place in [layout.dir().to_owned(), layout.dir().join("blobs/sha256")] {
        let names = fs::read_dir(place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| !name.starts_with('.')));
    }
}
