//! TCP: the kernel's ten states and its window tracking (kernel `nf_conntrack_proto_tcp.c`).
//!
//! - [`machine`]: states, segment classes and the transition table, as data.
//! - [`window`]: the four comparisons and what a segment teaches about both ends.
//! - this file: what one segment does to a connection.

pub mod machine;
pub(crate) mod packed;
pub(crate) mod quick;
pub mod window;

pub use machine::{FlagClass, TcpState};
pub use window::{Bound, Peer, TcpStep};

use palisade_wire::{SeqNumber, proto, tcp::Tcp, tcp::flags};

use super::{Context, Update};
use crate::config::Config;
use crate::connection::{Connection, Deadline, ProtoState, Status};
use crate::reason::{Ignored, Invalid};
use crate::tuple::Direction;
use machine::Next;
use palisade_wire::Timestamp;
use window::{Segment, Verdict};

/// A TCP connection as a middlebox knows it (kernel `struct ip_ct_tcp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConnection {
    /// State of the connection.
    pub state: TcpState,
    /// What is known of both ends, by the direction in which they send.
    pub peers: [Peer; 2],
    /// Direction of the last segment that counted.
    pub last_direction: Direction,
    /// Its class.
    pub last_class: FlagClass,
    /// Its sequence number, acknowledgement, end and window, for retransmission counting and
    /// for getting back in step with a SYN that was let pass.
    pub last_seq: SeqNumber,
    /// See `last_seq`.
    pub last_ack: SeqNumber,
    /// See `last_seq`.
    pub last_end: SeqNumber,
    /// See `last_seq`.
    pub last_window: u16,
    /// Options of a SYN that was let pass: window scale.
    pub last_scale: u8,
    /// Options of a SYN that was let pass, and marks for what may follow.
    pub last_flags: PeerFlags,
    /// Identical ACKs in a row.
    pub retransmissions: u8,
}

/// Flags about an end of a connection (kernel `IP_CT_TCP_FLAG_*`), and marks about the last segment.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerFlags(pub(crate) u8);

impl PeerFlags {
    /// Sent a window scale option.
    pub const WINDOW_SCALE: PeerFlags = PeerFlags(1);
    /// Allows selective acknowledgements.
    pub const SACK_PERMITTED: PeerFlags = PeerFlags(1 << 1);
    /// Sent the first FIN.
    pub const CLOSE_INIT: PeerFlags = PeerFlags(1 << 2);
    /// Its window is not enforced.
    pub const BE_LIBERAL: PeerFlags = PeerFlags(1 << 3);
    /// Sent data that is not acknowledged.
    pub const DATA_UNACKNOWLEDGED: PeerFlags = PeerFlags(1 << 4);
    /// `maxack` is known.
    pub const MAXACK_SET: PeerFlags = PeerFlags(1 << 5);
    /// A challenge ACK may answer a SYN that was let pass in LAST_ACK.
    pub const EXPECT_CHALLENGE_ACK: PeerFlags = PeerFlags(1 << 6);
    /// Both ends sent a SYN.
    pub const SIMULTANEOUS_OPEN: PeerFlags = PeerFlags(1 << 7);

    const NAMES: [&'static str; 8] = [
        "window_scale",
        "sack_permitted",
        "close_init",
        "be_liberal",
        "data_unacknowledged",
        "maxack_set",
        "expect_challenge_ack",
        "simultaneous_open",
    ];

    /// Whether all flags of `other` are set.
    #[inline]
    pub fn has(self, other: PeerFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets flags.
    #[inline]
    pub fn set(&mut self, other: PeerFlags) {
        self.0 |= other.0;
    }

    /// Takes flags away.
    #[inline]
    pub fn clear(&mut self, other: PeerFlags) {
        self.0 &= !other.0;
    }

    /// Those flags that `other` has too.
    #[inline]
    pub fn only(self, other: PeerFlags) -> Self {
        PeerFlags(self.0 & other.0)
    }
}

impl std::fmt::Debug for PeerFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = PeerFlags::NAMES.iter().enumerate();
        f.debug_set()
            .entries(names.filter(|(n, _)| self.0 >> n & 1 != 0).map(|(_, n)| n))
            .finish()
    }
}

impl TcpConnection {
    pub(crate) fn new(peers: [Peer; 2]) -> Self {
        TcpConnection {
            state: TcpState::None,
            peers,
            last_direction: Direction::Original,
            last_class: FlagClass::None,
            last_seq: SeqNumber(0),
            last_ack: SeqNumber(0),
            last_end: SeqNumber(0),
            last_window: 0,
            last_scale: 0,
            last_flags: PeerFlags::default(),
            retransmissions: 0,
        }
    }

    /// Between handshake and the first FIN (kernel `nf_conntrack_tcp_established`).
    fn established(&self, status: Status) -> bool {
        self.state == TcpState::Established && status.has(Status::ASSURED)
    }

    /// Whether the connection is on its way out (kernel `tcp_can_early_drop`).
    fn closing(&self) -> bool {
        matches!(
            self.state,
            TcpState::FinWait
                | TcpState::LastAck
                | TcpState::TimeWait
                | TcpState::Close
                | TcpState::CloseWait
        )
    }
}

/// Kernel `tcp_error`: header, checksum, flags.
pub(crate) fn check(context: &Context<'_, '_>) -> Result<(), Invalid> {
    let transport = context.packet.transport();
    let Some(tcp) = Tcp::new(transport) else {
        return Err(Invalid::ShortHeader {
            protocol: proto::TCP,
            have: transport.len(),
            need: Tcp::HEADER_LEN,
        });
    };
    let length = context.packet.transport_len();
    let offset = tcp.data_offset();
    if offset < Tcp::HEADER_LEN || length < offset {
        return Err(Invalid::TcpDataOffset { offset, length });
    }
    context.verify_checksum(proto::TCP)?;
    if !machine::legal_flags(tcp.flags()) {
        return Err(Invalid::TcpFlags(tcp.flags()));
    }
    Ok(())
}

/// Kernel `tcp_new`: the state of a connection that this segment starts.
pub(crate) fn start(context: &Context<'_, '_>) -> Result<ProtoState, Invalid> {
    let Some(segment) = Segment::of(context.packet) else {
        return Err(Invalid::ShortHeader {
            protocol: proto::TCP,
            have: context.packet.transport().len(),
            need: Tcp::HEADER_LEN,
        });
    };
    match machine::next(Direction::Original, segment.class, TcpState::None) {
        Next::To(TcpState::SynSent) => {
            let mut client = Peer {
                end: segment.end,
                maxend: segment.end,
                maxwin: u32::from(segment.window).max(1),
                ..Peer::default()
            };
            client.read_options(&segment);
            Ok(ProtoState::Tcp(TcpConnection::new([
                client,
                Peer::default(),
            ])))
        }
        Next::To(_) => {
            if context.config.tcp_loose == 0 {
                return Err(Invalid::NotLoose);
            }
            let window = u32::from(segment.window).max(1);
            let mut liberal = PeerFlags::SACK_PERMITTED;
            liberal.set(PeerFlags::BE_LIBERAL);
            let sender = Peer {
                end: segment.end,
                maxend: segment.end + window,
                maxwin: window,
                flags: liberal,
                ..Peer::default()
            };
            let receiver = Peer {
                flags: liberal,
                ..Peer::default()
            };
            Ok(ProtoState::Tcp(TcpConnection::new([sender, receiver])))
        }
        _ => Err(Invalid::CannotStart(segment.class)),
    }
}

/// Kernel `nf_conntrack_tcp_packet` after `tcp_error` and `tcp_new`.
pub(crate) fn update(
    connection: &mut Connection,
    context: &Context<'_, '_>,
    direction: Direction,
    now: Timestamp,
    step: Option<&mut TcpStep>,
) -> Update {
    let Some(segment) = Segment::of(context.packet) else {
        return Update::Invalid(Invalid::ShortHeader {
            protocol: proto::TCP,
            have: context.packet.transport().len(),
            need: Tcp::HEADER_LEN,
        });
    };
    let mut segment = segment;
    if let Some(shifts) = &connection.rare().shifts {
        let acknowledged = segment.ack + u32::MAX;
        segment.shift = shifts[direction.opposite().index()].at(acknowledged);
    }
    let status = connection.status;
    let deadline = connection.deadline();
    let Some(mut tcp) = connection.tcp() else {
        return Update::Invalid(Invalid::WrongFamily {
            protocol: proto::TCP,
        });
    };
    let before = step.is_some().then_some(tcp);
    // Only a client that SYNPROXY answered speaks before its server did: its keep-alives ask for the server's
    // SYN once more.
    if connection.proxied().is_some()
        && tcp.state == TcpState::SynSent
        && segment.class == FlagClass::Ack
        && (direction, tcp.last_direction) == (Direction::Original, Direction::Original)
        && tcp.peers[Direction::Original.index()].end + u32::MAX == segment.seq
    {
        return Update::Valid {
            timeout: None,
            ignored: Some(Ignored::OutOfStep {
                class: segment.class,
                state: tcp.state,
            }),
        };
    }
    let outcome = judge(&mut tcp, status, &segment, direction, context.config);
    let judged = match outcome {
        Judged::Done(update) => update,
        Judged::Window { old, new, skip } => {
            let verdict = if skip {
                Verdict::Accept
            } else {
                window::in_window(&mut tcp, direction, &segment, context.config)
            };
            match verdict {
                Verdict::Accept => {
                    let timeout = advance(&mut tcp, old, new, &segment, direction, context.config);
                    settle(
                        &mut connection.status,
                        old,
                        new,
                        &segment,
                        timeout,
                        context.config,
                    )
                }
                Verdict::Ignore(why) => Update::Valid {
                    timeout: None,
                    ignored: Some(why),
                },
                Verdict::Invalid(why) => {
                    let lowered = out_of_window(
                        &mut tcp,
                        status,
                        &segment,
                        direction,
                        deadline,
                        now,
                        context.config,
                    );
                    if let Some(seconds) = lowered {
                        connection.renew(seconds, now);
                    }
                    Update::Invalid(why)
                }
            }
        }
    };
    connection.set_tcp(&tcp);
    if let (Some(step), Some(before)) = (step, before) {
        *step = TcpStep::new(&before, &tcp, &segment, direction, context.config);
    }
    judged
}

/// What the state machine says before the window is looked at.
enum Judged {
    /// Nothing more to do.
    Done(Update),
    /// On to the window check (or past it).
    Window {
        old: TcpState,
        new: TcpState,
        skip: bool,
    },
}

fn judge(
    tcp: &mut TcpConnection,
    status: Status,
    segment: &Segment<'_>,
    direction: Direction,
    config: &Config,
) -> Judged {
    let class = segment.class;
    let mut old = tcp.state;
    let new = match machine::next(direction, class, old) {
        Next::Invalid => {
            return Judged::Done(Update::Invalid(Invalid::Transition {
                class,
                direction,
                state: old,
            }));
        }
        Next::Ignore => return out_of_step(tcp, segment, direction, &mut old),
        Next::To(TcpState::SynSent)
            if matches!(
                old,
                TcpState::TimeWait | TcpState::Close | TcpState::SynSent2
            ) =>
        {
            let closed_by_end = tcp.peers.iter().any(|p| p.flags.has(PeerFlags::CLOSE_INIT));
            let reset_by_same_side =
                tcp.last_direction == direction && tcp.last_class == FlagClass::Rst;
            if closed_by_end || reset_by_same_side {
                return Judged::Done(Update::Repeat);
            }
            return out_of_step(tcp, segment, direction, &mut old);
        }
        Next::To(new) => new,
    };
    let mut target = new;
    let mut skip = false;
    match new {
        TcpState::TimeWait
            if old == TcpState::LastAck
                && class == FlagClass::Ack
                && tcp.last_direction != direction
                && tcp.last_class == FlagClass::Syn
                && tcp.last_flags.has(PeerFlags::EXPECT_CHALLENGE_ACK) =>
        {
            tcp.last_flags.clear(PeerFlags::EXPECT_CHALLENGE_ACK);
            return Judged::Done(Update::Valid {
                timeout: None,
                ignored: Some(Ignored::ChallengeAck),
            });
        }
        TcpState::SynSent2 => tcp.last_flags.set(PeerFlags::SIMULTANEOUS_OPEN),
        TcpState::SynRecv
            if direction == Direction::Reply
                && class == FlagClass::Ack
                && tcp.last_flags.has(PeerFlags::SIMULTANEOUS_OPEN) =>
        {
            target = TcpState::Established;
        }
        TcpState::Close if class == FlagClass::Rst => {
            match reset(tcp, status, segment, direction, old, config) {
                Reset::Invalid(by) => {
                    return Judged::Done(Update::Invalid(Invalid::RstBelowAcked { by }));
                }
                Reset::Window => {}
                Reset::KeepState => target = old,
                Reset::Skip(keep) => {
                    skip = true;
                    if keep {
                        target = old;
                    }
                }
            }
        }
        _ => {}
    }
    Judged::Window {
        old,
        new: target,
        skip,
    }
}

/// How a RST is taken.
enum Reset {
    /// Below what was acknowledged.
    Invalid(u32),
    /// Believed, if it is in the window.
    Window,
    /// Not exact: the state is kept, if it is in the window.
    KeepState,
    /// Believed without a look at the window; the flag tells whether the state is kept.
    Skip(bool),
}

fn reset(
    tcp: &TcpConnection,
    status: Status,
    segment: &Segment<'_>,
    direction: Direction,
    old: TcpState,
    config: &Config,
) -> Reset {
    if tcp.closing() {
        return Reset::Skip(false);
    }
    let other = &tcp.peers[direction.opposite().index()];
    let mut keep = false;
    if other.flags.has(PeerFlags::MAXACK_SET) && tcp.last_class != FlagClass::Syn {
        let established = tcp.established(status);
        if segment.seq.0 == 0 && !established {
            return Reset::Window;
        }
        if segment.seq.before(other.maxack) && config.tcp_ignore_invalid_rst == 0 {
            return Reset::Invalid(other.maxack.distance(segment.seq).unsigned_abs());
        }
        if !established || segment.seq == other.maxack {
            return Reset::Window;
        }
        if tcp.last_class == FlagClass::Ack
            && tcp.last_direction == direction
            && segment.seq == tcp.last_end
        {
            return Reset::Window;
        }
        keep = true;
    }
    let answers_ignored_syn = status.has(Status::SEEN_REPLY)
        && tcp.last_class == FlagClass::Syn
        && tcp.last_direction != direction;
    let answers_early_ack = !status.has(Status::ASSURED) && tcp.last_class == FlagClass::Ack;
    if (answers_ignored_syn || answers_early_ack) && segment.ack == tcp.last_end {
        return Reset::Skip(keep);
    }
    let answers_challenge = old == TcpState::SynSent
        && tcp.last_class == FlagClass::Ack
        && tcp.last_direction == Direction::Reply
        && segment.seq == tcp.last_ack;
    if answers_challenge {
        return Reset::Skip(keep);
    }
    if keep {
        Reset::KeepState
    } else {
        Reset::Window
    }
}

/// A segment that does not fit but may be right: remembered, let pass. A SYN/ACK that answers
/// a SYN let pass earlier brings the tracker back in step.
fn out_of_step(
    tcp: &mut TcpConnection,
    segment: &Segment<'_>,
    direction: Direction,
    old: &mut TcpState,
) -> Judged {
    let class = segment.class;
    if class == FlagClass::SynAck
        && tcp.last_class == FlagClass::Syn
        && tcp.last_direction != direction
        && segment.ack == tcp.last_end
    {
        *old = TcpState::SynSent;
        tcp.last_flags.clear(PeerFlags::EXPECT_CHALLENGE_ACK);
        let syn_sender = &mut tcp.peers[tcp.last_direction.index()];
        syn_sender.end = tcp.last_end;
        syn_sender.maxend = tcp.last_end;
        syn_sender.maxwin = u32::from(tcp.last_window).max(1);
        syn_sender.scale = tcp.last_scale;
        syn_sender.flags = tcp.last_flags;
        tcp.peers[direction.index()].reset();
        return Judged::Window {
            old: *old,
            new: TcpState::SynRecv,
            skip: false,
        };
    }
    tcp.last_class = class;
    tcp.last_direction = direction;
    tcp.last_seq = segment.seq;
    tcp.last_end = segment.end;
    tcp.last_window = segment.window;
    if class == FlagClass::Syn && direction == Direction::Original {
        let mut seen = Peer::default();
        seen.read_options(segment);
        let mut said = PeerFlags::WINDOW_SCALE;
        said.set(PeerFlags::SACK_PERMITTED);
        tcp.last_flags = seen.flags.only(said);
        if *old == TcpState::LastAck {
            tcp.last_flags.set(PeerFlags::EXPECT_CHALLENGE_ACK);
        }
        tcp.last_scale = if seen.flags.has(PeerFlags::WINDOW_SCALE) {
            seen.scale
        } else {
            0
        };
    }
    if *old == TcpState::SynSent && class == FlagClass::Ack && direction == Direction::Reply {
        tcp.last_ack = segment.ack;
    }
    Judged::Done(Update::Valid {
        timeout: None,
        ignored: Some(Ignored::OutOfStep { class, state: *old }),
    })
}

/// An in-window segment moves the state; returns its timeout in seconds.
fn advance(
    tcp: &mut TcpConnection,
    old: TcpState,
    new: TcpState,
    segment: &Segment<'_>,
    direction: Direction,
    config: &Config,
) -> u64 {
    tcp.last_class = segment.class;
    tcp.last_direction = direction;
    tcp.state = new;
    if old != new && new == TcpState::FinWait {
        tcp.peers[direction.index()]
            .flags
            .set(PeerFlags::CLOSE_INIT);
    }
    let usual = machine::timeout(new, config);
    let retransmitted = u64::from(tcp.retransmissions) >= config.tcp_max_retrans;
    let unacknowledged = tcp
        .peers
        .iter()
        .any(|p| p.flags.has(PeerFlags::DATA_UNACKNOWLEDGED));
    if retransmitted && usual > config.tcp_timeout_max_retrans {
        config.tcp_timeout_max_retrans
    } else if segment.class == FlagClass::Rst {
        config.tcp_timeout_close
    } else if unacknowledged && usual > config.tcp_timeout_unacknowledged {
        config.tcp_timeout_unacknowledged
    } else if tcp.last_window == 0 && usual > config.tcp_timeout_max_retrans {
        config.tcp_timeout_max_retrans
    } else {
        usual
    }
}

/// What an accepted segment does to the entry: end it, renew it, assure it.
fn settle(
    status: &mut Status,
    old: TcpState,
    new: TcpState,
    segment: &Segment<'_>,
    mut timeout: u64,
    config: &Config,
) -> Update {
    if !status.has(Status::SEEN_REPLY) {
        if segment.flags & flags::RST != 0 {
            return Update::Kill;
        }
        if segment.class == FlagClass::Syn && old == TcpState::SynSent {
            // A repeated SYN does not keep the entry alive.
            return Update::Valid {
                timeout: None,
                ignored: None,
            };
        }
        if new == TcpState::Established {
            timeout = timeout.min(config.tcp_timeout_unacknowledged);
        }
    } else if !status.has(Status::ASSURED)
        && matches!(old, TcpState::SynRecv | TcpState::Established)
        && new == TcpState::Established
    {
        status.set(Status::ASSURED);
    }
    Update::Valid {
        timeout: Some(timeout),
        ignored: None,
    }
}

/// Kernel `nf_tcp_handle_invalid`: FIN or RST out of the window from both sides in turn hint at a
/// dead connection; its timeout is lowered. Returns the new timeout in seconds.
fn out_of_window(
    tcp: &mut TcpConnection,
    status: Status,
    segment: &Segment<'_>,
    direction: Direction,
    deadline: Deadline,
    now: Timestamp,
    config: &Config,
) -> Option<u64> {
    let ends = |class| matches!(class, FlagClass::Rst | FlagClass::Fin);
    if !status.has(Status::ASSURED) || status.has(Status::FIXED_TIMEOUT) || !ends(segment.class) {
        return None;
    }
    if tcp.last_direction != direction && ends(tcp.last_class) {
        let Deadline::At(end) = deadline else {
            return None;
        };
        let left = end.since(now).as_secs();
        return (left >= 120 && left > config.tcp_timeout_unacknowledged)
            .then_some(config.tcp_timeout_unacknowledged);
    }
    tcp.last_class = segment.class;
    tcp.last_direction = direction;
    None
}
