//! Which host took a capture, when nobody says: the address that takes part in most packets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Result;
use palisade_capture::pcap;
use palisade_engine::{Host, Interface};
use palisade_wire::{Packet, link, link::PacketType};

use crate::host::{DEFAULT_INTERFACE, everything};

/// Frames looked at.
const FRAMES: u64 = 10_000;

/// Addresses counted at most; a scan of the whole world does not fill memory.
const ADDRESSES: usize = 100_000;

/// A guess from the head of a capture.
pub fn host(path: &Path) -> Result<Host> {
    let (mut reader, _) = pcap::open(path)?;
    let mut seen: HashMap<IpAddr, u64> = HashMap::new();
    // An error in the head of the file will be told when the file is traced.
    while let Ok(Some(frame)) = reader.next_frame() {
        if frame.number > FRAMES {
            break;
        }
        let Some(decoded) = link::decode(frame.link, frame.data).filter(|d| d.is_ip()) else {
            continue;
        };
        let Ok(packet) = Packet::parse_truncated(decoded.network) else {
            continue;
        };
        // A cooked capture knows what was sent by the host itself.
        let weight = match decoded.packet_type {
            Some(PacketType::Outgoing) => [1_000_000, 0],
            Some(PacketType::Host) => [0, 1_000_000],
            _ => [1, 1],
        };
        for (address, weight) in [packet.source(), packet.destination()]
            .into_iter()
            .zip(weight)
        {
            let host = !address.is_unspecified()
                && !address.is_multicast()
                && address != IpAddr::from([255u8; 4]);
            if weight > 0 && host && (seen.len() < ADDRESSES || seen.contains_key(&address)) {
                *seen.entry(address).or_default() += weight;
            }
        }
    }
    let best = |v4: bool| {
        seen.iter()
            .filter(|(a, _)| a.is_ipv4() == v4 && !a.is_loopback())
            .max_by_key(|(a, count)| (**count, std::cmp::Reverse(**a)))
            .map(|(a, _)| *a)
    };
    let addresses: Vec<IpAddr> = [best(true), best(false)].into_iter().flatten().collect();
    Ok(Host::new(
        [],
        [Interface {
            addresses,
            ..everything(DEFAULT_INTERFACE)
        }],
    ))
}
