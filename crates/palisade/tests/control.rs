//! What is asked of a running palisade by the commands of the binary: the drop-in names beside the real programs, and the
//! commands of its own. The server is this process, with an engine and without a backend.

mod common;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

use common::{error, fed, out};
use palisade_engine::{Engine, Host, Setup};
use palisade_live::Gate;
use palisade_live::control::{Access, Bounds, Control, Facts, Server, Socket};
use palisade_rules::{Family, parse};
use palisade_testkit::real::{apart, asked};

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
     -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
     -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

/// A palisade that answers.
struct Running {
    gate: Arc<Gate>,
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl Running {
    fn start(rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.v4");
        std::fs::write(&file, rules).expect("rules");
        let setup = Setup {
            rules4: parse::save_file(rules, Family::V4).v4,
            host: Host::new(["192.0.2.1".parse().expect("an address")], []),
            ..Setup::default()
        };
        let gate = Arc::new(Gate::new(Engine::new(setup).expect("an engine")));
        let facts = Facts {
            version: "0".into(),
            backend: "test".into(),
            workers: 1,
            files: [Some(file), None],
            ..Facts::default()
        };
        let control = Arc::new(Control::new(Arc::clone(&gate), facts));
        let socket = Socket::bind(&folder.path().join("control.sock"), None).expect("a socket");
        let server = Server::start(socket, control, Access::new(None), Bounds::default());
        Running {
            gate,
            folder,
            server: Some(server.expect("a server")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.run_with(arguments, input, &[])
    }

    fn run_with(&self, arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command
            .args(arguments)
            .env("PALISADE_CONTROL", self.path("control.sock"))
            .env("NO_COLOR", "1")
            .env_remove("PALISADE_RULES")
            // Tests may be run over ssh, by a session that is none of these rules'.
            .env("SSH_CONNECTION", "")
            .envs(environment.iter().copied());
        fed(&mut command, input)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gate.stop();
        if let Some(server) = self.server.take() {
            server.finish();
        }
    }
}

/// Commands one after the other, on what those before left: arguments, and what is on standard input.
const COMMANDS: &[(&str, &str)] = &[
    ("iptables -S", ""),
    ("iptables -P INPUT DROP", ""),
    ("iptables -w -A INPUT -p tcp --dport 22 -j ACCEPT", ""),
    (
        "iptables -w 5 -W 1000 -A INPUT -p udp --dport 53 -j ACCEPT -c 3 300",
        "",
    ),
    ("iptables -N seen", ""),
    ("iptables -N seen", ""),
    (
        "iptables -I INPUT 1 -m state --state ESTABLISHED -j seen",
        "",
    ),
    ("iptables -A seen -j ACCEPT", ""),
    ("iptables -C INPUT -p tcp --dport 22 -j ACCEPT", ""),
    ("iptables -C INPUT -p tcp --dport 23 -j ACCEPT", ""),
    ("iptables -R INPUT 2 -p tcp --dport 2222 -j ACCEPT", ""),
    ("iptables -R INPUT 9 -p tcp --dport 2222 -j ACCEPT", ""),
    ("iptables -D INPUT 9", ""),
    ("iptables -D INPUT -p tcp --dport 23 -j ACCEPT", ""),
    ("iptables -X seen", ""),
    ("iptables -E seen known", ""),
    ("iptables -L -n -v -x --line-numbers", ""),
    ("iptables -L INPUT -n", ""),
    ("iptables -L known", ""),
    ("iptables -L nowhere", ""),
    ("iptables -S INPUT -v", ""),
    ("iptables -S INPUT 2", ""),
    ("iptables -L INPUT -v -n -Z", ""),
    ("iptables -L INPUT -v -n", ""),
    ("iptables -Z INPUT 1", ""),
    ("iptables -t nat -A POSTROUTING -o wan0 -j MASQUERADE", ""),
    (
        "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.0.2.7:8080",
        "",
    ),
    ("iptables -t nat -S", ""),
    (
        "iptables -t nat -A INPUT -j DNAT --to-destination 192.0.2.7",
        "",
    ),
    ("iptables -A INPUT --dport 5", ""),
    ("iptables -A INPUT -p tcp --dport 70000", ""),
    ("iptables -A INPUT -j NOTARGET", ""),
    ("iptables -A nowhere -j DROP", ""),
    ("iptables -P known DROP", ""),
    ("iptables -t nothing -L", ""),
    ("iptables", ""),
    ("iptables -F known", ""),
    ("iptables -D INPUT 1", ""),
    ("iptables -X known", ""),
    ("iptables-save", ""),
    ("iptables-save -c -t filter", ""),
    (
        "iptables-restore",
        "*mangle\n-A PREROUTING -j MARK --set-mark 1\nCOMMIT\n*filter\n-A INPUT -p tcp --dportx 1 -j DROP\nCOMMIT\n*nat\nCOMMIT\n",
    ),
    ("iptables-save -t mangle", ""),
    ("iptables-save -t nat", ""),
    ("iptables-save -t filter", ""),
    (
        "iptables-restore",
        "*mangle\n-A OUTPUT -j ACCEPT\nCOMMIT\n*filter\n-A INPUT -j nowhere\nCOMMIT\n",
    ),
    ("iptables-restore", "*filter\n-A INPUT -j ACCEPT\n"),
    (
        "iptables-restore",
        "*filter\n-A INPUT -p sctp -j ACCEPT\nCOMMIT\nCOMMIT\n",
    ),
    ("iptables-restore", "*nothing\nCOMMIT\n"),
    ("iptables-restore", "-A INPUT -j DROP\n"),
    ("iptables-save -t mangle", ""),
    ("iptables-save -t filter", ""),
    (
        "iptables-restore --test",
        "*filter\n-A INPUT -j DROP\nCOMMIT\n",
    ),
    (
        "iptables-restore -w 3 --noflush",
        "*filter\n[5:500] -A INPUT -p icmp -j ACCEPT\nCOMMIT\n",
    ),
    ("iptables-save -c -t filter", ""),
    (
        "iptables-restore -c -w",
        "*filter\n:INPUT ACCEPT [7:700]\n:own - [0:0]\n[5:500] -A INPUT -p icmp -j own\nCOMMIT\n",
    ),
    ("iptables-save -c -t filter", ""),
    (
        "iptables-restore -T nat",
        "*filter\nCOMMIT\n*nat\n-A POSTROUTING -j ACCEPT\nCOMMIT\n",
    ),
    ("iptables-save -t filter", ""),
    ("iptables-save -t nat", ""),
    ("iptables -Z", ""),
    ("iptables -F", ""),
    ("iptables -X", ""),
    ("iptables-save -c -t filter", ""),
];

/// What can be compared: all that is printed but comments with dates, the exit code, and of a refusal its first words
/// without the program's name and version.
fn comparable(output: &Output) -> (String, Option<i32>, String) {
    let printed = out(output);
    let printed: Vec<&str> = printed.lines().filter(|l| !l.starts_with('#')).collect();
    let said = error(output);
    let lines = said.lines().filter(|l| !l.starts_with("# "));
    let first = lines.map(str::trim).find(|l| !l.is_empty()).unwrap_or("");
    // The program, with its version or without, and in some cases its name once more.
    let mut first = first;
    while let Some((program, rest)) = first.split_once(": ")
        && ["iptables", "ip6tables"]
            .iter()
            .any(|name| program.starts_with(name))
    {
        first = rest;
    }
    (printed.join("\n"), output.status.code(), first.to_string())
}

fn compare(tools: &str) -> Vec<String> {
    let running = Running::start("");
    let mut different = Vec::new();
    for (line, input) in COMMANDS {
        let words: Vec<&str> = line.split(' ').collect();
        let (program, rest) = (words[0], &words[1..]);
        let ours = running.run(&[&[program, "--as", tools], rest].concat(), input);
        let name = program.replace("iptables", &format!("iptables-{tools}"));
        let real = fed(Command::new(name).args(rest), input);
        let (ours, real) = (comparable(&ours), comparable(&real));
        if ours != real {
            different.push(format!(
                "{tools}: {line} {input:?}\n  ours {ours:?}\n  real {real:?}"
            ));
        }
    }
    different
}

#[test]
fn the_drop_in_names_do_what_the_real_programs_do() {
    if !asked("THE REAL PROGRAMS WERE") {
        return;
    }
    let mut different = Vec::new();
    for tools in ["legacy", "nft"] {
        different.extend(apart(|| compare(tools)));
    }
    assert!(
        different.is_empty(),
        "{} of {} commands differ:\n{}",
        different.len(),
        2 * COMMANDS.len(),
        different.join("\n")
    );
}

#[test]
fn status_and_rules_for_people_and_programs() {
    let running = Running::start(RULES);
    let told = out(&running.run(&["status"], ""));
    assert!(told.contains("backend      test, 1 worker"), "{told}");
    assert!(
        told.contains("rules        2 in 3 chains of 1 tables, from "),
        "{told}"
    );
    assert!(
        told.contains("rules IPv6   none: everything is accepted"),
        "{told}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&running.run(&["status", "--format", "json"], "").stdout)
            .expect("JSON");
    assert_eq!(json["rules"][0]["rules"], 2);
    assert_eq!(json["generation"], 0);
    let rules = running.run(&["rules", "--no-counters"], "");
    assert_eq!(out(&rules), RULES);
    let counted = out(&running.run(&["rules", "-t", "filter"], ""));
    assert!(counted.contains("[0:0] -A INPUT -p tcp"), "{counted}");
    let json: serde_json::Value = serde_json::from_slice(
        &running
            .run(&["rules", "--no-counters", "--format", "json"], "")
            .stdout,
    )
    .expect("JSON");
    assert_eq!(
        (json["family"].as_str(), json["rules"].as_str()),
        (Some("ipv4"), Some(RULES))
    );
}

#[test]
fn where_nothing_runs_it_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [
        &["status"][..],
        &["iptables", "-S"],
        &["iptables-save"],
        &["reload", "--rules", "/dev/null"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(words)
            .env("PALISADE_CONTROL", folder.path().join("nobody"))
            .env_remove("PALISADE_RULES")
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(
            error(&output).contains("no palisade is running here"),
            "{}",
            error(&output)
        );
    }
}

#[test]
fn a_reload_tells_errors_with_their_places_and_what_it_did() {
    let running = Running::start(RULES);
    let broken = running.write("broken", &RULES.replace("--dport 22", "--dprot 22"));
    let refused = running.run(&["reload", "--rules", &broken], "");
    assert_eq!(refused.status.code(), Some(2));
    let said = error(&refused);
    assert!(
        said.contains("--dprot") && said.contains(":6:") && said.contains("^^^^"),
        "{said}"
    );
    let other = running.write("other", &RULES.replace("--dport 22", "--dport 443"));
    let preview = running.run(&["reload", "--preview", &other], "");
    assert_eq!(
        (out(&preview).as_str(), preview.status.code()),
        ("no live flow would be judged differently\n", Some(0))
    );
    let done = running.run(&["reload", "--rules", &other], "");
    assert_eq!(
        (out(&done).as_str(), done.status.code()),
        (
            "rules in place: 1 as before, 1 new, 1 gone; connections stay\n",
            Some(0)
        ),
        "{}",
        error(&done)
    );
    // Without a file those of the start; a running palisade is saved to the file that it began with.
    assert!(running.run(&["save"], "").status.success());
    let file = std::fs::read_to_string(running.path("rules.v4")).expect("rules");
    assert_eq!(file, RULES.replace("--dport 22", "--dport 443"));
    std::fs::write(running.path("rules.v4"), RULES).expect("rules");
    let done = running.run(&["reload", "--format", "json"], "");
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(
        (&json["reloaded"]["kept"], &json["reloaded"]["generation"]),
        (&1.into(), &2.into())
    );
    assert_eq!(out(&running.run(&["rules", "--no-counters"], "")), RULES);
    let to = running.path("saved");
    let saved = running.run(&["save", "--to", to.to_str().expect("UTF-8"), "-c"], "");
    assert!(saved.status.success());
    assert!(
        std::fs::read_to_string(to)
            .expect("rules")
            .contains("[0:0] -A INPUT")
    );
}

#[test]
fn the_session_it_is_typed_into_is_not_cut() {
    let running = Running::start(RULES);
    let ssh = [("SSH_CONNECTION", "203.0.113.9 40000 192.0.2.1 22")];
    let open = [
        ("SSH_CONNECTION", ""),
        ("PALISADE_PROTECT", "203.0.113.9:40000-192.0.2.1:22"),
    ];
    let closed = running.write("closed", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n");
    let before = out(&running.run(&["rules"], ""));
    for (words, input, environment) in [
        (
            &[
                "iptables",
                "-I",
                "INPUT",
                "-s",
                "203.0.113.0/24",
                "-j",
                "REJECT",
            ][..],
            "",
            &ssh[..],
        ),
        (&["iptables", "-F"], "", &open),
        (
            &["iptables-restore"],
            "*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
            &ssh,
        ),
        (&["reload", "--rules", &closed], "", &ssh),
        (
            &[
                "reload",
                "--rules",
                &closed,
                "--protect",
                "203.0.113.9:40000-192.0.2.1:22",
            ],
            "",
            &[],
        ),
    ] {
        let output = running.run_with(words, input, environment);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{words:?}: {}",
            error(&output)
        );
        let said = error(&output);
        assert!(
            said.starts_with("palisade: the session 203.0.113.9:40000-192.0.2.1:22 would be cut: "),
            "{said}"
        );
        assert!(said.contains("filter INPUT"), "{said}");
        assert_eq!(out(&running.run(&["rules"], "")), before, "{words:?}");
    }
    let forced = [ssh[0], ("PALISADE_FORCE", "1")];
    assert!(
        running
            .run_with(&["iptables", "-F"], "", &forced)
            .status
            .success()
    );
    std::fs::write(running.path("rules.v4"), RULES).expect("rules");
    assert!(running.run(&["reload"], "").status.success());
    let forced = running.run_with(&["reload", "--rules", &closed, "--force"], "", &ssh);
    assert!(forced.status.success(), "{}", error(&forced));
}

#[test]
fn what_waits_for_confirmation_is_confirmed_or_taken_back() {
    let running = Running::start(RULES);
    let other = running.write("other", &RULES.replace("--dport 22", "--dport 443"));
    let done = running.run(&["reload", "--rules", &other, "--confirm", "10m"], "");
    assert!(
        out(&done).ends_with("come back in 600 s unless palisade confirm is said before\n"),
        "{}",
        out(&done)
    );
    let refused = running.run(&["iptables", "-F"], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(running.run(&["confirm"], "").status.success());
    assert_eq!(running.run(&["confirm"], "").status.code(), Some(1));
    assert!(running.run(&["iptables", "-F"], "").status.success());
    assert!(
        running
            .run(&["reload", "--rules", &other, "--confirm", "1s"], "")
            .status
            .success()
    );
    let late = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while out(&running.run(&["rules"], "")).contains("443") {
        assert!(
            std::time::Instant::now() < late,
            "the old rules do not come back"
        );
    }
}

#[test]
fn a_shadow_ends_in_time_and_says_that_nothing_differed() {
    let running = Running::start(RULES);
    let other = running.write("other", RULES);
    let output = running.run(&["shadow", &other, "--for", "1s"], "");
    assert_eq!(
        out(&output),
        "0 packets judged by both, 0 of them differently\n",
        "{}",
        error(&output)
    );
    assert!(output.status.success());
}
