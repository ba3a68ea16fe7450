//! Copying through the terminal (OSC 52), which also works over SSH.

use crossterm::{Command, clipboard::CopyToClipboard};

/// The longest text that is copied, in bytes: terminals cut longer ones (xterm and tmux take about
/// 75,000 bytes of base64).
pub const COPY_LIMIT: usize = 56_000;

/// The bytes that copy a text, or `None` if it is longer than [`COPY_LIMIT`].
///
/// Ended by ST. Inside tmux it is sent twice, once wrapped so that tmux passes it on: which of the two
/// works depends on tmux's `set-clipboard` and `allow-passthrough`.
#[must_use]
pub fn copy(text: &str, tmux: bool) -> Option<Vec<u8>> {
    if text.len() > COPY_LIMIT {
        return None;
    }
    let mut sequence = String::new();
    CopyToClipboard::to_clipboard_from(text).write_ansi(&mut sequence).ok()?;
    let mut out = sequence.clone();
    if tmux {
        out.push_str("\x1bPtmux;");
        out.push_str(&sequence.replace('\x1b', "\x1b\x1b"));
        out.push_str("\x1b\\");
    }
    Some(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::{COPY_LIMIT, copy};

    #[test]
    fn ended_by_st_and_passed_through_tmux() {
        assert_eq!(copy("hi", false).unwrap(), b"\x1b]52;c;aGk=\x1b\\");
        assert_eq!(copy("hi", true).unwrap(), b"\x1b]52;c;aGk=\x1b\\\x1bPtmux;\x1b\x1b]52;c;aGk=\x1b\x1b\\\x1b\\");
        assert_eq!(copy(&"x".repeat(COPY_LIMIT + 1), false), None);
    }
}
