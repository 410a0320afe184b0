//! The packet that a connection's ends may send next.

use palisade_wire::tcp::flags;
use palisade_wire::{build, proto};

use crate::connection::{Connection, ProtoState};
use crate::proto::tcp::{TcpConnection, TcpState};
use crate::tuple::{Direction, TupleProto};

/// GRE without a key, with the four bytes more that translation wants to see, and PPTP's as far as its lengths.
const GRE: [u8; 8] = [0, 0, 0x08, 0, 0, 0, 0, 0];
const PPTP: [u8; 6] = [0x30, 0x01, 0x88, 0x0b, 0, 0];

/// A verification tag does not change how a DATA chunk moves an association.
const SCTP_DATA: [u8; 20] = [
    0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'.', 0, 0, 0,
];

impl Connection {
    /// A packet that may come next in a direction: right in addresses, ports and keys, and what tracking would take as the
    /// connection's next one in its present state; without payload where that is possible. How it leaves is another
    /// matter, if it is translated.
    pub fn next_packet(&self, direction: Direction) -> Vec<u8> {
        let tuple = self.tuple(direction);
        let ip = build::Ip::new(tuple.source, tuple.destination);
        match (tuple.proto, self.proto()) {
            (
                TupleProto::Ports {
                    source,
                    destination,
                },
                ProtoState::Tcp(tcp),
            ) => {
                let header = build::Tcp {
                    source_port: source,
                    destination_port: destination,
                    ..segment(&tcp, direction)
                };
                build::tcp(&ip, &header, b"")
            }
            (
                TupleProto::Ports {
                    source,
                    destination,
                },
                ProtoState::Sctp(association),
            ) => {
                let tag = association.tags[direction.index()];
                build::sctp(&ip, source, destination, tag, &SCTP_DATA)
            }
            (
                TupleProto::Ports {
                    source,
                    destination,
                },
                _,
            ) if tuple.protocol == proto::UDPLITE => {
                let [a, b] = source.to_be_bytes();
                let [c, d] = destination.to_be_bytes();
                build::raw(&ip, proto::UDPLITE, &[a, b, c, d, 0, 8, 0xff, 0xff])
            }
            (
                TupleProto::Ports {
                    source,
                    destination,
                },
                _,
            ) => build::udp(&ip, source, destination, b""),
            (TupleProto::Icmp { id, kind, code }, _) => {
                let [a, b] = id.to_be_bytes();
                build::icmp(&ip, kind, code, [a, b, 0, 1], b"")
            }
            (
                TupleProto::Gre {
                    source: 0,
                    destination: 0,
                },
                _,
            ) => build::raw(&ip, proto::GRE, &GRE),
            (TupleProto::Gre { destination, .. }, _) => {
                let mut header = PPTP.to_vec();
                header.extend(destination.to_be_bytes());
                header.extend([0; 4]);
                build::raw(&ip, proto::GRE, &header)
            }
            (TupleProto::Generic, _) => build::raw(&ip, tuple.protocol, &[0; 8]),
        }
    }
}

/// Flags and numbers of the segment: before an answer to the SYN the SYN again, or the answer to it; else an
/// acknowledgement of everything.
fn segment(tcp: &TcpConnection, direction: Direction) -> build::Tcp {
    let own = &tcp.peers[direction.index()];
    let other = &tcp.peers[direction.opposite().index()];
    let opening = matches!(
        tcp.state,
        TcpState::None | TcpState::SynSent | TcpState::SynSent2
    );
    let (flags, seq, ack) = match (opening, direction) {
        (true, Direction::Original) => (flags::SYN, own.end.0.wrapping_sub(1), 0),
        (true, Direction::Reply) => (flags::SYN | flags::ACK, own.end.0, other.end.0),
        // The SYN's sender acknowledges the answer, or the answer comes again.
        (false, Direction::Reply) if tcp.state == TcpState::SynRecv => (
            flags::SYN | flags::ACK,
            own.end.0.wrapping_sub(1),
            other.end.0,
        ),
        (false, _) => (flags::ACK, own.end.0, other.end.0),
    };
    build::Tcp {
        seq,
        ack,
        flags,
        window: 1024,
        ..build::Tcp::default()
    }
}
