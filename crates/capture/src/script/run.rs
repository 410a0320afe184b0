//! Running a script against something that takes packets.
//!
//! [`run`] plays every test against a fresh [`Subject`] and holds the expectations against what it
//! shows. The subject is the engine for `palisade trace --script`, the kernel for the comparison, a
//! table of answers in tests. Nothing is kept but the sums: what happens is told to the caller as it
//! happens.

use palisade_wire::Timestamp;

use super::check::{Compared, Connections, Mismatch, check, check_connection, check_count};
use super::expect::{Check, CheckKind, ConnectionSeen, Observed, RuleName, Seen};
use super::model::{Script, Test};
use super::play::{Event, Sent};

/// A firewall under test.
pub trait Subject {
    /// Sends a packet through the firewall and says what came of it.
    fn packet(&mut self, sent: &Sent<'_>) -> Observed;

    /// Packets and bytes that a rule or policy counted; `None` when there is no such rule.
    fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)>;

    /// The connection table at `now`, expired entries left out.
    fn connections(&mut self, now: Timestamp) -> Vec<ConnectionSeen>;

    /// How many connections are announced at `now`.
    fn expectations(&mut self, now: Timestamp) -> u64;
}

/// What happened in a run, told while it happens.
#[derive(Debug)]
pub enum Told<'a, 's> {
    /// A test begins.
    Test(&'s Test),
    /// A packet went through.
    Packet {
        /// The packet.
        sent: &'a Sent<'s>,
        /// Its number in the whole script, from 1.
        number: u64,
        /// What came of it.
        observed: &'a Observed,
        /// Expectations that failed.
        failed: &'a [Mismatch],
    },
    /// The firewall was looked at.
    Check {
        /// When.
        time: Timestamp,
        /// What should have been so.
        check: &'s Check,
        /// How it differed.
        failed: Option<&'a Mismatch>,
    },
}

/// The sums of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Packets sent.
    pub packets: u64,
    /// Expectations and checks that held (or were out of sight altogether).
    pub held: u64,
    /// Expectations and checks that failed.
    pub failed: u64,
    /// Single items compared.
    pub compared: u64,
    /// Single items the subject cannot show.
    pub unseen: u64,
}

impl Tally {
    fn add(&mut self, result: &Result<Compared, Mismatch>) {
        match result {
            Ok(compared) => {
                self.held += 1;
                self.compared += u64::from(compared.compared);
                self.unseen += u64::from(compared.unseen);
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// Plays every test of `script` from `start` on, each against the subject that `fresh` makes for it.
///
/// # Errors
///
/// What `fresh` fails with; the run ends there.
pub fn run<'s, S: Subject, E>(
    script: &'s Script,
    start: Timestamp,
    mut fresh: impl FnMut(&'s Test) -> Result<S, E>,
    mut tell: impl FnMut(Told<'_, 's>),
) -> Result<Tally, E> {
    let mut tally = Tally::default();
    for test in &script.tests {
        let mut subject = fresh(test)?;
        tell(Told::Test(test));
        play(script, test, start, &mut subject, &mut tally, &mut tell);
    }
    Ok(tally)
}

fn play<'s, S: Subject>(
    script: &'s Script,
    test: &'s Test,
    start: Timestamp,
    subject: &mut S,
    tally: &mut Tally,
    tell: &mut impl FnMut(Told<'_, 's>),
) {
    let mut known = Connections::default();
    let mut player = script.play(test, start);
    while let Some(event) = player.next() {
        match event {
            Event::Packet(sent) => {
                let observed = subject.packet(&sent);
                tally.packets += 1;
                let mut failed = Vec::new();
                for expectation in sent.expectations() {
                    let result = check(expectation, &observed, &known);
                    tally.add(&result);
                    failed.extend(result.err());
                }
                known.note(&sent, &observed);
                if let Seen::Seen(left) = &observed.left {
                    player.left(&sent, left.as_deref());
                }
                if let Seen::Seen(Some(answer)) = &observed.answer {
                    player.answered(answer);
                }
                tell(Told::Packet {
                    number: test.packets_before.saturating_add(sent.number),
                    sent: &sent,
                    observed: &observed,
                    failed: &failed,
                });
            }
            Event::Check { time, check, round } => {
                let result = look(check, round, time, subject);
                tally.add(&result);
                tell(Told::Check {
                    time,
                    check,
                    failed: result.as_ref().err(),
                });
            }
        }
    }
}

/// Holds one look at the firewall against what the subject shows.
///
/// # Errors
///
/// How it differs.
pub fn look<S: Subject>(
    check: &Check,
    round: u32,
    now: Timestamp,
    subject: &mut S,
) -> Result<Compared, Mismatch> {
    match &check.what {
        CheckKind::Counters { v6, rule, .. } => {
            let counted = subject.counters(*v6, rule);
            check_count(check, counted.map(|c| c.0), counted.map(|c| c.1))
        }
        CheckKind::Connections(_) => {
            check_count(check, Some(subject.connections(now).len() as u64), None)
        }
        CheckKind::Expectations(_) => check_count(check, Some(subject.expectations(now)), None),
        CheckKind::Connection(_) | CheckKind::NoConnection(_) => {
            check_connection(check, round, &subject.connections(now))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::script::{State, Verdict, parse};

    /// Takes the first packet for NEW, the rest for ESTABLISHED, and counts.
    #[derive(Default)]
    struct Counting {
        packets: u64,
    }

    impl Subject for Counting {
        fn packet(&mut self, sent: &Sent<'_>) -> Observed {
            self.packets += 1;
            Observed {
                state: Seen::Seen(Some(if sent.number == 1 {
                    State::New
                } else {
                    State::Established
                })),
                verdict: Seen::Seen(Verdict::Accept),
                connection: Seen::Seen(Some(ConnectionSeen {
                    id: Seen::Seen(1),
                    ..ConnectionSeen::default()
                })),
                ..Observed::default()
            }
        }

        fn counters(&mut self, v6: bool, rule: &RuleName) -> Option<(u64, u64)> {
            (!v6 && rule.chain == "INPUT").then_some((self.packets, 0))
        }

        fn connections(&mut self, _: Timestamp) -> Vec<ConnectionSeen> {
            Vec::new()
        }

        fn expectations(&mut self, _: Timestamp) -> u64 {
            0
        }
    }

    #[test]
    fn each_test_has_a_fresh_subject_and_failures_are_told_where_they_happen() {
        let (script, faults) = parse(
            "interface eth0 10.0.0.1/24\nhost peer 10.0.0.2\n\
             test \"one\"\nfirst: peer:1 > eth0:2 udp\nexpect NEW ACCEPT\n\
             peer:1 > eth0:2 udp\nexpect ESTABLISHED connection first\n\
             expect counters INPUT 1 = 2\nexpect connections = 0\n\
             test \"two\"\npeer:1 > eth0:2 udp\nexpect ESTABLISHED ACCEPT\n\
             expect counters INPUT 1 = 7\nexpect counters NOWHERE 1 = 0\n",
        );
        assert_eq!(faults, []);
        let (mut numbers, mut failed) = (Vec::new(), Vec::new());
        let fresh = |_: &Test| Ok::<_, Infallible>(Counting::default());
        let Ok(tally) = run(&script, Timestamp::default(), fresh, |told| match told {
            Told::Test(_) => {}
            Told::Packet {
                number, failed: f, ..
            } => {
                numbers.push(number);
                failed.extend(f.iter().map(|m| m.span.line));
            }
            Told::Check { failed: f, .. } => failed.extend(f.map(|m| m.span.line)),
        });
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(failed, [12, 13, 14]);
        assert_eq!((tally.held, tally.failed), (4, 3));
        assert_eq!((tally.packets, tally.compared, tally.unseen), (3, 6, 0));
    }
}
