//! What happens to connections, as the kernel tells it: the lines of `conntrack -E` beside real sockets on the loopback
//! interface of a namespace, and those of the engine for the same packets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use nix::sys::socket::{setsockopt, sockopt::Linger};
use palisade_conntrack::events::Happened;
use palisade_conntrack::tool::{self, Begun, Desk};
use palisade_engine::rules::{Family, parse};
use palisade_engine::{Engine, Input, Route, Setup};
use palisade_testkit::real::{apart, asked};
use palisade_wire::{Timestamp, build, tcp::flags};

const RULES: &str = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    :POSTROUTING ACCEPT [0:0]\n-A OUTPUT -p udp --dport 2002 -j CONNMARK --set-mark 7\n\
    -A OUTPUT -p udp --dport 2003 -m conntrack --ctstate ESTABLISHED -j CONNMARK --set-mark 9\n\
    -A OUTPUT -p udp --dport 2004 -j DROP\nCOMMIT\n";

/// Ports of what only shows that somebody listens, and of what comes last.
const FIRST: u16 = 2100;
const LAST: u16 = 2101;

/// A line without what is chance: seconds left, and who did it.
fn bare(line: &str) -> String {
    let line = line.split(" [USERSPACE]").next().unwrap_or_default();
    let mut words: Vec<&str> = line.split_whitespace().collect();
    // Kind, protocol, its number, seconds.
    if words.get(3).is_some_and(|word| word.parse::<u64>().is_ok()) {
        words.remove(3);
    }
    words.join(" ")
}

fn run(program: &str, arguments: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    assert!(
        child.wait().expect("its end").success(),
        "{program} {arguments:?}"
    );
}

fn bound(port: u16) -> UdpSocket {
    UdpSocket::bind(("127.0.0.1", port)).expect("a socket")
}

fn kernel() -> Vec<String> {
    run("ip", &["link", "set", "lo", "up"], "");
    run("iptables-legacy-restore", &[], RULES);
    let mut child = Command::new("conntrack")
        .args(["-E"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("conntrack");
    let output = child.stdout.take().expect("its output");
    let (told, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    // Each of these is a connection of its own, until one is told.
    let mut port = 30_000;
    loop {
        port += 1;
        let _ = bound(port).send_to(b"first", ("127.0.0.1", FIRST));
        if lines
            .recv_timeout(std::time::Duration::from_millis(20))
            .is_ok()
        {
            break;
        }
        assert!(port < 31_000, "conntrack tells nothing");
    }
    for (client, server) in [(4002, 2002), (4003, 2003)] {
        let (a, b) = (bound(client), bound(server));
        let mut bytes = [0; 16];
        for (from, to, port) in [(&a, &b, server), (&b, &a, client), (&a, &b, server)] {
            from.send_to(b"data", ("127.0.0.1", port)).expect("sent");
            to.recv(&mut bytes).expect("received");
        }
    }
    let _ = bound(4004).send_to(b"data", ("127.0.0.1", 2004));
    let listener = TcpListener::bind("127.0.0.1:2005").expect("a listener");
    let client = TcpStream::connect("127.0.0.1:2005").expect("a connection");
    let ports = client.local_addr().expect("an address").port();
    let (server, _) = listener.accept().expect("a connection");
    let reset = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&client, Linger, &reset).expect("a setting");
    drop(client);
    drop(server);
    for port in ["2002", "2003"] {
        run("conntrack", &["-D", "-p", "udp", "--dport", port], "");
    }
    run("conntrack", &["-D", "-p", "tcp", "--dport", "2005"], "");
    let _ = bound(4006).send_to(b"last", ("127.0.0.1", LAST));
    let mut all = Vec::new();
    loop {
        let line = lines
            .recv_timeout(std::time::Duration::from_secs(10))
            .expect("the last line");
        if line.contains(&format!("dport={LAST} ")) {
            break;
        }
        if !line.contains(&format!("={FIRST} ")) {
            all.push(bare(&line).replace(&format!("={ports}"), "=4005"));
        }
    }
    child.kill().expect("ended");
    child.wait().expect("ended");
    drop(lines);
    reader.join().expect("no panic");
    all
}

fn engine() -> Vec<String> {
    let parsed = parse::auto(RULES, Family::V4);
    assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
    let mut engine = Engine::new(Setup {
        rules4: parsed.v4,
        ..Setup::default()
    })
    .expect("an engine");
    engine.set_events(true);
    let own = || build::Ip::new([127, 0, 0, 1].into(), [127, 0, 0, 1].into());
    let mut packets = Vec::new();
    for (client, server) in [(4002, 2002), (4003, 2003)] {
        for (from, to) in [(client, server), (server, client), (client, server)] {
            packets.push(build::udp(&own(), from, to, b"data"));
        }
    }
    packets.push(build::udp(&own(), 4004, 2004, b"data"));
    for (forth, flags, seq, ack) in [
        (true, flags::SYN, 100, 0),
        (false, flags::SYN | flags::ACK, 900, 101),
        (true, flags::ACK, 101, 901),
        (true, flags::RST | flags::ACK, 101, 901),
    ] {
        let (source_port, destination_port) = if forth { (4005, 2005) } else { (2005, 4005) };
        let header = build::Tcp {
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            window: 64_240,
            ..build::Tcp::default()
        };
        packets.push(build::tcp(&own(), &header, b""));
    }
    for (n, bytes) in packets.iter().enumerate() {
        let input = Input {
            time: Timestamp::new(1_000, n as u32),
            route: Route::Out("lo".into()),
            ..Input::new(bytes)
        };
        engine.process(&input, &mut ());
    }
    let mut ids: Vec<_> = engine
        .conntrack()
        .connections()
        .map(|c| (c.number(), c.id()))
        .collect();
    ids.sort_unstable();
    for (_, id) in ids {
        engine.cut(&[id]);
    }
    let taken = engine.take_events();
    assert_eq!(taken.lost, 0);
    let config = engine.conntrack().config().clone();
    let labels = BTreeMap::new();
    let desk = Desk::new(&labels);
    let words = ["conntrack", "-E"].map(String::from);
    let Begun::Watch(mut watch, _) = tool::begin(&words, None, &desk) else {
        panic!("it watches");
    };
    let now = Timestamp::new(1_000, 0);
    let mut all = Vec::new();
    for happened in &taken.happened {
        if let Happened::Connection(event) = happened {
            let record = event.record(&config);
            let line = watch.connection(event.kind, &record, None, &desk, now);
            all.push(bare(&line));
        }
    }
    all
}

#[test]
fn what_happens_is_told_as_the_kernel_tells_it() {
    let ours = engine();
    assert_eq!(ours.len(), 12, "{ours:#?}");
    if !asked("THE KERNEL WAS") {
        return;
    }
    assert_eq!(ours, apart(kernel));
}
