//! Threads at work on several engines that are one.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use palisade_conntrack::Config;
use palisade_rules::{Ruleset, parse};
use palisade_wire::build::{self, Ip, Tcp};
use palisade_wire::tcp::flags;

use super::*;
use crate::{Arrival, Host, Interface, Judged, Verdict};

const THREADS: usize = 4;

fn rules(text: &str) -> Option<Ruleset> {
    let parsed = parse::save_file(text, Family::V4);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    parsed.v4
}

fn shards(text: &str, count: usize, config: Config) -> Shards {
    let interface = |name: &str, address: [u8; 4], length| Interface {
        name: name.to_owned(),
        addresses: vec![address.into()],
        prefixes: vec![(address.into(), length)],
        mtu: None,
    };
    let lan = interface("lan0", [10, 0, 0, 1], 8);
    let wan = interface("wan0", [192, 0, 2, 1], 24);
    let setup = Setup {
        rules4: rules(text),
        host: Host::new([[10, 0, 0, 1], [192, 0, 2, 1]].map(Into::into), [lan, wan]),
        conntrack: config,
        ..Setup::default()
    };
    Shards::new(setup, count).expect("rules that run")
}

fn ip(source: &str, destination: &str) -> Ip {
    let address = |text: &str| text.parse().expect("an address");
    Ip::new(address(source), address(destination))
}

fn judged(shards: &Shards, home: usize, bytes: &mut [u8], now: u64) -> Judged {
    let mut arrival = Arrival::new(bytes, Port::default());
    shards.process_batch(
        home,
        std::slice::from_mut(&mut arrival),
        Timestamp::new(now, 0),
    );
    arrival.judged
}

fn syn(client: &str, port: u16, server: &str) -> Vec<u8> {
    let tcp = Tcp {
        source_port: port,
        destination_port: 80,
        seq: 1,
        flags: flags::SYN,
        window: 1000,
        ..Tcp::default()
    };
    build::tcp(&ip(client, server), &tcp, b"")
}

/// What a server says to the SYN that came to it.
fn answered(syn: &[u8]) -> Vec<u8> {
    let packet = Packet::parse(syn).expect("a packet");
    let ports = packet.transport();
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    let tcp = Tcp {
        source_port: port(2),
        destination_port: port(0),
        seq: 7,
        ack: 2,
        flags: flags::SYN | flags::ACK,
        window: 1000,
        ..Tcp::default()
    };
    build::tcp(&Ip::new(packet.destination(), packet.source()), &tcp, b"")
}

const FILTER: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [5:500]\n:OUTPUT ACCEPT [0:0]\n\
    [10:1000] -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
    -A FORWARD -i lan0 -m conntrack --ctstate NEW -j ACCEPT\nCOMMIT\n";

/// Packets of a rule, without those that it began with.
fn counted(shards: &Shards, rule: usize) -> u64 {
    let rules = shards.view().ruleset(Family::V4).expect("rules");
    let table = rules
        .tables
        .iter()
        .find(|t| t.kind == palisade_rules::TableKind::Filter);
    let chain = table
        .and_then(|t| t.chains.iter().find(|c| c.name == "FORWARD"))
        .expect("the chain");
    chain.rules[rule].counters.packets
}

/// Runs the same work in several threads at once.
fn at_once(work: impl Fn(usize) + Sync) {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(thread);
            });
        }
    });
}

#[test]
fn every_packet_is_judged_once_whoever_gets_it() {
    const FLOWS: u16 = 300;
    const ROUNDS: u64 = 5;
    let shards = shards(FILTER, 3, Config::default());
    let accepted = AtomicU64::new(0);
    // All threads have packets of the same flows, in batches with those of other shards.
    at_once(|thread| {
        for round in 0..ROUNDS {
            let mut packets: Vec<Vec<u8>> = (0..FLOWS)
                .map(|port| match (round + u64::from(port)) % 2 {
                    0 => build::udp(&ip("10.0.0.2", "192.0.2.9"), 1000 + port, 53, b"?"),
                    _ if round == 0 => {
                        build::udp(&ip("10.0.0.2", "192.0.2.9"), 1000 + port, 53, b"?")
                    }
                    _ => build::udp(&ip("192.0.2.9", "10.0.0.2"), 53, 1000 + port, b"!"),
                })
                .collect();
            let mut batch: Vec<Arrival<'_>> = packets
                .iter_mut()
                .map(|bytes| Arrival::new(bytes, Port::default()))
                .collect();
            shards.process_batch(thread % 3, &mut batch, Timestamp::new(1 + round, 0));
            let passed = batch.iter().filter(|a| a.judged.verdict == Verdict::Accept);
            accepted.fetch_add(passed.count() as u64, Ordering::Relaxed);
        }
    });
    let all = THREADS as u64 * ROUNDS * u64::from(FLOWS);
    // The first packets of all threads go the right way.
    assert_eq!(accepted.load(Ordering::Relaxed), all);
    assert_eq!(counted(&shards, 0) - 10 + counted(&shards, 1), all);
    assert_eq!(shards.len(), usize::from(FLOWS));
    let view = shards.view();
    let mut tuples: Vec<String> = view
        .connections()
        .map(|(_, c)| format!("{:?}", c.tuples()))
        .collect();
    let mut numbers: Vec<u64> = view.connections().map(|(_, c)| c.number()).collect();
    for (shard, connection) in view.connections() {
        let tuple = connection.tuples()[0];
        let bytes = build::udp(
            &Ip::new(tuple.source, tuple.destination),
            tuple.source_word(),
            tuple.destination_word(),
            b"",
        );
        assert_eq!(shards.shard_of(&bytes), shard);
    }
    assert_eq!(view.tables().filter(|t| !t.is_empty()).count(), 3);
    for list in [tuples.len(), numbers.len()] {
        assert_eq!(list, usize::from(FLOWS));
    }
    tuples.sort();
    tuples.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((tuples.len(), numbers.len()), (view.len(), view.len()));
}

#[test]
fn there_are_never_more_entries_than_the_bound() {
    const MOST: usize = 64;
    let config = Config {
        max: MOST as u64,
        ..Config::default()
    };
    let shards = shards(FILTER, 4, config);
    let accepted = AtomicU64::new(0);
    at_once(|thread| {
        for port in 0..400u16 {
            let mut bytes = syn(&format!("10.0.1.{}", thread + 2), 2000 + port, "192.0.2.9");
            let said = judged(&shards, thread, &mut bytes, 1);
            if said.verdict == Verdict::Accept {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            assert!(shards.len() <= MOST);
        }
    });
    let view = shards.view();
    let stats = view.stats();
    let accepted = accepted.load(Ordering::Relaxed);
    assert_eq!(stats.inserted, accepted);
    assert_eq!(stats.peak, MOST as u64);
    assert_eq!(view.len() as u64, accepted - stats.early_drop);
    assert_eq!(stats.table_full, THREADS as u64 * 400 - accepted);
}

const MASQUERADE: &str =
    "*nat\n-A POSTROUTING -o wan0 -p tcp -j SNAT --to-source 192.0.2.1:5000-5199\nCOMMIT\n";

#[test]
fn no_port_is_given_to_two_and_answers_find_home() {
    const CLIENTS: u16 = 45;
    let shards = shards(MASQUERADE, 4, Config::default());
    assert_eq!(shards.serial_because(), None);
    let found = AtomicU64::new(0);
    at_once(|thread| {
        // All clients have the same port: all but one of them need another.
        for client in 0..CLIENTS {
            let address = format!("10.1.{thread}.{}", client + 1);
            let mut bytes = syn(&address, 5000, "192.0.2.9");
            let said = judged(&shards, thread, &mut bytes, 1);
            assert_eq!(said.verdict, Verdict::Accept);
            // The answer comes to somebody else, at once.
            let mut answer = answered(&bytes);
            let said = judged(&shards, (thread + 1) % 4, &mut answer, 1);
            assert_eq!(said.verdict, Verdict::Accept);
            assert_eq!(said.state, Some(palisade_conntrack::State::Established));
            let to = Packet::parse(&answer).expect("a packet").destination();
            assert_eq!(to.to_string(), address);
            found.fetch_add(1, Ordering::Relaxed);
        }
    });
    let all = usize::from(CLIENTS) * THREADS;
    assert_eq!(found.load(Ordering::Relaxed), all as u64);
    let view = shards.view();
    let mut ports: Vec<u16> = view
        .connections()
        .map(|(_, c)| c.tuples()[1].destination_word())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), view.len()), (all, all));
    assert!(ports.iter().all(|p| (5000..5200).contains(p)), "{ports:?}");
    // About three of four are away from home.
    assert!(view.away() > all / 2, "{} of {all}", view.away());
    drop(view);
    // With them what was said of them goes.
    shards.expire(Timestamp::new(1_000_000, 0));
    assert_eq!((shards.len(), shards.view().away()), (0, 0));
}

#[test]
fn what_rules_remember_is_there_once() {
    let text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m quota --quota 2900 -j ACCEPT\nCOMMIT\n";
    let shards = shards(text, 3, Config::default());
    let accepted = AtomicU64::new(0);
    at_once(|thread| {
        for port in 0..60u16 {
            let mut bytes = build::udp(
                &ip(&format!("10.0.2.{}", thread + 2), "192.0.2.9"),
                3000 + port,
                53,
                b"?",
            );
            if judged(&shards, thread % 3, &mut bytes, 1).verdict == Verdict::Accept {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(accepted.load(Ordering::Relaxed), 2900 / 29);
    assert_eq!(counted(&shards, 0), 2900 / 29);
}

#[test]
fn rules_that_look_at_all_connections_want_one_shard() {
    let text = "*filter\n-A FORWARD -p tcp -m connlimit --connlimit-above 2 -j DROP\nCOMMIT\n";
    let alone = shards(text, 4, Config::default());
    assert_eq!(alone.count(), 1);
    assert!(
        alone
            .serial_because()
            .is_some_and(|w| w.contains("connlimit"))
    );
    assert_eq!(shards(FILTER, 4, Config::default()).count(), 4);
}

#[test]
fn pieces_of_a_packet_meet_and_it_finds_its_connection() {
    let shards = shards(FILTER, 4, Config::default());
    for port in 0..40u16 {
        let from = 4000 + port;
        let mut first = build::udp(&ip("10.0.0.2", "192.0.2.9"), from, 53, b"?");
        assert_eq!(judged(&shards, 0, &mut first, 1).verdict, Verdict::Accept);
        let whole = build::udp(&ip("192.0.2.9", "10.0.0.2"), 53, from, &[7; 64]);
        let mut verdicts = Vec::new();
        // The last piece first, so that ports are known with the last that comes.
        let (head, body) = whole.split_at(20);
        for (offset, more) in [(40, false), (0, true)] {
            let part = &body[offset..(offset + 40).min(body.len())];
            let mut piece = head.to_vec();
            let fragment = (offset as u16 / 8) | if more { 0x2000 } else { 0 };
            piece[2..4].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
            piece[4..6].copy_from_slice(&port.to_be_bytes());
            piece[6..8].copy_from_slice(&fragment.to_be_bytes());
            piece[10..12].fill(0);
            let sum = palisade_wire::checksum::of(&piece);
            piece[10..12].copy_from_slice(&sum.to_be_bytes());
            piece.extend_from_slice(part);
            let said = judged(&shards, usize::from(port) % 4, &mut piece, 1);
            verdicts.push((said.verdict, said.state));
        }
        let established = Some(palisade_conntrack::State::Established);
        assert_eq!(
            verdicts,
            [(Verdict::Stolen, None), (Verdict::Accept, established)]
        );
    }
    assert_eq!(shards.len(), 40);
}
