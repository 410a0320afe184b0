//! Writing captures: classic pcap with nanoseconds.

use std::io::{self, Write};

use palisade_wire::{Timestamp, link::LinkType};

/// Writes a capture frame by frame.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn new(mut output: W, link: LinkType) -> io::Result<Self> {
        output.write_all(&0xa1b2_3c4d_u32.to_le_bytes())?;
        output.write_all(&2u16.to_le_bytes())?;
        output.write_all(&4u16.to_le_bytes())?;
        output.write_all(&[0; 8])?;
        output.write_all(&262_144u32.to_le_bytes())?;
        output.write_all(&u32::from(u16::from(link)).to_le_bytes())?;
        Ok(Writer { output })
    }

    /// Writes a frame; seconds beyond 2106 do not fit the format and wrap.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn write(&mut self, time: Timestamp, data: &[u8], original_len: usize) -> io::Result<()> {
        let seconds = (time.0 / 1_000_000_000) as u32;
        let nanoseconds = (time.0 % 1_000_000_000) as u32;
        self.output.write_all(&seconds.to_le_bytes())?;
        self.output.write_all(&nanoseconds.to_le_bytes())?;
        self.output.write_all(&(data.len() as u32).to_le_bytes())?;
        self.output
            .write_all(&(original_len as u32).to_le_bytes())?;
        self.output.write_all(data)
    }

    /// Hands the output back, flushed.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}
