//! Things handed to a thread that may be slow, by threads that may not: a bounded queue, what does not fit is counted.
//!
//! # Life cycle
//! [`spool`] makes both ends. Until somebody takes from the [`Outlet`], what is put in waits there. [`Spool::end`] is the
//! last thing that the taker sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// The end that is never waited for. Copies of it are the same end.
#[derive(Debug)]
pub struct Spool<T> {
    sender: SyncSender<Option<T>>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Spool<T> {
    fn clone(&self) -> Self {
        Spool {
            sender: self.sender.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

/// The end of whoever takes.
#[derive(Debug)]
pub struct Outlet<T> {
    receiver: Receiver<Option<T>>,
    dropped: Arc<AtomicU64>,
}

/// A queue for `bound` things.
pub fn spool<T>(bound: usize) -> (Spool<T>, Outlet<T>) {
    let (sender, receiver) = sync_channel(bound);
    let dropped = Arc::new(AtomicU64::new(0));
    let spool = Spool {
        sender,
        dropped: Arc::clone(&dropped),
    };
    (spool, Outlet { receiver, dropped })
}

impl<T> Spool<T> {
    /// Puts a thing in; one that does not fit is dropped and counted.
    pub fn put(&self, thing: T) {
        if self.sender.try_send(Some(thing)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Says that nothing more comes; waits until there is room for that word.
    pub fn end(&self) {
        // A taker that is gone needs no word.
        let _ = self.sender.send(None);
    }

    /// Things dropped so far because there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// What came of waiting for a thing.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The next thing.
    One(T),
    /// Nothing yet.
    Nothing,
    /// Nothing more comes.
    End,
}

impl<T> Outlet<T> {
    /// Waits for the next thing.
    pub fn take(&self, wait: Duration) -> Taken<T> {
        match self.receiver.recv_timeout(wait) {
            Ok(Some(thing)) => Taken::One(thing),
            Ok(None) | Err(RecvTimeoutError::Disconnected) => Taken::End,
            Err(RecvTimeoutError::Timeout) => Taken::Nothing,
        }
    }

    /// What is there now, up to the end.
    pub fn rest(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.receiver.try_recv().ok().flatten())
    }

    /// Things dropped so far because there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_waits() {
        let (spool, outlet) = spool(2);
        for thing in 0..5 {
            spool.put(thing);
        }
        assert_eq!((spool.dropped(), outlet.dropped()), (3, 3));
        assert_eq!(outlet.take(Duration::ZERO), Taken::One(0));
        spool.put(5);
        assert_eq!(outlet.rest().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(outlet.take(Duration::ZERO), Taken::Nothing);
        spool.put(6);
        spool.end();
        assert_eq!(outlet.take(Duration::ZERO), Taken::One(6));
        assert_eq!(outlet.take(Duration::ZERO), Taken::End);
    }

    #[test]
    fn an_end_without_spools_is_an_end() {
        let (spool, outlet) = spool::<u8>(1);
        drop(spool);
        assert_eq!(outlet.take(Duration::from_secs(20)), Taken::End);
    }
}
