//! The catalogue as a page of documentation.

use std::fmt::Write;

use palisade_rules::Severity;

use crate::lints::{CATALOGUE, Lint};

/// `docs/lints.md`.
pub fn reference() -> String {
    let mut out = String::from(
        "# Lints\n\nWhat `palisade check` finds beyond what iptables refuses. This page is made from the catalogue in \
         `crates/analysis/src/lints/`; a test holds the two equal.\n\n\
         `# palisade: allow PL007 reason` in a rules file or script takes a finding away: at the top for the whole file, \
         behind a command for that line, anywhere else for the next line. On the command line `--allow PL007` turns a lint \
         off, `--deny PL007` makes its findings fail the check, `--deny warnings` those of all warnings.\n\n\
         `palisade check rules.v4 rules.v6` reads the files of one host; whose a save file is, is told by what stands in it (`-6` or \
         `--rules6 FILE` say it). `--pcap FILE` measures the order of rules on a capture. It exits with 0, with 1 when something denied was \
         found, and with 2 when iptables would refuse a file; in such a file lints do not run, because rules are missing. `--format json` prints \
         an object a line (file, severity, code, message, line, column in characters, start and end in bytes, notes, help, replacement), then a \
         summary; `--format sarif` prints SARIF 2.1.0.\n\n\
         A finding that speaks of a packet has sent that packet through the table. Tests whose answer is not in the rules (a \
         rate, a set, a mark, an owner) are taken to fail unless the finding says otherwise. Chains that a program writes (Docker, \
         kube-proxy, ufw, firewalld, Shorewall and others) are followed, but not blamed for style.\n\n\
         | code | name | severity | finds |\n|---|---|---|---|\n",
    );
    for lint in CATALOGUE {
        let _ = writeln!(
            out,
            "| [{}](#{}) | {} | {} | {} |",
            lint.code,
            lint.code.to_lowercase(),
            lint.name,
            severity(lint),
            lint.title
        );
    }
    for lint in CATALOGUE {
        let _ = write!(
            out,
            "\n## {}\n\n**{}** ({}): {}.\n\n{}\n\n**What to do:** {}.\n",
            lint.code,
            lint.name,
            severity(lint),
            lint.title,
            lint.reason,
            lint.fix
        );
        for (word, example) in [("Bad", &lint.bad), ("Good", &lint.good)] {
            for (family, text) in [("", example.v4), (" (IPv6)", example.v6)] {
                if !text.is_empty() {
                    let _ = write!(out, "\n{word}{family}:\n\n");
                    for line in text.lines() {
                        let _ = writeln!(out, "    {line}");
                    }
                }
            }
        }
    }
    out
}

fn severity(lint: &Lint) -> &'static str {
    match lint.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
