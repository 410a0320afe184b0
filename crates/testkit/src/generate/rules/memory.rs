//! Menus of matches that remember packets, or measure them.

use super::menu::{Choice, Menu, flag, menu, opt};

const FOUR: &str = " --name four --mask 255.255.255.255";
const SIX: &str = " --name six --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

pub(super) const MENUS: &[Menu] = &[
    menu("limit", &[opt("--limit", &["1/min", "20/hour", "3/hour"])]).then(" --limit-burst 3"),
    menu("limit", &[opt("--limit-burst", &["1", "3", "10"])]).then(" --limit 20/hour"),
    recent(FOUR).at(|place| !place.six),
    recent(SIX).at(|place| place.six),
    menu(
        "connbytes",
        &[opt("--connbytes", &["0:10", "1:3", "200:100000", "1000"]).not()],
    )
    .then(" --connbytes-mode packets --connbytes-dir both")
    .at(|place| place.tracked),
    menu(
        "connbytes",
        &[opt("--connbytes", &["0:100", "200:100000", "1000"]).not()],
    )
    .then(" --connbytes-mode bytes --connbytes-dir reply")
    .at(|place| place.tracked),
    // Not connlimit: what it counts depends on which packets come within one tick of the kernel's clock.
    menu(
        "hashlimit",
        &[
            opt("--hashlimit-upto", &["20/hour", "3/hour"]),
            opt("--hashlimit-above", &["20/hour", "1/min"]),
        ],
    )
    .then(" --hashlimit-burst 3 --hashlimit-mode srcip,dstport --hashlimit-name chance")
    .at(|place| !place.six && place.table == "filter"),
    menu("statistic", &[opt("--every", &["2", "3", "7"]).not()]).then(" --mode nth --packet 1"),
    menu("quota", &[opt("--quota", &["200", "1000", "100000"]).not()]),
    // The kernel's clock is not the script's: only what is true or false at any time.
    menu(
        "time",
        &[opt("--weekdays", &["Mon,Tue,Wed,Thu,Fri,Sat,Sun"]).not()],
    ),
    menu(
        "cluster",
        &[opt("--cluster-local-node", &["1", "2", "3"]).not()],
    )
    .then(" --cluster-total-nodes 3 --cluster-hash-seed 0xdeadbeef")
    .at(|place| !place.six && place.tracked && place.chain == "PREROUTING"),
];

/// What a rule does with a list.
const ACTIONS: &[Choice] = &[
    flag("--set").not(),
    flag("--set --rdest"),
    flag("--update --seconds 60").not(),
    flag("--update --seconds 60 --hitcount 3").not(),
    flag("--rcheck --hitcount 2").not(),
    flag("--rcheck --rdest").not(),
    flag("--remove").not(),
    flag("--rcheck --seconds 60 --hitcount 4 --rttl").not(),
    flag("--update").not(),
];

/// A list of `recent`, of one family.
const fn recent(tail: &'static str) -> Menu {
    menu("recent", ACTIONS).then(tail)
}
