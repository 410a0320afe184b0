//! One JSON object a packet, one a line: the contract for programs (docs/trace-json.md).

use std::io::{self, Write};
use std::net::IpAddr;

use palisade_capture::report::{TraceRecord, Transport};
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    n: u64,
    time: f64,
    #[serde(rename = "in")]
    in_interface: Option<&'a str>,
    out: Option<&'a str>,
    hook: Option<&'static str>,
    proto: Option<String>,
    src: Option<IpAddr>,
    sport: Option<u16>,
    dst: Option<IpAddr>,
    dport: Option<u16>,
    ctstate: Option<&'static str>,
    ctdir: Option<&'static str>,
    ct: Option<Connection>,
    verdict: Option<&'static str>,
    reply: Option<String>,
    rules: Vec<Rule<'a>>,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

#[derive(Serialize)]
struct Connection {
    id: u64,
    state: Option<&'static str>,
    timeout: u64,
    assured: bool,
    replied: bool,
    mark: u32,
    helper: Option<&'static str>,
    master: Option<u64>,
    nat: Option<Nat>,
}

/// How packets of the original direction leave, when that is not how they come.
#[derive(Serialize)]
struct Nat {
    src: IpAddr,
    sport: Option<u16>,
    dst: IpAddr,
    dport: Option<u16>,
}

#[derive(Serialize)]
struct Rule<'a> {
    table: &'static str,
    chain: &'a str,
    rule: u32,
    line: u32,
    target: &'a str,
}

/// Bytes as hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// Writes one record.
pub fn line(out: &mut impl Write, record: &TraceRecord, leaves: Option<&[u8]>) -> io::Result<()> {
    let outcome = record.outcome.as_ref();
    let ports = match record.transport {
        Transport::Ports(a, b) => (Some(a), Some(b)),
        _ => (None, None),
    };
    let line = Line {
        n: record.n,
        time: record.time.as_secs_f64(),
        in_interface: outcome.and_then(|o| o.in_interface.as_deref()),
        out: outcome.and_then(|o| o.out_interface.as_deref()),
        hook: outcome.and_then(|o| o.hook).map(|h| h.name()),
        proto: record.protocol.map(super::protocol_name),
        src: record.source,
        sport: ports.0,
        dst: record.destination,
        dport: ports.1,
        ctstate: outcome.and_then(|o| o.state).map(|s| s.name()),
        ctdir: outcome.and_then(|o| o.direction).map(|d| d.name()),
        ct: outcome.and_then(|o| o.connection).map(|c| Connection {
            id: c.number,
            state: c.state,
            timeout: c.timeout,
            assured: c.assured,
            replied: c.replied,
            mark: c.mark,
            helper: c.helper,
            master: c.master,
            nat: c.translation.map(|t| Nat {
                src: t.to.source,
                sport: t.to.source_port(),
                dst: t.to.destination,
                dport: t.to.destination_port(),
            }),
        }),
        verdict: outcome.map(|o| o.verdict.name()),
        reply: outcome
            .and_then(|o| o.reply.as_ref()?.sent.as_deref())
            .map(hex),
        rules: record
            .rules
            .iter()
            .map(|r| Rule {
                table: r.table.name(),
                chain: &r.chain,
                rule: r.rule,
                line: r.line,
                target: &r.target,
            })
            .collect(),
        why: match (outcome, &record.not_ip) {
            (Some(o), _) => o.why.to_string(),
            (None, Some(what)) => format!("not IP: {what}"),
            (None, None) => String::new(),
        },
        bytes: leaves.map(hex),
    };
    serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
    out.write_all(b"\n")
}
