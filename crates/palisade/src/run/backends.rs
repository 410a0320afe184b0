//! Where packets come from, as the command line says.

use std::sync::Arc;

use anyhow::{Result, bail};
use palisade_live::{Backend, Gate};

use super::RunArguments;
use super::{tun, wire};

/// What a backend has made outside the process, by which packets come to it. It stays when it is dropped, so that
/// whatever ends the process leaves the gate closed.
pub trait Installation: Send {
    /// Takes it away: packets pass as if it had never been there.
    ///
    /// # Errors
    /// It cannot be taken away.
    fn remove(self: Box<Self>) -> Result<()>;
}

/// What was opened.
pub struct Backends {
    /// One a worker.
    pub workers: Vec<Box<dyn Backend>>,
    /// What stays if it is not taken away.
    pub installation: Option<Box<dyn Installation>>,
}

/// The backends that were asked for. Nothing is judged yet; packets wait, or are dropped.
///
/// # Errors
/// They cannot be had.
pub fn open(arguments: &RunArguments, gate: &Arc<Gate>) -> Result<Backends> {
    let backend = &arguments.backend;
    if !backend.wire.is_empty() {
        return wire::open(&backend.wire, &arguments.wire, gate);
    }
    if !backend.tun.is_empty() {
        return tun::open(&backend.tun, gate);
    }
    bail!("not here yet: {backend:?}")
}
