//! Scripts of long connections: many packets in either direction, of which few change anything, so that what is
//! remembered about a connection is used, and used when it should not be any more.
//!
//! These are for the evaluators, not for the kernel: time passes in leaps, over every timeout.

use std::fmt::Write;

use super::chance::Chance;
use super::{FIREWALL, Generated, Story, Teller, Told, noise, rules, settings, story};

/// Where time leaps to.
const LEAPS: [&str; 10] = [
    "300ms", "1s", "2500ms", "11s", "29s", "31s", "59s", "121s", "301s", "432001s",
];

/// Connections that are open at a time.
const OPEN: usize = 6;

/// A script of about `packets` packets, most of them of connections that are established.
pub fn steady(seed: u64, packets: usize) -> Generated {
    let mut chance = Chance::new(seed ^ 0x5eed_0000_0000);
    let chance = &mut chance;
    let mut text =
        format!("# By chance, seed {seed}: long connections.\nvirtual-time only\n{FIREWALL}");
    let mut covers = vec!["long connections"];
    settings::add(chance, &mut text, &[]);
    // A small table, in which entries stand in each other's way, and one that is soon full.
    if chance.below(4) > 0 {
        let buckets = chance.pick(&["1", "4", "64", "1024"]);
        let _ = writeln!(text, "sysctl nf_conntrack_buckets={buckets}");
    }
    if chance.one_in(6) {
        covers.push("full table");
        let most = chance.pick(&["2", "4", "7", "12"]);
        let _ = writeln!(text, "sysctl nf_conntrack_max={most}");
    }
    match chance.below(5) {
        0 => rules::add(chance, &mut text, &mut covers, &[]),
        1 => rules::add(chance, &mut text, &mut covers, &["probes".to_owned()]),
        _ => {
            covers.push("plain rules");
            rules::plain::add(chance, &mut text);
        }
    }
    let mut stories = Vec::new();
    let (mut lines, mut number) = (0, 0);
    while lines < packets {
        number += 1;
        let story = match chance.below(12) {
            0..=5 => tcp(chance, number),
            6..=8 => datagrams(chance, number, "udp", "udp"),
            9 => datagrams(chance, number, "icmp", "icmp"),
            _ => story(chance, number, &[], true),
        };
        lines += story.lines.len();
        if !covers.contains(&story.about) {
            covers.push(story.about);
        }
        stories.push(story);
    }
    let _ = writeln!(text, "# Covers {}.", covers.join(", "));
    interleave(chance, stories, packets, &mut text);
    Generated { text, covers }
}

/// A connection that is used for long.
fn tcp(chance: &mut Chance, number: usize) -> Story {
    // Ports that several have: reuse, and clashes under translation.
    let client = match chance.one_in(5) {
        true => 40_000 + number % 3,
        false => 41_000 + number,
    };
    let server = chance.pick(&["80", "443", "22", "21", "8080", "53"]);
    let mut teller = Teller::new(chance, number).with_ports(client, server);
    teller.answering = teller.chance.below(8) > 0;
    let scaled = ["", " opt mss=1460,sackok,ts=1:0,wscale=7", " opt wscale=2"];
    let options = teller.chance.pick(&scaled);
    if !teller.chance.one_in(10) {
        teller.say(false, &format!("tcp S{options}"));
        teller.say(true, &format!("tcp SA{options}"));
        teller.say(false, "tcp A");
    }
    for _ in 0..10 + teller.chance.below(60) {
        let back = teller.chance.one_in(2);
        let length = teller.chance.pick(&["1", "10", "100", "536", "1448"]);
        let text = match teller.chance.below(40) {
            0..=15 => format!("tcp PA len {length}"),
            16..=27 => "tcp A".to_owned(),
            28 => format!("tcp A len {length} {}", odd(teller.chance, teller.six)),
            29 => format!("tcp A {}", odd(teller.chance, teller.six)),
            30 => format!(
                "tcp A win {}",
                teller.chance.pick(&["0", "1", "500", "65535"])
            ),
            31 => format!("tcp PA seq -{length} len {length}"),
            32 => format!(
                "tcp A ack {}",
                teller.chance.pick(&["-1", "-70000", "+1", "+100000"])
            ),
            33 => format!(
                "tcp A seq {}",
                teller.chance.pick(&["-1", "-70000", "+1", "+100000"])
            ),
            34 => {
                let flags = [
                    "none", "SF", "FPU", "U", "UA urg 5", "P", "SR", "PAE", "AEC", "S", "SA",
                ];
                format!("tcp {}", teller.chance.pick(&flags))
            }
            35 => "tcp A opt nop,nop,sack=-100..+0".to_owned(),
            36 => format!("tcp A len {length} opt nop,nop,ts=7:+0"),
            37 => format!("tcp A len {length} {}", another_way(teller.chance)),
            38 if teller.chance.one_in(3) => {
                let resets = [
                    "tcp R",
                    "tcp RA",
                    "tcp R seq +1",
                    "tcp R seq -1",
                    "tcp R seq +70000",
                ];
                teller.chance.pick(&resets).to_owned()
            }
            38 => format!("tcp PA len 1200 {}", teller.chance.pick(&CUTS)),
            39 if teller.chance.one_in(4) => "tcp FA".to_owned(),
            _ => format!("tcp PA len {length} {}", damage(teller.chance, teller.six)),
        };
        teller.say(back, &text);
    }
    match teller.chance.below(4) {
        0 => {}
        1 => teller.say(false, "tcp R"),
        _ => {
            teller.say(false, "tcp FA");
            teller.say(true, "tcp FA");
            teller.say(false, "tcp A");
            teller.say(true, "tcp A");
        }
    }
    teller.end("long TCP")
}

/// Datagrams, or pings, to and fro.
fn datagrams(chance: &mut Chance, number: usize, about: &'static str, what: &str) -> Story {
    let client = match chance.one_in(5) {
        true => 5_000 + number % 3,
        false => 5_100 + number,
    };
    let ports = what == "udp";
    let mut teller = Teller::new(chance, number);
    if ports {
        let server = teller.chance.pick(&["53", "123", "7", "80", "443"]);
        teller = teller.with_ports(client, server);
    }
    for round in 0..10 + teller.chance.below(50) {
        let back = round > 0 && teller.chance.one_in(2);
        let text = match (ports, back && teller.last[0].is_some() && teller.answering) {
            (true, _) => format!("udp len {}", teller.chance.pick(&["0", "1", "30", "1400"])),
            (false, true) => "icmp echo-reply".to_owned(),
            (false, false) if back => format!("icmp echo-reply id {number} seq 1"),
            (false, false) => format!("icmp echo-request id {number} seq {round}"),
        };
        let text = match teller.chance.below(16) {
            0 | 1 => format!("{text} {}", odd(teller.chance, teller.six)),
            2 => format!("{text} {}", another_way(teller.chance)),
            3 => format!("{text} {}", damage(teller.chance, teller.six)),
            4 if ports => format!("{text} nosum"),
            5 if ports => format!("udp len 1200 {}", teller.chance.pick(&CUTS)),
            _ => text,
        };
        teller.say(back, &text);
    }
    teller.end(if about == "udp" {
        "long UDP"
    } else {
        "long pings"
    })
}

const CUTS: [&str; 5] = [
    "fragments 2",
    "fragments 3 order 3,1,2",
    "fragments 2 order 1",
    "fragments 2 order 2,1",
    "pieces 0..512,504..",
];

/// Header fields that rules and the way through look at.
fn odd(chance: &mut Chance, six: bool) -> &'static str {
    if six {
        return chance.one_of(&[
            "ttl 1", "ttl 2", "ttl 255", "tos 16", "tos 3", "ext hop", "ext dst",
        ]);
    }
    chance.one_of(&[
        "ttl 1", "ttl 1", "ttl 2", "ttl 3", "ttl 255", "tos 16", "tos 3", "tos 184", "df", "ttl 0",
    ])
}

/// The same connection by another interface, or in another frame.
fn another_way(chance: &mut Chance) -> &'static str {
    chance.one_of(&[
        "in lan0",
        "in wan0",
        "in lan0",
        "in wan0",
        "pkttype broadcast",
        "pkttype multicast",
        "mac 02:00:00:00:00:55",
    ])
}

fn damage(chance: &mut Chance, six: bool) -> &'static str {
    if six {
        return chance.one_of(&["badsum", "truncate 44", "truncate 62", "ext route"]);
    }
    chance.one_of(&[
        "badsum",
        "badipsum",
        "truncate 30",
        "truncate 44",
        "ipopt 01010101",
        "ipopt 94040000",
        "ipopt 83070400000000",
    ])
}

/// Writes the stories' lines, some at a time, with noise and leaps of time between them.
fn interleave(chance: &mut Chance, stories: Vec<Story>, packets: usize, text: &mut String) {
    let mut waiting: Vec<std::vec::IntoIter<Told>> =
        stories.into_iter().map(|s| s.lines.into_iter()).collect();
    let mut told: Vec<Told> = Vec::new();
    let leaps = chance.one_of(&[usize::MAX, 200, 60, 25]);
    let mut noises = 0;
    while told.len() < packets && !waiting.is_empty() {
        let at = chance.below(waiting.len().min(OPEN));
        // Runs of packets of one connection, and single ones between others.
        for _ in 0..chance.one_of(&[1usize, 1, 2, 5, 12]) {
            let Some(line) = waiting.get_mut(at).and_then(Iterator::next) else {
                waiting.remove(at);
                break;
            };
            let _ = writeln!(text, "{}: {}", line.label, line.text);
            told.push(line);
        }
        if chance.one_in(12) {
            noises += 1;
            if let Some(line) = noise::noise(chance, &told, noises) {
                let _ = writeln!(text, "{}: {}", line.label, line.text);
                told.push(line);
            }
        }
        if leaps != usize::MAX && chance.one_in(leaps) {
            let _ = writeln!(text, "+{}", chance.pick(&LEAPS));
        }
    }
}

#[cfg(test)]
mod tests {
    use palisade_capture::script::parse;

    use super::*;

    #[test]
    fn every_steady_script_is_one() {
        for seed in 1..=200 {
            let made = steady(seed, 120);
            assert_eq!(made, steady(seed, 120));
            let (parsed, faults) = parse(&made.text);
            let shown: Vec<String> = faults
                .iter()
                .map(|f| f.draw("steady", &made.text))
                .collect();
            assert!(faults.is_empty(), "{}", shown.join("\n"));
            assert!(!parsed.tests.is_empty());
        }
    }
}
