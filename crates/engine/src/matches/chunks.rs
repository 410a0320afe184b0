//! sctp and dccp (kernel `xt_sctp.c`, `xt_dccp.c`).

use palisade_rules::matches::sctp::{ChunkMode, Chunks, Types};
use palisade_rules::matches::{dccp, sctp};
use palisade_wire::{Packet, sctp::Sctp};

use super::Answer;
use super::headers::is_later_fragment;
use super::transport::port_fits;

/// What a test says that cannot be made on a broken packet, which is dropped whatever the rule makes of it.
enum Tested {
    Plain(bool),
    Broken,
}

impl Tested {
    /// With the rule's `!`. A negated test of a broken packet is met: the kernel counts the rule, has its
    /// target do what it does, and drops the packet then.
    fn negated(self, negated: bool) -> Answer {
        match self {
            Tested::Plain(plain) => (plain != negated).into(),
            Tested::Broken if negated => Answer::YesThenDrop,
            Tested::Broken => Answer::HotDrop,
        }
    }
}

/// Kernel `sctp_mt`.
pub(super) fn sctp(rule: &sctp::Sctp, packet: &Packet<'_>) -> Answer {
    if is_later_fragment(packet) {
        return Answer::No;
    }
    let Some(sctp) = Sctp::new(packet.transport()) else {
        return Answer::HotDrop;
    };
    if !port_fits(&rule.source, sctp.source_port())
        || !port_fits(&rule.destination, sctp.destination_port())
    {
        return Answer::No;
    }
    match &rule.chunks {
        None => Answer::Yes,
        Some(not) => has_chunks(&not.value, sctp.chunks()).negated(not.negated),
    }
}

/// Kernel `match_packet` of `xt_sctp.c`: a chunk header cut short or a length of 0 breaks it, but only as far
/// as it has to look; a chunk may claim more than there is.
fn has_chunks(wanted: &Chunks, bytes: &[u8]) -> Tested {
    let mut missing = wanted.types;
    let mut at = 0;
    loop {
        let header = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let Some(&[kind, flags, a, b]) = header else {
            return Tested::Broken;
        };
        let length = usize::from(u16::from_be_bytes([a, b]));
        if length == 0 {
            return Tested::Broken;
        }
        at += length.next_multiple_of(4);
        let counts = wanted.types.contains(kind)
            && wanted
                .flags
                .iter()
                .find(|f| f.kind == kind)
                .is_none_or(|f| flags & f.mask == f.set);
        match wanted.mode {
            ChunkMode::Any if counts => return Tested::Plain(true),
            ChunkMode::Only if !counts => return Tested::Plain(false),
            ChunkMode::All if counts => missing.remove(kind),
            _ => {}
        }
        if at >= bytes.len() {
            break;
        }
    }
    Tested::Plain(match wanted.mode {
        ChunkMode::Any => false,
        ChunkMode::Only => true,
        // The kernel's map of ALL has bits for types that there are none of, which nothing takes out.
        ChunkMode::All => missing.is_empty() && wanted.types != Types::ALL,
    })
}

/// Kernel `dccp_mt`.
pub(super) fn dccp(rule: &dccp::Dccp, packet: &Packet<'_>) -> Answer {
    if is_later_fragment(packet) {
        return Answer::No;
    }
    let Some(header) = packet.transport().first_chunk::<12>() else {
        return Answer::HotDrop;
    };
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let kind = header[8] >> 1 & 15;
    if !port_fits(&rule.source, port(0)) || !port_fits(&rule.destination, port(2)) {
        return Answer::No;
    }
    if let Some(not) = &rule.types
        && !not.apply(not.value & 1 << kind != 0)
    {
        return Answer::No;
    }
    let Some(not) = &rule.option else {
        return Answer::Yes;
    };
    let extended = if header[8] & 1 != 0 { 4 } else { 0 };
    let options = 12 + extended + behind_header(kind);
    let end = usize::from(header[4]) * 4;
    if end < options {
        return Tested::Broken.negated(not.negated);
    }
    if end == options {
        return Tested::Plain(false).negated(not.negated);
    }
    match packet.transport().get(options..end) {
        Some(options) => Tested::Plain(has_option(options, not.value)),
        None => Tested::Broken,
    }
    .negated(not.negated)
}

/// Bytes between the general header and the options, by packet type (kernel `dccp_packet_hdr_len`).
fn behind_header(kind: u8) -> usize {
    match kind {
        // REQUEST: the service.
        0 => 4,
        // DATA.
        2 => 0,
        // ACK, DATAACK, CLOSEREQ, CLOSE, SYNC, SYNCACK: an acknowledgement.
        3..=6 | 8 | 9 => 8,
        // RESPONSE and RESET: an acknowledgement and four bytes. What is no type counts as RESET.
        _ => 12,
    }
}

/// Kernel `dccp_find_option`: walks types and lengths without judging them.
fn has_option(options: &[u8], kind: u8) -> bool {
    let mut at = 0;
    while let Some(&found) = options.get(at) {
        if found == kind {
            return true;
        }
        at += match options.get(at + 1) {
            Some(&length) if found >= 2 => usize::from(length.max(1)),
            _ => 1,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(mode: ChunkMode, types: &[u8]) -> Chunks {
        let mut set = Types::default();
        types.iter().for_each(|t| set.insert(*t));
        Chunks {
            mode,
            types: set,
            flags: Vec::new(),
        }
    }

    fn test(wanted: &Chunks, bytes: &[u8]) -> &'static str {
        match has_chunks(wanted, bytes) {
            Tested::Plain(true) => "yes",
            Tested::Plain(false) => "no",
            Tested::Broken => "broken",
        }
    }

    #[test]
    fn a_chunk_list_is_broken_only_where_it_is_looked_at() {
        use ChunkMode::{All, Any, Only};
        let data = &[0u8, 3, 0, 4][..];
        let then_nothing = &[0u8, 3, 0, 4, 6, 0][..];
        let rows: &[(ChunkMode, &[u8], &[u8], &str)] = &[
            (Any, &[0], data, "yes"),
            (Any, &[1], data, "no"),
            (Any, &[0], then_nothing, "yes"),
            (Any, &[1], then_nothing, "broken"),
            (Only, &[1], then_nothing, "no"),
            (Only, &[0], then_nothing, "broken"),
            (All, &[0], then_nothing, "broken"),
            (All, &[0, 1], data, "no"),
            (All, &[], data, "yes"),
            (Only, &[], data, "no"),
            (Any, &[], data, "no"),
            (Any, &[0], &[0, 0, 0, 0], "broken"),
            (Any, &[0], &[], "broken"),
            // A length below four counts as four.
            (All, &[0, 6], &[0, 0, 0, 1, 6, 0, 0, 4], "yes"),
            // A chunk that claims more than there is ends the list.
            (All, &[0], &[0, 0, 0xff, 0xff], "yes"),
        ];
        for (mode, types, bytes, answer) in rows {
            let wanted = wanted(*mode, types);
            assert_eq!(
                test(&wanted, bytes),
                *answer,
                "{mode:?} {types:?} {bytes:?}"
            );
        }
    }

    #[test]
    fn no_packet_has_all_chunks_of_all() {
        let all = Chunks {
            mode: ChunkMode::All,
            types: Types::ALL,
            flags: Vec::new(),
        };
        let bytes: Vec<u8> = (0..=255u8).flat_map(|kind| [kind, 0, 0, 4]).collect();
        assert_eq!(test(&all, &bytes), "no");
    }

    #[test]
    fn options_of_dccp_are_walked_to_the_last_byte() {
        let rows: &[(&[u8], u8, bool)] = &[
            (&[1, 1, 32, 3, 5, 7], 7, true),
            (&[1, 1, 32, 3, 5, 7], 5, false),
            (&[32, 0, 7], 0, true),
            (&[32], 32, true),
            (&[1, 32], 33, false),
            (&[0, 9, 1, 9], 9, true),
        ];
        for (options, kind, found) in rows {
            assert_eq!(has_option(options, *kind), *found, "{options:?} {kind}");
        }
    }
}
