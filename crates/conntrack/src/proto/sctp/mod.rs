//! SCTP (kernel `nf_conntrack_proto_sctp.c`): states, transitions as data, verification tags.
//!
//! A packet is a train of chunks. All of them are looked at for what may stand together, then they
//! move the association one after the other; the packet is INVALID at the first that does not fit, and what
//! those before it changed stays changed, as in the kernel.

pub mod fault;
pub mod machine;

pub use fault::{SctpFault, SctpIgnored};
pub use machine::SctpState;

use palisade_wire::proto;
use palisade_wire::sctp::{Chunk, Sctp, checksum, chunk};

use super::{Context, Update};
use crate::config::Config;
use crate::connection::{Connection, Status};
use crate::reason::{Ignored, Invalid};
use crate::tuple::Direction;
use machine::{MOVERS, next, timeout};

/// An association as a middlebox knows it (kernel `struct ip_ct_sctp`). Arrays are by
/// [`Direction::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpAssociation {
    /// State.
    pub state: SctpState,
    /// The verification tag that packets of a direction carry; 0 while it is not known.
    pub tags: [u32; 2],
    /// An INIT came in that direction and no COOKIE ACK since.
    pub init: [bool; 2],
    /// A HEARTBEAT with a wrong tag was let pass, in that direction: the answer may carry a new tag.
    pub odd_heartbeat: Option<Direction>,
}

impl SctpAssociation {
    pub(crate) fn new(tags: [u32; 2]) -> Self {
        SctpAssociation {
            state: SctpState::None,
            tags,
            init: [false; 2],
            odd_heartbeat: None,
        }
    }
}

impl SctpAssociation {
    /// As an entry of the table holds it: both tags, the state, and marks as bits.
    pub(crate) fn pack(&self) -> [u32; 14] {
        let odd = match self.odd_heartbeat {
            None => 0,
            Some(Direction::Original) => 1,
            Some(Direction::Reply) => 2,
        };
        let mut words = [0; 14];
        [words[0], words[1]] = self.tags;
        words[2] = self.state as u32;
        words[3] = u32::from(self.init[0]) | u32::from(self.init[1]) << 1 | odd << 2;
        words
    }

    /// What was packed.
    pub(crate) fn unpack(words: &[u32; 14]) -> Self {
        let state = SctpState::ALL.get(words[2] as usize);
        SctpAssociation {
            state: state.copied().unwrap_or(SctpState::None),
            tags: [words[0], words[1]],
            init: [words[3] & 1 != 0, words[3] & 2 != 0],
            odd_heartbeat: match words[3] >> 2 {
                1 => Some(Direction::Original),
                2 => Some(Direction::Reply),
                _ => None,
            },
        }
    }
}

/// Which chunk types a packet holds.
#[derive(Clone, Copy, Default)]
struct Kinds([u64; 4]);

impl Kinds {
    fn set(&mut self, kind: u8) {
        self.0[usize::from(kind >> 6)] |= 1 << (kind & 63);
    }

    fn has(&self, kind: u8) -> bool {
        self.0[usize::from(kind >> 6)] >> (kind & 63) & 1 != 0
    }

    fn first_of(&self, kinds: &[u8]) -> Option<u8> {
        kinds.iter().copied().find(|k| self.has(*k))
    }
}

/// Chunks that cannot start an association (RFC 9260 §8.4).
const NEVER_FIRST: [u8; 3] = [chunk::ABORT, chunk::SHUTDOWN_COMPLETE, chunk::COOKIE_ACK];

/// Chunks that have a rule of their own about the verification tag.
const OWN_TAG_RULE: [u8; 7] = [
    chunk::INIT,
    chunk::SHUTDOWN_COMPLETE,
    chunk::COOKIE_ECHO,
    chunk::ABORT,
    chunk::SHUTDOWN_ACK,
    chunk::HEARTBEAT,
    chunk::HEARTBEAT_ACK,
];

/// Kernel `sctp_error`: header and CRC32c.
fn check<'p>(context: &Context<'_, 'p>) -> Result<Sctp<'p>, Invalid> {
    let transport = context.packet.transport();
    let Some(sctp) = Sctp::new(transport) else {
        return Err(Invalid::ShortHeader {
            protocol: proto::SCTP,
            have: transport.len(),
            need: Sctp::HEADER_LEN,
        });
    };
    if context.verify && !context.packet.is_truncated() {
        let (found, wanted) = (sctp.checksum(), checksum(transport));
        if found != wanted {
            return Err(Invalid::Checksum {
                protocol: proto::SCTP,
                found,
                wanted,
            });
        }
    }
    Ok(sctp)
}

/// Kernel `do_basic_checks`: what may stand together.
fn together(sctp: &Sctp<'_>) -> Result<Kinds, SctpFault> {
    let mut kinds = Kinds::default();
    let mut alone = None;
    let mut count = 0;
    for chunk in sctp.walk() {
        count += 1;
        let kind = chunk.kind;
        if alone.is_none()
            && matches!(
                kind,
                chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE
            )
        {
            alone = Some(kind);
        }
        if count > 1 {
            if matches!(kind, chunk::COOKIE_ACK | chunk::COOKIE_ECHO) {
                return Err(SctpFault::NotFirst { kind, place: count });
            }
            if let Some(kind) = alone {
                return Err(SctpFault::NotAlone { kind, place: count });
            }
        }
        if chunk.length == 0 {
            return Err(SctpFault::ZeroLength { kind, place: count });
        }
        kinds.set(kind);
    }
    if count == 0 {
        return Err(SctpFault::NoChunk {
            have: sctp.chunks().len(),
        });
    }
    Ok(kinds)
}

/// Kernel `sctp_new`: the association that a packet starts.
fn start(sctp: &Sctp<'_>) -> Result<SctpAssociation, SctpFault> {
    let tag = sctp.verification_tag();
    let mut tags = [0; 2];
    for chunk in sctp.walk() {
        let kind = chunk.kind;
        if !MOVERS.contains(&kind) {
            return Err(SctpFault::CannotStart { kind });
        }
        match kind {
            chunk::INIT => {
                if tag != 0 {
                    return Err(SctpFault::Tag {
                        kind: Some(kind),
                        have: tag,
                        need: 0,
                    });
                }
                tags[Direction::Reply.index()] = init_tag(&chunk)?;
            }
            chunk::HEARTBEAT => tags[Direction::Original.index()] = tag,
            // The answer to a SHUTDOWN ACK out of nowhere reflects its tag (RFC 9260 §8.4 rule 5).
            chunk::SHUTDOWN_ACK => tags[Direction::Reply.index()] = tag,
            _ => {}
        }
    }
    Ok(SctpAssociation::new(tags))
}

fn init_tag(chunk: &Chunk<'_>) -> Result<u32, SctpFault> {
    chunk.init_tag().ok_or(SctpFault::ShortInit {
        kind: chunk.kind,
        have: chunk.behind_header(),
    })
}

/// Kernel `nf_conntrack_sctp_packet`.
pub(crate) fn update(
    connection: &mut Connection,
    context: &Context<'_, '_>,
    direction: Direction,
) -> Update {
    let sctp = match check(context) {
        Ok(sctp) => sctp,
        Err(why) => return Update::Invalid(why),
    };
    match judge(connection, &sctp, direction, context.config) {
        Ok(update) => update,
        Err(fault) => Update::Invalid(Invalid::Sctp(fault)),
    }
}

fn judge(
    connection: &mut Connection,
    sctp: &Sctp<'_>,
    direction: Direction,
    config: &Config,
) -> Result<Update, SctpFault> {
    let kinds = together(sctp)?;
    let confirmed = connection.confirmed();
    if !confirmed {
        if let Some(kind) = kinds.first_of(&NEVER_FIRST) {
            return Err(SctpFault::CannotStart { kind });
        }
        connection.set_sctp(&start(sctp)?);
    }
    let Some(mut association) = connection.sctp() else {
        return Ok(Update::Invalid(Invalid::WrongFamily {
            protocol: proto::SCTP,
        }));
    };
    let status = &mut connection.status;
    let walked = walk(&mut association, status, &kinds, sctp, direction, confirmed);
    connection.set_sctp(&association);
    let ignored = walked?;
    let state = association.state;
    Ok(Update::Valid {
        timeout: ignored.is_none().then(|| timeout(state, config)),
        ignored: ignored.map(Ignored::Sctp),
    })
}

/// All chunks, one after the other; why the packet is let pass, if it is no more than that.
fn walk(
    association: &mut SctpAssociation,
    status: &mut Status,
    kinds: &Kinds,
    sctp: &Sctp<'_>,
    direction: Direction,
    confirmed: bool,
) -> Result<Option<SctpIgnored>, SctpFault> {
    let have = sctp.verification_tag();
    let need = association.tags[direction.index()];
    if kinds.first_of(&OWN_TAG_RULE).is_none() && have != need {
        return Err(SctpFault::Tag {
            kind: None,
            have,
            need,
        });
    }
    let mut ignored = None;
    for chunk in sctp.walk() {
        match association.tag_rule(&chunk, have, direction, kinds, ignored.is_some())? {
            TagRule::Kept => {}
            TagRule::Ignored(why) => {
                ignored = Some(why);
                continue;
            }
        }
        let old = association.state;
        let state = next(direction, chunk.kind, old).ok_or(SctpFault::Transition {
            kind: chunk.kind,
            direction,
            state: old,
        })?;
        match chunk.kind {
            chunk::INIT => {
                association.init(init_tag(&chunk)?, direction);
                let closed = SctpState::Closed;
                if confirmed && old == closed && state == closed {
                    ignored = Some(SctpIgnored::InitAgain);
                }
            }
            chunk::INIT_ACK => association.init_ack(init_tag(&chunk)?, direction)?,
            _ => {}
        }
        association.state = state;
        if state == SctpState::Established && old != state {
            status.set(Status::ASSURED);
        }
    }
    Ok(ignored)
}

/// What a chunk's rule about the verification tag says.
enum TagRule {
    /// It is kept.
    Kept,
    /// It is not, and the chunk is let pass without a look at its transition.
    Ignored(SctpIgnored),
}

impl SctpAssociation {
    /// The rule of one chunk about the verification tag (RFC 9260 §8.5.1), which may also teach the tag.
    fn tag_rule(
        &mut self,
        chunk: &Chunk<'_>,
        have: u32,
        direction: Direction,
        kinds: &Kinds,
        ignored: bool,
    ) -> Result<TagRule, SctpFault> {
        let kind = chunk.kind;
        let (mine, theirs) = (direction.index(), direction.opposite().index());
        let known = self.tags[mine];
        let must_be = |need: u32| {
            if have == need {
                Ok(TagRule::Kept)
            } else {
                Err(SctpFault::Tag {
                    kind: Some(kind),
                    have,
                    need,
                })
            }
        };
        let wrong_heartbeat = SctpFault::HeartbeatTag { kind, have, known };
        match kind {
            chunk::INIT => must_be(0),
            chunk::ABORT | chunk::SHUTDOWN_COMPLETE if chunk.reflects_tag() => {
                must_be(self.tags[theirs])
            }
            chunk::ABORT | chunk::SHUTDOWN_COMPLETE | chunk::COOKIE_ECHO => must_be(known),
            chunk::COOKIE_ACK => {
                self.init = [false; 2];
                Ok(TagRule::Kept)
            }
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if known == 0 => {
                self.tags[mine] = have;
                Ok(TagRule::Kept)
            }
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if have == known => {
                self.odd_heartbeat = None;
                Ok(TagRule::Kept)
            }
            chunk::HEARTBEAT | chunk::HEARTBEAT_ACK if kinds.has(chunk::DATA) || ignored => {
                Err(wrong_heartbeat)
            }
            chunk::HEARTBEAT => {
                self.odd_heartbeat = Some(direction);
                Ok(TagRule::Ignored(SctpIgnored::Heartbeat { have, known }))
            }
            // The answer to a HEARTBEAT that was let pass: a new association on the old addresses.
            chunk::HEARTBEAT_ACK => {
                if self.odd_heartbeat != Some(direction.opposite()) {
                    return Err(wrong_heartbeat);
                }
                self.odd_heartbeat = None;
                self.tags[mine] = have;
                self.tags[theirs] = 0;
                Ok(TagRule::Kept)
            }
            _ => Ok(TagRule::Kept),
        }
    }

    /// An INIT announces its sender's tag, which is what packets of the other direction carry.
    fn init(&mut self, tag: u32, direction: Direction) {
        let (mine, theirs) = (direction.index(), direction.opposite().index());
        // One that repeats the known tag is an old one or the same again, not a second beginning.
        if self.state == SctpState::None || self.tags[theirs] != tag {
            if self.init == [true; 2] {
                self.init[theirs] = false;
            }
            self.init[mine] = true;
        }
        self.tags[theirs] = tag;
    }

    /// So does an INIT ACK, but it may not change a tag for which nobody asked.
    fn init_ack(&mut self, tag: u32, direction: Direction) -> Result<(), SctpFault> {
        let theirs = direction.opposite().index();
        let known = self.tags[theirs];
        let unasked = !self.init[theirs] && known != 0;
        let collision = self.init == [true; 2];
        if known != tag && (unasked || collision) {
            return Err(SctpFault::InitAckTag {
                have: tag,
                known,
                collision,
            });
        }
        self.tags[theirs] = tag;
        Ok(())
    }
}
