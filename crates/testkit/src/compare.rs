//! What a subject showed in a whole script, and how two such records differ.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use palisade_capture::script::{
    ConnectionSeen, Direction, Mismatch, Observed, RuleName, RuleNumber, Script, Seen, Sent, State,
    Subject, Tally, Test, Told, Verdict, run,
};
use palisade_wire::{Timestamp, proto};

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

/// A subject that can show all its counters.
pub trait Counted: Subject {
    /// Every rule's and policy's packets and bytes, of both families.
    fn all_counters(&mut self) -> Counters;

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

/// Plays `script` against the subjects that `fresh` makes, and keeps what they showed.
///
/// # Errors
///
/// What `fresh` fails with.
pub fn record<'s, S: Counted, E>(
    script: &'s Script,
    mut fresh: impl FnMut(&'s Test) -> Result<S, E>,
) -> Result<Record, E> {
    let (mut tests, mut failed) = (Vec::<TestRecord>::new(), Vec::new());
    let current: RefCell<Option<Rc<RefCell<S>>>> = RefCell::new(None);
    let finished = RefCell::new(Vec::<(Counters, Vec<String>)>::new());
    // A test's counters are taken when the next one begins, or when all is over.
    let finish = || {
        if let Some(subject) = current.take() {
            let mut subject = subject.borrow_mut();
            let last = (subject.all_counters(), subject.faults());
            finished.borrow_mut().push(last);
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
                    });
                }
            }
            Told::Check {
                failed: mismatch, ..
            } => failed.extend(mismatch.map(shown)),
        },
    )?;
    finish();
    for (test, (counters, faults)) in tests.iter_mut().zip(finished.into_inner()) {
        test.counters = counters;
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

/// Two records held against each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Single values that both showed.
    pub compared: u64,
    /// Where they differ, ready to be shown.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Holds `other` against `kernel`, packet by packet and counter by counter.
    ///
    /// What one of the two cannot see is not compared, nor counters that only one of them has: a
    /// kernel without a table keeps no policy counters for it.
    pub fn new(kernel: &Record, other: &Record) -> Self {
        let mut comparison = Comparison::default();
        comparison.hold("tests", &kernel.tests.len(), &other.tests.len());
        for (theirs, ours) in kernel.tests.iter().zip(&other.tests) {
            let title = &theirs.title;
            let place = format!("test {title:?}, packets");
            comparison.hold(&place, &theirs.packets.len(), &ours.packets.len());
            for (k, e) in theirs.packets.iter().zip(&ours.packets) {
                let place = format!("line {}, packet {}", k.line, k.number);
                comparison.seen(&place, &k.state, &e.state);
                comparison.seen(&place, &k.direction, &e.direction);
                comparison.seen(&place, &k.verdict, &e.verdict);
                comparison.seen(&place, &k.answer, &e.answer);
            }
            for (name, k) in &theirs.counters {
                if let Some(e) = ours.counters.get(name) {
                    let counted = |c: &(u64, u64)| format!("[{}:{}]", c.0, c.1);
                    let place = format!("test {title:?}, {name}");
                    comparison.hold(&place, &counted(k), &counted(e));
                }
            }
        }
        comparison
    }

    fn hold<T: PartialEq + fmt::Debug>(&mut self, place: &str, kernel: &T, other: &T) {
        self.compared += 1;
        if kernel != other {
            let difference = format!("{place}: kernel {kernel:02x?}, engine {other:02x?}");
            self.differences.push(difference);
        }
    }

    fn seen<T: PartialEq + fmt::Debug>(&mut self, place: &str, kernel: &Seen<T>, other: &Seen<T>) {
        if let (Seen::Seen(kernel), Seen::Seen(other)) = (kernel, other) {
            self.hold(place, kernel, other);
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
        };
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
        let changes: [(Change, &str); 6] = [
            (
                |_, p| p.state = Seen::Seen(Some(State::Invalid)),
                "line 7, packet 1: kernel Some(New), engine Some(Invalid)",
            ),
            (
                |_, p| p.direction = Seen::Seen(None),
                "line 7, packet 1: kernel Some(Original), engine None",
            ),
            (
                |_, p| p.verdict = Seen::Seen(Verdict::Drop),
                "line 7, packet 1: kernel Reject, engine Drop",
            ),
            (
                |_, p| p.answer = Seen::Seen(None),
                "line 7, packet 1: kernel Some([45, 00]), engine None",
            ),
            (
                |t, _| t.counters.values_mut().for_each(|c| c.1 = 181),
                "test \"\", filter INPUT 1: kernel \"[3:180]\", engine \"[3:181]\"",
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
            assert_eq!(got.compared, 7 - unseen);
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
