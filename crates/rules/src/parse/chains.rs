//! What can be said of a table only when all its chains are there: loops, and extensions in chains that are
//! called from where they may not stand (kernel `mark_source_chains`, `xt_check_match`, `xt_check_target`).

use crate::diagnostic::{Diagnostic, Severity};
use crate::lex::Lines;
use crate::model::{Hook, Table, Target};

/// Hooks as a set, by [`Hook`] as bit.
fn bit(hook: Hook) -> u8 {
    1 << hook as u8
}

/// The hooks whose packets reach each chain. The table has no loop.
fn reached(table: &Table) -> Vec<u8> {
    let mut masks = vec![0u8; table.chains.len()];
    for (start, chain) in table.chains.iter().enumerate() {
        let Some(hook) = chain.builtin else { continue };
        let mut waiting = vec![start];
        while let Some(at) = waiting.pop() {
            let Some(mask) = masks.get_mut(at).filter(|m| **m & bit(hook) == 0) else {
                continue;
            };
            *mask |= bit(hook);
            for rule in &table.chains[at].rules {
                if let Target::Jump(to) | Target::Goto(to) = rule.target {
                    waiting.push(to);
                }
            }
        }
    }
    masks
}

/// Extensions in user chains that are called from hooks where they may not stand.
pub(super) fn check_hooks(lines: &Lines<'_>, table: &Table, found: &mut Vec<Diagnostic>) {
    let masks = reached(table);
    for (chain, mask) in table.chains.iter().zip(masks) {
        if chain.builtin.is_some() || mask == 0 {
            continue;
        }
        for rule in &chain.rules {
            let target = rule.target.extension();
            let target = target.map(|e| ("target", e.name, rule.target.hooks()));
            let matches = rule.matches.iter().map(|m| ("match", m.name(), m.hooks()));
            for (what, name, hooks) in target.into_iter().chain(matches) {
                let allowed = hooks.iter().fold(0, |set, h| set | bit(*h));
                let wrong = table
                    .kind
                    .hooks()
                    .iter()
                    .find(|h| mask & bit(**h) & !allowed != 0);
                let (false, Some(wrong)) = (hooks.is_empty(), wrong) else {
                    continue;
                };
                let code = match what {
                    "target" => "target-in-chain",
                    _ => "match-in-chain",
                };
                let names: Vec<&str> = hooks.iter().map(|h| h.name()).collect();
                let text = format!(
                    "{what} {name} does not work in {}, which calls chain '{}'",
                    wrong.name(),
                    chain.name
                );
                let span = (rule.position.start, rule.position.end);
                let error = lines.diagnostic(Severity::Error, code, span, text);
                found.push(error.help(names.join(" or ")));
            }
        }
    }
}

/// A jump that leads back to its own chain, which the kernel refuses.
pub(super) fn find_loop(lines: &Lines<'_>, table: &Table) -> Option<Diagnostic> {
    // 0: not seen, 1: on the way, 2: done. The walk keeps its own stack: user text decides its depth.
    let mut colour = vec![0u8; table.chains.len()];
    for start in 0..table.chains.len() {
        if colour[start] != 0 {
            continue;
        }
        let mut stack = vec![(start, 0usize)];
        colour[start] = 1;
        while let Some((chain, at)) = stack.pop() {
            let Some(rule) = table.chains[chain].rules.get(at) else {
                colour[chain] = 2;
                continue;
            };
            stack.push((chain, at + 1));
            if let Target::Jump(to) | Target::Goto(to) = rule.target {
                match colour[to] {
                    0 => {
                        colour[to] = 1;
                        stack.push((to, 0));
                    }
                    1 => {
                        return Some(
                            lines
                                .diagnostic(
                                    Severity::Error,
                                    "chain-loop",
                                    (rule.position.start, rule.position.end),
                                    format!(
                                        "this jump to chain '{}' closes a loop",
                                        table.chains[to].name
                                    ),
                                )
                                .help("the kernel refuses a table whose chains call each other in a circle"),
                        );
                    }
                    _ => {}
                }
            }
        }
    }
    None
}
