//! One interface by AF_PACKET: a ring of blocks that the kernel fills (TPACKET_V3), and batches of frames sent past the
//! interface's queueing discipline.
//!
//! # Bounds
//! [`BLOCKS`] blocks of [`BLOCK`] bytes for what comes, [`OUT`] bytes for what leaves. What comes while all blocks are full is
//! dropped by the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{Ordering, fence};

use super::frame;
use super::interface::Interface;
use super::sys::{self, Mapping};
use super::vnet::{HEADER, Undone};

/// Bytes of a block: several frames of the largest size that offloads make.
const BLOCK: usize = 1 << 18;
/// Blocks.
const BLOCKS: usize = 64;
/// Milliseconds after which a block is handed over that is not full.
const RETIRE: u32 = 1;
/// Bytes that wait to be sent, at most.
const OUT: usize = 1 << 20;

/// Offsets in `struct tpacket_block_desc`.
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const PACKETS: usize = 12;
    pub(super) const FIRST: usize = 16;
}

/// Offsets in `struct tpacket3_hdr` and the `struct sockaddr_ll` behind it.
mod header {
    pub(super) const NEXT: usize = 0;
    pub(super) const KEPT: usize = 12;
    pub(super) const LENGTH: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const MAC: usize = 24;
    pub(super) const VLAN: usize = 32;
    pub(super) const VLAN_KIND: usize = 36;
    pub(super) const PACKET_TYPE: usize = 48 + 10;
    pub(super) const ALL: usize = 48 + 20;
}

/// Frames of a block that are still to be looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    packets: u32,
    /// Where the next one's header begins in the block.
    at: usize,
}

/// An interface.
#[derive(Debug)]
pub(crate) struct Packets {
    socket: OwnedFd,
    ring: Mapping,
    /// The block that is looked at or waited for.
    block: usize,
    /// What is left of it; `None`: it was not handed over yet.
    left: Option<Left>,
    /// Frames to be sent, each behind its header, and where they end.
    out: Vec<u8>,
    ends: Vec<usize>,
    /// Frames that could not be sent.
    lost: u64,
}

impl Packets {
    /// Opens a ring on an interface.
    pub(crate) fn open(interface: &Interface) -> io::Result<Self> {
        // Nothing is received before it is bound.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let level = libc::SOL_PACKET;
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        sys::set_option(&socket, level, libc::PACKET_VERSION, &version)?;
        sys::set_option(&socket, level, libc::PACKET_VNET_HDR, &1)?;
        sys::set_option(&socket, level, libc::PACKET_IGNORE_OUTGOING, &1)?;
        sys::set_option(&socket, level, libc::PACKET_QDISC_BYPASS, &1)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: BLOCKS as u32,
            tp_frame_size: 2048,
            tp_frame_nr: (BLOCK / 2048 * BLOCKS) as u32,
            tp_retire_blk_tov: RETIRE,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        sys::set_option(&socket, level, libc::PACKET_RX_RING, &request)?;
        let ring = Mapping::of(std::os::fd::AsFd::as_fd(&socket), BLOCK * BLOCKS, 0)?;
        sys::bind(
            &socket,
            &libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
                sll_ifindex: interface.index as i32,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 0,
                sll_addr: [0; 8],
            },
        )?;
        Ok(Packets {
            socket,
            ring,
            block: 0,
            left: None,
            out: Vec::with_capacity(OUT),
            ends: Vec::new(),
            lost: 0,
        })
    }

    /// To be waited for.
    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What the socket has to tell.
    pub(crate) fn pending_error(&self) -> Option<io::Error> {
        sys::pending_error(&self.socket)
    }

    /// Hands over frames that are there, until `take` says that it is enough.
    pub(crate) fn receive(
        &mut self,
        mut take: impl FnMut(&mut dyn FnMut(&mut Vec<u8>) -> Undone) -> bool,
    ) {
        loop {
            let start = self.block * BLOCK;
            let Some(status) = self.ring.number(start + block::STATUS) else {
                return;
            };
            if self.left.is_none() && status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                return;
            }
            // SAFETY: a block that was handed over is ours until its status is set back below.
            let Some(bytes) = (unsafe { self.ring.bytes(start, BLOCK) }) else {
                return;
            };
            let mut left = self.left.unwrap_or_else(|| Left {
                packets: number(bytes, block::PACKETS),
                at: number(bytes, block::FIRST) as usize,
            });
            while left.packets > 0 {
                let Some(one) = Received::of(bytes, left.at) else {
                    // Nothing that the kernel writes is of this form.
                    left.packets = 0;
                    break;
                };
                if !one.outgoing && !take(&mut |frame| one.copy(frame)) {
                    self.left = Some(left);
                    return;
                }
                left.packets -= 1;
                left.at += one.next;
            }
            self.left = None;
            fence(Ordering::Release);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.block = (self.block + 1) % BLOCKS;
        }
    }

    /// A frame to be sent with the next [`flush`](Self::flush): `write` writes its link header, to which the packet is added.
    pub(crate) fn send(
        &mut self,
        undone: Undone,
        packet: &mut [u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.out.len() + HEADER + packet.len() + 64 > OUT {
            self.flush();
        }
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEADER]);
        write(&mut self.out);
        let link = self.out.len() - start - HEADER;
        let header = undone.write(packet, link);
        self.out[start..start + HEADER].copy_from_slice(&header);
        self.out.extend_from_slice(packet);
        self.ends.push(self.out.len());
    }

    /// Sends what waits. Frames that the interface does not take are lost, as on a wire.
    pub(crate) fn flush(&mut self) {
        let mut start = 0;
        let mut vectors: Vec<libc::iovec> = self
            .ends
            .iter()
            .map(|&end| {
                let part = &self.out[start..end];
                start = end;
                libc::iovec {
                    iov_base: part.as_ptr().cast_mut().cast(),
                    iov_len: part.len(),
                }
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: all zero is a message with nothing in it.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = vector;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let mut rest = &mut messages[..];
        while !rest.is_empty() {
            // SAFETY: each message has one vector, and each vector a part of `out`; all live through the call.
            let sent = unsafe {
                libc::sendmmsg(
                    self.socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as u32,
                    libc::MSG_DONTWAIT,
                )
            };
            // Of what is refused only the first is.
            let done = match sys::checked(sent) {
                Ok(sent) => sent.max(1) as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(_) => {
                    self.lost += 1;
                    1
                }
            };
            rest = rest.get_mut(done..).unwrap_or_default();
        }
        self.out.clear();
        self.ends.clear();
    }

    /// Frames that could not be sent so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// A frame in a block.
struct Received<'a> {
    frame: &'a [u8],
    undone: Undone,
    vlan: Option<(u16, u16)>,
    outgoing: bool,
    next: usize,
}

impl<'a> Received<'a> {
    fn of(bytes: &'a [u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at.checked_add(header::ALL)?)?;
        let kept = number(head, header::KEPT) as usize;
        let start = at + usize::from(short(head, header::MAC));
        let frame = bytes.get(start..start.checked_add(kept)?)?;
        let undone = Undone::read(bytes.get(start.checked_sub(HEADER)?..start)?);
        let status = number(head, header::STATUS);
        let vlan = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let kind = match status & libc::TP_STATUS_VLAN_TPID_VALID {
                0 => palisade_wire::link::ethertype::VLAN,
                _ => short(head, header::VLAN_KIND),
            };
            (kind, number(head, header::VLAN) as u16)
        });
        // One that is cut short is nobody's.
        let whole = kept == number(head, header::LENGTH) as usize;
        Some(Received {
            frame: if whole { frame } else { &[] },
            undone,
            vlan,
            outgoing: head[header::PACKET_TYPE] == libc::PACKET_OUTGOING,
            next: number(head, header::NEXT) as usize,
        })
    }

    /// Copies the frame as it was on the wire; what is undone about it.
    fn copy(&self, into: &mut Vec<u8>) -> Undone {
        into.clear();
        into.extend_from_slice(self.frame);
        if let Some((kind, control)) = self.vlan {
            frame::tag(into, kind, control);
        }
        self.undone
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|b| b.first_chunk());
    bytes.map_or(0, |b| u32::from_ne_bytes(*b))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(|b| b.first_chunk());
    bytes.map_or(0, |b| u16::from_ne_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_anything_in_it_is_read_without_harm() {
        let mut bytes = vec![0u8; 512];
        for at in [0, 100, 511, 512, usize::MAX - 3, usize::MAX] {
            let _ = Received::of(&bytes, at);
        }
        bytes.fill(0xff);
        assert!(Received::of(&bytes, 0).is_none());
        // A frame with a tag beside it, at 80 from its header.
        bytes.fill(0);
        bytes[12..16].copy_from_slice(&14u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&14u32.to_ne_bytes());
        bytes[20..24].copy_from_slice(
            &(libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID).to_ne_bytes(),
        );
        bytes[24..26].copy_from_slice(&80u16.to_ne_bytes());
        bytes[32..36].copy_from_slice(&5u32.to_ne_bytes());
        bytes[36..38].copy_from_slice(&0x8100u16.to_ne_bytes());
        bytes[92..94].copy_from_slice(&[8, 6]);
        let mut frame = Vec::new();
        Received::of(&bytes, 0).unwrap().copy(&mut frame);
        assert_eq!(frame[12..], [0x81, 0, 0, 5, 8, 6]);
        // Cut short, it is nothing.
        bytes[16] = 15;
        Received::of(&bytes, 0).unwrap().copy(&mut frame);
        assert_eq!(frame.len(), 0);
    }
}
