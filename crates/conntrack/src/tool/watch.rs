//! `conntrack -E`: events, filtered and shown as they come.

use palisade_wire::Timestamp;

use super::command::{Command, Refusal};
use super::filter;
use super::perform::stamp;
use super::record::{Expected, Kind, Record};
use super::show::{self, View};
use super::vocabulary::{DESTROY, NEW, Output, UPDATES, Verb};
use super::{Desk, TOOL};

/// A command that shows events.
#[derive(Debug)]
pub struct Watch {
    command: Command,
    expectations: bool,
    counted: u64,
    opened: bool,
}

impl Watch {
    pub(super) fn new(command: Command) -> Result<(Watch, String), Refusal> {
        command.check_masks()?;
        let told = match command.buffer {
            // The kernel has twice of what is asked for, for its own needs; here nothing is lost by it.
            Some(bytes) => format!(
                "NOTICE: Netlink socket buffer size has been set to {} bytes.\n",
                bytes.saturating_mul(2)
            ),
            None => String::new(),
        };
        let expectations = command.verb == Some(Verb::EventExpect);
        let watch = Watch {
            command,
            expectations,
            counted: 0,
            opened: false,
        };
        Ok((watch, told))
    }

    /// Whether it shows expectations, not connections.
    pub fn of_expectations(&self) -> bool {
        self.expectations
    }

    /// Whether events of a kind are of interest.
    pub fn wants(&self, kind: Kind) -> bool {
        let bit = match kind {
            Kind::New => NEW,
            Kind::Update => UPDATES,
            Kind::Destroy => DESTROY,
        };
        self.command.events.is_none_or(|events| events & bit != 0)
    }

    /// What is to be shown of something that happened to a connection; nothing, if it was not asked for. `origin` is
    /// the process that brought it about, if it was no packet.
    pub fn connection(
        &mut self,
        kind: Kind,
        record: &Record,
        origin: Option<u32>,
        desk: &Desk<'_>,
        now: Timestamp,
    ) -> String {
        let family = self.command.family;
        if self.expectations
            || !self.wants(kind)
            || family.is_some_and(|f| f != record.family())
            || !filter::fits(&self.command, record)
        {
            return String::new();
        }
        let view = self.view(desk, now);
        let line = show::record(record, Some(kind), &view);
        let stamp = if view.output.has(Output::SAVE) {
            String::new()
        } else {
            stamp(&view, |seconds, micros| {
                format!("[{seconds:08}.{micros:06}]\t")
            })
        };
        let origin = match origin {
            Some(process) if !view.output.has(Output::JSON) => {
                format!(" [USERSPACE] portid={process} progname=conntrack")
            }
            _ => String::new(),
        };
        let head = self.head(&view, "conntrack");
        self.counted += 1;
        format!("{head}{stamp}{line}{origin}\n")
    }

    /// The same of an expectation.
    pub fn expectation(
        &mut self,
        kind: Kind,
        expected: &Expected,
        desk: &Desk<'_>,
        now: Timestamp,
    ) -> String {
        if !self.expectations || !self.wants(kind) {
            return String::new();
        }
        let view = self.view(desk, now);
        let line = show::expected(expected, Some(kind), &view);
        let stamp = stamp(&view, |seconds, micros| {
            format!("[{seconds:<8}.{micros:<6}]\t")
        });
        let head = self.head(&view, "expect");
        self.counted += 1;
        format!("{head}{stamp}{line}\n")
    }

    /// What is said at the end, for standard output and standard error.
    pub fn end(&self) -> (String, String) {
        let (name, what) = if self.expectations {
            ("expect", "expectation")
        } else {
            ("conntrack", "flow")
        };
        let close = if self.opened {
            format!("</{name}>\n")
        } else {
            String::new()
        };
        let errors = format!("{TOOL}{} {what} events have been shown.\n", self.counted);
        (close, errors)
    }

    fn view<'a>(&self, desk: &'a Desk<'a>, now: Timestamp) -> View<'a> {
        View {
            output: self.command.output,
            desk,
            now,
            labels: true,
        }
    }

    fn head(&mut self, view: &View<'_>, name: &str) -> String {
        if !view.output.is_xml() || self.opened {
            return String::new();
        }
        self.opened = true;
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{name}>\n")
    }
}
