//! Capture files: pcap and pcapng, gzip or not, read frame by frame.
//!
//! ```
//! use palisade_capture::pcap::{Reader, Writer};
//! use palisade_wire::{Timestamp, link::LinkType};
//! let mut file = Vec::new();
//! let mut writer = Writer::new(&mut file, LinkType::Raw).unwrap();
//! writer.write(Timestamp::new(1, 5000), &[0x45, 0, 0, 20], 20).unwrap();
//! let mut reader = Reader::new(file.as_slice()).unwrap();
//! let frame = reader.next_frame().unwrap().unwrap();
//! assert_eq!((frame.number, frame.original_len, frame.data.len()), (1, 20, 4));
//! assert!(reader.next_frame().unwrap().is_none());
//! ```

mod classic;
mod ng;
mod ng_writer;
mod writer;

pub use ng_writer::NgWriter;
pub use writer::Writer;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use palisade_wire::{Timestamp, link::LinkType};
use thiserror::Error;

/// Largest frame or block that is read, in bytes.
pub const MAX_BLOCK: usize = 1 << 24;

/// Why a capture cannot be read (further).
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file could not be read.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// Neither pcap nor pcapng.
    #[error("not a capture: it begins with {0:02x?}, which is neither pcap nor pcapng")]
    Magic([u8; 4]),
    /// The file is empty or shorter than a file header.
    #[error("not a capture: the file has only {0} bytes")]
    TooShort(u64),
    /// The file ends in the middle of a frame.
    #[error("cut short: the file ends inside frame {frame}")]
    CutShort {
        /// The frame that is incomplete.
        frame: u64,
    },
    /// A length that cannot be.
    #[error("damaged: frame {frame} claims {length} bytes")]
    Length {
        /// The frame.
        frame: u64,
        /// The claimed length.
        length: u64,
    },
    /// A pcapng block that contradicts itself.
    #[error("damaged: {what} (after frame {frame})")]
    Block {
        /// Frames read before.
        frame: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number from 1, as Wireshark counts.
    pub number: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// Link layer.
    pub link: LinkType,
    /// Name of the interface, when the file tells (pcapng `if_name`).
    pub interface: Option<&'a Arc<str>>,
    /// Bytes that were on the wire.
    pub original_len: usize,
    /// Bytes that were kept.
    pub data: &'a [u8],
}

impl Frame<'_> {
    /// Whether the capture kept fewer bytes than there were.
    pub fn snapped(&self) -> bool {
        self.data.len() < self.original_len
    }
}

#[derive(Debug)]
enum Format {
    Classic(classic::Header),
    Ng(ng::Section),
}

/// Reads a capture frame by frame, into one buffer.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    format: Format,
    buffer: Vec<u8>,
    frames: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the file header.
    ///
    /// # Errors
    /// [`CaptureError`] when it is no capture.
    pub fn new(mut input: R) -> Result<Self, CaptureError> {
        let mut magic = [0; 4];
        let have = fill(&mut input, &mut magic)?;
        if have < 4 {
            return Err(CaptureError::TooShort(have as u64));
        }
        let format = if magic == ng::SECTION_HEADER {
            Format::Ng(ng::Section::default())
        } else {
            Format::Classic(classic::Header::read(magic, &mut input)?)
        };
        let mut reader = Reader {
            input,
            format,
            buffer: Vec::new(),
            frames: 0,
        };
        if let Format::Ng(section) = &mut reader.format {
            section.begin(&mut reader.input, 0)?;
        }
        Ok(reader)
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError`]; the frames before were good.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let number = self.frames + 1;
        let found = match &mut self.format {
            Format::Classic(header) => header.next(&mut self.input, &mut self.buffer, number)?,
            Format::Ng(section) => section.next(&mut self.input, &mut self.buffer, number)?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        self.frames = number;
        Ok(Some(Frame {
            number,
            time: found.time,
            link: found.link,
            interface: match &self.format {
                Format::Ng(section) => section.name(found.interface),
                Format::Classic(_) => None,
            },
            original_len: found.original_len,
            data: &self.buffer[found.from..found.to],
        }))
    }

    /// Frames read so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }
}

/// A frame as its format describes it; the bytes lie in the buffer.
#[derive(Clone, Copy, Debug)]
struct Found {
    time: Timestamp,
    link: LinkType,
    interface: usize,
    original_len: usize,
    from: usize,
    to: usize,
}

/// Reads until `buffer` is full or the input ends; tells how many bytes came.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match input.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(have)
}

/// How far a file has been read, for a progress bar.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    /// Size of the file in bytes; 0 when unknown (a pipe).
    pub size: u64,
}

impl Progress {
    /// Bytes of the file read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// A capture file opened for reading, decompressed if need be.
pub type FileReader = Reader<Box<dyn BufRead>>;

/// Opens a capture; gzip is recognised by its magic.
///
/// # Errors
/// [`CaptureError`] when the file cannot be read or is no capture.
pub fn open(path: &Path) -> Result<(FileReader, Progress), CaptureError> {
    let file = File::open(path)?;
    let progress = Progress {
        read: Arc::default(),
        size: file
            .metadata()
            .map_or(0, |m| if m.is_file() { m.len() } else { 0 }),
    };
    let counted = Counted {
        inner: file,
        read: Arc::clone(&progress.read),
    };
    let mut input = BufReader::with_capacity(1 << 18, counted);
    let gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn BufRead> = if gzip {
        let plain = flate2::bufread::MultiGzDecoder::new(input);
        Box::new(BufReader::with_capacity(1 << 18, plain))
    } else {
        Box::new(input)
    };
    Ok((Reader::new(input)?, progress))
}

#[cfg(test)]
mod tests;
