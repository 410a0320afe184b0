//! The hash of a tuple: keyed, and the same in both directions.

use crate::tuple::{Key, Zone};

/// SipHash-1-3 of whole words: the last one's highest byte is the number of bytes, as Aumasson and Bernstein have
/// it.
#[inline]
pub(crate) fn sip13<const N: usize>(seed: (u64, u64), words: [u64; N]) -> u64 {
    let mut v0 = seed.0 ^ 0x736f_6d65_7073_6575;
    let mut v1 = seed.1 ^ 0x646f_7261_6e64_6f6d;
    let mut v2 = seed.0 ^ 0x6c79_6765_6e65_7261;
    let mut v3 = seed.1 ^ 0x7465_6462_7974_6573;
    let mut round = |word: u64, last: u64, rounds: usize| {
        v3 ^= word;
        v2 ^= last;
        for _ in 0..rounds {
            v0 = v0.wrapping_add(v1);
            v2 = v2.wrapping_add(v3);
            v1 = v1.rotate_left(13) ^ v0;
            v3 = v3.rotate_left(16) ^ v2;
            v0 = v0.rotate_left(32);
            v2 = v2.wrapping_add(v1);
            v0 = v0.wrapping_add(v3);
            v1 = v1.rotate_left(17) ^ v2;
            v3 = v3.rotate_left(21) ^ v0;
            v2 = v2.rotate_left(32);
        }
        v0 ^= word;
        v0 ^ v1 ^ v2 ^ v3
    };
    for word in words {
        round(word, 0, 1);
    }
    round(0, 0xff, 3)
}

/// The hash of a tuple in a zone, which is also that of its inverse: the ends are taken in the order of their
/// numbers, of ICMP types the lower of question and answer.
#[inline]
pub(crate) fn of(seed: (u64, u64), key: &Key, zone: Zone) -> u64 {
    let (low, high) = key.ends();
    let (a, b) = (low.1, high.1);
    let tail =
        u64::from(a) | u64::from(b) << 16 | u64::from(zone) << 32 | u64::from(key.protocol) << 48;
    if key.is_v4() {
        let words = [low.0[0] | high.0[0] << 32, tail | 15 << 56];
        sip13(seed, words)
    } else {
        let ([a, b], [c, d]) = (low.0, high.0);
        sip13(seed, [a, b, c, d, tail | 39 << 56])
    }
}

/// As [`of`], of TCP and UDP outside of any zone.
#[inline]
pub(crate) fn of_ports(seed: (u64, u64), key: &Key) -> u64 {
    let tail = u64::from(key.protocol) << 48;
    if key.is_v4() {
        let a = key.source[0] << 16 | u64::from(key.words >> 16);
        let b = key.destination[0] << 16 | u64::from(key.words & 0xffff);
        let (low, high) = (a.min(b), a.max(b));
        let ports = low & 0xffff | (high & 0xffff) << 16;
        sip13(
            seed,
            [low >> 16 | high >> 16 << 32, tail | ports | 15 << 56],
        )
    } else {
        of(seed, key, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::{Tuple, TupleProto};
    use palisade_wire::proto;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;
    use std::hash::Hasher;

    proptest! {
        #[test]
        fn it_is_siphash(seed: (u64, u64), words: [u64; 4], tail in 0u64..1 << 56) {
            let mut reference = SipHasher13::new_with_keys(seed.0, seed.1);
            for word in words {
                reference.write(&word.to_le_bytes());
            }
            reference.write(&tail.to_le_bytes()[..7]);
            let [a, b, c, d] = words;
            prop_assert_eq!(sip13(seed, [a, b, c, d, tail | 39 << 56]), reference.finish());
        }

        #[test]
        fn both_directions_have_one_hash(
            source: std::net::IpAddr,
            v4: (u32, u32),
            v6: (u128, u128),
            part: (u16, u16),
            kind in prop_oneof![Just(8u8), Just(0), Just(13), Just(18), Just(128), Just(139)],
            protocol in prop_oneof![Just(proto::TCP), Just(proto::UDP), Just(proto::GRE), Just(proto::ICMP), Just(proto::ICMPV6), Just(89u8)],
            zone: u16,
        ) {
            let (source, destination) = if source.is_ipv4() {
                (std::net::Ipv4Addr::from(v4.0).into(), std::net::Ipv4Addr::from(v4.1).into())
            } else {
                (std::net::Ipv6Addr::from(v6.0).into(), std::net::Ipv6Addr::from(v6.1).into())
            };
            let (a, b) = part;
            let proto = match protocol {
                proto::ICMP | proto::ICMPV6 => TupleProto::Icmp { id: a, kind, code: 0 },
                proto::GRE => TupleProto::Gre { source: a, destination: b },
                proto::TCP | proto::UDP => TupleProto::Ports { source: a, destination: b },
                _ => TupleProto::Generic,
            };
            let tuple = Tuple { source, destination, protocol, proto };
            if let Some(inverse) = tuple.invert() {
                prop_assert_eq!(of((1, 2), &tuple.key(), zone), of((1, 2), &inverse.key(), zone));
                prop_assert_eq!(tuple.key().inverse(), Some(inverse.key()));
                prop_assert_eq!(tuple.key().tuple(), tuple);
                if matches!(protocol, proto::TCP | proto::UDP) {
                    prop_assert_eq!(of_ports((1, 2), &tuple.key()), of((1, 2), &tuple.key(), 0));
                }
            }
        }
    }
}
