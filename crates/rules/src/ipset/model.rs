//! Sets as data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

use super::kind::Kind;

/// A name of up to 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Interface([u8; 16]);

impl Interface {
    /// From a name; what is beyond the 15th byte is cut off, as the kernel does.
    pub fn new(name: &str) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        Interface(bytes)
    }

    /// The bytes of the name.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(16);
        self.0.get(..end).unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What tells one element of a set from another. Parts that the set's type does not have are zero. Addresses are
/// numbers, of 32 or 128 bits as the set's family has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Element {
    /// First address or network.
    pub address: u128,
    /// Its prefix length.
    pub prefix: u8,
    /// Interface.
    pub interface: Interface,
    /// The interface is a port of a bridge.
    pub physdev: bool,
    /// Hardware address (of bitmap:ip,mac it stands in [`Entry::mac`]).
    pub mac: [u8; 6],
    /// Packet mark.
    pub mark: u32,
    /// Protocol; 0 in bitmap:port.
    pub protocol: u8,
    /// Port; ICMP type and code as one number.
    pub port: u16,
    /// Second address or network.
    pub address2: u128,
    /// Its prefix length.
    pub prefix2: u8,
}

/// What SET `--map-set` gives a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SkbInfo {
    /// Packet mark.
    pub mark: u32,
    /// Bits of the mark that are replaced.
    pub mask: u32,
    /// Traffic control class: major number in the upper half.
    pub priority: u32,
    /// Transmit queue.
    pub queue: u16,
}

/// What an element carries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// An exception from a wider network.
    pub nomatch: bool,
    /// The interface's name is the beginning of a name.
    pub wildcard: bool,
    /// The hardware address of an element of bitmap:ip,mac, once known.
    pub mac: Option<[u8; 6]>,
    /// Seconds until it goes; 0: never, or the set has no timeouts.
    pub timeout: u32,
    /// Packets counted.
    pub packets: u64,
    /// Bytes counted.
    pub bytes: u64,
    /// Comment.
    pub comment: Option<String>,
    /// Skbinfo.
    pub skb: SkbInfo,
}

/// What a set was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// First and last address or port of a bitmap.
    pub range: (u32, u32),
    /// Prefix length that addresses are cut to.
    pub netmask: Option<u8>,
    /// Mask that addresses are cut to.
    pub bitmask: Option<u128>,
    /// Bits of marks that are kept.
    pub markmask: u32,
    /// Buckets at first.
    pub hashsize: u32,
    /// Elements at most.
    pub maxelem: u32,
    /// Elements of a bucket at most.
    pub bucketsize: u8,
    /// Seed of the hash; the kernel chooses one if there is none.
    pub initval: Option<u32>,
    /// Seconds that elements live which say nothing else; `None`: the set has no timeouts.
    pub timeout: Option<u32>,
    /// Elements count packets.
    pub counters: bool,
    /// Elements may have comments.
    pub comment: bool,
    /// Elements may have marks, priorities and queues.
    pub skbinfo: bool,
    /// A full set gives up another element for one that is added.
    pub forceadd: bool,
    /// Sets of a list (which the kernel does not hold to).
    pub size: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            range: (0, 0),
            netmask: None,
            bitmask: None,
            markmask: u32::MAX,
            hashsize: 1024,
            maxelem: 65_536,
            bucketsize: 12,
            initval: None,
            timeout: None,
            counters: false,
            comment: false,
            skbinfo: false,
            forceadd: false,
            size: 8,
        }
    }
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
    /// Family of its addresses; `None` for a type that has none.
    pub family: Option<Family>,
    /// What it was made with.
    pub options: Options,
    /// Elements.
    pub elements: BTreeMap<Element, Entry>,
    /// The sets of a list:set in their order.
    pub members: Vec<(String, Entry)>,
    /// Line of the text that made it.
    pub line: u32,
}

impl Set {
    /// Bits of an address.
    pub fn width(&self) -> u8 {
        match self.family {
            Some(Family::V6) => 128,
            _ => 32,
        }
    }

    /// The mask that addresses are cut to by `netmask` or `bitmask`.
    pub fn mask(&self) -> u128 {
        match (self.options.netmask, self.options.bitmask) {
            (Some(length), _) => prefix_mask(length, self.width()),
            (None, Some(mask)) => mask,
            (None, None) => prefix_mask(self.width(), self.width()),
        }
    }

    /// The bits of a prefix of its addresses.
    pub fn prefix_mask(&self, length: u8) -> u128 {
        prefix_mask(length, self.width())
    }

    /// An element's address as an address.
    pub fn address(&self, number: u128) -> IpAddr {
        match self.family {
            Some(Family::V6) => IpAddr::V6(Ipv6Addr::from(number)),
            _ => IpAddr::V4(Ipv4Addr::from(number as u32)),
        }
    }

    /// Number of elements or members.
    pub fn len(&self) -> usize {
        self.elements.len() + self.members.len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An address as a number.
pub(crate) fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The bits of a prefix of addresses of `width` bits.
pub(crate) fn prefix_mask(length: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width.clamp(1, 128)));
    let host = u32::from(width.saturating_sub(length));
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

/// Sets by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// In the order in which they were made.
    pub sets: Vec<Set>,
}

impl Sets {
    /// The set of a name.
    pub fn get(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|s| s.name == name)
    }

    /// The set of a name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Set> {
        self.sets.iter_mut().find(|s| s.name == name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}
