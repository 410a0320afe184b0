//! What was chosen, for people to see.

use palisade_rules::TableKind;

use super::Finder;
use super::tables::{Group, Slot, Table, Tables};
use crate::program::Program;

/// How the rules of a chain are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `walk`: one after the other; `tables`: by hash tables.
    pub structure: &'static str,
    /// Hash tables that a packet may have to be looked up in at once.
    pub tables: usize,
    /// All hash tables, those within others included.
    pub tables_in_all: usize,
    /// Tables within tables.
    pub depth: usize,
    /// Bytes that the structure takes, beside the rules.
    pub bytes: usize,
    /// Most rules that are compared one after the other.
    pub longest: usize,
}

/// A chain of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainShape {
    /// Table.
    pub table: TableKind,
    /// Chain.
    pub chain: String,
    /// Rules.
    pub rules: usize,
    /// How they are found.
    pub shape: Shape,
}

impl Finder {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Finder::Walk => Shape {
                structure: "walk",
                tables: 0,
                tables_in_all: 0,
                depth: 0,
                bytes: 0,
                longest: 0,
            },
            Finder::V4(tables) => tables.shape(),
            Finder::V6(tables) => tables.shape(),
        }
    }
}

impl<A> Tables<A> {
    fn shape(&self) -> Shape {
        let all = || self.groups.iter().flat_map(|g| &g.tables);
        let slots = all().map(|t| t.slots.capacity()).sum::<usize>();
        let tables = self
            .groups
            .iter()
            .map(|g| g.tables.capacity())
            .sum::<usize>();
        let bytes = self.entries.capacity() * size_of_val_of(&self.entries)
            + self.groups.capacity() * size_of::<Group<A>>()
            + tables * size_of::<Table<A>>()
            + slots * size_of::<Slot>();
        let rests = self.groups.iter().map(|g| g.rest.len);
        let lists = all().flat_map(|t| &t.slots).map(|s| s.len);
        Shape {
            structure: "tables",
            tables: self.groups.first().map_or(0, |g| g.tables.len()),
            tables_in_all: all().count(),
            depth: self.depth(),
            bytes,
            longest: rests.chain(lists).max().unwrap_or(0) as usize,
        }
    }

    /// Groups are made after those that they lie in, so that their numbers go up.
    fn depth(&self) -> usize {
        let mut depths = vec![1; self.groups.len()];
        for at in (0..self.groups.len()).rev() {
            let inner = self.groups[at]
                .tables
                .iter()
                .flat_map(|t| &t.slots)
                .filter(|s| s.min != super::tables::NONE && s.len == 0)
                .filter_map(|s| depths.get(s.at as usize));
            depths[at] = 1 + inner.max().copied().unwrap_or(0);
        }
        depths.first().map_or(0, |d| d - 1)
    }
}

fn size_of_val_of<T>(_: &[T]) -> usize {
    size_of::<T>()
}

impl Program {
    /// Its chains, table by table.
    pub(crate) fn shapes(&self) -> Vec<ChainShape> {
        let tables = self.tables.iter().flatten();
        tables
            .flat_map(|table| {
                table.chains.iter().map(|chain| ChainShape {
                    table: table.kind,
                    chain: chain.name.to_string(),
                    rules: chain.rules.len(),
                    shape: chain.finder.shape(),
                })
            })
            .collect()
    }
}
