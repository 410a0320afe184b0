//! A small generator of chance; the same numbers everywhere.

/// Xorshift.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // Small seeds would begin alike.
        for _ in 0..8 {
            chance.below(2);
        }
        chance
    }

    /// From 0 to less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or("")
    }

    pub(crate) fn one_of<T: Copy + Default>(&mut self, from: &[T]) -> T {
        from.get(self.below(from.len()))
            .copied()
            .unwrap_or_default()
    }
}
