//! MARK, CONNMARK, CT and NOTRACK: marks, and what is said of tracking to come.

use palisade_conntrack::{Template, Track, ZoneSpec, helper};
use palisade_rules::targets::ct::{Ct, ZoneDirection};
use palisade_rules::targets::mark::{Connmark, Mark};

use crate::linear::RawState;
use crate::matches::Shared;
use crate::observe::Effect;

/// The mark of a packet behind MARK.
pub(crate) fn marked(rule: Mark, mark: u32) -> u32 {
    (mark & !rule.mask) ^ rule.value
}

/// The mark of a packet behind CONNMARK that restores a connection's, with both masks.
pub(crate) fn restored(mark: u32, nfmask: u32, connection: u32, ctmask: u32) -> u32 {
    (mark & !nfmask) ^ (connection & ctmask)
}

/// Kernel `mark_tg`.
pub(super) fn mark(rule: Mark, shared: &mut Shared<'_>) -> Option<Effect> {
    let from = shared.mark;
    shared.mark = marked(rule, from);
    Some(Effect::Mark {
        from,
        to: shared.mark,
    })
}

/// Kernel `notrack_tg`.
pub(super) fn notrack(shared: &mut Shared<'_>) -> Option<Effect> {
    if shared.raw.locked {
        return None;
    }
    untrack(shared.track, shared.raw)
}

/// Kernel `xt_ct_target`.
pub(super) fn ct(ct: &Ct, shared: &mut Shared<'_>) -> Option<Effect> {
    let raw = &mut *shared.raw;
    if raw.locked || raw.untracked || raw.template.is_some() || shared.track.is_some() {
        return None; // the first word holds
    }
    if ct.notrack {
        return untrack(shared.track, raw);
    }
    let zone = ct
        .zone
        .map_or_else(ZoneSpec::default, |(id, direction)| ZoneSpec {
            id: id.unwrap_or(shared.mark as u16),
            original: direction != ZoneDirection::Reply,
            reply: direction != ZoneDirection::Original,
        });
    let helper = ct
        .helper
        .as_deref()
        .and_then(helper::by_name)
        .map(|h| h.name);
    let policy = ct
        .timeout
        .as_deref()
        .and_then(|name| shared.conntrack.policy(name));
    raw.template = Some(Template {
        zone,
        helper,
        policy,
        proxied: false,
    });
    let mut text = Vec::new();
    if let Some(helper) = helper {
        text.push(format!("helper {helper}"));
    }
    if ct.zone.is_some() {
        text.push(format!("zone {}", zone.id));
    }
    if let Some(name) = &ct.timeout {
        text.push(format!("timeout {name}"));
    }
    Some(Effect::Template(text.join(", ")))
}

fn untrack(track: Option<&Track>, raw: &mut RawState) -> Option<Effect> {
    if track.is_some() || raw.template.is_some() {
        return None;
    }
    raw.untracked = true;
    Some(Effect::NoTrack)
}

/// Kernel `connmark_tg`.
pub(super) fn connmark(change: Connmark, shared: &mut Shared<'_>) -> Option<Effect> {
    let id = shared.track?.connection?;
    let packet_mark = shared.mark;
    let connection = shared.conntrack.connection_mut(id)?;
    let from = connection.mark;
    match change {
        Connmark::Set { value, mask } => connection.mark = (from & !mask) ^ value,
        Connmark::Save { nfmask, ctmask } => {
            connection.mark = (from & !ctmask) ^ (packet_mark & nfmask);
        }
        Connmark::Restore { nfmask, ctmask } => {
            shared.mark = restored(packet_mark, nfmask, from, ctmask);
            return Some(Effect::Mark {
                from: packet_mark,
                to: shared.mark,
            });
        }
    }
    Some(Effect::ConnectionMark {
        from,
        to: connection.mark,
    })
}
