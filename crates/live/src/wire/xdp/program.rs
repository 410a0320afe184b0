//! The program that hands frames to sockets, as BPF instructions, and what loads it and fastens it to an interface.
//!
//! ```text
//! room for what stands before a frame, or drop
//! ask the driver for a VLAN tag that it took off; write what it said before the frame
//! to the socket of this queue; there is none: drop
//! ```
//!
//! # Life cycle
//! Program, map and link belong to descriptors: with the process they are gone, however it ends.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::btf;

/// What the program writes before a frame.
pub(super) const MARK: usize = 8;
/// In its first four bytes: no tag was taken off, one was (protocol and control follow), or the driver does not say.
pub(super) const UNTAGGED: u32 = 0;
/// See [`UNTAGGED`].
pub(super) const TAGGED: u32 = 1;
const UNKNOWN: u32 = 2;

/// Commands of bpf(2).
mod command {
    pub(super) const MAP_CREATE: i32 = 0;
    pub(super) const MAP_UPDATE: i32 = 2;
    pub(super) const PROGRAM_LOAD: i32 = 5;
    pub(super) const LINK_CREATE: i32 = 28;
}

const SOCKETS: u32 = 17;
const XDP_PROGRAM: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// `BPF_F_XDP_DEV_BOUND_ONLY`: for one interface, whose driver is asked directly.
const BOUND: u32 = 1 << 6;
/// Helper functions.
const REDIRECT_MAP: i32 = 51;
const ADJUST_META: i32 = 54;
const DROP: i32 = 1;
const NO_DATA: i32 = -libc::ENODATA;

/// How a program is fastened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fastened {
    /// In the driver, before the kernel makes anything of a frame.
    Driver = 1 << 2,
    /// Behind the driver, which has no place for it.
    Generic = 1 << 1,
}

/// An instruction: operation, registers, offset, number.
fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
    u64::from(code)
        | u64::from(to) << 8
        | u64::from(from) << 12
        | u64::from(offset as u16) << 16
        | u64::from(number as u32) << 32
}

/// Operations, by `bpf.h`.
mod code {
    pub(super) const MOVE: u8 = 0xb7;
    pub(super) const MOVE_REGISTER: u8 = 0xbf;
    pub(super) const ADD: u8 = 0x07;
    pub(super) const LOAD: u8 = 0x61;
    pub(super) const LOAD_SHORT: u8 = 0x69;
    pub(super) const LOAD_WIDE: u8 = 0x18;
    pub(super) const STORE: u8 = 0x63;
    pub(super) const STORE_SHORT: u8 = 0x6b;
    pub(super) const STORE_NUMBER: u8 = 0x62;
    pub(super) const IF_EQUAL: u8 = 0x15;
    pub(super) const IF_GREATER_REGISTER: u8 = 0x2d;
    pub(super) const IF_NOT_EQUAL: u8 = 0x55;
    pub(super) const CALL: u8 = 0x85;
    pub(super) const EXIT: u8 = 0x95;
}

/// The program: frames to the sockets of `map`; with `ask`, the kernel's number of its function that tells of VLAN tags, it is asked.
fn program(map: RawFd, ask: Option<i32>) -> Vec<u64> {
    let i = instruction;
    let mut program = vec![
        i(code::MOVE_REGISTER, 6, 1, 0, 0),
        i(code::MOVE, 2, 0, 0, -(MARK as i32)),
        i(code::CALL, 0, 0, 0, ADJUST_META),
        // To the end, where all is dropped; set below.
        i(code::IF_NOT_EQUAL, 0, 0, 0, 0),
        i(code::STORE_NUMBER, 10, 0, -8, 0),
        i(code::STORE_NUMBER, 10, 0, -4, 0),
        i(code::MOVE, 7, 0, 0, UNKNOWN as i32),
    ];
    if let Some(function) = ask {
        program.extend([
            i(code::MOVE_REGISTER, 1, 6, 0, 0),
            i(code::MOVE_REGISTER, 2, 10, 0, 0),
            i(code::ADD, 2, 0, 0, -8),
            i(code::MOVE_REGISTER, 3, 10, 0, 0),
            i(code::ADD, 3, 0, 0, -4),
            // A function of the kernel, by its number.
            i(code::CALL, 0, 2, 0, function),
            i(code::MOVE, 7, 0, 0, TAGGED as i32),
            i(code::IF_EQUAL, 0, 0, 3, 0),
            i(code::MOVE, 7, 0, 0, UNTAGGED as i32),
            i(code::IF_EQUAL, 0, 0, 1, NO_DATA),
            i(code::MOVE, 7, 0, 0, UNKNOWN as i32),
        ]);
    }
    program.extend([
        i(code::LOAD, 1, 6, 8, 0),
        i(code::LOAD, 2, 6, 0, 0),
        i(code::MOVE_REGISTER, 3, 1, 0, 0),
        i(code::ADD, 3, 0, 0, MARK as i32),
        i(code::IF_GREATER_REGISTER, 3, 2, 0, 0),
        i(code::STORE, 1, 7, 0, 0),
        i(code::LOAD_SHORT, 4, 10, -8, 0),
        i(code::STORE_SHORT, 1, 4, 4, 0),
        i(code::LOAD_SHORT, 4, 10, -4, 0),
        i(code::STORE_SHORT, 1, 4, 6, 0),
        i(code::LOAD, 2, 6, 16, 0),
        i(code::LOAD_WIDE, 1, 1, 0, map),
        0,
        // What is done where no socket is.
        i(code::MOVE, 3, 0, 0, DROP),
        i(code::CALL, 0, 0, 0, REDIRECT_MAP),
        i(code::EXIT, 0, 0, 0, 0),
        i(code::MOVE, 0, 0, 0, DROP),
        i(code::EXIT, 0, 0, 0, 0),
    ]);
    let end = program.len() - 2;
    for (at, one) in program.iter_mut().enumerate() {
        let jumps = [code::IF_NOT_EQUAL, code::IF_GREATER_REGISTER].contains(&(*one as u8));
        if jumps {
            *one |= ((end - at - 1) as u64) << 16;
        }
    }
    program
}

/// Calls bpf(2) with `struct` bytes of a command.
fn bpf(command: i32, attributes: &mut [u8; 128]) -> io::Result<i32> {
    // SAFETY: the pointer and the length are those of `attributes`; pointers in them are to what the callers keep through the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            attributes.len(),
        )
    };
    super::super::sys::checked(returned as i32)
}

/// As [`bpf`], of a command that makes a descriptor.
fn descriptor(command: i32, attributes: &mut [u8; 128]) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attributes of a command: numbers and texts at their offsets (kernel `union bpf_attr`).
fn attributes(numbers: &[(usize, u32)], wide: &[(usize, u64)], text: (usize, &str)) -> [u8; 128] {
    let mut bytes = [0; 128];
    for (at, number) in numbers {
        bytes[*at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    for (at, number) in wide {
        bytes[*at..at + 8].copy_from_slice(&number.to_ne_bytes());
    }
    bytes[text.0..text.0 + text.1.len()].copy_from_slice(text.1.as_bytes());
    bytes
}

/// A program fastened to an interface.
#[derive(Debug)]
pub(super) struct Attached {
    map: OwnedFd,
    _program: OwnedFd,
    _link: OwnedFd,
    /// The driver tells of VLAN tags that it took off.
    pub(super) tells_tags: bool,
}

impl Attached {
    /// Loads the program and fastens it to an interface with this number of queues.
    ///
    /// # Errors
    /// The kernel refuses, by lack of rights or because the driver has no place for it; what was refused.
    pub(super) fn new(index: u32, queues: u32, fastened: Fastened) -> Result<Self, String> {
        let mut make = attributes(
            &[(0, SOCKETS), (4, 4), (8, 4), (12, queues)],
            &[],
            (28, "palisade"),
        );
        let map =
            descriptor(command::MAP_CREATE, &mut make).map_err(|e| format!("its map: {e}"))?;
        let asked = match fastened {
            Fastened::Driver => std::fs::read("/sys/kernel/btf/vmlinux")
                .ok()
                .and_then(|btf| btf::function(&btf, "bpf_xdp_metadata_rx_vlan_tag")),
            Fastened::Generic => None,
        };
        let told = asked.and_then(|function| load(&map, Some((function, index))).ok());
        let tells_tags = told.is_some();
        let program = match told {
            Some(program) => program,
            None => load(&map, None).map_err(|e| format!("loading its program: {e}"))?,
        };
        let mut fasten = attributes(
            &[
                (0, program.as_raw_fd() as u32),
                (4, index),
                (8, ATTACH_XDP),
                (12, fastened as u32),
            ],
            &[],
            (16, ""),
        );
        let link = descriptor(command::LINK_CREATE, &mut fasten).map_err(|e| match fastened {
            Fastened::Driver => format!("the driver has no place for its program: {e}"),
            Fastened::Generic => format!("fastening its program: {e}"),
        })?;
        Ok(Attached {
            map,
            _program: program,
            _link: link,
            tells_tags,
        })
    }

    /// Hands a queue's frames to a socket.
    pub(super) fn connect(&self, queue: u32, socket: &OwnedFd) -> io::Result<()> {
        let value = socket.as_raw_fd();
        let mut update = attributes(
            &[(0, self.map.as_raw_fd() as u32)],
            &[
                (8, std::ptr::from_ref(&queue) as u64),
                (16, std::ptr::from_ref(&value) as u64),
            ],
            (32, ""),
        );
        bpf(command::MAP_UPDATE, &mut update)?;
        Ok(())
    }
}

/// Loads the program; with the number of the function to be asked, for the one interface whose driver is asked.
fn load(map: &OwnedFd, ask: Option<(i32, u32)>) -> io::Result<OwnedFd> {
    let program = program(map.as_raw_fd(), ask.map(|a| a.0));
    // The kernel lends its own functions to programs that may be had under its licence; this one may.
    let licence = c"Dual MIT/GPL";
    let (flags, index) = ask.map_or((0, 0), |(_, index)| (BOUND, index));
    let mut attributes = attributes(
        &[
            (0, XDP_PROGRAM),
            (4, program.len() as u32),
            (44, flags),
            (64, index),
            (68, ATTACH_XDP),
        ],
        &[(8, program.as_ptr() as u64), (16, licence.as_ptr() as u64)],
        (48, "palisade"),
    );
    descriptor(command::PROGRAM_LOAD, &mut attributes)
}
