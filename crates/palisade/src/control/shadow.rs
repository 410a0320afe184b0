//! `palisade shadow`.

use std::io::Write;
use std::sync::atomic::Ordering;

use anyhow::Result;
use palisade_live::control::AskError;
use palisade_live::control::message::{Answer, Differences, Ended, Request, Sample};

use super::reload::{judged, tell, texts};
use super::{ShadowArguments, ask_until_stopped};
use crate::Exit;
use crate::args::Format;
use crate::output::Paint;

/// Runs `palisade shadow`: 1 when packets were judged differently.
pub fn shadow(arguments: &ShadowArguments) -> Result<Exit> {
    let texts = texts(arguments.rules.as_deref(), arguments.rules6.as_deref())?;
    let request = Request::Shadow {
        texts: texts.clone(),
        language: arguments.tools.into(),
        seconds: arguments.time,
    };
    let (mut asked, stopped) = ask_until_stopped(&arguments.socket.control, &request)?;
    let mut last: Option<Box<Differences>> = None;
    let ended = asked.each(|answer| {
        match answer {
            Answer::Findings(findings) => tell(&findings, &texts, arguments.color),
            Answer::Said(text) => eprintln!("palisade: {text}"),
            Answer::Differences(differences) => last = Some(differences),
            _ => {}
        }
        Ok::<(), AskError>(())
    });
    let ended = match ended {
        Ok(ended) => ended,
        // What it has told so far is what there is.
        Err(_) if stopped.load(Ordering::Acquire) => match &last {
            Some(last) if !last.differences.is_empty() => Ended::No,
            _ => Ended::Yes,
        },
        Err(error) => return Err(error.into()),
    };
    let mut out = std::io::stdout().lock();
    if let Some(last) = last {
        match arguments.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(&last)?)?,
            Format::Human => {
                out.write_all(human(&last, Paint::stdout(arguments.color)).as_bytes())?;
            }
        }
    }
    Ok(ended.into())
}

fn human(differences: &Differences, paint: Paint) -> String {
    let mut out = String::new();
    for note in &differences.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    for difference in &differences.differences {
        out.push_str(&format!(
            "{} packets, the first of them {}\n  old {}\n  new {}\n",
            difference.packets,
            packet(&difference.sample),
            judged(&difference.old, paint),
            judged(&difference.new, paint)
        ));
    }
    let different: u64 = differences.differences.iter().map(|d| d.packets).sum();
    out.push_str(&format!(
        "{} packets judged by both, {} of them differently",
        differences.packets,
        different + differences.others
    ));
    if differences.others > 0 {
        out.push_str(&format!(
            ", {} of these of further kinds",
            differences.others
        ));
    }
    if differences.missed > 0 {
        out.push_str(&format!(
            "; {} came too fast to be judged twice",
            differences.missed
        ));
    }
    out.push('\n');
    if let Some(why) = &differences.ended {
        out.push_str(&format!("ended early: {why}\n"));
    }
    out
}

fn packet(sample: &Sample) -> String {
    let mut out = format!("{} {} -> {}", sample.protocol, sample.from, sample.to);
    if let Some(state) = &sample.state {
        out.push_str(&format!(", {state}"));
    }
    for (word, interface) in [("in", &sample.in_interface), ("out", &sample.out_interface)] {
        if let Some(interface) = interface {
            out.push_str(&format!(", {word} {interface}"));
        }
    }
    out
}
