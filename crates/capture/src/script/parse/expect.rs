//! `expect` lines.

use super::cursor::{Cursor, Parsed, unknown};
use super::{Parser, end};
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::expect::{
    Answer, Check, CheckKind, ConnectionPattern, Direction, Expectation, Item, RuleName,
    RuleNumber, State, Verdict, Which,
};
use crate::script::lex::{Kind, Token};
use crate::script::model::{Reference, Span};
use crate::script::names;

/// What an `expect` line turned out to be.
pub(super) enum Expected {
    /// About packets.
    Packets(Expectation),
    /// About the firewall at this moment.
    State(Check),
}

/// Words that items begin with, for repairs.
const WORDS: &[&str] = &[
    "original",
    "reply",
    "by",
    "policy",
    "matched",
    "hook",
    "why",
    "answer",
    "mark",
    "visited",
    "ctmark",
    "helper",
    "parent",
    "connection",
    "tcp",
    "sctp",
    "assured",
    "unassured",
    "replied",
    "unreplied",
    "timeout",
    "packet",
    "each",
    "round",
    "counters",
    "counters6",
    "connections",
    "expectations",
    "no",
];

const TABLES: &[&str] = &["raw", "mangle", "nat", "filter", "security"];

const HOOKS: &[&str] = &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// conntrack(8)'s names of TCP states (kernel `tcp_conntrack_names`).
const TCP_STATES: &[&str] = &[
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

/// The same of SCTP (kernel `sctp_conntrack_names`).
const SCTP_STATES: &[&str] = &[
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
];

pub(super) fn parse(parser: &Parser, tokens: &[Token<'_>]) -> Parsed<Expected> {
    let mut cursor = Cursor::new(tokens);
    let span = cursor.whole();
    cursor.next();
    let mut which = Which::Last;
    let mut rounds = None;
    loop {
        if cursor.takes("each") {
            which = Which::Each;
        } else if cursor.takes("packet") {
            which = Which::Packet(cursor.number("a packet's number in its line", 1000)? as u32);
        } else if cursor.takes("round") {
            let token = cursor.word("a round, or rounds as 3..5")?;
            rounds = Some(range(token)?);
        } else {
            break;
        }
    }
    let check = |what| Ok(Expected::State(Check { rounds, what, span }));
    let first = cursor
        .peek()
        .ok_or_else(|| cursor.missing("what to expect"))?;
    match first.text {
        "counters" | "counters6" if first.kind == Kind::Word => {
            cursor.next();
            let rule = rule_name(&mut cursor)?;
            let packets = equals(&mut cursor)?;
            let bytes = if cursor.done() {
                None
            } else {
                let bytes = cursor.number("a number of bytes", u64::MAX)?;
                cursor.takes("bytes");
                Some(bytes)
            };
            cursor.finish()?;
            check(CheckKind::Counters {
                v6: first.text == "counters6",
                rule,
                packets,
                bytes,
            })
        }
        "connections" => {
            cursor.next();
            let count = equals(&mut cursor)?;
            cursor.finish()?;
            check(CheckKind::Connections(count))
        }
        "expectations" => {
            cursor.next();
            let count = equals(&mut cursor)?;
            cursor.finish()?;
            check(CheckKind::Expectations(count))
        }
        "no" => {
            cursor.next();
            if !cursor.takes("connection") {
                return Err(cursor.missing("`connection` (as in `expect no connection a > b tcp`)"));
            }
            check(CheckKind::NoConnection(pattern(
                parser,
                &mut cursor,
                tokens,
            )?))
        }
        "connection" if tokens.iter().any(|t| t.kind == Kind::Arrow) => {
            cursor.next();
            check(CheckKind::Connection(pattern(parser, &mut cursor, tokens)?))
        }
        _ => {
            let items = items(parser, &mut cursor)?;
            Ok(Expected::Packets(Expectation {
                which,
                rounds,
                items,
                span,
            }))
        }
    }
}

/// `3`, `3..5`, `3..`.
fn range(token: &Token<'_>) -> Parsed<(u32, u32)> {
    let parse = |s: &str| s.parse::<u32>().ok().filter(|n| *n > 0);
    let parsed = match token.text.split_once("..") {
        None => parse(token.text).map(|n| (n, n)),
        Some((first, "")) => parse(first).map(|f| (f, u32::MAX)),
        Some((first, last)) => parse(first).zip(parse(last)).filter(|(f, l)| f <= l),
    };
    parsed.ok_or_else(|| {
        ScriptDiagnostic::new(
            "bad-round",
            token.span,
            format!("`{}` is not a round", token.text),
        )
        .help("rounds count from 1: `round 10`, `round 1..9`, `round 10..`")
    })
}

fn equals(cursor: &mut Cursor<'_, '_>) -> Parsed<u64> {
    if !cursor.takes("=") {
        return Err(cursor
            .missing("`=` and a number")
            .help("as in `= 2`, with blanks around `=`"));
    }
    cursor.number("a count", u64::MAX)
}

/// `[TABLE] CHAIN N`, `policy [TABLE] CHAIN`, `[TABLE] CHAIN policy`.
fn rule_name(cursor: &mut Cursor<'_, '_>) -> Parsed<RuleName> {
    let policy_first = cursor.takes("policy");
    let first = cursor.word("a chain")?;
    let (table, chain) = if TABLES.contains(&first.text) {
        (first.text, cursor.word("a chain")?.text)
    } else {
        let folded = HOOKS.iter().find(|h| h.eq_ignore_ascii_case(first.text));
        if let Some(hook) = folded.filter(|h| **h != first.text) {
            return Err(ScriptDiagnostic::new(
                "unknown-word",
                first.span,
                format!("chains are case-sensitive: `{}`", first.text),
            )
            .replace(*hook));
        }
        ("filter", first.text)
    };
    let rule = if policy_first || cursor.takes("policy") {
        RuleNumber::Policy
    } else {
        let number = cursor.peek().map(|t| t.span);
        match cursor.number("a rule's number, or `policy`", 1_000_000)? {
            0 => {
                return Err(ScriptDiagnostic::new(
                    "bad-number",
                    number.unwrap_or_default(),
                    "rules count from 1",
                ));
            }
            n => RuleNumber::Number(n as u32),
        }
    };
    Ok(RuleName {
        table: table.to_owned(),
        chain: chain.to_owned(),
        rule,
    })
}

/// `a:1 > b:2 tcp WORDS`.
fn pattern(
    parser: &Parser,
    cursor: &mut Cursor<'_, '_>,
    tokens: &[Token<'_>],
) -> Parsed<ConnectionPattern> {
    let ends = end::ends(parser, cursor, end::wants_v6(tokens))?;
    let mut protocol = None;
    let mut found = Vec::new();
    while let Some(token) = cursor.peek() {
        match names::protocol(token.text) {
            _ if matches!(token.text, "ip6" | "ip4") => {
                cursor.next();
            }
            Some(p) if protocol.is_none() => {
                cursor.next();
                // One word for both families, as on packet lines.
                let icmp = p == palisade_wire::proto::ICMP && ends.from.address.is_ipv6();
                protocol = Some(if icmp {
                    palisade_wire::proto::ICMPV6
                } else {
                    p
                });
            }
            _ if TCP_STATES.contains(&token.text) => {
                cursor.next();
                found.push((Item::TcpState(token.text.to_owned()), token.span));
            }
            _ if SCTP_STATES.contains(&token.text) => {
                cursor.next();
                found.push((Item::SctpState(token.text.to_owned()), token.span));
            }
            _ => {
                let (item, span) = item(parser, cursor)?;
                let of_connections = matches!(
                    item,
                    Item::TcpState(_)
                        | Item::SctpState(_)
                        | Item::Assured(_)
                        | Item::Replied(_)
                        | Item::Timeout(_)
                        | Item::ConnectionMark(_)
                        | Item::Helper(_)
                );
                if !of_connections {
                    return Err(ScriptDiagnostic::new(
                        "wrong-word",
                        span,
                        "this is said of packets, not of connections",
                    )
                    .help(
                        "a connection has a TCP or SCTP state, assured, replied, timeout, ctmark, helper",
                    ));
                }
                found.push((item, span));
            }
        }
    }
    Ok(ConnectionPattern {
        from: ends.from,
        to: ends.to,
        protocol,
        items: found,
    })
}

fn items(parser: &Parser, cursor: &mut Cursor<'_, '_>) -> Parsed<Vec<(Item, Span)>> {
    let mut found: Vec<(Item, Span)> = Vec::new();
    while !cursor.done() {
        let (new, span) = item(parser, cursor)?;
        let twice = found.iter().any(|(old, _)| {
            std::mem::discriminant(old) == std::mem::discriminant(&new)
                && !matches!(new, Item::Matched(_) | Item::Why(_))
        });
        if twice {
            return Err(ScriptDiagnostic::new(
                "said-twice",
                span,
                "this line already says so or otherwise",
            ));
        }
        found.push((new, span));
    }
    Ok(found)
}

fn item(parser: &Parser, cursor: &mut Cursor<'_, '_>) -> Parsed<(Item, Span)> {
    let token = cursor.word("a word such as NEW, ACCEPT or `by`")?;
    let none = |cursor: &mut Cursor<'_, '_>| cursor.takes("none");
    if let Some(state) = State::ALL.into_iter().find(|s| s.word() == token.text) {
        return Ok((Item::State(state), token.span));
    }
    if let Some(verdict) = Verdict::ALL.into_iter().find(|v| v.word() == token.text) {
        return Ok((Item::Verdict(verdict), token.span));
    }
    let item = match token.text {
        "original" => Item::Direction(Direction::Original),
        "reply" => Item::Direction(Direction::Reply),
        "by" => Item::By(rule_name(cursor)?),
        "matched" => Item::Matched(rule_name(cursor)?),
        "hook" => {
            let hook = cursor.word("a hook")?;
            if !HOOKS.contains(&hook.text) {
                return Err(unknown("hook", hook, HOOKS.iter().copied()));
            }
            Item::Hook(hook.text.to_owned())
        }
        "why" => Item::Why(cursor.text("a part of the reason")?),
        "answer" => {
            let name = cursor.word("an answer")?;
            Item::Answer(match (name.text, names::answer(name.text)) {
                ("none", _) => Answer::None,
                ("tcp-reset", _) => Answer::TcpReset,
                (_, Some((kind, code))) => Answer::Icmp { kind, code },
                _ => return Err(unknown("answer", name, names::answer_names())),
            })
        }
        "mark" => Item::Mark(cursor.number("a mark", u64::from(u32::MAX))? as u32),
        "ctmark" => Item::ConnectionMark(cursor.number("a mark", u64::from(u32::MAX))? as u32),
        "visited" => Item::Visited(cursor.number("a number of rules", u64::from(u32::MAX))? as u32),
        "helper" if none(cursor) => Item::Helper(None),
        "helper" => Item::Helper(Some(
            cursor.word("a helper's name, or none")?.text.to_owned(),
        )),
        "parent" if none(cursor) => Item::Parent(None),
        "parent" => Item::Parent(Some(reference(parser, cursor)?)),
        "connection" => Item::SameConnection(reference(parser, cursor)?),
        "tcp" => {
            let state = cursor.word("a TCP state")?;
            if !TCP_STATES.contains(&state.text) {
                return Err(unknown("TCP state", state, TCP_STATES.iter().copied()));
            }
            Item::TcpState(state.text.to_owned())
        }
        "sctp" => {
            let state = cursor.word("an SCTP state")?;
            if !SCTP_STATES.contains(&state.text) {
                return Err(unknown("SCTP state", state, SCTP_STATES.iter().copied()));
            }
            Item::SctpState(state.text.to_owned())
        }
        "assured" => Item::Assured(true),
        "unassured" => Item::Assured(false),
        "replied" => Item::Replied(true),
        "unreplied" => Item::Replied(false),
        "timeout" => Item::Timeout(cursor.number("seconds", u64::from(u32::MAX))? as u32),
        _ => {
            let states = State::ALL.iter().map(|s| s.word());
            let verdicts = Verdict::ALL.iter().map(|v| v.word());
            let known = states.chain(verdicts).chain(WORDS.iter().copied());
            return Err(unknown("word in an expectation", token, known));
        }
    };
    Ok((item, token.span))
}

/// A label, `label.2`, a packet's number, or `previous`.
pub(super) fn reference(parser: &Parser, cursor: &mut Cursor<'_, '_>) -> Parsed<Reference> {
    let token = cursor.word("a packet's label or number")?;
    if token.text == "previous" {
        return Ok(Reference::Previous);
    }
    if token.text.bytes().all(|b| b.is_ascii_digit()) {
        let number = super::cursor::number(token.text, token.span, "a packet's number", u64::MAX)?;
        return Ok(Reference::Number(number));
    }
    let (label, part) = match token.text.split_once('.') {
        None => (token.text, None),
        Some((label, part)) => {
            let part = super::cursor::number(part, token.span, "a packet of the line", 1000)?;
            (label, Some(part as u32))
        }
    };
    if !parser.labels.iter().any(|l| l == label) {
        let known = parser.labels.iter().map(String::as_str);
        return Err(unknown("packet", token, known).help(
            "a label stands before a packet line, as in `probe: client > server udp`, and comes before its use",
        ));
    }
    Ok(Reference::Label(label.to_owned(), part))
}
