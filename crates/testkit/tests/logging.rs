//! The lines of LOG, byte by byte as the kernel writes them: the same packets over the loopback interface of a namespace
//! and through the engine.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    socket,
};
use palisade_engine::rules::{Family, parse};
use palisade_engine::{Engine, Input, LinkInfo, Owner, Route, Setup};
use palisade_testkit::real::{apart, asked};
use palisade_wire::{build, proto, tcp::flags};

/// The setting without which a namespace's packets are not logged; it is the whole machine's.
const ALLOWED: &str = "/proc/sys/net/netfilter/nf_log_all_netns";

/// The last packet, by its source port.
const LAST: u16 = 64_999;

/// Rules; `@` stands for the beginning of every prefix.
const RULES: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A PREROUTING -j LOG --log-prefix \"@a \"\n\
    -A PREROUTING -j LOG --log-prefix \"@b \" --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid\n\
    -A PREROUTING -j LOG --log-prefix \"@c \" --log-macdecode\n\
    -A OUTPUT -j LOG --log-prefix \"@d \" --log-level debug\n\
    -A OUTPUT -j LOG --log-prefix \"@e \" --log-ip-options --log-uid\nCOMMIT\n\
    *mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    :POSTROUTING ACCEPT [0:0]\n-A OUTPUT -j MARK --set-mark 0x1f\n-A OUTPUT -j LOG --log-prefix \"@f \"\nCOMMIT\n";

fn ip(family: Family) -> build::Ip {
    let own: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let mut ip = build::Ip::new(own, own);
    ip.id = 4711;
    ip
}

/// Packets of all kinds that a line speaks of.
fn packets(family: Family) -> Vec<Vec<u8>> {
    let plain = ip(family);
    let v4 = family == Family::V4;
    let mut all = Vec::new();
    for bits in [flags::SYN, flags::ACK | flags::PSH | flags::URG, 0xff, 0] {
        let header = build::Tcp {
            source_port: 40_000,
            destination_port: 80,
            seq: 4_000_000_000,
            ack: 77,
            flags: bits,
            window: 64_240,
            urgent: 9,
            options: if bits == 0 {
                vec![]
            } else {
                vec![2, 4, 5, 180, 1, 1, 4, 2]
            },
        };
        all.push(build::tcp(&plain, &header, b"data"));
    }
    let mut odd = all[0].clone();
    let at = if v4 { 20 } else { 40 } + 12;
    odd[at] |= 0x0e;
    all.push(odd);
    all.push(build::udp(&plain, 1000, 9, b"data"));
    all.push(build::raw(
        &plain,
        proto::UDPLITE,
        &[3, 232, 0, 9, 0, 8, 1, 1],
    ));
    all.push(build::raw(&plain, proto::UDP, &[1, 2, 3]));
    all.push(build::raw(&plain, proto::TCP, &[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    all.push(build::raw(&plain, proto::ESP, &[1, 2, 3, 4, 0, 0, 0, 1]));
    all.push(build::raw(&plain, proto::ESP, &[1, 2]));
    all.push(build::raw(
        &plain,
        proto::AH,
        &[59, 1, 0, 0, 0xa, 2, 3, 4, 0, 0, 0, 1],
    ));
    all.push(build::raw(&plain, proto::GRE, &[0, 0, 8, 0]));
    all.push(build::raw(&plain, 99, b"what"));
    all.push(build::sctp(&plain, 1, 2, 3, &[0, 0, 0, 4]));
    let mut other = plain.clone();
    (other.tos, other.ttl) = (0xb9, 1);
    other.dont_fragment = true;
    all.push(build::udp(&other, 1001, 9, b""));
    for part in build::fragments(&build::udp(&plain, 1002, 9, &[5; 64]), 40, 99) {
        all.push(part);
    }
    let quoted = build::udp(&plain, 7, 8, b"quoted");
    let echo = build::icmp(&plain, if v4 { 8 } else { 128 }, 0, [1, 2, 3, 4], b"ping");
    let segment = build::tcp(&plain, &build::Tcp::default(), b"");
    let kinds: &[(u8, u8)] = if v4 {
        &[(3, 1), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0)]
    } else {
        &[(1, 4), (2, 0), (3, 0), (4, 1)]
    };
    for (kind, code) in kinds {
        for quote in [
            &quoted[..],
            &echo,
            &segment,
            &quoted[..quoted.len() - 12],
            &quoted[..10],
        ] {
            all.push(build::icmp(&plain, *kind, *code, [10, 0, 5, 220], quote));
        }
    }
    // An error about an error.
    let error = build::icmp(&plain, if v4 { 3 } else { 1 }, 1, [0; 4], &quoted);
    all.push(build::icmp(
        &plain,
        if v4 { 3 } else { 1 },
        1,
        [0; 4],
        &error,
    ));
    let queries: &[u8] = if v4 {
        &[0, 8, 13, 17, 9, 42]
    } else {
        &[128, 129, 130, 134, 200]
    };
    for kind in queries {
        all.push(build::icmp(&plain, *kind, 0, [1, 2, 3, 4], b"12"));
    }
    all.push(build::raw(
        &plain,
        if v4 { proto::ICMP } else { proto::ICMPV6 },
        &[8, 0, 1],
    ));
    if v4 {
        let mut options = plain.clone();
        options.options = vec![1, 1, 1, 0];
        all.push(build::udp(&options, 1003, 9, b""));
    } else {
        for extensions in [
            vec![(proto::HOPOPTS, vec![0, 0, 1, 4, 0, 0, 0, 0])],
            vec![(proto::DSTOPTS, vec![0, 0, 1, 4, 0, 0, 0, 0])],
            vec![(proto::AH, vec![0, 1, 0, 0, 0xa, 2, 3, 4, 0, 0, 0, 1])],
            vec![
                (proto::HOPOPTS, vec![0, 0, 1, 4, 0, 0, 0, 0]),
                (proto::ESP, vec![1, 2, 3, 4, 5, 6, 7, 8]),
            ],
        ] {
            let mut extended = plain.clone();
            extended.extensions = extensions;
            all.push(build::udp(&extended, 1004, 9, b""));
        }
    }
    all.push(build::udp(&plain, LAST, 9, b"last"));
    all
}

fn rules(beginning: &str) -> String {
    RULES.replace('@', beginning)
}

/// Sends packets, and reads what the kernel says of them.
fn kernel(family: Family, beginning: &str, mut log: File) -> Vec<String> {
    let run = |program: &str, arguments: &[&str], input: &str| {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn();
        let mut child = child.expect("the program");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        assert!(child.wait().expect("its end").success(), "{program}");
    };
    run("ip", &["link", "set", "lo", "up"], "");
    let (program, kind) = match family {
        Family::V4 => ("iptables-legacy-restore", AddressFamily::Inet),
        Family::V6 => ("ip6tables-legacy-restore", AddressFamily::Inet6),
    };
    run(program, &[], &rules(beginning));
    let raw = socket(kind, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).expect("a socket");
    for bytes in packets(family) {
        let sent = match family {
            Family::V4 => {
                let to = SockaddrIn::new(127, 0, 0, 1, 0);
                sendto(raw.as_raw_fd(), &bytes, &to, MsgFlags::empty())
            }
            Family::V6 => {
                let to = std::net::SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0);
                sendto(
                    raw.as_raw_fd(),
                    &bytes,
                    &SockaddrIn6::from(to),
                    MsgFlags::empty(),
                )
            }
        };
        sent.unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
    }
    let mut lines = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    let last = format!("{beginning}c ");
    let ended = |line: &String| line.starts_with(&last) && line.contains(&format!("SPT={LAST} "));
    while !lines.iter().any(ended) {
        assert!(
            Instant::now() < deadline,
            "the last line does not come: {lines:#?}"
        );
        let mut record = [0; 8192];
        match log.read(&mut record) {
            Ok(size) => {
                let record = String::from_utf8_lossy(&record[..size]);
                let text = record.split_once(';').map_or("", |(_, text)| text);
                let line = text.lines().next().unwrap_or_default();
                if line.starts_with(beginning) {
                    lines.push(line.to_owned());
                }
            }
            // Records that were overwritten before they were read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("the kernel's log: {error}"),
        }
    }
    lines
}

/// What the engine says of them.
fn engine(family: Family, beginning: &str) -> Vec<String> {
    let parsed = parse::auto(&rules(beginning), family);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let mut engine = Engine::new(Setup {
        rules4: parsed.v4,
        rules6: parsed.v6,
        ..Setup::default()
    })
    .expect("an engine");
    engine.set_logging(true);
    let mut lines = Vec::new();
    for bytes in packets(family) {
        let input = Input {
            route: Route::Out("lo".into()),
            link: LinkInfo {
                source_mac: Some([0; 6]),
                destination_mac: Some([0; 6]),
                packet_type: None,
            },
            owner: Some(Owner::default()),
            ..Input::new(&bytes)
        };
        engine.process(&input, &mut ());
        let taken = engine.take_logs();
        assert_eq!(taken.lost, 0);
        lines.extend(taken.events.iter().map(|event| event.line()));
    }
    lines
}

/// Sets the machine's switch back when it goes.
struct Allowed(String);

impl Allowed {
    fn new() -> Self {
        let before = std::fs::read_to_string(ALLOWED).expect("the setting");
        std::fs::write(ALLOWED, "1").expect("the setting");
        Allowed(before)
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        let _ = std::fs::write(ALLOWED, self.0.trim());
    }
}

#[test]
fn every_line_is_the_kernels() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let _allowed = Allowed::new();
    for family in [Family::V4, Family::V6] {
        let beginning = format!(
            "plg{}{}",
            std::process::id(),
            if family == Family::V4 { 4 } else { 6 }
        );
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg");
        let mut log = open.expect("the kernel's log");
        log.seek(SeekFrom::End(0)).expect("its end");
        let theirs = apart(|| kernel(family, &beginning, log));
        // Answers to some of the packets are logged in between, and are another matter.
        let ours = engine(family, &beginning);
        let mut rest = theirs.iter();
        for line in &ours {
            let found = rest.clone().position(|theirs| theirs == line);
            let next: Vec<_> = rest.clone().take(3).collect();
            let Some(at) = found else {
                panic!("{line:?}\nis not what the kernel says:\n{next:#?}");
            };
            rest.nth(at);
        }
        assert!(ours.len() > 150, "{}", ours.len());
    }
}
