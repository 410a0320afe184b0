//! H.245: logical channels of a call are opened, and acknowledged.

use std::ops::Range;

use palisade_wire::proto;

use super::media::{OPEN_CHANNEL, OPEN_CHANNEL_ACK};
use super::per::{self, Choice, Field, Kind, Value, field};
use super::{Announced, H323State, Outcome, media_address, nat};
use crate::helper::{Call, Proposal};

const UNREAD: Field = field("", Kind::Unread);

/// MultimediaSystemControlMessage: of requests the fourth is read, of responses the sixth; of those that
/// later versions added, so many are known to be of no interest.
pub(super) const MESSAGE: Kind = Kind::Choice(&Choice {
    extensible: true,
    root: &[
        field(
            "request",
            Kind::Choice(&Choice {
                extensible: true,
                root: &[
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    field("openLogicalChannel", Kind::Sequence(&OPEN_CHANNEL)).keep(),
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                ],
                more: &[UNREAD; 4],
            }),
        )
        .keep(),
        field(
            "response",
            Kind::Choice(&Choice {
                extensible: true,
                root: &[
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    field("openLogicalChannelAck", Kind::Sequence(&OPEN_CHANNEL_ACK)).keep(),
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                    UNREAD,
                ],
                more: &[UNREAD; 5],
            }),
        )
        .keep(),
        // Commands and indications.
        UNREAD,
        UNREAD,
    ],
    more: &[],
});

/// Reads the message in a frame (kernel `h245_help`).
pub(super) fn inspect(
    state: &mut H323State,
    call: &mut Call<'_, '_>,
    frame: Range<usize>,
) -> Result<bool, &'static str> {
    let bytes = call.payload().get(..frame.end).unwrap_or_default();
    let Ok(message) = per::decode(bytes, frame.start, &MESSAGE) else {
        return Ok(false);
    };
    control(state, call, &message)?;
    Ok(true)
}

/// A control message, of its own connection or tunnelled in call signalling (kernel `process_h245`).
pub(super) fn control(state: &mut H323State, call: &mut Call<'_, '_>, message: &Value) -> Outcome {
    let of = |kind, name| message.chosen(kind).and_then(|m| m.chosen(name));
    if let Some(channel) = of("request", "openLogicalChannel") {
        return open(state, call, channel);
    }
    if let Some(channel) = of("response", "openLogicalChannelAck") {
        return opened(state, call, channel);
    }
    Ok(())
}

/// A logical channel is opened (kernel `process_olc`).
pub(super) fn open(state: &mut H323State, call: &mut Call<'_, '_>, channel: &Value) -> Outcome {
    const H2250: &str = "h2250LogicalChannelParameters";
    let forward = channel.get("forwardLogicalChannelParameters");
    let reverse = channel.get("reverseLogicalChannelParameters");
    for side in [forward, reverse].into_iter().flatten() {
        if let Some(media) = side
            .get("multiplexParameters")
            .and_then(|m| m.chosen(H2250))
        {
            expect_media(state, call, media)?;
        }
    }
    let separate = forward
        .and_then(|f| f.get("dataType"))
        .and_then(|d| d.chosen("data"))
        .and_then(|d| d.get("application"))
        .and_then(|a| a.chosen("t120"))
        .and_then(|t| t.chosen("separateLANStack"));
    if separate.is_some() {
        expect_stack(call, channel)?;
    }
    Ok(())
}

/// A logical channel was opened (kernel `process_olca`).
fn opened(state: &mut H323State, call: &mut Call<'_, '_>, channel: &Value) -> Outcome {
    if let Some(media) = channel
        .get("reverseLogicalChannelParameters")
        .and_then(|r| r.get("multiplexParameters"))
        .and_then(|m| m.chosen("h2250LogicalChannelParameters"))
    {
        expect_media(state, call, media)?;
    }
    if let Some(media) = channel
        .get("forwardMultiplexAckParameters")
        .and_then(|f| f.chosen("h2250LogicalChannelAckParameters"))
    {
        expect_media(state, call, media)?;
    }
    expect_stack(call, channel)
}

/// Kernel `process_h245_channel`.
fn expect_media(state: &mut H323State, call: &mut Call<'_, '_>, parameters: &Value) -> Outcome {
    for name in ["mediaChannel", "mediaControlChannel"] {
        if let Some(place) = parameters.get(name) {
            expect_pair(state, call, place)?;
        }
    }
    Ok(())
}

/// The address if it is the speaker's own, and a port is given.
fn own(call: &Call<'_, '_>, place: &Value) -> Option<Announced> {
    let own = call.tuple(call.direction()).source;
    media_address(call, place).filter(|a| a.address == own && a.port != 0)
}

/// RTP on an even port and RTCP on the next one are expected together, whichever of them is announced
/// (kernel `expect_rtp_rtcp`).
fn expect_pair(state: &mut H323State, call: &mut Call<'_, '_>, place: &Value) -> Outcome {
    let Some(announced) = own(call, place) else {
        return Ok(());
    };
    let there = call.tuple(call.direction().opposite());
    let pair = [announced.port & !1, announced.port | 1].map(|port| {
        let mut proposal = Proposal::new(there.destination, port, proto::UDP).from(there.source);
        announced.told_by(&mut proposal);
        proposal
    });
    if nat::speaker_translated(call) {
        return nat::expect_pair(state, call, pair, announced);
    }
    match call.expect_both(&pair) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.reason()),
    }
}

/// T.120 in a connection of its own, and any number of them (kernel `expect_t120`).
fn expect_stack(call: &mut Call<'_, '_>, channel: &Value) -> Outcome {
    let Some(announced) = channel
        .get("separateStack")
        .and_then(|s| s.get("networkAddress"))
        .and_then(|n| n.chosen("localAreaAddress"))
        .and_then(|place| own(call, place))
    else {
        return Ok(());
    };
    let there = call.tuple(call.direction().opposite());
    let mut proposal =
        Proposal::new(there.destination, announced.port, proto::TCP).from(there.source);
    proposal.permanent = true;
    announced.told_by(&mut proposal);
    if nat::speaker_translated(call) {
        return nat::expect_near(call, proposal, announced.port, announced).map(|_| ());
    }
    match call.expect(&proposal) {
        Ok(_) => Ok(()),
        Err(refused) => Err(refused.reason()),
    }
}
