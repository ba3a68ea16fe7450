//! How far something is on its way, on one line.

use super::look::Look;

/// A bar of `cells` cells. Cut off, never rounded up: it is full only when `part` is 1.
#[must_use]
pub fn bar(part: f64, cells: usize, look: &Look) -> String {
    let [there, missing] = look.glyphs().bar;
    let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to the number of cells")]
    let full = (part * cells as f64).floor() as usize;
    format!("{}{}", there.repeat(full.min(cells)), missing.repeat(cells.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::bar;
    use crate::ui::look::Look;

    #[test]
    fn a_bar_is_full_at_the_line_and_not_before() {
        let ascii = Look { ascii: true, color: false };
        assert_eq!(bar(0.62, 10, &ascii), "######----");
        assert_eq!(bar(0.999_999, 4, &Look::FULL), "███░");
        assert_eq!([bar(1.0, 4, &ascii), bar(7.0, 4, &ascii), bar(f64::NAN, 4, &ascii)], ["####", "####", "----"]);
        assert_eq!(bar(0.5, 0, &ascii), "");
    }
}
