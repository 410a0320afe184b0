//! `--tun`: what a tunnel or a network in user space carries.

use std::sync::Arc;

use anyhow::{Context, Result};
use palisade_live::Gate;
use palisade_live::tun::Tun;

use super::backends::Backends;
use super::wire;

/// Opens one end or two.
///
/// # Errors
/// They cannot be had, or rules ask for what cannot be done.
pub fn open(names: &[String], gate: &Arc<Gate>) -> Result<Backends> {
    wire::check(gate, "--tun")?;
    let tun = Tun::open(names, gate).with_context(|| format!("--tun {}", names.join(",")))?;
    Ok(Backends {
        workers: vec![Box::new(tun)],
        installation: None,
        figures: None,
        beside: Vec::new(),
    })
}
