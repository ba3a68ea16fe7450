//! How instances can be kept apart here, and from outliving the host.

use super::{Facts, Line};
use crate::{
    config::Isolation,
    host::instances::{self, Abilities},
};
use std::ffi::OsString;

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    if facts.loaded.config.services.is_empty() {
        return vec![Line::ok("no services are configured here: nothing to keep apart")];
    }
    match instances::abilities(&["/proc/self/exe", "supervise"].map(OsString::from)) {
        Ok(able) => vec![judge(&able, facts.loaded.config.host.isolation)],
        Err(e) => vec![Line::bad(format!("it cannot be tried: {e}"), "look at the limits of this user")],
    }
}

fn judge(able: &Abilities, wanted: Isolation) -> Line {
    let groups = if able.control_groups { "control groups" } else { "no control groups" };
    match (&able.namespaces, &able.supervisors, wanted) {
        (_, Err(why), Isolation::Cgroup) | (Err(_), Err(why), _) => {
            Line::bad(format!("no instance can be started: {why}"), "look at the limits and the seccomp profile of this user")
        }
        (Err(why), _, Isolation::Namespace) => Line::bad(
            format!("no PID namespaces: {why}"),
            "run the host as root, allow user namespaces, or set [host] isolation = \"auto\"",
        ),
        (Ok(()), _, Isolation::Auto | Isolation::Namespace) => Line::ok("a PID namespace for each instance: nothing outlives the host"),
        (_, Ok(()), Isolation::Cgroup) if able.control_groups => Line::ok("a supervisor and a control group for each instance"),
        (Err(why), Ok(()), _) if able.control_groups => Line::warn(
            format!("no PID namespaces ({why}); a supervisor and a control group for each instance"),
            "run the host as root, or allow user namespaces, for the surest end",
        ),
        (_, Ok(()), _) => Line::warn(
            format!("only supervisors, {groups}: a descendant that hides well may outlive its instance"),
            "run the host as root, or allow user namespaces",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::{cli::doctor::State, config::Isolation, host::instances::Abilities};

    #[test]
    fn the_best_that_is_allowed_and_works() {
        let able = |namespaces: bool, supervisors: bool, control_groups| Abilities {
            namespaces: if namespaces { Ok(()) } else { Err("forbidden".into()) },
            supervisors: if supervisors { Ok(()) } else { Err("no forks".into()) },
            control_groups,
        };
        let state = |able: &Abilities, wanted| judge(able, wanted).state;
        for groups in [true, false] {
            assert_eq!(state(&able(true, true, groups), Isolation::Auto), State::Ok);
            assert_eq!(state(&able(false, true, groups), Isolation::Auto), State::Warn);
            assert_eq!(state(&able(false, true, groups), Isolation::Namespace), State::Bad);
            assert_eq!(state(&able(false, false, groups), Isolation::Auto), State::Bad);
            assert_eq!(state(&able(true, false, groups), Isolation::Cgroup), State::Bad);
        }
        assert_eq!(state(&able(true, true, true), Isolation::Cgroup), State::Ok);
        assert_eq!(state(&able(true, true, false), Isolation::Cgroup), State::Warn);
    }
}
