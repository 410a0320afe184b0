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
    let (a, b) = (u64::from(low.1), u64::from(high.1));
    let (zone, protocol) = (u64::from(zone), u64::from(key.protocol));
    if key.is_v4() {
        let low = low.0[0] << 16 | a | protocol << 48 | zone << 56;
        sip13(
            seed,
            [low, high.0[0] << 16 | b | zone >> 8 << 48 | 15 << 56],
        )
    } else {
        let tail = a | b << 16 | zone << 32 | protocol << 48;
        let ([a, b], [c, d]) = (low.0, high.0);
        sip13(seed, [a, b, c, d, tail | 39 << 56])
    }
}

/// As [`of`], of TCP and UDP over IPv4 outside of any zone: both addresses, the source in the upper half, and both ports,
/// likewise.
#[inline]
pub(crate) fn of_v4(seed: (u64, u64), ends: u64, ports: u32, protocol: u8) -> u64 {
    let a = ends >> 32 << 16 | u64::from(ports >> 16);
    let b = (ends & 0xffff_ffff) << 16 | u64::from(ports & 0xffff);
    let low = a.min(b) | u64::from(protocol) << 48;
    sip13(seed, [low, a.max(b) | 15 << 56])
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
                if matches!(protocol, proto::TCP | proto::UDP) && source.is_ipv4() {
                    let key = tuple.key();
                    let ends = key.source[0] << 32 | key.destination[0];
                    prop_assert_eq!(of_v4((1, 2), ends, key.words, protocol), of((1, 2), &key, 0));
                }
            }
        }
    }
}
