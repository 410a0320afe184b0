//! `--script`: packets written by hand, and what should come of them.

use std::path::Path;

use anstyle::AnsiColor;
use anyhow::{Context, Result, bail};
use palisade_capture::report::{Explanation, TraceRecord};
use palisade_capture::script::{
    self, EngineSubject, Event, Prepared, RulesSource, Script, Subject,
};
use palisade_engine::{Engine, Host, Setup};
use palisade_rules::Severity;
use palisade_wire::Timestamp;
use std::io::Write;

use super::{Sink, explain};
use crate::Exit;
use crate::args::{Format, TraceArguments};
use crate::diagnostics;
use crate::output::Paint;
use crate::rules::{RulesFile, tell};
use crate::sets;

/// Plays a script.
pub fn run(
    arguments: &TraceArguments,
    path: &Path,
    setup: Setup,
    told: Option<Host>,
) -> Result<Exit> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (script, faults) = script::parse(&text);
    if !faults.is_empty() {
        for fault in &faults {
            eprintln!("{}\n", fault.draw(&path.display().to_string(), &text));
        }
        return Ok(Exit::BadInput);
    }
    let Some(prepared) = prepare(arguments, path, &script, setup, told)? else {
        return Ok(Exit::BadInput);
    };
    play(arguments, path, &script, &prepared)
}

/// Rules, host and settings: the command line's words outweigh the script's.
fn prepare(
    arguments: &TraceArguments,
    path: &Path,
    script: &Script,
    setup: Setup,
    told: Option<Host>,
) -> Result<Option<Prepared>> {
    let mut prepared = Prepared {
        host: told.unwrap_or_else(|| script.host()),
        evaluator: setup.evaluator,
        ..Prepared::default()
    };
    for sysctl in &script.sysctls {
        prepared
            .conntrack
            .set(&sysctl.name, &sysctl.value)
            .with_context(|| format!("{}:{}", path.display(), sysctl.span.line))?;
    }
    for timeout in &script.timeouts {
        let added = prepared.conntrack.add_policy(timeout.policy.clone());
        added.with_context(|| format!("{}:{}", path.display(), timeout.span.line))?;
    }
    for setting in &arguments.sysctl {
        if let Some((name, value)) = setting.split_once('=') {
            prepared.conntrack.set(name, value)?;
        }
    }
    let paint = Paint::stderr(arguments.color);
    let mut good = true;
    prepared.ipsets = setup.ipsets;
    if prepared.ipsets.is_empty() {
        good = ipsets(path, script, &mut prepared, paint)?;
    }
    if setup.rules4.is_some() || setup.rules6.is_some() {
        prepared.rules4 = setup.rules4;
        prepared.rules6 = setup.rules6;
        return Ok(good.then_some(prepared));
    }
    for statement in &script.rules {
        match &statement.source {
            RulesSource::Inline {
                text: rules,
                lines_before,
            } => {
                let mut parsed = prepared.add_rules(rules, statement.family);
                let given = (!prepared.ipsets.is_empty()).then_some(&prepared.ipsets);
                let found = sets::findings(rules, &parsed, given);
                parsed.diagnostics.extend(found);
                for d in &parsed.diagnostics {
                    if d.severity >= Severity::Warning {
                        let drawn = diagnostics::draw(d, rules, &path.display().to_string(), paint);
                        eprintln!("{drawn}  (line {} of the script)\n", d.line + lines_before);
                    }
                }
                good &= !parsed.has_errors();
            }
            RulesSource::File(file) => {
                let place = path.with_file_name(file);
                let bytes = std::fs::read(&place).with_context(|| {
                    format!(
                        "cannot read {} ({}:{})",
                        place.display(),
                        path.display(),
                        statement.span.line
                    )
                })?;
                let rules = String::from_utf8_lossy(&bytes).into_owned();
                let parsed = prepared.add_rules(&rules, statement.family);
                good &= !parsed.has_errors();
                let mut file = RulesFile {
                    text: rules,
                    parsed,
                };
                let given = (!prepared.ipsets.is_empty()).then_some(&prepared.ipsets);
                sets::check(&mut file, given);
                good &= !file.parsed.has_errors();
                tell(&file, &place, Severity::Warning, paint);
            }
        }
    }
    Ok(good.then_some(prepared))
}

/// The script's sets; `false` when they are wrong, which has been told.
fn ipsets(path: &Path, script: &Script, prepared: &mut Prepared, paint: Paint) -> Result<bool> {
    let mut good = true;
    for statement in &script.ipsets {
        let (text, place, before) = match &statement.source {
            RulesSource::Inline { text, lines_before } => {
                (text.clone(), path.to_path_buf(), *lines_before)
            }
            RulesSource::File(file) => {
                let place = path.with_file_name(file);
                let text = std::fs::read_to_string(&place)
                    .with_context(|| format!("cannot read {}", place.display()))?;
                (text, place, 0)
            }
        };
        let parsed = prepared.add_ipsets(&text);
        for d in &parsed.diagnostics {
            let drawn = diagnostics::draw(d, &text, &place.display().to_string(), paint);
            match before {
                0 => eprintln!("{drawn}"),
                before => eprintln!("{drawn}  (line {} of the script)\n", d.line + before),
            }
        }
        good &= !parsed.has_errors();
    }
    Ok(good)
}

fn play(
    arguments: &TraceArguments,
    path: &Path,
    script: &Script,
    prepared: &Prepared,
) -> Result<Exit> {
    let mut sink = Sink::new(arguments)?;
    let paint = Paint::stdout(arguments.color);
    let (mut held, mut failed) = (0u64, 0u64);
    let mut last = None;
    let mut now = Timestamp::default();
    sink.one_engine = script.tests.len() == 1;
    for test in &script.tests {
        if let Some(engine) = last.take() {
            let engine: Engine = engine;
            sink.summary.connections += engine.conntrack().stats().inserted;
        }
        let mut subject = EngineSubject::new(prepared.engine()?);
        let mut known = script::Connections::default();
        if let (Some(title), Format::Human, false, None) =
            (&test.title, arguments.format, sink.silent(), &sink.only)
        {
            writeln!(sink.out, "\n{}", paint.bold(AnsiColor::White, title))?;
        }
        let mut player = script.play(test, Timestamp::default());
        while let Some(event) = player.next() {
            match event {
                Event::Packet(sent) => {
                    now = sent.time;
                    let n = test.packets_before.saturating_add(sent.number);
                    let observed = if sink.explains(n) {
                        explained(&mut subject, &mut sink, n, &sent, paint)?
                    } else {
                        let observed = subject.packet(&sent);
                        if let Some((outcome, matched)) = subject.last.take() {
                            let record =
                                TraceRecord::new(n, sent.time, &sent.bytes, outcome, matched.rules);
                            if let Some(outcome) = &record.outcome {
                                sink.summary.add(record.length, outcome);
                                sink.keep(sent.time, outcome, &sent.bytes)?;
                            }
                            sink.record(&record, &sent.bytes)?;
                        }
                        observed
                    };
                    for expectation in sent.expectations() {
                        match script::check(expectation, &observed, &known) {
                            Ok(_) => held += 1,
                            Err(mismatch) => {
                                failed += 1;
                                tell_failure(
                                    &mut sink,
                                    path,
                                    mismatch.span.line,
                                    &mismatch.to_string(),
                                    Some(n),
                                    paint,
                                )?;
                            }
                        }
                    }
                    known.note(&sent, &observed);
                    if let script::Seen::Seen(left) = &observed.left {
                        player.left(&sent, left.as_deref());
                    }
                    if let script::Seen::Seen(Some(answer)) = &observed.answer {
                        player.answered(answer);
                    }
                }
                Event::Check { time, check, round } => {
                    now = time;
                    match script::look(check, round, time, &mut subject) {
                        Ok(_) => held += 1,
                        Err(mismatch) => {
                            failed += 1;
                            tell_failure(
                                &mut sink,
                                path,
                                mismatch.span.line,
                                &mismatch.to_string(),
                                None,
                                paint,
                            )?;
                        }
                    }
                }
            }
        }
        last = Some(subject.into_engine());
    }
    let Some(mut engine) = last else {
        bail!("{}: the script sends no packets", path.display());
    };
    engine.expire(now);
    sink.summary.expectations = Some((held, failed));
    sink.finish(&engine, now)?;
    Ok(if failed > 0 { Exit::No } else { Exit::Yes })
}

fn explained(
    subject: &mut EngineSubject,
    sink: &mut Sink<'_>,
    n: u64,
    sent: &script::Sent<'_>,
    paint: Paint,
) -> Result<script::Observed> {
    let input = script::input(sent);
    let engine = subject.engine_mut();
    engine.set_explain(true);
    let before = explain::connection_of(engine, &input);
    let mut explanation = Explanation::default();
    let outcome = engine.process(&input, &mut explanation);
    engine.set_explain(false);
    let matched = palisade_capture::report::Matched {
        rules: explanation.matched().to_vec(),
    };
    let observed = script::observed(engine, &outcome, &matched, &sent.bytes, sent.time);
    let record = TraceRecord::new(n, sent.time, &sent.bytes, outcome, matched.rules);
    if let Some(outcome) = &record.outcome {
        sink.summary.add(record.length, outcome);
    }
    sink.record(&record, &sent.bytes)?;
    if !sink.silent() {
        explain::write(
            &mut sink.out,
            engine,
            &record,
            &explanation,
            before,
            sent.time,
            paint,
        )?;
    }
    Ok(observed)
}

/// A failed expectation: to standard output among the packets, or, for programs, to standard error.
fn tell_failure(
    sink: &mut Sink<'_>,
    path: &Path,
    line: u32,
    text: &str,
    packet: Option<u64>,
    paint: Paint,
) -> std::io::Result<()> {
    let packet = packet.map_or(String::new(), |n| format!(" (packet {n})"));
    let head = format!("{}:{line}: expectation failed{packet}", path.display());
    if sink.arguments.format == Format::Json {
        eprintln!("{head}\n{text}");
        return Ok(());
    }
    writeln!(sink.out, "{}", paint.bold(AnsiColor::Red, &head))?;
    for row in text.lines() {
        writeln!(sink.out, "    {row}")?;
    }
    Ok(())
}
