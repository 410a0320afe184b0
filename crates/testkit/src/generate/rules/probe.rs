//! Rules that only count: every packet asks matches of all kinds, so that their answers show in counters.

use std::fmt::Write;

use super::menu::Menu;
use super::{MATCHES, Place};
use crate::generate::chance::Chance;

/// The name by which these rules are left out.
pub(super) const ABOUT: &str = "probes";

/// Chains of such rules: asked everywhere, as packets come, as they leave.
pub(super) const CHAINS: &str = ":ask - [0:0]\n:ask-in - [0:0]\n:ask-out - [0:0]\n";

/// A chain, which of the built-in chains stands for its callers, and these.
const ASKED: [(&str, &str, &[&str]); 3] = [
    (
        "ask",
        "any",
        &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    ),
    ("ask-in", "INPUT", &["INPUT"]),
    ("ask-out", "FORWARD", &["FORWARD"]),
];

/// Adds them to table mangle. The first rule of each chain counts the packets that come there.
pub(super) fn add(
    chance: &mut Chance,
    text: &mut String,
    place: impl Fn(&'static str, &'static str) -> Place,
) {
    for (chain, stands_for, callers) in ASKED {
        for caller in callers {
            let _ = writeln!(text, "-A {caller} -j {chain}");
        }
        let at = place("mangle", stands_for);
        let menus: Vec<&Menu> = MATCHES
            .iter()
            .flat_map(|m| m.iter())
            .filter(|m| m.known(at))
            .collect();
        let _ = writeln!(text, "-A {chain}");
        for _ in 0..4 + chance.below(6) {
            if let Some(menu) = menus.get(chance.below(menus.len())) {
                let asked = menu.as_match(chance, at);
                let _ = writeln!(text, "-A {chain} {}", asked.trim_end());
            }
        }
    }
}
