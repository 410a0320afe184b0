//! Call signalling: messages of Q.931 whose user-user element holds one of H.225.0.

use std::ops::Range;

use palisade_wire::proto;

use super::media::OPEN_CHANNEL;
use super::per::{
    self, Choice, Field, Kind, SKIP, Sequence, Value, extensible, field, maybe, unread, unread_root,
};
use super::types::{
    ADDRESS, ALIASES, CALL_ID, CALL_SERVICES, CALL_TYPE, CRYPTO_TOKENS, ENDPOINT, FACILITY_REASON,
    GOAL, H245_SECURITY, NON_STANDARD_DATA, RELEASE_REASON, TOKENS, WORD,
};
use super::{Announced, H323State, Outcome, h245, nat, signal_address};
use crate::expect::Follow;
use crate::helper::{Call, Proposal};

const VERSION: Field = field("protocolIdentifier", Kind::Oid);
const CONTROL_ADDRESS: Field = maybe("h245Address", Kind::Choice(&ADDRESS)).keep();
const FAST_START: Field = maybe(
    "fastStart",
    Kind::Kept {
        item: &Kind::Sequence(&OPEN_CHANNEL),
        most: 30,
        open: true,
    },
)
.keep();

const SETUP: Sequence = unread(
    &[
        VERSION,
        CONTROL_ADDRESS,
        maybe("sourceAddress", ALIASES),
        field("sourceInfo", ENDPOINT),
        maybe("destinationAddress", ALIASES),
        maybe("destCallSignalAddress", Kind::Choice(&ADDRESS)).keep(),
        maybe("destExtraCallInfo", ALIASES),
        maybe("destExtraCRV", Kind::List(&WORD)),
        field("activeMC", Kind::Bool),
        field("conferenceID", Kind::Octets(16)),
        field("conferenceGoal", GOAL),
        maybe("callServices", CALL_SERVICES),
        field("callType", CALL_TYPE),
    ],
    &[
        maybe("sourceCallSignalAddress", Kind::Choice(&ADDRESS)).keep(),
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        FAST_START,
        SKIP,
        SKIP,
    ],
);

const CALL_PROCEEDING: Sequence = extensible(
    &[VERSION, field("destinationInfo", ENDPOINT), CONTROL_ADDRESS],
    &[SKIP, SKIP, SKIP, SKIP, FAST_START, SKIP, SKIP, SKIP, SKIP],
);

const CONNECT: Sequence = extensible(
    &[
        VERSION,
        CONTROL_ADDRESS,
        field("destinationInfo", ENDPOINT),
        field("conferenceID", Kind::Octets(16)),
    ],
    &[
        SKIP, SKIP, SKIP, SKIP, FAST_START, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP,
        SKIP,
    ],
);

const ALERTING: Sequence = extensible(
    &[VERSION, field("destinationInfo", ENDPOINT), CONTROL_ADDRESS],
    &[
        SKIP, SKIP, SKIP, SKIP, FAST_START, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP,
    ],
);

const FACILITY: Sequence = extensible(
    &[
        VERSION,
        maybe("alternativeAddress", Kind::Choice(&ADDRESS)).keep(),
        maybe("alternativeAliasAddress", ALIASES),
        maybe("conferenceID", Kind::Octets(16)),
        field("reason", FACILITY_REASON).keep(),
    ],
    &[
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        CONTROL_ADDRESS,
        FAST_START,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
        SKIP,
    ],
);

const PROGRESS: Sequence = extensible(
    &[
        VERSION,
        field("destinationInfo", ENDPOINT),
        CONTROL_ADDRESS,
        field("callIdentifier", CALL_ID),
        maybe("h245SecurityMode", H245_SECURITY),
        maybe("tokens", TOKENS),
        maybe("cryptoTokens", CRYPTO_TOKENS),
        FAST_START,
    ],
    &[SKIP, SKIP, SKIP],
);

/// H323-UserInformation, in which messages are named as in H.225.0.
pub(super) const USER_INFORMATION: Kind = Kind::Sequence(&unread_root(
    &[field(
        "h323-uu-pdu",
        Kind::Sequence(&unread(
            &[
                field(
                    "h323-message-body",
                    Kind::Choice(&Choice {
                        extensible: true,
                        root: &[
                            field("setup", Kind::Sequence(&SETUP)).keep(),
                            field("callProceeding", Kind::Sequence(&CALL_PROCEEDING)).keep(),
                            field("connect", Kind::Sequence(&CONNECT)).keep(),
                            field("alerting", Kind::Sequence(&ALERTING)).keep(),
                            field(
                                "information",
                                Kind::Sequence(&extensible(
                                    &[VERSION],
                                    &[SKIP, SKIP, SKIP, SKIP, SKIP, SKIP],
                                )),
                            ),
                            field(
                                "releaseComplete",
                                Kind::Sequence(&extensible(
                                    &[VERSION, maybe("reason", RELEASE_REASON)],
                                    &[SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP],
                                )),
                            ),
                            field("facility", Kind::Sequence(&FACILITY)).keep(),
                        ],
                        more: &[field("progress", Kind::Sequence(&PROGRESS)).keep()],
                    }),
                )
                .keep(),
                NON_STANDARD_DATA,
            ],
            &[
                SKIP,
                SKIP,
                maybe(
                    "h245Control",
                    Kind::Kept {
                        item: &h245::MESSAGE,
                        most: 4,
                        open: true,
                    },
                )
                .keep(),
            ],
        )),
    )
    .keep()],
    1,
));

/// Reads the message in a frame (kernel `q931_help`).
pub(super) fn inspect(
    state: &mut H323State,
    call: &mut Call<'_, '_>,
    frame: Range<usize>,
) -> Result<bool, &'static str> {
    let bytes = call.payload().get(..frame.end).unwrap_or_default();
    let Some(user) = user_information(bytes, frame.start) else {
        return Ok(false);
    };
    let bytes = bytes.get(..user.end).unwrap_or_default();
    let Ok(message) = per::decode(bytes, user.start, &USER_INFORMATION) else {
        return Ok(false);
    };
    if let Some(unit) = message.get("h323-uu-pdu") {
        signalling(state, call, unit)?;
    }
    Ok(true)
}

/// Where the content of the user-user element stands in a Q.931 message from `start` to the end of
/// `bytes`. Elements of one byte are read as if they had a length, but for the first one, which is passed over
/// (kernel `DecodeQ931`).
pub(super) fn user_information(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    const DISCRIMINATOR: u8 = 8;
    const USER_USER: u8 = 0x7e;
    let end = bytes.len();
    let byte = |at: usize| bytes.get(at).copied();
    if byte(start)? != DISCRIMINATOR {
        return None;
    }
    // Behind the call's reference stands the type of the message, which the user-user element repeats.
    let mut at = start + 2 + usize::from(byte(start + 1)?);
    if at > end || end - at < 2 {
        return None;
    }
    at += 1;
    if byte(at)? & 0x80 != 0 {
        at += 1;
    }
    while at < end {
        if byte(at)? == USER_USER {
            let length = usize::from(u16::from_be_bytes([byte(at + 1)?, byte(at + 2)?]));
            at += 3;
            // The first byte says how the rest is written, and is taken to say ASN.1.
            return (end - at >= length && length > 1).then_some(at + 1..at + length);
        }
        at += 2 + usize::from(byte(at + 1)?);
    }
    None
}

/// Kernel `process_q931`.
fn signalling(state: &mut H323State, call: &mut Call<'_, '_>, unit: &Value) -> Outcome {
    if let Some(Value::Choice(name, message)) = unit.get("h323-message-body") {
        match *name {
            "setup" => setup(state, call, message)?,
            "facility" => facility(state, call, message)?,
            _ => media_and_control(state, call, message)?,
        }
    }
    for message in unit.get("h245Control").map_or(&[][..], Value::items) {
        h245::control(state, call, message)?;
    }
    Ok(())
}

/// What CallProceeding, Connect, Alerting, Progress and most of Facility announce.
fn media_and_control(state: &mut H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    if let Some(place) = message.get("h245Address") {
        expect_control(state, call, place)?;
    }
    fast_start(state, call, message)
}

fn fast_start(state: &mut H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    for channel in message.get("fastStart").map_or(&[][..], Value::items) {
        h245::open(state, call, channel)?;
    }
    Ok(())
}

/// Kernel `process_setup`: the addresses of both ends, if they are there, become those that the receiver
/// sees.
fn setup(state: &mut H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    if let Some(place) = message.get("h245Address") {
        expect_control(state, call, place)?;
    }
    if nat::translated(call) {
        let there = call.tuple(call.direction().opposite());
        for (name, address, port) in [
            ("destCallSignalAddress", there.source, there.source_port()),
            (
                "sourceCallSignalAddress",
                there.destination,
                there.destination_port(),
            ),
        ] {
            if let Some(said) = message.get(name).and_then(|v| signal_address(call, v))
                && said.address != address
            {
                nat::set(call, said.at, address, port.unwrap_or(0))?;
            }
        }
    }
    fast_start(state, call, message)
}

/// Kernel `process_facility`.
fn facility(state: &mut H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    let forwarded = message
        .get("reason")
        .is_some_and(|reason| reason.chosen("callForwarded").is_some());
    if !forwarded {
        return media_and_control(state, call, message);
    }
    match message.get("alternativeAddress") {
        Some(place) => expect_forwarded(call, place),
        None => Ok(()),
    }
}

fn proposal(call: &Call<'_, '_>, announced: Announced, assign: &'static str) -> Proposal {
    let there = call.tuple(call.direction().opposite());
    let mut proposal =
        Proposal::new(there.destination, announced.port, proto::TCP).from(there.source);
    proposal.assign = Some(assign);
    announced.told_by(&mut proposal);
    proposal
}

/// The control connection at the speaker's own address (kernel `expect_h245`).
fn expect_control(state: &mut H323State, call: &mut Call<'_, '_>, place: &Value) -> Outcome {
    let own = call.tuple(call.direction()).source;
    let Some(announced) = signal_address(call, place).filter(|a| a.address == own && a.port != 0)
    else {
        return Ok(());
    };
    let proposal = proposal(call, announced, "H.245");
    if nat::speaker_translated(call) {
        let port = nat::known_signal_port(state, call, announced.port);
        if let Some((_, port)) = nat::expect_near(call, proposal, port, announced)? {
            nat::remember_signal_port(state, call, announced.port, port);
        }
        return Ok(());
    }
    match call.expect(&proposal) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.reason()),
    }
}

/// A call that is forwarded to any address, unless that is reached by the same way as the caller (kernel
/// `expect_callforwarding`).
fn expect_forwarded(call: &mut Call<'_, '_>, place: &Value) -> Outcome {
    let Some(announced) = signal_address(call, place).filter(|a| a.port != 0) else {
        return Ok(());
    };
    let caller = call.tuple(call.direction().opposite()).source;
    if call.options().h323_callforward_filter
        && call.surroundings().same_way(announced.address, caller)
    {
        return Ok(());
    }
    let mut proposal = proposal(call, announced, "Q.931");
    if nat::speaker_translated(call) {
        proposal.saved_address = Some(announced.address);
        proposal.follow = Follow::CallForwarding;
        return nat::expect_near(call, proposal, announced.port, announced).map(|_| ());
    }
    proposal.destination = announced.address;
    match call.expect(&proposal) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.reason()),
    }
}
