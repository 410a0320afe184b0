//! What a helper can see and do.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use palisade_wire::translate::End;
use palisade_wire::{Buffer, Packet, SeqNumber, Timestamp, proto, tcp::Tcp};

use super::{HelperInfo, Options, quote};
use crate::State;
use crate::connection::{ConnId, Status};
use crate::expect::{ExpectId, Expectation, Follow, Limits, Refused};
use crate::nat;
use crate::table::Conntrack;
use crate::track::Announced;
use crate::tuple::{Direction, Tuple};

/// Bytes of an ICMP header; UDP's has as many.
const ICMP_HEADER: usize = 8;

/// Ports tried for an expectation whose own port is taken (kernel `nf_nat_exp_find_port`).
const PORT_ATTEMPTS: u32 = 128;

/// What the host around the table knows of a packet and of addresses.
pub trait Surroundings {
    /// Whether the packet was made by a program of this host.
    fn made_here(&self) -> bool {
        false
    }

    /// Whether this host sent it to itself, and it was here before on its way out.
    fn looped(&self) -> bool {
        false
    }

    /// The prefix length of the network whose broadcast address this is, if the packet leaves into it.
    fn broadcast_network(&self, _address: IpAddr) -> Option<u8> {
        None
    }

    /// Whether two hosts are reached by the same way: interface, and next hop.
    fn same_way(&self, _a: IpAddr, _b: IpAddr) -> bool {
        false
    }

    /// Whether packets to this address would leave by the same interface as the packet does.
    fn leaves_alike(&self, _address: IpAddr) -> bool {
        false
    }
}

impl Surroundings for () {}

/// An expectation as a helper proposes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Class, an index into the helper's [`classes`](HelperInfo::classes).
    pub class: u8,
    /// Source address and how many of its leading bits must agree; `None`: any.
    pub source: Option<(IpAddr, u8)>,
    /// Source port or GRE key; `None`: any.
    pub source_port: Option<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port or GRE key.
    pub destination_port: u16,
    /// Protocol.
    pub protocol: u8,
    /// Stays after it was fulfilled.
    pub permanent: bool,
    /// Waits to be activated.
    pub inactive: bool,
    /// Helper that the new connection gets.
    pub assign: Option<&'static str>,
    /// What is done with the new connection.
    pub follow: Follow,
    /// Direction of the parent in which the new connection comes.
    pub direction: Direction,
    /// Address that was announced, before translation.
    pub saved_address: Option<IpAddr>,
    /// Port that was announced, before translation.
    pub saved_port: u16,
    /// Where in the payload it was announced.
    pub announced: Range<usize>,
    /// What was announced, as text; `None`: the announcing bytes themselves.
    pub says: Option<String>,
}

impl Proposal {
    /// From anywhere to one port; the other fields at their defaults.
    pub fn new(destination: IpAddr, destination_port: u16, protocol: u8) -> Self {
        Proposal {
            class: 0,
            source: None,
            source_port: None,
            destination,
            destination_port,
            protocol,
            permanent: false,
            inactive: false,
            assign: None,
            follow: Follow::Nothing,
            direction: Direction::Original,
            saved_address: None,
            saved_port: 0,
            announced: 0..0,
            says: None,
        }
    }

    /// Only from this address.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = Some((source, if source.is_ipv4() { 32 } else { 128 }));
        self
    }
}

/// One packet of a connection that has a helper, and all that the helper may do.
pub struct Call<'c, 'p> {
    pub(crate) table: &'c mut Conntrack,
    pub(crate) buffer: &'c mut Buffer<'p>,
    pub(crate) surroundings: &'c dyn Surroundings,
    pub(crate) id: ConnId,
    pub(crate) info: &'static HelperInfo,
    pub(crate) state: State,
    pub(crate) direction: Direction,
    pub(crate) tuples: [Tuple; 2],
    pub(crate) status: Status,
    pub(crate) now: Timestamp,
    pub(crate) announced: Vec<Announced>,
    /// The last refusal by a limit, with its numbers.
    pub(crate) limited: Option<(Refused, String)>,
}

impl<'c, 'p> Call<'c, 'p> {
    /// State of the packet.
    pub fn state(&self) -> State {
        self.state
    }

    /// Direction of the packet.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The connection's tuple of a direction.
    pub fn tuple(&self, direction: Direction) -> Tuple {
        self.tuples[direction.index()]
    }

    /// Whether the connection is translated, so that what it announces must be too.
    pub fn translated(&self) -> bool {
        self.status.has(Status::SRC_NAT) || self.status.has(Status::DST_NAT)
    }

    /// Whether the connection was expected itself.
    pub fn was_expected(&self) -> bool {
        self.status.has(Status::EXPECTED)
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Settings of helpers.
    pub fn options(&self) -> &Options {
        &self.table.config().helpers
    }

    /// The port that the kernel registers the helper for.
    pub fn port(&self) -> u16 {
        self.info.port
    }

    /// What the host knows.
    pub fn surroundings(&self) -> &dyn Surroundings {
        self.surroundings
    }

    /// The packet as it is now.
    pub fn packet(&self) -> Packet<'_> {
        self.buffer.packet()
    }

    /// What stands behind the TCP or UDP header, as it is now; empty for other protocols and when the
    /// packet is cut short. An ICMP error about a UDP connection is read as if it were UDP.
    pub fn payload(&self) -> &[u8] {
        let at = if self.is_error() {
            Some(self.buffer.packet().transport_offset() + ICMP_HEADER)
        } else {
            self.buffer.payload_offset()
        };
        at.and_then(|at| self.buffer.bytes().get(at..))
            .unwrap_or_default()
    }

    /// Whether the packet is an ICMP error about a UDP connection.
    fn is_error(&self) -> bool {
        self.tuples[0].protocol == proto::UDP
            && matches!(self.buffer.packet().protocol(), proto::ICMP | proto::ICMPV6)
    }

    /// Sequence number of the payload's first byte, as it came; 0 for protocols without.
    pub fn seq(&self) -> SeqNumber {
        let packet = self.buffer.packet();
        if packet.protocol() != proto::TCP {
            return SeqNumber(0);
        }
        Tcp::new(packet.transport()).map_or(SeqNumber(0), |tcp| tcp.seq())
    }

    /// Expects a connection (kernel `nf_ct_expect_related`).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn expect(&mut self, proposal: &Proposal) -> Result<ExpectId, Refused> {
        self.add(proposal, false)
    }

    /// As [`expect`](Self::expect), and an equal one of another connection stands in the way (kernel
    /// `NF_CT_EXP_F_SKIP_MASTER`).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn expect_only(&mut self, proposal: &Proposal) -> Result<ExpectId, Refused> {
        self.add(proposal, true)
    }

    /// Two expectations or none, as by [`expect_only`](Self::expect_only) (kernel
    /// `nf_ct_expect_related_pair`).
    ///
    /// # Errors
    /// [`Refused`], the first of them.
    pub fn expect_pair(&mut self, pair: &[Proposal; 2]) -> Result<[ExpectId; 2], Refused> {
        self.pair(pair, true)
    }

    /// Two expectations or none, as by [`expect`](Self::expect).
    ///
    /// # Errors
    /// [`Refused`], the first of them.
    pub fn expect_both(&mut self, pair: &[Proposal; 2]) -> Result<[ExpectId; 2], Refused> {
        self.pair(pair, false)
    }

    fn pair(&mut self, pair: &[Proposal; 2], skip_master: bool) -> Result<[ExpectId; 2], Refused> {
        let known = self.announced.len();
        let first = self.add(&pair[0], skip_master)?;
        match self.add(&pair[1], skip_master) {
            Ok(second) => Ok([first, second]),
            Err(refused) => {
                self.unexpect(first);
                self.announced.truncate(known);
                Err(refused)
            }
        }
    }

    fn add(&mut self, proposal: &Proposal, skip_master: bool) -> Result<ExpectId, Refused> {
        let added = self.try_add(proposal, skip_master);
        if let Err(refused) = added
            && let Some(text) = refused.limit(proposal.destination_port, self.table.config())
        {
            self.limited = Some((refused, text));
        }
        added
    }

    fn try_add(&mut self, proposal: &Proposal, skip_master: bool) -> Result<ExpectId, Refused> {
        let options = &self.table.config().helpers;
        let class = self.info.class(proposal.class, options);
        let keys = proposal.protocol == proto::GRE;
        if !keys && proposal.destination_port < options.least_expected_port {
            return Err(Refused::Port);
        }
        let limits = Limits {
            per_class: usize::from(class.max),
            max: self.table.config().expect_max,
            skip_master,
        };
        let Some(connection) = self.table.connection(self.id) else {
            return Err(Refused::Gone);
        };
        let announced = proposal.says.clone().unwrap_or_else(|| {
            let bytes = self.payload().get(proposal.announced.clone());
            quote(bytes.unwrap_or_default())
        });
        let expectation = Expectation {
            id: ExpectId::default(),
            master: self.id,
            parent: connection.number(),
            helper: self.info.name,
            class: proposal.class,
            source: proposal.source,
            source_port: proposal.source_port,
            destination: proposal.destination,
            destination_port: proposal.destination_port,
            protocol: proposal.protocol,
            zone: connection.zone_id(),
            deadline: self.now + Duration::from_secs(class.timeout),
            permanent: proposal.permanent,
            inactive: proposal.inactive,
            assign: proposal.assign,
            follow: proposal.follow,
            direction: proposal.direction,
            saved_address: proposal.saved_address,
            saved_port: proposal.saved_port,
            announced: announced.clone(),
        };
        let limits = self.table.ask_others(&expectation, limits, self.now)?;
        let id = self.table.expectations.add(expectation, limits, self.now)?;
        self.announced.push(Announced {
            helper: self.info.name,
            text: announced,
        });
        Ok(id)
    }

    /// Expects a connection at `port` or, if that is taken, at one chosen by chance above it. Returns the
    /// port (kernel `nf_nat_exp_find_port`).
    ///
    /// # Errors
    /// [`Refused`] when no port could be had.
    pub fn expect_near(
        &mut self,
        proposal: &mut Proposal,
        port: u16,
    ) -> Result<(ExpectId, u16), Refused> {
        let range = u32::from(u16::MAX - port);
        let mut left = range.min(PORT_ATTEMPTS);
        let mut candidate = port;
        loop {
            proposal.destination_port = candidate;
            match self.expect(proposal) {
                Ok(id) => return Ok((id, candidate)),
                Err(Refused::Clash) if left > 0 => left -= 1,
                Err(refused) => return Err(refused),
            }
            let preferred = self.table.chance.preferred.source;
            candidate = match preferred.filter(|p| *p >= port && *p != candidate) {
                Some(preferred) => preferred,
                None => port + self.table.chance.below(range.max(1)) as u16,
            };
        }
    }

    /// Takes an expectation back (kernel `nf_ct_unexpect_related`).
    pub fn unexpect(&mut self, id: ExpectId) {
        self.table.expectations.remove(id);
    }

    /// An expectation.
    pub fn expectation(&self, id: ExpectId) -> Option<&Expectation> {
        self.table.expectations.get(id)
    }

    /// An expectation, to activate it or to give it more time. What it waits for must stay.
    pub fn expectation_mut(&mut self, id: ExpectId) -> Option<&mut Expectation> {
        self.table.expectations.get_mut(id)
    }

    /// Expectations of this connection, newest first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        let now = self.now;
        let own = self.table.expectations.of_parent(self.id).rev();
        own.filter(move |e| e.deadline > now)
    }

    /// An expectation of any connection that a tuple would fulfil (kernel `__nf_ct_expect_find`).
    pub fn expected(&self, tuple: &Tuple) -> Option<&Expectation> {
        let zone = self.table.connection(self.id)?.zone_id();
        self.table.expectations.find(tuple, zone, self.now)
    }

    /// Whether an expectation is this connection's own.
    pub fn is_own(&self, expectation: &Expectation) -> bool {
        expectation.master == self.id
    }

    /// Whether an expectation's helper is this connection's: of the same name and for the same protocol.
    pub fn same_helper(&self, expectation: &Expectation) -> bool {
        let protocol = self.tuples[0].protocol;
        expectation.helper == self.info.name
            && self
                .table
                .connection(expectation.master)
                .is_some_and(|c| c.protocol() == protocol)
    }

    /// Another connection, by one of its tuples in this connection's zone.
    pub fn other_connection(&mut self, tuple: &Tuple) -> Option<ConnId> {
        let zones = self.table.connection(self.id)?.zones();
        let (index, _) = self.table.find(tuple, zones, self.now)?;
        self.table.id(index)
    }

    /// Ends a connection.
    pub fn kill(&mut self, id: ConnId) {
        self.table.remove(id.index);
    }

    /// The keys of a GRE call that this connection controls, as its packets of a direction carry them: the
    /// source key does not stand in them. `false` when it has others already (kernel
    /// `nf_ct_gre_keymap_add`).
    pub fn gre_keys(
        &mut self,
        direction: Direction,
        addresses: (IpAddr, IpAddr),
        keys: (u16, u16),
    ) -> bool {
        self.table.gre_keys.add(self.id, direction, addresses, keys)
    }

    /// Forgets this connection's GRE keys (kernel `nf_ct_gre_keymap_destroy`).
    pub fn forget_gre_keys(&mut self) {
        self.table.gre_keys.forget(self.id);
    }

    /// Gives this connection so many seconds from now (kernel `nf_ct_refresh`).
    pub fn refresh(&mut self, seconds: u64) {
        let now = self.now;
        if let Some(connection) = self.table.connection_mut(self.id)
            && !connection.status.has(Status::FIXED_TIMEOUT)
        {
            connection.renew(seconds, now);
            self.table.slab.hasten(self.id.index);
        }
    }

    /// Puts `with` in the place of a part of the payload. Lengths and checksums are made right; in a TCP
    /// connection later sequence numbers are shifted (kernel `nf_nat_mangle_tcp_packet`,
    /// `nf_nat_mangle_udp_packet`). `false` when it cannot be done, and nothing is changed.
    #[must_use]
    pub fn replace(&mut self, range: Range<usize>, with: &[u8]) -> bool {
        let difference = with.len() as i64 - range.len() as i64;
        if !self.replace_only(range, with) {
            return false;
        }
        self.shift(difference as i32);
        true
    }

    /// As [`replace`](Self::replace), and the caller says by [`shift`](Self::shift) what the sum of the
    /// changes was.
    #[must_use]
    pub fn replace_only(&mut self, range: Range<usize>, with: &[u8]) -> bool {
        let replaced = if self.is_error() {
            self.buffer.replace_as_udp(range, with)
        } else {
            self.buffer.replace_payload(range, with)
        };
        replaced.is_ok()
    }

    /// Sends a TCP or UDP packet to another port. `false` when it is too short.
    #[must_use]
    pub fn set_destination_port(&mut self, port: u16) -> bool {
        let at = self.buffer.packet().transport_offset() + 2;
        if self.buffer.payload_offset().is_none() {
            return false;
        }
        let Some(field) = self.buffer.edit().get_mut(at..at + 2) else {
            return false;
        };
        field.copy_from_slice(&port.to_be_bytes());
        // A change of nothing makes the checksum right.
        self.replace_only(0..0, b"")
    }

    /// Notes that this segment grew by `difference` bytes (kernel `nf_ct_seqadj_set`). Nothing for
    /// other protocols than TCP.
    pub fn shift(&mut self, difference: i32) {
        if difference == 0 || self.tuples[0].protocol != proto::TCP {
            return;
        }
        let (seq, direction) = (self.seq(), self.direction);
        if let Some(connection) = self.table.connection_mut(self.id) {
            connection.status.set(Status::SEQ_ADJUST);
            let shifts = connection.rare_mut().shifts.get_or_insert_default();
            shifts[direction.index()].note(seq, difference);
        }
    }
}

/// A connection that was expected and has come, and what its helper may do with it.
pub struct Follower<'c> {
    pub(crate) table: &'c mut Conntrack,
    pub(crate) id: ConnId,
    pub(crate) master: ConnId,
    pub(crate) now: Timestamp,
}

impl Follower<'_> {
    /// The new connection's tuple of a direction.
    pub fn tuple(&self, direction: Direction) -> Option<Tuple> {
        Some(self.table.connection(self.id)?.tuple(direction))
    }

    /// The parent's tuple of a direction.
    pub fn master_tuple(&self, direction: Direction) -> Option<Tuple> {
        Some(self.table.connection(self.master)?.tuple(direction))
    }

    /// Whether the parent is translated.
    pub fn master_translated(&self) -> bool {
        self.table
            .connection(self.master)
            .is_some_and(|c| c.translated())
    }

    /// What else the parent expects, newest first.
    pub fn siblings(&self) -> impl Iterator<Item = &Expectation> {
        let now = self.now;
        let all = self.table.expectations.of_parent(self.master).rev();
        all.filter(move |e| e.deadline > now)
    }

    /// Takes an expectation back that a tuple would fulfil.
    pub fn unexpect(&mut self, tuple: &Tuple) -> bool {
        let Some(zone) = self.table.connection(self.id).map(|c| c.zone_id()) else {
            return false;
        };
        let found = self.table.expectations.find(tuple, zone, self.now);
        let id = found.map(|e| e.id);
        id.and_then(|id| self.table.expectations.remove(id))
            .is_some()
    }

    /// Binds an end of the new connection.
    pub fn bind(&mut self, range: &nat::Range, end: End) {
        self.table.nat_setup(self.id, range, end);
    }

    /// The new connection is translated as its parent is (kernel `nf_nat_follow_master`).
    pub fn follow_master(&mut self, expectation: &Expectation) {
        let other = expectation.direction.opposite();
        let Some(master) = self.master_tuple(other) else {
            return;
        };
        self.bind(&nat::Range::to(master.destination), End::Source);
        let port = expectation.saved_port;
        let range = nat::Range {
            ports: Some((port, port)),
            ..nat::Range::to(master.source)
        };
        self.bind(&range, End::Destination);
    }
}
