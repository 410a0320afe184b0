//! A bump in the wire: packets between two interfaces, which notice nothing but what is missing.
//!
//! # Overview
//! Frames that come in by one end leave by the other as they came: link addresses, VLAN tags and the time to live stay. IP
//! packets in them (behind VLAN tags and PPPoE sessions too) are judged by PREROUTING, FORWARD and POSTROUTING with the ends as
//! interfaces ([`Route::Wire`]); what else passes says [`NonIp`]. Answers of REJECT go back out of the end that the packet came
//! in by, with the link addresses turned.
//!
//! Frames are taken by AF_XDP (`xdp/`) or by AF_PACKET (`packet.rs`). Either way the host's own stack does not see them
//! (`closed.rs`).
//!
//! # Life cycle
//! [`Wire::open`] looks at the interfaces, keeps the host's stack from them and opens both. When an interface goes away, the
//! wire waits until both are there again, and nothing passes meanwhile. One that is only down is waited for as it is. When the wire
//! ends, however it ends, the host's stack stays kept from the interfaces, until [`give_back`].
//!
//! # Bounds
//! Rings and buffers have fixed sizes, stated in `xdp/` and `packet.rs`. What comes while they are full is lost, as on a wire.

mod closed;
mod frame;
pub(crate) mod interface;
mod packet;
pub(crate) mod sys;
pub(crate) mod vnet;
mod xdp;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_engine::{Bridge, Port, Route};
use palisade_wire::link::ethertype;

use crate::backend::{Backend, Batch, Capabilities, Frame};
use crate::gate::Gate;
use crate::leaving::{Leaving, leaving};
use frame::Held;
use interface::Interface;
use packet::Packets;
use vnet::Undone;
use xdp::Xdp;

/// By what frames are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// AF_XDP where the driver has it and nothing is lost by it, else AF_PACKET.
    #[default]
    Best,
    /// AF_XDP.
    Xdp,
    /// AF_PACKET.
    Packet,
}

/// What passes that is not IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonIp {
    /// ARP, without which IPv4 does not go.
    #[default]
    Arp,
    /// Everything: also what bridges keep to a link (LLDP, 802.1X, spanning tree).
    All,
    /// Nothing.
    None,
}

/// A wire that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireOptions {
    /// Names of the interfaces.
    pub ends: [String; 2],
    /// By what frames are taken.
    pub by: By,
    /// What passes that is not IP.
    pub non_ip: NonIp,
    /// The interfaces are told to leave VLAN tags in frames and not to put segments together.
    pub offloads_off: bool,
}

/// Why there is no wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No interface of this name.
    #[error("there is no interface {0}")]
    Missing(String),
    /// Both ends are the same interface.
    #[error("a wire has two ends, and both are {0}")]
    Same(String),
    /// An interface is not Ethernet.
    #[error("{0} is not an Ethernet interface: --tun filters packets without link headers")]
    NotEthernet(String),
    /// An interface belongs to a bridge or a bond.
    #[error(
        "{0} belongs to a bridge or a bond, which would go on without Palisade: take it out \
         (ip link set {0} nomaster)"
    )]
    Enslaved(String),
    /// Something about an interface failed.
    #[error("{name}: {what}: {error}")]
    Interface {
        /// Its name.
        name: String,
        /// What was done.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The host's stack would see the frames.
    #[error("keeping the host's own stack from the wire (nf_tables, family netdev): {0}")]
    Open(io::Error),
    /// AF_XDP was asked for, and cannot be had.
    #[error("AF_XDP: {0}; AF_PACKET does without")]
    Xdp(String),
    /// AF_PACKET cannot be had.
    #[error("AF_PACKET: {0}")]
    Packet(io::Error),
}

/// The two interfaces, open.
#[derive(Debug)]
enum Ends {
    Xdp(Box<Xdp>),
    Packet(Box<[Packets; 2]>),
}

/// What is there while both interfaces are.
#[derive(Debug)]
struct Open {
    ends: Ends,
    interfaces: [Interface; 2],
    _promiscuous: [OwnedFd; 2],
}

/// How a frame of the batch came.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    side: usize,
    undone: Undone,
}

/// A bump in the wire.
#[derive(Debug)]
pub struct Wire {
    options: WireOptions,
    ports: [Port; 2],
    notes: Vec<String>,
    /// `None` while an interface is gone.
    open: Option<Open>,
    /// How each frame of the batch came.
    came: Vec<Came>,
    /// The end that is asked first, next time.
    first: usize,
    /// When it was last looked whether the interfaces are still there.
    looked: Instant,
    /// A frame that is looked at.
    spare: Vec<u8>,
}

/// How long until it is looked again whether interfaces are there.
const LOOK: Duration = Duration::from_millis(500);

impl Wire {
    /// Opens a wire whose packets a gate judges.
    ///
    /// # Errors
    /// An interface is missing or cannot be an end, or neither way of taking frames can be had.
    pub fn open(options: WireOptions, gate: &Gate) -> Result<Self, WireError> {
        let (open, notes) = open(&options).inspect_err(|_| {
            // Nothing is closed by a start that failed.
            let _ = give_back(&options.ends);
        })?;
        let names = options
            .ends
            .each_ref()
            .map(|name| Arc::<str>::from(name.as_str()));
        let ports = [(0, 1), (1, 0)].map(|(from, to)| {
            let [from, to]: [Arc<str>; 2] = [Arc::clone(&names[from]), Arc::clone(&names[to])];
            let bridge = Bridge {
                came: Some(Arc::clone(&from)),
                leaves: Some(Arc::clone(&to)),
            };
            gate.port(Route::Wire(from, to), bridge)
        });
        Ok(Wire {
            options,
            ports,
            notes,
            open: Some(open),
            came: Vec::new(),
            first: 0,
            looked: Instant::now(),
            spare: Vec::new(),
        })
    }

    /// Whether both interfaces are those that were opened.
    fn still_there(&self) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        let mut interfaces = open.interfaces.iter();
        interfaces.all(|i| interface::index(&i.name) == Some(i.index))
    }

    /// Gives up what belongs to an interface that is gone, and opens it when it is back.
    ///
    /// # Errors
    /// It is back, and cannot be opened as it was: loading programs is a right that is given up at the start.
    fn look(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        if self.still_there() {
            return Ok(());
        }
        let ends = self.options.ends.join(",");
        if self.open.take().is_some() {
            tracing::warn!("wire {ends}: an interface is gone; nothing passes until it is back");
        }
        match open(&self.options) {
            Ok((open, notes)) => {
                tracing::warn!("wire {ends}: both interfaces are there again");
                (self.open, self.notes) = (Some(open), notes);
            }
            Err(error @ WireError::Xdp(_)) => return Err(io::Error::other(error)),
            Err(error) => tracing::debug!("wire {ends}: {error}"),
        }
        Ok(())
    }

    /// Takes frames that are there into a batch: IP packets to be judged; others pass at once, or never.
    fn take(&mut self, batch: &mut Batch) {
        let Some(open) = &mut self.open else { return };
        let (spare, came) = (&mut self.spare, &mut self.came);
        let non_ip = self.options.non_ip;
        for side in [self.first, 1 - self.first] {
            // What is no IP packet and passes, until this side's turn is over.
            let mut passing: Vec<(Vec<u8>, Undone)> = Vec::new();
            let port = self.ports[side];
            open.ends.receive(side, |copy| {
                if batch.is_full() || passing.len() == crate::backend::BATCH {
                    return false;
                }
                let undone = copy(spare);
                match frame::held(spare) {
                    Held::Ip(offset, link) => {
                        let Some(frame) = batch.add() else {
                            return false;
                        };
                        std::mem::swap(&mut frame.bytes, spare);
                        (frame.offset, frame.port, frame.link) = (offset, port, link);
                        frame.unfinished = undone.unfinished();
                        came.push(Came { side, undone });
                    }
                    Held::Other(kind) => {
                        let passes = match non_ip {
                            NonIp::Arp => kind == ethertype::ARP,
                            NonIp::All => true,
                            NonIp::None => false,
                        };
                        if passes {
                            passing.push((std::mem::take(spare), undone));
                        }
                    }
                    Held::Nothing => {}
                }
                true
            });
            for (mut bytes, undone) in passing {
                open.ends.send(1 - side, undone, &mut bytes, |_| {});
            }
            open.ends.flush(1 - side);
        }
        self.first = 1 - self.first;
    }
}

/// Gives the interfaces of a wire that has ended back to the host's own stack.
///
/// # Errors
/// The kernel refuses.
pub fn give_back(ends: &[String; 2]) -> io::Result<()> {
    closed::open([&ends[0], &ends[1]])
}

/// Opens both ends in the best way there is; what is worth telling about it.
fn open(options: &WireOptions) -> Result<(Open, Vec<String>), WireError> {
    let [a, b] = &options.ends;
    if a == b {
        return Err(WireError::Same(a.clone()));
    }
    let mut interfaces = [Interface::find(a)?, Interface::find(b)?];
    let mut notes = Vec::new();
    for interface in &mut interfaces {
        if options.offloads_off {
            interface
                .leave_frames()
                .map_err(|error| WireError::Interface {
                    name: interface.name.clone(),
                    what: "turning offloads off",
                    error,
                })?;
        }
        let addresses = interface::addresses(&interface.name);
        if !addresses.is_empty() {
            notes.push(format!(
                "{} has addresses ({}): this host cannot be reached by them, and what it sends by itself is not judged",
                interface.name,
                addresses.join(", ")
            ));
        }
    }
    let ends = [&interfaces[0], &interfaces[1]];
    let closed = closed::close(ends);
    let by_xdp = match options.by {
        By::Packet => None,
        by => match Xdp::open(ends, by == By::Xdp) {
            Ok((xdp, more)) => {
                notes.extend(more);
                Some(xdp)
            }
            Err(why) if by == By::Xdp => return Err(WireError::Xdp(why)),
            Err(why) => {
                notes.push(format!("by AF_PACKET, not AF_XDP: {why}"));
                None
            }
        },
    };
    let ends = match (by_xdp, closed) {
        (Some(xdp), closed) => {
            if let Err(error) = closed {
                notes.push(format!(
                    "when Palisade ends, the host's own stack sees what comes in (nf_tables, family netdev: {error})"
                ));
            }
            Ends::Xdp(Box::new(xdp))
        }
        (None, closed) => {
            closed.map_err(WireError::Open)?;
            let open = |i| Packets::open(i).map_err(WireError::Packet);
            Ends::Packet(Box::new([open(&interfaces[0])?, open(&interfaces[1])?]))
        }
    };
    let promiscuous = |i: &Interface| {
        i.promiscuous().map_err(|error| WireError::Interface {
            name: i.name.clone(),
            what: "taking frames for everybody",
            error,
        })
    };
    let open = Open {
        ends,
        _promiscuous: [promiscuous(&interfaces[0])?, promiscuous(&interfaces[1])?],
        interfaces,
    };
    Ok((open, notes))
}

impl Ends {
    /// Descriptors to be waited for.
    fn fds(&self) -> Vec<RawFd> {
        match self {
            Ends::Xdp(xdp) => xdp.fds(),
            Ends::Packet(both) => both.iter().map(Packets::fd).collect(),
        }
    }

    /// What sockets have to tell: an interface that is down or gone.
    fn pending_error(&self) -> Option<io::Error> {
        match self {
            Ends::Xdp(xdp) => xdp.pending_error(),
            Ends::Packet(both) => both.iter().find_map(Packets::pending_error),
        }
    }

    fn receive(
        &mut self,
        side: usize,
        take: impl FnMut(&mut dyn FnMut(&mut Vec<u8>) -> Undone) -> bool,
    ) {
        match self {
            Ends::Xdp(xdp) => xdp.receive(side, take),
            Ends::Packet(both) => both[side].receive(take),
        }
    }

    /// A frame out of a side: `header` writes its link header, `packet` follows.
    fn send(
        &mut self,
        side: usize,
        undone: Undone,
        packet: &mut [u8],
        header: impl FnOnce(&mut Vec<u8>),
    ) {
        match self {
            Ends::Xdp(xdp) => xdp.send(side, packet, header),
            Ends::Packet(both) => both[side].send(undone, packet, header),
        }
    }

    fn flush(&mut self, side: usize) {
        match self {
            Ends::Xdp(xdp) => xdp.flush(side),
            Ends::Packet(both) => both[side].flush(),
        }
    }

    fn lost(&self) -> u64 {
        match self {
            Ends::Xdp(xdp) => xdp.lost(),
            Ends::Packet(both) => both.iter().map(Packets::lost).sum(),
        }
    }
}

impl Backend for Wire {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: match self.open.as_ref().map(|o| &o.ends) {
                Some(Ends::Xdp(xdp)) => xdp.name(),
                Some(Ends::Packet(_)) => "wire (AF_PACKET, TPACKET_V3)",
                None => "wire (an interface is gone)",
            },
            rewrites: true,
            injects: true,
            marks: false,
            owners: false,
            local: false,
            notes: self.notes.clone(),
        }
    }

    fn receive(&mut self, batch: &mut Batch, wait: Duration) -> io::Result<()> {
        self.came.clear();
        if self.looked.elapsed() >= LOOK {
            self.look()?;
        }
        self.take(batch);
        if !batch.is_empty() {
            return Ok(());
        }
        let Some(open) = &self.open else {
            std::thread::sleep(wait.min(LOOK));
            return Ok(());
        };
        if sys::wait_for(&open.ends.fds(), wait)?.contains(&true) {
            if let Some(error) = open.ends.pending_error() {
                tracing::debug!("wire {}: {error}", self.options.ends.join(","));
                self.look()?;
            }
            self.take(batch);
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let Open {
            ends, interfaces, ..
        } = open;
        for (frame, came) in batch.frames_mut().iter_mut().zip(&self.came) {
            let other = 1 - came.side;
            let mtu = interfaces[other].mtu;
            leaving(frame, mtu, |frame, leaves| match leaves {
                Leaving::Same(bytes) => {
                    let offset = frame.offset.min(bytes.len());
                    let (link, packet) = bytes.split_at_mut(offset);
                    ends.send(other, came.undone, packet, |out| {
                        out.extend_from_slice(link)
                    });
                }
                Leaving::Other(packet) => send(ends, other, (frame, came.undone), packet, false),
                Leaving::Made(back, packet) => {
                    let side = if back { came.side } else { other };
                    let mut packet = packet.to_vec();
                    send(ends, side, (frame, Undone::default()), &mut packet, back);
                }
            });
        }
        ends.flush(0);
        ends.flush(1);
        Ok(())
    }
}

/// Sends a packet in a frame like that of another.
fn send(
    ends: &mut Ends,
    side: usize,
    (like, undone): (&Frame, Undone),
    packet: &mut [u8],
    back: bool,
) {
    let length = packet.len();
    let link = like.bytes.get(..like.offset).unwrap_or_default();
    ends.send(side, undone, packet, |out| {
        frame::header(link, back, length, out)
    });
}

impl Drop for Wire {
    fn drop(&mut self) {
        let lost = self.open.as_ref().map_or(0, |o| o.ends.lost());
        if lost > 0 {
            tracing::info!(
                "wire {}: {lost} frames found no room to leave",
                self.options.ends.join(",")
            );
        }
    }
}
