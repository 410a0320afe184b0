//! States and transitions of SCTP as data: one source for the tracker, the tests and the documentation.

use std::fmt;

use palisade_wire::sctp::chunk;

use crate::config::Config;
use crate::tuple::Direction;

/// States of an association (kernel `enum sctp_conntrack`). They are the middle's view, not an endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SctpState {
    /// Before the first packet.
    None,
    /// INIT from the client, or the end.
    Closed,
    /// INIT ACK from the server.
    CookieWait,
    /// COOKIE ECHO.
    CookieEchoed,
    /// COOKIE ACK.
    Established,
    /// SHUTDOWN from the client.
    ShutdownSent,
    /// SHUTDOWN from the server.
    ShutdownReceived,
    /// SHUTDOWN ACK.
    ShutdownAckSent,
    /// A HEARTBEAT began the flow: a further path of an association seen elsewhere.
    HeartbeatSent,
}

impl SctpState {
    /// All states, in the order of the transition table's columns.
    pub const ALL: [SctpState; 9] = [
        SctpState::None,
        SctpState::Closed,
        SctpState::CookieWait,
        SctpState::CookieEchoed,
        SctpState::Established,
        SctpState::ShutdownSent,
        SctpState::ShutdownReceived,
        SctpState::ShutdownAckSent,
        SctpState::HeartbeatSent,
    ];

    /// The word that `conntrack -L` prints.
    pub fn name(self) -> &'static str {
        match self {
            SctpState::None => "NONE",
            SctpState::Closed => "CLOSED",
            SctpState::CookieWait => "COOKIE_WAIT",
            SctpState::CookieEchoed => "COOKIE_ECHOED",
            SctpState::Established => "ESTABLISHED",
            SctpState::ShutdownSent => "SHUTDOWN_SENT",
            SctpState::ShutdownReceived => "SHUTDOWN_RECD",
            SctpState::ShutdownAckSent => "SHUTDOWN_ACK_SENT",
            SctpState::HeartbeatSent => "HEARTBEAT_SENT",
        }
    }
}

impl fmt::Display for SctpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Chunk types that move the state, in the order of the transition table's rows.
pub(super) const MOVERS: [u8; 11] = [
    chunk::INIT,
    chunk::INIT_ACK,
    chunk::ABORT,
    chunk::SHUTDOWN,
    chunk::SHUTDOWN_ACK,
    chunk::ERROR,
    chunk::COOKIE_ECHO,
    chunk::COOKIE_ACK,
    chunk::SHUTDOWN_COMPLETE,
    chunk::HEARTBEAT,
    chunk::HEARTBEAT_ACK,
];

/// Where a chunk leads; `None` is INVALID.
type Next = Option<SctpState>;

const CL: Next = Some(SctpState::Closed);
const CW: Next = Some(SctpState::CookieWait);
const CE: Next = Some(SctpState::CookieEchoed);
const ES: Next = Some(SctpState::Established);
const SS: Next = Some(SctpState::ShutdownSent);
const SR: Next = Some(SctpState::ShutdownReceived);
const SA: Next = Some(SctpState::ShutdownAckSent);
const HS: Next = Some(SctpState::HeartbeatSent);
const IV: Next = None;

/// `[direction][chunk][state]`, rows in the order of [`MOVERS`], columns of [`SctpState::ALL`]. The facts are those
/// of the kernel's `sctp_conntracks`.
#[rustfmt::skip]
const TRANSITIONS: [[[Next; 9]; 11]; 2] = [
    [ // original
        //                      NO  CL  CW  CE  ES  SS  SR  SA  HS
        /* INIT */             [CL, CL, CW, CE, ES, CL, CL, SA, CW],
        /* INIT ACK */         [CL, CL, CW, CE, ES, SS, SR, SA, CL],
        /* ABORT */            [CL, CL, CL, CL, CL, CL, CL, CL, CL],
        /* SHUTDOWN */         [CL, CL, CW, CE, SS, SS, SR, SA, CL],
        /* SHUTDOWN ACK */     [SA, CL, CW, CE, ES, SA, SA, SA, SA],
        /* ERROR */            [CL, CL, CW, CE, ES, SS, SR, SA, CL],
        /* COOKIE ECHO */      [CL, CL, CE, CE, ES, SS, SR, SA, CL],
        /* COOKIE ACK */       [CL, CL, CW, ES, ES, SS, SR, SA, CL],
        /* SHUTDOWN COMPLETE */[CL, CL, CW, CE, ES, SS, SR, CL, CL],
        /* HEARTBEAT */        [HS, CL, CW, CE, ES, SS, SR, SA, HS],
        /* HEARTBEAT ACK */    [CL, CL, CW, CE, ES, SS, SR, SA, HS],
    ],
    [ // reply
        //                      NO  CL  CW  CE  ES  SS  SR  SA  HS
        /* INIT */             [IV, CL, CW, CE, ES, SS, SR, SA, IV],
        /* INIT ACK */         [IV, CW, CW, CE, ES, SS, SR, SA, IV],
        /* ABORT */            [IV, CL, CL, CL, CL, CL, CL, CL, IV],
        /* SHUTDOWN */         [IV, CL, CW, CE, SR, SS, SR, SA, IV],
        /* SHUTDOWN ACK */     [IV, CL, CW, CE, ES, SA, SA, SA, IV],
        /* ERROR */            [IV, CL, CW, CL, ES, SS, SR, SA, IV],
        /* COOKIE ECHO */      [IV, CL, CE, CE, ES, SS, SR, SA, IV],
        /* COOKIE ACK */       [IV, CL, CW, ES, ES, SS, SR, SA, IV],
        /* SHUTDOWN COMPLETE */[IV, CL, CW, CE, ES, SS, SR, CL, IV],
        /* HEARTBEAT */        [IV, CL, CW, CE, ES, SS, SR, SA, HS],
        /* HEARTBEAT ACK */    [IV, CL, CW, CE, ES, SS, SR, SA, ES],
    ],
];

/// Where a chunk of type `kind` in `direction` leads from `state`; `None` is INVALID. Types that do not
/// move the state, DATA and SACK among them, lead back to it.
#[inline]
pub fn next(direction: Direction, kind: u8, state: SctpState) -> Option<SctpState> {
    match MOVERS.iter().position(|m| *m == kind) {
        Some(row) => TRANSITIONS[direction.index()][row][state as usize],
        None => Some(state),
    }
}

/// Timeout of a state in seconds.
pub fn timeout(state: SctpState, config: &Config) -> u64 {
    match state {
        SctpState::None | SctpState::Closed => config.sctp_timeout_closed,
        SctpState::CookieWait => config.sctp_timeout_cookie_wait,
        SctpState::CookieEchoed => config.sctp_timeout_cookie_echoed,
        SctpState::Established => config.sctp_timeout_established,
        SctpState::ShutdownSent => config.sctp_timeout_shutdown_sent,
        SctpState::ShutdownReceived => config.sctp_timeout_shutdown_recd,
        SctpState::ShutdownAckSent => config.sctp_timeout_shutdown_ack_sent,
        SctpState::HeartbeatSent => config.sctp_timeout_heartbeat_sent,
    }
}

/// The transition list, one arrow a line, as the tests keep it.
pub fn transition_list() -> String {
    let mut text = String::new();
    for (direction, name) in [
        (Direction::Original, "original"),
        (Direction::Reply, "reply"),
    ] {
        for kind in MOVERS {
            for state in SctpState::ALL {
                if let Some(to) = next(direction, kind, state) {
                    text.push_str(&format!(
                        "{name} {}: {state} -> {to}\n",
                        super::fault::Kind(kind)
                    ));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_arrows_is_the_one_reviewed() {
        let list = transition_list();
        // 11 chunks: 9 states in original direction; in reply never from NONE, and from
        // HEARTBEAT_SENT by heartbeats alone.
        assert_eq!(list.lines().count(), 11 * 9 + 11 * 7 + 2, "{list}");
        for arrow in [
            "original INIT: NONE -> CLOSED",
            "reply INIT ACK: CLOSED -> COOKIE_WAIT",
            "original COOKIE ECHO: COOKIE_WAIT -> COOKIE_ECHOED",
            "reply COOKIE ACK: COOKIE_ECHOED -> ESTABLISHED",
            "original SHUTDOWN: ESTABLISHED -> SHUTDOWN_SENT",
            "reply SHUTDOWN: ESTABLISHED -> SHUTDOWN_RECD",
            "reply SHUTDOWN ACK: SHUTDOWN_SENT -> SHUTDOWN_ACK_SENT",
            "original SHUTDOWN COMPLETE: SHUTDOWN_ACK_SENT -> CLOSED",
            // A stale cookie: only the server can say so.
            "reply ERROR: COOKIE_ECHOED -> CLOSED",
            "original ERROR: COOKIE_ECHOED -> COOKIE_ECHOED",
            // An INIT of the client in the middle of the shutdown begins anew, the server's does not.
            "original INIT: SHUTDOWN_SENT -> CLOSED",
            "reply INIT: SHUTDOWN_SENT -> SHUTDOWN_SENT",
            "original HEARTBEAT: NONE -> HEARTBEAT_SENT",
            "reply HEARTBEAT ACK: HEARTBEAT_SENT -> ESTABLISHED",
        ] {
            assert!(
                list.lines().any(|l| l == arrow),
                "{arrow} missing in\n{list}"
            );
        }
    }

    #[test]
    fn a_state_moves_only_along_the_handshake_the_shutdown_and_to_closed() {
        let list = transition_list();
        let moves: Vec<&str> = list
            .lines()
            .filter(|l| {
                let (from, to) = l.split_once(": ").unwrap().1.split_once(" -> ").unwrap();
                from != to && !matches!(from, "NONE" | "HEARTBEAT_SENT")
            })
            .filter(|l| !l.contains("ABORT"))
            .collect();
        let expected = [
            "original INIT: SHUTDOWN_SENT -> CLOSED",
            "original INIT: SHUTDOWN_RECD -> CLOSED",
            "original SHUTDOWN: ESTABLISHED -> SHUTDOWN_SENT",
            "original SHUTDOWN ACK: SHUTDOWN_SENT -> SHUTDOWN_ACK_SENT",
            "original SHUTDOWN ACK: SHUTDOWN_RECD -> SHUTDOWN_ACK_SENT",
            "original COOKIE ECHO: COOKIE_WAIT -> COOKIE_ECHOED",
            "original COOKIE ACK: COOKIE_ECHOED -> ESTABLISHED",
            "original SHUTDOWN COMPLETE: SHUTDOWN_ACK_SENT -> CLOSED",
            "reply INIT ACK: CLOSED -> COOKIE_WAIT",
            "reply SHUTDOWN: ESTABLISHED -> SHUTDOWN_RECD",
            "reply SHUTDOWN ACK: SHUTDOWN_SENT -> SHUTDOWN_ACK_SENT",
            "reply SHUTDOWN ACK: SHUTDOWN_RECD -> SHUTDOWN_ACK_SENT",
            "reply ERROR: COOKIE_ECHOED -> CLOSED",
            "reply COOKIE ECHO: COOKIE_WAIT -> COOKIE_ECHOED",
            "reply COOKIE ACK: COOKIE_ECHOED -> ESTABLISHED",
            "reply SHUTDOWN COMPLETE: SHUTDOWN_ACK_SENT -> CLOSED",
        ];
        assert_eq!(moves, expected);
    }

    #[test]
    fn data_and_unknown_chunks_stay_where_they_are() {
        for kind in (0..=255).filter(|k| !MOVERS.contains(k)) {
            for state in SctpState::ALL {
                assert_eq!(next(Direction::Reply, kind, state), Some(state));
            }
        }
    }

    #[test]
    fn every_state_has_its_own_sysctl() {
        for state in &SctpState::ALL[1..] {
            let mut config = Config::default();
            let name = format!("nf_conntrack_sctp_timeout_{}", state.name().to_lowercase());
            config.set(&name, "77").unwrap();
            for other in &SctpState::ALL[1..] {
                assert_eq!(
                    timeout(*other, &config) == 77,
                    state == other,
                    "{name} {other}"
                );
            }
        }
    }
}
