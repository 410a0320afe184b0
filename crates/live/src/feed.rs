//! Lines that are told as they come, and the last of them to who comes later.
//!
//! # Bounds
//! [`KEPT`] lines of at most [`LONGEST`] bytes are kept. Who puts one in never waits for who reads: a reader that is slower than
//! lines come loses the oldest, and is told how many.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that are kept.
pub const KEPT: usize = 4096;

/// Bytes of a line, at most; of a longer one its beginning.
pub const LONGEST: usize = 2048;

/// Lines, numbered from 0.
#[derive(Debug, Default)]
pub struct Feed {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    last: VecDeque<Arc<str>>,
    /// Lines so far, those forgotten included.
    count: u64,
}

/// Lines from a number on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// In order.
    pub lines: Vec<Arc<str>>,
    /// Lines before them that are forgotten.
    pub lost: u64,
    /// The number to ask from next.
    pub next: u64,
}

impl Feed {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line in.
    pub fn put(&self, line: &str) {
        let cut = (0..=LONGEST.min(line.len())).rev();
        let cut = cut.into_iter().find(|at| line.is_char_boundary(*at));
        let line: Arc<str> = line[..cut.unwrap_or(0)].into();
        let mut lines = self.lines();
        if lines.last.len() == KEPT {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
        lines.count += 1;
        drop(lines);
        self.more.notify_all();
    }

    /// The number that the last `count` lines begin with.
    pub fn before_end(&self, count: usize) -> u64 {
        let lines = self.lines();
        lines.count - lines.last.len().min(count) as u64
    }

    /// Lines from a number on, at most `most`; waits for the first of them.
    pub fn from(&self, number: u64, most: usize, wait: Duration) -> Part {
        let lines = self.lines();
        let waited = self
            .more
            .wait_timeout_while(lines, wait, |lines| lines.count <= number);
        let (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let first = lines.count - lines.last.len() as u64;
        let begin = number.clamp(first, lines.count);
        let skipped = (begin - first) as usize;
        let part: Vec<Arc<str>> = lines
            .last
            .iter()
            .skip(skipped)
            .take(most)
            .cloned()
            .collect();
        Part {
            lost: begin.saturating_sub(number),
            next: begin + part.len() as u64,
            lines: part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(part: &Part) -> Vec<&str> {
        part.lines.iter().map(|line| &**line).collect()
    }

    #[test]
    fn the_last_lines_and_those_that_come() {
        let feed = Feed::default();
        for n in 0..5 {
            feed.put(&n.to_string());
        }
        let part = feed.from(feed.before_end(2), 10, Duration::ZERO);
        assert_eq!((lines(&part), part.lost, part.next), (vec!["3", "4"], 0, 5));
        assert_eq!(feed.before_end(99), 0);
        let none = feed.from(part.next, 10, Duration::ZERO);
        assert_eq!((none.lines.len(), none.next), (0, 5));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| feed.from(5, 10, Duration::from_secs(20)));
            feed.put("five");
            assert_eq!(lines(&waits.join().expect("it ends")), ["five"]);
        });
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_and_long_lines_are_cut() {
        let feed = Feed::default();
        for n in 0..KEPT + 7 {
            feed.put(&n.to_string());
        }
        let part = feed.from(3, 2, Duration::ZERO);
        assert_eq!((lines(&part), part.lost, part.next), (vec!["7", "8"], 4, 9));
        feed.put(&"ä".repeat(LONGEST));
        let part = feed.from(feed.before_end(1), 1, Duration::ZERO);
        assert_eq!(part.lines[0].len(), LONGEST);
    }
}
