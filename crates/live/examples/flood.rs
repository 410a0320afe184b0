//! Sends UDP packets of many flows out of an interface as fast as one core can: what backends are measured with.
//!
//! `flood INTERFACE DESTINATION-MAC SOURCE DESTINATION FLOWS SECONDS [BYTES]`; says how many were sent. Every flow has its own
//! port and, beyond 60,000 of them, its own source address. What arrives says the other end's `rx_packets`.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike, bind, socket,
};
use palisade_wire::build;

/// Packets of a call.
const TOGETHER: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        interface,
        mac,
        source,
        destination,
        flows,
        seconds,
        more @ ..,
    ] = &arguments[..]
    else {
        return Err(
            "flood INTERFACE DESTINATION-MAC SOURCE DESTINATION FLOWS SECONDS [BYTES]".into(),
        );
    };
    let bytes: usize = more.first().map_or(Ok(64), |b| b.parse())?;
    let (source, destination): (Ipv4Addr, Ipv4Addr) = (source.parse()?, destination.parse()?);
    let flows: u32 = flows.parse()?;
    let mut link: Vec<u8> = mac
        .split(':')
        .map(|b| u8::from_str_radix(b, 16))
        .collect::<Result<_, _>>()?;
    link.extend([2, 0, 0, 0, 0, 9, 8, 0]);
    let payload = vec![0; bytes.saturating_sub(14 + 20 + 8)];
    let frames: Vec<Vec<u8>> = (0..flows)
        .map(|flow| {
            let from = Ipv4Addr::from(u32::from(source) + flow / 60_000);
            let ip = build::Ip::new(from.into(), destination.into());
            let packet = build::udp(&ip, 1024 + (flow % 60_000) as u16, 5000, &payload);
            [&link[..], &packet].concat()
        })
        .collect();
    let all = nix::ifaddrs::getifaddrs()?;
    let address = all
        .filter(|a| &a.interface_name == interface)
        .find_map(|a| a.address?.as_link_addr().copied())
        .ok_or("no such interface")?;
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::empty(),
        None::<SockProtocol>,
    )?;
    // Bound to no protocol, it receives nothing.
    let mut bare = *address.as_ref();
    bare.sll_protocol = 0;
    // SAFETY: the address is a whole one of its kind.
    let address = unsafe {
        LinkAddr::from_raw(
            std::ptr::from_ref(&bare).cast(),
            Some(size_of_val(&bare) as u32),
        )
    };
    bind(socket.as_raw_fd(), &address.ok_or("an address")?)?;
    let mut vectors: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: all zero is a message with nothing in it.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let (start, length) = (Instant::now(), Duration::from_secs_f64(seconds.parse()?));
    let mut sent = 0u64;
    while start.elapsed() < length {
        for part in messages.chunks_mut(TOGETHER) {
            // SAFETY: each message has one vector and each vector one frame; all live through the call.
            let done = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), part.as_mut_ptr(), part.len() as u32, 0)
            };
            sent += u64::try_from(done).unwrap_or_default();
        }
    }
    println!(
        "{sent} sent, {:.0} a second",
        sent as f64 / start.elapsed().as_secs_f64()
    );
    Ok(())
}
