//! From a packet to its tuple (kernel `nf_ct_get_tuple`, `get_l4proto`).

use palisade_wire::{Packet, gre::Gre, icmp::Icmp, proto};

use crate::reason::Invalid;
use crate::tuple::{Tuple, TupleProto};

/// Where the tuple of a packet is read: on the wire, or in the packet that an ICMP error
/// quotes, of which four transport bytes are enough for ports.
pub(crate) fn tuple(packet: &Packet<'_>) -> Result<Tuple, Invalid> {
    if packet.chain_broken() {
        return Err(Invalid::ExtensionChain {
            have: packet.bytes().len(),
        });
    }
    if packet.is_later_fragment() {
        let offset = packet.fragment().map_or(0, |f| usize::from(f.offset));
        return Err(Invalid::LaterFragment { offset });
    }
    let protocol = packet.protocol();
    let transport = packet.transport();
    let short = |need| Invalid::ShortHeader {
        protocol,
        have: transport.len(),
        need,
    };
    let proto = match protocol {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => {
            let Some(&[a, b, c, d]) = transport.first_chunk::<4>() else {
                return Err(short(4));
            };
            TupleProto::Ports {
                source: u16::from_be_bytes([a, b]),
                destination: u16::from_be_bytes([c, d]),
            }
        }
        proto::ICMP | proto::ICMPV6 => {
            let icmp = Icmp::new(transport).ok_or(short(Icmp::HEADER_LEN))?;
            TupleProto::Icmp {
                id: icmp.id(),
                kind: icmp.kind(),
                code: icmp.code(),
            }
        }
        proto::GRE => gre(transport)?,
        proto::NONE if packet.family() == palisade_wire::Family::V6 => {
            return Err(Invalid::NoNextHeader);
        }
        _ => TupleProto::Generic,
    };
    Ok(Tuple {
        source: packet.source(),
        destination: packet.destination(),
        protocol,
        proto,
    })
}

/// Whether a GRE packet carries its receiver's call id.
pub(crate) fn has_call_id(packet: &Packet<'_>) -> bool {
    let transport = packet.transport();
    transport.len() >= 8 && Gre::new(transport).is_some_and(|gre| gre.version() == 1)
}

/// Kernel `gre_pkt_to_tuple`: version 1 must carry PPP and is told apart by its call id, every
/// other version has no key.
fn gre(transport: &[u8]) -> Result<TupleProto, Invalid> {
    const PPP: u16 = 0x880b;
    let none = TupleProto::Gre {
        source: 0,
        destination: 0,
    };
    let Some(gre) = Gre::new(transport) else {
        return Ok(none);
    };
    if gre.version() != 1 {
        return Ok(none);
    }
    if transport.len() < 8 {
        return Ok(none);
    }
    if gre.protocol_type() != PPP {
        return Err(Invalid::Gre {
            carries: gre.protocol_type(),
        });
    }
    Ok(TupleProto::Gre {
        source: 0,
        destination: u16::from_be_bytes([transport[6], transport[7]]),
    })
}
