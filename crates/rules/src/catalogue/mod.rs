//! Every match and target of the language, a file each: a row that says what options it has and where
//! it may stand, the model of it, how it is read and how iptables-save prints it.
//!
//! From the rows come the parser's knowledge of options, `palisade help match NAME`, the tables in
//! `docs/extensions.md` and the completions of shells.
//!
//! To add one: write its file with a struct that is a `Spec`, and name it in `matches/mod.rs` or
//! `targets/mod.rs`. What it does to packets is written in the engine.

pub mod matches;
mod prelude;
pub(crate) mod read;
mod row;
pub mod targets;
pub(crate) mod write;

use palisade_wire::{Family, proto};

pub use self::matches::{MATCHES, Match};
pub use self::row::*;
pub use self::targets::{TARGETS, Target};
pub use self::write::Out;

use self::read::Loaded;
use crate::model::{Hook, TableKind};
use crate::value::Fault;

/// A match or target of the catalogue.
pub(crate) trait Spec: Sized {
    /// What the catalogue says of it.
    const ROW: Extension;

    /// From the options, which have passed [`Loaded::check`].
    fn read(loaded: &Loaded) -> Result<Self, Fault>;

    /// The options as iptables-save prints them.
    fn write(&self, out: &mut Out);

    /// What `iptables -L` prints of it, every part with a blank before it; `out.numeric` with `-n`. By
    /// default the options as they are saved.
    fn list(&self, out: &mut Out) {
        self.write(out);
    }

    /// Tables that take it with these options; empty: all. By default what the row says.
    fn tables(&self) -> &'static [TableKind] {
        Self::ROW.tables
    }

    /// Hooks that take it with these options; empty: all. By default what the row says.
    fn hooks(&self) -> &'static [Hook] {
        Self::ROW.hooks
    }
}

/// The match of a name, by the names that iptables takes for it.
pub fn find_match(name: &str, family: Family) -> Option<&'static Extension> {
    MATCHES
        .iter()
        .find(|e| e.is_called(name) && e.knows(family))
}

/// The target of a name.
pub fn find_target(name: &str, family: Family) -> Option<&'static Extension> {
    TARGETS
        .iter()
        .find(|e| e.is_called(name) && e.knows(family))
}

/// The match that `-p` loads when one of its options appears.
pub fn protocol_match(protocol: u8, family: Family) -> Option<&'static Extension> {
    let name = match protocol {
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::ICMP => "icmp",
        proto::ICMPV6 => "icmp6",
        proto::SCTP => "sctp",
        proto::DCCP => "dccp",
        proto::ESP => "esp",
        proto::AH => "ah",
        proto::IPCOMP => "ipcomp",
        proto::MH => "mh",
        _ => return None,
    };
    find_match(name, family)
}
