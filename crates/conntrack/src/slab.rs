//! Where entries live: in chunks, so that growing moves nothing but a small table, once, with what packets do not touch
//! apart.
//!
//! # Overview
//! A slot holds a connection or is free; a free slot's generation tells old handles from new. Beside the entries
//! stand their numbers and times of creation, their traffic (only if it is counted), their neighbours among
//! connections with the same source (only if addresses are translated), and for each the second before which it does
//! not end.
//!
//! # Bounds
//! 128 bytes an entry and 20 beside it; with `nf_conntrack_acct` 32 more, with translation 8.

use palisade_wire::Timestamp;
use prefetch_index::prefetch_index;

use crate::connection::{Connection, Deadline, Traffic};
use crate::nat::NONE;
use crate::tuple::Direction;

/// Entries in a chunk: 32 MiB, so that most of it can stand in huge pages, which are aligned. What is not used of it is
/// never touched.
const CHUNK: usize = 1 << 18;

/// Entries that the first chunk has room for at first, so that a small table asks for little; beyond, it moves once.
const FEW: usize = 1 << 13;

/// Seconds after which an entry is looked at again, however late it ends: who gives it at least so many from now need
/// not say that it ends earlier than it would have.
pub(crate) const LOOK_AGAIN: u64 = 60;

/// What packets do not touch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cold {
    /// 1, 2, 3 … in order of creation; for people and logs.
    pub(crate) number: u64,
    /// When the first packet came.
    pub(crate) created: Timestamp,
}

/// Entries by slot.
#[derive(Clone, Debug)]
pub(crate) struct Slab {
    chunks: Vec<Vec<Connection>>,
    cold: Vec<Vec<Cold>>,
    /// The second before which an entry surely does not end.
    due: Vec<Vec<u32>>,
    traffic: Vec<Vec<[Traffic; 2]>>,
    /// Neighbours in the chain of an original source: newer, older.
    sources: Vec<Vec<[u32; 2]>>,
    /// The first free slot; each names the next in the place of a mark.
    free: u32,
    slots: usize,
    counted: bool,
}

impl Slab {
    /// An empty slab; `counted` says whether it holds traffic.
    pub(crate) fn new(counted: bool) -> Self {
        Slab {
            chunks: Vec::new(),
            cold: Vec::new(),
            due: Vec::new(),
            traffic: Vec::new(),
            sources: Vec::new(),
            free: NONE,
            slots: 0,
            counted,
        }
    }

    /// Holds traffic from now on.
    pub(crate) fn count_traffic(&mut self) {
        if !self.counted {
            self.counted = true;
            let traffic = |chunk: &Vec<Connection>| {
                let mut traffic = Vec::with_capacity(chunk.capacity());
                traffic.resize(chunk.len(), Default::default());
                traffic
            };
            self.traffic = self.chunks.iter().map(traffic).collect();
        }
    }

    /// Slots, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Bytes that it holds: room that was never used is not memory yet.
    pub(crate) fn memory(&self) -> usize {
        let apart = |chunk: &Vec<Connection>| {
            let rare: usize = chunk.iter().map(Connection::memory_apart).sum();
            size_of_val(chunk.as_slice()) + rare
        };
        fn of<T>(parts: &[Vec<T>]) -> usize {
            parts.iter().map(|part| size_of_val(part.as_slice())).sum()
        }
        self.chunks.iter().map(apart).sum::<usize>()
            + of(&self.cold)
            + of(&self.due)
            + of(&self.traffic)
            + of(&self.sources)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Connection> {
        self.slot(index).filter(|c| c.occupied())
    }

    /// A slot, occupied or not.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Option<&Connection> {
        let (chunk, place) = place(index);
        self.chunks.get(chunk)?.get(place)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn slot_mut(&mut self, index: u32) -> Option<&mut Connection> {
        let (chunk, place) = place(index);
        self.chunks.get_mut(chunk)?.get_mut(place)
    }

    /// Has the first line of an entry brought near, or both.
    #[inline]
    pub(crate) fn fetch(&self, index: u32, both: bool) {
        let (chunk, place) = place(index);
        let Some(entries) = self.chunks.get(chunk) else {
            return;
        };
        match both {
            // Nothing is read, so it may be a place that is not there yet.
            false => prefetch_index(entries.as_slice(), place),
            true => {
                if let Some(connection) = entries.get(place) {
                    connection.fetch();
                }
            }
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        let (chunk, place) = place(index);
        let connection = self.chunks.get_mut(chunk)?.get_mut(place)?;
        connection.occupied().then_some(connection)
    }

    /// A free slot, and the generation of what will stand there: it is to be [`put`](Self::put) there at once.
    pub(crate) fn reserve(&mut self) -> (u32, u32) {
        let index = self.free;
        if let Some(slot) = self.slot(index) {
            let generation = slot.generation;
            self.free = slot.mark;
            // The one that comes next will be written to.
            self.fetch(self.free, true);
            return (index, generation);
        }
        let index = self.slots;
        self.slots += 1;
        if index.is_multiple_of(CHUNK) {
            let room = match index {
                0 => FEW,
                _ => CHUNK,
            };
            self.chunks.push(Vec::with_capacity(room));
            self.cold.push(Vec::with_capacity(room));
            self.due.push(Vec::with_capacity(room));
            if self.counted {
                self.traffic.push(Vec::with_capacity(room));
            }
        } else if index == FEW {
            self.chunks.iter_mut().take(1).for_each(make_whole);
            self.cold.iter_mut().take(1).for_each(make_whole);
            self.due.iter_mut().take(1).for_each(make_whole);
            self.traffic.iter_mut().take(1).for_each(make_whole);
        }
        (index as u32, 0)
    }

    /// Puts a connection into the slot that was reserved for it.
    pub(crate) fn put(&mut self, index: u32, connection: Connection, cold: Cold) {
        self.begin(index, |slot| *slot = connection, cold);
    }

    /// Has a connection begin in the slot that was reserved for it, where it stays: `begin` is given a free slot.
    #[inline(always)]
    pub(crate) fn begin(&mut self, index: u32, begin: impl FnOnce(&mut Connection), cold: Cold) {
        let (chunk, place) = place(index);
        let entries = &mut self.chunks[chunk];
        if place == entries.len() {
            entries.push(Connection::free());
        }
        begin(&mut entries[place]);
        set(&mut self.cold[chunk], place, cold);
        set(&mut self.due[chunk], place, 0);
        if self.counted {
            set(&mut self.traffic[chunk], place, Default::default());
        }
    }

    /// Takes a connection out.
    pub(crate) fn take(&mut self, index: u32) -> Option<Connection> {
        let next = self.free;
        let slot = self.get_mut(index)?;
        let taken = slot.take();
        slot.mark = next;
        self.free = index;
        Some(taken)
    }

    pub(crate) fn cold(&self, index: u32) -> Cold {
        let (chunk, place) = place(index);
        let cold = self.cold.get(chunk).and_then(|c| c.get(place));
        cold.copied().unwrap_or_default()
    }

    pub(crate) fn traffic(&self, index: u32) -> [Traffic; 2] {
        let (chunk, place) = place(index);
        let traffic = self.traffic.get(chunk).and_then(|c| c.get(place));
        traffic.copied().unwrap_or_default()
    }

    /// Sets what was counted, if traffic is counted.
    pub(crate) fn set_traffic(&mut self, index: u32, counted: [Traffic; 2]) {
        let (chunk, place) = place(index);
        let traffic = self.traffic.get_mut(chunk).and_then(|c| c.get_mut(place));
        if let Some(traffic) = traffic {
            *traffic = counted;
        }
    }

    /// Counts a packet of a direction, if traffic is counted (`nf_ct_acct_update`).
    #[inline(always)]
    pub(crate) fn count(&mut self, index: u32, direction: Direction, bytes: u64) {
        if !self.counted {
            return;
        }
        let (chunk, place) = place(index);
        let traffic = self.traffic.get_mut(chunk).and_then(|c| c.get_mut(place));
        if let Some(traffic) = traffic {
            let traffic = &mut traffic[direction.index()];
            traffic.packets += 1;
            traffic.bytes += bytes;
        }
    }

    /// Counts an entry's traffic anew.
    pub(crate) fn zero_traffic(&mut self, index: u32) {
        let (chunk, place) = place(index);
        let traffic = self.traffic.get_mut(chunk).and_then(|c| c.get_mut(place));
        if let Some(traffic) = traffic {
            *traffic = Default::default();
        }
    }

    /// The neighbours of a connection among those with its source.
    pub(crate) fn sources(&self, index: u32) -> [u32; 2] {
        let (chunk, place) = place(index);
        let links = self.sources.get(chunk).and_then(|c| c.get(place));
        links.copied().unwrap_or([NONE; 2])
    }

    /// Sets one of them: 0 the newer, 1 the older.
    pub(crate) fn set_source(&mut self, index: u32, which: usize, to: u32) {
        if index as usize >= self.slots {
            return;
        }
        let (chunk, place) = place(index);
        while self.sources.len() <= chunk {
            self.sources.push(Vec::new());
        }
        let links = &mut self.sources[chunk];
        if links.len() <= place {
            links.resize(place + 1, [NONE; 2]);
        }
        links[place][which] = to;
    }

    /// Notes that an entry may end earlier than it would have.
    pub(crate) fn hasten(&mut self, index: u32) {
        let Some(end) = self.get(index).map(|c| due(c, u32::MAX)) else {
            return;
        };
        let (chunk, place) = place(index);
        let due = &mut self.due[chunk][place];
        *due = end.min(*due);
    }

    /// Notes when an entry that was just confirmed is worth a look.
    #[inline]
    pub(crate) fn await_end(&mut self, index: u32, now: Timestamp) {
        let Some(end) = self.slot(index).map(|c| due(c, second(now))) else {
            return;
        };
        let (chunk, place) = place(index);
        self.due[chunk][place] = end;
    }

    /// Looks at some slots from `from` on for entries that ended; the slot to go on from.
    pub(crate) fn ended(
        &mut self,
        from: usize,
        count: usize,
        now: Timestamp,
        ended: &mut Vec<u32>,
    ) -> usize {
        let second = second(now);
        let (mut at, mut left) = (from, count.min(self.slots));
        while left > 0 {
            if at >= self.slots {
                at = 0;
            }
            let (chunk, first) = place(at as u32);
            let run = left.min(CHUNK - first).min(self.slots - at);
            let due = self.due[chunk].get(first..first + run).unwrap_or_default();
            // All of them, without a branch for each.
            let (sixteens, rest) = due.as_chunks::<16>();
            let of = |due: &[u32]| due.iter().map(|d| u32::from(*d <= second)).sum::<u32>();
            if sixteens.iter().map(|s| of(s)).sum::<u32>() + of(rest) != 0 {
                for place in first..first + run {
                    self.look_at(chunk, place, second, now, ended);
                }
            }
            (at, left) = (at + run, left - run);
        }
        at
    }

    /// Notes an entry that ended, or when it is worth another look.
    fn look_at(
        &mut self,
        chunk: usize,
        place: usize,
        until: u32,
        now: Timestamp,
        ended: &mut Vec<u32>,
    ) {
        if self.due[chunk][place] > until {
            return;
        }
        let Some(connection) = self.chunks[chunk].get(place) else {
            return;
        };
        if !connection.occupied() {
            self.due[chunk][place] = u32::MAX;
        } else if connection.expired(now) {
            ended.push((chunk * CHUNK + place) as u32);
        } else {
            self.due[chunk][place] = due(connection, second(now));
        }
    }
}

/// Gives a chunk all of its room. It is asked for anew, since memory that merely grows gets no huge pages.
fn make_whole<T>(chunk: &mut Vec<T>) {
    let mut whole = Vec::with_capacity(CHUNK);
    whole.append(chunk);
    *chunk = whole;
}

/// Puts something into a place of a chunk, or behind its last.
#[inline]
fn set<T>(chunk: &mut Vec<T>, place: usize, to: T) {
    match chunk.get_mut(place) {
        Some(slot) => *slot = to,
        None => chunk.push(to),
    }
}

#[inline]
fn place(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

/// Whole seconds of a clock, as far as they are told apart here.
fn second(time: Timestamp) -> u32 {
    u32::try_from(time.0 / 1_000_000_000).unwrap_or(u32::MAX)
}

/// The second before which an entry does not end, or is looked at again; one that is not confirmed is at once.
fn due(connection: &Connection, looked: u32) -> u32 {
    match connection.deadline() {
        Deadline::At(end) => second(end).min(looked.saturating_add(LOOK_AGAIN as u32)),
        Deadline::AfterConfirm(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::{Tuple, TupleProto};
    use palisade_wire::proto;

    #[test]
    fn a_small_table_that_grows_keeps_what_it_has_and_then_moves_no_more() {
        let key = |n: u32| {
            let proto = TupleProto::Ports {
                source: n as u16,
                destination: 53,
            };
            let ends = [10 << 24 | n, 0xc000_0201].map(|a| std::net::Ipv4Addr::from(a).into());
            let [source, destination] = ends;
            let protocol = proto::UDP;
            Tuple {
                source,
                destination,
                protocol,
                proto,
            }
            .key()
        };
        let mut slab = Slab::new(true);
        let count = FEW as u32 + 3;
        let mut places = Vec::new();
        for n in 0..count {
            let (index, generation) = slab.reserve();
            let cold = Cold {
                number: n.into(),
                created: Timestamp(7),
            };
            slab.begin(
                index,
                |slot| slot.begin(&key(n), generation, Timestamp(n.into())),
                cold,
            );
            slab.count(index, Direction::Reply, n.into());
            slab.hasten(index);
            places.push(std::ptr::from_ref(slab.slot(index).unwrap()));
        }
        for n in 0..count {
            assert_eq!(slab.get(n).map(Connection::key), Some(key(n)));
            assert_eq!(slab.cold(n).number, n.into());
            assert_eq!(slab.traffic(n)[1].bytes, n.into());
        }
        let last = slab.slot(count - 1).map(std::ptr::from_ref);
        assert_eq!(last, places.last().copied());
        assert_eq!(slab.chunks.len(), 1);
        assert!(slab.chunks[0].capacity() >= CHUNK && slab.cold[0].capacity() >= CHUNK);
        assert!(
            slab.memory() < FEW * 256,
            "room that was never used is no memory"
        );
    }
}
