//! Ranges of 32-bit numbers, as several matches read and print them.

use super::prelude::*;

/// Numbers from one to another. The programs take a range that is backwards: it holds no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Lowest.
    pub first: u32,
    /// Highest.
    pub last: u32,
}

impl Range {
    /// Every number, which is what a rule means that says none.
    pub const ALL: Range = Range {
        first: 0,
        last: u32::MAX,
    };

    /// Whether a number is in it.
    #[inline]
    pub fn contains(self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// Every number, not negated.
    pub(super) fn any() -> Not<Range> {
        Not {
            negated: false,
            value: Range::ALL,
        }
    }
}

/// `first[:last]`: an end that is left out is the lowest or highest number, and nothing at all is 0.
pub(super) fn range(text: &str) -> Value<Range> {
    let number = |t: &str, missing: u32| match t {
        "" => Ok(missing),
        t => read::word(t),
    };
    let mut parts = text.split(':');
    let first = number(parts.next().unwrap_or(""), 0)?;
    let last = match parts.next() {
        Some(last) => number(last, u32::MAX)?,
        None => first,
    };
    if parts.next().is_some() {
        return Err(Bad::new(format!(
            "'{text}' has more than two numbers; a range is FIRST:LAST"
        )));
    }
    Ok(Range { first, last })
}

/// ` [!] --name range`. The programs leave out the range of all numbers even where it is negated.
pub(super) fn save(out: &mut Out, name: &str, range: &Not<Range>) {
    if range.value != Range::ALL {
        out.not(name, range, |r| write::range(r.first, r.last));
    }
}

/// `name:[!]number` or `names:[!]first:last`, as listings have it; nothing for all numbers.
pub(super) fn listed(name: &str, range: &Not<Range>) -> Option<String> {
    let Range { first, last } = range.value;
    if range.value == Range::ALL && !range.negated {
        return None;
    }
    let bang = bang(range.negated);
    Some(if first == last {
        format!("{name}:{bang}{first}")
    } else {
        format!("{name}s:{bang}{first}:{last}")
    })
}

/// `!`, where it is negated.
pub(super) fn bang(negated: bool) -> &'static str {
    if negated { "!" } else { "" }
}
