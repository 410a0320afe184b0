//! The engine over several cores, with one view of the connections.
//!
//! # Overview
//! [`Shards`] are engines of one making, each with the connections of some flows. A keyed hash says which shard a
//! packet's flow is at home in ([`Shards::shard_of`]), the same for both directions, for ICMP errors that of the flow
//! that they quote. A thread works on a shard of its own ([`Shards::process_batch`]); a packet of a flow that lives
//! elsewhere is handed over to its shard, behind the lock of that shard.
//!
//! What one shard cannot decide alone is decided with all shards at hand, one packet at a time:
//! - Fragments: they are put together in the first shard, and the whole packet goes to the shard of its flow.
//! - First packets, where there is a nat table or a rule that assigns a helper: the port that a translated connection
//!   gets must be free in all shards, and the connection may be expected by one that lives in another.
//! - Packets of connections that have a helper, which may expect others.
//!
//! Everything else of such rulesets, and all packets of other rulesets, need the lock of one shard.
//!
//! What rules remember between packets (limits, lists, sets, quotas, counts) is there once, and lent to the shard whose
//! packet is asking rules. A packet that takes the short way asks none.
//!
//! # Life cycle
//! A connection lives in one shard from its first packet to its end: the one that its original tuple is at home in, or
//! that of the connection that announced it. Tuples of it that are at home elsewhere are registered
//! (`registry.rs`) before the packet that made it is let go, so that no answer comes too early. When it ends, its table
//! keeps a note; notes are worked off before the next first packet is looked at, and until then packets of its flow
//! go where it was, are not known there, and so are first packets.
//!
//! # Bounds
//! `nf_conntrack_max` and `nf_conntrack_expect_max` hold over all shards. Early drop looks for a victim in the shard of
//! the new connection. Program and index are there once a shard.
//!
//! # Locking
//! In this order: shards by their number; the places of tables that are lent; what rules remember; the registry. Who
//! holds one shard takes no other: it lets go and takes all of them, or one. Counts over all shards are atomics.
//!
//! Where a packet is judged is asked under the lock of the shard that judges it, and flows are registered and forgotten
//! under the locks of all; so that word holds until the packet is judged. Each packet takes effect at one moment, while
//! its shard is locked: what threads do together is what one engine would have done, given the packets in some order
//! in which those of a flow stand as each thread had them.
//!
//! # What one shard does alone
//! [`Shards::serial_because`] tells of rulesets that look at connections of all flows in ways that are not prepared for
//! this; all their packets go to one shard.

mod needs;
mod registry;
mod run;
mod view;

#[cfg(test)]
mod modelled;
#[cfg(test)]
mod tests;

/// What the registry is built upon; its model is built upon another.
mod sync {
    pub(super) use std::sync::RwLock;
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use palisade_conntrack::nat::Preferred;
use palisade_conntrack::parted::{Name, Tally};
use palisade_conntrack::{Config, Conntrack};
use palisade_rules::Family;
use palisade_wire::{Packet, Plain, Timestamp};

use crate::matches::States;
use crate::{Bridge, Engine, Port, Route, Setup, SetupError};
use needs::Needs;
use registry::Registry;

pub use view::View;

/// Shards at most.
pub const MOST: usize = 128;

/// A shard, apart from the memory of others.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Engine>);

/// Engines that are one.
#[derive(Debug)]
pub struct Shards {
    shards: Box<[Shard]>,
    config: Config,
    registry: Registry,
    needs: Needs,
    /// What rules remember, if they do.
    states: Option<Mutex<States>>,
    /// Empty tables, in the places of those that are lent.
    spare: Mutex<Vec<Conntrack>>,
    tally: Arc<Tally>,
}

impl Shards {
    /// So many engines of a making, at most [`MOST`]; one where the rules need it.
    ///
    /// # Errors
    /// Those of [`Engine::new`].
    pub fn new(setup: Setup, shards: usize) -> Result<Self, SetupError> {
        let first = Engine::new(setup)?;
        let needs = Needs::of(&first);
        let count = match needs.serial {
            Some(_) => 1,
            None => shards.clamp(1, MOST),
        };
        let config = first.conntrack.config().clone();
        let tally = Arc::new(Tally::new());
        let mut engines = vec![first; count];
        if count > 1 {
            for (number, engine) in engines.iter_mut().enumerate() {
                engine.conntrack.join(Arc::clone(&tally), number, count);
            }
        }
        let states = (needs.remembers && count > 1).then(|| Mutex::new(engines[0].states.clone()));
        let empty = Conntrack::new(Config {
            buckets: 1,
            ..config.clone()
        });
        Ok(Shards {
            shards: engines
                .into_iter()
                .map(|engine| Shard(Mutex::new(engine)))
                .collect(),
            spare: Mutex::new(vec![empty; count]),
            registry: Registry::new(),
            config,
            needs,
            states,
            tally,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// Why there is only one, if the rules are why.
    pub fn serial_because(&self) -> Option<&str> {
        self.needs.serial
    }

    /// The shard that a packet's flow lives in, for data paths that have a queue for each: bytes from the IP header on.
    /// Packets that come to another shard are judged just as well, after the lock of theirs.
    #[inline]
    pub fn shard_of(&self, bytes: &[u8]) -> usize {
        if self.shards.len() == 1 {
            return 0;
        }
        let flow = match Plain::of(bytes) {
            Some(plain) => Some(Name::of_plain(&self.config, &plain, bytes)),
            None => match Packet::parse_truncated(bytes) {
                Ok(packet) if packet.fragment().is_none() => Name::of(&self.config, &packet),
                _ => None,
            },
        };
        flow.map_or(0, |flow| self.home(&flow))
    }

    /// Where a flow lives.
    #[inline]
    fn home(&self, flow: &Name) -> usize {
        let known = self.registry.find(flow.hash());
        known.unwrap_or_else(|| flow.part(self.shards.len()))
    }

    /// A handle for packets that come or leave in one way, for all shards.
    pub fn port(&self, route: Route, bridge: Bridge) -> Port {
        let mut all = self.all();
        let ports = all
            .iter_mut()
            .map(|engine| engine.port(route.clone(), bridge.clone()));
        // They are asked together, so that all have the same handle.
        ports.last().unwrap_or_default()
    }

    /// Everything that all shards know, held still for as long as one looks.
    pub fn view(&self) -> View<'_> {
        View::new(self.all(), self)
    }

    /// Removes connections that ended by `now`.
    pub fn expire(&self, now: Timestamp) {
        let mut all = self.all();
        for engine in &mut all {
            engine.expire(now);
        }
        self.forget_gone(&mut all);
    }

    /// Entries of all shards, as `nf_conntrack_count`.
    pub fn len(&self) -> usize {
        match self.shards.len() {
            1 => self.lock(0).conntrack.len(),
            _ => self.tally.live(),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Engine::set_explain`].
    pub fn set_explain(&self, explain: bool) {
        for engine in &mut self.all() {
            engine.set_explain(explain);
        }
    }

    /// As [`Engine::prefer`].
    pub fn prefer(&self, preferred: Preferred) {
        self.lock(0).prefer(preferred);
    }

    /// As [`Engine::draw`].
    pub fn draw(&self, draws: impl IntoIterator<Item = u32>) {
        match &self.states {
            Some(states) => locked(states).draws.say(draws),
            None => self.lock(0).draw(draws),
        }
    }

    #[inline]
    fn lock(&self, shard: usize) -> MutexGuard<'_, Engine> {
        locked(&self.shards[shard].0)
    }

    /// All shards.
    fn all(&self) -> Vec<MutexGuard<'_, Engine>> {
        self.shards.iter().map(|shard| locked(&shard.0)).collect()
    }

    /// Whether first packets of a family are a matter of all shards.
    #[inline]
    fn bound(&self, family: Family) -> bool {
        self.needs.bound[family as usize]
    }

    /// Lends a shard what rules remember.
    #[inline]
    fn lending<T>(&self, engine: &mut Engine, work: impl FnOnce(&mut Engine) -> T) -> T {
        let Some(states) = &self.states else {
            return work(engine);
        };
        let mut states = locked(states);
        std::mem::swap(&mut engine.states, &mut states);
        let done = work(engine);
        std::mem::swap(&mut engine.states, &mut states);
        done
    }
}

/// What a mutex guards; who panicked with it has ended the program's work anyway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
