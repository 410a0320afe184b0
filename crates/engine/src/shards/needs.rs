//! What the rules ask of shards: which packets one of them can judge alone.

use palisade_rules::{Match, Rule, TableKind, Target};

use crate::Engine;

/// Helpers that look at connections, or at what others expect, in ways of their own.
const LOOK_AROUND: [&str; 6] = ["pptp", "sip", "RAS", "Q.931", "H.245", "h323"];

/// What rulesets need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// One shard, and why.
    pub(super) serial: Option<&'static str>,
    /// Rules remember something that all packets share.
    pub(super) remembers: bool,
    /// By family: a first packet is a matter of all shards.
    pub(super) bound: [bool; 2],
    zones: bool,
    proxies: bool,
}

impl Needs {
    pub(super) fn of(engine: &Engine) -> Needs {
        let mut needs = Needs::default();
        for (family, program) in engine.programs.iter().enumerate() {
            needs.bound[family] =
                engine.reassemble[family] && program.table(TableKind::Nat).is_some();
            let tables = program.source.iter().flat_map(|rules| &rules.tables);
            for rule in tables.flat_map(|t| &t.chains).flat_map(|c| &c.rules) {
                needs.bound[family] |= needs.look(rule);
            }
        }
        let bound = needs.bound.contains(&true);
        if bound && needs.zones {
            needs.serial.get_or_insert(
                "zones are used together with address translation or helpers (-j CT --zone)",
            );
        }
        if bound && needs.proxies {
            needs
                .serial
                .get_or_insert("SYNPROXY is used together with address translation or helpers");
        }
        needs
    }

    /// Looks at a rule; whether it assigns a helper.
    fn look(&mut self, rule: &Rule) -> bool {
        for m in &rule.matches {
            match m {
                Match::Connlimit(_) => {
                    self.serial
                        .get_or_insert("a rule counts connections of all flows (-m connlimit)");
                }
                Match::Hashlimit(_)
                | Match::Limit(_)
                | Match::Nfacct(_)
                | Match::Quota(_)
                | Match::Rateest(_)
                | Match::Recent(_)
                | Match::Set(_)
                | Match::Statistic(_) => self.remembers = true,
                _ => {}
            }
        }
        match &rule.target {
            Target::Rateest(_) | Target::Set(_) => self.remembers = true,
            Target::Synproxy(_) => (self.remembers, self.proxies) = (true, true),
            Target::Ct(ct) => {
                self.zones |= ct.zone.is_some();
                if let Some(name) = &ct.helper {
                    if LOOK_AROUND.contains(&name.as_str()) {
                        self.serial.get_or_insert(
                            "a helper is assigned that looks at connections of other flows (pptp, sip, H.323)",
                        );
                    }
                    return true;
                }
            }
            _ => {}
        }
        false
    }
}
