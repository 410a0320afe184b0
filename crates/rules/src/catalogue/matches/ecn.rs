//! `-m ecn`.

use super::prelude::*;

/// `-m ecn`: explicit congestion notification, in TCP's flags and in the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecn {
    /// `--ecn-tcp-ece`: the flag ECE is set.
    pub ece: Option<Not<()>>,
    /// `--ecn-tcp-cwr`: the flag CWR is set.
    pub cwr: Option<Not<()>>,
    /// `--ecn-ip-ect`: the lower two bits of the type of service.
    pub ip: Option<Not<u8>>,
}

impl Spec for Ecn {
    const ROW: Extension = Extension::new("ecn", Families::Both, "Congestion bits of IP and TCP.")
        .options(&[
            flag("ecn-tcp-cwr", "TCP's flag CWR is set").not(),
            flag("ecn-tcp-ece", "TCP's flag ECE is set").not(),
            opt("ecn-ip-ect", "0..3", "the code point in the IP header").not(),
        ])
        .needs(&[Need::Network, Need::Transport]);

    fn read(loaded: &Loaded) -> Result<Self, Fault> {
        for option in ["ecn-tcp-ece", "ecn-tcp-cwr"] {
            if let Some(given) = loaded.find(option)
                && !loaded.is_protocol(&[proto::TCP])
            {
                let text = format!("--{option} looks at TCP: it needs '-p tcp'");
                let bad = Bad::new(text).code("match-needs-protocol").by_kernel();
                return Err(given.fault(bad.help("-p tcp before it")));
            }
        }
        let ecn = Ecn {
            ece: loaded.flag("ecn-tcp-ece"),
            cwr: loaded.flag("ecn-tcp-cwr"),
            ip: loaded.not("ecn-ip-ect", |t| value::number(t, 3).map(|n| n as u8))?,
        };
        if ecn.ece.is_none() && ecn.cwr.is_none() && ecn.ip.is_none() {
            return Err(loaded.missing_as(
                "ecn-tcp-cwr, --ecn-tcp-ece or --ecn-ip-ect",
                "ECN match: some option required",
            ));
        }
        Ok(ecn)
    }

    fn write(&self, out: &mut Out) {
        for (name, not) in [("ecn-tcp-ece", &self.ece), ("ecn-tcp-cwr", &self.cwr)] {
            if let Some(not) = not {
                out.bang(not.negated);
                out.flag(name);
            }
        }
        out.maybe("ecn-ip-ect", &self.ip, u8::to_string);
    }

    fn list(&self, out: &mut Out) {
        out.word("ECN match");
        for (name, not) in [("ECE", &self.ece), ("CWR", &self.cwr)] {
            if let Some(not) = not {
                let bang = if not.negated { "!" } else { "" };
                out.word(format_args!("{bang}{name}"));
            }
        }
        if let Some(not) = &self.ip {
            let bang = if not.negated { "!" } else { "" };
            out.word(format_args!("{bang}ECT={}", not.value));
        }
    }
}
