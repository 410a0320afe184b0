//! Reassembly, in any order and against its bounds.

use super::*;
use proptest::prelude::*;

fn datagram(v6: bool, length: usize) -> Vec<u8> {
    let ip = if v6 {
        build::Ip::new(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        )
    } else {
        build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap())
    };
    let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
    build::udp(&ip, 1000, 2000, &payload)
}

/// Pushes pieces in the given order; what came of each.
fn push_all(pieces: &[&[u8]]) -> Vec<Defragged> {
    let mut defrag = Defrag::new();
    let config = Config::default();
    pieces
        .iter()
        .map(|p| {
            let packet = Packet::parse(p).unwrap();
            defrag.push(&packet, 0, &config, Timestamp(1))
        })
        .collect()
}

#[test]
fn an_overlap_kills_the_datagram_and_an_exact_duplicate_does_not() {
    for v6 in [false, true] {
        let whole = datagram(v6, 100);
        let pieces = build::fragments(&whole, 40, 7);
        let other = build::fragments(&whole, 48, 7);
        let results = push_all(&[&pieces[0], &pieces[0], &pieces[1], &pieces[2]]);
        assert!(matches!(&results[3], Defragged::Complete { bytes, .. } if *bytes == whole));
        let results = push_all(&[&pieces[0], &other[1], &pieces[2], &pieces[1]]);
        assert_eq!(results[0], Defragged::Held);
        let results2 = push_all(&[&pieces[1], &other[0], &pieces[2], &pieces[0]]);
        assert!(
            results2[1] == Defragged::Dropped(FragmentFault::Overlap { from: 0, to: 48 }),
            "{results2:?}"
        );
        assert!(
            results2
                .iter()
                .all(|r| !matches!(r, Defragged::Complete { .. }))
        );
        assert!(
            results
                .iter()
                .all(|r| !matches!(r, Defragged::Complete { bytes, .. } if *bytes != whole))
        );
    }
}

#[test]
fn fragments_wait_thirty_seconds_and_no_longer() {
    let whole = datagram(false, 100);
    let pieces = build::fragments(&whole, 64, 7);
    let config = Config::default();
    for (seconds, expect_complete) in [(29, true), (30, false)] {
        let mut defrag = Defrag::new();
        let first = Packet::parse(&pieces[0]).unwrap();
        let second = Packet::parse(&pieces[1]).unwrap();
        assert_eq!(
            defrag.push(&first, 0, &config, Timestamp(0)),
            Defragged::Held
        );
        let result = defrag.push(&second, 0, &config, Timestamp::new(seconds, 0));
        assert_eq!(
            matches!(result, Defragged::Complete { .. }),
            expect_complete
        );
    }
}

#[test]
fn a_datagram_starts_over_when_its_source_sent_too_many_other_fragments_meanwhile() {
    let pieces_of = |id: u16| {
        let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        ip.id = id;
        build::fragments(&build::udp(&ip, 1, 2, &[0; 100]), 64, 0)
    };
    // Fragments of others between the two, the limit; whether the datagram gets whole.
    for (between, max_dist, whole) in [
        (63, 64, true),
        (64, 64, false),
        (200, 0, true),
        (0, 1, true),
        (1, 1, false),
    ] {
        let config = Config {
            ipfrag_max_dist: max_dist,
            ..Config::default()
        };
        let mut defrag = Defrag::new();
        let mut push = |bytes: &[u8], user| {
            let packet = Packet::parse(bytes).unwrap();
            defrag.push(&packet, user, &config, Timestamp(0))
        };
        let ours = pieces_of(0);
        push(&ours[0], 0);
        for other in 0..between {
            // What comes on another side counts too: it is the source that sends.
            push(&pieces_of(other + 1)[0], u32::from(other % 2));
        }
        let last = push(&ours[1], 0);
        assert_eq!(
            matches!(last, Defragged::Complete { .. }),
            whole,
            "{between} between, at most {max_dist}"
        );
        // The fragment that came too late is kept: with the first one again all is there.
        if !whole {
            let again = push(&ours[0], 0);
            assert!(matches!(again, Defragged::Complete { .. }), "{again:?}");
        }
        defrag.expire(Timestamp::new(31, 0));
        assert!(defrag.peers.is_empty() && defrag.used(Family::V4) == 0);
    }
}

#[test]
fn a_threshold_of_zero_admits_no_fragment_at_all() {
    let config = Config {
        ipfrag_high_thresh: 0,
        frag6_high_thresh: 0,
        ..Config::default()
    };
    for v6 in [false, true] {
        let pieces = build::fragments(&datagram(v6, 100), 64, 7);
        let packet = Packet::parse(&pieces[0]).unwrap();
        let result = Defrag::new().push(&packet, 0, &config, Timestamp(0));
        assert!(matches!(
            result,
            Defragged::Dropped(FragmentFault::NoMemory { .. })
        ));
    }
}

#[test]
fn each_family_has_its_own_time_whichever_came_first() {
    let config = Config::default();
    let pieces = |v6| build::fragments(&datagram(v6, 100), 64, 7);
    for first in [false, true] {
        let mut defrag = Defrag::new();
        for (n, v6) in [first, !first].into_iter().enumerate() {
            let packet = pieces(v6);
            let packet = Packet::parse(&packet[0]).unwrap();
            defrag.push(&packet, 0, &config, Timestamp::new(n as u64, 0));
        }
        defrag.expire(Timestamp::new(29, 0));
        assert!(defrag.used(Family::V4) > 0 && defrag.used(Family::V6) > 0);
        defrag.expire(Timestamp::new(31, 0));
        assert!(defrag.used(Family::V4) == 0 && defrag.used(Family::V6) > 0);
        defrag.expire(Timestamp::new(61, 0));
        assert_eq!(defrag.used(Family::V6), 0);
    }
}

#[test]
fn memory_is_bounded_by_the_threshold() {
    let config = Config {
        ipfrag_high_thresh: 10_000,
        ..Config::default()
    };
    let mut defrag = Defrag::new();
    for id in 0..1000u32 {
        let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        ip.id = id as u16;
        let pieces = build::fragments(&build::udp(&ip, 1, 2, &[0; 100]), 64, 0);
        defrag.push(
            &Packet::parse(&pieces[0]).unwrap(),
            0,
            &config,
            Timestamp(0),
        );
        assert!(defrag.used(Family::V4) <= 10_000 + 64 + OVERHEAD);
    }
    defrag.expire(Timestamp::new(31, 0));
    assert_eq!(defrag.used(Family::V4), 0);
}

proptest! {
    #[test]
    fn any_order_with_duplicates_gives_the_datagram_back(
        v6 in any::<bool>(),
        length in 1usize..2000,
        size in 8usize..600,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole = datagram(v6, length);
        let pieces = build::fragments(&whole, size, 9);
        prop_assume!(pieces.len() > 1);
        let mut sequence: Vec<&[u8]> = order.iter().map(|i| pieces[i.index(pieces.len())].as_slice()).collect();
        sequence.extend(pieces.iter().map(|p| p.as_slice()));
        let results = push_all(&sequence);
        let complete: Vec<_> = results.iter().filter_map(|r| match r { Defragged::Complete { bytes, .. } => Some(bytes), _ => None }).collect();
        prop_assert!(!complete.is_empty());
        for bytes in complete { prop_assert_eq!(bytes, &whole); }
    }

    #[test]
    fn fragment_soup_never_panics(raw in proptest::collection::vec((0u16..100, any::<bool>(), 0usize..200, any::<u8>()), 0..60)) {
        let mut defrag = Defrag::new();
        let config = Config::default();
        for (offset, more, length, tos) in raw {
            let mut ip = build::Ip::new("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
            ip.tos = tos;
            let mut bytes = build::raw(&ip, 17, &vec![1; length]);
            let word = offset | if more { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&word.to_be_bytes());
            let packet = Packet::parse(&bytes).unwrap();
            defrag.push(&packet, 0, &config, Timestamp(0));
        }
    }
}
