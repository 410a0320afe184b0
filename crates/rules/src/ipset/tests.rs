//! What ipset 7.17 and the kernel make of texts: the printed sides are theirs, elements in our order and without seeds.

use super::{parse, print};
use crate::diagnostic::Severity;

#[track_caller]
fn becomes(text: &str, expected: &str) {
    let parsed = parse(text);
    let errors: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
    assert!(!parsed.has_errors(), "{text}\n{errors:?}");
    assert_eq!(print(&parsed.sets), expected, "{text}");
    // What is printed is read as the same sets, apart from the lines.
    assert_eq!(print(&parse(expected).sets), expected);
}

const HASH: &str = "hashsize 1024 maxelem 65536 bucketsize 12";

#[test]
fn create_prints_defaults_and_rounds_sizes() {
    for (typed, printed) in [
        (
            "hash:ip",
            "hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12",
        ),
        (
            "iphash",
            "hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12",
        ),
        (
            "hash:ip,port netmask 24 bucketsize 5 hashsize 100",
            "hash:ip,port family inet hashsize 128 maxelem 65536 bucketsize 6 netmask 24",
        ),
        (
            "hash:ip bitmask 255.0.255.0",
            "hash:ip family inet hashsize 1024 maxelem 65536 bitmask 255.0.255.0 bucketsize 12",
        ),
        (
            "hash:net -6 hashsize 1 maxelem 0x10 initval 7",
            "hash:net family inet6 hashsize 64 maxelem 16 bucketsize 12 initval 0x00000007",
        ),
        (
            "hash:ip skbinfo comment counters timeout 10",
            "hash:ip family inet hashsize 1024 maxelem 65536 timeout 10 counters comment skbinfo bucketsize 12",
        ),
        (
            "hash:ip,mark markmask 0xff",
            "hash:ip,mark family inet markmask 0x000000ff hashsize 1024 maxelem 65536 bucketsize 12",
        ),
        (
            "hash:mac",
            "hash:mac hashsize 1024 maxelem 65536 bucketsize 12",
        ),
        ("list:set", "list:set size 8"),
        ("list:set size 0", "list:set size 4"),
        (
            "bitmap:port range udp:100-90 timeout 0",
            "bitmap:port range 90-100 timeout 0",
        ),
        (
            "bitmap:ip range 10.0.0.0/16 netmask 24",
            "bitmap:ip range 10.0.0.0-10.0.255.255 netmask 24",
        ),
        (
            "bitmap:ip range 10.0.0.1-10.0.0.9 netmask 30",
            "bitmap:ip range 10.0.0.0-10.0.0.11 netmask 30",
        ),
        (
            "bitmap:ip from 10.0.0.1 to 10.0.0.9 comment",
            "bitmap:ip range 10.0.0.1-10.0.0.9 comment",
        ),
    ] {
        becomes(
            &format!("create s {typed}"),
            &format!("create s {printed}\n"),
        );
    }
}

#[test]
fn ranges_become_elements_as_in_the_kernel() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "hash:ip",
            &["10.0.0.6/30"],
            &["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"],
        ),
        ("hash:ip", &["10.0.0.9-10.0.0.8"], &["10.0.0.8", "10.0.0.9"]),
        (
            "hash:net",
            &["10.0.0.1-10.0.0.13", "192.168.1.77/24"],
            &[
                "10.0.0.1",
                "10.0.0.2/31",
                "10.0.0.4/30",
                "10.0.0.8/30",
                "10.0.0.12/31",
                "192.168.1.0/24",
            ],
        ),
        (
            "hash:net,port",
            &[
                "10.0.0.0/24,80-81",
                "10.1.0.0-10.1.0.2,udp:domain",
                "10.2.0.0/16,47:0 nomatch",
            ],
            &[
                "10.0.0.0/24,tcp:80",
                "10.0.0.0/24,tcp:81",
                "10.1.0.0/31,udp:53",
                "10.1.0.2,udp:53",
                "10.2.0.0/16,gre:0 nomatch",
            ],
        ),
        (
            "hash:ip,port,net",
            &["10.0.0.1-10.0.0.2,tcp:1-2,10.0.0.0-10.0.0.2"],
            &[
                "10.0.0.1,tcp:1,10.0.0.0/31",
                "10.0.0.1,tcp:1,10.0.0.2",
                "10.0.0.1,tcp:2,10.0.0.0/31",
                "10.0.0.1,tcp:2,10.0.0.2",
                "10.0.0.2,tcp:1,10.0.0.0/31",
                "10.0.0.2,tcp:1,10.0.0.2",
                "10.0.0.2,tcp:2,10.0.0.0/31",
                "10.0.0.2,tcp:2,10.0.0.2",
            ],
        ),
        (
            "hash:ip,port",
            &[
                "10.1.2.3,icmp:echo-req",
                "10.1.2.3,icmp:77/3",
                "10.1.2.3,vrrp:0",
            ],
            &[
                "10.1.2.3,icmp:echo-request",
                "10.1.2.3,icmp:77/3",
                "10.1.2.3,vrrp:0",
            ],
        ),
        (
            "hash:net,iface",
            &[
                "0.0.0.0/0,eth1 wildcard",
                "10.0.0.0/8,physdev:eth0",
                "10.0.0.0/8,eth0 nomatch",
            ],
            &[
                "0.0.0.0/0,eth1 wildcard",
                "10.0.0.0/8,eth0 nomatch",
                "10.0.0.0/8,physdev:eth0",
            ],
        ),
        (
            "hash:net,port,net",
            &["0.0.0.0/0,sctp:7,10.0.0.0/8"],
            &["0.0.0.0/0,sctp:7,10.0.0.0/8"],
        ),
        (
            "hash:net,net",
            &["10.1.2.3/8,10.0.0.2-10.0.0.3"],
            &["10.0.0.0/8,10.0.0.2/31"],
        ),
        (
            "hash:ip,mac",
            &["10.1.2.3,0:1:2:a:b:c"],
            &["10.1.2.3,00:01:02:0A:0B:0C"],
        ),
        ("hash:ip,mark", &["10.1.2.3,0x10"], &["10.1.2.3,0x00000010"]),
    ];
    for (kind, added, printed) in cases {
        let adds: String = added.iter().map(|e| format!("add s {e}\n")).collect();
        let prints: String = printed.iter().map(|e| format!("add s {e}\n")).collect();
        let extra = match *kind {
            "hash:ip,mark" => "markmask 0xffffffff ",
            _ => "",
        };
        becomes(
            &format!("create s {kind}\n{adds}"),
            &format!("create s {kind} family inet {extra}{HASH}\n{prints}"),
        );
    }
}

#[test]
fn extensions_are_printed_in_the_kernels_order() {
    becomes(
        "create a hash:ip timeout 10 counters comment skbinfo\n\
         add a 1.2.3.4 skbqueue 3 skbprio 1:10 skbmark 0x10/0xff comment \"two  words\" bytes 6 timeout 0 packets 5\n\
         add a 1.2.3.5 comment \"\" skbmark 0x1\n",
        "create a hash:ip family inet hashsize 1024 maxelem 65536 timeout 10 counters comment skbinfo bucketsize 12\n\
         add a 1.2.3.4 timeout 0 packets 5 bytes 6 comment \"two  words\" skbmark 0x10/0xff skbprio 1:10 skbqueue 3\n\
         add a 1.2.3.5 timeout 10 packets 0 bytes 0 skbmark 0x1\n",
    );
}

#[test]
fn commands_work_on_what_came_before() {
    becomes(
        "# comment\n\n\
         create n hash:net\ncreate m hash:net\nadd n 10.0.0.0/8\nadd m 11.0.0.0/8\n\
         create x list:set counters\nadd x n packets 16\nadd x m before n\n-exist add x n\n\
         create b bitmap:ip,mac range 10.0.0.0/30\nadd b 10.0.0.1\nadd b 10.0.0.1,1:2:3:a:b:c\n\
         swap n m\ncreate y hash:net\nrename y z\ndestroy z\nflush m\nCOMMIT\n",
        "create n hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12\n\
         add n 11.0.0.0/8\n\
         create m hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12\n\
         create b bitmap:ip,mac range 10.0.0.0-10.0.0.3\n\
         add b 10.0.0.1,01:02:03:0A:0B:0C\n\
         create x list:set size 8 counters\n\
         add x m packets 0 bytes 0\n\
         add x n packets 16 bytes 0\n",
    );
}

#[test]
fn renewing_an_element_keeps_what_it_counted_and_its_wildcard() {
    becomes(
        "create a hash:net,iface counters\n\
         add a 10.0.0.0/8,eth wildcard packets 7 bytes 9\n\
         -! add a 10.0.0.0/8,eth0 nomatch bytes 5\n",
        "create a hash:net,iface family inet hashsize 1024 maxelem 65536 counters bucketsize 12\n\
         add a 10.0.0.0/8,eth nomatch wildcard packets 7 bytes 5\n",
    );
}

/// Line behind the declarations, part that is marked, beginning of the help.
#[test]
fn what_the_kernel_refuses_is_an_error_with_its_place() {
    const SETS: &str = "create a hash:ip counters\ncreate n hash:net\ncreate l list:set\n\
         create b bitmap:ip range 10.0.0.0/24\ncreate p hash:ip,port\ncreate n6 hash:net family inet6\n\
         create ni hash:net,iface\ncreate bp bitmap:port range 10-20\n";
    for (line, marked, help) in [
        ("add a 0.0.0.0", "0.0.0.0", ""),
        ("add a 1.2.3.4/0", "1.2.3.4/0", "two elements"),
        (
            "add a 1.2.3.4 timeout 5",
            "timeout",
            "create a hash:ip ... timeout 0",
        ),
        ("add a 10.0.0.0 nomatch", "nomatch", "comment"),
        ("add a 10.0.0.0 packts 3", "packts", "packets"),
        (
            "add n 0.0.0.0-255.255.255.255",
            "0.0.0.0-255.255.255.255",
            "",
        ),
        ("add n 10.0.0.0/33", "33", "a number from 0 to 32"),
        (
            "add n 2001:db8::/32",
            "2001:db8::",
            "create the set with family inet6",
        ),
        ("add l l", "l", ""),
        ("add l zz", "zz", ""),
        ("add l a before n", "a", ""),
        ("add b 10.0.1.0", "10.0.1.0", "10.0.0.0 to 10.0.0.255"),
        (
            "add b 10.0.0.250-10.0.1.1",
            "10.0.0.250-10.0.1.1",
            "10.0.0.0",
        ),
        ("add p 10.0.0.1", "10.0.0.1", "such as 192.0.2.1,tcp:80"),
        ("add p 10.0.0.1,tpc:80", "tpc", "tcp"),
        ("add p 10.0.0.1,esp:5", "5", "0"),
        ("add p 10.0.0.1,icmpv6:echo-request", "icmpv6", "icmp"),
        ("add n6 ::1-::2", "::1-::2", "prefixes"),
        (
            "add ni 1.2.3.4,abcdefghijklmnop",
            "abcdefghijklmnop",
            "at most 15",
        ),
        ("add bp sctp:11", "sctp:11", ""),
        ("create x hash:ip netmask 8 bitmask 1.2.3.4", "1.2.3.4", ""),
        ("create x hash:net netmask 8", "netmask", ""),
        (
            "create x bitmap:ip range 10.0.0.0/15",
            "bitmap:ip",
            "at most 65536",
        ),
        ("create x bitmap:ip", "bitmap:ip", "range 192.0.2.0/24"),
        ("create x hash:ip timeout 2147484", "2147484", ""),
        ("create x hash:io", "hash:io", "hash:ip"),
        ("create a hash:ip", "a", "-exist"),
        ("-exist create a hash:ip", "a", "-exist"),
        ("destroy zz", "zz", ""),
        ("rename a n", "n", "-exist"),
        ("swap a p", "p", ""),
        ("del a 1.2.3.4", "1.2.3.4", "-exist"),
        ("del l a before n", "a", ""),
        ("foo", "foo", ""),
        ("add a \"1.2.3.4", "\"", ""),
    ] {
        let text = format!("{SETS}{line}\n");
        let parsed = parse(&text);
        let [found] = parsed.diagnostics.as_slice() else {
            panic!("{line}: {:?}", parsed.diagnostics);
        };
        assert_eq!(found.severity, Severity::Error, "{line}");
        assert_eq!(found.line, 9, "{line}");
        assert_eq!(&text[found.start..found.end], marked, "{line}");
        let given = found.help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{line}: {given}");
    }
}

#[test]
fn what_the_kernel_takes_is_taken() {
    for line in [
        "add a 10.0.0.0/30 packets 18446744073709551614",
        "-exist del a 1.2.3.4",
        "--exist del a 1.2.3.4",
        "-exist create a hash:ip counters hashsize 64 maxelem 16777216",
        "ad a 1.2.3.4",
        "-A a 1.2.3.4 --packets 5",
        "ipset add a 1.2.3.4",
        "test a 1.2.3.4",
        "add a \"1.2.3.4\"",
    ] {
        let parsed = parse(&format!(
            "create a hash:ip counters maxelem 16777216\n{line}\n"
        ));
        assert!(!parsed.has_errors(), "{line}: {:?}", parsed.diagnostics);
    }
}

#[test]
fn a_full_set_refuses_and_a_text_has_a_bound() {
    let full = parse("create a hash:ip maxelem 3\nadd a 10.0.0.0/29\n");
    assert_eq!(full.diagnostics[0].code, "set-full");
    assert_eq!(full.sets.sets[0].len(), 3);
    let bound = parse("create a hash:ip maxelem 4294967295\nadd a 10.0.0.0/8\n");
    assert_eq!(bound.diagnostics[0].code, "too-many-elements");
}
