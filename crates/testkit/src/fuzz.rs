//! What the fuzz targets do with bytes from anywhere.
//!
//! One function a target, so that an ordinary test replays the corpus (`fuzz/corpus`) on a stable
//! compiler. None may panic, loop or allocate without a bound; where more must hold, it is asserted.

mod engine;
mod payloads;

pub use engine::engine;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::{Config, Conntrack, Template, TrackHook};
use palisade_rules::{Family, parse, print};
use palisade_wire::link::{LinkType, decode};
use palisade_wire::{Buffer, Packet, Timestamp, build, icmp, proto, tcp, udp};

/// The name of a target and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their directories in `fuzz/corpus`.
pub const TARGETS: [Target; 6] = [
    ("packet_view", packet_view),
    ("rule_text", rule_text),
    ("packet_script", packet_script),
    ("capture_file", capture_file),
    ("helper_payload", helper_payload),
    ("engine", engine),
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
        track(&[packet.bytes().to_vec()], None);
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

/// What a helper reads: the first byte picks the family; the rest is payload, each piece with a byte
/// before it that says how long it is and (highest bit) which side sends it.
pub fn helper_payload(bytes: &[u8]) {
    let Some((family, mut rest)) = bytes.split_first() else {
        return;
    };
    let ends: [IpAddr; 2] = if family & 1 == 0 {
        [
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::new(192, 0, 2, 2).into(),
        ]
    } else {
        let end = |n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into();
        [end(1), end(2)]
    };
    let mut sides = [
        Side::new(ends, [40_000, 21], 1_000),
        Side::new([ends[1], ends[0]], [21, 40_000], 5_000),
    ];
    let [client, server] = &mut sides;
    let mut packets = vec![
        client.segment(tcp::flags::SYN, 0, b""),
        server.segment(tcp::flags::SYN | tcp::flags::ACK, client.seq, b""),
        client.segment(tcp::flags::ACK, server.seq, b""),
    ];
    while let Some((head, tail)) = rest.split_first() {
        let (payload, after) = tail.split_at(tail.len().min(usize::from(head & 0x7f)));
        rest = after;
        let (from, to) = if head & 0x80 == 0 {
            (&mut *client, &*server)
        } else {
            (&mut *server, &*client)
        };
        packets.push(from.segment(tcp::flags::PSH | tcp::flags::ACK, to.seq, payload));
    }
    let template = Template {
        helper: Some("ftp"),
        ..Template::default()
    };
    track(&packets, Some(&template));
}

/// One side of a TCP connection.
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
}

/// Sends packets through a fresh connection table.
fn track(packets: &[Vec<u8>], template: Option<&Template>) {
    let mut table = Conntrack::new(Config::default());
    for (second, bytes) in (0..).zip(packets) {
        let Ok(packet) = Packet::parse_truncated(bytes) else {
            continue;
        };
        let now = Timestamp::new(second, 0);
        let mut track = table.track(&packet, TrackHook::Prerouting, template, now);
        if track.drop.is_none() {
            table.leave(&mut Buffer::new(packet, Vec::new()), &mut track, &(), now);
        }
        table.discard(&track);
        assert!(table.len() <= packets.len());
        // One announced connection at a time is all that the FTP helper may have.
        assert!(table.expectations().count() <= 1);
    }
}
