//! `-m hbh` and `-m dst`: options headers of IPv6.

use super::numbers::bang;
use super::prelude::*;

/// What both test of their header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the header in bytes.
    pub length: Option<Not<u32>>,
    /// The options that the header begins with, in this order.
    pub options: Option<Vec<HeaderOption>>,
}

/// An option of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderOption {
    /// Type.
    pub kind: u8,
    /// Length of its data, where that counts.
    pub length: Option<u8>,
}

/// Most options of one rule (kernel `IP6T_OPTS_OPTSNR`).
const MAX: usize = 16;

/// A number of which the lowest byte counts, as the programs read it: `-1` is 255.
fn low_byte(text: &str, what: &str) -> Value<u8> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let number = value::number(digits, u64::MAX).map_err(|_| {
        let real = if what == "type" { "opt" } else { what };
        let fault = match digits.starts_with(|c: char| c.is_ascii_digit()) {
            true => "error parsing",
            false => "no valid digits in",
        };
        Bad::new(format!("'{text}' is no {what} of an option"))
            .help("a number from 0 to 255")
            .said(format!("{{extension}}: {fault} {real} `{text}'"))
    })?;
    Ok(if negative {
        number.wrapping_neg() as u8
    } else {
        number as u8
    })
}

/// `TYPE[:LENGTH][,…]`.
fn options(text: &str) -> Value<Vec<HeaderOption>> {
    let mut list = Vec::new();
    for part in text.split(',') {
        if list.len() == MAX {
            return Err(
                Bad::new(format!("more than {MAX} options; a rule can test {MAX}"))
                    .said("too many addresses specified"),
            );
        }
        let (kind, length) = match part.split_once(':') {
            Some((kind, length)) => (kind, Some(length)),
            None => (part, None),
        };
        let kind = low_byte(kind, "type")?;
        if length.is_some() {
            if list.len() == MAX - 1 {
                return Err(Bad::new(format!("option number {MAX} can have no length"))
                    .said("too many ports specified"));
            }
            if kind == 0 {
                return Err(Bad::new("option 0 (Pad1) is one byte and has no length")
                    .help("0")
                    .said("PAD0 has not got length"));
            }
        }
        let length = length.map(|l| low_byte(l, "length")).transpose()?;
        list.push(HeaderOption {
            kind,
            // 255 is the kernel's word for any length.
            length: length.filter(|l| *l != 255),
        });
    }
    Ok(list)
}

fn shown(list: &[HeaderOption]) -> String {
    let parts: Vec<String> = list
        .iter()
        .map(|option| match option.length {
            Some(length) => format!("{}:{length}", option.kind),
            None => option.kind.to_string(),
        })
        .collect();
    parts.join(",")
}

impl Options {
    fn read(loaded: &Loaded, [length, opts]: [&str; 2]) -> Result<Self, Fault> {
        Ok(Options {
            length: loaded.not(length, read::word)?,
            options: loaded.plain(opts, options)?,
        })
    }

    fn write(&self, out: &mut Out, [length, opts]: [&str; 2]) {
        out.maybe(length, &self.length, u32::to_string);
        if let Some(list) = &self.options {
            out.opt(opts, shown(list));
        }
    }

    fn list(&self, out: &mut Out, name: &str) {
        out.word(name);
        if let Some(not) = &self.length {
            out.word(format_args!("length:{}{}", bang(not.negated), not.value));
        }
        if let Some(list) = &self.options {
            out.word(format_args!("opts {}", shown(list)));
        }
    }
}

/// `-m hbh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hbh(pub Options);

const HBH: [&str; 2] = ["hbh-len", "hbh-opts"];

impl Spec for Hbh {
    const ROW: Extension = Extension::new("hbh", Families::V6, "Hop-by-hop options of IPv6.")
        .options(&[
            opt("hbh-len", "BYTES", "length of the header").not(),
            opt(
                "hbh-opts",
                "TYPE[:LENGTH][,...]",
                "the options it begins with, in this order",
            ),
        ])
        .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Options::read(loaded, HBH).map(Hbh)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, HBH);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "hbh");
    }
}

/// `-m dst`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dst(pub Options);

const DST: [&str; 2] = ["dst-len", "dst-opts"];

impl Spec for Dst {
    const ROW: Extension =
        Extension::new("dst", Families::V6, "Options for the destination in IPv6.")
            .options(&[
                opt("dst-len", "BYTES", "length of the header").not(),
                opt(
                    "dst-opts",
                    "TYPE[:LENGTH][,...]",
                    "the options it begins with, in this order",
                ),
            ])
            .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        Options::read(loaded, DST).map(Dst)
    }

    fn write(&self, out: &mut Out) {
        self.0.write(out, DST);
    }

    fn list(&self, out: &mut Out) {
        self.0.list(out, "dst");
    }
}
