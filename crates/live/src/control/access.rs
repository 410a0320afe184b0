//! Who asks, and what they may.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Ask: status, rules, connections, listings.
    Ask,
    /// Everything.
    Change,
}

/// The process at the other end of a connection, as it was when it connected (`SO_PEERCRED`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id.
    pub pid: i32,
    /// User.
    pub user: u32,
    /// Groups, the first of them its own.
    pub groups: Vec<u32>,
}

/// Groups that are looked at, at most; a kernel has as many for a process (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Not in nix's list of options, nor in every libc's: `asm-generic/socket.h`.
const SO_PEERGROUPS: libc::c_int = 59;

impl Peer {
    /// Of a connection.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = getsockopt(stream, PeerCredentials)?;
        let mut groups = vec![credentials.gid()];
        groups.extend(further_groups(stream)?);
        Ok(Peer {
            pid: credentials.pid(),
            user: credentials.uid(),
            groups,
        })
    }
}

/// The supplementary groups of the other side.
fn further_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0u32; 32];
    loop {
        let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: the pointer is to `length` bytes that are ours and may be written, and `length` outlives the call.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let wanted = length as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(wanted);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ERANGE) if wanted > groups.len() && wanted <= MAX_GROUPS => {
                groups.resize(wanted, 0);
            }
            // Kernels before 4.13: the process's own group only.
            Some(libc::ENOPROTOOPT) => return Ok(Vec::new()),
            _ => return Err(error),
        }
    }
}

/// Who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The user that the process runs as; may do everything, as root may.
    pub own: u32,
    /// Members of it may ask.
    pub group: Option<u32>,
}

impl Access {
    /// For a process of this user, and a group.
    pub fn new(group: Option<u32>) -> Self {
        Access {
            own: nix::unistd::geteuid().as_raw(),
            group,
        }
    }

    /// What a peer may do; `None`: nothing.
    pub fn of(&self, peer: &Peer) -> Option<Rights> {
        if peer.user == 0 || peer.user == self.own {
            return Some(Rights::Change);
        }
        let member = |group| peer.groups.contains(&group);
        self.group.is_some_and(member).then_some(Rights::Ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_is_known() {
        let (a, _b) = UnixStream::pair().expect("a pair of sockets");
        let peer = Peer::of(&a).expect("credentials");
        assert_eq!(peer.pid as u32, std::process::id());
        assert_eq!(peer.user, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.groups[0], nix::unistd::getegid().as_raw());
    }

    #[test]
    fn root_and_its_own_user_may_change_members_may_ask_others_nothing() {
        let access = Access {
            own: 990,
            group: Some(40),
        };
        let rights = |user, groups: &[u32]| {
            access.of(&Peer {
                pid: 1,
                user,
                groups: groups.to_vec(),
            })
        };
        assert_eq!(rights(0, &[0]), Some(Rights::Change));
        assert_eq!(rights(990, &[990]), Some(Rights::Change));
        assert_eq!(rights(1000, &[1000, 27, 40]), Some(Rights::Ask));
        assert_eq!(rights(1000, &[1000, 27]), None);
        let closed = Access {
            group: None,
            ..access
        };
        let member = Peer {
            pid: 1,
            user: 1000,
            groups: vec![0, 40],
        };
        assert_eq!(closed.of(&member), None);
    }
}
