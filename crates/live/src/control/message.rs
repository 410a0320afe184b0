//! What is said on the socket (docs/control.md).
//!
//! A client sends one [`Opening`] and gets [`Answer`]s up to [`Answer::Done`]; then the conversation is over.

use std::path::PathBuf;

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
    /// The end.
    Stop {
        /// What becomes of packets then.
        #[serde(default)]
        leave: Leave,
    },
}

impl Request {
    /// Whether it only asks.
    pub fn only_asks(&self) -> bool {
        match self {
            Request::Status {} | Request::Rules { .. } => true,
            Request::Stop { .. } => false,
        }
    }
}

/// A part of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Text, or a part of one.
    Text(String),
    /// How it goes.
    Status(Box<Status>),
    /// Findings about a text.
    Findings(Findings),
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
    /// By family.
    pub rules: Vec<RulesInUse>,
    /// How often rules were changed since it began.
    pub generation: u64,
    /// The connection table.
    pub connections: Connections,
}

/// Packets of a verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

impl From<&Diagnostic> for Finding {
    fn from(d: &Diagnostic) -> Self {
        Finding {
            severity: match d.severity {
                rules::Severity::Note => Severity::Note,
                rules::Severity::Warning => Severity::Warning,
                rules::Severity::Error => Severity::Error,
            },
            code: d.code.to_string(),
            message: d.message.clone(),
            line: d.line,
            column: d.column,
            start: d.start,
            end: d.end,
            help: d.help.clone(),
            said: d.said.clone(),
        }
    }
}
