//! Entries that come from elsewhere: copies of another table's, and those of a snapshot.

use palisade_wire::Timestamp;

use crate::connection::{ConnId, Connection, ProtoState, Status, Traffic};
use crate::entry::Entry;
use crate::proto::tcp::PeerFlags;
use crate::slab::Cold;
use crate::table::Conntrack;
use crate::tuple::{Direction, Tuple};

/// Buckets of a table for a few connections.
const FEW: u32 = 16;

impl Conntrack {
    /// An empty table that follows packets as this one would: with its settings and what is known of calls, for copies
    /// of a few of its connections.
    pub fn aside(&self) -> Conntrack {
        let mut config = self.config.clone();
        config.buckets = FEW.into();
        // The copies are not what fills a table.
        config.max = 0;
        let mut aside = Conntrack::new(config);
        aside.gre_keys = self.gre_keys.clone();
        aside.latest = self.latest;
        aside
    }

    /// Holds a copy of another table's connection, with nothing remembered for its packets. The other table's settings
    /// are to be this one's.
    pub fn copy(&mut self, of: Entry<'_>) -> ConnId {
        let cold = Cold {
            number: of.number(),
            created: of.created(),
        };
        let mut connection = of.connection().clone();
        connection.remember(Direction::Original, 0);
        connection.remember(Direction::Reply, 0);
        self.admit(connection, cold, of.traffic())
    }

    /// The living connection in the table that has a tuple in one of its directions, in whatever zone.
    pub fn peek(&self, tuple: &Tuple, now: Timestamp) -> Option<(Entry<'_>, Direction)> {
        self.connections().find_map(|entry| {
            let [original, reply] = entry.tuples();
            let direction = if original == *tuple {
                Direction::Original
            } else if reply == *tuple {
                Direction::Reply
            } else {
                return None;
            };
            (!entry.expired(now)).then_some((entry, direction))
        })
    }

    /// Ends all connections at once; with them goes what they expect.
    pub fn end_all(&mut self) {
        for index in 0..self.slab.slots() as u32 {
            self.remove(index);
        }
    }

    /// Takes it that segments of the TCP connections went by unseen, as between a snapshot and its use: what either end may
    /// send is learnt from the next segments, and nothing is held against those that do not fit meanwhile, as with a
    /// connection that is picked up in its middle (kernel `tcp_new`, `nf_conntrack_tcp_loose`).
    pub fn out_of_step(&mut self) {
        for index in 0..self.slab.slots() as u32 {
            let Some(connection) = self.slab.get_mut(index) else {
                continue;
            };
            if let ProtoState::Tcp(mut tcp) = connection.proto() {
                for peer in &mut tcp.peers {
                    peer.maxwin = 0;
                    peer.flags.set(PeerFlags::BE_LIBERAL);
                }
                connection.set_tcp(&tcp);
            }
        }
    }

    /// Puts a connection into the table as it is. Nobody is to have its tuples.
    pub(crate) fn admit(
        &mut self,
        mut connection: Connection,
        cold: Cold,
        traffic: [Traffic; 2],
    ) -> ConnId {
        let (index, generation) = self.slab.reserve();
        let id = ConnId { index, generation };
        connection.generation = generation;
        connection.status.set(Status::CONFIRMED);
        let translated = connection.status.has(Status::SRC_NAT_DONE);
        self.keep(index, connection, cold, traffic);
        self.enter_all(id);
        if translated {
            self.link_source(id);
        }
        id
    }
}
