//! A ruleset as data: what the text means, nothing derived.

use std::net::{IpAddr, Ipv6Addr};

pub use palisade_wire::Family;

/// A value that a rule may negate with `!`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Not<T> {
    /// Whether `!` stood before it.
    pub negated: bool,
    /// The value.
    pub value: T,
}

impl<T> Not<T> {
    /// `plain` holds for the value: apply the negation.
    #[inline]
    pub fn apply(&self, plain: bool) -> bool {
        plain != self.negated
    }
}

/// Packet and byte counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes, by IP length.
    pub bytes: u64,
}

/// The five hooks, in the order of a packet's route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// All packets from the network.
    Prerouting,
    /// Packets to this host.
    Input,
    /// Packets through this host.
    Forward,
    /// Packets made by this host.
    Output,
    /// All packets to the network.
    Postrouting,
}

impl Hook {
    /// Name of the built-in chain.
    pub fn name(self) -> &'static str {
        match self {
            Hook::Prerouting => "PREROUTING",
            Hook::Input => "INPUT",
            Hook::Forward => "FORWARD",
            Hook::Output => "OUTPUT",
            Hook::Postrouting => "POSTROUTING",
        }
    }
}

/// The five tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// Before connection tracking.
    Raw,
    /// Marks and header fields.
    Mangle,
    /// Address translation; sees first packets only.
    Nat,
    /// Accept or drop.
    Filter,
    /// Mandatory access control.
    Security,
}

impl TableKind {
    /// All tables.
    pub const ALL: [TableKind; 5] = [
        TableKind::Raw,
        TableKind::Mangle,
        TableKind::Nat,
        TableKind::Filter,
        TableKind::Security,
    ];

    /// Name as in `-t`.
    pub fn name(self) -> &'static str {
        match self {
            TableKind::Raw => "raw",
            TableKind::Mangle => "mangle",
            TableKind::Nat => "nat",
            TableKind::Filter => "filter",
            TableKind::Security => "security",
        }
    }

    /// The table of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// The hooks at which it has a built-in chain.
    pub fn hooks(self) -> &'static [Hook] {
        use Hook::*;
        match self {
            TableKind::Raw => &[Prerouting, Output],
            TableKind::Mangle => &[Prerouting, Input, Forward, Output, Postrouting],
            TableKind::Nat => &[Prerouting, Input, Output, Postrouting],
            TableKind::Filter | TableKind::Security => &[Input, Forward, Output],
        }
    }
}

/// A ruleset of one family: the tables that the text mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// Address family.
    pub family: Family,
    /// Tables in the order of their first mention.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// No tables.
    pub fn new(family: Family) -> Self {
        Ruleset {
            family,
            tables: Vec::new(),
        }
    }

    /// A table, if the text mentions it.
    pub fn table(&self, kind: TableKind) -> Option<&Table> {
        self.tables.iter().find(|t| t.kind == kind)
    }

    /// Position of a table, made with empty built-in chains if need be.
    pub(crate) fn table_index(&mut self, kind: TableKind) -> usize {
        if let Some(at) = self.tables.iter().position(|t| t.kind == kind) {
            return at;
        }
        self.tables.push(Table::new(kind));
        self.tables.len() - 1
    }
}

/// A table: its built-in chains in hook order, then user chains in order of creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which one.
    pub kind: TableKind,
    /// Chains.
    pub chains: Vec<Chain>,
}

impl Table {
    /// Empty built-in chains with policy ACCEPT.
    pub fn new(kind: TableKind) -> Self {
        Table {
            kind,
            chains: kind
                .hooks()
                .iter()
                .map(|hook| Chain::new(hook.name(), Some(*hook)))
                .collect(),
        }
    }
}

/// Policy of a built-in chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Let pass.
    Accept,
    /// Drop.
    Drop,
}

impl Policy {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Accept => "ACCEPT",
            Policy::Drop => "DROP",
        }
    }
}

/// A chain of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Hook of a built-in chain.
    pub builtin: Option<Hook>,
    /// Policy; without meaning for user chains.
    pub policy: Policy,
    /// Policy counters.
    pub counters: Counters,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// An empty chain.
    pub fn new(name: &str, builtin: Option<Hook>) -> Self {
        Chain {
            name: name.to_string(),
            builtin,
            policy: Policy::Accept,
            counters: Counters::default(),
            rules: Vec::new(),
        }
    }
}

/// Where a rule stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Line from 1.
    pub line: u32,
    /// First byte within the file.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Counters as the text gives them.
    pub counters: Counters,
    /// What every rule can test.
    pub base: Base,
    /// Matches in the order written.
    pub matches: Vec<Match>,
    /// What happens to a packet that fits.
    pub target: Target,
    /// Source position.
    pub position: Position,
}

/// An address with a mask; iptables allows any mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Net {
    /// Address, masked.
    pub address: IpAddr,
    /// Mask, of the same family.
    pub mask: IpAddr,
}

impl Net {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(net), IpAddr::V4(mask), IpAddr::V4(a)) => {
                u32::from(a) & u32::from(mask) == u32::from(net)
            }
            (IpAddr::V6(net), IpAddr::V6(mask), IpAddr::V6(a)) => {
                u128::from(a) & u128::from(mask) == u128::from(net)
            }
            _ => false,
        }
    }
}

/// An interface name, or its beginning (`eth+`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfacePattern {
    /// Name without the `+`.
    pub name: String,
    /// Any name that begins so.
    pub prefix: bool,
}

impl InterfacePattern {
    /// Whether an interface fits.
    pub fn fits(&self, interface: &str) -> bool {
        if self.prefix {
            interface.starts_with(&self.name)
        } else {
            interface == self.name
        }
    }
}

/// What every rule can test.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Base {
    /// `-s`.
    pub source: Option<Not<Net>>,
    /// `-d`.
    pub destination: Option<Not<Net>>,
    /// `-i`.
    pub in_interface: Option<Not<InterfacePattern>>,
    /// `-o`.
    pub out_interface: Option<Not<InterfacePattern>>,
    /// `-p`; `None` for "all".
    pub protocol: Option<Not<u8>>,
    /// `-f`.
    pub fragment: Option<Not<()>>,
}

/// Ports from first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// First.
    pub first: u16,
    /// Last.
    pub last: u16,
}

impl PortRange {
    /// Whether a port lies in it.
    #[inline]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

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

/// `-m connlabel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connlabel {
    /// `--label`: a number below 128, or a name that the host gives to one.
    pub label: String,
    /// `--set`.
    pub set: bool,
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
