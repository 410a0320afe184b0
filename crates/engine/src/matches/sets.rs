//! set: whether the packet is in a set (kernel `set_match_v4`).

use palisade_rules::matches::set::Set;

use super::{Context, Shared};
use crate::sets::{Ask, Flags, Look};

/// The set of number `slot`, asked as the rule says.
pub(super) fn asked(rule: &Set, slot: u32, context: &Context<'_>, shared: &mut Shared<'_>) -> bool {
    let look = Look {
        packet: &context.packet,
        in_interface: context.in_interface,
        out_interface: context.out_interface,
        link: context.link,
        mark: shared.mark,
        now: context.now,
    };
    let mut ask = Ask {
        return_nomatch: rule.return_nomatch,
        skip_counters: rule.keep_counters,
        skip_subcounters: rule.keep_subcounters,
        packets: rule.packets,
        bytes: rule.bytes,
        ..Ask::plain(Flags::of(&rule.set.value))
    };
    let found = shared.states.sets.test(slot, &look, &mut ask);
    rule.set.apply(found)
}
