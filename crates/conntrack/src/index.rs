//! The index of the table: from the hash of a tuple to the entries that may have it.
//!
//! # Overview
//! An array of lines of 64 bytes, each with room for ten links and for sixteen bits of the hash of each, so that a
//! packet's connection is found by one line of the index and its entry, and entries of others are hardly ever
//! looked at.
//!
//! ```text
//! word   0 … 9          10 … 14              15
//!        ten links      ten tags of 16 bits  how many links passed by because this line was full
//! ```
//!
//! A link whose line is full stands in one of the next; every line that it passed counts it, and a search goes on
//! only behind a line that counts any.
//!
//! # Growth
//! When five sixths are taken, a second array of twice the size takes what comes; with every link that comes, two
//! lines of the old one move. No call waits for all of them.
//!
//! # Bounds
//! 64 bytes a line; lines are made as `nf_conntrack_buckets` says at first, and doubled as entries need them. Memory
//! that no line was written to is not touched.
//!
//! # Locking
//! None: it belongs to its table.

use prefetch_index::prefetch_index;

/// Links in a line.
const WIDTH: usize = 10;

/// Words of a line.
const WORDS: usize = 16;

/// The word that counts what passed.
const PASSED: usize = 15;

/// Old lines that move with every new link.
const MOVED: usize = 2;

/// Bytes of a line, and where lines begin.
const ALIGNMENT: usize = 64;

/// Lines at most.
const MOST_LINES: usize = 1 << 28;

/// A one in each of four tags, and the highest bit of each.
const LOW: u64 = 0x0001_0001_0001_0001;
const HIGH: u64 = 0x8000_8000_8000_8000;

/// What links stand for.
pub(crate) trait Links {
    /// Has what a link stands for brought near.
    fn fetch(&self, link: Link);
    /// The hash that a link was added under.
    fn hash(&self, link: Link) -> Option<u64>;
}

/// What a link stands for: an entry's slot, and the direction whose tuple it was put under.
pub(crate) type Link = u32;

/// No link.
pub(crate) const NO_LINK: Link = Link::MAX;

#[derive(Debug, Default)]
struct Lines {
    words: Vec<u32>,
    /// Where the first line begins, so that lines of memory hold lines of ours.
    start: usize,
    count: usize,
}

impl Clone for Lines {
    fn clone(&self) -> Self {
        let mut copy = Lines::new(self.count);
        for line in 0..self.count {
            copy.line_mut(line).copy_from_slice(self.line(line));
        }
        copy
    }
}

impl Lines {
    fn new(count: usize) -> Self {
        let words = vec![0u32; count * WORDS + WORDS];
        let misplaced = words.as_ptr().addr() % ALIGNMENT;
        let start = (ALIGNMENT - misplaced) % ALIGNMENT / size_of::<u32>();
        Lines {
            words,
            start,
            count,
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.count as u64) >> 32) as usize
    }

    #[inline]
    fn line(&self, line: usize) -> &[u32; WORDS] {
        const EMPTY: [u32; WORDS] = [0; WORDS];
        let words = self.words.get(self.start + line * WORDS..);
        words.and_then(<[u32]>::first_chunk).unwrap_or(&EMPTY)
    }

    #[inline]
    fn line_mut(&mut self, line: usize) -> &mut [u32] {
        let at = self.start + line * WORDS;
        &mut self.words[at..at + WORDS]
    }

    fn next(&self, line: usize) -> usize {
        if line + 1 == self.count { 0 } else { line + 1 }
    }

    fn insert(&mut self, hash: u64, link: Link) {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.count {
            let line = self.line_mut(at);
            if let Some(free) = line[..WIDTH].iter().position(|l| *l == 0) {
                line[free] = link + 1;
                set_tag(line, free, tag);
                return;
            }
            line[PASSED] += 1;
            at = self.next(at);
        }
    }

    fn remove(&mut self, hash: u64, link: Link) -> bool {
        let home = self.home(hash);
        let mut at = home;
        for passed in 0..self.count {
            let line = self.line_mut(at);
            if let Some(place) = line[..WIDTH].iter().position(|l| *l == link + 1) {
                line[place] = 0;
                set_tag(line, place, 0);
                let mut before = home;
                for _ in 0..passed {
                    let line = self.line_mut(before);
                    line[PASSED] = line[PASSED].saturating_sub(1);
                    before = self.next(before);
                }
                return true;
            }
            if line[PASSED] == 0 {
                return false;
            }
            at = self.next(at);
        }
        false
    }
}

/// The part of a hash that a line keeps; never 0, which is the tag of no link.
#[inline]
fn tag(hash: u64) -> u16 {
    (hash as u16).max(1)
}

fn set_tag(line: &mut [u32], place: usize, tag: u16) {
    let word = &mut line[WIDTH + place / 2];
    let shift = place % 2 * 16;
    *word = *word & !(0xffff << shift) | u32::from(tag) << shift;
}

/// Of four tags of a line those that fit, each by the highest of its bits; now and then one that does not. The last four
/// are two, and two that are none.
#[inline]
fn fours(line: &[u32; WORDS], four: usize, tag: u16) -> u64 {
    let at = WIDTH + 2 * four;
    let tags = u64::from(line[at]) | u64::from(line[at + 1]) << 32;
    let differs = tags ^ (u64::from(tag) * LOW);
    differs.wrapping_sub(LOW) & !differs & HIGH
}

/// The places of a line whose tag fits, a bit each, from which [`place`] tells them; now and then one that does not.
#[inline]
fn fitting(line: &[u32; WORDS], tag: u16) -> u64 {
    fours(line, 0, tag) >> 2 | fours(line, 1, tag) >> 1 | fours(line, 2, tag) & 0xffff_ffff
}

/// The place that the lowest bit stands for: it is number 13, 14 or 15 in a sixteenth of 64 bits, of the first, second
/// or last four places.
#[inline]
fn place(fitting: u64) -> usize {
    let bit = fitting.trailing_zeros() as usize;
    (bit / 16 + 4 * (bit % 4).wrapping_sub(1)) % WORDS
}

/// Links by the hash of their tuples.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    lines: Lines,
    /// While it grows: what was there before, and how many of its lines have moved.
    old: Option<(Lines, usize)>,
    used: usize,
}

impl Index {
    /// An index for so many hash buckets, as the kernel counts them.
    pub(crate) fn new(buckets: u64) -> Self {
        // As many links as there are buckets, without growing, and with few that stand elsewhere than in their line.
        let lines = (buckets as usize)
            .saturating_mul(5)
            .div_ceil(32)
            .clamp(1, MOST_LINES);
        Index {
            lines: Lines::new(lines),
            old: None,
            used: 0,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn memory(&self) -> usize {
        let old = self.old.as_ref().map_or(0, |(old, _)| old.words.len());
        (self.lines.words.len() + old) * size_of::<u32>()
    }

    /// Has the line of a hash brought near.
    #[inline]
    pub(crate) fn fetch(&self, hash: u64) {
        let at = self.lines.start + self.lines.home(hash) * WORDS;
        prefetch_index(self.lines.words.as_slice(), at);
    }

    /// A link under a hash that is only a guess yet: what a search would most likely find; [`NO_LINK`] if it would find
    /// nothing in the first line. Which of the line's places it is cannot be foreseen, so nothing branches on it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Link {
        let line = self.lines.line(self.lines.home(hash));
        match fitting(line, tag(hash)) {
            0 => NO_LINK,
            fits => line[place(fits)].wrapping_sub(1),
        }
    }

    /// The first link under a hash, of those that may have it, that `right` takes.
    #[inline]
    pub(crate) fn find<T>(&self, hash: u64, mut right: impl FnMut(Link) -> Option<T>) -> Option<T> {
        let found = search(&self.lines, hash, &mut right);
        match (&self.old, found) {
            (Some((old, _)), None) => search(old, hash, &mut right),
            (_, found) => found,
        }
    }

    /// Adds a link. `links` knows those that were added before.
    pub(crate) fn insert(&mut self, hash: u64, link: Link, links: &impl Links) {
        self.used += 1;
        let count = self.lines.count;
        if self.old.is_none() && self.used * 6 > count * WIDTH * 5 && count < MOST_LINES {
            let lines = std::mem::replace(&mut self.lines, Lines::new(count * 2));
            self.old = Some((lines, 0));
        }
        self.move_some(links);
        self.lines.insert(hash, link);
    }

    fn move_some(&mut self, links: &impl Links) {
        let Some((old, moved)) = &mut self.old else {
            return;
        };
        for _ in 0..MOVED {
            if *moved == old.count {
                self.old = None;
                return;
            }
            let line = old.line_mut(*moved);
            // All of them are read before the first is waited for.
            for link in line[..WIDTH].iter().filter_map(|link| link.checked_sub(1)) {
                links.fetch(link);
            }
            for place in 0..WIDTH {
                let link = std::mem::take(&mut line[place]);
                set_tag(line, place, 0);
                if let Some(link) = link.checked_sub(1)
                    && let Some(hash) = links.hash(link)
                {
                    self.lines.insert(hash, link);
                }
            }
            *moved += 1;
        }
    }

    /// Takes a link out.
    pub(crate) fn remove(&mut self, hash: u64, link: Link) {
        let removed = self.lines.remove(hash, link)
            || self
                .old
                .as_mut()
                .is_some_and(|(old, _)| old.remove(hash, link));
        self.used -= usize::from(removed);
    }

    /// The first of the links of a hash's line, and of so many lines from there on, that `right` takes.
    pub(crate) fn near<T>(
        &self,
        hash: u64,
        lines: usize,
        mut right: impl FnMut(Link) -> Option<T>,
    ) -> Option<T> {
        let mut of = |all: &Lines| {
            let home = all.home(hash);
            let mut near = (0..lines.min(all.count))
                .flat_map(|step| all.line((home + step) % all.count)[..WIDTH].iter())
                .filter_map(|link| link.checked_sub(1));
            near.find_map(&mut right)
        };
        of(&self.lines).or_else(|| self.old.as_ref().and_then(|(old, _)| of(old)))
    }
}

#[inline]
fn search<T>(lines: &Lines, hash: u64, right: &mut impl FnMut(Link) -> Option<T>) -> Option<T> {
    let tag = tag(hash);
    let mut at = lines.home(hash);
    for _ in 0..lines.count {
        let line = lines.line(at);
        let mut fits = fitting(line, tag);
        while fits != 0 {
            let link = line[place(fits)].checked_sub(1);
            fits &= fits - 1;
            if let Some(link) = link
                && let Some(found) = right(link)
            {
                return Some(found);
            }
        }
        if line[PASSED] == 0 {
            return None;
        }
        at = lines.next(at);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Few lines, and hashes that share them.
    fn hash(seed: u16) -> u64 {
        u64::from(seed % 7) << 40 | u64::from(seed % 3) | u64::from(seed) << 62
    }

    impl Links for HashMap<Link, u64> {
        fn fetch(&self, _: Link) {}

        fn hash(&self, link: Link) -> Option<u64> {
            self.get(&link).copied()
        }
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_found_until_it_is_taken_out(
            steps in proptest::collection::vec((any::<u16>(), 0u32..300, any::<bool>()), 1..600),
            buckets in 1u64..40,
        ) {
            let mut index = Index::new(buckets);
            let mut model: HashMap<Link, u64> = HashMap::new();
            for (seed, link, add) in steps {
                match (add, model.get(&link).copied()) {
                    (true, None) => {
                        model.insert(link, hash(seed));
                        index.insert(hash(seed), link, &model);
                    }
                    (false, Some(hash)) => {
                        model.remove(&link);
                        index.remove(hash, link);
                    }
                    _ => {}
                }
            }
            for link in 0..300 {
                let found = |hash| index.find(hash, |l| (l == link).then_some(())).is_some();
                match model.get(&link) {
                    Some(hash) => prop_assert!(found(*hash), "{link}"),
                    None => prop_assert!((0..100).all(|seed| !found(hash(seed)))),
                }
            }
            prop_assert_eq!(index.used, model.len());
        }
    }

    #[test]
    fn it_grows_as_entries_come_and_begins_lines_where_memory_does() {
        let hash = |link: Link| u64::from(link).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut index = Index::new(1);
        let all: HashMap<Link, u64> = (0..10_000).map(|link| (link, hash(link))).collect();
        for link in 0..10_000 {
            index.insert(hash(link), link, &all);
        }
        for link in 0..10_000 {
            let mut looked = 0;
            let found = index.find(hash(link), |l| {
                looked += 1;
                (l == link).then_some(l)
            });
            assert_eq!(found, Some(link));
            assert!(looked < 4, "{looked}");
        }
        assert_eq!(
            index.lines.words[index.lines.start..].as_ptr().addr() % 64,
            0
        );
        assert!(index.memory() < 10_000 * 20, "{}", index.memory());
    }
}
