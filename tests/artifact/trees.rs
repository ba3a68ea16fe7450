//! Any tree comes back, and any change of it has another digest.

use super::snapshot;
use cutover::artifact::{SealOptions, Store, prepare, seal};
use proptest::prelude::*;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// What a random tree is made of: a path, and what should be there.
#[derive(Debug, Clone)]
enum Node {
    Dir,
    File(Vec<u8>, bool),
    Link(prop::sample::Index),
}

fn nodes() -> impl Strategy<Value = Vec<(Vec<String>, Node)>> {
    let name = prop_oneof![3 => "[a-c]", 1 => "[a-zA-Z0-9 ._\\-äé日]{1,12}", 1 => "x{80,120}"]
        .prop_filter("not a name", |n| n != "." && n != "..");
    let bytes = prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 505..520)];
    let node = prop_oneof![1 => Just(Node::Dir), 4 => (bytes, any::<bool>()).prop_map(|(b, x)| Node::File(b, x)), 2 => any::<prop::sample::Index>().prop_map(Node::Link)];
    prop::collection::vec((prop::collection::vec(name, 1..4), node), 1..16)
}

/// Builds what of it can be built; links point at something that is there. Returns whether anything is.
fn grow(root: &Path, nodes: &[(Vec<String>, Node)]) -> bool {
    fs::create_dir(root).unwrap();
    let mut made = Vec::new();
    for (path, node) in nodes {
        let relative: PathBuf = path.iter().collect();
        let full = root.join(&relative);
        let real_parents = relative.ancestors().skip(1).all(|p| !root.join(p).is_symlink());
        if !real_parents || fs::create_dir_all(full.parent().unwrap()).is_err() || full.symlink_metadata().is_ok() {
            continue;
        }
        match node {
            Node::Dir => fs::create_dir(&full).unwrap(),
            Node::File(bytes, exec) => {
                fs::write(&full, bytes).unwrap();
                fs::set_permissions(&full, Permissions::from_mode(if *exec { 0o755 } else { 0o644 })).unwrap();
            }
            Node::Link(_) if made.is_empty() => continue,
            Node::Link(to) => {
                let up: PathBuf = relative.ancestors().skip(2).map(|_| "..").collect();
                symlink(up.join(to.get(&made)), &full).unwrap();
            }
        }
        made.push(relative);
    }
    !made.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_and_any_change_of_it_has_another_digest(nodes in nodes(), pick: prop::sample::Index, at: prop::sample::Index) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        prop_assume!(grow(&source, &nodes));
        let store = Store::open(&dir.path().join("store")).unwrap();
        let options = SealOptions { allow_secrets: true, ..SealOptions::default() };
        let sealed = seal(&source, store.layout(), &options).unwrap();
        let copy = store.unpack(&sealed.digest).unwrap();
        let tree = snapshot(&source);
        prop_assert_eq!(&snapshot(copy.root()), &tree);
        copy.verify_stat().unwrap();
        copy.verify_bytes(&mut |_| ()).unwrap();

        let (path, (kind, bytes)) = pick.get(&tree.iter().collect::<Vec<_>>()).to_owned();
        let full = source.join(path);
        match kind.as_str() {
            "dir" => fs::write(full.join("one-more"), "").unwrap(),
            "file true" | "file false" if bytes.is_empty() || bytes.len() % 2 == 0 => {
                let exec = kind == "file true";
                fs::set_permissions(&full, Permissions::from_mode(if exec { 0o644 } else { 0o755 })).unwrap();
            }
            "file true" | "file false" => {
                let mut bytes = bytes.clone();
                *at.get_mut(&mut bytes) ^= 1 << (at.index(8));
                fs::write(&full, bytes).unwrap();
            }
            _ => {
                let target = fs::read_link(&full).unwrap();
                fs::remove_file(&full).unwrap();
                symlink(Path::new(".").join(target), &full).unwrap();
            }
        }
        prop_assert_ne!(*prepare(&source, &options).unwrap().digest(), sealed.digest);
    }
}
