//! Tools of Palisade's own tests: the kernel as a subject of packet scripts, and the comparison of
//! two subjects packet by packet and counter by counter.
//!
//! - [`fuzz`]: what the fuzz targets do, shared with the test that replays their corpus.
//! - [`engine`]: the engine, made from a script in the same way.
//! - [`generate`]: scripts by chance, for kernel and engine to disagree about.
//! - [`kernel`]: [`kernel::KernelSubject`] runs a script's packets through the Linux kernel, in a network
//!   namespace of its own.
//! - [`hunt`]: many of them, on both subjects, until one differs; [`shrink`]: that one made small.
//! - [`protocol`]: what a packet is called in the sums.
//! - [`tables`]: what a firewall remembers, and how two such memories differ.
//! - [`real`]: whether the kernel and the real programs can be asked, and a namespace for it.
//! - [`live`]: real programs through a firewall that is the kernel's, or ours.
//! - [`machine`]: a script on both.
//! - [`twin`]: the evaluators of the engine, held equal.
//! - [`compare`]: what a subject showed in a whole script, and how two such records differ.
//!
//! Never published; nothing of it is part of the product.

pub mod asked;
pub mod compare;
pub mod engine;
pub mod fuzz;
pub mod generate;
pub mod hunt;
pub mod kernel;
pub mod live;
pub mod machine;
pub mod protocol;
pub mod real;
pub mod scripts;
pub mod shrink;
pub mod tables;
pub mod twin;
