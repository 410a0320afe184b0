//! H.323: calls over several connections, each of which announces the next.
//!
//! # Overview
//! Three helpers, as in the kernel (`nf_conntrack_h323_main.c`): `ras` reads the registration with a
//! gatekeeper (helper `RAS`, UDP port 1719) and expects call signalling; `q931` reads call signalling
//! (`Q.931`, TCP port 1720) and expects the control connection, or media at once (fast start); `h245`
//! reads the control connection (`H.245`, no port of its own) and expects media (RTP, RTCP) and data
//! (T.120). Messages are in packed encoding, see `per`; over TCP they stand in frames (TPKT, RFC 1006).
//! `nat` rewrites what is announced, for IPv4 only.
//! # State
//! [`H323State`], of one connection.
//! # Errors
//! A message that cannot be read passes. An expectation that cannot be had drops the packet.

mod capability;
mod h245;
mod media;
#[cfg(test)]
mod messages;
mod nat;
#[cfg(test)]
mod odd_tests;
mod per;
#[cfg(test)]
mod per_tests;
mod q931;
mod ras;
#[cfg(test)]
mod tests;
mod types;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use palisade_wire::Family;

use super::{Call, HelperState, Proposal, Word};
use crate::State;
use crate::snapshot::{In, Out};
use per::Value;

pub(super) use nat::{call_forwarded, called};

/// Media channels that a translated connection can have (kernel `H323_RTP_CHANNEL_MAX`).
const CHANNELS: usize = 4;

/// What a connection's helper remembers (kernel `struct nf_ct_h323_master`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H323State {
    /// Signalling port that was announced in a direction, and the one that stands for it in the other.
    signal: [u16; 2],
    /// The same of media.
    media: [[u16; 2]; CHANNELS],
    /// Lifetime of a registration, in seconds.
    lifetime: u32,
    /// Length of the frame whose header came alone, by direction.
    frame: [u16; 2],
}

impl H323State {
    pub(super) fn save(&self, out: &mut Out) {
        let words = self.signal.iter().chain(self.media.iter().flatten());
        words.chain(&self.frame).for_each(|word| out.u16(*word));
        out.u32(self.lifetime);
    }

    pub(super) fn load(input: &mut In<'_>) -> Option<Self> {
        let mut state = H323State::default();
        let words = state
            .signal
            .iter_mut()
            .chain(state.media.iter_mut().flatten());
        for word in words.chain(&mut state.frame) {
            *word = input.u16()?;
        }
        state.lifetime = input.u32()?;
        Some(state)
    }
}

/// An expectation that could not be had, or a rewriting that failed: the packet is dropped.
type Outcome = Result<(), &'static str>;

/// Reads a datagram between an endpoint and its gatekeeper.
pub(super) fn inspect_ras(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    with(state, |state| ras::inspect(state, call))
}

/// Reads a segment of call signalling.
pub(super) fn inspect_q931(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    with(state, |state| each_frame(state, call, q931::inspect))
}

/// Reads a segment of a control connection.
pub(super) fn inspect_h245(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    with(state, |state| each_frame(state, call, h245::inspect))
}

fn with(state: &mut HelperState, read: impl FnOnce(&mut H323State) -> Outcome) -> Word {
    if *state == HelperState::None {
        *state = HelperState::H323(Box::default());
    }
    match state {
        HelperState::H323(own) => read(own).map_or_else(Word::Drop, |()| Word::Pass),
        _ => Word::Pass,
    }
}

/// Reads the message of one frame: `Ok(false)` if it does not count, and then no further one of the
/// segment is read.
type ReadFrame = fn(&mut H323State, &mut Call<'_, '_>, Range<usize>) -> Result<bool, &'static str>;

fn each_frame(state: &mut H323State, call: &mut Call<'_, '_>, read: ReadFrame) -> Outcome {
    if call.state() != State::Established {
        return Ok(());
    }
    let side = call.direction().index();
    let mut last = None;
    // A frame takes four bytes at least.
    while let Some(frame) = next_frame(call.payload(), &mut state.frame[side], last) {
        last = Some(frame.end);
        if !read(state, call, frame)? {
            break;
        }
    }
    Ok(())
}

/// The next frame's content in a segment, behind the end of the one before. Frames that do not end in their
/// segment are lost, but for those whose header came alone, as NetMeeting sends them (kernel
/// `get_tpkt_data`).
fn next_frame(payload: &[u8], remembered: &mut u16, behind: Option<usize>) -> Option<Range<usize>> {
    let header = |at: usize| match payload.get(at..at + 4) {
        Some([3, 0, high, low]) => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    };
    let before = *remembered;
    // An empty segment forgets; one that is no frame keeps what is 0 already.
    *remembered = 0;
    let (at, left) = match behind {
        None => (0, payload.len()),
        Some(at) => (at, payload.len().checked_sub(at).filter(|left| *left > 4)?),
    };
    let Some(length) = header(at) else {
        let alone = usize::from(before);
        let there = behind.is_none() && alone > 0 && alone <= left;
        return there.then_some(0..alone);
    };
    if length < 4 {
        return None;
    }
    if usize::from(length) > left {
        if left == 4 {
            *remembered = length - 4;
        }
        return None;
    }
    Some(at + 4..at + usize::from(length))
}

/// An address and port as a message announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    address: IpAddr,
    port: u16,
    /// Where it stands in the payload.
    at: usize,
}

impl Announced {
    /// Notes in a proposal what announced it.
    fn told_by(&self, proposal: &mut Proposal) {
        let length = if self.address.is_ipv4() { 6 } else { 18 };
        proposal.announced = self.at..self.at + length;
        proposal.says = Some(SocketAddr::new(self.address, self.port).to_string());
    }
}

/// The address in a TransportAddress of H.225.0, if it is of the connection's family (kernel
/// `get_h225_addr`).
fn signal_address(call: &Call<'_, '_>, value: &Value) -> Option<Announced> {
    let (name, family) = match call.tuple(call.direction()).family() {
        Family::V4 => ("ipAddress", Family::V4),
        Family::V6 => ("ip6Address", Family::V6),
    };
    address_at(call.payload(), value.chosen(name)?.place("ip")?, family)
}

/// The address in a TransportAddress of H.245, if it is of the connection's family (kernel
/// `get_h245_addr`).
fn media_address(call: &Call<'_, '_>, value: &Value) -> Option<Announced> {
    let (name, family) = match call.tuple(call.direction()).family() {
        Family::V4 => ("iPAddress", Family::V4),
        Family::V6 => ("iP6Address", Family::V6),
    };
    let unicast = value.chosen("unicastAddress")?;
    address_at(
        call.payload(),
        unicast.chosen(name)?.place("network")?,
        family,
    )
}

fn address_at(payload: &[u8], at: usize, family: Family) -> Option<Announced> {
    let bytes = payload.get(at..)?;
    let (address, rest) = match family {
        Family::V4 => {
            let (address, rest) = bytes.split_first_chunk::<4>()?;
            (IpAddr::from(Ipv4Addr::from(*address)), rest)
        }
        Family::V6 => {
            let (address, rest) = bytes.split_first_chunk::<16>()?;
            (IpAddr::from(Ipv6Addr::from(*address)), rest)
        }
    };
    let port = u16::from_be_bytes(*rest.first_chunk::<2>()?);
    Some(Announced { address, port, at })
}
