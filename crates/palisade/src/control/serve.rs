//! The control socket of `palisade run`.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use palisade_live::control::{Access, Bounds, Control, Server, Socket};

use super::ServeArguments;

/// The socket, before anybody is served.
pub struct Bound {
    socket: Socket,
    access: Access,
}

/// Makes the socket; `None` where none is wanted.
pub fn bind(arguments: &ServeArguments) -> Result<Option<Bound>> {
    if arguments.no_control {
        return Ok(None);
    }
    let group = match &arguments.control_group {
        None => None,
        Some(name) => Some(group(name)?),
    };
    let socket = Socket::bind(&arguments.control, group)?;
    let access = Access::new(group);
    Ok(Some(Bound { socket, access }))
}

impl Bound {
    /// Serves it.
    pub fn start(self, control: Arc<Control>) -> Result<Server> {
        let server = Server::start(self.socket, control, self.access, Bounds::default());
        server.context("no thread for the control socket")
    }
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
