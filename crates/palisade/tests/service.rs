//! `palisade run` as a service, over packets of real programs in namespaces of its own: what it may do, and what packets meet
//! when it is killed, stopped, started with rules that are broken, and started again.
//!
//! Needs root and network namespaces; without them it says SKIPPED, which is a failure where `PALISADE_REQUIRE_KERNEL=1`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Long enough for anything that comes at all.
const LONG: Duration = Duration::from_secs(20);

/// Long enough to be sure that nothing comes: more than the first retransmission of a SYN.
const SHORT: Duration = Duration::from_millis(1300);

const SERVER: &str = "192.0.2.2:80";

/// Where figures are.
const FIGURES: &str = "127.0.0.1:9470";

/// The value of a series whose name and labels begin so.
fn figure(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|l| l.starts_with(series));
    let value = line.and_then(|l| l.rsplit_once(' '));
    let (_, value) = value.unwrap_or_else(|| panic!("no {series} in {page}"));
    value.parse().unwrap()
}

/// What the rules of most tests let through: new connections from the client to port 80, and what belongs to them.
const RULES: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -i wan0 -p tcp --dport 80 --syn -m conntrack --ctstate NEW -j ACCEPT
COMMIT
";

/// Whether there is what this needs.
fn able() -> bool {
    let required = std::env::var_os("PALISADE_REQUIRE_KERNEL").is_some_and(|v| v == "1");
    let root = nix::unistd::geteuid().is_root();
    let tools = Command::new("ip").arg("-V").output().is_ok();
    if root && tools {
        return true;
    }
    assert!(!required, "root and ip(8) are needed");
    eprintln!("SKIPPED: root and ip(8) are needed");
    false
}

/// Client, router and server (examples/live/try), and a directory for files.
struct Net {
    prefix: String,
    directory: tempfile::TempDir,
}

static NETS: AtomicU32 = AtomicU32::new(0);

fn script(prefix: &str, word: &str) -> std::process::ExitStatus {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(root.join("examples/live/try"))
        .arg(word)
        .env("TRY_PREFIX", prefix)
        .stdout(Stdio::null())
        .status()
        .expect("the script runs")
}

impl Net {
    fn new() -> Self {
        let number = NETS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pls{}-{number}", std::process::id());
        assert!(script(&prefix, "up").success());
        let directory = tempfile::tempdir().unwrap();
        let net = Net { prefix, directory };
        net.write("rules", RULES);
        net
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Something done inside one of the namespaces, by a thread that ends in it.
    fn inside<T: Send>(&self, who: &str, done: impl FnOnce() -> T + Send) -> T {
        let name = format!("/run/netns/{}-{who}", self.prefix);
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let namespace = File::open(name).unwrap();
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                done()
            });
            inside.join().unwrap()
        })
    }

    /// A server that answers on a port, for as long as it is kept.
    fn listen(&self, address: &str) -> TcpListener {
        self.inside("server", || TcpListener::bind(address).unwrap())
    }

    /// A connection from the client, if it comes about.
    fn connect(&self, address: &str) -> Option<TcpStream> {
        let address = address.parse().unwrap();
        let wait = SHORT;
        let connected = self.inside("client", move || TcpStream::connect_timeout(&address, wait));
        connected.ok()
    }

    /// The page of figures of a service that serves it at [`FIGURES`].
    fn figures(&self) -> String {
        self.inside("router", || {
            let mut client = TcpStream::connect(FIGURES).unwrap();
            client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
            let mut page = String::new();
            client.read_to_string(&mut page).unwrap();
            page
        })
    }

    /// Starts the service on the router.
    fn start(&self, more: &[&str]) -> Service {
        let socket = self.path("notify");
        let _ = fs::remove_file(&socket);
        let heard = UnixDatagram::bind(&socket).unwrap();
        heard.set_read_timeout(Some(LONG)).unwrap();
        let log = File::create(self.path("log")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &format!("{}-router", self.prefix)])
            .arg(env!("CARGO_BIN_EXE_palisade"))
            .args(["run", "--router", "--log-level", "debug", "--queues", "1"])
            .arg("--control")
            .arg(self.path("control"))
            .args(more)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "400000")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Service {
            child,
            heard,
            log: self.path("log"),
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        script(&self.prefix, "down");
    }
}

/// A running service.
struct Service {
    child: Child,
    heard: UnixDatagram,
    log: PathBuf,
}

impl Service {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the service manager hears a word.
    fn hears(&self, word: &str) {
        let mut text = [0; 512];
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < LONG,
                "{word} was not said\n{}",
                self.log()
            );
            let length = self.heard.recv(&mut text);
            let length = length.unwrap_or_else(|e| panic!("{word}: {e}\n{}", self.log()));
            if String::from_utf8_lossy(&text[..length]).contains(word) {
                return;
            }
        }
    }

    fn ready(self) -> Self {
        self.hears("READY=1");
        self
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end: its exit code.
    fn ended(mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < LONG, "it goes on\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Holds every thread to two capabilities and a filter of system calls.
    fn has_only_what_it_needs(&self) {
        let kept = format!("{:016x}", 1 << 12 | 1 << 13);
        for (line, value) in [
            ("CapEff:", kept.as_str()),
            ("CapPrm:", &kept),
            ("CapBnd:", &kept),
            ("CapInh:", "0000000000000000"),
            ("CapAmb:", "0000000000000000"),
            ("NoNewPrivs:", "1"),
            ("Seccomp:", "2"),
        ] {
            let values = self.threads(line);
            assert!(
                values.len() >= 4,
                "threads of main, log, signals, workers: {values:?}"
            );
            assert!(values.iter().all(|v| v == value), "{line} {values:?}");
        }
    }

    /// Values of a line in the status of every thread.
    fn threads(&self, line: &str) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let status =
            tasks.filter_map(|t| fs::read_to_string(t.unwrap().path().join("status")).ok());
        let value = |status: String| {
            let found = status.lines().find_map(|l| l.strip_prefix(line));
            found.unwrap_or_default().trim().to_owned()
        };
        status.map(value).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether bytes sent by one end of a connection come out of the other.
fn carries(from: &mut TcpStream, to: &mut TcpStream, word: &[u8], wait: Duration) -> bool {
    from.write_all(word).unwrap();
    to.set_read_timeout(Some(wait)).unwrap();
    let mut got = vec![0; word.len()];
    match to.read_exact(&mut got) {
        Ok(()) => {
            assert_eq!(got, word);
            true
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn it_runs_with_what_it_needs_and_no_more() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _web = net.listen(SERVER);
    let _other = net.listen("192.0.2.2:81");
    let service = net
        .start(&["--rules", "rules", "--metrics", FIGURES])
        .ready();
    service.has_only_what_it_needs();
    assert!(net.connect(SERVER).is_some(), "{}", service.log());
    assert!(net.connect("192.0.2.2:81").is_none());
    // Its own clock runs, and it says so.
    service.hears("WATCHDOG=1");
    service.hears("WATCHDOG=1");
    let page = net.figures();
    let value = |series: &str| figure(&page, series);
    assert!(value("palisade_packets_total{verdict=\"ACCEPT\"}") >= 3.0);
    assert!(value("palisade_packets_total{verdict=\"DROP\"}") >= 1.0);
    assert!(value("palisade_connections ") >= 1.0);
    assert_eq!(value("palisade_backend_queue_full "), 0.0);
    service.signal(Signal::SIGTERM);
    service.hears("STOPPING=1");
    assert_eq!(service.ended(), Some(0));
    // The same as somebody else.
    let service = net.start(&["--rules", "rules", "--user", "nobody"]).ready();
    service.has_only_what_it_needs();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let number = nobody.uid.as_raw().to_string();
    let all = [number.as_str(); 4].join("\t");
    assert!(service.threads("Uid:").iter().all(|uids| *uids == all));
    assert!(net.connect(SERVER).is_some(), "{}", service.log());
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
}

#[test]
fn a_killed_process_leaves_the_gate_closed() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _web = net.listen(SERVER);
    let service = net.start(&["--rules", "rules"]).ready();
    assert!(net.connect(SERVER).is_some());
    service.signal(Signal::SIGKILL);
    assert_eq!(service.ended(), None);
    assert!(
        net.connect(SERVER).is_none(),
        "something passes without a judge"
    );
    let service = net.start(&["--rules", "rules"]).ready();
    assert!(net.connect(SERVER).is_some(), "{}", service.log());
    // Its rules are broken now: what is closed stays closed.
    service.signal(Signal::SIGKILL);
    assert_eq!(service.ended(), None);
    net.write(
        "broken",
        "*filter\n-A FORWARD -p tcp --dport 80 -j ACEPT\nCOMMIT\n",
    );
    for rules in ["broken", "missing"] {
        let refused = net.start(&["--rules", rules]);
        assert_eq!(refused.ended(), Some(2), "{rules}");
        assert!(net.connect(SERVER).is_none(), "{rules}");
    }
    for (policy, passes) in [("drop", false), ("established", false), ("accept", true)] {
        let service = net
            .start(&["--rules", "broken", "--boot-policy", policy])
            .ready();
        service.hears(&format!("RULES NOT IN FORCE, boot policy {policy}"));
        assert_eq!(net.connect(SERVER).is_some(), passes, "{policy}");
        service.signal(Signal::SIGINT);
        assert_eq!(service.ended(), Some(0));
        // Stopped as asked: it is as if it had never been there.
        assert!(net.connect(SERVER).is_some(), "after {policy}");
    }
}

#[test]
fn what_rules_log_is_written() {
    if !able() {
        return;
    }
    let net = Net::new();
    let logs = "-A FORWARD -p tcp --dport 81 -j LOG --log-prefix \"no: \" --log-level 3
-A FORWARD -p tcp --dport 81 -j NFLOG --nflog-prefix kept
COMMIT";
    net.write("rules", &RULES.replace("COMMIT", logs));
    let files = ["--log-to", "lines", "--nflog-to", "packets"];
    let service = net
        .start(&[&["--rules", "rules"], &files[..]].concat())
        .ready();
    assert!(net.connect("192.0.2.2:81").is_none());
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
    let lines = fs::read_to_string(net.path("lines")).unwrap();
    let line = lines.lines().next().expect("a line");
    let (_, line) = line.split_once(" palisade: ").expect("a time and a line");
    assert!(line.starts_with("no: IN=wan0 OUT=lan0 MAC="), "{line}");
    for word in [
        "SRC=203.0.113.2",
        "DST=192.0.2.2",
        "TTL=63",
        "PROTO=TCP",
        "DPT=81",
        "SYN",
    ] {
        assert!(line.split(' ').any(|w| w == word), "{word} in {line}");
    }
    let (mut packets, _) = palisade_capture::pcap::open(&net.path("packets")).unwrap();
    let packet = packets.next_frame().unwrap().expect("a packet");
    assert_eq!(packet.interface.map(|i| i.as_ref()), Some("wan0"));
    assert_eq!(packet.data[9], 6);
    assert!(
        fs::read(net.path("packets"))
            .unwrap()
            .windows(4)
            .any(|w| w == b"kept")
    );
}

#[test]
fn a_stop_leaves_what_was_asked_for() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _other = net.listen("192.0.2.2:81");
    for (on_stop, passes) in [("closed", false), ("open", true)] {
        let service = net
            .start(&["--rules", "rules", "--on-stop", on_stop])
            .ready();
        assert!(net.connect("192.0.2.2:81").is_none());
        service.signal(Signal::SIGTERM);
        assert_eq!(service.ended(), Some(0));
        assert_eq!(net.connect("192.0.2.2:81").is_some(), passes, "{on_stop}");
    }
}

/// A connection that is there before, and whether it goes on after the service was killed and started with these options.
fn goes_on(net: &Net, before: &[&str], after: &[&str]) -> bool {
    let web = net.listen(SERVER);
    let strict = ["--rules", "rules", "--sysctl", "nf_conntrack_tcp_loose=0"];
    let service = net.start(&[&strict[..], before].concat()).ready();
    let mut client = net.connect(SERVER).expect("a connection");
    let (mut server, _) = web.accept().unwrap();
    assert!(carries(&mut client, &mut server, b"one", LONG));
    if !before.is_empty() {
        // One that has the connection was written after this moment.
        let state = net.path("state");
        let begun = Instant::now();
        while fs::metadata(&state).map_or(true, |m| {
            m.modified().unwrap().elapsed().unwrap() > begun.elapsed()
        }) {
            assert!(begun.elapsed() < LONG, "{}", service.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        // And another, so that the first was not begun before.
        let first = fs::metadata(&state).unwrap().modified().unwrap();
        while fs::metadata(&state).unwrap().modified().unwrap() == first {
            assert!(begun.elapsed() < LONG, "{}", service.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    service.signal(Signal::SIGKILL);
    assert_eq!(service.ended(), None);
    let service = net.start(&[&strict[..], after].concat()).ready();
    let wait = if after.is_empty() { SHORT } else { LONG };
    let there = carries(&mut client, &mut server, b"two", wait);
    let back = there && carries(&mut server, &mut client, b"three", wait);
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
    back
}

#[test]
fn connections_are_known_after_a_kill_where_they_were_saved() {
    if !able() {
        return;
    }
    let net = Net::new();
    let state = ["--state", "state", "--state-every", "50ms"];
    assert!(goes_on(&net, &state, &state));
    assert!(!goes_on(&net, &[], &[]), "it goes on without being saved");
    // A file that is damaged is none.
    let mut bytes = fs::read(net.path("state")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(net.path("state"), bytes).unwrap();
    let service = net.start(&["--rules", "rules", "--state", "state"]).ready();
    assert!(
        service.log().contains("NOT taken over"),
        "{}",
        service.log()
    );
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
}

#[test]
fn a_hangup_reads_the_rules_again() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _web = net.listen(SERVER);
    let _other = net.listen("192.0.2.2:81");
    let service = net.start(&["--rules", "rules"]).ready();
    assert!(net.connect("192.0.2.2:81").is_none());
    net.write("rules", &RULES.replace("--dport 80", "--dport 81"));
    service.signal(Signal::SIGHUP);
    service.hears("RELOADING=1");
    service.hears("READY=1");
    assert!(net.connect("192.0.2.2:81").is_some(), "{}", service.log());
    assert!(net.connect(SERVER).is_none());
    net.write("rules", "*filter\n-A FORWARD -j ACEPT\nCOMMIT\n");
    service.signal(Signal::SIGHUP);
    service.hears("RELOADING=1");
    service.hears("READY=1");
    assert!(net.connect("192.0.2.2:81").is_some(), "{}", service.log());
    assert!(net.connect(SERVER).is_none());
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
}

#[test]
fn a_queue_that_overflows_drops_and_goes_on() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _web = net.listen(SERVER);
    let options = [
        "--rules",
        "rules",
        "--queue-length",
        "8",
        "--metrics",
        FIGURES,
    ];
    let service = net.start(&options).ready();
    service.signal(Signal::SIGSTOP);
    // So many more than there is room for.
    net.inside("client", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..100 {
            socket.send_to(b"?", "192.0.2.2:53").unwrap();
        }
    });
    service.signal(Signal::SIGCONT);
    assert!(net.connect(SERVER).is_some(), "{}", service.log());
    let page = net.figures();
    let full = figure(&page, "palisade_backend_queue_full ");
    let dropped = figure(&page, "palisade_packets_total{verdict=\"DROP\"}");
    assert!(full >= 80.0 && full + dropped >= 100.0, "{page}");
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
}

#[test]
fn an_interface_may_go_and_come_back() {
    if !able() {
        return;
    }
    let net = Net::new();
    let _web = net.listen(SERVER);
    let service = net.start(&["--rules", "rules"]).ready();
    assert!(net.connect(SERVER).is_some());
    let (client, router) = (
        format!("{}-client", net.prefix),
        format!("{}-router", net.prefix),
    );
    let ip = |line: &str| {
        let status = Command::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    };
    ip(&format!("-n {router} link del wan0"));
    assert!(net.connect(SERVER).is_none());
    ip(&format!(
        "-n {router} link add wan0 type veth peer name eth0 netns {client}"
    ));
    ip(&format!("-n {router} addr add 203.0.113.1/24 dev wan0"));
    ip(&format!("-n {client} addr add 203.0.113.2/24 dev eth0"));
    ip(&format!("-n {router} link set wan0 up"));
    ip(&format!("-n {client} link set eth0 up"));
    ip(&format!("-n {client} route add default via 203.0.113.1"));
    assert!(net.connect(SERVER).is_some(), "{}", service.log());
    assert!(net.connect("192.0.2.2:81").is_none());
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended(), Some(0));
}
