//! `--only`: which packets to show.

use std::net::IpAddr;

use anyhow::{Result, anyhow, bail};
use palisade_capture::report::{TraceRecord, Transport};

/// Which packets to show.
#[derive(Clone, Debug, PartialEq)]
pub enum Only {
    /// One packet, explained.
    Packet(u64),
    /// A range of numbers.
    Range(u64, u64),
    /// All terms hold.
    Terms(Vec<Term>),
}

/// One term of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `state=`.
    State(String),
    /// `verdict=`.
    Verdict(String),
    /// `host=`.
    Host(IpAddr),
    /// `port=`.
    Port(u16),
    /// `proto=`.
    Protocol(String),
    /// `connection=`.
    Connection(u64),
    /// `hook=`.
    Hook(String),
}

impl Only {
    /// Reads the option's value.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(n) = text.parse() {
            return Ok(Only::Packet(n));
        }
        if let Some((a, b)) = text.split_once('-')
            && let (Ok(a), Ok(b)) = (a.trim().parse(), b.trim().parse())
        {
            return Ok(Only::Range(a, b));
        }
        let mut terms = Vec::new();
        for part in text.split(" and ") {
            let (key, value) = part.trim().split_once('=').ok_or_else(|| {
                anyhow!("--only {text}: a number, a range such as 5-9, or terms such as state=INVALID and port=22")
            })?;
            let value = value.trim();
            let bad = |what: &str| anyhow!("--only: '{value}' is no {what}");
            terms.push(match key.trim() {
                "state" => Term::State(value.to_ascii_uppercase()),
                "verdict" => Term::Verdict(value.to_ascii_uppercase()),
                "hook" => Term::Hook(value.to_ascii_uppercase()),
                "proto" => Term::Protocol(value.to_ascii_lowercase()),
                "host" => Term::Host(value.parse().map_err(|_| bad("address"))?),
                "port" => Term::Port(value.parse().map_err(|_| bad("port"))?),
                "connection" => Term::Connection(
                    value
                        .trim_start_matches('c')
                        .parse()
                        .map_err(|_| bad("connection number"))?,
                ),
                other => bail!(
                    "--only: unknown term '{other}'; state, verdict, host, port, proto, connection, hook"
                ),
            });
        }
        Ok(Only::Terms(terms))
    }

    /// Whether a packet is to be shown.
    pub fn fits(&self, record: &TraceRecord) -> bool {
        match self {
            Only::Packet(n) => record.n == *n,
            Only::Range(a, b) => (*a..=*b).contains(&record.n),
            Only::Terms(terms) => terms.iter().all(|t| t.fits(record)),
        }
    }
}

impl Term {
    fn fits(&self, record: &TraceRecord) -> bool {
        let outcome = record.outcome.as_ref();
        match self {
            Term::State(name) => outcome
                .and_then(|o| o.state)
                .is_some_and(|s| s.name() == name),
            Term::Verdict(name) => outcome.is_some_and(|o| o.verdict.name() == name),
            Term::Hook(name) => outcome
                .and_then(|o| o.hook)
                .is_some_and(|h| h.name() == name),
            Term::Host(address) => {
                record.source == Some(*address) || record.destination == Some(*address)
            }
            Term::Port(port) => {
                matches!(record.transport, Transport::Ports(a, b) if a == *port || b == *port)
            }
            Term::Protocol(name) => record
                .protocol
                .is_some_and(|p| crate::trace::protocol_name(p) == *name),
            Term::Connection(n) => outcome
                .and_then(|o| o.connection)
                .is_some_and(|c| c.number == *n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ranges_and_terms() {
        assert_eq!(Only::parse("17").unwrap(), Only::Packet(17));
        assert_eq!(Only::parse("5-9").unwrap(), Only::Range(5, 9));
        assert_eq!(
            Only::parse("state=invalid and port=22").unwrap(),
            Only::Terms(vec![Term::State("INVALID".into()), Term::Port(22)])
        );
        for bad in ["", "x", "port=99999", "colour=red"] {
            assert!(Only::parse(bad).is_err(), "{bad}");
        }
    }
}
