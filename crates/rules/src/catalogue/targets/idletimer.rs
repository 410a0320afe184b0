//! `-j IDLETIMER`.

use super::prelude::*;

/// `-j IDLETIMER`: tells programs of the host when no packet has come for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idletimer {
    /// Seconds.
    pub timeout: u32,
    /// Name of the timer.
    pub label: String,
    /// A timer that runs on while the host sleeps.
    pub alarm: bool,
}

/// Kernel `idletimer_tg_helper` and `idletimer_check_sysfs_name`.
fn label(text: &str) -> Value<String> {
    let label = read::cut(27)(text)?;
    let taken = ["", ".", "..", "power", "subsystem", "uevent"];
    if taken.contains(&label.as_str()) || label.contains('/') {
        return Err(Bad::new(format!(
            "'{label}' cannot be the label of a timer"
        )));
    }
    Ok(label)
}

impl Spec for Idletimer {
    const ROW: Extension = Extension::new(
        "IDLETIMER",
        Families::Both,
        "Tells when an interface has been idle.",
    )
    .options(&[
        opt("timeout", "SECONDS", "how long it must be idle").required(),
        opt("label", "NAME", "name of the timer").required(),
        flag("alarm", "a timer that runs on while the host sleeps"),
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let timeout = |t: &str| match value::number(t, 2_147_482) {
            Ok(n @ 1..) => Ok(n as u32),
            _ => Err(Bad::new(format!("'{t}' is not a number from 1 to 2147482"))),
        };
        Ok(Idletimer {
            timeout: l.need("timeout", timeout)?,
            label: l.need("label", label)?,
            alarm: l.has("alarm"),
        })
    }

    fn write(&self, out: &mut Out) {
        out.opt("timeout", self.timeout);
        out.opt("label", &self.label);
        if self.alarm {
            out.flag("alarm");
        }
    }

    fn list(&self, out: &mut Out) {
        out.word(format_args!(
            "timeout:{} label:{}",
            self.timeout, self.label
        ));
        if self.alarm {
            out.word("alarm");
        }
    }
}
