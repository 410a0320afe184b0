//! `palisade reload` and `palisade confirm`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use anyhow::{Result, bail};
use palisade_live::control::message::{
    Answer, Cut, Findings, Flow, Ip, Judgement, Reloaded, Request, RulesText, Severity, Status,
    Term,
};

use super::{ConfirmArguments, ReloadArguments, asked, session};
use crate::Exit;
use crate::args::{Color, Format};
use crate::expression::{self, Only};
use crate::output::Paint;
use crate::{diagnostics, rules};

/// Texts of rules files: they are read here, by who asks, and not by the palisade that runs.
pub fn texts(rules: Option<&Path>, rules6: Option<&Path>) -> Result<Vec<RulesText>> {
    let mut texts = Vec::new();
    for (path, family) in [(rules, Ip::V4), (rules6, Ip::V6)] {
        if let Some(path) = path {
            texts.push(RulesText {
                name: path.display().to_string(),
                family,
                text: rules::text(path)?,
            });
        }
    }
    Ok(texts)
}

/// The files that a running palisade was started with.
pub fn files(socket: &Path) -> Result<[Option<PathBuf>; 2]> {
    let mut status: Option<Box<Status>> = None;
    asked(socket, &Request::Status {}, |answer| {
        if let Answer::Status(told) = answer {
            status = Some(told);
        }
        Ok(())
    })?;
    let rules = status.map(|s| s.rules).unwrap_or_default();
    let of = |family| {
        let rules = rules.iter().find(|r| r.family == family)?;
        rules.file.clone()
    };
    Ok([of(Ip::V4), of(Ip::V6)])
}

/// Findings about one of the texts that were sent.
pub fn tell(findings: &Findings, texts: &[RulesText], color: Color) {
    let paint = Paint::stderr(color);
    let text = texts.iter().find(|t| t.name == findings.name);
    let text = text.map_or("", |t| t.text.as_str());
    for f in findings
        .found
        .iter()
        .filter(|f| f.severity == Severity::Error)
    {
        eprintln!(
            "{}",
            diagnostics::draw_shown(&f.into(), text, &findings.name, paint)
        );
    }
}

/// Runs `palisade reload`.
pub fn reload(arguments: &ReloadArguments) -> Result<Exit> {
    let socket = &arguments.socket.control;
    let previewed = arguments.preview.iter().flatten().next();
    let mut paths = [
        previewed.or(arguments.rules.as_ref()).cloned(),
        arguments.rules6.clone(),
    ];
    if paths == [None, None] {
        paths = files(socket)?;
    }
    let texts = texts(paths[0].as_deref(), paths[1].as_deref())?;
    if texts.is_empty() {
        bail!(
            "the running palisade was started without a file of rules; name one: palisade reload --rules FILE"
        );
    }
    let cut = match &arguments.cut_matching {
        Some(text) => Cut::Matching(terms(text)?),
        None if arguments.cut => Cut::All,
        None => Cut::Keep,
    };
    let cutting = cut != Cut::Keep;
    let request = Request::Reload {
        texts: texts.clone(),
        language: arguments.tools.into(),
        preview: arguments.preview.is_some(),
        cut,
        confirm_seconds: arguments.confirm,
        safety: session::safety(&arguments.safety),
    };
    let paint = Paint::stdout(arguments.color);
    let mut out = std::io::stdout().lock();
    let mut flows = 0u64;
    let exit = asked(socket, &request, |answer| {
        match (answer, arguments.format) {
            (Answer::Findings(findings), _) => tell(&findings, &texts, arguments.color),
            (Answer::Flow(flow), Format::Json) => {
                flows += 1;
                writeln!(out, "{}", serde_json::json!({ "flow": flow }))?;
            }
            (Answer::Flow(flow), Format::Human) => {
                flows += 1;
                out.write_all(line(&flow, paint).as_bytes())?;
            }
            (Answer::Text(text), Format::Human) => out.write_all(text.as_bytes())?,
            (Answer::Reloaded(reloaded), Format::Json) => {
                writeln!(out, "{}", serde_json::json!({ "reloaded": reloaded }))?;
            }
            (Answer::Reloaded(reloaded), Format::Human) => {
                out.write_all(sentence(&reloaded, cutting).as_bytes())?;
            }
            _ => {}
        }
        Ok(())
    })?;
    if arguments.preview.is_some() && arguments.format == Format::Human && exit != Exit::BadInput {
        let word = match flows {
            0 => "no live flow would be judged differently".to_string(),
            1 => "1 live flow would be judged differently; nothing has changed".to_string(),
            n => format!("{n} live flows would be judged differently; nothing has changed"),
        };
        writeln!(out, "{word}")?;
    }
    Ok(exit)
}

/// The terms of `--cut-matching`, of the language of `trace --only`.
fn terms(text: &str) -> Result<Vec<Term>> {
    let Only::Terms(terms) = Only::parse(text)? else {
        bail!("--cut-matching {text}: terms such as host=203.0.113.9 and port=22 are needed");
    };
    let terms = terms.into_iter().map(|term| {
        Ok(match term {
            expression::Term::Host(address) => Term::Host(address),
            expression::Term::Port(port) => Term::Port(port),
            expression::Term::Protocol(name) => Term::Protocol(name),
            expression::Term::Connection(number) => Term::Connection(number),
            expression::Term::Verdict(name) => Term::Verdict(name),
            expression::Term::State(_) | expression::Term::Hook(_) => {
                bail!("--cut-matching {text}: host=, port=, proto=, connection= and verdict= are known of live flows")
            }
        })
    });
    terms.collect()
}

/// A verdict with its rule.
pub fn judged(judgement: &Judgement, paint: Paint) -> String {
    let color = match judgement.verdict.as_str() {
        "ACCEPT" => AnsiColor::Green,
        "UNKNOWN" => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let rule = match judgement.rule.as_str() {
        "" => String::new(),
        rule => format!("  {}", paint.dim(rule)),
    };
    format!(
        "{} by {}{rule}",
        paint.bold(color, &judgement.verdict),
        judgement.by
    )
}

/// A flow in three lines.
fn line(flow: &Flow, paint: Paint) -> String {
    let cut = if flow.cut { ", cut" } else { "" };
    format!(
        "connection {} {} {} -> {} ({} packets{cut})\n  old {}\n  new {}\n",
        flow.connection,
        flow.protocol,
        flow.from,
        flow.to,
        flow.direction,
        judged(&flow.old, paint),
        judged(&flow.new, paint)
    )
}

fn sentence(reloaded: &Reloaded, cutting: bool) -> String {
    let mut out = format!(
        "rules in place: {} as before, {} new, {} gone; connections stay",
        reloaded.kept, reloaded.added, reloaded.removed
    );
    if cutting {
        out.push_str(&format!(", but for {} that were cut", reloaded.cut));
    }
    out.push('\n');
    if let Some(seconds) = reloaded.confirm_seconds {
        out.push_str(&format!(
            "the old rules come back in {seconds} s unless palisade confirm is said before\n"
        ));
    }
    out
}

/// Runs `palisade confirm`.
pub fn confirm(arguments: &ConfirmArguments) -> Result<Exit> {
    asked(&arguments.socket.control, &Request::Confirm {}, |_| Ok(()))
}
