//! TCP sequence numbers: 32 bits that wrap (RFC 9293 §3.4).

use std::fmt;

/// A TCP sequence number. Ordering is modulo 2³², as the kernel's `before()` and `after()`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// Whether `self` lies before `other` on the circle (kernel `before()`).
    #[inline]
    pub fn before(self, other: Self) -> bool {
        self.distance(other) < 0
    }

    /// Whether `self` lies after `other` on the circle (kernel `after()`).
    #[inline]
    pub fn after(self, other: Self) -> bool {
        self.distance(other) > 0
    }

    /// `self - other` as a signed number of bytes.
    #[inline]
    pub fn distance(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// The later of the two on the circle.
    #[inline]
    pub fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }
}

impl std::ops::Add<u32> for SeqNumber {
    type Output = Self;
    #[inline]
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl std::ops::Sub<u32> for SeqNumber {
    type Output = Self;
    #[inline]
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
