use palisade_rules::{Hook, Severity, TableKind};
use palisade_wire::proto;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::owner::owner;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL012",
    name: "ssh-open",
    severity: Severity::Note,
    title: "ssh is reachable from anywhere, without a limit",
    reason: "A new connection to port 22 from an address that no rule names is accepted by an interface that no rule names either, and no \
             limit, recent, hashlimit or chain of fail2ban stands before it. That is what password guessers look for all day. Name the networks that \
             administrators come from, or count attempts. With keys only it may be meant; then allow this finding by a comment.",
    fix: "-s NETWORK in the rule, or before it: -m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP with a --set rule",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    at: "-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -s 192.0.2.0/24 -p tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let Some((table, builtin)) = context.map.hook(TableKind::Filter, Hook::Input) else {
        return;
    };
    // Where everything is open, that is the finding.
    if context.denying(Hook::Input).is_empty() {
        return;
    }
    let probe =
        crate::probe::Probe::stranger(context.map.family, Hook::Input).at_port(proto::TCP, 22);
    let Some(way) = context.map.walk(table, builtin, &probe, &[]) else {
        return;
    };
    let (chain, Some(number)) = way.end else {
        return;
    };
    let rule = &table.chains[chain].rules[number];
    let named = rule.conditions.names_port(22);
    // A `--set` before it is half of a count; what would have refused it is the other half.
    if way.action != Action::Accept || !named || !way.doubtful.is_empty() {
        return;
    }
    // fail2ban and its like count by the log and fill a chain that the packet passes.
    let counted = super::ask::reachable(table, builtin).into_iter().any(|c| {
        table.chains[c].rules.iter().any(|r| {
            let (Action::Jump(to) | Action::Goto(to)) = r.action else {
                return false;
            };
            probe.fits_plainly(&r.conditions)
                && matches!(
                    owner(&context.map, table.chains[to].name),
                    Some("fail2ban" | "sshguard")
                )
        })
    });
    if counted {
        return;
    }
    report
        .add(
            context.places.rule(rule.position()),
            "ssh is reachable from any address, as often as one likes",
        )
        .note(context.way_words(table, &way.steps));
}
