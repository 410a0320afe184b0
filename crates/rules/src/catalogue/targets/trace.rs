//! `-j TRACE`.

use super::prelude::*;

/// `-j TRACE`: has the way of a packet logged, which changes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace;

impl Spec for Trace {
    const ROW: Extension =
        Extension::new("TRACE", Families::Both, "Has the way of a packet logged.")
            .tables(&[TableKind::Raw]);

    fn read(_: &Loaded) -> Result<Self, Fault> {
        Ok(Trace)
    }

    fn write(&self, _: &mut Out) {}
}
