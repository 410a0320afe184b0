//! `conntrack` for clients: the table is looked at part by part, and what is said goes out between the parts.

use palisade_engine::conntrack::tool::{self, Begun, Desk, Work};
use palisade_engine::rules::names;

use super::frame::FrameError;
use super::message::{Answer, Ended};
use super::server::Replies;
use crate::Gate;

/// Slots of the table that are looked at while packets wait.
const SLOTS: usize = 1 << 10;

/// The number of a protocol's name, as the system knows it.
fn protocol(name: &str) -> Option<u8> {
    let plain = !name.starts_with(|c: char| c.is_ascii_digit()) && name != "all";
    plain.then(|| names::protocol_number(name)).flatten()
}

/// What a command line of `conntrack` did.
pub(super) fn answer(
    gate: &Gate,
    words: &[String],
    file: Option<&str>,
    east: i32,
    replies: &Replies<'_>,
) -> Result<Ended, FrameError> {
    let labels = gate.with(|engine, _| engine.conntrack().config().labels.clone());
    let desk = Desk {
        protocol,
        protocol_name: names::protocol_named,
        east,
        ..Desk::new(&labels)
    };
    let last = match tool::begin(words, file, &desk) {
        Begun::Over(answer) => answer,
        Begun::Work(work) => work_off(gate, *work, &desk, replies)?,
        Begun::Watch(..) => {
            replies.said("events of connections are not told here yet; conntrack -L lists them")?;
            return Ok(Ended::No);
        }
    };
    said(&last.output, &last.errors, replies)?;
    Ok(match last.code {
        0 => Ended::Yes,
        1 => Ended::No,
        _ => Ended::BadInput,
    })
}

fn work_off(
    gate: &Gate,
    mut work: Work,
    desk: &Desk<'_>,
    replies: &Replies<'_>,
) -> Result<tool::Answer, FrameError> {
    loop {
        let done = gate.with(|engine, now| work.step(engine.conntrack_mut(), desk, now, SLOTS));
        if done {
            return Ok(work.finish());
        }
        let (output, errors) = work.take();
        said(&output, &errors, replies)?;
    }
}

fn said(output: &str, errors: &str, replies: &Replies<'_>) -> Result<(), FrameError> {
    replies.text(output)?;
    if !errors.is_empty() {
        replies.send(&Answer::Errors(errors.to_string()))?;
    }
    Ok(())
}
