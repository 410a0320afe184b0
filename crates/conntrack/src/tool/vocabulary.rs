//! What command lines are made of: commands, options, which go with which, and what they say.

use std::net::IpAddr;

use palisade_wire::Family;

use crate::connection::Status;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Create,
    Update,
    Delete,
    Get,
    Flush,
    Event,
    Version,
    Help,
    ListExpect,
    CreateExpect,
    DeleteExpect,
    GetExpect,
    FlushExpect,
    EventExpect,
    Count,
    CountExpect,
    Stats,
    StatsExpect,
    Add,
}

/// Letter, long name, the command for connections, the command for expectations.
pub(super) const COMMANDS: &[(char, &str, Verb, Option<Verb>)] = &[
    ('L', "dump", Verb::List, Some(Verb::ListExpect)),
    ('I', "create", Verb::Create, Some(Verb::CreateExpect)),
    ('A', "add", Verb::Add, None),
    ('D', "delete", Verb::Delete, Some(Verb::DeleteExpect)),
    ('U', "update", Verb::Update, None),
    ('G', "get", Verb::Get, Some(Verb::GetExpect)),
    ('F', "flush", Verb::Flush, Some(Verb::FlushExpect)),
    ('E', "event", Verb::Event, Some(Verb::EventExpect)),
    ('C', "counter", Verb::Count, Some(Verb::CountExpect)),
    ('S', "stats", Verb::Stats, Some(Verb::StatsExpect)),
    ('V', "version", Verb::Version, Some(Verb::Version)),
    ('h', "help", Verb::Help, Some(Verb::Help)),
];

/// Options in the order in which they are checked: letter, the name that errors use, other long names.
pub(super) const OPTIONS: [(char, &str, &[&str]); 29] = [
    ('s', "src", &["orig-src"]),
    ('d', "dst", &["orig-dst"]),
    ('r', "reply-src", &[]),
    ('q', "reply-dst", &[]),
    ('p', "protonum", &[]),
    ('t', "timeout", &[]),
    ('u', "status", &[]),
    ('z', "zero", &[]),
    ('e', "event-mask", &[]),
    ('[', "tuple-src", &[]),
    (']', "tuple-dst", &[]),
    ('{', "mask-src", &[]),
    ('}', "mask-dst", &[]),
    ('a', "nat-range", &[]),
    ('m', "mark", &[]),
    ('i', "id", &[]),
    ('f', "family", &[]),
    ('n', "src-nat", &[]),
    ('g', "dst-nat", &[]),
    ('o', "output", &[]),
    ('c', "secmark", &[]),
    ('b', "buffer-size", &[]),
    ('j', "any-nat", &[]),
    ('w', "zone", &[]),
    ('l', "label", &[]),
    ('<', "label-add", &[]),
    ('>', "label-del", &[]),
    ('(', "orig-zone", &[]),
    (')', "reply-zone", &[]),
];

/// What each option is to a command, in the order of [`OPTIONS`]: not allowed, needed, allowed, or one of two pairs.
pub(super) fn legal(verb: Option<Verb>) -> &'static [u8; 29] {
    match verb {
        //                         sdrqptuze[]{}amifngocbjwl<>()
        Some(Verb::List) =>
        /**/
        {
            b"22222022000220202222202220022"
        }
        Some(Verb::Create | Verb::Add) => b"33331120000002200220000202022",
        Some(Verb::Update) =>
        /**/
        {
            b"22222220000220222222000022200"
        }
        Some(Verb::Delete) =>
        /**/
        {
            b"22222220000220222222000220022"
        }
        Some(Verb::Get) =>
        /*   */
        {
            b"33331000000000020002000020000"
        }
        Some(Verb::Flush) =>
        /* */
        {
            b"00000000000000002000000000000"
        }
        Some(Verb::Event) =>
        /* */
        {
            b"22222000200220202222222220022"
        }
        Some(Verb::Help) =>
        /*  */
        {
            b"00002000000000000000000000000"
        }
        Some(Verb::ListExpect) => b"00000000000000002002000000000",
        Some(Verb::CreateExpect) => b"11221120011110000000000000000",
        Some(Verb::DeleteExpect | Verb::GetExpect) => b"11221000000000000000000000000",
        Some(Verb::EventExpect) => b"00000000000000000002000000000",
        _ =>
        /*                 */
        {
            b"00000000000000000000000000000"
        }
    }
}

/// Which entries are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Table {
    #[default]
    Connections,
    Expectations,
    Dying,
    Unconfirmed,
}

/// Forms of output, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Output(pub(super) u32);

impl Output {
    pub(super) const XML: Output = Output(1);
    pub(super) const EXTENDED: Output = Output(1 << 1);
    pub(super) const TIMESTAMP: Output = Output(1 << 2);
    pub(super) const ID: Output = Output(1 << 3);
    pub(super) const KERNEL_TIMESTAMP: Output = Output(1 << 4);
    pub(super) const LABELS: Output = Output(1 << 5);
    pub(super) const SAVE: Output = Output(1 << 6);
    pub(super) const JSON: Output = Output(1 << 7);

    pub(super) fn has(self, other: Output) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it is XML: what is saved or JSON is not.
    pub(super) fn is_xml(self) -> bool {
        self.has(Output::XML) && !self.has(Output::SAVE) && !self.has(Output::JSON)
    }

    /// The same without anything about time.
    pub(super) fn without_times(self) -> Output {
        Output(self.0 & !(Output::TIMESTAMP.0 | Output::KERNEL_TIMESTAMP.0))
    }
}

/// Words of an option that takes several, and the bits that they stand for.
pub(super) type Parameters = &'static [(&'static str, u32)];

pub(super) const STATUSES: Parameters = &[
    ("ASSURED", Status::ASSURED.0 as u32),
    ("SEEN_REPLY", Status::SEEN_REPLY.0 as u32),
    ("UNSET", 0),
    ("FIXED_TIMEOUT", Status::FIXED_TIMEOUT.0 as u32),
    ("EXPECTED", Status::EXPECTED.0 as u32),
    ("OFFLOAD", 1 << 14),
    ("HW_OFFLOAD", 1 << 15),
];

/// Bits of kinds of events.
pub(super) const NEW: u32 = 1;
pub(super) const UPDATES: u32 = 1 << 1;
pub(super) const DESTROY: u32 = 1 << 2;

pub(super) const EVENTS: Parameters = &[
    ("ALL", NEW | UPDATES | DESTROY),
    ("NEW", NEW),
    ("UPDATES", UPDATES),
    ("DESTROY", DESTROY),
];

pub(super) const OUTPUTS: Parameters = &[
    ("xml", Output::XML.0),
    ("extended", Output::EXTENDED.0),
    ("timestamp", Output::TIMESTAMP.0),
    ("id", Output::ID.0),
    ("ktimestamp", Output::KERNEL_TIMESTAMP.0),
    ("labels", Output::LABELS.0),
    ("userspace", 0),
    ("save", Output::SAVE.0),
    // Ours.
    ("json", Output::JSON.0),
];

/// Addresses and ports of one direction, as far as they are given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) source: Option<IpAddr>,
    pub(super) destination: Option<IpAddr>,
    pub(super) source_port: Option<u16>,
    pub(super) destination_port: Option<u16>,
}

/// Where a connection is translated to, as far as it is given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Translated {
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
}

/// What is said of connections: to be found, or to be made so.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) original: Ends,
    pub(super) reply: Ends,
    /// Of an expectation: what is expected, and which of its bits count.
    pub(super) tuple: Ends,
    pub(super) mask: Ends,
    /// The family that addresses of the original direction are of.
    pub(super) family: Option<Family>,
    pub(super) icmp_type: Option<u8>,
    pub(super) icmp_code: Option<u8>,
    pub(super) icmp_id: Option<u16>,
    pub(super) state: Option<&'static str>,
    pub(super) tags: [Option<u32>; 2],
    pub(super) timeout: Option<u32>,
    pub(super) status: Option<u32>,
    /// Bits of the status and what they must be.
    pub(super) status_bits: Option<(u32, u32)>,
    /// Mark and mask.
    pub(super) mark: Option<(u32, u32)>,
    pub(super) id: Option<u32>,
    pub(super) zone: Option<u16>,
    pub(super) zones: [Option<u16>; 2],
    pub(super) source_nat: Translated,
    pub(super) destination_nat: Translated,
    pub(super) labels: Option<u128>,
    pub(super) change_labels: Option<u128>,
}
