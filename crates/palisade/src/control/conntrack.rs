//! `palisade conntrack`, and `conntrack` by its name: what the program says, said by the running palisade.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use palisade_conntrack::tool;
use palisade_live::control::message::{Answer, Request};

use super::{ConntrackArguments, asked};
use crate::Exit;

/// Bytes of a file of commands, at most.
const MOST: u64 = 16 << 20;

/// `palisade conntrack`.
pub fn conntrack(arguments: &ConntrackArguments) -> Result<Exit> {
    let mut words = vec![arguments.called.clone()];
    words.extend(arguments.words.iter().cloned());
    let request = Request::Conntrack {
        file: tool::loads(&words).and_then(file),
        words,
        east: 0,
    };
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
