//! Senders and receivers.

use std::net::IpAddr;

use super::Parser;
use super::cursor::{Cursor, Parsed, counted, unknown};
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::lex::{Kind, Token};
use crate::script::model::{Counted, Endpoint, Span};

/// Both ends of a packet or connection, in one family.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub from: Endpoint,
    pub to: Endpoint,
    pub from_span: Span,
    pub to_span: Span,
}

/// An endpoint before the family is known.
struct End {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    plus_round: bool,
    port: Option<Counted>,
}

/// Whether the line asks for a family by name.
pub(super) fn wants_v6(tokens: &[Token<'_>]) -> Option<bool> {
    tokens.iter().find_map(|t| match (&t.kind, t.text) {
        (Kind::Word, "ip6" | "icmp6") => Some(true),
        (Kind::Word, "ip4") => Some(false),
        _ => None,
    })
}

/// `FROM > TO`.
pub(super) fn ends(
    parser: &Parser,
    cursor: &mut Cursor<'_, '_>,
    wanted: Option<bool>,
) -> Parsed<Ends> {
    let from_token = cursor.word("a sender")?;
    let from = endpoint(parser, from_token)?;
    match cursor.next() {
        Some(t) if t.kind == Kind::Arrow => {}
        Some(t) => {
            return Err(ScriptDiagnostic::new(
                "wrong-word",
                t.span,
                format!(
                    "`>` should be between sender and receiver, not `{}`",
                    t.text
                ),
            )
            .replace(">"));
        }
        None => return Err(cursor.missing("`>` and a receiver")),
    }
    let to_token = cursor.word("a receiver")?;
    let to = endpoint(parser, to_token)?;
    let pair4 = from.v4.zip(to.v4).filter(|_| wanted != Some(true));
    let pair6 = from.v6.zip(to.v6).filter(|_| wanted != Some(false));
    let Some((source, destination)) = pair4.or(pair6) else {
        let families = match wanted {
            Some(true) => "no IPv6 address on both sides",
            Some(false) => "no IPv4 address on both sides",
            None => "one side has only IPv4, the other only IPv6",
        };
        return Err(ScriptDiagnostic::new(
            "families",
            from_token.span,
            format!(
                "`{}` cannot send to `{}`: {families}",
                from_token.text, to_token.text
            ),
        ));
    };
    let resolve = |end: End, address| Endpoint {
        address,
        address_plus_round: end.plus_round,
        port: end.port,
    };
    Ok(Ends {
        from: resolve(from, source),
        to: resolve(to, destination),
        from_span: from_token.span,
        to_span: to_token.span,
    })
}

/// `name`, `name:port`, `address`, `[v6]:port`, each with `+i` behind name or port.
fn endpoint(parser: &Parser, token: &Token<'_>) -> Parsed<End> {
    let text = token.text;
    let (host, port) = if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else if let Some((inside, behind)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        match (behind, behind.strip_prefix(':')) {
            ("", _) => (inside, None),
            (_, Some(port)) => (inside, Some(port)),
            _ => (text, None),
        }
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        }
    };
    let port = port
        .map(|p| counted(p, token.span, "a port", 65_535))
        .transpose()?;
    let (host, plus_round) = match host.strip_suffix("+i") {
        Some(host) => (host, true),
        None => (host, false),
    };
    let (v4, v6) = match host.parse::<IpAddr>() {
        Ok(a @ IpAddr::V4(_)) => (Some(a), None),
        Ok(a @ IpAddr::V6(_)) => (None, Some(a)),
        Err(_) => parser.resolve(host).ok_or_else(|| {
            let mut place = token.span;
            place.end = place.start.saturating_add(host.len()).min(place.end);
            let token = Token {
                kind: Kind::Word,
                text: host,
                span: place,
            };
            unknown("host or interface", &token, parser.names())
        })?,
    };
    Ok(End {
        v4,
        v6,
        plus_round,
        port,
    })
}
