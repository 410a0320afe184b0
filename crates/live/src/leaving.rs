//! What leaves for a packet that was judged.

use palisade_engine::Verdict;
use palisade_wire::{Packet, build};

use crate::backend::Frame;

/// One packet that leaves.
#[derive(Debug)]
pub(crate) enum Leaving<'a> {
    /// The packet as it lies in its frame, changed or not.
    Same(&'a mut Vec<u8>),
    /// The packet with other bytes.
    Other(&'a mut [u8]),
    /// A packet of our own making; whether it goes back to where the frame came from.
    Made(bool, &'a [u8]),
}

/// Hands over everything that leaves for a frame, in its order. A datagram that was put together from fragments is cut again: into
/// pieces no larger than its largest, nor than `mtu` (kernel `ip_do_fragment`, `ip6_fragment`).
pub(crate) fn leaving(
    frame: &mut Frame,
    mtu: usize,
    mut send: impl FnMut(&mut Frame, Leaving<'_>),
) {
    let Some(mut detail) = frame.judged.detail.take() else {
        if frame.judged.verdict == Verdict::Accept {
            let mut bytes = std::mem::take(&mut frame.bytes);
            send(frame, Leaving::Same(&mut bytes));
            frame.bytes = bytes;
        }
        return;
    };
    if frame.judged.verdict == Verdict::Accept {
        match &mut detail.output {
            None => {
                let mut bytes = std::mem::take(&mut frame.bytes);
                send(frame, Leaving::Same(&mut bytes));
                frame.bytes = bytes;
            }
            Some(output) if detail.largest_piece > 0 => {
                let size = mtu.min(detail.largest_piece);
                let id = Packet::parse(frame.packet()).map_or(0, |p| p.id());
                for mut piece in build::fragments_within(output, size, id) {
                    send(frame, Leaving::Other(&mut piece));
                }
            }
            Some(output) => send(frame, Leaving::Other(output)),
        }
    }
    let sender = Packet::parse(frame.packet()).ok().map(|p| p.source());
    for reply in [&detail.reply, &detail.further].into_iter().flatten() {
        let Some(sent) = &reply.sent else { continue };
        // SYNPROXY speaks to both sides.
        let to = Packet::parse(&reply.made).ok().map(|p| p.destination());
        send(frame, Leaving::Made(to == sender, sent));
    }
    frame.judged.detail = detail.into();
}
