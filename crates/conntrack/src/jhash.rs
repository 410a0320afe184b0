//! Bob Jenkins' hash of words, as the kernel has it (`include/linux/jhash.h`).

/// Kernel `JHASH_INITVAL`.
const START: u32 = 0xdead_beef;

fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

fn finish([mut a, mut b, mut c]: [u32; 3]) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// The hash of some words (kernel `jhash2`; of one to three also `jhash_1word` to `jhash_3words`).
pub fn words(words: &[u32], seed: u32) -> u32 {
    let start = START
        .wrapping_add((words.len() as u32) << 2)
        .wrapping_add(seed);
    let mut state = [start; 3];
    let add = |state: &mut [u32; 3], words: &[u32]| {
        for (s, word) in state.iter_mut().zip(words) {
            *s = s.wrapping_add(*word);
        }
    };
    let mut rest = words;
    while rest.len() > 3 {
        let (now, later) = rest.split_at(3);
        add(&mut state, now);
        state = mix(state);
        rest = later;
    }
    if rest.is_empty() {
        return state[2];
    }
    add(&mut state, rest);
    finish(state)
}

/// A hash as a number below `bound` (kernel `reciprocal_scale`).
pub fn scale(hash: u32, bound: u32) -> u32 {
    ((u64::from(hash) * u64::from(bound)) >> 32) as u32
}
