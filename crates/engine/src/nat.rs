//! The nat table at a hook: the first packet of a connection asks the rules, every packet is rewritten by
//! what they said (kernel `nf_nat_inet_fn`).
//!
//! A connection is bound once for its destination (PREROUTING, or OUTPUT for packets made here) and once for
//! its source (POSTROUTING, or INPUT). Where no rule says anything the binding is null: it keeps
//! address and port, unless another connection uses the same. All this happens only where there is a
//! nat table: without one the kernel has no hooks for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use palisade_conntrack::nat::{Fault, Range};
use palisade_conntrack::{ConnId, State};
use palisade_rules::targets::nat::{self, Dnat, Masquerade, Netmap, Redirect, Snat};
use palisade_rules::{Hook, Net, TableKind, Target};
use palisade_wire::{Family, Timestamp, proto, translate::End};

use crate::Engine;
use crate::linear;
use crate::observe::{Effect, Observer};
use crate::outcome::{Ended, Translation, Verdict};
use crate::path::{Journey, Step, Stop};

impl Engine {
    /// Address translation at the journey's hook.
    pub(crate) fn nat<O: Observer>(
        &mut self,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        // A nat table without rules makes nobody track, and untracked packets do not come here.
        let family = journey.family as usize;
        if !self.reassemble[family] || self.programs[family].table(TableKind::Nat).is_none() {
            return Ok(());
        }
        let Some((state, Some(id))) = journey.track.as_ref().map(|t| (t.state, t.connection))
        else {
            return Ok(());
        };
        let end = match journey.hook {
            Hook::Prerouting | Hook::Output => End::Destination,
            _ => End::Source,
        };
        let packet = journey.buffer.packet();
        let icmp = match packet.family() {
            Family::V4 => packet.protocol() == proto::ICMP,
            Family::V6 => packet.protocol() == proto::ICMPV6,
        };
        let error = icmp && state == State::Related;
        let first = matches!(state, State::New | State::Related) && !error;
        if first && !self.conntrack.nat_done(id, end) {
            self.bind(id, end, journey, now, observer)?;
        } else if !error && journey.hook == Hook::Postrouting {
            let out = journey.out_interface.as_deref().unwrap_or_default();
            if let Some(track) = &journey.track
                && self.conntrack.nat_strayed(track, out)
            {
                self.conntrack.kill(id);
                return fault(Fault::Interface);
            }
        }
        let destination = journey.buffer.packet().destination();
        if let Some(track) = &journey.track
            && let Err(why) = self.conntrack.nat_packet(track, &mut journey.buffer, end)
        {
            return fault(why);
        }
        if end == End::Destination && journey.buffer.packet().destination() != destination {
            journey.redirected = true;
            let now = journey.buffer.packet().destination();
            if journey.hook == Hook::Output && !self.host.is_local(now) {
                self.reachable(now)?;
            }
        }
        Ok(())
    }

    /// Asks the rules where a connection's end is to be bound.
    fn bind<O: Observer>(
        &mut self,
        id: ConnId,
        end: End,
        journey: &mut Journey<'_>,
        now: Timestamp,
        observer: &mut O,
    ) -> Step {
        if let Some(decision) = self.decide(TableKind::Nat, journey, now, observer) {
            match decision.verdict {
                linear::Verdict::Accept => {}
                linear::Verdict::Translate => {
                    self.bind_by_rule(id, end, &decision, journey)?;
                    let view = self
                        .conntrack
                        .connection(id)
                        .and_then(|c| Translation::of(&c));
                    if O::ACTIVE {
                        observer.effect(Effect::Translated(
                            view.map_or("nothing changes".into(), |t| t.to_string()),
                        ));
                    }
                }
                linear::Verdict::Unknown(_) => {
                    journey.unknown.get_or_insert((TableKind::Nat, decision));
                }
                _ => return Err(self.stop(TableKind::Nat, decision, journey, now)),
            }
        }
        self.conntrack.nat_null(id, end);
        Ok(())
    }

    fn bind_by_rule(
        &mut self,
        id: ConnId,
        end: End,
        decision: &linear::Decision,
        journey: &Journey<'_>,
    ) -> Step {
        let target = self.programs[journey.family as usize]
            .table(TableKind::Nat)
            .and_then(|table| table.chains.get(decision.chain as usize))
            .and_then(|chain| chain.rules.get(decision.rule? as usize))
            .map(|rule| rule.rule.target.clone());
        let packet = journey.buffer.packet();
        let (source, destination) = (packet.source(), packet.destination());
        let range = match target {
            Some(Target::Snat(Snat(range)) | Target::Dnat(Dnat(range))) => range_of(&range),
            Some(Target::Masquerade(Masquerade(range))) => {
                let original = self.conntrack.connection(id).map(|c| c.tuples()[0].source);
                if original.is_some_and(|a| a.is_ipv4() && a.is_unspecified()) {
                    // Not to be masqueraded: it has no address yet. Kernel `nf_nat_masquerade_ipv6` does
                    // not ask.
                    return Ok(());
                }
                let out = journey.out_interface.as_deref().unwrap_or_default();
                let Some(address) = self.host.masquerade_address(out, destination) else {
                    return fault(Fault::NoAddress);
                };
                self.conntrack.nat_masqueraded(id, out);
                with_address(&range, address)
            }
            Some(Target::Redirect(Redirect(range))) => {
                let address = if journey.hook == Hook::Output {
                    Some(match journey.family {
                        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    })
                } else {
                    let came = journey.in_interface.as_deref().unwrap_or_default();
                    self.host.redirect_address(came, destination)
                };
                match address {
                    Some(address) => with_address(&range, address),
                    None => return fault(Fault::NoAddress),
                }
            }
            Some(Target::Netmap(Netmap(net))) => {
                let own = match end {
                    End::Source => source,
                    End::Destination => destination,
                };
                Range::to(mapped(own, &net))
            }
            _ => return Ok(()),
        };
        self.conntrack.nat_setup(id, &range, end);
        Ok(())
    }
}

fn fault(why: Fault) -> Step {
    Err(Stop(Verdict::Drop, Ended::Translation(why), None))
}

fn range_of(range: &nat::Range) -> Range {
    Range {
        addresses: range.addresses,
        ports: range.ports,
        base_port: range.base_port,
        random: range.random,
        random_fully: range.random_fully,
        persistent: range.persistent,
    }
}

fn with_address(range: &nat::Range, address: IpAddr) -> Range {
    Range {
        addresses: Some((address, address)),
        ..range_of(range)
    }
}

/// The network's bits, and the host's bits of `address` (kernel `netmap_tg4`, `netmap_tg6`).
fn mapped(address: IpAddr, net: &Net) -> IpAddr {
    match (address, net.address, net.mask) {
        (IpAddr::V4(a), IpAddr::V4(net), IpAddr::V4(mask)) => {
            let mask = u32::from(mask);
            IpAddr::V4(Ipv4Addr::from(u32::from(a) & !mask | u32::from(net) & mask))
        }
        (IpAddr::V6(a), IpAddr::V6(net), IpAddr::V6(mask)) => {
            let mask = u128::from(mask);
            IpAddr::V6(Ipv6Addr::from(
                u128::from(a) & !mask | u128::from(net) & mask,
            ))
        }
        _ => address,
    }
}
