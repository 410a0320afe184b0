//! What LOG and NFLOG say, for whoever asks.
//!
//! # Overview
//! With [`Engine::set_logging`] every rule with such a target records an event for each packet that it matches, as the
//! packet is there; [`Engine::take_logs`] hands them out. [`LogEvent::line`] is the line that the kernel would log
//! (`line.rs`).
//!
//! # Bounds
//! [`MOST_EVENTS`] wait; what comes when so many do is counted and lost. An event holds [`MOST_BYTES`] of its packet.

mod line;

use std::collections::VecDeque;

use palisade_rules::targets::log::Log;
use palisade_rules::targets::nflog::Nflog;
use palisade_rules::{Family, Hook};
use palisade_wire::{Packet, Timestamp};

use crate::input::LinkInfo;
use crate::matches::Facts;
use crate::socket::Sender;
use crate::{Engine, Host};

/// Events that wait for somebody to take them.
pub const MOST_EVENTS: usize = 4096;

/// Bytes of a packet that an event holds.
pub const MOST_BYTES: usize = 2048;

/// What a rule wants of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// LOG: a line in the log.
    Log {
        /// Syslog level, 0 to 7.
        level: u8,
        /// `--log-tcp-sequence`.
        tcp_sequence: bool,
        /// `--log-tcp-options`.
        tcp_options: bool,
        /// `--log-ip-options`.
        ip_options: bool,
        /// `--log-uid`.
        uid: bool,
        /// `--log-macdecode`.
        macdecode: bool,
    },
    /// NFLOG: the packet for a program.
    Nflog {
        /// Group.
        group: u16,
        /// `--nflog-threshold`.
        threshold: u16,
    },
}

/// A packet that a rule logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// When it came, by the clock of packets.
    pub time: Timestamp,
    /// The same by the wall's clock.
    pub wall: Timestamp,
    /// Family.
    pub family: Family,
    /// Where the rule stands.
    pub hook: Hook,
    /// Interface that it came in by.
    pub in_interface: Option<String>,
    /// Interface that it leaves by.
    pub out_interface: Option<String>,
    /// `--log-prefix`, `--nflog-prefix`.
    pub prefix: String,
    /// What the rule wants.
    pub target: LogTarget,
    /// The packet from its IP header on, as the rule saw it; [`MOST_BYTES`] of it, or `--nflog-size`.
    pub bytes: Vec<u8>,
    /// Bytes that it has in all.
    pub length: usize,
    /// Packet mark.
    pub mark: u32,
    /// Link layer.
    pub link: LinkInfo,
    /// User and group of the socket that it belongs to, where that is known.
    pub owner: Option<(u32, u32)>,
}

/// Events that were not taken yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    on: bool,
    events: VecDeque<LogEvent>,
    lost: u64,
}

/// Events that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenLogs {
    /// In the order in which they happened.
    pub events: Vec<LogEvent>,
    /// How many there were beside these since the last time: there was no room for them.
    pub lost: u64,
}

impl Engine {
    /// Records what LOG and NFLOG say from now on, or no longer; events that wait are kept.
    pub fn set_logging(&mut self, on: bool) {
        // Ways that were found while nobody listened leave out what nobody heard.
        self.settle();
        self.states.logs.on = on;
    }

    /// Hands out the events since the last time.
    pub fn take_logs(&mut self) -> TakenLogs {
        let logs = &mut self.states.logs;
        TakenLogs {
            events: logs.events.drain(..).collect(),
            lost: std::mem::take(&mut logs.lost),
        }
    }
}

/// What a rule says, and about what.
pub(crate) struct Said<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) mark: u32,
    /// The socket that it is for, by its place in the host's list.
    pub(crate) socket: Option<usize>,
    pub(crate) wall: Timestamp,
}

impl Logs {
    /// Whether events are recorded.
    #[inline]
    pub(crate) fn on(&self) -> bool {
        self.on
    }

    pub(crate) fn log(&mut self, rule: &Log, said: &Said<'_>) {
        let target = LogTarget::Log {
            level: rule.level,
            tcp_sequence: rule.tcp_sequence,
            tcp_options: rule.tcp_options,
            ip_options: rule.ip_options,
            uid: rule.uid,
            macdecode: rule.macdecode,
        };
        self.add(target, &rule.prefix, MOST_BYTES, said);
    }

    pub(crate) fn nflog(&mut self, rule: &Nflog, said: &Said<'_>) {
        let target = LogTarget::Nflog {
            group: rule.group,
            threshold: rule.threshold,
        };
        // 0 is everything.
        let size = rule.size.filter(|size| *size != 0);
        let size = size.map_or(MOST_BYTES, |size| size as usize);
        self.add(target, &rule.prefix, size.min(MOST_BYTES), said);
    }

    fn add(&mut self, target: LogTarget, prefix: &str, most: usize, said: &Said<'_>) {
        if self.events.len() >= MOST_EVENTS {
            self.lost += 1;
            return;
        }
        let facts = said.facts;
        let name = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let bytes = said.packet.bytes();
        self.events.push_back(LogEvent {
            time: facts.now,
            wall: said.wall,
            family: said.packet.family(),
            hook: facts.hook,
            in_interface: name(facts.in_interface),
            out_interface: name(facts.out_interface),
            prefix: prefix.to_owned(),
            target,
            bytes: bytes.get(..most).unwrap_or(bytes).to_vec(),
            length: said.packet.declared_len(),
            mark: said.mark,
            link: *facts.link,
            owner: owner(facts.sender, said.socket, facts.host),
        });
    }
}

/// Whose socket a packet belongs to: its maker's, or its receiver's.
fn owner(sender: &Sender, socket: Option<usize>, host: &Host) -> Option<(u32, u32)> {
    let of = |socket: usize| host.sockets.as_ref()?.get(socket)?.owner.as_ref();
    let owner = match sender {
        Sender::Owner(owner) => Some(owner),
        Sender::Socket(socket) => of(*socket),
        Sender::Unknown | Sender::Nobody | Sender::Kernel => socket.and_then(of),
    };
    owner.map(|owner| (owner.user, owner.group))
}
