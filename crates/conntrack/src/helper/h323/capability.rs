//! Types of H.245 that say what a logical channel carries.

use super::per::{Choice, Field, Kind, SKIP, closed, extensible, field, maybe};
use super::types::{BYTE, WORD, name};

const ANY_U32: Kind = Kind::Integer(0, u32::MAX);

/// A choice that can be extended.
pub(super) const fn choice(root: &'static [Field], more: &'static [Field]) -> Choice {
    Choice {
        extensible: true,
        root,
        more,
    }
}

/// NonStandardParameter of H.245, which unlike that of H.225.0 is closed throughout.
pub(super) const NON_STANDARD: Kind = Kind::Sequence(&closed(&[
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

/// DataType.
pub(super) const DATA_TYPE: Kind = Kind::Choice(&choice(
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
