//! `-j QUEUE`.

use super::prelude::*;

/// `-j QUEUE`: hands the packet to a program, as `-j NFQUEUE --queue-num 0` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue;

impl Spec for Queue {
    const ROW: Extension = Extension::new(
        "QUEUE",
        Families::Both,
        "Hands the packet to a program, as it was done before NFQUEUE.",
    )
    .needs(&[Need::Host]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        if l.tools == Tools::Nft {
            let bad = Bad::new("iptables-nft knows no target QUEUE").help("-j NFQUEUE");
            return Err(l.fault(bad));
        }
        Ok(Queue)
    }

    fn write(&self, _: &mut Out) {}
}
