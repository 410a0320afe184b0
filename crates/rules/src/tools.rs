//! The two programs that go by the name of iptables.

/// Whose reading and printing of the language: both take nearly the same text, refuse different
/// things and print tables, chains and some matches in a different order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Tools {
    /// `iptables-legacy`, on the kernel's ip_tables.
    #[default]
    Legacy,
    /// `iptables-nft`, on the kernel's nf_tables.
    Nft,
}

impl Tools {
    /// Both.
    pub const BOTH: [Tools; 2] = [Tools::Legacy, Tools::Nft];

    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tools::Legacy => "legacy",
            Tools::Nft => "nft",
        }
    }
}
