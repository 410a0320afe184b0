//! The table of nf_tables that hands packets over, made and removed by netlink.
//!
//! # Overview
//! ```text
//! table inet palisade {
//!     chain prerouting  { type filter hook prerouting  priority -450; iif lo accept; queue … }
//!     chain input       { type filter hook input       priority -450; carried? queue … }
//!     chain output      { type route  hook output      priority -450; mark == own mark set 0 accept; queue … }
//!     chain postrouting { type filter hook postrouting priority -450; carried? queue … }
//! }
//! ```
//! Before reassembly and connection tracking of the kernel, which are neither needed nor disturbed. A packet that is to come
//! back behind routing is let go with one bit of its mark; a chain directly behind ours turns that into a security mark
//! ([`Sign::Security`]), so that routing by marks sees the mark that rules gave. Where security marks belong to somebody, the bit
//! stays.
//!
//! A copy of a broadcast that this host sent comes in again by the interface that it left by; it is told by having a route already, and
//! was judged when it was made. With
//! [`Mode::Host`] only what the kernel holds for its own is handed over in `prerouting`, and what comes to `input`
//! all the same is dropped there.
//!
//! # Life cycle
//! Everything is made in one transaction. The table outlives its maker: packets for queues that nobody listens to are dropped
//! (unless `fail_open`), which is the gate that stays shut. A new start replaces the old table in one transaction too: hooks of
//! the new one are there before those of the old one go, so that no packet passes unseen. A table of which a queue still has a
//! listener is left alone.

use std::collections::BTreeSet;
use std::io;

use super::{Error, Mode};
use crate::netlink::{Message, Protocol, Socket, attribute, be32, flag, text};

/// Subsystem of nf_tables in the kinds of netfilter's messages.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DELETE_TABLE: u16 = SUBSYSTEM << 8 | 2;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

const INET: u8 = 1;

/// Hooks by the kernel's numbers.
pub(super) mod hook {
    pub(crate) const PREROUTING: u8 = 0;
    pub(crate) const INPUT: u8 = 1;
    pub(crate) const OUTPUT: u8 = 3;
    pub(crate) const POSTROUTING: u8 = 4;
}

/// Names of hooks by the kernel's numbers.
const HOOKS: [&str; 6] = [
    "prerouting",
    "input",
    "forward",
    "output",
    "postrouting",
    "ingress",
];

/// Before reassembly (-400), `raw` (-300) and connection tracking (-200).
const PRIORITY: i32 = -450;

/// The loopback interface has this number in every namespace (kernel `LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// What the kernel holds for its own: local, broadcast, anycast, multicast (kernel `rtnetlink.h`).
const OWN: [u32; 4] = [2, 3, 4, 5];

/// The key of a frame's kind in expressions `meta`, which is one byte.
const FRAME: u32 = 19;

/// The key of security marks in expressions `meta`.
const SECURITY: u32 = 14;

/// The first general register.
const REGISTER: u32 = 8;
/// The register of verdicts.
const VERDICT: u32 = 0;

/// What the table does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) name: String,
    pub(super) mode: Mode,
    /// The first queue, and how many.
    pub(super) queues: (u16, u16),
    /// The mark of packets that this process sends.
    pub(super) own: u32,
    /// The bit of the mark of packets that are to come back before they leave.
    pub(super) carried: u32,
    /// What they are told by between.
    pub(super) sign: Sign,
    /// Packets pass when nobody listens.
    pub(super) fail_open: bool,
}

/// What packets that are to come back are told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// The bit of their mark.
    Mark,
    /// This security mark, which the bit is turned into.
    Security(u32),
}

/// What stands in a table's comment before the queues.
const COMMENT: &str = "palisade, queues ";

/// Makes it, in place of one that an ended process left (`stale`, as [`free_or_stale`] said before queues were bound).
///
/// # Errors
/// The kernel refuses, as it does if such a table has come up meanwhile.
pub(super) fn install(layout: &Layout, stale: bool) -> Result<(), Error> {
    let mut socket = Socket::open(Protocol::Netfilter, 0)?;
    let mut made = Ok(());
    // What this kernel may lack comes first.
    let ways = [Queueing::Own, Queueing::Extension]
        .into_iter()
        .flat_map(|how| [(how, layout.sign), (how, Sign::Mark)]);
    for (how, sign) in ways {
        let layout = &Layout {
            sign,
            ..layout.clone()
        };
        let mut message = Message::new();
        begin(&mut message, &mut socket);
        if stale {
            delete(&mut message, &mut socket, &layout.name);
        }
        write(&mut message, &mut socket, layout, how);
        made = finish(&mut message, &mut socket);
        // The kernel has no such expression, or no such key of one.
        match made.as_ref().map_err(io::Error::raw_os_error) {
            Err(Some(libc::ENOENT | libc::EOPNOTSUPP)) => {}
            _ => break,
        }
    }
    made.map_err(Error::Table)
}

/// What queues packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queueing {
    /// nf_tables' own expression `queue`.
    Own,
    /// The target NFQUEUE of iptables, within nf_tables: of kernels built without the former.
    Extension,
}

/// Removes it; that it is gone already is no error.
///
/// # Errors
/// The kernel refuses.
pub(super) fn remove(name: &str) -> io::Result<()> {
    let mut socket = Socket::open(Protocol::Netfilter, 0)?;
    let mut message = Message::new();
    begin(&mut message, &mut socket);
    delete(&mut message, &mut socket, name);
    match finish(&mut message, &mut socket) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done,
    }
}

/// Whether a table of this name is there, left by a process that has ended.
///
/// # Errors
/// It is somebody's who is there, or nobody's of ours.
pub(super) fn free_or_stale(name: &str) -> Result<bool, Error> {
    let mut socket = Socket::open(Protocol::Netfilter, 0)?;
    let Some(comment) = comment(&mut socket, name).map_err(Error::Table)? else {
        return Ok(false);
    };
    let queues = comment.strip_prefix(COMMENT).and_then(|queues| {
        let (first, last) = queues.split_once('-')?;
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    });
    let Some(queues) = queues else {
        return Err(Error::ForeignTable(name.to_owned()));
    };
    let heard = listened()?;
    match heard.iter().find(|queue| queues.contains(queue)) {
        Some(queue) => Err(Error::Running {
            table: name.to_owned(),
            queue: *queue,
        }),
        None => Ok(true),
    }
}

/// The comment of a table; empty of one without; `None`: there is no such table.
fn comment(socket: &mut Socket, name: &str) -> io::Result<Option<String>> {
    let sequence = socket.next_sequence();
    let mut message = Message::new();
    message
        .begin(GET_TABLE, flag::REQUEST | flag::ACK, sequence)
        .netfilter(INET, 0)
        .text(1, name);
    socket.send(&message)?;
    let mut found = None;
    loop {
        for received in socket.receive()? {
            if received.sequence != sequence {
                continue;
            }
            match received.error() {
                Some(0) => return Ok(found),
                Some(libc::ENOENT) => return Ok(None),
                Some(code) => return Err(io::Error::from_raw_os_error(code)),
                None => {
                    let body = received.body.get(4..).unwrap_or_default();
                    // As nft writes it: kind (a comment is 0), length, text.
                    let comment = attribute(body, 6).and_then(|data| match data {
                        [0, length, rest @ ..] => rest.get(..usize::from(*length)),
                        _ => None,
                    });
                    found = Some(comment.map(text).unwrap_or_default());
                }
            }
        }
    }
}

/// Queues that a process listens to.
///
/// # Errors
/// The kernel does not say (it has no NFQUEUE).
pub(super) fn listened() -> Result<BTreeSet<u16>, Error> {
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    Ok(super::status::lines()?.lines().filter_map(first).collect())
}

/// A base chain of somebody else that packets pass too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    pub(super) table: String,
    pub(super) chain: String,
    pub(super) hook: &'static str,
    pub(super) priority: i32,
}

/// All base chains of IP tables of others.
///
/// # Errors
/// The kernel refuses.
pub(super) fn others(own: &str) -> io::Result<Vec<Other>> {
    let mut socket = Socket::open(Protocol::Netfilter, 0)?;
    let mut found = Vec::new();
    socket.dump(GET_CHAIN, &[0; 4], |received| {
        let family = received.body.first().copied().unwrap_or_default();
        let body = received.body.get(4..).unwrap_or_default();
        let name = |kind| attribute(body, kind).map(text).unwrap_or_default();
        let place = attribute(body, 4);
        let number = |kind| place.and_then(|p| attribute(p, kind)).and_then(be32);
        let (Some(at), Some(priority)) = (number(1), number(2)) else {
            return;
        };
        let ip = matches!(family, INET | 2 | 10);
        if ip && !(family == INET && name(1) == own) {
            found.push(Other {
                table: name(1),
                chain: name(3),
                hook: HOOKS.get(at as usize).copied().unwrap_or("?"),
                priority: priority as i32,
            });
        }
    })?;
    Ok(found)
}

fn begin(message: &mut Message, socket: &mut Socket) {
    message
        .begin(BATCH_BEGIN, flag::REQUEST, socket.next_sequence())
        .netfilter(0, SUBSYSTEM);
}

/// Ends the transaction and has it carried out. Its last order asks for an answer; refused ones answer themselves.
fn finish(message: &mut Message, socket: &mut Socket) -> io::Result<()> {
    let last = socket.next_sequence();
    message
        .begin(BATCH_END, flag::REQUEST | flag::ACK, last)
        .netfilter(0, SUBSYSTEM);
    socket.order(message, last)
}

fn delete(message: &mut Message, socket: &mut Socket, name: &str) {
    message
        .begin(DELETE_TABLE, flag::REQUEST, socket.next_sequence())
        .netfilter(INET, 0)
        .text(1, name);
}

fn write(message: &mut Message, socket: &mut Socket, layout: &Layout, how: Queueing) {
    let (first, count) = layout.queues;
    let comment = format!("{COMMENT}{first}-{}", first + (count - 1));
    let mut data = vec![0, comment.len() as u8 + 1];
    data.extend(comment.as_bytes());
    data.push(0);
    message
        .begin(
            NEW_TABLE,
            flag::REQUEST | flag::CREATE | flag::EXCLUSIVE,
            socket.next_sequence(),
        )
        .netfilter(INET, 0)
        .text(1, &layout.name)
        .be32(2, 0)
        .put(6, &data);
    let chains = [
        ("prerouting", "filter", hook::PREROUTING, PRIORITY),
        ("input", "filter", hook::INPUT, PRIORITY),
        // Where a changed mark has the way asked for anew.
        ("output", "route", hook::OUTPUT, PRIORITY),
        ("postrouting", "filter", hook::POSTROUTING, PRIORITY),
        ("sign", "filter", hook::PREROUTING, PRIORITY + 1),
        ("clear_input", "filter", hook::INPUT, PRIORITY + 1),
        ("clear_output", "filter", hook::POSTROUTING, PRIORITY + 1),
    ];
    let wanted = match layout.sign {
        Sign::Mark => 4,
        Sign::Security(_) => chains.len(),
    };
    for (name, kind, hook, priority) in chains.into_iter().take(wanted) {
        message
            .begin(
                NEW_CHAIN,
                flag::REQUEST | flag::CREATE,
                socket.next_sequence(),
            )
            .netfilter(INET, 0)
            .text(1, &layout.name)
            .text(3, name)
            .nest(4, |m| {
                m.be32(1, u32::from(hook)).be32(2, priority as u32);
            })
            .text(7, kind);
    }
    let mut rule = |chain: &str, parts: &[Part]| {
        message
            .begin(
                NEW_RULE,
                flag::REQUEST | flag::CREATE | flag::APPEND,
                socket.next_sequence(),
            )
            .netfilter(INET, 0)
            .text(1, &layout.name)
            .text(2, chain)
            .nest(4, |m| parts.iter().for_each(|part| part.write(m)));
    };
    let queue = Part::Queue {
        first,
        count,
        bypass: layout.fail_open,
        how,
    };
    // A packet that is to come back is never waved through.
    let back = Part::Queue {
        first,
        count,
        bypass: false,
        how,
    };
    let bit = Part::Marked {
        mask: layout.carried,
        value: layout.carried,
    };
    let carried = match layout.sign {
        Sign::Mark => bit,
        Sign::Security(value) => {
            rule(
                "sign",
                &[bit, Part::Clear(layout.carried), Part::Sign(value)],
            );
            for chain in ["clear_input", "clear_output"] {
                rule(chain, &[Part::Signed(value), Part::Sign(0)]);
            }
            Part::Signed(value)
        }
    };
    let by_loopback = Part::InterfaceIs(LOOPBACK);
    rule("prerouting", &[by_loopback, Part::Accept]);
    if layout.mode == Mode::Router {
        // Most packets need not be asked what follows.
        rule("prerouting", &[Part::Frame(libc::PACKET_HOST), queue]);
    }
    for (family, frame) in [
        (libc::NFPROTO_IPV4, libc::PACKET_BROADCAST),
        (libc::NFPROTO_IPV4, libc::PACKET_MULTICAST),
        (libc::NFPROTO_IPV6, libc::PACKET_MULTICAST),
    ] {
        rule(
            "prerouting",
            &[
                Part::Frame(frame),
                Part::Sourced(OWN[0]),
                Part::Routed(family),
                Part::Accept,
            ],
        );
    }
    rule("input", &[by_loopback, Part::Accept]);
    rule("input", &[carried, back]);
    match layout.mode {
        Mode::Router => rule("prerouting", &[queue]),
        Mode::Host => {
            for kind in OWN {
                rule("prerouting", &[Part::Destined(kind), queue]);
                rule("input", &[Part::Destined(kind), Part::Accept]);
            }
            rule("input", &[Part::Counter, Part::Drop]);
        }
    }
    rule(
        "output",
        &[
            Part::Marked {
                mask: u32::MAX,
                value: layout.own,
            },
            Part::Unmark,
            Part::Accept,
        ],
    );
    rule("output", &[queue]);
    rule("postrouting", &[carried, back]);
}

/// A part of a rule.
#[derive(Clone, Copy)]
enum Part {
    /// It came by the interface of this number.
    InterfaceIs(u32),
    /// The mark, under a mask.
    Marked {
        mask: u32,
        value: u32,
    },
    /// Routing holds its destination for this kind of address.
    Destined(u32),
    /// It came in a frame of this kind, a copy of this host's own as its destination says.
    Frame(u8),
    /// As `Destined`, its source.
    Sourced(u32),
    /// It is of this family and has a route already.
    Routed(libc::c_int),
    /// These bits of the mark become zero.
    Clear(u32),
    /// It has this security mark.
    Signed(u32),
    /// It gets this security mark.
    Sign(u32),
    /// The mark becomes zero.
    Unmark,
    Counter,
    Accept,
    Drop,
    Queue {
        first: u16,
        count: u16,
        bypass: bool,
        how: Queueing,
    },
}

impl Part {
    fn write(&self, message: &mut Message) {
        match *self {
            Part::InterfaceIs(index) => {
                meta(message, 4);
                equal(message, index);
            }
            Part::Marked { mask, value } => {
                meta(message, 3);
                if mask != u32::MAX {
                    and(message, mask);
                }
                equal(message, value);
            }
            Part::Clear(bits) => {
                meta(message, 3);
                and(message, !bits);
                set_meta(message, 3);
            }
            Part::Signed(value) => {
                meta(message, SECURITY);
                equal(message, value);
            }
            Part::Sign(value) => {
                immediate(message, value);
                set_meta(message, SECURITY);
            }
            Part::Frame(kind) => {
                meta(message, FRAME);
                expression(message, "cmp", |m| {
                    m.be32(1, REGISTER).be32(2, 0).nest(3, |m| {
                        m.put(1, &[kind]);
                    });
                });
            }
            Part::Sourced(kind) => {
                // As `Destined`, of the source (flag 1).
                expression(message, "fib", |m| {
                    m.be32(1, REGISTER).be32(2, 3).be32(3, 1);
                });
                equal(message, kind);
            }
            Part::Routed(family) => {
                // Loading the next hop of a packet without one ends the rule.
                let key = if family == libc::NFPROTO_IPV4 { 1 } else { 2 };
                expression(message, "rt", |m| {
                    m.be32(1, REGISTER).be32(2, key);
                });
            }
            Part::Destined(kind) => {
                // The kind of address (result 3) of the destination (flag 2).
                expression(message, "fib", |m| {
                    m.be32(1, REGISTER).be32(2, 3).be32(3, 2);
                });
                equal(message, kind);
            }
            Part::Unmark => {
                immediate(message, 0);
                set_meta(message, 3);
            }
            Part::Counter => expression(message, "counter", |_| {}),
            Part::Accept => verdict(message, libc::NF_ACCEPT as u32),
            Part::Drop => verdict(message, libc::NF_DROP as u32),
            Part::Queue {
                first,
                count,
                bypass,
                how: Queueing::Own,
            } => expression(message, "queue", |m| {
                m.be16(1, first).be16(2, count).be16(3, u16::from(bypass));
            }),
            Part::Queue {
                first,
                count,
                bypass,
                how: Queueing::Extension,
            } => expression(message, "target", |m| {
                // Revision 3 (kernel `xt_NFQ_info_v3`): first queue, how many, flags; padded.
                let mut data = [0; 8];
                for (field, value) in
                    data.chunks_exact_mut(2)
                        .zip([first, count, u16::from(bypass)])
                {
                    field.copy_from_slice(&value.to_ne_bytes());
                }
                m.text(1, "NFQUEUE").be32(2, 3).put(3, &data);
            }),
        }
    }
}

fn expression(message: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    message.nest(1, |m| {
        m.text(1, name).nest(2, data);
    });
}

/// Loads what is known of the packet by a key.
fn meta(message: &mut Message, key: u32) {
    expression(message, "meta", |m| {
        m.be32(1, REGISTER).be32(2, key);
    });
}

/// Puts what was loaded there.
fn set_meta(message: &mut Message, key: u32) {
    expression(message, "meta", |m| {
        m.be32(2, key).be32(3, REGISTER);
    });
}

/// Loads a number.
fn immediate(message: &mut Message, value: u32) {
    expression(message, "immediate", |m| {
        m.be32(1, REGISTER).nest(2, |m| {
            m.put(1, &value.to_ne_bytes());
        });
    });
}

/// Leaves these bits of what was loaded.
fn and(message: &mut Message, mask: u32) {
    expression(message, "bitwise", |m| {
        m.be32(1, REGISTER).be32(2, REGISTER).be32(3, 4);
        m.nest(4, |m| {
            m.put(1, &mask.to_ne_bytes());
        });
        m.nest(5, |m| {
            m.put(1, &[0; 4]);
        });
    });
}

/// Goes on if what was loaded is this.
fn equal(message: &mut Message, value: u32) {
    expression(message, "cmp", |m| {
        m.be32(1, REGISTER).be32(2, 0).nest(3, |m| {
            m.put(1, &value.to_ne_bytes());
        });
    });
}

fn verdict(message: &mut Message, code: u32) {
    expression(message, "immediate", |m| {
        m.be32(1, VERDICT).nest(2, |m| {
            m.nest(2, |m| {
                m.be32(1, code);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes;

    fn layout(mode: Mode) -> Layout {
        Layout {
            name: "palisade".into(),
            mode,
            queues: (100, 2),
            own: 0x1234_5678,
            carried: 1 << 31,
            sign: Sign::Security(5),
            fail_open: false,
        }
    }

    #[test]
    fn a_table_is_one_transaction_with_every_hook() {
        // Needs no rights: nothing is sent.
        let mut socket = Socket::open(Protocol::Netfilter, 0).unwrap();
        for (mode, how, rules) in [
            (Mode::Router, Queueing::Own, 14),
            (Mode::Host, Queueing::Extension, 21),
        ] {
            let mut message = Message::new();
            begin(&mut message, &mut socket);
            write(&mut message, &mut socket, &layout(mode), how);
            let kinds: Vec<u16> = crate::netlink::messages(message.bytes())
                .map(|m| m.kind)
                .collect();
            assert_eq!(kinds.first(), Some(&BATCH_BEGIN));
            assert_eq!(kinds.iter().filter(|k| **k == NEW_TABLE).count(), 1);
            assert_eq!(kinds.iter().filter(|k| **k == NEW_CHAIN).count(), 7);
            assert_eq!(kinds.iter().filter(|k| **k == NEW_RULE).count(), rules);
            for message in crate::netlink::messages(message.bytes()) {
                let read: usize = attributes(&message.body[4..])
                    .map(|(_, v)| (v.len() + 4).next_multiple_of(4))
                    .sum();
                assert_eq!(read, message.body.len() - 4);
            }
        }
    }
}
