//! What tests that ask the kernel or the real programs share: whether they can be asked, and a place for it.

use std::io::Write;

use nix::sched::{CloneFlags, unshare};

use crate::kernel::unavailable;

/// Says something that is seen even when the test passes: `println!` would be kept back.
pub fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Whether somebody (`THE KERNEL WAS`, `THE REAL PROGRAMS WERE`) can be asked here. That nobody can is said, and a
/// failure where `PALISADE_REQUIRE_KERNEL=1` demands it.
///
/// # Panics
///
/// When nobody can be asked and somebody must be.
pub fn asked(who: &str) -> bool {
    let Some(reason) = unavailable() else {
        return true;
    };
    say(&format!("SKIPPED: {who} NOT ASKED: {reason}"));
    let required = std::env::var_os("PALISADE_REQUIRE_KERNEL").is_some_and(|v| v == "1");
    assert!(!required, "PALISADE_REQUIRE_KERNEL=1, but {reason}");
    false
}

/// Works in a network namespace that ends with the work.
///
/// # Panics
///
/// When there is none to be had, or the work panics.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            work()
        });
        thread.join().expect("no panic")
    })
}
