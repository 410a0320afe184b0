//! A test's packets, one after the other, with their moments.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use palisade_wire::tcp::{Tcp, flags};
use palisade_wire::{Packet, SeqNumber, Timestamp, proto};

use super::craft::{self, Place};
use super::diagnostic::ScriptDiagnostic;
use super::expect::{Check, Expectation};
use super::flow::Flows;
use super::known::{Known, Referable};
use super::link::{FrameKind, Way};
use super::model::{Action, Cut, Endpoint, Reference, Script, Send, Step, Test, What};

/// Something that happens in a test.
#[derive(Debug)]
pub enum Event<'s> {
    /// A packet meets the firewall.
    Packet(Sent<'s>),
    /// A look at the firewall.
    Check {
        /// When.
        time: Timestamp,
        /// What should be so.
        check: &'s Check,
        /// Round of the innermost `repeat`, from 0.
        round: u32,
    },
}

/// A packet on its way.
#[derive(Debug)]
pub struct Sent<'s> {
    /// Number in the test, from 1.
    pub number: u64,
    /// When it comes.
    pub time: Timestamp,
    /// The step it belongs to.
    pub step: &'s Step,
    /// The line it was written on.
    pub send: &'s Send,
    /// Which packet of its line, from 1.
    pub index: u32,
    /// How many the line sends.
    pub of: u32,
    /// Round of the innermost `repeat`, from 0.
    pub round: u32,
    /// The packet, from its IP header on.
    pub bytes: Vec<u8>,
    /// Bytes it had before `truncate`.
    pub original_len: usize,
    /// Which way.
    pub way: Way,
    /// To whom the frame was addressed.
    pub kind: FrameKind,
    /// Hardware address of the sender.
    pub source_mac: Option<[u8; 6]>,
    /// User and group of the socket that sends it, of a packet of the firewall's own.
    pub owner: (u32, u32),
}

impl<'s> Sent<'s> {
    /// What should come of this packet.
    pub fn expectations(&self) -> impl Iterator<Item = &'s Expectation> + use<'s> {
        let (index, of, round) = (self.index, self.of, self.round.saturating_add(1));
        let all = self.step.expectations.iter();
        all.filter(move |e| e.concerns(index, of, round))
    }
}

/// Plays a test: an iterator over its events.
///
/// The clock starts at the given moment with the first packet and moves one tick before each further
/// one, unless a step moves it. Memory grows with the flows, the labels and the packets referred to by
/// number, not with the packets sent.
pub struct Player<'s> {
    firewall: &'s super::model::Firewall,
    start: Timestamp,
    now: Timestamp,
    tick: Duration,
    /// Whether the clock stands where the last packet came.
    due: bool,
    /// Innermost last.
    frames: Vec<Frame<'s>>,
    flows: Flows,
    sent: u64,
    ids: u32,
    /// Of the current line, still to send, last first.
    queue: Vec<Queued<'s>>,
    known: Known,
    /// Rounds of a `repeat` are at most so many: a rehearsal needs few.
    rounds: u32,
}

struct Frame<'s> {
    steps: &'s [Step],
    next: usize,
    round: u32,
    count: u32,
}

struct Queued<'s> {
    step: &'s Step,
    send: &'s Send,
    place: Place,
    of: u32,
    /// `None` for a packet of a shorthand: built when its turn comes, because it may answer the one
    /// before as that left.
    bytes: Option<Vec<u8>>,
}

impl Script {
    /// Plays `test` (one of this script's) from `start` on.
    pub fn play<'s>(&'s self, test: &'s Test, start: Timestamp) -> Player<'s> {
        let mut numbers = HashMap::new();
        referenced(&test.steps, &mut numbers);
        Player {
            firewall: &self.firewall,
            start,
            now: start,
            tick: self.tick,
            due: false,
            frames: vec![Frame {
                steps: &test.steps,
                next: 0,
                round: 0,
                count: 1,
            }],
            flows: Flows::default(),
            sent: 0,
            ids: 0,
            queue: Vec::new(),
            known: Known {
                numbers,
                ..Known::default()
            },
            rounds: u32::MAX,
        }
    }

    /// How much time the longest test takes.
    pub fn duration(&self) -> Duration {
        let all = self.tests.iter().map(|t| span_of(&t.steps, self.tick));
        all.max().unwrap_or_default()
    }

    /// The longest time that passes at once: what a real kernel would have to be waited for.
    pub fn longest_wait(&self) -> Duration {
        fn longest(steps: &[Step]) -> Duration {
            let each = steps.iter().map(|s| match &s.action {
                Action::Advance(d) | Action::Until(d) => *d,
                Action::Repeat { steps, .. } => longest(steps),
                _ => Duration::ZERO,
            });
            each.max().unwrap_or_default()
        }
        let all = self.tests.iter().map(|t| longest(&t.steps));
        all.max().unwrap_or_default()
    }
}

impl<'s> Iterator for Player<'s> {
    type Item = Event<'s>;

    fn next(&mut self) -> Option<Event<'s>> {
        loop {
            // What cannot be built was reported when the script was parsed.
            if let Ok(event) = self.advance()? {
                return Some(event);
            }
        }
    }
}

impl<'s> Player<'s> {
    /// The next event, or why a packet cannot be built.
    fn advance(&mut self) -> Option<Result<Event<'s>, ScriptDiagnostic>> {
        loop {
            if let Some(queued) = self.queue.pop() {
                return Some(self.emit(queued).map(Event::Packet));
            }
            let frame = self.frames.last_mut()?;
            let Some(step) = frame.steps.get(frame.next) else {
                frame.round += 1;
                frame.next = 0;
                if frame.round >= frame.count.min(self.rounds) {
                    self.frames.pop();
                }
                continue;
            };
            frame.next += 1;
            let round = frame.round;
            match &step.action {
                Action::Advance(by) => {
                    self.now = self.now + *by;
                    self.due = false;
                }
                Action::Until(since) => {
                    let then = self.start + *since;
                    // Rehearsals shorten repeats, so only the real order of things shows a step back.
                    if then < self.now && self.rounds == u32::MAX {
                        continue;
                    }
                    if then < self.now {
                        let late = self.now.since(self.start);
                        return Some(Err(ScriptDiagnostic::new(
                            "back-in-time",
                            step.span,
                            format!("it is already {:.3} s", late.as_secs_f64()),
                        )));
                    }
                    self.now = then;
                    self.due = false;
                }
                Action::Repeat { count, steps } => self.frames.push(Frame {
                    steps,
                    next: 0,
                    round: 0,
                    count: *count,
                }),
                Action::Check(check) => {
                    if check
                        .rounds
                        .is_none_or(|(a, b)| (a..=b).contains(&(round + 1)))
                    {
                        return Some(Ok(Event::Check {
                            time: self.now,
                            check,
                            round,
                        }));
                    }
                }
                Action::Send(send) => {
                    if let Err(fault) = self.line(step, send, round) {
                        return Some(Err(fault));
                    }
                }
            }
        }
    }

    /// Builds the packets of a line, as far as they can be built before any is sent.
    fn line(&mut self, step: &'s Step, send: &'s Send, round: u32) -> Result<(), ScriptDiagnostic> {
        self.ids = self.ids.wrapping_add(1);
        let place = |index| Place {
            round,
            id: self.ids,
            index,
        };
        if let Some(label) = &send.label {
            self.known.labels.insert(label.clone(), Vec::new());
        }
        self.known.asked = None;
        if let Some(of) = craft::parts(&send.what)
            && !send.lost
        {
            let queued = (1..=of).rev().map(|index| Queued {
                step,
                send,
                place: place(index),
                of,
                bytes: None,
            });
            self.queue = queued.collect();
            return Ok(());
        }
        let mut built = Vec::new();
        for index in 1..=craft::parts(&send.what).unwrap_or(1) {
            let place = place(index);
            built.extend(craft::packets(send, place, &mut self.flows, &self.known)?);
        }
        if let Some(label) = &send.label {
            let referable = |sent: &Vec<u8>| Referable {
                sent: sent.clone(),
                ..Referable::default()
            };
            let packets = built.iter().map(referable).collect();
            self.known.labels.insert(label.clone(), packets);
        }
        // `order` picks among the pieces; without it all go as they are.
        if let Some(f) = send.fragments.as_ref().filter(|f| !f.order.is_empty()) {
            let picked: Option<Vec<Vec<u8>>> = f
                .order
                .iter()
                .map(|n| built.get((*n as usize).checked_sub(1)?).cloned())
                .collect();
            built = picked.ok_or_else(|| {
                ScriptDiagnostic::new(
                    "bad-number",
                    step.span,
                    format!("the packet is cut into {} pieces only", built.len()),
                )
            })?;
        }
        if send.lost {
            self.known.previous = built.pop().map(|sent| Referable {
                sent,
                ..Referable::default()
            });
            return Ok(());
        }
        let of = built.len() as u32;
        let queued = built.into_iter().zip(1..).map(|(bytes, index)| Queued {
            step,
            send,
            place: place(index),
            of,
            bytes: Some(bytes),
        });
        self.queue = queued.collect();
        self.queue.reverse();
        Ok(())
    }

    fn emit(&mut self, queued: Queued<'s>) -> Result<Sent<'s>, ScriptDiagnostic> {
        let Queued {
            step,
            send,
            place,
            of,
            bytes,
        } = queued;
        let Place { round, index, .. } = place;
        let turned = craft::turned(&send.what, index);
        let mut bytes = match bytes {
            Some(bytes) => bytes,
            None => {
                let built = craft::packets(send, place, &mut self.flows, &self.known)?;
                let sent = built.into_iter().next().unwrap_or_default();
                if let Some(packets) = send
                    .label
                    .as_ref()
                    .and_then(|l| self.known.labels.get_mut(l))
                {
                    packets.push(Referable {
                        sent: sent.clone(),
                        left: None,
                        turned,
                    });
                }
                sent
            }
        };
        if self.due {
            self.now = self.now + self.tick;
        }
        self.due = true;
        self.sent += 1;
        let referable = Referable {
            sent: bytes.clone(),
            left: None,
            turned,
        };
        if let Some(number) = self.known.numbers.get_mut(&self.sent) {
            *number = Some(referable.clone());
        }
        if !turned {
            self.known.asked = Some(referable.clone());
        }
        self.known.previous = Some(referable);
        let original_len = bytes.len();
        if let Some(length) = send.damage.truncate {
            bytes.truncate(usize::from(length));
        }
        let source = if turned { &send.to } else { &send.from };
        let source = match Packet::parse_truncated(&bytes) {
            Ok(packet) if turned || send.answers.is_some() => packet.source(),
            _ => address_in_round(source, round),
        };
        let way = match &send.link.way {
            // `in` and `out` speak of the line's sender; what comes back takes its own way.
            Way::ByAddress => self.way(source),
            _ if turned => self.way(source),
            way => way.clone(),
        };
        Ok(Sent {
            number: self.sent,
            time: self.now,
            step,
            send,
            index,
            of,
            round,
            bytes,
            original_len,
            way,
            kind: send.link.kind,
            source_mac: send.link.source_mac.filter(|_| !turned),
            owner: send.link.owner,
        })
    }

    /// Tells how a packet left the firewall: what answers or quotes it follows that. To be called after
    /// the packet and before the next one; `None` when it did not leave.
    pub fn left(&mut self, sent: &Sent<'s>, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            return;
        };
        let turned = craft::turned(&sent.send.what, sent.index);
        let note = |referable: &mut Referable| referable.left = Some(bytes.to_vec());
        let known = &mut self.known;
        if let Some(packets) = sent
            .send
            .label
            .as_ref()
            .and_then(|l| known.labels.get_mut(l))
        {
            // Of pieces in an order of their own, it is the bytes that tell which one this was.
            let at = packets.iter().position(|p| p.sent == sent.bytes);
            let at = at.unwrap_or((sent.index as usize).saturating_sub(1));
            packets.get_mut(at).map(note);
        }
        if let Some(Some(number)) = known.numbers.get_mut(&sent.number) {
            note(number);
        }
        known.previous.as_mut().map(note);
        if !turned {
            known.asked.as_mut().map(note);
        }
        if let (Some(sent_end), Some(left_end)) = (tcp_end(&sent.bytes), tcp_end(bytes)) {
            let socket = |end: &Endpoint| {
                let port = end.port.map_or(0, |p| p.at(sent.round) as u16);
                (address_in_round(end, sent.round), port)
            };
            let (from, to) = (socket(&sent.send.from), socket(&sent.send.to));
            let (from, to) = if turned { (to, from) } else { (from, to) };
            self.flows.left(from, to, sent_end, left_end);
            if let Some((value, _)) = stamps(bytes) {
                self.flows.stamped(from, to, value);
            }
        }
    }

    /// Tells what the firewall sent back on its own: a SYN/ACK of SYNPROXY moves the flow as the server's would. To be
    /// called after the packet and before the next one.
    pub fn answered(&mut self, answer: &[u8]) {
        let Ok(packet) = Packet::parse_truncated(answer) else {
            return;
        };
        if packet.protocol() != proto::TCP || packet.fragment().is_some() {
            return;
        }
        let Some(tcp) = Tcp::new(packet.transport()) else {
            return;
        };
        let from = (packet.source(), tcp.source_port());
        let to = (packet.destination(), tcp.destination_port());
        if tcp.has(flags::SYN) && tcp.has(flags::ACK) {
            self.flows.answered(from, to, tcp.seq());
        }
        if let Some((value, _)) = stamps(answer) {
            self.flows.stamped(from, to, value);
        }
    }

    /// `In` by the sender's place, the first interface if it has none; left to the engine for the firewall's own
    /// packets.
    fn way(&self, source: IpAddr) -> Way {
        if self.firewall.is_local(source) {
            return Way::ByAddress;
        }
        let first = self.firewall.interfaces.first().map(|i| i.name.as_str());
        match self.firewall.interface_towards(source).or(first) {
            Some(name) => Way::In(name.to_owned()),
            None => Way::ByAddress,
        }
    }
}

/// The time stamps of a segment: value and echo.
pub fn stamps(bytes: &[u8]) -> Option<(u32, u32)> {
    let packet = Packet::parse_truncated(bytes).ok()?;
    if packet.protocol() != proto::TCP {
        return None;
    }
    let tcp = Tcp::new(packet.transport())?;
    let mut rest = tcp.options();
    loop {
        let size = match rest {
            [] | [0, ..] => return None,
            [1, ..] => 1,
            [8, 10, a, b, c, d, e, f, g, h, ..] => {
                let value = u32::from_be_bytes([*a, *b, *c, *d]);
                return Some((value, u32::from_be_bytes([*e, *f, *g, *h])));
            }
            [_, size, ..] if *size >= 2 => usize::from(*size),
            _ => return None,
        };
        rest = rest.get(size..)?;
    }
}

/// The sequence number behind a segment's last byte.
fn tcp_end(bytes: &[u8]) -> Option<SeqNumber> {
    let packet = Packet::parse_truncated(bytes).ok()?;
    if packet.protocol() != proto::TCP || packet.fragment().is_some() {
        return None;
    }
    let tcp = Tcp::new(packet.transport())?;
    let payload = packet.transport_len().saturating_sub(tcp.data_offset());
    let bit = |flag| u32::from(tcp.flags() & flag != 0);
    let length = (payload as u32)
        .wrapping_add(bit(flags::SYN))
        .wrapping_add(bit(flags::FIN));
    Some(tcp.seq() + length)
}

/// An endpoint's address in `round` (from 0).
pub(super) fn address_in_round(end: &Endpoint, round: u32) -> IpAddr {
    if !end.address_plus_round {
        return end.address;
    }
    match end.address {
        IpAddr::V4(a) => IpAddr::from(a.to_bits().wrapping_add(round).to_be_bytes()),
        IpAddr::V6(a) => IpAddr::from(a.to_bits().wrapping_add(u128::from(round)).to_be_bytes()),
    }
}

/// How many packets `steps` send.
pub(super) fn packets(steps: &[Step]) -> u64 {
    let each = steps.iter().map(|step| match &step.action {
        Action::Send(send) if send.lost => 0,
        Action::Send(send) => match (&send.fragments, &send.what) {
            (Some(f), _) if !f.order.is_empty() => f.order.len() as u64,
            (Some(f), _) => match &f.cut {
                Cut::Pieces(n) => u64::from(*n),
                Cut::At(offsets) => offsets.len() as u64 + 1,
                Cut::Ranges(ranges) => ranges.len() as u64,
            },
            (None, what) => u64::from(craft::parts(what).unwrap_or(1)),
        },
        Action::Repeat { count, steps } => u64::from(*count).saturating_mul(packets(steps)),
        _ => 0,
    });
    each.fold(0, u64::saturating_add)
}

/// How many steps a player takes through `steps`, rounds that send nothing included.
pub(super) fn work(steps: &[Step]) -> u64 {
    let each = steps.iter().map(|step| match &step.action {
        Action::Repeat { count, steps } => {
            u64::from(*count).saturating_mul(work(steps).saturating_add(1))
        }
        Action::Send(_) => packets(std::slice::from_ref(step)).saturating_add(1),
        _ => 1,
    });
    each.fold(0, u64::saturating_add)
}

fn span_of(steps: &[Step], tick: Duration) -> Duration {
    steps
        .iter()
        .fold(Duration::ZERO, |sum, step| match &step.action {
            Action::Advance(by) => sum.saturating_add(*by),
            Action::Until(since) => sum.max(*since),
            Action::Repeat { count, steps } => {
                sum.saturating_add(span_of(steps, tick).saturating_mul(*count))
            }
            Action::Send(_) => {
                let count = u32::try_from(packets(std::slice::from_ref(step))).unwrap_or(u32::MAX);
                sum.saturating_add(tick.saturating_mul(count))
            }
            Action::Check(_) => sum,
        })
}

/// Notes which packets are referred to by number.
fn referenced(steps: &[Step], numbers: &mut HashMap<u64, Option<Referable>>) {
    for step in steps {
        match &step.action {
            Action::Send(send) => {
                if let What::Icmp(icmp) = &send.what
                    && let Some(Reference::Number(n)) = icmp.quote.as_ref().map(|q| &q.packet)
                {
                    numbers.insert(*n, None);
                }
            }
            Action::Repeat { steps, .. } => referenced(steps, numbers),
            _ => {}
        }
    }
}

/// Builds every packet of the first rounds, for what only shows then.
pub(super) fn rehearse(script: &Script) -> Vec<ScriptDiagnostic> {
    let mut faults = Vec::new();
    for test in &script.tests {
        let mut player = script.play(test, Timestamp::default());
        player.rounds = 3;
        while let Some(event) = player.advance() {
            if let Err(fault) = event {
                faults.push(fault);
            }
        }
        overflows(&test.steps, 1, &mut faults);
    }
    faults.dedup();
    faults
}

/// Numbers that grow beyond their field within a `repeat` of `count` rounds.
fn overflows(steps: &[Step], count: u32, faults: &mut Vec<ScriptDiagnostic>) {
    for step in steps {
        match &step.action {
            Action::Repeat { count, steps } => overflows(steps, *count, faults),
            Action::Send(send) => {
                for (end, span) in [(&send.from, send.from_span), (&send.to, send.to_span)] {
                    let last = end.port.map(|p| p.at(count.saturating_sub(1)));
                    if last.is_some_and(|p| p > 65_535) {
                        faults.push(
                            ScriptDiagnostic::new(
                                "bad-number",
                                span,
                                format!("after {count} rounds the port is beyond 65535"),
                            )
                            .help("start lower, or repeat less"),
                        );
                    }
                }
            }
            _ => {}
        }
    }
}
