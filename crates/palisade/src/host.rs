//! The firewall host, from `--host`, `--local`, `--interface` and `--sysctl`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use palisade_conntrack::config::LABELS;
use palisade_conntrack::{Config, TimeoutPolicy};
use palisade_engine::rules::Family;
use palisade_engine::{Account, AccountQuota, Host, Interface, Owner, Socket};
use palisade_wire::proto;
use serde::Deserialize;

use crate::args::TraceArguments;

/// Name of the interface when nobody named any.
pub const DEFAULT_INTERFACE: &str = "eth0";

/// `--host FILE.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostFile {
    #[serde(default)]
    local: Vec<IpAddr>,
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceTable>,
    #[serde(default)]
    sysctls: BTreeMap<String, toml::Value>,
    #[serde(default)]
    timeout: BTreeMap<String, TimeoutTable>,
    #[serde(default)]
    labels: BTreeMap<String, u8>,
    /// A file of sets, relative to this one.
    ipsets: Option<PathBuf>,
    processors: Option<u32>,
    minutes_west: Option<i32>,
    #[serde(default)]
    nfacct: BTreeMap<String, AccountTable>,
    /// All sockets that there are.
    sockets: Option<Vec<SocketTable>>,
    /// Queues that a program listens to.
    queues: Option<Vec<u16>>,
    /// Marks (with masks) by which everything is delivered here.
    #[serde(default)]
    local_marks: Vec<String>,
    /// Realms of routes, by their prefixes.
    #[serde(default)]
    realms: BTreeMap<String, u16>,
}

/// `[nfacct.NAME]`: an accounting object for `-m nfacct --nfacct-name NAME`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountTable {
    #[serde(default)]
    packets: u64,
    #[serde(default)]
    bytes: u64,
    quota_packets: Option<u64>,
    quota_bytes: Option<u64>,
}

impl AccountTable {
    fn account(&self, name: &str) -> Result<Account> {
        let quota = match (self.quota_packets, self.quota_bytes) {
            (Some(_), Some(_)) => bail!("[nfacct.{name}]: a quota is of packets or of bytes"),
            (Some(packets), None) => Some(AccountQuota::Packets(packets)),
            (None, Some(bytes)) => Some(AccountQuota::Bytes(bytes)),
            (None, None) => None,
        };
        Ok(Account {
            name: name.to_string(),
            packets: self.packets,
            bytes: self.bytes,
            quota,
        })
    }
}

/// `[[sockets]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SocketTable {
    protocol: String,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    uid: Option<u32>,
    gid: Option<u32>,
    #[serde(default)]
    groups: Vec<u32>,
    #[serde(default)]
    transparent: bool,
    #[serde(default)]
    mark: u32,
    cgroup: Option<String>,
    #[serde(default)]
    classid: u32,
}

impl SocketTable {
    fn socket(self) -> Result<Socket> {
        let protocol = match self.protocol.as_str() {
            "tcp" => proto::TCP,
            "udp" => proto::UDP,
            other => bail!("a socket's protocol is tcp or udp, not '{other}'"),
        };
        let end = |a: SocketAddr| (a.ip(), a.port());
        let owner = match (self.uid, self.gid) {
            (Some(user), Some(group)) => Some(Owner {
                user,
                group,
                groups: self.groups.into(),
            }),
            (None, None) => None,
            _ => bail!("a socket's owner is both, uid and gid"),
        };
        Ok(Socket {
            remote: self.remote.map(end),
            owner,
            transparent: self.transparent,
            mark: self.mark,
            cgroup: self.cgroup,
            class: self.classid,
            ..Socket::new(protocol, end(self.local))
        })
    }
}

/// `[timeout.NAME]`: a policy for `-j CT --timeout NAME`.
#[derive(Debug, Deserialize)]
struct TimeoutTable {
    /// `nfct`'s word for it: `inet` if not said.
    family: Option<String>,
    protocol: String,
    /// States and seconds.
    #[serde(flatten)]
    states: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InterfaceTable {
    #[serde(default)]
    addresses: Vec<IpAddr>,
    #[serde(default)]
    prefixes: Vec<String>,
    mtu: Option<u32>,
    #[serde(default)]
    group: u32,
}

/// Host and settings as told; `None` when nothing was told of the host. Files of sets that the host file names are
/// put before those of `ipsets`.
pub fn resolve(
    arguments: &TraceArguments,
    config: &mut Config,
    ipsets: &mut Vec<PathBuf>,
) -> Result<Option<Host>> {
    let host = told(
        arguments.host.as_deref(),
        &arguments.local,
        &arguments.interface,
        config,
        ipsets,
    )?;
    for setting in &arguments.sysctl {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| anyhow!("--sysctl {setting}: NAME=VALUE is needed"))?;
        config.set(name, value)?;
    }
    Ok(host)
}

/// The host that a file or options tell; `None` when neither does.
pub fn told(
    file: Option<&Path>,
    local: &[IpAddr],
    interface: &[String],
    config: &mut Config,
    ipsets: &mut Vec<PathBuf>,
) -> Result<Option<Host>> {
    if let Some(path) = file {
        let (host, sets) = read(path, config)?;
        ipsets.splice(0..0, sets.map(|name| path.with_file_name(name)));
        return Ok(Some(host));
    }
    if local.is_empty() && interface.is_empty() {
        return Ok(None);
    }
    from_options(local, interface).map(Some)
}

fn read(path: &Path, config: &mut Config) -> Result<(Host, Option<PathBuf>)> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: HostFile =
        toml::from_str(&text).with_context(|| format!("{} is no host file", path.display()))?;
    let settings: Vec<(&String, String)> = file
        .sysctls
        .iter()
        .map(|(name, value)| {
            let value = match value {
                toml::Value::String(s) => s.clone(),
                toml::Value::Boolean(b) => u8::from(*b).to_string(),
                other => other.to_string(),
            };
            (name, value)
        })
        .collect();
    // A table has no order, and thresholds bound each other: what another must make room for comes second.
    let too_early: Vec<_> = settings
        .iter()
        .filter(|(name, value)| config.set(name, value).is_err())
        .collect();
    for (name, value) in too_early {
        config.set(name, value)?;
    }
    for (name, table) in &file.timeout {
        let added = policy(name, table).and_then(|policy| Ok(config.add_policy(policy)?));
        added.with_context(|| format!("[timeout.{name}] of {}", path.display()))?;
    }
    for (name, number) in &file.labels {
        if *number >= LABELS {
            bail!(
                "label {name} = {number}: labels go from 0 to {}",
                LABELS - 1
            );
        }
    }
    config.labels.extend(file.labels);
    let mut interfaces = Vec::new();
    let mut groups = BTreeMap::new();
    for (name, table) in file.interfaces {
        groups.insert(name.clone(), table.group);
        let mut prefixes = Vec::new();
        for text in &table.prefixes {
            prefixes.push(prefix(text)?);
        }
        interfaces.push(Interface {
            name,
            addresses: table.addresses,
            prefixes,
            mtu: table.mtu,
        });
    }
    let mut host = Host::new(file.local, interfaces);
    host.processors = file.processors;
    host.minutes_west = file.minutes_west.unwrap_or(0);
    for (name, table) in &file.nfacct {
        host.accounts.push(table.account(name)?);
    }
    host.groups = groups;
    host.queues = file.queues;
    if let Some(sockets) = file.sockets {
        let sockets: Result<Vec<Socket>> = sockets.into_iter().map(SocketTable::socket).collect();
        host.sockets = Some(sockets.with_context(|| format!("[[sockets]] of {}", path.display()))?);
    }
    for text in &file.local_marks {
        host.local_marks.push(mark(text)?);
    }
    for (text, realm) in &file.realms {
        let (net, length) = prefix(text)?;
        host.realms.push((net, length, *realm));
    }
    Ok((host, file.ipsets))
}

/// `VALUE[/MASK]`, in decimal or with 0x.
fn mark(text: &str) -> Result<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match (number(value), number(mask)) {
        (Ok(value), Ok(mask)) => Ok((value, mask)),
        _ => bail!("'{text}' is no mark such as 0x1/0xff"),
    }
}

fn policy(name: &str, table: &TimeoutTable) -> Result<TimeoutPolicy> {
    let family = match table.family.as_deref() {
        None | Some("inet") => Family::V4,
        Some("inet6") => Family::V6,
        Some(other) => bail!("family '{other}' is neither inet nor inet6"),
    };
    let mut policy = TimeoutPolicy::new(name, family, &table.protocol)?;
    for (state, seconds) in &table.states {
        policy.set(state, &seconds.to_string())?;
    }
    Ok(policy)
}

fn from_options(local: &[IpAddr], options: &[String]) -> Result<Host> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for option in options {
        let (name, text) = option.split_once('=').ok_or_else(|| {
            anyhow!("--interface {option}: NAME=PREFIX is needed, such as wan0=203.0.113.0/24")
        })?;
        for text in text.split(',') {
            let prefix = prefix(text)?;
            match interfaces.iter_mut().find(|i| i.name == name) {
                Some(interface) => interface.prefixes.push(prefix),
                None => interfaces.push(Interface {
                    name: name.to_string(),
                    addresses: Vec::new(),
                    prefixes: vec![prefix],
                    ..Interface::default()
                }),
            }
        }
    }
    if interfaces.is_empty() {
        interfaces.push(everything(DEFAULT_INTERFACE));
    }
    let mut rest = Vec::new();
    for &address in local {
        let best = interfaces
            .iter_mut()
            .flat_map(|i| {
                let length = i
                    .prefixes
                    .iter()
                    .filter(|(net, length)| palisade_engine::host::within(address, *net, *length))
                    .map(|(_, length)| *length)
                    .max();
                length.map(|length| (length, i))
            })
            .max_by_key(|(length, _)| *length);
        match best {
            Some((_, interface)) => interface.addresses.push(address),
            None => rest.push(address),
        }
    }
    Ok(Host::new(rest, interfaces))
}

/// An interface behind which everything lies.
pub fn everything(name: &str) -> Interface {
    Interface {
        name: name.to_string(),
        addresses: Vec::new(),
        prefixes: vec![(IpAddr::from([0u8; 4]), 0), (IpAddr::from([0u8; 16]), 0)],
        ..Interface::default()
    }
}

fn prefix(text: &str) -> Result<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address
        .trim()
        .parse()
        .map_err(|_| anyhow!("'{text}' is not a prefix such as 192.0.2.0/24"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => length
            .trim()
            .parse()
            .map_err(|_| anyhow!("'{text}' is not a prefix such as 192.0.2.0/24"))?,
    };
    if length > most {
        bail!("prefix '{text}': the length goes to {most}");
    }
    Ok((address, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_marks_of_a_host_file() {
        let file: HostFile = toml::from_str(
            r#"
            queues = [0]
            local_marks = ["0x1/0xff", "7"]
            [interfaces.lan0]
            group = 3
            [[sockets]]
            protocol = "tcp"
            local = "0.0.0.0:3128"
            uid = 13
            gid = 13
            transparent = true
            [[sockets]]
            protocol = "udp"
            local = "[::]:53"
            "#,
        )
        .expect("a host file");
        let sockets: Vec<Socket> = file
            .sockets
            .expect("sockets")
            .into_iter()
            .map(|s| s.socket().expect("a socket"))
            .collect();
        assert_eq!(sockets[0].owner.as_ref().map(|o| o.user), Some(13));
        assert!(sockets[0].transparent && sockets[1].owner.is_none());
        assert_eq!(sockets[1].local.1, 53);
        let marks: Vec<_> = file.local_marks.iter().map(|t| mark(t).ok()).collect();
        assert_eq!(marks, [Some((1, 255)), Some((7, u32::MAX))]);
        assert!(mark("0x1/zz").is_err());
        assert_eq!(file.interfaces["lan0"].group, 3);
    }

    #[test]
    fn half_an_owner_is_none() {
        let table: SocketTable =
            toml::from_str("protocol = \"tcp\"\nlocal = \"0.0.0.0:1\"\nuid = 1").expect("a table");
        assert!(table.socket().is_err());
    }
}
