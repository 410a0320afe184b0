//! `--only N`: one packet rule by rule, with the connection and the window arithmetic.

use std::io::{self, Write};

use anstyle::AnsiColor;
use palisade_capture::report::{Explanation, Step, TraceRecord};
use palisade_conntrack::{Direction, TcpStep, print};
use palisade_engine::{Effect, Engine, Failed, Input, Visit};
use palisade_rules::{Family, Match, Rule, TableKind};
use palisade_wire::{Packet, Timestamp};

use crate::output::Paint;

/// The connection that a packet seems to belong to before it is processed, as a line.
pub fn connection_of(engine: &Engine, input: &Input<'_>) -> Option<String> {
    let packet = Packet::parse_truncated(input.bytes).ok()?;
    let (source, destination) = (packet.source(), packet.destination());
    let ports = packet.transport().first_chunk::<4>().map(|b| {
        (
            u16::from_be_bytes([b[0], b[1]]),
            u16::from_be_bytes([b[2], b[3]]),
        )
    });
    let table = engine.conntrack();
    table
        .connections()
        .filter(|c| !c.expired(input.time))
        .find(|c| {
            c.tuples().iter().any(|t| {
                t.source == source
                    && t.destination == destination
                    && t.protocol == packet.protocol()
                    && match (t.source_port(), t.destination_port(), ports) {
                        (Some(a), Some(b), Some((x, y))) => (a, b) == (x, y),
                        _ => true,
                    }
            })
        })
        .map(|c| print::extended(c, table.config(), input.time))
}

/// Writes the explanation.
pub fn write(
    out: &mut impl Write,
    engine: &Engine,
    record: &TraceRecord,
    explanation: &Explanation,
    before: Option<String>,
    now: Timestamp,
    paint: Paint,
) -> io::Result<()> {
    let heading = |text: &str| paint.bold(AnsiColor::White, text);
    let Some(outcome) = &record.outcome else {
        return Ok(());
    };
    writeln!(out)?;
    let family = outcome.family.unwrap_or(Family::V4);
    for step in &explanation.steps {
        match step {
            Step::Enter(hook, table) => {
                writeln!(
                    out,
                    "{}",
                    heading(&format!("{} {}", table.name(), hook.name()))
                )?;
            }
            Step::Rule {
                table,
                chain,
                number,
                rule,
                visit,
                packets,
            } => {
                let text = rule_text(engine, family, *table, chain, rule);
                let (mark, verdict) = match visit {
                    Visit::Matched => (
                        paint.bold(AnsiColor::Green, "✓"),
                        format!("matched, counter {packets} → {}", packets + 1),
                    ),
                    Visit::Failed(failed) => {
                        (paint.dim("·"), format!("no: {}", failure(rule, *failed)))
                    }
                    Visit::Unknown => (
                        paint.bold(AnsiColor::Yellow, "?"),
                        "may match: it holds a match that is not evaluated".into(),
                    ),
                    Visit::HotDrop => (
                        paint.bold(AnsiColor::Red, "✗"),
                        "the packet is too broken for this match, which drops it".into(),
                    ),
                    Visit::MatchedThenDrop => (
                        paint.bold(AnsiColor::Red, "✗"),
                        format!(
                            "matched, counter {packets} → {}; the packet is too broken for this match, which drops it",
                            packets + 1
                        ),
                    ),
                };
                writeln!(
                    out,
                    "  {mark} {chain} {number} (line {})  {text}",
                    rule.position.line
                )?;
                writeln!(out, "      {}", paint.dim(&verdict))?;
            }
            Step::Effect(effect) => {
                writeln!(
                    out,
                    "      {}",
                    paint.color(AnsiColor::Cyan, &effect_text(effect))
                )?;
            }
            Step::Policy(_, chain, accept) => {
                let word = if *accept { "ACCEPT" } else { "DROP" };
                writeln!(
                    out,
                    "  {} policy of {chain}: {word}",
                    paint.bold(AnsiColor::Green, "✓")
                )?;
            }
            Step::Tracked(track) => {
                writeln!(out, "{}", heading("connection tracking"))?;
                writeln!(out, "  {}: {}", track.state, track.reason)?;
            }
        }
    }
    if let Some(step) = &outcome.tcp {
        writeln!(out, "{}", heading("TCP window"))?;
        window(out, step, paint)?;
    }
    writeln!(out, "{}", heading("connection"))?;
    writeln!(out, "  before  {}", before.as_deref().unwrap_or("none"))?;
    let table = engine.conntrack();
    let after = outcome
        .connection
        .and_then(|view| table.connections().find(|c| c.number() == view.number))
        .map(|c| print::extended(c, table.config(), now));
    writeln!(out, "  after   {}", after.as_deref().unwrap_or("none"))?;
    writeln!(out, "{}", heading("verdict"))?;
    writeln!(out, "  {}: {}", outcome.verdict.name(), outcome.why)?;
    if let Some(reply) = outcome.reply.as_ref().and_then(|r| r.sent.as_ref()) {
        writeln!(out, "  answer  {}", super::json::hex(reply))?;
    }
    Ok(())
}

fn rule_text(
    engine: &Engine,
    family: Family,
    table: TableKind,
    chain: &str,
    rule: &Rule,
) -> String {
    engine
        .source(family)
        .and_then(|r| r.table(table))
        .and_then(|t| {
            let chain = t.chains.iter().find(|c| c.name == chain)?;
            Some(palisade_rules::print::rule(t, chain, rule, family))
        })
        .unwrap_or_default()
}

/// What failed, in the rule's words.
fn failure(rule: &Rule, failed: Failed) -> String {
    match failed {
        Failed::Source => "-s does not fit the source".into(),
        Failed::Destination => "-d does not fit the destination".into(),
        Failed::InInterface => "-i does not fit the interface".into(),
        Failed::OutInterface => "-o does not fit the interface".into(),
        Failed::Protocol => "-p does not fit the protocol".into(),
        Failed::Fragment => "-f does not fit".into(),
        Failed::Match(i) => match rule.matches.get(i) {
            Some(Match::State(_)) => "the state is another (-m state)".into(),
            Some(Match::Conntrack(_)) => "the connection is another (-m conntrack)".into(),
            Some(Match::Tcp(_)) => "ports, flags or options differ (-m tcp)".into(),
            Some(Match::Udp(_)) => "ports differ (-m udp)".into(),
            Some(Match::Limit(_)) => "the limit is reached (-m limit)".into(),
            Some(Match::Recent(_)) => "the list says no (-m recent)".into(),
            Some(m) => format!("-m {} does not fit", m.name()),
            None => "a match does not fit".into(),
        },
    }
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Mark { from, to } => format!("packet mark 0x{from:x} → 0x{to:x}"),
        Effect::ConnectionMark { from, to } => format!("connection mark 0x{from:x} → 0x{to:x}"),
        Effect::Logged(prefix) if prefix.is_empty() => "logged".into(),
        Effect::Logged(prefix) => format!("logged with \"{prefix}\""),
        Effect::NoTrack => "exempted from tracking".into(),
        Effect::Translated(text) => format!("translated: {text}"),
        Effect::Template(text) => format!("for a new connection: {text}"),
        Effect::Sets(text) => text.clone(),
        Effect::Changed { field, from, to } => match (*field, from) {
            ("TTL" | "hop limit" | "MSS", Some(from)) => format!("{field} {from} → {to}"),
            (_, Some(from)) => format!("{field} 0x{from:02x} → 0x{to:02x}"),
            (_, None) => format!("{field} {to} added"),
        },
        Effect::Stripped { options: 1 } => "one TCP option overwritten".into(),
        Effect::Stripped { options } => format!("{options} TCP options overwritten"),
        Effect::Copied(gateway) => format!("a copy goes to {gateway}"),
        Effect::Passed(name) => format!("{name} does its work elsewhere"),
    }
}

/// The four comparisons with their numbers, and both ends before and after.
fn window(out: &mut impl Write, step: &TcpStep, paint: Paint) -> io::Result<()> {
    let (sender, receiver) = match step.direction {
        Direction::Original => ("original", "reply"),
        Direction::Reply => ("reply", "original"),
    };
    writeln!(
        out,
        "  {} from the {sender} side, {} → {}: seq {} to {}, ack {}, window {}",
        step.class, step.old, step.new, step.seq, step.end, step.ack, step.window
    )?;
    let tick = |holds: bool| {
        if holds {
            paint.bold(AnsiColor::Green, "✓")
        } else {
            paint.bold(AnsiColor::Red, "✗")
        }
    };
    let rows = [
        (
            "I   seq  ≤ sender.maxend",
            "within the window",
            step.upper_seq,
            true,
        ),
        (
            "II  end  ≥ sender.end − receiver.maxwin",
            "not older than a window",
            step.lower_seq,
            false,
        ),
        (
            "III sack ≤ receiver.end",
            "acknowledges what was sent",
            step.upper_ack,
            true,
        ),
        (
            "IV  sack ≥ receiver.end − MAXACKWINDOW",
            "not an ancient acknowledgement",
            step.lower_ack,
            false,
        ),
    ];
    for (formula, meaning, bound, upper) in rows {
        let room = if upper {
            bound.bound.distance(bound.value)
        } else {
            bound.value.distance(bound.bound)
        };
        let relation = if upper { "≤" } else { "≥" };
        writeln!(
            out,
            "  {} {formula:<40} {:>10} {relation} {:<10}  {}",
            tick(bound.holds),
            bound.value,
            bound.bound,
            paint.dim(&format!("{meaning}, {room} bytes of room"))
        )?;
    }
    if step.liberal {
        writeln!(out, "  liberal: failing comparisons are overlooked")?;
    }
    for (name, direction) in [
        (sender, step.direction),
        (receiver, step.direction.opposite()),
    ] {
        let (a, b) = (
            step.before[direction.index()],
            step.after[direction.index()],
        );
        writeln!(
            out,
            "  {name:<9} end {} → {}  maxend {} → {}  maxwin {} → {}  scale {}",
            a.end, b.end, a.maxend, b.maxend, a.maxwin, b.maxwin, b.scale
        )?;
    }
    picture(out, step, paint)
}

/// The segment over the window that the receiver offered.
fn picture(out: &mut impl Write, step: &TcpStep, paint: Paint) -> io::Result<()> {
    const WIDTH: i64 = 60;
    let sender = step.before[step.direction.index()];
    let receiver = step.before[step.direction.opposite().index()];
    if sender.maxwin == 0 || receiver.maxwin == 0 {
        return Ok(());
    }
    let low = sender.end - receiver.maxwin;
    let span = i64::from(sender.maxend.distance(low)).max(1);
    let place = |n: palisade_wire::SeqNumber| {
        (i64::from(n.distance(low)) * WIDTH / span).clamp(-3, WIDTH + 3) + 3
    };
    let (from, to) = (place(step.seq), place(step.end).max(place(step.seq) + 1));
    let mut bar: Vec<char> = vec![' '; (WIDTH + 8) as usize];
    for cell in &mut bar[3..=(WIDTH as usize + 3)] {
        *cell = '─';
    }
    bar[3] = '├';
    bar[WIDTH as usize + 3] = '┤';
    let bar: String = bar.into_iter().collect();
    let segment: String = (0..WIDTH + 8)
        .map(|i| if (from..to).contains(&i) { '█' } else { ' ' })
        .collect();
    writeln!(out, "  {}", paint.color(AnsiColor::Blue, bar.trim_end()))?;
    writeln!(
        out,
        "  {}",
        paint.color(AnsiColor::Yellow, segment.trim_end())
    )?;
    writeln!(
        out,
        "  {}",
        paint.dim(
            "   the window from the oldest byte still accepted to maxend; below it the segment"
        )
    )
}
