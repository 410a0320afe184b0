//! From the options of one extension to its match or target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_wire::Family;

use super::value::{self, Bad, Value};
use crate::catalogue::{self, Extension};
use crate::lex::Word;
use crate::model::*;

/// One option as written: its long name, whether `!` stood before it, its words.
pub(crate) struct Given {
    pub(crate) name: &'static str,
    pub(crate) negated: bool,
    pub(crate) word: Word,
    pub(crate) values: Vec<Word>,
}

/// An extension with its options as written.
pub(crate) struct Loaded {
    pub(crate) extension: &'static Extension,
    pub(crate) word: Word,
    pub(crate) given: Vec<Given>,
    /// Option words with `!`, in order, for extensions that are kept.
    pub(crate) words: Vec<String>,
}

/// What is wrong, and the words that it is about.
pub(crate) type Fault = (Word, Bad);

impl Loaded {
    fn find(&self, names: &[&str]) -> Option<&Given> {
        self.given.iter().find(|g| names.contains(&g.name))
    }

    /// The value of an option, parsed, with its `!`.
    fn value<T>(
        &self,
        names: &[&str],
        parse: impl Fn(&str) -> Value<T>,
    ) -> Result<Option<Not<T>>, Fault> {
        let Some(given) = self.find(names) else {
            return Ok(None);
        };
        let word = given.values.first().unwrap_or(&given.word);
        match parse(&word.text) {
            Ok(value) => Ok(Some(Not {
                negated: given.negated,
                value,
            })),
            Err(bad) => Err((word.clone(), bad)),
        }
    }

    /// As [`value`](Self::value), and `!` is not allowed.
    pub(super) fn plain<T>(
        &self,
        names: &[&str],
        parse: impl Fn(&str) -> Value<T>,
    ) -> Result<Option<T>, Fault> {
        match self.value(names, parse)? {
            Some(not) if not.negated => Err((
                self.find(names).map_or(&self.word, |g| &g.word).clone(),
                Bad::new(format!("'!' cannot stand before --{}", names[0]))
                    .help("leave out the '!'"),
            )),
            other => Ok(other.map(|not| not.value)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(&[name]).is_some()
    }

    pub(super) fn required<T>(&self, value: Option<T>, option: &str) -> Result<T, Fault> {
        value.ok_or_else(|| {
            (
                self.word.clone(),
                Bad::new(format!(
                    "'{}' needs the option --{option}",
                    self.extension.name
                ))
                .missing(),
            )
        })
    }

    fn kept(&self) -> Kept {
        Kept {
            name: self.extension.name.to_string(),
            words: self.words.clone(),
        }
    }
}

fn text(t: &str) -> Value<String> {
    Ok(t.to_string())
}

fn limited(max: usize) -> impl Fn(&str) -> Value<String> {
    move |t| {
        if t.len() > max {
            Err(Bad::new(format!(
                "the text has {} bytes, at most {max} are allowed",
                t.len()
            )))
        } else {
            Ok(t.to_string())
        }
    }
}

/// A text that the real program cuts off without a word.
fn cut(max: usize) -> impl Fn(&str) -> Value<String> {
    move |t| {
        let end = (0..=max.min(t.len()))
            .rev()
            .find(|i| t.is_char_boundary(*i));
        Ok(t[..end.unwrap_or(0)].to_string())
    }
}

fn up_to(max: u64) -> impl Fn(&str) -> Value<u64> {
    move |t| value::number(t, max)
}

/// The match of a loaded extension.
pub(crate) fn build_match(loaded: &Loaded, family: Family) -> Result<Match, Fault> {
    let l = loaded;
    Ok(match l.extension.name {
        "tcp" => {
            let flags = match (l.find(&["syn"]), l.find(&["tcp-flags"])) {
                (Some(given), _) => Some(Not {
                    negated: given.negated,
                    value: TcpFlags {
                        mask: 0x17,
                        set: 0x02,
                    },
                }),
                (None, Some(given)) => {
                    let part = |i: usize| -> Result<u8, Fault> {
                        let word = given.values.get(i).unwrap_or(&given.word);
                        value::tcp_flags(&word.text).map_err(|bad| (word.clone(), bad))
                    };
                    Some(Not {
                        negated: given.negated,
                        value: TcpFlags {
                            mask: part(0)?,
                            set: part(1)?,
                        },
                    })
                }
                _ => None,
            };
            Match::Tcp(TcpMatch {
                source: l.value(&["source-port", "sport"], value::port_range)?,
                destination: l.value(&["destination-port", "dport"], value::port_range)?,
                flags,
                option: l.value(&["tcp-option"], |t| value::number(t, 255).map(|n| n as u8))?,
            })
        }
        "udp" => Match::Udp(UdpMatch {
            source: l.value(&["source-port", "sport"], value::port_range)?,
            destination: l.value(&["destination-port", "dport"], value::port_range)?,
        }),
        "icmp" | "icmp6" => {
            let (option, table) = match l.extension.name {
                "icmp" => ("icmp-type", catalogue::ICMP_NAMES),
                _ => ("icmpv6-type", catalogue::ICMP6_NAMES),
            };
            let given = l.value(&[option], |t| value::icmp_type(t, table))?;
            let v6 = l.extension.name == "icmp6";
            let not = match (given, v6) {
                (Some(not), _) => not,
                (None, true) => l.required(None, option)?,
                (None, false) => Not {
                    negated: false,
                    value: (255, 0, 255),
                },
            };
            let (kind, first, last) = not.value;
            let value = Not {
                negated: not.negated,
                value: IcmpType {
                    kind: (v6 || kind != 255).then_some(kind),
                    codes: (first, last),
                },
            };
            if v6 {
                Match::Icmp6(value)
            } else {
                Match::Icmp(value)
            }
        }
        "state" => {
            let names = &StateSet::NAMES[..5];
            let not = l.value(&["state"], |t| value::names(t, names, "connection state"))?;
            Match::State(states(l.required(not, "state")?))
        }
        "conntrack" => conntrack(l, family)?,
        "multiport" => {
            let list = |t: &str| -> Value<Vec<PortRange>> {
                let mut ports = Vec::new();
                let mut cost = 0;
                for part in t.split(',') {
                    let range = value::port_range(part)?;
                    cost += if part.contains(':') { 2 } else { 1 };
                    ports.push(range);
                }
                if cost > 15 {
                    return Err(Bad::new(format!(
                        "{cost} ports; multiport takes at most 15, and a range counts two"
                    ))
                    .help("split it into two rules"));
                }
                Ok(ports)
            };
            for (side, names) in [
                (Side::Source, ["source-ports", "sports"]),
                (Side::Destination, ["destination-ports", "dports"]),
                (Side::Either, ["ports", "ports"]),
            ] {
                if let Some(ports) = l.value(&names, list)? {
                    return Ok(Match::Multiport { side, ports });
                }
            }
            l.required(None, "dports")?
        }
        "iprange" => {
            let range = |t: &str| value::address_range(t, family);
            let source = l.value(&["src-range"], range)?;
            let destination = l.value(&["dst-range"], range)?;
            if source.is_none() && destination.is_none() {
                l.required(None::<()>, "src-range")?;
            }
            Match::Iprange {
                source,
                destination,
            }
        }
        "limit" => Match::Limit(Limit {
            average: l
                .plain(&["limit"], value::rate)?
                .unwrap_or(10_000 * 3600 / 3),
            burst: l
                .plain(&["limit-burst"], |t| match value::number(t, 10_000) {
                    Ok(0) => Err(Bad::new("a burst of 0 never lets a packet pass")),
                    other => other,
                })?
                .unwrap_or(5) as u32,
        }),
        "mark" => {
            let not = l.value(&["mark"], value::mark)?;
            Match::Mark(l.required(not, "mark")?)
        }
        "comment" => {
            let comment = l.plain(&["comment"], limited(255))?;
            Match::Comment(l.required(comment, "comment")?)
        }
        "recent" => recent(l, family)?,
        "addrtype" => {
            let types = |t: &str| -> Value<AddrType> {
                let table: Vec<(&str, u16)> = AddrType::NAMES
                    .iter()
                    .enumerate()
                    .map(|(i, n)| (*n, 1u16 << i))
                    .collect();
                value::names(t, &table, "address type").map(|set| AddrType(set as u16))
            };
            let matched = AddrtypeMatch {
                source: l.value(&["src-type"], types)?,
                destination: l.value(&["dst-type"], types)?,
                limit_in: l.has("limit-iface-in"),
                limit_out: l.has("limit-iface-out"),
            };
            if matched.source.is_none() && matched.destination.is_none() {
                l.required(None::<()>, "src-type")?;
            }
            Match::Addrtype(matched)
        }
        "length" => {
            let not = l.value(&["length"], |t| value::number_range(t, 65_535))?;
            let not = l.required(not, "length")?;
            Match::Length(Not {
                negated: not.negated,
                value: (not.value.0 as u16, not.value.1 as u16),
            })
        }
        "ttl" => Match::Ttl(ttl(l, ["ttl-eq", "ttl", "ttl-lt", "ttl-gt"])?),
        "hl" => Match::Hl(ttl(l, ["hl-eq", "hl", "hl-lt", "hl-gt"])?),
        "mac" => {
            let not = l.value(&["mac-source"], value::mac)?;
            Match::Mac(l.required(not, "mac-source")?)
        }
        "pkttype" => {
            let kinds = |t: &str| match t.to_ascii_lowercase().as_str() {
                "unicast" => Ok(PktType::Unicast),
                "broadcast" => Ok(PktType::Broadcast),
                "multicast" => Ok(PktType::Multicast),
                _ => Err(Bad::new(format!("'{t}' is no packet type"))
                    .help("unicast, broadcast or multicast")),
            };
            let not = l.value(&["pkt-type"], kinds)?;
            Match::Pkttype(l.required(not, "pkt-type")?)
        }
        "connlabel" => {
            let label = |t: &str| -> Value<String> {
                match t.parse::<u64>() {
                    Ok(128..) => Err(Bad::new(format!("label {t} is too large"))
                        .help("a number from 0 to 127, or a name")),
                    _ => Ok(t.to_string()),
                }
            };
            let not = l.value(&["label"], label)?;
            let not = l.required(not, "label")?;
            Match::Connlabel(Not {
                negated: not.negated,
                value: Connlabel {
                    label: not.value,
                    set: l.has("set"),
                },
            })
        }
        "helper" => {
            let not = l.value(&["helper"], cut(29))?;
            Match::Helper(l.required(not, "helper")?)
        }
        _ => Match::Kept(l.kept()),
    })
}

fn states(not: Not<u64>) -> Not<StateSet> {
    Not {
        negated: not.negated,
        value: StateSet(not.value as u8),
    }
}

fn conntrack(l: &Loaded, family: Family) -> Result<Match, Fault> {
    let net = |t: &str| value::net(t, family);
    let status = |t: &str| -> Value<CtStatusSet> {
        if t.eq_ignore_ascii_case("NONE") {
            return Ok(CtStatusSet(0));
        }
        value::names(t, &CtStatusSet::NAMES, "connection status").map(|s| CtStatusSet(s as u8))
    };
    let direction = |t: &str| match t.to_ascii_uppercase().as_str() {
        "ORIGINAL" => Ok(true),
        "REPLY" => Ok(false),
        _ => Err(Bad::new(format!("'{t}' is no direction")).help("ORIGINAL or REPLY")),
    };
    let expire = l.value(&["ctexpire"], |t| {
        value::number_range(t, u64::from(u32::MAX)).map(|(a, b)| (a as u32, b as u32))
    })?;
    let original = l.value(&["ctdir"], direction)?;
    Ok(Match::Conntrack(ConntrackMatch {
        state: l
            .value(&["ctstate"], |t| {
                value::names(t, &StateSet::NAMES, "connection state")
            })?
            .map(states),
        protocol: l.value(&["ctproto"], value::protocol)?,
        orig_source: l.value(&["ctorigsrc"], net)?,
        orig_destination: l.value(&["ctorigdst"], net)?,
        repl_source: l.value(&["ctreplsrc"], net)?,
        repl_destination: l.value(&["ctrepldst"], net)?,
        orig_source_port: l.value(&["ctorigsrcport"], value::port_range)?,
        orig_destination_port: l.value(&["ctorigdstport"], value::port_range)?,
        repl_source_port: l.value(&["ctreplsrcport"], value::port_range)?,
        repl_destination_port: l.value(&["ctrepldstport"], value::port_range)?,
        status: l.value(&["ctstatus"], status)?,
        expire,
        original: original.map(|not| not.value != not.negated),
    }))
}

fn recent(l: &Loaded, family: Family) -> Result<Match, Fault> {
    let actions = [
        ("set", RecentAction::Set),
        ("rcheck", RecentAction::Check),
        ("update", RecentAction::Update),
        ("remove", RecentAction::Remove),
    ];
    let mut given = actions
        .iter()
        .filter_map(|(name, action)| l.find(&[name]).map(|g| (g, *action)));
    let Some((first, action)) = given.next() else {
        return l.required(None, "set, --rcheck, --update or --remove");
    };
    if let Some((second, _)) = given.next() {
        return Err((
            second.word.clone(),
            Bad::new("only one of --set, --rcheck, --update and --remove can stand in a rule"),
        ));
    }
    let name = l.plain(&["name"], limited(199))?;
    let seconds = l.plain(&["seconds"], up_to(u64::from(u32::MAX)))?;
    let reap = l.has("reap");
    if reap && seconds.is_none() {
        return Err((l.word.clone(), Bad::new("--reap needs --seconds")));
    }
    let checks = matches!(action, RecentAction::Check | RecentAction::Update);
    for option in ["seconds", "hitcount", "rttl", "reap"] {
        if !checks && let Some(given) = l.find(&[option]) {
            return Err((
                given.word.clone(),
                Bad::new(format!("--{option} goes with --rcheck or --update only")),
            ));
        }
    }
    let hitcount = l.plain(&["hitcount"], up_to(u64::from(u32::MAX)))?;
    if let (Some(count), Some(given)) = (hitcount, l.find(&["hitcount"]))
        && count > 65_535
    {
        return Err((
            given.values.first().unwrap_or(&given.word).clone(),
            Bad::new(format!(
                "--hitcount {count}: the kernel remembers at most 65535 packets"
            )),
        ));
    }
    let mask = l.plain(&["mask"], |t| value::address(t, family))?;
    Ok(Match::Recent(Recent {
        action,
        negated: first.negated,
        seconds: seconds.map(|s| s as u32),
        reap,
        hitcount: hitcount.map(|h| h as u32),
        rttl: l.has("rttl"),
        name: name.unwrap_or_else(|| "DEFAULT".to_string()),
        mask: mask.unwrap_or(match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::BROADCAST),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(u128::MAX)),
        }),
        side: if l.has("rdest") {
            Side::Destination
        } else {
            Side::Source
        },
    }))
}

fn ttl(l: &Loaded, [equal, short, less, greater]: [&str; 4]) -> Result<TtlTest, Fault> {
    let byte = |t: &str| value::number(t, 255).map(|n| n as u8);
    if let Some(not) = l.value(&[equal, short], byte)? {
        return Ok(if not.negated {
            TtlTest::Differs(not.value)
        } else {
            TtlTest::Equal(not.value)
        });
    }
    if let Some(value) = l.plain(&[less], byte)? {
        return Ok(TtlTest::Less(value));
    }
    let value = l.plain(&[greater], byte)?;
    l.required(value.map(TtlTest::Greater), equal)
}

/// The target of a loaded extension.
pub(crate) fn build_target(l: &Loaded, family: Family) -> Result<Target, Fault> {
    Ok(match l.extension.name {
        "REJECT" => {
            let parse = |t: &str| -> Value<RejectWith> {
                if matches!(t, "tcp-reset" | "tcp-rst") {
                    return Ok(RejectWith::TcpReset);
                }
                let table = match family {
                    Family::V4 => catalogue::REJECT_V4,
                    Family::V6 => catalogue::REJECT_V6,
                };
                // Names may be cut short, as the real program allows.
                match table
                    .iter()
                    .find(|(name, alias, _)| name.starts_with(t) || alias.starts_with(t))
                {
                    Some((.., code)) => Ok(match family {
                        Family::V4 => RejectWith::Icmp(*code),
                        Family::V6 => RejectWith::Icmp6(*code),
                    }),
                    None => {
                        let names = table
                            .iter()
                            .flat_map(|(n, a, _)| [*n, *a])
                            .chain(["tcp-reset"]);
                        let bad = Bad::new(format!("REJECT has no answer '{t}'"));
                        Err(match crate::diagnostic::nearest(t, names) {
                            Some(near) => bad.help(near),
                            None => bad,
                        })
                    }
                }
            };
            Target::Reject(l.plain(&["reject-with"], parse)?.unwrap_or(match family {
                Family::V4 => RejectWith::Icmp(3),
                Family::V6 => RejectWith::Icmp6(4),
            }))
        }
        "LOG" => Target::Log(Log {
            level: l.plain(&["log-level"], log_level)?.unwrap_or(4),
            prefix: l.plain(&["log-prefix"], cut(29))?.unwrap_or_default(),
            tcp_sequence: l.has("log-tcp-sequence"),
            tcp_options: l.has("log-tcp-options"),
            ip_options: l.has("log-ip-options"),
            uid: l.has("log-uid"),
            macdecode: l.has("log-macdecode"),
        }),
        "NFLOG" => Target::Nflog(Nflog {
            group: l.plain(&["nflog-group"], up_to(65_535))?.unwrap_or(0) as u16,
            prefix: l.plain(&["nflog-prefix"], limited(63))?.unwrap_or_default(),
            range: l
                .plain(&["nflog-range"], up_to(u64::from(u32::MAX)))?
                .map(|n| n as u32),
            size: l
                .plain(&["nflog-size"], up_to(u64::from(u32::MAX)))?
                .map(|n| n as u32),
            threshold: l.plain(&["nflog-threshold"], up_to(65_535))?.unwrap_or(0) as u16,
        }),
        "MARK" => {
            let (value, mask) = l.required(mark_change(l)?, "set-xmark")?;
            Target::Mark { value, mask }
        }
        "CONNMARK" => {
            if let Some((value, mask)) = mark_change(l)? {
                Target::Connmark(Connmark::Set { value, mask })
            } else {
                let max = u64::from(u32::MAX);
                let both = l.plain(&["mask"], up_to(max))?;
                let nfmask = l.plain(&["nfmask"], up_to(max))?.or(both).unwrap_or(max) as u32;
                let ctmask = l.plain(&["ctmask"], up_to(max))?.or(both).unwrap_or(max) as u32;
                if l.has("save-mark") {
                    Target::Connmark(Connmark::Save { nfmask, ctmask })
                } else if l.has("restore-mark") {
                    Target::Connmark(Connmark::Restore { nfmask, ctmask })
                } else {
                    l.required(None, "set-xmark, --save-mark or --restore-mark")?
                }
            }
        }
        "CT" => {
            let zone = |t: &str| -> Value<Option<u16>> {
                if t == "mark" {
                    Ok(None)
                } else {
                    value::number(t, 65_535).map(|n| Some(n as u16))
                }
            };
            let mut zones = None;
            for (name, direction) in [
                ("zone", ZoneDirection::Both),
                ("zone-orig", ZoneDirection::Original),
                ("zone-reply", ZoneDirection::Reply),
            ] {
                if let Some(id) = l.plain(&[name], zone)? {
                    zones = Some((id, direction));
                }
            }
            Target::Ct(Ct {
                notrack: l.has("notrack"),
                helper: l.plain(&["helper"], text)?,
                zone: zones,
                timeout: l.plain(&["timeout"], text)?,
                events: l.plain(&["ctevents"], text)?,
                expect_events: l.plain(&["expevents"], text)?,
            })
        }
        "NOTRACK" => Target::Notrack,
        _ => match super::nat::build(l, family)? {
            Some(target) => target,
            None => Target::Kept(l.kept()),
        },
    })
}

fn log_level(text: &str) -> Value<u8> {
    const LEVELS: [(&str, u8); 9] = [
        ("emerg", 0),
        ("alert", 1),
        ("crit", 2),
        ("error", 3),
        ("warning", 4),
        ("notice", 5),
        ("info", 6),
        ("debug", 7),
        ("panic", 0),
    ];
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return value::number(text, 7).map(|n| n as u8);
    }
    let lower = text.to_ascii_lowercase();
    LEVELS
        .iter()
        .find(|(n, _)| n.starts_with(&lower))
        .map(|(_, l)| *l)
        .ok_or_else(|| {
            Bad::new(format!("'{text}' is no log level")).help(
                "a number from 0 to 7, or emerg, alert, crit, error, warning, notice, info, debug",
            )
        })
}

/// The change that --set-mark and its siblings make, as value and mask.
fn mark_change(l: &Loaded) -> Result<Option<(u32, u32)>, Fault> {
    let bits = |t: &str| value::number(t, u64::from(u32::MAX)).map(|n| n as u32);
    if let Some((value, mask)) = l.plain(&["set-xmark"], value::mark)? {
        return Ok(Some((value, mask)));
    }
    if let Some((value, mask)) = l.plain(&["set-mark"], value::mark)? {
        return Ok(Some((value, mask | value)));
    }
    if let Some(bits) = l.plain(&["and-mark"], bits)? {
        return Ok(Some((0, !bits)));
    }
    if let Some(bits) = l.plain(&["or-mark"], bits)? {
        return Ok(Some((bits, bits)));
    }
    if let Some(bits) = l.plain(&["xor-mark"], bits)? {
        return Ok(Some((bits, 0)));
    }
    Ok(None)
}
