//! States, segment classes and transitions of TCP as data: one source for the tracker, the
//! tests' snapshot and the documentation.

use std::fmt;

use palisade_wire::tcp::flags;

use crate::config::Config;
use crate::tuple::Direction;

/// Connection states (kernel `enum tcp_conntrack`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TcpState {
    /// Before the first packet.
    None,
    /// SYN from the client.
    SynSent,
    /// SYN/ACK from the server.
    SynRecv,
    /// Handshake done, or picked up.
    Established,
    /// First FIN.
    FinWait,
    /// First FIN acknowledged.
    CloseWait,
    /// Second FIN.
    LastAck,
    /// Second FIN acknowledged.
    TimeWait,
    /// RST.
    Close,
    /// SYN from both sides.
    SynSent2,
}

impl TcpState {
    /// All states, in the order of the transition table's columns.
    pub const ALL: [TcpState; 10] = [
        TcpState::None,
        TcpState::SynSent,
        TcpState::SynRecv,
        TcpState::Established,
        TcpState::FinWait,
        TcpState::CloseWait,
        TcpState::LastAck,
        TcpState::TimeWait,
        TcpState::Close,
        TcpState::SynSent2,
    ];

    /// The word that `conntrack -L` prints.
    pub fn name(self) -> &'static str {
        match self {
            TcpState::None => "NONE",
            TcpState::SynSent => "SYN_SENT",
            TcpState::SynRecv => "SYN_RECV",
            TcpState::Established => "ESTABLISHED",
            TcpState::FinWait => "FIN_WAIT",
            TcpState::CloseWait => "CLOSE_WAIT",
            TcpState::LastAck => "LAST_ACK",
            TcpState::TimeWait => "TIME_WAIT",
            TcpState::Close => "CLOSE",
            TcpState::SynSent2 => "SYN_SENT2",
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What kind of segment it is, by RST, SYN, ACK and FIN in this order of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlagClass {
    /// SYN.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// FIN.
    Fin,
    /// ACK, or data.
    Ack,
    /// RST.
    Rst,
    /// None of them.
    None,
}

impl FlagClass {
    /// All classes, in the order of the transition table's rows.
    pub const ALL: [FlagClass; 6] = [
        FlagClass::Syn,
        FlagClass::SynAck,
        FlagClass::Fin,
        FlagClass::Ack,
        FlagClass::Rst,
        FlagClass::None,
    ];

    /// The class of a flag byte.
    #[inline]
    pub fn of(bits: u8) -> Self {
        if bits & flags::RST != 0 {
            FlagClass::Rst
        } else if bits & flags::SYN != 0 {
            if bits & flags::ACK != 0 {
                FlagClass::SynAck
            } else {
                FlagClass::Syn
            }
        } else if bits & flags::FIN != 0 {
            FlagClass::Fin
        } else if bits & flags::ACK != 0 {
            FlagClass::Ack
        } else {
            FlagClass::None
        }
    }
}

impl fmt::Display for FlagClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FlagClass::Syn => "SYN",
            FlagClass::SynAck => "SYN/ACK",
            FlagClass::Fin => "FIN",
            FlagClass::Ack => "ACK",
            FlagClass::Rst => "RST",
            FlagClass::None => "segment without flags",
        })
    }
}

/// Where a segment leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To this state.
    To(TcpState),
    /// Let pass, not believed.
    Ignore,
    /// INVALID.
    Invalid,
}

const NO: Next = Next::To(TcpState::None);
const SS: Next = Next::To(TcpState::SynSent);
const SR: Next = Next::To(TcpState::SynRecv);
const ES: Next = Next::To(TcpState::Established);
const FW: Next = Next::To(TcpState::FinWait);
const CW: Next = Next::To(TcpState::CloseWait);
const LA: Next = Next::To(TcpState::LastAck);
const TW: Next = Next::To(TcpState::TimeWait);
const CL: Next = Next::To(TcpState::Close);
const S2: Next = Next::To(TcpState::SynSent2);
const IG: Next = Next::Ignore;
const IV: Next = Next::Invalid;

/// `[direction][class][state]`, columns in the order of [`TcpState::ALL`]. The facts are those
/// of the kernel's `tcp_conntracks`; the property test `the_table_is_total` walks all of it.
#[rustfmt::skip]
pub const TRANSITIONS: [[[Next; 10]; 6]; 2] = [
    [ // original
        //            NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
        /* SYN */     [SS, SS, IG, IG, IG, IG, IG, SS, SS, S2],
        /* SYN/ACK */ [IV, IV, SR, IV, IV, IV, IV, IV, IV, SR],
        /* FIN */     [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
        /* ACK */     [ES, IV, ES, ES, CW, CW, TW, TW, CL, IV],
        /* RST */     [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
        /* none */    [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
    ],
    [ // reply
        //            NO  SS  SR  ES  FW  CW  LA  TW  CL  S2
        /* SYN */     [IV, S2, IV, IV, IV, IV, IV, SS, IV, S2],
        /* SYN/ACK */ [IV, SR, IG, IG, IG, IG, IG, IG, IG, SR],
        /* FIN */     [IV, IV, FW, FW, LA, LA, LA, TW, CL, IV],
        /* ACK */     [IV, IG, SR, ES, CW, CW, TW, TW, CL, IG],
        /* RST */     [IV, CL, CL, CL, CL, CL, CL, CL, CL, CL],
        /* none */    [IV, IV, IV, IV, IV, IV, IV, IV, IV, IV],
    ],
];

/// Where a segment of `class` in `direction` leads from `state`.
#[inline]
pub fn next(direction: Direction, class: FlagClass, state: TcpState) -> Next {
    TRANSITIONS[direction.index()][class as usize][state as usize]
}

/// Flag sets that a TCP may send, PSH, ECE and CWR aside.
const LEGAL: [u8; 9] = [
    flags::SYN,
    flags::SYN | flags::URG,
    flags::SYN | flags::ACK,
    flags::RST,
    flags::RST | flags::ACK,
    flags::FIN | flags::ACK,
    flags::FIN | flags::ACK | flags::URG,
    flags::ACK,
    flags::ACK | flags::URG,
];

/// Whether the flags may go together (kernel `tcp_valid_flags`).
#[inline]
pub fn legal_flags(bits: u8) -> bool {
    // A bit for every set of the lower six flags that is legal.
    const SETS: u64 = {
        let (mut sets, mut n) = (0, 0);
        while n < LEGAL.len() {
            sets |= 1 << LEGAL[n];
            n += 1;
        }
        sets
    };
    SETS >> (bits & !(flags::PSH | flags::ECE | flags::CWR)) & 1 != 0
}

/// Timeout of a state in seconds.
pub fn timeout(state: TcpState, config: &Config) -> u64 {
    match state {
        TcpState::None | TcpState::SynSent => config.tcp_timeout_syn_sent,
        // No sysctl sets this one, only a timeout policy.
        TcpState::SynSent2 => config.tcp_timeout_syn_sent2,
        TcpState::SynRecv => config.tcp_timeout_syn_recv,
        TcpState::Established => config.tcp_timeout_established,
        TcpState::FinWait => config.tcp_timeout_fin_wait,
        TcpState::CloseWait => config.tcp_timeout_close_wait,
        TcpState::LastAck => config.tcp_timeout_last_ack,
        TcpState::TimeWait => config.tcp_timeout_time_wait,
        TcpState::Close => config.tcp_timeout_close,
    }
}

/// The transition list, one arrow a line, as the tests keep it and the manual shows it.
pub fn transition_list() -> String {
    let mut text = String::new();
    for (d, name) in ["original", "reply"].iter().enumerate() {
        for (c, class) in FlagClass::ALL.iter().enumerate() {
            for (s, state) in TcpState::ALL.iter().enumerate() {
                let to = match TRANSITIONS[d][c][s] {
                    NO => "NONE",
                    Next::To(next) => next.name(),
                    Next::Ignore => "ignored",
                    Next::Invalid => continue,
                };
                text.push_str(&format!("{name} {class}: {state} -> {to}\n"));
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
        assert_eq!(list.lines().count(), 73, "{list}");
        for arrow in [
            "original SYN: NONE -> SYN_SENT",
            "original SYN: TIME_WAIT -> SYN_SENT",
            "original ACK: NONE -> ESTABLISHED",
            "original ACK: FIN_WAIT -> CLOSE_WAIT",
            "reply ACK: FIN_WAIT -> CLOSE_WAIT",
            "reply SYN: SYN_SENT -> SYN_SENT2",
            "reply SYN/ACK: ESTABLISHED -> ignored",
            "reply ACK: SYN_SENT -> ignored",
        ] {
            assert!(
                list.lines().any(|l| l == arrow),
                "{arrow} missing in\n{list}"
            );
        }
    }

    #[test]
    fn legal_flag_sets_ignore_psh_ece_cwr_and_only_those() {
        for bits in 0..=255u8 {
            let core = bits & 0x37;
            let expect = matches!(
                core,
                0x02 | 0x22 | 0x12 | 0x04 | 0x14 | 0x11 | 0x31 | 0x10 | 0x30
            );
            assert_eq!(legal_flags(bits), expect, "{bits:#04x}");
        }
    }
}
