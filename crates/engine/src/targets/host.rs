//! Targets that hand packets to programs of this host: NFQUEUE, QUEUE, TPROXY.

use palisade_rules::targets::nfqueue::Nfqueue;
use palisade_rules::targets::tproxy::Tproxy;
use palisade_wire::{Buffer, proto};

use crate::host::Host;
use crate::linear::Verdict;
use crate::matches::{Facts, Shared};
use crate::socket::Ends;

/// What QUEUE is in NFQUEUE's terms.
pub(super) const QUEUE: Nfqueue = Nfqueue {
    first: 0,
    last: 0,
    bypass: false,
    by_processor: false,
};

/// Kernel `nf_queue`: while no program listens the packet is dropped, or with `--queue-bypass` goes on. Which of
/// several queues a connection has is decided by a hash with a secret: what differs among them stays queued.
pub(super) fn queue(rule: Nfqueue, host: &Host) -> Verdict {
    let range = rule.first..=rule.last;
    match &host.queues {
        Some(heard) if !heard.iter().any(|queue| range.contains(queue)) => {
            if rule.bypass {
                Verdict::Accept
            } else {
                Verdict::Unheard
            }
        }
        _ => Verdict::Queue,
    }
}

/// Kernel `tproxy_tg4`, `tproxy_tg6_v1`: to the socket that is connected to the packet's own ends, else to the one
/// that listens where the rule says; without one that may serve addresses of others the packet is dropped.
pub(super) fn tproxy(
    rule: Tproxy,
    buffer: &Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
) -> Verdict {
    let packet = buffer.packet();
    let host = facts.host;
    if packet.transport().len() < 8 {
        return Verdict::Drop;
    }
    if host.sockets.is_none() {
        return Verdict::Unknown(
            "target TPROXY does not know the sockets of this host".to_string(),
        );
    }
    // The ports are there even where a TCP header is cut short behind them.
    let Some(ends) = Ends::by_ports(&packet) else {
        return Verdict::Drop;
    };
    let connected = host.connected(&ends).filter(|at| {
        ends.protocol != proto::UDP || host.socket(*at).is_some_and(|s| !s.anywhere())
    });
    let found = connected.or_else(|| {
        let address = if rule.address.is_unspecified() {
            host.first_address(facts.in_interface, packet.destination().is_ipv4())
                .unwrap_or(packet.destination())
        } else {
            rule.address
        };
        let port = if rule.port == 0 {
            ends.local.1
        } else {
            rule.port
        };
        host.listening(&Ends {
            local: (address, port),
            ..ends
        })
    });
    match found {
        Some(at) if host.socket(at).is_some_and(|s| s.transparent) => {
            let (value, mask) = rule.mark;
            shared.mark = (shared.mark & !mask) ^ value;
            shared.socket = Some(at);
            Verdict::Accept
        }
        _ => Verdict::Drop,
    }
}
