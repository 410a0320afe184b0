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

/// ` spt:[!]port` or ` spts:[!]first:last`, as listings have it; nothing for all ports. Without `-n` a port
/// has the name that `service` knows.
pub(super) fn list(
    out: &mut Out,
    name: &str,
    range: &Option<Not<PortRange>>,
    service: impl Fn(u16) -> Option<&'static str>,
) {
    let Some(not) = range else { return };
    let PortRange { first, last } = not.value;
    if first == 0 && last == u16::MAX && !not.negated {
        return;
    }
    let numeric = out.numeric;
    let shown = |port: u16| match service(port) {
        Some(name) if !numeric => name.to_string(),
        _ => port.to_string(),
    };
    let bang = if not.negated { "!" } else { "" };
    if first == last {
        out.word(format_args!("{name}:{bang}{}", shown(first)));
    } else {
        out.word(format_args!(
            "{name}s:{bang}{}:{}",
            shown(first),
            shown(last)
        ));
    }
}
