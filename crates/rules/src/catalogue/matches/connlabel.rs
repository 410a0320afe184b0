//! `-m connlabel`.

use super::prelude::*;

/// `-m connlabel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connlabel {
    /// `--label`: a number below 128, or a name that the host gives to one.
    pub label: Not<String>,
    /// `--set`.
    pub set: bool,
}

impl Spec for Connlabel {
    const ROW: Extension = Extension::new(
        "connlabel",
        Families::Both,
        "One of 128 labels of the connection.",
    )
    .options(&[
        opt("label", "LABEL", "a number from 0 to 127, or a name")
            .not()
            .required(),
        flag("set", "set it; matches if that went well"),
    ])
    .needs(&[Need::Connection]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        let label = |t: &str| match value::leading_number(t) {
            Some((128.., "")) => Err(Bad::new(format!("label {t} is too large"))
                .help("a number from 0 to 127, or a name")),
            Some((number, "")) => Ok(number.to_string()),
            _ if t.is_empty() => {
                Err(Bad::new("a label without a name").help("a number from 0 to 127, or a name"))
            }
            _ => Ok(t.to_string()),
        };
        Ok(Connlabel {
            label: loaded.need_not("label", label)?,
            set: loaded.has("set"),
        })
    }

    fn write(&self, out: &mut Out) {
        // iptables-save puts it in quotes whatever it holds.
        out.not("label", &self.label, |l| format!("\"{l}\""));
        if self.set {
            out.flag("set");
        }
    }

    fn list(&self, out: &mut Out) {
        out.bang(self.label.negated);
        out.word(format_args!("connlabel {}", self.label.value));
        if self.set {
            out.word("set");
        }
    }
}
