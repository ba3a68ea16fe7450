//! Who else writes a rollout, and would write it back.

use crate::{model::text::Text, runtime::argo::objects::Meta};

/// `Argo CD application shop`, `Flux kustomization shop`; `None` if nobody says so.
#[must_use]
pub fn owner(meta: &Meta) -> Option<Text> {
    let label = |key: &str| meta.labels.get(key).filter(|v| !v.is_empty());
    let note = |key: &str| meta.annotations.get(key).filter(|v| !v.is_empty());
    // `app:group/kind:namespace/name`; the application may stand in a namespace of its own, with an underscore.
    let tracked = note("argocd.argoproj.io/tracking-id").and_then(|id| id.split(':').next()).filter(|app| !app.is_empty());
    if let Some(app) = tracked.or_else(|| label("argocd.argoproj.io/instance")) {
        return Some(Text::clean(&format!("Argo CD application {app}")));
    }
    for (key, what) in [("kustomize.toolkit.fluxcd.io/name", "Flux kustomization"), ("helm.toolkit.fluxcd.io/name", "Flux Helm release")] {
        if let Some(name) = label(key) {
            return Some(Text::clean(&format!("{what} {name}")));
        }
    }
    None
}
