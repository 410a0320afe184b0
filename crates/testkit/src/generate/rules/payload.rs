//! Menus of matches that look at the bytes of a packet.

use super::menu::{Menu, menu, opt};

pub(super) const MENUS: &[Menu] = &[
    menu(
        "string",
        &[opt("--string", &["\"GET \"", "\"HTTP\"", "\"abc\"", "\"USER\""]).not()],
    )
    // Behind the header of IPv4: the identification of this host's own answers is drawn by chance.
    .then(" --algo bm --from 20"),
    menu(
        "string",
        &[
            opt("--string", &["\"get \"", "\"ok\"", "\"220\""]).not(),
            opt("--hex-string", &["\"|0d0a|\"", "\"|00 01|\""]).not(),
        ],
    )
    .then(" --algo kmp --icase --from 20 --to 200"),
    menu(
        "u32",
        &[opt(
            "--u32",
            &[
                "\"0&0xffff=40:100\"",
                "\"6&0xff=6\"",
                "\"6&0xff=17\"",
                "\"0>>22&0x3c@0>>16=1024:65535\"",
                "\"4&0x1fff=0\"",
                "\"12=0x0a010002\"",
            ],
        )
        .not()],
    )
    .at(|place| !place.six),
    menu(
        "u32",
        &[opt(
            "--u32",
            &[
                "\"4&0xff00=0x0600\"",
                "\"4>>16=0:100\"",
                "\"40>>16=1024:65535\"",
            ],
        )
        .not()],
    )
    .at(|place| place.six),
    menu(
        "bpf",
        &[opt(
            "--bytecode",
            &[
                "\"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"",
                "\"4,48 0 0 8,53 0 1 64,6 0 0 1,6 0 0 0\"",
                "\"1,6 0 0 65535\"",
                "\"1,6 0 0 0\"",
            ],
        )],
    ),
];
