//! Frames sent and received as they are.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use palisade_wire::{build, link::ethertype};

use crate::net::Net;

/// A packet socket on an interface.
pub struct Frames {
    fd: OwnedFd,
}

impl Frames {
    /// On an interface of an outer machine.
    pub fn open(net: &Net, place: &str) -> Frames {
        let interface = format!("{place}0\0");
        net.inside(place, || {
            // SAFETY: system calls with pointers to what lives through them; the descriptor is new.
            unsafe {
                let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
                assert!(fd >= 0, "{}", io::Error::last_os_error());
                let fd = OwnedFd::from_raw_fd(fd);
                let mut address: libc::sockaddr_ll = std::mem::zeroed();
                address.sll_family = libc::AF_PACKET as u16;
                address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
                address.sll_ifindex = libc::if_nametoindex(interface.as_ptr().cast()) as i32;
                let length = size_of_val(&address) as u32;
                assert_eq!(
                    libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length),
                    0
                );
                let one: libc::c_int = 1;
                for option in [libc::PACKET_AUXDATA, libc::PACKET_IGNORE_OUTGOING] {
                    let set = libc::setsockopt(
                        fd.as_raw_fd(),
                        libc::SOL_PACKET,
                        option,
                        (&raw const one).cast(),
                        4,
                    );
                    assert_eq!(set, 0);
                }
                let wait = libc::timeval {
                    tv_sec: 0,
                    tv_usec: 50_000,
                };
                let length = size_of_val(&wait) as u32;
                libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_RCVTIMEO,
                    (&raw const wait).cast(),
                    length,
                );
                Frames { fd }
            }
        })
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the pointer and the length are those of `frame`.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// The next frame that `wanted` says yes to, with the tag that the kernel took off put back; `None`: none came.
    pub fn next(&self, wait: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let start = Instant::now();
        while start.elapsed() < wait {
            if let Some(frame) = self.receive()
                && wanted(&frame)
            {
                return Some(frame);
            }
        }
        None
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0u8; 65536];
        let mut control = [0u64; 16];
        // SAFETY: the message points to what lives through the call; what is read of it lies in what the kernel wrote.
        unsafe {
            let mut vector = libc::iovec {
                iov_base: frame.as_mut_ptr().cast(),
                iov_len: frame.len(),
            };
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut vector;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control);
            let length = libc::recvmsg(self.fd.as_raw_fd(), &mut message, 0);
            frame.truncate(usize::try_from(length).ok()?);
            let head = libc::CMSG_FIRSTHDR(&message);
            if !head.is_null() && (*head).cmsg_type == libc::PACKET_AUXDATA {
                let data: libc::tpacket_auxdata =
                    std::ptr::read_unaligned(libc::CMSG_DATA(head).cast());
                if data.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                    let [p, c] = [
                        data.tp_vlan_tpid.to_be_bytes(),
                        data.tp_vlan_tci.to_be_bytes(),
                    ];
                    frame.splice(12..12, [p[0], p[1], c[0], c[1]]);
                }
            }
        }
        Some(frame)
    }
}

/// A frame from one locally administered address to another, with what follows them.
pub fn frame(middle: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0x22, 2, 0, 0, 0, 0, 0x11];
    frame.extend_from_slice(middle);
    frame.extend_from_slice(rest);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A UDP packet with two VLAN tags.
pub fn tagged(port: u16) -> Vec<u8> {
    let ip = build::Ip::new([10, 9, 0, 1].into(), [10, 9, 0, 2].into());
    let [k, i] = [ethertype::QINQ.to_be_bytes(), ethertype::VLAN.to_be_bytes()];
    let middle = [k[0], k[1], 0x20, 5, i[0], i[1], 0, 7, 8, 0];
    frame(&middle, &build::udp(&ip, port, port, b"behind tags"))
}

/// Has the kernel put a VLAN tag beside every frame that leaves an interface, as hardware does that adds it; for as long as the value lives.
pub fn tag_beside(net: &Net, place: &str, vlan: u16) -> OwnedFd {
    let interface = format!("{place}0\0");
    let one = |code: u8, to: u8, number: i32| {
        u64::from(code) | u64::from(to) << 8 | u64::from(number as u32) << 32
    };
    // The packet is in the first register: protocol, tag, `bpf_skb_vlan_push`, and on.
    let program = [
        one(0xb7, 2, i32::from(ethertype::VLAN.to_be())),
        one(0xb7, 3, i32::from(vlan)),
        one(0x85, 0, 18),
        one(0xb7, 0, -1),
        one(0x95, 0, 0),
    ];
    const TCX_EGRESS: u32 = 47;
    let call = |command: i32, attributes: [u8; 128]| {
        // SAFETY: attributes of the command's form; pointers in them are to what lives through the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                attributes.as_ptr(),
                attributes.len(),
            )
        };
        assert!(fd >= 0, "bpf {command}: {}", io::Error::last_os_error());
        // SAFETY: the descriptor is new.
        unsafe { OwnedFd::from_raw_fd(fd as i32) }
    };
    let put = |attributes: &mut [u8; 128], at: usize, bytes: &[u8]| {
        attributes[at..at + bytes.len()].copy_from_slice(bytes);
    };
    net.inside(place, || {
        let mut load = [0; 128];
        put(&mut load, 0, &3u32.to_ne_bytes());
        put(&mut load, 4, &(program.len() as u32).to_ne_bytes());
        put(&mut load, 8, &(program.as_ptr() as u64).to_ne_bytes());
        put(&mut load, 16, &(c"MIT".as_ptr() as u64).to_ne_bytes());
        put(&mut load, 68, &TCX_EGRESS.to_ne_bytes());
        let program = call(5, load);
        // SAFETY: a text that ends with a zero byte.
        let index = unsafe { libc::if_nametoindex(interface.as_ptr().cast()) };
        let mut link = [0; 128];
        put(&mut link, 0, &program.as_raw_fd().to_ne_bytes());
        put(&mut link, 4, &index.to_ne_bytes());
        put(&mut link, 8, &TCX_EGRESS.to_ne_bytes());
        call(28, link)
    })
}
