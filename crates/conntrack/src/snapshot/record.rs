//! The records of a snapshot: what each field is.

use std::sync::Arc;
use std::time::Duration;

use palisade_wire::{Timestamp, proto};

use super::{In, Out};
use crate::connection::{ConnId, Connection, Deadline, ProtoState, Proxied, Status, Traffic};
use crate::entry::Entry;
use crate::expect::{ExpectId, Expectation, Follow};
use crate::helper::HelperState;
use crate::nat::seqadj::Shift;
use crate::proto::gre;
use crate::slab::Cold;
use crate::table::Conntrack;
use crate::tuple::Direction;
use palisade_wire::SeqNumber;

/// Kinds of records.
pub(super) mod kind {
    pub(in super::super) const CONNECTION: u8 = 1;
    pub(in super::super) const EXPECTATION: u8 = 2;
    pub(in super::super) const CALL_KEY: u8 = 3;
    pub(in super::super) const END: u8 = 255;
}

/// Fields of a connection.
mod field {
    pub(super) const NUMBER: u8 = 1;
    /// Nanoseconds ago.
    pub(super) const CREATED: u8 = 2;
    pub(super) const ORIGINAL: u8 = 3;
    /// Where it is not the inverse of the original tuple.
    pub(super) const REPLY: u8 = 4;
    pub(super) const ZONES: u8 = 5;
    pub(super) const STATUS: u8 = 6;
    /// Nanoseconds.
    pub(super) const LEFT: u8 = 7;
    pub(super) const MARK: u8 = 8;
    /// Words as `proto/tcp/packed.rs` and `SctpAssociation::pack` have them.
    pub(super) const WORDS: u8 = 9;
    /// From when on replies make a UDP flow a stream: nanoseconds from now, and whether they are over.
    pub(super) const STREAM: u8 = 10;
    pub(super) const TRAFFIC: u8 = 11;
    pub(super) const HELPER: u8 = 12;
    pub(super) const HELPER_STATE: u8 = 13;
    pub(super) const MASTER: u8 = 14;
    pub(super) const MASTER_HELPER: u8 = 15;
    pub(super) const MASTER_TUPLE: u8 = 16;
    pub(super) const MASQUERADE: u8 = 17;
    pub(super) const POLICY: u8 = 18;
    pub(super) const ANNOUNCED: u8 = 19;
    pub(super) const LABELS: u8 = 20;
    pub(super) const SHIFTS: u8 = 21;
    pub(super) const PROXIED: u8 = 22;
}

/// Status bits that a connection of a table has or may have.
const STATUS: u16 = 0b0010_0101_1111_1111;

fn since(later: Timestamp, earlier: Timestamp) -> u64 {
    later.0.saturating_sub(earlier.0)
}

/// Writes a connection.
pub(super) fn connection(entry: Entry<'_>, policy: Option<&str>, now: Timestamp, out: &mut Out) {
    let connection = entry.connection();
    let [original, reply] = connection.tuples();
    out.field(field::NUMBER, |out| out.u64(entry.number()));
    out.field(field::CREATED, |out| out.u64(since(now, entry.created())));
    out.field(field::ORIGINAL, |out| out.tuple(&original));
    if original.invert() != Some(reply) {
        out.field(field::REPLY, |out| out.tuple(&reply));
    }
    let zones = connection.zones();
    if zones != [0; 2] {
        out.field(field::ZONES, |out| {
            zones.iter().for_each(|zone| out.u16(*zone))
        });
    }
    out.field(field::STATUS, |out| out.u16(connection.status.0));
    if let Deadline::At(end) = connection.deadline() {
        out.field(field::LEFT, |out| out.u64(since(end, now)));
    }
    if connection.mark != 0 {
        out.field(field::MARK, |out| out.u32(connection.mark));
    }
    match connection.proto() {
        ProtoState::Tcp(_) | ProtoState::Sctp(_) => out.field(field::WORDS, |out| {
            connection.part().iter().for_each(|word| out.u32(*word));
        }),
        ProtoState::Udp { stream_from } => out.field(field::STREAM, |out| {
            out.byte(u8::from(stream_from <= now));
            out.u64(stream_from.0.abs_diff(now.0));
        }),
        ProtoState::Gre | ProtoState::Icmp | ProtoState::Generic => {}
    }
    let traffic = entry.traffic();
    if traffic != [Traffic::default(); 2] {
        out.field(field::TRAFFIC, |out| {
            for traffic in traffic {
                out.u64(traffic.packets);
                out.u64(traffic.bytes);
            }
        });
    }
    if connection.is_plain() {
        return;
    }
    let rare = connection.rare();
    let mut text = |number, text: Option<&str>| {
        if let Some(text) = text {
            out.field(number, |out| out.text(text));
        }
    };
    text(field::HELPER, rare.helper);
    text(field::MASTER_HELPER, rare.master_helper);
    text(field::MASQUERADE, rare.masquerade.as_deref());
    text(field::POLICY, policy);
    if rare.helper_state != HelperState::None {
        out.field(field::HELPER_STATE, |out| rare.helper_state.save(out));
    }
    if let Some(master) = rare.master {
        out.field(field::MASTER, |out| out.u64(master));
    }
    if let Some(tuple) = &rare.master_tuple {
        out.field(field::MASTER_TUPLE, |out| out.tuple(tuple));
    }
    if let Some((helper, text)) = &rare.announced {
        out.field(field::ANNOUNCED, |out| {
            out.text(helper);
            out.text(text);
        });
    }
    if connection.labels() != 0 {
        out.field(field::LABELS, |out| out.u128(connection.labels()));
    }
    if let Some(shifts) = &rare.shifts {
        out.field(field::SHIFTS, |out| {
            for shift in shifts {
                out.u32(shift.position.0);
                out.u32(shift.before as u32);
                out.u32(shift.after as u32);
            }
        });
    }
    if let Some(proxied) = connection.proxied() {
        out.field(field::PROXIED, |out| {
            for word in [proxied.isn, proxied.stamp, proxied.ahead] {
                out.u32(word);
            }
        });
    }
}

/// A connection that was read.
pub(super) struct Saved {
    pub(super) connection: Connection,
    pub(super) cold: Cold,
    pub(super) traffic: [Traffic; 2],
}

impl Saved {
    pub(super) fn read(mut fields: In<'_>, table: &Conntrack, now: Timestamp) -> Option<Saved> {
        // What it begins with says what it is.
        let number = expect(&mut fields, field::NUMBER)?.u64()?;
        let created = expect(&mut fields, field::CREATED)?.u64()?;
        let original = expect(&mut fields, field::ORIGINAL)?.tuple()?;
        let mut connection = Connection::new(&original.key(), [0; 2], 0, now);
        let mut traffic = [Traffic::default(); 2];
        let mut left = None;
        let mut status = None;
        while !fields.is_empty() {
            let (number, mut value) = fields.field()?;
            let value = &mut value;
            match number {
                field::REPLY => {
                    let reply = value.tuple()?;
                    if reply.protocol != original.protocol || reply.family() != original.family() {
                        return None;
                    }
                    connection.set_reply(reply);
                }
                field::ZONES => connection.set_zones([value.u16()?, value.u16()?]),
                field::STATUS => status = Some(value.u16()?),
                field::LEFT => left = Some(value.u64()?),
                field::MARK => connection.mark = value.u32()?,
                field::WORDS => {
                    let mut words = [0; 14];
                    for word in &mut words {
                        *word = value.u32()?;
                    }
                    if !matches!(original.protocol, proto::TCP | proto::SCTP) {
                        return None;
                    }
                    *connection.part_mut() = words;
                }
                field::STREAM => {
                    let (over, by) = (value.flag()?, value.u64()?);
                    let stream_from = match over {
                        true => now.0.saturating_sub(by),
                        false => now.0.saturating_add(by),
                    };
                    if original.protocol != proto::UDP {
                        return None;
                    }
                    let stream_from = Timestamp(stream_from);
                    connection.set_proto(&ProtoState::Udp { stream_from });
                }
                field::TRAFFIC => {
                    for traffic in &mut traffic {
                        (traffic.packets, traffic.bytes) = (value.u64()?, value.u64()?);
                    }
                }
                _ => rare(number, value, &mut connection, table)?,
            }
            value.ends()?;
        }
        let status = status.filter(|bits| bits & !STATUS == 0)?;
        connection.status = Status(status);
        connection.status.set(Status::CONFIRMED);
        let left = Duration::from_nanos(left?);
        connection.set_deadline(Deadline::At(now + left));
        Some(Saved {
            connection,
            cold: Cold {
                number: (1..u64::MAX).contains(&number).then_some(number)?,
                created: Timestamp(now.0.saturating_sub(created)),
            },
            traffic,
        })
    }
}

fn expect<'a>(fields: &mut In<'a>, number: u8) -> Option<In<'a>> {
    let (found, value) = fields.field()?;
    (found == number).then_some(value)
}

/// A field that few connections have.
fn rare(
    number: u8,
    value: &mut In<'_>,
    connection: &mut Connection,
    table: &Conntrack,
) -> Option<()> {
    match number {
        field::HELPER => connection.rare_mut().helper = Some(value.helper()?),
        field::HELPER_STATE => connection.rare_mut().helper_state = HelperState::load(value)?,
        field::MASTER => connection.rare_mut().master = Some(value.u64()?),
        field::MASTER_HELPER => connection.rare_mut().master_helper = Some(value.helper()?),
        field::MASTER_TUPLE => connection.rare_mut().master_tuple = Some(value.tuple()?),
        field::MASQUERADE => connection.rare_mut().masquerade = Some(value.text()?.into()),
        // One that the settings do not have any more has no say.
        field::POLICY => connection.rare_mut().policy = table.policy(value.text()?),
        field::ANNOUNCED => {
            let helper = value.helper()?;
            let text = Arc::from(value.text()?);
            connection.rare_mut().announced = Some((helper, text));
        }
        field::LABELS => connection.set_labels(value.u128()?),
        field::SHIFTS => {
            let mut shifts = [Shift::default(); 2];
            for shift in &mut shifts {
                shift.position = SeqNumber(value.u32()?);
                shift.before = value.u32()? as i32;
                shift.after = value.u32()? as i32;
            }
            connection.rare_mut().shifts = Some(shifts);
        }
        field::PROXIED => {
            connection.set_proxied();
            let [isn, stamp, ahead] = [value.u32()?, value.u32()?, value.u32()?];
            *connection.proxied_mut()? = Proxied { isn, stamp, ahead };
        }
        _ => return None,
    }
    Some(())
}

/// What is done with connections that fulfil an expectation, in the order of their numbers.
const FOLLOW: [Follow; 6] = [
    Follow::Nothing,
    Follow::Master,
    Follow::Sip,
    Follow::Pptp,
    Follow::Q931,
    Follow::CallForwarding,
];

/// Writes an expectation: all of its fields have a place.
pub(super) fn expectation(of: &Expectation, master: u64, now: Timestamp, out: &mut Out) {
    let option = |out: &mut Out, there: bool| out.byte(u8::from(there));
    out.u64(of.id.0);
    out.u64(master);
    out.text(of.helper);
    out.byte(of.class);
    option(out, of.source.is_some());
    if let Some((net, length)) = of.source {
        out.address(net);
        out.byte(length);
    }
    option(out, of.source_port.is_some());
    out.u16(of.source_port.unwrap_or(0));
    out.address(of.destination);
    out.u16(of.destination_port);
    out.byte(of.protocol);
    out.u16(of.zone);
    out.u64(since(of.deadline, now));
    option(out, of.permanent);
    option(out, of.inactive);
    option(out, of.assign.is_some());
    if let Some(helper) = of.assign {
        out.text(helper);
    }
    let follow = FOLLOW.iter().position(|follow| *follow == of.follow);
    out.byte(follow.unwrap_or(0) as u8);
    out.byte(of.direction as u8);
    option(out, of.saved_address.is_some());
    if let Some(address) = of.saved_address {
        out.address(address);
    }
    out.u16(of.saved_port);
    out.text(&of.announced);
}

fn direction(input: &mut In<'_>) -> Option<Direction> {
    match input.flag()? {
        false => Some(Direction::Original),
        true => Some(Direction::Reply),
    }
}

/// An expectation that was read; its parent is told by its number.
pub(super) struct SavedExpectation {
    pub(super) expectation: Expectation,
}

impl SavedExpectation {
    pub(super) fn read(mut input: In<'_>, now: Timestamp) -> Option<Self> {
        let input = &mut input;
        let expectation = Expectation {
            id: ExpectId(input.u64().filter(|id| *id < u64::MAX)?),
            master: NOBODY,
            parent: input.u64()?,
            helper: input.helper()?,
            class: input.byte()?,
            source: match input.flag()? {
                true => Some((input.address()?, input.byte().filter(|l| *l <= 128)?)),
                false => None,
            },
            source_port: {
                let there = input.flag()?;
                let port = input.u16()?;
                there.then_some(port)
            },
            destination: input.address()?,
            destination_port: input.u16()?,
            protocol: input.byte()?,
            zone: input.u16()?,
            deadline: now + Duration::from_nanos(input.u64()?),
            permanent: input.flag()?,
            inactive: input.flag()?,
            assign: match input.flag()? {
                true => Some(input.helper()?),
                false => None,
            },
            follow: *FOLLOW.get(usize::from(input.byte()?))?,
            direction: direction(input)?,
            saved_address: match input.flag()? {
                true => Some(input.address()?),
                false => None,
            },
            saved_port: input.u16()?,
            announced: input.text()?.to_owned(),
        };
        input.ends()?;
        Some(SavedExpectation { expectation })
    }
}

/// Writes a call's key.
pub(super) fn call_key(key: &gre::Key, master: u64, out: &mut Out) {
    out.u64(master);
    out.byte(key.direction as u8);
    out.address(key.source);
    out.address(key.destination);
    out.u16(key.source_key);
    out.u16(key.destination_key);
}

/// A call's key that was read.
pub(super) struct SavedKey {
    pub(super) master: u64,
    pub(super) key: gre::Key,
}

impl SavedKey {
    pub(super) fn read(mut input: In<'_>) -> Option<Self> {
        let input = &mut input;
        let master = input.u64()?;
        let key = gre::Key {
            master: NOBODY,
            direction: direction(input)?,
            source: input.address()?,
            destination: input.address()?,
            source_key: input.u16()?,
            destination_key: input.u16()?,
        };
        input.ends()?;
        Some(SavedKey { master, key })
    }
}

/// The parent of what has none yet.
const NOBODY: ConnId = ConnId {
    index: u32::MAX,
    generation: 0,
};
