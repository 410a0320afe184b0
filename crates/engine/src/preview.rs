//! What other rules would do to the connections that there are, before they are put in place.
//!
//! # Overview
//! A [`Preview`] has two engines of its own, one with the rules that there are and one with the others, both with a copy of
//! what rules remember and neither with any connection. A connection is asked about by giving both a copy of it, and the
//! packet that may come next in either direction with the connection in its present state. The running engine is only
//! read.
//!
//! Packets are routed by the host's addresses and prefixes. A packet that is made here has no socket that anybody knows
//! of; a rule that asks for one makes the verdict UNKNOWN. A packet carries no payload, no mark, and lives long
//! enough.
//!
//! # Bounds
//! Both programs and what their rules remember are there twice; of connections there is one copy at a time. A rule that
//! remembers (`limit`, `recent`, `-j SET`, …) finds everything as it was when the preview was made, each time: a connection
//! that came to such a rule costs a copy of what rules remember.

use std::net::IpAddr;

use palisade_conntrack::{ConnId, Conntrack, Direction, Entry, State, Tuple, TupleProto};
use palisade_wire::{Timestamp, build, proto, tcp::flags};

use crate::matches::States;
use crate::outcome::{Decider, Ended, Outcome, Verdict};
use crate::{Engine, Input, Replacement, SetupError};

/// What rules say to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// Verdict.
    pub verdict: Verdict,
    /// State that tracking gives it.
    pub state: Option<State>,
    /// What ended its way; [`Ended::decider`] is the rule.
    pub ended: Ended,
}

impl Foreseen {
    fn of(outcome: Outcome) -> Self {
        Foreseen {
            verdict: outcome.verdict,
            state: outcome.state,
            ended: outcome.why.ended,
        }
    }

    /// Whether the packet passes.
    pub fn passes(&self) -> bool {
        self.verdict == Verdict::Accept
    }

    /// The rule or policy that decides.
    pub fn decider(&self) -> Option<&Decider> {
        self.ended.decider()
    }
}

/// A connection whose next packet in a direction gets another verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The connection.
    pub id: ConnId,
    /// Its display number.
    pub number: u64,
    /// Its original tuple.
    pub tuple: Tuple,
    /// The packet's direction.
    pub direction: Direction,
    /// By the rules that there are.
    pub before: Foreseen,
    /// By the others.
    pub after: Foreseen,
}

/// Differences of many connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Those that there is room for, in no useful order.
    pub found: Vec<Difference>,
    /// How many there are beyond these.
    pub left_out: u64,
    /// Connections that were asked about.
    pub asked: u64,
}

/// The ends of a flow, as the packets of its peer have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// TCP, UDP or another protocol with ports.
    pub protocol: u8,
    /// Address and port of the peer.
    pub peer: (IpAddr, u16),
    /// Address and port here.
    pub here: (IpAddr, u16),
}

/// What becomes of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionForeseen {
    /// Its connection is in the table; else it is picked up as it goes on.
    pub tracked: bool,
    /// The peer's next packet.
    pub coming: Foreseen,
    /// The next packet to the peer.
    pub going: Foreseen,
}

impl SessionForeseen {
    /// Whether it goes on in both directions.
    pub fn goes_on(&self) -> bool {
        self.coming.passes() && self.going.passes()
    }

    /// What stops it.
    pub fn stopped_by(&self) -> Option<&Foreseen> {
        [&self.coming, &self.going]
            .into_iter()
            .find(|f| !f.passes())
    }
}

/// An engine for single packets.
#[derive(Clone, Debug)]
struct Dry {
    engine: Engine,
    /// What rules remember before each packet.
    states: States,
}

impl Dry {
    fn new(mut engine: Engine) -> Self {
        engine.states.touched.0 = false;
        engine.states.logs = Default::default();
        Dry {
            states: engine.states.clone(),
            engine,
        }
    }

    /// What becomes of a packet.
    fn judge(&mut self, bytes: &[u8], now: Timestamp) -> Foreseen {
        let input = Input {
            time: now,
            unfinished: true,
            ..Input::new(bytes)
        };
        Foreseen::of(self.engine.process(&input, &mut ()))
    }

    /// Forgets the packets that were judged.
    fn forget(&mut self) {
        self.engine.conntrack.end_all();
        if self.engine.states.touched.0 {
            self.engine.states.clone_from(&self.states);
        }
    }

    /// What becomes of the next packet of a connection.
    fn ask(&mut self, connection: Entry<'_>, bytes: &[u8], now: Timestamp) -> Foreseen {
        self.engine.conntrack.copy(connection);
        let foreseen = self.judge(bytes, now);
        self.forget();
        foreseen
    }
}

/// Asks what the rules that there are do.
#[derive(Clone, Debug)]
pub struct Outlook(Dry);

impl Outlook {
    /// What becomes of the next packet of a connection of `engine` in its original direction; `None` if it is gone.
    pub fn of(&mut self, engine: &Engine, id: ConnId, now: Timestamp) -> Option<Foreseen> {
        let connection = engine.conntrack.connection(id)?;
        if !connection.confirmed() || connection.expired(now) {
            return None;
        }
        let bytes = connection.next_packet(Direction::Original);
        Some(self.0.ask(connection, &bytes, now))
    }
}

/// Asks what other rules would do.
#[derive(Clone, Debug)]
pub struct Preview {
    before: Dry,
    after: Dry,
}

impl Engine {
    /// A preview of other rules.
    ///
    /// # Errors
    /// Where [`replace`](Self::replace) would refuse them.
    pub fn preview(&self, by: Replacement) -> Result<Preview, SetupError> {
        let before = self.aside();
        let mut after = before.clone();
        after.replace(by)?;
        Ok(Preview {
            before: Dry::new(before),
            after: Dry::new(after),
        })
    }

    /// For asking what the present rules do to connections. It knows of no later change of them.
    pub fn outlook(&self) -> Outlook {
        Outlook(Dry::new(self.aside()))
    }

    /// What becomes of a session by the rules that there are.
    pub fn foresee(&self, session: &Session, now: Timestamp) -> SessionForeseen {
        session_in(&mut Dry::new(self.aside()), &self.conntrack, session, now)
    }

    /// An engine like this one that has no connections.
    fn aside(&self) -> Engine {
        Engine {
            programs: self.programs.clone(),
            host: self.host.clone(),
            conntrack: self.conntrack.aside(),
            defrag: Default::default(),
            states: self.states.clone(),
            reassembly: self.reassembly,
            reassemble: self.reassemble,
            stack: Vec::new(),
            scratch: Vec::new(),
            visited: 0,
            evaluator: self.evaluator,
            ports: vec![Default::default()],
            lane: Default::default(),
            stage: None,
        }
    }
}

impl Preview {
    /// How a connection of `engine` fares: the directions in which its next packet gets another verdict.
    pub fn of(&mut self, engine: &Engine, id: ConnId, now: Timestamp) -> Vec<Difference> {
        let connection = engine.conntrack.connection(id);
        let living = connection.filter(|c| c.confirmed() && !c.expired(now));
        living.map_or(Vec::new(), |c| self.differences(c, now))
    }

    /// How all connections of `engine` fare; `most` of the differences are told.
    pub fn all(&mut self, engine: &Engine, now: Timestamp, most: usize) -> Differences {
        let mut all = Differences::default();
        let connections = engine.conntrack.connections();
        self.several(connections.filter(|c| !c.expired(now)), now, most, &mut all);
        all
    }

    /// Likewise of some connections, added to what was found before: for asking about many a few at a time.
    pub fn several<'a>(
        &mut self,
        connections: impl Iterator<Item = Entry<'a>>,
        now: Timestamp,
        most: usize,
        all: &mut Differences,
    ) {
        for connection in connections {
            all.asked += 1;
            for difference in self.differences(connection, now) {
                if all.found.len() < most {
                    all.found.push(difference);
                } else {
                    all.left_out += 1;
                }
            }
        }
    }

    /// What becomes of a session of `engine` by the other rules. One whose connection is not in the table is picked up
    /// where it is: its next packet opens a connection, the peer's or ours, whichever passes first.
    pub fn session(
        &mut self,
        engine: &Engine,
        session: &Session,
        now: Timestamp,
    ) -> SessionForeseen {
        session_in(&mut self.after, &engine.conntrack, session, now)
    }

    fn differences(&mut self, connection: Entry<'_>, now: Timestamp) -> Vec<Difference> {
        let both = [Direction::Original, Direction::Reply].map(|direction| {
            let bytes = connection.next_packet(direction);
            let before = self.before.ask(connection, &bytes, now);
            let after = self.after.ask(connection, &bytes, now);
            (before.verdict != after.verdict).then(|| Difference {
                id: connection.id(),
                number: connection.number(),
                tuple: connection.tuple(Direction::Original),
                direction,
                before,
                after,
            })
        });
        both.into_iter().flatten().collect()
    }
}

fn session_in(
    dry: &mut Dry,
    table: &Conntrack,
    session: &Session,
    now: Timestamp,
) -> SessionForeseen {
    let coming = Tuple {
        source: session.peer.0,
        destination: session.here.0,
        protocol: session.protocol,
        proto: TupleProto::Ports {
            source: session.peer.1,
            destination: session.here.1,
        },
    };
    if let Some((entry, direction)) = table.peek(&coming, now) {
        let coming = entry.next_packet(direction);
        let going = entry.next_packet(direction.opposite());
        return SessionForeseen {
            tracked: true,
            coming: dry.ask(entry, &coming, now),
            going: dry.ask(entry, &going, now),
        };
    }
    let packets = [
        picked_up(&coming),
        coming.invert().map_or(Vec::new(), |t| picked_up(&t)),
    ];
    let [from_peer, from_here] = &packets;
    let mut coming = dry.judge(from_peer, now);
    let mut going = dry.judge(from_here, now);
    // Who is refused before the other one speaks comes again.
    if going.passes() && !coming.passes() {
        coming = dry.judge(from_peer, now);
    } else if coming.passes() && !going.passes() {
        going = dry.judge(from_here, now);
    }
    dry.forget();
    SessionForeseen {
        tracked: false,
        coming,
        going,
    }
}

/// A packet in the middle of a flow that nothing is known of.
fn picked_up(tuple: &Tuple) -> Vec<u8> {
    let ip = build::Ip::new(tuple.source, tuple.destination);
    let (source_port, destination_port) = (tuple.source_word(), tuple.destination_word());
    match tuple.protocol {
        proto::TCP => {
            let header = build::Tcp {
                source_port,
                destination_port,
                seq: 1,
                ack: 1,
                flags: flags::ACK,
                window: 1024,
                ..build::Tcp::default()
            };
            build::tcp(&ip, &header, b"")
        }
        proto::UDP => build::udp(&ip, source_port, destination_port, b""),
        other => {
            let mut header = [0; 12];
            header[..2].copy_from_slice(&source_port.to_be_bytes());
            header[2..4].copy_from_slice(&destination_port.to_be_bytes());
            build::raw(&ip, other, &header)
        }
    }
}

impl Ended {
    /// The rule or policy that decided.
    pub fn decider(&self) -> Option<&Decider> {
        match self {
            Ended::Accepted(by)
            | Ended::Dropped(by)
            | Ended::Rejected { by, .. }
            | Ended::Queued(by)
            | Ended::Unheard(by)
            | Ended::Unknown { by, .. }
            | Ended::Answered { by, .. } => Some(by),
            _ => None,
        }
    }
}
