//! What the kernel counts of its queues.

use std::io;

/// Where the kernel says it, for the calling thread's namespace.
const FILE: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// What the kernel has counted of a queue (`/proc/net/netfilter/nfnetlink_queue`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Number of the queue.
    pub queue: u16,
    /// Packets that wait for a verdict.
    pub waiting: u64,
    /// Packets dropped since the queue was full.
    pub full: u64,
    /// Packets dropped since the socket's buffer was full (`ENOBUFS`).
    pub unread: u64,
    /// Packets handed over so far, by the last number given; it wraps.
    pub last: u32,
}

/// The kernel's own text.
pub(super) fn lines() -> io::Result<String> {
    std::fs::read_to_string(FILE)
}

/// What was counted of queues `first` and those after it.
///
/// # Errors
/// The kernel does not say.
pub fn counted(first: u16, count: u16) -> io::Result<Vec<Counted>> {
    let own = |c: &Counted| c.queue >= first && c.queue - first < count;
    Ok(lines()?.lines().filter_map(line).filter(own).collect())
}

/// Of one queue: number, port, waiting, copy mode, copy range, dropped, dropped at the socket, last number.
fn line(line: &str) -> Option<Counted> {
    let mut words = line.split_whitespace();
    let queue = words.next()?.parse().ok()?;
    let waiting = words.nth(1)?.parse().ok()?;
    let full = words.nth(2)?.parse().ok()?;
    let unread = words.next()?.parse().ok()?;
    let last = words.next()?.parse().ok()?;
    Some(Counted {
        queue,
        waiting,
        full,
        unread,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_its_columns() {
        let read = line("20000  12345     3 2 65531     4     5  6789  1");
        let wanted = Counted {
            queue: 20000,
            waiting: 3,
            full: 4,
            unread: 5,
            last: 6789,
        };
        assert_eq!(read, Some(wanted));
        assert_eq!(line(""), None);
        assert_eq!(line("1 2 3"), None);
    }
}
