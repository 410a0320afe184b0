//! The unit file of systemd: what it starts is what the command takes, and what it forbids is not needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/palisade.service")
}

/// Values by section and key, in their order; lines that end in a backslash go on.
fn read() -> BTreeMap<(String, String), Vec<String>> {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut read: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').expect("a section").to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').expect("key and value");
        let values = read.entry((section.clone(), key.to_owned())).or_default();
        values.push(value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    read
}

#[test]
fn it_starts_what_the_command_takes() {
    let unit = read();
    let start = &unit[&("Service".to_owned(), "ExecStart".to_owned())];
    let [start] = start.as_slice() else {
        panic!("{start:?}");
    };
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[..2], ["/usr/bin/palisade", "run"]);
    // The command says what it does not know before it does anything.
    let mut words = words[1..].to_vec();
    words.push("--no-such-option");
    let output = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("unexpected argument '--no-such-option'"),
        "{said}"
    );
}

#[test]
fn it_grants_what_is_needed_and_no_more() {
    let unit = read();
    let service = |key: &str| {
        let values = unit.get(&("Service".to_owned(), key.to_owned()));
        values.unwrap_or_else(|| panic!("no {key}")).join(" ")
    };
    assert_eq!(service("Type"), "notify");
    assert_eq!(
        service("CapabilityBoundingSet"),
        "CAP_NET_ADMIN CAP_NET_RAW"
    );
    assert_eq!(service("Restart"), "always");
    for key in [
        "NoNewPrivileges",
        "MemoryDenyWriteExecute",
        "RestrictNamespaces",
        "LockPersonality",
        "ProtectHome",
        "ProtectKernelModules",
    ] {
        assert_eq!(service(key), "yes", "{key}");
    }
    assert_eq!(service("ProtectSystem"), "strict");
    for family in [
        "AF_UNIX",
        "AF_INET",
        "AF_INET6",
        "AF_NETLINK",
        "AF_PACKET",
        "AF_XDP",
    ] {
        let families = service("RestrictAddressFamilies");
        assert!(families.split(' ').any(|f| f == family), "{family}");
    }
    // Two more calls than systemd grants services: our own filter, and capabilities to be given up.
    let last = &unit[&("Service".to_owned(), "SystemCallFilter".to_owned())];
    let granted = last.last().unwrap();
    for call in ["capset", "seccomp", "prctl"] {
        assert!(granted.split(' ').any(|c| c == call), "{call}");
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("palisade.service");
    // The program is where it is, not where it will be.
    let text = std::fs::read_to_string(path()).unwrap();
    let text = text.replace("/usr/bin/palisade", env!("CARGO_BIN_EXE_palisade"));
    std::fs::write(&unit, text).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: systemd-analyze: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said
        .lines()
        .filter(|l| l.contains("palisade.service"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}
