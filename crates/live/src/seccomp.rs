//! Which system calls the process may make once packets are judged.
//!
//! An allow list; everything else fails with `EPERM`. A call that is refused is an error for whoever made it and
//! changes nothing: no program is started, no code is loaded, no socket of another family is made. The process is not
//! killed for it: a library's harmless new call must not end the service again and again, and whoever has taken over a
//! thread gains nothing by going on.
//!
//! What is allowed is what judging, the control socket, logs, snapshots and reloads use: files, sockets of the families
//! that backends have, memory that is not executable, threads, clocks.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use thiserror::Error;

/// Why system calls could not be limited.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// This machine is not known.
    #[error(
        "system calls cannot be limited on {}: --no-seccomp goes without",
        std::env::consts::ARCH
    )]
    Machine,
    /// The filter cannot be made.
    #[error("the filter of system calls: {0}")]
    Filter(#[from] BackendError),
    /// The kernel refused it.
    #[error("limiting system calls failed: {0}")]
    Kernel(#[from] seccompiler::Error),
}

/// Allowed with any arguments.
const ALLOWED: &[libc::c_long] = &[
    // Files and descriptors.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_openat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_flock,
    libc::SYS_umask,
    // Sockets, but for making them.
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Waiting.
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    // Memory, but for mapping and protecting it.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads, but for making them; signals.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Who and where.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_capget,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getcpu,
];

/// Calls that only older machines have.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_readlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_dup2,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];

/// Families of sockets that backends, the control socket, the metrics and helpers of users' names have.
const FAMILIES: [libc::c_int; 6] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
    libc::AF_PACKET,
    libc::AF_XDP,
];

/// Who is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The calling thread, and those that it makes.
    Thread,
    /// All threads of the process.
    Process,
}

/// Limits system calls from now on. There is no way back.
///
/// # Errors
/// [`SeccompError`]; nothing is limited then, or only the way in which threads are made.
pub fn limit(whom: Whom) -> Result<(), SeccompError> {
    for filter in [clone3()?, allow_list()?] {
        match whom {
            Whom::Thread => seccompiler::apply_filter(&filter)?,
            Whom::Process => seccompiler::apply_filter_all_threads(&filter)?,
        }
    }
    Ok(())
}

fn machine() -> Result<TargetArch, SeccompError> {
    TargetArch::try_from(std::env::consts::ARCH).map_err(|_| SeccompError::Machine)
}

/// `clone3` keeps its flags in memory, where no filter sees them; a libc that is told that there is none takes `clone`.
fn clone3() -> Result<BpfProgram, SeccompError> {
    let filter = SeccompFilter::new(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        machine()?,
    )?;
    Ok(filter.try_into()?)
}

fn allow_list() -> Result<BpfProgram, SeccompError> {
    let any = ALLOWED.iter().chain(ALLOWED_HERE);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = any.map(|call| (*call, Vec::new())).collect();
    // Answered by the other filter.
    rules.insert(libc::SYS_clone3, Vec::new());
    let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![when(2, executable.clone(), 0)?]);
    }
    let thread = libc::CLONE_THREAD as u64;
    let threads = when(0, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![threads]);
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        let families = FAMILIES.map(|family| when(0, SeccompCmpOp::Eq, family as u64));
        rules.insert(call, families.into_iter().collect::<Result<_, _>>()?);
    }
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];
    let names = names.map(|name| when(0, SeccompCmpOp::Eq, name as u64));
    rules.insert(
        libc::SYS_prctl,
        names.into_iter().collect::<Result<_, _>>()?,
    );
    // Reads limits; to set them there is a new value in the third argument.
    let reads = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![reads])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        machine()?,
    )?;
    Ok(filter.try_into()?)
}

/// A call whose argument compares so.
fn when(argument: u8, compares: SeccompCmpOp, with: u64) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compares, with)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests;
