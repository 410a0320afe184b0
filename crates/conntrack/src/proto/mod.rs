//! Protocol trackers: one small file each, read like siblings.
//!
//! Each answers three questions: is the packet sound (`check`), may it start a connection
//! (`start`), and what does it do to one (`update`).

pub(crate) mod gre;
pub mod icmp;
pub mod sctp;
pub mod tcp;
pub mod udp;

use palisade_wire::{Packet, checksum, proto};

use crate::config::Config;
use crate::reason::Invalid;

/// What a tracker says of a packet in a connection.
pub(crate) enum Update {
    /// Valid; the entry lives so many seconds from now (`None`: its end stays).
    Valid {
        /// New timeout in seconds.
        timeout: Option<u64>,
        /// What the tracker ignored, if it did.
        ignored: Option<crate::reason::Ignored>,
    },
    /// Valid, and the connection is over: remove the entry.
    Kill,
    /// The connection is over and this packet starts a new one: remove and look up again.
    Repeat,
    /// Not a packet of this connection.
    Invalid(Invalid),
}

/// Whether two packets of one new flow, seen at the same time, may both become it (kernel
/// `allow_clash`).
pub(crate) fn clash_allowed(protocol: u8) -> bool {
    !matches!(
        protocol,
        proto::TCP | proto::ICMP | proto::ICMPV6 | proto::SCTP
    )
}

/// Facts of a packet that trackers share.
pub(crate) struct Context<'a, 'p> {
    pub(crate) packet: &'a Packet<'p>,
    pub(crate) config: &'a Config,
    /// Verify checksums: at PREROUTING, when `nf_conntrack_checksum` is 1.
    pub(crate) verify: bool,
}

impl Context<'_, '_> {
    /// Whether the transport checksum of `protocol` is wrong. A packet that the capture cut
    /// short cannot be verified and counts as right.
    pub(crate) fn bad_checksum(&self, protocol: u8) -> bool {
        self.verify
            && !self.packet.is_truncated()
            && match protocol {
                proto::ICMP => palisade_wire::checksum::of(self.packet.transport()) != 0,
                _ => !self.packet.transport_checksum_ok(protocol),
            }
    }

    /// [`bad_checksum`](Self::bad_checksum), with the numbers.
    pub(crate) fn verify_checksum(&self, protocol: u8) -> Result<(), Invalid> {
        if !self.bad_checksum(protocol) {
            return Ok(());
        }
        let transport = self.packet.transport();
        let sum = match protocol {
            proto::ICMP => 0,
            _ => checksum::pseudo_header(
                self.packet.source(),
                self.packet.destination(),
                protocol,
                transport.len(),
            ),
        };
        Err(wrong_sum(protocol, transport, transport, sum))
    }
}

/// The fault of a packet whose 16-bit checksum covers `covered` and a pseudo-header's `sum`, and is wrong.
pub(crate) fn wrong_sum(protocol: u8, transport: &[u8], covered: &[u8], sum: u32) -> Invalid {
    let at = match protocol {
        proto::TCP => 16,
        proto::UDP | proto::UDPLITE => 6,
        _ => 2,
    };
    let field = transport.get(at..).and_then(|b| b.first_chunk());
    let found = field.map_or(0, |b| u16::from_be_bytes(*b));
    // Without the field: its complement taken away again.
    let rest = checksum::add(sum, covered) + u32::from(!found);
    Invalid::Checksum {
        protocol,
        found: found.into(),
        wanted: checksum::finish(rest).into(),
    }
}
