//! Who else writes a rollout, and would write it back.

use crate::{
    model::text::Text,
    runtime::argo::objects::{Manager, Meta},
};

/// `Argo CD application shop`, `Flux kustomization shop`; `None` if nobody says so.
#[must_use]
pub fn owner(meta: &Meta, managers: &[Manager]) -> Option<Text> {
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
    // What is not marked was still written by somebody. `app.kubernetes.io/instance` is also what Helm calls its own.
    let wrote =
        |names: &[&str]| managers.iter().any(|m| m.subresource.is_empty() && !m.fields.spec.is_empty() && names.contains(&&*m.name));
    if wrote(&["argocd-controller", "argocd-application-controller"]) {
        return Some(
            label("app.kubernetes.io/instance").map_or_else(|| "Argo CD".into(), |app| Text::clean(&format!("Argo CD application {app}"))),
        );
    }
    if wrote(&["helm-controller"]) {
        let release = note("meta.helm.sh/release-name");
        return Some(release.map_or_else(|| "Flux".into(), |name| Text::clean(&format!("Flux Helm release {name}"))));
    }
    wrote(&["kustomize-controller"]).then(|| "Flux".into())
}
