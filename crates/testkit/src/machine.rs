//! One script on both subjects.

use std::path::Path;

use anyhow::{Context, Result};
use palisade_capture::script::Script;

use crate::compare::{Comparison, Record, record};
use crate::engine::EngineSubject;
use crate::kernel::{KernelSubject, Tools};

/// How a script is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which iptables loads the rules into the kernel.
    pub tools: Tools,
    /// Tables are compared after every packet, not only at the end of a test.
    pub each_step: bool,
}

/// What came of a script on both subjects.
#[derive(Clone, Debug)]
pub struct Run {
    /// The kernel.
    pub kernel: Record,
    /// The engine.
    pub engine: Record,
    /// How they differ.
    pub comparison: Comparison,
}

impl Run {
    /// What makes the comparison worthless: faults of the kernel's side itself, and where the kernel is
    /// not as the script expects.
    pub fn failed(&self) -> &[String] {
        &self.kernel.failed
    }
}

/// Runs `script` on the kernel, then on the engine at the moments that the kernel's clock showed; rules
/// files are relative to `base`. The calling thread moves to another namespace.
///
/// # Errors
///
/// When one of them cannot be made: rights, tools, rules that are refused.
pub fn run(script: &Script, base: &Path, options: Options) -> Result<Run> {
    let Options { tools, each_step } = options;
    let fresh = |_| KernelSubject::new(script, base, tools);
    let kernel = record(script, each_step, fresh).context("the kernel")?;
    let mut tests = kernel.tests.iter();
    let engine = record(script, each_step, |_| {
        let subject = EngineSubject::new(script, base)?;
        anyhow::Ok(match tests.next() {
            Some(test) => subject.following(test),
            None => subject,
        })
    })
    .context("the engine")?;
    let comparison = Comparison::new(&kernel, &engine);
    Ok(Run {
        kernel,
        engine,
        comparison,
    })
}
