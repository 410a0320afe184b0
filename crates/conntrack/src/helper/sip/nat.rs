//! Translation of SIP: addresses in a message say what the other side sees, and what was announced is
//! expected at the translated address (kernel `nf_nat_sip.c`).
//!
//! Only an address that stands with its port as the connection itself has them is rewritten; others are
//! nobody's business here.

use std::net::IpAddr;
use std::ops::Range;

use palisade_wire::proto;
use palisade_wire::translate::End;

use super::address::{self, Brackets};
use super::header::{self, Found, Kind, Uri, Uris};
use super::sdp::{self, Line, Medium};
use super::{Message, SIGNALLING, SipState};
use crate::expect::{Expectation, Follow, Refused};
use crate::helper::{Call, Follower, Proposal, Word};
use crate::nat;
use crate::tuple::Direction;

/// Rewrites an address that is this connection's own or its peer's (kernel `map_addr`). `false` when it
/// cannot be done.
fn map(call: &mut Call<'_, '_>, message: &mut Message, state: &SipState, uri: &Uri) -> bool {
    let own = call.tuple(call.direction());
    let other = call.tuple(call.direction().opposite());
    let is = |address: IpAddr, port: u16| address == uri.address && port == uri.port;
    let (address, port) = if is(own.source, own.source_word()) {
        (other.destination, other.destination_word())
    } else if is(own.destination, own.destination_word()) {
        (
            other.source,
            state.forced_port.unwrap_or(other.source_word()),
        )
    } else {
        return true;
    };
    if is(address, port) {
        return true;
    }
    let text = address::with_port(address, port);
    message.replace(call, uri.at.clone(), text.as_bytes())
}

/// Rewrites the addresses in a message's headers (kernel `nf_nat_sip`).
pub(super) fn headers(call: &mut Call<'_, '_>, message: &mut Message, state: &SipState) -> Word {
    let family = message.family();
    let own = call.tuple(call.direction());
    let request = !header::begins(message.text(call), b"SIP/2.0");
    if request
        && let Some(uri) = header::request_uri(message.text(call), family)
        && !map(call, message, state, &uri)
    {
        return Word::Drop("the request's address cannot be rewritten");
    }
    let via = match own.protocol {
        proto::TCP => Kind::ViaTcp,
        _ => Kind::ViaUdp,
    };
    if let Some(uri) = header::first_uri(message.text(call), family, via) {
        let end = if request {
            (own.source, own.source_word())
        } else {
            (own.destination, own.destination_word())
        };
        if (uri.address, uri.port) == end {
            let before = message.length();
            if !map(call, message, state, &uri) {
                return Word::Drop("the Via header cannot be rewritten");
            }
            let from = (uri.at.end + message.length()).saturating_sub(before);
            if !via_parameters(call, message, from) {
                return Word::Drop("a parameter of the Via header cannot be rewritten");
            }
        }
    }
    let mut contacts = Uris::new(Kind::Contact, family);
    while let Some(uri) = contacts.next(message.text(call)) {
        let before = message.length();
        if !map(call, message, state, &uri) {
            return Word::Drop("a Contact header cannot be rewritten");
        }
        contacts.from = (contacts.from + message.length()).saturating_sub(before);
    }
    for kind in [Kind::From, Kind::To] {
        if let Some(uri) = header::first_uri(message.text(call), family, kind)
            && !map(call, message, state, &uri)
        {
            return Word::Drop("the From or To header cannot be rewritten");
        }
    }
    if call.direction() == Direction::Reply
        && let Some(port) = state.forced_port
    {
        if own.protocol != proto::UDP {
            return Word::Drop("an answer over TCP to a Via header that names UDP");
        }
        if !call.set_destination_port(port) {
            return Word::Drop("the packet's port cannot be rewritten");
        }
    }
    Word::Pass
}

/// Rewrites `maddr`, `received` and `rport` of the topmost Via header.
fn via_parameters(call: &mut Call<'_, '_>, message: &mut Message, from: usize) -> bool {
    let family = message.family();
    let own = call.tuple(call.direction());
    let other = call.tuple(call.direction().opposite());
    // Where the answer is to be sent.
    let maddr = header::address_parameter(
        message.text(call),
        family,
        from,
        b"maddr=",
        Brackets::Needed,
    );
    if let Some((at, address)) = maddr
        && address == own.source
        && address != other.destination
    {
        let text = address::bracketed(other.destination);
        if !message.replace(call, at, text.as_bytes()) {
            return false;
        }
    }
    // Where the server got the request from.
    let received = header::address_parameter(
        message.text(call),
        family,
        from,
        b"received=",
        Brackets::Optional,
    );
    if let Some((at, address)) = received
        && address == own.destination
        && address != other.source
    {
        let text = address::text(other.source);
        if !message.replace(call, at, text.as_bytes()) {
            return false;
        }
    }
    let rport = header::number_parameter(message.text(call), from, b"rport=");
    if let Some(Some((at, port))) = rport
        && port >= 1024
        && port == u32::from(own.destination_word())
        && port != u32::from(other.source_word())
    {
        let text = other.source_word().to_string();
        return message.replace(call, at, text.as_bytes());
    }
    true
}

/// Where the other side sees the speaker of a packet, if it is not `announced` itself.
fn seen(call: &Call<'_, '_>, announced: IpAddr) -> IpAddr {
    let own = call.tuple(call.direction()).source;
    let other = call.tuple(call.direction().opposite()).destination;
    if own == other { announced } else { other }
}

/// Expects the connections of a registered address where the registrar sees it, and says so in the message
/// (kernel `nf_nat_sip_expect`).
pub(super) fn signalling(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    state: &SipState,
    mut proposal: Proposal,
    at: Range<usize>,
) -> Word {
    let own = call.tuple(call.direction());
    let other = call.tuple(call.direction().opposite());
    let (address, wanted) = (proposal.destination, proposal.destination_port);
    proposal.saved_address = Some(address);
    proposal.saved_port = wanted;
    proposal.destination = seen(call, address);
    proposal.direction = call.direction().opposite();
    proposal.follow = Follow::Sip;
    let port = if wanted == state.forced_port.unwrap_or(own.source_word()) {
        other.destination_word()
    } else {
        wanted
    };
    let (id, port) = match call.expect_near(&mut proposal, port) {
        // No port is the kernel's word for failure.
        Ok((_, 0)) | Err(Refused::Clash) => return Word::Drop("all ports are in use"),
        Ok(found) => found,
        Err(refused) => return Word::Drop(refused.reason()),
    };
    if (proposal.destination, port) == (address, wanted) {
        return Word::Pass;
    }
    let text = address::with_port(proposal.destination, port);
    if message.replace(call, at, text.as_bytes()) {
        Word::Pass
    } else {
        call.unexpect(id);
        Word::Drop("the Contact header cannot be rewritten")
    }
}

/// Expects a medium and its control channel where the other side sees the speaker, at their own ports or
/// the next free pair above (kernel `nf_nat_sdp_media`). `address` becomes the translated one.
pub(super) fn media(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    medium: &Medium,
    pair: &mut [Proposal; 2],
    address: &mut IpAddr,
) -> Word {
    *address = seen(call, *address);
    for proposal in pair.iter_mut() {
        proposal.saved_address = Some(proposal.destination);
        proposal.saved_port = proposal.destination_port;
        proposal.destination = *address;
        proposal.direction = call.direction().opposite();
        proposal.follow = Follow::Sip;
    }
    let mut port = pair[0].destination_port;
    let ids = loop {
        if port == 0 {
            return Word::Drop("all ports are in use");
        }
        pair[0].destination_port = port;
        pair[1].destination_port = port | 1;
        match call.expect_pair(pair) {
            Ok(ids) => break ids,
            Err(Refused::Clash) => port = port.wrapping_add(2),
            Err(refused) => return Word::Drop(refused.reason()),
        }
    };
    if port != pair[0].saved_port && !medium_port(call, message, medium.place.clone(), port) {
        for id in ids {
            call.unexpect(id);
        }
        return Word::Drop("a medium's port cannot be rewritten");
    }
    Word::Pass
}

/// Writes another port (kernel `nf_nat_sdp_port`).
pub(super) fn medium_port(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    place: Range<usize>,
    port: u16,
) -> bool {
    message.replace(call, place, port.to_string().as_bytes()) && content_length(call, message)
}

/// Writes another address of one medium (kernel `nf_nat_sdp_addr`).
pub(super) fn medium_address(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    from: usize,
    address: IpAddr,
) -> bool {
    line_address(call, message, from, Line::Connection, address) == Some(true)
        && content_length(call, message)
}

/// Writes another address of the session's owner and of the session (kernel `nf_nat_sdp_session`).
pub(super) fn session_address(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    from: usize,
    address: IpAddr,
) -> bool {
    line_address(call, message, from, Line::Owner, address) == Some(true)
        && line_address(call, message, from, Line::Connection, address) != Some(false)
        && content_length(call, message)
}

/// Writes another address in a line before the next medium; `None` when there is no such line.
fn line_address(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    from: usize,
    line: Line,
    address: IpAddr,
) -> Option<bool> {
    let family = message.family();
    let found = sdp::find(message.text(call), family, from, line, Some(Line::Media));
    let place = found.place()?;
    Some(message.replace(call, place, address::text(address).as_bytes()))
}

/// Makes Content-Length right (kernel `mangle_content_len`). `false` when there is none, or no description.
fn content_length(call: &mut Call<'_, '_>, message: &mut Message) -> bool {
    let family = message.family();
    let text = message.text(call);
    let Found::At(version) = sdp::find(text, family, 0, Line::Version, None) else {
        return false;
    };
    // The place is behind `v=`, which counts too.
    let length = text.len() + 2 - version.start;
    let Found::At(place) = header::find(text, family, 0, Kind::ContentLength) else {
        return false;
    };
    message.replace(call, place, length.to_string().as_bytes())
}

/// A connection or a medium that was expected has come (kernel `nf_nat_sip_expected`).
pub(super) fn arrived(follower: &mut Follower<'_>, expectation: &Expectation) {
    let (Some(tuple), Some(address)) = (
        follower.tuple(Direction::Original),
        expectation.saved_address,
    ) else {
        return;
    };
    let to = |address, port| nat::Range {
        ports: Some((port, port)),
        ..nat::Range::to(address)
    };
    follower.bind(&to(address, expectation.saved_port), End::Destination);
    // A medium comes from where the other side's own announcement says, and leaves by what that was
    // translated to.
    let mut source = None;
    if expectation.class != SIGNALLING {
        source = follower
            .siblings()
            .find(|e| {
                e.protocol == tuple.protocol
                    && e.saved_address == Some(tuple.source)
                    && e.saved_port == tuple.source_word()
            })
            .map(|e| to(e.destination, e.destination_port));
    }
    if source.is_none()
        && let Some(from) = follower.master_tuple(expectation.direction)
        && from.source == tuple.source
        && let Some(back) = follower.master_tuple(expectation.direction.opposite())
    {
        source = Some(nat::Range::to(back.destination));
    }
    if let Some(source) = source {
        follower.bind(&source, End::Source);
    }
}
