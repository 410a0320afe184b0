//! What the fuzz targets do with bytes from anywhere.
//!
//! One function a target, so that an ordinary test replays the corpus (`fuzz/corpus`) on a stable
//! compiler. None may panic, loop or allocate without a bound; where more must hold, it is asserted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::helper::CATALOGUE;
use palisade_conntrack::{Config, Conntrack, Expectation, Template, TrackHook, nat};
use palisade_rules::{Family, parse, print};
use palisade_wire::link::{LinkType, decode};
use palisade_wire::translate::End;
use palisade_wire::{Buffer, Packet, Timestamp, build, icmp, proto, tcp, udp};

/// The name of a target and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their directories in `fuzz/corpus`.
pub const TARGETS: [Target; 5] = [
    ("packet_view", packet_view),
    ("rule_text", rule_text),
    ("packet_script", packet_script),
    ("capture_file", capture_file),
    ("helper_payload", helper_payload),
];

/// Views of a packet: the first byte picks the link layer, the rest is the frame.
pub fn packet_view(bytes: &[u8]) {
    let Some((link, frame)) = bytes.split_first() else {
        return;
    };
    let links = [
        LinkType::Raw,
        LinkType::Ethernet,
        LinkType::LinuxSll,
        LinkType::LinuxSll2,
        LinkType::Null,
        LinkType::Loop,
    ];
    let link = links
        .get(usize::from(*link))
        .copied()
        .unwrap_or(LinkType::Raw);
    let Some(frame) = decode(link, frame) else {
        return;
    };
    for packet in [
        Packet::parse(frame.network),
        Packet::parse_truncated(frame.network),
    ] {
        let Ok(packet) = packet else { continue };
        look(&packet);
        track(&[packet.bytes().to_vec()], None, None);
    }
}

/// Asks a packet everything there is to ask.
fn look(packet: &Packet<'_>) {
    let protocol = packet.protocol();
    let transport = packet.transport();
    assert!(transport.len() <= packet.bytes().len());
    assert_eq!(packet.source().is_ipv4(), packet.destination().is_ipv4());
    let _ = packet.header_checksum_ok();
    let _ = packet.transport_checksum_ok(protocol);
    let _ = (packet.fragment(), packet.id(), packet.ttl(), packet.tos());
    let _ = (
        packet.is_truncated(),
        packet.chain_broken(),
        packet.transport_len(),
    );
    match protocol {
        proto::TCP => {
            if let Some(tcp) = tcp::Tcp::new(transport) {
                assert!(tcp.options_iter().count() <= 40);
                let _ = (tcp.payload(), tcp.flags(), tcp.seq(), tcp.window());
            }
        }
        proto::UDP => {
            let _ = udp::Udp::new(transport).map(|u| u.payload().len());
        }
        proto::ICMP | proto::ICMPV6 => {
            if let Some(inner) = icmp::Icmp::new(transport).map(|i| i.body())
                && let Ok(quoted) = Packet::parse_truncated(inner)
            {
                let _ = (quoted.transport(), quoted.transport_len());
            }
        }
        _ => {}
    }
}

/// Rules: whatever parses without an error prints, and the print means the same again.
pub fn rule_text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for family in [Family::V4, Family::V6] {
        let parsed = parse::auto(&text, family);
        for diagnostic in &parsed.diagnostics {
            assert!(!diagnostic.message.is_empty(), "a diagnostic without words");
        }
        if parsed.has_errors() {
            continue;
        }
        for ruleset in [&parsed.v4, &parsed.v6].into_iter().flatten() {
            let printed = print::save(ruleset, true);
            let again = parse::save_file(&printed, ruleset.family);
            assert!(!again.has_errors(), "{:?}\n{printed}", again.diagnostics);
            let twice = again.family(ruleset.family).map(|r| print::save(r, true));
            // Tables come out newest first, as of the real tool: turned round by every pass.
            let tables = |text: &str| -> BTreeSet<String> {
                text.split_inclusive("COMMIT\n")
                    .map(str::to_owned)
                    .collect()
            };
            assert_eq!(tables(&twice.unwrap_or_default()), tables(&printed));
        }
    }
}

/// A packet script: parsing, and the packets of its first rounds.
pub fn packet_script(bytes: &[u8]) {
    let (script, faults) = palisade_capture::script::parse(&String::from_utf8_lossy(bytes));
    if !faults.is_empty() {
        return;
    }
    for test in &script.tests {
        // A script may ask for millions; it is the first that show what is new.
        for event in script.play(test, Timestamp::default()).take(200) {
            if let palisade_capture::script::Event::Packet(sent) = event {
                assert!(sent.bytes.len() <= sent.original_len);
            }
        }
    }
}

/// A capture file, whole.
pub fn capture_file(bytes: &[u8]) {
    let Ok(mut reader) = palisade_capture::pcap::Reader::new(bytes) else {
        return;
    };
    // A few bytes of gzip can hold very many frames.
    for _ in 0..10_000 {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                let _ = decode(frame.link, frame.data);
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// What a helper reads. Of the first byte, bit 0 picks the family, bits 1 to 4 the helper, bit 5 a translation of
/// the client; the rest is payload, each piece with a byte before it that says how long it is and (highest bit)
/// which side sends it. What is expected in the end comes.
pub fn helper_payload(bytes: &[u8]) {
    const TRANSLATED: u8 = 0x20;
    let Some((head, mut rest)) = bytes.split_first() else {
        return;
    };
    let chosen = usize::from(head >> 1 & 0xf) % CATALOGUE.len();
    let Some(helper) = CATALOGUE.get(chosen) else {
        return;
    };
    let v4 = match helper.family {
        Some(family) => family == palisade_wire::Family::V4,
        None => head & 1 == 0,
    };
    let [client, server, public]: [IpAddr; 3] = [1, 2, 3].map(|n| match v4 {
        true => Ipv4Addr::new(192, 0, 2, n).into(),
        false => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into(),
    });
    let translation = (head & TRANSLATED != 0).then_some((client, public));
    let answers_to = translation.map_or(client, |(_, public)| public);
    let mut sides = [
        Side::new([client, server], [40_000, helper.port], 1_000),
        Side::new([server, answers_to], [helper.port, 40_000], 5_000),
    ];
    let [client, server] = &mut sides;
    let mut packets = Vec::new();
    if helper.protocol == proto::TCP {
        packets.push(client.segment(tcp::flags::SYN, 0, b""));
        packets.push(server.segment(tcp::flags::SYN | tcp::flags::ACK, client.seq, b""));
        packets.push(client.segment(tcp::flags::ACK, server.seq, b""));
    }
    while let Some((head, tail)) = rest.split_first() {
        let length = match head & 0x7f {
            0x7f => LONG_PIECE,
            length => usize::from(length),
        };
        let (payload, after) = tail.split_at(tail.len().min(length));
        rest = after;
        let (from, to) = if head & 0x80 == 0 {
            (&mut *client, &*server)
        } else {
            (&mut *server, &*client)
        };
        packets.push(match helper.protocol {
            proto::TCP => from.segment(tcp::flags::PSH | tcp::flags::ACK, to.seq, payload),
            _ => from.datagram(payload),
        });
    }
    let template = Template {
        helper: Some(helper.name),
        ..Template::default()
    };
    let table = track(&packets, Some(&template), translation);
    // A class without a limit of its own may have as many as the table allows.
    if helper.classes.iter().all(|class| class.max > 0) {
        let most: usize = helper.classes.iter().map(|c| usize::from(c.max)).sum();
        assert!(table.expectations().count() <= most);
    }
    let expected: Vec<Vec<u8>> = table.expectations().map(first_packet).collect();
    pass(table, &expected, None, translation, packets.len() as u64);
}

/// Bytes of a long piece.
const LONG_PIECE: usize = 300;

/// The first packet of an announced connection.
fn first_packet(expectation: &Expectation) -> Vec<u8> {
    let to = expectation.destination;
    let from = expectation.source.map_or(to, |(address, _)| address);
    let ip = build::Ip::new(from, to);
    let port = expectation.source_port.unwrap_or(1234);
    let to_port = expectation.destination_port;
    match expectation.protocol {
        proto::TCP => Side::new([from, to], [port, to_port], 1).segment(tcp::flags::SYN, 0, b""),
        proto::UDP => build::udp(&ip, port, to_port, b"x"),
        protocol => {
            let [high, low] = to_port.to_be_bytes();
            build::raw(&ip, protocol, &[0x30, 0x01, 0x88, 0x0b, 0, 0, high, low])
        }
    }
}

/// One side of a connection.
struct Side {
    ends: [IpAddr; 2],
    ports: [u16; 2],
    seq: u32,
}

impl Side {
    fn new(ends: [IpAddr; 2], ports: [u16; 2], seq: u32) -> Self {
        Side { ends, ports, seq }
    }

    fn segment(&mut self, flags: u8, ack: u32, payload: &[u8]) -> Vec<u8> {
        let [source, destination] = self.ends;
        let [source_port, destination_port] = self.ports;
        let header = build::Tcp {
            source_port,
            destination_port,
            seq: self.seq,
            ack,
            flags,
            window: 64_240,
            ..build::Tcp::default()
        };
        let syn = u32::from(flags & tcp::flags::SYN != 0);
        self.seq = self.seq.wrapping_add(payload.len() as u32 + syn);
        build::tcp(&build::Ip::new(source, destination), &header, payload)
    }

    fn datagram(&self, payload: &[u8]) -> Vec<u8> {
        let [source, destination] = self.ends;
        let [from, to] = self.ports;
        build::udp(&build::Ip::new(source, destination), from, to, payload)
    }
}

/// Sends packets through a fresh connection table.
fn track(
    packets: &[Vec<u8>],
    template: Option<&Template>,
    translation: Option<(IpAddr, IpAddr)>,
) -> Conntrack {
    pass(
        Conntrack::new(Config::default()),
        packets,
        template,
        translation,
        0,
    )
}

/// Sends packets through a connection table, one a second; a client's address may be translated to another.
fn pass(
    mut table: Conntrack,
    packets: &[Vec<u8>],
    template: Option<&Template>,
    translation: Option<(IpAddr, IpAddr)>,
    start: u64,
) -> Conntrack {
    let before = table.len();
    for (second, bytes) in (start..).zip(packets) {
        let Ok(packet) = Packet::parse_truncated(bytes) else {
            continue;
        };
        let now = Timestamp::new(second, 0);
        let source = packet.source();
        let mut track = table.track(&packet, TrackHook::Prerouting, template, now);
        let mut buffer = Buffer::new(packet, Vec::new());
        let mut lives = track.drop.is_none();
        if let (Some((client, public)), Some(id)) = (translation, track.connection) {
            if track.fresh {
                table.nat_null(id, End::Destination);
                if source == client {
                    table.nat_setup(id, &nat::Range::to(public), End::Source);
                }
                table.nat_null(id, End::Source);
            }
            lives &= [End::Destination, End::Source]
                .iter()
                .all(|end| table.nat_packet(&track, &mut buffer, *end).is_ok());
        }
        if lives {
            table.leave(&mut buffer, &mut track, &(), now);
        }
        table.discard(&track);
        assert!(table.len() <= before + packets.len());
    }
    table
}
