//! An interface at an end of the wire: what is known of it, and what is asked of it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::WireError;
use super::sys;
use crate::netlink::{Message, Protocol, Socket, attribute, flag, ne32};

/// rtnetlink: one interface, asked for and told.
const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
/// Attribute of an interface: the bridge or bond that it belongs to.
const MASTER: u16 = 10;

/// Orders of `SIOCETHTOOL` (kernel `ethtool.h`).
mod ethtool {
    pub(super) const DRIVER: u32 = 0x03;
    pub(super) const FLAGS: u32 = 0x25;
    pub(super) const SET_FLAGS: u32 = 0x26;
    pub(super) const GRO: u32 = 0x2b;
    pub(super) const SET_GRO: u32 = 0x2c;
    pub(super) const CHANNELS: u32 = 0x3c;
    /// Bits of flags: VLAN tags taken off frames that come, and received segments put together by the interface.
    pub(super) const TAGS_OFF: u32 = 1 << 8;
    pub(super) const LRO: u32 = 1 << 15;
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Name.
    pub(crate) name: String,
    /// Number, which another interface of this name would not have.
    pub(crate) index: u32,
    /// Largest packet behind the link header.
    pub(crate) mtu: usize,
    /// Queues that frames come by.
    pub(crate) queues: u32,
    /// It takes VLAN tags off frames that come.
    pub(crate) tags_off: bool,
    /// It puts segments together.
    pub(crate) merges: bool,
    /// Driver.
    pub(crate) driver: String,
}

/// A descriptor for questions about interfaces of the calling thread's namespace.
fn asking() -> io::Result<OwnedFd> {
    sys::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
}

/// A request about an interface.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zero is a request about an interface without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

fn ask(fd: &OwnedFd, order: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the orders of this module read and write a `struct ifreq`, which lives through the call.
    sys::checked(unsafe { libc::ioctl(fd.as_raw_fd(), order, std::ptr::from_mut(request)) })?;
    Ok(())
}

/// An order of ethtool with what it reads and writes; the first number is the order.
fn ethtool<const N: usize>(fd: &OwnedFd, name: &str, mut data: [u32; N]) -> io::Result<[u32; N]> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    ask(fd, libc::SIOCETHTOOL as libc::Ioctl, &mut request)?;
    Ok(data)
}

/// The number of the interface of this name in the calling thread's namespace, if there is one.
pub(crate) fn index(name: &str) -> Option<u32> {
    let mut request = request(name).ok()?;
    ask(
        &asking().ok()?,
        libc::SIOCGIFINDEX as libc::Ioctl,
        &mut request,
    )
    .ok()?;
    // SAFETY: the order fills in the number.
    u32::try_from(unsafe { request.ifr_ifru.ifru_ifindex }).ok()
}

/// The largest packet that an interface takes, in bytes behind its link header.
pub(crate) fn mtu(name: &str) -> io::Result<usize> {
    let mut asked = request(name)?;
    ask(&asking()?, libc::SIOCGIFMTU as libc::Ioctl, &mut asked)?;
    // SAFETY: the order fills in the MTU.
    Ok(usize::try_from(unsafe { asked.ifr_ifru.ifru_mtu }).unwrap_or_default())
}

/// Brings an interface up, if it is not.
pub(crate) fn bring_up(name: &str) -> io::Result<()> {
    let fd = asking()?;
    let mut asked = request(name)?;
    ask(&fd, libc::SIOCGIFFLAGS as libc::Ioctl, &mut asked)?;
    // SAFETY: the order fills in the flags.
    let flags = unsafe { asked.ifr_ifru.ifru_flags };
    if i32::from(flags) & libc::IFF_UP == 0 {
        asked.ifr_ifru.ifru_flags = flags | libc::IFF_UP as i16;
        ask(&fd, libc::SIOCSIFFLAGS as libc::Ioctl, &mut asked)?;
    }
    Ok(())
}

/// Attaches a descriptor of `/dev/net/tun` to the interface of this name, which is made if it is not there; the name it has.
pub(crate) fn tun(fd: &OwnedFd, name: &str, flags: i32) -> io::Result<String> {
    let mut asked = request(name)?;
    asked.ifr_ifru.ifru_flags = flags as i16;
    ask(fd, libc::TUNSETIFF, &mut asked)?;
    Ok(tun_flags(fd)?.0)
}

/// The name and the flags of the TUN interface that a descriptor is attached to.
pub(crate) fn tun_flags(fd: &OwnedFd) -> io::Result<(String, i32)> {
    let mut asked = request("-")?;
    ask(fd, libc::TUNGETIFF, &mut asked)?;
    let name: Vec<u8> = asked.ifr_name.iter().map(|c| *c as u8).collect();
    // SAFETY: the order fills in the flags.
    let flags = unsafe { asked.ifr_ifru.ifru_flags };
    Ok((crate::netlink::text(&name), i32::from(flags as u16)))
}

impl Interface {
    /// Looks at an interface, and brings it up.
    ///
    /// # Errors
    /// There is none of this name, or it cannot be an end of a wire.
    pub(crate) fn find(name: &str) -> Result<Self, WireError> {
        let failed = |what, error| WireError::Interface {
            name: name.to_owned(),
            what,
            error,
        };
        let index = index(name).ok_or_else(|| WireError::Missing(name.to_owned()))?;
        let fd = asking().map_err(|e| failed("asking about it", e))?;
        let mut asked = request(name).map_err(|e| failed("asking about it", e))?;
        ask(&fd, libc::SIOCGIFHWADDR as libc::Ioctl, &mut asked)
            .map_err(|e| failed("its kind", e))?;
        // SAFETY: the order fills in the address.
        if unsafe { asked.ifr_ifru.ifru_hwaddr.sa_family } != libc::ARPHRD_ETHER {
            return Err(WireError::NotEthernet(name.to_owned()));
        }
        if master(index).map_err(|e| failed("asking about it", e))? {
            return Err(WireError::Enslaved(name.to_owned()));
        }
        let mtu = mtu(name).map_err(|e| failed("its MTU", e))?;
        bring_up(name).map_err(|e| failed("bringing it up", e))?;
        let said = |order| ethtool(&fd, name, [order, 0]).map_or(0, |d| d[1]);
        let flags = said(ethtool::FLAGS);
        Ok(Interface {
            name: name.to_owned(),
            index,
            mtu,
            queues: queues(&fd, name),
            tags_off: flags & ethtool::TAGS_OFF != 0,
            merges: flags & ethtool::LRO != 0 || said(ethtool::GRO) != 0,
            driver: driver(&fd, name),
        })
    }

    /// Has the interface take frames for everybody, for as long as the descriptor is open.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn promiscuous(&self) -> io::Result<OwnedFd> {
        // Bound to nothing, it receives nothing.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let membership = libc::packet_mreq {
            mr_ifindex: self.index as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        sys::set_option(
            &socket,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &membership,
        )?;
        Ok(socket)
    }

    /// Asks the interface to leave frames as they came: tags stay in them, segments are not put together.
    pub(crate) fn leave_frames(&mut self) -> io::Result<()> {
        let fd = asking()?;
        let [_, flags] = ethtool(&fd, &self.name, [ethtool::FLAGS, 0])?;
        let less = flags & !(ethtool::TAGS_OFF | ethtool::LRO);
        if less != flags {
            ethtool(&fd, &self.name, [ethtool::SET_FLAGS, less])?;
        }
        ethtool(&fd, &self.name, [ethtool::SET_GRO, 0])?;
        (self.tags_off, self.merges) = (false, false);
        Ok(())
    }
}

/// Queues that frames come by; one if the driver does not say.
fn queues(fd: &OwnedFd, name: &str) -> u32 {
    match ethtool(fd, name, [ethtool::CHANNELS, 0, 0, 0, 0, 0, 0, 0, 0]) {
        Ok([_, _, _, _, _, receive, _, _, combined]) => (receive + combined).max(1),
        Err(_) => 1,
    }
}

fn driver(fd: &OwnedFd, name: &str) -> String {
    let mut data = [0; 49];
    data[0] = ethtool::DRIVER;
    let Ok(data) = ethtool(fd, name, data) else {
        return String::new();
    };
    let bytes: Vec<u8> = data[1..9].iter().flat_map(|n| n.to_ne_bytes()).collect();
    crate::netlink::text(&bytes)
}

/// Whether an interface belongs to a bridge or a bond.
fn master(index: u32) -> io::Result<bool> {
    let mut socket = Socket::open(Protocol::Route, 0)?;
    let sequence = socket.next_sequence();
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut message = Message::new();
    message
        .begin(GET_LINK, flag::REQUEST, sequence)
        .fixed(&header);
    socket.send(&message)?;
    for received in socket.receive()? {
        if let Some(code) = received.error() {
            return Err(io::Error::from_raw_os_error(code));
        }
        if received.kind == NEW_LINK {
            let attributes = received.body.get(16..).unwrap_or_default();
            return Ok(attribute(attributes, MASTER)
                .and_then(ne32)
                .is_some_and(|m| m != 0));
        }
    }
    Ok(false)
}

/// Addresses that an interface has.
pub(crate) fn addresses(name: &str) -> Vec<String> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    all.filter(|a| a.interface_name == name)
        .filter_map(|a| {
            let address = a.address?;
            let v4 = address.as_sockaddr_in().map(|a| a.ip().to_string());
            v4.or_else(|| address.as_sockaddr_in6().map(|a| a.ip().to_string()))
        })
        .collect()
}
