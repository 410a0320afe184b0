//! One queue: packets in, verdicts out.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use palisade_engine::conntrack::defrag::FragmentFault;
use palisade_engine::{
    Bridge, Ended, Engine, LinkInfo, Outcome, Owner, Path, Port, Route, Verdict,
};
use palisade_wire::{Packet, build};

use super::carried::Look;
use super::expired;
use super::fragments::{Fragments, Held, Key};
use super::message::{self, Decision, Said, Waiting};
use super::rewrite::{self, Head};
use super::socket::QueueSocket;
use super::table::hook;
use super::{Shared, count};
use crate::backend::{Backend, Batch, Capabilities, Frame};
use crate::netlink::Message;

const ACCEPT: u32 = libc::NF_ACCEPT as u32;
const DROP: u32 = libc::NF_DROP as u32;

/// Bytes that a netlink attribute holds.
const MOST: usize = 0xffff - 4;

/// What a packet is told by that has the same port as others: where it waits, and its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    hook: u8,
    interface: u32,
    bridge_came: u32,
    bridge_leaves: u32,
}

/// A packet that waits for its verdict, in the order of the queue.
#[derive(Debug)]
enum Entry {
    /// Decided without the engine.
    Decided(u32, Decision, Option<Vec<u8>>),
    /// In the batch.
    Judged(Meta),
}

/// What is kept of a packet while the engine judges it.
#[derive(Clone, Copy, Debug)]
struct Meta {
    id: u32,
    hook: u8,
    /// Mark, as the kernel gave it.
    mark: u32,
    /// Interface by which it came or leaves.
    interface: u32,
    several: bool,
    head: Head,
}

/// Verdicts on their way, those that are alike together.
#[derive(Debug, Default)]
struct Verdicts {
    message: Message,
    alike: Option<Decision>,
    ids: Vec<u32>,
    /// Others wait, or waited since the last verdicts were sent: one message cannot speak of all up to a number.
    alone: bool,
}

/// One queue.
#[derive(Debug)]
pub(super) struct QueueBackend {
    socket: QueueSocket,
    shared: Arc<Shared>,
    notes: Vec<String>,
    ports: HashMap<Way, Port>,
    generation: u64,
    entries: Vec<Entry>,
    verdicts: Verdicts,
    fragments: Fragments,
    /// The last packet of a batch whose verdicts were not all sent.
    open: Option<u32>,
}

impl QueueBackend {
    pub(super) fn new(socket: QueueSocket, shared: Arc<Shared>, notes: Vec<String>) -> Self {
        QueueBackend {
            socket,
            shared,
            notes,
            ports: HashMap::new(),
            generation: 0,
            entries: Vec::new(),
            verdicts: Verdicts::default(),
            fragments: Fragments::default(),
            open: None,
        }
    }

    /// Drops everything that waits after a panic: verdicts of its batch may not have been sent, and what has none would wait for ever.
    fn give_up(&mut self, last: u32) -> io::Result<()> {
        self.entries.clear();
        self.fragments = Fragments::default();
        self.verdicts = Verdicts::default();
        let drop = Decision {
            verdict: DROP,
            mark: None,
        };
        let message = &mut self.verdicts.message;
        message::verdict_up_to(message, self.socket.queue(), last, &drop);
        self.flush()
    }

    /// The engine's handle for packets that come as this one.
    fn port(&mut self, waiting: &Waiting) -> Port {
        let way = Way {
            hook: waiting.hook,
            interface: match waiting.hook {
                hook::OUTPUT => waiting.leaves,
                _ => waiting.came,
            },
            bridge_came: waiting.bridge_came,
            bridge_leaves: waiting.bridge_leaves,
        };
        if let Some(port) = self.ports.get(&way) {
            return *port;
        }
        // An interface that is newer than what is known of this machine.
        let name = |index: u32| -> Arc<str> {
            let known = self.shared.name(index);
            let now = || {
                nix::net::if_::if_indextoname(index)
                    .ok()?
                    .into_string()
                    .ok()
            };
            Arc::from(known.or_else(now).unwrap_or_default())
        };
        let bridge_port = |index: u32| (index != 0).then(|| name(index));
        let bridge = Bridge {
            came: bridge_port(way.bridge_came),
            leaves: bridge_port(way.bridge_leaves),
        };
        let route = match way.hook {
            hook::OUTPUT => Route::Out(name(way.interface)),
            _ => Route::In(name(way.interface)),
        };
        let port = self.shared.gate.port(route, bridge);
        self.ports.insert(way, port);
        port
    }

    /// Takes a datagram; a packet for the engine goes into the batch.
    fn take(&mut self, index: usize, batch: &mut Batch) {
        let waiting = match message::read(self.socket.datagram(index)) {
            Said::Packet(waiting) => waiting,
            Said::Refused(code) => {
                tracing::debug!(code, "a verdict was refused");
                count(&self.shared.counters.refused);
                return;
            }
            Said::Nothing => return,
        };
        let drop = Decision {
            verdict: DROP,
            mark: None,
        };
        self.open = Some(waiting.id);
        let bytes = self.socket.datagram(index).get(waiting.payload.clone());
        let bytes = bytes.unwrap_or_default();
        if waiting.cut || bytes.is_empty() {
            count(&self.shared.counters.cut);
            self.entries.push(Entry::Decided(waiting.id, drop, None));
            return;
        }
        if !matches!(waiting.hook, hook::PREROUTING | hook::OUTPUT) {
            let entry = self.behind_routing(&waiting, bytes);
            self.entries.push(entry);
            return;
        }
        let meta = Meta {
            id: waiting.id,
            hook: waiting.hook,
            mark: waiting.mark,
            interface: waiting.came.max(waiting.leaves),
            several: waiting.several,
            head: Head::of(bytes),
        };
        let port = self.port(&waiting);
        let Some(frame) = batch.add() else {
            self.entries.push(Entry::Decided(waiting.id, drop, None));
            return;
        };
        self.socket.exchange(index, &mut frame.bytes);
        frame.bytes.truncate(waiting.payload.end);
        frame.offset = waiting.payload.start;
        frame.port = port;
        frame.link = LinkInfo {
            source_mac: waiting.hardware,
            ..LinkInfo::default()
        };
        frame.mark = waiting.mark & !self.shared.bit;
        frame.owner = waiting.owner.map(|(user, group)| Owner {
            user,
            group,
            ..Owner::default()
        });
        frame.unfinished = waiting.unfinished;
        self.entries.push(Entry::Judged(meta));
    }

    /// A packet that comes back: its source is written, or it goes no further.
    fn behind_routing(&self, waiting: &Waiting, bytes: &[u8]) -> Entry {
        let counters = &self.shared.counters;
        let source = Look::of(bytes).and_then(|look| self.shared.carried.source(&look));
        let mut bytes = bytes.to_vec();
        match source {
            Some(source) if rewrite::write_source(&mut bytes, source) => {
                count(&counters.carried);
                let mark = waiting.mark & !self.shared.bit;
                let decision = Decision {
                    verdict: ACCEPT,
                    mark: (mark != waiting.mark).then_some(mark),
                };
                Entry::Decided(waiting.id, decision, Some(bytes))
            }
            _ => {
                count(&counters.lost);
                let decision = Decision {
                    verdict: DROP,
                    mark: None,
                };
                Entry::Decided(waiting.id, decision, None)
            }
        }
    }

    /// Carries out what became of a packet.
    fn carry_out(&mut self, meta: &Meta, frame: &mut Frame) -> io::Result<()> {
        let detail = frame.judged.detail.take();
        if let Some(detail) = &detail {
            self.send_all(detail, meta);
        }
        let pieces = detail.as_ref().map_or(1, |d| d.why.pieces);
        match frame.judged.verdict {
            Verdict::Accept if pieces > 1 => self.accept_whole(meta, frame, detail),
            Verdict::Accept => self.accept(meta, frame, detail),
            Verdict::Stolen if held(detail.as_deref()) => {
                self.verdicts.alone = true;
                let now = Instant::now();
                let given_up = self.fragments.hold(frame.packet(), meta.id, meta.mark, now);
                self.drop_all(given_up)
            }
            Verdict::Drop
                if meta.hook == hook::PREROUTING && expired::translated(detail.as_deref()) =>
            {
                self.answer_expired(meta, frame);
                self.drop_all(vec![Held::new(meta.id)])
            }
            Verdict::Drop
                if meta.hook == hook::PREROUTING && left_to_routing(detail.as_deref()) =>
            {
                let decision = Decision {
                    verdict: ACCEPT,
                    mark: Some(meta.mark | self.shared.bit),
                };
                self.decide(meta.id, &decision, None)
            }
            verdict => {
                if verdict == Verdict::Unknown {
                    count(&self.shared.counters.unknown);
                }
                if let Some((key, _)) = Key::of(frame.packet()).filter(|_| ends_datagram(&detail)) {
                    let held = self.fragments.take(&key);
                    self.drop_all(held)?;
                }
                self.drop_all(vec![Held::new(meta.id)])
            }
        }
    }

    /// Tells the sender of a packet that its time to live was used up here.
    fn answer_expired(&self, meta: &Meta, frame: &Frame) {
        let Ok(packet) = Packet::parse(frame.packet()) else {
            return;
        };
        if !self.shared.expired.allows(Instant::now()) {
            return;
        }
        let source = packet.source();
        let own = |engine: &mut Engine, _| engine.host().source_towards(source);
        let answer = self
            .shared
            .gate
            .with(own)
            .and_then(|own| expired::answer(&packet, own));
        if let Some(bytes) = answer {
            self.shared.injector.send(&bytes, meta.interface);
        }
    }

    /// Sends what rules made.
    fn send_all(&self, detail: &Outcome, meta: &Meta) {
        let replies = detail.reply.iter().chain(&detail.further);
        for bytes in replies.filter_map(|reply| reply.sent.as_deref()) {
            self.shared.injector.send(bytes, meta.interface);
        }
        for copy in &detail.copies {
            if let Some(bytes) = &copy.sent {
                self.shared.injector.send_to(bytes, copy.gateway, 0);
            }
        }
    }

    /// The mark that the kernel is to put on a packet, if it is to be another one.
    fn mark(meta: &Meta, mark: u32) -> Option<u32> {
        (mark != meta.mark).then_some(mark)
    }

    /// A packet that passes.
    fn accept(
        &mut self,
        meta: &Meta,
        frame: &mut Frame,
        detail: Option<Box<Outcome>>,
    ) -> io::Result<()> {
        let mut mark = frame.judged.mark & !self.shared.bit;
        if !frame.judged.changed.any() {
            let decision = Decision {
                verdict: ACCEPT,
                mark: Self::mark(meta, mark),
            };
            return self.decide(meta.id, &decision, None);
        }
        let path = detail.as_ref().and_then(|d| d.path);
        let longer = detail.and_then(|d| d.output);
        let bytes = match longer {
            Some(bytes) => {
                frame.bytes = bytes;
                frame.offset = 0;
                frame.bytes.as_mut_slice()
            }
            None => frame.bytes.get_mut(frame.offset..).unwrap_or_default(),
        };
        if meta.several {
            rewrite::before_cutting(bytes);
        }
        if meta.hook == hook::PREROUTING {
            let forwarded = path == Some(Path::Forward);
            if let Some(source) = rewrite::before_routing(&meta.head, bytes, forwarded) {
                mark = carry(&self.shared, bytes, source, mark);
            }
        }
        count(&self.shared.counters.rewritten);
        let decision = Decision {
            verdict: ACCEPT,
            mark: Self::mark(meta, mark),
        };
        self.decide(meta.id, &decision, Some(frame.packet()))
    }

    /// A datagram that passes, of which this was the last fragment to come.
    fn accept_whole(
        &mut self,
        meta: &Meta,
        frame: &mut Frame,
        detail: Option<Box<Outcome>>,
    ) -> io::Result<()> {
        let Some((detail, (key, offset))) = detail.zip(Key::of(frame.packet())) else {
            return self.drop_all(vec![Held::new(meta.id)]);
        };
        let mut all = self.fragments.take(&key);
        let mut last = Held::new(meta.id);
        (last.offset, last.mark) = (offset, meta.mark);
        all.push(last);
        // Others of the same name were given up by the engine, and are not what was judged.
        if all.len() != detail.why.pieces {
            return self.drop_all(all);
        }
        all.sort_unstable_by_key(|h| h.offset);
        let mut mark = frame.judged.mark & !self.shared.bit;
        if !frame.judged.changed.any() {
            for one in all {
                let decision = Decision {
                    verdict: ACCEPT,
                    mark: (one.mark != mark).then_some(mark),
                };
                self.decide(one.id, &decision, None)?;
            }
            return Ok(());
        }
        let forwarded = detail.path == Some(Path::Forward);
        let Some(mut whole) = detail.output else {
            return self.drop_all(all);
        };
        let mut source = None;
        if meta.hook == hook::PREROUTING {
            let came = detail.reassembled.as_deref().unwrap_or(frame.packet());
            source = rewrite::before_routing(&Head::of(came), &mut whole, forwarded);
        }
        // Cut where it was cut, so that it goes on as it came.
        let id = Packet::parse(frame.packet()).map_or(0, |p| p.id());
        let cuts: Vec<usize> = all.iter().skip(1).map(|h| h.offset).collect();
        let parts = build::fragments_at(&whole, &cuts, id);
        if parts.len() != all.len() {
            return self.drop_all(all);
        }
        for (one, part) in all.iter().zip(&parts) {
            if let Some(source) = source {
                mark = carry(&self.shared, part, source, mark);
            }
            count(&self.shared.counters.rewritten);
            let decision = Decision {
                verdict: ACCEPT,
                mark: (one.mark != mark).then_some(mark),
            };
            self.decide(one.id, &decision, Some(part))?;
        }
        Ok(())
    }

    fn drop_all(&mut self, all: Vec<Held>) -> io::Result<()> {
        let decision = Decision {
            verdict: DROP,
            mark: None,
        };
        for one in all {
            self.decide(one.id, &decision, None)?;
        }
        Ok(())
    }

    /// Writes a verdict.
    fn decide(&mut self, id: u32, decision: &Decision, bytes: Option<&[u8]>) -> io::Result<()> {
        let queue = self.socket.queue();
        if bytes.is_some() || self.verdicts.alike != Some(*decision) {
            self.verdicts.settle(queue);
        }
        match bytes {
            Some(bytes) if bytes.len() > MOST => {
                let drop = Decision {
                    verdict: DROP,
                    mark: None,
                };
                message::verdict(&mut self.verdicts.message, queue, id, &drop, None);
            }
            Some(bytes) => {
                message::verdict(&mut self.verdicts.message, queue, id, decision, Some(bytes));
            }
            None => {
                self.verdicts.alike = Some(*decision);
                self.verdicts.ids.push(id);
            }
        }
        if QueueSocket::is_much(&self.verdicts.message) {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends all verdicts that are written.
    fn flush(&mut self) -> io::Result<()> {
        self.verdicts.settle(self.socket.queue());
        if !self.verdicts.message.bytes().is_empty() {
            self.socket.send(&self.verdicts.message)?;
            self.verdicts.message.clear();
        }
        Ok(())
    }
}

impl Verdicts {
    /// Writes the verdict of those that are alike: by one message about all up to the last, unless others wait before
    /// it.
    fn settle(&mut self, queue: u16) {
        let Some(decision) = self.alike.take() else {
            return;
        };
        match self.ids.as_slice() {
            [_, .., last] if !self.alone && rises(&self.ids) => {
                message::verdict_up_to(&mut self.message, queue, *last, &decision);
            }
            ids => {
                for id in ids {
                    message::verdict(&mut self.message, queue, *id, &decision, None);
                }
            }
        }
        self.ids.clear();
    }
}

/// Whether numbers, which wrap, rise.
fn rises(ids: &[u32]) -> bool {
    ids.windows(2)
        .all(|pair| matches!(pair, [a, b] if b.wrapping_sub(*a) as i32 > 0))
}

/// Keeps the source of a packet that is to come back; its mark.
fn carry(shared: &Shared, bytes: &[u8], source: IpAddr, mark: u32) -> u32 {
    if let Some(look) = Look::of(bytes) {
        shared.carried.keep(look, source);
    }
    mark | shared.bit
}

/// Whether a packet is a fragment that waits for others.
fn held(detail: Option<&Outcome>) -> bool {
    detail.is_some_and(|d| matches!(d.why.ended, Ended::Fragment))
}

/// Whether a packet that was not let through was, or gave up, a datagram of which fragments wait.
fn ends_datagram(detail: &Option<Box<Outcome>>) -> bool {
    detail.as_ref().is_some_and(|d| {
        let fatal = matches!(
            d.why.ended,
            Ended::FragmentFault(FragmentFault::Overlap { .. } | FragmentFault::TwoEnds)
        );
        d.why.pieces > 1 || fatal
    })
}

/// Whether routing drops a packet too, and answers it. The mark's bit keeps it from anything else: behind routing it
/// comes back, and is dropped.
fn left_to_routing(detail: Option<&Outcome>) -> bool {
    detail.is_some_and(|d| {
        d.why.pieces == 1
            && matches!(
                d.why.ended,
                Ended::TimeToLive(_) | Ended::NoRoute(_) | Ended::Options
            )
    })
}

impl Backend for QueueBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "nfqueue",
            rewrites: true,
            injects: true,
            marks: true,
            owners: true,
            local: true,
            notes: self.notes.clone(),
        }
    }

    fn receive(&mut self, batch: &mut Batch, wait: Duration) -> io::Result<()> {
        if let Some(last) = self.open.take() {
            self.give_up(last)?;
        }
        let received = self.socket.receive(wait)?;
        let generation = self.shared.generation.load(Ordering::Acquire);
        if self.generation != generation {
            self.generation = generation;
            self.ports.clear();
        }
        for index in 0..received {
            self.take(index, batch);
        }
        if batch.is_empty() {
            self.conclude(batch)?;
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.verdicts.alone = !self.fragments.is_empty();
        let mut frames = batch.frames_mut().iter_mut();
        let mut entries = std::mem::take(&mut self.entries);
        for entry in entries.drain(..) {
            match entry {
                Entry::Decided(id, decision, bytes) => {
                    self.decide(id, &decision, bytes.as_deref())?;
                }
                Entry::Judged(meta) => match frames.next() {
                    Some(frame) => self.carry_out(&meta, frame)?,
                    None => self.drop_all(vec![Held::new(meta.id)])?,
                },
            }
        }
        self.entries = entries;
        if !self.fragments.is_empty() {
            let over = self.fragments.expired(Instant::now());
            self.drop_all(over)?;
        }
        self.flush()?;
        self.open = None;
        Ok(())
    }
}
