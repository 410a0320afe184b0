//! bpf: the classic Berkeley packet filter (kernel `xt_bpf.c`, `net/core/filter.c`).
//!
//! # Overview
//! The rules' parser has made the kernel's checks: at most 64 instructions, jumps forward only. So each
//! instruction is run at most once, and the loop ends.

use palisade_rules::Hook;
use palisade_rules::matches::bpf::{ANCILLARY, Bpf, Instruction, MEMORY};
use palisade_wire::{Family, Packet, link::PacketType, proto, tcp::Tcp};

use super::{Answer, Context};

/// Offsets from here on count from the IP header (`SKF_NET_OFF`), those below from the link's (`SKF_LL_OFF`).
const NETWORK: u32 = 0xfff0_0000;
const LINK: u32 = 0xffe0_0000;
/// Offsets from here on are negative.
const NEGATIVE: u32 = 0x8000_0000;

/// Why there is no value.
enum Fault {
    /// The program ends and says no.
    No,
    /// It asks for what no capture shows.
    Unknown,
}

/// Kernel `bpf_mt_v1`: any result but 0 is a yes.
pub(super) fn bpf(rule: &Bpf, context: &Context<'_>, mark: u32) -> Answer {
    let Bpf::Bytecode(program) = rule else {
        return Answer::Unknown;
    };
    match run(program, context, mark) {
        Ok(result) => (result != 0).into(),
        Err(Fault::No) => Answer::No,
        Err(Fault::Unknown) => Answer::Unknown,
    }
}

fn run(program: &[Instruction], context: &Context<'_>, mark: u32) -> Result<u32, Fault> {
    let packet = &context.packet;
    let (mut a, mut x) = (0u32, 0u32);
    let mut memory = [0u32; MEMORY];
    let mut at = 0usize;
    while let Some(instruction) = program.get(at) {
        at += 1;
        let Instruction { code, k, .. } = *instruction;
        let place = k as usize % MEMORY;
        // Bit 3 says whether the other operand is X.
        let operand = if code & 0x08 == 0 { k } else { x };
        match code {
            0x20 | 0x28 | 0x30 if k >= ANCILLARY => a = fact(k - ANCILLARY, a, x, context, mark)?,
            0x20 => a = load(context, k, 4)?,
            0x28 => a = load(context, k, 2)?,
            0x30 => a = load(context, k, 1)?,
            0x40 => a = load(context, x.wrapping_add(k), 4)?,
            0x48 => a = load(context, x.wrapping_add(k), 2)?,
            0x50 => a = load(context, x.wrapping_add(k), 1)?,
            0x80 => a = packet.declared_len() as u32,
            0x81 => x = packet.declared_len() as u32,
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory[place],
            0x61 => x = memory[place],
            0xb1 => x = (load(context, k, 1)? & 0x0f) << 2,
            0x02 => memory[place] = a,
            0x03 => memory[place] = x,
            0x04 | 0x0c => a = a.wrapping_add(operand),
            0x14 | 0x1c => a = a.wrapping_sub(operand),
            0x24 | 0x2c => a = a.wrapping_mul(operand),
            0x34 | 0x3c => a = a.checked_div(operand).ok_or(Fault::No)?,
            0x94 | 0x9c => a = a.checked_rem(operand).ok_or(Fault::No)?,
            0x44 | 0x4c => a |= operand,
            0x54 | 0x5c => a &= operand,
            0xa4 | 0xac => a ^= operand,
            0x64 | 0x6c => a = a.wrapping_shl(operand),
            0x74 | 0x7c => a = a.wrapping_shr(operand),
            0x84 => a = a.wrapping_neg(),
            0x07 => x = a,
            0x87 => a = x,
            0x05 => at += k as usize,
            0x15 | 0x1d => at += jump(instruction, a == operand),
            0x25 | 0x2d => at += jump(instruction, a > operand),
            0x35 | 0x3d => at += jump(instruction, a >= operand),
            0x45 | 0x4d => at += jump(instruction, a & operand != 0),
            0x06 => return Ok(k),
            0x16 => return Ok(a),
            _ => return Err(Fault::No),
        }
    }
    Err(Fault::No)
}

fn jump(instruction: &Instruction, holds: bool) -> usize {
    usize::from(if holds {
        instruction.jump_true
    } else {
        instruction.jump_false
    })
}

/// Kernel `bpf_skb_load_helper_32` and its siblings: what lies outside of the packet ends the program.
fn load(context: &Context<'_>, offset: u32, size: usize) -> Result<u32, Fault> {
    let packet = &context.packet;
    let offset = match offset {
        NETWORK.. => offset - NETWORK,
        LINK.. => return load_from_link(context, (offset - LINK) as usize, size),
        NEGATIVE.. => return Err(Fault::No),
        _ => offset,
    };
    let at = offset as usize;
    let end = at.checked_add(size).ok_or(Fault::No)?;
    match packet.bytes().get(at..end) {
        Some(bytes) => Ok(joined(bytes.iter().copied())),
        None if end <= packet.declared_len() => Err(Fault::Unknown),
        None => Err(Fault::No),
    }
}

fn joined(bytes: impl Iterator<Item = u8>) -> u32 {
    bytes.fold(0, |value, byte| value << 8 | u32::from(byte))
}

/// From the frame's header on. A packet made here has none yet; of others it is known where both addresses were
/// kept, which Ethernet has.
fn load_from_link(context: &Context<'_>, at: usize, size: usize) -> Result<u32, Fault> {
    if context.made_here && context.in_interface.is_empty() {
        return Err(Fault::No);
    }
    let link = context.link;
    let (Some(to), Some(from)) = (link.destination_mac, link.source_mac) else {
        return Err(Fault::Unknown);
    };
    let kind = match context.packet.family() {
        Family::V4 => [0x08, 0x00],
        Family::V6 => [0x86, 0xdd],
    };
    let header = to.into_iter().chain(from).chain(kind);
    let packet = context.packet.bytes().iter().copied();
    let bytes: u32 = joined(header.chain(packet).skip(at).take(size));
    let end = at.saturating_add(size).saturating_sub(14);
    if end > context.packet.declared_len() {
        return Err(Fault::No);
    }
    if end > context.packet.bytes().len() {
        return Err(Fault::Unknown);
    }
    Ok(bytes)
}

/// Facts about the packet (`SKF_AD_PROTOCOL` and what follows it).
fn fact(which: u32, a: u32, x: u32, context: &Context<'_>, mark: u32) -> Result<u32, Fault> {
    match which {
        0 => Ok(match context.packet.family() {
            Family::V4 => 0x0800,
            Family::V6 => 0x86dd,
        }),
        4 => match context.link.packet_type {
            _ if context.in_interface.is_empty() => Ok(0),
            Some(PacketType::Host) => Ok(0),
            Some(PacketType::Broadcast) => Ok(1),
            Some(PacketType::Multicast) => Ok(2),
            Some(PacketType::OtherHost) => Ok(3),
            Some(PacketType::Outgoing) => Ok(4),
            Some(PacketType::Loopback) => Ok(5),
            None => Err(Fault::Unknown),
        },
        // Number and kind of the interface: a packet made here has none at OUTPUT, which ends the program.
        8 | 28 if context.hook == Hook::Output => Err(Fault::No),
        20 => Ok(mark),
        40 => Ok(a ^ x),
        // A VLAN's tag was taken off by the interface of that VLAN.
        44 | 48 | 60 => Ok(0),
        52 => payload_offset(&context.packet),
        // Netlink attributes, queue, hash of the flow, processor, chance.
        _ => Err(Fault::Unknown),
    }
}

/// Kernel `__skb_get_poff`, for packets whose transport lies right behind the network's headers.
fn payload_offset(packet: &Packet<'_>) -> Result<u32, Fault> {
    if packet.fragment().is_some() || packet.chain_broken() {
        return Err(Fault::Unknown);
    }
    let header = match packet.protocol() {
        proto::TCP => match Tcp::new(packet.transport()) {
            Some(tcp) => tcp.data_offset().max(Tcp::HEADER_LEN),
            None => return Err(Fault::Unknown),
        },
        proto::UDP | proto::UDPLITE | proto::ICMP | proto::ICMPV6 | proto::IGMP => 8,
        proto::SCTP | proto::DCCP => 12,
        // Tunnels are looked into, and others have no header that it knows.
        _ => return Err(Fault::Unknown),
    };
    Ok((packet.transport_offset() + header) as u32)
}

#[cfg(test)]
mod tests {
    use palisade_wire::{Packet, Timestamp, build};

    use super::*;
    use crate::host::Host;
    use crate::input::LinkInfo;
    use crate::matches::Facts;

    const fn instruction(code: u16, k: u32) -> Instruction {
        Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            k,
        }
    }

    /// What the program "load, return it" comes to.
    fn loaded(link: LinkInfo, made_here: bool, code: u16, k: u32) -> Option<u32> {
        let ip = build::Ip::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let bytes = build::udp(&ip, 1, 2, b"abcd");
        let packet = Packet::parse(&bytes).unwrap();
        let host = Host::default();
        let facts = Facts {
            hook: Hook::Forward,
            in_interface: if made_here { "" } else { "eth0" },
            out_interface: "eth1",
            link: &link,
            host: &host,
            bridge: &crate::Bridge::default(),
            made_here,
            sender: &crate::socket::Sender::Nobody,
            unfinished: false,
            now: Timestamp::default(),
        };
        let context = facts.with(packet);
        let program = [instruction(code, k), instruction(0x16, 0)];
        match run(&program, &context, 5) {
            Ok(value) => Some(value),
            Err(Fault::No) => Some(0),
            Err(Fault::Unknown) => None,
        }
    }

    #[test]
    fn what_no_capture_shows_is_not_known_and_the_rest_is() {
        let ethernet = LinkInfo {
            source_mac: Some([1, 2, 3, 4, 5, 6]),
            destination_mac: Some([7, 8, 9, 10, 11, 12]),
            packet_type: Some(PacketType::Host),
        };
        let none = LinkInfo::default();
        let cases = [
            // The frame: addresses, kind, and the packet behind it.
            (ethernet, false, 0x20, LINK, Some(0x0708_090a)),
            (ethernet, false, 0x28, LINK + 12, Some(0x0800)),
            (ethernet, false, 0x20, LINK + 10, Some(0x0506_0800)),
            (ethernet, false, 0x30, LINK + 14, Some(0x45)),
            (ethernet, false, 0x20, LINK + 14 + 28, Some(0x6162_6364)),
            (ethernet, false, 0x20, LINK + 14 + 29, Some(0)),
            (none, false, 0x20, LINK, None),
            (none, true, 0x20, LINK, Some(0)),
            // Facts: mark, VLAN; interface, hash, processor, chance.
            (none, false, 0x20, ANCILLARY + 20, Some(5)),
            (none, false, 0x20, ANCILLARY + 44, Some(0)),
            (none, false, 0x20, ANCILLARY + 8, None),
            (none, false, 0x20, ANCILLARY + 32, None),
            (none, false, 0x20, ANCILLARY + 36, None),
            (none, false, 0x20, ANCILLARY + 56, None),
        ];
        for (link, made_here, code, k, wanted) in cases {
            assert_eq!(loaded(link, made_here, code, k), wanted, "{code:x} {k:x}");
        }
    }
}
