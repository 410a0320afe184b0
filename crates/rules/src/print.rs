//! Canonical text: what iptables-save prints (without its dated comment lines).

use std::fmt::Write;
use std::net::IpAddr;

use crate::catalogue;
use crate::model::*;

/// The whole ruleset, tables in the order in which iptables-save has them.
pub fn save(ruleset: &Ruleset, counters: bool) -> String {
    let mut out = String::new();
    // The kernel lists the table that came last first.
    for table in ruleset.tables.iter().rev() {
        let _ = writeln!(out, "*{}", table.kind.name());
        // The kernel keeps user chains sorted by name as the program's library inserts them.
        let mut order: Vec<&Chain> = table.chains.iter().collect();
        order.sort_by(|a, b| match (a.builtin, b.builtin) {
            (Some(x), Some(y)) => x.cmp(&y),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => a.name.cmp(&b.name),
        });
        for chain in &order {
            let policy = match chain.builtin {
                Some(_) => chain.policy.name(),
                None => "-",
            };
            let shown = if chain.builtin.is_some() {
                chain.counters
            } else {
                Counters::default()
            };
            let _ = writeln!(
                out,
                ":{} {policy} [{}:{}]",
                chain.name, shown.packets, shown.bytes
            );
        }
        for chain in &order {
            for entry in &chain.rules {
                if counters {
                    let _ = write!(
                        out,
                        "[{}:{}] ",
                        entry.counters.packets, entry.counters.bytes
                    );
                }
                let _ = writeln!(out, "{}", rule(table, chain, entry));
            }
        }
        out.push_str("COMMIT\n");
    }
    out
}

/// As [`save`], in the way of one of the tools.
pub fn save_as(ruleset: &Ruleset, counters: bool, _tools: crate::Tools) -> String {
    save(ruleset, counters)
}

/// As [`rule`], in the way of one of the tools.
pub fn rule_as(table: &Table, chain: &Chain, entry: &Rule, _tools: crate::Tools) -> String {
    rule(table, chain, entry)
}

/// One rule: `-A CHAIN …`.
pub fn rule(table: &Table, chain: &Chain, rule: &Rule) -> String {
    let mut out = format!("-A {}", chain.name);
    base(&mut out, &rule.base);
    for m in &rule.matches {
        let _ = write!(out, " -m {}", m.name());
        write_match(&mut out, m);
    }
    target(&mut out, table, &rule.target);
    out
}

fn bang<T>(out: &mut String, not: &Not<T>) {
    if not.negated {
        out.push_str(" !");
    }
}

fn base(out: &mut String, base: &Base) {
    for (option, value) in [("-s", &base.source), ("-d", &base.destination)] {
        if let Some(not) = value {
            bang(out, not);
            let _ = write!(out, " {option} {}", net(&not.value));
        }
    }
    for (option, value) in [("-i", &base.in_interface), ("-o", &base.out_interface)] {
        if let Some(not) = value {
            if not.value.name.is_empty() && not.value.prefix && !not.negated {
                continue;
            }
            bang(out, not);
            let plus = if not.value.prefix { "+" } else { "" };
            let _ = write!(out, " {option} {}{plus}", not.value.name);
        }
    }
    if let Some(not) = &base.protocol {
        bang(out, not);
        let _ = write!(out, " -p {}", catalogue::protocol_name(not.value));
    }
    if let Some(not) = &base.fragment {
        bang(out, not);
        out.push_str(" -f");
    }
}

/// An address with its mask: a length, or for odd masks the mask itself.
fn net(net: &Net) -> String {
    match prefix_length(net.mask) {
        Some(length) => format!("{}/{length}", net.address),
        None => format!("{}/{}", net.address, net.mask),
    }
}

/// Without `/32` or `/128`, as extensions print addresses.
fn bare_net(n: &Net) -> String {
    match (prefix_length(n.mask), n.mask) {
        (Some(32), IpAddr::V4(_)) | (Some(128), IpAddr::V6(_)) => n.address.to_string(),
        _ => net(n),
    }
}

fn prefix_length(mask: IpAddr) -> Option<u32> {
    let (bits, ones, width) = match mask {
        IpAddr::V4(m) => (
            u128::from(u32::from(m)) << 96,
            u32::from(m).count_ones(),
            32,
        ),
        IpAddr::V6(m) => (u128::from(m), u128::from(m).count_ones(), 128),
    };
    (bits.leading_ones() == ones && ones <= width).then_some(ones)
}

fn range(r: PortRange) -> String {
    if r.first == r.last {
        r.first.to_string()
    } else {
        format!("{}:{}", r.first, r.last)
    }
}

fn ports(out: &mut String, option: &str, value: &Option<Not<PortRange>>) {
    if let Some(not) = value {
        bang(out, not);
        let _ = write!(out, " --{option} {}", range(not.value));
    }
}

fn flags(bits: u8) -> String {
    const NAMES: [(&str, u8); 6] = [
        ("FIN", 1),
        ("SYN", 2),
        ("RST", 4),
        ("PSH", 8),
        ("ACK", 16),
        ("URG", 32),
    ];
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(_, b)| bits & b != 0)
        .map(|(n, _)| *n)
        .collect();
    if names.is_empty() {
        "NONE".to_string()
    } else {
        names.join(",")
    }
}

fn named(set: u64, names: impl Iterator<Item = (&'static str, u64)>) -> String {
    let hits: Vec<&str> = names
        .filter(|(_, b)| set & b != 0)
        .map(|(n, _)| n)
        .collect();
    if hits.is_empty() {
        "NONE".to_string()
    } else {
        hits.join(",")
    }
}

fn states(set: StateSet) -> String {
    named(
        u64::from(set.0),
        StateSet::NAMES.iter().map(|(n, b)| (*n, u64::from(*b))),
    )
}

/// A text value as iptables-save quotes it (`xtables_save_string`): bare only when it has nothing
/// but letters, digits, `_` and `-`.
fn quoted(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !text.is_empty() && text.bytes().all(bare) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A kept word: quoted only when it would not be read back as one word.
fn kept_word(word: &str) -> String {
    let splits = |c: char| c.is_whitespace() || matches!(c, '"' | '\\');
    if word.is_empty() || word.contains(splits) {
        quoted(word)
    } else {
        word.to_string()
    }
}

fn ttl(out: &mut String, prefix: &str, test: TtlTest) {
    let _ = match test {
        TtlTest::Equal(n) => write!(out, " --{prefix}-eq {n}"),
        TtlTest::Differs(n) => write!(out, " ! --{prefix}-eq {n}"),
        TtlTest::Less(n) => write!(out, " --{prefix}-lt {n}"),
        TtlTest::Greater(n) => write!(out, " --{prefix}-gt {n}"),
    };
}

fn write_match(out: &mut String, m: &Match) {
    match m {
        Match::Tcp(tcp) => {
            ports(out, "sport", &tcp.source);
            ports(out, "dport", &tcp.destination);
            if let Some(not) = &tcp.option {
                bang(out, not);
                let _ = write!(out, " --tcp-option {}", not.value);
            }
            if let Some(not) = &tcp.flags {
                bang(out, not);
                let _ = write!(
                    out,
                    " --tcp-flags {} {}",
                    flags(not.value.mask),
                    flags(not.value.set)
                );
            }
        }
        Match::Udp(udp) => {
            ports(out, "sport", &udp.source);
            ports(out, "dport", &udp.destination);
        }
        Match::Icmp(not) | Match::Icmp6(not) => {
            bang(out, not);
            let option = if matches!(m, Match::Icmp(_)) {
                "icmp-type"
            } else {
                "icmpv6-type"
            };
            match not.value.kind {
                None => {
                    let _ = write!(out, " --{option} any");
                }
                Some(kind) => {
                    let _ = write!(out, " --{option} {kind}");
                    if not.value.codes != (0, 255) {
                        let _ = write!(out, "/{}", not.value.codes.0);
                    }
                }
            }
        }
        Match::State(not) => {
            bang(out, not);
            let _ = write!(out, " --state {}", states(not.value));
        }
        Match::Conntrack(ct) => conntrack(out, ct),
        Match::Multiport { side, ports } => {
            bang(out, ports);
            let option = match side {
                Side::Source => "sports",
                Side::Destination => "dports",
                Side::Either => "ports",
            };
            let list: Vec<String> = ports.value.iter().map(|r| range(*r)).collect();
            let _ = write!(out, " --{option} {}", list.join(","));
        }
        Match::Iprange {
            source,
            destination,
        } => {
            for (option, value) in [("src-range", source), ("dst-range", destination)] {
                if let Some(not) = value {
                    bang(out, not);
                    let _ = write!(out, " --{option} {}-{}", not.value.0, not.value.1);
                }
            }
        }
        Match::Limit(limit) => {
            let _ = write!(out, " --limit {}", rate(limit.average));
            if limit.burst != 5 {
                let _ = write!(out, " --limit-burst {}", limit.burst);
            }
        }
        Match::Mark(not) => {
            bang(out, not);
            let _ = write!(out, " --mark {}", masked(not.value));
        }
        Match::Comment(text) => {
            let _ = write!(out, " --comment {}", quoted(text));
        }
        Match::Recent(recent) => write_recent(out, recent),
        Match::Addrtype(a) => {
            for (option, value) in [("src-type", &a.source), ("dst-type", &a.destination)] {
                if let Some(not) = value {
                    bang(out, not);
                    let names = AddrType::NAMES
                        .iter()
                        .enumerate()
                        .map(|(i, n)| (*n, 1u64 << i));
                    let _ = write!(out, " --{option} {}", named(u64::from(not.value.0), names));
                }
            }
            if a.limit_in {
                out.push_str(" --limit-iface-in");
            }
            if a.limit_out {
                out.push_str(" --limit-iface-out");
            }
        }
        Match::Length(not) => {
            bang(out, not);
            let (first, last) = not.value;
            let _ = if first == last {
                write!(out, " --length {first}")
            } else {
                write!(out, " --length {first}:{last}")
            };
        }
        Match::Ttl(test) => ttl(out, "ttl", *test),
        Match::Hl(test) => ttl(out, "hl", *test),
        Match::Mac(not) => {
            bang(out, not);
            let [a, b, c, d, e, f] = not.value;
            let _ = write!(
                out,
                " --mac-source {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
            );
        }
        Match::Connlabel(not) => {
            bang(out, not);
            // iptables-save puts it in quotes whatever it holds.
            let _ = write!(out, " --label \"{}\"", not.value.label);
            if not.value.set {
                out.push_str(" --set");
            }
        }
        Match::Pkttype(not) => {
            bang(out, not);
            let word = match not.value {
                PktType::Unicast => "unicast",
                PktType::Broadcast => "broadcast",
                PktType::Multicast => "multicast",
            };
            let _ = write!(out, " --pkt-type {word}");
        }
        Match::Helper(not) => {
            bang(out, not);
            let _ = write!(out, " --helper {}", quoted(&not.value));
        }
        Match::Kept(kept) => words(out, kept),
    }
}

fn words(out: &mut String, kept: &Kept) {
    for word in &kept.words {
        let _ = write!(out, " {}", kept_word(word));
    }
}

fn masked((value, mask): (u32, u32)) -> String {
    if mask == u32::MAX {
        format!("0x{value:x}")
    } else {
        format!("0x{value:x}/0x{mask:x}")
    }
}

/// A rate in the largest unit that keeps it whole.
fn rate(average: u32) -> String {
    const UNITS: [(&str, u32); 4] = [
        ("day", 864_000_000),
        ("hour", 36_000_000),
        ("min", 600_000),
        ("sec", 10_000),
    ];
    let average = average.max(1);
    let mut chosen = UNITS[0];
    for (i, unit) in UNITS.iter().enumerate().skip(1) {
        let (_, ticks) = *unit;
        if average > ticks || ticks / average < ticks % average {
            break;
        }
        chosen = UNITS[i];
    }
    format!("{}/{}", chosen.1 / average, chosen.0)
}

fn conntrack(out: &mut String, ct: &ConntrackMatch) {
    if let Some(not) = &ct.state {
        bang(out, not);
        let _ = write!(out, " --ctstate {}", states(not.value));
    }
    if let Some(not) = &ct.protocol {
        bang(out, not);
        let _ = write!(out, " --ctproto {}", not.value);
    }
    for (option, value) in [
        ("ctorigsrc", &ct.orig_source),
        ("ctorigdst", &ct.orig_destination),
        ("ctreplsrc", &ct.repl_source),
        ("ctrepldst", &ct.repl_destination),
    ] {
        if let Some(not) = value {
            bang(out, not);
            let _ = write!(out, " --{option} {}", bare_net(&not.value));
        }
    }
    ports(out, "ctorigsrcport", &ct.orig_source_port);
    ports(out, "ctorigdstport", &ct.orig_destination_port);
    ports(out, "ctreplsrcport", &ct.repl_source_port);
    ports(out, "ctrepldstport", &ct.repl_destination_port);
    if let Some(not) = &ct.status {
        bang(out, not);
        let names = CtStatusSet::NAMES.iter().map(|(n, b)| (*n, u64::from(*b)));
        let _ = write!(out, " --ctstatus {}", named(u64::from(not.value.0), names));
    }
    if let Some(not) = &ct.expire {
        bang(out, not);
        let (first, last) = not.value;
        let _ = if first == last {
            write!(out, " --ctexpire {first}")
        } else {
            write!(out, " --ctexpire {first}:{last}")
        };
    }
    match ct.original {
        Some(true) => out.push_str(" --ctdir ORIGINAL"),
        Some(false) => out.push_str(" --ctdir REPLY"),
        None => {}
    }
}

fn write_recent(out: &mut String, recent: &Recent) {
    if recent.negated {
        out.push_str(" !");
    }
    out.push_str(match recent.action {
        RecentAction::Set => " --set",
        RecentAction::Check => " --rcheck",
        RecentAction::Update => " --update",
        RecentAction::Remove => " --remove",
    });
    if let Some(seconds) = recent.seconds {
        let _ = write!(out, " --seconds {seconds}");
    }
    if recent.reap {
        out.push_str(" --reap");
    }
    if let Some(hits) = recent.hitcount {
        let _ = write!(out, " --hitcount {hits}");
    }
    if recent.rttl {
        out.push_str(" --rttl");
    }
    let _ = write!(
        out,
        " --name {} --mask {}",
        kept_word(&recent.name),
        recent.mask
    );
    out.push_str(match recent.side {
        Side::Destination => " --rdest",
        _ => " --rsource",
    });
}

fn target(out: &mut String, table: &Table, target: &Target) {
    let chain = |at: usize| table.chains.get(at).map_or("?", |c| c.name.as_str());
    match target {
        Target::None => {}
        Target::Accept => out.push_str(" -j ACCEPT"),
        Target::Drop => out.push_str(" -j DROP"),
        Target::Return => out.push_str(" -j RETURN"),
        Target::Jump(at) => {
            let _ = write!(out, " -j {}", chain(*at));
        }
        Target::Goto(at) => {
            let _ = write!(out, " -g {}", chain(*at));
        }
        Target::Reject(with) => {
            let _ = write!(out, " -j REJECT --reject-with {}", reject_name(*with));
        }
        Target::Log(log) => {
            out.push_str(" -j LOG");
            if !log.prefix.is_empty() {
                let _ = write!(out, " --log-prefix {}", quoted(&log.prefix));
            }
            if log.level != 4 {
                let _ = write!(out, " --log-level {}", log.level);
            }
            for (set, option) in [
                (log.tcp_sequence, "log-tcp-sequence"),
                (log.tcp_options, "log-tcp-options"),
                (log.ip_options, "log-ip-options"),
                (log.uid, "log-uid"),
                (log.macdecode, "log-macdecode"),
            ] {
                if set {
                    let _ = write!(out, " --{option}");
                }
            }
        }
        Target::Nflog(nflog) => {
            out.push_str(" -j NFLOG");
            if !nflog.prefix.is_empty() {
                let _ = write!(out, " --nflog-prefix {}", quoted(&nflog.prefix));
            }
            if nflog.group != 0 {
                let _ = write!(out, " --nflog-group {}", nflog.group);
            }
            if let Some(range) = nflog.range {
                let _ = write!(out, " --nflog-range {range}");
            }
            if let Some(size) = nflog.size {
                let _ = write!(out, " --nflog-size {size}");
            }
            if nflog.threshold > 1 {
                let _ = write!(out, " --nflog-threshold {}", nflog.threshold);
            }
        }
        Target::Mark { value, mask } => {
            let _ = write!(out, " -j MARK --set-xmark 0x{value:x}/0x{mask:x}");
        }
        Target::Connmark(change) => {
            let _ = match change {
                Connmark::Set { value, mask } => {
                    write!(out, " -j CONNMARK --set-xmark 0x{value:x}/0x{mask:x}")
                }
                Connmark::Save { nfmask, ctmask } => write!(
                    out,
                    " -j CONNMARK --save-mark --nfmask 0x{nfmask:x} --ctmask 0x{ctmask:x}"
                ),
                Connmark::Restore { nfmask, ctmask } => write!(
                    out,
                    " -j CONNMARK --restore-mark --nfmask 0x{nfmask:x} --ctmask 0x{ctmask:x}"
                ),
            };
        }
        Target::Ct(ct) => {
            out.push_str(" -j CT");
            if ct.notrack {
                out.push_str(" --notrack");
            }
            if let Some(helper) = &ct.helper {
                let _ = write!(out, " --helper {helper}");
            }
            if let Some(timeout) = &ct.timeout {
                let _ = write!(out, " --timeout {timeout}");
            }
            if let Some(events) = &ct.events {
                let _ = write!(out, " --ctevents {events}");
            }
            if let Some(events) = &ct.expect_events {
                let _ = write!(out, " --expevents {events}");
            }
            if let Some((id, direction)) = ct.zone {
                let option = match direction {
                    ZoneDirection::Both => "zone",
                    ZoneDirection::Original => "zone-orig",
                    ZoneDirection::Reply => "zone-reply",
                };
                let id = id.map_or("mark".to_string(), |id| id.to_string());
                let _ = write!(out, " --{option} {id}");
            }
        }
        Target::Notrack => out.push_str(" -j NOTRACK"),
        Target::Snat(range) => nat(out, "SNAT", " --to-source ", range),
        Target::Dnat(range) => nat(out, "DNAT", " --to-destination ", range),
        Target::Masquerade(range) => nat(out, "MASQUERADE", " --to-ports ", range),
        Target::Redirect(range) => nat(out, "REDIRECT", " --to-ports ", range),
        Target::Netmap(net) => {
            let _ = write!(out, " -j NETMAP --to {}", self::net(net));
        }
        Target::Npt {
            destination,
            from,
            to,
        } => {
            let name = if *destination { "DNPT" } else { "SNPT" };
            let _ = write!(out, " -j {name}");
            for (option, (address, length)) in [("src-pfx", from), ("dst-pfx", to)] {
                if !address.is_unspecified() || *length != 0 {
                    let _ = write!(out, " --{option} {address}/{length}");
                }
            }
        }
        Target::Kept(kept) => {
            let _ = write!(out, " -j {}", kept.name);
            words(out, kept);
        }
    }
}

fn nat(out: &mut String, name: &str, option: &str, range: &NatRange) {
    let _ = write!(out, " -j {name}");
    let mut to = String::new();
    if let Some((first, last)) = range.addresses {
        let brackets = first.is_ipv6() && range.ports.is_some();
        if brackets {
            to.push('[');
        }
        let _ = write!(to, "{first}");
        if last != first {
            let _ = write!(to, "-{last}");
        }
        if brackets {
            to.push(']');
        }
    }
    if let Some((first, last)) = range.ports {
        if !option.ends_with("ports ") {
            to.push(':');
        }
        let _ = write!(to, "{first}");
        if last != first {
            let _ = write!(to, "-{last}");
        }
        if let Some(base) = range.base_port {
            let _ = write!(to, "/{base}");
        }
    }
    if !to.is_empty() {
        out.push_str(option);
        out.push_str(&to);
    }
    for (set, flag) in [
        (range.random, " --random"),
        (range.random_fully, " --random-fully"),
        (range.persistent, " --persistent"),
    ] {
        if set {
            out.push_str(flag);
        }
    }
}

/// Name of a REJECT answer.
pub fn reject_name(with: RejectWith) -> &'static str {
    let find = |table: &[(&'static str, &'static str, u8)], code: u8| {
        table
            .iter()
            .find(|(.., c)| *c == code)
            .map_or("?", |(name, ..)| *name)
    };
    match with {
        RejectWith::Icmp(code) => find(catalogue::REJECT_V4, code),
        RejectWith::Icmp6(code) => find(catalogue::REJECT_V6, code),
        RejectWith::TcpReset => "tcp-reset",
    }
}
