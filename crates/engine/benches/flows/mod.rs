//! Connections to a host, for the benches of this crate.

use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::{build, tcp::flags};

/// The host.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A packet, and whether it leaves the host.
pub type Packet = (Vec<u8>, bool);

/// A datagram of a flow.
pub fn datagram(flow: u32, out: bool) -> Packet {
    let (client, port) = (client(flow), 1024 + (flow % 50_000) as u16);
    let bytes = match out {
        false => build::udp(&build::Ip::new(client, SERVER), port, 51_820, &[1; 22]),
        true => build::udp(&build::Ip::new(SERVER, client), 51_820, port, &[1; 22]),
    };
    (bytes, out)
}

/// A segment of a flow with `sent` bytes behind it in each direction.
pub fn segment(flow: u32, out: bool, bits: u8, sent: [u32; 2], payload: usize) -> Packet {
    let (client, port) = (client(flow), 1024 + (flow % 50_000) as u16);
    let handshake = u32::from(bits & flags::SYN == 0);
    let starts = [1_000_000 + sent[0], 4_000_000_000 + sent[1]];
    let header = |source_port, destination_port| build::Tcp {
        source_port,
        destination_port,
        seq: starts[usize::from(out)].wrapping_add(handshake),
        ack: match bits & flags::ACK {
            0 => 0,
            _ => starts[usize::from(!out)].wrapping_add(1),
        },
        flags: bits,
        window: 64_240,
        ..build::Tcp::default()
    };
    let payload = vec![1; payload];
    let bytes = match out {
        false => build::tcp(
            &build::Ip::new(client, SERVER),
            &header(port, 443),
            &payload,
        ),
        true => build::tcp(
            &build::Ip::new(SERVER, client),
            &header(443, port),
            &payload,
        ),
    };
    (bytes, out)
}

fn client(flow: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(
        0x0a00_0000 | flow.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff,
    ))
}

/// The packets that make so many connections: the first of each, its answer, and the one behind it.
pub fn opening(flows: u32, tcp: bool) -> Vec<Packet> {
    let all = 0..flows;
    let syn_ack = flags::SYN | flags::ACK;
    let first = all.clone().map(|f| match tcp {
        true => segment(f, false, flags::SYN, [0; 2], 0),
        false => datagram(f, false),
    });
    let answer = all.clone().map(|f| match tcp {
        true => segment(f, true, syn_ack, [0; 2], 0),
        false => datagram(f, true),
    });
    let third = all.map(|f| match tcp {
        true => segment(f, false, flags::ACK, [0; 2], 0),
        false => datagram(f, false),
    });
    first.chain(answer).chain(third).collect()
}
