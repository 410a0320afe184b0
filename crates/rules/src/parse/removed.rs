//! What rules of long ago had and no program reads any more: each with what took its place.

/// Matches of `-m` that are gone.
const MATCHES: [(&str, &str); 20] = [
    (
        "unclean",
        "-m conntrack --ctstate INVALID finds what is broken",
    ),
    ("dstlimit", "-m hashlimit --hashlimit-mode dstip"),
    ("random", "-m statistic --mode random --probability P"),
    ("nth", "-m statistic --mode nth --every N"),
    ("fuzzy", "-m hashlimit or -m limit"),
    ("iplimit", "-m connlimit"),
    ("pool", "-m set --match-set NAME src"),
    ("psd", "-m recent counts ports that are asked for"),
    (
        "ipp2p",
        "nothing looks for file sharing any more; -m string finds a text",
    ),
    (
        "layer7",
        "nothing looks for applications any more; -m string finds a text",
    ),
    ("mport", "-m multiport"),
    ("geoip", "-m set with a set of the country's networks"),
    ("account", "-m nfacct, or a chain that counts"),
    ("condition", "-m set or -m mark, switched from outside"),
    ("quota2", "-m quota or -m nfacct"),
    ("ipv4options", "-m u32 looks into any header"),
    ("record-rpc", "-m helper with a helper for the protocol"),
    ("rpc", "-m helper with a helper for the protocol"),
    ("childlevel", "-m helper or -m conntrack --ctstate RELATED"),
    ("tcpflags", "-p tcp --tcp-flags MASK SET"),
];

/// Targets of `-j` that are gone.
const TARGETS: [(&str, &str); 16] = [
    (
        "MIRROR",
        "-j REJECT; what is sent back can be turned against others",
    ),
    ("SAME", "-j SNAT --to-source FIRST-LAST --persistent"),
    ("BALANCE", "-j DNAT --to-destination FIRST-LAST"),
    ("ROUTE", "-j MARK and ip rule fwmark, or -j TEE for copies"),
    ("FTOS", "-j TOS --set-tos or -j DSCP --set-dscp"),
    (
        "IPV4OPTSSTRIP",
        "nothing takes IPv4 options away any more; -m u32 finds them",
    ),
    ("TARPIT", "-j DROP, or -j REJECT --reject-with tcp-reset"),
    ("CHAOS", "-m statistic before -j DROP and -j REJECT"),
    ("DELUDE", "-j REJECT --reject-with tcp-reset"),
    ("IMQ", "an ifb device and tc"),
    ("POOL", "-j SET --add-set NAME src"),
    ("NETLINK", "-j NFLOG"),
    ("IPMARK", "-j HMARK or -j MARK"),
    ("XOR", "an encrypted tunnel"),
    ("ACCOUNT", "-m nfacct, or a chain that counts"),
    ("LOGMARK", "-j LOG"),
];

/// Options that their match lost.
const OPTIONS: [(&str, &str); 3] = [
    (
        "pid-owner",
        "--uid-owner with a user of its own, or -m cgroup --path",
    ),
    (
        "sid-owner",
        "--uid-owner with a user of its own, or -m cgroup --path",
    ),
    (
        "cmd-owner",
        "--uid-owner with a user of its own, or -m cgroup --path",
    ),
];

fn of(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let row = table.iter().find(|(gone, _)| *gone == name);
    row.map(|(_, now)| *now)
}

/// What took the place of a match.
pub(super) fn match_now(name: &str) -> Option<&'static str> {
    of(&MATCHES, name)
}

/// What took the place of a target.
pub(super) fn target_now(name: &str) -> Option<&'static str> {
    of(&TARGETS, name)
}

/// What took the place of an option, by its name without dashes.
pub(super) fn option_now(name: &str) -> Option<&'static str> {
    of(&OPTIONS, name)
}
