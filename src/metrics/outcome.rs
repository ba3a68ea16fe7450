//! What became of a request, as a label says it, and which of it a gate counts as an error.

use crate::model::code::Code;
use serde::Deserialize;

/// What the values of a stack's label are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Statuses: `503`; classes are understood too.
    #[default]
    Status,
    /// Classes: `5xx` or `5`.
    Class,
    /// gRPC codes: `14` or `Unavailable`.
    Grpc,
    /// Only whether it failed: `failure`.
    Failure,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An HTTP status; 0 where there was no answer.
    Status(u16),
    /// The class of an HTTP status.
    Class(u8),
    /// A gRPC code.
    Grpc(u8),
    /// Whether the stack calls it a failure.
    Failed(bool),
}

impl Values {
    /// Reads a label's value; `None` of something else.
    #[must_use]
    pub fn read(self, value: &str) -> Option<Outcome> {
        match self {
            Self::Failure => Some(Outcome::Failed(value == "failure")),
            Self::Grpc => grpc(value).map(Outcome::Grpc),
            Self::Status | Self::Class => class(value).or_else(|| value.parse().ok().filter(|s| *s < 600).map(Outcome::Status)),
        }
    }

    /// Why errors cannot be told by such labels, in a line.
    ///
    /// # Errors
    /// When they cannot.
    pub fn can_tell(self, errors: &[Code], has_grpc: bool) -> Result<(), String> {
        for code in errors {
            let can = match (code, self) {
                (Code::Grpc(_), values) => has_grpc || values == Self::Grpc,
                (Code::Class(5), Self::Failure) | (_, Self::Status) | (Code::Class(_), Self::Class) => true,
                (Code::Class(_) | Code::Status(_), Self::Class | Self::Grpc | Self::Failure) => false,
            };
            if !can {
                let has = match self {
                    Self::Status => "HTTP statuses",
                    Self::Class => "classes of statuses",
                    Self::Grpc => "gRPC codes",
                    Self::Failure => "whether a request failed",
                };
                return Err(format!("errors `{code}` cannot be told: this stack's series only say {has}"));
            }
        }
        Ok(())
    }
}

impl Outcome {
    /// Whether it was not answered in time.
    #[must_use]
    pub const fn is_timeout(self) -> bool {
        matches!(self, Self::Status(504))
    }

    /// Whether it is one of these errors. Without an answer it is one of class 5, and so is what a stack
    /// that knows nothing finer calls a failure.
    #[must_use]
    pub fn is_any(self, errors: &[Code]) -> bool {
        errors.iter().any(|code| match (self, *code) {
            (Self::Status(0), code) => code == Code::Class(5),
            (Self::Status(status), code) => code.is_status(status),
            (Self::Class(class), Code::Class(digit)) => class == digit,
            (Self::Grpc(seen), Code::Grpc(code)) => seen == code,
            (Self::Failed(failed), Code::Class(5)) => failed,
            _ => false,
        })
    }
}

fn class(value: &str) -> Option<Outcome> {
    let digit = value.strip_suffix("xx").unwrap_or(value);
    let &[digit @ b'1'..=b'5'] = digit.as_bytes() else { return None };
    Some(Outcome::Class(digit - b'0'))
}

/// A gRPC code by its number or by its name, however it is written: `Unavailable`, `DATA_LOSS`, `DataLoss`.
fn grpc(value: &str) -> Option<u8> {
    if let Ok(code) = value.parse::<u8>() {
        return (code <= 16).then_some(code);
    }
    let bare = |s: &str| s.replace('_', "").to_ascii_lowercase();
    let wanted = bare(value).replace("canceled", "cancelled");
    let name = |code: u8| Code::Grpc(code).to_string();
    if wanted == "ok" { Some(0) } else { (1..=16).find(|code| name(*code).strip_prefix("grpc:").is_some_and(|n| bare(n) == wanted)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_stack_are_read() {
        let errors = |list: &[&str]| list.iter().map(|c| c.parse().unwrap()).collect::<Vec<Code>>();
        let is = |values: Values, value: &str, list: &[&str]| values.read(value).is_some_and(|o| o.is_any(&errors(list)));
        assert!(is(Values::Status, "503", &["5xx"]) && is(Values::Status, "5xx", &["5xx"]) && is(Values::Status, "0", &["5xx"]));
        assert!(is(Values::Class, "5", &["5xx"]) && !is(Values::Class, "4", &["5xx"]) && is(Values::Status, "429", &["5xx", "429"]));
        assert!(is(Values::Grpc, "Unavailable", &["grpc:14"]) && is(Values::Grpc, "14", &["grpc:unavailable"]));
        assert!(is(Values::Grpc, "DataLoss", &["grpc:data_loss"]) && is(Values::Grpc, "Canceled", &["grpc:1"]));
        assert!(is(Values::Failure, "failure", &["5xx"]) && !is(Values::Failure, "success", &["5xx"]));
        for nothing in ["", "other", "9999", "-1", "6xx", "NaN"] {
            assert_eq!(Values::Status.read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_a_label_cannot_say_is_refused() {
        let one = |text: &str| vec![text.parse::<Code>().unwrap()];
        assert!(Values::Class.can_tell(&one("429"), false).unwrap_err().contains("only say classes of statuses"));
        assert!(Values::Failure.can_tell(&one("4xx"), false).is_err() && Values::Failure.can_tell(&one("5xx"), false).is_ok());
        assert!(Values::Status.can_tell(&one("grpc:14"), false).is_err() && Values::Status.can_tell(&one("grpc:14"), true).is_ok());
    }
}
