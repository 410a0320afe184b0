//! `-m dccp`.

use super::numbers::bang;
use super::ports;
use super::prelude::*;

/// `-m dccp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dccp {
    /// `--sport`. The programs take a range that is backwards: it holds no port.
    pub source: Option<Not<PortRange>>,
    /// `--dport`, likewise.
    pub destination: Option<Not<PortRange>>,
    /// `--dccp-types`: a bit for each packet type.
    pub types: Option<Not<u16>>,
    /// `--dccp-option`.
    pub option: Option<Not<u8>>,
}

/// Packet types in the order of their numbers.
const TYPES: [&str; 11] = [
    "REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC",
    "SYNCACK", "INVALID",
];

/// INVALID stands for all numbers from here on.
const INVALID: usize = 10;

fn types(text: &str) -> Value<u16> {
    let mut set = 0u16;
    for name in text.split(',').filter(|n| !n.is_empty()) {
        let Some(number) = TYPES.iter().position(|t| t.eq_ignore_ascii_case(name)) else {
            let upper = name.to_ascii_uppercase();
            let near = crate::diagnostic::nearest(&upper, TYPES.iter().copied());
            let help = near.map_or_else(|| format!("one of {}", TYPES.join(", ")), str::to_string);
            return Err(Bad::new(format!("'{name}' is no packet type of DCCP"))
                .help(help)
                .said(format!("Unknown DCCP type `{name}'")));
        };
        set |= if number == INVALID {
            !0 << INVALID
        } else {
            1 << number
        };
    }
    Ok(set)
}

/// A port as the C library's resolver reads it: decimal only, and of a number too big the lowest 16 bits.
fn port(text: &str) -> Value<u16> {
    read_port(text)
        .map_err(|bad| bad.said(format!("Port \"{text}\" does not resolve to anything.")))
}

fn read_port(text: &str) -> Value<u16> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse::<u64>()
            .ok()
            .filter(|n| (*n as u32) < 1 << 31)
            .map(|n| n as u16)
            .ok_or_else(|| Bad::new(format!("'{text}' is no port")).help("0 to 65535"));
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Bad::new(format!("'{text}' is no port")).help("a decimal number"));
    }
    value::port(text)
}

fn port_range(text: &str) -> Value<PortRange> {
    let end = |t: &str, missing: u16| match t {
        "" => Ok(missing),
        t => port(t),
    };
    let mut parts = text.split(':');
    let first = end(parts.next().unwrap_or(""), 0)?;
    let last = match parts.next() {
        Some(last) => end(last, 65_535)?,
        None => first,
    };
    if parts.next().is_some() {
        return Err(Bad::new(format!(
            "'{text}' has more than two ports; a range is FIRST:LAST"
        ))
        .said("{extension}: Too many components for option \"--{option}\" (max: 2)"));
    }
    Ok(PortRange { first, last })
}

/// The names of the types; INVALID once for all that it stands for.
fn named(set: u16) -> String {
    let names: Vec<&str> = TYPES
        .iter()
        .enumerate()
        .filter(|(n, _)| set & (1 << n) != 0)
        .map(|(_, name)| *name)
        .collect();
    names.join(",")
}

impl Spec for Dccp {
    const ROW: Extension = Extension::new(
        "dccp",
        Families::Both,
        "Ports, packet types and options of DCCP.",
    )
    .options(&[
        ports::SPORT,
        ports::DPORT,
        opt(
            "dccp-types",
            "TYPE[,...]",
            "REQUEST, RESPONSE, DATA, ACK, DATAACK, CLOSEREQ, CLOSE, RESET, SYNC, SYNCACK or INVALID",
        )
        .not(),
        opt("dccp-option", "NUMBER", "an option of that number is there").not(),
    ])
    .protocols(&[proto::DCCP])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let option = |t: &str| {
            let said = "{extension}: bad value for option \"--{option}\", or out of range (1-255).";
            match read::byte(t).map_err(|bad| bad.said(said))? {
                0 => Err(Bad::new("option 0 is padding, which no rule can ask for")
                    .help("1 to 255")
                    .said(said)),
                number => Ok(number),
            }
        };
        Ok(Dccp {
            source: loaded.not("sport", port_range)?,
            destination: loaded.not("dport", port_range)?,
            types: loaded.not("dccp-types", types)?,
            option: loaded.not("dccp-option", option)?,
        })
    }

    fn write(&self, out: &mut Out) {
        out.maybe("sport", &self.source, write::ports);
        out.maybe("dport", &self.destination, write::ports);
        out.maybe("dccp-types", &self.types, |set| named(*set));
        out.maybe("dccp-option", &self.option, u8::to_string);
    }

    fn list(&self, out: &mut Out) {
        out.word("dccp");
        ports::list_by(out, "spt", &self.source, |_| None);
        ports::list_by(out, "dpt", &self.destination, |_| None);
        if let Some(not) = &self.types {
            let text = if out.numeric {
                let numbers: Vec<String> = (0..16u16)
                    .filter(|n| not.value & (1 << n) != 0)
                    .map(|n| n.to_string())
                    .collect();
                numbers.join(",")
            } else {
                named(not.value)
            };
            out.bang(not.negated);
            out.word(text);
        }
        if let Some(not) = &self.option {
            out.word(format_args!("option={}{}", bang(not.negated), not.value));
        }
    }
}
