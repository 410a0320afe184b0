//! A script that shows a difference, made as small as it can be.
//!
//! Delta debugging over lines, then over words: whatever can go while the difference stays, goes. What a
//! line refers to goes with it. The number of tries is bounded.

use std::collections::HashSet;

use palisade_capture::script::parse;

/// Words behind which a packet line names another's label.
const REFERRING: [&str; 3] = ["answer", "quoting", "left"];

/// Lines that stay: without its surroundings a firewall does something else altogether.
const KEPT: [&str; 3] = ["interface ", "route ", "host "];

/// Shrinks `text` while `fails` says that it still shows the difference, which it is asked at most `tries`
/// times.
pub fn shrink(text: &str, tries: usize, mut fails: impl FnMut(&str) -> bool) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut left = tries;
    let mut holds = |lines: &[String], left: &mut usize| {
        let text = lines.join("\n") + "\n";
        let (_, faults) = parse(&text);
        if !faults.is_empty() || *left == 0 {
            return false;
        }
        *left -= 1;
        fails(&text)
    };
    // Lines, in pieces that get smaller; again as long as something goes.
    loop {
        let before = lines.len();
        let mut size = lines.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < lines.len() {
                let end = (at + size).min(lines.len());
                let shorter = without(&lines, at, end);
                if shorter.len() < lines.len() && holds(&shorter, &mut left) {
                    lines = shorter;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        if lines.len() == before || left == 0 {
            break;
        }
    }
    // Words: pairs first, as most options have a value.
    for size in [2, 1] {
        let mut at = 0;
        while at < lines.len() {
            let words = lines.get(at).map_or(0, |l| l.split(' ').count());
            let line = lines.get(at).map_or("", String::as_str);
            if KEPT.iter().any(|kept| line.starts_with(kept)) {
                at += 1;
                continue;
            }
            for word in (0..words).rev() {
                let shorter = with_fewer_words(&lines, at, word, size);
                if shorter != lines && holds(&shorter, &mut left) {
                    lines = shorter;
                }
            }
            at += 1;
        }
    }
    lines.join("\n") + "\n"
}

/// Lines without those from `start` to before `end`, nor those that refer to them.
fn without(lines: &[String], start: usize, end: usize) -> Vec<String> {
    let mut known: HashSet<&str> = HashSet::new();
    let mut kept = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if (start..end).contains(&at) && !KEPT.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let refers = words.windows(2).any(|pair| match pair {
            [word, label] => {
                REFERRING.contains(word)
                    && is_label(label)
                    && !known.contains(label.split('.').next().unwrap_or(label))
            }
            _ => false,
        });
        if refers {
            continue;
        }
        if let Some(label) = words.first().and_then(|w| w.strip_suffix(':')) {
            known.insert(label);
        }
        kept.push(line.clone());
    }
    kept
}

/// What generated scripts call a packet: letters and digits mixed.
fn is_label(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.contains(|c: char| c.is_ascii_digit())
}

fn with_fewer_words(lines: &[String], at: usize, word: usize, size: usize) -> Vec<String> {
    let mut lines = lines.to_vec();
    if let Some(line) = lines.get_mut(at) {
        let words: Vec<&str> = line.split(' ').collect();
        let kept = words
            .iter()
            .enumerate()
            .filter(|(i, _)| !(word..word + size).contains(i));
        *line = kept.map(|(_, w)| *w).collect::<Vec<_>>().join(" ");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_difference_needs_stays() {
        let mut text = String::from(
            "interface lan0 10.1.0.1/24\ninterface wan0 10.2.0.1/24\n\
             host client 10.1.0.2\nhost server 10.2.0.2\n",
        );
        for n in 1..40 {
            text += &format!("s1p{n}: client:5000 > server:{n} udp len 100 ttl 9\n");
            text += &format!("answer s1p{n} udp len 7\n");
        }
        let mut asked = 0;
        let small = shrink(&text, 500, |candidate| {
            asked += 1;
            candidate.contains("answer s1p20 udp") && candidate.contains("ttl 9")
        });
        assert_eq!(
            small,
            "interface lan0 10.1.0.1/24\ninterface wan0 10.2.0.1/24\n\
             host client 10.1.0.2\nhost server 10.2.0.2\n\
             s1p20: client:5000 > server:20 udp ttl 9\nanswer s1p20 udp\n"
        );
        assert!(asked <= 500);
    }

    #[test]
    fn tries_are_bounded() {
        let lines: String = (0..100).map(|n| format!("sysctl a{n}=1\n")).collect();
        let mut asked = 0;
        shrink(&lines, 10, |_| {
            asked += 1;
            false
        });
        assert_eq!(asked, 10);
    }
}
