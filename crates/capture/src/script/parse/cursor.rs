//! Walking over a statement's tokens, and the small values that words hold.

use std::net::IpAddr;
use std::time::Duration;

use crate::script::diagnostic::{ScriptDiagnostic, nearest};
use crate::script::lex::{Kind, Token};
use crate::script::model::{Counted, Prefix, Span};

pub(super) type Parsed<T> = Result<T, ScriptDiagnostic>;

/// The tokens of one statement.
pub(super) struct Cursor<'a, 't> {
    tokens: &'a [Token<'t>],
    at: usize,
}

impl<'a, 't> Cursor<'a, 't> {
    pub fn new(tokens: &'a [Token<'t>]) -> Self {
        Cursor { tokens, at: 0 }
    }

    pub fn peek(&self) -> Option<&'a Token<'t>> {
        self.tokens.get(self.at)
    }

    pub fn next(&mut self) -> Option<&'a Token<'t>> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    pub fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Everything from the first token to the last.
    pub fn whole(&self) -> Span {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => Span {
                end: last.span.end,
                ..first.span
            },
            _ => Span::default(),
        }
    }

    /// The place behind the token last taken: where something is missing.
    pub fn behind(&self) -> Span {
        let last = self.at.checked_sub(1).and_then(|i| self.tokens.get(i));
        last.map_or(Span::default(), |t| Span {
            start: t.span.end,
            end: t.span.end,
            column: t
                .span
                .column
                .saturating_add(t.text.chars().count().try_into().unwrap_or(u32::MAX)),
            ..t.span
        })
    }

    pub fn missing(&self, what: &str) -> ScriptDiagnostic {
        ScriptDiagnostic::new("missing-word", self.behind(), format!("{what} is missing"))
    }

    /// The next token if it is a word; `what` names it in the complaint.
    pub fn word(&mut self, what: &str) -> Parsed<&'a Token<'t>> {
        match self.next() {
            Some(t) if t.kind == Kind::Word => Ok(t),
            Some(t) => Err(ScriptDiagnostic::new(
                "wrong-word",
                t.span,
                format!("{what} should be here, not `{}`", t.text),
            )),
            None => Err(self.missing(what)),
        }
    }

    /// Takes the next token if it is the word `word`.
    pub fn takes(&mut self, word: &str) -> bool {
        let there = self
            .peek()
            .is_some_and(|t| t.kind == Kind::Word && t.text == word);
        if there {
            self.at += 1;
        }
        there
    }

    pub fn text(&mut self, what: &str) -> Parsed<String> {
        match self.next() {
            Some(Token {
                kind: Kind::Text(bytes),
                span,
                ..
            }) => String::from_utf8(bytes.clone()).map_err(|_| {
                ScriptDiagnostic::new("bad-text", *span, format!("{what} is not UTF-8"))
            }),
            Some(t) => Err(ScriptDiagnostic::new(
                "wrong-word",
                t.span,
                format!("{what} should be here, in quotes, not `{}`", t.text),
            )
            .replace(format!("\"{}\"", t.text))),
            None => Err(self.missing(what)),
        }
    }

    /// A number from 0 to `max`; `0x…` is hexadecimal.
    pub fn number(&mut self, what: &str, max: u64) -> Parsed<u64> {
        let token = self.word(what)?;
        number(token.text, token.span, what, max)
    }

    pub fn counted(&mut self, what: &str, max: u32) -> Parsed<Counted> {
        let token = self.word(what)?;
        counted(token.text, token.span, what, max)
    }

    /// Nothing may follow.
    pub fn finish(&mut self) -> Parsed<()> {
        match self.next() {
            None => Ok(()),
            Some(t) => Err(ScriptDiagnostic::new(
                "unexpected-word",
                t.span,
                format!("`{}` is not expected here", t.text),
            )),
        }
    }
}

/// A fault about a word that is none of `known`.
pub(super) fn unknown<'k>(
    what: &str,
    token: &Token<'_>,
    known: impl IntoIterator<Item = &'k str>,
) -> ScriptDiagnostic {
    let fault = ScriptDiagnostic::new(
        "unknown-word",
        token.span,
        format!("no such {what}: `{}`", token.text),
    );
    match nearest(token.text, known) {
        Some(word) => fault.replace(word),
        None => fault,
    }
}

pub(super) fn number(text: &str, span: Span, what: &str, max: u64) -> Parsed<u64> {
    let value = match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()
        }
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    match value {
        Some(n) if n <= max => Ok(n),
        _ => Err(ScriptDiagnostic::new(
            "bad-number",
            span,
            format!("{what} is a number from 0 to {max}, not `{text}`"),
        )),
    }
}

/// A number, `+i` behind it when it grows with the round of a `repeat`.
pub(super) fn counted(text: &str, span: Span, what: &str, max: u32) -> Parsed<Counted> {
    let (digits, plus_round) = match text.strip_suffix("+i") {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let base = number(digits, span, what, u64::from(max))?;
    Ok(Counted {
        base: u32::try_from(base).unwrap_or(max),
        plus_round,
    })
}

pub(super) fn duration(text: &str, span: Span) -> Parsed<Duration> {
    const UNITS: [(&str, f64); 6] = [
        ("ms", 1e-3),
        ("us", 1e-6),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let value = UNITS.iter().find_map(|(unit, seconds)| {
        let digits = text.strip_suffix(unit)?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number: f64 = digits.parse().ok().filter(|_| plain)?;
        // Rounded to a microsecond, so that 0.1s is what it says; a century bounds what comes after.
        let micros = (number * seconds * 1e6).round();
        (micros <= 3.2e15).then(|| Duration::from_micros(micros as u64))
    });
    value.ok_or_else(|| {
        ScriptDiagnostic::new(
            "bad-time",
            span,
            format!("`{text}` is not a length of time"),
        )
        .help("a number and us, ms, s, m, h or d: 100s, 1.5s, 20ms, 2m, 5d")
    })
}

pub(super) fn prefix(text: &str, span: Span) -> Parsed<Prefix> {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = length.parse().ok().filter(|l| *l <= bits)?;
        Some(Prefix { address, length })
    });
    parsed.ok_or_else(|| {
        let fault = ScriptDiagnostic::new(
            "bad-prefix",
            span,
            format!("`{text}` is not an address with its prefix length"),
        );
        match text.parse() {
            Ok(IpAddr::V4(_)) => fault.replace(format!("{text}/24")),
            Ok(IpAddr::V6(_)) => fault.replace(format!("{text}/64")),
            Err(_) => fault.help("for example 192.168.1.1/24 or 2001:db8::1/64"),
        }
    })
}

pub(super) fn mac(text: &str, span: Span) -> Parsed<[u8; 6]> {
    let mut mac = [0u8; 6];
    let parts: Vec<&str> = text.split(':').collect();
    let ok = parts.len() == 6
        && mac.iter_mut().zip(&parts).all(|(byte, part)| {
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            match u8::from_str_radix(part, 16) {
                Ok(value) if hex => {
                    *byte = value;
                    true
                }
                _ => false,
            }
        });
    if ok {
        Ok(mac)
    } else {
        Err(ScriptDiagnostic::new(
            "bad-mac",
            span,
            format!("`{text}` is not a hardware address"),
        )
        .help("six pairs of hex digits: 02:00:00:00:00:01"))
    }
}

/// Hex digits in pairs; underscores and colons between them are for the reader.
pub(super) fn hex(text: &str, span: Span) -> Parsed<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, ':' | '_'))
        .map_while(|c| c.to_digit(16))
        .collect();
    let length = text.chars().filter(|c| !matches!(c, ':' | '_')).count();
    if digits.len() != length || length % 2 != 0 {
        return Err(ScriptDiagnostic::new(
            "bad-hex",
            span,
            format!("`{text}` is not pairs of hex digits"),
        ));
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| (pair.first().unwrap_or(&0) * 16 + pair.get(1).unwrap_or(&0)) as u8)
        .collect())
}
