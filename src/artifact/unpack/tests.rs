//! Hostile layers in valid layouts: each refused with its reason, and nothing is written.

use super::{
    super::{
        Fault, Layout, Store, UnpackError,
        image::{Blob, image},
        layer::headers,
        tree::{Entry, Kind},
    },
    Digest,
};
use std::{collections::BTreeMap, fs, path::Path};
use tar::{EntryType, Header};

/// One entry as nobody would write it by mistake.
struct Evil {
    path: &'static [u8],
    link: &'static [u8],
    kind: EntryType,
    mode: u32,
    size: u64,
}

impl Default for Evil {
    fn default() -> Self {
        Self { path: b"file", link: b"", kind: EntryType::Regular, mode: 0o644, size: 0 }
    }
}

impl Evil {
    fn header(&self) -> Header {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().expect("gnu");
        gnu.name[..self.path.len()].copy_from_slice(self.path);
        gnu.linkname[..self.link.len()].copy_from_slice(self.link);
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.size);
        header.set_cksum();
        header
    }
}

fn dir(path: &'static [u8]) -> Evil {
    Evil { path, kind: EntryType::Directory, mode: 0o755, ..Evil::default() }
}

fn file(path: &'static [u8]) -> Evil {
    Evil { path, ..Evil::default() }
}

fn link(path: &'static [u8], link: &'static [u8]) -> Evil {
    Evil { path, link, kind: EntryType::Symlink, mode: 0o777, ..Evil::default() }
}

fn archive(entries: &[Evil]) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| *entry.header().as_bytes()).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Puts a layer into a store as if it had been sealed, and unpacks it.
fn unpack(layer: &[u8]) -> UnpackError {
    let outside = tempfile::tempdir().expect("directory");
    let root = outside.path().join("a/b/store");
    let store = Store::open(&root).expect("store");
    let sealed = image(Blob { digest: Digest::of(layer), size: layer.len() as u64 }).expect("image");
    let add = |layout: &Layout| {
        layout.add(&sealed, &BTreeMap::new(), &mut |out| out.write_all(layer).map_err(super::failed("write", Path::new(""))))
    };
    add(store.layout()).expect("added");
    let error = store.unpack(&sealed.manifest.digest).expect_err("refused");
    let left: Vec<_> = fs::read_dir(root.join("unpacked")).expect("listed").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(left, ["lock"], "{error}");
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 1, "written outside: {error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    error
}

fn fault(entries: &[Evil]) -> Fault {
    match unpack(&archive(entries)) {
        UnpackError::Breach { breach, .. } => breach.fault,
        other => panic!("{other}"),
    }
}

#[test]
fn paths_and_links_that_leave_the_root_are_refused() {
    assert_eq!(fault(&[file(b"/etc/x")]), Fault::Absolute);
    assert_eq!(fault(&[file(b"../x")]), Fault::Upwards);
    assert_eq!(fault(&[dir(b"a/"), file(b"a/../../x")]), Fault::Upwards);
    assert_eq!(fault(&[dir(b"../")]), Fault::Upwards);
    assert_eq!(fault(&[dir(b"./")]), Fault::Unclean);
    assert_eq!(fault(&[file(b"")]), Fault::Unclean);
    assert_eq!(fault(&[file(b"a\x1b[2J")]), Fault::Control);
    assert_eq!(fault(&[file(b"\xff")]), Fault::NotUtf8);
    for target in [&b"/etc"[..], b"..", b"../../x", b"a/../../x"] {
        assert!(matches!(fault(&[dir(b"a/"), link(b"out", target)]), Fault::Leaves { .. }));
    }
    // By way of a link that is harmless where it is.
    assert!(matches!(fault(&[dir(b"a/"), dir(b"a/b/"), link(b"in", b"a/b"), link(b"out", b"in/../../../x")]), Fault::Leaves { .. }));
    assert!(matches!(fault(&[link(b"l", b"")]), Fault::Dangling { .. }));
    assert!(matches!(fault(&[link(b"l", b"gone")]), Fault::Dangling { .. }));
    assert!(matches!(fault(&[link(b"l", b"l")]), Fault::Circle { .. }));
}

#[test]
fn nothing_is_written_through_a_link() {
    assert_eq!(fault(&[dir(b"real/"), link(b"dir", b"real"), file(b"dir/x")]), Fault::Orphan);
    assert!(matches!(fault(&[link(b"dir", b"/tmp"), file(b"dir/x")]), Fault::Leaves { .. }));
    assert_eq!(fault(&[file(b"x"), link(b"link", b"x"), file(b"link")]), Fault::Twice);
    assert_eq!(fault(&[file(b"x"), file(b"x")]), Fault::Twice);
    assert_eq!(fault(&[dir(b"x/"), file(b"x")]), Fault::Twice);
    assert_eq!(fault(&[file(b"no/directory")]), Fault::Orphan);
}

#[test]
fn only_files_directories_and_links_without_privileges_are_unpacked() {
    let special = |kind| fault(&[file(b"a"), Evil { path: b"s", link: b"a", kind, ..Evil::default() }]);
    for (kind, what) in [
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::GNUSparse, "sparse file"),
        (EntryType::XHeader, "extended header"),
        (EntryType::XGlobalHeader, "extended header"),
        (EntryType::Continuous, "entry of an unknown kind"),
        (EntryType::new(b'Z'), "entry of an unknown kind"),
    ] {
        assert_eq!(special(kind), Fault::Special { what });
    }
    for mode in [0o4755, 0o2755, 0o1755] {
        assert_eq!(fault(&[Evil { mode, ..Evil::default() }]), Fault::Privileged);
        assert_eq!(fault(&[Evil { mode, ..dir(b"d/") }]), Fault::Privileged);
    }
}

#[test]
fn limits_hold_before_anything_is_written() {
    assert_eq!(fault(&[Evil { size: (2 << 30) + 1, ..Evil::default() }]), Fault::TooBig);
    assert_eq!(fault(&[Evil { size: u64::MAX / 2, ..Evil::default() }]), Fault::TooBig);
    let mut count = super::super::breach::Count::default();
    for _ in 0..super::super::MAX_ENTRIES {
        count.add(b"x", 0).expect("allowed");
    }
    assert_eq!(count.add(b"x", 0).expect_err("refused").fault, Fault::TooMany);

    let name = |size: u64| Evil { path: b"././@LongLink", kind: EntryType::GNULongName, size, ..Evil::default() };
    let mut huge = name(1 << 20).header().as_bytes().to_vec();
    huge.resize(huge.len() + (1 << 20), b'a');
    assert!(matches!(unpack(&huge), UnpackError::Breach { breach, .. } if breach.fault == Fault::TooLong));
}

#[test]
fn what_is_no_archive_is_refused() {
    let cut = |error| matches!(error, UnpackError::Archive { .. });
    assert!(cut(unpack(&[7; 2048])));
    // A file that is longer than the archive.
    assert!(cut(unpack(&archive(&[Evil { size: 4096, ..Evil::default() }]))));
    // Long names that belong to nothing.
    let name = || Evil { path: b"././@LongLink", kind: EntryType::GNULongName, ..Evil::default() };
    assert!(cut(unpack(&archive(&[name()]))));
    assert!(cut(unpack(&archive(&[name(), name(), file(b"x")]))));
}

#[test]
fn an_archive_in_another_form_is_refused() {
    let refused = |layer: &[u8]| assert!(matches!(unpack(layer), UnpackError::NotSealed { .. }));
    // Not in order, other bits, bytes after the end.
    refused(&archive(&[file(b"b"), file(b"a")]));
    refused(&archive(&[Evil { mode: 0o600, ..Evil::default() }]));
    let mut longer = archive(&[file(b"a")]);
    longer.extend_from_slice(&[1; 512]);
    refused(&longer);
}

#[test]
fn headers_are_those_of_an_ordinary_archive() {
    // So that what is refused above is refused for its own sake.
    let entries = [Entry { path: "a".into(), kind: Kind::Dir }, Entry { path: "l".into(), kind: Kind::Link { target: "a".into() } }];
    let bytes: Vec<u8> = entries.iter().flat_map(headers).chain([0; 1024]).collect();
    assert_eq!(bytes, archive(&[dir(b"a/"), link(b"l", b"a")]));
}
