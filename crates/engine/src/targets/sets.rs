//! SET: what a rule adds to sets, deletes from them and takes from them (kernel `set_target_v3`).

use palisade_rules::matches::set::SetRef;
use palisade_rules::targets::set::Set;
use palisade_wire::Buffer;

use super::Applied;
use crate::linear::Verdict;
use crate::matches::{Facts, Shared};
use crate::observe::Effect;
use crate::sets::{Addition, Ask, Changed, Flags, Look};

/// Adds, then deletes, then maps. The priority and the queue of a packet are seen by no rule.
pub(super) fn set(
    rule: &Set,
    buffer: &Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
) -> Applied {
    let packet = buffer.packet();
    let look = Look {
        packet: &packet,
        in_interface: facts.in_interface,
        out_interface: facts.out_interface,
        link: facts.link,
        mark: shared.mark,
        now: facts.now,
    };
    let sets = &mut shared.states.sets;
    let mut words = Vec::new();
    let mut say = |done: Changed, what: &str, set: &SetRef| {
        let name = &set.name;
        words.push(match done {
            Changed::Yes => format!("{what} set {name}"),
            Changed::No => format!("nothing to be {what} set {name}"),
            Changed::NoElement => format!("the packet has no element for set {name}"),
            Changed::Full => format!("set {name} is full"),
        });
    };
    if let Some(add) = &rule.add
        && let Some(number) = sets.number(&add.name)
    {
        let addition = Addition {
            exist: rule.exist,
            timeout: rule.timeout,
        };
        let done = sets.add(number, &look, Flags::of(add), addition);
        say(done, "added to", add);
    }
    if let Some(delete) = &rule.delete
        && let Some(number) = sets.number(&delete.name)
    {
        let done = sets.delete(number, &look, Flags::of(delete));
        say(done, "deleted from", delete);
    }
    if let Some(map) = &rule.map {
        let Some(number) = sets.number(&map.name) else {
            if !rule.map_mark {
                return Applied::Nothing;
            }
            let what = format!("target SET: set {} is not given", map.name);
            return Applied::Ends(Verdict::Unknown(what));
        };
        let mut ask = Ask::plain(Flags::of(map));
        // Elements count the packet, whatever is taken from them.
        if sets.test(number, &look, &mut ask) && rule.map_mark {
            let from = shared.mark;
            shared.mark = (from & !ask.found.mask) ^ ask.found.mark;
            return Applied::Effect(Effect::Mark {
                from,
                to: shared.mark,
            });
        }
    }
    if words.is_empty() {
        Applied::Nothing
    } else {
        Applied::Effect(Effect::Sets(words.join(", ")))
    }
}
