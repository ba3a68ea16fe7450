//! What an artifact may contain. The same rules hold when it is sealed and when it is unpacked.

use super::{
    MAX_BYTES, MAX_ENTRIES,
    tree::{Entry, Kind},
};
use crate::model::text::Text;
use std::collections::HashMap;

/// Something an artifact must not contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {fault}")]
pub struct Breach {
    /// Where, from the root of the content.
    pub path: Text,
    /// What.
    pub fault: Fault,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its path starts with `/`.
    #[error("absolute path")]
    Absolute,
    /// Its path contains `..`.
    #[error("path with `..`")]
    Upwards,
    /// Its path is empty, or contains `.` or an empty part.
    #[error("path with an empty part or `.`")]
    Unclean,
    /// Its name contains a control character.
    #[error("name with a control character")]
    Control,
    /// Its name is not UTF-8.
    #[error("name that is not UTF-8")]
    NotUtf8,
    /// Its path or link target is longer than 4,096 bytes.
    #[error("name longer than 4096 bytes")]
    TooLong,
    /// Two entries have this path.
    #[error("two entries with this path")]
    Twice,
    /// What should be its directory is none, or is not part of the content.
    #[error("not inside a directory of the artifact")]
    Orphan,
    /// A link to nothing.
    #[error("dangling link to `{target}`")]
    Dangling {
        /// Where it points.
        target: Text,
    },
    /// A link that is absolute or goes above the root.
    #[error("link to `{target}` leaves the directory (only relative links inside it can be sealed)")]
    Leaves {
        /// Where it points.
        target: Text,
    },
    /// A link that comes back to itself.
    #[error("link to `{target}` goes in circles")]
    Circle {
        /// Where it points.
        target: Text,
    },
    /// Neither a file, nor a directory, nor a symbolic link.
    #[error("{what} (only files, directories and symbolic links can be sealed)")]
    Special {
        /// What it is instead.
        what: &'static str,
    },
    /// It has the set-user, set-group or sticky bit.
    #[error("set-user, set-group or sticky bit")]
    Privileged,
    /// The files have more than [`MAX_BYTES`] in all.
    #[error("more than {} bytes in all (2 GiB) from here on", MAX_BYTES)]
    TooBig,
    /// There are more than [`MAX_ENTRIES`] entries.
    #[error("more than {} entries from here on", MAX_ENTRIES)]
    TooMany,
}

impl Fault {
    /// This fault at a path.
    pub(super) fn at(self, path: &[u8]) -> Breach {
        Breach { path: Text::from_bytes(path), fault: self }
    }
}

/// Counts entries and bytes against the limits.
#[derive(Default)]
pub(super) struct Count {
    entries: usize,
    bytes: u64,
}

impl Count {
    /// One more entry.
    pub(super) fn add(&mut self, path: &[u8], bytes: u64) -> Result<(), Breach> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > MAX_ENTRIES {
            return Err(Fault::TooMany.at(path));
        }
        if self.bytes > MAX_BYTES { Err(Fault::TooBig.at(path)) } else { Ok(()) }
    }
}

/// The longest path or link target, as on Linux.
pub(super) const MAX_NAME: usize = 4096;

/// Checks a path from the root of the content, without a `/` at its end.
pub(super) fn check_path(path: &[u8]) -> Result<&str, Breach> {
    let fail = |fault: Fault| Err(fault.at(path));
    if path.len() > MAX_NAME {
        return fail(Fault::TooLong);
    }
    let Ok(text) = std::str::from_utf8(path) else {
        return fail(Fault::NotUtf8);
    };
    if text.starts_with('/') {
        return fail(Fault::Absolute);
    }
    if text.split('/').any(|part| part == "..") {
        return fail(Fault::Upwards);
    }
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return fail(Fault::Unclean);
    }
    if text.chars().any(char::is_control) { fail(Fault::Control) } else { Ok(text) }
}

/// Checks what can only be seen of all entries together: each once, each inside a directory, each
/// link to something inside. `entries` are sorted by path, and each path was checked.
pub(super) fn check_tree(entries: &[Entry]) -> Result<(), Breach> {
    for pair in entries.windows(2) {
        if let [a, b] = pair
            && a.path == b.path
        {
            return Err(Fault::Twice.at(a.path.as_bytes()));
        }
    }
    let tree: HashMap<&str, &Kind> = entries.iter().map(|e| (e.path.as_str(), &e.kind)).collect();
    for entry in entries {
        let parent = entry.path.rsplit_once('/').map(|(parent, _)| parent);
        if parent.is_some_and(|parent| !matches!(tree.get(parent), Some(Kind::Dir))) {
            return Err(Fault::Orphan.at(entry.path.as_bytes()));
        }
        if let Kind::Link { target } = &entry.kind {
            follow(&tree, parent.unwrap_or_default(), target).map_err(|fault| fault.at(entry.path.as_bytes()))?;
        }
    }
    Ok(())
}

/// As many links as Linux follows for one path.
const MAX_HOPS: usize = 40;

/// Follows a link from its directory through the content, as the kernel would.
fn follow(tree: &HashMap<&str, &Kind>, parent: &str, target: &str) -> Result<(), Fault> {
    let shown = || Text::clean(target);
    let mut at: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    // What is still to be walked, the next part last.
    let mut ahead: Vec<&str> = Vec::new();
    let mut hops = 0;
    let mut next = Some(target);
    loop {
        if let Some(link) = next.take() {
            if link.starts_with('/') {
                return Err(Fault::Leaves { target: shown() });
            }
            if link.is_empty() {
                return Err(Fault::Dangling { target: shown() });
            }
            ahead.extend(link.rsplit('/'));
        }
        match ahead.pop() {
            None => return Ok(()),
            Some("" | ".") => {}
            Some("..") => {
                at.pop().ok_or_else(|| Fault::Leaves { target: shown() })?;
            }
            Some(name) => {
                at.push(name);
                match tree.get(at.join("/").as_str()) {
                    Some(Kind::Dir) => {}
                    Some(Kind::File { .. }) if ahead.is_empty() => return Ok(()),
                    Some(Kind::Link { target: link }) if hops < MAX_HOPS => {
                        hops += 1;
                        at.pop();
                        next = Some(link);
                    }
                    Some(Kind::Link { .. }) => return Err(Fault::Circle { target: shown() }),
                    Some(Kind::File { .. }) | None => return Err(Fault::Dangling { target: shown() }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Fault, Kind, check_path, check_tree};

    fn dir(path: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::Dir }
    }

    fn file(path: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::File { exec: false, size: 1 } }
    }

    fn link(path: &str, target: &str) -> Entry {
        Entry { path: path.to_owned(), kind: Kind::Link { target: target.to_owned() } }
    }

    fn fault(mut entries: Vec<Entry>) -> Option<Fault> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check_tree(&entries).err().map(|breach| breach.fault)
    }

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let tested = |target: &str| fault(vec![dir("a"), dir("a/b"), file("a/b/file"), link("up", "a/b"), link("tested", target)]);
        for good in ["a", "a/b/file", "up/file", "up/../b/file", "./a//b/./file", "a/b/..", "a/..", "up/"] {
            assert_eq!(tested(good), None, "{good}");
        }
        for dangling in ["", "nothing", "a/b/file/", "a/b/file/..", "a/b/file/.", "nothing/../a"] {
            assert!(matches!(tested(dangling), Some(Fault::Dangling { .. })), "{dangling}");
        }
        for out in ["/", "/etc/passwd", "..", "../x", "a/../../x", "up/../../.."] {
            assert!(matches!(tested(out), Some(Fault::Leaves { .. })), "{out}");
        }
        assert!(matches!(fault(vec![dir("a"), link("a/one", "../a/two"), link("a/two", "one")]), Some(Fault::Circle { .. })));
        assert!(matches!(fault(vec![link("self", "self")]), Some(Fault::Circle { .. })));
    }

    #[test]
    fn an_entry_is_there_once_and_inside_a_directory() {
        assert_eq!(fault(vec![dir("a"), file("a/f"), file("a-b")]), None);
        assert_eq!(fault(vec![file("a"), file("a")]), Some(Fault::Twice));
        assert_eq!(fault(vec![file("a/f")]), Some(Fault::Orphan));
        assert_eq!(fault(vec![file("a"), file("a/f")]), Some(Fault::Orphan));
        assert_eq!(fault(vec![dir("b"), link("a", "b"), file("a/f")]), Some(Fault::Orphan));
    }

    #[test]
    fn paths_are_checked() {
        assert_eq!(check_path("a/grün/日本".as_bytes()), Ok("a/grün/日本"));
        for (path, expected) in [
            (&b"/etc"[..], Fault::Absolute),
            (b"../x", Fault::Upwards),
            (b"a/../x", Fault::Upwards),
            (b"", Fault::Unclean),
            (b"./a", Fault::Unclean),
            (b"a//b", Fault::Unclean),
            (b"a\nb", Fault::Control),
            (b"a\x7f", Fault::Control),
            (b"a\xc2\x9bb", Fault::Control),
            (b"\xff", Fault::NotUtf8),
            (&[b'a'; 5000], Fault::TooLong),
        ] {
            let breach = check_path(path).expect_err("refused");
            assert_eq!(breach.fault, expected);
            assert!(!breach.to_string().contains(char::is_control));
        }
    }
}
