//! dscp, tos, ecn, tcpmss: fields of the headers (kernel `xt_dscp.c`, `xt_ecn.c`, `xt_tcpmss.c`).

use palisade_rules::Not;
use palisade_rules::matches::{dscp::Dscp, ecn::Ecn, tcpmss::Tcpmss, tos::Tos};
use palisade_wire::{Family, Packet, tcp::Tcp, tcp::option};

use super::Answer;

/// TCP's flags of congestion.
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

/// Kernel `dscp_mt`.
pub(super) fn dscp(rule: &Dscp, packet: &Packet<'_>) -> bool {
    rule.0.apply(packet.tos() >> 2 == rule.0.value)
}

/// Kernel `tos_mt`: bits of the value outside of the mask never fit.
pub(super) fn tos(rule: &Tos, packet: &Packet<'_>) -> bool {
    let (value, mask) = rule.0.value;
    rule.0.apply(packet.tos() & mask == value)
}

/// Bytes from where the kernel takes the transport header to be. It does not ask whether a packet is a later
/// fragment; of an IPv6 one it found no header, and takes the start of the packet.
fn transport<'a>(packet: &Packet<'a>) -> &'a [u8] {
    match packet.family() {
        Family::V6 if packet.is_later_fragment() => packet.bytes(),
        _ => packet.transport(),
    }
}

/// Kernel `ecn_mt4`, `ecn_mt6`: a header that was cut short does not fit.
pub(super) fn ecn(rule: &Ecn, packet: &Packet<'_>) -> bool {
    if let Some(ip) = &rule.ip
        && !ip.apply(packet.tos() & 3 == ip.value)
    {
        return false;
    }
    if rule.ece.is_none() && rule.cwr.is_none() {
        return true;
    }
    let Some(tcp) = Tcp::new(transport(packet)) else {
        return false;
    };
    let fits = |not: &Option<Not<()>>, bit: u8| {
        not.as_ref()
            .is_none_or(|not| not.apply(tcp.flags() & bit != 0))
    };
    fits(&rule.ece, ECE) && fits(&rule.cwr, CWR)
}

/// Kernel `tcpmss_mt`: without the option it does not fit (with `!` it does); a header that was cut short drops
/// the packet.
pub(super) fn tcpmss(rule: &Tcpmss, packet: &Packet<'_>) -> Answer {
    let bytes = transport(packet);
    let Some(tcp) = Tcp::new(bytes) else {
        return Answer::HotDrop;
    };
    if tcp.data_offset() < Tcp::HEADER_LEN {
        return Answer::HotDrop;
    }
    let Some(options) = bytes.get(Tcp::HEADER_LEN..tcp.data_offset()) else {
        return Answer::HotDrop;
    };
    let (first, last) = rule.0.value;
    let mut rest = options;
    loop {
        match *rest {
            [option::MSS, 4, a, b, ..] => {
                let mss = u16::from_be_bytes([a, b]);
                return rule.0.apply((first..=last).contains(&mss)).into();
            }
            [] => return rule.0.negated.into(),
            // Lengths are followed, not judged.
            [kind, length, ..] if kind > option::NOP => {
                rest = rest.get(usize::from(length.max(1))..).unwrap_or_default();
            }
            _ => rest = rest.get(1..).unwrap_or_default(),
        }
    }
}
