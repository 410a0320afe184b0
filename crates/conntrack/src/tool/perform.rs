//! Commands done on a table.

use std::collections::{HashMap, VecDeque};

use palisade_wire::{Timestamp, proto};

use super::command::{Command, failed};
use super::filter;
use super::record::{Expected, Record};
use super::show::{self, View};
use super::vocabulary::{Ends, Output, Table, Verb};
use super::{Answer, Desk, TOOL};
use crate::connection::ConnId;
use crate::manual::{Change, Made, ManualError};
use crate::nat::Range;
use crate::proto::sctp::machine::SctpState;
use crate::proto::tcp::TcpState;
use crate::table::Conntrack;
use crate::tuple::{Tuple, TupleProto, Zone};

/// Commands that are being done.
#[derive(Debug)]
pub struct Work {
    commands: VecDeque<Command>,
    /// From a file: nothing is told of how many entries they were about.
    loaded: bool,
    answer: Answer,
    /// Entries that the command at hand was about.
    counted: u64,
    /// The slot that it looks at next.
    at: usize,
    /// The list has begun, and is to be closed.
    opened: bool,
    /// How many connections each one announced, by its number; known once it was asked for.
    children: Option<HashMap<u64, u32>>,
}

/// How a command ends.
enum End {
    /// It was done.
    Done,
    /// It failed, and so does everything.
    Failed(String),
}

impl Work {
    pub(super) fn new(command: Command, errors: String) -> Self {
        Work {
            commands: VecDeque::from([command]),
            loaded: false,
            answer: Answer {
                errors,
                ..Answer::default()
            },
            counted: 0,
            at: 0,
            opened: false,
            children: None,
        }
    }

    pub(super) fn loaded(commands: Vec<Command>, errors: String) -> Self {
        Work {
            commands: commands.into(),
            loaded: true,
            ..Work::new(Command::default(), errors)
        }
    }

    /// Goes on with the work, looking at no more than `slots` slots of the table; whether all is done.
    pub fn step(
        &mut self,
        table: &mut Conntrack,
        desk: &Desk<'_>,
        now: Timestamp,
        slots: usize,
    ) -> bool {
        let Some(command) = self.commands.pop_front() else {
            return true;
        };
        let Some(verb) = command.verb else {
            return self.commands.is_empty();
        };
        let view = View {
            output: match verb {
                Verb::Delete | Verb::Update => command.output.without_times(),
                _ => command.output,
            },
            desk,
            now,
            labels: verb != Verb::Delete,
        };
        if matches!(verb, Verb::Delete | Verb::Flush) {
            // What ends now is told to have ended now.
            table.latest = table.latest.max(now);
        }
        let end = match verb {
            Verb::List | Verb::Update | Verb::Delete => {
                if verb == Verb::List
                    && command.table == Table::Connections
                    && command.template.status_bits.is_some_and(|(_, m)| m == 0)
                {
                    End::Failed(String::from("invalid parameters"))
                } else if self.walk(&command, verb, table, &view, slots) {
                    End::Done
                } else {
                    self.commands.push_front(command);
                    return false;
                }
            }
            _ => self.at_once(&command, verb, table, &view),
        };
        match end {
            End::Done if self.loaded => {}
            End::Done => self.tell(verb),
            End::Failed(why) => {
                let refusal = failed(format!("Operation failed: {why}"));
                self.answer.errors += &refusal.words;
                self.answer.code = refusal.code;
                self.commands.clear();
            }
        }
        (self.counted, self.at, self.opened) = (0, 0, false);
        self.commands.is_empty()
    }

    /// What was said so far and was not taken yet: for standard output, for standard error.
    pub fn take(&mut self) -> (String, String) {
        (
            std::mem::take(&mut self.answer.output),
            std::mem::take(&mut self.answer.errors),
        )
    }

    /// What was said and not taken, and the exit code.
    pub fn finish(self) -> Answer {
        self.answer
    }

    fn print(&mut self, line: &str) {
        self.answer.output += line;
        self.answer.output.push('\n');
    }

    /// How many entries it was about.
    fn tell(&mut self, verb: Verb) {
        let words = match verb {
            Verb::List | Verb::Get => "flow entries have been shown",
            Verb::Create => "flow entries have been created",
            Verb::Add => "flow entries have been added",
            Verb::Update => "flow entries have been updated",
            Verb::Delete => "flow entries have been deleted",
            // The tool has these words for both.
            Verb::ListExpect | Verb::DeleteExpect => "expectations have been shown",
            _ => return,
        };
        let counted = self.counted;
        self.answer.errors += &format!("{TOOL}{counted} {words}.\n");
        let none_is_well = matches!(verb, Verb::List | Verb::ListExpect | Verb::Add);
        if counted == 0 && !none_is_well {
            self.answer.code = 1;
        }
    }

    /// The next slots of the table; whether all were looked at.
    fn walk(
        &mut self,
        command: &Command,
        verb: Verb,
        table: &mut Conntrack,
        view: &View<'_>,
        slots: usize,
    ) -> bool {
        let all = table.slots();
        let until = self.at.saturating_add(slots.max(1)).min(all);
        if command.table == Table::Connections {
            for slot in self.at..until {
                self.slot(command, verb, table, view, slot);
            }
            if until < all {
                self.at = until;
                return false;
            }
        }
        if verb == Verb::List && self.opened {
            self.print("</conntrack>");
        }
        true
    }

    fn slot(
        &mut self,
        command: &Command,
        verb: Verb,
        table: &mut Conntrack,
        view: &View<'_>,
        slot: usize,
    ) {
        let Some(id) = table
            .at_slot(slot)
            .filter(|entry| !entry.expired(view.now))
            .map(|entry| entry.id())
        else {
            return;
        };
        let Some(record) = self.record(table, id, view) else {
            return;
        };
        if command.family.is_some_and(|f| f != record.family()) {
            return;
        }
        match verb {
            Verb::List if filter::fits(command, &record) => {
                self.counted += 1;
                self.open(view, "conntrack");
                self.print(&show::record(&record, None, view));
                if command.has('z') {
                    table.zero_traffic(id);
                }
            }
            Verb::Delete if filter::fits(command, &record) => {
                self.counted += 1;
                table.kill(id);
                let kind = view.output.has(Output::SAVE);
                let kind = kind.then_some(super::Kind::Destroy);
                self.print(&show::record(&record, kind, view));
            }
            Verb::Update if filter::updates(command, &record) => {
                self.update(command, table, &record, view);
            }
            _ => {}
        }
    }

    /// What is shown of an entry, and how many hold it.
    fn record(&mut self, table: &Conntrack, id: ConnId, view: &View<'_>) -> Option<Record> {
        let children = self.children.get_or_insert_with(|| {
            let mut children = HashMap::new();
            for master in table.connections().filter_map(|c| c.master()) {
                *children.entry(master).or_insert(0) += 1;
            }
            children
        });
        let entry = table.connection(id)?;
        let uses = 1 + children.get(&entry.number()).copied().unwrap_or(0);
        Some(Record::of(entry, table.config(), view.now, uses))
    }

    /// Begins a list in XML.
    fn open(&mut self, view: &View<'_>, name: &str) {
        if view.output.is_xml() && !self.opened {
            self.opened = true;
            self.print("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
            self.print(&format!("<{name}>"));
        }
    }

    /// Makes an entry what the command says, unless it is that already.
    fn update(
        &mut self,
        command: &Command,
        table: &mut Conntrack,
        record: &Record,
        view: &View<'_>,
    ) {
        let template = &command.template;
        let mut change = change(command);
        change.mark = template
            .mark
            .map(|(value, mask)| (record.mark.unwrap_or(0) & !mask) ^ value);
        let old = u32::from(record.status.0);
        change.status = template.status.map(|status| status | old);
        let labels = template.change_labels;
        change.labels = if command.has('<') {
            labels.map(|labels| record.labels | labels)
        } else if command.has('>') && record.labels != 0 {
            Some(labels.map_or(0, |labels| record.labels & !labels))
        } else {
            None
        };
        let same = change.mark.is_none_or(|mark| record.mark == Some(mark))
            && template.timeout.is_none_or(|t| record.timeout == Some(t))
            && change.status.is_none_or(|status| status == old)
            && template.state.is_none_or(|s| record.state == Some(s))
            && change.labels.is_none();
        if same {
            return;
        }
        // As the tool, which names no zone: one of zone 0 is changed, or none.
        let id = table.lookup(&record.tuples[0], [0; 2], view.now);
        let moves = [template.source_nat, template.destination_nat];
        let done = match id {
            // What an entry is translated to is settled.
            Some(_) if moves.iter().any(|to| to.address.is_some()) => {
                Err("Operation not supported")
            }
            Some(id) => table
                .change(id, &change, view.now)
                .map_err(|why| reason(why, Verb::Update)),
            None => Err(reason(ManualError::Gone, Verb::Update)),
        };
        if let Err(why) = done {
            self.answer.errors += &format!("Operation failed: {why}\n");
        }
        let Some(mut record) = id.and_then(|id| self.record(table, id, view)) else {
            return;
        };
        self.counted += 1;
        record.uses = record.uses.map(|uses| uses + 1);
        self.print(&show::record(&record, None, view));
    }

    /// What needs no walk over the table.
    fn at_once(
        &mut self,
        command: &Command,
        verb: Verb,
        table: &mut Conntrack,
        view: &View<'_>,
    ) -> End {
        match verb {
            Verb::Create | Verb::Add => return self.create(command, verb, table, view.now),
            Verb::Get => return self.get(command, table, view),
            Verb::Flush => {
                table.end_all();
                let words = "connection tracking table has been emptied.";
                self.answer.errors += &format!("{TOOL}{words}\n");
            }
            Verb::FlushExpect => {
                table.unexpect_all();
                let words = "expectation table has been emptied.";
                self.answer.errors += &format!("{TOOL}{words}\n");
            }
            Verb::Count => self.print(&table.len().to_string()),
            Verb::CountExpect => {
                let count = expectations(table, command, view.now).len();
                self.print(&count.to_string());
            }
            Verb::Stats => {
                let stats = table.stats();
                let line = format!(
                    "cpu=0   \tfound=0 invalid={} insert={} insert_failed=0 drop={} early_drop={} error=0 \
                     search_restart=0 clash_resolve=0 chaintoolong=0 ",
                    stats.invalid, stats.made, stats.table_full, stats.early_drop
                );
                self.print(&line);
            }
            Verb::StatsExpect => {
                let counts = table.expectation_counts();
                let line = format!(
                    "cpu=0   \texpect_new={} expect_create={} expect_delete={} ",
                    counts.fulfilled, counts.made, counts.removed
                );
                self.print(&line);
            }
            Verb::ListExpect => {
                for expected in expectations(table, command, view.now) {
                    self.expectation(&expected, view);
                }
                if self.opened {
                    self.print("</expect>");
                }
            }
            Verb::GetExpect | Verb::DeleteExpect => {
                let tuple = tuple(&command.template.original, command);
                let found = tuple.and_then(|t| table.expected(&t, 0, view.now).cloned());
                let Some(found) = found else {
                    return End::Failed(reason(ManualError::Gone, verb).into());
                };
                if verb == Verb::DeleteExpect {
                    table.unexpect(found.id);
                } else if let Some(expected) = shown(table, &found, view.now) {
                    self.expectation(&expected, view);
                }
            }
            Verb::CreateExpect => {
                return End::Failed(String::from("Operation not supported"));
            }
            Verb::List
            | Verb::Update
            | Verb::Delete
            | Verb::Event
            | Verb::EventExpect
            | Verb::Version
            | Verb::Help => {}
        }
        End::Done
    }

    fn expectation(&mut self, expected: &Expected, view: &View<'_>) {
        self.counted += 1;
        self.open(view, "expect");
        let stamp = stamp(view, |seconds, micros| {
            format!("[{seconds:<8}.{micros:<6}]\t")
        });
        self.print(&format!("{stamp}{}", show::expected(expected, None, view)));
    }

    fn get(&mut self, command: &Command, table: &mut Conntrack, view: &View<'_>) -> End {
        let Some(tuple) = tuple(&command.template.original, command) else {
            return End::Failed(reason(ManualError::Invalid, Verb::Get).into());
        };
        let Some(id) = table.lookup(&tuple, [0; 2], view.now) else {
            return End::Failed(reason(ManualError::Gone, Verb::Get).into());
        };
        if let Some(mut record) = self.record(table, id, view)
            && filter::fits(command, &record)
        {
            self.counted += 1;
            record.uses = record.uses.map(|uses| uses + 1);
            self.open(view, "conntrack");
            self.print(&show::record(&record, None, view));
        }
        End::Done
    }

    fn create(
        &mut self,
        command: &Command,
        verb: Verb,
        table: &mut Conntrack,
        now: Timestamp,
    ) -> End {
        let made = made(command).ok_or(ManualError::Invalid);
        match made.and_then(|made| table.make(&made, now)) {
            Ok(_) => self.counted += 1,
            Err(ManualError::Exists) if verb == Verb::Add => {}
            Err(why) => return End::Failed(reason(why, verb).into()),
        }
        End::Done
    }
}

/// The time before a line, where it is asked for and the form has no place of its own for it.
pub(super) fn stamp(view: &View<'_>, write: impl Fn(u64, u64) -> String) -> String {
    let in_line = view.output.is_xml() || view.output.has(Output::JSON);
    if !view.output.has(Output::TIMESTAMP) || in_line {
        return String::new();
    }
    let micros = view.now.0 / 1_000;
    write(micros / 1_000_000, micros % 1_000_000)
}

/// Why a command failed, in the tool's words.
fn reason(why: ManualError, verb: Verb) -> &'static str {
    match why {
        ManualError::Exists => "Such conntrack exists, try -U to update",
        ManualError::Full => "not enough memory",
        ManualError::Invalid => "invalid parameters",
        ManualError::Busy => "Device or resource busy",
        ManualError::Fixed => "sorry, you must be root or get CAP_NET_ADMIN capability to do this",
        ManualError::Gone => match verb {
            Verb::Update | Verb::GetExpect | Verb::DeleteExpect => "No such file or directory",
            _ => "such conntrack doesn't exist",
        },
    }
}

/// The expectations of a command's family.
fn expectations(table: &Conntrack, command: &Command, now: Timestamp) -> Vec<Expected> {
    table
        .expectations()
        .filter(|e| e.deadline > now)
        .filter_map(|e| shown(table, e, now))
        .filter(|e| command.family.is_none_or(|f| f == e.tuple.family()))
        .collect()
}

fn shown(table: &Conntrack, expectation: &crate::Expectation, now: Timestamp) -> Option<Expected> {
    let [master, _] = table.announcer(expectation)?.tuples();
    Some(Expected::of(expectation, master, now))
}

/// What a command says that a connection is to have, its mark, status and labels apart.
fn change(command: &Command) -> Change {
    let template = &command.template;
    let named = |name: &&'static str| *name;
    let tcp = command.protocol == Some(proto::TCP);
    let state = template.state.as_ref().map(named);
    Change {
        timeout: template.timeout.map(u64::from),
        tcp: TcpState::ALL
            .into_iter()
            .find(|s| tcp && Some(s.name()) == state),
        // As the tool: the windows of connections that it made or changed are not enforced.
        liberal: tcp,
        sctp: SctpState::ALL
            .into_iter()
            .find(|s| !tcp && Some(s.name()) == state),
        tags: template.tags,
        ..Change::default()
    }
}

/// A tuple of addresses and the protocol's part, missing ports as 0.
fn tuple(ends: &Ends, command: &Command) -> Option<Tuple> {
    let protocol = command.protocol?;
    let template = &command.template;
    let (source, destination) = (ends.source?, ends.destination?);
    let words = (
        ends.source_port.unwrap_or(0),
        ends.destination_port.unwrap_or(0),
    );
    let proto = match protocol {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => TupleProto::Ports {
            source: words.0,
            destination: words.1,
        },
        proto::GRE => TupleProto::Gre {
            source: words.0,
            destination: words.1,
        },
        proto::ICMP | proto::ICMPV6 => TupleProto::Icmp {
            id: template.icmp_id.unwrap_or(0),
            kind: template.icmp_type.unwrap_or(0),
            code: template.icmp_code.unwrap_or(0),
        },
        _ => TupleProto::Generic,
    };
    Some(Tuple {
        source,
        destination,
        protocol,
        proto,
    })
}

/// The connection that a command is to make.
fn made(command: &Command) -> Option<Made> {
    let template = &command.template;
    let has = |ends: &Ends| ends.source.is_some() && ends.destination.is_some();
    let original = has(&template.original).then(|| tuple(&template.original, command));
    let reply = has(&template.reply).then(|| tuple(&template.reply, command));
    let tuples = match (original.flatten(), reply.flatten()) {
        (Some(original), None) => [original, original.invert()?],
        (None, Some(reply)) => [reply.invert()?, reply],
        (Some(original), Some(reply)) => {
            // The answer's type is not said: it is the one that answers.
            let proto = match original.proto {
                TupleProto::Icmp { .. } => original.invert()?.proto,
                _ => reply.proto,
            };
            [original, Tuple { proto, ..reply }]
        }
        (None, None) => return None,
    };
    if tuples.iter().any(|t| Some(t.family()) != command.family) {
        return None;
    }
    let both: Zone = template.zone.unwrap_or(0);
    let mut zones = [both; 2];
    for (direction, zone) in template.zones.iter().enumerate() {
        if let Some(zone) = *zone {
            // There is one zone, whichever direction it holds in.
            if zones != [0; 2] {
                return None;
            }
            zones[direction] = zone;
        }
    }
    let range = |to: super::vocabulary::Translated| {
        (to.address.is_some() || to.port.is_some()).then(|| Range {
            addresses: to.address.map(|a| (a, a)),
            ports: to.port.map(|p| (p, p)),
            ..Range::default()
        })
    };
    let mut with = change(command);
    with.status = template.status;
    with.mark = template.mark.map(|(mark, _)| mark);
    with.labels = template.change_labels;
    Some(Made {
        tuples,
        zones,
        source_nat: range(template.source_nat),
        destination_nat: range(template.destination_nat),
        with,
    })
}
