//! What each target does beside ending a packet's way: one function a target, with the kernel's semantics.

mod host;
mod tracking;

use palisade_rules::Target;
use palisade_wire::Buffer;

use crate::linear::Verdict;
use crate::matches::{Facts, Shared};
use crate::npt;
use crate::observe::Effect;
use crate::synproxy;

/// What became of a packet at a target.
pub(crate) enum Applied {
    /// Nothing that can be seen: it goes on.
    Nothing,
    /// It goes on; its bytes or something else changed.
    Effect(Effect),
    /// Its way through the table ends.
    Ends(Verdict),
}

impl From<Option<Effect>> for Applied {
    fn from(effect: Option<Effect>) -> Self {
        effect.map_or(Applied::Nothing, Applied::Effect)
    }
}

/// Applies a target that is neither a verdict nor a jump.
pub(crate) fn apply(
    target: &Target,
    buffer: &mut Buffer<'_>,
    facts: &Facts<'_>,
    shared: &mut Shared<'_>,
) -> Applied {
    match target {
        Target::Mark(rule) => tracking::mark(*rule, shared).into(),
        Target::Connmark(rule) => tracking::connmark(*rule, shared).into(),
        Target::Notrack(_) => tracking::notrack(shared).into(),
        Target::Ct(rule) => tracking::ct(rule, shared).into(),
        Target::Log(log) => Applied::Effect(Effect::Logged(log.prefix.clone())),
        Target::Nflog(nflog) => Applied::Effect(Effect::Logged(nflog.prefix.clone())),
        Target::Snpt(rule) => translated(npt::source(buffer, rule.from, rule.to), buffer, false),
        Target::Dnpt(rule) => {
            translated(npt::destination(buffer, rule.from, rule.to), buffer, true)
        }
        Target::Nfqueue(rule) => Applied::Ends(host::queue(*rule, facts.host)),
        Target::Queue(_) => Applied::Ends(host::queue(host::QUEUE, facts.host)),
        Target::Tproxy(rule) => Applied::Ends(host::tproxy(*rule, buffer, facts, shared)),
        Target::Synproxy(rule) => {
            let packet = buffer.packet();
            let cookies = &mut shared.states.cookies;
            synproxy::target(rule, &packet, cookies, facts.now)
                .map_or(Applied::Nothing, Applied::Ends)
        }
        other if leaves_alone(other) => {
            let name = other.extension().map_or("", |e| e.name);
            Applied::Effect(Effect::Passed(name.to_string()))
        }
        other => {
            let name = other.extension().map_or("", |e| e.name);
            Applied::Ends(Verdict::Unknown(format!(
                "target {name} is not evaluated yet"
            )))
        }
    }
}

/// The address that prefix translation made, or the end where no address can be made.
fn translated(done: bool, buffer: &Buffer<'_>, destination: bool) -> Applied {
    if !done {
        return Applied::Ends(Verdict::Drop);
    }
    let packet = buffer.packet();
    let now = if destination {
        packet.destination()
    } else {
        packet.source()
    };
    Applied::Effect(Effect::Translated(format!("address becomes {now}")))
}

/// Targets whose effect no packet and no later rule sees.
pub(crate) fn leaves_alone(target: &Target) -> bool {
    matches!(
        target,
        // They write elsewhere: logs, lamps, timers, statistics, copies.
        Target::Audit(_)
            | Target::Trace(_)
            | Target::Led(_)
            | Target::Idletimer(_)
            | Target::Rateest(_)
            | Target::Tee(_)
            | Target::Ulog(_)
            // They change what no match that is evaluated looks at.
            | Target::Checksum(_)
            | Target::Classify(_)
            | Target::Secmark(_)
            | Target::Connsecmark(_)
            | Target::Tos(_)
            | Target::Dscp(_)
            | Target::Ecn(_)
            | Target::Set(_)
            | Target::Tcpmss(_)
            | Target::Tcpoptstrip(_)
    )
}
