//! The kernel's module options of helpers, and one of ours.

use super::Class;

/// Settings of helpers, by the kernel's module and parameter names. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `nf_conntrack_ftp.loose`: expect data connections to a third host's address too.
    pub ftp_loose: bool,
    /// `nf_conntrack_irc.max_dcc_channels`: expectations of one IRC connection.
    pub irc_max_dcc_channels: u16,
    /// `nf_conntrack_irc.dcc_timeout`: how long a DCC connection is expected.
    pub irc_dcc_timeout: u64,
    /// `nf_conntrack_amanda.master_timeout`: lifetime of the control connection after a packet.
    pub amanda_master_timeout: u64,
    /// `nf_conntrack_sip.sip_timeout`: lifetime of a signalling connection after a packet.
    pub sip_timeout: u64,
    /// `nf_conntrack_sip.sip_direct_signalling`: calls come from the registrar only.
    pub sip_direct_signalling: bool,
    /// `nf_conntrack_sip.sip_direct_media`: media come from the signalling endpoint only.
    pub sip_direct_media: bool,
    /// `nf_conntrack_sip.sip_external_media`: media to a host on the same side are left alone.
    pub sip_external_media: bool,
    /// `nf_conntrack_netbios_ns.timeout`: how long answers to a broadcast are expected.
    pub netbios_ns_timeout: u64,
    /// `nf_conntrack_snmp.timeout`: how long answers to a broadcast are expected.
    pub snmp_timeout: u64,
    /// `nf_conntrack_h323.default_rrq_ttl`: lifetime of a registration that names none.
    pub h323_default_rrq_ttl: u64,
    /// `nf_conntrack_h323.gkrouted_only`: calls come from the gatekeeper only.
    pub h323_gkrouted_only: bool,
    /// `nf_conntrack_h323.callforward_filter`: no expectation for calls forwarded within one side.
    pub h323_callforward_filter: bool,
    /// Not the kernel's: announced ports below this one are refused, and the packet dropped. 0, as the kernel:
    /// none is refused.
    pub least_expected_port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ftp_loose: false,
            irc_max_dcc_channels: 8,
            irc_dcc_timeout: 300,
            amanda_master_timeout: 300,
            sip_timeout: 3600,
            sip_direct_signalling: true,
            sip_direct_media: true,
            sip_external_media: false,
            netbios_ns_timeout: 3,
            snmp_timeout: 30,
            h323_default_rrq_ttl: 300,
            h323_gkrouted_only: true,
            h323_callforward_filter: true,
            least_expected_port: 0,
        }
    }
}

/// Names of the options, for [`Options::set`].
#[cfg(test)]
const NAMES: &[&str] = &[
    "nf_conntrack_ftp.loose",
    "nf_conntrack_irc.max_dcc_channels",
    "nf_conntrack_irc.dcc_timeout",
    "nf_conntrack_amanda.master_timeout",
    "nf_conntrack_sip.sip_timeout",
    "nf_conntrack_sip.sip_direct_signalling",
    "nf_conntrack_sip.sip_direct_media",
    "nf_conntrack_sip.sip_external_media",
    "nf_conntrack_netbios_ns.timeout",
    "nf_conntrack_snmp.timeout",
    "nf_conntrack_h323.default_rrq_ttl",
    "nf_conntrack_h323.gkrouted_only",
    "nf_conntrack_h323.callforward_filter",
    "palisade.least_expected_port",
];

impl Options {
    /// Sets an option by its module and name; `None` when there is no such option, the largest allowed value
    /// when the value is refused.
    pub fn set(&mut self, name: &str, value: &str) -> Option<Result<(), u64>> {
        const SECONDS: u64 = i32::MAX as u64;
        let number = |max: u64| match value.trim() {
            "Y" | "y" if max == 1 => Ok(1),
            "N" | "n" if max == 1 => Ok(0),
            text => text.parse::<u64>().ok().filter(|v| *v <= max).ok_or(max),
        };
        let flag = |place: &mut bool| number(1).map(|v| *place = v == 1);
        let seconds = |place: &mut u64| number(SECONDS).map(|v| *place = v);
        let word = |place: &mut u16, max: u16| {
            number(u64::from(max)).map(|v| *place = u16::try_from(v).unwrap_or(max))
        };
        Some(match name {
            "nf_conntrack_ftp.loose" => flag(&mut self.ftp_loose),
            "nf_conntrack_irc.max_dcc_channels" => word(&mut self.irc_max_dcc_channels, 255),
            "nf_conntrack_irc.dcc_timeout" => seconds(&mut self.irc_dcc_timeout),
            "nf_conntrack_amanda.master_timeout" => seconds(&mut self.amanda_master_timeout),
            "nf_conntrack_sip.sip_timeout" => seconds(&mut self.sip_timeout),
            "nf_conntrack_sip.sip_direct_signalling" => flag(&mut self.sip_direct_signalling),
            "nf_conntrack_sip.sip_direct_media" => flag(&mut self.sip_direct_media),
            "nf_conntrack_sip.sip_external_media" => flag(&mut self.sip_external_media),
            "nf_conntrack_netbios_ns.timeout" => seconds(&mut self.netbios_ns_timeout),
            "nf_conntrack_snmp.timeout" => seconds(&mut self.snmp_timeout),
            "nf_conntrack_h323.default_rrq_ttl" => seconds(&mut self.h323_default_rrq_ttl),
            "nf_conntrack_h323.gkrouted_only" => flag(&mut self.h323_gkrouted_only),
            "nf_conntrack_h323.callforward_filter" => flag(&mut self.h323_callforward_filter),
            "palisade.least_expected_port" => word(&mut self.least_expected_port, u16::MAX),
            _ => return None,
        })
    }

    /// Limits of a helper's class as these options change them.
    pub(super) fn class(&self, helper: &str, class: Class) -> Class {
        match helper {
            "irc" => Class {
                max: self.irc_max_dcc_channels,
                timeout: self.irc_dcc_timeout,
            },
            "netbios-ns" => Class {
                timeout: self.netbios_ns_timeout,
                ..class
            },
            "snmp" => Class {
                timeout: self.snmp_timeout,
                ..class
            },
            _ => class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_sets_its_option_and_refuses_nonsense() {
        for name in NAMES {
            let mut options = Options::default();
            assert!(matches!(options.set(name, "many"), Some(Err(_))), "{name}");
            assert_eq!(options, Options::default());
            let other = ["0", "1"].iter().any(|value| {
                let mut options = Options::default();
                assert_eq!(options.set(name, value), Some(Ok(())), "{name}");
                options != Options::default()
            });
            assert!(other, "{name} changes nothing");
        }
        assert_eq!(Options::default().set("nf_conntrack_ftp.tight", "1"), None);
    }
}
