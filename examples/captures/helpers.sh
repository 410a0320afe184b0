#!/usr/bin/env bash
# Makes the captures of the simpler helpers' protocols, with real clients and servers in the network of `net.sh`. Needs what that
# needs, tftp-hpa, tftpd-hpa, ngircd, weechat-headless, amanda-server, amanda-client, samba, snmpd, sane-utils, pptpd, pptp-linux,
# python3.
# The kernel need not know PPP: what both ends of the PPTP call carry is said by a stand-in for pppd.
set -euo pipefail
. "$(dirname "$0")/net.sh"
chmod 755 "$work"
learn
listening() { # namespace protocol port
    until ip netns exec "$1" ss -ln"$2" | grep -q ":$3 "; do sleep 0.05; done
}

# TFTP: a file is read, another is written.
mkdir -p "$work/tftp"
chmod 777 "$work/tftp"
head -c 1200 /dev/zero | tr '\0' x > "$work/tftp/boot.img"
ip netns exec "$srv" in.tftpd -L -c -s "$work/tftp" &
listening "$srv" u 69
boot() {
    cd "$work"
    ip netns exec "$out" tftp -m binary 192.0.2.10 -c get boot.img
    ip netns exec "$out" tftp -m binary 192.0.2.10 -c put boot.img back.img
}
capture tftp.pcap "udp" boot

# IRC: outside offers a DCC chat, inside takes it up.
cat > "$work/ngircd.conf" <<CONF
[Global]
Name = irc.example
Info = test
Listen = 192.0.2.10
Ports = 6667
[Limits]
[Options]
DNS = no
Ident = no
PAM = no
CONF
ip netns exec "$srv" ngircd -n -f "$work/ngircd.conf" >/dev/null 2>&1 &
listening "$srv" t 6667
weechat() { # namespace name
    ip netns exec "$1" env HOME="$work/$2" weechat-headless -d "$work/$2" \
        -r "/set irc.server_default.nicks $2" -r "/set xfer.file.auto_accept_chats on" \
        -r "/set xfer.network.own_ip ''" -r "/set xfer.network.port_range 5000-5010" \
        -r "/set fifo.file.path $work/$2/fifo" -r "/fifo enable" \
        -r "/server add net 192.0.2.10/6667 -notls" -r "/connect net" >/dev/null 2>&1 &
    until [ -p "$work/$2/fifo" ]; do sleep 0.1; done
}
mkdir -p "$work/alice" "$work/bob"
chat() {
    weechat "$srv" bob
    sleep 1
    weechat "$out" alice
    sleep 1
    echo "irc.server.net */dcc chat bob" > "$work/alice/fifo"
    sleep 2
    echo "*/quit" > "$work/alice/fifo"
    echo "*/quit" > "$work/bob/fifo"
    sleep 1
}
capture irc-dcc.pcap "tcp" chat

# Amanda: outside asks for a backup. Names and trust are told by files that only the namespaces see.
for ns in "$out" "$srv"; do
    mkdir -p "/etc/netns/$ns"
    printf '127.0.0.1 localhost\n203.0.113.9 outside.example\n192.0.2.10 server.example\n' > "/etc/netns/$ns/hosts"
    printf 'amanda 10080/udp\n' > "/etc/netns/$ns/services"
    echo 'outside.example backup amdump' > "/etc/netns/$ns/amandahosts"
    chown backup "/etc/netns/$ns/amandahosts"
    chmod 600 "/etc/netns/$ns/amandahosts"
    ip netns exec "$ns" sysctl -qw net.ipv4.ip_unprivileged_port_start=0
done
mkdir -p "$work/disk"
echo "A small file, backed up." > "$work/disk/hello.txt"
cat > "$work/request" <<XML
<dle>
  <program>GNUTAR</program>
  <disk>$work/disk</disk>
  <level>0</level>
  <auth>BSDUDP</auth>
  <index>YES</index>
  <record>NO</record>
  <datapath>AMANDA</datapath>
</dle>
XML
as_backup=(setpriv --reuid backup --regid backup --init-groups)
ip netns exec "$srv" "${as_backup[@]}" /usr/lib/amanda/amandad -auth=bsdudp -no-exit -udp=10080 sendbackup >/dev/null 2>&1 &
listening "$srv" u 10080
backup() {
    ip netns exec "$out" "${as_backup[@]}" timeout 10 amservice -f "$work/request" -s \
        --stream DATA,3,4 --stream MESG,5,6 --stream INDEX,7,8 server.example bsdudp sendbackup \
        3</dev/null 4>/dev/null 5</dev/null 6>/dev/null 7</dev/null 8>/dev/null
}
capture amanda.pcap "udp or tcp" backup

# NetBIOS and SNMP: the firewall itself asks the whole network behind it.
device=lan0
mkdir -p "$work/samba"
cat > "$work/smb.conf" <<CONF
[global]
workgroup = EXAMPLE
netbios name = FILES
interfaces = 192.0.2.10/24
bind interfaces only = yes
lock directory = $work/samba
state directory = $work/samba
cache directory = $work/samba
pid directory = $work/samba
private dir = $work/samba
log file = $work/samba/log
CONF
ip -n "$srv" addr change 192.0.2.10/24 broadcast + dev s
ip -n "$fw" addr change 192.0.2.1/24 broadcast + dev lan0
ip netns exec "$srv" nmbd -F -s "$work/smb.conf" >/dev/null 2>&1 &
listening "$srv" u 137
# It announces itself for a while.
sleep 10
capture netbios-ns.pcap "udp and host 192.0.2.1" ip netns exec "$fw" nmblookup -s "$work/smb.conf" -B 192.0.2.255 FILES
# snmpd answers from the address it was asked at, which a broadcast address cannot be: so it is asked through a relay.
echo "rocommunity public" > "$work/snmpd.conf"
MIBS="" ip netns exec "$srv" snmpd -f -C -c "$work/snmpd.conf" -Le udp:127.0.0.1:1161 >/dev/null 2>&1 &
ip netns exec "$srv" python3 - <<'PY' &
import socket
front, back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
front.bind(("0.0.0.0", 161))
while True:
    asked, who = front.recvfrom(1500)
    back.sendto(asked, ("127.0.0.1", 1161))
    front.sendto(back.recv(1500), who)
PY
listening "$srv" u 1161
listening "$srv" u 161
sleep 1
capture snmp-broadcast.pcap "udp and host 192.0.2.1" ip netns exec "$fw" python3 - <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind(("192.0.2.1", 43161))
s.settimeout(1)
# GetRequest of sysUpTime.0, community public.
s.sendto(bytes.fromhex("302602010104067075626c6963a019020101020100020100300e300c06082b060102010103000500"), ("192.0.2.255", 161))
s.recvfrom(1500)
PY
device=wan0

# SANE: a picture of the test scanner.
mkdir -p "$work/sane-server" "$work/sane-client"
echo test > "$work/sane-server/dll.conf"
echo net > "$work/sane-client/dll.conf"
echo 203.0.113.0/24 > "$work/sane-server/saned.conf"
echo 192.0.2.10 > "$work/sane-client/net.conf"
ip netns exec "$srv" env SANE_CONFIG_DIR="$work/sane-server" saned -l -e >/dev/null 2>&1 &
listening "$srv" t 6566
capture sane.pcap "tcp" ip netns exec "$out" env SANE_CONFIG_DIR="$work/sane-client" \
    scanimage -d net:192.0.2.10:test:0 -x 5 -y 5 --resolution 50 -o "$work/picture.pnm" 2>/dev/null

# PPTP: a call and its end; what is carried says one LCP packet each way.
cat > "$work/pppd" <<'PY'
#!/usr/bin/env python3
# Says an LCP Configure-Request in HDLC framing, and what comes is not answered.
import os, sys, time, tty
for fd in (0, 1):
    try: tty.setraw(fd)
    except Exception: pass
frame = bytes.fromhex("7eff7d23c0217d217d217d207d2850fa7e")
for _ in range(3):
    os.write(1, frame)
    time.sleep(0.3)
PY
chmod 755 "$work/pppd"
cat > "$work/pptpd.conf" <<CONF
ppp $work/pppd
option $work/pptp-options
localip 192.0.2.10
remoteip 192.0.2.200-210
listen 192.0.2.10
CONF
touch "$work/pptp-options"
ip netns exec "$srv" pptpd -f -c "$work/pptpd.conf" -p "$work/pptpd.pid" >/dev/null 2>&1 &
listening "$srv" t 1723
call() {
    (sleep 0.7; cat "$work/say"; sleep 2) | ip netns exec "$out" timeout 5 pptp 192.0.2.10 --nolaunchpppd >/dev/null 2>"$work/pptp.log"
}
printf '\x7e\xff\x7d\x23\xc0\x21\x7d\x21\x7d\x21\x7d\x20\x7d\x28\x50\xfa\x7e' > "$work/say"
capture pptp.pcap "tcp or proto gre" call
ls -l "$here"/*.pcap
