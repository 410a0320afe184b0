//! The four rings that a socket shares with the kernel (kernel `xsk_queue.h`): one side writes entries and then says so, the
//! other reads them and then says so.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::super::sys::Mapping;

/// What rings hold.
pub(super) trait Entry: Copy {
    const SIZE: usize;
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
}

impl Entry for u64 {
    const SIZE: usize = 8;
    fn read(bytes: &[u8]) -> Self {
        bytes.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b))
    }
    fn write(self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.to_ne_bytes());
    }
}

/// A frame in a ring: where, how long (kernel `struct xdp_desc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) length: u32,
    /// More of the same frame follows, or work is asked for.
    pub(super) options: u32,
}

impl Entry for Descriptor {
    const SIZE: usize = 16;
    fn read(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..).and_then(|b| b.first_chunk());
            bytes.map_or(0, |b| u32::from_ne_bytes(*b))
        };
        Descriptor {
            address: u64::read(bytes),
            length: number(8),
            options: number(12),
        }
    }
    fn write(self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.address.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.options.to_ne_bytes());
    }
}

/// Where the parts of a ring lie in its memory.
pub(super) type Offsets = libc::xdp_ring_offset;

/// A ring. Which side of it is ours says the method that is called.
#[derive(Debug)]
pub(super) struct Ring<T> {
    memory: Mapping,
    offsets: [usize; 4],
    size: u32,
    /// Entries that were handed over to the other side, or taken from it, counted without end.
    own: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    /// Of `size` entries, a power of two, shared by a socket.
    pub(super) fn new(
        socket: &OwnedFd,
        offsets: &Offsets,
        size: u32,
        page: i64,
    ) -> io::Result<Self> {
        let offsets = [
            offsets.producer,
            offsets.consumer,
            offsets.desc,
            offsets.flags,
        ]
        .map(|o| o as usize);
        let length = offsets[2] + size as usize * T::SIZE;
        Ok(Ring {
            memory: Mapping::of(socket.as_fd(), length, page)?,
            offsets,
            size,
            own: 0,
            entries: PhantomData,
        })
    }

    fn number(&self, which: usize, order: Ordering) -> u32 {
        self.memory
            .number(self.offsets[which])
            .map_or(0, |n| n.load(order))
    }

    fn say(&self, which: usize) {
        if let Some(number) = self.memory.number(self.offsets[which]) {
            number.store(self.own, Ordering::Release);
        }
    }

    fn place(&self, number: u32) -> usize {
        self.offsets[2] + (number & (self.size - 1)) as usize * T::SIZE
    }

    /// Entries that can be put into a ring that we fill.
    pub(super) fn room(&self) -> u32 {
        let taken = self.number(1, Ordering::Acquire);
        self.size.saturating_sub(self.own.wrapping_sub(taken))
    }

    /// Puts an entry into a ring that we fill and that has room; said with [`publish`](Self::publish).
    pub(super) fn put(&mut self, entry: T) {
        let place = self.place(self.own);
        // SAFETY: entries between what we have put and what the kernel has taken are ours; there is room by the caller's word,
        // and if there is not, an entry is spoilt that the kernel checks like any other.
        if let Some(bytes) = unsafe { self.memory.bytes_mut(place, T::SIZE) } {
            entry.write(bytes);
        }
        self.own = self.own.wrapping_add(1);
    }

    /// Tells the kernel of what was put.
    pub(super) fn publish(&self) {
        self.say(0);
    }

    /// The next entry of a ring that the kernel fills; it stays next.
    pub(super) fn peek(&self) -> Option<T> {
        let filled = self.number(0, Ordering::Acquire);
        if filled == self.own {
            return None;
        }
        let place = self.place(self.own);
        // SAFETY: entries between what we have taken and what the kernel has put are ours.
        Some(T::read(unsafe { self.memory.bytes(place, T::SIZE) }?))
    }

    /// Goes on behind the next entry.
    pub(super) fn skip(&mut self) {
        self.own = self.own.wrapping_add(1);
    }

    /// The next entry of a ring that the kernel fills.
    pub(super) fn take(&mut self) -> Option<T> {
        let entry = self.peek()?;
        self.skip();
        Some(entry)
    }

    /// Tells the kernel of what was taken.
    pub(super) fn release(&self) {
        self.say(1);
    }

    /// Whether the kernel waits to be called.
    pub(super) fn wants_call(&self) -> bool {
        self.number(3, Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}
