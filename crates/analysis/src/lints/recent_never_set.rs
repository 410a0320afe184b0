use palisade_rules::Severity;

use super::{Context, Lint, Run, v4};
use crate::finding::Report;
use crate::view;

pub(super) static LINT: Lint = Lint {
    code: "PL016",
    name: "recent-never-set",
    severity: Severity::Warning,
    title: "a recent list is asked, and no rule puts an address on it",
    reason: "--rcheck, --update and --remove look an address up; only --set puts one on the list. A list that no rule sets stays empty, so \
             the rule never matches and the brake on password guessing that it should be does not exist. Usually the --set rule was \
             forgotten, stands on another --name, or in a chain that no packet reaches. (Programs may write /proc/net/xt_recent/NAME; then \
             allow this finding by a comment.)",
    fix: "a rule with -m recent --name NAME --set that the same packets reach",
    bad: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name ssh --set\n-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name SSH --update --seconds 60 --hitcount 4 -j DROP\nCOMMIT\n",
    ),
    at: "--name SSH",
    good: v4(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name ssh --set\n-A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP\nCOMMIT\n",
    ),
    run: Run::Ruleset(run),
};

fn run(context: &Context<'_>, report: &mut Report<'_>) {
    let mut set: Vec<String> = Vec::new();
    for (_, chain, rule) in context.map.rules() {
        if chain.reached {
            set.extend(
                view::recent(rule.rule)
                    .into_iter()
                    .filter(|r| r.1)
                    .map(|r| r.0),
            );
        }
    }
    let mut told: Vec<String> = Vec::new();
    for (_, chain, rule) in context.map.rules() {
        for (name, stores) in view::recent(rule.rule) {
            if stores || set.contains(&name) || told.contains(&name) || !chain.reached {
                continue;
            }
            let near = set
                .iter()
                .find(|s| s.eq_ignore_ascii_case(&name))
                .map(|s| format!("list '{s}' is another one: names are case-sensitive"));
            let added = report.add(
                context.places.option(rule.position(), &["--name"], 1),
                format!("no rule puts an address on the list '{name}', so this one never matches"),
            );
            if let Some(near) = near {
                added.note(near);
            }
            told.push(name);
        }
    }
}
