//! A packet's route through hooks and tables, in netfilter's order: read it top to bottom.
//!
//! ```text
//! PREROUTING : reassembly, raw, connection tracking, mangle, nat
//! routing    : local or forward
//! INPUT      : mangle, filter, security, nat, helper, confirm
//! FORWARD    : (time to live lowered) mangle, filter, security
//! OUTPUT     : raw, connection tracking, mangle, nat, filter, security
//! POSTROUTING: mangle, nat, helper, confirm
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use palisade_conntrack::defrag::Defragged;
use palisade_conntrack::{Announced, Track, TrackHook};
use palisade_rules::{Family, Hook, TableKind, print};
use palisade_wire::{Buffer, Packet, Timestamp, build, link::PacketType};

use crate::host::AddressKind;
use crate::linear::{self, RawState};
use crate::matches::{Context, Shared};
use crate::observe::Observer;
use crate::outcome::{ConnectionView, Ended, Outcome, Path, Verdict, Why};
use crate::{Engine, reject};

/// What the link layer told about a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// Source MAC address.
    pub source_mac: Option<[u8; 6]>,
    /// Destination MAC address.
    pub destination_mac: Option<[u8; 6]>,
    /// Packet type.
    pub packet_type: Option<PacketType>,
}

/// Which way a packet takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Route {
    /// By the host's addresses: to one of them is INPUT, from one OUTPUT, the rest FORWARD.
    #[default]
    Auto,
    /// From the network by this interface; routing decides between INPUT and FORWARD.
    In(Arc<str>),
    /// Made by this host, leaving by this interface.
    Out(Arc<str>),
    /// Through this host.
    Forward(Arc<str>, Arc<str>),
}

/// One packet.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Bytes from the IP header on.
    pub bytes: &'a [u8],
    /// When it came.
    pub time: Timestamp,
    /// Which way.
    pub route: Route,
    /// Link layer.
    pub link: LinkInfo,
    /// The capture kept fewer bytes than there were: what is missing is not held against it.
    pub snapped: bool,
    /// Packet mark that it comes with.
    pub mark: u32,
}

impl<'a> Input<'a> {
    /// A packet at time zero, routed by the host's addresses.
    pub fn new(bytes: &'a [u8]) -> Self {
        Input {
            bytes,
            time: Timestamp::default(),
            route: Route::Auto,
            link: LinkInfo::default(),
            snapped: false,
            mark: 0,
        }
    }
}

/// What is known of a packet on its way.
struct Journey {
    family: Family,
    path: Option<Path>,
    hook: Hook,
    in_interface: Option<Arc<str>>,
    out_interface: Option<Arc<str>>,
    link: LinkInfo,
    track: Option<Track>,
    raw: RawState,
    mark: u32,
    visited: u32,
    announced: Option<Announced>,
    /// The rule or policy that accepted it last; filter's word outweighs that of other tables.
    accepted: Option<(TableKind, linear::Decision)>,
    /// A rule that would decide and is not evaluated, while its way goes on.
    unknown: Option<(TableKind, linear::Decision)>,
}

/// Keeps fragments for this host apart from those that tracking puts together.
const LOCAL_DELIVERY: u32 = 2;

/// The way ends here.
struct Stop(Verdict, Ended, Option<Vec<u8>>);

type Step = Result<(), Stop>;

impl Engine {
    /// One packet through all hooks and tables.
    pub fn process<O: Observer>(&mut self, input: &Input<'_>, observer: &mut O) -> Outcome {
        let parsed = if input.snapped {
            Packet::parse_truncated(input.bytes)
        } else {
            Packet::parse(input.bytes)
        };
        let packet = match parsed {
            Ok(packet) => packet,
            Err(error) => return Outcome::unseen(None, Ended::NotIp(error)),
        };
        let (path, in_interface, out_interface) = self.way(&packet, input);
        let mut journey = Journey {
            family: packet.family(),
            path: Some(path),
            hook: match path {
                Path::Output | Path::Loopback => Hook::Output,
                _ => Hook::Prerouting,
            },
            in_interface,
            out_interface,
            link: input.link,
            track: None,
            raw: RawState::default(),
            mark: input.mark,
            visited: 0,
            announced: None,
            accepted: None,
            unknown: None,
        };
        let from_network = matches!(path, Path::Input | Path::Forward);
        if from_network {
            if input.link.packet_type == Some(PacketType::OtherHost) {
                return Outcome::unseen(Some(&packet), Ended::OtherHost);
            }
            if !packet.header_checksum_ok() {
                return Outcome::unseen(Some(&packet), Ended::HeaderChecksum);
            }
            // IPv6 looks at these before netfilter does (kernel `ip6_rcv_core`).
            if let IpAddr::V6(source) = packet.source()
                && (source.is_multicast()
                    || source.is_loopback()
                    || packet.destination().is_loopback())
            {
                return Outcome::unseen(Some(&packet), Ended::Martian(packet.source()));
            }
        }
        let reassembled = match self.reassemble(&packet, from_network, input.time) {
            Reassembled::Whole => None,
            Reassembled::Complete(bytes, pieces) => Some((bytes, pieces)),
            Reassembled::Stop(verdict, ended) => {
                let mut outcome = Outcome::unseen(Some(&packet), ended);
                outcome.verdict = verdict;
                outcome.path = Some(path);
                outcome.hook = Some(journey.hook);
                outcome.in_interface = journey.in_interface;
                outcome.out_interface = journey.out_interface;
                return outcome;
            }
        };
        let (step, pieces, bytes) = match reassembled {
            None => (
                self.travel(packet, &mut journey, input.time, observer),
                1,
                None,
            ),
            Some((bytes, pieces)) => {
                let step = match Packet::parse(&bytes) {
                    Ok(whole) => self.travel(whole, &mut journey, input.time, observer),
                    Err(error) => Err(Stop(Verdict::Drop, Ended::NotIp(error), None)),
                };
                (step, pieces, Some(bytes))
            }
        };
        self.visited += u64::from(journey.visited);
        self.conclude(journey, step, pieces, bytes, input.time)
    }

    /// The answer of REJECT on its way out through OUTPUT and POSTROUTING, tied to the connection of the
    /// packet that it answers (kernel `nf_ct_attach`) when `to` has one.
    pub fn process_reply<O: Observer>(
        &mut self,
        input: &Input<'_>,
        to: Option<&Track>,
        observer: &mut O,
    ) -> Outcome {
        let attached = to.and_then(|t| self.conntrack.attach(t));
        let Ok(packet) = Packet::parse(input.bytes) else {
            return self.process(input, observer);
        };
        let Some(track) = attached else {
            return self.process(input, observer);
        };
        let (path, in_interface, out_interface) = self.way(&packet, input);
        let mut journey = Journey {
            family: packet.family(),
            path: Some(path),
            hook: Hook::Output,
            in_interface,
            out_interface,
            link: input.link,
            track: Some(track),
            raw: RawState::default(),
            mark: input.mark,
            visited: 0,
            announced: None,
            accepted: None,
            unknown: None,
        };
        let step = self.output(&packet, &mut journey, input.time, observer);
        self.visited += u64::from(journey.visited);
        self.conclude(journey, step, 1, None, input.time)
    }

    /// Path and interfaces of a packet.
    fn way(
        &self,
        packet: &Packet<'_>,
        input: &Input<'_>,
    ) -> (Path, Option<Arc<str>>, Option<Arc<str>>) {
        let name = |address: IpAddr| {
            self.host
                .interface_towards(address)
                .map(|i| Arc::from(i.name.as_str()))
        };
        let (source, destination) = (packet.source(), packet.destination());
        let inward = |address: IpAddr| {
            !matches!(
                self.host.kind(address),
                AddressKind::Unicast | AddressKind::Unspecified
            )
        };
        match &input.route {
            Route::Out(interface) => {
                let path = if self.host.is_local(destination) {
                    Path::Loopback
                } else {
                    Path::Output
                };
                (path, None, Some(Arc::clone(interface)))
            }
            Route::Forward(from, to) => {
                (Path::Forward, Some(Arc::clone(from)), Some(Arc::clone(to)))
            }
            Route::In(interface) => {
                if inward(destination) {
                    (Path::Input, Some(Arc::clone(interface)), None)
                } else {
                    (
                        Path::Forward,
                        Some(Arc::clone(interface)),
                        name(destination),
                    )
                }
            }
            Route::Auto => {
                let from_here = self.host.is_local(source)
                    || input.link.packet_type == Some(PacketType::Outgoing);
                match (from_here, inward(destination)) {
                    (true, true) if self.host.is_local(destination) => {
                        (Path::Loopback, None, Some(Arc::from("lo")))
                    }
                    (true, _) => (Path::Output, None, name(destination)),
                    (false, true) => (Path::Input, name(source), None),
                    (false, false) => (Path::Forward, name(source), name(destination)),
                }
            }
        }
    }

    fn reassemble(&mut self, packet: &Packet<'_>, inward: bool, now: Timestamp) -> Reassembled {
        if packet.fragment().is_none() || !self.reassemble[packet.family() as usize] {
            return Reassembled::Whole;
        }
        // An IPv6 fragment header with offset 0 and nothing to follow goes through the queue too.
        let user = u32::from(!inward);
        let config = self.conntrack.config().clone();
        match self.defrag.push(packet, user, &config, now) {
            Defragged::Whole => Reassembled::Whole,
            Defragged::Held => Reassembled::Stop(Verdict::Stolen, Ended::Fragment),
            Defragged::Dropped(fault) => {
                Reassembled::Stop(Verdict::Drop, Ended::FragmentFault(fault))
            }
            Defragged::Complete { bytes, pieces, .. } => Reassembled::Complete(bytes, pieces),
        }
    }

    /// The route.
    fn travel<O: Observer>(
        &mut self,
        packet: Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        match journey.path {
            Some(Path::Output) => self.output(&packet, journey, now, observer),
            Some(Path::Loopback) => {
                self.output(&packet, journey, now, observer)?;
                journey.in_interface = Some(Arc::from("lo"));
                journey.out_interface = None;
                self.prerouting(&packet, journey, now, observer)?;
                self.input(&packet, journey, now, observer)
            }
            Some(Path::Input) => {
                let out = journey.out_interface.take();
                self.prerouting(&packet, journey, now, observer)?;
                self.martian(&packet)?;
                journey.out_interface = out;
                if packet.family() == Family::V4 && packet.fragment().is_some() {
                    return self.deliver_fragment(&packet, journey, now, observer);
                }
                self.input(&packet, journey, now, observer)
            }
            _ => {
                let out = journey.out_interface.take();
                self.prerouting(&packet, journey, now, observer)?;
                self.martian(&packet)?;
                journey.out_interface = out;
                self.forward(&packet, journey, now, observer)
            }
        }
    }

    /// An IPv4 fragment that nothing put together yet is put together for this host before INPUT
    /// (kernel `ip_local_deliver`).
    fn deliver_fragment<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        let config = self.conntrack.config().clone();
        match self.defrag.push(packet, LOCAL_DELIVERY, &config, now) {
            Defragged::Whole => self.input(packet, journey, now, observer),
            Defragged::Held => Err(Stop(Verdict::Stolen, Ended::Fragment, None)),
            Defragged::Dropped(fault) => {
                Err(Stop(Verdict::Drop, Ended::FragmentFault(fault), None))
            }
            Defragged::Complete { bytes, .. } => match Packet::parse(&bytes) {
                Ok(whole) => self.input(&whole, journey, now, observer),
                Err(error) => Err(Stop(Verdict::Drop, Ended::NotIp(error), None)),
            },
        }
    }

    fn prerouting<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Prerouting;
        self.table(TableKind::Raw, packet, journey, now, observer)?;
        self.track(packet, journey, TrackHook::Prerouting, now, observer)?;
        self.table(TableKind::Mangle, packet, journey, now, observer)?;
        self.nat(packet, journey, now, observer)
    }

    fn input<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Input;
        self.table(TableKind::Mangle, packet, journey, now, observer)?;
        self.table(TableKind::Filter, packet, journey, now, observer)?;
        self.table(TableKind::Security, packet, journey, now, observer)?;
        self.nat(packet, journey, now, observer)?;
        self.leave(packet, journey, now)
    }

    fn forward<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        let ttl = packet.ttl();
        if ttl <= 1 {
            return Err(Stop(Verdict::Drop, Ended::TimeToLive(ttl), None));
        }
        // Link-local and unspecified sources stay on their link (kernel `ip6_forward`).
        if let IpAddr::V6(source) = packet.source()
            && (source.is_unspecified() || source.segments()[0] & 0xffc0 == 0xfe80)
        {
            return Err(Stop(Verdict::Drop, Ended::Martian(packet.source()), None));
        }
        // FORWARD sees the time to live lowered already, and REJECT quotes that packet.
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.extend_from_slice(packet.bytes());
        build::set_ttl(&mut bytes, ttl - 1);
        let step = match Packet::parse_truncated(&bytes) {
            Ok(lowered) => self.forwarded(&lowered, journey, now, observer),
            Err(error) => Err(Stop(Verdict::Drop, Ended::NotIp(error), None)),
        };
        self.scratch = bytes;
        step
    }

    fn forwarded<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Forward;
        self.table(TableKind::Mangle, packet, journey, now, observer)?;
        self.table(TableKind::Filter, packet, journey, now, observer)?;
        self.table(TableKind::Security, packet, journey, now, observer)?;
        self.postrouting(packet, journey, now, observer)
    }

    fn output<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Output;
        self.table(TableKind::Raw, packet, journey, now, observer)?;
        self.track(packet, journey, TrackHook::Output, now, observer)?;
        self.table(TableKind::Mangle, packet, journey, now, observer)?;
        self.nat(packet, journey, now, observer)?;
        self.table(TableKind::Filter, packet, journey, now, observer)?;
        self.table(TableKind::Security, packet, journey, now, observer)?;
        self.postrouting(packet, journey, now, observer)
    }

    fn postrouting<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Postrouting;
        self.table(TableKind::Mangle, packet, journey, now, observer)?;
        self.nat(packet, journey, now, observer)?;
        self.leave(packet, journey, now)
    }

    /// Sources that no packet from the network may have (kernel `ip_route_input_slow`).
    fn martian(&self, packet: &Packet<'_>) -> Step {
        let source = packet.source();
        let destination = packet.destination();
        if destination.is_ipv4() && destination.is_loopback() && !self.host.route_localnet {
            return Err(Stop(Verdict::Drop, Ended::Martian(destination), None));
        }
        let bad = match source {
            IpAddr::V4(s) => {
                (s.is_loopback() && !self.host.route_localnet)
                    || (!s.is_loopback() && self.host.is_local(source))
                    || s.is_multicast()
                    || s.is_broadcast()
                    || (s.is_unspecified()
                        && !packet.destination().is_multicast()
                        && packet.destination() != IpAddr::V4(std::net::Ipv4Addr::BROADCAST))
            }
            IpAddr::V6(_) => false,
        };
        if bad {
            return Err(Stop(Verdict::Drop, Ended::Martian(source), None));
        }
        Ok(())
    }

    /// Connection tracking, unless a raw rule exempted the packet, it was seen already (loopback), or
    /// it is a fragment that nothing put together.
    fn track<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        hook: TrackHook,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        if journey.track.is_some() {
            return Ok(());
        }
        if packet.fragment().is_some() && !self.reassemble[journey.family as usize] {
            return Ok(());
        }
        let track = if journey.raw.untracked {
            Track::untracked()
        } else {
            self.conntrack
                .track(packet, hook, journey.raw.template.as_ref(), now)
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
    fn table<O: Observer>(
        &mut self,
        kind: TableKind,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        let Some(decision) = self.decide(kind, packet, journey, now, observer) else {
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
            _ => Err(self.stop(kind, decision, packet, journey)),
        }
    }

    fn decide<O: Observer>(
        &mut self,
        kind: TableKind,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Option<linear::Decision> {
        let table = self.programs[journey.family as usize].tables[kind as usize].as_mut()?;
        let context = Context {
            packet: *packet,
            hook: journey.hook,
            in_interface: journey.in_interface.as_deref().unwrap_or_default(),
            out_interface: journey.out_interface.as_deref().unwrap_or_default(),
            link: &journey.link,
            host: &self.host,
            now,
        };
        let mut shared = Shared {
            conntrack: &mut self.conntrack,
            limits: &mut self.limits,
            recent: &mut self.recent,
            track: journey.track.as_ref(),
            mark: journey.mark,
        };
        let decision = linear::run(
            table,
            &mut self.stack,
            &context,
            &mut shared,
            &mut journey.raw,
            &mut journey.visited,
            observer,
        );
        journey.mark = shared.mark;
        decision
    }

    /// A verdict other than ACCEPT ends the way.
    fn stop(
        &mut self,
        kind: TableKind,
        decision: linear::Decision,
        packet: &Packet<'_>,
        journey: &Journey,
    ) -> Stop {
        let Some(table) = self.programs[journey.family as usize].table(kind) else {
            return Stop(Verdict::Drop, Ended::NoRules, None);
        };
        let by = decision.decider(table, journey.family);
        match decision.verdict {
            linear::Verdict::Reject(with) => {
                let reply = reject::answer(with, packet, &self.host);
                let (reply, silent) = match reply {
                    Ok(bytes) => (Some(bytes), None),
                    Err(why) => (None, Some(why)),
                };
                Stop(
                    Verdict::Reject,
                    Ended::Rejected {
                        by,
                        with: print::reject_name(with),
                        silent,
                    },
                    reply,
                )
            }
            linear::Verdict::Queue => Stop(Verdict::Queue, Ended::Queued(by), None),
            linear::Verdict::Unknown(what) => {
                Stop(Verdict::Unknown, Ended::Unknown { by, what }, None)
            }
            linear::Verdict::Drop | linear::Verdict::Accept => {
                Stop(Verdict::Drop, Ended::Dropped(by), None)
            }
        }
    }

    /// The nat table sees the first packet of a connection only. Its targets are not evaluated: a rule
    /// that would apply makes the verdict unknown, and the packet goes on as if it had not.
    fn nat<O: Observer>(
        &mut self,
        packet: &Packet<'_>,
        journey: &mut Journey,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        if !journey.track.as_ref().is_some_and(|t| t.fresh) {
            return Ok(());
        }
        let Some(decision) = self.decide(TableKind::Nat, packet, journey, now, observer) else {
            return Ok(());
        };
        match decision.verdict {
            linear::Verdict::Accept => {}
            linear::Verdict::Unknown(_) => {
                journey.unknown.get_or_insert((TableKind::Nat, decision));
            }
            _ => return Err(self.stop(TableKind::Nat, decision, packet, journey)),
        }
        Ok(())
    }

    /// After the last hook: helper and confirm.
    fn leave(&mut self, packet: &Packet<'_>, journey: &mut Journey, now: Timestamp) -> Step {
        let Some(track) = journey.track.as_mut() else {
            return Ok(());
        };
        let mut buffer = Buffer::new(*packet, Vec::new());
        let left = self.conntrack.leave(&mut buffer, track, &(), now);
        journey.announced = left.announced;
        match left.drop {
            Some(reason) => Err(Stop(Verdict::Drop, Ended::Tracking(reason), None)),
            None => Ok(()),
        }
    }

    fn conclude(
        &mut self,
        journey: Journey,
        step: Step,
        pieces: usize,
        reassembled: Option<Vec<u8>>,
        now: Timestamp,
    ) -> Outcome {
        let Journey {
            family,
            path,
            hook,
            in_interface,
            out_interface,
            track,
            mark,
            visited,
            announced,
            accepted,
            unknown,
            ..
        } = journey;
        // A packet that came all the way is told by its way's own hook.
        let hook = match (&step, path) {
            (Err(_), _) | (Ok(()), None) => hook,
            (Ok(()), Some(Path::Input | Path::Loopback)) => Hook::Input,
            (Ok(()), Some(Path::Forward)) => Hook::Forward,
            (Ok(()), Some(Path::Output)) => Hook::Output,
        };
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
        let connection = track
            .as_ref()
            .and_then(|t| t.connection)
            .and_then(|id| self.conntrack.connection(id))
            .map(|c| ConnectionView {
                number: c.number,
                state: c.state_name(),
                timeout: c.timeout(now),
                assured: c.assured(),
                replied: c.replied(),
                mark: c.mark,
                helper: c.helper,
                master: c.master,
                confirmed: c.confirmed(),
            });
        if let Some(track) = &track {
            // A reset by REJECT closes the connection that it answers.
            if let (
                Verdict::Reject,
                Ended::Rejected {
                    with: "tcp-reset",
                    silent: None,
                    ..
                },
                Some(id),
            ) = (verdict, &ended, track.connection)
            {
                self.conntrack.set_closing(id, now);
            }
            self.conntrack.discard(track);
        }
        let (state, direction, reason, tcp) = match track {
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
            path,
            hook: Some(hook),
            in_interface,
            out_interface,
            state,
            direction,
            connection,
            tcp,
            mark,
            verdict,
            reply,
            why: Why {
                state: reason,
                ended,
                announced,
                pieces,
            },
            visited,
            reassembled,
        }
    }
}

enum Reassembled {
    Whole,
    Complete(Vec<u8>, usize),
    Stop(Verdict, Ended),
}

impl Outcome {
    /// A packet that the rules never saw.
    fn unseen(packet: Option<&Packet<'_>>, ended: Ended) -> Self {
        Outcome {
            family: packet.map(|p| p.family()),
            path: None,
            hook: None,
            in_interface: None,
            out_interface: None,
            state: None,
            direction: None,
            connection: None,
            tcp: None,
            mark: 0,
            verdict: Verdict::Drop,
            reply: None,
            why: Why {
                state: None,
                ended,
                announced: None,
                pieces: 1,
            },
            visited: 0,
            reassembled: None,
        }
    }
}
