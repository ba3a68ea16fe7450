//! What a version is made of: images as they were asked for, and as pods run them.

use crate::{
    model::{
        digest::Digest,
        text::Text,
        version::{Artifact, Part},
    },
    runtime::argo::objects::{PodSpec, pod::Pod},
};
use std::collections::{BTreeMap, BTreeSet};

/// The artifact that an image reference names: sealed only with a digest.
#[must_use]
pub fn artifact(image: &str) -> Artifact {
    digest(image).map_or_else(|| Artifact::Tag(Text::clean(image)), Artifact::Digest)
}

/// The digest at the end of an image reference or of what a runtime calls an image:
/// `shop@sha256:…`, `docker-pullable://shop@sha256:…`, `sha256:…`.
#[must_use]
pub fn digest(image: &str) -> Option<Digest> {
    image.get(image.rfind("sha256:")?..)?.parse().ok()
}

/// What people call an image: its tag, or the first digits of its digest.
#[must_use]
pub fn label(image: &str) -> Text {
    let name = image.split('@').next().unwrap_or(image);
    // A colon before the last slash belongs to a registry's port.
    let last = name.rsplit('/').next().unwrap_or(name);
    match (last.rsplit_once(':'), digest(image)) {
        (Some((_, tag)), _) if !tag.is_empty() => Text::clean(tag),
        (_, Some(digest)) => digest.short().into(),
        // No tag at all means this one.
        _ if last.is_empty() => Text::default(),
        _ => "latest".into(),
    }
}

/// The parts of a version, by container; what runs is taken from its pods, if they are known.
#[must_use]
pub fn parts(spec: &PodSpec, pods: Option<&[&Pod]>) -> Vec<Part> {
    let all = spec.containers.iter().chain(&spec.init_containers);
    all.map(|container| {
        let running = pods.map(|pods| running(&container.name, pods)).unwrap_or_default();
        Part {
            container: Text::clean(&container.name),
            declared: artifact(&container.image),
            running: running.first().copied().filter(|_| running.len() == 1),
            differs: running.len() > 1,
            checked: None,
            wrong: None,
        }
    })
    .collect()
}

/// What most pods run of each container, by its name: of as many, what the oldest of them runs.
#[must_use]
pub fn usual(pods: &[&Pod]) -> BTreeMap<Box<str>, Digest> {
    let names: BTreeSet<&str> = pods.iter().flat_map(|pod| pod.status.container_statuses.iter().map(|s| &*s.name)).collect();
    let most = |name: &&str| {
        let runs: Vec<Digest> = each(name, pods).collect();
        let often = |digest: &Digest| runs.iter().filter(|other| *other == digest).count();
        // Of equals the last is taken, so the oldest stands there.
        runs.iter().rev().copied().max_by_key(often)
    };
    names.iter().filter_map(|name| Some(((*name).into(), most(name)?))).collect()
}

/// The digests of a container that pods run.
fn running(container: &str, pods: &[&Pod]) -> BTreeSet<Digest> {
    each(container, pods).collect()
}

/// What each pod that is not on its way out runs of a container.
fn each(container: &str, pods: &[&Pod]) -> impl Iterator<Item = Digest> {
    let going = |pod: &&&Pod| pod.metadata.deleted.is_none();
    let statuses =
        pods.iter().filter(going).flat_map(|pod| pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses));
    statuses.filter(move |s| &*s.name == container).filter_map(|s| digest(&s.image_id))
}

#[cfg(test)]
mod tests {
    use super::{digest, label};

    #[test]
    fn images_are_called_what_people_call_them() {
        let hex = "75a719f4e37c558ffed22ea1ceb47fd6a9d5bd32ea7f0ff79a9a100557b873c9";
        for (image, called) in [
            ("demo:v1", "v1"),
            ("registry.example:5000/shop/demo:2026.08", "2026.08"),
            ("registry.example:5000/shop/demo", "latest"),
            (&*format!("demo:v1@sha256:{hex}"), "v1"),
            (&*format!("r:5000/demo@sha256:{hex}"), "75a719f4e37c"),
            ("", ""),
        ] {
            assert_eq!(label(image).as_str(), called, "{image}");
        }
    }

    #[test]
    fn digests_of_any_runtime_are_read() {
        let hex = "75a719f4e37c558ffed22ea1ceb47fd6a9d5bd32ea7f0ff79a9a100557b873c9";
        for id in [format!("demo@sha256:{hex}"), format!("docker-pullable://demo@sha256:{hex}"), format!("sha256:{hex}")] {
            assert_eq!(digest(&id).map(|d| d.hex()), Some(hex.to_owned()), "{id}");
        }
        for id in ["", "demo:v1", "demo@sha256:75a7", "sha256:"] {
            assert_eq!(digest(id), None, "{id}");
        }
    }
}
