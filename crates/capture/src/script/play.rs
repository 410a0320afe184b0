//! A test's packets, one after the other, with their moments.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use palisade_wire::Timestamp;

use super::craft;
use super::diagnostic::ScriptDiagnostic;
use super::expect::{Check, Expectation};
use super::flow::Flows;
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
    index: u32,
    of: u32,
    round: u32,
    turned: bool,
    bytes: Vec<u8>,
}

/// Packets that others may refer to.
#[derive(Default)]
pub(super) struct Known {
    labels: HashMap<String, Vec<Vec<u8>>>,
    numbers: HashMap<u64, Option<Vec<u8>>>,
    previous: Option<Vec<u8>>,
}

impl Known {
    /// The packet meant, if it was sent.
    pub fn packet(&self, reference: &Reference, fragments_first: bool) -> Option<&[u8]> {
        let found = match reference {
            Reference::Label(label, part) => {
                let packets = self.labels.get(label)?;
                match part {
                    Some(n) => packets.get((*n as usize).checked_sub(1)?),
                    None if fragments_first => packets.first(),
                    None => packets.last(),
                }
            }
            Reference::Number(n) => self.numbers.get(n)?.as_ref(),
            Reference::Previous => self.previous.as_ref(),
        };
        found.map(Vec::as_slice)
    }
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
                return Some(Ok(Event::Packet(self.emit(queued))));
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

    /// Builds the packets of a line.
    fn line(&mut self, step: &'s Step, send: &'s Send, round: u32) -> Result<(), ScriptDiagnostic> {
        self.ids = self.ids.wrapping_add(1);
        let mut built = craft::packets(send, round, self.ids, &mut self.flows, &self.known)?;
        if let Some(label) = &send.label {
            self.known.labels.insert(label.clone(), built.clone());
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
            self.known.previous = built.pop();
            return Ok(());
        }
        let of = built.len() as u32;
        let queued = built.into_iter().zip(1..).map(|(bytes, index)| Queued {
            step,
            send,
            index,
            of,
            round,
            turned: craft::turned(&send.what, index),
            bytes,
        });
        self.queue = queued.collect();
        self.queue.reverse();
        Ok(())
    }

    fn emit(&mut self, queued: Queued<'s>) -> Sent<'s> {
        if self.due {
            self.now = self.now + self.tick;
        }
        self.due = true;
        self.sent += 1;
        let mut bytes = queued.bytes;
        if let Some(place) = self.known.numbers.get_mut(&self.sent) {
            *place = Some(bytes.clone());
        }
        self.known.previous = Some(bytes.clone());
        let original_len = bytes.len();
        if let Some(length) = queued.send.damage.truncate {
            bytes.truncate(usize::from(length));
        }
        let send = queued.send;
        let source = if queued.turned { &send.to } else { &send.from };
        let source = address_in_round(source, queued.round);
        let way = match &send.link.way {
            // `in` and `out` speak of the line's sender; what comes back takes its own way.
            Way::ByAddress => self.way(source),
            _ if queued.turned => self.way(source),
            way => way.clone(),
        };
        Sent {
            number: self.sent,
            time: self.now,
            step: queued.step,
            send,
            index: queued.index,
            of: queued.of,
            round: queued.round,
            bytes,
            original_len,
            way,
            kind: send.link.kind,
            source_mac: send.link.source_mac.filter(|_| !queued.turned),
        }
    }

    /// `In` by the sender's place; left to the engine for the firewall's own packets.
    fn way(&self, source: IpAddr) -> Way {
        if self.firewall.is_local(source) {
            return Way::ByAddress;
        }
        match self.firewall.interface_towards(source) {
            Some(name) => Way::In(name.to_owned()),
            None => Way::ByAddress,
        }
    }
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
            (None, What::Handshake { .. } | What::Close) => 3,
            (None, What::Ping { .. } | What::Dns { .. }) => 2,
            _ => 1,
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
fn referenced(steps: &[Step], numbers: &mut HashMap<u64, Option<Vec<u8>>>) {
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
