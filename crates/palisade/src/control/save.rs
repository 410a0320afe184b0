//! `palisade save`: what runs is what is loaded at the next start.

use anyhow::{Result, bail};
use palisade_live::control::message::{Ip, Request};

use super::reload::files;
use super::{SaveArguments, text};
use crate::Exit;
use crate::programs;

/// Runs `palisade save`. The files are written by who asks, whole or not at all.
pub fn save(arguments: &SaveArguments) -> Result<Exit> {
    let socket = &arguments.socket.control;
    let mut paths = [arguments.to.clone(), arguments.to6.clone()];
    if paths == [None, None] {
        paths = files(socket)?;
    }
    if paths == [None, None] {
        bail!(
            "the running palisade was started without a file of rules; name one: palisade save --to FILE"
        );
    }
    let mut texts = Vec::new();
    for (path, family) in paths.into_iter().zip([Ip::V4, Ip::V6]) {
        let Some(path) = path else { continue };
        let request = Request::Rules {
            family,
            language: arguments.tools.into(),
            counters: arguments.counters,
            table: None,
        };
        match text(socket, &request)? {
            (Exit::Yes, rules) => texts.push((path, rules)),
            (exit, _) => return Ok(exit),
        }
    }
    for (path, rules) in texts {
        programs::write_text(&path, &rules)?;
        println!("rules written to {}", path.display());
    }
    Ok(Exit::Yes)
}
