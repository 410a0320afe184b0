//! The usual way: a packet that is nothing special, through rules that do nothing unusual, without a record of it.
//!
//! Between the short way (`lane.rs`), which knows the decision, and the long one (`path.rs`), which knows everything:
//! tracking and rules are asked as on the long way, in the same order, but whatever the long way is prepared for and
//! this packet cannot meet is left out (fragments, options, translation, helpers, sockets, packets that rules send), and
//! so is the account of what happened. The first packets of connections come this way. Whether a packet may is
//! settled before anything happened to it; an answer or a queue that a rule asks for ends on the long way's last leg.

use std::net::IpAddr;
use std::sync::Arc;

use palisade_conntrack::{Direction, DropReason, State, Track, TrackHook};
use palisade_rules::{Family, Hook, TableKind};
use palisade_wire::{Buffer, Timestamp, link::PacketType};

use crate::Engine;
use crate::ahead::Ready;
use crate::batch::{Arrival, Judged, PortInfo};
use crate::changed::Changed;
use crate::compiled;
use crate::conclude::Pieces;
use crate::detail::Detail;
use crate::host::{AddressKind, Host};
use crate::input::Route;
use crate::lane::Recorded;
use crate::linear::{self, Decision, RawState};
use crate::matches::{Facts, Shared};
use crate::outcome::{Ended, Path, Verdict};
use crate::path::{Journey, Stop};
use crate::remember::{Counter, tables};
use crate::routing::{martian, way_of};
use crate::socket::Sender;

/// How a packet's way through the tables ended.
enum End {
    /// All of them let it pass; what the last one said.
    Passed,
    /// A rule or policy dropped it.
    Dropped(Counter),
    /// In a way that is to be told, or that there is more to do for.
    Told(Told),
}

enum Told {
    /// Tracking dropped it.
    Untracked(DropReason),
    /// A rule said something else.
    Decided(TableKind, Decision),
}

/// What is known of a packet on its usual way.
struct Underway<'n> {
    path: Path,
    came: Option<&'n str>,
    leaves: Option<&'n str>,
    track: Option<Track>,
    mark: u32,
    hook: Hook,
    visited: u32,
}

/// What [`Conntrack::meet`](palisade_conntrack::Conntrack::meet) says.
pub(crate) type Met = Option<(u32, Direction, bool)>;

impl Engine {
    /// Whether the rules of a family, and the host, let packets take the usual way.
    pub(crate) fn usual_open(&self, family: Family) -> bool {
        let program = &self.programs[family as usize];
        self.lane_open(family)
            && !program.unusual
            && program.table(TableKind::Nat).is_none()
            && self.host.sockets.is_none()
            && self.host.local_marks.is_empty()
    }

    /// The usual way; `false` if the packet cannot take it, and nothing happened. `met` is the connection that it meets,
    /// if that was looked up already.
    pub(crate) fn usual_way(
        &mut self,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        met: Option<Met>,
        now: Timestamp,
    ) -> bool {
        let plain = ready.flow.plain();
        let met = met.unwrap_or_else(|| self.conntrack.meet((&ready.flow, arrival.bytes), now));
        let met = match met {
            Some((_, _, false)) => return false,
            Some((slot, direction, true)) => Some((slot, direction)),
            None if !self.conntrack.expects_nothing() => return false,
            None => None,
        };
        let Some(PortInfo { route, bridge }) = self.ports.get(arrival.port.0 as usize) else {
            return false;
        };
        let packet = plain.packet(arrival.bytes);
        let ends = (packet.source(), packet.destination());
        let mut link = arrival.link;
        if link.packet_type == Some(PacketType::OtherHost) {
            return false;
        }
        let target = self.host.kind(ends.1);
        let (path, came, leaves) = way_of(&self.host, &ends, target, route, link.packet_type);
        let own = path == Path::Output;
        let wired = matches!(route, Route::Wire(..));
        if !goes(
            &self.host,
            path,
            (&ends, target),
            (came, leaves),
            (plain.ttl, wired),
        ) {
            return false;
        }
        if own {
            link.packet_type = None;
        } else {
            let kind = link
                .packet_type
                .unwrap_or_else(|| self.host.frame_of(target, ends.1, came));
            if kind != PacketType::Host {
                return false;
            }
            link.packet_type = Some(kind);
        }
        let family = plain.family;
        let mut on = Underway {
            path,
            came,
            leaves,
            track: None,
            mark: arrival.mark,
            hook: if own { Hook::Output } else { Hook::Prerouting },
            visited: 0,
        };
        let track_hook = match own {
            _ if arrival.unfinished => TrackHook::Unfinished,
            true => TrackHook::Output,
            false => TrackHook::Prerouting,
        };
        let mut buffer = Buffer::new(packet, std::mem::take(&mut self.scratch));
        let mut raw = RawState::default();
        let mut asked = false;
        let program = &mut self.programs[family as usize];
        let sender = match &arrival.owner {
            _ if !own => Sender::Nobody,
            Some(owner) => Sender::Owner(owner.clone()),
            None => Sender::Unknown,
        };
        let end = 'end: {
            for &(hook, kind) in tables(path) {
                if kind != TableKind::Raw && !asked {
                    asked = true;
                    let track = self.conntrack.track_met(
                        (&ready.flow, arrival.bytes),
                        met,
                        track_hook,
                        now,
                    );
                    match &track.drop {
                        None => on.track = Some(track),
                        Some(why) if program.needs_tracking => {
                            break 'end End::Told(Told::Untracked(why.clone()));
                        }
                        // The kernel would not track at all: a full table is no obstacle.
                        Some(_) => {}
                    }
                }
                if hook == Hook::Forward && on.hook != Hook::Forward && !wired {
                    buffer.set_ttl(plain.ttl - 1);
                }
                on.hook = hook;
                let Some(table) = program.tables[kind as usize].as_mut() else {
                    continue;
                };
                let out = match hook {
                    Hook::Prerouting | Hook::Input => None,
                    _ => on.leaves,
                };
                let facts = Facts {
                    hook,
                    in_interface: on.came.unwrap_or_default(),
                    out_interface: out.unwrap_or_default(),
                    link: &link,
                    host: &self.host,
                    bridge,
                    made_here: own,
                    sender: &sender,
                    unfinished: arrival.unfinished,
                    now,
                };
                let mut shared = Shared {
                    conntrack: &mut self.conntrack,
                    states: &mut self.states,
                    track: on.track.as_ref(),
                    raw: &mut raw,
                    mark: on.mark,
                    socket: None,
                    frame_is_ours: false,
                    copies: None,
                };
                let decision = compiled::run(
                    table,
                    &mut self.stack,
                    &mut buffer,
                    &facts,
                    &mut shared,
                    &mut on.visited,
                    &mut (),
                );
                on.mark = shared.mark;
                match decision {
                    None => {}
                    Some(decision) => match decision.verdict {
                        linear::Verdict::Accept => {}
                        linear::Verdict::Drop => {
                            break 'end End::Dropped(Counter {
                                table: kind,
                                chain: decision.chain,
                                rule: decision.rule,
                            });
                        }
                        _ => break 'end End::Told(Told::Decided(kind, decision)),
                    },
                }
            }
            End::Passed
        };
        self.visited += u64::from(on.visited);
        let (verdict, decided) = match end {
            End::Passed => {
                let left = match &mut on.track {
                    Some(track) => {
                        let flow = (&ready.flow, met.is_none());
                        self.conntrack.leave_met(flow, track, now)
                    }
                    None => Ok(()),
                };
                match left {
                    Ok(()) => (Verdict::Accept, Some(None)),
                    Err(_) => (Verdict::Drop, None),
                }
            }
            End::Dropped(counter) => (Verdict::Drop, Some(Some(counter))),
            End::Told(told) => {
                let mut journey = Journey {
                    hook: on.hook,
                    in_interface: on.came.map(Arc::from),
                    out_interface: match on.hook {
                        Hook::Prerouting | Hook::Input => None,
                        _ => on.leaves.map(Arc::from),
                    },
                    link,
                    bridge: bridge.clone(),
                    sender,
                    mark: on.mark,
                    visited: on.visited,
                    unfinished: arrival.unfinished,
                    raw,
                    wired,
                    ..Journey::new(buffer, on.path)
                };
                journey.track = on.track;
                let stop = match told {
                    Told::Decided(kind, decision) => self.stop(kind, decision, &journey, now),
                    Told::Untracked(why) => Stop(Verdict::Drop, Ended::Tracking(why), None),
                };
                let outcome = self.conclude(journey, Err(stop), Pieces::One, now);
                arrival.judged = Judged::of(&outcome);
                arrival.judged.detail = Box::new(outcome).into();
                return true;
            }
        };
        let passes = verdict == Verdict::Accept;
        if passes && buffer.changed() {
            let changed = buffer.bytes().len();
            // Nothing but the time to live changed.
            let spare = buffer.into_spare();
            if let Some(bytes) = arrival.bytes.get_mut(..changed) {
                bytes.copy_from_slice(&spare);
            }
            self.scratch = spare;
        } else {
            self.scratch = buffer.into_spare();
        }
        let track = on.track.as_ref();
        arrival.judged = Judged {
            verdict,
            state: track.map(|t| t.state),
            direction: track.and_then(|t| t.connection.map(|_| t.direction)),
            connection: track.and_then(|t| t.connection),
            mark: on.mark,
            changed: Changed::default(),
            detail: Detail::NONE,
        };
        if let Some(track) = &on.track {
            self.conntrack.discard(track);
        }
        if let (Some(decided), Some((slot, direction))) = (decided, met)
            && arrival.judged.state == Some(State::Established)
        {
            let names = (on.came.map(str::to_owned), on.leaves.map(str::to_owned));
            let recorded = Recorded {
                path,
                names: (names.0.as_deref(), names.1.as_deref()),
                decided,
                known: (slot, direction),
            };
            self.record(arrival, &recorded, now);
        }
        true
    }
}

/// Whether routing lets a packet go its path as usual packets go.
fn goes(
    host: &Host,
    path: Path,
    (ends, target): (&(IpAddr, IpAddr), AddressKind),
    (came, leaves): (Option<&str>, Option<&str>),
    (ttl, wired): (u8, bool),
) -> bool {
    let (source, destination) = *ends;
    let usual = |address: IpAddr| !address.is_loopback() && !address.is_multicast();
    if !usual(source) || !usual(destination) || source.is_unspecified() {
        return false;
    }
    match path {
        Path::Input => target == AddressKind::Local && martian(host, ends).is_ok(),
        Path::Forward if wired => true,
        Path::Forward => {
            let stays = match source {
                IpAddr::V6(source) => came != leaves && source.segments()[0] & 0xffc0 == 0xfe80,
                IpAddr::V4(_) => false,
            };
            ttl > 1
                && !stays
                && martian(host, ends).is_ok()
                && (!host.closed || host.interface_towards(destination).is_some())
        }
        Path::Output => target == AddressKind::Unicast,
        Path::Loopback => false,
    }
}
