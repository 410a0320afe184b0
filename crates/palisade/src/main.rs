//! `palisade`: arguments in, rendering out.

mod args;
mod bench;
mod check;
mod completions;
mod control;
mod diagnostics;
mod expression;
mod help;
mod host;
mod infer;
mod output;
mod pages;
mod programs;
mod rules;
mod run;
mod sets;
mod top;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use palisade_rules::Family;
use programs::Program;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or done.
    Yes,
    /// No: an expectation failed, something differs.
    No,
    /// The input is wrong; what is wrong has been told.
    BadInput,
    /// As the program that it stands in for ends.
    As(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::BadInput => 2,
            Exit::As(code) => code,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(programs::by_name(std::env::args_os()));
    let result = match &arguments.command {
        Command::Trace(trace) => trace::run(trace),
        Command::Check(check) => check::run(check),
        Command::Fmt(fmt) => rules::fmt(fmt),
        Command::Bench(bench) => bench::run(bench),
        Command::Run(run) => run::run(run),
        Command::Status(status) => control::status(status),
        Command::Rules(rules) => control::rules(rules),
        Command::Reload(reload) => control::reload(reload),
        Command::Confirm(confirm) => control::confirm(confirm),
        Command::Save(save) => control::save(save),
        Command::Shadow(shadow) => control::shadow(shadow),
        Command::Top(top) => top::run(top),
        Command::Conntrack(conntrack) => control::conntrack(conntrack),
        Command::Log(log) => control::log(log),
        Command::Stop(stop) => control::stop(stop),
        Command::Help(words) => help::run(words),
        Command::Completions(shell) => completions::run(shell),
        Command::Iptables(line) => programs::run(line, Program::Tables, Family::V4),
        Command::Ip6tables(line) => programs::run(line, Program::Tables, Family::V6),
        Command::IptablesSave(line) => programs::run(line, Program::Save, Family::V4),
        Command::Ip6tablesSave(line) => programs::run(line, Program::Save, Family::V6),
        Command::IptablesRestore(line) => programs::run(line, Program::Restore, Family::V4),
        Command::Ip6tablesRestore(line) => programs::run(line, Program::Restore, Family::V6),
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
