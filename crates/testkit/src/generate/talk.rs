//! Protocols that announce further connections: FTP, TFTP, IRC, Amanda, SANE, questions to a network; and
//! those of `calls.rs` and `h323.rs`.

use super::chance::Chance;
use super::{Story, Teller, Told, calls, h323};

/// A question to everybody is no question to somebody that it could be translated to.
pub(super) fn story(chance: &mut Chance, number: usize, translated: bool) -> Story {
    match chance.below(16) {
        0 | 1 => tftp(chance, number),
        2 | 3 => irc(chance, number),
        4 => amanda(chance, number),
        5 => sane(chance, number),
        6 if !translated => question(chance, number),
        7 | 8 => calls::sip(chance, number),
        9 => calls::pptp(chance, number),
        10 | 11 => h323::story(chance, number),
        _ => ftp(chance, number),
    }
}

/// A line of neither side's own flow.
pub(super) fn aside(teller: &mut Teller<'_>, text: &str) {
    let label = format!("s{}x{}", teller.number, teller.lines.len() + 1);
    let six = teller.six;
    let text = if six {
        format!("{text} ip6")
    } else {
        text.to_owned()
    };
    teller.lines.push(Told { label, text, six });
}

pub(super) fn handshake(teller: &mut Teller<'_>) {
    teller.say(false, "tcp S");
    teller.say(true, "tcp SA");
    teller.say(false, "tcp A");
}

fn host(end: &str) -> &str {
    end.split(':').next().unwrap_or(end)
}

fn ftp(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number).with_ports(41_000 + number, "21");
    (teller.from, teller.to) = (
        format!("client:{}", 41_000 + number),
        "server:21".to_owned(),
    );
    handshake(&mut teller);
    for round in 0..1 + teller.chance.below(4) {
        let port = 2_000 + number * 8 + round;
        let (high, low) = (port / 256, port % 256);
        let wrong = teller.chance.one_in(4);
        let (client, server) = (host(&teller.from).to_owned(), host(&teller.to).to_owned());
        let active = teller.chance.one_in(2);
        let words = match (active, teller.six) {
            (true, false) if teller.chance.one_in(3) => format!("EPRT |1|10.1.0.2|{port}|"),
            (true, false) => format!("PORT 10,1,0,2,{high},{low}"),
            (true, true) => format!("EPRT |2|fd00:1::2|{port}|"),
            (false, false) if teller.chance.one_in(2) => {
                format!("227 Entering Passive Mode (10,2,0,2,{high},{low}).")
            }
            (false, _) => format!("229 Extended Passive Mode (|||{port}|)"),
        };
        let words = match (wrong, teller.chance.below(5)) {
            (false, _) => words,
            (true, 0) => words.replace("10,", "10,1"),
            (true, 1) => words.replace('|', "/"),
            (true, 2) => words.to_lowercase(),
            (true, 3) => words.replace(&format!("{low}"), "999"),
            _ => format!("x{words}"),
        };
        if teller.chance.one_in(5) {
            let (one, two) = words.split_at(words.len() / 2);
            teller.say(!active, &format!("tcp PA \"{one}\""));
            teller.say(!active, &format!("tcp PA \"{two}\\r\\n\""));
        } else {
            teller.say(!active, &format!("tcp PA \"{words}\\r\\n\""));
        }
        teller.say(active, "tcp A");
        // Nobody comes: the next announcement finds this one still there.
        if teller.chance.one_in(3) {
            continue;
        }
        // The data connection, or one that only looks like it.
        let port = port + usize::from(teller.chance.one_in(6));
        let (from, to) = if active {
            let source = teller.chance.pick(&["20", "20", "2020"]);
            (format!("{server}:{source}"), format!("{client}:{port}"))
        } else {
            let source = teller.chance.pick(&["client", "client", "guest"]);
            (
                format!("{source}:{}", 43_000 + number + round),
                format!("{server}:{port}"),
            )
        };
        if teller.chance.below(3) > 0 {
            aside(&mut teller, &format!("{from} > {to} tcp S"));
            aside(&mut teller, &format!("{to} > {from} tcp SA"));
            aside(&mut teller, &format!("{from} > {to} tcp PA len 500"));
        }
        if teller.chance.one_in(4) {
            teller.say(!active, "tcp PA \"NOOP\\r\\n\"");
        }
    }
    teller.say(false, "tcp FA");
    teller.end("FTP")
}

fn tftp(chance: &mut Chance, number: usize) -> Story {
    let client = 6_100 + number;
    let mut teller = Teller::new(chance, number).with_ports(client, "69");
    (teller.from, teller.to) = (format!("client:{client}"), "server:69".to_owned());
    let request = teller.chance.pick(&[
        "hex:0001 \"file\" hex:00 \"octet\" hex:00",
        "hex:0002 \"file\" hex:00 \"octet\" hex:00",
        "hex:0003 hex:0001",
        "hex:00",
    ]);
    teller.say(false, &format!("udp {request}"));
    let source = teller.chance.pick(&["3069", "69", "3070"]);
    aside(
        &mut teller,
        &format!("server:{source} > client:{client} udp hex:00030001 len 100"),
    );
    aside(
        &mut teller,
        &format!("client:{client} > server:{source} udp hex:00040001"),
    );
    if teller.chance.one_in(3) {
        teller.say(false, &format!("udp {request}"));
    }
    teller.end("TFTP")
}

fn irc(chance: &mut Chance, number: usize) -> Story {
    let client = 6_200 + number;
    let mut teller = Teller::new(chance, number).with_ports(client, "6667");
    (teller.from, teller.to) = (format!("client:{client}"), "server:6667".to_owned());
    teller.six = false;
    handshake(&mut teller);
    let port = 2_500 + number;
    // 10.1.0.2 as a number, and an address that is not the sender's.
    let address = teller
        .chance
        .pick(&["167837698", "167837698", "167837775", "1"]);
    let words = teller.chance.pick(&[
        "DCC SEND file",
        "DCC CHAT chat",
        "DCC MOVE file",
        "DCC send file",
    ]);
    teller.say(
        false,
        &format!("tcp PA \"PRIVMSG x :\\x01{words} {address} {port} 500\\x01\\r\\n\""),
    );
    teller.say(true, "tcp A");
    aside(&mut teller, &format!("server:5555 > client:{port} tcp S"));
    aside(&mut teller, &format!("client:{port} > server:5555 tcp SA"));
    teller.end("IRC")
}

fn amanda(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    (teller.from, teller.to) = (
        format!("client:{}", 6_300 + number),
        "server:10080".to_owned(),
    );
    teller.say(false, "udp \"SERVICE sendbackup\\n\"");
    let port = 11_000 + number * 4;
    let (mesg, index) = (port + 1, port + 2);
    let words = teller.chance.pick(&[
        "CONNECT DATA {d} MESG {m} INDEX {i}",
        "CONNECT INDEX {i} DATA {d}",
        "CONNECT DATA {d}\\nMESG {m}",
        "OPTIONS DATA {d}",
    ]);
    let words = words
        .replace("{d}", &port.to_string())
        .replace("{m}", &mesg.to_string())
        .replace("{i}", &index.to_string());
    teller.say(
        true,
        &format!("udp \"Amanda 2.4 REP HANDLE 000-1 SEQ 1\\n{words}\\n\""),
    );
    for to in [port, mesg, index] {
        if teller.chance.below(3) > 0 {
            aside(
                &mut teller,
                &format!("client:{} > server:{to} tcp S", 44_000 + number),
            );
            aside(
                &mut teller,
                &format!("server:{to} > client:{} tcp SA", 44_000 + number),
            );
        }
    }
    teller.end("Amanda")
}

fn sane(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    (teller.from, teller.to) = (
        format!("client:{}", 6_400 + number),
        "server:6566".to_owned(),
    );
    handshake(&mut teller);
    let command = teller.chance.pick(&["00000007", "00000007", "00000002"]);
    teller.say(false, &format!("tcp hex:{command}00000001"));
    let port = 12_000 + number;
    let status = teller.chance.pick(&["00000000", "00000000", "00000001"]);
    teller.say(true, &format!("tcp hex:{status}0000{port:04x}1234"));
    aside(
        &mut teller,
        &format!("client:{} > server:{port} tcp S", 45_000 + number),
    );
    aside(
        &mut teller,
        &format!("server:{port} > client:{} tcp SA", 45_000 + number),
    );
    teller.end("SANE")
}

/// A question to everybody in a network, and answers of some.
fn question(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    teller.six = false;
    let port = teller.chance.pick(&["137", "161"]);
    let own = 6_500 + number;
    let asked = format!("inside:{own} > 10.1.0.255:{port} udp \"?\" pkttype broadcast out lan0");
    aside(&mut teller, &asked);
    for _ in 0..1 + teller.chance.below(4) {
        let from = teller
            .chance
            .pick(&["10.1.0.7", "guest", "client", "10.1.0.9"]);
        let source = teller.chance.pick(&[port, port, "138"]);
        aside(
            &mut teller,
            &format!("{from}:{source} > inside:{own} udp \"!\""),
        );
    }
    teller.end("questions to a network")
}
