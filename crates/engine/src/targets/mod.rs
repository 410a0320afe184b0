//! What each target does beside ending a packet's way: one function a target, with the kernel's semantics.

mod hmark;
mod host;
mod rewrite;
mod sets;
mod tcp_options;
mod tracking;

pub(crate) use tracking::{marked, restored};

use palisade_rules::catalogue::Need;
use palisade_rules::matches::bpf::Bpf;
use palisade_rules::{Match, Target};
use palisade_wire::Buffer;

use crate::linear::Verdict;
use crate::log::Said;
use crate::matches::{Facts, Shared, ip_length};
use crate::npt;
use crate::observe::Effect;
use crate::synproxy;
use crate::tee;

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
        Target::Hmark(rule) => hmark::hmark(rule, &buffer.packet(), shared).into(),
        Target::Rateest(rule) => {
            let length = ip_length(&buffer.packet()) as u64;
            shared.states.touched.0 = true;
            shared.states.estimators.feed(&rule.name, length, facts.now);
            Applied::Nothing
        }
        Target::Tee(rule) => match &mut shared.copies {
            Some(copies) => {
                tee::ask(rule, &buffer.packet(), facts.hook, shared.mark, copies);
                Applied::Effect(Effect::Copied(rule.gateway))
            }
            None => Applied::Nothing,
        },
        Target::Log(rule) => {
            if shared.states.logs.on() {
                let said = said(buffer, facts, shared);
                shared.states.logs.log(rule, &said);
            }
            Applied::Effect(Effect::Logged(rule.prefix.clone()))
        }
        Target::Nflog(rule) => {
            if shared.states.logs.on() {
                let said = said(buffer, facts, shared);
                shared.states.logs.nflog(rule, &said);
            }
            Applied::Effect(Effect::Logged(rule.prefix.clone()))
        }
        Target::Snpt(rule) => translated(npt::source(buffer, rule.from, rule.to), buffer, false),
        Target::Dnpt(rule) => {
            translated(npt::destination(buffer, rule.from, rule.to), buffer, true)
        }
        Target::Nfqueue(rule) => Applied::Ends(host::queue(*rule, facts.host)),
        Target::Queue(_) => Applied::Ends(host::queue(host::QUEUE, facts.host)),
        Target::Tproxy(rule) => Applied::Ends(host::tproxy(*rule, buffer, facts, shared)),
        Target::Synproxy(rule) => {
            let packet = buffer.packet();
            shared.states.touched.0 = true;
            let cookies = &mut shared.states.cookies;
            synproxy::target(rule, &packet, facts.unfinished, cookies, facts.now)
                .map_or(Applied::Nothing, Applied::Ends)
        }
        Target::Set(rule) => {
            shared.states.touched.0 = true;
            sets::set(rule, buffer, facts, shared)
        }
        Target::Ttl(rule) => rewrite::ttl(rule.0, buffer),
        Target::Hl(rule) => rewrite::ttl(rule.0, buffer),
        Target::Tos(rule) => rewrite::tos(rule.value, rule.mask, buffer),
        Target::Dscp(rule) => rewrite::dscp(rule.0, buffer),
        Target::Ecn(rule) => rewrite::ecn(*rule, buffer),
        Target::Checksum(_) => rewrite::fill_checksum(buffer, facts.made_here || facts.unfinished),
        Target::Tcpmss(rule) => tcp_options::mss(*rule, buffer, facts),
        Target::Tcpoptstrip(rule) => tcp_options::strip(&rule.0, buffer),
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

/// What is known of a packet that a rule logs.
fn said<'a>(buffer: &'a Buffer<'_>, facts: &'a Facts<'_>, shared: &Shared<'_>) -> Said<'a> {
    Said {
        packet: buffer.packet(),
        facts,
        mark: shared.mark,
        socket: shared.socket,
        wall: shared.states.wall(facts.now),
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
        // They write elsewhere: logs, lamps, timers, the queues of interfaces.
        Target::Audit(_)
            | Target::Trace(_)
            | Target::Led(_)
            | Target::Idletimer(_)
            | Target::Classify(_)
            | Target::Ulog(_)
            // They change what no match that is evaluated looks at.
            | Target::Secmark(_)
            | Target::Connsecmark(_)
    )
}

/// Targets that change bytes which only matches of [`sees_bytes`] look at, and nothing else on a packet's way.
pub(crate) fn changes_bytes(target: &Target) -> bool {
    matches!(
        target,
        Target::Tos(_)
            | Target::Dscp(_)
            | Target::Ecn(_)
            | Target::Checksum(_)
            | Target::Tcpmss(_)
            | Target::Tcpoptstrip(_)
    )
}

/// Matches that see what [`changes_bytes`] is true of.
pub(crate) fn sees_bytes(m: &Match) -> bool {
    match m {
        Match::Tcp(tcp) => return tcp.option.is_some(),
        // Whatever they see, the answer is not known.
        Match::Bpf(Bpf::Pinned(_)) => return false,
        m if !m.extension().evaluated() => return false,
        _ => {}
    }
    // Every match of the headers may be among them; those of the connection, the link and the host are not.
    let needs = m.extension().needs;
    [Need::Network, Need::Transport, Need::Payload]
        .iter()
        .any(|need| needs.contains(need))
        && !matches!(
            m,
            Match::Udp(_)
                | Match::Icmp(_)
                | Match::Icmp6(_)
                | Match::Multiport(_)
                | Match::Iprange(_)
                | Match::Addrtype(_)
                | Match::Recent(_)
                | Match::Ttl(_)
                | Match::Hl(_)
        )
}
