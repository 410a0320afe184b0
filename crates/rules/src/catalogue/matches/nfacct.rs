//! `-m nfacct`.

use super::prelude::*;

/// `-m nfacct`: counts packets in the accounting object of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfacct(pub String);

impl Spec for Nfacct {
    const ROW: Extension = Extension::new(
        "nfacct",
        Families::Both,
        "Counts packets in a named accounting object.",
    )
    .options(&[opt("nfacct-name", "NAME", "the object's name").required()])
    .needs(&[Need::Memory]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let name = |t: &str| match t {
            "" => Err(Bad::new("an accounting object has a name")),
            _ if t.contains('\n') => Err(Bad::new("a name is a single line")),
            _ => read::cut(31)(t),
        };
        loaded.need("nfacct-name", name).map(Nfacct)
    }

    fn write(&self, out: &mut Out) {
        // The real program prints two blanks before the name.
        out.opt("nfacct-name ", write::quoted(&self.0));
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!("nfacct-name  {}", write::quoted(&self.0)));
    }
}
