//! Machines in a row.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use palisade_rules::Family;
use tempfile::TempDir;

/// How the firewall connects its two sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// It routes between two networks.
    Routed,
    /// It stands in the middle of one.
    Bridged,
}

/// One of the machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// Who asks.
    Client,
    /// Whose rules it is about.
    Firewall,
    /// Who answers.
    Server,
}

impl Machine {
    const ALL: [Machine; 3] = [Machine::Client, Machine::Firewall, Machine::Server];
}

/// Three machines, and a directory for what their programs need.
pub struct Net {
    tag: String,
    shape: Shape,
    directory: TempDir,
}

/// The hardware address of a machine on the client's side; of the server its own.
pub fn hardware(machine: Machine) -> &'static str {
    match machine {
        Machine::Client => "02:00:00:00:00:01",
        Machine::Firewall => "02:00:00:00:00:11",
        Machine::Server => "02:00:00:00:00:02",
    }
}

/// Networks are told apart by this within a process.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How long anything may take to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

impl Net {
    /// Sets the machines up.
    ///
    /// # Errors
    /// When a namespace, an interface or an address is refused.
    pub fn new(shape: Shape) -> Result<Net> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let net = Net {
            tag: format!("plm-{}-{number}", std::process::id()),
            shape,
            directory: tempfile::tempdir().context("a directory for programs")?,
        };
        // Servers that give up their rights look into it.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(net.directory(), all)?;
        for machine in Machine::ALL {
            ip(&["netns", "add", &net.name(machine)], "")?;
            // Addresses are taken without asking whether somebody has them.
            for of in ["all", "default"] {
                net.set(machine, &format!("net/ipv6/conf/{of}/accept_dad"), 0)?;
            }
        }
        let [client, firewall, server] = Machine::ALL.map(|m| net.name(m));
        ip(
            &["-batch", "-"],
            &format!(
                "link add eth0 address {} netns {client} type veth peer name lan0 address {} netns {firewall}\n\
                 link add eth0 address {} netns {server} type veth peer name wan0 address {} netns {firewall}\n",
                hardware(Machine::Client),
                hardware(Machine::Firewall),
                hardware(Machine::Server),
                "02:00:00:00:00:22",
            ),
        )?;
        for machine in Machine::ALL {
            ip(&["-n", &net.name(machine), "link", "set", "lo", "up"], "")?;
        }
        let routed = shape == Shape::Routed;
        net.ends(Machine::Client, "eth0", &["10.1.0.2/24", "fd00:1::2/64"])?;
        let server = match shape {
            Shape::Routed => ["10.2.0.2/24", "fd00:2::2/64"],
            Shape::Bridged => ["10.1.0.3/24", "fd00:1::3/64"],
        };
        net.ends(Machine::Server, "eth0", &server)?;
        let (near, far): (&[&str], &[&str]) = match shape {
            Shape::Routed => (
                &["10.1.0.1/24", "fd00:1::1/64"],
                &["10.2.0.1/24", "fd00:2::1/64"],
            ),
            Shape::Bridged => (&[], &[]),
        };
        net.ends(Machine::Firewall, "lan0", near)?;
        net.ends(Machine::Firewall, "wan0", far)?;
        if routed {
            for (machine, side) in [(Machine::Client, 1), (Machine::Server, 2)] {
                let lines = format!(
                    "route add default via 10.{side}.0.1\nroute add ::/0 via fd00:{side}::1\n"
                );
                ip(&["-n", &net.name(machine), "-batch", "-"], &lines)?;
            }
        }
        for (name, value) in [
            ("net/ipv4/ip_forward", u8::from(routed)),
            ("net/ipv6/conf/all/forwarding", u8::from(routed)),
            // Errors are not bounded by time, so that runs are alike.
            ("net/ipv4/icmp_ratemask", 0),
            ("net/ipv4/icmp_ratelimit", 0),
            ("net/ipv6/icmp/ratelimit", 0),
        ] {
            net.set(Machine::Firewall, name, value)?;
        }
        Ok(net)
    }

    fn ends(&self, machine: Machine, interface: &str, addresses: &[&str]) -> Result<()> {
        let mut lines = format!("link set {interface} up\n");
        for address in addresses {
            let more = if address.contains(':') {
                "nodad"
            } else {
                "broadcast +"
            };
            lines += &format!("addr add {address} dev {interface} {more}\n");
        }
        ip(&["-n", &self.name(machine), "-batch", "-"], &lines)
    }

    /// How the firewall connects its sides.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Where programs of this network keep what is theirs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A machine's namespace.
    pub fn name(&self, machine: Machine) -> String {
        let letter = match machine {
            Machine::Client => 'c',
            Machine::Firewall => 'f',
            Machine::Server => 's',
        };
        format!("{}{letter}", self.tag)
    }

    /// An address of a machine, as the client knows it.
    pub fn address(&self, machine: Machine, family: Family) -> IpAddr {
        let [v4, v6] = match (machine, self.shape) {
            (Machine::Client, _) => ["10.1.0.2", "fd00:1::2"],
            (Machine::Firewall, _) => ["10.1.0.1", "fd00:1::1"],
            (Machine::Server, Shape::Routed) => ["10.2.0.2", "fd00:2::2"],
            (Machine::Server, Shape::Bridged) => ["10.1.0.3", "fd00:1::3"],
        };
        let text = if family == Family::V4 { v4 } else { v6 };
        text.parse().expect("one of the addresses above")
    }

    /// A program to be started on a machine, with nothing to read.
    pub fn command(&self, machine: Machine, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name(machine), program])
            .current_dir(self.directory())
            .stdin(Stdio::null());
        command
    }

    /// Starts a program that goes on until the network ends; what it says goes to a file by its name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, machine: Machine, program: &str, arguments: &[&str]) -> Result<Child> {
        let log = File::create(self.log(machine, program))?;
        self.command(machine, program)
            .args(arguments)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {program}"))
    }

    /// Where a started program's words go.
    pub fn log(&self, machine: Machine, program: &str) -> std::path::PathBuf {
        let program = Path::new(program).file_name().unwrap_or_default();
        let name = format!("{machine:?}-{}.log", program.to_string_lossy());
        self.directory().join(name)
    }

    /// Runs a program to its end, fed with a text.
    ///
    /// # Errors
    /// When it fails.
    pub fn feed(
        &self,
        machine: Machine,
        program: &str,
        arguments: &[&str],
        text: &str,
    ) -> Result<()> {
        let mut command = self.command(machine, program);
        fed(command.args(arguments), program, text)
    }

    /// Writes a setting of a machine.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set(&self, machine: Machine, name: &str, value: impl ToString) -> Result<()> {
        let value = value.to_string();
        self.within(machine, || {
            let path = Path::new("/proc/sys").join(name);
            std::fs::write(path, value).with_context(|| format!("setting {name}"))
        })?
    }

    /// Works in a machine's namespace.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn within<T: Send>(&self, machine: Machine, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(Path::new("/run/netns").join(self.name(machine)))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&file, CloneFlags::CLONE_NEWNET).context("entering a namespace")?;
                Ok(work())
            });
            match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Waits until somebody listens on ports of a machine: (`tcp` or `udp`, port).
    ///
    /// # Errors
    /// When nobody does in time.
    pub fn listening(&self, machine: Machine, ports: &[(&str, u16)]) -> Result<()> {
        let listens = |protocol: &str, port: u16| {
            let place = format!(":{port:04X} ");
            let state = if protocol == "tcp" { " 0A " } else { " 07 " };
            ["", "6"].iter().any(|family| {
                let file = format!("/proc/thread-self/net/{protocol}{family}");
                let text = std::fs::read_to_string(file).unwrap_or_default();
                text.lines()
                    .any(|l| l.contains(&place) && l.contains(state))
            })
        };
        self.within(machine, || {
            let end = Instant::now() + PATIENCE;
            for &(protocol, port) in ports {
                while !listens(protocol, port) {
                    if Instant::now() > end {
                        bail!("nobody listens on {protocol} port {port} of {machine:?}");
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Ok(())
        })?
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for machine in Machine::ALL {
            let name = self.name(machine);
            let pids = Command::new("ip").args(["netns", "pids", &name]).output();
            let pids = pids.map(|o| o.stdout).unwrap_or_default();
            for pid in String::from_utf8_lossy(&pids).split_whitespace() {
                if let Ok(pid) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            let _ = ip(&["netns", "del", &name], "");
        }
    }
}

/// Runs `ip`, fed with a text.
fn ip(arguments: &[&str], text: &str) -> Result<()> {
    let name = format!("ip {}", arguments.join(" "));
    fed(Command::new("ip").args(arguments), &name, text)
}

/// Runs a command to its end, fed with a text; what it says when it fails.
fn fed(command: &mut Command, name: &str, text: &str) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    child
        .stdin
        .take()
        .context("a pipe")?
        .write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
