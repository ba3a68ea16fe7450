//! An OCI image layout on disk: `oci-layout`, `index.json` and `blobs/sha256/`.
//!
//! Other tools may read it at any time and may have put other images into it; those are kept. Writers
//! of ours hold a lock on `oci-layout`; readers need none, because `index.json` is replaced as a whole.
//! `index.json` names what exists: a blob that no manifest names is waste, never an artifact.

use super::{
    durable,
    image::{self, Blob, Image},
    layer::Hasher,
    shown,
};
use crate::model::{digest::Digest, text::Text, time::Time, version::About};
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_REF_NAME, ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_VERSION, Descriptor, ImageIndex,
    ImageIndexBuilder, MediaType, OciLayout, OciLayoutBuilder, SCHEMA_VERSION,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Bytes of a manifest, a configuration or an index that are read at most: 4 MiB, as registries do.
const MAX_JSON: u64 = 4 << 20;

/// Annotations that say where an artifact came from; the only ones that are copied or written,
/// besides the name by which `skopeo copy oci:DIR:sha256:…` finds one of several.
pub(super) const ORIGIN: [&str; 5] = [ANNOTATION_VERSION, ANNOTATION_REVISION, ANNOTATION_CREATED, ANNOTATION_SOURCE, ANNOTATION_REVERT];

/// Says `unsafe: <why>` where going back from an artifact is not safe. Like the others it stands in the
/// index entry, beside the content: it can be added when that becomes known.
pub const ANNOTATION_REVERT: &str = "cutover.revert";

/// How the value of [`ANNOTATION_REVERT`] begins.
pub(super) const UNSAFE: &str = "unsafe: ";

/// An OCI image layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

/// What a layout says about an artifact. All but digest and size are claims of who sealed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The artifact.
    pub digest: Digest,
    /// What its owner calls it.
    pub version: Option<Text>,
    /// The source revision it was built from.
    pub revision: Option<Text>,
    /// When it was built, RFC 3339.
    pub created: Option<Text>,
    /// Where its source is.
    pub source: Option<Text>,
    /// Why going back from it is not safe.
    pub back_unsafe: Option<Text>,
    /// Size of its layer in bytes.
    pub bytes: u64,
    /// Everything of the above that its entry says, by its name there.
    pub annotations: BTreeMap<Text, Text>,
    /// When it came here; where it was sealed, that is when.
    pub stored: Option<Time>,
}

impl Described {
    /// What is shown of it; `store` is where it is kept.
    #[must_use]
    pub fn about(&self, store: &Layout) -> About {
        About { annotations: self.annotations.clone(), size: Some(self.bytes), store: Some(shown(store.dir())), sealed: self.stored }
    }
}

/// Why going back is not safe, as annotations say it.
#[must_use]
pub fn back_unsafe(annotations: &BTreeMap<Text, Text>) -> Option<Text> {
    let value = annotations.get(&Text::from(ANNOTATION_REVERT))?;
    value.as_str().strip_prefix(UNSAFE.trim_end()).map(|why| why.trim().into())
}

/// Why a layout could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The directory holds no OCI image layout.
    #[error("`{dir}` is not an OCI image layout: {why}")]
    NotALayout {
        /// The directory.
        dir: Text,
        /// What is missing or wrong.
        why: Text,
    },
    /// The layout has no artifact of this digest.
    #[error("no artifact {digest} in `{dir}`: seal it again, or name another layout by oci:DIR@{digest}")]
    Unknown {
        /// The artifact.
        digest: Digest,
        /// The layout.
        dir: Text,
    },
    /// A file of the artifact is gone or is not what its digest says.
    #[error("artifact {artifact} in `{dir}` is damaged: blob {blob} {what}; seal it again")]
    Damaged {
        /// The artifact.
        artifact: Digest,
        /// The file.
        blob: Digest,
        /// The layout.
        dir: Text,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The manifest is not one that sealing writes.
    #[error("{digest} in `{dir}` was not sealed by cutover: {why}; seal its directory with `cutover seal`")]
    Foreign {
        /// The manifest.
        digest: Digest,
        /// The layout.
        dir: Text,
        /// What is different.
        why: Text,
    },
    /// The operating system refused.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// A verb.
        doing: &'static str,
        /// Which file or directory.
        path: Text,
        /// Its reason.
        source: io::Error,
    },
    /// A structure of the OCI specification could not be written as JSON.
    #[error("cannot describe the artifact: {0}")]
    Describe(#[from] oci_spec::OciSpecError),
}

/// What to say when the operating system refuses.
pub(super) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LayoutError + use<'a> {
    move |source| LayoutError::Io { doing, path: shown(path), source }
}

/// Where [`Layout::add`] gets a blob from.
pub(super) enum Source<'a> {
    /// Memory.
    Bytes(&'a [u8]),
    /// Somewhere else: write it all.
    Write(&'a mut dyn FnMut(&mut dyn Write) -> Result<(), LayoutError>),
}

impl Layout {
    /// An existing layout.
    ///
    /// # Errors
    /// When there is none in this directory, or one of another version.
    pub fn open(dir: &Path) -> Result<Self, LayoutError> {
        let bad = |why: String| LayoutError::NotALayout { dir: shown(dir), why: why.into() };
        let marker = match File::open(dir.join("oci-layout")) {
            Ok(file) => file,
            Err(e) if dir.is_dir() && e.kind() == io::ErrorKind::NotFound => return Err(bad("it has no file `oci-layout`".into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(bad("no such directory".into())),
            Err(e) => return Err(bad(format!("cannot read `oci-layout`: {e}"))),
        };
        let marker = OciLayout::from_reader(marker.take(MAX_JSON)).map_err(|e| bad(format!("cannot read `oci-layout`: {e}")))?;
        if marker.image_layout_version() != "1.0.0" {
            return Err(bad(format!("version {}, expected 1.0.0", marker.image_layout_version())));
        }
        let layout = Self { dir: dir.to_owned() };
        layout.index()?;
        Ok(layout)
    }

    /// An existing layout, or a new one in a new or empty directory.
    ///
    /// # Errors
    /// When the directory holds something else, or cannot be written.
    pub fn create(dir: &Path) -> Result<Self, LayoutError> {
        let marker = dir.join("oci-layout");
        let complete = || fs::metadata(&marker).is_ok_and(|m| m.len() > 0);
        if complete() {
            return Self::open(dir);
        }
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        for item in fs::read_dir(dir).map_err(failed("read", dir))? {
            let name = item.map_err(failed("read", dir))?.file_name();
            // A creation that was killed may have left its own files.
            if !(name == "blobs" || name == "index.json" || name == "oci-layout" || durable::is_unfinished(&name)) {
                let why = "it is not empty; name a new or empty directory".into();
                return Err(LayoutError::NotALayout { dir: shown(dir), why });
            }
        }
        durable::lock_file(&marker).map_err(failed("create", &marker))?;
        let mut lock = durable::lock(&marker).map_err(failed("lock", &marker))?;
        if !complete() {
            let layout = Self { dir: dir.to_owned() };
            let blobs = layout.blob_dir();
            fs::create_dir_all(&blobs).map_err(failed("create", &blobs))?;
            if !dir.join("index.json").exists() {
                let index = ImageIndexBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageIndex);
                layout.write_index(&index.manifests(Vec::<Descriptor>::new()).build()?)?;
            }
            let version = OciLayoutBuilder::default().image_layout_version("1.0.0".to_owned()).build()?;
            // Last and in place, because it is the lock: an empty one marks a creation that is not complete.
            let written = lock.write_all(version.to_string()?.as_bytes()).and_then(|()| lock.sync_all());
            written.and_then(|()| durable::sync_dir(dir)).map_err(failed("write", &marker))?;
        }
        Self::open(dir)
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the artifact is listed and its files are there with the right sizes.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.image(digest).is_ok_and(|image| {
            [image.config, image.layer].iter().all(|blob| fs::metadata(self.blob_path(&blob.digest)).is_ok_and(|m| m.len() == blob.size))
        })
    }

    /// What it says about an artifact.
    ///
    /// # Errors
    /// When it has no such artifact, or cannot be read.
    pub fn describe(&self, digest: &Digest) -> Result<Described, LayoutError> {
        let entry = self.entry(digest)?;
        let image = self.image(digest)?;
        Ok(self.described(&entry, &image))
    }

    /// Every artifact, in the order they were sealed. What cannot be described is left out: images of
    /// other tools, and artifacts whose manifest is damaged.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(&self) -> Result<Vec<Described>, LayoutError> {
        let entries = self.index()?.manifests().clone();
        let described = entries.iter().filter_map(|entry| {
            let image = self.image(&sha256(entry)?).ok()?;
            Some(self.described(entry, &image))
        });
        Ok(described.collect())
    }

    /// Takes an artifact out of the index, then removes the files that nothing else here names. An
    /// artifact that is not here is removed already.
    ///
    /// # Errors
    /// When the layout cannot be read or written.
    pub fn remove(&self, digest: &Digest) -> Result<(), LayoutError> {
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let mut named = self.named(digest);
        let left: Vec<_> = index.manifests().iter().filter(|entry| sha256(entry) != Some(*digest)).cloned().collect();
        index.set_manifests(left);
        self.write_index(&index)?;
        for entry in index.manifests() {
            let Some(other) = sha256(entry) else { continue };
            let mut kept = self.named(&other);
            if kept.len() == 1 && *entry.media_type() != MediaType::ImageManifest {
                // An index, or something else whose parts are not known here: keep all but the manifest.
                kept.extend(named.iter().copied().filter(|blob| blob != digest));
            }
            named.retain(|blob| !kept.contains(blob));
        }
        for blob in named {
            let path = self.blob_path(&blob);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path)(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds an image, or what is missing or damaged of it, and its index entry. Annotations replace
    /// those of the same name. Returns whether nothing of the image had to be written.
    pub(super) fn add(
        &self,
        image: &Image,
        annotations: &BTreeMap<String, String>,
        layer: &mut dyn FnMut(&mut dyn Write) -> Result<(), LayoutError>,
    ) -> Result<bool, LayoutError> {
        let _lock = self.lock()?;
        let blobs = self.blob_dir();
        fs::create_dir_all(&blobs).map_err(failed("create", &blobs))?;
        durable::sweep(&self.dir);
        durable::sweep(&blobs);
        let mut already = self.put(image, image.layer, Source::Write(layer))?;
        already &= self.put(image, image.config, Source::Bytes(&image.config_bytes))?;
        already &= self.put(image, image.manifest, Source::Bytes(&image.manifest_bytes))?;

        let mut index = self.index()?;
        let mut entries = index.manifests().clone();
        let at = entries.iter().position(|entry| sha256(entry) == Some(image.manifest.digest));
        let mut entry = match at {
            Some(at) => entries.remove(at),
            None => image::entry(image.manifest)?,
        };
        let before = entry.clone();
        let mut all = entry.annotations().clone().unwrap_or_default();
        all.extend(annotations.iter().map(|(k, v)| (k.clone(), v.clone())));
        all.insert(ANNOTATION_REF_NAME.to_owned(), image.manifest.digest.to_string());
        entry.set_annotations(Some(all));
        let changed = at.is_none() || entry != before;
        if changed {
            entries.insert(at.unwrap_or(entries.len()), entry);
            index.set_manifests(entries);
            self.write_index(&index)?;
        }
        Ok(already && at.is_some())
    }

    /// Writes a blob unless it is there and sound. Returns whether it was.
    fn put(&self, image: &Image, blob: Blob, source: Source<'_>) -> Result<bool, LayoutError> {
        let path = self.blob_path(&blob.digest);
        if self.check(image, blob).is_ok() {
            return Ok(true);
        }
        let mut file = durable::new_file(&self.blob_dir()).map_err(failed("write into", &self.blob_dir()))?;
        let mut hashing = Hashing { inner: &mut file, hasher: Hasher::default() };
        match source {
            Source::Bytes(bytes) => hashing.write_all(bytes).map_err(failed("write", &path))?,
            Source::Write(write) => write(&mut hashing)?,
        }
        if hashing.hasher.finish() != (blob.digest, blob.size) {
            return Err(self.damaged(image, blob, "is not what its digest says"));
        }
        durable::publish(file, &path).map_err(failed("write", &path))?;
        Ok(false)
    }

    /// Hashes a blob.
    fn check(&self, image: &Image, blob: Blob) -> Result<(), LayoutError> {
        let path = self.blob_path(&blob.digest);
        let mut hashing = Hashing { inner: io::sink(), hasher: Hasher::default() };
        let file = self.open_blob(image, blob)?;
        io::copy(&mut file.take(blob.size.saturating_add(1)), &mut hashing).map_err(failed("read", &path))?;
        let same = hashing.hasher.finish() == (blob.digest, blob.size);
        if same { Ok(()) } else { Err(self.damaged(image, blob, "is not what its digest says")) }
    }

    /// Opens a blob; its bytes are not checked.
    pub(super) fn open_blob(&self, image: &Image, blob: Blob) -> Result<File, LayoutError> {
        let path = self.blob_path(&blob.digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(self.damaged(image, blob, "is gone")),
            Err(e) => Err(failed("read", &path)(e)),
        }
    }

    /// An artifact's manifest and configuration, hashed and in the one form that sealing writes.
    pub(super) fn image(&self, digest: &Digest) -> Result<Image, LayoutError> {
        self.entry(digest)?;
        let path = self.blob_path(digest);
        let damaged = |what| LayoutError::Damaged { artifact: *digest, blob: *digest, dir: shown(&self.dir), what };
        let bytes = match read_json(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(damaged("is gone")),
            bytes => bytes.map_err(failed("read", &path))?,
        };
        if Digest::of(&bytes) != *digest {
            return Err(damaged("is not what its digest says"));
        }
        let image = image::parse(&bytes).map_err(|why| LayoutError::Foreign { digest: *digest, dir: shown(&self.dir), why: why.into() })?;
        self.check(&image, image.config)?;
        Ok(image)
    }

    /// The annotations of an artifact that say where it came from.
    pub(super) fn origin(&self, digest: &Digest) -> Result<BTreeMap<String, String>, LayoutError> {
        let entry = self.entry(digest)?;
        let all = entry.annotations().clone().unwrap_or_default();
        Ok(all.into_iter().filter(|(name, _)| ORIGIN.contains(&name.as_str())).collect())
    }

    fn described(&self, entry: &Descriptor, image: &Image) -> Described {
        let all = entry.annotations().clone().unwrap_or_default();
        let known = all.iter().filter(|(name, _)| ORIGIN.contains(&name.as_str()));
        let annotations: BTreeMap<Text, Text> = known.map(|(name, value)| (Text::clean(name), Text::clean(value))).collect();
        let claim = |name: &str| annotations.get(&Text::from(name)).cloned();
        Described {
            digest: image.manifest.digest,
            version: claim(ANNOTATION_VERSION),
            revision: claim(ANNOTATION_REVISION),
            created: claim(ANNOTATION_CREATED),
            source: claim(ANNOTATION_SOURCE),
            back_unsafe: back_unsafe(&annotations),
            bytes: image.layer.size,
            stored: fs::metadata(self.blob_path(&image.manifest.digest)).and_then(|m| m.modified()).ok().map(Time::from),
            annotations,
        }
    }

    /// A damaged blob of an artifact.
    pub(super) fn damaged(&self, image: &Image, blob: Blob, what: &'static str) -> LayoutError {
        LayoutError::Damaged { artifact: image.manifest.digest, blob: blob.digest, dir: shown(&self.dir), what }
    }

    /// The blobs that a manifest names, with itself.
    fn named(&self, digest: &Digest) -> BTreeSet<Digest> {
        let mut named = BTreeSet::from([*digest]);
        let manifest = read_json(&self.blob_path(digest)).ok().and_then(|b| oci_spec::image::ImageManifest::from_reader(b.as_slice()).ok());
        if let Some(manifest) = manifest {
            named.extend(manifest.layers().iter().chain([manifest.config()]).filter_map(sha256));
        }
        named
    }

    fn entry(&self, digest: &Digest) -> Result<Descriptor, LayoutError> {
        let index = self.index()?;
        let entry = index.manifests().iter().find(|entry| sha256(entry) == Some(*digest));
        entry.cloned().ok_or_else(|| LayoutError::Unknown { digest: *digest, dir: shown(&self.dir) })
    }

    fn index(&self) -> Result<ImageIndex, LayoutError> {
        let bad = |why: String| LayoutError::NotALayout { dir: shown(&self.dir), why: why.into() };
        let bytes = read_json(&self.dir.join("index.json")).map_err(|e| bad(format!("cannot read `index.json`: {e}")))?;
        ImageIndex::from_reader(bytes.as_slice()).map_err(|e| bad(format!("cannot read `index.json`: {e}")))
    }

    fn write_index(&self, index: &ImageIndex) -> Result<(), LayoutError> {
        let path = self.dir.join("index.json");
        // By way of a value, whose keys are in order: annotations are a hash map.
        let bytes = serde_json::to_value(index).and_then(|value| serde_json::to_vec(&value)).map_err(oci_spec::OciSpecError::SerDe)?;
        durable::write(&path, &bytes).map_err(failed("write", &path))
    }

    fn lock(&self) -> Result<File, LayoutError> {
        let path = self.dir.join("oci-layout");
        durable::lock(&path).map_err(failed("lock", &path))
    }

    fn blob_dir(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    /// Where a blob is.
    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_dir().join(digest.hex())
    }
}

/// Hashes what passes through.
pub(super) struct Hashing<T> {
    pub inner: T,
    pub hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.add(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.add(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn sha256(descriptor: &Descriptor) -> Option<Digest> {
    descriptor.digest().to_string().parse().ok()
}

fn read_json(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_JSON + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_JSON { Err(io::Error::other("more than 4 MiB")) } else { Ok(bytes) }
}
