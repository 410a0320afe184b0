//! The answer to a packet whose time to live is used up here, where the kernel cannot give it.
//!
//! The kernel answers what it drops itself. A packet that was to be translated first it has never seen so: handed over as it
//! came it would be delivered, and as translated the answer would quote what its sender never sent (the kernel's own
//! translation finds the connection by the packet that is answered, `icmp_glue_bits`; here it ended with the packet). So such a
//! packet is answered here, as it came.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use palisade_engine::{Ended, Outcome};
use palisade_wire::{Packet, build, proto};

/// Bytes of an answer, at most: RFC 1812, 4.3.2.3, and RFC 4443, 2.4.
const MOST: [usize; 2] = [576, 1280];

/// Answers in a second, at most.
const RATE: u32 = 1000;

/// How many answers were given in the second that runs.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<(Instant, u32)>>);

impl Rate {
    /// Whether one more may be given.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut rate = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (since, given) = rate.get_or_insert((now, 0));
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *given) = (now, 0);
        }
        *given = given.saturating_add(1);
        *given <= RATE
    }
}

/// Whether a packet ended so, and was translated before it did.
pub(super) fn translated(detail: Option<&Outcome>) -> bool {
    detail.is_some_and(|d| {
        let connection = d.connection.as_ref();
        matches!(d.why.ended, Ended::TimeToLive(_))
            && connection.is_some_and(|c| c.translation.is_some())
    })
}

/// Time exceeded, from one of this machine's addresses (kernel `__icmp_send`, `icmp6_send`); `None` to what is not
/// answered.
pub(super) fn answer(packet: &Packet<'_>, own: IpAddr) -> Option<Vec<u8>> {
    let source = packet.source();
    if packet.is_later_fragment()
        || source.is_unspecified()
        || source.is_multicast()
        || is_error(packet)
    {
        return None;
    }
    let mut ip = build::Ip::new(own, source);
    let (kind, most) = match own {
        IpAddr::V4(_) => {
            // The sender's wish, with the precedence of what keeps networks together.
            ip.tos = packet.tos() & 0x1e | 0xc0;
            (11, MOST[0] - 28)
        }
        IpAddr::V6(_) => (3, MOST[1] - 48),
    };
    let bytes = packet.bytes();
    let quoted = bytes.get(..most).unwrap_or(bytes);
    Some(build::icmp(&ip, kind, 0, [0; 4], quoted))
}

/// Whether a packet is an ICMP error itself.
fn is_error(packet: &Packet<'_>) -> bool {
    let kind = packet.transport().first();
    match packet.protocol() {
        proto::ICMP => kind.is_none_or(|kind| !matches!(kind, 0 | 8 | 9 | 10 | 13..=18)),
        proto::ICMPV6 => kind.is_none_or(|kind| *kind < 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(bytes: &[u8], own: &str) -> Option<Vec<u8>> {
        answer(&Packet::parse(bytes).unwrap(), own.parse().unwrap())
    }

    #[test]
    fn it_quotes_what_came_and_goes_back() {
        for (from, to, own, header, kind, most) in [
            ("10.1.0.2", "10.1.0.1", "10.1.0.1", 20, 11, 576),
            ("fd00:1::2", "fd00:1::1", "fd00:1::1", 40, 3, 1280),
        ] {
            let ip = build::Ip::new(from.parse().unwrap(), to.parse().unwrap());
            for payload in [0, 10, 1400] {
                let packet = build::udp(&ip, 40_000, 33_434, &vec![7; payload]);
                let reply = answered(&packet, own).unwrap();
                let parsed = Packet::parse(&reply).unwrap();
                assert_eq!(parsed.destination().to_string(), from);
                assert_eq!(parsed.source().to_string(), own);
                assert_eq!(reply[header], kind);
                let quoted = &reply[header + 8..];
                assert_eq!(quoted, &packet[..quoted.len()]);
                assert_eq!(reply.len(), (packet.len() + header + 8).min(most));
            }
        }
    }

    #[test]
    fn errors_and_nobodys_packets_are_not_answered() {
        let ip = build::Ip::new("10.1.0.2".parse().unwrap(), "10.1.0.1".parse().unwrap());
        assert!(answered(&build::icmp(&ip, 8, 0, [0; 4], b""), "10.1.0.1").is_some());
        assert!(answered(&build::icmp(&ip, 3, 3, [0; 4], b""), "10.1.0.1").is_none());
        let nobody = build::Ip::new("0.0.0.0".parse().unwrap(), "10.1.0.1".parse().unwrap());
        assert!(answered(&build::udp(&nobody, 1, 2, b""), "10.1.0.1").is_none());
    }

    #[test]
    fn a_second_has_so_many_answers() {
        let (rate, start) = (Rate::default(), Instant::now());
        assert_eq!(
            (0..2 * RATE).filter(|_| rate.allows(start)).count(),
            RATE as usize
        );
        assert!(rate.allows(start + Duration::from_secs(1)));
    }
}
