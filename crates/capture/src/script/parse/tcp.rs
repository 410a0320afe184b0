//! The words of TCP: flags, sequence numbers, options.

use palisade_wire::tcp::flags;

use super::cursor::{Parsed, hex, number, unknown};
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::lex::Token;
use crate::script::model::{Number, TcpOption};

/// `S`, `SA`, `PA`, `R`, `none`, …: tcpdump's letters and `A`, `C` for what it writes as `.`, `W`.
pub(super) fn tcp_flags(text: &str) -> Option<u8> {
    if text == "none" {
        return Some(0);
    }
    text.chars().try_fold(0u8, |all, c| {
        Some(
            all | match c {
                'F' => flags::FIN,
                'S' => flags::SYN,
                'R' => flags::RST,
                'P' => flags::PSH,
                'A' | '.' => flags::ACK,
                'U' => flags::URG,
                'E' => flags::ECE,
                'C' | 'W' => flags::CWR,
                _ => return None,
            },
        )
    })
}

pub(super) fn sequence_number(word: &Token<'_>) -> Parsed<Number> {
    let bound = u64::from(u32::MAX);
    let parse = |digits: &str| number(digits, word.span, "a sequence number", bound);
    Ok(
        match (word.text.strip_prefix('+'), word.text.strip_prefix('-')) {
            (Some(digits), _) => Number::Relative(parse(digits)? as i64),
            (_, Some(digits)) => Number::Relative(-(parse(digits)? as i64)),
            _ => Number::Exactly(parse(word.text)? as u32),
        },
    )
}

/// `mss=1460,sackok,wscale=7,ts=1:0,nop,sack=1000-2000,hex=1e03aa`.
pub(super) fn tcp_options(word: &Token<'_>) -> Parsed<Vec<TcpOption>> {
    const NAMES: [&str; 8] = ["mss", "sackok", "wscale", "ts", "nop", "eol", "sack", "hex"];
    let mut options = Vec::new();
    for part in word.text.split(',') {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        };
        let value = |what: &str| {
            value.ok_or_else(|| {
                ScriptDiagnostic::new(
                    "missing-word",
                    word.span,
                    format!("TCP option `{name}` needs {what}"),
                )
            })
        };
        let at = word.span;
        let bytes = match name {
            "mss" => {
                let mss = number(value("a value")?, at, "a segment size", 65_535)? as u16;
                let [a, b] = mss.to_be_bytes();
                vec![2, 4, a, b]
            }
            "sackok" => vec![4, 2],
            "wscale" => vec![
                3,
                3,
                number(value("a value")?, at, "a window scale", 255)? as u8,
            ],
            "ts" => {
                let (now, echo) = value("two values")?.split_once(':').ok_or_else(|| {
                    ScriptDiagnostic::new("missing-word", at, "timestamps are two: ts=1:0")
                })?;
                if echo.starts_with(['+', '-']) {
                    let now = number(now, at, "a timestamp", u64::from(u32::MAX))? as u32;
                    let by = echo.parse().map_err(|_| {
                        ScriptDiagnostic::new("bad-number", at, format!("`{echo}` is no number"))
                    })?;
                    options.push(TcpOption::Echo(now, by));
                    continue;
                }
                let mut bytes = vec![8, 10];
                for stamp in [now, echo] {
                    let stamp = number(stamp, at, "a timestamp", u64::from(u32::MAX))? as u32;
                    bytes.extend(stamp.to_be_bytes());
                }
                bytes
            }
            "nop" => vec![1],
            "eol" => vec![0],
            "hex" => hex(value("bytes")?, at)?,
            "sack" => {
                // Several blocks are joined by a slash; relative edges start at the other side's next byte.
                let mut blocks = Vec::new();
                for block in value("blocks")?.split('/') {
                    let (left, right) = block.split_once("..").ok_or_else(|| {
                        ScriptDiagnostic::new("bad-number", at, "a SACK block is left..right")
                            .help("as in sack=+100..+200 or sack=5101..5201")
                    })?;
                    let edge = |text| {
                        sequence_number(&Token {
                            text,
                            ..word.clone()
                        })
                    };
                    blocks.push((edge(left)?, edge(right)?));
                }
                options.push(TcpOption::Sack(blocks));
                continue;
            }
            _ => {
                let token = Token {
                    text: name,
                    ..word.clone()
                };
                return Err(unknown("TCP option", &token, NAMES));
            }
        };
        options.push(TcpOption::Bytes(bytes));
    }
    Ok(options)
}
