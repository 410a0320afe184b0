//! What the process may do: two capabilities, and nothing that it could gain again.
//!
//! Netlink, queues, packet sockets and tunnels need `CAP_NET_ADMIN` and `CAP_NET_RAW` (capabilities(7)). All others are
//! given up in every set: permitted, effective, inheritable, ambient, and the bounding set, which is what a program
//! started later could have. `no_new_privs` closes what is left of that way.
//!
//! # Life cycle
//! Capabilities belong to threads, and a new thread has those of its maker: [`limit`] comes before the first thread is
//! made. [`check`] looks at all threads afterwards.

use std::ffi::CString;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::unistd::{User, initgroups, setresgid, setresuid};
use thiserror::Error;

/// Change of networks, queues and rules of the kernel.
const NET_ADMIN: u32 = 12;
/// Packet and raw sockets.
const NET_RAW: u32 = 13;

/// What is kept.
const KEPT: u64 = 1 << NET_ADMIN | 1 << NET_RAW;

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
const VERSION: u32 = 0x2008_0522;

/// Why privileges could not be given up.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// The user is not known here.
    #[error("there is no user {0} here")]
    NoUser(String),
    /// The kernel refused.
    #[error("giving up privileges failed ({step}): {error}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// Some thread has more than it should have.
    #[error("thread {thread} still has privileges: {line}")]
    Left {
        /// Its number.
        thread: String,
        /// What its status says.
        line: String,
    },
}

fn step<T>(step: &'static str, done: Result<T, impl Into<io::Error>>) -> Result<T, PrivilegeError> {
    done.map_err(|error| PrivilegeError::Kernel {
        step,
        error: error.into(),
    })
}

/// Gives up all but what is needed, for the calling thread and those that it makes; becomes `user` if one is named.
///
/// # Errors
/// [`PrivilegeError`]; the process should end then, as it may have given up some and not others.
pub fn limit(user: Option<&str>) -> Result<(), PrivilegeError> {
    let known = user.map(|name| {
        let found = step("looking up the user", User::from_name(name))?;
        found.ok_or_else(|| PrivilegeError::NoUser(name.to_owned()))
    });
    let known = known.transpose()?;
    step("the bounding set", bound())?;
    if let Some(user) = known {
        step("keeping capabilities", control(libc::PR_SET_KEEPCAPS, 1))?;
        let name = CString::new(user.name).map_err(io::Error::from);
        let name = step("the user's name", name)?;
        step("the user's groups", initgroups(&name, user.gid))?;
        step("the user's group", setresgid(user.gid, user.gid, user.gid))?;
        step("the user", setresuid(user.uid, user.uid, user.uid))?;
    }
    let held = step("reading capabilities", permitted())?;
    step("capabilities", set(held & KEPT))?;
    // Ambient ones are gone with the inheritable ones.
    step("no_new_privs", control(libc::PR_SET_NO_NEW_PRIVS, 1))
}

/// Holds every thread of the process to what [`limit`] leaves.
///
/// # Errors
/// [`PrivilegeError::Left`] of the first that has more.
pub fn check() -> Result<(), PrivilegeError> {
    for entry in step("listing threads", fs::read_dir("/proc/self/task"))? {
        let entry = step("listing threads", entry)?;
        // One that ended meanwhile has no privileges.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        for line in status.lines() {
            if !harmless(line) {
                return Err(PrivilegeError::Left {
                    thread: entry.file_name().to_string_lossy().into_owned(),
                    line: line.replace('\t', " "),
                });
            }
        }
    }
    Ok(())
}

/// Whether a line of a thread's status says no more than that it has what it should have.
fn harmless(line: &str) -> bool {
    let Some((name, value)) = line.split_once(":\t") else {
        return true;
    };
    let set = || u64::from_str_radix(value.trim(), 16);
    match name {
        "CapInh" | "CapAmb" => set() == Ok(0),
        "CapPrm" | "CapEff" => set().is_ok_and(|set| set & !KEPT == 0),
        "NoNewPrivs" => value.trim() == "1",
        _ => true,
    }
}

/// Takes all but what is needed from the bounding set.
fn bound() -> io::Result<()> {
    for capability in 0..u64::BITS {
        if KEPT >> capability & 1 == 1 {
            continue;
        }
        match control(libc::PR_CAPBSET_READ, capability) {
            // Further ones are not known to the kernel.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        match control(libc::PR_CAPBSET_DROP, capability) {
            // Who may not take it away cannot use it either: `no_new_privs` comes.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(()),
            dropped => dropped?,
        }
    }
    Ok(())
}

/// A control of the process by one number.
fn control(what: libc::c_int, number: u32) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the controls used here take a number and nothing that is pointed to.
    let result = unsafe { libc::prctl(what, libc::c_ulong::from(number), zero, zero, zero) };
    Errno::result(result)?;
    Ok(())
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`: the lower half of each set, then the upper.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Those of the calling thread.
const OURS: Header = Header {
    version: VERSION,
    pid: 0,
};

/// The permitted set.
fn permitted() -> io::Result<u64> {
    let mut header = OURS;
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads a header and writes two data structures, which are there and laid out as the kernel's.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    Errno::result(result)?;
    Ok(u64::from(data[1].permitted) << 32 | u64::from(data[0].permitted))
}

/// Sets the permitted and effective set; empties the inheritable one, and by that the ambient one.
fn set(capabilities: u64) -> io::Result<()> {
    let mut header = OURS;
    let half = |bits: u64| Data {
        effective: bits as u32,
        permitted: bits as u32,
        inheritable: 0,
    };
    let data = [half(capabilities), half(capabilities >> 32)];
    // SAFETY: version 3 reads a header and two data structures, which are there and laid out as the kernel's.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_status() {
        let cases = [
            ("CapEff:\t0000000000003000", true),
            ("CapEff:\t0000000000001000", true),
            ("CapEff:\t0000000000000000", true),
            ("CapEff:\t0000000000003001", false),
            ("CapPrm:\t000001ffffffffff", false),
            ("CapInh:\t0000000000001000", false),
            ("CapAmb:\t0000000000000000", true),
            ("CapBnd:\t000001ffffffffff", true),
            ("NoNewPrivs:\t0", false),
            ("Name:\tCapEff", true),
        ];
        for (line, is) in cases {
            assert_eq!(harmless(line), is, "{line}");
        }
    }

    /// The status of the calling thread.
    fn value(name: &str) -> String {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    }

    #[test]
    fn a_thread_gives_up_all_but_two_and_its_children_have_no_more() {
        let limited = std::thread::spawn(|| {
            let before = u64::from_str_radix(&value("CapPrm:"), 16).unwrap();
            limit(None).unwrap();
            std::thread::spawn(move || {
                let now = u64::from_str_radix(&value("CapEff:"), 16).unwrap();
                assert_eq!(now, before & KEPT);
                assert_eq!(value("NoNewPrivs:"), "1");
                assert_eq!(value("CapInh:"), "0000000000000000");
                assert_eq!(value("CapAmb:"), "0000000000000000");
                if before != 0 {
                    assert_eq!(value("CapBnd:"), format!("{KEPT:016x}"));
                }
            })
            .join()
        });
        limited.join().unwrap().unwrap();
        // This one gave up nothing.
        assert!(matches!(check(), Err(PrivilegeError::Left { .. })));
    }

    #[test]
    fn a_user_who_is_not_there_is_no_user() {
        let error = limit(Some("nobody-of-this-name")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no user nobody-of-this-name here"
        );
    }
}
