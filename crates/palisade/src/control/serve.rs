//! The control socket of `palisade run`.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use palisade_live::control::{Access, Bounds, Control, Server, Socket};

use super::ServeArguments;

/// Makes the socket and serves it; `None` where none is wanted.
pub fn serve(arguments: &ServeArguments, control: &Arc<Control>) -> Result<Option<Server>> {
    if arguments.no_control {
        return Ok(None);
    }
    let group = match &arguments.control_group {
        None => None,
        Some(name) => Some(group(name)?),
    };
    let socket = Socket::bind(&arguments.control, group)?;
    let server = Server::start(
        socket,
        Arc::clone(control),
        Access::new(group),
        Bounds::default(),
    );
    Ok(Some(server.context("no thread for the control socket")?))
}

/// The number of a group, by its name or itself.
fn group(name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(name)? {
        Some(group) => Ok(group.gid.as_raw()),
        None => bail!("--control-group {name}: there is no such group (groupadd --system {name})"),
    }
}
