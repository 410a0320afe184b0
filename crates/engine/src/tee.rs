//! Copies that TEE makes: each goes its own way out, untracked (kernel `nf_dup_ipv4`, `nf_dup_ipv6`).

use std::net::IpAddr;
use std::sync::Arc;

use palisade_conntrack::Track;
use palisade_rules::targets::tee::Tee;
use palisade_rules::{Family, Hook};
use palisade_wire::{Buffer, Packet, Timestamp, checksum};

use crate::Engine;
use crate::linear::RawState;
use crate::outcome::Path;
use crate::path::Journey;

/// Copies that rules make of one packet at most, as many as the memory of the kernel's nested calls would not bear:
/// a chain may hold any number of such rules.
const MOST: usize = 1024;

/// A copy that a rule asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    gateway: IpAddr,
    out_interface: Option<String>,
    pub(crate) bytes: Vec<u8>,
    mark: u32,
}

/// A copy on its way to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The host that gets it.
    pub gateway: IpAddr,
    /// The interface that it leaves by.
    pub out_interface: Arc<str>,
    /// As it leaves; `None` when OUTPUT or POSTROUTING stops it.
    pub sent: Option<Vec<u8>>,
}

/// The copy that a rule makes of a packet at a hook: IPv4's may not be fragmented, and what has come in has lived
/// through a router more.
pub(crate) fn ask(rule: &Tee, packet: &Packet<'_>, hook: Hook, mark: u32, asked: &mut Vec<Asked>) {
    if asked.len() >= MOST {
        return;
    }
    let mut bytes = packet.bytes().to_vec();
    let came_in = matches!(hook, Hook::Prerouting | Hook::Input);
    match packet.family() {
        Family::V4 => {
            let length = packet.header_len();
            if let Some(flags) = bytes.get_mut(6) {
                *flags |= 0x40;
            }
            if came_in && let Some(ttl) = bytes.get_mut(8) {
                *ttl = ttl.wrapping_sub(1);
            }
            if let Some(header) = bytes.get_mut(..length) {
                header[10..12].fill(0);
                let sum = checksum::of(header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
            }
        }
        Family::V6 => {
            if came_in && let Some(limit) = bytes.get_mut(7) {
                *limit = limit.wrapping_sub(1);
            }
        }
    }
    asked.push(Asked {
        gateway: rule.gateway,
        out_interface: rule.out_interface.clone(),
        bytes,
        mark,
    });
}

impl Engine {
    /// Sends a copy through OUTPUT and POSTROUTING; `None` if there is no way to its gateway. Of a copy no copy is made.
    pub(crate) fn send_copy(&mut self, asked: Asked, now: Timestamp) -> Option<Copied> {
        let towards = self.host.interface_towards(asked.gateway)?;
        let out_interface: Arc<str> = match &asked.out_interface {
            Some(name) => Arc::from(self.host.interface(name)?.name.as_str()),
            None => Arc::from(towards.name.as_str()),
        };
        let packet = Packet::parse(&asked.bytes).ok()?;
        let mut journey = Journey {
            out_interface: Some(Arc::clone(&out_interface)),
            track: Some(Track::untracked()),
            raw: RawState {
                locked: true,
                ..RawState::default()
            },
            mark: asked.mark,
            copies: None,
            ..Journey::new(Buffer::new(packet, Vec::new()), Path::Output)
        };
        let step = self.travel(&mut journey, now, &mut ());
        Some(Copied {
            gateway: asked.gateway,
            out_interface,
            sent: step.ok().map(|()| journey.buffer.bytes().to_vec()),
        })
    }
}
