//! How a connection enters the table (kernel `__nf_conntrack_confirm`).

use palisade_wire::Timestamp;

use crate::connection::{ConnId, Connection, Deadline, Status};
use crate::entry::{Known, link};
use crate::index::Link;
use crate::proto::clash_allowed;
use crate::table::Conntrack;
use crate::tuple::Direction;

impl Conntrack {
    /// Kernel `__nf_conntrack_confirm`: into the hash, unless a living entry holds a tuple. Of protocols that
    /// allow it, a packet whose very tuples another entry has, the same way or the other way round, becomes
    /// that entry's, which is returned (kernel `nf_ct_resolve_clash`).
    ///
    /// # Errors
    /// The clash cannot be resolved: the packet must be dropped. The entry is gone.
    pub(crate) fn confirm(&mut self, id: ConnId, now: Timestamp) -> Result<Option<ConnId>, ()> {
        let Some(connection) = self.slab.get(id.index) else {
            return Err(());
        };
        let (zones, single) = (connection.zones(), connection.single());
        let key = connection.key();
        if !self.others.is_empty() && self.held_by_others(id, now) {
            self.remove(id.index);
            return Err(());
        }
        if single && zones == [0; 2] {
            return self.confirm_under(id, self.hash(&key, 0), now);
        }
        let first = self.hash(&key, zones[0]);
        let (mut second, mut holder) = (first, self.search(&key, first, zones, now));
        if holder.is_none()
            && let Some(connection) = self.slab.get(id.index)
        {
            let reply = connection.tuple(Direction::Reply).key();
            if !single {
                second = self.hash(&reply, zones[1]);
            }
            // Those that stand under one of their tuples only may have this one.
            holder = self.search(&reply, second, zones, now);
        }
        if let Some((holder, _)) = holder {
            return self.clash(id, holder);
        }
        self.enter(first, link(id.index, Direction::Original));
        if !single {
            self.doubles += 1;
            self.split += usize::from(zones[0] != zones[1]);
            self.enter(second, link(id.index, Direction::Reply));
        }
        self.confirmed(id, now);
        Ok(None)
    }

    /// As [`confirm_under`](Self::confirm_under), of a connection whose original tuple no other has.
    pub(crate) fn confirm_first(
        &mut self,
        id: ConnId,
        hash: u64,
        now: Timestamp,
    ) -> Result<Option<ConnId>, ()> {
        // Those that stand under one of their tuples only may have the other one.
        if self.doubles != 0 || !self.others.is_empty() {
            return self.confirm_under(id, hash, now);
        }
        self.enter(hash, link(id.index, Direction::Original));
        self.confirmed(id, now);
        Ok(None)
    }

    /// As [`confirm`](Self::confirm), of a connection both of whose tuples stand under one hash, outside of any zone.
    pub(crate) fn confirm_under(
        &mut self,
        id: ConnId,
        hash: u64,
        now: Timestamp,
    ) -> Result<Option<ConnId>, ()> {
        let Some(key) = self.slab.get(id.index).map(Connection::key) else {
            return Err(());
        };
        let mut holder = self.search(&key, hash, [0; 2], now);
        // Those that stand under one of their tuples only may have the other one.
        if holder.is_none()
            && self.doubles != 0
            && let Some(inverse) = key.inverse()
        {
            holder = self.search(&inverse, hash, [0; 2], now);
        }
        if let Some((holder, _)) = holder {
            return self.clash(id, holder);
        }
        self.enter(hash, link(id.index, Direction::Original));
        self.confirmed(id, now);
        Ok(None)
    }

    /// Puts an entry that nobody asks about into the index.
    pub(crate) fn enter_all(&mut self, id: ConnId) {
        let Some(connection) = self.slab.get(id.index) else {
            return;
        };
        let (zones, single) = (connection.zones(), connection.single());
        let (key, reply) = (connection.key(), connection.tuple(Direction::Reply).key());
        self.enter(
            self.hash(&key, zones[0]),
            link(id.index, Direction::Original),
        );
        if !single {
            self.doubles += 1;
            self.split += usize::from(zones[0] != zones[1]);
            self.enter(
                self.hash(&reply, zones[1]),
                link(id.index, Direction::Reply),
            );
        }
    }

    #[inline]
    fn enter(&mut self, hash: u64, link: Link) {
        let known = Known {
            slab: &self.slab,
            seed: self.config.hash_seed,
        };
        self.index.insert(hash, link, &known);
    }

    #[inline]
    fn confirmed(&mut self, id: ConnId, now: Timestamp) {
        if let Some(connection) = self.slab.get_mut(id.index) {
            connection.status.set(Status::CONFIRMED);
            if let Deadline::AfterConfirm(seconds) = connection.deadline() {
                connection.renew(seconds, now);
            }
        }
        self.slab.await_end(id.index, now);
        self.stats.inserted += 1;
    }

    /// An unconfirmed connection one of whose tuples another one has.
    fn clash(&mut self, id: ConnId, holder: u32) -> Result<Option<ConnId>, ()> {
        let own = self.slab.get(id.index);
        let own = own.map(|c| (c.tuples(), c.zones()));
        self.remove(id.index);
        let (Some((tuples, zones)), Some(holder)) = (own, self.entry(holder)) else {
            return Err(());
        };
        let (theirs, [a, b]) = (holder.tuples(), holder.zones());
        let alike = theirs == tuples && [a, b] == zones;
        let reverse = theirs == [tuples[1], tuples[0]] && [b, a] == zones;
        if clash_allowed(tuples[0].protocol) && (alike || reverse) {
            Ok(Some(holder.id()))
        } else {
            Err(())
        }
    }
}
