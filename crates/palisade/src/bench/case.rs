//! The cases by their names, and what is asked of them.

use std::fmt;

use palisade_rules::diagnostic;
use palisade_rules::synth::Family;

/// Flows at most: as many as there are client addresses in 10.0.0.0/8.
pub const MAX_FLOWS: u32 = 1 << 24;

/// Rules at most: half of the addresses of 172.16.0.0/12, so that there are others for the packets.
const MAX_RULES: u32 = 1 << 19;

/// Threads at most.
const MAX_THREADS: u32 = palisade_engine::shards::MOST as u32;

/// What kind of packets the flows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Datagrams.
    Udp,
    /// Segments, with sequence numbers that advance.
    Tcp,
    /// One flow of two is TCP.
    Mixed,
}

impl Mix {
    /// How names of cases end.
    fn suffix(self) -> &'static str {
        match self {
            Mix::Udp => "",
            Mix::Tcp => "-tcp",
            Mix::Mixed => "-mixed",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Memory of a connection.
    BytesPerConnection,
    /// Packets of so many established flows, in random order.
    Established(u32, Mix),
    /// First packets of so many connections.
    New(u32, Mix),
    /// New packets against so many rules.
    Rules(u32),
    /// New packets against so many rules in the manner of ClassBench.
    Classify(Family, u32),
    /// Established packets behind so many rules.
    EstablishedAt(u32),
    /// So many rules, from text to ready.
    Load(u32),
    /// A rule more behind so many.
    Append(u32),
    /// A flood of forged SYNs.
    Flood,
    /// So many threads over one view of the connections, against one.
    Threads(u32),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::BytesPerConnection => f.write_str("bytes-per-connection"),
            Case::Established(flows, mix) => write!(f, "established-{flows}{}", mix.suffix()),
            Case::New(flows, mix) => write!(f, "new-{flows}{}", mix.suffix()),
            Case::Rules(rules) => write!(f, "rules-{rules}"),
            Case::Classify(family, rules) => write!(f, "classify-{}-{rules}", family.name()),
            Case::EstablishedAt(rules) => write!(f, "established-at-{rules}"),
            Case::Load(rules) => write!(f, "load-{rules}"),
            Case::Append(rules) => write!(f, "append-{rules}"),
            Case::Flood => f.write_str("flood"),
            Case::Threads(count) => write!(f, "threads-{count}"),
        }
    }
}

const MILLION: u32 = 1_048_576;

/// The cases that are run if nobody says which, in their order. The memory of a connection comes first, while the
/// process has given none back.
pub const STANDARD: &[Case] = &[
    Case::BytesPerConnection,
    Case::Established(1, Mix::Udp),
    Case::Established(65_536, Mix::Udp),
    Case::Established(MILLION, Mix::Udp),
    Case::Established(1, Mix::Tcp),
    Case::Established(65_536, Mix::Tcp),
    Case::Established(MILLION, Mix::Tcp),
    Case::New(MILLION, Mix::Udp),
    Case::Rules(10),
    Case::Rules(100),
    Case::Rules(1000),
    Case::Rules(10_000),
    Case::Rules(100_000),
    Case::Classify(Family::Acl, 1000),
    Case::Classify(Family::Acl, 10_000),
    Case::Classify(Family::Acl, 100_000),
    Case::Classify(Family::Fw, 1000),
    Case::Classify(Family::Fw, 10_000),
    Case::Classify(Family::Fw, 100_000),
    Case::Classify(Family::Ipc, 1000),
    Case::Classify(Family::Ipc, 10_000),
    Case::Classify(Family::Ipc, 100_000),
    Case::EstablishedAt(10),
    Case::EstablishedAt(10_000),
    Case::EstablishedAt(100_000),
    Case::Load(100_000),
    Case::Append(100_000),
    Case::Flood,
    Case::Threads(2),
];

impl Case {
    /// What it measures, for people.
    pub fn about(self) -> String {
        let kind = |mix| match mix {
            Mix::Udp => "UDP",
            Mix::Tcp => "TCP",
            Mix::Mixed => "UDP and TCP",
        };
        match self {
            Case::BytesPerConnection => {
                "memory of an entry of the connection table, index included".into()
            }
            Case::Established(1, mix) => format!("packets of one established {} flow", kind(mix)),
            Case::Established(flows, mix) => {
                format!(
                    "packets of {flows} established {} flows, in random order",
                    kind(mix)
                )
            }
            Case::New(flows, mix) => {
                format!(
                    "first packets of {flows} {} connections, accepted and inserted",
                    kind(mix)
                )
            }
            Case::Rules(rules) => {
                format!(
                    "new packets that none of {rules} address rules takes, dropped by the policy"
                )
            }
            Case::Classify(family, rules) => {
                let kind = match family {
                    Family::Acl => "access lists",
                    Family::Fw => "firewalls",
                    Family::Ipc => "IP chains",
                };
                format!(
                    "finding the rule for a header aimed at {rules} rules like those of {kind} (ClassBench); also all of such a packet"
                )
            }
            Case::EstablishedAt(rules) => {
                format!(
                    "packets of 65536 established UDP flows, the ESTABLISHED rule behind {rules} others"
                )
            }
            Case::Load(rules) => format!("{rules} rules, from text to an engine that is ready"),
            Case::Append(rules) => {
                format!("a rule more behind {rules} others, from its text to in effect")
            }
            Case::Flood => {
                "forged SYNs against a full table, with established connections in between".into()
            }
            Case::Threads(count) => format!(
                "{count} threads over the packets of established UDP flows of their own, against one over all"
            ),
        }
    }

    /// Whether `--quick` runs it unasked.
    pub fn quick(self) -> bool {
        match self {
            Case::Established(size, _) | Case::New(size, _) => size <= 65_536,
            Case::Rules(rules) | Case::EstablishedAt(rules) | Case::Classify(_, rules) => {
                rules <= 1000
            }
            Case::Load(_) | Case::Append(_) => false,
            Case::BytesPerConnection | Case::Flood | Case::Threads(_) => true,
        }
    }

    /// A case by its name: one of the list, or one of its kind with another number.
    pub fn by_name(name: &str) -> Option<Case> {
        match name {
            "bytes-per-connection" => return Some(Case::BytesPerConnection),
            "flood" => return Some(Case::Flood),
            _ => {}
        }
        let size = |text: &str, max: u32| {
            let number = text.parse().ok().filter(|n| (1..=max).contains(n))?;
            // Names are a contract: no zeros or signs in front.
            (text == u32::to_string(&number)).then_some(number)
        };
        let flows = |text: &str| {
            let mixes = [Mix::Tcp, Mix::Mixed, Mix::Udp];
            mixes.into_iter().find_map(|mix| {
                let number = size(text.strip_suffix(mix.suffix())?, MAX_FLOWS)?;
                Some((number, mix))
            })
        };
        if let Some(rest) = name.strip_prefix("established-at-") {
            return size(rest, MAX_RULES).map(Case::EstablishedAt);
        }
        if let Some(rest) = name.strip_prefix("established-") {
            return flows(rest).map(|(n, mix)| Case::Established(n, mix));
        }
        if let Some(rest) = name.strip_prefix("new-") {
            return flows(rest).map(|(n, mix)| Case::New(n, mix));
        }
        if let Some(rest) = name.strip_prefix("rules-") {
            return size(rest, MAX_RULES).map(Case::Rules);
        }
        if let Some(rest) = name.strip_prefix("classify-") {
            let (kind, rest) = rest.split_once('-')?;
            let family = Family::ALL.into_iter().find(|f| f.name() == kind)?;
            return size(rest, MAX_RULES).map(|rules| Case::Classify(family, rules));
        }
        if let Some(rest) = name.strip_prefix("threads-") {
            return size(rest, MAX_THREADS).map(Case::Threads);
        }
        if let Some(rest) = name.strip_prefix("append-") {
            return size(rest, MAX_RULES).map(Case::Append);
        }
        size(name.strip_prefix("load-")?, MAX_RULES).map(Case::Load)
    }

    /// Cases by a name or a pattern with `*` and `?`, which means those of the list.
    pub fn find(word: &str) -> Result<Vec<Case>, String> {
        if let Some(case) = Case::by_name(word) {
            return Ok(vec![case]);
        }
        let names: Vec<String> = STANDARD.iter().map(Case::to_string).collect();
        let fits = STANDARD.iter().zip(&names).filter(|(_, n)| glob(word, n));
        let found: Vec<Case> = fits.map(|(case, _)| *case).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        Err(
            match diagnostic::nearest(word, names.iter().map(String::as_str)) {
                Some(near) => format!("there is no case '{word}'; {near}?"),
                None => format!("there is no case '{word}'; palisade bench --list names them"),
            },
        )
    }
}

/// Whether a pattern with `*` and `?` fits a whole name.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// A figure that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most this, in the case's unit.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// At most so many times the figure of another case.
    Times(f64, Case),
}

/// What is asked of a case, and what the kernel needs for the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goal {
    /// What it must reach.
    pub must: Option<Bound>,
    /// What it should reach.
    pub aim: Option<Bound>,
    /// What Linux netfilter needs, from and to, on [`REFERENCE`].
    pub kernel: Option<[f64; 2]>,
}

/// Where the kernel's figures were measured, and how.
pub const REFERENCE: &str = "Linux 6.18 on one core of a 2-core x86-64 virtual machine of 2026, in a quiet hour; the \
     time of netfilter\nalone, by subtraction, without the rest of the kernel's path; where two tools or \
     protocols differ, from and to";

impl Case {
    /// What is asked of it.
    pub fn goal(self) -> Goal {
        use Bound::{AtLeast, AtMost, Times};
        let goal = |must, aim, kernel| Goal {
            must: Some(must),
            aim: Some(aim),
            kernel,
        };
        match self {
            Case::BytesPerConnection => goal(AtMost(160.0), AtMost(128.0), Some([260.0; 2])),
            Case::Established(1, mix) => {
                let kernel = match mix {
                    Mix::Udp => [276.0; 2],
                    Mix::Tcp => [336.0; 2],
                    Mix::Mixed => [276.0, 336.0],
                };
                goal(AtMost(40.0), AtMost(25.0), Some(kernel))
            }
            Case::Established(65_536, _) => goal(AtMost(50.0), AtMost(35.0), Some([560.0, 640.0])),
            Case::Established(MILLION, _) => goal(AtMost(80.0), AtMost(60.0), Some([720.0, 910.0])),
            Case::New(MILLION, _) => goal(AtMost(250.0), AtMost(180.0), Some([970.0, 1159.0])),
            Case::Rules(10) => Goal {
                kernel: Some([344.0; 2]),
                ..Goal::default()
            },
            Case::Rules(rules) => {
                let ten = Case::Rules(10);
                let kernel = (rules == 10_000).then_some([38_311.0; 2]);
                goal(Times(2.0, ten), Times(1.0, ten), kernel)
            }
            Case::Classify(Family::Fw, 10_000) => goal(AtMost(200.0), AtMost(100.0), None),
            Case::Classify(Family::Acl, 10_000) => goal(AtMost(120.0), AtMost(50.0), None),
            Case::EstablishedAt(rules) if rules > 10 => {
                let ten = Case::EstablishedAt(10);
                goal(Times(1.02, ten), Times(1.0, ten), None)
            }
            Case::Threads(2) => Goal {
                must: Some(AtLeast(1.9)),
                aim: None,
                kernel: Some([1.55, 1.98]),
            },
            Case::Append(100_000) => goal(AtMost(10.0), AtMost(1.0), Some([43.0, 246.0])),
            Case::Load(100_000) => goal(AtMost(1000.0), AtMost(300.0), Some([3100.0, 4600.0])),
            _ => Goal::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let others = [
            Case::Established(7, Mix::Mixed),
            Case::New(9, Mix::Tcp),
            Case::Rules(1),
            Case::Classify(Family::Ipc, 8),
            Case::EstablishedAt(3),
            Case::Load(5),
            Case::Append(6),
            Case::Threads(4),
        ];
        for case in STANDARD.iter().chain(&others) {
            assert_eq!(Case::by_name(&case.to_string()), Some(*case), "{case}");
        }
        for name in [
            "established-0",
            "established-",
            "established-01",
            "established-+1",
            "established-16777217",
            "established-at-",
            "rules-10-tcp",
            "new-10-sctp",
            "flood-1",
            "threads-0",
            "threads-129",
            "classify-acl",
            "classify-acm-10",
            "",
        ] {
            assert_eq!(Case::by_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_names_of_the_contract_are_there() {
        let names: Vec<String> = STANDARD.iter().map(Case::to_string).collect();
        for name in [
            "established-1",
            "established-65536",
            "established-1048576",
            "established-1-tcp",
            "established-65536-tcp",
            "established-1048576-tcp",
            "new-1048576",
            "rules-10",
            "rules-100000",
            "classify-acl-1000",
            "classify-fw-10000",
            "classify-ipc-100000",
            "established-at-10",
            "established-at-10000",
            "established-at-100000",
            "load-100000",
            "append-100000",
            "threads-2",
            "bytes-per-connection",
            "flood",
        ] {
            assert!(names.iter().any(|n| n == name), "{name}");
        }
    }

    #[test]
    fn patterns_choose_from_the_list() {
        for (pattern, name, fits) in [
            ("rules-*", "rules-10", true),
            ("*", "", true),
            ("rules-1?", "rules-10", true),
            ("rules-1?", "rules-100", false),
            ("*-tcp", "established-1-tcp", true),
            ("e*-*-t?p", "established-1-tcp", true),
            ("*-tcp", "established-1", false),
            ("a*b", "aXbY", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
        assert_eq!(Case::find("rules-*").map(|c| c.len()), Ok(5));
        assert_eq!(
            Case::find("estabished-65536"),
            Err("there is no case 'estabished-65536'; established-65536?".into())
        );
        assert!(Case::find("nothing").is_err_and(|e| e.contains("--list")));
    }
}
