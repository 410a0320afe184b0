//! `palisade trace`.

mod explain;
mod human;
mod json;
mod program;
mod script;
mod summary;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use palisade_capture::pcap::{self, Frame, Writer};
use palisade_capture::report::{Explanation, Matched, Summary, TraceRecord};
use palisade_conntrack::Config;
use palisade_engine::{Engine, Evaluator, Host, Input, LinkInfo, Outcome, Route, Setup, Verdict};
use palisade_rules::{Family, Severity, ipset};
use palisade_wire::link::{self, LinkType, ethertype};
use palisade_wire::{Packet, Timestamp, proto};

use crate::Exit;
use crate::args::{Format, TraceArguments};
use crate::expression::Only;
use crate::output::Paint;
use crate::{host, infer, rules, sets};

/// Name of a protocol, as `-p` takes it.
pub fn protocol_name(number: u8) -> String {
    match number {
        proto::ICMPV6 => "icmpv6".into(),
        n => palisade_rules::names::protocol_name(n),
    }
}

/// Where records go.
struct Sink<'a> {
    out: BufWriter<io::StdoutLock<'static>>,
    arguments: &'a TraceArguments,
    only: Option<Only>,
    human: human::Layout,
    accepted: Option<Writer<BufWriter<File>>>,
    summary: Summary,
    /// One engine saw all packets, so that "never hit" means something.
    one_engine: bool,
}

impl<'a> Sink<'a> {
    fn new(arguments: &'a TraceArguments) -> Result<Self> {
        let accepted = match &arguments.write_accepted {
            Some(path) => {
                let file = File::create(path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Some(Writer::new(BufWriter::new(file), LinkType::Raw)?)
            }
            None => None,
        };
        Ok(Sink {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            arguments,
            only: arguments.only.as_deref().map(Only::parse).transpose()?,
            human: human::Layout::new(Paint::stdout(arguments.color)),
            accepted,
            summary: Summary::default(),
            one_engine: true,
        })
    }

    /// Whether packet `n` is to be explained rule by rule.
    fn explains(&self, n: u64) -> bool {
        self.only == Some(Only::Packet(n)) && self.arguments.format == Format::Human
    }

    /// Whether no line of any packet is wanted.
    fn silent(&self) -> bool {
        self.arguments.summary
    }

    fn record(&mut self, record: &TraceRecord, bytes: &[u8]) -> io::Result<()> {
        if self.silent() || self.only.as_ref().is_some_and(|o| !o.fits(record)) {
            return Ok(());
        }
        match self.arguments.format {
            Format::Human => self.human.line(&mut self.out, record),
            Format::Json => {
                let leaves = (self.arguments.hex)
                    .then(|| record.outcome.as_ref().and_then(|o| leaving(o, bytes)))
                    .flatten();
                json::line(&mut self.out, record, leaves.as_deref())
            }
        }
    }

    fn keep(&mut self, time: Timestamp, outcome: &Outcome, bytes: &[u8]) -> io::Result<()> {
        if let Some(writer) = &mut self.accepted
            && let Some(bytes) = leaving(outcome, bytes)
        {
            writer.write(time, &bytes, bytes.len())?;
        }
        Ok(())
    }

    /// What stands at the end: rules, table, summary.
    fn finish(mut self, engine: &Engine, now: Timestamp) -> Result<()> {
        if let Some(writer) = self.accepted.take() {
            writer.finish()?;
        }
        self.summary.connections += engine.conntrack().stats().inserted;
        let idle = if self.one_engine {
            Summary::never_hit(engine)
        } else {
            Vec::new()
        };
        let whole = self.only.is_none() || self.silent();
        match self.arguments.format {
            Format::Human => {
                if whole {
                    summary::human(&mut self.out, &self.summary, &idle, self.human.paint())?;
                }
            }
            Format::Json => {
                if whole {
                    summary::json(&mut self.out, &self.summary, &idle)?;
                }
            }
        }
        if self.arguments.counters {
            summary::counters(&mut self.out, engine, self.arguments.format)?;
        }
        if self.arguments.explain_program {
            program::print(&mut self.out, engine, self.arguments.format)?;
        }
        if self.arguments.conntrack {
            summary::connections(&mut self.out, engine, now, self.arguments.format)?;
        }
        self.out.flush()?;
        Ok(())
    }
}

/// The bytes of an accepted packet as it leaves: put together, translated, time to live lowered on the way
/// through.
fn leaving(outcome: &Outcome, bytes: &[u8]) -> Option<Vec<u8>> {
    if outcome.verdict != Verdict::Accept {
        return None;
    }
    match &outcome.output {
        Some(output) => Some(output.clone()),
        None => Some(Packet::parse_truncated(bytes).ok()?.bytes().to_vec()),
    }
}

/// Runs the command.
pub fn run(arguments: &TraceArguments) -> Result<Exit> {
    let mut config = Config::default();
    let mut ipsets = arguments.ipset.clone();
    let told = host::resolve(arguments, &mut config, &mut ipsets)?;
    let mut setup = Setup {
        conntrack: config,
        evaluator: evaluator(arguments)?,
        ..Setup::default()
    };
    let paint = Paint::stderr(arguments.color);
    let sets = match sets::read(&ipsets, paint)? {
        Ok(sets) => sets,
        Err(_) => return Ok(Exit::BadInput),
    };
    if !read_rules(arguments, &mut setup, sets.as_ref())? {
        return Ok(Exit::BadInput);
    }
    match (&arguments.pcap, &arguments.script) {
        (Some(path), None) => {
            setup.host = match told {
                Some(host) => host,
                None => guess(path, arguments)?,
            };
            capture(arguments, path, setup)
        }
        (None, Some(path)) => script::run(arguments, path, setup, told),
        (None, None) if arguments.explain_program => {
            program::print(
                &mut io::stdout().lock(),
                &Engine::new(setup)?,
                arguments.format,
            )?;
            Ok(Exit::Yes)
        }
        _ => bail!("give a capture with --pcap FILE or a packet script with --script FILE"),
    }
}

/// Who walks the rules. An explanation tells of the rules that did not match too, so it is always of a walk rule by
/// rule.
fn evaluator(arguments: &TraceArguments) -> Result<Evaluator> {
    let only = arguments.only.as_deref().map(Only::parse).transpose()?;
    Ok(match only {
        Some(Only::Packet(_)) if arguments.format == Format::Human => Evaluator::Linear,
        _ => arguments.evaluator.into(),
    })
}

/// Reads the rules into the setup; `false` when they are wrong, which has been told.
fn read_rules(
    arguments: &TraceArguments,
    setup: &mut Setup,
    sets: Option<&ipset::Sets>,
) -> Result<bool> {
    let paint = Paint::stderr(arguments.color);
    let mut good = true;
    for (path, family) in [
        (&arguments.rules, Family::V4),
        (&arguments.rules6, Family::V6),
    ] {
        let Some(path) = path else { continue };
        let mut file = rules::read(path, family)?;
        sets::check(&mut file, sets);
        rules::tell(&file, path, Severity::Warning, paint);
        good &= !file.parsed.has_errors();
        let kept: Vec<&str> = file
            .parsed
            .diagnostics
            .iter()
            .filter(|d| d.code == "not-evaluated")
            .map(|d| d.message.as_str())
            .collect();
        if !kept.is_empty() {
            eprintln!(
                "note: {}: {}; packets whose fate depends on it are UNKNOWN",
                path.display(),
                kept.join("; ")
            );
        }
        if let Some(v4) = file.parsed.v4 {
            setup.rules4 = Some(v4);
        }
        if let Some(v6) = file.parsed.v6 {
            setup.rules6 = Some(v6);
        }
    }
    if let Some(sets) = sets {
        setup.ipsets = sets.clone();
    }
    Ok(good)
}

fn guess(path: &Path, arguments: &TraceArguments) -> Result<Host> {
    let host = infer::host(path).with_context(|| format!("cannot read {}", path.display()))?;
    let addresses: Vec<String> = host
        .interfaces
        .iter()
        .flat_map(|i| &i.addresses)
        .map(|a| a.to_string())
        .collect();
    if !addresses.is_empty() && !arguments.summary {
        eprintln!(
            "note: nobody said whose rules these are; taking {} for the firewall's address, which occurs most \
             (--local ADDR,… and --interface NAME=PREFIX say otherwise)",
            addresses.join(" and ")
        );
    }
    Ok(host)
}

fn capture(arguments: &TraceArguments, path: &Path, setup: Setup) -> Result<Exit> {
    let mut engine = Engine::new(setup)?;
    let (mut reader, progress) =
        pcap::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut sink = Sink::new(arguments)?;
    let bar = bar(progress.size, arguments);
    let mut now = Timestamp::default();
    let mut damage = None;
    loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                damage = Some(error);
                break;
            }
        };
        now = now.max(frame.time);
        if frame.number.is_multiple_of(4096)
            && let Some(bar) = &bar
        {
            bar.set_position(progress.read());
        }
        one(&mut engine, &mut sink, &frame)?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    engine.expire(now);
    let frames = sink.summary.frames;
    if let Some(Only::Packet(n)) = sink.only
        && (n == 0 || n > frames)
    {
        bail!("there is no packet {n}: the capture has {frames}");
    }
    sink.finish(&engine, now)?;
    if let Some(error) = damage {
        bail!(
            "{}: {error}; {frames} frames before it were traced",
            path.display()
        );
    }
    Ok(Exit::Yes)
}

fn bar(size: u64, arguments: &TraceArguments) -> Option<ProgressBar> {
    // Lines on the same terminal would tear it apart.
    let quiet = arguments.summary || !io::stdout().is_terminal();
    if size < 1 << 20 || !io::stderr().is_terminal() || !quiet {
        return None;
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    Some(ProgressBar::new(size).with_style(style))
}

fn one(engine: &mut Engine, sink: &mut Sink<'_>, frame: &Frame<'_>) -> io::Result<()> {
    let decoded = link::decode(frame.link, frame.data);
    let Some(decoded) = decoded.filter(|d| d.is_ip()) else {
        sink.summary.add_not_ip();
        let what = decoded.map_or_else(
            || format!("link type {}", u16::from(frame.link)),
            |d| ethertype_name(d.ethertype),
        );
        let record = TraceRecord::not_ip(frame.number, frame.time, frame.original_len, what);
        return sink.record(&record, &[]);
    };
    let input = Input {
        bytes: decoded.network,
        time: frame.time,
        route: route(engine.host(), frame.interface, &decoded),
        link: LinkInfo {
            source_mac: decoded.source_mac,
            destination_mac: decoded.destination_mac,
            packet_type: decoded.packet_type,
        },
        snapped: frame.snapped(),
        ..Input::new(decoded.network)
    };
    if sink.silent() {
        let outcome = engine.process(&input, &mut ());
        let length = Packet::parse_truncated(input.bytes).map_or(0, |p| p.declared_len());
        sink.summary.add(length, &outcome);
        return sink.keep(frame.time, &outcome, input.bytes);
    }
    if sink.explains(frame.number) {
        return explained(engine, sink, frame.number, &input);
    }
    let mut matched = Matched::default();
    let outcome = engine.process(&input, &mut matched);
    let record = TraceRecord::new(
        frame.number,
        frame.time,
        input.bytes,
        outcome,
        matched.rules,
    );
    if let Some(outcome) = &record.outcome {
        sink.summary.add(record.length, outcome);
        sink.keep(frame.time, outcome, input.bytes)?;
    }
    sink.record(&record, input.bytes)
}

/// One packet rule by rule.
fn explained(
    engine: &mut Engine,
    sink: &mut Sink<'_>,
    n: u64,
    input: &Input<'_>,
) -> io::Result<()> {
    engine.set_explain(true);
    let before = explain::connection_of(engine, input);
    let mut explanation = Explanation::default();
    let outcome = engine.process(input, &mut explanation);
    engine.set_explain(false);
    let record = TraceRecord::new(
        n,
        input.time,
        input.bytes,
        outcome,
        explanation.matched().to_vec(),
    );
    if let Some(outcome) = &record.outcome {
        sink.summary.add(record.length, outcome);
        sink.keep(input.time, outcome, input.bytes)?;
    }
    sink.record(&record, input.bytes)?;
    if sink.silent() {
        return Ok(());
    }
    let paint = sink.human.paint();
    explain::write(
        &mut sink.out,
        engine,
        &record,
        &explanation,
        before,
        input.time,
        paint,
    )
}

/// A pcapng interface name is the interface that a packet came in by, or, from a local address,
/// leaves by.
pub fn route(host: &Host, interface: Option<&Arc<str>>, decoded: &link::LinkFrame<'_>) -> Route {
    let Some(name) = interface else {
        return Route::Auto;
    };
    let local = Packet::parse_truncated(decoded.network).is_ok_and(|p| host.is_local(p.source()));
    if local || decoded.packet_type == Some(link::PacketType::Outgoing) {
        Route::Out(Arc::clone(name))
    } else {
        Route::In(Arc::clone(name))
    }
}

fn ethertype_name(value: u16) -> String {
    match value {
        ethertype::ARP => "ARP".into(),
        ethertype::MPLS => "MPLS".into(),
        ethertype::PPPOE_SESSION => "PPPoE".into(),
        0x8863 => "PPPoE discovery".into(),
        0x88cc => "LLDP".into(),
        n if n < 0x600 => "802.3 frame".into(),
        n => format!("ethertype 0x{n:04x}"),
    }
}
