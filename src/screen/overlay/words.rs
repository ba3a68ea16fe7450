//! Sheets of a few lines: a weight being typed, an action that was refused.

use super::{Sheet, wrapped};
use crate::{
    app::state::State,
    model::{
        action::{Action, Refusal},
        text::Text,
    },
    screen::scene::share_percent,
    ui::look::Tone,
};

/// A weight that is being typed.
pub(super) fn weight(state: &State, typed: &str, width: usize) -> Sheet {
    let rollout = state.shared.watched().map(|w| &w.rollout);
    let candidate = rollout.and_then(|r| r.candidate());
    let mut lines = Vec::new();
    if let Some(track) = candidate {
        let now = format!("{} has {} now", track.version.label, share_percent(track.share.declared));
        lines.extend(wrapped(state, Tone::Plain, &now, 2, width));
    }
    let entry = format!("{} percent, at most two decimals: {}_", state.look.glyphs().here, Text::clean(typed));
    lines.extend(wrapped(state, Tone::Strong, &entry, 2, width));
    // The line above the footer is behind this sheet.
    if let Some(said) = &state.notice {
        lines.extend(wrapped(state, Tone::Warn, said.text.as_str(), 2, width));
    }
    lines.extend(wrapped(state, Tone::Dim, "enter opens the preview; it then holds there; esc: nothing is sent", 2, width));
    let keep = lines.len();
    Sheet { bar: "WEIGHT of the candidate".into(), lines, keep }
}

/// An action that cannot be planned: why.
pub(super) fn refused(state: &State, action: &Action, refusal: &Refusal, width: usize) -> Sheet {
    let tone = if matches!(refusal, Refusal::AlreadySo { .. }) { Tone::Good } else { Tone::Warn };
    let mut lines = wrapped(state, tone, &refusal.to_string(), 2, width);
    lines.extend(wrapped(state, Tone::Strong, "NOTHING SENT; esc closes", 2, width));
    let keep = lines.len();
    let verb = match action {
        Action::Back { .. } => "back",
        action => action.verb(),
    };
    let word = if matches!(refusal, Refusal::AlreadySo { .. }) { "already so" } else { "not now" };
    Sheet { bar: format!("{verb}: {word}"), lines, keep }
}
