//! What is said on the socket (docs/control.md).
//!
//! A client sends one [`Opening`] and gets [`Answer`]s up to [`Answer::Done`]; then the conversation is over.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use palisade_engine::conntrack::tool;
use palisade_engine::rules::{self, Diagnostic, Family, Tools};
use serde::{Deserialize, Serialize};

/// The version of the protocol that is spoken here.
pub const VERSION: u32 = 1;

/// The first and only message of a client. Its version is read before its request is understood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// Version of the protocol.
    pub version: u32,
    /// What is wanted, as this version or another has it.
    pub request: serde_json::Value,
}

impl Opening {
    /// Of a request of this version.
    ///
    /// # Errors
    /// None that requests have.
    pub fn new(request: &Request) -> Result<Self, serde_json::Error> {
        Ok(Opening {
            version: VERSION,
            request: serde_json::to_value(request)?,
        })
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ip {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl From<Ip> for Family {
    fn from(ip: Ip) -> Self {
        match ip {
            Ip::V4 => Family::V4,
            Ip::V6 => Family::V6,
        }
    }
}

impl From<Family> for Ip {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Ip::V4,
            Family::V6 => Ip::V6,
        }
    }
}

/// Whose language rules are in and are printed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// iptables-legacy.
    #[default]
    Legacy,
    /// iptables-nft.
    Nft,
}

impl From<Language> for Tools {
    fn from(language: Language) -> Self {
        match language {
            Language::Legacy => Tools::Legacy,
            Language::Nft => Tools::Nft,
        }
    }
}

impl From<Tools> for Language {
    fn from(tools: Tools) -> Self {
        match tools {
            Tools::Legacy => Language::Legacy,
            Tools::Nft => Language::Nft,
        }
    }
}

/// What becomes of packets when the process has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leave {
    /// What `palisade run` was told.
    #[default]
    AsTold,
    /// They pass.
    Open,
    /// None passes.
    Closed,
}

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it goes: [`Answer::Status`].
    Status {},
    /// The rules as iptables-save prints them: [`Answer::Text`].
    Rules {
        /// Of one family.
        family: Ip,
        /// Whose iptables-save.
        #[serde(default)]
        language: Language,
        /// With counters.
        #[serde(default)]
        counters: bool,
        /// Of one table.
        #[serde(default)]
        table: Option<String>,
    },
    /// `iptables`, `ip6tables` and their arguments: [`Answer::Text`], [`Answer::Findings`].
    Tables {
        /// Which of them.
        family: Ip,
        /// Whose.
        #[serde(default)]
        language: Language,
        /// Arguments.
        words: Vec<String>,
        /// What is looked after.
        #[serde(default)]
        safety: Safety,
    },
    /// `iptables-restore`, `ip6tables-restore`: [`Answer::Findings`].
    Restore {
        /// Which of them.
        family: Ip,
        /// Whose.
        #[serde(default)]
        language: Language,
        /// What is restored.
        text: String,
        /// How.
        #[serde(default)]
        how: Restoring,
        /// What is looked after.
        #[serde(default)]
        safety: Safety,
    },
    /// Other rules, all at once: [`Answer::Findings`], [`Answer::Flow`], [`Answer::Reloaded`].
    Reload {
        /// Texts; the rules of a family that none of them has stay.
        texts: Vec<RulesText>,
        /// Whose language they are in.
        #[serde(default)]
        language: Language,
        /// Only tell what would become of live flows.
        #[serde(default)]
        preview: bool,
        /// Which live flows that the new rules would not let pass are ended.
        #[serde(default)]
        cut: Cut,
        /// The old rules are put back if it is not confirmed within this many seconds.
        #[serde(default)]
        confirm_seconds: Option<u32>,
        /// What is looked after.
        #[serde(default)]
        safety: Safety,
    },
    /// Lines that rules log: [`Answer::Text`], a line each.
    Log {
        /// The last so many of those that were before.
        last: usize,
        /// And those that come, until the client goes away.
        follow: bool,
    },
    /// The rules of the reload that waits for it stay.
    Confirm {},
    /// Live packets judged by other rules beside those in force: [`Answer::Differences`].
    Shadow {
        /// Texts; the rules of a family that none of them has are those in force.
        texts: Vec<RulesText>,
        /// Whose language they are in.
        #[serde(default)]
        language: Language,
        /// For how long; otherwise until the client goes away.
        #[serde(default)]
        seconds: Option<u32>,
    },
    /// The end.
    Stop {
        /// What becomes of packets then.
        #[serde(default)]
        leave: Leave,
    },
    /// The busiest connections and rules, again and again until the client goes away: [`Answer::Top`].
    Top {
        /// Milliseconds between two answers.
        #[serde(default)]
        interval_ms: u32,
        /// How many answers; 0: without end.
        #[serde(default)]
        frames: u32,
    },
    /// `conntrack` and its arguments, its name first: [`Answer::Text`], [`Answer::Errors`].
    Conntrack {
        /// The command line.
        words: Vec<String>,
        /// What the file holds that `-R` names.
        #[serde(default)]
        file: Option<String>,
        /// How many seconds the client's clock is ahead of UTC.
        #[serde(default)]
        east: i32,
    },
}

impl Request {
    /// Whether it only asks.
    pub fn only_asks(&self) -> bool {
        match self {
            Request::Conntrack { words, .. } => tool::only_asks(words),
            Request::Top { .. } => true,
            // What a command of these would change is looked at when it is known.
            Request::Status {}
            | Request::Rules { .. }
            | Request::Tables { .. }
            | Request::Log { .. } => true,
            Request::Restore { .. }
            | Request::Reload { .. }
            | Request::Confirm {}
            | Request::Shadow { .. }
            | Request::Stop { .. } => false,
        }
    }
}

/// A text of rules, as a client has read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RulesText {
    /// What the client calls it: the name of its file.
    pub name: String,
    /// Of a save file; a script of commands says it line by line.
    pub family: Ip,
    /// The text.
    pub text: String,
}

/// Options of `iptables-restore`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restoring {
    /// `--noflush`.
    pub noflush: bool,
    /// `--counters`.
    pub counters: bool,
    /// `--test`: nothing is changed.
    pub test: bool,
    /// `--table`.
    pub table: Option<String>,
}

/// What a change of rules is not to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Safety {
    /// Sessions that it is not to cut, beside those that the process looks after.
    pub sessions: Vec<Session>,
    /// It may.
    pub force: bool,
}

/// A TCP connection by its ends, who opened it first; as text `203.0.113.9:40000-192.0.2.1:22`, IPv6 addresses in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Session {
    /// Who opened it.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
}

/// A text is no [`Session`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no connection such as 203.0.113.9:40000-192.0.2.1:22 or [2001:db8::9]:40000-[2001:db8::1]:22"
)]
pub struct NoSession(String);

impl FromStr for Session {
    type Err = NoSession;

    fn from_str(text: &str) -> Result<Self, NoSession> {
        let ends = text.split_once('-');
        let ends = ends.and_then(|(from, to)| {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().ok()?, to.parse().ok()?);
            (from.is_ipv4() == to.is_ipv4()).then_some(Session { from, to })
        });
        ends.ok_or_else(|| NoSession(text.to_string()))
    }
}

impl TryFrom<String> for Session {
    type Error = NoSession;

    fn try_from(text: String) -> Result<Self, NoSession> {
        text.parse()
    }
}

impl From<Session> for String {
    fn from(session: Session) -> String {
        session.to_string()
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// A term of an expression over live flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// One of its ends, in either direction.
    Host(IpAddr),
    /// One of its ports, in either direction.
    Port(u16),
    /// Its protocol, by name (tcp) or number.
    Protocol(String),
    /// Its display number.
    Connection(u64),
    /// What the new rules would have become of it.
    Verdict(String),
}

/// What rules have become of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judgement {
    /// ACCEPT, DROP …
    pub verdict: String,
    /// The rule or policy: `filter INPUT rule 3`.
    pub by: String,
    /// Its text, as iptables-save has it; empty for a policy.
    pub rule: String,
}

/// A live flow that other rules judge differently.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// Display number of its connection.
    pub connection: u64,
    /// Protocol.
    pub protocol: String,
    /// As its packets come: `address:port`.
    pub from: String,
    /// Likewise.
    pub to: String,
    /// original or reply: whose packets are judged differently.
    pub direction: String,
    /// By the rules in force.
    pub old: Judgement,
    /// By the others.
    pub new: Judgement,
    /// It was ended.
    pub cut: bool,
}

/// Rules that were put in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Changes since the process began.
    pub generation: u64,
    /// Rules that are the same ones, and keep their counters.
    pub kept: usize,
    /// Rules that were not there before.
    pub added: usize,
    /// Rules that are not there any more.
    pub removed: usize,
    /// Live flows that were ended.
    pub cut: usize,
    /// Seconds in which it is to be confirmed.
    pub confirm_seconds: Option<u32>,
}

/// How live packets were judged differently so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Differences {
    /// Packets judged by both.
    pub packets: u64,
    /// Packets that were not, because they came too fast.
    pub missed: u64,
    /// By what judged them, the most frequent first.
    pub differences: Vec<Difference>,
    /// Packets judged differently that are in none of these, since there were too many kinds.
    pub others: u64,
    /// Worth knowing: how the comparison began.
    pub notes: Vec<String>,
    /// Why it ended before its time.
    pub ended: Option<String>,
}

/// Packets that two rules judge differently.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// By the rules in force.
    pub old: Judgement,
    /// By the others.
    pub new: Judgement,
    /// How many.
    pub packets: u64,
    /// The first of them.
    pub sample: Sample,
}

/// A packet in a line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Interface it came in by.
    pub in_interface: Option<String>,
    /// Interface it leaves by.
    pub out_interface: Option<String>,
    /// Protocol.
    pub protocol: String,
    /// `address:port`.
    pub from: String,
    /// Likewise.
    pub to: String,
    /// NEW, ESTABLISHED …
    pub state: Option<String>,
}

/// Which live flows end with a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// None, as iptables.
    #[default]
    Keep,
    /// All that the new rules would not let pass.
    All,
    /// Of these, the ones that all terms hold for.
    Matching(Vec<Term>),
}

/// A part of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Text, or a part of one.
    Text(String),
    /// How it goes.
    Status(Box<Status>),
    /// What is busy.
    Top(Box<super::top::Frame>),
    /// What a program says on standard error.
    Errors(String),
    /// Findings about a text.
    Findings(Findings),
    /// A live flow that other rules judge differently.
    Flow(Box<Flow>),
    /// Rules were put in place.
    Reloaded(Reloaded),
    /// How live packets were judged differently so far.
    Differences(Box<Differences>),
    /// Why it is not done, or what is worth knowing; for people.
    Said(String),
    /// The end: how it went.
    Done(Ended),
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Done.
    Yes,
    /// No: refused, or not so.
    No,
    /// The request is wrong.
    BadInput,
}

/// How it goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Since it began.
    pub uptime_seconds: u64,
    /// Where packets come from.
    pub backend: String,
    /// Workers.
    pub workers: usize,
    /// What is not seen, why a slower way was taken.
    pub notes: Vec<String>,
    /// By verdict.
    pub packets: Vec<VerdictCount>,
    /// What the backend counts beside: its name for it, and how many.
    #[serde(default)]
    pub figures: Vec<(String, u64)>,
    /// By family.
    pub rules: Vec<RulesInUse>,
    /// How often rules were changed since it began.
    pub generation: u64,
    /// Seconds in which the last reload is to be confirmed, if it is.
    pub confirm_seconds: Option<u64>,
    /// Sessions that no change of rules is to cut.
    pub protected: Vec<Session>,
    /// The connection table.
    pub connections: Connections,
}

/// Packets of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCount {
    /// ACCEPT, DROP …
    pub verdict: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

/// Rules of a family.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RulesInUse {
    /// Which.
    pub family: Ip,
    /// Where they were read when it began; `None` when there was no file.
    pub file: Option<PathBuf>,
    /// Tables.
    pub tables: usize,
    /// Chains.
    pub chains: usize,
    /// Rules.
    pub rules: usize,
}

/// The connection table.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    /// In it.
    pub entries: u64,
    /// It holds (`nf_conntrack_max`); 0 for no bound.
    pub max: u64,
    /// Expected by helpers.
    pub expectations: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// New connections refused since it began, because it was full.
    pub refused: u64,
    /// Connections that made room for others.
    pub early_dropped: u64,
}

/// Findings about a text that the client sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The name of the text, where it has one.
    pub name: String,
    /// The text they are about; empty when it is the one that the client sent.
    pub text: String,
    /// In its order.
    pub found: Vec<Finding>,
}

/// A finding of the language ([`Diagnostic`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Short name.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// First byte within the text.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    /// What to do.
    pub help: Option<String>,
    /// What the real program says.
    pub said: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Note,
    /// Probably not what is meant.
    Warning,
    /// Refused.
    Error,
}

impl From<Severity> for rules::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Note => rules::Severity::Note,
            Severity::Warning => rules::Severity::Warning,
            Severity::Error => rules::Severity::Error,
        }
    }
}

/// Bytes of a text within a message, at most.
const MAX_TEXT: usize = 4096;

/// A text, cut where it is longer than messages have room for.
pub(crate) fn short(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_string();
    }
    let cut = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..cut.unwrap_or(0)])
}

impl From<&Diagnostic> for Finding {
    fn from(d: &Diagnostic) -> Self {
        Finding {
            severity: match d.severity {
                rules::Severity::Note => Severity::Note,
                rules::Severity::Warning => Severity::Warning,
                rules::Severity::Error => Severity::Error,
            },
            code: d.code.to_string(),
            message: short(&d.message),
            line: d.line,
            column: d.column,
            start: d.start,
            end: d.end,
            help: d.help.as_deref().map(short),
            said: d.said.as_deref().map(short),
        }
    }
}
