//! `-m string`.

use super::prelude::*;

/// Longest text, in bytes (kernel `XT_STRING_MAX_PATTERN_SIZE`).
const LONGEST: usize = 128;

/// How the kernel searches. Both find the same in a packet that lies in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Boyer-Moore.
    Bm,
    /// Knuth-Morris-Pratt.
    Kmp,
}

impl Algorithm {
    /// As rules call it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Bm => "bm",
            Algorithm::Kmp => "kmp",
        }
    }
}

/// `-m string`: a text somewhere in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringMatch {
    /// `--string`, `--hex-string`: 1 to 128 bytes.
    pub text: Not<Vec<u8>>,
    /// `--algo`.
    pub algorithm: Algorithm,
    /// `--from`: where the search begins, in bytes from the start of the IP header.
    pub from: u16,
    /// `--to`: where the text must have ended.
    pub to: u16,
    /// `--icase`.
    pub ignore_case: bool,
}

impl Spec for StringMatch {
    const ROW: Extension =
        Extension::new("string", Families::Both, "A text somewhere in the packet.")
            .options(&[
                opt(
                    "from",
                    "BYTES",
                    "search from there, from the start of the IP header",
                ),
                opt("to", "BYTES", "the text must have ended there"),
                opt(
                    "algo",
                    "bm|kmp",
                    "how to search: Boyer-Moore or Knuth-Morris-Pratt",
                )
                .required(),
                opt("string", "TEXT", "at most 128 bytes")
                    .not()
                    .excludes(&["hex-string"]),
                opt(
                    "hex-string",
                    "TEXT",
                    "with hex digits between bars, as |0d 0a|",
                )
                .not()
                .excludes(&["string"]),
                flag("icase", "large and small letters are the same"),
            ])
            .needs(&[Need::Network, Need::Payload]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let text = match loaded.not("string", plain)? {
            Some(text) => text,
            None => {
                let hex = loaded.not("hex-string", with_hex)?;
                hex.ok_or_else(|| {
                    let said = "STRING match: You must specify `--string' or `--hex-string'";
                    loaded.missing_as("string or --hex-string", said)
                })?
            }
        };
        let algorithm = loaded.need("algo", |t| match t {
            "bm" => Ok(Algorithm::Bm),
            "kmp" => Ok(Algorithm::Kmp),
            _ => Err(Bad::new(format!("the kernel searches no text by '{t}'"))
                .help("bm or kmp")
                .by_kernel()),
        })?;
        let from = loaded.plain("from", read::short)?.unwrap_or(0);
        let to = loaded.plain("to", |t| match read::short(t)? {
            to if to < from => Err(Bad::new(format!(
                "--to {to} lies before --from {from}: the kernel refuses the rule"
            ))
            .by_kernel()),
            to => Ok(to),
        })?;
        let to = to.unwrap_or(u16::MAX);
        Ok(StringMatch {
            text,
            algorithm,
            from,
            to,
            ignore_case: loaded.has("icase"),
        })
    }

    fn write(&self, out: &mut Out) {
        out.bang(self.text.negated);
        match quoted(&self.text.value) {
            Text::Plain(text) => out.opt("string", text),
            Text::Hex(text) => out.opt("hex-string", text),
        }
        out.opt("algo", self.algorithm.name());
        if self.from != 0 {
            out.opt("from", self.from);
        }
        if self.to != u16::MAX {
            out.opt("to", self.to);
        }
        if self.ignore_case {
            out.flag("icase");
        }
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.text.negated { "!" } else { "" };
        let (Text::Plain(text) | Text::Hex(text)) = quoted(&self.text.value);
        out.word(format_args!(
            "STRING match {bang} {text} ALGO name {}",
            self.algorithm.name()
        ));
        if self.from != 0 {
            out.word(format_args!("FROM {}", self.from));
        }
        if self.to != u16::MAX {
            out.word(format_args!("TO {}", self.to));
        }
        if self.ignore_case {
            out.word("ICASE");
        }
    }
}

/// A text in quotes, or its hex digits.
enum Text {
    Plain(String),
    Hex(String),
}

/// As iptables-save prints a text: in hex if it has anything that is not printable, or a backslash at its end.
fn quoted(text: &[u8]) -> Text {
    let printable = |b: &u8| (0x20..0x7f).contains(b);
    if text.iter().all(printable) && text.last() != Some(&b'\\') {
        let mut shown = String::with_capacity(text.len() + 2);
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                shown.push('\\');
            }
            shown.push(char::from(*byte));
        }
        return Text::Plain(format!("\"{shown}\""));
    }
    let digits: String = text.iter().map(|b| format!("{b:02x}")).collect();
    Text::Hex(format!("\"|{digits}|\""))
}

fn too_long(text: &str) -> Bad {
    Bad::new(format!("the text is longer than {LONGEST} bytes"))
        .said(format!("STRING too long \"{text}\""))
}

/// `--string`.
fn plain(text: &str) -> Value<Vec<u8>> {
    match text.len() {
        0 => Err(Bad::new("the text is empty: the kernel refuses the rule").by_kernel()),
        n if n > LONGEST => Err(too_long(text)),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

/// `--hex-string`, as the real program walks it: a bar that closes a block makes the character behind it count
/// as itself, whatever it is.
fn with_hex(text: &str) -> Value<Vec<u8>> {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied();
    let mut out = Vec::new();
    let (mut i, mut hex) = (0, false);
    while let Some(mut byte) = at(i) {
        if out.len() >= LONGEST {
            return Err(too_long(text));
        }
        if byte == b'\\' {
            if hex {
                return Err(Bad::new("a backslash stands between the bars")
                    .said("Cannot include literals in hex data"));
            }
            let Some(next) = at(i + 1) else {
                return Err(Bad::new("the text ends with a single backslash")
                    .help("write two of them, or |5c|")
                    .said("Bad literal placement at end of string"));
            };
            out.push(next);
            i += 2;
            continue;
        }
        if byte == b'|' {
            hex = !hex;
            while hex && at(i + 1) == Some(b' ') {
                i += 1;
            }
            i += 1;
            match at(i) {
                Some(next) => byte = next,
                None => break,
            }
        }
        if !hex {
            out.push(byte);
            i += 1;
            continue;
        }
        let (Some(second), Some(third)) = (at(i + 1), at(i + 2)) else {
            let said = match at(i + 1) {
                Some(_) => "Invalid hex block",
                None => "Odd number of hex digits",
            };
            return Err(Bad::new("hex digits are not closed by a bar")
                .help("|0d 0a|")
                .said(said));
        };
        let digit = |b: u8| {
            char::from(b).to_digit(16).ok_or_else(|| {
                let shown = char::from(b).escape_default();
                Bad::new(format!("'{shown}' is no hex digit"))
                    .help("pairs of digits, such as |0d 0a|")
                    .said(format!("Invalid hex char '{}'", char::from(b)))
            })
        };
        out.push((digit(byte)? << 4 | digit(second)?) as u8);
        i += if third == b' ' { 3 } else { 2 };
    }
    if out.is_empty() {
        let bad = Bad::new("the text is empty: the kernel refuses the rule");
        return Err(match text {
            "" => bad.said("STRING must contain at least one char"),
            _ => bad.by_kernel(),
        });
    }
    Ok(out)
}
