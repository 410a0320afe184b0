//! Every match and target that rules may name: families, protocol, options with their arity.
//!
//! One row says where an extension's options end, so that a rule with an extension that is not
//! evaluated yet can be kept word for word.

use palisade_wire::{Family, proto};

/// An option of an extension.
pub type OptionRow = (&'static str, u8);

/// Which families know an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
    /// Both.
    Both,
}

/// A match or target.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Name as in `-m` or `-j`.
    pub name: &'static str,
    /// Families.
    pub families: Families,
    /// Whether it is evaluated; otherwise it is kept.
    pub evaluated: bool,
    /// Long options without dashes, and how many words each takes.
    pub options: &'static [OptionRow],
}

impl Extension {
    /// Whether a family knows it.
    pub fn knows(&self, family: Family) -> bool {
        match self.families {
            Families::Both => true,
            Families::V4 => family == Family::V4,
            Families::V6 => family == Family::V6,
        }
    }
}

const fn ext(
    name: &'static str,
    families: Families,
    evaluated: bool,
    options: &'static [OptionRow],
) -> Extension {
    Extension {
        name,
        families,
        evaluated,
        options,
    }
}

use Families::{Both, V4, V6};

const PORTS: &[OptionRow] = &[
    ("source-port", 1),
    ("sport", 1),
    ("destination-port", 1),
    ("dport", 1),
];

/// Matches.
#[rustfmt::skip]
pub const MATCHES: &[Extension] = &[
    ext("tcp", Both, true, &[("source-port", 1), ("sport", 1), ("destination-port", 1), ("dport", 1), ("syn", 0), ("tcp-flags", 2), ("tcp-option", 1)]),
    ext("udp", Both, true, PORTS),
    ext("icmp", V4, true, &[("icmp-type", 1)]),
    ext("icmp6", V6, true, &[("icmpv6-type", 1)]),
    ext("state", Both, true, &[("state", 1)]),
    ext("conntrack", Both, true, &[("ctstate", 1), ("ctproto", 1), ("ctorigsrc", 1), ("ctorigdst", 1), ("ctreplsrc", 1), ("ctrepldst", 1), ("ctorigsrcport", 1), ("ctorigdstport", 1), ("ctreplsrcport", 1), ("ctrepldstport", 1), ("ctstatus", 1), ("ctexpire", 1), ("ctdir", 1)]),
    ext("multiport", Both, true, &[("source-ports", 1), ("sports", 1), ("destination-ports", 1), ("dports", 1), ("ports", 1)]),
    ext("iprange", Both, true, &[("src-range", 1), ("dst-range", 1)]),
    ext("limit", Both, true, &[("limit", 1), ("limit-burst", 1)]),
    ext("mark", Both, true, &[("mark", 1)]),
    ext("comment", Both, true, &[("comment", 1)]),
    ext("recent", Both, true, &[("set", 0), ("rcheck", 0), ("update", 0), ("remove", 0), ("seconds", 1), ("reap", 0), ("hitcount", 1), ("rttl", 0), ("name", 1), ("rsource", 0), ("rdest", 0), ("mask", 1)]),
    ext("addrtype", Both, true, &[("src-type", 1), ("dst-type", 1), ("limit-iface-in", 0), ("limit-iface-out", 0)]),
    ext("length", Both, true, &[("length", 1)]),
    ext("ttl", V4, true, &[("ttl-eq", 1), ("ttl-lt", 1), ("ttl-gt", 1), ("ttl", 1)]),
    ext("hl", V6, true, &[("hl-eq", 1), ("hl-lt", 1), ("hl-gt", 1), ("hl", 1)]),
    ext("mac", Both, true, &[("mac-source", 1)]),
    ext("pkttype", Both, true, &[("pkt-type", 1)]),
    ext("helper", Both, true, &[("helper", 1)]),
    ext("ah", Both, false, &[("ahspi", 1), ("ahlen", 1), ("ahres", 0)]),
    ext("bpf", Both, false, &[("bytecode", 1), ("object-pinned", 1)]),
    ext("cgroup", Both, false, &[("cgroup", 1), ("path", 1)]),
    ext("cluster", Both, false, &[("cluster-total-nodes", 1), ("cluster-local-node", 1), ("cluster-local-nodemask", 1), ("cluster-hash-seed", 1)]),
    ext("connbytes", Both, false, &[("connbytes", 1), ("connbytes-dir", 1), ("connbytes-mode", 1)]),
    ext("connlabel", Both, true, &[("label", 1), ("set", 0)]),
    ext("connlimit", Both, false, &[("connlimit-upto", 1), ("connlimit-above", 1), ("connlimit-mask", 1), ("connlimit-saddr", 0), ("connlimit-daddr", 0)]),
    ext("connmark", Both, false, &[("mark", 1)]),
    ext("cpu", Both, false, &[("cpu", 1)]),
    ext("dccp", Both, false, &[("source-port", 1), ("sport", 1), ("destination-port", 1), ("dport", 1), ("dccp-types", 1), ("dccp-option", 1)]),
    ext("devgroup", Both, false, &[("src-group", 1), ("dst-group", 1)]),
    ext("dscp", Both, false, &[("dscp", 1), ("dscp-class", 1)]),
    ext("dst", V6, false, &[("dst-len", 1), ("dst-opts", 1)]),
    ext("ecn", Both, false, &[("ecn-tcp-cwr", 0), ("ecn-tcp-ece", 0), ("ecn-ip-ect", 1)]),
    ext("esp", Both, false, &[("espspi", 1)]),
    ext("eui64", V6, false, &[]),
    ext("frag", V6, false, &[("fragid", 1), ("fraglen", 1), ("fragres", 0), ("fragfirst", 0), ("fragmore", 0), ("fraglast", 0)]),
    ext("hashlimit", Both, false, &[("hashlimit-upto", 1), ("hashlimit-above", 1), ("hashlimit", 1), ("hashlimit-burst", 1), ("hashlimit-mode", 1), ("hashlimit-srcmask", 1), ("hashlimit-dstmask", 1), ("hashlimit-name", 1), ("hashlimit-htable-size", 1), ("hashlimit-htable-max", 1), ("hashlimit-htable-expire", 1), ("hashlimit-htable-gcinterval", 1), ("hashlimit-rate-match", 0), ("hashlimit-rate-interval", 1)]),
    ext("hbh", V6, false, &[("hbh-len", 1), ("hbh-opts", 1)]),
    ext("ipcomp", Both, false, &[("ipcompspi", 1), ("compres", 0)]),
    ext("ipv6header", V6, false, &[("header", 1), ("soft", 0)]),
    ext("ipvs", Both, false, &[("ipvs", 0), ("vproto", 1), ("vaddr", 1), ("vport", 1), ("vdir", 1), ("vmethod", 1), ("vportctl", 1)]),
    ext("mh", V6, false, &[("mh-type", 1)]),
    ext("nfacct", Both, false, &[("nfacct-name", 1)]),
    ext("osf", V4, false, &[("genre", 1), ("ttl", 1), ("log", 1)]),
    ext("owner", Both, false, &[("uid-owner", 1), ("gid-owner", 1), ("socket-exists", 0), ("suppl-groups", 0)]),
    ext("physdev", Both, false, &[("physdev-in", 1), ("physdev-out", 1), ("physdev-is-in", 0), ("physdev-is-out", 0), ("physdev-is-bridged", 0)]),
    ext("policy", Both, false, &[("dir", 1), ("pol", 1), ("strict", 0), ("reqid", 1), ("spi", 1), ("proto", 1), ("mode", 1), ("tunnel-src", 1), ("tunnel-dst", 1), ("next", 0)]),
    ext("quota", Both, false, &[("quota", 1)]),
    ext("rateest", Both, false, &[("rateest", 1), ("rateest1", 1), ("rateest2", 1), ("rateest-delta", 0), ("rateest-lt", 0), ("rateest-gt", 0), ("rateest-eq", 0), ("rateest-bps", 1), ("rateest-pps", 1), ("rateest-bps1", 1), ("rateest-bps2", 1), ("rateest-pps1", 1), ("rateest-pps2", 1)]),
    ext("realm", V4, false, &[("realm", 1)]),
    ext("rpfilter", Both, false, &[("loose", 0), ("validmark", 0), ("accept-local", 0), ("invert", 0)]),
    ext("rt", V6, false, &[("rt-type", 1), ("rt-segsleft", 1), ("rt-len", 1), ("rt-0-res", 0), ("rt-0-addrs", 1), ("rt-0-not-strict", 0)]),
    ext("sctp", Both, false, &[("source-port", 1), ("sport", 1), ("destination-port", 1), ("dport", 1), ("chunk-types", 2)]),
    ext("set", Both, false, &[("match-set", 2), ("return-nomatch", 0), ("update-counters", 0), ("update-subcounters", 0), ("packets-eq", 1), ("packets-lt", 1), ("packets-gt", 1), ("bytes-eq", 1), ("bytes-lt", 1), ("bytes-gt", 1)]),
    ext("socket", Both, false, &[("transparent", 0), ("nowildcard", 0), ("restore-skmark", 0)]),
    ext("srh", V6, false, &[("srh-next-hdr", 1), ("srh-hdr-len-eq", 1), ("srh-hdr-len-gt", 1), ("srh-hdr-len-lt", 1), ("srh-segs-left-eq", 1), ("srh-segs-left-gt", 1), ("srh-segs-left-lt", 1), ("srh-last-entry-eq", 1), ("srh-last-entry-gt", 1), ("srh-last-entry-lt", 1), ("srh-tag", 1), ("srh-psid", 1), ("srh-nsid", 1), ("srh-lsid", 1)]),
    ext("statistic", Both, false, &[("mode", 1), ("probability", 1), ("every", 1), ("packet", 1)]),
    ext("string", Both, false, &[("algo", 1), ("from", 1), ("to", 1), ("icase", 0), ("string", 1), ("hex-string", 1)]),
    ext("tcpmss", Both, false, &[("mss", 1)]),
    ext("time", Both, false, &[("datestart", 1), ("datestop", 1), ("timestart", 1), ("timestop", 1), ("monthdays", 1), ("weekdays", 1), ("kerneltz", 0), ("utc", 0), ("localtz", 0), ("contiguous", 0)]),
    ext("tos", Both, false, &[("tos", 1)]),
    ext("u32", Both, false, &[("u32", 1)]),
    ext("udplite", Both, false, PORTS),
];

/// Targets that are not chains.
#[rustfmt::skip]
pub const TARGETS: &[Extension] = &[
    ext("REJECT", Both, true, &[("reject-with", 1)]),
    ext("LOG", Both, true, &[("log-level", 1), ("log-prefix", 1), ("log-tcp-sequence", 0), ("log-tcp-options", 0), ("log-ip-options", 0), ("log-uid", 0), ("log-macdecode", 0)]),
    ext("NFLOG", Both, true, &[("nflog-group", 1), ("nflog-prefix", 1), ("nflog-range", 1), ("nflog-size", 1), ("nflog-threshold", 1)]),
    ext("MARK", Both, true, &[("set-mark", 1), ("set-xmark", 1), ("and-mark", 1), ("or-mark", 1), ("xor-mark", 1)]),
    ext("CONNMARK", Both, true, &[("set-mark", 1), ("set-xmark", 1), ("and-mark", 1), ("or-mark", 1), ("xor-mark", 1), ("save-mark", 0), ("restore-mark", 0), ("mask", 1), ("nfmask", 1), ("ctmask", 1)]),
    ext("CT", Both, true, &[("notrack", 0), ("helper", 1), ("zone", 1), ("zone-orig", 1), ("zone-reply", 1), ("timeout", 1), ("ctevents", 1), ("expevents", 1)]),
    ext("NOTRACK", Both, true, &[]),
    ext("AUDIT", Both, false, &[("type", 1)]),
    ext("CHECKSUM", Both, false, &[("checksum-fill", 0)]),
    ext("CLASSIFY", Both, false, &[("set-class", 1)]),
    ext("CLUSTERIP", V4, false, &[("new", 0), ("hashmode", 1), ("clustermac", 1), ("total-nodes", 1), ("local-node", 1), ("hash-init", 1)]),
    ext("CONNSECMARK", Both, false, &[("save", 0), ("restore", 0)]),
    ext("DNAT", Both, true, &[("to-destination", 1), ("random", 0), ("persistent", 0)]),
    ext("DNPT", V6, true, &[("src-pfx", 1), ("dst-pfx", 1)]),
    ext("DSCP", Both, false, &[("set-dscp", 1), ("set-dscp-class", 1)]),
    ext("ECN", V4, false, &[("ecn-tcp-remove", 0)]),
    ext("HL", V6, false, &[("hl-set", 1), ("hl-dec", 1), ("hl-inc", 1)]),
    ext("HMARK", Both, false, &[("hmark-tuple", 1), ("hmark-mod", 1), ("hmark-offset", 1), ("hmark-src-prefix", 1), ("hmark-dst-prefix", 1), ("hmark-sport-mask", 1), ("hmark-dport-mask", 1), ("hmark-spi-mask", 1), ("hmark-proto-mask", 1), ("hmark-rnd", 1)]),
    ext("IDLETIMER", Both, false, &[("timeout", 1), ("label", 1), ("alarm", 0)]),
    ext("LED", Both, false, &[("led-trigger-id", 1), ("led-delay", 1), ("led-always-blink", 0)]),
    ext("MASQUERADE", Both, true, &[("to-ports", 1), ("random", 0), ("random-fully", 0)]),
    ext("NETMAP", Both, true, &[("to", 1)]),
    ext("NFQUEUE", Both, false, &[("queue-num", 1), ("queue-balance", 1), ("queue-bypass", 0), ("queue-cpu-fanout", 0)]),
    ext("QUEUE", Both, false, &[]),
    ext("RATEEST", Both, false, &[("rateest-name", 1), ("rateest-interval", 1), ("rateest-ewmalog", 1)]),
    ext("REDIRECT", Both, true, &[("to-ports", 1), ("random", 0)]),
    ext("SECMARK", Both, false, &[("selctx", 1)]),
    ext("SET", Both, false, &[("add-set", 2), ("del-set", 2), ("map-set", 2), ("timeout", 1), ("exist", 0), ("map-mark", 0), ("map-prio", 0), ("map-queue", 0)]),
    ext("SNAT", Both, true, &[("to-source", 1), ("random", 0), ("random-fully", 0), ("persistent", 0)]),
    ext("SNPT", V6, true, &[("src-pfx", 1), ("dst-pfx", 1)]),
    ext("SYNPROXY", Both, false, &[("mss", 1), ("wscale", 1), ("sack-perm", 0), ("timestamp", 0), ("ecn", 0)]),
    ext("TCPMSS", Both, false, &[("set-mss", 1), ("clamp-mss-to-pmtu", 0)]),
    ext("TCPOPTSTRIP", Both, false, &[("strip-options", 1)]),
    ext("TEE", Both, false, &[("gateway", 1)]),
    ext("TOS", Both, false, &[("set-tos", 1), ("and-tos", 1), ("or-tos", 1), ("xor-tos", 1)]),
    ext("TPROXY", Both, false, &[("on-port", 1), ("on-ip", 1), ("tproxy-mark", 1)]),
    ext("TRACE", Both, false, &[]),
    ext("TTL", V4, false, &[("ttl-set", 1), ("ttl-dec", 1), ("ttl-inc", 1)]),
    ext("ULOG", V4, false, &[("ulog-nlgroup", 1), ("ulog-prefix", 1), ("ulog-cprange", 1), ("ulog-qthreshold", 1)]),
];

/// The match of a name, by the names that iptables takes for it.
pub fn find_match(name: &str, family: Family) -> Option<&'static Extension> {
    let name = match (name, family) {
        ("icmpv6" | "ipv6-icmp", Family::V6) => "icmp6",
        (name, _) => name,
    };
    MATCHES.iter().find(|e| e.name == name && e.knows(family))
}

/// The target of a name.
pub fn find_target(name: &str, family: Family) -> Option<&'static Extension> {
    TARGETS.iter().find(|e| e.name == name && e.knows(family))
}

/// The match that `-p` loads when one of its options appears.
pub fn protocol_match(protocol: u8, family: Family) -> Option<&'static Extension> {
    let name = match protocol {
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::ICMP => "icmp",
        proto::ICMPV6 => "icmp6",
        proto::SCTP => "sctp",
        proto::DCCP => "dccp",
        proto::UDPLITE => "udplite",
        proto::ESP => "esp",
        proto::AH => "ah",
        proto::MH => "mh",
        _ => return None,
    };
    find_match(name, family)
}

/// Protocols by name (a part of `/etc/protocols` that rules use; the names as the C library has them).
const PROTOCOLS: &[(&str, u8)] = &[
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("mobility-header", 135),
    ("ipv6-mh", 135),
    ("mh", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("hip", 139),
    ("shim6", 140),
];

/// Protocol number of a name, in any case; 0 for "all".
pub fn protocol_number(name: &str) -> Option<u8> {
    if let Ok(number) = name.parse::<u8>() {
        return Some(number);
    }
    let lower = name.to_ascii_lowercase();
    if lower == "all" {
        return Some(0);
    }
    PROTOCOLS.iter().find(|(n, _)| *n == lower).map(|(_, p)| *p)
}

/// Name that iptables-save prints for a protocol number.
pub fn protocol_name(number: u8) -> String {
    // The program's own table comes first, then the system's.
    const OWN: &[(&str, u8)] = &[
        ("tcp", 6),
        ("sctp", 132),
        ("udp", 17),
        ("udplite", 136),
        ("icmp", 1),
        ("ipv6-icmp", 58),
        ("esp", 50),
        ("ah", 51),
        ("ipv6-mh", 135),
    ];
    OWN.iter()
        .chain(PROTOCOLS)
        .find(|(_, p)| *p == number)
        .map_or_else(|| number.to_string(), |(n, _)| (*n).to_string())
}

/// Well-known services by name (the usual part of `/etc/services`).
const SERVICES: &[(&str, u16)] = &[
    ("tcpmux", 1),
    ("echo", 7),
    ("discard", 9),
    ("systat", 11),
    ("daytime", 13),
    ("netstat", 15),
    ("qotd", 17),
    ("chargen", 19),
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("mail", 25),
    ("time", 37),
    ("whois", 43),
    ("nicname", 43),
    ("tacacs", 49),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("gopher", 70),
    ("finger", 79),
    ("http", 80),
    ("www", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("pop-3", 110),
    ("sunrpc", 111),
    ("portmapper", 111),
    ("auth", 113),
    ("ident", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("epmap", 135),
    ("loc-srv", 135),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("snmptrap", 162),
    ("xdmcp", 177),
    ("bgp", 179),
    ("irc", 194),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("kpasswd", 464),
    ("submissions", 465),
    ("ssmtp", 465),
    ("smtps", 465),
    ("urd", 465),
    ("isakmp", 500),
    ("exec", 512),
    ("biff", 512),
    ("login", 513),
    ("who", 513),
    ("shell", 514),
    ("syslog", 514),
    ("printer", 515),
    ("talk", 517),
    ("route", 520),
    ("router", 520),
    ("uucp", 540),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("rtsp", 554),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("domain-s", 853),
    ("rsync", 873),
    ("ftps-data", 989),
    ("ftps", 990),
    ("telnets", 992),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("ms-sql-m", 1434),
    ("l2f", 1701),
    ("l2tp", 1701),
    ("radius", 1812),
    ("radius-acct", 1813),
    ("nfs", 2049),
    ("mysql", 3306),
    ("svn", 3690),
    ("ipsec-nat-t", 4500),
    ("iax", 4569),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
    ("mdns", 5353),
    ("postgresql", 5432),
    ("postgres", 5432),
    ("amqp", 5672),
    ("x11", 6000),
    ("redis", 6379),
    ("ircd", 6667),
    ("ircs-u", 6697),
    ("http-alt", 8080),
    ("webcache", 8080),
    ("amanda", 10080),
    ("webmin", 10000),
    ("git", 9418),
    ("zabbix-agent", 10050),
    ("zabbix-trapper", 10051),
    ("rfe", 5002),
    ("cvspserver", 2401),
    ("proxy", 3128),
    ("squid", 3128),
    ("ircd-ssl", 6697),
    ("bacula-fd", 9102),
    ("munin", 4949),
    ("nrpe", 5666),
    ("rdp", 3389),
    ("ms-wbt-server", 3389),
    ("vnc", 5900),
];

/// Port of a service name.
pub fn service_port(name: &str) -> Option<u16> {
    SERVICES.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
}

/// ICMP types and codes by name.
pub const ICMP_NAMES: &[(&str, u8, u8, u8)] = &[
    ("any", 255, 0, 255),
    ("echo-reply", 0, 0, 255),
    ("pong", 0, 0, 255),
    ("destination-unreachable", 3, 0, 255),
    ("network-unreachable", 3, 0, 0),
    ("host-unreachable", 3, 1, 1),
    ("protocol-unreachable", 3, 2, 2),
    ("port-unreachable", 3, 3, 3),
    ("fragmentation-needed", 3, 4, 4),
    ("source-route-failed", 3, 5, 5),
    ("network-unknown", 3, 6, 6),
    ("host-unknown", 3, 7, 7),
    ("network-prohibited", 3, 9, 9),
    ("host-prohibited", 3, 10, 10),
    ("TOS-network-unreachable", 3, 11, 11),
    ("TOS-host-unreachable", 3, 12, 12),
    ("communication-prohibited", 3, 13, 13),
    ("host-precedence-violation", 3, 14, 14),
    ("precedence-cutoff", 3, 15, 15),
    ("source-quench", 4, 0, 255),
    ("redirect", 5, 0, 255),
    ("network-redirect", 5, 0, 0),
    ("host-redirect", 5, 1, 1),
    ("TOS-network-redirect", 5, 2, 2),
    ("TOS-host-redirect", 5, 3, 3),
    ("echo-request", 8, 0, 255),
    ("ping", 8, 0, 255),
    ("router-advertisement", 9, 0, 255),
    ("router-solicitation", 10, 0, 255),
    ("time-exceeded", 11, 0, 255),
    ("ttl-exceeded", 11, 0, 255),
    ("ttl-zero-during-transit", 11, 0, 0),
    ("ttl-zero-during-reassembly", 11, 1, 1),
    ("parameter-problem", 12, 0, 255),
    ("ip-header-bad", 12, 0, 0),
    ("required-option-missing", 12, 1, 1),
    ("timestamp-request", 13, 0, 255),
    ("timestamp-reply", 14, 0, 255),
    ("address-mask-request", 17, 0, 255),
    ("address-mask-reply", 18, 0, 255),
];

/// ICMPv6 types and codes by name.
pub const ICMP6_NAMES: &[(&str, u8, u8, u8)] = &[
    ("destination-unreachable", 1, 0, 255),
    ("no-route", 1, 0, 0),
    ("communication-prohibited", 1, 1, 1),
    ("beyond-scope", 1, 2, 2),
    ("address-unreachable", 1, 3, 3),
    ("port-unreachable", 1, 4, 4),
    ("failed-policy", 1, 5, 5),
    ("reject-route", 1, 6, 6),
    ("packet-too-big", 2, 0, 255),
    ("time-exceeded", 3, 0, 255),
    ("ttl-exceeded", 3, 0, 255),
    ("ttl-zero-during-transit", 3, 0, 0),
    ("ttl-zero-during-reassembly", 3, 1, 1),
    ("parameter-problem", 4, 0, 255),
    ("bad-header", 4, 0, 0),
    ("unknown-header-type", 4, 1, 1),
    ("unknown-option", 4, 2, 2),
    ("echo-request", 128, 0, 255),
    ("ping", 128, 0, 255),
    ("echo-reply", 129, 0, 255),
    ("pong", 129, 0, 255),
    ("mld-listener-query", 130, 0, 255),
    ("mld-listener-report", 131, 0, 255),
    ("mld-listener-done", 132, 0, 255),
    ("mld-listener-reduction", 132, 0, 255),
    ("router-solicitation", 133, 0, 255),
    ("router-advertisement", 134, 0, 255),
    ("neighbour-solicitation", 135, 0, 255),
    ("neighbor-solicitation", 135, 0, 255),
    ("neighbour-advertisement", 136, 0, 255),
    ("neighbor-advertisement", 136, 0, 255),
    ("redirect", 137, 0, 255),
];

/// REJECT's answers for IPv4: name, alias, ICMP code.
pub const REJECT_V4: &[(&str, &str, u8)] = &[
    ("icmp-net-unreachable", "net-unreach", 0),
    ("icmp-host-unreachable", "host-unreach", 1),
    ("icmp-proto-unreachable", "proto-unreach", 2),
    ("icmp-port-unreachable", "port-unreach", 3),
    ("icmp-net-prohibited", "net-prohib", 9),
    ("icmp-host-prohibited", "host-prohib", 10),
    ("icmp-admin-prohibited", "admin-prohib", 13),
];

/// REJECT's answers for IPv6: name, alias, ICMPv6 code.
pub const REJECT_V6: &[(&str, &str, u8)] = &[
    ("icmp6-no-route", "no-route", 0),
    ("icmp6-adm-prohibited", "adm-prohibited", 1),
    ("icmp6-addr-unreachable", "addr-unreach", 3),
    ("icmp6-port-unreachable", "port-unreach", 4),
    ("icmp6-policy-fail", "policy-fail", 5),
    ("icmp6-reject-route", "reject-route", 6),
];
