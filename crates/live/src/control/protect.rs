//! What becomes of live flows, and of sessions that are looked after, when other rules are put in place.

use std::net::SocketAddr;

use palisade_engine::conntrack::{ConnId, Tuple};
use palisade_engine::rules::{Ruleset, names};
use palisade_engine::{self as engine, Engine, Exchange, Foreseen, Preview, Replacement};
use palisade_wire::{Timestamp, proto};

use super::judgement::{Texts, judgement};
use super::message::{Cut, Flow, Judgement, Session, Term};

/// Connections that are asked about while the gate waits.
pub(crate) const AT_ONCE: usize = 256;

/// Flows that are told, at most.
pub(crate) const TOLD: usize = 10_000;

/// A session that new rules would end.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the session {session} would be cut: packets {direction} would be judged {} by {}{}",
    by.verdict, by.by, quoted(&by.rule)
)]
pub struct Cutting {
    /// Which.
    pub session: Session,
    /// Whose packets: `from ADDRESS`.
    pub direction: String,
    /// By what.
    pub by: Judgement,
}

fn quoted(rule: &str) -> String {
    match rule {
        "" => String::new(),
        rule => format!(" ({rule})"),
    }
}

/// The rules of a replacement, by family.
fn rules(by: &Replacement) -> [Option<&Ruleset>; 2] {
    [&by.rules4, &by.rules6].map(|exchange| match exchange {
        Exchange::Keep | Exchange::For(None) => None,
        Exchange::For(Some(rules)) => Some(rules),
    })
}

/// The first of the sessions that go on by the rules that there are, and would not by the others.
pub(crate) fn cut(
    engine: &Engine,
    by: &Replacement,
    sessions: &[Session],
    now: Timestamp,
) -> Result<Option<Cutting>, engine::SetupError> {
    if sessions.is_empty() {
        return Ok(None);
    }
    let mut preview = engine.preview(by.clone())?;
    for session in sessions {
        let asked = engine::Session {
            protocol: proto::TCP,
            peer: (session.from.ip(), session.from.port()),
            here: (session.to.ip(), session.to.port()),
        };
        let after = preview.session(engine, &asked, now);
        let Some(stopped) = after.stopped_by() else {
            continue;
        };
        // What does not go on now is not what somebody sits in: it goes another way than by this gate.
        if !engine.foresee(&asked, now).goes_on() {
            continue;
        }
        let sender = if after.coming.passes() {
            session.to
        } else {
            session.from
        };
        return Ok(Some(Cutting {
            session: *session,
            direction: format!("from {}", sender.ip()),
            by: told(Texts::Instead(rules(by), engine), stopped),
        }));
    }
    Ok(None)
}

fn told(texts: Texts<'_>, foreseen: &Foreseen) -> Judgement {
    judgement(texts, foreseen.verdict, &foreseen.ended)
}

/// Live flows that other rules judge differently.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Connections that are to end.
    pub(crate) ending: Vec<ConnId>,
    /// What is told of flows, as long as there are not too many.
    pub(crate) flows: Vec<Flow>,
    /// Those beyond.
    pub(crate) untold: u64,
}

impl Judged {
    /// Asks about connections; of those that `cut` wants ended the new rules must let a packet not pass.
    pub(crate) fn ask(
        &mut self,
        engine: &Engine,
        (preview, by): (&mut Preview, &Replacement),
        cut: &Cut,
        connections: impl Iterator<Item = ConnId>,
        now: Timestamp,
    ) {
        for id in connections {
            let differences = preview.of(engine, id, now);
            let ending = differences
                .iter()
                .any(|d| !d.after.passes() && d.before.passes() && wanted(engine, cut, d));
            if ending {
                self.ending.push(id);
            }
            for difference in differences {
                if self.flows.len() == TOLD {
                    self.untold += 1;
                    continue;
                }
                let [from, to] = ends(&difference.tuple);
                self.flows.push(Flow {
                    connection: difference.number,
                    protocol: protocol(difference.tuple.protocol),
                    from,
                    to,
                    direction: difference.direction.name().to_ascii_lowercase(),
                    old: told(Texts::Of(engine), &difference.before),
                    new: told(Texts::Instead(rules(by), engine), &difference.after),
                    cut: ending,
                });
            }
        }
    }
}

/// Whether a connection is among those that are to be cut.
fn wanted(engine: &Engine, cut: &Cut, difference: &engine::Difference) -> bool {
    let terms = match cut {
        Cut::Keep => return false,
        Cut::All => return true,
        Cut::Matching(terms) => terms,
    };
    let connection = engine.conntrack().connection(difference.id);
    let Some([original, reply]) = connection.map(|c| c.tuples()) else {
        return false;
    };
    let tuples = [original, reply];
    terms.iter().all(|term| match term {
        Term::Host(address) => tuples
            .iter()
            .any(|t| t.source == *address || t.destination == *address),
        Term::Port(port) => tuples
            .iter()
            .any(|t| [t.source_port(), t.destination_port()].contains(&Some(*port))),
        Term::Protocol(name) => {
            let number = original.protocol;
            protocol(number) == *name || number.to_string() == *name
        }
        Term::Connection(number) => difference.number == *number,
        Term::Verdict(name) => difference.after.verdict.name() == name,
    })
}

/// The ends of a flow as text: address and port, where it has ports.
pub(crate) fn ends(tuple: &Tuple) -> [String; 2] {
    let end = |address, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    [
        end(tuple.source, tuple.source_port()),
        end(tuple.destination, tuple.destination_port()),
    ]
}

/// A protocol by its name, or its number.
pub(crate) fn protocol(number: u8) -> String {
    names::protocol_name(number)
}
