//! Packets that this process sends itself: answers of REJECT, segments of SYNPROXY, copies of TEE.
//!
//! They go out by raw sockets with a mark by which the table lets them pass, and the kernel routes them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    setsockopt, socket, sockopt,
};
use palisade_wire::Packet;

/// A socket for each family.
#[derive(Debug)]
pub(super) struct Injector {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Injector {
    /// Opens them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn open(mark: u32) -> io::Result<Self> {
        let open = |family| -> nix::Result<OwnedFd> {
            let fd = socket(
                family,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::Raw,
            )?;
            setsockopt(&fd, sockopt::Mark, &mark)?;
            setsockopt(&fd, sockopt::Broadcast, &true)?;
            Ok(fd)
        };
        Ok(Injector {
            v4: open(AddressFamily::Inet)?,
            // A kernel without IPv6 hands over none of its packets either.
            v6: open(AddressFamily::Inet6).ok(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// Sends an IP packet. `interface` is where it belongs, if its destination is one of every link.
    pub(super) fn send(&self, bytes: &[u8], interface: u32) {
        match Packet::parse(bytes) {
            Ok(packet) => self.send_to(bytes, packet.destination(), interface),
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sends an IP packet to a host on a link of ours, wherever it is for.
    pub(super) fn send_to(&self, bytes: &[u8], to: IpAddr, interface: u32) {
        let counter = match self.try_send(bytes, to, interface) {
            Ok(()) => &self.sent,
            Err(error) => {
                tracing::debug!(%error, "a packet could not be sent");
                &self.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn try_send(&self, bytes: &[u8], to: IpAddr, interface: u32) -> io::Result<()> {
        match to {
            IpAddr::V4(to) => {
                let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
                sendto(self.v4.as_raw_fd(), bytes, &to, MsgFlags::empty())?;
            }
            IpAddr::V6(to) => {
                let on_link = to.segments()[0] & 0xffc0 == 0xfe80 || to.is_multicast();
                let scope = if on_link { interface } else { 0 };
                let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to, 0, 0, scope));
                let socket = self.v6.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                sendto(socket.as_raw_fd(), bytes, &to, MsgFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Packets sent, and packets that could not be.
    pub(super) fn counted(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.sent), read(&self.failed))
    }
}
