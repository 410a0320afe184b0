//! UDP, UDP-Lite, and datagrams in pieces.

use std::net::IpAddr;

use palisade_wire::{build, proto};

use super::chance::Chance;
use super::{Story, Teller};

pub(super) fn udp(chance: &mut Chance, number: usize) -> Story {
    let server = chance.pick(&["53", "53", "69", "7", "5060", "123"]);
    let client = if chance.one_in(6) {
        5_000
    } else {
        5_000 + number
    };
    let mut teller = Teller::new(chance, number).with_ports(client, server);
    for round in 0..2 + teller.chance.below(8) {
        let chance = &mut *teller.chance;
        let length = chance.pick(&["0", "1", "30", "500", "1400"]);
        let mut line = format!("udp len {length}");
        if chance.one_in(8) {
            line += " ";
            line += chance.pick(&[
                "badsum",
                "nosum",
                "ttl 1",
                "ttl 2",
                "tos 16",
                "truncate 30",
                "truncate 27",
            ]);
        }
        let back = round > 0 && chance.one_in(2);
        teller.say(back, &line);
    }
    teller.end("UDP")
}

/// The addresses behind a name of the firewall's surroundings.
fn address(name: &str, six: bool) -> IpAddr {
    let host = name.split(':').next().unwrap_or_default();
    let (four, long) = match host {
        "client" => ([10, 1, 0, 2], "fd00:1::2"),
        "guest" => ([10, 1, 0, 77], "fd00:1::77"),
        "server" => ([10, 2, 0, 2], "fd00:2::2"),
        "far" => ([198, 51, 100, 7], "fd00:99::7"),
        "inside" => ([10, 1, 0, 1], "fd00:1::1"),
        _ => ([10, 2, 0, 1], "fd00:2::1"),
    };
    if six {
        long.parse().unwrap_or(IpAddr::from([0; 16]))
    } else {
        IpAddr::from(four)
    }
}

/// UDP-Lite (RFC 3828): the script language has no words for it, so the bytes are made here.
pub(super) fn udplite(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    teller.answering = false;
    let (from, to) = (
        address(&teller.from, teller.six),
        address(&teller.to, teller.six),
    );
    for round in 0..2 + teller.chance.below(5) {
        let back = round > 0 && teller.chance.one_in(2);
        let (a, b) = if back { (to, from) } else { (from, to) };
        let mut bytes = Vec::new();
        let ports: [u16; 2] = if back { [7, 6_000] } else { [6_000, 7] };
        bytes.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        let length = 8 + teller.chance.below(20);
        let coverage = match teller.chance.below(6) {
            0 => 8,
            1 => length as u16,
            2 => 7,
            3 => length as u16 + 1,
            _ => 0,
        };
        bytes.extend(coverage.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.resize(length, 0x61);
        if matches!(coverage, 0) || usize::from(coverage) == length {
            // The kernel reckons with UDP's number.
            let number = teller
                .chance
                .one_of(&[proto::UDP, proto::UDP, proto::UDPLITE]);
            let sum = build::transport_checksum(&build::Ip::new(a, b), number, &bytes);
            let sum = if teller.chance.one_in(8) {
                sum ^ 1
            } else {
                sum
            };
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        teller.say(back, &format!("proto udplite hex:{hex}"));
    }
    teller.end("UDP-Lite")
}

/// Datagrams in pieces: in any order, overlapping, with gaps, said twice.
pub(super) fn fragments(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    let echo = teller.chance.one_in(3);
    if !echo {
        teller = teller.with_ports(5_500 + number, "53");
    }
    for round in 0..2 + teller.chance.below(5) {
        let chance = &mut *teller.chance;
        let cut = match chance.below(12) {
            0 => "fragments 2".to_owned(),
            1 => "fragments 3".to_owned(),
            2 => "fragments 2 order 2,1".to_owned(),
            3 => "fragments 3 order 3,1,2".to_owned(),
            4 => "fragments 3 order 2,3,1".to_owned(),
            5 => "fragments 2 order 1".to_owned(),
            6 => "fragments 3 order 1,3".to_owned(),
            7 => "fragments 3 order 1,2,2,3".to_owned(),
            8 => "pieces 0..512,504..".to_owned(),
            9 => "pieces 0..512,256..1024,512..".to_owned(),
            10 => "pieces 0..512,0..512,512..".to_owned(),
            _ => "fragment-at 8,16,800".to_owned(),
        };
        let what = if echo { "icmp echo-request" } else { "udp" };
        let mut line = format!("{what} len 1200 {cut}");
        if chance.one_in(8) {
            line += chance.pick(&[" badsum", " df", " ttl 1", " tos 3"]);
        }
        let back = round > 0 && chance.one_in(3);
        teller.say(back, &line);
    }
    teller.end("fragments")
}
