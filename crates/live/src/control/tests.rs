//! A server with an engine and no backend, asked as clients ask it, and as nobody should.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use palisade_engine::rules::{Family, parse};
use palisade_engine::{Engine, Host, Setup};

use super::message::{Answer, Ended, Ip, Language, Leave, Opening, Request};
use super::*;
use crate::Gate;

mod changes;

/// Short enough for tests that wait for the end of it.
const BOUNDS: Bounds = Bounds {
    clients: 4,
    asking: 2,
    request: Duration::from_millis(150),
    answer: Duration::from_millis(150),
};

/// Longer than anything takes that is not broken.
const LONG: Duration = Duration::from_secs(10);

pub(crate) const RULES: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
     -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

/// A gate that decides by rules, for the host 192.0.2.1.
pub(crate) fn gate(rules: &str) -> Arc<Gate> {
    let setup = Setup {
        rules4: parse::save_file(rules, Family::V4).v4,
        host: Host::new(["192.0.2.1".parse().expect("an address")], []),
        ..Setup::default()
    };
    Arc::new(Gate::new(Engine::new(setup).expect("an engine")))
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) control: Arc<Control>,
    pub(crate) path: PathBuf,
    left: Arc<Mutex<Option<Leave>>>,
    server: Option<Server>,
    _folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(gate: Arc<Gate>, bounds: Bounds) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a mode");
        let path = folder.path().join("control.sock");
        let facts = Facts {
            version: "1.2.3".into(),
            backend: "none".into(),
            files: [Some("/etc/rules.v4".into()), None],
            ..Facts::default()
        };
        let stopped = Arc::clone(&gate);
        let left = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&left);
        let control = Control::new(gate, facts).on_stop(move |leave| {
            *heard.lock().expect("a lock") = Some(leave);
            stopped.stop();
        });
        let control = Arc::new(control);
        let socket = Socket::bind(&path, None).expect("a socket");
        let server = Server::start(socket, Arc::clone(&control), Access::new(None), bounds);
        Running {
            control,
            path,
            left,
            server: Some(server.expect("a server")),
            _folder: folder,
        }
    }

    /// All parts of an answer, and how it ended.
    pub(crate) fn ask(&self, request: &Request) -> (Vec<Answer>, Ended) {
        let mut parts = Vec::new();
        let ended = ask(&self.path, request)
            .and_then(|mut asked| {
                asked.each(|part| {
                    parts.push(part);
                    Ok::<(), AskError>(())
                })
            })
            .expect("an answer");
        (parts, ended)
    }

    fn status(&self) -> message::Status {
        let (mut parts, ended) = self.ask(&Request::Status {});
        assert_eq!(ended, Ended::Yes);
        match parts.pop() {
            Some(Answer::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.gate().stop();
        if let Some(server) = self.server.take() {
            server.finish();
        }
    }
}

/// What comes until the other side hangs up.
fn everything(mut stream: &UnixStream) -> Vec<u8> {
    stream.set_read_timeout(Some(LONG)).expect("a time");
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        // Hung up with bytes of ours unread.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(e) => panic!("it does not hang up: {e}"),
    }
    all
}

fn connected(path: &Path) -> UnixStream {
    UnixStream::connect(path).expect("a connection")
}

#[test]
fn status_and_rules_are_told() {
    let running = Running::start(gate(RULES), Bounds::default());
    let status = running.status();
    assert_eq!(status.version, "1.2.3");
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.rules[0].rules, 2);
    assert_eq!(status.rules[0].file, Some("/etc/rules.v4".into()));
    assert_eq!(status.rules[1].tables, 0);
    let request = Request::Rules {
        family: Ip::V4,
        language: Language::Legacy,
        counters: false,
        table: None,
    };
    let (parts, ended) = running.ask(&request);
    assert_eq!(ended, Ended::Yes);
    assert!(
        matches!(&parts[..], [Answer::Text(text)] if text == RULES),
        "{parts:?}"
    );
}

#[test]
fn told_to_stop_the_gate_stops_and_the_socket_goes() {
    let mut running = Running::start(gate(RULES), Bounds::default());
    let (_, ended) = running.ask(&Request::Stop {
        leave: Leave::Closed,
    });
    assert_eq!(ended, Ended::Yes);
    running.server.take().expect("a server").finish();
    assert!(running.control.gate().stopping());
    assert_eq!(*running.left.lock().expect("a lock"), Some(Leave::Closed));
    assert!(!running.path.exists());
    assert!(matches!(
        ask(&running.path, &Request::Status {}),
        Err(AskError::NotRunning { .. })
    ));
}

#[test]
fn another_version_and_an_unknown_request_are_told_so() {
    let running = Running::start(gate(RULES), Bounds::default());
    for (opening, wanted) in [
        (r#"{"version":99,"request":{"dance":{}}}"#, "version 99"),
        (
            r#"{"version":1,"request":{"dance":{}}}"#,
            "unknown variant `dance`",
        ),
        (
            r#"{"version":1,"request":{"stop":{"leave":"ajar"}}}"#,
            "unknown variant `ajar`",
        ),
    ] {
        let stream = connected(&running.path);
        let opening: Opening = serde_json::from_str(opening).expect("an opening");
        frame::write(&stream, &opening, LONG).expect("it goes");
        let until = Some(Instant::now() + LONG);
        let said: Answer = frame::read(&stream, frame::MAX_ANSWER, until).expect("an answer");
        assert!(
            matches!(&said, Answer::Said(text) if text.contains(wanted)),
            "{said:?}"
        );
        let done: Answer = frame::read(&stream, frame::MAX_ANSWER, until).expect("an end");
        assert!(matches!(done, Answer::Done(Ended::BadInput)), "{done:?}");
    }
    assert!(!running.control.gate().stopping());
}

/// A ruleset whose text does not fit into the buffers of a socket.
fn large() -> String {
    let mut text = String::from("*filter\n:INPUT ACCEPT [0:0]\n");
    for n in 0..40_000 {
        let [_, b, c, d] = u32::to_be_bytes(n);
        text.push_str(&format!("-A INPUT -s 10.{b}.{c}.{d}/32 -j DROP\n"));
    }
    text.push_str("COMMIT\n");
    text
}

/// What hostile clients get is nothing, and others do not notice them. Each is followed by an honest
/// question with packets judged beside it.
#[test]
fn hostile_clients_get_nothing_and_harm_nothing() {
    let running = Running::start(gate(&large()), BOUNDS);
    let honest = || {
        let begun = Instant::now();
        running
            .control
            .gate()
            .with(|engine, now| engine.expire(now));
        assert_eq!(running.status().rules[0].rules, 40_000);
        assert!(begun.elapsed() < LONG);
    };
    let hang_up = |stream: &UnixStream| assert_eq!(everything(stream), b"");

    // A length beyond the bound: refused before memory is taken for it.
    let mut stream = connected(&running.path);
    stream.write_all(&u32::MAX.to_be_bytes()).expect("it goes");
    hang_up(&stream);
    honest();

    // Garbage, as a length and as a message.
    let mut stream = connected(&running.path);
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    hang_up(&stream);
    let mut stream = connected(&running.path);
    stream.write_all(&[0, 0, 0, 5]).expect("it goes");
    stream.write_all(b"\xff\xfe{[\0").expect("it goes");
    hang_up(&stream);
    let mut stream = connected(&running.path);
    let nested = [&[0, 0, 0x40, 0][..], &[b'['; 0x4000]].concat();
    stream.write_all(&nested).expect("it goes");
    hang_up(&stream);
    honest();

    // Nothing at all, and half a request.
    let silent = connected(&running.path);
    let mut half = connected(&running.path);
    half.write_all(&[0, 0, 1, 0, b'{']).expect("it goes");
    honest();
    hang_up(&silent);
    hang_up(&half);

    // Asks for much and does not read: given up, though the answer would have gone on.
    let request = Request::Rules {
        family: Ip::V4,
        language: Language::Legacy,
        counters: true,
        table: None,
    };
    let slow = connected(&running.path);
    let opening = Opening::new(&request).expect("an opening");
    frame::write(&slow, &opening, LONG).expect("it goes");
    let given_up = Instant::now() + LONG;
    honest();
    let clients = || running.server.as_ref().map_or(0, Server::clients);
    while clients() > 0 {
        assert!(
            Instant::now() < given_up,
            "it waits for a client that does not read"
        );
        std::thread::yield_now();
    }
    let got = everything(&slow);
    assert!(
        got.len() < large().len(),
        "all of it was sent: {}",
        got.len()
    );

    // More than there is room for: those beyond are sent away at once, and the room is given back.
    let crowd: Vec<UnixStream> = (0..BOUNDS.clients * 3)
        .map(|_| connected(&running.path))
        .collect();
    crowd.iter().for_each(hang_up);
    honest();

    // Goes away in the middle of an answer.
    let gone = connected(&running.path);
    frame::write(&gone, &opening, LONG).expect("it goes");
    drop(gone);
    honest();
    assert!(!running.control.gate().stopping());
}

/// A client of a user who may nothing, and of one of the group, gets no byte; its request is not even read.
#[test]
fn a_wrong_user_gets_nothing() {
    if !nix::unistd::geteuid().is_root() {
        let asked = std::env::var_os("PALISADE_REQUIRE_KERNEL").is_some_and(|v| v == "1");
        assert!(!asked, "PALISADE_REQUIRE_KERNEL=1, and this is not root");
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let running = Running::start(gate(RULES), Bounds::default());
    // The mode of the file alone keeps them out; here it does not.
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&running.path, open).expect("a mode");
    let path = running.path.clone();
    let nobody = std::thread::spawn(move || {
        become_user(65_534);
        let stream = connected(&path);
        let opening = Opening::new(&Request::Stop { leave: Leave::Open }).expect("an opening");
        // It may have hung up already.
        let _ = frame::write(&stream, &opening, LONG);
        (
            everything(&stream),
            ask(&path, &Request::Status {}).map(|mut a| a.part()),
        )
    });
    let (bytes, asked) = nobody.join().expect("the thread ends");
    assert_eq!(bytes, b"");
    assert!(matches!(asked, Ok(Err(AskError::HungUp(_)))), "{asked:?}");
    assert!(!running.control.gate().stopping());
}

/// Makes the calling thread, and no other, one of another user.
fn become_user(id: libc::c_long) {
    // SAFETY: the system call takes three numbers and no pointers; called as such, without libc's wrapper, it changes
    // the credentials of this thread only.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn members_of_the_group_ask_and_change_nothing() {
    let control = Arc::new(Control::new(gate(RULES), Facts::default()));
    let say = |request: &Request| {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let opening = Opening::new(request).expect("an opening");
        frame::write(&ours, &opening, LONG).expect("it goes");
        let peer = Peer::of(&theirs).expect("a peer");
        server::serve(&control, &theirs, &peer, Rights::Ask, &Bounds::default());
        drop(theirs);
        let mut last = None;
        let until = Some(Instant::now() + LONG);
        while let Ok(answer) = frame::read::<Answer>(&ours, frame::MAX_ANSWER, until) {
            last = Some(answer);
        }
        last
    };
    let status = say(&Request::Status {});
    assert!(
        matches!(status, Some(Answer::Done(Ended::Yes))),
        "{status:?}"
    );
    let stop = say(&Request::Stop { leave: Leave::Open });
    assert!(
        matches!(stop, Some(Answer::Done(Ended::BadInput))),
        "{stop:?}"
    );
    assert!(!control.gate().stopping());
}

#[test]
fn lines_that_rules_log_are_told_as_they_come() {
    let running = Running::start(gate(RULES), Bounds::default());
    let feed = running.control.gate().feed();
    for n in 0..600 {
        feed.put(&format!("IN= OUT=lo N={n}"));
    }
    let tail = |last, follow| {
        let mut asked = ask(&running.path, &Request::Log { last, follow }).expect("asked");
        let first = asked.part().expect("an answer");
        (asked, first)
    };
    let (mut asked, first) = tail(2, true);
    assert!(
        matches!(&first, Answer::Text(t) if t == "IN= OUT=lo N=598\nIN= OUT=lo N=599\n"),
        "{first:?}"
    );
    feed.put("one more");
    let next = asked.part().expect("an answer");
    assert!(
        matches!(&next, Answer::Text(t) if t == "one more\n"),
        "{next:?}"
    );
    let (parts, ended) = running.ask(&Request::Log {
        last: 1000,
        follow: false,
    });
    assert_eq!(ended, Ended::Yes);
    let lines: usize = parts
        .iter()
        .map(|part| match part {
            Answer::Text(text) => text.lines().count(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(lines, 601);
    // Who goes away is noticed though nothing is logged.
    drop(asked);
    let late = Instant::now() + LONG;
    while running.server.as_ref().map_or(0, Server::clients) > 0 {
        assert!(Instant::now() < late, "it waits for a client that is gone");
        std::thread::yield_now();
    }
}
