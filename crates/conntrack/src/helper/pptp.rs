//! PPTP (RFC 2637): the call ids of a control connection, and the GRE call that uses them.
//!
//! As the kernel (`nf_conntrack_pptp.c`, `nf_nat_pptp.c`):
//! - one message a segment, at its start; a message shorter than its kind has to be is passed over;
//! - the client (PNS) opens the control connection; messages that do not fit what was said before are passed over;
//! - a granted call expects GRE both ways, the ids being the keys, and puts them into the table of keys, because a
//!   packet carries only its receiver's; a table has room for one call a control connection;
//! - the first packet of the call takes the other way's expectation back;
//! - translated, the client's call id becomes the control connection's (translated) source port;
//! - what the server says a call's end ends it, and so does the end of the control connection. Without a call
//!   this hits GRE without keys between the same hosts;
//! - the kernel means to give the call longer timeouts, and then its GRE tracker sets the usual ones.

use std::net::IpAddr;

use palisade_wire::translate::End;
use palisade_wire::{Timestamp, proto};

use super::{Call, Follower, HelperState, Proposal, Word};
use crate::State;
use crate::connection::Connection;
use crate::expect::{Expectation, Follow};
use crate::nat;
use crate::snapshot::{In, Out};
use crate::table::Conntrack;
use crate::tuple::{Direction, Tuple, TupleProto, Zone};

/// State of the control connection, in the kernel's order (kernel `enum pptp_ctrlsess_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Session {
    #[default]
    None,
    Error,
    StopRequested,
    Requested,
    Confirmed,
}

/// State of the call (kernel `enum pptp_ctrlcall_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CallState {
    #[default]
    None,
    OutRequested,
    OutConfirmed,
    InRequested,
    InAnswered,
    InConfirmed,
    ClearRequested,
}

/// Call ids of either end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ids {
    /// Of the client (PPTP network server).
    pns: u16,
    /// Of the server (PPTP access concentrator).
    pac: u16,
}

/// What a control connection remembers (kernel `struct nf_ct_pptp_master`, `struct nf_nat_pptp`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PptpState {
    session: Session,
    call: CallState,
    /// As the server sees them.
    ids: Ids,
    /// As the client sees them, if the connection is translated.
    own: Ids,
}

impl PptpState {
    pub(super) fn save(&self, out: &mut Out) {
        out.byte(self.session as u8);
        out.byte(self.call as u8);
        for ids in [self.ids, self.own] {
            out.u16(ids.pns);
            out.u16(ids.pac);
        }
    }

    pub(super) fn load(input: &mut In<'_>) -> Option<Self> {
        let session = *SESSIONS.get(usize::from(input.byte()?))?;
        let call = *CALLS.get(usize::from(input.byte()?))?;
        let mut ids = || {
            Some(Ids {
                pns: input.u16()?,
                pac: input.u16()?,
            })
        };
        let (ids, own) = (ids()?, ids()?);
        Some(PptpState {
            session,
            call,
            ids,
            own,
        })
    }
}

/// All of them, in their order.
const SESSIONS: [Session; 5] = [
    Session::None,
    Session::Error,
    Session::StopRequested,
    Session::Requested,
    Session::Confirmed,
];

/// Likewise.
const CALLS: [CallState; 7] = [
    CallState::None,
    CallState::OutRequested,
    CallState::OutConfirmed,
    CallState::InRequested,
    CallState::InAnswered,
    CallState::InConfirmed,
    CallState::ClearRequested,
];

/// Packet header: length, type, cookie; then message type and two bytes of nothing.
const HEADER: usize = 12;

/// Packet type of control messages, and the cookie.
const CONTROL: [u8; 6] = [0, 1, 0x1a, 0x2b, 0x3c, 0x4d];

/// Message types.
mod message {
    pub(super) const START_REQUEST: u16 = 1;
    pub(super) const START_REPLY: u16 = 2;
    pub(super) const STOP_REQUEST: u16 = 3;
    pub(super) const STOP_REPLY: u16 = 4;
    pub(super) const ECHO_REQUEST: u16 = 5;
    pub(super) const ECHO_REPLY: u16 = 6;
    pub(super) const OUT_REQUEST: u16 = 7;
    pub(super) const OUT_REPLY: u16 = 8;
    pub(super) const IN_REQUEST: u16 = 9;
    pub(super) const IN_REPLY: u16 = 10;
    pub(super) const IN_CONNECT: u16 = 11;
    pub(super) const CLEAR_REQUEST: u16 = 12;
    pub(super) const DISCONNECT: u16 = 13;
    pub(super) const WAN_ERROR: u16 = 14;
    pub(super) const LINK_INFO: u16 = 15;
}
use message::*;

/// Least length of a message behind [`HEADER`], by type (kernel `pptp_msg_size`).
const LEAST: [usize; 16] = [
    0, 144, 144, 4, 4, 0, 0, 156, 20, 208, 12, 16, 4, 136, 28, 12,
];

/// One: the result that grants, of all answers.
const GRANTED: u8 = 1;

/// A message behind its header; fields that it does not have are 0.
struct Message<'m>(&'m [u8]);

impl Message<'_> {
    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.byte(at), self.byte(at + 1)])
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }
}

/// Reads one segment (kernel `conntrack_pptp_help`).
pub(super) fn inspect(state: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    if !matches!(state, HelperState::Pptp(_)) {
        *state = HelperState::Pptp(Box::default());
    }
    let HelperState::Pptp(state) = state else {
        return Word::Pass;
    };
    if call.state() != State::Established {
        return Word::Pass;
    }
    let payload = call.payload();
    let (Some(header), Some(body)) = (payload.first_chunk::<HEADER>(), payload.get(HEADER..))
    else {
        return Word::Pass;
    };
    let kind = u16::from_be_bytes([header[8], header[9]]);
    if header[2..8] != CONTROL
        || LEAST
            .get(usize::from(kind))
            .is_some_and(|l| body.len() < *l)
    {
        return Word::Pass;
    }
    let message = Message(body);
    let rewrite = match call.direction() {
        Direction::Original => match outbound(state, kind, &message) {
            true => translated(state, call, kind, outbound_id),
            false => None,
        },
        Direction::Reply => {
            let Some(then) = inbound(state, kind, &message) else {
                return Word::Pass;
            };
            match then {
                Then::Nothing => {}
                Then::Expect => expect_call(state, call),
                Then::End => {
                    call.forget_gre_keys();
                    for tuple in calls(
                        &state.ids,
                        &[
                            call.tuple(Direction::Original),
                            call.tuple(Direction::Reply),
                        ],
                    ) {
                        end_call(call, &tuple);
                    }
                }
            }
            translated(state, call, kind, inbound_id)
        }
    };
    match rewrite {
        Some((at, id)) if !call.replace(HEADER + at..HEADER + at + 2, &id.to_be_bytes()) => {
            Word::Drop("cannot be rewritten")
        }
        _ => Word::Pass,
    }
}

/// Where a call id is rewritten and what it becomes, if the connection is translated.
fn translated(
    state: &mut PptpState,
    call: &Call<'_, '_>,
    kind: u16,
    id: fn(&mut PptpState, &Call<'_, '_>, u16) -> Option<(usize, u16)>,
) -> Option<(usize, u16)> {
    if call.translated() {
        id(state, call, kind)
    } else {
        None
    }
}

/// What the client says (kernel `pptp_outbound_pkt`); `false` if it makes no sense now.
fn outbound(state: &mut PptpState, kind: u16, message: &Message<'_>) -> bool {
    match kind {
        START_REQUEST if state.session == Session::None => state.session = Session::Requested,
        STOP_REQUEST => state.session = Session::StopRequested,
        OUT_REQUEST if state.session == Session::Confirmed => {
            state.call = CallState::OutRequested;
            state.ids.pns = message.word(0);
        }
        IN_REPLY
            if matches!(state.call, CallState::InRequested | CallState::InAnswered)
                && state.ids.pac == message.word(2) =>
        {
            if message.byte(4) == GRANTED {
                state.call = CallState::InAnswered;
                state.ids.pns = message.word(0);
            } else {
                state.call = CallState::None;
            }
        }
        CLEAR_REQUEST if state.session == Session::Confirmed => {
            state.call = CallState::ClearRequested;
        }
        LINK_INFO | ECHO_REQUEST | ECHO_REPLY => {}
        _ => return false,
    }
    true
}

/// What follows from a message of the server.
enum Then {
    Nothing,
    Expect,
    End,
}

/// What the server says (kernel `pptp_inbound_pkt`); `None` if it makes no sense now.
fn inbound(state: &mut PptpState, kind: u16, message: &Message<'_>) -> Option<Then> {
    match kind {
        START_REPLY if state.session >= Session::Requested => {
            state.session = if message.byte(2) == GRANTED {
                Session::Confirmed
            } else {
                Session::Error
            };
        }
        STOP_REPLY if state.session <= Session::StopRequested => {
            state.session = if message.byte(0) == GRANTED {
                Session::None
            } else {
                Session::Error
            };
        }
        OUT_REPLY
            if state.session == Session::Confirmed
                && matches!(
                    state.call,
                    CallState::OutRequested | CallState::OutConfirmed
                )
                && state.ids.pns == message.word(2) =>
        {
            if message.byte(4) != GRANTED {
                state.call = CallState::None;
                return Some(Then::Nothing);
            }
            state.call = CallState::OutConfirmed;
            state.ids.pac = message.word(0);
            return Some(Then::Expect);
        }
        IN_REQUEST if state.session == Session::Confirmed => {
            state.call = CallState::InRequested;
            state.ids.pac = message.word(0);
        }
        IN_CONNECT
            if state.session == Session::Confirmed
                && matches!(state.call, CallState::InAnswered | CallState::InConfirmed)
                && state.ids.pns == message.word(0) =>
        {
            state.call = CallState::InConfirmed;
            return Some(Then::Expect);
        }
        DISCONNECT => {
            state.call = CallState::None;
            return Some(Then::End);
        }
        WAN_ERROR | LINK_INFO | ECHO_REQUEST | ECHO_REPLY => {}
        _ => return None,
    }
    Some(Then::Nothing)
}

/// The client's call id becomes the source port that the server sees (kernel `nf_nat_pptp.c`,
/// `pptp_outbound_pkt`).
fn outbound_id(state: &mut PptpState, call: &Call<'_, '_>, kind: u16) -> Option<(usize, u16)> {
    match kind {
        OUT_REQUEST => {
            state.own.pns = state.ids.pns;
            state.ids.pns = call.tuple(Direction::Reply).destination_word();
        }
        IN_REPLY | CLEAR_REQUEST => {}
        _ => return None,
    }
    Some((0, state.ids.pns))
}

/// And back (kernel `nf_nat_pptp.c`, `pptp_inbound_pkt`). In a notice of disconnection the server's own id stands at this
/// place, and is overwritten all the same.
fn inbound_id(state: &mut PptpState, _: &Call<'_, '_>, kind: u16) -> Option<(usize, u16)> {
    let at = match kind {
        OUT_REPLY => 2,
        IN_CONNECT | WAN_ERROR | DISCONNECT | LINK_INFO => 0,
        _ => return None,
    };
    Some((at, state.own.pns))
}

/// Expects the call from either side (kernel `exp_gre`, `pptp_exp_gre`). When that cannot be done the
/// message passes all the same.
fn expect_call(state: &mut PptpState, call: &mut Call<'_, '_>) {
    let ids = state.ids;
    let translated = call.translated();
    if translated {
        state.own.pac = ids.pac;
    }
    let own = if translated { state.own } else { ids };
    let ways = [
        // Client to server: source key, destination key, the key behind the translation.
        (Direction::Original, own.pns, ids.pac, ids.pns),
        (Direction::Reply, own.pac, ids.pns, own.pns),
    ];
    let mut made = Vec::new();
    for (direction, source, destination, saved) in ways {
        let tuple = call.tuple(direction);
        let mut proposal =
            Proposal::new(tuple.destination, destination, proto::GRE).from(tuple.source);
        proposal.source_port = Some(source);
        proposal.follow = Follow::Pptp;
        proposal.announced = 0..call.payload().len().min(HEADER + 4);
        if translated {
            proposal.direction = direction;
            proposal.saved_port = saved;
        }
        match call.expect(&proposal) {
            Ok(id) => made.push(id),
            Err(_) => {
                made.into_iter().for_each(|id| call.unexpect(id));
                return;
            }
        }
    }
    for (direction, source, destination, _) in ways {
        let tuple = call.tuple(direction);
        let addresses = (tuple.source, tuple.destination);
        if !call.gre_keys(direction, addresses, (source, destination)) {
            if direction == Direction::Reply {
                call.forget_gre_keys();
            }
            made.into_iter().for_each(|id| call.unexpect(id));
            return;
        }
    }
}

/// The tuples that a call's packets would have either way (kernel `pptp_destroy_siblings`).
fn calls(ids: &Ids, tuples: &[Tuple; 2]) -> [Tuple; 2] {
    let [original, reply] = tuples;
    [
        gre((original.source, ids.pns), (original.destination, ids.pac)),
        gre((reply.source, ids.pac), (reply.destination, ids.pns)),
    ]
}

fn gre(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Tuple {
    Tuple {
        source: source.0,
        destination: destination.0,
        protocol: proto::GRE,
        proto: TupleProto::Gre {
            source: source.1,
            destination: destination.1,
        },
    }
}

/// Ends a call, or takes back that it is expected (kernel `destroy_sibling_or_exp`).
fn end_call(call: &mut Call<'_, '_>, tuple: &Tuple) {
    if let Some(id) = call.other_connection(tuple) {
        call.kill(id);
    } else if let Some(id) = call.expected(tuple).map(|e| e.id) {
        call.unexpect(id);
    }
}

/// A control connection has ended; it is out of the table already.
pub(super) fn ended(table: &mut Conntrack, gone: &Connection) {
    let ids = match &gone.rare().helper_state {
        HelperState::Pptp(state) => state.ids,
        _ => Ids::default(),
    };
    // Whether what is found ended in the meantime does not matter: it goes.
    let always = Timestamp::default();
    let zones: [Zone; 2] = gone.zones();
    for tuple in calls(&ids, &gone.tuples()) {
        if let Some((index, _)) = table.find(&tuple, zones, always) {
            table.remove(index);
        } else if let Some(id) = table
            .expectations
            .find(&tuple, gone.zone_id(), always)
            .map(|e| e.id)
        {
            table.expectations.remove(id);
        }
    }
}

/// The call's first packet has come (kernel `pptp_expectfn`).
pub(super) fn arrived(follower: &mut Follower<'_>, expectation: &Expectation) {
    if !follower.master_translated() {
        if let (Some((source, _)), Some(key)) = (expectation.source, expectation.source_port) {
            let own = (source, key);
            let other = (expectation.destination, expectation.destination_port);
            follower.unexpect(&gre(other, own));
        }
        return;
    }
    // Kernel `pptp_nat_expected`. It looks for the client's own ids where the new connection would keep them, which
    // knows none: a call that the server begins leaves the client's expectation standing.
    let direction = expectation.direction;
    let ids = match direction {
        Direction::Original => follower.pptp_ids(),
        Direction::Reply => Ids::default(),
    };
    let Some(other) = follower.master_tuple(direction.opposite()) else {
        return;
    };
    let (from, to) = match direction {
        Direction::Original => (ids.pac, ids.pns),
        Direction::Reply => (ids.pns, ids.pac),
    };
    follower.unexpect(&gre((other.source, from), (other.destination, to)));
    let key = Some((expectation.saved_port, expectation.saved_port));
    let [source, destination] = match direction {
        Direction::Original => [key, None],
        Direction::Reply => [None, key],
    };
    for (address, ports, end) in [
        (other.destination, source, End::Source),
        (other.source, destination, End::Destination),
    ] {
        let range = nat::Range {
            ports,
            ..nat::Range::to(address)
        };
        follower.bind(&range, end);
    }
}

impl Follower<'_> {
    /// Call ids of the control connection, as the server sees them.
    fn pptp_ids(&self) -> Ids {
        match self
            .table
            .connection(self.master)
            .map(|c| &c.connection().rare().helper_state)
        {
            Some(HelperState::Pptp(state)) => state.ids,
            _ => Ids::default(),
        }
    }
}

#[cfg(test)]
mod tests;
