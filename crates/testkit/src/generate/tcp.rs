//! TCP connections with something wrong in them.

use super::chance::Chance;
use super::{Story, Teller};

/// What the sequence knows of both ends.
struct Ends {
    /// The window each offers, in bytes: the field as far as scaled.
    windows: [u32; 2],
    scales: [u32; 2],
}

const SERVER_PORTS: [&str; 6] = ["80", "443", "22", "21", "8080", "5060"];

fn port(chance: &mut Chance, number: usize) -> usize {
    // Now and then a port that another story has too: reuse, and clashes.
    if chance.one_in(8) {
        40_000
    } else {
        40_000 + number
    }
}

/// A connection: how it opens, what is said, how it ends, what comes after.
pub(super) fn story(chance: &mut Chance, number: usize) -> Story {
    let (client, server) = (port(chance, number), chance.pick(&SERVER_PORTS));
    let mut teller = Teller::new(chance, number).with_ports(client, server);
    let mut ends = Ends {
        windows: [64_240, 64_240],
        scales: [0, 0],
    };
    open(&mut teller, &mut ends);
    for _ in 0..teller.chance.below(14) {
        step(&mut teller, &ends);
    }
    close(&mut teller);
    for _ in 0..teller.chance.below(3) {
        after(&mut teller, &ends);
    }
    teller.end("TCP")
}

/// Options of a SYN, with the scale they say.
fn options(chance: &mut Chance) -> (String, u32) {
    let (text, scale) = match chance.below(9) {
        0 => ("", 0),
        1 => (" opt mss=1460", 0),
        2 => (" opt mss=1460,sackok,ts=1:0,wscale=7", 7),
        3 => (" opt mss=1460,nop,wscale=2", 2),
        4 => (" opt wscale=15", 14),
        5 => (" opt sackok", 0),
        6 => (" opt mss=536,wscale=0,sackok", 0),
        7 => (" opt hex=0303", 0),
        _ => (" opt ts=77:0,wscale=1", 1),
    };
    (text.to_owned(), scale)
}

fn open(teller: &mut Teller<'_>, ends: &mut Ends) {
    let (mine, my_scale) = options(teller.chance);
    let (theirs, their_scale) = options(teller.chance);
    // Scaling counts only when both say it.
    if mine.contains("wscale") && theirs.contains("wscale") {
        ends.scales = [my_scale, their_scale];
    }
    if teller.chance.one_in(4) {
        let window = teller.chance.one_of(&[0u32, 1, 500, 8192, 65_535]);
        ends.windows = [window, teller.chance.one_of(&[window, 64_240])];
    }
    let [a, b] = ends.windows;
    let syn = teller.chance.pick(&["S", "S", "S", "S", "SEC", "SP", "SU"]);
    match teller.chance.below(16) {
        0 => {
            // Known from the middle only.
            teller.say(false, &format!("tcp A win {a}"));
            teller.say(true, &format!("tcp A win {b}"));
            return;
        }
        1 => {
            // Both open at once.
            teller.say(false, &format!("tcp S win {a}{mine}"));
            teller.say(true, &format!("tcp S win {b}{theirs}"));
            teller.say(false, &format!("tcp SA win {a}{mine}"));
            teller.say(true, &format!("tcp SA win {b}{theirs}"));
            teller.say(false, "tcp A");
            return;
        }
        2 => {
            teller.say(true, &format!("tcp SA win {b}{theirs}"));
            teller.say(false, &format!("tcp A win {a}"));
        }
        3 => {
            teller.say(false, &format!("tcp {syn} win {a}{mine}"));
            let refusal = teller
                .chance
                .pick(&["RA", "R", "RA ack +1", "RA ack -1", "RA seq +5"]);
            teller.say(true, &format!("tcp {refusal}"));
            return;
        }
        4 => {
            teller.say(false, &format!("tcp {syn} win {a}{mine}"));
            teller.say(false, &format!("tcp {syn} win {a}{mine}"));
        }
        5 => {
            teller.say(false, &format!("tcp {syn} win {a}{mine}"));
            teller.say(false, &format!("tcp {syn} seq +9999 win {a}{mine}"));
        }
        6 => teller.say(false, &format!("tcp {syn} win {a}{mine} len 20")),
        _ => teller.say(false, &format!("tcp {syn} win {a}{mine}")),
    }
    match teller.chance.below(10) {
        0 => teller.say(true, &format!("tcp SA ack +1 win {b}{theirs}")),
        1 => teller.say(true, &format!("tcp SA ack -1 win {b}{theirs}")),
        2 => return,
        3 => {
            // An answer to a connection of the past, and its reset.
            teller.say(true, "tcp A ack +5000");
            teller.say(false, "tcp R seq +5000");
        }
        4 => {
            teller.say(true, &format!("tcp SA win {b}{theirs}"));
            teller.say(true, &format!("tcp SA win {b}{theirs}"));
            return;
        }
        _ => {}
    }
    teller.say(true, &format!("tcp SA win {b}{theirs}"));
    if !teller.chance.one_in(12) {
        teller.say(false, &format!("tcp A win {a}"));
    }
}

fn step(teller: &mut Teller<'_>, ends: &Ends) {
    let back = teller.chance.one_in(2);
    let (own, other) = (usize::from(back), usize::from(!back));
    // What the receiver takes, and what it may have offered at most.
    let room = (ends.windows[other] << ends.scales[other]).max(1);
    let own_window = ends.windows[own];
    let near = |chance: &mut Chance, edge: u32| i64::from(edge) + chance.below(4) as i64 - 2;
    let length = teller.chance.one_of(&[1usize, 10, 100, 536, 1448]);
    let text = match teller.chance.below(26) {
        0..=5 => format!("tcp PA len {length} win {own_window}"),
        6..=8 => format!("tcp A win {own_window}"),
        9 => format!(
            "tcp A win {}",
            teller.chance.one_of(&[0, 1, 100, own_window])
        ),
        // Keepalive, a probe of a closed window, old data again.
        10 => "tcp A seq -1".to_owned(),
        11 => "tcp A seq -1 len 1".to_owned(),
        12 => format!("tcp PA seq -{length} len {length}"),
        // At the edges of the window.
        13 => format!("tcp PA seq {:+} len 1", near(teller.chance, room)),
        14 => format!("tcp A seq {:+}", near(teller.chance, room)),
        15 => {
            let edge = near(teller.chance, room) - length as i64;
            format!("tcp PA seq {edge:+} len {length}")
        }
        16 => format!("tcp A seq -{}", near(teller.chance, room.max(3))),
        // Acknowledging what was never sent, or what was long ago.
        17 => format!(
            "tcp A ack {:+}",
            teller.chance.one_of(&[1i64, 2, 1000, 100_000])
        ),
        18 => {
            let limit = room.max(66_000);
            format!("tcp A ack -{}", near(teller.chance, limit))
        }
        19 => {
            let flags = teller.chance.pick(&[
                "none", "SF", "FPU", "SFPU", "F", "P", "U", "SR", "FR", "SFR",
            ]);
            format!("tcp {flags}")
        }
        20 => {
            let syn =
                teller
                    .chance
                    .pick(&["S", "S seq +1000", "S seq -70000", "SA", "SA seq +3", "SP"]);
            let (options, _) = options(teller.chance);
            format!("tcp {syn}{options}")
        }
        21 => {
            let edge = near(teller.chance, room);
            let reset = teller
                .chance
                .pick(&["R", "RA", "R seq +1", "R seq -1", "RA ack -1"]);
            if teller.chance.one_in(3) {
                format!("tcp R seq {edge:+}")
            } else {
                format!("tcp {reset}")
            }
        }
        22 => format!("tcp UPA urg 5 len {length}"),
        23 => {
            let sack = teller.chance.pick(&[
                "sack=-100..+0",
                "sack=+100..+200",
                "sack=+1..+60000/+70000..+70001",
                "sack=-70000..-69000",
            ]);
            format!("tcp A opt nop,nop,{sack}")
        }
        24 => format!("tcp PAE len {length}"),
        _ => {
            let broken = teller.chance.pick(&[
                "badsum",
                "truncate 30",
                "truncate 44",
                "ttl 1",
                "ttl 2",
                "opt hex=0300",
                "opt hex=fe",
                "len 300 fragments 2",
                "len 300 fragments 2 order 2,1",
            ]);
            format!("tcp PA len 3 {broken}")
        }
    };
    teller.say(back, &text);
    // An unexpected segment is answered now and then: the challenge ACK.
    if teller.chance.one_in(6) {
        teller.say(!back, "tcp A");
    }
}

fn close(teller: &mut Teller<'_>) {
    let back = teller.chance.one_in(3);
    match teller.chance.below(8) {
        0 => {}
        1 => teller.say(back, "tcp R"),
        2 => teller.say(back, "tcp RA"),
        3 => {
            // Both at once.
            teller.say(back, "tcp FA");
            teller.say(!back, "tcp FA ack -1");
            teller.say(back, "tcp A");
            teller.say(!back, "tcp A");
        }
        4 => {
            // Half closed, and more from the other side.
            teller.say(back, "tcp FA");
            teller.say(!back, "tcp A");
            teller.say(!back, "tcp PA len 100");
            teller.say(back, "tcp A");
            teller.say(!back, "tcp FPA len 10");
            teller.say(back, "tcp A");
        }
        5 => {
            teller.say(back, "tcp FA");
            teller.say(back, "tcp FA seq -1");
            teller.say(!back, "tcp R");
        }
        _ => {
            teller.say(back, "tcp FA");
            teller.say(!back, "tcp FA");
            teller.say(back, "tcp A");
        }
    }
}

/// What still comes when the connection is over: stray segments, and the same ports again.
fn after(teller: &mut Teller<'_>, ends: &Ends) {
    match teller.chance.below(4) {
        0 => {
            let (options, _) = options(teller.chance);
            let seq = teller
                .chance
                .pick(&["", " seq +1", " seq +2000000", " seq -2000000"]);
            teller.say(false, &format!("tcp S{seq}{options}"));
            teller.say(true, "tcp SA");
            teller.say(false, "tcp A");
        }
        1 => teller.say(true, "tcp A"),
        2 => teller.say(false, "tcp FA seq -1"),
        _ => step(teller, ends),
    }
}

/// Segments without any order, on few ports: every state meets everything.
pub(super) fn wild(chance: &mut Chance, number: usize) -> Story {
    const OFFSETS: [&str; 12] = [
        "+1", "-1", "+100", "-100", "+1000", "-1000", "+64240", "+64241", "+70000", "-64240",
        "-70000", "+3000000",
    ];
    let mut teller = Teller::new(chance, number).with_ports(40_000, "80");
    for _ in 0..10 + teller.chance.below(20) {
        let chance = &mut *teller.chance;
        let flags = chance.pick(&[
            "S", "S", "SA", "SA", "A", "A", "A", "PA", "PA", "FA", "FA", "R", "RA", "F", "none",
            "SF", "SP", "P", "U", "AU", "SAE", "SR",
        ]);
        let mut line = format!("tcp {flags}");
        for field in ["seq", "ack"] {
            if chance.one_in(4) {
                line += &format!(" {field} {}", chance.pick(&OFFSETS));
            }
        }
        if chance.one_in(4) {
            let window = chance.pick(&["0", "1", "1000", "8192", "65535"]);
            line += &format!(" win {window}");
        }
        if flags.starts_with('S') && chance.one_in(2) {
            line += &options(chance).0;
        }
        if flags.contains('P') || chance.one_in(8) {
            line += &format!(" len {}", chance.pick(&["1", "100", "1400"]));
        }
        if chance.one_in(30) {
            line += " badsum";
        }
        let back = chance.one_in(3);
        teller.say(back, &line);
    }
    teller.end("TCP")
}
