//! Writing captures: pcapng with nanoseconds, interface names and comments.

use std::io::{self, Write};

use palisade_wire::{Timestamp, link::LinkType};

use super::ng::{ENHANCED_PACKET, INTERFACE_DESCRIPTION, MAX_INTERFACES, SECTION_HEADER};

/// Options (draft-ietf-opsawg-pcapng, sections 3.5, 4.2 and 4.3).
const END: u16 = 0;
const COMMENT: u16 = 1;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;

/// Longest value of an option, in bytes.
const LONGEST: usize = u16::MAX as usize;

/// Writes a capture of one section frame by frame; interfaces are described when their first frame comes.
///
/// ```
/// use palisade_capture::pcap::{NgWriter, Reader};
/// use palisade_wire::{Timestamp, link::LinkType};
/// let mut writer = NgWriter::new(Vec::new(), LinkType::Raw).unwrap();
/// writer.write(Timestamp::new(1, 5), "eth0", &[0x45, 0, 0, 20], 20, "refused").unwrap();
/// let file = writer.finish().unwrap();
/// let mut reader = Reader::new(file.as_slice()).unwrap();
/// let frame = reader.next_frame().unwrap().unwrap();
/// assert_eq!(frame.interface.unwrap().as_ref(), "eth0");
/// assert_eq!((frame.time, frame.original_len, frame.data.len()), (Timestamp::new(1, 5), 20, 4));
/// ```
#[derive(Debug)]
pub struct NgWriter<W> {
    output: W,
    link: LinkType,
    interfaces: Vec<String>,
    block: Vec<u8>,
}

impl<W: Write> NgWriter<W> {
    /// Writes the section's header.
    ///
    /// # Errors
    /// What the output fails with.
    pub fn new(mut output: W, link: LinkType) -> io::Result<Self> {
        let mut block = begin(u32::from_le_bytes(SECTION_HEADER));
        block.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        block.extend_from_slice(&1u16.to_le_bytes());
        block.extend_from_slice(&0u16.to_le_bytes());
        // Its length is not told.
        block.extend_from_slice(&u64::MAX.to_le_bytes());
        end(&mut block);
        output.write_all(&block)?;
        Ok(NgWriter {
            output,
            link,
            interfaces: Vec::new(),
            block,
        })
    }

    /// Writes a frame at once; a comment that is empty is none, one that is longer than the format allows is cut off.
    ///
    /// # Errors
    /// What the output fails with. What it took of the frame is part of the file then.
    pub fn write(
        &mut self,
        time: Timestamp,
        interface: &str,
        data: &[u8],
        original_len: usize,
        comment: &str,
    ) -> io::Result<()> {
        let known = self.interfaces.iter().position(|name| name == interface);
        let mut blocks = std::mem::take(&mut self.block);
        blocks.clear();
        let number = known.unwrap_or_else(|| {
            if self.interfaces.len() == MAX_INTERFACES {
                return 0;
            }
            let mut block = begin(INTERFACE_DESCRIPTION);
            block.extend_from_slice(&u16::from(self.link).to_le_bytes());
            block.extend_from_slice(&[0; 6]);
            if !interface.is_empty() {
                option(&mut block, NAME, interface.as_bytes());
            }
            option(&mut block, RESOLUTION, &[9]);
            option(&mut block, END, &[]);
            end(&mut block);
            blocks.append(&mut block);
            self.interfaces.push(interface.to_owned());
            self.interfaces.len() - 1
        });
        let mut block = begin(ENHANCED_PACKET);
        for word in [
            number as u32,
            (time.0 >> 32) as u32,
            time.0 as u32,
            data.len() as u32,
            original_len as u32,
        ] {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(data);
        pad(&mut block);
        if !comment.is_empty() {
            let cut = (0..=LONGEST.min(comment.len())).rev();
            let cut = cut.into_iter().find(|at| comment.is_char_boundary(*at));
            let comment = &comment[..cut.unwrap_or(0)];
            option(&mut block, COMMENT, comment.as_bytes());
            option(&mut block, END, &[]);
        }
        end(&mut block);
        blocks.append(&mut block);
        let written = self.output.write_all(&blocks);
        self.block = blocks;
        if written.is_err() && known.is_none() {
            // It is not known whether the file has it.
            self.interfaces.pop();
        }
        written
    }

    /// Where it writes to.
    pub fn output_mut(&mut self) -> &mut W {
        &mut self.output
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

/// A block with room for its length.
fn begin(kind: u32) -> Vec<u8> {
    let mut block = kind.to_le_bytes().to_vec();
    block.extend_from_slice(&[0; 4]);
    block
}

/// Its length, at both of its ends.
fn end(block: &mut Vec<u8>) {
    let length = (block.len() as u32 + 4).to_le_bytes();
    block[4..8].copy_from_slice(&length);
    block.extend_from_slice(&length);
}

fn option(block: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = &value[..value.len().min(LONGEST)];
    block.extend_from_slice(&kind.to_le_bytes());
    block.extend_from_slice(&(value.len() as u16).to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, tests::frames};
    use super::*;

    /// Takes `room` bytes, then nothing.
    struct Full {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.taken.len() + bytes.len() > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_interfaces_and_comments_come_back() {
        let mut writer = NgWriter::new(Vec::new(), LinkType::Raw).unwrap();
        let packets = [
            ("eth0", &[1, 2, 3][..], "IN: "),
            ("", &[4], ""),
            ("eth0", &[], "ü"),
        ];
        for (second, (interface, data, comment)) in (1..).zip(packets) {
            let time = Timestamp::new(second, 7);
            writer.write(time, interface, data, 60, comment).unwrap();
        }
        let file = writer.finish().unwrap();
        let mut reader = Reader::new(file.as_slice()).unwrap();
        for (second, (interface, data, _)) in (1..).zip(packets) {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(frame.time, Timestamp::new(second, 7));
            assert_eq!((frame.data, frame.original_len), (data, 60));
            assert_eq!(frame.link, LinkType::Raw);
            let name = frame.interface.map_or("", |name| name.as_ref());
            assert_eq!(name, interface);
        }
        assert!(reader.next_frame().unwrap().is_none());
        let comment = [&COMMENT.to_le_bytes()[..], &4u16.to_le_bytes(), b"IN: "].concat();
        assert!(file.windows(comment.len()).any(|w| w == comment));
    }

    #[test]
    fn a_long_comment_is_cut_at_a_character() {
        let mut writer = NgWriter::new(Vec::new(), LinkType::Raw).unwrap();
        let comment = "ü".repeat(40_000);
        writer.write(Timestamp(0), "", &[1], 1, &comment).unwrap();
        let (read, error) = frames(&writer.finish().unwrap());
        assert_eq!((read.len(), error.is_none()), (1, true));
    }

    #[test]
    fn an_interface_that_was_not_written_is_described_again() {
        let full = Full {
            room: 40,
            taken: Vec::new(),
        };
        let mut writer = NgWriter::new(full, LinkType::Raw).unwrap();
        assert!(writer.write(Timestamp(1), "eth0", &[1], 1, "").is_err());
        writer.output_mut().room = 1000;
        writer.write(Timestamp(2), "eth0", &[2], 1, "").unwrap();
        let (read, error) = frames(&writer.finish().unwrap().taken);
        assert_eq!(read, [(1, 2, vec![2])]);
        assert!(error.is_none(), "{error:?}");
    }
}
