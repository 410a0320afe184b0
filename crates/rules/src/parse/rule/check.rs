//! What is wrong with a rule as a whole, each of its options being right.

use super::*;
use crate::names;

impl Reader<'_, '_, '_> {
    /// tcp, udp, icmp and their like go with their protocol only, multiport with ports.
    pub(super) fn check_protocol(&mut self, loaded: &Loaded) {
        let wanted = loaded.extension.protocols;
        let Some(first) = wanted.first() else { return };
        if loaded.is_protocol(wanted) {
            return;
        }
        let name = names::protocol_name(*first);
        let (kind, code) = match loaded.extension.reader {
            catalogue::Reader::Target(_) => ("-j", "target-needs-protocol"),
            _ => ("-m", "match-needs-protocol"),
        };
        let others = if wanted.len() > 1 {
            " (or another protocol with ports)"
        } else {
            ""
        };
        let text = format!(
            "'{kind} {}' needs '-p {name}'{others}",
            loaded.extension.name
        );
        let bad = Bad::new(text).help(format!("-p {name} before it"));
        self.fail(code, &loaded.word, bad);
    }
}
