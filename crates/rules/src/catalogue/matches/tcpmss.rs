//! `-m tcpmss`.

use super::prelude::*;

/// `-m tcpmss`: first and last maximum segment size that a SYN may announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcpmss(pub Not<(u16, u16)>);

impl Spec for Tcpmss {
    const ROW: Extension = Extension::new(
        "tcpmss",
        Families::Both,
        "The maximum segment size that a SYN announces.",
    )
    .options(&[opt("mss", "BYTES[:BYTES]", "the size, or a range")
        .not()
        .required()])
    .protocols(&[proto::TCP])
    .needs(&[Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let range = |t: &str| {
            if t.matches(':').count() > 1 {
                return Err(Bad::new(format!("'{t}' is no range"))
                    .help("first:last")
                    .said("{extension}: Too many components for option \"--{option}\" (max: 2)"));
            }
            let (first, last) = value::number_range(t, 65_535)?;
            if first > last {
                return Err(Bad::new(format!("the range {first}:{last} is backwards"))
                    .help(format!("{last}:{first}"))
                    .said("tcpmss: invalid range given"));
            }
            Ok((first as u16, last as u16))
        };
        loaded.need_not("mss", range).map(Tcpmss)
    }

    fn write(&self, out: &mut Out) {
        out.not("mss", &self.0, |(a, b)| write::range(a, b));
    }

    fn list(&self, out: &mut Out) {
        let (first, last) = self.0.value;
        let bang = if self.0.negated { "!" } else { "" };
        out.word(format_args!(
            "tcpmss match {bang}{}",
            write::range(first, last)
        ));
    }
}
