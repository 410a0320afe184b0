//! The socket of one queue: many packets by one system call, and many verdicts.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::message::{self, Settings};
use crate::backend::BATCH;
use crate::netlink::{Message, Protocol, Socket};

/// Bytes of a datagram at most: a packet of 65,535 and what is told of it. The number of cache lines is odd, so
/// that the beginnings of buffers do not share a few sets of the cache.
const DATAGRAM: usize = 1041 * 64;

/// What the kernel may keep for the socket, in bytes.
const KEPT: usize = 32 << 20;

/// Bytes that are sent by one call at most; netlink refuses what exceeds the send buffer.
const SEND: usize = 1 << 20;

/// The socket of one queue.
#[derive(Debug)]
pub(super) struct QueueSocket {
    socket: Socket,
    queue: u16,
    /// Where datagrams are put; exchanged for the buffers of frames.
    buffers: Vec<Vec<u8>>,
    wait: Duration,
}

impl QueueSocket {
    /// Binds a queue; `None`: it is somebody's.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn bind(queue: u16, settings: &Settings) -> io::Result<Option<Self>> {
        let mut socket = Socket::open(Protocol::Netfilter, 0)?;
        socket.set_receive_buffer(KEPT)?;
        if setsockopt(&socket.as_fd(), sockopt::SndBufForce, &(2 * SEND)).is_err() {
            setsockopt(&socket.as_fd(), sockopt::SndBuf, &(2 * SEND))?;
        }
        // What the socket cannot take the queue counts; there is nothing else to be learnt from ENOBUFS.
        set(&socket, libc::NETLINK_NO_ENOBUFS)?;
        let mut message = Message::new();
        let sequence = socket.next_sequence();
        let last = socket.next_sequence();
        message::bind(&mut message, queue, settings, sequence);
        match socket.order(&message, last) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY)) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(QueueSocket {
            socket,
            queue,
            buffers: (0..BATCH).map(|_| Vec::new()).collect(),
            wait: Duration::ZERO,
        }))
    }

    /// Its queue.
    pub(super) fn queue(&self) -> u16 {
        self.queue
    }

    /// Waits for a datagram, no longer than `wait`, and takes what is there. How many there are.
    ///
    /// # Errors
    /// The socket is gone.
    pub(super) fn receive(&mut self, wait: Duration) -> io::Result<usize> {
        if self.wait != wait {
            let limit = TimeVal::new(
                wait.as_secs() as i64,
                i64::from(wait.subsec_micros().max(1)),
            );
            setsockopt(&self.socket.as_fd(), sockopt::ReceiveTimeout, &limit)?;
            self.wait = wait;
        }
        let mut parts = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: all-zero bytes are a valid `mmsghdr`: null pointers and zero lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for ((buffer, part), header) in self.buffers.iter_mut().zip(&mut parts).zip(&mut headers) {
            buffer.clear();
            buffer.reserve_exact(DATAGRAM);
            part.iov_base = buffer.as_mut_ptr().cast();
            part.iov_len = DATAGRAM;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points to one `iovec`, which names `DATAGRAM` bytes of spare capacity of a buffer that is
        // not touched until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // Nothing came; a signal; some were lost, which the queue counts.
                Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => Ok(0),
                _ => Err(error),
            };
        };
        for (buffer, header) in self.buffers.iter_mut().zip(&headers).take(count) {
            // SAFETY: the kernel wrote `msg_len` bytes into the buffer, no more than its capacity.
            unsafe { buffer.set_len((header.msg_len as usize).min(DATAGRAM)) };
        }
        Ok(count)
    }

    /// A datagram of those received last.
    pub(super) fn datagram(&self, index: usize) -> &[u8] {
        self.buffers.get(index).map_or(&[], Vec::as_slice)
    }

    /// Exchanges the memory of a datagram for other.
    pub(super) fn exchange(&mut self, index: usize, bytes: &mut Vec<u8>) {
        if let Some(buffer) = self.buffers.get_mut(index) {
            std::mem::swap(buffer, bytes);
        }
    }

    /// Sends verdicts.
    ///
    /// # Errors
    /// The socket is gone.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        loop {
            match self.socket.send(message) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent,
            }
        }
    }

    /// Whether verdicts are to be sent before more are written.
    pub(super) fn is_much(message: &Message) -> bool {
        message.bytes().len() >= SEND / 2
    }
}

/// Sets an option of netlink sockets that is a switch.
fn set(socket: &Socket, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value is an `int` that lives until the call returns, and its size is given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
