//! ICMP queries, tunnels, protocols without a tracker, options and extension headers.

use super::chance::Chance;
use super::{Story, Teller};

pub(super) fn pings(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    let id = if teller.chance.one_in(5) {
        7
    } else {
        100 + number
    };
    for round in 0..2 + teller.chance.below(6) {
        let back = round > 0 && teller.chance.one_in(2);
        let sequence = teller.chance.below(3);
        let mut text = match (back, teller.chance.below(10)) {
            (true, 0..=7) => "icmp echo-reply".to_owned(),
            (false, 0..=7) => format!("icmp echo-request id {id} seq {sequence}"),
            (_, 8) => format!("icmp echo-reply id {id} seq {sequence}"),
            _ => format!("icmp echo-request code 3 id {id}"),
        };
        if teller.chance.one_in(10) {
            text += teller
                .chance
                .pick(&[" badsum", " ttl 1", " len 1000", " truncate 25"]);
        }
        // An answer takes identifier and sequence number of what it answers only when there is one.
        if back && (teller.last[0].is_none() || !teller.answering) && text == "icmp echo-reply" {
            text = format!("icmp echo-reply id {id} seq {sequence}");
        }
        teller.say(back, &text);
    }
    teller.end("ICMP")
}

/// Any type and code: queries of other kinds, neighbour discovery, errors that quote nothing.
///
/// Where addresses are `translated` IPv6 node information is left out: the identifier that is drawn for it
/// shows in no packet, so that it cannot be followed.
pub(super) fn icmp_types(chance: &mut Chance, number: usize, translated: bool) -> Story {
    let mut teller = Teller::new(chance, number);
    teller.answering = false;
    for _ in 0..2 + teller.chance.below(6) {
        let chance = &mut *teller.chance;
        let common: &[usize] = if teller.six {
            &[
                1, 2, 3, 4, 128, 129, 130, 131, 133, 134, 135, 136, 137, 139, 140, 143,
            ]
        } else {
            &[
                0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 30, 40,
            ]
        };
        let kind = if chance.one_in(6) {
            chance.below(256)
        } else {
            chance.one_of(common)
        };
        let drawn = teller.six && translated && matches!(kind, 139 | 140);
        let kind = if drawn { 135 } else { kind };
        let code = chance.one_of(&[0, 0, 0, 1, 2, 255]);
        let payload = chance.pick(&["", "", " len 8", " len 40", " hex:4500", " truncate 22"]);
        let id = chance.pick(&["", " id 7"]);
        let back = chance.one_in(3);
        teller.say(back, &format!("icmp type {kind} code {code}{id}{payload}"));
    }
    teller.end("ICMP types")
}

pub(super) fn gre(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    for round in 0..2 + teller.chance.below(5) {
        let back = round > 0 && teller.chance.one_in(2);
        let payload = teller.chance.pick(&[
            "00000800",
            "0000080045000014",
            "2000080000000007",
            "3001880b0004000700000001",
            "3001880b0004000800000002",
            "2001880b00000007",
            "0001880b",
            "000188",
            "00020800",
            "80000800ffff0000",
        ]);
        teller.say(back, &format!("proto gre hex:{payload}"));
    }
    teller.end("GRE")
}

pub(super) fn unknown(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    let protocol = teller.chance.pick(&[
        "50", "51", "89", "4", "41", "253", "33", "2", "103", "115", "108",
    ]);
    // What IPv6 calls a header is no protocol there.
    let protocol = if teller.six && protocol == "51" {
        "50"
    } else {
        protocol
    };
    for round in 0..1 + teller.chance.below(5) {
        let payload = teller.chance.pick(&[
            "hex:00",
            "hex:0000000000000000",
            "hex:00000800",
            "hex:000003e800000001",
            "hex:04000002",
            "hex:138900500400000001000000000000010000000000",
            "hex:3204000000000100000000010000000000000000",
            "len 40",
            "len 500",
            "",
        ]);
        let back = round > 0 && teller.chance.one_in(2);
        teller.say(back, &format!("proto {protocol} {payload}"));
    }
    teller.end("unknown protocols")
}

/// IPv4 options and IPv6 extension headers before an ordinary datagram; an authentication header only with
/// `ah`: what stands behind it is another protocol for iptables-nft than for iptables-legacy.
pub(super) fn extensions(chance: &mut Chance, number: usize, ah: bool) -> Story {
    let mut teller = Teller::new(chance, number).with_ports(5_800 + number, "53");
    for round in 0..2 + teller.chance.below(5) {
        let back = round > 0 && teller.chance.one_in(2);
        let words = if teller.six {
            teller.chance.pick(&[
                "ext hop",
                "ext dst",
                "ext route",
                "ext hop,dst",
                "ext hop,dst,route",
                "ext dst,dst",
                "ext ah",
                "ext hop,route,ah,dst",
                "ext dst fragments 2",
                "ext hop fragments 2 order 2,1",
            ])
        } else {
            teller.chance.pick(&[
                "ipopt 01",
                "ipopt 00",
                "ipopt 94040000",
                "ipopt 0101010101010101",
                "ipopt 94040000 fragments 2",
                "ipopt 880400ff",
            ])
        };
        let words = if ah {
            words
        } else {
            words.trim_end_matches(",ah,dst")
        };
        let words = if !ah && words == "ext ah" {
            "ext dst"
        } else {
            words
        };
        let what = teller.chance.pick(&["udp len 100", "udp len 9"]);
        teller.say(back, &format!("{what} {words}"));
    }
    teller.end("options and extension headers")
}

/// IPv4 options that the IP layer itself acts on: routes to take or to write down, the time, nonsense.
pub(super) fn ip_options(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number).with_ports(5_700 + number, "53");
    teller.six = false;
    for round in 0..2 + teller.chance.below(4) {
        let back = round > 0 && teller.chance.one_in(2);
        let words = teller.chance.pick(&[
            "ipopt 070704000000000000",
            "ipopt 07070800",
            "ipopt 440c0d000000000000000000",
            "ipopt 830704c6336407",
            "ipopt 890704c6336407",
            "ipopt 0700",
            "ipopt ff",
            "ipopt 4400",
        ]);
        teller.say(back, &format!("udp len 9 {words}"));
    }
    teller.end("IP options")
}
