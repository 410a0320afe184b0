//! What a subject showed in a whole script, and how two such records differ.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use palisade_capture::script::{
    ConnectionSeen, Direction, Mismatch, Observed, RuleName, RuleNumber, Script, Seen, Sent, State,
    Subject, Tally, Test, Told, Verdict, run,
};
use palisade_wire::{Timestamp, proto};

use crate::protocol::{SIX_PIECES, name_of_protocol, protocol_of};
use crate::tables::{self, Table, Tables};

/// The name of a counter: of a rule, or of a built-in chain's policy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CounterName {
    /// IPv6's ruleset rather than IPv4's.
    pub v6: bool,
    /// Table, as `-t` names it.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// Number in the chain from 1; 0 for the policy.
    pub number: u32,
}

impl CounterName {
    /// A name; `number` 0 is the policy.
    pub fn new(v6: bool, table: &str, chain: &str, number: u32) -> Self {
        CounterName {
            v6,
            table: table.to_owned(),
            chain: chain.to_owned(),
            number,
        }
    }

    /// The name of what a script calls `rule`.
    pub fn of(v6: bool, rule: &RuleName) -> Self {
        let number = match rule.rule {
            RuleNumber::Number(n) => n,
            RuleNumber::Policy => 0,
        };
        CounterName::new(v6, &rule.table, &rule.chain, number)
    }
}

impl fmt::Display for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let six = if self.v6 { " (ip6)" } else { "" };
        match self.number {
            0 => write!(f, "{} {} policy{six}", self.table, self.chain),
            n => write!(f, "{} {} {n}{six}", self.table, self.chain),
        }
    }
}

/// Packets and bytes of every rule and policy.
pub type Counters = BTreeMap<CounterName, (u64, u64)>;

/// A packet as it was made, and as it left if it did.
pub type Further = (Vec<u8>, Option<Vec<u8>>);

/// What a subject showed of the last packet beyond what scripts ask for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Extras {
    /// When it came, since the first one.
    pub elapsed: Duration,
    /// REJECT's answer as it left; `None` when OUTPUT or POSTROUTING stopped it.
    pub answer_left: Seen<Option<Vec<u8>>>,
    /// The packet as it was last seen before it left or ended: what a translation drew shows in it even
    /// when it was dropped later.
    pub last: Option<Vec<u8>>,
    /// State and direction of REJECT's answer.
    pub answer_state: Seen<(Option<State>, Option<Direction>)>,
    /// A second packet that SYNPROXY made, and how that left.
    pub further: Seen<Option<Further>>,
}

/// A subject that can show all its counters and tables.
pub trait Counted: Subject {
    /// Every rule's and policy's packets and bytes, of both families.
    fn all_counters(&mut self) -> Counters;

    /// Everything it remembers; the script's clock stands at `now`.
    fn tables(&mut self, now: Timestamp) -> Tables;

    /// Time since the first packet, by the subject's own clock.
    fn elapsed(&self) -> Duration;

    /// More about the last packet.
    fn extras(&mut self) -> Extras;

    /// Whether it cannot tell a silent REJECT from a DROP, nor count policies.
    fn blind(&self) -> bool {
        false
    }

    /// What went wrong with the subject itself; it makes every comparison worthless.
    fn faults(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// One packet as a subject judged it.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketRecord {
    /// Line of the script.
    pub line: u32,
    /// Number in the whole script, from 1.
    pub number: u64,
    /// State.
    pub state: Seen<Option<State>>,
    /// Direction.
    pub direction: Seen<Option<Direction>>,
    /// Verdict.
    pub verdict: Seen<Verdict>,
    /// What REJECT sent back, without what differs from packet to packet.
    pub answer: Seen<Option<Vec<u8>>>,
    /// The packet as it left or was delivered.
    pub left: Seen<Option<Vec<u8>>>,
    /// Protocol, for statistics.
    pub protocol: &'static str,
    /// More; its answer without what differs from packet to packet.
    pub extras: Extras,
    /// Tables after it, when they were asked for.
    pub tables: Option<Tables>,
}

/// One test as a subject went through it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TestRecord {
    /// The test's title; empty for a script without `test` lines.
    pub title: String,
    /// Its packets.
    pub packets: Vec<PacketRecord>,
    /// Counters after the last packet.
    pub counters: Counters,
    /// Tables after the last packet.
    pub tables: Tables,
    /// When the tables were read, since the first packet, by the subject's own clock.
    pub ended: Duration,
    /// The subject cannot tell a silent REJECT from a DROP, nor count policies.
    pub blind: bool,
}

/// A whole script as a subject went through it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Record {
    /// The tests, in order.
    pub tests: Vec<TestRecord>,
    /// Expectations that failed, and faults of the subject: each ready to be shown.
    pub failed: Vec<String>,
    /// The sums.
    pub tally: Tally,
}

/// Plays `script` against the subjects that `fresh` makes, and keeps what they showed; the tables after
/// every packet if `each_step`, otherwise at the end of each test.
///
/// # Errors
///
/// What `fresh` fails with.
pub fn record<'s, S: Counted, E>(
    script: &'s Script,
    each_step: bool,
    mut fresh: impl FnMut(&'s Test) -> Result<S, E>,
) -> Result<Record, E> {
    let (mut tests, mut failed) = (Vec::<TestRecord>::new(), Vec::new());
    let current: RefCell<Option<Rc<RefCell<S>>>> = RefCell::new(None);
    let finished = RefCell::new(Vec::<(TestRecord, Vec<String>)>::new());
    let now = Cell::new(Timestamp::new(1_000, 0));
    // A test's counters are taken when the next one begins, or when all is over.
    let finish = || {
        if let Some(subject) = current.take() {
            let mut subject = subject.borrow_mut();
            let ended = subject.elapsed();
            let last = TestRecord {
                tables: subject.tables(now.get()),
                counters: subject.all_counters(),
                ended,
                blind: subject.blind(),
                ..TestRecord::default()
            };
            let faults = subject.faults();
            finished.borrow_mut().push((last, faults));
        }
    };
    let start = Timestamp::new(1_000, 0);
    let tally = run(
        script,
        start,
        |test| {
            finish();
            let subject = Rc::new(RefCell::new(fresh(test)?));
            current.replace(Some(Rc::clone(&subject)));
            Ok(Shared(subject))
        },
        |told| match told {
            Told::Test(test) => tests.push(TestRecord {
                title: test.title.clone().unwrap_or_default(),
                ..TestRecord::default()
            }),
            Told::Packet {
                sent,
                number,
                observed,
                failed: mismatches,
            } => {
                failed.extend(mismatches.iter().map(shown));
                now.set(sent.time);
                let (mut extras, mut tables) = (Extras::default(), None);
                if let Some(subject) = &*current.borrow() {
                    let mut subject = subject.borrow_mut();
                    extras = subject.extras();
                    tables = each_step.then(|| subject.tables(sent.time));
                }
                extras.answer_left = match extras.answer_left {
                    Seen::Unseen => Seen::Unseen,
                    Seen::Seen(a) => Seen::Seen(a.as_deref().map(settled)),
                };
                if let Seen::Seen(Some((made, left))) = &mut extras.further {
                    *made = settled(made);
                    *left = left.as_deref().map(settled);
                }
                if let Some(test) = tests.last_mut() {
                    test.packets.push(PacketRecord {
                        line: sent.step.span.line,
                        number,
                        state: observed.state.clone(),
                        direction: observed.direction.clone(),
                        verdict: observed.verdict.clone(),
                        answer: match &observed.answer {
                            Seen::Unseen => Seen::Unseen,
                            Seen::Seen(a) => Seen::Seen(a.as_deref().map(settled)),
                        },
                        left: observed.left.clone(),
                        protocol: protocol_of(&sent.bytes),
                        extras,
                        tables,
                    });
                }
            }
            Told::Check {
                failed: mismatch,
                time,
                ..
            } => {
                now.set(time);
                failed.extend(mismatch.map(shown));
            }
        },
    )?;
    finish();
    for (test, (last, faults)) in tests.iter_mut().zip(finished.into_inner()) {
        *test = TestRecord {
            title: std::mem::take(&mut test.title),
            packets: std::mem::take(&mut test.packets),
            ..last
        };
        failed.extend(faults);
    }
    Ok(Record {
        tests,
        failed,
        tally,
    })
}

fn shown(mismatch: &Mismatch) -> String {
    format!("line {}\n{mismatch}", mismatch.span.line)
}

/// A subject that two hold: the run that feeds it, and the record that asks it at the end.
struct Shared<S>(Rc<RefCell<S>>);

impl<S: Subject> Subject for Shared<S> {
    fn packet(&mut self, sent: &Sent<'_>) -> Observed {
        self.0.borrow_mut().packet(sent)
    }

    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
        self.0.borrow_mut().counters(v6, rule)
    }

    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen> {
        self.0.borrow_mut().connections(now)
    }

    fn expectations(&mut self, now: Timestamp) -> u64 {
        self.0.borrow_mut().expectations(now)
    }
}

/// What of a packet or a firewall is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Property {
    /// State at first sight.
    State,
    /// Direction.
    Direction,
    /// Verdict.
    Verdict,
    /// What REJECT sends back, where it is made and as it leaves.
    Answer,
    /// Bytes as they leave.
    Bytes,
    /// Counters of rules and policies.
    Counters,
    /// The connection table.
    Connections,
    /// Expectations.
    Expectations,
    /// Lists of `-m recent`.
    Recent,
    /// Sets (ipset).
    Sets,
}

impl Property {
    /// All, in the order of a report's columns.
    pub const ALL: [Property; 10] = [
        Property::State,
        Property::Direction,
        Property::Verdict,
        Property::Answer,
        Property::Bytes,
        Property::Counters,
        Property::Connections,
        Property::Expectations,
        Property::Recent,
        Property::Sets,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Property::State => "state",
            Property::Direction => "direction",
            Property::Verdict => "verdict",
            Property::Answer => "answer",
            Property::Bytes => "bytes",
            Property::Counters => "counters",
            Property::Connections => "connections",
            Property::Expectations => "expectations",
            Property::Recent => "recent",
            Property::Sets => "sets",
        }
    }
}

/// Seconds by which timeouts may differ: the kernel rounds down, and its clock went on meanwhile.
const SLACK: u64 = 2;

/// Row of a report for what belongs to no protocol.
pub const RULES: &str = "rules";

/// Two records held against each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Single values that both showed.
    pub compared: u64,
    /// Where they differ, ready to be shown.
    pub differences: Vec<String>,
    /// Line of the first packet that differs.
    pub first: Option<u32>,
    /// Values compared and differing, by protocol and property.
    pub sums: BTreeMap<(&'static str, Property), (u64, u64)>,
}

impl Comparison {
    /// Holds `other` against `kernel`, packet by packet and counter by counter.
    ///
    /// What one of the two cannot see is not compared, nor counters that only one of them has: a
    /// kernel without a table keeps no policy counters for it.
    pub fn new(kernel: &Record, other: &Record) -> Self {
        let mut comparison = Comparison::default();
        let tests = (kernel.tests.len(), other.tests.len());
        comparison.hold((RULES, Property::State), "tests", &tests.0, &tests.1);
        for (theirs, ours) in kernel.tests.iter().zip(&other.tests) {
            comparison.test(theirs, ours);
        }
        comparison
    }

    fn test(&mut self, theirs: &TestRecord, ours: &TestRecord) {
        let title = &theirs.title;
        let place = format!("test {title:?}, packets");
        let packets = (theirs.packets.len(), ours.packets.len());
        self.hold((RULES, Property::State), &place, &packets.0, &packets.1);
        for (k, e) in theirs.packets.iter().zip(&ours.packets) {
            let before = self.differences.len();
            self.packet(k, e, theirs.blind);
            if self.differences.len() > before && self.first.is_none() {
                self.first = Some(k.line);
            }
        }
        for (name, k) in &theirs.counters {
            if theirs.blind && name.number == 0 {
                continue;
            }
            if let Some(e) = ours.counters.get(name) {
                let counted = |c: &(u64, u64)| format!("[{}:{}]", c.0, c.1);
                let place = format!("test {title:?}, {name}");
                let (k, e) = (counted(k), counted(e));
                self.hold((RULES, Property::Counters), &place, &k, &e);
            }
        }
        self.tables(&format!("test {title:?}"), &theirs.tables, &ours.tables);
    }

    fn packet(&mut self, k: &PacketRecord, e: &PacketRecord, blind: bool) {
        let place = format!("line {}, packet {} ({})", k.line, k.number, k.protocol);
        let row = |property| (k.protocol, property);
        self.seen(row(Property::State), &place, &k.state, &e.state);
        self.seen(row(Property::Direction), &place, &k.direction, &e.direction);
        let silent = blind && e.answer == Seen::Seen(None);
        match &e.verdict {
            // The queue of IPv6 shows nothing of itself: whether a piece is held or gone cannot be told.
            Seen::Seen(Verdict::Drop)
                if k.protocol == SIX_PIECES && k.verdict == Seen::Seen(Verdict::Stolen) => {}
            Seen::Seen(Verdict::Reject) if silent => {
                let dropped = Seen::Seen(Verdict::Drop);
                self.seen(row(Property::Verdict), &place, &k.verdict, &dropped);
            }
            verdict => self.seen(row(Property::Verdict), &place, &k.verdict, verdict),
        }
        self.seen(row(Property::Answer), &place, &k.answer, &e.answer);
        let (k_more, e_more) = (&k.extras, &e.extras);
        let leaving = format!("{place}, the answer as it leaves");
        let (k_left, e_left) = (&k_more.answer_left, &e_more.answer_left);
        self.seen(row(Property::Answer), &leaving, k_left, e_left);
        let (k_state, e_state) = (&k_more.answer_state, &e_more.answer_state);
        self.seen(row(Property::Answer), &leaving, k_state, e_state);
        let second = format!("{place}, the second answer");
        let (k_further, e_further) = (&k_more.further, &e_more.further);
        self.seen(row(Property::Answer), &second, k_further, e_further);
        let leaving = format!("{place}, as it leaves");
        self.seen(row(Property::Bytes), &leaving, &k.left, &e.left);
        if let (Some(k), Some(e)) = (&k.tables, &e.tables) {
            self.tables(&place, k, e);
        }
    }

    fn tables(&mut self, place: &str, kernel: &Tables, other: &Tables) {
        for held in tables::compare(kernel, other, SLACK) {
            let property = match held.table {
                Table::Connections => Property::Connections,
                Table::Expectations => Property::Expectations,
                Table::Recent => Property::Recent,
                Table::Sets => Property::Sets,
            };
            let row = held.protocol.map_or(RULES, name_of_protocol);
            self.compared += held.values;
            let sums = self.sums.entry((row, property)).or_default();
            sums.0 += held.values;
            sums.1 += held.differences.len() as u64;
            let placed = held
                .differences
                .into_iter()
                .map(|d| format!("{place}, {d}"));
            self.differences.extend(placed);
        }
    }

    fn hold<T: PartialEq + fmt::Debug>(
        &mut self,
        kind: (&'static str, Property),
        place: &str,
        kernel: &T,
        other: &T,
    ) {
        self.compared += 1;
        let sums = self.sums.entry(kind).or_default();
        sums.0 += 1;
        if kernel != other {
            sums.1 += 1;
            let difference = format!("{place}: kernel {kernel:02x?}, engine {other:02x?}");
            self.differences.push(difference);
        }
    }

    fn seen<T: PartialEq + fmt::Debug>(
        &mut self,
        kind: (&'static str, Property),
        place: &str,
        kernel: &Seen<T>,
        other: &Seen<T>,
    ) {
        if let (Seen::Seen(kernel), Seen::Seen(other)) = (kernel, other) {
            self.hold(kind, place, kernel, other);
        }
    }
}

/// An answer without what the kernel chooses anew for every packet or leaves to the device: IPv4's
/// identification and header checksum, IPv6's flow label, the checksum of TCP.
fn settled(answer: &[u8]) -> Vec<u8> {
    let mut bytes = answer.to_vec();
    let v6 = bytes.first().is_some_and(|b| b >> 4 == 6);
    let (protocol, transport) = if v6 { (6, 40) } else { (9, 20) };
    let reset = bytes.get(protocol) == Some(&proto::TCP);
    let mut clear = vec![if v6 { 1..4 } else { 4..6 }];
    if !v6 {
        clear.push(10..12);
    }
    if reset {
        clear.push(transport + 16..transport + 18);
    }
    for range in clear {
        if let Some(part) = bytes.get_mut(range) {
            part.fill(0);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_packet(change: impl FnOnce(&mut TestRecord, &mut PacketRecord)) -> Record {
        let mut test = TestRecord::default();
        let name = CounterName::new(false, "filter", "INPUT", 1);
        test.counters.insert(name, (3, 180));
        let mut packet = PacketRecord {
            line: 7,
            number: 1,
            state: Seen::Seen(Some(State::New)),
            direction: Seen::Seen(Some(Direction::Original)),
            verdict: Seen::Seen(Verdict::Reject),
            answer: Seen::Seen(Some(vec![0x45, 0])),
            left: Seen::Seen(Some(vec![0x45, 1])),
            protocol: "TCP",
            extras: Extras::default(),
            tables: None,
        };
        packet.extras.answer_left = Seen::Seen(Some(vec![0x45]));
        let entry = tables::Entry::new(9);
        test.tables.connections.insert("c".to_owned(), entry);
        change(&mut test, &mut packet);
        test.packets.push(packet);
        Record {
            tests: vec![test],
            ..Record::default()
        }
    }

    #[test]
    fn each_property_of_a_packet_and_each_counter_can_differ() {
        type Change = fn(&mut TestRecord, &mut PacketRecord);
        let changes: [(Change, &str); 9] = [
            (
                |_, p| p.state = Seen::Seen(Some(State::Invalid)),
                "line 7, packet 1 (TCP): kernel Some(New), engine Some(Invalid)",
            ),
            (
                |_, p| p.direction = Seen::Seen(None),
                "line 7, packet 1 (TCP): kernel Some(Original), engine None",
            ),
            (
                |_, p| p.verdict = Seen::Seen(Verdict::Drop),
                "line 7, packet 1 (TCP): kernel Reject, engine Drop",
            ),
            (
                |_, p| p.answer = Seen::Seen(None),
                "line 7, packet 1 (TCP): kernel Some([45, 00]), engine None",
            ),
            (
                |t, _| t.counters.values_mut().for_each(|c| c.1 = 181),
                "test \"\", filter INPUT 1: kernel \"[3:180]\", engine \"[3:181]\"",
            ),
            (
                |_, p| p.left = Seen::Seen(None),
                "line 7, packet 1 (TCP), as it leaves: kernel Some([45, 01]), engine None",
            ),
            (
                |_, p| p.extras.answer_left = Seen::Seen(None),
                "line 7, packet 1 (TCP), the answer as it leaves: kernel Some([45]), engine None",
            ),
            (
                |t, _| t.tables.connections.clear(),
                "test \"\", connection c: only the kernel has it (9 s)",
            ),
            (|_, p| p.state = Seen::Unseen, ""),
        ];
        let kernel = one_packet(|_, _| {});
        assert_eq!(
            Comparison::new(&kernel, &kernel).differences,
            Vec::<String>::new()
        );
        for (change, wanted) in changes {
            let got = Comparison::new(&kernel, &one_packet(change));
            assert_eq!(got.differences.join("|"), wanted);
            let unseen = u64::from(wanted.is_empty());
            assert_eq!(got.compared, 10 - unseen, "{wanted}");
        }
    }

    #[test]
    fn an_answer_is_settled_without_its_moving_parts() {
        let v4: Vec<u8> = (0..40)
            .map(|n| match n {
                0 => 0x45,
                9 => 6,
                n => n,
            })
            .collect();
        let kept = settled(&v4);
        let changed: Vec<usize> = (0..40).filter(|n| kept.get(*n) != v4.get(*n)).collect();
        assert_eq!(changed, [4, 5, 10, 11, 36, 37]);
        assert_eq!(settled(&[0x60]), [0x60]);
    }
}
