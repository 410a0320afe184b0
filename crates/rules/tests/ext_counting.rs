//! Matches and targets that count, measure and go by the clock, line by line as iptables 1.8.9 takes, prints and
//! lists them, legacy and nft alike: connmark, connlimit, hashlimit, statistic, quota, time, connbytes, cluster, cpu,
//! AUDIT, IDLETIMER, TEE, RATEEST, HMARK, CLASSIFY.

// A diagnostic is what these tests are about.
#![allow(clippy::result_large_err)]

use palisade_rules::{Diagnostic, Family, Ruleset, Severity, TableKind, Tools, list, parse, print};

/// `FAMILY CHAIN OPTIONS => what is saved`; `=` where that is what was written.
const SAVED: &str = r#"
4 INPUT -m connmark --mark 5 => -m connmark --mark 0x5
4 INPUT -m connmark ! --mark 0x5/0xf => =
4 INPUT -m connmark --mark 010/7 => -m connmark --mark 0x8/0x7
4 INPUT -m connlimit --connlimit-above 3 => -m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr
4 INPUT -m connlimit ! --connlimit-above 3 --connlimit-mask 24 => -m connlimit --connlimit-upto 3 --connlimit-mask 24 --connlimit-saddr
4 INPUT -m connlimit --connlimit-upto 0 --connlimit-daddr --connlimit-mask 0 => -m connlimit --connlimit-upto 0 --connlimit-mask 0 --connlimit-daddr
4 INPUT -m connlimit ! --connlimit-upto 7 --connlimit-saddr => -m connlimit --connlimit-above 7 --connlimit-mask 32 --connlimit-saddr
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 255.255.0.0 => -m connlimit --connlimit-above 3 --connlimit-mask 16 --connlimit-saddr
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 255.0.255.0 => -m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr
6 INPUT -m connlimit --connlimit-above 3 => -m connlimit --connlimit-above 3 --connlimit-mask 128 --connlimit-saddr
6 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 33 => -m connlimit --connlimit-above 3 --connlimit-mask 33 --connlimit-saddr
6 INPUT -m connlimit --connlimit-above 0x10 --connlimit-mask 64 --connlimit-daddr => -m connlimit --connlimit-above 16 --connlimit-mask 64 --connlimit-daddr
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 33 => -m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr
4 INPUT -m hashlimit --hashlimit 5/s --hashlimit-name t1 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t1
4 INPUT -m hashlimit ! --hashlimit-above 5/s --hashlimit-name t1 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t1
4 INPUT -m hashlimit ! --hashlimit-upto 5 --hashlimit-name t1 => -m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-name t1
4 INPUT -m hashlimit --hashlimit-upto 90/min --hashlimit-name t2 => -m hashlimit --hashlimit-upto 90/min --hashlimit-burst 5 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 7/m --hashlimit-burst 100 --hashlimit-name t2 => -m hashlimit --hashlimit-upto 7/min --hashlimit-burst 100 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 3000/sec --hashlimit-name t2 => -m hashlimit --hashlimit-upto 3003/sec --hashlimit-burst 5 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 1000000/sec --hashlimit-name t2 => -m hashlimit --hashlimit-upto 1000000/sec --hashlimit-burst 5 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name t2 => =
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 5x --hashlimit-name t2 => -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 5 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 2k --hashlimit-name t2 => -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 2048 --hashlimit-name t2
4 INPUT -m hashlimit --hashlimit-upto 1kb/s --hashlimit-name t3 => =
4 INPUT -m hashlimit --hashlimit-upto 1500b/s --hashlimit-name t3 => -m hashlimit --hashlimit-upto 1488b/s --hashlimit-name t3
4 INPUT -m hashlimit --hashlimit-upto 10b/s --hashlimit-name t3 => -m hashlimit --hashlimit-upto 0b/s --hashlimit-name t3
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 10mb --hashlimit-name t3 => =
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 10mb --hashlimit-htable-expire 60000 --hashlimit-name t3 => -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 10mb --hashlimit-name t3
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 1500kb --hashlimit-name t3 => -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 2mb --hashlimit-name t3
4 INPUT -m hashlimit --hashlimit-upto 33gb/s --hashlimit-name t3 => -m hashlimit --hashlimit-upto 32b/s --hashlimit-name t3
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-mode dstport,srcip,dstip,srcport => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip,srcport,dstip,dstport --hashlimit-name t4
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 24 --hashlimit-dstmask 32 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t4 --hashlimit-srcmask 24
6 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 64 --hashlimit-dstmask 128 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t4 --hashlimit-srcmask 64
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t5 --hashlimit-htable-size 100 --hashlimit-htable-max 5000000 --hashlimit-htable-gcinterval 1000 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t5 --hashlimit-htable-size 100 --hashlimit-htable-max 1048576
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t5 --hashlimit-htable-gcinterval 10 --hashlimit-htable-expire 1000 => -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-name t5 --hashlimit-htable-gcinterval 10
4 INPUT -m hashlimit --hashlimit-upto 5/min --hashlimit-name t5 --hashlimit-htable-expire 1000 => -m hashlimit --hashlimit-upto 5/min --hashlimit-burst 5 --hashlimit-name t5 --hashlimit-htable-expire 1000
4 INPUT -m hashlimit --hashlimit-upto 10/min --hashlimit-name t6 --hashlimit-rate-match => -m hashlimit --hashlimit-upto 10/sec --hashlimit-burst 5 --hashlimit-name t6 --hashlimit-htable-expire 60000 --hashlimit-rate-match --hashlimit-rate-interval 60
4 INPUT -m hashlimit --hashlimit-upto 10/min --hashlimit-name t6 --hashlimit-rate-match --hashlimit-rate-interval 1 => -m hashlimit --hashlimit-upto 10/sec --hashlimit-burst 5 --hashlimit-name t6 --hashlimit-htable-expire 60000 --hashlimit-rate-match
4 INPUT -m hashlimit --hashlimit-above 10mb/s --hashlimit-name t7 --hashlimit-rate-match => =
4 INPUT -m hashlimit --hashlimit-above 10/s --hashlimit-name t8 --hashlimit-rate-interval 5 => -m hashlimit --hashlimit-above 10/sec --hashlimit-burst 5 --hashlimit-name t8
4 INPUT -m statistic --mode random --probability 0.5 => -m statistic --mode random --probability 0.50000000000
4 INPUT -m statistic --mode random ! --probability 1 => -m statistic --mode random ! --probability 1.00000000000
4 INPUT -m statistic --mode random --probability 0.000244140625 => -m statistic --mode random --probability 0.00024414062
4 INPUT -m statistic --mode random --probability 1e-3 => -m statistic --mode random --probability 0.00100000016
4 INPUT -m statistic --mode nth --every 5 --packet 4 => =
4 INPUT -m statistic --mode nth ! --every 5 --packet 0 => =
4 INPUT -m quota --quota 0x10 => -m quota --quota 16
4 INPUT -m quota ! --quota 5 => =
4 INPUT -m time => -m time --datestop 2038-01-19T03:14:07
4 INPUT -m time --timestart 8:00 --timestop 17:30 => -m time --timestart 08:00:00 --timestop 17:30:00 --datestop 2038-01-19T03:14:07
4 INPUT -m time --timestart 22:00 --timestop 2:00:01 --contiguous => -m time --timestart 22:00:00 --timestop 02:00:01 --datestop 2038-01-19T03:14:07 --contiguous
4 INPUT -m time --timestart 8: => -m time --timestart 08:00:00 --timestop 23:59:59 --datestop 2038-01-19T03:14:07
4 INPUT -m time --datestart 2024 --datestop 2024-02-30 => -m time --datestart 2024-01-01T00:00:00 --datestop 2024-03-01T00:00:00
4 INPUT -m time --datestart 2024-12-31T23:59:59 --datestop 2038-12-31 => -m time --datestart 2024-12-31T23:59:59 --datestop 2038-12-31T00:00:00
4 INPUT -m time --datestart 2024-1-1T5 => -m time --datestart 2024-01-01T05:00:00 --datestop 2038-01-19T03:14:07
4 INPUT -m time --datestart 1970 => -m time --datestop 2038-01-19T03:14:07
4 INPUT -m time --monthdays 1,15,31 => -m time --monthdays 1,15,31 --datestop 2038-01-19T03:14:07
4 INPUT -m time ! --monthdays 1,15,31 => -m time --monthdays 2,3,4,5,6,7,8,9,10,11,12,13,14,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30 --datestop 2038-01-19T03:14:07
4 INPUT -m time --monthdays 0 => -m time --monthdays  --datestop 2038-01-19T03:14:07
4 INPUT -m time --monthdays 123 => -m time --monthdays 12 --datestop 2038-01-19T03:14:07
4 INPUT -m time --monthdays 1,,2, => -m time --monthdays 1,2 --datestop 2038-01-19T03:14:07
4 INPUT -m time --weekdays Mon,Tuesday,7 => -m time --weekdays Mon,Tue,Sun --datestop 2038-01-19T03:14:07
4 INPUT -m time ! --weekdays 6,7 => -m time --weekdays Mon,Tue,Wed,Thu,Fri --datestop 2038-01-19T03:14:07
4 INPUT -m time --weekdays 8 => -m time --weekdays  --datestop 2038-01-19T03:14:07
4 INPUT -m time --utc => -m time --datestop 2038-01-19T03:14:07
4 INPUT -m time --kerneltz => -m time --datestop 2038-01-19T03:14:07 --kerneltz
4 INPUT -m time --localtz => -m time --datestop 2038-01-19T03:14:07 --kerneltz
4 INPUT -m connbytes --connbytes 5 --connbytes-dir both --connbytes-mode bytes => -m connbytes --connbytes 5 --connbytes-mode bytes --connbytes-dir both
4 INPUT -m connbytes --connbytes 5:9 --connbytes-dir original --connbytes-mode packets => -m connbytes --connbytes 5:9 --connbytes-mode packets --connbytes-dir original
4 INPUT -m connbytes ! --connbytes 5:9 --connbytes-dir reply --connbytes-mode avgpkt => -m connbytes ! --connbytes 5:9 --connbytes-mode avgpkt --connbytes-dir reply
4 INPUT -m connbytes ! --connbytes 5 --connbytes-dir reply --connbytes-mode avgpkt => -m connbytes ! --connbytes 5 --connbytes-mode avgpkt --connbytes-dir reply
4 INPUT -m connbytes ! --connbytes 5:5 --connbytes-dir reply --connbytes-mode avgpkt => -m connbytes --connbytes 5:5 --connbytes-mode avgpkt --connbytes-dir reply
4 INPUT -m connbytes --connbytes 0:0 --connbytes-dir reply --connbytes-mode avgpkt => -m connbytes --connbytes 0 --connbytes-mode avgpkt --connbytes-dir reply
4 INPUT -m connbytes --connbytes 5:18446744073709551615 --connbytes-dir both --connbytes-mode bytes => -m connbytes --connbytes 5 --connbytes-mode bytes --connbytes-dir both
4 INPUT -m cluster --cluster-total-nodes 8 --cluster-local-node 7 --cluster-hash-seed 1 => -m cluster --cluster-local-nodemask 0x00000040 --cluster-total-nodes 8 --cluster-hash-seed 0x00000001
4 INPUT -m cluster --cluster-total-nodes 8 ! --cluster-local-nodemask 3 --cluster-hash-seed 0xffffffff => -m cluster ! --cluster-local-nodemask 0x00000003 --cluster-total-nodes 8 --cluster-hash-seed 0xffffffff
4 INPUT -m cluster --cluster-total-nodes 32 --cluster-local-node 32 --cluster-hash-seed 1 => -m cluster --cluster-local-nodemask 0x80000000 --cluster-total-nodes 32 --cluster-hash-seed 0x00000001
4 INPUT -m cpu --cpu 3 => =
4 INPUT -m cpu ! --cpu 4294967295 => =
4 INPUT -j AUDIT --type Accept => -j AUDIT --type accept
4 INPUT -j IDLETIMER --timeout 5 --label foo => =
4 INPUT -j IDLETIMER --timeout 2147482 --label foo2 => =
4 INPUT -j IDLETIMER --timeout 5 --label abcdefghijklmnopqrstuvwxyz0123 --alarm => -j IDLETIMER --timeout 5 --label abcdefghijklmnopqrstuvwxyz0 --alarm
4 INPUT -j TEE --gateway 192.0.2.1 => =
4 INPUT -j TEE --gateway 192.0.2.1 --oif eth0 => =
6 INPUT -j TEE --gateway 2001:db8::1 --oif abcdefghijklmnopq => -j TEE --gateway 2001:db8::1 --oif abcdefghijklmno
4 INPUT -j RATEEST --rateest-name r1 --rateest-interval 1s --rateest-ewmalog 20s => -j RATEEST --rateest-name r1 --rateest-interval 1.0s --rateest-ewmalog 16.0s
4 INPUT -j RATEEST --rateest-name r2 --rateest-interval 250 --rateest-ewmalog 500 => -j RATEEST --rateest-name r2 --rateest-interval 250.0ms --rateest-ewmalog 500.0ms
4 INPUT -j RATEEST --rateest-name r3 --rateest-interval 0.3s --rateest-ewmalog 2s => -j RATEEST --rateest-name r3 --rateest-interval 500.0ms --rateest-ewmalog 2.0s
4 INPUT -j RATEEST --rateest-name r4 --rateest-interval 8s --rateest-ewmalog 1000s => -j RATEEST --rateest-name r4 --rateest-interval 8.0s --rateest-ewmalog 512.0s
4 INPUT -j HMARK --hmark-tuple src,dst,sport,dport,proto --hmark-mod 10 --hmark-rnd 7 => -j HMARK --hmark-src-prefix 32 --hmark-dst-prefix 32 --hmark-sport-mask 0xffff --hmark-dport-mask 0xffff --hmark-proto-mask 0xffff --hmark-rnd 0x00000007 --hmark-mod 10
4 INPUT -j HMARK --hmark-tuple s,d,sp,dp,p,c --hmark-mod 10 --hmark-rnd 7 --hmark-offset 0 => -j HMARK --hmark-src-prefix 32 --hmark-dst-prefix 32 --hmark-sport-mask 0xffff --hmark-dport-mask 0xffff --hmark-proto-mask 0xffff --hmark-rnd 0x00000007 --hmark-mod 10 --hmark-offset 0 --hmark-tuple ct
4 INPUT -j HMARK --hmark-tuple spi --hmark-spi 3 --hmark-mod 10 --hmark-rnd 7 => -j HMARK --hmark-spi-mask 0xffffffff --hmark-spi 0x00000003 --hmark-rnd 0x00000007 --hmark-mod 10
4 INPUT -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 255.255.0.0 --hmark-mod 10 --hmark-rnd 7 => -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 16 --hmark-rnd 0x00000007 --hmark-mod 10
6 INPUT -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 128 --hmark-proto-mask 300 --hmark-mod 10 --hmark-rnd 7 => -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 128 --hmark-proto-mask 0x12c --hmark-rnd 0x00000007 --hmark-mod 10
4 INPUT -j HMARK --hmark-sport-mask 1 --hmark-tuple sport --hmark-mod 10 --hmark-rnd 7 => -j HMARK --hmark-sport-mask 0xffff --hmark-rnd 0x00000007 --hmark-mod 10
4 FORWARD -j CLASSIFY --set-class 1:10 => -j CLASSIFY --set-class 0001:0010
4 FORWARD -j CLASSIFY --set-class 1:-1 => -j CLASSIFY --set-class 0001:ffff
4 FORWARD -j CLASSIFY --set-class 0xfffff:1x => -j CLASSIFY --set-class ffff:0001
"#;

/// What the programs or the kernel refuse, and words of the reason.
const REFUSED: &str = r#"
4 INPUT -m connlimit --connlimit-above 3 --connlimit-upto 3 => cannot stand together
4 INPUT -m connlimit --connlimit-above 3 --connlimit-upto 3 => --connlimit-upto and --connlimit-above cannot stand together
4 INPUT -m connlimit --connlimit-saddr => 'connlimit' needs the option --connlimit-upto or --connlimit-above
4 INPUT -m hashlimit --hashlimit-upto 1000001/sec --hashlimit-name t2 => the rate 1000001/sec is too fast
4 INPUT -m hashlimit --hashlimit-upto 1/day --hashlimit-name t2 => a burst of 5 is too much at so slow a rate: the kernel cannot count so far
4 INPUT -m hashlimit --hashlimit-upto 5/sx --hashlimit-name t2 => '5/sx' is not a rate
4 INPUT -m hashlimit --hashlimit-upto 0/s --hashlimit-name t2 => '0/s' is not a rate
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 0 --hashlimit-name t2 => '0' is not a burst from 1 to 1000000
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 1000001 --hashlimit-name t2 => '1000001' is not a burst from 1 to 1000000
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 5 --hashlimit-name t3 => a burst cannot be smaller than 1048576 bytes at this rate
4 INPUT -m hashlimit --hashlimit-upto 40000mb/s --hashlimit-name t3 => the rate 40000mb/s is too high
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-mode srcip,none => 'none' is no mode of hashlimit
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 33 => '33' is a mask with holes
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 255.0.255.0 => '255.0.255.0' is a mask with holes
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t5 --hashlimit-htable-expire 0 => --hashlimit-htable-gcinterval and --hashlimit-htable-expire cannot be 0
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name a/b => 'a/b' cannot be the name of a table
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name .. => '..' cannot be the name of a table
4 INPUT -m hashlimit --hashlimit-upto 5/s => 'hashlimit' needs the option --hashlimit-name
4 INPUT -m statistic --mode random --probability 1.1 => '1.1' is not a probability
4 INPUT -m statistic --mode nth --every 5 --packet 5 => there is no packet 5 among 5
4 INPUT -m statistic --mode nth --every 0 --packet 0 => --every counts from 1
4 INPUT -m statistic --mode nth --every 5 => --every needs --packet too
4 INPUT -m statistic --mode nth --probability 0.5 => 'statistic' needs the option --every
4 INPUT -m statistic --mode odd --probability 0.5 => 'odd' is no mode of statistic
4 INPUT -m quota --quota -1 => '-1' is not a number from 0 to 18446744073709551615
4 INPUT -m time --timestart 8:00 --timestop 17:30 --contiguous => --contiguous is for times that last over midnight
4 INPUT -m time --timestart 24:00 => '24:00' is not a time of day
4 INPUT -m time --timestart 8 => '8' is not a time of day
4 INPUT -m time --datestart 1969 => '1969' is not a date
4 INPUT -m time --datestart 2024-13 => '2024-13' is not a date
4 INPUT -m time --monthdays 08 => '08' is not a day of a month
4 INPUT -m time --monthdays 32 => '32' is not a day of a month
4 INPUT -m time --weekdays Mon,tu,Friday => 'tu' is not a day of the week
4 INPUT -m time --weekdays 0 => '0' is not a day of the week
4 INPUT -m time --weekdays M => 'M' is not a day of the week
4 INPUT -m time --utc --kerneltz => cannot stand together
4 INPUT -m time --utc --kerneltz => --kerneltz and --utc cannot stand together
4 INPUT -m connbytes --connbytes 9:5 --connbytes-dir both --connbytes-mode bytes => the range 9:5 is backwards
4 INPUT -m connbytes --connbytes 5 --connbytes-dir BOTH --connbytes-mode bytes => 'BOTH' is no direction of connbytes
4 INPUT -m cluster --cluster-total-nodes 8 --cluster-local-nodemask 64 --cluster-hash-seed 1 => '64' is not a number from 1 to 32
4 INPUT -m cluster --cluster-total-nodes 33 --cluster-local-node 1 --cluster-hash-seed 1 => '33' is not a number from 1 to 32
4 INPUT -m cluster --cluster-total-nodes 2 --cluster-local-node 3 --cluster-hash-seed 1 => the cluster has 2 nodes only
4 INPUT -m cluster --cluster-total-nodes 2 --cluster-hash-seed 1 => 'cluster' needs the option --cluster-local-node
4 INPUT -j AUDIT --type none => 'none' is no type of audit record
4 INPUT -j IDLETIMER --timeout 0 --label foo => '0' is not a number from 1 to 2147482
4 INPUT -j IDLETIMER --timeout 2147483 --label foo => '2147483' is not a number from 1 to 2147482
4 INPUT -j IDLETIMER --timeout 5 --label power => 'power' cannot be the label of a timer
4 INPUT -j TEE --gateway 0.0.0.0 => no packet can be sent to 0.0.0.0
4 INPUT -j RATEEST --rateest-name r5 --rateest-interval 9s --rateest-ewmalog 1000s => the interval is too long
4 INPUT -j RATEEST --rateest-name r6 --rateest-interval 1s --rateest-ewmalog 1s => the time of the average does not go with the interval
4 INPUT -j HMARK --hmark-tuple spi,sport --hmark-mod 10 --hmark-rnd 7 => ports and an SPI cannot be hashed both
4 INPUT -j HMARK --hmark-sport 3 --hmark-spi 3 --hmark-mod 10 --hmark-rnd 7 => cannot stand together
4 INPUT -j HMARK --hmark-sport 3 --hmark-dport 70000 --hmark-mod 10 --hmark-rnd 7 => '70000' is not a number from 0 to 65535
4 INPUT -j HMARK --hmark-tuple sport --hmark-sport-mask 1 --hmark-mod 10 --hmark-rnd 7 => --hmark-sport-mask was said by --hmark-tuple already
4 INPUT -j HMARK --hmark-tuple src,,dst --hmark-mod 10 --hmark-rnd 7 => '' is no part of a tuple
4 INPUT -j HMARK --hmark-tuple src --hmark-mod 0 --hmark-rnd 7 => nothing is less than 0
4 INPUT -j HMARK --hmark-tuple src --hmark-mod 10 => 'HMARK' needs the option --hmark-rnd
4 INPUT -j HMARK --hmark-mod 10 --hmark-rnd 7 => 'HMARK' needs the option --hmark-tuple
4 FORWARD -j CLASSIFY --set-class 1 => '1' is no class
4 INPUT -j CLASSIFY --set-class 1:10 => target CLASSIFY does not work in INPUT
"#;

/// What `-n -L` prints at the end of the line.
const LISTED: &str = r#"
4 INPUT -m connmark --mark 5 => connmark match  0x5
4 INPUT -m connmark ! --mark 0x5/0xf => connmark match ! 0x5/0xf
4 INPUT -m connmark --mark 010/7 => connmark match  0x8/0x7
4 INPUT -m connlimit --connlimit-above 3 => #conn src/32 > 3
4 INPUT -m connlimit ! --connlimit-above 3 --connlimit-mask 24 => #conn src/24 <= 3
4 INPUT -m connlimit --connlimit-upto 0 --connlimit-daddr --connlimit-mask 0 => #conn dst/0 <= 0
4 INPUT -m connlimit ! --connlimit-upto 7 --connlimit-saddr => #conn src/32 > 7
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 255.255.0.0 => #conn src/16 > 3
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 255.0.255.0 => #conn src/32 > 3
6 INPUT -m connlimit --connlimit-above 3 => #conn src/128 > 3
6 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 33 => #conn src/33 > 3
6 INPUT -m connlimit --connlimit-above 0x10 --connlimit-mask 64 --connlimit-daddr => #conn dst/64 > 16
4 INPUT -m connlimit --connlimit-above 3 --connlimit-mask 33 => #conn src/32 > 3
4 INPUT -m hashlimit --hashlimit 5/s --hashlimit-name t1 => limit: up to 5/sec burst 5
4 INPUT -m hashlimit ! --hashlimit-above 5/s --hashlimit-name t1 => limit: up to 5/sec burst 5
4 INPUT -m hashlimit ! --hashlimit-upto 5 --hashlimit-name t1 => limit: above 5/sec burst 5
4 INPUT -m hashlimit --hashlimit-upto 90/min --hashlimit-name t2 => limit: up to 90/min burst 5
4 INPUT -m hashlimit --hashlimit-upto 7/m --hashlimit-burst 100 --hashlimit-name t2 => limit: up to 7/min burst 100
4 INPUT -m hashlimit --hashlimit-upto 3000/sec --hashlimit-name t2 => limit: up to 3003/sec burst 5
4 INPUT -m hashlimit --hashlimit-upto 1000000/sec --hashlimit-name t2 => limit: up to 1000000/sec burst 5
4 INPUT -m hashlimit --hashlimit-upto 1/day --hashlimit-burst 1 --hashlimit-name t2 => limit: up to 1/day burst 1
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 5x --hashlimit-name t2 => limit: up to 20/hour burst 5
4 INPUT -m hashlimit --hashlimit-upto 20/hour --hashlimit-burst 2k --hashlimit-name t2 => limit: up to 20/hour burst 2048
4 INPUT -m hashlimit --hashlimit-upto 1kb/s --hashlimit-name t3 => limit: up to 1kb/s
4 INPUT -m hashlimit --hashlimit-upto 1500b/s --hashlimit-name t3 => limit: up to 1488b/s
4 INPUT -m hashlimit --hashlimit-upto 10b/s --hashlimit-name t3 => limit: up to 0b/s
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 10mb --hashlimit-name t3 => limit: up to 1mb/s burst 10mb
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 10mb --hashlimit-htable-expire 60000 --hashlimit-name t3 => limit: up to 1mb/s burst 10mb
4 INPUT -m hashlimit --hashlimit-upto 1mb/s --hashlimit-burst 1500kb --hashlimit-name t3 => limit: up to 1mb/s burst 2mb
4 INPUT -m hashlimit --hashlimit-upto 33gb/s --hashlimit-name t3 => limit: up to 32b/s
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-mode dstport,srcip,dstip,srcport => limit: up to 5/sec burst 5 mode srcip-srcport-dstip-dstport
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 24 --hashlimit-dstmask 32 => limit: up to 5/sec burst 5 srcmask 24
6 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t4 --hashlimit-srcmask 64 --hashlimit-dstmask 128 => limit: up to 5/sec burst 5 srcmask 64
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t5 --hashlimit-htable-size 100 --hashlimit-htable-max 5000000 --hashlimit-htable-gcinterval 1000 => limit: up to 5/sec burst 5 htable-size 100 htable-max 1048576
4 INPUT -m hashlimit --hashlimit-upto 5/s --hashlimit-name t5 --hashlimit-htable-gcinterval 10 --hashlimit-htable-expire 1000 => limit: up to 5/sec burst 5 htable-gcinterval 10
4 INPUT -m hashlimit --hashlimit-upto 5/min --hashlimit-name t5 --hashlimit-htable-expire 1000 => limit: up to 5/min burst 5 htable-expire 1000
4 INPUT -m hashlimit --hashlimit-upto 10/min --hashlimit-name t6 --hashlimit-rate-match => limit: up to 10/min burst 5 rate-match rate-interval 60
4 INPUT -m hashlimit --hashlimit-upto 10/min --hashlimit-name t6 --hashlimit-rate-match --hashlimit-rate-interval 1 => limit: up to 10/sec burst 5 htable-expire 60000 rate-match
4 INPUT -m hashlimit --hashlimit-above 10mb/s --hashlimit-name t7 --hashlimit-rate-match => limit: above 10mb/s rate-match
4 INPUT -m hashlimit --hashlimit-above 10/s --hashlimit-name t8 --hashlimit-rate-interval 5 => limit: above 2/sec burst 5
4 INPUT -m statistic --mode random --probability 0.5 => statistic mode random probability 0.50000000000
4 INPUT -m statistic --mode random ! --probability 1 => statistic mode random ! probability 1.00000000000
4 INPUT -m statistic --mode random --probability 0.000244140625 => statistic mode random probability 0.00024414062
4 INPUT -m statistic --mode random --probability 1e-3 => statistic mode random probability 0.00100000016
4 INPUT -m statistic --mode nth --every 5 --packet 4 => statistic mode nth every 5 packet 4
4 INPUT -m statistic --mode nth ! --every 5 --packet 0 => statistic mode nth ! every 5
4 INPUT -m quota --quota 0x10 => quota: 16 bytes
4 INPUT -m quota ! --quota 5 => quota: 5 bytes
4 INPUT -m time => TIME UTC
4 INPUT -m time --timestart 8:00 --timestop 17:30 => TIME from 08:00:00 to 17:30:00 UTC
4 INPUT -m time --timestart 22:00 --timestop 2:00:01 --contiguous => TIME from 22:00:00 to 02:00:01 UTC contiguous
4 INPUT -m time --timestart 8: => TIME from 08:00:00 to 23:59:59 UTC
4 INPUT -m time --datestart 2024 --datestop 2024-02-30 => TIME starting from 2024-01-01 00:00:00 until date 2024-03-01 00:00:00 UTC
4 INPUT -m time --datestart 2024-12-31T23:59:59 --datestop 2038-12-31 => TIME starting from 2024-12-31 23:59:59 until date 2038-12-31 00:00:00 UTC
4 INPUT -m time --datestart 2024-1-1T5 => TIME starting from 2024-01-01 05:00:00 UTC
4 INPUT -m time --datestart 1970 => TIME UTC
4 INPUT -m time --monthdays 1,15,31 => TIME on 1st,15th,31st UTC
4 INPUT -m time ! --monthdays 1,15,31 => TIME on 2nd,3rd,4th,5th,6th,7th,8th,9th,10th,11st,12nd,13rd,14th,16th,17th,18th,19th,20th,21st,22nd,23rd,24th,25th,26th,27th,28th,29th,30th UTC
4 INPUT -m time --monthdays 0 => TIME on  UTC
4 INPUT -m time --monthdays 123 => TIME on 12nd UTC
4 INPUT -m time --monthdays 1,,2, => TIME on 1st,2nd UTC
4 INPUT -m time --weekdays Mon,Tuesday,7 => TIME on Mon,Tue,Sun UTC
4 INPUT -m time ! --weekdays 6,7 => TIME on Mon,Tue,Wed,Thu,Fri UTC
4 INPUT -m time --weekdays 8 => TIME on  UTC
4 INPUT -m time --utc => TIME UTC
4 INPUT -m time --kerneltz => TIME
4 INPUT -m time --localtz => TIME
4 INPUT -m connbytes --connbytes 5 --connbytes-dir both --connbytes-mode bytes => connbytes 5 connbytes mode bytes connbytes direction both
4 INPUT -m connbytes --connbytes 5:9 --connbytes-dir original --connbytes-mode packets => connbytes 5:9 connbytes mode packets connbytes direction original
4 INPUT -m connbytes ! --connbytes 5:9 --connbytes-dir reply --connbytes-mode avgpkt => ! connbytes 5:9 connbytes mode avgpkt connbytes direction reply
4 INPUT -m connbytes ! --connbytes 5 --connbytes-dir reply --connbytes-mode avgpkt => ! connbytes 5 connbytes mode avgpkt connbytes direction reply
4 INPUT -m connbytes ! --connbytes 5:5 --connbytes-dir reply --connbytes-mode avgpkt => connbytes 5:5 connbytes mode avgpkt connbytes direction reply
4 INPUT -m connbytes --connbytes 0:0 --connbytes-dir reply --connbytes-mode avgpkt => connbytes 0 connbytes mode avgpkt connbytes direction reply
4 INPUT -m connbytes --connbytes 5:18446744073709551615 --connbytes-dir both --connbytes-mode bytes => connbytes 5 connbytes mode bytes connbytes direction both
4 INPUT -m cluster --cluster-total-nodes 8 --cluster-local-node 7 --cluster-hash-seed 1 => cluster node_mask=0x00000040 total_nodes=8 hash_seed=0x00000001
4 INPUT -m cluster --cluster-total-nodes 8 ! --cluster-local-nodemask 3 --cluster-hash-seed 0xffffffff => cluster !node_mask=0x00000003 total_nodes=8 hash_seed=0xffffffff
4 INPUT -m cluster --cluster-total-nodes 32 --cluster-local-node 32 --cluster-hash-seed 1 => cluster node_mask=0x80000000 total_nodes=32 hash_seed=0x00000001
4 INPUT -m cpu --cpu 3 => cpu 3
4 INPUT -m cpu ! --cpu 4294967295 => cpu ! 4294967295
4 INPUT -j AUDIT --type Accept => AUDIT accept
4 INPUT -j IDLETIMER --timeout 5 --label foo => timeout:5 label:foo
4 INPUT -j IDLETIMER --timeout 2147482 --label foo2 => timeout:2147482 label:foo2
4 INPUT -j IDLETIMER --timeout 5 --label abcdefghijklmnopqrstuvwxyz0123 --alarm => timeout:5 label:abcdefghijklmnopqrstuvwxyz0 alarm
4 INPUT -j TEE --gateway 192.0.2.1 => TEE gw:192.0.2.1
4 INPUT -j TEE --gateway 192.0.2.1 --oif eth0 => TEE gw:192.0.2.1 oif=eth0
6 INPUT -j TEE --gateway 2001:db8::1 --oif abcdefghijklmnopq => TEE gw:2001:db8::1 oif=abcdefghijklmno
4 INPUT -j RATEEST --rateest-name r1 --rateest-interval 1s --rateest-ewmalog 20s => name r1 interval 1.0s ewmalog 16.0s
4 INPUT -j RATEEST --rateest-name r2 --rateest-interval 250 --rateest-ewmalog 500 => name r2 interval 250.0ms ewmalog 500.0ms
4 INPUT -j RATEEST --rateest-name r3 --rateest-interval 0.3s --rateest-ewmalog 2s => name r3 interval 500.0ms ewmalog 2.0s
4 INPUT -j RATEEST --rateest-name r4 --rateest-interval 8s --rateest-ewmalog 1000s => name r4 interval 8.0s ewmalog 512.0s
4 INPUT -j HMARK --hmark-tuple src,dst,sport,dport,proto --hmark-mod 10 --hmark-rnd 7 => HMARK mod 10 src-prefix 32 dst-prefix 32 sport-mask 0xffff dport-mask 0xffff proto-mask 0xffff rnd 0x7
4 INPUT -j HMARK --hmark-tuple s,d,sp,dp,p,c --hmark-mod 10 --hmark-rnd 7 --hmark-offset 0 => HMARK mod 10 + 0x0 ct, src-prefix 32 dst-prefix 32 sport-mask 0xffff dport-mask 0xffff proto-mask 0xffff rnd 0x7
4 INPUT -j HMARK --hmark-tuple spi --hmark-spi 3 --hmark-mod 10 --hmark-rnd 7 => HMARK mod 10 spi-mask 0xffffffff spi 0x3 rnd 0x7
4 INPUT -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 255.255.0.0 --hmark-mod 10 --hmark-rnd 7 => HMARK mod 10 src-prefix 24 dst-prefix 16 rnd 0x7
6 INPUT -j HMARK --hmark-src-prefix 24 --hmark-dst-prefix 128 --hmark-proto-mask 300 --hmark-mod 10 --hmark-rnd 7 => HMARK mod 10 src-prefix 24 dst-prefix  proto-mask 0x12c rnd 0x7
4 INPUT -j HMARK --hmark-sport-mask 1 --hmark-tuple sport --hmark-mod 10 --hmark-rnd 7 => HMARK mod 10 sport-mask 0xffff rnd 0x7
4 FORWARD -j CLASSIFY --set-class 1:10 => CLASSIFY set 1:10
4 FORWARD -j CLASSIFY --set-class 1:-1 => CLASSIFY set 1:ffff
4 FORWARD -j CLASSIFY --set-class 0xfffff:1x => CLASSIFY set ffff:1
"#;

fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = table.lines().filter(|l| !l.is_empty());
    rows.map(|l| {
        l.split_once(" => ")
            .unwrap_or_else(|| panic!("no '=>': {l}"))
    })
}

fn family(row: &str) -> (Family, &str) {
    match row.split_at(2) {
        ("6 ", rest) => (Family::V6, rest),
        (_, rest) => (Family::V4, rest),
    }
}

/// CLASSIFY is tried where it may stand.
fn kind(row: &str) -> TableKind {
    match row.contains("CLASSIFY") {
        true => TableKind::Mangle,
        false => TableKind::Filter,
    }
}

fn read(row: &str, tools: Tools) -> Result<Ruleset, Box<Diagnostic>> {
    let (family, rest) = family(row);
    let program = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let options = parse::Options {
        tools,
        ..parse::Options::default()
    };
    let parsed = parse::script_as(
        &format!("{program} -t {} -A {rest}\n", kind(row).name()),
        &options,
    );
    let mut errors = parsed.diagnostics.iter();
    match errors.find(|d| d.severity == Severity::Error) {
        Some(error) => Err(Box::new(error.clone())),
        None => Ok(parsed.family(family).expect("a ruleset").clone()),
    }
}

fn saved(row: &str, tools: Tools) -> Result<String, Box<Diagnostic>> {
    let ruleset = read(row, tools)?;
    let table = ruleset.table(kind(row)).expect("a filter table");
    let chains = &table.chains;
    let chain = chains.iter().find(|c| !c.rules.is_empty()).expect("a rule");
    let rule = &chain.rules[0];
    let text = print::rule_as(table, chain, rule, ruleset.family, tools);
    let head = format!("-A {} ", chain.name);
    Ok(text.strip_prefix(&head).expect("its chain").to_string())
}

#[test]
fn lines_are_saved_as_the_programs_save_them() {
    let mut wrong = Vec::new();
    for tools in Tools::BOTH {
        for (row, wanted) in rows(SAVED) {
            let written = row.splitn(3, ' ').nth(2).expect("options");
            let wanted = if wanted == "=" { written } else { wanted };
            match saved(row, tools) {
                Ok(text) if text == wanted => {}
                Ok(text) => wrong.push(format!("{row}: {text}")),
                Err(error) => wrong.push(format!("{row}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lines_that_the_programs_or_the_kernel_refuse_are_refused() {
    let mut wrong = Vec::new();
    for tools in Tools::BOTH {
        for (row, wanted) in rows(REFUSED) {
            match read(row, tools) {
                Ok(_) => wrong.push(format!("{row} is taken")),
                Err(error) if error.message.contains(wanted) => {}
                Err(error) => wrong.push(format!("{row}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rules_are_listed_as_the_programs_list_them() {
    let mut wrong = Vec::new();
    for (row, wanted) in rows(LISTED) {
        let ruleset = read(row, Tools::Legacy).unwrap_or_else(|e| panic!("{row}: {e}"));
        let table = ruleset.table(kind(row)).expect("a table");
        let at = table.chains.iter().position(|c| !c.rules.is_empty());
        let how = list::Listing {
            numeric: true,
            ..list::Listing::default()
        };
        let text = list::list(table, ruleset.family, at, None, how);
        let line = text.lines().nth(2).expect("a rule");
        if !line.trim_end().ends_with(&format!(" {wanted}")) {
            wrong.push(format!("{row} => {wanted}: {line}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
