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

    /// The legacy kernel loads TCPMSS only beside a test of TCP flags that names SYN as set (kernel
    /// `tcpmss_tg4_check`); the nft tools' kernel side does not ask.
    pub(super) fn check_syn(&mut self, loaded: &Loaded, target: &Target, matches: &[Match]) {
        const SYN: u8 = 0x02;
        let names_syn = |m: &Match| {
            let Match::Tcp(tcp) = m else { return false };
            let flags = tcp.flags.as_ref();
            flags.is_some_and(|not| !not.negated && not.value.set & SYN != 0)
        };
        let wanted = matches!(target, Target::Tcpmss(_)) && loaded.tools == Tools::Legacy;
        if wanted && !self.failed && !matches.iter().any(names_syn) {
            let bad = Bad::new("'-j TCPMSS' changes SYNs only, and the rule does not say so")
                .help("--tcp-flags SYN,RST SYN before it");
            self.fail("target-needs-syn", &loaded.word, bad);
        }
    }
}
