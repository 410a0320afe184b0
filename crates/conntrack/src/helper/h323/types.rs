//! Types of H.225.0 (and of H.235 that it contains) that several messages have in common.

use super::per::{Choice, Field, Kind, SKIP, Sequence, closed, extensible, field, maybe};

/// An extensible choice of nothing but names.
const fn names(root: &'static [Field]) -> Choice {
    Choice {
        extensible: true,
        root,
        more: &[],
    }
}

/// A component without content.
pub(super) const fn name(name: &'static str) -> Field {
    field(name, Kind::Null)
}

/// INTEGER (0..65535), and all others of two bytes.
pub(super) const WORD: Kind = Kind::Integer(0, 0xffff);
/// INTEGER (0..255).
pub(super) const BYTE: Kind = Kind::Integer(0, 0xff);
/// INTEGER (1..4294967295): TimeToLive, TimeStamp.
pub(super) const SECONDS: Kind = Kind::Integer(1, u32::MAX);
/// BMPString (SIZE (1..128)): identifiers, passwords.
pub(super) const IDENTIFIER: Kind = Kind::Wide(1, 128);
/// IA5String (SIZE (1..128)) of digits.
pub(super) const DIALED: Kind = Kind::Digits(1, 128);

const H221: Sequence = extensible(
    &[
        field("t35CountryCode", BYTE),
        field("t35Extension", BYTE),
        field("manufacturerCode", WORD),
    ],
    &[],
);

/// NonStandardParameter.
pub(super) const NON_STANDARD: Sequence = closed(&[
    field(
        "nonStandardIdentifier",
        Kind::Choice(&Choice {
            extensible: true,
            root: &[
                field("object", Kind::Oid),
                field("h221NonStandard", Kind::Sequence(&H221)),
            ],
            more: &[],
        }),
    ),
    field("data", Kind::AnyOctets),
]);

/// A NonStandardParameter that may be absent, as most messages have one.
pub(super) const NON_STANDARD_DATA: Field = maybe("nonStandardData", Kind::Sequence(&NON_STANDARD));

/// TransportAddress.
pub(super) const ADDRESS: Choice = Choice {
    extensible: true,
    root: &[
        field(
            "ipAddress",
            Kind::Sequence(&closed(&[
                field("ip", Kind::Octets(4)).keep(),
                field("port", WORD),
            ])),
        )
        .keep(),
        field(
            "ipSourceRoute",
            Kind::Sequence(&extensible(
                &[
                    field("ip", Kind::Octets(4)),
                    field("port", WORD),
                    field("route", Kind::List(&Kind::Octets(4))),
                    field(
                        "routing",
                        Kind::Choice(&names(&[name("strict"), name("loose")])),
                    ),
                ],
                &[],
            )),
        ),
        field(
            "ipxAddress",
            Kind::Sequence(&closed(&[
                field("node", Kind::Octets(6)),
                field("netnum", Kind::Octets(4)),
                field("port", Kind::Octets(2)),
            ])),
        ),
        field(
            "ip6Address",
            Kind::Sequence(&extensible(
                &[field("ip", Kind::Octets(16)).keep(), field("port", WORD)],
                &[],
            )),
        )
        .keep(),
        field("netBios", Kind::Octets(16)),
        field("nsap", Kind::SomeOctets(1, 20)),
        field("nonStandardAddress", Kind::Sequence(&NON_STANDARD)),
    ],
    more: &[],
};

/// At most ten addresses are kept of a list.
pub(super) const ADDRESSES: Kind = Kind::Kept {
    item: &Kind::Choice(&ADDRESS),
    most: 10,
    open: false,
};

/// AliasAddress: those of the first version; later ones have a length.
pub(super) const ALIAS: Choice = Choice {
    extensible: true,
    root: &[
        field("dialedDigits", DIALED),
        field("h323-ID", Kind::Wide(1, 256)),
    ],
    more: &[],
};

/// A list of aliases.
pub(super) const ALIASES: Kind = Kind::List(&Kind::Choice(&ALIAS));

/// VendorIdentifier.
pub(super) const VENDOR: Sequence = extensible(
    &[
        field("vendor", Kind::Sequence(&H221)),
        maybe("productId", Kind::SomeOctets(1, 256)),
        maybe("versionId", Kind::SomeOctets(1, 256)),
    ],
    &[],
);

const PROTOCOL: Kind = Kind::Sequence(&extensible(&[NON_STANDARD_DATA], &[SKIP, SKIP]));
const SUPPORTED_PROTOCOLS: Choice = Choice {
    extensible: true,
    root: &[
        field("nonStandardData", Kind::Sequence(&NON_STANDARD)),
        field("h310", PROTOCOL),
        field("h320", PROTOCOL),
        field("h321", PROTOCOL),
        field("h322", PROTOCOL),
        field("h323", PROTOCOL),
        field("h324", PROTOCOL),
        field("voice", PROTOCOL),
        field("t120-only", PROTOCOL),
    ],
    more: &[],
};

/// EndpointType.
pub(super) const ENDPOINT: Kind = Kind::Sequence(&extensible(
    &[
        NON_STANDARD_DATA,
        maybe("vendor", Kind::Sequence(&VENDOR)),
        maybe(
            "gatekeeper",
            Kind::Sequence(&extensible(&[NON_STANDARD_DATA], &[])),
        ),
        maybe(
            "gateway",
            Kind::Sequence(&extensible(
                &[
                    maybe("protocol", Kind::List(&Kind::Choice(&SUPPORTED_PROTOCOLS))),
                    NON_STANDARD_DATA,
                ],
                &[],
            )),
        ),
        maybe(
            "mcu",
            Kind::Sequence(&extensible(&[NON_STANDARD_DATA], &[SKIP])),
        ),
        maybe(
            "terminal",
            Kind::Sequence(&extensible(&[NON_STANDARD_DATA], &[])),
        ),
        field("mc", Kind::Bool),
        field("undefinedNode", Kind::Bool),
    ],
    &[SKIP, SKIP],
));

/// CallType.
pub(super) const CALL_TYPE: Kind = Kind::Choice(&names(&[
    name("pointToPoint"),
    name("oneToN"),
    name("nToOne"),
    name("nToN"),
]));

/// CallModel.
pub(super) const CALL_MODEL: Kind =
    Kind::Choice(&names(&[name("direct"), name("gatekeeperRouted")]));

/// ConferenceGoal, in its first version.
pub(super) const GOAL: Kind = Kind::Choice(&names(&[name("create"), name("join"), name("invite")]));

/// FacilityReason.
pub(super) const FACILITY_REASON: Kind = Kind::Choice(&names(&[
    name("routeCallToGatekeeper"),
    name("callForwarded"),
    name("routeCallToMC"),
    name("undefinedReason"),
]));

/// ReleaseCompleteReason, in its first version.
pub(super) const RELEASE_REASON: Kind = Kind::Choice(&names(&[
    name("noBandwidth"),
    name("gatekeeperResources"),
    name("unreachableDestination"),
    name("destinationRejection"),
    name("invalidRevision"),
    name("noPermission"),
    name("unreachableGatekeeper"),
    name("gatewayResources"),
    name("badFormatAddress"),
    name("adaptiveBusy"),
    name("inConf"),
    name("undefinedReason"),
]));

/// QseriesOptions.
pub(super) const CALL_SERVICES: Kind = Kind::Sequence(&extensible(
    &[
        field("q932Full", Kind::Bool),
        field("q951Full", Kind::Bool),
        field("q952Full", Kind::Bool),
        field("q953Full", Kind::Bool),
        field("q955Full", Kind::Bool),
        field("q956Full", Kind::Bool),
        field("q957Full", Kind::Bool),
        field(
            "q954Info",
            Kind::Sequence(&extensible(
                &[
                    field("conferenceCalling", Kind::Bool),
                    field("threePartyService", Kind::Bool),
                ],
                &[],
            )),
        ),
    ],
    &[],
));

/// CallIdentifier.
pub(super) const CALL_ID: Kind =
    Kind::Sequence(&extensible(&[field("guid", Kind::Octets(16))], &[]));

const MODE: Kind = Kind::Choice(&Choice {
    extensible: true,
    root: &[
        field("nonStandard", Kind::Sequence(&NON_STANDARD)),
        name("none"),
        name("default"),
    ],
    more: &[],
});
const CAPABILITIES: Kind = Kind::Sequence(&extensible(
    &[
        maybe("nonStandard", Kind::Sequence(&NON_STANDARD)),
        field("encryption", MODE),
        field("authenticaton", MODE),
        field("integrity", MODE),
    ],
    &[],
));

/// H245Security.
pub(super) const H245_SECURITY: Kind = Kind::Choice(&Choice {
    extensible: true,
    root: &[
        field("nonStandard", Kind::Sequence(&NON_STANDARD)),
        name("noSecurity"),
        field("tls", CAPABILITIES),
        field("ipsec", CAPABILITIES),
    ],
    more: &[],
});

const KEY: Kind = Kind::Bits(Some((0, 2048)));
const CLEAR_TOKEN: Kind = Kind::Sequence(&extensible(
    &[
        field("tokenOID", Kind::Oid),
        maybe("timeStamp", SECONDS),
        maybe("password", IDENTIFIER),
        maybe(
            "dhkey",
            Kind::Sequence(&extensible(
                &[
                    field("halfkey", KEY),
                    field("modSize", KEY),
                    field("generator", KEY),
                ],
                &[],
            )),
        ),
        maybe("challenge", Kind::SomeOctets(8, 128)),
        maybe("random", Kind::AnyInteger),
        maybe(
            "certificate",
            Kind::Sequence(&extensible(
                &[
                    field("type", Kind::Oid),
                    field("certificate", Kind::AnyOctets),
                ],
                &[],
            )),
        ),
        maybe("generalID", IDENTIFIER),
        maybe(
            "nonStandard",
            Kind::Sequence(&closed(&[
                field("nonStandardIdentifier", Kind::Oid),
                field("data", Kind::AnyOctets),
            ])),
        ),
    ],
    &[SKIP, SKIP],
));

/// A list of ClearToken.
pub(super) const TOKENS: Kind = Kind::List(&CLEAR_TOKEN);

const PARAMS: Field = field(
    "paramS",
    Kind::Sequence(&extensible(
        &[
            maybe("ranInt", Kind::AnyInteger),
            maybe("iv8", Kind::Octets(8)),
        ],
        &[SKIP],
    )),
);
const HASHED: Kind = Kind::Sequence(&closed(&[
    field("algorithmOID", Kind::Oid),
    PARAMS,
    field("hash", Kind::Bits(None)),
]));
const ENCRYPTED: Kind = Kind::Sequence(&closed(&[
    field("algorithmOID", Kind::Oid),
    PARAMS,
    field("encryptedData", Kind::AnyOctets),
]));
const SIGNED: Kind = Kind::Sequence(&closed(&[
    field("toBeSigned", Kind::Open),
    field("algorithmOID", Kind::Oid),
    PARAMS,
    field("signature", Kind::Bits(None)),
]));

const CRYPTO_TOKEN: Choice = Choice {
    extensible: true,
    root: &[
        field(
            "cryptoEncryptedToken",
            Kind::Sequence(&closed(&[
                field("tokenOID", Kind::Oid),
                field("token", ENCRYPTED),
            ])),
        ),
        field(
            "cryptoSignedToken",
            Kind::Sequence(&closed(&[
                field("tokenOID", Kind::Oid),
                field("token", SIGNED),
            ])),
        ),
        field(
            "cryptoHashedToken",
            Kind::Sequence(&closed(&[
                field("tokenOID", Kind::Oid),
                field("hashedVals", CLEAR_TOKEN),
                field("token", HASHED),
            ])),
        ),
        field("cryptoPwdEncr", ENCRYPTED),
    ],
    more: &[],
};

/// A list of CryptoH323Token.
pub(super) const CRYPTO_TOKENS: Kind = Kind::List(&Kind::Choice(&Choice {
    extensible: true,
    root: &[
        field(
            "cryptoEPPwdHash",
            Kind::Sequence(&closed(&[
                field("alias", Kind::Choice(&ALIAS)),
                field("timeStamp", SECONDS),
                field("token", HASHED),
            ])),
        ),
        field(
            "cryptoGKPwdHash",
            Kind::Sequence(&closed(&[
                field("gatekeeperId", IDENTIFIER),
                field("timeStamp", SECONDS),
                field("token", HASHED),
            ])),
        ),
        field("cryptoEPPwdEncr", ENCRYPTED),
        field("cryptoGKPwdEncr", ENCRYPTED),
        field("cryptoEPCert", SIGNED),
        field("cryptoGKCert", SIGNED),
        field("cryptoFastStart", SIGNED),
        field("nestedcryptoToken", Kind::Choice(&CRYPTO_TOKEN)),
    ],
    more: &[],
}));
