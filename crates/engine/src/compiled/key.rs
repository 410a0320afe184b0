//! What a packet is looked up by, and what of a rule can be looked up.

use std::collections::HashMap;
use std::net::IpAddr;

use palisade_conntrack::hash::folded;
use palisade_wire::{Packet, icmp::Icmp, proto, tcp::Tcp, udp::Udp};

use crate::matches::connection::state_bit;
use crate::matches::{Context, Shared};

/// An address as a number.
pub(crate) trait Address: Copy + Eq + std::fmt::Debug {
    /// Lengths of prefixes that are worth a table.
    const LENGTHS: &'static [u8];
    /// No address at all.
    const ZERO: Self;
    fn of(address: IpAddr) -> Option<Self>;
    /// A mask of so many bits.
    fn mask(length: u8) -> Self;
    /// The length of a mask; `None` when its bits are not in one piece.
    fn length(mask: Self) -> Option<u8>;
    fn and(self, other: Self) -> Self;
    /// Whether they agree in their first bits.
    fn begins(self, other: Self, length: u8) -> bool;
    /// How many of their first bits are the same.
    fn shared(self, other: Self) -> u8;
    /// Both, masked, as two words to hash.
    fn words(source: Self, destination: Self) -> (u64, u64);
}

impl Address for u32 {
    const LENGTHS: &'static [u8] = &[0, 8, 12, 16, 20, 24, 28, 32];
    const ZERO: Self = 0;

    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(a) => Some(a.into()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn mask(length: u8) -> Self {
        !((u64::from(u32::MAX) >> length) as u32)
    }

    fn length(mask: Self) -> Option<u8> {
        let ones = mask.leading_ones();
        (mask.checked_shl(ones).unwrap_or(0) == 0).then_some(ones as u8)
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline]
    fn begins(self, other: Self, length: u8) -> bool {
        (self ^ other) & Self::mask(length) == 0
    }

    fn shared(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    #[inline]
    fn words(source: Self, destination: Self) -> (u64, u64) {
        (u64::from(source) << 32 | u64::from(destination), 0)
    }
}

impl Address for u128 {
    const LENGTHS: &'static [u8] = &[0, 24, 32, 40, 48, 56, 64, 96, 112, 120, 128];
    const ZERO: Self = 0;

    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V6(a) => Some(a.into()),
            IpAddr::V4(_) => None,
        }
    }

    #[inline]
    fn mask(length: u8) -> Self {
        match length {
            0 => 0,
            length => u128::MAX << (128 - u32::from(length)),
        }
    }

    fn length(mask: Self) -> Option<u8> {
        let ones = mask.leading_ones();
        (mask.checked_shl(ones).unwrap_or(0) == 0).then_some(ones as u8)
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline]
    fn begins(self, other: Self, length: u8) -> bool {
        (self ^ other) & Self::mask(length) == 0
    }

    fn shared(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    #[inline]
    fn words(source: Self, destination: Self) -> (u64, u64) {
        let fold = |a: u128, k: u64| folded(a as u64 ^ k, (a >> 64) as u64 ^ k.rotate_left(31));
        (
            fold(source, 0x9e37_79b9_7f4a_7c15),
            fold(destination, 0xc2b2_ae3d_27d4_eb4f),
        )
    }
}

/// Most interfaces that have a number; the number of those beyond.
pub(super) const OTHER: u16 = 0xfff;

/// The interfaces that a table's rules name by their whole names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interfaces {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl Interfaces {
    /// The number of a name in a rule; `None` when there are too many.
    pub(super) fn number(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = self.names.len() as u16;
        (number < OTHER).then(|| {
            self.names.push(name.to_string());
            self.numbers.insert(name.to_string(), number);
            number
        })
    }

    /// The number of a packet's interface.
    #[inline]
    pub(super) fn find(&self, name: &str) -> u16 {
        let number = match self.names.len() {
            0 => None,
            // Less than a hash costs.
            1..=8 => self.names.iter().position(|n| n == name).map(|n| n as u16),
            _ => self.numbers.get(name).copied(),
        };
        number.unwrap_or(OTHER)
    }
}

/// Protocol and interfaces in one word.
#[inline]
pub(super) fn misc(protocol: u8, input: u16, output: u16) -> u32 {
    u32::from(protocol) | u32::from(input) << 8 | u32::from(output) << 20
}

/// Parts of [`misc`].
pub(super) const PROTOCOL: u32 = 0xff;
pub(super) const INPUT: u32 = 0xfff << 8;
pub(super) const OUTPUT: u32 = 0xfff << 20;

/// Ports and [`misc`] in one word.
#[inline]
pub(super) fn word(source_port: u16, destination_port: u16, misc: u32) -> u64 {
    u64::from(source_port) | u64::from(destination_port) << 16 | u64::from(misc) << 32
}

pub(super) const SOURCE_PORT: u64 = 0xffff;
pub(super) const DESTINATION_PORT: u64 = 0xffff << 16;

/// A packet's fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<A> {
    pub(super) source: A,
    pub(super) destination: A,
    pub(super) source_port: u16,
    /// Of ICMP: type and code.
    pub(super) destination_port: u16,
    pub(super) misc: u32,
    /// The bit of its state.
    pub(super) state: u8,
}

/// What is known of the packet that is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// Nothing yet, or something changed.
    Stale,
    /// It is of a kind that rules drop as soon as they look at it: every rule is to be visited.
    Odd,
    V4(Key<u32>),
    V6(Key<u128>),
}

impl Known {
    /// Looks at a packet. What is known is written where it stays: handed out it would be read again at once, wider than
    /// it was written, which processors wait for.
    #[inline]
    pub(super) fn look(
        &mut self,
        context: &Context<'_>,
        shared: &Shared<'_>,
        interfaces: &Interfaces,
    ) {
        let packet = &context.packet;
        let Some((source_port, destination_port)) = ports(packet) else {
            *self = Known::Odd;
            return;
        };
        let misc = misc(
            packet.protocol(),
            interfaces.find(context.in_interface),
            interfaces.find(context.out_interface),
        );
        let state = state_bit(shared);
        *self = match (packet.source(), packet.destination()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Known::V4(Key {
                source: source.into(),
                destination: destination.into(),
                source_port,
                destination_port,
                misc,
                state,
            }),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Known::V6(Key {
                source: source.into(),
                destination: destination.into(),
                source_port,
                destination_port,
                misc,
                state,
            }),
            _ => Known::Odd,
        };
    }
}

/// Ports of TCP and UDP, type and code of ICMP; `None` of a packet whose headers are not whole, which rules may
/// drop without matching.
#[inline]
fn ports(packet: &Packet<'_>) -> Option<(u16, u16)> {
    if packet.is_later_fragment() || packet.chain_broken() {
        return None;
    }
    let transport = packet.transport();
    match packet.protocol() {
        proto::TCP => Tcp::new(transport).map(|t| (t.source_port(), t.destination_port())),
        proto::UDP => Udp::new(transport).map(|u| (u.source_port(), u.destination_port())),
        proto::ICMP | proto::ICMPV6 => Icmp::new(transport)
            .map(|icmp| (0, u16::from(icmp.kind()) << 8 | u16::from(icmp.code()))),
        _ => Some((0, 0)),
    }
}
