//! One packet through connection tracking: state at the first hook, helper and confirm after the
//! last (kernel `nf_conntrack_in`, `nf_confirm`).

use std::sync::Arc;

use palisade_wire::{Family, Packet, Timestamp, proto};

use crate::State;
use crate::connection::{ConnId, Connection, Deadline, Status};
use crate::extract;
use crate::proto::icmp::Message;
use crate::proto::tcp::{TcpState, TcpStep};
use crate::proto::{Context, Update, gre, icmp, sctp, tcp, udp};
use crate::reason::{DropReason, Ignored, Invalid, Reason};
use crate::table::{Conntrack, NoEntry};
use crate::track::{Template, Track, TrackHook};
use crate::tuple::{Direction, Tuple, TupleProto, Zone};

impl Conntrack {
    /// Kernel `nf_conntrack_in`: the state of a packet, after raw and before mangle. The packet must be
    /// reassembled. Call [`leave`](Self::leave) or [`discard`](Self::discard) afterwards.
    pub fn track(
        &mut self,
        packet: &Packet<'_>,
        hook: TrackHook,
        template: Option<&Template>,
        now: Timestamp,
    ) -> Track {
        let track = self.judge(packet, hook, template, now);
        self.note(track)
    }

    /// Whether checksums are looked at (sysctl `nf_conntrack_checksum`).
    #[inline]
    pub(crate) fn verifies(&self, hook: TrackHook) -> bool {
        hook == TrackHook::Prerouting && self.config.checksum != 0
    }

    /// Counts what was INVALID.
    #[inline]
    pub(crate) fn note(&mut self, track: Track) -> Track {
        self.stats.invalid += u64::from(track.state == State::Invalid);
        track
    }

    /// A packet whose entry asked for repetition and is gone.
    pub(crate) fn again(
        &mut self,
        packet: &Packet<'_>,
        hook: TrackHook,
        from: TcpState,
        now: Timestamp,
    ) -> Track {
        let verify = self.verifies(hook);
        match self.tuple_of(packet) {
            Ok(tuple) => self.resolve_all(packet, &tuple, None, [0; 2], verify, Some(from), now),
            Err(why) => Track::invalid(why),
        }
    }

    fn judge(
        &mut self,
        packet: &Packet<'_>,
        hook: TrackHook,
        template: Option<&Template>,
        now: Timestamp,
    ) -> Track {
        let verify = self.verifies(hook);
        let zones = template.map_or([0, 0], |t| t.zone.ids());
        let tuple = match self.tuple_of(packet) {
            Ok(tuple) => tuple,
            Err(why) => return Track::invalid(why),
        };
        let message = {
            let context = Context {
                packet,
                config: &self.config,
                verify,
            };
            match (tuple.protocol, packet.family()) {
                (proto::ICMP, Family::V4) => icmp::classify_v4(&context),
                (proto::ICMPV6, Family::V6) => icmp::classify_v6(&context),
                _ => Message::Query,
            }
        };
        match message {
            Message::Query => {}
            Message::Invalid(why) => return Track::invalid(why),
            Message::Untracked => {
                let kind = packet.transport().first().copied().unwrap_or(0);
                return Track::none(State::Untracked, Reason::NeverTracked { kind });
            }
            Message::Error { quoted } => {
                let mut track = self.error(packet, quoted, zones, now);
                track.verified = verify || hook == TrackHook::Unfinished;
                return track;
            }
        }
        self.resolve_all(packet, &tuple, template, zones, verify, None, now)
    }

    #[allow(clippy::too_many_arguments)]
    fn resolve_all(
        &mut self,
        packet: &Packet<'_>,
        tuple: &Tuple,
        template: Option<&Template>,
        zones: [Zone; 2],
        verify: bool,
        mut reopened: Option<TcpState>,
        now: Timestamp,
    ) -> Track {
        // An entry that asks for repetition is gone in the next round; with zones there may be two, one
        // found by either direction's zone.
        for _ in 0..3 {
            match self.resolve(packet, tuple, template, zones, verify, reopened, now) {
                Resolved::Track(track) => return track,
                Resolved::Repeat(from) => reopened = Some(from),
            }
        }
        Track::invalid(Invalid::WrongFamily {
            protocol: tuple.protocol,
        })
    }

    /// The tuple of a packet; of a PPTP call its own key is known from its control connection (kernel
    /// `gre_pkt_to_tuple`).
    fn tuple_of(&self, packet: &Packet<'_>) -> Result<Tuple, Invalid> {
        let mut tuple = extract::tuple(packet)?;
        // Call id 0 is one like any other; what has no call id is not looked up.
        if let TupleProto::Gre {
            source,
            destination,
        } = &mut tuple.proto
            && extract::has_call_id(packet)
        {
            *source = self
                .gre_keys
                .source_of(packet.source(), packet.destination(), *destination);
        }
        Ok(tuple)
    }

    /// Kernel `resolve_normal_ct` and `nf_conntrack_handle_packet`.
    #[allow(clippy::too_many_arguments)]
    fn resolve(
        &mut self,
        packet: &Packet<'_>,
        tuple: &Tuple,
        template: Option<&Template>,
        zones: [Zone; 2],
        verify: bool,
        reopened: Option<TcpState>,
        now: Timestamp,
    ) -> Resolved {
        let (index, direction, fresh) = match self.find(tuple, zones, now) {
            Some((index, direction)) => (index, direction, false),
            None => match self.create(tuple, template, zones, now) {
                Ok(index) => (index, Direction::Original, true),
                Err(NoEntry::NotInvertible) => {
                    return Resolved::Track(Track::invalid(Invalid::IcmpCannotStart {
                        kind: packet.transport().first().copied().unwrap_or(0),
                    }));
                }
                Err(NoEntry::Full) => return Resolved::Track(self.full()),
            },
        };
        self.step(packet, (index, direction, fresh), verify, reopened, now)
    }

    /// What is said of a packet that finds the table full.
    pub(crate) fn full(&self) -> Track {
        let max = self.config.max;
        let mut track = Track::none(State::Invalid, Reason::TableFull { max });
        track.drop = Some(DropReason::TableFull { max });
        track
    }

    /// A packet's step on a connection outside of any zone.
    #[inline]
    pub(crate) fn step_on(
        &mut self,
        packet: &Packet<'_>,
        on: (u32, Direction, bool),
        verify: bool,
        hook: TrackHook,
        now: Timestamp,
    ) -> Track {
        match self.step(packet, on, verify, None, now) {
            Resolved::Track(track) => track,
            Resolved::Repeat(from) => self.again(packet, hook, from, now),
        }
    }

    /// What a packet does to the connection that it belongs to. Inlined, as what it is made of: what is handed over through
    /// memory is read wider than it was written, which a processor waits for.
    #[inline(always)]
    fn step(
        &mut self,
        packet: &Packet<'_>,
        (index, direction, fresh): (u32, Direction, bool),
        verify: bool,
        reopened: Option<TcpState>,
        now: Timestamp,
    ) -> Resolved {
        let mut tcp =
            (self.explain && packet.protocol() == proto::TCP).then(|| Box::new(TcpStep::default()));
        if self.watched() {
            self.meets(index);
        }
        let stepped = self.advance(packet, (index, direction), verify, now, tcp.as_deref_mut());
        let (id, replied, ignored, kill) = match stepped {
            Stepped::Valid {
                id,
                replied,
                ignored,
                kill,
            } => (id, replied, ignored, kill),
            Stepped::Repeat(from) => {
                self.remove(index);
                return Resolved::Repeat(from);
            }
            Stepped::Invalid(why) => {
                if fresh {
                    self.remove(index);
                }
                let mut track = Track::invalid(why);
                track.tcp = tcp;
                return Resolved::Track(track);
            }
        };
        let Some(connection) = self.slab.get(index) else {
            return Resolved::Track(Track::none(State::Invalid, Reason::NotTracked));
        };
        let state = match direction {
            Direction::Reply => State::Established,
            Direction::Original if replied => State::Established,
            Direction::Original if connection.status.has(Status::EXPECTED) => State::Related,
            Direction::Original => State::New,
        };
        let first_reply = direction == Direction::Reply && !replied;
        let reason = match (ignored, state, fresh) {
            (Some(why), ..) => Reason::Ignored(why),
            (None, State::Related, first) => {
                let (helper, announced) = match &connection.rare().announced {
                    Some((helper, text)) => (*helper, Arc::clone(text)),
                    None => ("", Arc::from("")),
                };
                let parent = connection.master().unwrap_or(0);
                if first {
                    Reason::RelatedByHelper {
                        helper,
                        parent,
                        announced,
                    }
                } else {
                    Reason::RelatedRepeated {
                        helper,
                        parent,
                        announced,
                    }
                }
            }
            (None, State::New, true) => match (reopened, connection.tcp()) {
                (Some(from), _) => Reason::Reopened { from },
                (None, Some(tcp)) if tcp.state != TcpState::SynSent => Reason::PickedUp,
                _ => Reason::FirstPacket,
            },
            (None, State::New, false) => Reason::RepeatedBeforeReply,
            _ if first_reply => Reason::FirstReply,
            _ => Reason::InConnection,
        };
        Resolved::Track(Track {
            state,
            direction,
            connection: Some(id),
            fresh,
            dying: kill,
            verified: false,
            drop: None,
            reason,
            tcp,
        })
    }

    /// The tracker's step, and what follows from it for the entry.
    #[inline(always)]
    pub(crate) fn advance(
        &mut self,
        packet: &Packet<'_>,
        (index, direction): (u32, Direction),
        verify: bool,
        now: Timestamp,
        tcp: Option<&mut TcpStep>,
    ) -> Stepped {
        self.latest = self.latest.max(now);
        let Some(connection) = self.slab.get_mut(index) else {
            return Stepped::Invalid(Invalid::WrongFamily {
                protocol: packet.protocol(),
            });
        };
        let config = self.policies.of(connection.policy(), &self.config);
        let id = ConnId {
            index,
            generation: connection.generation,
        };
        let replied = connection.replied();
        let context = Context {
            packet,
            config,
            verify,
        };
        let before = connection.deadline();
        let (mut ignored, mut counted, mut kill) = (None, false, false);
        match handle(connection, &context, direction, now, tcp) {
            Update::Valid {
                timeout,
                ignored: why,
            } => {
                // Who does not renew the timeout does not count (`nf_ct_refresh_acct` does both).
                if let Some(seconds) = timeout {
                    if !connection.status.has(Status::FIXED_TIMEOUT) {
                        connection.renew(seconds, now);
                    }
                    counted = true;
                }
                ignored = why;
            }
            // The last packet counts, for rules that ask (`nf_ct_kill_acct`).
            Update::Kill => (counted, kill) = (true, true),
            Update::Repeat => {
                return Stepped::Repeat(connection.tcp().map_or(TcpState::None, |tcp| tcp.state));
            }
            Update::Invalid(why) => {
                if sooner(connection.deadline(), before) {
                    self.slab.hasten(index);
                }
                return Stepped::Invalid(why);
            }
        }
        if direction == Direction::Reply {
            connection.status.set(Status::SEEN_REPLY);
        }
        if sooner(connection.deadline(), before) {
            self.slab.hasten(index);
        }
        if counted {
            let bytes = packet.declared_len() as u64;
            self.slab.count(index, direction, bytes);
        }
        if kill {
            self.detach(index);
        }
        Stepped::Valid {
            id,
            replied,
            ignored,
            kill,
        }
    }

    /// An ICMP or ICMPv6 error: RELATED if what it quotes is known (kernel `nf_conntrack_inet_error`).
    fn error(
        &mut self,
        packet: &Packet<'_>,
        quoted: &[u8],
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Track {
        let short = Invalid::QuoteTooShort { have: quoted.len() };
        let Ok(inner) = Packet::parse_truncated(quoted) else {
            return Track::invalid(short);
        };
        if inner.family() != packet.family() {
            return Track::invalid(Invalid::QuoteFamily {
                quoted: inner.family(),
            });
        }
        let Ok(tuple) = self.tuple_of(&inner) else {
            return Track::invalid(short);
        };
        let unknown = Invalid::QuoteUnknown { quoted: tuple };
        let Some(inverse) = tuple.invert() else {
            return Track::invalid(unknown);
        };
        let Some((index, direction)) = self.find(&inverse, zones, now) else {
            return Track::invalid(unknown);
        };
        let Some(connection) = self.entry(index) else {
            return Track::invalid(unknown);
        };
        let own = connection.tuple(direction).destination;
        if packet.destination() != own {
            return Track::invalid(Invalid::QuoteAddress {
                outer: packet.destination(),
                inner: own,
            });
        }
        let transport = packet.transport();
        Track {
            state: State::Related,
            direction,
            connection: Some(connection.id()),
            fresh: false,
            dying: false,
            verified: false,
            drop: None,
            reason: Reason::RelatedByIcmp {
                family: packet.family(),
                kind: transport.first().copied().unwrap_or(0),
                code: transport.get(1).copied().unwrap_or(0),
                parent: connection.number(),
                quoted: direction.opposite(),
            },
            tcp: None,
        }
    }

    /// The state of an answer that REJECT makes for a packet (kernel `nf_ct_attach`): tied to the
    /// packet's connection, RELATED, in the other direction. `None` when the packet has no connection; the
    /// answer is then tracked like any other packet.
    pub fn attach(&self, to: &Track) -> Option<Track> {
        let id = to.connection?;
        let parent = self.connection(id).map_or(0, |c| c.number());
        Some(Track {
            state: State::Related,
            direction: to.direction.opposite(),
            connection: Some(id),
            fresh: false,
            dying: false,
            verified: false,
            drop: None,
            reason: Reason::Attached { parent },
            tcp: None,
        })
    }

    /// A reset by REJECT closes a confirmed TCP connection (kernel `nf_conntrack_tcp_set_closing`).
    pub fn set_closing(&mut self, id: ConnId, now: Timestamp) {
        let policy = self.connection(id).and_then(|c| c.policy());
        let close = self.policies.of(policy, &self.config).tcp_timeout_close;
        if let Some(connection) = self.connection_mut(id)
            && connection.confirmed()
            && let Some(mut tcp) = connection.tcp()
            && tcp.state != TcpState::Close
        {
            tcp.state = TcpState::Close;
            connection.set_tcp(&tcp);
            if !connection.status.has(Status::FIXED_TIMEOUT) {
                connection.renew(close, now);
                self.slab.hasten(id.index);
            }
        }
    }
}

/// Whether a deadline is before another one.
#[inline]
pub(crate) fn sooner(deadline: Deadline, than: Deadline) -> bool {
    matches!((deadline, than), (Deadline::At(a), Deadline::At(b)) if a < b)
}

enum Resolved {
    Track(Track),
    Repeat(TcpState),
}

/// What a tracker's step came to.
pub(crate) enum Stepped {
    Valid {
        id: ConnId,
        /// Packets had been seen in both directions before.
        replied: bool,
        ignored: Option<Ignored>,
        /// The connection ended with it.
        kill: bool,
    },
    /// The entry is to go, and the packet to be looked at anew.
    Repeat(TcpState),
    Invalid(Invalid),
}

/// Kernel `nf_conntrack_handle_packet`.
#[inline(always)]
fn handle(
    connection: &mut Connection,
    context: &Context<'_, '_>,
    direction: Direction,
    now: Timestamp,
    step: Option<&mut TcpStep>,
) -> Update {
    let config = context.config;
    match connection.protocol() {
        proto::TCP => {
            if let Err(why) = tcp::check(context) {
                return Update::Invalid(why);
            }
            if !connection.confirmed() {
                match tcp::start(context) {
                    Ok(state) => connection.set_proto(&state),
                    Err(why) => return Update::Invalid(why),
                }
            }
            tcp::update(connection, context, direction, now, step)
        }
        proto::UDP => match udp::check(context) {
            Ok(()) => udp::update(connection, config, now),
            Err(why) => Update::Invalid(why),
        },
        proto::UDPLITE => match udp::check_lite(context) {
            Ok(()) => udp::update_lite(connection, config),
            Err(why) => Update::Invalid(why),
        },
        proto::SCTP => sctp::update(connection, context, direction),
        proto::ICMP | proto::ICMPV6 => icmp::update(connection, config),
        proto::GRE => gre::update(connection, config),
        _ => Update::Valid {
            timeout: Some(config.generic_timeout),
            ignored: None,
        },
    }
}
