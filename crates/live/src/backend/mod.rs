//! Where packets come from, and what may be done with them.

pub mod memory;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use palisade_engine::{Judged, LinkInfo, Owner, Port, Verdict};

/// Packets of a batch, at most.
pub const BATCH: usize = 64;

/// What a backend can do with packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its name, as `palisade status` shows it.
    pub name: &'static str,
    /// Packets may leave with other bytes than they came with.
    pub rewrites: bool,
    /// Packets of its own making can be sent (answers of REJECT, copies of TEE).
    pub injects: bool,
    /// The mark of a packet is known, and goes on with it.
    pub marks: bool,
    /// Whose socket made a packet is known.
    pub owners: bool,
    /// Packets made on this host and for it are seen too, not only what passes through.
    pub local: bool,
    /// Worth telling whoever starts it: why a slower way was taken, what is not seen.
    pub notes: Vec<String>,
}

impl Capabilities {
    /// Of a backend that can do nothing but let packets pass or not.
    pub fn new(name: &'static str) -> Self {
        Capabilities {
            name,
            rewrites: false,
            injects: false,
            marks: false,
            owners: false,
            local: false,
            notes: Vec::new(),
        }
    }
}

/// A packet in a batch.
#[derive(Debug, Default)]
pub struct Frame {
    /// Bytes as received; the IP packet begins at `offset`.
    pub bytes: Vec<u8>,
    /// Where the IP header begins.
    pub offset: usize,
    /// How it came.
    pub port: Port,
    /// Link layer.
    pub link: LinkInfo,
    /// Packet mark.
    pub mark: u32,
    /// Whose socket made it.
    pub owner: Option<Owner>,
    /// Its checksums are still to be filled in by hardware: nothing is to be held against them.
    pub unfinished: bool,
    /// What the backend knows it by.
    pub tag: u64,
    /// What became of it.
    pub judged: Judged,
}

impl Frame {
    /// The IP packet.
    pub fn packet(&self) -> &[u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// The packet as it leaves, if it was judged to. A datagram that came in fragments leaves whole, and may be too long for
    /// where it goes.
    pub fn passing(&self) -> Option<&[u8]> {
        if self.judged.verdict != Verdict::Accept {
            return None;
        }
        let detail = self.judged.detail.as_deref();
        let other = detail.and_then(|detail| detail.output.as_deref());
        Some(other.unwrap_or(self.packet()))
    }

    /// Packets of our own making that leave for it: answers of REJECT, and what SYNPROXY says.
    pub fn answers(&self) -> impl Iterator<Item = &[u8]> {
        let detail = self.judged.detail.as_deref();
        let replies = detail.map(|detail| [&detail.reply, &detail.further]);
        let replies = replies.into_iter().flatten().flatten();
        replies.filter_map(|reply| reply.sent.as_deref())
    }
}

/// Packets that came together. Frames are used again, so that their memory is.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<Frame>,
    filled: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Forgets the packets, not their memory.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// A frame more, as it was left; `None` of a batch that is full.
    pub fn add(&mut self) -> Option<&mut Frame> {
        if self.is_full() {
            return None;
        }
        if self.filled == self.frames.len() {
            self.frames.push(Frame::default());
        }
        self.filled += 1;
        let frame = self.frames.get_mut(self.filled - 1)?;
        frame.bytes.clear();
        frame.offset = 0;
        frame.mark = 0;
        frame.owner = None;
        frame.unfinished = false;
        frame.link = LinkInfo::default();
        frame.judged = Judged::default();
        Some(frame)
    }

    /// The packets.
    pub fn frames(&self) -> &[Frame] {
        &self.frames[..self.filled]
    }

    /// The packets.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames[..self.filled]
    }

    /// Whether no more can be added.
    pub fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// Something that a backend counts beside packets by verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// What it is called: small letters and `_`.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// How many so far.
    pub value: u64,
}

/// Asks a backend for its figures.
#[derive(Clone)]
pub struct Figures(Arc<dyn Fn() -> Vec<Figure> + Send + Sync>);

impl Figures {
    /// By asking so.
    pub fn new(ask: impl Fn() -> Vec<Figure> + Send + Sync + 'static) -> Self {
        Figures(Arc::new(ask))
    }

    /// The figures of now.
    pub fn now(&self) -> Vec<Figure> {
        (self.0)()
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.now()).finish()
    }
}

/// Where packets come from, and what may be done with them. A backend belongs to one thread.
pub trait Backend: Send {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Fills an empty batch with what is there; waits for the first packet, but no longer than `wait`.
    ///
    /// # Errors
    /// The backend cannot go on; what is only a packet's or a moment's trouble it minds itself.
    fn receive(&mut self, batch: &mut Batch, wait: Duration) -> io::Result<()>;

    /// Carries out what became of the packets of the batch that was received last.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()>;
}

impl fmt::Debug for dyn Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend")
            .field(&self.capabilities().name)
            .finish()
    }
}
