//! What must hold when things go wrong: a filter that is killed, and rules that change all the time.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use palisade_rules::Family;
use palisade_testkit::live::enforce::{By, Rules, control, enforce};
use palisade_testkit::live::net::{Machine, Net, Shape};
use palisade_testkit::live::traffic::{Talk, open};
use palisade_testkit::real::{asked, say};

/// Only port 80 may be opened.
const STRICT: Rules = Rules {
    name: "strict",
    v4: "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
         -A FORWARD -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    v6: "*filter\n:FORWARD DROP\nCOMMIT\n",
};

/// Longer than any retransmission that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn palisade() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_palisade"))
}

/// A network, or nothing where there can be none.
fn net() -> Option<Net> {
    asked("THE KERNEL WAS").then(|| Net::new(Shape::Routed).expect("a network"))
}

fn by(words: &[&str]) -> By {
    By::Palisade(words.iter().map(|w| (*w).to_string()).collect())
}

fn connects(net: &Net, port: u16) -> bool {
    let to = (net.address(Machine::Server, Family::V4), port).into();
    let wait = Duration::from_millis(1500);
    let tried = net.within(Machine::Client, || TcpStream::connect_timeout(&to, wait));
    tried.expect("a namespace").is_ok()
}

/// Has somebody listen on a port of the server until the network ends.
fn listen(net: &Net, port: u16) -> std::net::TcpListener {
    let to = net.address(Machine::Server, Family::V4);
    let bound = net.within(Machine::Server, || std::net::TcpListener::bind((to, port)));
    bound.expect("a namespace").expect("a port")
}

/// Waits until a file has been written after a moment.
fn written(path: &Path, after: std::time::SystemTime) {
    let end = Instant::now() + PATIENCE;
    loop {
        let changed = std::fs::metadata(path).and_then(|m| m.modified());
        if changed.is_ok_and(|t| t > after) {
            return;
        }
        assert!(Instant::now() < end, "{} is not written", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_under_load_it_lets_nothing_pass_and_the_next_one_goes_on_with_its_connections() {
    let Some(net) = net() else { return };
    let state: PathBuf = net.directory().join("state");
    let state_name = state.display().to_string();
    let strict = by(&[
        "--router",
        "--sysctl",
        "nf_conntrack_tcp_loose=0",
        "--state",
        &state_name,
        "--state-every",
        "200ms",
    ]);
    let _web = listen(&net, 8080);
    let mut first = enforce(&net, &strict, &STRICT, palisade())
        .expect("palisade runs")
        .expect("a process");
    let talk = Talk::start(&net, 80).expect("a connection that the rules allow");
    talk.goes_on(200, PATIENCE)
        .expect("the connection is under way");
    written(&state, std::time::SystemTime::now());
    first.kill().expect("killed");
    first.wait().expect("dead");

    assert!(
        !connects(&net, 80),
        "allowed by the rules, but nobody says so"
    );
    let stood = talk.rounds();
    assert!(!connects(&net, 8080), "forbidden by the rules");
    assert_eq!(talk.rounds(), stood, "nothing passes");

    let mut second = enforce(&net, &strict, &STRICT, palisade())
        .expect("palisade runs again")
        .expect("a process");
    talk.goes_on(200, PATIENCE)
        .expect("the connection goes on, though nothing but its state allows it to");
    assert!(!connects(&net, 8080), "forbidden by the rules");
    second.kill().expect("killed");
    second.wait().expect("dead");
}

#[test]
fn killed_with_fail_open_it_lets_everything_pass() {
    let Some(net) = net() else { return };
    let _other = listen(&net, 8080);
    let mut child = enforce(&net, &by(&["--router", "--fail-open"]), &STRICT, palisade())
        .expect("palisade runs")
        .expect("a process");
    assert!(!connects(&net, 8080), "forbidden by the rules");
    child.kill().expect("killed");
    child.wait().expect("dead");
    assert!(connects(&net, 8080), "nobody forbids it now");
}

/// Rules that mark every packet in one table and take the mark away in another: what is left with one has been judged by
/// half of them and half of others. The rule that counts those is the same in all.
fn marking(mark: u32) -> String {
    format!(
        "*mangle\n-A PREROUTING -j MARK --set-mark {mark}\n-A FORWARD -m mark --mark {mark} -j MARK --set-mark 0\nCOMMIT\n\
         *filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n\
         -A FORWARD -m mark ! --mark 0 -m comment --comment mixed -j DROP\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED -m comment --comment known -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n"
    )
}

/// Packets that a rule has counted, by its comment, as `palisade rules` prints it.
fn counted(net: &Net, comment: &str) -> u64 {
    let output = ask(net, &["rules"]);
    let line = output.lines().find(|l| l.contains(comment));
    let line = line.unwrap_or_else(|| panic!("no rule {comment} in\n{output}"));
    let count = line.trim_start_matches('[').split(':').next();
    count.and_then(|c| c.parse().ok()).expect("a counter")
}

/// What the running palisade answers.
fn ask(net: &Net, words: &[&str]) -> String {
    let output = Command::new(palisade())
        .args(words)
        .env("PALISADE_CONTROL", control(net))
        .output()
        .expect("palisade");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "palisade {}: {said}",
        words.join(" ")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const FLOWS: u16 = 10_000;

#[test]
fn rules_change_all_the_time_and_no_connection_is_lost() {
    let Some(net) = net() else { return };
    let long = std::env::var_os("PALISADE_LONG").is_some_and(|v| v == "1");
    let time = Duration::from_secs(if long { 60 } else { 4 });
    let files = [1, 2].map(|mark| {
        let path = net.directory().join(format!("marking-{mark}"));
        std::fs::write(&path, marking(mark)).expect("a file");
        path.display().to_string()
    });
    let text: &'static str = Box::leak(marking(1).into_boxed_str());
    let rules = Rules {
        name: "marking",
        v4: text,
        v6: "*filter\n:FORWARD DROP\nCOMMIT\n",
    };
    let words = ["--router", "--sysctl", "nf_conntrack_udp_timeout=600"];
    let mut child = enforce(&net, &by(&words), &rules, palisade())
        .expect("palisade runs")
        .expect("a process");
    open(&net, FLOWS).expect("flows in both directions");
    let talk = Talk::start(&net, 80).expect("a connection");
    talk.goes_on(50, PATIENCE).expect("it is under way");
    let count = || -> u64 {
        let output = ask(&net, &["conntrack", "-C"]);
        output.trim().parse().expect("a number of connections")
    };
    let before = count();
    assert!(before > u64::from(FLOWS), "{before}");
    let start = Instant::now();
    let mut reloads = 0;
    let mut next = start;
    while start.elapsed() < time {
        ask(&net, &["reload", "--rules", &files[reloads % 2]]);
        reloads += 1;
        talk.goes_on(1, PATIENCE).expect("it goes on");
        // One every 100 ms: that is what is asked for here.
        next += Duration::from_millis(100);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    talk.goes_on(50, PATIENCE).expect("it still goes on");
    open(&net, FLOWS).expect("all flows are still known, both ways");
    assert_eq!(counted(&net, "mixed"), 0, "judged by half a ruleset");
    assert!(counted(&net, "known") > u64::from(FLOWS));
    assert!(count() >= before, "connections were lost");
    say(&format!(
        "reloads: {reloads}, round trips meanwhile: {}",
        talk.rounds()
    ));
    child.kill().expect("killed");
    child.wait().expect("dead");
}
