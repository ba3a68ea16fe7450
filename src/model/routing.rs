//! Who gets which version, beside the plain share: `[service.routing]`.

use super::{spec::SecretSource, time::human};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[service.routing]`. That of the candidate of a run counts for its run; nothing of it is part of a version.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// What keeps a client on the version it got; without it, each request is dealt anew.
    pub sticky: Option<Sticky>,
    /// Who reaches a ready candidate whatever its share is; nobody when absent.
    pub tester: Option<Tester>,
    /// What becomes of what a version still answers once traffic went back from it.
    pub on_revert: OnRevert,
}

/// What a client is known by. While the candidate's share grows only those clients move that must;
/// with no share nobody is kept on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// A cookie of this name, which the proxy sets for clients that have none.
    Cookie(String),
    /// A header of this name, which somebody in front sets; without it a request is dealt.
    Header(String),
}

/// Requests that reach the candidate by a secret. They are not counted in what gates judge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tester {
    /// The header that carries the value; never passed on.
    #[serde(default = "tester_header")]
    pub header: String,
    /// Where the value is.
    pub secret: SecretSource,
}

/// What becomes of requests and upgraded connections on a version that was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRevert {
    /// They finish, for as long as the version's drain allows.
    #[default]
    Finish,
    /// They are cut this long after the way back was asked for.
    #[serde(with = "human")]
    CutAfter(Duration),
}

fn tester_header() -> String {
    "x-cutover-track".into()
}

#[cfg(test)]
mod tests {
    use super::{OnRevert, Routing, Sticky};
    use std::time::Duration;

    #[test]
    fn it_is_written_as_people_write_it() {
        let text = "sticky = { cookie = \"track\" }\ntester = { secret = { env = \"TESTER\" } }\non_revert = { cut_after = \"5s\" }\n";
        let routing: Routing = toml::from_str(text).unwrap();
        assert_eq!(routing.sticky, Some(Sticky::Cookie("track".into())));
        assert_eq!(routing.tester.as_ref().unwrap().header, "x-cutover-track");
        assert_eq!(routing.on_revert, OnRevert::CutAfter(Duration::from_secs(5)));
        assert_eq!(toml::from_str::<Routing>("on_revert = \"finish\"").unwrap(), Routing::default());
        assert_eq!(serde_json::from_value::<Routing>(serde_json::to_value(&routing).unwrap()).unwrap(), routing);
        for bad in ["sticky = \"cookie\"", "sticky = { path = \"/\" }", "on_revert = \"cut\"", "tester = { header = \"x\" }", "x = 1"] {
            assert!(toml::from_str::<Routing>(bad).is_err(), "{bad}");
        }
    }
}
