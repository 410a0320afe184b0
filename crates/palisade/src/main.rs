//! `palisade`: arguments in, rendering out.

mod args;
mod check;
mod diagnostics;
mod expression;
mod host;
mod infer;
mod output;
mod rules;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or done.
    Yes,
    /// No: an expectation failed, something differs.
    No,
    /// The input is wrong; what is wrong has been told.
    BadInput,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::BadInput => 2,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Trace(trace) => trace::run(trace),
        Command::Check(check) => check::run(check),
        Command::Fmt(fmt) => rules::fmt(fmt),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) if output::closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("palisade: {error:#}");
            ExitCode::from(2)
        }
    }
}
