//! What stands at the end of a trace.

use std::io::{self, Write};

use anstyle::AnsiColor;
use palisade_capture::report::{Idle, Summary};
use palisade_conntrack::print;
use palisade_engine::Engine;
use palisade_rules::Family;
use palisade_wire::Timestamp;
use serde_json::json;

use crate::args::Format;
use crate::output::Paint;

/// Rules never hit that are listed at most.
const LISTED: usize = 20;

/// The summary for people.
pub fn human(
    out: &mut impl Write,
    summary: &Summary,
    idle: &[Idle],
    paint: Paint,
) -> io::Result<()> {
    let heading = |text: &str| paint.bold(AnsiColor::White, text);
    writeln!(out)?;
    let packets = summary.frames - summary.not_ip;
    write!(
        out,
        "{} {packets} packets, {} bytes, {} connections, {:.1} rules visited a packet",
        heading("summary "),
        summary.bytes,
        summary.connections,
        summary.visited_mean()
    )?;
    if summary.not_ip > 0 {
        write!(out, ", {} frames without IP", summary.not_ip)?;
    }
    writeln!(out)?;
    let row = |names: &[&str; 6], counts: &[u64; 6]| {
        names
            .iter()
            .zip(counts)
            .filter(|(_, n)| **n > 0)
            .map(|(name, n)| format!("{name} {n}"))
            .collect::<Vec<_>>()
            .join("  ")
    };
    writeln!(
        out,
        "{} {}",
        heading("states  "),
        row(&Summary::STATES, &summary.states)
    )?;
    writeln!(
        out,
        "{} {}",
        heading("verdicts"),
        row(&Summary::VERDICTS, &summary.verdicts)
    )?;
    if let Some((held, failed)) = summary.expectations {
        let text = format!("{held} held, {failed} failed");
        let text = if failed > 0 {
            paint.bold(AnsiColor::Red, &text)
        } else {
            paint.color(AnsiColor::Green, &text)
        };
        writeln!(out, "{} {text}", heading("expected"))?;
    }
    if !idle.is_empty() {
        let shown: Vec<String> = idle
            .iter()
            .take(LISTED)
            .map(|(family, table, chain, rule, line)| {
                let six = if *family == Family::V6 { "6:" } else { "" };
                format!("{six}{} {chain} {rule} (line {line})", table.name())
            })
            .collect();
        let more = idle.len().saturating_sub(LISTED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        writeln!(out, "{} {}{more}", heading("idle    "), shown.join(", "))?;
    }
    Ok(())
}

/// The summary for programs.
pub fn json(out: &mut impl Write, summary: &Summary, idle: &[Idle]) -> io::Result<()> {
    let map = |names: &[&str; 6], counts: &[u64; 6]| {
        names
            .iter()
            .zip(counts)
            .map(|(name, n)| (name.to_string(), json!(n)))
            .collect::<serde_json::Map<_, _>>()
    };
    let idle: Vec<_> = idle
        .iter()
        .map(|(family, table, chain, rule, line)| {
            json!({"family": if *family == Family::V6 { 6 } else { 4 }, "table": table.name(), "chain": chain, "rule": rule, "line": line})
        })
        .collect();
    let mut body = json!({
        "frames": summary.frames,
        "not_ip": summary.not_ip,
        "bytes": summary.bytes,
        "states": map(&Summary::STATES, &summary.states),
        "verdicts": map(&Summary::VERDICTS, &summary.verdicts),
        "connections": summary.connections,
        "rules_visited": summary.visited,
        "never_hit": idle,
    });
    if let Some((held, failed)) = summary.expectations {
        body["expectations"] = json!({"held": held, "failed": failed});
    }
    writeln!(out, "{}", json!({ "summary": body }))
}

/// The rules with their counters.
pub fn counters(out: &mut impl Write, engine: &Engine, format: Format) -> io::Result<()> {
    for family in [Family::V4, Family::V6] {
        let Some(ruleset) = engine.ruleset(family) else {
            continue;
        };
        let text = palisade_rules::print::save(&ruleset, true);
        match format {
            Format::Human => write!(out, "\n# {family}\n{text}")?,
            Format::Json => writeln!(
                out,
                "{}",
                json!({"counters": {"family": if family == Family::V6 { 6 } else { 4 }, "save": text}})
            )?,
        }
    }
    Ok(())
}

/// The connection table.
pub fn connections(
    out: &mut impl Write,
    engine: &Engine,
    now: Timestamp,
    format: Format,
) -> io::Result<()> {
    let table = engine.conntrack();
    let mut lines: Vec<(u64, String)> = table
        .connections()
        .map(|c| (c.number(), print::extended(c, table.config(), now)))
        .collect();
    lines.sort();
    match format {
        Format::Human => {
            writeln!(out)?;
            for (_, line) in &lines {
                writeln!(out, "{line}")?;
            }
        }
        Format::Json => {
            let lines: Vec<&String> = lines.iter().map(|(_, l)| l).collect();
            writeln!(out, "{}", json!({ "conntrack": lines }))?;
        }
    }
    Ok(())
}
