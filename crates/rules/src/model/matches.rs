//! What a rule can test by `-m`.

use super::*;

/// Which end a match looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Source.
    Source,
    /// Destination.
    Destination,
    /// Either.
    Either,
}

/// Connection states as a set, for `state` and `--ctstate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct StateSet(pub u8);

impl StateSet {
    /// INVALID.
    pub const INVALID: u8 = 1;
    /// NEW.
    pub const NEW: u8 = 2;
    /// RELATED.
    pub const RELATED: u8 = 4;
    /// ESTABLISHED.
    pub const ESTABLISHED: u8 = 8;
    /// UNTRACKED.
    pub const UNTRACKED: u8 = 16;
    /// SNAT (virtual).
    pub const SNAT: u8 = 32;
    /// DNAT (virtual).
    pub const DNAT: u8 = 64;

    /// Names in the order in which iptables-save prints them.
    pub const NAMES: [(&'static str, u8); 7] = [
        ("INVALID", Self::INVALID),
        ("NEW", Self::NEW),
        ("RELATED", Self::RELATED),
        ("ESTABLISHED", Self::ESTABLISHED),
        ("UNTRACKED", Self::UNTRACKED),
        ("SNAT", Self::SNAT),
        ("DNAT", Self::DNAT),
    ];
}

/// Status words of `--ctstatus` as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct CtStatusSet(pub u8);

impl CtStatusSet {
    /// Words and bits in printing order; NONE is the empty set.
    pub const NAMES: [(&'static str, u8); 4] = [
        ("EXPECTED", 1),
        ("SEEN_REPLY", 2),
        ("ASSURED", 4),
        ("CONFIRMED", 8),
    ];
}

/// `-m conntrack`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConntrackMatch {
    /// `--ctstate`.
    pub state: Option<Not<StateSet>>,
    /// `--ctproto`.
    pub protocol: Option<Not<u8>>,
    /// `--ctorigsrc`.
    pub orig_source: Option<Not<Net>>,
    /// `--ctorigdst`.
    pub orig_destination: Option<Not<Net>>,
    /// `--ctreplsrc`.
    pub repl_source: Option<Not<Net>>,
    /// `--ctrepldst`.
    pub repl_destination: Option<Not<Net>>,
    /// `--ctorigsrcport`.
    pub orig_source_port: Option<Not<PortRange>>,
    /// `--ctorigdstport`.
    pub orig_destination_port: Option<Not<PortRange>>,
    /// `--ctreplsrcport`.
    pub repl_source_port: Option<Not<PortRange>>,
    /// `--ctrepldstport`.
    pub repl_destination_port: Option<Not<PortRange>>,
    /// `--ctstatus`.
    pub status: Option<Not<CtStatusSet>>,
    /// `--ctexpire`, seconds from first to last.
    pub expire: Option<Not<(u32, u32)>>,
    /// `--ctdir`: `true` for ORIGINAL.
    pub original: Option<bool>,
}

/// TCP flags: `mask` are looked at, `set` of them must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags {
    /// Flags that count.
    pub mask: u8,
    /// Flags that must be set.
    pub set: u8,
}

/// `-m tcp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TcpMatch {
    /// `--sport`.
    pub source: Option<Not<PortRange>>,
    /// `--dport`.
    pub destination: Option<Not<PortRange>>,
    /// `--tcp-flags`, `--syn`.
    pub flags: Option<Not<TcpFlags>>,
    /// `--tcp-option`.
    pub option: Option<Not<u8>>,
}

/// `-m udp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UdpMatch {
    /// `--sport`.
    pub source: Option<Not<PortRange>>,
    /// `--dport`.
    pub destination: Option<Not<PortRange>>,
}

/// ICMP or ICMPv6 type and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpType {
    /// Type; `None` for any.
    pub kind: Option<u8>,
    /// First and last code.
    pub codes: (u8, u8),
}

/// `-m recent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// What to do.
    pub action: RecentAction,
    /// Whether `!` stood before the action.
    pub negated: bool,
    /// `--seconds`.
    pub seconds: Option<u32>,
    /// `--reap`.
    pub reap: bool,
    /// `--hitcount`.
    pub hitcount: Option<u32>,
    /// `--rttl`.
    pub rttl: bool,
    /// `--name`.
    pub name: String,
    /// `--mask`.
    pub mask: IpAddr,
    /// `--rsource` or `--rdest`.
    pub side: Side,
}

/// What a `recent` rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecentAction {
    /// `--set`.
    Set,
    /// `--rcheck`.
    Check,
    /// `--update`.
    Update,
    /// `--remove`.
    Remove,
}

/// Address types as a set of bits, by position in [`AddrType::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct AddrType(pub u16);

impl AddrType {
    /// Words; the bit is the position.
    pub const NAMES: [&'static str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];
}

/// `-m addrtype`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AddrtypeMatch {
    /// `--src-type`.
    pub source: Option<Not<AddrType>>,
    /// `--dst-type`.
    pub destination: Option<Not<AddrType>>,
    /// `--limit-iface-in`.
    pub limit_in: bool,
    /// `--limit-iface-out`.
    pub limit_out: bool,
}

/// A test of TTL or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TtlTest {
    /// Equal.
    Equal(u8),
    /// Not equal.
    Differs(u8),
    /// Less.
    Less(u8),
    /// Greater.
    Greater(u8),
}

/// `-m pkttype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PktType {
    /// To this host.
    Unicast,
    /// Broadcast.
    Broadcast,
    /// Multicast.
    Multicast,
}

/// `-m limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Ten-thousandths of a second between packets (kernel `XT_LIMIT_SCALE`).
    pub average: u32,
    /// Packets at once.
    pub burst: u32,
}

/// `-m connlabel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connlabel {
    /// `--label`: a number below 128, or a name that the host gives to one.
    pub label: String,
    /// `--set`.
    pub set: bool,
}

/// A match or target that is accepted and not evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Name.
    pub name: String,
    /// Option words as written.
    pub words: Vec<String>,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `-m tcp`.
    Tcp(TcpMatch),
    /// `-m udp`.
    Udp(UdpMatch),
    /// `-m icmp`.
    Icmp(Not<IcmpType>),
    /// `-m icmp6`.
    Icmp6(Not<IcmpType>),
    /// `-m state`.
    State(Not<StateSet>),
    /// `-m conntrack`.
    Conntrack(ConntrackMatch),
    /// `-m multiport`.
    Multiport {
        /// Which ports.
        side: Side,
        /// Ports.
        ports: Not<Vec<PortRange>>,
    },
    /// `-m iprange`.
    Iprange {
        /// `--src-range`.
        source: Option<Not<(IpAddr, IpAddr)>>,
        /// `--dst-range`.
        destination: Option<Not<(IpAddr, IpAddr)>>,
    },
    /// `-m limit`.
    Limit(Limit),
    /// `-m mark`: value and mask.
    Mark(Not<(u32, u32)>),
    /// `-m comment`.
    Comment(String),
    /// `-m recent`.
    Recent(Recent),
    /// `-m addrtype`.
    Addrtype(AddrtypeMatch),
    /// `-m length`.
    Length(Not<(u16, u16)>),
    /// `-m ttl`.
    Ttl(TtlTest),
    /// `-m hl`.
    Hl(TtlTest),
    /// `-m mac`.
    Mac(Not<[u8; 6]>),
    /// `-m pkttype`.
    Pkttype(Not<PktType>),
    /// `-m connlabel`.
    Connlabel(Not<Connlabel>),
    /// `-m helper`: name of the helper of the connection that announced this one; empty for any.
    Helper(Not<String>),
    /// Anything else of the language.
    Kept(Kept),
}

impl Match {
    /// Name as in `-m`.
    pub fn name(&self) -> &str {
        match self {
            Match::Tcp(_) => "tcp",
            Match::Udp(_) => "udp",
            Match::Icmp(_) => "icmp",
            Match::Icmp6(_) => "icmp6",
            Match::State(_) => "state",
            Match::Conntrack(_) => "conntrack",
            Match::Multiport { .. } => "multiport",
            Match::Iprange { .. } => "iprange",
            Match::Limit(_) => "limit",
            Match::Mark(_) => "mark",
            Match::Comment(_) => "comment",
            Match::Recent(_) => "recent",
            Match::Addrtype(_) => "addrtype",
            Match::Length(_) => "length",
            Match::Ttl(_) => "ttl",
            Match::Hl(_) => "hl",
            Match::Mac(_) => "mac",
            Match::Pkttype(_) => "pkttype",
            Match::Connlabel(_) => "connlabel",
            Match::Helper(_) => "helper",
            Match::Kept(kept) => &kept.name,
        }
    }
}
