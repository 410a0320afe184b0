//! Both ends by AF_XDP: frames are taken before the kernel makes anything of them, and written where the driver, or its nearest
//! copy, fetches them.
//!
//! # Overview
//! All sockets, one a queue of either interface, share one memory of chunks. A chunk is with the kernel to be filled, with the
//! kernel to be sent, or free. Frames are copied out of chunks that were filled, and into free ones to be sent.
//!
//! The driver does not tell everything about a frame. A checksum that a veth pair left undone is known by what stands in its place
//! ([`vnet::finish_if_partial`]); VLAN tags that were taken off are asked for by the program, and where the driver does not say, it has to
//! leave them in frames (`rx-vlan-offload`).
//!
//! # Bounds
//! [`CHUNKS`] chunks of [`CHUNK`] bytes a queue; [`RING`] entries a ring. Frames are no longer than a chunk less its headroom.

mod btf;
mod program;
mod ring;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::frame;
use super::interface::Interface;
use super::sys::{self, Mapping};
use super::vnet::{self, Undone};
use program::{Attached, Fastened, MARK, TAGGED, UNTAGGED};
use ring::{Descriptor, Ring};

/// Bytes of a chunk.
const CHUNK: usize = 4096;
/// Chunks for each queue: half of them to be filled, the others on their way out.
const CHUNKS: usize = 4096;
/// Entries of a ring.
const RING: u32 = 2048;
/// What the kernel keeps free before a frame, and behind it in some drivers.
const HEADROOM: usize = 256;
const TAILROOM: usize = 320;
/// Link headers with two VLAN tags.
const LINK: usize = 22;
/// Times that the kernel is called in a row for what waits to be sent.
const CALLS: usize = 256;

/// Chunks, and which of them are free.
#[derive(Debug)]
struct Memory {
    // Referred to by the sockets, which are dropped before it.
    area: Mapping,
    free: Vec<u64>,
}

/// A socket on a queue.
#[derive(Debug)]
struct Socket {
    receive: Ring<Descriptor>,
    send: Ring<Descriptor>,
    fill: Ring<u64>,
    done: Ring<u64>,
    /// Entries to be sent, of which the kernel has not been told.
    waiting: u32,
    fd: OwnedFd,
}

/// One interface.
#[derive(Debug)]
struct Side {
    sockets: Vec<Socket>,
    /// The queue that is asked first, next time.
    first: usize,
    /// Tags are told of, or stay in frames.
    tags_known: bool,
    attached: Attached,
}

/// Both ends.
#[derive(Debug)]
pub(crate) struct Xdp {
    sides: [Side; 2],
    memory: Memory,
    frame: Vec<u8>,
    zero_copy: bool,
    generic: bool,
    lost: u64,
}

impl Xdp {
    /// Opens both ends; what is worth telling. `forced`: with what AF_PACKET would do better, too.
    ///
    /// # Errors
    /// Why it cannot be, or should not.
    pub(crate) fn open(ends: [&Interface; 2], forced: bool) -> Result<(Self, Vec<String>), String> {
        for end in ends {
            let longest = end.mtu + LINK;
            if longest > CHUNK - HEADROOM - TAILROOM {
                return Err(format!(
                    "frames of {} bytes (MTU of {}) do not fit into its chunks",
                    longest, end.name
                ));
            }
        }
        let mut notes = Vec::new();
        let (sides, generic) = match attach(ends, Fastened::Driver) {
            Ok(attached) => (attached, false),
            Err(why) if !forced => return Err(why),
            Err(why) => {
                notes.push(format!("{why}; the kernel makes packets of frames first"));
                (attach(ends, Fastened::Generic)?, true)
            }
        };
        for (end, attached) in ends.iter().zip(&sides) {
            if !attached.tells_tags && (end.tags_off || end.driver == "veth") {
                let why = format!(
                    "{} takes VLAN tags off frames without telling of them (ethtool -K {} rxvlan off, or --offloads-off)",
                    end.name, end.name
                );
                if !forced {
                    return Err(why);
                }
                notes.push(format!("{why}: frames that had a tag are lost"));
            }
            if generic && end.merges {
                notes.push(format!(
                    "{} puts segments together (GRO), and what gets too long is lost: ethtool -K {} gro off, or --offloads-off",
                    end.name, end.name
                ));
            }
        }
        // Without copies if both drivers can; the sockets share the memory, and so the way.
        let opened = bind(ends, libc::XDP_ZEROCOPY)
            .map(|(memory, sockets)| (memory, sockets, true))
            .or_else(|_| {
                bind(ends, libc::XDP_COPY).map(|(memory, sockets)| (memory, sockets, false))
            });
        let (memory, sockets, zero_copy) = opened.map_err(|e| format!("its sockets: {e}"))?;
        let mut sides: Vec<Side> = sides
            .into_iter()
            .zip(sockets)
            .zip(ends)
            .map(|((attached, sockets), end)| Side {
                sockets,
                first: 0,
                tags_known: attached.tells_tags || !(end.tags_off || end.driver == "veth"),
                attached,
            })
            .collect();
        for side in &mut sides {
            for (queue, socket) in (0..).zip(&side.sockets) {
                side.attached
                    .connect(queue, &socket.fd)
                    .map_err(|e| format!("handing queue {queue} to its socket: {e}"))?;
            }
        }
        let sides = <[Side; 2]>::try_from(sides).map_err(|_| "two ends are needed".to_owned())?;
        let xdp = Xdp {
            sides,
            memory,
            frame: Vec::new(),
            zero_copy,
            generic,
            lost: 0,
        };
        Ok((xdp, notes))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match (self.generic, self.zero_copy) {
            (true, _) => "wire (AF_XDP, generic)",
            (false, true) => "wire (AF_XDP, zero-copy)",
            (false, false) => "wire (AF_XDP, copy)",
        }
    }

    /// To be waited for.
    pub(crate) fn fds(&self) -> Vec<RawFd> {
        let sockets = self.sides.iter().flat_map(|side| &side.sockets);
        sockets.map(|socket| socket.fd.as_raw_fd()).collect()
    }

    /// What sockets have to tell.
    pub(crate) fn pending_error(&self) -> Option<io::Error> {
        let mut sockets = self.sides.iter().flat_map(|side| &side.sockets);
        sockets.find_map(|socket| sys::pending_error(&socket.fd))
    }

    /// Hands over frames that are there, until `take` says that it is enough.
    pub(crate) fn receive(
        &mut self,
        side: usize,
        mut take: impl FnMut(&mut dyn FnMut(&mut Vec<u8>) -> Undone) -> bool,
    ) {
        let Some(Side {
            sockets,
            tags_known,
            first,
            ..
        }) = self.sides.get_mut(side)
        else {
            return;
        };
        let memory = &mut self.memory;
        let queues = sockets.len();
        *first = (*first + 1) % queues.max(1);
        for turn in 0..queues {
            let Some(socket) = sockets.get_mut((*first + turn) % queues) else {
                continue;
            };
            socket.reap(memory);
            let mut enough = false;
            // A frame that is not taken any more stays first in the ring.
            while !enough {
                let Some(entry) = socket.receive.peek() else {
                    break;
                };
                let mut copied = |frame: &mut Vec<u8>| {
                    memory.copy_out(entry, *tags_known, frame);
                    Undone::default()
                };
                enough = !take(&mut copied);
                if !enough {
                    socket.receive.skip();
                    memory.free.push(chunk_of(entry.address));
                }
            }
            socket.receive.release();
            socket.refill(memory);
            if enough {
                return;
            }
        }
    }

    /// A frame to be sent with the next [`flush`](Self::flush): `write` writes its link header, to which the packet is added.
    pub(crate) fn send(&mut self, side: usize, packet: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let Some(side) = self.sides.get_mut(side) else {
            return;
        };
        self.frame.clear();
        write(&mut self.frame);
        self.frame.extend_from_slice(packet);
        // What goes between the same two goes by the same queue, and stays in its order.
        let queue = between(packet) % side.sockets.len().max(1);
        let Some(socket) = side.sockets.get_mut(queue) else {
            return;
        };
        if socket.send.room() == 0 || self.memory.free.is_empty() {
            socket.flush();
            socket.reap(&mut self.memory);
        }
        let room = socket.send.room() > 0 && self.frame.len() <= CHUNK - HEADROOM;
        let Some(chunk) = self.memory.free.pop_if(|_| room) else {
            self.lost += 1;
            return;
        };
        let address = chunk + HEADROOM as u64;
        // SAFETY: a chunk that is free is with nobody but us.
        let place = unsafe {
            self.memory
                .area
                .bytes_mut(address as usize, self.frame.len())
        };
        if let Some(place) = place {
            place.copy_from_slice(&self.frame);
        }
        socket.send.put(Descriptor {
            address,
            length: self.frame.len() as u32,
            options: 0,
        });
        socket.waiting += 1;
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self, side: usize) {
        let Some(side) = self.sides.get_mut(side) else {
            return;
        };
        for socket in &mut side.sockets {
            socket.flush();
        }
    }

    /// Frames that could not be sent so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// A number that all packets between two hosts share.
fn between(packet: &[u8]) -> usize {
    let addresses = match packet.first().map(|b| b >> 4) {
        Some(4) => packet.get(12..20),
        Some(6) => packet.get(8..40),
        _ => None,
    };
    let words = addresses.unwrap_or_default().chunks_exact(4);
    let sum = words.fold(0u32, |sum, word| {
        sum ^ word.first_chunk().map_or(0, |w| u32::from_be_bytes(*w))
    });
    (sum.wrapping_mul(0x9e37_79b9) >> 16) as usize
}

/// The chunk that an address lies in.
fn chunk_of(address: u64) -> u64 {
    address & !(CHUNK as u64 - 1)
}

impl Memory {
    /// Copies a frame that came, as it was on the wire. Nothing of one that is more than a chunk, or whose tag is not known.
    fn copy_out(&self, entry: Descriptor, tags_known: bool, frame: &mut Vec<u8>) {
        frame.clear();
        let (at, length) = (entry.address as usize, entry.length as usize);
        if entry.options & libc::XDP_PKT_CONTD != 0 || at < MARK {
            return;
        }
        // SAFETY: an entry of the receive ring that was not released names a chunk that is with us.
        let (Some(mark), Some(bytes)) = (unsafe {
            (
                self.area.bytes(at - MARK, MARK),
                self.area.bytes(at, length),
            )
        }) else {
            return;
        };
        let number = |at: usize| u16::from_ne_bytes([mark[at], mark[at + 1]]);
        match u32::from_ne_bytes([mark[0], mark[1], mark[2], mark[3]]) {
            TAGGED => {
                frame.extend_from_slice(bytes);
                frame::tag(frame, u16::from_be_bytes([mark[4], mark[5]]), number(6));
            }
            UNTAGGED => frame.extend_from_slice(bytes),
            _ if tags_known => frame.extend_from_slice(bytes),
            _ => return,
        }
        if let frame::Held::Ip(offset, _) = frame::held(frame) {
            vnet::finish_if_partial(frame.get_mut(offset..).unwrap_or_default());
        }
    }
}

impl Socket {
    /// Takes chunks back that were sent.
    fn reap(&mut self, memory: &mut Memory) {
        while let Some(address) = self.done.take() {
            memory.free.push(chunk_of(address));
        }
        self.done.release();
    }

    /// Gives the kernel chunks to be filled, but leaves some to be sent.
    fn refill(&mut self, memory: &mut Memory) {
        let mut room = self.fill.room();
        while room > 0
            && let Some(chunk) = memory.free.pop()
        {
            self.fill.put(chunk);
            room -= 1;
        }
        self.fill.publish();
        if self.fill.wants_call() {
            self.call(libc::POLLIN);
        }
    }

    /// Has the kernel look at a ring; that it cannot now is nobody's loss.
    fn call(&self, what: i16) -> Option<i32> {
        let fd = self.fd.as_raw_fd();
        // SAFETY: system calls with empty buffers.
        let returned = unsafe {
            if what == libc::POLLIN {
                libc::recvfrom(
                    fd,
                    std::ptr::null_mut(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                )
            } else {
                libc::sendto(
                    fd,
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            }
        };
        sys::checked(returned as i32).err()?.raw_os_error()
    }

    /// Tells the kernel of what waits to be sent. It sends so many at a call.
    fn flush(&mut self) {
        if self.waiting == 0 {
            return;
        }
        self.send.publish();
        self.waiting = 0;
        for _ in 0..CALLS {
            if !self.send.wants_call() {
                return;
            }
            if !matches!(self.call(libc::POLLOUT), Some(libc::EAGAIN)) {
                return;
            }
        }
    }
}

/// Fastens the program to both ends.
fn attach(ends: [&Interface; 2], fastened: Fastened) -> Result<Vec<Attached>, String> {
    let attach = |end: &Interface| {
        Attached::new(end.index, end.queues, fastened).map_err(|why| format!("{}: {why}", end.name))
    };
    ends.into_iter().map(attach).collect()
}

/// Opens a socket on every queue of both ends, over one memory.
fn bind(ends: [&Interface; 2], mode: u16) -> io::Result<(Memory, Vec<Vec<Socket>>)> {
    let queues: usize = ends.iter().map(|end| end.queues as usize).sum();
    let area = Mapping::anonymous(queues * CHUNKS * CHUNK)?;
    let mut memory = Memory {
        free: (0..(queues * CHUNKS) as u64)
            .map(|n| n * CHUNK as u64)
            .collect(),
        area,
    };
    let mut first: Option<RawFd> = None;
    let mut both = Vec::new();
    for end in ends {
        let mut sockets = Vec::new();
        for queue in 0..end.queues {
            let fd = sys::socket(libc::AF_XDP, libc::SOCK_RAW, 0)?;
            if first.is_none() {
                let registered = libc::xdp_umem_reg {
                    addr: memory.area.address(),
                    len: memory.area.length() as u64,
                    chunk_size: CHUNK as u32,
                    headroom: 0,
                    flags: 0,
                    tx_metadata_len: 0,
                };
                sys::set_option(&fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &registered)?;
            }
            let mut socket = Socket::new(fd)?;
            let (flags, shared) = match first {
                None => (mode | libc::XDP_USE_NEED_WAKEUP, 0),
                Some(fd) => (libc::XDP_SHARED_UMEM, fd as u32),
            };
            // Chunks wait to be filled before the first frame comes.
            socket.refill(&mut memory);
            sys::bind(
                &socket.fd,
                &libc::sockaddr_xdp {
                    sxdp_family: libc::AF_XDP as u16,
                    sxdp_flags: flags,
                    sxdp_ifindex: end.index,
                    sxdp_queue_id: queue,
                    sxdp_shared_umem_fd: shared,
                },
            )?;
            first = first.or(Some(socket.fd.as_raw_fd()));
            sockets.push(socket);
        }
        both.push(sockets);
    }
    Ok((memory, both))
}

impl Socket {
    /// Rings of a socket that is not bound yet.
    fn new(fd: OwnedFd) -> io::Result<Self> {
        for option in [
            libc::XDP_UMEM_FILL_RING,
            libc::XDP_UMEM_COMPLETION_RING,
            libc::XDP_RX_RING,
            libc::XDP_TX_RING,
        ] {
            sys::set_option(&fd, libc::SOL_XDP, option, &RING)?;
        }
        let nothing = libc::xdp_ring_offset {
            producer: 0,
            consumer: 0,
            desc: 0,
            flags: 0,
        };
        let offsets = libc::xdp_mmap_offsets {
            rx: nothing,
            tx: nothing,
            fr: nothing,
            cr: nothing,
        };
        let offsets = sys::option(&fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, offsets)?;
        Ok(Socket {
            receive: Ring::new(&fd, &offsets.rx, RING, libc::XDP_PGOFF_RX_RING)?,
            send: Ring::new(&fd, &offsets.tx, RING, libc::XDP_PGOFF_TX_RING)?,
            fill: Ring::new(
                &fd,
                &offsets.fr,
                RING,
                libc::XDP_UMEM_PGOFF_FILL_RING as i64,
            )?,
            done: Ring::new(
                &fd,
                &offsets.cr,
                RING,
                libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64,
            )?,
            waiting: 0,
            fd,
        })
    }
}
