//! What is done for clients.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use palisade_engine::rules::{Family, Ruleset, TableKind, print};

use super::access::Rights;
use super::frame::FrameError;
use super::message::{
    Answer, Connections, Ended, Leave, Request, RulesInUse, Status, VerdictCount,
};
use super::server::{After, Replies};
use crate::Gate;
use crate::tally::VERDICTS;

/// What is known of the process when it begins.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Version of the program.
    pub version: String,
    /// Where packets come from, in a word.
    pub backend: String,
    /// How many workers.
    pub workers: usize,
    /// What is not seen, why a slower way was taken.
    pub notes: Vec<String>,
    /// The files of the rules, IPv4 and IPv6.
    pub files: [Option<PathBuf>; 2],
}

/// What is done for clients: the gate, and what is known about it.
pub struct Control {
    gate: Arc<Gate>,
    facts: Facts,
    begun: Instant,
    generation: AtomicU64,
    /// Who ends the process.
    stop: Box<dyn Fn(Leave) + Send + Sync>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

type Handled = Result<(Ended, After), FrameError>;

impl Control {
    /// For a gate.
    pub fn new(gate: Arc<Gate>, facts: Facts) -> Self {
        let stopped = Arc::clone(&gate);
        Control {
            gate,
            facts,
            begun: Instant::now(),
            generation: AtomicU64::new(0),
            stop: Box::new(move |_| stopped.stop()),
        }
    }

    /// Has somebody else told of a stop; without this the gate is.
    pub fn on_stop(mut self, stop: impl Fn(Leave) + Send + Sync + 'static) -> Self {
        self.stop = Box::new(stop);
        self
    }

    /// The gate.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Ends the process, or has it ended.
    pub(crate) fn stop(&self, leave: Leave) {
        (self.stop)(leave);
    }

    /// Answers all but the end.
    pub(crate) fn answer(
        &self,
        request: Request,
        rights: Rights,
        replies: &Replies<'_>,
    ) -> Handled {
        if rights < Rights::Change && !request.only_asks() {
            replies.said("only root may do this; members of the control group may ask")?;
            return Ok((Ended::BadInput, After::Nothing));
        }
        let ended = match request {
            Request::Status {} => {
                replies.send(&Answer::Status(Box::new(self.status())))?;
                Ended::Yes
            }
            Request::Rules {
                family,
                language,
                counters,
                table,
            } => {
                let mut ruleset = self.rules(family.into());
                if let Some(name) = table {
                    let Some(kind) = TableKind::by_name(&name) else {
                        replies.said(format!("there is no table '{name}'"))?;
                        return Ok((Ended::BadInput, After::Nothing));
                    };
                    ruleset.tables.retain(|t| t.kind == kind);
                }
                replies.text(&print::save_as(&ruleset, counters, language.into()))?;
                Ended::Yes
            }
            Request::Stop { leave } => return Ok((Ended::Yes, After::Stop(leave))),
        };
        Ok((ended, After::Nothing))
    }

    /// The rules of a family as they are now, with their counters.
    fn rules(&self, family: Family) -> Ruleset {
        let rules = self.gate.with(|engine, _| engine.ruleset(family));
        rules.unwrap_or_else(|| Ruleset::new(family))
    }

    fn status(&self) -> Status {
        let tally = self.gate.tally();
        let packets = VERDICTS.map(|verdict| {
            let (packets, bytes) = tally.of(verdict);
            VerdictCount {
                verdict: verdict.name().to_string(),
                packets,
                bytes,
            }
        });
        let (rules, connections) = self.gate.with(|engine, _| {
            let rules = [Family::V4, Family::V6].map(|family| {
                let tables = engine.source(family).map(|r| r.tables.as_slice());
                let chains = || tables.into_iter().flatten().flat_map(|t| &t.chains);
                RulesInUse {
                    family: family.into(),
                    file: self.facts.files[family as usize].clone(),
                    tables: tables.map_or(0, <[_]>::len),
                    chains: chains().count(),
                    rules: chains().map(|c| c.rules.len()).sum(),
                }
            });
            let table = engine.conntrack();
            let connections = Connections {
                entries: table.len() as u64,
                max: table.config().max,
                expectations: table.expectations().count() as u64,
                memory: table.memory() as u64,
                refused: table.stats().table_full,
                early_dropped: table.stats().early_drop,
            };
            (rules, connections)
        });
        Status {
            version: self.facts.version.clone(),
            pid: std::process::id(),
            uptime_seconds: self.begun.elapsed().as_secs(),
            backend: self.facts.backend.clone(),
            workers: self.facts.workers,
            notes: self.facts.notes.clone(),
            packets: packets.into(),
            rules: rules.into(),
            generation: self.generation.load(Ordering::Acquire),
            connections,
        }
    }
}
