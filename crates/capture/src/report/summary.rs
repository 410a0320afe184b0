//! The sums of a trace.

use palisade_engine::conntrack::State;
use palisade_engine::rules::{Family, TableKind};
use palisade_engine::{Engine, Outcome, Verdict};

/// A rule that no packet matched: family, table, chain, number, line.
pub type Idle = (Family, TableKind, String, u32, u32);

/// Sums over all packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames read.
    pub frames: u64,
    /// Frames that are no IP packets.
    pub not_ip: u64,
    /// IP bytes.
    pub bytes: u64,
    /// Packets by state: NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED, none.
    pub states: [u64; 6],
    /// Packets by verdict: ACCEPT, DROP, REJECT, STOLEN, QUEUE, UNKNOWN.
    pub verdicts: [u64; 6],
    /// Connections that entered the table.
    pub connections: u64,
    /// Rules visited.
    pub visited: u64,
    /// Expectations of a script that held, and that failed.
    pub expectations: Option<(u64, u64)>,
}

impl Summary {
    /// Names of [`Self::states`].
    pub const STATES: [&'static str; 6] = [
        "NEW",
        "ESTABLISHED",
        "RELATED",
        "INVALID",
        "UNTRACKED",
        "none",
    ];

    /// Names of [`Self::verdicts`].
    pub const VERDICTS: [&'static str; 6] =
        ["ACCEPT", "DROP", "REJECT", "STOLEN", "QUEUE", "UNKNOWN"];

    /// Counts a packet.
    #[inline]
    pub fn add(&mut self, length: usize, outcome: &Outcome) {
        self.frames += 1;
        self.bytes += length as u64;
        self.visited += u64::from(outcome.visited);
        let state = match outcome.state {
            Some(State::New) => 0,
            Some(State::Established) => 1,
            Some(State::Related) => 2,
            Some(State::Invalid) => 3,
            Some(State::Untracked) => 4,
            None => 5,
        };
        self.states[state] += 1;
        let verdict = match outcome.verdict {
            Verdict::Accept => 0,
            Verdict::Drop => 1,
            Verdict::Reject => 2,
            Verdict::Stolen => 3,
            Verdict::Queue => 4,
            Verdict::Unknown => 5,
        };
        self.verdicts[verdict] += 1;
    }

    /// Counts a frame that is no IP packet.
    pub fn add_not_ip(&mut self) {
        self.frames += 1;
        self.not_ip += 1;
    }

    /// Rules visited for each IP packet on average.
    pub fn visited_mean(&self) -> f64 {
        let packets = self.frames.saturating_sub(self.not_ip);
        if packets == 0 {
            0.0
        } else {
            self.visited as f64 / packets as f64
        }
    }

    /// Rules whose counters did not move.
    pub fn never_hit(engine: &Engine) -> Vec<Idle> {
        let mut idle = Vec::new();
        for family in [Family::V4, Family::V6] {
            let (Some(now), Some(before)) = (engine.ruleset(family), engine.source(family)) else {
                continue;
            };
            for (table, old) in now.tables.iter().zip(&before.tables) {
                for (chain, old) in table.chains.iter().zip(&old.chains) {
                    for (i, (rule, old)) in chain.rules.iter().zip(&old.rules).enumerate() {
                        if rule.counters.packets == old.counters.packets {
                            idle.push((
                                family,
                                table.kind,
                                chain.name.clone(),
                                i as u32 + 1,
                                rule.position.line,
                            ));
                        }
                    }
                }
            }
        }
        idle
    }
}
