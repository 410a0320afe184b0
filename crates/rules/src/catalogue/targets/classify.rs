//! `-j CLASSIFY`.

use super::prelude::*;

/// `-j CLASSIFY`: sets the packet's priority class, which the queues of interfaces go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classify {
    /// The queue.
    pub major: u16,
    /// The class within it.
    pub minor: u16,
}

/// Sixteen bits of a hexadecimal number at the beginning of a text, and what follows it; as `sscanf` reads it,
/// with a sign, and with `0x` or without.
fn hex(text: &str) -> Option<(u16, &str)> {
    let text = text.trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let text = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()))
        .unwrap_or(text);
    let end = text.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let number = u64::from_str_radix(digits, 16).unwrap_or(u64::MAX);
    let number = if negative {
        number.wrapping_neg()
    } else {
        number
    };
    Some((number as u16, rest))
}

impl Spec for Classify {
    const ROW: Extension = Extension::new(
        "CLASSIFY",
        Families::Both,
        "Sets the packet's priority class.",
    )
    .options(&[opt("set-class", "MAJOR:MINOR", "the class, in hexadecimal").required()])
    .hooks(&[Hook::Output, Hook::Forward, Hook::Postrouting]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let class = |t: &str| {
            let (major, rest) = hex(t)?;
            let (minor, _) = hex(rest.strip_prefix(':')?)?;
            Some(Classify { major, minor })
        };
        loaded.need("set-class", |t| {
            class(t).ok_or_else(|| {
                Bad::new(format!("'{t}' is no class"))
                    .help("two hexadecimal numbers, such as 1:10")
                    .said(format!("Bad class value \"{t}\""))
            })
        })
    }

    fn write(&self, out: &mut Out) {
        out.opt(
            "set-class",
            format_args!("{:04x}:{:04x}", self.major, self.minor),
        );
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!(
            "CLASSIFY set {:x}:{:x}",
            self.major, self.minor
        ));
    }
}
