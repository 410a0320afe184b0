//! What helpers remember, in a snapshot.

use super::{HelperState, ftp, h323, pptp, sane, sip};
use crate::snapshot::{In, Out};

/// Numbers of helpers' states.
mod kind {
    pub(super) const NONE: u8 = 0;
    pub(super) const FTP: u8 = 1;
    pub(super) const PPTP: u8 = 2;
    pub(super) const SANE: u8 = 3;
    pub(super) const SIP: u8 = 4;
    pub(super) const H323: u8 = 5;
}

impl HelperState {
    pub(crate) fn save(&self, out: &mut Out) {
        match self {
            HelperState::None => out.byte(kind::NONE),
            HelperState::Ftp(state) => {
                out.byte(kind::FTP);
                state.save(out);
            }
            HelperState::Pptp(state) => {
                out.byte(kind::PPTP);
                state.save(out);
            }
            HelperState::Sane(state) => {
                out.byte(kind::SANE);
                state.save(out);
            }
            HelperState::Sip(state) => {
                out.byte(kind::SIP);
                state.save(out);
            }
            HelperState::H323(state) => {
                out.byte(kind::H323);
                state.save(out);
            }
        }
    }

    pub(crate) fn load(input: &mut In<'_>) -> Option<Self> {
        Some(match input.byte()? {
            kind::NONE => HelperState::None,
            kind::FTP => HelperState::Ftp(Box::new(ftp::FtpState::load(input)?)),
            kind::PPTP => HelperState::Pptp(Box::new(pptp::PptpState::load(input)?)),
            kind::SANE => HelperState::Sane(sane::SaneState::load(input)?),
            kind::SIP => HelperState::Sip(Box::new(sip::SipState::load(input)?)),
            kind::H323 => HelperState::H323(Box::new(h323::H323State::load(input)?)),
            _ => return None,
        })
    }
}
