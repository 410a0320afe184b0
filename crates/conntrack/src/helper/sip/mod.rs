//! SIP (RFC 3261) over UDP and TCP, IPv4 and IPv6: a registration announces connections to the registered
//! address, a session description announces media.
//!
//! - `header`: headers, parameters and addresses of a message.
//! - `sdp`: session descriptions, and the media that they announce.
//! - `nat`: what a translated connection changes in messages and expects for them.
//! - `address`: addresses as text.
//!
//! The behaviour is the kernel's (`nf_conntrack_sip.c`, `nf_nat_sip.c`), which is peculiar in places:
//! - only addresses count; what is announced under a name is not expected;
//! - ports below 1024 spoil an address in a header, and drop the packet in a description;
//! - a REGISTER's expectation waits, inactive, for the registrar's answer, and lives as long as that says;
//! - over TCP a message must begin and end within one segment, or it is not read.

mod address;
mod header;
mod nat;
mod sdp;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

use palisade_wire::{Family, proto};

use self::header::{Found, Kind, Uris, number};
use super::{Call, Follower, HelperState, Proposal, Word};
use crate::State;
use crate::expect::Expectation;
use crate::snapshot::{In, Out};

/// Class of connections to a registered address.
const SIGNALLING: u8 = 0;
/// Classes of media.
const AUDIO: u8 = 1;
const VIDEO: u8 = 2;
const IMAGE: u8 = 3;

/// Shorter payloads are not read: the length of `SIP/2.0 200`.
const SHORTEST: usize = 11;

/// What begins an answer.
const VERSION: &[u8] = b"SIP/2.0 ";

/// Timer ticks a second of common kernels. A lifetime is counted in ticks, and of their number only 32 bits
/// are kept.
const TICKS: u32 = 250;

/// What is known of a signalling connection (kernel `struct nf_ct_sip_master`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SipState {
    register_cseq: u32,
    invite_cseq: u32,
    /// Port that answers must go to, if the Via header names another than requests come from.
    forced_port: Option<u16>,
}

impl SipState {
    pub(super) fn save(&self, out: &mut Out) {
        out.u32(self.register_cseq);
        out.u32(self.invite_cseq);
        out.byte(self.forced_port.is_some().into());
        out.u16(self.forced_port.unwrap_or(0));
    }

    pub(super) fn load(input: &mut In<'_>) -> Option<Self> {
        let (register_cseq, invite_cseq) = (input.u32()?, input.u32()?);
        let (forced, port) = (input.flag()?, input.u16()?);
        Some(SipState {
            register_cseq,
            invite_cseq,
            forced_port: forced.then_some(port),
        })
    }
}

/// One message in a packet, which may hold several (TCP).
struct Message {
    start: usize,
    length: usize,
    family: Family,
}

impl Message {
    fn text<'c>(&self, call: &'c Call<'_, '_>) -> &'c [u8] {
        call.payload()
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }

    fn family(&self) -> Family {
        self.family
    }

    fn length(&self) -> usize {
        self.length
    }

    /// A place in the message as one in the payload.
    fn place(&self, at: Range<usize>) -> Range<usize> {
        self.start + at.start..self.start + at.end
    }

    /// Puts `with` in the place of a part (kernel `mangle_packet`).
    fn replace(&mut self, call: &mut Call<'_, '_>, at: Range<usize>, with: &[u8]) -> bool {
        let removed = at.len();
        if !call.replace_only(self.place(at), with) {
            return false;
        }
        self.length = (self.length + with.len()).saturating_sub(removed);
        true
    }
}

/// Reads one packet of a signalling connection.
pub(super) fn inspect(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if *state == HelperState::None {
        *state = HelperState::Sip(Box::default());
    }
    let HelperState::Sip(state) = state else {
        return Word::Pass;
    };
    let tuple = call.tuple(call.direction());
    if tuple.protocol == proto::TCP && call.state() != State::Established
        || call.payload().is_empty()
    {
        return Word::Pass;
    }
    let seconds = call.options().sip_timeout;
    call.refresh(seconds);
    let length = call.payload().len();
    if length < SHORTEST {
        return Word::Pass;
    }
    if tuple.protocol == proto::TCP {
        return stream(state, call);
    }
    let mut message = Message {
        start: 0,
        length,
        family: tuple.family(),
    };
    read(state, call, &mut message)
}

/// The messages in one segment (kernel `sip_help_tcp`). What the changes to them add up to is forgotten
/// when the last one is cut: the kernel leaves in the middle.
fn stream(state: &mut SipState, call: &mut Call<'_, '_>) -> Word {
    let family = call.tuple(call.direction()).family();
    let mut start = 0;
    let mut grown = 0;
    while let Some(length) = message_length(call.payload().get(start..), family) {
        if start + length > call.payload().len() {
            return Word::Pass;
        }
        let mut message = Message {
            start,
            length,
            family,
        };
        let word = read(state, call, &mut message);
        if word != Word::Pass {
            return word;
        }
        grown += message.length as i32 - length as i32;
        start += message.length;
    }
    call.shift(grown);
    Word::Pass
}

/// How long the message at the start of `text` is: to the empty line behind its Content-Length header, and
/// so many bytes more. It may reach beyond the text.
fn message_length(text: Option<&[u8]>, family: Family) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let text = text?;
    let Found::At(place) = header::find(text, family, 0, Kind::ContentLength) else {
        return None;
    };
    let (value, digits) = number(text.get(place.start..)?);
    let content = usize::try_from(value).ok().filter(|v| *v <= text.len())?;
    if digits == 0 {
        return None;
    }
    let rest = text.get(place.start + digits..)?;
    let blank = rest.windows(END.len()).position(|w| w == END)?;
    Some(place.start + digits + blank + END.len() + content)
}

/// One message (kernel `process_sip_msg`).
fn read(state: &mut SipState, call: &mut Call<'_, '_>, message: &mut Message) -> Word {
    let word = if header::begins(message.text(call), VERSION) {
        response(state, call, message)
    } else {
        request(state, call, message)
    };
    if word == Word::Pass && call.translated() {
        return nat::headers(call, message, state);
    }
    word
}

/// The number in the CSeq header, and where it ends.
fn cseq(text: &[u8], family: Family) -> Result<(u32, usize), Word> {
    let place = header::find(text, family, 0, Kind::Cseq).place();
    let Some(place) = place else {
        return Err(Word::Drop("no number in a CSeq header"));
    };
    match number(text.get(place.start..).unwrap_or_default()) {
        (_, 0) => Err(Word::Drop("too large a number in the CSeq header")),
        (value, _) => Ok((value, place.end)),
    }
}

/// Kernel `process_sip_request`.
fn request(state: &mut SipState, call: &mut Call<'_, '_>, message: &mut Message) -> Word {
    let family = message.family();
    let own = call.tuple(call.direction());
    let text = message.text(call);
    // Some phones send from any port and listen at one, which they name in the Via header.
    if let Some(via) = header::first_uri(text, family, Kind::ViaUdp)
        && via.port != own.source_word()
        && via.address == own.source
    {
        state.forced_port = Some(via.port);
    }
    let is = |method: &[u8]| {
        header::begins(text, method)
            && text.get(method.len()) == Some(&b' ')
            && text
                .get(method.len() + 1)
                .is_some_and(|b| header::is_letter(*b))
    };
    let kind = [
        b"INVITE".as_slice(),
        b"UPDATE",
        b"ACK",
        b"PRACK",
        b"BYE",
        b"REGISTER",
    ]
    .into_iter()
    .position(is);
    let Some(kind) = kind else {
        return Word::Pass;
    };
    let cseq = match cseq(text, family) {
        Ok((cseq, _)) => cseq,
        Err(word) => return word,
    };
    match kind {
        0 => sdp::invite(state, call, message, cseq),
        1..=3 => sdp::read(call, message),
        4 => {
            forget(call, true);
            Word::Pass
        }
        _ => register(state, call, message, cseq),
    }
}

/// Kernel `process_sip_response`.
fn response(state: &mut SipState, call: &mut Call<'_, '_>, message: &mut Message) -> Word {
    let family = message.family();
    let text = message.text(call);
    if text.len() < SHORTEST {
        return Word::Pass;
    }
    let (code, _) = number(text.get(VERSION.len()..).unwrap_or_default());
    if code == 0 {
        return Word::Drop("an answer without a code");
    }
    let (cseq, end) = match cseq(text, family) {
        Ok(found) => found,
        Err(word) => return word,
    };
    let method = text.get(end + 1..).unwrap_or_default();
    if [b"INVITE".as_slice(), b"UPDATE", b"PRACK"]
        .iter()
        .any(|m| header::begins(method, m))
    {
        return sdp::answer(state, call, message, cseq, code);
    }
    if header::begins(method, b"REGISTER") {
        return registered(state, call, message, cseq, code);
    }
    Word::Pass
}

/// The Expires header's number, 0 without.
fn expires(text: &[u8], family: Family) -> u32 {
    header::find(text, family, 0, Kind::Expires)
        .place()
        .and_then(|place| text.get(place.start..))
        .map_or(0, |rest| number(rest).0)
}

/// Why a registration is dropped whose lifetime is no number.
const EXPIRES: Word = Word::Drop("an expires parameter that is no number");

/// A registration: connections to the registered address are expected once the registrar agrees (kernel
/// `process_register_request`).
fn register(
    state: &mut SipState,
    call: &mut Call<'_, '_>,
    message: &mut Message,
    cseq: u32,
) -> Word {
    if call.was_expected() {
        return Word::Pass;
    }
    let family = message.family();
    let own = call.tuple(call.direction());
    let text = message.text(call);
    let mut seconds = expires(text, family);
    let Some(contact) = header::first_uri(text, family, Kind::Contact) else {
        return Word::Pass;
    };
    // Nobody registers another host here.
    if contact.address != own.source || !header::same_transport(text, contact.at.end, own.protocol)
    {
        return Word::Pass;
    }
    match header::number_parameter(text, contact.at.end, b"expires=") {
        Some(None) => return EXPIRES,
        Some(Some((_, value))) => seconds = value,
        None => {}
    }
    let mut word = Word::Pass;
    if seconds != 0 {
        let mut proposal = Proposal::new(contact.address, contact.port, own.protocol);
        proposal.class = SIGNALLING;
        if call.options().sip_direct_signalling {
            proposal = proposal.from(call.tuple(call.direction().opposite()).source);
        }
        proposal.permanent = true;
        proposal.inactive = true;
        proposal.assign = Some("sip");
        proposal.announced = message.place(contact.at.clone());
        word = if call.translated() {
            nat::signalling(call, message, state, proposal, contact.at)
        } else {
            match call.expect(&proposal) {
                Ok(_) => Word::Pass,
                Err(refused) => Word::Drop(refused.reason()),
            }
        };
    }
    if word == Word::Pass {
        state.register_cseq = cseq;
    }
    word
}

/// The registrar's answer (kernel `process_register_response`): the expectation becomes active for the time
/// that the answer names, or is taken back.
fn registered(
    state: &SipState,
    call: &mut Call<'_, '_>,
    message: &Message,
    cseq: u32,
    code: u32,
) -> Word {
    if state.register_cseq != cseq || (100..200).contains(&code) {
        return Word::Pass;
    }
    if !(200..300).contains(&code) {
        forget(call, false);
        return Word::Pass;
    }
    let family = message.family();
    let own = call.tuple(call.direction());
    let common = expires(message.text(call), family);
    let mut contacts = Uris::new(Kind::Contact, family);
    while let Some(contact) = contacts.next(message.text(call)) {
        let text = message.text(call);
        if contact.address != own.destination
            || !header::same_transport(text, contact.at.end, own.protocol)
        {
            continue;
        }
        let seconds = match header::number_parameter(text, contact.at.end, b"expires=") {
            Some(None) => return EXPIRES,
            Some(Some((_, value))) => value,
            None => common,
        };
        if seconds == 0 {
            break;
        }
        let found = call
            .expectations()
            .find(|e| {
                e.class == SIGNALLING
                    && e.destination == contact.address
                    && e.destination_port == contact.port
                    && e.protocol == own.protocol
            })
            .map(|e| e.id);
        let now = call.now();
        if let Some(id) = found
            && let Some(expectation) = call.expectation_mut(id)
        {
            let ticks = u64::from(seconds.wrapping_mul(TICKS));
            let tick = Duration::from_secs(1) / TICKS;
            expectation.deadline = now + Duration::from_nanos(ticks * tick.as_nanos() as u64);
            expectation.inactive = false;
            return Word::Pass;
        }
    }
    forget(call, false);
    Word::Pass
}

/// Takes back all media that this connection announced, or its newest signalling connection (kernel
/// `flush_expectations`).
fn forget(call: &mut Call<'_, '_>, media: bool) {
    let ids: Vec<_> = call
        .expectations()
        .filter(|e| (e.class != SIGNALLING) == media)
        .take(if media { usize::MAX } else { 1 })
        .map(|e| e.id)
        .collect();
    for id in ids {
        call.unexpect(id);
    }
}

/// A connection that was announced has come.
pub(super) fn arrived(follower: &mut Follower<'_>, expectation: &Expectation) {
    nat::arrived(follower, expectation);
}
