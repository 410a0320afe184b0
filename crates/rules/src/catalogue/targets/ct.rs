//! `-j CT` and `-j NOTRACK`.

use super::prelude::*;
use crate::names;

/// Direction of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ZoneDirection {
    /// `--zone`.
    Both,
    /// `--zone-orig`.
    Original,
    /// `--zone-reply`.
    Reply,
}

/// `-j CT`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ct {
    /// `--notrack`.
    pub notrack: bool,
    /// `--helper`.
    pub helper: Option<String>,
    /// `--zone…`; the id `None` means the packet's mark.
    pub zone: Option<(Option<u16>, ZoneDirection)>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// `--ctevents`.
    pub events: Option<EventSet>,
    /// `--expevents`; there is but one event, of a new expectation.
    pub expect_events: bool,
}

/// Events of a connection as a set, by position in [`EventSet::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct EventSet(pub u16);

impl EventSet {
    /// Words in the order in which they are printed (kernel `enum ip_conntrack_events`).
    pub const NAMES: [&'static str; 10] = [
        "new",
        "related",
        "destroy",
        "reply",
        "assured",
        "protoinfo",
        "helper",
        "mark",
        "natseqinfo",
        "secmark",
    ];

    fn bits() -> impl Iterator<Item = (&'static str, u64)> {
        Self::NAMES.iter().enumerate().map(|(i, n)| (*n, 1u64 << i))
    }

    fn read(text: &str) -> Value<Self> {
        let mut set = 0;
        for word in text.split(',') {
            match Self::bits().find(|(name, _)| *name == word) {
                Some((_, bit)) => set |= bit,
                None => return Err(unknown_event(word, &Self::NAMES)),
            }
        }
        Ok(EventSet(set as u16))
    }
}

fn unknown_event(word: &str, known: &[&str]) -> Bad {
    let bad = Bad::new(format!("'{word}' is no event"));
    match crate::diagnostic::nearest(word, known.iter().copied()) {
        Some(near) => bad.help(near),
        None => bad.help(format!("one of {}", known.join(", "))),
    }
}

const ZONES: [(&str, ZoneDirection); 3] = [
    ("zone", ZoneDirection::Both),
    ("zone-orig", ZoneDirection::Original),
    ("zone-reply", ZoneDirection::Reply),
];

impl Spec for Ct {
    const ROW: Extension = Extension::new(
        "CT",
        Families::Both,
        "Says how the packet's connection is to be tracked.",
    )
    .options(&[
        flag("notrack", "not at all"),
        opt("helper", "NAME", "with that helper"),
        opt("zone", "ID", "in that zone; mark: the packet's mark"),
        opt("zone-orig", "ID", "the original direction in that zone"),
        opt("zone-reply", "ID", "the reply direction in that zone"),
        opt("timeout", "NAME", "with the timeouts of that policy"),
        opt("ctevents", "EVENT[,EVENT]", "only these events are told"),
        opt(
            "expevents",
            "EVENT[,EVENT]",
            "only these events of expectations are told",
        ),
    ])
    .tables(&[TableKind::Raw])
    .needs(&[Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let zone = zone(l)?;
        // An empty name is none.
        let helper = l.plain("helper", |name| match name {
            "" => Ok(String::new()),
            name => helper_fits(name, l).map(|()| name.to_string()),
        })?;
        if let Some(given) = l.find("timeout")
            && l.protocol.as_ref().is_none_or(|p| p.negated)
        {
            let bad = Bad::new("a policy of timeouts needs a protocol in the rule");
            return Err(given.fault(bad.help("-p tcp, or whose timeouts they are")));
        }
        let expected = |text: &str| match text.split(',').find(|word| *word != "new") {
            Some(word) => Err(unknown_event(word, &["new"])),
            None => Ok(()),
        };
        Ok(Ct {
            notrack: l.has("notrack"),
            helper: helper.filter(|name| !name.is_empty()),
            zone,
            timeout: l.plain("timeout", read::text)?,
            events: l.plain("ctevents", EventSet::read)?,
            expect_events: l.plain("expevents", expected)?.is_some(),
        })
    }

    fn write(&self, out: &mut Out) {
        if self.notrack {
            out.flag("notrack");
        }
        for (option, value) in [("helper", &self.helper), ("timeout", &self.timeout)] {
            if let Some(value) = value {
                out.opt(option, value);
            }
        }
        if let Some(events) = self.events {
            out.opt(
                "ctevents",
                write::named(u64::from(events.0), EventSet::bits()),
            );
        }
        if self.expect_events {
            out.opt("expevents", "new");
        }
        // The common zone is not printed.
        if let Some((id, direction)) = self.zone.filter(|(id, _)| *id != Some(0)) {
            let option = ZONES.iter().find(|(_, d)| *d == direction);
            let id = id.map_or("mark".to_string(), |id| id.to_string());
            out.opt(option.map_or("zone", |(n, _)| n), id);
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("CT");
        out.bare(|out| self.write(out));
    }
}

/// The zone that the options say together: a later id takes the place of an earlier one, directions
/// stay, and both are as good as none.
fn zone(l: &Loaded) -> Result<Option<(Option<u16>, ZoneDirection)>, Fault> {
    let id = |t: &str| match t.eq_ignore_ascii_case("mark") {
        true => Ok(None),
        false => read::short(t).map(Some),
    };
    let mut zone: Option<(Option<u16>, ZoneDirection)> = None;
    for given in &l.given {
        let Some((_, direction)) = ZONES.iter().find(|(n, _)| *n == given.option.name) else {
            continue;
        };
        let id = given.parse(0, id)?;
        zone = Some(match zone {
            None => (id, *direction),
            Some((earlier, before)) => {
                let direction = match (before, *direction) {
                    (ZoneDirection::Both, now) => now,
                    (before, ZoneDirection::Both) => before,
                    (before, now) if before == now => now,
                    _ => ZoneDirection::Both,
                };
                // The mark, once asked for, stays.
                (earlier.and(id), direction)
            }
        });
    }
    Ok(zone)
}

/// The kernel's helpers, as `--helper` takes them: name, protocol, whether for IPv6 too.
const HELPERS: [(&str, u8, bool); 13] = [
    ("ftp", proto::TCP, true),
    ("tftp", proto::UDP, true),
    ("irc", proto::TCP, false),
    ("sip", proto::UDP, true),
    ("sip", proto::TCP, true),
    ("amanda", proto::UDP, true),
    ("pptp", proto::TCP, false),
    ("RAS", proto::UDP, true),
    ("Q.931", proto::TCP, true),
    ("netbios-ns", proto::UDP, false),
    ("snmp", proto::UDP, false),
    ("snmp_trap", proto::UDP, false),
    ("sane", proto::TCP, true),
];

/// Whether the kernel has a helper of this name for the rule's family and protocol (kernel
/// `xt_ct_set_helper`).
fn helper_fits(name: &str, loaded: &Loaded) -> Result<(), Bad> {
    let bad = |text: String| Bad::new(text).code("unknown-helper");
    let rows = || HELPERS.iter().filter(|(known, ..)| *known == name);
    if rows().next().is_none() {
        let mut bad = bad(format!("the kernel has no helper '{name}'"));
        bad.help = crate::diagnostic::nearest(name, HELPERS.iter().map(|(known, ..)| *known))
            .map(str::to_string);
        return Err(bad);
    }
    let of_family = || rows().filter(|(.., v6)| *v6 || loaded.family == Family::V4);
    if of_family().next().is_none() {
        return Err(bad(format!("helper '{name}' is for IPv4 only")));
    }
    let protocols: Vec<String> = of_family()
        .map(|(_, protocol, _)| names::protocol_name(*protocol))
        .collect();
    let numbers: Vec<u8> = of_family().map(|(_, protocol, _)| *protocol).collect();
    if loaded.is_protocol(&numbers) {
        return Ok(());
    }
    let text = match &loaded.protocol {
        Some(not) if !not.negated => {
            format!("helper '{name}' reads {} only", protocols.join(" and "))
        }
        _ => format!("helper '{name}' needs a protocol in the rule"),
    };
    Err(bad(text).help(format!("-p {}", protocols[0])))
}

/// `-j NOTRACK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notrack;

impl Spec for Notrack {
    const ROW: Extension = Extension::new(
        "NOTRACK",
        Families::Both,
        "The packet is not tracked; CT --notrack says the same.",
    )
    .tables(&[TableKind::Raw])
    .needs(&[Need::Connection]);

    fn read(_: &Loaded) -> Result<Self, Fault> {
        Ok(Notrack)
    }

    fn write(&self, _: &mut Out) {}

    fn list(&self, out: &mut Out) {
        out.word("NOTRACK");
    }
}
