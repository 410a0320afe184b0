//! pcapng: blocks with types; sections have a byte order, interfaces a link type and a clock.

use std::io::BufRead;
use std::sync::Arc;

use palisade_wire::{Timestamp, link::LinkType};

use super::{CaptureError, Found, MAX_BLOCK, fill};

/// Type of a section header block; it reads the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const ENHANCED_PACKET: u32 = 6;

/// Interfaces of a section at most.
pub(super) const MAX_INTERFACES: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Section {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    snap: u32,
    /// Ticks of its clock a second.
    ticks: u64,
    /// Seconds to add.
    offset: i64,
    name: Option<Arc<str>>,
}

impl Section {
    /// Reads a section header whose type has been read.
    pub(super) fn begin(
        &mut self,
        input: &mut impl BufRead,
        frame: u64,
    ) -> Result<(), CaptureError> {
        let damaged = |what| CaptureError::Block { frame, what };
        let mut head = [0; 8];
        if fill(input, &mut head)? < head.len() {
            return Err(CaptureError::TooShort(8));
        }
        self.big_endian = match [head[4], head[5], head[6], head[7]] {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Err(damaged("a section header without a byte order")),
        };
        self.interfaces.clear();
        let length = self.word(&head, 0) as usize;
        if !(28..=MAX_BLOCK).contains(&length) || !length.is_multiple_of(4) {
            return Err(damaged("a section header of an impossible length"));
        }
        skip(input, length - 12, frame)
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let Some(&b) = bytes.get(at..).and_then(|b| b.first_chunk::<4>()) else {
            return 0;
        };
        if self.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        }
    }

    fn half(&self, bytes: &[u8], at: usize) -> u16 {
        let Some(&b) = bytes.get(at..).and_then(|b| b.first_chunk::<2>()) else {
            return 0;
        };
        if self.big_endian {
            u16::from_be_bytes(b)
        } else {
            u16::from_le_bytes(b)
        }
    }

    /// Name of an interface, when the file tells.
    pub(super) fn name(&self, interface: usize) -> Option<&Arc<str>> {
        self.interfaces.get(interface)?.name.as_ref()
    }

    /// Reads blocks until one holds a frame.
    pub(super) fn next(
        &mut self,
        input: &mut impl BufRead,
        buffer: &mut Vec<u8>,
        frame: u64,
    ) -> Result<Option<Found>, CaptureError> {
        loop {
            let mut head = [0; 8];
            let have = fill(input, &mut head)?;
            if have == 0 {
                return Ok(None);
            }
            if have < 4 {
                return Err(CaptureError::CutShort { frame });
            }
            if head[..4] == SECTION_HEADER {
                if have < 8 {
                    return Err(CaptureError::CutShort { frame });
                }
                // The length's byte order is not known yet: read on behind the type.
                let mut rest = std::io::Read::chain(&head[4..8], &mut *input);
                self.begin(&mut rest, frame - 1)?;
                continue;
            }
            if have < 8 {
                return Err(CaptureError::CutShort { frame });
            }
            let kind = self.word(&head, 0);
            let length = self.word(&head, 4) as usize;
            if !(12..=MAX_BLOCK).contains(&length) {
                return Err(CaptureError::Length {
                    frame,
                    length: length as u64,
                });
            }
            let padded = length.next_multiple_of(4) - 8;
            if !matches!(
                kind,
                INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | ENHANCED_PACKET
            ) {
                skip(input, padded, frame)?;
                continue;
            }
            buffer.resize(padded, 0);
            if fill(input, buffer)? < padded {
                return Err(CaptureError::CutShort { frame });
            }
            let body = length - 12;
            match kind {
                INTERFACE_DESCRIPTION => self.describe(&buffer[..body], frame)?,
                _ => return self.packet(kind, &buffer[..body], frame).map(Some),
            }
        }
    }

    fn describe(&mut self, body: &[u8], frame: u64) -> Result<(), CaptureError> {
        let damaged = |what| CaptureError::Block {
            frame: frame - 1,
            what,
        };
        if body.len() < 8 {
            return Err(damaged("an interface description cut short"));
        }
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(damaged("more interfaces than can be"));
        }
        let mut interface = Interface {
            link: LinkType::from(self.half(body, 0)),
            snap: self.word(body, 4),
            ticks: 1_000_000,
            offset: 0,
            name: None,
        };
        let mut at = 8;
        while at + 4 <= body.len() {
            let (code, length) = (self.half(body, at), usize::from(self.half(body, at + 2)));
            let Some(value) = body.get(at + 4..at + 4 + length) else {
                break;
            };
            match (code, value) {
                (0, _) => break,
                (2, name) => {
                    let name = String::from_utf8_lossy(name);
                    interface.name = Some(Arc::from(name.trim_end_matches('\0')));
                }
                (9, [resolution]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    interface.ticks = if resolution & 0x80 != 0 {
                        1u64.checked_shl(exponent).unwrap_or(1 << 63)
                    } else {
                        10u64.checked_pow(exponent).unwrap_or(u64::MAX)
                    }
                    .max(1);
                }
                (14, value) if value.len() == 8 => {
                    let (a, b) = (
                        u64::from(self.word(value, 0)),
                        u64::from(self.word(value, 4)),
                    );
                    let whole = if self.big_endian {
                        a << 32 | b
                    } else {
                        b << 32 | a
                    };
                    interface.offset = whole as i64;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&self, kind: u32, body: &[u8], frame: u64) -> Result<Found, CaptureError> {
        let damaged = |what| CaptureError::Block {
            frame: frame - 1,
            what,
        };
        let (interface, ticks, captured, original, from) = match kind {
            SIMPLE_PACKET => {
                let original = self.word(body, 0) as usize;
                let snap = match self.interfaces.first().map(|i| i.snap as usize) {
                    Some(0) | None => usize::MAX,
                    Some(snap) => snap,
                };
                (
                    0,
                    0,
                    original.min(snap).min(body.len().saturating_sub(4)),
                    original,
                    4,
                )
            }
            _ => {
                if body.len() < 20 {
                    return Err(damaged("a packet block cut short"));
                }
                let interface = if kind == PACKET {
                    usize::from(self.half(body, 0))
                } else {
                    self.word(body, 0) as usize
                };
                let ticks = u64::from(self.word(body, 4)) << 32 | u64::from(self.word(body, 8));
                (
                    interface,
                    ticks,
                    self.word(body, 12) as usize,
                    self.word(body, 16) as usize,
                    20,
                )
            }
        };
        let Some(described) = self.interfaces.get(interface) else {
            return Err(damaged("a packet of an interface that is not described"));
        };
        if captured > body.len().saturating_sub(from) {
            return Err(CaptureError::Length {
                frame,
                length: captured as u64,
            });
        }
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(described.ticks);
        let shifted = i128::try_from(nanoseconds).unwrap_or(i128::MAX)
            + i128::from(described.offset) * 1_000_000_000;
        Ok(Found {
            time: Timestamp(u64::try_from(shifted.max(0)).unwrap_or(u64::MAX)),
            link: described.link,
            interface,
            original_len: original,
            from,
            to: from + captured,
        })
    }
}

/// Passes over bytes without keeping them.
fn skip(input: &mut impl BufRead, mut count: usize, frame: u64) -> Result<(), CaptureError> {
    while count > 0 {
        let have = input.fill_buf()?.len().min(count);
        if have == 0 {
            return Err(CaptureError::CutShort { frame });
        }
        input.consume(have);
        count -= have;
    }
    Ok(())
}
