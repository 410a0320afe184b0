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
    let mut near = text;
    let mut number = |t: &str, missing: u32| {
        let rest = near;
        near = near.get(t.len() + 1..).unwrap_or_default();
        if t.is_empty() {
            return Ok(missing);
        }
        read::word(t).map_err(|bad| bad.said(real_fault(t, rest)))
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
        ))
        .said("{extension}: Too many components for option \"--{option}\" (max: 2)"));
    }
    Ok(Range { first, last })
}

/// What the real programs say of a number that is none; `rest` is what they have not read yet.
fn real_fault(number: &str, rest: &str) -> String {
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    match number.get(digits..) {
        Some(strange) if digits > 0 && !strange.is_empty() => {
            let strange = rest.get(digits..).unwrap_or(strange);
            format!(
                "{{extension}}: Argument to \"--{{option}}\" has unexpected characters near \"{strange}\"."
            )
        }
        _ => format!(
            "{{extension}}: bad value for option \"--{{option}}\" near \"{rest}\", or out of range (0-4294967295)."
        ),
    }
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
