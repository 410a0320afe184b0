//! Entries as `conntrack -L -o extended` prints them.

use palisade_wire::Timestamp;

use crate::config::Config;
use crate::entry::Entry;
use crate::expect::Expectation;

/// One entry, without a newline.
pub fn extended(connection: Entry<'_>, config: &Config, now: Timestamp) -> String {
    crate::tool::line(connection, config, now)
}

/// One expectation as `conntrack -L expect` shows its essentials.
pub fn expectation(expectation: &Expectation, now: Timestamp) -> String {
    let source = expectation
        .source
        .map_or("any".to_string(), |(address, length)| {
            let whole = if address.is_ipv4() { 32 } else { 128 };
            if length == whole {
                address.to_string()
            } else {
                format!("{address}/{length}")
            }
        });
    format!(
        "{} proto={} src={source} dst={} sport={} dport={} helper={} parent={}",
        expectation.deadline.since(now).as_secs(),
        expectation.protocol,
        expectation.destination,
        expectation
            .source_port
            .map_or("any".to_string(), |p| p.to_string()),
        expectation.destination_port,
        expectation.helper,
        expectation.parent
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conntrack, Template, TrackHook, ZoneSpec};
    use palisade_wire::{Buffer, Packet, build};

    /// A table with one entry, printed.
    fn printed(config: Config, packet: &[u8], zone: ZoneSpec, after: u64) -> String {
        let mut table = Conntrack::new(config);
        let start = Timestamp(1_700_000_000_900_000_000);
        let template = Template {
            zone,
            ..Template::default()
        };
        let packet = Packet::parse(packet).unwrap();
        let mut track = table.track(&packet, TrackHook::Prerouting, Some(&template), start);
        table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), start);
        let connection = table.connections().next().unwrap();
        let now = Timestamp(start.0 + after);
        extended(connection, table.config(), now)
    }

    fn ip() -> build::Ip {
        build::Ip::new("127.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap())
    }

    #[test]
    fn zones_stand_where_the_tool_puts_them() {
        // As conntrack 1.4.7 printed them.
        let zone = |original, reply| ZoneSpec {
            id: 3,
            original,
            reply,
        };
        let config = || Config {
            acct: 1,
            timestamp: 1,
            ..Config::default()
        };
        let packet = build::udp(&ip(), 49198, 69, b"x");
        for (zone, expect) in [
            (
                zone(true, false),
                "ipv4     2 udp      17 30 src=127.0.0.1 dst=127.0.0.1 sport=49198 dport=69 zone-orig=3 packets=1 bytes=29 \
                 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=69 dport=49198 packets=0 bytes=0 mark=0 delta-time=0 use=1",
            ),
            (
                zone(false, true),
                "ipv4     2 udp      17 30 src=127.0.0.1 dst=127.0.0.1 sport=49198 dport=69 packets=1 bytes=29 \
                 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=69 dport=49198 zone-reply=3 packets=0 bytes=0 mark=0 delta-time=0 use=1",
            ),
            (
                zone(true, true),
                "ipv4     2 udp      17 30 src=127.0.0.1 dst=127.0.0.1 sport=49198 dport=69 packets=1 bytes=29 \
                 [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=69 dport=49198 packets=0 bytes=0 mark=0 zone=3 delta-time=0 use=1",
            ),
        ] {
            assert_eq!(printed(config(), &packet, zone, 0), expect);
        }
    }

    #[test]
    fn the_age_counts_the_seconds_of_the_clock_not_those_that_passed() {
        let config = Config {
            timestamp: 1,
            ..Config::default()
        };
        let packet = build::udp(&ip(), 1, 2, b"x");
        let line = |after| printed(config.clone(), &packet, ZoneSpec::default(), after);
        // Born 900 ms into a second.
        assert!(line(50_000_000).contains(" delta-time=0 "));
        assert!(line(100_000_000).contains(" delta-time=1 "));
        assert!(line(2_200_000_000).contains(" delta-time=3 "));
        let without = printed(Config::default(), &packet, ZoneSpec::default(), 0);
        assert!(!without.contains("delta-time"), "{without}");
    }

    #[test]
    fn sctp_shows_its_state() {
        let init = [
            &[1, 0, 0, 20, 0, 0, 3, 232][..],
            &[0, 0, 255, 255, 0, 10, 0, 10, 0, 0, 3, 232],
        ]
        .concat();
        let packet = build::sctp(&ip(), 40000, 80, 0, &init);
        assert_eq!(
            printed(Config::default(), &packet, ZoneSpec::default(), 0),
            "ipv4     2 sctp     132 10 CLOSED src=127.0.0.1 dst=127.0.0.1 sport=40000 dport=80 \
             [UNREPLIED] src=127.0.0.1 dst=127.0.0.1 sport=80 dport=40000 mark=0 use=1"
        );
    }
}
