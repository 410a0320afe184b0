//! `-j SYNPROXY`.

use super::prelude::*;

/// `-j SYNPROXY`: answers SYNs by itself and opens the connection only to clients that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Synproxy {
    /// `--sack-perm`: selective acknowledgements are offered.
    pub sack: bool,
    /// `--timestamp`: timestamps are offered.
    pub timestamp: bool,
    /// `--wscale`: windows are scaled by so many bits.
    pub window_scale: Option<u8>,
    /// `--mss`: segments of so many bytes are taken.
    pub segment: Option<u16>,
    /// `--ecn`: congestion may be notified.
    pub ecn: bool,
}

impl Spec for Synproxy {
    const ROW: Extension = Extension::new(
        "SYNPROXY",
        Families::Both,
        "Answers SYNs by itself and opens the connection only to clients that answer.",
    )
    .options(&[
        opt("mss", "BYTES", "the server's greatest segment"),
        opt("wscale", "BITS", "the server's window scale"),
        flag("sack-perm", "the server takes selective acknowledgements"),
        flag("timestamp", "the server uses timestamps"),
        flag("ecn", "the server is told of congestion"),
    ])
    .protocols(&[proto::TCP])
    .hooks(&[Hook::Input, Hook::Forward])
    .needs(&[Need::Transport, Need::Connection, Need::Clock]);

    fn read(l: &Loaded) -> Result<Self, Fault> {
        Ok(Synproxy {
            sack: l.has("sack-perm"),
            timestamp: l.has("timestamp"),
            // The real program takes 32 bits and keeps the lowest.
            window_scale: l.plain("wscale", read::word)?.map(|n| n as u8),
            segment: l.plain("mss", read::word)?.map(|n| n as u16),
            ecn: l.has("ecn"),
        })
    }

    fn list(&self, out: &mut Out) {
        let mut saved = Out::new(out.tools, out.family);
        self.write(&mut saved);
        out.word("SYNPROXY");
        out.text.push_str(&saved.text.replace(" --", " "));
        out.text.push(' ');
    }

    fn write(&self, out: &mut Out) {
        if self.sack {
            out.flag("sack-perm");
        }
        if self.timestamp {
            out.flag("timestamp");
        }
        if let Some(bits) = self.window_scale {
            out.opt("wscale", bits);
        }
        if let Some(bytes) = self.segment {
            out.opt("mss", bytes);
        }
        if self.ecn {
            out.flag("ecn");
        }
    }
}
