//! Rules that are changed while packets are judged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use palisade_engine::{Bridge, Port, Route, Verdict};
use palisade_wire::build;
use palisade_wire::tcp::flags;

use super::super::message::{
    Cut, Differences, Findings, Flow, Reloaded, Restoring, RulesText, Safety, Session, Term,
};
use super::*;
use crate::Batch;

const PEER: &str = "203.0.113.9";
const HERE: &str = "192.0.2.1";

/// A gate with one way in.
struct Host {
    gate: Arc<Gate>,
    port: Port,
}

impl Host {
    fn new(rules: &str) -> Self {
        let gate = gate(rules);
        let port = gate.port(Route::Auto, Bridge::default());
        Host { gate, port }
    }

    fn judge(&self, packets: &[Vec<u8>]) -> Vec<Verdict> {
        let mut batch = Batch::new();
        for packet in packets {
            let frame = batch.add().expect("room");
            frame.bytes.extend_from_slice(packet);
            frame.port = self.port;
        }
        self.gate.judge(&mut batch);
        batch.frames().iter().map(|f| f.judged.verdict).collect()
    }

    fn passes(&self, packet: Vec<u8>) -> bool {
        self.judge(&[packet]) == [Verdict::Accept]
    }

    /// Opens a connection from the peer to a port here.
    fn open(&self, from: u16, to: u16) {
        let opening = [
            segment(from, to, false, flags::SYN, 1000, 0),
            segment(from, to, true, flags::SYN | flags::ACK, 5000, 1001),
            segment(from, to, false, flags::ACK, 1001, 5001),
        ];
        let verdicts = self.judge(&opening);
        assert_eq!(verdicts, [Verdict::Accept; 3], "{from} -> {to}");
    }

    /// Whether the peer's next packet passes.
    fn goes_on(&self, from: u16, to: u16) -> bool {
        self.passes(segment(from, to, false, flags::ACK, 1001, 5001))
    }
}

/// A segment between the peer's port and one here; `back`: from here.
fn segment(from: u16, to: u16, back: bool, flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let (mut ends, mut ports) = ([PEER, HERE], [from, to]);
    if back {
        ends.reverse();
        ports.reverse();
    }
    let [source, destination] = ends.map(|end| end.parse().expect("an address"));
    let header = build::Tcp {
        source_port: ports[0],
        destination_port: ports[1],
        seq,
        ack,
        flags,
        window: 1024,
        ..build::Tcp::default()
    };
    build::tcp(&build::Ip::new(source, destination), &header, b"")
}

fn syn(from: u16, to: u16) -> Vec<u8> {
    segment(from, to, false, flags::SYN, 1000, 0)
}

/// A command of iptables: what it printed, what was said or found, and how it ended.
fn iptables(running: &Running, line: &str, safety: &Safety) -> (String, Vec<String>, Ended) {
    let request = Request::Tables {
        family: Ip::V4,
        language: Language::Legacy,
        words: line.split_ascii_whitespace().map(String::from).collect(),
        safety: safety.clone(),
    };
    parts(running.ask(&request))
}

fn parts((parts, ended): (Vec<Answer>, Ended)) -> (String, Vec<String>, Ended) {
    let (mut output, mut said) = (String::new(), Vec::new());
    for part in parts {
        match part {
            Answer::Text(text) => output.push_str(&text),
            Answer::Said(text) => said.push(text),
            Answer::Findings(Findings { found, .. }) => {
                said.extend(found.into_iter().filter_map(|f| f.said));
            }
            _ => {}
        }
    }
    (output, said, ended)
}

fn done(running: &Running, line: &str) -> String {
    let (output, said, ended) = iptables(running, line, &Safety::default());
    assert_eq!(ended, Ended::Yes, "{line}: {said:?}");
    output
}

fn reload(rules: &str) -> Request {
    Request::Reload {
        texts: vec![RulesText {
            name: "new".into(),
            family: Ip::V4,
            text: rules.into(),
        }],
        language: Language::Legacy,
        preview: false,
        cut: Cut::Keep,
        confirm_seconds: None,
        safety: Safety::default(),
    }
}

/// A reload with something else in it.
fn reload_with(rules: &str, change: impl FnOnce(&mut Change<'_>)) -> Request {
    let mut request = reload(rules);
    if let Request::Reload {
        preview,
        cut,
        confirm_seconds,
        safety,
        ..
    } = &mut request
    {
        change(&mut Change {
            preview,
            cut,
            confirm_seconds,
            safety,
        });
    }
    request
}

struct Change<'a> {
    preview: &'a mut bool,
    cut: &'a mut Cut,
    confirm_seconds: &'a mut Option<u32>,
    safety: &'a mut Safety,
}

fn reloaded(running: &Running, request: &Request) -> (Reloaded, Vec<Flow>) {
    let (parts, ended) = running.ask(request);
    assert_eq!(ended, Ended::Yes, "{parts:?}");
    let mut flows = Vec::new();
    for part in parts {
        match part {
            Answer::Flow(flow) => flows.push(*flow),
            Answer::Reloaded(reloaded) => return (reloaded, flows),
            other => panic!("{other:?}"),
        }
    }
    panic!("nothing was told of the reload");
}

#[test]
fn commands_change_what_runs_and_counters_come_from_there() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    assert!(!host.passes(syn(1, 80)));
    done(&running, "-w 5 -A INPUT -p tcp --dport 80 -j ACCEPT");
    assert!(host.passes(syn(2, 80)));
    assert!(host.passes(syn(3, 22)));
    let listed = done(&running, "-L INPUT -n -v -x --line-numbers");
    let counters = |n: usize| -> String {
        let line = listed.lines().nth(n + 1).expect("a rule");
        line.split_ascii_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        [counters(1), counters(2), counters(3)],
        ["1 0 0", "2 1 40", "3 1 40"]
    );
    assert!(
        listed.starts_with("Chain INPUT (policy DROP 1 packets, 40 bytes)"),
        "{listed}"
    );
    // Of one rule; of a chain, with what was there before.
    done(&running, "-Z INPUT 2");
    let zeroed = done(&running, "-L INPUT -n -v -x -Z");
    assert!(zeroed.contains("       1       40 ACCEPT     6    --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:80"), "{zeroed}");
    let after = done(&running, "-S INPUT -v");
    assert!(!after.contains(" 1 40"), "{after}");
    done(&running, "-D INPUT 3");
    assert!(!host.passes(syn(4, 80)));
    // Refused as the real program refuses, and nothing changed.
    let generation = running.control.generation();
    for (line, said) in [
        ("-D INPUT 9", "iptables: Index of deletion too big."),
        (
            "-A nowhere -j DROP",
            "iptables: No chain/target/match by that name.",
        ),
        (
            "-A INPUT -m set --match-set nothing src -j DROP",
            "Set nothing doesn't exist.\n",
        ),
        (
            "-C INPUT -j DROP",
            "iptables: Bad rule (does a matching rule exist in that chain?).",
        ),
    ] {
        let (_, told, ended) = iptables(&running, line, &Safety::default());
        assert_eq!(ended, Ended::No, "{line}");
        assert_eq!(
            told.first().map(|t| t.trim_end()),
            Some(said.trim_end()),
            "{line}"
        );
    }
    assert_eq!(running.control.generation(), generation);
}

#[test]
fn what_a_restore_leaves_is_what_the_real_program_leaves() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    let restore = |text: &str, how: Restoring| {
        parts(running.ask(&Request::Restore {
            family: Ip::V4,
            language: Language::Legacy,
            text: text.into(),
            how,
            safety: Safety::default(),
        }))
    };
    let mangle = "*mangle\n[7:700] -A PREROUTING -j MARK --set-mark 1\nCOMMIT\n";
    let broken = format!(
        "{mangle}*filter\n-A INPUT -j nowhere\nCOMMIT\n*nat\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
    );
    let test = Restoring {
        test: true,
        ..Restoring::default()
    };
    assert_eq!(restore(mangle, test).2, Ended::Yes);
    assert!(!done(&running, "-t mangle -S").contains("MARK"));
    // The table that was committed before the error is in force, what came later is not; the rest is as it was.
    let (_, said, ended) = restore(&broken, Restoring::default());
    assert_eq!(ended, Ended::No);
    assert!(!said.is_empty());
    assert!(done(&running, "-t mangle -S PREROUTING -v").contains("MARK"));
    assert!(!done(&running, "-t nat -S").contains("MASQUERADE"));
    assert!(done(&running, "-S").contains("--dport 22"));
    // Counters only where they are asked for.
    assert!(host.passes(syn(1, 22)));
    let counters = Restoring {
        counters: true,
        ..Restoring::default()
    };
    assert_eq!(restore(mangle, counters).2, Ended::Yes);
    let marked = done(&running, "-t mangle -S PREROUTING -v");
    assert!(marked.contains("-c 7 700"), "{marked}");
    assert!(
        done(&running, "-S INPUT -v").contains("-c 1 40"),
        "the other tables count on"
    );
    let more = "*filter\n-A INPUT -p udp --dport 53 -j ACCEPT\nCOMMIT\n";
    let noflush = Restoring {
        noflush: true,
        ..Restoring::default()
    };
    assert_eq!(restore(more, noflush).2, Ended::Yes);
    let rules = done(&running, "-S INPUT");
    assert!(
        rules.contains("--dport 22") && rules.contains("--dport 53"),
        "{rules}"
    );
    let one = Restoring {
        table: Some("mangle".into()),
        ..Restoring::default()
    };
    assert_eq!(
        restore("*filter\nCOMMIT\n*mangle\nCOMMIT\n", one).2,
        Ended::Yes
    );
    assert!(done(&running, "-S INPUT").contains("--dport 22"));
    assert!(!done(&running, "-t mangle -S").contains("MARK"));
}

/// Two that append at once both find their rules there, and no packet between is missed by a counter.
#[test]
fn appends_at_once_all_win_and_every_packet_is_counted() {
    const EACH: u16 = 20;
    let host = Host::new("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n");
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    let (over, judged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = 0;
            while !over.load(Ordering::Acquire) {
                from += 1;
                assert!(host.passes(syn(from, 80)));
                judged.fetch_add(1, Ordering::Relaxed);
            }
        });
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let running = &running;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let port = 1000 * (writer + 1) + n;
                        done(running, &format!("-A OUTPUT -p udp --dport {port} -j DROP"));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("it ends");
        }
        over.store(true, Ordering::Release);
    });
    let rules = done(&running, "-S OUTPUT");
    assert_eq!(rules.matches("-j DROP").count(), 3 * usize::from(EACH));
    let counted = done(&running, "-S INPUT -v");
    let all = judged.load(Ordering::Relaxed);
    assert!(all > 0);
    assert!(
        counted.contains(&format!("-c {all} {}", all * 40)),
        "{all} packets: {counted}"
    );
}

#[test]
fn a_reload_keeps_connections_and_the_counters_of_rules_that_stay() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    host.open(1, 22);
    let new = RULES.replace("--dport 22", "--dport 443");
    let (told, _) = reloaded(&running, &reload(&new));
    assert_eq!((told.kept, told.added, told.removed), (1, 1, 1));
    assert!(host.goes_on(1, 22));
    assert!(!host.passes(syn(2, 22)));
    let counted = done(&running, "-S INPUT -v");
    assert!(
        counted.contains("--ctstate ESTABLISHED -c 2 80"),
        "{counted}"
    );
    assert!(counted.contains("--dport 443 -c 0 0"), "{counted}");
    // Errors are told with their places, and nothing changes.
    let (parts, ended) = running.ask(&reload(
        "*filter\n-A INPUT -p tcp --dportx 22 -j ACCEPT\nCOMMIT\n",
    ));
    assert_eq!(ended, Ended::BadInput);
    let [Answer::Findings(findings)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!((findings.name.as_str(), findings.found[0].line), ("new", 2));
    let (parts, ended) = running.ask(&reload("*filter\n-N a\n-A a -j a\nCOMMIT\n"));
    assert_ne!(ended, Ended::Yes, "{parts:?}");
    assert!(done(&running, "-S INPUT").contains("--dport 443"));
}

#[test]
fn a_preview_changes_nothing_and_cuts_end_what_the_new_rules_stop() {
    let open = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    let host = Host::new(open);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    for port in [22, 80, 443] {
        host.open(1, port);
    }
    let new = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n\
               -A INPUT -p tcp --dport 443 -m comment --comment later -j DROP\nCOMMIT\n";
    let (parts, ended) = running.ask(&reload_with(new, |c| *c.preview = true));
    assert_eq!(ended, Ended::No);
    let mut seen: Vec<String> = parts
        .iter()
        .map(|part| match part {
            Answer::Flow(f) => format!(
                "{} {} {} {}: {} by {} -> {} by {} {}",
                f.protocol,
                f.from,
                f.to,
                f.direction,
                f.old.verdict,
                f.old.by,
                f.new.verdict,
                f.new.by,
                f.new.rule
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "tcp 203.0.113.9:1 192.0.2.1:443 original: ACCEPT by the policy of filter INPUT -> DROP by filter INPUT rule 2 \
             -A INPUT -p tcp -m tcp --dport 443 -m comment --comment later -j DROP",
            "tcp 203.0.113.9:1 192.0.2.1:80 original: ACCEPT by the policy of filter INPUT -> DROP by the policy of filter INPUT ",
        ]
    );
    assert!([22, 80, 443].iter().all(|port| host.goes_on(1, *port)));

    let matching = reload_with(new, |c| {
        *c.cut = Cut::Matching(vec![Term::Port(443), Term::Protocol("tcp".into())])
    });
    let (told, flows) = reloaded(&running, &matching);
    assert_eq!((told.cut, flows.len()), (1, 1));
    assert!(flows[0].cut && flows[0].to.ends_with(":443"));
    let table = || host.gate.with(|engine, _| engine.conntrack().len());
    assert_eq!(table(), 2);
    reloaded(&running, &reload(open));
    let (told, _) = reloaded(&running, &reload_with(new, |c| *c.cut = Cut::All));
    assert_eq!((told.cut, table()), (1, 1));
    assert!(host.goes_on(1, 22) && !host.goes_on(1, 80));
}

/// A change that would cut the session of who makes it is refused, with the rule named.
#[test]
fn nobody_locks_themselves_out() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    host.open(40_000, 22);
    let session: Session = format!("{PEER}:40000-{HERE}:22")
        .parse()
        .expect("a session");
    let safe = Safety {
        sessions: vec![session],
        force: false,
    };
    let refused = |(parts, ended): (Vec<Answer>, Ended)| {
        assert_eq!(ended, Ended::No, "{parts:?}");
        match &parts[..] {
            [Answer::Said(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    let closing = RULES.replace(
        "-A INPUT -m conntrack",
        "-A INPUT -s 203.0.113.0/24 -j DROP\n-A INPUT -m conntrack",
    );
    let guarded = reload_with(&closing, |c| *c.safety = safe.clone());
    let said = refused(running.ask(&guarded));
    assert!(
        said.starts_with(
            "the session 203.0.113.9:40000-192.0.2.1:22 would be cut: packets from 203.0.113.9"
        ),
        "{said}"
    );
    assert!(
        said.contains("DROP by filter INPUT rule 1 (-A INPUT -s 203.0.113.0/24 -j DROP)"),
        "{said}"
    );
    assert!(host.goes_on(40_000, 22));

    // By every way there is to change rules.
    let by_iptables = |line: &str, safety: &Safety| {
        let (_, said, ended) = iptables(&running, line, safety);
        (said.join(""), ended)
    };
    for (line, rule) in [
        (
            "-I INPUT -p tcp --dport 22 -j DROP",
            "-A INPUT -p tcp -m tcp --dport 22 -j DROP",
        ),
        ("-F INPUT", "the policy of filter INPUT"),
        ("-D INPUT 1", ""),
        ("-P OUTPUT DROP", "the policy of filter OUTPUT"),
        ("-t raw -A PREROUTING -j DROP", "raw PREROUTING rule 1"),
    ] {
        let (said, ended) = by_iptables(line, &safe);
        // Without the rule for ESTABLISHED the session goes on by the rule for its port.
        let wanted = if rule.is_empty() {
            Ended::Yes
        } else {
            Ended::No
        };
        assert_eq!(ended, wanted, "{line}: {said}");
        assert!(said.contains(rule), "{line}: {said}");
        assert!(host.goes_on(40_000, 22), "{line}");
    }
    let restore = Request::Restore {
        family: Ip::V4,
        language: Language::Legacy,
        text: "*filter\n:INPUT DROP [0:0]\nCOMMIT\n".into(),
        how: Restoring::default(),
        safety: safe.clone(),
    };
    let said = refused(running.ask(&restore));
    assert!(said.contains("the policy of filter INPUT"), "{said}");

    // What does not concern the session is done; with force everything is.
    assert_eq!(by_iptables("-A INPUT -p udp -j DROP", &safe).1, Ended::Yes);
    let force = Safety {
        force: true,
        ..safe
    };
    assert_eq!(
        by_iptables("-I INPUT -p tcp --dport 22 -j DROP", &force).1,
        Ended::Yes
    );
    assert!(!host.goes_on(40_000, 22));
    // It is cut already: nothing more can cut it.
    let again = Safety {
        force: false,
        ..force
    };
    assert_eq!(by_iptables("-I INPUT -j DROP", &again).1, Ended::Yes);
}

/// The session that `palisade run --protect` names is looked after for everybody.
#[test]
fn a_session_of_the_start_is_looked_after_too() {
    let host = Host::new(RULES);
    host.open(40_000, 22);
    let session: Session = format!("{PEER}:40000-{HERE}:22")
        .parse()
        .expect("a session");
    let control = Control::new(Arc::clone(&host.gate), Facts::default()).protect(vec![session]);
    let words = ["-F", "INPUT"].map(String::from);
    let done = control.command(
        Family::V4,
        Default::default(),
        &words,
        &Safety::default(),
        true,
    );
    assert!(done.expect("allowed").refusal.is_some());
    assert!(host.goes_on(40_000, 22));
}

#[test]
fn an_unconfirmed_reload_is_taken_back_and_a_confirmed_one_stays() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    let new = RULES.replace("--dport 22", "--dport 443");
    let waiting = reload_with(&new, |c| *c.confirm_seconds = Some(1));
    host.open(1, 22);
    // Whoever asked for it is gone: the old rules come back all the same.
    let (told, _) = reloaded(&running, &waiting);
    assert_eq!(told.confirm_seconds, Some(1));
    assert!(running.status().confirm_seconds.is_some());
    let (_, said, ended) = iptables(&running, "-A INPUT -j DROP", &Safety::default());
    assert_eq!(ended, Ended::No);
    assert!(said[0].contains("palisade confirm"), "{said:?}");
    let late = Instant::now() + LONG;
    while running.status().confirm_seconds.is_some() {
        assert!(Instant::now() < late, "the old rules do not come back");
        std::thread::yield_now();
    }
    assert_eq!(running.control.generation(), 2);
    let counted = done(&running, "-S INPUT -v");
    assert!(counted.contains("--dport 22 -c 1 40"), "{counted}");
    assert!(host.goes_on(1, 22));

    let (parts, ended) = running.ask(&Request::Confirm {});
    assert_eq!(ended, Ended::No, "{parts:?}");
    reloaded(&running, &waiting);
    assert_eq!(running.ask(&Request::Confirm {}).1, Ended::Yes);
    assert_eq!(running.status().confirm_seconds, None);
    // The timer of the confirmed one finds nothing to put back, nor does it touch a later one.
    reloaded(
        &running,
        &reload_with(RULES, |c| *c.confirm_seconds = Some(600)),
    );
    assert_eq!(running.ask(&Request::Confirm {}).1, Ended::Yes);
    assert!(done(&running, "-S INPUT").contains("--dport 22"));
}

/// Reloads while packets are judged, and no packet is judged by half a ruleset. One ruleset marks
/// in mangle with 1 and its filter knows the mark 1, the other likewise with 2: a packet that got the mark of one and the
/// filter of the other would come to the policy, which drops.
#[test]
fn no_packet_is_judged_by_half_a_ruleset() {
    const RELOADS: u64 = 2000;
    let ruleset = |mark: u32, port: u16| {
        format!(
            "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-mark {mark}\nCOMMIT\n\
             *filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -m mark --mark {mark} -j ACCEPT\n\
             -A INPUT -m mark --mark {mark} -p tcp --dport {port} -j ACCEPT\n\
             -A INPUT -m mark --mark {mark} -j REJECT\nCOMMIT\n"
        )
    };
    // The ports are the same, so that both let everything pass.
    let rulesets = [ruleset(1, 80), ruleset(2, 80)];
    let host = Host::new(&rulesets[0]);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    for from in 1..=64 {
        host.open(from, 80);
    }
    let over = AtomicBool::new(false);
    let judged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..2u16 {
            let (host, over, judged) = (&host, &over, &judged);
            scope.spawn(move || {
                let mut from = 1000 + 20_000 * worker;
                while !over.load(Ordering::Acquire) {
                    from += 1;
                    let mut packets: Vec<Vec<u8>> = (1..=31)
                        .map(|old| segment(old + worker, 80, false, flags::ACK, 1001, 5001))
                        .collect();
                    packets.push(syn(from, 80));
                    packets.push(syn(from, 81));
                    let verdicts = host.judge(&packets);
                    // Established and new ones pass by both, another port is rejected by both; DROP is the mark of one
                    // and the filter of the other.
                    assert!(
                        verdicts[..32].iter().all(|v| *v == Verdict::Accept),
                        "{verdicts:?}"
                    );
                    assert_eq!(verdicts[32], Verdict::Reject);
                    judged.fetch_add(packets.len() as u64, Ordering::Relaxed);
                }
            });
        }
        let before = judged.load(Ordering::Relaxed);
        for n in 1..=RELOADS {
            let text = [&rulesets[(n % 2) as usize]].map(|rules| RulesText {
                name: String::new(),
                family: Ip::V4,
                text: rules.clone(),
            });
            let rules = running
                .control
                .read(&text, Default::default())
                .expect("rules");
            let reload = super::super::change::Reload {
                rules,
                ..Default::default()
            };
            running
                .control
                .reload(reload, &Safety::default())
                .expect("a reload");
        }
        assert!(
            judged.load(Ordering::Relaxed) > before,
            "packets were judged beside it"
        );
        over.store(true, Ordering::Release);
    });
    assert_eq!(running.control.generation(), RELOADS);
    let (drops, _) = host.gate.tally().of(Verdict::Drop);
    assert_eq!(drops, 0);
    for from in 1..=64 {
        assert!(host.goes_on(from, 80));
    }
}

#[test]
fn a_shadow_tells_what_other_rules_would_do_and_does_nothing() {
    let host = Host::new(RULES);
    let running = Running::start(Arc::clone(&host.gate), Bounds::default());
    host.open(1, 22);
    let other = RULES.replace("--dport 22", "--dport 80");
    let request = Request::Shadow {
        texts: vec![RulesText {
            name: "other".into(),
            family: Ip::V4,
            text: other,
        }],
        language: Language::Legacy,
        seconds: None,
    };
    let mut asked = ask(&running.path, &request).expect("asked");
    let late = Instant::now() + LONG;
    while !host.gate.tap().is_open() {
        assert!(Instant::now() < late, "nobody looks on");
        std::thread::yield_now();
    }
    for from in 10..13 {
        assert!(host.passes(syn(from, 22)));
    }
    assert!(!host.passes(syn(20, 80)));
    // Known to both.
    assert!(host.goes_on(1, 22));
    let (second, ended) = running.ask(&request);
    assert_eq!(ended, Ended::BadInput, "{second:?}");
    let differences: Differences = loop {
        match asked.part().expect("an answer") {
            Answer::Differences(d) if d.packets >= 5 => break *d,
            Answer::Differences(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let told: Vec<String> = differences
        .differences
        .iter()
        .map(|d| {
            format!(
                "{} x {} by {} -> {} by {}, {} {} {:?}",
                d.packets,
                d.old.verdict,
                d.old.by,
                d.new.verdict,
                d.new.by,
                d.sample.from,
                d.sample.to,
                d.sample.state
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "3 x ACCEPT by filter INPUT rule 2 -> DROP by the policy of filter INPUT, 203.0.113.9:10 192.0.2.1:22 Some(\"NEW\")",
            "1 x DROP by the policy of filter INPUT -> ACCEPT by filter INPUT rule 2, 203.0.113.9:20 192.0.2.1:80 Some(\"NEW\")",
        ]
    );
    assert_eq!((differences.packets, differences.missed), (5, 0));
    // With the client gone nobody looks on any more.
    drop(asked);
    while host.gate.tap().is_open() {
        assert!(Instant::now() < late, "it goes on for nobody");
        std::thread::yield_now();
    }
}
