//! H.323: registration, signalling and control, with messages that chance has altered.

use super::chance::Chance;
use super::talk::{aside, handshake};
use super::{Story, Teller};

/// Whether the server says it, and the message in hexadecimal: between 10.1.0.2 and 10.2.0.2, as an encoder of
/// the packed rules wrote it.
type Message = (bool, &'static str);

const RAS: &[Message] = &[
    // RegistrationRequest.
    (
        false,
        "0e800001060008914a00048001000a01000206b801000a0100029c4022c0b800003d0750616c697361646500310001400400\
     61006c00690063006560b800003d0750616c69736164650031348b000000020077010001000100",
    ),
    // RegistrationConfirm.
    (
        true,
        "12000001060008914a000401000a01000206b804006500700031268a000002006301000100",
    ),
    // GatekeeperConfirm.
    (true, "04800000060008914a0004020067006b000a02000206b9"),
    // AdmissionRequest.
    (
        false,
        "26900003008000650070003101010053300140040061006c006900630065000a01000206b840028000010001020304050607\
     08090a0b0c0d0e0f0960200001801100000102030405060708090a0b0c0d0e0f0100",
    ),
    // AdmissionConfirm.
    (
        true,
        "2a000003400280000a02000206b82c00c00001000b8001f80100010001000100",
    ),
    // LocationConfirm.
    (true, "4c0004000a02000206ba000a02000206b7"),
    // UnregistrationRequest.
    (false, "1800000201000a01000206b8"),
];

const SIGNALS: &[Message] = &[
    // Setup.
    (
        false,
        "0300008708020001057e007b0520f8060008914a0004000a01000213880240040061006c006900630065010043322cb80000\
     3d0750616c69736164650031000101805330000a02000206b800000102030405060708090a0b0c0d0e0f00cd0d800007000a\
     0100029c401100000102030405060708090a0b0c0d0e0f010001000100010010800100",
    ),
    // Setup with fast start.
    (
        false,
        "030000a008020001057e00940520b0060008914a00040240040061006c006900630065010043322cb800003d0750616c6973\
     616465003100010180533000000102030405060708090a0b0c0d0e0f00c91d80001100000102030405060708090a0b0c0d0e\
     0f2e02190000000c20138011140001000a010002138c000a010002138d120000010c2013800a040001000a010002138f0100\
     01000100010010800100",
    ),
    // Alerting.
    (
        true,
        "0300006108020001017e0055052380060008914a000422c0b800003d0750616c6973616465003101b1c00011000001020304\
     05060708090a0b0c0d0e0f1b01190000000c20138011140001000a0200021770000a02000217710100010010800100",
    ),
    // Connect.
    (
        true,
        "0300005c08020001077e00500522c0060008914a0004000a02000204d022c0b800003d0750616c6973616465003100000102\
     030405060708090a0b0c0d0e0f1d0c001100000102030405060708090a0b0c0d0e0f0100010010800100",
    ),
    // Progress.
    (
        true,
        "0300004b08020001037e003f05280037c0060008914a000422c0b800003d0750616c69736164650031000a02000204d00000\
     0102030405060708090a0b0c0d0e0f05800100010010800100",
    ),
    // Facility that forwards.
    (
        true,
        "0300003b08020001627e002f0526c0060008914a0004000a01004d06b823e030001100000102030405060708090a0b0c0d0e\
     0f0100010010800100",
    ),
    // Facility that carries a channel.
    (
        true,
        "0300005308020001627e0047052680060008914a00048601001f01801100000102030405060708090a0b0c0d0e0f01000100\
     10c001001c011a030000000c20138011140001000a020002177a000a020002177b",
    ),
    // ReleaseComplete.
    (
        false,
        "0300002f080200015a7e00230525c0060008914a000458a8001100000102030405060708090a0b0c0d0e0f10800100",
    ),
];

const CONTROL: &[Message] = &[
    // OpenLogicalChannel.
    (false, "03000017030000000c2013800a040001000a010002138d"),
    // OpenLogicalChannelAck.
    (
        true,
        "0300001b22c000000680101c00000a0200021774000a0200021775",
    ),
    // OpenLogicalChannel of T.120.
    (
        false,
        "03000021038000021018300100401900800300000305000908000a01000205df00",
    ),
];

/// Addresses that may come in the place of another one.
const ADDRESSES: [[u8; 4]; 6] = [
    [10, 1, 0, 2],
    [10, 1, 0, 2],
    [10, 2, 0, 2],
    [10, 2, 0, 1],
    [10, 1, 0, 77],
    [127, 0, 0, 1],
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|b| char::from(b).to_digit(16).map(|d| d as u8))
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Ports that one connection announces. Those of others are not among them: where a port is taken the kernel
/// draws another one, which nobody can foretell.
struct Ports {
    first: u16,
    /// The port of the client itself.
    own: u16,
}

impl Ports {
    fn any(&self, chance: &mut Chance) -> u16 {
        match chance.below(12) {
            0 | 1 => self.own,
            2 => 0,
            _ => self.first + chance.below(8) as u16,
        }
    }
}

/// A message with ports of its own, and maybe another address in it, some bits turned, or an end too
/// early. `framed`: its frame is made to fit, mostly.
fn altered(chance: &mut Chance, message: &str, framed: bool, ports: &Ports) -> String {
    let mut message = bytes(message);
    let is_place = |i: &usize| {
        let rest = &message[*i..];
        rest.starts_with(&[10, 1, 0]) || rest.starts_with(&[10, 2, 0])
    };
    let places: Vec<usize> = (0..message.len().saturating_sub(5))
        .filter(is_place)
        .collect();
    for at in places {
        if chance.one_in(5) {
            let address = chance.one_of(&ADDRESSES);
            message[at..at + 4].copy_from_slice(&address);
        }
        let port = ports.any(chance);
        message[at + 4..at + 6].copy_from_slice(&port.to_be_bytes());
    }
    let from = if framed { 4 } else { 0 };
    match chance.below(8) {
        0 | 1 => {
            for _ in 0..1 + chance.below(3) {
                let bit = from * 8 + chance.below((message.len() - from) * 8);
                message[bit / 8] ^= 0x80 >> (bit % 8);
            }
        }
        2 => message.truncate(from + 1 + chance.below(message.len() - from)),
        _ => {}
    }
    if framed && !chance.one_in(10) {
        let length = message.len() as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
    }
    let digits: String = message.iter().map(|b| format!("{b:02x}")).collect();
    format!("hex:{digits}")
}

/// Messages of a list, mostly in its order; in TCP a header may come alone.
fn talk(teller: &mut Teller<'_>, messages: &[Message], protocol: &str, ports: &Ports) {
    let framed = protocol == "tcp";
    for (back, message) in messages {
        if teller.chance.one_in(3) {
            continue;
        }
        let text = altered(teller.chance, message, framed, ports);
        let back = back ^ teller.chance.one_in(10);
        if framed && teller.chance.one_in(8) {
            let (head, body) = text.split_at("hex:".len() + 8);
            teller.say(back, &format!("tcp {head}"));
            if !body.is_empty() {
                teller.say(back, &format!("tcp hex:{body}"));
            }
        } else {
            teller.say(back, &format!("{protocol} {text}"));
        }
    }
}

/// Connections that were announced, or almost.
fn follow(teller: &mut Teller<'_>, count: usize, ports: &Ports) {
    for _ in 0..count {
        let far = 9_000 + teller.number * 8 + teller.chance.below(8);
        let port = ports.first + teller.chance.below(10) as u16;
        let line = match teller.chance.below(6) {
            0 => format!("server:{far} > client:{port} tcp S"),
            1 => format!("client:{far} > server:{port} tcp S"),
            2 => format!("server:{far} > outside:{port} tcp S"),
            3 => format!("client:{far} > server:{port} udp len 20"),
            4 => format!("server:{far} > outside:{port} udp len 20"),
            _ => format!("server:{far} > client:{port} udp len 20"),
        };
        aside(teller, &line);
    }
}

pub(super) fn story(chance: &mut Chance, number: usize) -> Story {
    let mut teller = Teller::new(chance, number);
    teller.six = false;
    let port = 42_000 + number * 4;
    // Three connections, each with ports of its own.
    let ports = |n: usize| Ports {
        first: (20_000 + number * 48 + n * 16) as u16,
        own: (port + n) as u16,
    };
    if teller.chance.one_in(2) {
        (teller.from, teller.to) = (format!("client:{port}"), "server:1719".to_owned());
        talk(&mut teller, RAS, "udp", &ports(0));
        follow(&mut teller, 2, &ports(0));
    }
    if teller.chance.below(4) > 0 {
        (teller.from, teller.to) = (format!("client:{}", port + 1), "server:1720".to_owned());
        teller.last = [None, None];
        handshake(&mut teller);
        talk(&mut teller, SIGNALS, "tcp", &ports(1));
        follow(&mut teller, 2, &ports(1));
        // The control connection, where it was announced if at all.
        let to = ports(1).first as usize + teller.chance.below(8);
        (teller.from, teller.to) = (format!("client:{}", port + 2), format!("server:{to}"));
        teller.last = [None, None];
        handshake(&mut teller);
        for _ in 0..1 + teller.chance.below(3) {
            talk(&mut teller, CONTROL, "tcp", &ports(2));
        }
        follow(&mut teller, 3, &ports(2));
    }
    teller.end("H.323")
}
