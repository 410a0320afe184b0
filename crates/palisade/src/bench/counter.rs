//! Instructions of this thread, where the system lets one count them.

#[cfg(target_os = "linux")]
mod system {
    use perf_event::{Builder, Counter, events::Hardware};

    /// A counter of the processor.
    pub struct Instructions(Option<Counter>);

    impl Instructions {
        /// Counts what this thread does outside the kernel, where that is allowed and the processor can.
        pub fn new() -> Self {
            let mut counter = Builder::new(Hardware::INSTRUCTIONS).build().ok();
            if counter.as_mut().is_some_and(|c| c.enable().is_err()) {
                counter = None;
            }
            Instructions(counter)
        }

        /// Instructions so far.
        pub fn read(&mut self) -> Option<u64> {
            self.0.as_mut()?.read().ok()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Nothing is counted on this system.
    pub struct Instructions;

    impl Instructions {
        /// Counts nothing.
        pub fn new() -> Self {
            Instructions
        }

        /// Not known.
        pub fn read(&mut self) -> Option<u64> {
            None
        }
    }
}

pub use system::Instructions;
