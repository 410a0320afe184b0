//! `-m recent`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Side;
use super::prelude::*;

/// `-m recent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// What to do.
    pub action: Action,
    /// Whether `!` stood before the action.
    pub negated: bool,
    /// `--seconds`.
    pub seconds: Option<u32>,
    /// `--reap`.
    pub reap: bool,
    /// `--hitcount`.
    pub hitcount: Option<u32>,
    /// `--rttl`.
    pub rttl: bool,
    /// `--name`.
    pub name: String,
    /// `--mask`.
    pub mask: IpAddr,
    /// `--rsource` or `--rdest`.
    pub side: Side,
}

/// What a `recent` rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `--set`.
    Set,
    /// `--rcheck`.
    Check,
    /// `--update`.
    Update,
    /// `--remove`.
    Remove,
}

const ACTIONS: [(&str, Action); 4] = [
    ("set", Action::Set),
    ("rcheck", Action::Check),
    ("update", Action::Update),
    ("remove", Action::Remove),
];

impl Spec for Recent {
    const ROW: Extension = Extension::new(
        "recent",
        Families::Both,
        "Lists of addresses that were seen, and when.",
    )
    .options(&[
        flag("set", "enter the address, or say that it was seen now").not(),
        flag("rcheck", "the address is in the list").not(),
        flag("update", "as --rcheck, and say that it was seen now").not(),
        flag("remove", "the address was in the list, and is taken out").not(),
        opt("seconds", "SECONDS", "seen within that time"),
        flag("reap", "forget what is older than --seconds"),
        opt("hitcount", "NUMBER", "seen at least so often"),
        flag("rttl", "with the same time to live as then"),
        opt("name", "NAME", "of the list; DEFAULT without it"),
        flag("rsource", "the source is looked at").many(),
        flag("rdest", "the destination is looked at").many(),
        opt("mask", "MASK", "what of the address counts"),
    ])
    .needs(&[Need::Network, Need::Memory, Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let mut given = ACTIONS
            .iter()
            .filter_map(|(name, action)| l.find(name).map(|g| (g, *action)));
        let Some((first, action)) = given.next() else {
            return Err(l.missing("set, --rcheck, --update or --remove"));
        };
        if let Some((second, _)) = given.next() {
            return Err(second.fault(Bad::new(
                "only one of --set, --rcheck, --update and --remove can stand in a rule",
            )));
        }
        let seconds = l.plain("seconds", |t| {
            value::number_from(t, 1, u64::from(u32::MAX)).map(|n| n as u32)
        })?;
        let hitcount = l.plain("hitcount", |t| match read::word(t)? {
            count @ 65_536.. => Err(Bad::new(format!(
                "--hitcount {count}: the kernel remembers at most 65535 packets"
            ))),
            count => Ok(count),
        })?;
        // As many as none.
        let hitcount = hitcount.filter(|count| *count != 0);
        let reap = l.has("reap");
        if reap && seconds.is_none() {
            return Err(l.fault(Bad::new("--reap needs --seconds")));
        }
        if !matches!(action, Action::Check | Action::Update) {
            for option in ["seconds", "hitcount", "rttl", "reap"] {
                if option == "hitcount" && hitcount.is_none() {
                    continue;
                }
                if let Some(given) = l.find(option) {
                    let bad = format!("--{option} goes with --rcheck or --update only");
                    return Err(given.fault(Bad::new(bad)));
                }
            }
        }
        let mask = l.plain("mask", |t| value::host(t, l.family))?;
        Ok(Recent {
            action,
            negated: first.negated,
            seconds,
            reap,
            hitcount,
            rttl: l.has("rttl"),
            name: l
                .plain("name", name)?
                .unwrap_or_else(|| "DEFAULT".to_string()),
            mask: mask.unwrap_or(match l.family {
                Family::V4 => IpAddr::V4(Ipv4Addr::BROADCAST),
                Family::V6 => IpAddr::V6(Ipv6Addr::from(u128::MAX)),
            }),
            // The last one counts.
            side: l
                .given
                .iter()
                .rev()
                .find_map(|g| match g.option.name {
                    "rdest" => Some(Side::Destination),
                    "rsource" => Some(Side::Source),
                    _ => None,
                })
                .unwrap_or(Side::Source),
        })
    }

    fn write(&self, out: &mut Out) {
        out.bang(self.negated);
        let name = ACTIONS.iter().find(|(_, a)| *a == self.action);
        out.flag(name.map_or("", |(n, _)| n));
        if let Some(seconds) = self.seconds {
            // Printed as a signed number.
            out.opt("seconds", seconds as i32);
        }
        if self.reap {
            out.flag("reap");
        }
        if let Some(hits) = self.hitcount {
            out.opt("hitcount", hits);
        }
        if self.rttl {
            out.flag("rttl");
        }
        out.opt("name", &self.name);
        out.opt("mask", write::address(self.mask));
        out.flag(match self.side {
            Side::Destination => "rdest",
            _ => "rsource",
        });
    }

    fn list(&self, out: &mut Out) {
        out.bang(self.negated);
        out.word("recent:");
        out.word(match self.action {
            Action::Set => "SET",
            Action::Check => "CHECK",
            Action::Update => "UPDATE",
            Action::Remove => "REMOVE",
        });
        if let Some(seconds) = self.seconds {
            out.word(format_args!("seconds: {seconds}"));
        }
        if self.reap {
            out.word("reap");
        }
        if let Some(hits) = self.hitcount {
            out.word(format_args!("hit_count: {hits}"));
        }
        if self.rttl {
            out.word("TTL-Match");
        }
        let side = match self.side {
            Side::Destination => "dest",
            _ => "source",
        };
        out.word(format_args!(
            "name: {} side: {side} mask: {}",
            self.name, self.mask
        ));
    }
}

/// A list's name, which is a file's name under `/proc` (kernel `recent_mt_check`).
fn name(text: &str) -> Value<String> {
    let name = read::cut(199)(text)?;
    if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
        return Err(Bad::new(format!("'{name}' cannot be the name of a list"))
            .help("a name that a file may have"));
    }
    Ok(name)
}
