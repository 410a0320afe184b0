//! Entries as `conntrack -L -o extended` prints them.

use std::fmt::Write;

use palisade_wire::{Family, Timestamp, proto};

use crate::config::Config;
use crate::connection::{Connection, Status};
use crate::expect::Expectation;
use crate::tuple::Direction;

/// Protocol name and the width that the tool gives it.
fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        proto::ICMP => "icmp",
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::GRE => "gre",
        proto::ICMPV6 => "icmpv6",
        proto::SCTP => "sctp",
        proto::UDPLITE => "udplite",
        _ => "unknown",
    }
}

/// Whole seconds of a clock.
fn seconds(time: Timestamp) -> u64 {
    time.0 / 1_000_000_000
}

/// One entry, without a newline.
pub fn extended(connection: &Connection, config: &Config, now: Timestamp) -> String {
    let mut line = String::with_capacity(200);
    let tuple = connection.tuple(Direction::Original);
    let (family, number) = match tuple.family() {
        Family::V4 => ("ipv4", 2),
        Family::V6 => ("ipv6", 10),
    };
    let _ = write!(
        line,
        "{family:<8} {number} {:<8} {} {}",
        protocol_name(tuple.protocol),
        tuple.protocol,
        connection.timeout(now)
    );
    if let Some(state) = connection.state_name() {
        let _ = write!(line, " {state}");
    }
    for direction in [Direction::Original, Direction::Reply] {
        let _ = write!(line, " {}", connection.tuple(direction));
        if config.acct != 0 {
            let traffic = connection.traffic[direction.index()];
            let _ = write!(line, " packets={} bytes={}", traffic.packets, traffic.bytes);
        }
        if direction == Direction::Original && !connection.replied() {
            line.push_str(" [UNREPLIED]");
        }
    }
    if connection.status.has(Status::ASSURED) {
        line.push_str(" [ASSURED]");
    }
    let _ = write!(line, " mark={}", connection.mark);
    match connection.zones {
        [0, 0] => {}
        [a, b] if a == b => {
            let _ = write!(line, " zone={a}");
        }
        [a, 0] => {
            let _ = write!(line, " zone-orig={a}");
        }
        [_, b] => {
            let _ = write!(line, " zone-reply={b}");
        }
    }
    if config.timestamp != 0 {
        // The tool takes whole seconds of both clocks.
        let _ = write!(
            line,
            " delta-time={}",
            seconds(now).saturating_sub(seconds(connection.created))
        );
    }
    if let Some(helper) = connection.helper {
        let _ = write!(line, " helper={helper}");
    }
    line.push_str(" use=1");
    line
}

/// One expectation as `conntrack -L expect` shows its essentials.
pub fn expectation(expectation: &Expectation, now: Timestamp) -> String {
    format!(
        "{} proto={} src={} dst={} sport={} dport={} helper={} parent={}",
        expectation.deadline.since(now).as_secs(),
        expectation.protocol,
        expectation
            .source
            .map_or("any".to_string(), |s| s.to_string()),
        expectation.destination,
        expectation
            .source_port
            .map_or("any".to_string(), |p| p.to_string()),
        expectation.destination_port,
        expectation.helper,
        expectation.parent
    )
}
