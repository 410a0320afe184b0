//! `palisade run --router` and `--host`: sockets of real programs on the kernel's own routes.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use palisade_rules::Family;
use palisade_testkit::live::enforce::{By, Rules, enforce};
use palisade_testkit::live::net::{Machine, Net, Shape};
use palisade_testkit::real::asked;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How long something that has to come may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing has to come before it is believed that nothing will.
const SILENCE: Duration = Duration::from_millis(400);

/// What a rule set says in both families.
struct Firewall {
    net: Net,
    palisade: Option<Child>,
}

impl Firewall {
    /// Three machines, with rules on the middle one; `None` where there is no kernel to ask.
    fn with(arguments: &[&str], v4: &'static str, v6: &'static str) -> Option<Self> {
        let net = asked("THE KERNEL WAS").then(|| Net::new(Shape::Routed).unwrap())?;
        let mut firewall = Firewall {
            net,
            palisade: None,
        };
        firewall.start(arguments, v4, v6).unwrap();
        Some(firewall)
    }

    fn start(
        &mut self,
        arguments: &[&str],
        v4: &'static str,
        v6: &'static str,
    ) -> anyhow::Result<()> {
        let by = By::Palisade(arguments.iter().map(|a| (*a).to_owned()).collect());
        let rules = Rules {
            name: "rules",
            v4,
            v6,
        };
        let palisade = Path::new(env!("CARGO_BIN_EXE_palisade"));
        self.palisade = enforce(&self.net, &by, &rules, palisade)?;
        Ok(())
    }

    /// Ends palisade by a signal and waits for its end.
    fn end(&mut self, signal: Signal) {
        let mut child = self.palisade.take().expect("a palisade");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, signal).unwrap();
        child.wait().unwrap();
    }

    fn address(&self, machine: Machine, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.net.address(machine, family), port)
    }

    /// What a machine tries.
    fn on<T: Send>(&self, machine: Machine, work: impl FnOnce() -> T + Send) -> T {
        self.net.within(machine, work).unwrap()
    }

    /// A server that sends back what it gets, one connection after the other, until the test ends.
    fn serve_tcp(&self, machine: Machine, port: u16) {
        for any in ["0.0.0.0", "::"] {
            let address = SocketAddr::new(any.parse().unwrap(), port);
            let listener = self.on(machine, || only(address));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    std::thread::spawn(move || echo(stream));
                }
            });
        }
    }

    /// Likewise of datagrams.
    fn serve_udp(&self, machine: Machine, address: IpAddr, port: u16) {
        let socket = self.on(machine, || UdpSocket::bind((address, port)).unwrap());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
    }

    /// A connection from a machine.
    fn connect(&self, from: Machine, to: SocketAddr) -> Result<TcpStream, ErrorKind> {
        self.on(from, || {
            TcpStream::connect_timeout(&to, SILENCE).map_err(|e| e.kind())
        })
    }

    /// A datagram and its answer, which has to come from where it was sent.
    fn ask(&self, from: Machine, to: SocketAddr, data: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        let any: IpAddr = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
        let socket = self.on(from, || UdpSocket::bind((any, 0)).unwrap());
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = vec![0; 65_536];
        let sent = socket.send(data).map_err(|e| e.kind());
        sent?;
        let length = socket.recv(&mut buffer).map_err(|e| e.kind())?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// The tables of nf_tables on the firewall.
    fn tables(&self) -> String {
        let output = self
            .net
            .command(Machine::Firewall, "nft")
            .args(["list", "tables"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A listener of one family only.
fn only(address: SocketAddr) -> TcpListener {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket,
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true).unwrap();
    }
    setsockopt(&fd, sockopt::ReuseAddr, &true).unwrap();
    let to = SockaddrStorage::from(address);
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &to).unwrap();
    listen(&fd, Backlog::new(16).unwrap()).unwrap();
    TcpListener::from(fd)
}

fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Sends so many bytes over a connection to an echo server, and compares what comes back.
fn transfer(stream: &TcpStream, bytes: usize) {
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let all: Vec<u8> = (0..bytes).map(byte).collect();
            (&*stream).write_all(&all).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::with_capacity(bytes);
        (&*stream).read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), bytes);
        assert!(got.iter().enumerate().all(|(at, b)| *b == byte(at)));
    });
}

const ACCEPT: &str = "*filter\nCOMMIT\n";

const VERDICTS4: &str = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
    -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A FORWARD -p tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT\n\
    -A FORWARD -p udp --dport 53 -j ACCEPT\n\
    -A FORWARD -p tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
    -A FORWARD -p tcp --dport 82 -j REJECT --reject-with icmp-host-prohibited\n\
    -A FORWARD -p udp --dport 54 -j REJECT\n\
    -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A INPUT -p tcp --dport 80 -j ACCEPT\n\
    -A INPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
    -A OUTPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
    -A OUTPUT -p tcp --dport 80 -m owner --uid-owner 12345 -j REJECT --reject-with tcp-reset\nCOMMIT\n";

const VERDICTS6: &str = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
    -A INPUT -p ipv6-icmp -j ACCEPT\n\
    -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A FORWARD -p tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT\n\
    -A FORWARD -p udp --dport 53 -j ACCEPT\n\
    -A FORWARD -p tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
    -A FORWARD -p tcp --dport 82 -j REJECT --reject-with icmp6-adm-prohibited\n\
    -A FORWARD -p udp --dport 54 -j REJECT\n\
    -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A INPUT -p tcp --dport 80 -j ACCEPT\n\
    -A INPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset\n\
    -A OUTPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset\nCOMMIT\n";

#[test]
fn what_is_forwarded_passes_is_refused_or_vanishes_as_rules_say() {
    let Some(firewall) = Firewall::with(&["--router"], VERDICTS4, VERDICTS6) else {
        return;
    };
    firewall.serve_tcp(Machine::Server, 80);
    for family in FAMILIES {
        let server = |port| firewall.address(Machine::Server, family, port);
        let own = firewall.net.address(Machine::Server, family);
        for port in [53, 54, 55] {
            firewall.serve_udp(Machine::Server, own, port);
        }
        let stream = firewall.connect(Machine::Client, server(80)).unwrap();
        transfer(&stream, 10_000);
        for (port, refused) in [
            (81, ErrorKind::ConnectionRefused),
            (82, unreachable(family)),
            (83, ErrorKind::TimedOut),
        ] {
            let got = firewall.connect(Machine::Client, server(port)).map(|_| ());
            assert_eq!(got, Err(refused), "{family:?} tcp {port}");
        }
        let asked = |port| firewall.ask(Machine::Client, server(port), b"question");
        assert_eq!(asked(53).as_deref(), Ok(&b"question"[..]));
        assert_eq!(asked(54), Err(ErrorKind::ConnectionRefused));
        assert_eq!(asked(55), Err(ErrorKind::WouldBlock));
        // In fragments.
        let large: Vec<u8> = (0..9000u32).map(|n| n as u8).collect();
        let answer = firewall.ask(Machine::Client, server(53), &large);
        assert_eq!(answer.as_ref(), Ok(&large), "{family:?}");
        let answer = firewall.ask(Machine::Client, server(54), &large);
        assert_eq!(answer, Err(ErrorKind::ConnectionRefused), "{family:?}");
    }
    let kept = firewall.on(Machine::Firewall, || {
        std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")
    });
    // Without connection tracking in the kernel there is no such file.
    assert!(kept.as_deref().unwrap_or("0").trim() == "0", "{kept:?}");
}

/// What `connect` says of a host that is prohibited: the kernel turns the answers into these.
fn unreachable(family: Family) -> ErrorKind {
    match family {
        Family::V4 => ErrorKind::HostUnreachable,
        Family::V6 => ErrorKind::PermissionDenied,
    }
}

#[test]
fn what_is_for_the_host_and_from_it_meets_input_and_output() {
    for mode in ["--router", "--host"] {
        let Some(firewall) = Firewall::with(&[mode], VERDICTS4, VERDICTS6) else {
            return;
        };
        firewall.serve_tcp(Machine::Firewall, 80);
        firewall.serve_tcp(Machine::Client, 80);
        for family in FAMILIES {
            let here = |port| firewall.address(Machine::Firewall, family, port);
            let there = |port| firewall.address(Machine::Client, family, port);
            transfer(&firewall.connect(Machine::Client, here(80)).unwrap(), 1000);
            for (from, to, refused) in [
                (Machine::Client, here(81), ErrorKind::ConnectionRefused),
                (Machine::Client, here(82), ErrorKind::TimedOut),
                (Machine::Firewall, there(81), ErrorKind::ConnectionRefused),
            ] {
                let got = firewall.connect(from, to).map(|_| ());
                assert_eq!(got, Err(refused), "{mode} {to}");
            }
            transfer(
                &firewall.connect(Machine::Firewall, there(80)).unwrap(),
                1000,
            );
        }
    }
}

const NAT4: &str = "*nat\n\
    -A PREROUTING -i lan0 -d 10.1.0.1 -p tcp --dport 8080 -j DNAT --to-destination 10.2.0.2:80\n\
    -A PREROUTING -i lan0 -d 10.1.0.1 -p udp --dport 5300 -j DNAT --to-destination 10.2.0.2:53\n\
    -A PREROUTING -i lan0 -d 10.1.0.1 -p tcp --dport 8081 -j REDIRECT --to-ports 81\n\
    -A OUTPUT -d 10.9.9.9 -p tcp -j DNAT --to-destination 10.2.0.2\n\
    -A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n\
    *filter\n:FORWARD DROP\n\
    -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A FORWARD -i lan0 -o wan0 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";

const NAT6: &str = "*nat\n\
    -A PREROUTING -i lan0 -d fd00:1::1 -p tcp --dport 8080 -j DNAT --to-destination [fd00:2::2]:80\n\
    -A PREROUTING -i lan0 -d fd00:1::1 -p udp --dport 5300 -j DNAT --to-destination [fd00:2::2]:53\n\
    -A PREROUTING -i lan0 -d fd00:1::1 -p tcp --dport 8081 -j REDIRECT --to-ports 81\n\
    -A OUTPUT -d fd00:9::9 -p tcp -j DNAT --to-destination fd00:2::2\n\
    -A POSTROUTING -o wan0 -j MASQUERADE\nCOMMIT\n\
    *filter\n:FORWARD DROP\n\
    -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A FORWARD -i lan0 -o wan0 -m conntrack --ctstate NEW -j ACCEPT\n\
    -A FORWARD -p ipv6-icmp -j ACCEPT\nCOMMIT\n";

#[test]
fn addresses_are_translated_with_every_length_of_packet() {
    let Some(firewall) = Firewall::with(&["--router"], NAT4, NAT6) else {
        return;
    };
    // A route for what is translated before it leaves.
    for (family, net) in [("-4", "10.9.9.0/24"), ("-6", "fd00:9::/64")] {
        let via = if family == "-4" {
            "10.2.0.2"
        } else {
            "fd00:2::2"
        };
        let text = format!("route add {net} via {via}\n");
        let arguments = [family, "-batch", "-"];
        let net = &firewall.net;
        net.feed(Machine::Firewall, "ip", &arguments, &text)
            .unwrap();
    }
    firewall.serve_tcp(Machine::Server, 80);
    firewall.serve_tcp(Machine::Firewall, 81);
    let mut listeners = Vec::new();
    for family in FAMILIES {
        let near = |port| firewall.address(Machine::Firewall, family, port);
        let far = |port| firewall.address(Machine::Server, family, port);
        let own = firewall.net.address(Machine::Server, family);
        firewall.serve_udp(Machine::Server, own, 53);
        // Segments that are longer than any frame, both ways.
        for to in [near(8080), far(80), near(8081)] {
            let stream = firewall.connect(Machine::Client, to).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), to);
            transfer(&stream, 8 << 20);
        }
        let large: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        for to in [near(5300), far(53)] {
            for data in [&b"question"[..], &large] {
                let answer = firewall.ask(Machine::Client, to, data);
                assert_eq!(answer.as_deref(), Ok(data), "{to} {}", data.len());
            }
        }
        // Who comes is the router.
        let listener = firewall.on(Machine::Server, || only(far(83)));
        let stream = firewall.connect(Machine::Client, far(83)).unwrap();
        let (_, from) = listener.accept().unwrap();
        let wan: IpAddr = match family {
            Family::V4 => "10.2.0.1".parse().unwrap(),
            Family::V6 => "fd00:2::1".parse().unwrap(),
        };
        assert_eq!(from.ip(), wan);
        listeners.push((listener, stream));
        // Translated where it is made, the answer where it arrives.
        let to: SocketAddr = match family {
            Family::V4 => "10.9.9.9:80".parse().unwrap(),
            Family::V6 => "[fd00:9::9]:80".parse().unwrap(),
        };
        transfer(&firewall.connect(Machine::Firewall, to).unwrap(), 1 << 20);
    }
}

#[test]
fn datagrams_that_are_cut_late_are_translated_with_right_checksums() {
    let Some(firewall) = Firewall::with(&["--router"], NAT4, NAT6) else {
        return;
    };
    for family in FAMILIES {
        let far = firewall.address(Machine::Server, family, 53);
        let near = firewall.address(Machine::Firewall, family, 5300);
        let listener = firewall.on(Machine::Server, || UdpSocket::bind(far).unwrap());
        listener.set_read_timeout(Some(PATIENCE)).unwrap();
        // Source alone, and both ends.
        for to in [far, near] {
            let any = SocketAddr::new(
                if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap(),
                0,
            );
            let sender = firewall.on(Machine::Client, || UdpSocket::bind(any).unwrap());
            setsockopt(&sender, sockopt::UdpGsoSegment, &1000).unwrap();
            let data: Vec<u8> = (0..5000u32).map(|n| (n / 1000) as u8).collect();
            sender.send_to(&data, to).unwrap();
            let mut buffer = [0; 2000];
            for part in data.chunks(1000) {
                let length = listener.recv(&mut buffer).expect("a part");
                assert_eq!(&buffer[..length], part, "{to}");
            }
        }
    }
}

const INWARD4: &str = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
    -A INPUT -p udp --dport 7001 -j ACCEPT\n-A INPUT -i lo -p udp --dport 7002 -j ACCEPT\nCOMMIT\n";

#[test]
fn what_the_host_sends_to_itself_and_to_all_comes_in_once() {
    for mode in ["--router", "--host"] {
        let Some(firewall) = Firewall::with(&[mode], INWARD4, ACCEPT) else {
            return;
        };
        let here = Machine::Firewall;
        for (port, from, to, times) in [
            (7001, here, "127.0.0.1", 1),
            (7002, here, "127.0.0.1", 1),
            (7003, here, "127.0.0.1", 0),
            (7001, Machine::Client, "10.1.0.255", 1),
            (7002, Machine::Client, "10.1.0.255", 0),
            // The copy of one's own is not a martian.
            (7001, here, "10.1.0.255", 1),
        ] {
            let listener = firewall.on(here, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
            listener.set_read_timeout(Some(SILENCE)).unwrap();
            let sender = firewall.on(from, || UdpSocket::bind(("0.0.0.0", 0)).unwrap());
            sender.set_broadcast(true).unwrap();
            sender.send_to(b"all", (to, port)).unwrap();
            let mut buffer = [0; 16];
            let came = std::iter::from_fn(|| listener.recv(&mut buffer).ok()).count();
            assert_eq!(came, times, "{mode} {port} {to}");
        }
    }
}

/// The namespaces of `examples/live/try`, as long as this lives.
struct Try(String);

impl Try {
    fn script(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/live/try");
        let mut command = Command::new(script);
        command.args(arguments).env("TRY_PREFIX", &self.0);
        command
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let _ = self.script(&["down"]).status();
    }
}

#[test]
fn the_example_works_as_its_page_says() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let place = Try(format!("plq-{}", std::process::id()));
    assert!(place.script(&["up"]).status().unwrap().success());
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webserver.v4");
    let directory = tempfile::tempdir().unwrap();
    let control = directory.path().join("control");
    let mut palisade = place
        .script(&[
            "in",
            "router",
            env!("CARGO_BIN_EXE_palisade"),
            "run",
            "--router",
        ])
        .arg("--rules")
        .arg(rules)
        .arg("--control")
        .arg(&control)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let within = |machine: &str| {
        let namespace = format!("/run/netns/{}-{machine}", place.0);
        let namespace = std::fs::File::open(namespace).unwrap();
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    };
    let port = |port| SocketAddr::new("192.0.2.2".parse().unwrap(), port);
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            within("server");
            TcpListener::bind(port(80)).unwrap()
        });
        let listener = served.join().unwrap();
        scope.spawn(|| {
            within("client");
            let end = Instant::now() + PATIENCE;
            // Before the gate is there everything passes, and nobody listens on the port of ssh.
            let connect = |to| TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| e.kind());
            while connect(port(22)).err() != Some(ErrorKind::HostUnreachable) {
                assert!(Instant::now() < end, "ssh is not refused");
            }
            connect(port(80)).unwrap();
        });
        listener.accept().unwrap();
    });
    let pid = Pid::from_raw(i32::try_from(palisade.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(palisade.wait().unwrap().success());
}

const MARKS4: &str = "*mangle\n-A PREROUTING -p tcp --dport 81 -j MARK --set-mark 1\n\
    -A OUTPUT -p tcp --dport 82 -j MARK --set-mark 1\nCOMMIT\n\
    *nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";

#[test]
fn routing_sees_the_marks_that_rules_gave() {
    let Some(firewall) = Firewall::with(&["--router"], MARKS4, ACCEPT) else {
        return;
    };
    let net = &firewall.net;
    // The mark as a whole, without a mask.
    let text = "rule add fwmark 1 lookup 100\nroute add unreachable default table 100\n";
    net.feed(Machine::Firewall, "ip", &["-batch", "-"], text)
        .unwrap();
    for port in [80, 81, 82] {
        firewall.serve_tcp(Machine::Server, port);
    }
    let server = |port| firewall.address(Machine::Server, Family::V4, port);
    for (from, port, reached) in [
        (Machine::Client, 80, Ok(())),
        (Machine::Client, 81, Err(ErrorKind::HostUnreachable)),
        (Machine::Client, 82, Ok(())),
        (Machine::Firewall, 81, Ok(())),
    ] {
        let got = firewall.connect(from, server(port)).map(|_| ());
        assert_eq!(got, reached, "{from:?} {port}");
    }
    // What is made here has no answer to see: the packet is gone when the way is asked for anew.
    let got = firewall.connect(Machine::Firewall, server(82)).map(|_| ());
    assert!(got.is_err());
}

#[test]
fn a_death_leaves_the_gate_closed_and_a_start_takes_it_over() {
    let Some(mut firewall) = Firewall::with(&["--router"], ACCEPT, ACCEPT) else {
        return;
    };
    firewall.serve_tcp(Machine::Server, 80);
    let server = firewall.address(Machine::Server, Family::V4, 80);
    let reached = |f: &Firewall| f.connect(Machine::Client, server).map(|_| ());
    assert_eq!(reached(&firewall), Ok(()));
    // Two at once do not fit.
    let refused = firewall.start(&["--router"], ACCEPT, ACCEPT);
    assert!(refused.is_err());
    firewall.end(Signal::SIGKILL);
    assert_eq!(reached(&firewall), Err(ErrorKind::TimedOut));
    assert!(firewall.tables().contains("inet palisade"));
    firewall.start(&["--router"], ACCEPT, ACCEPT).unwrap();
    assert_eq!(reached(&firewall), Ok(()));
    firewall.end(Signal::SIGTERM);
    assert_eq!(reached(&firewall), Ok(()));
    assert_eq!(firewall.tables(), "");
}

#[test]
fn a_death_opens_the_gate_where_that_was_asked_for() {
    let nothing = "*filter\n:FORWARD DROP\nCOMMIT\n";
    let Some(mut firewall) = Firewall::with(&["--router", "--fail-open"], nothing, nothing) else {
        return;
    };
    firewall.serve_tcp(Machine::Server, 80);
    let server = firewall.address(Machine::Server, Family::V4, 80);
    let reached = |f: &Firewall| f.connect(Machine::Client, server).map(|_| ());
    assert_eq!(reached(&firewall), Err(ErrorKind::TimedOut));
    firewall.end(Signal::SIGKILL);
    assert_eq!(reached(&firewall), Ok(()));
}

#[test]
fn a_hop_that_is_the_last_is_answered_by_the_kernel_and_leads_nowhere_else() {
    let Some(firewall) = Firewall::with(&["--router"], VERDICTS4, VERDICTS6) else {
        return;
    };
    let server = firewall.address(Machine::Server, Family::V4, 53);
    firewall.serve_udp(Machine::Server, server.ip(), 53);
    let socket = firewall.on(Machine::Client, || UdpSocket::bind("0.0.0.0:0").unwrap());
    setsockopt(&socket, sockopt::Ipv4RecvErr, &true).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 100];
    for (ttl, answer) in [(1, Err(ErrorKind::HostUnreachable)), (2, Ok(4))] {
        socket.set_ttl(ttl).unwrap();
        socket.send(b"here").unwrap();
        let got = socket.recv(&mut buffer).map_err(|e| e.kind());
        assert_eq!(got, answer, "{ttl}");
    }
}

#[test]
fn interfaces_and_addresses_that_come_and_go_are_followed() {
    let Some(firewall) = Firewall::with(&["--router"], VERDICTS4, VERDICTS6) else {
        return;
    };
    let net = &firewall.net;
    let ip = |machine, text: &str| net.feed(machine, "ip", &["-batch", "-"], text).unwrap();
    firewall.serve_tcp(Machine::Server, 80);
    firewall.serve_tcp(Machine::Firewall, 80);
    // An address that was the host's no more, and one that is now: port 81 is refused by INPUT, dropped by nobody else.
    let new: SocketAddr = "10.1.0.77:81".parse().unwrap();
    ip(Machine::Firewall, "addr add 10.1.0.77/24 dev lan0\n");
    let end = Instant::now() + PATIENCE;
    let refused = || firewall.connect(Machine::Client, new).map(|_| ());
    while refused() != Err(ErrorKind::ConnectionRefused) {
        assert!(Instant::now() < end, "the address is not known");
    }
    // The interface itself.
    let gone = "link del wan0\n";
    ip(Machine::Firewall, gone);
    let server = net.name(Machine::Server);
    ip(
        Machine::Firewall,
        &format!(
            "link add wan0 type veth peer name eth0 netns {server}\nlink set wan0 up\naddr add 10.2.0.1/24 dev wan0\n"
        ),
    );
    ip(
        Machine::Server,
        "link set eth0 up\naddr add 10.2.0.2/24 dev eth0\nroute add default via 10.2.0.1\n",
    );
    let to = firewall.address(Machine::Server, Family::V4, 80);
    while firewall.connect(Machine::Client, to).is_err() {
        assert!(Instant::now() < end, "the interface is not known again");
    }
}
