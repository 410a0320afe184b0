//! The end of a packet's way through tracking: helper and confirmation after the last hook, or its end before.

use palisade_wire::{Buffer, Timestamp};

use crate::State;
use crate::connection::{ConnId, Status};
use crate::expect::Refused;
use crate::helper::{self, Call, Surroundings, Word};
use crate::nat::seqadj;
use crate::reason::DropReason;
use crate::table::Conntrack;
use crate::track::{Announced, Leave, Track};
use crate::tuple::Direction;

impl Conntrack {
    /// Kernel `nf_confirm`: after the last hook, the helper reads the packet (and may rewrite its payload),
    /// sequence numbers are shifted where payload grew or shrank, then a new connection enters the
    /// table. Call [`discard`](Self::discard) when the packet is gone: a connection that it ended goes with it.
    pub fn leave(
        &mut self,
        buffer: &mut Buffer<'_>,
        track: &mut Track,
        surroundings: &dyn Surroundings,
        now: Timestamp,
    ) -> Leave {
        let mut leave = Leave::default();
        let Some(id) = track.connection else {
            return leave;
        };
        let Some(connection) = self.connection(id) else {
            return leave;
        };
        // Only errors about the original direction's packets are kept from a helper. Those about replies, and
        // answers that REJECT makes to replies, it takes for packets of its own protocol, as the kernel's does.
        let about = track.state == State::Related && track.direction == Direction::Reply;
        // Decided before the helper speaks: the segment that it changes is not shifted itself.
        let shifted = connection.status.has(Status::SEQ_ADJUST) && !about && !surroundings.looped();
        if !about && let Some(name) = connection.helper() {
            let asked = self.ask_helper(name, buffer, track, surroundings, now);
            leave.announced = asked.announced;
            if let Word::Drop(why) = asked.word {
                leave.drop = Some(DropReason::Helper {
                    helper: name,
                    why: match asked.limited {
                        Some((refused, text)) if refused.reason() == why => text,
                        _ => why.to_string(),
                    },
                });
                return leave;
            }
        }
        if shifted
            && let Some(connection) = self.connection(id)
            && let Some(shifts) = &connection.rare().shifts
            && !seqadj::adjust(buffer, shifts, track.direction)
        {
            leave.drop = Some(DropReason::Options);
            return leave;
        }
        let fresh = track.fresh && !track.dying && track.direction == Direction::Original;
        if fresh {
            leave.drop = entered(track, self.confirm(id, now)).err();
        }
        if self.watched() && leave.drop.is_none() {
            self.passed(id, fresh, now);
        }
        leave
    }

    fn ask_helper(
        &mut self,
        name: &'static str,
        buffer: &mut Buffer<'_>,
        track: &Track,
        surroundings: &dyn Surroundings,
        now: Timestamp,
    ) -> Asked {
        let pass = Asked {
            word: Word::Pass,
            announced: None,
            limited: None,
        };
        let Some(id) = track.connection else {
            return pass;
        };
        let Some(connection) = self.connection_mut(id) else {
            return pass;
        };
        let (tuples, status) = (connection.tuples(), connection.status);
        let Some(info) = helper::for_tuple(name, &tuples[0]) else {
            return pass;
        };
        let mut state = std::mem::take(&mut connection.rare_mut().helper_state);
        let mut call = Call {
            table: self,
            buffer,
            surroundings,
            id,
            info,
            state: track.state,
            direction: track.direction,
            tuples,
            status,
            now,
            announced: Vec::new(),
            limited: None,
        };
        let word = helper::inspect(info, &mut state, &mut call);
        let (announced, limited) = (call.announced.into_iter().next(), call.limited);
        if let Some(connection) = self.connection_mut(id) {
            connection.rare_mut().helper_state = state;
        }
        Asked {
            word,
            announced,
            limited,
        }
    }

    /// Ends a connection at once (kernel `nf_ct_kill`).
    pub fn kill(&mut self, id: ConnId) {
        if self.connection(id).is_some() {
            self.remove(id.index);
        }
    }

    /// The packet is gone: with it goes an entry that it made and that was not confirmed, and one that it
    /// ended.
    pub fn discard(&mut self, track: &Track) {
        if let Some(id) = track.connection
            && (track.fresh || track.dying)
            && self
                .connection(id)
                .is_some_and(|c| !c.confirmed() || c.status.has(Status::DYING))
        {
            self.remove(id.index);
        }
    }
}

/// What a packet's connection is after its confirmation.
pub(crate) fn entered(
    track: &mut Track,
    confirmed: Result<Option<ConnId>, ()>,
) -> Result<(), DropReason> {
    let holder = confirmed.map_err(|()| DropReason::Clash)?;
    track.fresh = false;
    if holder.is_some() {
        track.connection = holder;
    }
    Ok(())
}

/// A helper's answer.
struct Asked {
    word: Word,
    announced: Option<Announced>,
    /// The limit that the last refusal was about.
    limited: Option<(Refused, String)>,
}
