//! `--explain-program`: how the rules of each chain are found.

use std::io::{self, Write};

use palisade_engine::Engine;
use palisade_rules::Family;
use serde_json::json;

use crate::args::Format;

/// A line a chain.
pub fn print(out: &mut impl Write, engine: &Engine, format: Format) -> io::Result<()> {
    for family in [Family::V4, Family::V6] {
        let chains = engine.describe(family);
        if chains.is_empty() {
            continue;
        }
        let width = chains.iter().map(|c| c.chain.chars().count()).max();
        let width = width.unwrap_or(0).max("chain".len());
        if format == Format::Human {
            writeln!(
                out,
                "\n# {family}\n{:8} {:width$} {:>8}  {:9} {:>6} {:>6} {:>5} {:>10} {:>7}",
                "table",
                "chain",
                "rules",
                "structure",
                "tables",
                "in all",
                "depth",
                "bytes",
                "longest"
            )?;
        }
        for chain in &chains {
            let shape = &chain.shape;
            match format {
                Format::Human => writeln!(
                    out,
                    "{:8} {:width$} {:>8}  {:9} {:>6} {:>6} {:>5} {:>10} {:>7}",
                    chain.table.name(),
                    chain.chain,
                    chain.rules,
                    shape.structure,
                    shape.tables,
                    shape.tables_in_all,
                    shape.depth,
                    shape.bytes,
                    shape.longest
                )?,
                Format::Json => writeln!(
                    out,
                    "{}",
                    json!({"program": {
                        "family": if family == Family::V6 { 6 } else { 4 },
                        "table": chain.table.name(),
                        "chain": chain.chain,
                        "rules": chain.rules,
                        "structure": shape.structure,
                        "tables": shape.tables,
                        "tables_in_all": shape.tables_in_all,
                        "depth": shape.depth,
                        "bytes": shape.bytes,
                        "longest": shape.longest,
                    }})
                )?,
            }
        }
    }
    Ok(())
}
