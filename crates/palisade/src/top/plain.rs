//! Tables written one after the other, where there is no terminal to draw on.

use std::io::Write;

use anyhow::Result;

use super::Frames;
use super::model::Model;
use super::rows::{columns, rows, summary};
use crate::Exit;

/// Rows of a table, at most.
const ROWS: usize = 40;

/// Writes a table for each frame but the first, of which nothing is known yet.
pub fn write(model: &mut Model, frames: &Frames) -> Result<Exit> {
    let mut out = std::io::stdout().lock();
    let mut first = true;
    while let Ok(frame) = frames.recv() {
        model.take(*frame?);
        if !std::mem::take(&mut first) {
            out.write_all(table(model).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(Exit::Yes)
}

/// A table, with an empty line behind it.
fn table(model: &Model) -> String {
    let columns = columns(model.tab);
    let mut out = format!("{}\n", summary(model));
    let mut line = |texts: &[String]| {
        let cells = texts.iter().zip(columns).map(|(text, column)| {
            let width = usize::from(column.width);
            match column.right {
                true => format!("{text:>width$}"),
                false => format!("{text:<width$}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        out.push_str(cells.join(" ").trim_end());
        out.push('\n');
    };
    let names: Vec<String> = columns.iter().map(|c| c.name.to_string()).collect();
    line(&names);
    let all = rows(model);
    all.iter().take(ROWS).for_each(|row| line(row));
    if all.len() > ROWS {
        out.push_str(&format!("… and {} more\n", all.len() - ROWS));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::frame;
    use super::super::model::{Sort, Tab};
    use super::*;

    #[test]
    fn a_table_is_written_whole() {
        let mut model = Model::new(Tab::Rules, Sort::Bytes, String::new());
        model.take(frame());
        assert_eq!(
            table(&model),
            "ACCEPT 1234   DROP 56   3 connections of 262144\n\
             PLACE                        PACKETS      BYTES  PACKETS/S         RATE RULE\n\
             filter INPUT 1                  9000    8.6 MiB         22   21.5 KiB/s -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n\
             filter INPUT policy               51   49.8 KiB         40   39.1 KiB/s\n\n"
        );
    }

    #[test]
    fn what_is_not_counted_is_not_told() {
        let mut model = Model::new(Tab::Flows, Sort::Age, "syn".into());
        let mut frame = frame();
        frame.counted = false;
        model.take(frame);
        let text = table(&model);
        assert!(text.starts_with(
            "ACCEPT 1234   DROP 56   3 connections of 262144   traffic not counted: --sysctl nf_conntrack_acct=1\n"
        ));
        let row = text.lines().nth(2).expect("a row");
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words[words.len() - 8..words.len() - 5],
            ["-", "-", "-"],
            "{row}"
        );
    }
}
