//! The session that somebody who changes rules sits in: the one that must not be cut.
//!
//! sshd puts its connection into `SSH_CONNECTION`. sudo and su take that away, so that it is looked for in the
//! environments of the processes above too.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use palisade_live::control::message::{Safety, Session};

use super::args::SafetyArguments;

/// Processes above this one that are looked at.
const HIGHEST: usize = 64;

/// What a command line says, and the session that it is typed into.
pub fn safety(arguments: &SafetyArguments) -> Safety {
    let mut sessions = arguments.protect.clone();
    sessions.extend(controlling());
    Safety {
        sessions,
        force: arguments.force,
    }
}

/// Likewise of a program that has no options for it: `PALISADE_PROTECT`, `PALISADE_FORCE=1`.
///
/// # Errors
/// `PALISADE_PROTECT` names no connection.
pub fn safety_of_environment() -> Result<Safety> {
    let named = std::env::var("PALISADE_PROTECT").unwrap_or_default();
    let named = named.split(',').filter(|text| !text.is_empty());
    let protect: Result<Vec<Session>, _> = named.map(str::parse).collect();
    let force = std::env::var_os("PALISADE_FORCE").is_some_and(|v| v == "1");
    Ok(safety(&SafetyArguments {
        protect: protect.context("PALISADE_PROTECT")?,
        force,
    }))
}

/// The ssh connection that this is typed into.
fn controlling() -> Option<Session> {
    if let Ok(text) = std::env::var("SSH_CONNECTION") {
        return read(&text);
    }
    let mut process = nix::unistd::getppid().as_raw();
    for _ in 0..HIGHEST {
        if process <= 1 {
            return None;
        }
        let folder = format!("/proc/{process}");
        // Other users' are not ours to read.
        let environment = std::fs::read(format!("{folder}/environ")).unwrap_or_default();
        let found = environment.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(b"SSH_CONNECTION=")?;
            read(std::str::from_utf8(value).ok()?)
        });
        if found.is_some() {
            return found;
        }
        let stat = std::fs::read_to_string(format!("{folder}/stat")).ok()?;
        process = parent(&stat)?;
    }
    None
}

/// `client-address client-port server-address server-port`.
fn read(text: &str) -> Option<Session> {
    let mut words = text.split_ascii_whitespace();
    let mut end = || {
        let address = words.next()?;
        // A link-local address has its interface behind it.
        let address: IpAddr = address.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(
            address.to_canonical(),
            words.next()?.parse().ok()?,
        ))
    };
    let (from, to) = (end()?, end()?);
    (from.is_ipv4() == to.is_ipv4()).then_some(Session { from, to })
}

/// The parent of a process, from its `stat`: the second word behind the name, which may have anything in it.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sshd_says() {
        let said = |text| read(text).map(|s: Session| s.to_string());
        assert_eq!(
            said("203.0.113.9 40000 192.0.2.1 22").as_deref(),
            Some("203.0.113.9:40000-192.0.2.1:22")
        );
        assert_eq!(
            said("fe80::9%eth0 40000 fe80::1%eth0 22").as_deref(),
            Some("[fe80::9]:40000-[fe80::1]:22")
        );
        assert_eq!(
            said("::ffff:203.0.113.9 40000 ::ffff:192.0.2.1 22").as_deref(),
            Some("203.0.113.9:40000-192.0.2.1:22")
        );
        for bad in [
            "",
            "UNKNOWN 65535 UNKNOWN 65535",
            "203.0.113.9 40000 192.0.2.1",
        ] {
            assert_eq!(said(bad), None, "{bad}");
        }
    }

    #[test]
    fn parents() {
        assert_eq!(parent("17 (a) b (c) S 5 17 17 0"), Some(5));
        assert_eq!(parent("17"), None);
        let own = std::fs::read_to_string("/proc/self/stat").expect("our own");
        assert_eq!(parent(&own), Some(nix::unistd::getppid().as_raw()));
    }
}
