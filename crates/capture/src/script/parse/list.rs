//! Words that are lists: pieces of a packet, extension headers.

use palisade_wire::proto;

use super::cursor::{Parsed, number, unknown};
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::lex::Token;

/// `hop,dst,route,ah`: IPv6 extension headers (RFC 8200 §4), each as short as it can be and without effect.
pub(super) fn extensions(word: &Token<'_>) -> Parsed<Vec<(u8, Vec<u8>)>> {
    // The first byte is filled in; PadN of six bytes, a routing header with nothing left to visit, an
    // authentication header with an empty value.
    let padded = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let known: [(&str, u8, Vec<u8>); 4] = [
        ("hop", proto::HOPOPTS, padded.clone()),
        ("dst", proto::DSTOPTS, padded),
        ("route", proto::ROUTING, vec![0, 0, 4, 0, 0, 0, 0, 0]),
        (
            "ah",
            proto::AH,
            vec![0, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        ),
    ];
    let header = |name: &str| {
        let found = known.iter().find(|(n, ..)| *n == name);
        found
            .map(|(_, number, bytes)| (*number, bytes.clone()))
            .ok_or_else(|| {
                let names = known.iter().map(|(n, ..)| *n);
                unknown("extension header", word, names)
            })
    };
    let headers: Vec<_> = word.text.split(',').map(header).collect::<Parsed<_>>()?;
    if headers.len() > 16 {
        return Err(ScriptDiagnostic::new(
            "bad-number",
            word.span,
            "at most 16 extension headers",
        ));
    }
    Ok(headers)
}

/// Numbers with commas between.
pub(super) fn list(word: &Token<'_>, what: &str, max: u64) -> Parsed<Vec<u32>> {
    word.text
        .split(',')
        .map(|part| number(part, word.span, what, max).map(|n| n as u32))
        .collect()
}

/// `0..16,8..24,24..`: parts of a packet.
pub(super) fn ranges(word: &Token<'_>) -> Parsed<Vec<(u32, u32)>> {
    let bound = |text: &str| number(text, word.span, "an offset", 65_535).map(|n| n as u32);
    let range = |part: &str| match part.split_once("..") {
        Some((start, "")) => Ok((bound(start)?, u32::MAX)),
        Some((start, end)) => Ok((bound(start)?, bound(end)?)),
        None => Err(ScriptDiagnostic::new(
            "bad-number",
            word.span,
            format!("`{part}` is not a part of a packet"),
        )
        .help("parts are from..to, the last one may end with the packet: 0..16,16..")),
    };
    word.text.split(',').map(range).collect()
}
