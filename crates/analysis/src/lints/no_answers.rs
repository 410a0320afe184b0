use crate::view::StateSet;
use palisade_rules::{Hook, Severity, TableKind};

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view::Action;

pub(super) static LINT: Lint = Lint {
    code: "PL022",
    name: "no-answers",
    severity: Severity::Warning,
    title: "answers to this host's own connections are dropped",
    reason: "This host may open connections (OUTPUT accepts them), but what comes back in state ESTABLISHED meets no rule in INPUT that \
             accepts it and is dropped. Name resolution, updates and time stop working, usually with a timeout rather than an \
             error. A filter without states would accept the answers by their source port; with states one rule does it.",
    fix: "-I INPUT 1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    bad: v4(
        "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -j ACCEPT\nCOMMIT\n",
    ),
    at: ":INPUT DROP",
    good: v4(
        "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let (Some((table, input)), Some((_, output))) = (
        context.map.hook(TableKind::Filter, Hook::Input),
        context.map.hook(TableKind::Filter, Hook::Output),
    ) else {
        return;
    };
    if !context.accepts_something(Hook::Input) || context.denying(Hook::Input).is_empty() {
        return;
    }
    let opens = context.strangers(table, Hook::Output).into_iter().any(|p| {
        let p = p.at_port(palisade_wire::proto::TCP, 443);
        context
            .map
            .walk(table, output, &p, &[])
            .is_some_and(|w| w.action == Action::Accept)
    });
    if !opens {
        return;
    }
    let mut first = None;
    for p in context.strangers(table, Hook::Input) {
        for port in [443u16, 53] {
            let mut p = p.clone().in_state(StateSet::ESTABLISHED);
            p.original = false;
            (p.source_port, p.destination_port) = (port, 50123);
            match context.map.walk(table, input, &p, &[]) {
                Some(way) if way.action.refuses() && way.doubtful.is_empty() => {
                    first.get_or_insert(way);
                }
                _ => return,
            }
        }
    }
    if let Some(way) = first {
        report.add(
            context.end_place(table, &way),
            format!(
                "answers to connections that this host opens end at {}",
                context.end_words(table, &way)
            ),
        );
    }
}
