//! Packets of flows: what a network card would have put into memory.

use std::net::{IpAddr, Ipv4Addr};

use palisade_wire::build;
use palisade_wire::tcp::flags;

use super::case::Mix;

/// The address that all packets are sent to, or come from.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Bytes of an Ethernet frame, without its checksum.
const FRAME: usize = 64;

/// Bytes of the Ethernet header, which the engine does not read.
const ETHERNET: usize = 14;

/// Bytes of a UDP payload that fill a frame.
const UDP_PAYLOAD: usize = FRAME - ETHERNET - 20 - 8;

/// Bytes of a TCP payload that fill a frame.
const TCP_PAYLOAD: usize = FRAME - ETHERNET - 20 - 20;

/// A receive buffer: one cache line for the frame, as cards place it.
#[derive(Clone)]
#[repr(align(64))]
pub struct Frame([u8; FRAME]);

impl Frame {
    /// An empty one.
    pub const EMPTY: Frame = Frame([0; FRAME]);

    /// Writes an IP packet behind the place of the Ethernet header; its bytes. What does not fit is cut off.
    pub fn put(&mut self, packet: &[u8]) -> &mut [u8] {
        let length = packet.len().min(FRAME - ETHERNET);
        let place = &mut self.0[ETHERNET..ETHERNET + length];
        place.copy_from_slice(&packet[..length]);
        place
    }

    /// The IP packet of so many bytes that was written.
    pub fn packet(&self, length: usize) -> &[u8] {
        &self.0[ETHERNET..ETHERNET + length]
    }

    /// The same, to be judged.
    pub fn packet_mut(&mut self, length: usize) -> &mut [u8] {
        &mut self.0[ETHERNET..ETHERNET + length]
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the host.
    In,
    /// From it.
    Out,
}

/// Numbers by chance, the same in every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// The numbers below `count` in some order.
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, self.below(i as u32 + 1) as usize);
        }
        order
    }
}

fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// What writes packets, one after another.
pub trait Load {
    /// The next packet, and which way it goes.
    fn next(&mut self) -> (Vec<u8>, Way);
}

impl<F: FnMut() -> (Vec<u8>, Way)> Load for F {
    fn next(&mut self) -> (Vec<u8>, Way) {
        self()
    }
}

/// Where the two ends of a TCP connection are.
#[derive(Clone, Copy, Debug)]
struct Progress {
    client: u32,
    server: u32,
    step: u8,
}

/// Flows between clients all over 10.0.0.0/8 and the server.
pub struct Flows {
    mix: Mix,
    ports: [u16; 2],
    progress: Vec<Progress>,
    count: u32,
}

/// Ports of the server for UDP and for TCP.
pub const PORTS: [u16; 2] = [51_820, 443];

impl Flows {
    /// So many flows to the server's ports for UDP and for TCP.
    pub fn new(count: u32, mix: Mix, ports: [u16; 2]) -> Self {
        let start = |i: u32| Progress {
            client: self::mix(u64::from(i)) as u32,
            server: self::mix(u64::from(i) << 32) as u32,
            step: 0,
        };
        let progress = match mix {
            Mix::Udp => Vec::new(),
            _ => (0..count).map(start).collect(),
        };
        Flows {
            mix,
            ports,
            progress,
            count,
        }
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether a flow is TCP.
    fn is_tcp(&self, flow: u32) -> bool {
        match self.mix {
            Mix::Udp => false,
            Mix::Tcp => true,
            Mix::Mixed => flow % 2 == 1,
        }
    }

    /// The first packet of a flow.
    pub fn first(&mut self, flow: u32) -> (Vec<u8>, Way) {
        if !self.is_tcp(flow) {
            return (self.datagram(flow, Way::In), Way::In);
        }
        self.segment(flow, Way::In, flags::SYN, 0)
    }

    /// The first answer of a flow.
    pub fn answer(&mut self, flow: u32) -> (Vec<u8>, Way) {
        if !self.is_tcp(flow) {
            return (self.datagram(flow, Way::Out), Way::Out);
        }
        self.segment(flow, Way::Out, flags::SYN | flags::ACK, 0)
    }

    /// The packet behind the answer, which ends a handshake.
    pub fn complete(&mut self, flow: u32) -> (Vec<u8>, Way) {
        if !self.is_tcp(flow) {
            return (self.datagram(flow, Way::In), Way::In);
        }
        self.segment(flow, Way::In, flags::ACK, 0)
    }

    /// A further packet of a flow whose handshake is done: a datagram to the server; of TCP in turn data to the
    /// server, its acknowledgement, data from the server, its acknowledgement.
    pub fn further(&mut self, flow: u32) -> (Vec<u8>, Way) {
        if !self.is_tcp(flow) {
            return (self.datagram(flow, Way::In), Way::In);
        }
        let step = &mut self.progress[flow as usize].step;
        let now = *step % 4;
        *step = (now + 1) % 4;
        match now {
            0 => self.segment(flow, Way::In, flags::PSH | flags::ACK, TCP_PAYLOAD),
            1 => self.segment(flow, Way::Out, flags::ACK, 0),
            2 => self.segment(flow, Way::Out, flags::PSH | flags::ACK, TCP_PAYLOAD),
            _ => self.segment(flow, Way::In, flags::ACK, 0),
        }
    }

    fn datagram(&self, flow: u32, way: Way) -> Vec<u8> {
        let (client, port) = client(flow);
        let payload = [flow as u8; UDP_PAYLOAD];
        match way {
            Way::In => build::udp(&ip(client, SERVER), port, self.ports[0], &payload),
            Way::Out => build::udp(&ip(SERVER, client), self.ports[0], port, &payload),
        }
    }

    fn segment(&mut self, flow: u32, way: Way, bits: u8, payload: usize) -> (Vec<u8>, Way) {
        let (client, port) = client(flow);
        let at = &mut self.progress[flow as usize];
        let (seq, ack) = match way {
            Way::In => (at.client, at.server),
            Way::Out => (at.server, at.client),
        };
        let syn = bits & flags::SYN != 0;
        let next = seq
            .wrapping_add(payload as u32)
            .wrapping_add(u32::from(syn));
        let ends = match way {
            Way::In => {
                at.client = next;
                [(client, port), (SERVER, self.ports[1])]
            }
            Way::Out => {
                at.server = next;
                [(SERVER, self.ports[1]), (client, port)]
            }
        };
        let header = build::Tcp {
            source_port: ends[0].1,
            destination_port: ends[1].1,
            seq,
            ack: if bits & flags::ACK == 0 { 0 } else { ack },
            flags: bits,
            window: 64_240,
            // Largest segment 1460; windows scaled by 7 bits.
            options: match syn {
                true => vec![2, 4, 5, 180, 1, 3, 3, 7],
                false => Vec::new(),
            },
            ..build::Tcp::default()
        };
        let payload = [flow as u8; TCP_PAYLOAD]
            .get(..payload)
            .unwrap_or_default()
            .to_vec();
        (
            build::tcp(&ip(ends[0].0, ends[1].0), &header, &payload),
            way,
        )
    }
}

/// Address and port of a client: an address of its own each, spread over the network.
fn client(flow: u32) -> (Ipv4Addr, u16) {
    let host = flow.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff;
    let port = 1024 + mix(u64::from(flow)) % 60_000;
    (Ipv4Addr::from(0x0a00_0000 | host), port as u16)
}

fn ip(source: Ipv4Addr, destination: Ipv4Addr) -> build::Ip {
    build::Ip::new(IpAddr::V4(source), IpAddr::V4(destination))
}

/// A datagram to the server from some port of an address.
pub fn datagram_from(source: Ipv4Addr, port: u16, to: u16) -> Vec<u8> {
    build::udp(&ip(source, SERVER), port, to, &[0; UDP_PAYLOAD])
}

/// A SYN with a forged source.
pub fn forged_syn(chance: &mut Chance) -> Vec<u8> {
    let n = chance.next();
    // Neither multicast nor loopback nor 0.0.0.0/8: those end before connection tracking's work.
    let source = match Ipv4Addr::from((n >> 32) as u32) {
        a if a.is_loopback() || a.octets()[0] == 0 || a.octets()[0] >= 224 => {
            Ipv4Addr::from(0x2d00_0000 | u32::from(a) & 0x00ff_ffff)
        }
        a => a,
    };
    let header = build::Tcp {
        source_port: 1024 | (n as u16),
        destination_port: PORTS[1],
        seq: chance.next() as u32,
        flags: flags::SYN,
        window: 64_240,
        options: vec![2, 4, 5, 180, 1, 3, 3, 7],
        ..build::Tcp::default()
    };
    build::tcp(&ip(source, SERVER), &header, &[])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use palisade_wire::Packet;

    use super::*;

    #[test]
    fn packets_fill_a_frame_and_are_whole() {
        for mix in [Mix::Udp, Mix::Tcp, Mix::Mixed] {
            let mut flows = Flows::new(4, mix, PORTS);
            for flow in 0..4 {
                let mut packets = vec![flows.first(flow), flows.answer(flow), flows.complete(flow)];
                packets.extend((0..8).map(|_| flows.further(flow)));
                for (bytes, way) in packets {
                    let mut frame = Frame::EMPTY;
                    let bytes = frame.put(&bytes);
                    let packet = Packet::parse(bytes).expect("a packet");
                    assert_eq!(packet.declared_len(), bytes.len());
                    assert!(packet.header_checksum_ok());
                    assert!(packet.transport_checksum_ok(packet.protocol()));
                    let local = match way {
                        Way::In => packet.destination(),
                        Way::Out => packet.source(),
                    };
                    assert_eq!(local, IpAddr::V4(SERVER));
                }
            }
        }
    }

    #[test]
    fn clients_have_an_address_each() {
        let clients: HashSet<_> = (0..100_000).map(|flow| client(flow).0).collect();
        assert_eq!(clients.len(), 100_000);
    }

    #[test]
    fn a_permutation_has_every_number_once() {
        let mut order = Chance::new(1).permutation(1000);
        assert!(order.windows(2).any(|w| w[0] > w[1]));
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..1000));
    }
}
