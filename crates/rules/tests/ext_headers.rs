//! Matches of headers, line by line as iptables 1.8.9 takes, prints and lists them, legacy and nft alike:
//! sctp, dccp, esp, ah, ipcomp, frag, hbh, dst, rt, ipv6header, mh, srh, eui64, policy.

use palisade_rules::{Diagnostic, Family, Ruleset, Severity, TableKind, Tools, list, parse, print};

/// `FAMILY CHAIN OPTIONS => what is saved`; `=` where that is what was written.
const SAVED: &str = r#"
4 INPUT -p esp -m esp => =
4 INPUT -p esp -m esp --espspi 4:3 => =
4 INPUT -p esp -m esp --espspi : => -p esp -m esp
4 INPUT -p esp -m esp ! --espspi : => -p esp -m esp
4 INPUT -p esp -m esp --espspi 4: => -p esp -m esp --espspi 4:4294967295
4 INPUT -p esp -m esp --espspi :4 => -p esp -m esp --espspi 0:4
4 INPUT -p esp -m esp --espspi 0x10 => -p esp -m esp --espspi 16
4 INPUT -p esp -m esp --espspi 010 => -p esp -m esp --espspi 8
4 INPUT -p esp -m esp --espspi "" => -p esp -m esp --espspi 0
4 INPUT -p esp --espspi 5 => -p esp -m esp --espspi 5
4 INPUT -p 50 ! --espspi 5:6 => -p esp -m esp ! --espspi 5:6
4 INPUT -p ah -m ah --ahspi 1:2 => =
4 INPUT -p ah --ahspi 1:2 => -p ah -m ah --ahspi 1:2
6 INPUT -m ah --ahspi 1:2 --ahlen 4 --ahres => =
6 INPUT -m ah ! --ahlen 0 => =
6 INPUT -m ah --ahlen 0 => -m ah
6 INPUT -p ah -m ah --ahlen 24 => =
6 INPUT -p ah --ahlen 24 => -p ah -m ah --ahlen 24
6 INPUT -p tcp -m ah --ahres => =
4 INPUT -p ipcomp -m ipcomp => -p ipcomp -m ipcomp --ipcompspi 0
4 INPUT -p ipcomp -m ipcomp --compres => -p ipcomp -m ipcomp --ipcompspi 0 --compres
4 INPUT -p ipcomp -m ipcomp --ipcompspi 70000 => =
4 INPUT -p ipcomp -m ipcomp ! --ipcompspi 1:7 --compres => =
4 INPUT -p ipcomp --ipcompspi 70 => -p ipcomp -m ipcomp --ipcompspi 70
6 INPUT -p 108 -m ipcomp --ipcompspi 70 => -p ipcomp -m ipcomp --ipcompspi 70
4 INPUT -p sctp -m sctp => =
4 INPUT -p sctp --sport 1:65535 => -p sctp -m sctp --sport 1:65535
4 INPUT -p sctp --sport : => -p sctp -m sctp --sport 0:65535
4 INPUT -p sctp ! --sport : => -p sctp -m sctp ! --sport 0:65535
4 INPUT -p sctp --sport :5 ! --dport 6: => -p sctp -m sctp --sport 0:5 ! --dport 6:65535
4 INPUT -p sctp --sport 0x10 => -p sctp -m sctp --sport 16
4 INPUT -p sctp --chunk-types any DATA,INIT => -p sctp -m sctp --chunk-types any DATA,INIT
4 INPUT -p sctp --chunk-types ANY data:IUbe,abort:t,abort:T => -p sctp -m sctp --chunk-types any DATA:IUbe,ABORT:T
4 INPUT -p sctp --chunk-types only SHUTDOWN_COMPLETE:T,I_DATA:I => -p sctp -m sctp --chunk-types only SHUTDOWN_COMPLETE:T,I_DATA
4 INPUT -p sctp --chunk-types only I_DATA:I => -p sctp -m sctp --chunk-types only I_DATA
4 INPUT -p sctp --chunk-types all ALL => -p sctp -m sctp --chunk-types all ALL
4 INPUT -p sctp --chunk-types all NONE => -p sctp -m sctp --chunk-types all NONE
4 INPUT -p sctp --chunk-types any none => -p sctp -m sctp --chunk-types any NONE
4 INPUT -p sctp --chunk-types any DATA:- => -p sctp -m sctp --chunk-types any DATA:-
4 INPUT -p sctp --chunk-types any INIT:- => -p sctp -m sctp --chunk-types any INIT:-
4 INPUT -p sctp --chunk-types any DATA: => -p sctp -m sctp --chunk-types any DATA
4 INPUT -p sctp --chunk-types any ,DATA,,INIT, => -p sctp -m sctp --chunk-types any DATA,INIT
4 INPUT -p sctp --chunk-types any , => -p sctp -m sctp --chunk-types any NONE
4 INPUT -p sctp ! --chunk-types only DATA => -p sctp -m sctp ! --chunk-types only DATA
4 INPUT -p sctp --chunk-types any RE_CONFIG => -p sctp -m sctp --chunk-types any RE_CONFIG
4 INPUT -p sctp --chunk-types any PAD => -p sctp -m sctp --chunk-types any PAD
4 INPUT -p sctp --chunk-types any ASCONF,ASCONF_ACK,FORWARD_TSN => -p sctp -m sctp --chunk-types any ASCONF_ACK,FORWARD_TSN,ASCONF
4 INPUT -p sctp --chunk-types any I_DATA => -p sctp -m sctp --chunk-types any I_DATA
4 INPUT -p sctp --chunk-types any I_FORWARD_TSN => -p sctp -m sctp --chunk-types any I_FORWARD_TSN
4 INPUT -p sctp --chunk-types any DATA:I,ABORT:T,SHUTDOWN_COMPLETE:t => -p sctp -m sctp --chunk-types any DATA:I,ABORT:T,SHUTDOWN_COMPLETE:t
4 INPUT -p sctp --chunk-types any SHUTDOWN_COMPLETE:t => -p sctp -m sctp --chunk-types any SHUTDOWN_COMPLETE:t
4 INPUT -p sctp --chunk-types any ABORT:T => -p sctp -m sctp --chunk-types any ABORT:T
4 INPUT -p sctp --chunk-types any ABORT:T,ABORT => -p sctp -m sctp --chunk-types any ABORT:T
4 INPUT -p sctp --chunk-types any DATA:II,DATA:i => -p sctp -m sctp --chunk-types any DATA:I
6 INPUT -p sctp --dport 1 --chunk-types all DATA,HEARTBEAT_ACK => -p sctp -m sctp --dport 1 --chunk-types all DATA,HEARTBEAT_ACK
4 INPUT -p dccp --sport 5 => -p dccp -m dccp --sport 5
4 INPUT -p dccp -m dccp --sport 5: --dport :7 ! --dccp-types REQUEST,response ! --dccp-option 4 => -p dccp -m dccp --sport 5:65535 --dport 0:7 ! --dccp-types REQUEST,RESPONSE ! --dccp-option 4
4 INPUT -p dccp -m dccp --dccp-types INVALID,ACK => -p dccp -m dccp --dccp-types ACK,INVALID
4 INPUT -p dccp -m dccp --dccp-option 1 => =
4 INPUT -p dccp -m dccp --sport 5:4 => =
4 INPUT -p dccp -m dccp --sport 65536 => -p dccp -m dccp --sport 0
4 INPUT -p dccp -m dccp --sport 70000 => -p dccp -m dccp --sport 4464
4 INPUT -p dccp -m dccp --sport http => -p dccp -m dccp --sport 80
4 INPUT -p dccp -m dccp ! --sport : => -p dccp -m dccp ! --sport 0:65535
4 INPUT -p dccp -m dccp --sport "" => -p dccp -m dccp --sport 0
4 INPUT -p dccp -m dccp --sport 5:65536 => -p dccp -m dccp --sport 5:0
4 INPUT -p dccp -m dccp --sport 010 => -p dccp -m dccp --sport 10
4 INPUT -p sctp --sport amqp => -p sctp -m sctp --sport 5672
4 INPUT -p sctp --chunk-types any DATA:U,ABORT:t,SHUTDOWN_COMPLETE:T,INIT:- => -p sctp -m sctp --chunk-types any DATA:U,INIT:-,ABORT:t,SHUTDOWN_COMPLETE:T
4 INPUT -p dccp --sport 2147483647 => -p dccp -m dccp --sport 65535
4 INPUT -p dccp --dccp-types reset ! --dport 6:5 => -p dccp -m dccp ! --dport 6:5 --dccp-types RESET
6 INPUT -m frag => =
6 INPUT -m frag --fragid : --fraglen 0 => -m frag --fraglen 0
6 INPUT -m frag ! --fragid 1:2 ! --fraglen 8 --fragres --fragfirst --fragmore => =
6 INPUT -p udp --dport 53 -m frag --fraglast => -p udp -m udp --dport 53 -m frag --fraglast
6 INPUT -m hbh => =
6 INPUT -m hbh --hbh-len 0 => =
6 INPUT -m hbh ! --hbh-len 70000 => =
6 INPUT -m hbh --hbh-opts 1:2,23:42,4:6,8:10,42,23,4:5 => =
6 INPUT -m hbh --hbh-opts 1:255 => -m hbh --hbh-opts 1
6 INPUT -m hbh --hbh-opts 1:256 => -m hbh --hbh-opts 1:0
6 INPUT -m hbh --hbh-opts 256 => -m hbh --hbh-opts 0
6 INPUT -m hbh --hbh-opts 300:300 => -m hbh --hbh-opts 44:44
6 INPUT -m hbh --hbh-opts 0x10:0x3 => -m hbh --hbh-opts 16:3
6 INPUT -m hbh --hbh-opts -1 => -m hbh --hbh-opts 255
6 INPUT -m hbh --hbh-opts=-1 => -m hbh --hbh-opts 255
6 INPUT -m hbh --hbh-opts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 => =
6 INPUT -m hbh --hbh-opts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15:3,16 => =
6 INPUT -m dst => =
6 INPUT -m dst --dst-len 0 --dst-opts 149:92,12:12,123:12 => =
6 INPUT -m dst ! --dst-len 8 => =
6 INPUT -m rt => =
6 INPUT -m rt --rt-type 0 --rt-segsleft 1:23 --rt-len 42 --rt-0-res => =
6 INPUT -m rt --rt-type 300 => =
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1,fe80::1 --rt-0-not-strict => =
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::ffff:1.2.3.4,2001:DB8:0:0:0:0:0:1 => -m rt --rt-type 0 --rt-0-addrs ::ffff:1.2.3.4,2001:db8::1
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1,::2,::3,::4,::5,::6,::7,::8,::9,::a,::b,::c,::d,::e,::f,::10 => =
6 INPUT -m rt --rt-segsleft 4:3 => =
6 INPUT -m rt ! --rt-segsleft : --rt-len 0 => -m rt --rt-len 0
6 INPUT -m ipv6header --header hop-by-hop => =
6 INPUT -m ipv6header --header hop,dst,route,frag,auth,esp,none,prot => -m ipv6header --header hop-by-hop,ipv6-opts,ipv6-route,ipv6-frag,ah,esp,ipv6-nonxt,protocol
6 INPUT -m ipv6header --header hop-by-hop,ipv6-opts,ipv6-route,ipv6-frag,ah,esp,ipv6-nonxt,protocol => =
6 INPUT -m ipv6header ! --header 0,60,43,44,51,50,59,255 --soft => -m ipv6header ! --header hop-by-hop,ipv6-opts,ipv6-route,ipv6-frag,ah,esp,ipv6-nonxt,protocol --soft
6 INPUT -m ipv6header --header hop,hop => -m ipv6header --header hop-by-hop
6 INPUT -m ipv6header --header ip => -m ipv6header --header hop-by-hop
6 INPUT -m ipv6header --header hopopt => -m ipv6header --header hop-by-hop
6 INPUT -m ipv6header --header prot,,hop, => -m ipv6header --header hop-by-hop,protocol
6 INPUT -m ipv6header --header HOPOPT => -m ipv6header --header hop-by-hop
6 INPUT -m ipv6header --header IPv6-Opts => -m ipv6header --header ipv6-opts
6 INPUT -p mh -m mh => -p mobility-header -m mh
6 INPUT -p mh --mh-type 1 => -p mobility-header -m mh --mh-type 1
6 INPUT -p mh --mh-type binding-update => -p mobility-header -m mh --mh-type 5
6 INPUT -p mh --mh-type bi => -p mobility-header -m mh --mh-type 0
6 INPUT -p mh --mh-type b => -p mobility-header -m mh --mh-type 0
6 INPUT -p mh --mh-type BU:be => -p mobility-header -m mh --mh-type 5:7
6 INPUT -p mh --mh-type ho => -p mobility-header -m mh --mh-type 1
6 INPUT -p mh --mh-type hot => -p mobility-header -m mh --mh-type 3
6 INPUT -p mh --mh-type home-test => -p mobility-header -m mh --mh-type 3
6 INPUT -p mh --mh-type : => -p mobility-header -m mh
6 INPUT -p mh ! --mh-type : => -p mobility-header -m mh
6 INPUT -p mh --mh-type "" => -p mobility-header -m mh --mh-type 0
6 INPUT -p mh --mh-type 0x10: => -p mobility-header -m mh --mh-type 16:255
6 INPUT -p mh --mh-type c => -p mobility-header -m mh --mh-type 2
6 INPUT -m srh => =
6 INPUT -m srh --srh-next-hdr 17 ! --srh-hdr-len-eq 8 --srh-hdr-len-gt 8 => =
6 INPUT -m srh --srh-hdr-len-gt 3 --srh-hdr-len-lt 8 => -m srh --srh-hdr-len-gt 8 --srh-hdr-len-lt 8
6 INPUT -m srh --srh-hdr-len-lt 8 --srh-hdr-len-gt 3 => -m srh --srh-hdr-len-gt 3 --srh-hdr-len-lt 3
6 INPUT -m srh --srh-tag 0x10 => -m srh --srh-tag 16
6 INPUT -m srh --srh-psid a::/64 ! --srh-nsid b::/128 --srh-lsid c::/0 => =
6 INPUT -m srh --srh-psid a::1 --srh-nsid a::1/64 => -m srh --srh-psid a::1/128 --srh-nsid a::1/64
6 INPUT -m srh --srh-psid a::/ffff:: => -m srh --srh-psid a::/16
6 INPUT -m srh --srh-psid a::/ff00:ff:: => -m srh --srh-psid a::/128
6 INPUT -m srh --srh-psid ::ffff:1.2.3.4/96 => =
6 INPUT -m srh --srh-segs-left-eq 1 --srh-segs-left-gt 2 --srh-segs-left-lt 3 --srh-last-entry-eq 1 --srh-last-entry-gt 2 --srh-last-entry-lt 3 => -m srh --srh-segs-left-eq 3 --srh-segs-left-gt 3 --srh-segs-left-lt 3 --srh-last-entry-eq 3 --srh-last-entry-gt 3 --srh-last-entry-lt 3
6 INPUT -m eui64 => =
6 FORWARD -m eui64 => =
4 INPUT -m policy --dir in => -m policy --dir in --pol ipsec
4 INPUT -m policy --dir in --pol none => =
4 OUTPUT -m policy --dir out --pol none => =
4 FORWARD -m policy --dir out --pol none => =
4 FORWARD -m policy --dir in --pol none => =
4 INPUT -m policy --dir in --pol none --reqid 1 => -m policy --dir in --pol none
4 INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --next --spi 0x10 => =
4 INPUT -m policy --dir in --pol ipsec ! --reqid 1 ! --spi 5 ! --proto ah ! --mode transport ! --tunnel-src 1.2.3.4 ! --tunnel-dst 1.2.3.4/24 => -m policy --dir in --pol ipsec ! --reqid 1 ! --spi 0x5 ! --proto ah ! --mode transport ! --tunnel-dst 1.2.3.4/24 ! --tunnel-src 1.2.3.4
4 INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 0.0.0.0/0 => =
4 INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 10.1.2.3/255.0.255.0 => -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 10.1.2.3
4 INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 10.1.2.3/8 => =
6 INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 2001:db8::1/32 --tunnel-dst 2001:db8::1 => -m policy --dir in --pol ipsec --mode tunnel --tunnel-dst 2001:db8::1 --tunnel-src 2001:db8::1/32
6 INPUT -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 2001:db8::1/ffff:0:ffff:: => -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 2001:db8::1
4 INPUT -m policy --dir in --pol ipsec --proto ipcomp => =
4 INPUT -m policy --dir in --pol ipsec --proto 51 => -m policy --dir in --pol ipsec --proto ah
4 INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --next --reqid 2 --next --reqid 3 --next --reqid 4 => =
4 INPUT -m policy --spi 1 --next --reqid 2 --dir in --pol ipsec --strict => -m policy --dir in --pol ipsec --strict --spi 0x1 --next --reqid 2
4 INPUT -m policy --dir in --pol ipsec --spi 010 --reqid 0x10 => -m policy --dir in --pol ipsec --reqid 16 --spi 0x8
6 INPUT -m policy --dir in --pol none --tunnel-src ::1 => -m policy --dir in --pol none
6 INPUT -m policy --dir in --pol ipsec ! --mode transport --tunnel-src ::1/64 => =
6 INPUT -m rt ! --rt-type 4294967295 => =
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1.2.3.4,::1:2 => -m rt --rt-type 0 --rt-0-addrs ::1.2.3.4,::0.1.0.2
4 INPUT -m policy --dir in --mode tunnel --tunnel-src 10.0.0.0/33 => -m policy --dir in --pol ipsec --mode tunnel --tunnel-src 10.0.0.0
"#;

/// What is refused, and a part of what is said of it.
const REFUSED: &str = r#"
4 INPUT -p esp -m esp --espspi 1:2:3 => '1:2:3' has more than two numbers; a range is FIRST:LAST
4 INPUT -p esp -m esp --espspi 4294967296 => '4294967296' is not a number from 0 to 4294967295
4 INPUT -p esp -m esp --espspi 5a => '5a' is not a number from 0 to 4294967295
4 INPUT -p esp -m esp --espspi 5 --espspi 6 => --espspi can be given only once
4 INPUT ! -p esp -m esp => '-m esp' needs '-p esp'
4 INPUT -p ah --ahspi 1:2 --ahlen 4 => --ahlen
6 INPUT -m ah ! --ahres => '!' cannot stand before --ahres
4 INPUT -m ipcomp --ipcompspi 70 => '-m ipcomp' needs '-p ipcomp'
4 INPUT -p sctp --sport http => 'http' is no port, and no service of SCTP
4 INPUT -p sctp --sport "" => '' is no port, and no service of SCTP
4 INPUT -p sctp --sport 5:4 => the port range 5:4 is backwards
4 INPUT -p sctp --sport 65536 => '65536' is no port, and no service of SCTP
4 INPUT -p sctp --sport 1 --sport 2 => --sport can be given only once
4 INPUT -p sctp --chunk-types any DATA,ALL => 'ALL' is no chunk type of SCTP
4 INPUT -p sctp --chunk-types none DATA => 'none' does not say which chunks must be there
4 INPUT -p sctp --chunk-types any DATA:X => chunk DATA has no flag 'X'
4 INPUT -p sctp --chunk-types any => '--chunk-types' needs
4 INPUT -p sctp --chunk-types any DATA --chunk-types any INIT => --chunk-types can be given only once
4 INPUT -m sctp --sport 1 => '-m sctp' needs '-p sctp'
4 INPUT -p dccp -m dccp --dccp-types FOO => 'FOO' is no packet type of DCCP
4 INPUT -p dccp -m dccp --dccp-option 0 => option 0 is padding, which no rule can ask for
4 INPUT -p dccp -m dccp --dccp-option 256 => '256' is not a number from 0 to 255
4 INPUT -p dccp -m dccp --sport 5:6:7 => '5:6:7' has more than two ports; a range is FIRST:LAST
4 INPUT -p dccp -m dccp --sport 0x10 => '0x10' is no port
4 INPUT -m dccp --sport 1 => '-m dccp' needs '-p dccp'
4 INPUT -p sctp --chunk-types any DATA:U,ABORT:t,SHUTDOWN_COMPLETE:T,INIT:-,SACK:- => more than 4 chunk types with flags; a rule can have 4
4 INPUT -p sctp --chunk-types any DATA:U,ABORT:t,SHUTDOWN_COMPLETE:T,INIT:-,I_DATA:U => more than 4 chunk types with flags; a rule can have 4
4 INPUT -p dccp --sport 4294967295 => '4294967295' is no port
4 INPUT -p dccp --sport 2147483648 => '2147483648' is no port
6 INPUT -m frag --fraglast --fragmore => --fragmore and --fraglast cannot stand together
6 INPUT -m frag --fragmore --fraglast => --fragmore and --fraglast cannot stand together
6 INPUT -m frag --fragmore --fragmore => --fragmore can be given only once
6 INPUT -m frag ! --fragmore => '!' cannot stand before --fragmore
6 INPUT -m hbh --hbh-opts 0:3 => option 0 (Pad1) is one byte and has no length
6 INPUT -m hbh --hbh-opts 256:3 => option 0 (Pad1) is one byte and has no length
6 INPUT -m hbh --hbh-opts "" => '' is no type of an option
6 INPUT -m hbh --hbh-opts 1, => '' is no type of an option
6 INPUT -m hbh --hbh-opts 1x => '1x' is no type of an option
6 INPUT -m hbh --hbh-opts 1: => '' is no length of an option
6 INPUT -m hbh --hbh-opts 1:2:3 => '2:3' is no length of an option
6 INPUT -m hbh --hbh-opts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17 => more than 16 options; a rule can test 16
6 INPUT -m hbh --hbh-opts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16:3 => option number 16 can have no length
6 INPUT -m hbh ! --hbh-opts 1 => '!' cannot stand before --hbh-opts
6 INPUT -m rt --rt-0-res --rt-type 0 => --rt-0-res needs --rt-type 0 before it
6 INPUT -m rt --rt-type 1 --rt-0-res => --rt-0-res needs --rt-type 0 before it
6 INPUT -m rt ! --rt-type 0 --rt-0-res => --rt-0-res needs --rt-type 0 before it
6 INPUT -m rt --rt-type 0 --rt-0-not-strict --rt-0-addrs ::1 => --rt-0-not-strict needs --rt-0-addrs ADDRESS before it
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1, => '' is not an IPv6 address
6 INPUT -m rt --rt-type 0 --rt-0-addrs "" => '' is not an IPv6 address
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1,::2,::3,::4,::5,::6,::7,::8,::9,::a,::b,::c,::d,::e,::f,::10,::11 => more than 16 addresses; a rule can test 16
6 INPUT -m ipv6header => 'ipv6header' needs the option --header
6 INPUT -m ipv6header --header tcp => 'tcp' is no header of IPv6
6 INPUT -m ipv6header --header HOP => 'HOP' is no header of IPv6
6 INPUT -m ipv6header --header IPV6-OPTS => 'IPV6-OPTS' is no header of IPv6
6 INPUT -m ipv6header --header ESP => 'ESP' is no header of IPv6
6 INPUT -m ipv6header --header 17 => '17' is no header of IPv6
6 INPUT -m ipv6header --header , => no header is named
6 INPUT -m ipv6header --header "" => no header is named
6 INPUT -m ipv6header --header ipv6-ah => 'ipv6-ah' is no header of IPv6
6 INPUT -m ipv6header --header xyz => 'xyz' is no header of IPv6
6 INPUT -m ipv6header ! --soft --header hop => '!' cannot stand before --soft
6 INPUT -m mh => '-m mh' needs '-p mobility-header'
6 INPUT -p mh --mh-type be:bu => the range 7:5 is backwards
6 INPUT -p mh --mh-type 256 => '256' is no type of a mobility header
6 INPUT -p mh --mh-type 4:3 => the range 4:3 is backwards
6 INPUT -p mh --mh-type 1:2:3 => '2:3' is no type of a mobility header
6 INPUT -m mh --mh-type 1 => '-m mh' needs '-p mobility-header'
6 INPUT -m srh --srh-next-hdr tcp => 'tcp' is not a number from 0 to 255
6 INPUT -m srh --srh-next-hdr 256 => '256' is not a number from 0 to 255
6 INPUT -m srh --srh-tag 65536 => '65536' is not a number from 0 to 65535
6 INPUT -m srh --srh-psid 1.2.3.4 => '1.2.3.4' is an address of the other family in an IPv6 rule
6 OUTPUT -m eui64 => match eui64 does not work in OUTPUT
4 INPUT -m eui64 => unknown match 'eui64'
4 INPUT -m policy => 'policy' needs the option --dir
4 INPUT -m policy --dir out --pol none => match policy does not work in INPUT
4 OUTPUT -m policy --dir in --pol none => match policy does not work in OUTPUT
4 FORWARD -m policy --dir in --dir out --pol none => --dir can be given only once
4 INPUT -m policy --dir foo => 'foo' is no direction
4 INPUT -m policy --dir in --pol none --strict => --strict goes with a policy, and --pol none says that there is none
4 INPUT -m policy --dir in --pol none --strict --next --reqid 1 => --strict goes with a policy, and --pol none says that there is none
4 INPUT -m policy --dir in --pol none --next => --next needs --strict too
4 INPUT -m policy --dir in --pol ipsec --next --reqid 1 => --next needs --strict too
4 INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --next => element 2 of the strict policy says nothing
4 INPUT -m policy --dir in --pol ipsec --reqid 1 --reqid 2 => --reqid stands twice in one element
4 INPUT -m policy --dir in --pol ipsec ! --mode tunnel --tunnel-src 1.2.3.4 => --tunnel-src and --tunnel-dst go with tunnels only
4 INPUT -m policy --dir in --pol ipsec --mode transport --tunnel-src 1.2.3.4 => --tunnel-src and --tunnel-dst go with tunnels only
4 INPUT -m policy --dir in --pol ipsec --tunnel-src 1.2.3.4 => --tunnel-src and --tunnel-dst go with tunnels only
4 INPUT -m policy --dir in --pol ipsec --proto tcp => IPsec does not pack with 'tcp'
4 INPUT -m policy --dir in --pol ipsec --mode beet => 'beet' is no mode
4 INPUT -m policy --dir in --pol foo => 'foo' is no policy
4 INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --next --reqid 2 --next --reqid 3 --next --reqid 4 --next --reqid 5 => more than 4 elements; a rule can test 4
4 INPUT -m policy --dir in --pol ipsec --strict => element 1 of the strict policy says nothing
4 INPUT -m policy --next --reqid 2 --dir in --pol ipsec --strict => element 1 of the strict policy says nothing
4 INPUT ! -m policy --dir in => '!' cannot stand
"#;

/// What `-L` prints behind the addresses, and where it differs what `-n -L` prints.
const LISTED: &str = r#"
4 INPUT -p esp -m esp => esp
4 INPUT -p esp -m esp --espspi 4:3 => esp spis:4:3
4 INPUT -p esp -m esp ! --espspi : => esp spis:!0:4294967295
4 INPUT -p ah --ahspi 1:2 => ah spis:1:2
6 INPUT -m ah --ahspi 1:2 --ahlen 4 --ahres => ah spis:1:2length:4 reserved
6 INPUT -m ah ! --ahlen 0 => ah length:!0
6 INPUT -p tcp -m ah --ahres => ah  reserved
4 INPUT -p ipcomp -m ipcomp --compres => comp spi:0 reserved
4 INPUT -p ipcomp -m ipcomp ! --ipcompspi 1:7 --compres => comp spis:!1:7 reserved
4 INPUT -p sctp --sport : => sctp
4 INPUT -p sctp ! --sport : => sctp spts:!0:65535
4 INPUT -p sctp --sport :5 ! --dport 6: => sctp spts:0:5 dpts:!6:65535
4 INPUT -p sctp --chunk-types all ALL => sctp all ALL
4 INPUT -p sctp ! --chunk-types only DATA => sctp ! only DATA => sctp ! only 0x0000
4 INPUT -p dccp -m dccp --sport 5: --dport :7 ! --dccp-types REQUEST,response ! --dccp-option 4 => dccp spts:5:65535 dpts:0:7 ! REQUEST,RESPONSE option=!4 => dccp spts:5:65535 dpts:0:7 ! 0,1 option=!4
4 INPUT -p dccp -m dccp --dccp-types INVALID,ACK => dccp ACK,INVALID => dccp 3,10,11,12,13,14,15
4 INPUT -p dccp -m dccp ! --sport : => dccp spts:!0:65535
4 INPUT -p sctp --sport amqp => sctp spt:amqp => sctp spt:5672
6 INPUT -m frag ! --fragid 1:2 ! --fraglen 8 --fragres --fragfirst --fragmore => frag ids:!1:2 length:!8 reserved first more
6 INPUT -m hbh --hbh-opts 1:2,23:42,4:6,8:10,42,23,4:5 => hbh opts 1:2,23:42,4:6,8:10,42,23,4:5
6 INPUT -m dst --dst-len 0 --dst-opts 149:92,12:12,123:12 => dst length:0 opts 149:92,12:12,123:12
6 INPUT -m rt --rt-type 0 --rt-0-addrs ::1,fe80::1 --rt-0-not-strict => rt type:0 0-addrs ::1,fe80::1 0-not-strict
6 INPUT -m rt ! --rt-segsleft : --rt-len 0 => rt segslefts:!0:4294967295 length:0
6 INPUT -m ipv6header --header hop,dst,route,frag,auth,esp,none,prot => ipv6header flags:hop-by-hop,ipv6-opts,ipv6-route,ipv6-frag,ah,esp,ipv6-nonxt,protocol => ipv6header flags:0xFF
6 INPUT -m ipv6header ! --header 0,60,43,44,51,50,59,255 --soft => ipv6header flags:!hop-by-hop,ipv6-opts,ipv6-route,ipv6-frag,ah,esp,ipv6-nonxt,protocol soft => ipv6header flags:!0xFF soft
6 INPUT -p mh --mh-type BU:be => mh binding-update:binding-error => mh 5:7
6 INPUT -p mh ! --mh-type : => mh !binding-refresh-request:255 => mh !0:255
6 INPUT -m srh --srh-next-hdr 17 ! --srh-hdr-len-eq 8 --srh-hdr-len-gt 8 => srh next-hdr:17 hdr-len-eq:!8 hdr-len-gt:8
6 INPUT -m srh --srh-psid a::/64 ! --srh-nsid b::/128 --srh-lsid c::/0 => srh psid  a::/64 nsid ! b::/128 lsid  c::/0
6 INPUT -m eui64 => eui64
6 FORWARD -m eui64 => eui64
4 INPUT -m policy --dir in --pol ipsec --strict --reqid 1 --next --spi 0x10 => policy match dir in pol ipsec strict [0] reqid 1 [1] spi 0x10
4 INPUT -m policy --dir in --pol ipsec ! --reqid 1 ! --spi 5 ! --proto ah ! --mode transport ! --tunnel-src 1.2.3.4 ! --tunnel-dst 1.2.3.4/24 => policy match dir in pol ipsec ! reqid 1 ! spi 0x5 ! proto ah ! mode transport ! tunnel-dst 1.2.3.4/24 ! tunnel-src 1.2.3.4 => policy match dir in pol ipsec ! reqid 1 ! spi 0x5 ! proto 51 ! mode transport ! tunnel-dst 1.2.3.4/24 ! tunnel-src 1.2.3.4
6 INPUT -m rt ! --rt-type 4294967295 => rt type:!-1
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
    let parsed = parse::script_as(&format!("{program} -A {rest}\n"), &options);
    let mut errors = parsed.diagnostics.iter();
    match errors.find(|d| d.severity == Severity::Error) {
        Some(error) => Err(Box::new(error.clone())),
        None => Ok(parsed.family(family).expect("a ruleset").clone()),
    }
}

fn saved(row: &str, tools: Tools) -> Result<String, Box<Diagnostic>> {
    let ruleset = read(row, tools)?;
    let table = ruleset.table(TableKind::Filter).expect("a filter table");
    let chains = &table.chains;
    let chain = chains.iter().find(|c| !c.rules.is_empty()).expect("a rule");
    let rule = &chain.rules[0];
    let text = print::rule_as(table, chain, rule, ruleset.family, tools);
    let head = format!("-A {} ", chain.name);
    Ok(text.strip_prefix(&head).expect("its chain").to_string())
}

#[test]
fn lines_are_saved_as_the_programs_save_them() {
    for tools in Tools::BOTH {
        for (row, wanted) in rows(SAVED) {
            let written = row.splitn(3, ' ').nth(2).expect("options");
            let wanted = if wanted == "=" { written } else { wanted };
            match saved(row, tools) {
                Ok(text) => assert_eq!(text, wanted, "{row}"),
                Err(error) => panic!("{row}: {error}"),
            }
        }
    }
}

#[test]
fn lines_that_the_programs_or_the_kernel_refuse_are_refused() {
    for tools in Tools::BOTH {
        for (row, wanted) in rows(REFUSED) {
            match read(row, tools) {
                Ok(_) => panic!("{row} is taken"),
                Err(error) => assert!(error.message.contains(wanted), "{row}: {error}"),
            }
        }
    }
}

#[test]
fn matches_are_listed_as_the_programs_list_them() {
    for (row, wanted) in rows(LISTED) {
        let ruleset = read(row, Tools::Legacy).unwrap_or_else(|e| panic!("{row}: {e}"));
        let table = ruleset.table(TableKind::Filter).expect("a filter table");
        let at = table.chains.iter().position(|c| !c.rules.is_empty());
        let (names, numbers) = wanted.split_once(" => ").unwrap_or((wanted, wanted));
        for (numeric, wanted) in [(false, names), (true, numbers)] {
            let how = list::Listing {
                numeric,
                ..list::Listing::default()
            };
            let text = list::list(table, ruleset.family, at, None, how);
            let line = text.lines().nth(2).expect("a rule");
            assert!(
                line.trim_end().ends_with(&format!(" {wanted}")),
                "{row}: {line}"
            );
        }
    }
}

/// A set without a type leaves a blank at the end of the line; read again, it lacks its value.
#[test]
fn no_type_of_dccp_is_saved_as_nothing() {
    for tools in Tools::BOTH {
        let text = saved("4 INPUT -p dccp --dccp-types ,", tools);
        assert_eq!(text.expect("taken"), "-p dccp -m dccp --dccp-types ");
    }
}

/// The kernel has the match udplite; iptables has nothing that could load it.
#[test]
fn ports_of_udplite_are_tested_by_multiport() {
    for (row, wanted) in [
        ("4 INPUT -p udplite -m udplite --sport 5", "multiport"),
        ("6 INPUT -p udplite --dport 5", "-m multiport --dports 5"),
    ] {
        let error = read(row, Tools::Legacy).expect_err(row);
        let help = error.help.expect("a repair");
        assert!(help.contains(wanted), "{row}: {help}");
    }
    let text = saved("4 INPUT -p udplite -m multiport --dports 5", Tools::Legacy);
    assert_eq!(text.expect("taken"), "-p udplite -m multiport --dports 5");
}

/// A host name is looked up by the programs; here nothing is.
#[test]
fn names_of_segments_and_tunnel_ends_are_refused() {
    for row in [
        "6 INPUT -m srh --srh-psid example.org",
        "4 INPUT -m policy --dir in --mode tunnel --tunnel-src example.org",
    ] {
        let error = read(row, Tools::Legacy).expect_err(row);
        assert!(error.message.contains("host name"), "{error}");
    }
}
