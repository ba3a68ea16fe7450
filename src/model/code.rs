//! What counts as an error: classes of HTTP statuses, single statuses, gRPC codes.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// One entry of `errors = ["5xx", "429", "grpc:14"]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// All HTTP statuses of a class, by its first digit: 4 or 5.
    Class(u8),
    /// One HTTP status, 400 to 599.
    Status(u16),
    /// One gRPC code, 1 to 16.
    Grpc(u8),
}

/// Names of gRPC codes, from 1.
const GRPC: [&str; 16] = [
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

impl Code {
    /// Whether an HTTP status is meant.
    #[must_use]
    pub const fn is_status(self, status: u16) -> bool {
        match self {
            Self::Class(digit) => status / 100 == digit as u16,
            Self::Status(code) => status == code,
            Self::Grpc(_) => false,
        }
    }

    /// What counts when nothing is configured: every answer of class 5.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        vec![Self::Class(5)]
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            format!(
                "`{shown}` is no error: write \"5xx\", \"4xx\", a status from \"400\" to \"599\", or a gRPC code such as \"grpc:unavailable\" or \"grpc:14\""
            )
        };
        if let Some(code) = text.strip_prefix("grpc:") {
            let named = GRPC.iter().position(|name| name.eq_ignore_ascii_case(code)).and_then(|i| u8::try_from(i + 1).ok());
            return named.or_else(|| code.parse().ok().filter(|n| (1..=16).contains(n))).map(Self::Grpc).ok_or_else(wrong);
        }
        match text {
            "4xx" => Ok(Self::Class(4)),
            "5xx" => Ok(Self::Class(5)),
            other => other.parse().ok().filter(|n| (400..600).contains(n)).map(Self::Status).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(digit) => write!(f, "{digit}xx"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Grpc(code) => match GRPC.get(usize::from(*code).wrapping_sub(1)) {
                Some(name) => write!(f, "grpc:{name}"),
                None => write!(f, "grpc:{code}"),
            },
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_written_as_they_are_read() {
        for (text, code) in [
            ("5xx", Code::Class(5)),
            ("4xx", Code::Class(4)),
            ("429", Code::Status(429)),
            ("grpc:unavailable", Code::Grpc(14)),
            ("grpc:unauthenticated", Code::Grpc(16)),
        ] {
            assert_eq!(text.parse::<Code>().as_ref(), Ok(&code));
            assert_eq!(code.to_string(), text);
        }
        assert_eq!("grpc:14".parse::<Code>(), Ok(Code::Grpc(14)));
        assert_eq!("grpc:DEADLINE_EXCEEDED".parse::<Code>(), Ok(Code::Grpc(4)));
        for wrong in ["3xx", "200", "600", "grpc:0", "grpc:17", "grpc:fine", "", "5XX "] {
            assert!(wrong.parse::<Code>().unwrap_err().contains("is no error"), "{wrong}");
        }
        assert!(Code::Class(5).is_status(503) && !Code::Class(5).is_status(499) && Code::Status(429).is_status(429));
    }
}
