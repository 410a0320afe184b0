//! Options of protocols: their names, where they are allowed, what is said when they are not.

use palisade_wire::proto;

use super::vocabulary::Verb;
use super::words::{Code, Long, Takes};

/// DCCP, which the tool knows and no table tracks.
pub(super) const DCCP: u8 = 33;

/// What an option of a protocol is about. Ports are GRE's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    SourcePort,
    DestinationPort,
    ReplySourcePort,
    ReplyDestinationPort,
    MaskSourcePort,
    MaskDestinationPort,
    State,
    TupleSourcePort,
    TupleDestinationPort,
    OriginalTag,
    ReplyTag,
    Role,
    IcmpType,
    IcmpCode,
    IcmpId,
}

use Field::*;

/// A protocol with options of its own.
#[derive(Debug)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) number: u8,
    /// Its options in their order: what it is about, names (the first is the one that errors use).
    options: &'static [(Field, &'static [&'static str])],
    /// What `--help` says of them.
    pub(super) help: &'static str,
    /// Names of a state, by their numbers.
    pub(super) states: &'static [&'static str],
    /// What it calls itself in an error about a state.
    pub(super) complaint: &'static str,
    /// The pairs of which one must be given, in the words of an error.
    pub(super) pairs: [&'static str; 2],
}

const PORTS: [&str; 2] = [
    "`--sport' and `--dport'",
    "`--reply-src-port' and `--reply-dst-port'",
];

const SPORT: (Field, &[&str]) = (SourcePort, &["sport", "orig-port-src"]);
const DPORT: (Field, &[&str]) = (DestinationPort, &["dport", "orig-port-dst"]);
const REPLY_SPORT: (Field, &[&str]) = (ReplySourcePort, &["reply-port-src"]);
const REPLY_DPORT: (Field, &[&str]) = (ReplyDestinationPort, &["reply-port-dst"]);
const MASK_SPORT: (Field, &[&str]) = (MaskSourcePort, &["mask-port-src"]);
const MASK_DPORT: (Field, &[&str]) = (MaskDestinationPort, &["mask-port-dst"]);
const STATE: (Field, &[&str]) = (State, &["state"]);
const TUPLE_SPORT: (Field, &[&str]) = (TupleSourcePort, &["tuple-port-src"]);
const TUPLE_DPORT: (Field, &[&str]) = (TupleDestinationPort, &["tuple-port-dst"]);

/// All ports and masks.
const OF_PORTS: &[(Field, &[&str])] = &[
    SPORT,
    DPORT,
    REPLY_SPORT,
    REPLY_DPORT,
    MASK_SPORT,
    MASK_DPORT,
    TUPLE_SPORT,
    TUPLE_DPORT,
];

macro_rules! ports_help {
    () => {
        "  --orig-port-src\t\toriginal source port\n  --orig-port-dst\t\toriginal destination port\n  \
         --reply-port-src\t\treply source port\n  --reply-port-dst\t\treply destination port\n  \
         --mask-port-src\t\tmask source port\n  --mask-port-dst\t\tmask destination port\n  \
         --tuple-port-src\t\texpectation tuple src port\n  --tuple-port-src\t\texpectation tuple dst port\n"
    };
}

/// All of them.
pub(super) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "tcp",
        number: proto::TCP,
        options: &[
            SPORT,
            DPORT,
            REPLY_SPORT,
            REPLY_DPORT,
            MASK_SPORT,
            MASK_DPORT,
            STATE,
            TUPLE_SPORT,
            TUPLE_DPORT,
        ],
        help: concat!(ports_help!(), "  --state\t\t\tTCP state, fe. ESTABLISHED\n"),
        states: &[
            "NONE",
            "SYN_SENT",
            "SYN_RECV",
            "ESTABLISHED",
            "FIN_WAIT",
            "CLOSE_WAIT",
            "LAST_ACK",
            "TIME_WAIT",
            "CLOSE",
            "SYN_SENT2",
        ],
        complaint: "unknown TCP",
        pairs: PORTS,
    },
    Protocol {
        name: "udp",
        number: proto::UDP,
        options: OF_PORTS,
        help: ports_help!(),
        states: &[],
        complaint: "",
        pairs: PORTS,
    },
    Protocol {
        name: "udplite",
        number: proto::UDPLITE,
        options: OF_PORTS,
        help: ports_help!(),
        states: &[],
        complaint: "",
        pairs: PORTS,
    },
    Protocol {
        name: "sctp",
        number: proto::SCTP,
        options: &[
            SPORT,
            DPORT,
            REPLY_SPORT,
            REPLY_DPORT,
            MASK_SPORT,
            MASK_DPORT,
            STATE,
            TUPLE_SPORT,
            TUPLE_DPORT,
            (OriginalTag, &["orig-vtag"]),
            (ReplyTag, &["reply-vtag"]),
        ],
        help: concat!(
            ports_help!(),
            "  --state\t\t\tSCTP state, fe. ESTABLISHED\n  --orig-vtag\t\toriginal verification tag\n  \
             --reply-vtag\t\treply verification tag\n"
        ),
        states: &[
            "NONE",
            "CLOSED",
            "COOKIE_WAIT",
            "COOKIE_ECHOED",
            "ESTABLISHED",
            "SHUTDOWN_SENT",
            "SHUTDOWN_RECD",
            "SHUTDOWN_ACK_SENT",
        ],
        complaint: "unknown SCTP",
        pairs: PORTS,
    },
    Protocol {
        name: "dccp",
        number: DCCP,
        options: &[
            SPORT,
            DPORT,
            REPLY_SPORT,
            REPLY_DPORT,
            MASK_SPORT,
            MASK_DPORT,
            STATE,
            TUPLE_SPORT,
            TUPLE_DPORT,
            (Role, &["role"]),
        ],
        help: concat!(ports_help!(), "  --state\t\t\tDCCP state, fe. RESPOND\n"),
        states: &[
            "NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT",
            "IGNORE", "INVALID",
        ],
        complaint: "Unknown DCCP",
        pairs: [
            "`--sport' and `--dport'",
            "`--reply-port-src' and `--report-port-dst'",
        ],
    },
    Protocol {
        name: "icmp",
        number: proto::ICMP,
        options: &[
            (IcmpType, &["icmp-type"]),
            (IcmpCode, &["icmp-code"]),
            (IcmpId, &["icmp-id"]),
        ],
        help: "  --icmp-type\t\t\ticmp type\n  --icmp-code\t\t\ticmp code\n  --icmp-id\t\t\ticmp id\n",
        states: &[],
        complaint: "",
        pairs: PORTS,
    },
    Protocol {
        name: "icmpv6",
        number: proto::ICMPV6,
        options: &[
            (IcmpType, &["icmpv6-type"]),
            (IcmpCode, &["icmpv6-code"]),
            (IcmpId, &["icmpv6-id"]),
        ],
        help: "  --icmpv6-type\t\t\ticmpv6 type\n  --icmpv6-code\t\t\ticmpv6 code\n  --icmpv6-id\t\t\ticmpv6 id\n",
        states: &[],
        complaint: "",
        pairs: PORTS,
    },
    Protocol {
        name: "gre",
        number: proto::GRE,
        options: &[
            (SourcePort, &["srckey", "orig-key-src"]),
            (DestinationPort, &["dstkey", "orig-key-dst"]),
            (ReplySourcePort, &["reply-key-src"]),
            (ReplyDestinationPort, &["reply-key-dst"]),
            (MaskSourcePort, &["mask-key-src"]),
            (MaskDestinationPort, &["mask-key-dst"]),
            (TupleSourcePort, &["tuple-key-src"]),
            (TupleDestinationPort, &["tuple-key-dst"]),
        ],
        help: "  --orig-key-src\t\toriginal source key\n  --orig-key-dst\t\toriginal destination key\n  \
               --reply-key-src\t\treply source key\n  --reply-key-dst\t\treply destination key\n  \
               --mask-key-src\t\tmask source key\n  --mask-key-dst\t\tmask destination key\n  \
               --tuple-key-src\t\texpectation tuple src key\n  --tuple-key-src\t\texpectation tuple dst key\n",
        states: &[],
        complaint: "",
        pairs: [
            "`--srckey' and `--dstkey'",
            "`--reply-src-key' and `--reply-dst-key'",
        ],
    },
];

/// What an option is to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Legal {
    /// Not allowed.
    No,
    /// It must be there.
    Must,
    /// It may be there.
    May,
    /// One of two pairs must be there.
    Pair,
}

impl Legal {
    pub(super) fn of(letter: u8) -> Legal {
        match letter {
            b'1' => Legal::Must,
            b'2' => Legal::May,
            b'3' => Legal::Pair,
            _ => Legal::No,
        }
    }
}

impl Protocol {
    /// The protocol of a name, in any case.
    pub(super) fn named(name: &str) -> Option<&'static Protocol> {
        PROTOCOLS.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// The protocol of a number.
    pub(super) fn numbered(number: u8) -> Option<&'static Protocol> {
        PROTOCOLS.iter().find(|p| p.number == number)
    }

    /// What an option is about.
    pub(super) fn field(&self, option: usize) -> Option<Field> {
        self.options.get(option).map(|(field, _)| *field)
    }

    /// Its options by their long names; all take a value.
    pub(super) fn long(&self) -> impl Iterator<Item = Long> {
        let options = self.options.iter().enumerate();
        options.flat_map(|(n, (_, names))| {
            names.iter().map(move |name| Long {
                name,
                takes: Takes::Value,
                code: Code::Protocol(n),
            })
        })
    }

    /// Its options for a command, in their order: name, what it is to the command.
    pub(super) fn legal(&self, verb: Verb) -> Vec<(&'static str, Legal)> {
        let of = |field: Field| match (self.number, verb) {
            (
                _,
                Verb::List
                | Verb::Update
                | Verb::Delete
                | Verb::Get
                | Verb::Event
                | Verb::Create
                | Verb::Add,
            ) => self.legal_of_connections(verb, field),
            (proto::ICMP | proto::ICMPV6, _) => Legal::No,
            (proto::GRE, Verb::CreateExpect) => Legal::Must,
            (_, Verb::CreateExpect) => match field {
                ReplySourcePort | ReplyDestinationPort | State => Legal::No,
                _ => Legal::Must,
            },
            (_, Verb::DeleteExpect | Verb::GetExpect) => match field {
                SourcePort | DestinationPort | ReplySourcePort | ReplyDestinationPort => {
                    Legal::Must
                }
                _ => Legal::No,
            },
            _ => Legal::No,
        };
        let named = |(field, names): &(Field, &'static [&'static str])| {
            (names.first().copied().unwrap_or_default(), of(*field))
        };
        self.options.iter().map(named).collect()
    }

    fn legal_of_connections(&self, verb: Verb, field: Field) -> Legal {
        let creates = matches!(verb, Verb::Create | Verb::Add);
        match field {
            SourcePort | DestinationPort | ReplySourcePort | ReplyDestinationPort => {
                if creates || verb == Verb::Get {
                    Legal::Pair
                } else {
                    Legal::May
                }
            }
            MaskSourcePort | MaskDestinationPort | TupleSourcePort | TupleDestinationPort => {
                Legal::No
            }
            State if creates => Legal::Must,
            State => Legal::May,
            OriginalTag | ReplyTag => match verb {
                Verb::Update | Verb::Get => Legal::May,
                _ if creates => Legal::Must,
                _ => Legal::No,
            },
            Role if creates => Legal::Must,
            Role => Legal::No,
            IcmpType | IcmpCode if creates || verb == Verb::Get => Legal::Must,
            IcmpType | IcmpCode | IcmpId => Legal::May,
        }
    }
}
