//! Types of H.245 around logical channels: over which addresses they run.

use super::capability::{DATA_TYPE, NON_STANDARD, choice};
use super::per::{
    Choice, Kind, SKIP, Sequence, closed, extensible, field, maybe, unread, unread_root,
};
use super::types::{BYTE, DIALED, WORD, name};

const CHANNEL: Kind = Kind::Integer(1, 0xffff);

const H222: Kind = Kind::Sequence(&extensible(
    &[
        field("resourceID", WORD),
        field("subChannelID", Kind::Integer(0, 8191)),
        maybe("pcr-pid", Kind::Integer(0, 8191)),
        maybe("programDescriptors", Kind::AnyOctets),
        maybe("streamDescriptors", Kind::AnyOctets),
    ],
    &[],
));

const H223: Kind = Kind::Sequence(&extensible(
    &[
        field(
            "adaptationLayerType",
            Kind::Choice(&choice(
                &[
                    field("nonStandard", NON_STANDARD),
                    name("al1Framed"),
                    name("al1NotFramed"),
                    name("al2WithoutSequenceNumbers"),
                    name("al2WithSequenceNumbers"),
                    field(
                        "al3",
                        Kind::Sequence(&closed(&[
                            field("controlFieldOctets", Kind::Integer(0, 2)),
                            field("sendBufferSize", Kind::Integer(0, 16_777_215)),
                        ])),
                    ),
                ],
                &[],
            )),
        ),
        field("segmentableFlag", Kind::Bool),
    ],
    &[],
));

const V76: Kind = Kind::Sequence(&extensible(
    &[
        field(
            "hdlcParameters",
            Kind::Sequence(&extensible(
                &[
                    field(
                        "crcLength",
                        Kind::Choice(&choice(
                            &[name("crc8bit"), name("crc16bit"), name("crc32bit")],
                            &[],
                        )),
                    ),
                    field("n401", Kind::Integer(1, 4095)),
                    field("loopbackTestProcedure", Kind::Bool),
                ],
                &[],
            )),
        ),
        field(
            "suspendResume",
            Kind::Choice(&choice(
                &[
                    name("noSuspendResume"),
                    name("suspendResumewAddress"),
                    name("suspendResumewoAddress"),
                ],
                &[],
            )),
        ),
        field("uIH", Kind::Bool),
        field(
            "mode",
            Kind::Choice(&choice(
                &[
                    field(
                        "eRM",
                        Kind::Sequence(&extensible(
                            &[
                                field("windowSize", Kind::Integer(1, 127)),
                                field(
                                    "recovery",
                                    Kind::Choice(&choice(
                                        &[name("rej"), name("sREJ"), name("mSREJ")],
                                        &[],
                                    )),
                                ),
                            ],
                            &[],
                        )),
                    ),
                    name("uNERM"),
                ],
                &[],
            )),
        ),
        field(
            "v75Parameters",
            Kind::Sequence(&extensible(&[field("audioHeaderPresent", Kind::Bool)], &[])),
        ),
    ],
    &[],
));

/// TransportAddress of H.245.
const ADDRESS: Kind = Kind::Choice(&choice(
    &[
        field(
            "unicastAddress",
            Kind::Choice(&choice(
                &[
                    field(
                        "iPAddress",
                        Kind::Sequence(&extensible(
                            &[
                                field("network", Kind::Octets(4)).keep(),
                                field("tsapIdentifier", WORD),
                            ],
                            &[],
                        )),
                    )
                    .keep(),
                    field(
                        "iPXAddress",
                        Kind::Sequence(&extensible(
                            &[
                                field("node", Kind::Octets(6)),
                                field("netnum", Kind::Octets(4)),
                                field("tsapIdentifier", Kind::Octets(2)),
                            ],
                            &[],
                        )),
                    ),
                    field(
                        "iP6Address",
                        Kind::Sequence(&extensible(
                            &[
                                field("network", Kind::Octets(16)).keep(),
                                field("tsapIdentifier", WORD),
                            ],
                            &[],
                        )),
                    )
                    .keep(),
                    field("netBios", Kind::Octets(16)),
                    field(
                        "iPSourceRouteAddress",
                        Kind::Sequence(&extensible(
                            &[
                                field(
                                    "routing",
                                    Kind::Choice(&Choice {
                                        extensible: false,
                                        root: &[name("strict"), name("loose")],
                                        more: &[],
                                    }),
                                ),
                                field("network", Kind::Octets(4)),
                                field("tsapIdentifier", WORD),
                                field("route", Kind::List(&Kind::Octets(4))),
                            ],
                            &[],
                        )),
                    ),
                ],
                &[],
            )),
        )
        .keep(),
        field(
            "multicastAddress",
            Kind::Choice(&choice(
                &[
                    field(
                        "iPAddress",
                        Kind::Sequence(&extensible(
                            &[
                                field("network", Kind::Octets(4)),
                                field("tsapIdentifier", WORD),
                            ],
                            &[],
                        )),
                    ),
                    field(
                        "iP6Address",
                        Kind::Sequence(&extensible(
                            &[
                                field("network", Kind::Octets(16)),
                                field("tsapIdentifier", WORD),
                            ],
                            &[],
                        )),
                    ),
                ],
                &[],
            )),
        ),
    ],
    &[],
));

/// H2250LogicalChannelParameters: not read beyond mediaControlChannel, behind which five more components of
/// the first version may stand.
const H2250: Kind = Kind::Sequence(&unread_root(
    &[
        maybe("nonStandard", Kind::List(&NON_STANDARD)),
        field("sessionID", BYTE),
        maybe("associatedSessionID", Kind::Integer(1, 255)),
        maybe("mediaChannel", ADDRESS).keep(),
        maybe("mediaGuaranteedDelivery", Kind::Bool),
        maybe("mediaControlChannel", ADDRESS).keep(),
    ],
    5,
));

const H2250_ACK: Kind = Kind::Sequence(&extensible(
    &[
        maybe("nonStandard", Kind::List(&NON_STANDARD)),
        maybe("sessionID", Kind::Integer(1, 255)),
        maybe("mediaChannel", ADDRESS).keep(),
        maybe("mediaControlChannel", ADDRESS).keep(),
        maybe("dynamicRTPPayloadType", Kind::Integer(96, 127)),
    ],
    &[SKIP, SKIP],
));

/// NetworkAccessParameters.
const NETWORK: Kind = Kind::Sequence(&extensible(
    &[
        maybe(
            "distribution",
            Kind::Choice(&choice(&[name("unicast"), name("multicast")], &[])),
        ),
        field(
            "networkAddress",
            Kind::Choice(&choice(
                &[
                    field(
                        "q2931Address",
                        Kind::Sequence(&extensible(
                            &[
                                field(
                                    "address",
                                    Kind::Choice(&choice(
                                        &[
                                            field("internationalNumber", Kind::Digits(1, 16)),
                                            field("nsapAddress", Kind::SomeOctets(1, 20)),
                                        ],
                                        &[],
                                    )),
                                ),
                                maybe("subaddress", Kind::SomeOctets(1, 20)),
                            ],
                            &[],
                        )),
                    ),
                    field("e164Address", DIALED),
                    field("localAreaAddress", ADDRESS).keep(),
                ],
                &[],
            )),
        )
        .keep(),
        field("associateConference", Kind::Bool),
        maybe("externalReference", Kind::SomeOctets(1, 255)),
    ],
    &[SKIP],
));

/// OpenLogicalChannel.
pub(super) const OPEN_CHANNEL: Sequence = unread(
    &[
        field("forwardLogicalChannelNumber", CHANNEL),
        field(
            "forwardLogicalChannelParameters",
            Kind::Sequence(&extensible(
                &[
                    maybe("portNumber", WORD),
                    field("dataType", DATA_TYPE).keep(),
                    field(
                        "multiplexParameters",
                        Kind::Choice(&choice(
                            &[
                                field("h222LogicalChannelParameters", H222),
                                field("h223LogicalChannelParameters", H223),
                                field("v76LogicalChannelParameters", V76),
                            ],
                            &[field("h2250LogicalChannelParameters", H2250).keep()],
                        )),
                    )
                    .keep(),
                ],
                &[SKIP, SKIP],
            )),
        )
        .keep(),
        maybe(
            "reverseLogicalChannelParameters",
            Kind::Sequence(&extensible(
                &[
                    field("dataType", DATA_TYPE),
                    maybe(
                        "multiplexParameters",
                        Kind::Choice(&choice(
                            &[
                                field("h223LogicalChannelParameters", H223),
                                field("v76LogicalChannelParameters", V76),
                            ],
                            &[field("h2250LogicalChannelParameters", H2250).keep()],
                        )),
                    )
                    .keep(),
                ],
                &[SKIP, SKIP],
            )),
        )
        .keep(),
    ],
    &[maybe("separateStack", NETWORK).keep()],
);

/// OpenLogicalChannelAck.
pub(super) const OPEN_CHANNEL_ACK: Sequence = unread(
    &[
        field("forwardLogicalChannelNumber", CHANNEL),
        maybe(
            "reverseLogicalChannelParameters",
            Kind::Sequence(&extensible(
                &[
                    field("reverseLogicalChannelNumber", CHANNEL),
                    maybe("portNumber", WORD),
                    maybe(
                        "multiplexParameters",
                        Kind::Choice(&choice(
                            &[field("h222LogicalChannelParameters", H222)],
                            &[field("h2250LogicalChannelParameters", H2250).keep()],
                        )),
                    )
                    .keep(),
                ],
                &[SKIP],
            )),
        )
        .keep(),
    ],
    &[
        maybe("separateStack", NETWORK).keep(),
        maybe(
            "forwardMultiplexAckParameters",
            Kind::Choice(&choice(
                &[field("h2250LogicalChannelAckParameters", H2250_ACK).keep()],
                &[],
            )),
        )
        .keep(),
    ],
);
