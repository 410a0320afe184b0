//! `palisade run --wire`: a gate that stays closed when the process is killed, and what is refused at the start.
//!
//! Needs root and network namespaces; without them it says SKIPPED, which is a failure where `PALISADE_REQUIRE_KERNEL=1`.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use palisade_testkit::real::asked;

/// Three namespaces in a row, the middle one with the ends of the wire; they end with the value.
struct Net(String);

impl Net {
    fn new(case: &str) -> Net {
        let net = Net(format!("plw-{}-{case}", std::process::id()));
        for place in ["l", "m", "r"] {
            tool("ip", &format!("netns add {}", net.name(place)));
        }
        for (place, end, address) in [("l", "a", "10.9.0.1"), ("r", "b", "10.9.0.2")] {
            let (outer, middle) = (net.name(place), net.name("m"));
            tool(
                "ip",
                &format!("link add e0 netns {outer} type veth peer name {end} netns {middle}"),
            );
            tool("ip", &format!("-n {outer} addr add {address}/24 dev e0"));
            tool("ip", &format!("-n {outer} link set dev e0 up"));
            tool("ip", &format!("-n {middle} link set dev {end} up"));
        }
        net
    }

    fn name(&self, place: &str) -> String {
        format!("{}-{place}", self.0)
    }

    fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(place), program]);
        command
    }

    /// Whether the right answers the left within some tries.
    fn pings(&self, tries: usize) -> bool {
        (0..tries).any(|_| {
            let mut ping = self.command("l", "ping");
            ping.args(["-n", "-c1", "-W1", "10.9.0.2"]);
            ping.output().expect("ping").status.success()
        })
    }

    /// `palisade run` in the middle, with rules.
    fn run(&self, rules: &str, arguments: &[&str]) -> (Command, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("rules");
        std::fs::write(&file, rules).expect("rules");
        let mut command = self.command("m", env!("CARGO_BIN_EXE_palisade"));
        command
            .args(["run", "--wire", "a,b", "--rules"])
            .arg(file)
            .args(arguments);
        command.arg("--no-control");
        (command, directory)
    }
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

fn tool(program: &str, arguments: &str) {
    let done = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .expect(program);
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments}: {words}");
}

/// Waits until packets are judged.
fn started(mut command: Command) -> Child {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("palisade");
    let mut words = BufReader::new(child.stderr.take().expect("its words"));
    let mut all = String::new();
    while !all.contains("packets are judged") {
        let read = words.read_line(&mut all).expect("its words");
        assert!(read > 0, "it ended: {all}");
    }
    child
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const RULES: &str = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p icmp -j ACCEPT\nCOMMIT\n";

#[test]
fn a_killed_wire_stays_closed_and_a_new_start_takes_it_over() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    for by in ["xdp", "packet"] {
        let net = Net::new(by);
        // A host that would forward if it saw the packets.
        tool(
            "ip",
            &format!("-n {} addr add 10.9.0.3/24 dev a", net.name("m")),
        );
        let (command, _files) = net.run(RULES, &["--wire-by", by]);
        let mut killed = started(command);
        assert!(net.pings(10), "{by}");
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(!net.pings(1), "{by}: killed");
        let mut table = net.command("m", "nft");
        let table = table.args(["list", "ruleset"]).output().expect("nft");
        assert!(
            String::from_utf8_lossy(&table.stdout).contains("palisade-a-b"),
            "{by}"
        );
        let (command, _files) = net.run(RULES, &["--wire-by", by]);
        let mut next = started(command);
        assert!(net.pings(10), "{by}: again");
        next.kill().unwrap();
        next.wait().unwrap();
    }
}

#[test]
fn rules_that_need_a_host_are_refused_with_their_place() {
    if !asked("THE KERNEL WAS") {
        return;
    }
    let net = Net::new("refused");
    let rules = "*nat\n-A POSTROUTING -o b -j MASQUERADE\nCOMMIT\n";
    let (mut command, _files) = net.run(rules, &[]);
    let refused = command.output().expect("palisade");
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    let expect = "iptables -t nat POSTROUTING rule 1: MASQUERADE: the interfaces have no address";
    assert!(words(&refused).contains(expect), "{}", words(&refused));
}
