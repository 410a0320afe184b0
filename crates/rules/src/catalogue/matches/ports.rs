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
