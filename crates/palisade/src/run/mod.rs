//! `palisade run`: rules over live traffic.

mod args;

use std::sync::Arc;

use anyhow::{Result, bail};
use palisade_engine::conntrack::Config;
use palisade_engine::{Engine, Host, Setup};
use palisade_live::control::{Control, Facts};
use palisade_live::{Backend, Gate, work};
use palisade_rules::Family;

use crate::Exit;
use crate::output::Paint;
use crate::{rules, sets};
use args::BackendArguments;
pub use args::RunArguments;

/// Starts, and goes on until it is told to stop.
pub fn run(arguments: &RunArguments) -> Result<Exit> {
    let Some(setup) = setup(arguments)? else {
        return Ok(Exit::BadInput);
    };
    let gate = Arc::new(Gate::new(Engine::new(setup)?));
    let backends = backends(&arguments.backend, &gate)?;
    let facts = facts(arguments, &backends);
    let control = Arc::new(Control::new(Arc::clone(&gate), facts));
    let server = crate::control::serve(&arguments.serve, &control)?;
    let workers: Vec<_> = backends
        .into_iter()
        .map(|mut backend| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || work(&gate, backend.as_mut()))
        })
        .collect();
    for worker in workers {
        match worker.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("a worker died"),
        }
    }
    if let Some(server) = server {
        server.finish();
    }
    Ok(Exit::Yes)
}

/// What the control socket tells of the process.
fn facts(arguments: &RunArguments, backends: &[Box<dyn Backend>]) -> Facts {
    let capabilities = backends.first().map(|b| b.capabilities());
    Facts {
        version: env!("CARGO_PKG_VERSION").to_string(),
        backend: capabilities.as_ref().map_or("none", |c| c.name).to_string(),
        workers: backends.len(),
        notes: capabilities.map(|c| c.notes).unwrap_or_default(),
        files: [arguments.rules.clone(), arguments.rules6.clone()],
    }
}

/// What the engine is made of; `None` when the rules have errors, which were told.
fn setup(arguments: &RunArguments) -> Result<Option<Setup>> {
    let paint = Paint::stderr(arguments.color);
    let mut conntrack = Config::default();
    for setting in &arguments.sysctl {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("--sysctl {setting}: NAME=VALUE is needed");
        };
        conntrack.set(name, value)?;
    }
    let Ok(ipsets) = sets::read(&arguments.ipset, paint)? else {
        return Ok(None);
    };
    let mut setup = Setup {
        conntrack,
        host: Host::default(),
        ipsets: ipsets.unwrap_or_default(),
        ..Setup::default()
    };
    for (path, family) in [
        (&arguments.rules, Family::V4),
        (&arguments.rules6, Family::V6),
    ] {
        let Some(path) = path else { continue };
        let file = rules::read(path, family)?;
        rules::tell(&file, path, palisade_rules::Severity::Error, paint);
        if file.parsed.has_errors() {
            return Ok(None);
        }
        setup.rules4 = file.parsed.v4.or(setup.rules4);
        setup.rules6 = file.parsed.v6.or(setup.rules6);
    }
    Ok(Some(setup))
}

/// The backends that were asked for, one a worker.
fn backends(arguments: &BackendArguments, _gate: &Arc<Gate>) -> Result<Vec<Box<dyn Backend>>> {
    bail!("not here yet: {arguments:?}")
}
