//! Durations as Go writes them.

use std::time::Duration;

/// `1h30m`, `1.5h`, `90s`, `300ms`; also a bare number of seconds, as pauses may have. `None` when it is none of these.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_ends = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_ends);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = next;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn what_go_reads_is_read() {
        for (text, ms) in
            [("1h30m", 5_400_000), ("1.5h", 5_400_000), ("90s", 90_000), ("20", 20_000), ("300ms", 300), ("1m0.5s", 60_500), (".5s", 500)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "soon", "5x", "-5s", "1h30", "99999999999999999999h", ".s", "1..5s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
