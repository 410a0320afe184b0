//! A bump in the wire and TUN interfaces, between the stacks of two machines that are namespaces: both ways of taking frames, both
//! families. Needs root and network namespaces; without them it says SKIPPED, which is a failure where `PALISADE_REQUIRE_KERNEL=1`.
#![cfg(target_os = "linux")]

mod frames;
mod net;
mod tun;

use std::io::ErrorKind;

use frames::{Frames, frame, tag_beside, tagged};
use net::{Filter, LEFT, LONG, Net, RIGHT, SHORT, attempt, datagrams, transfer};
use palisade_live::wire::{By, NonIp, Wire, WireOptions, give_back};
use palisade_testkit::real::asked;
use palisade_wire::build;

#[path = "../../examples/embed.rs"]
mod embed;

const WAYS: [By; 2] = [By::Xdp, By::Packet];

/// For both families; neighbour discovery is ICMPv6.
pub fn rules() -> [String; 2] {
    ["icmp", "ipv6-icmp"].map(|icmp| {
        let (neighbours, prohibited) = match icmp {
            "icmp" => ("", "icmp-admin-prohibited"),
            _ => (
                "-A FORWARD -p ipv6-icmp -m hl --hl-eq 255 -j ACCEPT\n",
                "icmp6-adm-prohibited",
            ),
        };
        format!(
            "*filter\n:FORWARD DROP [0:0]\n{neighbours}\
             -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
             -A FORWARD -i a -o b -p {icmp} -j ACCEPT\n\
             -A FORWARD -i a -o b -p udp --dport 5000:5099 -j ACCEPT\n\
             -A FORWARD -i a -o b -p tcp --dport 8000:8099 -j ACCEPT\n\
             -A FORWARD -p tcp --dport 22 -j REJECT --reject-with tcp-reset\n\
             -A FORWARD -p tcp --dport 23 -j REJECT --reject-with {prohibited}\nCOMMIT\n"
        )
    })
}

fn options(by: By, non_ip: NonIp) -> WireOptions {
    WireOptions {
        ends: ["a".to_owned(), "b".to_owned()],
        by,
        non_ip,
        offloads_off: false,
    }
}

fn wire(net: &Net, options: WireOptions) -> Filter {
    let [four, six] = rules();
    Filter::start(net, [&four, &six], move |gate| {
        let wire = Wire::open(options, gate).map_err(|e| e.to_string())?;
        Ok(Box::new(wire))
    })
}

#[test]
fn rules_decide_between_two_stacks() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    for by in WAYS {
        let net = Net::wired();
        let filter = wire(&net, options(by, NonIp::Arp));
        for family in 0..2 {
            let (left, right) = (LEFT[family], RIGHT[family]);
            assert!(net.pings("l", right, LONG), "{by:?} {right}");
            // The same the other way is dropped.
            assert!(!net.pings("r", left, SHORT), "{by:?} {left}");
            let refused = Err(ErrorKind::ConnectionRefused);
            assert_eq!(
                attempt(&net, "l", right, 8001),
                refused,
                "by {right} itself"
            );
            assert_eq!(attempt(&net, "l", right, 22), refused, "{by:?}");
            assert_eq!(attempt(&net, "r", left, 22), refused, "{by:?}");
            // ICMP: administratively prohibited, as the stack tells a program.
            let told = [ErrorKind::HostUnreachable, ErrorKind::PermissionDenied][family];
            assert_eq!(attempt(&net, "l", right, 23), Err(told), "{by:?}");
            assert_eq!(
                attempt(&net, "l", right, 24),
                Err(ErrorKind::TimedOut),
                "{by:?}"
            );
            transfer(&net, right, 8000, 8 << 20);
            datagrams(&net, [left, right], 5000, &[10, 1400, 4000, 20_000]);
        }
        filter.stop().unwrap();
        // The host's stack is kept from the interfaces until it gets them back.
        net.ip("m", "addr add 10.9.0.3/24 dev a");
        assert!(!net.pings("l", "10.9.0.3", SHORT), "{by:?}");
        net.inside("m", || give_back(&["a".to_owned(), "b".to_owned()]))
            .unwrap();
        assert!(net.pings("l", "10.9.0.3", LONG), "{by:?}");
    }
}

#[test]
fn frames_pass_as_they_came_or_not_at_all() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let lldp = frame(&[0x88, 0xcc], b"link layer discovery");
    let arp = frame(&[0x08, 0x06], &[0, 1, 8, 0, 6, 4, 0, 9]);
    for by in WAYS {
        for (non_ip, arp_passes, lldp_passes) in [
            (NonIp::Arp, true, false),
            (NonIp::All, true, true),
            (NonIp::None, false, false),
        ] {
            let net = Net::wired();
            let filter = wire(&net, options(by, non_ip));
            let (left, right) = (Frames::open(&net, "l"), Frames::open(&net, "r"));
            left.send(&lldp);
            left.send(&arp);
            left.send(&tagged(4999));
            left.send(&tagged(5001));
            // They come in their order: what did not come before the last did not come.
            let mut came = Vec::new();
            let known = [&lldp, &arp, &tagged(4999), &tagged(5001)];
            while let Some(next) = right.next(LONG, |f| known.contains(&&f.to_vec())) {
                let last = next == tagged(5001);
                came.push(next);
                if last {
                    break;
                }
            }
            let expect: Vec<Vec<u8>> = [
                (&lldp, lldp_passes),
                (&arp, arp_passes),
                (&tagged(5001), true),
            ]
            .into_iter()
            .filter(|(_, passes)| *passes)
            .map(|(frame, _)| frame.clone())
            .collect();
            let sorted = |mut frames: Vec<Vec<u8>>| {
                frames.sort();
                frames
            };
            assert_eq!(sorted(came), sorted(expect), "{by:?} {non_ip:?}");
            filter.stop().unwrap();
        }
    }
}

#[test]
fn a_tag_beside_a_frame_is_not_lost() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let ip = build::Ip::new([10, 9, 0, 1].into(), [10, 9, 0, 2].into());
    let packet = |port| build::udp(&ip, port, port, b"beside a tag");
    for by in WAYS {
        let net = Net::wired();
        let filter = wire(&net, options(by, NonIp::Arp));
        let (left, right) = (Frames::open(&net, "l"), Frames::open(&net, "r"));
        let _tagging = tag_beside(&net, "l", 5);
        left.send(&frame(&[8, 0], &packet(4999)));
        left.send(&frame(&[8, 0], &packet(5001)));
        let came = right.next(LONG, |f| {
            f.ends_with(b"beside a tag") || f.get(16..18) == Some(&[8, 0])
        });
        let came = came.expect("a frame");
        assert_eq!(came[12..18], [0x81, 0, 0, 5, 8, 0], "{by:?}");
        assert_eq!(came[18..18 + packet(5001).len()], packet(5001), "{by:?}");
        filter.stop().unwrap();
    }
}

#[test]
fn all_queues_are_served() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    for by in WAYS {
        let net = Net::wired_queues(2);
        let filter = wire(&net, options(by, NonIp::Arp));
        for right in RIGHT {
            // Several connections, so that both queues have some.
            for port in 8000..8004 {
                transfer(&net, right, port, 1 << 20);
            }
        }
        filter.stop().unwrap();
    }
}

#[test]
fn interfaces_go_and_come_back() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    for by in [By::Best, By::Packet] {
        let net = Net::wired();
        let filter = wire(&net, options(by, NonIp::Arp));
        assert!(net.pings("l", RIGHT[0], LONG), "{by:?}");
        net.ip("m", "link set dev b down");
        assert!(!net.pings("l", RIGHT[0], SHORT), "{by:?}");
        net.ip("m", "link set dev b up");
        assert!(net.pings("l", RIGHT[0], LONG), "{by:?}: down and up");
        net.ip("m", "link del dev b");
        net.plug("r", "b", RIGHT);
        // Whoever was there had another address.
        net.ip("l", "neigh flush dev l0");
        assert!(net.pings("l", RIGHT[0], LONG), "{by:?}: gone and back");
        assert_eq!(
            attempt(&net, "l", RIGHT[0], 24),
            Err(ErrorKind::TimedOut),
            "{by:?}"
        );
        filter.stop().unwrap();
    }
}

#[test]
fn what_cannot_be_a_wire_is_refused() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let net = Net::wired();
    net.ip("m", "tuntap add dev t0 mode tun");
    let gate = palisade_live::Gate::new(palisade_engine::Engine::new(Default::default()).unwrap());
    for (ends, why) in [
        (["a", "a"], "both are a"),
        (["a", "nowhere"], "there is no interface nowhere"),
        (["a", "a-name-that-is-too-long"], "there is no interface"),
        (["a", "t0"], "not an Ethernet interface"),
        (["lo", "b"], "not an Ethernet interface"),
    ] {
        let options = WireOptions {
            ends: ends.map(str::to_owned),
            ..options(By::Best, NonIp::Arp)
        };
        let error = net.inside("m", || {
            Wire::open(options, &gate)
                .map(|_| ())
                .unwrap_err()
                .to_string()
        });
        assert!(error.contains(why), "{error}");
    }
    // Nothing stays of a start that failed.
    net.ip("m", "addr add 10.9.0.3/24 dev a");
    assert!(net.pings("l", "10.9.0.3", LONG));
}

#[test]
fn the_example_of_an_embedder_runs() {
    embed::main().unwrap();
}
