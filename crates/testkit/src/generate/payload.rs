//! Rules by chance that look into packets and change them: texts, numbers, programs, header fields.

use std::fmt::Write;

use super::chance::Chance;

/// What scripts with such rules are about.
pub(super) const ABOUT: &str = "payload";

/// Adds some rules without a verdict to a table that is being written; `mangle` may change packets.
pub(super) fn add(chance: &mut Chance, text: &mut String, six: bool, mangle: bool) {
    for _ in 0..1 + chance.below(4) {
        let chain = if mangle {
            chance.pick(&["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"])
        } else {
            chance.pick(&["INPUT", "FORWARD", "OUTPUT"])
        };
        let clamp = matches!(chain, "FORWARD" | "OUTPUT" | "POSTROUTING");
        let (needs, target) = if mangle && chance.below(3) > 0 {
            change(chance, six, clamp)
        } else {
            ("", String::new())
        };
        // What this host answers has an identification by chance, and so has its checksum.
        let inside = !matches!(chain, "OUTPUT" | "POSTROUTING");
        let looks = looks(chance, needs.is_empty(), inside);
        let line = format!("-A {chain} {needs}{looks}{target}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// What a target needs before it, and the target.
fn change(chance: &mut Chance, six: bool, clamp: bool) -> (&'static str, String) {
    const TCP: &str = "-p tcp ";
    const SYN: &str = "-p tcp -m tcp --tcp-flags SYN SYN ";
    let number = chance.below(256);
    match chance.below(8) {
        // Not so low that packets die of it too often.
        0 if six => ("", format!("-j HL --hl-inc {}", 1 + chance.below(255))),
        0 => ("", format!("-j TTL --ttl-set {}", 30 + chance.below(99))),
        1 => ("", format!("-j DSCP --set-dscp {}", number / 4)),
        2 => (
            "",
            format!("-j TOS --set-tos {number}/{}", chance.below(256)),
        ),
        3 if !six => (TCP, format!("-j ECN --ecn-tcp-ece {}", number % 2)),
        4 if !six => (TCP, "-j ECN --ecn-tcp-remove".to_owned()),
        5 if clamp => (SYN, "-j TCPMSS --clamp-mss-to-pmtu".to_owned()),
        5 | 6 => (SYN, format!("-j TCPMSS --set-mss {}", number * 8)),
        _ => {
            let kinds = chance.pick(&["2", "8", "3,4", "2,3,4,5,8", "30,254"]);
            (TCP, format!("-j TCPOPTSTRIP --strip-options {kinds}"))
        }
    }
}

/// A match with a blank behind it; `free` when no protocol was asked for yet, `inside` when it may look at any
/// byte.
fn looks(chance: &mut Chance, free: bool, inside: bool) -> String {
    let not = if chance.one_in(4) { "! " } else { "" };
    match chance.below(if inside { 9 } else { 3 }) {
        0 => format!("-m dscp {not}--dscp {} ", chance.below(3)),
        1 => format!(
            "-m tos {not}--tos {}/{} ",
            chance.below(4),
            chance.below(256)
        ),
        2 => format!("-m ecn {not}--ecn-ip-ect {} ", chance.below(4)),
        3 if free => format!("-p tcp -m ecn {not}--ecn-tcp-ece "),
        4 if free => format!("-p tcp -m tcpmss {not}--mss 0:{} ", chance.below(2000)),
        5 => string(chance, not),
        6 => u32(chance, not),
        _ => bpf(chance),
    }
}

fn string(chance: &mut Chance, not: &str) -> String {
    // A longer text may lie across pieces, where Boyer-Moore depends on the kernel's memory.
    let (text, algorithm) = if chance.one_in(2) {
        (chance.pick(&["|00|", "|45|", "|61|", "|06|", "|ff|"]), "bm")
    } else {
        let text = chance.pick(&["|0a01|", "|0000|", "|fd00|", "|6162|", "|00500010|", "|20|"]);
        (text, "kmp")
    };
    let from = chance.below(60);
    let to = from + chance.below(60);
    let range = match chance.below(3) {
        0 => String::new(),
        1 => format!("--from {from} "),
        _ => format!("--from {from} --to {to} "),
    };
    let case = if chance.one_in(4) { "--icase " } else { "" };
    format!("-m string {not}--hex-string \"{text}\" --algo {algorithm} {range}{case}")
}

fn u32(chance: &mut Chance, not: &str) -> String {
    let mut tests = Vec::new();
    for _ in 0..1 + chance.below(2) {
        let mut test = format!("{}", chance.below(80));
        for _ in 0..chance.below(4) {
            test += &match chance.below(4) {
                0 => format!(
                    "&{}",
                    chance.pick(&["0xFF", "0x3C", "0xFFFF", "0xF0F0F0F0"])
                ),
                1 => format!("<<{}", chance.below(32)),
                2 => format!(">>{}", chance.pick(&["22&0x3C", "24", "16", "31", "28"])),
                _ => format!(">>24&0x3F@{}", chance.below(40)),
            };
        }
        let last = chance.pick(&["0xFF", "0xFFFF", "0xFFFFFFFF", "0x3FFFFFFF"]);
        tests.push(format!("{test}={}:{last}", chance.below(20)));
    }
    format!("-m u32 {not}--u32 \"{}\" ", tests.join("&&"))
}

/// A program that the kernel takes: two words of memory are written first, jumps go forward, the end returns A.
fn bpf(chance: &mut Chance) -> String {
    let mut program = vec!["2 0 0 0".to_owned(), "3 0 0 1".to_owned()];
    let steps = 2 + chance.below(9);
    for step in 0..steps {
        // Instructions behind this one, the return among them.
        let behind = steps - step;
        let k = chance.below(70);
        program.push(match chance.below(12) {
            0 => format!("{} 0 0 {k}", chance.pick(&["32", "40", "48"])),
            1 => format!("{} 0 0 {k}", chance.pick(&["64", "72", "80"])),
            2 => format!("177 0 0 {k}"),
            3 => format!("{} 0 0 {k}", chance.pick(&["0", "1", "128", "129"])),
            4 => format!("{} 0 0 {}", chance.pick(&["2", "3", "96", "97"]), k % 2),
            5 => chance
                .pick(&["7 0 0 0", "135 0 0 0", "132 0 0 0"])
                .to_owned(),
            6 => {
                let code = chance.pick(&["4", "20", "36", "52", "68", "84", "148", "164"]);
                format!("{code} 0 0 {}", k + 1)
            }
            7 => {
                let code = chance.pick(&[
                    "12", "28", "44", "60", "76", "92", "108", "124", "156", "172",
                ]);
                format!("{code} 0 0 0")
            }
            8 => format!("{} 0 0 {}", chance.pick(&["100", "116"]), k % 32),
            9 => {
                let offset = 4_293_918_720 + k as u64;
                format!("{} 0 0 {offset}", chance.pick(&["32", "40", "48"]))
            }
            10 => chance
                .pick(&[
                    "32 0 0 4294963200",
                    "32 0 0 4294963220",
                    "40 0 0 4294963240",
                ])
                .to_owned(),
            _ => {
                let code = chance.pick(&["21", "29", "37", "45", "53", "61", "69", "77"]);
                format!(
                    "{code} {} {} {k}",
                    chance.below(behind),
                    chance.below(behind)
                )
            }
        });
    }
    program.push("22 0 0 0".to_owned());
    format!(
        "-m bpf --bytecode \"{},{}\" ",
        program.len(),
        program.join(",")
    )
}
