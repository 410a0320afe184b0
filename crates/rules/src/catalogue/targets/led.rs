//! `-j LED`.

use super::prelude::*;

/// `-j LED`: lights a lamp of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// `--led-trigger-id`: what the lamp is bound to.
    pub id: String,
    /// Milliseconds that it stays on; the greatest number: for good.
    pub delay: u32,
    /// It goes out for a moment if it is on.
    pub always_blink: bool,
}

impl Spec for Led {
    const ROW: Extension = Extension::new("LED", Families::Both, "Lights a lamp.").options(&[
        opt(
            "led-trigger-id",
            "NAME",
            "name of the lamp's trigger, after netfilter-",
        )
        .required(),
        opt(
            "led-delay",
            "MILLISECONDS",
            "how long it stays on; inf: for good",
        ),
        flag(
            "led-always-blink",
            "blink at each packet, even when it is on",
        ),
    ]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        let delay = |t: &str| match t.get(..3) {
            Some(start) if start.eq_ignore_ascii_case("inf") => Ok(u32::MAX),
            _ => read::word(t),
        };
        Ok(Led {
            id: l.need("led-trigger-id", read::limited(16))?,
            delay: l.plain("led-delay", delay)?.unwrap_or(0),
            always_blink: l.has("led-always-blink"),
        })
    }

    fn write(&self, out: &mut Out) {
        let id = self.id.replace('\\', "\\\\").replace('"', "\\\"");
        out.opt("led-trigger-id", format_args!("\"{id}\""));
        if self.delay != 0 {
            // With a sign: what lasts for good is printed as -1, which cannot be read again.
            out.opt("led-delay", self.delay as i32);
        }
        if self.always_blink {
            out.flag("led-always-blink");
        }
    }

    fn list(&self, out: &mut Out) {
        let id = self.id.replace('\\', "\\\\").replace('"', "\\\"");
        out.word(format_args!("led-trigger-id:\"{id}\""));
        match self.delay {
            u32::MAX => out.word("led-delay:inf"),
            delay => out.word(format_args!("led-delay:{}ms", delay as i32)),
        }
        if self.always_blink {
            out.word("led-always-blink");
        }
    }
}
