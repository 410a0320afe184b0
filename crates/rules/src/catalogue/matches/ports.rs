//! Options that matches of transport protocols share.

use super::prelude::*;

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

/// ` spt:80`, ` dpts:!1:9`, as `iptables -L` has them; ports by name, where that is asked for.
pub(super) fn list(out: &mut Out, what: &str, not: &Option<Not<PortRange>>) {
    let Some(not) = not else { return };
    let PortRange { first, last } = not.value;
    let bang = if not.negated { "!" } else { "" };
    if (first, last) == (0, u16::MAX) && !not.negated {
        return;
    }
    let name = |port| listed(out, port);
    let text = match first == last {
        true => format!("{what}:{bang}{}", name(first)),
        false => format!("{what}s:{bang}{}:{}", name(first), name(last)),
    };
    out.word(text);
}

/// A port as `iptables -L` prints it.
pub(super) fn listed(out: &Out, port: u16) -> String {
    let name = (!out.numeric)
        .then(|| crate::names::service_name(port))
        .flatten();
    name.map_or_else(|| port.to_string(), str::to_string)
}
