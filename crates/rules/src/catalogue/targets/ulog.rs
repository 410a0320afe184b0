//! `-j ULOG`: read only to say what took its place.

use super::prelude::*;

/// `-j ULOG`: logged by a program, in kernels before 3.17. No rule has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ulog {}

/// Options and what they are called by NFLOG.
const SUCCESSORS: [(&str, &str); 4] = [
    ("ulog-nlgroup", "nflog-group"),
    ("ulog-prefix", "nflog-prefix"),
    ("ulog-cprange", "nflog-size"),
    ("ulog-qthreshold", "nflog-threshold"),
];

impl Spec for Ulog {
    const ROW: Extension = Extension::new(
        "ULOG",
        Families::V4,
        "Logged by a program, in kernels before 3.17; NFLOG took its place.",
    )
    .options(&[
        opt("ulog-nlgroup", "GROUP", "now --nflog-group"),
        opt("ulog-prefix", "TEXT", "now --nflog-prefix"),
        opt("ulog-cprange", "BYTES", "now --nflog-size"),
        opt("ulog-qthreshold", "PACKETS", "now --nflog-threshold"),
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let mut now = "-j NFLOG".to_string();
        for (old, new) in SUCCESSORS {
            if let Some(given) = l.find(old) {
                let value = write::as_word(&given.value(0).text);
                now.push_str(&format!(" --{new} {value}"));
            }
        }
        Err(l.fault(
            Bad::new("the kernel has had no ULOG since version 3.17")
                .help(now)
                .code("removed")
                .by_kernel(),
        ))
    }

    fn write(&self, _: &mut Out) {
        match *self {}
    }
}
