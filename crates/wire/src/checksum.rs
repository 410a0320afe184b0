//! The Internet checksum (RFC 1071) and its pseudo-headers.

use std::net::IpAddr;

/// Adds `data` to a running one's-complement sum. An odd last byte is padded with zero,
/// so only the last slice of a sum may be odd.
#[inline]
pub fn add(sum: u32, data: &[u8]) -> u32 {
    let sum = u64::from(sum) + u64::from((folded(wide(0, data)) as u16).swap_bytes());
    folded(sum)
}

/// 64 bits folded to 16: the same modulo 2^16 - 1, and 0 only if it was.
#[inline]
fn folded(wide: u64) -> u32 {
    let wide = (wide >> 32) + (wide & 0xffff_ffff);
    let wide = (wide >> 16) + (wide & 0xffff);
    let wide = (wide >> 16) + (wide & 0xffff);
    ((wide >> 16) + (wide & 0xffff)) as u32
}

/// Adds `data` to a running one's-complement sum over words of 64 bits, lowest byte first: of 16-bit words in that
/// order it is the sum modulo 2^16 - 1, which swapped is that of words in the order of the network. Once it is not 0 it
/// stays so.
#[inline(always)]
pub(crate) fn wide(sum: u64, data: &[u8]) -> u64 {
    let add = add_wide;
    let mut sum = sum;
    let mut rest = data;
    while let Some((four, behind)) = rest.split_first_chunk::<32>() {
        for eight in four.as_chunks().0 {
            sum = add(sum, u64::from_le_bytes(*eight));
        }
        rest = behind;
    }
    while let Some((eight, behind)) = rest.split_first_chunk() {
        sum = add(sum, u64::from_le_bytes(*eight));
        rest = behind;
    }
    match data.last_chunk() {
        // Of the last eight bytes those that are left, the others moved out.
        Some(last) => {
            let left = (8 * rest.len() as u32) & 63;
            add(sum, (u64::from_le_bytes(*last) >> 1) >> (63 - left))
        }
        None => {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            add(sum, u64::from_le_bytes(word))
        }
    }
}

/// Adds a word of eight bytes to a [`wide`] sum.
#[inline(always)]
pub(crate) fn add_wide(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

/// Whether a [`wide`] sum over everything, the checksum included, is that of something right. It must not be 0.
#[inline]
pub(crate) fn wide_ok(sum: u64) -> bool {
    sum.is_multiple_of(0xffff)
}

/// Folds a running sum and complements it: the value for a checksum field, or 0 when the
/// summed data contained a correct one.
#[inline]
pub fn finish(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// A checksum field after one 16-bit word of what it covers changed (RFC 1624, equation 3).
#[inline]
pub fn update(field: u16, old: u16, new: u16) -> u16 {
    finish(u32::from(!field) + u32::from(!old) + u32::from(new))
}

/// The checksum of `data`.
#[inline]
pub fn of(data: &[u8]) -> u16 {
    finish(add(0, data))
}

/// Both words of an address, added.
#[inline]
fn halves(address: u32) -> u32 {
    (address >> 16) + (address & 0xffff)
}

/// Running sum of the pseudo-header of TCP, UDP and ICMPv6: addresses, protocol, length.
///
/// Both addresses must be of one family; mixed ones give a sum of no meaning.
#[inline]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u32 {
    let sum = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => halves(s.into()) + halves(d.into()),
        (IpAddr::V6(s), IpAddr::V6(d)) => add(add(0, &s.octets()), &d.octets()),
        (s, d) => {
            let sum = match s {
                IpAddr::V4(s) => add(0, &s.octets()),
                IpAddr::V6(s) => add(0, &s.octets()),
            };
            match d {
                IpAddr::V4(d) => add(sum, &d.octets()),
                IpAddr::V6(d) => add(sum, &d.octets()),
            }
        }
    };
    add(add(sum, &(length as u32).to_be_bytes()), &[0, protocol])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071, word by word.
    fn slow(data: &[u8]) -> u64 {
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        data.chunks(2).map(word).sum()
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_words(
            start in prop_oneof![Just(0u32), any::<u32>()],
            data in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                proptest::collection::vec(Just(0xffu8), 0..80),
                proptest::collection::vec(Just(0u8), 0..80),
            ],
        ) {
            let sum = add(start, &data);
            let whole = u64::from(start) + slow(&data);
            prop_assert_eq!(u64::from(sum) % 0xffff, whole % 0xffff);
            prop_assert_eq!(sum == 0, whole == 0);
            prop_assert!(sum < 1 << 18);
            // 1 in the first byte.
            let right = (0x100 + slow(&data)).is_multiple_of(0xffff);
            prop_assert_eq!(wide_ok(wide(1, &data)), right);
        }
    }
}
