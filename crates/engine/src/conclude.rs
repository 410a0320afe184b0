//! The end of a packet's way: its outcome, and what is forgotten with it.

use palisade_rules::{Hook, TableKind};
use palisade_wire::{Packet, Timestamp, complete::complete};

use crate::Engine;
use crate::changed::Changed;
use crate::linear;
use crate::outcome::{ConnectionView, Ended, Outcome, Path, Translation, Verdict, Why};
use crate::path::{Journey, Step, Stop};

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Whole.
    One,
    /// In fragments, and this one was the last to come.
    Many(usize),
}

impl Engine {
    pub(crate) fn conclude(
        &mut self,
        journey: Journey<'_>,
        step: Step,
        pieces: Pieces,
        now: Timestamp,
    ) -> Outcome {
        let Journey {
            mut buffer,
            family,
            path,
            hook,
            in_interface,
            out_interface,
            track,
            first,
            mark,
            visited,
            announced,
            accepted,
            unknown,
            further,
            copies,
            unfinished,
            wired,
            ..
        } = journey;
        // A packet that came all the way is told by its way's own hook.
        let hook = match (&step, path) {
            (Err(_), _) => hook,
            (Ok(()), Path::Input | Path::Loopback) => Hook::Input,
            (Ok(()), Path::Forward) => Hook::Forward,
            (Ok(()), Path::Output) => Hook::Output,
        };
        let passes = step.is_ok();
        let decider = |kind: TableKind, decision: &linear::Decision| {
            self.programs[family as usize]
                .table(kind)
                .map(|table| decision.decider(table, family))
        };
        let (verdict, ended, reply) = match step {
            Err(Stop(verdict, ended, reply)) => (verdict, ended, reply),
            Ok(()) => match (unknown, accepted) {
                (Some((kind, decision)), _) => {
                    let what = match &decision.verdict {
                        linear::Verdict::Unknown(what) => what.clone(),
                        _ => String::new(),
                    };
                    match decider(kind, &decision) {
                        Some(by) => (Verdict::Unknown, Ended::Unknown { by, what }, None),
                        None => (Verdict::Accept, Ended::NoRules, None),
                    }
                }
                (None, Some((kind, decision))) => match decider(kind, &decision) {
                    Some(by) => (Verdict::Accept, Ended::Accepted(by), None),
                    None => (Verdict::Accept, Ended::NoRules, None),
                },
                (None, None) => (Verdict::Accept, Ended::NoRules, None),
            },
        };
        let id = track.as_ref().and_then(|t| t.connection);
        let connection = id
            .and_then(|id| self.conntrack.connection(id))
            .map(|c| ConnectionView {
                number: c.number(),
                state: c.state_name(),
                timeout: c.timeout(now),
                assured: c.assured(),
                replied: c.replied(),
                mark: c.mark,
                helper: c.helper(),
                master: c.master(),
                confirmed: c.confirmed(),
                translation: Translation::of(&c),
            });
        if let Some(track) = &track {
            self.conntrack.discard(track);
        }
        let mut changed = Changed::default();
        if passes && buffer.changed() {
            let routed = path == Path::Forward && !wired;
            changed = Changed::between(buffer.original(), buffer.bytes(), routed);
            // Nobody but who changed it knows that the sum in it stands for something else now.
            if unfinished && changed.any() {
                complete(buffer.edit());
            }
        }
        // Bytes are kept when they are not those that came; else the copy serves the next packet.
        let output = if passes && (buffer.changed() || pieces != Pieces::One) {
            Some(if buffer.changed() {
                buffer.into_spare()
            } else {
                buffer.bytes().to_vec()
            })
        } else {
            self.scratch = buffer.into_spare();
            None
        };
        let (state, direction, reason, tcp) = match first.or(track) {
            Some(t) => {
                let related = t.connection.is_some();
                let state = match t.drop {
                    Some(_) => None,
                    None => Some(t.state),
                };
                (
                    state,
                    related.then_some(t.direction),
                    t.drop.is_none().then_some(t.reason),
                    t.tcp,
                )
            }
            None => (None, None, None, None),
        };
        Outcome {
            family: Some(family),
            path: Some(path),
            hook: Some(hook),
            in_interface,
            out_interface,
            state,
            direction,
            id,
            connection,
            tcp,
            mark,
            verdict,
            reply: reply.map(|r| *r),
            further: further.map(|r| *r),
            why: Why {
                state: reason,
                ended,
                announced,
                pieces: match pieces {
                    Pieces::One => 1,
                    Pieces::Many(pieces) => pieces,
                },
            },
            visited,
            reassembled: None,
            largest_piece: 0,
            output,
            changed,
            copies: copies.unwrap_or_default(),
        }
    }
}

impl Outcome {
    /// A packet that the rules never saw.
    pub(crate) fn unseen(packet: Option<&Packet<'_>>, ended: Ended) -> Self {
        Outcome {
            family: packet.map(|p| p.family()),
            path: None,
            hook: None,
            in_interface: None,
            out_interface: None,
            state: None,
            direction: None,
            id: None,
            connection: None,
            tcp: None,
            mark: 0,
            verdict: Verdict::Drop,
            reply: None,
            further: None,
            why: Why {
                state: None,
                ended,
                announced: None,
                pieces: 1,
            },
            visited: 0,
            reassembled: None,
            largest_piece: 0,
            output: None,
            changed: Changed::default(),
            copies: Vec::new(),
        }
    }
}
