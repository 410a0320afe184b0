//! Sets as `ipset save` prints them. The kernel lists elements of a hash in the order of its hash, which hangs on a
//! random seed; here they come in the order of their addresses, prefix lengths, protocols and ports.

use std::fmt::Write;

use palisade_wire::{Family, proto};

use super::icmp;
use super::kind::{Kind, Part};
use super::model::{Element, Entry, Options, Set, Sets, SkbInfo};
use crate::names;

/// All sets: lists behind the others, as `ipset save` has them.
pub fn print(sets: &Sets) -> String {
    let mut text = String::new();
    for lists in [false, true] {
        for set in &sets.sets {
            if (set.kind == Kind::ListSet) == lists {
                one(set, &mut text);
            }
        }
    }
    text
}

fn one(set: &Set, text: &mut String) {
    let _ = write!(text, "create {} {}", set.name, set.kind.name());
    options(set, text);
    text.push('\n');
    for (key, entry) in &set.elements {
        let _ = write!(text, "add {} {}", set.name, element(set, key, entry));
        extensions(&set.options, entry, text);
        text.push('\n');
    }
    for (member, entry) in &set.members {
        let _ = write!(text, "add {} {member}", set.name);
        extensions(&set.options, entry, text);
        text.push('\n');
    }
}

fn options(set: &Set, text: &mut String) {
    let o = &set.options;
    match set.kind {
        Kind::BitmapPort => {
            let _ = write!(text, " range {}-{}", o.range.0, o.range.1);
        }
        Kind::BitmapIp | Kind::BitmapIpMac => {
            let (first, last) = (u128::from(o.range.0), u128::from(o.range.1));
            let _ = write!(text, " range {}-{}", set.address(first), set.address(last));
            netmask(set, text);
        }
        Kind::ListSet => {
            let _ = write!(text, " size {}", o.size);
        }
        _ => {}
    }
    if let Some(family) = set.family.filter(|_| set.kind.is_hash()) {
        text.push_str(match family {
            Family::V4 => " family inet",
            Family::V6 => " family inet6",
        });
    }
    if set.kind == Kind::HashIpMark {
        let _ = write!(text, " markmask 0x{:08x}", o.markmask);
    }
    if set.kind.is_hash() {
        let _ = write!(text, " hashsize {} maxelem {}", o.hashsize, o.maxelem);
    }
    if set.kind == Kind::HashIp {
        netmask(set, text);
        bitmask(set, text);
    }
    if let Some(timeout) = o.timeout {
        let _ = write!(text, " timeout {timeout}");
    }
    for (set, word) in [
        (o.counters, " counters"),
        (o.comment, " comment"),
        (o.forceadd, " forceadd"),
        (o.skbinfo, " skbinfo"),
    ] {
        if set {
            text.push_str(word);
        }
    }
    if set.kind.is_hash() {
        let _ = write!(text, " bucketsize {}", o.bucketsize);
        if let Some(initval) = o.initval {
            let _ = write!(text, " initval 0x{initval:08x}");
        }
    }
    match set.kind {
        Kind::HashIpPort => {
            netmask(set, text);
            bitmask(set, text);
        }
        Kind::HashNetNet => {
            bitmask(set, text);
            netmask(set, text);
        }
        _ => {}
    }
}

fn netmask(set: &Set, text: &mut String) {
    if let Some(netmask) = set.options.netmask.filter(|n| *n != set.width()) {
        let _ = write!(text, " netmask {netmask}");
    }
}

fn bitmask(set: &Set, text: &mut String) {
    if let Some(bitmask) = set.options.bitmask {
        let _ = write!(text, " bitmask {}", set.address(bitmask));
    }
}

/// An element as `add` has it.
pub fn element(set: &Set, key: &Element, entry: &Entry) -> String {
    let v6 = set.family == Some(Family::V6);
    let net = |address: u128, prefix: u8| {
        let address = set.address(address);
        if prefix == set.width() || prefix == 0 && !set.kind.takes_whole_internet() {
            address.to_string()
        } else {
            format!("{address}/{prefix}")
        }
    };
    let mut first = true;
    let mut words = Vec::new();
    for part in set.kind.parts() {
        words.push(match part {
            Part::Ip | Part::Net if first => {
                first = false;
                net(key.address, key.prefix)
            }
            Part::Ip | Part::Net => net(key.address2, key.prefix2),
            Part::BarePort => key.port.to_string(),
            Part::Port => {
                let name = names::protocol_name(key.protocol);
                match key.protocol {
                    proto::ICMP => format!("{name}:{}", icmp::print(key.port, false)),
                    proto::ICMPV6 => format!("{name}:{}", icmp::print(key.port, v6)),
                    _ => format!("{name}:{}", key.port),
                }
            }
            Part::Mac => {
                let mac = match set.kind {
                    Kind::BitmapIpMac => match entry.mac {
                        Some(mac) => mac,
                        None => continue,
                    },
                    _ => key.mac,
                };
                mac.map(|b| format!("{b:02X}")).join(":")
            }
            Part::Mark => format!("0x{:08x}", key.mark),
            Part::Interface if key.physdev => format!("physdev:{}", key.interface),
            Part::Interface => key.interface.to_string(),
            Part::Set => continue,
        });
    }
    words.join(",")
}

fn extensions(options: &Options, entry: &Entry, text: &mut String) {
    if options.timeout.is_some() {
        let _ = write!(text, " timeout {}", entry.timeout);
    }
    if entry.nomatch {
        text.push_str(" nomatch");
    }
    if entry.wildcard {
        text.push_str(" wildcard");
    }
    if options.counters {
        let _ = write!(text, " packets {} bytes {}", entry.packets, entry.bytes);
    }
    if let Some(comment) = &entry.comment {
        let _ = write!(text, " comment \"{comment}\"");
    }
    if options.skbinfo {
        let SkbInfo {
            mark,
            mask,
            priority,
            queue,
        } = entry.skb;
        if mark != 0 || mask != 0 {
            let _ = match mask {
                u32::MAX => write!(text, " skbmark 0x{mark:x}"),
                _ => write!(text, " skbmark 0x{mark:x}/0x{mask:x}"),
            };
        }
        if priority != 0 {
            let _ = write!(
                text,
                " skbprio {:x}:{:x}",
                priority >> 16,
                priority & 0xffff
            );
        }
        if queue != 0 {
            let _ = write!(text, " skbqueue {queue}");
        }
    }
}
