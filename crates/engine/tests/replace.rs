//! Other rules, another host and another clock while the engine runs.

use palisade_conntrack::State;
use palisade_engine::rules::{Family, Ruleset, parse, print};
use palisade_engine::{
    Arrival, Counting, Engine, Exchange, Host, Input, Interface, Judged, Memory, Replaced,
    Replacement, Setup, SetupError, Verdict,
};
use palisade_wire::{Packet, Timestamp, build};

fn rules(text: &str) -> Ruleset {
    let rules = parse::auto(text, Family::V4);
    assert!(rules.diagnostics.is_empty(), "{:?}", rules.diagnostics);
    rules.v4.unwrap_or_else(|| Ruleset::new(Family::V4))
}

fn host() -> Host {
    let side = |name: &str, own: &str, net: &str, length| Interface {
        name: name.into(),
        addresses: vec![own.parse().unwrap()],
        prefixes: vec![(net.parse().unwrap(), length)],
        ..Interface::default()
    };
    Host::new(
        [],
        [
            side("lan0", "10.0.0.1", "10.0.0.0", 24),
            side("wan0", "192.0.2.1", "0.0.0.0", 0),
        ],
    )
}

fn engine(text: &str) -> Engine {
    Engine::new(Setup {
        rules4: Some(rules(text)),
        host: host(),
        ..Setup::default()
    })
    .unwrap()
}

fn by(text: &str) -> Replacement {
    Replacement {
        rules4: Exchange::For(Some(rules(text))),
        ..Replacement::default()
    }
}

fn udp(from: (&str, u16), to: (&str, u16)) -> Vec<u8> {
    let ip = build::Ip::new(from.0.parse().unwrap(), to.0.parse().unwrap());
    build::udp(&ip, from.1, to.1, b"data")
}

const CLIENT: (&str, u16) = ("10.0.0.2", 4000);
const SERVER: (&str, u16) = ("203.0.113.9", 53);

fn batch(engine: &mut Engine, mut bytes: Vec<u8>, now: u64) -> (Judged, Vec<u8>) {
    let mut arrivals = [Arrival::new(&mut bytes, Default::default())];
    engine.process_batch(&mut arrivals, Timestamp::new(now, 0));
    let [arrival] = arrivals;
    (arrival.judged, bytes)
}

fn passes(engine: &mut Engine, from: (&str, u16), to: (&str, u16), now: u64) -> bool {
    batch(engine, udp(from, to), now).0.verdict == Verdict::Accept
}

/// Opens a flow and has its way remembered.
fn talk(engine: &mut Engine) {
    for now in 0..4 {
        assert!(passes(engine, CLIENT, SERVER, now));
        assert!(passes(engine, SERVER, CLIENT, now));
    }
}

fn saved(engine: &Engine) -> String {
    print::save(&engine.ruleset(Family::V4).unwrap(), true)
}

#[test]
fn connections_stay_and_their_next_packet_meets_the_new_rules() {
    for (new, passing) in [
        (
            "-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
            true,
        ),
        (
            "-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate NEW -j ACCEPT",
            false,
        ),
        ("-P FORWARD DROP", false),
        ("-t mangle -A PREROUTING -s 10.0.0.2 -j DROP", false),
    ] {
        let mut engine = engine("-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT");
        talk(&mut engine);
        engine.replace(by(new)).unwrap();
        for now in 5..9 {
            let (judged, _) = batch(&mut engine, udp(CLIENT, SERVER), now);
            assert_eq!(judged.verdict == Verdict::Accept, passing, "{new}");
            assert_eq!(
                judged.state,
                passing.then_some(State::Established).or(judged.state)
            );
        }
        assert_eq!(engine.conntrack().len(), 1);
    }
}

#[test]
fn counters_stay_with_rules_that_are_the_same_ones() {
    let old = "-P INPUT DROP\n-A FORWARD -p udp\n-A FORWARD -p udp\n-A FORWARD -p tcp\n-N x\n\
               -A x -p udp\n-A FORWARD -j x";
    let mut engine = engine(old);
    talk(&mut engine);
    // Another order, one more of the same text, another place of the user chain, one less.
    let new = "-P INPUT DROP\n-N y\n-N x\n-A x -p udp\n-A FORWARD -s 10.0.0.0/24\n-A FORWARD -j x\n\
               -A FORWARD -p udp\n-A FORWARD -p udp\n-A FORWARD -p udp";
    let replaced = engine.replace(by(new)).unwrap();
    let wanted = Replaced {
        kept: 4,
        added: 2,
        removed: 1,
    };
    assert_eq!(replaced, wanted);
    let expected = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [8:256]\n:OUTPUT ACCEPT [0:0]\n\
                    :x - [0:0]\n:y - [0:0]\n[0:0] -A FORWARD -s 10.0.0.0/24\n\
                    [8:256] -A FORWARD -j x\n[8:256] -A FORWARD -p udp\n[8:256] -A FORWARD -p udp\n\
                    [0:0] -A FORWARD -p udp\n[8:256] -A x -p udp\nCOMMIT\n";
    assert_eq!(saved(&engine), expected);
    // Further packets move them on.
    assert!(passes(&mut engine, CLIENT, SERVER, 9));
    assert!(saved(&engine).contains("[9:288] -A FORWARD -j x"));
    // As they are given: zeroed, for one.
    let mut zeroed = engine.ruleset(Family::V4).unwrap();
    for chain in zeroed.tables.iter_mut().flat_map(|t| &mut t.chains) {
        chain.counters = Default::default();
        for rule in &mut chain.rules {
            rule.counters = Default::default();
        }
    }
    let zero = Replacement {
        rules4: Exchange::For(Some(zeroed.clone())),
        counting: Counting::Given,
        ..Replacement::default()
    };
    engine.replace(zero).unwrap();
    assert_eq!(engine.ruleset(Family::V4).unwrap(), zeroed);
}

#[test]
fn the_other_family_is_as_it_was() {
    let six = parse::auto(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A FORWARD -m limit --limit 1/hour --limit-burst 2 -j ACCEPT\nCOMMIT\n",
        Family::V6,
    );
    let mut engine = Engine::new(Setup {
        rules4: Some(rules("-A FORWARD -p udp")),
        rules6: six.v6,
        ..Setup::default()
    })
    .unwrap();
    let packet = || udp(("2001:db8::1", 1), ("2001:db8::2", 2));
    let judged = batch(&mut engine, packet(), 0).0;
    assert_eq!(judged.verdict, Verdict::Accept);
    for n in 0..3 {
        let mut by = by("-A FORWARD -p udp -j ACCEPT");
        by.memory = Memory::Fresh;
        engine.replace(by).unwrap();
        let passes = batch(&mut engine, packet(), n).0.verdict == Verdict::Accept;
        assert_eq!(passes, n == 0);
    }
    let six = engine.ruleset(Family::V6).unwrap();
    assert_eq!(six.tables[0].chains[1].rules[0].counters.packets, 2);
    assert_eq!(six.tables[0].chains[1].counters.packets, 2);
    engine
        .replace(Replacement {
            rules4: Exchange::For(None),
            ..Replacement::default()
        })
        .unwrap();
    assert_eq!(engine.ruleset(Family::V4), None);
    assert_eq!(engine.ruleset(Family::V6).unwrap(), six);
}

#[test]
fn what_rules_remember_by_a_name_stays_with_the_name() {
    let list = |hits: &str| {
        format!(
            "-P FORWARD DROP\n-A FORWARD -m recent --name a --rcheck {hits} -j ACCEPT\n\
             -A FORWARD -p udp --dport 7 -m recent --name a --set"
        )
    };
    let knock = (SERVER.0, 7);
    for (between, passing) in [
        (vec![list("")], true),
        (vec![list("--seconds 100 --hitcount 1")], true),
        // More moments than before: the list is emptied.
        (vec![list("--hitcount 60")], false),
        (vec![list("--hitcount 60"), list("")], false),
        // Nobody named it for a while.
        (vec!["-P FORWARD DROP".into(), list("")], false),
    ] {
        let mut engine = engine(&list(""));
        assert!(!passes(&mut engine, CLIENT, SERVER, 0));
        passes(&mut engine, CLIENT, knock, 1);
        assert!(passes(&mut engine, CLIENT, SERVER, 1));
        for text in &between {
            let mut by = by(text);
            by.memory = Memory::Fresh;
            engine.replace(by).unwrap();
        }
        assert_eq!(
            passes(&mut engine, CLIENT, SERVER, 2),
            passing,
            "{between:?}"
        );
    }
}

#[test]
fn what_a_rule_remembers_for_itself_stays_or_begins_anew() {
    for (rule, fresh, kept) in [
        ("-m limit --limit 1/day --limit-burst 3", true, false),
        ("-m quota --quota 96", true, false),
        (
            "-m statistic --mode nth --every 1000 --packet 2",
            false,
            false,
        ),
        (
            "-m hashlimit --hashlimit-upto 1/day --hashlimit-burst 3 --hashlimit-mode dstip --hashlimit-name h",
            false,
            false,
        ),
    ] {
        let text = format!("-P FORWARD DROP\n-A FORWARD {rule} -j ACCEPT");
        for (memory, passing) in [(Memory::Fresh, fresh), (Memory::Kept, kept)] {
            let mut engine = engine(&text);
            for now in 0..3 {
                passes(&mut engine, CLIENT, SERVER, now);
            }
            let mut by = by(&format!("{text}\n-A FORWARD -p icmp"));
            by.memory = memory;
            engine.replace(by).unwrap();
            assert_eq!(
                passes(&mut engine, CLIENT, SERVER, 3),
                passing,
                "{rule} {memory:?}"
            );
        }
    }
    let text = "-P FORWARD DROP\n-A FORWARD -p udp -m connlimit --connlimit-upto 2 -j ACCEPT";
    let mut engine = engine(text);
    for port in 1..=3 {
        assert_eq!(passes(&mut engine, (CLIENT.0, port), SERVER, 0), port < 3);
        engine.replace(by(text)).unwrap();
    }
}

#[test]
fn an_error_changes_nothing() {
    let text =
        "-P FORWARD DROP\n-A FORWARD -p udp -m limit --limit 1/day --limit-burst 3 -j ACCEPT";
    let mut engine = engine(text);
    for now in 0..2 {
        assert!(passes(&mut engine, CLIENT, SERVER, now));
    }
    let before = (saved(&engine), format!("{:#?}", engine.remembered()));
    let mut bad = rules("-N a\n-N b\n-A a -j b\n-A b -j ACCEPT");
    let place = bad.tables[0]
        .chains
        .iter()
        .position(|c| c.name == "a")
        .unwrap();
    bad.tables[0].chains[place + 1].rules[0].target = palisade_engine::rules::Target::Jump(place);
    let refused = engine.replace(Replacement {
        rules4: Exchange::For(Some(bad)),
        ..Replacement::default()
    });
    assert!(
        matches!(refused, Err(SetupError::Loop { .. })),
        "{refused:?}"
    );
    let refused = engine.replace(Replacement {
        rules6: Exchange::For(Some(rules(text))),
        ..Replacement::default()
    });
    assert!(matches!(refused, Err(SetupError::Family { .. })));
    assert_eq!(
        (saved(&engine), format!("{:#?}", engine.remembered())),
        before
    );
    assert!(passes(&mut engine, CLIENT, SERVER, 2));
}

#[test]
fn what_was_translated_stays_so_whatever_rules_come() {
    let mut engine = engine("-t nat -A POSTROUTING -o wan0 -p udp -j SNAT --to 192.0.2.1:7000");
    let source = |bytes: &[u8]| Packet::parse(bytes).unwrap().source().to_string();
    let (_, bytes) = batch(&mut engine, udp(CLIENT, SERVER), 0);
    assert_eq!(source(&bytes), "192.0.2.1");
    for text in [
        "-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
        "-A FORWARD -m state --state NEW",
    ] {
        engine.replace(by(text)).unwrap();
        let (_, bytes) = batch(&mut engine, udp(CLIENT, SERVER), 1);
        assert_eq!(source(&bytes), "192.0.2.1");
        let (judged, bytes) = batch(&mut engine, udp(SERVER, ("192.0.2.1", 7000)), 1);
        assert_eq!(judged.verdict, Verdict::Accept);
        assert_eq!(bytes[16..20], [10, 0, 0, 2]);
        // A new one is not.
        let (_, bytes) = batch(&mut engine, udp((CLIENT.0, 1), SERVER), 1);
        assert_eq!(source(&bytes), CLIENT.0);
    }
}

#[test]
fn traffic_is_counted_from_when_a_rule_asks_for_it() {
    let mut engine = engine("-A FORWARD -m state --state NEW");
    talk(&mut engine);
    engine
        .replace(by("-A FORWARD -m connbytes --connbytes 3: --connbytes-dir both --connbytes-mode packets -j DROP"))
        .unwrap();
    let seen: Vec<bool> = (5..10)
        .map(|now| passes(&mut engine, CLIENT, SERVER, now))
        .collect();
    assert_eq!(seen, [true, true, false, false, false]);
}

#[test]
fn masqueraded_connections_end_with_their_address() {
    let text =
        "-t nat -A POSTROUTING -o wan0 -j MASQUERADE\n-t nat -A POSTROUTING -o lan0 -j MASQUERADE";
    for (gone, ended) in [
        (None, 0),
        (Some("other"), 0),
        (Some("address"), 1),
        (Some("wan0"), 1),
        (Some("lan0"), 0),
    ] {
        let mut engine = engine(text);
        assert!(passes(&mut engine, CLIENT, SERVER, 0));
        let mut host = host();
        host.interfaces[1]
            .addresses
            .push("192.0.2.7".parse().unwrap());
        match gone {
            Some("address") => drop(host.interfaces[1].addresses.remove(0)),
            Some("other") => {
                engine.set_host(host.clone());
                host.interfaces[1].addresses.remove(1);
            }
            Some(name) => host.interfaces.retain(|i| i.name != name),
            None => {}
        }
        assert_eq!(engine.set_host(host), ended, "{gone:?}");
        assert_eq!(engine.conntrack().len(), 1 - ended);
    }
}

#[test]
fn ways_through_a_host_that_changed_are_not_taken() {
    let mut engine = engine(
        "-A FORWARD -m state --state NEW,ESTABLISHED -o wan0 -j ACCEPT\n-P FORWARD DROP\n-A FORWARD -i wan0 -j ACCEPT",
    );
    talk(&mut engine);
    let mut host = host();
    host.interfaces[1].name = "wan1".into();
    engine.set_host(host);
    assert!(!passes(&mut engine, CLIENT, SERVER, 9));
}

#[test]
fn time_is_the_walls() {
    let mut engine = engine("-P FORWARD DROP\n-A FORWARD -m time --datestart 2026-01-01 -j ACCEPT");
    let packet = udp(CLIENT, SERVER);
    let judge = |engine: &mut Engine| {
        let input = Input {
            time: Timestamp::new(1_000_000, 0),
            ..Input::new(&packet)
        };
        engine.process(&input, &mut ()).verdict
    };
    assert_eq!(judge(&mut engine), Verdict::Drop);
    engine.set_wall_ahead(1_800_000_000 * 1_000_000_000);
    assert_eq!(judge(&mut engine), Verdict::Accept);
    engine.set_wall_ahead(-2_000_000_000_000_000);
    assert_eq!(judge(&mut engine), Verdict::Drop);
}
