//! `palisade conntrack`, and `conntrack` by its name: what the program says, said by the running palisade.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use palisade_conntrack::tool;
use palisade_live::control::message::{Answer, Request};

use super::{ConntrackArguments, ask_until_stopped, asked};
use crate::Exit;

/// Bytes of a file of commands, at most.
const MOST: u64 = 16 << 20;

/// `palisade conntrack`.
pub fn conntrack(arguments: &ConntrackArguments) -> Result<Exit> {
    let mut words = vec![arguments.called.clone()];
    words.extend(arguments.words.iter().cloned());
    let labels = Default::default();
    let watch = match tool::begin(&words, None, &tool::Desk::new(&labels)) {
        tool::Begun::Watch(watch, _) => Some(watch),
        _ => None,
    };
    let request = Request::Conntrack {
        file: tool::loads(&words).and_then(file),
        words,
        east: 0,
    };
    if let Some(watch) = watch {
        return follow(arguments, &request, watch.of_expectations());
    }
    let mut out = std::io::stdout().lock();
    asked(&arguments.socket.control, &request, |answer| {
        match answer {
            Answer::Text(text) => {
                out.write_all(text.as_bytes()).context("cannot write")?;
                out.flush()?;
            }
            Answer::Errors(text) => std::io::stderr().write_all(text.as_bytes())?,
            _ => {}
        }
        Ok(())
    })
}

/// Shows events until Ctrl-C, and says how many there were.
fn follow(arguments: &ConntrackArguments, request: &Request, expectations: bool) -> Result<Exit> {
    let (mut asked, stopped) = ask_until_stopped(&arguments.socket.control, request)?;
    let mut out = std::io::stdout().lock();
    let (mut shown, mut opened) = (0, "");
    let ended = asked.each(|answer| {
        match answer {
            Answer::Text(text) => {
                for line in text.lines() {
                    match line {
                        "<conntrack>" => opened = "</conntrack>\n",
                        "<expect>" => opened = "</expect>\n",
                        line if line.starts_with("<?xml") => {}
                        _ => shown += 1,
                    }
                }
                out.write_all(text.as_bytes()).context("cannot write")?;
                out.flush()?;
            }
            Answer::Errors(text) => std::io::stderr().write_all(text.as_bytes())?,
            Answer::Said(text) => eprintln!("palisade: {text}"),
            _ => {}
        }
        Ok::<(), anyhow::Error>(())
    });
    match ended {
        Ok(ended) => Ok(ended.into()),
        Err(_) if stopped.load(Ordering::Acquire) => {
            out.write_all(opened.as_bytes())?;
            let what = if expectations { "expectation" } else { "flow" };
            eprintln!("conntrack v1.4.7 (conntrack-tools): {shown} {what} events have been shown.");
            Ok(Exit::Yes)
        }
        Err(error) => Err(error),
    }
}

/// The commands of a file, if it can be read: that it cannot is said by who is asked.
fn file(name: &str) -> Option<String> {
    let mut text = String::new();
    let read = match name {
        "-" => std::io::stdin().take(MOST).read_to_string(&mut text),
        name => {
            std::fs::File::open(name).and_then(|file| file.take(MOST).read_to_string(&mut text))
        }
    };
    read.ok().map(|_| text)
}
