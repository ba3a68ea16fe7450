//! Targets: does each answer, and who else could ask it.

use super::{Facts, Line};
use crate::{cli::config::counted, config};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    facts
        .targets
        .iter()
        .flat_map(|(target, answer)| {
            let name = target.id.text();
            let mut lines = Vec::new();
            match answer {
                Ok(rollouts) => {
                    let acting = if target.read_only { ", read-only" } else { "" };
                    let place = target.socket().map_or_else(String::new, |socket| format!(" on {}", socket.display()));
                    lines.push(Line::ok(format!("{name} answers{place}: {}{acting}", counted(rollouts.len(), "rollout"))));
                }
                Err(exit) => lines.push(match target.socket() {
                    Some(socket) if !socket.exists() => Line::bad(
                        format!("{name}: nobody listens on {}", socket.display()),
                        "start the host with `cutover host`, or name its socket in [[target]]",
                    ),
                    Some(_) => Line::bad(
                        format!("{name}: {}", exit.line().unwrap_or_default()),
                        "look at the host's log; is it of the same version?",
                    ),
                    None => {
                        Line::bad(format!("{name}: {}", exit.line().unwrap_or_default()), "try `kubectl get rollouts` in the same context")
                    }
                }),
            }
            lines.extend(target.socket().and_then(|socket| rights(facts, socket)));
            lines
        })
        .collect()
}

/// Who may open the socket.
fn rights(facts: &Facts<'_>, socket: &std::path::Path) -> Option<Line> {
    let shown = socket.display();
    let seen = socket.symlink_metadata().ok()?;
    if !seen.file_type().is_socket() {
        return Some(Line::bad(format!("{shown} is no socket"), "remove it, or set another socket"));
    }
    let mode = seen.mode() & 0o777;
    let host = &facts.loaded.config.host;
    let meant = !host.allow_users.is_empty() || !host.read_users.is_empty();
    if mode & 0o007 != 0 && !meant {
        return Some(Line::bad(format!("socket {shown} is open to everybody (mode {mode:03o})"), format!("chmod o= {shown}")));
    }
    let owner = if seen.uid() == facts.env.uid { "yours".to_owned() } else { format!("user {}'s", seen.uid()) };
    // A directory that others may write lets them put another socket in its place.
    let dir = socket.parent()?;
    match dir.metadata() {
        Ok(d) if d.mode() & 0o022 != 0 && d.mode() & 0o1000 == 0 => Some(Line::bad(
            format!("others may replace socket {shown}: its directory has mode {:03o}", d.mode() & 0o777),
            format!("chmod go-w {}", dir.display()),
        )),
        _ if facts.loaded.config.host.socket.is_none() && config::check_private(dir, facts.env.uid).is_err() => {
            config::check_private(dir, facts.env.uid)
                .err()
                .map(|e| Line::bad(e, "nobody else may have made the place of the default socket"))
        }
        _ => Some(Line::ok(format!("socket {shown} is {owner}, mode {mode:03o}"))),
    }
}
