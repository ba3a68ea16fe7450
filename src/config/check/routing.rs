//! `[service.routing]`.

use super::Check;
use crate::model::{
    routing::{OnRevert, Sticky},
    spec::ServiceSpec,
};

/// Headers that say where a message ends or whom it is for: not up to a rollout.
const FRAMING: [&str; 8] = ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer", "cookie"];

impl Check<'_> {
    pub(super) fn routing(&mut self, at: &str, service: &ServiceSpec) {
        let (at, routing) = (format!("{at}.routing"), &service.routing);
        match &routing.sticky {
            Some(Sticky::Cookie(name)) if !is_token(name) => {
                self.say(&format!("{at}.sticky"), "`cookie` must be the name of a cookie: letters, digits, `-` and `_`, such as \"track\"");
            }
            Some(Sticky::Header(name)) => self.header(&format!("{at}.sticky"), name),
            _ => {}
        }
        if let Some(tester) = &routing.tester {
            let path = format!("{at}.tester");
            self.header(&path, &tester.header);
            self.secret_source(&path, &tester.secret, "the host's environment");
            if let Some(Sticky::Header(name)) = &routing.sticky
                && name.eq_ignore_ascii_case(&tester.header)
            {
                self.say(&path, "testers and sticky clients cannot be known by the same header: choose another one");
            }
        }
        if let OnRevert::CutAfter(span) = routing.on_revert
            && !span.is_zero()
        {
            self.span(&format!("{at}.on_revert"), "cut_after", span);
        }
    }

    fn header(&mut self, path: &str, name: &str) {
        if !is_token(name) {
            self.say(path, "`header` must be the name of a header: letters, digits, `-` and `_`, such as \"x-user\"");
        } else if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
            self.say(path, &format!("the header `{name}` belongs to HTTP itself: choose another one"));
        }
    }
}

/// A cautious part of what HTTP allows in the names of headers and cookies.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
