//! What is done for clients.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use palisade_engine::Verdict;
use palisade_engine::rules::{Family, Ruleset, TableKind, print};

use super::access::Rights;
use super::change::{Changing, Commanded, NotAllowed, Refusal, Reload};
use super::frame::{FrameError, PIECE};
use super::message::{
    Answer, Connections, Ended, Findings, Flow, Leave, Request, RulesInUse, Session, Status,
    VerdictCount,
};
use super::protect::Judged;
use super::server::{After, Replies};
use super::shadow;
use super::watchers::Watchers;
use crate::feed::LONGEST;
use crate::tally::{Tally, VERDICTS};
use crate::{Figures, Gate};

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
    figures: Option<Figures>,
    begun: Instant,
    generation: AtomicU64,
    pub(crate) changing: Changing,
    /// Sessions that no change is to cut.
    protected: Vec<Session>,
    watchers: Watchers,
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

/// Lines of the log that are sent at once: they fit into one piece, so that none is torn.
const LINES: usize = PIECE / (LONGEST + 1);

/// How long is waited for a line before it is looked whether the client is there.
const LOOK: Duration = Duration::from_millis(200);

/// Bytes of an iptables command, at most.
const MAX_COMMAND: usize = 32 << 10;

type Handled = Result<(Ended, After), FrameError>;

impl Control {
    /// For a gate.
    pub fn new(gate: Arc<Gate>, facts: Facts) -> Self {
        let stopped = Arc::clone(&gate);
        Control {
            gate,
            facts,
            figures: None,
            begun: Instant::now(),
            generation: AtomicU64::new(0),
            changing: Changing::default(),
            protected: Vec::new(),
            watchers: Watchers::default(),
            stop: Box::new(move |_| stopped.stop()),
        }
    }

    /// Has somebody else told of a stop; without this the gate is.
    pub fn on_stop(mut self, stop: impl Fn(Leave) + Send + Sync + 'static) -> Self {
        self.stop = Box::new(stop);
        self
    }

    /// Tells, of whoever asks for the state, what a backend counts beside verdicts too.
    pub fn figures(mut self, figures: Option<Figures>) -> Self {
        self.figures = figures;
        self
    }

    /// Looks after sessions: a change of rules that would cut one is refused.
    pub fn protect(mut self, sessions: Vec<Session>) -> Self {
        self.protected = sessions;
        self
    }

    /// Who watches connections.
    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Sessions that are looked after.
    pub(crate) fn protected(&self) -> &[Session] {
        &self.protected
    }

    /// Changes of the rules so far.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Counts a change of the rules; how many there were.
    pub(crate) fn changed(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::AcqRel) + 1
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
        self: &Arc<Self>,
        request: Request,
        rights: Rights,
        replies: &Replies<'_>,
    ) -> Handled {
        if rights < Rights::Change && !request.only_asks() {
            return not_allowed(replies);
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
                let Ok(only) = table_of(table.as_deref(), replies)? else {
                    return Ok((Ended::BadInput, After::Nothing));
                };
                let mut ruleset = self.rules(family.into());
                if let Some(only) = only {
                    ruleset.tables.retain(|t| t.kind == only);
                }
                replies.text(&print::save_as(&ruleset, counters, language.into()))?;
                Ended::Yes
            }
            Request::Tables {
                family,
                language,
                words,
                safety,
            } => {
                if words.iter().map(|w| w.len() + 1).sum::<usize>() > MAX_COMMAND {
                    replies.said(format!("a command has at most {MAX_COMMAND} bytes"))?;
                    return Ok((Ended::BadInput, After::Nothing));
                }
                let may = rights >= Rights::Change;
                let done = self.command(family.into(), language.into(), &words, &safety, may);
                match done {
                    Ok(commanded) => tell(commanded, replies)?,
                    Err(NotAllowed) => return not_allowed(replies),
                }
            }
            Request::Restore {
                family,
                language,
                text,
                how,
                safety,
            } => {
                let Ok(only) = table_of(how.table.as_deref(), replies)? else {
                    return Ok((Ended::BadInput, After::Nothing));
                };
                let (family, tools) = (family.into(), language.into());
                tell(
                    self.restore(family, tools, &text, (&how, only), &safety),
                    replies,
                )?
            }
            Request::Reload {
                texts,
                language,
                preview,
                cut,
                confirm_seconds,
                safety,
            } => {
                let rules = match self.read(&texts, language.into()) {
                    Ok(rules) => rules,
                    Err(wrong) => return findings(wrong, replies),
                };
                if preview {
                    return self.previewed(rules, replies);
                }
                let reload = Reload {
                    rules,
                    cut,
                    confirm: confirm_seconds.map(|s| Duration::from_secs(s.into())),
                };
                match self.reload(reload, &safety) {
                    Ok((reloaded, judged)) => {
                        flows(judged, |flow| flow.cut, replies)?;
                        replies.send(&Answer::Reloaded(reloaded))?;
                        Ended::Yes
                    }
                    Err(refusal) => refused(&refusal, replies)?,
                }
            }
            Request::Log { last, follow } => self.log(last, follow, replies)?,
            Request::Confirm {} => match self.confirm() {
                Ok(()) => Ended::Yes,
                Err(refusal) => refused(&refusal, replies)?,
            },
            Request::Shadow {
                texts,
                language,
                seconds,
            } => {
                let rules = match self.read(&texts, language.into()) {
                    Ok(rules) => rules,
                    Err(wrong) => return findings(wrong, replies),
                };
                let time = seconds.map(|s| Duration::from_secs(s.into()));
                shadow::watch(self, rules, time, replies)?
            }
            Request::Stop { leave } => return Ok((Ended::Yes, After::Stop(leave))),
            Request::Top {
                interval_ms,
                frames,
            } => super::top::tell(self, interval_ms, frames, replies)?,
            Request::Conntrack { words, file, east } => {
                super::conntrack::answer(self, &words, file.as_deref(), east, replies)?
            }
        };
        Ok((ended, After::Nothing))
    }

    /// Tells what rules log.
    fn log(&self, last: usize, follow: bool, replies: &Replies<'_>) -> Result<Ended, FrameError> {
        let feed = self.gate.feed();
        let mut next = feed.before_end(last);
        loop {
            let wait = if follow { LOOK } else { Duration::ZERO };
            let part = feed.from(next, LINES, wait);
            if part.lost > 0 {
                replies.said(format!("{} lines went by too fast", part.lost))?;
            }
            if !part.lines.is_empty() {
                let mut text = String::new();
                for line in &part.lines {
                    text.push_str(line);
                    text.push('\n');
                }
                replies.text(&text)?;
            }
            let over = part.lines.is_empty() && !follow;
            if over || self.gate.stopping() || replies.gone() {
                return Ok(Ended::Yes);
            }
            next = part.next;
        }
    }

    /// Tells which live flows other rules would judge differently.
    fn previewed(&self, rules: [Option<Ruleset>; 2], replies: &Replies<'_>) -> Handled {
        let ended = match self.preview(rules) {
            Ok(judged) => {
                let none = judged.flows.is_empty();
                flows(judged, |_| true, replies)?;
                if none { Ended::Yes } else { Ended::No }
            }
            Err(refusal) => refused(&refusal, replies)?,
        };
        Ok((ended, After::Nothing))
    }

    /// The rules of a family as they are now, with their counters.
    pub(crate) fn rules(&self, family: Family) -> Ruleset {
        let rules = self.gate.with(|engine, _| engine.ruleset(family));
        rules.unwrap_or_else(|| Ruleset::new(family))
    }

    fn status(&self) -> Status {
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
            packets: verdicts(self.gate.tally()),
            figures: self
                .figures
                .iter()
                .flat_map(Figures::now)
                .map(|figure| (figure.name.to_owned(), figure.value))
                .collect(),
            rules: rules.into(),
            generation: self.generation(),
            confirm_seconds: self.waits().map(|left| left.as_secs()),
            protected: self.protected.clone(),
            connections,
        }
    }
}

/// Who asks may not do this.
fn not_allowed(replies: &Replies<'_>) -> Handled {
    replies.said("only root may do this; members of the control group may ask")?;
    Ok((Ended::BadInput, After::Nothing))
}

/// The table of a name; one that is not there is told.
fn table_of(
    name: Option<&str>,
    replies: &Replies<'_>,
) -> Result<Result<Option<TableKind>, ()>, FrameError> {
    let Some(name) = name else {
        return Ok(Ok(None));
    };
    match TableKind::by_name(name) {
        Some(kind) => Ok(Ok(Some(kind))),
        None => {
            replies.said(format!("there is no table '{name}'"))?;
            Ok(Err(()))
        }
    }
}

fn findings(wrong: Vec<Findings>, replies: &Replies<'_>) -> Handled {
    for findings in wrong {
        replies.findings(findings)?;
    }
    Ok((Ended::BadInput, After::Nothing))
}

/// Tells of flows, of those that it is to be told of.
fn flows(
    judged: Judged,
    told: impl Fn(&Flow) -> bool,
    replies: &Replies<'_>,
) -> Result<(), FrameError> {
    for flow in judged.flows.into_iter().filter(told) {
        replies.send(&Answer::Flow(Box::new(flow)))?;
    }
    match judged.untold {
        0 => Ok(()),
        more => replies.said(format!("{more} more flows are judged differently")),
    }
}

fn refused(refusal: &Refusal, replies: &Replies<'_>) -> Result<Ended, FrameError> {
    replies.said(refusal.to_string())?;
    Ok(match refusal {
        Refusal::Setup(_) => Ended::BadInput,
        _ => Ended::No,
    })
}

/// What came of a command.
fn tell(commanded: Commanded, replies: &Replies<'_>) -> Result<Ended, FrameError> {
    replies.text(&commanded.output)?;
    if let Some(refusal) = commanded.refusal {
        return refused(&refusal, replies);
    }
    if commanded.done {
        return Ok(Ended::Yes);
    }
    replies.findings(commanded.findings)?;
    Ok(Ended::No)
}

/// Packets of each verdict so far.
pub(super) fn verdicts(tally: &Tally) -> Vec<VerdictCount> {
    let of = |verdict: Verdict| {
        let (packets, bytes) = tally.of(verdict);
        VerdictCount {
            verdict: verdict.name().to_string(),
            packets,
            bytes,
        }
    };
    VERDICTS.map(of).into()
}
