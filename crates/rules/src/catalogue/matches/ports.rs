//! Options that matches of transport protocols share.

use super::prelude::*;

/// Whether a range is of all ports.
pub(super) fn all_of(not: &Not<PortRange>) -> bool {
    (not.value.first, not.value.last) == (0, u16::MAX)
}

/// Whether ports are not tested, or all of them are in the range.
pub(super) fn all(ports: &Option<Not<PortRange>>) -> bool {
    ports.as_ref().is_none_or(all_of)
}

/// Whether `!` stands before a test.
pub(super) fn negated(ports: &Option<Not<PortRange>>) -> bool {
    ports.as_ref().is_some_and(|not| not.negated)
}

/// `--sport` or `--dport`. All ports are left out: iptables-save 1.8.9 does so whether they are
/// negated or not.
pub(super) fn write(out: &mut Out, name: &str, ports: &Option<Not<PortRange>>) {
    match ports {
        Some(not) if !all_of(not) => {
            out.not(name, not, write::ports);
        }
        _ => {}
    }
}

/// `--sport`.
pub(super) const SPORT: Opt = opt(
    "sport",
    "PORT[:PORT]",
    "source port, or the ports of a range",
)
.alias(&["source-port"])
.not();

/// `--dport`.
pub(super) const DPORT: Opt = opt(
    "dport",
    "PORT[:PORT]",
    "destination port, or the ports of a range",
)
.alias(&["destination-port"])
.not();

/// ` spt:80`, ` dpts:!1:9`, as `iptables -L` has them, nothing for all ports; ports by name, where that is asked for.
pub(super) fn list(out: &mut Out, what: &str, not: &Option<Not<PortRange>>) {
    list_by(out, what, not, crate::names::service_name);
}

/// As [`list`], with the names that `service` knows.
pub(super) fn list_by(
    out: &mut Out,
    what: &str,
    not: &Option<Not<PortRange>>,
    service: impl Fn(u16) -> Option<&'static str>,
) {
    let Some(not) = not else { return };
    let PortRange { first, last } = not.value;
    let bang = if not.negated { "!" } else { "" };
    if (first, last) == (0, u16::MAX) && !not.negated {
        return;
    }
    let name = |port| named(out, port, &service);
    let text = match first == last {
        true => format!("{what}:{bang}{}", name(first)),
        false => format!("{what}s:{bang}{}:{}", name(first), name(last)),
    };
    out.word(text);
}

/// A port as `iptables -L` prints it.
pub(super) fn listed(out: &Out, port: u16) -> String {
    named(out, port, crate::names::service_name)
}

fn named(out: &Out, port: u16, service: impl Fn(u16) -> Option<&'static str>) -> String {
    let name = (!out.numeric).then(|| service(port)).flatten();
    name.map_or_else(|| port.to_string(), str::to_string)
}
