//! Copies of the packets that a gate judges, for who wants to judge them too.
//!
//! # Life cycle
//! [`Tap::open`] gives out the one outlet there is; while it lives, batches are copied into a queue of bounded bytes. What
//! does not fit is left out and counted: a gate never waits for who looks on.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use palisade_engine::{LinkInfo, Owner, Port};
use palisade_wire::Timestamp;

use crate::backend::Batch;

/// Bytes of packets that wait, at most.
const MOST: usize = 32 << 20;

/// What a packet costs beside its bytes.
const OVERHEAD: usize = 256;

/// A packet as it came.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// From the IP header on.
    pub(crate) bytes: Vec<u8>,
    pub(crate) port: Port,
    pub(crate) link: LinkInfo,
    pub(crate) mark: u32,
    pub(crate) owner: Option<Owner>,
    pub(crate) unfinished: bool,
}

/// A batch, and when it was judged.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) packets: Vec<Copy>,
    pub(crate) time: Timestamp,
    bytes: usize,
}

/// Both ends share it.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicUsize,
    missed: AtomicU64,
}

/// Where copies of packets can be had.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    open: AtomicBool,
    end: Mutex<Option<(Sender<Copies>, Arc<Queue>)>>,
}

/// Where they come out. The tap is closed with it.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    tap: &'a Tap,
    receiver: Receiver<Copies>,
    queue: Arc<Queue>,
}

impl Tap {
    /// Opens it; `None` when somebody has it.
    pub(crate) fn open(&self) -> Option<Outlet<'_>> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_some() {
            return None;
        }
        let (sender, receiver) = channel();
        let queue = Arc::new(Queue::default());
        *end = Some((sender, Arc::clone(&queue)));
        self.open.store(true, Ordering::Release);
        Some(Outlet {
            tap: self,
            receiver,
            queue,
        })
    }

    /// Whether anybody has it.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Copies of a batch that is about to be judged, if anybody wants them.
    pub(crate) fn copies(&self, batch: &Batch) -> Option<Copies> {
        if !self.open.load(Ordering::Acquire) {
            return None;
        }
        let mut bytes = 0;
        let packets = batch.frames().iter().map(|frame| {
            let packet = frame.packet().to_vec();
            bytes += packet.len() + OVERHEAD;
            Copy {
                bytes: packet,
                port: frame.port,
                link: frame.link,
                mark: frame.mark,
                owner: frame.owner.clone(),
                unfinished: frame.unfinished,
            }
        });
        Some(Copies {
            packets: packets.collect(),
            time: Timestamp::default(),
            bytes,
        })
    }

    /// Hands them over; the order is that of calls.
    pub(crate) fn hand_over(&self, mut copies: Copies, time: Timestamp) {
        copies.time = time;
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((sender, queue)) = &*end else { return };
        let (bytes, packets) = (copies.bytes, copies.packets.len());
        let fits = queue.waiting.load(Ordering::Relaxed) + bytes <= MOST;
        if fits {
            queue.waiting.fetch_add(bytes, Ordering::Relaxed);
        }
        if !fits || sender.send(copies).is_err() {
            queue.missed.fetch_add(packets as u64, Ordering::Relaxed);
        }
    }
}

impl Outlet<'_> {
    /// The next batch; `None` when none came in time.
    pub(crate) fn next(&self, wait: Duration) -> Option<Copies> {
        match self.receiver.recv_timeout(wait) {
            Ok(copies) => {
                self.queue
                    .waiting
                    .fetch_sub(copies.bytes, Ordering::Relaxed);
                Some(copies)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Packets left out.
    pub(crate) fn missed(&self) -> u64 {
        self.queue.missed.load(Ordering::Relaxed)
    }
}

impl Drop for Outlet<'_> {
    fn drop(&mut self) {
        self.tap.open.store(false, Ordering::Release);
        let mut end = self.tap.end.lock().unwrap_or_else(PoisonError::into_inner);
        *end = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(length: usize) -> Batch {
        let mut batch = Batch::new();
        let frame = batch.add().expect("room");
        frame.bytes.resize(length + 14, 7);
        frame.offset = 14;
        batch
    }

    #[test]
    fn copies_come_while_somebody_wants_them_and_only_so_many() {
        let tap = Tap::default();
        assert!(tap.copies(&batch(10)).is_none());
        let outlet = tap.open().expect("nobody has it");
        assert!(tap.open().is_none());
        let copies = |length| tap.copies(&batch(length)).expect("wanted");
        tap.hand_over(copies(10), Timestamp::new(5, 0));
        tap.hand_over(copies(MOST), Timestamp::new(6, 0));
        tap.hand_over(copies(MOST / 2), Timestamp::new(7, 0));
        assert_eq!(outlet.missed(), 1);
        let first = outlet.next(Duration::ZERO).expect("a batch");
        assert_eq!(
            (first.time, first.packets[0].bytes.len()),
            (Timestamp::new(5, 0), 10)
        );
        assert_eq!(
            outlet.next(Duration::ZERO).expect("a batch").time,
            Timestamp::new(7, 0)
        );
        tap.hand_over(copies(MOST / 2), Timestamp::new(8, 0));
        assert_eq!(outlet.missed(), 1);
        drop(outlet);
        assert!(tap.copies(&batch(10)).is_none());
        assert!(tap.open().is_some());
    }
}
