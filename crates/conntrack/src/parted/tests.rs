//! Parts of flows.

use palisade_wire::{Packet, build};
use proptest::prelude::*;

use super::*;

fn flow(packet: &[u8]) -> Option<Name> {
    Name::of(
        &Config::default(),
        &Packet::parse(packet).expect("a packet"),
    )
}

proptest! {
    #[test]
    fn both_directions_and_errors_have_one_flow(a: u32, b: u32, ports: (u16, u16), tcp: bool) {
        let ip = |a: u32, b: u32| build::Ip::new(
            std::net::Ipv4Addr::from(a).into(),
            std::net::Ipv4Addr::from(b).into(),
        );
        let packet = |a, b, (from, to): (u16, u16)| match tcp {
            true => build::tcp(&ip(a, b), &build::Tcp {
                source_port: from,
                destination_port: to,
                ..Default::default()
            }, b"data"),
            false => build::udp(&ip(a, b), from, to, b"data"),
        };
        let forth = packet(a, b, ports);
        let back = packet(b, a, (ports.1, ports.0));
        let there = flow(&forth).expect("a flow");
        prop_assert_eq!(there.hash(), flow(&back).expect("a flow").hash());
        // Port unreachable, about a packet on its way.
        let error = build::icmp(&ip(b ^ 1, a), 3, 3, [0; 4], &forth);
        prop_assert_eq!(there.hash(), flow(&error).expect("a flow").hash());
        let plain = palisade_wire::Plain::of(&forth).expect("nothing special");
        prop_assert_eq!(there.hash(), Name::of_plain(&Config::default(), &plain, &forth).hash());
        for of in 1..=5 {
            prop_assert!(there.part(of) < of);
        }
    }
}

#[test]
fn parts_are_of_one_size() {
    let mut parts = [0u32; 3];
    for port in 0..3000u16 {
        let ip = build::Ip::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let flow = flow(&build::udp(&ip, port, 53, b"")).expect("a flow");
        parts[flow.part(3)] += 1;
    }
    assert!(parts.iter().all(|n| (850..1150).contains(n)), "{parts:?}");
}
