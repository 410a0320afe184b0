//! hashlimit: a rate limit for each address or port (kernel `xt_hashlimit.c`, revision 3).
//!
//! # Overview
//! A table has a name and is shared by all rules of a family that name it. The first of them says how it is
//! made; of the others only counts whether they want what is within the rate or above, and whether by
//! packets or by bytes.
//! # Life cycle
//! An entry is made by the first packet of its addresses and ports, and lives for `htable-expire` after the last one.
//! What has expired goes when the table is looked through, every `htable-gcinterval` from the first packet on;
//! until then it can be found.
//! # Bounds
//! `htable-max` entries a table, at most 1,048,576. A packet that would need another is dropped, as the kernel does.
//! # Locking
//! None: owned by the engine.

use std::collections::HashMap;
use std::net::IpAddr;

use palisade_rules::matches::hashlimit::Hashlimit;
use palisade_wire::{Family, Packet, Timestamp, proto};

use super::Answer;
use super::limit::Jiffies;

/// Kernel `XT_HASHLIMIT_SCALE_v2`.
const SCALE: u64 = 1_000_000;

/// Buckets when nobody says how many, of a kernel with more than a gigabyte of memory.
const BUCKETS: u32 = 8192;

/// What tells entries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Key {
    source: u128,
    destination: u128,
    ports: [u16; 2],
}

/// How an entry limits.
#[derive(Clone, Debug)]
enum Rate {
    /// Credits; of a rate of bytes `cap` says how many more times the credit of a second may be had.
    Credit { credit: u64, cap: u64, cost: u64 },
    /// What came within an interval, in packets or bytes.
    Measured {
        interval: u64,
        /// There was too much in the last interval.
        exceeded: bool,
        current: u64,
        rate: u64,
        burst: u64,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    /// Tick of the last change.
    last: u64,
    /// Tick at which it expires.
    expires: u64,
    rate: Rate,
}

/// A table.
#[derive(Clone, Debug)]
struct Table {
    /// How the first rule that named it made it.
    made: Hashlimit,
    max: usize,
    entries: HashMap<Key, Entry>,
    /// Tick of the first packet, from which the times of collection count.
    first: Option<u64>,
    /// Tick of the collection that was done last.
    collected: u64,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashlimits {
    jiffies: Jiffies,
    tables: Vec<Table>,
    names: HashMap<(Family, String), u32>,
}

/// Kernel arithmetic at a tick rate.
#[derive(Clone, Copy)]
struct Credits {
    hz: u64,
}

impl Credits {
    /// Kernel `CREDITS_PER_JIFFY`.
    fn of_tick(self) -> u64 {
        below(u64::MAX / (self.hz * 86_400))
    }

    /// Kernel `CREDITS_PER_JIFFY_BYTES`.
    fn of_tick_bytes(self) -> u64 {
        below(u64::from(u32::MAX) / self.hz)
    }

    /// What a second is worth to a rate of bytes.
    fn of_second_bytes(self) -> u64 {
        self.of_tick_bytes() * self.hz
    }

    /// Kernel `user2credits`, overflow and all.
    fn packets(self, user: u64) -> u64 {
        let second = self.hz * self.of_tick();
        if SCALE >= second {
            user / (SCALE / second)
        } else {
            user.wrapping_mul(second / SCALE)
        }
    }

    /// Kernel `user2credits_byte`.
    fn bytes(self, user: u64) -> u64 {
        (u64::from(user as u32) * self.of_second_bytes()) >> 32
    }

    /// A time in ticks, begun ones whole (kernel `msecs_to_jiffies`).
    fn ticks(self, milliseconds: u32) -> u64 {
        (u64::from(milliseconds) * self.hz).div_ceil(1000)
    }

    /// Kernel `rateinfo_init`.
    fn begin(self, made: &Hashlimit) -> Rate {
        match made.rate_interval {
            Some(interval) => {
                let (rate, burst) = if made.bytes {
                    let cost = made.average as u32;
                    let rate = u32::MAX.checked_div(cost).unwrap_or(u32::MAX);
                    let rate = u64::from(rate).wrapping_sub(1) << 4;
                    (rate, rate.wrapping_mul(made.burst.max(1)))
                } else {
                    let rate = SCALE / made.average.max(1);
                    (rate, rate.wrapping_add(made.burst))
                };
                Rate::Measured {
                    interval: u64::from(interval.wrapping_mul(self.hz as u32)),
                    exceeded: false,
                    current: 0,
                    rate,
                    burst,
                }
            }
            None if made.bytes => Rate::Credit {
                credit: self.of_second_bytes(),
                cap: made.burst,
                cost: self.bytes(made.average),
            },
            None => {
                let credit = self.packets(made.average.wrapping_mul(made.burst));
                Rate::Credit {
                    credit,
                    cap: credit,
                    cost: self.packets(made.average),
                }
            }
        }
    }

    /// Kernel `rateinfo_recalc`: what time has brought.
    fn pass(self, entry: &mut Entry, bytes: bool, tick: u64) {
        let passed = tick.saturating_sub(entry.last);
        if passed == 0 {
            return;
        }
        match &mut entry.rate {
            Rate::Measured {
                interval,
                exceeded,
                current,
                rate,
                ..
            } => {
                if passed < *interval {
                    return;
                }
                *exceeded = current.wrapping_mul(*interval) > passed.wrapping_mul(*rate);
                *current = 0;
            }
            Rate::Credit { credit, .. } if bytes => {
                let earned = self.of_tick_bytes().wrapping_mul(passed);
                *credit = credit.saturating_add(earned).min(self.of_second_bytes());
            }
            Rate::Credit { credit, cap, .. } => {
                let earned = self.of_tick().wrapping_mul(passed);
                *credit = credit.wrapping_add(earned).min(*cap);
            }
        }
        entry.last = tick;
    }

    /// Takes what a packet costs; whether it is within the rate.
    fn take(self, rate: &mut Rate, bytes: bool, length: u64) -> bool {
        match rate {
            Rate::Measured {
                exceeded,
                current,
                burst,
                ..
            } => {
                *current = current.wrapping_add(if bytes { length } else { 1 });
                !*exceeded && *current <= *burst
            }
            Rate::Credit { credit, cap, cost } => {
                let price = if bytes {
                    // Kernel `hashlimit_byte_cost`: by begun sixteens of bytes, and one more.
                    let second = self.of_second_bytes();
                    let price = ((length >> 4) + 1).wrapping_mul(*cost).min(second);
                    if *credit < price && *cap > 0 {
                        *cap -= 1;
                        *credit = second;
                    }
                    price
                } else {
                    *cost
                };
                let within = *credit >= price;
                if within {
                    *credit -= price;
                }
                within
            }
        }
    }
}

/// The greatest power of two that is not above.
fn below(n: u64) -> u64 {
    1 << (63 - n.max(1).leading_zeros())
}

impl Hashlimits {
    /// The table that a rule names; `None` where the kernel refuses the rule, because one of the two measures
    /// and the other limits.
    pub(crate) fn table(&mut self, rule: &Hashlimit, family: Family) -> Option<u32> {
        let name = (family, rule.name.clone());
        if let Some(&slot) = self.names.get(&name) {
            let made = &self.tables.get(slot as usize)?.made;
            return (made.rate_interval.is_some() == rule.rate_interval.is_some()).then_some(slot);
        }
        let size = if rule.size == 0 { BUCKETS } else { rule.size };
        let max = if rule.max == 0 {
            size.saturating_mul(8)
        } else {
            rule.max.max(size)
        };
        let slot = self.tables.len() as u32;
        self.tables.push(Table {
            made: rule.clone(),
            max: max as usize,
            entries: HashMap::new(),
            first: None,
            collected: 0,
        });
        self.names.insert(name, slot);
        Some(slot)
    }

    /// Tables of names that these, too, have go on as they were made. One that measured where these limit, or the other
    /// way round, is another one.
    pub(super) fn adopt(&mut self, old: &mut Hashlimits) {
        for (name, slot) in &self.names {
            let there = old.names.get(name);
            let there = there.and_then(|slot| old.tables.get_mut(*slot as usize));
            if let (Some(table), Some(old)) = (self.tables.get_mut(*slot as usize), there)
                && table.made.rate_interval.is_some() == old.made.rate_interval.is_some()
            {
                std::mem::swap(table, old);
            }
        }
    }

    /// Kernel `hashlimit_mt_common`.
    pub(crate) fn check(
        &mut self,
        slot: u32,
        rule: &Hashlimit,
        packet: &Packet<'_>,
        now: Timestamp,
    ) -> Answer {
        let Some(table) = self.tables.get_mut(slot as usize) else {
            return Answer::No;
        };
        let Some(key) = key(&table.made, packet) else {
            return Answer::HotDrop;
        };
        let credits = Credits {
            hz: u64::from(self.jiffies.hz.max(1)),
        };
        let tick = self.jiffies.of(now);
        // The last moment at which expired entries were looked for.
        let first = *table.first.get_or_insert(tick);
        let every = credits.ticks(table.made.gc_interval).max(1);
        let looked = first + tick.saturating_sub(first) / every * every;
        let gone = |entry: &Entry| looked > first && looked >= entry.expires;
        if table.entries.get(&key).is_some_and(gone) {
            table.entries.remove(&key);
        }
        let expires = tick + credits.ticks(table.made.expire);
        if !table.entries.contains_key(&key) {
            if table.entries.len() >= table.max && table.collected < looked {
                table.entries.retain(|_, entry| !gone(entry));
                table.collected = looked;
            }
            if table.entries.len() >= table.max {
                return Answer::HotDrop;
            }
            let rate = credits.begin(&table.made);
            let last = tick;
            table.entries.insert(
                key,
                Entry {
                    last,
                    expires,
                    rate,
                },
            );
        }
        let Some(entry) = table.entries.get_mut(&key) else {
            return Answer::HotDrop;
        };
        entry.expires = expires;
        credits.pass(entry, table.made.bytes, tick);
        let length = super::ip_length(packet) as u64;
        let within = credits.take(&mut entry.rate, rule.bytes, length);
        (within != rule.above).into()
    }
}

/// Kernel `hashlimit_init_dst`; `None`: the packet is too short for its ports.
fn key(made: &Hashlimit, packet: &Packet<'_>) -> Option<Key> {
    let mode = made.mode;
    let masked = |address: IpAddr, prefix: u8| match address {
        IpAddr::V4(a) => {
            let gone = 32u32.saturating_sub(u32::from(prefix));
            u128::from(u32::from(a) & u32::MAX.checked_shl(gone).unwrap_or(0))
        }
        IpAddr::V6(a) => {
            let gone = 128u32.saturating_sub(u32::from(prefix));
            u128::from(a) & u128::MAX.checked_shl(gone).unwrap_or(0)
        }
    };
    let mut key = Key::default();
    if mode.source {
        key.source = masked(packet.source(), made.source_prefix);
    }
    if mode.destination {
        key.destination = masked(packet.destination(), made.destination_prefix);
    }
    if mode.source_port || mode.destination_port {
        let [source, destination] = ports(packet)?;
        if mode.source_port {
            key.ports[0] = source;
        }
        if mode.destination_port {
            key.ports[1] = destination;
        }
    }
    Some(key)
}

/// The two words at the place of ports: those of a later IPv4 fragment are any four bytes of the middle of a
/// datagram, those of ESP and AH the halves of the SPI, and of a protocol without any they are 0. `None` if they
/// are cut off, or if the IPv6 headers do not come to an end.
fn ports(packet: &Packet<'_>) -> Option<[u16; 2]> {
    let (protocol, at) = match packet.family() {
        Family::V4 => {
            let protocol = packet.bytes().get(9).copied()?;
            (protocol, packet.header_len())
        }
        Family::V6 => skip(packet.bytes())?,
    };
    let Some(offset) = ports_offset(protocol) else {
        return Some([0; 2]);
    };
    let words = packet.bytes().get(at + offset..)?.first_chunk::<4>()?;
    let [a, b, c, d] = *words;
    Some([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])])
}

/// Where ports, or what stands for them, are in a protocol's header (kernel `proto_ports_offset`).
pub(crate) fn ports_offset(protocol: u8) -> Option<usize> {
    match protocol {
        proto::TCP | proto::UDP | proto::DCCP | proto::ESP | proto::SCTP | proto::UDPLITE => {
            Some(0)
        }
        proto::AH => Some(4),
        _ => None,
    }
}

/// The protocol behind IPv6's extension headers and where it begins (kernel `ipv6_skip_exthdr`); a later
/// fragment ends at its Fragment header. Each header takes eight bytes at least.
fn skip(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut next = *bytes.get(6)?;
    let mut at = 40;
    loop {
        let length = match next {
            proto::HOPOPTS | proto::ROUTING | proto::DSTOPTS => {
                8 * (1 + usize::from(*bytes.get(at + 1)?))
            }
            proto::AH => 4 * (2 + usize::from(*bytes.get(at + 1)?)),
            proto::FRAGMENT => {
                let offset = bytes.get(at + 2..at + 4)?;
                if offset != [0, offset[1] & 7] {
                    return Some((next, at));
                }
                8
            }
            proto::NONE => return None,
            _ => return Some((next, at)),
        };
        next = *bytes.get(at)?;
        at += length;
    }
}
