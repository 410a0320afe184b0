//! TUN interfaces: one through which routes lead, two as a wire, and a network in user space behind a socket.

use std::io::ErrorKind;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixDatagram;

use palisade_live::tun::Tun;
use palisade_testkit::real::asked;
use palisade_wire::{Packet, build};

use crate::net::{Filter, LONG, Net, SHORT, attempt, datagrams, transfer};
use crate::rules;

fn filter(net: &Net, names: &[&str]) -> Filter {
    let [four, six] = rules();
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    Filter::start(net, [&four, &six], move |gate| {
        let tun = Tun::open(&names, gate).map_err(|e| e.to_string())?;
        Ok(Box::new(tun))
    })
}

/// Moves an end of the wire to the machine that it is for.
fn give(net: &Net, name: &str, place: &str, addresses: [&str; 2], other: [&str; 2]) {
    net.ip(
        "m",
        &format!("link set dev {name} netns {}", net.name(place)),
    );
    net.ip(place, &format!("addr add {} dev {name}", addresses[0]));
    net.ip(
        place,
        &format!("addr add {} dev {name} nodad", addresses[1]),
    );
    net.ip(place, &format!("link set dev {name} up"));
    for address in other {
        net.ip(place, &format!("route add {address} dev {name}"));
    }
}

#[test]
fn two_interfaces_are_a_wire() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let net = Net::bare();
    let filter = filter(&net, &["a", "b"]);
    let (left, right) = (["10.8.0.1", "fd08::1"], ["10.8.0.2", "fd08::2"]);
    give(&net, "a", "l", left, right);
    give(&net, "b", "r", right, left);
    for family in 0..2 {
        let (left, right) = (left[family], right[family]);
        assert!(net.pings("l", right, LONG), "{right}");
        assert!(!net.pings("r", left, SHORT), "{left}");
        assert_eq!(
            attempt(&net, "l", right, 22),
            Err(ErrorKind::ConnectionRefused)
        );
        let told = [ErrorKind::HostUnreachable, ErrorKind::PermissionDenied][family];
        assert_eq!(attempt(&net, "l", right, 23), Err(told));
        assert_eq!(attempt(&net, "l", right, 24), Err(ErrorKind::TimedOut));
        transfer(&net, right, 8000, 8 << 20);
        datagrams(&net, [left, right], 5000, &[10, 1400, 4000, 20_000]);
    }
    net.ip("l", "link del dev a");
    assert!(filter.stop().unwrap_err().contains("a: it is gone"));
}

#[test]
fn routes_lead_through_one_interface_and_back() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    // The middle is a router, and sends what it forwards through `a` first.
    let net = Net::bare();
    net.plug("l", "left", ["10.7.0.1", "fd07::1"]);
    net.plug("r", "right", ["10.6.0.1", "fd06::1"]);
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let path = format!("/proc/sys/net/{setting}");
        net.inside("m", || std::fs::write(&path, "1").unwrap());
    }
    for (family, left, right, length) in
        [("-4", "10.7.0", "10.6.0", 24), ("-6", "fd07:", "fd06:", 64)]
    {
        let router = |net: &str| {
            if family == "-4" {
                format!("{net}.254")
            } else {
                format!("{net}:254")
            }
        };
        let (own_left, own_right) = (router(left), router(right));
        let nodad = if family == "-6" { "nodad" } else { "" };
        net.ip(
            "m",
            &format!("addr add {own_left}/{length} dev left {nodad}"),
        );
        net.ip(
            "m",
            &format!("addr add {own_right}/{length} dev right {nodad}"),
        );
        net.ip("l", &format!("{family} route add default via {own_left}"));
        net.ip("r", &format!("{family} route add default via {own_right}"));
    }
    // In by one end and out by the same: rules cannot tell directions by interfaces.
    let [four, _] = rules().map(|r| r.replace("-i a -o b", "-i a -o a"));
    let six = four
        .replace("icmp-admin-prohibited", "icmp6-adm-prohibited")
        .replace("-p icmp ", "-p ipv6-icmp ");
    let filter = Filter::start(&net, [&four, &six], move |gate| {
        let tun = Tun::open(&["a".to_owned()], gate).map_err(|e| e.to_string())?;
        Ok(Box::new(tun))
    });
    for family in ["-4", "-6"] {
        for end in ["left", "right"] {
            net.ip("m", &format!("{family} rule add iif {end} lookup 100"));
        }
        net.ip("m", &format!("{family} route add default dev a table 100"));
        // When the interface is gone, nothing passes.
        net.ip(
            "m",
            &format!("{family} route add unreachable default metric 4000 table 100"),
        );
    }
    for (left, right) in [("10.7.0.1", "10.6.0.1"), ("fd07::1", "fd06::1")] {
        assert!(net.pings("l", right, LONG), "{right}");
        assert_eq!(
            attempt(&net, "l", right, 22),
            Err(ErrorKind::ConnectionRefused)
        );
        assert_eq!(attempt(&net, "l", right, 24), Err(ErrorKind::TimedOut));
        transfer(&net, right, 8000, 4 << 20);
        datagrams(&net, [left, right], 5000, &[4000]);
    }
    filter.stop().unwrap();
    assert!(
        !net.pings("l", "10.6.0.1", SHORT),
        "the interface is gone, and with it the way"
    );
}

#[test]
fn a_network_in_user_space_is_behind_a_socket() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let net = Net::bare();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_read_timeout(Some(LONG)).unwrap();
    let inherited = format!("fd:{}", ours.into_raw_fd());
    let interface = inherited.replace(':', "");
    let rules = format!(
        "*filter\n:FORWARD DROP\n-A FORWARD -i {interface} -o b -p icmp -j ACCEPT\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n"
    );
    let filter = Filter::start(
        &net,
        [&rules, "*filter\n:FORWARD DROP\nCOMMIT\n"],
        move |gate| {
            let tun = Tun::open(&[inherited, "b".to_owned()], gate).map_err(|e| e.to_string())?;
            Ok(Box::new(tun))
        },
    );
    net.ip("m", "addr add 10.8.0.2/24 dev b");
    let ip = build::Ip::new([10, 8, 0, 1].into(), [10, 8, 0, 2].into());
    // Dropped, then answered by the stack behind the other end.
    theirs.send(&build::udp(&ip, 9, 9, b"")).unwrap();
    theirs
        .send(&build::icmp(&ip, 8, 0, [0, 1, 0, 1], b"ping"))
        .unwrap();
    let mut buffer = [0; 2048];
    let length = theirs.recv(&mut buffer).unwrap();
    let answer = Packet::parse(&buffer[..length]).unwrap();
    assert_eq!(
        (answer.source(), answer.destination()),
        (ip.destination, ip.source)
    );
    assert_eq!(answer.transport()[0], 0);
    filter.stop().unwrap();
}
