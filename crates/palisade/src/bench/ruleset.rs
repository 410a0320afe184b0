//! The rules that packets are measured against.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use palisade_engine::{Engine, Input, Route, Setup, Verdict};
use palisade_rules::{Family, Hook, Ruleset, Severity, TableKind, parse};

use super::case::Mix;
use super::packets::{Chance, Flows, PORTS};
use crate::args::Color;
use crate::output::Paint;
use crate::rules;

/// The interface of the host.
pub const INTERFACE: &str = "eth0";

/// The rule of every firewall that is quick today.
const ESTABLISHED: &str = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";

/// A few usual ones behind it.
const USUAL: &str = "-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m multiport --dports 80,443 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -p udp -m udp --dport 51820 -j ACCEPT
";

/// A small firewall with address rules before or behind the one for ESTABLISHED.
pub fn text(before: &str, behind: &str) -> String {
    format!(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         {before}{ESTABLISHED}{behind}{USUAL}\
         -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
    )
}

/// The addresses of 172.16.0.0/12, in an order by chance: rules name those in front, packets come from the rest.
pub fn addresses() -> Vec<Ipv4Addr> {
    let net = u32::from(Ipv4Addr::new(172, 16, 0, 0));
    let order = Chance::new(3).permutation(1 << 20);
    order
        .into_iter()
        .map(|host| Ipv4Addr::from(net | host))
        .collect()
}

/// A rule for each address.
pub fn address_rules(addresses: &[Ipv4Addr]) -> String {
    let mut text = String::with_capacity(addresses.len() * 40);
    for address in addresses {
        let _ = writeln!(text, "-A INPUT -s {address}/32 -j ACCEPT");
    }
    text
}

/// Rules with addresses, protocols and ports, as they stand in large files.
pub fn large(count: u32) -> String {
    let mut rules = String::with_capacity(count as usize * 80);
    let mut chance = Chance::new(5);
    for _ in 0..count {
        let n = chance.next();
        let source = Ipv4Addr::from((n >> 32) as u32 & 0x00ff_ffff | 0x0b00_0000);
        let port = 1 + n as u16 % 65_000;
        let (protocol, target) = match n >> 24 & 3 {
            0 => ("udp", "ACCEPT"),
            1 => ("tcp", "DROP"),
            _ => ("tcp", "ACCEPT"),
        };
        let _ = writeln!(
            rules,
            "-A INPUT -s {source}/32 -p {protocol} -m {protocol} --dport {port} -j {target}"
        );
    }
    text("", &rules)
}

/// Our own rules, which are right.
pub fn own(text: &str) -> Result<Ruleset> {
    let parsed = parse::save_file(text, Family::V4);
    match parsed.v4 {
        Some(rules) if parsed.diagnostics.is_empty() => Ok(rules),
        _ => bail!(
            "the rules of the bench are not taken: {:?}",
            parsed.diagnostics.first()
        ),
    }
}

/// Reads the rules of a user; `None` when they are wrong, which has been told.
pub fn users(path: &Path) -> Result<Option<Ruleset>> {
    let file = rules::read(path, Family::V4)?;
    let paint = Paint::stderr(Color::Auto);
    if file.parsed.has_errors() {
        rules::tell(&file, path, Severity::Error, paint);
        return Ok(None);
    }
    let rules = file.parsed.v4.clone();
    rules
        .with_context(|| format!("{} holds no IPv4 rules", path.display()))
        .map(Some)
}

/// How packets reach a host through rules of which nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// Interface that they come by.
    pub interface: String,
    /// Ports for UDP and TCP.
    pub ports: [u16; 2],
    /// Why packets do not pass, of a mix whose packets cannot.
    pub closed: Option<String>,
}

impl Entrance {
    /// That of our own rules.
    pub fn own() -> Self {
        Entrance {
            interface: INTERFACE.into(),
            ports: PORTS,
            closed: None,
        }
    }
}

/// Ports that are likely to be open, of either protocol.
const LIKELY: [u16; 12] = [
    443, 80, 22, 53, 51_820, 123, 25, 8080, 500, 5060, 1194, 3389,
];

/// How long a way in is looked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks for an interface and ports by which rules let new connections of a mix in.
pub fn entrance(setup: &Setup, mix: Mix) -> Result<Entrance> {
    let mut entrance = Entrance::own();
    let interfaces = interfaces(setup.rules4.as_ref());
    let end = Instant::now() + PATIENCE;
    let wanted = match mix {
        Mix::Udp => [true, false],
        Mix::Tcp => [false, true],
        Mix::Mixed => [true, true],
    };
    for interface in &interfaces {
        let engine = Engine::new(setup.clone())?;
        let mut open = true;
        for (at, kind) in [Mix::Udp, Mix::Tcp].into_iter().enumerate() {
            if !wanted[at] {
                continue;
            }
            let mut search = Search {
                engine: engine.clone(),
                interface,
                kind,
                end,
            };
            match search.port(LIKELY.into_iter().chain(1..=u16::MAX)) {
                Ok(port) => entrance.ports[at] = port,
                Err(why) => {
                    open = false;
                    entrance.closed = entrance.closed.or(Some(why));
                }
            }
        }
        if open {
            entrance.interface = interface.clone();
            entrance.closed = None;
            return Ok(entrance);
        }
    }
    Ok(Entrance {
        closed: entrance.closed,
        ..Entrance::own()
    })
}

/// The search for a port that is open.
struct Search<'a> {
    engine: Engine,
    interface: &'a str,
    kind: Mix,
    end: Instant,
}

impl Search<'_> {
    /// The first of the ports that is open, or why the first of all is not. One is always tried.
    fn port(&mut self, ports: impl Iterator<Item = u16>) -> Result<u16, String> {
        let mut why = None;
        for port in ports {
            if why.is_some() && Instant::now() > self.end {
                break;
            }
            let (bytes, _) = Flows::new(1, self.kind, [port; 2]).first(0);
            let input = Input {
                route: Route::In(self.interface.into()),
                ..Input::new(&bytes)
            };
            let outcome = self.engine.process(&input, &mut ());
            if outcome.verdict == Verdict::Accept {
                return Ok(port);
            }
            why = why.or_else(|| Some(outcome.why.to_string()));
        }
        Err(why.unwrap_or_default())
    }
}

/// Interfaces that packets may come by: the usual one, and those that rules of INPUT name.
fn interfaces(rules: Option<&Ruleset>) -> Vec<String> {
    let mut names = vec![INTERFACE.to_string()];
    let chains = rules
        .and_then(|r| r.table(TableKind::Filter))
        .map(|t| &t.chains);
    for chain in chains.into_iter().flatten() {
        if chain.builtin.is_some_and(|hook| hook != Hook::Input) {
            continue;
        }
        for interface in chain
            .rules
            .iter()
            .filter_map(|r| r.base.in_interface.as_ref())
        {
            let pattern = &interface.value;
            let name = match pattern.prefix {
                true => format!("{}0", pattern.name),
                false => pattern.name.clone(),
            };
            if !interface.negated && name != "lo" && !names.contains(&name) && names.len() < 16 {
                names.push(name);
            }
        }
    }
    names
}
