//! `-j LOG`.

use super::prelude::*;

/// `-j LOG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Syslog level 0 to 7; 4 is the default.
    pub level: u8,
    /// Prefix.
    pub prefix: String,
    /// `--log-tcp-sequence`.
    pub tcp_sequence: bool,
    /// `--log-tcp-options`.
    pub tcp_options: bool,
    /// `--log-ip-options`.
    pub ip_options: bool,
    /// `--log-uid`.
    pub uid: bool,
    /// `--log-macdecode`.
    pub macdecode: bool,
}

const LEVELS: [(&str, u8); 9] = [
    ("emerg", 0),
    ("alert", 1),
    ("crit", 2),
    ("error", 3),
    ("warning", 4),
    ("notice", 5),
    ("info", 6),
    ("debug", 7),
    ("panic", 0),
];

fn level(text: &str) -> Value<u8> {
    if let Ok(level) = value::number(text, 7) {
        return Ok(level as u8);
    }
    let known = LEVELS.iter().find(|(n, _)| *n == text);
    known.map(|(_, l)| *l).ok_or_else(|| {
        Bad::new(format!("'{text}' is no log level")).help(
            "a number from 0 to 7, or emerg, alert, crit, error, warning, notice, info, debug",
        )
    })
}

impl Spec for Log {
    const ROW: Extension = Extension::new(
        "LOG",
        Families::Both,
        "Writes the packet's header to the kernel's log.",
    )
    .options(&[
        opt(
            "log-level",
            "LEVEL",
            "0 to 7, or a name; warning without it",
        ),
        opt("log-prefix", "TEXT", "at most 29 bytes in front"),
        flag("log-tcp-sequence", "with sequence numbers"),
        flag("log-tcp-options", "with the options of TCP"),
        flag("log-ip-options", "with the options of IP"),
        flag("log-uid", "with the user of the socket"),
        flag("log-macdecode", "with MAC addresses and protocol"),
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        Ok(Log {
            level: l.plain("log-level", level)?.unwrap_or(4),
            prefix: l.plain("log-prefix", read::prefix(29))?.unwrap_or_default(),
            tcp_sequence: l.has("log-tcp-sequence"),
            tcp_options: l.has("log-tcp-options"),
            ip_options: l.has("log-ip-options"),
            uid: l.has("log-uid"),
            macdecode: l.has("log-macdecode"),
        })
    }

    fn write(&self, out: &mut Out) {
        if !self.prefix.is_empty() {
            out.opt("log-prefix", write::quoted(&self.prefix));
        }
        if self.level != 4 {
            out.opt("log-level", self.level);
        }
        for (set, option) in [
            (self.tcp_sequence, "log-tcp-sequence"),
            (self.tcp_options, "log-tcp-options"),
            (self.ip_options, "log-ip-options"),
            (self.uid, "log-uid"),
            (self.macdecode, "log-macdecode"),
        ] {
            if set {
                out.flag(option);
            }
        }
    }

    fn list(&self, out: &mut Out) {
        out.word("LOG");
        let flags = [
            (self.tcp_sequence, 1, "tcp-sequence"),
            (self.tcp_options, 2, "tcp-options"),
            (self.ip_options, 4, "ip-options"),
            (self.uid, 8, "uid"),
            (self.macdecode, 0x20, "macdecode"),
        ];
        let set = || flags.iter().filter(|(set, ..)| *set);
        if out.numeric {
            let bits: u32 = set().map(|(_, bit, _)| bit).sum();
            out.word(format_args!("flags {bits} level {}", self.level));
        } else {
            let name = match self.level {
                4 => "warn",
                level => LEVELS
                    .iter()
                    .find(|(_, l)| *l == level)
                    .map_or("", |(n, _)| n),
            };
            out.word(format_args!("level {name}"));
            for (_, _, word) in set() {
                out.word(word);
            }
        }
        if !self.prefix.is_empty() {
            out.word(format_args!("prefix \"{}\"", self.prefix));
        }
    }
}
