//! The connection table.
//!
//! # Overview
//! Entries live in a slab; every confirmed entry hangs in two chains of one hash table, under its
//! original and its reply tuple. The hash is keyed by a seed of the configuration.
//!
//! # Life cycle
//! [`Conntrack::track`] looks a packet up and makes an unconfirmed entry for a new connection.
//! [`Conntrack::leave`], after the last hook, asks the helper and puts the entry into the hash
//! (confirm). A packet that dies before calls [`Conntrack::discard`], which frees an unconfirmed
//! entry, so that a dropped first packet leaves nothing behind. Entries end by timeout (found dead on
//! lookup, or met by a sweep that looks at a few slots for each new connection), by RST before any reply,
//! by reuse, or by early drop when the table is full.
//!
//! # Bounds
//! `nf_conntrack_max` entries and `nf_conntrack_expect_max` expectations. When full, an unassured
//! entry within eight neighbouring buckets makes room (kernel `early_drop`); if there is none, the
//! packet is dropped.
//!
//! # Locking
//! None: one thread owns the table.

use std::hash::Hasher;
use std::time::Duration;

use palisade_wire::{Family, Packet, Timestamp, proto};
use siphasher::sip::SipHasher13;

use crate::State;
use crate::config::Config;
use crate::connection::{ConnId, Connection, Deadline, ProtoState, Status, Traffic};
use crate::expect::{Expectation, Expectations};
use crate::extract;
use crate::helper::{self, HelperOutput, HelperState};
use crate::proto::icmp::Message;
use crate::proto::tcp::{TcpState, TcpStep};
use crate::proto::{Context, Update, icmp, sctp, tcp, udp};
use crate::reason::{DropReason, Invalid, Reason};
use crate::tuple::{Direction, Tuple, TupleProto, Zone};

/// End of a hash chain.
const NIL: u32 = u32::MAX;

/// In one bucket the reply link stands before the original one (confirm puts it in front), so it goes
/// first: no link is ever left whose predecessor is gone.
const UNCHAIN_ORDER: [Direction; 2] = [Direction::Reply, Direction::Original];

/// Buckets that early drop looks at (kernel `NF_CT_EVICTION_RANGE`).
const EVICTION_RANGE: u32 = 8;

/// Slots that the sweep looks at for each new connection.
const SWEEP_STEP: usize = 8;

/// Slots that the sweep looks at when the table is full.
const SWEEP_FULL: usize = 256;

/// Where a packet meets connection tracking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrackHook {
    /// From the network: checksums are verified if `nf_conntrack_checksum` is 1.
    Prerouting,
    /// Made here: checksums are taken for right.
    Output,
}

/// A zone that rules assign (`-j CT --zone`, `--zone-orig`, `--zone-reply`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZoneSpec {
    /// Zone id.
    pub id: Zone,
    /// Holds in original direction.
    pub original: bool,
    /// Holds in reply direction.
    pub reply: bool,
}

impl Default for ZoneSpec {
    fn default() -> Self {
        ZoneSpec {
            id: 0,
            original: true,
            reply: true,
        }
    }
}

impl ZoneSpec {
    fn ids(self) -> [Zone; 2] {
        [
            if self.original { self.id } else { 0 },
            if self.reply { self.id } else { 0 },
        ]
    }
}

/// What `-j CT` says about connections that do not exist yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Template {
    /// Zone of lookup and creation.
    pub zone: ZoneSpec,
    /// Helper for a new connection, a name of [`helper::CATALOGUE`].
    pub helper: Option<&'static str>,
}

/// What connection tracking says of a packet; kept beside the packet until it leaves.
#[derive(Clone, Debug)]
pub struct Track {
    /// State.
    pub state: State,
    /// Direction within the connection; original where there is none.
    pub direction: Direction,
    /// The connection; for an ICMP error, the quoted one.
    pub connection: Option<ConnId>,
    /// The connection was made by this packet and is not confirmed.
    pub fresh: bool,
    /// The packet ended the connection: out of the hash already, it goes with the packet.
    pub dying: bool,
    /// Set when the packet must be dropped here.
    pub drop: Option<DropReason>,
    /// Why.
    pub reason: Reason,
    /// Window arithmetic, when asked for with [`Conntrack::set_explain`].
    pub tcp: Option<Box<TcpStep>>,
}

impl Track {
    /// A packet exempted by a raw rule.
    pub fn untracked() -> Self {
        Track::none(State::Untracked, Reason::NotTracked)
    }

    fn none(state: State, reason: Reason) -> Self {
        Track {
            state,
            direction: Direction::Original,
            connection: None,
            fresh: false,
            dying: false,
            drop: None,
            reason,
            tcp: None,
        }
    }

    fn invalid(why: Invalid) -> Self {
        Track::none(State::Invalid, Reason::Invalid(why))
    }
}

/// An expectation that a packet announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Helper.
    pub helper: &'static str,
    /// The announcing bytes, as text.
    pub text: String,
}

/// What happened when a packet left.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Leave {
    /// Set when the packet must be dropped after all.
    pub drop: Option<DropReason>,
    /// Expectation made.
    pub announced: Option<Announced>,
}

/// Counts since the table was made (kernel `struct ip_conntrack_stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections confirmed.
    pub inserted: u64,
    /// Packets INVALID.
    pub invalid: u64,
    /// Packets dropped because the table was full.
    pub table_full: u64,
    /// Entries evicted to make room.
    pub early_drop: u64,
    /// Entries ended by timeout.
    pub expired: u64,
    /// Most entries at a time.
    pub peak: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

/// A connection table.
#[derive(Clone, Debug)]
pub struct Conntrack {
    config: Config,
    slots: Vec<Slot>,
    free: Vec<u32>,
    buckets: Vec<u32>,
    live: usize,
    sweep_at: usize,
    next_number: u64,
    expectations: Expectations,
    stats: Stats,
    explain: bool,
}

impl Conntrack {
    /// An empty table. `nf_conntrack_buckets` chains are allocated at once (4 bytes each),
    /// entries as they come.
    pub fn new(config: Config) -> Self {
        let buckets = vec![NIL; config.buckets.clamp(1, 1 << 24) as usize];
        Conntrack {
            config,
            slots: Vec::new(),
            free: Vec::new(),
            buckets,
            live: 0,
            sweep_at: 0,
            next_number: 1,
            expectations: Expectations::default(),
            stats: Stats::default(),
            explain: false,
        }
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether [`Track::tcp`] is filled in; costs an allocation a TCP packet.
    pub fn set_explain(&mut self, explain: bool) {
        self.explain = explain;
    }

    /// Entries, unconfirmed and not yet collected ones included (as `nf_conntrack_count`).
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// An entry, if it still exists.
    #[inline]
    pub fn connection(&self, id: ConnId) -> Option<&Connection> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.connection.as_deref())
            .flatten()
    }

    /// An entry, to set its mark.
    #[inline]
    pub fn connection_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.connection.as_deref_mut())
            .flatten()
    }

    /// Confirmed entries, in no useful order, dead ones that were not collected included.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots
            .iter()
            .filter_map(|s| s.connection.as_deref())
            .filter(|c| c.confirmed() && !c.status.has(Status::DYING))
    }

    /// Expectations, oldest first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter()
    }

    /// Removes everything that ended by `now`.
    pub fn expire(&mut self, now: Timestamp) {
        self.sweep(self.slots.len(), now);
        self.expectations.expire(now);
    }

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
        if track.state == State::Invalid {
            self.stats.invalid += 1;
        }
        track
    }

    fn judge(
        &mut self,
        packet: &Packet<'_>,
        hook: TrackHook,
        template: Option<&Template>,
        now: Timestamp,
    ) -> Track {
        let verify = hook == TrackHook::Prerouting && self.config.checksum != 0;
        let zones = template.map_or([0, 0], |t| t.zone.ids());
        let tuple = match extract::tuple(packet) {
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
            Message::Error { quoted } => return self.error(packet, quoted, zones, now),
        }
        let mut reopened = None;
        // At most one repetition: the entry that asks for it is gone in the second round.
        for _ in 0..2 {
            match self.resolve(packet, &tuple, template, zones, verify, reopened, now) {
                Resolved::Track(track) => return track,
                Resolved::Repeat(from) => reopened = Some(from),
            }
        }
        Track::invalid(Invalid::WrongFamily)
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
        let mut announced = None;
        let (index, direction, fresh) = match self.find(tuple, zones, now) {
            Some((index, direction)) => (index, direction, false),
            None => match self.create(tuple, template, zones, now, &mut announced) {
                Ok(index) => (index, Direction::Original, true),
                Err(NoEntry::NotInvertible) => {
                    return Resolved::Track(Track::invalid(Invalid::IcmpCannotStart {
                        kind: packet.transport().first().copied().unwrap_or(0),
                    }));
                }
                Err(NoEntry::Full) => {
                    let max = self.config.max;
                    let mut track = Track::none(State::Invalid, Reason::TableFull { max });
                    track.drop = Some(DropReason::TableFull { max });
                    return Resolved::Track(track);
                }
            },
        };
        let mut step =
            (self.explain && tuple.protocol == proto::TCP).then(|| Box::new(TcpStep::default()));
        let config = &self.config;
        let Some(connection) = self.slots[index as usize].connection.as_deref_mut() else {
            return Resolved::Track(Track::invalid(Invalid::WrongFamily));
        };
        let id = connection.id;
        let replied = connection.replied();
        let state = match direction {
            Direction::Reply => State::Established,
            Direction::Original if replied => State::Established,
            Direction::Original if connection.status.has(Status::EXPECTED) => State::Related,
            Direction::Original => State::New,
        };
        let context = Context {
            packet,
            config,
            verify,
        };
        let update = handle(connection, &context, direction, now, step.as_deref_mut());
        let mut ignored = None;
        let mut kill = false;
        match update {
            Update::Valid {
                timeout,
                ignored: why,
            } => {
                if let Some(seconds) = timeout
                    && !connection.status.has(Status::FIXED_TIMEOUT)
                {
                    connection.deadline = if connection.confirmed() {
                        Deadline::At(now + Duration::from_secs(seconds))
                    } else {
                        Deadline::AfterConfirm(seconds)
                    };
                }
                let traffic = &mut connection.traffic[direction.index()];
                traffic.packets += 1;
                traffic.bytes += packet.declared_len() as u64;
                ignored = why;
            }
            Update::Kill => kill = true,
            Update::Repeat => {
                let from = match &connection.proto {
                    ProtoState::Tcp(tcp) => tcp.state,
                    _ => TcpState::None,
                };
                self.remove(index);
                return Resolved::Repeat(from);
            }
            Update::Invalid(why) => {
                if fresh {
                    self.remove(index);
                }
                let mut track = Track::invalid(why);
                track.tcp = step;
                return Resolved::Track(track);
            }
        }
        let first_reply = direction == Direction::Reply && !replied;
        if first_reply {
            connection.status.set(Status::SEEN_REPLY);
        }
        let reason = match (ignored, state, fresh) {
            (Some(why), ..) => Reason::Ignored(why),
            (None, State::Related, true) => match announced {
                Some(Expectation {
                    helper,
                    parent,
                    announced,
                    ..
                }) => Reason::RelatedByHelper {
                    helper,
                    parent,
                    announced,
                },
                None => Reason::RelatedRepeated {
                    parent: connection.master.unwrap_or(0),
                },
            },
            (None, State::Related, false) => Reason::RelatedRepeated {
                parent: connection.master.unwrap_or(0),
            },
            (None, State::New, true) => match (reopened, &connection.proto) {
                (Some(from), _) => Reason::Reopened { from },
                (None, ProtoState::Tcp(tcp)) if tcp.state != TcpState::SynSent => Reason::PickedUp,
                _ => Reason::FirstPacket,
            },
            (None, State::New, false) => Reason::RepeatedBeforeReply,
            _ if first_reply => Reason::FirstReply,
            _ => Reason::InConnection,
        };
        if kill {
            self.detach(index);
        }
        Resolved::Track(Track {
            state,
            direction,
            connection: Some(id),
            fresh,
            dying: kill,
            drop: None,
            reason,
            tcp: step,
        })
    }

    /// An ICMP or ICMPv6 error: RELATED if what it quotes is known (kernel `nf_conntrack_inet_error`).
    fn error(
        &mut self,
        packet: &Packet<'_>,
        quoted: &[u8],
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Track {
        let Ok(inner) = Packet::parse_truncated(quoted) else {
            return Track::invalid(Invalid::QuoteTooShort);
        };
        if inner.family() != packet.family() {
            return Track::invalid(Invalid::QuoteTooShort);
        }
        let Ok(tuple) = extract::tuple(&inner) else {
            return Track::invalid(Invalid::QuoteTooShort);
        };
        let Some(inverse) = tuple.invert() else {
            return Track::invalid(Invalid::QuoteUnknown);
        };
        let Some((index, direction)) = self.find(&inverse, zones, now) else {
            return Track::invalid(Invalid::QuoteUnknown);
        };
        let Some(connection) = self.slots[index as usize].connection.as_deref() else {
            return Track::invalid(Invalid::QuoteUnknown);
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
            connection: Some(connection.id),
            fresh: false,
            dying: false,
            drop: None,
            reason: Reason::RelatedByIcmp {
                kind: transport.first().copied().unwrap_or(0),
                code: transport.get(1).copied().unwrap_or(0),
                parent: connection.number,
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
        Some(Track {
            state: State::Related,
            direction: to.direction.opposite(),
            connection: Some(id),
            fresh: false,
            dying: false,
            drop: None,
            reason: Reason::Attached,
            tcp: None,
        })
    }

    /// A reset by REJECT closes a confirmed TCP connection (kernel `nf_conntrack_tcp_set_closing`).
    pub fn set_closing(&mut self, id: ConnId, now: Timestamp) {
        let close = self.config.tcp_timeout_close;
        if let Some(connection) = self.connection_mut(id)
            && connection.confirmed()
            && let ProtoState::Tcp(tcp) = &mut connection.proto
            && tcp.state != TcpState::Close
        {
            tcp.state = TcpState::Close;
            if !connection.status.has(Status::FIXED_TIMEOUT) {
                connection.deadline = Deadline::At(now + Duration::from_secs(close));
            }
        }
    }

    /// Kernel `nf_confirm`: after the last hook, the helper reads the packet, then a new
    /// connection enters the table.
    pub fn leave(&mut self, packet: &Packet<'_>, track: &mut Track, now: Timestamp) -> Leave {
        let mut leave = Leave::default();
        let Some(id) = track.connection else {
            return leave;
        };
        let Some(connection) = self.connection_mut(id) else {
            return leave;
        };
        let icmp_error = matches!(
            track.reason,
            Reason::RelatedByIcmp { .. } | Reason::Attached
        );
        if let Some(name) = connection.helper
            && !icmp_error
        {
            let mut state = std::mem::take(&mut connection.helper_state);
            let tuples = connection.tuples;
            let output = helper::inspect(
                name,
                &mut state,
                packet,
                track.state,
                track.direction,
                &tuples,
                &self.config,
            );
            if let Some(connection) = self.connection_mut(id) {
                connection.helper_state = state;
            }
            match output {
                HelperOutput::Pass => {}
                HelperOutput::Drop(why) => {
                    leave.drop = Some(DropReason::Helper {
                        helper: name,
                        why: why.to_string(),
                    });
                    return leave;
                }
                HelperOutput::Expect(proposal) => {
                    match self.expect(id, name, packet, proposal, now) {
                        Ok(announced) => leave.announced = Some(announced),
                        Err(reason) => {
                            leave.drop = Some(reason);
                            return leave;
                        }
                    }
                }
            }
        }
        if track.dying {
            self.remove(id.index);
        } else if track.fresh {
            if self.confirm(id, now) {
                track.fresh = false;
            } else {
                leave.drop = Some(DropReason::Clash);
            }
        }
        leave
    }

    /// The packet died before [`leave`](Self::leave): its unconfirmed entry goes with it.
    pub fn discard(&mut self, track: &Track) {
        if let Some(id) = track.connection
            && (track.fresh || track.dying)
            && self
                .connection(id)
                .is_some_and(|c| !c.confirmed() || c.status.has(Status::DYING))
        {
            self.remove(id.index);
        }
    }

    fn expect(
        &mut self,
        id: ConnId,
        name: &'static str,
        packet: &Packet<'_>,
        proposal: helper::Proposal,
        now: Timestamp,
    ) -> Result<Announced, DropReason> {
        let refused = |why: &str| DropReason::Helper {
            helper: name,
            why: why.to_string(),
        };
        let (Some(connection), Some(info)) = (self.connection(id), helper::by_name(name)) else {
            return Err(refused("the connection is gone"));
        };
        let payload = palisade_wire::tcp::Tcp::new(packet.transport())
            .map(|t| t.payload())
            .unwrap_or_default();
        let text = helper::quote(payload.get(proposal.announced.clone()).unwrap_or_default());
        let expectation = Expectation {
            master: id,
            parent: connection.number,
            helper: name,
            source: proposal.source,
            source_port: proposal.source_port,
            destination: proposal.destination,
            destination_port: proposal.destination_port,
            protocol: proposal.protocol,
            zone: connection.zones[0],
            deadline: now + Duration::from_secs(info.timeout),
            announced: text.clone(),
        };
        match self
            .expectations
            .add(expectation, info.max_expected, self.config.expect_max, now)
        {
            Ok(()) => Ok(Announced { helper: name, text }),
            Err(crate::expect::Refused::Clash) => {
                Err(refused("another connection expects the same"))
            }
            Err(crate::expect::Refused::Full) => Err(refused(
                "nf_conntrack_expect_max expectations are waiting already",
            )),
        }
    }

    fn hash(&self, tuple: &Tuple, zone: Zone) -> u32 {
        let (k0, k1) = self.config.hash_seed;
        let mut hasher = SipHasher13::new_with_keys(k0 ^ u64::from(zone), k1);
        hasher.write(&tuple.key().0);
        hasher.finish() as u32
    }

    fn bucket(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    /// A confirmed, living entry that has `tuple` in one of its directions.
    fn find(
        &mut self,
        tuple: &Tuple,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let key = tuple.key();
        let hash = self.hash(tuple, zones[0]);
        let found = self.find_chain(&key, hash, zones, now);
        if found.is_some() || zones[0] == zones[1] {
            return found;
        }
        let hash = self.hash(tuple, zones[1]);
        self.find_chain(&key, hash, zones, now)
    }

    fn find_chain(
        &mut self,
        key: &crate::tuple::Key,
        hash: u32,
        zones: [Zone; 2],
        now: Timestamp,
    ) -> Option<(u32, Direction)> {
        let bucket = self.bucket(hash);
        let mut link = self.buckets[bucket];
        while link != NIL {
            let (index, direction) = unlink(link);
            let connection = self.slots[index as usize].connection.as_deref()?;
            let next = connection.next[direction.index()];
            if connection.expired(now) {
                // Both of its links may stand in this chain: start over.
                self.stats.expired += 1;
                self.remove(index);
                link = self.buckets[bucket];
                continue;
            }
            if connection.hashes[direction.index()] == hash
                && connection.keys[direction.index()] == *key
                && connection.zones[direction.index()] == zones[direction.index()]
            {
                return Some((index, direction));
            }
            link = next;
        }
        None
    }

    /// Kernel `init_conntrack`.
    fn create(
        &mut self,
        tuple: &Tuple,
        template: Option<&Template>,
        zones: [Zone; 2],
        now: Timestamp,
        announced: &mut Option<Expectation>,
    ) -> Result<u32, NoEntry> {
        let reply = tuple.invert().ok_or(NoEntry::NotInvertible)?;
        let hashes = [self.hash(tuple, zones[0]), self.hash(&reply, zones[1])];
        self.sweep(SWEEP_STEP, now);
        let max = self.config.max as usize;
        if max != 0 && self.live >= max {
            self.sweep(SWEEP_FULL, now);
            if self.live >= max && !self.early_drop(hashes[0], now) {
                self.stats.table_full += 1;
                return Err(NoEntry::Full);
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots[index as usize].generation;
        let mut connection = Connection {
            number,
            id: ConnId { index, generation },
            tuples: [*tuple, reply],
            keys: [tuple.key(), reply.key()],
            hashes,
            zones,
            status: Status::default(),
            deadline: Deadline::AfterConfirm(0),
            proto: initial(tuple, now),
            mark: 0,
            traffic: [Traffic::default(); 2],
            helper: None,
            helper_state: HelperState::None,
            master: None,
            master_id: None,
            created: now,
            next: [NIL; 2],
        };
        let expectation = self.expectations.take(tuple, zones[0], now);
        if let Some(expectation) = expectation {
            connection.status.set(Status::EXPECTED);
            connection.master = Some(expectation.parent);
            connection.master_id = Some(expectation.master);
            connection.mark = self
                .connection(expectation.master)
                .map_or(0, |master| master.mark);
            *announced = Some(expectation);
        } else if let Some(name) = template.and_then(|t| t.helper)
            && helper::by_name(name).is_some_and(|h| h.protocol == tuple.protocol)
        {
            connection.helper = Some(name);
            connection.status.set(Status::HELPER);
        }
        self.slots[index as usize].connection = Some(Box::new(connection));
        self.live += 1;
        self.stats.peak = self.stats.peak.max(self.live as u64);
        Ok(index)
    }

    /// Kernel `__nf_conntrack_confirm`: into the hash, unless a living entry holds a tuple.
    fn confirm(&mut self, id: ConnId, now: Timestamp) -> bool {
        let Some(connection) = self.connection(id) else {
            return false;
        };
        let (tuples, zones, hashes) = (connection.tuples, connection.zones, connection.hashes);
        let taken = [Direction::Original, Direction::Reply]
            .iter()
            .any(|d| self.find(&tuples[d.index()], zones, now).is_some());
        if taken {
            self.remove(id.index);
            return false;
        }
        for direction in [Direction::Original, Direction::Reply] {
            let bucket = self.bucket(hashes[direction.index()]);
            let head = self.buckets[bucket];
            self.buckets[bucket] = link(id.index, direction);
            if let Some(connection) = self.connection_mut(id) {
                connection.next[direction.index()] = head;
            }
        }
        if let Some(connection) = self.connection_mut(id) {
            if let Deadline::AfterConfirm(seconds) = connection.deadline {
                connection.deadline = Deadline::At(now + Duration::from_secs(seconds));
            }
            connection.status.set(Status::CONFIRMED);
        }
        self.stats.inserted += 1;
        true
    }

    /// Takes an entry out of hash and slab; its expectations go with it.
    fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(connection) = slot.connection.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.live -= 1;
        if connection.confirmed() && !connection.status.has(Status::DYING) {
            for direction in UNCHAIN_ORDER {
                self.unchain(
                    connection.hashes[direction.index()],
                    link(index, direction),
                    connection.next[direction.index()],
                    &connection,
                );
            }
        }
        if connection.helper.is_some() {
            self.expectations.forget_parent(connection.id);
        }
    }

    /// Takes an entry out of the hash; it stays in the slab for the packet that ended it.
    fn detach(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let Some(mut connection) = slot.connection.take() else {
            return;
        };
        for direction in UNCHAIN_ORDER {
            self.unchain(
                connection.hashes[direction.index()],
                link(index, direction),
                connection.next[direction.index()],
                &connection,
            );
        }
        connection.status.set(Status::DYING);
        self.slots[index as usize].connection = Some(connection);
    }

    /// Removes one link of an entry that is already out of the slab from its chain.
    fn unchain(&mut self, hash: u32, target: u32, after: u32, gone: &Connection) {
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == target {
            self.buckets[bucket] = after;
            return;
        }
        let mut at = self.buckets[bucket];
        while at != NIL {
            let (index, direction) = unlink(at);
            let Some(connection) = self.slots[index as usize].connection.as_deref_mut() else {
                // The entry's other link, standing earlier in this very chain.
                at = gone.next[direction.index()];
                continue;
            };
            let next = connection.next[direction.index()];
            if next == target {
                connection.next[direction.index()] = after;
                return;
            }
            at = next;
        }
    }

    /// Collects ended entries among the next `count` slots.
    fn sweep(&mut self, count: usize, now: Timestamp) {
        for _ in 0..count.min(self.slots.len()) {
            if self.sweep_at >= self.slots.len() {
                self.sweep_at = 0;
            }
            let index = self.sweep_at;
            self.sweep_at += 1;
            if self.slots[index]
                .connection
                .as_deref()
                .is_some_and(|c| c.expired(now))
            {
                self.stats.expired += 1;
                self.remove(index as u32);
            }
        }
    }

    /// Makes room near `hash`: all unassured entries of the first bucket that has any (kernel
    /// `early_drop`).
    fn early_drop(&mut self, hash: u32, now: Timestamp) -> bool {
        let first = self.bucket(hash);
        for step in 0..EVICTION_RANGE as usize {
            let bucket = (first + step) % self.buckets.len();
            let mut victims: Vec<u32> = Vec::new();
            let mut at = self.buckets[bucket];
            while at != NIL {
                let (index, direction) = unlink(at);
                let Some(connection) = self.slots[index as usize].connection.as_deref() else {
                    break;
                };
                if connection.expired(now) || !connection.assured() {
                    victims.push(index);
                }
                at = connection.next[direction.index()];
            }
            victims.dedup();
            if !victims.is_empty() {
                for index in victims {
                    if self.slots[index as usize].connection.is_some() {
                        self.stats.early_drop += 1;
                        self.remove(index);
                    }
                }
                return true;
            }
        }
        false
    }
}

enum Resolved {
    Track(Track),
    Repeat(TcpState),
}

enum NoEntry {
    NotInvertible,
    Full,
}

/// A chain link: slot and direction in one word.
fn link(index: u32, direction: Direction) -> u32 {
    index << 1 | direction as u32
}

fn unlink(link: u32) -> (u32, Direction) {
    let direction = if link & 1 == 0 {
        Direction::Original
    } else {
        Direction::Reply
    };
    (link >> 1, direction)
}

/// The protocol's part before its tracker has seen the packet.
fn initial(tuple: &Tuple, now: Timestamp) -> ProtoState {
    match (tuple.protocol, tuple.proto) {
        (proto::UDP | proto::UDPLITE, _) => udp::start(now),
        (proto::GRE, _) => ProtoState::Gre,
        (_, TupleProto::Icmp { .. }) => ProtoState::Icmp,
        _ => ProtoState::Generic,
    }
}

/// Kernel `nf_conntrack_handle_packet`.
fn handle(
    connection: &mut Connection,
    context: &Context<'_, '_>,
    direction: Direction,
    now: Timestamp,
    step: Option<&mut TcpStep>,
) -> Update {
    let config = context.config;
    match connection.tuples[0].protocol {
        proto::TCP => {
            if let Err(why) = tcp::check(context) {
                return Update::Invalid(why);
            }
            if !connection.confirmed() {
                match tcp::start(context) {
                    Ok(state) => connection.proto = state,
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
        proto::GRE => {
            let mut timeout = config.gre_timeout;
            if connection.replied() {
                timeout = config.gre_timeout_stream;
                connection.status.set(Status::ASSURED);
            }
            Update::Valid {
                timeout: Some(timeout),
                ignored: None,
            }
        }
        _ => Update::Valid {
            timeout: Some(config.generic_timeout),
            ignored: None,
        },
    }
}
