use super::{Decoder, InputBatch};
use crate::app::state::{Code, Input, KeyPress};
use proptest::prelude::*;
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Keys as people write them, in the notation of the configuration.
fn names(batch: &InputBatch) -> Vec<String> {
    let name = |k: KeyPress| {
        let base = match k.code {
            Code::Char(c) => c.to_string(),
            Code::F(n) => format!("F{n}"),
            other => format!("{other:?}").to_lowercase(),
        };
        format!("{}{}{base}", if k.ctrl { "ctrl-" } else { "" }, if k.alt { "alt-" } else { "" })
    };
    batch
        .typed
        .iter()
        .map(|t| match &t.input {
            Input::Key(k) if t.repeat => format!("{}(held)", name(*k)),
            Input::Key(k) => name(*k),
            Input::Paste(text) => format!("paste {text:?}"),
        })
        .collect()
}

fn keys(bytes: &str) -> Vec<String> {
    names(&Decoder::default().feed(bytes.as_bytes(), ms(0)))
}

/// Pieces read one after another, each this long after the one before.
fn pieces(pieces: &[&str], gap: u64) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        out.extend(names(&decoder.feed(piece.as_bytes(), ms(1_000 + gap * i as u64))));
    }
    out
}

#[test]
fn ordinary_keys() {
    assert_eq!(keys("jR\r\t\x7f"), ["j", "R", "enter", "tab", "backspace"]);
    assert_eq!(keys("\x03\x1a\x0c\0"), ["ctrl-c", "ctrl-z", "ctrl-l", "ctrl- "]);
    assert_eq!(keys("ü日"), ["ü", "日"]);
    assert_eq!(keys("\x1b"), ["esc"]);
    assert_eq!(keys("\x1b\x1b"), ["esc", "esc"]);
}

#[test]
fn sequences() {
    assert_eq!(keys("\x1b[A\x1b[B\x1bOC\x1b[D\x1b[H\x1b[F"), ["up", "down", "right", "left", "home", "end"]);
    assert_eq!(keys("\x1b[5~\x1b[6~\x1b[3~\x1b[Z"), ["pageup", "pagedown", "delete", "backtab"]);
    assert_eq!(keys("\x1bOP\x1bOR\x1b[15~\x1b[17~\x1b[24~\x1b[[E"), ["F1", "F3", "F5", "F6", "F12", "F5"]);
    assert_eq!(keys("\x1b[1;5A\x1b[1;3B"), ["ctrl-up", "alt-down"]);
    assert_eq!(keys("\x1b[Aj"), ["up", "j"], "a known sequence is over when it ends");
}

#[test]
fn modifiers_match_exactly() {
    assert_eq!(keys("\x1bR"), ["alt-R"]);
    assert_eq!(keys("\x1b\r"), ["alt-enter"]);
    assert_eq!(keys("\x1b\x1a"), ["ctrl-alt-z"]);
    assert_eq!(keys("\x1b[13;2u\x1b[1;2A\x1b[114;9u"), Vec::<String>::new(), "shift-enter, shift-up, super-r");
    assert_eq!(keys("\x1b[1;2R\x1bO2R"), Vec::<String>::new(), "shift-F3 is neither F3 nor R");
    assert_eq!(keys("\x1b[114;2u\x1b[114;5u\x1b[27;5;114~"), ["R", "ctrl-r", "ctrl-r"]);
}

#[test]
fn repeats_are_marked_and_releases_are_nothing() {
    assert_eq!(keys("\x1b[114;2:1u\x1b[114;2:2u\x1b[114;2:3u"), ["R", "R(held)"]);
    assert_eq!(keys("\x1b[1;1:2A\x1b[1;1:3A"), ["up(held)"]);
}

#[test]
fn a_torn_f3_is_never_r() {
    for gap in [0, 1, 50, 99, 500] {
        assert_eq!(pieces(&["\x1bO", "R"], gap), ["F3"], "{gap} ms");
        assert_eq!(pieces(&["\x1b[1;", "2", "R"], gap), Vec::<String>::new(), "{gap} ms");
    }
    for gap in [0, 1, 50, 99] {
        assert_eq!(pieces(&["\x1b", "OR"], gap), ["esc"], "{gap} ms");
        assert_eq!(pieces(&["\x1b", "R"], gap), ["esc"], "{gap} ms");
        assert_eq!(pieces(&["\x1b", "\r"], gap), ["esc"], "{gap} ms");
    }
    assert_eq!(pieces(&["\x1b", "O", "R"], 45), ["esc"]);
    assert_eq!(pieces(&["\x1b", "[1;2", "R"], 90), ["esc"], "begun in time, ended when it ends");
    assert_eq!(pieces(&["\x1b", "R"], 100), ["esc", "R"], "a person's R");
    assert_eq!(pieces(&["\x1b", "[", "A", "j"], 30), ["esc"], "j came 90 ms after ESC");
    assert_eq!(pieces(&["\x1b", "", "", "", "j"], 30), ["esc", "j"]);
}

#[test]
fn nothing_of_a_reply_or_an_unknown_sequence_becomes_keys() {
    for noise in [
        "\x1b[>0;95;0c",
        "\x1b[?62;22c",
        "\x1b[?2026;2$y",
        "\x1b]11;rgb:0000/0000/0000\x1b\\",
        "\x1b]52;c;UlI=\x07",
        "\x1bP1+r524742\x1b\\",
        "\x1b[12;40R",
        "\x1b[I\x1b[O",
        "\x1b[M RR",
        "\x1b[<0;3;4M",
    ] {
        assert_eq!(keys(noise), Vec::<String>::new(), "{noise:?}");
        let each: Vec<String> = noise.chars().map(String::from).collect();
        let each: Vec<&str> = each.iter().map(String::as_str).collect();
        assert!(pieces(&each, 1).iter().all(|k| k == "esc"), "{noise:?}");
        assert_eq!(keys(&format!("{noise}\x1bOA")), ["up"], "{noise:?}: what follows is whole");
    }
}

#[test]
fn the_answer_about_synchronised_updates() {
    for (answer, known) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        let batch = Decoder::default().feed(format!("\x1b[?2026;{answer}$y").as_bytes(), ms(0));
        assert_eq!((batch.synchronised, batch.typed.len()), (Some(known), 0));
    }
}

#[test]
fn a_paste_is_one_input_whatever_it_contains() {
    assert_eq!(keys("\x1b[200~R\rR\x1b[AR\x1bOR\x1b[201~j"), ["paste \"R\\nRRR\"", "j"]);
    assert_eq!(pieces(&["\x1b[200~R", "R\x1b", "[20", "1~", "j"], 400), ["paste \"RR\"", "j"]);
    let mut decoder = Decoder::default();
    assert_eq!(names(&decoder.feed(b"\x1b[200~RR", ms(0))), Vec::<String>::new());
    assert_eq!(names(&decoder.feed(b"R\r", ms(4_900))), Vec::<String>::new(), "still pasted");
    assert_eq!(names(&decoder.feed(b"q", ms(9_900))), ["paste \"RRR\\n\"", "q"], "its end was lost");
}

#[test]
fn an_unfinished_sequence_does_not_swallow_keys_for_ever() {
    assert_eq!(pieces(&["\x1b[", "q"], 1_000), ["q"]);
    assert_eq!(pieces(&["\x1b]0;", "q"], 1_000), ["q"]);
}

proptest! {
    /// However bytes are cut into reads, no key comes out that the uncut bytes do not hold, escape excepted.
    #[test]
    fn cutting_adds_no_key(seed in proptest::collection::vec(proptest::sample::select(vec![
        "\x1bOR", "\x1b[A", "\x1b[1;5C", "\x1b[15~", "\x1b[?62;c", "\x1b]0;R\x07", "\x1b[200~RR\x1b[201~", "j", "R", "\r", "ü",
    ]), 0..8), cuts in proptest::collection::vec(0usize..60, 0..6)) {
        let bytes = seed.concat().into_bytes();
        let whole = names(&Decoder::default().feed(&bytes, ms(0)));
        let mut decoder = Decoder::default();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let (mut from, mut got) = (0, Vec::new());
        for cut in cuts {
            got.extend(names(&decoder.feed(&bytes[from..cut], ms(10))));
            from = cut;
        }
        got.retain(|k| k != "esc");
        let mut rest = whole.iter();
        prop_assert!(got.iter().all(|k| rest.any(|w| w == k)), "{got:?} of {whole:?}");
    }

    #[test]
    fn any_bytes_are_survived(reads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), 0u64..200), 0..10)) {
        let mut decoder = Decoder::default();
        let mut at = ms(0);
        for (bytes, gap) in reads {
            at += ms(gap);
            decoder.feed(&bytes, at);
        }
    }
}
