//! `-m multiport`.

use super::prelude::*;
use super::{Side, ports};

/// `-m multiport`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiport {
    /// Which ports.
    pub side: Side,
    /// Ports; a range counts two.
    pub ports: Not<Vec<PortRange>>,
}

/// Most ports of one rule (kernel `XT_MULTI_PORTS`).
const MAX: usize = 15;

const SIDES: [(Side, &str); 3] = [
    (Side::Source, "sports"),
    (Side::Destination, "dports"),
    (Side::Either, "ports"),
];

fn list(text: &str, protocol: Option<u8>) -> Value<Vec<PortRange>> {
    let mut ports = Vec::new();
    let mut cost = 0;
    for part in text.split(',') {
        let port = |text: &str| value::port_of(text, protocol);
        let (first, last) = match part.split_once(':') {
            Some((first, last)) => {
                cost += 2;
                let (first, last) = (port(first)?, port(last)?);
                if first >= last {
                    return Err(Bad::new(format!(
                        "the port range {first}:{last} does not go up"
                    )));
                }
                (first, last)
            }
            None => {
                cost += 1;
                let port = port(part)?;
                (port, port)
            }
        };
        ports.push(PortRange { first, last });
    }
    if cost > MAX {
        return Err(Bad::new(format!(
            "{cost} ports; multiport takes at most {MAX}, and a range counts two"
        ))
        .help("split it into two rules"));
    }
    Ok(ports)
}

impl Spec for Multiport {
    const ROW: Extension = Extension::new(
        "multiport",
        Families::Both,
        "Up to 15 ports, of which a range counts two.",
    )
    .options(&[
        opt("sports", "PORT[,PORT[:PORT]]", "source ports")
            .alias(&["source-ports"])
            .not()
            .excludes(&["dports", "ports"]),
        opt("dports", "PORT[,PORT[:PORT]]", "destination ports")
            .alias(&["destination-ports"])
            .not()
            .excludes(&["sports", "ports"]),
        opt("ports", "PORT[,PORT[:PORT]]", "ports of either side")
            .not()
            .excludes(&["sports", "dports"]),
    ])
    .protocols(&[
        proto::TCP,
        proto::UDP,
        proto::UDPLITE,
        proto::SCTP,
        proto::DCCP,
    ])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        for (side, name) in SIDES {
            let Some(given) = loaded.find(name) else {
                continue;
            };
            // The program wants to know the protocol when it reads the ports.
            if !Self::ROW.protocols.contains(&given.protocol) {
                let bad = Bad::new("'multiport' needs a protocol that has ports, before it")
                    .help("-p tcp, udp, udplite, sctp or dccp in front of the ports")
                    .said(
                        "multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'",
                    );
                return Err(given.fault(bad.code("match-needs-protocol")));
            }
            let protocol = Some(given.protocol);
            if let Some(ports) = loaded.not(name, |t| list(t, protocol))? {
                return Ok(Multiport { side, ports });
            }
        }
        Err(loaded.missing("dports"))
    }

    fn write(&self, out: &mut Out) {
        let name = SIDES.iter().find(|(s, _)| *s == self.side);
        out.not(name.map_or("ports", |(_, n)| n), &self.ports, |list| {
            let list: Vec<String> = list.iter().map(write::ports).collect();
            list.join(",")
        });
    }

    fn list(&self, out: &mut Out) {
        out.word("multiport");
        let name = SIDES.iter().find(|(s, _)| *s == self.side);
        out.word(name.map_or("ports", |(_, n)| n));
        let list: Vec<String> = self
            .ports
            .value
            .iter()
            .map(|r| write::range(ports::listed(out, r.first), ports::listed(out, r.last)))
            .collect();
        let bang = if self.ports.negated { " !" } else { "" };
        out.word(format_args!("{bang}{}", list.join(",")));
    }
}
