//! Makes a large capture for measuring: web traffic, DNS, some scans. The same packets for the same count.
//!
//! `cargo run --release -p palisade-capture --example make-capture -- 1000000 big.pcap`

use std::fs::File;
use std::io::{self, BufWriter};

use palisade_capture::pcap::Writer;
use palisade_wire::{Timestamp, build, link::LinkType, tcp::flags};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(count), Some(path)) = (
        arguments.next().and_then(|n| n.parse::<u64>().ok()),
        arguments.next(),
    ) else {
        eprintln!("usage: make-capture COUNT FILE");
        std::process::exit(2);
    };
    let mut writer = Writer::new(BufWriter::new(File::create(path)?), LinkType::Raw)?;
    let mut written = 0;
    let mut flow = 0u32;
    while written < count {
        for packet in conversation(flow) {
            if written == count {
                break;
            }
            writer.write(Timestamp(written * 2_000), &packet, packet.len())?;
            written += 1;
        }
        flow += 1;
    }
    writer.finish().map(|_| ())
}

/// One visit: handshake, ten data segments each way with their acknowledgements, goodbye; now and
/// then a name look-up or a probe of a closed port.
fn conversation(flow: u32) -> Vec<Vec<u8>> {
    let server = [192, 0, 2, 1].into();
    let [_, a, b, c] = flow.to_be_bytes();
    let client = [10, a, b, c].into();
    let from = build::Ip::new(client, server);
    let back = build::Ip::new(server, client);
    let port = 1024 + (flow % 60_000) as u16;
    if flow % 16 == 7 {
        return vec![
            build::udp(&from, port, 53, b"a question"),
            build::udp(&back, 53, port, b"an answer"),
        ];
    }
    let segment = |ip: &build::Ip, seq, ack, bits, payload: &[u8]| {
        let out = ip.source == client;
        build::tcp(
            ip,
            &build::Tcp {
                source_port: if out { port } else { 80 },
                destination_port: if out { 80 } else { port },
                seq,
                ack,
                flags: bits,
                window: 64_000,
                ..build::Tcp::default()
            },
            payload,
        )
    };
    if flow % 16 == 11 {
        return vec![build::tcp(
            &from,
            &build::Tcp {
                source_port: port,
                destination_port: 23,
                flags: flags::SYN,
                window: 1024,
                ..build::Tcp::default()
            },
            b"",
        )];
    }
    let mut packets = vec![
        segment(&from, 1000, 0, flags::SYN, b""),
        segment(&back, 5000, 1001, flags::SYN | flags::ACK, b""),
        segment(&from, 1001, 5001, flags::ACK, b""),
    ];
    let (mut up, mut down) = (1001, 5001);
    for _ in 0..10 {
        packets.push(segment(
            &from,
            up,
            down,
            flags::PSH | flags::ACK,
            &[b'q'; 100],
        ));
        up += 100;
        packets.push(segment(
            &back,
            down,
            up,
            flags::PSH | flags::ACK,
            &[b'a'; 500],
        ));
        down += 500;
        packets.push(segment(&from, up, down, flags::ACK, b""));
    }
    packets.push(segment(&from, up, down, flags::FIN | flags::ACK, b""));
    packets.push(segment(&back, down, up + 1, flags::FIN | flags::ACK, b""));
    packets.push(segment(&from, up + 1, down + 1, flags::ACK, b""));
    packets
}
