//! Packets of TUN interfaces: what a tunnel or a network in user space carries.
//!
//! # Overview
//! A TUN interface is a wire to a program: what the host routes into it the program reads, and what the program writes the host takes for
//! received. [`Tun`] is that program, with one end or two.
//!
//! ```text
//! one:  host -> NAME -> PREROUTING, FORWARD, POSTROUTING -> NAME -> host      a way that routes lead through
//! two:  host -> A    -> PREROUTING, FORWARD, POSTROUTING -> B    -> host of B   and back
//! ```
//!
//! An end is an interface by its name, or a descriptor that was inherited (`fd:N`): a TUN interface that somebody else attached
//! to, or a socket that carries one IP packet a message (the other half with a network in user space). Packets are not routed
//! ([`Route::Wire`]): their time to live is lowered by those who are.
//!
//! # Life cycle
//! An interface of the name that is there is attached to; otherwise it is made, and is gone with the process. Either way it is
//! brought up; addresses and routes are whoever's it serves. When it is deleted the backend fails.
//!
//! # Bounds
//! A batch of packets, of 64 KiB at most each.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use palisade_engine::{Bridge, Port, Route};
use thiserror::Error;

use crate::backend::{Backend, Batch, Capabilities};
use crate::gate::Gate;
use crate::leaving::{Leaving, leaving};
use crate::wire::vnet::{self, Undone};
use crate::wire::{interface, sys};

/// The longest packet.
const LONGEST: usize = 1 << 16;

/// Work that may be left to be done: checksums, and segments of TCP and UDP.
const UNDONE: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
const UNDONE_UDP: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// Why there is no backend.
#[derive(Debug, Error)]
pub enum TunError {
    /// Not one end, nor two.
    #[error("one end or two are needed: NAME or NAME,NAME")]
    Ends,
    /// Both ends are the same.
    #[error("two ends are needed, and both are {0}; one alone is its own other end")]
    Same(String),
    /// Something about an end failed.
    #[error("{name}: {what}: {error}")]
    End {
        /// Its name.
        name: String,
        /// What was done.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

/// One end.
#[derive(Debug)]
struct End {
    fd: OwnedFd,
    name: String,
    /// Each packet stands behind a header that says what is undone about it.
    headers: bool,
    mtu: usize,
}

/// How a packet of the batch came.
#[derive(Clone, Copy, Debug)]
struct Came {
    end: usize,
    undone: Undone,
}

/// A filter of TUN interfaces.
#[derive(Debug)]
pub struct Tun {
    ends: Vec<End>,
    ports: Vec<Port>,
    came: Vec<Came>,
    first: usize,
    buffer: Vec<u8>,
    lost: u64,
}

impl Tun {
    /// Attaches to interfaces, or makes them.
    ///
    /// # Errors
    /// See [`TunError`].
    pub fn open(names: &[String], gate: &Gate) -> Result<Self, TunError> {
        match names {
            [_] => {}
            [a, b] if a == b => return Err(TunError::Same(a.clone())),
            [_, _] => {}
            _ => return Err(TunError::Ends),
        }
        let mut ends = Vec::new();
        for name in names {
            let failed = |(what, error)| TunError::End {
                name: name.clone(),
                what,
                error,
            };
            ends.push(End::open(name).map_err(failed)?);
        }
        // What is left undone by one end has to be said to the other.
        let headers = ends.iter().all(|end| end.headers);
        for end in &ends {
            end.leave_undone(headers);
        }
        let names: Vec<Arc<str>> = ends
            .iter()
            .map(|end| Arc::from(end.name.as_str()))
            .collect();
        let ports = (0..ends.len()).map(|from| {
            let [from, to] = [from, ends.len() - 1 - from].map(|end| Arc::clone(&names[end]));
            gate.port(Route::Wire(from, to), Bridge::default())
        });
        Ok(Tun {
            ports: ports.collect(),
            ends,
            came: Vec::new(),
            first: 0,
            buffer: vec![0; LONGEST + vnet::HEADER],
            lost: 0,
        })
    }

    /// Reads what is there.
    fn take(&mut self, batch: &mut Batch) -> io::Result<()> {
        for turn in 0..self.ends.len() {
            let end = (self.first + turn) % self.ends.len();
            let from = &self.ends[end];
            while !batch.is_full() {
                let Some(length) = from.read(&mut self.buffer)? else {
                    break;
                };
                let read = self.buffer.get(..length).unwrap_or_default();
                let (undone, packet) = match from.headers {
                    true => match read.split_at_checked(vnet::HEADER) {
                        Some((header, packet)) => (Undone::read(header), packet),
                        None => continue,
                    },
                    false => (Undone::default(), read),
                };
                // What is no IP packet is nothing for an interface without a link layer.
                if !matches!(packet.first().map(|b| b >> 4), Some(4 | 6)) {
                    continue;
                }
                let Some(frame) = batch.add() else { break };
                frame.bytes.extend_from_slice(packet);
                frame.port = self.ports[end];
                frame.unfinished = undone.unfinished();
                self.came.push(Came { end, undone });
            }
        }
        self.first = (self.first + 1) % self.ends.len();
        Ok(())
    }
}

impl End {
    fn open(name: &str) -> Result<Self, (&'static str, io::Error)> {
        if let Some(number) = name.strip_prefix("fd:") {
            let number = number
                .parse()
                .map_err(|_| ("its number", io::ErrorKind::InvalidInput.into()))?;
            return End::inherited(number);
        }
        let path = c"/dev/net/tun".as_ptr();
        // SAFETY: the path is a text that ends with a zero byte.
        let opened = unsafe { libc::open(path, libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC) };
        let opened = sys::checked(opened).map_err(|e| ("opening /dev/net/tun", e))?;
        // SAFETY: the descriptor is new and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(opened) };
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let mut attached = interface::tun(&fd, name, flags);
        if attached
            .as_ref()
            .is_err_and(|e| e.raw_os_error() == Some(libc::EINVAL))
        {
            // One that was made for several queues is attached to as such.
            attached = interface::tun(&fd, name, flags | libc::IFF_MULTI_QUEUE);
        }
        let name = attached.map_err(|e| ("attaching to it", e))?;
        interface::bring_up(&name).map_err(|e| ("bringing it up", e))?;
        let mtu = interface::mtu(&name).map_err(|e| ("its MTU", e))?;
        Ok(End {
            fd,
            name,
            headers: true,
            mtu,
        })
    }

    /// A descriptor that the process was started with.
    fn inherited(number: RawFd) -> Result<Self, (&'static str, io::Error)> {
        // SAFETY: system calls without pointers, which fail when the descriptor is not open.
        let flags = sys::checked(unsafe { libc::fcntl(number, libc::F_GETFL) });
        let flags = flags.map_err(|e| ("an inherited descriptor", e))?;
        if number <= libc::STDERR_FILENO {
            return Err((
                "an inherited descriptor",
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        // SAFETY: as above.
        let set = unsafe { libc::fcntl(number, libc::F_SETFL, flags | libc::O_NONBLOCK) };
        sys::checked(set).map_err(|e| ("an inherited descriptor", e))?;
        // SAFETY: it is open, and handed over to nobody but this value by whoever started the process.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        // A TUN interface has a name, and perhaps headers; a socket has neither.
        let (name, headers) = match interface::tun_flags(&fd) {
            Ok((name, flags)) => {
                if flags & libc::IFF_NO_PI == 0 || flags & libc::IFF_TUN == 0 {
                    let error = io::Error::other("it needs IFF_TUN and IFF_NO_PI");
                    return Err(("an inherited interface", error));
                }
                (Some(name), flags & libc::IFF_VNET_HDR != 0)
            }
            Err(_) => (None, false),
        };
        let mtu = match &name {
            Some(name) => interface::mtu(name).map_err(|e| ("its MTU", e))?,
            None => LONGEST - 1,
        };
        Ok(End {
            fd,
            name: name.unwrap_or_else(|| format!("fd{number}")),
            headers,
            mtu,
        })
    }

    /// Tells the kernel what it may leave undone; one that knows less is asked for less.
    fn leave_undone(&self, headers: bool) {
        if !self.headers {
            return;
        }
        let asked = if headers {
            [UNDONE | UNDONE_UDP, UNDONE]
        } else {
            [0, 0]
        };
        for what in asked {
            // SAFETY: an order with a number.
            let set = unsafe {
                libc::ioctl(
                    self.fd.as_raw_fd(),
                    libc::TUNSETOFFLOAD,
                    libc::c_ulong::from(what),
                )
            };
            if sys::checked(set).is_ok() {
                return;
            }
        }
    }

    /// The length of the next packet, read into `buffer`; `None`: there is none now.
    fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the pointer and the length are those of `buffer`.
        let read = unsafe {
            libc::read(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        match usize::try_from(read) {
            // A peer that ended; of a message without bytes nothing is lost.
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{}: its other side has ended", self.name),
            )),
            Ok(length) => Ok(Some(length)),
            Err(_) => match io::Error::last_os_error() {
                error
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) =>
                {
                    Ok(None)
                }
                error => Err(io::Error::new(
                    error.kind(),
                    format!("{}: it is gone: {error}", self.name),
                )),
            },
        }
    }

    /// Writes a packet; whether it was taken.
    fn write(&self, undone: Undone, packet: &mut [u8]) -> bool {
        let header = undone.write(packet, 0);
        let header = if self.headers { &header[..] } else { &[] };
        let vectors = [header, packet].map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        // SAFETY: two vectors, each over a slice that lives through the call.
        let written = unsafe { libc::writev(self.fd.as_raw_fd(), vectors.as_ptr(), 2) };
        written >= 0
    }
}

impl Backend for Tun {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: "tun",
            rewrites: true,
            injects: true,
            marks: false,
            owners: false,
            local: false,
            notes: Vec::new(),
        }
    }

    fn receive(&mut self, batch: &mut Batch, wait: Duration) -> io::Result<()> {
        self.came.clear();
        self.take(batch)?;
        if batch.is_empty() {
            let fds: Vec<RawFd> = self.ends.iter().map(|end| end.fd.as_raw_fd()).collect();
            if sys::wait_for(&fds, wait)?.contains(&true) {
                self.take(batch)?;
            }
        }
        Ok(())
    }

    fn conclude(&mut self, batch: &mut Batch) -> io::Result<()> {
        let (ends, lost) = (&self.ends, &mut self.lost);
        for (frame, came) in batch.frames_mut().iter_mut().zip(&self.came) {
            let Some(other) = ends.get(ends.len() - 1 - came.end) else {
                continue;
            };
            leaving(frame, other.mtu, |_, leaves| {
                let written = match leaves {
                    Leaving::Same(bytes) => other.write(came.undone, bytes),
                    Leaving::Other(packet) => other.write(came.undone, packet),
                    Leaving::Made(back, packet) => {
                        let end = if back { &ends[came.end] } else { other };
                        end.write(Undone::default(), &mut packet.to_vec())
                    }
                };
                *lost += u64::from(!written);
            });
        }
        Ok(())
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        if self.lost > 0 {
            tracing::info!("tun: {} packets were not taken", self.lost);
        }
    }
}
