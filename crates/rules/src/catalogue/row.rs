//! What the catalogue says of an extension and of its options.

use palisade_wire::Family;

use super::read::Loaded;
use super::{Match, Target};
use crate::model::{Hook, TableKind};
use crate::value::Fault;

/// Which families know an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
    /// Both.
    Both,
}

/// Something outside the rule that an extension looks at or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The IP header and its extension headers or options.
    Network,
    /// The transport header.
    Transport,
    /// What the transport header carries.
    Payload,
    /// What the link layer said: MAC addresses, kind of frame.
    Link,
    /// Interfaces.
    Interfaces,
    /// The connection of the packet.
    Connection,
    /// The packet's mark.
    Mark,
    /// What rules remember between packets.
    Memory,
    /// The time of the packet.
    Clock,
    /// Addresses and routes of this host.
    Host,
    /// Sets of addresses (ipset).
    Sets,
    /// Sockets and processes of this host, which a capture does not show.
    Sockets,
    /// Chance.
    Chance,
}

/// Whether a match or target has its effect on packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// As the kernel does it.
    Full,
    /// It is read and printed; the reason why it is not evaluated.
    Kept(&'static str),
}

/// An option of an extension, as `xtables_option_parse` sees it.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Long name without dashes.
    pub name: &'static str,
    /// Other names of the same option.
    pub aliases: &'static [&'static str],
    /// How many words follow.
    pub values: u8,
    /// What the words are; empty for a flag.
    pub value: &'static str,
    /// What it says, in a few words.
    pub help: &'static str,
    /// Whether the word may be missing: it is there unless the next one begins with `-` or `!`.
    pub optional: bool,
    /// Whether `!` may stand before it.
    pub invert: bool,
    /// Whether it may stand several times.
    pub repeat: bool,
    /// Whether the extension is incomplete without it.
    pub required: bool,
    /// Options that cannot stand beside it.
    pub excludes: &'static [&'static str],
    /// Options that must stand beside it.
    pub requires: &'static [&'static str],
}

/// An option without a value.
pub const fn flag(name: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        aliases: &[],
        values: 0,
        value: "",
        help,
        optional: false,
        invert: false,
        repeat: false,
        required: false,
        excludes: &[],
        requires: &[],
    }
}

/// An option with one value.
pub const fn opt(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt {
        values: 1,
        value,
        ..flag(name, help)
    }
}

impl Opt {
    /// `!` may stand before it.
    pub const fn not(mut self) -> Self {
        self.invert = true;
        self
    }

    /// It takes two words.
    pub const fn two(mut self) -> Self {
        self.values = 2;
        self
    }

    /// Its word may be missing.
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It may be repeated.
    pub const fn many(mut self) -> Self {
        self.repeat = true;
        self
    }

    /// It must be there.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Other names.
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Options that cannot stand beside it.
    pub const fn excludes(mut self, others: &'static [&'static str]) -> Self {
        self.excludes = others;
        self
    }

    /// Options that must stand beside it.
    pub const fn requires(mut self, others: &'static [&'static str]) -> Self {
        self.requires = others;
        self
    }

    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Makes the model of an extension from its options.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    None,
    Match(fn(&Loaded) -> Result<Match, Fault>),
    Target(fn(&Loaded) -> Result<Target, Fault>),
}

/// A match or target.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Name as in `-m` or `-j`.
    pub name: &'static str,
    /// Other names that `-m` or `-j` take for it.
    pub aliases: &'static [&'static str],
    /// Families.
    pub families: Families,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Options.
    pub options: &'static [Opt],
    /// Protocols of `-p` that it goes with; empty: any or none.
    pub protocols: &'static [u8],
    /// Tables that take it; empty: all.
    pub tables: &'static [TableKind],
    /// Hooks that take it, by built-in chain and by user chains called from there; empty: all.
    pub hooks: &'static [Hook],
    /// What it looks at beside itself.
    pub needs: &'static [Need],
    /// Whether it is evaluated.
    pub evaluation: Evaluation,
    pub(crate) reader: Reader,
}

impl Extension {
    /// A row with a name, families and a sentence.
    pub const fn new(name: &'static str, families: Families, about: &'static str) -> Self {
        Extension {
            name,
            aliases: &[],
            families,
            about,
            options: &[],
            protocols: &[],
            tables: &[],
            hooks: &[],
            needs: &[],
            evaluation: Evaluation::Full,
            reader: Reader::None,
        }
    }

    /// Its options.
    pub const fn options(mut self, options: &'static [Opt]) -> Self {
        self.options = options;
        self
    }

    /// Other names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Goes with these protocols only.
    pub const fn protocols(mut self, protocols: &'static [u8]) -> Self {
        self.protocols = protocols;
        self
    }

    /// Works in these tables only.
    pub const fn tables(mut self, tables: &'static [TableKind]) -> Self {
        self.tables = tables;
        self
    }

    /// Works at these hooks only.
    pub const fn hooks(mut self, hooks: &'static [Hook]) -> Self {
        self.hooks = hooks;
        self
    }

    /// What it looks at.
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// It is not evaluated, for a reason.
    pub const fn kept(mut self, reason: &'static str) -> Self {
        self.evaluation = Evaluation::Kept(reason);
        self
    }

    pub(crate) const fn read_by(mut self, reader: Reader) -> Self {
        self.reader = reader;
        self
    }

    /// Whether a family knows it.
    pub fn knows(&self, family: Family) -> bool {
        match self.families {
            Families::Both => true,
            Families::V4 => family == Family::V4,
            Families::V6 => family == Family::V6,
        }
    }

    /// Whether `-m` or `-j` mean it by a name.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// An option by any of its names.
    pub fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|o| o.names().any(|n| n == name))
    }

    /// Whether it has its effect on packets.
    pub fn evaluated(&self) -> bool {
        self.evaluation == Evaluation::Full
    }
}
