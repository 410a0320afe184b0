//! Types of H.245 around logical channels: what is carried, and over which addresses.

use super::per::{
    Choice, Field, Kind, SKIP, Sequence, closed, extensible, field, maybe, unread, unread_root,
};
use super::types::{BYTE, DIALED, WORD, name};

const CHANNEL: Kind = Kind::Integer(1, 0xffff);
const ANY_U32: Kind = Kind::Integer(0, u32::MAX);

const fn choice(root: &'static [Field], more: &'static [Field]) -> Choice {
    Choice {
        extensible: true,
        root,
        more,
    }
}

/// NonStandardParameter of H.245, which unlike that of H.225.0 is closed throughout.
const NON_STANDARD: Kind = Kind::Sequence(&closed(&[
    field(
        "nonStandardIdentifier",
        Kind::Choice(&Choice {
            extensible: false,
            root: &[
                field("object", Kind::Oid),
                field(
                    "h221NonStandard",
                    Kind::Sequence(&closed(&[
                        field("t35CountryCode", BYTE),
                        field("t35Extension", BYTE),
                        field("manufacturerCode", WORD),
                    ])),
                ),
            ],
            more: &[],
        }),
    ),
    field("data", Kind::AnyOctets),
]));

const BOOL: Field = field("", Kind::Bool);
const BIT_RATE: Kind = Kind::Integer(0, 1_073_741_823);
const BUFFER: Kind = Kind::Integer(0, 262_143);
const LINE: Kind = Kind::Integer(0, 16_383);
const RATE: Kind = Kind::Integer(0, 15);
const MPI: Kind = Kind::Integer(1, 32);

/// VideoCapability; where names are missing, flags follow one another.
const VIDEO: Kind = Kind::Choice(&choice(
    &[
        field("nonStandard", NON_STANDARD),
        field(
            "h261VideoCapability",
            Kind::Sequence(&extensible(
                &[
                    maybe("qcifMPI", Kind::Integer(1, 4)),
                    maybe("cifMPI", Kind::Integer(1, 4)),
                    field("temporalSpatialTradeOffCapability", Kind::Bool),
                    field("maxBitRate", Kind::Integer(1, 19_200)),
                    field("stillImageTransmission", Kind::Bool),
                ],
                &[SKIP],
            )),
        ),
        field(
            "h262VideoCapability",
            Kind::Sequence(&extensible(
                &[
                    // One flag for each of eleven profiles and levels.
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    maybe("videoBitRate", BIT_RATE),
                    maybe("vbvBufferSize", BUFFER),
                    maybe("samplesPerLine", LINE),
                    maybe("linesPerFrame", LINE),
                    maybe("framesPerSecond", RATE),
                    maybe("luminanceSampleRate", ANY_U32),
                ],
                &[SKIP],
            )),
        ),
        field(
            "h263VideoCapability",
            Kind::Sequence(&extensible(
                &[
                    maybe("sqcifMPI", MPI),
                    maybe("qcifMPI", MPI),
                    maybe("cifMPI", MPI),
                    maybe("cif4MPI", MPI),
                    maybe("cif16MPI", MPI),
                    field("maxBitRate", Kind::Integer(1, 192_400)),
                    field("unrestrictedVector", Kind::Bool),
                    field("arithmeticCoding", Kind::Bool),
                    field("advancedPrediction", Kind::Bool),
                    field("pbFrames", Kind::Bool),
                    field("temporalSpatialTradeOffCapability", Kind::Bool),
                    maybe("hrd-B", Kind::Integer(0, 524_287)),
                    maybe("bppMaxKb", WORD),
                ],
                &[SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP, SKIP],
            )),
        ),
        field(
            "is11172VideoCapability",
            Kind::Sequence(&extensible(
                &[
                    field("constrainedBitstream", Kind::Bool),
                    maybe("videoBitRate", BIT_RATE),
                    maybe("vbvBufferSize", BUFFER),
                    maybe("samplesPerLine", LINE),
                    maybe("linesPerFrame", LINE),
                    maybe("pictureRate", RATE),
                    maybe("luminanceSampleRate", ANY_U32),
                ],
                &[SKIP],
            )),
        ),
    ],
    &[],
));

/// Frames or samples in a packet: INTEGER (1..256).
const FRAMES: Kind = Kind::Integer(1, 256);

/// AudioCapability.
const AUDIO: Kind = Kind::Choice(&choice(
    &[
        field("nonStandard", NON_STANDARD),
        field("g711Alaw64k", FRAMES),
        field("g711Alaw56k", FRAMES),
        field("g711Ulaw64k", FRAMES),
        field("g711Ulaw56k", FRAMES),
        field("g722-64k", FRAMES),
        field("g722-56k", FRAMES),
        field("g722-48k", FRAMES),
        field(
            "g7231",
            Kind::Sequence(&closed(&[
                field("maxAl-sduAudioFrames", FRAMES),
                field("silenceSuppression", Kind::Bool),
            ])),
        ),
        field("g728", FRAMES),
        field("g729", FRAMES),
        field("g729AnnexA", FRAMES),
        field(
            "is11172AudioCapability",
            Kind::Sequence(&extensible(
                // Three layers, three sampling rates, one or two channels.
                &[
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    field("bitRate", Kind::Integer(1, 448)),
                ],
                &[],
            )),
        ),
        field(
            "is13818AudioCapability",
            Kind::Sequence(&extensible(
                // Three layers, six sampling rates, nine arrangements of channels, two more flags.
                &[
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    BOOL,
                    field("bitRate", Kind::Integer(1, 1130)),
                ],
                &[],
            )),
        ),
    ],
    &[],
));

/// DataProtocolCapability; separateLANStack is how T.120 has a connection of its own.
const DATA_PROTOCOL: Kind = Kind::Choice(&choice(
    &[
        field("nonStandard", NON_STANDARD),
        name("v14buffered"),
        name("v42lapm"),
        name("hdlcFrameTunnelling"),
        name("h310SeparateVCStack"),
        name("h310SingleVCStack"),
        name("transparent"),
    ],
    &[SKIP, SKIP, SKIP, field("separateLANStack", Kind::Skip)],
));

const T84_PROFILE: Kind = Kind::Choice(&Choice {
    extensible: false,
    root: &[
        name("t84Unrestricted"),
        field(
            "t84Restricted",
            // Nineteen formats.
            Kind::Sequence(&extensible(
                &[
                    BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL, BOOL,
                    BOOL, BOOL, BOOL, BOOL, BOOL, BOOL,
                ],
                &[],
            )),
        ),
    ],
    more: &[],
});

/// DataApplicationCapability.
const DATA: Kind = Kind::Sequence(&extensible(
    &[
        field(
            "application",
            Kind::Choice(&choice(
                &[
                    field("nonStandard", NON_STANDARD),
                    field("t120", DATA_PROTOCOL).keep(),
                    field("dsm-cc", DATA_PROTOCOL),
                    field("userData", DATA_PROTOCOL),
                    field(
                        "t84",
                        Kind::Sequence(&closed(&[
                            field("t84Protocol", DATA_PROTOCOL),
                            field("t84Profile", T84_PROFILE),
                        ])),
                    ),
                    field("t434", DATA_PROTOCOL),
                    field("h224", DATA_PROTOCOL),
                    field(
                        "nlpid",
                        Kind::Sequence(&closed(&[
                            field("nlpidProtocol", DATA_PROTOCOL),
                            field("nlpidData", Kind::AnyOctets),
                        ])),
                    ),
                    name("dsvdControl"),
                    field("h222DataPartitioning", DATA_PROTOCOL),
                ],
                &[],
            )),
        )
        .keep(),
        field("maxBitRate", ANY_U32),
    ],
    &[],
));

const DATA_TYPE: Kind = Kind::Choice(&choice(
    &[
        field("nonStandard", NON_STANDARD),
        name("nullData"),
        field("videoData", VIDEO),
        field("audioData", AUDIO),
        field("data", DATA).keep(),
        field(
            "encryptionData",
            Kind::Choice(&choice(
                &[field("nonStandard", NON_STANDARD), name("h233Encryption")],
                &[],
            )),
        ),
    ],
    &[],
));

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
