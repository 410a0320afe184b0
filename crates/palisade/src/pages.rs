//! Huge pages: a table of a million connections is 128 MiB, and with pages of 4 KiB nearly every packet of a random flow
//! waits for the page tables too.
//!
//! Memory is the allocator's. That of glibc asks the kernel for huge pages when its tunable says so, which it reads when
//! a process begins: so this one begins anew, once.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    /// The variable that the allocator reads.
    const VARIABLE: &str = "GLIBC_TUNABLES";

    /// A variable that says that this was tried: of a program with capabilities of its own the first one is taken away.
    const TRIED: &str = "PALISADE_BEGUN_ANEW";

    /// Begins this process anew with huge pages, unless it has been told about pages already. Comes back if that cannot
    /// be done, which costs nothing but speed.
    pub fn ask() {
        if [VARIABLE, TRIED].map(std::env::var_os) != [None, None] {
            return;
        }
        let Ok(own) = std::env::current_exe() else {
            return;
        };
        let mut words = std::env::args_os();
        let name = words.next().unwrap_or_else(|| own.clone().into());
        let _ = Command::new(own)
            .arg0(name)
            .args(words)
            .env(VARIABLE, "glibc.malloc.hugetlb=1")
            .env(TRIED, "1")
            .exec();
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::ask;

/// No other allocator is known how to ask.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn ask() {}
