//! `-j SET`.

use super::prelude::*;
use crate::catalogue::matches::set::SetRef;

/// `-j SET`: adds to a set, deletes from a set, takes marks from a set (ipset).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// `--add-set`.
    pub add: Option<SetRef>,
    /// `--exist`: what is there is renewed.
    pub exist: bool,
    /// `--timeout`: seconds.
    pub timeout: Option<u32>,
    /// `--del-set`.
    pub delete: Option<SetRef>,
    /// `--map-set`.
    pub map: Option<SetRef>,
    /// `--map-mark`.
    pub map_mark: bool,
    /// `--map-prio`.
    pub map_priority: bool,
    /// `--map-queue`.
    pub map_queue: bool,
}

impl Spec for Set {
    const ROW: Extension = Extension::new(
        "SET",
        Families::Both,
        "Adds to a set (ipset), deletes from one, or takes the packet's mark from one.",
    )
    .options(&[
        opt(
            "add-set",
            "NAME FLAGS",
            "add to the set; src or dst for each part",
        )
        .two()
        .not(),
        opt("del-set", "NAME FLAGS", "delete from the set")
            .two()
            .not(),
        opt("map-set", "NAME FLAGS", "look up in the set")
            .two()
            .not(),
        opt("timeout", "SECONDS", "how long what is added stays")
            .not()
            .many()
            .requires(&["add-set"]),
        flag("exist", "renew what is there already")
            .not()
            .many()
            .requires(&["add-set"]),
        flag("map-mark", "take the packet's mark from the element")
            .not()
            .many()
            .requires(&["map-set"]),
        flag("map-prio", "take the packet's class from the element")
            .not()
            .many()
            .requires(&["map-set"]),
        flag("map-queue", "take the transmit queue from the element")
            .not()
            .many()
            .requires(&["map-set"]),
    ])
    .needs(&[
        Need::Sets,
        Need::Network,
        Need::Transport,
        Need::Memory,
        Need::Clock,
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let set = |name: &str| l.find(name).map(|g| SetRef::read(l, g)).transpose();
        let target = Set {
            add: set("add-set")?,
            exist: l.has("exist"),
            timeout: l.plain("timeout", |t| {
                value::number(t, u64::from(u32::MAX - 1)).map(|n| n as u32)
            })?,
            delete: set("del-set")?,
            map: set("map-set")?,
            map_mark: l.has("map-mark"),
            map_priority: l.has("map-prio"),
            map_queue: l.has("map-queue"),
        };
        if target.add.is_none() && target.delete.is_none() && target.map.is_none() {
            return Err(l.missing("add-set, --del-set or --map-set"));
        }
        let maps = target.map_mark || target.map_priority || target.map_queue;
        if target.map.is_some() && !maps {
            return Err(l.missing("map-mark, --map-prio or --map-queue"));
        }
        Ok(target)
    }

    fn write(&self, out: &mut Out) {
        if let Some(add) = &self.add {
            add.write("add-set", out);
        }
        if self.exist {
            out.flag("exist");
        }
        if let Some(timeout) = self.timeout {
            out.opt("timeout", timeout);
        }
        if let Some(delete) = &self.delete {
            delete.write("del-set", out);
        }
        if let Some(map) = &self.map {
            map.write("map-set", out);
        }
        for (set, name) in [
            (self.map_mark, "map-mark"),
            (self.map_priority, "map-prio"),
            (self.map_queue, "map-queue"),
        ] {
            if set {
                out.flag(name);
            }
        }
    }

    fn tables(&self) -> &'static [TableKind] {
        match self.map {
            Some(_) => &[TableKind::Mangle],
            None => &[],
        }
    }

    fn hooks(&self) -> &'static [Hook] {
        if self.map_priority || self.map_queue {
            &[Hook::Forward, Hook::Output, Hook::Postrouting]
        } else {
            &[]
        }
    }
}
