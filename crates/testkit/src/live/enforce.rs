//! Who enforces rules on the firewall.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::net::{Machine, Net, Shape};
use crate::kernel::find;

/// Who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The kernel, by `iptables-legacy`; of what a bridge carries by `br_netfilter`.
    Kernel,
    /// `palisade run` with these arguments.
    Palisade(Vec<String>),
}

/// Rules of both families.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What they are called in the table.
    pub name: &'static str,
    /// IPv4.
    pub v4: &'static str,
    /// IPv6.
    pub v6: &'static str,
}

/// How long a program may take to be ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has rules enforced on the firewall of a network, until the network ends. The process that enforces them, if it is one.
///
/// # Errors
/// When that is refused.
pub fn enforce(net: &Net, by: &By, rules: &Rules, palisade: &Path) -> Result<Option<Child>> {
    match by {
        By::Kernel => {
            if net.shape() == Shape::Bridged {
                net.feed(
                    Machine::Firewall,
                    "ip",
                    &["-batch", "-"],
                    "link add br0 type bridge\nlink set lan0 master br0\nlink set wan0 master br0\nlink set br0 up\n",
                )?;
                for family in ["iptables", "ip6tables"] {
                    net.set(
                        Machine::Firewall,
                        &format!("net/bridge/bridge-nf-call-{family}"),
                        1,
                    )?;
                }
            }
            for (tool, text) in [("iptables", rules.v4), ("ip6tables", rules.v6)] {
                let restore = find(&format!("{tool}-legacy-restore"))?;
                net.feed(Machine::Firewall, &restore.display().to_string(), &[], text)?;
            }
            Ok(None)
        }
        By::Palisade(arguments) => start(net, arguments, rules, palisade).map(Some),
    }
}

/// Starts `palisade run`, and waits until it says that it is ready.
fn start(net: &Net, arguments: &[String], rules: &Rules, palisade: &Path) -> Result<Child> {
    let (file4, file6) = (
        net.directory().join("rules.v4"),
        net.directory().join("rules.v6"),
    );
    std::fs::write(&file4, rules.v4)?;
    std::fs::write(&file6, rules.v6)?;
    let place = net.directory().join("notify");
    let _ = std::fs::remove_file(&place);
    let socket = UnixDatagram::bind(&place)?;
    let program = palisade.display().to_string();
    let log = std::fs::File::create(net.log(Machine::Firewall, &program))?;
    let mut child = net
        .command(Machine::Firewall, &program)
        .arg("run")
        .args(arguments)
        .arg("--rules")
        .arg(&file4)
        .arg("--rules6")
        .arg(&file6)
        .arg("--control")
        .arg(control(net))
        .env("NOTIFY_SOCKET", &place)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting palisade")?;
    let said = || std::fs::read_to_string(net.log(Machine::Firewall, &program)).unwrap_or_default();
    match ready(&socket, &mut child) {
        Ok(()) => Ok(child),
        Err(e) => {
            let _ = child.kill();
            let _ = child.wait();
            bail!("palisade run is not ready: {e}\n{}", said())
        }
    }
}

/// The control socket of the palisade on a network's firewall.
pub fn control(net: &Net) -> std::path::PathBuf {
    net.directory().join("control.sock")
}

/// Waits for the word of a program that it is ready.
fn ready(socket: &UnixDatagram, child: &mut Child) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 1024];
    while Instant::now() < end {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let said = String::from_utf8_lossy(&buffer[..length]);
                if said.lines().any(|line| line == "READY=1") {
                    return Ok(());
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e),
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("it ended: {status}")));
        }
    }
    Err(ErrorKind::TimedOut.into())
}
