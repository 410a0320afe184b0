//! Addresses that are nobody's or everybody's, on the interface they should not come by.

use super::chance::Chance;
use super::{Story, Teller, Told};

const SOURCES: [&str; 12] = [
    "10.1.0.2",
    "10.1.0.2",
    "10.1.0.2",
    "10.2.0.2",
    "198.51.100.7",
    "0.0.0.0",
    "127.0.0.1",
    "10.1.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "10.1.0.255",
    "240.0.0.1",
];

const DESTINATIONS: [&str; 11] = [
    "10.1.0.255",
    "10.1.0.0",
    "10.2.0.255",
    "255.255.255.255",
    "224.0.0.1",
    "239.1.1.1",
    "127.0.0.1",
    "240.0.0.1",
    "8.8.8.8",
    "10.2.0.2",
    "10.2.0.1",
];

const SOURCES6: [&str; 7] = [
    "fd00:1::2",
    "fd00:1::2",
    "fd00:2::2",
    "fe80::2",
    "::",
    "ff02::1",
    "::1",
];

const DESTINATIONS6: [&str; 7] = [
    "ff02::1",
    "ff05::2",
    "ff0e::1",
    "::1",
    "2001:db8::1",
    "fd00:2::2",
    "fd00:2::1",
];

pub(super) fn story(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    for _ in 0..2 + teller.chance.below(6) {
        let six = teller.six;
        let chance = &mut *teller.chance;
        let (from, to) = if six {
            (chance.pick(&SOURCES6), chance.pick(&DESTINATIONS6))
        } else {
            (chance.pick(&SOURCES), chance.pick(&DESTINATIONS))
        };
        let arrives = chance.pick(&["lan0", "lan0", "wan0"]);
        let kind = chance.pick(&["", "", "", " pkttype broadcast", " pkttype multicast"]);
        let mac = chance.pick(&["", "", " mac 02:00:00:00:00:01"]);
        let ports = if six {
            (format!("[{from}]:5900"), format!("[{to}]:137"))
        } else {
            (format!("{from}:5900"), format!("{to}:137"))
        };
        let text = match chance.below(3) {
            0 => format!("{} > {} udp len 10", ports.0, ports.1),
            1 => format!("{} > {} tcp S", ports.0, ports.1),
            _ => format!("{from} > {to} icmp echo-request"),
        };
        let label = format!("s{number}p{}", teller.lines.len() + 1);
        let text = format!("{text} in {arrives}{kind}{mac}");
        teller.lines.push(Told { label, text, six });
    }
    teller.end("addresses of nobody and of everybody")
}
