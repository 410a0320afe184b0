//! What the real tool does not have, or shows only with files of the system: JSON, labels, events.

use palisade_wire::Timestamp;

use super::*;
use crate::config::Config;

const START: Timestamp = Timestamp(1_795_278_945_250_000_000);

/// A table, and lines given to it one after the other.
struct Tried {
    table: Conntrack,
    labels: BTreeMap<String, u8>,
}

impl Tried {
    fn new(config: Config) -> Self {
        let labels = [("web", 1), ("bulk", 127), ("dns", 40)];
        Tried {
            table: Conntrack::new(config),
            labels: labels.map(|(name, bit)| (name.to_string(), bit)).into(),
        }
    }

    fn say(&mut self, line: &str, after: u64) -> Answer {
        let words: Vec<String> = format!("conntrack {line}")
            .split_whitespace()
            .map(String::from)
            .collect();
        let now = Timestamp(START.0 + after * 1_000_000_000);
        let desk = Desk::new(&self.labels);
        run(&words, None, &mut self.table, &desk, now)
    }

    fn check(&mut self, line: &str, output: &str) {
        let answer = self.say(line, 0);
        assert_eq!(answer.output, output, "{line}: {}", answer.errors);
    }
}

const UDP: &str = "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 5 --dport 53";

#[test]
fn json_has_everything_of_an_entry() {
    let mut tried = Tried::new(Config {
        acct: 1,
        timestamp: 1,
        ..Config::default()
    });
    tried.say(
        "-I -p sctp -s 10.0.0.1 -d 10.0.0.2 --sport 5 --dport 6 --state ESTABLISHED --orig-vtag 7 --reply-vtag 8 -t 300 \
         -u ASSURED,SEEN_REPLY -m 9 --orig-zone 3 -n 192.0.2.1",
        0,
    );
    tried.check(
        "-L -o json,timestamp",
        "{\"time\":1795278945.250000000,\"family\":\"ipv4\",\"protocol\":\"sctp\",\"protonum\":132,\"id\":1,\"timeout\":300,\
         \"state\":\"ESTABLISHED\",\
         \"original\":{\"src\":\"10.0.0.1\",\"dst\":\"10.0.0.2\",\"sport\":5,\"dport\":6,\"zone\":3,\"packets\":0,\"bytes\":0,\"vtag\":7},\
         \"reply\":{\"src\":\"10.0.0.2\",\"dst\":\"192.0.2.1\",\"sport\":6,\"dport\":5,\"packets\":0,\"bytes\":0,\"vtag\":8},\
         \"status\":[\"SEEN_REPLY\",\"ASSURED\",\"SRC_NAT\"],\"mark\":9,\"start\":1795278945.250000000,\"use\":1}\n",
    );
}

#[test]
fn labels_are_added_found_and_taken_away_by_name() {
    let mut tried = Tried::new(Config::default());
    tried.say(&format!("-I {UDP} -t 300 --label-add web,bulk"), 0);
    let line = |labels: &str, uses: u32| {
        format!(
            "udp      17 300 src=10.0.0.1 dst=10.0.0.2 sport=5 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 \
             sport=53 dport=5 mark=0 use={uses}{labels}\n"
        )
    };
    tried.check("-L -o labels", &line(" labels=web,bulk", 1));
    tried.check("-L -l web", &line("", 1));
    tried.check("-L -l web,bulk -o labels", &line(" labels=web,bulk", 1));
    tried.check("-L -l web -l dns", "");
    tried.check(
        &format!("-U {UDP} --label-add dns -o labels"),
        &line(" labels=web,dns,bulk", 2),
    );
    tried.check(
        &format!("-U {UDP} --label-del web,bulk -o labels"),
        &line(" labels=dns", 2),
    );
    tried.check(&format!("-U {UDP} --label-del -o labels"), &line("", 2));
    tried.check(&format!("-U {UDP} --label-del -o labels"), "");
    let refused = tried.say("-L -l nosuch", 0);
    assert_eq!(refused.code, 2);
    assert!(
        refused.errors.contains("unknown label 'nosuch'"),
        "{refused:?}"
    );
}

#[test]
fn statuses_that_are_to_be_missing_are_missed_in_every_command() {
    // The real tool does so only where it lists.
    let mut tried = Tried::new(Config::default());
    tried.say(&format!("-I {UDP} -t 300 -u SEEN_REPLY"), 0);
    assert_eq!(tried.say("-D -u UNREPLIED", 0).code, 1);
    assert_eq!(tried.say("-D -u SEEN_REPLY,!ASSURED", 0).code, 0);
    assert!(tried.table.is_empty());
}

#[test]
fn what_ended_is_neither_listed_nor_found() {
    let mut tried = Tried::new(Config::default());
    tried.say(&format!("-I {UDP} -t 3"), 0);
    assert!(tried.say("-L", 2).output.contains("udp      17 1 src="));
    assert_eq!(tried.say("-L", 3).output, "");
    assert_eq!(tried.say(&format!("-G {UDP}"), 3).code, 1);
}

#[test]
fn work_is_done_part_by_part() {
    let mut tried = Tried::new(Config::default());
    for port in 1..=40 {
        let line = format!("-I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport {port} --dport 53 -t 300");
        assert_eq!(tried.say(&line, 0).code, 0);
    }
    let labels = BTreeMap::new();
    let desk = Desk::new(&labels);
    let words = ["conntrack", "-L", "-o", "xml"].map(String::from);
    let Begun::Work(mut work) = begin(&words, None, &desk) else {
        panic!("it is work");
    };
    let (mut parts, mut all) = (0, String::new());
    while !work.step(&mut tried.table, &desk, START, 16) {
        all += &work.take().0;
        parts += 1;
    }
    let last = work.finish();
    all += &last.output;
    assert_eq!(parts, 2);
    assert_eq!(all.matches("<flow>").count(), 40);
    assert_eq!(all.matches("<?xml").count(), 1);
    assert!(all.ends_with("</conntrack>\n") && last.errors.contains(": 40 flow"));
}

#[test]
fn who_only_asks_is_told_apart() {
    for (line, asks) in [
        ("-L", true),
        ("-L -p ipv6-icmp -o json", true),
        ("-E -e NEW", true),
        ("-S", true),
        ("-h", true),
        ("-G -p esp -s 1.1.1.1 -d 2.2.2.2", true),
        ("-L expect", true),
        ("-L -z", false),
        ("-D", false),
        ("-F expect", false),
        ("-U -m 5", false),
        ("-R -", false),
        ("-Q", false),
        ("-L -D", false),
    ] {
        let words: Vec<String> = format!("conntrack {line}")
            .split_whitespace()
            .map(String::from)
            .collect();
        assert_eq!(only_asks(&words), asks, "{line}");
    }
}

/// Lines as the real `conntrack -E` printed them.
#[test]
fn events_are_shown_as_the_tool_shows_them() {
    let mut tried = Tried::new(Config {
        acct: 1,
        timestamp: 1,
        ..Config::default()
    });
    tried.say(&format!("-I {UDP} -t 300 -w 7"), 0);
    let Ok((mut watch, _)) = watch_of("-E -o extended,id,timestamp,ktimestamp -p udp") else {
        panic!("it watches");
    };
    let desk = Desk::new(&tried.labels);
    let entry = tried.table.connections().next().expect("an entry");
    let told = |kind, ended| {
        Record::told(
            kind,
            &entry,
            entry.number(),
            ended,
            tried.table.config(),
            START,
        )
    };
    let tuples = "src=10.0.0.1 dst=10.0.0.2 sport=5 dport=53";
    let reply = "src=10.0.0.2 dst=10.0.0.1 sport=53 dport=5";
    let new = told(Kind::New, None);
    assert_eq!(
        watch.connection(Kind::New, &new, Some(77), &desk, START),
        format!(
            "[1795278945.250000]\t    [NEW] ipv4     2 udp      17 300 {tuples} [UNREPLIED] {reply} zone=7 id=1 \
             [USERSPACE] portid=77 progname=conntrack\n"
        )
    );
    let ended = Some((entry.traffic(), entry.created()));
    let gone = told(Kind::Destroy, ended);
    assert_eq!(
        watch.connection(Kind::Destroy, &gone, None, &desk, START),
        format!(
            "[1795278945.250000]\t[DESTROY] ipv4     2 udp      17 300 {tuples} packets=0 bytes=0 [UNREPLIED] {reply} \
             packets=0 bytes=0 zone=7 delta-time=0 [start=Sat Nov 21 16:35:45 2026] [stop=Sat Nov 21 16:35:45 2026] id=1\n"
        )
    );
    assert_eq!(
        watch.end(),
        (
            String::new(),
            format!("{TOOL}2 flow events have been shown.\n")
        )
    );
    let Ok((mut watch, told)) = watch_of("-E -e DESTROY -o xml -b 1000") else {
        panic!("it watches");
    };
    assert_eq!(
        told,
        "NOTICE: Netlink socket buffer size has been set to 2000 bytes.\n"
    );
    assert_eq!(watch.connection(Kind::New, &new, None, &desk, START), "");
    let line = watch.connection(Kind::Destroy, &gone, None, &desk, START);
    assert!(line.starts_with(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n<flow type=\"destroy\">"
    ));
    assert_eq!(watch.end().0, "</conntrack>\n");
}

fn watch_of(line: &str) -> Result<(Watch, String), Begun> {
    let words: Vec<String> = format!("conntrack {line}")
        .split_whitespace()
        .map(String::from)
        .collect();
    let labels = BTreeMap::new();
    match begin(&words, None, &Desk::new(&labels)) {
        Begun::Watch(watch, answer) => Ok((*watch, answer.errors)),
        other => Err(other),
    }
}

#[test]
fn no_words_make_it_panic() {
    use proptest::prelude::*;
    let word = prop_oneof![
        "-[A-Za-z<>()\\[\\]{}]",
        "--[a-z-]{1,12}(=[a-z0-9.:/]{0,8})?",
        "[0-9]{1,5}",
        "[0-9.]{1,15}(/[0-9]{0,3})?",
        "[0-9a-f:]{1,20}",
        "tcp|udp|icmp|icmpv6|sctp|gre|dccp|esp|expect|xml|save|json|ASSURED",
        "\\PC{0,6}",
    ];
    proptest!(|(words in prop::collection::vec(word, 0..12))| {
        let mut tried = Tried::new(Config::default());
        tried.say(&format!("-I {UDP} -t 300"), 0);
        let line: Vec<String> = std::iter::once("conntrack".to_string()).chain(words).collect();
        let desk = Desk::new(&tried.labels);
        let answer = run(&line, Some("-D\n"), &mut tried.table, &desk, START);
        prop_assert!(answer.code <= 2);
        only_asks(&line);
    });
}
