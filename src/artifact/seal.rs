//! Sealing: a directory becomes an artifact in a layout.
//!
//! The directory is read twice: once to learn the digest and to look for secrets, without writing
//! anything, and once to write the layer, unless the layout has it already. The two must agree, and
//! the directory must look the same before and after, so nothing is sealed that never existed at one time.

use super::{
    breach::Breach,
    image::{Blob, Image, image},
    layer::{Broken, Hasher, Part, stream},
    layout::{ANNOTATION_REVERT, Layout, LayoutError, UNSAFE, failed},
    secrets::{MAX_FINDINGS, Scanner, SecretFinding},
    shown,
    tree::{Kind, Tree, WalkError},
};
use crate::model::{digest::Digest, text::Text, time::Time};
use chrono::SecondsFormat;
use oci_spec::image::{ANNOTATION_CREATED, ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_VERSION};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
};

/// What to say about an artifact in the index, and what to let pass. Nothing of it changes the digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealOptions {
    /// What people call it, such as `v42`.
    pub version: Option<String>,
    /// The source revision it was built from.
    pub revision: Option<String>,
    /// When it was built.
    pub created: Option<Time>,
    /// Where its source is.
    pub source: Option<String>,
    /// Why going back from it is not safe.
    pub revert_unsafe: Option<String>,
    /// Seal although secrets were found.
    pub allow_secrets: bool,
}

/// What was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The artifact.
    pub digest: Digest,
    /// How many files it has.
    pub files: u64,
    /// Their bytes in all.
    pub bytes: u64,
    /// Whether the layout had it already.
    pub already: bool,
    /// Secrets that were let pass.
    pub warnings: Vec<SecretFinding>,
}

/// Why a directory was not sealed. Nothing was added to the layout's index.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is no directory.
    #[error("cannot seal `{path}`: {why}")]
    NotADirectory {
        /// What was named.
        path: Text,
        /// What is wrong with it.
        why: Text,
    },
    /// There is nothing in it: nothing could be started from it.
    #[error("cannot seal `{path}`: the directory is empty")]
    Empty {
        /// The directory.
        path: Text,
    },
    /// It contains what an artifact must not.
    #[error("cannot seal {0}")]
    Breach(#[from] Breach),
    /// Something in it cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// What.
        path: Text,
        /// The system's reason.
        source: io::Error,
    },
    /// It was written to meanwhile.
    #[error("`{path}` changed while it was sealed: stop what writes there and seal again")]
    Changed {
        /// What changed.
        path: Text,
    },
    /// It contains what looks like secrets.
    #[error("{} in `{dir}`: {}; remove them, or pass --allow-secrets", number(findings.len()), listed(findings))]
    Secrets {
        /// The directory.
        dir: Text,
        /// At most the first 100.
        findings: Vec<SecretFinding>,
    },
    /// An annotation cannot be written.
    #[error("{name} is {why}: expected 1 to 256 characters without control characters")]
    Annotation {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The layout is in the directory.
    #[error("the layout `{layout}` is inside the directory to seal: name one outside by --to")]
    Inside {
        /// The layout.
        layout: Text,
    },
    /// The layout cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl From<WalkError> for SealError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Breach(breach) => Self::Breach(breach),
            WalkError::Io { path, source } => Self::Read { path, source },
        }
    }
}

fn number(findings: usize) -> String {
    match findings {
        1 => "a possible secret".to_owned(),
        n if n >= MAX_FINDINGS => format!("{n} or more possible secrets"),
        n => format!("{n} possible secrets"),
    }
}

/// The first three, and how many more.
fn listed(findings: &[SecretFinding]) -> String {
    let mut names: Vec<String> = findings.iter().take(3).map(ToString::to_string).collect();
    if findings.len() > names.len() {
        names.push(format!("{} more", findings.len() - names.len()));
    }
    names.join(", ")
}

/// Seals a directory into a layout.
///
/// # Errors
/// See [`SealError`].
pub fn seal(dir: &Path, into: &Layout, options: &SealOptions) -> Result<Sealed, SealError> {
    prepare(dir, options)?.write(into)
}

/// A directory that can be sealed: it was read once, nothing was written.
#[derive(Debug)]
pub struct Prepared {
    dir: PathBuf,
    tree: Tree,
    image: Image,
    annotations: BTreeMap<String, String>,
    warnings: Vec<SecretFinding>,
}

/// Reads a directory and computes its digest.
///
/// # Errors
/// Every reason in [`SealError`] for which the directory or the options are to blame.
pub fn prepare(dir: &Path, options: &SealOptions) -> Result<Prepared, SealError> {
    let annotations = annotations(options)?;
    let refuse = |why: &str| SealError::NotADirectory { path: shown(dir), why: why.into() };
    let dir = &fs::canonicalize(dir).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => refuse("no such directory"),
        _ => refuse(&e.to_string()),
    })?;
    if !dir.is_dir() {
        return Err(refuse("not a directory"));
    }
    let tree = Tree::walk(dir)?;
    if tree.found.is_empty() {
        return Err(SealError::Empty { path: shown(dir) });
    }
    tree.check()?;
    let (layer, findings) = read(dir, &tree)?;
    if !(findings.is_empty() || options.allow_secrets) {
        return Err(SealError::Secrets { dir: shown(dir), findings });
    }
    let image = image(layer).map_err(LayoutError::Describe)?;
    Ok(Prepared { dir: dir.clone(), tree, image, annotations, warnings: findings })
}

impl Prepared {
    /// The digest it will have.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.image.manifest.digest
    }

    /// Whether a layout in this directory, which need not exist, would be part of what is sealed.
    ///
    /// # Errors
    /// [`SealError::Inside`] if so.
    pub fn ensure_outside(&self, layout: &Path) -> Result<(), SealError> {
        let full = std::path::absolute(layout).unwrap_or_else(|_| layout.to_owned());
        let existing = full.ancestors().find_map(|dir| fs::canonicalize(dir).ok());
        let inside = existing.is_some_and(|dir| dir.starts_with(&self.dir));
        if inside { Err(SealError::Inside { layout: shown(layout) }) } else { Ok(()) }
    }

    /// Writes the artifact into a layout, and its annotations if there are any.
    ///
    /// # Errors
    /// Those of writing, and [`SealError::Changed`] if the directory is no longer what it was.
    pub fn write(self, into: &Layout) -> Result<Sealed, SealError> {
        self.ensure_outside(into.dir())?;
        let blob = into.blob_path(&self.image.layer.digest);
        let mut trouble = None;
        let added = into.add(&self.image, &self.annotations, &mut |out| {
            let result = stream(&self.dir, &self.tree, &mut |part: Part<'_>| out.write_all(part.bytes()));
            let result = result.map_err(|broken| unread(broken, |e| failed("write", &blob)(e).into())).and_then(|()| self.unchanged());
            result.map_err(|e| match e {
                SealError::Layout(e) => e,
                // The layout only needs to know that the layer does not come; why is kept here.
                e => {
                    trouble = Some(e);
                    failed("read", &self.dir)(io::ErrorKind::InvalidData.into())
                }
            })
        });
        if let Some(error) = trouble {
            return Err(error);
        }
        let already = added?;
        let sizes = self.tree.found.iter().filter_map(|f| if let Kind::File { size, .. } = f.entry.kind { Some(size) } else { None });
        let (files, bytes) = sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
        Ok(Sealed { digest: self.image.manifest.digest, files, bytes, already, warnings: self.warnings })
    }

    /// Whether the directory still looks as it did when it was first listed.
    fn unchanged(&self) -> Result<(), SealError> {
        let now = Tree::walk(&self.dir)?;
        match super::drift::stat(&self.tree, &now) {
            Some(drift) => Err(SealError::Changed { path: drift.path }),
            None => Ok(()),
        }
    }
}

/// Hashes the layer without writing it, and looks for secrets.
fn read(dir: &Path, tree: &Tree) -> Result<(Blob, Vec<SecretFinding>), SealError> {
    let mut hasher = Hasher::default();
    let mut findings = Vec::new();
    let mut scanner: Option<Scanner> = None;
    let mut finish = |scanner: Option<Scanner>| {
        let room = MAX_FINDINGS.saturating_sub(findings.len());
        findings.extend(scanner.into_iter().flat_map(Scanner::finish).take(room));
    };
    let result = stream::<Infallible>(dir, tree, &mut |part| {
        hasher.add(part.bytes());
        if let Part::Body(entry, bytes) = part {
            if scanner.as_ref().is_none_or(|s| s.path() != entry.path) {
                finish(scanner.replace(Scanner::new(&entry.path)));
            }
            if let Some(scanner) = &mut scanner {
                scanner.feed(bytes);
            }
        }
        Ok(())
    });
    result.map_err(|broken| unread(broken, |never| match never {}))?;
    finish(scanner);
    let (digest, size) = hasher.finish();
    Ok((Blob { digest, size }, findings))
}

/// What to say when the directory could not be read to its end; `receiver` says why its receiver gave up.
fn unread<E>(broken: Broken<E>, receiver: impl FnOnce(E) -> SealError) -> SealError {
    match broken {
        Broken::Read { path, source } => SealError::Read { path, source },
        Broken::Changed { path } => SealError::Changed { path },
        Broken::Receiver(e) => receiver(e),
    }
}

fn annotations(options: &SealOptions) -> Result<BTreeMap<String, String>, SealError> {
    let created = options.created.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let given = [
        ("version", ANNOTATION_VERSION, &options.version),
        ("revision", ANNOTATION_REVISION, &options.revision),
        ("created", ANNOTATION_CREATED, &created),
        ("source", ANNOTATION_SOURCE, &options.source),
        ("revert-unsafe", ANNOTATION_REVERT, &options.revert_unsafe),
    ];
    let mut all = BTreeMap::new();
    for (name, key, value) in given {
        let Some(value) = value else { continue };
        let wrong = match value.chars().count() {
            0 => Some("empty"),
            n if n > 256 => Some("too long"),
            _ if value.chars().any(char::is_control) => Some("not plain text"),
            _ => None,
        };
        if let Some(why) = wrong {
            return Err(SealError::Annotation { name, why });
        }
        let value = if key == ANNOTATION_REVERT { format!("{UNSAFE}{value}") } else { value.clone() };
        all.insert(key.to_owned(), value);
    }
    Ok(all)
}
