//! What is wrong with a rule as a whole, each of its options being right.

use super::*;

impl Reader<'_, '_, '_> {
    /// tcp, udp, icmp and their like go with their protocol only, multiport with ports.
    pub(super) fn check_protocol(&mut self, loaded: &Loaded) {
        use palisade_wire::proto::*;
        let wanted: &[u8] = match loaded.extension.name {
            "tcp" => &[TCP],
            "udp" => &[UDP],
            "icmp" => &[ICMP],
            "icmp6" => &[ICMPV6],
            "sctp" => &[SCTP],
            "dccp" => &[DCCP],
            "udplite" => &[UDPLITE],
            "multiport" => &[TCP, UDP, UDPLITE, SCTP, DCCP],
            _ => return,
        };
        let fits = self
            .protocol
            .as_ref()
            .is_some_and(|p| !p.negated && wanted.contains(&p.value));
        if !fits {
            let name = catalogue::protocol_name(wanted[0]);
            self.fail(
                "match-needs-protocol",
                &loaded.word,
                Bad::new(format!(
                    "'-m {}' needs '-p {name}'{}",
                    loaded.extension.name,
                    if wanted.len() > 1 {
                        " (or another protocol with ports)"
                    } else {
                        ""
                    }
                ))
                .help(format!("-p {name} before it")),
            );
        }
    }

    pub(super) fn check_target(&mut self, target: &Target, loaded: &Loaded) {
        if let Target::Reject(RejectWith::TcpReset) = target {
            let tcp = self
                .protocol
                .as_ref()
                .is_some_and(|p| !p.negated && p.value == palisade_wire::proto::TCP);
            if !tcp {
                self.fail(
                    "target-needs-protocol",
                    &loaded.word,
                    Bad::new("'--reject-with tcp-reset' needs '-p tcp'").help("-p tcp in the rule"),
                );
            }
        }
        let protocol = self.protocol.as_ref().map(|p| p.value);
        if let Err(bad) = crate::parse::nat::ports_fit(target, protocol) {
            self.fail("target-needs-protocol", &loaded.word, bad);
        }
        if let Target::Ct(ct) = target
            && let Some(helper) = &ct.helper
            && let Err(bad) = self.helper_fits(helper)
        {
            let word = loaded
                .given
                .iter()
                .find(|g| g.name == "helper")
                .and_then(|g| g.values.first())
                .unwrap_or(&loaded.word)
                .clone();
            self.fail("unknown-helper", &word, bad);
        }
    }

    /// Whether the kernel has a helper of this name for the rule's family and protocol (kernel
    /// `xt_ct_set_helper`).
    fn helper_fits(&self, name: &str) -> Result<(), Bad> {
        let rows = || HELPERS.iter().filter(|(known, ..)| *known == name);
        if rows().next().is_none() {
            let mut bad = Bad::new(format!("the kernel has no helper '{name}'"));
            bad.help = crate::diagnostic::nearest(name, HELPERS.iter().map(|(known, ..)| *known))
                .map(str::to_string);
            return Err(bad);
        }
        let of_family = || rows().filter(|(.., v6)| *v6 || self.family == Family::V4);
        if of_family().next().is_none() {
            return Err(Bad::new(format!("helper '{name}' is for IPv4 only")));
        }
        let protocols: Vec<String> = of_family()
            .map(|(_, protocol, _)| catalogue::protocol_name(*protocol))
            .collect();
        match &self.protocol {
            Some(not) if !not.negated => {
                if of_family().any(|(_, protocol, _)| *protocol == not.value) {
                    Ok(())
                } else {
                    Err(Bad::new(format!(
                        "helper '{name}' reads {} only",
                        protocols.join(" and ")
                    ))
                    .help(format!("-p {}", protocols[0])))
                }
            }
            _ => Err(
                Bad::new(format!("helper '{name}' needs a protocol in the rule"))
                    .help(format!("-p {}", protocols[0])),
            ),
        }
    }
}

/// The kernel's helpers, as `--helper` takes them: name, protocol, whether for IPv6 too.
const HELPERS: [(&str, u8, bool); 13] = {
    use palisade_wire::proto::{TCP, UDP};
    [
        ("ftp", TCP, true),
        ("tftp", UDP, true),
        ("irc", TCP, false),
        ("sip", UDP, true),
        ("sip", TCP, true),
        ("amanda", UDP, true),
        ("pptp", TCP, false),
        ("RAS", UDP, true),
        ("Q.931", TCP, true),
        ("netbios-ns", UDP, false),
        ("snmp", UDP, false),
        ("snmp_trap", UDP, false),
        ("sane", TCP, true),
    ]
};
