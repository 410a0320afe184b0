//! Session descriptions (SDP, RFC 4566) in SIP messages: which media go where, and what is expected of
//! them.

use std::net::IpAddr;
use std::ops::Range;

use palisade_wire::{Family, proto};

use super::address::{self, Brackets};
use super::header::{Found, begins, is_letter, next_line, number};
use super::{AUDIO, IMAGE, Message, SipState, VIDEO, nat};
use crate::expect::Refused;
use crate::helper::{Call, Proposal, Word};
use crate::tuple::{Tuple, TupleProto};

/// Media of one message that are expected; more are passed over.
const MEDIA: usize = 3;

/// Lines of a description that are read (kernel `enum sdp_header_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Version,
    Owner,
    Connection,
    Media,
}

impl Line {
    fn name(self) -> &'static [u8] {
        match self {
            Line::Version => b"v=",
            Line::Owner => b"o=",
            Line::Connection => b"c=",
            Line::Media => b"m=",
        }
    }
}

/// The value of the first line of a kind behind `from`, before any line of the kind `until` (kernel
/// `ct_sip_get_sdp_header`): digits, an address of this connection's family, or a medium with its port.
pub(super) fn find(
    text: &[u8],
    family: Family,
    from: usize,
    line: Line,
    until: Option<Line>,
) -> Found {
    let mut at = from;
    while let Some(start) = next_line(text, at) {
        let rest = &text[start..];
        if until.is_some_and(|until| begins(rest, until.name())) {
            return Found::No;
        }
        if !begins(rest, line.name()) {
            // As for headers: an empty line's end is not seen.
            at = start + 1;
            continue;
        }
        let value = start + line.name().len();
        let place = match line {
            Line::Version => text.get(value..).and_then(|rest| {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                (digits > 0).then(|| value..value + digits)
            }),
            Line::Owner | Line::Connection => address_place(text, family, value),
            Line::Media => medium(text, value),
        };
        return match place {
            Some(place) => Found::At(place),
            None => Found::Garbled(value),
        };
    }
    Found::No
}

/// The address behind `IN IP4 ` or `IN IP6 ` in the line that goes on at `at`.
fn address_place(text: &[u8], family: Family, at: usize) -> Option<Range<usize>> {
    let needle: &[u8] = match family {
        Family::V4 => b"IN IP4 ",
        Family::V6 => b"IN IP6 ",
    };
    let rest = text.get(at..)?;
    let line = rest.iter().take_while(|b| !matches!(b, b'\r' | b'\n'));
    let last = line.count().min(rest.len().checked_sub(needle.len())?);
    let found = (0..last).find(|at| rest[*at..].starts_with(needle))?;
    let start = at + found + needle.len();
    let (_, length) = address::parse(text.get(start..)?, family, Brackets::None)?;
    Some(start..start + length)
}

/// A medium's name, a blank, and the digits of its port, if there are any (kernel `media_len`).
fn medium(text: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = text.get(at..)?;
    let name = rest.iter().take_while(|b| is_letter(**b)).count();
    let digits = rest.get(name..)?.strip_prefix(b" ")?;
    let digits = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    Some(at..at + name + 1 + digits)
}

/// The address in a connection line.
fn connection(text: &[u8], family: Family, from: usize) -> Option<IpAddr> {
    let place = find(text, family, from, Line::Connection, Some(Line::Media)).place()?;
    let (address, _) = address::parse(text.get(place)?, family, Brackets::None)?;
    Some(address)
}

/// Reads the description in a message, expects its media, and says instead of them where they really go
/// (kernel `process_sdp`).
pub(super) fn read(call: &mut Call<'_, '_>, message: &mut Message) -> Word {
    let family = message.family();
    let text = message.text(call);
    let Found::At(version) = find(text, family, 0, Line::Version, None) else {
        return Word::Pass;
    };
    let session_start = version.start;
    let session = connection(text, family, session_start);
    // What the description's first lines are changed to: where the last medium goes.
    let mut last = session;
    let mut at = session_start;
    let mut expected = 0;
    while expected < MEDIA {
        let text = message.text(call);
        let Found::At(mut place) = find(text, family, at, Line::Media, None) else {
            break;
        };
        let medium = text.get(place.clone()).unwrap_or_default();
        let class: Option<(&[u8], u8)> = [
            (b"audio ".as_slice(), AUDIO),
            (b"video ".as_slice(), VIDEO),
            (b"image ".as_slice(), IMAGE),
        ]
        .into_iter()
        .find(|(name, _)| medium.starts_with(name));
        let Some((name, class)) = class else {
            at = place.end;
            continue;
        };
        place.start += name.len();
        at = place.start;
        let (port, _) = number(text.get(at..).unwrap_or_default());
        // A stream that is switched off, or no number.
        if port == 0 {
            continue;
        }
        let Some(port) = u16::try_from(port).ok().filter(|port| *port >= 1024) else {
            return Word::Drop("a port below 1024 or above 65535 for a medium");
        };
        let own = connection(text, family, at);
        let Some(mut address) = own.or(session) else {
            return Word::Drop("a medium without an address");
        };
        let announced = at - name.len()..place.end;
        let medium = Medium {
            port,
            class,
            place,
            announced,
        };
        let word = expect(call, message, medium, &mut address);
        last = Some(address);
        if word != Word::Pass {
            return word;
        }
        if own.is_some() && call.translated() && !nat::medium_address(call, message, at, address) {
            return Word::Drop("a medium's address cannot be rewritten");
        }
        expected += 1;
    }
    match last {
        Some(address)
            if call.translated()
                && !nat::session_address(call, message, session_start, address) =>
        {
            Word::Drop("the session description cannot be rewritten")
        }
        _ => Word::Pass,
    }
}

/// A medium as it is announced.
pub(super) struct Medium {
    pub(super) port: u16,
    class: u8,
    /// Where the port stands.
    pub(super) place: Range<usize>,
    /// Where the line stands, for people.
    announced: Range<usize>,
}

/// Expects a medium and its control channel, at an even port and the one above it (kernel
/// `set_expected_rtp_rtcp`). `address` becomes the one that is to stand in the message.
fn expect(
    call: &mut Call<'_, '_>,
    message: &mut Message,
    medium: Medium,
    address: &mut IpAddr,
) -> Word {
    let direction = call.direction();
    let own = call.tuple(direction);
    let other = call.tuple(direction.opposite());
    let mut source = None;
    if call.options().sip_direct_media {
        if *address != own.source {
            return Word::Pass;
        }
        source = Some(other.source);
    } else if call.options().sip_external_media && call.surroundings().leaves_alike(*address) {
        return Word::Pass;
    }
    // The same description passes more than once when a call goes through several connections of this
    // machine. Where both are translated the two ends can reach each other directly, and are told so.
    let mut port = medium.port;
    let mut direct = false;
    let skip = loop {
        let tuple = Tuple {
            source: source.unwrap_or(unspecified(own.source)),
            destination: *address,
            protocol: proto::UDP,
            proto: TupleProto::Ports {
                source: 0,
                destination: port,
            },
        };
        let Some(found) = call.expected(&tuple) else {
            break false;
        };
        if call.is_own(found) || found.class != medium.class || !call.same_helper(found) {
            break false;
        }
        let saved = found.saved_address.unwrap_or(unspecified(own.source));
        let moved = saved != found.destination || found.saved_port != found.destination_port;
        if direct || !moved || !call.translated() {
            break true;
        }
        (*address, port, direct) = (saved, found.saved_port, true);
    };
    let base = port & !1;
    if direct && !nat::medium_port(call, message, medium.place.clone(), base) {
        return Word::Drop("a medium's port cannot be rewritten");
    }
    if skip {
        return Word::Pass;
    }
    let mut media = [base, base | 1].map(|port| {
        let mut proposal = Proposal::new(*address, port, proto::UDP);
        proposal.class = medium.class;
        proposal.source = source.and_then(|s| Proposal::new(*address, 0, 0).from(s).source);
        proposal.announced = message.place(medium.announced.clone());
        proposal
    });
    if call.translated() && !direct {
        return nat::media(call, message, &medium, &mut media, address);
    }
    // The same port for two media, or another connection's announcement of the same, counts as expected.
    let first = call.expect_only(&media[0]);
    if let Err(refused) = first
        && refused != Refused::Already
    {
        return Word::Drop(refused.reason());
    }
    match call.expect_only(&media[1]) {
        Ok(_) | Err(Refused::Already) => Word::Pass,
        Err(refused) => {
            if let Ok(id) = first {
                call.unexpect(id);
            }
            Word::Drop(refused.reason())
        }
    }
}

/// The address of no host, of the same family.
fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

/// A new call: what the last one announced is forgotten (kernel `process_invite_request`).
pub(super) fn invite(
    state: &mut SipState,
    call: &mut Call<'_, '_>,
    message: &mut Message,
    cseq: u32,
) -> Word {
    super::forget(call, true);
    let word = read(call, message);
    if word == Word::Pass {
        state.invite_cseq = cseq;
    }
    word
}

/// The answer to a call, or to a change of one: a refusal ends it (kernel `process_invite_response`,
/// `process_update_response`, `process_prack_response`).
pub(super) fn answer(
    state: &SipState,
    call: &mut Call<'_, '_>,
    message: &mut Message,
    cseq: u32,
    code: u32,
) -> Word {
    if (100..300).contains(&code) {
        return read(call, message);
    }
    if state.invite_cseq == cseq {
        super::forget(call, true);
    }
    Word::Pass
}
