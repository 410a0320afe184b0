//! Matches of headers by chance: SCTP's chunks, IPsec, extension headers of IPv6.

use super::chance::Chance;

/// One match and what `-p` it needs.
pub(super) fn matches(chance: &mut Chance, six: bool) -> String {
    let not = if chance.one_in(3) { "! " } else { "" };
    if !six || chance.one_in(3) {
        return both(chance, not);
    }
    match chance.below(7) {
        0 => format!(
            "-m ipv6header {not}--header {}{} ",
            chance.pick(&[
                "hop",
                "dst,prot",
                "route",
                "frag,prot",
                "auth",
                "prot",
                "none"
            ]),
            chance.pick(&["", " --soft", " --soft"]),
        ),
        1 => format!(
            "-m frag {not}--fragid {} {} ",
            chance.pick(&["0:2147483647", "7", "1000:"]),
            chance.pick(&["", "--fragfirst", "--fragmore", "--fraglast", "--fragres"]),
        ),
        2 => {
            let name = chance.pick(&["hbh", "dst"]);
            let options = chance.pick(&["1", "1:4", "0", "5:2,1:0", "30"]);
            format!("-m {name} {not}--{name}-len 8 --{name}-opts {options} ")
        }
        3 => format!("-m {} ", chance.pick(&["hbh", "dst", "rt", "ah", "frag"])),
        4 => format!(
            "-m rt {not}--rt-type {} --rt-segsleft {} ",
            chance.pick(&["0", "3", "4"]),
            chance.pick(&["0", "1", "0:1"]),
        ),
        5 => format!(
            "-m ah {not}--ahspi {} --ahlen {} ",
            chance.pick(&["0:255", "256", ":"]),
            chance.pick(&["0", "16", "24"]),
        ),
        _ => format!(
            "-m srh {not}--srh-segs-left-eq {} ",
            chance.pick(&["0", "1"])
        ),
    }
}

fn both(chance: &mut Chance, not: &str) -> String {
    match chance.below(4) {
        0..=1 => format!(
            "-p sctp -m sctp {not}--chunk-types {} {} ",
            chance.pick(&["any", "all", "only"]),
            chance.pick(&[
                "DATA",
                "INIT,INIT_ACK",
                "DATA,SACK",
                "HEARTBEAT,HEARTBEAT_ACK",
                "ABORT:t,SHUTDOWN_COMPLETE:t",
                "DATA:BE",
                "COOKIE_ECHO,DATA",
                "ALL",
                "NONE",
            ]),
        ),
        2 => format!(
            "-p sctp -m sctp {not}--dport {} ",
            chance.pick(&["80", "1:1023"])
        ),
        _ => format!(
            "-p esp -m esp {not}--espspi {} ",
            chance.pick(&["256", "0:4095"])
        ),
    }
}
