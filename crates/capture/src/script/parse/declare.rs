//! What the firewall is: interfaces, names, settings, rules.

use std::net::{IpAddr, SocketAddr};

use palisade_engine::conntrack::{PolicyError, TimeoutPolicy};
use palisade_engine::rules::Family;
use palisade_wire::proto;

use super::Parser;
use super::cursor::{Cursor, Parsed, duration, mac, number, prefix, unknown};
use crate::script::diagnostic::ScriptDiagnostic;
use crate::script::lex::{Kind, Lines, Token};
use crate::script::model::{
    HostName, Interface, Ipset, KernelUse, MTU, Prefix, Route, Rules, RulesFamily, RulesSource,
    SocketLine, Span, Sysctl, Timeout,
};

/// Longest name of an interface (kernel `IFNAMSIZ` less its terminator).
const MAX_INTERFACE_NAME: usize = 15;

impl Parser {
    /// Declarations come before the first packet.
    fn early(&self, span: Span) -> Parsed<()> {
        if self.begun {
            return Err(ScriptDiagnostic::new(
                "wrong-place",
                span,
                "this must stand before the first packet or `test`",
            ));
        }
        Ok(())
    }

    /// `interface wan0 203.0.113.1/24 2001:db8::1/64 mac 02:… mtu 1492`.
    pub(super) fn interface(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let name = cursor.word("an interface's name")?;
        if name.text.len() > MAX_INTERFACE_NAME {
            return Err(ScriptDiagnostic::new(
                "bad-name",
                name.span,
                format!("an interface's name has at most {MAX_INTERFACE_NAME} bytes"),
            ));
        }
        self.fresh_name(name)?;
        let mut interface = Interface {
            name: name.text.to_owned(),
            addresses: Vec::new(),
            mac: None,
            group: 0,
            mtu: None,
            span,
        };
        while let Some(word) = cursor.next() {
            if word.text == "mac" {
                let word = cursor.word("a hardware address")?;
                interface.mac = Some(mac(word.text, word.span)?);
            } else if word.text == "group" {
                interface.group = cursor.number("a group's number", u32::MAX.into())? as u32;
            } else if word.text == "mtu" {
                interface.mtu = Some(cursor.number("an MTU", u64::from(MTU))? as u32);
            } else {
                interface.addresses.push(prefix(word.text, word.span)?);
            }
        }
        self.script.firewall.interfaces.push(interface);
        self.early(span)
    }

    /// `host client 203.0.113.9 2001:db8::9`, `host fw = wan0`.
    pub(super) fn host(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let name = cursor.word("a name")?;
        self.fresh_name(name)?;
        let bad = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        let first = name.text.chars().next();
        if name.text.contains(bad) || !first.is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(ScriptDiagnostic::new(
                "bad-name",
                name.span,
                format!("`{}` is not a name", name.text),
            )
            .help("letters, digits, `-`, `_` and `.`, beginning with a letter"));
        }
        let (mut v4, mut v6) = (None, None);
        if cursor.takes("=") {
            let other = cursor.word("a host or interface")?;
            let found = self.resolve(other.text);
            (v4, v6) = found.ok_or_else(|| unknown("host or interface", other, self.names()))?;
        } else {
            let first = cursor.word("an address")?;
            let mut next = Some(first);
            while let Some(word) = next {
                let place = match word.text.parse::<IpAddr>() {
                    Ok(a @ IpAddr::V4(_)) => (&mut v4, a),
                    Ok(a @ IpAddr::V6(_)) => (&mut v6, a),
                    Err(_) => {
                        return Err(ScriptDiagnostic::new(
                            "bad-address",
                            word.span,
                            format!("`{}` is not an address", word.text),
                        ));
                    }
                };
                if place.0.replace(place.1).is_some() {
                    return Err(ScriptDiagnostic::new(
                        "said-twice",
                        word.span,
                        "a name stands for at most one address of each family",
                    ));
                }
                next = cursor.next();
            }
        }
        cursor.finish()?;
        self.script.hosts.push(HostName {
            name: name.text.to_owned(),
            v4,
            v6,
            span,
        });
        Ok(())
    }

    fn fresh_name(&self, name: &Token<'_>) -> Parsed<()> {
        if self.names().any(|n| n == name.text) {
            return Err(ScriptDiagnostic::new(
                "said-twice",
                name.span,
                format!("the name `{}` is taken", name.text),
            ));
        }
        Ok(())
    }

    /// `local 203.0.113.50 …`.
    pub(super) fn local(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        if cursor.takes("mark") {
            let word = cursor.word("a mark, as 0x1/0xff")?;
            let (value, mask) = word
                .text
                .split_once('/')
                .unwrap_or((word.text, "0xffffffff"));
            let number = |text| number(text, word.span, "a mark", u32::MAX.into());
            let (value, mask) = (number(value)? as u32, number(mask)? as u32);
            self.script.firewall.local_marks.push((value, mask));
            cursor.finish()?;
            return self.early(span);
        }
        let mut next = Some(cursor.word("an address")?);
        while let Some(word) = next {
            let address = word.text.parse().map_err(|_| {
                ScriptDiagnostic::new(
                    "bad-address",
                    word.span,
                    format!("`{}` is not an address", word.text),
                )
            })?;
            self.script.firewall.local.push(address);
            next = cursor.next();
        }
        self.early(span)
    }

    /// `socket tcp 0.0.0.0:3128 transparent`, `socket udp 203.0.113.1:53 from 192.0.2.1:53 uid 33`.
    pub(super) fn socket(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let word = cursor.word("tcp or udp")?;
        let protocol = match word.text {
            "tcp" => proto::TCP,
            "udp" => proto::UDP,
            _ => return Err(unknown("protocol of a socket", word, ["tcp", "udp"])),
        };
        let end = |cursor: &mut Cursor<'_, '_>| {
            let word = cursor.word("an address with a port")?;
            word.text.parse::<SocketAddr>().map_err(|_| {
                ScriptDiagnostic::new(
                    "bad-address",
                    word.span,
                    format!("`{}` is not an address with a port", word.text),
                )
                .help("as in `0.0.0.0:80` or `[2001:db8::1]:80`")
            })
        };
        let mut socket = SocketLine {
            protocol,
            local: end(cursor)?,
            remote: None,
            transparent: false,
            mark: 0,
            owner: (0, 0),
            span,
        };
        let most = u64::from(u32::MAX);
        while let Some(word) = cursor.next() {
            match word.text {
                "from" => socket.remote = Some(end(cursor)?),
                "transparent" => socket.transparent = true,
                "mark" => socket.mark = cursor.number("a mark", most)? as u32,
                "uid" => socket.owner.0 = cursor.number("a user's number", most - 1)? as u32,
                "gid" => socket.owner.1 = cursor.number("a group's number", most - 1)? as u32,
                _ => {
                    let known = ["from", "transparent", "mark", "uid", "gid"];
                    return Err(unknown("word of a socket", word, known));
                }
            }
        }
        if socket
            .remote
            .is_some_and(|r| r.is_ipv4() != socket.local.is_ipv4())
        {
            return Err(ScriptDiagnostic::new(
                "bad-address",
                span,
                "both ends of a socket have addresses of one family",
            ));
        }
        self.script.firewall.sockets.push(socket);
        self.early(span)
    }

    /// `queues none`.
    pub(super) fn queues(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        if !cursor.takes("none") {
            return Err(cursor.missing("`none`").help("write `queues none`"));
        }
        cursor.finish()?;
        self.script.firewall.no_queues = true;
        self.early(span)
    }

    /// `route 10.0.0.0/8 lan0`, `route default wan0`.
    pub(super) fn route(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let to = cursor.word("a network, or default")?;
        let interface = cursor.word("an interface")?;
        let realm = if cursor.takes("realm") {
            cursor.number("a realm's number", u16::MAX.into())? as u16
        } else {
            0
        };
        cursor.finish()?;
        let interfaces = &self.script.firewall.interfaces;
        if !interfaces.iter().any(|i| i.name == interface.text) {
            let known = interfaces.iter().map(|i| i.name.as_str());
            return Err(unknown("interface", interface, known));
        }
        let networks = if to.text == "default" {
            let everything = ["0.0.0.0", "::"].into_iter().filter_map(|a| a.parse().ok());
            everything
                .map(|address| Prefix { address, length: 0 })
                .collect()
        } else {
            vec![prefix(to.text, to.span)?]
        };
        for to in networks {
            self.script.firewall.routes.push(Route {
                to,
                interface: interface.text.to_owned(),
                realm,
                span,
            });
        }
        self.early(span)
    }

    /// `sysctl NAME=VALUE`, blanks around `=` allowed.
    pub(super) fn sysctl(&mut self, tokens: &[Token<'_>], span: Span) -> Parsed<()> {
        let words: Vec<&str> = tokens.iter().skip(1).map(|t| t.text).collect();
        let joined = words.join(" ");
        let Some((name, value)) = joined.split_once('=') else {
            return Err(ScriptDiagnostic::new(
                "missing-word",
                span,
                "a setting is a name, `=` and a value",
            )
            .help("as in `sysctl nf_conntrack_tcp_loose=0`"));
        };
        self.script.sysctls.push(Sysctl {
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
            span,
        });
        self.early(span)
    }

    /// `timeout web tcp established=100`, `timeout web6 inet6 tcp close=5`; families and protocols by the names
    /// that `nfct` has for them.
    pub(super) fn timeout(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        tokens: &[Token<'_>],
        span: Span,
    ) -> Parsed<()> {
        let name = cursor.word("a name")?;
        let mut protocol = cursor.word("a protocol")?;
        let mut family = Family::V4;
        let mut taken = 3;
        if matches!(protocol.text, "inet" | "inet6") {
            if protocol.text == "inet6" {
                family = Family::V6;
            }
            protocol = cursor.word("a protocol")?;
            taken = 4;
        }
        let bad =
            |error: PolicyError| ScriptDiagnostic::new("bad-timeout", span, error.to_string());
        let mut policy = TimeoutPolicy::new(name.text, family, protocol.text).map_err(bad)?;
        let words: Vec<&str> = tokens.iter().skip(taken).map(|t| t.text).collect();
        for word in words.join(" ").replace(" = ", "=").split_whitespace() {
            let Some((state, seconds)) = word.split_once('=') else {
                return Err(ScriptDiagnostic::new(
                    "missing-word",
                    span,
                    "a timeout is a state, `=` and seconds",
                )
                .help("as in `timeout web tcp established=100`"));
            };
            policy.set(state, seconds).map_err(bad)?;
        }
        if self
            .script
            .timeouts
            .iter()
            .any(|t| t.policy.name() == name.text)
        {
            return Err(ScriptDiagnostic::new(
                "said-twice",
                name.span,
                format!("there is a timeout policy `{}` already", name.text),
            ));
        }
        self.script.timeouts.push(Timeout { policy, span });
        self.early(span)
    }

    /// `rules FILE`, `rules {`.
    pub(super) fn rules(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        span: Span,
        family: RulesFamily,
        lines: &mut Lines<'_>,
    ) -> Parsed<()> {
        let source = source(cursor, span, lines, "rules")?;
        self.script.rules.push(Rules {
            family,
            source,
            span,
        });
        self.early(span)
    }

    /// `ipset FILE`, `ipset {`.
    pub(super) fn ipset(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        span: Span,
        lines: &mut Lines<'_>,
    ) -> Parsed<()> {
        let source = source(cursor, span, lines, "sets")?;
        self.script.ipsets.push(Ipset { source, span });
        self.early(span)
    }

    /// `tick 10ms`.
    pub(super) fn tick(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        let word = cursor.word("a length of time")?;
        self.script.tick = duration(word.text, word.span)?;
        cursor.finish()?;
        self.early(span)
    }

    /// `virtual-time only`.
    pub(super) fn virtual_time(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        if !cursor.takes("only") {
            return Err(cursor.missing("`only`").help("write `virtual-time only`"));
        }
        cursor.finish()?;
        self.script.kernel = KernelUse::VirtualTimeOnly;
        self.early(span)
    }

    /// `kernel skip "reason"`.
    pub(super) fn kernel(&mut self, cursor: &mut Cursor<'_, '_>, span: Span) -> Parsed<()> {
        if !cursor.takes("skip") {
            return Err(cursor
                .missing("`skip`")
                .help("write `kernel skip \"reason\"`"));
        }
        self.script.kernel = KernelUse::Skip(cursor.text("a reason")?);
        cursor.finish()?;
        self.early(span)
    }
}

/// A file, or the lines of a block.
fn source(
    cursor: &mut Cursor<'_, '_>,
    span: Span,
    lines: &mut Lines<'_>,
    what: &str,
) -> Parsed<RulesSource> {
    Ok(match cursor.next() {
        Some(t) if t.kind == Kind::Open => {
            // Taken before anything else is judged: the lines are not ours to read.
            let source = inline(lines, span, what)?;
            cursor.finish()?;
            source
        }
        Some(t) if t.kind == Kind::Word => {
            cursor.finish()?;
            RulesSource::File(t.text.to_owned())
        }
        Some(Token {
            kind: Kind::Text(bytes),
            span,
            ..
        }) => {
            cursor.finish()?;
            let path = String::from_utf8(bytes.clone());
            RulesSource::File(path.map_err(|_| {
                ScriptDiagnostic::new("bad-text", *span, "a path in UTF-8 is needed")
            })?)
        }
        _ => return Err(cursor.missing(&format!("a file's name, or `{{` and {what},"))),
    })
}

/// The lines up to one that holds only `}`.
fn inline(lines: &mut Lines<'_>, span: Span, what: &str) -> Parsed<RulesSource> {
    let lines_before = lines.line.saturating_sub(1);
    let mut text = String::new();
    while let Some((line, _, _)) = lines.raw() {
        if line.trim() == "}" {
            return Ok(RulesSource::Inline { text, lines_before });
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(
        ScriptDiagnostic::new("unclosed-block", span, format!("these {what} never end"))
            .help("add `}` on a line of its own"),
    )
}
