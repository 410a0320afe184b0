//! Packets sent earlier, for what quotes or answers them.

use std::collections::HashMap;

use super::model::{Quote, Reference};

/// A packet that others may refer to.
#[derive(Default, Clone)]
pub(super) struct Referable {
    pub sent: Vec<u8>,
    /// As it left the firewall, when somebody said.
    pub left: Option<Vec<u8>>,
    /// It went from the line's receiver to its sender.
    pub turned: bool,
}

impl Referable {
    fn seen(&self) -> &[u8] {
        self.left.as_deref().unwrap_or(&self.sent)
    }
}

/// Packets that others may refer to.
#[derive(Default)]
pub(super) struct Known {
    /// By label: of a line in pieces every piece, sent or not.
    pub labels: HashMap<String, Vec<Referable>>,
    pub numbers: HashMap<u64, Option<Referable>>,
    pub previous: Option<Referable>,
    /// The last packet that went from the sender of a shorthand to its receiver.
    pub asked: Option<Referable>,
}

impl Known {
    /// The bytes that an error quotes, if the packet was sent: of a line in pieces the first one's.
    pub fn quoted(&self, quote: &Quote) -> Option<&[u8]> {
        let found = match &quote.packet {
            Reference::Label(label, part) => {
                let packets = self.labels.get(label)?;
                match part {
                    Some(n) => packets.get((*n as usize).checked_sub(1)?)?,
                    // What was put together leaves with the last piece.
                    None if quote.left => match packets.iter().rfind(|p| p.left.is_some()) {
                        Some(left) => left,
                        None => packets.first()?,
                    },
                    None => packets.first()?,
                }
            }
            Reference::Number(n) => self.numbers.get(n)?.as_ref()?,
            Reference::Previous => self.previous.as_ref()?,
        };
        Some(if quote.left {
            found.seen()
        } else {
            &found.sent
        })
    }

    /// The packet that an `answer` line answers, as its receiver saw it.
    pub fn answered(&self, reference: &Reference) -> Option<&[u8]> {
        let Reference::Label(label, part) = reference else {
            return None;
        };
        let packets = self.labels.get(label)?;
        if let Some(n) = part {
            return packets
                .get((*n as usize).checked_sub(1)?)
                .map(Referable::seen);
        }
        let own = || packets.iter().filter(|p| !p.turned);
        let left = own().rfind(|p| p.left.is_some());
        left.or_else(|| own().next()).map(Referable::seen)
    }

    /// The packet that the answer within a shorthand answers.
    pub fn asked(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(Referable::seen)
    }
}
