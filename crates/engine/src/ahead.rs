//! Looking ahead: what packets of a batch will need is brought near while those before them are judged.
//!
//! # Overview
//! Packets are judged in groups of [`GROUP`]. While one is, the next one's entries are on their way, the lines of the
//! index of the one behind it, and the bytes of those that come then. Each of these can only be asked for when the one
//! before has come: bytes give the flow, the flow the line, the line the entry.
//!
//! ```text
//! judged | guessed: entries come | looked at: lines come | asked for: bytes come …
//!    n          n + 1                    n + 2                12 packets
//! ```
//!
//! A processor waits for so many lines of memory at a time, and drops what is asked for beyond; so no more is asked for
//! than it can, a little with each group.
//!
//! Nothing of it changes anything, and nothing that was seen is believed: who judges a packet looks again.

use palisade_conntrack::Flow;
use palisade_rules::Family;
use palisade_wire::Plain;
use prefetch_index::prefetch_index;

use crate::Engine;
use crate::batch::Arrival;

/// Packets that are worked on together.
pub(crate) const GROUP: usize = 8;

/// Groups that were guessed, and groups that were looked at, when one is judged; it is one of them.
const GUESSED: usize = 1;
const LOOKED: usize = 2;

/// Packets whose bytes are asked for before they are looked at.
const FETCHED: usize = 12;

/// Groups that are somewhere between the first look and the last.
const PARTS: usize = 4;

const _: () = assert!(GUESSED < LOOKED && LOOKED < PARTS && PARTS.is_power_of_two());

/// Where the headers of most packets have ended.
const HEADERS: usize = 40;

/// A packet that may take the short way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) flow: Flow,
    /// The slot that its connection most likely has, once the index was read.
    pub(crate) slot: u32,
}

impl Ready {
    /// Of no packet.
    const NONE: Ready = Ready {
        flow: Flow::NONE,
        slot: 0,
    };
}

/// A group of packets, as far as they may take the short way.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    ready: [Ready; GROUP],
    /// A bit for each that may.
    plain: u32,
}

impl Part {
    /// All packets, whether they may or not.
    #[inline(always)]
    pub(crate) fn all(&self) -> &[Ready; GROUP] {
        &self.ready
    }

    /// Whether packet number `at` may.
    #[inline(always)]
    pub(crate) fn may(&self, at: usize) -> bool {
        self.plain >> at & 1 != 0
    }

    /// Packet number `at`, if it may.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize) -> Option<&Ready> {
        self.ready.get(at).filter(|_| self.may(at))
    }
}

/// What was seen of the packets that are soon to be judged. It shares no line of memory with that of another shard, nor
/// two lines that are fetched together.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Stage {
    parts: [Part; PARTS],
}

impl Default for Stage {
    fn default() -> Self {
        let none = Part {
            ready: [Ready::NONE; GROUP],
            plain: 0,
        };
        Stage {
            parts: std::array::from_fn(|_| none.clone()),
        }
    }
}

impl Stage {
    /// What was seen of a group.
    #[inline(always)]
    pub(crate) fn part(&mut self, number: usize) -> &mut Part {
        &mut self.parts[number % PARTS]
    }
}

impl Engine {
    /// Looks at the first packets of a batch, as far as [`look_ahead`](Self::look_ahead) goes on from.
    #[inline(never)]
    pub(crate) fn begin(&self, batch: &[Arrival<'_>], open: [bool; 2], stage: &mut Stage) {
        for arrival in batch.iter().take(FETCHED) {
            fetch(arrival);
        }
        for number in 0..LOOKED {
            self.look_at(batch, number * GROUP, stage.part(number), open);
        }
        for number in 0..GUESSED {
            self.guess_at(stage.part(number));
        }
    }

    /// Before group `number` is judged: looks at those of the batch behind it, `rest`.
    #[inline(never)]
    pub(crate) fn look_ahead(
        &self,
        number: usize,
        rest: &[Arrival<'_>],
        open: [bool; 2],
        stage: &mut Stage,
    ) {
        let first = (LOOKED - 1) * GROUP;
        self.look_at(rest, first, stage.part(number + LOOKED), open);
        self.guess_at(stage.part(number + GUESSED));
    }

    /// Looks at a group, which begins with packet `first` of `batch`, and has the lines of the index brought near.
    #[inline(always)]
    fn look_at(&self, batch: &[Arrival<'_>], first: usize, part: &mut Part, open: [bool; 2]) {
        let (group, next) = (group_at(batch, first), group_at(batch, first + FETCHED));
        let mut plain = 0;
        for (at, (arrival, ready)) in group.iter().zip(&mut part.ready).enumerate() {
            if let Some(next) = next.get(at) {
                fetch(next);
            }
            plain |= u32::from(self.see(arrival.bytes, open, ready)) << at;
        }
        part.plain = plain;
    }

    /// Reads the index for a group, and has its entries brought near.
    #[inline(always)]
    fn guess_at(&self, part: &mut Part) {
        for (at, ready) in part.ready.iter_mut().enumerate() {
            if part.plain >> at & 1 != 0 {
                ready.slot = self.conntrack.guess(&ready.flow);
                self.conntrack.fetch_entry(ready.slot, &ready.flow);
            }
        }
    }

    /// Looks at a packet; whether it is plain enough.
    #[inline(always)]
    fn see(&self, bytes: &[u8], open: [bool; 2], ready: &mut Ready) -> bool {
        match Plain::family(bytes) {
            Some(family) if !open[family as usize] => false,
            Some(Family::V4) => self.see_plain(Plain::v4(bytes), bytes, ready),
            Some(Family::V6) => self.see_v6(bytes, ready),
            None => false,
        }
    }

    #[inline(never)]
    fn see_v6(&self, bytes: &[u8], ready: &mut Ready) -> bool {
        self.see_plain(Plain::v6(bytes), bytes, ready)
    }

    #[inline(always)]
    fn see_plain(&self, plain: Option<Plain>, bytes: &[u8], ready: &mut Ready) -> bool {
        let Some(plain) = plain else {
            return false;
        };
        ready.flow = self.conntrack.flow(plain, bytes);
        self.conntrack.fetch_line(&ready.flow);
        true
    }

    /// A packet that is not one of a batch, if it may take the short way.
    pub(crate) fn look_alone(&self, bytes: &[u8], open: [bool; 2]) -> Option<Ready> {
        let mut ready = Ready::NONE;
        self.see(bytes, open, &mut ready).then(|| Ready {
            slot: self.conntrack.guess(&ready.flow),
            ..ready
        })
    }
}

/// Has the headers of a packet brought near.
#[inline(always)]
fn fetch(arrival: &Arrival<'_>) {
    let bytes = &*arrival.bytes;
    prefetch_index(bytes, 0);
    // Nothing is read, so it may lie behind the packet.
    prefetch_index(bytes, HEADERS);
}

/// The packets of a batch from a place on, a group at most.
#[inline(always)]
fn group_at<'a, 'b>(batch: &'a [Arrival<'b>], from: usize) -> &'a [Arrival<'b>] {
    let rest = batch.get(from..).unwrap_or_default();
    rest.get(..GROUP).unwrap_or(rest)
}
