//! Announcements of a translated connection are rewritten to what the other side can reach (kernel
//! `nf_nat_h323.c`), of IPv4 only. An address takes as many bytes as the one in its place, so nothing
//! shifts.

use std::net::IpAddr;

use palisade_wire::Family;
use palisade_wire::translate::End;

use super::per::Value;
use super::{Announced, H323State, Outcome, signal_address};
use crate::expect::{ExpectId, Expectation, Follow, Refused};
use crate::helper::{Call, Follower, Proposal};
use crate::nat::Range;

/// Whether what a connection announces is to be translated at all.
pub(super) fn translated(call: &Call<'_, '_>) -> bool {
    call.translated() && call.tuple(call.direction()).family() == Family::V4
}

/// Whether the speaker is known to the other side by another address.
pub(super) fn speaker_translated(call: &Call<'_, '_>) -> bool {
    let own = call.tuple(call.direction()).source;
    translated(call) && own != call.tuple(call.direction().opposite()).destination
}

/// Writes an address and port over another one (kernel `set_addr`).
pub(super) fn set(call: &mut Call<'_, '_>, at: usize, address: IpAddr, port: u16) -> Outcome {
    let IpAddr::V4(address) = address else {
        return Err("an IPv6 address cannot be written in the place of an IPv4 address");
    };
    let mut bytes = [0; 6];
    bytes[..4].copy_from_slice(&address.octets());
    bytes[4..].copy_from_slice(&port.to_be_bytes());
    if call.replace(at..at + 6, &bytes) {
        Ok(())
    } else {
        Err("the packet cannot be rewritten")
    }
}

/// The speaker's address as the other side knows it.
pub(super) fn outside(call: &Call<'_, '_>) -> IpAddr {
    call.tuple(call.direction().opposite()).destination
}

/// RTP and RTCP are expected on two ports that follow one another, from the announced ones upwards; without
/// any, or with too many channels, nothing is expected and the message passes as it is (kernel
/// `nat_rtp_rtcp`).
pub(super) fn expect_pair(
    state: &mut H323State,
    call: &mut Call<'_, '_>,
    mut pair: [Proposal; 2],
    announced: Announced,
) -> Outcome {
    let side = call.direction().index();
    let first = pair[0].destination_port;
    if first == 0 {
        return Ok(());
    }
    for proposal in &mut pair {
        proposal.saved_port = proposal.destination_port;
        proposal.follow = Follow::Master;
        proposal.direction = call.direction().opposite();
    }
    let Some(channel) = state
        .media
        .iter_mut()
        .find(|c| c[side] == first || c[side] == 0)
    else {
        return Ok(());
    };
    let mut port = first;
    let ids = loop {
        [pair[0].destination_port, pair[1].destination_port] = [port, port.wrapping_add(1)];
        match call.expect_both(&pair) {
            Ok(ids) => break ids,
            Err(Refused::Clash) => match port.checked_add(2) {
                Some(next) => port = next,
                None => return Ok(()),
            },
            Err(Refused::Port) => return Err(Refused::Port.reason()),
            Err(_) => return Ok(()),
        }
    };
    let address = outside(call);
    if let Err(why) = set(call, announced.at, address, port | (announced.port & 1)) {
        ids.into_iter().for_each(|id| call.unexpect(id));
        return Err(why);
    }
    channel[side] = first;
    channel[1 - side] = port;
    Ok(())
}

/// Expects at `port` or one above, and rewrites the announcement. Returns the expectation and its port;
/// `None`: no port could be had, nothing is rewritten and the message passes (kernel `nat_t120`,
/// `nat_h245`, `nat_callforwarding`, `nat_q931`). The expectation follows its parent unless the proposal says
/// otherwise.
pub(super) fn expect_near(
    call: &mut Call<'_, '_>,
    mut proposal: Proposal,
    port: u16,
    announced: Announced,
) -> Result<Option<(ExpectId, u16)>, &'static str> {
    proposal.saved_port = proposal.destination_port;
    proposal.direction = call.direction().opposite();
    if proposal.follow == Follow::Nothing {
        proposal.follow = Follow::Master;
    }
    let (id, port) = match call.expect_near(&mut proposal, port) {
        Ok((_, 0)) => return Ok(None),
        Ok(found) => found,
        Err(Refused::Port) => return Err(Refused::Port.reason()),
        Err(_) => return Ok(None),
    };
    let address = outside(call);
    if let Err(why) = set(call, announced.at, address, port) {
        call.unexpect(id);
        return Err(why);
    }
    Ok(Some((id, port)))
}

/// The port that stands for a signalling port: the one in use already, if it was announced before.
pub(super) fn known_signal_port(state: &H323State, call: &Call<'_, '_>, port: u16) -> u16 {
    let side = call.direction().index();
    if state.signal[side] == port {
        state.signal[1 - side]
    } else {
        port
    }
}

/// Remembers which port stands for a signalling port.
pub(super) fn remember_signal_port(
    state: &mut H323State,
    call: &Call<'_, '_>,
    port: u16,
    translated: u16,
) {
    let side = call.direction().index();
    state.signal[side] = port;
    state.signal[1 - side] = translated;
}

/// Whether the first of several addresses is a loopback one: GnomeMeeting put that before its real one.
pub(super) fn starts_with_loopback(call: &Call<'_, '_>, addresses: &[Value]) -> Option<Announced> {
    signal_address(call, addresses.first()?)
        .filter(|a| matches!(a.address, IpAddr::V4(a) if a.is_loopback()))
}

/// The first of some signalling addresses that was translated before is rewritten: an endpoint's own, or the
/// endpoint's as its gatekeeper says it (kernel `set_sig_addr`).
pub(super) fn set_signal_address(
    state: &H323State,
    call: &mut Call<'_, '_>,
    addresses: &[Value],
) -> Outcome {
    let side = call.direction().index();
    let (here, there) = (
        call.tuple(call.direction()),
        call.tuple(call.direction().opposite()),
    );
    for (i, value) in addresses.iter().enumerate() {
        let Some(mut announced) = signal_address(call, value) else {
            continue;
        };
        if announced.port != state.signal[side] {
            continue;
        }
        let with = if announced.address == here.source {
            if i > 0
                && let Some(first) = starts_with_loopback(call, addresses)
            {
                announced = first;
            }
            there.destination
        } else if announced.address == here.destination {
            there.source
        } else {
            continue;
        };
        return set(call, announced.at, with, state.signal[1 - side]);
    }
    Ok(())
}

/// The first of some addresses that is the speaker's own, and its port the one it speaks from, is rewritten
/// (kernel `set_ras_addr`).
pub(super) fn set_own_address(call: &mut Call<'_, '_>, addresses: &[Value]) -> Outcome {
    let (here, there) = (
        call.tuple(call.direction()),
        call.tuple(call.direction().opposite()),
    );
    let own = (Some(here.source), here.source_port());
    let found = addresses
        .iter()
        .filter_map(|value| signal_address(call, value))
        .find(|a| (Some(a.address), Some(a.port)) == own);
    match (found, there.destination_port()) {
        (Some(announced), Some(port)) => set(call, announced.at, there.destination, port),
        _ => Ok(()),
    }
}

/// An expected call has come: from the gatekeeper, it follows its parent; from anybody else, its source stays
/// (kernel `ip_nat_q931_expect`).
pub(in crate::helper) fn called(follower: &mut Follower<'_>, expectation: &Expectation) {
    if expectation.source.is_some() {
        return follower.follow_master(expectation);
    }
    let other = expectation.direction.opposite();
    if let Some(master) = follower.master_tuple(other) {
        forward(follower, expectation, master.source);
    }
}

/// An expected call to a third party has come (kernel `ip_nat_callforwarding_expect`).
pub(in crate::helper) fn call_forwarded(follower: &mut Follower<'_>, expectation: &Expectation) {
    if let Some(address) = expectation.saved_address {
        forward(follower, expectation, address);
    }
}

/// The source becomes what the other side answers to, the destination what was announced.
fn forward(follower: &mut Follower<'_>, expectation: &Expectation, to: IpAddr) {
    let Some(own) = follower.tuple(expectation.direction.opposite()) else {
        return;
    };
    follower.bind(&Range::to(own.source), End::Source);
    let port = expectation.saved_port;
    let range = Range {
        ports: Some((port, port)),
        ..Range::to(to)
    };
    follower.bind(&range, End::Destination);
}
