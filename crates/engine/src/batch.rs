//! Many packets at a time: what a data path hands over, and what it gets back.
//!
//! [`Engine::process_batch`] is the interface that a data path uses. Packets that came together are looked at in
//! stages, so that the memory that one of them waits for is on its way while the others are worked on. Their order
//! is kept: a packet sees everything that those before it in the batch did.

use palisade_conntrack::{ConnId, Direction, Followed, State};
use palisade_rules::Family;
use palisade_wire::{Packet, Timestamp};
use prefetch_index::prefetch_index;

use crate::Engine;
use crate::ahead::{GROUP, Ready};
use crate::changed::Changed;
use crate::detail::Detail;
use crate::input::{Bridge, Input, LinkInfo, Route};
use crate::lane::{Long, Recorded};
use crate::outcome::{Outcome, Path, Verdict};
use crate::socket::Owner;

/// A way into the engine, from [`Engine::port`]: the interface that packets come by, or that those made here
/// leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Port(pub(crate) u32);

/// What a port stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortInfo {
    pub(crate) route: Route,
    pub(crate) bridge: Bridge,
}

/// A packet of a batch.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Bytes from the IP header on. Afterwards, of a packet that passes, those of the packet as it leaves, unless it has
    /// another length then: see [`Judged::detail`].
    pub bytes: &'a mut [u8],
    /// How it came.
    pub port: Port,
    /// Link layer.
    pub link: LinkInfo,
    /// Packet mark that it comes with.
    pub mark: u32,
    /// Whose socket made it, of a packet of this host, where that is known.
    pub owner: Option<Owner>,
    /// See [`Input::unfinished`].
    pub unfinished: bool,
    /// What became of it.
    pub judged: Judged,
}

impl<'a> Arrival<'a> {
    /// A packet by a port. Its first bytes are asked for, so that they are on their way while the rest of the batch is
    /// put together.
    #[inline(always)]
    pub fn new(bytes: &'a mut [u8], port: Port) -> Self {
        prefetch_index(&*bytes, 0);
        Arrival {
            bytes,
            port,
            link: LinkInfo::default(),
            mark: 0,
            owner: None,
            unfinished: false,
            judged: Judged::default(),
        }
    }
}

/// What became of a packet of a batch.
#[derive(Debug)]
pub struct Judged {
    /// Verdict.
    pub verdict: Verdict,
    /// Connection-tracking state.
    pub state: Option<State>,
    /// Direction within the connection.
    pub direction: Option<Direction>,
    /// Connection after the packet.
    pub connection: Option<ConnId>,
    /// Packet mark at the end.
    pub mark: u32,
    /// How the bytes that leave differ from those that came.
    pub changed: Changed,
    /// Everything else, of a packet that took the long way: its answer, its reasons, and in
    /// [`Outcome::output`] the bytes of one whose length changed.
    pub detail: Detail,
}

impl Judged {
    /// In short.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        Judged {
            verdict: outcome.verdict,
            state: outcome.state,
            direction: outcome.direction,
            connection: outcome.id,
            mark: outcome.mark,
            changed: outcome.changed,
            detail: Detail::NONE,
        }
    }
}

impl Default for Judged {
    /// Not judged yet: dropped.
    #[inline(always)]
    fn default() -> Self {
        Judged {
            verdict: Verdict::Drop,
            state: None,
            direction: None,
            connection: None,
            mark: 0,
            changed: Changed::default(),
            detail: Detail::NONE,
        }
    }
}

impl Engine {
    /// A handle for packets that come or leave in one way; the same way has the same handle.
    pub fn port(&mut self, route: Route, bridge: Bridge) -> Port {
        let info = PortInfo { route, bridge };
        let known = self.ports.iter().position(|p| *p == info);
        Port(known.unwrap_or_else(|| {
            self.ports.push(info);
            self.ports.len() - 1
        }) as u32)
    }

    /// Packets that came together at `now`, in their order.
    pub fn process_batch(&mut self, batch: &mut [Arrival<'_>], now: Timestamp) {
        let open = [Family::V4, Family::V6].map(|family| self.lane_open(family));
        let usual = [Family::V4, Family::V6].map(|family| self.usual_open(family));
        let mut stage = self.stage.take().unwrap_or_default();
        self.begin(batch, open, &mut stage);
        let (mut rest, mut number) = (batch, 0);
        while !rest.is_empty() {
            let (group, behind) = rest.split_at_mut(rest.len().min(GROUP));
            self.look_ahead(number, behind, open, &mut stage);
            let part = stage.part(number);
            let mut at = 0;
            loop {
                let (stopped, long) = self.short_ways(group, part, at, now);
                let Some(arrival) = group.get_mut(stopped) else {
                    break;
                };
                match (part.get(stopped), long) {
                    (Some(ready), Some(long)) => {
                        self.other_way(arrival, ready, (long, usual), now);
                    }
                    _ => self.long_way(arrival, None, None, now),
                }
                at = stopped + 1;
            }
            (rest, number) = (behind, number + 1);
        }
        self.stage = Some(stage);
    }

    /// A packet that the short way is not for, at least not where its connection was guessed to be.
    #[inline(never)]
    fn other_way(
        &mut self,
        arrival: &mut Arrival<'_>,
        ready: &Ready,
        (long, usual): (Long, [bool; 2]),
        now: Timestamp,
    ) {
        let usual = usual[ready.flow.plain().family as usize];
        let (mut long, mut met) = (long, None);
        if matches!(long, Long::Elsewhere) {
            let flow = (&ready.flow, &*arrival.bytes);
            let found = if usual {
                let one = self.conntrack.meet(flow, now);
                met = Some(one);
                // The one that it is, if it is one for the short way.
                one.filter(|one| one.2).map(|(slot, ..)| slot)
            } else {
                self.conntrack.find_plain(flow, now)
            };
            long = match self.short_way_elsewhere(arrival, ready, found, now) {
                Ok(()) => return,
                Err(long) => long,
            };
        }
        match long {
            Long::Foretold => {
                let foretold = self.foretold();
                self.long_way(arrival, foretold, None, now);
            }
            _ if usual && self.usual_way(arrival, ready, met, now) => {}
            Long::Record(slot, direction) => {
                self.long_way(arrival, None, Some((slot, direction)), now);
            }
            Long::Unknown | Long::Elsewhere => self.long_way(arrival, None, None, now),
        }
    }

    /// What a port's packets come through.
    pub(crate) fn bridge_of(&self, port: Port) -> Bridge {
        let info = self.ports.get(port.0 as usize);
        info.map(|info| info.bridge.clone()).unwrap_or_default()
    }

    /// Whether a port's packets pass without being routed.
    pub(crate) fn wired(&self, port: Port) -> bool {
        let info = self.ports.get(port.0 as usize);
        info.is_some_and(|info| matches!(info.route, Route::Wire(..)))
    }

    /// A packet by the route that every packet can take.
    pub(crate) fn long_way(
        &mut self,
        arrival: &mut Arrival<'_>,
        foretold: Option<Followed>,
        record: Option<(u32, Direction)>,
        now: Timestamp,
    ) {
        let input = self.input_of(arrival, now);
        let outcome = self.process_foretold(&input, foretold, &mut ());
        self.went_long_way(arrival, outcome, record, now);
    }

    /// A packet as those that come alone.
    pub(crate) fn input_of<'b>(&self, arrival: &'b Arrival<'_>, now: Timestamp) -> Input<'b> {
        let info = self.ports.get(arrival.port.0 as usize);
        let PortInfo { route, bridge } = info.cloned().unwrap_or_default();
        Input {
            bytes: arrival.bytes,
            time: now,
            route,
            link: arrival.link,
            mark: arrival.mark,
            bridge,
            snapped: false,
            owner: arrival.owner.clone(),
            unfinished: arrival.unfinished,
        }
    }

    /// Says what became of a packet that took the long way.
    pub(crate) fn went_long_way(
        &mut self,
        arrival: &mut Arrival<'_>,
        mut outcome: Outcome,
        record: Option<(u32, Direction)>,
        now: Timestamp,
    ) {
        arrival.judged = Judged::of(&outcome);
        if let Some(output) = &outcome.output
            && let Some(bytes) = arrival.bytes.get_mut(..output.len())
            && outcome.reassembled.is_none()
            && Packet::parse(bytes).is_ok_and(|p| p.bytes().len() == output.len())
        {
            bytes.copy_from_slice(output);
            outcome.output = None;
        }
        if let (Some(known), Some(path), None) = (record, outcome.path, &outcome.output)
            && matches!(outcome.verdict, Verdict::Accept | Verdict::Drop)
            && path != Path::Loopback
        {
            let recorded = Recorded {
                path,
                names: (
                    outcome.in_interface.as_deref(),
                    outcome.out_interface.as_deref(),
                ),
                decided: self.dropped_by(&outcome),
                known,
            };
            self.record(arrival, &recorded, now);
        }
        arrival.judged.detail = Box::new(outcome).into();
    }
}
