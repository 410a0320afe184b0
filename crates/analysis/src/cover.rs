//! Whether one rule's conditions take in another's, or cannot meet them. Both answers err to "no".

use std::net::IpAddr;

use crate::view::{Side, StateSet};
use palisade_rules::{InterfacePattern, Net, Not, PortRange};

use crate::view::{Conditions, Depends, REAL_STATES};

/// Every packet that fits `narrow` fits `wide`. `steady`: nothing between the two rules can change marks,
/// lists or header fields.
pub fn covers(wide: &Conditions, narrow: &Conditions, steady: bool) -> bool {
    wide.sources
        .iter()
        .all(|w| within_nets(w, &narrow.sources, &narrow.ranges, Side::Source))
        && wide
            .destinations
            .iter()
            .all(|w| within_nets(w, &narrow.destinations, &narrow.ranges, Side::Destination))
        && optional(&wide.in_interface, &narrow.in_interface, within_interface)
        && optional(&wide.out_interface, &narrow.out_interface, within_interface)
        && optional(&wide.protocol, &narrow.protocol, within_value)
        && (wide.fragment.is_none() || wide.fragment == narrow.fragment)
        && all_ports(&wide.source_ports, &narrow.source_ports)
        && all_ports(&wide.destination_ports, &narrow.destination_ports)
        && wide.either_ports.iter().all(|w| {
            narrow.either_ports.contains(w)
                || (!w.negated
                    && (within_ports(w, &narrow.source_ports)
                        || within_ports(w, &narrow.destination_ports)))
        })
        && optional(&wide.flags, &narrow.flags, |w, n| {
            w == n
                || (!w.negated
                    && !n.negated
                    && n.value.mask & w.value.mask == w.value.mask
                    && n.value.set & w.value.mask == w.value.set)
        })
        && optional(&wide.icmp, &narrow.icmp, |w, n| {
            w == n
                || (!w.negated
                    && !n.negated
                    && (w.value.kind.is_none()
                        || (w.value.kind == n.value.kind
                            && w.value.codes.0 <= n.value.codes.0
                            && n.value.codes.1 <= w.value.codes.1)))
        })
        && wide
            .states
            .iter()
            .all(|w| narrow.states.iter().any(|n| within_states(w, n)))
        && (wide.original.is_none() || wide.original == narrow.original)
        && wide.ranges.iter().all(|(side, w)| {
            narrow
                .ranges
                .iter()
                .any(|(s, n)| s == side && within_range(w, n))
        })
        && optional(&wide.source_type, &narrow.source_type, |w, n| {
            w == n || (!w.negated && !n.negated && n.value.0 & !w.value.0 == 0)
        })
        && optional(&wide.destination_type, &narrow.destination_type, |w, n| {
            w == n || (!w.negated && !n.negated && n.value.0 & !w.value.0 == 0)
        })
        && (wide.packet_type.is_none() || wide.packet_type == narrow.packet_type)
        && wide.opaque.iter().all(|w| {
            (w.depends == Depends::Packet || (steady && w.depends == Depends::Changing))
                && narrow.opaque.contains(w)
        })
}

/// No packet fits both.
pub fn disjoint(a: &Conditions, b: &Conditions) -> bool {
    let states = |c: &Conditions| {
        // DNAT and SNAT say nothing about the state itself.
        c.states
            .iter()
            .all(|s| s.value.0 & !REAL_STATES == 0)
            .then(|| c.real_states())
    };
    let one = |c: &Conditions| c.one_protocol();
    matches!((one(a), one(b)), (Some(x), Some(y)) if x != y)
        || matches!((states(a), states(b)), (Some(x), Some(y)) if x & y == 0)
        || apart(&a.sources, &b.sources)
        || apart(&a.destinations, &b.destinations)
        || interfaces_apart(&a.in_interface, &b.in_interface)
        || interfaces_apart(&a.out_interface, &b.out_interface)
        || ports_apart(&a.destination_ports, &b.destination_ports)
        || ports_apart(&a.source_ports, &b.source_ports)
        || matches!((&a.original, &b.original), (Some(x), Some(y)) if x != y)
        || matches!((&a.icmp, &b.icmp), (Some(x), Some(y))
            if !x.negated && !y.negated && x.value.kind.is_some() && y.value.kind.is_some()
                && x.value.kind != y.value.kind)
        || opposite(&a.flags, &b.flags)
        || opposite(&a.source_type, &b.source_type)
        || opposite(&a.destination_type, &b.destination_type)
}

fn opposite<T: PartialEq>(a: &Option<Not<T>>, b: &Option<Not<T>>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a.value == b.value && a.negated != b.negated)
}

fn optional<T>(
    wide: &Option<Not<T>>,
    narrow: &Option<Not<T>>,
    within: impl Fn(&Not<T>, &Not<T>) -> bool,
) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(w), Some(n)) => within(w, n),
    }
}

fn within_value<T: PartialEq>(w: &Not<T>, n: &Not<T>) -> bool {
    w == n || (w.negated && !n.negated && w.value != n.value)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// Every address of `inner` lies in `outer`.
pub fn net_within(outer: &Net, inner: &Net) -> bool {
    let (om, im) = (bits(outer.mask), bits(inner.mask));
    im & om == om && outer.contains(inner.address)
}

/// No address lies in both.
fn nets_apart(a: &Net, b: &Net) -> bool {
    let common = bits(a.mask) & bits(b.mask);
    (bits(a.address) ^ bits(b.address)) & common != 0
}

fn within_nets(
    w: &Not<Net>,
    narrow: &[Not<Net>],
    ranges: &[(Side, Not<(IpAddr, IpAddr)>)],
    side: Side,
) -> bool {
    narrow.iter().any(|n| match (w.negated, n.negated) {
        (false, false) => net_within(&w.value, &n.value),
        (true, true) => net_within(&n.value, &w.value),
        (true, false) => nets_apart(&w.value, &n.value),
        (false, true) => false,
    }) || (!w.negated
        && prefix(&w.value).is_some()
        && ranges.iter().any(|(s, r)| {
            *s == side && !r.negated && w.value.contains(r.value.0) && w.value.contains(r.value.1)
        }))
}

/// Length of a mask that is a prefix.
pub fn prefix(net: &Net) -> Option<u32> {
    match net.mask {
        IpAddr::V4(m) => {
            let m = u32::from(m);
            (m.leading_ones() + m.trailing_zeros() == 32 || m == 0).then(|| m.leading_ones())
        }
        IpAddr::V6(m) => {
            let m = u128::from(m);
            (m.leading_ones() + m.trailing_zeros() == 128 || m == 0).then(|| m.leading_ones())
        }
    }
}

fn apart(a: &[Not<Net>], b: &[Not<Net>]) -> bool {
    a.iter().any(|x| {
        b.iter().any(|y| match (x.negated, y.negated) {
            (false, false) => nets_apart(&x.value, &y.value),
            (true, false) => net_within(&x.value, &y.value),
            (false, true) => net_within(&y.value, &x.value),
            (true, true) => false,
        })
    })
}

fn pattern_within(outer: &InterfacePattern, inner: &InterfacePattern) -> bool {
    if outer.prefix {
        inner.name.starts_with(&outer.name)
    } else {
        !inner.prefix && inner.name == outer.name
    }
}

fn patterns_apart(a: &InterfacePattern, b: &InterfacePattern) -> bool {
    match (a.prefix, b.prefix) {
        (false, false) => a.name != b.name,
        (true, false) => !b.name.starts_with(&a.name),
        (false, true) => !a.name.starts_with(&b.name),
        (true, true) => !a.name.starts_with(&b.name) && !b.name.starts_with(&a.name),
    }
}

fn within_interface(w: &Not<InterfacePattern>, n: &Not<InterfacePattern>) -> bool {
    match (w.negated, n.negated) {
        (false, false) => pattern_within(&w.value, &n.value),
        (true, true) => pattern_within(&n.value, &w.value),
        (true, false) => patterns_apart(&w.value, &n.value),
        (false, true) => false,
    }
}

fn interfaces_apart(a: &Option<Not<InterfacePattern>>, b: &Option<Not<InterfacePattern>>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return false;
    };
    match (a.negated, b.negated) {
        (false, false) => patterns_apart(&a.value, &b.value),
        (true, false) => pattern_within(&a.value, &b.value),
        (false, true) => pattern_within(&b.value, &a.value),
        (true, true) => false,
    }
}

fn all_ports(wide: &[Not<Vec<PortRange>>], narrow: &[Not<Vec<PortRange>>]) -> bool {
    wide.iter().all(|w| within_ports(w, narrow))
}

fn range_in(list: &[PortRange], range: &PortRange) -> bool {
    // A range may be put together of several; ports are few enough to ask the ends first.
    list.iter()
        .any(|l| l.first <= range.first && range.last <= l.last)
}

fn within_ports(w: &Not<Vec<PortRange>>, narrow: &[Not<Vec<PortRange>>]) -> bool {
    narrow.iter().any(|n| match (w.negated, n.negated) {
        (false, false) => !n.value.is_empty() && n.value.iter().all(|r| range_in(&w.value, r)),
        (true, true) => w.value.iter().all(|r| range_in(&n.value, r)),
        (true, false) => lists_apart(&w.value, &n.value),
        (false, true) => false,
    })
}

fn lists_apart(a: &[PortRange], b: &[PortRange]) -> bool {
    a.iter()
        .all(|x| b.iter().all(|y| x.last < y.first || y.last < x.first))
}

fn ports_apart(a: &[Not<Vec<PortRange>>], b: &[Not<Vec<PortRange>>]) -> bool {
    a.iter().any(|x| {
        b.iter().any(|y| match (x.negated, y.negated) {
            (false, false) => lists_apart(&x.value, &y.value),
            (true, false) => y.value.iter().all(|r| range_in(&x.value, r)),
            (false, true) => x.value.iter().all(|r| range_in(&y.value, r)),
            (true, true) => false,
        })
    })
}

fn within_states(w: &Not<StateSet>, n: &Not<StateSet>) -> bool {
    let (wide, narrow) = (w.value.0, n.value.0);
    match (w.negated, n.negated) {
        (false, false) => narrow & !wide == 0,
        (true, true) => wide & !narrow == 0,
        (true, false) => (wide | narrow) & !REAL_STATES == 0 && wide & narrow == 0,
        (false, true) => narrow & !REAL_STATES == 0 && REAL_STATES & !narrow & !wide == 0,
    }
}

fn within_range(w: &Not<(IpAddr, IpAddr)>, n: &Not<(IpAddr, IpAddr)>) -> bool {
    match (w.negated, n.negated) {
        (false, false) => w.value.0 <= n.value.0 && n.value.1 <= w.value.1,
        (true, true) => n.value.0 <= w.value.0 && w.value.1 <= n.value.1,
        (true, false) => n.value.1 < w.value.0 || w.value.1 < n.value.0,
        (false, true) => false,
    }
}
