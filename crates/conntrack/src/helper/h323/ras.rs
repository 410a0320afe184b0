//! Registration, admission and status: between endpoints and their gatekeeper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use palisade_wire::{Family, proto};

use super::per::{self, Choice, Field, Kind, SKIP, Value, field, maybe, unread, unread_root};
use super::types::{
    ADDRESS, ADDRESSES, ALIASES, CALL_MODEL, CALL_TYPE, ENDPOINT, IDENTIFIER, NON_STANDARD_DATA,
    SECONDS, VENDOR,
};
use super::{Announced, H323State, Outcome, nat, signal_address};
use crate::connection::Status;
use crate::expect::Follow;
use crate::helper::{Call, Proposal};
use crate::tuple::{Tuple, TupleProto};

const NUMBER: Field = field("requestSeqNum", Kind::Integer(1, 0xffff));
const VERSION: Field = field("protocolIdentifier", Kind::Oid);
const TIME_TO_LIVE: Field = maybe("timeToLive", SECONDS).keep();
const CALL_ADDRESSES: Field = field("callSignalAddress", ADDRESSES).keep();
const UNREAD: Field = field("", Kind::Unread);
const BANDWIDTH: Field = field("bandWidth", Kind::Integer(0, u32::MAX));

const fn address(name: &'static str) -> Field {
    field(name, Kind::Choice(&ADDRESS)).keep()
}

/// RasMessage.
pub(super) const MESSAGE: Kind = Kind::Choice(&Choice {
    extensible: true,
    root: &[
        field(
            "gatekeeperRequest",
            Kind::Sequence(&unread_root(
                &[NUMBER, VERSION, NON_STANDARD_DATA, address("rasAddress")],
                3,
            )),
        )
        .keep(),
        field(
            "gatekeeperConfirm",
            Kind::Sequence(&unread(
                &[
                    NUMBER,
                    VERSION,
                    NON_STANDARD_DATA,
                    maybe("gatekeeperIdentifier", IDENTIFIER),
                    address("rasAddress"),
                ],
                &[],
            )),
        )
        .keep(),
        UNREAD,
        field(
            "registrationRequest",
            Kind::Sequence(&unread(
                &[
                    NUMBER,
                    VERSION,
                    NON_STANDARD_DATA,
                    field("discoveryComplete", Kind::Bool),
                    CALL_ADDRESSES,
                    field("rasAddress", ADDRESSES).keep(),
                    field("terminalType", ENDPOINT),
                    maybe("terminalAlias", ALIASES),
                    maybe("gatekeeperIdentifier", IDENTIFIER),
                    field("endpointVendor", Kind::Sequence(&VENDOR)),
                ],
                &[SKIP, TIME_TO_LIVE],
            )),
        )
        .keep(),
        field(
            "registrationConfirm",
            Kind::Sequence(&unread(
                &[
                    NUMBER,
                    VERSION,
                    NON_STANDARD_DATA,
                    CALL_ADDRESSES,
                    maybe("terminalAlias", ALIASES),
                    maybe("gatekeeperIdentifier", IDENTIFIER),
                    field("endpointIdentifier", IDENTIFIER),
                ],
                &[SKIP, TIME_TO_LIVE],
            )),
        )
        .keep(),
        UNREAD,
        field(
            "unregistrationRequest",
            Kind::Sequence(&unread_root(&[NUMBER, CALL_ADDRESSES], 3)),
        )
        .keep(),
        UNREAD,
        UNREAD,
        field(
            "admissionRequest",
            Kind::Sequence(&unread_root(
                &[
                    NUMBER,
                    field("callType", CALL_TYPE),
                    maybe("callModel", CALL_MODEL),
                    field("endpointIdentifier", IDENTIFIER),
                    maybe("destinationInfo", ALIASES),
                    maybe("destCallSignalAddress", Kind::Choice(&ADDRESS)).keep(),
                    maybe("destExtraCallInfo", ALIASES),
                    field("srcInfo", ALIASES),
                    maybe("srcCallSignalAddress", Kind::Choice(&ADDRESS)).keep(),
                ],
                2,
            )),
        )
        .keep(),
        field(
            "admissionConfirm",
            Kind::Sequence(&unread_root(
                &[
                    NUMBER,
                    BANDWIDTH,
                    field("callModel", CALL_MODEL),
                    address("destCallSignalAddress"),
                ],
                2,
            )),
        )
        .keep(),
        UNREAD,
        UNREAD,
        UNREAD,
        UNREAD,
        UNREAD,
        UNREAD,
        UNREAD,
        field(
            "locationRequest",
            Kind::Sequence(&unread(
                &[
                    NUMBER,
                    maybe("endpointIdentifier", IDENTIFIER),
                    field("destinationInfo", ALIASES),
                    NON_STANDARD_DATA,
                    address("replyAddress"),
                ],
                &[],
            )),
        )
        .keep(),
        field(
            "locationConfirm",
            Kind::Sequence(&unread_root(
                &[
                    NUMBER,
                    address("callSignalAddress"),
                    field("rasAddress", Kind::Choice(&ADDRESS)),
                ],
                1,
            )),
        )
        .keep(),
        UNREAD,
        UNREAD,
        field(
            "infoRequestResponse",
            Kind::Sequence(&unread_root(
                &[
                    NON_STANDARD_DATA,
                    NUMBER,
                    field("endpointType", ENDPOINT),
                    field("endpointIdentifier", IDENTIFIER),
                    address("rasAddress"),
                    CALL_ADDRESSES,
                ],
                2,
            )),
        )
        .keep(),
        UNREAD,
    ],
    more: &[UNREAD; 8],
});

/// How long a registration lives behind a request to end it, for the answer.
const FAREWELL: u64 = 30;

/// Reads a datagram (kernel `ras_help`).
pub(super) fn inspect(state: &mut H323State, call: &mut Call<'_, '_>) -> Outcome {
    let Ok(Value::Choice(name, message)) = per::decode(call.payload(), 0, &MESSAGE) else {
        return Ok(());
    };
    let list = |name| message.get(name).map_or(&[][..], Value::items);
    let one = |name| message.get(name).map_or(&[][..], std::slice::from_ref);
    match name {
        "gatekeeperRequest" if nat::translated(call) => {
            nat::set_own_address(call, one("rasAddress"))
        }
        "gatekeeperConfirm" => discovered(call, &message),
        "registrationRequest" => {
            expect_calls(state, call, list("callSignalAddress"))?;
            if nat::translated(call) {
                nat::set_own_address(call, list("rasAddress"))?;
            }
            let default = call.options().h323_default_rrq_ttl;
            state.lifetime = message
                .get("timeToLive")
                .and_then(Value::number)
                .unwrap_or(u32::try_from(default).unwrap_or(u32::MAX));
            Ok(())
        }
        "registrationConfirm" => {
            if nat::translated(call) {
                nat::set_signal_address(state, call, list("callSignalAddress"))?;
            }
            if let Some(seconds) = message.get("timeToLive").and_then(Value::number) {
                state.lifetime = seconds;
            }
            registered(state, call);
            Ok(())
        }
        "unregistrationRequest" => {
            if nat::translated(call) {
                nat::set_signal_address(state, call, list("callSignalAddress"))?;
            }
            let waiting: Vec<_> = call.expectations().map(|e| e.id).collect();
            waiting.into_iter().for_each(|id| call.unexpect(id));
            state.signal = [0, 0];
            call.refresh(FAREWELL);
            Ok(())
        }
        "admissionRequest" if nat::translated(call) => asks_admission(state, call, &message),
        "admissionConfirm" => admitted(state, call, &message),
        "locationRequest" if nat::translated(call) => {
            nat::set_own_address(call, one("replyAddress"))
        }
        "locationConfirm" => {
            match message
                .get("callSignalAddress")
                .and_then(|place| signal_address(call, place))
            {
                Some(announced) => expect_call_to(call, announced),
                None => Ok(()),
            }
        }
        "infoRequestResponse" if nat::translated(call) => {
            nat::set_own_address(call, one("rasAddress"))?;
            nat::set_signal_address(state, call, list("callSignalAddress"))
        }
        _ => Ok(()),
    }
}

/// A gatekeeper was found; if it wants registrations elsewhere, they are expected there. What was expected
/// itself expects no more (kernel `process_gcf`).
fn discovered(call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    let Some(announced) = message
        .get("rasAddress")
        .and_then(|place| signal_address(call, place))
    else {
        return Ok(());
    };
    let here = call.tuple(call.direction());
    let same = announced.address == here.source && Some(announced.port) == here.source_port();
    if same || call.status.has(Status::EXPECTED) {
        return Ok(());
    }
    let other = call.tuple(call.direction().opposite()).source;
    let mut proposal = Proposal::new(announced.address, announced.port, proto::UDP).from(other);
    proposal.assign = Some("RAS");
    announced.told_by(&mut proposal);
    expect(call, &proposal)
}

fn expect(call: &mut Call<'_, '_>, proposal: &Proposal) -> Outcome {
    match call.expect(proposal) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.reason()),
    }
}

/// Calls to the first address that is the registering endpoint's own: from the gatekeeper, or from anybody
/// (kernel `expect_q931`).
fn expect_calls(state: &mut H323State, call: &mut Call<'_, '_>, addresses: &[Value]) -> Outcome {
    let own = call.tuple(call.direction()).source;
    let Some((i, announced)) = addresses.iter().enumerate().find_map(|(i, value)| {
        let announced = signal_address(call, value)?;
        (announced.address == own && announced.port != 0).then_some((i, announced))
    }) else {
        return Ok(());
    };
    let there = call.tuple(call.direction().opposite());
    let mut proposal = Proposal::new(there.destination, announced.port, proto::TCP);
    if call.options().h323_gkrouted_only {
        proposal = proposal.from(there.source);
    }
    proposal.assign = Some("Q.931");
    proposal.permanent = true;
    announced.told_by(&mut proposal);
    if !nat::translated(call) {
        expect(call, &proposal)?;
        state.signal[call.direction().index()] = announced.port;
        return Ok(());
    }
    proposal.follow = Follow::Q931;
    let port = nat::known_signal_port(state, call, announced.port);
    let Some((id, port)) = nat::expect_near(call, proposal, port, announced)? else {
        return Ok(());
    };
    nat::remember_signal_port(state, call, announced.port, port);
    if i > 0
        && let Some(first) = nat::starts_with_loopback(call, addresses)
    {
        let address = nat::outside(call);
        if let Err(why) = nat::set(call, first.at, address, port) {
            call.unexpect(id);
            return Err(why);
        }
    }
    Ok(())
}

/// The registration holds for its lifetime, and so does the expectation of calls, if calls are expected from
/// anybody: the kernel looks for it with no source, and finds none that names the gatekeeper (kernel
/// `process_rcf`, `find_expect`).
fn registered(state: &H323State, call: &mut Call<'_, '_>) {
    if state.lifetime == 0 {
        return;
    }
    let seconds = u64::from(state.lifetime);
    call.refresh(seconds);
    let here = call.tuple(call.direction());
    let tuple = Tuple {
        source: match here.family() {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        },
        destination: here.destination,
        protocol: proto::TCP,
        proto: TupleProto::Ports {
            source: 0,
            destination: state.signal[call.direction().opposite().index()],
        },
    };
    let found = call.expected(&tuple);
    if let Some(id) = found.filter(|e| call.is_own(e)).map(|e| e.id) {
        let deadline = call.now() + Duration::from_secs(seconds);
        if let Some(expectation) = call.expectation_mut(id) {
            expectation.deadline = deadline;
        }
    }
}

/// An endpoint's own address becomes the one that its gatekeeper knows: of the called if it registered that,
/// else of the caller (kernel `process_arq`).
fn asks_admission(state: &H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    let side = call.direction().index();
    let own = call.tuple(call.direction()).source;
    let said = |call: &Call<'_, '_>, name| {
        let place = message.get(name)?;
        signal_address(call, place).filter(|a| a.address == own)
    };
    let address = nat::outside(call);
    if let Some(called) = said(call, "destCallSignalAddress")
        && called.port == state.signal[side]
    {
        return nat::set(call, called.at, address, state.signal[1 - side]);
    }
    if let Some(caller) = said(call, "srcCallSignalAddress") {
        return nat::set(call, caller.at, address, caller.port);
    }
    Ok(())
}

/// A call is admitted: the called learns its own address, the caller whom to call (kernel `process_acf`).
fn admitted(state: &H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    let Some(place) = message.get("destCallSignalAddress") else {
        return Ok(());
    };
    let Some(announced) = signal_address(call, place) else {
        return Ok(());
    };
    if announced.address != call.tuple(call.direction()).destination {
        return expect_call_to(call, announced);
    }
    if nat::translated(call) {
        return nat::set_signal_address(state, call, std::slice::from_ref(place));
    }
    Ok(())
}

/// Calls of the other side to an address, any number of them.
fn expect_call_to(call: &mut Call<'_, '_>, announced: Announced) -> Outcome {
    let other = call.tuple(call.direction().opposite()).source;
    let mut proposal = Proposal::new(announced.address, announced.port, proto::TCP).from(other);
    proposal.permanent = true;
    proposal.assign = Some("Q.931");
    announced.told_by(&mut proposal);
    expect(call, &proposal)
}
