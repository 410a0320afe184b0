//! `palisade completions SHELL`: our own commands, and in bash the words of rules too.

use std::fmt::Write;
use std::io::Write as _;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use palisade_rules::Extension;
use palisade_rules::catalogue::{Families, MATCHES, TARGETS};

use crate::Exit;
use crate::args::{Arguments, CompletionsArguments};

/// Runs `palisade completions`.
pub fn run(arguments: &CompletionsArguments) -> Result<Exit> {
    let mut script = Vec::new();
    let shell = Shell::from(arguments.shell);
    generate(shell, &mut Arguments::command(), "palisade", &mut script);
    if shell == Shell::Bash {
        script.extend_from_slice(rules().as_bytes());
    }
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Yes)
}

/// Options that every rule takes.
const BASE: &str = "-A -I -D -R -C -L -S -F -Z -N -X -P -E -t -p -s -d -i -o -m -j -g -n -v --append \
    --insert --delete --replace --check --list --list-rules --flush --zero --new-chain --delete-chain --policy \
    --rename-chain --table --protocol --source --destination --in-interface --out-interface --match --jump \
    --goto --numeric --verbose --line-numbers";

/// Words of rules for bash, from the catalogue: names behind `-m` and `-j`, and the options of those that stand
/// in the rule.
pub fn rules() -> String {
    let names = |rows: &[Extension], six: bool| -> String {
        let names: Vec<&str> = rows
            .iter()
            .filter(|row| row.families != if six { Families::V4 } else { Families::V6 })
            .map(|row| row.name)
            .collect();
        names.join(" ")
    };
    let mut text = String::from("\n_palisade_options() {\n    case \"$1\" in\n");
    for (letter, rows) in [("m", MATCHES), ("j", TARGETS)] {
        for row in rows.iter().filter(|row| !row.options.is_empty()) {
            let options: Vec<String> = row
                .options
                .iter()
                .flat_map(|o| o.names())
                .map(|name| format!("--{name}"))
                .collect();
            let _ = writeln!(
                text,
                "        {letter}:{}) echo \"{}\" ;;",
                row.name,
                options.join(" ")
            );
        }
    }
    text += "    esac\n}\n";
    let _ = write!(
        text,
        r#"
_palisade_rule() {{
    local word before at words program="${{COMP_WORDS[1]}}"
    word="${{COMP_WORDS[COMP_CWORD]}}"
    before="${{COMP_WORDS[COMP_CWORD-1]}}"
    local matches="{}" targets="{}"
    if [[ $program == ip6tables* ]]; then
        matches="{}" targets="{}"
    fi
    case "$before" in
        -m|--match) words="$matches" ;;
        -j|--jump) words="ACCEPT DROP RETURN $targets" ;;
        -t|--table) words="filter nat mangle raw security" ;;
        -p|--protocol) words="tcp udp icmp ipv6-icmp sctp dccp esp ah all" ;;
        -A|-I|-D|-R|-C|-L|-S|-F|-Z|-P|--append|--insert|--delete|--replace|--check|--list|--list-rules|--flush|--zero|--policy)
            words="PREROUTING INPUT FORWARD OUTPUT POSTROUTING" ;;
        *)
            words="{BASE}"
            for ((at = 2; at < COMP_CWORD; at++)); do
                case "${{COMP_WORDS[at]}}" in
                    -m|--match|-p|--protocol) words+=" $(_palisade_options "m:${{COMP_WORDS[at+1]}}")" ;;
                    -j|--jump) words+=" $(_palisade_options "j:${{COMP_WORDS[at+1]}}")" ;;
                esac
            done ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}

_palisade_or_rule() {{
    case "${{COMP_WORDS[1]}}" in
        iptables|ip6tables)
            if [[ $COMP_CWORD -gt 1 && ${{COMP_WORDS[COMP_CWORD-1]}} != --rules && ${{COMP_WORDS[COMP_CWORD-1]}} != --as ]]; then
                _palisade_rule
                return
            fi ;;
        help)
            if [[ $COMP_CWORD -eq 3 ]]; then
                case "${{COMP_WORDS[2]}}" in
                    match) COMPREPLY=($(compgen -W "{}" -- "${{COMP_WORDS[3]}}")); return ;;
                    target) COMPREPLY=($(compgen -W "{}" -- "${{COMP_WORDS[3]}}")); return ;;
                esac
            fi ;;
    esac
    _palisade "$@"
}}

complete -F _palisade_or_rule -o bashdefault -o default palisade
"#,
        names(MATCHES, false),
        names(TARGETS, false),
        names(MATCHES, true),
        names(TARGETS, true),
        all(MATCHES),
        all(TARGETS),
    );
    text
}

fn all(rows: &[Extension]) -> String {
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What bash completes a line to; `None` without bash.
    fn completed(line: &[&str]) -> Option<Vec<String>> {
        let words: Vec<String> = line.iter().map(|w| format!("'{w}'")).collect();
        let script = format!(
            "{}\n_palisade() {{ :; }}\nCOMP_WORDS=({}); COMP_CWORD={}\n_palisade_or_rule\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            rules(),
            words.join(" "),
            line.len() - 1
        );
        let output = Command::new("bash").arg("-c").arg(script).output().ok()?;
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        Some(text.split_whitespace().map(str::to_string).collect())
    }

    #[test]
    fn bash_completes_names_and_options_of_rules() {
        let cases: [(&[&str], &[&str], &[&str]); 6] = [
            (
                &["palisade", "iptables", "-A", "INPUT", "-m", "connt"],
                &["conntrack"],
                &[],
            ),
            (
                &["palisade", "iptables", "-A", "INPUT", "-j", "MASQ"],
                &["MASQUERADE"],
                &[],
            ),
            (
                &["palisade", "iptables", "-A", "INPUT", "-m", "recent", "--r"],
                &["--rcheck", "--remove", "--rttl"],
                &["--reject-with"],
            ),
            (
                &["palisade", "iptables", "-A", "INPUT", "-p", "tcp", "--dp"],
                &["--dport"],
                &[],
            ),
            (
                &["palisade", "ip6tables", "-A", "INPUT", "-m", "h"],
                &["hl"],
                &[],
            ),
            (
                &["palisade", "help", "target", "SN"],
                &["SNAT", "SNPT"],
                &[],
            ),
        ];
        for (line, there, not_there) in cases {
            let Some(words) = completed(line) else {
                eprintln!("SKIPPED: no bash");
                return;
            };
            for word in there {
                assert!(
                    words.iter().any(|w| w == word),
                    "{line:?}: {word} in {words:?}"
                );
            }
            for word in not_there {
                assert!(
                    words.iter().all(|w| w != word),
                    "{line:?}: no {word} in {words:?}"
                );
            }
        }
    }
}
