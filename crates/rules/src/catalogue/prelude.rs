//! What the file of an extension needs.

pub(crate) use palisade_wire::{Family, proto};

pub(crate) use super::Spec;
pub(crate) use super::read::{self, Loaded};
pub(crate) use super::row::{Extension, Families, Need, Opt, flag, opt};
pub(crate) use super::write::{self, Out};
pub(crate) use crate::model::{Hook, InterfacePattern, Net, Not, PortRange, TableKind, Tools};
pub(crate) use crate::value::{self, Bad, Fault, Value};
