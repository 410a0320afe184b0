//! Counters over an edit of rules.
//!
//! An edit begins with a copy of the rules, takes a while, and ends with the copy, changed, in the place of the rules.
//! Packets were counted meanwhile. What was counted since the copy was made is added to the rules that are still there;
//! the real programs do the same with the kernel's counters (iptables `iptcc_map_target`, the counter map of a handle).

use palisade_engine::rules::{Chain, Counters, Position, Rule, Ruleset};

/// Adds what rules and policies counted between `before` and `now`, which are the same rules, to those of `after` that
/// came from them. Rules of `after` that came from none lose their place in a text: it was a command line, which nobody
/// has any more.
pub(crate) fn carry(before: &Ruleset, now: &Ruleset, after: &mut Ruleset, forget_places: bool) {
    for table in &mut after.tables {
        let kind = table.kind;
        let there = before.table(kind).zip(now.table(kind));
        for chain in &mut table.chains {
            let of = |chains: &'_ [Chain]| chains.iter().position(|c| c.name == chain.name);
            let old = there.and_then(|(before, now)| {
                let before = &before.chains[of(&before.chains)?];
                Some((before, &now.chains[of(&now.chains)?]))
            });
            let Some((before, now)) = old else {
                if forget_places {
                    for rule in &mut chain.rules {
                        rule.position = Position::default();
                    }
                }
                continue;
            };
            add(&mut chain.counters, before.counters, now.counters);
            let came = same_rules(&before.rules, &chain.rules);
            for (rule, came) in chain.rules.iter_mut().zip(came) {
                match came.and_then(|at| before.rules.get(at).zip(now.rules.get(at))) {
                    Some((before, now)) => add(&mut rule.counters, before.counters, now.counters),
                    None if forget_places => rule.position = Position::default(),
                    None => {}
                }
            }
        }
    }
}

fn add(to: &mut Counters, before: Counters, now: Counters) {
    to.packets += now.packets.saturating_sub(before.packets);
    to.bytes += now.bytes.saturating_sub(before.bytes);
}

/// Whether rules are the same but for what they counted and where they were written.
fn same(a: &Rule, b: &Rule) -> bool {
    a.base == b.base && a.matches == b.matches && a.target == b.target
}

/// Of each rule afterwards, where it was: an edit leaves what is before and what is behind a place as it was.
fn same_rules(before: &[Rule], after: &[Rule]) -> Vec<Option<usize>> {
    let alike = |(a, b): &(&Rule, &Rule)| same(a, b);
    let ahead = before.iter().zip(after).take_while(alike).count();
    let (rest, left) = (&before[ahead..], &after[ahead..]);
    let behind = rest.iter().rev().zip(left.iter().rev());
    let behind = behind.take_while(alike).count();
    let mut came: Vec<Option<usize>> = (0..ahead).map(Some).collect();
    came.resize(after.len() - behind, None);
    came.extend((before.len() - behind..before.len()).map(Some));
    came
}

#[cfg(test)]
mod tests {
    use palisade_engine::rules::parse::{Options, session};
    use palisade_engine::rules::{Family, parse, print};

    use super::*;

    fn rules(text: &str) -> Ruleset {
        let parsed = parse::save_file(text, Family::V4);
        assert!(!parsed.has_errors(), "{:?}", parsed.diagnostics);
        parsed.v4.expect("rules")
    }

    /// What is saved after a command, when packets were counted while it was worked on.
    fn edited(command: &str) -> String {
        let text = |a: u32, b: u32, c: u32, p: u32| {
            format!(
                "*filter\n:INPUT DROP [{p}:{p}]\n:other - [0:0]\n\
                 [{a}:{a}] -A INPUT -p tcp -j ACCEPT\n[{b}:{b}] -A INPUT -p udp -j ACCEPT\n\
                 [{c}:{c}] -A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
            )
        };
        let (before, now) = (rules(&text(10, 20, 30, 40)), rules(&text(11, 22, 33, 44)));
        let words: Vec<String> = command.split(' ').map(String::from).collect();
        let called = session::call(before.clone(), &words, &Options::default());
        assert!(called.done, "{command}: {:?}", called.diagnostics);
        let mut after = called.ruleset;
        carry(&before, &now, &mut after, true);
        let saved = print::save(&after, true);
        let lines = saved.lines().filter(|l| l.contains("INPUT"));
        let counters = lines.map(|l| l.rsplit_once('[').map_or(l, |(_, c)| c));
        let packets = counters.map(|c| c.split(':').next().unwrap_or(c));
        packets.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_was_counted_meanwhile_is_not_lost_and_not_counted_twice() {
        for (command, policy_and_rules) in [
            ("-A INPUT -p icmp -j ACCEPT", "44 11 22 33 0"),
            ("-I INPUT -p icmp -j ACCEPT", "44 0 11 22 33"),
            ("-I INPUT 3 -p icmp -j ACCEPT", "44 11 22 0 33"),
            ("-D INPUT 2", "44 11 33"),
            ("-R INPUT 2 -p icmp -j ACCEPT", "44 11 0 33"),
            ("-Z INPUT", "4 1 2 3"),
            ("-Z INPUT 2", "44 11 2 33"),
            ("-F INPUT", "44"),
            ("-A INPUT -p icmp -j ACCEPT -c 7 7", "44 11 22 33 7"),
            ("-t raw -N other", "44 11 22 33"),
        ] {
            assert_eq!(edited(command), policy_and_rules, "{command}");
        }
    }
}
