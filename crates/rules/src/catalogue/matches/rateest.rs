//! `-m rateest`.

use std::cmp::Ordering;

use super::prelude::*;

/// `-m rateest`: compares the rates that `-j RATEEST` estimates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rateest {
    /// The estimator.
    pub name: String,
    /// Another one, to compare it with; else the rates of the rule.
    pub other: Option<String>,
    /// What is left of the rule's rates is compared, not the estimated rates.
    pub delta: bool,
    /// Bytes a second are compared: the rule's first and second rate.
    pub bytes: Option<(u32, u32)>,
    /// Packets a second are compared.
    pub packets: Option<(u32, u32)>,
    /// How they compare.
    pub order: Not<Ordering>,
}

/// Bits a second of the units, without regard to case.
const UNITS: [(&str, f64); 18] = [
    ("bit", 1.),
    ("Kibit", 1024.),
    ("kbit", 1000.),
    ("Mibit", 1_048_576.),
    ("mbit", 1e6),
    ("Gibit", 1_073_741_824.),
    ("gbit", 1e9),
    ("Tibit", 1_099_511_627_776.),
    ("tbit", 1e12),
    ("Bps", 8.),
    ("KiBps", 8192.),
    ("KBps", 8000.),
    ("MiBps", 8_388_608.),
    ("MBps", 8e6),
    ("GiBps", 8_589_934_592.),
    ("GBps", 8e9),
    ("TiBps", 8_796_093_022_208.),
    ("TBps", 8e12),
];

/// A number at the beginning of a text, and what follows it.
pub(crate) fn decimal(text: &str) -> Option<(f64, &str)> {
    (1..=text.len())
        .rev()
        .filter(|end| text.is_char_boundary(*end))
        .find_map(|end| {
            let (number, unit) = text.split_at(end);
            let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
            let number = number.bytes().all(plain).then(|| number.parse().ok())?;
            number.map(|n: f64| (n, unit))
        })
}

/// A rate in bytes a second.
fn rate(text: &str) -> Value<u32> {
    let bad = || {
        Bad::new(format!("'{text}' is not a rate"))
            .help("a number of bits, or with a unit such as kbit, mbit, KBps")
    };
    let (number, unit) = decimal(text).ok_or_else(bad)?;
    let scale = match unit {
        "" => 1.,
        _ => {
            let known = UNITS.iter().find(|(n, _)| n.eq_ignore_ascii_case(unit));
            known.ok_or_else(bad)?.1
        }
    };
    Ok((number * scale / 8.) as u32)
}

/// Bits a second as the real program rounds them.
fn show(bytes: u32) -> String {
    let bits = f64::from(bytes) * 8.;
    if bits >= 1e9 {
        format!("{:.0}Mbit", bits / 1e6)
    } else if bits >= 1e6 {
        format!("{:.0}Kbit", bits / 1e3)
    } else {
        format!("{bits:.0}bit")
    }
}

const ORDERS: [(&str, Ordering); 3] = [
    ("lt", Ordering::Less),
    ("gt", Ordering::Greater),
    ("eq", Ordering::Equal),
];

impl Rateest {
    fn order(&self, out: &mut Out, dashes: &str) {
        let name = ORDERS.iter().find(|(_, o)| *o == self.order.value);
        out.bang(self.order.negated);
        out.word(format_args!("{dashes}{}", name.map_or("", |(n, _)| n)));
    }

    fn save(&self, out: &mut Out, name: &str, rates: (u32, u32), show: fn(u32) -> String) {
        if self.delta {
            out.opt(&format!("rateest-{name}1"), show(rates.0));
            self.order(out, "--rateest-");
            out.flag(&format!("rateest-{name}2"));
        } else {
            self.order(out, "--rateest-");
            out.flag(&format!("rateest-{name}"));
        }
        if self.delta || self.other.is_none() {
            out.word(show(rates.1));
        }
    }
}

impl Spec for Rateest {
    const ROW: Extension = Extension::new("rateest", Families::Both, "Compares estimated rates.")
        .options(&[
            opt("rateest1", "NAME", "the estimator, fed by -j RATEEST").alias(&["rateest"]),
            opt("rateest2", "NAME", "another one to compare it with"),
            flag(
                "rateest-delta",
                "compare what the rates leave of the given ones",
            ),
            flag("rateest-lt", "the first is less").not(),
            flag("rateest-gt", "the first is greater").not(),
            flag("rateest-eq", "they are equal").not(),
            opt("rateest-bps1", "RATE", "bits a second of the first").optional(),
            opt("rateest-pps1", "NUMBER", "packets a second of the first").optional(),
            opt("rateest-bps2", "RATE", "bits a second of the second")
                .alias(&["rateest-bps"])
                .optional(),
            opt("rateest-pps2", "NUMBER", "packets a second of the second")
                .alias(&["rateest-pps"])
                .optional(),
        ])
        .needs(&[Need::Memory, Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let optional = |name: &str, parse: fn(&str) -> Value<u32>| match l.find(name) {
            Some(given) if given.values.is_empty() => Ok(Some(0)),
            Some(given) => given.parse(0, parse).map(Some),
            None => Ok(None),
        };
        let pair = |first: Option<u32>, second: Option<u32>| {
            let there = first.is_some() || second.is_some();
            there.then(|| (first.unwrap_or(0), second.unwrap_or(0)))
        };
        let bytes = pair(
            optional("rateest-bps1", rate)?,
            optional("rateest-bps2", rate)?,
        );
        let packets = pair(
            optional("rateest-pps1", read::word)?,
            optional("rateest-pps2", read::word)?,
        );
        if bytes.is_none() && packets.is_none() {
            return Err(l.missing("rateest-bps or --rateest-pps"));
        }
        // The last of several counts, and any '!' holds.
        let mut order = None;
        let mut negated = false;
        for given in &l.given {
            let name = given.option.name.strip_prefix("rateest-").unwrap_or("");
            if let Some((_, which)) = ORDERS.iter().find(|(n, _)| *n == name) {
                order = Some(*which);
                negated |= given.negated;
            }
        }
        let value = l.required(order, "rateest-lt, --rateest-gt or --rateest-eq")?;
        Ok(Rateest {
            name: l.need("rateest1", read::cut(15))?,
            other: l.plain("rateest2", read::cut(15))?,
            delta: l.has("rateest-delta"),
            bytes,
            packets,
            order: Not { negated, value },
        })
    }

    fn write(&self, out: &mut Out) {
        if self.delta {
            out.flag("rateest-delta");
        }
        let first = if self.other.is_some() {
            "rateest1"
        } else {
            "rateest"
        };
        out.opt(first, &self.name);
        if let Some(rates) = self.bytes {
            self.save(out, "bps", rates, show);
        }
        if let Some(rates) = self.packets {
            self.save(out, "pps", rates, |n| n.to_string());
        }
        if let Some(other) = &self.other {
            out.opt("rateest2", other);
        }
    }

    fn list(&self, out: &mut Out) {
        let numeric = out.numeric;
        let shown = |rate: u32| match numeric {
            true => rate.to_string(),
            false => show(rate),
        };
        let (bytes, packets) = (self.bytes.map(|(a, b)| (shown(a), shown(b))), self.packets);
        out.word(format_args!("rateest match {}", self.name));
        if self.delta {
            out.word("delta");
        }
        if let Some((first, second)) = &bytes {
            out.word("bps");
            if self.delta {
                out.word(first);
            }
            if self.other.is_none() {
                out.word(second);
                self.order(out, "");
            }
        }
        if let Some((first, second)) = packets {
            out.word("pps");
            if self.delta {
                out.word(first);
            }
            if self.other.is_none() {
                self.order(out, "");
                out.word(second);
            }
        }
        if let Some(other) = &self.other {
            self.order(out, "");
            out.word(other);
            if let Some((_, second)) = &bytes {
                out.word("bps");
                if self.delta {
                    out.word(second);
                }
            }
            if let Some((_, second)) = packets {
                out.word("pps");
                if self.delta {
                    out.word(second);
                }
            }
        }
    }
}
