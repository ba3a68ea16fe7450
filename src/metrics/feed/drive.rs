//! Asks what a feed wants to know: the only part that waits.

use super::Feed;
use crate::{metrics::Metrics, model::time::Time};
use futures::future::join_all;

/// One round: all that is due now is asked at once, and taken in. While the feed reads older samples the
/// next round is due at once; otherwise at [`Feed::next`]. Dropping it loses nothing: what was not taken
/// in is asked again.
pub async fn drive<M: Metrics>(feed: &mut Feed, backend: &M, now: Time) {
    let questions = feed.due(now);
    let answers = join_all(questions.iter().map(|question| backend.instant(&question.text, question.at))).await;
    for (question, answer) in questions.iter().zip(answers) {
        feed.take(question, answer);
    }
}
