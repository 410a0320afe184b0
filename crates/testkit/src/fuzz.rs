//! What the fuzz targets do with bytes from anywhere.
//!
//! One function a target, so that an ordinary test replays the corpus (`fuzz/corpus`) on a stable
//! compiler. None may panic, loop or allocate without a bound; where more must hold, it is asserted.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::{Config, Conntrack, Template, Track, TrackHook, helper, nat};
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

/// Helpers, by number: name, protocol, port.
const HELPERS: &[(&str, u8, u16)] = &[
    ("ftp", proto::TCP, 21),
    ("sip", proto::UDP, 5060),
    ("sip", proto::TCP, 5060),
    ("tftp", proto::UDP, 69),
    ("irc", proto::TCP, 6667),
    ("amanda", proto::UDP, 10_080),
    ("sane", proto::TCP, 6566),
    ("pptp", proto::TCP, 1723),
    ("RAS", proto::UDP, 1719),
    ("Q.931", proto::TCP, 1720),
    ("H.245", proto::TCP, 1720),
];

/// What a helper reads. The first byte picks the family (bit 0), the helper (bits 1 to 4) and whether the
/// client's address is translated (bit 5). The rest is payload, each piece with a number before it that says
/// how long it is and (highest bit) which side sends it: a byte for FTP, two for the others, whose messages are
/// longer.
pub fn helper_payload(bytes: &[u8]) {
    let Some((&kind, mut rest)) = bytes.split_first() else {
        return;
    };
    let Some(&(helper, protocol, port)) = HELPERS.get(usize::from(kind >> 1 & 15)) else {
        return;
    };
    let end = |n: u16| -> IpAddr {
        match kind & 1 {
            0 => Ipv4Addr::new(192, 0, 2, n as u8).into(),
            _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into(),
        }
    };
    let (client, server) = (end(1), end(2));
    let translated = kind & 0x20 != 0;
    let public = if translated { end(3) } else { client };
    let mut sides = [
        Side::new([client, server], [40_000, port], 1_000),
        Side::new([server, public], [port, 40_000], 5_000),
    ];
    let [client, server] = &mut sides;
    let mut packets = Vec::new();
    if protocol == proto::TCP {
        packets.push(client.segment(tcp::flags::SYN, 0, b""));
        packets.push(server.segment(tcp::flags::SYN | tcp::flags::ACK, client.seq, b""));
        packets.push(client.segment(tcp::flags::ACK, server.seq, b""));
    }
    let words = helper != "ftp";
    while let Some((&head, tail)) = rest.split_first() {
        let (length, tail) = match tail.split_first() {
            Some((&low, tail)) if words => (usize::from(head & 0x7f) << 8 | usize::from(low), tail),
            _ => (usize::from(head & 0x7f), tail),
        };
        let (payload, after) = tail.split_at(tail.len().min(length));
        rest = after;
        let (from, to) = if head & 0x80 == 0 {
            (&mut *client, &*server)
        } else {
            (&mut *server, &*client)
        };
        packets.push(match protocol {
            proto::TCP => from.segment(tcp::flags::PSH | tcp::flags::ACK, to.seq, payload),
            _ => from.datagram(payload),
        });
    }
    let template = Template {
        helper: Some(helper),
        ..Template::default()
    };
    track(&packets, Some(&template), translated.then_some(public));
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
        let [source_port, destination_port] = self.ports;
        let ip = build::Ip::new(source, destination);
        build::udp(&ip, source_port, destination_port, payload)
    }
}

/// Sends packets through a fresh connection table; those of a first direction leave with the public address,
/// if there is one.
fn track(packets: &[Vec<u8>], template: Option<&Template>, public: Option<IpAddr>) {
    let mut table = Conntrack::new(Config::default());
    // What one connection may announce at a time.
    let limit: usize = template
        .and_then(|t| helper::by_name(t.helper?))
        .map_or(0, |h| h.classes.iter().map(|c| usize::from(c.max)).sum());
    for (second, bytes) in (0..).zip(packets) {
        let Ok(packet) = Packet::parse_truncated(bytes) else {
            continue;
        };
        let now = Timestamp::new(second, 0);
        let mut track = table.track(&packet, TrackHook::Prerouting, template, now);
        if track.drop.is_none() {
            let mut buffer = Buffer::new(packet, Vec::new());
            if public.is_none_or(|public| translate(&mut table, &track, &mut buffer, public)) {
                table.leave(&mut buffer, &mut track, &(), now);
                let left = buffer.packet();
                let whole = !buffer.changed() || left.is_truncated();
                assert!(whole || left.header_checksum_ok(), "a wrong checksum");
            }
        }
        table.discard(&track);
        assert!(table.len() <= packets.len());
        assert!(table.expectations().count() <= limit);
    }
}

/// Translates a packet at both ends, after setting its connection up if it is new. `false` when the packet is
/// dropped.
fn translate(
    table: &mut Conntrack,
    track: &Track,
    buffer: &mut Buffer<'_>,
    public: IpAddr,
) -> bool {
    let Some(id) = track.connection else {
        return true;
    };
    [End::Destination, End::Source].into_iter().all(|end| {
        if end == End::Source && track.fresh {
            table.nat_setup(id, &nat::Range::to(public), end);
        }
        table.nat_null(id, end);
        table.nat_packet(track, buffer, end).is_ok()
    })
}
