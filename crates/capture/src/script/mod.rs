//! The packet script language: packets written by hand, and what should come of them.
//!
//! A firewall's unit tests. The language is described in `docs/scripts.md`; a taste:
//!
//! ```text
//! interface wan0 203.0.113.1/24
//! host client 203.0.113.9
//! rules examples/rules/webserver.rules
//!
//! handshake client:40000 > wan0:80
//!   expect packet 1 NEW ACCEPT by INPUT 2
//!   expect ESTABLISHED original
//! ```
//!
//! # The parts
//!
//! [`parse`] turns text into a [`Script`], which is plain data, and a list of
//! [`ScriptDiagnostic`]s: it never fails and finds all faults at once. [`Script::play`] streams a
//! test's packets as bytes with their moments; sequence numbers follow along. Somebody (the engine,
//! the kernel) takes each packet and fills in an [`Observed`]; [`check()`] holds it against the
//! packet's [`Expectation`]s. [`run()`] does all of that against any [`Subject`].
//!
//! Nothing here opens a file: rules named by path are read by the caller.

mod check;
mod craft;
mod diagnostic;
mod engine;
mod expect;
mod flow;
mod known;
mod lex;
mod link;
mod model;
mod names;
mod parse;
mod play;
mod run;
mod sctp;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use check::{
    Compared, Connections, Difference, Mismatch, check, check_connection, check_count,
};
pub use diagnostic::{ScriptDiagnostic, nearest};
pub use engine::{EngineSubject, Prepared, direction, input, observed, state};
pub use expect::{
    Answer, Check, CheckKind, ConnectionPattern, ConnectionSeen, Direction, Expectation, Item,
    Observed, RuleName, RuleNumber, Seen, State, TupleSeen, Verdict, Which,
};
pub use link::{FrameKind, Link, Way};
pub use model::{
    Action, Answered, Counted, Cut, Damage, Endpoint, Firewall, Fragments, HostName, IcmpRest,
    IcmpSpec, Interface, IpFields, Ipset, KernelUse, MTU, Number, Payload, Prefix, Quote,
    Reference, Route, Rules, RulesFamily, RulesSource, Script, SctpChunk, SctpSpec, Send,
    SocketLine, Span, Step, Sysctl, TcpOption, TcpSpec, Test, What,
};
pub use parse::parse;
pub use play::{Event, Player, Sent, stamps};
pub use run::{Subject, Tally, Told, look, run};

/// Rounds of a `repeat` at most.
pub const MAX_REPEAT: u32 = 1_000_000;
/// Packets of a script at most.
pub const MAX_PACKETS: u64 = 10_000_000;
/// Steps of a script at most, rounds that send nothing included.
pub const MAX_STEPS: u64 = 40_000_000;
/// How deep `repeat` nests.
pub const MAX_DEPTH: usize = 4;
/// Bytes of a payload at most: what fits an IPv4 packet with its longest headers.
pub const MAX_PAYLOAD: u32 = 65_435;
/// How far the clock moves between two packets unless the script says otherwise.
pub const DEFAULT_TICK: Duration = Duration::from_millis(1);
