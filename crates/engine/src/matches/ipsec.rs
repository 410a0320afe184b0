//! esp, ah of IPv4, ipcomp, mh and policy (kernel `xt_esp.c`, `ipt_ah.c`, `xt_ipcomp.c`, `ip6t_mh.c`,
//! `xt_policy.c`).

use palisade_rules::matches::{ah, esp, ipcomp, mh, policy};
use palisade_wire::{Packet, proto};

use super::Answer;
use super::headers::is_later_fragment;

/// The first bytes of the transport header; what to answer without them: nothing of a later fragment, and a
/// packet that is too short is dropped.
fn header<const N: usize>(packet: &Packet<'_>) -> Result<[u8; N], Answer> {
    if is_later_fragment(packet) {
        return Err(Answer::No);
    }
    let header = packet.transport().first_chunk::<N>();
    header.copied().ok_or(Answer::HotDrop)
}

/// Kernel `esp_mt`.
pub(super) fn esp(rule: &esp::Esp, packet: &Packet<'_>) -> Answer {
    match header::<8>(packet) {
        Ok([a, b, c, d, ..]) => {
            let spi = u32::from_be_bytes([a, b, c, d]);
            rule.spi.apply(rule.spi.value.contains(spi)).into()
        }
        Err(answer) => answer,
    }
}

/// Kernel `ah_mt` of IPv4.
pub(super) fn ah(rule: &ah::Ah, packet: &Packet<'_>) -> Answer {
    match header::<12>(packet) {
        Ok([_, _, _, _, a, b, c, d, ..]) => {
            let spi = u32::from_be_bytes([a, b, c, d]);
            rule.spi.apply(rule.spi.value.contains(spi)).into()
        }
        Err(answer) => answer,
    }
}

/// Kernel `comp_mt`.
pub(super) fn ipcomp(rule: &ipcomp::Ipcomp, packet: &Packet<'_>) -> Answer {
    match header::<4>(packet) {
        Ok([_, _, a, b]) => {
            let index = u32::from(u16::from_be_bytes([a, b]));
            rule.spi.apply(rule.spi.value.contains(index)).into()
        }
        Err(answer) => answer,
    }
}

/// Kernel `mh_mt6`: a header that announces another one behind it is dropped.
pub(super) fn mh(rule: &mh::Mh, packet: &Packet<'_>) -> Answer {
    match header::<6>(packet) {
        Ok([next, _, kind, ..]) if next == proto::NONE => {
            let (first, last) = rule.kinds.value;
            rule.kinds.apply((first..=last).contains(&kind)).into()
        }
        Ok(_) => Answer::HotDrop,
        Err(answer) => answer,
    }
}

/// Kernel `policy_mt` on a host without IPsec: no packet came by a policy or goes by one.
pub(super) fn policy(rule: &policy::Policy) -> bool {
    rule.none
}
