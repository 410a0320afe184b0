//! `-m dscp`, and the names of classes that it shares with `-j DSCP`.

use super::prelude::*;

/// Classes and their code points, in the order in which the real program tries them.
const CLASSES: [(&str, u8); 22] = [
    ("CS0", 0x00),
    ("CS1", 0x08),
    ("CS2", 0x10),
    ("CS3", 0x18),
    ("CS4", 0x20),
    ("CS5", 0x28),
    ("CS6", 0x30),
    ("CS7", 0x38),
    ("BE", 0x00),
    ("AF11", 0x0a),
    ("AF12", 0x0c),
    ("AF13", 0x0e),
    ("AF21", 0x12),
    ("AF22", 0x14),
    ("AF23", 0x16),
    ("AF31", 0x1a),
    ("AF32", 0x1c),
    ("AF33", 0x1e),
    ("AF41", 0x22),
    ("AF42", 0x24),
    ("AF43", 0x26),
    ("EF", 0x2e),
];

/// A code point from 0 to 63.
pub(crate) fn point(text: &str) -> Value<u8> {
    value::number(text, 63).map(|n| n as u8)
}

/// A class by its name. What follows the name does not matter to the real program: CS12 is CS1.
pub(crate) fn class(text: &str) -> Value<u8> {
    let named = |name: &str| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    match CLASSES.iter().find(|(name, _)| named(name)) {
        Some((_, point)) => Ok(*point),
        None => {
            let upper = text.to_ascii_uppercase();
            let near = crate::diagnostic::nearest(&upper, CLASSES.iter().map(|(name, _)| *name));
            Err(
                Bad::new(format!("'{text}' is no class of differentiated services"))
                    .help(near.unwrap_or("BE, EF, CS0 to CS7, AF11 to AF43"))
                    .said(format!("Invalid DSCP value `{text}'")),
            )
        }
    }
}

/// `-m dscp`: the differentiated services code point, the upper six bits of the type of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dscp(pub Not<u8>);

impl Spec for Dscp {
    const ROW: Extension = Extension::new(
        "dscp",
        Families::Both,
        "The differentiated services code point.",
    )
    .options(&[
        opt("dscp", "NUMBER", "0 to 63")
            .not()
            .excludes(&["dscp-class"]),
        opt("dscp-class", "CLASS", "BE, EF, CS0 to CS7, AF11 to AF43")
            .not()
            .excludes(&["dscp"]),
    ])
    .needs(&[Need::Network]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        match loaded.not("dscp-class", class)? {
            Some(not) => Ok(Dscp(not)),
            None => match loaded.not("dscp", point)? {
                Some(not) => Ok(Dscp(not)),
                None => Err(loaded.missing_as("dscp", "DSCP match: Parameter --dscp is required")),
            },
        }
    }

    fn write(&self, out: &mut Out) {
        out.not("dscp", &self.0, |point| format!("0x{point:02x}"));
    }

    fn list(&self, out: &mut Out) {
        let bang = if self.0.negated { "!" } else { "" };
        out.word(format_args!("DSCP match {bang}0x{:02x}", self.0.value));
    }
}
