//! `palisade status`.

use std::io::Write;

use anstyle::AnsiColor;
use anyhow::Result;
use palisade_live::control::message::{Answer, Ip, Request, Status};

use super::{StatusArguments, asked};
use crate::Exit;
use crate::args::Format;
use crate::output::Paint;

/// Fullness of the connection table from which it is told in yellow, and in red, in percent.
const PRESSURE: [u64; 2] = [75, 95];

/// `palisade status`.
pub fn status(arguments: &StatusArguments) -> Result<Exit> {
    let paint = Paint::stdout(arguments.color);
    let mut out = std::io::stdout().lock();
    asked(&arguments.socket.control, &Request::Status {}, |answer| {
        let Answer::Status(status) = answer else {
            return Ok(());
        };
        match arguments.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(&status)?)?,
            Format::Human => out.write_all(human(&status, paint).as_bytes())?,
        }
        Ok(())
    })
}

/// A time in the two largest units that it has.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Bytes with a unit.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn human(status: &Status, paint: Paint) -> String {
    let mut out = format!(
        "palisade {}, process {}, for {}\n",
        status.version,
        status.pid,
        span(status.uptime_seconds)
    );
    let mut row = |name: &str, text: &str| out.push_str(&format!("{name:<12} {text}\n"));
    let workers = match status.workers {
        1 => "1 worker".to_string(),
        n => format!("{n} workers"),
    };
    row("backend", &format!("{}, {workers}", status.backend));
    for rules in &status.rules {
        let name = match rules.family {
            Ip::V4 => "rules",
            Ip::V6 => "rules IPv6",
        };
        let from = match &rules.file {
            Some(file) => format!(", from {}", file.display()),
            None => String::new(),
        };
        let text = match rules.tables {
            0 => "none: everything is accepted".to_string(),
            _ => format!(
                "{} in {} chains of {} tables{from}",
                rules.rules, rules.chains, rules.tables
            ),
        };
        row(name, &text);
    }
    let changes = match status.generation {
        0 => "not changed since the start".to_string(),
        n => format!("changed {n} times since the start"),
    };
    row("program", &changes);
    let table = &status.connections;
    let used = match table.max {
        0 => String::new(),
        max => {
            let percent = table.entries * 100 / max;
            let text = format!(" of {max} ({percent} %)");
            match percent {
                p if p >= PRESSURE[1] => paint.bold(AnsiColor::Red, &text),
                p if p >= PRESSURE[0] => paint.bold(AnsiColor::Yellow, &text),
                _ => text,
            }
        }
    };
    row(
        "connections",
        &format!(
            "{}{used}, {} expected, {}",
            table.entries,
            table.expectations,
            size(table.memory)
        ),
    );
    if table.refused + table.early_dropped > 0 {
        row(
            "",
            &format!(
                "{} refused because the table was full, {} gave way to others",
                table.refused, table.early_dropped
            ),
        );
    }
    for count in status.packets.iter().filter(|c| c.packets > 0) {
        row(
            &count.verdict,
            &format!("{} packets, {}", count.packets, size(count.bytes)),
        );
    }
    for (name, value) in status.figures.iter().filter(|(_, value)| *value > 0) {
        row("", &format!("{name} {value}"));
    }
    for note in &status.notes {
        row("note", note);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(61), "1 min 1 s");
        assert_eq!(span(3 * 3600 + 120), "3 h 2 min");
        assert_eq!(span(2 * 86_400 + 3600), "2 d 1 h");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }
}
