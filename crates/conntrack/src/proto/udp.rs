//! UDP and UDP-Lite (kernel `nf_conntrack_proto_udp.c`).

use std::time::Duration;

use palisade_wire::{Timestamp, checksum, proto, udp::Udp};

use super::{Context, Update, wrong_sum};
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
    if udp.checksum() == 0 {
        return Ok(());
    }
    context.verify_checksum(proto::UDP)
}

/// Kernel `udplite_error`: the length field says how much the checksum covers, 0 means all, and
/// there must be one.
///
/// The kernel takes the pseudo-header's protocol for UDP's (17), where RFC 3828 §3.1 has UDP-Lite's (136): a
/// datagram that is right is INVALID, unless `nf_conntrack_checksum` is 0.
pub(crate) fn check_lite(context: &Context<'_, '_>) -> Result<(), Invalid> {
    let packet = context.packet;
    let transport = packet.transport();
    let have = packet.transport_len();
    let Some(udp) = Udp::new(transport) else {
        return Err(Invalid::ShortHeader {
            protocol: proto::UDPLITE,
            have: transport.len(),
            need: Udp::HEADER_LEN,
        });
    };
    let coverage = match usize::from(udp.length()) {
        0 => have,
        field if field < Udp::HEADER_LEN || field > have => {
            return Err(Invalid::UdpLiteCoverage { field, have });
        }
        field => field,
    };
    if udp.checksum() == 0 {
        return Err(Invalid::UdpLiteNoChecksum);
    }
    if context.verify && !packet.is_truncated() {
        let pseudo =
            checksum::pseudo_header(packet.source(), packet.destination(), proto::UDP, have);
        let covered = transport.get(..coverage).unwrap_or(transport);
        if checksum::finish(checksum::add(pseudo, covered)) != 0 {
            return Err(wrong_sum(proto::UDPLITE, transport, covered, pseudo));
        }
    }
    Ok(())
}

/// Kernel `nf_conntrack_udplite_packet`: every packet after the first reply makes the flow a
/// stream, without UDP's two seconds.
pub(crate) fn update_lite(connection: &mut Connection, config: &Config) -> Update {
    let mut timeout = config.udp_timeout;
    if connection.replied() {
        timeout = config.udp_timeout_stream;
        connection.status.set(Status::ASSURED);
    }
    Update::Valid {
        timeout: Some(timeout),
        ignored: None,
    }
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
    if !connection.confirmed() {
        connection.set_proto(&start(now));
    }
    Update::Valid {
        timeout: Some(timeout(connection, config, now)),
        ignored: None,
    }
}

/// Seconds that a flow lives on, which a stream is safe from early drop for.
#[inline]
pub(crate) fn timeout(connection: &mut Connection, config: &Config, now: Timestamp) -> u64 {
    if connection.replied() && now > connection.stream_from() {
        connection.status.set(Status::ASSURED);
        config.udp_timeout_stream
    } else {
        config.udp_timeout
    }
}
