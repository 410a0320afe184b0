//! Who watches connections (`conntrack -E`): what happens is recorded while somebody does, and handed to everyone.
//!
//! # Life cycle
//! The first seat has the table record events, with the last one it stops. Whoever looks takes what was recorded and lays it on
//! all seats; nobody misses what another one took.
//!
//! # Bounds
//! [`MOST`] events lie on a seat; what comes when so many do is counted and lost for that seat.
//!
//! # Locking
//! The seats' lock before the gate's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use palisade_engine::conntrack::events::Happened;

use crate::Gate;

/// Events that lie on a seat.
const MOST: usize = 65_536;

/// What lies on a seat.
#[derive(Debug, Default)]
pub(super) struct Lying {
    pub(super) happened: VecDeque<Arc<Happened>>,
    pub(super) lost: u64,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: Vec<(u64, Lying)>,
}

/// Everyone who watches.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Seats>);

/// A seat, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    number: u64,
    watchers: &'a Watchers,
    gate: &'a Gate,
}

impl Watchers {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        // What a panic left lying is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat; what happens from now on comes to lie on it.
    pub(super) fn sit<'a>(&'a self, gate: &'a Gate) -> Seat<'a> {
        let mut seats = self.seats();
        if seats.taken.is_empty() {
            gate.with(|engine, _| engine.set_events(true));
        }
        let number = seats.next;
        seats.next += 1;
        seats.taken.push((number, Lying::default()));
        Seat {
            number,
            watchers: self,
            gate,
        }
    }
}

impl Seat<'_> {
    /// What lies here.
    pub(super) fn take(&self) -> Lying {
        let mut seats = self.watchers.seats();
        let taken = self.gate.with(|engine, now| {
            // What ended by its timeout is told when it is collected.
            engine.expire(now);
            engine.take_events()
        });
        for happened in taken.happened {
            let happened = Arc::new(happened);
            for (_, lying) in &mut seats.taken {
                if lying.happened.len() < MOST {
                    lying.happened.push_back(Arc::clone(&happened));
                } else {
                    lying.lost += 1;
                }
            }
        }
        for (_, lying) in &mut seats.taken {
            lying.lost += taken.lost;
        }
        let own = seats.taken.iter_mut().find(|(n, _)| *n == self.number);
        own.map(|(_, lying)| std::mem::take(lying))
            .unwrap_or_default()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut seats = self.watchers.seats();
        seats.taken.retain(|(n, _)| *n != self.number);
        if seats.taken.is_empty() {
            self.gate.with(|engine, _| engine.set_events(false));
        }
    }
}
