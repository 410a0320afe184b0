//! A ruleset as data: what the text means, nothing derived.

use std::net::IpAddr;

pub use palisade_wire::Family;

pub use crate::catalogue::{Match, Target};

/// Whose language it is: the two programs differ in what they take and how they print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Tools {
    /// iptables-legacy.
    #[default]
    Legacy,
    /// iptables-nft.
    Nft,
}

impl Tools {
    /// Both.
    pub const BOTH: [Tools; 2] = [Tools::Legacy, Tools::Nft];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tools::Legacy => "legacy",
            Tools::Nft => "nft",
        }
    }
}

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
    /// Address; what the mask leaves out does not count.
    pub address: IpAddr,
    /// Mask, of the same family.
    pub mask: IpAddr,
}

impl Net {
    /// With the bits of the address that the mask leaves out taken away.
    pub fn masked(self) -> Net {
        let address = match (self.address, self.mask) {
            (IpAddr::V4(a), IpAddr::V4(m)) => IpAddr::V4(a & m),
            (IpAddr::V6(a), IpAddr::V6(m)) => IpAddr::V6(a & m),
            (address, _) => address,
        };
        Net { address, ..self }
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, self.mask, address) {
            (IpAddr::V4(net), IpAddr::V4(mask), IpAddr::V4(a)) => {
                (u32::from(a) ^ u32::from(net)) & u32::from(mask) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(mask), IpAddr::V6(a)) => {
                (u128::from(a) ^ u128::from(net)) & u128::from(mask) == 0
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
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
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
