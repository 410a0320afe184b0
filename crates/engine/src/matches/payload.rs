//! string and u32: anything anywhere in the packet (kernel `xt_string.c`, `xt_u32.c`).
//!
//! # Overview
//! A pattern is prepared once, when the rules are loaded: [`Pattern`] holds at most 128 bytes and tables of their
//! size. A search visits each byte of a packet at most 128 times.

use palisade_rules::matches::string::{Algorithm, StringMatch};
use palisade_rules::matches::u32::{Operator, Test, U32};
use palisade_wire::Packet;

use super::Answer;

/// Patterns, by the slots that they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Prepares the pattern of a rule: its slot.
    pub(crate) fn add(&mut self, rule: &StringMatch) -> u32 {
        self.0.push(Pattern::new(rule));
        (self.0.len() - 1) as u32
    }

    /// Kernel `string_mt`. In a capture that was cut the text may lie in what is missing.
    pub(crate) fn find(&self, slot: u32, rule: &StringMatch, packet: &Packet<'_>) -> Answer {
        let Some(pattern) = self.0.get(slot as usize) else {
            return Answer::Unknown;
        };
        let (from, to) = (usize::from(rule.from), usize::from(rule.to));
        let bytes = packet.bytes();
        let place = match bytes.get(from..) {
            Some(data) if from < to => pattern.find(data),
            _ => None,
        };
        // Kernel `skb_find_text`: the first place counts, and the text must end in time.
        let limit = to.saturating_sub(from);
        let found = place.is_some_and(|at| at + pattern.text.len() <= limit);
        let unseen = bytes.len() < packet.declared_len() && bytes.len() < to;
        if place.is_none() && from < to && unseen {
            return Answer::Unknown;
        }
        rule.text.apply(found).into()
    }
}

/// A text to search for, with the tables of its algorithm.
#[derive(Clone, Debug)]
struct Pattern {
    /// In capital letters, if these do not matter.
    text: Vec<u8>,
    ignore_case: bool,
    tables: Tables,
}

#[derive(Clone, Debug)]
enum Tables {
    /// How far to go on for a byte that does not fit, and for so many that did.
    Bm {
        bad: Box<[usize; 256]>,
        good: Vec<usize>,
    },
    /// Length of the longest beginning that ends at each place.
    Kmp(Vec<usize>),
}

impl Pattern {
    fn new(rule: &StringMatch) -> Self {
        let ignore_case = rule.ignore_case;
        let text: Vec<u8> = match ignore_case {
            true => rule.text.value.iter().map(|b| capital(*b)).collect(),
            false => rule.text.value.clone(),
        };
        let tables = match rule.algorithm {
            Algorithm::Bm => Tables::Bm {
                bad: bad_shifts(&text, ignore_case),
                good: good_shifts(&text),
            },
            Algorithm::Kmp => Tables::Kmp(prefixes(&text)),
        };
        Pattern {
            text,
            ignore_case,
            tables,
        }
    }

    /// Where the text stands first.
    fn find(&self, data: &[u8]) -> Option<usize> {
        match &self.tables {
            Tables::Bm { bad, good } => self.bm(data, bad, good),
            Tables::Kmp(prefixes) => self.kmp(data, prefixes),
        }
    }

    fn letter(&self, byte: u8) -> u8 {
        if self.ignore_case {
            capital(byte)
        } else {
            byte
        }
    }

    /// Kernel `bm_find`, with its shifts: where these are wrong (of letters beyond ASCII that differ in case
    /// only) it misses the same places.
    fn bm(&self, data: &[u8], bad: &[usize; 256], good: &[usize]) -> Option<usize> {
        let last = self.text.len().checked_sub(1)?;
        let mut at = last;
        while at < data.len() {
            let fits = self
                .text
                .iter()
                .rev()
                .zip(data.get(..=at)?.iter().rev())
                .take_while(|(wanted, byte)| **wanted == self.letter(**byte))
                .count();
            if fits == self.text.len() {
                return Some(at - last);
            }
            let by_byte = at - fits + bad.get(usize::from(*data.get(at - fits)?))?;
            at = by_byte.max(at + good.get(fits)?.max(&1));
        }
        None
    }

    /// Kernel `kmp_find`.
    fn kmp(&self, data: &[u8], prefixes: &[usize]) -> Option<usize> {
        let mut fits = 0;
        for (at, byte) in data.iter().enumerate() {
            let byte = self.letter(*byte);
            while fits > 0 && self.text.get(fits) != Some(&byte) {
                fits = *prefixes.get(fits - 1)?;
            }
            if self.text.get(fits) == Some(&byte) {
                fits += 1;
            }
            if fits == self.text.len() {
                return Some(at + 1 - fits);
            }
        }
        None
    }
}

/// The kernel's `toupper`: letters of Latin-1, also those that have no capital there.
fn capital(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 32,
        _ => byte,
    }
}

/// The kernel's `tolower`.
fn small(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        _ => byte,
    }
}

/// Kernel `compute_prefix_tbl` of Boyer-Moore, first half.
fn bad_shifts(text: &[u8], ignore_case: bool) -> Box<[usize; 256]> {
    let mut shifts = Box::new([text.len(); 256]);
    let Some((_, rest)) = text.split_last() else {
        return shifts;
    };
    for (i, byte) in rest.iter().enumerate() {
        let shift = rest.len() - i;
        shifts[usize::from(*byte)] = shift;
        if ignore_case {
            shifts[usize::from(small(*byte))] = shift;
        }
    }
    shifts
}

/// Second half: for so many bytes at the end that fit, how far it is to where they stand again.
fn good_shifts(text: &[u8]) -> Vec<usize> {
    let length = text.len();
    let mut shifts = vec![length; length];
    if let Some(first) = shifts.first_mut() {
        *first = 1;
    }
    for g in 1..length {
        let i = length - g;
        // The ending may hang out at the front by all but one byte.
        let again = (1 - g as isize..i as isize)
            .rev()
            .find(|j| stands_again(text, i, *j, g));
        if let (Some(j), Some(shift)) = (again, shifts.get_mut(g)) {
            *shift = (length as isize - j - g as isize) as usize;
        }
    }
    shifts
}

/// Kernel `subpattern`: the `g` bytes from `i` stand at `j` too, as far as `j` lies in the text, and another
/// byte stands before them.
fn stands_again(text: &[u8], i: usize, j: isize, g: usize) -> bool {
    let byte = |at: isize| usize::try_from(at).ok().and_then(|at| text.get(at));
    for back in 1..=g as isize {
        let (x, y) = (i as isize + g as isize - back, j + g as isize - back);
        if byte(x) != byte(y) {
            return false;
        }
        if y == 0 {
            return true;
        }
    }
    byte(i as isize - 1) != byte(j - 1)
}

/// Kernel `compute_prefix_tbl` of Knuth-Morris-Pratt.
fn prefixes(text: &[u8]) -> Vec<usize> {
    let mut table = vec![0; text.len()];
    let mut k = 0;
    for q in 1..text.len() {
        while k > 0 && text[k] != text[q] {
            k = table[k - 1];
        }
        if text[k] == text[q] {
            k += 1;
        }
        table[q] = k;
    }
    table
}

/// Kernel `u32_mt`: a word that lies outside of the packet fails the test, which `!` turns round.
pub(super) fn u32(rule: &U32, packet: &Packet<'_>) -> Answer {
    let mut fits = true;
    for test in &rule.0.value {
        match number(test, packet) {
            Word::Read(number) => {
                let within = |&(first, last): &(u32, u32)| first <= number && number <= last;
                fits = test.ranges.iter().any(within);
            }
            Word::Outside => fits = false,
            Word::Missing => return Answer::Unknown,
        }
        if !fits {
            break;
        }
    }
    rule.0.apply(fits).into()
}

/// A word of the packet.
enum Word {
    Read(u32),
    /// The packet ends before it.
    Outside,
    /// The capture does.
    Missing,
}

/// The number that a test makes.
fn number(test: &Test, packet: &Packet<'_>) -> Word {
    let mut base = 0;
    let mut value = match word(packet, 0, test.start) {
        Word::Read(word) => word,
        other => return other,
    };
    for &(operator, number) in &test.steps {
        match operator {
            Operator::And => value &= number,
            Operator::Left => value = value.wrapping_shl(number),
            Operator::Right => value = value.wrapping_shr(number),
            Operator::At => {
                base = match u32::checked_add(base, value) {
                    Some(base) => base,
                    None => return Word::Outside,
                };
                value = match word(packet, base, number) {
                    Word::Read(word) => word,
                    other => return other,
                };
            }
        }
    }
    Word::Read(value)
}

/// The word at `base` + `offset`.
fn word(packet: &Packet<'_>, base: u32, offset: u32) -> Word {
    let end = u64::from(base) + u64::from(offset) + 4;
    if end > packet.declared_len() as u64 {
        return Word::Outside;
    }
    let at = end as usize - 4;
    match packet.bytes().get(at..).and_then(|b| b.first_chunk()) {
        Some(word) => Word::Read(u32::from_be_bytes(*word)),
        None => Word::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_rules::Not;

    fn pattern(text: &[u8], algorithm: Algorithm, ignore_case: bool) -> Pattern {
        Pattern::new(&StringMatch {
            text: Not {
                negated: false,
                value: text.to_vec(),
            },
            algorithm,
            from: 0,
            to: u16::MAX,
            ignore_case,
        })
    }

    /// Texts of two letters have every kind of repetition.
    fn texts(letters: &[u8], length: u32) -> impl Iterator<Item = Vec<u8>> {
        let base = letters.len();
        (0..base.pow(length)).map(move |mut n| {
            (0..length)
                .map(|_| {
                    let letter = letters[n % base];
                    n /= base;
                    letter
                })
                .collect()
        })
    }

    #[test]
    fn both_algorithms_find_the_first_place_of_every_short_text() {
        for wanted in (1..=5).flat_map(|n| texts(b"ab", n)) {
            for data in (0..=9).flat_map(|n| texts(b"ab", n)) {
                let first = data.windows(wanted.len()).position(|w| w == wanted);
                for algorithm in [Algorithm::Bm, Algorithm::Kmp] {
                    let found = pattern(&wanted, algorithm, false).find(&data);
                    assert_eq!(found, first, "{algorithm:?} {wanted:?} in {data:?}");
                }
            }
        }
    }

    #[test]
    fn case_is_that_of_latin_1_and_boyer_moore_overlooks_a_letter_without_a_capital() {
        let cases: [(&[u8], &[u8], [bool; 2]); 4] = [
            (b"GeT /", b"xgEt /y", [true, true]),
            (b"\xe9", b"\xc9", [true, true]),
            (b"\xd7", b"\xf7", [false, false]),
            // A sharp s counts as 0xbf. Boyer-Moore thinks that no 0xdf stands in the text and goes too far.
            (b"\xdfab", b"xx\xdfab", [false, true]),
        ];
        for (wanted, data, found) in cases {
            for (algorithm, found) in [Algorithm::Bm, Algorithm::Kmp].into_iter().zip(found) {
                let at = pattern(wanted, algorithm, true).find(data);
                assert_eq!(at.is_some(), found, "{algorithm:?} {wanted:?} in {data:?}");
            }
        }
    }
}
