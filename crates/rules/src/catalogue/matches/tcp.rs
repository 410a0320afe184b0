//! `-m tcp`.

use super::ports;
use super::prelude::*;

/// TCP flags: `mask` are looked at, `set` of them must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags {
    /// Flags that count.
    pub mask: u8,
    /// Flags that must be set.
    pub set: u8,
}

impl Flags {
    /// `--syn`: SYN of SYN, RST, ACK and FIN.
    pub const SYN: Flags = Flags {
        mask: 0x17,
        set: 0x02,
    };
}

/// `-m tcp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tcp {
    /// `--sport`.
    pub source: Option<Not<PortRange>>,
    /// `--dport`.
    pub destination: Option<Not<PortRange>>,
    /// `--tcp-flags`, `--syn`.
    pub flags: Option<Not<Flags>>,
    /// `--tcp-option`.
    pub option: Option<Not<u8>>,
    /// Written by iptables-nft in words of its own, where a test of all ports or of no flags is none at
    /// all, whatever stands before it; a match without a test is not printed.
    pub native: bool,
}

impl Tcp {
    /// As iptables-nft gives it to the kernel.
    fn native(self) -> Self {
        let plain = Tcp::default();
        let said = |not: &Option<Not<PortRange>>| !ports::all(not) || ports::negated(not);
        let flags = self.flags.as_ref();
        let flagged = flags.is_some_and(|f| f.negated || f.value.mask != 0 || f.value.set != 0);
        if self.option.is_some() || !(said(&self.source) || said(&self.destination) || flagged) {
            return self;
        }
        Tcp {
            source: self.source.filter(|not| !ports::all_of(not)),
            destination: self.destination.filter(|not| !ports::all_of(not)),
            flags: self.flags.filter(|not| not.value.mask != 0),
            native: true,
            ..plain
        }
    }

    /// What iptables-nft makes of this and of a later one when it reads them back.
    pub(super) fn merge(&mut self, later: &Tcp) {
        self.source = later.source.clone().or(self.source.take());
        self.destination = later.destination.clone().or(self.destination.take());
        self.flags = later.flags.clone().or(self.flags.take());
    }

    /// Whether nothing is left of it.
    pub(super) fn empty(&self) -> bool {
        self.source.is_none() && self.destination.is_none() && self.flags.is_none()
    }
}

/// Names of the flags and their bits.
const FLAGS: [(&str, u8); 8] = [
    ("FIN", 0x01),
    ("SYN", 0x02),
    ("RST", 0x04),
    ("PSH", 0x08),
    ("ACK", 0x10),
    ("URG", 0x20),
    ("ALL", 0x3f),
    ("NONE", 0),
];

impl Spec for Tcp {
    const ROW: Extension =
        Extension::new("tcp", Families::Both, "Ports, flags and options of TCP.")
            .options(&[
                ports::SPORT,
                ports::DPORT,
                flag("syn", "SYN and none of ACK, RST, FIN: a connection opens")
                    .not()
                    .excludes(&["tcp-flags"]),
                opt("tcp-flags", "MASK SET", "of the flags in MASK those in SET")
                    .two()
                    .not(),
                opt("tcp-option", "NUMBER", "an option of that number is there").not(),
            ])
            .protocols(&[proto::TCP])
            .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let flags = match (loaded.flag("syn"), loaded.find("tcp-flags")) {
            (Some(not), _) => Some(Not {
                negated: not.negated,
                value: Flags::SYN,
            }),
            (None, Some(given)) => {
                let names = |t: &str| {
                    // Empty places between commas do not count.
                    let words: Vec<&str> = t.split(',').filter(|w| !w.is_empty()).collect();
                    match words.is_empty() {
                        true => Ok(0),
                        false => {
                            value::names(&words.join(","), &FLAGS, "TCP flag").map(|s| s as u8)
                        }
                    }
                };
                Some(Not {
                    negated: given.negated,
                    value: Flags {
                        mask: given.parse(0, names)?,
                        set: given.parse(1, names)?,
                    },
                })
            }
            _ => None,
        };
        let ports = |t: &str| value::port_range_of(t, Some(proto::TCP));
        let option = |t: &str| value::number_from(t, 1, 255).map(|n| n as u8);
        let read = Tcp {
            source: loaded.not("sport", ports)?,
            destination: loaded.not("dport", ports)?,
            flags,
            option: loaded.not("tcp-option", option)?,
            native: false,
        };
        Ok(match loaded.tools {
            Tools::Legacy => read,
            Tools::Nft => read.native(),
        })
    }

    fn write(&self, out: &mut Out) {
        ports::write(out, "sport", &self.source);
        ports::write(out, "dport", &self.destination);
        out.maybe("tcp-option", &self.option, u8::to_string);
        // Flags of which none counts are left out, unless they are negated.
        let flagged = |not: &&Not<Flags>| not.negated || not.value.mask != 0;
        if let Some(not) = self.flags.as_ref().filter(flagged) {
            out.not("tcp-flags", not, |f| {
                format!("{} {}", flag_names(f.mask), flag_names(f.set))
            });
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("tcp");
        ports::list(out, "spt", &self.source);
        ports::list(out, "dpt", &self.destination);
        let bang = |negated| if negated { "!" } else { "" };
        if let Some(not) = &self.option {
            out.word(format_args!("option={}{}", bang(not.negated), not.value));
        }
        if let Some(not) = &self.flags {
            let Flags { mask, set } = not.value;
            let text = match out.numeric {
                true => format!("0x{mask:02X}/0x{set:02X}"),
                false => format!("{}/{}", flag_names(mask), flag_names(set)),
            };
            out.word(format_args!("flags:{}{text}", bang(not.negated)));
        }
    }
}

fn flag_names(bits: u8) -> String {
    let names = FLAGS[..6].iter().map(|(n, b)| (*n, u64::from(*b)));
    write::named(u64::from(bits), names)
}
