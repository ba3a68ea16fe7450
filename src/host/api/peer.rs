//! Who is at the other end of the socket, as the kernel says.

use crate::model::text::Text;
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::net::UnixListener;

/// The user at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    user: Text,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Peer {
    /// A user id of this machine, by name where it has one.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|u| u.name);
        Self { user: name.unwrap_or_else(|| format!("uid {uid}")).into(), uid: Some(uid), gid: None }
    }

    /// The user id; `None` if the kernel does not say.
    #[must_use]
    pub const fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// The primary group, as the kernel says.
    #[must_use]
    pub const fn gid(&self) -> Option<u32> {
        self.gid
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
            Ok(cred) => Self { gid: Some(cred.gid()), ..Self::of_uid(cred.uid()) },
            Err(_) => Self { user: "unknown".into(), uid: None, gid: None },
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
}
