//! The Internet checksum (RFC 1071) and its pseudo-headers.

use std::net::IpAddr;

/// Adds `data` to a running one's-complement sum. An odd last byte is padded with zero,
/// so only the last slice of a sum may be odd.
#[inline]
pub fn add(sum: u32, data: &[u8]) -> u32 {
    let mut wide = u64::from(sum);
    let mut rest = data;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let word = u64::from_be_bytes(*eight);
        wide += (word >> 32) + (word & 0xffff_ffff);
        rest = behind;
    }
    if let Some((four, behind)) = rest.split_first_chunk() {
        wide += u64::from(u32::from_be_bytes(*four));
        rest = behind;
    }
    if let Some((two, behind)) = rest.split_first_chunk() {
        wide += u64::from(u16::from_be_bytes(*two));
        rest = behind;
    }
    if let [last] = rest {
        wide += u64::from(*last) << 8;
    }
    // Fold 64 bits to below 2^18; the sum of 16-bit words is the same modulo 2^16 - 1.
    let wide = (wide >> 32) + (wide & 0xffff_ffff);
    let wide = (wide >> 32) + (wide & 0xffff_ffff);
    let folded = (wide >> 16) + (wide & 0xffff);
    folded as u32
}

/// Folds a running sum and complements it: the value for a checksum field, or 0 when the
/// summed data contained a correct one.
#[inline]
pub fn finish(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

/// A checksum field after one 16-bit word of what it covers changed (RFC 1624, equation 3).
#[inline]
pub fn update(field: u16, old: u16, new: u16) -> u16 {
    finish(u32::from(!field) + u32::from(!old) + u32::from(new))
}

/// The checksum of `data`.
#[inline]
pub fn of(data: &[u8]) -> u16 {
    finish(add(0, data))
}

/// Both words of an address, added.
#[inline]
fn halves(address: u32) -> u32 {
    (address >> 16) + (address & 0xffff)
}

/// Running sum of the pseudo-header of TCP, UDP and ICMPv6: addresses, protocol, length.
///
/// Both addresses must be of one family; mixed ones give a sum of no meaning.
#[inline]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u32 {
    let sum = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => halves(s.into()) + halves(d.into()),
        (IpAddr::V6(s), IpAddr::V6(d)) => add(add(0, &s.octets()), &d.octets()),
        (s, d) => {
            let sum = match s {
                IpAddr::V4(s) => add(0, &s.octets()),
                IpAddr::V6(s) => add(0, &s.octets()),
            };
            match d {
                IpAddr::V4(d) => add(sum, &d.octets()),
                IpAddr::V6(d) => add(sum, &d.octets()),
            }
        }
    };
    add(add(sum, &(length as u32).to_be_bytes()), &[0, protocol])
}
