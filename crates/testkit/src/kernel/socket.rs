//! Sockets of the firewall itself: those that a script declares, and those that its own packets leave by.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    listen, setsockopt, socket, sockopt,
};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use palisade_capture::script::SocketLine;
use palisade_wire::proto;

/// Runs something as another user and group, as far as the sockets that it opens are concerned.
fn owned<T>((user, group): (u32, u32), run: impl FnOnce() -> T) -> T {
    let (own_user, own_group) = (Uid::effective(), Gid::effective());
    setfsgid(Gid::from_raw(group));
    setfsuid(Uid::from_raw(user));
    let result = run();
    setfsuid(own_user);
    setfsgid(own_group);
    result
}

/// Raw sockets of both families, for packets with all their headers.
///
/// # Errors
/// Without the right to open them.
pub(crate) fn raw(owner: (u32, u32)) -> Result<[OwnedFd; 2]> {
    let open = |family| {
        socket(
            family,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::Raw,
        )
    };
    let (v4, v6) = owned(owner, || {
        (open(AddressFamily::Inet), open(AddressFamily::Inet6))
    });
    let sockets = [v4?, v6?];
    setsockopt(&sockets[0], sockopt::Broadcast, &true)?;
    Ok(sockets)
}

/// A socket as a script declares it. IPv6's serve IPv6 only.
///
/// # Errors
/// When the kernel refuses it; a connected TCP socket needs somebody at the other end, which nobody is.
pub(super) fn open(line: &SocketLine) -> Result<OwnedFd> {
    let family = match line.local {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let tcp = line.protocol == proto::TCP;
    let kind = if tcp {
        SockType::Stream
    } else {
        SockType::Datagram
    };
    let made = owned(line.owner, || {
        socket(family, kind, SockFlag::SOCK_CLOEXEC, None)
    });
    let made = made.context("a socket of the script")?;
    if line.local.is_ipv6() {
        setsockopt(&made, sockopt::Ipv6V6Only, &true)?;
    }
    if line.transparent {
        setsockopt(&made, sockopt::IpTransparent, &true)?;
    }
    if line.mark != 0 {
        setsockopt(&made, sockopt::Mark, &line.mark)?;
    }
    setsockopt(&made, sockopt::ReuseAddr, &true)?;
    bind(made.as_raw_fd(), &SockaddrStorage::from(line.local))
        .with_context(|| format!("binding a socket to {}", line.local))?;
    match line.remote {
        Some(remote) if !tcp => connect(made.as_raw_fd(), &SockaddrStorage::from(remote))?,
        Some(_) => bail!("a kernel connects no TCP socket without its other end"),
        None if tcp => listen(&made, Backlog::new(16)?)?,
        None => {}
    }
    Ok(made)
}
