//! Well-known services by name, as Debian's `netbase` has them in `/etc/services`.

use palisade_wire::proto;

/// Known for TCP.
const T: u8 = 1;
/// Known for UDP.
const U: u8 = 2;
/// Known for SCTP.
const S: u8 = 4;

/// Name, port and protocols that the name is known for.
#[rustfmt::skip]
const SERVICES: &[(&str, u16, u8)] = &[
    ("tcpmux", 1, T), ("echo", 7, T | U), ("discard", 9, T | U), ("sink", 9, T | U),
    ("null", 9, T | U), ("systat", 11, T), ("users", 11, T), ("daytime", 13, T | U),
    ("netstat", 15, T), ("qotd", 17, T), ("quote", 17, T), ("chargen", 19, T | U),
    ("ttytst", 19, T | U), ("source", 19, T | U), ("ftp-data", 20, T), ("ftp", 21, T),
    ("fsp", 21, U), ("fspd", 21, U), ("ssh", 22, T), ("telnet", 23, T), ("smtp", 25, T),
    ("mail", 25, T), ("time", 37, T | U), ("timserver", 37, T | U), ("whois", 43, T),
    ("nicname", 43, T), ("tacacs", 49, T | U), ("domain", 53, T | U), ("bootps", 67, U),
    ("bootpc", 68, U), ("tftp", 69, U), ("gopher", 70, T), ("finger", 79, T), ("http", 80, T),
    ("www", 80, T), ("kerberos", 88, T | U), ("kerberos5", 88, T | U), ("krb5", 88, T | U),
    ("kerberos-sec", 88, T | U), ("iso-tsap", 102, T), ("tsap", 102, T), ("acr-nema", 104, T),
    ("dicom", 104, T), ("pop3", 110, T), ("pop-3", 110, T), ("sunrpc", 111, T | U),
    ("portmapper", 111, T | U), ("auth", 113, T), ("authentication", 113, T), ("tap", 113, T),
    ("ident", 113, T), ("nntp", 119, T), ("readnews", 119, T), ("untp", 119, T), ("ntp", 123, U),
    ("epmap", 135, T), ("loc-srv", 135, T), ("netbios-ns", 137, U), ("netbios-dgm", 138, U),
    ("netbios-ssn", 139, T), ("imap2", 143, T), ("imap", 143, T), ("snmp", 161, T | U),
    ("snmp-trap", 162, T | U), ("snmptrap", 162, T | U), ("cmip-man", 163, T | U),
    ("cmip-agent", 164, T | U), ("mailq", 174, T), ("xdmcp", 177, U), ("bgp", 179, T),
    ("smux", 199, T), ("qmtp", 209, T), ("z3950", 210, T), ("wais", 210, T), ("ipx", 213, U),
    ("ptp-event", 319, U), ("ptp-general", 320, U), ("pawserv", 345, T), ("zserv", 346, T),
    ("rpc2portmap", 369, T | U), ("codaauth2", 370, T | U), ("clearcase", 371, U),
    ("Clearcase", 371, U), ("ldap", 389, T | U), ("svrloc", 427, T | U), ("https", 443, T | U),
    ("snpp", 444, T), ("microsoft-ds", 445, T), ("kpasswd", 464, T | U), ("submissions", 465, T),
    ("ssmtp", 465, T), ("smtps", 465, T), ("urd", 465, T), ("saft", 487, T), ("isakmp", 500, U),
    ("rtsp", 554, T | U), ("nqs", 607, T), ("asf-rmcp", 623, U), ("qmqp", 628, T), ("ipp", 631, T),
    ("ldp", 646, T | U), ("exec", 512, T), ("biff", 512, U), ("comsat", 512, U), ("login", 513, T),
    ("who", 513, U), ("whod", 513, U), ("shell", 514, T), ("cmd", 514, T), ("syslog", 514, T | U),
    ("printer", 515, T), ("spooler", 515, T), ("talk", 517, U), ("ntalk", 518, U),
    ("route", 520, U), ("router", 520, U), ("routed", 520, U), ("gdomap", 538, T | U),
    ("uucp", 540, T), ("uucpd", 540, T), ("klogin", 543, T), ("kshell", 544, T), ("krcmd", 544, T),
    ("dhcpv6-client", 546, U), ("dhcpv6-server", 547, U), ("afpovertcp", 548, T), ("nntps", 563, T),
    ("snntp", 563, T), ("submission", 587, T), ("ldaps", 636, T | U), ("tinc", 655, T | U),
    ("silc", 706, T), ("kerberos-adm", 749, T), ("domain-s", 853, T | U), ("rsync", 873, T),
    ("ftps-data", 989, T), ("ftps", 990, T), ("telnets", 992, T), ("imaps", 993, T),
    ("pop3s", 995, T), ("socks", 1080, T), ("proofd", 1093, T), ("rootd", 1094, T),
    ("openvpn", 1194, T | U), ("rmiregistry", 1099, T), ("lotusnote", 1352, T),
    ("lotusnotes", 1352, T), ("ms-sql-s", 1433, T), ("ms-sql-m", 1434, U), ("ingreslock", 1524, T),
    ("datametrics", 1645, T | U), ("old-radius", 1645, T | U), ("sa-msg-port", 1646, T | U),
    ("old-radacct", 1646, T | U), ("kermit", 1649, T), ("groupwise", 1677, T), ("l2f", 1701, U),
    ("l2tp", 1701, U), ("radius", 1812, T | U), ("radius-acct", 1813, T | U),
    ("radacct", 1813, T | U), ("cisco-sccp", 2000, T), ("nfs", 2049, T | U),
    ("gnunet", 2086, T | U), ("rtcm-sc104", 2101, T | U), ("gsigatekeeper", 2119, T),
    ("gris", 2135, T), ("cvspserver", 2401, T), ("venus", 2430, T | U), ("venus-se", 2431, T | U),
    ("codasrv", 2432, T | U), ("codasrv-se", 2433, T | U), ("mon", 2583, T | U), ("dict", 2628, T),
    ("f5-globalsite", 2792, T), ("gsiftp", 2811, T), ("gpsd", 2947, T), ("gds-db", 3050, T),
    ("gds_db", 3050, T), ("icpv2", 3130, U), ("icp", 3130, U), ("isns", 3205, T | U),
    ("iscsi-target", 3260, T), ("mysql", 3306, T), ("ms-wbt-server", 3389, T), ("nut", 3493, T | U),
    ("distcc", 3632, T), ("daap", 3689, T), ("svn", 3690, T), ("subversion", 3690, T),
    ("suucp", 4031, T), ("sysrqd", 4094, T), ("sieve", 4190, T), ("epmd", 4369, T),
    ("remctl", 4373, T), ("f5-iquery", 4353, T), ("ntske", 4460, T), ("ipsec-nat-t", 4500, U),
    ("iax", 4569, U), ("mtn", 4691, T), ("radmin-port", 4899, T), ("sip", 5060, T | U),
    ("sip-tls", 5061, T | U), ("xmpp-client", 5222, T), ("jabber-client", 5222, T),
    ("xmpp-server", 5269, T), ("jabber-server", 5269, T), ("cfengine", 5308, T), ("mdns", 5353, U),
    ("postgresql", 5432, T), ("postgres", 5432, T), ("freeciv", 5556, T), ("rptp", 5556, T),
    ("amqps", 5671, T), ("amqp", 5672, T | S), ("x11", 6000, T), ("x11-0", 6000, T),
    ("x11-1", 6001, T), ("x11-2", 6002, T), ("x11-3", 6003, T), ("x11-4", 6004, T),
    ("x11-5", 6005, T), ("x11-6", 6006, T), ("x11-7", 6007, T), ("gnutella-svc", 6346, T | U),
    ("gnutella-rtr", 6347, T | U), ("redis", 6379, T), ("sge-qmaster", 6444, T),
    ("sge_qmaster", 6444, T), ("sge-execd", 6445, T), ("sge_execd", 6445, T),
    ("mysql-proxy", 6446, T), ("babel", 6696, U), ("ircs-u", 6697, T), ("bbs", 7000, T),
    ("afs3-fileserver", 7000, U), ("afs3-callback", 7001, U), ("afs3-prserver", 7002, U),
    ("afs3-vlserver", 7003, U), ("afs3-kaserver", 7004, U), ("afs3-volser", 7005, U),
    ("afs3-bos", 7007, U), ("afs3-update", 7008, U), ("afs3-rmtsys", 7009, U),
    ("font-service", 7100, T), ("xfs", 7100, T), ("http-alt", 8080, T), ("webcache", 8080, T),
    ("puppet", 8140, T), ("bacula-dir", 9101, T), ("bacula-fd", 9102, T), ("bacula-sd", 9103, T),
    ("xmms2", 9667, T), ("nbd", 10809, T), ("zabbix-agent", 10050, T), ("zabbix-trapper", 10051, T),
    ("amanda", 10080, T), ("dicom", 11112, T), ("hkp", 11371, T), ("db-lsp", 17500, T),
    ("dcap", 22125, T), ("gsidcap", 22128, T), ("wnn6", 22273, T), ("kerberos4", 750, T | U),
    ("kerberos-iv", 750, T | U), ("kdc", 750, T | U), ("kerberos-master", 751, T | U),
    ("kerberos_master", 751, U), ("passwd-server", 752, U), ("passwd_server", 752, U),
    ("krb-prop", 754, T), ("krb_prop", 754, T), ("krb5_prop", 754, T), ("hprop", 754, T),
    ("zephyr-srv", 2102, U), ("zephyr-clt", 2103, U), ("zephyr-hm", 2104, U), ("iprop", 2121, T),
    ("supfilesrv", 871, T), ("supfiledbg", 1127, T), ("poppassd", 106, T), ("moira-db", 775, T),
    ("moira_db", 775, T), ("moira-update", 777, T), ("moira_update", 777, T),
    ("moira-ureg", 779, U), ("moira_ureg", 779, U), ("spamd", 783, T), ("skkserv", 1178, T),
    ("predict", 1210, U), ("rmtcfg", 1236, T), ("xtel", 1313, T), ("xtelw", 1314, T),
    ("zebrasrv", 2600, T), ("zebra", 2601, T), ("ripd", 2602, T), ("ripngd", 2603, T),
    ("ospfd", 2604, T), ("bgpd", 2605, T), ("ospf6d", 2606, T), ("ospfapi", 2607, T),
    ("isisd", 2608, T), ("fax", 4557, T), ("hylafax", 4559, T), ("munin", 4949, T),
    ("lrrd", 4949, T), ("rplay", 5555, U), ("nrpe", 5666, T), ("nsca", 5667, T), ("canna", 5680, T),
    ("syslog-tls", 6514, T), ("sane-port", 6566, T), ("sane", 6566, T), ("saned", 6566, T),
    ("ircd", 6667, T), ("zope-ftp", 8021, T), ("tproxy", 8081, T), ("omniorb", 8088, T),
    ("clc-build-daemon", 8990, T), ("xinetd", 9098, T), ("git", 9418, T), ("zope", 9673, T),
    ("webmin", 10000, T), ("kamanda", 10081, T), ("amandaidx", 10082, T), ("amidxtape", 10083, T),
    ("sgi-cmsd", 17001, U), ("sgi-crsd", 17002, U), ("sgi-gcd", 17003, U), ("sgi-cad", 17004, T),
    ("binkp", 24554, T), ("asp", 27374, T | U), ("csync2", 30865, T), ("dircproxy", 57000, T),
    ("tfido", 60177, T), ("fido", 60179, T),
];

/// Port of a service of one protocol, or of any (`getservbyname`).
pub fn port(name: &str, protocol: Option<u8>) -> Option<u16> {
    let wanted = match protocol {
        None => T | U | S,
        Some(proto::TCP) => T,
        Some(proto::UDP) => U,
        Some(proto::SCTP) => S,
        Some(_) => 0,
    };
    SERVICES
        .iter()
        .find(|(known, _, protocols)| *known == name && protocols & wanted != 0)
        .map(|(_, port, _)| *port)
}

/// The first name of a port.
pub fn name(port: u16) -> Option<&'static str> {
    SERVICES
        .iter()
        .find(|(_, known, _)| *known == port)
        .map(|(name, ..)| *name)
}

/// The name that is most like a text.
pub(crate) fn nearest(text: &str) -> Option<&'static str> {
    crate::diagnostic::nearest(text, SERVICES.iter().map(|(name, ..)| *name))
}
