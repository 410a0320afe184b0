//! Whether an entry is one of those that a command is about.

use super::command::Command;
use super::number::within;
use super::record::Record;
use super::vocabulary::{Ends, Translated};
use crate::tuple::{Tuple, TupleProto};

/// Options that make a command compare entries with what it says.
const COMPARED: &str = "spdrqmucwil()";

/// Whether a command that lists, deletes or watches is about an entry.
pub(super) fn fits(command: &Command, record: &Record) -> bool {
    let template = &command.template;
    if !translated(command, record) || !networks(command, record) {
        return false;
    }
    if let Some((value, mask)) = template.mark
        && record.mark.is_none_or(|own| own & mask != value)
    {
        return false;
    }
    if !has_labels(command, record) {
        return false;
    }
    if !command.has_any(COMPARED) {
        return true;
    }
    let status = u32::from(record.status.0);
    let zones = [0, 1].map(|n| {
        if record.zone().is_some() {
            0
        } else {
            record.zones[n]
        }
    });
    let zone_fits = |wanted: Option<u16>, zone: u16| wanted.is_none_or(|w| w == zone);
    template.id.is_none_or(|id| id == record.id)
        && template.timeout.is_none_or(|t| record.timeout == Some(t))
        && template.status.is_none_or(|s| s & status == s)
        && template
            .status_bits
            .is_none_or(|(value, mask)| status & mask == value & mask)
        && template.state.is_none_or(|s| record.state == Some(s))
        && zone_fits(template.zone, record.zone().unwrap_or(0))
        && zone_fits(template.zones[0], zones[0])
        && zone_fits(template.zones[1], zones[1])
        && original(command, record)
        && reply(command, record)
}

/// Whether a command that updates is about an entry: what else it says is what the entry is to become.
pub(super) fn updates(command: &Command, record: &Record) -> bool {
    translated(command, record)
        && has_labels(command, record)
        && networks(command, record)
        && command.template.id.is_none_or(|id| id == record.id)
        && (!command.has_any("spd") || original(command, record))
        && (!command.has_any("rqp") || reply(command, record))
}

fn has_labels(command: &Command, record: &Record) -> bool {
    let wanted = command.template.labels.unwrap_or(0);
    record.labels & wanted == wanted
}

/// Addresses with masks.
fn networks(command: &Command, record: &Record) -> bool {
    let template = &command.template;
    let tuple = &record.tuples[0];
    let ends = [
        (template.original.source, template.mask.source, tuple.source),
        (
            template.original.destination,
            template.mask.destination,
            tuple.destination,
        ),
    ];
    ends.iter()
        .all(|(network, mask, address)| match (network, mask) {
            (Some(network), Some(mask)) => within(*address, *network, *mask),
            _ => true,
        })
}

fn original(command: &Command, record: &Record) -> bool {
    let template = &command.template;
    let tuple = &record.tuples[0];
    // What has a mask was looked at.
    let ends = Ends {
        source: template
            .original
            .source
            .filter(|_| template.mask.source.is_none()),
        destination: template
            .original
            .destination
            .filter(|_| template.mask.destination.is_none()),
        ..template.original
    };
    template.family.is_none_or(|f| f == tuple.family())
        && command.protocol.is_none_or(|p| p == tuple.protocol)
        && has_ends(&ends, tuple)
        && match tuple.proto {
            TupleProto::Icmp { id, kind, code } => {
                template.icmp_id.is_none_or(|wanted| wanted == id)
                    && template.icmp_type.is_none_or(|wanted| wanted == kind)
                    && template.icmp_code.is_none_or(|wanted| wanted == code)
            }
            _ => true,
        }
}

fn reply(command: &Command, record: &Record) -> bool {
    has_ends(&command.template.reply, &record.tuples[1])
}

fn has_ends(ends: &Ends, tuple: &Tuple) -> bool {
    ends.source.is_none_or(|a| a == tuple.source)
        && ends.destination.is_none_or(|a| a == tuple.destination)
        && ends.source_port.is_none_or(|p| p == tuple.source_word())
        && ends
            .destination_port
            .is_none_or(|p| p == tuple.destination_word())
}

/// `-n`, `-g`, `-j`.
fn translated(command: &Command, record: &Record) -> bool {
    let template = &command.template;
    let [_, reply] = &record.tuples;
    let end = |wanted: Translated, moved: bool, port_moved: bool, address, port| match wanted {
        Translated {
            address: None,
            port: None,
        } => moved || port_moved,
        Translated {
            address: wanted_address,
            port: wanted_port,
        } => {
            wanted_address.is_none_or(|a| moved && a == address)
                && wanted_port.is_none_or(|p| port_moved && p == port)
        }
    };
    let source = end(
        template.source_nat,
        record.source_moved(),
        record.source_port_moved(),
        reply.destination,
        reply.destination_word(),
    );
    let destination = end(
        template.destination_nat,
        record.destination_moved(),
        record.destination_port_moved(),
        reply.source,
        reply.source_word(),
    );
    if command.has('j') {
        return source || destination;
    }
    (!command.has('n') || source) && (!command.has('g') || destination)
}
