//! Changes of the rules: one after the other, each whole or not at all.
//!
//! ```text
//! lock `changing` ─ copy of the rules ─ edit of the copy, no other lock held ─ gate: session still passes? replace ─ unlock
//! ```
//!
//! # Locking
//! `changing` is held over a change, the gate's lock only where the copy is made and where the rules are put in place.
//! Two that append at once each find what the other did. Nothing is sent to a client meanwhile.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use palisade_engine::rules::parse::session::{self, Called};
use palisade_engine::rules::parse::{self, Options};
use palisade_engine::rules::{Family, Ruleset, Severity, TableKind, Tools};
use palisade_engine::{
    Counting, Engine, Exchange, Memory, Preview, Replaced, Replacement, SetupError,
};
use palisade_wire::Timestamp;

use super::carry::carry;
use super::message::{Cut, Finding, Findings, Reloaded, Restoring, RulesText, Safety, Session};
use super::protect::{self, Cutting, Judged};
use super::restored::restored;
use super::service::Control;

/// Who changes rules, and what waits for confirmation.
#[derive(Debug, Default)]
pub(crate) struct Changing {
    waiting: Mutex<Option<Waiting>>,
    told: Condvar,
}

/// Rules that were put in place and are to be confirmed.
#[derive(Debug)]
struct Waiting {
    /// What is put back.
    old: [Option<Ruleset>; 2],
    /// When.
    until: Instant,
    /// Which of those that waited so far.
    number: u64,
}

/// The right to change rules.
type Turn<'a> = MutexGuard<'a, Option<Waiting>>;

/// Why rules are as they were.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A reload waits for its confirmation.
    #[error(
        "a reload is to be confirmed within {} s, before that nothing else changes the rules: palisade confirm, or wait \
         until the old rules are back",
        .0.as_secs()
    )]
    Waiting(Duration),
    /// It would end a session that is looked after.
    #[error("{0}; --force (PALISADE_FORCE=1 for iptables) does it all the same")]
    Cuts(Box<Cutting>),
    /// They cannot be run.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nothing is to be confirmed.
    #[error("no reload waits to be confirmed")]
    Nothing,
    /// What would put the old rules back cannot be had.
    #[error("no thread to put the old rules back: {0}")]
    Thread(std::io::Error),
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Commanded {
    /// What it prints.
    pub(crate) output: String,
    /// What was found, about which text.
    pub(crate) findings: Findings,
    /// Whether it was done.
    pub(crate) done: bool,
    /// Why not, where that is not among what was found.
    pub(crate) refusal: Option<Refusal>,
}

/// New rules, and whose counters they have.
struct Proposal {
    rules: [Exchange; 2],
    counting: Counting,
}

impl Proposal {
    fn replacement(self) -> Replacement {
        let [rules4, rules6] = self.rules;
        Replacement {
            rules4,
            rules6,
            counting: self.counting,
            memory: Memory::Kept,
            ..Replacement::default()
        }
    }
}

impl Control {
    fn turn(&self) -> Turn<'_> {
        let waiting = self.changing.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a reload still waits for its confirmation; not known while rules are changed.
    pub(crate) fn waits(&self) -> Option<Duration> {
        let turn = self.changing.waiting.try_lock().ok()?;
        let waiting = turn.as_ref()?;
        Some(waiting.until.saturating_duration_since(Instant::now()))
    }

    fn free(turn: &Turn<'_>) -> Result<(), Refusal> {
        match &**turn {
            None => Ok(()),
            Some(waiting) => {
                let left = waiting.until.saturating_duration_since(Instant::now());
                Err(Refusal::Waiting(left))
            }
        }
    }

    /// How texts are read: sets that are not there do not exist.
    fn options(&self, family: Family, tools: Tools) -> Options {
        let sets = self
            .gate()
            .with(|engine, _| engine.ipsets().names().map(str::to_string).collect());
        Options {
            family,
            tools,
            sets: Some(sets),
            ..Options::default()
        }
    }

    /// `iptables` or `ip6tables` with its arguments. `may_change`: otherwise a command that changes something is refused.
    pub(crate) fn command(
        &self,
        family: Family,
        tools: Tools,
        words: &[String],
        safety: &Safety,
        may_change: bool,
    ) -> Result<Commanded, NotAllowed> {
        let options = self.options(family, tools);
        let turn = self.turn();
        let before = self.rules(family);
        let mut called = session::call(before.clone(), words, &options);
        let changes = called.done && called.ruleset != before;
        if changes && !may_change {
            return Err(NotAllowed);
        }
        let mut refusal = None;
        if changes {
            let after = std::mem::replace(&mut called.ruleset, Ruleset::new(family));
            refusal = self.edit(&turn, &before, after, safety, true).err();
        }
        drop(turn);
        Ok(commanded(called, refusal))
    }

    /// `iptables-restore` or `ip6tables-restore`.
    pub(crate) fn restore(
        &self,
        family: Family,
        tools: Tools,
        text: &str,
        (how, only): (&Restoring, Option<TableKind>),
        safety: &Safety,
    ) -> Commanded {
        let options = Options {
            noflush: how.noflush,
            counters: how.counters,
            ..self.options(family, tools)
        };
        let turn = self.turn();
        let before = self.rules(family);
        let mut called = restored(&before, text, only, &options);
        called.text = String::new();
        let mut refusal = None;
        if !how.test && called.ruleset != before {
            let after = std::mem::replace(&mut called.ruleset, Ruleset::new(family));
            refusal = self.edit(&turn, &before, after, safety, false).err();
        }
        drop(turn);
        commanded(called, refusal)
    }

    /// Puts an edited copy of the rules in their place.
    fn edit(
        &self,
        turn: &Turn<'_>,
        before: &Ruleset,
        mut after: Ruleset,
        safety: &Safety,
        forget_places: bool,
    ) -> Result<(), Refusal> {
        Self::free(turn)?;
        let family = after.family;
        self.gate().with(|engine, now| {
            let current = engine.ruleset(family);
            let current = current.unwrap_or_else(|| Ruleset::new(family));
            carry(before, &current, &mut after, forget_places);
            let mut rules = [Exchange::Keep, Exchange::Keep];
            rules[family as usize] = Exchange::For(Some(after));
            let proposal = Proposal {
                rules,
                counting: Counting::Given,
            };
            self.put(engine, proposal.replacement(), safety, now)
        })?;
        self.changed();
        Ok(())
    }

    /// Puts rules in place, unless a session that is looked after would end.
    fn put(
        &self,
        engine: &mut Engine,
        by: Replacement,
        safety: &Safety,
        now: Timestamp,
    ) -> Result<Replaced, Refusal> {
        if !safety.force {
            let sessions = self.protected().iter().chain(&safety.sessions);
            let sessions: Vec<Session> = sessions.copied().collect();
            if let Some(cut) = protect::cut(engine, &by, &sessions, now)? {
                return Err(Refusal::Cuts(Box::new(cut)));
            }
        }
        Ok(engine.replace(by)?)
    }
}

/// Rules in the place of others, where there are any.
pub(crate) fn exchange(rules: Option<Ruleset>) -> Exchange {
    match rules {
        None => Exchange::Keep,
        rules => Exchange::For(rules),
    }
}

/// What was asked about all connections.
struct AskedAll {
    /// The largest display number among them.
    youngest: u64,
    preview: Preview,
    judged: Judged,
}

/// What a reload is made of.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    /// IPv4 and IPv6; `None`: as they are.
    pub(crate) rules: [Option<Ruleset>; 2],
    /// Which live flows end.
    pub(crate) cut: Cut,
    /// The old rules are put back if nobody confirms it for so long.
    pub(crate) confirm: Option<Duration>,
}

impl Control {
    /// Reads texts of rules; what was found in each that has errors.
    pub(crate) fn read(
        &self,
        texts: &[RulesText],
        tools: Tools,
    ) -> Result<[Option<Ruleset>; 2], Vec<Findings>> {
        let mut rules = [None, None];
        let mut wrong = Vec::new();
        for text in texts {
            let options = self.options(text.family.into(), tools);
            let parsed = parse::auto_as(&text.text, &options);
            if parsed.has_errors() {
                let errors = parsed.diagnostics.iter();
                let errors = errors.filter(|d| d.severity == Severity::Error);
                wrong.push(Findings {
                    name: text.name.clone(),
                    text: String::new(),
                    found: errors.map(Finding::from).collect(),
                });
            }
            for (at, new) in [parsed.v4, parsed.v6].into_iter().enumerate() {
                if let Some(new) = new {
                    rules[at] = Some(new);
                }
            }
        }
        if wrong.is_empty() {
            Ok(rules)
        } else {
            Err(wrong)
        }
    }

    /// Puts other rules in place, all at once; rules that are the same ones keep their counters.
    pub(crate) fn reload(
        self: &Arc<Self>,
        reload: Reload,
        safety: &Safety,
    ) -> Result<(Reloaded, Judged), Refusal> {
        let mut turn = self.turn();
        Self::free(&turn)?;
        let by = Proposal {
            rules: reload.rules.map(exchange),
            counting: Counting::Kept,
        };
        let by = by.replacement();
        let mut asked = match &reload.cut {
            Cut::Keep => None,
            cut => Some(self.ask_all(&by, cut)?),
        };
        let done = self.gate().with(|engine, now| {
            let old = [Family::V4, Family::V6].map(|family| engine.ruleset(family));
            if let Some(asked) = &mut asked {
                // Those that began meanwhile.
                let younger = engine.conntrack().connections();
                let younger = younger.filter(|c| c.number() > asked.youngest);
                let younger: Vec<_> = younger.map(|c| c.id()).collect();
                let preview = (&mut asked.preview, &by);
                asked
                    .judged
                    .ask(engine, preview, &reload.cut, younger.into_iter(), now);
            }
            let replaced = self.put(engine, by.clone(), safety, now)?;
            let cut = asked
                .as_ref()
                .map_or(0, |asked| engine.cut(&asked.judged.ending));
            Ok::<_, Refusal>((old, replaced, cut))
        });
        let (old, replaced, cut) = done?;
        let judged = asked.map(|asked| asked.judged).unwrap_or_default();
        let generation = self.changed();
        if let Some(confirm) = reload.confirm {
            *turn = Some(Waiting {
                old,
                until: Instant::now() + confirm,
                number: generation,
            });
            drop(turn);
            self.put_back_later(generation, confirm)?;
        }
        let reloaded = Reloaded {
            generation,
            kept: replaced.kept,
            added: replaced.added,
            removed: replaced.removed,
            cut,
            confirm_seconds: reload.confirm.map(|c| c.as_secs() as u32),
        };
        Ok((reloaded, judged))
    }

    /// Puts rules in place that the process has read again itself; those of a family that has none stay.
    ///
    /// # Errors
    /// [`Refusal`]; the old ones stay.
    pub fn put_in_place(
        self: &Arc<Self>,
        rules: [Option<Ruleset>; 2],
    ) -> Result<Reloaded, Refusal> {
        let reload = Reload {
            rules,
            ..Reload::default()
        };
        let (reloaded, _) = self.reload(reload, &Safety::default())?;
        Ok(reloaded)
    }

    /// Live flows that other rules would judge differently.
    pub(crate) fn preview(&self, rules: [Option<Ruleset>; 2]) -> Result<Judged, Refusal> {
        let by = Proposal {
            rules: rules.map(exchange),
            counting: Counting::Kept,
        };
        Ok(self.ask_all(&by.replacement(), &Cut::Keep)?.judged)
    }

    /// Asks about all connections, a few at a time: the gate goes on between.
    fn ask_all(&self, by: &Replacement, cut: &Cut) -> Result<AskedAll, Refusal> {
        let begun = self.gate().with(|engine, _| {
            let preview = engine.preview(by.clone())?;
            let connections = engine.conntrack().connections();
            let all: Vec<_> = connections.map(|c| (c.number(), c.id())).collect();
            Ok::<_, SetupError>((preview, all))
        });
        let (mut preview, all) = begun?;
        let mut judged = Judged::default();
        for some in all.chunks(protect::AT_ONCE) {
            let some = some.iter().map(|(_, id)| *id);
            self.gate()
                .with(|engine, now| judged.ask(engine, (&mut preview, by), cut, some, now));
        }
        Ok(AskedAll {
            youngest: all.iter().map(|(number, _)| *number).max().unwrap_or(0),
            preview,
            judged,
        })
    }

    /// The rules that wait for it stay.
    pub(crate) fn confirm(&self) -> Result<(), Refusal> {
        let mut turn = self.turn();
        turn.take().ok_or(Refusal::Nothing)?;
        self.changing.told.notify_all();
        Ok(())
    }

    /// Has a thread put the old rules back when the time is up; at once, where there is none to be had.
    fn put_back_later(self: &Arc<Self>, number: u64, after: Duration) -> Result<(), Refusal> {
        let control = Arc::clone(self);
        let thread = std::thread::Builder::new().name("control-confirm".into());
        let begun = thread.spawn(move || {
            let waits =
                |turn: &mut Option<Waiting>| turn.as_ref().is_some_and(|w| w.number == number);
            let changing = &control.changing;
            let waited = changing
                .told
                .wait_timeout_while(control.turn(), after, waits);
            let (turn, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                control.put_back(turn);
            }
        });
        begun.map(drop).map_err(|error| {
            self.put_back(self.turn());
            Refusal::Thread(error)
        })
    }

    /// The old rules are in force again. Nothing can refuse them: they were.
    fn put_back(&self, mut turn: Turn<'_>) {
        let Some(waiting) = turn.take() else { return };
        let [rules4, rules6] = waiting.old.map(Exchange::For);
        let by = Replacement {
            rules4,
            rules6,
            ..Replacement::default()
        };
        let back = self.gate().with(|engine, _| engine.replace(by));
        self.changed();
        match back {
            Ok(_) => tracing::warn!("the reload was not confirmed in time; the old rules are back"),
            Err(error) => tracing::error!(%error, "the old rules cannot be put back"),
        }
    }
}

/// Who asks may not do this.
#[derive(Debug)]
pub(crate) struct NotAllowed;

fn commanded(called: Called, refusal: Option<Refusal>) -> Commanded {
    let found = called.diagnostics.iter().map(Finding::from).collect();
    Commanded {
        output: called.output,
        done: called.done && refusal.is_none(),
        findings: Findings {
            name: String::new(),
            text: called.text,
            found,
        },
        refusal,
    }
}
