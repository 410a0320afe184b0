//! Window tracking: the four comparisons of van Rooij's "Real Stateful TCP Packet Filtering in IP
//! Filter", as the kernel makes them (`tcp_in_window`, `tcp_options`, `tcp_sack`,
//! `tcp_init_sender`).
//!
//! ```text
//!   sender                                                   receiver
//!   end     highest byte it sent                             end     highest byte it sent
//!   maxend  highest byte it may send (receiver's ack+win)    maxwin  largest window it offered
//!
//!   I    seq  <= sender.maxend                      not beyond the window
//!   II   end  >= sender.end - receiver.maxwin       not older than a window
//!   III  sack <= receiver.end                       acknowledges only what was sent
//!   IV   sack >= receiver.end - MAXACKWINDOW        not an ancient acknowledgement
//! ```

use palisade_wire::{Packet, SeqNumber, tcp::Tcp, tcp::flags, tcp::option};

use super::machine::{FlagClass, TcpState};
use super::{PeerFlags, TcpConnection};
use crate::config::Config;
use crate::reason::{Ignored, Invalid};
use crate::tuple::Direction;

/// Largest window scale (RFC 7323 §2.3).
const MAX_SCALE: u8 = 14;

/// An acknowledgement may lie this far back at least, whatever the window (kernel
/// `MAXACKWINCONST`).
pub(super) const MAX_ACK_WINDOW: u32 = 66_000;

/// What is known of one end (kernel `struct ip_ct_tcp_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Peer {
    /// Highest sequence number it sent, plus one.
    pub end: SeqNumber,
    /// Highest sequence number it may send: the other's acknowledgement plus window.
    pub maxend: SeqNumber,
    /// Largest window it offered, in bytes; 0 while nothing was seen from it.
    pub maxwin: u32,
    /// Highest acknowledgement it sent.
    pub maxack: SeqNumber,
    /// Its window scale.
    pub scale: u8,
    /// Flags.
    pub flags: PeerFlags,
}

impl Peer {
    /// Forgets everything but liberality (kernel `nf_ct_tcp_state_reset`).
    pub(super) fn reset(&mut self) {
        *self = Peer {
            flags: self.flags.only(PeerFlags::BE_LIBERAL),
            ..Peer::default()
        };
    }

    /// Window scale and SACK permission from a SYN (kernel `tcp_options`).
    pub(super) fn read_options(&mut self, segment: &Segment<'_>) {
        if segment.tcp.data_offset() <= Tcp::HEADER_LEN {
            return;
        }
        self.scale = 0;
        self.flags = self.flags.only(PeerFlags::BE_LIBERAL);
        for found in segment.tcp.options_iter() {
            match (found.kind, found.data) {
                (option::SACK_PERMITTED, []) => self.flags.set(PeerFlags::SACK_PERMITTED),
                (option::WINDOW_SCALE, [scale]) => {
                    self.scale = (*scale).min(MAX_SCALE);
                    self.flags.set(PeerFlags::WINDOW_SCALE);
                }
                _ => {}
            }
        }
    }
}

/// The numbers of one segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub(super) tcp: Tcp<'a>,
    /// Sequence number.
    pub seq: SeqNumber,
    /// Sequence number after the last byte; SYN and FIN count one each.
    pub end: SeqNumber,
    /// Acknowledgement field.
    pub ack: SeqNumber,
    /// Window field, unscaled.
    pub window: u16,
    /// Flag bits.
    pub flags: u8,
    /// Class of the flags.
    pub class: FlagClass,
    /// Bytes that a helper added to what is acknowledged: the other side counts them, its peer
    /// does not.
    pub shift: i32,
}

impl<'a> Segment<'a> {
    /// Reads a segment; `None` when the fixed header is cut short. The length is the one that the
    /// IP header declares, so a capture's snap length does not matter.
    pub fn of(packet: &Packet<'a>) -> Option<Self> {
        let tcp = Tcp::new(packet.transport())?;
        let bits = tcp.flags();
        let data = packet.transport_len().saturating_sub(tcp.data_offset()) as u32;
        let data = data + u32::from(bits & flags::SYN != 0) + u32::from(bits & flags::FIN != 0);
        Some(Segment {
            tcp,
            seq: tcp.seq(),
            end: tcp.seq() + data,
            ack: tcp.ack(),
            window: tcp.window(),
            flags: bits,
            class: FlagClass::of(bits),
            shift: 0,
        })
    }

    /// The highest right edge of the SACK blocks, or the acknowledgement (kernel `tcp_sack`).
    fn sack(&self) -> SeqNumber {
        let mut highest = self.ack;
        for found in self.tcp.options_iter() {
            if found.kind == option::SACK
                && found.data.len() >= 8
                && found.data.len().is_multiple_of(8)
            {
                for block in found.data.chunks_exact(8) {
                    let right =
                        SeqNumber(u32::from_be_bytes([block[4], block[5], block[6], block[7]]));
                    highest = highest.max(right);
                }
                break;
            }
        }
        highest
    }
}

/// Result of the window check.
pub(super) enum Verdict {
    Accept,
    Ignore(Ignored),
    Invalid(Invalid),
}

fn max_ack_window(sender: &Peer) -> u32 {
    sender.maxwin.max(MAX_ACK_WINDOW)
}

/// First sight of an end by its SYN or SYN/ACK (kernel `tcp_init_sender`).
fn init_sender(
    sender: &mut Peer,
    receiver: &mut Peer,
    segment: &Segment<'_>,
    direction: Direction,
) {
    sender.end = segment.end;
    sender.maxend = segment.end;
    sender.maxwin = u32::from(segment.window).max(1);
    sender.read_options(segment);
    if direction == Direction::Reply
        && !(sender.flags.has(PeerFlags::WINDOW_SCALE)
            && receiver.flags.has(PeerFlags::WINDOW_SCALE))
    {
        sender.scale = 0;
        receiver.scale = 0;
    }
}

/// Kernel `tcp_in_window`.
pub(super) fn in_window(
    tcp: &mut TcpConnection,
    direction: Direction,
    segment: &Segment<'_>,
    config: &Config,
) -> Verdict {
    let state = tcp.state;
    let [original, reply] = &mut tcp.peers;
    let (sender, receiver) = match direction {
        Direction::Original => (original, reply),
        Direction::Reply => (reply, original),
    };
    let last = Last {
        direction: &mut tcp.last_direction,
        seq: &mut tcp.last_seq,
        ack: &mut tcp.last_ack,
        end: &mut tcp.last_end,
        window: &mut tcp.last_window,
        repeated: &mut tcp.retransmissions,
    };
    compare(sender, receiver, state, direction, segment, config, last)
}

/// What is known of the last segment, and how often it came.
struct Last<'a> {
    direction: &'a mut Direction,
    seq: &'a mut SeqNumber,
    ack: &'a mut SeqNumber,
    end: &'a mut SeqNumber,
    window: &'a mut u16,
    repeated: &'a mut u8,
}

#[inline]
fn compare(
    sender: &mut Peer,
    receiver: &mut Peer,
    state: TcpState,
    direction: Direction,
    segment: &Segment<'_>,
    config: &Config,
    last: Last<'_>,
) -> Verdict {
    let syn = segment.flags & flags::SYN != 0;
    let has_ack = segment.flags & flags::ACK != 0;
    let rst = segment.flags & flags::RST != 0;
    let (mut seq, mut end) = (segment.seq, segment.end);
    let back = segment.shift.wrapping_neg() as u32;
    let mut ack = segment.ack + back;
    let mut sack = if receiver.flags.has(PeerFlags::SACK_PERMITTED) {
        segment.sack() + back
    } else {
        ack
    };
    let mut window = u32::from(segment.window);

    if sender.maxwin == 0 {
        if syn {
            init_sender(sender, receiver, segment, direction);
            if !has_ack {
                return Verdict::Accept; // simultaneous open
            }
        } else {
            // The middle of a connection whose start was not seen from this side.
            sender.end = end;
            sender.maxwin = (window << sender.scale).max(1);
            sender.maxend = end + sender.maxwin;
            if receiver.maxwin == 0 {
                receiver.end = sack;
                receiver.maxend = sack;
            } else if sack == receiver.end + 1 {
                // Likely the answer to a keepalive.
                receiver.end = receiver.end + 1;
            }
        }
    } else if syn && end.after(sender.end) && matches!(state, TcpState::SynSent | TcpState::SynRecv)
    {
        init_sender(sender, receiver, segment, direction);
        if direction == Direction::Reply && !has_ack {
            return Verdict::Accept;
        }
    }

    if !has_ack || (rst && ack.0 == 0) {
        ack = receiver.end;
        sack = receiver.end;
    }
    if rst && seq.0 == 0 && state == TcpState::SynSent {
        seq = sender.end;
        end = sender.end;
    }

    let liberal = sender.flags.has(PeerFlags::BE_LIBERAL) || config.tcp_be_liberal != 0;
    let oldest_ack = receiver.end - max_ack_window(sender) - 1;
    if !seq.before(sender.maxend + 1) {
        let overshot = end.0.wrapping_sub(sender.maxend.0).wrapping_add(1);
        let in_receive_window = receiver.maxwin != 0 && end.after(sender.end - receiver.maxwin - 1);
        if in_receive_window
            && sack.after(oldest_ack)
            && overshot <= receiver.maxwin
            && sack.before(receiver.end + 1)
        {
            sender.end = end;
            sender.flags.set(PeerFlags::DATA_UNACKNOWLEDGED);
            return if liberal {
                Verdict::Accept
            } else {
                Verdict::Ignore(Ignored::Overshot { by: overshot })
            };
        }
        return if liberal {
            Verdict::Accept
        } else {
            Verdict::Invalid(Invalid::SeqBeyondWindow {
                by: seq.distance(sender.maxend).unsigned_abs(),
            })
        };
    }
    if !sack.before(receiver.end + 1) {
        return if liberal {
            Verdict::Accept
        } else {
            Verdict::Invalid(Invalid::AckBeyondWindow {
                by: sack.distance(receiver.end).unsigned_abs(),
            })
        };
    }
    let oldest_end = sender.end - receiver.maxwin - 1;
    if receiver.maxwin != 0 && !end.after(oldest_end) {
        return if liberal {
            Verdict::Accept
        } else {
            Verdict::Ignore(Ignored::SeqBelow {
                by: (oldest_end + 1).distance(end).unsigned_abs(),
            })
        };
    }
    if !sack.after(oldest_ack) {
        return if liberal {
            Verdict::Accept
        } else {
            Verdict::Ignore(Ignored::AckBelow {
                by: (oldest_ack + 1).distance(sack).unsigned_abs(),
            })
        };
    }

    if !syn {
        window <<= sender.scale;
    }
    let offered = window.wrapping_add(sack.0.wrapping_sub(ack.0));
    sender.maxwin = sender.maxwin.max(offered);
    if end.after(sender.end) {
        sender.end = end;
        sender.flags.set(PeerFlags::DATA_UNACKNOWLEDGED);
    }
    if has_ack && (!sender.flags.has(PeerFlags::MAXACK_SET) || ack.after(sender.maxack)) {
        sender.maxack = ack;
        sender.flags.set(PeerFlags::MAXACK_SET);
    }
    if receiver.maxwin != 0 && end.after(sender.maxend) {
        receiver.maxwin = receiver
            .maxwin
            .wrapping_add(end.0.wrapping_sub(sender.maxend.0));
    }
    let may_send = sack + window;
    if may_send.after(receiver.maxend - 1) {
        receiver.maxend = may_send + u32::from(window == 0);
    }
    if ack == receiver.end {
        receiver.flags.clear(PeerFlags::DATA_UNACKNOWLEDGED);
    }

    if segment.class == FlagClass::Ack {
        let same = (
            *last.direction,
            *last.seq,
            *last.ack,
            *last.end,
            *last.window,
        ) == (direction, seq, ack, end, segment.window);
        if same {
            *last.repeated = last.repeated.saturating_add(1);
        } else {
            (*last.direction, *last.seq, *last.ack) = (direction, seq, ack);
            (*last.end, *last.window, *last.repeated) = (end, segment.window, 0);
        }
    }
    Verdict::Accept
}

/// One of the four comparisons, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The segment's number.
    pub value: SeqNumber,
    /// The bound it is held against.
    pub bound: SeqNumber,
    /// Whether it holds.
    pub holds: bool,
}

/// The window arithmetic of one segment, for people: both ends before and after, and the four
/// comparisons as they stood when they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStep {
    /// Direction of the segment.
    pub direction: Direction,
    /// Its class.
    pub class: FlagClass,
    /// Sequence number.
    pub seq: SeqNumber,
    /// After its last byte.
    pub end: SeqNumber,
    /// Acknowledgement field.
    pub ack: SeqNumber,
    /// Highest right edge of SACK, or the acknowledgement.
    pub sack: SeqNumber,
    /// Window field, unscaled.
    pub window: u16,
    /// State before.
    pub old: TcpState,
    /// State after.
    pub new: TcpState,
    /// Both ends before.
    pub before: [Peer; 2],
    /// Both ends after.
    pub after: [Peer; 2],
    /// I: seq against sender.maxend.
    pub upper_seq: Bound,
    /// II: end against sender.end - receiver.maxwin.
    pub lower_seq: Bound,
    /// III: sack against receiver.end.
    pub upper_ack: Bound,
    /// IV: sack against receiver.end - MAXACKWINDOW.
    pub lower_ack: Bound,
    /// Whether failing comparisons are overlooked (liberal).
    pub liberal: bool,
}

impl Default for TcpStep {
    fn default() -> Self {
        let bound = Bound {
            value: SeqNumber(0),
            bound: SeqNumber(0),
            holds: true,
        };
        TcpStep {
            direction: Direction::Original,
            class: FlagClass::None,
            seq: SeqNumber(0),
            end: SeqNumber(0),
            ack: SeqNumber(0),
            sack: SeqNumber(0),
            window: 0,
            old: TcpState::None,
            new: TcpState::None,
            before: [Peer::default(); 2],
            after: [Peer::default(); 2],
            upper_seq: bound,
            lower_seq: bound,
            upper_ack: bound,
            lower_ack: bound,
            liberal: false,
        }
    }
}

impl TcpStep {
    pub(super) fn new(
        before: &TcpConnection,
        after: &TcpConnection,
        segment: &Segment<'_>,
        direction: Direction,
        config: &Config,
    ) -> Self {
        let sender = &before.peers[direction.index()];
        let receiver = &before.peers[direction.opposite().index()];
        let has_ack = segment.flags & flags::ACK != 0;
        let sack = match (has_ack, receiver.flags.has(PeerFlags::SACK_PERMITTED)) {
            (false, _) => receiver.end,
            (true, true) => segment.sack(),
            (true, false) => segment.ack,
        };
        // An end that was not seen before is learnt from this very segment: no bound can fail.
        let seen = sender.maxwin != 0 && segment.flags & flags::SYN == 0;
        let bound = |value: SeqNumber, bound: SeqNumber, holds: bool| Bound {
            value,
            bound,
            holds: holds || !seen,
        };
        let oldest = sender.end - receiver.maxwin;
        let oldest_ack = receiver.end - max_ack_window(sender);
        TcpStep {
            direction,
            class: segment.class,
            seq: segment.seq,
            end: segment.end,
            ack: segment.ack,
            sack,
            window: segment.window,
            old: before.state,
            new: after.state,
            before: before.peers,
            after: after.peers,
            upper_seq: bound(
                segment.seq,
                sender.maxend,
                !segment.seq.after(sender.maxend),
            ),
            lower_seq: bound(
                segment.end,
                oldest,
                receiver.maxwin == 0 || !segment.end.before(oldest),
            ),
            upper_ack: bound(sack, receiver.end, !sack.after(receiver.end)),
            lower_ack: bound(sack, oldest_ack, !sack.before(oldest_ack)),
            liberal: sender.flags.has(PeerFlags::BE_LIBERAL) || config.tcp_be_liberal != 0,
        }
    }
}
