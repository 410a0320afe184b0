//! Packets from memory: for embedding where packets are the program's own, and for tests.
//!
//! ```
//! use palisade_engine::{Engine, Setup, Verdict};
//! use palisade_live::{Gate, backend::memory};
//! use palisade_wire::build;
//! use std::{sync::Arc, time::Duration};
//! let gate = Arc::new(Gate::new(Engine::new(Setup::default()).unwrap()));
//! let (feed, backend) = memory::pair();
//! let workers = palisade_live::Workers::start(&gate, vec![Box::new(backend)], |_| ()).unwrap();
//! let ip = build::Ip::new("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
//! let bytes = build::udp(&ip, 1000, 53, b"?");
//! feed.send(memory::Sent { bytes, tag: 7, ..Default::default() }).unwrap();
//! let concluded = feed.receive(Duration::from_secs(5)).unwrap();
//! assert_eq!((concluded.tag, concluded.verdict), (7, Verdict::Accept));
//! gate.stop();
//! assert_eq!(workers.join().len(), 1);
//! ```

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use palisade_engine::conntrack::State;
use palisade_engine::{Port, Verdict};

use super::{Backend, Batch, Capabilities};

/// Packets under way in each direction, at most.
pub const UNDER_WAY: usize = 4096;

/// A packet to be judged.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// From the IP header on.
    pub bytes: Vec<u8>,
    /// How it came.
    pub port: Port,
    /// Packet mark.
    pub mark: u32,
    /// What it is known by.
    pub tag: u64,
}

/// A packet that was judged.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// As it leaves.
    pub bytes: Vec<u8>,
    /// What it is known by.
    pub tag: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Its state.
    pub state: Option<State>,
    /// Packet mark at the end.
    pub mark: u32,
}

/// The program's end: packets in, verdicts out.
#[derive(Debug)]
pub struct Feed {
    packets: SyncSender<Sent>,
    concluded: Receiver<Concluded>,
}

impl Feed {
    /// Hands a packet over; waits while [`UNDER_WAY`] are there already.
    ///
    /// # Errors
    /// The backend is gone.
    pub fn send(&self, packet: Sent) -> io::Result<()> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.packets.send(packet).map_err(gone)
    }

    /// The next packet that was judged; `None` when none comes for so long.
    pub fn receive(&self, wait: Duration) -> Option<Concluded> {
        self.concluded.recv_timeout(wait).ok()
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Memory {
    packets: Receiver<Sent>,
    concluded: SyncSender<Concluded>,
}

/// A backend and the program's end of it. Verdicts that nobody fetches end the backend's way on at [`UNDER_WAY`].
pub fn pair() -> (Feed, Memory) {
    let (packets, taken) = sync_channel(UNDER_WAY);
    let (given, concluded) = sync_channel(UNDER_WAY);
    let memory = Memory {
        packets: taken,
        concluded: given,
    };
    (Feed { packets, concluded }, memory)
}

impl Backend for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "memory",
            rewrites: true,
            injects: false,
            marks: true,
            owners: false,
            local: true,
            notes: Vec::new(),
        }
    }

    fn receive(&mut self, batch: &mut Batch, wait: Duration) -> io::Result<()> {
        let mut next = match self.packets.recv_timeout(wait) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        };
        while let Some(packet) = next.take() {
            let Some(frame) = batch.add() else { break };
            frame.bytes.extend_from_slice(&packet.bytes);
            frame.port = packet.port;
            frame.mark = packet.mark;
            frame.tag = packet.tag;
            if !batch.is_full() {
                next = self.packets.try_recv().ok();
            }
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()> {
        for frame in batch.frames() {
            let detail = frame.judged.detail.as_ref();
            let longer = detail.and_then(|d| d.output.as_deref());
            let concluded = Concluded {
                bytes: longer.unwrap_or(frame.packet()).to_vec(),
                tag: frame.tag,
                verdict: frame.judged.verdict,
                state: frame.judged.state,
                mark: frame.judged.mark,
            };
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            self.concluded.send(concluded).map_err(gone)?;
        }
        Ok(())
    }
}
