//! What a rule can do by `-j`.

use super::*;

/// Answer of REJECT; the name is what `--reject-with` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectWith {
    /// ICMP destination unreachable with a code.
    Icmp(u8),
    /// ICMPv6 destination unreachable with a code.
    Icmp6(u8),
    /// TCP reset.
    TcpReset,
}

/// `-j LOG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Syslog level 0 to 7; 4 is the default.
    pub level: u8,
    /// Prefix.
    pub prefix: String,
    /// `--log-tcp-sequence`.
    pub tcp_sequence: bool,
    /// `--log-tcp-options`.
    pub tcp_options: bool,
    /// `--log-ip-options`.
    pub ip_options: bool,
    /// `--log-uid`.
    pub uid: bool,
    /// `--log-macdecode`.
    pub macdecode: bool,
}

/// `-j NFLOG`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Nflog {
    /// Group.
    pub group: u16,
    /// Prefix.
    pub prefix: String,
    /// `--nflog-range`.
    pub range: Option<u32>,
    /// `--nflog-size`.
    pub size: Option<u32>,
    /// `--nflog-threshold`.
    pub threshold: u16,
}

/// `-j CONNMARK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connmark {
    /// Connection mark = (mark & !mask) ^ value.
    Set {
        /// Value.
        value: u32,
        /// Mask.
        mask: u32,
    },
    /// Connection mark = (ctmark & !ctmask) ^ (nfmark & nfmask).
    Save {
        /// Mask of the packet's mark.
        nfmask: u32,
        /// Mask of the connection's mark.
        ctmask: u32,
    },
    /// Packet mark = (nfmark & !nfmask) ^ (ctmark & ctmask).
    Restore {
        /// Mask of the packet's mark.
        nfmask: u32,
        /// Mask of the connection's mark.
        ctmask: u32,
    },
}

/// Direction of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZoneDirection {
    /// `--zone`.
    Both,
    /// `--zone-orig`.
    Original,
    /// `--zone-reply`.
    Reply,
}

/// `-j CT`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ct {
    /// `--notrack`.
    pub notrack: bool,
    /// `--helper`.
    pub helper: Option<String>,
    /// `--zone…`; the id `None` means the packet's mark.
    pub zone: Option<(Option<u16>, ZoneDirection)>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// `--ctevents`, as written.
    pub events: Option<String>,
    /// `--expevents`, as written.
    pub expect_events: Option<String>,
}

/// What an address translation may choose from (kernel `struct nf_nat_range2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct NatRange {
    /// First and last address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// First and last port, or ICMP identifier.
    pub ports: Option<(u16, u16)>,
    /// Ports are shifted by their distance from this one.
    pub base_port: Option<u16>,
    /// `--random`.
    pub random: bool,
    /// `--random-fully`.
    pub random_fully: bool,
    /// `--persistent`.
    pub persistent: bool,
}

/// What happens to a packet that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing: the rule only counts.
    None,
    /// Let pass.
    Accept,
    /// Drop.
    Drop,
    /// Back to the calling chain.
    Return,
    /// To a chain, by its index in the table.
    Jump(usize),
    /// To a chain without coming back.
    Goto(usize),
    /// `-j REJECT`.
    Reject(RejectWith),
    /// `-j LOG`.
    Log(Log),
    /// `-j NFLOG`.
    Nflog(Nflog),
    /// `-j MARK`: mark = (mark & !mask) ^ value.
    Mark {
        /// Value.
        value: u32,
        /// Mask.
        mask: u32,
    },
    /// `-j CONNMARK`.
    Connmark(Connmark),
    /// `-j CT`.
    Ct(Ct),
    /// `-j NOTRACK`.
    Notrack,
    /// `-j SNAT`.
    Snat(NatRange),
    /// `-j DNAT`.
    Dnat(NatRange),
    /// `-j MASQUERADE`.
    Masquerade(NatRange),
    /// `-j REDIRECT`.
    Redirect(NatRange),
    /// `-j NETMAP`: the network that addresses are mapped to.
    Netmap(Net),
    /// `-j SNPT`, `-j DNPT`: stateless prefix translation (RFC 6296).
    Npt {
        /// The destination's prefix rather than the source's.
        destination: bool,
        /// Prefix before.
        from: (Ipv6Addr, u8),
        /// Prefix after.
        to: (Ipv6Addr, u8),
    },
    /// Anything else of the language.
    Kept(Kept),
}
