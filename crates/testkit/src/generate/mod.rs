//! Packet scripts by chance: what nobody thought of writing.
//!
//! A script is text in the packet script language, so that a difference it shows can be kept as a
//! scenario. The same seed gives the same script.
//!
//! A script has a firewall (settings, rules of both families; `rules.rs`, `settings.rs`) and several
//! *stories*, each a sequence that means something (a TCP connection from SYN to FIN with something
//! wrong in it, pings, an SCTP association): `tcp.rs`, `datagram.rs`, `sctp.rs`, `other.rs`, `talk.rs`.
//! The stories run at the same time, and noise (`noise.rs`) comes between: errors that quote any packet
//! that was sent, forgeries, repetitions, short pauses.

mod calls;
mod chance;
mod datagram;
mod everybody;
mod h323;
mod nat;
mod noise;
mod other;
mod payload;
mod rules;
mod sctp;
mod settings;
mod steady;
mod talk;
mod tcp;
mod timeouts;

use std::fmt::Write;

pub(crate) use chance::Chance;
pub use steady::steady;

const FIREWALL: &str = "\
interface lan0 10.1.0.1/24 fd00:1::1/64
interface wan0 10.2.0.1/24 fd00:2::1/64
route 198.51.100.0/24 wan0
route fd00:99::/64 wan0
host client 10.1.0.2 fd00:1::2
host guest 10.1.0.77 fd00:1::77
host server 10.2.0.2 fd00:2::2
host far 198.51.100.7 fd00:99::7
host router 10.2.0.254 fd00:2::fe
host inside 10.1.0.1 fd00:1::1
host outside 10.2.0.1 fd00:2::1
";

/// A script made by chance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generated {
    /// The script.
    pub text: String,
    /// What it covers: names of stories and kinds of rules.
    pub covers: Vec<&'static str>,
}

/// A sequence of packet lines that belong together.
#[derive(Clone, Debug, Default)]
struct Story {
    /// What it is about.
    about: &'static str,
    lines: Vec<Told>,
}

/// A packet line of a story.
#[derive(Clone, Debug)]
struct Told {
    /// Label, unique in the script; empty for none.
    label: String,
    /// The line without its label.
    text: String,
    /// Whether it is IPv6.
    six: bool,
}

/// Makes the lines of one story.
struct Teller<'c> {
    chance: &'c mut Chance,
    /// Number of the story: part of labels and ports.
    number: usize,
    six: bool,
    lines: Vec<Told>,
    /// Who began.
    from: String,
    to: String,
    /// Labels of the last packet from either side.
    last: [Option<String>; 2],
    /// Answers are written as such, and follow translation.
    answering: bool,
}

impl<'c> Teller<'c> {
    fn new(chance: &'c mut Chance, number: usize) -> Self {
        let six = chance.one_in(4);
        let (from, to) = parties(chance);
        let answering = chance.below(4) > 0;
        Teller {
            chance,
            number,
            six,
            lines: Vec::new(),
            from: from.to_owned(),
            to: to.to_owned(),
            last: [None, None],
            answering,
        }
    }

    /// Adds ports to both ends.
    fn with_ports(mut self, from: usize, to: &str) -> Self {
        let _ = write!(self.from, ":{from}");
        let _ = write!(self.to, ":{to}");
        self
    }

    /// A packet; `back` goes against the direction that began.
    fn say(&mut self, back: bool, what: &str) {
        let label = format!("s{}p{}", self.number, self.lines.len() + 1);
        let text = match &self.last[usize::from(!back)] {
            Some(other) if self.answering && !self.chance.one_in(12) && back => {
                format!("answer {other} {what}")
            }
            _ => {
                let (a, b) = if back {
                    (&self.to, &self.from)
                } else {
                    (&self.from, &self.to)
                };
                let six = if self.six { " ip6" } else { "" };
                format!("{a} > {b} {what}{six}")
            }
        };
        let sender = if back { &self.to } else { &self.from };
        let own = sender.starts_with("inside") || sender.starts_with("outside");
        let text = match text.split_once(" truncate ") {
            // A raw socket takes only whole packets, and translation may make the sender the firewall.
            Some((before, _)) if text.starts_with("answer") => before.to_owned(),
            Some((before, _)) if own && self.six => format!("{before} ip6"),
            Some((before, _)) if own => before.to_owned(),
            _ => text,
        };
        // Datagrams that the firewall sends to itself are cut again on their way, those of IPv4 when they are not tracked
        // (docs/differences.md); and what it answers may be for itself.
        let pieces = [" fragments ", " pieces ", " fragment-at "];
        let text = match pieces.iter().find_map(|p| text.split_once(p)) {
            Some((before, _)) if own && before.starts_with("answer") => before.to_owned(),
            Some((before, _)) if own && self.six => format!("{before} ip6"),
            _ => text,
        };
        self.last[usize::from(back)] = Some(label.clone());
        self.lines.push(Told {
            label,
            text,
            six: self.six,
        });
    }

    fn end(self, about: &'static str) -> Story {
        Story {
            about,
            lines: self.lines,
        }
    }
}

/// Who speaks first to whom: mostly through the firewall, sometimes with it.
fn parties(chance: &mut Chance) -> (&'static str, &'static str) {
    match chance.below(12) {
        0..=4 => ("client", "server"),
        5 => ("guest", "server"),
        6 => ("client", "far"),
        7 => ("server", "client"),
        8 => ("client", "outside"),
        9 => ("server", "outside"),
        10 => ("outside", "server"),
        _ => ("inside", "client"),
    }
}

/// A script of about `packets` packets, without stories about `without`.
pub fn script(seed: u64, packets: usize, without: &[String]) -> Generated {
    let mut chance = Chance::new(seed);
    let mut covers = Vec::new();
    let mut text = format!("# By chance, seed {seed}.\n{FIREWALL}");
    settings::add(&mut chance, &mut text, without);
    rules::add(&mut chance, &mut text, &mut covers, without);
    let mut stories = Vec::new();
    let (mut lines, mut number) = (0, 0);
    while lines < packets {
        number += 1;
        let story = story(
            &mut chance,
            number,
            without,
            covers.contains(&"translation"),
        );
        if without.iter().any(|w| w == story.about) {
            if number > packets * 16 {
                break;
            }
            continue;
        }
        lines += story.lines.len();
        if !covers.contains(&story.about) {
            covers.push(story.about);
        }
        stories.push(story);
    }
    let _ = writeln!(text, "# Covers {}.", covers.join(", "));
    noise::interleave(&mut chance, stories, packets, &mut text);
    Generated { text, covers }
}

fn story(chance: &mut Chance, number: usize, without: &[String], translated: bool) -> Story {
    match chance.below(28) {
        0..=9 => tcp::story(chance, number),
        10 => tcp::wild(chance, number),
        11..=12 => datagram::udp(chance, number),
        13 => datagram::udplite(chance, number),
        14 => datagram::fragments(chance, number),
        15..=16 => other::pings(chance, number),
        17 => other::icmp_types(chance, number, translated),
        18..=19 => sctp::story(chance, number),
        20 => other::gre(chance, number),
        21 => other::unknown(chance, number),
        22 if chance.one_in(2) => other::ip_options(chance, number),
        22 => everybody::story(chance, number),
        23 => other::extensions(chance, number, !without.iter().any(|w| w == "ah")),
        _ => talk::story(chance, number, translated),
    }
}

#[cfg(test)]
mod tests {
    use palisade_capture::script::parse;

    use super::*;

    #[test]
    fn every_script_is_one_and_the_same_seed_gives_the_same() {
        let mut covered = Vec::new();
        for seed in 1..=300 {
            let made = script(seed, 60, &[]);
            assert_eq!(made, script(seed, 60, &[]));
            let (parsed, faults) = parse(&made.text);
            let shown: Vec<String> = faults
                .iter()
                .map(|f| f.draw("chance", &made.text))
                .collect();
            assert!(faults.is_empty(), "{}", shown.join("\n"));
            assert!(!parsed.tests.is_empty());
            covered.extend(made.covers);
        }
        covered.sort_unstable();
        covered.dedup();
        assert!(covered.len() >= 12, "{covered:?}");
    }
}
