//! A conversation through a table, for tests of helpers: packets come, are tracked, translated and
//! leave, as the engine lets them.

use std::net::IpAddr;

use palisade_wire::translate::End;
use palisade_wire::{Buffer, Packet, Timestamp, build, proto, tcp::flags};

use super::Surroundings;
use crate::config::Config;
use crate::nat::Range;
use crate::table::Conntrack;
use crate::track::{Template, TrackHook};
use crate::tuple::{Direction, TupleProto};
use crate::{State, print};

/// The client, in front of the translation.
pub(crate) const CLIENT: &str = "10.0.0.2";
/// The server.
pub(crate) const SERVER: &str = "192.0.2.1";
/// What the client's address becomes in a translated session.
pub(crate) const PUBLIC: &str = "198.51.100.1";

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// State.
    pub(crate) state: State,
    /// Why it was dropped, if it was.
    pub(crate) dropped: Option<String>,
    /// The announcing bytes, if it announced anything.
    pub(crate) announced: Option<String>,
    /// Its bytes as they left.
    pub(crate) bytes: Vec<u8>,
}

impl Said {
    /// The payload as it left, as text.
    pub(crate) fn text(&self) -> String {
        let packet = Packet::parse(&self.bytes).expect("what leaves is a packet");
        assert!(packet.header_checksum_ok() && packet.transport_checksum_ok(packet.protocol()));
        let buffer = Buffer::new(packet, Vec::new());
        let at = buffer.payload_offset().expect("TCP or UDP");
        String::from_utf8_lossy(&self.bytes[at..]).into_owned()
    }
}

/// A conversation between [`CLIENT`] and [`SERVER`].
pub(crate) struct Session {
    pub(crate) table: Conntrack,
    helper: &'static str,
    protocol: u8,
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    translated: bool,
    seq: [u32; 2],
    seconds: u64,
}

impl Session {
    /// A session whose first packets (TCP: the handshake) have passed. `translated`: the client's address is
    /// translated to [`PUBLIC`].
    pub(crate) fn new(helper: &'static str, protocol: u8, port: u16, translated: bool) -> Self {
        Session::with(helper, protocol, port, translated, Config::default())
    }

    pub(crate) fn with(
        helper: &'static str,
        protocol: u8,
        port: u16,
        translated: bool,
        config: Config,
    ) -> Self {
        let mut session = Session {
            table: Conntrack::new(config),
            helper,
            protocol,
            client: (CLIENT.parse().unwrap(), 40_000),
            server: (SERVER.parse().unwrap(), port),
            translated,
            seq: [1000, 9000],
            seconds: 1000,
        };
        session.begin();
        session
    }

    fn begin(&mut self) {
        if self.protocol != proto::TCP {
            return;
        }
        let syn = flags::SYN;
        for (direction, bits) in [
            (Direction::Original, syn),
            (Direction::Reply, syn | flags::ACK),
            (Direction::Original, flags::ACK),
        ] {
            self.segment(direction, bits, b"");
        }
    }

    /// The same client opens another connection, of which all that follows is said.
    pub(crate) fn another(&mut self, port: u16) {
        self.client.1 = port;
        self.seq = [1000, 9000];
        self.begin();
    }

    /// One side says something, in one packet; the other side's acknowledgement follows unseen.
    pub(crate) fn say(&mut self, direction: Direction, payload: &[u8]) -> Said {
        match self.protocol {
            proto::TCP => self.segment(direction, flags::PSH | flags::ACK, payload),
            _ => {
                let (from, to) = self.ends(direction);
                let ip = build::Ip::new(from.0, to.0);
                let bytes = build::udp(&ip, from.1, to.1, payload);
                self.pass(&bytes, Some(self.helper))
            }
        }
    }

    fn segment(&mut self, direction: Direction, bits: u8, payload: &[u8]) -> Said {
        let (from, to) = self.ends(direction);
        let (own, other) = (direction.index(), direction.opposite().index());
        // The side that hears shifted numbers answers with shifted ones: the table keeps them apart.
        let heard = self
            .table
            .connections()
            .next()
            .and_then(|c| c.rare().shifts.map(|s| s[other].after))
            .unwrap_or(0);
        let header = build::Tcp {
            source_port: from.1,
            destination_port: to.1,
            seq: self.seq[own],
            ack: if bits & flags::ACK == 0 {
                0
            } else {
                self.seq[other].wrapping_add(heard as u32)
            },
            flags: bits,
            window: 64_240,
            ..build::Tcp::default()
        };
        let bytes = build::tcp(&build::Ip::new(from.0, to.0), &header, payload);
        let said = self.pass(&bytes, Some(self.helper));
        let counted = payload.len() as u32 + u32::from(bits & flags::SYN != 0);
        self.seq[own] = self.seq[own].wrapping_add(counted);
        said
    }

    /// Ends as a packet of a direction carries them when it arrives.
    fn ends(&self, direction: Direction) -> ((IpAddr, u16), (IpAddr, u16)) {
        if direction == Direction::Original {
            return (self.client, self.server);
        }
        let reply = self
            .table
            .connections()
            .find(|c| {
                c.tuple(Direction::Original).source == self.client.0
                    && c.tuple(Direction::Original).destination == self.server.0
                    && c.tuple(Direction::Original).source_port() == Some(self.client.1)
            })
            .map(|c| c.tuple(Direction::Reply));
        match reply.map(|r| (r.source, r.destination, r.proto)) {
            Some((
                source,
                destination,
                TupleProto::Ports {
                    source: from,
                    destination: to,
                },
            )) => ((source, from), (destination, to)),
            _ => (self.server, self.client),
        }
    }

    /// Any packet comes; new connections get no helper.
    pub(crate) fn comes(&mut self, bytes: &[u8]) -> Said {
        self.pass(bytes, None)
    }

    /// The first packet of another connection comes.
    pub(crate) fn opens(&mut self, protocol: u8, from: (&str, u16), to: (&str, u16)) -> Said {
        let ip = build::Ip::new(from.0.parse().unwrap(), to.0.parse().unwrap());
        let bytes = match protocol {
            proto::TCP => {
                let header = build::Tcp {
                    source_port: from.1,
                    destination_port: to.1,
                    seq: 77,
                    flags: flags::SYN,
                    window: 1000,
                    ..build::Tcp::default()
                };
                build::tcp(&ip, &header, b"")
            }
            _ => build::udp(&ip, from.1, to.1, b"x"),
        };
        self.comes(&bytes)
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.seconds += seconds;
    }

    /// Expectations as they are printed, oldest first.
    pub(crate) fn expectations(&self) -> Vec<String> {
        let now = Timestamp::new(self.seconds, 0);
        self.table
            .expectations()
            .map(|e| print::expectation(e, now))
            .collect()
    }

    fn pass(&mut self, bytes: &[u8], helper: Option<&'static str>) -> Said {
        self.pass_in(bytes, helper, &())
    }

    /// A packet comes, is tracked, translated if the session is, and leaves.
    pub(crate) fn pass_in(
        &mut self,
        bytes: &[u8],
        helper: Option<&'static str>,
        surroundings: &dyn Surroundings,
    ) -> Said {
        let now = Timestamp::new(self.seconds, 0);
        let packet = Packet::parse(bytes).unwrap();
        let template = Template {
            helper,
            ..Template::default()
        };
        let mut track = self
            .table
            .track(&packet, TrackHook::Prerouting, Some(&template), now);
        let mut buffer = Buffer::new(packet, Vec::new());
        if self.translated
            && let Some(id) = track.connection
        {
            if track.fresh {
                self.table.nat_null(id, End::Destination);
            }
            let fault = self.table.nat_packet(&track, &mut buffer, End::Destination);
            assert_eq!(fault, Ok(()));
            if track.fresh {
                if buffer.packet().source() == self.client.0 {
                    let range = Range::to(PUBLIC.parse().unwrap());
                    self.table.nat_setup(id, &range, End::Source);
                }
                self.table.nat_null(id, End::Source);
            }
            let fault = self.table.nat_packet(&track, &mut buffer, End::Source);
            assert_eq!(fault, Ok(()));
        }
        let left = self.table.leave(&mut buffer, &mut track, surroundings, now);
        self.table.discard(&track);
        Said {
            state: track.state,
            dropped: left.drop.map(|d| d.to_string()),
            announced: left.announced.map(|a| a.text),
            bytes: buffer.bytes().to_vec(),
        }
    }
}
