//! Tuples: one direction of a connection, as a value that can be inverted.

use std::fmt;
use std::net::IpAddr;

use palisade_wire::{Family, proto};

/// Direction of a packet relative to the packet that created the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Direction {
    /// As the first packet.
    Original = 0,
    /// Against it.
    Reply = 1,
}

impl Direction {
    /// The other direction.
    #[inline]
    pub fn opposite(self) -> Self {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }

    /// 0 for original, 1 for reply.
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The word that `--ctdir` uses.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Original => "ORIGINAL",
            Direction::Reply => "REPLY",
        }
    }
}

/// A conntrack zone id (0 is the default zone).
pub type Zone = u16;

/// The protocol's part of a tuple.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TupleProto {
    /// TCP, UDP, UDP-Lite, SCTP: ports.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP and ICMPv6 queries.
    Icmp {
        /// Identifier.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// GRE keys (call ids of PPTP; 0 otherwise).
    Gre {
        /// Source key.
        source: u16,
        /// Destination key.
        destination: u16,
    },
    /// Protocols without a tracker of their own: addresses only.
    Generic,
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// The protocol's part.
    pub proto: TupleProto,
}

impl Tuple {
    /// What tracking would look a packet up by (kernel `nf_ct_get_tuplepr`); `None` of what it cannot look up.
    pub fn of(packet: &palisade_wire::Packet<'_>) -> Option<Tuple> {
        crate::extract::tuple(packet).ok()
    }

    /// Address family.
    #[inline]
    pub fn family(&self) -> Family {
        match self.source {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The tuple that a reply would have (kernel `nf_ct_invert_tuple`), its own inverse.
    /// `None` for ICMP and ICMPv6 types that have no counterpart.
    pub fn invert(&self) -> Option<Tuple> {
        let proto = match self.proto {
            TupleProto::Ports {
                source,
                destination,
            } => TupleProto::Ports {
                source: destination,
                destination: source,
            },
            TupleProto::Gre {
                source,
                destination,
            } => TupleProto::Gre {
                source: destination,
                destination: source,
            },
            TupleProto::Icmp { id, kind, code } => TupleProto::Icmp {
                id,
                kind: icmp_counterpart(self.protocol, kind)?,
                code,
            },
            TupleProto::Generic => TupleProto::Generic,
        };
        Some(Tuple {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            proto,
        })
    }

    /// Source port, where the protocol has ports.
    pub fn source_port(&self) -> Option<u16> {
        match self.proto {
            TupleProto::Ports { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Destination port, where the protocol has ports.
    pub fn destination_port(&self) -> Option<u16> {
        match self.proto {
            TupleProto::Ports { destination, .. } => Some(destination),
            _ => None,
        }
    }

    /// The source's sixteen bits of the protocol part: port, GRE key or ICMP identifier.
    pub fn source_word(&self) -> u16 {
        self.words().0
    }

    /// The destination's sixteen bits: port, GRE key, or ICMP type and code.
    pub fn destination_word(&self) -> u16 {
        self.words().1
    }

    fn words(&self) -> (u16, u16) {
        match self.proto {
            TupleProto::Ports {
                source,
                destination,
            }
            | TupleProto::Gre {
                source,
                destination,
            } => (source, destination),
            TupleProto::Icmp { id, kind, code } => (id, u16::from_be_bytes([kind, code])),
            TupleProto::Generic => (0, 0),
        }
    }

    /// The flat key of this tuple in the table.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        let (source, destination, family) = match (self.source, self.destination) {
            (IpAddr::V4(s), IpAddr::V4(d)) => (
                [u64::from(u32::from(s)), 0],
                [u64::from(u32::from(d)), 0],
                Key::V4,
            ),
            (s, d) => (halves(s), halves(d), Key::V6),
        };
        let (a, b) = self.words();
        Key {
            source,
            destination,
            words: u32::from(a) << 16 | u32::from(b),
            protocol: self.protocol,
            family,
        }
    }
}

fn halves(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(a) => u128::from(a.to_ipv6_mapped()),
        IpAddr::V6(a) => u128::from(a),
    };
    [(bits >> 64) as u64, bits as u64]
}

/// A tuple as a few whole words: hashed and compared without looking at what they mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) source: [u64; 2],
    pub(crate) destination: [u64; 2],
    /// Source's and destination's sixteen bits.
    pub(crate) words: u32,
    pub(crate) protocol: u8,
    /// [`Key::V4`] or [`Key::V6`].
    pub(crate) family: u8,
}

/// An end of a connection: address and sixteen bits.
type KeyEnd = ([u64; 2], u16);

impl Key {
    pub(crate) const V4: u8 = 4;
    pub(crate) const V6: u8 = 6;

    /// The number of a family.
    #[inline]
    pub(crate) fn family(family: Family) -> u8 {
        match family {
            Family::V4 => Key::V4,
            Family::V6 => Key::V6,
        }
    }

    /// Of addresses of one family and both words of the protocol's part.
    pub(crate) fn of_words(source: IpAddr, destination: IpAddr, protocol: u8, words: u32) -> Key {
        let plain = Tuple {
            source,
            destination,
            protocol,
            proto: TupleProto::Generic,
        };
        Key {
            words,
            ..plain.key()
        }
    }

    #[inline]
    pub(crate) fn is_v4(&self) -> bool {
        self.family == Key::V4
    }

    #[inline]
    fn split(&self) -> (u16, u16) {
        ((self.words >> 16) as u16, self.words as u16)
    }

    fn is_icmp(&self) -> bool {
        matches!(self.protocol, proto::ICMP | proto::ICMPV6)
    }

    /// Both ends, the lower one first, so that a tuple and its inverse have the same. Of ICMP the identifier goes with
    /// the first and the lower of question and answer with the second.
    #[inline]
    pub(crate) fn ends(&self) -> (KeyEnd, KeyEnd) {
        let (a, b) = self.split();
        if self.is_icmp() {
            let [kind, code] = b.to_be_bytes();
            let other = icmp_counterpart(self.protocol, kind).unwrap_or(kind);
            let b = u16::from_be_bytes([kind.min(other), code]);
            return if self.source <= self.destination {
                ((self.source, a), (self.destination, b))
            } else {
                ((self.destination, a), (self.source, b))
            };
        }
        let (source, destination) = ((self.source, a), (self.destination, b));
        if source <= destination {
            (source, destination)
        } else {
            (destination, source)
        }
    }

    /// The key of the inverse tuple, if there is one.
    #[inline]
    pub(crate) fn inverse(&self) -> Option<Key> {
        let (a, b) = self.split();
        let words = if self.is_icmp() {
            let [kind, code] = b.to_be_bytes();
            let kind = icmp_counterpart(self.protocol, kind)?;
            u32::from(a) << 16 | u32::from(u16::from_be_bytes([kind, code]))
        } else {
            u32::from(b) << 16 | u32::from(a)
        };
        Some(Key {
            source: self.destination,
            destination: self.source,
            words,
            ..*self
        })
    }

    /// The tuple that it stands for.
    #[inline]
    pub(crate) fn tuple(&self) -> Tuple {
        let address = |[high, low]: [u64; 2]| {
            if self.is_v4() {
                IpAddr::V4((low_half(high)).into())
            } else {
                IpAddr::V6((u128::from(high) << 64 | u128::from(low)).into())
            }
        };
        let (source, destination) = self.split();
        let proto = match self.protocol {
            proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => TupleProto::Ports {
                source,
                destination,
            },
            proto::ICMP | proto::ICMPV6 => {
                let [kind, code] = destination.to_be_bytes();
                TupleProto::Icmp {
                    id: source,
                    kind,
                    code,
                }
            }
            proto::GRE => TupleProto::Gre {
                source,
                destination,
            },
            _ => TupleProto::Generic,
        };
        Tuple {
            source: address(self.source),
            destination: address(self.destination),
            protocol: self.protocol,
            proto,
        }
    }
}

/// An IPv4 address as a key has it.
fn low_half(word: u64) -> u32 {
    word as u32
}

/// The type that answers an ICMP or ICMPv6 query, or that it answers (kernel `invmap`).
fn icmp_counterpart(protocol: u8, kind: u8) -> Option<u8> {
    if protocol == proto::ICMPV6 {
        match kind {
            128 => Some(129),
            129 => Some(128),
            139 => Some(140),
            140 => Some(139),
            _ => None,
        }
    } else {
        match kind {
            8 => Some(0),
            0 => Some(8),
            13 => Some(14),
            14 => Some(13),
            15 => Some(16),
            16 => Some(15),
            17 => Some(18),
            18 => Some(17),
            _ => None,
        }
    }
}

impl fmt::Display for Tuple {
    /// As `conntrack -L` prints one: `src=… dst=… sport=… dport=…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src={} dst={}", self.source, self.destination)?;
        match self.proto {
            TupleProto::Ports {
                source,
                destination,
            } => write!(f, " sport={source} dport={destination}"),
            TupleProto::Icmp { id, kind, code } => {
                write!(f, " type={kind} code={code} id={id}")
            }
            TupleProto::Gre {
                source,
                destination,
            } => write!(f, " srckey=0x{source:x} dstkey=0x{destination:x}"),
            TupleProto::Generic => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuples() -> impl Strategy<Value = Tuple> {
        let address = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(s, d)| (IpAddr::from(s), IpAddr::from(d))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(s, d)| (IpAddr::from(s), IpAddr::from(d))),
        ];
        let part = prop_oneof![
            any::<(u16, u16)>().prop_map(|(source, destination)| (
                proto::TCP,
                TupleProto::Ports {
                    source,
                    destination
                }
            )),
            any::<(u16, u16)>().prop_map(|(source, destination)| (
                proto::GRE,
                TupleProto::Gre {
                    source,
                    destination
                }
            )),
            any::<(u16, u8, u8, bool)>().prop_map(|(id, kind, code, v6)| (
                if v6 { proto::ICMPV6 } else { proto::ICMP },
                TupleProto::Icmp { id, kind, code }
            )),
            any::<u8>().prop_map(|p| (p, TupleProto::Generic)),
        ];
        (address, part).prop_map(|((source, destination), (protocol, proto))| Tuple {
            source,
            destination,
            protocol,
            proto,
        })
    }

    proptest! {
        #[test]
        fn inverting_twice_gives_the_tuple_back(tuple in tuples()) {
            if let Some(inverse) = tuple.invert() {
                prop_assert_eq!(inverse.invert(), Some(tuple));
            }
        }

        #[test]
        fn different_tuples_have_different_keys(a in tuples(), b in tuples()) {
            let ports = |t: &Tuple| matches!(t.proto, TupleProto::Ports { .. });
            if ports(&a) && ports(&b) {
                prop_assert_eq!(a == b, a.key() == b.key());
            }
        }
    }
}
