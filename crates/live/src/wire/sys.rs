//! What system calls of this module have in common: memory that is shared with the kernel, and options of sockets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// What a system call returned, or why it failed.
pub(crate) fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// A new socket, closed in programs that are started.
pub(crate) fn socket(domain: libc::c_int, kind: libc::c_int, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers.
    let fd = checked(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Values that the kernel reads and writes as they lie in memory.
///
/// # Safety
/// Every pattern of bytes is a value of the type, and it has no padding that matters.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: a number.
unsafe impl Plain for libc::c_int {}
// SAFETY: a number.
unsafe impl Plain for u32 {}
// SAFETY: numbers.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: numbers.
unsafe impl Plain for libc::xdp_umem_reg {}
// SAFETY: numbers.
unsafe impl Plain for libc::packet_mreq {}
// SAFETY: numbers.
unsafe impl Plain for libc::tpacket_req3 {}
// SAFETY: numbers.
unsafe impl Plain for libc::sockaddr_ll {}
// SAFETY: numbers.
unsafe impl Plain for libc::sockaddr_xdp {}

/// Sets an option of a socket.
pub(crate) fn set_option<T: Plain>(
    fd: &OwnedFd,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which lives through the call.
    checked(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length,
        )
    })?;
    Ok(())
}

/// Reads an option of a socket into `value`.
pub(crate) fn option<T: Plain>(fd: &OwnedFd, level: i32, name: i32, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, and what the kernel writes is a value of its type.
    checked(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &mut length,
        )
    })?;
    Ok(value)
}

/// Binds a socket to an address.
pub(crate) fn bind<T: Plain>(fd: &OwnedFd, address: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `address`, which lives through the call.
    checked(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(address).cast(), length) })?;
    Ok(())
}

/// The error that a socket has to tell, which it then forgets.
pub(crate) fn pending_error(fd: &OwnedFd) -> Option<io::Error> {
    let code: libc::c_int = option(fd, libc::SOL_SOCKET, libc::SO_ERROR, 0).ok()?;
    (code != 0).then(|| io::Error::from_raw_os_error(code))
}

/// Waits until one of the descriptors can be read or has an error, `wait` at most; which ones.
pub(crate) fn wait_for(fds: &[RawFd], wait: std::time::Duration) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: *fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer and the number are those of `polled`, which lives through the call.
    let returned = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as _, milliseconds) };
    match checked(returned) {
        Ok(_) => Ok(polled.iter().map(|p| p.revents != 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
        Err(error) => Err(error),
    }
}

/// Memory that is shared with the kernel.
#[derive(Debug)]
pub(crate) struct Mapping {
    at: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the value, wherever the value is.
unsafe impl Send for Mapping {}

impl Mapping {
    /// What a descriptor shares from `offset` on.
    pub(crate) fn of(fd: BorrowedFd<'_>, length: usize, offset: i64) -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Mapping::new(length, flags, fd.as_raw_fd(), offset)
    }

    /// New memory, all zero.
    pub(crate) fn anonymous(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        Mapping::new(length, flags, -1, 0)
    }

    fn new(length: usize, flags: i32, fd: RawFd, offset: i64) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new place is asked for, so that nothing else is overwritten.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), length, access, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(at.cast()) {
            Some(at) => Ok(Mapping { at, length }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }

    /// Where it lies.
    pub(crate) fn address(&self) -> u64 {
        self.at.as_ptr() as u64
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// A number in it that both sides write; `None` beyond its end or where no number can lie.
    pub(crate) fn number(&self, offset: usize) -> Option<&AtomicU32> {
        let inside = offset.checked_add(4)? <= self.length && offset.is_multiple_of(4);
        // SAFETY: four aligned bytes within the mapping, which lives as long as the reference.
        inside.then(|| unsafe { AtomicU32::from_ptr(self.at.as_ptr().add(offset).cast()) })
    }

    /// Bytes in it; `None` beyond its end.
    ///
    /// # Safety
    /// The kernel does not write them while the reference lives.
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> Option<&[u8]> {
        let inside = offset.checked_add(length)? <= self.length;
        // SAFETY: within the mapping, and not written by the caller's word.
        inside.then(|| unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(offset), length) })
    }

    /// Bytes in it, to be written; `None` beyond its end.
    ///
    /// # Safety
    /// The kernel neither reads nor writes them while the reference lives.
    pub(crate) unsafe fn bytes_mut(&mut self, offset: usize, length: usize) -> Option<&mut [u8]> {
        let inside = offset.checked_add(length)? <= self.length;
        // SAFETY: within the mapping, and nobody else's by the caller's word and the exclusive borrow.
        inside.then(|| unsafe {
            std::slice::from_raw_parts_mut(self.at.as_ptr().add(offset), length)
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the place and the length that mmap gave; no reference into it outlives the value.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.length) };
    }
}
