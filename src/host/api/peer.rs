//! Who is at the other end of the socket, as the kernel says.

use crate::model::text::Text;
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::net::UnixListener;

/// The user at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    user: Text,
    uid: Option<u32>,
}

impl Peer {
    /// A user id of this machine, by name where it has one.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|u| u.name);
        Self { user: name.unwrap_or_else(|| format!("uid {uid}")).into(), uid: Some(uid) }
    }

    /// Whether it may use the API of a host that runs as this user: that user, and root, who may everything.
    #[must_use]
    pub fn may(&self, host: u32) -> bool {
        self.uid.is_some_and(|uid| uid == host || uid == 0)
    }

    /// The name to show: the kernel's user, and the claimed name in brackets if it says more.
    #[must_use]
    pub fn named(&self, claimed: Option<&Text>) -> Text {
        match claimed {
            Some(name) if !name.is_empty() && *name != self.user => format!("{} ({name})", self.user).into(),
            _ => self.user.clone(),
        }
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(cred) => Self::of_uid(cred.uid()),
            Err(_) => Self { user: "unknown".into(), uid: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;

    #[test]
    fn the_kernels_user_stands_first_and_cannot_be_replaced() {
        let peer = Peer::of_uid(0);
        assert_eq!(peer.named(None).as_str(), "root");
        assert_eq!(peer.named(Some(&"ana".into())).as_str(), "root (ana)");
        assert_eq!(peer.named(Some(&"root".into())).as_str(), "root");
    }

    #[test]
    fn only_the_hosts_own_user_and_root_may_use_it() {
        for (peer, host, may) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)] {
            assert_eq!(Peer::of_uid(peer).may(host), may, "{peer} at {host}");
        }
    }
}
