//! `palisade iptables` and its siblings on a file of rules.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{error, fed, out};

fn run(rules: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.args(arguments);
    command.env("PALISADE_RULES", rules).env("NO_COLOR", "1");
    fed(&mut command, input)
}

#[test]
fn commands_change_a_file_of_rules_one_after_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    for line in [
        "-P INPUT DROP",
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-N seen",
        "-I INPUT 1 -m state --state ESTABLISHED -j seen",
        "-A seen -j ACCEPT -c 7 700",
        "-t nat -A POSTROUTING -o wan0 -j MASQUERADE",
    ] {
        let words: Vec<&str> = ["iptables"].into_iter().chain(line.split(' ')).collect();
        let output = run(&rules, &words, "");
        assert!(output.status.success(), "{line}: {}", error(&output));
        assert_eq!(out(&output), "", "{line}");
    }
    let listed = run(
        &rules,
        &["iptables", "-L", "seen", "-n", "-v", "--line-numbers"],
        "",
    );
    assert_eq!(
        out(&listed),
        "Chain seen (1 references)\n\
         num   pkts bytes target     prot opt in     out     source               destination         \n\
         1        7   700 ACCEPT     0    --  *      *       0.0.0.0/0            0.0.0.0/0           \n"
    );
    let saved = run(&rules, &["iptables-save", "-c", "-t", "filter"], "");
    assert_eq!(
        out(&saved),
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:seen - [0:0]\n\
         [0:0] -A INPUT -m state --state ESTABLISHED -j seen\n\
         [0:0] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
         [7:700] -A seen -j ACCEPT\nCOMMIT\n"
    );
    let before = run(&rules, &["iptables", "-L", "seen", "-Z", "-v", "-n"], "");
    assert!(
        out(&before).contains("    7   700 ACCEPT"),
        "{}",
        out(&before)
    );
    let after = run(&rules, &["iptables", "-S", "seen", "-v"], "");
    assert_eq!(out(&after), "-N seen\n-A seen -c 0 0 -j ACCEPT\n");
}

#[test]
fn what_is_refused_changes_nothing_and_says_what_the_real_program_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    assert!(
        run(&rules, &["iptables", "-A", "INPUT", "-j", "DROP"], "")
            .status
            .success()
    );
    let before = std::fs::read(&rules).expect("rules");
    for (words, code, said) in [
        (
            &["iptables", "-D", "INPUT", "9"][..],
            1,
            "iptables: Index of deletion too big.",
        ),
        (
            &["iptables", "-C", "INPUT", "-j", "ACCEPT"],
            1,
            "iptables: Bad rule (does a matching rule exist in that chain?).",
        ),
        (
            &["iptables", "-A", "INPUT", "--dport", "5"],
            2,
            "iptables: unknown option \"--dport\"",
        ),
        (
            &["iptables", "-A", "nowhere", "-j", "DROP"],
            1,
            "iptables: No chain/target/match by that name.",
        ),
        (&["iptables"], 2, "iptables: no command specified"),
    ] {
        let output = run(&rules, words, "");
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert_eq!(error(&output).lines().next(), Some(said), "{words:?}");
        assert_eq!(std::fs::read(&rules).expect("rules"), before, "{words:?}");
    }
    let text = "*nat\n-A PREROUTING -j DNAT\nCOMMIT\n";
    let output = run(&rules, &["iptables-restore"], text);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read(&rules).expect("rules"), before);
}

#[test]
fn restore_replaces_tables_that_it_names_and_adds_with_noflush() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v6");
    let text = "*filter\n:INPUT DROP [5:500]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n\
                *nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";
    let test = run(&rules, &["ip6tables-restore", "--test"], text);
    assert!(test.status.success() && !rules.exists());
    assert!(
        run(&rules, &["ip6tables-restore", "-T", "filter"], text)
            .status
            .success()
    );
    let saved = out(&run(&rules, &["ip6tables-save"], ""));
    assert!(!saved.contains("*nat"), "{saved}");
    assert!(saved.contains(":INPUT DROP [0:0]"), "{saved}");
    let more = "*filter\n-A INPUT -p udp --dport 53 -j ACCEPT\nCOMMIT\n";
    assert!(
        run(&rules, &["ip6tables-restore", "--noflush"], more)
            .status
            .success()
    );
    let listed = out(&run(&rules, &["ip6tables", "-S", "INPUT"], ""));
    assert_eq!(
        listed,
        "-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
         -A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    );
    assert!(run(&rules, &["ip6tables-restore"], more).status.success());
    let listed = out(&run(&rules, &["ip6tables", "-S", "INPUT"], ""));
    // The policy stays: the text has no line about the chain.
    assert_eq!(
        listed,
        "-P INPUT DROP\n-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    );
}

#[cfg(unix)]
#[test]
fn the_name_it_is_called_by_is_the_program_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    let link = folder.path().join("iptables-nft");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_palisade"), &link).expect("a link");
    let output = Command::new(&link)
        .args(["--rules"])
        .arg(&rules)
        .args(["-A", "FORWARD", "-i", "lan0", "-j", "ACCEPT"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", error(&output));
    let saved = std::fs::read_to_string(&rules).expect("rules");
    assert!(saved.contains("-A FORWARD -i lan0 -j ACCEPT"), "{saved}");
}
