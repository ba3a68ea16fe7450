//! Who may use the control API: the host's own user and root always, others as the configuration says.

use super::Peer;
use crate::model::text::Text;
use nix::unistd::{Gid, Group, User, getgrouplist};
use rustix::fs::Mode;
use std::{collections::BTreeSet, ffi::CString};

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Right {
    /// Nothing.
    Nothing,
    /// Look.
    Read,
    /// Look and act.
    Act,
}

/// Who may do what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Access {
    host: u32,
    act: BTreeSet<u32>,
    group: Option<u32>,
    read: BTreeSet<u32>,
}

/// Why nobody can be let in as the configuration says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no such user.
    #[error("[host] {key}: this machine has no user `{name}`")]
    NoUser {
        /// Where it stands.
        key: &'static str,
        /// Which.
        name: Text,
    },
    /// There is no such group.
    #[error("[host] allow_group: this machine has no group `{name}`")]
    NoGroup {
        /// Which.
        name: Text,
    },
}

impl Access {
    /// Only the user that the host runs as, and root.
    #[must_use]
    pub fn own(host: u32) -> Self {
        Self { host, ..Self::default() }
    }

    /// Looks the names up.
    ///
    /// # Errors
    /// The first that this machine does not know.
    pub fn new(host: u32, allow_users: &[String], allow_group: Option<&str>, read_users: &[String]) -> Result<Self, AccessError> {
        let users = |key, names: &[String]| names.iter().map(|name| uid(key, name)).collect::<Result<BTreeSet<u32>, _>>();
        let group = allow_group.map(gid).transpose()?;
        Ok(Self { host, act: users("allow_users", allow_users)?, group, read: users("read_users", read_users)? })
    }

    /// What this peer may do, by what the kernel says of it.
    #[must_use]
    pub fn right(&self, peer: &Peer) -> Right {
        match peer.uid() {
            None => Right::Nothing,
            Some(uid) if uid == self.host || uid == 0 || self.act.contains(&uid) => Right::Act,
            Some(uid) if self.group.is_some_and(|group| peer.gid() == Some(group) || is_member(uid, group)) => Right::Act,
            Some(uid) if self.read.contains(&uid) => Right::Read,
            Some(_) => Right::Nothing,
        }
    }

    /// The mode of the socket, and the group it is given to. Users who are in no group of ours can be
    /// let in only by opening it to all; every connection is checked by [`Access::right`] all the same.
    #[must_use]
    pub fn socket(&self) -> (Mode, Option<u32>) {
        let mode = match (self.group, self.act.is_empty() && self.read.is_empty()) {
            (_, false) => 0o666,
            (Some(_), true) => 0o660,
            (None, true) => 0o600,
        };
        (Mode::from_raw_mode(mode), self.group)
    }

    /// The mode of the socket's directory, where the host makes it: others may pass and not look.
    #[must_use]
    pub fn directory(&self) -> Mode {
        let (socket, _) = self.socket();
        Mode::from_raw_mode(match socket.as_raw_mode() {
            0o666 => 0o711,
            0o660 => 0o710,
            _ => 0o700,
        })
    }
}

fn uid(key: &'static str, name: &str) -> Result<u32, AccessError> {
    let found = User::from_name(name).ok().flatten();
    found.map(|user| user.uid.as_raw()).ok_or_else(|| AccessError::NoUser { key, name: Text::clean(name) })
}

fn gid(name: &str) -> Result<u32, AccessError> {
    let found = Group::from_name(name).ok().flatten();
    found.map(|group| group.gid.as_raw()).ok_or_else(|| AccessError::NoGroup { name: Text::clean(name) })
}

/// The kernel tells only the primary group of a peer; the others are in the machine's tables.
fn is_member(uid: u32, group: u32) -> bool {
    let Some(user) = User::from_uid(uid.into()).ok().flatten() else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&Gid::from_raw(group)))
}

#[cfg(test)]
mod tests {
    use super::{Access, Peer, Right};

    #[test]
    fn only_the_hosts_own_user_and_root_may_use_it_unless_others_are_named() {
        for (peer, host, right) in
            [(1000, 1000, Right::Act), (0, 1000, Right::Act), (1001, 1000, Right::Nothing), (1000, 0, Right::Nothing)]
        {
            assert_eq!(Access::own(host).right(&Peer::of_uid(peer)), right, "{peer} at {host}");
        }
    }

    #[test]
    fn users_and_members_of_the_group_may_act_and_readers_look() {
        let named = Access::new(1000, &["daemon".into()], Some("bin"), &["nobody".into()]).unwrap();
        let right = |name: &str| named.right(&Peer::of_uid(super::uid("allow_users", name).unwrap()));
        assert_eq!(right("daemon"), Right::Act);
        assert_eq!(right("bin"), Right::Act, "its primary group");
        assert_eq!(right("nobody"), Right::Read);
        assert_eq!(right("games"), Right::Nothing);
    }

    #[test]
    fn the_sockets_mode_follows_who_may_use_it() {
        let mode = |access: &Access| (access.socket().0.as_raw_mode(), access.directory().as_raw_mode());
        assert_eq!(mode(&Access::own(1000)), (0o600, 0o700));
        assert_eq!(mode(&Access::new(1000, &[], Some("bin"), &[]).unwrap()), (0o660, 0o710));
        assert_eq!(mode(&Access::new(1000, &[], Some("bin"), &["nobody".into()]).unwrap()), (0o666, 0o711));
    }

    #[test]
    fn an_unknown_name_is_said_with_its_key() {
        let error = Access::new(0, &[], None, &["no-such-user".into()]).unwrap_err();
        assert_eq!(error.to_string(), "[host] read_users: this machine has no user `no-such-user`");
        let error = Access::new(0, &[], Some("no-such-group"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "[host] allow_group: this machine has no group `no-such-group`");
    }
}
