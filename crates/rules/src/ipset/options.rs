//! The options of `create` and `add`.

use palisade_wire::Family;

use super::command::{Fault, Piece};
use super::element::{address, all_of, any_span};
use super::kind::Kind;
use super::model::{Entry, Options, Set, SkbInfo, prefix_mask};
use crate::diagnostic::nearest;
use crate::value;

/// Seconds that a timeout can be (they have to fit into 31 bits of milliseconds).
pub const MOST_SECONDS: u64 = 2_147_483;

/// Addresses or ports of a bitmap (kernel `IPSET_BITMAP_MAX_RANGE`).
const MOST_OF_BITMAP: u128 = 65_536;

/// Words behind the fixed ones, taken one after the other.
pub(super) struct Words<'a, 'b> {
    words: std::slice::Iter<'b, Piece<'a>>,
}

impl<'a, 'b> Words<'a, 'b> {
    pub(super) fn new(words: &'b [Piece<'a>]) -> Self {
        Words {
            words: words.iter(),
        }
    }

    fn next(&mut self) -> Option<&'b Piece<'a>> {
        self.words.next()
    }

    fn value(&mut self, option: &Piece<'_>) -> Result<&'b Piece<'a>, Fault> {
        self.words.next().ok_or_else(|| {
            option.fault(
                "missing-value",
                format!("option {} needs a value", option.text),
            )
        })
    }
}

/// Names of the options that `create` of a type takes.
fn create_names(kind: Kind) -> Vec<&'static str> {
    let mut names = vec!["timeout", "counters", "comment", "skbinfo"];
    if kind.is_bitmap() {
        names.extend(["range", "from", "to"]);
        if kind != Kind::BitmapPort {
            names.push("network");
        }
        if kind == Kind::BitmapIp {
            names.push("netmask");
        }
    } else if kind == Kind::ListSet {
        names.push("size");
    } else {
        names.extend(["hashsize", "maxelem", "bucketsize", "initval", "forceadd"]);
        names.extend(["probes", "resize", "gc"]);
        if !kind.families().is_empty() {
            names.extend(["family", "-4", "-6"]);
        }
        match kind {
            Kind::HashIp | Kind::HashIpPort | Kind::HashNetNet => {
                names.extend(["netmask", "bitmask"]);
            }
            Kind::HashIpMark => names.push("markmask"),
            _ => {}
        }
    }
    names
}

fn unknown(piece: &Piece<'_>, kind: Kind, names: &[&'static str]) -> Fault {
    let fault = piece.fault(
        "unknown-option",
        format!("{} has no option '{}'", kind.name(), piece.text),
    );
    match nearest(piece.text, names.iter().copied()) {
        Some(near) => fault.help(near).fix(near),
        None => fault.help(format!("one of {}", names.join(", "))),
    }
}

/// Options may begin with hyphens, as they did before ipset 5.
fn plain<'p>(text: &'p str, names: &[&'static str]) -> &'p str {
    let bare = text.trim_start_matches('-');
    if names.contains(&text) || !names.contains(&bare) {
        text
    } else {
        bare
    }
}

fn number(piece: &Piece<'_>, max: u64) -> Result<u64, Fault> {
    piece.value(|t| value::number(t, max))
}

/// A new set with the options of `create`.
pub(super) fn create(
    name: &str,
    kind: Kind,
    line: u32,
    typename: &Piece<'_>,
    words: &[Piece<'_>],
    warnings: &mut Vec<Fault>,
) -> Result<Set, Fault> {
    let names = create_names(kind);
    let mut set = Set {
        name: name.to_string(),
        kind,
        family: kind.families().first().copied(),
        options: Options::default(),
        elements: Default::default(),
        members: Vec::new(),
        line,
    };
    // The family decides how the others are read, wherever it stands.
    let mut rest = Words::new(words);
    let mut family = None;
    while let Some(word) = rest.next() {
        let (found, span) = match plain(word.text, &names) {
            "-4" if names.contains(&"-4") => (Family::V4, word),
            "-6" if names.contains(&"-6") => (Family::V6, word),
            "family" if names.contains(&"family") => {
                let value = rest.value(word)?;
                let family = match value.text {
                    "inet" | "ipv4" | "-4" => Family::V4,
                    "inet6" | "ipv6" | "-6" => Family::V6,
                    _ => {
                        return Err(value
                            .fault("bad-family", format!("'{}' is not a family", value.text))
                            .help("inet or inet6"));
                    }
                };
                (family, value)
            }
            _ => continue,
        };
        if family.replace(found).is_some() {
            return Err(span.fault("twice", "the family is given twice".into()));
        }
        set.family = Some(found);
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut range: Option<(u128, u128)> = None;
    let mut rest = Words::new(words);
    while let Some(word) = rest.next() {
        let option = plain(word.text, &names);
        if !names.contains(&option) {
            return Err(unknown(word, kind, &names));
        }
        if seen.contains(&option) {
            return Err(word.fault("twice", format!("{option} is given twice")));
        }
        seen.push(option);
        let o = &mut set.options;
        match option {
            "counters" => o.counters = true,
            "comment" => o.comment = true,
            "skbinfo" => o.skbinfo = true,
            "forceadd" => o.forceadd = true,
            "-4" | "-6" => {}
            "family" => {
                rest.value(word)?;
            }
            "timeout" => o.timeout = Some(number(rest.value(word)?, MOST_SECONDS)? as u32),
            "hashsize" => {
                let size = number(rest.value(word)?, 1 << 31)? as u32;
                o.hashsize = size.max(64).next_power_of_two();
            }
            "maxelem" => o.maxelem = number(rest.value(word)?, u64::from(u32::MAX))? as u32,
            "bucketsize" => {
                let size = number(rest.value(word)?, 255)? as u8;
                o.bucketsize = size.clamp(2, 64).next_multiple_of(2);
            }
            "initval" => o.initval = Some(number(rest.value(word)?, u64::from(u32::MAX))? as u32),
            "size" => o.size = (number(rest.value(word)?, u64::from(u32::MAX))? as u32).max(4),
            "markmask" => o.markmask = number(rest.value(word)?, u64::from(u32::MAX))? as u32,
            "netmask" | "bitmask" => mask(&mut set, option, rest.value(word)?)?,
            "probes" | "resize" | "gc" => {
                let value = rest.value(word)?;
                warnings.push(
                    word.to(value)
                        .fault("ignored-option", format!("option {option} has no effect"))
                        .help("leave it out"),
                );
            }
            _ => read_range(&set, option, rest.value(word)?, &mut range)?,
        }
    }
    if seen.contains(&"from") != seen.contains(&"to") {
        return Err(typename.fault("missing-option", "from and to belong together".into()));
    }
    if kind.is_bitmap() {
        bitmap(&mut set, range, typename)?;
    }
    Ok(set)
}

fn mask(set: &mut Set, option: &str, value: &Piece<'_>) -> Result<(), Fault> {
    if set.options.netmask.is_some() || set.options.bitmask.is_some() {
        return Err(value.fault("bad-mask", "netmask and bitmask exclude each other".into()));
    }
    let width = set.width();
    if option == "netmask" {
        let length = number(value, u64::from(width))? as u8;
        if length == 0 {
            return Err(value
                .fault("bad-mask", "a netmask of length 0 leaves nothing".into())
                .help(format!("1 to {width}")));
        }
        set.options.netmask = Some(length);
        return Ok(());
    }
    let bits = address(set.family, value)?;
    if bits == 0 {
        return Err(value.fault("bad-mask", "a bitmask of 0 leaves nothing".into()));
    }
    set.options.bitmask = (bits != prefix_mask(width, width)).then_some(bits);
    Ok(())
}

fn read_range(
    set: &Set,
    option: &str,
    value: &Piece<'_>,
    range: &mut Option<(u128, u128)>,
) -> Result<(), Fault> {
    let port = |piece: &Piece<'_>| {
        let bare = match piece.cut(':') {
            Some((head, tail)) if matches!(head.text, "tcp" | "udp") => tail,
            _ => piece.clone(),
        };
        bare.value(value::port).map(u128::from)
    };
    let ports = set.kind == Kind::BitmapPort;
    match option {
        "from" | "to" => {
            let at = if ports {
                port(value)?
            } else {
                address(set.family, value)?
            };
            let (from, to) = range.get_or_insert((at, at));
            *(if option == "from" { from } else { to }) = at;
        }
        _ if ports => {
            let Some((first, last)) = value.cut('-') else {
                return Err(value
                    .fault("bad-range", format!("'{}' is not a range", value.text))
                    .help("such as 0-1023"));
            };
            *range = Some((port(&first)?, port(&last)?));
        }
        _ => {
            let span = any_span(set.family, value)?;
            if span.to.is_none() && span.prefix.is_none_or(|p| p == 32) {
                return Err(value
                    .fault("bad-range", format!("'{}' is not a range", value.text))
                    .help("such as 192.0.2.0/24 or 192.0.2.1-192.0.2.9"));
            }
            *range = Some(all_of(&span, 32));
        }
    }
    Ok(())
}

/// Checks and rounds the range of a bitmap (kernel `bitmap_ip_create`).
fn bitmap(set: &mut Set, range: Option<(u128, u128)>, typename: &Piece<'_>) -> Result<(), Fault> {
    let Some((first, last)) = range else {
        return Err(typename
            .fault(
                "missing-option",
                format!("{} needs a range", set.kind.name()),
            )
            .help(match set.kind {
                Kind::BitmapPort => "range 0-1023",
                _ => "range 192.0.2.0/24",
            }));
    };
    let (mut first, mut last) = (first.min(last), first.max(last));
    let netmask = set.options.netmask.unwrap_or(32);
    let mask = prefix_mask(netmask, 32);
    first &= mask;
    last |= 0xffff_ffff & !mask;
    if set.kind == Kind::BitmapPort {
        last &= 0xffff;
    }
    if netmask < 32 {
        // Kernel `range_to_mask`: the beginning has to be that of a network that holds the end, wider than the mask.
        let whole = (1..32)
            .rev()
            .find(|p| last & prefix_mask(*p, 32) == first)
            .or((first == 0 && last == 0xffff_ffff).then_some(0));
        if whole.is_none_or(|p| netmask <= p) {
            return Err(typename.fault(
                "bad-range",
                "with a netmask the range has to lie in one network, wider than the mask, and begin with it".into(),
            ));
        }
    }
    let hosts = 1u128 << (32 - netmask);
    if (last - first) / hosts + 1 > MOST_OF_BITMAP {
        return Err(typename
            .fault(
                "bad-range",
                format!("the range of {} is too large", set.kind.name()),
            )
            .help("at most 65536; hash:ip and hash:net have no range"));
    }
    set.options.range = (first as u32, last as u32);
    Ok(())
}

/// What `add` says behind the element, beside the place in a list.
pub(super) struct Added<'a> {
    pub(super) entry: Entry,
    /// Whether packets and bytes were given.
    pub(super) counted: (bool, bool),
    pub(super) before: Option<&'a str>,
    pub(super) after: Option<&'a str>,
}

impl Added<'_> {
    /// An element that is renewed goes on counting where nothing was said.
    pub(super) fn keep_counted(&self, entry: &mut Entry, old: &Entry) {
        if !self.counted.0 {
            entry.packets = old.packets;
        }
        if !self.counted.1 {
            entry.bytes = old.bytes;
        }
    }
}

fn add_names(kind: Kind) -> Vec<&'static str> {
    let mut names = vec![
        "timeout", "packets", "bytes", "comment", "skbmark", "skbprio", "skbqueue",
    ];
    if kind.has_nomatch() {
        names.push("nomatch");
    }
    match kind {
        Kind::HashNetIface => names.push("wildcard"),
        Kind::ListSet => names.extend(["before", "after"]),
        _ => {}
    }
    names
}

/// The options of `add` (or, with `deleting`, those of `del`).
pub(super) fn add<'a>(set: &Set, words: &[Piece<'a>], deleting: bool) -> Result<Added<'a>, Fault> {
    let names = match (deleting, set.kind) {
        (false, kind) => add_names(kind),
        (true, Kind::ListSet) => vec!["before", "after"],
        (true, _) => Vec::new(),
    };
    let mut added = Added {
        entry: Entry {
            timeout: set.options.timeout.unwrap_or(0),
            ..Entry::default()
        },
        counted: (false, false),
        before: None,
        after: None,
    };
    let mut rest = Words::new(words);
    let mut seen: Vec<&str> = Vec::new();
    while let Some(word) = rest.next() {
        let option = plain(word.text, &names);
        if !names.contains(&option) {
            if deleting {
                return Err(word.fault(
                    "unknown-option",
                    format!("del takes no option '{}'", word.text),
                ));
            }
            return Err(unknown(word, set.kind, &names));
        }
        if seen.contains(&option) {
            return Err(word.fault("twice", format!("{option} is given twice")));
        }
        seen.push(option);
        needs(set, option, word)?;
        let entry = &mut added.entry;
        match option {
            "nomatch" => entry.nomatch = true,
            "wildcard" => entry.wildcard = true,
            "timeout" => entry.timeout = number(rest.value(word)?, MOST_SECONDS)? as u32,
            "packets" => {
                entry.packets = number(rest.value(word)?, u64::MAX - 1)?;
                added.counted.0 = true;
            }
            "bytes" => {
                entry.bytes = number(rest.value(word)?, u64::MAX - 1)?;
                added.counted.1 = true;
            }
            "comment" => {
                let text = rest.value(word)?;
                if text.text.len() > 255 {
                    return Err(text
                        .fault("bad-comment", "the comment is too long".into())
                        .help("at most 255 bytes"));
                }
                // An empty comment is none.
                entry.comment = Some(text.text.to_string()).filter(|t| !t.is_empty());
            }
            "skbmark" => skbmark(rest.value(word)?, &mut entry.skb)?,
            "skbprio" => skbprio(rest.value(word)?, &mut entry.skb)?,
            "skbqueue" => entry.skb.queue = number(rest.value(word)?, 65_535)? as u16,
            place => {
                let name = rest.value(word)?.text;
                match place {
                    "before" => added.before = Some(name),
                    _ => added.after = Some(name),
                }
            }
        }
    }
    Ok(added)
}

/// Whether the set was made with what an option needs.
fn needs(set: &Set, option: &str, word: &Piece<'_>) -> Result<(), Fault> {
    let o = &set.options;
    let (has, wanted) = match option {
        "timeout" => (o.timeout.is_some(), "timeout 0"),
        "packets" | "bytes" => (o.counters, "counters"),
        "comment" => (o.comment, "comment"),
        "skbmark" | "skbprio" | "skbqueue" => (o.skbinfo, "skbinfo"),
        _ => return Ok(()),
    };
    if has {
        return Ok(());
    }
    Err(word
        .fault(
            "not-enabled",
            format!(
                "set {} was made without {}",
                set.name,
                wanted.trim_end_matches(" 0")
            ),
        )
        .help(format!(
            "create {} {} ... {wanted}",
            set.name,
            set.kind.name()
        )))
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16)
        .ok()
        .filter(|_| !text.starts_with('+'))
}

fn skbmark(piece: &Piece<'_>, skb: &mut SkbInfo) -> Result<(), Fault> {
    let (mark, mask) = piece
        .text
        .split_once('/')
        .unwrap_or((piece.text, "0xffffffff"));
    let read = |text: &str| text.strip_prefix("0x").and_then(hex);
    match (read(mark), read(mask)) {
        (Some(mark), Some(mask)) => {
            (skb.mark, skb.mask) = (mark, mask);
            Ok(())
        }
        _ => Err(piece
            .fault("bad-mark", format!("'{}' is not a mark", piece.text))
            .help("hexadecimal, such as 0x10 or 0x10/0xff")),
    }
}

fn skbprio(piece: &Piece<'_>, skb: &mut SkbInfo) -> Result<(), Fault> {
    let parts = piece
        .text
        .split_once(':')
        .and_then(|(major, minor)| Some((hex(major)?, hex(minor)?)));
    match parts {
        Some((major, minor)) => {
            skb.priority = major << 16 | minor & 0xffff;
            Ok(())
        }
        None => Err(piece
            .fault("bad-priority", format!("'{}' is not a class", piece.text))
            .help("major:minor in hexadecimal, such as 1:10")),
    }
}
