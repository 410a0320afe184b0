//! Questions to a whole network, answered by its hosts: NetBIOS name service and SNMP.
//!
//! As the kernel (`nf_conntrack_broadcast.c`):
//! - only what a program of this host sends is looked at, and only when it goes to the broadcast address
//!   of a network that the host has an address in; 255.255.255.255 is none;
//! - the payload is not read (SNMP behind a translation: see [`super::snmp`]);
//! - answers are expected from that network, from the port that the helper is registered for, whatever port
//!   was asked; the expectation stays for any number of answers until its time is over;
//! - the connection lives as long as the expectation, and no refusal drops the packet.
//!
//! Options: `nf_conntrack_netbios_ns.timeout`, `nf_conntrack_snmp.timeout`.

use super::{Call, HelperState, Proposal, Word};
use crate::tuple::Direction;

/// Reads one packet of a NetBIOS name service (kernel `netbios_ns_help`).
pub(super) fn netbios_ns(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    expect_answers(call, call.options().netbios_ns_timeout);
    Word::Pass
}

/// Reads one packet of SNMP (kernel `snmp_conntrack_help`).
pub(super) fn snmp(_: &mut HelperState, call: &mut Call<'_, '_>) -> Word {
    expect_answers(call, call.options().snmp_timeout);
    super::snmp::translate(call)
}

/// Kernel `nf_conntrack_broadcast_help`.
fn expect_answers(call: &mut Call<'_, '_>, seconds: u64) {
    if !call.surroundings().made_here() || call.direction() != Direction::Original {
        return;
    }
    let address = call.packet().destination();
    let Some(length) = call.surroundings().broadcast_network(address) else {
        return;
    };
    if length == 0 {
        return;
    }
    let reply = call.tuple(Direction::Reply);
    let mut proposal = Proposal::new(reply.destination, reply.destination_word(), reply.protocol);
    proposal.source = Some((reply.source, length));
    proposal.source_port = Some(call.port());
    proposal.permanent = true;
    let _ = call.expect(&proposal);
    call.refresh(seconds);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use palisade_wire::{Timestamp, build, proto};

    use crate::State;
    use crate::config::Config;
    use crate::helper::Surroundings;
    use crate::helper::testing::{Said, Session};

    struct Net {
        made_here: bool,
        length: Option<u8>,
    }

    impl Surroundings for Net {
        fn made_here(&self) -> bool {
            self.made_here
        }

        fn broadcast_network(&self, address: IpAddr) -> Option<u8> {
            self.length.filter(|_| address.to_string() == "10.0.0.255")
        }
    }

    const HERE: Net = Net {
        made_here: true,
        length: Some(24),
    };

    fn ask(session: &mut Session, helper: &'static str, to: (&str, u16), net: &Net) -> Said {
        let ip = build::Ip::new("10.0.0.1".parse().unwrap(), to.0.parse().unwrap());
        let bytes = build::udp(&ip, 5000, to.1, b"?");
        session.pass_in(&bytes, Some(helper), net)
    }

    fn session(helper: &'static str) -> Session {
        Session::new(helper, proto::UDP, 137, false)
    }

    #[test]
    fn only_own_packets_to_a_networks_broadcast_address() {
        for (to, net, expected) in [
            ("10.0.0.255", HERE, true),
            ("10.0.0.254", HERE, false),
            ("255.255.255.255", HERE, false),
            (
                "10.0.0.255",
                Net {
                    made_here: false,
                    ..HERE
                },
                false,
            ),
            (
                "10.0.0.255",
                Net {
                    length: None,
                    ..HERE
                },
                false,
            ),
            (
                "10.0.0.255",
                Net {
                    length: Some(0),
                    ..HERE
                },
                false,
            ),
        ] {
            for (helper, port, seconds) in [("netbios-ns", 137, 3), ("snmp", 161, 30)] {
                let mut session = session(helper);
                assert_eq!(ask(&mut session, helper, (to, port), &net).dropped, None);
                let mut lines = Vec::new();
                if expected {
                    lines.push(format!(
                        "{seconds} proto=17 src=10.0.0.255/24 dst=10.0.0.1 sport={port} dport=5000 helper={helper} parent=1"
                    ));
                }
                assert_eq!(session.expectations(), lines, "{to}");
                let connection = session.table.connections().next().unwrap();
                let left = connection.timeout(Timestamp::new(1000, 0));
                assert_eq!(left, if expected { seconds } else { 30 });
            }
        }
    }

    #[test]
    fn any_number_of_hosts_may_answer_while_it_lasts() {
        let mut session = session("netbios-ns");
        ask(&mut session, "netbios-ns", ("10.0.0.255", 137), &HERE);
        for (from, state) in [
            (("10.0.0.7", 137), State::Related),
            (("10.0.0.8", 137), State::Related),
            (("10.0.1.8", 137), State::New),
            (("10.0.0.9", 138), State::New),
        ] {
            let said = session.opens(proto::UDP, from, ("10.0.0.1", 5000));
            assert_eq!(said.state, state, "{from:?}");
        }
        session.wait(3);
        let late = session.opens(proto::UDP, ("10.0.0.10", 137), ("10.0.0.1", 5000));
        assert_eq!(late.state, State::New);
    }

    #[test]
    fn the_answer_comes_from_the_helpers_port_not_from_the_one_asked() {
        let mut session = session("snmp");
        ask(&mut session, "snmp", ("10.0.0.255", 1161), &HERE);
        for (port, state) in [(1161, State::New), (161, State::Related)] {
            let said = session.opens(proto::UDP, ("10.0.0.7", port), ("10.0.0.1", 5000));
            assert_eq!(said.state, state);
        }
    }

    #[test]
    fn asking_again_gives_more_time_and_options_say_how_much() {
        let mut config = Config::default();
        config.helpers.netbios_ns_timeout = 10;
        let mut session = Session::with("netbios-ns", proto::UDP, 137, false, config);
        for _ in 0..2 {
            ask(&mut session, "netbios-ns", ("10.0.0.255", 137), &HERE);
            assert_eq!(
                session.expectations(),
                [
                    "10 proto=17 src=10.0.0.255/24 dst=10.0.0.1 sport=137 dport=5000 helper=netbios-ns parent=1"
                ]
            );
            session.wait(7);
        }
    }
}
