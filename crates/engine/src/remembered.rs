//! Everything that an engine remembers between packets, to be held against another engine's.

use std::fmt;

use crate::Engine;

/// What rules and reassembly remember, as text: two engines that were given the same packets show the same, whoever
/// walked the rules. The connection table is told by [`Engine::conntrack`], counters by [`Engine::ruleset`].
///
/// In the alternate form (`{:#?}`) each value has a line of its own. Entries of maps come in any order.
pub struct Remembered<'a>(&'a Engine);

impl Engine {
    /// What rules and reassembly remember.
    pub fn remembered(&self) -> Remembered<'_> {
        Remembered(self)
    }
}

impl fmt::Debug for Remembered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No `..`: who adds a field decides here whether engines may differ in it.
        let Engine {
            defrag,
            states,
            host,
            reassemble,
            reassembly,
            // Told apart.
            conntrack: _,
            // What the rules were made into; their counters are told apart.
            programs: _,
            // Room for work, empty between packets.
            stack: _,
            scratch: _,
            stage: _,
            // What may differ: who walks the rules, and how far he has to.
            evaluator: _,
            visited: _,
            // Handles of this very engine, and ways that it found for packets; their counters are told with the rules'.
            ports: _,
            lane: _,
        } = self.0;
        f.debug_struct("Remembered")
            .field("states", states)
            .field("defrag", defrag)
            .field("host", host)
            .field("reassemble", reassemble)
            .field("reassembly", reassembly)
            .finish()
    }
}
