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
            // An empty word is 0 to the real program.
            let t = if t.is_empty() { "0" } else { t };
            if t.matches(':').count() > 1 {
                return Err(Bad::new(format!("'{t}' is no range"))
                    .help("first:last")
                    .said("{extension}: Too many components for option \"--{option}\" (max: 2)"));
            }
            let range = value::number_range(t, 65_535).map_err(|bad| match bad.said {
                None => bad.said("tcpmss: invalid range given"),
                Some(_) => bad,
            })?;
            Ok((range.0 as u16, range.1 as u16))
        };
        loaded.need_not("mss", range).map(Tcpmss)
    }

    fn write(&self, out: &mut Out) {
        out.not("mss", &self.0, |(a, b)| write::range(a, b));
    }
}
