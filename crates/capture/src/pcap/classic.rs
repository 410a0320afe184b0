//! The classic format: a file header, then frames with 16-byte headers.

use std::io::BufRead;

use palisade_wire::{Timestamp, link::LinkType};

use super::{CaptureError, Found, MAX_BLOCK, fill};

#[derive(Debug)]
pub(super) struct Header {
    big_endian: bool,
    nanoseconds: bool,
    /// The header of each frame has 8 more bytes (Kuznetzov's variant).
    modified: bool,
    link: LinkType,
}

impl Header {
    pub(super) fn read(magic: [u8; 4], input: &mut impl BufRead) -> Result<Self, CaptureError> {
        let (big_endian, nanoseconds, modified) = match u32::from_be_bytes(magic) {
            0xa1b2_c3d4 => (true, false, false),
            0xd4c3_b2a1 => (false, false, false),
            0xa1b2_3c4d => (true, true, false),
            0x4d3c_b2a1 => (false, true, false),
            0xa1b2_cd34 => (true, false, true),
            0x34cd_b2a1 => (false, false, true),
            _ => return Err(CaptureError::Magic(magic)),
        };
        let mut rest = [0; 20];
        let have = fill(input, &mut rest)?;
        if have < rest.len() {
            return Err(CaptureError::TooShort(4 + have as u64));
        }
        let mut header = Header {
            big_endian,
            nanoseconds,
            modified,
            link: LinkType::Raw,
        };
        // The upper bits tell about frame check sequences.
        header.link = LinkType::from((header.word(&rest, 16) & 0xffff) as u16);
        Ok(header)
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let b = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        }
    }

    pub(super) fn next(
        &mut self,
        input: &mut impl BufRead,
        buffer: &mut Vec<u8>,
        frame: u64,
    ) -> Result<Option<Found>, CaptureError> {
        let mut head = [0; 24];
        let size = if self.modified { 24 } else { 16 };
        let have = fill(input, &mut head[..size])?;
        if have == 0 {
            return Ok(None);
        }
        if have < size {
            return Err(CaptureError::CutShort { frame });
        }
        let length = self.word(&head, 8) as usize;
        if length > MAX_BLOCK {
            return Err(CaptureError::Length {
                frame,
                length: length as u64,
            });
        }
        let fraction = self.word(&head, 4);
        let nanoseconds = if self.nanoseconds {
            fraction
        } else {
            fraction.saturating_mul(1000)
        };
        buffer.resize(length, 0);
        if fill(input, buffer)? < length {
            return Err(CaptureError::CutShort { frame });
        }
        Ok(Some(Found {
            time: Timestamp::new(u64::from(self.word(&head, 0)), nanoseconds),
            link: self.link,
            interface: 0,
            original_len: self.word(&head, 12) as usize,
            from: 0,
            to: length,
        }))
    }
}
