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

use palisade_conntrack::defrag::{Defragged, FragmentFault};
use palisade_conntrack::{Announced, Followed, State, Track, TrackHook};
use palisade_rules::{Family, Hook, TableKind};
use palisade_wire::{Buffer, Packet, Timestamp, link::PacketType, proto};

use crate::Engine;
use crate::conclude::Pieces;
use crate::host::AddressKind;
use crate::input::{Bridge, Input, LinkInfo, Route};
use crate::linear::{self, RawState};
use crate::observe::Observer;
use crate::options::{self, Options};
use crate::outcome::{Ended, Outcome, Path, Reply, Verdict};
use crate::routing::{martian, refused_at_once};
use crate::socket::{Ends, Sender};
use crate::tee::Copied;

/// What is known of a packet on its way, and the packet.
pub(crate) struct Journey<'a> {
    pub(crate) buffer: Buffer<'a>,
    pub(crate) family: Family,
    pub(crate) path: Path,
    pub(crate) hook: Hook,
    pub(crate) in_interface: Option<Arc<str>>,
    pub(crate) out_interface: Option<Arc<str>>,
    pub(crate) link: LinkInfo,
    pub(crate) bridge: Bridge,
    /// Its IPv4 options, once the IP layer has read them.
    pub(crate) options: Options,
    /// Its transport checksum is still to be filled in.
    pub(crate) unfinished: bool,
    /// Who made it, while it is on its way out.
    pub(crate) sender: Sender,
    /// The socket that it is for, by its place in the host's list: chosen by TPROXY, or connected.
    pub(crate) socket: Option<usize>,
    pub(crate) track: Option<Track>,
    /// What tracking said on the way out, of a packet that came in again by the loopback interface and was
    /// tracked anew.
    pub(crate) first: Option<Track>,
    pub(crate) raw: RawState,
    pub(crate) mark: u32,
    pub(crate) visited: u32,
    pub(crate) announced: Option<Announced>,
    /// Its destination was translated: the way is to be asked for anew.
    pub(crate) redirected: bool,
    /// It came in a frame to everybody or to a group.
    pub(crate) to_group: bool,
    /// It passes without being routed ([`Route::Wire`](crate::Route::Wire)).
    pub(crate) wired: bool,
    /// A second packet that SYNPROXY made.
    pub(crate) further: Option<Box<Reply>>,
    /// An answer of REJECT to an answer of REJECT: how deep.
    pub(crate) depth: u8,
    /// The rule or policy that accepted it last; filter's word outweighs that of other tables.
    pub(crate) accepted: Option<(TableKind, linear::Decision)>,
    /// A rule that would decide and is not evaluated, while its way goes on.
    pub(crate) unknown: Option<(TableKind, linear::Decision)>,
    /// Copies that were sent of it; `None` for a copy, of which none is made.
    pub(crate) copies: Option<Vec<Copied>>,
    /// What tracking has said of it already, and is not asked again.
    pub(crate) foretold: Option<Followed>,
}

impl<'a> Journey<'a> {
    /// A packet at the beginning of a path, of which nothing else is known.
    pub(crate) fn new(buffer: Buffer<'a>, path: Path) -> Self {
        Journey {
            family: buffer.packet().family(),
            buffer,
            path,
            hook: match path {
                Path::Output | Path::Loopback => Hook::Output,
                _ => Hook::Prerouting,
            },
            in_interface: None,
            out_interface: None,
            link: LinkInfo::default(),
            bridge: Bridge::default(),
            options: Options::default(),
            unfinished: false,
            sender: Sender::Nobody,
            socket: None,
            track: None,
            first: None,
            raw: RawState::default(),
            mark: 0,
            visited: 0,
            announced: None,
            redirected: false,
            to_group: false,
            wired: false,
            further: None,
            depth: 0,
            accepted: None,
            unknown: None,
            copies: Some(Vec::new()),
            foretold: None,
        }
    }
}

/// Keeps fragments for this host apart from those that tracking puts together.
const LOCAL_DELIVERY: u32 = 2;

/// The way ends here.
pub(crate) struct Stop(
    pub(crate) Verdict,
    pub(crate) Ended,
    pub(crate) Option<Box<Reply>>,
);

pub(crate) type Step = Result<(), Stop>;

impl Engine {
    /// One packet through all hooks and tables. The answer of REJECT, if there is one, goes out through
    /// OUTPUT and POSTROUTING at once; the observer is told of the packet's own way only.
    pub fn process<O: Observer>(&mut self, input: &Input<'_>, observer: &mut O) -> Outcome {
        if O::ACTIVE {
            self.settle();
        }
        self.process_foretold(input, None, observer)
    }

    /// As [`process`](Self::process), of a packet that tracking may have seen already.
    pub(crate) fn process_foretold<O: Observer>(
        &mut self,
        input: &Input<'_>,
        foretold: Option<Followed>,
        observer: &mut O,
    ) -> Outcome {
        self.process_gathered(input, (foretold, None), observer)
    }

    /// What reassembly does with a packet that gets there.
    pub(crate) fn gather(&mut self, input: &Input<'_>) -> Option<Reassembled> {
        let packet = Packet::parse(input.bytes).ok()?;
        let (path, ..) = self.way(&packet, input);
        let inward = matches!(path, Path::Input | Path::Forward);
        if inward && refused_at_once(&packet, &input.link).is_some() {
            return None;
        }
        Some(self.reassemble(&packet, inward, input.time))
    }

    /// As [`process`](Self::process), of a packet that reassembly, too, may have seen already.
    pub(crate) fn process_gathered<O: Observer>(
        &mut self,
        input: &Input<'_>,
        (foretold, gathered): (Option<Followed>, Option<Reassembled>),
        observer: &mut O,
    ) -> Outcome {
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
        let hook = match path {
            Path::Output | Path::Loopback => Hook::Output,
            _ => Hook::Prerouting,
        };
        let from_network = matches!(path, Path::Input | Path::Forward);
        if from_network && let Some(ended) = refused_at_once(&packet, &input.link) {
            return Outcome::unseen(Some(&packet), ended);
        }
        let (mut whole, mut largest) = (Vec::new(), 0);
        let gathered = match gathered {
            Some(gathered) => gathered,
            None => self.reassemble(&packet, from_network, input.time),
        };
        let (packet, pieces) = match gathered {
            Reassembled::Whole => (packet, Pieces::One),
            Reassembled::Complete(bytes, pieces, size) => {
                (whole, largest) = (bytes, size);
                match Packet::parse(&whole) {
                    Ok(packet) => (packet, Pieces::Many(pieces)),
                    Err(error) => return Outcome::unseen(None, Ended::NotIp(error)),
                }
            }
            Reassembled::Stop(verdict, ended) => {
                let mut outcome = Outcome::unseen(Some(&packet), ended);
                outcome.verdict = verdict;
                outcome.path = Some(path);
                outcome.hook = Some(hook);
                outcome.in_interface = in_interface;
                outcome.out_interface = out_interface;
                return outcome;
            }
        };
        let spare = std::mem::take(&mut self.scratch);
        let sender = if from_network {
            Sender::Nobody
        } else {
            self.host.sender(input.owner.as_ref(), &packet)
        };
        let mut journey = Journey {
            in_interface,
            out_interface,
            link: input.link,
            bridge: input.bridge.clone(),
            unfinished: input.unfinished,
            sender,
            mark: input.mark,
            foretold,
            wired: matches!(input.route, Route::Wire(..)),
            ..Journey::new(Buffer::new(packet, spare), path)
        };
        let step = self.travel(&mut journey, input.time, observer);
        self.visited += u64::from(journey.visited);
        let mut outcome = self.conclude(journey, step, pieces, input.time);
        if pieces != Pieces::One {
            outcome.reassembled = Some(whole);
            outcome.largest_piece = largest;
        }
        outcome
    }

    fn reassemble(&mut self, packet: &Packet<'_>, inward: bool, now: Timestamp) -> Reassembled {
        if !self.reassemble[packet.family() as usize] {
            return Reassembled::Whole;
        }
        // The queue looks for a Fragment header and finds half a one.
        if packet.family() == Family::V6
            && packet.chain_broken()
            && packet.fragment().is_none()
            && packet.protocol() == proto::FRAGMENT
        {
            let fault = FragmentFault::HeadersCut;
            return Reassembled::Stop(Verdict::Drop, Ended::FragmentFault(fault));
        }
        if packet.fragment().is_none() {
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
            Defragged::Complete {
                bytes,
                pieces,
                largest,
            } => Reassembled::Complete(bytes, pieces, largest),
        }
    }

    /// The route.
    pub(crate) fn travel<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        match journey.path {
            Path::Output | Path::Loopback => {
                // What a packet made here will travel in is not known yet.
                journey.link.packet_type = None;
                self.output(journey, now, observer)?;
                if journey.path == Path::Output {
                    return Ok(());
                }
                // What goes to this host itself comes in by the loopback interface, and is nobody's there.
                journey.sender = Sender::Nobody;
                journey.in_interface = Some(Arc::from("lo"));
                journey.out_interface = None;
                // A packet that belongs to nothing is looked at anew there.
                if journey
                    .track
                    .as_ref()
                    .is_some_and(|t| t.state == State::Invalid && t.connection.is_none())
                {
                    journey.first = journey.track.take();
                    // An error is refused before it is looked up, which leaves it as it was; a reset is refused by
                    // the tracker, which leaves nothing (`nf_conntrack_in`).
                    let icmp = matches!(
                        journey.buffer.packet().protocol(),
                        proto::ICMP | proto::ICMPV6
                    );
                    journey.raw = RawState {
                        locked: journey.raw.locked && icmp,
                        ..RawState::default()
                    };
                }
                self.prerouting(journey, now, observer)?;
                // Translated to somewhere else it is a packet from outside with one of our addresses, which IPv4
                // refuses and IPv6 forwards.
                let packet = journey.buffer.packet();
                if std::mem::take(&mut journey.redirected)
                    && !self.host.is_local(packet.destination())
                {
                    let (source, destination) = (packet.source(), packet.destination());
                    if source.is_ipv4() {
                        return Err(Stop(Verdict::Drop, Ended::Martian(source), None));
                    }
                    self.route_anew(journey);
                    self.reachable(destination)?;
                    return self.forward(journey, now, observer);
                }
                self.read_options(journey, now)?;
                self.deliver(journey, now, observer)
            }
            Path::Input | Path::Forward => {
                let out = journey.out_interface.take();
                let asked = journey.buffer.packet().destination();
                // Frames to a group's address are frames to that group, where nobody says otherwise; and they
                // stay that when the address is translated.
                let kind = journey
                    .link
                    .packet_type
                    .unwrap_or_else(|| self.host.frame_to(asked, journey.in_interface.as_deref()));
                journey.link.packet_type = Some(kind);
                journey.to_group = matches!(kind, PacketType::Broadcast | PacketType::Multicast);
                self.prerouting(journey, now, observer)?;
                journey.out_interface = out;
                if journey.wired {
                    return self.forward(journey, now, observer);
                }
                // Translated by a connection or by prefix: routing sees only what is there now.
                journey.redirected = false;
                if journey.buffer.packet().destination() != asked {
                    self.route_anew(journey);
                }
                self.find_socket(journey);
                if self.host.marked_local(journey.mark) {
                    journey.path = Path::Input;
                    journey.out_interface = None;
                }
                let packet = journey.buffer.packet();
                martian(&self.host, &(packet.source(), packet.destination()))?;
                if journey.path == Path::Forward {
                    self.reachable(journey.buffer.packet().destination())?;
                } else {
                    self.joined(journey)?;
                }
                self.read_options(journey, now)?;
                match journey.path {
                    Path::Input => self.deliver(journey, now, observer),
                    _ => self.forward(journey, now, observer),
                }
            }
        }
    }

    /// The IP layer reads the options of what came in, with the address that was asked for or else ours towards the
    /// sender (kernel `ip_rcv_options`, `fib_compute_spec_dst`).
    fn read_options(&self, journey: &mut Journey<'_>, now: Timestamp) -> Step {
        let packet = journey.buffer.packet();
        if !options::any(&packet) {
            return Ok(());
        }
        let (source, destination) = (packet.source(), packet.destination());
        let own = if self.host.is_local(destination) {
            Some(destination)
        } else {
            self.host.source_towards(source)
        };
        let Some(said) = options::compile(&mut journey.buffer, own, &self.host, now) else {
            return Err(Stop(Verdict::Drop, Ended::Options, None));
        };
        journey.options = said;
        Ok(())
    }

    /// A connected socket of this host takes what is for it before anybody asks for the way (kernel
    /// `tcp_v4_early_demux`, `udp_v4_early_demux`).
    fn find_socket(&self, journey: &mut Journey<'_>) {
        let packet = journey.buffer.packet();
        if journey.socket.is_none() && packet.fragment().is_none() && self.host.sockets.is_some() {
            journey.socket = Ends::coming(&packet).and_then(|ends| self.host.connected(&ends));
        }
    }

    /// To this host: an IPv4 fragment that nothing put together yet is put together before INPUT (kernel
    /// `ip_local_deliver`).
    fn deliver<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        let packet = journey.buffer.packet();
        if packet.family() != Family::V4 || packet.fragment().is_none() {
            return self.input(journey, now, observer);
        }
        let config = self.conntrack.config().clone();
        match self.defrag.push(&packet, LOCAL_DELIVERY, &config, now) {
            Defragged::Whole => self.input(journey, now, observer),
            Defragged::Held => Err(Stop(Verdict::Stolen, Ended::Fragment, None)),
            Defragged::Dropped(fault) => {
                Err(Stop(Verdict::Drop, Ended::FragmentFault(fault), None))
            }
            Defragged::Complete { bytes, .. } => {
                journey.buffer.replace_all(bytes);
                match journey.buffer.reparse() {
                    Ok(()) => self.input(journey, now, observer),
                    Err(error) => Err(Stop(Verdict::Drop, Ended::NotIp(error), None)),
                }
            }
        }
    }

    fn prerouting<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Prerouting;
        self.table(TableKind::Raw, journey, now, observer)?;
        self.track(journey, TrackHook::Prerouting, now, observer)?;
        self.table(TableKind::Mangle, journey, now, observer)?;
        self.nat(journey, now, observer)
    }

    fn input<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Input;
        self.table(TableKind::Mangle, journey, now, observer)?;
        self.table(TableKind::Filter, journey, now, observer)?;
        self.table(TableKind::Security, journey, now, observer)?;
        self.nat(journey, now, observer)?;
        self.leave(journey, now)
    }

    fn forward<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        if !journey.wired {
            Self::pass_on(journey)?;
        }
        journey.hook = Hook::Forward;
        self.table(TableKind::Mangle, journey, now, observer)?;
        self.table(TableKind::Filter, journey, now, observer)?;
        self.table(TableKind::Security, journey, now, observer)?;
        if !journey.wired && options::any(&journey.buffer.packet()) {
            let destination = journey.buffer.packet().destination();
            let leaving = self.host.source_towards(destination);
            options::forwarded(&mut journey.buffer, journey.options, leaving);
        }
        self.postrouting(journey, now, observer)
    }

    /// What a router asks first of what it forwards, and does to it (kernel `ip_forward` and `ip6_forward`).
    fn pass_on(journey: &mut Journey<'_>) -> Step {
        let packet = journey.buffer.packet();
        if journey.to_group {
            return Err(Stop(Verdict::Drop, Ended::FrameToAll, None));
        }
        if journey.socket.is_some() {
            return Err(Stop(Verdict::Drop, Ended::Claimed, None));
        }
        let ttl = packet.ttl();
        if ttl <= 1 {
            return Err(Stop(Verdict::Drop, Ended::TimeToLive(ttl), None));
        }
        // Link-local and unspecified sources stay on their link (kernel `ip6_forward`, which does not look
        // when the packet goes out where it came in).
        if let IpAddr::V6(source) = packet.source()
            && journey.in_interface != journey.out_interface
            && (source.is_unspecified() || source.segments()[0] & 0xffc0 == 0xfe80)
        {
            return Err(Stop(Verdict::Drop, Ended::Martian(packet.source()), None));
        }
        // FORWARD sees the time to live lowered already, and REJECT quotes that packet.
        journey.buffer.set_ttl(ttl - 1);
        Ok(())
    }

    fn output<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Output;
        self.table(TableKind::Raw, journey, now, observer)?;
        self.track(journey, TrackHook::Output, now, observer)?;
        let asked = journey.buffer.packet().destination();
        self.table(TableKind::Mangle, journey, now, observer)?;
        journey.redirected |= journey.buffer.packet().destination() != asked;
        self.nat(journey, now, observer)?;
        // A translated destination changes the way, but OUTPUT's rules still see the interface of before.
        self.table(TableKind::Filter, journey, now, observer)?;
        self.table(TableKind::Security, journey, now, observer)?;
        if std::mem::take(&mut journey.redirected) {
            let destination = journey.buffer.packet().destination();
            if self.host.is_local(destination) {
                journey.path = Path::Loopback;
                journey.out_interface = Some(Arc::from("lo"));
            } else {
                journey.path = Path::Output;
                if let Some(interface) = self.host.interface_towards(destination) {
                    journey.out_interface = Some(Arc::from(interface.name.as_str()));
                }
            }
        }
        if journey.path == Path::Output {
            self.loop_back(journey, now);
        }
        self.postrouting(journey, now, observer)
    }

    /// A copy of a broadcast goes out first, and comes in again for programs of this host (kernel
    /// `ip_mc_output`). It counts like any packet; the outcome is that of the packet itself.
    fn loop_back(&mut self, journey: &mut Journey<'_>, now: Timestamp) {
        let packet = journey.buffer.packet();
        if self.host.kind(packet.destination()) != AddressKind::Broadcast {
            return;
        }
        let bytes = packet.bytes().to_vec();
        let Ok(packet) = Packet::parse(&bytes) else {
            return;
        };
        // Copies belong to nobody.
        let mut copy = Journey {
            hook: Hook::Postrouting,
            out_interface: journey.out_interface.clone(),
            track: journey.track.clone(),
            raw: journey.raw,
            mark: journey.mark,
            unfinished: journey.unfinished,
            depth: journey.depth,
            ..Journey::new(Buffer::new(packet, Vec::new()), Path::Input)
        };
        let out = self.postrouting(&mut copy, now, &mut ());
        // Who confirms a connection first has confirmed it for both.
        if let (Some(own), Some(copied)) = (&mut journey.track, &copy.track) {
            own.fresh = copied.fresh;
        }
        if out.is_ok() {
            copy.in_interface = copy.out_interface.take();
            copy.link.packet_type = Some(PacketType::Loopback);
            let _ = self
                .prerouting(&mut copy, now, &mut ())
                .and_then(|()| self.read_options(&mut copy, now))
                .and_then(|()| self.input(&mut copy, now, &mut ()));
        }
    }

    fn postrouting<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        journey.hook = Hook::Postrouting;
        self.table(TableKind::Mangle, journey, now, observer)?;
        self.nat(journey, now, observer)?;
        self.leave(journey, now)
    }
}

/// What reassembly does with a packet.
pub(crate) enum Reassembled {
    Whole,
    /// The datagram, its number of pieces, and the length of the largest.
    Complete(Vec<u8>, usize, usize),
    Stop(Verdict, Ended),
}
