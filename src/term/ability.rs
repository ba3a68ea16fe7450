//! What the terminal can do, decided from the environment and settings alone, so that the first
//! paint waits for no answer.

use super::Unusable;
use crate::ui::look::Look;
use std::env;

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// Unless `NO_COLOR` is set or the terminal is monochrome.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether frames are wrapped in synchronised updates (DEC private mode 2026).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sync {
    /// When the terminal answers that it knows them.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never: for terminals that claim to know them and do not.
    Off,
}

/// The variables that say something about the terminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment {
    /// `TERM`.
    pub term: Option<String>,
    /// The first of `LC_ALL`, `LC_CTYPE`, `LANG` that is set and not empty.
    pub locale: Option<String>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// Inside tmux.
    pub tmux: bool,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(|v| v.to_string_lossy().into_owned());
        Self {
            term: set("TERM"),
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set),
            no_color: set("NO_COLOR").is_some(),
            tmux: set("TMUX").is_some(),
        }
    }

    /// Whether text can be placed at all.
    ///
    /// # Errors
    /// When `TERM` is `dumb` or absent.
    pub fn check(&self) -> Result<(), Unusable> {
        match self.term.as_deref() {
            None => Err(Unusable::Dumb { why: "TERM is not set" }),
            Some("dumb") => Err(Unusable::Dumb { why: "TERM is dumb" }),
            Some(_) => Ok(()),
        }
    }

    /// How things look here. `ascii` overrides what the locale says.
    #[must_use]
    pub fn look(&self, color: Color, ascii: Option<bool>) -> Look {
        let monochrome = self.term.as_deref().is_some_and(|t| t.ends_with("-m") || t.ends_with("-mono") || t.starts_with("vt"));
        Look {
            ascii: ascii.unwrap_or_else(|| !self.is_utf8()),
            color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => !self.no_color && !monochrome,
            },
        }
    }

    fn is_utf8(&self) -> bool {
        self.locale.as_deref().is_some_and(|l| {
            let l = l.to_ascii_lowercase();
            l.contains("utf-8") || l.contains("utf8")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Color, Environment};

    fn env(term: &str, locale: &str, no_color: bool) -> Environment {
        Environment { term: Some(term.into()), locale: Some(locale.into()), no_color, tmux: false }
    }

    #[test]
    fn colour_is_our_decision() {
        assert!(env("xterm-256color", "C", false).look(Color::Auto, None).color);
        assert!(!env("xterm-256color", "C", true).look(Color::Auto, None).color);
        assert!(env("xterm-256color", "C", true).look(Color::Always, None).color);
        assert!(!env("xterm-256color", "C", false).look(Color::Never, None).color);
        assert!(!env("vt220", "C", false).look(Color::Auto, None).color);
    }

    #[test]
    fn ascii_unless_the_locale_is_utf8() {
        for (locale, ascii) in [("de_DE.UTF-8", false), ("C.utf8", false), ("C", true), ("en_US.ISO-8859-1", true)] {
            assert_eq!(env("xterm", locale, false).look(Color::Auto, None).ascii, ascii, "{locale}");
        }
        assert!(Environment::default().look(Color::Auto, None).ascii);
        assert!(env("xterm", "C.UTF-8", false).look(Color::Auto, Some(true)).ascii);
    }

    #[test]
    fn a_dumb_terminal_is_refused() {
        assert!(env("dumb", "C", false).check().is_err());
        assert!(Environment::default().check().is_err());
        assert!(env("linux", "C", false).check().is_ok());
    }
}
