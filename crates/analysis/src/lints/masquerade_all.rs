use palisade_rules::{Hook, Severity, TableKind};

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL024",
    name: "masquerade-all",
    severity: Severity::Warning,
    title: "every packet that leaves gets this host's address, incoming connections too",
    reason: "A MASQUERADE or SNAT rule without an outgoing interface, a source or a destination translates whatever leaves by any interface. \
             Connections that come in from outside and are forwarded to a server then seem to come from the gateway: logs, access lists and \
             bans on the server see one address. Traffic into tunnels is translated as well, and answers may not find back.",
    fix: "name the interface to the outside: -o wan0 (or the networks inside: -s 192.168.0.0/16)",
    bad: v4("*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"),
    at: "-A POSTROUTING -j MASQUERADE",
    good: v4(
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 192.168.0.0/16 -o wan0 -j MASQUERADE\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let Some((table, builtin)) = context.map.hook(TableKind::Nat, Hook::Postrouting) else {
        return;
    };
    // In a chain of one's own the jump, or what returned before, narrows it.
    let chain = &table.chains[builtin];
    for (number, rule) in chain.rules.iter().enumerate() {
        if rule.action != Action::Translate || !rule.conditions.is_empty() {
            continue;
        }
        // Exceptions before it say that somebody thought about what is left.
        let exceptions = chain.rules[..number]
            .iter()
            .any(|r| matches!(r.action, Action::Accept | Action::Return));
        if !exceptions && context.by_hand(chain) {
            report.add(
                context.places.rule(rule.position()),
                "every packet that leaves is translated, by whatever interface",
            );
        }
    }
}
