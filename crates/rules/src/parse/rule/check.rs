//! What is wrong with a rule as a whole, each of its options being right.

use super::base::option_letter;
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
        let target = matches!(loaded.extension.reader, catalogue::Reader::Target(_));
        let extension = loaded.extension.name;
        // iptables-nft has tcp and udp of its own, and looks at the number only.
        if self.tools() == Tools::Nft
            && matches!(extension, "tcp" | "udp")
            && !loaded.given.is_empty()
            && self
                .protocol
                .as_ref()
                .is_some_and(|p| wanted.contains(&p.value))
        {
            return;
        }
        let name = names::protocol_name(*first);
        let (kind, code) = match target {
            true => ("-j", "target-needs-protocol"),
            false => ("-m", "match-needs-protocol"),
        };
        let others = if wanted.len() > 1 {
            " (or another protocol with ports)"
        } else {
            ""
        };
        let text = format!("'{kind} {extension}' needs '-p {name}'{others}");
        let said = match (self.tools(), extension) {
            (Tools::Nft, "tcp" | "udp") => format!(
                "{} match requires '-p {name}'",
                extension.to_ascii_uppercase()
            ),
            _ => self.refused(),
        };
        let bad = Bad::new(text)
            .help(format!("-p {name} before it"))
            .said(said);
        self.by_kernel |= self.tools() == Tools::Legacy && !self.failed;
        self.fail(code, &loaded.word, bad);
    }

    /// What the real program says of a rule that the kernel refuses.
    pub(super) fn refused(&self) -> String {
        let program = crate::parse::command::program(self.family());
        match (self.tools(), self.place.restore) {
            (Tools::Nft, _) => {
                let chain = self.arguments.first().map_or("", |chain| &chain.text);
                let what = match self.verb {
                    Some((Verb::Insert, ..)) => "INSERT",
                    Some((Verb::Replace, ..)) => "REPLACE",
                    _ => "APPEND",
                };
                format!(" RULE_{what} failed (Invalid argument): rule in chain {chain}")
            }
            (Tools::Legacy, true) => format!("{program}-restore: failed"),
            (Tools::Legacy, false) => {
                format!("{program}: Invalid argument. Run `dmesg' for more information.")
            }
        }
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
                .help("--tcp-flags SYN,RST SYN before it")
                .said(self.refused());
            self.fail("target-needs-syn", &loaded.word, bad);
        }
    }

    /// The table of the command.
    pub(super) fn kind(&mut self) -> Option<TableKind> {
        if let Some(kind) = self.given_table {
            return Some(kind);
        }
        let Some(word) = self.table.take() else {
            return Some(TableKind::Filter);
        };
        if let Some(kind) = TableKind::by_name(&word.text) {
            return Some(kind);
        }
        let program = crate::parse::command::program(self.family());
        let name = &word.text;
        let said = match self.tools() {
            Tools::Legacy => format!(
                "can't initialize {program} table `{name}': Table does not exist (do you need to insmod?)"
            ),
            Tools::Nft => format!("table '{name}' does not exist"),
        };
        let mut bad = Bad::new(format!("there is no table '{name}'")).said(said);
        bad.help = crate::diagnostic::nearest(name, TableKind::ALL.iter().map(|t| t.name()))
            .map(str::to_string);
        self.fail("no-table", &word, bad);
        None
    }

    /// DROP is for the tables that filter.
    pub(super) fn check_nat(&mut self) {
        let nat = match (self.given_table, &self.table) {
            (Some(kind), _) => kind == TableKind::Nat,
            (None, Some(word)) => word.text == "nat",
            _ => false,
        };
        if !nat {
            return;
        }
        let policy = match self.verb {
            Some((Verb::Policy, ..)) => self.arguments.get(1),
            _ => None,
        };
        let target = self.target.as_ref().map(|t| &t.word);
        let found = policy.into_iter().chain(target).find(|w| w.text == "DROP");
        if let Some(word) = found.cloned() {
            let bad = Bad::new(
                "DROP does not work in table nat, which sees the first packets of connections only",
            )
            .help("drop in table filter, mangle or raw")
            .said(
                "\nThe \"nat\" table is not intended for filtering, the use of DROP is therefore inhibited.",
            );
            self.fail("drop-in-nat", &word, bad);
        }
    }

    /// The addresses of `-s` and `-d`, and what is wrong with them.
    pub(super) fn addresses(&mut self) -> (Vec<Not<Net>>, Vec<Not<Net>>) {
        let (source, destination) = (self.source.take(), self.destination.take());
        let negated = source.iter().chain(&destination).any(|a| a.negated);
        let sources = self.list(source.as_ref());
        let destinations = self.list(destination.as_ref());
        let long = [(&source, &sources), (&destination, &destinations)]
            .into_iter()
            .find(|(_, list)| list.len() > 1);
        if negated && let Some((Some(addresses), _)) = long {
            let bad = Bad::new("'!' cannot stand in a rule with a list of addresses")
                .help("write one rule for each, in a chain of their own")
                .said("! not allowed with multiple source or destination IP addresses");
            self.fail("bad-address", &addresses.word, bad);
        }
        // nf_tables has no way to say "no address at all".
        for (addresses, list) in [(&source, &sources), (&destination, &destinations)] {
            if let (Some(addresses), [only]) = (addresses, list.as_slice())
                && only.negated
                && only.value.mask.is_unspecified()
                && self.tools() == Tools::Nft
            {
                let bad = Bad::new("no packet has an address outside of all")
                    .said(" RULE_APPEND failed (Invalid argument)");
                self.fail("bad-address", &addresses.word, bad);
            }
        }
        (sources, destinations)
    }

    fn list(&mut self, addresses: Option<&Addresses>) -> Vec<Not<Net>> {
        let mut nets = Vec::new();
        let Some(addresses) = addresses else {
            return nets;
        };
        for part in addresses.word.text.split(',') {
            let named = self.resolved(part.trim_start());
            if !named.is_empty() {
                nets.extend(named.into_iter().map(|value| Not {
                    negated: addresses.negated,
                    value,
                }));
                continue;
            }
            match value::net(part.trim_start(), self.family()) {
                Ok(net) => nets.push(Not {
                    negated: addresses.negated,
                    value: net,
                }),
                Err(bad) => {
                    self.fail("bad-address", &addresses.word, bad);
                    break;
                }
            }
        }
        nets
    }

    /// The addresses of a host name, with its mask, where names are looked up.
    fn resolved(&self, text: &str) -> Vec<Net> {
        let family = self.family();
        let (host, mask) = text
            .split_once('/')
            .map_or((text, None), |(h, m)| (h, Some(m)));
        let Some(resolve) = self.parser.options.resolve else {
            return Vec::new();
        };
        if host.is_empty() || value::net(host, family).is_ok() {
            return Vec::new();
        }
        let with_mask = |address: std::net::IpAddr| match mask {
            Some(mask) => format!("{address}/{mask}"),
            None => address.to_string(),
        };
        resolve(host, family)
            .into_iter()
            .filter_map(|a| value::net(&with_mask(a), family).ok())
            .collect()
    }

    /// Options that the command does not take, and a chain where an interface means nothing.
    pub(super) fn check_command(&mut self, verb: Verb, letter: char) {
        let rule = match verb {
            Verb::Append | Verb::Insert | Verb::Replace | Verb::Check => true,
            Verb::Delete => self.arguments.len() < 2,
            _ => false,
        };
        let illegal = self.seen.iter().find(|(option, _)| match option {
            'n' | 'x' | '0' => !self.verbs.contains('L'),
            'c' => !matches!(
                verb,
                Verb::Append | Verb::Insert | Verb::Replace | Verb::Policy
            ),
            'v' | 'w' => false,
            _ => !rule,
        });
        if let Some((option, word)) = illegal.cloned() {
            let bad =
                Bad::new(format!("{} means nothing to '-{letter}'", word.text)).said(format!(
                    "Illegal option `-{}' with this command",
                    option_letter(option)
                ));
            self.fail("stray-option", &word, bad);
        }
        let Some(chain) = self.arguments.first() else {
            return;
        };
        let name = chain.text.clone();
        if name.len() > crate::parse::command::MAX_CHAIN_NAME && verb != Verb::NewChain {
            let word = chain.clone();
            let bad = Bad::new(format!(
                "chain name '{name}' has {} bytes, at most 28 are allowed",
                name.len()
            ))
            .said(format!(
                "chain name `{name}' too long (must be under 29 chars)"
            ));
            self.fail("bad-chain-name", &word, bad);
        }
        let bad = match name.as_str() {
            _ if !rule => return,
            "OUTPUT" | "POSTROUTING" => ('i', "come in by no interface", "-o"),
            "PREROUTING" | "INPUT" => ('o', "leave by no interface", "-i"),
            _ => return,
        };
        let found = self.seen.iter().find(|(l, _)| *l == bad.0);
        if let Some((letter, word)) = found.cloned() {
            let fault = Bad::new(format!("-{letter} in {name}: its packets {}", bad.1))
                .help(format!("{}, or another chain", bad.2))
                .said(format!("Can't use -{letter} with {name}"));
            self.fail("interface-in-chain", &word, fault);
        }
    }
}
