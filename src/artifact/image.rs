//! The manifest and the configuration of an artifact: pure functions of its layer.

use super::layer::MAX_LAYER;
use crate::model::digest::Digest;
use oci_spec::image::{
    Arch, Descriptor, ImageConfigurationBuilder, ImageManifest, ImageManifestBuilder, MediaType, Os, RootFsBuilder, SCHEMA_VERSION,
    Sha256Digest,
};

/// A file of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    /// Of all its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// An artifact, as a layout holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its digest is the artifact's.
    pub manifest: Blob,
    pub manifest_bytes: Vec<u8>,
    pub config: Blob,
    pub config_bytes: Vec<u8>,
    pub layer: Blob,
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    fn descriptor(&self, kind: MediaType) -> Result<Descriptor, oci_spec::OciSpecError> {
        Ok(Descriptor::new(kind, self.size, self.digest.hex().parse::<Sha256Digest>()?))
    }
}

/// The index entry of a manifest, without annotations.
pub(super) fn entry(manifest: Blob) -> Result<Descriptor, oci_spec::OciSpecError> {
    manifest.descriptor(MediaType::ImageManifest)
}

/// The image of a layer.
///
/// The platform is always `linux/amd64`: it must not depend on the machine that seals, content may be
/// for any or none, and tools that select by platform take this one unasked. There is no time and no
/// history. Structures are written field by field in their declared order, never through a map.
pub(super) fn image(layer: Blob) -> Result<Image, oci_spec::OciSpecError> {
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids(vec![layer.digest.to_string()]).build()?;
    let config = ImageConfigurationBuilder::default().architecture(Arch::Amd64).os(Os::Linux).rootfs(rootfs).build()?;
    let config_bytes = config.to_string()?.into_bytes();
    let config = Blob::of(&config_bytes);
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config.descriptor(MediaType::ImageConfig)?)
        .layers(vec![layer.descriptor(MediaType::ImageLayer)?])
        .build()?;
    let manifest_bytes = manifest.to_string()?.into_bytes();
    Ok(Image { manifest: Blob::of(&manifest_bytes), manifest_bytes, config, config_bytes, layer })
}

/// Reads a manifest back; what is not in the form that [`image`] writes is refused with the reason.
pub(super) fn parse(manifest: &[u8]) -> Result<Image, String> {
    let parsed = ImageManifest::from_reader(manifest).map_err(|e| format!("its manifest cannot be read: {e}"))?;
    let [layer] = parsed.layers().as_slice() else {
        return Err(format!("it has {} layers, not one", parsed.layers().len()));
    };
    if *layer.media_type() != MediaType::ImageLayer {
        return Err(format!("its layer is {}, not an uncompressed tar", layer.media_type()));
    }
    let digest: Digest = layer.digest().to_string().parse().map_err(|e| format!("its layer: {e}"))?;
    if layer.size() > MAX_LAYER {
        return Err(format!("its layer has {} bytes, more than an artifact may have", layer.size()));
    }
    let image = image(Blob { digest, size: layer.size() }).map_err(|e| e.to_string())?;
    if image.manifest_bytes == manifest { Ok(image) } else { Err("its manifest says more or other things than a sealed one".to_owned()) }
}
