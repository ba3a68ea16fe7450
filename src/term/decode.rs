//! From bytes of the terminal to keys, pastes and replies.
//!
//! `vte` finds the sequences; this file knows which keys they mean. What the rest of the program may
//! rely on:
//!
//! - A sequence that arrives in pieces is one key, however late its pieces come (up to a second). Of
//!   a sequence that means nothing here, nothing is handed on.
//! - An `ESC` at the end of what could be read is the escape key at once. What belongs to it and
//!   comes later (F3 torn into `ESC` and `O R`) is dropped; so is everything typed within 100 ms
//!   after such an `ESC` or after a sequence that is not known.
//! - Modifiers match exactly: a key with one that [`KeyPress`] cannot say (shift-enter, super-R) is
//!   dropped; alt-R is never R. Repeats that the terminal reports are marked; releases are dropped.
//! - A paste is one input, whatever it contains.

use crate::app::state::{Code, Input, KeyPress};
use std::time::Duration;

/// After an `ESC` that was not part of a known sequence, what follows within this is dropped.
pub const TORN: Duration = Duration::from_millis(100);
/// A sequence whose end has not come by then is given up.
const UNFINISHED: Duration = Duration::from_secs(1);
/// A paste whose end has not come by then is given up: until then keys are taken for pasted text,
/// because the other way round a paste over a bad line would become commands.
const UNFINISHED_PASTE: Duration = Duration::from_secs(5);
/// What is kept of a paste, in bytes.
const PASTE_LIMIT: usize = 1 << 20;

/// One thing that was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Typed {
    /// What.
    pub input: Input,
    /// Whether the terminal says that the key was held: it never confirms anything.
    pub repeat: bool,
}

/// Everything that could be read at once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InputBatch {
    /// In the order it came.
    pub typed: Vec<Typed>,
    /// How many characters were dropped because they belong to torn or unknown sequences.
    pub dropped: usize,
    /// Whether the terminal has answered that it knows synchronised updates.
    pub synchronised: Option<bool>,
}

/// Turns bytes into [`InputBatch`]es. Keeps what is unfinished between two reads.
#[derive(Default)]
pub struct Decoder {
    parser: vte::Parser,
    sink: Sink,
    /// The last byte was an `ESC` that has not become anything yet.
    after_esc: bool,
    /// When the last byte came.
    last: Duration,
}

impl Decoder {
    /// Bytes that were read at `at`.
    pub fn feed(&mut self, bytes: &[u8], at: Duration) -> InputBatch {
        if bytes.is_empty() {
            return InputBatch::default();
        }
        self.give_up(at);
        (self.sink.at, self.last) = (at, at);
        for &byte in bytes {
            self.byte(byte);
        }
        if self.after_esc && !self.sink.muted && self.sink.paste.is_none() {
            self.sink.key(Code::Esc, Mods::NONE);
            // What continues it was already answered by the escape key.
            self.sink.muted = true;
            self.sink.torn_since = Some(at);
        }
        std::mem::take(&mut self.sink.out)
    }

    /// Forgets everything unfinished, as after a stop.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn byte(&mut self, byte: u8) {
        let after_esc = std::mem::take(&mut self.after_esc);
        if byte == 0x1b {
            if after_esc && self.sink.paste.is_none() {
                // The first of two was the escape key.
                self.ground();
                self.sink.key(Code::Esc, Mods::NONE);
            }
            self.after_esc = true;
        } else if after_esc && self.sink.paste.is_none() && (byte < 0x20 || byte == 0x7f) {
            // vte would carry the control character out as if there were no ESC: alt-enter is not enter.
            let muted = self.sink.muted;
            self.ground();
            self.sink.muted = muted;
            self.sink.control(byte, Mods { alt: true, ..Mods::NONE });
            return;
        } else if after_esc && byte >= 0x80 {
            self.ground();
            self.sink.torn_since = Some(self.sink.at);
        }
        self.parser.advance(&mut self.sink, &[byte]);
    }

    fn give_up(&mut self, at: Duration) {
        let quiet = at.saturating_sub(self.last);
        if self.sink.paste.is_some() {
            if quiet >= UNFINISHED_PASTE {
                self.ground();
                self.sink.end_paste();
            }
        } else if quiet >= UNFINISHED || (self.after_esc && quiet >= TORN) {
            self.ground();
        }
    }

    fn ground(&mut self) {
        self.parser = vte::Parser::new();
        self.after_esc = false;
        (self.sink.muted, self.sink.ss3, self.sink.linux, self.sink.string) = (false, false, false, false);
    }
}

#[derive(Clone, Copy)]
struct Mods {
    shift: bool,
    alt: bool,
    ctrl: bool,
    other: bool,
    /// 1 press, 2 repeat, 3 release.
    kind: u16,
}

impl Mods {
    const NONE: Self = Self { shift: false, alt: false, ctrl: false, other: false, kind: 1 };

    /// From the second parameter of a sequence: 1 and a bit mask, then the kind of event.
    fn of(param: Option<&[u16]>) -> Self {
        let at = |i: usize| param.and_then(|p| p.get(i)).copied().unwrap_or(0).max(1);
        // Caps lock (64) and num lock (128) are states of the keyboard, not modifiers.
        let mask = (at(0) - 1) & !0xc0;
        Self { shift: mask & 1 != 0, alt: mask & 2 != 0, ctrl: mask & 4 != 0, other: mask & !7 != 0, kind: at(1) }
    }
}

#[derive(Default)]
struct Sink {
    at: Duration,
    out: InputBatch,
    paste: Option<String>,
    /// `ESC O` came: the next character ends it.
    ss3: bool,
    /// `ESC [ [` came: a function key of the Linux console; the next character ends it.
    linux: bool,
    /// A string (OSC, DCS) has just ended: the `ESC \` that follows belongs to it.
    string: bool,
    /// The escape key was reported for this sequence already: nothing comes of it.
    muted: bool,
    /// When the last `ESC` came that was not part of a known sequence.
    torn_since: Option<Duration>,
}

impl Sink {
    fn key(&mut self, code: Code, mods: Mods) {
        let unsayable = mods.other || (mods.shift && !matches!(code, Code::Char(_)));
        if std::mem::take(&mut self.muted) {
            self.out.dropped += 1;
        } else if mods.kind != 3 && !unsayable {
            let key = KeyPress { code, ctrl: mods.ctrl, alt: mods.alt };
            self.out.typed.push(Typed { input: Input::Key(key), repeat: mods.kind == 2 });
        }
    }

    /// A character or control character outside of any sequence.
    fn plain(&mut self, code: Code, mods: Mods) {
        if self.torn_since.is_some_and(|since| self.at.saturating_sub(since) < TORN) {
            self.out.dropped += 1;
        } else {
            self.torn_since = None;
            self.key(code, mods);
        }
    }

    fn control(&mut self, byte: u8, mods: Mods) {
        let ctrl = Mods { ctrl: true, ..mods };
        match byte {
            b'\r' => self.plain(Code::Enter, mods),
            b'\t' => self.plain(Code::Tab, mods),
            0x7f => self.plain(Code::Backspace, mods),
            0 => self.plain(Code::Char(' '), ctrl),
            1..=26 => self.plain(Code::Char(char::from(byte - 1 + b'a')), ctrl),
            28..=31 => self.plain(Code::Char(char::from(byte - 28 + b'4')), ctrl),
            _ => {}
        }
    }

    /// A sequence that means nothing here; its tail may follow as if it were typed.
    fn unknown(&mut self) {
        self.muted = false;
        self.out.dropped += 1;
        self.torn_since = Some(self.at);
    }

    fn end_paste(&mut self) {
        if let Some(text) = self.paste.take() {
            self.out.typed.push(Typed { input: Input::Paste(text), repeat: false });
        }
    }

    fn named(&mut self, code: Option<Code>, mods: Mods) {
        match code {
            Some(code) => self.key(code, mods),
            None => self.unknown(),
        }
    }

    /// A key that the kitty protocol or xterm's modifyOtherKeys sends as a number.
    fn numbered(&mut self, number: u16, mods: Mods) {
        let code = match number {
            13 => Code::Enter,
            27 => Code::Esc,
            9 if mods.shift => return self.key(Code::BackTab, Mods { shift: false, ..mods }),
            9 => Code::Tab,
            127 => Code::Backspace,
            n => match char::from_u32(n.into()).filter(|c| !c.is_control() && !('\u{e000}'..='\u{f8ff}').contains(c)) {
                // The number is that of the unshifted key; what shift makes of other keys depends on the layout.
                Some(c) if mods.shift && c.is_ascii_lowercase() => Code::Char(c.to_ascii_uppercase()),
                Some(c) if !mods.shift || c.is_ascii_uppercase() => Code::Char(c),
                _ => return self.unknown(),
            },
        };
        self.key(code, mods);
    }
}

fn cursor_key(c: char) -> Option<Code> {
    Some(match c {
        'A' => Code::Up,
        'B' => Code::Down,
        'C' => Code::Right,
        'D' => Code::Left,
        'H' => Code::Home,
        'F' => Code::End,
        'P' => Code::F(1),
        'Q' => Code::F(2),
        'R' => Code::F(3),
        'S' => Code::F(4),
        _ => return None,
    })
}

fn tilde_key(number: u16) -> Option<Code> {
    Some(match number {
        1 | 7 => Code::Home,
        3 => Code::Delete,
        4 | 8 => Code::End,
        5 => Code::PageUp,
        6 => Code::PageDown,
        n @ 11..=15 => Code::F(u8::try_from(n - 10).ok()?),
        n @ 17..=21 => Code::F(u8::try_from(n - 11).ok()?),
        n @ 23..=24 => Code::F(u8::try_from(n - 12).ok()?),
        _ => return None,
    })
}

impl vte::Perform for Sink {
    fn print(&mut self, c: char) {
        if let Some(text) = &mut self.paste {
            if text.len() < PASTE_LIMIT {
                text.push(c);
            }
        } else if self.ss3 {
            // Some terminals put the modifiers between: `ESC O 2 R` is shift-F3.
            if c.is_ascii_digit() || c == ';' {
                self.muted = true;
                return;
            }
            self.ss3 = false;
            self.named(if c == 'M' { Some(Code::Enter) } else { cursor_key(c) }, Mods::NONE);
        } else if std::mem::take(&mut self.linux) {
            self.named(u8::try_from(c).ok().filter(|c| (b'A'..=b'E').contains(c)).map(|c| Code::F(c - b'A' + 1)), Mods::NONE);
        } else if c == '\u{7f}' {
            self.control(0x7f, Mods::NONE);
        } else {
            self.plain(Code::Char(c), Mods::NONE);
        }
    }

    fn execute(&mut self, byte: u8) {
        match &mut self.paste {
            Some(text) if text.len() < PASTE_LIMIT => match byte {
                b'\r' | b'\n' => text.push('\n'),
                b'\t' => text.push('\t'),
                _ => {}
            },
            Some(_) => {}
            None => self.control(byte, Mods::NONE),
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        let string = std::mem::take(&mut self.string);
        match byte {
            _ if self.paste.is_some() => {}
            b'\\' if string => {}
            b'O' if intermediates.is_empty() => self.ss3 = true,
            _ if intermediates.is_empty() => self.key(Code::Char(char::from(byte)), Mods { alt: true, ..Mods::NONE }),
            _ => self.unknown(),
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], ignore: bool, action: char) {
        let mut each = params.iter();
        let (first, second, third) = (each.next(), each.next(), each.next());
        let number = |p: Option<&[u16]>| p.and_then(|p| p.first()).copied().unwrap_or(0);
        if self.paste.is_some() {
            if (action, number(first)) == ('~', 201) {
                self.end_paste();
            }
            return;
        }
        if ignore {
            return self.unknown();
        }
        match (intermediates, action) {
            ([], '~') if number(first) == 200 => (self.paste, self.muted) = (Some(String::new()), false),
            ([], '~') if number(first) == 27 => self.numbered(number(third), Mods::of(second)),
            ([], '~') => self.named(tilde_key(number(first)), Mods::of(second)),
            ([], 'u') => self.numbered(number(first), Mods::of(second)),
            ([], 'Z') => self.key(Code::BackTab, Mods::NONE),
            ([], '[') => self.linux = true,
            // With two numbers it is also where the cursor is: both mean nothing here.
            ([], 'R') if number(first) > 1 => self.muted = false,
            ([], _) if cursor_key(action).is_some() => self.named(cursor_key(action), Mods::of(second)),
            ([b'?', b'$'], 'y') if number(first) == 2026 => {
                // 1 and 2: known and on, known and off. 0: not known. 3 and 4: cannot be changed.
                self.out.synchronised = Some(matches!(number(second), 1 | 2));
                self.muted = false;
            }
            _ => self.unknown(),
        }
    }

    fn osc_dispatch(&mut self, _params: &[&[u8]], bell: bool) {
        (self.string, self.muted) = (!bell, false);
    }

    fn unhook(&mut self) {
        (self.string, self.muted) = (true, false);
    }
}

#[cfg(test)]
mod tests;
