//! UDP (kernel `nf_conntrack_proto_udp.c`) and UDP-Lite's check-free sibling.

use std::time::Duration;

use palisade_wire::{Timestamp, proto, udp::Udp};

use super::{Context, Update};
use crate::config::Config;
use crate::connection::{Connection, ProtoState, Status};
use crate::reason::Invalid;

/// After this long, a flow with replies is a stream.
const STREAM_AFTER: Duration = Duration::from_secs(2);

/// Kernel `udp_error`.
pub(crate) fn check(context: &Context<'_, '_>) -> Result<(), Invalid> {
    let transport = context.packet.transport();
    let have = context.packet.transport_len();
    let Some(udp) = Udp::new(transport) else {
        return Err(Invalid::ShortHeader {
            protocol: proto::UDP,
            have: transport.len(),
            need: Udp::HEADER_LEN,
        });
    };
    let field = usize::from(udp.length());
    if field > have || field < Udp::HEADER_LEN {
        return Err(Invalid::UdpLength { field, have });
    }
    if udp.checksum() != 0 && context.bad_checksum(proto::UDP) {
        return Err(Invalid::Checksum {
            protocol: proto::UDP,
        });
    }
    Ok(())
}

/// The state of a new flow.
pub(crate) fn start(now: Timestamp) -> ProtoState {
    ProtoState::Udp {
        stream_from: now + STREAM_AFTER,
    }
}

/// Kernel `nf_conntrack_udp_packet`: the stream timeout and ASSURED come only when a packet
/// after the first reply arrives later than two seconds after the first packet.
pub(crate) fn update(connection: &mut Connection, config: &Config, now: Timestamp) -> Update {
    let mut timeout = config.udp_timeout;
    if !connection.confirmed() {
        connection.proto = start(now);
    }
    if connection.replied()
        && let ProtoState::Udp { stream_from } = connection.proto
        && now > stream_from
    {
        timeout = config.udp_timeout_stream;
        connection.status.set(Status::ASSURED);
    }
    Update::Valid {
        timeout: Some(timeout),
        ignored: None,
    }
}
