//! A network namespace of the calling thread's own, with the script's firewall in it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use palisade_capture::script::{Interface, MTU, Prefix, RulesFamily, RulesSource, Script};
use palisade_rules::Family;
use tappers::Tap;

use super::chains;
use super::netlink::{self, Asking};
use super::options::{self, Options};
use super::watch::Watch;
use crate::engine::text_of;

/// What a machine that forwards, and only forwards, has set. Rates of errors are not part of the
/// rules, so they are unbounded; the kernel's own talk is off where it can be.
const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/conf/all/log_martians", "0"),
    ("net/ipv4/conf/default/log_martians", "0"),
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
];

/// A new timeout policy (subsystem 8, message "new").
const NEW_POLICY: u16 = 0x0800;
/// An attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// Which iptables loads the rules, and so which part of the kernel judges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tools {
    /// `iptables-legacy`: the kernel's `ip_tables`.
    #[default]
    Legacy,
    /// `iptables-nft`: `nf_tables`, with the matches of iptables where it has none of its own.
    Nft,
}

impl Tools {
    /// As in the tools' names.
    pub fn name(self) -> &'static str {
        match self {
            Tools::Legacy => "legacy",
            Tools::Nft => "nft",
        }
    }
}

/// Number of the routing table by which everything is for this host.
const LOCAL_TABLE: u32 = 77;

/// Whom frames to an interface are for.
#[derive(Debug)]
pub struct Hardware {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Addresses of everybody in its networks.
    pub broadcasts: Vec<Ipv4Addr>,
}

/// One interface of the firewall, held open.
pub struct Device {
    /// Name.
    pub name: String,
    /// Its addresses.
    pub hardware: Hardware,
    /// The other end of the wire.
    pub tap: Tap,
}

/// The namespace with everything loaded.
pub struct Namespace {
    /// The interfaces.
    pub devices: Vec<Device>,
    /// What the kernel says.
    pub watch: Watch,
    /// For its tables.
    pub(super) asking: Asking,
    /// Files of this run: rules, the lock of iptables, its tools under their plain names.
    directory: tempfile::TempDir,
    /// Options of modules, set back with the rest.
    _options: Options,
    /// The script's sockets, held open.
    _sockets: Vec<OwnedFd>,
}

impl Namespace {
    /// Moves the calling thread into a new network namespace and builds the script's firewall there.
    ///
    /// The namespace ends with the thread and the value. The thread stays in it: call this on a
    /// thread made for it. `base` is the directory that rules files are relative to; with `track` our
    /// own chains ask for connection tracking.
    ///
    /// # Errors
    ///
    /// When something is missing (rights, tools) or refused (rules).
    pub fn enter(script: &Script, base: &Path, track: bool, tools: Tools) -> Result<Namespace> {
        let options = Options::set(script)?;
        unshare(CloneFlags::CLONE_NEWNET).context("a new network namespace")?;
        for (name, value) in SETTINGS {
            set(name, value)?;
        }
        let directory = tempfile::tempdir().context("a directory for rules")?;
        for tool in ["iptables", "ip6tables"] {
            for what in ["", "-restore", "-save"] {
                let real = find(&format!("{tool}-{}{what}", tools.name()))?;
                let link = directory.path().join(format!("{tool}{what}"));
                std::os::unix::fs::symlink(real, link)?;
            }
        }
        let watch = Watch::open()?;
        let mut namespace = Namespace {
            devices: Vec::new(),
            watch,
            asking: Asking::open()?,
            directory,
            _options: options,
            _sockets: Vec::new(),
        };
        namespace.feed("nft", &["-f", "-"], &chains::around(proxies(script, base)?))?;
        namespace.wire(script)?;
        let sysctls = script.sysctls.iter();
        for sysctl in sysctls.filter(|s| options::path(&s.name).is_none()) {
            let name = if sysctl.name.starts_with("net.") {
                sysctl.name.clone()
            } else {
                format!("net.netfilter.{}", sysctl.name)
            };
            set(&name.replace('.', "/"), &sysctl.value)?;
        }
        // What a policy does not name has the sysctl's value of its birth, and rules need their policies.
        namespace.policies(script)?;
        for line in &script.firewall.sockets {
            namespace._sockets.push(super::socket::open(line)?);
        }
        namespace.load(script, base)?;
        if track {
            namespace.feed("nft", &["-f", "-"], &chains::tracking())?;
        }
        // What the setting up made the machine say is no part of any test.
        namespace.watch.lines()?;
        Ok(namespace)
    }

    /// Interfaces, addresses, routes.
    fn wire(&mut self, script: &Script) -> Result<()> {
        let firewall = &script.firewall;
        // Where nothing leads the kernel would say so; without a word such packets are only dropped.
        let mut commands = String::from(
            "link set lo up\nroute add blackhole default metric 4000000\n\
             route add blackhole ::/0 metric 4000000\n",
        );
        for (index, interface) in firewall.interfaces.iter().enumerate() {
            let device = open(interface, index)?;
            let name = &device.name;
            let mac = device.hardware.mac.map(|b| format!("{b:02x}")).join(":");
            let mtu = interface.mtu.unwrap_or(MTU);
            let group = interface.group;
            commands +=
                &format!("link set {name} address {mac} mtu {mtu} group {group} arp off up\n");
            for prefix in &interface.addresses {
                let (address, length) = (prefix.address, prefix.length);
                // As every network manager sets them up: with their broadcast address.
                let more = match address {
                    IpAddr::V6(_) => "nodad",
                    IpAddr::V4(_) if length < 31 => "broadcast +",
                    IpAddr::V4(_) => "",
                };
                commands += &format!("addr add {address}/{length} dev {name} {more}\n");
            }
            self.devices.push(device);
        }
        for address in &firewall.local {
            commands += &format!("addr add {address} dev lo\n");
        }
        for route in &firewall.routes {
            let (to, name) = (route.to, &route.interface);
            commands += &format!("route add {}/{} dev {name}", to.address, to.length);
            // Only IPv4's routes have a realm.
            if route.realm > 0 && to.address.is_ipv4() {
                commands += &format!(" realm {}", route.realm);
            }
            commands.push('\n');
        }
        self.feed("ip", &["-batch", "-"], &commands)?;
        if !firewall.local_marks.is_empty() {
            let mut rules = String::new();
            for (value, mask) in &firewall.local_marks {
                rules += &format!("rule add fwmark {value:#x}/{mask:#x} lookup {LOCAL_TABLE}\n");
            }
            for (family, all) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
                let route = format!("route add local {all} dev lo table {LOCAL_TABLE}\n");
                self.feed("ip", &[family, "-batch", "-"], &(rules.clone() + &route))?;
            }
        }
        settled(script)
    }

    /// The script's timeout policies.
    fn policies(&mut self, script: &Script) -> Result<()> {
        for timeout in &script.timeouts {
            let policy = &timeout.policy;
            let family: u16 = match policy.family() {
                Family::V4 => 2,
                Family::V6 => 10,
            };
            let mut states = Vec::new();
            for (state, seconds) in policy.timeouts() {
                let seconds = u32::try_from(seconds)?;
                netlink::put(&mut states, state, &seconds.to_be_bytes());
            }
            let mut attributes = Vec::new();
            let name = [policy.name().as_bytes(), &[0]].concat();
            netlink::put(&mut attributes, 1, &name);
            netlink::put(&mut attributes, 2, &family.to_be_bytes());
            netlink::put(&mut attributes, 3, &[policy.protocol_number()]);
            netlink::put(&mut attributes, 4 | NESTED, &states);
            self.asking
                .make(NEW_POLICY, &attributes)
                .with_context(|| format!("timeout policy {}", policy.name()))?;
        }
        Ok(())
    }

    /// The script's rules, in the order written; the filter table is there in any case, with its
    /// policies, as it is for the engine.
    fn load(&self, script: &Script, base: &Path) -> Result<()> {
        self.feed("iptables", &["-w", "-S"], "")?;
        self.feed("ip6tables", &["-w", "-S"], "")?;
        for statement in &script.ipsets {
            self.feed("ipset", &["restore"], &text_of(&statement.source, base)?)?;
        }
        for rules in &script.rules {
            let text = match &rules.source {
                RulesSource::Inline { text, .. } => text.clone(),
                RulesSource::File(name) => {
                    let path = base.join(name);
                    std::fs::read_to_string(&path)
                        .with_context(|| format!("rules in {}", path.display()))?
                }
            };
            let saved = text.lines().any(|l| l.starts_with('*'));
            match (saved, rules.family) {
                (true, RulesFamily::ByText) => self.feed("iptables-restore", &["-w"], &text)?,
                (true, RulesFamily::V6) => self.feed("ip6tables-restore", &["-w"], &text)?,
                (false, _) => self.feed("sh", &["-e"], &text)?,
            };
        }
        Ok(())
    }

    /// Runs a tool in the namespace and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it cannot be started or fails; its own words are in the error.
    pub fn feed(&self, tool: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut path = self.directory.path().as_os_str().to_owned();
        path.push(":/usr/sbin:/sbin:");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let own = self.directory.path().join(tool);
        let program = if own.exists() { own } else { find(tool)? };
        let mut child = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            // One lock for each namespace, or the workers would wait for each other.
            .env("XTABLES_LOCKFILE", self.directory.path().join("lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {tool}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that fails early does not read to the end; its own words say more.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("{tool} {}: {}", arguments.join(" "), words.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether a rule of the script is one of SYNPROXY, by whose packets the machine speaks TCP itself.
fn proxies(script: &Script, base: &Path) -> Result<bool> {
    for rules in &script.rules {
        let found = match &rules.source {
            RulesSource::Inline { text, .. } => text.contains("SYNPROXY"),
            RulesSource::File(name) => {
                std::fs::read_to_string(base.join(name))?.contains("SYNPROXY")
            }
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Creates the interface and opens the other end of its wire.
fn open(interface: &Interface, index: usize) -> Result<Device> {
    let name = tappers::Interface::new(interface.name.as_str())
        .with_context(|| format!("the name {}", interface.name))?;
    let tap = Tap::new_named(name).with_context(|| format!("TAP device {}", interface.name))?;
    Ok(Device {
        name: interface.name.clone(),
        hardware: Hardware::of(interface, index),
        tap,
    })
}

impl Hardware {
    /// Those of the script's interface number `index`.
    pub(crate) fn of(interface: &Interface, index: usize) -> Self {
        Hardware {
            mac: interface.mac.unwrap_or([2, 0, 0, 0, 1, index as u8]),
            broadcasts: interface.addresses.iter().filter_map(last).collect(),
        }
    }
}

/// Waits until the kernel takes every IPv6 address for its own, which it does in its own time.
fn settled(script: &Script) -> Result<()> {
    let firewall = &script.firewall;
    let connected = firewall.interfaces.iter().flat_map(|i| &i.addresses);
    let addresses = connected
        .map(|p| p.address)
        .chain(firewall.local.iter().copied());
    let wanted: Vec<String> = addresses
        .filter_map(|address| match address {
            // The route to the address itself: all 128 bits of it.
            IpAddr::V6(a) => Some(format!("{:032x} 80 ", a.to_bits())),
            IpAddr::V4(_) => None,
        })
        .collect();
    for _ in 0..500 {
        let routes = std::fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
        if wanted.iter().all(|w| routes.contains(w)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("IPv6 addresses do not become the machine's own")
}

/// The last address of a network, which is everybody's.
fn last(prefix: &Prefix) -> Option<Ipv4Addr> {
    match prefix.address {
        IpAddr::V4(a) if prefix.length < 31 => {
            let hosts = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
            Some(Ipv4Addr::from(u32::from(a) | hosts))
        }
        _ => None,
    }
}

/// Writes a setting of the calling thread's namespace.
fn set(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(name);
    std::fs::write(&path, value).with_context(|| format!("setting {name} to {value}"))
}

/// Where a tool is: root's directories are searched even when `PATH` lacks them.
///
/// # Errors
///
/// When it is nowhere.
pub fn find(tool: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(fixed)
        .map(|directory| directory.join(tool))
        .find(|file| file.is_file())
        .with_context(|| format!("{tool} is not installed"))
}
