//! A palisade that judges real packets of a namespace of its own, administered by the commands of the binary while a real
//! connection goes on.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use palisade_testkit::real::{apart, asked};

/// Longer than anything takes that is not broken.
const LONG: Duration = Duration::from_secs(20);

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
     -A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT\nCOMMIT\n";

const CLOSED: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A INPUT -p tcp -m tcp --dport 2222 -j DROP\nCOMMIT\n";

/// A palisade of its own process.
struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// Starts it, and waits until it says that it judges packets.
    fn start(folder: &Path) -> Self {
        let told = folder.join("notify");
        let notify = UnixDatagram::bind(&told).expect("a socket");
        notify.set_read_timeout(Some(LONG)).expect("a time");
        std::fs::write(folder.join("rules"), RULES).expect("rules");
        std::fs::write(folder.join("closed"), CLOSED).expect("rules");
        let child = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args([
                "run",
                "--host",
                "--rules",
                "rules",
                "--control",
                "control.sock",
            ])
            .current_dir(folder)
            .env("NOTIFY_SOCKET", &told)
            .spawn()
            .expect("it runs");
        let mut running = Running {
            child,
            folder: folder.to_path_buf(),
        };
        let mut message = [0; 4096];
        loop {
            let length = notify.recv(&mut message).unwrap_or_else(|error| {
                panic!(
                    "it does not say that it is ready: {error}; {:?}",
                    running.child.try_wait()
                )
            });
            if message[..length]
                .split(|b| *b == b'\n')
                .any(|line| line == b"READY=1")
            {
                return running;
            }
        }
    }

    fn ask(&self, words: &[&str], session: Option<&str>) -> Output {
        Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(words)
            .current_dir(&self.folder)
            .env("PALISADE_CONTROL", "control.sock")
            .env_remove("PALISADE_RULES")
            .env("NO_COLOR", "1")
            .env("SSH_CONNECTION", session.unwrap_or(""))
            .output()
            .expect("it runs")
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.ask(words, None);
        assert!(output.status.success(), "{words:?}: {}", error(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A connection, both of its ends.
struct Connection {
    ends: [TcpStream; 2],
    number: u8,
}

impl Connection {
    fn open(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port");
        let there = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        let (here, _) = listener.accept().expect("a connection");
        for end in [&there, &here] {
            end.set_read_timeout(Some(LONG)).expect("a time");
            end.set_nodelay(true).expect("at once");
        }
        Connection {
            ends: [there, here],
            number: 0,
        }
    }

    /// As sshd would say it.
    fn session(&self) -> String {
        let [there, here] = &self.ends;
        let port = |end: &TcpStream| end.local_addr().expect("an address").port();
        format!("127.0.0.1 {} 127.0.0.1 {}", port(there), port(here))
    }

    fn send(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.ends[0].write_all(&[self.number]).expect("it is sent");
    }

    /// Waits for what was sent, and answers.
    fn heard(&mut self) {
        let mut byte = [0];
        self.ends[1].read_exact(&mut byte).expect("it comes");
        assert_eq!(byte, [self.number]);
        self.ends[1].write_all(&byte).expect("it is answered");
        self.ends[0]
            .read_exact(&mut byte)
            .expect("the answer comes");
        assert_eq!(byte, [self.number]);
    }

    fn goes_on(&mut self) {
        self.send();
        self.heard();
    }
}

#[test]
fn a_connection_lives_through_everything_that_is_done_to_the_rules() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    apart(|| {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.expect("ip runs").success());
        let folder = tempfile::tempdir().expect("a folder");
        administered(folder.path());
    });
}

fn administered(folder: &Path) {
    let mut running = Running::start(folder);
    let mut connection = Connection::open(2222);
    let session = connection.session();
    connection.goes_on();
    // Counters of the commands people know are those of the packets.
    let listed = running.done(&["iptables", "-L", "INPUT", "-n", "-v", "-x"]);
    let packets = |needle: &str| -> u64 {
        let line = listed.lines().find(|l| l.contains(needle)).expect("a rule");
        let word = line.split_ascii_whitespace().next().expect("a counter");
        word.parse().expect("a number")
    };
    assert_eq!(packets("dpt:2222"), 1, "{listed}");
    assert!(packets("ESTABLISHED") >= 4, "{listed}");
    assert!(running.done(&["status"]).contains("ACCEPT"));

    // With a real connection and the real command line.
    for words in [
        &["reload", "--rules", "closed"][..],
        &[
            "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "2222", "-j", "DROP",
        ],
        &["iptables", "-F", "INPUT"],
    ] {
        let refused = running.ask(words, Some(&session));
        assert_eq!(
            refused.status.code(),
            Some(1),
            "{words:?}: {}",
            error(&refused)
        );
        let said = error(&refused);
        assert!(
            said.contains("would be cut") && said.contains("filter INPUT"),
            "{said}"
        );
        connection.goes_on();
    }
    // By force, and taken back because nobody confirms it: what was sent meanwhile is sent again by TCP, and arrives.
    let forced = running.ask(
        &["reload", "--rules", "closed", "--force", "--confirm", "1s"],
        Some(&session),
    );
    assert!(forced.status.success(), "{}", error(&forced));
    assert!(running.done(&["rules"]).contains("-j DROP"));
    connection.send();
    connection.heard();
    assert!(
        !running.done(&["rules"]).contains("-j DROP"),
        "it passed while the rules were closed"
    );

    // What the closed rules would do to live flows and live packets, without doing it.
    let preview = running.ask(&["reload", "--preview", "closed"], None);
    let told = String::from_utf8_lossy(&preview.stdout).into_owned();
    assert_eq!(preview.status.code(), Some(1), "{told}");
    assert!(
        told.contains(
            "new DROP by filter INPUT rule 1  -A INPUT -p tcp -m tcp --dport 2222 -j DROP"
        ),
        "{told}"
    );
    let shadowed = std::thread::scope(|scope| {
        let shadow = scope.spawn(|| running.ask(&["shadow", "closed", "--for", "2s"], None));
        while !shadow.is_finished() {
            connection.goes_on();
        }
        shadow.join().expect("it ends")
    });
    let told = String::from_utf8_lossy(&shadowed.stdout).into_owned();
    assert_eq!(
        shadowed.status.code(),
        Some(1),
        "{told}{}",
        error(&shadowed)
    );
    assert!(
        told.contains("old ACCEPT by filter INPUT rule 1")
            && told.contains("new DROP by filter INPUT rule 1"),
        "{told}"
    );

    for _ in 0..10 {
        running.done(&["reload"]);
        running.done(&["iptables", "-A", "INPUT", "-p", "udp", "-j", "DROP"]);
        connection.goes_on();
    }
    // A cut connection is none any more; its packets are those of no connection.
    running.done(&["reload", "--rules", "closed", "--cut"]);
    assert!(
        running.done(&["status"]).contains("connections  0 "),
        "{}",
        running.done(&["status"])
    );

    let stopped = running.ask(&["stop", "--open"], None);
    assert!(stopped.status.success(), "{}", error(&stopped));
    let ended = running.child.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    assert!(!folder.join("control.sock").exists());
    connection.goes_on();
}
