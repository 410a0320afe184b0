//! What is started with: the rules that were asked for, or, where they cannot be had, what `--boot-policy` says.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use palisade_engine::conntrack::Config;
use palisade_engine::{Engine, Host, Setup};
use palisade_rules::{Family, Ruleset, Severity, parse};

use super::RunArguments;
use super::supervise::ReadRules;
use crate::output::Paint;
use crate::{rules, sets};

/// What to do when the rules cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootPolicy {
    /// Do not start, and touch nothing: a gate that is closed stays closed.
    Refuse,
    /// Start, and drop all packets but those of the host to itself.
    Drop,
    /// Start, and let only packets of known connections pass, and what IPv6 needs to find its neighbours.
    Established,
    /// Start, and let all packets pass.
    Accept,
}

impl BootPolicy {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            BootPolicy::Refuse => "refuse",
            BootPolicy::Drop => "drop",
            BootPolicy::Established => "established",
            BootPolicy::Accept => "accept",
        }
    }

    /// Rules that say it; the same for both families but for ICMPv6.
    fn rules(self, family: Family) -> String {
        let policy = match self {
            BootPolicy::Accept => "ACCEPT",
            _ => "DROP",
        };
        let mut text = format!(
            "*filter\n:INPUT {policy}\n:FORWARD {policy}\n:OUTPUT {policy}\n\
             -A INPUT -i lo -j ACCEPT\n-A OUTPUT -o lo -j ACCEPT\n"
        );
        if self == BootPolicy::Established {
            for chain in ["INPUT", "FORWARD", "OUTPUT"] {
                text +=
                    &format!("-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n");
            }
            if family == Family::V6 {
                // Router and neighbour solicitation and advertisement (RFC 4861, section 4).
                for kind in 133..=136 {
                    text += &format!("-A INPUT -p icmpv6 --icmpv6-type {kind} -j ACCEPT\n");
                    text += &format!("-A OUTPUT -p icmpv6 --icmpv6-type {kind} -j ACCEPT\n");
                    // Through a wire too; what a router forwards has not come with this hop limit.
                    text += &format!(
                        "-A FORWARD -m hl --hl-eq 255 -p icmpv6 --icmpv6-type {kind} -j ACCEPT\n"
                    );
                }
            }
        }
        text + "COMMIT\n"
    }
}

/// An engine to start with.
#[derive(Debug)]
pub struct Booted {
    /// It.
    pub engine: Engine,
    /// The policy that it has instead of the rules that were asked for.
    pub policy: Option<BootPolicy>,
}

/// The engine to start with; `None` when there is none, which was told.
///
/// # Errors
/// What is wrong with the command line, or with rules where no policy stands in for them.
pub fn engine(arguments: &RunArguments) -> Result<Option<Booted>> {
    let mut conntrack = Config::default();
    for setting in &arguments.sysctl {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("--sysctl {setting}: NAME=VALUE is needed");
        };
        conntrack.set(name, value)?;
    }
    let policy = arguments.daemon.boot_policy;
    let asked = read(arguments, &conntrack).and_then(|setup| {
        let engine = setup.map(Engine::new).transpose();
        engine.context("the rules cannot be enforced")
    });
    let failed = match asked {
        Ok(Some(engine)) => {
            return Ok(Some(Booted {
                engine,
                policy: None,
            }));
        }
        Ok(None) if policy == BootPolicy::Refuse => return Ok(None),
        Err(error) if policy == BootPolicy::Refuse => return Err(error),
        Ok(None) => "they have errors".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let policy_name = policy.name();
    tracing::error!(
        policy = policy_name,
        reason = failed,
        "the rules are NOT in force: starting with the boot policy instead"
    );
    let rules = |family| {
        let parsed = parse::auto(&policy.rules(family), family);
        match family {
            Family::V4 => parsed.v4,
            Family::V6 => parsed.v6,
        }
    };
    let engine = Engine::new(Setup {
        conntrack,
        rules4: rules(Family::V4),
        rules6: rules(Family::V6),
        ..Setup::default()
    })?;
    Ok(Some(Booted {
        engine,
        policy: Some(policy),
    }))
}

/// What the engine is made of; `None` when the rules have errors, which were told.
fn read(arguments: &RunArguments, conntrack: &Config) -> Result<Option<Setup>> {
    let paint = Paint::stderr(arguments.color);
    if arguments.rules.is_none() && arguments.rules6.is_none() {
        bail!(
            "no rules: --rules FILE and --rules6 FILE name them; --boot-policy drop, established or accept starts without"
        );
    }
    let Ok(ipsets) = sets::read(&arguments.ipset, paint)? else {
        return Ok(None);
    };
    let files = [&arguments.rules, &arguments.rules6].map(Option::as_deref);
    let Some([rules4, rules6]) = read_files(files, paint)? else {
        return Ok(None);
    };
    let setup = Setup {
        conntrack: conntrack.clone(),
        host: Host::default(),
        ipsets: ipsets.unwrap_or_default(),
        rules4,
        rules6,
        ..Setup::default()
    };
    for (rules, name) in [(&setup.rules4, "IPv4"), (&setup.rules6, "IPv6")] {
        if rules.is_none() {
            tracing::warn!("there are no rules for {name}: all of its packets pass");
        }
    }
    Ok(Some(setup))
}

/// Rules of both families from their files; `None` when they have errors, which were told.
fn read_files(files: [Option<&Path>; 2], paint: Paint) -> Result<Option<[Option<Ruleset>; 2]>> {
    let [mut rules4, mut rules6] = [None, None];
    for (path, family) in files.into_iter().zip([Family::V4, Family::V6]) {
        let Some(path) = path else { continue };
        let file = rules::read(path, family)?;
        rules::tell(&file, path, Severity::Error, paint);
        if file.parsed.has_errors() {
            return Ok(None);
        }
        rules4 = file.parsed.v4.or(rules4);
        rules6 = file.parsed.v6.or(rules6);
    }
    Ok(Some([rules4, rules6]))
}

/// What reads the same files again.
pub fn reader(arguments: &RunArguments) -> ReadRules {
    let paint = Paint::stderr(arguments.color);
    let files = [arguments.rules.clone(), arguments.rules6.clone()];
    Box::new(move || {
        if files.iter().all(Option::is_none) {
            bail!("there are no files of rules: --rules and --rules6 were not given");
        }
        read_files([files[0].as_deref(), files[1].as_deref()], paint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_engine::{Input, Verdict};
    use palisade_wire::{build, tcp::flags};

    #[test]
    fn policies_say_what_passes() {
        // A policy, whether a new connection, the answer to it and one to itself pass.
        let cases = [
            (BootPolicy::Drop, Verdict::Drop),
            (BootPolicy::Established, Verdict::Drop),
            (BootPolicy::Accept, Verdict::Accept),
        ];
        for (policy, new) in cases {
            for family in [Family::V4, Family::V6] {
                let parsed = parse::auto(&policy.rules(family), family);
                assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
                let (here, there) = match family {
                    Family::V4 => ("192.0.2.1", "198.51.100.1"),
                    Family::V6 => ("2001:db8::1", "2001:db8:1::1"),
                };
                let (here, there) = (here.parse().unwrap(), there.parse().unwrap());
                let mut engine = Engine::new(Setup {
                    rules4: parsed.v4,
                    rules6: parsed.v6,
                    host: Host::new([here], []),
                    ..Setup::default()
                })
                .unwrap();
                let syn = build::Tcp {
                    destination_port: 22,
                    flags: flags::SYN,
                    ..Default::default()
                };
                let syn = build::tcp(&build::Ip::new(there, here), &syn, b"");
                let outcome = engine.process(&Input::new(&syn), &mut ());
                assert_eq!(outcome.verdict, new, "{policy:?} {family:?}");
            }
        }
    }

    #[test]
    fn established_lets_neighbours_be_found() {
        let rules = parse::auto(&BootPolicy::Established.rules(Family::V6), Family::V6);
        let here = "2001:db8::1".parse().unwrap();
        let mut engine = Engine::new(Setup {
            rules6: rules.v6,
            host: Host::new([here], []),
            ..Setup::default()
        })
        .unwrap();
        let ip = build::Ip {
            ttl: 255,
            ..build::Ip::new("2001:db8::2".parse().unwrap(), here)
        };
        let packet = build::icmp(&ip, 135, 0, [0; 4], &[0x20; 16]);
        let outcome = engine.process(&Input::new(&packet), &mut ());
        assert_eq!(outcome.verdict, Verdict::Accept, "{}", outcome.why);
    }
}
