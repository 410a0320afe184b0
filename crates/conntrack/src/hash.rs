//! The hash of a tuple: keyed, and the same in both directions.
//!
//! An end (address and port) is a number, and so is what both ends have in common (protocol and zone), which is added to
//! the key. The product of both ends, the key added to either, is the same in whatever order they come; for two flows
//! that differ it is the same for no more than a handful of the 2^64 keys. It has 128 bits, of which a second product,
//! with two keys more, makes 64 that say nothing of the ends: its halves are combined by exclusive or, as in wyhash and
//! its kin. An end of IPv6 has too many bits, and is first made into one of 64 by such a product of its own.
//!
//! So whoever does not know the keys cannot choose flows that meet in a line of the index, but only hope for it. Who could
//! tell, by the time that it takes, that two of them met, would learn little about others, since what flows have in
//! common does not survive the second product; and a line that is full costs its flows one line more. SipHash-1-3, which
//! stood here before and promises more, takes three times as long.

use crate::tuple::{Key, Zone};

/// What is added to seeds, so that those that are small make no small keys: the fraction of pi.
const PI: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
];

/// Both halves of the product of two words, made into one.
#[inline(always)]
pub fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// The hash of a pair of ends, whichever comes first, with something that they have in common: up to 24 bits.
#[inline(always)]
fn pair(seed: (u64, u64), a: u64, b: u64, common: u64) -> u64 {
    let key = (seed.0 ^ PI[0]).wrapping_add(common << 40);
    let product = u128::from(a.wrapping_add(key)) * u128::from(b.wrapping_add(key));
    folded(
        product as u64 ^ seed.1 ^ PI[1],
        (product >> 64) as u64 ^ seed.0.rotate_left(32) ^ PI[2],
    )
}

/// An end of IPv6 as a number.
#[inline]
fn end_v6(seed: (u64, u64), address: [u64; 2], port: u16) -> u64 {
    let [high, low] = address;
    let key = seed.1.rotate_left(32);
    folded(high ^ key ^ PI[3], low ^ seed.0 ^ PI[1]).wrapping_add(u64::from(port) << 40)
}

/// The hash of a tuple in a zone, which is also that of its inverse.
#[inline]
pub(crate) fn of(seed: (u64, u64), key: &Key, zone: Zone) -> u64 {
    let (one, other) = key.ends();
    let common = u64::from(key.protocol) | u64::from(zone) << 8;
    let end = |(address, port): ([u64; 2], u16)| match key.is_v4() {
        true => address[0] << 16 | u64::from(port),
        false => end_v6(seed, address, port),
    };
    pair(seed, end(one), end(other), common)
}

/// As [`of`], of TCP and UDP over IPv4 outside of any zone: both addresses, the source in the upper half, and both ports,
/// likewise.
#[inline(always)]
pub(crate) fn of_v4(seed: (u64, u64), ends: u64, ports: u32, protocol: u8) -> u64 {
    let source = ends >> 32 << 16 | u64::from(ports >> 16);
    let destination = (ends & 0xffff_ffff) << 16 | u64::from(ports & 0xffff);
    pair(seed, source, destination, protocol.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::{Tuple, TupleProto};
    use palisade_wire::proto;
    use proptest::prelude::*;

    const SEEDS: [(u64, u64); 4] = [
        (0, 0),
        (1, 2),
        (u64::MAX, 0),
        (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210),
    ];

    /// Flows as they come, and as somebody would choose them who looks for a weakness: ends as IPv4 has them.
    fn sets(at: u64) -> [(&'static str, u64, u64); 8] {
        let server = 0xc000_0201 << 16 | 443;
        let client = |address: u64, port: u64| (0x0a00_0000 + address) << 16 | port;
        [
            ("ports", client(1, at & 0xffff), server),
            ("addresses", client(at, 40_000), server),
            ("both", client(at >> 4, 1024 + (at & 15)), server),
            ("high bits", client(at << 8 & 0xff_ffff, at >> 16), server),
            (
                "a sum that is the same",
                client(at, 0),
                client(0x00ff_ffff - at, 0),
            ),
            ("ends that are neighbours", client(at, 7), client(at + 1, 7)),
            ("an end twice", client(at, 7), client(at, 7)),
            ("both ends small", at, 0),
        ]
    }

    #[test]
    fn flows_that_somebody_chose_spread_as_those_by_chance() {
        const FLOWS: u64 = 1 << 16;
        const LINES: usize = 1 << 12;
        for seed in SEEDS {
            for (set, (name, ..)) in sets(0).iter().enumerate() {
                let (mut lines, mut tags) = (vec![0u32; LINES], vec![0u32; LINES]);
                for at in 0..FLOWS {
                    let (_, a, b) = sets(at)[set];
                    let hash = pair(seed, a, b, 17);
                    lines[((hash >> 32) as usize * LINES) >> 32] += 1;
                    tags[hash as usize % LINES] += 1;
                }
                for counts in [lines, tags] {
                    let mean = FLOWS as f64 / LINES as f64;
                    let chi: f64 = counts.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum();
                    // As many as there are lines; the bounds are more than six deviations from it.
                    let chi = chi / mean / LINES as f64;
                    assert!((0.85..1.15).contains(&chi), "{name}, {seed:x?}: {chi}");
                }
            }
        }
    }

    #[test]
    fn every_bit_of_an_end_moves_half_of_the_hash() {
        for seed in SEEDS {
            for bit in 0..48 {
                let moved: u32 = (0..512)
                    .map(|at| {
                        let (_, a, b) = sets(at * 127)[2];
                        (pair(seed, a, b, 6) ^ pair(seed, a ^ 1 << bit, b, 6)).count_ones()
                    })
                    .sum();
                let mean = f64::from(moved) / 512.0;
                assert!((30.0..34.0).contains(&mean), "bit {bit}, {seed:x?}: {mean}");
            }
        }
    }

    #[test]
    fn what_ends_have_in_common_counts() {
        let (_, a, b) = sets(5)[0];
        let hashes: std::collections::HashSet<u64> =
            (0..1 << 16).map(|c| pair((1, 2), a, b, c)).collect();
        assert_eq!(hashes.len(), 1 << 16);
    }

    proptest! {
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
