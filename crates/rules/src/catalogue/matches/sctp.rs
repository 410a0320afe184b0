//! `-m sctp`.

use super::ports;
use super::prelude::*;

/// `-m sctp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sctp {
    /// `--sport`.
    pub source: Option<Not<PortRange>>,
    /// `--dport`.
    pub destination: Option<Not<PortRange>>,
    /// `--chunk-types`.
    pub chunks: Option<Not<Chunks>>,
}

/// Which chunks a packet is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// How they are asked for.
    pub mode: ChunkMode,
    /// The chunk types.
    pub types: Types,
    /// Flags that a chunk must have or lack to count; at most four types have them.
    pub flags: Vec<ChunkFlags>,
}

/// How chunks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkMode {
    /// One of them is there.
    Any,
    /// Each of them is there.
    All,
    /// No other is there.
    Only,
}

/// A set of chunk types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Types([u64; 4]);

impl Types {
    /// All 256.
    pub const ALL: Types = Types([u64::MAX; 4]);

    /// Whether a type is in it.
    #[inline]
    pub fn contains(&self, kind: u8) -> bool {
        self.0[usize::from(kind / 64)] & (1 << (kind % 64)) != 0
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        *self == Types::default()
    }

    /// Puts a type in.
    pub fn insert(&mut self, kind: u8) {
        self.0[usize::from(kind / 64)] |= 1 << (kind % 64);
    }

    /// Takes a type out.
    pub fn remove(&mut self, kind: u8) {
        self.0[usize::from(kind / 64)] &= !(1 << (kind % 64));
    }
}

/// Flags of one chunk type: of those in `mask` those in `set` must be set, the others must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkFlags {
    /// The type.
    pub kind: u8,
    /// Flags that count.
    pub mask: u8,
    /// Flags that must be set.
    pub set: u8,
}

/// Chunk types: name, number, letters of the flags from the highest bit.
const CHUNKS: [(&str, u8, &str); 22] = [
    ("DATA", 0, "----IUBE"),
    ("INIT", 1, NONE),
    ("INIT_ACK", 2, NONE),
    ("SACK", 3, NONE),
    ("HEARTBEAT", 4, NONE),
    ("HEARTBEAT_ACK", 5, NONE),
    ("ABORT", 6, "-------T"),
    ("SHUTDOWN", 7, NONE),
    ("SHUTDOWN_ACK", 8, NONE),
    ("ERROR", 9, NONE),
    ("COOKIE_ECHO", 10, NONE),
    ("COOKIE_ACK", 11, NONE),
    ("ECN_ECNE", 12, NONE),
    ("ECN_CWR", 13, NONE),
    ("SHUTDOWN_COMPLETE", 14, "-------T"),
    ("I_DATA", 64, "----IUBE"),
    ("RE_CONFIG", 130, NONE),
    ("PAD", 132, NONE),
    ("ASCONF", 193, NONE),
    ("ASCONF_ACK", 128, NONE),
    ("FORWARD_TSN", 192, NONE),
    ("I_FORWARD_TSN", 194, NONE),
];

const NONE: &str = "--------";

/// Types with flags that a rule can have (kernel `XT_NUM_SCTP_FLAGS`).
const MAX_FLAGS: usize = 4;

const MODES: [(&str, ChunkMode); 3] = [
    ("any", ChunkMode::Any),
    ("all", ChunkMode::All),
    ("only", ChunkMode::Only),
];

fn mode(text: &str) -> Value<ChunkMode> {
    match MODES.iter().find(|(n, _)| n.eq_ignore_ascii_case(text)) {
        Some((_, mode)) => Ok(*mode),
        None => Err(
            Bad::new(format!("'{text}' does not say which chunks must be there"))
                .help("any, all or only")
                .said("Match type has to be one of \"ALL\", \"ANY\" or \"ONLY\""),
        ),
    }
}

fn chunks(text: &str) -> Value<(Types, Vec<ChunkFlags>)> {
    if text.eq_ignore_ascii_case("all") {
        return Ok((Types::ALL, Vec::new()));
    }
    let mut types = Types::default();
    let mut flags: Vec<ChunkFlags> = Vec::new();
    if text.eq_ignore_ascii_case("none") {
        return Ok((types, flags));
    }
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (name, letters) = part.split_once(':').unwrap_or((part, ""));
        let at = CHUNKS
            .iter()
            .position(|(n, ..)| n.eq_ignore_ascii_case(name));
        let Some((at, (name, kind, known))) = at.and_then(|at| Some((at, CHUNKS.get(at)?))) else {
            let upper = name.to_ascii_uppercase();
            let near = crate::diagnostic::nearest(&upper, CHUNKS.iter().map(|c| c.0));
            let bad = Bad::new(format!("'{name}' is no chunk type of SCTP"))
                .said(format!("Unknown sctp chunk `{name}'"));
            return Err(match near {
                Some(near) => bad.help(near),
                None => bad.help("such as DATA, INIT, ABORT, or ALL, or NONE"),
            });
        };
        types.insert(*kind);
        for letter in letters.chars() {
            let Some(place) = known.find(letter.to_ascii_uppercase()) else {
                let names: String = known.chars().filter(|c| *c != '-').collect();
                let bad = Bad::new(format!("chunk {name} has no flag '{letter}'"))
                    .said(format!("Invalid flags for chunk type {at}"));
                return Err(if names.is_empty() {
                    bad.help(format!("{name} alone: it has no flags"))
                } else {
                    bad.help(format!(
                        "of {names}, in capitals those that must be set, in small letters those that must not"
                    ))
                });
            };
            let bit = 0x80u8 >> place;
            // The programs remember flags by the place in their list, which is the number only up to 14:
            // those of I_DATA and others behind it are kept and have no effect.
            let kind = at as u8;
            let place = match flags.iter().position(|f| f.kind == kind) {
                Some(place) => place,
                None if flags.len() == MAX_FLAGS => {
                    return Err(Bad::new(format!(
                        "more than {MAX_FLAGS} chunk types with flags; a rule can have {MAX_FLAGS}"
                    )));
                }
                None => {
                    flags.push(ChunkFlags {
                        kind,
                        mask: 0,
                        set: 0,
                    });
                    flags.len() - 1
                }
            };
            if let Some(flags) = flags.get_mut(place) {
                flags.mask |= bit;
                if letter.is_ascii_uppercase() {
                    flags.set |= bit;
                }
            }
        }
    }
    flags.retain(|f| types.contains(f.kind));
    Ok((types, flags))
}

impl Chunks {
    fn show(&self, numeric: bool) -> String {
        let mode = MODES.iter().find(|(_, m)| *m == self.mode);
        let mode = mode.map_or("", |(n, _)| n);
        if self.types.is_empty() {
            return format!("{mode} NONE");
        }
        if self.types == Types::ALL {
            return format!("{mode} ALL");
        }
        let parts: Vec<String> = (0..=255u8)
            .filter(|kind| self.types.contains(*kind))
            .map(|kind| {
                let row = CHUNKS.iter().find(|(_, k, _)| *k == kind);
                let mut text = match row {
                    Some((name, ..)) if !numeric => (*name).to_string(),
                    None if !numeric => String::new(),
                    _ => format!("0x{kind:04X}"),
                };
                let flags = self.flags.iter().find(|f| f.kind == kind);
                if let (Some(flags), Some((.., letters))) = (flags, row) {
                    text.push(':');
                    for (place, letter) in letters.chars().enumerate() {
                        let bit = 0x80u8 >> place;
                        if flags.set & bit != 0 {
                            text.push(letter);
                        } else if flags.mask & bit != 0 {
                            text.push(letter.to_ascii_lowercase());
                        }
                    }
                }
                text
            })
            .collect();
        format!("{mode} {}", parts.join(","))
    }
}

/// Services that have a port of SCTP; others are not taken, as the programs look them up for SCTP.
const SERVICES: [(&str, u16); 1] = [("amqp", 5672)];

fn port(text: &str) -> Value<u16> {
    match SERVICES.iter().find(|(name, _)| *name == text) {
        Some((_, port)) => Ok(*port),
        None => read::short(text).map_err(|_| {
            Bad::new(format!("'{text}' is no port, and no service of SCTP"))
                .help("a number from 0 to 65535")
                .said(format!("invalid port/service `{text}' specified"))
        }),
    }
}

impl Spec for Sctp {
    const ROW: Extension = Extension::new("sctp", Families::Both, "Ports and chunks of SCTP.")
        .options(&[
            ports::SPORT,
            ports::DPORT,
            opt(
                "chunk-types",
                "any|all|only CHUNK[:FLAGS][,...]",
                "any or all of these chunks are there, or no others; flags in capitals must be set, \
                 others must not",
            )
            .two()
            .not(),
        ])
        .protocols(&[proto::SCTP])
        .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let ports = |t: &str| value::port_range_by(t, port);
        let chunks = match loaded.find("chunk-types") {
            Some(given) => {
                let mode = given.parse(0, mode)?;
                let (types, flags) = given.parse(1, chunks)?;
                Some(Not {
                    negated: given.negated,
                    value: Chunks { mode, types, flags },
                })
            }
            None => None,
        };
        Ok(Sctp {
            source: loaded.not("sport", ports)?,
            destination: loaded.not("dport", ports)?,
            chunks,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("sport", &self.source, write::ports);
        out.maybe("dport", &self.destination, write::ports);
        out.maybe("chunk-types", &self.chunks, |c| c.show(false));
    }

    fn list(&self, out: &mut Out) {
        let service = |port: u16| SERVICES.iter().find(|(_, p)| *p == port).map(|(n, _)| *n);
        out.word("sctp");
        ports::list_by(out, "spt", &self.source, service);
        ports::list_by(out, "dpt", &self.destination, service);
        if let Some(not) = &self.chunks {
            out.bang(not.negated);
            out.word(not.value.show(out.numeric));
        }
    }
}
