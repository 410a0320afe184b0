//! Three namespaces in a row, with a wire or a TUN filter in the middle.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use palisade_engine::rules::{Family, parse};
use palisade_engine::{Engine, Setup};
use palisade_live::worker::Pulse;
use palisade_live::{Backend, Gate, work};

/// Addresses of the machine on the left and of that on the right.
pub const LEFT: [&str; 2] = ["10.9.0.1", "fd09::1"];
/// See [`LEFT`].
pub const RIGHT: [&str; 2] = ["10.9.0.2", "fd09::2"];

/// How long something may take that has to happen.
pub const LONG: Duration = Duration::from_secs(10);
/// How long something is waited for that must not happen.
pub const SHORT: Duration = Duration::from_millis(300);

/// Runs `ip` or another tool; its words when it fails.
pub fn tool(program: &str, arguments: &str) {
    let done = Command::new(program)
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        done.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Namespaces `l`, `m`, `r`, which end with the value.
pub struct Net {
    prefix: String,
}

impl Net {
    /// Three namespaces, without anything between them.
    pub fn bare() -> Net {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let net = Net {
            prefix: format!("plw-{}-{number}", std::process::id()),
        };
        for place in ["l", "m", "r"] {
            tool("ip", &format!("netns add {}", net.name(place)));
            net.ip(place, "link set lo up");
            net.inside(place, || {
                for file in ["conf/default/accept_dad", "conf/all/accept_dad"] {
                    std::fs::write(format!("/proc/sys/net/ipv6/{file}"), "0").unwrap();
                }
            });
        }
        net
    }

    /// Left and right are each at an end of the wire, `a` and `b`.
    pub fn wired() -> Net {
        Net::wired_queues(1)
    }

    /// As [`wired`](Self::wired), by interfaces with several queues.
    pub fn wired_queues(queues: u32) -> Net {
        let net = Net::bare();
        net.inside("m", || {
            // What the middle would say by itself.
            std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        });
        net.plug_queues("l", "a", LEFT, queues);
        net.plug_queues("r", "b", RIGHT, queues);
        net
    }

    /// Plugs an outer machine to an end of the wire.
    pub fn plug(&self, place: &str, end: &str, addresses: [&str; 2]) {
        self.plug_queues(place, end, addresses, 1);
    }

    /// As [`plug`](Self::plug), by a pair of interfaces with several queues each.
    pub fn plug_queues(&self, place: &str, end: &str, addresses: [&str; 2], queues: u32) {
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        let (outer, middle) = (self.name(place), self.name("m"));
        tool(
            "ip",
            &format!(
                "link add {place}0 netns {outer} {queues} type veth peer name {end} netns {middle} {queues}"
            ),
        );
        self.ip(place, &format!("addr add {}/24 dev {place}0", addresses[0]));
        self.ip(
            place,
            &format!("addr add {}/64 dev {place}0 nodad", addresses[1]),
        );
        self.ip(place, &format!("link set dev {place}0 up"));
        self.ip("m", &format!("link set dev {end} up"));
    }

    /// The full name of a namespace.
    pub fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.prefix)
    }

    /// `ip` in a namespace.
    pub fn ip(&self, place: &str, arguments: &str) {
        tool("ip", &format!("-n {} {arguments}", self.name(place)));
    }

    /// A thread in a namespace.
    pub fn spawn<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let name = self.name(place);
        std::thread::spawn(move || {
            enter(&name);
            work()
        })
    }

    /// Something done in a namespace.
    pub fn inside<T: Send>(&self, place: &str, work: impl FnOnce() -> T + Send) -> T {
        let name = self.name(place);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(&name);
                work()
            });
            thread.join().expect("no panic")
        })
    }

    /// Whether a machine answers a ping of another, within a time.
    pub fn pings(&self, from: &str, to: &str, wait: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < wait {
            let done = Command::new("ip")
                .args([
                    "netns",
                    "exec",
                    &self.name(from),
                    "ping",
                    "-n",
                    "-c1",
                    "-W1",
                    to,
                ])
                .output()
                .expect("ping");
            if done.status.success() {
                return true;
            }
        }
        false
    }
}

fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).expect("a namespace");
    setns(file, CloneFlags::CLONE_NEWNET).expect("entering a namespace");
}

impl Drop for Net {
    fn drop(&mut self) {
        for place in ["l", "m", "r"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.name(place)])
                .output();
        }
    }
}

/// A filter at work in the middle.
pub struct Filter {
    gate: Arc<Gate>,
    worker: Option<JoinHandle<Result<(), String>>>,
}

impl Filter {
    /// Starts one; rules are of the filter table, for both families.
    pub fn start(
        net: &Net,
        rules: [&str; 2],
        open: impl FnOnce(&Gate) -> Result<Box<dyn Backend>, String> + Send + 'static,
    ) -> Filter {
        let parsed = [Family::V4, Family::V6].map(|family| {
            let parsed = parse::auto(rules[family as usize], family);
            assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
            parsed
        });
        let [four, six] = parsed;
        let gate = Arc::new(Gate::new(
            Engine::new(Setup {
                rules4: four.v4,
                rules6: six.v6,
                ..Setup::default()
            })
            .unwrap(),
        ));
        let (told, hears) = std::sync::mpsc::channel();
        let own = Arc::clone(&gate);
        let worker = net.spawn("m", move || {
            let mut backend = match open(&own) {
                Ok(backend) => backend,
                Err(error) => {
                    told.send(Err(error.clone())).unwrap();
                    return Err(error);
                }
            };
            told.send(Ok(backend.capabilities())).unwrap();
            work(&own, backend.as_mut(), &Pulse::new()).map_err(|e| e.to_string())
        });
        match hears.recv().unwrap() {
            Ok(capabilities) => eprintln!("{}: {:?}", capabilities.name, capabilities.notes),
            Err(error) => panic!("{error}"),
        }
        Filter {
            gate,
            worker: Some(worker),
        }
    }

    /// Stops it; how its worker ended.
    pub fn stop(mut self) -> Result<(), String> {
        self.gate.stop();
        self.worker.take().unwrap().join().expect("no panic")
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.gate.stop();
    }
}

/// What a connection attempt comes to.
pub fn attempt(net: &Net, from: &str, to: &str, port: u16) -> Result<(), io::ErrorKind> {
    let to = SocketAddr::new(to.parse::<IpAddr>().unwrap(), port);
    net.inside(from, || {
        let attempted = TcpStream::connect_timeout(&to, SHORT);
        attempted.map(|_| ()).map_err(|e| e.kind())
    })
}

/// Bytes that are never twice the same in a row.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// A transfer by TCP from right to left, and what is said before it back again.
pub fn transfer(net: &Net, address: &str, port: u16, length: usize) {
    let at = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let (told, hears) = std::sync::mpsc::channel();
    let server = net.spawn("r", move || {
        let listener = TcpListener::bind(at).unwrap();
        told.send(()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 5];
        stream.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"hello");
        stream.write_all(&pattern(length)).unwrap();
    });
    hears.recv().unwrap();
    let got = net.inside("l", || {
        let mut stream = TcpStream::connect_timeout(&at, LONG).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        got
    });
    server.join().unwrap();
    assert!(
        got == pattern(length),
        "{} bytes of {length}, or others",
        got.len()
    );
}

/// Sends datagrams of some lengths from left to right and back, by the same sockets: a port that was just left may still
/// be held, by a child that another test is about to start.
pub fn datagrams(net: &Net, ends: [&str; 2], port: u16, lengths: &[usize]) {
    let [left, right] = ends.map(|e| e.parse::<IpAddr>().unwrap());
    let socket = |place: &str, address: IpAddr| {
        net.inside(place, || {
            let socket = UdpSocket::bind((address, port)).unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            socket
        })
    };
    let (client, server) = (socket("l", left), socket("r", right));
    let mut got = vec![0; 65536];
    for sent in lengths.iter().map(|length| pattern(*length)) {
        for (from, to, at) in [(&client, &server, right), (&server, &client, left)] {
            from.send_to(&sent, (at, port)).unwrap();
            let (length, _) = to.recv_from(&mut got).unwrap();
            assert!(got[..length] == sent, "{length} bytes");
        }
    }
}
