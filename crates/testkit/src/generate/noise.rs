//! Stories told at the same time, with noise between their lines.

use std::fmt::Write;

use super::chance::Chance;
use super::{Story, Told};

/// Pauses of a script at most: the kernel's clock is the real one.
const PAUSES: usize = 2;

/// Writes the stories' lines, at most `packets`, each story's in their order.
pub(super) fn interleave(
    chance: &mut Chance,
    stories: Vec<Story>,
    packets: usize,
    text: &mut String,
) {
    let mut waiting: Vec<std::vec::IntoIter<Told>> =
        stories.into_iter().map(|s| s.lines.into_iter()).collect();
    let mut told: Vec<Told> = Vec::new();
    let mut pauses = if chance.one_in(6) { PAUSES } else { 0 };
    let mut noises = 0;
    // A few at a time: those that began long ago are forgotten.
    while told.len() < packets && !waiting.is_empty() {
        let at = chance.below(waiting.len().min(5));
        let Some(line) = waiting.get_mut(at).and_then(Iterator::next) else {
            waiting.remove(at);
            continue;
        };
        let _ = writeln!(text, "{}: {}", line.label, line.text);
        told.push(line);
        if chance.one_in(9) {
            noises += 1;
            if let Some(line) = noise(chance, &told, noises) {
                let _ = writeln!(text, "{}: {}", line.label, line.text);
                told.push(line);
            }
        }
        if pauses > 0 && chance.one_in(packets / 2) {
            pauses -= 1;
            let _ = writeln!(text, "+{}", chance.pick(&["1400ms", "2400ms"]));
        }
    }
}

/// A packet about one of the last that were sent.
pub(super) fn noise(chance: &mut Chance, told: &[Told], number: usize) -> Option<Told> {
    let recent = told.len().checked_sub(1 + chance.below(12))?;
    // What nobody sent cannot be answered.
    let about = told.get(recent).filter(|t| !t.text.contains(" in "))?;
    let label = format!("n{number}");
    let of = &about.label;
    let six = about.six;
    let family = if six { " ip6" } else { "" };
    let kind = if six {
        chance.pick(&[
            "port-unreachable",
            "no-route",
            "time-exceeded",
            "packet-too-big mtu 1280",
            "parameter-problem",
            "type 100",
        ])
    } else {
        chance.pick(&[
            "port-unreachable",
            "host-unreachable",
            "time-exceeded",
            "fragmentation-needed mtu 1400",
            "parameter-problem",
            "source-quench",
            "redirect code 1",
        ])
    };
    let left = chance.pick(&["left ", "left ", ""]);
    let mut quoting = format!("quoting {left}{of}");
    if chance.one_in(3) {
        let bytes = chance.pick(&[
            "8", "19", "20", "24", "27", "28", "40", "47", "48", "52", "60",
        ]);
        let _ = write!(quoting, " bytes {bytes}");
    }
    let text = match chance.below(10) {
        0..=3 => format!("answer {of} icmp {kind} {quoting}"),
        4 => format!("router > client icmp {kind} {quoting}{family}"),
        5 => format!("client > server icmp {kind} {quoting}{family}"),
        6 => format!("server > outside icmp {kind} {quoting}{family}"),
        7 => format!("outside > server icmp {kind} {quoting}{family}"),
        // The same line again, as a packet of its own.
        8 => about.text.clone(),
        _ => format!("answer {of} icmp {kind} {quoting} badsum"),
    };
    Some(Told { label, text, six })
}
