//! What must hold after every packet.

use palisade_conntrack::{Reason, State};
use palisade_engine::{Ended, Engine, Outcome, Verdict};
use palisade_rules::Family;
use palisade_wire::Packet;

use super::engine::{LONGEST, PACKETS};

/// Verdict, state and reasons say the same.
pub(super) fn consistent(outcome: &Outcome) {
    let why = outcome.why.to_string();
    assert!(!why.is_empty() && why.len() < 4096, "{why}");
    let ended = &outcome.why.ended;
    let fits = match outcome.verdict {
        Verdict::Accept => matches!(ended, Ended::NoRules | Ended::Accepted(_)),
        Verdict::Reject => matches!(ended, Ended::Rejected { .. }),
        Verdict::Stolen => matches!(
            ended,
            Ended::Fragment | Ended::Answered { .. } | Ended::Proxied(_)
        ),
        Verdict::Queue => matches!(ended, Ended::Queued(_)),
        Verdict::Unknown => matches!(ended, Ended::Unknown { .. }),
        Verdict::Drop => !matches!(
            ended,
            Ended::NoRules
                | Ended::Accepted(_)
                | Ended::Rejected { .. }
                | Ended::Queued(_)
                | Ended::Fragment
                | Ended::Answered { .. }
                | Ended::Unknown { .. }
        ),
    };
    assert!(fits, "{:?}: {ended:?}", outcome.verdict);
    let invalid = matches!(outcome.why.state, Some(Reason::Invalid(_)));
    assert_eq!(
        outcome.state == Some(State::Invalid),
        invalid,
        "{:?}: {:?}",
        outcome.state,
        outcome.why.state
    );
    if outcome.reply.is_some() {
        assert!(matches!(outcome.verdict, Verdict::Reject | Verdict::Stolen));
    }
    assert!(outcome.further.is_none() || outcome.reply.is_some());
    if let Some(bytes) = &outcome.output {
        assert!(matches!(
            outcome.verdict,
            Verdict::Accept | Verdict::Queue | Verdict::Unknown
        ));
        whole(bytes, "output");
    }
    if let Some(reply) = &outcome.reply {
        whole(&reply.made, "answer");
        if let Some(bytes) = &reply.sent {
            whole(bytes, "answer as it leaves");
        }
    }
}

/// A packet that could go on a wire: its lengths are those of its bytes.
fn whole(bytes: &[u8], what: &str) {
    match Packet::parse(bytes) {
        Ok(packet) => assert!(
            packet.declared_len() <= bytes.len() && bytes.len() <= 65_575,
            "{what}: {} of {} bytes",
            packet.declared_len(),
            bytes.len()
        ),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Nothing has outgrown its limit.
pub(super) fn bounded(engine: &Engine) {
    let table = engine.conntrack();
    let config = table.config();
    assert!(table.len() as u64 <= config.max, "{}", table.len());
    let expectations = table.expectations().count() as u64;
    assert!(expectations <= config.expect_max, "{expectations}");
    for (family, high) in [
        (Family::V4, config.ipfrag_high_thresh),
        (Family::V6, config.frag6_high_thresh),
    ] {
        // A datagram that was begun below the threshold may be ended above it.
        let held = engine.fragments_held(family);
        let most = high + (PACKETS * 2 * LONGEST) as u64;
        assert!(held <= most, "{held} bytes of fragments");
    }
    for (name, addresses) in engine.recent().contents() {
        assert!(addresses.len() <= 100, "{name}: {}", addresses.len());
        for (_, moments) in addresses {
            assert!(moments <= 1 << 16, "{name}: {moments}");
        }
    }
}
