//! Rules at their edges, and rules that come later.

use palisade_rules::{Family, Hook, TableKind, Target, print, synth};
use palisade_wire::{build, proto};

use super::equal::{FOUR, engine, parsed};
use super::key::Interfaces;
use super::{Classifier, Fields, Finder};
use crate::{AppendError, Ended, Engine, Evaluator, Input, Reassembly, Route, Setup};
use crate::{SetupError, Verdict};

/// The rules that hold a header, by asking each of them.
fn holding<'a>(
    filters: &'a [synth::Filter],
    header: &'a synth::Header,
) -> impl Iterator<Item = u32> + 'a {
    (0..)
        .zip(filters)
        .filter_map(|(n, f)| f.contains(header).then_some(n))
}

fn fields(header: &synth::Header) -> Fields {
    Fields {
        source: header.source.into(),
        destination: header.destination.into(),
        protocol: header.protocol,
        source_port: header.source_port,
        destination_port: header.destination_port,
    }
}

#[test]
fn all_rules_that_hold_a_header_are_found_in_their_order() {
    for family in synth::Family::ALL {
        let filters = synth::filters(family, 1500, 11);
        let rules: Vec<_> = filters.iter().map(synth::Filter::rule).collect();
        let whole = Classifier::new(&rules, Family::V4);
        let mut grown = Finder::new(rules[..100].iter(), Family::V4, &mut Interfaces::default());
        for n in 100..rules.len() {
            grown.append(rules[..=n].iter(), Family::V4, &mut Interfaces::default());
        }
        let grown = Classifier::of(grown, rules.len());
        for header in synth::headers(&filters, 500, 11) {
            let expected: Vec<u32> = holding(&filters, &header).collect();
            for classifier in [&whole, &grown] {
                let mut found = Vec::new();
                let mut from = 0;
                while let Some(rule) = classifier.find(&fields(&header), from) {
                    found.push(rule);
                    from = rule + 1;
                }
                assert_eq!(found, expected, "{header:?}");
            }
        }
    }
}

/// The bound of the design: so many bytes a rule, whatever the rules are and however they came.
#[test]
fn structures_stay_small() {
    let mut sets: Vec<Vec<synth::Filter>> = vec![synth::addresses(4000)];
    sets.extend(synth::Family::ALL.map(|family| synth::filters(family, 4000, 2)));
    for filters in sets {
        let rules: Vec<_> = filters.iter().map(synth::Filter::rule).collect();
        let mut grown = Finder::new(rules[..7].iter(), Family::V4, &mut Interfaces::default());
        for n in 7..rules.len() {
            grown.append(rules[..=n].iter(), Family::V4, &mut Interfaces::default());
        }
        for shape in [Classifier::new(&rules, Family::V4).shape(), grown.shape()] {
            assert!(shape.bytes <= 200 * rules.len(), "{shape:?}");
        }
    }
}

/// `FORWARD` with rules of a kind, and the rule (from 1) that decides about a packet; 0: the policy.
fn decides(rules: &[String], bytes: &[u8], interface: &str) -> u32 {
    let mut text = String::from("*filter\n:FORWARD ACCEPT [0:0]\n");
    for rule in rules {
        text += &format!("-A FORWARD {rule}\n");
    }
    text += "COMMIT\n";
    let input = Input {
        route: Route::Forward(interface.into(), "out0".into()),
        ..Input::new(bytes)
    };
    let decided = [Evaluator::Compiled, Evaluator::Linear].map(|evaluator| {
        let mut engine = engine(&FOUR, &text, evaluator, Reassembly::Never);
        let outcome = engine.process(&input, &mut ());
        assert_eq!(outcome.visited, engine.visited() as u32);
        let rule = match &outcome.why.ended {
            Ended::Accepted(by) | Ended::Dropped(by) => by.rule,
            other => panic!("{other:?}"),
        };
        (rule, outcome.verdict, outcome.visited)
    });
    assert_eq!(decided[0], decided[1], "{text}");
    decided[0].0
}

fn udp(source: &str, destination: &str, from: u16, to: u16) -> Vec<u8> {
    let address = |text: &str| text.parse().expect("address");
    build::udp(
        &build::Ip::new(address(source), address(destination)),
        from,
        to,
        b"x",
    )
}

/// Rules that never match, so that the others are looked up.
fn fill(rules: &[&str]) -> Vec<String> {
    let filling = (0..20).map(|n| format!("-s 172.16.0.{n} -j DROP"));
    filling.chain(rules.iter().map(|r| r.to_string())).collect()
}

#[test]
fn rules_are_found_at_their_edges() {
    let rows: &[(&[&str], (&str, &str, u16, u16), u32)] = &[
        // Prefixes: the first and the last address, and those beside.
        (
            &["-s 10.1.2.0/23 -j DROP"],
            ("10.1.2.0", "10.9.9.9", 1, 1),
            21,
        ),
        (
            &["-s 10.1.2.0/23 -j DROP"],
            ("10.1.3.255", "10.9.9.9", 1, 1),
            21,
        ),
        (
            &["-s 10.1.2.0/23 -j DROP"],
            ("10.1.4.0", "10.9.9.9", 1, 1),
            0,
        ),
        (
            &["-s 10.1.2.0/23 -j DROP"],
            ("10.1.1.255", "10.9.9.9", 1, 1),
            0,
        ),
        // Holes in a mask.
        (
            &["-s 10.0.0.3/255.0.0.255 -j DROP"],
            ("10.7.7.3", "10.9.9.9", 1, 1),
            21,
        ),
        // Ports.
        (
            &["-p udp --dport 80:90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 80),
            21,
        ),
        (
            &["-p udp --dport 80:90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 90),
            21,
        ),
        (
            &["-p udp --dport 80:90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 91),
            0,
        ),
        (
            &["-p udp --dport 80:90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 79),
            0,
        ),
        (
            &["-p udp --sport 0 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 0, 1),
            21,
        ),
        (
            &["-p udp --sport 65535 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 65535, 1),
            21,
        ),
        // What lies between the ports of a list is no port of it.
        (
            &["-p udp -m multiport --dports 22,90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 53),
            0,
        ),
        (
            &["-p udp -m multiport --dports 22,90 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 90),
            21,
        ),
        (
            &["-p udp -m udp --dport 50:60 -m multiport --dports 22,53 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 53),
            21,
        ),
        (
            &["-m iprange --src-range 10.1.2.3-10.1.2.5 -j DROP"],
            ("10.1.2.5", "10.9.9.9", 1, 1),
            21,
        ),
        (
            &["-m iprange --src-range 10.1.2.3-10.1.2.5 -j DROP"],
            ("10.1.2.6", "10.9.9.9", 1, 1),
            0,
        ),
        // A rule that goes on, and the next one after it.
        (
            &["-s 10.1.2.3", "-s 10.1.2.3 -p udp", "-p udp -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 1),
            23,
        ),
        // Interfaces.
        (
            &["-i eth1 -j DROP", "-i eth0 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 1),
            22,
        ),
        (
            &["-i eth -j DROP", "-i eth+ -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 1),
            22,
        ),
        (
            &["-o out1 -j DROP", "-o out0 -j DROP"],
            ("10.1.2.3", "10.9.9.9", 1, 1),
            22,
        ),
    ];
    for (rules, (source, destination, from, to), expected) in rows {
        let bytes = udp(source, destination, *from, *to);
        assert_eq!(
            decides(&fill(rules), &bytes, "eth0"),
            *expected,
            "{rules:?}"
        );
    }
}

#[test]
fn headers_cut_short_meet_the_first_rule_that_looks_at_them() {
    let ip = build::Ip::new(
        "10.1.2.3".parse().expect("address"),
        "10.9.9.9".parse().expect("address"),
    );
    let short = build::raw(&ip, proto::TCP, &[0, 80]);
    // Port 80 is not looked for in what is not there: the packet is dropped at once.
    let rules = fill(&["-p tcp -m tcp --dport 22 -j ACCEPT", "-j ACCEPT"]);
    assert_eq!(decides(&rules, &short, "eth0"), 21);
    let rules = fill(&[
        "-s 10.7.7.7 -p tcp -m tcp --dport 22 -j ACCEPT",
        "-j ACCEPT",
    ]);
    assert_eq!(decides(&rules, &short, "eth0"), 22);
    // A later fragment whose offset is 8 could overwrite flags.
    let whole = build::tcp(&ip, &build::Tcp::default(), &[0; 40]);
    let piece = &build::fragments_at(&whole, &[8, 16], 1)[1];
    let rules = fill(&["-p tcp -m tcp --dport 22 -j ACCEPT", "-j ACCEPT"]);
    assert_eq!(decides(&rules, piece, "eth0"), 21);
}

#[test]
fn more_interfaces_than_have_numbers() {
    let mut rules: Vec<String> = (0..5000).map(|n| format!("-i i{n} -j DROP")).collect();
    rules.push("-j DROP".to_string());
    let bytes = udp("10.1.2.3", "10.9.9.9", 1, 1);
    for (interface, expected) in [
        ("i0", 1),
        ("i4094", 4095),
        ("i4095", 4096),
        ("i4999", 5000),
        ("j", 5001),
    ] {
        assert_eq!(decides(&rules, &bytes, interface), expected);
    }
}

#[test]
fn what_cannot_be_appended_leaves_everything_as_it_was() {
    let text = "*filter\n:FORWARD ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A FORWARD -j A\n-A A -j B\nCOMMIT\n";
    let mut engine = engine(&FOUR, text, Evaluator::Compiled, Reassembly::Auto);
    let rule = |tests: &str, target: Target| {
        let text = format!("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD {tests} -j DROP\nCOMMIT\n");
        let mut rule = parsed(&FOUR, &text).tables[0].chains[1].rules[0].clone();
        rule.target = target;
        rule
    };
    let chain = |name| {
        let table = parsed(&FOUR, text).tables.remove(0);
        table
            .chains
            .iter()
            .position(|c| c.name == name)
            .expect("chain")
    };
    let before = engine.ruleset(Family::V4);
    let mut append = |chain: &str, rule| engine.append(Family::V4, TableKind::Filter, chain, rule);
    let circle = append("B", rule("", Target::Jump(chain("A"))));
    assert!(
        matches!(circle, Err(AppendError::Setup(SetupError::Loop { .. }))),
        "{circle:?}"
    );
    let itself = append("B", rule("", Target::Goto(chain("B"))));
    assert!(
        matches!(itself, Err(AppendError::Setup(SetupError::Loop { .. }))),
        "{itself:?}"
    );
    let nowhere = append("B", rule("", Target::Jump(77)));
    assert!(
        matches!(
            nowhere,
            Err(AppendError::Setup(SetupError::Dangling { .. }))
        ),
        "{nowhere:?}"
    );
    let label = append("B", rule("-m connlabel --label unheard-of", Target::Accept));
    assert!(
        matches!(label, Err(AppendError::Setup(SetupError::Label { .. }))),
        "{label:?}"
    );
    let traffic = "-m connbytes --connbytes 1: --connbytes-dir both --connbytes-mode bytes";
    assert_eq!(
        append("B", rule(traffic, Target::Accept)),
        Err(AppendError::NothingCounted)
    );
    let unknown = append("C", rule("", Target::Accept));
    assert!(
        matches!(unknown, Err(AppendError::NoChain { .. })),
        "{unknown:?}"
    );
    assert_eq!(engine.ruleset(Family::V4), before);
}

#[test]
fn an_engine_without_rules_takes_its_first_one() {
    let filters = synth::addresses(1);
    let mut engine = Engine::new(Setup::default()).expect("an engine");
    let bytes = udp(&filters[0].source.address.to_string(), "10.9.9.9", 1, 1);
    let input = Input {
        route: Route::Forward("eth0".into(), "eth1".into()),
        ..Input::new(&bytes)
    };
    assert_eq!(engine.process(&input, &mut ()).verdict, Verdict::Accept);
    let chain = Hook::Forward.name();
    let rule = filters[0].rule();
    engine
        .append(Family::V4, TableKind::Filter, chain, rule)
        .expect("a rule");
    assert_eq!(engine.process(&input, &mut ()).verdict, Verdict::Drop);
    let rules = engine.ruleset(Family::V4).expect("rules");
    assert!(print::save(&rules, true).contains("[1:29] -A FORWARD -s 10."));
}
