//! Real rules against what the real tools did with them, recorded beside them (iptables 1.8.9,
//! legacy and nft).
//!
//! The corpus is not part of the project; without it the tests say so and pass. With
//! `PALISADE_WRITE_DOCS=1` the figures are written into `docs/conformance-language.md`; otherwise
//! they must be at least what is written there. `PALISADE_SHOW=1` prints every difference.

mod commands;
mod extensions;
mod rulesets;
mod share;
