//! `-m conntrack` and `-m state`.

use super::prelude::*;

/// Connection states as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct StateSet(pub u8);

impl StateSet {
    /// INVALID.
    pub const INVALID: u8 = 1;
    /// NEW.
    pub const NEW: u8 = 2;
    /// RELATED.
    pub const RELATED: u8 = 4;
    /// ESTABLISHED.
    pub const ESTABLISHED: u8 = 8;
    /// UNTRACKED.
    pub const UNTRACKED: u8 = 16;
    /// SNAT (virtual).
    pub const SNAT: u8 = 32;
    /// DNAT (virtual).
    pub const DNAT: u8 = 64;

    /// Names in the order in which iptables-save prints them.
    pub const NAMES: [(&'static str, u8); 7] = [
        ("INVALID", Self::INVALID),
        ("NEW", Self::NEW),
        ("RELATED", Self::RELATED),
        ("ESTABLISHED", Self::ESTABLISHED),
        ("UNTRACKED", Self::UNTRACKED),
        ("SNAT", Self::SNAT),
        ("DNAT", Self::DNAT),
    ];

    fn read(text: &str, names: &[(&str, u8)]) -> Value<Self> {
        value::short_names(text, names, "connection state").map(|set| StateSet(set as u8))
    }

    fn write(&self) -> String {
        let names = Self::NAMES.iter().map(|(n, b)| (*n, u64::from(*b)));
        write::named(u64::from(self.0), names)
    }
}

/// `-m state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(pub Not<StateSet>);

impl Spec for State {
    const ROW: Extension = Extension::new(
        "state",
        Families::Both,
        "The state of the packet's connection; conntrack has more.",
    )
    .options(&[opt(
        "state",
        "STATE[,STATE]",
        "INVALID, NEW, RELATED, ESTABLISHED or UNTRACKED",
    )
    .not()
    .required()])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let names = &StateSet::NAMES[..5];
        loaded
            .need_not("state", |t| StateSet::read(t, names))
            .map(State)
    }

    fn write(&self, out: &mut Out) {
        out.not("state", &self.0, StateSet::write);
    }

    fn list(&self, out: &mut Out) {
        out.bare(|out| self.write(out));
    }
}

/// Status words of `--ctstatus` as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct StatusSet(pub u8);

impl StatusSet {
    /// Words and bits in printing order; NONE is the empty set.
    pub const NAMES: [(&'static str, u8); 4] = [
        ("EXPECTED", 1),
        ("SEEN_REPLY", 2),
        ("ASSURED", 4),
        ("CONFIRMED", 8),
    ];

    fn read(text: &str) -> Value<Self> {
        let [a, b, c, d] = Self::NAMES;
        let names = [("NONE", 0), a, b, c, d];
        value::short_names(text, &names, "connection status").map(|s| StatusSet(s as u8))
    }

    fn write(&self) -> String {
        let names = Self::NAMES.iter().map(|(n, b)| (*n, u64::from(*b)));
        write::named(u64::from(self.0), names)
    }
}

/// `-m conntrack`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Conntrack {
    /// `--ctstate`.
    pub state: Option<Not<StateSet>>,
    /// `--ctproto`.
    pub protocol: Option<Not<u8>>,
    /// `--ctorigsrc`.
    pub orig_source: Option<Not<Net>>,
    /// `--ctorigdst`.
    pub orig_destination: Option<Not<Net>>,
    /// `--ctreplsrc`.
    pub repl_source: Option<Not<Net>>,
    /// `--ctrepldst`.
    pub repl_destination: Option<Not<Net>>,
    /// `--ctorigsrcport`.
    pub orig_source_port: Option<Not<PortRange>>,
    /// `--ctorigdstport`.
    pub orig_destination_port: Option<Not<PortRange>>,
    /// `--ctreplsrcport`.
    pub repl_source_port: Option<Not<PortRange>>,
    /// `--ctrepldstport`.
    pub repl_destination_port: Option<Not<PortRange>>,
    /// `--ctstatus`.
    pub status: Option<Not<StatusSet>>,
    /// `--ctexpire`, seconds from first to last.
    pub expire: Option<Not<(u32, u32)>>,
    /// `--ctdir`: `true` for ORIGINAL.
    pub original: Option<bool>,
}

const PORTS: &str = "PORT[:PORT]";
const NET: &str = "ADDRESS[/MASK]";

impl Spec for Conntrack {
    const ROW: Extension = Extension::new(
        "conntrack",
        Families::Both,
        "State, status, addresses and lifetime of the packet's connection.",
    )
    .options(&[
        opt(
            "ctstate",
            "STATE[,STATE]",
            "INVALID, NEW, RELATED, ESTABLISHED, UNTRACKED, SNAT or DNAT",
        )
        .not(),
        opt("ctproto", "PROTOCOL", "protocol of the connection").not(),
        opt("ctorigsrc", NET, "source of the original direction").not(),
        opt("ctorigdst", NET, "destination of the original direction").not(),
        opt("ctreplsrc", NET, "source of the reply direction").not(),
        opt("ctrepldst", NET, "destination of the reply direction").not(),
        opt(
            "ctorigsrcport",
            PORTS,
            "source port of the original direction",
        )
        .not(),
        opt(
            "ctorigdstport",
            PORTS,
            "destination port of the original direction",
        )
        .not(),
        opt("ctreplsrcport", PORTS, "source port of the reply direction").not(),
        opt(
            "ctrepldstport",
            PORTS,
            "destination port of the reply direction",
        )
        .not(),
        opt(
            "ctstatus",
            "STATUS[,STATUS]",
            "NONE, EXPECTED, SEEN_REPLY, ASSURED or CONFIRMED",
        )
        .not(),
        opt(
            "ctexpire",
            "SECONDS[:SECONDS]",
            "time that is left to the connection",
        )
        .not(),
        opt("ctdir", "DIRECTION", "ORIGINAL or REPLY"),
    ])
    .needs(&[Need::Connection]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let net = |t: &str| value::host_mask(t, l.family);
        let direction = |t: &str| match t.to_ascii_uppercase().as_str() {
            "ORIGINAL" => Ok(true),
            "REPLY" => Ok(false),
            _ => Err(Bad::new(format!("'{t}' is no direction")).help("ORIGINAL or REPLY")),
        };
        let expire = l.not("ctexpire", |t| {
            value::number_range(t, u64::from(u32::MAX)).map(|(a, b)| (a as u32, b as u32))
        })?;
        let original = l.plain("ctdir", direction)?;
        if l.given.is_empty() {
            return Err(l.missing("ctstate, or another"));
        }
        Ok(Conntrack {
            state: l.not("ctstate", |t| StateSet::read(t, &StateSet::NAMES))?,
            protocol: l.not("ctproto", value::protocol)?,
            orig_source: l.not("ctorigsrc", net)?,
            orig_destination: l.not("ctorigdst", net)?,
            repl_source: l.not("ctreplsrc", net)?,
            repl_destination: l.not("ctrepldst", net)?,
            orig_source_port: l.not("ctorigsrcport", value::resolved_ports)?,
            orig_destination_port: l.not("ctorigdstport", value::resolved_ports)?,
            repl_source_port: l.not("ctreplsrcport", value::resolved_ports)?,
            repl_destination_port: l.not("ctrepldstport", value::resolved_ports)?,
            status: l.not("ctstatus", StatusSet::read)?,
            expire,
            original,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("ctstate", &self.state, StateSet::write);
        out.maybe("ctproto", &self.protocol, u8::to_string);
        out.maybe("ctorigsrc", &self.orig_source, write::bare_net);
        out.maybe("ctorigdst", &self.orig_destination, write::bare_net);
        out.maybe("ctreplsrc", &self.repl_source, write::bare_net);
        out.maybe("ctrepldst", &self.repl_destination, write::bare_net);
        out.maybe("ctorigsrcport", &self.orig_source_port, write::ports);
        out.maybe("ctorigdstport", &self.orig_destination_port, write::ports);
        out.maybe("ctreplsrcport", &self.repl_source_port, write::ports);
        out.maybe("ctrepldstport", &self.repl_destination_port, write::ports);
        out.maybe("ctstatus", &self.status, StatusSet::write);
        out.maybe("ctexpire", &self.expire, |(a, b)| write::range(a, b));
        match self.original {
            Some(true) => out.opt("ctdir", "ORIGINAL"),
            Some(false) => out.opt("ctdir", "REPLY"),
            None => {}
        }
    }

    fn list(&self, out: &mut Out) {
        out.bare(|out| self.write(out));
    }
}
