//! Types that few kernels have, and what scripts cannot say. The rest is held against the kernel by scenarios.

use std::net::IpAddr;
use std::time::Duration;

use palisade_rules::ipset::{self, SkbInfo};
use palisade_wire::{Packet, Timestamp, build, tcp::flags};

use super::{Addition, Ask, Changed, Flags, Look, Sets};
use crate::input::LinkInfo;

const FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];
const TO: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn sets(text: &str) -> Sets {
    let parsed = ipset::parse(text);
    assert!(!parsed.has_errors(), "{text}: {:?}", parsed.diagnostics);
    Sets::new(&parsed.sets)
}

fn flags_of(text: &str) -> Flags {
    Flags {
        count: text.len(),
        sources: text
            .bytes()
            .enumerate()
            .fold(0, |all, (i, b)| all | u8::from(b == b's') << i),
    }
}

/// A TCP packet from 1.2.3.4 port 1000 (or 2001:db8::1) to a port of 5.6.7.8 (2001:db8::2), mark 0x1234.
fn with_look<T>(v6: bool, port: u16, seconds: u64, each: impl FnOnce(&Look<'_>) -> T) -> T {
    let [from, to]: [IpAddr; 2] = if v6 {
        ["2001:db8::1", "2001:db8::2"]
    } else {
        ["1.2.3.4", "5.6.7.8"]
    }
    .map(|a| a.parse().unwrap());
    let tcp = build::Tcp {
        source_port: 1000,
        destination_port: port,
        flags: flags::SYN,
        ..Default::default()
    };
    let bytes = build::tcp(&build::Ip::new(from, to), &tcp, b"");
    let packet = Packet::parse(&bytes).unwrap();
    let link = LinkInfo {
        source_mac: Some(FROM),
        destination_mac: Some(TO),
        packet_type: None,
    };
    each(&Look {
        packet: &packet,
        in_interface: "lan0",
        out_interface: "wan0",
        link: &link,
        mark: 0x1234,
        now: Timestamp::default() + Duration::from_secs(1000 + seconds),
    })
}

fn test(sets: &mut Sets, v6: bool, flags: &str) -> bool {
    let mut ask = Ask::plain(flags_of(flags));
    with_look(v6, 22, 0, |look| sets.test(0, look, &mut ask))
}

#[test]
fn packets_are_in_sets_of_the_rarer_types() {
    for (kind, element, flags, hit) in [
        ("hash:mac", "02:00:00:00:00:01", "s", true),
        ("hash:mac", "02:00:00:00:00:01", "d", false),
        ("hash:mac", "02:00:00:00:00:02", "d", true),
        ("hash:ip,mac", "1.2.3.4,02:00:00:00:00:01", "ss", true),
        ("hash:ip,mac", "1.2.3.4,02:00:00:00:00:02", "sd", true),
        ("hash:ip,mac", "1.2.3.4,02:00:00:00:00:02", "ss", false),
        ("hash:ip,mac", "1.2.3.4,02:00:00:00:00:01", "s", false),
        ("hash:ip,mark", "1.2.3.4,0x1234", "ss", true),
        ("hash:ip,mark", "1.2.3.4,0x34", "ss", false),
        ("hash:ip,mark markmask 0xff", "1.2.3.4,0xff34", "ss", true),
        ("hash:net,net", "1.0.0.0/8,5.6.0.0/16", "sd", true),
        ("hash:net,net", "1.0.0.0/8,5.6.0.0/16", "ds", false),
        (
            "hash:net,net bitmask 255.0.0.0",
            "1.9.9.9,5.0.0.0",
            "sd",
            true,
        ),
        ("hash:net,port,net", "1.0.0.0/8,22,5.6.0.0/16", "sdd", true),
        ("hash:net,port,net", "0.0.0.0/0,1000,0.0.0.0/0", "ssd", true),
        (
            "hash:net,port,net",
            "0.0.0.0/0,udp:22,0.0.0.0/0",
            "sdd",
            false,
        ),
        ("hash:net,iface", "0.0.0.0/0,wan wildcard", "sd", true),
        ("hash:net,iface", "0.0.0.0/0,wan", "sd", false),
        ("hash:net,iface", "1.2.3.4,physdev:lan0", "ss", false),
    ] {
        let mut sets = sets(&format!("create a {kind}\nadd a {element}\n"));
        assert_eq!(
            test(&mut sets, false, flags),
            hit,
            "{kind} {element} {flags}"
        );
    }
    for (kind, element, flags, hit) in [
        ("hash:net,net", "2001:db8::/32,2001:db8::2", "sd", true),
        ("hash:ip,mark", "2001:db8::1,0x1234", "ss", true),
        ("hash:net,port,net", "::/0,22,2001:db8::/64", "sdd", true),
        ("hash:ip,mac", "2001:db8::1,02:00:00:00:00:01", "ss", true),
    ] {
        let mut sets = sets(&format!("create a {kind} family inet6\nadd a {element}\n"));
        assert_eq!(
            test(&mut sets, true, flags),
            hit,
            "{kind} {element} {flags}"
        );
        assert!(!test(&mut sets, false, flags), "{kind} of the other family");
    }
}

/// The first network's longest prefix comes first, then the second's: whether it is an exception or not.
#[test]
fn of_two_networks_the_first_decides_before_the_second() {
    for (elements, hit) in [
        (["1.2.3.0/24,5.0.0.0/8 nomatch", "1.0.0.0/8,5.6.7.8"], false),
        (["1.2.3.0/24,5.0.0.0/8", "1.0.0.0/8,5.6.7.8 nomatch"], true),
        (
            ["1.2.3.0/24,5.0.0.0/8", "1.2.3.0/24,5.6.0.0/16 nomatch"],
            false,
        ),
    ] {
        let text = format!(
            "create a hash:net,net\nadd a {}\nadd a {}\n",
            elements[0], elements[1]
        );
        assert_eq!(test(&mut sets(&text), false, "sd"), hit, "{elements:?}");
        let mut ask = Ask {
            return_nomatch: true,
            ..Ask::plain(flags_of("sd"))
        };
        let found = with_look(false, 22, 0, |look| sets(&text).test(0, look, &mut ask));
        assert_eq!(found, !hit, "{elements:?}");
    }
}

#[test]
fn what_is_added_has_the_longest_prefixes_that_are_there() {
    for (text, flags, wanted) in [
        ("create a hash:net,net\n", "sd", "1.2.3.4,5.6.7.8"),
        (
            "create a hash:net,net\nadd a 9.0.0.0/8,9.9.0.0/16\nadd a 8.8.8.0/24,8.0.0.0/8\n",
            "sd",
            "1.2.3.0/24,5.6.0.0/16",
        ),
        (
            "create a hash:net,port,net\nadd a 9.0.0.0/8,7,0.0.0.0/0\n",
            "sdd",
            "1.0.0.0/8,tcp:22,0.0.0.0/0",
        ),
        ("create a hash:mac\n", "d", "02:00:00:00:00:02"),
        ("create a hash:ip,mac\n", "sd", "1.2.3.4,02:00:00:00:00:02"),
        (
            "create a hash:ip,mark markmask 0xf0\n",
            "ss",
            "1.2.3.4,0x00000030",
        ),
    ] {
        let mut sets = sets(text);
        let addition = Addition {
            exist: false,
            timeout: None,
        };
        let done = with_look(false, 22, 0, |look| {
            sets.add(0, look, flags_of(flags), addition)
        });
        assert_eq!(done, Changed::Yes, "{text}");
        let now = Timestamp::default() + Duration::from_secs(1000);
        let saved = ipset::print(&sets.contents(now));
        let line = format!("add a {wanted}\n");
        assert!(saved.contains(&line), "{text}: {saved}");
        assert!(test(&mut sets, false, flags), "{text}");
        let again = with_look(false, 22, 0, |look| {
            sets.add(0, look, flags_of(flags), addition)
        });
        assert_eq!(again, Changed::No, "{text}");
        let gone = with_look(false, 22, 0, |look| sets.delete(0, look, flags_of(flags)));
        assert_eq!(gone, Changed::Yes, "{text}");
        assert!(!ipset::print(&sets.contents(now)).contains(&line), "{text}");
    }
}

#[test]
fn a_full_set_that_may_gives_up_the_oldest() {
    let add = |sets: &mut Sets, port, seconds| {
        with_look(false, port, seconds, |look| {
            let addition = Addition {
                exist: false,
                timeout: None,
            };
            sets.add(0, look, flags_of("sd"), addition)
        })
    };
    let mut plain = sets("create a hash:ip,port maxelem 2 timeout 5\n");
    let got = [1, 2, 3, 1].map(|port| add(&mut plain, port, 0));
    assert_eq!(
        got,
        [Changed::Yes, Changed::Yes, Changed::Full, Changed::No]
    );
    // Behind their time the first two make room.
    assert_eq!(add(&mut plain, 3, 5), Changed::Full);
    assert_eq!(add(&mut plain, 3, 6), Changed::Yes);
    let mut forced = sets("create a hash:ip,port maxelem 2 forceadd\n");
    let got = [1, 2, 3, 1, 3].map(|port| add(&mut forced, port, 0));
    assert_eq!(
        got,
        [
            Changed::Yes,
            Changed::Yes,
            Changed::Yes,
            Changed::Yes,
            Changed::No
        ]
    );
}

#[test]
fn times_begin_with_the_first_packet_and_end_after_their_last_tick() {
    let mut sets = sets("create a hash:ip timeout 10\nadd a 1.2.3.4\nadd a 5.6.7.8 timeout 0\n");
    let mut at = |seconds, flags| {
        let mut ask = Ask::plain(flags_of(flags));
        with_look(false, 22, seconds, |look| sets.test(0, look, &mut ask))
    };
    for (seconds, hit) in [(0, true), (10, true), (11, false)] {
        assert_eq!(at(seconds, "s"), hit, "{seconds}");
    }
    assert!(at(1_000_000, "d"));
}

#[test]
fn the_mark_of_a_list_is_taken_before_that_of_its_member() {
    let text = "create a list:set skbinfo\ncreate b hash:ip skbinfo\n\
         add b 1.2.3.4 skbmark 0x1/0xf skbprio 1:2\nadd a b skbmark 0x2\n";
    let of = |text: &str| {
        let mut ask = Ask::plain(flags_of("s"));
        let hit = with_look(false, 22, 0, |look| sets(text).test(0, look, &mut ask));
        hit.then_some(ask.found)
    };
    let own = SkbInfo {
        mark: 2,
        mask: u32::MAX,
        ..SkbInfo::default()
    };
    assert_eq!(of(text), Some(own));
    let members = SkbInfo {
        mark: 1,
        mask: 0xf,
        priority: 0x1_0002,
        queue: 0,
    };
    let plain = text
        .replace("list:set skbinfo", "list:set")
        .replace(" skbmark 0x2\n", "\n");
    assert_eq!(of(&plain), Some(members));
}
