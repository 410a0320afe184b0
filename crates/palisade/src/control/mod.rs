//! What is asked of a running palisade over its control socket (docs/control.md), and how it answers.

mod args;
mod conntrack;
mod reload;
mod save;
mod serve;
mod session;
mod shadow;
mod status;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use palisade_live::control::message::{Answer, Ended, Findings, Request};
use palisade_live::control::{AskError, Asked, ask};

use crate::Exit;
use crate::args::Format;
pub use args::{
    ConfirmArguments, ConntrackArguments, LogArguments, ReloadArguments, RulesArguments,
    SaveArguments, ServeArguments, ShadowArguments, SocketArgument, StatusArguments, StopArguments,
};
pub use conntrack::conntrack;
pub use reload::{confirm, reload};
pub use save::save;
pub use serve::bind;
pub use session::safety_of_environment;
pub use shadow::shadow;
pub use status::{size, span, status};

/// How long a palisade that was told to stop may take.
const STOPPING: Duration = Duration::from_secs(30);

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Yes => Exit::Yes,
            Ended::No => Exit::No,
            Ended::BadInput => Exit::BadInput,
        }
    }
}

/// Asks for something that goes on until Ctrl-C, which ends the connection and is told by what comes with it. To be called
/// before any thread is made, so that the signal is nobody's but the one's that waits for it.
fn ask_until_stopped(socket: &Path, request: &Request) -> Result<(Asked, Arc<AtomicBool>)> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    let asked = ask(socket, request)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let (stop, line) = (Arc::clone(&stopped), asked.line()?);
    std::thread::Builder::new()
        .spawn(move || {
            if signals.wait().is_ok() {
                stop.store(true, Ordering::Release);
                let _ = line.shutdown(std::net::Shutdown::Both);
            }
        })
        .context("a thread for Ctrl-C")?;
    Ok((asked, stopped))
}

/// Asks, tells what is said, and hands over everything else.
pub fn asked(
    socket: &Path,
    request: &Request,
    mut take: impl FnMut(Answer) -> Result<()>,
) -> Result<Exit> {
    let ended = ask(socket, request)?.each(|answer| match answer {
        Answer::Said(text) => {
            eprintln!("palisade: {text}");
            Ok(())
        }
        answer => take(answer),
    })?;
    Ok(ended.into())
}

/// Findings came in parts.
pub fn gather(all: &mut Findings, more: Findings) {
    let mut found = std::mem::take(&mut all.found);
    found.extend(more.found.iter().cloned());
    *all = Findings { found, ..more };
}

/// All text of an answer.
pub fn text(socket: &Path, request: &Request) -> Result<(Exit, String)> {
    let mut all = String::new();
    let exit = asked(socket, request, |answer| {
        if let Answer::Text(piece) = answer {
            all.push_str(&piece);
        }
        Ok(())
    })?;
    Ok((exit, all))
}

/// `palisade rules`.
pub fn rules(arguments: &RulesArguments) -> Result<Exit> {
    let family = args::family(arguments.v6);
    let request = Request::Rules {
        family,
        language: arguments.tools.into(),
        counters: !arguments.no_counters,
        table: arguments.table.clone(),
    };
    let (exit, text) = text(&arguments.socket.control, &request)?;
    let mut out = std::io::stdout().lock();
    match arguments.format {
        Format::Human => out.write_all(text.as_bytes())?,
        Format::Json if exit == Exit::Yes => {
            writeln!(
                out,
                "{}",
                serde_json::json!({"family": family, "rules": text})
            )?;
        }
        Format::Json => {}
    }
    Ok(exit)
}

/// `palisade log`.
pub fn log(arguments: &LogArguments) -> Result<Exit> {
    let request = Request::Log {
        last: arguments.last,
        follow: arguments.follow,
    };
    let mut out = std::io::stdout().lock();
    asked(&arguments.socket.control, &request, |answer| {
        if let Answer::Text(text) = answer {
            match arguments.format {
                Format::Human => out.write_all(text.as_bytes())?,
                Format::Json => {
                    for line in text.lines() {
                        writeln!(out, "{}", serde_json::json!({ "line": line }))?;
                    }
                }
            }
            out.flush()?;
        }
        Ok(())
    })
}

/// `palisade stop`: returns when the process is gone.
pub fn stop(arguments: &StopArguments) -> Result<Exit> {
    let request = Request::Stop {
        leave: arguments.leave(),
    };
    let mut asked = ask(&arguments.socket.control, &request)?;
    let ended = asked.each(|answer| {
        if let Answer::Said(text) = answer {
            eprintln!("palisade: {text}");
        }
        Ok::<(), AskError>(())
    })?;
    if ended == Ended::Yes && !asked.wait_for_end(STOPPING) {
        anyhow::bail!(
            "it was told to stop, and after {} seconds still runs",
            STOPPING.as_secs()
        );
    }
    Ok(ended.into())
}
