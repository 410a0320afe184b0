//! The line that the kernel logs of a packet (facts of kernel `nf_log_syslog.c`).

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use palisade_rules::Family;
use palisade_wire::proto;

use super::{LogEvent, LogTarget};

/// What is shown beside what always is.
#[derive(Clone, Copy)]
struct Shown {
    tcp_sequence: bool,
    tcp_options: bool,
    ip_options: bool,
    uid: bool,
    macdecode: bool,
}

impl LogEvent {
    /// The kernel's line, without level and time; of NFLOG the one that it would be by default.
    pub fn line(&self) -> String {
        let shown = match self.target {
            LogTarget::Log {
                tcp_sequence,
                tcp_options,
                ip_options,
                uid,
                macdecode,
                ..
            } => Shown {
                tcp_sequence,
                tcp_options,
                ip_options,
                uid,
                macdecode,
            },
            // Kernel `NF_LOG_DEFAULT_MASK`.
            LogTarget::Nflog { .. } => Shown {
                tcp_sequence: false,
                tcp_options: true,
                ip_options: true,
                uid: true,
                macdecode: false,
            },
        };
        let mut line = Line {
            text: String::with_capacity(256),
            event: self,
            shown,
        };
        let (came, leaves) = (self.in_interface.as_deref(), self.out_interface.as_deref());
        line.add(format_args!(
            "{}IN={} OUT={} ",
            self.prefix,
            came.unwrap_or_default(),
            leaves.unwrap_or_default()
        ));
        if came.is_some() {
            line.hardware();
        }
        match self.family {
            Family::V4 => line.v4(0),
            Family::V6 => line.v6(0),
        }
        line.text
    }
}

struct Line<'a> {
    text: String,
    event: &'a LogEvent,
    shown: Shown,
}

impl<'a> Line<'a> {
    fn add(&mut self, words: std::fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(words);
    }

    fn say(&mut self, words: &str) {
        self.text.push_str(words);
    }

    /// So many bytes from a place on.
    fn at(&self, at: usize, count: usize) -> Option<&'a [u8]> {
        self.event.bytes.get(at..at.checked_add(count)?)
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.at(at, N)?.first_chunk().copied()
    }

    fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.add(format_args!("{byte:02X}"));
        }
    }

    fn incomplete(&mut self, at: usize) {
        let left = self.event.length.saturating_sub(at);
        self.add(format_args!("INCOMPLETE [{left} bytes] "));
    }

    /// Kernel `dump_mac_header`.
    fn hardware(&mut self) {
        let colons = |bytes: &[u8]| {
            let bytes: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            bytes.join(":")
        };
        let link = &self.event.link;
        let kind: [u8; 2] = match self.event.family {
            Family::V4 => [0x08, 0x00],
            Family::V6 => [0x86, 0xdd],
        };
        // Only Ethernet's is read; the loopback interface has a header of the same form.
        let loopback = self.event.in_interface.as_deref() == Some("lo");
        let macs = link.source_mac.zip(link.destination_mac);
        match macs {
            Some((from, to)) if self.shown.macdecode && !loopback => {
                let (from, to) = (colons(&from), colons(&to));
                let kind = u16::from_be_bytes(kind);
                self.add(format_args!(
                    "MACSRC={from} MACDST={to} MACPROTO={kind:04x} "
                ));
            }
            Some((from, to)) => {
                let header = colons(&[&to[..], &from, &kind].concat());
                self.add(format_args!("MAC={header} "));
            }
            None => self.say("MAC= "),
        }
    }

    /// Kernel `dump_ipv4_packet`.
    fn v4(&mut self, at: usize) {
        let Some(header) = self.array::<20>(at) else {
            return self.say("TRUNCATED");
        };
        let word = |n: usize| u16::from_be_bytes([header[n], header[n + 1]]);
        let address =
            |n: usize| Ipv4Addr::new(header[n], header[n + 1], header[n + 2], header[n + 3]);
        let (tos, fragment) = (header[1], word(6));
        self.add(format_args!("SRC={} DST={} ", address(12), address(16)));
        self.add(format_args!(
            "LEN={} TOS=0x{:02X} PREC=0x{:02X} TTL={} ID={} ",
            word(2),
            tos & 0x1e,
            tos & 0xe0,
            header[8],
            word(4)
        ));
        for (bit, name) in [(0x8000, "CE "), (0x4000, "DF "), (0x2000, "MF ")] {
            if fragment & bit != 0 {
                self.say(name);
            }
        }
        let offset = fragment & 0x1fff;
        if offset != 0 {
            self.add(format_args!("FRAG:{offset} "));
        }
        let size = usize::from(header[0] & 15) * 4;
        if self.shown.ip_options && size > 20 {
            let Some(options) = self.at(at + 20, size - 20) else {
                return self.say("TRUNCATED");
            };
            self.say("OPT (");
            self.hex(options);
            self.say(") ");
        }
        let (behind, later) = (at + size, offset != 0);
        match header[9] {
            proto::TCP => {
                if !self.tcp(behind, later) {
                    return;
                }
            }
            protocol @ (proto::UDP | proto::UDPLITE) => {
                if !self.udp(protocol, behind, later) {
                    return;
                }
            }
            proto::ICMP => {
                self.say("PROTO=ICMP ");
                if !later {
                    self.icmp(behind, at == 0);
                }
            }
            proto::AH if later => {}
            proto::AH => {
                self.say("PROTO=AH ");
                self.spi(behind, 12, 4);
            }
            proto::ESP => {
                self.say("PROTO=ESP ");
                if !later {
                    self.spi(behind, 8, 0);
                }
            }
            other => self.add(format_args!("PROTO={other} ")),
        }
        self.end(at == 0);
    }

    /// Socket's user and mark, of the packet itself.
    fn end(&mut self, outer: bool) {
        if !outer {
            return;
        }
        if self.shown.uid
            && let Some((user, group)) = self.event.owner
        {
            self.add(format_args!("UID={user} GID={group} "));
        }
        let mark = self.event.mark;
        if mark != 0 {
            self.add(format_args!("MARK=0x{mark:x} "));
        }
    }

    /// The index of an AH or ESP header of so many bytes.
    fn spi(&mut self, at: usize, size: usize, place: usize) {
        if self.at(at, size).is_none() {
            return self.incomplete(at);
        }
        if let Some(spi) = self.array(at + place) {
            self.add(format_args!("SPI=0x{:x} ", u32::from_be_bytes(spi)));
        }
    }

    /// Kernel `nf_log_dump_tcp_header`; `false` when nothing is said behind it.
    fn tcp(&mut self, at: usize, later: bool) -> bool {
        self.say("PROTO=TCP ");
        if later {
            return true;
        }
        let Some(header) = self.array::<20>(at) else {
            self.incomplete(at);
            return false;
        };
        let word = |n: usize| u16::from_be_bytes([header[n], header[n + 1]]);
        let long = |n: usize| u32::from(word(n)) << 16 | u32::from(word(n + 2));
        self.add(format_args!("SPT={} DPT={} ", word(0), word(2)));
        if self.shown.tcp_sequence {
            self.add(format_args!("SEQ={} ACK={} ", long(4), long(8)));
        }
        self.add(format_args!("WINDOW={} ", word(14)));
        self.add(format_args!("RES=0x{:02x} ", (header[12] & RESERVED) << 2));
        for (bit, name) in [
            (0x80, "CWR "),
            (0x40, "ECE "),
            (0x20, "URG "),
            (0x10, "ACK "),
            (0x08, "PSH "),
            (0x04, "RST "),
            (0x02, "SYN "),
            (0x01, "FIN "),
        ] {
            if header[13] & bit != 0 {
                self.say(name);
            }
        }
        self.add(format_args!("URGP={} ", word(18)));
        let size = usize::from(header[12] >> 4) * 4;
        if self.shown.tcp_options && size > 20 {
            let Some(options) = self.at(at + 20, size - 20) else {
                self.say("OPT (TRUNCATED)");
                return false;
            };
            self.say("OPT (");
            self.hex(options);
            self.say(") ");
        }
        true
    }

    /// Kernel `nf_log_dump_udp_header`; `false` when nothing is said behind it.
    fn udp(&mut self, protocol: u8, at: usize, later: bool) -> bool {
        self.say(match protocol {
            proto::UDP => "PROTO=UDP ",
            _ => "PROTO=UDPLITE ",
        });
        if later {
            return true;
        }
        let Some(header) = self.array::<8>(at) else {
            self.incomplete(at);
            return false;
        };
        let word = |n: usize| u16::from_be_bytes([header[n], header[n + 1]]);
        self.add(format_args!(
            "SPT={} DPT={} LEN={} ",
            word(0),
            word(2),
            word(4)
        ));
        true
    }

    /// An ICMP message; an error's packet only in one that is no error's packet itself.
    fn icmp(&mut self, at: usize, outer: bool) {
        let Some(header) = self.array::<8>(at) else {
            return self.incomplete(at);
        };
        let [kind, code, ..] = header;
        let word = |n: usize| u16::from_be_bytes([header[n], header[n + 1]]);
        self.add(format_args!("TYPE={kind} CODE={code} "));
        let needed = match kind {
            3 | 4 | 5 | 11 | 12 => 28,
            13 | 14 => 20,
            17 | 18 => 12,
            _ => 4,
        };
        if self.event.length.saturating_sub(at) < needed {
            return self.incomplete(at);
        }
        match kind {
            0 | 8 => self.add(format_args!("ID={} SEQ={} ", word(4), word(6))),
            12 => self.add(format_args!("PARAMETER={} ", header[4])),
            3 | 4 | 5 | 11 => {
                if kind == 5 {
                    let gateway = Ipv4Addr::new(header[4], header[5], header[6], header[7]);
                    self.add(format_args!("GATEWAY={gateway} "));
                }
                if outer {
                    self.say("[");
                    self.v4(at + 8);
                    self.say("] ");
                }
                if (kind, code) == (3, 4) {
                    self.add(format_args!("MTU={} ", word(6)));
                }
            }
            _ => {}
        }
    }

    /// Kernel `dump_ipv6_packet`.
    fn v6(&mut self, at: usize) {
        let Some(header) = self.array::<40>(at) else {
            return self.say("TRUNCATED");
        };
        let address = |n: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&header[n..n + 16]);
            let groups = Ipv6Addr::from(bytes).segments();
            groups.map(|group| format!("{group:04x}")).join(":")
        };
        self.add(format_args!("SRC={} DST={} ", address(8), address(24)));
        let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let payload = u16::from_be_bytes([header[4], header[5]]);
        self.add(format_args!(
            "LEN={} TC={} HOPLIMIT={} FLOWLBL={} ",
            usize::from(payload) + 40,
            first >> 20 & 0xff,
            header[7],
            first & 0xf_ffff
        ));
        let Some((protocol, behind, later)) = self.extensions(header[6], at + 40) else {
            return;
        };
        let outer = at == 0;
        match protocol {
            proto::TCP => {
                if !self.tcp(behind, later) {
                    return;
                }
            }
            proto::UDP | proto::UDPLITE => {
                if !self.udp(protocol, behind, later) {
                    return;
                }
            }
            proto::ICMPV6 => {
                self.say("PROTO=ICMPv6 ");
                if !later && !self.icmpv6(behind, outer) {
                    return;
                }
            }
            other => self.add(format_args!("PROTO={other} ")),
        }
        self.end(outer);
    }

    /// Extension headers: the protocol behind them, where it begins, and whether this is a later fragment; `None` when
    /// nothing is said behind them.
    fn extensions(&mut self, first: u8, begin: usize) -> Option<(u8, usize, bool)> {
        let (mut current, mut at, mut later) = (first, begin, false);
        let options = self.shown.ip_options;
        // Each is eight bytes long at least, and the packet's bytes end.
        while matches!(
            current,
            proto::HOPOPTS
                | proto::ROUTING
                | proto::FRAGMENT
                | proto::ESP
                | proto::AH
                | proto::DSTOPTS
        ) {
            let Some([next, units]) = self.array::<2>(at) else {
                self.say("TRUNCATED");
                return None;
            };
            if options {
                self.say("OPT ( ");
            }
            let size = match current {
                proto::FRAGMENT => {
                    self.say("FRAG:");
                    let Some(header) = self.array::<8>(at) else {
                        self.say("TRUNCATED ");
                        return None;
                    };
                    let place = u16::from_be_bytes([header[2], header[3]]);
                    self.add(format_args!("{} ", place & 0xfff8));
                    if place & 1 != 0 {
                        self.say("INCOMPLETE ");
                    }
                    let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                    self.add(format_args!("ID:{id:08x} "));
                    later |= place & 0xfff8 != 0;
                    8
                }
                proto::AH | proto::ESP => {
                    if options && !self.secured(current, at, later) {
                        return None;
                    }
                    if current == proto::ESP {
                        return None;
                    }
                    (usize::from(units) + 2) * 4
                }
                _ => {
                    if later {
                        if options {
                            self.say(")");
                        }
                        return None;
                    }
                    (usize::from(units) + 1) * 8
                }
            };
            if options {
                self.say(") ");
            }
            (current, at) = (next, at + size);
        }
        Some((current, at, later))
    }

    /// An AH or ESP header among the options; whether anything is said behind it.
    fn secured(&mut self, protocol: u8, at: usize, later: bool) -> bool {
        let (name, size, place) = match protocol {
            proto::AH => ("AH ", 12, 4),
            _ => ("ESP ", 8, 0),
        };
        self.say(name);
        if later {
            self.say(")");
            return false;
        }
        let spi = self
            .array(at + place)
            .filter(|_| self.at(at, size).is_some());
        let Some(spi) = spi else {
            self.incomplete(at);
            self.say(")");
            return false;
        };
        self.add(format_args!("SPI=0x{:x} ", u32::from_be_bytes(spi)));
        if protocol == proto::ESP {
            self.say(")");
        }
        true
    }

    /// An ICMPv6 message; `false` when nothing is said behind it.
    fn icmpv6(&mut self, at: usize, outer: bool) -> bool {
        let Some(header) = self.array::<8>(at) else {
            self.incomplete(at);
            return false;
        };
        let [kind, code, ..] = header;
        let word = |n: usize| u16::from_be_bytes([header[n], header[n + 1]]);
        let rest = u32::from(word(4)) << 16 | u32::from(word(6));
        self.add(format_args!("TYPE={kind} CODE={code} "));
        match kind {
            128 | 129 => self.add(format_args!("ID={} SEQ={} ", word(4), word(6))),
            1..=4 => {
                if kind == 4 {
                    self.add(format_args!("POINTER={rest:08x} "));
                }
                if outer {
                    self.say("[");
                    self.v6(at + 8);
                    self.say("] ");
                }
                if kind == 2 {
                    self.add(format_args!("MTU={rest} "));
                }
            }
            _ => {}
        }
        true
    }
}

/// Bits of the thirteenth byte of a TCP header that mean nothing.
const RESERVED: u8 = 0x0f;
