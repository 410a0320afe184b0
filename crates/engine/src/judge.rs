//! What happens to a packet at one hook: tracking, a table's rules, the end of its way, and what it leaves
//! behind.

use std::sync::Arc;

use palisade_conntrack::reason::Invalid;
use palisade_conntrack::{Reason, State, Track, TrackHook};
use palisade_rules::targets::reject::Reject;
use palisade_rules::{Hook, TableKind};
use palisade_wire::{Buffer, Packet, Timestamp, complete::complete, link::PacketType};

use crate::host::Around;
use crate::linear::{self, RawState};
use crate::matches::{Facts, Shared};
use crate::observe::Observer;
use crate::outcome::{Ended, Path, Reply, Verdict};
use crate::path::{Journey, Step, Stop};
use crate::reject::{self, Circumstances, Sum};
use crate::socket::Sender;
use crate::{Engine, Evaluator, Reassembly, compiled};

/// Answers of REJECT to answers of REJECT: errors are not answered, so that two are the most there are.
const DEEPEST_ANSWER: u8 = 3;

impl Engine {
    /// Connection tracking, unless a raw rule exempted the packet, it was seen already (loopback), or
    /// it is a fragment that nothing put together.
    pub(crate) fn track<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        hook: TrackHook,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        if journey.track.is_some() {
            return Ok(());
        }
        let packet = journey.buffer.packet();
        if packet.fragment().is_some() && !self.reassemble[journey.family as usize] {
            return Ok(());
        }
        let hook = if journey.unfinished {
            TrackHook::Unfinished
        } else {
            hook
        };
        let track = if journey.raw.untracked {
            Track::untracked()
        } else {
            let template = journey.raw.template.as_ref();
            match journey.foretold.take() {
                None => self.conntrack.track(&packet, hook, template, now),
                Some(foretold) => self.conntrack.resume(foretold, &packet, hook, now),
            }
        };
        if O::ACTIVE {
            observer.tracked(&track);
        }
        if track.drop.is_some() && !self.programs[journey.family as usize].needs_tracking {
            // The kernel would not track at all: a full table is no obstacle.
            return Ok(());
        }
        let drop = track.drop.clone();
        journey.track = Some(track);
        match drop {
            Some(reason) => Err(Stop(Verdict::Drop, Ended::Tracking(reason), None)),
            None => Ok(()),
        }
    }

    /// One table at the journey's hook.
    pub(crate) fn table<O: Observer>(
        &mut self,
        kind: TableKind,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        let Some(decision) = self.decide(kind, journey, now, observer) else {
            return Ok(());
        };
        match decision.verdict {
            linear::Verdict::Accept => {
                let outweighed = matches!(journey.accepted, Some((TableKind::Filter, _)))
                    && kind != TableKind::Filter;
                if !outweighed {
                    journey.accepted = Some((kind, decision));
                }
                Ok(())
            }
            _ => Err(self.stop(kind, decision, journey, now)),
        }
    }

    pub(crate) fn decide<O: Observer>(
        &mut self,
        kind: TableKind,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Option<linear::Decision> {
        let table = self.programs[journey.family as usize].tables[kind as usize].as_mut()?;
        let facts = Facts {
            hook: journey.hook,
            in_interface: journey.in_interface.as_deref().unwrap_or_default(),
            out_interface: journey.out_interface.as_deref().unwrap_or_default(),
            link: &journey.link,
            host: &self.host,
            bridge: &journey.bridge,
            made_here: matches!(journey.path, Path::Output | Path::Loopback),
            sender: &journey.sender,
            unfinished: journey.unfinished,
            now,
        };
        let mut shared = Shared {
            conntrack: &mut self.conntrack,
            states: &mut self.states,
            track: journey.track.as_ref(),
            raw: &mut journey.raw,
            mark: journey.mark,
            socket: journey.socket,
            frame_is_ours: false,
            copies: journey.copies.as_ref().map(|_| Vec::new()),
        };
        let run = match self.evaluator {
            Evaluator::Compiled if !O::FAILURES => compiled::run,
            _ => linear::run,
        };
        let decision = run(
            table,
            &mut self.stack,
            &mut journey.buffer,
            &facts,
            &mut shared,
            &mut journey.visited,
            observer,
        );
        (journey.mark, journey.socket) = (shared.mark, shared.socket);
        if shared.frame_is_ours {
            journey.link.packet_type = Some(PacketType::Host);
            journey.to_group = false;
        }
        for mut asked in shared.copies.into_iter().flatten() {
            if journey.unfinished {
                complete(&mut asked.bytes);
            }
            let copied = self.send_copy(asked, now);
            if let Some(copies) = &mut journey.copies {
                copies.extend(copied);
            }
        }
        decision
    }

    /// A verdict other than ACCEPT ends the way; REJECT's answer goes its own way first.
    pub(crate) fn stop(
        &mut self,
        kind: TableKind,
        decision: linear::Decision,
        journey: &Journey<'_>,
        now: Timestamp,
    ) -> Stop {
        let Some(table) = self.programs[journey.family as usize].table(kind) else {
            return Stop(Verdict::Drop, Ended::NoRules, None);
        };
        let by = decision.decider(table, journey.family);
        match decision.verdict {
            linear::Verdict::Reject(with) => {
                let of = Circumstances {
                    host: &self.host,
                    now,
                    hook: journey.hook,
                    frame: journey.link.packet_type,
                    in_interface: journey.in_interface.as_deref(),
                    options: journey.options,
                    sum: self.sum(journey),
                };
                let reply = reject::answer(with, &journey.buffer.packet(), &of);
                if with == Reject::TcpReset
                    && reply.is_ok()
                    && let Some(id) = journey.track.as_ref().and_then(|t| t.connection)
                {
                    self.conntrack.set_closing(id, now);
                }
                let reply = reply.and_then(|bytes| self.can_leave(bytes));
                let (reply, silent) = match reply {
                    Ok(_) if journey.depth >= DEEPEST_ANSWER => {
                        (None, Some("an answer to an answer"))
                    }
                    Ok(bytes) => {
                        // Errors leave by a socket of the kernel's own, resets by none.
                        let sender = match with {
                            Reject::TcpReset => Sender::Nobody,
                            _ => Sender::Kernel,
                        };
                        let track = journey.track.as_ref();
                        let raw = RawState {
                            locked: track.is_some_and(|t| t.state == State::Untracked),
                            ..RawState::default()
                        };
                        let track = track.and_then(|t| self.conntrack.attach(t));
                        let reply = self.answer(bytes, (sender, track, raw), journey, now);
                        let stopped = reply.sent.is_none();
                        (
                            Some(Box::new(reply)),
                            stopped.then_some("the rules of OUTPUT stop it"),
                        )
                    }
                    Err(why) => (None, Some(why)),
                };
                Stop(
                    Verdict::Reject,
                    Ended::Rejected {
                        by,
                        with: with.name(),
                        silent,
                    },
                    reply,
                )
            }
            linear::Verdict::Queue => Stop(Verdict::Queue, Ended::Queued(by), None),
            linear::Verdict::Proxied(made) => {
                let what = if made.answer {
                    "the SYN is answered with a cookie"
                } else {
                    "the cookie is right, and the server is asked"
                };
                let ended = Ended::Answered { by, what };
                let reply = match self.can_leave(made.bytes.clone()) {
                    Ok(_) if journey.depth < DEEPEST_ANSWER => {
                        Some(Box::new(self.send_made(made, journey, now)))
                    }
                    _ => None,
                };
                Stop(Verdict::Stolen, ended, reply)
            }
            linear::Verdict::Unheard => Stop(Verdict::Drop, Ended::Unheard(by), None),
            linear::Verdict::Unknown(what) => {
                Stop(Verdict::Unknown, Ended::Unknown { by, what }, None)
            }
            linear::Verdict::Drop | linear::Verdict::Accept | linear::Verdict::Translate => {
                Stop(Verdict::Drop, Ended::Dropped(by), None)
            }
        }
    }

    /// What is known of a packet's transport checksum.
    fn sum(&self, journey: &Journey<'_>) -> Sum {
        if journey.unfinished {
            return Sum::Unfinished;
        }
        let came = matches!(journey.path, Path::Input | Path::Forward) || journey.first.is_some();
        let tracked = journey.track.as_ref();
        // Who puts fragments together whatever the rules are tracks connections for somebody else.
        let asked = self.programs[journey.family as usize].needs_tracking
            || self.reassembly == Reassembly::Always;
        let seen = tracked.is_some_and(|t| {
            !matches!(
                t.reason,
                Reason::NotTracked | Reason::Invalid(Invalid::Checksum { .. })
            )
        });
        if came && asked && seen && self.conntrack.config().checksum != 0 {
            Sum::Seen
        } else {
            Sum::Unknown
        }
    }

    /// Whether an answer has a way to go, where all ways are known.
    pub(crate) fn can_leave(&self, bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let destination = Packet::parse(&bytes).map(|p| p.destination());
        match destination {
            Ok(to) if self.host.is_local(to) || self.reachable(to).is_ok() => Ok(bytes),
            _ => Err("no route to the sender"),
        }
    }

    /// After the last hook: helper, sequence numbers, confirm.
    pub(crate) fn leave(&mut self, journey: &mut Journey<'_>, now: Timestamp) -> Step {
        if self.programs[journey.family as usize].proxies {
            self.proxied(journey, now)?;
        }
        let Some(track) = journey.track.as_mut() else {
            return Ok(());
        };
        let around = Around {
            host: &self.host,
            made_here: matches!(journey.path, Path::Output | Path::Loopback),
            looped: journey.path == Path::Loopback && journey.hook == Hook::Input,
            out_interface: journey.out_interface.as_deref(),
        };
        let left = self
            .conntrack
            .leave(&mut journey.buffer, track, &around, now);
        if left.announced.is_some() {
            journey.announced = left.announced;
        }
        match left.drop {
            Some(reason) => Err(Stop(Verdict::Drop, Ended::Tracking(reason), None)),
            None => Ok(()),
        }
    }

    /// An answer that a rule made for `journey`'s packet, on its way out, with its sender, what is known of it to
    /// connection tracking (kernel `nf_ct_attach`) and what is said of tracking to come.
    pub(crate) fn answer(
        &mut self,
        made: Vec<u8>,
        (sender, track, raw): (Sender, Option<Track>, RawState),
        journey: &Journey<'_>,
        now: Timestamp,
    ) -> Reply {
        let mut reply = Reply {
            made,
            state: None,
            direction: None,
            sent: None,
        };
        let bytes = &reply.made;
        let Ok(packet) = Packet::parse(bytes) else {
            return reply;
        };
        let destination = packet.destination();
        let towards = |address| {
            self.host
                .interface_towards(address)
                .map(|i| Arc::from(i.name.as_str()))
        };
        let (path, out_interface) = if self.host.is_local(destination) {
            (Path::Loopback, Some(Arc::from("lo")))
        } else {
            let out = towards(destination).or_else(|| journey.in_interface.clone());
            (Path::Output, out)
        };
        let mut own = Journey {
            out_interface,
            sender,
            track,
            raw,
            depth: journey.depth + 1,
            ..Journey::new(Buffer::new(packet, Vec::new()), path)
        };
        let step = self.travel(&mut own, now, &mut ());
        if let Some(track) = &own.track {
            self.conntrack.discard(track);
        }
        let track = own.first.as_ref().or(own.track.as_ref());
        let state = track.map(|t| t.state);
        let direction = track.and_then(|t| t.connection.map(|_| t.direction));
        let sent = step.ok().map(|()| own.buffer.bytes().to_vec());
        (reply.state, reply.direction, reply.sent) = (state, direction, sent);
        reply
    }
}
