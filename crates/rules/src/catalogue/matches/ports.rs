//! Options that matches of transport protocols share.

use super::prelude::*;

/// `--sport` or `--dport`. All ports are left out: iptables-save 1.8.9 does so whether they are
/// negated or not.
pub(super) fn write(out: &mut Out, name: &str, ports: &Option<Not<PortRange>>) {
    match ports {
        Some(not) if (not.value.first, not.value.last) != (0, u16::MAX) => {
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
